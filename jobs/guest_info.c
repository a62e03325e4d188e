/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.info: all that is cheap to know of one guest. */

#include "guest_internal.h"

#include <string.h>

#include "xml.h"

/* libvirt counts memory in KiB. */
#define KIB 1024

/* Where a walk over devices puts what it makes of them. */
struct devices {
    json_t *array;
    json_t *(*describe)(xmlNodePtr node);
};

static int info_add_device(xmlNodePtr node, void *opaque)
{
    struct devices *devices = opaque;

    return json_array_append_new(devices->array, devices->describe(node));
}

static int info_add_devices(json_t *info, const char *key, xmlDocPtr doc, const char *xpath,
                            json_t *(*describe)(xmlNodePtr node), struct error *err)
{
    struct devices devices = { json_array(), describe };

    if (json_object_set_new(info, key, devices.array) < 0 ||
        xml_each(doc, xpath, info_add_device, &devices) != 0)
        return error_set_memory(err);
    return 0;
}

/* Disks and interfaces, and the whole XML where it is wished; never its secrets. */
static int info_add_xml(struct job *job, virDomainPtr dom, json_t *info, struct error *err)
{
    AUTO(string) char *text = virDomainGetXMLDesc(dom, 0);
    AUTO(xml_doc) xmlDocPtr doc = NULL;

    if (!text)
        return error_set_libvirt(err, "reading the definition of guest '%s'", virDomainGetName(dom));
    if (!(doc = xml_parse(text, "domain", NULL, err)))
        return -1;
    if (info_add_devices(info, "disks", doc, "/domain/devices/disk", guest_disk_describe, err) < 0 ||
        info_add_devices(info, "interfaces", doc, "/domain/devices/interface", guest_interface_describe,
                         err) < 0)
        return -1;
    if (job_flag(job->params, "xml", false) && json_object_set_new(info, "xml", json_string(text)) < 0)
        return error_set_memory(err);
    return 0;
}

static int info_add_numbers(virDomainPtr dom, json_t *info, struct error *err)
{
    virDomainInfo numbers;
    json_t *object;

    if (virDomainGetInfo(dom, &numbers) < 0)
        return error_set_libvirt(err, "asking for the figures of guest '%s'", virDomainGetName(dom));
    object = json_pack("{s:I, s:I, s:i, s:I}", "memory", (json_int_t)numbers.memory * KIB, "memory_max",
                       (json_int_t)numbers.maxMem * KIB, "vcpus", (int)numbers.nrVirtCpu, "cpu_time_ns",
                       (json_int_t)numbers.cpuTime);
    if (!object || json_object_update_new(info, object) < 0)
        return error_set_memory(err);
    return 0;
}

/* What a hypervisor does not have (snapshots, say) is left out rather than guessed. */
static int info_add_counts(virDomainPtr dom, json_t *info, struct error *err)
{
    int autostart = 0, saved, snapshots, failed = 0;

    if (virDomainGetAutostart(dom, &autostart) == 0)
        failed |= json_object_set_new(info, "autostart", json_boolean(autostart));
    if ((saved = virDomainHasManagedSaveImage(dom, 0)) >= 0)
        failed |= json_object_set_new(info, "managed_save", json_boolean(saved));
    if ((snapshots = virDomainSnapshotNum(dom, 0)) >= 0)
        failed |= json_object_set_new(info, "snapshots", json_integer(snapshots));
    return failed ? error_set_memory(err) : 0;
}

static int info_add_addresses(struct job *job, virDomainPtr dom, json_t *info, struct error *err)
{
    const char *source = job_string(job->params, "addresses", "none");
    json_t *addresses = NULL;

    if (strcmp(source, "none") == 0)
        return 0;
    if (guest_addresses_describe(dom, source, &addresses, err) < 0)
        return error_locate(err, "/params/addresses");
    return json_object_set_new(info, "addresses", addresses) < 0 ? error_set_memory(err) : 0;
}

int guest_info(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    AUTO(json) json_t *info = NULL;

    if (guest_lookup(job, &dom, err) < 0 || guest_describe(dom, &info, err) < 0)
        return -1;
    if (info_add_numbers(dom, info, err) < 0 || info_add_counts(dom, info, err) < 0 ||
        info_add_xml(job, dom, info, err) < 0 || info_add_addresses(job, dom, info, err) < 0)
        return -1;
    *ret_result = STEAL(&info);
    return 0;
}
