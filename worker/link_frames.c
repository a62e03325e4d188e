/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the broker sends: deliveries and returns put together from their frames, confirms, and the ends of all kinds.
 *
 * The library's own assembler (amqp_consume_message) drops frames that it does not expect, confirms among them. */

#include "link_internal.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

#define SHORT_TEXT_MOST 255

/* W3C Trace Context lets a tracestate be that long; the other headers have the same room. */
#define HEADER_TEXT_MOST 512

#define ATTEMPT_MOST     1000000

bool link_has_buffered(const struct link *link)
{
    return amqp_frames_enqueued(link->amqp) || amqp_data_in_buffer(link->amqp);
}

void link_frames_reset(struct link *link)
{
    delivery_free(link->content.delivery);
    link->content = (struct link_content){ 0 };
}

/* NULL where it is longer than `most` or has a NUL inside: half a text could pass for another one. */
static int copy_text(amqp_bytes_t bytes, size_t most, char **ret_text)
{
    if (bytes.len > most || bytes.len == 0 || memchr(bytes.bytes, '\0', bytes.len))
        return 0;
    *ret_text = strndup(bytes.bytes, bytes.len);
    return *ret_text ? 0 : -1;
}

/* The same, but "" instead of NULL. */
static int copy_name(amqp_bytes_t bytes, char **ret_text)
{
    if (copy_text(bytes, SHORT_TEXT_MOST, ret_text) < 0)
        return -1;
    if (!*ret_text)
        *ret_text = strdup("");
    return *ret_text ? 0 : -1;
}

/* What lies deeper in the table is nobody's business here. */
static const amqp_field_value_t *find_header(const amqp_table_t *headers, const char *key)
{
    size_t length = strlen(key);

    for (int i = 0; i < headers->num_entries; i++) {
        const amqp_table_entry_t *entry = &headers->entries[i];

        if (entry->key.len == length && memcmp(entry->key.bytes, key, length) == 0)
            return &entry->value;
    }
    return NULL;
}

static int copy_header(const amqp_table_t *headers, const char *key, char **ret_text)
{
    const amqp_field_value_t *value = find_header(headers, key);

    return value && value->kind == AMQP_FIELD_KIND_UTF8
               ? copy_text(value->value.bytes, HEADER_TEXT_MOST, ret_text)
               : 0;
}

/* Of any of AMQP's kinds of integers; -1 where it is none, or negative. */
static int64_t header_number(const amqp_table_t *headers, const char *key)
{
    const amqp_field_value_t *value = find_header(headers, key);
    int64_t number = -1;

    switch (value ? value->kind : AMQP_FIELD_KIND_VOID) {
    case AMQP_FIELD_KIND_I8:
        number = value->value.i8;
        break;
    case AMQP_FIELD_KIND_U8:
        number = value->value.u8;
        break;
    case AMQP_FIELD_KIND_I16:
        number = value->value.i16;
        break;
    case AMQP_FIELD_KIND_U16:
        number = value->value.u16;
        break;
    case AMQP_FIELD_KIND_I32:
        number = value->value.i32;
        break;
    case AMQP_FIELD_KIND_U32:
        number = value->value.u32;
        break;
    case AMQP_FIELD_KIND_I64:
        number = value->value.i64;
        break;
    case AMQP_FIELD_KIND_U64:
        number = value->value.u64 <= INT64_MAX ? (int64_t)value->value.u64 : -1;
        break;
    }
    return number < 0 ? -1 : number;
}

static int copy_headers(struct delivery *delivery, const amqp_table_t *headers)
{
    int64_t attempt = header_number(headers, "x-virtjob-attempt");

    delivery->attempt = attempt >= 1 && attempt <= ATTEMPT_MOST ? attempt : 0;
    delivery->stream_offset = header_number(headers, "x-stream-offset");
    if (copy_header(headers, "traceparent", &delivery->traceparent) < 0 ||
        copy_header(headers, "tracestate", &delivery->tracestate) < 0 ||
        copy_header(headers, "x-virtjob-requester", &delivery->requester) < 0 ||
        copy_header(headers, "x-virtjob-reason", &delivery->reason) < 0)
        return -1;
    return delivery->reason ? 0 : copy_header(headers, "x-first-death-reason", &delivery->reason);
}

