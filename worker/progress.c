/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Progress is one small state under a mutex, which is also held while a report goes out: so reports leave in order.
 *
 * The rate is what was done divided by the time it took, both fading with a time constant of ten seconds. Fading both
 * makes it right from the first seconds on, however uneven the updates come. */

#include "progress.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "monotonic.h"

#define RATE_WINDOW_S      10.0
#define RATE_KNOWN_AFTER_S 0.5
#define ETA_MAX_S          (366 * 86400.0) /* beyond, it is a guess of no use */
#define STALLED_AFTER_MS   40000

/* Of a deadline that cannot be met: a first guess says little. */
#define LATE_AFTER_MS 2000
#define LATE_UPDATES  3
#define LATE_SPAN_MS  1000 /* updates that come closer together are one guess */

struct progress {
    pthread_mutex_t mutex; /* guards all below that changes */
    progress_sink sink;
    void *opaque;
    int64_t (*now)(void *opaque);
    void *clock;
    int64_t (*today)(void *opaque);
    void *calendar;
    int64_t deadline_ms; /* 0: none */
    int interval_ms;
    int64_t loud_from; /* no report before */
    int64_t reported;  /* when the last report went out; -1: none yet */
    uint64_t seq;

    /* Of the phase */
    char phase[64], unit[64];
    uint64_t done, total;
    double percent; /* the highest so far */
    int64_t grown;  /* when `done` last grew */
    int64_t updated;
    double recent_done, recent_s; /* fading sums */
    bool phase_reported;
    int late_updates;   /* in a row that found it late */
    int64_t late_since; /* the first of them */
    bool late_reported;
    json_t *detail;    /* NULL: none */
    bool told_stalled; /* whether it is stalled is known from the caller: */
    bool stalled;
    bool stalled_reported;
};

static int64_t monotonic_ms(void *unused)
{
    (void)unused;
    return monotonic_now_ms();
}

