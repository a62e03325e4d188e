/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The job types of a host as a whole. */

#ifndef VIRTJOB_HOST_H
#define VIRTJOB_HOST_H

#include "job.h"

extern const struct job_type host_types[];

/* In KiB: the memory that is free, or is the moment somebody wants it. -1 with libvirt's error. */
int host_memory_available(virConnectPtr conn, unsigned long long *ret_kib);

#endif
