/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Schemas as they are loaded: what is refused and with which words, how patterns are read, how references are resolved. */

#include <check.h>

#include "schema_fixture.h"

START_TEST(load_refuses_unknown_keywords)
{
    assert_refused("{\"properties\": {\"a/b\": {\"minimun\": 1}}}", "/properties/a~1b/minimun",
                   "test.json: 'minimun' is no keyword that is known here, at '/properties/a~1b/minimun'");
    assert_refused(
        "{\"unevaluatedProperties\": false}", "/unevaluatedProperties",
        "test.json: 'unevaluatedProperties' is no keyword that is known here, at '/unevaluatedProperties'");
}
END_TEST

START_TEST(load_takes_keywords_of_our_own)
{
    assert_valid("{\"x-lane\": \"long\", \"x-\": [1]}", "1");
}
END_TEST

START_TEST(load_refuses_unknown_formats)
{
    assert_refused("{\"format\": \"color\"}", "/format",
                   "test.json: 'format' has 'color', which is no format that is known here, at '/format'");
}
END_TEST

START_TEST(load_refuses_malformed_values)
{
    static const char *const schemas[] = {
        "1",
        "{\"type\": \"strin\"}",
        "{\"type\": []}",
        "{\"type\": [\"null\", \"null\"]}",
        "{\"type\": {}}",
        "{\"minLength\": -1}",
        "{\"minLength\": 1.5}",
        "{\"minLength\": \"1\"}",
        "{\"minimum\": \"1\"}",
        "{\"multipleOf\": 0}",
        "{\"multipleOf\": -1}",
        "{\"enum\": 1}",
        "{\"required\": \"a\"}",
        "{\"required\": [\"a\", \"a\"]}",
        "{\"required\": [1]}",
        "{\"properties\": []}",
        "{\"properties\": {\"a\": 1}}",
        "{\"patternProperties\": {\"(\": true}}",
        "{\"patternProperties\": 1}",
        "{\"additionalProperties\": 1}",
        "{\"dependentRequired\": {\"a\": \"b\"}}",
        "{\"dependentRequired\": []}",
        "{\"dependentSchemas\": {\"a\": 1}}",
        "{\"items\": [true]}",
        "{\"prefixItems\": {}}",
        "{\"allOf\": []}",
        "{\"anyOf\": {}}",
        "{\"uniqueItems\": 1}",
        "{\"title\": 1}",
        "{\"deprecated\": \"no\"}",
        "{\"examples\": 1}",
        "{\"pattern\": 1}",
        "{\"format\": 1}",
        "{\"$defs\": []}",
        "{\"$defs\": {\"a\": null}}",
        "{\"$ref\": 1}",
        "{\"$ref\": \"a b\"}",
        "{\"$id\": 1}",
        "{\"$id\": \"x.json#frag\"}",
        "{\"$anchor\": \"1\"}",
        "{\"$anchor\": \"a\", \"not\": {\"$anchor\": \"a\"}}",
        "{\"$schema\": \"http://json-schema.org/draft-07/schema#\"}",
        "{\"$defs\": {\"a\": {\"$id\": \"x\"}, \"b\": {\"$id\": \"x\"}}}",
    };

    for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
        struct error err = ERROR_INIT;
        AUTO(store) struct schema_store *store = store_of(schemas[i], &err);
        ck_assert_msg(!store, "%s is taken", schemas[i]);
        ck_assert_msg(err.code == ERROR_INVALID && err.has_where, "%s: %s", schemas[i], err.message);
    }
}
END_TEST

START_TEST(load_refuses_text_that_is_no_json)
{
    struct error err = ERROR_INIT;

    ck_assert_ptr_null(store_of("{\"type\": ", &err));
    ck_assert_int_eq(err.code, ERROR_INVALID);
    ck_assert_ptr_null(store_of("{\"type\": \"null\", \"type\": \"string\"}", &err));
    ck_assert_str_eq(err.message, "test.json: line 1, column 23: duplicate object key near '\"type\"'");
}
END_TEST

START_TEST(load_refuses_schemas_that_are_nested_too_deep)
{
    char text[4096] = "";
    struct error err = ERROR_INIT;

    for (int i = 0; i < 300; i++)
        strcat(text, "{\"not\":");
    strcat(text, "true");
    for (int i = 0; i < 300; i++)
        strcat(text, "}");
    ck_assert_ptr_null(store_of(text, &err));
    ck_assert_ptr_nonnull(strstr(err.message, "nested too deep"));
}
END_TEST

