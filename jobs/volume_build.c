/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Making one volume, be it empty, an overlay or a copy: the checks before, the progress meanwhile, and what is left to
 * be cleaned up when it fails. */

#include "volume_internal.h"

#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "kill_point.h"

#define SAMPLE_MS 250

int volume_build_exists(const struct volume_build *build, struct error *err)
{
    AUTO(volume) virStorageVolPtr vol = NULL;

    if (volume_lookup(build->pool, build->spec.name, &vol, err) < 0)
        return -1;
    return vol != NULL;
}

static int build_check_name(const struct volume_build *build, struct error *err)
{
    char at[VOLUME_WHERE_SIZE + 8];

    snprintf(at, sizeof(at), "%s/volume", build->where);
    if (strlen(build->spec.name) > VOLUME_NAME_MAX)
        return error_set_at(err, ERROR_INVALID, at, "the name has %zu bytes, at most %d are possible",
                            strlen(build->spec.name), VOLUME_NAME_MAX);
    if (stamp_is_record(build->spec.name))
        return error_set_at(err, ERROR_INVALID, at, "the name '%s' is reserved for virtjob's own records",
                            build->spec.name);
    return 0;
}

static int build_open(struct job *job, const json_t *ref, const char *where, struct volume_record *record,
                      struct volume_build *build, struct error *err)
{
    char at[VOLUME_WHERE_SIZE];

    *build = (struct volume_build){ .pool_name = job_string(ref, "pool", ""),
                                    .spec = { .name = job_string(ref, "volume", "") },
                                    .record = record };
    snprintf(build->where, sizeof(build->where), "%s", where);
    snprintf(at, sizeof(at), "%s/pool", where);
    if (volume_find_pool(job, build->pool_name, at, &build->pool, err) < 0)
        return -1;
    if (volume_pool_has_files(build->pool, &build->pool_of_files, err) < 0 ||
        build_check_name(build, err) < 0)
        return -1;
    return volume_record_look(job, build, err);
}

int volume_check_free(struct job *job, const json_t *ref, const char *where, struct error *err)
{
    AUTO(volume_record) struct volume_record record = { .found = false };
    AUTO(volume_build) struct volume_build build = { 0 };

    return build_open(job, ref, where, &record, &build, err);
}

int volume_build_begin(struct job *job, const char *step, const json_t *ref, const char *where,
                       struct volume_record *record, struct volume_build *build, struct error *err)
{
    job_step_named(job, step);
    if (build_open(job, ref, where, record, build, err) < 0 || volume_record_take_over(job, build, err) < 0)
        return -1;
    return record->over ? 0 : job_step(job, step, err);
}

void volume_build_done(struct volume_build *build)
{
    if (build->pool)
        virStoragePoolFree(STEAL(&build->pool));
}

int volume_build_set_format(struct volume_build *build, const char *wanted, const char *fallback,
                            const char *where, struct error *err)
{
    if (build->pool_of_files)
        build->spec.format = wanted ? wanted : fallback;
    else if (wanted && strcmp(wanted, "raw") != 0)
        return error_set_at(err, ERROR_UNSUPPORTED, where,
                            "pool '%s' does not hold files: its volumes are raw", build->pool_name);
    return 0;
}

static int build_available(const struct volume_build *build, uint64_t *ret_bytes, struct error *err)
{
    virStoragePoolInfo info;

    if (virStoragePoolGetInfo(build->pool, &info) < 0)
        return error_set_libvirt(err, "looking at pool '%s'", build->pool_name);
    *ret_bytes = info.available;
    return 0;
}

/* libvirt counts only its own volumes between two refreshes of a pool. A refresh is refused while anything is being
 * copied into the pool; then the figure must do. */
