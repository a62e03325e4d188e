/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Outgoing messages: waiting, then in the window of those published and not confirmed, then settled.
 *
 * A message's place in the window follows from its publish tag (1, 2, 3 … of the channel, as the broker counts them), so
 * a confirm finds it at once, and one that stands for many costs as much as it settles. */

#include "link_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kill_point.h"
#include "log.h"
#include "metrics.h"

/* A refused message (a full queue, a leader election) is not published again at once. */
#define REFUSED_PAUSE_MS 1000

static const char *message_kind(const struct message *message)
{
    return message->kind ? message->kind : "other";
}

static void link_settle_message(struct link *link, struct message *message, enum message_fate fate)
{
    link->settled_now++;
    link->confirmed_now += fate == MESSAGE_CONFIRMED;
    if (fate == MESSAGE_RETURNED)
        metrics_add(METRIC_RETURNED, 1, NULL, NULL);
    if (fate == MESSAGE_DROPPED)
        metrics_add(METRIC_DROPPED, 1, message_kind(message), NULL);
    if (message->settled)
        message->settled(message->opaque, message, fate);
    message_free(message);
}

bool link_is_stray(const struct link *link, const struct message *message)
{
    return message->epoch != 0 && message->epoch != atomic_load_explicit(&link->epoch, memory_order_relaxed);
}

void link_take(struct link *link, struct message *message)
{
    bool stray = link_is_stray(link, message);

    metrics_add(METRIC_PENDING, 1, NULL, NULL);
    if (message->droppable && (stray || !link->was_up || link->blocked)) {
        link_settle_message(link, message, MESSAGE_DROPPED);
        return;
    }
    if (stray) {
        link_settle_message(link, message, MESSAGE_LOST);
        return;
    }
    if (!link_message_fits(message)) {
        log_error("link", "a message with a property longer than AMQP allows is dropped", "link", link->name,
                  "exchange", message->exchange, NULL);
        link_settle_message(link, message, MESSAGE_DROPPED);
        return;
    }
    message_list_append(&link->waiting, message);
}

static void link_account_kind(struct link *link)
{
    if (link->kind_count > 0)
        metrics_add(METRIC_PUBLISHED, (double)link->kind_count, link->kind_now, NULL);
    link->kind_count = 0;
}

void link_publish_account(struct link *link)
{
    link_account_kind(link);
    if (link->settled_now == 0)
        return;
    metrics_add(METRIC_PENDING, -(double)link->settled_now, NULL, NULL);
    if (link->confirmed_now > 0)
        metrics_add(METRIC_CONFIRMED, (double)link->confirmed_now, NULL, NULL);
    pthread_mutex_lock(&link->lock);
    link->pending -= link->settled_now;
    pthread_cond_broadcast(&link->changed);
    pthread_mutex_unlock(&link->lock);
    link->settled_now = link->confirmed_now = 0;
}

bool link_has_unconfirmed(const struct link *link)
{
    return link->window_first != link->window_next;
}

bool link_can_publish(const struct link *link)
{
    uint64_t under_way = link->window_next - link->window_first;

    if (!link->waiting.first || link->blocked || link->alone || under_way >= LINK_WINDOW)
        return false;
    return under_way == 0 || !link_is_suspect(link, link->waiting.first);
}

static struct link_slot *link_slot_of(struct link *link, uint64_t tag)
{
    return &link->window[tag % LINK_WINDOW];
}

static int link_publish_one(struct link *link, struct message *message, struct error *err)
{
    amqp_table_entry_t headers[LINK_HEADERS_MOST];
    amqp_basic_properties_t properties = { .headers = { .entries = headers } };
    amqp_bytes_t body = { .len = message->length, .bytes = message->body };

    *link_slot_of(link, link->window_next++) = (struct link_slot){ .message = message };
    link->alone = link_is_suspect(link, message);
    link_message_properties(message, &properties);
    if (link->kind_now != message_kind(message))
        link_account_kind(link);
    link->kind_now = message_kind(message);
    link->kind_count++;
    int status =
        amqp_basic_publish(link->amqp, LINK_CHANNEL, link_bytes(message->exchange),
                           link_bytes(message->routing_key), message->mandatory, 0, &properties, body);
    if (message->mandatory)
        kill_point("after-publish");
    return link_check_status(status, err, "publishing");
}

