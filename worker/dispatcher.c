/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Admission, order, threads, outcome, acknowledgement. */

#include "dispatcher.h"

#include <stdlib.h>
#include <string.h>

#include "dispatcher_ended.h"
#include "dispatcher_task.h"
#include "log.h"
#include "metrics.h"
#include "monotonic.h"
#include "thread_pool.h"

/* The threads of one host, so that one that hangs holds up no other. */
struct host_pools {
    struct thread_pool *lanes[DISPATCHER_LANES];
};

struct dispatcher {
    struct dispatcher_settings settings;
    struct host_pools *pools; /* in the order of settings.hosts */

    /* Guards what follows, the claims and all tasks in the table. Taken before a run's lock, never while one is held. */
    pthread_mutex_t lock;
    pthread_cond_t quiet; /* signalled when busy has become 0 */
    struct task *tasks;   /* by id: waiting, running, or with their outcome under way */
    struct ended *ended;
    struct claims *claims;
    uint64_t epochs[DISPATCHER_LANES]; /* of the connection that delivers just now; 0: none */
    size_t busy;                       /* jobs that run or whose outcome is under way */
    bool draining;
};

static const char *const lane_names[DISPATCHER_LANES] = { [JOB_QUICK] = "quick", [JOB_LONG] = "long" };

/* With the lock held. */
static void dispatcher_unbusy(struct dispatcher *dispatcher)
{
    if (--dispatcher->busy == 0)
        pthread_cond_broadcast(&dispatcher->quiet);
}

/* A claims callback; with the lock held. Once the pool is closed the task stays in the table, for dispatcher_free. */
static void task_ready(void *opaque)
{
    struct task *task = opaque;

    thread_pool_give(task->dispatcher->pools[task->host_index].lanes[task->lane], task);
}

/* Its thread and its outcome hold a task; the last one to let go frees it. With the lock held. */
static void task_let_go(struct task *task)
{
    struct dispatcher *dispatcher = task->dispatcher;

    if (--task->holders > 0)
        return;
    task_free(task);
    dispatcher_unbusy(dispatcher);
}

/* On the publishing link's thread: the outcome is safe, or the worker is about to end. */
static void task_outcome_done(void *opaque, bool safe)
{
    struct task *task = opaque;
    struct dispatcher *dispatcher = task->dispatcher;

    pthread_mutex_lock(&dispatcher->lock);
    if (!task->is_refused)
        HASH_DEL(dispatcher->tasks, task);
    if (safe && task->request.id[0])
        ended_add(&dispatcher->ended, task->request.id);
    pthread_mutex_unlock(&dispatcher->lock);

    for (size_t i = 0; safe && i < task->tag_count; i++)
        dispatcher->settings.acknowledge(dispatcher->settings.opaque, task->lane, task->tags[i]);
    pthread_mutex_lock(&dispatcher->lock);
    task_let_go(task);
    pthread_mutex_unlock(&dispatcher->lock);
}

static void task_log_outcome(const struct task *task, const struct outcome *outcome)
{
    bool succeeded = outcome->state == OUTCOME_SUCCEEDED;

    log_info("dispatcher", outcome_state_name(outcome->state), "job", task->request.id, "type",
             task->request.type, "host", task_host(task), "code",
             succeeded ? NULL : error_name(outcome->error.code), "error",
             succeeded ? NULL : outcome->error.message, NULL);
    metrics_add(METRIC_JOBS_ENDED, 1, task->type ? task->type->name : "unknown",
                outcome_state_name(outcome->state));
}

/* Off the table: nobody but its outcome holds it. */
static void task_hold_refused(struct task *task)
{
    SCOPE_LOCK(&task->dispatcher->lock);

    task->is_refused = true;
    task->holders = 1;
    task->dispatcher->busy++;
}

/* A job that was refused before it was in any line. */
static void task_refuse(struct task *task, const struct error *err)
{
    struct outcome outcome = { .state = OUTCOME_FAILED, .error = *err };

    task_hold_refused(task);
    task_log_outcome(task, &outcome);
    publisher_outcome(task->dispatcher->settings.publisher, &task->request, &outcome, task_host(task),
                      task_outcome_done, task);
}

