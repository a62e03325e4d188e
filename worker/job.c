/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One job on its way: the connection it holds, its steps and how to undo them, when it must stop, what it says. */

#include "job.h"
#include "job_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "monotonic.h"

/* Of what may be tried again when its connection breaks. When a daemon ends, all its connections break, but for a moment
 * not all of them are known to have. */
#define ATTEMPTS         4
#define ATTEMPT_PAUSE_MS 100

/* One thing done that a failure undoes. */
struct undo {
    char step[64];
    const char *what;
    job_undo_function function;
    json_t *state;
    struct undo *below;
};

struct job_run {
    struct job job; /* what the handler gets; must be first */
    struct job_run_settings settings;
    struct progress *progress;
    char step[64];
    struct undo *undos; /* the last one first */
    json_t *choice;
    bool unchanged;
    bool adopted;
    bool undoing;     /* safe points hold no more: an undo is not cancelled */
    int64_t begun_ms; /* monotonic */

    /* Guards what follows; nothing else is locked while it is held, but what report locks. */
    pthread_mutex_t lock;
    pthread_cond_t stopped;
    bool cancelled;
    bool started_told;
};

CLEANUP_DEFINE(run, struct job_run *, job_run_free)

static struct job_run *run_of(struct job *job)
{
    return (struct job_run *)job;
}

const struct job_type *job_type_find(const struct job_type *const *tables, const char *name)
{
    for (; *tables; tables++)
        for (const struct job_type *type = *tables; type->name; type++)
            if (strcmp(type->name, name) == 0)
                return type;
    return NULL;
}

const char *job_string(const json_t *object, const char *key, const char *fallback)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : fallback;
}

static json_int_t integer_of_real(double real)
{
    if (real >= 0x1p63)
        return INT64_MAX;
    return real < -0x1p63 ? INT64_MIN : (json_int_t)real;
}

