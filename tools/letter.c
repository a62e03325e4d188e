/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a message is follows from its body and its message_id: of the routing key that it once had, nothing is left. */

#include "letter.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <uuid/uuid.h>

#include "cleanup.h"
#include "event.h"

/* FNV-1a, 64 bits. Each part ends in a byte that no UTF-8 has, so that none passes for the end of another. */
static uint64_t digest_add(uint64_t digest, const void *data, size_t length)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < length; i++)
        digest = (digest ^ bytes[i]) * UINT64_C(0x100000001b3);
    return (digest ^ 0xff) * UINT64_C(0x100000001b3);
}

static uint64_t digest_text(uint64_t digest, const char *text)
{
    return digest_add(digest, text ? text : "", text ? strlen(text) : 0);
}

#define DIGEST_INIT UINT64_C(0xcbf29ce484222325)

static void letter_name(struct letter *letter)
{
    const struct delivery *delivery = letter->delivery;
    uint64_t digest = digest_text(DIGEST_INIT, delivery->content_type);

    digest = digest_text(digest, delivery->message_id);
    digest = digest_text(digest, delivery->correlation_id);
    digest = digest_text(digest, delivery->reason);
    digest = digest_add(digest, &delivery->timestamp, sizeof(delivery->timestamp));
    digest = digest_add(digest, &delivery->length, sizeof(delivery->length));
    if (delivery->body)
        digest = digest_add(digest, delivery->body, delivery->length);
    snprintf(letter->id, sizeof(letter->id), "%012" PRIx64, digest >> 16);
}

json_t *letter_body(const struct letter *letter)
{
    const struct delivery *delivery = letter->delivery;

    return delivery->body ? json_loadb(delivery->body, delivery->length, 0, NULL) : NULL;
}

/* The id of a job, in lower case; what is no UUID is none. */
static void letter_take_id(struct letter *letter, const char *text)
{
    uuid_t uuid;

    if (text && uuid_parse(text, uuid) == 0)
        uuid_unparse_lower(uuid, letter->job);
}

static void letter_take_name(char out[static LETTER_NAME_SIZE], const char *text)
{
    if (strlen(text) < LETTER_NAME_SIZE)
        strcpy(out, text);
}

static void letter_take_event(struct letter *letter, const json_t *event)
{
    const char *kind = event_kind(event);

    letter->kind = LETTER_EVENT;
    letter_take_id(letter, event_text(event, "data/job/id"));
    letter_take_name(letter->type, event_text(event, "data/job/type"));
    letter_take_name(letter->host, event_text(event, "data/job/host"));
    if (event_is_outcome(kind))
        snprintf(letter->state, sizeof(letter->state), "%s", kind + strlen("job."));
}

static void letter_name_request(struct letter *letter)
{
    const struct delivery *delivery = letter->delivery;
    uint64_t digest = digest_text(DIGEST_INIT, letter->job);

    digest = digest_add(digest, delivery->body, delivery->length);
    snprintf(letter->request, sizeof(letter->request), "%016" PRIx64, digest);
}

/* The worker begins its reason so. */
static bool letter_has_crashed(const struct letter *letter)
{
    const char *name = error_name(ERROR_CRASHED), *reason = letter->delivery->reason;

    return reason && strncmp(reason, name, strlen(name)) == 0 && reason[strlen(name)] == ':';
}

static void letter_take_job(struct letter *letter, const json_t *job)
{
    letter_take_id(letter, letter->delivery->message_id);
    letter_take_id(letter, event_text(job, "id"));
    letter_take_name(letter->type, event_text(job, "type"));
    letter_take_name(letter->host, event_text(job, "host"));
    if (!*letter->job || !*letter->type || !*letter->host)
        return;
    letter->kind = LETTER_JOB;
    letter->is_answered = letter_has_crashed(letter);
    letter_name_request(letter);
}

struct letter *letter_new(struct delivery *delivery)
{
    struct letter *letter = calloc(1, sizeof(*letter));

    if (!letter) {
        delivery_free(delivery);
        return NULL;
    }
    letter->delivery = delivery;
    letter->kind = LETTER_OTHER;
    letter_name(letter);
    AUTO(json) json_t *body = letter_body(letter);
    if (json_object_get(body, "specversion"))
        letter_take_event(letter, body);
    else
        letter_take_job(letter, body);
    return letter;
}

void letter_free(struct letter *letter)
{
    if (letter)
        delivery_free(letter->delivery);
    free(letter);
}

void letter_drop_body(struct letter *letter)
{
    free(letter->delivery->body);
    letter->delivery->body = NULL;
}

bool letter_is(const struct letter *letter, const char *word)
{
    return strcasecmp(letter->id, word) == 0 || (*letter->job && strcasecmp(letter->job, word) == 0);
}

/* The body as it is, or with another id. */
static char *message_body(const struct letter *letter, const char *new_id, size_t *ret_length)
{
    const struct delivery *delivery = letter->delivery;
    char *copy;

    if (new_id) {
        AUTO(json) json_t *job = letter_body(letter);
        if (json_object_set_new(job, "id", json_string(new_id)) < 0 ||
            !(copy = json_dumps(job, JSON_COMPACT)))
            return NULL;
        *ret_length = strlen(copy);
        return copy;
    }
    if ((copy = malloc(delivery->length + 1)))
        memcpy(copy, delivery->body, delivery->length + 1);
    *ret_length = delivery->length;
    return copy;
}

static int message_set(char **field, const char *text)
{
    return text && !(*field = strdup(text)) ? -1 : 0;
}

/* All but the attempt, which starts anew, and the user, which the broker takes from nobody but the user. */
static int message_fill(struct message *message, const struct letter *letter, const char *new_id)
{
    const struct delivery *delivery = letter->delivery;
    const struct {
        char **field;
        const char *text;
    } fields[] = {
        { &message->content_type, delivery->content_type ? delivery->content_type : "application/json" },
        { &message->message_id, new_id                 ? new_id
                                : delivery->message_id ? delivery->message_id
                                                       : letter->job },
        { &message->correlation_id, delivery->correlation_id },
        { &message->reply_to, delivery->reply_to },
        { &message->traceparent, delivery->traceparent },
        { &message->tracestate, delivery->tracestate },
        { &message->requester, delivery->requester },
    };

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (message_set(fields[i].field, fields[i].text) < 0)
            return -1;
    message->timestamp = delivery->timestamp;
    message->persistent = true;
    message->mandatory = true;
    return 0;
}

struct message *letter_message(const struct letter *letter, const char *exchange, const char *new_id,
                               struct error *err)
{
    char key[2 * LETTER_NAME_SIZE], *body;
    struct message *message;
    size_t length = 0;

    if (letter->kind == LETTER_EVENT)
        return error_set(err, ERROR_INVALID, "it is an event and no job: it can be shown or dropped"), NULL;
    if (letter->kind != LETTER_JOB || !letter->delivery->body)
        return error_set(err, ERROR_INVALID,
                         "it is no job that can be answered, with an id, a type and a host"),
               NULL;
    if (letter->is_answered && !new_id)
        return error_set(err, ERROR_INVALID,
                         "it has had its outcome, and an id has one only: --new-id gives it another"),
               NULL;
    snprintf(key, sizeof(key), "%s@%s", letter->type, letter->host);
    if (!(body = message_body(letter, new_id, &length)) ||
        !(message = message_new(exchange, key, body, length)))
        return error_set_memory(err), NULL;
    if (message_fill(message, letter, new_id) < 0) {
        message_free(message);
        return error_set_memory(err), NULL;
    }
    return message;
}
