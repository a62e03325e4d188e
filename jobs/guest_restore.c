/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.restore: a guest goes on from its image.
 *
 * First the image is marked with the job, then the guest is restored, with the job's stamp in what runs, then the mark is
 * made done. So another job sees that the memory in the image is old by now, and does not restore it a second time; and the
 * next attempt at this one sees whether the guest runs, or has run. A guest that runs has changed its disks: from then on
 * nothing is undone. */

#include "guest_restore_internal.h"

#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "kill_point.h"
#include "xml.h"

static void restore_done(struct restore *restore)
{
    guest_image_done(&restore->image);
    free(restore->name);
    free(restore->uuid);
    if (restore->dom)
        virDomainFree(restore->dom);
}

static inline void cleanup_restore(struct restore *restore)
{
    restore_done(restore);
}

/* Looking. */

static int restore_look(struct restore *restore, struct error *err)
{
    if (guest_image_look(restore->job, restore->path, true, &restore->image, err) < 0)
        return -1;
    if (restore->image.state != GUEST_IMAGE_WHOLE)
        return 0;
    restore->name = guest_image_name(&restore->image);
    restore->uuid = guest_image_uuid(&restore->image);
    if (!restore->name || !restore->uuid)
        return error_set_at(err, ERROR_INVALID, "/params/path", "the guest in '%s' has no name or UUID",
                            restore->path);
    return 0;
}

/* Checks. */

static int check_image(struct restore *restore, struct error *err)
{
    const struct guest_image *image = &restore->image;

    if (image->state == GUEST_IMAGE_NONE)
        return error_set_at(err, ERROR_NOT_FOUND, "/params/path", "there is no file '%s'", restore->path);
    if (image->state != GUEST_IMAGE_WHOLE)
        return error_set_at(err, ERROR_INVALID, "/params/path", "nothing can be restored from '%s': %s",
                            restore->path, image->fault ? image->fault : "it is no image");
    return 0;
}

static int check_guest(struct restore *restore, struct error *err)
{
    AUTO(domain) virDomainPtr named = NULL;
    AUTO(domain) virDomainPtr numbered = NULL;
    virConnectPtr conn = restore->job->conn;
    char uuid[VIR_UUID_STRING_BUFLEN] = "";

    if (guest_find_by(conn, virDomainLookupByUUIDString, restore->uuid, &numbered, err) < 0 ||
        guest_find_by(conn, virDomainLookupByName, restore->name, &named, err) < 0)
        return -1;
    if (numbered && virDomainIsActive(numbered) == 1)
        return error_set_at(err, ERROR_CONFLICT, "/params/path", "guest '%s', which is in '%s', is on",
                            virDomainGetName(numbered), restore->path);
    if (named)
        virDomainGetUUIDString(named, uuid);
    if (named && strcmp(uuid, restore->uuid) != 0)
        return error_set_at(err, ERROR_CONFLICT, "/params/path", "another guest has the name '%s', UUID %s",
                            restore->name, uuid);
    return 0;
}

static int check_mark(struct restore *restore, struct error *err)
{
    const struct stamp *stamp = &restore->image.stamp;
    char time[STAMP_TIME_SIZE] = "";

    if (!stamp->restored[0] || restore_has_mark(restore) || job_flag(restore->job->params, "again", false))
        return 0;
    stamp_time_text(stamp->restored_ms, time);
    return error_set_at(err, ERROR_CONFLICT, "/params/path",
                        "the guest was restored from '%s' already, at %s by job %s%s; `again: true` does it "
                        "all the same",
                        restore->path, time, stamp->restored,
                        stamp->restored_done ? "" : ", as far as it came");
}

static int restore_check(struct restore *restore, struct error *err)
{
    return check_image(restore, err) < 0 || check_guest(restore, err) < 0 || check_mark(restore, err) < 0 ? -1
                                                                                                          : 0;
}

/* Restoring. */

/* The mark of an earlier job stays: since then the image is old. */
static int restore_mark(struct restore *restore, struct error *err)
{
    struct stamp *stamp = &restore->image.stamp;
    struct error refused = ERROR_INIT;

    if (stamp->restored[0])
        return 0;
    snprintf(stamp->restored, sizeof(stamp->restored), "%s", restore->job->id);
    stamp->restored_ms = 0;
    if (guest_image_put_stamp(restore->job, restore->path, &restore->image, &refused) == 0)
        return 0;
    if (refused.code != ERROR_CONNECTION_LOST && refused.code != ERROR_INTERNAL &&
        job_flag(restore->job->params, "again", false))
        return 0;
    *err = refused;
    if (err->code != ERROR_LIBVIRT && err->code != ERROR_UNSUPPORTED)
        return -1;
    return error_set_at(err, err->code, "/params/path",
                        "the image cannot be marked as restored, so that a second job would not see it: %s; "
                        "`again: true` restores it all the same",
                        refused.libvirt_message);
}

