/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A hash of counters. */

#include "dispatcher_asked.h"

#include <stdio.h>
#include <stdlib.h>

static void asked_delete(struct asked **list, struct asked *asked)
{
    HASH_DEL(*list, asked);
    free(asked);
}

int asked_add(struct asked **list, const char *id)
{
    struct asked *asked;

    HASH_FIND_STR(*list, id, asked);
    if (!asked) {
        if (!(asked = calloc(1, sizeof(*asked))))
            return -1;
        snprintf(asked->id, sizeof(asked->id), "%s", id);
        HASH_ADD_STR(*list, id, asked);
    }
    asked->open++;
    return 0;
}

bool asked_take(struct asked **list, const char *id)
{
    struct asked *asked;

    HASH_FIND_STR(*list, id, asked);
    if (!asked || --asked->open > 0)
        return false;
    asked_delete(list, asked);
    return true;
}

void asked_free_all(struct asked **list)
{
    while (*list)
        asked_delete(list, *list);
}
