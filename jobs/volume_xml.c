/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Volumes to and from libvirt's XML, and to JSON. */

#include "volume_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "xml.h"

static int spec_add_bytes(xmlNodePtr root, const char *name, uint64_t bytes, struct error *err)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, bytes);
    xmlNodePtr node = xml_add(root, name, text, err);
    return node ? xml_set_attribute(node, "unit", "bytes", err) : -1;
}

static int spec_add_format(xmlNodePtr parent, const char *format, struct error *err)
{
    xmlNodePtr node = xml_add(parent, "format", NULL, err);

    return node ? xml_set_attribute(node, "type", format, err) : -1;
}

/* Without a word libvirt makes qcow2 of the version that every QEMU since 2008 can read and that has no zero clusters. */
static int spec_add_target(xmlNodePtr root, const struct volume_spec *spec, struct error *err)
{
    if (!spec->format)
        return 0;
    xmlNodePtr target = xml_add(root, "target", NULL, err);
    if (!target || spec_add_format(target, spec->format, err) < 0)
        return -1;
    if (strcmp(spec->format, "qcow2") == 0 && !xml_add(target, "compat", "1.1", err))
        return -1;
    return 0;
}

static int spec_add_backing(xmlNodePtr root, const struct volume_spec *spec, struct error *err)
{
    if (!spec->backing_path)
        return 0;
    xmlNodePtr backing = xml_add(root, "backingStore", NULL, err);
    if (!backing || !xml_add(backing, "path", spec->backing_path, err))
        return -1;
    return spec_add_format(backing, spec->backing_format, err);
}

char *volume_spec_xml(const struct volume_spec *spec, struct error *err)
{
    AUTO(xml_doc) xmlDocPtr doc = xml_new("volume", err);

    if (!doc)
        return NULL;
    xmlNodePtr root = xmlDocGetRootElement(doc);
    if (!xml_add(root, "name", spec->name, err) ||
        spec_add_bytes(root, "capacity", spec->capacity, err) < 0 ||
        spec_add_bytes(root, "allocation", spec->allocation, err) < 0 ||
        spec_add_target(root, spec, err) < 0 || spec_add_backing(root, spec, err) < 0)
        return NULL;
    return xml_text(doc, err);
}

int volume_pool_has_files(virStoragePoolPtr pool, bool *ret_files, struct error *err)
{
    static const char *const of_files[] = { "dir", "fs", "netfs", "vstorage" };
    AUTO(string) char *text = virStoragePoolGetXMLDesc(pool, 0);

    *ret_files = false;
    if (!text)
        return error_set_libvirt(err, "looking at pool '%s'", virStoragePoolGetName(pool));
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(text, "pool", NULL, err);
    if (!doc)
        return -1;
    AUTO(string) char *type = xml_get(doc, "/pool/@type");
    for (size_t i = 0; type && i < sizeof(of_files) / sizeof(*of_files); i++)
        *ret_files |= strcmp(type, of_files[i]) == 0;
    return 0;
}

static uint64_t info_number(xmlDocPtr doc, const char *xpath)
{
    unsigned long long number = 0;

    return xml_get_number(doc, xpath, &number) == 0 ? number : 0;
}

static int info_mode(xmlDocPtr doc)
{
    AUTO(string) char *text = xml_get(doc, "/volume/target/permissions/mode");

    return text ? (int)strtol(text, NULL, 8) & 07777 : -1;
}

static int info_parse(xmlDocPtr doc, struct volume_info *info, struct error *err)
{
    info->name = xml_get(doc, "/volume/name");
    info->path = xml_get(doc, "/volume/target/path");
    info->type = xml_get(doc, "/volume/@type");
    info->format = xml_get(doc, "/volume/target/format/@type");
    if (!info->format)
        info->format = strdup("raw");
    info->capacity = info_number(doc, "/volume/capacity");
    info->allocation = info_number(doc, "/volume/allocation");
    info->physical = info_number(doc, "/volume/physical");
    info->backing_path = xml_get(doc, "/volume/backingStore/path");
    info->backing_format = xml_get(doc, "/volume/backingStore/format/@type");
    info->mode = info_mode(doc);
    return info->name && info->path && info->format ? 0 : error_set_memory(err);
}

int volume_info_read(virStorageVolPtr vol, struct volume_info *info, struct error *err)
{
    AUTO(string) char *text = virStorageVolGetXMLDesc(vol, 0);
    struct error fault = ERROR_INIT;

    *info = (struct volume_info){ .mode = -1 };
    if (!text)
        return volume_error(err, "looking at volume '%s'", virStorageVolGetName(vol));
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(text, "volume", NULL, &fault);
    if (!doc)
        return error_set(err, ERROR_LIBVIRT, "looking at volume '%s': %.400s", virStorageVolGetName(vol),
                         fault.message);
    return info_parse(doc, info, err);
}

void volume_info_done(struct volume_info *info)
{
    free(info->name);
    free(info->path);
    free(info->type);
    free(info->format);
    free(info->backing_path);
    free(info->backing_format);
    *info = (struct volume_info){ .mode = -1 };
}

static json_t *info_backing_json(const struct volume_info *info)
{
    if (!info->backing_path)
        return NULL;
    return json_pack("{s:s, s:s*}", "path", info->backing_path, "format", info->backing_format);
}

json_t *volume_info_json(const char *pool, const struct volume_info *info, struct error *err)
{
    json_t *json = json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:I, s:I, s:o*}", "pool", pool, "volume",
                             info->name, "path", info->path, "type", info->type, "format", info->format,
                             "capacity", (json_int_t)info->capacity, "allocation",
                             (json_int_t)info->allocation, "backing", info_backing_json(info));

    if (json && info->physical > 0)
        json_object_set_new(json, "physical", json_integer((json_int_t)info->physical));
    if (!json)
        error_set(err, ERROR_INTERNAL, "volume '%s' cannot be put into JSON", info->name);
    return json;
}
