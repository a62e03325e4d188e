/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Bytes to requests. A request keeps whatever could be made out of a bad message, so that its sender gets an answer. */

#include "envelope.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <uuid/uuid.h>

#include "cleanup.h"

#define SCHEMA_BASE "https://virtjob.io/schemas/1/"

/* Of types and hosts, as job.json says. */
#define NAME_MAX_LENGTH 64

struct envelope_rules {
    const struct schema_store *schemas;
    const struct schema *job;
    pcre2_code *reply_to;
    char *prefix;
};

CLEANUP_DEFINE(rules, struct envelope_rules *, envelope_rules_free)
CLEANUP_DEFINE(match, pcre2_match_data *, pcre2_match_data_free)

static int rules_compile(struct envelope_rules *rules, const char *reply_to, struct error *err)
{
    PCRE2_UCHAR text[128];
    PCRE2_SIZE offset;
    int code;

    rules->reply_to = pcre2_compile((PCRE2_SPTR)reply_to, PCRE2_ZERO_TERMINATED,
                                    PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF, &code, &offset, NULL);
    if (rules->reply_to)
        return 0;
    pcre2_get_error_message(code, text, sizeof(text));
    return error_set(err, ERROR_INVALID, "the reply_to pattern is wrong at character %zu: %s", offset, text);
}

struct envelope_rules *envelope_rules_new(const struct schema_store *schemas, const char *reply_to,
                                          const char *prefix, struct error *err)
{
    AUTO(rules) struct envelope_rules *rules = calloc(1, sizeof(*rules));

    if (!rules || (prefix && !(rules->prefix = strdup(prefix)))) {
        error_set_memory(err);
        return NULL;
    }
    rules->schemas = schemas;
    rules->job = schema_store_find(schemas, SCHEMA_BASE "job.json");
    if (!rules->job) {
        error_set(err, ERROR_INTERNAL, "job.json is not among the schemas");
        return NULL;
    }
    if (reply_to && rules_compile(rules, reply_to, err) < 0)
        return NULL;
    return STEAL(&rules);
}

void envelope_rules_free(struct envelope_rules *rules)
{
    if (!rules)
        return;
    pcre2_code_free(rules->reply_to);
    free(rules->prefix);
    free(rules);
}

static bool rules_allow_reply_to(const struct envelope_rules *rules, const char *reply_to)
{
    AUTO(match) pcre2_match_data *match = NULL;
    size_t prefix = rules->prefix ? strlen(rules->prefix) : 0;

    if (prefix > 0 && strncmp(reply_to, rules->prefix, prefix) == 0 && reply_to[prefix] == '.')
        return false;
    if (!rules->reply_to)
        return true;
    match = pcre2_match_data_create_from_pattern(rules->reply_to, NULL);
    return match &&
           pcre2_match(rules->reply_to, (PCRE2_SPTR)reply_to, strlen(reply_to), 0, 0, match, NULL) >= 0;
}

/* Lower case, so that one job has one spelling. */
static int request_take_id(struct request *request, const char *text)
{
    uuid_t id;

    if (!text || uuid_parse(text, id) < 0)
        return -1;
    uuid_unparse_lower(id, request->id);
    return 0;
}

static void string_replace(char **slot, const char *value)
{
    char *copy = value ? strdup(value) : NULL;

    if (copy) {
        free(*slot);
        *slot = copy;
    }
}

/* A type or a host: nothing that could not be one goes from a bad job into events, routing keys and metrics. */
static void request_take_name(char **slot, const char *text, size_t length)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    AUTO(string) char *name = text && length > 0 && length <= NAME_MAX_LENGTH ? strndup(text, length) : NULL;

    if (name && strspn(name, letters) == length)
        string_replace(slot, name);
}

/* "volume.clone@node1". The document's word counts where it has one. */
static void request_take_routing_key(struct request *request, const char *key)
{
    const char *at = key ? strchr(key, '@') : NULL;

    if (!at)
        return;
    request_take_name(&request->type, key, (size_t)(at - key));
    request_take_name(&request->host, at + 1, strlen(at + 1));
}