static int restore_call(struct restore *restore, const char *xml)
{
    unsigned int flags = guest_save_flags(restore->job);
    int rc = virDomainRestoreFlags(restore->job->conn, restore->path, xml, flags);

    if (rc == 0 || virGetLastErrorCode() != VIR_ERR_ARGUMENT_UNSUPPORTED ||
        json_object_get(restore->job->params, "xml"))
        return rc;
    return flags ? virDomainRestoreFlags(restore->job->conn, restore->path, NULL, flags)
                 : virDomainRestore(restore->job->conn, restore->path);
}

static int restore_explain(struct restore *restore, struct error *err)
{
    struct error stop = ERROR_INIT;

    if (err->code == ERROR_CONNECTION_LOST)
        return -1;
    if (job_safe_point(restore->job, &stop) < 0) {
        *err = stop;
        return -1;
    }
    if ((err->code == ERROR_UNSUPPORTED || err->code == ERROR_INVALID) &&
        json_object_get(restore->job->params, "xml"))
        return error_locate(err, "/params/xml");
    return -1;
}

static int restore_call_watched(struct restore *restore, const char *xml, struct error *err)
{
    struct job_abort *abort = job_abort_begin_cut(restore->job, restore->uuid, restore_cut, err);
    int rc;

    if (!abort)
        return -1;
    if ((rc = job_safe_point(restore->job, err)) == 0) {
        kill_point("before-restore");
        rc = restore_call(restore, xml);
        if (rc < 0)
            error_set_libvirt(err, "restoring guest '%s'", restore->name);
        kill_point("after-restore");
    }
    job_abort_end(abort);
    return rc < 0 ? restore_explain(restore, err) : 0;
}

/* The order to stop may have ended the guest just after it was restored. */
static int restore_find(struct restore *restore, struct error *err)
{
    int active;

    if (guest_find_by(restore->job->conn, virDomainLookupByUUIDString, restore->uuid, &restore->dom, err) < 0)
        return -1;
    active = restore->dom ? guest_is_active(restore->dom, err) : 0;
    return active == 0 ? job_safe_point(restore->job, err) : active < 0 ? -1 : 0;
}

static int restore_run(struct restore *restore, struct error *err)
{
    AUTO(string) char *xml = guest_image_xml(restore->job, restore->image.doc, err);

    if (!xml || job_safe_point(restore->job, err) < 0 || restore_undo(restore, err) < 0 ||
        restore_mark(restore, err) < 0)
        return -1;
    progress_phase(job_progress(restore->job), "restoring", "steps");
    if (restore_call_watched(restore, xml, err) < 0)
        return -1;
    restore_mark_done(restore);
    return restore_find(restore, err);
}

/* One that has ended since it was restored may be gone altogether. */
static int restore_result(struct restore *restore, json_t **ret_result, struct error *err)
{
    AUTO(json) json_t *result = NULL;

    if (!restore->dom &&
        guest_find_by(restore->job->conn, virDomainLookupByUUIDString, restore->uuid, &restore->dom, err) < 0)
        return -1;
    if (restore->dom && guest_describe(restore->dom, &result, err) < 0)
        return -1;
    if (!result)
        result = json_pack("{s:s, s:s, s:s, s:s, s:b}", "name", restore->name, "uuid", restore->uuid, "state",
                           "shutoff", "reason", "unknown", "persistent", false);
    if (!result || json_object_set_new(result, "path", json_string(restore->path)) < 0)
        return error_set_memory(err);
    *ret_result = STEAL(&result);
    return 0;
}

int guest_restore(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(restore)
    struct restore restore = { .job = job, .path = job_string(job->params, "path", "") };
    int over;

    job_step_named(job, "restore");
    if (job_check_save_path(job, restore.path, "/params/path", err) < 0 || restore_look(&restore, err) < 0 ||
        (over = restore_take_over(&restore, err)) < 0)
        return -1;
    if (!over &&
        (job_safe_point(job, err) < 0 || restore_check(&restore, err) < 0 || restore_run(&restore, err) < 0))
        return -1;
    return restore_result(&restore, ret_result, err);
}
