/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Decides what each event becomes as a message: exchange, routing key, whether it may be dropped, where it must arrive.
 * All functions may be called from any thread, as far as `publish` may. */

#ifndef VIRTJOB_PUBLISHER_H
#define VIRTJOB_PUBLISHER_H

#include "envelope.h"
#include "events.h"
#include "message.h"

struct publisher;

struct publisher_settings {
    const char *events_exchange; /* copied, as the others */
    const char *dead_queue;
    const char *worker;
    int (*publish)(void *transport, struct message *message); /* as link_publish */
    void *transport;
};

/* Told once when an outcome has its fate: true, it is safe in at least one queue (virtjob.dead where nobody else wanted
 * it), so its job may be acknowledged; false, it is not, so the job must come again. */
typedef void (*publisher_done)(void *opaque, bool safe);

struct publisher *publisher_new(const struct publisher_settings *settings, struct error *err);
void publisher_free(struct publisher *publisher);

/* To the events exchange, and to the request's reply_to where it has one. `host` is where it ran. */
void publisher_outcome(struct publisher *publisher, const struct request *request,
                       const struct outcome *outcome, const char *host, publisher_done done, void *opaque);

/* "started", "progress" (may be dropped), "retrying"; `data` is stolen. */
void publisher_job_event(struct publisher *publisher, const struct request *request, const char *state,
                         const char *host, json_t *data);

/* A guest's or host's event; a watch_sink, whose `opaque` is the publisher. */
int publisher_watch_event(void *opaque, const struct watch_event *event);

/* "online", "offline", with `data` (stolen). */
void publisher_worker_event(struct publisher *publisher, const char *what, json_t *data);

/* What cannot be answered: the delivery's body as it came, to the dead queue, with the reason. */
void publisher_dead(struct publisher *publisher, const struct delivery *delivery, const char *reason,
                    publisher_done done, void *opaque);

#endif
