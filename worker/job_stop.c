/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* When a job must stop: cancelled, past its deadline, another worker's. When it must wait: while nobody knows whose it
 * is. And what it says meanwhile. */

#include "job_internal.h"

#include <errno.h>
#include <stdio.h>

#include "monotonic.h"

/* How long a connection that was not heard from may take to show whether it still stands. */
#define FRESH_PAUSE_MS 50

/* With the lock held. It may be that the process was stopped for so long that the broker has given the job away, and the
 * link does not know yet. */
static bool run_is_known(const struct job_run *run)
{
    const struct job_run_settings *settings = &run->settings;

    if (run->hold == JOB_OURS)
        return !settings->is_fresh || settings->is_fresh(settings->opaque);
    return run->hold == JOB_GIVEN_UP;
}

/* With the lock held. */
static bool run_wait_known(struct job_run *run)
{
    while (!run_is_known(run))
        monotonic_wait(&run->changed, &run->lock, monotonic_now_ms() + FRESH_PAUSE_MS);
    return run->hold == JOB_OURS;
}

bool job_run_is_ours(struct job_run *run)
{
    SCOPE_LOCK(&run->root->lock);

    return run_wait_known(run->root);
}

bool job_is_ours(struct job *job)
{
    struct job_run *root = job_run_of(job)->root;
    SCOPE_LOCK(&root->lock);

    return root->hold == JOB_OURS && run_is_known(root);
}

/* Why the job must stop now, if it must; of a part, which may be undone while the others go on. With the lock of the root
 * held, as in all that follows. */
static int run_stop_reason(struct job_run *run, struct error *err)
{
    const struct job_run *root = run->root;
    int64_t deadline_ms = root->settings.request->deadline_ms;

    if (root->hold == JOB_GIVEN_UP)
        return error_set(err, ERROR_INTERRUPTED, "another worker goes on with the job");
    if (run->undoing || root->undoing)
        return 0;
    if (root->cancelled)
        return error_set(err, ERROR_CANCELLED, "the job was cancelled%s%s", root->reason[0] ? ": " : "",
                         root->reason);
    if (root->expired || (deadline_ms > 0 && envelope_now_ms() >= deadline_ms))
        return error_set(err, ERROR_EXPIRED, "the deadline of the job has passed");
    return 0;
}

int job_safe_point(struct job *job, struct error *err)
{
    struct job_run *run = job_run_of(job);
    SCOPE_LOCK(&run->root->lock);

    run_wait_known(run->root);
    return run_stop_reason(run, err);
}

/* The deadline ends the wait as well: it is never slept through. */
int job_wait(struct job *job, int ms, struct error *err)
{
    struct job_run *run = job_run_of(job);
    int64_t left_ms = run->settings.request->deadline_ms - envelope_now_ms();
    int64_t until_ms = monotonic_now_ms() + (left_ms > 0 && left_ms < ms ? left_ms : ms);
    SCOPE_LOCK(&run->root->lock);

    while (run_stop_reason(run, NULL) == 0)
        if (monotonic_wait(&run->root->changed, &run->root->lock, until_ms) == ETIMEDOUT)
            break;
    run_wait_known(run->root);
    return run_stop_reason(run, err);
}

/* Of a call that blocks, where it must stop. */
static void run_stop_call(struct job_run *run)
{
    job_stop_function stop = run->stop;

    if (!stop || run_stop_reason(run, NULL) == 0)
        return;
    run->stop = NULL;
    stop(run->stop_opaque, run->root->hold == JOB_GIVEN_UP);
}

void job_on_stop(struct job *job, job_stop_function stop, void *opaque)
{
    struct job_run *run = job_run_of(job);
    SCOPE_LOCK(&run->root->lock);

    run->stop = stop;
    run->stop_opaque = opaque;
    run_stop_call(run);
}

/* Who waits wakes up, and the calls that block are stopped. */
static void run_stop(struct job_run *root)
{
    pthread_cond_broadcast(&root->changed);
    run_stop_call(root);
    for (struct job_run *part = root->parts; part; part = part->next_part)
        run_stop_call(part);
}

void job_run_begin_part(struct job_run *part)
{
    SCOPE_LOCK(&part->root->lock);

    part->next_part = part->root->parts;
    part->root->parts = part;
}

void job_run_end_part(struct job_run *part)
{
    struct job_run **slot = &part->root->parts;
    SCOPE_LOCK(&part->root->lock);

    while (*slot != part)
        slot = &(*slot)->next_part;
    *slot = part->next_part;
}

void job_run_begin_undoing(struct job_run *run)
{
    SCOPE_LOCK(&run->root->lock);

    run->undoing = true;
}

/* With the lock held. */
static void run_report(struct job_run *run, const char *state, json_t *data)
{
    if (run->settings.report && run->hold == JOB_OURS && !run->ended)
        run->settings.report(run->settings.opaque, state, data);
    else
        json_decref(data);
}

/* With the lock held: once, before anything else the job says. */
static void run_tell_started(struct job_run *run)
{
    if (!run->started_told)
        run_report(run, "started", json_object());
    run->started_told = true;
}

void job_run_tell(struct job_run *run, const char *state, json_t *data)
{
    SCOPE_LOCK(&run->lock);

    run_tell_started(run);
    if (data)
        run_report(run, state, data);
}

void job_run_tell_progress(void *opaque, json_t *report)
{
    job_run_tell(opaque, "progress", report);
}

/* With the lock held. */
static void run_tell_cancelling(struct job_run *run, const char *cause)
{
    json_t *data = json_pack("{s:s}", "cause", cause);

    if (!data)
        return;
    if (run->reason[0])
        json_object_set_new(data, "reason", json_string(run->reason));
    run_tell_started(run);
    run_report(run, "cancelling", data);
}

void job_run_cancel(struct job_run *run, const char *reason)
{
    SCOPE_LOCK(&run->lock);

    if (run->cancelled)
        return;
    run->cancelled = true;
    snprintf(run->reason, sizeof(run->reason), "%s", reason ? reason : "");
    if (run->begun_ms > 0)
        run_tell_cancelling(run, "cancelled");
    run_stop(run);
}

void job_run_hold(struct job_run *run, enum job_hold hold)
{
    SCOPE_LOCK(&run->lock);

    if (run->hold == JOB_GIVEN_UP)
        return;
    run->hold = hold;
    pthread_cond_broadcast(&run->changed);
    if (hold == JOB_GIVEN_UP)
        run_stop(run);
}

/* With the lock held. */
static void run_expire(struct job_run *run)
{
    int64_t deadline_ms = run->settings.request->deadline_ms;

    if (deadline_ms == 0 || run->expired || run->cancelled || run->undoing || envelope_now_ms() < deadline_ms)
        return;
    run->expired = true;
    run_tell_cancelling(run, "expired");
    run_stop(run);
}

void job_run_tick(struct job_run *run)
{
    SCOPE_LOCK(&run->lock);

    if (run->begun_ms == 0)
        return;
    if (monotonic_now_ms() - run->begun_ms >= run->settings.quiet_ms)
        run_tell_started(run);
    run_expire(run);
}
