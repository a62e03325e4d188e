/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The orders to cancel that have been given, for as long as they hold: their jobs may be here, elsewhere, or still in a
 * queue. Bounded; the oldest are forgotten first. Plain data: the dispatcher's mutex guards it. */

#ifndef VIRTJOB_DISPATCHER_ORDERS_H
#define VIRTJOB_DISPATCHER_ORDERS_H

#include <uthash.h>

#include "envelope.h"

struct order {
    char job[REQUEST_ID_SIZE];
    char *reason; /* NULL: none */
    int64_t given_ms;
    UT_hash_handle hh; /* in the order of arrival */
};

/* NULL where there is none. An empty list is NULL. */
const struct order *orders_find(struct order *list, const char *job_id);

/* Without memory, nothing is remembered: the job runs. One that has expired already is not taken. */
void orders_add(struct order **list, const char *job_id, const char *reason, int64_t given_ms);

/* Forgets those that hold no more. */
void orders_expire(struct order **list);
void orders_free_all(struct order **list);

#endif
