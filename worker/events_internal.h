/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the files of the events stage share: events.c has the watch and its thread, events_order.c the order in which
 * events leave, events_callbacks.c what libvirt calls, events_snapshot.c the look at all guests, events_guests.c the
 * table of names. */

#ifndef VIRTJOB_EVENTS_INTERNAL_H
#define VIRTJOB_EVENTS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "events.h"

#define EVENTS_CALLBACKS_MAX 32
#define EVENTS_HELD_MAX      65536 /* held back while the snapshot is taken */
#define EVENTS_NOT_LIFECYCLE -1

struct held;

struct watch {
    struct hypervisor *hypervisor;
    watch_sink sink;
    void *opaque;
    atomic_int references; /* the owner's, and one for each epoch */
    pthread_t thread;
    bool started;
    struct guests *guests;

    /* Guards all below and the order of the sink's calls; no call of libvirt under it. */
    pthread_mutex_t mutex;
    pthread_cond_t wake; /* stopping, or the connection is lost */
    bool stopping;
    struct epoch *current; /* NULL: not connected */
    int64_t epoch;
    uint64_t seq;      /* of the last event that was taken, or for which there was no memory */
    const char *ended; /* why the last epoch ended, until that is told; then NULL */
    bool holding;      /* the snapshot is not out yet: guests' events wait in `held` */
    struct held *held, **held_end;
    size_t held_count;
};

/* One connection of a watch. libvirt may deliver what was under way after a callback has been deregistered, so each
 * callback holds a reference, dropped when libvirt lets go of it. */
struct epoch {
    struct watch *watch;
    atomic_int references;
    atomic_bool guarded;                 /* the close callback has its reference */
    int callbacks[EVENTS_CALLBACKS_MAX]; /* libvirt's ids, -1 where not registered; the watch's thread only */
    const char *lost; /* why it is to end; NULL while it stands; guarded by the watch's mutex, as the next */
    bool mute;        /* an event of it is missing: its end is all that may still be told */
};

/* events.c */

void epoch_unref(struct epoch *epoch);

/* events_order.c */

/* The epoch begins: events of guests count from here on, but are held back. */
void epoch_begin(struct epoch *epoch);

/* Connected, and seen all guests: tells so, then what was held back. Both are stolen; NULL: no memory. -1: there is no
 * room even for the first, and the epoch is not open. */
int epoch_open(struct epoch *epoch, json_t *about, json_t *guests, struct error *err);

/* Over; `reason` (static) is told, at once or later. NULL: it was never open. */
void epoch_end(struct epoch *epoch, const char *reason);

/* Tells how the last epoch ended, where that is still to do; -1: there is no room. Before the next one begins. */
int watch_tell_end(struct watch *watch);

/* Any thread: tells of one guest, unless the epoch is over. `event` is libvirt's number of a lifecycle event, or
 * EVENTS_NOT_LIFECYCLE; `kind` is static; `data` is stolen (NULL: no memory, which shows as a gap in seq). */
void epoch_tell(struct epoch *epoch, virDomainPtr dom, int event, const char *kind, json_t *data);

/* Any thread: the connection is of no use any more; `reason` is static. */
void epoch_lose(struct epoch *epoch, const char *reason);

/* events_callbacks.c */

/* Registers every callback that the driver has. -1: not even the lifecycle's. */
int callbacks_register(struct epoch *epoch, virConnectPtr conn, struct error *err);
void callbacks_deregister(struct epoch *epoch, virConnectPtr conn);

/* The kinds of the table, less those of the lifecycle; NULL past the last. */
const char *callbacks_kind(size_t index);

/* The text as JSON, with '?' for each byte that is not UTF-8, as in the path of a file; NULL: null. */
json_t *events_text(const char *text);

/* events_snapshot.c */

/* All guests: an array of {name, uuid, id?, state, reason, persistent?}. One that vanishes meanwhile is left out, one
 * whose state cannot be had is "unknown". */
int snapshot_take(virConnectPtr conn, json_t **ret_guests, struct error *err);

/* {driver, hostname?, libvirt_version?} of the connection. */
json_t *snapshot_host(virConnectPtr conn);

/* events_guests.c: names and UUIDs of the guests, with a lock of its own, the last to be taken. */

struct guests;

struct guests *guests_new(void);
void guests_free(struct guests *guests);

/* All are those of a snapshot. */
void guests_replace(struct guests *guests, const json_t *snapshot);

/* What a lifecycle event says of the guest: that it is there, or gone. */
void guests_note(struct guests *guests, int event, const char *name, const char *uuid);

/* As watch_guest_alias. */
int guests_alias(struct guests *guests, const char *name_or_uuid, char *ret_other);

#endif
