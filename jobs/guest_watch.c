/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The thread that looks on, and what it shares with libvirt's callbacks.
 *
 * The thread alone uses the connection. What it sees goes into a record under a lock, which libvirt's callbacks write to
 * as well, and which the last of them to let go frees. No call of libvirt's is made with the lock held. */

#include "guest_watch.h"

#include <errno.h>

#include "guest_internal.h"
#include "hypervisor.h"
#include "monotonic.h"
#include "thread.h"

#define RETRY_MS     500   /* until the next attempt at a connection */
#define WAIT_MS      500   /* between two safe points */
#define ENDING_MS    30000 /* how long work that was aborted may take to end */
#define LAST_WORD_MS 1000  /* how long the figures of a guest that is gone may be on their way */

struct record {
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    int operation;
    int references;
    bool stopping;
    bool woken;                /* there is something to look at */
    bool boundary;             /* a pass has ended since the last look */
    unsigned int looks;        /* that have succeeded */
    bool at_work;              /* as of the last of them */
    struct guest_stats latest; /* of work that was seen going on */
    struct guest_stats final;  /* as libvirt told them in the end; type NONE until then */
};

struct guest_watch {
    struct job *job;
    struct guest_watch_settings settings;
    char uuid[VIR_UUID_STRING_BUFLEN];
    struct record *record;
    bool wants_final;
    pthread_t thread;

    /* The thread's own: NULL while the host is away. */
    virConnectPtr conn;
    virDomainPtr dom;
    int iteration_id, completed_id; /* callbacks; -1 where there is none */
};

/* The record. */

static void record_unref(void *opaque)
{
    struct record *record = opaque;
    int left;

    pthread_mutex_lock(&record->lock);
    left = --record->references;
    pthread_mutex_unlock(&record->lock);
    if (left > 0)
        return;
    pthread_cond_destroy(&record->changed);
    pthread_mutex_destroy(&record->lock);
    free(record);
}

static struct record *record_new(int operation)
{
    struct record *record = calloc(1, sizeof(*record));

    if (!record)
        return NULL;
    pthread_mutex_init(&record->lock, NULL);
    monotonic_cond_init(&record->changed);
    record->operation = operation;
    record->references = 1;
    record->latest.type = record->final.type = VIR_DOMAIN_JOB_NONE;
    return record;
}

static void record_ref(struct record *record)
{
    SCOPE_LOCK(&record->lock);

    record->references++;
}

/* On libvirt's event loop, as the next. */
static void record_on_iteration(virConnectPtr conn, virDomainPtr dom, int iteration, void *opaque)
{
    struct record *record = opaque;
    SCOPE_LOCK(&record->lock);

    (void)conn;
    (void)dom;
    (void)iteration;
    record->boundary = record->woken = true;
    pthread_cond_broadcast(&record->changed);
}

/* All is copied by then, but the work may go on for a while: a save waits until its file is on the disk. */
static void record_on_completed(virConnectPtr conn, virDomainPtr dom, virTypedParameterPtr params, int count,
                                void *opaque)
{
    struct record *record = opaque;
    struct guest_stats stats;
    SCOPE_LOCK(&record->lock);

    (void)conn;
    (void)dom;
    guest_stats_take(params, count, &stats);
    if (stats.operation != record->operation)
        return;
    record->final = stats;
    record->woken = true;
    pthread_cond_broadcast(&record->changed);
}

/* True: of work of ours. */
static bool record_note(struct record *record, const struct guest_stats *stats)
{
    SCOPE_LOCK(&record->lock);

    record->at_work = stats->type != VIR_DOMAIN_JOB_NONE && stats->operation == record->operation;
    if (record->at_work)
        record->latest = *stats;
    record->looks++;
    pthread_cond_broadcast(&record->changed);
    return record->at_work;
}

static void record_set_final(struct record *record, const struct guest_stats *stats)
{
    SCOPE_LOCK(&record->lock);

    record->final = *stats;
}