static int copy_properties(struct delivery *delivery, const amqp_basic_properties_t *properties)
{
    const struct {
        amqp_flags_t flag;
        amqp_bytes_t bytes;
        char **field;
    } texts[] = {
        { AMQP_BASIC_CONTENT_TYPE_FLAG, properties->content_type, &delivery->content_type },
        { AMQP_BASIC_MESSAGE_ID_FLAG, properties->message_id, &delivery->message_id },
        { AMQP_BASIC_CORRELATION_ID_FLAG, properties->correlation_id, &delivery->correlation_id },
        { AMQP_BASIC_REPLY_TO_FLAG, properties->reply_to, &delivery->reply_to },
        { AMQP_BASIC_USER_ID_FLAG, properties->user_id, &delivery->user_id },
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if ((properties->_flags & texts[i].flag) &&
            copy_text(texts[i].bytes, SHORT_TEXT_MOST, texts[i].field) < 0)
            return -1;
    if (properties->_flags & AMQP_BASIC_TIMESTAMP_FLAG)
        delivery->timestamp = properties->timestamp;
    return properties->_flags & AMQP_BASIC_HEADERS_FLAG ? copy_headers(delivery, &properties->headers) : 0;
}

static int link_begin_content(struct link *link, enum link_content_kind kind, amqp_bytes_t exchange,
                              amqp_bytes_t routing_key, struct error *err)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    link_frames_reset(link);
    link->content.kind = kind;
    link->content.delivery = delivery;
    if (!delivery || copy_name(exchange, &delivery->exchange) < 0 ||
        copy_name(routing_key, &delivery->routing_key) < 0)
        return error_set_memory(err);
    delivery->stream_offset = -1;
    return 0;
}

static int on_deliver(struct link *link, const void *method, struct error *err)
{
    const amqp_basic_deliver_t *deliver = method;

    if (link_begin_content(link, CONTENT_DELIVERY, deliver->exchange, deliver->routing_key, err) < 0)
        return -1;
    link->content.delivery->tag =
        (struct delivery_tag){ .epoch = atomic_load(&link->epoch), .tag = deliver->delivery_tag };
    link->content.delivery->redelivered = deliver->redelivered;
    return link_outstanding_add(link, deliver->delivery_tag, err);
}

static int on_return(struct link *link, const void *method, struct error *err)
{
    const amqp_basic_return_t *back = method;

    if (link_begin_content(link, CONTENT_RETURN, back->exchange, back->routing_key, err) < 0)
        return -1;
    log_debug("link", "a message came back", "link", link->name, "exchange", link->content.delivery->exchange,
              "routing_key", link->content.delivery->routing_key, NULL);
    return 0;
}

static void link_hand_over(struct link *link, struct delivery *delivery)
{
    if (link->paused || !link->events.delivery) {
        struct link_command back = { .tag = delivery->tag, .how = LINK_REQUEUE };

        link_outstanding_mark(link, &back);
        delivery_free(delivery);
        return;
    }
    link->events.delivery(link, delivery, link->opaque);
}

static void link_end_content(struct link *link)
{
    enum link_content_kind kind = link->content.kind;
    struct delivery *delivery = link->content.delivery;

    if (link->content.left > 0)
        return;
    link->content = (struct link_content){ 0 };
    if (kind == CONTENT_DELIVERY) {
        link_hand_over(link, delivery);
        return;
    }
    link_returned(link, delivery);
    delivery_free(delivery);
}

static int on_header(struct link *link, const amqp_frame_t *frame, struct error *err)
{
    struct link_content *content = &link->content;
    struct delivery *delivery = content->delivery;
    uint64_t length = frame->payload.properties.body_size;

    if (content->kind == CONTENT_NONE || content->has_header ||
        frame->payload.properties.class_id != AMQP_BASIC_CLASS)
        return error_set(err, ERROR_BROKER, "a content header where none was due");
    if (copy_properties(delivery, frame->payload.properties.decoded) < 0)
        return error_set_memory(err);
    content->has_header = true;
    content->left = length;
    delivery->length = length > SIZE_MAX - 1 ? SIZE_MAX - 1 : (size_t)length;
    delivery->oversized = length > link->settings.max_body;
    if (content->kind == CONTENT_DELIVERY && !delivery->oversized) {
        delivery->body = malloc(delivery->length + 1);
        if (!delivery->body)
            return error_set_memory(err);
        delivery->body[delivery->length] = '\0';
    }
    link_end_content(link);
    return 0;
}

/* The body of a return, or of a delivery that is too large, is let go piece by piece. */
static int on_body(struct link *link, const amqp_frame_t *frame, struct error *err)
{
    struct link_content *content = &link->content;
    amqp_bytes_t piece = frame->payload.body_fragment;

    if (!content->has_header || piece.len > content->left)
        return error_set(err, ERROR_BROKER, "a body where none was due");
    if (content->delivery->body && piece.len > 0)
        memcpy(content->delivery->body + content->filled, piece.bytes, piece.len);
    content->filled += piece.len;
    content->left -= piece.len;
    link_end_content(link);
    return 0;
}

