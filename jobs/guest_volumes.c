/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The volumes that go with a guest: those of its own disks that nobody else has. All are looked at before the first is
 * deleted. What is below an overlay is never deleted: it is not the guest's alone. */

#include "guest_internal.h"

#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "kill_point.h"
#include "volume.h"
#include "xml.h"

/* The disks of the guest: objects as of guest_disk_describe; `reason` in those that stay. */
struct disks {
    struct job *job;
    json_t *array;
    const char *user; /* the guest that is being looked at; NULL: the overlay in `overlay` */
    const char *overlay;
    struct error *err;
};

static int disk_keep(json_t *disk, json_t *reason)
{
    return json_object_set_new(disk, "reason", reason);
}

/* The pool that the disk names, or whose folder its file is in; NULL: none, or it is not active. */
static virStoragePoolPtr pool_of_disk(virConnectPtr conn, const json_t *disk)
{
    const char *name = job_string(disk, "pool", NULL), *path = job_string(disk, "path", NULL);
    const char *slash = path ? strrchr(path, '/') : NULL;
    AUTO(string) char *folder = slash ? strndup(path, (size_t)(slash - path)) : NULL;
    AUTO(pool) virStoragePoolPtr pool = NULL;

    if (name)
        pool = virStoragePoolLookupByName(conn, name);
    else if (folder)
        pool = virStoragePoolLookupByTargetPath(conn, folder);
    return pool && virStoragePoolIsActive(pool) == 1 ? STEAL(&pool) : NULL;
}

/* A file that the pool has not seen yet, as the overlay of a snapshot. */
static virStorageVolPtr volume_by_refresh(virConnectPtr conn, const char *path, virStoragePoolPtr pool)
{
    if (!pool || virStoragePoolRefresh(pool, 0) < 0)
        return NULL;
    return virStorageVolLookupByPath(conn, path);
}

/* NULL: it is in no active pool, or there is no such file any more. */
static virStorageVolPtr volume_of_disk(virConnectPtr conn, const json_t *disk, virStoragePoolPtr pool)
{
    const char *name = job_string(disk, "volume", NULL), *path = job_string(disk, "path", NULL);
    virStorageVolPtr vol;

    if (name)
        return pool ? virStorageVolLookupByName(pool, name) : NULL;
    if (!path || *path != '/')
        return NULL;
    vol = virStorageVolLookupByPath(conn, path);
    return vol ? vol : volume_by_refresh(conn, path, pool);
}

/* Completes the disk with what pool and path its volume really has. */
static int disk_complete(json_t *disk, virStorageVolPtr vol)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByVolume(vol);
    AUTO(string) char *path = virStorageVolGetPath(vol);

    if (!pool || !path)
        return disk_keep(disk, json_string("is in no active pool"));
    if (json_object_set_new(disk, "pool", json_string(virStoragePoolGetName(pool))) < 0 ||
        json_object_set_new(disk, "volume", json_string(virStorageVolGetName(vol))) < 0 ||
        json_object_set_new(disk, "path", json_string(path)) < 0)
        return -1;
    return 0;
}

/* One that is not there: where the job comes again, an earlier attempt may have deleted it. */
static int disk_complete_missing(json_t *disk, virStoragePoolPtr pool, bool again)
{
    const char *path = job_string(disk, "path", NULL);

    if (!again)
        return disk_keep(disk, json_string("is not there"));
    if (json_object_get(disk, "volume"))
        return 0;
    if (json_object_set_new(disk, "pool", json_string(virStoragePoolGetName(pool))) < 0)
        return -1;
    return json_object_set_new(disk, "volume", json_string(strrchr(path, '/') + 1));
}

static int disk_resolve(const struct job *job, json_t *disk)
{
    AUTO(pool) virStoragePoolPtr pool = pool_of_disk(job->conn, disk);
    AUTO(volume) virStorageVolPtr vol = volume_of_disk(job->conn, disk, pool);

    if (vol)
        return disk_complete(disk, vol);
    return pool ? disk_complete_missing(disk, pool, job->again)
                : disk_keep(disk, json_string("is in no active pool"));
}

