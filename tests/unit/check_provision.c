/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.provision on the test driver, whose pool "default-pool" clones at once; and what becomes of a template's XML. */

#include "job_fixture.h"

#include "guest_internal.h"

#define POOL "default-pool"

#define DEVICES                                                                                              \
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/template/a'/>"           \
    "<target dev='vda' bus='virtio'/></disk>"                                                                \
    "<disk type='block' device='disk'><source dev='/template/b'/><target dev='vdb' bus='virtio'/></disk>"    \
    "<interface type='user'><mac address='52:54:00:aa:aa:aa'/></interface>"                                  \
    "<interface type='user'><mac address='52:54:00:bb:bb:bb'/></interface>"

#define TEMPLATE                                                                                             \
    "<domain type='test'><name>template</name><uuid>99999999-1111-2222-3333-444444444444</uuid>"             \
    "<memory>8192</memory><os><type>hvm</type></os><devices>" DEVICES "</devices></domain>"

static void volume_make(const char *name, unsigned long long capacity)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(fixture_conn, POOL);
    virStorageVolPtr vol;
    char xml[256];

    snprintf(xml, sizeof(xml), "<volume><name>%s</name><capacity>%llu</capacity></volume>", name, capacity);
    vol = virStorageVolCreateXML(pool, xml, 0);
    ck_assert_msg(vol != NULL, "%s", virGetLastErrorMessage());
    virStorageVolFree(vol);
    virStoragePoolFree(pool);
}

static int volume_count(void)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(fixture_conn, POOL);
    int count = virStoragePoolNumOfVolumes(pool);

    virStoragePoolFree(pool);
    return count;
}

/* The source of every test; one volume is there then. */
static void setup(void)
{
    fixture_setup();
    volume_make("image", 1048576);
}

/* One disk of the parameters. */
static json_t *disk(const char *device, const char *source, const char *target)
{
    return json_pack("{s:s, s:{s:s, s:s}, s:{s:s, s:s}}", "device", device, "source", "pool", POOL, "volume",
                     source, "target", "pool", POOL, "volume", target);
}

static json_t *params(json_t *first, json_t *second)
{
    json_t *disks = second ? json_pack("[o, o]", first, second) : json_pack("[o]", first);

    return json_pack("{s:s, s:s, s:o}", "xml", TEMPLATE, "name", "web", "disks", disks);
}

static json_t *with(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
    return object;
}

static void assert_nothing_left(void)
{
    ck_assert_int_eq(volume_count(), 1);
    ck_assert_int_eq(virConnectNumOfDefinedDomains(fixture_conn), 0);
    ck_assert_int_eq(virConnectNumOfDomains(fixture_conn), 1);
}

START_TEST(provision_clones_defines_and_starts)
{
    const json_t *result = fixture_succeed_with(
        "guest.provision", params(disk("vda", "image", "web-a"), disk("vdb", "image", "web-b")));
    const json_t *guest = json_object_get(result, "guest"), *volumes = json_object_get(result, "volumes");
    const json_t *disks, *first;

    ck_assert_str_eq(fixture_string(guest, "name"), "web");
    ck_assert_str_eq(fixture_string(guest, "uuid"), FIXTURE_JOB_ID);
    ck_assert_str_eq(fixture_string(guest, "state"), "running");
    ck_assert_uint_eq(json_array_size(volumes), 2);
    first = json_array_get(volumes, 0);
    ck_assert_str_eq(fixture_string(first, "device"), "vda");
    ck_assert_str_eq(fixture_string(json_object_get(first, "volume"), "volume"), "web-a");
    ck_assert_int_eq(volume_count(), 3);

    disks = json_object_get(fixture_succeed("guest.info", "{s:s}", "guest", "web"), "disks");
    ck_assert_str_eq(fixture_string(json_array_get(disks, 0), "path"), "/default-pool/web-a");
    ck_assert_str_eq(fixture_string(json_array_get(disks, 1), "path"), "/default-pool/web-b");
    ck_assert_str_eq(fixture_string(json_array_get(disks, 1), "type"), "file");
}
END_TEST

START_TEST(provision_need_not_start)
{
    const json_t *result = fixture_succeed_with(
        "guest.provision", with(params(disk("vda", "image", "web-a"), NULL), "start", json_false()));

    ck_assert_str_eq(fixture_string(json_object_get(result, "guest"), "state"), "shutoff");
}
END_TEST

