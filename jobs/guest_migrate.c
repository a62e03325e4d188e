/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.migrate: moves a guest to another host, and says where it is then.
 *
 * It asks for a state, the guest there and not here, so nothing of the guest is stamped: what an earlier attempt has begun is
 * seen at both sides. */

#include "guest_migrate_internal.h"

#include <stdio.h>
#include <string.h>

#include "monotonic.h"
#include "xml.h"

/* How long one that was begun may take until something of the guest is at its destination. */
#define COMING_MS       10000
#define COMING_PAUSE_MS 200

static void migration_done(struct migration *m)
{
    cleanup_domain(&m->dom);
    cleanup_xml_doc(&m->doc);
    cleanup_json(&m->checks);
    cleanup_json(&m->actions);
    free(m->name);
    free(m->name_there);
}

static inline void cleanup_migration(struct migration *m)
{
    migration_done(m);
}

/* What is asked for. */

static int migration_find_destination(struct migration *m, struct error *err)
{
    m->destination = job_string(m->job->params, "destination", "");
    if (strcmp(m->destination, m->job->host) == 0)
        return error_set_at(err, ERROR_INVALID, "/params/destination", "'%s' is where the guest is to leave",
                            m->destination);
    if (job_peer_uri(m->job, m->destination, &m->peer_uri, &m->migrate_uri, err) < 0)
        return error_locate(err, "/params/destination");
    return 0;
}

static int migration_read_policy(struct migration *m, struct error *err)
{
    const json_t *steering = json_object_get(m->job->params, "steering");
    struct steer_policy *policy = &m->policy;

    if (steer_policy_read(steering, "/params/steering", job_deadline_ms(m->job), policy, err) < 0)
        return -1;
    if (m->plan.post_copy && !json_object_get(steering, "actions"))
        policy->actions[policy->action_count++] = STEER_POST_COPY;
    return 0;
}

/* All that needs no host. */
static int migration_read_params(struct migration *m, struct error *err)
{
    m->checks = json_array();
    m->actions = json_array();
    if (!m->checks || !m->actions)
        return error_set_memory(err);
    if (migration_find_destination(m, err) < 0 ||
        migration_plan_read(m->job->params, false, &m->plan, err) < 0)
        return -1;
    return migration_read_policy(m, err);
}

/* The guest. */

static int migration_take_identity(struct migration *m, virDomainPtr dom, const char *name_there,
                                   struct error *err)
{
    if (virDomainGetUUIDString(dom, m->uuid) < 0)
        return error_set_libvirt(err, "asking for the UUID of guest '%s'", virDomainGetName(dom));
    m->name = strdup(virDomainGetName(dom));
    m->name_there = strdup(name_there);
    return m->name && m->name_there ? 0 : error_set_memory(err);
}

static int migration_read_here(struct migration *m, struct error *err)
{
    int active = virDomainIsActive(m->dom), persistent = virDomainIsPersistent(m->dom);
    AUTO(string) char *text = virDomainGetXMLDesc(m->dom, active == 1 ? 0 : VIR_DOMAIN_XML_INACTIVE);

    if (!text || active < 0 || persistent < 0)
        return error_set_libvirt(err, "reading guest '%s'", virDomainGetName(m->dom));
    m->doc = xml_parse(text, "domain", NULL, err);
    if (!m->doc || migration_plan_read(m->job->params, persistent, &m->plan, err) < 0)
        return -1;
    return migration_take_identity(m, m->dom, job_string(m->job->params, "name", virDomainGetName(m->dom)),
                                   err);
}

/* By its UUID, or by the name that it is to have there: one that has its old name may be any other. */
static int find_there(struct migration *m, virConnectPtr there, struct error *err)
{
    const char *guest = job_string(m->job->params, "guest", "");
    const char *renamed = job_string(m->job->params, "name", NULL);
    AUTO(domain) virDomainPtr dom = NULL;
    AUTO(string) char *text = NULL;
    bool by_name = renamed && !guest_is_uuid(guest);

    if (by_name ? guest_find_by(there, virDomainLookupByName, renamed, &dom, err) < 0
                : guest_find(there, guest, &dom, err) < 0)
        return -1;
    if (!dom)
        return error_set_at(err, ERROR_NOT_FOUND, "/params/guest", "there is no guest '%s', nor at '%s'",
                            guest, m->destination);
    text = virDomainGetXMLDesc(dom, 0);
    if (!text)
        return error_set_libvirt(err, "reading guest '%s' at '%s'", guest, m->destination);
    m->doc = xml_parse(text, "domain", NULL, err);
    return m->doc ? migration_take_identity(m, dom, virDomainGetName(dom), err) : -1;
}

static int migration_find_there(struct migration *m, struct error *err)
{
    virConnectPtr there = NULL;
    int rc;

    if (job_peer_begin(m->job, m->destination, &there, err) < 0)
        return error_locate(err, "/params/guest");
    rc = find_there(m, there, err);
    job_peer_end(m->job, m->destination, there);
    return rc;
}

