/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The job types of guests and hosts, on the test driver, which has a running guest "test" and a pool "default-pool". */

#include "job_fixture.h"

#include <unistd.h>

#include "events_names.h"
#include "guest_internal.h"
#include "host.h"

#define XML_OF(inside)                                                                                       \
    "<domain type='test'>" inside                                                                            \
    "<memory unit='MiB'>8</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>"
#define XML_NAMED(name) XML_OF("<name>" name "</name>")

static virDomainPtr guest_named(const char *name)
{
    virDomainPtr dom = virDomainLookupByName(fixture_conn, name);

    ck_assert_msg(dom != NULL, "no guest '%s'", name);
    return dom;
}

static bool guest_exists(const char *name)
{
    virDomainPtr dom = virDomainLookupByName(fixture_conn, name);

    if (dom)
        virDomainFree(dom);
    return dom != NULL;
}

static void define(const char *xml)
{
    virDomainPtr dom = virDomainDefineXML(fixture_conn, xml);

    ck_assert_msg(dom != NULL, "%s", virGetLastErrorMessage());
    virDomainFree(dom);
}

START_TEST(a_guest_is_found_by_name_and_by_uuid)
{
    const json_t *info = fixture_succeed("guest.info", "{s:s}", "guest", "test");
    char *uuid = strdup(fixture_string(info, "uuid"));

    info = fixture_succeed("guest.info", "{s:s}", "guest", uuid);
    ck_assert_str_eq(fixture_string(info, "name"), "test");
    free(uuid);
    fixture_fail(ERROR_NOT_FOUND, "/params/guest", "guest.info", "{s:s}", "guest", "absent");
    fixture_fail(ERROR_NOT_FOUND, "/params/guest", "guest.info", "{s:s}", "guest", FIXTURE_JOB_ID);
}
END_TEST

START_TEST(a_guest_may_be_named_like_a_uuid)
{
    define(XML_NAMED("11111111-2222-3333-4444-555555555555"));
    fixture_succeed("guest.info", "{s:s}", "guest", "11111111-2222-3333-4444-555555555555");
}
END_TEST

START_TEST(impossible_names_are_refused_before_libvirt_sees_them)
{
    static const char *const names[] = { "a/b", "..", ".", "a\nb", "" };
    char longest[301] = "";

    memset(longest, 'x', 300);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        fixture_fail(ERROR_INVALID, "/params/guest", "guest.start", "{s:s}", "guest", names[i]);
        fixture_fail(ERROR_INVALID, "/params/name", "guest.define", "{s:s, s:s}", "xml", XML_NAMED("a"),
                     "name", names[i]);
    }
    fixture_fail(ERROR_INVALID, "/params/guest", "guest.start", "{s:s}", "guest", longest);
    longest[248] = '\0';
    fixture_fail(ERROR_INVALID, "/params/name", "guest.define", "{s:s, s:s}", "xml", XML_NAMED("a"), "name",
                 longest);
    fixture_fail(ERROR_INVALID, "/params/name", "guest.define", "{s:s, s:s}", "xml", XML_NAMED("a"), "name",
                 "a\xef\xbf\xbf"); /* U+FFFF, which no XML can hold */
    fixture_fail(ERROR_INVALID, "/params/xml", "guest.define", "{s:s}", "xml", XML_NAMED("a/b"));
    fixture_fail(ERROR_INVALID, "/params/xml", "guest.define", "{s:s}", "xml", XML_NAMED(".."));
    fixture_fail(ERROR_INVALID, "/params/xml", "guest.define", "{s:s}", "xml", XML_NAMED("a&#10;b"));
    fixture_fail(ERROR_INVALID, "/params/xml", "guest.define", "{s:s}", "xml", XML_OF(""));
}
END_TEST

