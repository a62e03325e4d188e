/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A template's domain XML made into that of a new guest. */

#include "guest_internal.h"

#include <stdio.h>

#include "xml.h"

xmlNodePtr guest_template_disk(xmlDocPtr doc, const char *device)
{
    return xml_find_value(doc, "/domain/devices/disk[target/@dev = $value]", device);
}

static void template_remove_children(xmlNodePtr parent, const char *name)
{
    xmlNodePtr node, next;

    for (node = xmlFirstElementChild(parent); node; node = next) {
        next = xmlNextElementSibling(node);
        if (xmlStrEqual(node->name, BAD_CAST name))
            xml_remove(node);
    }
}

/* How a disk of this type names its source: the path, or the volume where it has none that QEMU could open. */
static int template_set_source(xmlNodePtr disk, virStorageVolPtr volume, int type, struct error *err)
{
    xmlNodePtr source = xml_add(disk, "source", NULL, err);
    AUTO(string) char *path = virStorageVolGetPath(volume);
    AUTO(pool) virStoragePoolPtr pool = path ? virStoragePoolLookupByVolume(volume) : NULL;

    if (!source)
        return -1;
    if (!pool)
        return error_set_libvirt(err, "looking at volume '%s'", virStorageVolGetName(volume));
    if (type == VIR_STORAGE_VOL_FILE || type == VIR_STORAGE_VOL_BLOCK) {
        bool file = type == VIR_STORAGE_VOL_FILE;

        return xml_set_attribute(disk, "type", file ? "file" : "block", err) < 0 ||
                       xml_set_attribute(source, file ? "file" : "dev", path, err) < 0
                   ? -1
                   : 0;
    }
    if (xml_set_attribute(disk, "type", "volume", err) < 0 ||
        xml_set_attribute(source, "pool", virStoragePoolGetName(pool), err) < 0)
        return -1;
    return xml_set_attribute(source, "volume", virStorageVolGetName(volume), err);
}

int guest_template_point(xmlNodePtr disk, virStorageVolPtr volume, const char *format, struct error *err)
{
    virStorageVolInfo info;
    xmlNodePtr driver;

    if (virStorageVolGetInfo(volume, &info) < 0)
        return error_set_libvirt(err, "looking at volume '%s'", virStorageVolGetName(volume));
    /* The template's own chain and copies under way are not the clone's. */
    template_remove_children(disk, "source");
    template_remove_children(disk, "backingStore");
    template_remove_children(disk, "mirror");
    template_remove_children(disk, "auth"); /* for a server that is not asked any more */
    driver = xml_child(disk, "driver", err);
    if (!driver || xml_set_attribute(driver, "type", format, err) < 0)
        return -1;
    return template_set_source(disk, volume, info.type, err);
}

/* One walk over the interfaces. */
struct template_macs {
    const json_t *macs;
    size_t next;
    struct error *err;
};

static int template_set_mac(xmlNodePtr interface, void *opaque)
{
    struct template_macs *walk = opaque;
    const char *address = json_string_value(json_array_get(walk->macs, walk->next++));
    xmlNodePtr mac;

    template_remove_children(interface, "mac");
    if (!address)
        return 0;
    mac = xml_add(interface, "mac", NULL, walk->err);
    return mac ? xml_set_attribute(mac, "address", address, walk->err) : -1;
}

static int template_set_macs(xmlDocPtr doc, const json_t *macs, struct error *err)
{
    struct template_macs walk = { macs, 0, err };
    char where[64];

    if (xml_each(doc, "/domain/devices/interface", template_set_mac, &walk) < 0)
        return -1;
    if (walk.next >= json_array_size(macs))
        return 0;
    snprintf(where, sizeof(where), "/params/macs/%zu", walk.next);
    return error_set_at(err, ERROR_INVALID, where, "the domain has only %zu interfaces", walk.next);
}

int guest_template_renew(xmlDocPtr doc, const char *uuid, const json_t *macs, struct error *err)
{
    xmlNodePtr told = xml_find(doc, "/domain/sysinfo/system/entry[@name = 'uuid']");
    xmlNodePtr generation = xml_find(doc, "/domain/genid");
    xmlNodePtr nvram = xml_find(doc, "/domain/os/nvram");

    if (told && xml_set_text(told, uuid, err) < 0)
        return -1;
    /* libvirt makes new ones where these are empty. */
    if ((generation && xml_set_text(generation, "", err) < 0) || (nvram && xml_set_text(nvram, "", err) < 0))
        return -1;
    if (nvram)
        xmlUnsetProp(nvram, BAD_CAST "type");
    return template_set_macs(doc, macs, err);
}