/* m->dom stays NULL where it is at the destination alone. */
static int migration_find(struct migration *m, struct error *err)
{
    if (guest_find(m->job->conn, job_string(m->job->params, "guest", ""), &m->dom, err) < 0)
        return -1;
    return m->dom ? migration_read_here(m, err) : migration_find_there(m, err);
}

/* The result. */

static json_t *describe_source(const struct migration *m)
{
    bool defined = m->sides.here.sight == SIGHT_OFF;

    return json_pack("{s:s, s:b}", "state", defined ? "shutoff" : "absent", "persistent", defined);
}

/* What it cost; the host that has the guest now keeps the figures. */
static int describe_transfer(virDomainPtr dom, json_t *result, struct error *err)
{
    struct guest_stats stats;

    if (guest_stats_read(dom, true, &stats, err) < 0)
        return -1;
    if (stats.type == VIR_DOMAIN_JOB_NONE || stats.operation != VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN)
        return 0;
    return json_object_set_new(result, "transfer", guest_stats_describe(&stats)) < 0 ? error_set_memory(err)
                                                                                     : 0;
}

static int describe_there(struct migration *m, virConnectPtr there, json_t *result, struct error *err)
{
    AUTO(domain) virDomainPtr dom = virDomainLookupByUUIDString(there, m->uuid);
    json_t *guest = NULL;

    if (!dom)
        return error_set_libvirt(err, "looking up guest '%s' at '%s'", m->name, m->destination);
    if (guest_describe(dom, &guest, err) < 0)
        return -1;
    if (json_object_set_new(result, "guest", guest) < 0)
        return error_set_memory(err);
    return describe_transfer(dom, result, err);
}

static int migration_result(struct migration *m, json_t **ret_result, struct error *err)
{
    AUTO(json) json_t *result = json_pack("{s:o, s:s, s:O, s:O}", "source", describe_source(m), "destination",
                                          m->destination, "actions", m->actions, "checks", m->checks);
    virConnectPtr there = NULL;
    int rc;

    if (!result)
        return error_set_memory(err);
    if (job_peer_begin(m->job, m->destination, &there, err) < 0)
        return -1;
    rc = describe_there(m, there, result, err);
    job_peer_end(m->job, m->destination, there);
    if (rc == 0)
        *ret_result = STEAL(&result);
    return rc;
}

/* Only the checks. */

static int dry_run_look(struct migration *m, struct error *err)
{
    migration_look(m);
    if (m->place == PLACE_THERE || m->place == PLACE_HALF)
        migration_check_note(m, "guest", MIGRATION_OK, ERROR_NONE, NULL, "it is there already");
    else if (m->dom)
        return migration_check(m, err);
    else if (m->sides.there.sight == SIGHT_OFF)
        migration_check_note(m, "guest", MIGRATION_FAILED, ERROR_CONFLICT, "/params/guest",
                             "it is there already, but off");
    else
        migration_check_note(m, "guest", MIGRATION_FAILED, ERROR_BUSY, "/params/guest",
                             "it is not here, and cannot be seen to be on there");
    return 0;
}

static int dry_run_check(struct migration *m, struct error *err)
{
    struct error missing = ERROR_INIT;

    if (migration_find(m, &missing) == 0)
        return dry_run_look(m, err);
    if (missing.has_where)
        migration_check_note(m, "guest", MIGRATION_FAILED, missing.code, missing.where, "%s",
                             missing.message);
    else
        *err = missing;
    return missing.has_where ? 0 : -1;
}

static int migration_dry_run(struct migration *m, json_t **ret_result, struct error *err)
{
    job_unchanged(m->job);
    if (job_step(m->job, "check", err) < 0 || dry_run_check(m, err) < 0)
        return -1;
    *ret_result = json_pack("{s:O, s:b}", "checks", m->checks, "possible", m->refusal.code == ERROR_NONE);
    return *ret_result ? 0 : error_set_memory(err);
}

/* The migration. */

/* Of a guest that is here, with nothing at work. */
static int migration_begin(struct migration *m, struct error *err)
{
    job_settled(m->job);
    if (migration_check(m, err) < 0 || migration_check_refuse(m, err) < 0 ||
        migration_storage_prepare(m, err) < 0)
        return -1;
    return migration_drive(m, err) == 1 ? 0 : -1;
}

/* Whether what is at work brings it there, and not, begun by somebody else, to another host: then it is in the way. Of one
 * that was just begun nothing is there yet. */
