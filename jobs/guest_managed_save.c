/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.managed-save and guest.managed-save-remove: the memory of a guest in a file of libvirt's own, from which its next
 * start goes on.
 *
 * libvirt goes on saving when its client dies, and another save then only waits for that one; so a job that comes again
 * looks on until that has ended. Whether it went well the guest itself tells: it is off, and its image is whole. */

#include "guest_internal.h"

#include <string.h>

#include <libvirt/virterror.h>

#include "guest_watch.h"
#include "kill_point.h"

#define PERIOD_MS 500

struct saving {
    struct job *job;
    virDomainPtr dom;
    struct guest_watch *watch;
};

/* On the watch's thread. Memory that is all zeros is done without a byte being written, so what is left tells. */
static void save_on_seen(void *opaque, virDomainPtr dom, const struct guest_stats *stats, bool boundary)
{
    struct saving *saving = opaque;
    uint64_t total = stats->memory_total + stats->disk_total, left = stats->memory_left + stats->disk_left;

    (void)dom;
    (void)boundary;
    if (total > 0)
        progress_update(job_progress(saving->job), left < total ? total - left : 0, total);
}

/* The image as libvirt reads it: 1 whole, 0 none or a part of one, -1. */
static int image_is_whole(virDomainPtr dom, struct error *err)
{
    AUTO(string) char *text = virDomainManagedSaveGetXMLDesc(dom, 0);
    int code = text ? VIR_ERR_OK : virGetLastErrorCode(), has;

    if (text)
        return 1;
    if (code == VIR_ERR_OPERATION_INVALID || code == VIR_ERR_OPERATION_FAILED)
        return 0;
    /* The driver for tests cannot tell what is in it. */
    if (code != VIR_ERR_NO_SUPPORT || (has = virDomainHasManagedSaveImage(dom, 0)) < 0)
        return error_set_libvirt(err, "reading the managed save image of guest '%s'", virDomainGetName(dom));
    return has;
}

/* 1: it is off, and saved; 0: it runs; -1. */
static int save_is_done(virDomainPtr dom, struct error *err)
{
    int active = guest_is_active(dom, err), whole;

    if (active != 0)
        return active < 0 ? -1 : 0;
    whole = image_is_whole(dom, err);
    if (whole != 0)
        return whole;
    return error_set_at(err, ERROR_CONFLICT, "/params/guest", "guest '%s' is off, and nothing of it is saved",
                        virDomainGetName(dom));
}

/* A part of an image is left where libvirtd dies in the middle of a save, and then counts as one, though the guest goes on. */
static int save_undo(struct job *job, const json_t *identity, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    int active, has;

    if (guest_from_identity(job->conn, identity, &dom, err) < 0)
        return -1;
    active = dom ? guest_is_active(dom, err) : 0;
    if (active < 0)
        return -1;
    if (active == 0 && dom && save_is_done(dom, NULL) == 1)
        return error_set(err, ERROR_CONFLICT, "guest '%s' is saved all the same", virDomainGetName(dom));
    if (active == 0)
        return 0;
    has = virDomainHasManagedSaveImage(dom, 0);
    if (has == 1)
        kill_point("before-managed-save-undo");
    if (has < 0 || (has == 1 && virDomainManagedSaveRemove(dom, 0) < 0))
        return error_set_libvirt(err, "removing a part of an image of guest '%s'", virDomainGetName(dom));
    return 0;
}

/* Why libvirt did not save. That the job's own abort has ended it is for the safe point to say. */
static int save_refused(virDomainPtr dom, struct error *err)
{
    error_set_libvirt(err, "saving guest '%s'", virDomainGetName(dom));
    if (err->code == ERROR_CANCELLED) /* by somebody else, unless the safe point says otherwise */
        err->code = ERROR_LIBVIRT;
    if (err->code != ERROR_CONFLICT || virDomainIsPersistent(dom) != 0)
        return -1;
    err->code = ERROR_UNSUPPORTED;
    return error_locate(err, "/params/guest");
}

/* Of a save whose end was not seen. */
static int save_undo_work(struct job *job, const json_t *identity, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;

    if (guest_from_identity(job->conn, identity, &dom, err) < 0)
        return -1;
    return dom ? guest_save_abort(job, dom, err) : 0;
}

static int save_abortable(struct job *job, virDomainPtr dom, struct error *err)
{
    return job_undo(job, "abort the save", save_undo_work, guest_identity(dom), err);
}

static int save_undoable(struct job *job, virDomainPtr dom, struct error *err)
{
    return job_undo(job, "remove managed save image", save_undo, guest_identity(dom), err);
}

