/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The control stream: orders to cancel a job, good for a day. Each worker reads what the stream has when it starts, up to
 * a marker that it has published there itself, and only then takes jobs: so an order holds for a job that is still
 * queued, and for a worker that was not there when it was given.
 *
 * An order is JSON as schemas/cancel.json says, published to the exchange `virtjob.control` with the routing key
 * `cancel`. What is not one is logged and passed over. */

#ifndef VIRTJOB_CONTROL_H
#define VIRTJOB_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "envelope.h"
#include "link.h"
#include "schema.h"
#include "topology.h"

struct control;

struct control_order {
    char job[REQUEST_ID_SIZE]; /* lower case */
    const char *reason;        /* the requester's words; NULL: none */
    const char *requester;     /* as the broker says; NULL: it does not */
    int64_t given_ms;          /* since 1970: the message's timestamp, or when it came */
};

struct control_settings {
    const struct topology *topology;
    const struct schema_store *schemas; /* lent, as topology */
    const char *worker;                 /* for the marker; lent */
    /* On the link's thread; must not block. The same order may come twice. */
    void (*cancel)(void *opaque, const struct control_order *order);
    /* Once: all that was in the stream at the start has been told. */
    void (*caught_up)(void *opaque);
    void *opaque;
};

struct control *control_new(const struct control_settings *settings, struct error *err);
void control_free(struct control *control);

/* As the functions of struct link_events, for the control link. `open` declares exchange and stream, publishes the
 * marker and consumes, from a day ago: also after a reconnect, where what has been told is passed over. */
int control_open(struct control *control, struct link *link, struct error *err);
void control_delivery(struct control *control, struct link *link, struct delivery *delivery);

#endif
