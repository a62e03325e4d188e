/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The volumes at the destination that a guest's disks are copied to.
 *
 * libvirt makes what is missing there, takes what is there whatever it is, and leaves both behind where the migration fails. So
 * each volume is made before, next to a record of the job (stamp.h): nothing that is there is written over, and who comes
 * later knows what may be deleted. */

#include "guest_migrate_copies.h"

#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "kill_point.h"
#include "volume.h"
#include "xml.h"

/* Another job's record that is older than this, and has no volume, is nobody's any more. One that its maker has not
 * written into at once died with its maker. */
#define YOUNG_MS       (10 * 60 * 1000)
#define YOUNG_BLANK_MS (60 * 1000)

/* How long a record may take from its making to its first word. */
#define BLANK_WAIT_MS 1000

/* libvirt may make a little more than it was asked for. */
#define ROUNDING 1024

/* Looking. */

int migration_storage_check(struct migration *m, virConnectPtr there, struct error *err)
{
    AUTO(migration_storage) struct migration_storage *storage = NULL;
    struct error fault = ERROR_INIT;

    if (m->plan.copy == MIGRATION_COPY_NONE)
        return 0;
    if (migration_disks_list(m, &storage, err) < 0)
        return -1;
    if (migration_disks_judge(m, there, storage, &fault) < 0 &&
        (fault.code == ERROR_CONNECTION_LOST || fault.code == ERROR_HOST_UNAVAILABLE)) {
        *err = fault;
        return -1;
    }
    if (fault.code)
        migration_check_note(m, "storage", MIGRATION_FAILED, fault.code,
                             fault.has_where ? fault.where : "/params/copy_storage", "%s", fault.message);
    else
        migration_check_note(m, "storage", MIGRATION_OK, ERROR_NONE, NULL, "disks to copy: %zu",
                             storage->count);
    return 0;
}

/* Making. */

static struct stamp disk_stamp(const struct migration *m, const struct migration_disk *disk)
{
    struct stamp stamp = { .state = STAMP_INTENDED, .part = true, .capacity = disk->capacity };

    snprintf(stamp.job, sizeof(stamp.job), "%s", m->job->id);
    snprintf(stamp.type, sizeof(stamp.type), "%s", m->job->type->name);
    return stamp;
}

/* A volume beside the job's own record may still be somebody else's: made before the record was, or by hand since. */
static bool volume_is_own(const struct stamp *stamp, virStorageVolPtr vol)
{
    virStorageVolInfo info;

    if (stamp->state == STAMP_DONE)
        return true;
    if (virStorageVolGetInfo(vol, &info) < 0 || stamp_is_late(stamp, vol))
        return false;
    return stamp->capacity == 0 ||
           (info.capacity >= stamp->capacity && info.capacity - stamp->capacity < ROUNDING);
}

static int volume_remove_own(virStorageVolPtr vol, struct error *err)
{
    if (virStorageVolDelete(vol, 0) == 0 || virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL)
        return 0;
    return volume_error(err, "deleting volume '%s'", virStorageVolGetName(vol));
}

/* An earlier attempt that ended between making its record and writing into it has left one that says nothing. If it is
 * another's who lives, that one writes soon. */
static int disk_read_record(struct migration *m, const struct migration_disk *disk, struct stamp *ret_stamp,
                            struct error *err)
{
    if (stamp_read_volume(disk->pool, disk->volume, ret_stamp, err) < 0)
        return -1;
    if (ret_stamp->state != STAMP_BLANK || !m->job->again)
        return 0;
    migration_pause(m, BLANK_WAIT_MS);
    stamp_done(ret_stamp);
    return stamp_read_volume(disk->pool, disk->volume, ret_stamp, err);
}

static bool record_is_stale(const struct stamp *stamp)
{
    return stamp->state != STAMP_NONE &&
           stamp_age_ms(stamp) > (stamp->state == STAMP_BLANK ? YOUNG_BLANK_MS : YOUNG_MS);
}

/* What an earlier attempt has left holds part of a copy at best. 1: there is a record of ours to be written over. */
static int disk_clear(struct migration *m, const struct migration_disk *disk, struct error *err)
{
    AUTO(stamp) struct stamp stamp = { .state = STAMP_NONE };
    AUTO(volume) virStorageVolPtr vol = NULL;

    if (disk_read_record(m, disk, &stamp, err) < 0 || migration_disk_lookup(disk, &vol, err) < 0)
        return -1;
    if (stamp_is_of(&stamp, m->job->id)) {
        job_adopted(m->job);
        if (vol && !volume_is_own(&stamp, vol))
            return migration_disk_conflict(m, disk, err);
        return !vol || volume_remove_own(vol, err) == 0 ? 1 : -1;
    }
    if (vol)
        return migration_disk_conflict(m, disk, err);
    if (stamp.state == STAMP_BLANK && m->job->again)
        return 1;
    if (record_is_stale(&stamp))
        return stamp_clear_volume(disk->pool, disk->volume, stamp.state == STAMP_BLANK ? NULL : stamp.job,
                                  err);
    return 0;
}

