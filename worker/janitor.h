/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The janitor: a thread that now and then looks each host over for what jobs have left (orphans.h). It clears records
 * that are stale, and nothing else; what should be looked at by a person (orphans, and what is unclear) it counts, in
 * the metric virtjob_orphans, and tells in the log whenever their number changes. */

#ifndef VIRTJOB_JANITOR_H
#define VIRTJOB_JANITOR_H

#include <stddef.h>

#include "error.h"
#include "hypervisor.h"

struct janitor;

struct janitor_settings {
    struct hypervisor **hosts; /* lent, as long as the janitor lives */
    size_t host_count;
    int interval_s; /* between two looks at a host; 0: it never looks */
    int age_s;      /* what is younger is left alone, and not counted */
};

struct janitor *janitor_new(const struct janitor_settings *settings, struct error *err);

/* Looks for the first time within seconds, and then only counts: the jobs of a worker that has died come again about
 * now, and need their stamps, however old. Does nothing where it is never to look. */
int janitor_start(struct janitor *janitor, struct error *err);

/* Ends the thread; where that is in a call to a host, waits for it, no longer than `patience_ms`. -1: it still is;
 * then neither the janitor nor its hosts may be freed. After hypervisor_shutdown it no longer waits for a host that is
 * away. */
int janitor_stop(struct janitor *janitor, int patience_ms);

/* Stopped, or never started. NULL is allowed. */
void janitor_free(struct janitor *janitor);

#endif
