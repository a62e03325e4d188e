/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.provision: clone volumes, define a guest on them, start it. Each step has its undo, so that a failure leaves
 * nothing behind; and all that can be known to fail is looked at before anything is copied. A job that comes again
 * goes on where an earlier attempt has ended. */

#include "guest_internal.h"

#include <stdio.h>
#include <string.h>

#include "volume.h"
#include "xml.h"

static void provision_done(struct provision *provision)
{
    guest_definition_done(&provision->definition);
    if (provision->dom)
        virDomainFree(provision->dom);
}

static void cleanup_provision(struct provision *provision)
{
    provision_done(provision);
}

void guest_disk_where(char ret_where[GUEST_WHERE_SIZE], size_t i, const char *member)
{
    snprintf(ret_where, GUEST_WHERE_SIZE, "/params/disks/%zu%s", i, member);
}

static int provision_check_source(struct job *job, const json_t *disk, size_t i, struct error *err)
{
    AUTO(volume) virStorageVolPtr source = NULL;
    char where[GUEST_WHERE_SIZE];

    guest_disk_where(where, i, "/source");
    return volume_find(job, json_object_get(disk, "source"), where, NULL, &source, err);
}

static int provision_check_target(struct job *job, const json_t *disk, size_t i, struct error *err)
{
    char where[GUEST_WHERE_SIZE];

    guest_disk_where(where, i, "/target");
    return volume_check_free(job, json_object_get(disk, "target"), where, err);
}

/* That no disk before it has the same device or target. */
static int provision_check_unique(const json_t *disks, size_t i, struct error *err)
{
    const json_t *disk = json_array_get(disks, i);
    char where[GUEST_WHERE_SIZE];
    size_t j;

    for (j = 0; j < i; j++) {
        const json_t *other = json_array_get(disks, j);

        guest_disk_where(where, i, "/device");
        if (strcmp(job_string(disk, "device", ""), job_string(other, "device", "")) == 0)
            return error_set_at(err, ERROR_INVALID, where, "the device is named twice");
        guest_disk_where(where, i, "/target");
        if (json_equal(json_object_get(disk, "target"), json_object_get(other, "target")))
            return error_set_at(err, ERROR_INVALID, where, "the target is named twice");
    }
    return 0;
}

/* What is made already needs no source and no free name any more. */
static int provision_check_disk(struct provision *provision, size_t i, struct error *err)
{
    const json_t *disk = json_array_get(provision->disks, i);
    const char *device = job_string(disk, "device", "");
    char where[GUEST_WHERE_SIZE];

    guest_disk_where(where, i, "/device");
    if (!guest_template_disk(provision->definition.doc, device))
        return error_set_at(err, ERROR_INVALID, where, "the domain has no disk '%s'", device);
    if (provision_check_unique(provision->disks, i, err) < 0)
        return -1;
    if (provision->begun[i] || provision->made[i] || provision->over)
        return 0;
    if (provision_check_source(provision->job, disk, i, err) < 0)
        return -1;
    return provision_check_target(provision->job, disk, i, err);
}

/* A job that was published twice does not know that it comes again: what it would take for another's may be its own. */
static int provision_compare(struct provision *provision, struct error *err)
{
    AUTO(domain) virDomainPtr none = NULL;
    struct error failure = ERROR_INIT;

    if (provision->dom ||
        guest_definition_compare(provision->job, &provision->definition, false, &none, err) == 0)
        return 0;
    if (provision->job->again || err->code != ERROR_CONFLICT)
        return -1;
    if (guest_provision_take_over(provision, &failure) < 0)
        *err = failure;
    else if (provision->dom)
        *err = ERROR_INIT;
    job_step_named(provision->job, "check");
    return err->code == ERROR_NONE ? 0 : -1;
}

static int provision_check(struct provision *provision, struct error *err)
{
    struct guest_definition *definition = &provision->definition;

    if (provision_compare(provision, err) < 0)
        return -1;
    if (guest_template_renew(definition->doc, definition->uuid,
                             json_object_get(provision->job->params, "macs"), err) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(provision->disks); i++)
        if (provision_check_disk(provision, i, err) < 0)
            return -1;
    return 0;
}

/* As volume_clone_run does, of a clone whose record is no more: only the volume itself tells how it was made. */
static int provision_describe(struct provision *provision, const json_t *target, const char *where,
                              json_t **ret_result, struct error *err)
{
    AUTO(volume_info) struct volume_info info = { 0 };
    AUTO(volume) virStorageVolPtr vol = NULL;
    json_t *volume;

    if (volume_find(provision->job, target, where, NULL, &vol, err) < 0 ||
        volume_info_read(vol, &info, err) < 0 ||
        !(volume = volume_info_json(job_string(target, "pool", ""), &info, err)))
        return -1;
    *ret_result = json_pack("{s:o, s:s}", "volume", volume, "method", info.backing_path ? "linked" : "full");
    return *ret_result ? 0 : error_set_memory(err);
}

