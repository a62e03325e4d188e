/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Connections are shared within their bounds, and a host that is away or silent holds nobody longer than it may. */

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "cleanup.h"
#include "hypervisor.h"

#define AWAY "qemu+unix:///system?socket=/nonexistent/libvirt-sock"

static struct hypervisor *host;

static double now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void setup(void)
{
    struct error err = ERROR_INIT;

    ck_assert_msg(hypervisor_loop_start(&err) == 0, "%s", err.message);
    host = hypervisor_new("node1", "test:///default", 5000, &err);
    ck_assert_ptr_nonnull(host);
}

static void teardown(void)
{
    hypervisor_free(host);
    hypervisor_loop_stop();
}

static struct hypervisor *another(const char *uri, int patience_ms)
{
    struct error err = ERROR_INIT;
    struct hypervisor *other = hypervisor_new("node2", uri, patience_ms, &err);

    ck_assert_ptr_nonnull(other);
    return other;
}

static virConnectPtr acquire(enum hypervisor_use use)
{
    struct error err = ERROR_INIT;
    virConnectPtr conn = NULL;

    ck_assert_msg(hypervisor_acquire(host, use, &conn, &err) == 0, "%s", err.message);
    ck_assert(hypervisor_is_alive(conn));
    return conn;
}

static const enum hypervisor_use uses[] = { HYPERVISOR_QUICK, HYPERVISOR_LONG, HYPERVISOR_QUERY,
                                            HYPERVISOR_EVENTS };

START_TEST(test_shares_no_connection)
{
    virConnectPtr first = acquire(uses[_i]), second = acquire(uses[_i]);

    ck_assert_ptr_ne(second, first);
    hypervisor_release(host, first);
    hypervisor_release(host, second);
}
END_TEST

START_TEST(test_keeps_uses_apart)
{
    virConnectPtr all[] = { acquire(HYPERVISOR_QUICK), acquire(HYPERVISOR_LONG), acquire(HYPERVISOR_QUERY),
                            acquire(HYPERVISOR_EVENTS) };

    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            ck_assert_ptr_ne(all[i], all[j]);
    for (int i = 0; i < 4; i++)
        hypervisor_release(host, all[i]);
}
END_TEST

/* What was idle is taken again, for whatever use; so what the test driver holds in memory outlives its calls. */
START_TEST(test_keeps_an_idle_connection)
{
    virConnectPtr conn = acquire(HYPERVISOR_QUICK);
    virDomainPtr dom = virDomainDefineXML(conn, "<domain type='test'><name>kept</name><memory>1024</memory>"
                                                "<os><type>hvm</type></os></domain>");

    ck_assert_ptr_nonnull(dom);
    virDomainFree(dom);
    hypervisor_release(host, conn);
    conn = acquire(HYPERVISOR_LONG);
    dom = virDomainLookupByName(conn, "kept");
    ck_assert_ptr_nonnull(dom);
    virDomainFree(dom);
    hypervisor_release(host, conn);
}
END_TEST

START_TEST(test_release_takes_null)
{
    hypervisor_release(host, NULL);
    hypervisor_free(NULL);
}
END_TEST

START_TEST(test_counts_the_jobs_meant_for_it)
{
    ck_assert_int_eq(hypervisor_load(host), 0);
    hypervisor_assign(host, 3);
    hypervisor_assign(host, -1);
    ck_assert_int_eq(hypervisor_load(host), 2);
    ck_assert_str_eq(hypervisor_name(host), "node1");
}
END_TEST

START_TEST(test_says_why_a_host_is_away)
{
    struct hypervisor *away = another(AWAY, 0);
    struct error err = ERROR_INIT;
    virConnectPtr conn = NULL;
    double start = now();

    ck_assert_int_eq(hypervisor_acquire(away, HYPERVISOR_QUICK, &conn, &err), -1);
    ck_assert_int_eq(err.code, ERROR_HOST_UNAVAILABLE);
    ck_assert_msg(strstr(err.message, "node2") && strstr(err.message, "/nonexistent/"), "%s", err.message);
    ck_assert_int_ne(err.libvirt_code, 0);
    ck_assert(error_is_transient(&err));
    ck_assert_ptr_null(conn);
    ck_assert_msg(now() - start < 1.5, "took %.1f s", now() - start);
    ck_assert_int_eq(hypervisor_acquire(away, HYPERVISOR_QUICK, &conn, NULL), -1);
    hypervisor_free(away);
}
END_TEST

