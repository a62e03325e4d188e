/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the official test suite (tests/contract/schema_suite.c) does not ask about a check: where a fault is, how it is
 * told, and the odd values. */

#include <check.h>

#include "schema_fixture.h"

/* Faults */

START_TEST(fault_points_at_nested_item)
{
    assert_fault("{\"properties\": {\"disks\": {\"items\": {\"properties\": {\"size\": {\"minimum\": 1}}}}}}",
                 "{\"disks\": [{\"size\": 1}, {\"size\": -5}]}", "/disks/1/size",
                 "'size' must be at least 1, is -5");
}
END_TEST

START_TEST(fault_pointer_escapes_slash_and_tilde)
{
    assert_fault("{\"additionalProperties\": {\"type\": \"string\"}}", "{\"a/b~c\": 1}", "/a~1b~0c",
                 "'a/b~c' must be a string, is 1");
}
END_TEST

START_TEST(fault_pointer_is_prefixed)
{
    assert_fault_at("{\"properties\": {\"n\": {\"type\": \"integer\"}}}", "{\"n\": 1.5}", "/params",
                    "/params/n", "'n' must be an integer, is 1.5");
}
END_TEST

START_TEST(fault_pointer_of_root_is_the_prefix)
{
    assert_fault_at("{\"type\": \"object\"}", "[]", "/params", "/params",
                    "'params' must be an object, is an array");
    assert_fault("{\"type\": \"object\"}", "[]", "", "the document must be an object, is an array");
}
END_TEST

START_TEST(fault_pointer_that_is_too_long_ends_after_a_whole_token)
{
    char instance[1024], key[201];
    struct error err = ERROR_INIT;
    AUTO(json) json_t *json = NULL;

    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    snprintf(instance, sizeof(instance), "{\"%s\": {\"%s\": 1}}", key, key);
    json = json_of(instance);
    ck_assert_int_eq(check("{\"additionalProperties\": {\"additionalProperties\": false}}", json, "/p", &err),
                     -1);
    ck_assert_uint_eq(strlen(err.where), strlen("/p/") + strlen(key));
}
END_TEST

START_TEST(fault_names_items_of_arrays)
{
    assert_fault("{\"properties\": {\"a\": {\"items\": {\"items\": {\"type\": \"string\"}}}}}",
                 "{\"a\": [[\"x\"], [\"x\", null]]}", "/a/1/1", "'a[1][1]' must be a string, is null");
    assert_fault("{\"items\": {\"type\": \"string\"}}", "[1]", "/0", "'[0]' must be a string, is 1");
}
END_TEST

START_TEST(fault_names_unknown_parameter_and_the_known_ones)
{
    assert_fault_at("{\"properties\": {\"pool\": {}, \"name\": {}}, \"additionalProperties\": false}",
                    "{\"pol\": 1}", "/params", "/params/pol",
                    "unknown parameter 'pol'; known are 'name', 'pool'");
    assert_fault("{\"properties\": {\"id\": {}}, \"additionalProperties\": false}", "{\"x\": 1}", "/x",
                 "unknown member 'x'; known are 'id'");
    assert_fault("{\"additionalProperties\": false}", "{\"x\": 1}", "/x", "unknown member 'x'");
}
END_TEST

START_TEST(fault_names_missing_parameter)
{
    assert_fault_at("{\"required\": [\"a\", \"b\"]}", "{\"a\": 1}", "/params", "/params",
                    "parameter 'b' is missing in 'params'");
    assert_fault("{\"dependentRequired\": {\"a\": [\"b\"]}}", "{\"a\": 1}", "",
                 "member 'b' is missing in the document");
}
END_TEST