START_TEST(define_makes_a_guest_with_the_id_of_the_job)
{
    const json_t *guest = fixture_succeed("guest.define", "{s:s}", "xml", XML_NAMED("web"));

    ck_assert_str_eq(fixture_string(guest, "name"), "web");
    ck_assert_str_eq(fixture_string(guest, "uuid"), FIXTURE_JOB_ID);
    ck_assert_str_eq(fixture_string(guest, "state"), "shutoff");
    ck_assert(json_is_true(json_object_get(guest, "persistent")));
    ck_assert(json_object_get(guest, "id") == NULL);
    ck_assert(fixture_outcome.changed);
}
END_TEST

START_TEST(define_takes_name_and_uuid_from_the_job)
{
    const char *uuid = "0A0A0A0A-1111-2222-3333-444444444444";
    const json_t *guest = fixture_succeed("guest.define", "{s:s, s:s, s:s}", "xml", XML_NAMED("web"), "name",
                                          "a<&\"'b", "uuid", uuid);

    ck_assert_str_eq(fixture_string(guest, "name"), "a<&\"'b");
    ck_assert_str_eq(fixture_string(guest, "uuid"), "0a0a0a0a-1111-2222-3333-444444444444");
    ck_assert(!guest_exists("web"));
}
END_TEST

START_TEST(define_takes_the_uuid_of_the_xml_in_any_spelling)
{
    const json_t *guest =
        fixture_succeed("guest.define", "{s:s}", "xml",
                        XML_OF("<name>web</name><uuid> 0A0A0A0A11112222-3333444444444444 </uuid>"));

    ck_assert_str_eq(fixture_string(guest, "uuid"), "0a0a0a0a-1111-2222-3333-444444444444");
    fixture_fail(ERROR_INVALID, "/params/xml", "guest.define", "{s:s}", "xml",
                 XML_OF("<name>web2</name><uuid>0a0a</uuid>"));
    fixture_fail(ERROR_INVALID, "/params/xml", "guest.define", "{s:s}", "xml",
                 XML_OF("<name>web2</name><uuid>0a0a0a0a1111222233334444444444445</uuid>"));
}
END_TEST

START_TEST(define_refuses_hostile_xml)
{
    static const char *const bad[] = {
        "<domain type='test'><name>a</name>",
        "<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain "
        "type='test'><name>&x;</name></domain>",
        "<!DOCTYPE d [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;'>]><domain "
        "type='test'><name>&b;</name></domain>",
        "<network><name>a</name></network>",
        "not xml",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct outcome *outcome =
            fixture_fail(ERROR_INVALID, "/params/xml", "guest.define", "{s:s}", "xml", bad[i]);

        ck_assert_msg(strstr(outcome->error.message, "line ") != NULL, "%s", outcome->error.message);
    }
    ck_assert_int_eq(virConnectNumOfDefinedDomains(fixture_conn), 0);
}
END_TEST

START_TEST(define_passes_on_what_libvirt_does_not_like)
{
    fixture_fail(ERROR_INVALID, "/params/xml", "guest.define", "{s:s, s:b}", "xml",
                 "<domain type='test'><name>a</name><os><type>hvm</type></os><nonsense/></domain>",
                 "validate", 1);
    fixture_fail(ERROR_INVALID, "/params/xml", "guest.define", "{s:s, s:b}", "xml",
                 "<domain type='test'><name>a</name></domain>", "validate", 0);
    fixture_succeed("guest.define", "{s:s, s:b}", "xml", XML_OF("<name>a</name><nonsense/>"), "validate", 0);
}
END_TEST

