/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Admission: what a delivery means beside what is here already, and when a task gets a thread. */

#include "dispatcher_internal.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "metrics.h"
#include "monotonic.h"

const char *const dispatcher_lane_names[DISPATCHER_LANES] = { [JOB_QUICK] = "quick", [JOB_LONG] = "long" };

void dispatcher_unbusy(struct dispatcher *dispatcher)
{
    if (--dispatcher->busy == 0)
        pthread_cond_broadcast(&dispatcher->quiet);
}

bool task_is_ours(const struct task *task)
{
    uint64_t epoch = atomic_load(&task->dispatcher->epochs[task->lane]);

    return epoch != 0 && task_has_epoch(task, epoch);
}

void task_ready(void *opaque)
{
    struct task *task = opaque;

    if (task->queued)
        return;
    task->queued = true;
    thread_pool_give(task->dispatcher->pools[task->host_index].lanes[task->lane], task);
}

void task_hurry(struct task *task)
{
    if (task->queued)
        return;
    if (task->ticket)
        claims_leave(task->dispatcher->claims, task->ticket, task_ready);
    task_ready(task);
}

void task_wake(struct task *task)
{
    pthread_cond_broadcast(&task->dispatcher->changed);
    if (task->state == TASK_HELD && !task->has_thread && task->ask != ASK_OPEN && task_is_ours(task))
        task_ready(task);
}

void task_leave_table(struct task *task)
{
    if (task->in_table)
        HASH_DEL(task->dispatcher->tasks, task);
    task->in_table = false;
}

void task_remove(struct task *task)
{
    struct dispatcher *dispatcher = task->dispatcher;

    task_leave_table(task);
    if (task->ticket)
        claims_leave(dispatcher->claims, task->ticket, task_ready);
    task_free(task);
}

/* With the lock held. */
static int dispatcher_ask(struct dispatcher *dispatcher, const struct request *request)
{
    const struct dispatcher_settings *settings = &dispatcher->settings;

    if (!settings->ask || asked_add(&dispatcher->asked, request->id) < 0)
        return -1;
    if (settings->ask(settings->opaque, request->id, request->published_s) == 0)
        return 0;
    asked_take(&dispatcher->asked, request->id);
    return -1;
}

void task_ask_journal(struct task *task)
{
    task->ask = ASK_OPEN;
    if (dispatcher_ask(task->dispatcher, &task->request) < 0)
        log_error("dispatcher", "the journal cannot be asked", "job", task->request.id, NULL);
}

/* What a job that is not going to be run has to wait for is not its turn. With the lock held. */
static bool task_is_not_run(const struct task *task)
{
    return task->refusal.code != ERROR_NONE || (task->cancelled && !task->again);
}

/* With the lock held. */
static void task_take_order(struct task *task)
{
    const struct order *order = orders_find(task->dispatcher->orders, task->request.id);

    if (!order)
        return;
    task->cancelled = true;
    task->reason = order->reason ? strdup(order->reason) : NULL;
}

/* With the lock held. */
static void task_enter_lines(struct task *task)
{
    int granted = claims_enter(task->dispatcher->claims, task->ticket, &task->refusal);

    if (granted != 0)
        task_ready(task);
}

/* With the lock held. A new job with the id of one that has ended is a job of its own: its redelivery is not the old
 * one's. */
static void dispatcher_enter(struct dispatcher *dispatcher, struct task *task)
{
    ended_remove(&dispatcher->ended, task->request.id);
    HASH_ADD_STR(dispatcher->tasks, request.id, task);
    task->in_table = true;
    metrics_add(METRIC_JOBS_WAITING, 1, dispatcher_lane_names[task->lane], NULL);
    task_take_order(task);
    if (task->again)
        task_ask_journal(task);
    if (task_is_not_run(task))
        task_ready(task);
    else
        task_enter_lines(task);
}

/* What a delivery means beside what is here already, or has just ended. */
enum meeting { MEETING_NEW, MEETING_IN_HAND, MEETING_ENDED, MEETING_OTHER };

/* With the lock held. While its delivery was away another worker may have had the job: the journal knows, and until it has
 * spoken what runs goes on waiting. */
