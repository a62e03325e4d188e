/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Between the parts of guest.migrate: guest_migrate.c is the job, _plan.c makes flags of its parameters, _check.c and _reach.c look
 * before it starts, _drive.c has libvirt do it, _steer.c looks on and steers, _storage.c makes the volumes of disks that are copied,
 * _verify.c looks at both sides in the end. */

#ifndef VIRTJOB_GUEST_MIGRATE_INTERNAL_H
#define VIRTJOB_GUEST_MIGRATE_INTERNAL_H

#include <libxml/tree.h>

#include "guest_internal.h"
#include "guest_steer.h"

enum migration_copy { MIGRATION_COPY_NONE, MIGRATION_COPY_ALL, MIGRATION_COPY_INC };

/* What is asked for, with all defaults filled in; all pointers are lent by the parameters. */
struct migration_plan {
    bool live, offline;
    bool persistent; /* there */
    bool undefine;   /* here */
    bool paused;     /* is to stand still there */
    bool auto_converge;
    bool post_copy; /* may be switched to; also where `steering` has that action */
    enum migration_copy copy;
    const json_t *disks;         /* array of targets; NULL: all that can be copied */
    unsigned int bandwidth_mibs; /* 0: no limit but libvirt's */
    unsigned int flags;          /* VIR_MIGRATE_* of all that, made by migration_plan_flags */
};

/* The guest as it is seen at one side. */
enum migration_sight {
    SIGHT_UNKNOWN, /* the host could not be asked */
    SIGHT_ABSENT,
    SIGHT_OFF,     /* defined */
    SIGHT_ON,      /* whether it runs or somebody has paused it */
    SIGHT_BETWEEN, /* stands still because of a migration that has not ended */
    SIGHT_BROKEN,  /* post-copy has failed: half of it is at the other side */
};

struct migration_side {
    enum migration_sight sight;
    int state, reason; /* virDomainState; where it is not absent or unknown */
    bool persistent;
    struct error error; /* why it is not known */
};

struct migration_sides {
    struct migration_side here, there;
    bool at_work; /* a migration of it to elsewhere, here */
};

/* Where the guest is. */
enum migration_place {
    PLACE_UNKNOWN, /* a side could not be asked */
    PLACE_THERE,   /* and not here, as was asked for */
    PLACE_HERE,    /* and nothing of it there, but maybe an older definition */
    PLACE_HALF,    /* there, but its definition is still here, which should not be */
    PLACE_AT_WORK,
    PLACE_BETWEEN, /* nothing is at work, but it is not over: it may still change */
    PLACE_REMNANT, /* it runs here, and what was to receive it is still there */
    PLACE_DEFINED, /* offline: at both, where the one there may be an older one */
    PLACE_NOWHERE, /* it runs at neither; offline: it is not even defined */
    PLACE_BOTH,    /* it runs at both */
    PLACE_BROKEN,
};

struct migration_steer;   /* guest_migrate_steer.c */
struct migration_storage; /* guest_migrate_storage.c */

/* A migration under way. */
struct migration {
    struct job *job;
    virDomainPtr dom; /* at the source, over job->conn; NULL: it is not there (any more) */
    char uuid[VIR_UUID_STRING_BUFLEN];
    char *name;                         /* here */
    char *name_there;                   /* params.name, or the same */
    const char *destination;            /* a name of the configuration */
    const char *peer_uri, *migrate_uri; /* job_peer_uri; migrate_uri NULL: libvirt chooses */
    xmlDocPtr doc;                      /* the guest as it runs, or as it is defined where it is off */
    struct migration_plan plan;
    struct steer_policy policy;
    bool taken_over;              /* an earlier attempt has begun it */
    struct migration_sides sides; /* as seen last */
    enum migration_place place;   /* where the guest is by that */
    json_t *checks;               /* array of {check, verdict, message, where?} */
    struct error refusal;         /* the first check that failed; ERROR_NONE */
    json_t *
        actions; /* array of {action, after_ms, ok, downtime_ms?, error?}: what steering has done; lives through a new beginning */
    struct steer
        steering; /* what it has come to, likewise; `policy` NULL: not yet. While m->steer is there, the watch's thread's */
    int64_t begun_ms;              /* monotonic: the first migration_steer_begin */
    struct migration_steer *steer; /* from migration_steer_begin to _end */
    struct migration_storage
        *storage; /* from migration_storage_prepare to _settle; NULL: nothing is copied */
};

/* guest_migrate_steer.c. In this order, for each call of virDomainMigrateToURI3: begin, then the call (or _wait, for one that
 * an earlier attempt has begun), then end, whatever came of it. */

/* Starts to look on (guest_watch) and to steer after m->policy, tells progress (job_progress) and has the migration aborted where the job
 * is to stop (job_abort_begin). Begins the phase of progress, "migrating" or, begun anew, "converging"; progress_finish is for who knows
 * that it ended well. The handler's thread, as all of these; what it does meanwhile, it does on the watch's, which may read
 * m but must write nothing of it but m->steer. */
int migration_steer_begin(struct migration *m, struct error *err);

/* For one taken over: until nothing is at work at the source any more. As guest_watch_wait. */
int migration_steer_wait(struct migration *m, struct error *err);

/* What steering knows of a migration that has ended. */
struct migration_steered {
    bool
        stalled; /* it was aborted as the last of the policy's actions: where the guest is here, the job fails with
                   * ERROR_STALLED, and `why` says so for a person */
    bool
        anew; /* it was aborted to be begun anew, with auto-converge: where the guest is here, that is done */
    char why[256];
    struct guest_stats stats; /* the last figures; type NONE: none were seen */
};