/* What a disk is by itself that makes its volume stay. NULL: nothing. */
static const char *disk_reason(const json_t *disk)
{
    const char *kind = job_string(disk, "kind", "disk");

    if (strcmp(kind, "cdrom") == 0 || strcmp(kind, "floppy") == 0)
        return "is removable media";
    if (json_is_true(json_object_get(disk, "readonly")))
        return "is read-only";
    if (json_is_true(json_object_get(disk, "shareable")))
        return "is shareable";
    return NULL;
}

static int disks_add(xmlNodePtr node, void *opaque)
{
    struct disks *disks = opaque;
    AUTO(json) json_t *disk = guest_disk_describe(node);
    const char *reason = disk ? disk_reason(disk) : NULL;

    if (!disk)
        return error_set_memory(disks->err);
    if (!json_object_get(disk, "path") && !json_object_get(disk, "pool"))
        return 0; /* an empty drive */
    if (reason ? disk_keep(disk, json_string(reason)) < 0 : disk_resolve(disks->job, disk) < 0)
        return error_set_memory(disks->err);
    return json_array_append(disks->array, disk) < 0 ? error_set_memory(disks->err) : 0;
}

/* Keeps the disks on this path, or on this volume of a pool. */
static int disks_keep_used(struct disks *disks, const char *path, const char *pool, const char *volume)
{
    json_t *disk;
    size_t i;

    json_array_foreach (disks->array, i, disk) {
        bool same = (path && volume_path_is(path, job_string(disk, "path", ""))) ||
                    (pool && volume && strcmp(pool, job_string(disk, "pool", "")) == 0 &&
                     strcmp(volume, job_string(disk, "volume", "")) == 0);

        if (!same || json_object_get(disk, "reason"))
            continue;
        if (disk_keep(disk, disks->user
                                ? json_sprintf("guest '%s' has it too", disks->user)
                                : json_sprintf("volume '%s' is an overlay of it", disks->overlay)) < 0)
            return error_set_memory(disks->err);
    }
    return 0;
}

/* Any <source> of another guest's disks: those of its backing chain and mirrors as well. */
static int disks_meet_source(xmlNodePtr source, void *opaque)
{
    AUTO(xml_string) xmlChar *file = xmlGetNoNsProp(source, BAD_CAST "file");
    AUTO(xml_string) xmlChar *dev = xmlGetNoNsProp(source, BAD_CAST "dev");
    AUTO(xml_string) xmlChar *pool = xmlGetNoNsProp(source, BAD_CAST "pool");
    AUTO(xml_string) xmlChar *volume = xmlGetNoNsProp(source, BAD_CAST "volume");

    return disks_keep_used(opaque, (const char *)(file ? file : dev), (const char *)pool,
                           (const char *)volume);
}

/* A guest that cannot be read has gone meanwhile. */
static int disks_meet_guest(struct disks *disks, virDomainPtr dom, unsigned int flags)
{
    AUTO(string) char *text = virDomainGetXMLDesc(dom, flags);
    AUTO(xml_doc) xmlDocPtr doc = NULL;

    if (!text)
        return guest_is_gone()
                   ? 0
                   : error_set_libvirt(disks->err, "looking at guest '%s'", virDomainGetName(dom));
    if (!(doc = xml_parse(text, "domain", NULL, disks->err)))
        return -1;
    disks->user = virDomainGetName(dom);
    return xml_each(doc, "/domain/devices/disk//source", disks_meet_source, disks);
}

/* What a guest runs on may differ from what it is defined with. */
static int disks_meet_both(struct disks *disks, virDomainPtr dom)
{
    if (disks_meet_guest(disks, dom, 0) < 0)
        return -1;
    return virDomainIsActive(dom) == 1 ? disks_meet_guest(disks, dom, VIR_DOMAIN_XML_INACTIVE) : 0;
}

static int disks_meet_guests(struct disks *disks, const char *own_uuid)
{
    virDomainPtr *list = NULL;
    int i, rc = 0, count = virConnectListAllDomains(disks->job->conn, &list, 0);

    if (count < 0)
        return error_set_libvirt(disks->err, "listing the guests");
    for (i = 0; i < count; i++) {
        char uuid[VIR_UUID_STRING_BUFLEN] = "";

        virDomainGetUUIDString(list[i], uuid);
        if (rc == 0 && strcmp(uuid, own_uuid) != 0)
            rc = disks_meet_both(disks, list[i]);
        virDomainFree(list[i]);
    }
    free(list);
    return rc;
}

