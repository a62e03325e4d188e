/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Between the parts of the dispatcher: dispatcher.c admits deliveries and keeps the table, dispatcher_task.c makes a
 * task of a delivery, dispatcher_work.c is what a thread does with it, dispatcher_answer.c sees its answer home,
 * dispatcher_end.c lets everything come to its end. */

#ifndef VIRTJOB_DISPATCHER_INTERNAL_H
#define VIRTJOB_DISPATCHER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "dispatcher_asked.h"
#include "dispatcher_ended.h"
#include "dispatcher_orders.h"
#include "dispatcher_task.h"
#include "thread_pool.h"

#define ANY_HOST "any"

/* The threads of one host, so that one that hangs holds up no other. */
struct host_pools {
    struct thread_pool *lanes[DISPATCHER_LANES];
};

struct dispatcher {
    struct dispatcher_settings settings;
    struct host_pools *pools; /* in the order of settings.hosts */

    /* Of the connection that delivers just now; 0: none. Written under the lock. */
    atomic_uint_fast64_t epochs[DISPATCHER_LANES];

    /* Guards what follows, the claims and all tasks in the table. Taken before a run's lock, never while one is held. */
    pthread_mutex_t lock;
    pthread_cond_t quiet;   /* signalled when busy has become 0 */
    pthread_cond_t changed; /* for the threads of tasks: an answer, a tag, the journal's word */
    struct task *tasks;     /* by id */
    struct ended *ended;
    struct order *orders;
    struct asked *asked;
    struct claims *claims;
    int64_t up_since_ms[DISPATCHER_LANES]; /* monotonic; 0: the lane has no connection */
    size_t busy;                           /* tasks that have a thread or whose answer is under way */
    bool draining;
};

extern const char *const dispatcher_lane_names[DISPATCHER_LANES];

/* Each wants the lock held. */

/* Whether the connection stands that one of its deliveries came by. */
bool task_is_ours(const struct task *task);

/* A claims callback: gives it to a thread. Once the pool is closed the task stays in the table, for dispatcher_free. */
void task_ready(void *opaque);

/* Takes it out of its lines and gives it to a thread, where it has none yet: it is not going to be run. */
void task_hurry(struct task *task);

/* Asks what has become of it: its `ask` is open until the journal has told. Without memory the journal is not asked, and the
 * job waits until it is given up. */
void task_ask_journal(struct task *task);

/* It got its delivery back, or the journal's word: who waits for that goes on. */
void task_wake(struct task *task);

/* A delivery of its job finds it no more: what comes now is judged by itself. */
void task_leave_table(struct task *task);

/* Out of the table and all lines, freed. Not counted as busy any more. */
void task_remove(struct task *task);

void dispatcher_unbusy(struct dispatcher *dispatcher);

/* It comes again, to us or to another worker: until then it is nobody's. */
void task_give_back(struct task *task);

/* Another worker goes on: it stops without a word, and a delivery of its job is judged anew, as at any other worker. */
void task_step_aside(struct task *task);

/* What is remembered of a job that has ended. */
void task_summarize(const struct task *task, enum outcome_state state, struct ended *ret_ended);

/* Each wants it free. */

struct publisher_way task_way(const struct task *task);

/* dispatcher_work.c: what a pool does with a task. */
void task_work(void *item);

/* Settles all deliveries of a task that nobody else can reach, or with the lock held. */
void task_settle(struct task *task, bool requeue);

/* dispatcher_answer.c; what is said beside the answers is in dispatcher_note.c */

/* On its thread: sends the answer. Waits until it is safe, clears the stamps and acknowledges; or where nothing has to be
 * done after it, leaves that to the answer itself. The task may be gone after it. */
void task_answer(struct task *task);

/* On its thread: publishes a note, over the connection of the delivery, and waits until it is safe. False: it is lost. */
bool task_note(struct task *task, const char *what, const char *word);

/* It is let go here in good order, so that beginning it was no crash. With the lock or without it. */
void task_take_back_note(struct task *task);

/* With the lock held: it goes on here after all. */
void task_note_again(struct task *task);

/* Its job is another worker's: says so, where it was noted as begun, and forgets it. */
void task_forget(struct task *task);

/* What cannot be answered: it has no id, or one under which something else is being done. */
void task_bury(struct task *task, const struct delivery *delivery, const char *reason);

/* The order to cancel this job comes too late. */
void dispatcher_tell_late(struct dispatcher *dispatcher, const struct ended *late);

#endif
