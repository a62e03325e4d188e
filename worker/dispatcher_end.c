/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The beginning and the end of a dispatcher, and what time brings about in between. */

#include "dispatcher_internal.h"

#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "monotonic.h"

static int dispatcher_start_pools(struct dispatcher *dispatcher, struct error *err)
{
    const struct dispatcher_settings *settings = &dispatcher->settings;

    dispatcher->pools = calloc(settings->host_count, sizeof(*dispatcher->pools));
    if (!dispatcher->pools)
        return error_set_memory(err);
    for (size_t host = 0; host < settings->host_count; host++)
        for (int lane = 0; lane < DISPATCHER_LANES; lane++) {
            struct thread_pool **pool = &dispatcher->pools[host].lanes[lane];
            *pool = thread_pool_new(dispatcher_lane_names[lane], settings->threads[lane], task_work, err);
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
    monotonic_cond_init(&dispatcher->changed);
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

/* With the lock held. Its delivery was lost, its lane is up again, and it has not come back: another worker has it. */
static bool task_waits_in_vain(const struct task *task)
{
    const struct dispatcher *dispatcher = task->dispatcher;
    int64_t since_ms = dispatcher->up_since_ms[task->lane];

    return !task_is_ours(task) && since_ms > 0 &&
           monotonic_now_ms() - since_ms >= dispatcher->settings.grace_ms;
}

/* With the lock held. */
static void task_give_up(struct task *task)
{
    task->given_up = true;
    if (task->run)
        job_run_hold(task->run, JOB_GIVEN_UP);
    pthread_cond_broadcast(&task->dispatcher->changed);
}

/* A call that cannot be interrupted may keep its thread for hours yet, and the job may come back here meanwhile: it must not
 * wait for that thread. */
void task_step_aside(struct task *task)
{
    struct dispatcher *dispatcher = task->dispatcher;

    task_give_up(task);
    task_leave_table(task);
    if (task->ticket)
        claims_leave(dispatcher->claims, task->ticket, task_ready);
    task_take_back_note(task);
}

/* With the lock held. */
static bool task_has_expired(const struct task *task)
{
    return task->state == TASK_WAITING && !task->queued && !task->again && task->request.deadline_ms > 0 &&
           envelope_now_ms() >= task->request.deadline_ms;
}

/* With the lock held: where a job for any host runs must be known as long as it does. */
static void task_note_place_again(struct task *task)
{
    const struct dispatcher_settings *settings = &task->dispatcher->settings;
    int64_t now_ms = monotonic_now_ms();

    if (task->state != TASK_RUNNING || task->placed_ms == 0 ||
        now_ms - task->placed_ms < settings->note_interval_ms)
        return;
    task->placed_ms = now_ms;
    publisher_note(settings->publisher, NULL, task->request.id, "placed", task_host(task), NULL, NULL);
}

/* With the lock held; the task may be gone after it. */
static void task_tick(struct task *task)
{
    if (task->run && task->state == TASK_RUNNING)
        job_run_tick(task->run);
    if (task_has_expired(task)) {
        error_set(&task->refusal, ERROR_EXPIRED, "the deadline of the job has passed");
        task_hurry(task);
    }
    task_note_place_again(task);
    if (!task_waits_in_vain(task))
        return;
    if (task->has_thread)
        task_step_aside(task);
    else if (task->state == TASK_HELD && !task->queued)
        task_remove(task);
}

void dispatcher_tick(struct dispatcher *dispatcher)
{
    struct task *task, *next;
    SCOPE_LOCK(&dispatcher->lock);

    HASH_ITER (hh, dispatcher->tasks, task, next) {
        task_tick(task);
    }
    orders_expire(&dispatcher->orders);
}

/* With the lock held. */
static int dispatcher_wait_quiet(struct dispatcher *dispatcher, int timeout_ms)
{
    int64_t until_ms = monotonic_now_ms() + timeout_ms;
    int waited = 0;

    while (dispatcher->busy > 0 && waited == 0)
        waited = monotonic_wait(&dispatcher->quiet, &dispatcher->lock, until_ms);
    return dispatcher->busy > 0 ? -1 : 0;
}

/* With the lock held. What has not begun goes to the next worker now, rather than when the last of what runs has ended: its
 * task is dropped when a thread comes upon it. */
static void dispatcher_begin_draining(struct dispatcher *dispatcher)
{
    struct task *task, *next;

    dispatcher->draining = true;
    HASH_ITER (hh, dispatcher->tasks, task, next) {
        if (task->state == TASK_WAITING && task_is_ours(task)) {
            task_take_back_note(task);
            task_give_back(task);
        }
    }
}

int dispatcher_drain(struct dispatcher *dispatcher, int timeout_ms)
{
    SCOPE_LOCK(&dispatcher->lock);

    dispatcher_begin_draining(dispatcher);
    pthread_cond_broadcast(&dispatcher->changed);
    return dispatcher_wait_quiet(dispatcher, timeout_ms);
}

/* With the lock held: a worker that ends in good order is no crash of what it had begun. */
static void dispatcher_take_back_notes(struct dispatcher *dispatcher)
{
    struct task *task, *next;

    HASH_ITER (hh, dispatcher->tasks, task, next) {
        task_take_back_note(task);
    }
}

int dispatcher_hand_over(struct dispatcher *dispatcher, int timeout_ms)
{
    struct task *task, *next;
    SCOPE_LOCK(&dispatcher->lock);

    dispatcher_begin_draining(dispatcher);
    HASH_ITER (hh, dispatcher->tasks, task, next) {
        if (task->has_thread && (task->lane == JOB_LONG || task->was_away || !task_is_ours(task)))
            task_give_up(task);
    }
    pthread_cond_broadcast(&dispatcher->changed);
    if (dispatcher_wait_quiet(dispatcher, timeout_ms) == 0)
        return 0;
    dispatcher_take_back_notes(dispatcher);
    return -1;
}

static void dispatcher_forget_all(struct dispatcher *dispatcher)
{
    struct task *task, *next_task;

    HASH_ITER (hh, dispatcher->tasks, task, next_task) {
        task->queued = true; /* nothing runs any more: what is granted its claims now is freed all the same */
    }
    HASH_ITER (hh, dispatcher->tasks, task, next_task) {
        task_remove(task);
    }
    ended_free_all(&dispatcher->ended);
    orders_free_all(&dispatcher->orders);
    asked_free_all(&dispatcher->asked);
}

void dispatcher_free(struct dispatcher *dispatcher)
{
    if (!dispatcher)
        return;
    dispatcher_stop_pools(dispatcher);
    dispatcher_forget_all(dispatcher);
    if (dispatcher->claims)
        claims_free(dispatcher->claims);
    pthread_cond_destroy(&dispatcher->changed);
    pthread_cond_destroy(&dispatcher->quiet);
    pthread_mutex_destroy(&dispatcher->lock);
    free(dispatcher);
}
