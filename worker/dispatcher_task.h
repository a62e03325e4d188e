/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One job in the dispatcher's hands, from its delivery to its acknowledgement. Plain data: the dispatcher's mutex guards
 * it as soon as it is in the dispatcher's table. */

#ifndef VIRTJOB_DISPATCHER_TASK_H
#define VIRTJOB_DISPATCHER_TASK_H

#include <uthash.h>

#include "claims.h"
#include "dispatcher.h"
#include "job_run.h"

struct task {
    struct dispatcher *dispatcher;
    enum job_lane lane;
    struct request request;
    const struct job_type *type;  /* NULL where the job was refused before that was known */
    size_t host_index;            /* of `host` among those of the dispatcher */
    struct hypervisor *host;      /* likewise */
    struct claims_ticket *ticket; /* likewise */
    struct delivery_tag *tags;    /* all deliveries of this job that are still to be acknowledged */
    size_t tag_count;
    bool is_refused;     /* never was in the table; nor in any line */
    int holders;         /* 0 while it waits: the table alone has it */
    struct job_run *run; /* while it runs */
    UT_hash_handle hh;   /* by request.id */
};

/* Reads the delivery (lent) into a task without a place in any line. NULL: no memory. When the job is refused, `err`
 * says why and the task has whatever could be made out. */
struct task *task_new(struct dispatcher *dispatcher, const struct dispatcher_settings *settings,
                      enum job_lane lane, const struct delivery *delivery, struct error *err);

/* Out of its lines, not running. NULL is allowed. */
void task_free(struct task *task);

/* One more delivery of the same job; those of older connections are forgotten. */
int task_add_tag(struct task *task, struct delivery_tag tag);

/* Whether a delivery of the connection `epoch` is among its own. */
bool task_has_epoch(const struct task *task, uint64_t epoch);

/* The host's name for events: where it runs, or was meant to run. */
const char *task_host(const struct task *task);

#endif
