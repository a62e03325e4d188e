/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What an attempt at guest.restore has left: how it is taken over by the next one, and how it is undone. */

#include "guest_restore_internal.h"

#include <string.h>

#define LOOK_MS 200

/* Whether what runs is this job's. A driver that takes no stamp for it (the test driver) gives it that of the image. */
static int guest_is_restored_by(virDomainPtr dom, const char *job, struct error *err)
{
    struct stamp stamp;

    if (stamp_read_guest_live(dom, &stamp, err) < 0)
        return -1;
    return stamp_is_of(&stamp, job) || strcmp(stamp.restored, job) == 0;
}

static bool restored_by(const struct job *job, const struct guest_image *image)
{
    return strcmp(image->stamp.restored, job->id) == 0;
}

bool restore_has_mark(const struct restore *restore)
{
    return restored_by(restore->job, &restore->image);
}

/* Undoing. */

bool restore_cut(virDomainPtr dom, const char *id)
{
    return guest_is_starting(dom) && guest_is_restored_by(dom, id, NULL) == 1 && virDomainDestroy(dom) == 0;
}

static int undo_guest(struct job *job, const json_t *state, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    int own;

    if (guest_from_identity(job->conn, state, &dom, err) < 0)
        return -1;
    if ((own = dom ? guest_is_restored_by(dom, job->id, err) : 0) <= 0 || restore_cut(dom, job->id))
        return own < 0 ? -1 : 0;
    if ((own = guest_is_restored_by(dom, job->id, err)) <= 0)
        return own;
    return error_set(err, ERROR_CONFLICT, "guest '%s' is restored, and left as it is", virDomainGetName(dom));
}

/* A mark that is done stays: the guest has run, if only for the moment that it took to end it. */
static int undo_mark(struct job *job, const char *path, struct error *err)
{
    AUTO(guest_image) struct guest_image image = { .state = GUEST_IMAGE_NONE };

    if (guest_image_look(job, path, true, &image, err) < 0)
        return -1;
    if (image.state != GUEST_IMAGE_WHOLE || !restored_by(job, &image) || image.stamp.restored_done)
        return 0;
    image.stamp.restored[0] = '\0';
    return guest_image_put_stamp(job, path, &image, err);
}

/* Where the guest runs, the mark is true. */
static int undo_restore(struct job *job, const json_t *state, struct error *err)
{
    if (undo_guest(job, state, err) < 0)
        return -1;
    return undo_mark(job, job_string(state, "path", ""), err);
}

int restore_undo(struct restore *restore, struct error *err)
{
    return job_undo(
        restore->job, "take the restore back", undo_restore,
        json_pack("{s:s, s:s, s:s}", "name", restore->name, "uuid", restore->uuid, "path", restore->path),
        err);
}

/* The guest of this UUID, where it is this job's. */
static int restore_find_own(struct restore *restore, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    int own;

    if (guest_find_by(restore->job->conn, virDomainLookupByUUIDString, restore->uuid, &dom, err) < 0)
        return -1;
    own = dom ? guest_is_restored_by(dom, restore->job->id, err) : 0;
    if (own == 1)
        restore->dom = STEAL(&dom);
    return own;
}

/* Taking over. */

void restore_mark_done(struct restore *restore)
{
    if (!restore_has_mark(restore) || restore->image.stamp.restored_done)
        return;
    restore->image.stamp.restored_done = true;
    guest_image_put_stamp(restore->job, restore->path, &restore->image, NULL);
}

/* While libvirt is still at it: it tells nothing of how far it has come. 1 restored, 0 it has failed, -1. */
static int restore_follow(struct restore *restore, struct error *err)
{
    int own;

    while ((own = restore_find_own(restore, err)) == 1 && guest_is_starting(restore->dom)) {
        progress_phase(job_progress(restore->job), "restoring", "steps");
        virDomainFree(STEAL(&restore->dom));
        if (job_wait(restore->job, LOOK_MS, err) < 0)
            return -1;
    }
    return own;
}

int restore_take_over(struct restore *restore, struct error *err)
{
    struct job *job = restore->job;
    int own;

    if (!restore->uuid || (!job->again && !restore_has_mark(restore)))
        return 0;
    if (restore_undo(restore, err) < 0 || (own = restore_follow(restore, err)) < 0)
        return -1;
    if (own == 0 && !(restore_has_mark(restore) && restore->image.stamp.restored_done))
        return 0;
    job_adopted(job);
    restore_mark_done(restore);
    return 1;
}
