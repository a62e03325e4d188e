/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* XML from strangers is refused in time and with the place of the fault; XML of ours comes out as it should. */

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "xml.h"

#define DOMAIN                                                                                               \
    "<domain type='kvm' id='7'><name>web &amp; co</name><memory unit='KiB'> 1048576 </memory>"               \
    "<devices><disk type='file'><target dev='vda'/></disk><disk type='block'><target dev='vdb'/></disk>"     \
    "</devices></domain>"

static double now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* `text` repeated, a malloc'd string between `head` and `tail`. */
static char *repeat(const char *head, const char *text, size_t count, const char *tail)
{
    size_t length = strlen(text), start = strlen(head);
    char *all = malloc(start + length * count + strlen(tail) + 1);

    memcpy(all, head, start);
    for (size_t i = 0; i < count; i++)
        memcpy(all + start + i * length, text, length);
    strcpy(all + start + length * count, tail);
    return all;
}

static void refused(const char *text, const char *words)
{
    struct error err = ERROR_INIT;
    double start = now();
    xmlDocPtr doc = xml_parse(text, NULL, "/params/xml", &err);

    ck_assert_ptr_null(doc);
    ck_assert_int_eq(err.code, ERROR_INVALID);
    ck_assert_str_eq(err.where, "/params/xml");
    ck_assert_msg(strstr(err.message, words) != NULL, "'%s' does not say '%s'", err.message, words);
    ck_assert_msg(now() - start < 2, "took %.1f s: %s", now() - start, err.message);
}

