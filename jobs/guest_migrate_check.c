/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What can be known of a migration before it starts. All checks are made, whatever the first ones say; what cannot be looked
 * at is unknown and hinders nothing, for libvirt will look again. */

#include "guest_migrate_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "host.h"
#include "xml.h"

static const char *const verdict_names[] = {
    [MIGRATION_OK] = "ok",
    [MIGRATION_UNKNOWN] = "unknown",
    [MIGRATION_FAILED] = "failed",
};

void migration_check_note(struct migration *m, const char *check, enum migration_verdict verdict,
                          enum error_code code, const char *where, const char *fmt, ...)
{
    struct error told = ERROR_INIT; /* one line of UTF-8, as any message */
    char message[sizeof(told.message)];
    json_t *entry;
    va_list args;

    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    error_set(&told, code, "%s", message);
    entry = json_pack("{s:s, s:s, s:s}", "check", check, "verdict", verdict_names[verdict], "message",
                      told.message);
    if (entry && verdict == MIGRATION_FAILED && where) {
        error_locate(&told, where);
        json_object_set_new(entry, "where", json_string(where));
    }
    json_array_append_new(m->checks, entry); /* without memory it is not told */
    if (verdict == MIGRATION_FAILED && m->refusal.code == ERROR_NONE)
        m->refusal = told;
}

static void note_ok(struct migration *m, const char *check, const char *message)
{
    migration_check_note(m, check, MIGRATION_OK, ERROR_NONE, NULL, "%s", message);
}

static void note_unknown(struct migration *m, const char *check, const char *message)
{
    migration_check_note(m, check, MIGRATION_UNKNOWN, ERROR_NONE, NULL, "%s", message);
}

/* After a call of libvirt's that has failed. */
static void note_unasked(struct migration *m, const char *check)
{
    struct error err = ERROR_INIT;

    error_set_libvirt(&err, "it cannot be asked for");
    note_unknown(m, check, err.message);
}

/* The guest. */

static void check_guest(struct migration *m)
{
    bool on = m->sides.here.sight > SIGHT_OFF, offline = m->plan.offline;

    if (m->sides.at_work || m->sides.here.sight == SIGHT_BETWEEN)
        migration_check_note(m, "guest", MIGRATION_FAILED, ERROR_BUSY, "/params/guest",
                             "guest '%s' is being migrated already", m->name);
    else if (on && offline)
        migration_check_note(m, "guest", MIGRATION_FAILED, ERROR_CONFLICT, "/params/guest",
                             "guest '%s' is on, and `offline` is for one that is off", m->name);
    else if (!on && !offline)
        migration_check_note(m, "guest", MIGRATION_FAILED, ERROR_CONFLICT, "/params/guest",
                             "guest '%s' is off: only `offline` moves it", m->name);
    else
        note_ok(m, "guest", on ? "it is on" : "it is off");
}

/* Its name and UUID there. */

static void check_own_definition(struct migration *m, virDomainPtr dom)
{
    const char *name = virDomainGetName(dom);

    if (guest_is_active(dom, NULL) != 0)
        migration_check_note(m, "name", MIGRATION_FAILED, ERROR_CONFLICT, "/params/destination",
                             "guest '%s' is on there already", name);
    else if (strcmp(name, m->name_there) != 0)
        migration_check_note(m, "name", MIGRATION_FAILED, ERROR_CONFLICT, "/params/name",
                             "it is defined there already, as '%s'", name);
    else if (!m->plan.persistent)
        migration_check_note(m, "name", MIGRATION_FAILED, ERROR_CONFLICT, "/params/persistent",
                             "it is defined there already, and is not to be defined there");
    else
        note_ok(m, "name", "an older definition of it is there, and will be replaced");
}

static void check_name_free(struct migration *m, virConnectPtr there)
{
    AUTO(domain) virDomainPtr dom = virDomainLookupByName(there, m->name_there);

    if (dom)
        migration_check_note(m, "name", MIGRATION_FAILED, ERROR_CONFLICT, "/params/name",
                             "another guest there is called '%s'", m->name_there);
    else if (guest_is_gone())
        note_ok(m, "name", "its name and UUID are free");
    else
        note_unasked(m, "name");
}

static void check_name(struct migration *m, virConnectPtr there)
{
    AUTO(domain) virDomainPtr dom = virDomainLookupByUUIDString(there, m->uuid);

    if (dom)
        check_own_definition(m, dom);
    else if (guest_is_gone())
        check_name_free(m, there);
    else
        note_unasked(m, "name");
}

/* Its CPU. */

#define FAIL_WITH_WORDS VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE

/* The element as a document of its own. */
static char *element_text(xmlNodePtr element)
{
    AUTO(xml_doc) xmlDocPtr doc = xml_new("cpu", NULL);
    xmlNodePtr copy = doc ? xmlDocCopyNode(element, doc, 1) : NULL;

    if (!copy)
        return NULL;
    xmlFreeNode(xmlDocSetRootElement(doc, copy));
    return xml_text(doc, NULL);
}

