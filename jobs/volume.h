/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What other areas need of volumes: to find one, to see what it is, and to clone one as a part of a larger job.
 *
 * A reference is a JSON object {"pool", "volume"} that the schema has checked. `where` is always the JSON pointer of that
 * object in the job, as "/params/source"; errors point at its member at fault. */

#ifndef VIRTJOB_VOLUME_H
#define VIRTJOB_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "cleanup.h"
#include "error.h"
#include "job.h"
#include "stamp.h"

/* A volume as libvirt describes it. */
struct volume_info {
    char *name;
    char *path;
    char *type;   /* "file", "block", …; NULL where libvirt is silent */
    char *format; /* as the pool detected it; "raw" where it knows of no formats */
    uint64_t capacity;
    uint64_t allocation;
    uint64_t physical;  /* 0: not told */
    char *backing_path; /* NULL: not an overlay */
    char *backing_format;
    int mode; /* permission bits; -1: not told */
};

void volume_info_done(struct volume_info *info);

static inline void cleanup_volume_info(struct volume_info *info)
{
    volume_info_done(info);
}

/* Reads the description; volume_info_done in any case. ERROR_LIBVIRT without a code of libvirt's where it is no XML. */
int volume_info_read(virStorageVolPtr vol, struct volume_info *info, struct error *err);

/* As common.json#/$defs/volumeInfo has it: a new reference. */
json_t *volume_info_json(const char *pool, const struct volume_info *info, struct error *err);

/* In UTF-8; the schema counts characters. A file name has 255 bytes, and our own record's is longer than the volume's. */
#define VOLUME_NAME_MAX 240

/* Up to `size` bytes from its front. *ret_length is 0 where the driver cannot read volumes (the test driver). */
int volume_read_front(virStorageVolPtr vol, unsigned char *front, size_t size, size_t *ret_length,
                      struct error *err);

/* A volume to be made. */
struct volume_spec {
    const char *name;
    const char *format; /* NULL: the pool knows of no formats */
    uint64_t capacity;
    uint64_t allocation;      /* what is set aside at once; 0: nothing */
    const char *backing_path; /* NULL: not an overlay */
    const char *backing_format;
};

/* The spec as libvirt wants it; free(). */
char *volume_spec_xml(const struct volume_spec *spec, struct error *err);

/* Whether the pool's volumes are files, which can have records (stamp.h); else block devices, images of a cluster or the
 * like. */
int volume_pool_has_files(virStoragePoolPtr pool, bool *ret_files, struct error *err);

/* The pool of that name, which must be active; `where` is the pointer of the name. */
int volume_find_pool(struct job *job, const char *name, const char *where, virStoragePoolPtr *ret_pool,
                     struct error *err);

/* The volume that the reference names; `ret_pool` may be NULL. ERROR_NOT_FOUND where one of the two is missing. */
int volume_find(struct job *job, const json_t *ref, const char *where, virStoragePoolPtr *ret_pool,
                virStorageVolPtr *ret_vol, struct error *err);

/* Whether a volume could be made by that name: its pool is active, the name free, neither reserved nor too long. Where
 * job->again, a volume that carries this job's stamp is no obstacle: making it will take it over. */
int volume_check_free(struct job *job, const json_t *ref, const char *where, struct error *err);

/* Deletes, with the record of whoever made it; one that is not there is success, with *ret_gone (may be NULL) set: it
 * had gone already. ERROR_BUSY where a job is just making it. */
int volume_delete(virStorageVolPtr vol, bool *ret_gone, struct error *err);

/* An undo (job_undo) for a volume that the job has created: `state` is its reference. One that carries another job's
 * stamp by now is left alone. Waits for libvirt, where it still makes the volume; then the record goes, too. */
int volume_undo_create(struct job *job, const json_t *state, struct error *err);

/* Where job->again: takes over what an earlier attempt has left by that name, where it carries this job's stamp, and
 * makes no more of it: its undo is registered. What is not there or not the job's is success, with STAMP_NONE in `ret_stamp`
 * (stamp_done). It needs no safe point before it, so that a cancelled job knows all that it must undo; a
 * volume_clone_run that follows goes on with the volume, and tells whether it was adopted. */
int volume_adopt(struct job *job, const json_t *ref, const char *where, struct stamp *ret_stamp,
                 struct error *err);

/* Clears the record of the volume that the reference names, where it is this job's (stamp.h): a part of a job_sweeper. A
 * pool that is not there has none. */
int volume_stamp_clear(struct job *job, const json_t *ref, struct error *err);

/* error_set_libvirt with what is known of the storage driver: its "still being allocated" is ERROR_BUSY, a full disk is
 * ERROR_NO_SPACE even where only qemu-img said so, a name or file that exists is ERROR_CONFLICT. */
#define volume_error(err, ...) (error_keep_libvirt(), volume_error_kept((err), __VA_ARGS__))
int volume_error_kept(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

enum volume_access {
    VOLUME_ANY_USE, /* as a disk, or below one in its backing chain */
    VOLUME_WRITES,  /* as a disk it can write to */
};

/* Whether a guest has the volume: 1 with its name in *ret_guest (free), 0 for none, -1. `flags` as of
 * virConnectListAllDomains: which guests to look at. */
int volume_used_by(virConnectPtr conn, unsigned flags, enum volume_access access, virStorageVolPtr vol,
                   char **ret_guest, struct error *err);

/* Whether two absolute paths are one place, however each is spelt ("//", "/./", "/../"). Symbolic links are unknown to us:
 * the files are the host's. Where that misleads, it tells too often that two are the same. */
bool volume_path_is(const char *path, const char *other);

/* Does what volume.clone does: `params` is an object as the parameters of that type, `where` its own pointer
 * ("/params", "/params/disks/0"). Begins the step "clone", registers its undo, reports its progress. The result, a new
 * reference, is {"volume": volumeInfo, "method", "why"?}: `why` only where the method was left to us. Where job->again,
 * what an earlier attempt has made of it is taken over (job_adopted). Its record says that it is a part where `where` is not
 * "/params"; to clear it (volume_stamp_clear) is the sweeper's. */
int volume_clone_run(struct job *job, const json_t *params, const char *where, json_t **ret_result,
                     struct error *err);

#endif