START_TEST(define_never_takes_the_place_of_another_guest)
{
    const char *xml = XML_OF("<name>web</name><uuid>0a0a0a0a-1111-2222-3333-444444444444</uuid>");

    define(xml);
    fixture_fail(ERROR_CONFLICT, "/params/xml", "guest.define", "{s:s}", "xml", xml);
    fixture_fail(ERROR_CONFLICT, "/params/xml", "guest.define", "{s:s}", "xml", XML_NAMED("web"));
    fixture_fail(ERROR_CONFLICT, "/params/name", "guest.define", "{s:s, s:s}", "xml", XML_NAMED("x"), "name",
                 "web");
    fixture_fail(ERROR_CONFLICT, "/params/uuid", "guest.define", "{s:s, s:s}", "xml", XML_NAMED("x"), "uuid",
                 "0a0a0a0a-1111-2222-3333-444444444444");
    fixture_fail(ERROR_CONFLICT, "/params/xml", "guest.define", "{s:s, s:s, s:b}", "xml", xml, "uuid",
                 "0a0a0a0a-1111-2222-3333-444444444445", "replace", 1);
    ck_assert_int_eq(virConnectNumOfDefinedDomains(fixture_conn), 1);
}
END_TEST

START_TEST(define_replaces_on_demand_and_tells_whether_it_changed)
{
    fixture_succeed("guest.define", "{s:s}", "xml", XML_NAMED("web"));
    fixture_succeed("guest.define", "{s:s, s:b}", "xml", XML_NAMED("web"), "replace", 1);
    ck_assert(!fixture_outcome.changed);
    fixture_succeed("guest.define", "{s:s, s:b}", "xml", XML_OF("<name>web</name><title>new</title>"),
                    "replace", 1);
    ck_assert(fixture_outcome.changed);
}
END_TEST

START_TEST(define_with_replace_keeps_the_uuid_of_the_guest)
{
    const json_t *guest;

    define(XML_OF("<name>web</name><uuid>0a0a0a0a-1111-2222-3333-444444444444</uuid>"));
    guest = fixture_succeed("guest.define", "{s:s, s:b}", "xml", XML_NAMED("web"), "replace", 1);
    ck_assert_str_eq(fixture_string(guest, "uuid"), "0a0a0a0a-1111-2222-3333-444444444444");
}
END_TEST

START_TEST(start_and_destroy_hold_their_state)
{
    const json_t *guest;

    define(XML_NAMED("web"));
    guest = fixture_succeed("guest.start", "{s:s}", "guest", "web");
    ck_assert_str_eq(fixture_string(guest, "state"), "running");
    ck_assert_str_eq(fixture_string(guest, "reason"), "booted");
    ck_assert(json_is_false(json_object_get(guest, "restored")));
    ck_assert(json_integer_value(json_object_get(guest, "id")) > 0);
    ck_assert(fixture_outcome.changed);
    fixture_succeed("guest.start", "{s:s}", "guest", "web");
    ck_assert(!fixture_outcome.changed);

    guest = fixture_succeed("guest.destroy", "{s:s}", "guest", "web");
    ck_assert_str_eq(fixture_string(guest, "state"), "shutoff");
    ck_assert_str_eq(fixture_string(guest, "reason"), "destroyed");
    ck_assert(fixture_outcome.changed);
    fixture_succeed("guest.destroy", "{s:s}", "guest", "web");
    ck_assert(!fixture_outcome.changed);
}
END_TEST

START_TEST(start_tells_of_a_managed_save)
{
    const json_t *result;
    virDomainPtr dom;

    define(XML_NAMED("web"));
    fixture_succeed("guest.start", "{s:s}", "guest", "web");
    dom = guest_named("web");
    ck_assert_int_eq(virDomainManagedSave(dom, 0), 0);
    result = fixture_succeed("guest.info", "{s:s}", "guest", "web");
    ck_assert(json_is_true(json_object_get(result, "managed_save")));
    result = fixture_succeed("guest.start", "{s:s}", "guest", "web");
    ck_assert(json_is_true(json_object_get(result, "restored")));
    virDomainFree(dom);
}
END_TEST

