/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Which deliveries of this connection are not settled, and telling the broker in as few frames as is safe.
 *
 * A channel's delivery tags ascend, so the deliveries form a sorted array from `delivery_first` to `delivery_end`. */

#include "link_internal.h"

#include <stdlib.h>
#include <string.h>

/* Forgets what is gone, and moves the rest to the front. */
static void link_outstanding_compact(struct link *link)
{
    size_t kept = 0;

    for (size_t i = link->delivery_first; i < link->delivery_end; i++)
        if (link->deliveries[i].mark != MARK_GONE)
            link->deliveries[kept++] = link->deliveries[i];
    link->delivery_first = 0;
    link->delivery_end = kept;
}

static int link_outstanding_grow(struct link *link, struct error *err)
{
    size_t capacity = link->delivery_capacity ? link->delivery_capacity * 2 : 256;
    struct link_delivery *larger = reallocarray(link->deliveries, capacity, sizeof(*larger));

    if (!larger)
        return error_set_memory(err);
    link->deliveries = larger;
    link->delivery_capacity = capacity;
    return 0;
}

int link_outstanding_add(struct link *link, uint64_t tag, struct error *err)
{
    if (link->delivery_end == link->delivery_capacity) {
        link_outstanding_compact(link);
        /* Less than half free: compacting again soon would cost more than the memory. */
        if (link->delivery_end * 2 >= link->delivery_capacity && link_outstanding_grow(link, err) < 0)
            return -1;
    }
    link->deliveries[link->delivery_end++] = (struct link_delivery){ .tag = tag, .mark = MARK_OPEN };
    return 0;
}

static struct link_delivery *link_outstanding_find(struct link *link, uint64_t tag)
{
    size_t low = link->delivery_first, high = link->delivery_end;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (link->deliveries[middle].tag < tag)
            low = middle + 1;
        else
            high = middle;
    }
    return low < link->delivery_end && link->deliveries[low].tag == tag ? &link->deliveries[low] : NULL;
}

/* A tag that is unknown or settled already is ignored: the broker would close the channel for it. */
void link_outstanding_mark(struct link *link, const struct link_command *command)
{
    static const enum link_mark marks[] = {
        [LINK_ACK] = MARK_ACK, [LINK_REQUEUE] = MARK_REQUEUE, [LINK_REJECT] = MARK_REJECT
    };
    struct link_delivery *delivery;

    if (!link->amqp || command->tag.epoch != atomic_load(&link->epoch))
        return;
    delivery = link_outstanding_find(link, command->tag.tag);
    if (!delivery || delivery->mark != MARK_OPEN)
        return;
    delivery->mark = marks[command->how];
    link->marked++;
}

static int link_send_refusal(struct link *link, struct link_delivery *delivery)
{
    int status = amqp_basic_nack(link->amqp, LINK_CHANNEL, delivery->tag, 0, delivery->mark == MARK_REQUEUE);

    delivery->mark = MARK_GONE;
    link->marked--;
    return status;
}

/* Everything up to the first delivery that is still open may go in one ack: all lower tags are settled the same way, or
 * have been settled before. */
static int link_ack_prefix(struct link *link)
{
    uint64_t last = 0;
    size_t acks = 0;

    for (; link->delivery_first < link->delivery_end; link->delivery_first++) {
        const struct link_delivery *delivery = &link->deliveries[link->delivery_first];

        if (delivery->mark == MARK_OPEN)
            break;
        if (delivery->mark == MARK_ACK) {
            last = delivery->tag;
            acks++;
        }
    }
    link->marked -= acks;
    return acks ? amqp_basic_ack(link->amqp, LINK_CHANNEL, last, acks > 1) : AMQP_STATUS_OK;
}

int link_settle_flush(struct link *link, struct error *err)
{
    int status = AMQP_STATUS_OK;
    size_t i = link->delivery_first;

    if (link->marked == 0)
        return 0;
    for (; i < link->delivery_end && status == AMQP_STATUS_OK; i++)
        if (link->deliveries[i].mark == MARK_REQUEUE || link->deliveries[i].mark == MARK_REJECT)
            status = link_send_refusal(link, &link->deliveries[i]);
    if (status == AMQP_STATUS_OK)
        status = link_ack_prefix(link);
    for (i = link->delivery_first; link->marked > 0 && status == AMQP_STATUS_OK; i++) {
        if (link->deliveries[i].mark != MARK_ACK)
            continue;
        status = amqp_basic_ack(link->amqp, LINK_CHANNEL, link->deliveries[i].tag, 0);
        link->deliveries[i].mark = MARK_GONE;
        link->marked--;
    }
    return link_check_status(status, err, "acknowledging");
}

void link_outstanding_reset(struct link *link)
{
    link->delivery_first = link->delivery_end = 0;
    link->marked = 0;
}
