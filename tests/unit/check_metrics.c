/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Counting, the text format, the bounds; and the server, over the loopback. */

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "metrics.h"

static void assert_has(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part), "'%s' is not in:\n%s", part, text);
}

static void assert_shows(const char *line)
{
    char *text = metrics_render();
    char whole[512];

    snprintf(whole, sizeof(whole), "\n%s\n", line);
    assert_has(text, whole);
    free(text);
}

START_TEST(counters_and_gauges_count)
{
    metrics_add(METRIC_JOBS_STARTED, 1, "volume.clone", NULL);
    metrics_add(METRIC_JOBS_STARTED, 2, "volume.clone", NULL);
    metrics_add(METRIC_JOBS_ENDED, 1, "volume.clone", "failed");
    metrics_set(METRIC_LINK_UP, 1, "quick", NULL);
    metrics_set(METRIC_LINK_UP, 0, "quick", NULL);
    metrics_add(METRIC_JOBS_RUNNING, 3, "long", NULL);
    metrics_add(METRIC_JOBS_RUNNING, -1, "long", NULL);
    ck_assert_double_eq(metrics_get(METRIC_JOBS_STARTED, "volume.clone", NULL), 3);
    ck_assert_double_eq(metrics_get(METRIC_JOBS_STARTED, "other", NULL), 0);
    assert_shows("virtjob_jobs_started_total{type=\"volume.clone\"} 3");
    assert_shows("virtjob_jobs_ended_total{type=\"volume.clone\",state=\"failed\"} 1");
    assert_shows("virtjob_link_up{link=\"quick\"} 0");
    assert_shows("virtjob_jobs_running{lane=\"long\"} 2");
    assert_shows("# TYPE virtjob_jobs_running gauge");
    assert_shows("# HELP virtjob_jobs_ended_total Jobs that have an outcome.");
}
END_TEST

START_TEST(metrics_without_labels_are_there_from_the_start)
{
    assert_shows("virtjob_confirmed_total 0");
    metrics_add(METRIC_CONFIRMED, 1, "ignored", NULL);
    metrics_add(METRIC_CONFIRMED, 0.25, NULL, NULL);
    assert_shows("virtjob_confirmed_total 1.25");
}
END_TEST

START_TEST(missing_label_is_empty)
{
    metrics_add(METRIC_JOBS_ENDED, 1, "a", NULL);
    metrics_add(METRIC_JOBS_ENDED, 1, NULL, "a");
    assert_shows("virtjob_jobs_ended_total{type=\"a\",state=\"\"} 1");
    assert_shows("virtjob_jobs_ended_total{type=\"\",state=\"a\"} 1");
}
END_TEST

START_TEST(labels_are_escaped_and_cut)
{
    char longest[300];

    metrics_add(METRIC_HOST_UP, 1, "a\"b\\c\nd", NULL);
    assert_shows("virtjob_host_up{host=\"a\\\"b\\\\c\\nd\"} 1");
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    metrics_add(METRIC_HOST_UP, 1, longest, NULL);
    longest[200] = '\0';
    metrics_add(METRIC_HOST_UP, 1, longest, NULL);
    longest[127] = '\0';
    ck_assert_double_eq(metrics_get(METRIC_HOST_UP, longest, NULL), 2);
}
END_TEST

START_TEST(histogram_is_cumulative)
{
    metrics_add(METRIC_JOB_SECONDS, 0.005, "t", NULL);
    metrics_add(METRIC_JOB_SECONDS, 0.3, "t", NULL);
    metrics_add(METRIC_JOB_SECONDS, 100000, "t", NULL);
    assert_shows("# TYPE virtjob_job_seconds histogram");
    assert_shows("virtjob_job_seconds_bucket{type=\"t\",le=\"0.005\"} 1");
    assert_shows("virtjob_job_seconds_bucket{type=\"t\",le=\"0.1\"} 1");
    assert_shows("virtjob_job_seconds_bucket{type=\"t\",le=\"0.5\"} 2");
    assert_shows("virtjob_job_seconds_bucket{type=\"t\",le=\"7200\"} 2");
    assert_shows("virtjob_job_seconds_bucket{type=\"t\",le=\"+Inf\"} 3");
    assert_shows("virtjob_job_seconds_sum{type=\"t\"} 100000.305");
    assert_shows("virtjob_job_seconds_count{type=\"t\"} 3");
}
END_TEST

