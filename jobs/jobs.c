/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The list of the areas. A new area is a line here; a new job type is a row in its area's table. */

#include "jobs.h"

const struct job_type *const job_tables[] = {
    host_types,
    guest_types,
    volume_types,
    NULL,
};
