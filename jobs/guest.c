/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* How a guest is found and told, and the table of the job types of guests. */

#include "guest_internal.h"

#include <ctype.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "events_names.h"

bool guest_is_uuid(const char *text)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    size_t i;

    for (i = 0; shape[i]; i++)
        if (shape[i] == 'x' ? !isxdigit((unsigned char)text[i]) : text[i] != '-')
            return false;
    return text[i] == '\0';
}

bool guest_is_gone(void)
{
    return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN;
}

int guest_find_by(virConnectPtr conn, virDomainPtr (*by)(virConnectPtr, const char *), const char *guest,
                  virDomainPtr *ret_dom, struct error *err)
{
    virDomainPtr dom = by(conn, guest);

    if (!dom && !guest_is_gone())
        return error_set_libvirt(err, "looking up guest '%s'", guest);
    *ret_dom = dom;
    return 0;
}

int guest_find(virConnectPtr conn, const char *guest, virDomainPtr *ret_dom, struct error *err)
{
    virDomainPtr dom = NULL;

    if (guest_is_uuid(guest) && guest_find_by(conn, virDomainLookupByUUIDString, guest, &dom, err) < 0)
        return -1;
    if (!dom && guest_find_by(conn, virDomainLookupByName, guest, &dom, err) < 0)
        return -1;
    *ret_dom = dom;
    return 0;
}

int guest_lookup(struct job *job, virDomainPtr *ret_dom, struct error *err)
{
    const char *guest = job_string(job->params, "guest", "");
    virDomainPtr dom = NULL;

    if (guest_find(job->conn, guest, &dom, err) < 0)
        return -1;
    if (!dom)
        return error_set_at(err, ERROR_NOT_FOUND, "/params/guest", "there is no guest '%s'", guest);
    *ret_dom = dom;
    return 0;
}

int guest_lookup_off(struct job *job, virDomainPtr *ret_dom, json_t **ret_guest, struct error *err)
{
    const char *guest = job_string(job->params, "guest", "");

    if (!job->again)
        return guest_lookup(job, ret_dom, err);
    if (guest_find(job->conn, guest, ret_dom, err) < 0 || *ret_dom)
        return *ret_dom ? 0 : -1;
    job_unchanged(job);
    *ret_guest =
        json_pack("{s:s, s:s, s:s, s:b}", guest_is_uuid(guest) ? "uuid" : "name", guest, "state",
                  events_state_name(VIR_DOMAIN_SHUTOFF), "reason",
                  events_reason_name(VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_UNKNOWN), "persistent", false);
    return *ret_guest ? 0 : error_set_memory(err);
}

int guest_is_active(virDomainPtr dom, struct error *err)
{
    int active = virDomainIsActive(dom);

    if (active < 0 && guest_is_gone())
        return 0;
    if (active < 0)
        return error_set_libvirt(err, "asking whether guest '%s' is active", virDomainGetName(dom));
    return active;
}

json_t *guest_identity(virDomainPtr dom)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";

    virDomainGetUUIDString(dom, uuid);
    return json_pack("{s:s, s:s}", "name", virDomainGetName(dom), "uuid", uuid);
}

int guest_from_identity(virConnectPtr conn, const json_t *identity, virDomainPtr *ret_dom, struct error *err)
{
    return guest_find_by(conn, virDomainLookupByUUIDString, job_string(identity, "uuid", ""), ret_dom, err);
}

/* State, reason and persistence; a guest that is no more is off and not persistent. */
static int guest_read_state(virDomainPtr dom, int *ret_state, int *ret_reason, int *ret_persistent)
{
    int state = VIR_DOMAIN_SHUTOFF, reason = VIR_DOMAIN_SHUTOFF_UNKNOWN, persistent = 0;

    if (virDomainGetState(dom, &state, &reason, 0) < 0 && !guest_is_gone())
        return -1;
    if ((persistent = virDomainIsPersistent(dom)) < 0 && !guest_is_gone())
        return -1;
    *ret_state = state;
    *ret_reason = reason;
    *ret_persistent = persistent == 1;
    return 0;
}

