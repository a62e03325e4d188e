/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* How often the journal has been asked for a job and has not told yet. It tells each question in its order; one that was put
 * before the job came back knows nothing of what happened meanwhile, and may even be of a task that is gone. So the last one
 * counts. Plain data: the dispatcher's mutex guards it. */

#ifndef VIRTJOB_DISPATCHER_ASKED_H
#define VIRTJOB_DISPATCHER_ASKED_H

#include <stdbool.h>

#include <uthash.h>

#include "envelope.h"

struct asked {
    char id[REQUEST_ID_SIZE];
    int open;
    UT_hash_handle hh;
};

/* An empty list is NULL. -1: no memory. */
int asked_add(struct asked **list, const char *id);

/* One has been told, or was not put after all. True: it was the last. */
bool asked_take(struct asked **list, const char *id);
void asked_free_all(struct asked **list);

#endif