/* What cannot be answered: it has no id, or one under which something else is being done. */
static void task_bury(struct task *task, const struct delivery *delivery, const char *reason)
{
    log_warning("dispatcher", "unanswerable", "id", task->request.id[0] ? task->request.id : NULL, "reason",
                reason, NULL);
    task->request.id[0] = '\0';
    task_hold_refused(task);
    publisher_dead(task->dispatcher->settings.publisher, delivery, reason, task_outcome_done, task);
}

/* Enters the table and its lines. With the lock held. 0, or -1: refused. A new job with the id of one that has ended
 * is a job of its own: its redelivery is not the old one's. */
static int dispatcher_enter(struct dispatcher *dispatcher, struct task *task, struct error *err)
{
    int granted = claims_enter(dispatcher->claims, task->ticket, err);

    if (granted < 0)
        return -1;
    ended_remove(&dispatcher->ended, task->request.id);
    HASH_ADD_STR(dispatcher->tasks, request.id, task);
    metrics_add(METRIC_JOBS_WAITING, 1, lane_names[task->lane], NULL);
    if (granted)
        task_ready(task);
    return 0;
}

/* What a delivery means beside what is here already, or has just ended. */
enum meeting { MEETING_NEW, MEETING_IN_HAND, MEETING_ENDED, MEETING_OTHER };

/* With the lock held. A job in hand takes over the tag. Two different jobs with one id cannot both be answered: the
 * outcome of the one would be taken for that of the other. */
static enum meeting dispatcher_meet(struct dispatcher *dispatcher, const struct task *task, bool redelivered)
{
    struct task *known;

    HASH_FIND_STR(dispatcher->tasks, task->request.id, known);
    if (!known)
        return redelivered && ended_has(dispatcher->ended, task->request.id) ? MEETING_ENDED : MEETING_NEW;
    if (known->lane != task->lane || !json_equal(known->request.document, task->request.document))
        return MEETING_OTHER;
    if (task_add_tag(known, task->tags[0]) < 0)
        log_error("dispatcher", "out of memory: a job's delivery will come again", "job", task->request.id,
                  NULL);
    return MEETING_IN_HAND;
}

/* `err`: why the job is refused, if it is. */
static enum meeting dispatcher_admit(struct dispatcher *dispatcher, struct task *task, bool redelivered,
                                     struct error *err)
{
    SCOPE_LOCK(&dispatcher->lock);
    enum meeting meeting = dispatcher_meet(dispatcher, task, redelivered);

    if (meeting == MEETING_NEW && err->code == ERROR_NONE)
        dispatcher_enter(dispatcher, task, err);
    return meeting;
}

static void task_met(struct task *task, const struct delivery *delivery, enum meeting meeting)
{
    struct dispatcher *dispatcher = task->dispatcher;
    bool ended = meeting == MEETING_ENDED;

    metrics_add(METRIC_REDELIVERIES, 1, lane_names[task->lane], NULL);
    log_info("dispatcher", ended ? "redelivery of an ended job" : "redelivery of a job in hand", "job",
             task->request.id, NULL);
    if (ended)
        dispatcher->settings.acknowledge(dispatcher->settings.opaque, task->lane, delivery->tag);
    task_free(task);
}

/* Once it is admitted, its thread may have run and freed it already. */
static void task_take(struct task *task, const struct delivery *delivery, struct error *err)
{
    enum meeting meeting;

    if (!task->request.id[0]) {
        task_bury(task, delivery, err->message);
        return;
    }
    meeting = dispatcher_admit(task->dispatcher, task, delivery->redelivered, err);
    if (meeting == MEETING_OTHER)
        task_bury(task, delivery, "another job with this id is in hand");
    else if (meeting != MEETING_NEW)
        task_met(task, delivery, meeting);
    else if (err->code != ERROR_NONE)
        task_refuse(task, err);
}

