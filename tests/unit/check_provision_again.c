/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.provision that comes again, on the test driver. Its pool keeps no records of volumes: where there is no guest
 * yet, nothing tells whose a volume is; the guest's stamp speaks for the volumes of its disks. */

#include "job_fixture.h"

#include "stamp.h"

#define POOL     "default-pool"
#define OTHER_ID "11111111-2222-3333-4444-555555555555"

#define TEMPLATE                                                                                             \
    "<domain type='test'><name>template</name><memory>8192</memory><os><type>hvm</type></os><devices>"       \
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/template/a'/>"           \
    "<target dev='vda' bus='virtio'/></disk>"                                                                \
    "<disk type='block' device='disk'><source dev='/template/b'/><target dev='vdb' bus='virtio'/></disk>"    \
    "<interface type='user'/></devices></domain>"

static void volume_make(const char *name)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(fixture_conn, POOL);
    char xml[256];

    snprintf(xml, sizeof(xml), "<volume><name>%s</name><capacity>1048576</capacity></volume>", name);
    AUTO(volume) virStorageVolPtr vol = virStorageVolCreateXML(pool, xml, 0);
    ck_assert_msg(vol != NULL, "%s", virGetLastErrorMessage());
}

static int volume_count(void)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(fixture_conn, POOL);

    return virStoragePoolNumOfVolumes(pool);
}

static void volume_remove(const char *name)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(fixture_conn, POOL);
    AUTO(volume) virStorageVolPtr vol = virStorageVolLookupByName(pool, name);

    ck_assert_int_eq(virStorageVolDelete(vol, 0), 0);
}

static void setup(void)
{
    fixture_setup();
    volume_make("image");
}

static json_t *disk(const char *device, const char *target)
{
    return json_pack("{s:s, s:{s:s, s:s}, s:{s:s, s:s}}", "device", device, "source", "pool", POOL, "volume",
                     "image", "target", "pool", POOL, "volume", target);
}

/* A guest "web" on the volumes web-a and web-b. */
static json_t *params(bool start)
{
    return json_pack("{s:s, s:s, s:[o, o], s:b}", "xml", TEMPLATE, "name", "web", "disks",
                     disk("vda", "web-a"), disk("vdb", "web-b"), "start", start);
}

static virDomainPtr web(void)
{
    virDomainPtr dom = virDomainLookupByName(fixture_conn, "web");

    ck_assert(dom != NULL);
    return dom;
}

static struct stamp stamp_of_web(void)
{
    AUTO(domain) virDomainPtr dom = web();
    struct stamp stamp;

    ck_assert_int_eq(stamp_read_guest(dom, &stamp, NULL), 0);
    return stamp;
}

/* All is done but for the outcome, or for the start as well; what follows comes again. */
static void attempt(bool start)
{
    fixture_succeed_with("guest.provision", params(start));
    ck_assert(!fixture_outcome.adopted);
    fixture_again = true;
}

static const char *undone(size_t index)
{
    const json_t *row = json_array_get(fixture_outcome.rollback, index);

    ck_assert(json_is_true(json_object_get(row, "ok")));
    return fixture_string(row, "undo");
}

static void assert_nothing_left(void)
{
    ck_assert_int_eq(volume_count(), 1);
    ck_assert_int_eq(virConnectNumOfDefinedDomains(fixture_conn), 0);
    ck_assert_int_eq(virConnectNumOfDomains(fixture_conn), 1);
}

START_TEST(the_guest_is_a_part_of_what_the_job_makes)
{
    struct stamp stamp;

    fixture_sweeps = true;
    fixture_succeed_with("guest.provision", params(true));
    stamp = stamp_of_web();
    ck_assert_int_eq(stamp.state, STAMP_DONE);
    ck_assert_str_eq(stamp.job, FIXTURE_JOB_ID);
    ck_assert_str_eq(stamp.type, "guest.provision");
    ck_assert(stamp.part);
}
END_TEST

START_TEST(what_is_all_done_is_taken_over)
{
    const json_t *result, *volumes;

    attempt(true);
    result = fixture_succeed_with("guest.provision", params(true));
    ck_assert(fixture_outcome.adopted);
    ck_assert_str_eq(fixture_string(json_object_get(result, "guest"), "state"), "running");
    volumes = json_object_get(result, "volumes");
    ck_assert_uint_eq(json_array_size(volumes), 2);
    ck_assert_str_eq(fixture_string(json_array_get(volumes, 0), "device"), "vda");
    ck_assert_str_eq(fixture_string(json_object_get(json_array_get(volumes, 1), "volume"), "volume"),
                     "web-b");
    ck_assert_int_eq(volume_count(), 3);
    ck_assert_int_eq(virConnectNumOfDomains(fixture_conn), 2);
}
END_TEST

/* As the second of two copies that the requester has published. */
START_TEST(a_job_that_does_not_know_that_it_comes_again_finds_out)
{
    attempt(true);
    fixture_again = false;
    fixture_succeed_with("guest.provision", params(true));
    ck_assert(fixture_outcome.adopted);
    ck_assert_int_eq(volume_count(), 3);
}
END_TEST

