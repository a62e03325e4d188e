/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Whether the destination reaches the disks that both hosts are to have. Only libvirt's pools there know: what lies in none of
 * them cannot be looked at from outside. */

#include "guest_migrate_internal.h"

#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "xml.h"

struct reach {
    struct migration *m;
    virConnectPtr there;
};

/* 1 it is there, 0 it is not, -1 not known. */
static int volume_is_there(virStorageVolPtr found)
{
    AUTO(volume) virStorageVolPtr vol = found;

    if (vol)
        return 1;
    return virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL ? 0 : -1;
}

/* What came there since the pool was last looked through, it does not know yet. */
static int path_is_in(virConnectPtr there, virStoragePoolPtr pool, const char *path)
{
    if (virStoragePoolRefresh(pool, 0) < 0)
        return -1;
    return volume_is_there(virStorageVolLookupByPath(there, path));
}

static int path_is_there(virConnectPtr there, const char *path)
{
    AUTO(string) char *folder = strdup(path);
    AUTO(pool) virStoragePoolPtr pool = NULL;
    char *slash = folder ? strrchr(folder, '/') : NULL;

    if (volume_is_there(virStorageVolLookupByPath(there, path)) == 1)
        return 1;
    if (!slash || slash == folder)
        return -1;
    *slash = '\0';
    pool = virStoragePoolLookupByTargetPath(there, folder);
    return pool ? path_is_in(there, pool, path) : -1;
}

static int volume_is_in(virConnectPtr there, const char *pool_name, const char *volume)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(there, pool_name);

    if (!pool)
        return virGetLastErrorCode() == VIR_ERR_NO_STORAGE_POOL ? 0 : -1;
    if (volume_is_there(virStorageVolLookupByName(pool, volume)) == 1)
        return 1;
    if (virStoragePoolRefresh(pool, 0) < 0)
        return -1;
    return volume_is_there(virStorageVolLookupByName(pool, volume));
}

/* A medium that libvirt leaves out there, where it is missing. */
static bool medium_may_be_missing(xmlNodePtr disk)
{
    xmlNodePtr source = xmlFirstElementChild(disk);
    AUTO(xml_string) xmlChar *policy = NULL;

    while (source && strcmp((const char *)source->name, "source") != 0)
        source = xmlNextElementSibling(source);
    policy = source ? xmlGetNoNsProp(source, (const xmlChar *)"startupPolicy") : NULL;
    return policy && strcmp((const char *)policy, "mandatory") != 0;
}

static const char *missing_where(const struct migration *m, const json_t *told)
{
    if (job_flag(told, "readonly", false))
        return "/params/destination"; /* libvirt copies none of these */
    return m->plan.copy != MIGRATION_COPY_NONE && m->plan.disks ? "/params/disks" : "/params/copy_storage";
}

static void note(struct reach *reach, enum migration_verdict verdict, const json_t *told, const char *what)
{
    migration_check_note(reach->m, "disk", verdict, ERROR_NONE, NULL, "%s %s", job_string(told, "device", ""),
                         what);
}

/* Of a guest that is off it may follow, before that is started. */
static void note_missing(struct reach *reach, xmlNodePtr disk, const json_t *told)
{
    struct migration *m = reach->m;

    if (medium_may_be_missing(disk))
        note(reach, MIGRATION_OK, told, "is not there, and may be missing");
    else if (m->plan.offline)
        note(reach, MIGRATION_UNKNOWN, told, "is not there yet");
    else
        migration_check_note(m, "disk", MIGRATION_FAILED, ERROR_NOT_FOUND, missing_where(m, told),
                             "%s ('%s') is not at '%s', and is not copied", job_string(told, "device", ""),
                             job_string(told, "path", job_string(told, "volume", "")), m->destination);
}

static int disk_is_there(virConnectPtr there, const json_t *told)
{
    const char *pool = job_string(told, "pool", NULL);

    if (pool)
        return volume_is_in(there, pool, job_string(told, "volume", ""));
    return path_is_there(there, job_string(told, "path", ""));
}

static void reach_shared(struct reach *reach, xmlNodePtr disk, const json_t *told)
{
    int there = disk_is_there(reach->there, told);

    if (there == 0)
        note_missing(reach, disk, told);
    else if (there == 1)
        note(reach, MIGRATION_OK, told, "is there");
    else
        note(reach, MIGRATION_UNKNOWN, told, "is in no folder of which a pool there knows");
}

static int reach_disk(xmlNodePtr disk, void *opaque)
{
    struct reach *reach = opaque;
    AUTO(json) json_t *told = guest_disk_describe(disk);

    if (!told)
        return 0;
    if (json_object_get(told, "protocol"))
        note(reach, MIGRATION_UNKNOWN, told, "is reached over a network");
    else if (!json_object_get(told, "path") && !json_object_get(told, "volume"))
        note(reach, MIGRATION_OK, told, "is empty");
    else if (migration_storage_copies(reach->m, disk))
        note(reach, MIGRATION_OK, told, "is copied");
    else
        reach_shared(reach, disk, told);
    return 0;
}

void migration_check_disks(struct migration *m, xmlDocPtr doc, virConnectPtr there)
{
    struct reach reach = { .m = m, .there = there };

    xml_each(doc, "/domain/devices/disk", reach_disk, &reach);
}
