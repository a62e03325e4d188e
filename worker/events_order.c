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

#define HELD_MAX 65536 /* events held back while the snapshot is taken */

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

/* Holding the mutex. Without `data` there was no memory for it: the number is used up, so that the gap shows. */
static void watch_emit(struct watch *watch, const char *kind, const char *subject, json_t *data)
{
    struct watch_event event = { .host = hypervisor_name(watch->hypervisor),
                                 .kind = kind,
                                 .subject = subject };

    event.epoch = watch->epoch;
    event.seq = ++watch->seq;
    event.data = data;
    if (json_object_set_new(data, "epoch", json_integer(event.epoch)) < 0 ||
        json_object_set_new(data, "seq", json_integer((json_int_t)event.seq)) < 0)
        return;
    if (subject)
        metrics_add(METRIC_LIFECYCLE_EVENTS, 1, event.host, strchr(kind, '.') + 1);
    watch->sink(watch->opaque, &event);
}

/* Holding the mutex. The same of the host itself; `data` is stolen. */
static void watch_emit_host(struct watch *watch, const char *kind, json_t *data)
{
    AUTO(json) json_t *owned = data;

    watch_emit(watch, kind, NULL, owned);
}

/* Holding the mutex. */
static void watch_emit_guest(struct watch *watch, const struct held *held)
{
    const json_t *guest = json_object_get(held->data, "guest");
    const char *name = json_string_value(json_object_get(guest, "name"));

    if (held->event != EVENTS_NOT_LIFECYCLE && name)
        guests_note(watch->guests, held->event, name, held->subject);
    watch_emit(watch, held->kind, held->subject, held->data);
}

/* Holding the mutex; takes the event. */
static void watch_hold(struct watch *watch, struct held *held)
{
    if (++watch->held_count > HELD_MAX) {
        held_free(held);
        watch->current->lost = "overflow";
        pthread_cond_signal(&watch->wake);
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

void epoch_tell(struct epoch *epoch, virDomainPtr dom, int event, const char *kind, json_t *data)
{
    struct watch *watch = epoch->watch;
    AUTO(held) struct held *held = calloc(1, sizeof(*held));

    if (!held || virDomainGetUUIDString(dom, held->subject) < 0)
        return json_decref(data), epoch_lose(epoch, "out of memory");
    held->event = event;
    held->kind = kind;
    held->data = held_data(dom, held->subject, data);

    SCOPE_LOCK(&watch->mutex);
    if (watch->current != epoch)
        return;
    if (watch->holding)
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

void epoch_open(struct epoch *epoch, json_t *about, json_t *guests)
{
    struct watch *watch = epoch->watch;
    SCOPE_LOCK(&watch->mutex);
    const char *host = hypervisor_name(watch->hypervisor);

    guests_replace(watch->guests, guests);
    metrics_set(METRIC_HOST_UP, 1, host, NULL);
    log_info("events", "host connected", "host", host, NULL);
    watch_emit_host(watch, "host.connected", about);
    watch_emit_host(watch, "host.snapshot", json_pack("{s:o}", "guests", guests));
    watch_release_held(watch, true);
}

void epoch_end(struct epoch *epoch, const char *reason)
{
    struct watch *watch = epoch->watch;
    SCOPE_LOCK(&watch->mutex);

    if (reason)
        watch_emit_host(watch, "host.disconnected", json_pack("{s:s}", "reason", reason));
    watch->current = NULL;
    watch_release_held(watch, false);
}