static bool migration_comes_there(struct migration *m)
{
    int64_t until_ms = monotonic_now_ms() + COMING_MS;

    while (m->place == PLACE_AT_WORK && monotonic_now_ms() < until_ms &&
           (m->sides.there.sight == SIGHT_ABSENT || m->sides.there.sight == SIGHT_OFF)) {
        migration_pause(m, COMING_PAUSE_MS);
        migration_look(m);
    }
    return m->place == PLACE_AT_WORK && m->sides.there.sight != SIGHT_ABSENT &&
           m->sides.there.sight != SIGHT_OFF;
}

/* What an earlier attempt has left of it. 1 it is there, 0 it is here, -1. */
static int migration_take_over(struct migration *m, struct error *err)
{
    int moved = 0;

    job_step_named(m->job, "look");
    if (migration_verify(m, err) < 0)
        return -1;
    if (m->place == PLACE_AT_WORK) {
        m->taken_over = migration_comes_there(m);
        if (!m->taken_over && migration_verify(m, err) < 0)
            return -1;
    }
    if (m->taken_over || m->place == PLACE_THERE)
        job_adopted(m->job);
    if (m->taken_over)
        moved = migration_drive(m, err);
    if (moved != 0)
        return moved;
    if (m->place == PLACE_THERE)
        return 1;
    if (m->dom && (m->place == PLACE_HERE || m->place == PLACE_DEFINED || m->place == PLACE_NOWHERE ||
                   m->place == PLACE_AT_WORK))
        return job_safe_point(m->job, err) < 0 ? -1 : 0;
    return migration_tell(m, err);
}

/* It runs there, and only its definition here is too much. */
static int migration_finish(struct migration *m, struct error *err)
{
    if (job_step(m->job, "undefine", err) < 0 || migration_verify(m, err) < 0)
        return -1;
    return m->place == PLACE_THERE ? 1 : migration_tell(m, err);
}

/* As migration_take_over, at the first attempt. */
static int migration_look_around(struct migration *m, struct error *err)
{
    migration_look(m);
    if (m->sides.here.sight == SIGHT_UNKNOWN) {
        *err = m->sides.here.error;
        return -1;
    }
    if (m->place == PLACE_THERE)
        job_unchanged(m->job);
    if (m->place == PLACE_HALF)
        return migration_finish(m, err);
    if (m->place == PLACE_THERE || m->dom)
        return m->place == PLACE_THERE;
    return migration_tell(m, err);
}

static int migration_move(struct migration *m, struct error *err)
{
    int moved;

    if (!m->job->again) {
        job_settled(m->job);
        if (job_step(m->job, "look", err) < 0)
            return -1;
    }
    if (migration_find(m, err) < 0)
        return -1;
    moved = m->job->again ? migration_take_over(m, err) : migration_look_around(m, err);
    if (moved != 0)
        return moved < 0 ? -1 : 0;
    return migration_begin(m, err);
}

/* Whether what was made at the destination is good for nothing. */
static bool migration_has_stayed(const struct migration *m)
{
    return m->place == PLACE_HERE || m->place == PLACE_DEFINED ||
           (m->place == PLACE_NOWHERE && m->sides.here.sight == SIGHT_OFF &&
            m->sides.there.sight == SIGHT_ABSENT);
}

/* What cannot be cleared up while a host is away, the next attempt can. */
static void migration_clear_storage(struct migration *m, struct error *err)
{
    struct error left = ERROR_INIT;

    if (!migration_has_stayed(m) || err->code == ERROR_INTERRUPTED ||
        migration_storage_settle(m, false, &left) == 0)
        return;
    if (left.code == ERROR_HOST_UNAVAILABLE)
        left.code = ERROR_CONNECTION_LOST; /* also a job that was cancelled is to look again */
    error_set(err, error_is_transient(&left) ? left.code : err->code,
              "%.200s; volumes are left at '%s': %.200s", err->message, m->destination, left.message);
}

/* It is there, and has not failed where no more than that can be told, as when the destination goes away now. */
static int migration_end(struct migration *m, json_t **ret_result, struct error *err)
{
    job_uncertain(m->job);
    if ((m->storage || m->job->again) && migration_storage_settle(m, true, err) < 0)
        return -1;
    progress_finish(job_progress(m->job));
    return migration_result(m, ret_result, err);
}

int guest_migrate(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(migration) struct migration m = { .job = job };
    int rc;

    if (migration_read_params(&m, err) < 0)
        return -1;
    if (job_flag(job->params, "dry_run", false))
        return migration_dry_run(&m, ret_result, err);
    rc = migration_move(&m, err);
    if (rc == 0)
        return migration_end(&m, ret_result, err);
    if (m.storage || job->again)
        migration_clear_storage(&m, err);
    if (json_array_size(m.actions) > 0) /* what was tried in vain */
        *ret_result = json_pack("{s:O, s:O}", "actions", m.actions, "checks", m.checks);
    return rc;
}

int guest_migrate_sweep(struct job *job, struct error *err)
{
    return migration_storage_sweep(job, err);
}
