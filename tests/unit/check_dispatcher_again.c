/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The dispatcher and jobs that come a second time: what the journal says of them, retries, lost answers, cancel, hand-over. */

#include "dispatcher_fixture.h"

/* The string at `path` of the event number `index`. */
static void assert_event(int index, const char *key, const char *member, const char *value)
{
    AUTO(json) json_t *event = json_loads(bodies[index], 0, NULL);
    const json_t *data = json_object_get(event, "data");

    ck_assert_msg(strncmp(outcomes[index], key, strlen(key)) == 0, "%s: %s", outcomes[index], bodies[index]);
    if (strcmp(member, "code") == 0)
        data = json_object_get(data, "error");
    ck_assert_str_eq(job_string(data, member, ""), value);
}

START_TEST(what_was_answered_elsewhere_is_repeated_byte_for_byte_and_not_run)
{
    past_key = "job.succeeded.test.make.00000000-0000-4000-8000-000000000001";
    past_body = "{\"data\": {}}";
    deliver_over(1, true, 1, "test.make", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_str_eq(outcomes[0], past_key);
    ck_assert_str_eq(bodies[0], past_body);
    ck_assert_int_eq(begun, 0);
    ck_assert_int_eq(swept, 1);
}
END_TEST

START_TEST(a_job_that_comes_again_is_not_run_before_the_journal_has_spoken)
{
    hold_journal = true;
    deliver_over(1, true, 1, "test.make", "a");
    wait_count(&asked_count, 1);
    ck_assert_int_eq(begun, 0);
    pthread_mutex_lock(&lock);
    hold_journal = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    wait_begun(1);
    ck_assert_str_eq(notes[0], "begun/w1");
    let_go(1);
    wait_count(&acknowledged_count, 1);
}
END_TEST

START_TEST(a_worker_that_has_let_go_and_says_so_late_is_no_crash)
{
    past.begun = 3;
    past.returned = 1;
    returned_later = 1;
    deliver_over(1, true, 1, "test.make", "a");
    wait_begun(1);
    ck_assert_int_eq(told_count, 2);
    let_go(1);
    wait_count(&acknowledged_count, 1);
}
END_TEST

START_TEST(a_job_that_has_ended_its_worker_too_often_fails_and_lies_in_the_dead)
{
    past.begun = 3;
    past.returned = 1;
    deliver_over(1, true, 1, "test.make", "a");
    wait_count(&acknowledged_count, 1);
    assert_event(0, "job.failed.test.make", "code", "crashed");
    ck_assert_str_eq(outcomes[1], "x.dead");
    ck_assert_int_eq(begun, 0);
}
END_TEST

START_TEST(a_job_that_only_looks_is_noted_too_when_it_begins_again)
{
    deliver_over(1, true, 1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(note_count, 1);
    ck_assert_str_eq(notes[0], "begun/w1");
}
END_TEST

START_TEST(what_must_not_be_done_twice_and_may_have_been_done_is_uncertain)
{
    deliver_over(1, true, 1, "test.once", "a");
    wait_count(&acknowledged_count, 1);
    assert_event(0, "job.uncertain.test.once", "code", "interrupted");
}
END_TEST

START_TEST(a_transient_failure_comes_again_after_a_delay)
{
    deliver(1, "test.busy", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_msg(strncmp(outcomes[0], "job.retrying.", 13) == 0, "%s", outcomes[0]);
    ck_assert_str_eq(outcomes[1], "test.busy@node1");
    ck_assert_int_eq(outcome_count, 2);
    ck_assert_int_eq(note_count, 0);
}
END_TEST

START_TEST(after_a_broken_connection_nothing_is_undone_for_the_next_attempt_takes_it_over)
{
    deliver(1, "test.break", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_msg(strncmp(outcomes[0], "job.retrying.", 13) == 0, "%s", outcomes[0]);
    ck_assert_ptr_null(strstr(bodies[0], "rollback"));
    ck_assert_str_eq(notes[0], "placed/node1");
}
END_TEST

START_TEST(what_could_not_be_undone_for_the_host_went_away_is_undone_by_the_next_attempt)
{
    deliver(1, "test.strand", "a");
    wait_count(&acknowledged_count, 1);
    assert_event(0, "job.retrying.test.strand", "code", "connection-lost");
    ck_assert_str_eq(outcomes[1], "test.strand@node1");
    ck_assert_str_eq(notes[0], "placed/node1");
}
END_TEST

START_TEST(the_last_attempt_fails)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    delivery->tag = (struct delivery_tag){ 1, ++next_tag };
    delivery->attempt = 3;
    delivery->body = strdup("{\"id\": \"00000000-0000-4000-8000-000000000001\", \"type\": \"test.busy\", "
                            "\"host\": \"node1\", \"params\": {\"guest\": \"a\"}}");
    delivery->length = strlen(delivery->body);
    dispatcher_delivery(dispatcher, JOB_QUICK, delivery);
    wait_count(&acknowledged_count, 1);
    assert_event(0, "job.failed.test.busy", "code", "busy");
}
END_TEST

START_TEST(an_answer_that_was_lost_is_given_again_when_its_delivery_comes_back)
{
    hold_confirms = true;
    deliver(1, "test.look", "a");
    wait_count(&outcome_count, 1);
    reconnect(JOB_QUICK);
    settle_as(held[0], MESSAGE_LOST);
    hold_confirms = false;
    deliver_over(2, true, 1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(outcome_count, 2);
    ck_assert_str_eq(bodies[0], bodies[1]);
}
END_TEST

START_TEST(a_lost_answer_gives_way_to_the_one_that_another_worker_gave)
{
    hold_confirms = true;
    deliver(1, "test.look", "a");
    wait_count(&outcome_count, 1);
    reconnect(JOB_QUICK);
    settle_as(held[0], MESSAGE_LOST);
    hold_confirms = false;
    past_key = "job.failed.test.look.00000000-0000-4000-8000-000000000001";
    past_body = "{\"data\": {\"of\": \"another\"}}";
    deliver_over(2, true, 1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_str_eq(bodies[1], past_body);
}
END_TEST

START_TEST(after_an_answer_was_lost_on_a_connection_that_stands_the_job_is_given_back)
{
    uint64_t again;

    hold_confirms = true;
    deliver(1, "test.look", "a");
    wait_count(&outcome_count, 1);
    hold_confirms = false;
    settle_as(held[0], MESSAGE_LOST);
    wait_count(&requeued_count, 1);
    again = deliver_over(1, true, 1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_uint_eq(acknowledged[0], again); /* until then it was not for us to answer */
    ck_assert_int_eq(outcome_count, 2);
    ck_assert_str_eq(bodies[0], bodies[1]);
}
END_TEST

START_TEST(a_delivery_that_came_back_before_the_answer_was_known_as_lost_is_kept)
{
    hold_confirms = true;
    deliver(1, "test.look", "a");
    wait_count(&outcome_count, 1);
    reconnect(JOB_QUICK);
    hold_confirms = false;
    deliver_over(2, true, 1, "test.look", "a");
    settle_as(held[0], MESSAGE_LOST);
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(requeued_count, 0);
    ck_assert_int_eq(outcome_count, 2);
}
END_TEST

START_TEST(a_job_whose_delivery_does_not_come_back_is_left_alone)
{
    deliver(1, "test.stop", "a");
    wait_begun(1);
    reconnect(JOB_LONG);
    let_go(1);
    dispatcher_tick(dispatcher); /* no grace is set */
    ck_assert_int_eq(dispatcher_drain(dispatcher, SECONDS_MAX * 1000), 0);
    ck_assert_int_eq(outcome_count, 0);
}
END_TEST

START_TEST(a_job_that_was_given_up_and_comes_back_does_not_wait_for_the_call_it_was_in)
{
    deliver(1, "test.hold", "a");
    wait_begun(1);
    reconnect(JOB_LONG);
    dispatcher_tick(dispatcher);
    deliver_over(connection, true, 1, "test.hold", "a");
    wait_begun(2);
    let_go(2);
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(dispatcher_drain(dispatcher, SECONDS_MAX * 1000), 0);
    ck_assert_int_eq(outcome_count, 1);
}
END_TEST

START_TEST(a_running_job_is_cancelled_at_its_safe_point_and_undone)
{
    deliver(1, "test.stop", "a");
    wait_begun(1);
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000001", "no more", envelope_now_ms());
    let_go(1);
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(outcome_count, 2);
    assert_event(0, "job.cancelling.test.stop", "reason", "no more");
    assert_event(1, "job.cancelled.test.stop", "code", "cancelled");
    ck_assert_ptr_nonnull(strstr(bodies[1], "rollback"));
}
END_TEST

START_TEST(a_job_is_cancelled_before_it_comes)
{
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000001", NULL, envelope_now_ms());
    deliver(1, "test.stop", "a");
    wait_count(&acknowledged_count, 1);
    assert_event(0, "job.cancelled.test.stop", "code", "cancelled");
    ck_assert_int_eq(begun, 0);
}
END_TEST

START_TEST(a_waiting_job_is_cancelled_without_its_turn)
{
    deliver(1, "test.hold", "a");
    wait_begun(1);
    deliver(2, "test.hold", "a");
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000002", NULL, envelope_now_ms());
    wait_count(&acknowledged_count, 1);
    assert_event(0, "job.cancelled.test.hold", "code", "cancelled");
    let_go(1);
    wait_count(&acknowledged_count, 2);
}
END_TEST

/* A job runs, its delivery goes away and comes back. */
static void deliver_away_and_back(const char *type)
{
    deliver(1, type, "a");
    wait_begun(1);
    reconnect(JOB_LONG);
    deliver_over(2, true, 1, type, "a");
}

static void release_journal(void)
{
    SCOPE_LOCK(&lock);

    hold_journal = false;
    pthread_cond_broadcast(&changed);
}

START_TEST(what_another_worker_has_ended_meanwhile_is_neither_gone_on_with_nor_undone)
{
    past_key = "job.succeeded.test.make.00000000-0000-4000-8000-000000000001";
    past_body = "{\"data\": {}}";
    deliver_away_and_back("test.make");
    wait_count(&requeued_count, 1);
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000001", NULL, envelope_now_ms());
    let_go(1);
    deliver_over(2, true, 1, "test.make", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_str_eq(bodies[0], past_body);
    ck_assert_int_eq(outcome_count, 1);
    ck_assert_int_eq(begun, 1);
}
END_TEST

START_TEST(what_another_worker_has_begun_meanwhile_is_begun_again)
{
    past.begun = 1;
    deliver_away_and_back("test.make");
    wait_count(&requeued_count, 1);
    deliver_over(2, true, 1, "test.make", "a");
    wait_begun(2); /* beside the old thread, which still waits */
    let_go(2);
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(outcome_count, 1);
}
END_TEST

START_TEST(a_job_that_came_back_goes_on_when_the_journal_knows_of_nobody_else)
{
    hold_journal = true;
    deliver_away_and_back("test.make");
    let_go(1);
    wait_count(&asked_count, 1);
    ck_assert_int_eq(outcome_count, 0);
    release_journal();
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(begun, 1);
    ck_assert_int_eq(requeued_count, 0);
    ck_assert_str_eq(notes[0],
                     "returned/w1"); /* when it was lost: whoever had got it must not count that as a crash */
    ck_assert_str_eq(notes[1], "begun/w1");
    ck_assert_int_eq(note_count, 2);
}
END_TEST

START_TEST(what_the_journal_was_asked_before_the_job_came_back_does_not_count)
{
    struct dispatcher_past nothing = { 0 };

    hold_journal = true;
    deliver_over(1, true, 1, "test.make", "a");
    wait_count(&asked_count, 1);
    reconnect(JOB_LONG);
    deliver_over(2, true, 1, "test.make", "a");
    wait_count(&asked_count, 2);
    past_key = "job.succeeded.test.make.00000000-0000-4000-8000-000000000001";
    past_body = "{\"data\": {}}";
    dispatcher_told(dispatcher, asked[told_count++], &nothing);
    release_journal();
    wait_acknowledged_or_given_back();
    if (acknowledged_count == 0) /* its thread had let go of it already */
        deliver_over(2, true, 1, "test.make", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_str_eq(bodies[0], past_body);
    ck_assert_int_eq(begun, 0);
}
END_TEST

START_TEST(an_order_that_comes_too_late_is_answered)
{
    deliver(1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000001", NULL, envelope_now_ms());
    wait_count(&outcome_count, 2);
    assert_event(1, "job.not-cancelled.test.look", "state", "succeeded");
}
END_TEST

START_TEST(an_order_of_yesterday_holds_no_more)
{
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000001", NULL,
                      envelope_now_ms() - INT64_C(25) * 3600 * 1000);
    deliver(1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    assert_event(0, "job.succeeded.test.look", "state", "succeeded");
}
END_TEST

START_TEST(an_order_that_holds_no_more_stops_nothing_that_runs_or_waits)
{
    const int64_t yesterday_ms = envelope_now_ms() - INT64_C(25) * 3600 * 1000;

    deliver(1, "test.hold", "a");
    wait_begun(1);
    deliver(2, "test.stop", "a");
    deliver(3, "test.stop", "b");
    wait_begun(2);
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000002", NULL, yesterday_ms);
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000003", NULL, yesterday_ms);
    deliver(4, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(begun, 2); /* the second still waits for the first */
    let_go(3);
    wait_count(&acknowledged_count, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_msg(strncmp(outcomes[i], "job.succeeded.", 14) == 0, "%s", outcomes[i]);
}
END_TEST

START_TEST(stamps_are_cleared_after_the_confirm_and_before_the_acknowledgement)
{
    hold_confirms = true;
    deliver(1, "test.make", "a");
    let_go(1);
    wait_count(&outcome_count, 1);
    ck_assert_int_eq(swept, 0);
    settle(held[0]);
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(swept, 1);
}
END_TEST

START_TEST(a_job_whose_stamps_cannot_be_cleared_comes_again_for_them)
{
    sweep_fails = true;
    deliver(1, "test.make", "a");
    let_go(1);
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(outcome_count, 2);
    assert_event(0, "job.succeeded.test.make", "state", "succeeded");
    ck_assert_str_eq(outcomes[1], "test.make@node1");
    ck_assert_int_eq(swept, 1);
}
END_TEST

/* What runs when the hand-over begins goes on when the test lets it; the next worker has the job then. */
static void hand_over_amid(const char *type)
{
    deliver(1, type, "a");
    wait_begun(1);
    ck_assert_int_eq(dispatcher_hand_over(dispatcher, 10), -1);
    let_go(1);
    ck_assert_int_eq(dispatcher_hand_over(dispatcher, SECONDS_MAX * 1000), 0);
    ck_assert_int_eq(outcome_count, 0);
    ck_assert_int_eq(acknowledged_count, 0);
}

START_TEST(a_hand_over_lets_a_long_job_stop_without_a_word)
{
    hand_over_amid("test.stop");
    ck_assert_int_eq(note_count, 1);
    ck_assert_str_eq(notes[0], "returned/w1"); /* or its redelivery would count as a crash */
}
END_TEST

START_TEST(a_hand_over_in_the_middle_of_an_undo_leaves_it_to_the_next_worker)
{
    hand_over_amid("test.undo");
}
END_TEST

START_TEST(a_retry_that_is_redelivered_counts_what_was_noted_alone)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    past.begun = 2;
    delivery->tag = (struct delivery_tag){ 1, ++next_tag };
    delivery->attempt = 2;
    delivery->redelivered = true;
    delivery->body = strdup("{\"id\": \"00000000-0000-4000-8000-000000000001\", \"type\": \"test.steps\", "
                            "\"host\": \"node1\", \"params\": {\"guest\": \"a\"}}");
    delivery->length = strlen(delivery->body);
    dispatcher_delivery(dispatcher, JOB_QUICK, delivery);
    wait_count(&acknowledged_count, 1);
    ck_assert_str_eq(notes[0], "begun/w1");
}
END_TEST

START_TEST(a_job_whose_host_goes_away_in_a_hand_over_is_left_to_the_next_worker)
{
    hand_over_amid("test.fall");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("dispatcher_again");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, what_was_answered_elsewhere_is_repeated_byte_for_byte_and_not_run);
    tcase_add_test(tests, a_job_that_comes_again_is_not_run_before_the_journal_has_spoken);
    tcase_add_test(tests, a_worker_that_has_let_go_and_says_so_late_is_no_crash);
    tcase_add_test(tests, a_job_that_has_ended_its_worker_too_often_fails_and_lies_in_the_dead);
    tcase_add_test(tests, a_job_that_only_looks_is_noted_too_when_it_begins_again);
    tcase_add_test(tests, what_must_not_be_done_twice_and_may_have_been_done_is_uncertain);
    tcase_add_test(tests, a_transient_failure_comes_again_after_a_delay);
    tcase_add_test(tests, after_a_broken_connection_nothing_is_undone_for_the_next_attempt_takes_it_over);
    tcase_add_test(tests, what_could_not_be_undone_for_the_host_went_away_is_undone_by_the_next_attempt);
    tcase_add_test(tests, the_last_attempt_fails);
    tcase_add_test(tests, an_answer_that_was_lost_is_given_again_when_its_delivery_comes_back);
    tcase_add_test(tests, a_lost_answer_gives_way_to_the_one_that_another_worker_gave);
    tcase_add_test(tests, after_an_answer_was_lost_on_a_connection_that_stands_the_job_is_given_back);
    tcase_add_test(tests, a_delivery_that_came_back_before_the_answer_was_known_as_lost_is_kept);
    tcase_add_test(tests, a_job_whose_delivery_does_not_come_back_is_left_alone);
    tcase_add_test(tests, a_job_that_was_given_up_and_comes_back_does_not_wait_for_the_call_it_was_in);
    tcase_add_test(tests, a_running_job_is_cancelled_at_its_safe_point_and_undone);
    tcase_add_test(tests, a_job_is_cancelled_before_it_comes);
    tcase_add_test(tests, a_waiting_job_is_cancelled_without_its_turn);
    tcase_add_test(tests, what_another_worker_has_ended_meanwhile_is_neither_gone_on_with_nor_undone);
    tcase_add_test(tests, what_another_worker_has_begun_meanwhile_is_begun_again);
    tcase_add_test(tests, a_job_that_came_back_goes_on_when_the_journal_knows_of_nobody_else);
    tcase_add_test(tests, what_the_journal_was_asked_before_the_job_came_back_does_not_count);
    tcase_add_test(tests, an_order_that_comes_too_late_is_answered);
    tcase_add_test(tests, an_order_of_yesterday_holds_no_more);
    tcase_add_test(tests, an_order_that_holds_no_more_stops_nothing_that_runs_or_waits);
    tcase_add_test(tests, stamps_are_cleared_after_the_confirm_and_before_the_acknowledgement);
    tcase_add_test(tests, a_job_whose_stamps_cannot_be_cleared_comes_again_for_them);
    tcase_add_test(tests, a_hand_over_lets_a_long_job_stop_without_a_word);
    tcase_add_test(tests, a_hand_over_in_the_middle_of_an_undo_leaves_it_to_the_next_worker);
    tcase_add_test(tests, a_retry_that_is_redelivered_counts_what_was_noted_alone);
    tcase_add_test(tests, a_job_whose_host_goes_away_in_a_hand_over_is_left_to_the_next_worker);
    return run_suite(tests, "dispatcher_again");
}
