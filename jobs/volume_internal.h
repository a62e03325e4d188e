/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the files of the volume area share. */

#ifndef VIRTJOB_VOLUME_INTERNAL_H
#define VIRTJOB_VOLUME_INTERNAL_H

#include "volume.h"

/* The handlers that have a file of their own. */
int volume_create(struct job *job, json_t **ret_result, struct error *err);
int volume_clone(struct job *job, json_t **ret_result, struct error *err);
int volume_list(struct job *job, json_t **ret_result, struct error *err);

/* Long enough for every pointer that errors of this area carry. */
#define VOLUME_WHERE_SIZE 128

/* A volume to be made. */
struct volume_spec {
    const char *name;
    const char *format; /* NULL: the pool knows of no formats */
    uint64_t capacity;
    uint64_t allocation;      /* what is set aside at once; 0: nothing */
    const char *backing_path; /* NULL: not an overlay */
    const char *backing_format;
};

/* volume_xml.c: the spec as libvirt wants it; free(). */
char *volume_spec_xml(const struct volume_spec *spec, struct error *err);

/* Where and how to make it; volume_build_done. */
struct volume_build {
    struct volume_spec spec;
    const char *pool_name;
    virStoragePoolPtr pool;
    bool pool_of_files;   /* else its volumes are block devices, images of a cluster or the like */
    bool allocated_first; /* the whole, before the first byte is copied: the allocation tells no progress */
    virStorageVolPtr source;       /* lent; NULL: not a copy */
    unsigned flags;                /* VIR_STORAGE_VOL_CREATE_* */
    const char *phase;             /* what progress calls it; NULL: too quick for progress */
    uint64_t total;                /* bytes that will be written, an estimate */
    char where[VOLUME_WHERE_SIZE]; /* pointer of the reference of what is made */
};

/* volume_build.c */

/* Takes the reference of a volume to be made: its pool is there and active, its name free and not reserved. */
int volume_build_init(struct job *job, const json_t *ref, const char *where, struct volume_build *build,
                      struct error *err);
void volume_build_done(struct volume_build *build);

static inline void cleanup_volume_build(struct volume_build *build)
{
    volume_build_done(build);
}

/* The format for the pool: `wanted`, or `fallback` where nothing is wanted (NULL); only files have formats. `where`:
 * the pointer of what is wanted. */
int volume_build_set_format(struct volume_build *build, const char *wanted, const char *fallback,
                            const char *where, struct error *err);

/* ERROR_NO_SPACE where the pool has not that much room. Where libvirt's own figure says so, it is brought up to date
 * first. */
int volume_build_has_room(const struct volume_build *build, uint64_t needed, struct error *err);

/* Makes it, with progress while libvirt works. Has registered the undo when it returns 0, and as well where it failed
 * and something of ours is there or may be. */
int volume_build_run(struct job *job, const struct volume_build *build, virStorageVolPtr *ret_vol,
                     struct error *err);

/* volume_header.c: ERROR_DENIED or ERROR_UNSUPPORTED, at `where`, for a volume that refers to another file, or may,
 * without libvirt's telling. */
int volume_header_check(virConnectPtr conn, virStorageVolPtr vol, const struct volume_info *info,
                        const char *where, struct error *err);

/* volume_chain.c: what is below an overlay. Each must be a volume of an active pool: a file that merely claims to be
 * an overlay could otherwise name any file of the host. Adds up what they hold. */
int volume_chain_check(struct job *job, virStorageVolPtr vol, const struct volume_info *top,
                       const char *where, uint64_t *ret_allocation, struct error *err);

/* The format to write into an overlay of it, so that QEMU never has to guess one. */
const char *volume_backing_format(const struct volume_info *info);

/* ERROR_BUSY where a running guest can write to it: a copy would be torn, an overlay could not start. */
int volume_check_writer(struct job *job, virStorageVolPtr vol, const char *where, struct error *err);

/* {"volume": volumeInfo}, as it is now. */
int volume_result(const char *pool, virStorageVolPtr vol, json_t **ret_result, struct error *err);

/* The sidecar in which a job will keep its record: never shown, never to be made or copied by name. */
bool volume_name_is_reserved(const char *name);

#endif
