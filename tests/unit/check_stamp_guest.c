/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The stamps of guests, in a document and in guests of the test driver. */

#include "stamp.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "cleanup.h"
#include "xml.h"

#define JOB   "5f0c5a5e-0c7b-4a86-93f5-0f6f4a7f3f0e"
#define OTHER "11111111-2222-3333-4444-555555555555"
#define REST  "<memory>8192</memory><os><type>hvm</type></os><devices/>"
#define PLAIN "<domain type='test'><name>web</name><uuid>" OTHER "</uuid>" REST "</domain>"

static virConnectPtr conn;

static void setup(void)
{
    xml_init();
    ck_assert((conn = virConnectOpen("test:///default")) != NULL);
}

static void teardown(void)
{
    virConnectClose(conn);
}

static struct stamp stamp_made(enum stamp_state state, const char *job)
{
    struct stamp stamp = { .state = state };

    strcpy(stamp.job, job);
    strcpy(stamp.type, "guest.define");
    return stamp;
}

/* The XML with the stamp in it; to free(). */
static char *stamped(const char *xml, const struct stamp *stamp)
{
    struct error err = ERROR_INIT;
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(xml, "domain", NULL, &err);
    char *text;

    ck_assert_msg(doc != NULL, "%s", err.message);
    ck_assert_msg(stamp_put_guest(doc, stamp, &err) == 0, "%s", err.message);
    ck_assert((text = xml_text(doc, &err)) != NULL);
    return text;
}

static virDomainPtr defined(const char *xml)
{
    virDomainPtr dom = virDomainDefineXMLFlags(conn, xml, VIR_DOMAIN_DEFINE_VALIDATE);

    ck_assert_msg(dom != NULL, "%s", virGetLastErrorMessage());
    return dom;
}

static virDomainPtr defined_with(const struct stamp *stamp)
{
    AUTO(string) char *xml = stamped(PLAIN, stamp);

    return defined(xml);
}

static struct stamp stamp_of(virDomainPtr dom)
{
    struct error err = ERROR_INIT;
    struct stamp stamp;

    ck_assert_msg(stamp_read_guest(dom, &stamp, &err) == 0, "%s", err.message);
    return stamp;
}

static void finish(virDomainPtr dom, const char *job)
{
    struct error err = ERROR_INIT;

    ck_assert_msg(stamp_finish_guest(dom, job, &err) == 0, "%s", err.message);
}

/* Of the running guest alone. */
static bool running_says(virDomainPtr dom, const char *text)
{
    AUTO(string)
    char *stamp =
        virDomainGetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT, STAMP_NAMESPACE, VIR_DOMAIN_AFFECT_LIVE);

    return stamp && strstr(stamp, text);
}

START_TEST(a_stamp_is_read_as_it_was_put)
{
    struct stamp stamp = stamp_made(STAMP_INTENDED, JOB), read;
    AUTO(domain) virDomainPtr dom = NULL;

    stamp.part = true;
    stamp.time_ms = 1795176000123;
    dom = defined_with(&stamp);
    read = stamp_of(dom);
    ck_assert_int_eq(read.state, STAMP_INTENDED);
    ck_assert_str_eq(read.job, JOB);
    ck_assert_str_eq(read.type, "guest.define");
    ck_assert_int_eq(read.time_ms, 1795176000123);
    ck_assert(read.part && !read.replaced);
    ck_assert(stamp_is_of(&read, JOB) && !stamp_is_of(&read, OTHER));
}
END_TEST

START_TEST(a_stamp_without_a_time_gets_the_time_of_now)
{
    struct stamp stamp = stamp_made(STAMP_INTENDED, JOB);
    AUTO(domain) virDomainPtr dom = defined_with(&stamp);

    ck_assert_int_gt(stamp_of(dom).time_ms, 1577836800000); /* 2020 */
}
END_TEST

START_TEST(the_stamp_of_an_original_gives_way)
{
    struct stamp first = stamp_made(STAMP_DONE, OTHER), second = stamp_made(STAMP_INTENDED, JOB);
    AUTO(string) char *once = NULL;
    AUTO(string) char *twice = NULL;

    first.replaced = true;
    once = stamped(PLAIN, &first);
    twice = stamped(once, &second);
    AUTO(domain) virDomainPtr dom = defined(twice);
    struct stamp read = stamp_of(dom);

    ck_assert(stamp_is_of(&read, JOB));
    ck_assert_int_eq(read.state, STAMP_INTENDED);
    ck_assert(!read.replaced);
    ck_assert(strstr(twice, "replaced") == NULL);
}
END_TEST

