/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What answers a delivery: outcomes, retries, dead letters; and the fate of their copies to one word. */

#include "publisher_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "log.h"

/* An outcome in two copies, and the job itself for the dead queue. */
#define COPIES_MAX 3

/* An answer under way: copies that are settled one after the other, or at once where the link has ended. */
struct parcel {
    struct publisher *publisher;
    struct publisher_way way;
    bool is_bound; /* to the connection that `way` names */
    publisher_done done;
    void *opaque;
    struct message *copies[COPIES_MAX]; /* until they are sent */
    int count;
    bool is_short;       /* of memory: a copy could not be made */
    atomic_int pending;  /* copies whose fate is open */
    atomic_bool arrived; /* at least one is in a queue */
    atomic_bool lost;    /* at least one is perhaps nowhere */
    bool is_buried;      /* the copy under way is the one for the dead queue */
};

static void parcel_end(struct parcel *parcel, enum publisher_fate fate)
{
    if (parcel->done)
        parcel->done(parcel->opaque, fate);
    free(parcel);
}

static struct parcel *parcel_new(struct publisher *publisher, const struct publisher_way *way,
                                 publisher_done done, void *opaque)
{
    struct parcel *parcel = calloc(1, sizeof(*parcel));

    if (!parcel) {
        log_error("publisher", "out of memory for an answer: its job will come again", NULL);
        if (done)
            done(opaque, PUBLISHER_LOST);
        return NULL;
    }
    parcel->publisher = publisher;
    parcel->is_bound = way != NULL;
    if (way)
        parcel->way = *way;
    parcel->done = done;
    parcel->opaque = opaque;
    return parcel;
}

static void parcel_settled(void *opaque, const struct message *message, enum message_fate fate);

/* `message` is taken; NULL: it could not be made. */
static void parcel_add(struct parcel *parcel, struct message *message, const char *kind)
{
    if (!message) {
        parcel->is_short = true;
        return;
    }
    message->kind = kind;
    message->persistent = true;
    message->settled = parcel_settled;
    message->opaque = parcel;
    parcel->copies[parcel->count++] = message;
}

/* There is no room for it, and nobody may wait for some. */
static void parcel_refuse(struct message *message)
{
    parcel_settled(message->opaque, message, MESSAGE_DROPPED);
    message_free(message);
}

/* One copy alone would pass for the whole: all or none. From the first on the link's thread owns the parcel. */
static void parcel_send(struct parcel *parcel)
{
    struct message *copies[COPIES_MAX];
    struct publisher *publisher = parcel->publisher;
    struct publisher_way way = parcel->way;
    bool is_bound = parcel->is_bound;
    int count = parcel->count;

    memcpy(copies, parcel->copies, sizeof(copies));
    if (parcel->is_short) {
        log_error("publisher", "out of memory for an answer: its job will come again", NULL);
        for (int i = 0; i < count; i++)
            message_free(copies[i]);
        parcel_end(parcel, PUBLISHER_LOST);
        return;
    }
    atomic_store(&parcel->pending, count);
    for (int i = 0; i < count; i++) {
        if (is_bound)
            publisher_send(publisher, &way, copies[i]);
        else if (publisher->settings.offer(publisher->settings.transport, copies[i]) > 0)
            parcel_refuse(copies[i]);
    }
}

static char *copy_string(const char *text)
{
    return text ? strdup(text) : NULL;
}

/* A message for the dead queue with the body and the names of another. */
static struct message *message_bury(struct publisher *publisher, const struct message *came,
                                    const char *reason)
{
    char *body = malloc(came->length + 1);
    struct message *message;

    if (!body)
        return NULL;
    if (came->length > 0)
        memcpy(body, came->body, came->length);
    message = message_new("", publisher->settings.dead_queue, body, came->length);
    if (!message)
        return NULL;
    message->content_type = copy_string(came->content_type);
    message->message_id = copy_string(came->message_id);
    message->correlation_id = copy_string(came->correlation_id);
    message->reply_to = copy_string(came->reply_to);
    message->timestamp = came->timestamp;
    message->reason = copy_string(reason);
    message->mandatory = true;
    return message;
}

/* No queue wanted it: it goes to the dead queue, which always exists. */
static void parcel_bury(struct parcel *parcel, const struct message *returned)
{
    parcel->count = 0;
    parcel->is_buried = true;
    parcel_add(parcel, message_bury(parcel->publisher, returned, "no queue wanted this outcome"), "dead");
    parcel_send(parcel);
}

static void parcel_settled(void *opaque, const struct message *message, enum message_fate fate)
{
    struct parcel *parcel = opaque;

    if (fate == MESSAGE_CONFIRMED)
        parcel->arrived = true;
    if (fate == MESSAGE_LOST || fate == MESSAGE_DROPPED)
        parcel->lost = true;
    if (fate == MESSAGE_RETURNED)
        log_warning("publisher", "no queue wanted an answer", "exchange", message->exchange, "routing_key",
                    message->routing_key, NULL);
    if (atomic_fetch_sub(&parcel->pending, 1) > 1)
        return;
    if (parcel->lost)
        parcel_end(parcel, PUBLISHER_LOST);
    else if (parcel->arrived || parcel->is_buried)
        parcel_end(parcel, parcel->arrived ? PUBLISHER_SAFE : PUBLISHER_LOST);
    else
        parcel_bury(parcel, message);
}

/* RabbitMQ delivers to a direct reply-to and returns the message all the same: there is no queue behind it. */
static bool is_direct_reply(const char *exchange, const char *key)
{
    static const char direct[] = "amq.rabbitmq.reply-to";

    return exchange[0] == '\0' && strncmp(key, direct, sizeof(direct) - 1) == 0;
}

