/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Reports over a clock of the test's own; the sampler over the real one. */

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "progress.h"

static int64_t time_ms;
static json_t *last; /* the last report */
static int reports;
static struct progress *progress;

static int64_t test_now(void *unused)
{
    (void)unused;
    return time_ms;
}

/* A calendar that is set to whatever day, and goes on as the clock does. */
static int64_t test_today(void *unused)
{
    (void)unused;
    return 1795000000000 + time_ms;
}

static void keep(void *unused, json_t *report)
{
    (void)unused;
    json_decref(last);
    last = report;
    reports++;
    ck_assert_int_eq(json_integer_value(json_object_get(last, "seq")), reports);
}

static void begin(int interval_ms, int quiet_ms)
{
    progress = progress_new(interval_ms, quiet_ms, keep, NULL, NULL);
    time_ms = 5000;
    progress_set_clock(progress, test_now, NULL);
    progress_phase(progress, "copying", "bytes");
}

static void teardown(void)
{
    progress_free(progress);
    json_decref(last);
}

static void update(int64_t after_ms, uint64_t done, uint64_t total)
{
    time_ms += after_ms;
    progress_update(progress, done, total);
}

static double number(const char *key)
{
    json_t *value = json_object_get(last, key);

    return value ? json_number_value(value) : -1;
}

START_TEST(report_has_all_members)
{
    begin(1000, 0);
    update(0, 50, 200);
    ck_assert_int_eq(reports, 1);
    ck_assert_str_eq(json_string_value(json_object_get(last, "phase")), "copying");
    ck_assert_str_eq(json_string_value(json_object_get(last, "unit")), "bytes");
    ck_assert_double_eq(number("done"), 50);
    ck_assert_double_eq(number("total"), 200);
    ck_assert_double_eq(number("percent"), 25);
    ck_assert(json_is_false(json_object_get(last, "stalled")));
    ck_assert_ptr_null(json_object_get(last, "rate"));
    ck_assert_ptr_null(json_object_get(last, "eta_s"));
    ck_assert_uint_eq(json_object_size(last), 7);
}
END_TEST

START_TEST(reports_keep_the_interval)
{
    begin(1000, 0);
    for (uint64_t i = 0; i <= 100; i++)
        update(100, i, 1000);
    ck_assert_int_eq(reports, 11);
}
END_TEST

START_TEST(quiet_time_is_silent)
{
    begin(100, 1000);
    for (uint64_t i = 1; i <= 9; i++)
        update(100, i, 10);
    progress_finish(progress);
    ck_assert_int_eq(reports, 0);
    progress_phase(progress, "next", "steps");
    update(100, 1, 10);
    ck_assert_int_eq(reports, 1);
}
END_TEST

START_TEST(nothing_runs_backwards)
{
    begin(0, 0);
    update(1000, 500, 1000);
    update(1000, 400, 1000);
    ck_assert_double_eq(number("done"), 500);
    update(1000, 500, 2000);
    ck_assert_double_eq(number("total"), 2000);
    ck_assert_double_eq(number("percent"), 50);
    update(1000, 1500, 2000);
    ck_assert_double_eq(number("percent"), 75);
    update(1000, 9000, 2000);
    ck_assert_double_eq(number("done"), 2000);
    ck_assert_double_eq(number("percent"), 99.9);
    update(1000, 9000, 1000);
    ck_assert_double_eq(number("done"), 2000);
    ck_assert_double_eq(number("total"), 2000);
    update(1000, UINT64_MAX, UINT64_MAX);
    ck_assert_double_gt(number("done"), 9e18);
}
END_TEST

START_TEST(total_may_come_late)
{
    begin(0, 0);
    update(1000, 10, 0);
    ck_assert_double_eq(number("total"), 0);
    ck_assert_double_eq(number("percent"), 0);
    ck_assert_double_eq(number("rate"), 10);
    ck_assert_double_eq(number("eta_s"), -1);
    update(1000, 20, 100);
    ck_assert_double_eq(number("percent"), 20);
    ck_assert_double_eq(number("eta_s"), 8);
    update(1000, 30, 0);
    ck_assert_double_eq(number("total"), 100);
}
END_TEST

START_TEST(percent_is_rounded_down_to_one_decimal)
{
    begin(0, 0);
    update(0, 1, 3);
    ck_assert_double_eq(number("percent"), 33.3);
    update(0, 2, 3);
    ck_assert_double_eq(number("percent"), 66.6);
    progress_phase(progress, "b", "bytes");
    update(0, 99999, 100000);
    ck_assert_double_eq(number("percent"), 99.9);
}
END_TEST

