/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.list: libvirt's filters by name. Three calls to libvirt, however many guests there are. */

#include "guest_internal.h"

#include <string.h>

#include "events_names.h"

/* libvirt's bound on the guests in one request for statistics is higher. */
#define BATCH 1000

/* As virsh calls them. Filters of one group widen the choice, those of different groups narrow it. */
static const struct {
    const char *name;
    unsigned int flag;
} filters[] = {
    { "active", VIR_CONNECT_LIST_DOMAINS_ACTIVE },
    { "inactive", VIR_CONNECT_LIST_DOMAINS_INACTIVE },
    { "persistent", VIR_CONNECT_LIST_DOMAINS_PERSISTENT },
    { "transient", VIR_CONNECT_LIST_DOMAINS_TRANSIENT },
    { "running", VIR_CONNECT_LIST_DOMAINS_RUNNING },
    { "paused", VIR_CONNECT_LIST_DOMAINS_PAUSED },
    { "shutoff", VIR_CONNECT_LIST_DOMAINS_SHUTOFF },
    { "other", VIR_CONNECT_LIST_DOMAINS_OTHER },
    { "managed-save", VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE },
    { "no-managed-save", VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE },
    { "autostart", VIR_CONNECT_LIST_DOMAINS_AUTOSTART },
    { "no-autostart", VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART },
    { "snapshot", VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT },
    { "no-snapshot", VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT },
    { "checkpoint", VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT },
    { "no-checkpoint", VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT },
};

unsigned int guest_list_flag(const char *filter)
{
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
        if (strcmp(filters[i].name, filter) == 0)
            return filters[i].flag;
    return 0;
}

static unsigned int list_flags(const struct job *job)
{
    unsigned int flags = 0;
    const json_t *filter;
    size_t i;

    json_array_foreach (json_object_get(job->params, "filters"), i, filter)
        flags |= guest_list_flag(json_string_value(filter));
    return flags;
}

/* A list of guests as libvirt hands it out: ends with NULL. */
typedef virDomainPtr *domain_list;

static void list_free(domain_list list)
{
    for (size_t i = 0; list[i]; i++)
        virDomainFree(list[i]);
    free(list);
}

CLEANUP_DEFINE(domain_list, domain_list, list_free)

static int list_get(virConnectPtr conn, unsigned int flags, domain_list *ret_list, int *ret_count,
                    struct error *err)
{
    domain_list list = NULL;
    int count = virConnectListAllDomains(conn, &list, flags);

    if (count < 0)
        return error_set_libvirt(err, "listing guests");
    *ret_list = list;
    *ret_count = count;
    return 0;
}

static int list_compare(const void *a, const void *b)
{
    return strcmp(virDomainGetName(*(virDomainPtr const *)a), virDomainGetName(*(virDomainPtr const *)b));
}

/* What the guests have in common while they are told. */
struct listing {
    domain_list transient; /* usually few or none */
    json_t *guests;
};

static bool listing_is_transient(const struct listing *listing, virDomainPtr dom)
{
    unsigned char uuid[VIR_UUID_BUFLEN], other[VIR_UUID_BUFLEN];

    virDomainGetUUID(dom, uuid);
    for (size_t i = 0; listing->transient[i]; i++) {
        virDomainGetUUID(listing->transient[i], other);
        if (memcmp(uuid, other, sizeof(uuid)) == 0)
            return true;
    }
    return false;
}

static int listing_add(struct listing *listing, virDomainPtr dom, int state, int reason)
{
    AUTO(json) json_t *guest = guest_identity(dom);
    unsigned int id = state == VIR_DOMAIN_SHUTOFF ? (unsigned int)-1 : virDomainGetID(dom);

    if (!guest || json_object_set_new(guest, "state", json_string(events_state_name(state))) < 0 ||
        json_object_set_new(guest, "reason", json_string(events_reason_name(state, reason))) < 0 ||
        json_object_set_new(guest, "persistent", json_boolean(!listing_is_transient(listing, dom))) < 0 ||
        (id != (unsigned int)-1 && json_object_set_new(guest, "id", json_integer(id)) < 0))
        return -1;
    return json_array_append(listing->guests, guest);
}

/* A driver without statistics: each guest for itself. One that has gone meanwhile is no longer to be told. */
static int listing_add_each(struct listing *listing, virDomainPtr *list, int count)
{
    int i, state, reason;

    for (i = 0; i < count; i++)
        if (virDomainGetState(list[i], &state, &reason, 0) == 0 &&
            listing_add(listing, list[i], state, reason) < 0)
            return -1;
    return 0;
}

static int listing_add_record(struct listing *listing, const virDomainStatsRecord *record)
{
    int state = VIR_DOMAIN_NOSTATE, reason = 0;

    virTypedParamsGetInt(record->params, record->nparams, "state.state", &state);
    virTypedParamsGetInt(record->params, record->nparams, "state.reason", &reason);
    return listing_add(listing, record->dom, state, reason);
}

/* The states of up to BATCH guests in one call. */
static int listing_add_batch(struct listing *listing, virDomainPtr *list, int count)
{
    virDomainStatsRecordPtr *records = NULL;
    virDomainPtr batch[BATCH + 1] = { NULL };
    int i, found, failed = 0;

    memcpy(batch, list, (size_t)count * sizeof(*batch));
    found = virDomainListGetStats(batch, VIR_DOMAIN_STATS_STATE, &records, 0);
    if (found < 0)
        return listing_add_each(listing, list, count);
    for (i = 0; i < found && !failed; i++)
        failed = listing_add_record(listing, records[i]) < 0;
    virDomainStatsRecordListFree(records);
    return failed ? -1 : 0;
}

int guest_list(struct job *job, json_t **ret_result, struct error *err)
{
    int limit = (int)job_integer(job->params, "limit", 1000), count = 0, transients, i;
    AUTO(domain_list) domain_list list = NULL;
    AUTO(domain_list) domain_list transient = NULL;
    AUTO(json) json_t *guests = json_array();

    if (list_get(job->conn, list_flags(job), &list, &count, err) < 0 ||
        list_get(job->conn, VIR_CONNECT_LIST_DOMAINS_TRANSIENT, &transient, &transients, err) < 0)
        return -1;
    qsort(list, (size_t)count, sizeof(*list), list_compare);
    for (i = 0; i < count && i < limit; i += BATCH) {
        struct listing listing = { transient, guests };
        int left = (count < limit ? count : limit) - i;

        if (job_safe_point(job, err) < 0)
            return -1;
        if (!guests || listing_add_batch(&listing, list + i, left < BATCH ? left : BATCH) < 0)
            return error_set_memory(err);
    }
    *ret_result =
        json_pack("{s:o, s:i, s:b}", "guests", STEAL(&guests), "total", count, "truncated", count > limit);
    return *ret_result ? 0 : error_set_memory(err);
}