START_TEST(series_are_bounded)
{
    char label[32], *text;

    for (int i = 0; i < 6000; i++) {
        snprintf(label, sizeof(label), "event-%d", i);
        metrics_add(METRIC_LIFECYCLE_EVENTS, 1, "host", label);
    }
    metrics_add(METRIC_JOBS_STARTED, 1, "late", NULL);
    ck_assert_double_eq(metrics_get(METRIC_LIFECYCLE_EVENTS, "other", "other"), 6000 - 4096);
    ck_assert_double_eq(metrics_get(METRIC_LIFECYCLE_EVENTS, "host", "event-4095"), 1);
    ck_assert_double_eq(metrics_get(METRIC_JOBS_STARTED, "other", NULL), 1);
    text = metrics_render();
    ck_assert_uint_lt(strlen(text), 1 << 20);
    free(text);
}
END_TEST

START_TEST(every_row_has_name_help_and_type)
{
    char *text = metrics_render(), *line = text;
    int helps = 0, types = 0;

    for (; (line = strstr(line, "# HELP virtjob_")); line++, helps++)
        ck_assert_uint_gt(strcspn(line, "\n"), strlen("# HELP virtjob_") + 10);
    for (line = text; (line = strstr(line, "# TYPE virtjob_")); line++)
        types++;
    ck_assert_int_eq(helps, METRIC_LAST + 1); /* and build_info */
    ck_assert_int_eq(types, METRIC_LAST + 1);
    free(text);
}
END_TEST

START_TEST(process_figures_are_true)
{
    char *text = metrics_render();
    const char *memory = strstr(text, "\nprocess_resident_memory_bytes ");
    const char *start = strstr(text, "\nprocess_start_time_seconds ");

    ck_assert_double_gt(strtod(strchr(memory, ' '), NULL), 100000);
    ck_assert_double_lt(strtod(strchr(start, ' '), NULL), (double)time(NULL) + 2);
    ck_assert_double_gt(strtod(strchr(start, ' '), NULL), (double)time(NULL) - 600);
    assert_has(text, "\nvirtjob_build_info{version=\"" VIRTJOB_VERSION "\"} 1\n");
    free(text);
}
END_TEST

static void *count_much(void *unused)
{
    for (int i = 0; i < 10000; i++) {
        metrics_add(METRIC_DELIVERIES, 1, i % 2 ? "quick" : "long", NULL);
        metrics_add(METRIC_JOB_SECONDS, 1, "t", NULL);
        if (i % 2000 == 0)
            free(metrics_render());
    }
    return unused;
}

START_TEST(threads_may_count_together)
{
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, count_much, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_double_eq(metrics_get(METRIC_DELIVERIES, "quick", NULL), 20000);
    ck_assert_double_eq(metrics_get(METRIC_JOB_SECONDS, "t", NULL), 40000);
}
END_TEST

/* The server */

static int health;

static int healthy(void *opaque)
{
    ck_assert_ptr_eq(opaque, &health);
    return health;
}

