/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* CloudEvents 1.0, structured JSON: what goes out. */

#include "envelope.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"

#define EVENT_TYPE   "io.virtjob."
#define EVENT_SCHEMA "https://virtjob.io/schemas/1/event.json#/$defs/"

static const char *const state_names[] = {
    [OUTCOME_SUCCEEDED] = "succeeded", [OUTCOME_FAILED] = "failed",       [OUTCOME_CANCELLED] = "cancelled",
    [OUTCOME_EXPIRED] = "expired",     [OUTCOME_UNCERTAIN] = "uncertain", [OUTCOME_RETRY] = "retrying",
    [OUTCOME_GIVEN_UP] = "given-up",
};

const char *outcome_state_name(enum outcome_state state)
{
    return state_names[state];
}

int outcome_state_of_key(const char *routing_key, enum outcome_state *ret_state)
{
    static const char prefix[] = "job.";
    const char *word = routing_key + sizeof(prefix) - 1;

    if (strncmp(routing_key, prefix, sizeof(prefix) - 1) != 0)
        return -1;
    for (enum outcome_state state = OUTCOME_SUCCEEDED; state <= OUTCOME_UNCERTAIN; state++) {
        size_t length = strlen(state_names[state]);

        if (strncmp(word, state_names[state], length) == 0 && word[length] == '.') {
            *ret_state = state;
            return 0;
        }
    }
    return -1;
}

void outcome_done(struct outcome *outcome)
{
    json_decref(outcome->result);
    json_decref(outcome->choice);
    json_decref(outcome->rollback);
    *outcome = (struct outcome){ 0 };
}

int64_t envelope_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void envelope_time_text(int64_t ms, char *ret_text)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    size_t length;

    gmtime_r(&seconds, &tm);
    length = strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret_text + length, 32 - length, ".%03dZ", (int)(ms % 1000));
}

/* NULL values leave their member out. */
static int set_string(json_t *object, const char *key, const char *value)
{
    return value ? json_object_set_new(object, key, json_string(value)) : 0;
}

/* What describes the data of an event, by the beginning of its kind: schemas/event.json says the same of the types. */
static const struct {
    const char *kind, *uri;
} data_schemas[] = {
    { "job.started", EVENT_SCHEMA "started" },
    { "job.progress", EVENT_SCHEMA "progress" },
    { "job.retrying", EVENT_SCHEMA "retrying" },
    { "job.cancelling", EVENT_SCHEMA "cancelling" },
    { "job.not-cancelled", EVENT_SCHEMA "notCancelled" },
    { "job.", EVENT_SCHEMA "outcome" },
    { "guest.", EVENT_SCHEMA "lifecycle" },
    { "host.connected", EVENT_SCHEMA "connected" },
    { "host.disconnected", EVENT_SCHEMA "disconnected" },
    { "host.snapshot", EVENT_SCHEMA "snapshot" },
    { "worker.", EVENT_SCHEMA "worker" },
};

static const char *data_schema(const char *kind)
{
    for (size_t i = 0; i < sizeof(data_schemas) / sizeof(data_schemas[0]); i++)
        if (strncmp(kind, data_schemas[i].kind, strlen(data_schemas[i].kind)) == 0)
            return data_schemas[i].uri;
    return NULL;
}

json_t *envelope_event(const char *kind, const char *source, const char *subject, const char *id,
                       json_t *data)
{
    AUTO(json) json_t *event = json_object();
    char type[96], now[32];

    snprintf(type, sizeof(type), EVENT_TYPE "%s", kind);
    envelope_time_text(envelope_now_ms(), now);
    if (!event || !data) {
        json_decref(data);
        return NULL;
    }
    if (json_object_set_new(event, "data", data) < 0 || set_string(event, "specversion", "1.0") < 0 ||
        set_string(event, "id", id) < 0 || set_string(event, "source", source) < 0 ||
        set_string(event, "type", type) < 0 || set_string(event, "subject", subject) < 0 ||
        set_string(event, "time", now) < 0 || set_string(event, "datacontenttype", "application/json") < 0 ||
        set_string(event, "dataschema", data_schema(kind)) < 0)
        return NULL;
    return STEAL(&event);
}

static json_t *job_object(const struct request *request)
{
    json_t *job = json_object();

    if (!job)
        return NULL;
    set_string(job, "id", request->id);
    set_string(job, "type", request->type);
    set_string(job, "host", request->host);
    if (json_is_object(request->labels))
        json_object_set(job, "labels", request->labels);
    return job;
}