START_TEST(load_refuses_patterns_that_others_would_not_read)
{
    static const char *const patterns[] = {
        "(",       ")",     "[",     "a**",    "a++",      "*a",       "(?i)a",  "(?#x)",     "(?>a)",
        "(*ANY)",  "\\\\A", "\\\\Z", "\\\\K",  "\\\\h",    "\\\\Qx",   "\\\\-",  "a{2,1}",    "a{,2}",
        "{",       "}",     "]",     "\\\\2",  "(?P<n>a)", "\\\\p{L",  "\\\\pL", "\\\\uD800", "\\\\u{110000}",
        "\\\\x1",  "\\\\",  "[b-a]", "\\\\01", "(?<1>a)",  "\\\\k<n>", "(?R)",   "(?1)",      "\\\\c1",
        "\\\\u12", "^*",    "a|*",
    };
    char schema[64];

    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        struct error err = ERROR_INIT;
        snprintf(schema, sizeof(schema), "{\"pattern\": \"%s\"}", patterns[i]);
        ck_assert_msg(!store_of(schema, &err), "%s is taken", patterns[i]);
        ck_assert_str_eq(err.where, "/pattern");
    }
}
END_TEST

START_TEST(patterns_are_read_as_ecma_262_has_them)
{
    static const char *const rows[][3] = {
        /* pattern, what it matches, what not */
        { "^.$", "\"\u00e4\"", "\"\\n\"" },
        { "^\\\\v$", "\"\\u000b\"", "\"\\n\"" },
        { "^[\\\\s]$", "\"\ufeff\"", "\"x\"" },
        { "^[\\\\S]$", "\"x\"", "\"\u3000\"" },
        { "^[^]$", "\"\\n\"", "\"\"" },
        { "^[[:a]$", "\"[\"", "\"]\"" },
        { "^\\\\u{1f600}$", "\"\U0001f600\"", "\"x\"" },
        { "^\\\\ud83d\\\\ude00$", "\"\U0001f600\"", "\"x\"" },
        { "^(a|(b))\\\\2c$", "\"ac\"", "\"bc\"" },
        { "^\\\\p{Script=Greek}+$", "\"\u03b1\"", "\"a\"" },
        { "^\\\\p{Lu}\\\\P{gc=Lu}$", "\"Aa\"", "\"AA\"" },
        { "^[\\\\b]$", "\"\\b\"", "\"b\"" },
        { "^a{2,3}?$", "\"aa\"", "\"a\"" },
        { "^\\\\x41\\\\/\\\\.$", "\"A/.\"", "\"A/x\"" },
        { "^(?<year>\\\\d+)-\\\\k<year>$", "\"1-1\"", "\"1-2\"" },
        { "(?<=a)b(?!c)", "\"abd\"", "\"abc\"" },
    };
    char schema[128];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        AUTO(json) json_t *no = json_of(rows[i][2]);
        struct error err = ERROR_INIT;
        snprintf(schema, sizeof(schema), "{\"pattern\": \"%s\"}", rows[i][0]);
        assert_valid(schema, rows[i][1]);
        ck_assert_msg(check(schema, no, "", &err) < 0, "%s matches %s", rows[i][0], rows[i][2]);
    }
}
END_TEST

/* References */

START_TEST(link_refuses_references_that_lead_nowhere)
{
    assert_refused("{\"items\": {\"$ref\": \"other.json#/$defs/x\"}}", "/items/$ref",
                   "test.json: $ref 'other.json#/$defs/x' leads nowhere, at '/items/$ref'");
    assert_refused("{\"$ref\": \"#/$defs/x\"}", "/$ref",
                   "test.json: $ref 'test.json#/$defs/x' leads nowhere, at '/$ref'");
    assert_refused("{\"$ref\": \"#/properties\", \"properties\": {}}", "/$ref",
                   "test.json: $ref 'test.json#/properties' leads nowhere, at '/$ref'");
}
END_TEST

START_TEST(link_refuses_endless_references)
{
    assert_refused("{\"$ref\": \"#\"}", "/$ref", "test.json: $ref 'test.json#' is endless, at '/$ref'");
    assert_refused("{\"anyOf\": [{\"not\": {\"$ref\": \"#\"}}]}", "/anyOf/0/not/$ref",
                   "test.json: $ref 'test.json#' is endless, at '/anyOf/0/not/$ref'");
    assert_refused("{\"dependentSchemas\": {\"a\": {\"if\": true, \"then\": {\"$ref\": \"#\"}}}}",
                   "/dependentSchemas/a/then/$ref",
                   "test.json: $ref 'test.json#' is endless, at '/dependentSchemas/a/then/$ref'");
}
END_TEST

