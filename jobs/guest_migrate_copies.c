/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Which disks of a guest are copied in a migration, where to, and whether they can be. */

#include "guest_migrate_copies.h"

#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "volume.h"
#include "xml.h"

#define DISK "/domain/devices/disk[target/@dev = $value]"

static void disk_done(struct migration_disk *disk)
{
    free(disk->device);
    free(disk->path);
    free(disk->pool_name);
    free(disk->volume);
    free(disk->format);
    free(disk->backing_path);
    free(disk->backing_format);
    if (disk->pool)
        virStoragePoolFree(disk->pool);
}

void migration_disks_free(struct migration_storage *storage)
{
    for (size_t i = 0; i < storage->count; i++)
        disk_done(&storage->disks[i]);
    free(storage->disks);
    free(storage);
}

/* What is copied. */

/* The index in the job's list, -1 where it is not in it. */
static int disks_find(const json_t *disks, const char *device)
{
    for (size_t i = 0; i < json_array_size(disks); i++)
        if (strcmp(json_string_value(json_array_get(disks, i)), device) == 0)
            return (int)i;
    return -1;
}

/* As libvirt has it: without a word, all that are its own and can be written to; with names, those, whatever they are. */
static bool disk_is_copied(const struct migration *m, const json_t *disk)
{
    if (m->plan.copy == MIGRATION_COPY_NONE ||
        (!json_object_get(disk, "path") && !json_object_get(disk, "volume")))
        return false;
    if (m->plan.disks)
        return disks_find(m->plan.disks, job_string(disk, "device", "")) >= 0;
    return !job_flag(disk, "readonly", false) && !job_flag(disk, "shareable", false);
}

bool migration_storage_copies(const struct migration *m, xmlNodePtr disk)
{
    AUTO(json) json_t *described = guest_disk_describe(disk);

    return described && disk_is_copied(m, described);
}

/* Where to. */

/* The text of an attribute of the disk, to be freed; NULL where it has none. */
static char *disk_attribute(xmlDocPtr doc, const char *xpath, const char *device)
{
    xmlNodePtr node = xml_find_value(doc, xpath, device);
    AUTO(xml_string) xmlChar *text = node ? xmlNodeGetContent(node) : NULL;

    return text ? strdup((const char *)text) : NULL;
}

static char *json_dup(const json_t *object, const char *key)
{
    const char *text = job_string(object, key, NULL);

    return text ? strdup(text) : NULL;
}

/* What it is at the destination: as the job's own XML says, where it has one. A volume that is named has no path there
 * that we know of. */
static void disk_place(struct migration_disk *disk, const json_t *here, xmlDocPtr doc_there)
{
    xmlNodePtr node = doc_there ? xml_find_value(doc_there, DISK, disk->device) : NULL;
    AUTO(json) json_t *there = node ? guest_disk_describe(node) : json_incref((json_t *)here);
    const char *type = job_string(there, "type", ""), *path = job_string(there, "path", "");

    if (strcmp(type, "volume") == 0) {
        disk->pool_name = json_dup(there, "pool");
        disk->volume = json_dup(there, "volume");
    } else if (strcmp(type, "file") == 0 && *path == '/') {
        disk->path = strdup(path);
        disk->volume = strdup(strrchr(path, '/') + 1);
    }
}

/* What it is made like. */
static void disk_read(const struct migration *m, struct migration_disk *disk, const json_t *here)
{
    disk->format = strdup(job_string(here, "format", "raw"));
    disk->readonly = job_flag(here, "readonly", false);
    disk->encrypted = xml_find_value(m->doc, DISK "//encryption", disk->device) != NULL;
    if (m->plan.copy != MIGRATION_COPY_INC)
        return;
    disk->backing_path = disk_attribute(m->doc, DISK "/backingStore/source/@file", disk->device);
    disk->backing_format = disk_attribute(m->doc, DISK "/backingStore/format/@type", disk->device);
    disk->backing_is_odd =
        !disk->backing_path && xml_find_value(m->doc, DISK "/backingStore/source", disk->device);
}

struct listing {
    const struct migration *m;
    struct migration_storage *storage;
    xmlDocPtr doc_there; /* NULL: as here */
};

static int list_disk(xmlNodePtr node, void *opaque)
{
    struct listing *listing = opaque;
    struct migration_storage *storage = listing->storage;
    AUTO(json) json_t *here = guest_disk_describe(node);
    struct migration_disk *disk, *grown;

    if (!here)
        return -1;
    if (!disk_is_copied(listing->m, here))
        return 0;
    grown = reallocarray(storage->disks, storage->count + 1, sizeof(*grown));
    if (!grown)
        return -1;
    storage->disks = grown;
    disk = &grown[storage->count++];
    *disk = (struct migration_disk){ .device = json_dup(here, "device") };
    if (!disk->device)
        return -1;
    snprintf(disk->where, sizeof(disk->where), "/params/copy_storage");
    if (listing->m->plan.disks)
        snprintf(disk->where, sizeof(disk->where), "/params/disks/%d",
                 disks_find(listing->m->plan.disks, disk->device));
    disk_place(disk, here, listing->doc_there);
    disk_read(listing->m, disk, here);
    return 0;
}

