/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* volume.create: an empty volume, or an overlay of another. */

#include "volume_internal.h"

#include <string.h>

static int create_set_capacity(struct job *job, struct volume_build *build, uint64_t least, struct error *err)
{
    uint64_t capacity = (uint64_t)job_integer(job->params, "capacity", (json_int_t)least);

    if (capacity < least)
        return error_set_at(err, ERROR_INVALID, "/params/capacity",
                            "an overlay of %llu bytes cannot show all %llu of what is below it",
                            (unsigned long long)capacity, (unsigned long long)least);
    build->spec.capacity = capacity;
    return 0;
}

/* libvirt makes of `metadata` and an allocation of the whole what qemu-img calls falloc. */
static int create_set_preallocation(struct job *job, struct volume_build *build, struct error *err)
{
    const char *preallocation = job_string(job->params, "preallocation", "none");
    bool qcow2 = build->spec.format && strcmp(build->spec.format, "qcow2") == 0;
    bool full = strcmp(preallocation, "full") == 0;

    if (!build->pool_of_files) /* where less would make libvirt call it thin, which not all of these can be */
        build->spec.allocation = build->spec.capacity;
    if (strcmp(preallocation, "none") == 0)
        return 0;
    if (!full && !qcow2)
        return error_set_at(err, ERROR_INVALID, "/params/preallocation", "only qcow2 has metadata");
    if (build->spec.backing_path)
        return error_set_at(err, ERROR_INVALID, "/params/preallocation", "an overlay is not preallocated");
    if (qcow2)
        build->flags = VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA;
    if (!full)
        return 0;
    build->spec.allocation = build->spec.capacity;
    build->phase = "allocating";
    build->total = build->spec.capacity;
    return 0;
}

/* What lies below the new volume, NULLs where there is nothing. */
struct create_backing {
    struct volume_info info;
    virStorageVolPtr vol;
};

static void cleanup_create_backing(struct create_backing *backing)
{
    volume_info_done(&backing->info);
    if (backing->vol)
        virStorageVolFree(backing->vol);
}

static int create_set_backing(struct job *job, struct create_backing *backing, struct volume_build *build,
                              struct error *err)
{
    const json_t *ref = json_object_get(job->params, "backing");
    uint64_t allocation = 0;

    if (!ref)
        return 0;
    if (!build->spec.format || strcmp(build->spec.format, "qcow2") != 0)
        return error_set_at(err, ERROR_INVALID, "/params/backing", "only qcow2 can be an overlay");
    if (volume_find(job, ref, "/params/backing", NULL, &backing->vol, err) < 0 ||
        volume_info_read(backing->vol, &backing->info, err) < 0 ||
        volume_chain_check(job, backing->vol, &backing->info, "/params/backing/volume", &allocation, err) <
            0 ||
        volume_check_writer(job, backing->vol, "/params/backing/volume", err) < 0)
        return -1;
    build->spec.backing_path = backing->info.path;
    build->spec.backing_format = job_string(ref, "format", volume_backing_format(&backing->info));
    return 0;
}

static int create_make(struct job *job, struct create_backing *backing, struct volume_build *build,
                       virStorageVolPtr *ret_vol, struct error *err)
{
    const char *format = job_string(job->params, "format", NULL);

    if (volume_build_set_format(build, format, "qcow2", "/params/format", err) < 0 ||
        create_set_backing(job, backing, build, err) < 0 ||
        create_set_capacity(job, build, backing->info.capacity, err) < 0 ||
        create_set_preallocation(job, build, err) < 0 ||
        volume_build_has_room(build, build->spec.allocation, err) < 0)
        return -1;
    if (volume_build_run(job, build, ret_vol, err) == 0)
        return 0;
    return err->code == ERROR_INVALID ? error_locate(err, "/params/capacity") : -1;
}

static int create_or_adopt(struct job *job, struct volume_build *build, virStorageVolPtr *ret_vol,
                           struct error *err)
{
    AUTO(create_backing) struct create_backing backing = { 0 };
    int adopted = volume_build_adopt(job, build, ret_vol, err);

    if (adopted < 0 || (!adopted && create_make(job, &backing, build, ret_vol, err) < 0))
        return -1;
    return volume_build_finish(job, build, err);
}

int volume_create(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(volume_record) struct volume_record record = { .found = false };
    AUTO(volume_build) struct volume_build build = { 0 };
    AUTO(volume) virStorageVolPtr vol = NULL;
    const json_t *target = json_object_get(job->params, "target");

    if (volume_build_begin(job, "create", target, "/params/target", &record, &build, err) < 0)
        return -1;
    if (create_or_adopt(job, &build, &vol, err) < 0) {
        volume_record_abandon(job, &build);
        return -1;
    }
    return volume_result(build.pool_name, vol, ret_result, err);
}