START_TEST(destroying_a_transient_guest_ends_it)
{
    virDomainPtr dom = virDomainCreateXML(fixture_conn, XML_NAMED("fleeting"), 0);
    const json_t *guest = fixture_succeed("guest.destroy", "{s:s}", "guest", "fleeting");

    ck_assert(json_is_false(json_object_get(guest, "persistent")));
    ck_assert_str_eq(fixture_string(guest, "state"), "shutoff");
    fixture_fail(ERROR_NOT_FOUND, "/params/guest", "guest.destroy", "{s:s}", "guest", "fleeting");
    virDomainFree(dom);
}
END_TEST

START_TEST(shutdown_ends_the_guest)
{
    const json_t *guest = fixture_succeed("guest.shutdown", "{s:s}", "guest", "test");

    ck_assert_str_eq(fixture_string(guest, "state"), "shutoff");
    ck_assert_str_eq(fixture_string(guest, "reason"), "shutdown");
    ck_assert(json_is_false(json_object_get(guest, "forced")));
    ck_assert(fixture_outcome.changed);
    fixture_succeed("guest.shutdown", "{s:s}", "guest", "test");
    ck_assert(!fixture_outcome.changed);
    fixture_fail(ERROR_INVALID, "/params/timeout_s", "guest.shutdown", "{s:s, s:i}", "guest", "test",
                 "timeout_s", 0);
}
END_TEST

START_TEST(undefine_removes_what_belongs_to_the_guest)
{
    virDomainPtr dom;
    virDomainSnapshotPtr snapshot;

    define(XML_NAMED("web"));
    dom = guest_named("web");
    snapshot = virDomainSnapshotCreateXML(dom, "<domainsnapshot><name>s</name></domainsnapshot>", 0);
    ck_assert(snapshot != NULL);
    virDomainSnapshotFree(snapshot);
    ck_assert_int_eq(virDomainCreate(dom), 0);
    ck_assert_int_eq(virDomainManagedSave(dom, 0), 0);
    fixture_succeed("guest.undefine", "{s:s}", "guest", "web");
    ck_assert(fixture_outcome.changed);
    ck_assert(!guest_exists("web"));
    fixture_succeed("guest.undefine", "{s:s}", "guest", "web");
    ck_assert(!fixture_outcome.changed);
    fixture_succeed("guest.undefine", "{s:s}", "guest", FIXTURE_JOB_ID);
    ck_assert(!fixture_outcome.changed);
    virDomainFree(dom);
}
END_TEST

START_TEST(undefine_turns_off_only_on_demand)
{
    const json_t *result;

    fixture_fail(ERROR_CONFLICT, "/params/guest", "guest.undefine", "{s:s}", "guest", "test");
    ck_assert(guest_exists("test"));
    result = fixture_succeed("guest.undefine", "{s:s, s:b}", "guest", "test", "destroy", 1);
    ck_assert(json_is_true(json_object_get(result, "destroyed")));
    ck_assert(!guest_exists("test"));
}
END_TEST

/* A volume in the driver's pool; returns its path. */
static char *volume_made(const char *name)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(fixture_conn, "default-pool");
    virStorageVolPtr vol;
    char xml[256], *path;

    snprintf(xml, sizeof(xml), "<volume><name>%s</name><capacity>1048576</capacity></volume>", name);
    vol = virStorageVolCreateXML(pool, xml, 0);
    ck_assert_msg(vol != NULL, "%s", virGetLastErrorMessage());
    path = virStorageVolGetPath(vol);
    virStorageVolFree(vol);
    virStoragePoolFree(pool);
    return path;
}

static bool volume_exists(const char *path)
{
    virStorageVolPtr vol = virStorageVolLookupByPath(fixture_conn, path);

    if (vol)
        virStorageVolFree(vol);
    return vol != NULL;
}

static void define_with_disks(const char *name, const char *disks)
{
    char xml[2048];

    snprintf(xml, sizeof(xml),
             "<domain "
             "type='test'><name>%s</name><memory>8192</memory><os><type>hvm</type></os><devices>%s</devices>"
             "</domain>",
             name, disks);
    define(xml);
}

