/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The thread that looks on while a call blocks. */

#include "progress.h"

#include <pthread.h>
#include <stdlib.h>

#include "cleanup.h"
#include "monotonic.h"
#include "thread.h"

struct progress_sampler {
    struct progress *progress;
    progress_sample sample;
    void *opaque;
    int period_ms;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards `stopping` */
    pthread_cond_t wakeup;
    bool stopping;
};

/* Waits one period, counted from the end of the sample: a slow one must not be followed by a burst. */
static bool sampler_wait(struct progress_sampler *sampler)
{
    int64_t until = monotonic_now_ms() + sampler->period_ms;
    SCOPE_LOCK(&sampler->mutex);

    while (!sampler->stopping)
        if (monotonic_wait(&sampler->wakeup, &sampler->mutex, until) != 0)
            break;
    return !sampler->stopping;
}

static void *sampler_run(void *opaque)
{
    struct progress_sampler *sampler = opaque;
    uint64_t done, total;

    do {
        if (sampler->sample(sampler->opaque, &done, &total) == 0)
            progress_update(sampler->progress, done, total);
    } while (sampler_wait(sampler));
    return NULL;
}

static void sampler_free(struct progress_sampler *sampler)
{
    pthread_cond_destroy(&sampler->wakeup);
    pthread_mutex_destroy(&sampler->mutex);
    free(sampler);
}

struct progress_sampler *progress_sampler_start(struct progress *progress, int period_ms,
                                                progress_sample sample, void *opaque, struct error *err)
{
    struct progress_sampler *sampler = calloc(1, sizeof(*sampler));

    if (!sampler) {
        error_set_memory(err);
        return NULL;
    }
    *sampler = (struct progress_sampler){
        .progress = progress, .sample = sample, .opaque = opaque, .period_ms = period_ms > 0 ? period_ms : 1
    };
    pthread_mutex_init(&sampler->mutex, NULL);
    monotonic_cond_init(&sampler->wakeup);
    if (thread_start(&sampler->thread, sampler_run, sampler) != 0) {
        sampler_free(sampler);
        error_set(err, ERROR_INTERNAL, "cannot start a thread to watch the progress");
        return NULL;
    }
    return sampler;
}

static void sampler_ask_to_stop(struct progress_sampler *sampler)
{
    SCOPE_LOCK(&sampler->mutex);

    sampler->stopping = true;
    pthread_cond_signal(&sampler->wakeup);
}

void progress_sampler_stop(struct progress_sampler *sampler)
{
    if (!sampler)
        return;
    sampler_ask_to_stop(sampler);
    pthread_join(sampler->thread, NULL);
    sampler_free(sampler);
}