int guest_describe(virDomainPtr dom, json_t **ret_guest, struct error *err)
{
    AUTO(json) json_t *guest = guest_identity(dom);
    int state, reason, persistent;

    if (guest_read_state(dom, &state, &reason, &persistent) < 0)
        return error_set_libvirt(err, "reading the state of guest '%s'", virDomainGetName(dom));
    if (!guest || json_object_set_new(guest, "state", json_string(events_state_name(state))) < 0 ||
        json_object_set_new(guest, "reason", json_string(events_reason_name(state, reason))) < 0 ||
        json_object_set_new(guest, "persistent", json_boolean(persistent)) < 0)
        return error_set_memory(err);
    if (state != VIR_DOMAIN_SHUTOFF && virDomainGetID(dom) != (unsigned int)-1 &&
        json_object_set_new(guest, "id", json_integer(virDomainGetID(dom))) < 0)
        return error_set_memory(err);
    *ret_guest = STEAL(&guest);
    return 0;
}

/* Shutdown, provision and saving wait and copy; the rest is done in about a second. */
const struct job_type guest_types[] = {
    { .name = "guest.define",
      .lane = JOB_QUICK,
      .run = guest_define,
      .sweep = guest_define_sweep,
      .claims = { { JOB_GUEST, true, "/name" },
                  { JOB_GUEST, true, "/uuid" },
                  { JOB_DOMAIN_XML, true, "/xml" },
                  { JOB_NEW_GUEST, true, "/xml" } } },
    { .name = "guest.start",
      .lane = JOB_QUICK,
      .run = guest_start,
      .claims = { { JOB_GUEST, true, "/guest" } } },
    { .name = "guest.shutdown",
      .lane = JOB_LONG,
      .run = guest_shutdown,
      .claims = { { JOB_GUEST, true, "/guest" } } },
    { .name = "guest.destroy",
      .lane = JOB_QUICK,
      .run = guest_destroy,
      .claims = { { JOB_GUEST, true, "/guest" } } },
    { .name = "guest.undefine",
      .lane = JOB_QUICK,
      .run = guest_undefine,
      .claims = { { JOB_GUEST, true, "/guest" } } },
    { .name = "guest.info", .lane = JOB_QUICK, .run = guest_info },
    { .name = "guest.list", .lane = JOB_QUICK, .run = guest_list },
    { .name = "guest.provision",
      .lane = JOB_LONG,
      .run = guest_provision,
      .sweep = guest_provision_sweep,
      .claims = { { JOB_GUEST, true, "/name" },
                  { JOB_GUEST, true, "/uuid" },
                  { JOB_NEW_GUEST, true, "/xml" },
                  { JOB_VOLUME, false, "/disks/*/source" },
                  { JOB_VOLUME, true, "/disks/*/target" } } },
    { .name = "guest.save",
      .lane = JOB_LONG,
      .run = guest_save,
      .sweep = guest_save_sweep,
      .claims = { { JOB_GUEST, true, "/guest" }, { JOB_PATH, true, "/path" } } },
    { .name = "guest.restore",
      .lane = JOB_LONG,
      .run = guest_restore,
      .takes_over = true,
      .claims = { { JOB_PATH, true, "/path" } } },
    { .name = "guest.save-image-info", .lane = JOB_QUICK, .run = guest_save_image_info },
    { .name = "guest.migrate",
      .lane = JOB_LONG,
      .run = guest_migrate,
      .sweep = guest_migrate_sweep,
      .claims = { { JOB_GUEST, true, "/guest" } } },
    { .name = "guest.managed-save",
      .lane = JOB_LONG,
      .run = guest_managed_save,
      .takes_over = true,
      .claims = { { JOB_GUEST, true, "/guest" } } },
    { .name = "guest.managed-save-remove",
      .lane = JOB_QUICK,
      .run = guest_managed_save_remove,
      .claims = { { JOB_GUEST, true, "/guest" } } },
    { 0 },
};