static void request_take_properties(struct request *request, const struct envelope_rules *rules,
                                    const struct delivery *delivery)
{
    request_take_id(request, delivery->message_id);
    request_take_routing_key(request, delivery->routing_key);
    string_replace(&request->correlation_id, delivery->correlation_id);
    string_replace(&request->traceparent, delivery->traceparent);
    string_replace(&request->tracestate, delivery->tracestate);
    string_replace(&request->requester, delivery->user_id);
    request->attempt = delivery->attempt > 1 ? (int)delivery->attempt : 1;
    if (delivery->reply_to && rules_allow_reply_to(rules, delivery->reply_to))
        string_replace(&request->reply_to, delivery->reply_to);
    request->published_s = delivery->timestamp;
    if (delivery->timestamp > 0 && delivery->timestamp < (uint64_t)request->received_ms / 1000)
        request->received_ms = (int64_t)delivery->timestamp * 1000;
}

static int request_load(struct request *request, const char *text, size_t length, struct error *err)
{
    json_error_t fault;

    request->document = json_loadb(text, length, JSON_REJECT_DUPLICATES, &fault);
    if (request->document)
        return 0;
    return error_set_at(err, ERROR_INVALID, "", "not JSON: line %d, column %d: %.200s", fault.line,
                        fault.column, fault.text);
}

static void request_take_document(struct request *request)
{
    const json_t *document = request->document;
    const json_t *type = json_object_get(document, "type"), *host = json_object_get(document, "host");

    request_take_id(request, json_string_value(json_object_get(document, "id")));
    request_take_name(&request->type, json_string_value(type), json_string_length(type));
    request_take_name(&request->host, json_string_value(host), json_string_length(host));
    request->params = json_object_get(document, "params");
}

/* RFC 3339, whose form the schema has already checked. -1 where it cannot be read. */
static int time_parse(const char *text, int64_t *ret_ms)
{
    struct tm tm = { 0 };
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    char *end = NULL;
    double fraction = 0;
    int hours = 0, minutes = 0, sign = 1;
    int64_t seconds;

    if (!rest && !(rest = strptime(text, "%Y-%m-%dt%H:%M:%S", &tm)))
        return -1;
    if (*rest == '.') {
        fraction = strtod(rest, &end);
        rest = end;
    }
    if (*rest == '+' || *rest == '-') {
        sign = *rest == '-' ? -1 : 1;
        if (sscanf(rest + 1, "%2d:%2d", &hours, &minutes) != 2)
            return -1;
    }
    seconds = (int64_t)timegm(&tm) - sign * (hours * 3600 + minutes * 60);
    *ret_ms = seconds * 1000 + (int64_t)(fraction * 1000);
    return 0;
}

static int request_take_options(struct request *request, struct error *err)
{
    int64_t deadline_ms = 0;
    const char *deadline = json_string_value(json_object_get(request->document, "deadline"));
    const char *on_failure = json_string_value(json_object_get(request->document, "on_failure"));

    request->rollback = !on_failure || strcmp(on_failure, "keep") != 0;
    request->retry_uncertain = json_is_true(json_object_get(request->document, "retry_uncertain"));
    request->max_attempts = (int)json_number_value(json_object_get(request->document, "max_attempts"));
    request->labels = json_object_get(request->document, "labels");
    if (!deadline)
        return 0;
    if (time_parse(deadline, &deadline_ms) < 0)
        return error_set_at(err, ERROR_INVALID, "/deadline", "there is no such time");
    request->deadline_ms = deadline_ms > 0 ? deadline_ms : 1; /* 0 is none; before 1970 is as long past */
    return 0;
}

static int request_check_params(const struct envelope_rules *rules, const struct request *request,
                                struct error *err)
{
    const struct schema *schema;
    char uri[192];