static int connect_to(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((in_port_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = { .tv_sec = 20 };

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* The whole answer; valid until the next. */
static const char *ask(const char *request)
{
    static char answer[1 << 16];
    int fd = connect_to(metrics_port());
    size_t length = 0;
    ssize_t got;

    dprintf(fd, "%s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", request);
    while ((got = recv(fd, answer + length, sizeof(answer) - 1 - length, 0)) > 0)
        length += (size_t)got;
    answer[length] = '\0';
    close(fd);
    return answer;
}

START_TEST(server_answers)
{
    ck_assert_int_eq(metrics_serve("127.0.0.1:0", healthy, &health, NULL), 0);
    metrics_add(METRIC_JOBS_STARTED, 7, "volume.clone", NULL);
    assert_has(ask("GET /metrics"), "HTTP/1.1 200 OK\r\n");
    assert_has(ask("GET /metrics"), "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    assert_has(ask("GET /metrics"), "\nvirtjob_jobs_started_total{type=\"volume.clone\"} 7\n");
    assert_has(ask("HEAD /metrics"), "HTTP/1.1 200 OK\r\n");
    ck_assert_ptr_null(strstr(ask("HEAD /metrics"), "virtjob_jobs"));
    assert_has(ask("GET /healthz"), "HTTP/1.1 503 ");
    health = 1;
    assert_has(ask("GET /healthz"), "HTTP/1.1 200 OK\r\n");
    assert_has(ask("GET /"), "HTTP/1.1 404 ");
    assert_has(ask("GET /metrics/.."), "HTTP/1.1 404 ");
    assert_has(ask("POST /metrics"), "HTTP/1.1 405 ");
    assert_has(ask("DELETE /metrics"), "Allow: GET, HEAD\r\n");
    metrics_stop();
    metrics_stop();
    ck_assert_int_eq(metrics_port(), -1);
}
END_TEST

START_TEST(server_outlives_a_crowd_of_idlers)
{
    int idlers[40];

    ck_assert_int_eq(metrics_serve("127.0.0.1:0", NULL, NULL, NULL), 0);
    for (int i = 0; i < 40; i++)
        idlers[i] = connect_to(metrics_port());
    for (int i = 0; i < 40; i++)
        close(idlers[i]);
    for (int i = 0; i < 200 && !strstr(ask("GET /healthz"), "200 OK"); i++)
        usleep(10000);
    assert_has(ask("GET /healthz"), "200 OK");
    metrics_stop();
}
END_TEST

START_TEST(server_tells_why_it_cannot)
{
    struct error err = ERROR_INIT;
    char address[64];

    ck_assert_int_eq(metrics_serve("127.0.0.1:0", NULL, NULL, &err), 0);
    ck_assert_int_eq(metrics_serve("127.0.0.1:0", NULL, NULL, &err), -1);
    assert_has(err.message, "already");
    snprintf(address, sizeof(address), "127.0.0.1:%d", metrics_port());
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in taken = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(taken);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&taken, size), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    getsockname(fd, (struct sockaddr *)&taken, &size);
    metrics_stop();
    snprintf(address, sizeof(address), "127.0.0.1:%d", ntohs(taken.sin_port));
    ck_assert_int_eq(metrics_serve(address, NULL, NULL, &err), -1);
    assert_has(err.message, "in use");
    assert_has(err.message, address);
    close(fd);
}
END_TEST

static const char *const wrong_addresses[] = {
    "",          "127.0.0.1", ":",       ":x",           ":70000",        "localhost:9177",
    "[::1:9177", "1.2.3:80",  "::1:80x", "127.0.0.1:-1", "[127.0.0.1]:80"
};

START_TEST(wrong_addresses_are_refused)
{
    struct error err = ERROR_INIT;

    ck_assert_int_eq(metrics_serve(wrong_addresses[_i], NULL, NULL, &err), -1);
    ck_assert_int_eq(err.code, ERROR_INVALID);
}
END_TEST

START_TEST(all_addresses_can_be_served)
{
    ck_assert_int_eq(metrics_serve(":0", NULL, NULL, NULL), 0);
    assert_has(ask("GET /healthz"), "200 OK");
    metrics_stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tcase = tcase_create("all");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, metrics_reset, metrics_reset);
    tcase_add_test(tcase, counters_and_gauges_count);
    tcase_add_test(tcase, metrics_without_labels_are_there_from_the_start);
    tcase_add_test(tcase, missing_label_is_empty);
    tcase_add_test(tcase, labels_are_escaped_and_cut);
    tcase_add_test(tcase, histogram_is_cumulative);
    tcase_add_test(tcase, series_are_bounded);
    tcase_add_test(tcase, every_row_has_name_help_and_type);
    tcase_add_test(tcase, process_figures_are_true);
    tcase_add_test(tcase, threads_may_count_together);
    tcase_add_test(tcase, server_answers);
    tcase_add_test(tcase, server_outlives_a_crowd_of_idlers);
    tcase_add_test(tcase, server_tells_why_it_cannot);
    tcase_add_loop_test(tcase, wrong_addresses_are_refused, 0,
                        sizeof(wrong_addresses) / sizeof(wrong_addresses[0]));
    tcase_add_test(tcase, all_addresses_can_be_served);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
