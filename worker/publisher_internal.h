/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Between the parts of the publisher: publisher.c sends what nobody waits for, publisher_answer.c what answers a
 * delivery and must be known to have arrived. */

#ifndef VIRTJOB_PUBLISHER_INTERNAL_H
#define VIRTJOB_PUBLISHER_INTERNAL_H

#include <stdatomic.h>

#include "publisher.h"

struct publisher {
    struct publisher_settings settings; /* its strings are copies */
    atomic_uint_fast64_t serial;        /* of job events: unique within this process */
    uint64_t born_ms;                   /* and this makes it unique among all */
};

/* The way of an answer, or over the publishing link where it has none. */
void publisher_send(struct publisher *publisher, const struct publisher_way *way, struct message *message);

#endif
