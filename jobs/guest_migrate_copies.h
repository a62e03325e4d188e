/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Which disks of a guest are copied in a migration, where to, and whether they can be. */

#ifndef VIRTJOB_GUEST_MIGRATE_COPIES_H
#define VIRTJOB_GUEST_MIGRATE_COPIES_H

#include "guest_migrate_internal.h"

struct migration_disk {
    char *device; /* its target */
    /* At the destination: its file, or the pool it is named by; and the volume's name. All NULL where it is no file. */
    char *path, *pool_name, *volume;
    char *format;
    char *backing_path, *backing_format; /* NULL: nothing is below the copy */
    bool readonly, encrypted, backing_is_odd;
    uint64_t capacity, allocation; /* by migration_disks_judge */
    char where[64];                /* pointer of what has it copied */
    virStoragePoolPtr pool;        /* there, by migration_disk_open */
};

struct migration_storage {
    struct migration_disk *disks;
    size_t count;
};

/* Of m->doc, as the parameters have it. Needs no connection. */
int migration_disks_list(const struct migration *m, struct migration_storage **ret_storage,
                         struct error *err);
void migration_disks_free(struct migration_storage *storage);
CLEANUP_DEFINE(migration_storage, struct migration_storage *, migration_disks_free)

/* Whether all can be copied: the error says what stands against it. */
int migration_disks_judge(const struct migration *m, virConnectPtr there, struct migration_storage *storage,
                          struct error *err);

/* Finds the pool there. ERROR_UNSUPPORTED where there is none that would do. */
int migration_disk_open(const struct migration *m, virConnectPtr there, struct migration_disk *disk,
                        struct error *err);

/* *ret_vol is NULL where the pool has no such volume. */
int migration_disk_lookup(const struct migration_disk *disk, virStorageVolPtr *ret_vol, struct error *err);

/* ERROR_CONFLICT: its file is there already. */
int migration_disk_conflict(const struct migration *m, const struct migration_disk *disk, struct error *err);

#endif
