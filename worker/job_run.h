/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Runs one job: the side of job.h that the dispatcher and `virtjob run` see. */

#ifndef VIRTJOB_JOB_RUN_H
#define VIRTJOB_JOB_RUN_H

#include "envelope.h"
#include "hypervisor.h"
#include "job.h"

struct job_run;

struct job_run_settings {
    const struct request *request; /* outlives the run */
    const struct job_type *type;
    struct hypervisor *hypervisor;
    int progress_interval_ms;
    int quiet_ms; /* neither started nor progress before that much time: a quick job that is quick says nothing */
    /* `state` "started" or "progress", `data` stolen; from the job's thread or a sampler's. NULL: nobody listens. */
    void (*report)(void *opaque, const char *state, json_t *data);
    void *opaque;
};

struct job_run *job_run_new(const struct job_run_settings *settings, struct error *err);
void job_run_free(struct job_run *run);

/* On the calling thread, once: connects, calls the handler, undoes on failure. Fills `outcome` (outcome_done). */
void job_run_execute(struct job_run *run, struct outcome *outcome);

/* Any thread, now and then: says that the job has started, once quiet_ms have passed. */
void job_run_tick(struct job_run *run);

/* Any thread: to stop at the next safe point, as cancelled. */
void job_run_cancel(struct job_run *run);

#endif