int link_publish_some(struct link *link, struct error *err)
{
    size_t bytes = 0;

    for (int i = 0; i < LINK_TURN_MESSAGES && bytes < LINK_TURN_BYTES && link_can_publish(link); i++) {
        struct message *message = message_list_pop(&link->waiting);

        bytes += message->length;
        link_touch(link);
        if (link_publish_one(link, message, err) < 0)
            return -1;
    }
    return 0;
}

/* Refused messages go before those that have waited since. */
static void link_retry_refused(struct link *link)
{
    if (!link->refused.first || link_now_ms() < link->refused_until_ms)
        return;
    link->refused.last->next = link->waiting.first;
    if (link->waiting.first)
        link->waiting.first->prev = link->refused.last;
    else
        link->waiting.last = link->refused.last;
    link->waiting.first = link->refused.first;
    link->refused = (struct message_list){ 0 };
}

int64_t link_publish_timer(const struct link *link)
{
    int64_t until = link->refused.first ? link->refused_until_ms : INT64_MAX;
    int64_t patience_ms = (int64_t)link->settings.broker->blocked_timeout_s * 1000;

    if (link->blocked && link->blocked_since_ms + patience_ms < until)
        until = link->blocked_since_ms + patience_ms;
    return until;
}

static void link_refuse(struct link *link, struct message *message)
{
    if (message->droppable) {
        link_settle_message(link, message, MESSAGE_DROPPED);
        return;
    }
    if (!link->refused.first) {
        log_warning("link", "the broker refused a message: publishing it again in a second", "link",
                    link->name, "exchange", message->exchange, "routing_key", message->routing_key, NULL);
        link->refused_until_ms = link_now_ms() + REFUSED_PAUSE_MS;
    }
    message_list_append(&link->refused, message);
}

static void link_confirm_one(struct link *link, uint64_t tag, bool accepted)
{
    struct link_slot slot = *link_slot_of(link, tag);

    if (!slot.message)
        return;
    *link_slot_of(link, tag) = (struct link_slot){ 0 };
    if (link->alone)
        link_acquit(link, slot.message);
    link->alone = false;
    if (accepted)
        link_settle_message(link, slot.message, slot.returned ? MESSAGE_RETURNED : MESSAGE_CONFIRMED);
    else
        link_refuse(link, slot.message);
}

void link_confirm(struct link *link, uint64_t tag, bool multiple, bool accepted)
{
    /* 0 with `multiple` is "all", by the letter of AMQP. */
    if (tag == 0 && multiple)
        tag = link->window_next - 1;
    if (tag < link->window_first || tag >= link->window_next)
        return;
    for (uint64_t each = multiple ? link->window_first : tag; each <= tag; each++)
        link_confirm_one(link, each, accepted);
    while (link_has_unconfirmed(link) && !link_slot_of(link, link->window_first)->message)
        link->window_first++;
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : (!a || !*a) && (!b || !*b);
}

/* A return names no publish tag. But returns keep the order of publishing and come before the confirm of their message,
 * so the next mandatory one with the same exchange, routing key and message id is the one meant; and where two are the
 * same in all that, it does not matter which. */
void link_returned(struct link *link, const struct delivery *content)
{
    uint64_t tag = link->return_next > link->window_first ? link->return_next : link->window_first;

    for (; tag < link->window_next; tag++) {
        struct link_slot *slot = link_slot_of(link, tag);

        if (slot->message && slot->message->mandatory && !slot->returned &&
            same(slot->message->message_id, content->message_id) &&
            same(slot->message->routing_key, content->routing_key) &&
            same(slot->message->exchange, content->exchange)) {
            slot->returned = true;
            link->return_next = tag + 1;
            return;
        }
    }
    log_warning("link", "a message came back that nobody waits for", "link", link->name, "exchange",
                content->exchange, "routing_key", content->routing_key, NULL);
}

