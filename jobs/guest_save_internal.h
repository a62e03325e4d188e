/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the parts of guest.save share. */

#ifndef VIRTJOB_GUEST_SAVE_INTERNAL_H
#define VIRTJOB_GUEST_SAVE_INTERNAL_H

#include "guest_image.h"
#include "guest_internal.h"
#include "guest_watch.h"

struct save {
    struct job *job;
    const char *path;
    virDomainPtr dom; /* NULL: there is no such guest; a transient one goes when it is saved */
    struct guest_image image;
    struct guest_stats stats; /* type NONE: none were seen */
};

/* guest_save.c */

int save_look(struct save *save, struct error *err);

/* Whether the image is whole, and this job's. */
bool save_is_over(struct save *save);

/* Looks on while the guest is saved, with progress. */
int save_watch(struct save *save, struct guest_watch **ret_watch, struct error *err);

/* guest_save_again.c */

/* What a job that fails leaves is ended, and removed from the path, as far as it is its own. */
int save_undo(struct save *save, struct error *err);

/* What an earlier attempt has left: a save that is at work is followed to its end, a partial image removed. 1 where the
 * guest is saved; 0, -1. No safe point before all undos are registered. */
int save_take_over(struct save *save, struct error *err);

#endif
