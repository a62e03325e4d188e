/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A message of the dead queue, for a person and for a program. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "letter.h"
#include "text.h"

#define SHOWN_SIZE    4096
#define BODY_SHOWN    (64 * 1024) /* bytes of a body, before they are escaped */
#define ESCAPE_LENGTH 8           /* the longest escape of a byte */

/* "volume.clone@node1", "outcome failed of volume.clone@node1", "no job"; escaped. */
static const char *letter_what(const struct letter *letter, const struct terminal *terminal, char *out)
{
    char what[3 * LETTER_NAME_SIZE];

    snprintf(what, sizeof(what), "%s%s%s%s%s%s",
             letter->kind != LETTER_EVENT ? ""
             : *letter->state             ? "outcome "
                                          : "event",
             letter->state, letter->kind == LETTER_EVENT && *letter->type ? " of " : "", letter->type,
             *letter->type && *letter->host ? "@" : "", letter->host);
    return text_escape(terminal->unicode, *what ? what : "no job", out, SHOWN_SIZE);
}

static const char *letter_why(const struct letter *letter)
{
    return letter->delivery->reason ? letter->delivery->reason : "no reason given";
}

/* -1: not known. */
static int64_t letter_age_s(const struct letter *letter)
{
    uint64_t then = letter->delivery->timestamp, now = (uint64_t)time(NULL);

    return then == 0 || then > now ? -1 : (int64_t)(now - then);
}

void letter_heads(FILE *out)
{
    fprintf(out, "%-12s %7s %8s %-36s %s\n", "ID", "AGE", "SIZE", "JOB", "WHAT, AND WHY");
}

void letter_line(FILE *out, const struct letter *letter, const struct terminal *terminal)
{
    char age[32] = "-", size[16], what[SHOWN_SIZE], why[SHOWN_SIZE];
    int64_t age_s = letter_age_s(letter);

    if (age_s >= 0)
        text_age(age_s, age, sizeof(age));
    text_bytes((double)letter->delivery->length, size, sizeof(size));
    fprintf(out, "%-12s %7s %8s %-36s %s: %s\n", letter->id, age, size, *letter->job ? letter->job : "-",
            letter_what(letter, terminal, what),
            text_escape(terminal->unicode, letter_why(letter), why, sizeof(why)));
}

static void show_field(FILE *out, const char *name, const char *text, const struct terminal *terminal)
{
    char shown[SHOWN_SIZE];

    if (text && *text)
        fprintf(out, "%-12s %s\n", name, text_escape(terminal->unicode, text, shown, sizeof(shown)));
}

static void show_time(FILE *out, const struct letter *letter, const struct terminal *terminal)
{
    char text[32], age[32], both[80];
    int64_t age_s = letter_age_s(letter);

    if (age_s < 0)
        return;
    envelope_time_text((int64_t)letter->delivery->timestamp * 1000, text);
    snprintf(both, sizeof(both), "%s, %s ago", text, text_age(age_s, age, sizeof(age)));
    show_field(out, "published", both, terminal);
}

/* Any bytes: what is no text is shown byte by byte, a NUL too. */
static void show_bytes(FILE *out, const char *bytes, size_t length, const struct terminal *terminal)
{
    size_t most = length < BODY_SHOWN ? length : BODY_SHOWN, size = most * ESCAPE_LENGTH + 1;
    AUTO(string) char *piece = malloc(most + 1);
    AUTO(string) char *shown = malloc(size);

    for (size_t at = 0; piece && shown && at < most; at += strlen(piece) + 1) {
        memcpy(piece, bytes + at, most - at);
        piece[most - at] = '\0';
        fputs(text_escape_lines(terminal->unicode, piece, shown, size), out);
        if (at + strlen(piece) < most)
            fputs("\\x00", out);
    }
    putc('\n', out);
    if (most < length)
        fprintf(out, "(and %zu bytes more; --json has all)\n", length - most);
}

