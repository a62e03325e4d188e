/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Making and freeing of deliveries and messages; what they mean is in the header. */

#include "message.h"

#include <stdlib.h>
#include <string.h>

void delivery_free(struct delivery *delivery)
{
    if (!delivery)
        return;
    free(delivery->exchange);
    free(delivery->routing_key);
    free(delivery->content_type);
    free(delivery->message_id);
    free(delivery->correlation_id);
    free(delivery->reply_to);
    free(delivery->user_id);
    free(delivery->traceparent);
    free(delivery->tracestate);
    free(delivery->requester);
    free(delivery->reason);
    free(delivery->body);
    free(delivery);
}

struct message *message_new(const char *exchange, const char *routing_key, char *body, size_t length)
{
    struct message *message = calloc(1, sizeof(*message));

    if (!message) {
        free(body);
        return NULL;
    }
    message->body = body;
    message->length = length;
    message->exchange = strdup(exchange);
    message->routing_key = strdup(routing_key);
    if (!message->exchange || !message->routing_key) {
        message_free(message);
        return NULL;
    }
    return message;
}

void message_free(struct message *message)
{
    if (!message)
        return;
    free(message->exchange);
    free(message->routing_key);
    free(message->content_type);
    free(message->message_id);
    free(message->correlation_id);
    free(message->reply_to);
    free(message->user_id);
    free(message->traceparent);
    free(message->tracestate);
    free(message->reason);
    free(message->requester);
    free(message->body);
    free(message);
}