/* Of the guest's own model: as the hypervisor there has it, in emulation or not. */
static int compare_model(struct migration *m, xmlNodePtr cpu, virConnectPtr there)
{
    AUTO(string) char *arch = xml_get(m->doc, "/domain/os/type/@arch");
    AUTO(string) char *machine = xml_get(m->doc, "/domain/os/type/@machine");
    AUTO(string) char *type = xml_get(m->doc, "/domain/@type");
    AUTO(string) char *text = element_text(cpu);

    return text ? virConnectCompareHypervisorCPU(there, NULL, arch, machine, type, text, FAIL_WITH_WORDS)
                : VIR_CPU_COMPARE_ERROR;
}

/* Of one that has all that its host has: the hosts are compared. */
static int compare_hosts(struct migration *m, virConnectPtr there)
{
    AUTO(string) char *capabilities = virConnectGetCapabilities(m->job->conn);
    AUTO(xml_doc) xmlDocPtr doc = capabilities ? xml_parse(capabilities, "capabilities", NULL, NULL) : NULL;
    xmlNodePtr cpu = doc ? xml_find(doc, "/capabilities/host/cpu") : NULL;
    AUTO(string) char *text = cpu ? element_text(cpu) : NULL;

    return text ? virConnectCompareCPU(there, text, FAIL_WITH_WORDS) : VIR_CPU_COMPARE_ERROR;
}

/* After a comparison that has failed: of the CPUs, or for want of something to compare. */
static void note_cpu(struct migration *m)
{
    struct error err = ERROR_INIT;

    error_set_libvirt(&err, "host '%s' lacks something of it", m->destination);
    if (err.libvirt_code == VIR_ERR_CPU_INCOMPATIBLE)
        migration_check_note(m, "cpu", MIGRATION_FAILED, ERROR_UNSUPPORTED, "/params/destination", "%s",
                             err.message);
    else
        note_unknown(m, "cpu", err.libvirt_code ? err.libvirt_message : "it is not described");
}

static void check_cpu(struct migration *m, virConnectPtr there)
{
    xmlNodePtr cpu = xml_find(m->doc, "/domain/cpu");
    AUTO(string) char *mode = xml_get(m->doc, "/domain/cpu/@mode");
    bool whole = mode && (strcmp(mode, "host-passthrough") == 0 || strcmp(mode, "maximum") == 0);

    virResetLastError();
    if (!cpu)
        note_ok(m, "cpu", "it asks for none in particular");
    else if ((whole ? compare_hosts(m, there) : compare_model(m, cpu, there)) > VIR_CPU_COMPARE_INCOMPATIBLE)
        note_ok(m, "cpu", "the destination has it");
    else
        note_cpu(m);
}

/* Memory. */

static void check_memory(struct migration *m, virConnectPtr there)
{
    unsigned long long available;
    virDomainInfo info;

    if (virDomainGetInfo(m->dom, &info) < 0 || host_memory_available(there, &available) < 0)
        note_unasked(m, "memory");
    else if (available < info.memory)
        migration_check_note(m, "memory", MIGRATION_FAILED, ERROR_NO_SPACE, "/params/destination",
                             "host '%s' has %llu MiB of memory free, and the guest needs %lu", m->destination,
                             available >> 10, info.memory >> 10);
    else
        note_ok(m, "memory", "the destination has enough");
}

/* All of them. */

/* With which it will run there, or be defined. */
static xmlDocPtr parse_changed(const struct migration *m)
{
    const char *text = job_string(m->job->params, m->plan.offline ? "persistent_xml" : "xml", NULL);

    return text ? xml_parse(text, "domain", NULL, NULL) : NULL;
}

static int check_there(struct migration *m, virConnectPtr there, struct error *err)
{
    AUTO(xml_doc) xmlDocPtr changed = parse_changed(m);

    check_name(m, there);
    if (!m->plan.offline) {
        check_cpu(m, there);
        check_memory(m, there);
    }
    migration_check_disks(m, changed ? changed : m->doc, there);
    return migration_storage_check(m, there, err);
}

static int check_destination(struct migration *m, struct error *err)
{
    struct error away = ERROR_INIT;
    virConnectPtr there = NULL;
    int rc;

    if (job_peer_begin(m->job, m->destination, &there, &away) < 0) {
        migration_check_note(m, "destination", MIGRATION_FAILED, away.code, "/params/destination", "%s",
                             away.message);
        return 0;
    }
    note_ok(m, "destination", "it is reached");
    rc = check_there(m, there, err);
    job_peer_end(m->job, m->destination, there);
    return rc;
}

int migration_check(struct migration *m, struct error *err)
{
    if (job_step(m->job, "check", err) < 0)
        return -1;
    check_guest(m);
    return check_destination(m, err);
}

int migration_check_refuse(const struct migration *m, struct error *err)
{
    char others[128] = "";
    size_t i, failed = 0;
    json_t *check;

    if (m->refusal.code == ERROR_NONE)
        return 0;
    json_array_foreach (m->checks, i, check) {
        size_t length = strlen(others);

        if (strcmp(job_string(check, "verdict", ""), "failed") == 0 && failed++ > 0)
            snprintf(others + length, sizeof(others) - length, "%s%s", length ? ", " : "",
                     job_string(check, "check", ""));
    }
    *err = m->refusal;
    if (*others)
        error_set(err, m->refusal.code, "%s; also failed: %s", m->refusal.message, others);
    return m->refusal.has_where ? error_locate(err, m->refusal.where) : -1;
}