START_TEST(other_metadata_stays)
{
    struct stamp stamp = stamp_made(STAMP_INTENDED, JOB);
    AUTO(string)
    char *xml = stamped("<domain type='test' xmlns:virtjob='urn:other'><name>web</name>" REST
                        "<metadata><virtjob:x a='1'/><y:z xmlns:y='urn:y'>t</y:z></metadata></domain>",
                        &stamp);
    AUTO(domain) virDomainPtr dom = defined(xml);
    AUTO(string) char *x = virDomainGetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT, "urn:other", 0);
    AUTO(string) char *z = virDomainGetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT, "urn:y", 0);

    ck_assert_int_eq(stamp_of(dom).state, STAMP_INTENDED);
    ck_assert(x && z && strstr(x, "a=\"1\"") && strstr(z, ">t<"));
}
END_TEST

START_TEST(no_stamp_is_told_from_one_that_cannot_be_read)
{
    static const char *const blanks[] = { "<s:stamp xmlns:s='" STAMP_NAMESPACE "'/>",
                                          "<s:other xmlns:s='" STAMP_NAMESPACE
                                          "' job='j' type='t' state='done'/>",
                                          "<s:stamp xmlns:s='" STAMP_NAMESPACE
                                          "' job='j' type='t' state='x'/>",
                                          "<s:stamp xmlns:s='" STAMP_NAMESPACE "' type='t' state='done'/>",
                                          "<s:stamp xmlns:s='" STAMP_NAMESPACE "' job='" JOB "0' type='t' "
                                          "state='done'/>" };
    AUTO(domain) virDomainPtr plain = defined(PLAIN);

    ck_assert_int_eq(stamp_of(plain).state, STAMP_NONE);
    for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++) {
        char xml[1024];

        snprintf(xml, sizeof(xml),
                 "<domain type='test'><name>b%zu</name><metadata>%s</metadata>" REST "</domain>", i,
                 blanks[i]);
        AUTO(domain) virDomainPtr dom = defined(xml);
        struct stamp read = stamp_of(dom);

        ck_assert_msg(read.state == STAMP_BLANK, "%s: %d", blanks[i], read.state);
        ck_assert(!stamp_is_of(&read, "") && !stamp_is_of(&read, "j"));
    }
}
END_TEST

START_TEST(finishing_marks_the_jobs_own_stamp_alone)
{
    struct stamp stamp = stamp_made(STAMP_INTENDED, JOB), read;
    AUTO(domain) virDomainPtr dom = NULL;

    stamp.time_ms = 1795176000123;
    stamp.part = true;
    dom = defined_with(&stamp);
    finish(dom, OTHER);
    ck_assert_int_eq(stamp_of(dom).state, STAMP_INTENDED);
    finish(dom, JOB);
    finish(dom, JOB);
    read = stamp_of(dom);
    ck_assert_int_eq(read.state, STAMP_DONE);
    ck_assert_int_eq(read.time_ms, 1795176000123);
    ck_assert(read.part && stamp_is_of(&read, JOB));
}
END_TEST

START_TEST(finishing_reaches_the_guest_that_runs)
{
    struct stamp stamp = stamp_made(STAMP_INTENDED, JOB);
    AUTO(domain) virDomainPtr dom = defined_with(&stamp);

    ck_assert_int_eq(virDomainCreate(dom), 0);
    ck_assert(running_says(dom, "intended"));
    finish(dom, JOB);
    ck_assert(running_says(dom, "done"));
    ck_assert_int_eq(stamp_of(dom).state, STAMP_DONE);
}
END_TEST

/* What runs is still the definition of before. */
START_TEST(finishing_leaves_what_ran_before_a_replacement)
{
    struct stamp stamp = stamp_made(STAMP_INTENDED, JOB);
    AUTO(domain) virDomainPtr before = defined(PLAIN);
    AUTO(domain) virDomainPtr dom = NULL;

    ck_assert_int_eq(virDomainCreate(before), 0);
    stamp.replaced = true;
    dom = defined_with(&stamp);
    finish(dom, JOB);
    ck_assert(!running_says(dom, "stamp"));
    ck_assert_int_eq(stamp_of(dom).state, STAMP_DONE);
    ck_assert(stamp_of(dom).replaced);
}
END_TEST

START_TEST(a_transient_guest_has_the_stamp_that_it_runs_with)
{
    struct stamp stamp = stamp_made(STAMP_INTENDED, JOB);
    AUTO(string) char *xml = stamped(PLAIN, &stamp);
    AUTO(domain) virDomainPtr dom = virDomainCreateXML(conn, xml, 0);

    ck_assert(dom != NULL);
    ck_assert_int_eq(stamp_of(dom).state, STAMP_INTENDED);
    finish(dom, JOB);
    ck_assert_int_eq(stamp_of(dom).state, STAMP_DONE);
}
END_TEST

START_TEST(a_guest_that_is_gone_has_none)
{
    struct stamp stamp = stamp_made(STAMP_INTENDED, JOB);
    AUTO(domain) virDomainPtr dom = defined_with(&stamp);

    ck_assert_int_eq(virDomainUndefine(dom), 0);
    ck_assert_int_eq(stamp_of(dom).state, STAMP_NONE);
    finish(dom, JOB);
}
END_TEST

