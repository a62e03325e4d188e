/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A volume and what is below it. */

#include "volume_internal.h"

#include <string.h>

#include <libvirt/virterror.h>

/* QEMU itself would need hundreds of open files for more. */
#define CHAIN_MAX 64

static int chain_step(struct job *job, const char *path, const char *where, struct volume_info *info,
                      struct error *err)
{
    AUTO(volume) virStorageVolPtr vol = virStorageVolLookupByPath(job->conn, path);

    if (!vol && virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL)
        return error_set_at(err, ERROR_DENIED, where,
                            "the volume is an overlay of '%s', which is in no active pool of the host", path);
    if (!vol)
        return volume_error(err, "looking up '%s'", path);
    if (volume_info_read(vol, info, err) < 0)
        return -1;
    return volume_header_check(vol, info, where, err);
}

int volume_chain_check(struct job *job, virStorageVolPtr vol, const struct volume_info *top,
                       const char *where, uint64_t *ret_allocation, struct error *err)
{
    AUTO(string) char *path = top->backing_path ? strdup(top->backing_path) : NULL;
    uint64_t allocation = top->allocation;

    if (volume_header_check(vol, top, where, err) < 0)
        return -1;
    for (int depth = 0; path; depth++) {
        AUTO(volume_info) struct volume_info info = { 0 };

        if (depth == CHAIN_MAX)
            return error_set_at(err, ERROR_UNSUPPORTED, where, "the volume has more than %d layers",
                                CHAIN_MAX);
        if (chain_step(job, path, where, &info, err) < 0)
            return -1;
        allocation += info.allocation;
        free(path);
        path = STEAL(&info.backing_path);
    }
    *ret_allocation = allocation;
    return 0;
}

/* libvirt calls a CD image iso, which to QEMU is no format of its own. */
const char *volume_backing_format(const struct volume_info *info)
{
    return strcmp(info->format, "iso") == 0 ? "raw" : info->format;
}
