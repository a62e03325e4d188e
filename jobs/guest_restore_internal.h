/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the parts of guest.restore share. */

#ifndef VIRTJOB_GUEST_RESTORE_INTERNAL_H
#define VIRTJOB_GUEST_RESTORE_INTERNAL_H

#include "guest_image.h"
#include "guest_internal.h"

struct restore {
    struct job *job;
    const char *path;
    struct guest_image image;
    char *name; /* of the guest in it; NULL: there is no whole image */
    char *uuid;
    virDomainPtr dom; /* the guest that this job has restored */
};

/* guest_restore_again.c */

/* Whether the image is marked as this job's. */
bool restore_has_mark(const struct restore *restore);

/* The guest is there, which is all that was asked for: where the mark cannot be made done, it says at least that it was
 * tried. */
void restore_mark_done(struct restore *restore);

/* For job_abort_begin_cut: ends the guest as long as it is being restored, when nothing of it has run. */
bool restore_cut(virDomainPtr dom, const char *id);

/* When the job fails: a guest that is being restored is ended, and the mark taken back. */
int restore_undo(struct restore *restore, struct error *err);

/* What an earlier attempt has left: where libvirt is at it, waits for the end. 1 where the guest is restored, though it may
 * have ended since; 0, -1. No safe point before the undo is registered. */
int restore_take_over(struct restore *restore, struct error *err);

#endif
