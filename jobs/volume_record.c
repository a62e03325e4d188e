/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The record of a volume that is made (stamp.h): whether the name may be taken, the record before the volume and after
 * it, and what becomes of it with a volume that is undone or deleted. */

#include "volume_internal.h"

#include <stdio.h>
#include <string.h>

#include "kill_point.h"

/* Another job's record that is older than this, and has no volume, is nobody's any more. One that its maker has not
 * written into at once died with its maker. */
#define YOUNG_MS       (10 * 60 * 1000)
#define YOUNG_BLANK_MS (60 * 1000)

/* How long a record may take from its making to its first word. */
#define BLANK_WAIT_MS 1000

/* How much more than what it was asked for libvirt may make. */
#define ROUNDING 1024

void volume_record_done(struct volume_record *record)
{
    stamp_done(&record->stamp);
}

static bool record_is_young(const struct stamp *stamp)
{
    return stamp_age_ms(stamp) < (stamp->state == STAMP_BLANK ? YOUNG_BLANK_MS : YOUNG_MS);
}

static int refuse_busy(const struct volume_build *build, struct error *err)
{
    char at[VOLUME_WHERE_SIZE + 8];

    snprintf(at, sizeof(at), "%s/volume", build->where);
    return error_set_at(err, ERROR_BUSY, at, "another job is just making volume '%s' in pool '%s'",
                        build->spec.name, build->pool_name);
}

static int refuse_conflict(const struct volume_build *build, struct error *err)
{
    char at[VOLUME_WHERE_SIZE + 8];

    snprintf(at, sizeof(at), "%s/volume", build->where);
    return error_set_at(err, ERROR_CONFLICT, at, "there is a volume '%s' in pool '%s' already",
                        build->spec.name, build->pool_name);
}

/* A part is undone with the rest of its job; what is a job of its own, and done, is never undone. */
static bool record_is_over(const struct stamp *stamp)
{
    return stamp->state == STAMP_DONE && !stamp->part;
}

static bool record_is_part(const char *where)
{
    return strcmp(where, "/params/target") != 0;
}

/* What is left of the record where this returns 0 is the job's own, or nobody's. */
static int record_judge(struct job *job, const struct volume_build *build, bool exists, struct error *err)
{
    const struct stamp *stamp = &build->record->stamp;

    build->record->found = exists && stamp_is_of(stamp, job->id);
    if (stamp_is_of(stamp, job->id))
        return 0;
    if (stamp->state == STAMP_INTENDED && record_is_young(stamp))
        return refuse_busy(build, err);
    if (exists)
        return refuse_conflict(build, err);
    if (stamp->state == STAMP_BLANK && record_is_young(stamp) && !job->again)
        return refuse_busy(build, err);
    return 0;
}

/* The record before the volume: whoever has made the one by then has made the other. */
static int record_look_closely(struct job *job, const struct volume_build *build, struct error *err)
{
    stamp_done(&build->record->stamp);
    if (build->pool_of_files &&
        stamp_read_volume(build->pool, build->spec.name, &build->record->stamp, err) < 0)
        return -1;
    int exists = volume_build_exists(build, err);
    return exists < 0 ? -1 : record_judge(job, build, exists, err);
}

int volume_record_look(struct job *job, const struct volume_build *build, struct error *err)
{
    int exists = job->again ? 1 : volume_build_exists(build, err);

    if (exists <= 0)
        return exists; /* making the record will tell */
    return record_look_closely(job, build, err);
}

static int record_register_undo(struct job *job, const char *pool, const char *volume, struct error *err)
{
    return job_undo(job, "delete volume", volume_undo_create,
                    json_pack("{s:s, s:s}", "pool", pool, "volume", volume), err);
}

/* 1 where the record still says nothing and there is no volume, 0, -1. */
static int record_is_blank(virStoragePoolPtr pool, const char *volume, bool *ret_young, struct error *err)
{
    AUTO(stamp) struct stamp stamp = { .state = STAMP_NONE };
    AUTO(volume) virStorageVolPtr vol = NULL;

    if (stamp_read_volume(pool, volume, &stamp, err) < 0 || volume_lookup(pool, volume, &vol, err) < 0)
        return -1;
    *ret_young = record_is_young(&stamp);
    return stamp.state == STAMP_BLANK && !vol;
}

/* An attempt that ends between making its record and writing into it leaves one that says nothing. If it is another's
 * who lives, that one writes soon. */
static int record_undo_blank(struct job *job, const json_t *state, struct error *err)
{
    const char *name = job_string(state, "volume", "");
    AUTO(pool) virStoragePoolPtr pool = NULL;
    bool young = false;
    int blank;

    if (volume_find_pool(job, job_string(state, "pool", ""), "", &pool, err) < 0)
        return -1;
    blank = record_is_blank(pool, name, &young, err);
    if (blank > 0 && young)
        blank = job_wait(job, BLANK_WAIT_MS, err) < 0 ? -1 : record_is_blank(pool, name, &young, err);
    return blank > 0 ? stamp_clear_volume(pool, name, NULL, err) : blank;
}

