/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What `open` may ask of the broker: exchanges, queues, bindings, consumers. */

#include "link_internal.h"

#include <stdio.h>
#include <string.h>

#define ARGUMENTS_MOST  16
#define QUEUE_NAME_SIZE 256

/* Fills `entries` (ARGUMENTS_MOST) from a list that ends with a NULL key. */
static amqp_table_t arguments_table(const struct link_argument *arguments, amqp_table_entry_t *entries)
{
    amqp_table_t table = { .entries = entries };

    for (; arguments && arguments->key && table.num_entries < ARGUMENTS_MOST; arguments++) {
        amqp_table_entry_t *entry = &entries[table.num_entries++];

        entry->key = amqp_cstring_bytes(arguments->key);
        entry->value.kind = AMQP_FIELD_KIND_I64;
        entry->value.value.i64 = arguments->number;
        if (arguments->text) {
            entry->value.kind = AMQP_FIELD_KIND_UTF8;
            entry->value.value.bytes = amqp_cstring_bytes(arguments->text);
        } else if (arguments->flag) {
            entry->value.kind = AMQP_FIELD_KIND_BOOLEAN;
            entry->value.value.boolean = 1;
        }
    }
    return table;
}

static int link_check(struct link *link, struct error *err, const char *what, const char *name)
{
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(link->amqp);
    const amqp_channel_close_t *end = reply.reply.decoded;

    link_touch(link);
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD &&
        end->reply_code == AMQP_PRECONDITION_FAILED)
        return error_set(
            err, ERROR_BROKER,
            "%s '%s' exists already with other properties: delete it (a queue once it is empty), or set "
            "another broker.prefix; the broker says: %.*s",
            what, name, (int)end->reply_text.len, (const char *)end->reply_text.bytes);
    return link_check_reply(reply, err, "%s '%s'", what, name);
}

int link_declare_exchange(struct link *link, const char *name, const char *kind, struct error *err)
{
    amqp_exchange_declare(link->amqp, LINK_CHANNEL, link_bytes(name), link_bytes(kind), 0, 1, 0, 0,
                          amqp_empty_table);
    return link_check(link, err, "exchange", name);
}

int link_declare_queue(struct link *link, const char *name, const struct link_argument *arguments,
                       struct error *err)
{
    amqp_table_entry_t entries[ARGUMENTS_MOST];

    amqp_queue_declare(link->amqp, LINK_CHANNEL, link_bytes(name), 0, 1, 0, 0,
                       arguments_table(arguments, entries));
    return link_check(link, err, "queue", name);
}

int link_count_messages(struct link *link, const char *queue, size_t *ret_messages, size_t *ret_consumers,
                        struct error *err)
{
    const amqp_queue_declare_ok_t *there =
        amqp_queue_declare(link->amqp, LINK_CHANNEL, link_bytes(queue), 1, 1, 0, 0, amqp_empty_table);

    if (link_check(link, err, "queue", queue) < 0)
        return -1;
    *ret_messages = there->message_count;
    *ret_consumers = there->consumer_count;
    return 0;
}

int link_declare_private_queue(struct link *link, char *ret_name, struct error *err)
{
    static const struct link_argument classic[] = { { .key = "x-queue-type", .text = "classic" }, { 0 } };
    amqp_table_entry_t entries[ARGUMENTS_MOST];
    const amqp_queue_declare_ok_t *queue = amqp_queue_declare(link->amqp, LINK_CHANNEL, amqp_empty_bytes, 0,
                                                              0, 1, 1, arguments_table(classic, entries));

    if (link_check(link, err, "queue", "of our own") < 0)
        return -1;
    snprintf(ret_name, QUEUE_NAME_SIZE, "%.*s", (int)queue->queue.len, (const char *)queue->queue.bytes);
    amqp_maybe_release_buffers(link->amqp);
    return 0;
}

int link_bind(struct link *link, const char *queue, const char *exchange, const char *routing_key,
              struct error *err)
{
    amqp_queue_bind(link->amqp, LINK_CHANNEL, link_bytes(queue), link_bytes(exchange),
                    link_bytes(routing_key), amqp_empty_table);
    return link_check(link, err, "binding of queue", queue);
}

/* The tag of a consumer is ours to choose. */
static amqp_bytes_t consumer_tag(int number, char *buffer, size_t size)
{
    snprintf(buffer, size, "c%d", number);
    return amqp_cstring_bytes(buffer);
}

int link_consume(struct link *link, const char *queue, uint16_t prefetch,
                 const struct link_argument *arguments, struct error *err)
{
    amqp_table_entry_t entries[ARGUMENTS_MOST];
    char tag[16];

    if (link->paused)
        return 0;
    /* Not global: it holds for the consumers that follow, each by itself. */
    amqp_basic_qos(link->amqp, LINK_CHANNEL, 0, prefetch, 0);
    if (link_check(link, err, "prefetch for queue", queue) < 0)
        return -1;
    amqp_basic_consume(link->amqp, LINK_CHANNEL, link_bytes(queue),
                       consumer_tag(link->consumers, tag, sizeof(tag)), 0, 0, 0,
                       arguments_table(arguments, entries));
    if (link_check(link, err, "consumer of queue", queue) < 0)
        return -1;
    link->consumers++;
    return 0;
}

/* The broker's channel keeps back what it cannot settle with a quorum queue at once, and forgets that when it ends. To
 * cancel a consumer it waits until the queue has done what was sent before; then it sends the rest, and answers again. */
int link_settle_for_good(struct link *link)
{
    char tag[16];

    if (link->consumers == 0)
        return 0;
    for (; link->consumers > 0; link->consumers--)
        if (!amqp_basic_cancel(link->amqp, LINK_CHANNEL, consumer_tag(link->consumers - 1, tag, sizeof(tag))))
            return -1;
    return amqp_basic_qos(link->amqp, LINK_CHANNEL, 0, 0, 0) ? 0 : -1;
}

/* Without waiting for the answers: what is delivered until then goes straight back. */
int link_cancel_consumers(struct link *link, struct error *err)
{
    int status = AMQP_STATUS_OK;
    char tag[16];

    for (; link->consumers > 0 && status == AMQP_STATUS_OK; link->consumers--) {
        amqp_basic_cancel_t cancel = { .consumer_tag = consumer_tag(link->consumers - 1, tag, sizeof(tag)),
                                       .nowait = 1 };

        status = amqp_send_method(link->amqp, LINK_CHANNEL, AMQP_BASIC_CANCEL_METHOD, &cancel);
    }
    return link_check_status(status, err, "cancelling a consumer");
}
