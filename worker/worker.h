/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One worker: all stages and the links between them, made in the order in which a job passes them. Plain data for
 * main.c, whose thread calls everything here. */

#ifndef VIRTJOB_WORKER_H
#define VIRTJOB_WORKER_H

#include <stdatomic.h>

#include "config.h"
#include "control.h"
#include "dispatcher.h"
#include "envelope.h"
#include "events.h"
#include "hypervisor.h"
#include "janitor.h"
#include "job_run.h"
#include "journal.h"
#include "link.h"
#include "publisher.h"
#include "topology.h"

enum which_link { LINK_QUICK = JOB_QUICK, LINK_LONG = JOB_LONG, LINK_CONTROL, LINK_PUBLISH, LINK_COUNT };

struct worker {
    struct config *config;
    struct schema_store *schemas;
    struct envelope_rules *rules;
    struct topology *topology;
    struct publisher *publisher;
    struct hypervisor **hosts; /* those that it serves, and behind them those that it only knows */
    struct watch **watches;    /* of those that it serves */
    size_t host_count;         /* that it serves */
    struct job_reach reach;
    struct dispatcher *dispatcher;
    struct control *control;
    struct journal *journal;
    struct janitor *janitor;
    const char **lane_types[DISPATCHER_LANES];
    struct link *links[LINK_COUNT];
    atomic_bool opened[LINK_COUNT];
    atomic_bool caught_up; /* with the orders to cancel */
    int wake;              /* an eventfd: a link has opened, or the worker has caught up */
};

/* Makes all stages, starts none. `config` is set. */
int worker_make(struct worker *worker, struct error *err);

/* Nothing of it runs any more. */
void worker_free(struct worker *worker);

#endif
