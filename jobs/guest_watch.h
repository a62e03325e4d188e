/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Looks on while libvirt is at work on a guest: saves, restores or migrates it. What libvirt calls a job of the domain is
 * called its work here, for a job is ours.
 *
 * A thread of its own asks for the statistics (virDomainGetJobStats) over a query connection, now and then and whenever
 * libvirt says that a pass over the memory has ended (VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION). The final figures come
 * with an event as well (VIR_DOMAIN_EVENT_ID_JOB_COMPLETED), for a guest that is gone with its work has nobody to ask. */

#ifndef VIRTJOB_GUEST_WATCH_H
#define VIRTJOB_GUEST_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <libvirt/libvirt.h>

#include "error.h"
#include "job.h"

/* As libvirt tells them; bytes, milliseconds, bytes a second. 0 where it does not say. */
struct guest_stats {
    int type;      /* VIR_DOMAIN_JOB_*; NONE: nothing is at work */
    int operation; /* VIR_DOMAIN_JOB_OPERATION_* */
    uint64_t elapsed_ms;
    uint64_t memory_total, memory_done, memory_left, memory_rate;
    uint64_t disk_total, disk_done, disk_left, disk_rate;
    uint64_t dirty_rate;  /* how fast the guest writes to its memory */
    uint64_t iteration;   /* the pass over the memory, from 1 */
    uint64_t downtime_ms; /* expected while it is at work, in the end what it was; for a save, none */
    uint64_t setup_ms;
    int throttle;  /* percent that auto-converge takes of the CPUs */
    bool postcopy; /* the guest runs at the destination already */
};

/* Of what is at work now, or (`completed`) of the last that ended, which stays readable. Type NONE where there is none, or no
 * such guest any more, and where the driver has no statistics. */
int guest_stats_read(virDomainPtr dom, bool completed, struct guest_stats *ret_stats, struct error *err);

/* From what an event carries. */
void guest_stats_take(virTypedParameterPtr params, int count, struct guest_stats *ret_stats);

/* As common.json#/$defs/transfer: {bytes, time_ms, downtime_ms?, iterations?, memory_bytes?, disk_bytes?}. NULL: no memory. */
json_t *guest_stats_describe(const struct guest_stats *stats);

struct guest_watch_settings {
    /* VIR_DOMAIN_JOB_OPERATION_*: other work is not told. */
    int operation;
    int period_ms;
    /* On the watch's thread: what was just seen, of work that goes on. `boundary`: a pass over the memory has just ended, so what
     * is left of it is exact. `dom` is over the query connection, and good for calls that do not wait for the work (abort,
     * suspend, the migration's settings). */
    void (*seen)(void *opaque, virDomainPtr dom, const struct guest_stats *stats, bool boundary);
    void *opaque;
};

/* From before the call that begins the work, or at any time later, to guest_watch_end. Where the host is away the watch waits
 * for it. */
struct guest_watch;
int guest_watch_begin(struct job *job, virDomainPtr dom, const struct guest_watch_settings *settings,
                      struct guest_watch **ret_watch, struct error *err);

/* For work that an earlier attempt has begun: on the job's thread, waits until nothing is at work any more (of this
 * operation). A safe point all the while: -1 when the job is to stop; to have the work aborted then is the caller's matter
 * (job_abort_begin before, job_abort_end after), so it returns once the work has ended, or after 30 seconds; at once when the job
 * was given up. ERROR_CONNECTION_LOST where the host went away. */
int guest_watch_wait(struct guest_watch *watch, struct error *err);

/* Looks no more, and calls `seen` no more. *ret_stats: the final figures where they came, else those seen last; type NONE where
 * none were seen. NULL is allowed for both. */
void guest_watch_end(struct guest_watch *watch, struct guest_stats *ret_stats);

#endif
