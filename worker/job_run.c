/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Runs a job: the connection it holds, its attempts, its rollback, and how all that ended. */

#include "job_internal.h"

#include <stdio.h>

#include "kill_point.h"
#include "monotonic.h"

/* Of what only looks and of undos, when their connection breaks. When a daemon ends, all its connections break, but for
 * a moment not all of them are known to have. */
#define LOOKS         4
#define LOOK_PAUSE_MS 100

struct job_run *job_run_alloc(const struct job_run_settings *settings, struct error *err)
{
    struct job_run *run = calloc(1, sizeof(*run));

    if (!run) {
        error_set_memory(err);
        return NULL;
    }
    pthread_mutex_init(&run->lock, NULL);
    monotonic_cond_init(&run->changed);
    run->root = run;
    run->settings = *settings;
    run->job.id = settings->request->id;
    run->job.host = hypervisor_name(settings->hypervisor);
    run->job.type = settings->type;
    run->job.params = settings->request->params;
    run->job.again = settings->again;
    run->handler = settings->type->run;
    return run;
}

struct job_run *job_run_new(const struct job_run_settings *settings, struct error *err)
{
    struct job_run *run = job_run_alloc(settings, err);

    if (!run)
        return NULL;
    run->progress =
        progress_new(settings->progress_interval_ms, settings->quiet_ms, job_run_tell_progress, run, err);
    if (!run->progress) {
        job_run_free(run);
        return NULL;
    }
    progress_set_deadline(run->progress, settings->request->deadline_ms);
    return run;
}

static void undo_free(struct undo *undo)
{
    json_decref(undo->state);
    free(undo);
}

void job_run_free(struct job_run *run)
{
    if (!run)
        return;
    while (run->undos) {
        struct undo *undo = run->undos;
        run->undos = undo->below;
        undo_free(undo);
    }
    progress_free(run->progress);
    json_decref(run->choice);
    pthread_cond_destroy(&run->changed);
    pthread_mutex_destroy(&run->lock);
    free(run);
}

static enum hypervisor_use run_use(const struct job_run *run)
{
    return run->settings.type->lane == JOB_LONG ? HYPERVISOR_LONG : HYPERVISOR_QUICK;
}

static int run_connect(struct job_run *run, struct error *err)
{
    return hypervisor_acquire(run->settings.hypervisor, run_use(run), &run->job.conn, err);
}

static void run_disconnect(struct job_run *run)
{
    hypervisor_release(run->settings.hypervisor, run->job.conn);
    run->job.conn = NULL;
}

static bool run_only_looks(const struct job_run *run)
{
    return run->settings.type->claims[0].resource == JOB_NOTHING;
}

/* What an earlier attempt may have made is taken over first, that it may be undone: such a handler comes to a safe point
 * of its own. */
static int run_handler(struct job_run *run, json_t **ret_result, struct error *err)
{
    const struct job_type *type = run->settings.type;
    bool takes_over = run->job.again && (type->sweep || type->takes_over);

    if (!takes_over && job_safe_point(&run->job, err) < 0)
        return -1;
    if (run_connect(run, err) < 0)
        return -1;
    if (run->handler(&run->job, ret_result, err) == 0)
        return 0;
    if (err->code == ERROR_HOST_UNAVAILABLE && run->left != RUN_SETTLED)
        err->code = ERROR_CONNECTION_LOST; /* in the middle, for there was one */
    return -1;
}

static json_t *undo_report(const struct undo *undo, const struct error *err)
{
    json_t *report = json_pack("{s:s, s:s, s:O, s:b}", "step", undo->step, "undo", undo->what, "target",
                               undo->state, "ok", err->code == ERROR_NONE);

    if (report && err->code != ERROR_NONE)
        json_object_set_new(report, "error", error_to_json(err));
    return report;
}

/* A broken connection would fail every undo for a reason that has nothing to do with it. */
static int run_reconnect(struct job_run *run, struct error *err)
{
    if (run->job.conn && hypervisor_is_alive(run->job.conn))
        return 0;
    run_disconnect(run);
    return run_connect(run, err);
}

