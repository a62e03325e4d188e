/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What an attempt at guest.save has left: how it is taken over by the next one, and how it is undone. */

#include "guest_save_internal.h"

#include "kill_point.h"

#define PERIOD_MS 250

/* How long the work of an undone save may take to end, in steps of PERIOD_MS. */
#define UNDO_STEPS 120

static bool stats_are_of_save(const struct guest_stats *stats)
{
    return stats->type != VIR_DOMAIN_JOB_NONE && stats->operation == VIR_DOMAIN_JOB_OPERATION_SAVE;
}

/* 1 where libvirt saves the guest just now; 0, -1. */
static int save_is_at_work(virDomainPtr dom, struct error *err)
{
    struct guest_stats stats = { .type = VIR_DOMAIN_JOB_NONE };
    int active = dom ? guest_is_active(dom, err) : 0;

    if (active <= 0)
        return active;
    return guest_stats_read(dom, false, &stats, err) < 0 ? -1 : stats_are_of_save(&stats);
}

/* Undoing. */

static int undo_image(struct job *job, const json_t *state, struct error *err)
{
    const char *path = job_string(state, "path", "");
    AUTO(guest_image) struct guest_image image = { .state = GUEST_IMAGE_NONE };

    if (guest_image_look(job, path, false, &image, err) < 0)
        return -1;
    if (image.state == GUEST_IMAGE_WHOLE && guest_image_is_own(job, &image))
        return error_set(err, ERROR_CONFLICT, "the guest is saved all the same, in '%s'", path);
    if (image.state != GUEST_IMAGE_OTHER)
        return 0;
    if (guest_image_look_closely(job, path, true, &image, err) < 0)
        return -1;
    return guest_image_is_remnant(job, &image) ? guest_image_remove(job, path, err) : 0;
}

int save_undo_image(struct save *save, struct error *err)
{
    return job_undo(save->job, "remove the partial image", undo_image, json_pack("{s:s}", "path", save->path),
                    err);
}

/* libvirt removes the part itself when it is aborted. */
static int undo_work(struct job *job, const json_t *identity, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    int works;

    if (guest_from_identity(job->conn, identity, &dom, err) < 0)
        return -1;
    for (int step = 0; step < UNDO_STEPS; step++) {
        if ((works = save_is_at_work(dom, err)) <= 0)
            return works;
        virDomainAbortJob(dom);
        if (job_wait(job, PERIOD_MS, err) < 0)
            return -1;
    }
    return error_set(err, ERROR_BUSY, "libvirt still saves guest '%s'", virDomainGetName(dom));
}

int save_undo_work(struct save *save, struct error *err)
{
    return job_undo(save->job, "abort the save", undo_work, guest_identity(save->dom), err);
}

/* Taking over. */

/* To the end of a save that an earlier attempt has begun. */
static int save_follow(struct save *save, struct error *err)
{
    struct guest_watch *watch;
    struct job_abort *abort;
    int rc;

    job_adopted(save->job);
    if (save_watch(save, &watch, err) < 0)
        return -1;
    if (!(abort = job_abort_begin(save->job, save->dom, err))) {
        guest_watch_end(watch, NULL);
        return -1;
    }
    rc = guest_watch_wait(watch, err);
    job_abort_end(abort);
    guest_watch_end(watch, &save->stats);
    return rc;
}

/* What an earlier attempt may have left at work. */
static int save_take_over_work(struct save *save, struct error *err)
{
    int works = save_is_at_work(save->dom, err);

    if (works <= 0)
        return works;
    if (save_undo_work(save, err) < 0 || save_follow(save, err) < 0)
        return -1;
    return save_look(save, err);
}

/* What it may have left at the path. To remove a part before the next save, and not to write over it, is no luxury:
 * something of the old one may still be writing. */
static int save_clear(struct save *save, struct error *err)
{
    if (save->image.state != GUEST_IMAGE_OTHER)
        return 0;
    if (guest_image_look_closely(save->job, save->path, true, &save->image, err) < 0)
        return -1;
    if (!guest_image_is_remnant(save->job, &save->image))
        return 0;
    if (job_safe_point(save->job, err) < 0 || guest_image_remove(save->job, save->path, err) < 0)
        return -1;
    guest_image_done(&save->image);
    return 0;
}

int save_take_over(struct save *save, struct error *err)
{
    bool again = save->job->again;

    if (!save_is_over(save) && again &&
        (save_undo_image(save, err) < 0 || save_take_over_work(save, err) < 0))
        return -1;
    if (save_is_over(save)) {
        job_adopted(save->job);
        return 1;
    }
    return again ? save_clear(save, err) : 0;
}