static int provision_point(struct provision *provision, const json_t *disk, const char *where,
                           const json_t *result, struct error *err)
{
    const char *device = job_string(disk, "device", "");
    const char *format = job_string(json_object_get(result, "volume"), "format", "raw");
    AUTO(volume) virStorageVolPtr clone = NULL;

    if (volume_find(provision->job, json_object_get(disk, "target"), where, NULL, &clone, err) < 0)
        return -1;
    return guest_template_point(guest_template_disk(provision->definition.doc, device), clone, format, err);
}

/* Clones one volume and points its disk at the clone; adds to `volumes` what volume.clone says of it. */
static int provision_clone(struct provision *provision, size_t i, json_t *volumes, struct error *err)
{
    const json_t *disk = json_array_get(provision->disks, i);
    AUTO(json) json_t *result = NULL;
    char where[GUEST_WHERE_SIZE], target[GUEST_WHERE_SIZE];
    int rc;

    guest_disk_where(where, i, "");
    guest_disk_where(target, i, "/target");
    rc = provision->made[i] || provision->over
             ? provision_describe(provision, json_object_get(disk, "target"), target, &result, err)
             : volume_clone_run(provision->job, disk, where, &result, err);
    if (rc < 0 || (!provision->dom && provision_point(provision, disk, target, result, err) < 0))
        return -1;
    if (json_object_set(result, "device", json_object_get(disk, "device")) < 0 ||
        json_array_append(volumes, result) < 0)
        return error_set_memory(err);
    return 0;
}

static int provision_clone_all(struct provision *provision, json_t *volumes, struct error *err)
{
    for (size_t i = 0; i < json_array_size(provision->disks); i++)
        if (provision_clone(provision, i, volumes, err) < 0)
            return -1;
    return 0;
}

static int provision_define(struct provision *provision, struct error *err)
{
    struct progress *progress = job_progress(provision->job);

    if (provision->dom)
        return 0;
    if (job_step(provision->job, "define", err) < 0)
        return -1;
    progress_phase(progress, "define", "steps");
    progress_update(progress, 0, 1);
    if (guest_definition_create(provision->job, &provision->definition, &provision->dom, err) < 0)
        return -1;
    progress_finish(progress);
    return 0;
}

/* The undo goes first where the connection breaks in the start: the guest is ours alone, so it may be destroyed. */
static int provision_power_on(struct provision *provision, struct error *err)
{
    struct job *job = provision->job;
    unsigned int flags = job_flag(job->params, "paused", false) ? VIR_DOMAIN_START_PAUSED : 0;
    int started = guest_power_on(provision->dom, flags, err);

    if (started < 0 && err->code != ERROR_CONNECTION_LOST)
        return -1;
    if (job_undo(job, "destroy", guest_undo_start, guest_identity(provision->dom), started < 0 ? NULL : err) <
        0)
        return -1;
    return started < 0 ? -1 : 0;
}

static int provision_start(struct provision *provision, struct error *err)
{
    struct progress *progress = job_progress(provision->job);

    if (!job_flag(provision->job->params, "start", true) || provision->running || provision->over)
        return 0;
    if (job_step(provision->job, "start", err) < 0)
        return -1;
    progress_phase(progress, "start", "steps");
    progress_update(progress, 0, 1);
    if (provision_power_on(provision, err) < 0)
        return -1;
    progress_finish(progress);
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

/* Where the outcome is known, it is too late to stop. */
static int provision_begin(struct provision *provision, struct error *err)
{
    struct job *job = provision->job;

    job_step_named(job, "check");
    if (guest_definition_init(job, true, &provision->definition, err) < 0 ||
        (job->again && guest_provision_take_over(provision, err) < 0))
        return -1;
    return provision->over ? 0 : job_step(job, "check", err);
}

int guest_provision(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(provision) struct provision provision = { .job = job,
                                                   .disks = json_object_get(job->params, "disks") };
    AUTO(json) json_t *volumes = json_array();

    if (!volumes)
        return error_set_memory(err);
    if (provision_begin(&provision, err) < 0 || provision_check(&provision, err) < 0 ||
        provision_clone_all(&provision, volumes, err) < 0 || provision_define(&provision, err) < 0 ||
        provision_start(&provision, err) < 0)
        return -1;
    return provision_result(provision.dom, volumes, ret_result, err);
}

/* The guest first: who finds it done does not look for the records of its volumes. */
int guest_provision_sweep(struct job *job, struct error *err)
{
    const json_t *disk, *disks = json_object_get(job->params, "disks");
    int rc = guest_sweep(job, true, err);
    size_t i;

    json_array_foreach (disks, i, disk)
        if (volume_stamp_clear(job, json_object_get(disk, "target"), rc < 0 ? NULL : err) < 0)
            rc = -1;
    return rc;
}
