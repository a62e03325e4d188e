/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* From a delivery to its acknowledgement: admission, order on resources, threads, deadline, cancel, retry, outcome.
 *
 * A delivery is parsed and checked, its job enters the lines of the resources it claims (claims.h), runs on a thread of
 * its lane once it is granted them, and is acknowledged when its answer is safe in the broker. A job acts, and is
 * answered, only while the connection stands that its delivery came by. When that ends, the broker gives the job to
 * another worker, or to this one again: then the running job takes over the new tag. What comes a second time is looked
 * up in the journal first, and where its outcome is there already, that is repeated and nothing is run. */

#ifndef VIRTJOB_DISPATCHER_H
#define VIRTJOB_DISPATCHER_H

#include "envelope.h"
#include "hypervisor.h"
#include "job.h"
#include "message.h"
#include "publisher.h"

#define DISPATCHER_LANES 2 /* enum job_lane */

struct dispatcher;

/* What the journal says of a job (journal.h). */
struct dispatcher_past {
    struct delivery *outcome; /* as it was published; NULL: none */
    int begun;                /* so often a worker has begun the job when it came again */
    uint64_t begun_s;         /* when the first of them did, seconds since 1970; 0: not known */
    int returned;             /* so often one that lives has let it go after that */
    const char *placed;       /* where it runs, if it was for any host, or has left something; "": nowhere */
};

struct dispatcher_settings {
    const struct job_type *const *types;
    const struct envelope_rules *rules;
    struct hypervisor *const *hosts;
    size_t host_count;
    const struct job_reach *reach; /* of its jobs (job_run.h); NULL: nothing beside their hosts */
    struct publisher *publisher;
    const char *worker;            /* its name, for notes */
    int threads[DISPATCHER_LANES]; /* of each host */
    int progress_interval_ms;
    int max_attempts; /* of a job that does not say otherwise */
    int max_crashes;
    int crash_patience_ms; /* so long one of the workers that are counted may take to say that it lives after all */
    int note_interval_ms; /* where a job for any host runs is noted again after that time */
    int grace_ms; /* so long after its lane has come up again a job may wait for its delivery to come back */
    /* Seconds before that attempt (2 is the first retry). */
    int (*retry_delay)(void *opaque, int attempt);
    /* Settles a delivery of the lane: as link_settle with LINK_ACK, or LINK_REQUEUE. Any thread. */
    void (*settle)(void *opaque, enum job_lane lane, struct delivery_tag tag, bool requeue);
    /* As link_is_fresh of the lane's link. Any thread, must not block. NULL: always. */
    bool (*is_fresh)(void *opaque, enum job_lane lane);
    /* As journal_ask: dispatcher_told answers. Any thread, must not block. */
    int (*ask)(void *opaque, const char *job_id, uint64_t since_s);
    /* The guest's other name, as watch_guest_alias; NULL: none is known. Any thread, must not block. */
    int (*guest_alias)(void *opaque, const char *host, const char *name_or_uuid, char *ret_other);
    void *opaque;
};

/* `settings` is copied, what it points at is lent. Starts the threads. */
struct dispatcher *dispatcher_new(const struct dispatcher_settings *settings, struct error *err);

/* On the thread of the lane's link: takes the delivery. Does not block. */
void dispatcher_delivery(struct dispatcher *dispatcher, enum job_lane lane, struct delivery *delivery);

/* The lane's link has a connection. */
void dispatcher_opened(struct dispatcher *dispatcher, enum job_lane lane);

/* The lane's connection has ended: what it delivered and has not begun is forgotten, for the broker has it again; what
 * runs waits at its next safe point until its delivery comes back, and the journal knows of nobody who had it meanwhile. */
void dispatcher_closed(struct dispatcher *dispatcher, enum job_lane lane);

/* Any thread: the answer to settings.ask. `past` is lent, its `outcome` taken. */
void dispatcher_told(struct dispatcher *dispatcher, const char *job_id, struct dispatcher_past *past);

/* Any thread: an order to cancel, given at `given_ms` (since 1970). Holds for a day, for a job that has not come yet too.
 * `reason` (NULL: none) is copied. */
void dispatcher_cancel(struct dispatcher *dispatcher, const char *job_id, const char *reason,
                       int64_t given_ms);

/* Once a second, from the main thread: lets jobs say what only time tells, and ends what waits in vain. */
void dispatcher_tick(struct dispatcher *dispatcher);

/* Begins nothing more, and gives back what has not begun. Waits until what runs has ended and every outcome is safe: 0; or -1 when `timeout_ms` have
 * passed before. */
int dispatcher_drain(struct dispatcher *dispatcher, int timeout_ms);

/* Begins nothing more, lets the quick jobs end, and leaves the long ones to the next worker: those that can stop at a
 * safe point do, what libvirt is at goes on without us. 0: nothing runs here any more; -1 when after `timeout_ms`
 * something still does. */
int dispatcher_hand_over(struct dispatcher *dispatcher, int timeout_ms);

/* After a drain or hand-over that returned 0. */
void dispatcher_free(struct dispatcher *dispatcher);

#endif
