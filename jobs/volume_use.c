/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Which guest has a volume: libvirt keeps no such list, so the definitions of the guests are read. */

#include "volume_internal.h"

#include <limits.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "xml.h"

/* A mirror is what a running block copy writes to. */
static const char *const use_paths[] = {
    [VOLUME_ANY_USE] = "/domain/devices/disk//source",
    [VOLUME_WRITES] = "/domain/devices/disk[not(readonly)]/source | /domain/devices/disk/mirror/source",
};

struct use {
    const char *path;
    const char *pool;
    const char *volume;
};

struct use_domains {
    virDomainPtr *domains;
    int count;
};

static void cleanup_use_domains(struct use_domains *list)
{
    for (int i = 0; i < list->count; i++)
        virDomainFree(list->domains[i]);
    free(list->domains);
}

/* A part of a path that does not fit is left out: libvirt takes no longer ones. */
static void path_clean(const char *path, char *ret_clean, size_t size)
{
    size_t length = 0, part;

    for (; *path; path += part) {
        path += strspn(path, "/");
        part = strcspn(path, "/");
        if (part == 2 && strncmp(path, "..", part) == 0) {
            while (length > 0 && ret_clean[--length] != '/')
                ;
        } else if (part > 0 && !(part == 1 && *path == '.') && length + part + 1 < size) {
            ret_clean[length++] = '/';
            memcpy(ret_clean + length, path, part);
            length += part;
        }
    }
    ret_clean[length] = '\0';
}

bool volume_path_is(const char *path, const char *other)
{
    char clean[PATH_MAX], clean_other[PATH_MAX];

    path_clean(path, clean, sizeof(clean));
    path_clean(other, clean_other, sizeof(clean_other));
    return *path == '/' && *other == '/' && strcmp(clean, clean_other) == 0;
}

static bool path_attribute_is(xmlNodePtr node, const char *name, const char *wanted)
{
    AUTO(xml_string) xmlChar *value = xmlGetNoNsProp(node, BAD_CAST name);

    return value && volume_path_is((const char *)value, wanted);
}

static bool attribute_is(xmlNodePtr node, const char *name, const char *wanted)
{
    AUTO(xml_string) xmlChar *value = xmlGetNoNsProp(node, BAD_CAST name);

    return value && wanted && strcmp((const char *)value, wanted) == 0;
}

static int use_matches(xmlNodePtr source, void *opaque)
{
    const struct use *use = opaque;

    return path_attribute_is(source, "file", use->path) || path_attribute_is(source, "dev", use->path) ||
           (attribute_is(source, "pool", use->pool) && attribute_is(source, "volume", use->volume));
}

/* 1 used, 0 not (or the guest has gone meanwhile), -1. */
static int use_by_domain(virDomainPtr dom, enum volume_access access, struct use *use, struct error *err)
{
    AUTO(string) char *text = virDomainGetXMLDesc(dom, 0);

    if (!text && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
        return 0;
    if (!text)
        return error_set_libvirt(err, "looking at guest '%s'", virDomainGetName(dom));
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(text, "domain", NULL, err);
    return doc ? xml_each(doc, use_paths[access], use_matches, use) : -1;
}

int volume_used_by(virConnectPtr conn, unsigned flags, enum volume_access access, virStorageVolPtr vol,
                   char **ret_guest, struct error *err)
{
    AUTO(use_domains) struct use_domains list = { NULL, 0 };
    AUTO(string) char *path = virStorageVolGetPath(vol);
    AUTO(pool) virStoragePoolPtr pool = path ? virStoragePoolLookupByVolume(vol) : NULL;

    if (!pool)
        return volume_error(err, "looking at volume '%s'", virStorageVolGetName(vol));
    struct use use = { path, virStoragePoolGetName(pool), virStorageVolGetName(vol) };
    list.count = virConnectListAllDomains(conn, &list.domains, flags);
    if (list.count < 0)
        return error_set_libvirt(err, "listing the guests");
    for (int i = 0; i < list.count; i++) {
        int used = use_by_domain(list.domains[i], access, &use, err);

        if (used > 0 && !(*ret_guest = strdup(virDomainGetName(list.domains[i]))))
            return error_set_memory(err);
        if (used != 0)
            return used;
    }
    return 0;
}

int volume_check_writer(struct job *job, virStorageVolPtr vol, const char *where, struct error *err)
{
    AUTO(string) char *guest = NULL;
    int used = volume_used_by(job->conn, VIR_CONNECT_LIST_DOMAINS_ACTIVE, VOLUME_WRITES, vol, &guest, err);

    if (used <= 0)
        return used;
    error_set_at(err, ERROR_BUSY, where, "guest '%s' runs and can write to volume '%s'", guest,
                 virStorageVolGetName(vol));
    return error_set_lasting(err);
}