START_TEST(provision_gives_other_macs_than_the_templates)
{
    json_t *wished =
        with(params(disk("vda", "image", "web-a"), NULL), "macs", json_pack("[s]", "52:54:00:cc:cc:cc"));
    const json_t *macs = json_object_get(fixture_succeed_with("guest.provision", wished), "macs");

    ck_assert_uint_eq(json_array_size(macs), 2);
    ck_assert_str_eq(json_string_value(json_array_get(macs, 0)), "52:54:00:cc:cc:cc");
    ck_assert_str_ne(json_string_value(json_array_get(macs, 1)), "52:54:00:bb:bb:bb");
}
END_TEST

START_TEST(provision_looks_before_it_copies)
{
    json_t *d = disk("vda", "image", "web-a");

    fixture_fail_with(ERROR_INVALID, "/params/disks/0/device", "guest.provision",
                      params(disk("vdx", "image", "web-a"), NULL));
    fixture_fail_with(ERROR_INVALID, "/params/disks/1/device", "guest.provision",
                      params(json_incref(d), disk("vda", "image", "web-b")));
    fixture_fail_with(ERROR_INVALID, "/params/disks/1/target", "guest.provision",
                      params(json_incref(d), disk("vdb", "image", "web-a")));
    fixture_fail_with(ERROR_NOT_FOUND, "/params/disks/1/source/volume", "guest.provision",
                      params(json_incref(d), disk("vdb", "absent", "web-b")));
    fixture_fail_with(ERROR_CONFLICT, "/params/disks/1/target/volume", "guest.provision",
                      params(json_incref(d), disk("vdb", "image", "image")));
    fixture_fail_with(ERROR_INVALID, "/params/disks/1/target/volume", "guest.provision",
                      params(json_incref(d), disk("vdb", "image", "b.virtjob")));
    fixture_fail_with(
        ERROR_INVALID, "/params/macs/2", "guest.provision",
        with(params(json_incref(d), NULL), "macs",
             json_pack("[s, s, s]", "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03")));
    fixture_fail_with(ERROR_INVALID, "/params/xml", "guest.provision",
                      with(params(json_incref(d), NULL), "xml", json_string("<domain>")));
    fixture_fail_with(ERROR_CONFLICT, "/params/name", "guest.provision",
                      with(params(json_incref(d), NULL), "name", json_string("test")));
    ck_assert(fixture_outcome.rollback == NULL);
    ck_assert_str_eq(fixture_outcome.step, "check");
    json_decref(d);
    assert_nothing_left();
}
END_TEST

START_TEST(provision_refuses_the_uuid_of_another)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    virDomainPtr dom = virDomainLookupByName(fixture_conn, "test");

    virDomainGetUUIDString(dom, uuid);
    fixture_fail_with(ERROR_CONFLICT, "/params/uuid", "guest.provision",
                      with(params(disk("vda", "image", "web-a"), NULL), "uuid", json_string(uuid)));
    assert_nothing_left();
    virDomainFree(dom);
}
END_TEST

START_TEST(a_failing_clone_undoes_the_one_before)
{
    json_t *small = with(disk("vdb", "image", "web-b"), "capacity", json_integer(512));
    const struct outcome *outcome =
        fixture_fail_with(ERROR_INVALID, "/params/disks/1/capacity", "guest.provision",
                          params(disk("vda", "image", "web-a"), small));

    ck_assert_uint_ge(json_array_size(outcome->rollback), 1);
    ck_assert_str_eq(outcome->step, "clone");
    assert_nothing_left();
}
END_TEST

/* What only libvirt can know: a CPU model, a machine type, a schema. */
START_TEST(a_failing_define_undoes_the_clones)
{
    json_t *wished =
        with(params(disk("vda", "image", "web-a"), NULL), "xml",
             json_string("<domain type='test'><name>x</name><memory>1</memory><os><type>hvm</type></os>"
                         "<nonsense/><devices>" DEVICES "</devices></domain>"));
    const struct outcome *outcome =
        fixture_fail_with(ERROR_INVALID, "/params/xml", "guest.provision", wished);

    ck_assert_str_eq(outcome->step, "define");
    ck_assert_uint_eq(json_array_size(outcome->rollback), 1);
    ck_assert(json_is_true(json_object_get(json_array_get(outcome->rollback, 0), "ok")));
    assert_nothing_left();
}
END_TEST

