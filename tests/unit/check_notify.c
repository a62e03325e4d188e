/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a service manager hears; the test is the manager. Each test runs in a process, and so an environment, of its
 * own. */

#include <check.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "monotonic.h"
#include "notify.h"

static int manager = -1; /* its socket */
static char directory[] = "/tmp/check_notify.XXXXXX", path[64];

/* Listens at the address, and names it `name` to the process. */
static void listen_at(const struct sockaddr_un *address, size_t path_length, const char *name)
{
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_length);

    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(manager, (const struct sockaddr *)address, length), 0);
    setenv("NOTIFY_SOCKET", name, 1);
}

static void setup(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/notify", directory);
    strcpy(address.sun_path, path);
    listen_at(&address, strlen(path) + 1, path);
}

static void teardown(void)
{
    close(manager);
    unlink(path);
    rmdir(directory);
}

static void expect(const char *text)
{
    char heard[4096] = "";
    ssize_t length = recv(manager, heard, sizeof(heard) - 1, 0);

    ck_assert_msg(length >= 0, "nothing was heard, not even '%s'", text);
    ck_assert_str_eq(heard, text);
}

static void expect_nothing(void)
{
    char heard[4096];

    ck_assert_int_lt(recv(manager, heard, sizeof(heard), 0), 0);
}

START_TEST(the_manager_hears_of_start_life_and_end)
{
    notify_ready(NULL);
    notify_ready("serving node1");
    notify_watchdog();
    notify_stopping();
    expect("READY=1");
    expect("READY=1\nSTATUS=serving node1");
    expect("WATCHDOG=1");
    expect("STOPPING=1");
    expect_nothing();
}
END_TEST

START_TEST(a_status_is_one_line)
{
    char status[1000];

    memset(status, 's', sizeof(status) - 1);
    status[sizeof(status) - 1] = 0;
    notify_ready("fine\nSTOPPING=1");
    notify_ready(status);
    notify_ready("");
    expect("READY=1\nSTATUS=fine");
    memcpy(status, "READY=1\nSTATUS=", 15);
    status[255] = 0;
    expect(status);
    expect("READY=1\nSTATUS=");
}
END_TEST

/* The name ends with the address, whatever is in it. */
START_TEST(an_abstract_name_is_no_file)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char name[64];
    int length = snprintf(name, sizeof(name), "@%s", path);

    close(manager);
    memcpy(address.sun_path + 1, path, (size_t)length - 1);
    listen_at(&address, (size_t)length, name);
    notify_watchdog();
    expect("WATCHDOG=1");
}
END_TEST

START_TEST(the_longest_names_fit)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char name[sizeof(address.sun_path) + 1];
    int length = snprintf(name, sizeof(name), "@%0*d", (int)sizeof(address.sun_path) - 2, getpid());

    close(manager);
    memcpy(address.sun_path + 1, name + 1, (size_t)length - 1);
    listen_at(&address, (size_t)length, name);
    notify_watchdog();
    expect("WATCHDOG=1");
    strcat(name, "x");
    setenv("NOTIFY_SOCKET", name, 1);
    notify_watchdog();
    expect_nothing();
}
END_TEST

START_TEST(without_a_manager_nothing_happens)
{
    static const char *const names[] = { NULL, "", "@", "/", "relative", "vsock:2:1", "/nonexistent/notify" };

    if (names[_i])
        setenv("NOTIFY_SOCKET", names[_i], 1);
    else
        unsetenv("NOTIFY_SOCKET");
    notify_ready("ready");
    notify_watchdog();
    notify_stopping();
    expect_nothing();
}
END_TEST

/* The queue of a socket that nobody reads holds some ten datagrams. */
START_TEST(a_manager_that_does_not_listen_holds_nobody_for_long)
{
    AUTO(fd) int stuffing = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int64_t begun;

    strcpy(address.sun_path, path);
    while (sendto(stuffing, "", 1, 0, (const struct sockaddr *)&address, sizeof(address)) == 1)
        ;
    begun = monotonic_now_ms();
    notify_watchdog();
    ck_assert_int_ge(monotonic_now_ms() - begun, 1900);
    ck_assert_int_lt(monotonic_now_ms() - begun, 20000);
}
END_TEST

static int64_t watchdog_ms(const char *usec, const char *pid)
{
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    if (usec)
        setenv("WATCHDOG_USEC", usec, 1);
    if (pid)
        setenv("WATCHDOG_PID", pid, 1);
    return notify_watchdog_ms();
}

START_TEST(the_watchdog_is_fed_twice_as_often_as_it_must)
{
    char own[32], other[32];

    snprintf(own, sizeof(own), "%d", getpid());
    snprintf(other, sizeof(other), "%d", getppid());
    ck_assert_int_eq(watchdog_ms("30000000", NULL), 15000);
    ck_assert_int_eq(watchdog_ms("30000000", own), 15000);
    ck_assert_int_eq(watchdog_ms("9000000000000", NULL), 4500000000);
    ck_assert_int_eq(watchdog_ms("30000000", other), 0);
    ck_assert_int_eq(watchdog_ms("30000000", ""), 0);
    ck_assert_int_eq(watchdog_ms(NULL, NULL), 0);
    ck_assert_int_eq(watchdog_ms(NULL, own), 0);
    ck_assert_int_eq(watchdog_ms("", NULL), 0);
    ck_assert_int_eq(watchdog_ms("0", NULL), 0);
    ck_assert_int_eq(watchdog_ms("-1", NULL), 0);
    ck_assert_int_eq(watchdog_ms("30s", NULL), 0);
    ck_assert_int_eq(watchdog_ms("99999999999999999999", NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("notify");
    TCase *tcase = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_manager_hears_of_start_life_and_end);
    tcase_add_test(tcase, a_status_is_one_line);
    tcase_add_test(tcase, an_abstract_name_is_no_file);
    tcase_add_test(tcase, the_longest_names_fit);
    tcase_add_loop_test(tcase, without_a_manager_nothing_happens, 0, 7);
    tcase_add_test(tcase, a_manager_that_does_not_listen_holds_nobody_for_long);
    tcase_add_test(tcase, the_watchdog_is_fed_twice_as_often_as_it_must);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
