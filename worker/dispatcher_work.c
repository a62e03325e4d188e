/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a thread does with a task: what has become of it before, its run, and on to its answer. */

#include "dispatcher_internal.h"

#include <string.h>

#include "kill_point.h"
#include "log.h"
#include "metrics.h"
#include "monotonic.h"

static bool task_only_looks(const struct task *task)
{
    return task->type->claims[0].resource == JOB_NOTHING;
}

/* Where the broker has taken the delivery back, another worker may have it by now: then it is forgotten. */
static bool task_begin(struct task *task)
{
    struct dispatcher *dispatcher = task->dispatcher;
    SCOPE_LOCK(&dispatcher->lock);

    if (task->state == TASK_WAITING)
        metrics_add(METRIC_JOBS_WAITING, -1, dispatcher_lane_names[task->lane], NULL);
    if (dispatcher->draining || !task_is_ours(task)) {
        task_remove(task);
        return false;
    }
    if (task->state == TASK_WAITING)
        task->state = TASK_RUNNING;
    task->has_thread = true;
    dispatcher->busy++;
    return true;
}

/* Waits for the journal's word. False: the job is not ours any more. */
static bool task_wait_told(struct task *task)
{
    struct dispatcher *dispatcher = task->dispatcher;
    SCOPE_LOCK(&dispatcher->lock);

    while (task->ask == ASK_OPEN && !task->given_up && task_is_ours(task) && !dispatcher->draining)
        pthread_cond_wait(&dispatcher->changed, &dispatcher->lock);
    return task->ask != ASK_OPEN && task_is_ours(task);
}

static void task_fail(struct task *task, const struct error *err)
{
    task->answer.kind = ANSWER_OUTCOME;
    task->answer.outcome.state = err->code == ERROR_EXPIRED ? OUTCOME_EXPIRED : OUTCOME_FAILED;
    task->answer.outcome.error = *err;
}

/* With the lock held. */
static bool task_has_crashed_too_often(const struct task *task)
{
    bool first_is_not_noted = task->redelivered && !task->resent;
    int crashes = task->past.begun - task->past.returned + (first_is_not_noted ? 1 : 0);

    return task->refusal.code == ERROR_NONE && crashes >= task->dispatcher->settings.max_crashes;
}

/* Who lost its connection is no crash, but can say so only when it has another one. */
static bool task_ask_whether_they_live(struct task *task)
{
    struct dispatcher *dispatcher = task->dispatcher;
    int64_t until_ms = monotonic_now_ms() + dispatcher->settings.crash_patience_ms;
    int waited = 0;

    pthread_mutex_lock(&dispatcher->lock);
    while (!task->given_up && task_is_ours(task) && !dispatcher->draining && waited == 0)
        waited = monotonic_wait(&dispatcher->changed, &dispatcher->lock, until_ms);
    task_ask_journal(task);
    pthread_mutex_unlock(&dispatcher->lock);
    return task_wait_told(task);
}

static void task_fail_crashed(struct task *task)
{
    struct error err = ERROR_INIT;

    error_set(&err, ERROR_CRASHED, "the job has ended its worker %d times: look for what it left behind",
              task->dispatcher->settings.max_crashes);
    task_fail(task, &err);
    task->answer.buried = true;
}

/* Of a job for any host: what it has begun is where it was begun. */
static bool task_belongs_elsewhere(const struct task *task)
{
    return task->placed[0] && strcmp(task->placed, TASK_NOWHERE) != 0 && !task->request.placed &&
           strcmp(task->request.host, ANY_HOST) == 0 && strcmp(task->placed, task_host(task)) != 0;
}

/* What is to be done with a job. */
enum verdict { VERDICT_RUN, VERDICT_ANSWER, VERDICT_FORGET };

static enum verdict task_judge_past(struct task *task)
{
    SCOPE_LOCK(&task->dispatcher->lock);

