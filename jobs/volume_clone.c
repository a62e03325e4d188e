/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* volume.clone: a copy of a volume, by the cheapest way that is correct or the one that is asked for. */

#include "volume_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct clone {
    struct job *job;
    const json_t *params;
    const char *where;          /* pointer of params */
    char at[VOLUME_WHERE_SIZE]; /* of the parameter last asked for by clone_at */
    virStorageVolPtr source;
    struct volume_info info; /* of the source */
    uint64_t allocation;     /* of the source with all that is below it */
    struct volume_build build;
    struct volume_record record;
    const char *asked; /* the method asked for */
    char method[16];   /* the one taken */
    char why[256];     /* one sentence, for auto */
};

static void cleanup_clone(struct clone *clone)
{
    volume_build_done(&clone->build);
    volume_record_done(&clone->record);
    volume_info_done(&clone->info);
    if (clone->source)
        virStorageVolFree(clone->source);
}

/* The pointer of a parameter; good until the next call. */
static const char *clone_at(struct clone *clone, const char *parameter)
{
    snprintf(clone->at, sizeof(clone->at), "%s%s", clone->where, parameter);
    return clone->at;
}

static bool clone_asked(const struct clone *clone, const char *method)
{
    return strcmp(clone->asked, method) == 0;
}

static void __attribute__((format(printf, 2, 3))) clone_say_why(struct clone *clone, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(clone->why, sizeof(clone->why), fmt, args);
    va_end(args);
}

/* A guest can write the header of any format into a raw volume and so name a file that it would like to read: who knows
 * what the source is should say so. */
static int clone_check_format(struct clone *clone, struct error *err)
{
    const char *known = job_string(clone->params, "source_format", NULL);

    if (known && strcmp(known, clone->info.format) != 0)
        return error_set_at(err, ERROR_DENIED, clone_at(clone, "/source_format"), "volume '%s' is %s, not %s",
                            clone->info.name, clone->info.format, known);
    if (clone->info.type && strcmp(clone->info.type, "dir") == 0)
        return error_set_at(err, ERROR_UNSUPPORTED, clone_at(clone, "/source/volume"), "'%s' is a directory",
                            clone->info.name);
    return 0;
}

static int clone_find_source(struct clone *clone, struct error *err)
{
    const json_t *ref = json_object_get(clone->params, "source");

    if (volume_find(clone->job, ref, clone_at(clone, "/source"), NULL, &clone->source, err) < 0 ||
        volume_info_read(clone->source, &clone->info, err) < 0 || clone_check_format(clone, err) < 0 ||
        volume_chain_check(clone->job, clone->source, &clone->info, clone_at(clone, "/source/volume"),
                           &clone->allocation, err) < 0)
        return -1;
    return volume_check_writer(clone->job, clone->source, clone_at(clone, "/source/volume"), err);
}

static int clone_find_target(struct clone *clone, struct error *err)
{
    const json_t *source = json_object_get(clone->params, "source");
    const json_t *target = json_object_get(clone->params, "target");

    if (json_equal(source, target))
        return error_set_at(err, ERROR_INVALID, clone_at(clone, "/target"),
                            "source and target are the same volume");
    return volume_build_begin(clone->job, "clone", target, clone_at(clone, "/target"), &clone->record,
                              &clone->build, err);
}

/* Formats that we do not make become the one that can hold the same. */
static const char *clone_default_format(const struct clone *clone)
{
    static const char *const plain[] = { "raw", "iso", "none", "unknown", "bochs", "cloop" };

    if (clone_asked(clone, "linked"))
        return "qcow2";
    for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
        if (strcmp(clone->info.format, plain[i]) == 0)
            return "raw";
    return "qcow2";
}