static int disk_record(struct migration *m, const struct migration_disk *disk, bool over, struct error *err)
{
    const struct stamp stamp = disk_stamp(m, disk);
    struct error failure = ERROR_INIT;

    if (over)
        return stamp_write_volume(disk->pool, disk->volume, &stamp, err);
    if (stamp_intend_volume(disk->pool, disk->volume, &stamp, NULL, &failure) == 0)
        return 0;
    if (failure.code == ERROR_BUSY)
        return error_set_at(err, ERROR_BUSY, "/params/guest",
                            "another job is just making volume '%s' at '%s'", disk->volume, m->destination);
    *err = failure;
    return -1;
}

/* Nothing is set aside: there is the room that was looked for, and a hole that is copied stays one. */
static int disk_create(struct migration *m, const struct migration_disk *disk, struct error *err)
{
    const struct volume_spec spec = {
        .name = disk->volume,
        .format = disk->format,
        .capacity = disk->capacity,
        .backing_path = disk->backing_path,
        .backing_format = disk->backing_format ? disk->backing_format : "raw",
    };
    AUTO(string) char *xml = volume_spec_xml(&spec, err);
    struct error failure = ERROR_INIT;

    if (!xml)
        return -1;
    AUTO(volume) virStorageVolPtr vol = virStorageVolCreateXML(disk->pool, xml, 0);
    if (vol)
        return 0;
    volume_error(&failure, "making volume '%s' at '%s'", disk->volume, m->destination);
    if (failure.code != ERROR_CONFLICT) {
        *err = failure;
        return -1;
    }
    stamp_clear_volume(disk->pool, disk->volume, m->job->id, NULL);
    return migration_disk_conflict(m, disk, err);
}

static int disk_prepare(struct migration *m, const struct migration_disk *disk, struct error *err)
{
    int over;

    if (job_safe_point(m->job, err) < 0)
        return -1;
    over = disk_clear(m, disk, err);
    kill_point("before-record");
    if (over < 0 || disk_record(m, disk, over > 0, err) < 0)
        return -1;
    kill_point("after-record");
    if (disk_create(m, disk, err) < 0)
        return -1;
    kill_point("after-create");
    return 0;
}

static int storage_prepare(struct migration *m, virConnectPtr there, struct error *err)
{
    struct migration_storage *storage = m->storage;

    if (migration_disks_judge(m, there, storage, err) < 0)
        return -1;
    for (size_t i = 0; i < storage->count; i++)
        if (disk_prepare(m, &storage->disks[i], err) < 0)
            return -1;
    return 0;
}

int migration_storage_prepare(struct migration *m, struct error *err)
{
    virConnectPtr there = NULL;
    int rc;

    if (m->plan.copy == MIGRATION_COPY_NONE)
        return 0;
    if (migration_disks_list(m, &m->storage, err) < 0)
        return -1;
    if (m->taken_over)
        return 0; /* it is at work on them; _settle tells by their records */
    if (job_peer_begin(m->job, m->destination, &there, err) < 0)
        return -1;
    rc = storage_prepare(m, there, err);
    job_peer_end(m->job, m->destination, there);
    return rc;
}

/* The end of it. */

static int disk_keep(const struct migration_disk *disk, const struct stamp *stamp, struct error *err)
{
    return stamp->state == STAMP_DONE ? 0 : stamp_finish_volume(disk->pool, disk->volume, err);
}

/* The record last: it says what is still to be deleted. */
static int disk_remove(struct migration *m, const struct migration_disk *disk, const struct stamp *stamp,
                       struct error *err)
{
    AUTO(volume) virStorageVolPtr vol = NULL;

    if (migration_disk_lookup(disk, &vol, err) < 0)
        return -1;
    if (vol && volume_is_own(stamp, vol) && volume_remove_own(vol, err) < 0)
        return -1;
    kill_point("after-delete");
    return stamp_clear_volume(disk->pool, disk->volume, m->job->id, err);
}

static int disk_remove_blank(const struct migration_disk *disk, struct error *err)
{
    AUTO(volume) virStorageVolPtr vol = NULL;

    if (migration_disk_lookup(disk, &vol, err) < 0)
        return -1;
    return vol ? 0 : stamp_clear_volume(disk->pool, disk->volume, NULL, err);
}

