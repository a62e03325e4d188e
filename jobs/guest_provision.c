/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.provision: clone volumes, define a guest on them, start it. Each step has its undo, so that a failure leaves
 * nothing behind; and all that can be known to fail is looked at before anything is copied. */

#include "guest_internal.h"

#include <stdio.h>
#include <string.h>

#include "volume.h"
#include "xml.h"

/* "/params/disks/<i><member>" */
#define WHERE_SIZE 64

static void disk_where(char *ret_where, size_t i, const char *member)
{
    snprintf(ret_where, WHERE_SIZE, "/params/disks/%zu%s", i, member);
}

static int provision_check_source(struct job *job, const json_t *disk, size_t i, struct error *err)
{
    AUTO(volume) virStorageVolPtr source = NULL;
    char where[WHERE_SIZE];

    disk_where(where, i, "/source");
    return volume_find(job, json_object_get(disk, "source"), where, NULL, &source, err);
}

static int provision_check_target(struct job *job, const json_t *disk, size_t i, struct error *err)
{
    char where[WHERE_SIZE];

    disk_where(where, i, "/target");
    return volume_check_free(job, json_object_get(disk, "target"), where, err);
}

/* That no disk before it has the same device or target. */
static int provision_check_unique(const json_t *disks, size_t i, struct error *err)
{
    const json_t *disk = json_array_get(disks, i);
    char where[WHERE_SIZE];
    size_t j;

    for (j = 0; j < i; j++) {
        const json_t *other = json_array_get(disks, j);

        disk_where(where, i, "/device");
        if (strcmp(job_string(disk, "device", ""), job_string(other, "device", "")) == 0)
            return error_set_at(err, ERROR_INVALID, where, "the device is named twice");
        disk_where(where, i, "/target");
        if (json_equal(json_object_get(disk, "target"), json_object_get(other, "target")))
            return error_set_at(err, ERROR_INVALID, where, "the target is named twice");
    }
    return 0;
}

static int provision_check_disk(struct job *job, xmlDocPtr doc, const json_t *disks, size_t i,
                                struct error *err)
{
    const json_t *disk = json_array_get(disks, i);
    const char *device = job_string(disk, "device", "");
    char where[WHERE_SIZE];

    disk_where(where, i, "/device");
    if (!guest_template_disk(doc, device))
        return error_set_at(err, ERROR_INVALID, where, "the domain has no disk '%s'", device);
    if (provision_check_unique(disks, i, err) < 0 || provision_check_source(job, disk, i, err) < 0)
        return -1;
    return provision_check_target(job, disk, i, err);
}

static int provision_check(struct job *job, struct guest_definition *definition, struct error *err)
{
    const json_t *disks = json_object_get(job->params, "disks");
    AUTO(domain) virDomainPtr none = NULL;
    size_t i;

    if (guest_definition_init(job, true, definition, err) < 0 ||
        guest_definition_compare(job, definition, false, &none, err) < 0 ||
        guest_template_renew(definition->doc, definition->uuid, json_object_get(job->params, "macs"), err) <
            0)
        return -1;
    for (i = 0; i < json_array_size(disks); i++)
        if (provision_check_disk(job, definition->doc, disks, i, err) < 0)
            return -1;
    return 0;
}

/* Clones one volume and points its disk at the clone; adds to `volumes` what volume.clone says of it. */
static int provision_clone(struct job *job, xmlDocPtr doc, size_t i, json_t *volumes, struct error *err)
{
    const json_t *disk = json_array_get(json_object_get(job->params, "disks"), i);
    const char *device = job_string(disk, "device", ""), *format;
    AUTO(volume) virStorageVolPtr clone = NULL;
    AUTO(json) json_t *result = NULL;
    char where[WHERE_SIZE];

    disk_where(where, i, "");
    if (volume_clone_run(job, disk, where, &result, err) < 0)
        return -1;
    disk_where(where, i, "/target");
    if (volume_find(job, json_object_get(disk, "target"), where, NULL, &clone, err) < 0)
        return -1;
    format = job_string(json_object_get(result, "volume"), "format", "raw");
    if (guest_template_point(guest_template_disk(doc, device), clone, format, err) < 0)
        return -1;
    if (json_object_set_new(result, "device", json_string(device)) < 0 ||
        json_array_append(volumes, result) < 0)
        return error_set_memory(err);
    return 0;
}

