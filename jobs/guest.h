/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The job types of guests: guest.define, start, shutdown, destroy, undefine, info, list, provision. */

#ifndef VIRTJOB_GUEST_H
#define VIRTJOB_GUEST_H

#include "job.h"

extern const struct job_type guest_types[];

/* The guest of that name or UUID: what looks like a UUID is one first, then a name. *ret_dom is NULL where there is
 * none. */
int guest_find(virConnectPtr conn, const char *guest, virDomainPtr *ret_dom, struct error *err);

/* The one in params.guest; ERROR_NOT_FOUND at /params/guest where there is none. */
int guest_lookup(struct job *job, virDomainPtr *ret_dom, struct error *err);

/* {name, uuid, state, reason, persistent, id?}, as in common.json. A transient guest that has ended is shutoff. */
int guest_describe(virDomainPtr dom, json_t **ret_guest, struct error *err);

#endif
