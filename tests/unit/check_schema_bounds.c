/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Work is bounded whatever schema and instance are, and threads may share a store. */

#include <check.h>
#include <pthread.h>
#include <time.h>

#include "schema_fixture.h"

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Valgrind and sanitizers slow things down some thirtyfold; without a bound these would take years. */
#define SECONDS_MAX 40

static void assert_stopped(const char *schema, const json_t *instance, const char *message)
{
    struct error err = ERROR_INIT;
    double before = seconds_now();

    ck_assert_int_eq(check(schema, instance, "", &err), -1);
    ck_assert_msg(seconds_now() - before < SECONDS_MAX, "took %f s", seconds_now() - before);
    ck_assert_msg(strstr(err.message, message), "%s", err.message);
    ck_assert_int_eq(err.code, ERROR_INVALID);
}

START_TEST(patterns_that_backtrack_without_end_are_stopped)
{
    AUTO(json) json_t *text =
        json_string("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!");
    AUTO(json) json_t *many = json_array();

    assert_stopped("{\"pattern\": \"^(a+)+$\"}", text, "takes too long to match its pattern");
    assert_stopped("{\"not\": {\"pattern\": \"^(a+)+$\"}}", text, "takes too long to match its pattern");
    assert_stopped("{\"anyOf\": [{\"pattern\": \"^(a|aa)+$\"}, true]}", text,
                   "takes too long to match its pattern");
    for (int i = 0; i < 20000; i++)
        json_array_append_new(many, json_string("aaaaaaaaaaaaaa!"));
    assert_stopped("{\"items\": {\"not\": {\"pattern\": \"^(a+)+$\"}}}", many, "takes too long to check");
}
END_TEST

START_TEST(long_texts_match_ordinary_patterns)
{
    AUTO(memory) void *owner = malloc(1 << 20);
    AUTO(json) json_t *text = NULL;
    struct error err = ERROR_INIT;

    memset(owner, 'a', 1 << 20);
    text = json_stringn(owner, 1 << 20);
    ck_assert_msg(check("{\"pattern\": \"^[a-z0-9._-]+$\"}", text, "", &err) == 0, "%s", err.message);
}
END_TEST

START_TEST(patterns_that_read_the_rest_from_every_place_are_stopped)
{
    AUTO(memory) void *owner = malloc(1 << 20);
    AUTO(json) json_t *text = NULL;

    memset(owner, 'a', 1 << 20);
    text = json_stringn(owner, 1 << 20);
    assert_stopped("{\"pattern\": \"[a-z]+[0-9]\"}", text, "takes too long to check");
    assert_stopped("{\"not\": {\"pattern\": \"[a-z]+[0-9]\"}}", text, "takes too long to check");
    assert_stopped("{\"pattern\": \"(a+)+[0-9]\"}", text, "takes too long");
}
END_TEST

/* Characters of two and three bytes: the places tried at a time end within some of them. */
START_TEST(patterns_match_anywhere_in_a_text)
{
    char buffer[5 * 1000 + 2] = "";
    struct error err = ERROR_INIT;

    for (int i = 0; i < 1000; i++)
        strcat(buffer + (size_t)i * 5, "\u00e9\u20ac");
    strcat(buffer, "1");
    AUTO(json) json_t *text = json_string(buffer);
    ck_assert_msg(check("{\"pattern\": \"[0-9]\"}", text, "", &err) == 0, "%s", err.message);
    ck_assert_msg(check("{\"pattern\": \"$\"}", text, "", &err) == 0, "%s", err.message);
    ck_assert_msg(check("{\"pattern\": \"(?<=\\u20ac)1$\"}", text, "", &err) == 0, "%s", err.message);
    ck_assert_int_eq(check("{\"pattern\": \"x$|^1\"}", text, "", &err), -1);
    ck_assert_int_eq(check("{\"pattern\": \"\\u20ac\\u20ac\"}", text, "", &err), -1);
    ck_assert_ptr_nonnull(strstr(err.message, "must match the pattern"));
}
END_TEST

START_TEST(deep_instances_are_stopped)
{
    AUTO(json) json_t *deep = json_array();

    for (int i = 0; i < 2000; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, deep);
        deep = outer;
    }
    assert_stopped("{\"items\": {\"$ref\": \"#\"}}", deep, "is nested too deep to be checked");
    assert_stopped("{\"not\": {\"items\": {\"$ref\": \"#/not\"}}}", deep, "is nested too deep to be checked");
}
END_TEST

START_TEST(schemas_that_multiply_their_work_are_stopped)
{
    char text[8192] = "{\"$ref\": \"#/$defs/s0\", \"$defs\": {\"s40\": {\"type\": \"integer\"}";
    AUTO(json) json_t *one = json_integer(1);

    for (int i = 0; i < 40; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used,
                 ", \"s%d\": {\"allOf\": [{\"$ref\": \"#/$defs/s%d\"}, {\"$ref\": \"#/$defs/s%d\"}]}", i,
                 i + 1, i + 1);
    }
    strcat(text, "}}");
    assert_stopped(text, one, "takes too long to check");
}
END_TEST

START_TEST(nested_choices_are_explained_in_linear_time)
{
    char schema[8192] = "", instance[8192] = "";
    AUTO(json) json_t *json = NULL;
    struct error err = ERROR_INIT;

    for (int i = 0; i < 40; i++) {
        strcat(schema, "{\"anyOf\": [{\"type\": \"object\", \"properties\": {\"a\": ");
        strcat(instance, "{\"a\": ");
    }
    strcat(schema, "{\"type\": \"string\"}");
    strcat(instance, "1");
    for (int i = 0; i < 40; i++) {
        strcat(schema, "}}, {\"type\": \"null\"}]}");
        strcat(instance, "}");
    }
    json = json_of(instance);
    ck_assert_int_eq(check(schema, json, "", &err), -1);
    ck_assert_str_eq(err.message, "'a' must be a string, is 1");
}
END_TEST

/* Threads */

static void *check_often(void *argument)
{
    AUTO(json) json_t *json = json_of("{\"name\": \"web-7\", \"ids\": [1, 2, 3]}");
    struct error err = ERROR_INIT;
    long faults = 0;

    for (int i = 0; i < 2000; i++)
        faults += schema_check(argument, json, "", &err) < 0;
    return faults ? argument : NULL;
}

START_TEST(threads_share_a_store)
{
    struct error err = ERROR_INIT;
    AUTO(store) struct schema_store *store = store_of(
        "{\"properties\": {\"name\": {\"pattern\": \"^[a-z0-9-]+$\"}, \"ids\": {\"uniqueItems\": true}}}",
        &err);
    void *schema = (void *)schema_store_find(store, "test.json");
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, check_often, schema), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("schema_bounds");
    TCase *tests = tcase_create("schema_bounds");

    tcase_add_test(tests, patterns_that_backtrack_without_end_are_stopped);
    tcase_add_test(tests, long_texts_match_ordinary_patterns);
    tcase_add_test(tests, patterns_that_read_the_rest_from_every_place_are_stopped);
    tcase_add_test(tests, patterns_match_anywhere_in_a_text);
    tcase_add_test(tests, deep_instances_are_stopped);
    tcase_add_test(tests, schemas_that_multiply_their_work_are_stopped);
    tcase_add_test(tests, nested_choices_are_explained_in_linear_time);
    tcase_add_test(tests, threads_share_a_store);
    tcase_set_timeout(tests, 60);
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
