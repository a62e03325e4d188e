/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the broker must hold (the table of names in HACKING.md), declared by the links that need it. */

#ifndef VIRTJOB_TOPOLOGY_H
#define VIRTJOB_TOPOLOGY_H

#include "config.h"
#include "link.h"

/* Names under the prefix, made once; all owned by the struct, immutable. */
struct topology {
    const struct config *config;
    char *jobs;    /* direct exchange */
    char *events;  /* topic exchange */
    char *results; /* quorum queue */
    char *dead;    /* quorum queue */
    char *control; /* direct exchange, and the stream bound to it */
    char *journal; /* stream */
};

struct topology *topology_new(const struct config *config, struct error *err);
void topology_free(struct topology *topology);

/* "virtjob.jobs.node1.quick"; the caller frees. NULL: no memory. */
char *topology_queue_name(const struct topology *topology, const char *host, const char *lane);

/* "virtjob.retry.30", an exchange and a queue; the caller frees. NULL: no memory. */
char *topology_retry_name(const struct topology *topology, int delay_s);

/* The events exchange, the results queue (where enabled) and the journal, bound to every outcome, and dead. */
int topology_declare_events(const struct topology *topology, struct link *link, struct error *err);

/* The stream of the journal, bounded in age and size; its bindings are made by topology_declare_events. */
int topology_declare_journal(const struct topology *topology, struct link *link, struct error *err);

/* The control exchange and the stream bound to it (`cancel`), kept for a day. */
int topology_declare_control(const struct topology *topology, struct link *link, struct error *err);

/* The retry exchanges and queues of every configured delay: what is published to one comes back to the jobs exchange
 * with its routing key when the delay has passed. */
int topology_declare_retry(const struct topology *topology, struct link *link, struct error *err);

/* Whoever reads a stream knows by a marker of its own that all has come that was there before: a message without a body,
 * "marker/<worker>/<random>". The id, into `ret_id` (256 bytes); and its publishing, as by link_publish. */
#define TOPOLOGY_MARKER "marker/"
void topology_marker_id(const char *worker, char *ret_id);
int topology_mark(struct link *link, const char *stream, const char *marker_id, struct error *err);

/* For a lane's link: all that topology_declare_events and topology_declare_retry declare, for a lane answers its jobs
 * over its own connection; the jobs exchange, the lane's queue of every configured host (single active consumer) and of
 * "any" (competing consumers), one binding `<type>@<host>` for each of `types` (NULL-terminated), then the consumers
 * with the lane's prefetch. */
int topology_open_lane(const struct topology *topology, struct link *link, const char *lane,
                       const char *const *types, uint16_t prefetch, struct error *err);

#endif
