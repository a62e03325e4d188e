/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Which disks a migration copies, and where to. */

#include <check.h>
#include <string.h>

#include "guest_migrate_copies.h"
#include "xml.h"

#define DISK(device, type, source, more)                                                                     \
    "<disk type='" type "' device='disk'><driver name='qemu' type='qcow2'/><source " source "/>"             \
    "<target dev='" device "'/>" more "</disk>"
#define BACKING                                                                                              \
    "<backingStore type='file'><format type='raw'/><source file='/srv/base'/><backingStore/></backingStore>"
#define GUEST(disks) "<domain><devices>" disks "</devices></domain>"

static const char guest[] = GUEST(
    DISK("vda", "file", "file='/srv/a.img'", BACKING) DISK("vdb", "file", "file='/srv/b.img'", "<shareable/>")
        DISK("vdc", "block", "dev='/dev/vg/c'", "") DISK("vdd", "volume", "pool='p' volume='d.img'", "")
            DISK("sda", "file", "file='/srv/cd.iso'", "<readonly/>") DISK("sdb", "file", "", "<readonly/>"));

static struct job job;
static struct migration m;
static struct migration_storage *storage;

static void setup(void)
{
    xml_init();
    job = (struct job){ .params = json_object() };
    m = (struct migration){ .job = &job, .destination = "node2", .plan = { .copy = MIGRATION_COPY_ALL } };
    m.doc = xml_parse(guest, "domain", NULL, NULL);
    ck_assert_ptr_nonnull(m.doc);
}

static void teardown(void)
{
    json_decref((json_t *)job.params);
    json_decref((json_t *)m.plan.disks);
    xmlFreeDoc(m.doc);
    if (storage)
        migration_disks_free(storage);
    storage = NULL;
}

static void list(void)
{
    ck_assert_int_eq(migration_disks_list(&m, &storage, NULL), 0);
}

static void assert_devices(const char *devices)
{
    char found[64] = "";

    for (size_t i = 0; i < storage->count; i++) {
        strcat(found, storage->disks[i].device);
        strcat(found, " ");
    }
    ck_assert_str_eq(found, devices);
}

START_TEST(all_that_can_be_written_to_and_are_its_own_are_copied)
{
    list();
    assert_devices("vda vdc vdd ");
}
END_TEST

START_TEST(the_disks_that_are_named_are_copied)
{
    m.plan.disks = json_pack("[s, s, s]", "vdz", "vdb", "sda");
    list();
    assert_devices("vdb sda ");
    ck_assert_str_eq(storage->disks[0].where, "/params/disks/1");
    ck_assert(storage->disks[1].readonly);
}
END_TEST

START_TEST(a_disk_is_copied_as_the_list_says)
{
    xmlNodePtr node = xml_find(m.doc, "/domain/devices/disk[1]");

    ck_assert(migration_storage_copies(&m, node));
    m.plan.copy = MIGRATION_COPY_NONE;
    ck_assert(!migration_storage_copies(&m, node));
    m.plan.copy = MIGRATION_COPY_ALL;
    ck_assert(!migration_storage_copies(&m, xml_find(m.doc, "/domain/devices/disk[2]")));
    ck_assert(!migration_storage_copies(&m, xml_find(m.doc, "/domain/devices/disk[6]")));
}
END_TEST

START_TEST(a_file_goes_to_its_path_and_a_volume_to_its_pool)
{
    list();
    ck_assert_str_eq(storage->disks[0].path, "/srv/a.img");
    ck_assert_str_eq(storage->disks[0].volume, "a.img");
    ck_assert_str_eq(storage->disks[0].format, "qcow2");
    ck_assert_ptr_null(storage->disks[1].volume); /* a block device is no file */
    ck_assert_str_eq(storage->disks[2].pool_name, "p");
    ck_assert_str_eq(storage->disks[2].volume, "d.img");
    ck_assert_ptr_null(storage->disks[2].path);
}
END_TEST

START_TEST(the_xml_for_the_destination_says_where_it_goes)
{
    json_object_set_new((json_t *)job.params, "xml",
                        json_string(GUEST(DISK("vda", "file", "file='/mnt/x/n.img'", ""))));
    list();
    ck_assert_str_eq(storage->disks[0].path, "/mnt/x/n.img");
    ck_assert_str_eq(storage->disks[0].volume, "n.img");
    ck_assert_str_eq(storage->disks[2].volume, "d.img");
}
END_TEST

START_TEST(only_an_overlay_that_is_copied_alone_has_something_below)
{
    list();
    ck_assert_ptr_null(storage->disks[0].backing_path);
    migration_disks_free(STEAL(&storage));
    m.plan.copy = MIGRATION_COPY_INC;
    list();
    ck_assert_str_eq(storage->disks[0].backing_path, "/srv/base");
    ck_assert_str_eq(storage->disks[0].backing_format, "raw");
    ck_assert_ptr_null(storage->disks[2].backing_path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("guest_migrate_copies");
    TCase *tests = tcase_create("guest_migrate_copies");
    SRunner *runner = srunner_create(suite);

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, all_that_can_be_written_to_and_are_its_own_are_copied);
    tcase_add_test(tests, the_disks_that_are_named_are_copied);
    tcase_add_test(tests, a_disk_is_copied_as_the_list_says);
    tcase_add_test(tests, a_file_goes_to_its_path_and_a_volume_to_its_pool);
    tcase_add_test(tests, the_xml_for_the_destination_says_where_it_goes);
    tcase_add_test(tests, only_an_overlay_that_is_copied_alone_has_something_below);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