/* For what is found when the job comes again. */
static int record_register_found(struct job *job, const struct stamp *stamp, const char *pool,
                                 const char *volume, struct error *err)
{
    if (stamp_is_of(stamp, job->id))
        return record_register_undo(job, pool, volume, err);
    if (stamp->state != STAMP_BLANK)
        return 0;
    return job_undo(job, "clear record", record_undo_blank,
                    json_pack("{s:s, s:s}", "pool", pool, "volume", volume), err);
}

int volume_record_undo(struct job *job, const struct volume_build *build, struct error *err)
{
    if (record_register_undo(job, build->pool_name, build->spec.name, err) < 0)
        return -1;
    build->record->undone = true;
    return 0;
}

int volume_record_take_over(struct job *job, const struct volume_build *build, struct error *err)
{
    const struct stamp *stamp = &build->record->stamp;

    if (!stamp_is_of(stamp, job->id))
        return job->again ? record_register_found(job, stamp, build->pool_name, build->spec.name, err) : 0;
    build->record->over = build->record->found && record_is_over(stamp);
    return build->record->over ? 0 : volume_record_undo(job, build, err);
}

/* NULL for none. */
static json_t *json_bytes(uint64_t bytes)
{
    return bytes ? json_integer((json_int_t)bytes) : NULL;
}

/* The record that is to be there, `result` a new reference. */
static struct stamp record_wanted(struct job *job, const struct volume_build *build)
{
    struct stamp stamp = { .state = STAMP_INTENDED,
                           .part = record_is_part(build->where),
                           .capacity = build->spec.capacity };

    snprintf(stamp.job, sizeof(stamp.job), "%s", job->id);
    snprintf(stamp.type, sizeof(stamp.type), "%s", job->type->name);
    stamp.result = json_pack("{s:s*, s:s*, s:s*, s:o*, s:o*}", "method", build->method, "why", build->why,
                             "phase", build->phase, "total", json_bytes(build->phase ? build->total : 0),
                             "source_capacity", json_bytes(build->source_capacity));
    return stamp;
}

static bool record_is_right(const struct stamp *stamp, const struct stamp *wanted)
{
    return stamp->state == STAMP_INTENDED && stamp_is_of(stamp, wanted->job) &&
           stamp->capacity == wanted->capacity && json_equal(stamp->result, wanted->result);
}

/* Nobody can read whose it is; but its maker, if it lives, is just about to write into it. */
static int record_await(struct job *job, const struct volume_build *build, struct error *err)
{
    if (job_wait(job, BLANK_WAIT_MS, err) < 0 || record_look_closely(job, build, err) < 0)
        return -1;
    return build->record->stamp.state == STAMP_BLANK ? 0 : refuse_busy(build, err);
}

/* Nobody's. Two that find it must not both write over it, so it goes and each makes its own: one of them can. */
static int record_clear_left(struct job *job, const struct volume_build *build, struct error *err)
{
    const struct stamp *stamp = &build->record->stamp;

    if (stamp->state == STAMP_NONE)
        return 0;
    if (stamp->state == STAMP_BLANK && record_is_young(stamp) && record_await(job, build, err) < 0)
        return -1;
    return stamp_clear_volume(build->pool, build->spec.name, stamp->state == STAMP_BLANK ? NULL : stamp->job,
                              err);
}

/* 1 where there is a new one, 0 where the job's own is still there, -1. */
static int record_make(struct job *job, const struct volume_build *build, const struct stamp *wanted,
                       bool *ret_kept, struct error *err)
{
    struct error failure = ERROR_INIT;

    for (int looks = 0; looks < 2; looks++) {
        if (stamp_is_of(&build->record->stamp, job->id))
            return build->record->found ? refuse_busy(build, err) : 0;
        if (record_clear_left(job, build, err) < 0)
            return -1;
        if (stamp_intend_volume(build->pool, build->spec.name, wanted, ret_kept, &failure) == 0)
            return 1;
        if (failure.code != ERROR_BUSY)
            break;
        if (record_look_closely(job, build, err) < 0)
            return -1;
    }
    if (failure.code == ERROR_BUSY)
        return refuse_busy(build, err);
    *err = failure;
    return -1;
}

static int record_put(struct job *job, const struct volume_build *build, struct stamp *wanted,
                      struct error *err)
{
    bool kept = true;
    int made = record_make(job, build, wanted, &kept, err);

    if (made < 0)
        return -1;
    if (!made && !record_is_right(&build->record->stamp, wanted) &&
        stamp_write_volume(build->pool, build->spec.name, wanted, err) < 0)
        return -1;
    stamp_done(&build->record->stamp);
    if (!kept)
        return 0;
    build->record->stamp = *wanted;
    *wanted = (struct stamp){ .state = STAMP_NONE };
    return 0;
}

