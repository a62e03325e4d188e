/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What guest.migrate is asked for, as libvirt takes it: flags and typed parameters. Asks libvirt nothing. */

#include "guest_migrate_internal.h"

#include <stdio.h>
#include <string.h>

#include "xml.h"

static bool is_given(const json_t *params, const char *key)
{
    return json_object_get(params, key) != NULL;
}

static bool is_false(const json_t *params, const char *key)
{
    return json_is_false(json_object_get(params, key));
}

static bool is_true(const json_t *params, const char *key)
{
    return json_is_true(json_object_get(params, key));
}

/* What cannot be asked for together. */

enum { WITH, WITHOUT, REFUSED }; /* the other one: asked for, not asked for, given as false */

/* A row: `key` is refused where `other` is so. A parameter is asked for where it is true, or given and no flag. */
static const struct {
    const char *key;
    int when;
    const char *other;
    const char *why;
} refusals[] = {
    { "live", WITH, "offline", "a guest that is off cannot be moved live" },
    { "paused", WITH, "offline", "a guest that is off does not stand still" },
    { "copy_storage", WITH, "offline", "the disks of a guest that is off are not copied" },
    { "tunnelled", WITH, "offline", "there is nothing to tunnel of a guest that is off" },
    { "steering", WITH, "offline", "there is nothing to steer of a guest that is off" },
    { "post_copy", WITH, "offline", "there is nothing to copy of a guest that is off" },
    { "xml", WITH, "offline", "a guest that is off does not run there; persistent_xml is its definition" },
    { "offline", REFUSED, "persistent", "a guest that is off is nothing but its definition" },
    { "post_copy", REFUSED, "live", "post-copy is for a guest that is moved live" },
    { "post_copy", WITH, "paused", "post-copy is for a guest that runs on at the destination" },
    { "post_copy", WITH, "tunnelled", "post-copy cannot be tunnelled" },
    { "copy_storage", WITH, "tunnelled", "disks cannot be copied through the tunnel" },
    { "parallel", WITH, "tunnelled", "a tunnel is one connection" },
    { "tls", WITH, "tunnelled", "what is tunnelled is encrypted as the daemons' connection is" },
    { "disks", WITHOUT, "copy_storage", "disks are named, but none is to be copied" },
    { "compressed", WITH, "parallel", "the hypervisor does not compress on parallel connections" },
    { "zero_copy", WITHOUT, "parallel", "zero-copy is for parallel connections" },
    { "zero_copy", WITH, "tls", "what is encrypted has to be copied" },
    { "persistent_xml", REFUSED, "persistent", "the guest is not to be defined there" },
};

static bool plan_asks(const json_t *params, const char *key)
{
    const json_t *value = json_object_get(params, key);

    if (json_is_boolean(value))
        return json_is_true(value);
    return value && strcmp(job_string(params, key, ""), "none") != 0;
}

static bool refusal_holds(const json_t *params, size_t i)
{
    const char *other = refusals[i].other;

    if (!plan_asks(params, refusals[i].key))
        return false;
    if (refusals[i].when == REFUSED)
        return is_false(params, other);
    return plan_asks(params, other) == (refusals[i].when == WITH);
}

static int plan_refuse(const json_t *params, struct error *err)
{
    char where[64];

    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        if (!refusal_holds(params, i))
            continue;
        snprintf(where, sizeof(where), "/params/%s", refusals[i].key);
        return error_set_at(err, ERROR_INVALID, where, "%s (`%s`)", refusals[i].why, refusals[i].other);
    }
    return 0;
}

/* The index of the action, -1 where it is not one of them. */
static int plan_find_action(const json_t *params, const char *name)
{
    const json_t *actions = json_object_get(json_object_get(params, "steering"), "actions");
    size_t i;
    json_t *action;

    json_array_foreach (actions, i, action) {
        if (strcmp(json_string_value(action), name) == 0)
            return (int)i;
    }
    return -1;
}

