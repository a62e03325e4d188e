/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The lifecycle events of every guest of one host, and of the host itself.
 *
 * One watch a host: a thread that keeps a connection for callbacks open, and opens it again with jittered backoff when
 * it breaks. Each connection is an epoch; within it, `seq` counts from 1 without a gap, so a reader sees what it
 * missed. After each (re)connection comes `host.connected` with seq 1, then one `host.snapshot` of all guests with their
 * states, then what happens; what happened while the snapshot was taken comes after it, so the last word on a guest is
 * always the newest. When the connection breaks, or the watch is stopped, `host.disconnected` ends the epoch. Callbacks
 * run on libvirt's event loop thread (hypervisor_loop_start).
 *
 * Nothing waits for room under way to the broker, least of all that thread, which serves the keepalive of every
 * connection. An event that finds none ends the epoch, as `overflow`: nothing more is told of it but its end, as soon as
 * there is room for that, and then comes a new epoch with a new snapshot. So no event is missing from the middle of an
 * epoch without a gap in `seq`. */

#ifndef VIRTJOB_EVENTS_H
#define VIRTJOB_EVENTS_H

#include <stdint.h>

#include <jansson.h>

#include "error.h"
#include "hypervisor.h"

#define WATCH_ALIAS_SIZE 256

struct watch;

struct watch_event {
    const char *host;
    const char *kind;    /* "guest.started", "host.snapshot": the CloudEvents type less "io.virtjob." */
    const char *subject; /* the guest's UUID; NULL for events of the host */
    int64_t epoch; /* microseconds since 1970 when the connection was made: grows from one to the next */
    uint64_t seq;
    json_t *data; /* {epoch, seq, guest?: {name, uuid, id?}, ...}; lent, never changed any more */
};

/* Called in the order of seq, one call at a time, from the event loop's thread or the watch's, under the watch's mutex:
 * must not block, nor call watch_start, watch_stop or watch_free. 0: taken; it may keep a reference to `data`. -1: there
 * is no room now; the next call comes with `host.disconnected` of that epoch, and then `host.connected` of another, each
 * of them again and again until it is taken. */
typedef int (*watch_sink)(void *opaque, const struct watch_event *event);

/* `hypervisor` and `opaque` must outlive watch_stop. Nothing happens before watch_start. */
struct watch *watch_new(struct hypervisor *hypervisor, watch_sink sink, void *opaque, struct error *err);
int watch_start(struct watch *watch, struct error *err);

/* Tells `host.disconnected` where connected, or where that is still untold, but does not wait for room. No more calls of
 * the sink after it returns. Waits for a call of libvirt under way, on a silent host until keepalive gives it up (20 s).
 * Not started, or stopped before: nothing. */
void watch_stop(struct watch *watch);

/* Stopped. NULL is allowed. */
void watch_free(struct watch *watch);

/* Any thread, never blocks on libvirt: the UUID of the guest with this name, or the name of the guest with this UUID,
 * as far as snapshot and events have told. 0 and a copy in ret_other (WATCH_ALIAS_SIZE bytes), or -1 where not known.
 * What is both a UUID of one guest and the name of another is the UUID. */
int watch_guest_alias(struct watch *watch, const char *name_or_uuid, char *ret_other);

/* Every kind that a watch may tell, "guest.started" and the like; NULL past the last. Static; for documents and their
 * check. */
const char *watch_kind(size_t index);

#endif
