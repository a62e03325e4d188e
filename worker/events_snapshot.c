/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A look at all guests of a host, on the thread of its watch. */

#include "events_internal.h"

#include <stdlib.h>

#include <libvirt/virterror.h>

#include "cleanup.h"
#include "events_names.h"

struct listing {
    virDomainPtr *guests;
    int count;
};

static void listing_done(struct listing *listing)
{
    for (int i = 0; i < listing->count; i++)
        virDomainFree(listing->guests[i]);
    free(listing->guests);
}

/* Sets *ret_gone where the guest has vanished since it was listed. */
static int snapshot_state(virDomainPtr dom, int *ret_state, int *ret_reason, bool *ret_gone)
{
    if (virDomainGetState(dom, ret_state, ret_reason, 0) == 0)
        return 0;
    *ret_gone = virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;
    return -1;
}

static json_t *snapshot_guest(virDomainPtr dom, int state, int reason)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    unsigned int id = virDomainGetID(dom);
    int persistent = virDomainIsPersistent(dom);
    json_t *guest;

    if (virDomainGetUUIDString(dom, uuid) < 0)
        return NULL;
    guest = json_pack("{s:o, s:s, s:s, s:s}", "name", events_text(virDomainGetName(dom)), "uuid", uuid,
                      "state", events_state_name(state), "reason", events_reason_name(state, reason));
    if (guest && id != (unsigned int)-1)
        json_object_set_new(guest, "id", json_integer(id));
    if (guest && persistent >= 0)
        json_object_set_new(guest, "persistent", json_boolean(persistent));
    return guest;
}

static int snapshot_add(json_t *guests, virDomainPtr dom, struct error *err)
{
    int state = VIR_DOMAIN_NOSTATE, reason = 0;
    bool gone = false;
    json_t *guest;

    if (snapshot_state(dom, &state, &reason, &gone) < 0) {
        if (gone)
            return 0;
        state = VIR_DOMAIN_NOSTATE;
        reason = 0;
    }
    guest = snapshot_guest(dom, state, reason);
    return json_array_append_new(guests, guest) < 0 ? error_set_memory(err) : 0;
}

int snapshot_take(virConnectPtr conn, json_t **ret_guests, struct error *err)
{
    __attribute__((cleanup(listing_done))) struct listing listing = { NULL, 0 };
    AUTO(json) json_t *guests = json_array();

    listing.count = virConnectListAllDomains(conn, &listing.guests, 0);
    if (listing.count < 0)
        return error_set_libvirt(err, "listing all guests");
    for (int i = 0; i < listing.count; i++)
        if (snapshot_add(guests, listing.guests[i], err) < 0)
            return -1;
    if (!hypervisor_is_alive(conn)) /* then "unknown" says more of the connection than of the guests */
        return error_set(err, ERROR_CONNECTION_LOST, "the connection broke while guests were listed");
    *ret_guests = STEAL(&guests);
    return 0;
}

json_t *snapshot_host(virConnectPtr conn)
{
    json_t *host = json_pack("{s:s}", "driver", virConnectGetType(conn));
    AUTO(string) char *hostname = virConnectGetHostname(conn);
    unsigned long version;

    if (host && hostname)
        json_object_set_new(host, "hostname", events_text(hostname));
    if (host && virConnectGetLibVersion(conn, &version) == 0)
        json_object_set_new(
            host, "libvirt_version",
            json_sprintf("%lu.%lu.%lu", version / 1000000, version / 1000 % 1000, version % 1000));
    return host;
}