/* An undo may be tried again: where there is nothing to undo it succeeds. */
static void run_undo(struct job_run *run, const struct undo *undo, struct error *err)
{
    for (int look = 0; look < LOOKS; look++) {
        *err = ERROR_INIT;
        if (run_reconnect(run, err) < 0 || undo->function(&run->job, undo->state, err) == 0 ||
            err->code != ERROR_CONNECTION_LOST)
            return;
        job_wait(&run->job, LOOK_PAUSE_MS, NULL);
    }
}

/* Of a host that went away meanwhile: what is left there, the next attempt can undo. */
static void run_keep_undo_error(struct job_run *run, const struct error *err)
{
    if (err->code != ERROR_CONNECTION_LOST && err->code != ERROR_HOST_UNAVAILABLE)
        return;
    run->undo_error = *err;
    run->undo_error.code = ERROR_CONNECTION_LOST;
}

/* -1: the job is another worker's now, and with it what is left to be undone. */
static int run_rollback(struct job_run *run, struct outcome *outcome)
{
    job_run_begin_undoing(run);
    for (struct undo *undo = run->undos; undo; undo = run->undos) {
        struct error err = ERROR_INIT;

        if (!job_run_is_ours(run))
            return -1;
        if (!outcome->rollback)
            outcome->rollback = json_array();
        run_undo(run, undo, &err);
        if (err.code == ERROR_INTERRUPTED) /* in the middle of it */
            return -1;
        run_keep_undo_error(run, &err);
        kill_point("after-undo");
        json_array_append_new(outcome->rollback, undo_report(undo, &err));
        run->undos = undo->below;
        undo_free(undo);
    }
    return 0;
}

static bool rollback_failed(const json_t *rollback)
{
    size_t index;
    json_t *report;

    json_array_foreach (rollback, index, report) {
        if (!json_is_true(json_object_get(report, "ok")))
            return true;
    }
    return false;
}

/* After a broken connection nobody knows whether the last call took effect, unless all was undone since; and what could
 * not even be looked at may still have what an interrupted attempt left. */
static bool run_is_uncertain(const struct job_run *run, const struct outcome *outcome)
{
    if (run_only_looks(run) || run->left == RUN_SETTLED)
        return false;
    if (outcome->error.code == ERROR_HOST_UNAVAILABLE)
        return run->settings.interrupted;
    return outcome->error.code == ERROR_CONNECTION_LOST &&
           (json_array_size(outcome->rollback) == 0 || rollback_failed(outcome->rollback));
}

static enum outcome_state run_failed_state(const struct job_run *run, const struct outcome *outcome)
{
    switch (outcome->error.code) {
    case ERROR_CANCELLED:
        return OUTCOME_CANCELLED;
    case ERROR_EXPIRED:
        return OUTCOME_EXPIRED;
    default:
        return run_is_uncertain(run, outcome) ? OUTCOME_UNCERTAIN : OUTCOME_FAILED;
    }
}

/* What may be done again, and may end otherwise then. */
static bool run_may_retry(const struct job_run *run, const struct error *err)
{
    return run->settings.attempt < run->settings.max_attempts && error_is_transient(err) &&
           !(run->settings.type->once && err->code == ERROR_CONNECTION_LOST);
}

/* Where the connection broke or could not be had, the next attempt takes over what was done so far, and so nothing is
 * undone. */
static bool run_goes_on_later(const struct job_run *run, const struct outcome *outcome)
{
    enum error_code code = outcome->error.code;

    return (code == ERROR_CONNECTION_LOST || code == ERROR_HOST_UNAVAILABLE) &&
           run_may_retry(run, &outcome->error);
}

/* It would be tried again only to be stopped then. Where something may be left that was not looked at, the next attempt has
 * to do that. */
static void run_stop_instead(struct job_run *run, struct error *err)
{
    struct error stop = ERROR_INIT;

    if (!error_is_transient(err) || err->code == ERROR_CONNECTION_LOST ||
        (err->code == ERROR_HOST_UNAVAILABLE && run->settings.interrupted))
        return;
    if (job_safe_point(&run->job, &stop) < 0 && stop.code != ERROR_INTERRUPTED)
        *err = stop;
}

