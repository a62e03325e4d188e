/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The job types that this build knows: rows of jobs/ and their schemas. */

#ifndef VIRTJOB_CATALOG_H
#define VIRTJOB_CATALOG_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "cli.h"
#include "job.h"

/* The row number `index`, in the order of the tables; NULL past the last. */
const struct job_type *catalog_type(size_t index);

/* "quick" or "long". */
const char *catalog_lane(const struct job_type *type);

/* Whether the type changes nothing: its row claims nothing for itself. False for a type that is not known here. */
bool catalog_only_looks(const char *name);

/* The schema of a job type (or of "job", "event", …) as JSON, a new reference; NULL where there is none. */
json_t *catalog_schema(const char *name);

/* The known type that `name` may be meant to be; NULL where none is near. */
const char *catalog_nearest(const char *name);

/* Says that there is no such job type, and which may be meant; EXIT_USAGE. */
int catalog_unknown(const struct cli *cli, const char *name);

#endif
