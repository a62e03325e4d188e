/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* An answer on its way: published while the job is ours, safe, the stamps cleared, the delivery acknowledged. Where the
 * connection ends before that, the answer waits for the delivery to come back; and the journal says whether another
 * worker has given one meanwhile. */

#include "dispatcher_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kill_point.h"
#include "log.h"
#include "metrics.h"

/* So often a job comes again whose stamps could not be cleared, for its host was away: for hours, with the usual delays. */
#define SWEEP_ATTEMPTS 50

struct publisher_way task_way(const struct task *task)
{
    return (struct publisher_way){ .lane = (int)task->lane,
                                   .epoch = atomic_load(&task->dispatcher->epochs[task->lane]) };
}

void task_settle(struct task *task, bool requeue)
{
    const struct dispatcher_settings *settings = &task->dispatcher->settings;

    for (size_t i = 0; i < task->tag_count; i++)
        settings->settle(settings->opaque, task->lane, task->tags[i], requeue);
}

/* With the lock held. What was only sent on its way again has not ended. */
static void task_remember(struct task *task)
{
    enum outcome_state state = task->answer.outcome.state;
    struct ended ended;

    if (task->answer.kind == ANSWER_RETRY || task->answer.kind == ANSWER_FORWARD)
        return;
    if (task->answer.kind == ANSWER_REPEAT)
        outcome_state_of_key(task->past.outcome->routing_key, &state);
    task_summarize(task, state, &ended);
    ended_add(&task->dispatcher->ended, &ended);
}

/* Its outcome is safe: nobody holds it any more but this. */
static void task_acknowledge(struct task *task)
{
    struct dispatcher *dispatcher = task->dispatcher;

    pthread_mutex_lock(&dispatcher->lock);
    task_remember(task);
    task_leave_table(task);
    pthread_mutex_unlock(&dispatcher->lock);
    kill_point("before-ack");
    task_settle(task, false);
    kill_point("after-ack");
    pthread_mutex_lock(&dispatcher->lock);
    task_remove(task);
    dispatcher_unbusy(dispatcher);
    pthread_mutex_unlock(&dispatcher->lock);
}

void task_give_back(struct task *task)
{
    task_settle(task, true);
    task->tag_count = 0;
}

/* With the lock held. Nobody sees to it until its delivery comes back, if it may; else it is gone after this. */
static void task_rest(struct task *task)
{
    dispatcher_unbusy(task->dispatcher);
    if (task->in_table)
        task_wake(task);
    else
        task_remove(task);
}

/* With the lock held. Where its connection still stands, for there was no memory or no queue, the delivery is given back; and
 * where it does not, it may have come over the next one already. */
static void task_lose_answer(struct task *task)
{
    task->state = TASK_HELD;
    task->queued = false;
    if (task->answer_epoch == atomic_load(&task->dispatcher->epochs[task->lane]))
        task_give_back(task);
    if (!task->has_thread)
        task_rest(task);
}

/* A publisher_done. Either the thread waits for this, or it has left the task to it. */
static void task_answered(void *opaque, enum publisher_fate fate)
{
    struct task *task = opaque;
    struct dispatcher *dispatcher = task->dispatcher;
    bool is_mine;

    if (fate == PUBLISHER_SAFE)
        kill_point("after-confirm");
    pthread_mutex_lock(&dispatcher->lock);
    is_mine = !task->has_thread && fate == PUBLISHER_SAFE;
    if (fate == PUBLISHER_SAFE)
        task->state = TASK_ANSWERED;
    else
        task_lose_answer(task);
    pthread_cond_broadcast(&dispatcher->changed);
    pthread_mutex_unlock(&dispatcher->lock);
    if (is_mine)
        task_acknowledge(task);
}

static bool rollback_is_clean(const json_t *rollback)
{
    size_t index;
    json_t *report;

    json_array_foreach (rollback, index, report) {
        if (!json_is_true(json_object_get(report, "ok")))
            return false;
    }
    return true;
}

static bool task_was_placed_here(const struct task *task)
{
    return strcmp(task->placed, task_host(task)) == 0;
}

/* What it has made is there, and nowhere else; or may be, where that cannot be looked at. */
static bool task_stays(const struct task *task)
{
    const struct outcome *outcome = &task->answer.outcome;

    return outcome->error.code == ERROR_CONNECTION_LOST || !rollback_is_clean(outcome->rollback) ||
           (outcome->error.code == ERROR_HOST_UNAVAILABLE && task_was_placed_here(task));
}

