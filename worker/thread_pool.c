/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Threads on a queue. */

#include "thread_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "queue.h"

/* The owner bounds what is under way (the dispatcher by the prefetch); this is only a bound on a fault. */
#define ITEMS_MAX ((size_t)1 << 20)

struct thread_pool {
    struct queue *items;
    void (*work)(void *item);
    pthread_t *threads;
    int count;
};

static void *thread_pool_run(void *opaque)
{
    struct thread_pool *pool = opaque;
    void *item;

    while ((item = queue_pop(pool->items)))
        pool->work(item);
    return NULL;
}

static int thread_pool_start(struct thread_pool *pool, const char *name, int threads, struct error *err)
{
    pool->items = queue_new(ITEMS_MAX, err);
    if (!pool->items)
        return -1;
    pool->threads = calloc((size_t)threads, sizeof(*pool->threads));
    if (!pool->threads)
        return error_set_memory(err);
    for (; pool->count < threads; pool->count++) {
        int failed = pthread_create(&pool->threads[pool->count], NULL, thread_pool_run, pool);
        if (failed)
            return error_set(err, ERROR_INTERNAL, "starting a thread: %s", strerror(failed));
        pthread_setname_np(pool->threads[pool->count], name);
    }
    return 0;
}

struct thread_pool *thread_pool_new(const char *name, int threads, void (*work)(void *item),
                                    struct error *err)
{
    struct thread_pool *pool = calloc(1, sizeof(*pool));

    if (!pool) {
        error_set_memory(err);
        return NULL;
    }
    pool->work = work;
    if (thread_pool_start(pool, name, threads, err) < 0) {
        thread_pool_free(pool);
        return NULL;
    }
    return pool;
}

int thread_pool_give(struct thread_pool *pool, void *item)
{
    return queue_offer(pool->items, item, 0);
}

void thread_pool_close(struct thread_pool *pool)
{
    queue_close(pool->items);
}

void thread_pool_free(struct thread_pool *pool)
{
    if (!pool)
        return;
    if (pool->items)
        thread_pool_close(pool);
    for (int i = 0; i < pool->count; i++)
        pthread_join(pool->threads[i], NULL);
    if (pool->items)
        queue_free(pool->items, NULL);
    free(pool->threads);
    free(pool);
}
