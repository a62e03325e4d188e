/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A hash that keeps the order of insertion. */

#include "dispatcher_ended.h"

#include <stdlib.h>

#define ENDED_MAX 8192

static struct ended *ended_look(struct ended *list, const char *id)
{
    struct ended *ended;

    HASH_FIND_STR(list, id, ended);
    return ended;
}

const struct ended *ended_find(struct ended *list, const char *id)
{
    return ended_look(list, id);
}

static void ended_delete(struct ended **list, struct ended *ended)
{
    HASH_DEL(*list, ended);
    free(ended);
}

void ended_remove(struct ended **list, const char *id)
{
    struct ended *ended = ended_look(*list, id);

    if (ended)
        ended_delete(list, ended);
}

void ended_add(struct ended **list, const struct ended *like)
{
    struct ended *ended = malloc(sizeof(*ended));

    if (!ended)
        return;
    ended_remove(list, like->id);
    *ended = *like;
    HASH_ADD_STR(*list, id, ended);
    if (HASH_COUNT(*list) > ENDED_MAX)
        ended_delete(list, *list);
}

void ended_free_all(struct ended **list)
{
    while (*list)
        ended_delete(list, *list);
}
