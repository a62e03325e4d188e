/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One job in the dispatcher's hands, from its delivery to its acknowledgement. Plain data: the dispatcher's mutex guards
 * it as soon as it is in the dispatcher's table. */

#ifndef VIRTJOB_DISPATCHER_TASK_H
#define VIRTJOB_DISPATCHER_TASK_H

#include <stdatomic.h>

#include <uthash.h>

#include "claims.h"
#include "dispatcher.h"
#include "job_run.h"

enum task_state {
    TASK_WAITING,   /* in its lines, or for a thread */
    TASK_RUNNING,   /* on a thread, up to its answer */
    TASK_ANSWERING, /* its answer is with the link */
    TASK_ANSWERED,  /* and safe in the broker */
    TASK_HELD,      /* its answer is lost, and waits for the delivery to come back */
};

/* Noted as its place, of a job for any host, when nothing of it is left there. */
#define TASK_NOWHERE "-"

/* The journal's word on a job. */
enum task_ask { ASK_NEVER, ASK_OPEN, ASK_TOLD };

enum task_answer_kind {
    ANSWER_OUTCOME,
    ANSWER_REPEAT,  /* the outcome that the journal has */
    ANSWER_RETRY,   /* comes again, later */
    ANSWER_FORWARD, /* comes again, at the host where it was begun */
};

struct task_answer {
    enum task_answer_kind kind;
    struct outcome outcome;
    json_t *event;    /* that tells it: made once, so that all copies are the same; NULL: not yet */
    bool buried;      /* the job itself goes to the dead queue as well */
    bool sweep_later; /* it is safe, but stamps are left: the job has to come again for them */
};

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
    bool again;           /* it has been somewhere before, and may have been begun */
    bool redelivered;     /* the last time, whoever had it let it go without a word */
    bool resent;          /* by a worker, for another attempt: then who had it first has noted it as begun */
    struct error refusal; /* why it is not to be run; ERROR_NONE where it is */

    enum task_state state;
    bool queued;     /* its pool has it, or will not take it any more */
    bool has_thread; /* which ends it, or leaves it to its answer */
    bool given_up;   /* another worker goes on */
    bool was_away;   /* its delivery, since it began: another worker may have had it, and the journal tells */
    bool in_table;   /* by its id: a delivery that comes finds it */
    uint64_t answer_epoch; /* of the connection that its answer goes over */
    enum task_ask ask;
    struct dispatcher_past past;
    char placed[64]; /* `past.placed` is here */
    atomic_bool
        noted_begun; /* whoever takes it back tells the journal; also where only a redelivery would say it */
    int64_t placed_ms; /* monotonic: when it was last noted where the job runs; 0: never */
    bool cancelled;
    char *reason;        /* of the order to cancel */
    struct job_run *run; /* while it runs, and until its stamps are cleared */
    struct task_answer answer;
    int64_t received_ms; /* monotonic */
    UT_hash_handle hh;   /* by request.id */
};

/* Reads the delivery (lent) into a task without a place in any line. NULL: no memory. A job that is to be refused has a
 * `refusal`, and whatever could be made out. */
struct task *task_new(struct dispatcher *dispatcher, const struct dispatcher_settings *settings,
                      enum job_lane lane, const struct delivery *delivery);

/* Out of its lines, on no thread. NULL is allowed. */
void task_free(struct task *task);

/* One more delivery of the same job; those of older connections are forgotten. */
int task_add_tag(struct task *task, struct delivery_tag tag);

/* Whether a delivery of the connection `epoch` is among its own. */
bool task_has_epoch(const struct task *task, uint64_t epoch);

/* The host's name for events: where it runs, or was meant to run. */
const char *task_host(const struct task *task);

/* "unknown" where none could be made out. */
const char *task_type_name(const struct task *task);

#endif