int migration_disks_list(const struct migration *m, struct migration_storage **ret_storage, struct error *err)
{
    AUTO(migration_storage) struct migration_storage *storage = calloc(1, sizeof(*storage));
    struct listing listing = { .m = m, .storage = storage };
    const char *text = job_string(m->job->params, "xml", NULL);
    AUTO(xml_doc) xmlDocPtr doc = text ? xml_parse(text, "domain", "/params/xml", err) : NULL;

    if (text && !doc)
        return -1;
    listing.doc_there = doc;
    if (!storage || xml_each(m->doc, "/domain/devices/disk", list_disk, &listing) < 0)
        return error_set_memory(err);
    *ret_storage = STEAL(&storage);
    return 0;
}

/* The pool there. */

static virStoragePoolPtr disk_lookup_pool(virConnectPtr there, const struct migration_disk *disk)
{
    AUTO(string) char *folder = disk->path ? strdup(disk->path) : NULL;

    if (!folder)
        return virStoragePoolLookupByName(there, disk->pool_name);
    strrchr(folder, '/')[folder[1] && strrchr(folder, '/') == folder ? 1 : 0] = '\0';
    return virStoragePoolLookupByTargetPath(there, folder);
}

/* Where it is missing or of another kind, only the text differs by how the disk names it. */
static int disk_refuse_pool(const struct migration *m, const struct migration_disk *disk, const char *what,
                            struct error *err)
{
    return error_set_at(
        err, ERROR_UNSUPPORTED, disk->where,
        "disk '%s' cannot be copied to '%s': %s for '%s' (an active pool of files with the same "
        "folder is needed)",
        disk->device, m->destination, what, disk->path ? disk->path : disk->pool_name);
}

int migration_disk_open(const struct migration *m, virConnectPtr there, struct migration_disk *disk,
                        struct error *err)
{
    bool files = false;

    if (disk->pool)
        return 0;
    if (!disk->volume || (!disk->path && !disk->pool_name))
        return error_set_at(err, ERROR_UNSUPPORTED, disk->where,
                            "disk '%s' is no file, and only files are copied; `disks` can name the others",
                            disk->device);
    AUTO(pool) virStoragePoolPtr pool = disk_lookup_pool(there, disk);
    if (!pool && virGetLastErrorCode() == VIR_ERR_NO_STORAGE_POOL)
        return disk_refuse_pool(m, disk, "there is no pool", err);
    if (!pool)
        return error_set_libvirt(err, "looking for the pool of disk '%s' at '%s'", disk->device,
                                 m->destination);
    if (volume_pool_has_files(pool, &files, err) < 0)
        return -1;
    if (!files || virStoragePoolIsActive(pool) != 1)
        return disk_refuse_pool(m, disk, "the pool is none of files, or not active,", err);
    disk->pool = STEAL(&pool);
    return 0;
}

int migration_disk_lookup(const struct migration_disk *disk, virStorageVolPtr *ret_vol, struct error *err)
{
    virStorageVolPtr vol = virStorageVolLookupByName(disk->pool, disk->volume);

    if (!vol && virGetLastErrorCode() != VIR_ERR_NO_STORAGE_VOL)
        return volume_error(err, "looking up volume '%s'", disk->volume);
    *ret_vol = vol;
    return 0;
}

/* Whether it can be. */

int migration_disk_conflict(const struct migration *m, const struct migration_disk *disk, struct error *err)
{
    return error_set_at(err, ERROR_CONFLICT, "/params/guest",
                        "'%s', where disk '%s' is to be copied to, is at '%s' already",
                        disk->path ? disk->path : disk->volume, disk->device, m->destination);
}

static int disk_check_kind(const struct migration_disk *disk, struct error *err)
{
    if (disk->readonly)
        return error_set_at(err, ERROR_INVALID, disk->where, "disk '%s' is read-only", disk->device);
    if (disk->encrypted)
        return error_set_at(err, ERROR_UNSUPPORTED, disk->where,
                            "disk '%s' is encrypted, which is not copied", disk->device);
    if (disk->backing_is_odd)
        return error_set_at(err, ERROR_UNSUPPORTED, disk->where, "disk '%s' is an overlay of what is no file",
                            disk->device);
    if (strlen(disk->volume) > VOLUME_NAME_MAX || stamp_is_record(disk->volume))
        return error_set_at(err, ERROR_UNSUPPORTED, disk->where,
                            "the file of disk '%s' has a name that is too long, or reserved", disk->device);
    return 0;
}

