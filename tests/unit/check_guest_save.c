/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.save, guest.restore and guest.save-image-info on the test driver, which writes an image as a real one does, but
 * takes no changed XML, and fails at once or not at all. */

#include "job_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stamp.h"

#define OTHER_ID "11111111-2222-3333-4444-555555555555"

static char folder[64], path[96];

static void setup(void)
{
    fixture_setup();
    strcpy(folder, "/tmp/virtjob-save-XXXXXX");
    ck_assert(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/image", folder);
    fixture_reach.save_folders = folder;
}

/* Each test ends by this one: the folder is gone, and nothing may be in it but the image. */
static void clear(void)
{
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void put_file(const char *text)
{
    FILE *file = fopen(path, "w");

    ck_assert(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static bool has_file(void)
{
    return access(path, F_OK) == 0;
}

static bool is_active(void)
{
    AUTO(domain) virDomainPtr dom = virDomainLookupByName(fixture_conn, "test");

    ck_assert(dom != NULL);
    return virDomainIsActive(dom) == 1;
}

static json_t *save(void)
{
    return fixture_succeed("guest.save", "{s:s, s:s}", "guest", "test", "path", path);
}

static json_t *restore(void)
{
    return fixture_succeed("guest.restore", "{s:s}", "path", path);
}

static json_t *info(void)
{
    bool again = fixture_again;
    json_t *result;

    fixture_again = false;
    result = fixture_succeed("guest.save-image-info", "{s:s, s:b}", "path", path, "xml", 1);
    fixture_again = again;
    return result;
}

static struct stamp live_stamp(void)
{
    AUTO(domain) virDomainPtr dom = virDomainLookupByName(fixture_conn, "test");
    struct stamp stamp;

    ck_assert_int_eq(stamp_read_guest_live(dom, &stamp, NULL), 0);
    return stamp;
}

START_TEST(a_saved_guest_is_off_and_its_image_says_by_whom)
{
    const json_t *guest = save(), *image;

    ck_assert_str_eq(fixture_string(guest, "name"), "test");
    ck_assert_str_eq(fixture_string(guest, "state"), "shutoff");
    ck_assert_str_eq(fixture_string(guest, "path"), path);
    ck_assert(fixture_outcome.changed && !fixture_outcome.adopted && !is_active());
    image = info();
    ck_assert(json_is_true(json_object_get(image, "whole")));
    ck_assert_str_eq(fixture_string(json_object_get(image, "guest"), "name"), "test");
    ck_assert_str_eq(fixture_string(json_object_get(image, "stamp"), "job"), FIXTURE_JOB_ID);
    ck_assert_str_eq(fixture_string(json_object_get(image, "stamp"), "type"), "guest.save");
    ck_assert(json_object_get(image, "restored") == NULL);
    ck_assert(strstr(fixture_string(image, "xml"), "<domain type=") != NULL);
    clear();
}
END_TEST

START_TEST(what_lies_at_the_path_stays)
{
    char text[16] = "";
    FILE *file;

    put_file("mine");
    for (int again = 0; again < 2; again++) {
        fixture_again = again;
        fixture_fail(ERROR_CONFLICT, "/params/path", "guest.save", "{s:s, s:s}", "guest", "test", "path",
                     path);
        ck_assert(is_active());
    }
    ck_assert((file = fopen(path, "r")) != NULL && fgets(text, sizeof(text), file) && fclose(file) == 0);
    ck_assert_str_eq(text, "mine");
    clear();
}
END_TEST

START_TEST(a_guest_that_is_off_or_not_there_is_not_saved)
{
    fixture_fail(ERROR_NOT_FOUND, "/params/guest", "guest.save", "{s:s, s:s}", "guest", "absent", "path",
                 path);
    fixture_succeed("guest.destroy", "{s:s}", "guest", "test");
    fixture_fail(ERROR_CONFLICT, "/params/guest", "guest.save", "{s:s, s:s}", "guest", "test", "path", path);
    ck_assert(!has_file());
    clear();
}
END_TEST

START_TEST(a_path_outside_of_the_folders_is_denied)
{
    static const char *const types[] = { "guest.restore", "guest.save-image-info" };

    fixture_fail(ERROR_DENIED, "/params/path", "guest.save", "{s:s, s:s}", "guest", "test", "path",
                 "/etc/virtjob-image");
    for (size_t i = 0; i < 2; i++) {
        fixture_fail(ERROR_DENIED, "/params/path", types[i], "{s:s}", "path", "/etc/passwd");
        snprintf(path, sizeof(path), "%s/../passwd", folder);
        fixture_fail(ERROR_INVALID, "/params/path", types[i], "{s:s}", "path", path);
    }
    ck_assert(is_active());
    clear();
}
END_TEST

START_TEST(a_save_takes_over_what_it_has_saved)
{
    save();
    fixture_again = true;
    ck_assert_str_eq(fixture_string(save(), "state"), "shutoff");
    ck_assert(fixture_outcome.adopted);
    clear();
}
END_TEST

/* As the second of two copies that the requester has published. */
START_TEST(a_save_that_does_not_know_that_it_comes_again_finds_out)
{
    save();
    save();
    ck_assert(fixture_outcome.adopted);
    clear();
}
END_TEST

START_TEST(the_image_of_another_job_is_not_taken_over)
{
    save();
    fixture_id = OTHER_ID;
    fixture_again = true;
    fixture_fail(ERROR_CONFLICT, "/params/path", "guest.save", "{s:s, s:s}", "guest", "test", "path", path);
    ck_assert(has_file());
    clear();
}
END_TEST

START_TEST(a_cancelled_save_saves_nothing)
{
    fixture_cancelled = true;
    for (int again = 0; again < 2; again++) {
        fixture_again = again;
        fixture_fail(ERROR_CANCELLED, NULL, "guest.save", "{s:s, s:s}", "guest", "test", "path", path);
        ck_assert(is_active() && !has_file());
    }
    clear();
}
END_TEST

START_TEST(a_cancel_may_come_too_late_for_a_save)
{
    save();
    fixture_again = fixture_cancelled = true;
    save();
    ck_assert(fixture_outcome.adopted && has_file());
    clear();
}
END_TEST

START_TEST(a_format_is_refused_where_the_host_cannot_choose)
{
    fixture_fail(ERROR_UNSUPPORTED, "/params/format", "guest.save", "{s:s, s:s, s:s}", "guest", "test",
                 "path", path, "format", "gzip");
    ck_assert(is_active() && !has_file());
    clear();
}
END_TEST

START_TEST(a_changed_xml_is_refused_where_the_driver_takes_none)
{
    fixture_fail(ERROR_UNSUPPORTED, "/params/xml", "guest.save", "{s:s, s:s, s:s}", "guest", "test", "path",
                 path, "xml", "<domain type='test'><name>test</name></domain>");
    fixture_fail(ERROR_INVALID, "/params/xml", "guest.save", "{s:s, s:s, s:s}", "guest", "test", "path", path,
                 "xml", "<domain");
    ck_assert(is_active() && !has_file());
    clear();
}
END_TEST

START_TEST(a_restored_guest_runs_and_its_image_says_so)
{
    const json_t *image;

    save();
    fixture_id = OTHER_ID;
    ck_assert_str_eq(fixture_string(restore(), "state"), "running");
    ck_assert(is_active() && has_file());
    image = info();
    ck_assert_str_eq(fixture_string(json_object_get(image, "stamp"), "job"), FIXTURE_JOB_ID);
    ck_assert_str_eq(fixture_string(json_object_get(image, "restored"), "job"), OTHER_ID);
    ck_assert(json_is_true(json_object_get(json_object_get(image, "restored"), "done")));
    clear();
}
END_TEST

START_TEST(a_second_restore_is_refused_unless_asked_for)
{
    save();
    restore();
    fixture_succeed("guest.destroy", "{s:s}", "guest", "test");
    fixture_id = OTHER_ID;
    for (int again = 0; again < 2; again++) {
        fixture_again = again;
        fixture_fail(ERROR_CONFLICT, "/params/path", "guest.restore", "{s:s}", "path", path);
        ck_assert(strstr(fixture_outcome.error.message, FIXTURE_JOB_ID) != NULL);
        ck_assert(!is_active());
    }
    fixture_again = false;
    fixture_succeed("guest.restore", "{s:s, s:b}", "path", path, "again", 1);
    ck_assert(is_active() && !fixture_outcome.adopted);
    ck_assert_str_eq(fixture_string(json_object_get(info(), "restored"), "job"), FIXTURE_JOB_ID);
    clear();
}
END_TEST

START_TEST(a_guest_that_is_on_is_not_restored)
{
    save();
    fixture_succeed("guest.start", "{s:s}", "guest", "test");
    fixture_fail(ERROR_CONFLICT, "/params/path", "guest.restore", "{s:s, s:b}", "path", path, "again", 1);
    ck_assert(json_object_get(info(), "restored") == NULL);
    clear();
}
END_TEST

START_TEST(a_guest_whose_name_another_one_has_is_not_restored)
{
    AUTO(domain) virDomainPtr dom = virDomainLookupByName(fixture_conn, "test");

    save();
    ck_assert_int_eq(virDomainUndefine(dom), 0);
    fixture_succeed(
        "guest.define", "{s:s}", "xml",
        "<domain type='test'><name>test</name><memory>8192</memory><os><type>hvm</type></os></domain>");
    fixture_fail(ERROR_CONFLICT, "/params/path", "guest.restore", "{s:s}", "path", path);
    ck_assert(json_object_get(info(), "restored") == NULL);
    clear();
}
END_TEST

START_TEST(what_is_no_image_is_not_restored)
{
    static const char *const types[] = { "guest.restore", "guest.save-image-info" };

    for (size_t i = 0; i < 2; i++)
        fixture_fail(ERROR_NOT_FOUND, "/params/path", types[i], "{s:s}", "path", path);
    put_file("something else\n");
    for (size_t i = 0; i < 2; i++)
        fixture_fail(ERROR_INVALID, "/params/path", types[i], "{s:s}", "path", path);
    clear();
}
END_TEST

START_TEST(a_restore_takes_over_the_guest_that_it_has_restored)
{
    save();
    restore();
    fixture_again = true;
    ck_assert_str_eq(fixture_string(restore(), "state"), "running");
    ck_assert(fixture_outcome.adopted);
    clear();
}
END_TEST

/* To restore it once more would give the guest memory that its disks no longer fit. */
START_TEST(a_restore_is_not_repeated_when_the_guest_has_ended_since)
{
    save();
    restore();
    fixture_succeed("guest.destroy", "{s:s}", "guest", "test");
    fixture_again = true;
    ck_assert_str_eq(fixture_string(restore(), "state"), "shutoff");
    ck_assert(fixture_outcome.adopted && !is_active());
    clear();
}
END_TEST

/* Its worker died between the mark and the restore. */
static void begin_restore(void)
{
    AUTO(string) char *text = virDomainSaveImageGetXMLDesc(fixture_conn, path, 0);
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(text, "domain", NULL, NULL);
    AUTO(string) char *marked = NULL;
    struct stamp stamp;

    ck_assert(doc != NULL);
    stamp_get_guest(doc, &stamp);
    strcpy(stamp.restored, FIXTURE_JOB_ID);
    ck_assert_int_eq(stamp_put_guest(doc, &stamp, NULL), 0);
    ck_assert((marked = xml_text(doc, NULL)) != NULL);
    ck_assert_int_eq(virDomainSaveImageDefineXML(fixture_conn, path, marked, 0), 0);
}

START_TEST(a_restore_that_had_only_marked_goes_on)
{
    save();
    begin_restore();
    fixture_again = true;
    ck_assert_str_eq(fixture_string(restore(), "state"), "running");
    ck_assert(!fixture_outcome.adopted);
    clear();
}
END_TEST

START_TEST(a_cancelled_restore_takes_its_mark_back)
{
    const json_t *undone;

    save();
    begin_restore();
    fixture_again = fixture_cancelled = true;
    undone = fixture_fail(ERROR_CANCELLED, NULL, "guest.restore", "{s:s}", "path", path)->rollback;
    ck_assert_uint_eq(json_array_size(undone), 1);
    ck_assert(json_is_true(json_object_get(json_array_get(undone, 0), "ok")));
    fixture_cancelled = false;
    ck_assert(json_object_get(info(), "restored") == NULL);
    ck_assert_str_eq(fixture_string(json_object_get(info(), "stamp"), "type"), "guest.save");
    ck_assert(!is_active());
    clear();
}
END_TEST

START_TEST(a_cancel_may_come_too_late_for_a_restore)
{
    save();
    restore();
    fixture_again = fixture_cancelled = true;
    restore();
    ck_assert(fixture_outcome.adopted && is_active());
    clear();
}
END_TEST

START_TEST(an_image_that_no_job_made_is_restored_and_marked)
{
    AUTO(domain) virDomainPtr dom = virDomainLookupByName(fixture_conn, "test");
    const json_t *image;

    ck_assert_int_eq(virDomainSave(dom, path), 0);
    restore();
    image = info();
    ck_assert(json_object_get(image, "stamp") == NULL);
    ck_assert_str_eq(fixture_string(json_object_get(image, "restored"), "job"), FIXTURE_JOB_ID);
    clear();
}
END_TEST

/* A guest that was restored carries the mark of its image with this driver: the next image is another one. */
START_TEST(a_guest_may_be_saved_and_restored_any_number_of_times)
{
    save();
    restore();
    ck_assert_str_eq(live_stamp().restored, FIXTURE_JOB_ID);
    unlink(path);
    fixture_id = OTHER_ID;
    save();
    ck_assert(json_object_get(info(), "restored") == NULL);
    restore();
    ck_assert(is_active() && !fixture_outcome.adopted);
    clear();
}
END_TEST

int main(void)
{
    const TTest *const all[] = { a_saved_guest_is_off_and_its_image_says_by_whom,
                                 what_lies_at_the_path_stays,
                                 a_guest_that_is_off_or_not_there_is_not_saved,
                                 a_path_outside_of_the_folders_is_denied,
                                 a_save_takes_over_what_it_has_saved,
                                 a_save_that_does_not_know_that_it_comes_again_finds_out,
                                 the_image_of_another_job_is_not_taken_over,
                                 a_cancelled_save_saves_nothing,
                                 a_cancel_may_come_too_late_for_a_save,
                                 a_format_is_refused_where_the_host_cannot_choose,
                                 a_changed_xml_is_refused_where_the_driver_takes_none,
                                 a_restored_guest_runs_and_its_image_says_so,
                                 a_second_restore_is_refused_unless_asked_for,
                                 a_guest_that_is_on_is_not_restored,
                                 a_guest_whose_name_another_one_has_is_not_restored,
                                 what_is_no_image_is_not_restored,
                                 a_restore_takes_over_the_guest_that_it_has_restored,
                                 a_restore_is_not_repeated_when_the_guest_has_ended_since,
                                 a_restore_that_had_only_marked_goes_on,
                                 a_cancelled_restore_takes_its_mark_back,
                                 a_cancel_may_come_too_late_for_a_restore,
                                 an_image_that_no_job_made_is_restored_and_marked,
                                 a_guest_may_be_saved_and_restored_any_number_of_times,
                                 NULL };

    return fixture_main("guest_save", setup, all);
}
