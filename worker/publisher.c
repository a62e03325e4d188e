/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Events to messages, and the fate of an outcome's copies to one answer. */

#include "publisher.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "log.h"

struct publisher {
    struct publisher_settings settings;
    char *events_exchange;
    char *dead_queue;
    char *worker;
    atomic_uint_fast64_t serial; /* of job events: unique within this process */
    uint64_t born_ms;            /* and this makes it unique among all */
};

/* An outcome under way, in one or two copies, settled one after the other or at once. */
struct parcel {
    struct publisher *publisher;
    publisher_done done;
    void *opaque;
    atomic_int pending;    /* copies whose fate is open */
    atomic_bool arrived;   /* at least one is in a queue */
    atomic_bool dropped;   /* at least one is nowhere, and nobody refused it */
    atomic_bool is_buried; /* the copy under way is the one for the dead queue */
};

struct publisher *publisher_new(const struct publisher_settings *settings, struct error *err)
{
    struct publisher *publisher = calloc(1, sizeof(*publisher));

    if (publisher) {
        publisher->settings = *settings;
        publisher->events_exchange = strdup(settings->events_exchange);
        publisher->dead_queue = strdup(settings->dead_queue);
        publisher->worker = strdup(settings->worker);
        publisher->born_ms = (uint64_t)envelope_now_ms();
    }
    if (!publisher || !publisher->events_exchange || !publisher->dead_queue || !publisher->worker) {
        publisher_free(publisher);
        error_set_memory(err);
        return NULL;
    }
    return publisher;
}

void publisher_free(struct publisher *publisher)
{
    if (!publisher)
        return;
    free(publisher->events_exchange);
    free(publisher->dead_queue);
    free(publisher->worker);
    free(publisher);
}

static void publisher_send(struct publisher *publisher, struct message *message)
{
    if (message && publisher->settings.publish(publisher->settings.transport, message) < 0)
        log_debug("publisher", "a message was refused by the closing link", NULL);
}

static void parcel_end(struct parcel *parcel, bool safe)
{
    parcel->done(parcel->opaque, safe);
    free(parcel);
}

static void parcel_settled(void *opaque, const struct message *message, enum message_fate fate);

/* A copy of what came back, for the dead queue. */
static struct message *message_bury(struct publisher *publisher, const struct message *returned,
                                    const char *reason)
{
    char *body = malloc(returned->length + 1);
    struct message *message;

    if (!body)
        return NULL;
    if (returned->length > 0)
        memcpy(body, returned->body, returned->length);
    message = message_new("", publisher->dead_queue, body, returned->length);
    if (message) {
        message->content_type = returned->content_type ? strdup(returned->content_type) : NULL;
        message->message_id = returned->message_id ? strdup(returned->message_id) : NULL;
        message->correlation_id = returned->correlation_id ? strdup(returned->correlation_id) : NULL;
        message->kind = "dead";
        message->reason = strdup(reason);
        message->persistent = true;
        message->mandatory = true;
    }
    return message;
}

/* Where nobody wanted the outcome, it goes to the dead queue, which always exists. */
static void parcel_bury(struct parcel *parcel, const struct message *returned)
{
    struct message *message = message_bury(parcel->publisher, returned, "no queue wanted this outcome");

    if (!message) {
        parcel_end(parcel, false);
        return;
    }
    message->settled = parcel_settled;
    message->opaque = parcel;
    parcel->pending = 1;
    parcel->is_buried = true;
    publisher_send(parcel->publisher, message);
}

static void parcel_settled(void *opaque, const struct message *message, enum message_fate fate)
{
    struct parcel *parcel = opaque;

    if (fate == MESSAGE_CONFIRMED)
        parcel->arrived = true;
    if (fate == MESSAGE_DROPPED)
        parcel->dropped = true;
    if (fate == MESSAGE_RETURNED)
        log_warning("publisher", "no queue wanted an outcome", "exchange", message->exchange, "routing_key",
                    message->routing_key, NULL);
    if (atomic_fetch_sub(&parcel->pending, 1) > 1)
        return;
    if (parcel->arrived || parcel->dropped || parcel->is_buried)
        parcel_end(parcel, parcel->arrived && !parcel->dropped);
    else
        parcel_bury(parcel, message);
}

/* RabbitMQ delivers to a direct reply-to and returns the message all the same: there is no queue behind it. */
static bool is_direct_reply(const char *exchange, const char *key)
{
    static const char direct[] = "amq.rabbitmq.reply-to";

    return exchange[0] == '\0' && strncmp(key, direct, sizeof(direct) - 1) == 0;
}

static struct message *outcome_copy(struct parcel *parcel, const char *exchange, const char *key,
                                    const json_t *event, const struct request *request)
{
    struct message *message = envelope_message(exchange, key, event, request);

    if (!message)
        return NULL;
    message->kind = "outcome";
    message->mandatory = !is_direct_reply(exchange, key);
    message->settled = parcel_settled;
    message->opaque = parcel;
    return message;
}

