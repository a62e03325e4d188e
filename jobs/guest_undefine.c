/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.undefine: the definition and all that libvirt keeps beside it, on demand the guest's volumes, too.
 *
 * Volumes go first: they are known from the definition alone, so a job that breaks off in the middle is finished by
 * the next attempt. For the same reason a transient guest is defined before it is turned off. What has been deleted
 * cannot be undone. */

#include "guest_internal.h"

#include <string.h>

#include "kill_point.h"
#include "xml.h"

unsigned int guest_undefine_flags(virDomainPtr dom, xmlDocPtr doc, bool keep_nvram)
{
    unsigned int flags = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;

    /* Only where there is such a thing: a driver without it refuses the flag. */
    if (virDomainListAllCheckpoints(dom, NULL, 0) > 0)
        flags |= VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;
    if (xml_find(doc, "/domain/os/nvram"))
        flags |= keep_nvram ? VIR_DOMAIN_UNDEFINE_KEEP_NVRAM : VIR_DOMAIN_UNDEFINE_NVRAM;
    if (xml_find(doc, "/domain/devices/tpm/backend[@type='emulator']"))
        flags |= VIR_DOMAIN_UNDEFINE_TPM;
    return flags;
}

/* What is known of a guest that may go with its volumes. */
struct undefining {
    virDomainPtr dom;
    xmlDocPtr doc; /* of the definition; of the running guest where it has none */
    bool persistent;
    json_t *deleted;
    json_t *kept;
};

static int undefining_read(struct undefining *guest, struct error *err)
{
    int persistent = virDomainIsPersistent(guest->dom);
    AUTO(string) char *text = NULL;

    if (persistent < 0)
        return error_set_libvirt(err, "asking whether guest '%s' is persistent",
                                 virDomainGetName(guest->dom));
    guest->persistent = persistent;
    text = virDomainGetXMLDesc(guest->dom, persistent ? VIR_DOMAIN_XML_INACTIVE : 0);
    if (!text)
        return error_set_libvirt(err, "reading the definition of guest '%s'", virDomainGetName(guest->dom));
    guest->doc = xml_parse(text, "domain", NULL, err);
    return guest->doc ? 0 : -1;
}

/* Nothing that libvirt keeps beside it goes. */
static int undefine_only(virDomainPtr dom, struct error *err)
{
    AUTO(string) char *text = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE);
    AUTO(xml_doc) xmlDocPtr doc = text ? xml_parse(text, "domain", NULL, err) : NULL;

    if (!text)
        return error_set_libvirt(err, "reading guest '%s'", virDomainGetName(dom));
    if (!doc)
        return -1;
    if (virDomainUndefineFlags(dom, xml_find(doc, "/domain/os/nvram") ? VIR_DOMAIN_UNDEFINE_KEEP_NVRAM : 0) <
            0 &&
        !guest_is_gone())
        return error_set_libvirt(err, "undefining guest '%s'", virDomainGetName(dom));
    return 0;
}

/* Makes a guest that still runs transient again. One that is off stays defined, so that a repeated job finds what is
 * left of it. */
static int undefine_undo_persist(struct job *job, const json_t *identity, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    int active;

    if (guest_from_identity(job->conn, identity, &dom, err) < 0)
        return -1;
    active = dom ? guest_is_active(dom, err) : 0;
    if (active <= 0 || virDomainIsPersistent(dom) == 0)
        return active < 0 ? -1 : 0;
    return undefine_only(dom, err);
}

