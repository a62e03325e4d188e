/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The dispatcher: order, lanes, redelivery, acknowledgement, draining. */

#include "dispatcher_fixture.h"

START_TEST(a_job_is_acknowledged_only_when_its_outcome_is_confirmed)
{
    hold_confirms = true;
    deliver(1, "test.look", "a");
    wait_count(&outcome_count, 1);
    ck_assert_int_eq(acknowledged_count, 0);
    settle(held[0]);
    wait_count(&acknowledged_count, 1);
    ck_assert_uint_eq(acknowledged[0], 1);
}
END_TEST

START_TEST(jobs_on_one_guest_run_one_after_the_other_in_order)
{
    for (int i = 1; i <= 6; i++)
        deliver(i, "test.hold", "same");
    let_go(6);
    wait_count(&acknowledged_count, 6);
    ck_assert_int_eq(most_at_once, 1);
    for (int i = 0; i < 6; i++) {
        char wanted[64];
        snprintf(wanted, sizeof(wanted), "job.succeeded.test.hold.00000000-0000-4000-8000-%012d", i + 1);
        ck_assert_str_eq(outcomes[i], wanted);
    }
}
END_TEST

START_TEST(jobs_on_several_guests_run_at_the_same_time)
{
    deliver(1, "test.hold", "a");
    deliver(2, "test.hold", "b");
    deliver(3, "test.hold", "c");
    wait_begun(3);
    let_go(3);
    wait_count(&acknowledged_count, 3);
}
END_TEST

START_TEST(jobs_that_only_read_share_their_resource)
{
    deliver(1, "test.read", "base");
    deliver(2, "test.read", "base");
    deliver(3, "test.hold", "base");
    wait_begun(2);
    ck_assert_int_eq(begun, 2);
    let_go(3);
    wait_count(&acknowledged_count, 3);
}
END_TEST

START_TEST(a_guest_is_one_resource_by_name_and_by_uuid)
{
    deliver(1, "test.hold", "named");
    wait_begun(1);
    deliver(2, "test.hold", "11111111-1111-4111-8111-111111111111");
    let_go(2);
    wait_count(&acknowledged_count, 2);
    ck_assert_int_eq(most_at_once, 1);
}
END_TEST