static void task_take_over(struct task *known, const struct task *came)
{
    known->was_away |= known->state != TASK_WAITING && !task_is_ours(known);
    if (task_add_tag(known, came->tags[0]) < 0)
        log_error("dispatcher", "out of memory: a job's delivery will come again", "job", known->request.id,
                  NULL);
    if (came->again && known->state == TASK_WAITING)
        known->again = true;
    known->redelivered |= came->redelivered;
    if (came->again || known->was_away)
        task_ask_journal(known);
    task_wake(known);
}

/* What could not be read (NULL) is known by its message_id alone: to bury its redelivery would leave it without an answer. */
static bool same_document(const json_t *one, const json_t *other)
{
    return one == other || json_equal(one, other);
}

/* With the lock held. A job in hand takes over the tag. Two different jobs with one id cannot both be answered: the
 * outcome of the one would be taken for that of the other. */
static enum meeting dispatcher_meet(struct dispatcher *dispatcher, const struct task *task)
{
    struct task *known;

    HASH_FIND_STR(dispatcher->tasks, task->request.id, known);
    if (!known)
        return task->redelivered && ended_find(dispatcher->ended, task->request.id) ? MEETING_ENDED
                                                                                    : MEETING_NEW;
    if (known->lane != task->lane || !same_document(known->request.document, task->request.document))
        return MEETING_OTHER;
    task_take_over(known, task);
    return MEETING_IN_HAND;
}

static enum meeting dispatcher_admit(struct dispatcher *dispatcher, struct task *task)
{
    SCOPE_LOCK(&dispatcher->lock);
    enum meeting meeting = dispatcher_meet(dispatcher, task);

    if (meeting == MEETING_NEW)
        dispatcher_enter(dispatcher, task);
    return meeting;
}

static void task_met(struct task *task, const struct delivery *delivery, enum meeting meeting)
{
    const struct dispatcher_settings *settings = &task->dispatcher->settings;
    bool ended = meeting == MEETING_ENDED;

    metrics_add(METRIC_REDELIVERIES, 1, dispatcher_lane_names[task->lane], NULL);
    log_info("dispatcher", ended ? "redelivery of an ended job" : "redelivery of a job in hand", "job",
             task->request.id, NULL);
    if (ended)
        settings->settle(settings->opaque, task->lane, delivery->tag, false);
    task_free(task);
}

/* Once it is admitted, its thread may have run and freed it already. */
static void task_take(struct task *task, const struct delivery *delivery)
{
    enum meeting meeting;

    if (!task->request.id[0]) {
        task_bury(task, delivery, task->refusal.message);
        return;
    }
    meeting = dispatcher_admit(task->dispatcher, task);
    if (meeting == MEETING_OTHER)
        task_bury(task, delivery, "another job with this id is in hand");
    else if (meeting != MEETING_NEW)
        task_met(task, delivery, meeting);
}

/* False while draining. */
static bool dispatcher_accepts(struct dispatcher *dispatcher, enum job_lane lane,
                               const struct delivery *delivery)
{
    SCOPE_LOCK(&dispatcher->lock);

    atomic_store(&dispatcher->epochs[lane], delivery->tag.epoch);
    return !dispatcher->draining;
}

void dispatcher_delivery(struct dispatcher *dispatcher, enum job_lane lane, struct delivery *delivery)
{
    const struct dispatcher_settings *settings = &dispatcher->settings;
    struct task *task = NULL;

    metrics_add(METRIC_DELIVERIES, 1, dispatcher_lane_names[lane], NULL);
    if (dispatcher_accepts(dispatcher, lane, delivery))
        task = task_new(dispatcher, settings, lane, delivery);
    else
        settings->settle(settings->opaque, lane, delivery->tag, true);
    if (task)
        task_take(task, delivery);
    delivery_free(delivery);
}

void dispatcher_opened(struct dispatcher *dispatcher, enum job_lane lane)
{
    SCOPE_LOCK(&dispatcher->lock);

    dispatcher->up_since_ms[lane] = monotonic_now_ms();
}

void dispatcher_closed(struct dispatcher *dispatcher, enum job_lane lane)
{
    struct task *task, *next;
    SCOPE_LOCK(&dispatcher->lock);

    atomic_store(&dispatcher->epochs[lane], 0);
    dispatcher->up_since_ms[lane] = 0;
    HASH_ITER (hh, dispatcher->tasks, task, next) {
        if (task->lane != lane)
            continue;
        if (task->run)
            job_run_hold(task->run, JOB_LOST);
        task_take_back_note(task); /* whoever gets the job next must not take this for a crash */
    }
    pthread_cond_broadcast(&dispatcher->changed);
}

