/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What goes over AMQP, free of any library's types: a delivery that came in, a message that goes out. */

#ifndef VIRTJOB_MESSAGE_H
#define VIRTJOB_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Names one delivery for its acknowledgement: valid as long as the connection it came over. */
struct delivery_tag {
    uint64_t epoch; /* of the link's connection; never 0 */
    uint64_t tag;   /* basic.deliver delivery-tag */
};

/* Heap-allocated by the link, owned by whoever has it last; message_*, delivery_* are for any thread. Strings
 * are NULL where the property was absent or empty, had a NUL inside, or (a header) was longer than 512 bytes. */
struct delivery {
    struct delivery_tag tag;
    bool redelivered;
    char *exchange;    /* never NULL */
    char *routing_key; /* never NULL */
    char *content_type;
    char *message_id;
    char *correlation_id;
    char *reply_to;
    char *user_id;     /* validated by the broker */
    char *traceparent; /* headers of W3C Trace Context */
    char *tracestate;
    char *requester;       /* header x-virtjob-requester; a stranger may have written this and what follows */
    char *reason;          /* header x-virtjob-reason, or x-first-death-reason, which is the broker's */
    int64_t attempt;       /* header x-virtjob-attempt; 0 where absent or not within 1 to 1000000 */
    int64_t stream_offset; /* header x-stream-offset of what a stream delivers; -1: none */
    uint64_t timestamp;    /* seconds since 1970, 0 where absent */
    char *body;            /* `length` bytes and a NUL after them; NULL when oversized */
    size_t length;         /* as announced by the sender, also when oversized */
    bool oversized;        /* above the link's max_body: the body was thrown away */
};

void delivery_free(struct delivery *delivery);

enum message_fate {
    MESSAGE_CONFIRMED, /* the broker has it in every queue it was routed to */
    MESSAGE_RETURNED, /* mandatory, and no queue wanted it (basic.return, then the confirm); or the broker closes the
                       * channel whenever it sees it (no such exchange, no permission, too large). Before it is known which
                       * one does so, those published with it are sent again, or lost where they are bound: what then comes
                       * again by the same exchange, routing key and message id goes alone */
    MESSAGE_LOST,    /* it was for one connection (`epoch`), which has ended: the broker may have it or not */
    MESSAGE_DROPPED, /* let go before the broker had it: the link ended, or a droppable message under pressure */
};

/* Made by message_new, given away with link_publish. The link keeps it until its fate is known and sends it again
 * over a new connection when the old one broke before the confirm. */
struct message {
    char *exchange; /* "" for the default exchange */
    char *routing_key;
    char *content_type;
    char *message_id; /* stays the same when sent again, so that a copy can be told */
    char *correlation_id;
    char *reply_to;
    char *user_id;
    char *traceparent;
    char *tracestate;
    char *reason;    /* header `x-virtjob-reason`, for virtjob.dead */
    char *requester; /* header `x-virtjob-requester`: who published the job that is retried */
    int64_t attempt; /* header `x-virtjob-attempt`; 0: none */
    char *body;
    size_t length;
    uint64_t timestamp; /* seconds since 1970; 0: none */
    const char *kind; /* label of the metrics: "outcome", "progress", "lifecycle", …; static; NULL: "other" */
    /* Not 0: to be published over this connection of the link and no other (struct delivery_tag). What answers a delivery
     * goes over the connection that it came by: once the broker has given the delivery to somebody else, that connection
     * is closed, and no answer of ours can arrive any more. Its order among others stays. It is lost as soon as that
     * connection has ended, or the link sees it only then, whether or not it was sent; dropped where it is droppable. */
    uint64_t epoch;
    bool persistent;
    bool mandatory;
    bool droppable; /* progress */
    /* Called exactly once, on the link's thread (or the caller's of link_publish when dropped at once), before the
     * message is freed. NULL: nobody wants to know. */
    void (*settled)(void *opaque, const struct message *message, enum message_fate fate);
    void *opaque;
    struct message *prev, *next; /* the link's list */
};

/* Copies `exchange` and `routing_key`; takes `body` (malloc'd, may be NULL with length 0). NULL: no memory, and the
 * body is freed. */
struct message *message_new(const char *exchange, const char *routing_key, char *body, size_t length);
void message_free(struct message *message);

#endif
