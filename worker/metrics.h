/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Counters, gauges and histograms, declared in one table in metrics.c, shown in the Prometheus text format 0.0.4.
 *
 * All functions may be called from any thread. */

#ifndef VIRTJOB_METRICS_H
#define VIRTJOB_METRICS_H

#include <stdint.h>

#include "error.h"

enum metric {
    METRIC_JOBS_STARTED, /* counter {type} */
    METRIC_JOBS_ENDED,   /* counter {type, state} */
    METRIC_JOBS_RUNNING, /* gauge {lane} */
    METRIC_JOBS_WAITING, /* gauge {lane}: admitted, held back by another job on the same resource or a full pool */
    METRIC_JOB_SECONDS,      /* histogram {type}: from start to outcome */
    METRIC_DELIVERIES,       /* counter {lane} */
    METRIC_JOBS_ADOPTED,     /* counter {type}: something that an earlier attempt had begun was taken over */
    METRIC_RETRIES,          /* counter {type} */
    METRIC_JOBS_GIVEN_UP,    /* counter {lane}: left to another worker */
    METRIC_REDELIVERIES,     /* counter {lane}: met a job that runs here or has just ended */
    METRIC_PUBLISHED,        /* counter {kind}: outcome, progress, lifecycle, ... */
    METRIC_CONFIRMED,        /* counter */
    METRIC_RETURNED,         /* counter: mandatory, but no queue wanted it */
    METRIC_DROPPED,          /* counter {kind}: progress let go under pressure */
    METRIC_PENDING,          /* gauge: messages not yet confirmed */
    METRIC_LINK_UP,          /* gauge {link}: 0 or 1 */
    METRIC_RECONNECTS,       /* counter {link} */
    METRIC_HOST_UP,          /* gauge {host}: 0 or 1 */
    METRIC_LIFECYCLE_EVENTS, /* counter {host, event} */
    METRIC_ORPHANS,          /* gauge {host}: what jobs have left that a person should look at */
    METRIC_LAST
};

/* Adds `by` to the counter or gauge, or observes `by` in the histogram. The label values follow in the order of the
 * table, NULL for those the metric does not have. Values are copied; series are bounded (4096), the rest is counted
 * under "other". */
void metrics_add(enum metric metric, double by, const char *label1, const char *label2);

/* Sets a gauge. */
void metrics_set(enum metric metric, double value, const char *label1, const char *label2);

/* The value of a counter or gauge, 0 where never touched; for tests. */
double metrics_get(enum metric metric, const char *label1, const char *label2);

/* Forgets all series; for tests. */
void metrics_reset(void);

/* Everything, process figures (resident memory, start time) included, in the text format; the caller frees. */
char *metrics_render(void);

/* Serves GET /metrics, GET /healthz (200 while `healthy` says so, 503 otherwise; NULL is always) on `address`
 * ("127.0.0.1:9177", "[::1]:9177", ":9177" for all; an address, not a name) with a thread of libmicrohttpd, on which
 * `healthy` is called. At most 32 connections, of ten seconds' patience each. One server a process. */
int metrics_serve(const char *address, int (*healthy)(void *opaque), void *opaque, struct error *err);

/* The port that is served, where the address said 0; -1 without a server. */
int metrics_port(void);

/* Does nothing without a server. */
void metrics_stop(void);

#endif