static int64_t realtime_ms(void *unused)
{
    struct timespec now;

    (void)unused;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t now_ms(const struct progress *progress)
{
    return progress->now(progress->clock);
}

struct progress *progress_new(int interval_ms, int quiet_ms, progress_sink sink, void *opaque,
                              struct error *err)
{
    struct progress *progress = calloc(1, sizeof(*progress));

    if (!progress) {
        error_set_memory(err);
        return NULL;
    }
    pthread_mutex_init(&progress->mutex, NULL);
    progress->sink = sink;
    progress->opaque = opaque;
    progress->interval_ms = interval_ms;
    progress->now = monotonic_ms;
    progress->today = realtime_ms;
    progress->grown = progress->updated = now_ms(progress);
    progress->loud_from = progress->grown + quiet_ms;
    progress->reported = -1;
    return progress;
}

void progress_set_clock(struct progress *progress, int64_t (*now)(void *opaque), void *opaque)
{
    SCOPE_LOCK(&progress->mutex);
    int64_t quiet_ms = progress->loud_from - progress->grown;

    progress->now = now;
    progress->clock = opaque;
    progress->grown = progress->updated = now_ms(progress);
    progress->loud_from = progress->grown + quiet_ms;
}

void progress_set_calendar(struct progress *progress, int64_t (*now)(void *opaque), void *opaque)
{
    SCOPE_LOCK(&progress->mutex);

    progress->today = now;
    progress->calendar = opaque;
}

void progress_set_deadline(struct progress *progress, int64_t deadline_ms)
{
    SCOPE_LOCK(&progress->mutex);

    progress->deadline_ms = deadline_ms;
}

void progress_free(struct progress *progress)
{
    if (!progress)
        return;
    json_decref(progress->detail);
    pthread_mutex_destroy(&progress->mutex);
    free(progress);
}

void progress_phase(struct progress *progress, const char *phase, const char *unit)
{
    SCOPE_LOCK(&progress->mutex);

    snprintf(progress->phase, sizeof(progress->phase), "%s", phase);
    snprintf(progress->unit, sizeof(progress->unit), "%s", unit);
    progress->done = progress->total = 0;
    progress->percent = 0;
    progress->recent_done = progress->recent_s = 0;
    progress->grown = progress->updated = now_ms(progress);
    progress->phase_reported = false;
    progress->late_updates = 0;
    progress->late_reported = false;
    json_decref(STEAL(&progress->detail));
    progress->told_stalled = progress->stalled = progress->stalled_reported = false;
}

void progress_set_detail(struct progress *progress, json_t *detail)
{
    SCOPE_LOCK(&progress->mutex);

    json_decref(progress->detail);
    progress->detail = detail;
}

void progress_set_stalled(struct progress *progress, bool stalled)
{
    SCOPE_LOCK(&progress->mutex);

    progress->told_stalled = true;
    progress->stalled = stalled;
    if (!stalled)
        progress->stalled_reported = false;
}

/* With the mutex held, as all below. */

/* 1 / (1 + x) fades like exp(-x) where updates are closer than the window, and is well-behaved where they are not. */
static void progress_measure(struct progress *progress, uint64_t growth, int64_t now)
{
    double passed_s = (double)(now - progress->updated) / 1000;
    double fade = 1 / (1 + passed_s / RATE_WINDOW_S);

    progress->recent_done = progress->recent_done * fade + (double)growth;
    progress->recent_s = progress->recent_s * fade + passed_s;
    progress->updated = now;
    if (growth > 0)
        progress->grown = now;
}

/* Rounded down, and never 100: that is for progress_finish to say, since a total may still grow. */
static double percent_of(uint64_t done, uint64_t total)
{
    double tenths = total > 0 ? 1000.0 * (double)done / (double)total : 0;

    return (double)(int)(tenths < 999 ? tenths : 999) / 10;
}

static void progress_set(struct progress *progress, uint64_t done, uint64_t total, int64_t now)
{
    uint64_t before = progress->done;

    if (total == 0)
        total = progress->total;
    if (total > 0 && done > total)
        done = total;
    if (done < before)
        done = before;
    if (total > 0 && total < done)
        total = done;
    progress->done = done;
    progress->total = total;
    double percent = percent_of(done, total);
    if (percent > progress->percent)
        progress->percent = percent;
    progress_measure(progress, done - before, now);
}

/* Units a second; below 0: not known. */
static double progress_rate(const struct progress *progress)
{
    if (progress->recent_s < RATE_KNOWN_AFTER_S || progress->done == 0)
        return -1;
    return progress->recent_done / progress->recent_s;
}

/* How long the phase will take, at the most ETA_MAX_S; below 0: not known. */
static double progress_eta_s(const struct progress *progress)
{
    double rate = progress_rate(progress), eta_s;

    if (rate < 0 || progress->total == 0)
        return -1;
    eta_s = (double)(progress->total - progress->done) / (rate > 1e-9 ? rate : 1e-9);
    return eta_s < ETA_MAX_S ? eta_s : ETA_MAX_S;
}

/* How long after the deadline the phase will end; 0 or below: not at all, or not known. */
static double progress_late_by_s(const struct progress *progress)
{
    double eta_s = progress_eta_s(progress), left_s;

    if (progress->deadline_ms == 0 || eta_s < 0 || progress->done == progress->total)
        return 0;
    left_s = (double)(progress->deadline_ms - progress->today(progress->calendar)) / 1000;
    return eta_s - left_s;
}

/* After each update. */
static void progress_measure_late(struct progress *progress, int64_t now)
{
    if (progress_late_by_s(progress) <= 0) {
        progress->late_updates = 0;
        progress->late_reported = false;
        return;
    }
    if (progress->late_updates == 0)
        progress->late_since = now;
    if (progress->late_updates < LATE_UPDATES)
        progress->late_updates++;
}

static bool progress_is_late(const struct progress *progress, int64_t now)
{
    int64_t span_ms = now - progress->late_since;

    return progress->late_updates > 0 &&
           (span_ms >= LATE_AFTER_MS || (progress->late_updates == LATE_UPDATES && span_ms >= LATE_SPAN_MS));
}

static void report_add_rate(const struct progress *progress, json_t *report)
{
    double rate = progress_rate(progress), eta_s = progress_eta_s(progress);

    if (rate < 1e15) /* one decimal is enough */
        rate = (double)(int64_t)(rate * 10 + 0.5) / 10;
    if (rate >= 0)
        json_object_set_new(report, "rate", json_real(rate));
    if (eta_s >= 0 && eta_s < ETA_MAX_S)
        json_object_set_new(report, "eta_s", json_integer((json_int_t)(eta_s + 0.5)));
}

static void report_add_late(struct progress *progress, json_t *report, int64_t now)
{
    double late_by_s = progress_late_by_s(progress);

    if (!progress_is_late(progress, now))
        return;
    progress->late_reported = true;
    json_object_set_new(report, "late_by_s", json_integer(late_by_s < 1 ? 1 : (json_int_t)(late_by_s + 0.5)));
}

static bool progress_is_stalled(const struct progress *progress, int64_t now)
{
    return progress->told_stalled ? progress->stalled : now - progress->grown >= STALLED_AFTER_MS;
}

/* A copy, for the report is read by another thread. */
static void report_add_detail(const struct progress *progress, json_t *report)
{
    AUTO(json) json_t *detail = json_deep_copy(progress->detail);

    json_object_update(report, detail);
}

static json_int_t json_count(uint64_t count)
{
    return count > INT64_MAX ? INT64_MAX : (json_int_t)count;
}

/* Without memory there is no report. */
static void progress_report(struct progress *progress, int64_t now)
{
    json_t *report = json_pack("{s:s, s:I, s:I, s:s, s:f, s:b, s:I}", "phase", progress->phase, "done",
                               json_count(progress->done), "total", json_count(progress->total), "unit",
                               progress->unit, "percent", progress->percent, "stalled",
                               progress_is_stalled(progress, now), "seq", json_count(progress->seq + 1));

    if (!report)
        return;
    report_add_rate(progress, report);
    report_add_late(progress, report, now);
    report_add_detail(progress, report);
    progress->stalled_reported = progress->told_stalled && progress->stalled;
    progress->seq++;
    progress->reported = now;
    progress->phase_reported = true;
    progress->sink(progress->opaque, report);
}

static bool progress_may_report(const struct progress *progress, int64_t now)
{
    bool late = progress_is_late(progress, now) && !progress->late_reported;
    bool stalled = progress->told_stalled && progress->stalled && !progress->stalled_reported;
    bool news = late || stalled;

    return now >= progress->loud_from &&
           (news || progress->reported < 0 || now - progress->reported >= progress->interval_ms);
}

void progress_update(struct progress *progress, uint64_t done, uint64_t total)
{
    SCOPE_LOCK(&progress->mutex);
    int64_t now = now_ms(progress);

    progress_set(progress, done, total, now);
    progress_measure_late(progress, now);
    if (progress_may_report(progress, now))
        progress_report(progress, now);
}

void progress_finish(struct progress *progress)
{
    SCOPE_LOCK(&progress->mutex);
    int64_t now = now_ms(progress);
    bool said_already = progress->percent >= 100;

    if (progress->total == 0)
        progress->total = progress->done;
    progress_set(progress, progress->total, progress->total, now);
    progress_measure_late(progress, now);
    progress->percent = 100;
    progress->stalled = false;
    if (progress->phase_reported && !said_already)
        progress_report(progress, now);
}