START_TEST(fault_shows_what_is_wanted)
{
    assert_fault("{\"type\": [\"string\", \"null\"]}", "{}", "",
                 "the document must be a string or null, is an object");
    assert_fault("{\"enum\": [\"auto\", \"full\", 3]}", "\"x\"", "",
                 "the document must be one of \"auto\", \"full\", 3; is \"x\"");
    assert_fault("{\"const\": 1}", "2", "", "the document must be 1, is 2");
    assert_fault("{\"maximum\": 0.1}", "0.2", "", "the document must be at most 0.1, is 0.2");
    assert_fault("{\"exclusiveMinimum\": 1}", "1", "", "the document must be more than 1, is 1");
    assert_fault("{\"exclusiveMaximum\": 1}", "1", "", "the document must be less than 1, is 1");
    assert_fault("{\"multipleOf\": 512}", "513", "", "the document must be a multiple of 512, is 513");
    assert_fault("{\"minLength\": 1}", "\"\"", "", "the document must not be empty");
    assert_fault("{\"maxLength\": 1}", "\"\u00e4\u00f6\"", "",
                 "the document must have at most 1 character, has 2");
    assert_fault("{\"format\": \"uuid\"}", "\"x\"", "", "the document must be a UUID, is \"x\"");
    assert_fault("{\"pattern\": \"^[a-z]+$\"}", "\"A\"", "",
                 "the document must match the pattern ^[a-z]+$, is \"A\"");
    assert_fault("{\"minItems\": 2}", "[1]", "", "the document must have at least 2 items, has 1");
    assert_fault("{\"uniqueItems\": true}", "[1, 2, 1.0]", "",
                 "the document must not have an item twice: those at 0 and 2 are equal");
    assert_fault("{\"properties\": {\"x\": false}}", "{\"x\": 1}", "/x", "'x' is not allowed here");
    assert_fault("{\"oneOf\": [{}, {\"type\": \"null\"}, {}]}", "1", "",
                 "the document must have one form only, but fits forms 1 and 3 of 3");
}
END_TEST

START_TEST(fault_cuts_long_values_between_characters)
{
    assert_fault("{\"type\": \"null\"}",
                 "\"x\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4"
                 "\u00e4\u00e4\u00e4"
                 "\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4"
                 "\u00e4\u00e4\"",
                 "",
                 "the document must be null, is "
                 "\"x\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4"
                 "\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4"
                 "\u00e4\u00e4"
                 "\u00e4\"...");
}
END_TEST

/* anyOf and oneOf */

static const char methods[] = "{\"oneOf\": ["
                              "{\"type\": \"object\", \"properties\": {\"method\": {\"const\": \"full\"}, "
                              "\"size\": {\"type\": \"integer\"}},"
                              " \"additionalProperties\": false},"
                              "{\"type\": \"object\", \"properties\": {\"method\": {\"const\": \"linked\"}, "
                              "\"backing\": {\"type\": \"string\"}},"
                              " \"required\": [\"backing\"], \"additionalProperties\": false}]}";

START_TEST(fault_of_one_of_is_that_of_the_branch_with_the_same_constant)
{
    assert_fault(methods, "{\"method\": \"linked\", \"backing\": 1}", "/backing",
                 "'backing' must be a string, is 1");
    assert_fault(methods, "{\"size\": true, \"method\": \"full\"}", "/size",
                 "'size' must be an integer, is true");
    assert_fault(methods, "{\"method\": \"linked\"}", "", "member 'backing' is missing in the document");
}
END_TEST

START_TEST(fault_of_one_of_names_the_constants_where_none_is_right)
{
    assert_fault(methods, "{\"method\": \"fast\"}", "/method",
                 "'method' must be one of \"full\", \"linked\"; is \"fast\"");
}
END_TEST

START_TEST(fault_of_any_of_names_the_types_where_none_is_right)
{
    assert_fault("{\"anyOf\": [{\"type\": \"string\"}, {\"$ref\": \"#/$defs/o\"}], \"$defs\": {\"o\": "
                 "{\"type\": \"object\"}}}",
                 "1", "", "the document must be a string or an object, is 1");
}
END_TEST

START_TEST(fault_of_any_of_is_that_of_the_branch_with_the_type)
{
    assert_fault("{\"anyOf\": [{\"type\": \"string\"}, {\"properties\": {\"a\": {\"minimum\": 3}}, \"type\": "
                 "\"object\"}]}",
                 "{\"a\": 2}", "/a", "'a' must be at least 3, is 2");
}
END_TEST