START_TEST(finish_is_the_last_word)
{
    begin(1000, 0);
    update(0, 1, 4);
    progress_finish(progress);
    ck_assert_int_eq(reports, 2);
    ck_assert_double_eq(number("done"), 4);
    ck_assert_double_eq(number("percent"), 100);
    progress_finish(progress);
    ck_assert_int_eq(reports, 2);
    progress_phase(progress, "next", "steps");
    progress_finish(progress);
    ck_assert_int_eq(reports, 2);
    update(1000, 7, 0);
    ck_assert_int_eq(reports, 3);
}
END_TEST

START_TEST(finish_without_a_total_takes_what_was_done)
{
    begin(1000, 0);
    update(0, 7, 0);
    progress_finish(progress);
    ck_assert_double_eq(number("total"), 7);
    ck_assert_double_eq(number("percent"), 100);
}
END_TEST

START_TEST(rate_is_smooth_and_follows)
{
    begin(0, 0);
    for (uint64_t i = 1; i <= 50; i++) /* uneven updates, 100 a second on the whole */
        update(i % 2 ? 1900 : 100, i * 100, 1000000);
    ck_assert_double_gt(number("rate"), 90);
    ck_assert_double_lt(number("rate"), 110);
    for (uint64_t i = 1; i <= 60; i++)
        update(1000, 5000 + i * 1000, 1000000);
    ck_assert_double_gt(number("rate"), 950);
    ck_assert_double_lt(number("rate"), 1001);
    ck_assert_double_gt(number("eta_s"), 930);
    ck_assert_double_lt(number("eta_s"), 990);
}
END_TEST

START_TEST(eta_beyond_a_year_is_not_told)
{
    begin(0, 0);
    update(1000, 1, UINT64_MAX);
    ck_assert_double_eq(number("rate"), 1);
    ck_assert_double_eq(number("eta_s"), -1);
}
END_TEST

START_TEST(stalled_after_40_s_without_growth)
{
    begin(0, 0);
    update(1000, 10, 100);
    update(39999, 10, 100);
    ck_assert(json_is_false(json_object_get(last, "stalled")));
    update(1, 10, 100);
    ck_assert(json_is_true(json_object_get(last, "stalled")));
    update(1000, 11, 100);
    ck_assert(json_is_false(json_object_get(last, "stalled")));
    time_ms += 60000;
    progress_phase(progress, "next", "bytes");
    update(0, 0, 10);
    ck_assert(json_is_false(json_object_get(last, "stalled")));
}
END_TEST

/* What the caller knows beside done and total. */

START_TEST(a_detail_is_told_until_the_next_phase)
{
    begin(0, 0);
    progress_set_detail(progress, json_pack("{s:i}", "iteration", 1));
    ck_assert_int_eq(reports, 0);
    update(0, 10, 100);
    update(1000, 20, 100);
    ck_assert_double_eq(number("iteration"), 1);
    progress_set_detail(progress, json_pack("{s:i}", "left", 7));
    update(1000, 30, 100);
    ck_assert_double_eq(number("left"), 7);
    ck_assert_double_eq(number("iteration"), -1);
    progress_phase(progress, "next", "bytes");
    update(1000, 1, 100);
    ck_assert_double_eq(number("left"), -1);
}
END_TEST

START_TEST(a_detail_may_be_taken_back)
{
    begin(0, 0);
    progress_set_detail(progress, json_pack("{s:i}", "left", 7));
    progress_set_detail(progress, NULL);
    update(0, 10, 100);
    ck_assert_double_eq(number("left"), -1);
}
END_TEST

/* Whoever got the report may change it. */
START_TEST(a_detail_is_copied_into_each_report)
{
    begin(0, 0);
    progress_set_detail(progress, json_pack("{s:{s:i}}", "guests", "web", 1));
    update(0, 10, 100);
    json_object_clear(json_object_get(last, "guests"));
    update(0, 20, 100);
    ck_assert_uint_eq(json_object_size(json_object_get(last, "guests")), 1);
}
END_TEST

static bool stalled(void)
{
    return json_is_true(json_object_get(last, "stalled"));
}

START_TEST(the_caller_knows_better_what_is_stalled)
{
    begin(0, 0);
    progress_set_stalled(progress, true);
    update(0, 10, 100);
    ck_assert(stalled());
    progress_set_stalled(progress, false);
    update(60000, 10, 100);
    ck_assert(!stalled());
    progress_phase(progress, "next", "bytes");
    update(39999, 0, 100);
    ck_assert(!stalled());
    update(1, 0, 100);
    ck_assert(stalled());
}
END_TEST

START_TEST(being_stalled_does_not_wait_for_the_interval)
{
    begin(30000, 0);
    update(0, 10, 100);
    progress_set_stalled(progress, true);
    ck_assert_int_eq(reports, 1);
    update(1, 11, 100);
    ck_assert_int_eq(reports, 2);
    ck_assert(stalled());
    progress_set_stalled(progress, true);
    update(1, 12, 100);
    ck_assert_int_eq(reports, 2);
    progress_set_stalled(progress, false);
    update(1, 13, 100);
    ck_assert_int_eq(reports, 2);
    progress_set_stalled(progress, true);
    update(1, 14, 100);
    ck_assert_int_eq(reports, 3);
}
END_TEST