int volume_build_has_room(const struct volume_build *build, uint64_t needed, struct error *err)
{
    char at[VOLUME_WHERE_SIZE + 8];
    uint64_t available = 0;

    if (build_available(build, &available, err) < 0)
        return -1;
    if (available < needed && virStoragePoolRefresh(build->pool, 0) == 0 &&
        build_available(build, &available, err) < 0)
        return -1;
    snprintf(at, sizeof(at), "%s/pool", build->where);
    if (available < needed)
        return error_set_at(
            err, ERROR_NO_SPACE, at, "pool '%s' has %llu bytes available, volume '%s' needs about %llu",
            build->pool_name, (unsigned long long)available, build->spec.name, (unsigned long long)needed);
    return 0;
}

/* Looks on while libvirt writes, over a connection that is not the one waiting for it. */
struct build_watch {
    struct job *job;
    const struct volume_build *build;
    virConnectPtr conn;
    virStorageVolPtr vol; /* NULL until it is there */
    struct progress_sampler *sampler;
};

static int watch_find(struct build_watch *watch)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(watch->conn, watch->build->pool_name);

    watch->vol = pool ? virStorageVolLookupByName(pool, watch->build->spec.name) : NULL;
    return watch->vol ? 0 : -1;
}

/* How much there will be is a guess, too low for a compressed source. A little more is what the format needs for itself;
 * with much more all that is sure is that a clone seldom takes more than its capacity. */
uint64_t volume_build_total(uint64_t total, uint64_t capacity, uint64_t done)
{
    if (done <= total)
        return total;
    if (done - total <= total / 32 + 1024 * 1024 || done >= capacity)
        return done;
    return capacity;
}

/* What is written is told by the allocation, which grows from nothing as `allocation` in the spec is 0. */
static int watch_sample(void *opaque, uint64_t *ret_done, uint64_t *ret_total)
{
    struct build_watch *watch = opaque;
    virStorageVolInfo info;

    if (!watch->vol && watch_find(watch) < 0)
        return -1;
    if (virStorageVolGetInfo(watch->vol, &info) < 0)
        return -1;
    *ret_done = info.allocation;
    *ret_total = volume_build_total(watch->build->total, watch->build->spec.capacity, info.allocation);
    return 0;
}

static void watch_stop(struct build_watch *watch)
{
    if (watch->sampler)
        progress_sampler_stop(STEAL(&watch->sampler));
    if (watch->vol)
        virStorageVolFree(STEAL(&watch->vol));
    if (watch->conn)
        job_query_end(watch->job, STEAL(&watch->conn));
}

static int watch_start(struct build_watch *watch, struct error *err)
{
    struct progress *progress = job_progress(watch->job);

    if (!watch->build->phase)
        return 0;
    progress_phase(progress, watch->build->phase, "bytes");
    progress_update(progress, 0, watch->build->total);
    if (watch->build->allocated_first)
        return 0;
    if (job_query_begin(watch->job, &watch->conn, err) < 0)
        return -1;
    watch->sampler = progress_sampler_start(progress, SAMPLE_MS, watch_sample, watch, err);
    if (watch->sampler)
        return 0;
    watch_stop(watch);
    return -1;
}

void volume_build_tell_end(struct job *job, virStorageVolPtr vol)
{
    virStorageVolInfo info;

    if (virStorageVolGetInfo(vol, &info) == 0 && info.allocation > 0)
        progress_update(job_progress(job), info.allocation, info.allocation);
    progress_finish(job_progress(job));
}

/* Whether libvirt may have begun before it failed so. Otherwise what has the name now is somebody else's. */
static bool build_may_have_begun(enum error_code code)
{
    switch (code) {
    case ERROR_CONFLICT:
    case ERROR_INVALID:
    case ERROR_DENIED:
    case ERROR_BUSY:
    case ERROR_NOT_FOUND:
        return false;
    default:
        return true;
    }
}

/* libvirt deletes what it could not complete; where it has not, or the connection is gone and it may be at it still, we
 * do. */
