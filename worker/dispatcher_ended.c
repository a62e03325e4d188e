/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A hash that keeps the order of insertion. */

#include "dispatcher_ended.h"

#include <stdio.h>
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

void ended_add(struct ended **list, const struct request *request, const char *where,
               enum outcome_state state)
{
    struct ended *ended = calloc(1, sizeof(*ended));

    if (!ended)
        return;
    ended_remove(list, request->id);
    snprintf(ended->id, sizeof(ended->id), "%s", request->id);
    snprintf(ended->type, sizeof(ended->type), "%s", request->type ? request->type : "");
    snprintf(ended->host, sizeof(ended->host), "%s", request->host ? request->host : "");
    snprintf(ended->where, sizeof(ended->where), "%s", where);
    ended->state = state;
    HASH_ADD_STR(*list, id, ended);
    if (HASH_COUNT(*list) > ENDED_MAX)
        ended_delete(list, *list);
}

void ended_free_all(struct ended **list)
{
    while (*list)
        ended_delete(list, *list);
}