static void task_publish_retry(struct task *task, const struct publisher_way *way)
{
    const struct dispatcher_settings *settings = &task->dispatcher->settings;
    const struct outcome *outcome = &task->answer.outcome;
    int attempt = task->request.attempt + 1, delay_s = settings->retry_delay(settings->opaque, attempt);
    bool stays = task_stays(task);
    int max_attempts = task->request.max_attempts ? task->request.max_attempts : settings->max_attempts;
    json_t *data =
        json_pack("{s:i, s:i, s:i, s:o, s:s}", "attempt", task->request.attempt, "max_attempts", max_attempts,
                  "delay_s", delay_s, "error", error_to_json(&outcome->error), "worker", settings->worker);

    publisher_job_event(settings->publisher, way, &task->request, "retrying", task_host(task), data);
    if (stays || task->placed_ms > 0 || task_was_placed_here(task))
        publisher_note(settings->publisher, way, task->request.id, "placed",
                       stays ? task_host(task) : TASK_NOWHERE, NULL, NULL);
    publisher_retry(settings->publisher, way, &task->request, attempt, delay_s,
                    stays || task->request.placed ? task_host(task) : task->request.host, task_answered,
                    task);
}

static void task_publish_outcome(struct task *task, const struct publisher_way *way)
{
    const struct dispatcher_settings *settings = &task->dispatcher->settings;
    const struct outcome *outcome = &task->answer.outcome;
    char reason[sizeof(outcome->error.message) + 32]; /* with the code first: so it is seen to be answered */

    snprintf(reason, sizeof(reason), "%s: %s", error_name(outcome->error.code), outcome->error.message);
    if (!task->answer.event)
        task->answer.event = envelope_outcome(&task->request, outcome, task_host(task), settings->worker);
    publisher_outcome(settings->publisher, way, &task->request, task->answer.event, outcome->state,
                      task->answer.buried ? reason : NULL, task_answered, task);
}

/* The job has its outcome, and comes again for its stamps alone: the journal will tell it so. */
static void task_publish_later(struct task *task, const struct publisher_way *way)
{
    const struct dispatcher_settings *settings = &task->dispatcher->settings;
    int attempt = task->request.attempt + 1;

    publisher_retry(settings->publisher, way, &task->request, attempt,
                    settings->retry_delay(settings->opaque, attempt), task_host(task), task_answered, task);
}

static void task_publish(struct task *task)
{
    const struct dispatcher_settings *settings = &task->dispatcher->settings;
    struct publisher_way way = { .lane = (int)task->lane, .epoch = task->answer_epoch };

    if (task->answer.sweep_later) {
        task_publish_later(task, &way);
        return;
    }
    switch (task->answer.kind) {
    case ANSWER_OUTCOME:
        task_publish_outcome(task, &way);
        return;
    case ANSWER_REPEAT:
        log_info("dispatcher", "its outcome was published before: repeating it", "job", task->request.id,
                 NULL);
        publisher_repeat(settings->publisher, &way, &task->request, task->past.outcome, task_answered, task);
        return;
    case ANSWER_RETRY:
        metrics_add(METRIC_RETRIES, 1, task_type_name(task), NULL);
        task_publish_retry(task, &way);
        return;
    case ANSWER_FORWARD:
        log_info("dispatcher", "it was begun on another host: sending it there", "job", task->request.id,
                 "host", task->placed, NULL);
        publisher_retry(settings->publisher, &way, &task->request, task->request.attempt, 0, task->placed,
                        task_answered, task);
    }
}

/* With the lock held. */
static void task_set_answering(struct task *task)
{
    task->state = TASK_ANSWERING;
    task->answer_epoch = atomic_load(&task->dispatcher->epochs[task->lane]);
}

/* Nobody has to wait for the fate of an outcome, where there are no stamps to clear after it and the job has never been
 * anywhere else. */
static bool task_needs_no_thread(struct task *task)
{
    SCOPE_LOCK(&task->dispatcher->lock);

    if (task->answer.kind != ANSWER_OUTCOME || task->again || task->ask != ASK_NEVER || !task_is_ours(task) ||
        (task->type && task->type->sweep))
        return false;
    task_set_answering(task);
    return true;
}

/* Its outcome is on its way before the next job on its resources begins, so outcomes keep the order too. */
static void task_answer_at_once(struct task *task)
{
    struct dispatcher *dispatcher = task->dispatcher;

    task_publish(task);
    pthread_mutex_lock(&dispatcher->lock);
    task->has_thread = false;
    if (task->ticket)
        claims_leave(dispatcher->claims, task->ticket, task_ready);
    bool is_safe = task->state == TASK_ANSWERED;
    if (task->state == TASK_HELD)
        task_rest(task);
    pthread_mutex_unlock(&dispatcher->lock);
    if (is_safe)
        task_acknowledge(task);
}