static void run_fail(struct job_run *run, struct outcome *outcome)
{
    snprintf(outcome->step, sizeof(outcome->step), "%s", run->step);
    run_stop_instead(run, &outcome->error);
    outcome->state = OUTCOME_GIVEN_UP;
    if (!job_run_is_ours(run))
        return;
    if (run_goes_on_later(run, outcome)) {
        outcome->state = OUTCOME_RETRY;
        return;
    }
    if (run->left == RUN_UNCERTAIN) {
        outcome->state = OUTCOME_UNCERTAIN;
        return;
    }
    if (run->settings.request->rollback && run_rollback(run, outcome) < 0)
        return;
    if (run_may_retry(run, &run->undo_error)) {
        outcome->error = run->undo_error;
        outcome->state = OUTCOME_RETRY;
        return;
    }
    outcome->state = run_failed_state(run, outcome);
    if (outcome->state == OUTCOME_FAILED && run_may_retry(run, &outcome->error) &&
        !rollback_failed(outcome->rollback))
        outcome->state = OUTCOME_RETRY;
}

/* What only looks may look again over a new connection; anything else might be done twice. */
static int run_attempt(struct job_run *run, struct outcome *outcome)
{
    for (int look = 1;; look++) {
        if (run_handler(run, &outcome->result, &outcome->error) == 0)
            return 0;
        if (outcome->error.code != ERROR_CONNECTION_LOST || !run_only_looks(run) || look == LOOKS)
            return -1;
        run_disconnect(run);
        json_decref(STEAL(&outcome->result));
        outcome->error = ERROR_INIT;
        if (job_wait(&run->job, LOOK_PAUSE_MS, &outcome->error) < 0)
            return -1;
    }
}

/* Whether it may have been done already, and nothing could tell. */
static bool run_is_in_doubt(const struct job_run *run, struct outcome *outcome)
{
    if (!run->settings.type->once || !run->settings.interrupted || run->settings.request->retry_uncertain)
        return false;
    outcome->state = OUTCOME_UNCERTAIN;
    error_set(&outcome->error, ERROR_INTERRUPTED,
              "an earlier attempt was interrupted, and may have done it or not");
    return true;
}

static void run_begin(struct job_run *run)
{
    bool aloud = run->settings.quiet_ms == 0;

    pthread_mutex_lock(&run->lock);
    run->begun_ms = monotonic_now_ms();
    pthread_mutex_unlock(&run->lock);
    if (aloud)
        job_run_tell(run, "started", NULL);
}

static void run_end(struct job_run *run)
{
    SCOPE_LOCK(&run->lock);

    run->ended = true;
}

void job_run_carry_out(struct job_run *run, struct outcome *outcome)
{
    if (!run_is_in_doubt(run, outcome) && run_attempt(run, outcome) < 0)
        run_fail(run, outcome);
    run_disconnect(run);
    outcome->changed = run->has_changed || (!run->unchanged && !run_only_looks(run));
    outcome->adopted = run->adopted;
    outcome->choice = STEAL(&run->choice);
}

void job_run_execute(struct job_run *run, struct outcome *outcome)
{
    int64_t queued_ms = envelope_now_ms() - run->settings.request->received_ms;

    *outcome = (struct outcome){ .queued_ms = queued_ms > 0 ? queued_ms : 0,
                                 .attempts = run->settings.attempt > 0 ? run->settings.attempt : 1 };
    run_begin(run);
    job_run_carry_out(run, outcome);
    run_end(run);
    outcome->run_ms = monotonic_now_ms() - run->begun_ms;
}

int job_run_sweep(struct job_run *run, struct error *err)
{
    int rc;

    if (!run->settings.type->sweep)
        return 0;
    if (run_connect(run, err) < 0)
        return -1;
    rc = run->settings.type->sweep(&run->job, err);
    run_disconnect(run);
    return rc;
}
