/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the files of the host area share. */

#ifndef VIRTJOB_HOST_INTERNAL_H
#define VIRTJOB_HOST_INTERNAL_H

#include "host.h"

/* The handlers that have a file of their own. */
int host_orphans(struct job *job, json_t **ret_result, struct error *err);
int host_evacuate(struct job *job, json_t **ret_result, struct error *err);

#endif
