/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* From a delivery to its acknowledgement: admission, order on resources, threads, deadline, outcome.
 *
 * A delivery is parsed and checked, its job enters the lines of the resources it claims (claims.h), runs on a thread of
 * its lane once it is granted them, and is acknowledged when its outcome is safe in the broker. A job is known by its
 * id until then: when its delivery comes again, over a new connection, the running job takes over the new tag. */

#ifndef VIRTJOB_DISPATCHER_H
#define VIRTJOB_DISPATCHER_H

#include "envelope.h"
#include "hypervisor.h"
#include "job.h"
#include "message.h"
#include "publisher.h"

#define DISPATCHER_LANES 2 /* enum job_lane */

struct dispatcher;

struct dispatcher_settings {
    const struct job_type *const *types;
    const struct envelope_rules *rules;
    struct hypervisor *const *hosts;
    size_t host_count;
    struct publisher *publisher;
    int threads[DISPATCHER_LANES]; /* of each host */
    int progress_interval_ms;
    /* Acknowledges a delivery of the lane: as link_settle with LINK_ACK. Any thread. */
    void (*acknowledge)(void *opaque, enum job_lane lane, struct delivery_tag tag);
    /* The guest's other name, as watch_guest_alias; NULL: none is known. Any thread, must not block. */
    int (*guest_alias)(void *opaque, const char *host, const char *name_or_uuid, char *ret_other);
    void *opaque;
};

/* `settings` is copied, what it points at is lent. Starts the threads. */
struct dispatcher *dispatcher_new(const struct dispatcher_settings *settings, struct error *err);

/* On the thread of the lane's link: takes the delivery. Does not block. */
void dispatcher_delivery(struct dispatcher *dispatcher, enum job_lane lane, struct delivery *delivery);

/* The lane's connection has ended: what it delivered and has not begun is forgotten, for the broker has it again. */
void dispatcher_closed(struct dispatcher *dispatcher, enum job_lane lane);

/* Once a second, from the main thread: lets jobs say what only time tells. */
void dispatcher_tick(struct dispatcher *dispatcher);

/* Begins nothing more. Waits until what runs has ended and every outcome is safe: 0; or -1 when `timeout_ms` have
 * passed before. */
int dispatcher_drain(struct dispatcher *dispatcher, int timeout_ms);

/* After a successful drain. */
void dispatcher_free(struct dispatcher *dispatcher);

#endif
