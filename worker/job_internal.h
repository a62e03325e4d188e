/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Between the files of a job's run: job.c is what a handler calls, job_stop.c knows when it must stop or wait,
 * job_run.c runs it, undoes it and decides how it ended; job_part.c has parts of it run beside each other. */

#ifndef VIRTJOB_JOB_INTERNAL_H
#define VIRTJOB_JOB_INTERNAL_H

#include <pthread.h>

#include "job_run.h"

/* One thing done that a failure undoes. */
struct undo {
    char step[64];
    const char *what;
    job_undo_function function;
    json_t *state;
    struct undo *below;
};

struct job_run {
    struct job job; /* what the handler gets; must be first */
    /* The job's own: itself, but of a part (job_part.c) another, which outlives it. What is to stop and whose the job is
     * it alone knows, and its lock guards what each of its parts has of it: undoing, stop, next_part. */
    struct job_run *root;
    struct job_run_settings settings;
    job_handler handler;
    struct progress *progress;
    char step[64];
    struct undo *undos; /* the last one first */
    json_t *choice;
    struct error undo_error; /* of an undo that could not be done, for the host was away; ERROR_NONE */
    bool unchanged;
    bool has_changed; /* where it was not meant to */
    bool adopted;
    enum { RUN_UNSAID, RUN_SETTLED, RUN_UNCERTAIN } left; /* what the handler knows of how it left things */
    int64_t begun_ms;                                     /* monotonic */

    /* Guards what follows; nothing else is locked while it is held, but what report and a stop function lock. */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* to be stopped, or whose it is */
    enum job_hold hold;
    bool cancelled;
    bool expired; /* while it ran, and told */
    bool undoing; /* an undo is not cancelled */
    char reason[256];
    bool started_told;
    bool ended; /* from here on the outcome speaks */
    job_stop_function stop;
    void *stop_opaque;
    struct job_run *parts; /* of the root: those that run just now */
    struct job_run *next_part;
};

static inline struct job_run *job_run_of(struct job *job)
{
    return (struct job_run *)job;
}

/* job_run.c */

/* As job_run_new, without progress: to be given one before it is used. */
struct job_run *job_run_alloc(const struct job_run_settings *settings, struct error *err);

/* The handler and, where it fails, the undos; how all that ended. */
void job_run_carry_out(struct job_run *run, struct outcome *outcome);

/* job_stop.c */

/* A part is to be stopped with its job, from begin to end. */
void job_run_begin_part(struct job_run *part);
void job_run_end_part(struct job_run *part);

/* From here on it is not cancelled any more. */
void job_run_begin_undoing(struct job_run *run);

/* Waits until it is known whose the job is; false: another worker's. */
bool job_run_is_ours(struct job_run *run);

/* Passes on to settings.report, once it has said that the job has started; `data` is stolen. Nothing is said of a job
 * that is not ours just now, nor after its end. */
void job_run_tell(struct job_run *run, const char *state, json_t *data);

/* A progress_sink. */
void job_run_tell_progress(void *opaque, json_t *report);

#endif
