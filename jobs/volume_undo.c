/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Deleting volumes: on request, and where a job that failed has made them. */

#include "volume_internal.h"

#include <libvirt/virterror.h>

#include "kill_point.h"

/* How long an undo waits for somebody who reads the volume. */
#define READER_WAIT_MS 30000
#define PAUSE_MS       500

int volume_remove(virStorageVolPtr vol, bool *ret_gone, struct error *err)
{
    bool gone = false;

    if (virStorageVolDelete(vol, 0) < 0) {
        gone = virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL;
        if (!gone)
            return volume_error(err, "deleting volume '%s'", virStorageVolGetName(vol));
    }
    if (ret_gone)
        *ret_gone = gone;
    return 0;
}

int volume_delete(virStorageVolPtr vol, bool *ret_gone, struct error *err)
{
    /* Before the call that may fail: every one forgets the error of the one before. */
    const char *name = virStorageVolGetName(vol);
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByVolume(vol);
    bool gone = false;

    if (!pool)
        return volume_error(err, "looking at volume '%s'", name);
    if (volume_record_check_free(pool, name, err) < 0 || volume_remove(vol, &gone, err) < 0)
        return -1;
    kill_point("after-delete");
    if (ret_gone)
        *ret_gone = gone;
    return volume_record_forget(pool, name, err);
}

/* A copy whose client is gone goes on in the daemon, and until it ends, be it in hours, its target cannot be deleted. */
static int undo_may_wait(virStorageVolPtr vol, int waited_ms)
{
    return waited_ms < READER_WAIT_MS || volume_is_in_work(vol, NULL) > 0;
}

static int undo_remove(struct job *job, virStorageVolPtr vol, struct error *err)
{
    for (int waited_ms = 0;; waited_ms += PAUSE_MS) {
        struct error failure = ERROR_INIT;

        if (volume_remove(vol, NULL, &failure) == 0)
            return 0;
        if (failure.code != ERROR_BUSY || !undo_may_wait(vol, waited_ms)) {
            *err = failure;
            return -1;
        }
        if (job_wait(job, PAUSE_MS, err) < 0)
            return -1;
    }
}

/* While libvirt is at it, what it makes has not its size yet. */
static int undo_is_own(const struct stamp *stamp, virStorageVolPtr vol, struct error *err)
{
    int working = stamp->state == STAMP_INTENDED ? volume_is_in_work(vol, err) : 1;

    return working != 0 ? working : volume_record_fits(stamp, vol, err);
}

int volume_undo_create(struct job *job, const json_t *state, struct error *err)
{
    const char *name = job_string(state, "volume", "");
    AUTO(stamp) struct stamp stamp = { .state = STAMP_NONE };
    AUTO(pool) virStoragePoolPtr pool = NULL;
    AUTO(volume) virStorageVolPtr vol = NULL;

    if (volume_find_pool(job, job_string(state, "pool", ""), "", &pool, err) < 0 ||
        stamp_read_volume(pool, name, &stamp, err) < 0)
        return -1;
    if (stamp.state != STAMP_NONE && !stamp_is_of(&stamp, job->id))
        return 0;
    if (volume_lookup(pool, name, &vol, err) < 0)
        return -1;
    int own = vol ? undo_is_own(&stamp, vol, err) : 0;
    if (own < 0 || (own > 0 && undo_remove(job, vol, err) < 0))
        return -1;
    kill_point("after-undo-volume");
    return stamp_clear_volume(pool, name, job->id, err);
}