static int undefining_persist(struct job *job, struct undefining *guest, struct error *err)
{
    AUTO(string)
    char *text = virDomainGetXMLDesc(guest->dom, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
    AUTO(domain) virDomainPtr defined = NULL;

    if (!text)
        return error_set_libvirt(err, "reading guest '%s'", virDomainGetName(guest->dom));
    if (job_undo(job, "undefine", undefine_undo_persist, guest_identity(guest->dom), err) < 0)
        return -1;
    if (!(defined = virDomainDefineXML(job->conn, text)))
        return error_set_libvirt(err, "defining guest '%s', which is transient",
                                 virDomainGetName(guest->dom));
    kill_point("after-undefine-persist");
    guest->persistent = true;
    return 0;
}

/* 1 destroyed, 0 was off, -1. */
static int undefining_stop(struct job *job, struct undefining *guest, struct error *err)
{
    int active = guest_is_active(guest->dom, err);

    if (active <= 0)
        return active;
    if (!job_flag(job->params, "destroy", false))
        return error_set_at(err, ERROR_CONFLICT, "/params/guest",
                            "guest '%s' is active; `destroy` would turn it off first",
                            virDomainGetName(guest->dom));
    if (job_step(job, "destroy", err) < 0)
        return -1;
    if (job_flag(job->params, "volumes", false) && !guest->persistent &&
        (undefining_persist(job, guest, err) < 0 || job_safe_point(job, err) < 0))
        return -1;
    return guest_power_off(guest->dom, 0, err);
}

static int undefining_volumes(struct job *job, struct undefining *guest, struct error *err)
{
    if (!job_flag(job->params, "volumes", false))
        return 0;
    if (job_step(job, "volumes", err) < 0)
        return -1;
    return guest_volumes_delete(job, guest->dom, guest->doc, guest->deleted, guest->kept, err);
}

/* A transient guest has gone when it was turned off. */
static int undefining_undefine(struct job *job, struct undefining *guest, struct error *err)
{
    bool keep_nvram = strcmp(job_string(job->params, "nvram", "delete"), "keep") == 0;

    if (!guest->persistent)
        return 0;
    if (job_step(job, "undefine", err) < 0)
        return -1;
    kill_point("before-undefine");
    if (virDomainUndefineFlags(guest->dom, guest_undefine_flags(guest->dom, guest->doc, keep_nvram)) < 0 &&
        !guest_is_gone())
        return error_set_libvirt(err, "undefining guest '%s'", virDomainGetName(guest->dom));
    kill_point("after-undefine");
    return 0;
}

static int undefine_result(json_t *identity, bool destroyed, struct undefining *guest, json_t **ret_result,
                           struct error *err)
{
    AUTO(json) json_t *result = identity;

    if (!result || json_object_set_new(result, "destroyed", json_boolean(destroyed)) < 0 ||
        json_object_set(result, "volumes_deleted", guest->deleted) < 0 ||
        json_object_set(result, "volumes_kept", guest->kept) < 0)
        return error_set_memory(err);
    *ret_result = STEAL(&result);
    return 0;
}

static int undefine_present(struct job *job, struct undefining *guest, json_t **ret_result, struct error *err)
{
    int destroyed;

    if (undefining_read(guest, err) < 0 || (destroyed = undefining_stop(job, guest, err)) < 0 ||
        undefining_volumes(job, guest, err) < 0 || undefining_undefine(job, guest, err) < 0)
        return -1;
    return undefine_result(guest_identity(guest->dom), destroyed == 1, guest, ret_result, err);
}

int guest_undefine(struct job *job, json_t **ret_result, struct error *err)
{
    const char *asked = job_string(job->params, "guest", "");
    AUTO(domain) virDomainPtr dom = NULL;
    AUTO(json) json_t *deleted = json_array();
    AUTO(json) json_t *kept = json_array();
    struct undefining guest = { .deleted = deleted, .kept = kept };
    int rc;

    if (job_step(job, "undefine", err) < 0 || guest_find(job->conn, asked, &dom, err) < 0)
        return -1;
    if (!dom) {
        job_unchanged(job);
        return undefine_result(json_pack("{s:s}", guest_is_uuid(asked) ? "uuid" : "name", asked), false,
                               &guest, ret_result, err);
    }
    guest.dom = dom;
    rc = undefine_present(job, &guest, ret_result, err);
    if (guest.doc)
        xmlFreeDoc(guest.doc);
    return rc;
}
