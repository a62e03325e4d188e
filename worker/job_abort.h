/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* For tests: job_abort_begin (job.h) with a patience of their own, in milliseconds. */

#ifndef VIRTJOB_JOB_ABORT_H
#define VIRTJOB_JOB_ABORT_H

#include "job.h"

struct job_abort *job_abort_begin_within(struct job *job, virDomainPtr dom, int patience_ms,
                                         struct error *err);

#endif
