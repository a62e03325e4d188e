/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Walks the guests, then the pools, and gathers for each find what decides; orphans_verdict.c decides. */

#include "orphans_internal.h"

#include <string.h>

#include <libvirt/virterror.h>
#include <libxml/xmlstring.h>

struct walk {
    virConnectPtr conn;
    const struct orphans_settings *settings;
    struct orphans found;
    struct uses *uses; /* read when the first find needs it */
};

static void cleanup_walk(struct walk *walk)
{
    cleanup_uses(&walk->uses);
    orphans_done(&walk->found);
}

static void orphan_done(struct orphan *orphan)
{
    free(orphan->pool);
    free(orphan->name);
    stamp_done(&orphan->stamp);
}

static inline void cleanup_orphan(struct orphan *orphan)
{
    orphan_done(orphan);
}

static int64_t orphan_age_s(const struct stamp *stamp)
{
    return stamp->time_ms > 0 ? stamp_age_ms(stamp) / 1000 : -1;
}

void orphans_done(struct orphans *orphans)
{
    for (size_t i = 0; i < orphans->count; i++)
        orphan_done(&orphans->items[i]);
    free(orphans->items);
    json_decref(orphans->unseen);
    *orphans = (struct orphans){ 0 };
}

/* Takes what is in `orphan`. */
static int walk_add(struct walk *walk, struct orphan *orphan, struct error *err)
{
    struct orphans *found = &walk->found;
    struct orphan *items = found->items;

    if ((found->count & (found->count - 1)) == 0) /* full: the room is a power of two */
        items = realloc(items, (found->count ? found->count * 2 : 1) * sizeof(*items));
    if (!items)
        return error_set_memory(err);
    found->items = items;
    items[found->count++] = *orphan;
    *orphan = (struct orphan){ 0 };
    return 0;
}

/* One thing that cannot be looked at does not hide the others. A connection that is gone does, and what has gone
 * meanwhile is nothing to be told. */
static int walk_pass_over(struct walk *walk, const char *pool, const char *name, const struct error *failure,
                          struct error *err)
{
    json_t *entry;

    if (failure->code == ERROR_NOT_FOUND)
        return 0;
    if (failure->code == ERROR_CONNECTION_LOST || failure->code == ERROR_INTERNAL) {
        *err = *failure;
        return -1;
    }
    entry = json_pack("{s:s*, s:s*, s:o}", "pool", pool, pool ? "volume" : "guest", name, "error",
                      error_to_json(failure));
    return json_array_append_new(walk->found.unseen, entry) == 0 ? 0 : error_set_memory(err);
}

static int walk_safe_point(const struct walk *walk, struct error *err)
{
    return walk->settings->safe_point ? walk->settings->safe_point(walk->settings->opaque, err) : 0;
}

/* Guests. */

/* A guest that is off has no job, and a driver without jobs is at none. */
static bool guest_at_work(virDomainPtr dom)
{
    virDomainJobInfo info;

    return virDomainGetJobInfo(dom, &info) == 0 && info.type != VIR_DOMAIN_JOB_NONE &&
           info.type != VIR_DOMAIN_JOB_COMPLETED;
}

static int guest_look(struct walk *walk, virDomainPtr dom, struct error *err)
{
    AUTO(orphan) struct orphan guest = { .kind = ORPHAN_GUEST };
    struct orphan_facts facts = { .min_age_s = walk->settings->min_age_s, .target = true };

    if (stamp_read_guest(dom, &guest.stamp, err) < 0)
        return -1;
    if (guest.stamp.state != STAMP_INTENDED)
        return 0;
    if (virDomainGetUUIDString(dom, guest.uuid) < 0)
        return error_set_libvirt(err, "looking at guest '%s'", virDomainGetName(dom));
    if (!(guest.name = strdup(virDomainGetName(dom))))
        return error_set_memory(err);
    guest.active = virDomainIsActive(dom) == 1;
    guest.age_s = orphan_age_s(&guest.stamp);
    facts.at_work = guest_at_work(dom);
    orphan_judge(&guest, &facts);
    return walk_add(walk, &guest, err);
}