START_TEST(a_phase_that_has_ended_is_not_stalled)
{
    begin(0, 0);
    progress_set_stalled(progress, true);
    update(0, 10, 100);
    progress_finish(progress);
    ck_assert(!stalled());
}
END_TEST

/* The deadline: 10 bytes a second, so 100 seconds for all of it. */

static void begin_due(int interval_ms, int due_in_s)
{
    begin(interval_ms, 0);
    progress_set_calendar(progress, test_today, NULL);
    progress_set_deadline(progress, test_today(NULL) + due_in_s * 1000);
}

static void go_on(int seconds)
{
    static uint64_t done;

    for (int i = 0; i < seconds; i++)
        update(1000, done += 10, 1000);
}

START_TEST(a_deadline_that_can_be_met_is_not_spoken_of)
{
    begin_due(0, 101);
    go_on(99);
    ck_assert_int_eq(reports, 99);
    ck_assert_double_eq(number("late_by_s"), -1);
    ck_assert_uint_eq(json_object_size(last), 9);
}
END_TEST

START_TEST(a_deadline_that_cannot_be_met_is_told)
{
    begin_due(0, 70);
    go_on(2);
    ck_assert_double_eq(number("late_by_s"), -1);
    go_on(1);
    ck_assert_double_eq(number("late_by_s"), 30);
    ck_assert_uint_eq(json_object_size(last), 10);
    go_on(90);
    ck_assert_double_eq(number("late_by_s"), 30);
    progress_finish(progress);
    ck_assert_double_eq(number("late_by_s"), -1);
}
END_TEST

START_TEST(a_moment_too_late_is_a_second)
{
    begin_due(0, 100);
    progress_set_deadline(progress, test_today(NULL) + 99900);
    go_on(3);
    ck_assert_double_eq(number("late_by_s"), 1);
}
END_TEST

START_TEST(the_bad_news_does_not_wait_for_the_interval)
{
    begin_due(30000, 70);
    go_on(2);
    ck_assert_int_eq(reports, 1);
    go_on(1);
    ck_assert_int_eq(reports, 2);
    ck_assert_double_eq(number("late_by_s"), 30);
    go_on(29);
    ck_assert_int_eq(reports, 2);
    go_on(1);
    ck_assert_int_eq(reports, 3);
}
END_TEST

START_TEST(the_bad_news_waits_for_the_quiet_time)
{
    begin(30000, 10000);
    progress_set_calendar(progress, test_today, NULL);
    progress_set_deadline(progress, test_today(NULL) + 70000);
    go_on(9);
    ck_assert_int_eq(reports, 0);
    go_on(1);
    ck_assert_int_eq(reports, 1);
    ck_assert_double_eq(number("late_by_s"), 30);
}
END_TEST

/* Ten looks in a row are no more than one. */
START_TEST(a_first_guess_does_not_cry_wolf)
{
    begin_due(0, 70);
    go_on(1);
    for (int i = 0; i < 10; i++)
        update(99, 10, 1000);
    ck_assert_double_eq(number("late_by_s"), -1);
    update(10, 100, 1000);
    ck_assert_double_eq(number("late_by_s"), -1);
    update(1000, 100, 1000);
    ck_assert_double_eq(number("late_by_s"), -1);
}
END_TEST

START_TEST(two_looks_far_apart_are_enough)
{
    begin_due(0, 70);
    update(5000, 50, 1000);
    ck_assert_double_eq(number("late_by_s"), -1);
    update(5000, 100, 1000);
    ck_assert_double_eq(number("late_by_s"), 30);
}
END_TEST

START_TEST(a_job_that_catches_up_is_not_late_any_more)
{
    begin_due(30000, 70);
    go_on(3);
    ck_assert_int_eq(reports, 2);
    update(1000, 500, 1000);
    ck_assert_int_eq(reports, 2);
    update(30000, 501, 1000); /* and falls back */
    ck_assert_int_eq(reports, 3);
    ck_assert_double_eq(number("late_by_s"), -1);
    update(2000, 502, 1000);
    ck_assert_int_eq(reports, 4);
    ck_assert_double_gt(number("late_by_s"), 0);
}
END_TEST

START_TEST(each_phase_is_judged_by_itself)
{
    begin_due(0, 70);
    go_on(3);
    ck_assert_double_eq(number("late_by_s"), 30);
    progress_phase(progress, "next", "bytes");
    update(1000, 1, 1000);
    ck_assert_double_eq(number("late_by_s"), -1);
    update(3000, 4, 1000);
    ck_assert_double_gt(number("late_by_s"), 900);
}
END_TEST