/* Values */

START_TEST(numbers_are_compared_exactly)
{
    assert_valid("{\"minimum\": 9007199254740993}", "9007199254740993");
    assert_fault("{\"minimum\": 9007199254740993}", "9007199254740992", "",
                 "the document must be at least 9007199254740993, is 9007199254740992");
    assert_fault("{\"maximum\": 9223372036854775806.0}", "1e300", "",
                 "the document must be at most 9.22337203685478e18, is 1e300");
    assert_valid("{\"maximum\": 9223372036854775808.0}", "9223372036854775807");
    assert_valid("{\"const\": 1.0}", "1");
    assert_valid("{\"multipleOf\": 0.01}", "19.99");
    assert_valid("{\"multipleOf\": 1e-7}", "0.0000123");
    assert_valid("{\"type\": \"integer\"}", "1e300");
}
END_TEST

START_TEST(strings_with_nul_are_compared_whole)
{
    assert_fault("{\"const\": \"a\"}", "\"a\\u0000b\"", "", "the document must be \"a\", is \"a\\u0000b\"");
    assert_valid("{\"enum\": [\"a\\u0000b\"]}", "\"a\\u0000b\"");
    assert_fault("{\"format\": \"ipv4\"}", "\"1.2.3.4\\u0000\"", "",
                 "the document must be an IPv4 address, is \"1.2.3.4\\u0000\"");
}
END_TEST

START_TEST(unique_items_finds_equal_objects_among_many)
{
    AUTO(json) json_t *array = json_array();
    struct error err = ERROR_INIT;

    for (int i = 0; i < 1000; i++)
        json_array_append_new(array, json_pack("{s:i, s:[f]}", "a", i, "b", (double)i));
    ck_assert_int_eq(check("{\"uniqueItems\": true}", array, "", &err), 0);
    json_array_append_new(array, json_pack("{s:[i], s:f}", "b", 500, "a", 500.0));
    ck_assert_int_eq(check("{\"uniqueItems\": true}", array, "", &err), -1);
    ck_assert_str_eq(err.message,
                     "the document must not have an item twice: those at 500 and 1000 are equal");
}
END_TEST

START_TEST(required_may_name_what_properties_does_not)
{
    assert_valid("{\"properties\": {\"a\": {}}, \"required\": [\"b\"]}", "{\"b\": 1}");
    assert_fault("{\"properties\": {\"a\": {}}, \"required\": [\"b\"], \"additionalProperties\": false}",
                 "{\"b\": 1}", "/b", "unknown member 'b'; known are 'a'");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("schema");
    TCase *tests = tcase_create("schema");

    tcase_add_test(tests, fault_points_at_nested_item);
    tcase_add_test(tests, fault_pointer_escapes_slash_and_tilde);
    tcase_add_test(tests, fault_pointer_is_prefixed);
    tcase_add_test(tests, fault_pointer_of_root_is_the_prefix);
    tcase_add_test(tests, fault_pointer_that_is_too_long_ends_after_a_whole_token);
    tcase_add_test(tests, fault_names_items_of_arrays);
    tcase_add_test(tests, fault_names_unknown_parameter_and_the_known_ones);
    tcase_add_test(tests, fault_names_missing_parameter);
    tcase_add_test(tests, fault_shows_what_is_wanted);
    tcase_add_test(tests, fault_cuts_long_values_between_characters);
    tcase_add_test(tests, fault_of_one_of_is_that_of_the_branch_with_the_same_constant);
    tcase_add_test(tests, fault_of_one_of_names_the_constants_where_none_is_right);
    tcase_add_test(tests, fault_of_any_of_names_the_types_where_none_is_right);
    tcase_add_test(tests, fault_of_any_of_is_that_of_the_branch_with_the_type);
    tcase_add_test(tests, numbers_are_compared_exactly);
    tcase_add_test(tests, strings_with_nul_are_compared_whole);
    tcase_add_test(tests, unique_items_finds_equal_objects_among_many);
    tcase_add_test(tests, required_may_name_what_properties_does_not);
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