static int walk_guest(struct walk *walk, virDomainPtr dom, struct error *err)
{
    struct error failure = ERROR_INIT;

    if (walk_safe_point(walk, err) < 0)
        return -1;
    if (guest_look(walk, dom, &failure) == 0 || failure.code == ERROR_UNSUPPORTED)
        return 0; /* a driver without metadata has no stamps */
    return walk_pass_over(walk, NULL, virDomainGetName(dom), &failure, err);
}

static int walk_guests(struct walk *walk, struct error *err)
{
    virDomainPtr *list = NULL;
    int rc = 0, count = virConnectListAllDomains(walk->conn, &list, 0);

    if (count < 0)
        return error_set_libvirt(err, "listing the guests");
    for (int i = 0; i < count; i++) {
        rc = rc < 0 ? rc : walk_guest(walk, list[i], err);
        virDomainFree(list[i]);
    }
    free(list);
    return rc;
}

/* Volumes. */

static int volume_look_use(struct walk *walk, struct orphan *volume, virStorageVolPtr vol,
                           struct orphan_facts *facts, struct error *err)
{
    AUTO(string) char *path = virStorageVolGetPath(vol);

    if (!path)
        return error_set_libvirt(err, "looking at volume '%s'", volume->name);
    if (!walk->uses && !(walk->uses = uses_read(walk->conn, err)))
        return -1;
    facts->use = uses_find(walk->uses, path, volume, &walk->found, volume->uuid);
    return 0;
}

/* What libvirt has in its list without a file is just being begun, or is gone. */
static int volume_look_sizes(struct orphan *volume, virStorageVolPtr vol, struct orphan_facts *facts,
                             struct error *err)
{
    virStorageVolInfo info = { .capacity = 0 };

    if (virStorageVolGetInfo(vol, &info) < 0) {
        if (virGetLastErrorCode() != VIR_ERR_NO_STORAGE_VOL)
            return error_set_libvirt(err, "looking at volume '%s'", volume->name);
        if (!facts->at_work)
            return 0;
    }
    volume->kind = ORPHAN_VOLUME;
    volume->capacity = info.capacity;
    volume->allocation = info.allocation;
    facts->target = true;
    return 0;
}

/* Of what only the record is to be cleared, nobody needs to know more. */
static int volume_look_target(struct walk *walk, virStoragePoolPtr pool, struct orphan *volume,
                              struct orphan_facts *facts, struct error *err)
{
    AUTO(volume) virStorageVolPtr vol = virStorageVolLookupByName(pool, volume->name);

    if (!vol && virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL)
        return 0;
    if (!vol)
        return error_set_libvirt(err, "looking at volume '%s'", volume->name);
    facts->at_work = volume->stamp.state == STAMP_INTENDED && orphans_volume_at_work(vol);
    if (volume_look_sizes(volume, vol, facts, err) < 0)
        return -1;
    facts->late = volume->stamp.state == STAMP_INTENDED && stamp_is_late(&volume->stamp, vol);
    if (!facts->target || facts->late || volume->stamp.state == STAMP_BLANK ||
        (volume->stamp.state == STAMP_DONE && !volume->stamp.part))
        return 0;
    return volume_look_use(walk, volume, vol, facts, err);
}

/* `record` is the volume with our record in it. */
static int volume_look(struct walk *walk, virStoragePoolPtr pool, virStorageVolPtr record, struct error *err)
{
    AUTO(orphan) struct orphan volume = { .kind = ORPHAN_RECORD };
    struct orphan_facts facts = { .min_age_s = walk->settings->min_age_s };
    const char *name = virStorageVolGetName(record);

    volume.pool = strdup(virStoragePoolGetName(pool));
    volume.name = strndup(name, strlen(name) - strlen(STAMP_SUFFIX));
    if (!volume.pool || !volume.name)
        return error_set_memory(err);
    if (stamp_read_volume(pool, volume.name, &volume.stamp, err) < 0)
        return -1;
    if (volume.stamp.state == STAMP_NONE) /* gone meanwhile, or a pool that has no records */
        return 0;
    volume.age_s = orphan_age_s(&volume.stamp);
    facts.empty = volume.stamp.state == STAMP_BLANK && orphans_volume_is_empty(record);
    if (volume_look_target(walk, pool, &volume, &facts, err) < 0)
        return -1;
    orphan_judge(&volume, &facts);
    return walk_add(walk, &volume, err);
}

