/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Runs one job: the side of job.h that the dispatcher and `virtjob run` see. */

#ifndef VIRTJOB_JOB_RUN_H
#define VIRTJOB_JOB_RUN_H

#include "envelope.h"
#include "hypervisor.h"
#include "job.h"

struct job_run;

/* What jobs may reach beside their own host; outlives the run. */
struct job_reach {
    struct hypervisor *const *hosts; /* all that the configuration knows, the job's own among them */
    size_t host_count;
    const char *save_folders; /* as in config.h; NULL: none */
};

struct job_run_settings {
    const struct request *request; /* outlives the run */
    const struct job_type *type;
    struct hypervisor *hypervisor;
    const struct job_reach *reach; /* NULL: nothing */
    int progress_interval_ms;
    int quiet_ms; /* neither started nor progress before that much time: a quick job that is quick says nothing */
    bool again;       /* it may have been begun before */
    bool interrupted; /* and whoever had begun it did not end it in good order, or left something */
    uint64_t begun_s; /* when that was, as far as is known, seconds since 1970; 0: it is not */
    int attempt;      /* which this is, from 1 */
    int max_attempts; /* a transient failure of an earlier one than the last ends as OUTCOME_RETRY */
    /* `state` "started", "progress" or "cancelling", `data` stolen; from the job's thread or a sampler's. NULL: nobody
     * listens. */
    void (*report)(void *opaque, const char *state, json_t *data);
    /* Whether the connection that the job came by has been heard from just now; never blocks. NULL: always. */
    bool (*is_fresh)(void *opaque);
    void *opaque;
};

struct job_run *job_run_new(const struct job_run_settings *settings, struct error *err);
void job_run_free(struct job_run *run);

/* On the calling thread, once: connects, calls the handler, undoes on failure. Fills `outcome` (outcome_done). */
void job_run_execute(struct job_run *run, struct outcome *outcome);

/* Any thread, now and then: says that the job has started, once quiet_ms have passed; stops it at its deadline. */
void job_run_tick(struct job_run *run);

/* Any thread: to stop at the next safe point, as cancelled. `reason` (copied; NULL: none) is told. */
void job_run_cancel(struct job_run *run, const char *reason);

/* Whose the job is. It starts as ours. While it is JOB_LOST, because its delivery came by a connection that is gone,
 * safe points wait and nothing is said; the delivery may come back to us (JOB_OURS). JOB_GIVEN_UP is for good: another
 * worker goes on, so the job ends at its next safe point, undoing nothing, as OUTCOME_GIVEN_UP. */
enum job_hold { JOB_OURS, JOB_LOST, JOB_GIVEN_UP };
void job_run_hold(struct job_run *run, enum job_hold hold);

/* On the calling thread, after execute or in place of it: clears the stamps of the job (struct job_type, sweep). -1: some
 * may be left, for the janitor. */
int job_run_sweep(struct job_run *run, struct error *err);

#endif
