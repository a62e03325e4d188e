/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Which guests host.evacuate is to move, and where they may go. */

#include "host_evacuate.h"

#include <stdio.h>
#include <string.h>

#include "guest_internal.h"

#define KIB 1024

/* Destinations. */

static int hosts_add(struct evacuation *evacuation, const char *name)
{
    if (evacuation->host_count == EVACUATION_HOSTS_MAX)
        return -1;
    evacuation->hosts[evacuation->host_count++] = (struct evacuation_host){ .name = name };
    return 0;
}

static int hosts_add_named(struct evacuation *evacuation, size_t i, const char *name, struct error *err)
{
    const char *uri, *migrate_uri;
    char where[48];

    snprintf(where, sizeof(where), "/params/destinations/%zu", i);
    if (strcmp(name, evacuation->job->host) == 0)
        return error_set_at(err, ERROR_INVALID, where, "host '%s' is the one to be evacuated", name);
    if (job_peer_uri(evacuation->job, name, &uri, &migrate_uri, err) < 0)
        return error_locate(err, where);
    hosts_add(evacuation, name);
    return 0;
}

int evacuation_find_hosts(struct evacuation *evacuation, struct error *err)
{
    const json_t *names = json_object_get(evacuation->job->params, "destinations"), *name;
    const char *peer;
    size_t i;

    json_array_foreach (names, i, name)
        if (hosts_add_named(evacuation, i, json_string_value(name), err) < 0)
            return -1;
    if (names)
        return 0;
    for (i = 0; (peer = job_peer_name(evacuation->job, i)); i++)
        if (hosts_add(evacuation, peer) < 0)
            break;
    if (evacuation->host_count == 0)
        return error_set(err, ERROR_UNKNOWN_HOST, "the worker's configuration has no host but '%s'",
                         evacuation->job->host);
    return 0;
}

static void host_look(struct evacuation *evacuation, struct evacuation_host *host)
{
    virConnectPtr conn = NULL;
    unsigned long long kib = 0;
    bool away = job_peer_begin(evacuation->job, host->name, &conn, NULL) < 0;
    bool known = !away && host_memory_available(conn, &kib) == 0;

    job_peer_end(evacuation->job, host->name, conn);
    SCOPE_LOCK(&evacuation->lock);
    host->away = away;
    host->known = known;
    host->free = kib * KIB;
}

static bool host_is_away(struct evacuation *evacuation, const struct evacuation_host *host)
{
    SCOPE_LOCK(&evacuation->lock);

    return host->away;
}

void evacuation_look_at_hosts(struct evacuation *evacuation)
{
    for (size_t i = 0; i < evacuation->host_count; i++)
        if (!host_is_away(evacuation, &evacuation->hosts[i]))
            host_look(evacuation, &evacuation->hosts[i]);
}

/* Guests. */

static struct evacuee *guests_add(struct evacuation *evacuation, const char *name, struct error *err)
{
    size_t count = evacuation->guest_count;
    struct evacuee *grown = reallocarray(evacuation->guests, count + 1, sizeof(*grown));

    if (!grown)
        return error_set_memory(err), NULL;
    evacuation->guests = grown;
    grown[count] = (struct evacuee){ .name = strdup(name),
                                     .there = EVACUATION_NOWHERE,
                                     .destination = EVACUATION_NOWHERE };
    if (!grown[count].name)
        return error_set_memory(err), NULL;
    evacuation->guest_count++;
    return &grown[count];
}

/* One that goes away meanwhile is off. */
static void evacuee_read(struct evacuee *evacuee, virDomainPtr dom)
{
    virDomainInfo info = { 0 };

    virDomainGetUUIDString(dom, evacuee->uuid);
    evacuee->off = virDomainIsActive(dom) != 1;
    if (virDomainGetInfo(dom, &info) == 0)
        evacuee->memory = (uint64_t)(evacuee->off ? info.maxMem : info.memory) * KIB;
}