static bool record_take_boundary(struct record *record)
{
    SCOPE_LOCK(&record->lock);
    bool boundary = record->boundary;

    record->boundary = record->woken = false;
    return boundary;
}

static void record_await_final(struct record *record)
{
    int64_t until = monotonic_now_ms() + LAST_WORD_MS;
    SCOPE_LOCK(&record->lock);

    while (record->final.type == VIR_DOMAIN_JOB_NONE)
        if (monotonic_wait(&record->changed, &record->lock, until) == ETIMEDOUT)
            return;
}

/* The thread. */

/* The callback's id, or -1. */
static int watch_register(struct guest_watch *watch, int event, virConnectDomainEventGenericCallback callback)
{
    int id;

    record_ref(watch->record);
    id = virConnectDomainEventRegisterAny(watch->conn, watch->dom, event, callback, watch->record,
                                          record_unref);
    if (id < 0)
        record_unref(watch->record);
    return id;
}

static void watch_disconnect(struct guest_watch *watch)
{
    if (!watch->conn)
        return;
    if (watch->iteration_id >= 0)
        virConnectDomainEventDeregisterAny(watch->conn, watch->iteration_id);
    if (watch->completed_id >= 0)
        virConnectDomainEventDeregisterAny(watch->conn, watch->completed_id);
    if (watch->dom)
        virDomainFree(STEAL(&watch->dom));
    watch->iteration_id = watch->completed_id = -1;
    job_query_end(watch->job, STEAL(&watch->conn));
}

/* A guest that is gone, or is not there yet, has nothing at work on it. */
static int watch_find(struct guest_watch *watch)
{
    struct guest_stats nothing = { .type = VIR_DOMAIN_JOB_NONE };

    if (guest_find_by(watch->conn, virDomainLookupByUUIDString, watch->uuid, &watch->dom, NULL) < 0)
        return -1;
    if (!watch->dom) {
        record_note(watch->record, &nothing);
        return -1;
    }
    watch->iteration_id = watch_register(watch, VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION,
                                         VIR_DOMAIN_EVENT_CALLBACK(record_on_iteration));
    watch->completed_id = watch_register(watch, VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
                                         VIR_DOMAIN_EVENT_CALLBACK(record_on_completed));
    return 0;
}

static int watch_connect(struct guest_watch *watch)
{
    if (watch->conn && !hypervisor_is_alive(watch->conn))
        watch_disconnect(watch);
    if (!watch->conn && job_query_try(watch->job, &watch->conn, NULL) < 0)
        return -1;
    return watch->dom ? 0 : watch_find(watch);
}

/* How long to the next look, in milliseconds. */
static int watch_look(struct guest_watch *watch)
{
    const struct guest_watch_settings *settings = &watch->settings;
    bool boundary = record_take_boundary(watch->record);
    struct guest_stats stats;

    if (watch_connect(watch) < 0)
        return RETRY_MS;
    if (guest_stats_read(watch->dom, false, &stats, NULL) == 0 && record_note(watch->record, &stats) &&
        settings->seen)
        settings->seen(settings->opaque, watch->dom, &stats, boundary);
    return settings->period_ms;
}

/* Until the next look is due; false: there is none. */
static bool watch_rest(struct record *record, int ms)
{
    int64_t until = monotonic_now_ms() + ms;
    SCOPE_LOCK(&record->lock);

    while (!record->stopping && !record->woken)
        if (monotonic_wait(&record->changed, &record->lock, until) == ETIMEDOUT)
            break;
    return !record->stopping;
}

/* Of a guest that is there they can be read. One that is gone cannot be asked, and the event may still be on its way. */
static void watch_read_final(struct guest_watch *watch)
{
    struct record *record = watch->record;
    struct guest_stats stats;

    if (watch_connect(watch) < 0)
        return;
    if (guest_stats_read(watch->dom, true, &stats, NULL) == 0 && stats.type != VIR_DOMAIN_JOB_NONE &&
        stats.operation == watch->settings.operation)
        record_set_final(record, &stats);
    else if (guest_is_active(watch->dom, NULL) == 0)
        record_await_final(record);
}

