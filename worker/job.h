/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* All that a handler sees: the job, how to report, how to make its steps undoable, when to stop.
 *
 * A handler is one function on a thread of its own. It asks libvirt through `job->conn`, returns 0 with a result or -1
 * with an error, and does nothing else: it never logs a failure, replies, acknowledges or exits. A job type is one row
 * (struct job_type) in its area's table, that function, and schemas/<type>.json; help, bindings, completion, metrics
 * and the AsyncAPI document derive from these. */

#ifndef VIRTJOB_JOB_H
#define VIRTJOB_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <libvirt/libvirt.h>

#include "cleanup.h"
#include "error.h"
#include "progress.h"

struct job;

/* The parameters have passed the type's schema, so required members are there and of their type. `ret_result` (a new
 * reference) must fit the schema's `#/$defs/result`. */
typedef int (*job_handler)(struct job *job, json_t **ret_result, struct error *err);

enum job_lane {
    JOB_QUICK, /* a second or so: looks something up or flips a state */
    JOB_LONG,  /* copies, waits */
};

enum job_resource { JOB_NOTHING, JOB_GUEST, JOB_NEW_GUEST, JOB_DOMAIN_XML, JOB_VOLUME, JOB_POOL };

/* What the job must have for itself (write) or share (read) while it runs. `pointer` is a JSON pointer into the
 * parameters, where `*` stands for every element of an array: "/disks/<*>/volume"; "" is the parameters
 * themselves. A guest is a string (name or UUID), a volume an object with pool and volume, a pool a string. A domain XML
 * claims the guest that it names and its UUID; a new guest is one whose UUID may be the job's id. What is absent claims
 * nothing. A row that only looks claims nothing, so that looking never waits. */
struct job_claim {
    enum job_resource resource;
    bool write;
    const char *pointer;
};

#define JOB_CLAIMS_MAX 6

struct job_type {
    const char *name; /* "volume.clone"; NULL ends a table */
    enum job_lane lane;
    job_handler run;
    struct job_claim claims[JOB_CLAIMS_MAX]; /* up to the first JOB_NOTHING */
};

/* The type of that name in a NULL-terminated list of tables, NULL where there is none. */
const struct job_type *job_type_find(const struct job_type *const *tables, const char *name);

/* What a handler may read. The rest of a job is private to job.c. */
struct job {
    const char *id;
    const char *host; /* where it runs; never "any" */
    const struct job_type *type;
    const json_t *params;
    virConnectPtr conn; /* for the handler's thread; not to be closed or kept */
};

/* Parameters that the schema has checked: the string at `key` of `object`, or `fallback` where it is absent. */
const char *job_string(const json_t *object, const char *key, const char *fallback);
json_int_t job_integer(const json_t *object, const char *key, json_int_t fallback);
bool job_flag(const json_t *object, const char *key, bool fallback);

/* Begins a step: names it for errors and progress ("clone", "define", "start"), and is a safe point: -1 when the job
 * has been cancelled or its deadline has passed. `step` is copied. */
int job_step(struct job *job, const char *step, struct error *err);

/* A safe point in the middle of a step. */
int job_safe_point(struct job *job, struct error *err);

/* Waits `ms`, less when the job is to stop: then -1, as a safe point. For what libvirt tells no event of. */
int job_wait(struct job *job, int ms, struct error *err);

/* Undoes a step that has been done; `state` is what job_undo was given. The connection of `job` is fresh, where the
 * old one broke. An undo that finds nothing to undo succeeds. */
typedef int (*job_undo_function)(struct job *job, const json_t *state, struct error *err);

/* From here on, a failure of the job calls `undo`, the last one first. `what` (static) is told in the outcome's
 * `rollback` as `undo`, `state` (stolen, an object) as `target`. To be called right before or after the effect,
 * whichever leaves nothing behind. */
int job_undo(struct job *job, const char *what, job_undo_function undo, json_t *state, struct error *err);

/* The wished state held already: `changed` is false in the outcome. */
void job_unchanged(struct job *job);

/* The method that was taken where there was a choice, and why; both are copied. */
void job_choice(struct job *job, const char *method, const char *why);

/* The job's progress; belongs to the job. */
struct progress *job_progress(struct job *job);

/* A second connection, to look on (or abort) from another thread while `job->conn` is blocked; given back with
 * job_query_end. */
int job_query_begin(struct job *job, virConnectPtr *ret_conn, struct error *err);
void job_query_end(struct job *job, virConnectPtr conn);

#endif