static bool guests_have(const struct evacuation *evacuation, virDomainPtr dom)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";

    virDomainGetUUIDString(dom, uuid);
    for (size_t i = 0; i < evacuation->guest_count; i++)
        if (strcmp(evacuation->guests[i].uuid, uuid) == 0)
            return true;
    return false;
}

/* Twice the same, by its name and by its UUID, counts once. */
static int guests_add_named(struct evacuation *evacuation, size_t i, const char *name, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    struct evacuee *evacuee;

    if (guest_find(evacuation->job->conn, name, &dom, err) < 0)
        return -1;
    if (dom && guests_have(evacuation, dom))
        return 0;
    if (!(evacuee = guests_add(evacuation, dom ? virDomainGetName(dom) : name, err)))
        return -1;
    evacuee->wanted_off = true;
    snprintf(evacuee->where, sizeof(evacuee->where), "/params/guests/%zu", i);
    if (dom)
        evacuee_read(evacuee, dom);
    return 0;
}

static int guests_add_domain(struct evacuation *evacuation, virDomainPtr dom, struct error *err)
{
    struct evacuee *evacuee = guests_add(evacuation, virDomainGetName(dom), err);

    if (!evacuee)
        return -1;
    evacuee->wanted_off = job_flag(evacuation->job->params, "inactive", false);
    evacuee_read(evacuee, dom);
    return 0;
}

/* Where the job comes again, those that are off may be the rest of what has moved. */
static int guests_add_all(struct evacuation *evacuation, struct error *err)
{
    bool off = evacuation->job->again || job_flag(evacuation->job->params, "inactive", false);
    virDomainPtr *list = NULL;
    int rc = 0, count = virConnectListAllDomains(evacuation->job->conn, &list,
                                                 off ? 0 : VIR_CONNECT_LIST_DOMAINS_ACTIVE);

    if (count < 0)
        return error_set_libvirt(err, "listing the guests");
    for (int i = 0; i < count; i++) {
        if (rc == 0)
            rc = guests_add_domain(evacuation, list[i], err);
        virDomainFree(list[i]);
    }
    free(list);
    return rc;
}

/* Guests that are at a destination already, or on their way there. */

/* Where it is on here, what is off there is an older definition of it. */
static void evacuee_note_there(struct evacuee *evacuee, virDomainPtr dom, int host)
{
    bool on = virDomainIsActive(dom) == 1;

    if (!on && *evacuee->uuid && !evacuee->off)
        return;
    if (!*evacuee->uuid || on)
        evacuee->off = !on;
    if (!*evacuee->uuid)
        evacuee_read(evacuee, dom);
    evacuee->there = host;
}

/* Those not here have no UUID yet. What cannot be looked at is not found. */
static void evacuee_find_there(struct evacuee *evacuee, virConnectPtr conn, int host)
{
    AUTO(domain) virDomainPtr dom = NULL;

    if (evacuee->there == EVACUATION_NOWHERE &&
        guest_find(conn, *evacuee->uuid ? evacuee->uuid : evacuee->name, &dom, NULL) == 0 && dom)
        evacuee_note_there(evacuee, dom, host);
}

static bool evacuee_is_on_at(const struct evacuee *evacuee, int host)
{
    AUTO(domain) virDomainPtr dom = NULL;
    struct evacuation *evacuation = evacuee->evacuation;
    virConnectPtr conn = NULL;
    bool on;

    if (job_peer_begin(evacuation->job, evacuation->hosts[host].name, &conn, NULL) < 0)
        return false;
    dom = virDomainLookupByUUIDString(conn, evacuee->uuid);
    on = dom && virDomainIsActive(dom) == 1;
    if (dom)
        virDomainFree(STEAL(&dom));
    job_peer_end(evacuation->job, evacuation->hosts[host].name, conn);
    return on;
}

bool evacuee_turns_up(struct evacuee *evacuee)
{
    const struct evacuation *evacuation = evacuee->evacuation;

    if (!evacuation->job->again || evacuee->off || evacuee->there != EVACUATION_NOWHERE)
        return false;
    for (int host = 0; host < (int)evacuation->host_count; host++)
        if (host != evacuee->destination && evacuee_is_on_at(evacuee, host)) {
            evacuee->there = host;
            return true;
        }
    return false;
}

