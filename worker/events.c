/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The watch: a thread that keeps one connection, or tries to have one. */

#include "events.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "events_internal.h"
#include "events_names.h"
#include "log.h"
#include "metrics.h"
#include "monotonic.h"

#define PAUSE_MIN_MS  200
#define PAUSE_MAX_MS  10000
#define PAUSE_ROOM_MS 1000 /* to ask for room costs nothing */
#define STABLE_MS     5000 /* a connection that held so long was a good one: the next comes soon */

static const char stopped[] = "stopped";

/* References. */

static void watch_unref(struct watch *watch)
{
    if (atomic_fetch_sub(&watch->references, 1) > 1)
        return;
    guests_free(watch->guests);
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->mutex);
    free(watch);
}

static struct epoch *epoch_new(struct watch *watch, struct error *err)
{
    struct epoch *epoch = calloc(1, sizeof(*epoch));

    if (!epoch)
        return error_set_memory(err), NULL;
    atomic_init(&epoch->references, 1);
    atomic_fetch_add(&watch->references, 1);
    epoch->watch = watch;
    return epoch;
}

void epoch_unref(struct epoch *epoch)
{
    if (atomic_fetch_sub(&epoch->references, 1) > 1)
        return;
    watch_unref(epoch->watch);
    free(epoch);
}

CLEANUP_DEFINE(epoch, struct epoch *, epoch_unref)

static void epoch_on_close(virConnectPtr conn, int reason, void *opaque)
{
    (void)conn;
    epoch_lose(opaque, events_word(EVENTS_CLOSE_REASON, reason));
}

static void epoch_on_close_end(void *opaque)
{
    struct epoch *epoch = opaque;

    if (atomic_exchange(&epoch->guarded, false))
        epoch_unref(epoch);
}

/* One connection. */

/* Without a close callback the driver has nothing that could break. Whether the connection broke before it was
 * registered has to be asked. */
static void epoch_guard(struct epoch *epoch, virConnectPtr conn)
{
    atomic_fetch_add(&epoch->references, 1);
    atomic_store(&epoch->guarded, true);
    if (virConnectRegisterCloseCallback(conn, epoch_on_close, epoch, epoch_on_close_end) < 0)
        epoch_on_close_end(epoch);
    if (!hypervisor_is_alive(conn))
        epoch_lose(epoch, "error");
}

/* Fails where the callback has been called, and libvirt has let go of it. A driver that never calls it takes and gives
 * it up with success, but lets go of nothing. */
static void epoch_unguard(struct epoch *epoch, virConnectPtr conn)
{
    if (virConnectUnregisterCloseCallback(conn, epoch_on_close) == 0)
        epoch_on_close_end(epoch);
}

static int epoch_connect(struct epoch *epoch, virConnectPtr conn, struct error *err)
{
    AUTO(json) json_t *guests = NULL;

    epoch_guard(epoch, conn);
    epoch_begin(epoch);
    if (callbacks_register(epoch, conn, err) < 0 || snapshot_take(conn, &guests, err) < 0)
        return -1;
    return epoch_open(epoch, snapshot_host(conn), STEAL(&guests), err);
}

/* Until the connection breaks or the watch is to end; says why. */
static const char *watch_serve(struct watch *watch, const struct epoch *epoch)
{
    SCOPE_LOCK(&watch->mutex);

    while (!watch->stopping && !epoch->lost)
        pthread_cond_wait(&watch->wake, &watch->mutex);
    return epoch->lost ? epoch->lost : stopped;
}

/* One line for each change, however often the host is tried. */
static void watch_note_down(const struct watch *watch, bool *up, const char *reason)
{
    const char *host = hypervisor_name(watch->hypervisor);

    metrics_set(METRIC_HOST_UP, 0, host, NULL);
    if (*up)
        (strcmp(reason, stopped) == 0 ? log_info : log_warning)("events", "host disconnected", "host", host,
                                                                "reason", reason, NULL);
    *up = false;
}