    if (task->past.outcome) {
        task->answer.kind = ANSWER_REPEAT;
        return VERDICT_ANSWER;
    }
    if (task_has_crashed_too_often(task)) {
        task_fail_crashed(task);
        return VERDICT_ANSWER;
    }
    if (task->refusal.code == ERROR_NONE && task_belongs_elsewhere(task)) {
        task->answer.kind = ANSWER_FORWARD;
        return VERDICT_ANSWER;
    }
    return VERDICT_RUN;
}

/* So that its crashes can be counted. Where it is not known whether the note arrived, it is taken back all the same: the
 * connection has ended, which is no crash. */
static bool task_note_begun(struct task *task)
{
    bool is_noted;

    task->noted_begun = true;
    is_noted = task_note(task, "begun", task->dispatcher->settings.worker);
    log_info("dispatcher", "begun again", "job", task->request.id, "type", task->request.type, "host",
             task_host(task), NULL);
    SCOPE_LOCK(&task->dispatcher->lock);
    task->past.begun++;
    return is_noted;
}

/* So that a job for any host is not begun at another. */
static bool task_note_place(struct task *task)
{
    bool is_known;

    pthread_mutex_lock(&task->dispatcher->lock);
    is_known = strcmp(task->placed, task_host(task)) == 0;
    task->placed_ms = monotonic_now_ms();
    pthread_mutex_unlock(&task->dispatcher->lock);
    return is_known || task_note(task, "placed", task_host(task));
}

static bool task_note_begin(struct task *task)
{
    if (task->again && !task_note_begun(task))
        return false;
    return task_only_looks(task) || strcmp(task->request.host, ANY_HOST) != 0 || task_note_place(task);
}

/* Waits until enough is known of what became of it. False: the job is not ours any more. */
static bool task_learn_past(struct task *task)
{
    bool seems_to_crash;

    if (!task_wait_told(task))
        return false;
    pthread_mutex_lock(&task->dispatcher->lock);
    seems_to_crash = !task->past.outcome && task_has_crashed_too_often(task);
    pthread_mutex_unlock(&task->dispatcher->lock);
    return !seems_to_crash || task_ask_whether_they_live(task);
}

static enum verdict task_judge(struct task *task)
{
    enum verdict verdict = VERDICT_RUN;

    if (task->again) {
        if (!task_learn_past(task))
            return VERDICT_FORGET;
        verdict = task_judge_past(task);
    }
    if (verdict != VERDICT_RUN)
        return verdict;
    if (task->refusal.code != ERROR_NONE) {
        task_fail(task, &task->refusal);
        return VERDICT_ANSWER;
    }
    if (!task_note_begin(task))
        return VERDICT_FORGET;
    kill_point("after-note");
    return VERDICT_RUN;
}

static void task_report(void *opaque, const char *state, json_t *data)
{
    struct task *task = opaque;
    struct publisher_way way = task_way(task);

    publisher_job_event(task->dispatcher->settings.publisher, &way, &task->request, state, task_host(task),
                        data);
}

static bool task_is_fresh(void *opaque)
{
    const struct task *task = opaque;
    const struct dispatcher_settings *settings = &task->dispatcher->settings;

    return !settings->is_fresh || settings->is_fresh(settings->opaque, task->lane);
}

static int task_max_attempts(const struct task *task)
{
    return task->request.max_attempts > 0 ? task->request.max_attempts
                                          : task->dispatcher->settings.max_attempts;
}

/* This attempt is among those that were noted as begun. A place is noted of what a retry has left, too. */
static bool task_was_interrupted(struct task *task)
{
    SCOPE_LOCK(&task->dispatcher->lock);

    return task->redelivered || task->past.begun - (task->noted_begun ? 1 : 0) > task->past.returned ||
           strcmp(task->placed, task_host(task)) == 0;
}

static uint64_t task_begun_s(struct task *task)
{
    SCOPE_LOCK(&task->dispatcher->lock);

    return task->past.begun_s;
}