/* A volume that cannot be read is being made or has gone: no overlay that anybody uses. */
static int disks_meet_volume(struct disks *disks, virStorageVolPtr vol)
{
    AUTO(volume_info) struct volume_info info = { 0 };
    struct error ignored = ERROR_INIT;

    if (volume_info_read(vol, &info, &ignored) < 0 || !info.backing_path)
        return 0;
    disks->user = NULL;
    disks->overlay = info.name;
    return disks_keep_used(disks, info.backing_path, NULL, NULL);
}

static int disks_meet_pool(struct disks *disks, virStoragePoolPtr pool)
{
    virStorageVolPtr *list = NULL;
    int i, rc = 0, count = virStoragePoolListAllVolumes(pool, &list, 0);

    for (i = 0; i < count; i++) {
        rc = rc < 0 ? rc : disks_meet_volume(disks, list[i]);
        virStorageVolFree(list[i]);
    }
    free(list);
    return rc;
}

static int disks_meet_pools(struct disks *disks)
{
    virStoragePoolPtr *list = NULL;
    int i, rc = 0;
    int count = virConnectListAllStoragePools(disks->job->conn, &list, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);

    if (count < 0)
        return error_set_libvirt(disks->err, "listing the pools");
    for (i = 0; i < count; i++) {
        rc = rc < 0 ? rc : disks_meet_pool(disks, list[i]);
        virStoragePoolFree(list[i]);
    }
    free(list);
    return rc;
}

/* A part of a disk's description, for the result. */
static json_t *disk_told(const json_t *disk)
{
    return json_pack("{s:s, s:s*, s:s*, s:s*, s:s*}", "device", job_string(disk, "device", ""), "pool",
                     job_string(disk, "pool", NULL), "volume", job_string(disk, "volume", NULL), "path",
                     job_string(disk, "path", NULL), "reason", job_string(disk, "reason", NULL));
}

/* A first failure ends it: what is left is found again by the next attempt. */
static int disk_delete(struct job *job, const json_t *disk, json_t *deleted, struct error *err)
{
    AUTO(pool) virStoragePoolPtr pool = pool_of_disk(job->conn, disk);
    AUTO(volume) virStorageVolPtr vol = volume_of_disk(job->conn, disk, pool);
    size_t length;

    if (job_safe_point(job, err) < 0)
        return -1;
    kill_point("before-undefine-volume");
    if (!vol || volume_delete(vol, NULL, err) == 0)
        return json_array_append_new(deleted, disk_told(disk)) < 0 ? error_set_memory(err) : 0;
    length = strlen(err->message);
    snprintf(err->message + length, sizeof(err->message) - length,
             "; %zu volumes are deleted already, the guest is still defined", json_array_size(deleted));
    return -1;
}

static int disks_delete(struct disks *disks, json_t *deleted, json_t *kept)
{
    const json_t *disk;
    size_t i;

    json_array_foreach (disks->array, i, disk) {
        if (json_object_get(disk, "reason")) {
            if (json_array_append_new(kept, disk_told(disk)) < 0)
                return error_set_memory(disks->err);
        } else if (disk_delete(disks->job, disk, deleted, disks->err) < 0) {
            return -1;
        }
    }
    return 0;
}

int guest_volumes_delete(struct job *job, virDomainPtr dom, xmlDocPtr doc, json_t *deleted, json_t *kept,
                         struct error *err)
{
    AUTO(json) json_t *array = json_array();
    struct disks disks = { .job = job, .array = array, .err = err };
    char uuid[VIR_UUID_STRING_BUFLEN] = "";

    virDomainGetUUIDString(dom, uuid);
    if (!array)
        return error_set_memory(err);
    if (xml_each(doc, "/domain/devices/disk", disks_add, &disks) < 0 || disks_meet_guests(&disks, uuid) < 0 ||
        disks_meet_pools(&disks) < 0)
        return -1;
    return disks_delete(&disks, deleted, kept);
}
