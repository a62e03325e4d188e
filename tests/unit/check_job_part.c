/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Parts of a job, beside each other on threads of their own, on libvirt's test driver. */

#include <check.h>
#include <stdatomic.h>
#include <string.h>

#include "job_run.h"

#define PARTS_MAX 16

static struct hypervisor *hypervisor;
static struct request request;
static struct job_run *run;
static struct outcome outcome;

/* What the job does: so many parts at once, each with {part: <its number>} as its parameters. */
static int part_count;
static job_handler part_run;
static struct job_part_outcome ended[PARTS_MAX];

/* What the parts do and see. */
static atomic_int at_work, stopped, undone, reports, stopped_given_up;
static atomic_bool may_undo;
static _Atomic(virConnectPtr) connections[PARTS_MAX];
static struct job *whole;

static int part_number(struct job *job)
{
    return (int)job_integer(job->params, "part", -1);
}

static void on_report(void *opaque, json_t *report)
{
    (void)opaque;
    atomic_fetch_add(&reports, 1);
    json_decref(report);
}

static void *part_main(void *opaque)
{
    int number = (int)(intptr_t)opaque;
    json_t *params = json_pack("{s:i}", "part", number);
    const struct job_part part = { .params = params, .run = part_run, .report = on_report };

    job_part_run(whole, &part, &ended[number]);
    json_decref(params);
    return NULL;
}

static int run_parts(struct job *job, json_t **ret_result, struct error *err)
{
    pthread_t threads[PARTS_MAX];

    whole = job;
    for (int i = 0; i < part_count; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, part_main, (void *)(intptr_t)i), 0);
    for (int i = 0; i < part_count; i++)
        pthread_join(threads[i], NULL);
    *ret_result = json_object();
    return job_safe_point(job, err);
}

static const struct job_type type = {
    .name = "test.parts", .lane = JOB_LONG, .run = run_parts, .claims = { { JOB_HOST, true, "" } }
};

static atomic_int told;

static void on_tell(void *opaque, const char *state, json_t *data)
{
    (void)opaque;
    if (strcmp(state, "progress") == 0)
        atomic_fetch_add(&told, 1);
    json_decref(data);
}

static void setup(void)
{
    struct error err = ERROR_INIT;

    ck_assert_int_eq(hypervisor_loop_start(&err), 0);
    ck_assert((hypervisor = hypervisor_new("node1", "test:///default", 1000, &err)) != NULL);
    request.rollback = true;
    part_count = 2;
    atomic_store(&may_undo, true);
}

static void teardown(void)
{
    for (int i = 0; i < PARTS_MAX; i++)
        job_part_outcome_done(&ended[i]);
    outcome_done(&outcome);
    job_run_free(run);
    hypervisor_free(hypervisor);
    hypervisor_loop_stop();
}

static void job_new(job_handler each, int max_attempts)
{
    const struct job_run_settings settings = { .request = &request,
                                               .type = &type,
                                               .hypervisor = hypervisor,
                                               .report = on_tell,
                                               .attempt = 1,
                                               .max_attempts = max_attempts };

    part_run = each;
    ck_assert((run = job_run_new(&settings, NULL)) != NULL);
}

static void *job_main(void *unused)
{
    (void)unused;
    job_run_execute(run, &outcome);
    return NULL;
}

/* Until so many parts have said that they are where the test wants them. */
static void await(atomic_int *count, int wanted)
{
    for (int i = 0; atomic_load(count) < wanted; i++) {
        ck_assert_msg(i < 10000, "%d of %d", atomic_load(count), wanted);
        usleep(1000);
    }
}

static void execute(job_handler each)
{
    job_new(each, 1);
    job_run_execute(run, &outcome);
}

/* The job runs on a thread of its own up to where all its parts are at work. */
static pthread_t execute_beside(job_handler each)
{
    pthread_t thread;

    job_new(each, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, job_main, NULL), 0);
    await(&at_work, part_count);
    return thread;
}

static int undo(struct job *job, const json_t *state, struct error *err)
{
    (void)state;
    (void)err;
    while (!atomic_load(&may_undo))
        if (job_wait(job, 1, err) < 0)
            return -1;
    atomic_fetch_add(&undone, 1);
    return 0;
}