static int build_fail(struct job *job, const struct volume_build *build, struct error *err)
{
    char at[VOLUME_WHERE_SIZE + 8];

    if (build_may_have_begun(err->code) && volume_build_exists(build, NULL) != 0)
        volume_record_undo(job, build, NULL);
    if (err->code != ERROR_NO_SPACE && err->code != ERROR_CONFLICT)
        return -1;
    snprintf(at, sizeof(at), "%s/%s", build->where, err->code == ERROR_CONFLICT ? "volume" : "pool");
    return error_locate(err, at);
}

static virStorageVolPtr build_make(const struct volume_build *build, const char *xml)
{
    if (build->source)
        return virStorageVolCreateXMLFrom(build->pool, xml, build->source, build->flags);
    return virStorageVolCreateXML(build->pool, xml, build->flags);
}

/* The last safe point before it: libvirt cannot be stopped once it has begun. */
static int build_make_watched(struct job *job, const struct volume_build *build, const char *xml,
                              virStorageVolPtr *ret_vol, struct error *err)
{
    struct build_watch watch = { .job = job, .build = build };

    if (watch_start(&watch, err) < 0)
        return -1;
    if (job_safe_point(job, err) < 0) {
        watch_stop(&watch);
        return -1;
    }
    *ret_vol = build_make(build, xml);
    if (!*ret_vol)
        volume_error(err, "making volume '%s' in pool '%s'", build->spec.name, build->pool_name);
    watch_stop(&watch);
    kill_point("after-create");
    return *ret_vol ? 0 : build_fail(job, build, err);
}

int volume_build_run(struct job *job, const struct volume_build *build, virStorageVolPtr *ret_vol,
                     struct error *err)
{
    AUTO(string) char *xml = volume_spec_xml(&build->spec, err);
    AUTO(volume) virStorageVolPtr vol = NULL;
    char at[VOLUME_WHERE_SIZE + 8];

    snprintf(at, sizeof(at), "%s/volume", build->where);
    if (!xml)
        return err->code == ERROR_INVALID ? error_locate(err, at) : -1;
    kill_point("before-intended");
    if (volume_record_intend(job, build, err) < 0)
        return -1;
    kill_point("after-intended");
    if (build_make_watched(job, build, xml, &vol, err) < 0)
        return -1;
    if (build->phase)
        volume_build_tell_end(job, vol);
    if (volume_record_undo(job, build, err) < 0) {
        volume_remove(vol, NULL, NULL);
        return -1;
    }
    *ret_vol = STEAL(&vol);
    return 0;
}

int volume_build_grow(struct job *job, virStorageVolPtr vol, uint64_t capacity, struct error *err)
{
    virStorageVolInfo info;

    if (virStorageVolGetInfo(vol, &info) < 0)
        return volume_error(err, "looking at volume '%s'", virStorageVolGetName(vol));
    if (info.capacity >= capacity)
        return 0;
    if (job_safe_point(job, err) < 0)
        return -1;
    if (virStorageVolResize(vol, capacity, 0) < 0)
        return volume_error(err, "resizing volume '%s'", virStorageVolGetName(vol));
    return 0;
}

/* While the broker is away it may have given the job to another worker, which must learn that the volume is whole, or it
 * would make it again. But if that one is at it already, what is there now is another volume. */
static bool build_may_say_done(struct job *job, const struct volume_build *build)
{
    AUTO(volume) virStorageVolPtr vol = NULL;

    if (job_is_ours(job))
        return true;
    return volume_lookup(build->pool, build->spec.name, &vol, NULL) == 0 && vol &&
           volume_is_in_work(vol, NULL) == 0;
}

/* What came while libvirt could not be stopped holds now. */
int volume_build_finish(struct job *job, const struct volume_build *build, struct error *err)
{
    if (build->record->over)
        return 0;
    if (build_may_say_done(job, build) && volume_record_finish(job, build, err) < 0)
        return -1;
    kill_point("after-done");
    if (job_safe_point(job, err) < 0)
        return -1;
    return volume_record_finish(job, build, err);
}
