/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Jobs of guests that come again: what an earlier attempt has done is taken over, or undone, and nothing else is
 * touched. */

#include "job_fixture.h"

#include "stamp.h"

#define OTHER_ID        "11111111-2222-3333-4444-555555555555"
#define REST            "<memory>8192</memory><os><type>hvm</type></os>"
#define XML_NAMED(name) "<domain type='test'><name>" name "</name>" REST "</domain>"

static virDomainPtr guest_named(const char *name)
{
    virDomainPtr dom = virDomainLookupByName(fixture_conn, name);

    ck_assert_msg(dom != NULL, "no guest '%s'", name);
    return dom;
}

static bool guest_exists(const char *name)
{
    AUTO(domain) virDomainPtr dom = virDomainLookupByName(fixture_conn, name);

    return dom != NULL;
}

static void define(const char *xml)
{
    AUTO(domain) virDomainPtr dom = virDomainDefineXML(fixture_conn, xml);

    ck_assert_msg(dom != NULL, "%s", virGetLastErrorMessage());
}

static struct stamp stamp_of(const char *name)
{
    AUTO(domain) virDomainPtr dom = guest_named(name);
    struct stamp stamp;

    ck_assert_int_eq(stamp_read_guest(dom, &stamp, NULL), 0);
    return stamp;
}

/* A job that replaces or defines "web", once; the next one is the same again. */
static void attempt(bool replace)
{
    fixture_succeed("guest.define", "{s:s, s:b}", "xml", XML_NAMED("web"), "replace", replace);
    ck_assert(!fixture_outcome.adopted);
    fixture_again = true;
}

/* The undo at `index` of the rollback, which must have gone well. */
static const char *undone(size_t index)
{
    const json_t *row = json_array_get(fixture_outcome.rollback, index);

    ck_assert(json_is_true(json_object_get(row, "ok")));
    return fixture_string(row, "undo");
}

START_TEST(a_defined_guest_says_which_job_it_is_of)
{
    struct stamp stamp;

    fixture_succeed("guest.define", "{s:s}", "xml", XML_NAMED("web"));
    stamp = stamp_of("web");
    ck_assert_int_eq(stamp.state, STAMP_INTENDED);
    ck_assert_str_eq(stamp.job, FIXTURE_JOB_ID);
    ck_assert_str_eq(stamp.type, "guest.define");
    ck_assert(!stamp.part && !stamp.replaced && stamp.time_ms > 0);
}
END_TEST

START_TEST(the_stamp_is_done_when_the_outcome_is_safe)
{
    fixture_sweeps = true;
    fixture_succeed("guest.define", "{s:s}", "xml", XML_NAMED("web"));
    ck_assert_int_eq(stamp_of("web").state, STAMP_DONE);
}
END_TEST

START_TEST(sweeping_what_was_never_made_is_success)
{
    fixture_sweeps = true;
    fixture_fail(ERROR_INVALID, NULL, "guest.define", "{s:s}", "xml", "<domain>");
    fixture_fail(ERROR_CONFLICT, NULL, "guest.define", "{s:s}", "xml", XML_NAMED("test"));
    ck_assert_int_eq(stamp_of("test").state, STAMP_NONE);
}
END_TEST

START_TEST(a_define_takes_over_the_guest_that_it_has_defined)
{
    const json_t *guest;

    attempt(false);
    guest = fixture_succeed("guest.define", "{s:s}", "xml", XML_NAMED("web"));
    ck_assert(fixture_outcome.adopted && fixture_outcome.changed);
    ck_assert_str_eq(fixture_string(guest, "uuid"), FIXTURE_JOB_ID);
    ck_assert_int_eq(virConnectNumOfDefinedDomains(fixture_conn), 1);
}
END_TEST

/* As the second of two copies that the requester has published. */
START_TEST(a_define_that_does_not_know_that_it_comes_again_finds_out)
{
    attempt(false);
    fixture_again = false;
    fixture_succeed("guest.define", "{s:s}", "xml", XML_NAMED("web"));
    ck_assert(fixture_outcome.adopted);
    ck_assert_int_eq(virConnectNumOfDefinedDomains(fixture_conn), 1);
}
END_TEST

START_TEST(a_define_that_had_not_begun_begins)
{
    fixture_again = true;
    fixture_succeed("guest.define", "{s:s}", "xml", XML_NAMED("web"));
    ck_assert(!fixture_outcome.adopted);
}
END_TEST

START_TEST(a_cancelled_define_undoes_what_it_had_done)
{
    attempt(false);
    fixture_cancelled = true;
    fixture_fail(ERROR_CANCELLED, NULL, "guest.define", "{s:s}", "xml", XML_NAMED("web"));
    ck_assert_uint_eq(json_array_size(fixture_outcome.rollback), 1);
    ck_assert_str_eq(undone(0), "undefine");
    ck_assert_str_eq(fixture_string(json_array_get(fixture_outcome.rollback, 0), "step"), "define");
    ck_assert(!guest_exists("web"));
}
END_TEST

