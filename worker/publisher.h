/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Decides what each event becomes as a message: exchange, routing key, connection, whether it may be dropped, where it
 * must arrive. All functions may be called from any thread, as far as the functions of the transport may.
 *
 * What answers a delivery goes the way that the delivery came, over that very connection: when the broker has given the
 * delivery to another worker, that connection is closed, and an answer of ours cannot arrive beside the other's. */

#ifndef VIRTJOB_PUBLISHER_H
#define VIRTJOB_PUBLISHER_H

#include "envelope.h"
#include "events.h"
#include "message.h"

struct publisher;

struct publisher_settings {
    const char *events_exchange; /* copied, as the others */
    const char *jobs_exchange;
    const char *dead_queue;
    const char *journal;      /* the stream */
    const char *retry_prefix; /* "virtjob.retry" */
    const char *worker;
    int (*publish)(void *transport, struct message *message); /* as link_publish */
    int (*offer)(void *transport, struct message *message);   /* as link_offer */
    int (*answer)(void *transport, int lane,
                  struct message *message); /* as link_publish, over the lane's link */
    void *transport;
};

/* The connection by which a delivery came. */
struct publisher_way {
    int lane;
    uint64_t epoch;
};

/* What has become of an answer. */
enum publisher_fate {
    PUBLISHER_SAFE, /* it is in at least one queue (virtjob.dead where nobody else wanted it): the job may be acknowledged */
    PUBLISHER_LOST, /* the connection ended before all of it was confirmed: it may have arrived or not */
};

/* Told once, on the thread of the link or, where nothing could be sent, on the caller's. */
typedef void (*publisher_done)(void *opaque, enum publisher_fate fate);

struct publisher *publisher_new(const struct publisher_settings *settings, struct error *err);
void publisher_free(struct publisher *publisher);

/* An outcome, as `event` (envelope_outcome; lent; NULL: there was no memory for it), to the events exchange, and to the
 * request's reply_to where it has one. With `buried`, the job itself goes to the dead queue too, with that reason. */
void publisher_outcome(struct publisher *publisher, const struct publisher_way *way,
                       const struct request *request, const json_t *event, enum outcome_state state,
                       const char *buried, publisher_done done, void *opaque);

/* An outcome that was published before, byte for byte, to where it would go. */
void publisher_repeat(struct publisher *publisher, const struct publisher_way *way,
                      const struct request *request, const struct delivery *outcome, publisher_done done,
                      void *opaque);

/* The job itself, as attempt number `attempt`: to come back for `host` ("any" too) after `delay_s`, at once where 0. */
void publisher_retry(struct publisher *publisher, const struct publisher_way *way,
                     const struct request *request, int attempt, int delay_s, const char *host,
                     publisher_done done, void *opaque);

/* A note for the journal (journal.h). `way` NULL: over whatever connection there is, now or later, or not at all where too
 * much waits already. `done` may be NULL. */
void publisher_note(struct publisher *publisher, const struct publisher_way *way, const char *job_id,
                    const char *what, const char *word, publisher_done done, void *opaque);

/* "started", "progress", "cancelling" (may be dropped), "retrying", "not-cancelled"; `data` is stolen. `way` NULL as
 * above. */
void publisher_job_event(struct publisher *publisher, const struct publisher_way *way,
                         const struct request *request, const char *state, const char *host, json_t *data);

/* A guest's or host's event; a watch_sink, whose `opaque` is the publisher. */
int publisher_watch_event(void *opaque, const struct watch_event *event);

/* "online", "offline", with `data` (stolen). */
void publisher_worker_event(struct publisher *publisher, const char *what, json_t *data);

/* What cannot be answered: the delivery's body as it came, to the dead queue, with the reason. */
void publisher_dead(struct publisher *publisher, const struct publisher_way *way,
                    const struct delivery *delivery, const char *reason, publisher_done done, void *opaque);

#endif