/* False while draining: the delivery stays with the broker. */
static bool dispatcher_accepts(struct dispatcher *dispatcher, enum job_lane lane,
                               const struct delivery *delivery)
{
    SCOPE_LOCK(&dispatcher->lock);

    dispatcher->epochs[lane] = delivery->tag.epoch;
    return !dispatcher->draining;
}

void dispatcher_delivery(struct dispatcher *dispatcher, enum job_lane lane, struct delivery *delivery)
{
    struct error err = ERROR_INIT;
    struct task *task = NULL;

    metrics_add(METRIC_DELIVERIES, 1, lane_names[lane], NULL);
    if (dispatcher_accepts(dispatcher, lane, delivery))
        task = task_new(dispatcher, &dispatcher->settings, lane, delivery, &err);
    if (task)
        task_take(task, delivery, &err);
    delivery_free(delivery);
}

void dispatcher_closed(struct dispatcher *dispatcher, enum job_lane lane)
{
    SCOPE_LOCK(&dispatcher->lock);

    dispatcher->epochs[lane] = 0;
}

static void task_report(void *opaque, const char *state, json_t *data)
{
    struct task *task = opaque;

    publisher_job_event(task->dispatcher->settings.publisher, &task->request, state, task_host(task), data);
}

/* Where the broker has taken the delivery back, another worker may have it by now: then it is forgotten. */
static bool task_begin(struct task *task)
{
    struct dispatcher *dispatcher = task->dispatcher;
    SCOPE_LOCK(&dispatcher->lock);

    metrics_add(METRIC_JOBS_WAITING, -1, lane_names[task->lane], NULL);
    if (!dispatcher->draining && task_has_epoch(task, dispatcher->epochs[task->lane])) {
        task->holders = 2;
        dispatcher->busy++;
        return true;
    }
    HASH_DEL(dispatcher->tasks, task);
    claims_leave(dispatcher->claims, task->ticket, task_ready);
    task_free(task);
    return false;
}

static void task_set_run(struct task *task, struct job_run *run)
{
    SCOPE_LOCK(&task->dispatcher->lock);

    task->run = run;
}

/* The run stays until the task ends, for dispatcher_tick. */
static void task_execute(struct task *task, struct outcome *outcome)
{
    const struct dispatcher_settings *settings = &task->dispatcher->settings;
    const struct job_run_settings run_settings = {
        .request = &task->request,
        .type = task->type,
        .hypervisor = task->host,
        .progress_interval_ms = settings->progress_interval_ms,
        .quiet_ms = task->type->lane == JOB_QUICK ? 1000 : 0,
        .report = task_report,
        .opaque = task,
    };
    struct job_run *run = job_run_new(&run_settings, &outcome->error);

    if (!run) {
        outcome->state = OUTCOME_FAILED;
        return;
    }
    task_set_run(task, run);
    job_run_execute(run, outcome);
}

/* Its outcome is on its way before the next job on its resources begins, so outcomes keep the order too. */
static void task_end(struct task *task)
{
    struct dispatcher *dispatcher = task->dispatcher;
    struct job_run *run;

    pthread_mutex_lock(&dispatcher->lock);
    run = STEAL(&task->run);
    claims_leave(dispatcher->claims, task->ticket, task_ready);
    task_let_go(task);
    pthread_mutex_unlock(&dispatcher->lock);
    job_run_free(run);
}

static void task_run(struct task *task)
{
    struct outcome outcome = { 0 };
    const char *lane = lane_names[task->lane];

    metrics_add(METRIC_JOBS_STARTED, 1, task->type->name, NULL);
    metrics_add(METRIC_JOBS_RUNNING, 1, lane, NULL);
    task_execute(task, &outcome);
    metrics_add(METRIC_JOBS_RUNNING, -1, lane, NULL);
    metrics_add(METRIC_JOB_SECONDS, (double)outcome.run_ms / 1000, task->type->name, NULL);
    task_log_outcome(task, &outcome);
    publisher_outcome(task->dispatcher->settings.publisher, &task->request, &outcome, task_host(task),
                      task_outcome_done, task);
    outcome_done(&outcome);
    task_end(task);
}

