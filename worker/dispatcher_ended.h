/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The ids of jobs that have just ended: a redelivery of one of them only lost its acknowledgement. Bounded; the oldest
 * are forgotten first. Plain data: the dispatcher's mutex guards it. */

#ifndef VIRTJOB_DISPATCHER_ENDED_H
#define VIRTJOB_DISPATCHER_ENDED_H

#include <stdbool.h>

struct ended; /* an empty list is NULL */

bool ended_has(struct ended *list, const char *id);

/* Without memory, nothing is remembered. */
void ended_add(struct ended **list, const char *id);
void ended_remove(struct ended **list, const char *id);
void ended_free_all(struct ended **list);

#endif
