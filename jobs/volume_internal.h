/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the files of the volume area share. */

#ifndef VIRTJOB_VOLUME_INTERNAL_H
#define VIRTJOB_VOLUME_INTERNAL_H

#include "stamp.h"
#include "volume.h"

/* The handlers that have a file of their own. */
int volume_create(struct job *job, json_t **ret_result, struct error *err);
int volume_clone(struct job *job, json_t **ret_result, struct error *err);
int volume_list(struct job *job, json_t **ret_result, struct error *err);

/* Clears the record of /target, where it is this job's. */
int volume_sweep(struct job *job, struct error *err);

/* Long enough for every pointer that errors of this area carry. */
#define VOLUME_WHERE_SIZE 128

/* The record of what is made (stamp.h), through all attempts at it; volume_record_done. */
struct volume_record {
    struct stamp stamp; /* what is there, as far as we know */
    bool found;         /* it is this job's, and the volume was there when we came */
    bool over;          /* besides, all is done: too late to stop or undo anything */
    bool undone;        /* the undo has been registered, and with the volume it clears the record */
};

void volume_record_done(struct volume_record *record);

static inline void cleanup_volume_record(struct volume_record *record)
{
    volume_record_done(record);
}

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
    const char *method, *why;      /* for the record; NULL: there is no choice */
    uint64_t source_capacity;      /* which a copy may have until it is grown; 0: not a copy */
    struct volume_record *record;  /* lent */
    uint64_t total;                /* bytes that will be written, an estimate */
    char where[VOLUME_WHERE_SIZE]; /* pointer of the reference of what is made */
};

/* volume_build.c */

/* Begins the step with the reference of a volume to be made: its pool is there and active; its name is neither reserved
 * nor taken, but perhaps by an earlier attempt, whose undo is registered then. After that it is a safe point, where it
 * is not too late (record->over). */
int volume_build_begin(struct job *job, const char *step, const json_t *ref, const char *where,
                       struct volume_record *record, struct volume_build *build, struct error *err);
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

/* Takes over what an earlier attempt has made, `record->found`: 1 and *ret_vol where it is whole, though it may have to
 * be waited for; 0 where there is nothing, or nothing any more, as a part has been removed; -1. */
int volume_build_adopt(struct job *job, const struct volume_build *build, virStorageVolPtr *ret_vol,
                       struct error *err);

/* Makes it, with progress while libvirt works, and the record before. Has registered the undo when it returns 0, and as
 * well where it failed and something of ours is there or may be. May be called again after it failed. */
int volume_build_run(struct job *job, const struct volume_build *build, virStorageVolPtr *ret_vol,
                     struct error *err);

/* Gives it this capacity where it has less: qemu-img gives a copy the size of its source, whatever libvirt was asked
 * for. */
int volume_build_grow(struct job *job, virStorageVolPtr vol, uint64_t capacity, struct error *err);

/* What was made or taken over is whole: a safe point, and the record becomes done. */
int volume_build_finish(struct job *job, const struct volume_build *build, struct error *err);

/* 1 there, 0 not, -1. */
int volume_build_exists(const struct volume_build *build, struct error *err);

/* How much there will be, of which `done` is there: `total` was a guess. */
uint64_t volume_build_total(uint64_t total, uint64_t capacity, uint64_t done);

/* The last word of the progress is what there is now. */
void volume_build_tell_end(struct job *job, virStorageVolPtr vol);

/* volume_record.c */

/* Reads it where there may be one. ERROR_CONFLICT or ERROR_BUSY where the name is not free for the job. */
int volume_record_look(struct job *job, const struct volume_build *build, struct error *err);

/* Registers the undo of what was found. */
int volume_record_take_over(struct job *job, const struct volume_build *build, struct error *err);

/* Before and after the volume is made. */
int volume_record_intend(struct job *job, const struct volume_build *build, struct error *err);
int volume_record_undo(struct job *job, const struct volume_build *build, struct error *err);
int volume_record_finish(struct job *job, const struct volume_build *build, struct error *err);

/* To be called when the job has failed: where there is no volume to be undone, the record goes alone. */
void volume_record_abandon(struct job *job, const struct volume_build *build);

/* Whether the volume can be what the record tells of, or a part of it: 1, 0, -1. */
int volume_record_fits(const struct stamp *stamp, virStorageVolPtr vol, struct error *err);

/* For a volume that is to be deleted: ERROR_BUSY where a job is just making it; clears the record of one that has been,
 * whosever. */
int volume_record_check_free(virStoragePoolPtr pool, const char *volume, struct error *err);
int volume_record_forget(virStoragePoolPtr pool, const char *volume, struct error *err);

/* volume_adopt.c: whether libvirt still allocates or copies it: 1, 0 (also where it is not there), -1. */
int volume_is_in_work(virStorageVolPtr vol, struct error *err);

/* volume_undo.c: deletes it, whatever its record says; *ret_gone as of volume_delete. */
int volume_remove(virStorageVolPtr vol, bool *ret_gone, struct error *err);

/* volume.c: *ret_vol is NULL where the pool has no such volume; a record is none. */
int volume_lookup(virStoragePoolPtr pool, const char *name, virStorageVolPtr *ret_vol, struct error *err);

/* volume_header.c: 1 where it holds nothing, not even its size: its making was broken off at once; 0, -1. */
int volume_header_is_void(virStorageVolPtr vol, struct error *err);

/* volume_header.c: ERROR_DENIED or ERROR_UNSUPPORTED, at `where`, for a volume that refers to another file, or may,
 * without libvirt's telling. */
int volume_header_check(virStorageVolPtr vol, const struct volume_info *info, const char *where,
                        struct error *err);

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

#endif