/* An action that cannot be done is better refused than met when it is due. */
static int plan_refuse_post_copy(const json_t *params, struct error *err)
{
    int i = plan_find_action(params, "post-copy");
    char where[64];

    if (i < 0 || !(is_false(params, "live") || is_true(params, "paused") || is_true(params, "tunnelled")))
        return 0;
    snprintf(where, sizeof(where), "/params/steering/actions/%d", i);
    return error_set_at(err, ERROR_INVALID, where,
                        "post-copy is for a guest that is moved live, runs on there and is not tunnelled");
}

/* That it is well-formed; the rest libvirt says. */
static int plan_check_xml(const json_t *params, const char *key, const char *where, struct error *err)
{
    const char *text = job_string(params, key, NULL);
    AUTO(xml_doc) xmlDocPtr doc = text ? xml_parse(text, "domain", where, err) : NULL;

    return text && !doc ? -1 : 0;
}

/* The plan. */

static enum migration_copy plan_copy(const json_t *params)
{
    const char *copy = job_string(params, "copy_storage", "none");

    if (strcmp(copy, "all") == 0)
        return MIGRATION_COPY_ALL;
    return strcmp(copy, "inc") == 0 ? MIGRATION_COPY_INC : MIGRATION_COPY_NONE;
}

int migration_plan_read(const json_t *params, bool is_persistent, struct migration_plan *ret_plan,
                        struct error *err)
{
    struct migration_plan plan = { .offline = job_flag(params, "offline", false) };

    if (plan_refuse(params, err) < 0 || plan_refuse_post_copy(params, err) < 0 ||
        plan_check_xml(params, "xml", "/params/xml", err) < 0 ||
        plan_check_xml(params, "persistent_xml", "/params/persistent_xml", err) < 0)
        return -1;
    plan.live = job_flag(params, "live", !plan.offline);
    plan.persistent = job_flag(params, "persistent", is_persistent || is_given(params, "persistent_xml"));
    plan.undefine = is_persistent && job_flag(params, "undefine_source", plan.persistent);
    plan.paused = job_flag(params, "paused", false);
    plan.auto_converge = job_flag(params, "auto_converge", false);
    plan.post_copy = job_flag(params, "post_copy", false) || plan_find_action(params, "post-copy") >= 0;
    plan.copy = plan_copy(params);
    plan.disks = json_object_get(params, "disks");
    plan.bandwidth_mibs = (unsigned int)job_integer(json_object_get(params, "steering"), "bandwidth_mibs", 0);
    *ret_plan = plan;
    ret_plan->flags = migration_plan_flags(params, ret_plan);
    return 0;
}

static unsigned int plan_own_flags(const struct migration_plan *plan)
{
    static const unsigned int copies[] = { [MIGRATION_COPY_NONE] = 0,
                                           [MIGRATION_COPY_ALL] = VIR_MIGRATE_NON_SHARED_DISK,
                                           [MIGRATION_COPY_INC] = VIR_MIGRATE_NON_SHARED_INC };

    return copies[plan->copy] | (plan->live ? VIR_MIGRATE_LIVE : 0) |
           (plan->offline ? VIR_MIGRATE_OFFLINE : 0) | (plan->persistent ? VIR_MIGRATE_PERSIST_DEST : 0) |
           (plan->undefine ? VIR_MIGRATE_UNDEFINE_SOURCE : 0) | (plan->paused ? VIR_MIGRATE_PAUSED : 0) |
           (plan->auto_converge ? VIR_MIGRATE_AUTO_CONVERGE : 0) |
           (plan->post_copy ? VIR_MIGRATE_POSTCOPY : 0);
}

/* It goes on without us, so it is always peer-to-peer. */
unsigned int migration_plan_flags(const json_t *params, const struct migration_plan *plan)
{
    static const struct {
        const char *key;
        unsigned int flag;
    } rows[] = {
        { "tunnelled", VIR_MIGRATE_TUNNELLED },
        { "compressed", VIR_MIGRATE_COMPRESSED },
        { "unsafe", VIR_MIGRATE_UNSAFE },
        { "abort_on_error", VIR_MIGRATE_ABORT_ON_ERROR },
        { "tls", VIR_MIGRATE_TLS },
        { "parallel", VIR_MIGRATE_PARALLEL },
        { "zero_copy", VIR_MIGRATE_ZEROCOPY },
    };
    unsigned int flags = VIR_MIGRATE_PEER2PEER | plan_own_flags(plan);

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        if (plan_asks(params, rows[i].key))
            flags |= rows[i].flag;
    return flags;
}

