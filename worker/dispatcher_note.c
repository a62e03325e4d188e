/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What is said beside the answers: notes for the journal, jobs for the dead queue, a word on orders that come too late. */

#include "dispatcher_internal.h"

#include <string.h>

#include "log.h"

void task_take_back_note(struct task *task)
{
    const struct dispatcher_settings *settings = &task->dispatcher->settings;

    if (atomic_exchange(&task->noted_begun, false))
        publisher_note(settings->publisher, NULL, task->request.id, "returned", settings->worker, NULL, NULL);
}

void task_note_again(struct task *task)
{
    const struct dispatcher_settings *settings = &task->dispatcher->settings;

    if (atomic_exchange(&task->noted_begun, true))
        return;
    task->past.begun++;
    publisher_note(settings->publisher, NULL, task->request.id, "begun", settings->worker, NULL, NULL);
}

/* A note under way, and who waits for it. */
struct note {
    struct dispatcher *dispatcher;
    bool is_settled;
    enum publisher_fate fate;
};

static void note_settled(void *opaque, enum publisher_fate fate)
{
    struct note *note = opaque;
    SCOPE_LOCK(&note->dispatcher->lock);

    note->is_settled = true;
    note->fate = fate;
    pthread_cond_broadcast(&note->dispatcher->changed);
}

bool task_note(struct task *task, const char *what, const char *word)
{
    struct dispatcher *dispatcher = task->dispatcher;
    struct publisher_way way = task_way(task);
    struct note note = { .dispatcher = dispatcher };

    if (way.epoch == 0) /* which would mean any connection, and so to wait for the next one */
        return false;
    publisher_note(dispatcher->settings.publisher, &way, task->request.id, what, word, note_settled, &note);
    SCOPE_LOCK(&dispatcher->lock);
    while (!note.is_settled)
        pthread_cond_wait(&dispatcher->changed, &dispatcher->lock);
    return note.fate == PUBLISHER_SAFE;
}

/* A publisher_done: what could not be answered lies in the dead queue, or comes again. */
static void task_buried(void *opaque, enum publisher_fate fate)
{
    struct task *task = opaque;
    struct dispatcher *dispatcher = task->dispatcher;

    task_settle(task, fate != PUBLISHER_SAFE);
    pthread_mutex_lock(&dispatcher->lock);
    task_remove(task);
    dispatcher_unbusy(dispatcher);
    pthread_mutex_unlock(&dispatcher->lock);
}

void task_bury(struct task *task, const struct delivery *delivery, const char *reason)
{
    struct dispatcher *dispatcher = task->dispatcher;
    struct publisher_way way = { .lane = (int)task->lane, .epoch = delivery->tag.epoch };

    log_warning("dispatcher", "unanswerable", "id", task->request.id[0] ? task->request.id : NULL, "reason",
                reason, NULL);
    pthread_mutex_lock(&dispatcher->lock);
    dispatcher->busy++;
    pthread_mutex_unlock(&dispatcher->lock);
    publisher_dead(dispatcher->settings.publisher, &way, delivery, reason, task_buried, task);
}

void dispatcher_tell_late(struct dispatcher *dispatcher, const struct ended *late)
{
    const struct dispatcher_settings *settings = &dispatcher->settings;
    struct request request = { .type = (char *)late->type,
                               .host = (char *)(late->any ? ANY_HOST : late->where) };

    memcpy(request.id, late->id, sizeof(request.id));
    publisher_job_event(
        settings->publisher, NULL, &request, "not-cancelled", late->where,
        json_pack("{s:s, s:s}", "state", outcome_state_name(late->state), "worker", settings->worker));
}