static int note(struct job *job, const char *step, struct error *err)
{
    if (job_step(job, step, err) < 0)
        return -1;
    return job_undo(job, "undid", undo, json_pack("{s:s}", "step", step), err);
}

/* Waits at safe points for as long as it is let. */
static int wait_forever(struct job *job, json_t **ret_result, struct error *err)
{
    (void)ret_result;
    if (note(job, "wait", err) < 0)
        return -1;
    atomic_fetch_add(&at_work, 1);
    while (job_wait(job, 60000, err) == 0)
        ;
    return -1;
}

static int all_at_once(struct job *job, json_t **ret_result, struct error *err)
{
    (void)err;
    atomic_store(&connections[part_number(job)], job->conn);
    atomic_fetch_add(&at_work, 1);
    await(&at_work, part_count);
    if (part_number(job) == 0)
        job_unchanged(job);
    else
        job_adopted(job);
    job_choice(job, part_number(job) == 0 ? "first" : "second", "for a test");
    *ret_result = json_pack("{s:i}", "was", part_number(job));
    return 0;
}

START_TEST(parts_run_at_once_each_with_a_connection_of_its_own)
{
    part_count = PARTS_MAX;
    execute(all_at_once);
    ck_assert_int_eq(outcome.state, OUTCOME_SUCCEEDED);
    for (int i = 0; i < part_count; i++) {
        ck_assert_ptr_nonnull(connections[i]);
        for (int j = 0; j < i; j++)
            ck_assert_ptr_ne(connections[i], connections[j]);
    }
}
END_TEST

START_TEST(what_a_part_says_of_itself_is_in_its_own_outcome)
{
    execute(all_at_once);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(ended[i].error.code, ERROR_NONE);
        ck_assert_int_eq(json_integer_value(json_object_get(ended[i].result, "was")), i);
        ck_assert_int_eq(ended[i].changed, i == 1);
        ck_assert_int_eq(ended[i].adopted, i == 1);
        ck_assert_str_eq(json_string_value(json_object_get(ended[i].choice, "method")),
                         i == 0 ? "first" : "second");
        ck_assert_ptr_null(ended[i].rollback);
    }
    ck_assert(outcome.changed && !outcome.adopted && !outcome.choice);
}
END_TEST

static int fail_first(struct job *job, json_t **ret_result, struct error *err)
{
    if (note(job, "one", err) < 0 || note(job, "two", err) < 0)
        return -1;
    *ret_result = json_pack("{s:i}", "was", part_number(job));
    if (part_number(job) == 0)
        return error_set_at(err, ERROR_CONFLICT, "/params/part", "it is the first");
    return 0;
}

START_TEST(a_part_that_fails_is_undone_and_the_others_are_not)
{
    execute(fail_first);
    ck_assert_int_eq(outcome.state, OUTCOME_SUCCEEDED);
    ck_assert_ptr_null(outcome.rollback);
    ck_assert_int_eq(ended[0].error.code, ERROR_CONFLICT);
    ck_assert_str_eq(ended[0].error.where, "/params/part");
    ck_assert_str_eq(ended[0].step, "two");
    ck_assert_int_eq(json_array_size(ended[0].rollback), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *report = json_array_get(ended[0].rollback, i);

        ck_assert_str_eq(json_string_value(json_object_get(report, "step")), i == 0 ? "two" : "one");
        ck_assert(json_is_true(json_object_get(report, "ok")));
    }
    ck_assert_int_eq(ended[1].error.code, ERROR_NONE);
    ck_assert_ptr_null(ended[1].rollback);
    ck_assert_int_eq(undone, 2);
}
END_TEST

START_TEST(what_a_part_that_fails_has_done_is_in_its_outcome)
{
    execute(fail_first);
    ck_assert_int_eq(json_integer_value(json_object_get(ended[0].result, "was")), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(ended[1].result, "was")), 1);
}
END_TEST

START_TEST(a_part_is_kept_as_it_is_where_the_job_wants_that)
{
    request.rollback = false;
    execute(fail_first);
    ck_assert_int_eq(ended[0].error.code, ERROR_CONFLICT);
    ck_assert_ptr_null(ended[0].rollback);
    ck_assert_int_eq(undone, 0);
}
END_TEST

static int lose_connection(struct job *job, json_t **ret_result, struct error *err)
{
    (void)ret_result;
    if (note(job, "begin", err) < 0)
        return -1;
    return error_set(err, ERROR_CONNECTION_LOST, "the connection is gone");
}

