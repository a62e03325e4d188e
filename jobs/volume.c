/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The area of volumes: finding, looking at and deleting them; the table of its job types last. Making them is in
 * volume_create.c and volume_clone.c, lists are in volume_list.c. */

#include "volume_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "jobs.h"

#define LOCKED "Is another process using the image"

/* libvirt passes on what qemu-img wrote, line end and all. */
static void error_trim(char *text)
{
    size_t length = strlen(text);

    while (length > 0 && strchr(" \n\r\t", text[length - 1]))
        text[--length] = '\0';
}

/* For the storage driver one code has several meanings; only its words tell them apart. */
static enum error_code error_refine(const struct error *err)
{
    bool storage = err->libvirt_domain == VIR_FROM_STORAGE;
    const char *said = err->libvirt_message;

    if (strstr(said, "File too large") || strstr(said, "image size is too large"))
        return ERROR_INVALID;
    if (storage && err->libvirt_code == VIR_ERR_OPERATION_INVALID)
        return strstr(said, "already exists") ? ERROR_CONFLICT : ERROR_BUSY;
    if (err->libvirt_code != VIR_ERR_INTERNAL_ERROR)
        return err->code;
    if (storage && strstr(said, "already in use"))
        return ERROR_CONFLICT;
    if (strstr(said, LOCKED))
        return ERROR_BUSY;
    if (strstr(said, "No space left on device") || strstr(said, "Disk quota exceeded"))
        return ERROR_NO_SPACE;
    return err->code;
}

/* QEMU's lock on an image: as long as the guest runs that has it. */
static bool error_is_lasting(const struct error *err)
{
    return err->code == ERROR_BUSY && strstr(err->libvirt_message, LOCKED);
}

int volume_error_kept(struct error *err, const char *fmt, ...)
{
    char doing[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(doing, sizeof(doing), fmt, args);
    va_end(args);
    error_set_kept(err, "%s", doing);
    if (!err)
        return -1;
    error_trim(err->message);
    error_trim(err->libvirt_message);
    err->code = error_refine(err);
    err->lasting = error_is_lasting(err);
    return -1;
}

int volume_find_pool(struct job *job, const char *name, const char *where, virStoragePoolPtr *ret_pool,
                     struct error *err)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(job->conn, name);

    if (!pool && virGetLastErrorCode() == VIR_ERR_NO_STORAGE_POOL)
        return error_set_at(err, ERROR_NOT_FOUND, where, "there is no pool '%s'", name);
    if (!pool)
        return error_set_libvirt(err, "looking up pool '%s'", name);
    int active = virStoragePoolIsActive(pool);
    if (active < 0)
        return error_set_libvirt(err, "looking at pool '%s'", name);
    if (!active)
        return error_set_at(err, ERROR_CONFLICT, where, "pool '%s' is not active", name);
    *ret_pool = STEAL(&pool);
    return 0;
}

int volume_lookup(virStoragePoolPtr pool, const char *name, virStorageVolPtr *ret_vol, struct error *err)
{
    virStorageVolPtr vol = stamp_is_record(name) ? NULL : virStorageVolLookupByName(pool, name);

    if (!vol && !stamp_is_record(name) && virGetLastErrorCode() != VIR_ERR_NO_STORAGE_VOL)
        return volume_error(err, "looking up volume '%s'", name);
    *ret_vol = vol;
    return 0;
}

int volume_find(struct job *job, const json_t *ref, const char *where, virStoragePoolPtr *ret_pool,
                virStorageVolPtr *ret_vol, struct error *err)
{
    const char *name = job_string(ref, "volume", ""), *pool_name = job_string(ref, "pool", "");
    AUTO(pool) virStoragePoolPtr pool = NULL;
    AUTO(volume) virStorageVolPtr vol = NULL;
    char at[VOLUME_WHERE_SIZE];

    snprintf(at, sizeof(at), "%s/pool", where);
    if (volume_find_pool(job, pool_name, at, &pool, err) < 0 || volume_lookup(pool, name, &vol, err) < 0)
        return -1;
    snprintf(at, sizeof(at), "%s/volume", where);
    if (!vol)
        return error_set_at(err, ERROR_NOT_FOUND, at, "there is no volume '%s' in pool '%s'", name,
                            pool_name);
    if (ret_pool)
        *ret_pool = STEAL(&pool);
    *ret_vol = STEAL(&vol);
    return 0;
}

int volume_result(const char *pool, virStorageVolPtr vol, json_t **ret_result, struct error *err)
{
    AUTO(volume_info) struct volume_info info = { 0 };

    if (volume_info_read(vol, &info, err) < 0)
        return -1;
    json_t *json = volume_info_json(pool, &info, err);
    if (!json)
        return -1;
    *ret_result = json_pack("{s:o}", "volume", json);
    return *ret_result ? 0 : error_set_memory(err);
}

static int handle_info(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(volume) virStorageVolPtr vol = NULL;

    if (volume_find(job, job->params, "/params", NULL, &vol, err) < 0)
        return -1;
    return volume_result(job_string(job->params, "pool", ""), vol, ret_result, err);
}

static int delete_check_use(struct job *job, virStorageVolPtr vol, struct error *err)
{
    AUTO(string) char *guest = NULL;

    if (job_flag(job->params, "force", false))
        return 0;
    int used = volume_used_by(job->conn, VIR_CONNECT_LIST_DOMAINS_ACTIVE, VOLUME_ANY_USE, vol, &guest, err);
    if (used <= 0)
        return used;
    error_set_at(err, ERROR_BUSY, "/params/volume", "guest '%s' runs on volume '%s'", guest,
                 virStorageVolGetName(vol));
    return error_set_lasting(err);
}

static int handle_delete(struct job *job, json_t **ret_result, struct error *err)
{
    const char *pool_name = job_string(job->params, "pool", "");
    const char *name = job_string(job->params, "volume", "");
    AUTO(pool) virStoragePoolPtr pool = NULL;
    AUTO(volume) virStorageVolPtr vol = NULL;
    bool gone = true;

    if (volume_find_pool(job, pool_name, "/params/pool", &pool, err) < 0 ||
        volume_lookup(pool, name, &vol, err) < 0)
        return -1;
    if (vol && (delete_check_use(job, vol, err) < 0 || volume_delete(vol, &gone, err) < 0))
        return -1;
    if (!vol && volume_record_forget(pool, name, err) < 0)
        return -1;
    if (gone)
        job_unchanged(job);
    *ret_result = json_pack("{s:s, s:s}", "pool", pool_name, "volume", name);
    return *ret_result ? 0 : error_set_memory(err);
}

/* Deleting may take a huge file's seconds, but must not wait behind copies that take hours: quick. */
const struct job_type volume_types[] = {
    { .name = "volume.create",
      .lane = JOB_LONG,
      .run = volume_create,
      .sweep = volume_sweep,
      .claims = { { JOB_VOLUME, true, "/target" }, { JOB_VOLUME, false, "/backing" } } },
    { .name = "volume.clone",
      .lane = JOB_LONG,
      .run = volume_clone,
      .sweep = volume_sweep,
      .claims = { { JOB_VOLUME, false, "/source" }, { JOB_VOLUME, true, "/target" } } },
    { .name = "volume.info", .lane = JOB_QUICK, .run = handle_info },
    { .name = "volume.list", .lane = JOB_QUICK, .run = volume_list },
    { .name = "volume.delete",
      .lane = JOB_QUICK,
      .run = handle_delete,
      .claims = { { JOB_VOLUME, true, "" } } },
    { 0 },
};
