/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The jobs that have just ended: a redelivery of one of them only lost its acknowledgement, and an order to cancel it
 * comes too late. Bounded; the oldest are forgotten first. Plain data: the dispatcher's mutex guards it. */

#ifndef VIRTJOB_DISPATCHER_ENDED_H
#define VIRTJOB_DISPATCHER_ENDED_H

#include <uthash.h>

#include "envelope.h"

struct ended {
    char id[REQUEST_ID_SIZE];
    bool any;         /* it was for any host */
    const char *type; /* static, as `where`: the host on which it ran */
    const char *where;
    enum outcome_state state;
    UT_hash_handle hh; /* uthash keeps the order of insertion: the oldest comes first */
};

/* NULL where it is not known. An empty list is NULL. */
const struct ended *ended_find(struct ended *list, const char *id);

/* Copies what `like` tells. Without memory, nothing is remembered. */
void ended_add(struct ended **list, const struct ended *like);
void ended_remove(struct ended **list, const char *id);
void ended_free_all(struct ended **list);

#endif
