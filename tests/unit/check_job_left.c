/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a handler that fails says of how it left things, and what becomes of the job then. */

#include <check.h>
#include <string.h>

#include "job_run.h"

static struct hypervisor *hypervisor;
static struct request request;
static struct outcome outcome;
static int undone;

/* What the handler does: fails with this, and says this. */
static enum error_code code;
static void (*says)(struct job *job);

static int undo(struct job *job, const json_t *state, struct error *err)
{
    (void)job;
    (void)state;
    (void)err;
    undone++;
    return 0;
}

static int fail_so(struct job *job, json_t **ret_result, struct error *err)
{
    (void)ret_result;
    if (job_undo(job, "count", undo, json_object(), err) < 0)
        return -1;
    if (says)
        says(job);
    return error_set(err, code, "as it was seen");
}

static const struct job_type type = { .name = "test.fail",
                                      .run = fail_so,
                                      .claims = { { JOB_GUEST, true, "/guest" } } };

static void setup(void)
{
    struct error err = ERROR_INIT;

    request.rollback = true;
    ck_assert(hypervisor_loop_start(&err) == 0);
    ck_assert((hypervisor = hypervisor_new("node1", "test:///default", 0, &err)) != NULL);
}

static void teardown(void)
{
    outcome_done(&outcome);
    hypervisor_free(hypervisor);
    hypervisor_loop_stop();
}

/* The first of so many attempts, by a job that was interrupted before. */
static void run(int attempts)
{
    const struct job_run_settings settings = { .request = &request,
                                               .type = &type,
                                               .hypervisor = hypervisor,
                                               .again = true,
                                               .interrupted = true,
                                               .attempt = 1,
                                               .max_attempts = attempts };
    struct job_run *made = job_run_new(&settings, NULL);

    ck_assert(made != NULL);
    job_run_execute(made, &outcome);
    job_run_free(made);
}

static void assert_end(enum outcome_state state, enum error_code error, int undos)
{
    ck_assert_str_eq(outcome_state_name(outcome.state), outcome_state_name(state));
    ck_assert_str_eq(error_name(outcome.error.code), error_name(error));
    ck_assert_int_eq(undone, undos);
}

START_TEST(uncertain_is_told_as_it_was_seen_and_nothing_is_undone)
{
    code = ERROR_CONFLICT;
    says = job_uncertain;
    run(1);
    assert_end(OUTCOME_UNCERTAIN, ERROR_CONFLICT, 0);
    ck_assert_str_eq(outcome.error.message, "as it was seen");
}
END_TEST

START_TEST(uncertain_is_looked_at_again_where_that_may_help)
{
    code = ERROR_CONNECTION_LOST;
    says = job_uncertain;
    run(2);
    assert_end(OUTCOME_RETRY, ERROR_CONNECTION_LOST, 0);
}
END_TEST

START_TEST(uncertain_at_the_last_attempt_stays_so)
{
    code = ERROR_CONNECTION_LOST;
    says = job_uncertain;
    run(1);
    assert_end(OUTCOME_UNCERTAIN, ERROR_CONNECTION_LOST, 0);
}
END_TEST

START_TEST(settled_leaves_no_doubt)
{
    code = ERROR_HOST_UNAVAILABLE;
    says = job_settled;
    run(1);
    assert_end(OUTCOME_FAILED, ERROR_HOST_UNAVAILABLE, 1);
}
END_TEST

START_TEST(settled_is_tried_again_as_what_it_is)
{
    code = ERROR_HOST_UNAVAILABLE;
    says = job_settled;
    run(2);
    assert_end(OUTCOME_RETRY, ERROR_HOST_UNAVAILABLE, 0);
}
END_TEST

/* The same without a word: here all was undone, so there is no doubt either. */
START_TEST(a_host_that_went_away_is_a_broken_connection)
{
    code = ERROR_HOST_UNAVAILABLE;
    run(1);
    assert_end(OUTCOME_FAILED, ERROR_CONNECTION_LOST, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job_left");
    TCase *tests = tcase_create("job_left");
    SRunner *runner = srunner_create(suite);

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, uncertain_is_told_as_it_was_seen_and_nothing_is_undone);
    tcase_add_test(tests, uncertain_is_looked_at_again_where_that_may_help);
    tcase_add_test(tests, uncertain_at_the_last_attempt_stays_so);
    tcase_add_test(tests, settled_leaves_no_doubt);
    tcase_add_test(tests, settled_is_tried_again_as_what_it_is);
    tcase_add_test(tests, a_host_that_went_away_is_a_broken_connection);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