/* With the lock held. What was said before is not taken back by a later look that reached less far. */
static void task_take_past(struct task *task, struct dispatcher_past *past)
{
    if (!task->past.outcome)
        task->past.outcome = STEAL(&past->outcome);
    task->past.begun = past->begun;
    task->past.returned = past->returned;
    if (!task->past.begun_s)
        task->past.begun_s = past->begun_s;
    if (past->placed && past->placed[0])
        snprintf(task->placed, sizeof(task->placed), "%s", past->placed);
    task->ask = ASK_TOLD;
}

/* With the lock held. What was begun here and, while the delivery was away, elsewhere too is not as it was left: to go on with
 * it, to undo or to answer it would contradict what the other worker has done. An outcome is only to be repeated; but first what
 * runs here must stop. */
static bool task_was_overtaken(const struct task *task, const struct dispatcher_past *past)
{
    if (!task->was_away || task->state == TASK_ANSWERED)
        return false;
    return past->outcome ? task->state == TASK_RUNNING : past->begun > task->past.begun;
}

/* With the lock held; the task may be gone after it. The delivery goes back, and what comes then finds what the other left. */
static void task_be_overtaken(struct task *task)
{
    log_info("dispatcher", "another worker had it meanwhile", "job", task->request.id, NULL);
    task_give_back(task);
    task_step_aside(task);
    if (task->state == TASK_HELD && !task->has_thread && !task->queued)
        task_remove(task);
}

/* With the lock held; the task may be gone after it. */
static void task_told(struct task *task, struct dispatcher_past *past)
{
    if (task_was_overtaken(task, past)) {
        task_be_overtaken(task);
        return;
    }
    task_take_past(task, past);
    if (task->was_away && task->state == TASK_RUNNING)
        task_note_again(task);
    task->was_away = false;
    if (task->run && task_is_ours(task))
        job_run_hold(task->run, JOB_OURS);
    task_wake(task);
}

void dispatcher_told(struct dispatcher *dispatcher, const char *job_id, struct dispatcher_past *past)
{
    struct task *task;

    pthread_mutex_lock(&dispatcher->lock);
    HASH_FIND_STR(dispatcher->tasks, job_id, task);
    if (asked_take(&dispatcher->asked, job_id) && task)
        task_told(task, past);
    pthread_mutex_unlock(&dispatcher->lock);
    delivery_free(STEAL(&past->outcome));
}

/* With the lock held. True: its outcome is decided. */
static bool task_cancel(struct task *task)
{
    if (task->state != TASK_WAITING && task->state != TASK_RUNNING)
        return true;
    if (task->cancelled)
        return false;
    task_take_order(task);
    if (!task->cancelled)
        return false;
    if (task->run)
        job_run_cancel(task->run, task->reason);
    else if (task->state == TASK_WAITING && !task->again)
        task_hurry(task);
    return false;
}

void task_summarize(const struct task *task, enum outcome_state state, struct ended *ret_ended)
{
    *ret_ended = (struct ended){ .type = task_type_name(task),
                                 .where = task->host ? hypervisor_name(task->host) : ANY_HOST,
                                 .any = task->request.host && strcmp(task->request.host, ANY_HOST) == 0,
                                 .state = state };
    memcpy(ret_ended->id, task->request.id, sizeof(ret_ended->id));
}

/* A copy of what is needed to say that a job has ended. */
static bool late_of(struct dispatcher *dispatcher, const char *job_id, struct ended *ret_late)
{
    const struct ended *ended = ended_find(dispatcher->ended, job_id);
    struct task *task;

    HASH_FIND_STR(dispatcher->tasks, job_id, task);
    if (task && task_cancel(task)) {
        task_summarize(task, task->answer.outcome.state, ret_late);
        return task->answer.kind == ANSWER_OUTCOME;
    }
    if (!task && ended)
        *ret_late = *ended;
    return !task && ended;
}

void dispatcher_cancel(struct dispatcher *dispatcher, const char *job_id, const char *reason,
                       int64_t given_ms)
{
    struct ended late;
    bool is_late;

    pthread_mutex_lock(&dispatcher->lock);
    orders_add(&dispatcher->orders, job_id, reason, given_ms);
    is_late = late_of(dispatcher, job_id, &late);
    pthread_mutex_unlock(&dispatcher->lock);
    if (is_late)
        dispatcher_tell_late(dispatcher, &late);
}
