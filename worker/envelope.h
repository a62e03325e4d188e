/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Bytes to jobs, and outcomes, progress and events to CloudEvents 1.0 (structured JSON). */

#ifndef VIRTJOB_ENVELOPE_H
#define VIRTJOB_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "error.h"
#include "message.h"
#include "schema.h"

#define REQUEST_ID_SIZE 37

/* What was asked for: one job, parsed and checked. */
struct request {
    char id[REQUEST_ID_SIZE]; /* lower case; "" where none could be made out */
    char *type;               /* NULL where none could be made out */
    char *host;               /* as asked for: a name or "any" */
    char *placed;             /* for any host, and come again by the queue of this one; NULL */
    json_t *document;         /* the whole job; NULL where it was not JSON */
    json_t *params;           /* lent from document */
    json_t *labels;           /* lent from document; NULL where none */
    int64_t deadline_ms;      /* since 1970; 0: none */
    bool rollback;            /* on_failure, true unless "keep" */
    bool retry_uncertain;     /* do again what may have been done already */
    int max_attempts;         /* 0: as configured */
    int attempt;              /* which this is, from 1 */
    char *reply_to;           /* NULL where none, or refused */
    char *correlation_id;
    char *traceparent;
    char *tracestate;
    char *requester;      /* the broker's word for who published first, NULL where it gave none */
    uint64_t published_s; /* since 1970: the message's timestamp; 0: it has none */
    int64_t received_ms;  /* since 1970: the same, or when it came in */
};

/* What a job may look like; immutable once made, for any thread. */
struct envelope_rules;

/* `schemas` is lent. `reply_to`: a regular expression (PCRE2) that a whole reply_to must match, NULL: any; one that
 * begins with "`prefix`." is refused whatever it matches, for a requester must not write into our own queues. */
struct envelope_rules *envelope_rules_new(const struct schema_store *schemas, const char *reply_to,
                                          const char *prefix, struct error *err);
void envelope_rules_free(struct envelope_rules *rules);

/* Reads a delivery into `request`, which is filled as far as possible even on failure, so that the failure can be
 * answered: id from the document or the message_id, type and host from the document or the routing key. Errors carry
 * the pointer of the fault: not JSON or oversized "", the job's own members by schemas/job.json, then "/params/…" by
 * the schema of its type; also where message_id, routing key and document contradict each other, and a reply_to that
 * the pattern refuses. request_done in any case. */
int envelope_parse(const struct envelope_rules *rules, const struct delivery *delivery,
                   struct request *request, struct error *err);

/* The same for a document alone (`virtjob run`); `text` need not end in NUL. */
int envelope_parse_document(const struct envelope_rules *rules, const char *text, size_t length,
                            struct request *request, struct error *err);
void request_done(struct request *request);

enum outcome_state {
    OUTCOME_SUCCEEDED,
    OUTCOME_FAILED,
    OUTCOME_CANCELLED,
    OUTCOME_EXPIRED,
    OUTCOME_UNCERTAIN,
    /* These two are never told: the job goes on, later or elsewhere. */
    OUTCOME_RETRY,
    OUTCOME_GIVEN_UP,
};

/* "succeeded", …; static. */
const char *outcome_state_name(enum outcome_state state);

/* The state that a routing key tells, as "job.failed.volume.clone.<id>"; -1 where it is none of an outcome's. */
int outcome_state_of_key(const char *routing_key, enum outcome_state *ret_state);

/* How a job ended. outcome_done frees what it holds. */
struct outcome {
    enum outcome_state state;
    json_t *result; /* as the type's schema says; NULL where it did not succeed and there is none */
    bool changed;
    bool adopted;
    json_t *choice;     /* {method, why} where there was a choice; NULL */
    struct error error; /* otherwise */
    char step[64];      /* the step that failed; "" before the first */
    json_t *rollback;   /* array of {step, undo, target, ok, error?}; NULL where there was nothing to undo */
    int attempts;
    int64_t queued_ms;
    int64_t run_ms;
};
void outcome_done(struct outcome *outcome);

/* The CloudEvent of an outcome: id `<job id>/outcome`, type `io.virtjob.job.<state>`. `host` is where it ran. A new
 * reference; NULL without memory. */
json_t *envelope_outcome(const struct request *request, const struct outcome *outcome, const char *host,
                         const char *worker);

/* The CloudEvent of a job under way: `state` is started, progress, retrying, cancelling or not-cancelled; `data` is stolen; `serial` makes the
 * id `<job id>/<state>/<serial>` unique. */
json_t *envelope_job_event(const struct request *request, const char *state, uint64_t serial,
                           const char *host, json_t *data);

/* Any other event: `kind` as "guest.started"; subject NULL: none; `data` is stolen. */
json_t *envelope_event(const char *kind, const char *source, const char *subject, const char *id,
                       json_t *data);

/* Routing keys: "job.succeeded.volume.clone.<id>"; "guest.started.<uuid>", "host.snapshot", "worker.online". Written
 * to `ret_key` (256 bytes). */
void envelope_job_key(const struct request *request, const char *state, char *ret_key);
void envelope_event_key(const char *kind, const char *subject, char *ret_key);

/* The message that carries `event` (lent): content type application/cloudevents+json, persistent, message_id the
 * event's id, the request's correlation id and trace context (request NULL: none). NULL without memory. */
struct message *envelope_message(const char *exchange, const char *routing_key, const json_t *event,
                                 const struct request *request);

/* Now, in milliseconds since 1970; and as RFC 3339 in UTC with milliseconds ("2026-11-20T12:00:00.123Z", 32 bytes). */
int64_t envelope_now_ms(void);
void envelope_time_text(int64_t ms, char *ret_text);

#endif
