/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What client.c (the connection, what comes in) and client_send.c (what goes out) share. */

#ifndef VIRTJOB_CLIENT_INTERNAL_H
#define VIRTJOB_CLIENT_INTERNAL_H

#include "client.h"
#include "link.h"
#include "topology.h"

struct client {
    struct config_broker broker; /* shares the strings of the configuration */
    struct link *link;
    struct topology *topology;
    struct loop *loop;
    const char *const *keys;
    const struct client_reading *reading; /* NULL: events */
    bool has_read;                        /* the link's thread's */
    bool down;                            /* the connection was lost; the main thread's */
};

/* On the link's thread: takes the item, which may be NULL. */
void client_tell(struct client *client, struct item *item);

#endif