START_TEST(references_may_recur_with_the_instance)
{
    assert_valid("{\"type\": \"array\", \"items\": {\"$ref\": \"#\"}}", "[[[], []]]");
    assert_fault("{\"type\": \"array\", \"items\": {\"$ref\": \"#\"}}", "[[[], [1]]]", "/0/1/0",
                 "'[0][1][0]' must be an array, is 1");
}
END_TEST

START_TEST(store_finds_by_identifier_name_anchor_and_pointer)
{
    static const char common[] = "{\"$id\": \"https://virtjob.io/schemas/common.json\", \"$defs\": {\"a/b\": "
                                 "{\"$anchor\": \"name\", \"type\": \"string\"}}}";
    static const char type[] =
        "{\"$id\": \"https://virtjob.io/schemas/x.y.json\", \"$ref\": \"common.json#name\"}";
    AUTO(store) struct schema_store *store = schema_store_new(NULL);
    AUTO(json) json_t *text = json_string("x");

    ck_assert_int_eq(schema_store_add(store, "x.y.json", type, strlen(type), NULL), 0);
    ck_assert_int_eq(schema_store_add(store, "common.json", common, strlen(common), NULL), 0);
    ck_assert_int_eq(schema_store_link(store, NULL), 0);
    ck_assert_ptr_nonnull(schema_store_find(store, "common.json"));
    ck_assert_ptr_eq(schema_store_find(store, "common.json"),
                     schema_store_find(store, "https://virtjob.io/schemas/common.json#"));
    ck_assert_ptr_nonnull(schema_store_find(store, "common.json#name"));
    ck_assert_ptr_eq(schema_store_find(store, "common.json#name"),
                     schema_store_find(store, "https://virtjob.io/schemas/common.json#/$defs/a~1b"));
    ck_assert_ptr_null(schema_store_find(store, "common.json#/$defs"));
    ck_assert_ptr_null(schema_store_find(store, "common.json#nam"));
    ck_assert_ptr_null(schema_store_find(store, "common"));
    ck_assert_ptr_null(schema_store_find(store, ""));
    ck_assert_int_eq(schema_check(schema_store_find(store, "x.y.json"), text, "", NULL), 0);
    ck_assert_int_eq(schema_check(schema_store_find(store, "x.y.json"), json_null(), "", NULL), -1);
}
END_TEST

START_TEST(store_refuses_two_documents_of_one_name)
{
    AUTO(store) struct schema_store *store = schema_store_new(NULL);
    struct error err = ERROR_INIT;

    ck_assert_int_eq(schema_store_add(store, "a.json", "true", 4, &err), 0);
    ck_assert_int_eq(schema_store_add(store, "a.json", "true", 4, &err), -1);
    ck_assert_int_eq(err.code, ERROR_INVALID);
}
END_TEST

START_TEST(store_takes_nothing_after_linking)
{
    struct error err = ERROR_INIT;
    AUTO(store) struct schema_store *store = store_of("true", &err);

    ck_assert_int_eq(schema_store_add(store, "b.json", "true", 4, &err), -1);
    ck_assert_int_eq(err.code, ERROR_INTERNAL);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("schema_load");
    TCase *tests = tcase_create("schema_load");

    tcase_add_test(tests, load_refuses_unknown_keywords);
    tcase_add_test(tests, load_takes_keywords_of_our_own);
    tcase_add_test(tests, load_refuses_unknown_formats);
    tcase_add_test(tests, load_refuses_malformed_values);
    tcase_add_test(tests, load_refuses_text_that_is_no_json);
    tcase_add_test(tests, load_refuses_schemas_that_are_nested_too_deep);
    tcase_add_test(tests, load_refuses_patterns_that_others_would_not_read);
    tcase_add_test(tests, patterns_are_read_as_ecma_262_has_them);
    tcase_add_test(tests, link_refuses_references_that_lead_nowhere);
    tcase_add_test(tests, link_refuses_endless_references);
    tcase_add_test(tests, references_may_recur_with_the_instance);
    tcase_add_test(tests, store_finds_by_identifier_name_anchor_and_pointer);
    tcase_add_test(tests, store_refuses_two_documents_of_one_name);
    tcase_add_test(tests, store_takes_nothing_after_linking);
    suite_add_tcase(s, tests);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