START_TEST(a_quick_job_does_not_wait_for_the_long_lane)
{
    for (int i = 1; i <= 100; i++)
        deliver(i, "test.hold", i % 2 ? "a" : "b");
    deliver(101, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_uint_eq(acknowledged[0], 101);
    let_go(100);
    wait_count(&acknowledged_count, 101);
}
END_TEST

START_TEST(a_redelivery_meets_the_running_job_and_its_new_tag_is_acknowledged)
{
    uint64_t again;

    deliver(1, "test.hold", "a");
    wait_begun(1);
    reconnect(JOB_LONG);
    again = deliver_over(2, true, 1, "test.hold", "a");
    let_go(2);
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(begun, 1);
    ck_assert_int_eq(outcome_count, 1);
    ck_assert_uint_eq(acknowledged[0], again);
}
END_TEST

START_TEST(a_redelivery_of_an_ended_job_is_acknowledged_without_a_second_outcome)
{
    deliver(1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    reconnect(JOB_QUICK);
    deliver_over(2, true, 1, "test.look", "a");
    wait_count(&acknowledged_count, 2);
    ck_assert_int_eq(outcome_count, 1);
}
END_TEST

START_TEST(the_same_job_published_twice_runs_once_and_both_are_acknowledged)
{
    deliver(1, "test.hold", "a");
    deliver(1, "test.hold", "a");
    let_go(2);
    wait_count(&acknowledged_count, 2);
    ck_assert_int_eq(begun, 1);
    ck_assert_int_eq(outcome_count, 1);
}
END_TEST

START_TEST(another_job_with_the_id_of_one_in_hand_goes_to_the_dead)
{
    const char *const others[][2] = { { "test.look", "a" }, { "test.hold", "b" }, { "test.nothing", "a" } };

    deliver(1, "test.hold", "a");
    wait_begun(1);
    for (int i = 0; i < 3; i++) {
        uint64_t tag = deliver(1, others[i][0], others[i][1]);
        wait_count(&acknowledged_count, i + 1);
        ck_assert_uint_eq(acknowledged[i], tag);
        ck_assert_str_eq(outcomes[i], "x.dead");
    }
    let_go(1);
    wait_count(&acknowledged_count, 4);
    ck_assert_uint_eq(acknowledged[3], 1);
    ck_assert_int_eq(begun, 1);
}
END_TEST

START_TEST(a_redelivery_of_a_refused_job_is_not_answered_twice)
{
    deliver_over(1, false, 1, "test.nothing", "a");
    wait_count(&acknowledged_count, 1);
    reconnect(JOB_QUICK);
    deliver_over(2, true, 1, "test.nothing", "a");
    wait_count(&acknowledged_count, 2);
    ck_assert_int_eq(outcome_count, 1);
}
END_TEST

static void deliver_rubbish(uint64_t epoch, bool redelivered)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    delivery->tag = (struct delivery_tag){ epoch, ++next_tag };
    delivery->redelivered = redelivered;
    delivery->message_id = strdup("00000000-0000-4000-8000-000000000001");
    delivery->body = strdup("rubbish");
    delivery->length = 7;
    dispatcher_delivery(dispatcher, JOB_QUICK, delivery);
}

START_TEST(a_redelivery_of_what_cannot_be_read_meets_it_in_hand)
{
    hold_confirms = true;
    deliver_rubbish(1, false);
    wait_count(&outcome_count, 1);
    reconnect(JOB_QUICK);
    settle_as(held[0], MESSAGE_LOST);
    hold_confirms = false;
    deliver_rubbish(2, true);
    wait_count(&acknowledged_count, 1);
    ck_assert_str_eq(bodies[0], bodies[1]);
}
END_TEST

START_TEST(a_new_job_with_the_id_of_an_ended_one_survives_its_connection)
{
    deliver(1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    deliver(2, "test.hold", "a");
    wait_begun(1);
    deliver(1, "test.hold", "a"); /* the same id again: it waits, and its connection breaks */
    reconnect(JOB_LONG);
    let_go(1);
    deliver_over(2, true, 2, "test.hold", "a");
    wait_count(&acknowledged_count, 2);
    deliver_over(2, true, 1, "test.hold", "a");
    let_go(1);
    wait_count(&outcome_count, 3);
}
END_TEST

START_TEST(what_waits_is_forgotten_when_its_connection_ends)
{
    deliver(1, "test.hold", "a");
    wait_begun(1);
    deliver(2, "test.hold", "a");
    reconnect(JOB_LONG);
    let_go(2);
    deliver_over(2, true, 1, "test.hold", "a");
    wait_count(&outcome_count, 1);
    deliver_over(2, false, 3, "test.hold", "a");
    wait_count(&outcome_count, 2);
    ck_assert_int_eq(begun, 2);
}
END_TEST

START_TEST(a_failure_undoes_its_steps_last_first_and_tells_how_it_went)
{
    const char *first, *second, *code, *where, *step;
    json_t *event;
    int first_ok, second_ok;

    deliver(1, "test.steps", "a");
    wait_count(&acknowledged_count, 1);
    event = json_loads(bodies[0], 0, NULL);
    ck_assert_int_eq(json_unpack(event, "{s:{s:{s:s, s:s, s:s}, s:[{s:s, s:b}, {s:s, s:b}]}}", "data",
                                 "error", "code", &code, "where", &where, "step", &step, "rollback", "undo",
                                 &first, "ok", &first_ok, "undo", &second, "ok", &second_ok),
                     0);
    ck_assert_str_eq(code, "no-space");
    ck_assert_str_eq(where, "/params/guest");
    ck_assert_str_eq(step, "third");
    ck_assert_str_eq(first, "undo second");
    ck_assert(first_ok);
    ck_assert_str_eq(second, "undo first");
    ck_assert(!second_ok);
    json_decref(event);
}
END_TEST

START_TEST(a_bad_job_is_answered_and_one_without_identity_goes_to_the_dead)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    deliver(1, "test.nothing", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_ptr_nonnull(strstr(bodies[0], "\"unknown-type\""));
    delivery->tag = (struct delivery_tag){ 1, ++next_tag };
    delivery->body = strdup("rubbish");
    delivery->length = 7;
    dispatcher_delivery(dispatcher, JOB_QUICK, delivery);
    wait_count(&acknowledged_count, 2);
    ck_assert_str_eq(outcomes[1], "x.dead");
    ck_assert_str_eq(bodies[1], "rubbish");
}
END_TEST

START_TEST(an_integer_too_large_is_the_largest)
{
    AUTO(json) json_t *params = json_pack("{s:f, s:f, s:f}", "whole", 2.0, "most", 1e300, "least", -1e300);

    ck_assert_int_eq(job_integer(params, "whole", 0), 2);
    ck_assert_int_eq(job_integer(params, "most", 0), INT64_MAX);
    ck_assert_int_eq(job_integer(params, "least", 0), INT64_MIN);
    ck_assert_int_eq(job_integer(params, "absent", 7), 7);
}
END_TEST

START_TEST(draining_begins_nothing_more_and_waits_for_what_runs)
{
    deliver(1, "test.hold", "a");
    wait_begun(1);
    deliver(2, "test.hold", "a");
    ck_assert_int_eq(dispatcher_drain(dispatcher, 10), -1);
    deliver(3, "test.hold", "b");
    ck_assert_int_eq(requeued_count, 2); /* while the first still runs */
    let_go(3);
    ck_assert_int_eq(dispatcher_drain(dispatcher, SECONDS_MAX * 1000), 0);
    ck_assert_int_eq(begun, 1);
    ck_assert_int_eq(acknowledged_count, 1);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("dispatcher");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_job_is_acknowledged_only_when_its_outcome_is_confirmed);
    tcase_add_test(tests, jobs_on_one_guest_run_one_after_the_other_in_order);
    tcase_add_test(tests, jobs_on_several_guests_run_at_the_same_time);
    tcase_add_test(tests, jobs_that_only_read_share_their_resource);
    tcase_add_test(tests, a_guest_is_one_resource_by_name_and_by_uuid);
    tcase_add_test(tests, a_quick_job_does_not_wait_for_the_long_lane);
    tcase_add_test(tests, a_redelivery_meets_the_running_job_and_its_new_tag_is_acknowledged);
    tcase_add_test(tests, a_redelivery_of_an_ended_job_is_acknowledged_without_a_second_outcome);
    tcase_add_test(tests, the_same_job_published_twice_runs_once_and_both_are_acknowledged);
    tcase_add_test(tests, another_job_with_the_id_of_one_in_hand_goes_to_the_dead);
    tcase_add_test(tests, a_redelivery_of_a_refused_job_is_not_answered_twice);
    tcase_add_test(tests, a_redelivery_of_what_cannot_be_read_meets_it_in_hand);
    tcase_add_test(tests, a_new_job_with_the_id_of_an_ended_one_survives_its_connection);
    tcase_add_test(tests, what_waits_is_forgotten_when_its_connection_ends);
    tcase_add_test(tests, a_failure_undoes_its_steps_last_first_and_tells_how_it_went);
    tcase_add_test(tests, a_bad_job_is_answered_and_one_without_identity_goes_to_the_dead);
    tcase_add_test(tests, an_integer_too_large_is_the_largest);
    tcase_add_test(tests, draining_begins_nothing_more_and_waits_for_what_runs);
    return run_suite(tests, "dispatcher");
}
