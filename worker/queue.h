/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A bounded first-in first-out queue of pointers between threads, with a descriptor to poll.
 *
 * The queue never owns its items. Every function but queue_free may be called from any thread. */

#ifndef VIRTJOB_QUEUE_H
#define VIRTJOB_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

struct queue;

/* `capacity` items at the most, allocated as they come. NULL: no memory. */
struct queue *queue_new(size_t capacity, struct error *err);

/* Gives what is still inside to `release` (NULL: forgotten). */
void queue_free(struct queue *queue, void (*release)(void *item));

/* Waits while the queue is full. -1 once it is closed, or without memory: the item stays with the caller. */
int queue_push(struct queue *queue, void *item);

/* Never waits. -1 when it is closed, without memory, or when fewer than `keep_free` + 1 places are left: the item
 * stays with the caller. `keep_free` keeps places for what must not be dropped from those who can be. */
int queue_offer(struct queue *queue, void *item, size_t keep_free);

/* Waits for an item; NULL once the queue is closed and empty. */
void *queue_pop(struct queue *queue);

/* NULL when there is nothing just now. */
void *queue_try_pop(struct queue *queue);

/* Readable (POLLIN) while the queue holds an item or is closed. The caller polls it, never reads it. Made at the first
 * call; -1 where no descriptor is left. */
int queue_fd(struct queue *queue);

size_t queue_length(const struct queue *queue);

/* No more pushes; those who wait wake up. May be called twice. */
void queue_close(struct queue *queue);

#endif