START_TEST(a_cancelled_define_keeps_what_is_to_be_kept)
{
    attempt(false);
    fixture_cancelled = true;
    fixture_run("guest.define", json_pack("{s:s}", "xml", XML_NAMED("web")), false);
    ck_assert_int_eq(fixture_outcome.state, OUTCOME_CANCELLED);
    ck_assert(guest_exists("web"));
}
END_TEST

START_TEST(a_cancelled_define_touches_no_guest_of_others)
{
    fixture_id = OTHER_ID;
    attempt(false);
    fixture_id = FIXTURE_JOB_ID;
    define(XML_NAMED("plain"));
    fixture_cancelled = true;
    fixture_fail(ERROR_CANCELLED, NULL, "guest.define", "{s:s}", "xml", XML_NAMED("web"));
    fixture_fail(ERROR_CANCELLED, NULL, "guest.define", "{s:s}", "xml", XML_NAMED("plain"));
    ck_assert(fixture_outcome.rollback == NULL);
    ck_assert(guest_exists("web") && guest_exists("plain"));
}
END_TEST

START_TEST(a_guest_of_another_job_is_a_conflict)
{
    fixture_id = OTHER_ID;
    attempt(false);
    fixture_id = FIXTURE_JOB_ID;
    define(XML_NAMED("plain"));
    fixture_fail(ERROR_CONFLICT, "/params/xml", "guest.define", "{s:s}", "xml", XML_NAMED("web"));
    fixture_fail(ERROR_CONFLICT, "/params/xml", "guest.define", "{s:s}", "xml", XML_NAMED("plain"));
    fixture_fail(ERROR_CONFLICT, "/params/uuid", "guest.define", "{s:s, s:s}", "xml", XML_NAMED("x"), "uuid",
                 OTHER_ID);
    ck_assert(!fixture_outcome.adopted);
}
END_TEST

/* Nobody can bring back the definition of before. */
START_TEST(what_was_replaced_stays_replaced)
{
    define(XML_NAMED("web"));
    attempt(true);
    ck_assert(stamp_of("web").replaced);
    fixture_cancelled = true;
    fixture_succeed("guest.define", "{s:s, s:b}", "xml", XML_NAMED("web"), "replace", 1);
    ck_assert(fixture_outcome.adopted);
    ck_assert(guest_exists("web"));
}
END_TEST

START_TEST(a_replacement_of_nothing_is_undone)
{
    attempt(true);
    fixture_cancelled = true;
    fixture_fail(ERROR_CANCELLED, NULL, "guest.define", "{s:s, s:b}", "xml", XML_NAMED("web"), "replace", 1);
    ck_assert(!guest_exists("web"));
}
END_TEST

/* Its outcome has been told. */
START_TEST(what_is_done_is_not_undone)
{
    fixture_sweeps = true;
    attempt(false);
    fixture_cancelled = true;
    fixture_succeed("guest.define", "{s:s}", "xml", XML_NAMED("web"));
    ck_assert(fixture_outcome.adopted);
    ck_assert(guest_exists("web"));
}
END_TEST

START_TEST(a_stamp_alone_is_no_change)
{
    fixture_succeed("guest.define", "{s:s}", "xml", XML_NAMED("web"));
    fixture_id = OTHER_ID;
    fixture_succeed("guest.define", "{s:s, s:b}", "xml", XML_NAMED("web"), "replace", 1);
    ck_assert(!fixture_outcome.changed);
    ck_assert_str_eq(stamp_of("web").job, OTHER_ID);

    define(XML_NAMED("plain"));
    fixture_succeed("guest.define", "{s:s, s:b}", "xml", XML_NAMED("plain"), "replace", 1);
    ck_assert(!fixture_outcome.changed);
    fixture_succeed("guest.define", "{s:s, s:b}", "xml",
                    "<domain type='test'><name>plain</name><metadata><x:x xmlns:x='urn:x'/></metadata>" REST
                    "</domain>",
                    "replace", 1);
    ck_assert(fixture_outcome.changed);
}
END_TEST

START_TEST(a_transient_guest_that_was_turned_off_is_off)
{
    const json_t *guest;

    fixture_fail(ERROR_NOT_FOUND, "/params/guest", "guest.destroy", "{s:s}", "guest", "gone");
    fixture_fail(ERROR_NOT_FOUND, "/params/guest", "guest.shutdown", "{s:s}", "guest", "gone");
    fixture_again = true;
    guest = fixture_succeed("guest.destroy", "{s:s}", "guest", "gone");
    ck_assert(!fixture_outcome.changed);
    ck_assert_str_eq(fixture_string(guest, "name"), "gone");
    ck_assert_str_eq(fixture_string(guest, "state"), "shutoff");
    guest = fixture_succeed("guest.shutdown", "{s:s}", "guest", OTHER_ID);
    ck_assert(!fixture_outcome.changed);
    ck_assert_str_eq(fixture_string(guest, "uuid"), OTHER_ID);
    fixture_succeed("guest.destroy", "{s:s}", "guest", "test");
    ck_assert(fixture_outcome.changed);
}
END_TEST