/* Looks on no more; appends to m->actions what was done. NULL for m->steer is allowed: then nothing is known. */
void migration_steer_end(struct migration *m, struct migration_steered *ret_steered);

/* guest_migrate_act.c: an action (the downtime for STEER_RAISE_DOWNTIME, abort also for a new beginning) on a thread of its own, over
 * a connection of its own to `uri`. NULL: no memory, or no thread. */
struct migration_act;
struct migration_act *migration_act_begin(const char *uri, const char *uuid, enum steer_action action,
                                          uint64_t downtime_ms);
/* Whether it is over; *ret_failure is ERROR_NONE where it worked. ERROR_TIMEOUT where it has not returned 30 s after its begin. `wait`:
 * until then. */
bool migration_act_is_over(struct migration_act *act, bool wait, struct error *ret_failure);
/* One that is not over is left behind. NULL is allowed. */
void migration_act_free(struct migration_act *act);

/* guest_migrate_storage.c. Volumes at the destination for the disks that are copied; where m->plan.copy is none, each does
 * nothing. The connection there is job_peer_begin's. */

/* For the checks: what of the disks in m->doc is copied, and whether it can be: the array of {check: "storage", verdict, message,
 * where?} to be appended to m->checks. `there` is the destination. -1 only where nothing could be looked at. */
int migration_storage_check(struct migration *m, virConnectPtr there, struct error *err);

/* Whether the disk is one that is copied: writable, not shared, with a source, and in m->plan.disks where that is given. Needs no
 * connection. */
bool migration_storage_copies(const struct migration *m, xmlNodePtr disk);

/* Makes them, each with a record of the job (stamp.h); what an earlier attempt has made under its own record is taken over. A safe
 * point before each. What was made before a failure is left for _settle. */
int migration_storage_prepare(struct migration *m, struct error *err);

/* When it is known where the guest is: moved, and the volumes stay, with their records done; or not, and what was made by this
 * job, also by an earlier attempt, is deleted. Not a safe point: a job that was cancelled must come through here. The
 * `sweep` of the row (migration_storage_sweep) clears the records when the outcome is safe. */
int migration_storage_settle(struct migration *m, bool moved, struct error *err);

/* A job_sweeper: has nothing but the parameters. */
int migration_storage_sweep(struct job *job, struct error *err);

/* guest_migrate_plan.c. Nothing here asks libvirt. */

/* Reads the parameters; `persistent` and `undefine_source` are as the guest is where they are not given. ERROR_INVALID at the pointer
 * of what libvirt would refuse in this combination. */
int migration_plan_read(const json_t *params, bool is_persistent, struct migration_plan *ret_plan,
                        struct error *err);

/* VIR_MIGRATE_* of it. */
unsigned int migration_plan_flags(const json_t *params, const struct migration_plan *plan);

/* All that is no flag, for virDomainMigrateToURI3; the caller frees with virTypedParamsFree. */
int migration_plan_params(const struct migration *m, virTypedParameterPtr *ret_params, int *ret_count,
                          struct error *err);

/* guest_migrate_verify.c */

/* A table, nothing else. */
enum migration_place migration_judge(const struct migration_sides *sides, bool offline, bool undefine);

/* One look at both sides, over connections of its own: m->sides and m->place. */
void migration_look(struct migration *m);

/* Looks until there is something to be said, for a minute at most; has a remnant go that libvirt leaves, and the definition
 * here that should not be. PLACE_HERE, PLACE_THERE and PLACE_AT_WORK are good; for all else see migration_tell. Not
 * stopped by a cancel. -1: the job is another worker's by now (ERROR_INTERRUPTED). */
int migration_verify(struct migration *m, struct error *err);

/* The error that says what was seen at each side; marks the job as uncertain where it is. */
int migration_tell(struct migration *m, struct error *err);

/* Waits, also in a job that was cancelled. */
void migration_pause(struct migration *m, int ms);

/* Whether the job is another worker's by now: then ERROR_INTERRUPTED. */
bool migration_is_given_up(struct migration *m, struct error *err);

/* guest_migrate_drive.c */

/* Has the guest migrated, with all that steering and a connection that breaks may make of it, and looks where it is then. With
 * PLACE_AT_WORK in m->place it follows what an earlier attempt has begun. 1: it is there. 0: it is not, but only an earlier
 * attempt's has failed, and nobody knows why. -1, with m->place as it is then. */
int migration_drive(struct migration *m, struct error *err);

/* guest_migrate_check.c */

enum migration_verdict { MIGRATION_OK, MIGRATION_UNKNOWN, MIGRATION_FAILED };

/* Notes how a check came out: into m->checks, and what failed first is m->refusal. `code` and `where` are for what failed; NULL: no
 * pointer. */
void migration_check_note(struct migration *m, const char *check, enum migration_verdict verdict,
                          enum error_code code, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* All that can be looked at before it starts, of a guest that is here (m->dom), as was just seen. Changes nothing, but has pools at the
 * destination refreshed. -1: a fault of ours, or the job is to stop. */
int migration_check(struct migration *m, struct error *err);

/* The first check that has failed as an error, with the names of the others; 0 where none has. */
int migration_check_refuse(const struct migration *m, struct error *err);

/* guest_migrate_reach.c: whether the destination reaches the disks that are not copied. `doc` is what the guest will run with
 * there. */
void migration_check_disks(struct migration *m, xmlDocPtr doc, virConnectPtr there);

#endif
