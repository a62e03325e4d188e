/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What libvirt tells of a volume only to those who try to read it. */

#include "orphans_internal.h"

#include <libvirt/virterror.h>

/* More than a record ever has: what is larger is none of ours. */
#define EMPTY_MAX (64 * 1024)

CLEANUP_DEFINE(stream, virStreamPtr, virStreamFree)

/* A download is the only reading call that minds whether libvirt still writes; it fails before it is begun. */
bool orphans_volume_at_work(virStorageVolPtr vol)
{
    AUTO(stream) virStreamPtr stream = virStreamNew(virStorageVolGetConnect(vol), 0);

    if (!stream)
        return false;
    if (virStorageVolDownload(vol, stream, 0, 1, 0) < 0)
        return virGetLastErrorCode() == VIR_ERR_OPERATION_INVALID;
    virStreamAbort(stream);
    return false;
}

static bool stream_is_empty(virStreamPtr stream)
{
    char data[4096];
    int got;

    while ((got = virStreamRecv(stream, data, sizeof(data))) > 0)
        for (int i = 0; i < got; i++)
            if (data[i])
                return virStreamAbort(stream), false;
    return got == 0 && virStreamFinish(stream) == 0;
}

bool orphans_volume_is_empty(virStorageVolPtr vol)
{
    AUTO(stream) virStreamPtr stream = NULL;
    virStorageVolInfo info;

    if (virStorageVolGetInfo(vol, &info) < 0 || info.capacity > EMPTY_MAX)
        return false;
    if (info.capacity == 0)
        return true;
    stream = virStreamNew(virStorageVolGetConnect(vol), 0);
    return stream && virStorageVolDownload(vol, stream, 0, 0, 0) == 0 && stream_is_empty(stream);
}
