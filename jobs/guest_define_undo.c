/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* How a guest that a job has defined is undefined again, where the job fails. */

#include "guest_internal.h"

#include "xml.h"

/* What the guest has beside its definition: NVRAM and the state of a TPM, which come into being at a start.
 * guest.define starts nothing, so what lies there is from before, and stays. guest.provision does, and drops the path
 * that the template had, so what lies at libvirt's own path goes. Nothing tells whether it lay there before: an
 * earlier guest of that name may have been undefined without it. */
static unsigned int undo_flags(virDomainPtr dom, xmlDocPtr doc, bool started)
{
    unsigned int flags = guest_undefine_flags(dom, doc, !started);

    if (!started && (flags & VIR_DOMAIN_UNDEFINE_TPM))
        flags ^= VIR_DOMAIN_UNDEFINE_TPM | VIR_DOMAIN_UNDEFINE_KEEP_TPM;
    return flags;
}

static int undo_undefine(virDomainPtr dom, bool started, struct error *err)
{
    AUTO(string) char *text = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE);
    AUTO(xml_doc) xmlDocPtr doc = NULL;

    if (!text && guest_is_gone())
        return 0;
    if (!text)
        return error_set_libvirt(err, "reading the definition of guest '%s'", virDomainGetName(dom));
    if (!(doc = xml_parse(text, "domain", NULL, err)))
        return -1;
    if (virDomainUndefineFlags(dom, undo_flags(dom, doc, started)) < 0 && !guest_is_gone())
        return error_set_libvirt(err, "undefining guest '%s'", virDomainGetName(dom));
    return 0;
}

/* A guest of this UUID that is not the job's came when its own was not there, or had gone. A start that was under way
 * when its worker ended may have come to pass since the guest was found off: it is transient then. */
static int undo_define(struct job *job, const json_t *identity, bool started, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    int own;

    if (guest_from_identity(job->conn, identity, &dom, err) < 0)
        return -1;
    own = dom ? guest_is_own(job, dom, err) : 0;
    if (own <= 0)
        return own;
    if (undo_undefine(dom, started, err) < 0 || (started && guest_power_off(dom, 0, err) < 0))
        return -1;
    return 0;
}

static int undo_define_only(struct job *job, const json_t *identity, struct error *err)
{
    return undo_define(job, identity, false, err);
}

static int undo_define_started(struct job *job, const json_t *identity, struct error *err)
{
    return undo_define(job, identity, true, err);
}

int guest_definition_undo(struct job *job, const struct guest_definition *definition, json_t *identity,
                          struct error *err)
{
    bool starts = definition->template && job_flag(job->params, "start", true);

    return job_undo(job, "undefine", starts ? undo_define_started : undo_define_only, identity, err);
}