static struct parcel *parcel_new(struct publisher *publisher, publisher_done done, void *opaque)
{
    struct parcel *parcel = calloc(1, sizeof(*parcel));

    if (!parcel) {
        log_error("publisher", "out of memory for an outcome: its job will come again", NULL);
        done(opaque, false);
        return NULL;
    }
    parcel->publisher = publisher;
    parcel->done = done;
    parcel->opaque = opaque;
    return parcel;
}

/* All copies are made before the first is sent: from then on the link's thread owns the parcel. */
static void parcel_send(struct parcel *parcel, struct message *first, struct message *second)
{
    struct publisher *publisher = parcel->publisher;

    parcel->pending = (first != NULL) + (second != NULL);
    if (!first) {
        message_free(second);
        log_error("publisher", "out of memory for an outcome: its job will come again", NULL);
        parcel_end(parcel, false);
        return;
    }
    publisher_send(publisher, first);
    publisher_send(publisher, second);
}

void publisher_outcome(struct publisher *publisher, const struct request *request,
                       const struct outcome *outcome, const char *host, publisher_done done, void *opaque)
{
    AUTO(json) json_t *event = envelope_outcome(request, outcome, host, publisher->worker);
    struct parcel *parcel = parcel_new(publisher, done, opaque);
    struct message *copy = NULL, *reply = NULL;
    char key[256];

    if (!parcel)
        return;
    if (event) {
        envelope_job_key(request, outcome_state_name(outcome->state), key);
        copy = outcome_copy(parcel, publisher->events_exchange, key, event, request);
        if (request->reply_to)
            reply = outcome_copy(parcel, "", request->reply_to, event, request);
    }
    if (request->reply_to && !reply) /* one copy alone would pass for the whole */
        message_free(STEAL(&copy));
    parcel_send(parcel, copy, reply);
}

void publisher_job_event(struct publisher *publisher, const struct request *request, const char *state,
                         const char *host, json_t *data)
{
    uint64_t serial = publisher->born_ms * 1000 + atomic_fetch_add(&publisher->serial, 1);
    AUTO(json) json_t *event = envelope_job_event(request, state, serial, host, data);
    struct message *message;
    char key[256];

    envelope_job_key(request, state, key);
    message = event ? envelope_message(publisher->events_exchange, key, event, request) : NULL;
    if (!message)
        return;
    message->kind = "progress";
    message->persistent = false;
    message->droppable = true;
    publisher_send(publisher, message);
}

static struct message *event_message(const struct publisher *publisher, const char *kind, const char *subject,
                                     const json_t *event)
{
    struct message *message;
    char key[256];

    envelope_event_key(kind, subject, key);
    message = event ? envelope_message(publisher->events_exchange, key, event, NULL) : NULL;
    if (message)
        message->kind = "lifecycle";
    else
        log_error("publisher", "out of memory: an event is lost", "event", kind, NULL);
    return message;
}

int publisher_watch_event(void *opaque, const struct watch_event *event)
{
    struct publisher *publisher = opaque;
    AUTO(json) json_t *cloud_event = NULL;
    struct message *message;
    char source[128], id[64];

    snprintf(source, sizeof(source), "/virtjob/hosts/%s", event->host);
    snprintf(id, sizeof(id), "%lld/%llu", (long long)event->epoch, (unsigned long long)event->seq);
    cloud_event = envelope_event(event->kind, source, event->subject, id, json_incref(event->data));
    message = event_message(publisher, event->kind, event->subject, cloud_event);
    if (!message || publisher->settings.publish(publisher->settings.transport, message) != 1)
        return 0;
    message_free(message);
    return -1;
}

void publisher_worker_event(struct publisher *publisher, const char *what, json_t *data)
{
    AUTO(json) json_t *event = NULL;
    char source[192], id[96], kind[64];

    snprintf(kind, sizeof(kind), "worker.%s", what);
    snprintf(source, sizeof(source), "/virtjob/workers/%s", publisher->worker);
    snprintf(id, sizeof(id), "%llu/%s", (unsigned long long)publisher->born_ms, what);
    event = envelope_event(kind, source, NULL, id, data);
    publisher_send(publisher, event_message(publisher, kind, NULL, event));
}

void publisher_dead(struct publisher *publisher, const struct delivery *delivery, const char *reason,
                    publisher_done done, void *opaque)
{
    struct parcel *parcel = parcel_new(publisher, done, opaque);
    const struct message came = {
        .body = delivery->body,
        .length = delivery->body ? delivery->length : 0,
        .content_type = delivery->content_type,
        .message_id = delivery->message_id,
        .correlation_id = delivery->correlation_id,
    };
    struct message *message;

    if (!parcel)
        return;
    message = message_bury(publisher, &came, reason);
    if (message) {
        message->settled = parcel_settled;
        message->opaque = parcel;
    }
    parcel->is_buried = true;
    parcel_send(parcel, message, NULL);
}
