/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The steering of a migration, over figures and clocks of the test's own. */

#include <check.h>
#include <string.h>

#include "guest_steer.h"

#define MIB   (UINT64_C(1) << 20)
#define TODAY 1795000000000

static struct steer_policy policy;
static struct steer steer;
static struct guest_stats stats;
static int64_t now;

static void begin(size_t action_count, const enum steer_action *actions)
{
    policy = (struct steer_policy){ .downtime_ms = 300, .max_downtime_ms = 1000, .stall_ms = 10000 };
    for (size_t i = 0; i < action_count; i++)
        policy.actions[policy.action_count++] = actions[i];
    stats = (struct guest_stats){ .memory_total = 1000 * MIB, .memory_left = 1000 * MIB, .iteration = 1 };
    now = 5000;
    steer_init(&steer, &policy);
}

#define BEGIN(...)                                                                                           \
    begin(sizeof((enum steer_action[]){ __VA_ARGS__ }) / sizeof(enum steer_action),                          \
          (enum steer_action[]){ __VA_ARGS__ })

/* After `ms`, in which so much was sent, so much is left. */
static enum steer_action look(int64_t ms, uint64_t sent_mib, uint64_t left_mib, bool boundary)
{
    now += ms;
    stats.memory_done += sent_mib * MIB;
    stats.memory_left = left_mib * MIB;
    return steer_see(&steer, &stats, boundary, now, TODAY + now);
}

static enum steer_action pass_ends(int64_t ms, uint64_t left_mib)
{
    stats.iteration++;
    return look(ms, 100, left_mib, true);
}

/* Two passes that leave as much. */
static void get_stuck(void)
{
    look(0, 0, 1000, false);
    pass_ends(1000, 500);
    ck_assert_int_eq(pass_ends(policy.stall_ms - 1, 500), STEER_NOTHING);
    look(1, 1, 400, false);
}

static void act(enum steer_action action)
{
    ck_assert_int_eq(look(0, 0, 400, false), action);
    steer_done(&steer, action, true, now);
    ck_assert_int_eq(look(0, 0, 400, false), STEER_NOTHING);
}

/* Nothing helps. */
static void let_it_have_its_time(void)
{
    ck_assert_int_eq(pass_ends(policy.stall_ms - 1, 500), STEER_NOTHING);
    look(1, 1, 400, false);
}

START_TEST(defaults_never_slow_or_stop_a_guest)
{
    ck_assert_int_eq(steer_policy_read(NULL, "/params/steering", 7, &policy, NULL), 0);
    ck_assert_uint_eq(policy.downtime_ms, 300);
    ck_assert_uint_eq(policy.max_downtime_ms, 1000);
    ck_assert_int_eq(policy.stall_ms, 40000);
    ck_assert_uint_eq(policy.action_count, 1);
    ck_assert_int_eq(policy.actions[0], STEER_RAISE_DOWNTIME);
    ck_assert_int_eq(policy.deadline_ms, 7);
}
END_TEST

static int read_policy(const char *text, struct error *err)
{
    json_t *json = json_loads(text, 0, NULL);
    int rc = steer_policy_read(json, "/params/steering", 0, &policy, err);

    json_decref(json);
    return rc;
}

START_TEST(a_policy_is_read_with_all_its_actions)
{
    ck_assert_int_eq(
        read_policy("{\"max_downtime_ms\": 200, \"stall_s\": 3, \"actions\": [\"raise-downtime\","
                    " \"auto-converge\", \"post-copy\", \"pause\", \"abort\"]}",
                    NULL),
        0);
    ck_assert_uint_eq(policy.downtime_ms, 200);
    ck_assert_uint_eq(policy.max_downtime_ms, 200);
    ck_assert_int_eq(policy.stall_ms, 3000);
    ck_assert_uint_eq(policy.action_count, 5);
    ck_assert_int_eq(policy.actions[1], STEER_AUTO_CONVERGE);
    ck_assert(steer_policy_has(&policy, STEER_POST_COPY));
    ck_assert_int_eq(read_policy("{\"actions\": []}", NULL), 0);
    ck_assert_uint_eq(policy.action_count, 0);
    ck_assert(!steer_policy_has(&policy, STEER_POST_COPY));
}
END_TEST

START_TEST(an_action_that_stands_there_twice_is_refused)
{
    struct error err = ERROR_INIT;

    ck_assert_int_eq(read_policy("{\"actions\": [\"abort\", \"pause\", \"abort\"]}", &err), -1);
    ck_assert_int_eq(err.code, ERROR_INVALID);
    ck_assert_str_eq(err.where, "/params/steering/actions/2");
}
END_TEST