/* One connection from its beginning to its end. `up` is whether the log believes the host to be there. */
static void watch_once(struct watch *watch, bool *up)
{
    struct error err = ERROR_INIT;
    AUTO(epoch) struct epoch *epoch = epoch_new(watch, &err);
    virConnectPtr conn = NULL;
    const char *reason = NULL;

    if (!epoch || hypervisor_acquire_within(watch->hypervisor, HYPERVISOR_EVENTS, 0, &conn, &err) < 0)
        return watch_note_down(watch, up, err.message);
    if (epoch_connect(epoch, conn, &err) == 0) {
        *up = true;
        reason = watch_serve(watch, epoch);
    }
    epoch_end(epoch, reason);
    watch_note_down(watch, up, reason ? reason : err.message);
    callbacks_deregister(epoch, conn);
    epoch_unguard(epoch, conn);
    hypervisor_release(watch->hypervisor, conn);
}

/* False: the watch is to end. */
static bool watch_pause(struct watch *watch, int ms)
{
    int64_t until = monotonic_now_ms() + hypervisor_jitter(ms);
    SCOPE_LOCK(&watch->mutex);

    while (!watch->stopping && monotonic_now_ms() < until)
        monotonic_wait(&watch->wake, &watch->mutex, until);
    return !watch->stopping;
}

static void *watch_main(void *opaque)
{
    struct watch *watch = opaque;
    bool up = true; /* so that a host which is away from the start is said to be */

    for (int pause = 0; watch_pause(watch, pause);) {
        int64_t since = monotonic_now_ms();
        bool has_room = watch_tell_end(watch) == 0;
        int longest = has_room ? PAUSE_MAX_MS : PAUSE_ROOM_MS;

        if (has_room)
            watch_once(watch, &up);
        pause = pause * 2 < PAUSE_MIN_MS || monotonic_now_ms() - since > STABLE_MS ? PAUSE_MIN_MS : pause * 2;
        pause = pause > longest ? longest : pause;
    }
    watch_tell_end(watch);
    return NULL;
}

/* The watch. */

static void watch_init_locks(struct watch *watch)
{
    pthread_mutex_init(&watch->mutex, NULL);
    monotonic_cond_init(&watch->wake);
}

struct watch *watch_new(struct hypervisor *hypervisor, watch_sink sink, void *opaque, struct error *err)
{
    struct watch *watch = calloc(1, sizeof(*watch));

    if (!watch)
        return error_set_memory(err), NULL;
    watch_init_locks(watch);
    atomic_init(&watch->references, 1);
    watch->hypervisor = hypervisor;
    watch->sink = sink;
    watch->opaque = opaque;
    watch->held_end = &watch->held;
    watch->guests = guests_new();
    if (watch->guests)
        return watch;
    watch_free(watch);
    return error_set_memory(err), NULL;
}

int watch_start(struct watch *watch, struct error *err)
{
    if (pthread_create(&watch->thread, NULL, watch_main, watch) != 0)
        return error_set(err, ERROR_INTERNAL, "no thread to watch host '%s'",
                         hypervisor_name(watch->hypervisor));
    watch->started = true;
    return 0;
}

static void watch_order_stop(struct watch *watch)
{
    SCOPE_LOCK(&watch->mutex);

    watch->stopping = true;
    pthread_cond_signal(&watch->wake);
}

void watch_stop(struct watch *watch)
{
    if (!watch->started)
        return;
    watch_order_stop(watch);
    pthread_join(watch->thread, NULL);
    watch->started = false;
}

void watch_free(struct watch *watch)
{
    if (watch)
        watch_unref(watch);
}

int watch_guest_alias(struct watch *watch, const char *name_or_uuid, char *ret_other)
{
    return guests_alias(watch->guests, name_or_uuid, ret_other);
}

const char *watch_kind(size_t index)
{
    static const char *const host[] = { "host.connected", "host.disconnected", "host.snapshot" };
    const size_t host_count = sizeof(host) / sizeof(host[0]), lifecycle_count = VIR_DOMAIN_EVENT_CRASHED + 1;

    if (index < host_count)
        return host[index];
    if (index < host_count + lifecycle_count)
        return events_lifecycle_kind((int)(index - host_count));
    return callbacks_kind(index - host_count - lifecycle_count);
}