int volume_record_intend(struct job *job, const struct volume_build *build, struct error *err)
{
    AUTO(stamp) struct stamp wanted = record_wanted(job, build);

    if (!build->pool_of_files)
        return 0;
    if (!wanted.result)
        return error_set_memory(err);
    if (job_safe_point(job, err) < 0)
        return -1;
    return record_put(job, build, &wanted, err);
}

int volume_record_finish(struct job *job, const struct volume_build *build, struct error *err)
{
    struct stamp *stamp = &build->record->stamp;

    if (!stamp_is_of(stamp, job->id) || stamp->state == STAMP_DONE)
        return 0;
    if (stamp_finish_volume(build->pool, build->spec.name, err) < 0)
        return -1;
    stamp->state = STAMP_DONE;
    return 0;
}

/* Where the job is another worker's by now, so is the record. */
void volume_record_abandon(struct job *job, const struct volume_build *build)
{
    struct error stop = ERROR_INIT;

    if (build->record->undone || !stamp_is_of(&build->record->stamp, job->id))
        return;
    if (job_safe_point(job, &stop) < 0 && stop.code == ERROR_INTERRUPTED)
        return;
    stamp_clear_volume(build->pool, build->spec.name, job->id, NULL);
    stamp_done(&build->record->stamp);
}

static bool capacity_fits(uint64_t capacity, uint64_t wanted)
{
    return capacity >= wanted && capacity - wanted < ROUNDING;
}

/* A copy that grows has the capacity of its source first; and what was begun only just now holds nothing. What a job has
 * finished may have become anything since. */
int volume_record_fits(const struct stamp *stamp, virStorageVolPtr vol, struct error *err)
{
    json_int_t source = job_integer(stamp->result, "source_capacity", 0);
    virStorageVolInfo info;

    if (stamp->state == STAMP_DONE)
        return 1;
    if (virStorageVolGetInfo(vol, &info) < 0)
        return volume_error(err, "looking at volume '%s'", virStorageVolGetName(vol));
    if (stamp_is_late(stamp, vol))
        return 0;
    if (stamp->capacity == 0 || capacity_fits(info.capacity, stamp->capacity) ||
        (source > 0 && capacity_fits(info.capacity, (uint64_t)source)))
        return 1;
    return volume_header_is_void(vol, err);
}

int volume_adopt(struct job *job, const json_t *ref, const char *where, struct stamp *ret_stamp,
                 struct error *err)
{
    const char *pool_name = job_string(ref, "pool", ""), *name = job_string(ref, "volume", "");
    AUTO(pool) virStoragePoolPtr pool = NULL;
    struct error failure = ERROR_INIT;

    *ret_stamp = (struct stamp){ .state = STAMP_NONE };
    if (!job->again)
        return 0;
    if (volume_find_pool(job, pool_name, where, &pool, &failure) < 0) {
        if (failure.code == ERROR_NOT_FOUND || failure.code == ERROR_CONFLICT)
            return 0;
        *err = failure;
        return -1;
    }
    if (stamp_read_volume(pool, name, ret_stamp, err) < 0)
        return -1;
    if (record_register_found(job, ret_stamp, pool_name, name, err) < 0)
        return -1;
    if (!stamp_is_of(ret_stamp, job->id))
        stamp_done(ret_stamp);
    return 0;
}

int volume_record_check_free(virStoragePoolPtr pool, const char *volume, struct error *err)
{
    AUTO(stamp) struct stamp stamp = { .state = STAMP_NONE };

    if (stamp_read_volume(pool, volume, &stamp, err) < 0)
        return -1;
    if (stamp.state == STAMP_INTENDED && record_is_young(&stamp))
        return error_set(err, ERROR_BUSY, "a job is just making volume '%s'", volume);
    return 0;
}

int volume_record_forget(virStoragePoolPtr pool, const char *volume, struct error *err)
{
    AUTO(stamp) struct stamp stamp = { .state = STAMP_NONE };

    if (stamp_read_volume(pool, volume, &stamp, err) < 0)
        return -1;
    if (stamp.state == STAMP_DONE || (stamp.state == STAMP_INTENDED && !record_is_young(&stamp)))
        return stamp_clear_volume(pool, volume, stamp.job, err);
    return 0;
}

int volume_stamp_clear(struct job *job, const json_t *ref, struct error *err)
{
    AUTO(pool) virStoragePoolPtr pool = NULL;
    struct error failure = ERROR_INIT;

    if (volume_find_pool(job, job_string(ref, "pool", ""), "", &pool, &failure) == 0)
        return stamp_clear_volume(pool, job_string(ref, "volume", ""), job->id, err);
    if (failure.code == ERROR_NOT_FOUND)
        return 0;
    if (err)
        *err = failure;
    return -1;
}

int volume_sweep(struct job *job, struct error *err)
{
    return volume_stamp_clear(job, json_object_get(job->params, "target"), err);
}