/* A name that is no text can be neither told nor asked for, and is none of ours. */
static int walk_volume(struct walk *walk, virStoragePoolPtr pool, virStorageVolPtr vol, struct error *err)
{
    const char *name = virStorageVolGetName(vol);
    struct error failure = ERROR_INIT;

    if (!stamp_is_record(name) || strlen(name) <= strlen(STAMP_SUFFIX) || !xmlCheckUTF8(BAD_CAST name))
        return 0;
    if (walk_safe_point(walk, err) < 0)
        return -1;
    if (volume_look(walk, pool, vol, &failure) == 0)
        return 0;
    return walk_pass_over(walk, virStoragePoolGetName(pool), name, &failure, err);
}

/* A pool may be stopped under our eyes. */
static int walk_pool(struct walk *walk, virStoragePoolPtr pool, struct error *err)
{
    const char *name = virStoragePoolGetName(pool);
    struct error failure = ERROR_INIT;
    virStorageVolPtr *list = NULL;
    int rc = 0, count = virStoragePoolListAllVolumes(pool, &list, 0);

    if (count < 0) {
        error_set_libvirt(&failure, "listing the volumes of pool '%s'", name);
        return virStoragePoolIsActive(pool) == 0 ? 0 : walk_pass_over(walk, name, NULL, &failure, err);
    }
    for (int i = 0; i < count; i++) {
        rc = rc < 0 ? rc : walk_volume(walk, pool, list[i], err);
        virStorageVolFree(list[i]);
    }
    free(list);
    return rc;
}

/* A driver without storage has no pools. */
static int walk_pools(struct walk *walk, struct error *err)
{
    virStoragePoolPtr *list = NULL;
    int rc = 0,
        count = virConnectListAllStoragePools(walk->conn, &list, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);

    if (count < 0 && virGetLastErrorCode() != VIR_ERR_NO_SUPPORT)
        return error_set_libvirt(err, "listing the pools");
    for (int i = 0; i < count; i++) {
        rc = rc < 0 ? rc : walk_pool(walk, list[i], err);
        virStoragePoolFree(list[i]);
    }
    free(list);
    return rc;
}

int orphans_find(virConnectPtr conn, const struct orphans_settings *settings, struct orphans *ret_orphans,
                 struct error *err)
{
    AUTO(walk) struct walk walk = { .conn = conn, .settings = settings };

    if (!(walk.found.unseen = json_array()))
        return error_set_memory(err);
    if (walk_guests(&walk, err) < 0 || walk_pools(&walk, err) < 0)
        return -1;
    orphans_settle(&walk.found);
    *ret_orphans = walk.found;
    walk.found = (struct orphans){ 0 };
    return 0;
}

const char *orphan_kind_name(enum orphan_kind kind)
{
    static const char *const names[] = {
        [ORPHAN_GUEST] = "guest", [ORPHAN_VOLUME] = "volume", [ORPHAN_RECORD] = "record"
    };

    return names[kind];
}

const char *orphan_verdict_name(enum orphan_verdict verdict)
{
    static const char *const names[] = { [ORPHAN_ABANDONED] = "orphan",
                                         [ORPHAN_UNCLEAR] = "unclear",
                                         [ORPHAN_STALE] = "stale",
                                         [ORPHAN_YOUNG] = "young",
                                         [ORPHAN_IN_WORK] = "in-work" };

    return names[verdict];
}

const char *orphan_state_name(enum stamp_state state)
{
    static const char *const names[] = {
        [STAMP_NONE] = "none", [STAMP_BLANK] = "blank", [STAMP_INTENDED] = "intended", [STAMP_DONE] = "done"
    };

    return names[state];
}
