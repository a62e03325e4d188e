/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The order in which events leave a watch: one number each, nothing before the snapshot, nothing after the end. */

#include "events_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "log.h"
#include "metrics.h"

static const char overflow[] = "overflow";

/* An event on its way; `data` lacks epoch and seq until it leaves. */
struct held {
    char subject[VIR_UUID_STRING_BUFLEN];
    int event; /* as of epoch_tell */
    const char *kind;
    json_t *data;
    struct held *next;
};

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void held_free(struct held *held)
{
    json_decref(held->data);
    free(held);
}

CLEANUP_DEFINE(held, struct held *, held_free)

/* Holding the mutex. -1: there is no room, and the number is still free. Without `data` there was no memory for it: the
 * number is used up, so that the gap shows. */
static int watch_emit(struct watch *watch, const char *kind, const char *subject, json_t *data)
{
    const struct watch_event event = { .host = hypervisor_name(watch->hypervisor),
                                       .kind = kind,
                                       .subject = subject,
                                       .epoch = watch->epoch,
                                       .seq = watch->seq + 1,
                                       .data = data };

    if (json_object_set_new(data, "epoch", json_integer(event.epoch)) == 0 &&
        json_object_set_new(data, "seq", json_integer((json_int_t)event.seq)) == 0) {
        if (watch->sink(watch->opaque, &event) < 0)
            return -1;
        if (subject)
            metrics_add(METRIC_LIFECYCLE_EVENTS, 1, event.host, strchr(kind, '.') + 1);
    }
    watch->seq++;
    return 0;
}

/* Holding the mutex. The same of the host itself; `data` is stolen. */
static int watch_emit_host(struct watch *watch, const char *kind, json_t *data)
{
    AUTO(json) json_t *owned = data;

    return watch_emit(watch, kind, NULL, owned);
}

/* Holding the mutex: an event cannot be told. Whatever else the epoch is to end of, this is what its reader has to
 * know. */
static void epoch_mute(struct epoch *epoch, const char *reason)
{
    epoch->mute = true;
    epoch->lost = reason;
    pthread_cond_signal(&epoch->watch->wake);
}

/* Holding the mutex. The table of names follows all that happens, told or not. */
static void watch_emit_guest(struct watch *watch, const struct held *held)
{
    const json_t *guest = json_object_get(held->data, "guest");
    const char *name = json_string_value(json_object_get(guest, "name"));

    if (held->event != EVENTS_NOT_LIFECYCLE && name)
        guests_note(watch->guests, held->event, name, held->subject);
    if (!watch->current->mute && watch_emit(watch, held->kind, held->subject, held->data) < 0)
        epoch_mute(watch->current, overflow);
}

/* Holding the mutex; takes the event. */
static void watch_hold(struct watch *watch, struct held *held)
{
    if (++watch->held_count > EVENTS_HELD_MAX) {
        held_free(held);
        epoch_mute(watch->current, overflow);
        return;
    }
    *watch->held_end = held;
    watch->held_end = &held->next;
}

/* Holding the mutex: lets go of what was held, with or without telling it. */
static void watch_release_held(struct watch *watch, bool telling)
{
    for (struct held *held = watch->held, *next; held; held = next) {
        next = held->next;
        if (telling)
            watch_emit_guest(watch, held);
        held_free(held);
    }
    watch->held = NULL;
    watch->held_end = &watch->held;
    watch->held_count = 0;
    watch->holding = false;
}

/* Adds the guest to the data; NULL where there was no memory. Nothing here asks the host. */
static json_t *held_data(virDomainPtr dom, const char *uuid, json_t *data)
{
    unsigned int id = virDomainGetID(dom);
    json_t *guest = json_pack("{s:o, s:s}", "name", events_text(virDomainGetName(dom)), "uuid", uuid);

    if (guest && id != (unsigned int)-1)
        json_object_set_new(guest, "id", json_integer(id));
    if (json_object_set_new(data, "guest", guest) == 0)
        return data;
    json_decref(data);
    return NULL;
}

/* NULL: no memory. */
static struct held *held_new(virDomainPtr dom, int event, const char *kind, json_t *data)
{
    AUTO(held) struct held *held = calloc(1, sizeof(*held));

    if (!held || virDomainGetUUIDString(dom, held->subject) < 0)
        return json_decref(data), NULL;
    held->event = event;
    held->kind = kind;
    held->data = held_data(dom, held->subject, data);
    return STEAL(&held);
}

void epoch_tell(struct epoch *epoch, virDomainPtr dom, int event, const char *kind, json_t *data)
{
    struct watch *watch = epoch->watch;
    AUTO(held) struct held *held = held_new(dom, event, kind, data);
    SCOPE_LOCK(&watch->mutex);

    if (watch->current != epoch)
        return;
    if (!held)
        epoch_mute(epoch, "out of memory");
    else if (watch->holding)
        watch_hold(watch, STEAL(&held));
    else
        watch_emit_guest(watch, held);
}

void epoch_lose(struct epoch *epoch, const char *reason)
{
    SCOPE_LOCK(&epoch->watch->mutex);

    if (epoch->lost)
        return;
    epoch->lost = reason;
    pthread_cond_signal(&epoch->watch->wake);
}

void epoch_begin(struct epoch *epoch)
{
    struct watch *watch = epoch->watch;
    SCOPE_LOCK(&watch->mutex);
    int64_t now = now_us();

    watch->epoch = now > watch->epoch ? now : watch->epoch + 1; /* the clock may have been set back */
    watch->seq = 0;
    watch->holding = true;
    watch->current = epoch;
}

int epoch_open(struct epoch *epoch, json_t *about, json_t *guests, struct error *err)
{
    struct watch *watch = epoch->watch;
    SCOPE_LOCK(&watch->mutex);
    AUTO(json) json_t *snapshot = json_pack("{s:o}", "guests", guests);
    const char *host = hypervisor_name(watch->hypervisor);

    guests_replace(watch->guests, json_object_get(snapshot, "guests"));
    if (watch_emit_host(watch, "host.connected", about) < 0)
        return error_set(err, ERROR_BUSY, "no room for events");
    metrics_set(METRIC_HOST_UP, 1, host, NULL);
    log_info("events", "host connected", "host", host, NULL);
    if (watch_emit(watch, "host.snapshot", NULL, snapshot) < 0)
        epoch_mute(epoch, overflow);
    watch_release_held(watch, true);
    return 0;
}

/* Holding the mutex. */
static int watch_try_end(struct watch *watch)
{
    if (!watch->ended)
        return 0;
    if (watch_emit_host(watch, "host.disconnected", json_pack("{s:s}", "reason", watch->ended)) < 0)
        return -1;
    watch->ended = NULL;
    return 0;
}

int watch_tell_end(struct watch *watch)
{
    SCOPE_LOCK(&watch->mutex);

    return watch_try_end(watch);
}

void epoch_end(struct epoch *epoch, const char *reason)
{
    struct watch *watch = epoch->watch;
    SCOPE_LOCK(&watch->mutex);

    watch->current = NULL;
    watch_release_held(watch, false);
    watch->ended = reason;
    watch_try_end(watch);
}