/* Both live: a volume's own XML may be older than its last growth. */
static int disk_measure(const struct migration *m, struct migration_disk *disk, struct error *err)
{
    virDomainBlockInfo info;

    if (virDomainGetBlockInfo(m->dom, disk->device, &info, 0) < 0)
        return error_set_libvirt(err, "looking at disk '%s' of guest '%s'", disk->device, m->name);
    disk->capacity = info.capacity;
    disk->allocation = info.allocation;
    return 0;
}

/* Below an overlay there must be what is below it here. */
static int disk_check_backing(const struct migration *m, virConnectPtr there,
                              const struct migration_disk *disk, struct error *err)
{
    AUTO(volume)
    virStorageVolPtr vol = disk->backing_path ? virStorageVolLookupByPath(there, disk->backing_path) : NULL;

    if (!disk->backing_path || vol)
        return 0;
    if (virGetLastErrorCode() != VIR_ERR_NO_STORAGE_VOL)
        return volume_error(err, "looking for '%s' at '%s'", disk->backing_path, m->destination);
    return error_set_at(err, ERROR_NOT_FOUND, disk->where,
                        "disk '%s' is an overlay of '%s', which is no volume at '%s'", disk->device,
                        disk->backing_path, m->destination);
}

/* A pool that nobody has looked at for long does not know all its files; to make it look may take its time. */
static int disk_check_free(const struct migration *m, const struct migration_disk *disk, struct error *err)
{
    AUTO(stamp) struct stamp stamp = { .state = STAMP_NONE };
    AUTO(volume) virStorageVolPtr vol = NULL;

    if (migration_disk_lookup(disk, &vol, err) < 0)
        return -1;
    if (!vol && job_flag(m->job->params, "dry_run", false)) {
        virStoragePoolRefresh(disk->pool, 0);
        if (migration_disk_lookup(disk, &vol, err) < 0)
            return -1;
    }
    if (!vol)
        return 0;
    if (stamp_read_volume(disk->pool, disk->volume, &stamp, err) < 0)
        return -1;
    return stamp_is_of(&stamp, m->job->id) ? 0 : migration_disk_conflict(m, disk, err);
}

/* With the disks before it that go to the same pool. */
static int disk_check_room(const struct migration *m, const struct migration_storage *storage, size_t i,
                           struct error *err)
{
    const struct migration_disk *disk = &storage->disks[i];
    virStoragePoolInfo info;
    uint64_t needed = 0;

    if (virStoragePoolGetInfo(disk->pool, &info) < 0)
        return error_set_libvirt(err, "looking at pool '%s'", virStoragePoolGetName(disk->pool));
    for (size_t j = 0; j <= i; j++)
        if (strcmp(virStoragePoolGetName(storage->disks[j].pool), virStoragePoolGetName(disk->pool)) == 0)
            needed += storage->disks[j].allocation;
    if (needed <= info.available)
        return 0;
    return error_set_at(err, ERROR_NO_SPACE, disk->where,
                        "pool '%s' at '%s' has room for %llu MiB, and the disks hold %llu MiB",
                        virStoragePoolGetName(disk->pool), m->destination, info.available >> 20,
                        (unsigned long long)needed >> 20);
}

static int disk_judge(const struct migration *m, virConnectPtr there, struct migration_storage *storage,
                      size_t i, struct error *err)
{
    struct migration_disk *disk = &storage->disks[i];

    if (migration_disk_open(m, there, disk, err) < 0 || disk_check_kind(disk, err) < 0 ||
        disk_measure(m, disk, err) < 0 || disk_check_backing(m, there, disk, err) < 0 ||
        disk_check_free(m, disk, err) < 0)
        return -1;
    return disk_check_room(m, storage, i, err);
}

/* Every name in the job's list must be one of a disk that has something to copy. */
static int disks_check_names(const struct migration *m, const struct migration_storage *storage,
                             struct error *err)
{
    for (size_t i = 0; i < json_array_size(m->plan.disks); i++) {
        const char *name = json_string_value(json_array_get(m->plan.disks, i));
        bool found = false;
        char at[64];

        for (size_t j = 0; j < storage->count; j++)
            found |= strcmp(storage->disks[j].device, name) == 0;
        snprintf(at, sizeof(at), "/params/disks/%zu", i);
        if (!found)
            return error_set_at(err, ERROR_INVALID, at, "the guest has no disk '%s', or nothing in it", name);
    }
    return 0;
}

int migration_disks_judge(const struct migration *m, virConnectPtr there, struct migration_storage *storage,
                          struct error *err)
{
    if (disks_check_names(m, storage, err) < 0)
        return -1;
    for (size_t i = 0; i < storage->count; i++)
        if (disk_judge(m, there, storage, i, err) < 0)
            return -1;
    return 0;
}