START_TEST(each_action_has_a_name_of_its_own)
{
    ck_assert_ptr_null(steer_action_name(STEER_NOTHING));
    for (enum steer_action action = STEER_RAISE_DOWNTIME; action <= STEER_ABORT; action++) {
        ck_assert_ptr_nonnull(steer_action_name(action));
        for (enum steer_action other = STEER_RAISE_DOWNTIME; other < action; other++)
            ck_assert_str_ne(steer_action_name(action), steer_action_name(other));
    }
}
END_TEST

START_TEST(what_is_left_counts_memory_and_disks)
{
    BEGIN(STEER_ABORT);
    stats.disk_total = 3000 * MIB;
    stats.disk_left = 2000 * MIB;
    look(0, 0, 900, false);
    ck_assert_uint_eq(steer.total, 4000 * MIB);
    ck_assert_uint_eq(steer.left, 2900 * MIB);
    ck_assert_uint_eq(steer_bytes_done(&steer), 1100 * MIB);
}
END_TEST

START_TEST(a_disk_that_gets_on_is_progress)
{
    BEGIN(STEER_ABORT);
    stats.iteration = 0;
    stats.disk_total = stats.disk_left = 1000 * MIB;
    for (int i = 0; i < 9; i++) {
        stats.disk_left -= 100 * MIB;
        ck_assert_int_eq(look(9000, 0, 1000, false), STEER_NOTHING);
    }
    ck_assert(!steer.stalled);
}
END_TEST

START_TEST(memory_that_comes_after_the_disks_is_no_step_back)
{
    BEGIN(STEER_ABORT);
    stats.iteration = 0;
    stats.memory_total = 0;
    stats.disk_total = 1000 * MIB;
    look(0, 0, 0, false);
    ck_assert_uint_eq(steer_bytes_done(&steer), 1000 * MIB);
    stats.memory_total = 1000 * MIB;
    look(9999, 0, 1000, false);
    look(9999, 0, 1000, false);
    ck_assert(!steer.stalled);
    look(1, 0, 1000, false);
    ck_assert(steer.stalled);
}
END_TEST

START_TEST(nothing_is_known_before_there_is_a_total)
{
    BEGIN(STEER_ABORT);
    stats.memory_total = 0;
    ck_assert_int_eq(look(0, 0, 0, false), STEER_NOTHING);
    ck_assert_int_eq(look(99000, 0, 0, false), STEER_NOTHING);
    ck_assert(!steer.stalled);
}
END_TEST

START_TEST(the_first_pass_is_progress_as_it_goes)
{
    BEGIN(STEER_ABORT);
    for (uint64_t left = 1000; left > 0; left -= 50)
        ck_assert_int_eq(look(9000, 50, left, false), STEER_NOTHING);
    ck_assert(!steer.stalled);
    ck_assert_uint_eq(steer.left, 50 * MIB);
}
END_TEST

START_TEST(a_saw_tooth_within_a_pass_is_no_progress)
{
    BEGIN(STEER_ABORT);
    look(0, 0, 1000, false);
    pass_ends(1000, 500);
    for (int pass = 0; pass < 5; pass++) {
        look(1000, 100, 300, false);
        look(500, 100, 10, false);
        ck_assert_uint_eq(steer.left, 500 * MIB);
        pass_ends(499, 500);
    }
    ck_assert_int_eq(look(4, 0, 450, false), STEER_NOTHING);
    ck_assert_int_eq(look(1, 0, 450, false), STEER_ABORT);
    ck_assert(steer.stalled);
}
END_TEST

START_TEST(the_end_of_the_first_pass_is_where_counting_begins)
{
    BEGIN(STEER_ABORT);
    look(0, 0, 1000, false);
    look(9000, 990, 10, false);
    pass_ends(100, 800);
    pass_ends(9000, 700);
    pass_ends(9000, 600);
    ck_assert_int_eq(pass_ends(9000, 500), STEER_NOTHING);
    ck_assert(!steer.stalled);
}
END_TEST

START_TEST(stalled_is_not_below_96_percent_in_the_time)
{
    BEGIN(STEER_ABORT);
    look(0, 0, 1000, false);
    pass_ends(1000, 500);
    pass_ends(9000, 480); /* 96 % */
    ck_assert_int_eq(look(999, 1, 450, false), STEER_NOTHING);
    ck_assert(!steer.stalled);
    ck_assert_int_eq(look(1, 1, 450, false), STEER_ABORT);
    ck_assert(steer.stalled);
}
END_TEST

