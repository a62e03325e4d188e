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
 * reference) must fit the schema's `#/$defs/result`. It may be set by a handler that fails, too, where some of what was
 * asked for is done for good: the outcome tells it beside the error. */
typedef int (*job_handler)(struct job *job, json_t **ret_result, struct error *err);

enum job_lane {
    JOB_QUICK, /* a second or so: looks something up or flips a state */
    JOB_LONG,  /* copies, waits */
};

enum job_resource {
    JOB_NOTHING,
    JOB_GUEST,
    JOB_NEW_GUEST,
    JOB_DOMAIN_XML,
    JOB_VOLUME,
    JOB_POOL,
    JOB_PATH,
    JOB_HOST
};

/* Clears the stamps that the job may have left on what it created, as far as they are its own (stamp.h): all that it
 * needs to know is in the parameters. Called when the outcome is safe, and again when nobody knows whether it was. What
 * is not there is success. */
typedef int (*job_sweeper)(struct job *job, struct error *err);

/* What the job must have for itself (write) or share (read) while it runs. `pointer` is a JSON pointer into the
 * parameters, where `*` stands for every element of an array: "/disks/<*>/volume"; "" is the parameters
 * themselves. A guest is a string (name or UUID), a volume an object with pool and volume, a pool and a path are strings; the
 * host as a whole is claimed whatever is there. A domain XML
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
    job_sweeper sweep; /* of a type that stamps what it creates; NULL: it creates nothing */
    /* What an earlier attempt has begun libvirt may still be at: the handler looks on, or ends it, and comes to its first safe
     * point only then. So it is with any type that has a `sweep`. */
    bool takes_over;
    bool once; /* to do it twice would do harm, and nothing tells whether it has been done: a reboot */
};

/* The type of that name in a NULL-terminated list of tables, NULL where there is none. */
const struct job_type *job_type_find(const struct job_type *const *tables, const char *name);

/* What a handler may read. The rest of a job is private to job.c. */
struct job {
    const char *id;
    const char *host; /* where it runs; never "any" */
    const struct job_type *type;
    const json_t *params;
    bool again; /* an earlier attempt may have begun: what carries the job's own stamp is to be taken over */
    virConnectPtr conn; /* for the handler's thread; not to be closed or kept */
};

/* Parameters that the schema has checked: the string at `key` of `object`, or `fallback` where it is absent. */
const char *job_string(const json_t *object, const char *key, const char *fallback);
json_int_t job_integer(const json_t *object, const char *key, json_int_t fallback);
bool job_flag(const json_t *object, const char *key, bool fallback);

/* Begins a step: names it for errors and progress ("clone", "define", "start"), and is a safe point: -1 when the job
 * has been cancelled, its deadline has passed, or it has been given up to another worker. While the worker does not know
 * whether the job is still its own (its delivery came over a connection that is gone), a safe point waits. So it
 * belongs right before each effect. `step` is copied.
 *
 * A handler whose type has stamps first takes over what an earlier attempt has left, with its undo, and only then comes
 * to its first safe point: a job that is cancelled after it was begun must undo that. */
int job_step(struct job *job, const char *step, struct error *err);

/* Names a step without a safe point: for what an earlier attempt has left, which is taken over first. */
void job_step_named(struct job *job, const char *step);

/* A safe point in the middle of a step. */
int job_safe_point(struct job *job, struct error *err);

/* Whether the job is known to be ours just now; waits for nothing. Where it is not, a handler may still note what it has
 * seen, but do nothing. */
bool job_is_ours(struct job *job);

/* How many seconds ago the job was first begun, by this worker or, as far as is known, by another. What waits for so long and no
 * longer counts from then: a job may change hands more often than that. */
int64_t job_age_s(struct job *job);

/* Waits `ms`, less when the job is to stop: then -1, as a safe point. For what libvirt tells no event of. */
int job_wait(struct job *job, int ms, struct error *err);

/* Undoes a step that has been done; `state` is what job_undo was given. The connection of `job` is fresh, where the
 * old one broke. An undo that finds nothing to undo succeeds. */
typedef int (*job_undo_function)(struct job *job, const json_t *state, struct error *err);

/* From here on, a failure of the job calls `undo`, the last one first. `what` (static) is told in the outcome's
 * `rollback` as `undo`, `state` (stolen, an object) as `target`. To be called right before or after the effect,
 * whichever leaves nothing behind. One that is registered already, with an equal state, keeps its place. */
int job_undo(struct job *job, const char *what, job_undo_function undo, json_t *state, struct error *err);

/* Something that an earlier attempt had done or begun was taken over: `adopted` is true in the outcome. */
void job_adopted(struct job *job);

/* While the handler is in a call that returns only when all is done: `stop` is called, once, on another thread (or at once
 * on this one, where that came before), when the job is to stop meanwhile (cancelled, deadline passed, given up: `given_up` says that it is only to be let alone). It
 * must not block for long. With NULL no more, and one that runs is waited for. */
typedef void (*job_stop_function)(void *opaque, bool given_up);
void job_on_stop(struct job *job, job_stop_function stop, void *opaque);