/* Lets go of what may not wait: the droppable, and what was for a connection that has ended. */
static void link_sift_waiting(struct link *link)
{
    struct message_list kept = { 0 };
    struct message *message;

    while ((message = message_list_pop(&link->waiting))) {
        if (message->droppable)
            link_settle_message(link, message, MESSAGE_DROPPED);
        else if (link_is_stray(link, message))
            link_settle_message(link, message, MESSAGE_LOST);
        else
            message_list_append(&kept, message);
    }
    link->waiting = kept;
}

static void link_set_droppable(struct link *link, bool welcome)
{
    pthread_mutex_lock(&link->lock);
    link->takes_droppable = welcome;
    pthread_mutex_unlock(&link->lock);
}

void link_block(struct link *link, amqp_bytes_t reason)
{
    if (link->blocked)
        return;
    link->blocked = true;
    link->blocked_since_ms = link_now_ms();
    snprintf(link->blocked_reason, sizeof(link->blocked_reason), "%.*s", (int)reason.len,
             reason.len ? (const char *)reason.bytes : "");
    log_warning("link", "the broker has blocked publishing", "link", link->name, "reason",
                link->blocked_reason, NULL);
    link_set_droppable(link, false);
    link_sift_waiting(link);
}

void link_unblock(struct link *link)
{
    if (!link->blocked)
        return;
    link->blocked = false;
    log_info("link", "the broker takes messages again", "link", link->name, NULL);
    link_set_droppable(link, true);
}

int link_publish_check(struct link *link, struct error *err)
{
    int patience_s = link->settings.broker->blocked_timeout_s;

    link_retry_refused(link);
    link_forgive(link);
    if (!link->blocked || link_now_ms() < link->blocked_since_ms + (int64_t)patience_s * 1000)
        return 0;
    return error_set(err, ERROR_BROKER, "publishing has been blocked for %d s (%s)", patience_s,
                     link->blocked_reason);
}

/* The only one in the window; NULL where there are more. */
static struct link_slot *link_lonely_slot(struct link *link)
{
    struct link_slot *only = NULL;

    for (uint64_t tag = link->window_first; tag < link->window_next; tag++) {
        struct link_slot *slot = link_slot_of(link, tag);

        if (slot->message && only)
            return NULL;
        if (slot->message)
            only = slot;
    }
    return only;
}

static void link_give_up(struct link *link, struct link_slot *slot)
{
    struct message *message = slot->message;

    log_error("link", "the broker closes the channel for this message: it is given up", "link", link->name,
              "exchange", message->exchange, "routing_key", message->routing_key, "message_id",
              message->message_id, NULL);
    link_acquit(link, message);
    *slot = (struct link_slot){ 0 };
    link_settle_message(link, message, MESSAGE_RETURNED);
}

/* Which of those in the window it was, nobody says: so they all are under suspicion, and go alone over the next connection,
 * where one that has it closed again is found out. Until then an exchange that was missing may have been declared; but one
 * that is bound to this connection has no other. */
void link_publish_refused(struct link *link)
{
    struct link_slot *only = link_lonely_slot(link);

    if (only && (only->message->epoch != 0 || link_is_suspect(link, only->message))) {
        link_give_up(link, only);
        return;
    }
    for (uint64_t tag = link->window_first; tag < link->window_next; tag++)
        if (link_slot_of(link, tag)->message)
            link_suspect(link, link_slot_of(link, tag)->message);
}

/* From the last to the first, each before those that wait, so that the old order holds on the next connection. */
void link_publish_reset(struct link *link)
{
    link->refused_until_ms = 0;
    link_retry_refused(link);
    while (link_has_unconfirmed(link)) {
        struct link_slot *slot = link_slot_of(link, --link->window_next);

        if (slot->message)
            message_list_prepend(&link->waiting, slot->message);
        *slot = (struct link_slot){ 0 };
    }
    link->window_first = link->window_next = link->return_next = 1;
    link->blocked = link->alone = false;
    link_sift_waiting(link);
}

void link_publish_drop_all(struct link *link)
{
    struct message *message;

    link_publish_reset(link);
    while ((message = message_list_pop(&link->waiting)))
        link_settle_message(link, message, MESSAGE_DROPPED);
}