static const struct {
    const char *text, *words;
} malformed[] = {
    { "", "line 1" },
    { "   ", "line 1" },
    { "not xml", "line 1, column 1" },
    { "<a>\n<b>\n</a>", "line 3" },
    { "<a b='1' b='2'/>", "b redefined" },
    { "<a/><b/>", "line 1" },
    { "<a>&nbsp;</a>", "nbsp" },
    { "<a>&#0;</a>", "line 1" },
    { "<a>&#1;</a>", "line 1" },
    { "<a>&#xD800;</a>", "line 1" },
    { "<a>\x01</a>", "line 1" },
    { "<a>\xff\xfe</a>", "UTF-8" },
    { "<a>\xc0\x80</a>", "UTF-8" },
    { "<a b='\xed\xa0\x80'/>", "line 1" },
    { "<x:a/>", "x" },
    { "<a><!-- never", "line 1" },
    { "<a><![CDATA[ never", "line 1" },
    { "<a><? <b c=''?></a>", "line 1" },
    { "<a b='<c d='/>", "line 1" },
    { "<a b", "line 1" },
    { "<!DOCTYPE a><a/>", "DOCTYPE" },
    { "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "DOCTYPE" },
    { "<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>", "DOCTYPE" },
    { "<!DOCTYPE a [<!ENTITY % p SYSTEM 'http://127.0.0.1:9/x.dtd'> %p;]><a/>", "DOCTYPE" },
    { "<?xml version='1.0'?>\n<!-- c -->\n<!DOCTYPE a [<!ATTLIST a b CDATA 'x'>]><a/>", "line 3" },
    { "<!DOCTYPE a PUBLIC '-//X//Y' 'http://127.0.0.1:9/x.dtd'><a/>", "DOCTYPE" },
};

START_TEST(test_refuses_what_is_malformed)
{
    refused(malformed[_i].text, malformed[_i].words);
}
END_TEST

START_TEST(test_refuses_a_billion_laughs_unread)
{
    char text[4096] = "<!DOCTYPE l [<!ENTITY l0 'lol'>";
    size_t used = strlen(text);
    double start = now();

    for (int i = 1; i <= 20; i++)
        used += (size_t)sprintf(text + used, "<!ENTITY l%d '&l%d;&l%d;&l%d;&l%d;&l%d;&l%d;&l%d;&l%d;'>", i,
                                i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    strcpy(text + used, "]><l>&l20;</l>");
    refused(text, "DOCTYPE");
    ck_assert_msg(now() - start < 0.1, "took %.3f s", now() - start);
}
END_TEST

/* The subset of four megabytes must not be worked through either. */
START_TEST(test_does_not_read_the_subset)
{
    AUTO(string) char *text = repeat("<!DOCTYPE a [", "<!ENTITY x 'y'>", 250000, "]><a/>");

    refused(text, "DOCTYPE");
}
END_TEST

START_TEST(test_bounds_depth)
{
    AUTO(string) char *deep = repeat("", "<a>", 100000, "");
    AUTO(string) char *open = repeat("", "<a>", XML_MAX_DEPTH, "");
    AUTO(string) char *fits = repeat(open, "</a>", XML_MAX_DEPTH, "");
    AUTO(string) char *one_more = repeat("<b>", fits, 1, "</b>");
    AUTO(xml_doc) xmlDocPtr doc = NULL;
    struct error err = ERROR_INIT;

    refused(deep, "too deep");
    refused(one_more, "too deep");
    doc = xml_parse(fits, "a", NULL, &err);
    ck_assert_msg(doc != NULL, "%s", err.message);
}
END_TEST

/* A million attributes a tag, in tags that a scanner might take for something else. */
START_TEST(test_bounds_attributes)
{
    static const char *const heads[] = { "<a ",       "<!-- < ' --><a ",      "<a><b c='>'/><d e=\"'>\" ",
                                         "<a\n>\t<b", "<a><? <b ?><c d='x' ", "<a><![CDATA[<b c='>]]><d " };
    char number[16];
    AUTO(string) char *text = malloc(XML_MAX_SIZE + 1);
    size_t used = (size_t)sprintf(text, "%s", heads[_i]);

    for (unsigned i = 0; used < XML_MAX_SIZE - 64; i++) {
        sprintf(number, " %c%x='>'", 'a' + (int)(i % 26), i);
        used += (size_t)sprintf(text + used, "%s", number);
    }
    strcpy(text + used, "/>");
    refused(text, _i == 4 ? "line 1" : "too many attributes");
}
END_TEST

START_TEST(test_bounds_namespaces)
{
    char head[256];
    AUTO(string) char *text = malloc(XML_MAX_SIZE + 1);
    size_t used = 0;

    for (int i = 0; i < 100; i++) {
        sprintf(head, "<a xmlns:n%d='u:%d'>", i, i);
        used += (size_t)sprintf(text + used, "%s", head);
    }
    while (used < XML_MAX_SIZE - 64)
        used += (size_t)sprintf(text + used, "<n0:a/>");
    refused(text, "too many namespaces");
}
END_TEST

/* The costliest that is allowed stays cheap. */
START_TEST(test_is_quick_within_its_bounds)
{
    static const struct {
        const char *head, *text, *tail;
    } cases[] = {
        { "<a>", "<b/>", "</a>" },
        { "<a>", "&amp;", "</a>" },
        { "<a b='", "&amp;", "'/>" },
        { "<a>", "<!---->", "</a>" },
        { "<a>", "<![CDATA[x]]>", "</a>" },
        { "<a>", "<?b?>", "</a>" },
        { "<a>", "<b xmlns:c='d' c:e='f' g='h'/>", "</a>" },
        { "", " ", "<a/>" },
    };
    AUTO(string) char *text =
        repeat(cases[_i].head, cases[_i].text, 500000 / strlen(cases[_i].text), cases[_i].tail);
    struct error err = ERROR_INIT;
    double start = now();
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(text, "a", NULL, &err);

    ck_assert_msg(doc != NULL, "%s", err.message);
    ck_assert_msg(now() - start < 5, "took %.1f s", now() - start);
}
END_TEST

START_TEST(test_refuses_what_is_too_large)
{
    AUTO(string) char *text = repeat("<a>", "x", XML_MAX_SIZE, "</a>");
    struct error err = ERROR_INIT;

    ck_assert_ptr_null(xml_parse(text, NULL, NULL, &err));
    ck_assert_int_eq(err.code, ERROR_TOO_LARGE);
    ck_assert(!err.has_where);
}
END_TEST

START_TEST(test_checks_the_root)
{
    struct error err = ERROR_INIT;

    ck_assert_ptr_null(xml_parse("\n<pool/>", "domain", "/params/xml", &err));
    ck_assert_ptr_nonnull(
        strstr(err.message, "line 2, column 1: the root element must be <domain>, is <pool>"));
    ck_assert_ptr_null(xml_parse("<domain xmlns='urn:x'/>", "domain", "/params/xml", &err));
}
END_TEST

/* The declared encoding is not believed: the text has been UTF-8 all along. */
START_TEST(test_reads_as_utf8)
{
    struct error err = ERROR_INIT;
    AUTO(xml_doc) xmlDocPtr doc =
        xml_parse("<?xml version='1.0' encoding='ISO-8859-1'?><a>\xc3\xa9</a>", "a", NULL, &err);
    AUTO(string) char *text = doc ? xml_text(doc, &err) : NULL;

    ck_assert_msg(doc != NULL, "%s", err.message);
    ck_assert_str_eq(text, "<a>\xc3\xa9</a>\n");
}
END_TEST

START_TEST(test_finds)
{
    struct error err = ERROR_INIT;
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(DOMAIN, "domain", NULL, &err);
    AUTO(string) char *name = xml_get(doc, "/domain/name");
    AUTO(string) char *type = xml_get(doc, "/domain/@type");
    unsigned long long number = 0;
    xmlNodePtr disk = xml_find_value(doc, "//disk[target/@dev = $value]", "vdb");

    ck_assert_str_eq(name, "web & co");
    ck_assert_str_eq(type, "kvm");
    ck_assert_ptr_null(xml_get(doc, "/domain/title"));
    ck_assert_ptr_null(xml_find(doc, "]] broken ("));
    ck_assert_ptr_null(xml_find(doc, "count(//disk)"));
    ck_assert_ptr_nonnull(disk);
    ck_assert_ptr_eq(xmlNextElementSibling(xml_find(doc, "//disk")), disk);
    ck_assert_ptr_null(xml_find_value(doc, "//disk[target/@dev = $value]", "' or '1' = '1"));
    ck_assert_int_eq(xml_get_number(doc, "/domain/memory", &number), 0);
    ck_assert_uint_eq(number, 1048576);
    ck_assert_int_eq(xml_get_number(doc, "/domain/name", &number), -1);
    ck_assert_int_eq(xml_get_number(doc, "/domain/title", &number), -1);
}
END_TEST

START_TEST(test_refuses_wrong_numbers)
{
    static const char *const texts[] = { "<a>-1</a>", "<a>+1</a>",
                                         "<a>1x</a>", "<a>18446744073709551616</a>",
                                         "<a/>",      "<a>0x10</a>" };
    struct error err = ERROR_INIT;
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(texts[_i], "a", NULL, &err);
    unsigned long long number = 42;

    ck_assert_int_eq(xml_get_number(doc, "/a", &number), -1);
    ck_assert_uint_eq(number, 42);
}
END_TEST

static int count_disk(xmlNodePtr node, void *opaque)
{
    int *count = opaque;

    ck_assert_str_eq((const char *)node->name, "disk");
    return ++*count == 2 ? 7 : 0;
}

START_TEST(test_walks)
{
    struct error err = ERROR_INIT;
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(DOMAIN, "domain", NULL, &err);
    int count = 0;

    ck_assert_int_eq(xml_each(doc, "//disk", count_disk, &count), 7);
    ck_assert_int_eq(count, 2);
    ck_assert_int_eq(xml_each(doc, "//nothing", count_disk, &count), 0);
}
END_TEST

START_TEST(test_changes)
{
    struct error err = ERROR_INIT;
    AUTO(xml_doc) xmlDocPtr doc = xml_new("volume", &err);
    xmlNodePtr root = xmlDocGetRootElement(doc);
    AUTO(string) char *text = NULL;

    ck_assert_ptr_nonnull(xml_add(root, "name", "a<b&c", &err));
    ck_assert_ptr_eq(xml_child(root, "name", &err), xml_find(doc, "/volume/name"));
    ck_assert_int_eq(xml_set_text(xml_child(root, "name", &err), "</name>&amp;", &err), 0);
    ck_assert_int_eq(xml_set_attribute(xml_child(root, "target", &err), "path", "'\"<&", &err), 0);
    ck_assert_ptr_nonnull(xml_add(root, "gone", NULL, &err));
    xml_remove(xml_find(doc, "/volume/gone"));
    xml_remove(xml_find(doc, "/volume/gone"));
    text = xml_text(doc, &err);
    ck_assert_str_eq(text, "<volume><name>&lt;/name&gt;&amp;amp;</name>"
                           "<target path=\"'&quot;&lt;&amp;\"/></volume>\n");
}
END_TEST

START_TEST(test_refuses_text_that_xml_cannot_hold)
{
    static const char *const texts[] = { "a\x01", "\x7f\x1b[0m", "\xff", "\xef\xbf\xbf", "\xed\xa0\x80" };
    struct error err = ERROR_INIT;
    AUTO(xml_doc) xmlDocPtr doc = xml_new("a", &err);
    xmlNodePtr root = xmlDocGetRootElement(doc);
    AUTO(string) char *text = NULL;

    ck_assert_ptr_null(xml_add(root, "b", texts[_i], &err));
    ck_assert_int_eq(err.code, ERROR_INVALID);
    ck_assert_int_eq(xml_set_text(root, texts[_i], &err), -1);
    ck_assert_int_eq(xml_set_attribute(root, "b", texts[_i], &err), -1);
    text = xml_text(doc, &err);
    ck_assert_str_eq(text, "<a/>\n");
}
END_TEST

/* Cut anywhere and with any byte replaced: no crash, no hang, and the answer is one or the other. */
START_TEST(test_survives_mutation)
{
    static const char seed[] =
        "<?xml version='1.0'?><!-- c --><a xmlns:p='u' b='&lt;'><p:c d=\"'\"/><![CDATA[ ]] ]]>"
        "&#65;<?pi x?>text ]] &amp;</a>";
    static const char bytes[] = "<>&'\"=!?-[]/ \x01\xff\xc3:;#xD";

    for (size_t at = 0; at < sizeof(seed) - 1; at++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            char text[sizeof(seed)];
            struct error err = ERROR_INIT;
            xmlDocPtr doc;

            memcpy(text, seed, sizeof(seed));
            text[at] = bytes[i]; /* the last one cuts */
            doc = xml_parse(text, NULL, NULL, &err);
            ck_assert((doc == NULL) == (err.code != ERROR_NONE));
            xmlFreeDoc(doc);
        }
    }
}
END_TEST

static void *parse_many(void *opaque)
{
    for (int i = 0; i < 200; i++) {
        struct error err = ERROR_INIT;
        xmlDocPtr doc = xml_parse(i % 2 ? DOMAIN : "<broken", "domain", NULL, &err);

        ck_assert((doc != NULL) == (i % 2 == 1));
        xmlFreeDoc(doc);
    }
    return opaque;
}

START_TEST(test_parses_on_many_threads)
{
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, parse_many, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("xml");
    TCase *hostile = tcase_create("hostile"), *ours = tcase_create("ours");

    tcase_set_timeout(hostile, 120);
    tcase_add_loop_test(hostile, test_refuses_what_is_malformed, 0, sizeof(malformed) / sizeof(malformed[0]));
    tcase_add_test(hostile, test_refuses_a_billion_laughs_unread);
    tcase_add_test(hostile, test_does_not_read_the_subset);
    tcase_add_test(hostile, test_bounds_depth);
    tcase_add_loop_test(hostile, test_bounds_attributes, 0, 6);
    tcase_add_test(hostile, test_bounds_namespaces);
    tcase_add_loop_test(hostile, test_is_quick_within_its_bounds, 0, 8);
    tcase_add_test(hostile, test_refuses_what_is_too_large);
    tcase_add_test(hostile, test_survives_mutation);
    suite_add_tcase(all, hostile);
    tcase_add_test(ours, test_checks_the_root);
    tcase_add_test(ours, test_reads_as_utf8);
    tcase_add_test(ours, test_finds);
    tcase_add_loop_test(ours, test_refuses_wrong_numbers, 0, 6);
    tcase_add_test(ours, test_walks);
    tcase_add_test(ours, test_changes);
    tcase_add_loop_test(ours, test_refuses_text_that_xml_cannot_hold, 0, 5);
    tcase_add_test(ours, test_parses_on_many_threads);
    suite_add_tcase(all, ours);
    return all;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());
    int failed;

    xml_init();
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