/* The test driver does not know how to start paused. */
START_TEST(a_failing_start_undoes_all)
{
    const struct outcome *outcome =
        fixture_fail_with(ERROR_INVALID, NULL, "guest.provision",
                          with(params(disk("vda", "image", "web-a"), NULL), "paused", json_true()));

    ck_assert_str_eq(outcome->step, "start");
    ck_assert_uint_eq(json_array_size(outcome->rollback), 2);
    ck_assert_str_eq(fixture_string(json_array_get(outcome->rollback, 0), "undo"), "undefine");
    assert_nothing_left();
}
END_TEST

START_TEST(what_is_to_be_kept_is_kept)
{
    const struct outcome *outcome = fixture_run(
        "guest.provision", with(params(disk("vda", "image", "web-a"), NULL), "paused", json_true()), false);

    ck_assert_int_eq(outcome->state, OUTCOME_FAILED);
    ck_assert(outcome->rollback == NULL);
    ck_assert_int_eq(volume_count(), 2);
    ck_assert_int_eq(virConnectNumOfDefinedDomains(fixture_conn), 1);
}
END_TEST

START_TEST(a_template_loses_what_two_guests_must_not_share)
{
    struct error err = ERROR_INIT;
    xmlDocPtr doc =
        xml_parse("<domain><genid>99999999-1111-2222-3333-444444444444</genid><os><nvram type='file' "
                  "template='/t.fd'><source file='/v.fd'/></nvram></os><sysinfo><system>"
                  "<entry name='serial'>1</entry><entry name='uuid'>x</entry></system></sysinfo></domain>",
                  "domain", NULL, &err);
    char *text;

    ck_assert_int_eq(guest_template_renew(doc, FIXTURE_JOB_ID, NULL, &err), 0);
    text = xml_text(doc, &err);
    ck_assert_str_eq(text,
                     "<domain><genid></genid><os><nvram template=\"/t.fd\"></nvram></os><sysinfo><system>"
                     "<entry name=\"serial\">1</entry><entry name=\"uuid\">" FIXTURE_JOB_ID
                     "</entry></system></sysinfo></domain>\n");
    free(text);
    xmlFreeDoc(doc);
}
END_TEST

START_TEST(a_disk_is_found_by_its_device_alone)
{
    xmlDocPtr doc = xml_parse(TEMPLATE, "domain", NULL, NULL);

    ck_assert(guest_template_disk(doc, "vda") != NULL);
    ck_assert(guest_template_disk(doc, "vda' or '1'='1") == NULL);
    ck_assert(guest_template_disk(doc, "") == NULL);
    xmlFreeDoc(doc);
}
END_TEST

/* A disk takes all that volume.clone takes, and its device. */
START_TEST(a_disk_of_the_schema_is_a_clone_and_a_device)
{
    struct schemas_file clone, provision;
    json_t *a, *b, *clone_params, *disk_params;
    const char *key;
    json_t *value;

    ck_assert_int_eq(schemas_find("volume.clone.json", &clone), 0);
    ck_assert_int_eq(schemas_find("guest.provision.json", &provision), 0);
    a = json_loadb(clone.text, clone.length, 0, NULL);
    b = json_loadb(provision.text, provision.length, 0, NULL);
    ck_assert_int_eq(json_unpack(a, "{s:{s:{s:o}}}", "$defs", "params", "properties", &clone_params), 0);
    ck_assert_int_eq(json_unpack(b, "{s:{s:{s:o}}}", "$defs", "disk", "properties", &disk_params), 0);
    json_object_foreach (clone_params, key, value)
        ck_assert_msg(json_object_get(disk_params, key) != NULL, "no '%s'", key);
    ck_assert_uint_eq(json_object_size(disk_params), json_object_size(clone_params) + 1);
    json_decref(a);
    json_decref(b);
}
END_TEST

int main(void)
{
    const TTest *const all[] = { provision_clones_defines_and_starts,
                                 provision_need_not_start,
                                 provision_gives_other_macs_than_the_templates,
                                 provision_looks_before_it_copies,
                                 provision_refuses_the_uuid_of_another,
                                 a_failing_clone_undoes_the_one_before,
                                 a_failing_define_undoes_the_clones,
                                 a_failing_start_undoes_all,
                                 what_is_to_be_kept_is_kept,
                                 a_template_loses_what_two_guests_must_not_share,
                                 a_disk_is_found_by_its_device_alone,
                                 a_disk_of_the_schema_is_a_clone_and_a_device,
                                 NULL };

    return fixture_main("provision", setup, all);
}