START_TEST(a_lost_connection_leaves_a_part_to_the_next_attempt)
{
    job_new(lose_connection, 2);
    job_run_execute(run, &outcome);
    ck_assert_int_eq(ended[0].error.code, ERROR_CONNECTION_LOST);
    ck_assert_ptr_null(ended[0].rollback);
    ck_assert_int_eq(undone, 0);
}
END_TEST

START_TEST(in_the_last_attempt_a_lost_connection_is_undone)
{
    job_new(lose_connection, 1);
    job_run_execute(run, &outcome);
    ck_assert_int_eq(ended[0].error.code, ERROR_CONNECTION_LOST);
    ck_assert_int_eq(json_array_size(ended[0].rollback), 1);
    ck_assert_int_eq(undone, 2);
}
END_TEST

START_TEST(to_cancel_the_job_stops_all_parts)
{
    pthread_t thread = execute_beside(wait_forever);

    job_run_cancel(run, "enough");
    pthread_join(thread, NULL);
    ck_assert_int_eq(outcome.state, OUTCOME_CANCELLED);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(ended[i].error.code, ERROR_CANCELLED);
        ck_assert_ptr_nonnull(strstr(ended[i].error.message, "enough"));
        ck_assert_int_eq(json_array_size(ended[i].rollback), 1);
    }
}
END_TEST

static int never(struct job *job, json_t **ret_result, struct error *err)
{
    (void)job;
    (void)ret_result;
    (void)err;
    ck_abort_msg("a part began");
}

/* It is a job's own first safe point that would stop it, so it is cancelled in the middle. */
static int cancel_and_run_parts(struct job *job, json_t **ret_result, struct error *err)
{
    job_run_cancel(run, NULL);
    return run_parts(job, ret_result, err);
}

START_TEST(a_part_of_a_cancelled_job_does_not_begin)
{
    struct job_type cancelled = type;
    const struct job_run_settings settings = {
        .request = &request, .type = &cancelled, .hypervisor = hypervisor, .attempt = 1, .max_attempts = 1
    };

    cancelled.run = cancel_and_run_parts;
    part_run = never;
    ck_assert((run = job_run_new(&settings, NULL)) != NULL);
    job_run_execute(run, &outcome);
    ck_assert_int_eq(ended[0].error.code, ERROR_CANCELLED);
    ck_assert_int_eq(ended[1].error.code, ERROR_CANCELLED);
}
END_TEST

static void on_stop(void *opaque, bool given_up)
{
    atomic_bool *stop = opaque;

    atomic_fetch_add(&stopped, 1);
    if (given_up)
        atomic_fetch_add(&stopped_given_up, 1);
    atomic_store(stop, true);
}

/* A call that ends only when all have been told to: who stopped them one after the other would wait forever. */
static int block(struct job *job, json_t **ret_result, struct error *err)
{
    atomic_bool stop = false;

    (void)ret_result;
    if (note(job, "block", err) < 0)
        return -1;
    job_on_stop(job, on_stop, &stop);
    atomic_fetch_add(&at_work, 1);
    await(&stopped, part_count);
    ck_assert(atomic_load(&stop));
    job_on_stop(job, NULL, NULL);
    return error_set(err, ERROR_BUSY, "the call was interrupted");
}

START_TEST(calls_of_all_parts_are_stopped_at_once)
{
    pthread_t thread;

    part_count = 8;
    thread = execute_beside(block);
    job_run_cancel(run, NULL);
    pthread_join(thread, NULL);
    ck_assert_int_eq(stopped, 8);
    for (int i = 0; i < part_count; i++)
        ck_assert_msg(ended[i].error.code == ERROR_CANCELLED, "%s", ended[i].error.message);
}
END_TEST

START_TEST(at_its_deadline_all_parts_stop)
{
    pthread_t thread = execute_beside(block);

    request.deadline_ms = envelope_now_ms();
    job_run_tick(run);
    pthread_join(thread, NULL);
    ck_assert_int_eq(outcome.state, OUTCOME_EXPIRED);
    ck_assert_int_eq(ended[0].error.code, ERROR_EXPIRED);
}
END_TEST