/* A volume in the driver's pool; returns its path. */
static char *volume_made(const char *name)
{
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(fixture_conn, "default-pool");
    char xml[256];

    snprintf(xml, sizeof(xml), "<volume><name>%s</name><capacity>1048576</capacity></volume>", name);
    AUTO(volume) virStorageVolPtr vol = virStorageVolCreateXML(pool, xml, 0);
    ck_assert_msg(vol != NULL, "%s", virGetLastErrorMessage());
    return virStorageVolGetPath(vol);
}

static bool volume_exists(const char *path)
{
    AUTO(volume) virStorageVolPtr vol = virStorageVolLookupByPath(fixture_conn, path);

    return vol != NULL;
}

/* The XML of a guest with the disks. */
static char *with_disks(const char *name, const char *disks)
{
    char *xml = NULL;

    ck_assert_int_gt(asprintf(&xml,
                              "<domain type='test'><name>%s</name>" REST "<devices>%s</devices></domain>",
                              name, disks),
                     0);
    return xml;
}

#define DISK_OF(volume)                                                                                      \
    "<disk type='volume'><source pool='default-pool' volume='" volume "'/><target dev='vda'/></disk>"

START_TEST(a_transient_guest_goes_with_its_volumes)
{
    AUTO(string) char *path = volume_made("mine");
    AUTO(string) char *xml = with_disks("fleeting", DISK_OF("mine"));
    AUTO(domain) virDomainPtr dom = virDomainCreateXML(fixture_conn, xml, 0);
    const json_t *result =
        fixture_succeed("guest.undefine", "{s:s, s:b, s:b}", "guest", "fleeting", "volumes", 1, "destroy", 1);

    ck_assert(json_is_true(json_object_get(result, "destroyed")));
    ck_assert_uint_eq(json_array_size(json_object_get(result, "volumes_deleted")), 1);
    ck_assert(!volume_exists(path));
    ck_assert(!guest_exists("fleeting"));
}
END_TEST

/* As the worker leaves it that ends between the two. */
START_TEST(an_undefine_without_its_volumes_any_more_is_finished)
{
    AUTO(string) char *xml = with_disks("web", DISK_OF("mine"));
    const json_t *result, *deleted;

    define(xml);
    fixture_again = true;
    result = fixture_succeed("guest.undefine", "{s:s, s:b}", "guest", "web", "volumes", 1);
    deleted = json_object_get(result, "volumes_deleted");
    ck_assert_uint_eq(json_array_size(deleted), 1);
    ck_assert_str_eq(fixture_string(json_array_get(deleted, 0), "volume"), "mine");
    ck_assert(!guest_exists("web"));
}
END_TEST

START_TEST(a_volume_that_never_was_is_not_deleted)
{
    AUTO(string) char *xml = with_disks("web", DISK_OF("mine"));
    const json_t *kept;

    define(xml);
    kept = json_object_get(fixture_succeed("guest.undefine", "{s:s, s:b}", "guest", "web", "volumes", 1),
                           "volumes_kept");
    ck_assert_uint_eq(json_array_size(kept), 1);
    ck_assert_str_eq(fixture_string(json_array_get(kept, 0), "reason"), "is not there");
}
END_TEST

int main(void)
{
    const TTest *const all[] = { a_defined_guest_says_which_job_it_is_of,
                                 the_stamp_is_done_when_the_outcome_is_safe,
                                 sweeping_what_was_never_made_is_success,
                                 a_define_takes_over_the_guest_that_it_has_defined,
                                 a_define_that_does_not_know_that_it_comes_again_finds_out,
                                 a_define_that_had_not_begun_begins,
                                 a_cancelled_define_undoes_what_it_had_done,
                                 a_cancelled_define_keeps_what_is_to_be_kept,
                                 a_cancelled_define_touches_no_guest_of_others,
                                 a_guest_of_another_job_is_a_conflict,
                                 what_was_replaced_stays_replaced,
                                 a_replacement_of_nothing_is_undone,
                                 what_is_done_is_not_undone,
                                 a_stamp_alone_is_no_change,
                                 a_transient_guest_that_was_turned_off_is_off,
                                 a_transient_guest_goes_with_its_volumes,
                                 an_undefine_without_its_volumes_any_more_is_finished,
                                 a_volume_that_never_was_is_not_deleted,
                                 NULL };

    return fixture_main("guest_again", fixture_setup, all);
}
