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
};

struct topology *topology_new(const struct config *config, struct error *err);
void topology_free(struct topology *topology);

/* "virtjob.jobs.node1.quick"; the caller frees. NULL: no memory. */
char *topology_queue_name(const struct topology *topology, const char *host, const char *lane);

/* For the publishing link: the events exchange, the results queue (where enabled) bound to every outcome, and dead. */
int topology_declare_events(const struct topology *topology, struct link *link, struct error *err);

/* For a lane's link: the jobs exchange, the lane's queue of every configured host (single active consumer) and of
 * "any" (competing consumers), one binding `<type>@<host>` for each of `types` (NULL-terminated), then the consumers
 * with the lane's prefetch. */
int topology_open_lane(const struct topology *topology, struct link *link, const char *lane,
                       const char *const *types, uint16_t prefetch, struct error *err);

#endif