/* The same for a libvirt job of the domain (save, migrate, dump), which can be aborted: from begin to end, a stop calls
 * virDomainAbortJob over another connection, waiting no more than 30 seconds for it. -1: no memory; nothing is watched.
 * job_abort_end tells whether an abort was sent. */
struct job_abort;
struct job_abort *job_abort_begin(struct job *job, virDomainPtr dom, struct error *err);
bool job_abort_end(struct job_abort *abort);

/* The same for one that is to be aborted anyway: from here on to job_abort_end. For an undo, which nobody stops. */
struct job_abort *job_abort_now(struct job *job, virDomainPtr dom, struct error *err);

/* The same where there is nothing to abort, as for a restore: `cut` is called with the guest of this UUID, while there is one,
 * and the job's id in place of virDomainAbortJob. True: it has done something. It may still be at it when the job has ended. */
typedef bool (*job_cut_function)(virDomainPtr dom, const char *id);
struct job_abort *job_abort_begin_cut(struct job *job, const char *uuid, job_cut_function cut,
                                      struct error *err);

/* What a handler that fails knows of how that left things; the last word counts. Without any, the code of its error decides:
 * after a broken connection the job is uncertain, unless all was undone.
 *
 * Settled: it has looked, and nothing goes on or is left. A host that it could not reach, or that went away, is then told as
 * it is, and leaves no doubt. Uncertain: it has looked, and its error says what it saw, but not how the job ended: `uncertain`,
 * once there is no further attempt, and nothing is undone. */
void job_settled(struct job *job);
void job_uncertain(struct job *job);

/* The wished state held already: `changed` is false in the outcome. */
void job_unchanged(struct job *job);

/* A job that claims nothing, and so only looks, has changed something after all: `changed` is true. */
void job_changed(struct job *job);

/* The method that was taken where there was a choice, and why; both are copied. */
void job_choice(struct job *job, const char *method, const char *why);

/* The job's progress; belongs to the job. */
struct progress *job_progress(struct job *job);

/* A second connection, to look on (or abort) from another thread while `job->conn` is blocked; given back with
 * job_query_end. */
int job_query_begin(struct job *job, virConnectPtr *ret_conn, struct error *err);
void job_query_end(struct job *job, virConnectPtr conn);

/* The same without the patience that a job has with its host: for who can try again later, and must not be long. */
int job_query_try(struct job *job, virConnectPtr *ret_conn, struct error *err);

/* Other hosts that the configuration knows: their names, in its order, without the job's own; NULL past the last. */
const char *job_peer_name(struct job *job, size_t index);

/* How the libvirtd of the job's host reaches another one: `ret_uri` is that of its libvirtd, `ret_migrate_uri` where its QEMU
 * takes guests (NULL: libvirt chooses). They live as long as the job. ERROR_UNKNOWN_HOST where none has that name. */
int job_peer_uri(struct job *job, const char *host, const char **ret_uri, const char **ret_migrate_uri,
                 struct error *err);

/* A connection of our own to another host, for what is a matter of seconds; given back with job_peer_end. Any thread. */
int job_peer_begin(struct job *job, const char *host, virConnectPtr *ret_conn, struct error *err);
void job_peer_end(struct job *job, const char *host, virConnectPtr conn); /* NULL is allowed */

/* Whether a path on the host is one that jobs may use for save images: absolute, nothing in it that leads elsewhere, and in
 * (or below) one of the folders of the configuration. ERROR_DENIED or ERROR_INVALID at `where`. */
int job_check_save_path(struct job *job, const char *path, const char *where, struct error *err);

/* When all is to be done, in milliseconds since 1970; 0: whenever. */
int64_t job_deadline_ms(struct job *job);

/* A part of a job that runs beside others of it (one guest of host.evacuate): a handler with parameters of its own, and with a
 * connection, step, progress and undos of its own. All that is lent outlives the call. */
struct job_part {
    const json_t *params;
    job_handler run;
    /* Takes what its progress says (progress_sink). NULL: nobody listens. */
    void (*report)(void *opaque, json_t *report);
    void *opaque;
};

/* How it ended. As the outcome of a job: `error` ERROR_NONE where it succeeded. job_part_outcome_done frees it. */
struct job_part_outcome {
    json_t *result;   /* NULL: none, which is so only where it failed */
    json_t *rollback; /* NULL: nothing was undone */
    json_t *choice;   /* likewise */
    struct error error;
    char step[64];
    bool changed;
    bool adopted;
    bool uncertain; /* whether and how it took effect is not known */
};

/* On the calling thread, any number of them at once on threads of the handler's: runs the part, and undoes it where it
 * fails. It stops when the job is to stop, at its safe points and where a call of its can be stopped (job_on_stop). To be
 * called between two safe points of the job itself. `job` is the part's own there: what it adopts, chooses, leaves
 * unchanged or is to undo is told in `ret_outcome` alone.
 *
 * Where the job may be tried again, a part whose connection broke is not undone: ERROR_CONNECTION_LOST, with which the
 * job is to fail in turn once its other parts have ended, so that the next attempt takes over what is there.
 * ERROR_INTERRUPTED: the job is another worker's, and the part is as it was left. */
void job_part_run(struct job *job, const struct job_part *part, struct job_part_outcome *ret_outcome);
void job_part_outcome_done(struct job_part_outcome *outcome);

#endif