START_TEST(what_is_not_known_is_not_late)
{
    begin_due(0, 1);
    update(5000, 0, 1000);
    update(5000, 0, 1000);
    ck_assert_double_eq(number("late_by_s"), -1); /* nothing is done, so there is no rate */
    update(5000, 10, 0);
    progress_phase(progress, "next", "bytes");
    update(5000, 10, 0);
    update(5000, 20, 0);
    ck_assert_double_eq(number("late_by_s"), -1); /* of how many? */
    progress_set_deadline(progress, 0);
    update(5000, 30, 1000);
    update(5000, 40, 1000);
    ck_assert_double_eq(number("late_by_s"), -1); /* whenever */
}
END_TEST

/* The sampler */

static atomic_int samples;

static int sample(void *opaque, uint64_t *ret_done, uint64_t *ret_total)
{
    int n = ++samples;

    ck_assert_ptr_eq(opaque, &samples);
    if (n == 2)
        return -1;
    *ret_done = (uint64_t)n;
    *ret_total = 1000;
    return 0;
}

static void wait_for_samples(int count)
{
    for (int i = 0; i < 20000 && samples < count; i++)
        usleep(1000);
    ck_assert_int_ge(samples, count);
}

START_TEST(sampler_looks_at_once_and_then_again)
{
    struct progress_sampler *sampler;

    progress = progress_new(0, 0, keep, NULL, NULL);
    progress_phase(progress, "copying", "bytes");
    sampler = progress_sampler_start(progress, 3600000, sample, &samples, NULL);
    wait_for_samples(1);
    progress_sampler_stop(sampler);
    ck_assert_int_eq(samples, 1);
    ck_assert_int_eq(reports, 1);
    sampler = progress_sampler_start(progress, 1, sample, &samples, NULL);
    wait_for_samples(10);
    progress_sampler_stop(sampler);
    ck_assert_int_eq(reports, samples - 1);
    ck_assert_double_eq(number("done"), samples);
    progress_sampler_stop(NULL);
}
END_TEST

static void *update_much(void *opaque)
{
    for (uint64_t i = 1; i <= 5000; i++)
        progress_update(opaque, i, 5000);
    return NULL;
}

START_TEST(threads_may_update_together)
{
    pthread_t threads[3];

    progress = progress_new(0, 0, keep, NULL, NULL);
    progress_phase(progress, "copying", "bytes");
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, update_much, progress);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    progress_finish(progress);
    ck_assert_int_eq(reports, 15001);
    ck_assert_double_eq(number("done"), 5000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("progress");
    TCase *tcase = tcase_create("all");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, NULL, teardown);
    tcase_add_test(tcase, report_has_all_members);
    tcase_add_test(tcase, reports_keep_the_interval);
    tcase_add_test(tcase, quiet_time_is_silent);
    tcase_add_test(tcase, nothing_runs_backwards);
    tcase_add_test(tcase, total_may_come_late);
    tcase_add_test(tcase, percent_is_rounded_down_to_one_decimal);
    tcase_add_test(tcase, finish_is_the_last_word);
    tcase_add_test(tcase, finish_without_a_total_takes_what_was_done);
    tcase_add_test(tcase, rate_is_smooth_and_follows);
    tcase_add_test(tcase, eta_beyond_a_year_is_not_told);
    tcase_add_test(tcase, stalled_after_40_s_without_growth);
    tcase_add_test(tcase, a_detail_is_told_until_the_next_phase);
    tcase_add_test(tcase, a_detail_may_be_taken_back);
    tcase_add_test(tcase, a_detail_is_copied_into_each_report);
    tcase_add_test(tcase, the_caller_knows_better_what_is_stalled);
    tcase_add_test(tcase, being_stalled_does_not_wait_for_the_interval);
    tcase_add_test(tcase, a_phase_that_has_ended_is_not_stalled);
    tcase_add_test(tcase, a_deadline_that_can_be_met_is_not_spoken_of);
    tcase_add_test(tcase, a_deadline_that_cannot_be_met_is_told);
    tcase_add_test(tcase, a_moment_too_late_is_a_second);
    tcase_add_test(tcase, the_bad_news_does_not_wait_for_the_interval);
    tcase_add_test(tcase, the_bad_news_waits_for_the_quiet_time);
    tcase_add_test(tcase, a_first_guess_does_not_cry_wolf);
    tcase_add_test(tcase, two_looks_far_apart_are_enough);
    tcase_add_test(tcase, a_job_that_catches_up_is_not_late_any_more);
    tcase_add_test(tcase, each_phase_is_judged_by_itself);
    tcase_add_test(tcase, what_is_not_known_is_not_late);
    tcase_add_test(tcase, sampler_looks_at_once_and_then_again);
    tcase_add_test(tcase, threads_may_update_together);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