static int provision_clone_all(struct job *job, xmlDocPtr doc, json_t *volumes, struct error *err)
{
    size_t i, count = json_array_size(json_object_get(job->params, "disks"));

    for (i = 0; i < count; i++)
        if (provision_clone(job, doc, i, volumes, err) < 0)
            return -1;
    return 0;
}

/* The undo goes first where the connection breaks in the start: the guest is ours alone, so it may be destroyed. */
static int provision_start(struct job *job, virDomainPtr dom, struct error *err)
{
    unsigned int flags = job_flag(job->params, "paused", false) ? VIR_DOMAIN_START_PAUSED : 0;
    int started;

    if (!job_flag(job->params, "start", true))
        return 0;
    if (job_step(job, "start", err) < 0)
        return -1;
    progress_phase(job_progress(job), "start", "steps");
    progress_update(job_progress(job), 0, 1);
    started = guest_power_on(dom, flags, err);
    if (started < 0 && err->code != ERROR_CONNECTION_LOST)
        return -1;
    if (job_undo(job, "destroy", guest_undo_start, guest_identity(dom), started < 0 ? NULL : err) < 0 ||
        started < 0)
        return -1;
    progress_finish(job_progress(job));
    return 0;
}

static int provision_add_mac(xmlNodePtr node, void *opaque)
{
    AUTO(xml_string) xmlChar *address = xmlGetNoNsProp(node, BAD_CAST "address");

    return address ? json_array_append_new(opaque, json_string((const char *)address)) : 0;
}

/* As libvirt has made them up where none were given. */
static int provision_read_macs(virDomainPtr dom, json_t **ret_macs, struct error *err)
{
    AUTO(string) char *text = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE);
    AUTO(json) json_t *macs = json_array();
    AUTO(xml_doc) xmlDocPtr doc = NULL;

    if (!text)
        return error_set_libvirt(err, "reading the definition of guest '%s'", virDomainGetName(dom));
    if (!(doc = xml_parse(text, "domain", NULL, err)))
        return -1;
    if (!macs || xml_each(doc, "/domain/devices/interface/mac", provision_add_mac, macs) < 0)
        return error_set_memory(err);
    *ret_macs = STEAL(&macs);
    return 0;
}

static int provision_result(virDomainPtr dom, json_t *volumes, json_t **ret_result, struct error *err)
{
    AUTO(json) json_t *guest = NULL;
    AUTO(json) json_t *macs = NULL;

    if (guest_describe(dom, &guest, err) < 0 || provision_read_macs(dom, &macs, err) < 0)
        return -1;
    *ret_result = json_pack("{s:O, s:O, s:O}", "guest", guest, "volumes", volumes, "macs", macs);
    return *ret_result ? 0 : error_set_memory(err);
}

static int provision_define(struct job *job, struct guest_definition *definition, virDomainPtr *ret_dom,
                            struct error *err)
{
    if (job_step(job, "define", err) < 0)
        return -1;
    progress_phase(job_progress(job), "define", "steps");
    progress_update(job_progress(job), 0, 1);
    if (guest_definition_create(job, definition, ret_dom, err) < 0)
        return -1;
    progress_finish(job_progress(job));
    return 0;
}

int guest_provision(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(guest_definition) struct guest_definition definition = { 0 };
    AUTO(json) json_t *volumes = json_array();
    AUTO(domain) virDomainPtr dom = NULL;

    if (!volumes)
        return error_set_memory(err);
    if (job_step(job, "check", err) < 0 || provision_check(job, &definition, err) < 0 ||
        provision_clone_all(job, definition.doc, volumes, err) < 0 ||
        provision_define(job, &definition, &dom, err) < 0 || provision_start(job, dom, err) < 0)
        return -1;
    return provision_result(dom, volumes, ret_result, err);
}
