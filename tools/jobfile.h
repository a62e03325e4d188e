/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Jobs from a file or standard input: one JSON object, an array of them, or several one after another (JSON Lines). */

#ifndef VIRTJOB_JOBFILE_H
#define VIRTJOB_JOBFILE_H

#include <stdbool.h>

#include <jansson.h>

#include "envelope.h"
#include "error.h"

/* More is refused before it is parsed. */
#define JOBFILE_BYTES_MAX (256L << 20)

/* What the command line changes in every job; NULL: nothing. */
struct jobfile_changes {
    const char *id;
    const char *host;
    const char *host_fallback; /* where the job has none */
    const char *deadline;      /* RFC 3339, or a duration from now */
    bool fresh_id;             /* a new id even where the job has one */
};

/* Reads all jobs of `path` ("-": standard input) into an array (a new reference) of at least one. Fails with
 * ERROR_NOT_FOUND, ERROR_DENIED or ERROR_INVALID, which names line and column. */
int jobfile_read(const char *path, json_t **ret_jobs, struct error *err);

/* A job's id as the worker writes it, in lower case; ERROR_INVALID where it is none. */
int jobfile_parse_id(const char *text, char ret_id[static REQUEST_ID_SIZE], struct error *err);

/* A new one. */
void jobfile_make_id(char ret_id[static REQUEST_ID_SIZE]);

/* Fails with ERROR_INVALID where two of the (changed) jobs have one id. */
int jobfile_check_ids(const json_t *jobs, struct error *err);

/* Applies the changes to one job, and gives it an id where it has none. */
int jobfile_change(json_t *job, const struct jobfile_changes *changes, struct error *err);

/* The job as it goes over the wire; the caller frees. */
char *jobfile_text(const json_t *job, struct error *err);

/* Checks the job against its schemas; `request` is filled (request_done in any case). */
int jobfile_check(const struct envelope_rules *rules, const json_t *job, struct request *request,
                  struct error *err);

#endif
