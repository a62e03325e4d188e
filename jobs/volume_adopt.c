/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What an earlier attempt of the job has made, or begun to: taken over where it is whole, removed where nobody knows.
 *
 * After the end of the daemon a raw copy that it was at looks whole by every call of libvirt's, and the child that made
 * a qcow2 copy lives on. So whole is only what the record calls done, or what has been watched to its end over one
 * connection, which the daemon's end would have broken. */

#include "volume_internal.h"

#include <stdio.h>

#include <libvirt/virterror.h>

#include "kill_point.h"

#define SAMPLE_MS 250

CLEANUP_DEFINE(stream, virStreamPtr, virStreamFree)

/* A download is the only call that minds and does no harm: it is refused before anything is read. */
int volume_is_in_work(virStorageVolPtr vol, struct error *err)
{
    AUTO(stream) virStreamPtr stream = virStreamNew(virStorageVolGetConnect(vol), 0);

    if (stream && virStorageVolDownload(vol, stream, 0, 1, 0) == 0) {
        virStreamAbort(stream);
        return 0;
    }
    switch (virGetLastErrorCode()) {
    case VIR_ERR_OPERATION_INVALID:
        return 1;
    case VIR_ERR_NO_STORAGE_VOL:
    case VIR_ERR_NO_SUPPORT:
        return 0;
    default:
        return volume_error(err, "looking at volume '%s'", virStorageVolGetName(vol));
    }
}

/* As the attempt that began it would tell it. */
static void adopt_tell(struct job *job, const struct volume_build *build, virStorageVolPtr vol, bool first)
{
    const json_t *result = build->record->stamp.result;
    const char *phase = job_string(result, "phase", NULL);
    uint64_t total = (uint64_t)job_integer(result, "total", 0);
    virStorageVolInfo info;

    if (!phase)
        return;
    if (first)
        progress_phase(job_progress(job), phase, "bytes");
    if (virStorageVolGetInfo(vol, &info) < 0) /* the file is not there yet */
        info.allocation = 0;
    progress_update(job_progress(job), info.allocation,
                    volume_build_total(total, build->record->stamp.capacity, info.allocation));
}

/* 1 watched to its end, 0 libvirt was not at it, -1. */
static int adopt_watch(struct job *job, const struct volume_build *build, virStorageVolPtr vol,
                       struct error *err)
{
    for (bool seen = false;; seen = true) {
        int working = volume_is_in_work(vol, err);

        if (working <= 0)
            return working < 0 ? -1 : seen;
        adopt_tell(job, build, vol, !seen);
        if (job_wait(job, SAMPLE_MS, err) < 0)
            return -1;
    }
}

/* Our record says that it may be ours; these would say that it is not. */
static int adopt_check_own(struct job *job, const struct volume_build *build, virStorageVolPtr vol,
                           struct error *err)
{
    AUTO(string) char *guest = NULL;
    char at[VOLUME_WHERE_SIZE + 8];
    int fits = volume_record_fits(&build->record->stamp, vol, err);

    snprintf(at, sizeof(at), "%s/volume", build->where);
    if (fits < 0)
        return -1;
    if (!fits)
        return error_set_at(err, ERROR_CONFLICT, at, "somebody else has made a volume '%s' in pool '%s'",
                            build->spec.name, build->pool_name);
    int used = volume_used_by(job->conn, VIR_CONNECT_LIST_DOMAINS_ACTIVE, VOLUME_ANY_USE, vol, &guest, err);
    if (used > 0)
        return error_set_at(err, ERROR_CONFLICT, at, "guest '%s' runs on volume '%s' already", guest,
                            build->spec.name);
    return used;
}

static int adopt_remove(struct job *job, const struct volume_build *build, virStorageVolPtr vol,
                        struct error *err)
{
    if (adopt_check_own(job, build, vol, err) < 0 || job_safe_point(job, err) < 0 ||
        volume_remove(vol, NULL, err) < 0)
        return -1;
    kill_point("after-partial-removed");
    return 0;
}

static int adopt_whole(struct job *job, const struct volume_build *build, virStorageVolPtr vol,
                       struct error *err)
{
    if (adopt_check_own(job, build, vol, err) < 0)
        return -1;
    if (job_string(build->record->stamp.result, "phase", NULL))
        volume_build_tell_end(job, vol);
    job_adopted(job);
    return volume_build_grow(job, vol, build->record->stamp.capacity, err) < 0 ? -1 : 1;
}

static int adopt_intended(struct job *job, const struct volume_build *build, virStorageVolPtr vol,
                          struct error *err)
{
    int watched = adopt_watch(job, build, vol, err);
    int exists = watched < 0 ? -1 : volume_build_exists(build, err);

    if (exists <= 0)
        return exists;
    return watched ? adopt_whole(job, build, vol, err) : adopt_remove(job, build, vol, err);
}

/* A worker that had lost the job may have called done what another one had just begun anew. */
static int adopt_done(struct job *job, const struct volume_build *build, virStorageVolPtr vol,
                      struct error *err)
{
    int working = volume_is_in_work(vol, err);

    if (working < 0)
        return -1;
    if (!working) {
        job_adopted(job);
        return 1;
    }
    build->record->over = false;
    if (volume_record_undo(job, build, err) < 0)
        return -1;
    return adopt_intended(job, build, vol, err);
}

int volume_build_adopt(struct job *job, const struct volume_build *build, virStorageVolPtr *ret_vol,
                       struct error *err)
{
    AUTO(volume) virStorageVolPtr vol = NULL;
    int adopted = 1;

    if (!build->record->found)
        return 0;
    if (volume_lookup(build->pool, build->spec.name, &vol, err) < 0)
        return -1;
    if (!vol)
        adopted = 0;
    else if (build->record->stamp.state == STAMP_DONE)
        adopted = adopt_done(job, build, vol, err);
    else
        adopted = adopt_intended(job, build, vol, err);
    if (adopted == 1)
        *ret_vol = STEAL(&vol);
    build->record->found = adopted == 1;
    build->record->over &= adopted == 1;
    return adopted;
}
