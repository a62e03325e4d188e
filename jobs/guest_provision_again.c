/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.provision that comes again: what an earlier attempt has left is taken over before anything else, for a job
 * that is to stop must undo all of it. Volumes come before the guest, and the guest before its start, as undos go
 * backwards. */

#include "guest_internal.h"

#include "volume.h"

static const json_t *disk_target(const struct provision *provision, size_t i)
{
    return json_object_get(json_array_get(provision->disks, i), "target");
}

/* A volume without a record, in a pool that keeps none or after the record was cleared: the guest is defined when all
 * of its volumes are made, so its stamp speaks for them. */
static int take_over_made(struct provision *provision, size_t i, const char *where, struct error *err)
{
    AUTO(volume) virStorageVolPtr vol = NULL;
    struct error failure = ERROR_INIT;

    if (volume_find(provision->job, disk_target(provision, i), where, NULL, &vol, &failure) < 0) {
        if (failure.code == ERROR_NOT_FOUND)
            return 0;
        *err = failure;
        return -1;
    }
    provision->made[i] = true;
    if (provision->over)
        return 0;
    return job_undo(provision->job, "delete volume", volume_undo_create,
                    json_deep_copy(disk_target(provision, i)), err);
}

static int take_over_volume(struct provision *provision, size_t i, struct error *err)
{
    AUTO(stamp) struct stamp stamp = { .state = STAMP_NONE };
    char where[GUEST_WHERE_SIZE];

    guest_disk_where(where, i, "/target");
    if (!provision->over && volume_adopt(provision->job, disk_target(provision, i), where, &stamp, err) < 0)
        return -1;
    provision->begun[i] = stamp.state != STAMP_NONE;
    if (provision->begun[i] || !provision->dom)
        return 0;
    return take_over_made(provision, i, where, err);
}

/* One that cannot be taken over is no reason to leave the others. */
static int take_over_volumes(struct provision *provision, struct error *err)
{
    int rc = 0;

    job_step_named(provision->job, "clone");
    for (size_t i = 0; i < json_array_size(provision->disks); i++) {
        struct error failure = ERROR_INIT;

        if (take_over_volume(provision, i, &failure) == 0 || rc < 0)
            continue;
        *err = failure;
        rc = -1;
    }
    return rc;
}

static int take_over_guest(struct provision *provision, struct error *err)
{
    int active;

    job_adopted(provision->job);
    if (provision->over)
        return 0;
    job_step_named(provision->job, "define");
    if (guest_definition_undo(provision->job, &provision->definition, guest_identity(provision->dom), err) <
        0)
        return -1;
    active = guest_is_active(provision->dom, err);
    provision->running = active == 1 && !guest_is_starting(provision->dom);
    if (active <= 0)
        return active;
    job_step_named(provision->job, "start");
    return job_undo(provision->job, "destroy", guest_undo_start, guest_identity(provision->dom), err);
}

int guest_provision_take_over(struct provision *provision, struct error *err)
{
    struct stamp stamp;
    int volumes;

    if (guest_find_own(provision->job, &provision->definition, &stamp, &provision->dom, err) < 0)
        return -1;
    provision->over = provision->dom && stamp.state == STAMP_DONE;
    volumes = take_over_volumes(provision, err);
    if (provision->dom && take_over_guest(provision, volumes < 0 ? NULL : err) < 0)
        return -1;
    return volumes;
}