START_TEST(below_96_percent_the_time_begins_anew)
{
    BEGIN(STEER_ABORT);
    look(0, 0, 1000, false);
    pass_ends(1000, 500);
    pass_ends(9999, 479);
    ck_assert_int_eq(pass_ends(9999, 479), STEER_NOTHING);
    ck_assert(!steer.stalled);
    ck_assert_int_eq(look(1, 1, 400, false), STEER_ABORT);
}
END_TEST

START_TEST(small_steps_add_up)
{
    BEGIN(STEER_ABORT);
    look(0, 0, 1000, false);
    pass_ends(1000, 500);
    for (uint64_t left = 495; left > 400; left -= 5)
        ck_assert_int_eq(pass_ends(2000, left), STEER_NOTHING);
}
END_TEST

START_TEST(a_pass_longer_than_the_time_is_waited_for)
{
    BEGIN(STEER_ABORT);
    look(0, 0, 1000, false);
    pass_ends(1000, 900);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(look(5000, 100, 500, false), STEER_NOTHING);
    ck_assert_int_eq(pass_ends(1000, 900), STEER_ABORT);
}
END_TEST

START_TEST(a_pass_in_which_nothing_moves_is_stalled)
{
    BEGIN(STEER_ABORT);
    look(0, 0, 1000, false);
    pass_ends(1000, 900);
    look(1000, 100, 800, false);
    ck_assert_int_eq(look(9999, 0, 800, false), STEER_NOTHING);
    ck_assert_int_eq(look(1, 0, 800, false), STEER_ABORT);
}
END_TEST

START_TEST(done_never_runs_backwards)
{
    uint64_t done = 0;

    BEGIN(STEER_RAISE_DOWNTIME);
    for (uint64_t left = 1000; left > 0; left -= 100) {
        look(100, 100, left, false);
        ck_assert_uint_ge(steer_bytes_done(&steer), done);
        done = steer_bytes_done(&steer);
    }
    for (uint64_t left = 900; left > 0; left -= 100) {
        pass_ends(100, left);
        ck_assert_uint_ge(steer_bytes_done(&steer), done);
        done = steer_bytes_done(&steer);
    }
    ck_assert_uint_eq(done, 900 * MIB);
}
END_TEST

START_TEST(bandwidth_is_smoothed)
{
    BEGIN(STEER_ABORT);
    look(0, 0, 1000, false);
    look(100, 50, 950, false);
    ck_assert(steer.rate < 1); /* not known so soon */
    for (int i = 0; i < 200; i++)
        look(1000, i % 2 ? 20 : 0, 900, false);
    ck_assert_double_gt(steer.rate, 8.0 * MIB);
    ck_assert_double_lt(steer.rate, 12.0 * MIB);
}
END_TEST

START_TEST(the_expected_downtime_is_what_is_left_at_the_rate)
{
    BEGIN(STEER_ABORT);
    look(0, 0, 1000, false);
    stats.downtime_ms = 77;
    look(600, 60, 950, false);
    ck_assert_uint_eq(steer.expected_downtime_ms, 77); /* as QEMU says, for we do not know yet */
    look(600, 60, 900, false);
    ck_assert_uint_ge(steer.expected_downtime_ms, 8999);
    ck_assert_uint_le(steer.expected_downtime_ms, 9001);
}
END_TEST

START_TEST(raised_downtime_doubles_up_to_the_maximum)
{
    BEGIN(STEER_RAISE_DOWNTIME, STEER_ABORT);
    get_stuck();
    ck_assert_uint_eq(steer_raised_downtime(&steer), 600);
    act(STEER_RAISE_DOWNTIME);
    ck_assert_uint_eq(steer.downtime_ms, 600);
    let_it_have_its_time();
    act(STEER_RAISE_DOWNTIME);
    ck_assert_uint_eq(steer.downtime_ms, 1000);
    let_it_have_its_time();
    act(STEER_ABORT);
}
END_TEST

START_TEST(downtime_at_its_maximum_is_not_raised)
{
    BEGIN(STEER_RAISE_DOWNTIME, STEER_PAUSE);
    policy.max_downtime_ms = 300;
    get_stuck();
    act(STEER_PAUSE);
}
END_TEST

START_TEST(actions_come_in_their_order)
{
    BEGIN(STEER_PAUSE, STEER_RAISE_DOWNTIME, STEER_POST_COPY, STEER_ABORT);
    policy.max_downtime_ms = 600;
    get_stuck();
    act(STEER_PAUSE);
    let_it_have_its_time();
    act(STEER_RAISE_DOWNTIME);
    let_it_have_its_time();
    act(STEER_POST_COPY);
    let_it_have_its_time();
    act(STEER_ABORT);
    let_it_have_its_time();
    ck_assert_int_eq(look(99000, 1, 400, false), STEER_NOTHING);
    ck_assert(steer.stalled);
}
END_TEST

