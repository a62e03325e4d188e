/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a volume's header may hide from libvirt. A guest can write any header into its disk; libvirt tells of a backing
 * file only where its name lies near the front, and of an external data file (libvirt 9) not at all, while qemu-img, as
 * root, follows both. */

#include "volume_internal.h"

#include <endian.h>
#include <string.h>

#include <libvirt/virterror.h>

/* As of docs/interop/qcow2.txt of QEMU; all numbers are big-endian. */
#define QCOW2_BACKING_OFFSET 8  /* 8 bytes, 0: none */
#define QCOW2_CAPACITY       24 /* 8 bytes; written last */
#define QCOW2_INCOMPATIBLE   72 /* 8 bytes, from version 3 on */
#define QCOW2_EXTERNAL_DATA  (1u << 2)
#define QCOW2_HEADER_SIZE    80
#define QCOW2_VERSION        4 /* 4 bytes */

CLEANUP_DEFINE(stream, virStreamPtr, virStreamFree)

int volume_read_front(virStorageVolPtr vol, unsigned char *front, size_t size, size_t *ret_length,
                      struct error *err)
{
    AUTO(stream) virStreamPtr stream = virStreamNew(virStorageVolGetConnect(vol), 0);
    size_t length = 0;
    int got = 1;

    if (!stream || virStorageVolDownload(vol, stream, 0, size, 0) < 0) {
        if (virGetLastErrorCode() != VIR_ERR_NO_SUPPORT)
            return volume_error(err, "reading volume '%s'", virStorageVolGetName(vol));
        *ret_length = 0;
        return 0;
    }
    while (got > 0 && length < size) {
        got = virStreamRecv(stream, (char *)front + length, size - length);
        length += got > 0 ? (size_t)got : 0;
    }
    if (got < 0) /* which has aborted the stream */
        return volume_error(err, "reading volume '%s'", virStorageVolGetName(vol));
    virStreamAbort(stream);
    *ret_length = length;
    return 0;
}

static uint64_t header_number(const unsigned char *header, size_t at)
{
    uint64_t number;

    memcpy(&number, header + at, sizeof(number));
    return be64toh(number);
}

static int header_check_qcow2(virStorageVolPtr vol, const struct volume_info *info, const char *where,
                              struct error *err)
{
    unsigned char header[QCOW2_HEADER_SIZE] = { 0 };
    size_t length = 0;

    if (volume_read_front(vol, header, sizeof(header), &length, err) < 0)
        return -1;
    if (!info->backing_path && header_number(header, QCOW2_BACKING_OFFSET) != 0)
        return error_set_at(err, ERROR_DENIED, where, "volume '%s' hides what it is an overlay of",
                            info->name);
    if (header[QCOW2_VERSION + 3] >= 3 && (header_number(header, QCOW2_INCOMPATIBLE) & QCOW2_EXTERNAL_DATA))
        return error_set_at(err, ERROR_DENIED, where, "volume '%s' keeps its data in another file",
                            info->name);
    return 0;
}

int volume_header_is_void(virStorageVolPtr vol, struct error *err)
{
    unsigned char header[QCOW2_HEADER_SIZE] = { 0 };
    size_t length = 0;

    if (volume_read_front(vol, header, sizeof(header), &length, err) < 0)
        return -1;
    if (length == 0)
        return 1;
    return memcmp(header, "QFI\xfb", 4) == 0 && header_number(header, QCOW2_CAPACITY) == 0;
}

int volume_header_check(virStorageVolPtr vol, const struct volume_info *info, const char *where,
                        struct error *err)
{
    static const char *const opaque[] = { "vmdk", "qcow", "qed" };

    for (size_t i = 0; i < sizeof(opaque) / sizeof(*opaque); i++)
        if (strcmp(info->format, opaque[i]) == 0)
            return error_set_at(err, ERROR_UNSUPPORTED, where,
                                "volume '%s' is %s, which can refer to other files unseen", info->name,
                                opaque[i]);
    return strcmp(info->format, "qcow2") == 0 ? header_check_qcow2(vol, info, where, err) : 0;
}
