/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Taking away what is left over, each after a last look. */

#include "orphans_internal.h"

#include <string.h>

#include <libvirt/virterror.h>

#include "xml.h"

bool orphan_is_reapable(const struct orphan *orphan)
{
    return orphan->verdict == ORPHAN_ABANDONED || orphan->verdict == ORPHAN_STALE;
}

static bool stamp_is_unchanged(const struct stamp *stamp, const struct stamp *before)
{
    return stamp->state == before->state && strcmp(stamp->job, before->job) == 0 &&
           stamp->time_ms == before->time_ms && stamp->replaced == before->replaced;
}

static int set_taken_up(const struct orphan *orphan, struct error *err)
{
    return error_set(err, ERROR_BUSY, "'%s' has been taken up since it was looked at", orphan->name);
}

/* Guests. */

/* What lies beside the definition came into being at a start. guest.define starts nothing: there it is from before. */
static unsigned int guest_kept_flags(const struct orphan *orphan, xmlDocPtr doc)
{
    bool tpm = xml_find(doc, "/domain/devices/tpm/backend[@type='emulator']") != NULL;
    bool nvram = xml_find(doc, "/domain/os/nvram") != NULL;

    if (orphan->stamp.part)
        return (nvram ? VIR_DOMAIN_UNDEFINE_NVRAM : 0) | (tpm ? VIR_DOMAIN_UNDEFINE_TPM : 0);
    return (nvram ? VIR_DOMAIN_UNDEFINE_KEEP_NVRAM : 0) | (tpm ? VIR_DOMAIN_UNDEFINE_KEEP_TPM : 0);
}

/* Only flags for what there is: a driver without it refuses the flag. */
static int guest_undefine(virDomainPtr dom, const struct orphan *orphan, struct error *err)
{
    unsigned int flags = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
    AUTO(string) char *text = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE);
    AUTO(xml_doc) xmlDocPtr doc = NULL;

    if (!text)
        return error_set_libvirt(err, "reading the definition of guest '%s'", orphan->name);
    if (!(doc = xml_parse(text, "domain", NULL, err)))
        return -1;
    if (virDomainListAllCheckpoints(dom, NULL, 0) > 0)
        flags |= VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;
    if (virDomainUndefineFlags(dom, flags | guest_kept_flags(orphan, doc)) < 0 &&
        virGetLastErrorCode() != VIR_ERR_NO_DOMAIN)
        return error_set_libvirt(err, "undefining guest '%s'", orphan->name);
    return 0;
}

/* It may turn itself off, or go, at any moment. */
static int guest_turn_off(virDomainPtr dom, const struct orphan *orphan, struct error *err)
{
    if (virDomainDestroy(dom) == 0 || virGetLastErrorCode() == VIR_ERR_OPERATION_INVALID ||
        virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
        return 0;
    return error_set_libvirt(err, "turning off guest '%s'", orphan->name);
}

/* The definition first: then a guest that is off is gone, and cannot be started any more. */
static int guest_remove(virDomainPtr dom, const struct orphan *orphan, struct error *err)
{
    int persistent = virDomainIsPersistent(dom);

    if (persistent < 0)
        return error_set_libvirt(err, "looking at guest '%s'", orphan->name);
    if (persistent && guest_undefine(dom, orphan, err) < 0)
        return -1;
    return guest_turn_off(dom, orphan, err);
}

static int guest_find(virConnectPtr conn, const char *uuid, virDomainPtr *ret_dom, struct error *err)
{
    *ret_dom = virDomainLookupByUUIDString(conn, uuid);
    if (!*ret_dom && virGetLastErrorCode() != VIR_ERR_NO_DOMAIN)
        return error_set_libvirt(err, "looking up guest %s", uuid);
    return 0;
}

static int guest_reap(virConnectPtr conn, const struct orphan *orphan, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    AUTO(stamp) struct stamp stamp = { 0 };

    if (guest_find(conn, orphan->uuid, &dom, err) < 0)
        return -1;
    if (!dom)
        return 0;
    if (stamp_read_guest(dom, &stamp, err) < 0)
        return -1;
    if (!stamp_is_unchanged(&stamp, &orphan->stamp))
        return set_taken_up(orphan, err);
    if (orphan->verdict == ORPHAN_STALE)
        return stamp_finish_guest(dom, stamp.job, err);
    return guest_remove(dom, orphan, err);
}

/* Volumes. */

/* An unfinished guest that has it goes first; where it could not go, the volume stays, too. */
static int volume_check_guest(virConnectPtr conn, const struct orphan *orphan, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;

    if (!orphan->uuid[0])
        return 0;
    if (guest_find(conn, orphan->uuid, &dom, err) < 0)
        return -1;
    return dom ? error_set(err, ERROR_BUSY, "guest '%s' of the same job is still there",
                           virDomainGetName(dom))
               : 0;
}

/* What is not even a file yet has no sizes. */
static int volume_check_same(virStorageVolPtr vol, const struct orphan *orphan, struct error *err)
{
    virStorageVolInfo info;

    if (virStorageVolGetInfo(vol, &info) == 0)
        return info.capacity == orphan->capacity ? 0 : set_taken_up(orphan, err);
    if (virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL)
        return 0;
    return error_set_libvirt(err, "looking at volume '%s'", orphan->name);
}

/* libvirt refuses it while it is being allocated. */
static int volume_delete(virStoragePoolPtr pool, const struct orphan *orphan, struct error *err)
{
    AUTO(volume) virStorageVolPtr vol = virStorageVolLookupByName(pool, orphan->name);

    if (!vol && virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL)
        return 0;
    if (!vol)
        return error_set_libvirt(err, "looking at volume '%s'", orphan->name);
    if (volume_check_same(vol, orphan, err) < 0)
        return -1;
    if (virStorageVolDelete(vol, 0) < 0 && virGetLastErrorCode() != VIR_ERR_NO_STORAGE_VOL)
        return error_set_libvirt(err, "deleting volume '%s'", orphan->name);
    return 0;
}

static int volume_remove(virConnectPtr conn, virStoragePoolPtr pool, const struct orphan *orphan,
                         struct error *err)
{
    if (volume_check_guest(conn, orphan, err) < 0)
        return -1;
    return volume_delete(pool, orphan, err);
}

static int volume_reap(virConnectPtr conn, const struct orphan *orphan, struct error *err)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(conn, orphan->pool);
    const char *job = orphan->stamp.state == STAMP_BLANK ? NULL : orphan->stamp.job;
    AUTO(stamp) struct stamp stamp = { 0 };

    if (!pool)
        return error_set_libvirt(err, "looking up pool '%s'", orphan->pool);
    if (stamp_read_volume(pool, orphan->name, &stamp, err) < 0)
        return -1;
    if (stamp.state == STAMP_NONE)
        return 0; /* whoever cleared it has seen to the volume as well */
    if (!stamp_is_unchanged(&stamp, &orphan->stamp))
        return set_taken_up(orphan, err);
    if (orphan->verdict == ORPHAN_ABANDONED && volume_remove(conn, pool, orphan, err) < 0)
        return -1;
    return stamp_clear_volume(pool, orphan->name, job, err);
}

int orphan_reap(virConnectPtr conn, const struct orphan *orphan, struct error *err)
{
    if (!orphan_is_reapable(orphan))
        return error_set(err, ERROR_INTERNAL, "'%s' is nothing to be reaped", orphan->name);
    return orphan->kind == ORPHAN_GUEST ? guest_reap(conn, orphan, err) : volume_reap(conn, orphan, err);
}
