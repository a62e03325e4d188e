/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A stamp as a value, and as JSON: what all of its places share. */

#include "stamp.h"

#include <string.h>

void stamp_done(struct stamp *stamp)
{
    json_decref(stamp->result);
    *stamp = (struct stamp){ .state = STAMP_NONE };
}

bool stamp_is_of(const struct stamp *stamp, const char *job)
{
    return (stamp->state == STAMP_INTENDED || stamp->state == STAMP_DONE) && strcmp(stamp->job, job) == 0;
}
