/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a job may reach beside its own host. */

#include <check.h>
#include <string.h>

#include "job_run.h"

static struct hypervisor *hosts[3];
static struct job_reach reach = { .hosts = hosts, .host_count = 3, .save_folders = "/var/save /srv/images" };
static const struct job_type type = { .name = "test.look" };
static struct request request;
static struct job_run *run;
static struct job *job;

static void setup(void)
{
    struct error err = ERROR_INIT;

    for (int i = 0; i < 3; i++)
        hosts[i] =
            hypervisor_new((const char *[]){ "node1", "node2", "node3" }[i], "test:///default", 0, &err);
    ck_assert_int_eq(hypervisor_set_peer(hosts[1], "qemu+tls://node2/system", "tcp://10.0.0.2", &err), 0);
    const struct job_run_settings settings = {
        .request = &request, .type = &type, .hypervisor = hosts[0], .reach = &reach
    };
    ck_assert((run = job_run_new(&settings, &err)) != NULL);
    job = (struct job *)run; /* its first member */
}

static void teardown(void)
{
    job_run_free(run);
    for (int i = 0; i < 3; i++)
        hypervisor_free(hosts[i]);
}

START_TEST(its_peers_are_all_hosts_but_its_own)
{
    ck_assert_str_eq(job_peer_name(job, 0), "node2");
    ck_assert_str_eq(job_peer_name(job, 1), "node3");
    ck_assert_ptr_null(job_peer_name(job, 2));
}
END_TEST

START_TEST(a_peer_is_reached_as_the_configuration_says)
{
    const char *uri, *migrate_uri;
    struct error err = ERROR_INIT;

    ck_assert_int_eq(job_peer_uri(job, "node2", &uri, &migrate_uri, &err), 0);
    ck_assert_str_eq(uri, "qemu+tls://node2/system");
    ck_assert_str_eq(migrate_uri, "tcp://10.0.0.2");
    ck_assert_int_eq(job_peer_uri(job, "node3", &uri, &migrate_uri, &err), 0);
    ck_assert_str_eq(uri, "test:///default");
    ck_assert_ptr_null(migrate_uri);
    ck_assert_int_eq(job_peer_uri(job, "node4", &uri, &migrate_uri, &err), -1);
    ck_assert_int_eq(err.code, ERROR_UNKNOWN_HOST);
}
END_TEST

static void assert_path(const char *path, enum error_code code)
{
    struct error err = ERROR_INIT;
    int rc = job_check_save_path(job, path, "/params/path", &err);

    ck_assert_msg(err.code == code && rc == (code ? -1 : 0), "%s: %s %s", path, error_name(err.code),
                  err.message);
    ck_assert(!code || strcmp(err.where, "/params/path") == 0);
}

START_TEST(a_save_image_lies_in_a_folder_that_is_allowed)
{
    assert_path("/var/save/a", ERROR_NONE);
    assert_path("/srv/images/b/c.save", ERROR_NONE);
    assert_path("/var/save/..b", ERROR_NONE);
    assert_path("/var/save", ERROR_DENIED);
    assert_path("/var/saved/a", ERROR_DENIED);
    assert_path("/etc/passwd", ERROR_DENIED);
    assert_path("/", ERROR_INVALID);
    assert_path("a", ERROR_INVALID);
    assert_path("/var/save/", ERROR_INVALID);
    assert_path("/var/save//a", ERROR_INVALID);
    assert_path("/var/save/./a", ERROR_INVALID);
    assert_path("/var/save/../../etc/passwd", ERROR_INVALID);
    reach.save_folders = NULL;
    assert_path("/var/save/a", ERROR_DENIED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job_peer");
    TCase *tests = tcase_create("job_peer");
    SRunner *runner = srunner_create(suite);

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, its_peers_are_all_hosts_but_its_own);
    tcase_add_test(tests, a_peer_is_reached_as_the_configuration_says);
    tcase_add_test(tests, a_save_image_lies_in_a_folder_that_is_allowed);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