START_TEST(undefine_deletes_volumes_that_are_the_guests_alone)
{
    char *mine = volume_made("mine"), *shared = volume_made("shared"), *media = volume_made("media");
    char disks[1024], other[256];
    const json_t *result;

    snprintf(disks, sizeof(disks),
             "<disk type='file'><source file='%s'/><target dev='vda'/></disk>"
             "<disk type='file'><source file='%s'/><target dev='vdb'/></disk>"
             "<disk type='file' device='cdrom'><source file='%s'/><target dev='hda'/><readonly/></disk>"
             "<disk type='file' device='cdrom'><target dev='hdb'/><readonly/></disk>"
             "<disk type='file'><source file='/nowhere/at/all'/><target dev='vdc'/></disk>",
             mine, shared, media);
    snprintf(other, sizeof(other),
             "<disk type='volume'><source pool='default-pool' volume='shared'/>"
             "<target dev='vda'/></disk>");
    define_with_disks("web", disks);
    define_with_disks("other", other);
    result = fixture_succeed("guest.undefine", "{s:s, s:b}", "guest", "web", "volumes", 1);
    ck_assert_uint_eq(json_array_size(json_object_get(result, "volumes_deleted")), 1);
    ck_assert_str_eq(fixture_string(json_array_get(json_object_get(result, "volumes_deleted"), 0), "path"),
                     mine);
    ck_assert_uint_eq(json_array_size(json_object_get(result, "volumes_kept")), 3);
    ck_assert_str_eq(fixture_string(json_array_get(json_object_get(result, "volumes_kept"), 1), "reason"),
                     "guest 'other' has it too");
    ck_assert(!volume_exists(mine));
    ck_assert(volume_exists(shared));
    ck_assert(volume_exists(media));
    ck_assert(!guest_exists("web"));
    free(mine);
    free(shared);
    free(media);
}
END_TEST

START_TEST(info_tells_figures_disks_and_interfaces)
{
    const json_t *info, *disk, *interface;

    define_with_disks("web", "<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source "
                             "pool='default-pool' volume='v'/><target dev='vda' bus='virtio'/></disk>"
                             "<interface type='network'><mac address='52:54:00:00:00:01'/><source "
                             "network='default'/><model type='virtio'/></interface>");
    info = fixture_succeed("guest.info", "{s:s, s:b}", "guest", "web", "xml", 1);
    ck_assert_int_eq(json_integer_value(json_object_get(info, "memory_max")), 8192 * 1024);
    disk = json_array_get(json_object_get(info, "disks"), 0);
    ck_assert_str_eq(fixture_string(disk, "device"), "vda");
    ck_assert_str_eq(fixture_string(disk, "kind"), "disk");
    ck_assert_str_eq(fixture_string(disk, "pool"), "default-pool");
    ck_assert_str_eq(fixture_string(disk, "volume"), "v");
    ck_assert_str_eq(fixture_string(disk, "format"), "qcow2");
    ck_assert(json_is_false(json_object_get(disk, "readonly")));
    interface = json_array_get(json_object_get(info, "interfaces"), 0);
    ck_assert_str_eq(fixture_string(interface, "mac"), "52:54:00:00:00:01");
    ck_assert_str_eq(fixture_string(interface, "source"), "default");
    ck_assert(strstr(fixture_string(info, "xml"), "<name>web</name>") != NULL);
}
END_TEST

START_TEST(info_never_tells_passwords)
{
    define_with_disks("web", "<graphics type='vnc' port='-1' passwd='hunter2'/>");
    ck_assert(
        strstr(fixture_string(fixture_succeed("guest.info", "{s:s, s:b}", "guest", "web", "xml", 1), "xml"),
               "hunter2") == NULL);
}
END_TEST