START_TEST(an_action_has_until_its_pass_ends)
{
    BEGIN(STEER_PAUSE, STEER_ABORT);
    get_stuck();
    act(STEER_PAUSE);
    ck_assert_int_eq(look(policy.stall_ms + 5000, 100, 100, false), STEER_NOTHING);
    ck_assert_int_eq(pass_ends(1, 500), STEER_ABORT);
}
END_TEST

START_TEST(an_action_is_due_until_it_is_done)
{
    BEGIN(STEER_PAUSE, STEER_ABORT);
    get_stuck();
    ck_assert_int_eq(look(100, 10, 300, false), STEER_PAUSE);
    ck_assert_int_eq(pass_ends(100, 100), STEER_PAUSE);
    steer_done(&steer, STEER_PAUSE, true, now);
    ck_assert_int_eq(look(1, 10, 100, false), STEER_NOTHING);
}
END_TEST

START_TEST(an_action_that_does_not_work_makes_the_next_due)
{
    BEGIN(STEER_POST_COPY, STEER_RAISE_DOWNTIME, STEER_ABORT);
    get_stuck();
    ck_assert_int_eq(look(0, 0, 400, false), STEER_POST_COPY);
    steer_done(&steer, STEER_POST_COPY, false, now);
    ck_assert_int_eq(look(0, 0, 400, false), STEER_RAISE_DOWNTIME);
    steer_done(&steer, STEER_RAISE_DOWNTIME, false, now);
    ck_assert_uint_eq(steer.downtime_ms, 300);
    ck_assert_int_eq(look(0, 0, 400, false), STEER_ABORT);
    steer_done(&steer, STEER_ABORT, false, now);
    ck_assert_int_eq(look(99000, 0, 400, false), STEER_NOTHING);
}
END_TEST

START_TEST(auto_converge_measures_from_the_beginning)
{
    BEGIN(STEER_AUTO_CONVERGE, STEER_ABORT);
    get_stuck();
    act(STEER_AUTO_CONVERGE);
    stats.iteration = 1;
    stats.memory_done = 0;
    look(1000, 0, 1000, false);
    ck_assert_uint_eq(steer_bytes_done(&steer), 0);
    ck_assert_int_eq(look(9999, 100, 900, false), STEER_NOTHING);
    ck_assert(!steer.stalled);
    pass_ends(1000, 500);
    let_it_have_its_time();
    act(STEER_ABORT);
}
END_TEST

START_TEST(nothing_is_due_in_post_copy)
{
    BEGIN(STEER_ABORT);
    get_stuck();
    ck_assert_int_eq(look(0, 0, 400, false), STEER_ABORT);
    stats.postcopy = true;
    ck_assert_int_eq(look(1, 1, 300, false), STEER_NOTHING);
    ck_assert_int_eq(look(policy.stall_ms, 0, 300, false), STEER_NOTHING);
    ck_assert(steer.stalled);
    look(1, 100, 200, false);
    ck_assert(!steer.stalled); /* nothing is sent twice, so each look counts */
}
END_TEST

START_TEST(a_deadline_that_cannot_be_met_makes_the_next_action_due)
{
    BEGIN(STEER_PAUSE, STEER_ABORT);
    policy.deadline_ms = TODAY + now + 30000;
    look(0, 0, 1000, false); /* 1000 MiB at 10 MiB a second */
    ck_assert_int_eq(look(1000, 10, 990, false), STEER_NOTHING);
    ck_assert_int_eq(look(1000, 10, 980, false), STEER_NOTHING);
    ck_assert_int_eq(look(1000, 10, 970, false), STEER_PAUSE);
    ck_assert(steer.late);
    ck_assert(!steer.stalled);
    steer_done(&steer, STEER_PAUSE, true, now);
    ck_assert_int_eq(look(policy.stall_ms - 1, 100, 870, false), STEER_NOTHING);
    ck_assert_int_eq(look(1, 0, 870, false), STEER_ABORT);
}
END_TEST

START_TEST(a_deadline_that_can_be_met_makes_nothing_due)
{
    BEGIN(STEER_ABORT);
    policy.deadline_ms = TODAY + now + 130000;
    look(0, 0, 1000, false);
    for (uint64_t left = 990; left > 500; left -= 10)
        ck_assert_int_eq(look(1000, 10, left, false), STEER_NOTHING);
    ck_assert(!steer.late);
}
END_TEST