static json_t *job_event(const struct request *request, const char *state, const char *id, const char *host,
                         json_t *data)
{
    char kind[64], source[128];
    json_t *event;

    snprintf(kind, sizeof(kind), "job.%s", state);
    snprintf(source, sizeof(source), "/virtjob/hosts/%s", host);
    if (data)
        json_object_set_new(data, "job", job_object(request));
    event = envelope_event(kind, source, request->id[0] ? request->id : NULL, id, data);
    if (event) {
        set_string(event, "traceparent", request->traceparent);
        set_string(event, "tracestate", request->tracestate);
    }
    return event;
}

static int set_error(json_t *data, const struct outcome *outcome)
{
    json_t *error = error_to_json(&outcome->error);

    if (error && outcome->step[0])
        set_string(error, "step", outcome->step);
    return json_object_set_new(data, "error", error);
}

static json_t *outcome_data(const struct outcome *outcome, const char *worker)
{
    AUTO(json) json_t *data =
        json_pack("{s:s, s:s, s:i, s:I, s:I}", "state", outcome_state_name(outcome->state), "worker", worker,
                  "attempts", outcome->attempts, "queued_ms", (json_int_t)outcome->queued_ms, "run_ms",
                  (json_int_t)outcome->run_ms);

    if (!data)
        return NULL;
    if (outcome->choice && json_object_set(data, "choice", outcome->choice) < 0)
        return NULL;
    if (outcome->rollback && json_object_set(data, "rollback", outcome->rollback) < 0)
        return NULL;
    if ((outcome->result || outcome->state == OUTCOME_SUCCEEDED) &&
        json_object_set(data, "result", outcome->result) < 0)
        return NULL;
    if (outcome->state != OUTCOME_SUCCEEDED)
        return set_error(data, outcome) < 0 ? NULL : STEAL(&data);
    if (json_object_set_new(data, "changed", json_boolean(outcome->changed)) < 0 ||
        json_object_set_new(data, "adopted", json_boolean(outcome->adopted)) < 0)
        return NULL;
    return STEAL(&data);
}

json_t *envelope_outcome(const struct request *request, const struct outcome *outcome, const char *host,
                         const char *worker)
{
    char id[REQUEST_ID_SIZE + 16];

    snprintf(id, sizeof(id), "%s/outcome", request->id);
    return job_event(request, outcome_state_name(outcome->state), id, host, outcome_data(outcome, worker));
}

json_t *envelope_job_event(const struct request *request, const char *state, uint64_t serial,
                           const char *host, json_t *data)
{
    char id[REQUEST_ID_SIZE + 64];

    snprintf(id, sizeof(id), "%s/%s/%llu", request->id, state, (unsigned long long)serial);
    return job_event(request, state, id, host, data);
}

/* A bad job may name anything as its type; as words of a routing key only what could be a type will do. */
static const char *routable_type(const char *type)
{
    size_t area = type ? strspn(type, "abcdefghijklmnopqrstuvwxyz") : 0;

    if (area == 0 || type[area] != '.' || strlen(type) > 64)
        return "unknown.unknown";
    type += area + 1;
    return *type && strspn(type, "abcdefghijklmnopqrstuvwxyz-") == strlen(type) ? type - area - 1
                                                                                : "unknown.unknown";
}

void envelope_job_key(const struct request *request, const char *state, char *ret_key)
{
    snprintf(ret_key, 256, "job.%s.%s.%s", state, routable_type(request->type), request->id);
}

void envelope_event_key(const char *kind, const char *subject, char *ret_key)
{
    snprintf(ret_key, 256, "%s%s%s", kind, subject ? "." : "", subject ? subject : "");
}

static void message_take_request(struct message *message, const struct request *request)
{
    message->correlation_id = request->correlation_id ? strdup(request->correlation_id) : NULL;
    message->traceparent = request->traceparent ? strdup(request->traceparent) : NULL;
    message->tracestate = request->tracestate ? strdup(request->tracestate) : NULL;
}

struct message *envelope_message(const char *exchange, const char *routing_key, const json_t *event,
                                 const struct request *request)
{
    char *body = json_dumps(event, JSON_COMPACT);
    struct message *message = body ? message_new(exchange, routing_key, body, strlen(body)) : NULL;
    const char *id = json_string_value(json_object_get(event, "id"));

    if (!message)
        return NULL;
    message->content_type = strdup("application/cloudevents+json");
    message->message_id = id ? strdup(id) : NULL;
    message->timestamp = (uint64_t)(envelope_now_ms() / 1000);
    message->persistent = true;
    if (request)
        message_take_request(message, request);
    return message;
}