START_TEST(info_asks_for_addresses_on_demand)
{
    const json_t *info = fixture_succeed("guest.info", "{s:s}", "guest", "test");

    ck_assert(json_object_get(info, "addresses") == NULL);
    info = fixture_succeed("guest.info", "{s:s, s:s}", "guest", "test", "addresses", "lease");
    ck_assert(json_is_array(json_object_get(info, "addresses")));
}
END_TEST

/* The number of guests that a filter leaves. */
static int listed(const char *filter)
{
    return (int)json_integer_value(
        json_object_get(fixture_succeed("guest.list", "{s:[s]}", "filters", filter), "total"));
}

START_TEST(list_knows_the_filters_of_libvirt)
{
    virDomainPtr dom = virDomainCreateXML(fixture_conn, XML_NAMED("fleeting"), 0);

    define(XML_NAMED("web"));
    ck_assert_int_eq(listed("active"), 2);
    ck_assert_int_eq(listed("inactive"), 1);
    ck_assert_int_eq(listed("persistent"), 2);
    ck_assert_int_eq(listed("transient"), 1);
    ck_assert_int_eq(listed("running"), 2);
    ck_assert_int_eq(listed("shutoff"), 1);
    ck_assert_int_eq(listed("paused"), 0);
    ck_assert_int_eq(listed("managed-save"), 0);
    ck_assert_int_eq(listed("no-snapshot"), 3);
    fixture_fail(ERROR_INVALID, "/params/filters/0", "guest.list", "{s:[s]}", "filters", "nonsense");
    virDomainFree(dom);
}
END_TEST

START_TEST(list_is_sorted_and_bounded)
{
    const json_t *result, *guests;
    char xml[512];

    for (int i = 0; i < 12; i++) {
        snprintf(xml, sizeof(xml),
                 "<domain type='test'><name>g%02d</name><memory>1</memory><os><type>hvm</type></os>"
                 "</domain>",
                 11 - i);
        define(xml);
    }
    result = fixture_succeed("guest.list", "{s:i}", "limit", 5);
    guests = json_object_get(result, "guests");
    ck_assert_uint_eq(json_array_size(guests), 5);
    ck_assert_str_eq(fixture_string(json_array_get(guests, 0), "name"), "g00");
    ck_assert_str_eq(fixture_string(json_array_get(guests, 4), "name"), "g04");
    ck_assert_int_eq(json_integer_value(json_object_get(result, "total")), 13);
    ck_assert(json_is_true(json_object_get(result, "truncated")));
    result = fixture_succeed("guest.list", "{}");
    ck_assert_uint_eq(json_array_size(json_object_get(result, "guests")), 13);
    ck_assert(json_is_false(json_object_get(result, "truncated")));
}
END_TEST

START_TEST(list_tells_the_state_of_each_guest)
{
    virDomainPtr dom = virDomainCreateXML(fixture_conn, XML_NAMED("a-fleeting"), 0);
    const json_t *guests, *first, *second;

    ck_assert_int_eq(virDomainSuspend(dom), 0);
    guests = json_object_get(fixture_succeed("guest.list", "{}"), "guests");
    first = json_array_get(guests, 0);
    second = json_array_get(guests, 1);
    ck_assert_str_eq(fixture_string(first, "state"), "paused");
    ck_assert(json_is_false(json_object_get(first, "persistent")));
    ck_assert_str_eq(fixture_string(second, "name"), "test");
    ck_assert_str_eq(fixture_string(second, "state"), "running");
    ck_assert(json_is_true(json_object_get(second, "persistent")));
    ck_assert_int_eq(json_integer_value(json_object_get(second, "id")), 1);
    virDomainFree(dom);
}
END_TEST