/* Typed parameters. */

struct typed {
    virTypedParameterPtr params;
    int count, room;
    bool failed;
};

static void typed_add_string(struct typed *typed, const char *name, const char *value)
{
    if (value && virTypedParamsAddString(&typed->params, &typed->count, &typed->room, name, value) < 0)
        typed->failed = true;
}

static void typed_add_limit(struct typed *typed, const char *name, unsigned long long value)
{
    if (value && virTypedParamsAddULLong(&typed->params, &typed->count, &typed->room, name, value) < 0)
        typed->failed = true;
}

static void typed_add_connections(struct typed *typed, int value)
{
    if (value && virTypedParamsAddInt(&typed->params, &typed->count, &typed->room,
                                      VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS, value) < 0)
        typed->failed = true;
}

static void typed_add_disks(struct typed *typed, const json_t *disks)
{
    size_t i;
    json_t *disk;

    json_array_foreach (disks, i, disk)
        typed_add_string(typed, VIR_MIGRATE_PARAM_MIGRATE_DISKS, json_string_value(disk));
}

/* With the passwords that it leaves out. `flags`: of the guest's XML that has them. */
static int typed_add_xml(struct typed *typed, const char *name, const struct migration *m, const char *key,
                         unsigned int flags, struct error *err)
{
    const char *given = job_string(m->job->params, key, NULL);
    AUTO(string)
    char *text = given && m->dom ? virDomainGetXMLDesc(m->dom, flags | VIR_DOMAIN_XML_SECURE) : NULL;
    AUTO(xml_doc) xmlDocPtr own = text ? xml_parse(text, "domain", NULL, err) : NULL;
    AUTO(xml_doc) xmlDocPtr doc = own ? xml_parse(given, "domain", NULL, err) : NULL;
    AUTO(string) char *kept = NULL;

    if (!given || !m->dom)
        return typed_add_string(typed, name, given), 0;
    if (!text)
        return error_set_libvirt(err, "reading the XML of guest '%s'", m->name);
    if (!doc || guest_keep_secrets(doc, own, err) < 0 || !(kept = xml_text(doc, err)))
        return -1;
    typed_add_string(typed, name, kept);
    return 0;
}

static int typed_add_xmls(struct typed *typed, const struct migration *m, struct error *err)
{
    if (typed_add_xml(typed, VIR_MIGRATE_PARAM_DEST_XML, m, "xml", 0, err) < 0)
        return -1;
    return typed_add_xml(typed, VIR_MIGRATE_PARAM_PERSIST_XML, m, "persistent_xml", VIR_DOMAIN_XML_INACTIVE,
                         err);
}

/* Through a tunnel QEMU needs no address; and nothing is limited of what is only a definition. */
int migration_plan_params(const struct migration *m, virTypedParameterPtr *ret_params, int *ret_count,
                          struct error *err)
{
    const json_t *params = m->job->params;
    const struct migration_plan *plan = &m->plan;
    bool tunnelled = plan->flags & VIR_MIGRATE_TUNNELLED;
    struct typed typed = { 0 };
    int rc;

    typed_add_string(&typed, VIR_MIGRATE_PARAM_URI, tunnelled ? NULL : m->migrate_uri);
    typed_add_string(&typed, VIR_MIGRATE_PARAM_DEST_NAME, job_string(params, "name", NULL));
    typed_add_limit(&typed, VIR_MIGRATE_PARAM_BANDWIDTH, plan->bandwidth_mibs);
    if (plan->post_copy)
        typed_add_limit(&typed, VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY, plan->bandwidth_mibs);
    typed_add_connections(&typed, (int)job_integer(params, "parallel", 0));
    typed_add_disks(&typed, plan->copy != MIGRATION_COPY_NONE ? plan->disks : NULL);
    rc = typed_add_xmls(&typed, m, err);
    if (rc == 0 && typed.failed)
        rc = error_set_memory(err);
    if (rc < 0) {
        virTypedParamsFree(typed.params, typed.count);
        return -1;
    }
    *ret_params = typed.params;
    *ret_count = typed.count;
    return 0;
}
