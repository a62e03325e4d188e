/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The lifecycle events of every guest of one host, and of the host itself.
 *
 * One watch a host: a thread that keeps a connection for callbacks open, and opens it again with jittered backoff when
 * it breaks. Each connection is an epoch; within it, `seq` counts from 1 without a gap, so a reader sees what it
 * missed. After each (re)connection comes `host.connected`, then one `host.snapshot` of all guests with their states;
 * when it breaks, `host.disconnected`. Callbacks run on libvirt's event loop thread (hypervisor_loop_start). */

#ifndef VIRTJOB_EVENTS_H
#define VIRTJOB_EVENTS_H

#include <stdint.h>

#include <jansson.h>

#include "error.h"
#include "hypervisor.h"

struct watch;

struct watch_event {
    const char *host;
    const char *kind;    /* "guest.started", "host.snapshot": the CloudEvents type less "io.virtjob." */
    const char *subject; /* the guest's UUID; NULL for events of the host */
    int64_t epoch; /* microseconds since 1970 when the connection was made: grows from one to the next */
    uint64_t seq;
    json_t *data; /* {epoch, seq, guest?: {name, uuid, id?}, ...}; lent */
};

/* Called in the order of seq, from the event loop's thread or the watch's; must not block for long. */
typedef void (*watch_sink)(void *opaque, const struct watch_event *event);

struct watch *watch_new(struct hypervisor *hypervisor, watch_sink sink, void *opaque, struct error *err);
int watch_start(struct watch *watch, struct error *err);
void watch_stop(struct watch *watch);
void watch_free(struct watch *watch);

/* Any thread, never blocks on libvirt: the UUID of the guest with this name, or the name of the guest with this UUID,
 * as far as snapshot and events have told. 0 and a copy in ret_other (256 bytes), or -1 where not known. */
int watch_guest_alias(struct watch *watch, const char *name_or_uuid, char *ret_other);

#endif
