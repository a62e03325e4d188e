/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A message of the control stream to an order. */

#include "control_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The longest that schemas/cancel.json takes, in the longest spelling, is below. */
#define ORDER_BYTES_MOST 4096

/* A timestamp that has not come yet is a mistake of the sender's. */
static int64_t order_given_ms(const struct delivery *delivery)
{
    int64_t now_ms = envelope_now_ms();

    return delivery->timestamp > 0 && delivery->timestamp < (uint64_t)now_ms / 1000
               ? (int64_t)delivery->timestamp * 1000
               : now_ms;
}

int control_order_parse(const struct schema *schema, const struct delivery *delivery,
                        struct control_order *order, json_t **ret_document, struct error *err)
{
    json_error_t fault;
    json_t *document;

    if (delivery->oversized || delivery->length > ORDER_BYTES_MOST)
        return error_set(err, ERROR_TOO_LARGE, "larger than %d bytes", ORDER_BYTES_MOST);
    document = json_loadb(delivery->body, delivery->length, JSON_REJECT_DUPLICATES, &fault);
    *ret_document = document;
    if (!document)
        return error_set(err, ERROR_INVALID, "not JSON: %s", fault.text);
    if (schema_check(schema, document, "", err) < 0)
        return -1;
    *order = (struct control_order){
        .reason = json_string_value(json_object_get(document, "reason")),
        .requester = delivery->user_id,
        .given_ms = order_given_ms(delivery),
    };
    snprintf(order->job, sizeof(order->job), "%s", json_string_value(json_object_get(document, "cancel")));
    for (char *at = order->job; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    return 0;
}