static int clone_set_format(struct clone *clone, struct error *err)
{
    const char *wanted = job_string(clone->params, "format", NULL);

    if (wanted && clone_asked(clone, "linked") && strcmp(wanted, "qcow2") != 0)
        return error_set_at(err, ERROR_INVALID, clone_at(clone, "/format"), "only qcow2 can be an overlay");
    if (wanted && clone_asked(clone, "reflink") && strcmp(wanted, clone->info.format) != 0)
        return error_set_at(err, ERROR_INVALID, clone_at(clone, "/format"),
                            "a reflink keeps the format of its source, %s", clone->info.format);
    if (json_object_get(clone->params, "backing_format") &&
        (clone_asked(clone, "full") || clone_asked(clone, "reflink")))
        return error_set_at(err, ERROR_INVALID, clone_at(clone, "/backing_format"),
                            "a clone by %s has no backing", clone->asked);
    return volume_build_set_format(&clone->build, wanted, clone_default_format(clone),
                                   clone_at(clone, "/format"), err);
}

static bool clone_target_is(const struct clone *clone, const char *format)
{
    return clone->build.spec.format && strcmp(clone->build.spec.format, format) == 0;
}

/* libvirt sets room aside for the copies that it makes itself, raw ones; qemu-img has its own ways. */
static int clone_set_preallocation(struct clone *clone, struct error *err)
{
    if (!job_flag(clone->params, "preallocate", false))
        return 0;
    if (clone_asked(clone, "linked") || clone_asked(clone, "reflink") || !clone_target_is(clone, "raw"))
        return error_set_at(err, ERROR_INVALID, clone_at(clone, "/preallocate"),
                            "only a full clone to raw can be preallocated");
    clone->build.allocated_first = true;
    return 0;
}

static int clone_set_capacity(struct clone *clone, struct error *err)
{
    uint64_t least = clone->info.capacity;
    uint64_t capacity = (uint64_t)job_integer(clone->params, "capacity", (json_int_t)least);

    if (capacity < least)
        return error_set_at(err, ERROR_INVALID, clone_at(clone, "/capacity"),
                            "%llu bytes are less than the %llu of volume '%s'", (unsigned long long)capacity,
                            (unsigned long long)least, clone->info.name);
    clone->build.spec.capacity = capacity;
    clone->build.source_capacity = least;
    return 0;
}

/* The methods. Each sets up the build and has it run. */

static void clone_take_method(struct clone *clone, const char *method, struct volume_build *build)
{
    snprintf(clone->method, sizeof(clone->method), "%s", method);
    build->method = clone->method;
    build->why = clone_asked(clone, "auto") ? clone->why : NULL;
}

static int clone_full(struct clone *clone, virStorageVolPtr *ret_vol, struct error *err)
{
    struct volume_build build = clone->build;

    build.source = clone->source;
    build.phase = "copying";
    build.total = clone->allocation < build.spec.capacity ? clone->allocation : build.spec.capacity;
    build.allocated_first |= !build.pool_of_files;
    if (build.allocated_first)
        build.total = build.spec.allocation = build.spec.capacity;
    clone_take_method(clone, "full", &build);
    if (volume_build_has_room(&build, build.total, err) < 0)
        return -1;
    return volume_build_run(clone->job, &build, ret_vol, err);
}

static bool clone_may_back(const struct clone *clone)
{
    const char *type = clone->info.type;

    return clone->build.pool_of_files && (!type || strcmp(type, "file") == 0 || strcmp(type, "block") == 0);
}

static int clone_linked(struct clone *clone, virStorageVolPtr *ret_vol, struct error *err)
{
    struct volume_build build = clone->build;

    clone_take_method(clone, "linked", &build);
    if (!clone_may_back(clone))
        return error_set_at(err, ERROR_UNSUPPORTED, clone_at(clone, "/target/pool"),
                            "an overlay needs a pool of files, and below it a file or a block device");
    build.spec.backing_path = clone->info.path;
    build.spec.backing_format =
        job_string(clone->params, "backing_format", volume_backing_format(&clone->info));
    return volume_build_run(clone->job, &build, ret_vol, err);
}