/* Where the connection broke the work may go on, whatever the job is to do: that is for the next attempt to find out. */
static int save_call(struct job *job, virDomainPtr dom, struct error *err)
{
    struct job_abort *abort;
    int saved;

    if (job_safe_point(job, err) < 0 || save_undoable(job, dom, err) < 0 ||
        !(abort = job_abort_begin(job, dom, err)))
        return -1;
    kill_point("before-managed-save");
    saved = virDomainManagedSave(dom, guest_save_flags(job));
    if (saved < 0)
        save_refused(dom, err);
    else
        kill_point("after-managed-save");
    job_abort_end(abort);
    if (saved < 0 && err->code == ERROR_CONNECTION_LOST)
        save_abortable(job, dom, NULL);
    else if (saved < 0)
        job_safe_point(job, err);
    return saved;
}

/* Waits for what an earlier attempt has begun. An abort may come too late: then it is saved all the same. */
static int save_wait(struct saving *saving, struct error *err)
{
    struct job_abort *abort = job_abort_begin(saving->job, saving->dom, err);
    int waited;

    if (!abort)
        return -1;
    waited = guest_watch_wait(saving->watch, err);
    job_abort_end(abort);
    if (waited == 0)
        return 0;
    if ((err->code != ERROR_CANCELLED && err->code != ERROR_EXPIRED) || save_is_done(saving->dom, NULL) != 1)
        return -1;
    *err = ERROR_INIT;
    return 0;
}

/* 1: an earlier attempt's save was at work, and has ended; 0: there was none; -1. */
static int save_take_over(struct saving *saving, struct error *err)
{
    int at_work;

    if (!saving->job->again)
        return 0;
    at_work = guest_save_is_at_work(saving->dom, err);
    if (at_work < 0 || save_undoable(saving->job, saving->dom, err) < 0)
        return -1;
    if (at_work == 0)
        return 0;
    if (save_abortable(saving->job, saving->dom, err) < 0)
        return -1;
    job_adopted(saving->job);
    return save_wait(saving, err) < 0 ? -1 : 1;
}

/* With the watch: 1 saved, 0 it was already, -1. */
static int save_watched(struct saving *saving, struct error *err)
{
    int taken = save_take_over(saving, err), done = taken < 0 ? -1 : save_is_done(saving->dom, err);

    if (done < 0)
        return -1;
    if (done == 1 && saving->job->again)
        job_adopted(saving->job);
    if (done == 1)
        return taken;
    return save_call(saving->job, saving->dom, err) < 0 ? -1 : 1;
}

/* As save_watched. */
static int save_run(struct job *job, virDomainPtr dom, struct guest_stats *ret_stats, struct error *err)
{
    struct saving saving = { .job = job, .dom = dom };
    struct guest_watch_settings settings = { .operation = VIR_DOMAIN_JOB_OPERATION_SAVE,
                                             .period_ms = PERIOD_MS,
                                             .seen = save_on_seen,
                                             .opaque = &saving };
    int done;

    progress_phase(job_progress(job), "saving", "bytes");
    if (guest_watch_begin(job, dom, &settings, &saving.watch, err) < 0)
        return -1;
    done = save_watched(&saving, err);
    guest_watch_end(saving.watch, done == 1 ? ret_stats : NULL);
    if (done == 1)
        progress_finish(job_progress(job));
    return done;
}

int guest_managed_save(struct job *job, json_t **ret_result, struct error *err)
{
    struct guest_stats stats = { .type = VIR_DOMAIN_JOB_NONE };
    AUTO(domain) virDomainPtr dom = NULL;
    AUTO(json) json_t *result = NULL;
    int done;

    /* A job that was cancelled meanwhile has to end what an earlier attempt has begun. */
    if (job->again)
        job_step_named(job, "save");
    else if (job_step(job, "save", err) < 0)
        return -1;
    if (guest_lookup(job, &dom, err) < 0)
        return -1;
    done = save_run(job, dom, &stats, err);
    if (done < 0 || guest_describe(dom, &result, err) < 0)
        return -1;
    if (done == 0)
        job_unchanged(job);
    else if (stats.type != VIR_DOMAIN_JOB_NONE &&
             json_object_set_new(result, "transfer", guest_stats_describe(&stats)) < 0)
        return error_set_memory(err);
    *ret_result = STEAL(&result);
    return 0;
}

static int image_remove(struct job *job, virDomainPtr dom, struct error *err)
{
    if (job_safe_point(job, err) < 0)
        return -1;
    kill_point("before-managed-save-remove");
    if (virDomainManagedSaveRemove(dom, 0) < 0)
        return error_set_libvirt(err, "removing what was saved of guest '%s'", virDomainGetName(dom));
    kill_point("after-managed-save-remove");
    return 0;
}

int guest_managed_save_remove(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    int has;

    if (job_step(job, "remove", err) < 0 || guest_lookup(job, &dom, err) < 0)
        return -1;
    if ((has = virDomainHasManagedSaveImage(dom, 0)) < 0)
        return error_set_libvirt(err, "looking for what was saved of guest '%s'", virDomainGetName(dom));
    if (has == 0)
        job_unchanged(job);
    else if (image_remove(job, dom, err) < 0)
        return -1;
    return guest_describe(dom, ret_result, err);
}