/* The schema and the table in guest_list.c must name the same filters. */
START_TEST(every_filter_of_the_schema_is_known)
{
    struct schemas_file file;
    const json_t *filter, *filters;
    json_t *schema;
    size_t i;

    ck_assert_int_eq(schemas_find("guest.list.json", &file), 0);
    ck_assert((schema = json_loadb(file.text, file.length, 0, NULL)) != NULL);
    ck_assert_int_eq(json_unpack(schema, "{s:{s:{s:{s:{s:{s:o}}}}}}", "$defs", "params", "properties",
                                 "filters", "items", "enum", &filters),
                     0);
    ck_assert_uint_eq(json_array_size(filters), 16);
    json_array_foreach (filters, i, filter)
        ck_assert_msg(guest_list_flag(json_string_value(filter)) != 0, "%s", json_string_value(filter));
    json_decref(schema);
}
END_TEST

/* guestState in common.json has the words of events_names.c. */
START_TEST(every_state_has_a_word_of_the_schema)
{
    const struct schema *states = schema_store_find(fixture_schemas, "common.json#/$defs/guestState");

    ck_assert(states != NULL);
    for (int state = -1; state <= VIR_DOMAIN_PMSUSPENDED + 1; state++) {
        json_t *word = json_string(events_state_name(state));

        ck_assert_int_eq(schema_check(states, word, "", NULL), 0);
        json_decref(word);
        for (int reason = -1; reason < 30; reason++)
            ck_assert(events_reason_name(state, reason) != NULL);
    }
    ck_assert_str_eq(events_state_name(VIR_DOMAIN_PMSUSPENDED + 1), "unknown");
    ck_assert_str_eq(events_reason_name(VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_DAEMON), "daemon");
    ck_assert_str_eq(events_reason_name(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_POSTCOPY_FAILED),
                     "postcopy-failed");
    ck_assert_str_eq(events_reason_name(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY_FAILED),
                     "postcopy-failed");
}
END_TEST

START_TEST(host_info_tells_what_the_host_has)
{
    const json_t *info = fixture_succeed("host.info", "{}");
    const json_t *pool = json_array_get(json_object_get(info, "pools"), 0);

    ck_assert_str_eq(fixture_string(info, "hypervisor"), "TEST");
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(info, "guests"), "active")), 1);
    ck_assert_str_eq(fixture_string(pool, "name"), "default-pool");
    ck_assert_str_eq(fixture_string(pool, "state"), "running");
    ck_assert_uint_ge(json_array_size(json_object_get(info, "guest_types")), 1);
    ck_assert(json_integer_value(json_object_get(json_object_get(info, "node"), "memory")) > 0);
}
END_TEST

int main(void)
{
    const TTest *const all[] = { a_guest_is_found_by_name_and_by_uuid,
                                 a_guest_may_be_named_like_a_uuid,
                                 impossible_names_are_refused_before_libvirt_sees_them,
                                 define_makes_a_guest_with_the_id_of_the_job,
                                 define_takes_name_and_uuid_from_the_job,
                                 define_takes_the_uuid_of_the_xml_in_any_spelling,
                                 define_refuses_hostile_xml,
                                 define_passes_on_what_libvirt_does_not_like,
                                 define_never_takes_the_place_of_another_guest,
                                 define_replaces_on_demand_and_tells_whether_it_changed,
                                 define_with_replace_keeps_the_uuid_of_the_guest,
                                 start_and_destroy_hold_their_state,
                                 start_tells_of_a_managed_save,
                                 destroying_a_transient_guest_ends_it,
                                 shutdown_ends_the_guest,
                                 undefine_removes_what_belongs_to_the_guest,
                                 undefine_turns_off_only_on_demand,
                                 undefine_deletes_volumes_that_are_the_guests_alone,
                                 info_tells_figures_disks_and_interfaces,
                                 info_never_tells_passwords,
                                 info_asks_for_addresses_on_demand,
                                 list_knows_the_filters_of_libvirt,
                                 list_is_sorted_and_bounded,
                                 list_tells_the_state_of_each_guest,
                                 every_filter_of_the_schema_is_known,
                                 every_state_has_a_word_of_the_schema,
                                 host_info_tells_what_the_host_has,
                                 NULL };

    return fixture_main("guest", fixture_setup, all);
}