static int clone_reflink(struct clone *clone, virStorageVolPtr *ret_vol, struct error *err)
{
    struct volume_build build = clone->build;

    build.source = clone->source;
    build.flags = VIR_STORAGE_VOL_CREATE_REFLINK;
    clone_take_method(clone, "reflink", &build);
    return volume_build_run(clone->job, &build, ret_vol, err);
}

/* Whether a reflink failed because it is none of the things that can be done here. */
static bool reflink_is_refused(const struct error *err)
{
    return err->code == ERROR_UNSUPPORTED || err->code == ERROR_INVALID || err->code == ERROR_LIBVIRT;
}

static int clone_reflink_only(struct clone *clone, virStorageVolPtr *ret_vol, struct error *err)
{
    if (clone_reflink(clone, ret_vol, err) == 0)
        return 0;
    if (reflink_is_refused(err)) {
        char said[sizeof(err->message)];

        err->code = ERROR_UNSUPPORTED;
        snprintf(said, sizeof(said), "%s", err->message);
        snprintf(err->message, sizeof(err->message),
                 "a reflink needs a raw source and one file system that shares blocks: %.400s", said);
        error_locate(err, clone_at(clone, "/method"));
    }
    return -1;
}

/* 1 done, 0 where it cannot be done here, -1. libvirt 9 reflinks raw files only. */
static int clone_try_reflink(struct clone *clone, virStorageVolPtr *ret_vol, struct error *err)
{
    struct error refusal = ERROR_INIT;

    if (strcmp(clone->info.format, "raw") != 0 || !clone_target_is(clone, "raw"))
        return 0;
    clone_say_why(clone, "the file system shares the blocks of source and target, which costs no copy");
    if (clone_reflink(clone, ret_vol, &refusal) == 0)
        return 1;
    if (reflink_is_refused(&refusal)) {
        clone_say_why(clone,
                      "the file system cannot share blocks between source and target, and a raw volume "
                      "cannot be an overlay");
        return 0;
    }
    *err = refusal;
    return -1;
}

/* 1 where nothing can change the source any more: then an overlay is as good as a copy. 0 with the reason in `why`. */
static int clone_source_is_fixed(struct clone *clone, struct error *err)
{
    AUTO(string) char *guest = NULL;

    if (clone->info.mode < 0 || (clone->info.mode & 0222)) {
        clone_say_why(clone, "the permissions of the source allow writing, so only a copy is safe");
        return 0;
    }
    int used = volume_used_by(clone->job->conn, 0, VOLUME_WRITES, clone->source, &guest, err);
    if (used > 0)
        clone_say_why(clone,
                      "guest '%.64s' has the source as a disk that it can write to, so only a copy is safe",
                      guest);
    return used < 0 ? -1 : !used;
}

/* 1 safe, 0 not, -1. */
static int clone_link_is_safe(struct clone *clone, struct error *err)
{
    if (clone_target_is(clone, "qcow2") && clone_may_back(clone))
        return clone_source_is_fixed(clone, err);
    if (!clone->why[0])
        clone_say_why(clone, "%s",
                      clone_target_is(clone, "raw")
                          ? "the source has another format and a raw volume cannot be an overlay"
                          : "source or target lies in a pool that does not hold files");
    return 0;
}

static int clone_auto(struct clone *clone, virStorageVolPtr *ret_vol, struct error *err)
{
    if (clone->build.allocated_first) {
        clone_say_why(clone, "the clone is to be preallocated, which only a copy can be");
        return clone_full(clone, ret_vol, err);
    }

    int reflinked = clone_try_reflink(clone, ret_vol, err);
    if (reflinked != 0)
        return reflinked > 0 ? 0 : -1;

    int safe = clone_link_is_safe(clone, err);
    if (safe < 0)
        return -1;
    if (!safe)
        return clone_full(clone, ret_vol, err);
    clone_say_why(clone, "the source is read-only and no guest can write to it, so an overlay is safe");
    return clone_linked(clone, ret_vol, err);
}