static void *watch_main(void *opaque)
{
    struct guest_watch *watch = opaque;

    while (watch_rest(watch->record, watch_look(watch)))
        ;
    if (watch->wants_final)
        watch_read_final(watch);
    watch_disconnect(watch);
    return NULL;
}

/* The handler's side. */

static void watch_free(struct guest_watch *watch)
{
    if (watch->record)
        record_unref(watch->record);
    free(watch);
}

CLEANUP_DEFINE(guest_watch, struct guest_watch *, watch_free)

int guest_watch_begin(struct job *job, virDomainPtr dom, const struct guest_watch_settings *settings,
                      struct guest_watch **ret_watch, struct error *err)
{
    AUTO(guest_watch) struct guest_watch *watch = calloc(1, sizeof(*watch));

    if (!watch || !(watch->record = record_new(settings->operation)))
        return error_set_memory(err);
    watch->job = job;
    watch->settings = *settings;
    watch->iteration_id = watch->completed_id = -1;
    if (virDomainGetUUIDString(dom, watch->uuid) < 0)
        return error_set_libvirt(err, "preparing to watch guest '%s'", virDomainGetName(dom));
    if (thread_start(&watch->thread, watch_main, watch) != 0)
        return error_set(err, ERROR_INTERNAL, "no thread to watch guest '%s'", virDomainGetName(dom));
    *ret_watch = STEAL(&watch);
    return 0;
}

/* Up to half a second, less when the work ends: then true. What was seen before `looks` does not count. */
static bool record_wait_end(struct record *record, unsigned int looks)
{
    int64_t until = monotonic_now_ms() + WAIT_MS;
    SCOPE_LOCK(&record->lock);

    while (record->looks == looks || record->at_work)
        if (monotonic_wait(&record->changed, &record->lock, until) == ETIMEDOUT)
            return false;
    return true;
}

static unsigned int record_looks(struct record *record)
{
    SCOPE_LOCK(&record->lock);

    return record->looks;
}

/* Of a job that is to stop, and has said so in `err`. */
static void watch_wait_aborted(struct guest_watch *watch, const struct error *err)
{
    int64_t until = monotonic_now_ms() + ENDING_MS;
    unsigned int looks = record_looks(watch->record);

    while (err->code != ERROR_INTERRUPTED && monotonic_now_ms() < until &&
           hypervisor_is_alive(watch->job->conn) && !record_wait_end(watch->record, looks))
        ;
}

int guest_watch_wait(struct guest_watch *watch, struct error *err)
{
    unsigned int looks = record_looks(watch->record);
    struct error stop = ERROR_INIT;

    while (!record_wait_end(watch->record, looks)) {
        if (job_safe_point(watch->job, &stop) < 0) {
            watch_wait_aborted(watch, &stop);
            *err = stop;
            return -1;
        }
        if (!hypervisor_is_alive(watch->job->conn))
            return error_set(err, ERROR_CONNECTION_LOST, "the host went away while it was at work");
    }
    return 0;
}

/* The callbacks may be at the record for a moment longer, but nobody calls `seen` any more. */
void guest_watch_end(struct guest_watch *watch, struct guest_stats *ret_stats)
{
    struct record *record;

    if (!watch) {
        if (ret_stats)
            *ret_stats = (struct guest_stats){ .type = VIR_DOMAIN_JOB_NONE };
        return;
    }
    record = watch->record;
    watch->wants_final = ret_stats != NULL;
    pthread_mutex_lock(&record->lock);
    record->stopping = true;
    pthread_cond_broadcast(&record->changed);
    pthread_mutex_unlock(&record->lock);
    pthread_join(watch->thread, NULL);
    pthread_mutex_lock(&record->lock);
    if (ret_stats)
        *ret_stats = record->final.type == VIR_DOMAIN_JOB_NONE ? record->latest : record->final;
    pthread_mutex_unlock(&record->lock);
    watch_free(watch);
}