    snprintf(uri, sizeof(uri), SCHEMA_BASE "%s.json#/$defs/params", request->type);
    schema = schema_store_find(rules->schemas, uri);
    if (!schema)
        return error_set_at(err, ERROR_UNKNOWN_TYPE, "/type", "there is no job type '%s'", request->type);
    return schema_check(schema, request->params, "/params", err);
}

static int request_check(const struct envelope_rules *rules, struct request *request, struct error *err)
{
    if (schema_check(rules->job, request->document, "", err) < 0 || request_take_options(request, err) < 0)
        return -1;
    return request_check_params(rules, request, err);
}

/* The broker routed by the key; a document that says otherwise would run where nobody asked for it. */
static int request_check_key(const struct request *request, const struct delivery *delivery,
                             struct error *err)
{
    const char *key = delivery->routing_key;
    const char *at = key ? strchr(key, '@') : NULL;
    uuid_t id;
    char text[REQUEST_ID_SIZE];

    if (at && (strncmp(key, request->type, (size_t)(at - key)) != 0 || request->type[at - key] != '\0'))
        return error_set_at(err, ERROR_INVALID, "/type", "is '%s', but the routing key is '%s'",
                            request->type, key);
    if (at && strcmp(at + 1, request->host) != 0 && !request->placed)
        return error_set_at(err, ERROR_INVALID, "/host", "is '%s', but the routing key is '%s'",
                            request->host, key);
    if (!delivery->message_id)
        return 0;
    if (uuid_parse(delivery->message_id, id) < 0)
        return error_set_at(err, ERROR_INVALID, "/id",
                            "the message_id is not a UUID, but must be the job's id");
    uuid_unparse_lower(id, text);
    if (strcmp(text, request->id) != 0)
        return error_set_at(err, ERROR_INVALID, "/id", "is '%s', but the message_id is '%s'", request->id,
                            text);
    return 0;
}

/* A worker sends a job for any host to the one where it was begun: then the key names that host, and the document does
 * not. */
static void request_take_place(struct request *request, const struct delivery *delivery)
{
    const char *at = delivery->routing_key ? strchr(delivery->routing_key, '@') : NULL;

    if (at && delivery->attempt > 0 && strcmp(request->host, "any") == 0 && strcmp(at + 1, "any") != 0)
        request_take_name(&request->placed, at + 1, strlen(at + 1));
}

static int request_check_delivery(struct request *request, const struct delivery *delivery, struct error *err)
{
    request_take_place(request, delivery);
    if (delivery->reply_to && !request->reply_to)
        return error_set_at(err, ERROR_DENIED, "", "the reply_to is not one that this worker may write to");
    return request_check_key(request, delivery, err);
}

int envelope_parse(const struct envelope_rules *rules, const struct delivery *delivery,
                   struct request *request, struct error *err)
{
    *request = (struct request){ .rollback = true, .attempt = 1, .received_ms = envelope_now_ms() };
    request_take_properties(request, rules, delivery);
    if (delivery->oversized)
        return error_set_at(err, ERROR_TOO_LARGE, "", "the body has %zu bytes, more than this worker takes",
                            delivery->length);
    if (request_load(request, delivery->body, delivery->length, err) < 0)
        return -1;
    request_take_document(request);
    if (request_check(rules, request, err) < 0)
        return -1;
    return request_check_delivery(request, delivery, err);
}

int envelope_parse_document(const struct envelope_rules *rules, const char *text, size_t length,
                            struct request *request, struct error *err)
{
    *request = (struct request){ .rollback = true, .attempt = 1, .received_ms = envelope_now_ms() };
    if (request_load(request, text, length, err) < 0)
        return -1;
    request_take_document(request);
    return request_check(rules, request, err);
}

void request_done(struct request *request)
{
    json_decref(request->document);
    free(request->type);
    free(request->host);
    free(request->placed);
    free(request->reply_to);
    free(request->correlation_id);
    free(request->traceparent);
    free(request->tracestate);
    free(request->requester);
    *request = (struct request){ 0 };
}