static void task_work(void *item)
{
    struct task *task = item;

    if (task_begin(task))
        task_run(task);
}

static int dispatcher_start_pools(struct dispatcher *dispatcher, struct error *err)
{
    const struct dispatcher_settings *settings = &dispatcher->settings;

    dispatcher->pools = calloc(settings->host_count, sizeof(*dispatcher->pools));
    if (!dispatcher->pools)
        return error_set_memory(err);
    for (size_t host = 0; host < settings->host_count; host++)
        for (int lane = 0; lane < DISPATCHER_LANES; lane++) {
            struct thread_pool **pool = &dispatcher->pools[host].lanes[lane];
            *pool = thread_pool_new(lane_names[lane], settings->threads[lane], task_work, err);
            if (!*pool)
                return -1;
        }
    return 0;
}

/* All are closed before the first is waited for: the end of a job may give another pool its next one. */
static void dispatcher_stop_pools(struct dispatcher *dispatcher)
{
    size_t hosts = dispatcher->pools ? dispatcher->settings.host_count : 0;

    for (size_t host = 0; host < hosts; host++)
        for (int lane = 0; lane < DISPATCHER_LANES; lane++)
            if (dispatcher->pools[host].lanes[lane])
                thread_pool_close(dispatcher->pools[host].lanes[lane]);
    for (size_t host = 0; host < hosts; host++)
        for (int lane = 0; lane < DISPATCHER_LANES; lane++)
            thread_pool_free(dispatcher->pools[host].lanes[lane]);
    free(dispatcher->pools);
}

static int dispatcher_init(struct dispatcher *dispatcher, struct error *err)
{
    mutex_init_brief(&dispatcher->lock);
    monotonic_cond_init(&dispatcher->quiet);
    dispatcher->claims = claims_new(err);
    if (!dispatcher->claims)
        return -1;
    return dispatcher_start_pools(dispatcher, err);
}

struct dispatcher *dispatcher_new(const struct dispatcher_settings *settings, struct error *err)
{
    struct dispatcher *dispatcher = calloc(1, sizeof(*dispatcher));

    if (!dispatcher) {
        error_set_memory(err);
        return NULL;
    }
    dispatcher->settings = *settings;
    if (dispatcher_init(dispatcher, err) < 0) {
        dispatcher_free(dispatcher);
        return NULL;
    }
    return dispatcher;
}

void dispatcher_tick(struct dispatcher *dispatcher)
{
    struct task *task, *next;
    SCOPE_LOCK(&dispatcher->lock);

    HASH_ITER (hh, dispatcher->tasks, task, next) {
        if (task->run)
            job_run_tick(task->run);
    }
}

int dispatcher_drain(struct dispatcher *dispatcher, int timeout_ms)
{
    int64_t until_ms = monotonic_now_ms() + timeout_ms;
    int waited = 0;
    SCOPE_LOCK(&dispatcher->lock);

    dispatcher->draining = true;
    while (dispatcher->busy > 0 && waited == 0)
        waited = monotonic_wait(&dispatcher->quiet, &dispatcher->lock, until_ms);
    return dispatcher->busy > 0 ? -1 : 0;
}

/* Nothing runs any more: what is granted its claims now is freed all the same. */
static void task_let_lie(void *opaque)
{
    (void)opaque;
}

static void dispatcher_forget_all(struct dispatcher *dispatcher)
{
    struct task *task, *next_task;

    HASH_ITER (hh, dispatcher->tasks, task, next_task) {
        HASH_DEL(dispatcher->tasks, task);
        claims_leave(dispatcher->claims, task->ticket, task_let_lie);
        task_free(task);
    }
    ended_free_all(&dispatcher->ended);
}

void dispatcher_free(struct dispatcher *dispatcher)
{
    if (!dispatcher)
        return;
    dispatcher_stop_pools(dispatcher);
    dispatcher_forget_all(dispatcher);
    if (dispatcher->claims)
        claims_free(dispatcher->claims);
    pthread_cond_destroy(&dispatcher->quiet);
    pthread_mutex_destroy(&dispatcher->lock);
    free(dispatcher);
}
