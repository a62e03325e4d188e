/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A ring that doubles up to the capacity, under one mutex.
 *
 * The descriptor is an eventfd, made when it is first asked for. It is written when the queue gets its first item and
 * read when it loses its last, so that a busy queue makes no system call for an item; closing leaves it readable for
 * good. Waiting threads are woken one at a time, each by the one before that finds more to do: a wake-up for every item
 * would have all of them contend for what one or two can do. */

#include "queue.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cleanup.h"

#define FIRST_SIZE 16

struct queue {
    pthread_mutex_t mutex;   /* guards all below */
    pthread_cond_t has_item; /* signalled only while somebody waits */
    pthread_cond_t has_room;
    unsigned item_waiters, room_waiters;
    bool waking; /* has_item was signalled, and nobody has woken up to it yet */
    void **ring;
    size_t size; /* of the ring; a power of two, at least `capacity` in the end */
    size_t head, length;
    size_t capacity;
    bool closed;
    int wakeup; /* -1: nobody polls */
};

struct queue *queue_new(size_t capacity, struct error *err)
{
    struct queue *queue = calloc(1, sizeof(*queue));

    if (!queue) {
        error_set_memory(err);
        return NULL;
    }
    queue->wakeup = -1;
    queue->capacity = capacity ? capacity : 1;
    mutex_init_brief(&queue->mutex);
    pthread_cond_init(&queue->has_item, NULL);
    pthread_cond_init(&queue->has_room, NULL);
    return queue;
}

static void *queue_take(struct queue *queue);

void queue_free(struct queue *queue, void (*release)(void *item))
{
    if (!queue)
        return;
    while (release && queue->length > 0)
        release(queue_take(queue));
    pthread_cond_destroy(&queue->has_room);
    pthread_cond_destroy(&queue->has_item);
    pthread_mutex_destroy(&queue->mutex);
    if (queue->wakeup >= 0)
        close(queue->wakeup);
    free(queue->ring);
    free(queue);
}

/* With the mutex held, as all helpers below. */
static int queue_grow(struct queue *queue)
{
    size_t size = queue->size ? queue->size * 2 : FIRST_SIZE;
    void **ring = malloc(size * sizeof(*ring));

    if (!ring)
        return -1;
    for (size_t i = 0; i < queue->length; i++)
        ring[i] = queue->ring[(queue->head + i) & (queue->size - 1)];
    free(queue->ring);
    queue->ring = ring;
    queue->size = size;
    queue->head = 0;
    return 0;
}

/* An eventfd of 1 at the most never refuses a write, nor a read while it is 1. */
static void queue_set_readable(struct queue *queue, bool readable)
{
    uint64_t value = 1;

    if (queue->wakeup < 0)
        return;
    if (readable)
        (void)!write(queue->wakeup, &value, sizeof(value));
    else
        (void)!read(queue->wakeup, &value, sizeof(value));
}

static void queue_wake_one(struct queue *queue)
{
    if (queue->item_waiters == 0 || queue->waking)
        return;
    queue->waking = true;
    pthread_cond_signal(&queue->has_item);
}

static int queue_put(struct queue *queue, void *item)
{
    if (queue->length == queue->size && queue_grow(queue) < 0)
        return -1;
    queue->ring[(queue->head + queue->length) & (queue->size - 1)] = item;
    if (queue->length++ == 0)
        queue_set_readable(queue, true);
    queue_wake_one(queue);
    return 0;
}

static void *queue_take(struct queue *queue)
{
    void *item = queue->ring[queue->head];

    queue->head = (queue->head + 1) & (queue->size - 1);
    if (--queue->length == 0 && !queue->closed)
        queue_set_readable(queue, false);
    if (queue->room_waiters > 0)
        pthread_cond_signal(&queue->has_room);
    return item;
}

int queue_push(struct queue *queue, void *item)
{
    SCOPE_LOCK(&queue->mutex);

    while (!queue->closed && queue->length >= queue->capacity) {
        queue->room_waiters++;
        pthread_cond_wait(&queue->has_room, &queue->mutex);
        queue->room_waiters--;
    }
    return queue->closed ? -1 : queue_put(queue, item);
}

int queue_offer(struct queue *queue, void *item, size_t keep_free)
{
    SCOPE_LOCK(&queue->mutex);

    if (queue->closed || queue->capacity - queue->length <= keep_free)
        return -1;
    return queue_put(queue, item);
}

void *queue_pop(struct queue *queue)
{
    SCOPE_LOCK(&queue->mutex);

    while (!queue->closed && queue->length == 0) {
        queue->item_waiters++;
        pthread_cond_wait(&queue->has_item, &queue->mutex);
        queue->item_waiters--;
        queue->waking = false;
    }
    if (queue->length > 1)
        queue_wake_one(queue);
    return queue->length > 0 ? queue_take(queue) : NULL;
}

void *queue_try_pop(struct queue *queue)
{
    SCOPE_LOCK(&queue->mutex);

    return queue->length > 0 ? queue_take(queue) : NULL;
}

int queue_fd(struct queue *queue)
{
    SCOPE_LOCK(&queue->mutex);

    if (queue->wakeup >= 0)
        return queue->wakeup;
    queue->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->length > 0 || queue->closed)
        queue_set_readable(queue, true);
    return queue->wakeup;
}

size_t queue_length(const struct queue *queue)
{
    SCOPE_LOCK((pthread_mutex_t *)&queue->mutex);

    return queue->length;
}

void queue_close(struct queue *queue)
{
    SCOPE_LOCK(&queue->mutex);

    if (queue->closed)
        return;
    queue->closed = true;
    if (queue->length == 0)
        queue_set_readable(queue, true);
    pthread_cond_broadcast(&queue->has_item);
    pthread_cond_broadcast(&queue->has_room);
}
