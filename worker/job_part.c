/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Parts of a job, beside each other: each is a run of its own, which asks that of the job when it must stop and whose it
 * is. */

#include "job_internal.h"

#include <stdio.h>

static void part_say_nothing(void *opaque, json_t *report)
{
    (void)opaque;
    json_decref(report);
}

/* How often it speaks is for the job to say, which gathers from all its parts. */
static struct progress *part_progress(const struct job_part *part, int64_t deadline_ms, struct error *err)
{
    struct progress *progress =
        progress_new(0, 0, part->report ? part->report : part_say_nothing, part->opaque, err);

    if (progress)
        progress_set_deadline(progress, deadline_ms);
    return progress;
}

static struct job_run *part_new(struct job *job, const struct job_part *part, struct error *err)
{
    struct job_run *root = job_run_of(job)->root;
    struct job_run_settings settings = root->settings;
    struct job_run *run;

    settings.report = NULL;
    run = job_run_alloc(&settings, err);
    if (!run)
        return NULL;
    run->root = root;
    run->job.params = part->params;
    run->handler = part->run;
    run->progress = part_progress(part, settings.request->deadline_ms, err);
    if (run->progress)
        return run;
    job_run_free(run);
    return NULL;
}

/* A part that was given up in the middle of what fails it, or of its undos, has not ended. */
static void part_take(struct outcome *outcome, struct job_part_outcome *ret_outcome)
{
    if (outcome->state == OUTCOME_GIVEN_UP)
        error_set(&outcome->error, ERROR_INTERRUPTED, "another worker goes on with the job");
    ret_outcome->result = STEAL(&outcome->result);
    ret_outcome->rollback = STEAL(&outcome->rollback);
    ret_outcome->choice = STEAL(&outcome->choice);
    ret_outcome->error = outcome->error;
    ret_outcome->changed = outcome->changed;
    ret_outcome->adopted = outcome->adopted;
    ret_outcome->uncertain = outcome->state == OUTCOME_UNCERTAIN;
    snprintf(ret_outcome->step, sizeof(ret_outcome->step), "%s", outcome->step);
}

void job_part_run(struct job *job, const struct job_part *part, struct job_part_outcome *ret_outcome)
{
    struct outcome outcome = { 0 };
    struct job_run *run;

    *ret_outcome = (struct job_part_outcome){ 0 };
    run = part_new(job, part, &ret_outcome->error);
    if (!run)
        return;
    job_run_begin_part(run);
    job_run_carry_out(run, &outcome);
    job_run_end_part(run);
    part_take(&outcome, ret_outcome);
    outcome_done(&outcome);
    job_run_free(run);
}

void job_part_outcome_done(struct job_part_outcome *outcome)
{
    json_decref(outcome->result);
    json_decref(outcome->rollback);
    json_decref(outcome->choice);
    *outcome = (struct job_part_outcome){ 0 };
}