START_TEST(a_guest_that_was_not_started_yet_is_started)
{
    const json_t *result;

    attempt(false);
    result = fixture_succeed_with("guest.provision", params(true));
    ck_assert(fixture_outcome.adopted);
    ck_assert_str_eq(fixture_string(json_object_get(result, "guest"), "state"), "running");
}
END_TEST

START_TEST(a_cancelled_job_undoes_all_of_it)
{
    attempt(true);
    fixture_cancelled = true;
    fixture_fail_with(ERROR_CANCELLED, NULL, "guest.provision", params(true));
    ck_assert_uint_eq(json_array_size(fixture_outcome.rollback), 4);
    ck_assert_str_eq(undone(0), "destroy");
    ck_assert_str_eq(undone(1), "undefine");
    ck_assert_str_eq(undone(2), "delete volume");
    ck_assert_str_eq(undone(3), "delete volume");
    assert_nothing_left();
}
END_TEST

START_TEST(a_cancelled_job_undoes_what_had_not_been_started)
{
    attempt(false);
    fixture_cancelled = true;
    fixture_fail_with(ERROR_CANCELLED, NULL, "guest.provision", params(true));
    ck_assert_str_eq(undone(0), "undefine");
    assert_nothing_left();
}
END_TEST

/* The test driver does not know how to start paused. */
START_TEST(a_start_that_fails_undoes_what_was_taken_over)
{
    json_t *paused = params(true);

    attempt(false);
    json_object_set_new(paused, "paused", json_true());
    fixture_fail_with(ERROR_INVALID, NULL, "guest.provision", paused);
    ck_assert_str_eq(fixture_outcome.step, "start");
    assert_nothing_left();
}
END_TEST

START_TEST(a_volume_that_nobody_speaks_for_is_a_conflict)
{
    volume_make("web-b");
    fixture_again = true;
    fixture_fail_with(ERROR_CONFLICT, "/params/disks/1/target/volume", "guest.provision", params(true));
    fixture_cancelled = true;
    fixture_fail_with(ERROR_CANCELLED, NULL, "guest.provision", params(true));
    ck_assert_int_eq(volume_count(), 2);
}
END_TEST

START_TEST(a_guest_of_another_job_speaks_for_nothing)
{
    fixture_id = OTHER_ID;
    attempt(true);
    fixture_id = FIXTURE_JOB_ID;
    fixture_fail_with(ERROR_CONFLICT, "/params/name", "guest.provision", params(true));
    fixture_cancelled = true;
    fixture_fail_with(ERROR_CANCELLED, NULL, "guest.provision", params(true));
    ck_assert(fixture_outcome.rollback == NULL);
    ck_assert_int_eq(volume_count(), 3);
    ck_assert_int_eq(virConnectNumOfDomains(fixture_conn), 2);
}
END_TEST

/* Its outcome has been told: neither a cancel nor what others have done since makes it another. */
START_TEST(what_is_done_is_not_undone)
{
    AUTO(domain) virDomainPtr dom = NULL;
    const json_t *result;

    fixture_sweeps = true;
    attempt(true);
    dom = web();
    ck_assert_int_eq(virDomainDestroy(dom), 0);
    fixture_cancelled = true;
    result = fixture_succeed_with("guest.provision", params(true));
    ck_assert(fixture_outcome.adopted);
    ck_assert_str_eq(fixture_string(json_object_get(result, "guest"), "state"), "shutoff");
    ck_assert_int_eq(volume_count(), 3);
}
END_TEST

START_TEST(what_is_done_is_not_made_again)
{
    fixture_sweeps = true;
    attempt(true);
    volume_remove("web-a");
    fixture_fail_with(ERROR_NOT_FOUND, "/params/disks/0/target/volume", "guest.provision", params(true));
    ck_assert(fixture_outcome.rollback == NULL);
    ck_assert_int_eq(volume_count(), 2);
}
END_TEST

/* An earlier attempt was at its undos when it ended. */
START_TEST(what_was_half_undone_is_undone)
{
    AUTO(domain) virDomainPtr dom = NULL;

    attempt(true);
    dom = web();
    ck_assert_int_eq(virDomainDestroy(dom), 0);
    volume_remove("web-b");
    fixture_cancelled = true;
    fixture_fail_with(ERROR_CANCELLED, NULL, "guest.provision", params(true));
    assert_nothing_left();
}
END_TEST

int main(void)
{
    const TTest *const all[] = { the_guest_is_a_part_of_what_the_job_makes,
                                 what_is_all_done_is_taken_over,
                                 a_job_that_does_not_know_that_it_comes_again_finds_out,
                                 a_guest_that_was_not_started_yet_is_started,
                                 a_cancelled_job_undoes_all_of_it,
                                 a_cancelled_job_undoes_what_had_not_been_started,
                                 a_start_that_fails_undoes_what_was_taken_over,
                                 a_volume_that_nobody_speaks_for_is_a_conflict,
                                 a_guest_of_another_job_speaks_for_nothing,
                                 what_is_done_is_not_undone,
                                 what_is_done_is_not_made_again,
                                 what_was_half_undone_is_undone,
                                 NULL };

    return fixture_main("provision_again", setup, all);
}