static void show_body(FILE *out, const struct letter *letter, const struct terminal *terminal)
{
    const struct delivery *delivery = letter->delivery;
    AUTO(json) json_t *body = letter_body(letter);
    AUTO(string) char *pretty = body ? json_dumps(body, JSON_INDENT(2)) : NULL;

    if (delivery->oversized)
        fprintf(out, "(the body is too large: %zu bytes)\n", delivery->length);
    else if (pretty)
        show_bytes(out, pretty, strlen(pretty), terminal);
    else if (delivery->body && delivery->length > 0)
        show_bytes(out, delivery->body, delivery->length, terminal);
    else
        fputs("(no body)\n", out);
}

void letter_show(FILE *out, const struct letter *letter, const struct terminal *terminal)
{
    const struct delivery *delivery = letter->delivery;
    char what[SHOWN_SIZE], attempt[24] = "", size[48];

    if (delivery->attempt > 0)
        snprintf(attempt, sizeof(attempt), "%" PRId64, delivery->attempt);
    snprintf(size, sizeof(size), "%zu bytes", delivery->length);
    const struct {
        const char *name, *text;
    } fields[] = {
        { "id", letter->id },
        { "job", letter->job },
        { "why", letter_why(letter) },
        { "message id", delivery->message_id },
        { "correlation", delivery->correlation_id },
        { "reply to", delivery->reply_to },
        { "user", delivery->user_id },
        { "requester", delivery->requester },
        { "attempt", attempt },
        { "traceparent", delivery->traceparent },
        { "tracestate", delivery->tracestate },
        { "content type", delivery->content_type },
        { "size", size },
    };

    fprintf(out, "%-12s %s\n", "what", letter_what(letter, terminal, what));
    show_time(out, letter, terminal);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        show_field(out, fields[i].name, fields[i].text, terminal);
    putc('\n', out);
    show_body(out, letter, terminal);
    putc('\n', out);
}

/* "body" where it is JSON, "text" where it is UTF-8, "hex" for anything else. */
static int json_add_body(json_t *object, const struct letter *letter)
{
    const struct delivery *delivery = letter->delivery;
    json_t *body = letter_body(letter), *text;

    if (body || !delivery->body)
        return body ? json_object_set_new(object, "body", body) : 0;
    if (!memchr(delivery->body, '\0', delivery->length) &&
        (text = json_stringn(delivery->body, delivery->length)))
        return json_object_set_new(object, "text", text);
    AUTO(string) char *hex = malloc(2 * delivery->length + 1);
    if (!hex)
        return -1;
    for (size_t i = 0; i < delivery->length; i++)
        sprintf(hex + 2 * i, "%02x", (unsigned char)delivery->body[i]);
    return json_object_set_new(object, "hex", json_string(hex));
}

static const char *or_null(const char *text)
{
    return text && *text ? text : NULL;
}

/* What is no UTF-8 is left out of a property. */
static int json_add_text(json_t *object, const char *key, const char *text)
{
    json_t *value = or_null(text) ? json_string(text) : NULL;

    return value ? json_object_set_new(object, key, value) : 0;
}

json_t *letter_json(const struct letter *letter, bool body)
{
    static const char *const kinds[] = { "job", "event", "other" };
    const struct delivery *delivery = letter->delivery;
    AUTO(json) json_t *object = json_pack("{ss ss sI}", "id", letter->id, "kind", kinds[letter->kind], "size",
                                          (json_int_t)delivery->length);
    const struct {
        const char *key, *text;
        bool always;
    } texts[] = {
        { "job", letter->job, true },
        { "type", letter->type, true },
        { "host", letter->host, true },
        { "state", letter->state, true },
        { "reason", delivery->reason, true },
        { "content_type", delivery->content_type, false },
        { "message_id", delivery->message_id, false },
        { "correlation_id", delivery->correlation_id, false },
        { "reply_to", delivery->reply_to, false },
        { "user_id", delivery->user_id, false },
        { "requester", delivery->requester, false },
        { "traceparent", delivery->traceparent, false },
        { "tracestate", delivery->tracestate, false },
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if ((texts[i].always || body) && json_add_text(object, texts[i].key, texts[i].text) < 0)
            return NULL;
    if (letter_age_s(letter) >= 0 &&
        json_object_set_new(object, "timestamp", json_integer((json_int_t)delivery->timestamp)) < 0)
        return NULL;
    if (body && json_add_body(object, letter) < 0)
        return NULL;
    return STEAL(&object);
}
