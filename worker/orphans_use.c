/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Which guest has which volume: libvirt keeps no such list, so the definitions of all guests are read, once. */

#include "orphans_internal.h"

#include <limits.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "xml.h"

/* A backing file and the target of a running copy lie below the disk. */
#define SOURCES "/domain/devices/disk//source"

struct use {
    char uuid[VIR_UUID_STRING_BUFLEN];
    char *path; /* clean; or NULL, and a volume of a pool */
    char *pool;
    char *volume;
};

struct uses {
    struct use *items;
    size_t count;
    char uuid[VIR_UUID_STRING_BUFLEN]; /* of the guest that is being read */
};

void uses_free(struct uses *uses)
{
    for (size_t i = 0; i < uses->count; i++) {
        free(uses->items[i].path);
        free(uses->items[i].pool);
        free(uses->items[i].volume);
    }
    free(uses->items);
    free(uses);
}

/* Without doubled slashes and parts that lead nowhere; what does not fit is left out: libvirt takes no longer paths. */
static void path_clean(const char *path, char ret_clean[PATH_MAX])
{
    size_t length = 0, part;

    for (; *path; path += part) {
        path += strspn(path, "/");
        part = strcspn(path, "/");
        if (part == 2 && strncmp(path, "..", part) == 0) {
            while (length > 0 && ret_clean[--length] != '/')
                ;
        } else if (part > 0 && !(part == 1 && *path == '.') && length + part + 1 < PATH_MAX) {
            ret_clean[length++] = '/';
            memcpy(ret_clean + length, path, part);
            length += part;
        }
    }
    ret_clean[length] = '\0';
}

static struct use *uses_add(struct uses *uses)
{
    struct use *items = uses->items;

    if ((uses->count & (uses->count - 1)) == 0) /* full: the room is a power of two */
        items = realloc(uses->items, (uses->count ? uses->count * 2 : 1) * sizeof(*items));
    if (!items)
        return NULL;
    uses->items = items;
    items[uses->count] = (struct use){ 0 };
    memcpy(items[uses->count].uuid, uses->uuid, sizeof(uses->uuid));
    return &items[uses->count++];
}

/* What is neither a file, a device nor a volume, as a disk over the network, is in no pool that has records. */
static int uses_add_source(xmlNodePtr node, void *opaque)
{
    AUTO(xml_string) xmlChar *file = xmlGetNoNsProp(node, BAD_CAST "file");
    AUTO(xml_string) xmlChar *dev = xmlGetNoNsProp(node, BAD_CAST "dev");
    AUTO(xml_string) xmlChar *pool = xmlGetNoNsProp(node, BAD_CAST "pool");
    AUTO(xml_string) xmlChar *volume = xmlGetNoNsProp(node, BAD_CAST "volume");
    const char *path = (const char *)(file ? file : dev);
    char clean[PATH_MAX];
    struct use *use;

    if (!path && !(pool && volume))
        return 0;
    if (!(use = uses_add(opaque)))
        return -1;
    if (path) {
        path_clean(path, clean);
        return (use->path = strdup(clean)) ? 0 : -1;
    }
    use->pool = strdup((const char *)pool);
    use->volume = strdup((const char *)volume);
    return use->pool && use->volume ? 0 : -1;
}

/* A guest may go under our eyes. */
static int uses_add_definition(struct uses *uses, virDomainPtr dom, unsigned int flags, struct error *err)
{
    AUTO(string) char *text = virDomainGetXMLDesc(dom, flags);

    if (!text)
        return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN
                   ? 0
                   : error_set_libvirt(err, "looking at guest '%s'", virDomainGetName(dom));
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(text, "domain", NULL, err);
    if (!doc)
        return -1;
    return xml_each(doc, SOURCES, uses_add_source, uses) == 0 ? 0 : error_set_memory(err);
}

static int uses_add_guest(struct uses *uses, virDomainPtr dom, struct error *err)
{
    bool two = virDomainIsActive(dom) == 1 && virDomainIsPersistent(dom) == 1;

    if (virDomainGetUUIDString(dom, uses->uuid) < 0)
        return error_set_libvirt(err, "looking at guest '%s'", virDomainGetName(dom));
    if (uses_add_definition(uses, dom, 0, err) < 0)
        return -1;
    return two ? uses_add_definition(uses, dom, VIR_DOMAIN_XML_INACTIVE, err) : 0;
}

struct uses *uses_read(virConnectPtr conn, struct error *err)
{
    AUTO(uses) struct uses *uses = calloc(1, sizeof(*uses));
    virDomainPtr *list = NULL;
    int count, rc = 0;

    if (!uses)
        return error_set_memory(err), NULL;
    if ((count = virConnectListAllDomains(conn, &list, 0)) < 0)
        return error_set_libvirt(err, "listing the guests"), NULL;
    for (int i = 0; i < count; i++) {
        rc = rc < 0 ? rc : uses_add_guest(uses, list[i], err);
        virDomainFree(list[i]);
    }
    free(list);
    return rc < 0 ? NULL : STEAL(&uses);
}

static const char *path_last(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Where a path leads through a symbolic link, only the host knows that two are one. */
static enum orphan_use use_of(const struct use *use, const char *clean, const struct orphan *volume)
{
    if (!use->path)
        return strcmp(use->pool, volume->pool) == 0 && strcmp(use->volume, volume->name) == 0 ? USE_OTHERS
                                                                                              : USE_NONE;
    if (strcmp(use->path, clean) == 0)
        return USE_OTHERS;
    return strcmp(path_last(use->path), path_last(clean)) == 0 ? USE_MAYBE : USE_NONE;
}

static bool is_of_same_job(const char *uuid, const struct orphan *volume, const struct orphans *unfinished)
{
    for (size_t i = 0; i < unfinished->count; i++) {
        const struct orphan *guest = &unfinished->items[i];

        if (guest->kind == ORPHAN_GUEST && strcmp(guest->uuid, uuid) == 0)
            return stamp_is_of(&guest->stamp, volume->stamp.job);
    }
    return false;
}

enum orphan_use uses_find(const struct uses *uses, const char *path, const struct orphan *volume,
                          const struct orphans *unfinished, char ret_uuid[VIR_UUID_STRING_BUFLEN])
{
    enum orphan_use most = USE_NONE, found;
    char clean[PATH_MAX];

    path_clean(path, clean);
    for (size_t i = 0; i < uses->count && most < USE_OTHERS; i++) {
        found = use_of(&uses->items[i], clean, volume);
        if (found == USE_OTHERS && is_of_same_job(uses->items[i].uuid, volume, unfinished)) {
            found = USE_SAME_JOB;
            memcpy(ret_uuid, uses->items[i].uuid, VIR_UUID_STRING_BUFLEN);
        }
        most = found > most ? found : most;
    }
    return most;
}