START_TEST(test_waits_with_patience)
{
    struct hypervisor *away = another(AWAY, 2500);
    struct error err = ERROR_INIT;
    virConnectPtr conn = NULL;
    double start = now();

    ck_assert_int_eq(hypervisor_acquire(away, HYPERVISOR_QUICK, &conn, &err), -1);
    ck_assert_msg(now() - start > 2.4 && now() - start < 5, "took %.1f s", now() - start);
    ck_assert_msg(strstr(err.message, "/nonexistent/") != NULL, "%s", err.message);
    hypervisor_free(away);
}
END_TEST

static void *shut_down_soon(void *opaque)
{
    struct timespec soon = { .tv_nsec = 300000000 };

    nanosleep(&soon, NULL);
    hypervisor_shutdown(opaque);
    return NULL;
}

START_TEST(test_shutdown_ends_the_wait)
{
    struct hypervisor *away = another(AWAY, 60000);
    struct error err = ERROR_INIT;
    virConnectPtr conn = NULL;
    double start = now();
    pthread_t thread;

    pthread_create(&thread, NULL, shut_down_soon, away);
    ck_assert_int_eq(hypervisor_acquire(away, HYPERVISOR_QUICK, &conn, &err), -1);
    pthread_join(thread, NULL);
    ck_assert_int_eq(err.code, ERROR_HOST_UNAVAILABLE);
    ck_assert_msg(now() - start < 2, "took %.1f s", now() - start);
    ck_assert_int_eq(hypervisor_acquire(away, HYPERVISOR_QUICK, &conn, &err), -1);
    ck_assert_msg(now() - start < 3, "took %.1f s", now() - start);
    hypervisor_free(away);
}
END_TEST

START_TEST(test_serves_after_shutdown)
{
    hypervisor_shutdown(host);
    hypervisor_release(host, acquire(HYPERVISOR_QUICK)); /* the host is there: what must be undone can be */
}
END_TEST

/* A host that accepts and then says nothing: virConnectOpen on it never returns. */
static int listen_silently(char *ret_uri, size_t size)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/check-hypervisor.%d", getpid());
    unlink(address.sun_path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    snprintf(ret_uri, size, "qemu+unix:///system?socket=%s", address.sun_path);
    return fd;
}

struct waiter {
    struct hypervisor *hypervisor;
    double took;
};

static void *wait_in_vain(void *opaque)
{
    struct waiter *waiter = opaque;
    struct error err = ERROR_INIT;
    virConnectPtr conn = NULL;
    double start = now();

    ck_assert_int_eq(hypervisor_acquire(waiter->hypervisor, HYPERVISOR_QUICK, &conn, &err), -1);
    ck_assert_int_eq(err.code, ERROR_HOST_UNAVAILABLE);
    waiter->took = now() - start;
    return NULL;
}

