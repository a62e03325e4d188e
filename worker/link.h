/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One AMQP 0-9-1 connection with one channel, served by one thread: frames, heartbeats, confirms, reconnecting.
 *
 * The link connects, runs its owner's `open` (declare, consume), then moves messages until the connection breaks; then
 * it waits (jittered, growing from 0.2 s to 30 s) and starts over, for as long as it lives. What was published and not
 * confirmed is sent again over the new connection, but for messages bound to the old one (`epoch`), which are lost;
 * deliveries of the old one can no longer be settled and come again.
 * The only file that knows librabbitmq is link.c (with its private parts link_*.c). */

#ifndef VIRTJOB_LINK_H
#define VIRTJOB_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "error.h"
#include "message.h"

struct link;

/* All are called on the link's thread; any may be NULL. */
struct link_events {
    /* The channel is open: declare and consume here with the link_* calls below. -1: the connection is closed and
     * tried again later. */
    int (*open)(struct link *link, void *opaque, struct error *err);
    /* Takes the delivery. Must not block. */
    void (*delivery)(struct link *link, struct delivery *delivery, void *opaque);
    /* The connection has ended, its delivery tags with it. */
    void (*closed)(struct link *link, void *opaque);
};

struct link_settings {
    const struct config_broker *broker; /* outlives the link */
    const char *name;   /* "quick", for logs, metrics and the connection_name the broker shows; copied */
    size_t max_body;    /* larger bodies arrive as oversized deliveries */
    size_t max_pending; /* messages waiting or unconfirmed; droppable ones get half of it */
    bool once;          /* give up where no connect succeeds (the command line); see link_wait_up */
    bool passing;       /* comes and goes as it is needed: no virtjob_link_up says that it is down */
};

/* Checks the brokers of broker->uri, all of one cluster: all with TLS or none, and the same virtual host; a host without
 * one, or with an empty one (`amqp://host/`), means the virtual host "/". The link starts with the first and goes on to the
 * next whenever it cannot connect or a connection ends; `once` gives up when each has failed. */
struct link *link_new(const struct link_settings *settings, const struct link_events *events, void *opaque,
                      struct error *err);
int link_start(struct link *link, struct error *err);

/* Ends the thread: waits up to `drain_ms` for the messages under way to be confirmed and the acknowledgements to be sent,
 * closes, settles the rest as dropped. Takes up to the connect timeout longer where a connection is just being made. Then
 * link_free. */
void link_stop(struct link *link, int drain_ms);
void link_free(struct link *link);

/* Any thread. Takes the message. Never waits for the broker; waits for room where it is not droppable and max_pending
 * is reached (but never on the thread of any link). A droppable message that finds no room, or finds the link down or
 * blocked, is settled as dropped at once. One with a property longer than AMQP allows (255 bytes) is dropped by the link's
 * thread. -1: the link has ended; the message has been settled as dropped. */
int link_publish(struct link *link, struct message *message);

/* The same, but never waits: 1 where there is no room, and the message stays with the caller. A message that is bound to a
 * connection that has ended needs no room, here as there. */
int link_offer(struct link *link, struct message *message);

enum link_settle { LINK_ACK, LINK_REQUEUE, LINK_REJECT };

/* Any thread. Does nothing where the tag's connection is gone. */
void link_settle(struct link *link, struct delivery_tag tag, enum link_settle how);

/* Any thread. Cancels all consumers (basic.cancel): nothing more is delivered until the next connection, and not
 * there either. */
void link_pause(struct link *link);

/* Any thread. Connected and opened just now. */
bool link_is_up(struct link *link);

/* Any thread, cheap: one atomic read. Up, and the broker has been heard from within one and a half heartbeat intervals (an
 * idle one is silent for up to one; what it agreed to counts, which may be less than broker.heartbeat). A broker gives our
 * deliveries to somebody else no sooner than two intervals after our last sign of life, and we give one every quarter: so
 * where this holds, it has not done so for our silence. After the process was stopped for longer than that it is false until
 * something has arrived since: heartbeats that came meanwhile count by when the kernel got them, and not at all once the
 * broker's end of the connection lies behind them. What cannot be told: a pause of the whole machine in which its clock
 * stood still, until the network has caught up; and a connection that the broker closes for any other reason, for as long
 * as that takes to arrive and be read. */
bool link_is_fresh(struct link *link);

/* Any thread, once a second or so: shuts the socket down when the link has hung in one send longer than the
 * configured patience, so that the thread wakes up and reconnects. */
void link_watch(struct link *link);

/* With `once`: waits up to `timeout_ms` until the link is up (0) or has failed (-1, why). */
int link_wait_up(struct link *link, int timeout_ms, struct error *err);

/* For `open`, on the link's thread. Each is one synchronous AMQP method; a refusal (404, 406, …) closes the channel,
 * and is told with the broker's own words, code ERROR_BROKER. */
struct link_argument {
    const char *key;  /* "x-queue-type"; NULL ends the list */
    const char *text; /* where it is not NULL, the value; else */
    bool flag;        /* where true, the value; else */
    int64_t number;
};
int link_declare_exchange(struct link *link, const char *name, const char *kind, struct error *err);
int link_declare_queue(struct link *link, const char *name, const struct link_argument *arguments,
                       struct error *err);
/* How many messages wait in a queue that is there already, not counting those handed out and not settled; and how many
 * consumers it has. */
int link_count_messages(struct link *link, const char *queue, size_t *ret_messages, size_t *ret_consumers,
                        struct error *err);
/* A server-named, exclusive, auto-deleted queue; its name is copied into `ret_name` (at least 256 bytes). */
int link_declare_private_queue(struct link *link, char *ret_name, struct error *err);
int link_bind(struct link *link, const char *queue, const char *exchange, const char *routing_key,
              struct error *err);
/* Deliveries are to be settled; `prefetch` of them may be open. Of a stream, the argument x-stream-offset says where to
 * begin: text "first", "last" (chunk), "next", or an age as "90s", "15m", "1h", "2D"; or the number of a message. One that
 * is wrong is an internal error of the broker. */
int link_consume(struct link *link, const char *queue, uint16_t prefetch,
                 const struct link_argument *arguments, struct error *err);

#endif
