/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* An action on a migration, on its thread; libvirt's test driver stands in for a host. */

#include <check.h>

#include "guest_migrate_internal.h"
#include "hypervisor.h"

#define URI "test:///default"

static virConnectPtr conn;
static virDomainPtr dom;
static char uuid[VIR_UUID_STRING_BUFLEN];

static void setup(void)
{
    hypervisor_loop_start(NULL);
    conn = virConnectOpen(URI);
    dom = virDomainLookupByName(conn, "test");
    ck_assert_int_eq(virDomainGetUUIDString(dom, uuid), 0);
}

static void teardown(void)
{
    virDomainFree(dom);
    virConnectClose(conn);
    hypervisor_loop_stop();
}

static struct error run(const char *uri, enum steer_action action)
{
    struct migration_act *act = migration_act_begin(uri, uuid, action, 300);
    struct error failure = ERROR_INIT;

    ck_assert_ptr_nonnull(act);
    ck_assert(migration_act_is_over(act, true, &failure));
    migration_act_free(act);
    return failure;
}

START_TEST(an_action_that_works_says_so)
{
    int state = VIR_DOMAIN_RUNNING;

    ck_assert_int_eq(run(URI, STEER_PAUSE).code, ERROR_NONE);
    ck_assert_int_eq(virDomainGetState(dom, &state, NULL, 0), 0);
    ck_assert_int_eq(state, VIR_DOMAIN_PAUSED);
}
END_TEST

START_TEST(an_action_that_cannot_be_done_says_why)
{
    struct error failure = run(URI, STEER_POST_COPY);

    ck_assert_int_eq(failure.code, ERROR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(failure.message, "post-copy"));
}
END_TEST

START_TEST(an_action_without_a_host_fails)
{
    ck_assert_int_ne(run("qemu+unix:///system?socket=/nowhere", STEER_ABORT).code, ERROR_NONE);
}
END_TEST

START_TEST(an_action_can_be_left_behind)
{
    struct migration_act *act = migration_act_begin(URI, uuid, STEER_PAUSE, 0);

    ck_assert_ptr_nonnull(act);
    migration_act_free(act);
    migration_act_free(NULL);
    for (int state = VIR_DOMAIN_RUNNING, looks = 0; state != VIR_DOMAIN_PAUSED && looks < 500; looks++) {
        usleep(10000);
        ck_assert_int_eq(virDomainGetState(dom, &state, NULL, 0), 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("guest_migrate_act");
    TCase *tests = tcase_create("guest_migrate_act");
    SRunner *runner = srunner_create(suite);

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, an_action_that_works_says_so);
    tcase_add_test(tests, an_action_that_cannot_be_done_says_why);
    tcase_add_test(tests, an_action_without_a_host_fails);
    tcase_add_test(tests, an_action_can_be_left_behind);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