/* Where the disk has no pool, it has no volume of ours. */
static int disk_settle(struct migration *m, virConnectPtr there, struct migration_disk *disk, bool moved,
                       struct error *err)
{
    AUTO(stamp) struct stamp stamp = { .state = STAMP_NONE };
    struct error failure = ERROR_INIT;

    if (migration_disk_open(m, there, disk, &failure) < 0) {
        if (failure.code == ERROR_UNSUPPORTED)
            return 0;
        *err = failure;
        return -1;
    }
    if (disk_read_record(m, disk, &stamp, err) < 0)
        return -1;
    if (stamp.state == STAMP_BLANK && m->job->again && !moved)
        return disk_remove_blank(disk, err);
    if (!stamp_is_of(&stamp, m->job->id))
        return 0;
    return moved ? disk_keep(disk, &stamp, err) : disk_remove(m, disk, &stamp, err);
}

/* One that fails keeps none of the others; what is told is the first. */
static int storage_settle(struct migration *m, virConnectPtr there, bool moved, struct error *err)
{
    struct error first = ERROR_INIT;

    for (size_t i = 0; i < m->storage->count; i++) {
        struct error failure = ERROR_INIT;

        if (disk_settle(m, there, &m->storage->disks[i], moved, &failure) < 0 && !first.code)
            first = failure;
    }
    migration_disks_free(STEAL(&m->storage));
    if (!first.code)
        return 0;
    if (err)
        *err = first;
    return -1;
}

int migration_storage_settle(struct migration *m, bool moved, struct error *err)
{
    virConnectPtr there = NULL;
    int rc;

    if (m->plan.copy == MIGRATION_COPY_NONE || (!m->storage && !m->doc))
        return 0;
    if (!m->storage && migration_disks_list(m, &m->storage, err) < 0)
        return -1;
    if (job_peer_begin(m->job, m->destination, &there, err) < 0) {
        migration_disks_free(STEAL(&m->storage));
        return -1;
    }
    rc = storage_settle(m, there, moved, err);
    job_peer_end(m->job, m->destination, there);
    return rc;
}

/* Sweeping. */

/* By name or UUID, as the job names it; NULL where it is not there. */
static int sweep_find(struct job *job, virConnectPtr there, virDomainPtr *ret_dom, struct error *err)
{
    const char *guest = job_string(job->params, "guest", "");
    const char *name = job_string(job->params, "name", guest);

    if (guest_is_uuid(guest))
        return guest_find_by(there, virDomainLookupByUUIDString, guest, ret_dom, err);
    return guest_find_by(there, virDomainLookupByName, name, ret_dom, err);
}

static int sweep_disks(const struct migration *m, virConnectPtr there, struct error *err)
{
    AUTO(migration_storage) struct migration_storage *storage = NULL;

    if (migration_disks_list(m, &storage, err) < 0)
        return -1;
    for (size_t i = 0; i < storage->count; i++) {
        struct migration_disk *disk = &storage->disks[i];

        if (migration_disk_open(m, there, disk, NULL) == 0 &&
            stamp_clear_volume(disk->pool, disk->volume, m->job->id, err) < 0)
            return -1;
    }
    return 0;
}

static int sweep_guest(struct job *job, virConnectPtr there, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;

    if (sweep_find(job, there, &dom, err) < 0)
        return -1;
    if (!dom)
        return 0;
    AUTO(string) char *text = virDomainGetXMLDesc(dom, 0);
    if (!text)
        return guest_is_gone() ? 0 : error_set_libvirt(err, "looking at guest '%s'", virDomainGetName(dom));
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(text, "domain", NULL, err);
    const struct migration m = {
        .job = job,
        .doc = doc,
        .destination = job_string(job->params, "destination", ""),
        .plan = { .copy = MIGRATION_COPY_ALL, .disks = json_object_get(job->params, "disks") },
    };
    return doc ? sweep_disks(&m, there, err) : -1;
}

/* A guest that was not moved has left no records, and one that has gone again has left them to the janitor. */
int migration_storage_sweep(struct job *job, struct error *err)
{
    const char *destination = job_string(job->params, "destination", "");
    virConnectPtr there = NULL;
    int rc;

    if (strcmp(job_string(job->params, "copy_storage", "none"), "none") == 0 ||
        job_flag(job->params, "dry_run", false))
        return 0;
    if (job_peer_begin(job, destination, &there, err) < 0)
        return -1;
    rc = sweep_guest(job, there, err);
    job_peer_end(job, destination, there);
    return rc;
}