START_TEST(a_job_that_is_given_up_leaves_its_parts_as_they_are)
{
    pthread_t thread = execute_beside(block);

    job_run_hold(run, JOB_LOST);
    job_run_hold(run, JOB_GIVEN_UP);
    pthread_join(thread, NULL);
    ck_assert_int_eq(outcome.state, OUTCOME_GIVEN_UP);
    ck_assert_int_eq(stopped_given_up, 2);
    ck_assert_int_eq(ended[0].error.code, ERROR_INTERRUPTED);
    ck_assert_ptr_null(ended[0].rollback);
    ck_assert_int_eq(undone, 0);
}
END_TEST

static atomic_int passed;

static int pass_safe_point(struct job *job, json_t **ret_result, struct error *err)
{
    atomic_fetch_add(&at_work, 1);
    while (job_is_ours(job))
        usleep(1000);
    if (job_safe_point(job, err) < 0)
        return -1;
    atomic_fetch_add(&passed, 1);
    *ret_result = json_object();
    return 0;
}

START_TEST(while_nobody_knows_whose_the_job_is_its_parts_wait)
{
    pthread_t thread = execute_beside(pass_safe_point);

    job_run_hold(run, JOB_LOST);
    usleep(100000);
    ck_assert_int_eq(passed, 0);
    job_run_hold(run, JOB_OURS);
    pthread_join(thread, NULL);
    ck_assert_int_eq(passed, 2);
    ck_assert_int_eq(outcome.state, OUTCOME_SUCCEEDED);
}
END_TEST

static int fail_or_wait(struct job *job, json_t **ret_result, struct error *err)
{
    if (part_number(job) > 0)
        return wait_forever(job, ret_result, err);
    if (note(job, "fail", err) < 0)
        return -1;
    atomic_fetch_add(&at_work, 1);
    return error_set(err, ERROR_CONFLICT, "no");
}

START_TEST(what_is_undone_is_not_cancelled)
{
    pthread_t thread;

    atomic_store(&may_undo, false);
    thread = execute_beside(fail_or_wait);
    usleep(20000); /* the first is being undone by now, most likely */
    job_run_cancel(run, NULL);
    usleep(20000);
    ck_assert_int_eq(undone, 0);
    atomic_store(&may_undo, true);
    pthread_join(thread, NULL);
    ck_assert_int_eq(undone, 2);
    for (int i = 0; i < 2; i++)
        ck_assert(json_is_true(json_object_get(json_array_get(ended[i].rollback, 0), "ok")));
}
END_TEST

static int progress(struct job *job, json_t **ret_result, struct error *err)
{
    (void)err;
    progress_phase(job_progress(job), "counting", "steps");
    for (unsigned i = 1; i <= 10; i++)
        progress_update(job_progress(job), i, 10);
    *ret_result = json_object();
    return 0;
}

START_TEST(progress_of_a_part_goes_to_who_runs_it)
{
    execute(progress);
    ck_assert_int_eq(reports, 20);
    ck_assert_int_eq(told, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job_part");
    TCase *tcase = tcase_create("job_part");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, parts_run_at_once_each_with_a_connection_of_its_own);
    tcase_add_test(tcase, what_a_part_says_of_itself_is_in_its_own_outcome);
    tcase_add_test(tcase, a_part_that_fails_is_undone_and_the_others_are_not);
    tcase_add_test(tcase, what_a_part_that_fails_has_done_is_in_its_outcome);
    tcase_add_test(tcase, a_part_is_kept_as_it_is_where_the_job_wants_that);
    tcase_add_test(tcase, a_lost_connection_leaves_a_part_to_the_next_attempt);
    tcase_add_test(tcase, in_the_last_attempt_a_lost_connection_is_undone);
    tcase_add_test(tcase, to_cancel_the_job_stops_all_parts);
    tcase_add_test(tcase, a_part_of_a_cancelled_job_does_not_begin);
    tcase_add_test(tcase, calls_of_all_parts_are_stopped_at_once);
    tcase_add_test(tcase, at_its_deadline_all_parts_stop);
    tcase_add_test(tcase, a_job_that_is_given_up_leaves_its_parts_as_they_are);
    tcase_add_test(tcase, while_nobody_knows_whose_the_job_is_its_parts_wait);
    tcase_add_test(tcase, what_is_undone_is_not_cancelled);
    tcase_add_test(tcase, progress_of_a_part_goes_to_who_runs_it);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
