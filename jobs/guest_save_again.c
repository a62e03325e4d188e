/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What an attempt at guest.save has left: how it is taken over by the next one, and how it is undone. */

#include "guest_save_internal.h"

#include "kill_point.h"

#define PERIOD_MS 250

/* In steps of PERIOD_MS: how long libvirt may take to make the file of a save that it is at. */
#define FILE_STEPS 12

/* How long a guest that is saved may take to be off. */
#define OFF_STEPS 20

/* A guest that is gone is none that is saved. */
static int save_is_at_work(virDomainPtr dom, struct error *err)
{
    return dom ? guest_save_is_at_work(dom, err) : 0;
}

/* Whether it is this job's save that libvirt is at: it does not tell whose, but the file does, which it makes first. Aborted or
 * adopted is nobody else's. 1; 0, nothing is at work, or another's; -1. */
static int work_is_own(struct job *job, virDomainPtr dom, const char *path, struct error *err)
{
    AUTO(guest_image) struct guest_image image = { .state = GUEST_IMAGE_NONE };

    for (int step = 0; step < FILE_STEPS; step++) {
        int works = save_is_at_work(dom, err);

        if (works <= 0)
            return works;
        if (guest_image_look(job, path, false, &image, err) < 0)
            return -1;
        if (image.state != GUEST_IMAGE_NONE)
            return image.state != GUEST_IMAGE_WHOLE || guest_image_is_own(job, &image);
        if (job_wait(job, PERIOD_MS, err) < 0)
            return -1;
    }
    return 0;
}

/* Undoing. */

static int undo_image(struct job *job, const char *path, struct error *err)
{
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

/* libvirt removes the part itself when it is aborted. While it is at work the file is not touched: it would go on without
 * it, and the guest's memory be lost. */
static int undo_save(struct job *job, const json_t *state, struct error *err)
{
    const char *path = job_string(state, "path", "");
    AUTO(domain) virDomainPtr dom = NULL;
    int own;

    if (job_string(state, "uuid", NULL) && guest_from_identity(job->conn, state, &dom, err) < 0)
        return -1;
    own = work_is_own(job, dom, path, err);
    if (own < 0 || (own == 1 && guest_save_abort(job, dom, err) < 0))
        return -1;
    return undo_image(job, path, err);
}

int save_undo(struct save *save, struct error *err)
{
    AUTO(json) json_t *state = save->dom ? guest_identity(save->dom) : json_object();

    if (!state || json_object_set_new(state, "path", json_string(save->path)) < 0)
        return error_set_memory(err);
    return job_undo(save->job, "remove the partial image", undo_save, STEAL(&state), err);
}

/* Taking over. */

/* An abort may come too late: then the guest is saved all the same. */
static bool save_ended_well(struct save *save, struct error *err)
{
    if (err->code != ERROR_CANCELLED && err->code != ERROR_EXPIRED)
        return false;
    if (save_look(save, NULL) < 0 || !save_is_over(save))
        return false;
    *err = ERROR_INIT;
    return true;
}

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
    return rc < 0 && !save_ended_well(save, err) ? -1 : 0;
}

/* What an earlier attempt may have left at work. */
static int save_take_over_work(struct save *save, struct error *err)
{
    int own = work_is_own(save->job, save->dom, save->path, err);

    if (own <= 0)
        return own;
    return save_follow(save, err) < 0 ? -1 : save_look(save, err);
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

/* The image is whole a moment before the guest is off. */
static void save_await_off(struct save *save)
{
    for (int step = 0; step < OFF_STEPS && save_is_at_work(save->dom, NULL) == 1; step++)
        if (job_wait(save->job, PERIOD_MS, NULL) < 0)
            return;
}

int save_take_over(struct save *save, struct error *err)
{
    bool again = save->job->again;

    if (!save_is_over(save) && again && (save_undo(save, err) < 0 || save_take_over_work(save, err) < 0))
        return -1;
    if (save_is_over(save)) {
        save_await_off(save);
        job_adopted(save->job);
        return 1;
    }
    return again ? save_clear(save, err) : 0;
}
