/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A hash that keeps the order of insertion. */

#include "dispatcher_ended.h"

#include <stdio.h>
#include <stdlib.h>

#include <uthash.h>

#include "envelope.h"

#define ENDED_MAX 8192

struct ended {
    char id[REQUEST_ID_SIZE];
    UT_hash_handle hh; /* uthash keeps the order of insertion: the oldest comes first */
};

static struct ended *ended_find(struct ended *list, const char *id)
{
    struct ended *ended;

    HASH_FIND_STR(list, id, ended);
    return ended;
}

bool ended_has(struct ended *list, const char *id)
{
    return ended_find(list, id) != NULL;
}

static void ended_delete(struct ended **list, struct ended *ended)
{
    HASH_DEL(*list, ended);
    free(ended);
}

void ended_remove(struct ended **list, const char *id)
{
    struct ended *ended = ended_find(*list, id);

    if (ended)
        ended_delete(list, ended);
}

void ended_add(struct ended **list, const char *id)
{
    struct ended *ended = calloc(1, sizeof(*ended));

    if (!ended)
        return;
    ended_remove(list, id);
    snprintf(ended->id, sizeof(ended->id), "%s", id);
    HASH_ADD_STR(*list, id, ended);
    if (HASH_COUNT(*list) > ENDED_MAX)
        ended_delete(list, *list);
}

void ended_free_all(struct ended **list)
{
    while (*list)
        ended_delete(list, *list);
}