static int clone_by_method(struct clone *clone, virStorageVolPtr *ret_vol, struct error *err)
{
    if (clone_asked(clone, "full"))
        return clone_full(clone, ret_vol, err);
    if (clone_asked(clone, "linked"))
        return clone_linked(clone, ret_vol, err);
    if (clone_asked(clone, "reflink"))
        return clone_reflink_only(clone, ret_vol, err);
    return clone_auto(clone, ret_vol, err);
}

/* Of all that was asked for, the size alone can be found wrong as late as here; and what is locked is the source. */
static int clone_make(struct clone *clone, virStorageVolPtr *ret_vol, struct error *err)
{
    if (clone_by_method(clone, ret_vol, err) == 0 &&
        volume_build_grow(clone->job, *ret_vol, clone->build.spec.capacity, err) == 0)
        return 0;
    if (err->code == ERROR_BUSY)
        return error_locate(err, clone_at(clone, "/source/volume"));
    return err->code == ERROR_INVALID ? error_locate(err, clone_at(clone, "/capacity")) : -1;
}

/* 1 where an earlier attempt has made it, 0 not, -1. */
static int clone_adopt(struct clone *clone, virStorageVolPtr *ret_vol, struct error *err)
{
    int adopted = volume_build_adopt(clone->job, &clone->build, ret_vol, err);
    const json_t *result = clone->record.stamp.result;

    if (adopted <= 0)
        return adopted;
    snprintf(clone->method, sizeof(clone->method), "%s", job_string(result, "method", "full"));
    clone_say_why(clone, "%s", job_string(result, "why", ""));
    return 1;
}

static int clone_anew(struct clone *clone, virStorageVolPtr *ret_vol, struct error *err)
{
    if (clone_find_source(clone, err) < 0 || clone_set_format(clone, err) < 0 ||
        clone_set_preallocation(clone, err) < 0 || clone_set_capacity(clone, err) < 0)
        return -1;
    return clone_make(clone, ret_vol, err);
}

static int clone_or_adopt(struct clone *clone, virStorageVolPtr *ret_vol, struct error *err)
{
    int adopted = clone_adopt(clone, ret_vol, err);

    if (adopted < 0 || (!adopted && clone_anew(clone, ret_vol, err) < 0))
        return -1;
    return volume_build_finish(clone->job, &clone->build, err);
}

static int clone_result(struct clone *clone, virStorageVolPtr vol, json_t **ret_result, struct error *err)
{
    AUTO(json) json_t *result = NULL;

    if (volume_result(clone->build.pool_name, vol, &result, err) < 0)
        return -1;
    if (json_object_set_new(result, "method", json_string(clone->method)) < 0 ||
        (clone_asked(clone, "auto") && json_object_set_new(result, "why", json_string(clone->why)) < 0))
        return error_set_memory(err);
    *ret_result = STEAL(&result);
    return 0;
}

int volume_clone_run(struct job *job, const json_t *params, const char *where, json_t **ret_result,
                     struct error *err)
{
    AUTO(volume) virStorageVolPtr vol = NULL;
    AUTO(clone) struct clone clone = {
        .job = job, .params = params, .where = where, .asked = job_string(params, "method", "auto")
    };

    if (clone_find_target(&clone, err) < 0)
        return -1;
    if (clone_or_adopt(&clone, &vol, err) < 0) {
        volume_record_abandon(job, &clone.build);
        return -1;
    }
    return clone_result(&clone, vol, ret_result, err);
}

int volume_clone(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(json) json_t *result = NULL;

    if (volume_clone_run(job, job->params, "/params", &result, err) < 0)
        return -1;
    if (json_object_get(result, "why"))
        job_choice(job, job_string(result, "method", ""), job_string(result, "why", ""));
    *ret_result = STEAL(&result);
    return 0;
}
