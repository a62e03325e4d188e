/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Every job type there is: the list of the areas' tables, handed to the dispatcher by main. */

#ifndef VIRTJOB_JOBS_H
#define VIRTJOB_JOBS_H

#include "job.h"

/* One table an area, each ended by a row without a name; at the end of the area's file. */
extern const struct job_type volume_types[];
extern const struct job_type guest_types[];
extern const struct job_type host_types[];

/* All of them, ended by NULL. */
extern const struct job_type *const job_tables[];

#endif