static struct message *job_message(const char *exchange, const char *key, const struct request *request)
{
    char *body = json_dumps(request->document, JSON_COMPACT);
    struct message *message = body ? message_new(exchange, key, body, strlen(body)) : NULL;

    if (!message)
        return NULL;
    message->content_type = strdup("application/json");
    message->message_id = strdup(request->id);
    message->correlation_id = copy_string(request->correlation_id);
    message->reply_to = copy_string(request->reply_to);
    message->traceparent = copy_string(request->traceparent);
    message->tracestate = copy_string(request->tracestate);
    message->timestamp = (uint64_t)request->received_ms / 1000;
    message->mandatory = true;
    return message;
}

static struct message *outcome_copy(const char *exchange, const char *key, const json_t *event,
                                    const struct request *request)
{
    struct message *message = envelope_message(exchange, key, event, request);

    if (message)
        message->mandatory = !is_direct_reply(exchange, key);
    return message;
}

/* The job as it lies in the dead queue: to be looked at, and to be sent again. */
static struct message *buried_job(struct publisher *publisher, const struct request *request,
                                  const char *reason)
{
    struct message *message = job_message("", publisher->settings.dead_queue, request);

    if (message)
        message->reason = strdup(reason);
    return message;
}

void publisher_outcome(struct publisher *publisher, const struct publisher_way *way,
                       const struct request *request, const json_t *event, enum outcome_state state,
                       const char *buried, publisher_done done, void *opaque)
{
    struct parcel *parcel = parcel_new(publisher, way, done, opaque);
    char key[256];

    if (!parcel)
        return;
    envelope_job_key(request, outcome_state_name(state), key);
    parcel_add(parcel, event ? outcome_copy(publisher->settings.events_exchange, key, event, request) : NULL,
               "outcome");
    if (request->reply_to)
        parcel_add(parcel, event ? outcome_copy("", request->reply_to, event, request) : NULL, "outcome");
    if (buried)
        parcel_add(parcel, buried_job(publisher, request, buried), "dead");
    parcel_send(parcel);
}

static struct message *repeat_copy(const char *exchange, const char *key, const struct delivery *outcome)
{
    char *body = outcome->body ? malloc(outcome->length + 1) : NULL;
    struct message *message;

    if (!body)
        return NULL;
    memcpy(body, outcome->body, outcome->length);
    message = message_new(exchange, key, body, outcome->length);
    if (!message)
        return NULL;
    message->content_type = copy_string(outcome->content_type);
    message->message_id = copy_string(outcome->message_id);
    message->correlation_id = copy_string(outcome->correlation_id);
    message->traceparent = copy_string(outcome->traceparent);
    message->tracestate = copy_string(outcome->tracestate);
    message->mandatory = !is_direct_reply(exchange, key);
    return message;
}

void publisher_repeat(struct publisher *publisher, const struct publisher_way *way,
                      const struct request *request, const struct delivery *outcome, publisher_done done,
                      void *opaque)
{
    struct parcel *parcel = parcel_new(publisher, way, done, opaque);

    if (!parcel)
        return;
    parcel_add(parcel, repeat_copy(publisher->settings.events_exchange, outcome->routing_key, outcome),
               "outcome");
    if (request->reply_to)
        parcel_add(parcel, repeat_copy("", request->reply_to, outcome), "outcome");
    parcel_send(parcel);
}

void publisher_retry(struct publisher *publisher, const struct publisher_way *way,
                     const struct request *request, int attempt, int delay_s, const char *host,
                     publisher_done done, void *opaque)
{
    const struct publisher_settings *settings = &publisher->settings;
    struct parcel *parcel = parcel_new(publisher, way, done, opaque);
    struct message *message;
    char exchange[256], key[256];

    if (!parcel)
        return;
    snprintf(exchange, sizeof(exchange), "%s.%d", settings->retry_prefix, delay_s);
    snprintf(key, sizeof(key), "%s@%s", request->type, host);
    message = job_message(delay_s > 0 ? exchange : settings->jobs_exchange, key, request);
    if (message)
        message->attempt = attempt;
    parcel_add(parcel, message, "retry");
    parcel_send(parcel);
}

/* An empty object: the message_id says it all. */
void publisher_note(struct publisher *publisher, const struct publisher_way *way, const char *job_id,
                    const char *what, const char *word, publisher_done done, void *opaque)
{
    struct parcel *parcel = parcel_new(publisher, way, done, opaque);
    char *body = strdup("{}");
    struct message *message;
    char id[256];

    if (!parcel) {
        free(body);
        return;
    }
    snprintf(id, sizeof(id), "%s/%s/%s", job_id, what, word);
    message = body ? message_new("", publisher->settings.journal, body, 2) : NULL;
    if (message) {
        message->message_id = strdup(id);
        message->content_type = strdup("application/json");
        message->timestamp = (uint64_t)envelope_now_ms() / 1000;
    }
    parcel_add(parcel, message, "note");
    parcel_send(parcel);
}

void publisher_dead(struct publisher *publisher, const struct publisher_way *way,
                    const struct delivery *delivery, const char *reason, publisher_done done, void *opaque)
{
    struct parcel *parcel = parcel_new(publisher, way, done, opaque);
    const struct message came = {
        .body = delivery->body,
        .length = delivery->body ? delivery->length : 0,
        .content_type = delivery->content_type,
        .message_id = delivery->message_id,
        .correlation_id = delivery->correlation_id,
        .reply_to = delivery->reply_to,
        .timestamp = delivery->timestamp,
    };

    if (!parcel)
        return;
    parcel->is_buried = true;
    parcel_add(parcel, message_bury(publisher, &came, reason), "dead");
    parcel_send(parcel);
}