/* The driver's own schema must take the stamp wherever the submitter has put the other elements. */
START_TEST(the_stamp_is_valid_in_any_order_of_elements)
{
    static const char *const orders[] = {
        REST "<name>a</name>",
        "<title>t</title>" REST "<description>d</description><name>b</name><genid/>",
        "<uuid>" OTHER "</uuid><vcpu>1</vcpu>" REST "<clock offset='utc'/><name>c</name><title>t</title>",
        "<on_crash>destroy</on_crash><features><acpi/></features><name>d</name>" REST
        "<sysinfo type='smbios'><system><entry name='serial'>1</entry></system></sysinfo>",
        "<metadata/><name>e</name>" REST,
    };
    struct stamp stamp = stamp_made(STAMP_INTENDED, JOB);

    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        char xml[1024];

        snprintf(xml, sizeof(xml), "<domain type='test'>%s</domain>", orders[i]);
        AUTO(string) char *text = stamped(xml, &stamp);
        AUTO(domain) virDomainPtr dom = defined(text);

        ck_assert_int_eq(stamp_of(dom).state, STAMP_INTENDED);
    }
}
END_TEST

/* The stamp that the XML has after it was put in. */
static struct stamp put_and_got(const struct stamp *stamp)
{
    AUTO(string) char *xml = stamped(PLAIN, stamp);
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(xml, "domain", NULL, NULL);
    struct stamp got;

    ck_assert(doc != NULL);
    stamp_get_guest(doc, &got);
    return got;
}

START_TEST(an_image_says_who_has_restored_it)
{
    struct stamp stamp = stamp_made(STAMP_DONE, JOB), got;

    strcpy(stamp.restored, OTHER);
    stamp.restored_ms = 1795176000123;
    got = put_and_got(&stamp);
    ck_assert_int_eq(got.state, STAMP_DONE);
    ck_assert_str_eq(got.job, JOB);
    ck_assert_str_eq(got.restored, OTHER);
    ck_assert_int_eq(got.restored_ms, 1795176000123);
    ck_assert(!got.restored_done);
    stamp.restored_done = true;
    ck_assert(put_and_got(&stamp).restored_done);
}
END_TEST

START_TEST(an_image_that_no_job_made_says_only_that)
{
    struct stamp stamp = { .restored = OTHER }, got = put_and_got(&stamp);

    ck_assert_int_eq(got.state, STAMP_BLANK);
    ck_assert_str_eq(got.job, "");
    ck_assert_str_eq(got.restored, OTHER);
}
END_TEST

START_TEST(an_xml_without_a_stamp_has_none)
{
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(PLAIN, "domain", NULL, NULL);
    struct stamp got;

    stamp_get_guest(doc, &got);
    ck_assert_int_eq(got.state, STAMP_NONE);
}
END_TEST

START_TEST(what_runs_may_have_another_stamp_than_its_definition)
{
    struct stamp stamp = stamp_made(STAMP_DONE, JOB), live;
    AUTO(domain) virDomainPtr dom = defined_with(&stamp);

    ck_assert_int_eq(virDomainCreate(dom), 0);
    ck_assert_int_eq(virDomainSetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT,
                                          "<stamp job='" OTHER "' type='guest.restore' state='done'/>",
                                          "virtjob", STAMP_NAMESPACE, VIR_DOMAIN_AFFECT_LIVE),
                     0);
    ck_assert_int_eq(stamp_read_guest_live(dom, &live, NULL), 0);
    ck_assert_str_eq(live.job, OTHER);
    ck_assert_str_eq(stamp_of(dom).job, JOB);
}
END_TEST

int main(void)
{
    const TTest *const all[] = { a_stamp_is_read_as_it_was_put,
                                 a_stamp_without_a_time_gets_the_time_of_now,
                                 the_stamp_of_an_original_gives_way,
                                 other_metadata_stays,
                                 no_stamp_is_told_from_one_that_cannot_be_read,
                                 finishing_marks_the_jobs_own_stamp_alone,
                                 finishing_reaches_the_guest_that_runs,
                                 finishing_leaves_what_ran_before_a_replacement,
                                 a_transient_guest_has_the_stamp_that_it_runs_with,
                                 a_guest_that_is_gone_has_none,
                                 the_stamp_is_valid_in_any_order_of_elements,
                                 an_image_says_who_has_restored_it,
                                 an_image_that_no_job_made_says_only_that,
                                 an_xml_without_a_stamp_has_none,
                                 what_runs_may_have_another_stamp_than_its_definition };
    Suite *suite = suite_create("stamp_guest");
    TCase *tcase = tcase_create("stamp_guest");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        tcase_add_test(tcase, all[i]);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
