/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A fixed number of threads that work on what they are given, in the order in which it was given. */

#ifndef VIRTJOB_THREAD_POOL_H
#define VIRTJOB_THREAD_POOL_H

#include "error.h"

struct thread_pool;

/* `name` (at most 15 bytes) is shown by ps and gdb; copied. `work` is called with each item on one of the threads. */
struct thread_pool *thread_pool_new(const char *name, int threads, void (*work)(void *item),
                                    struct error *err);

/* Any thread, never waits. -1: closed, or no memory; the item stays with the caller. */
int thread_pool_give(struct thread_pool *pool, void *item);

/* Takes nothing more; what was given is still worked on. */
void thread_pool_close(struct thread_pool *pool);

/* Closes, and waits for the threads to end. NULL is allowed. */
void thread_pool_free(struct thread_pool *pool);

#endif