/* Waits until the task may answer: it is ours, and the journal has told what there is to know. False: never. */
static bool task_wait_turn(struct task *task)
{
    struct dispatcher *dispatcher = task->dispatcher;
    SCOPE_LOCK(&dispatcher->lock);

    while (!task_is_ours(task) || task->ask == ASK_OPEN) {
        if (task->given_up || dispatcher->draining)
            return false;
        pthread_cond_wait(&dispatcher->changed, &dispatcher->lock);
    }
    if (task->past.outcome)
        task->answer.kind = ANSWER_REPEAT;
    task_set_answering(task);
    return true;
}

static bool task_wait_fate(struct task *task)
{
    struct dispatcher *dispatcher = task->dispatcher;
    SCOPE_LOCK(&dispatcher->lock);

    while (task->state == TASK_ANSWERING)
        pthread_cond_wait(&dispatcher->changed, &dispatcher->lock);
    return task->state == TASK_ANSWERED;
}

/* -1 where there is no run to do it with. */
static struct job_run *task_sweeping_run(struct task *task, struct error *err)
{
    const struct job_run_settings settings = { .request = &task->request,
                                               .type = task->type,
                                               .hypervisor = task->host };

    return task->run ? STEAL(&task->run) : job_run_new(&settings, err);
}

/* The stamps stay on what the job could not undo, or could not know of: they tell whose that is. */
static bool outcome_is_clean(enum outcome_state state, const json_t *rollback)
{
    return state != OUTCOME_UNCERTAIN && rollback_is_clean(rollback);
}

static bool task_is_clean(const struct task *task)
{
    const struct outcome *outcome = &task->answer.outcome;
    const struct delivery *past = task->past.outcome;
    enum outcome_state state;

    if (task->answer.kind == ANSWER_OUTCOME)
        return !task->answer.buried && outcome_is_clean(outcome->state, outcome->rollback);
    if (task->answer.kind != ANSWER_REPEAT || outcome_state_of_key(past->routing_key, &state) < 0)
        return false;
    AUTO(json) json_t *event = json_loadb(past->body, past->length, 0, NULL);
    const json_t *data = json_object_get(event, "data");
    return outcome_is_clean(state, json_object_get(data, "rollback")) &&
           strcmp(error_name(ERROR_CRASHED), job_string(json_object_get(data, "error"), "code", "")) != 0;
}

/* -1: some may be left. A guest whose stamp says that it was never finished would count as an orphan one day. */
static int task_sweep(struct task *task)
{
    struct error err = ERROR_INIT;
    struct job_run *run;
    int rc;

    if (!task->type || !task->type->sweep || !task->host || task->refusal.code != ERROR_NONE ||
        !task_is_clean(task))
        return 0;
    pthread_mutex_lock(&task->dispatcher->lock);
    run = task_sweeping_run(task, &err);
    pthread_mutex_unlock(&task->dispatcher->lock);
    rc = run ? job_run_sweep(run, &err) : -1;
    if (rc < 0)
        log_warning("dispatcher", "stamps of an ended job are left: it comes again for them", "job",
                    task->request.id, "error", err.message, NULL);
    job_run_free(run);
    kill_point("after-sweep");
    return rc;
}

/* True: once more round, to have the job come again. */
static bool task_sweeps_later(struct task *task)
{
    if (task->answer.sweep_later || task_sweep(task) == 0 || task->request.attempt >= SWEEP_ATTEMPTS)
        return false;
    task->answer.sweep_later = true;
    return true;
}

static void task_answer_and_wait(struct task *task)
{
    while (task_wait_turn(task)) {
        task_publish(task);
        if (!task_wait_fate(task))
            continue;
        if (task->answer.kind == ANSWER_RETRY && task->again)
            task_take_back_note(task);
        if (task_sweeps_later(task))
            continue;
        task_acknowledge(task);
        return;
    }
    task_forget(task);
}

void task_answer(struct task *task)
{
    if (task_needs_no_thread(task))
        task_answer_at_once(task);
    else
        task_answer_and_wait(task);
}

void task_forget(struct task *task)
{
    struct dispatcher *dispatcher = task->dispatcher;

    log_info("dispatcher", "left to another worker", "job", task->request.id, NULL);
    metrics_add(METRIC_JOBS_GIVEN_UP, 1, dispatcher_lane_names[task->lane], NULL);
    task_take_back_note(task);
    pthread_mutex_lock(&dispatcher->lock);
    if (task_is_ours(task))
        task_settle(task, true);
    task_remove(task);
    dispatcher_unbusy(dispatcher);
    pthread_mutex_unlock(&dispatcher->lock);
}
