/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* volume.list: the volumes of one pool or of all active ones, in the order of their names. */

#include "volume_internal.h"

#include <string.h>

#include <libvirt/virterror.h>
#include <libxml/xmlstring.h>

#define LIMIT_DEFAULT 1000

struct pool_list {
    virStoragePoolPtr *pools;
    int count;
};

struct volume_array {
    virStorageVolPtr *volumes;
    int count;
};

/* What is asked for, and what has been found so far. */
struct listing {
    const char *prefix;
    const char *format; /* NULL: any */
    size_t limit;
    json_t *found;
    bool truncated;
};

static void cleanup_pool_list(struct pool_list *list)
{
    for (int i = 0; i < list->count; i++)
        if (list->pools[i])
            virStoragePoolFree(list->pools[i]);
    free(list->pools);
}

static void cleanup_volume_array(struct volume_array *list)
{
    for (int i = 0; i < list->count; i++)
        virStorageVolFree(list->volumes[i]);
    free(list->volumes);
}

static int pool_compare(const void *a, const void *b)
{
    return strcmp(virStoragePoolGetName(*(const virStoragePoolPtr *)a),
                  virStoragePoolGetName(*(const virStoragePoolPtr *)b));
}

static int volume_compare(const void *a, const void *b)
{
    return strcmp(virStorageVolGetName(*(const virStorageVolPtr *)a),
                  virStorageVolGetName(*(const virStorageVolPtr *)b));
}

static bool listing_wants(const struct listing *listing, const char *name)
{
    /* A name that is no text can be neither told nor asked for. */
    return xmlCheckUTF8((const xmlChar *)name) &&
           strncmp(name, listing->prefix, strlen(listing->prefix)) == 0 && !stamp_is_record(name);
}

/* What libvirt says of a volume may be no XML: a guest has written the header of an overlay into its disk, of something
 * that is no text. That spoils no list; name and sizes are told. */
static int listing_read_sizes(virStorageVolPtr vol, struct volume_info *info, struct error *err)
{
    virStorageVolInfo sizes;

    if (virStorageVolGetInfo(vol, &sizes) < 0)
        return volume_error(err, "looking at volume '%s'", virStorageVolGetName(vol));
    info->name = strdup(virStorageVolGetName(vol));
    info->capacity = sizes.capacity;
    info->allocation = sizes.allocation;
    return info->name ? 0 : error_set_memory(err);
}

static int listing_read(virStorageVolPtr vol, struct volume_info *info, struct error *err)
{
    struct error failure = ERROR_INIT;

    if (volume_info_read(vol, info, &failure) == 0)
        return 0;
    if (failure.code == ERROR_LIBVIRT && failure.libvirt_code == 0)
        return listing_read_sizes(vol, info, err);
    *err = failure;
    return -1;
}

/* A volume may be deleted under our eyes: then it is not in the list. */
static int listing_add(struct listing *listing, const char *pool, virStorageVolPtr vol, struct error *err)
{
    AUTO(volume_info) struct volume_info info = { 0 };
    struct error failure = ERROR_INIT;

    if (listing_read(vol, &info, &failure) < 0) {
        if (failure.code == ERROR_NOT_FOUND)
            return 0;
        *err = failure;
        return -1;
    }
    if (listing->format && (!info.format || strcmp(info.format, listing->format) != 0))
        return 0;
    if (json_array_size(listing->found) == listing->limit) {
        listing->truncated = true;
        return 0;
    }
    json_t *json = volume_info_json(pool, &info, err);
    if (!json)
        return -1;
    return json_array_append_new(listing->found, json) == 0 ? 0 : error_set_memory(err);
}

/* A pool may be stopped under our eyes as well. */
static int listing_add_pool(struct job *job, struct listing *listing, virStoragePoolPtr pool,
                            struct error *err)
{
    AUTO(volume_array) struct volume_array list = { NULL, 0 };
    const char *pool_name = virStoragePoolGetName(pool);

    list.count = virStoragePoolListAllVolumes(pool, &list.volumes, 0);
    if (list.count < 0)
        return virStoragePoolIsActive(pool) == 0
                   ? 0
                   : error_set_libvirt(err, "listing the volumes of pool '%s'", pool_name);
    if (list.count > 0)
        qsort(list.volumes, (size_t)list.count, sizeof(*list.volumes), volume_compare);
    for (int i = 0; i < list.count && !listing->truncated; i++) {
        if (!listing_wants(listing, virStorageVolGetName(list.volumes[i])))
            continue;
        if (job_safe_point(job, err) < 0 || listing_add(listing, pool_name, list.volumes[i], err) < 0)
            return -1;
    }
    return 0;
}

/* The one that is asked for, or all active ones. */
static int listing_pools(struct job *job, struct pool_list *list, struct error *err)
{
    const char *name = job_string(job->params, "pool", NULL);

    if (!name) {
        list->count =
            virConnectListAllStoragePools(job->conn, &list->pools, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);
        if (list->count > 0)
            qsort(list->pools, (size_t)list->count, sizeof(*list->pools), pool_compare);
        return list->count < 0 ? error_set_libvirt(err, "listing the pools") : 0;
    }
    list->pools = calloc(1, sizeof(*list->pools));
    if (!list->pools)
        return error_set_memory(err);
    list->count = 1;
    return volume_find_pool(job, name, "/params/pool", &list->pools[0], err);
}

int volume_list(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(pool_list) struct pool_list list = { NULL, 0 };
    AUTO(json) json_t *found = json_array();
    struct listing listing = {
        .prefix = job_string(job->params, "prefix", ""),
        .format = job_string(job->params, "format", NULL),
        .limit = (size_t)job_integer(job->params, "limit", LIMIT_DEFAULT),
        .found = found,
    };

    if (!found)
        return error_set_memory(err);
    if (listing_pools(job, &list, err) < 0)
        return -1;
    for (int i = 0; i < list.count && !listing.truncated; i++)
        if (listing_add_pool(job, &listing, list.pools[i], err) < 0)
            return -1;
    *ret_result = json_pack("{s:O, s:b}", "volumes", found, "truncated", listing.truncated);
    return *ret_result ? 0 : error_set_memory(err);
}
