/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Order on resources: jobs on one resource run in their order of arrival, others at the same time.
 *
 * Each resource that is claimed is a line; a claim to read may stand beside others to read, one to write stands alone.
 * All claims of a job enter their lines at once, so nobody can wait in a circle. Pure bookkeeping: no threads, no lock;
 * the dispatcher's mutex guards it. */

#ifndef VIRTJOB_CLAIMS_H
#define VIRTJOB_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>

#include "error.h"

struct claims;        /* all lines */
struct claims_ticket; /* what one job has claimed */

struct claims *claims_new(struct error *err);
void claims_free(struct claims *claims);

/* A ticket without claims; `opaque` is what `granted` gets. */
struct claims_ticket *claims_ticket_new(void *opaque, struct error *err);
/* Out of its lines already. */
void claims_ticket_free(struct claims_ticket *ticket);

/* Adds a resource, as "node1/guest/web-7". The same resource twice counts once, to write if either says so. */
int claims_ticket_add(struct claims_ticket *ticket, const char *resource, bool write, struct error *err);

/* Enters all its lines, at their ends; nothing may be added after that. 1: granted at once; 0: must wait; -1: no
 * memory, in no line. */
int claims_enter(struct claims *claims, struct claims_ticket *ticket, struct error *err);

/* Leaves all lines (granted or not; nothing when in none); `granted` is called for each ticket that has thereby got
 * all it claimed, and may itself enter, leave and free. The ticket may then be entered again, as the last in line. */
void claims_leave(struct claims *claims, struct claims_ticket *ticket, void (*granted)(void *opaque));

#endif