START_TEST(pages_that_need_not_be_sent_count_for_the_deadline)
{
    BEGIN(STEER_ABORT);
    policy.deadline_ms = TODAY + now + 30000;
    look(0, 0, 1000, false); /* most of it is zeroes: 1 MiB sent is 50 MiB less to do */
    for (uint64_t left = 950; left > 100; left -= 50)
        ck_assert_int_eq(look(1000, 1, left, false), STEER_NOTHING);
}
END_TEST

START_TEST(passes_that_do_not_get_shorter_meet_no_deadline)
{
    BEGIN(STEER_ABORT);
    policy.deadline_ms = TODAY + now + 100000;
    look(0, 0, 1000, false);
    pass_ends(1000, 500);
    ck_assert_int_eq(pass_ends(5000, 500), STEER_NOTHING);
    ck_assert_int_eq(look(1999, 20, 400, false), STEER_NOTHING);
    ck_assert_int_eq(look(1, 1, 400, false), STEER_ABORT);
    ck_assert(!steer.stalled);
}
END_TEST

static bool told(const char *key, json_int_t value)
{
    json_t *detail = steer_describe(&steer, &stats);
    bool equal = json_integer_value(json_object_get(detail, key)) == value;

    json_decref(detail);
    return equal;
}

START_TEST(what_is_told_has_what_is_known)
{
    json_t *detail;

    BEGIN(STEER_PAUSE);
    look(0, 0, 1000, false);
    detail = steer_describe(&steer, &stats);
    ck_assert_uint_eq(json_object_size(detail), 3);
    json_decref(detail);
    get_stuck();
    act(STEER_PAUSE);
    stats.dirty_rate = 5;
    stats.throttle = 20;
    ck_assert(told("iteration", 3) && told("left", 500 * MIB) && told("allowed_downtime_ms", 300));
    ck_assert(told("dirty_rate", 5) && told("throttle", 20));
    ck_assert(!told("downtime_ms", 0) && !told("bandwidth", 0));
    detail = steer_describe(&steer, &stats);
    ck_assert_str_eq(json_string_value(json_object_get(detail, "action")), "pause");
    json_decref(detail);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("guest_steer");
    TCase *all = tcase_create("guest_steer");
    SRunner *runner = srunner_create(suite);

    tcase_add_test(all, defaults_never_slow_or_stop_a_guest);
    tcase_add_test(all, a_policy_is_read_with_all_its_actions);
    tcase_add_test(all, an_action_that_stands_there_twice_is_refused);
    tcase_add_test(all, each_action_has_a_name_of_its_own);
    tcase_add_test(all, what_is_left_counts_memory_and_disks);
    tcase_add_test(all, a_disk_that_gets_on_is_progress);
    tcase_add_test(all, memory_that_comes_after_the_disks_is_no_step_back);
    tcase_add_test(all, nothing_is_known_before_there_is_a_total);
    tcase_add_test(all, the_first_pass_is_progress_as_it_goes);
    tcase_add_test(all, a_saw_tooth_within_a_pass_is_no_progress);
    tcase_add_test(all, the_end_of_the_first_pass_is_where_counting_begins);
    tcase_add_test(all, stalled_is_not_below_96_percent_in_the_time);
    tcase_add_test(all, below_96_percent_the_time_begins_anew);
    tcase_add_test(all, small_steps_add_up);
    tcase_add_test(all, a_pass_longer_than_the_time_is_waited_for);
    tcase_add_test(all, a_pass_in_which_nothing_moves_is_stalled);
    tcase_add_test(all, done_never_runs_backwards);
    tcase_add_test(all, bandwidth_is_smoothed);
    tcase_add_test(all, the_expected_downtime_is_what_is_left_at_the_rate);
    tcase_add_test(all, raised_downtime_doubles_up_to_the_maximum);
    tcase_add_test(all, downtime_at_its_maximum_is_not_raised);
    tcase_add_test(all, actions_come_in_their_order);
    tcase_add_test(all, an_action_has_until_its_pass_ends);
    tcase_add_test(all, an_action_is_due_until_it_is_done);
    tcase_add_test(all, an_action_that_does_not_work_makes_the_next_due);
    tcase_add_test(all, auto_converge_measures_from_the_beginning);
    tcase_add_test(all, nothing_is_due_in_post_copy);
    tcase_add_test(all, a_deadline_that_cannot_be_met_makes_the_next_action_due);
    tcase_add_test(all, a_deadline_that_can_be_met_makes_nothing_due);
    tcase_add_test(all, pages_that_need_not_be_sent_count_for_the_deadline);
    tcase_add_test(all, passes_that_do_not_get_shorter_meet_no_deadline);
    tcase_add_test(all, what_is_told_has_what_is_known);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