/* The run stays until the task ends: for dispatcher_tick, and to clear the stamps. -1: no memory. */
static int task_make_run(struct task *task, struct error *err)
{
    const struct dispatcher_settings *settings = &task->dispatcher->settings;
    const struct job_run_settings run_settings = {
        .request = &task->request,
        .type = task->type,
        .hypervisor = task->host,
        .reach = settings->reach,
        .progress_interval_ms = settings->progress_interval_ms,
        .quiet_ms = task->type->lane == JOB_QUICK ? 1000 : 0,
        .again = task->again,
        .interrupted = task_was_interrupted(task),
        .begun_s = task_begun_s(task),
        .attempt = task->request.attempt,
        .max_attempts = task_max_attempts(task),
        .report = task_report,
        .is_fresh = task_is_fresh,
        .opaque = task,
    };
    struct job_run *run = job_run_new(&run_settings, err);
    SCOPE_LOCK(&task->dispatcher->lock);

    task->run = run;
    if (run && task->cancelled)
        job_run_cancel(run, task->reason);
    if (run && task->given_up)
        job_run_hold(run, JOB_GIVEN_UP);
    else if (run && (task->was_away || !task_is_ours(task)))
        job_run_hold(run, JOB_LOST);
    return run ? 0 : -1;
}

static void task_execute(struct task *task)
{
    const char *lane = dispatcher_lane_names[task->lane];
    struct outcome *outcome = &task->answer.outcome;
    struct error err = ERROR_INIT;

    if (task_make_run(task, &err) < 0) {
        task_fail(task, &err);
        return;
    }
    metrics_add(METRIC_JOBS_STARTED, 1, task->type->name, NULL);
    metrics_add(METRIC_JOBS_RUNNING, 1, lane, NULL);
    kill_point("before-run");
    job_run_execute(task->run, outcome);
    kill_point("after-run");
    metrics_add(METRIC_JOBS_RUNNING, -1, lane, NULL);
    metrics_add(METRIC_JOB_SECONDS, (double)outcome->run_ms / 1000, task->type->name, NULL);
    task->answer.kind = outcome->state == OUTCOME_RETRY ? ANSWER_RETRY : ANSWER_OUTCOME;
}

static void task_log_outcome(const struct task *task)
{
    const struct outcome *outcome = &task->answer.outcome;
    bool succeeded = outcome->state == OUTCOME_SUCCEEDED;
    bool is_told = outcome->state != OUTCOME_RETRY && outcome->state != OUTCOME_GIVEN_UP;

    log_info("dispatcher", outcome_state_name(outcome->state), "job", task->request.id, "type",
             task->request.type, "host", task_host(task), "adopted", outcome->adopted ? "true" : NULL, "code",
             succeeded ? NULL : error_name(outcome->error.code), "error",
             succeeded ? NULL : outcome->error.message, NULL);
    if (is_told)
        metrics_add(METRIC_JOBS_ENDED, 1, task_type_name(task), outcome_state_name(outcome->state));
    if (outcome->adopted)
        metrics_add(METRIC_JOBS_ADOPTED, 1, task_type_name(task), NULL);
}

static void task_end(struct task *task)
{
    if (task->answer.kind == ANSWER_OUTCOME || task->answer.kind == ANSWER_RETRY)
        task_log_outcome(task);
    task_answer(task);
}

static void task_run(struct task *task)
{
    enum verdict verdict = task_judge(task);

    if (verdict == VERDICT_RUN) {
        task_execute(task);
        if (task->answer.outcome.state == OUTCOME_GIVEN_UP)
            verdict = VERDICT_FORGET;
    }
    if (verdict == VERDICT_FORGET)
        task_forget(task);
    else
        task_end(task);
}

void task_work(void *item)
{
    struct task *task = item;
    bool is_held;

    pthread_mutex_lock(&task->dispatcher->lock);
    is_held = task->state == TASK_HELD;
    pthread_mutex_unlock(&task->dispatcher->lock);
    if (!task_begin(task))
        return;
    if (is_held)
        task_answer(task);
    else
        task_run(task);
}