START_TEST(test_a_silent_host_holds_nobody)
{
    char uri[160];
    int fd = listen_silently(uri, sizeof(uri));
    struct hypervisor *silent = another(uri, 2500);
    struct waiter waiters[4];
    pthread_t threads[4];
    double start;

    for (int i = 0; i < 4; i++) {
        waiters[i] = (struct waiter){ .hypervisor = silent };
        pthread_create(&threads[i], NULL, wait_in_vain, &waiters[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_msg(waiters[i].took > 2.4 && waiters[i].took < 5, "took %.1f s", waiters[i].took);
    }
    start = now();
    hypervisor_free(silent);
    ck_assert_msg(now() - start < 4, "took %.1f s", now() - start);
    close(fd); /* the open that hung ends, and cleans up behind itself */
    unlink(strchr(uri, '=') + 1);
    usleep(500000);
}
END_TEST

/* Each connection's users as counted from outside. */
static struct {
    pthread_mutex_t mutex;
    struct {
        virConnectPtr conn;
        int users;
    } rows[64];
} seen = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void seen_add(virConnectPtr conn, int by)
{
    SCOPE_LOCK(&seen.mutex);
    int i = 0;

    while (seen.rows[i].conn != conn && seen.rows[i].users > 0)
        i++;
    for (int j = i; j < 64 && seen.rows[i].conn != conn; j++)
        if (seen.rows[j].conn == conn)
            i = j;
    seen.rows[i].conn = conn;
    seen.rows[i].users += by;
    ck_assert_int_le(seen.rows[i].users, 1);
}

static void *stress(void *opaque)
{
    int which = (int)(intptr_t)opaque % 4;

    for (int i = 0; i < 300; i++) {
        virConnectPtr conn = acquire(uses[which]);

        seen_add(conn, 1);
        ck_assert_int_ge(virConnectNumOfDomains(conn), 0);
        seen_add(conn, -1);
        hypervisor_release(host, conn);
    }
    return NULL;
}

START_TEST(test_shares_none_under_load)
{
    pthread_t threads[12];

    for (intptr_t i = 0; i < 12; i++)
        pthread_create(&threads[i], NULL, stress, (void *)i);
    for (int i = 0; i < 12; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(hypervisor_load(host), 0);
}
END_TEST

START_TEST(test_is_cheap_when_connected)
{
    double start = now();

    hypervisor_release(host, acquire(HYPERVISOR_QUICK));
    for (int i = 0; i < 10000; i++) {
        virConnectPtr conn = NULL;

        ck_assert_int_eq(hypervisor_acquire(host, HYPERVISOR_QUICK, &conn, NULL), 0);
        hypervisor_release(host, conn);
    }
    ck_assert_msg(now() - start < 10, "%.0f a second", 10000 / (now() - start));
}
END_TEST

START_TEST(test_jitter_stays_in_its_bounds)
{
    bool differ = false;

    for (int i = 0; i < 1000; i++) {
        int ms = hypervisor_jitter(200);

        ck_assert_int_ge(ms, 100);
        ck_assert_int_le(ms, 300);
        differ |= ms != 200;
    }
    ck_assert(differ);
    ck_assert_int_eq(hypervisor_jitter(0), 0);
}
END_TEST

START_TEST(test_loop_starts_again)
{
    struct error err = ERROR_INIT;

    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(hypervisor_loop_start(&err), 0);
        hypervisor_loop_stop();
    }
    hypervisor_loop_stop();
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("hypervisor");
    TCase *pool = tcase_create("pool"), *loop = tcase_create("loop");

    tcase_set_timeout(pool, 60);
    tcase_add_checked_fixture(pool, setup, teardown);
    tcase_add_loop_test(pool, test_shares_no_connection, 0, 4);
    tcase_add_test(pool, test_keeps_uses_apart);
    tcase_add_test(pool, test_keeps_an_idle_connection);
    tcase_add_test(pool, test_release_takes_null);
    tcase_add_test(pool, test_counts_the_jobs_meant_for_it);
    tcase_add_test(pool, test_says_why_a_host_is_away);
    tcase_add_test(pool, test_waits_with_patience);
    tcase_add_test(pool, test_shutdown_ends_the_wait);
    tcase_add_test(pool, test_serves_after_shutdown);
    tcase_add_test(pool, test_a_silent_host_holds_nobody);
    tcase_add_test(pool, test_shares_none_under_load);
    tcase_add_test(pool, test_is_cheap_when_connected);
    suite_add_tcase(all, pool);
    tcase_add_test(loop, test_jitter_stays_in_its_bounds);
    tcase_add_test(loop, test_loop_starts_again);
    suite_add_tcase(all, loop);
    return all;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