static bool evacuee_may_be_there(const struct evacuee *evacuee)
{
    return evacuee->evacuation->job->again || !*evacuee->uuid;
}

static void guests_find_at(struct evacuation *evacuation, int host)
{
    virConnectPtr conn = NULL;

    if (job_peer_begin(evacuation->job, evacuation->hosts[host].name, &conn, NULL) < 0) {
        evacuation->hosts[host].away = true;
        return;
    }
    for (size_t i = 0; i < evacuation->guest_count; i++)
        if (evacuee_may_be_there(&evacuation->guests[i]))
            evacuee_find_there(&evacuation->guests[i], conn, host);
    job_peer_end(evacuation->job, evacuation->hosts[host].name, conn);
}

static void guests_find_there(struct evacuation *evacuation)
{
    bool any = false;

    for (size_t i = 0; i < evacuation->guest_count; i++)
        any |= evacuee_may_be_there(&evacuation->guests[i]);
    for (int host = 0; any && host < (int)evacuation->host_count; host++)
        guests_find_at(evacuation, host);
}

/* What is off, and neither asked for nor the rest of something that has moved. */
static void guests_drop_off(struct evacuation *evacuation)
{
    for (size_t i = 0; i < evacuation->guest_count; i++) {
        struct evacuee *evacuee = &evacuation->guests[i];

        if (evacuee->off && !evacuee->wanted_off)
            evacuee->state = EVACUEE_LEFT_OUT;
    }
}

static void guests_fail_unknown(struct evacuation *evacuation)
{
    for (size_t i = 0; i < evacuation->guest_count; i++) {
        struct evacuee *evacuee = &evacuation->guests[i];

        if (*evacuee->uuid)
            continue;
        evacuee->state = EVACUEE_FAILED;
        error_set_at(&evacuee->error, ERROR_NOT_FOUND, evacuee->where,
                     "there is no guest '%s', neither here nor at a destination that can be asked",
                     evacuee->name);
    }
}

int evacuation_find_guests(struct evacuation *evacuation, struct error *err)
{
    const json_t *names = json_object_get(evacuation->job->params, "guests"), *name;
    size_t i;

    json_array_foreach (names, i, name)
        if (guests_add_named(evacuation, i, json_string_value(name), err) < 0)
            return -1;
    if (!names && guests_add_all(evacuation, err) < 0)
        return -1;
    for (i = 0; i < evacuation->guest_count; i++)
        evacuation->guests[i].evacuation = evacuation;
    guests_find_there(evacuation);
    guests_drop_off(evacuation);
    guests_fail_unknown(evacuation);
    return 0;
}

/* Over a connection of its own, as it is on a thread of its own. */
static int evacuee_is_on(struct evacuee *evacuee, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    struct job *job = evacuee->evacuation->job;
    virConnectPtr conn = NULL;
    int on;

    if (job_query_begin(job, &conn, err) < 0)
        return -1;
    on = guest_find_by(conn, virDomainLookupByUUIDString, evacuee->uuid, &dom, err);
    if (on == 0 && dom)
        on = guest_is_active(dom, err);
    if (dom)
        virDomainFree(STEAL(&dom));
    job_query_end(job, conn);
    return on;
}

int evacuee_look(struct evacuee *evacuee, struct error *err)
{
    int on;

    if (evacuee->there != EVACUATION_NOWHERE)
        return 1;
    if ((on = evacuee_is_on(evacuee, err)) < 0)
        return -1;
    evacuee->off = on == 0;
    return on || evacuee->wanted_off;
}

int evacuation_count_left(struct evacuation *evacuation)
{
    virConnectPtr conn = NULL;
    int left;

    if (job_query_begin(evacuation->job, &conn, NULL) < 0)
        return -1;
    left = virConnectNumOfDomains(conn);
    job_query_end(evacuation->job, conn);
    return left;
}