static int on_ack(struct link *link, const void *method, struct error *err)
{
    const amqp_basic_ack_t *ack = method;

    (void)err;
    link_confirm(link, ack->delivery_tag, ack->multiple, true);
    return 0;
}

static int on_nack(struct link *link, const void *method, struct error *err)
{
    const amqp_basic_nack_t *nack = method;

    (void)err;
    link_confirm(link, nack->delivery_tag, nack->multiple, false);
    return 0;
}

/* The queue was deleted, or its leader has moved: `open` will declare and consume again. */
static int on_cancel(struct link *link, const void *method, struct error *err)
{
    (void)link;
    (void)method;
    return error_set(err, ERROR_BROKER,
                     "the broker cancelled a consumer: its queue was deleted or has moved");
}

static int on_channel_close(struct link *link, const void *method, struct error *err)
{
    const amqp_channel_close_t *end = method;
    amqp_channel_close_ok_t answer = { 0 };

    (void)amqp_send_method(link->amqp, LINK_CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD, &answer);
    if (end->class_id == AMQP_BASIC_CLASS && end->method_id == (AMQP_BASIC_PUBLISH_METHOD & 0xffff))
        link_publish_refused(link);
    return error_set(err, ERROR_BROKER, "the broker closed the channel: %u %.*s", end->reply_code,
                     (int)end->reply_text.len, (const char *)end->reply_text.bytes);
}

static int on_connection_close(struct link *link, const void *method, struct error *err)
{
    const amqp_connection_close_t *end = method;
    amqp_connection_close_ok_t answer = { 0 };

    (void)amqp_send_method(link->amqp, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &answer);
    return error_set(err, ERROR_BROKER, "the broker closed the connection: %u %.*s", end->reply_code,
                     (int)end->reply_text.len, (const char *)end->reply_text.bytes);
}

static int on_blocked(struct link *link, const void *method, struct error *err)
{
    (void)err;
    link_block(link, ((const amqp_connection_blocked_t *)method)->reason);
    return 0;
}

static int on_unblocked(struct link *link, const void *method, struct error *err)
{
    (void)method;
    (void)err;
    link_unblock(link);
    return 0;
}

static const struct {
    amqp_method_number_t id;
    int (*handle)(struct link *link, const void *method, struct error *err);
} methods[] = {
    { AMQP_BASIC_ACK_METHOD, on_ack },
    { AMQP_BASIC_DELIVER_METHOD, on_deliver },
    { AMQP_BASIC_NACK_METHOD, on_nack },
    { AMQP_BASIC_RETURN_METHOD, on_return },
    { AMQP_BASIC_CANCEL_METHOD, on_cancel },
    { AMQP_CHANNEL_CLOSE_METHOD, on_channel_close },
    { AMQP_CONNECTION_CLOSE_METHOD, on_connection_close },
    { AMQP_CONNECTION_BLOCKED_METHOD, on_blocked },
    { AMQP_CONNECTION_UNBLOCKED_METHOD, on_unblocked },
};

static int on_method(struct link *link, const amqp_method_t *method, struct error *err)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (methods[i].id == method->id)
            return methods[i].handle(link, method->decoded, err);
    log_debug("link", "a method that means nothing here", "link", link->name, "method",
              amqp_method_name(method->id), NULL);
    return 0;
}

static int link_handle_frame(struct link *link, const amqp_frame_t *frame, struct error *err)
{
    switch (frame->frame_type) {
    case AMQP_FRAME_METHOD:
        return on_method(link, &frame->payload.method, err);
    case AMQP_FRAME_HEADER:
        return on_header(link, frame, err);
    case AMQP_FRAME_BODY:
        return on_body(link, frame, err);
    default: /* a heartbeat that the library read while it sent */
        return 0;
    }
}

/* With no wait allowed the library still sends the heartbeat that is due and finds out that one is missing, so a call
 * without a frame is never in vain. Each frame's content is copied before the next is read: its memory goes back. */
int link_read(struct link *link, struct error *err)
{
    struct timeval at_once = { 0 };
    amqp_frame_t frame;

    for (int i = 0; i < LINK_TURN_FRAMES; i++) {
        int status = amqp_simple_wait_frame_noblock(link->amqp, &frame, &at_once);

        if (status == AMQP_STATUS_TIMEOUT)
            return 0;
        if (status != AMQP_STATUS_OK)
            return link_check_status(status, err, "reading");
        if (link_handle_frame(link, &frame, err) < 0)
            return -1;
        amqp_maybe_release_buffers(link->amqp);
        /* What is still in the kernel shows on poll(); what TLS has decrypted does not. */
        if (!link->tls && !link_has_buffered(link))
            return 0;
    }
    return 0;
}