json_int_t job_integer(const json_t *object, const char *key, json_int_t fallback)
{
    const json_t *value = json_object_get(object, key);

    if (json_is_real(value)) /* 1.0 is an integer to JSON Schema, and so is 1e300 */
        return integer_of_real(json_real_value(value));
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

bool job_flag(const json_t *object, const char *key, bool fallback)
{
    const json_t *value = json_object_get(object, key);

    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

/* Why the job must stop now, if it must. With the lock held. */
static int run_stop_reason(struct job_run *run, struct error *err)
{
    int64_t deadline_ms = run->settings.request->deadline_ms;

    if (run->undoing)
        return 0;
    if (run->cancelled)
        return error_set(err, ERROR_CANCELLED, "the job was cancelled");
    if (deadline_ms > 0 && envelope_now_ms() >= deadline_ms)
        return error_set(err, ERROR_EXPIRED, "the deadline of the job has passed");
    return 0;
}

int job_safe_point(struct job *job, struct error *err)
{
    struct job_run *run = run_of(job);
    SCOPE_LOCK(&run->lock);

    return run_stop_reason(run, err);
}

int job_step(struct job *job, const char *step, struct error *err)
{
    struct job_run *run = run_of(job);

    if (job_safe_point(job, err) < 0)
        return -1;
    snprintf(run->step, sizeof(run->step), "%s", step);
    return 0;
}

/* The deadline ends the wait as well: it is never slept through. */
int job_wait(struct job *job, int ms, struct error *err)
{
    struct job_run *run = run_of(job);
    int64_t left_ms = run->settings.request->deadline_ms - envelope_now_ms();
    int64_t until_ms = monotonic_now_ms() + (left_ms > 0 && left_ms < ms ? left_ms : ms);
    SCOPE_LOCK(&run->lock);

    while (run_stop_reason(run, NULL) == 0)
        if (monotonic_wait(&run->stopped, &run->lock, until_ms) == ETIMEDOUT)
            break;
    return run_stop_reason(run, err);
}

int job_undo(struct job *job, const char *what, job_undo_function function, json_t *state, struct error *err)
{
    struct job_run *run = run_of(job);
    struct undo *undo = state ? calloc(1, sizeof(*undo)) : NULL;

    if (!undo) {
        json_decref(state);
        return error_set_memory(err);
    }
    snprintf(undo->step, sizeof(undo->step), "%s", run->step);
    undo->what = what;
    undo->function = function;
    undo->state = state;
    undo->below = run->undos;
    run->undos = undo;
    return 0;
}

void job_adopted(struct job *job)
{
    run_of(job)->adopted = true;
}

void job_unchanged(struct job *job)
{
    run_of(job)->unchanged = true;
}

void job_choice(struct job *job, const char *method, const char *why)
{
    struct job_run *run = run_of(job);

    json_decref(run->choice);
    run->choice = json_pack("{s:s, s:s}", "method", method, "why", why);
}

struct progress *job_progress(struct job *job)
{
    return run_of(job)->progress;
}

int job_query_begin(struct job *job, virConnectPtr *ret_conn, struct error *err)
{
    return hypervisor_acquire(run_of(job)->settings.hypervisor, HYPERVISOR_QUERY, ret_conn, err);
}

void job_query_end(struct job *job, virConnectPtr conn)
{
    hypervisor_release(run_of(job)->settings.hypervisor, conn);
}

/* Once, before anything else the job says. */
static void run_tell_started(struct job_run *run)
{
    pthread_mutex_lock(&run->lock);
    bool told = run->started_told;
    run->started_told = true;
    if (!told && run->settings.report)
        run->settings.report(run->settings.opaque, "started", json_object());
    pthread_mutex_unlock(&run->lock);
}

static void run_tell_progress(void *opaque, json_t *report)
{
    struct job_run *run = opaque;

    run_tell_started(run);
    if (run->settings.report)
        run->settings.report(run->settings.opaque, "progress", report);
    else
        json_decref(report);
}

void job_run_tick(struct job_run *run)
{
    if (monotonic_now_ms() - run->begun_ms >= run->settings.quiet_ms)
        run_tell_started(run);
}

struct job_run *job_run_new(const struct job_run_settings *settings, struct error *err)
{
    struct job_run *run = calloc(1, sizeof(*run));

    if (!run) {
        error_set_memory(err);
        return NULL;
    }
    pthread_mutex_init(&run->lock, NULL);
    monotonic_cond_init(&run->stopped);
    run->settings = *settings;
    run->begun_ms = monotonic_now_ms();
    run->job.id = settings->request->id;
    run->job.host = hypervisor_name(settings->hypervisor);
    run->job.type = settings->type;
    run->job.params = settings->request->params;
    run->job.again = settings->again;
    run->progress =
        progress_new(settings->progress_interval_ms, settings->quiet_ms, run_tell_progress, run, err);
    if (!run->progress) {
        job_run_free(run);
        return NULL;
    }
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
    pthread_cond_destroy(&run->stopped);
    pthread_mutex_destroy(&run->lock);
    free(run);
}

void job_run_cancel(struct job_run *run, const char *reason)
{
    (void)reason;

    SCOPE_LOCK(&run->lock);

    run->cancelled = true;
    pthread_cond_broadcast(&run->stopped);
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

static int run_handler(struct job_run *run, json_t **ret_result, struct error *err)
{
    if (job_safe_point(&run->job, err) < 0 || run_connect(run, err) < 0)
        return -1;
    return run->settings.type->run(&run->job, ret_result, err);
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
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        *err = ERROR_INIT;
        if (run_reconnect(run, err) < 0 || undo->function(&run->job, undo->state, err) == 0 ||
            err->code != ERROR_CONNECTION_LOST)
            return;
        job_wait(&run->job, ATTEMPT_PAUSE_MS, NULL);
    }
}

static void run_rollback(struct job_run *run, struct outcome *outcome)
{
    run->undoing = true;
    for (struct undo *undo = run->undos; undo; undo = run->undos) {
        struct error err = ERROR_INIT;

        if (!outcome->rollback)
            outcome->rollback = json_array();
        run_undo(run, undo, &err);
        json_array_append_new(outcome->rollback, undo_report(undo, &err));
        run->undos = undo->below;
        undo_free(undo);
    }
}

static bool rollback_is_whole(const json_t *rollback)
{
    size_t index;
    json_t *report;

    json_array_foreach (rollback, index, report) {
        if (!json_is_true(json_object_get(report, "ok")))
            return false;
    }
    return json_array_size(rollback) > 0;
}

static bool run_only_looks(const struct job_run *run)
{
    return run->settings.type->claims[0].resource == JOB_NOTHING;
}

/* After a broken connection nobody knows whether the last call took effect, unless all was undone since. */
static enum outcome_state run_failed_state(const struct job_run *run, const struct outcome *outcome)
{
    switch (outcome->error.code) {
    case ERROR_CANCELLED:
        return OUTCOME_CANCELLED;
    case ERROR_EXPIRED:
        return OUTCOME_EXPIRED;
    case ERROR_CONNECTION_LOST:
        if (!run_only_looks(run) && !rollback_is_whole(outcome->rollback))
            return OUTCOME_UNCERTAIN;
        return OUTCOME_FAILED;
    default:
        return OUTCOME_FAILED;
    }
}

static void run_fail(struct job_run *run, struct outcome *outcome)
{
    snprintf(outcome->step, sizeof(outcome->step), "%s", run->step);
    if (run->settings.request->rollback)
        run_rollback(run, outcome);
    outcome->state = run_failed_state(run, outcome);
}

/* What only looks may look again over a new connection; anything else might be done twice. */
static int run_attempt(struct job_run *run, struct outcome *outcome)
{
    for (outcome->attempts = 1;; outcome->attempts++) {
        if (run_handler(run, &outcome->result, &outcome->error) == 0)
            return 0;
        if (outcome->error.code != ERROR_CONNECTION_LOST || !run_only_looks(run) ||
            outcome->attempts == ATTEMPTS)
            return -1;
        run_disconnect(run);
        outcome->error = ERROR_INIT;
        if (job_wait(&run->job, ATTEMPT_PAUSE_MS, &outcome->error) < 0)
            return -1;
    }
}

/* From here on the outcome speaks. */
static void run_fall_silent(struct job_run *run)
{
    SCOPE_LOCK(&run->lock);

    run->started_told = true;
}

void job_run_execute(struct job_run *run, struct outcome *outcome)
{
    int64_t begun_ms = monotonic_now_ms();
    int64_t queued_ms = envelope_now_ms() - run->settings.request->received_ms;

    *outcome = (struct outcome){ .queued_ms = queued_ms > 0 ? queued_ms : 0 };
    if (run->settings.quiet_ms == 0)
        run_tell_started(run);
    if (run_attempt(run, outcome) < 0)
        run_fail(run, outcome);
    run_disconnect(run);
    run_fall_silent(run);
    outcome->changed = !run->unchanged && !run_only_looks(run);
    outcome->adopted = run->adopted;
    outcome->choice = STEAL(&run->choice);
    outcome->run_ms = monotonic_now_ms() - begun_ms;
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
