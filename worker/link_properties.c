/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a message carries besides its body, as AMQP has it. */

#include "link_internal.h"

#include <string.h>

#define SHORT_TEXT_MOST 255

/* Together, the headers of a message stay well below the smallest frame that brokers are set to. */
#define HEADER_TEXT_MOST 2048

static bool fits(const char *text)
{
    return !text || strlen(text) <= SHORT_TEXT_MOST;
}

bool link_message_fits(const struct message *message)
{
    return fits(message->exchange) && fits(message->routing_key) && fits(message->content_type) &&
           fits(message->message_id) && fits(message->correlation_id) && fits(message->reply_to) &&
           fits(message->user_id);
}

static void add_header(amqp_table_t *headers, const char *key, const char *text)
{
    amqp_table_entry_t *entry = &headers->entries[headers->num_entries];

    if (!text)
        return;
    *entry = (amqp_table_entry_t){ .key = amqp_cstring_bytes(key),
                                   .value = { .kind = AMQP_FIELD_KIND_UTF8,
                                              .value.bytes = amqp_cstring_bytes(text) } };
    if (entry->value.value.bytes.len > HEADER_TEXT_MOST)
        entry->value.value.bytes.len = HEADER_TEXT_MOST;
    headers->num_entries++;
}

static void add_number(amqp_table_t *headers, const char *key, int64_t number)
{
    if (number == 0)
        return;
    headers->entries[headers->num_entries++] =
        (amqp_table_entry_t){ .key = amqp_cstring_bytes(key),
                              .value = { .kind = AMQP_FIELD_KIND_I64, .value.i64 = number } };
}

static void set_text(amqp_basic_properties_t *properties, amqp_flags_t flag, amqp_bytes_t *field,
                     const char *text)
{
    if (!text)
        return;
    *field = amqp_cstring_bytes(text);
    properties->_flags |= flag;
}

void link_message_properties(const struct message *message, amqp_basic_properties_t *properties)
{
    add_header(&properties->headers, "traceparent", message->traceparent);
    add_header(&properties->headers, "tracestate", message->tracestate);
    add_header(&properties->headers, "x-virtjob-reason", message->reason);
    add_header(&properties->headers, "x-virtjob-requester", message->requester);
    add_number(&properties->headers, "x-virtjob-attempt", message->attempt);
    if (properties->headers.num_entries > 0)
        properties->_flags |= AMQP_BASIC_HEADERS_FLAG;
    set_text(properties, AMQP_BASIC_CONTENT_TYPE_FLAG, &properties->content_type, message->content_type);
    set_text(properties, AMQP_BASIC_MESSAGE_ID_FLAG, &properties->message_id, message->message_id);
    set_text(properties, AMQP_BASIC_CORRELATION_ID_FLAG, &properties->correlation_id,
             message->correlation_id);
    set_text(properties, AMQP_BASIC_REPLY_TO_FLAG, &properties->reply_to, message->reply_to);
    set_text(properties, AMQP_BASIC_USER_ID_FLAG, &properties->user_id, message->user_id);
    properties->_flags |= AMQP_BASIC_DELIVERY_MODE_FLAG;
    properties->delivery_mode = message->persistent ? 2 : 1;
    if (message->timestamp) {
        properties->_flags |= AMQP_BASIC_TIMESTAMP_FLAG;
        properties->timestamp = message->timestamp;
    }
}
