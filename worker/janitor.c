/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One thread for all hosts, which are looked at one after the other: there is no hurry. Several workers may look at one
 * host: what one has cleared is nothing to the other. */

#include "janitor.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "log.h"
#include "metrics.h"
#include "monotonic.h"
#include "orphans.h"

#define FIRST_MS 2000

struct janitor {
    struct janitor_settings settings;
    size_t *told; /* for each host, what the log has heard last */
    bool clears;  /* the first look only counts: jobs of a worker that has died may just come again */
    pthread_t thread;
    bool started;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t wake;
    bool stopping;
    bool ended; /* the thread has nothing left to do */
};

/* False: it is to end. */
static bool janitor_pause(struct janitor *janitor, int ms)
{
    int64_t until = monotonic_now_ms() + hypervisor_jitter(ms);
    SCOPE_LOCK(&janitor->mutex);

    while (!janitor->stopping && monotonic_now_ms() < until)
        monotonic_wait(&janitor->wake, &janitor->mutex, until);
    return !janitor->stopping;
}

static int janitor_safe_point(void *opaque, struct error *err)
{
    struct janitor *janitor = opaque;
    SCOPE_LOCK(&janitor->mutex);

    return janitor->stopping ? error_set(err, ERROR_CANCELLED, "the worker stops") : 0;
}

static void janitor_clear(virConnectPtr conn, const char *host, const struct orphan *orphan)
{
    struct error err = ERROR_INIT;

    if (orphan_reap(conn, orphan, &err) < 0)
        log_warning("janitor", "a stale stamp could not be cleared", "host", host, "pool", orphan->pool, "of",
                    orphan->name, "job", orphan->stamp.job, "error", err.message, NULL);
    else
        log_info("janitor", "stale stamp cleared", "host", host, "pool", orphan->pool, "of", orphan->name,
                 "job", orphan->stamp.job, "why", orphan->why, NULL);
}

static void janitor_tell(struct janitor *janitor, size_t which, const char *host, size_t count)
{
    char number[24];

    metrics_set(METRIC_ORPHANS, (double)count, host, NULL);
    if (janitor->told[which] == count)
        return;
    janitor->told[which] = count;
    snprintf(number, sizeof(number), "%zu", count);
    if (count)
        log_warning("janitor", "jobs have left things that nobody will finish: see 'virtjob orphans'", "host",
                    host, "count", number, NULL);
    else
        log_info("janitor", "nothing is left of unfinished jobs any more", "host", host, NULL);
}

static void janitor_tidy(struct janitor *janitor, size_t which, virConnectPtr conn, const char *host)
{
    const struct orphans_settings settings = { .min_age_s = janitor->settings.age_s,
                                               .safe_point = janitor_safe_point,
                                               .opaque = janitor };
    AUTO(orphans) struct orphans orphans = { 0 };
    struct error err = ERROR_INIT;
    size_t left = 0;

    if (orphans_find(conn, &settings, &orphans, &err) < 0) {
        log_debug("janitor", "host not looked over", "host", host, "reason", err.message, NULL);
        return;
    }
    for (size_t i = 0; i < orphans.count; i++) {
        const struct orphan *orphan = &orphans.items[i];

        if (janitor_safe_point(janitor, NULL) < 0)
            return;
        if (janitor->clears && orphan->verdict == ORPHAN_STALE)
            janitor_clear(conn, host, orphan);
        left += orphan->verdict == ORPHAN_ABANDONED || orphan->verdict == ORPHAN_UNCLEAR;
    }
    janitor_tell(janitor, which, host, left);
}

/* A host that is away is looked at the next time. */
static void janitor_visit(struct janitor *janitor, size_t which)
{
    struct hypervisor *hypervisor = janitor->settings.hosts[which];
    virConnectPtr conn = NULL;

    if (janitor_safe_point(janitor, NULL) < 0 ||
        hypervisor_acquire_within(hypervisor, HYPERVISOR_QUERY, 0, &conn, NULL) < 0)
        return;
    janitor_tidy(janitor, which, conn, hypervisor_name(hypervisor));
    hypervisor_release(hypervisor, conn);
}

static void janitor_mark_ended(struct janitor *janitor)
{
    SCOPE_LOCK(&janitor->mutex);

    janitor->ended = true;
    pthread_cond_broadcast(&janitor->wake);
}

static void *janitor_main(void *opaque)
{
    struct janitor *janitor = opaque;
    const int interval_ms = janitor->settings.interval_s * 1000;
    int pause = interval_ms < FIRST_MS ? interval_ms : FIRST_MS;

    for (; janitor_pause(janitor, pause); pause = interval_ms) {
        for (size_t i = 0; i < janitor->settings.host_count; i++)
            janitor_visit(janitor, i);
        janitor->clears = true;
    }
    janitor_mark_ended(janitor);
    return NULL;
}

struct janitor *janitor_new(const struct janitor_settings *settings, struct error *err)
{
    struct janitor *janitor = calloc(1, sizeof(*janitor));
    size_t *told = calloc(settings->host_count + 1, sizeof(*told));

    if (!janitor || !told) {
        free(janitor);
        free(told);
        return error_set_memory(err), NULL;
    }
    janitor->settings = *settings;
    janitor->told = told;
    pthread_mutex_init(&janitor->mutex, NULL);
    monotonic_cond_init(&janitor->wake);
    return janitor;
}

int janitor_start(struct janitor *janitor, struct error *err)
{
    if (janitor->settings.interval_s == 0)
        return 0;
    if (pthread_create(&janitor->thread, NULL, janitor_main, janitor) != 0)
        return error_set(err, ERROR_INTERNAL, "no thread for the janitor");
    janitor->started = true;
    return 0;
}

/* False: it has not ended in that time. */
static bool janitor_end(struct janitor *janitor, int patience_ms)
{
    int64_t until = monotonic_now_ms() + patience_ms;
    SCOPE_LOCK(&janitor->mutex);

    janitor->stopping = true;
    pthread_cond_broadcast(&janitor->wake);
    while (!janitor->ended && monotonic_now_ms() < until)
        monotonic_wait(&janitor->wake, &janitor->mutex, until);
    return janitor->ended;
}

int janitor_stop(struct janitor *janitor, int patience_ms)
{
    if (!janitor->started)
        return 0;
    if (!janitor_end(janitor, patience_ms))
        return -1;
    pthread_join(janitor->thread, NULL);
    janitor->started = false;
    return 0;
}

void janitor_free(struct janitor *janitor)
{
    if (!janitor)
        return;
    pthread_cond_destroy(&janitor->wake);
    pthread_mutex_destroy(&janitor->mutex);
    free(janitor->told);
    free(janitor);
}
