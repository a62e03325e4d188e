/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What must hold for every row of the job tables: its schema, its place in the AsyncAPI document, an example that is
 * valid, a title that fits a line of help, claims that point at parameters, an integration test. And every schema file of
 * a job type has its row. The argument is the folder of the integration tests. */

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "envelope.h"
#include "jobs.h"
#include "schemas.h"

#define BASE "https://virtjob.io/schemas/1/"

static const char *test_folder;
static struct schema_store *schemas;
static const struct job_type *rows[256];
static int row_count;

static void collect_rows(void)
{
    for (const struct job_type *const *table = job_tables; *table; table++)
        for (const struct job_type *type = *table; type->name; type++)
            rows[row_count++] = type;
}

static json_t *schema_document(const struct job_type *type)
{
    struct schemas_file file;
    char name[128];

    snprintf(name, sizeof(name), "%s.json", type->name);
    ck_assert_msg(schemas_find(name, &file) == 0, "schemas/%s is missing", name);
    return json_loadb(file.text, file.length, 0, NULL);
}

START_TEST(row_has_a_handler_and_its_schema)
{
    const struct job_type *type = rows[_i];
    AUTO(json) json_t *document = schema_document(type);
    const char *title = json_string_value(json_object_get(document, "title"));
    char uri[192];

    ck_assert_msg(type->run != NULL, "%s has no handler", type->name);
    ck_assert_msg(title && strlen(title) <= 60, "%s: a title of at most 60 characters is missing",
                  type->name);
    ck_assert_msg(json_is_string(json_object_get(document, "description")), "%s: no description", type->name);
    for (int i = 0; i < 2; i++) {
        snprintf(uri, sizeof(uri), BASE "%s.json#/$defs/%s", type->name, i ? "result" : "params");
        ck_assert_msg(schema_store_find(schemas, uri) != NULL, "there is no %s", uri);
    }
}
END_TEST

START_TEST(row_has_a_valid_example_of_its_own_type)
{
    const struct job_type *type = rows[_i];
    AUTO(json) json_t *document = schema_document(type);
    struct error err = ERROR_INIT;
    struct envelope_rules *rules = envelope_rules_new(schemas, NULL, NULL, &err);
    const json_t *example = json_array_get(json_object_get(document, "examples"), 0);
    AUTO(string) char *text = json_dumps(example, 0);
    struct request request = { 0 };

    ck_assert_msg(text != NULL, "%s has no example", type->name);
    ck_assert_msg(envelope_parse_document(rules, text, strlen(text), &request, &err) == 0,
                  "%s: example: %s at '%s'", type->name, err.message, err.where);
    ck_assert_str_eq(request.type, type->name);
    request_done(&request);
    envelope_rules_free(rules);
}
END_TEST

START_TEST(every_parameter_is_described)
{
    AUTO(json) json_t *document = schema_document(rows[_i]);
    json_t *properties =
        json_object_get(json_object_get(json_object_get(document, "$defs"), "params"), "properties");
    const char *name;
    json_t *property;

    json_object_foreach (properties, name, property) {
        bool described = json_object_get(property, "description") || json_object_get(property, "$ref");
        ck_assert_msg(described, "%s: the parameter '%s' has no description", rows[_i]->name, name);
    }
}
END_TEST

START_TEST(row_claims_what_are_parameters)
{
    const struct job_type *type = rows[_i];
    AUTO(json) json_t *document = schema_document(type);
    json_t *properties =
        json_object_get(json_object_get(json_object_get(document, "$defs"), "params"), "properties");

    for (int i = 0; i < JOB_CLAIMS_MAX && type->claims[i].resource != JOB_NOTHING; i++) {
        const char *pointer = type->claims[i].pointer;
        char first[64] = "volume"; /* of the parameters as a whole, which then are the volume */
        if (type->claims[i].resource == JOB_HOST)
            continue; /* of no parameter */
        ck_assert_msg(*pointer == '\0' || sscanf(pointer, "/%63[^/]", first) == 1, "%s claims '%s'",
                      type->name, pointer);
        ck_assert_msg(json_object_get(properties, first) != NULL, "%s claims '%s', which is no parameter",
                      type->name, pointer);
    }
}
END_TEST

START_TEST(asyncapi_names_the_row)
{
    struct schemas_file file;
    char reference[128];

    ck_assert_int_eq(schemas_find("asyncapi.yaml", &file), 0);
    snprintf(reference, sizeof(reference), "./%s.json'", rows[_i]->name);
    ck_assert_msg(strstr(file.text, reference) != NULL, "asyncapi.yaml does not name %s", rows[_i]->name);
}
END_TEST

static bool file_mentions(const char *path, const char *text)
{
    AUTO(string) char *line = NULL;
    size_t size = 0;
    FILE *file = fopen(path, "r");
    bool found = false;

    while (file && !found && getline(&line, &size, file) > 0)
        found = strstr(line, text) != NULL;
    if (file)
        fclose(file);
    return found;
}

/* Submits a job of that type, as r.run("volume.clone", …). */
START_TEST(row_has_an_integration_test)
{
    char quoted[128], path[4096];
    DIR *folder = opendir(test_folder);
    bool found = false;

    ck_assert_msg(folder != NULL, "cannot read '%s'", test_folder);
    snprintf(quoted, sizeof(quoted), "\"%s\"", rows[_i]->name);
    for (struct dirent *entry; !found && (entry = readdir(folder));) {
        snprintf(path, sizeof(path), "%s/%s", test_folder, entry->d_name);
        found = strchr(entry->d_name, '-') && file_mentions(path, quoted);
    }
    closedir(folder);
    ck_assert_msg(found, "no integration test has %s in it", quoted);
}
END_TEST

START_TEST(every_schema_of_a_job_type_has_a_row)
{
    struct schemas_file file;
    char area[32], verb[32], type[80];

    for (size_t i = 0; schemas_file(i, &file) == 0; i++) {
        if (sscanf(file.name, "%31[a-z].%31[a-z-].json", area, verb) != 2 || strcmp(verb, "json") == 0 ||
            strcmp(verb, "yaml") == 0)
            continue;
        snprintf(type, sizeof(type), "%s.%s", area, verb);
        ck_assert_msg(job_type_find(job_tables, type) != NULL, "schemas/%s has no row", file.name);
    }
}
END_TEST

START_TEST(names_are_given_once)
{
    for (int i = 0; i < row_count; i++)
        ck_assert_msg(job_type_find(job_tables, rows[i]->name) == rows[i], "%s stands twice", rows[i]->name);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("job types");
    TCase *tests = tcase_create("rows");
    SRunner *runner = srunner_create(suite);
    struct error err = ERROR_INIT;
    int failed;

    test_folder = argc > 1 ? argv[1] : "tests/integration";
    schemas = schemas_load(&err);
    if (!schemas) {
        fprintf(stderr, "%s (%s)\n", err.message, err.where);
        return EXIT_FAILURE;
    }
    collect_rows();
    tcase_add_loop_test(tests, row_has_a_handler_and_its_schema, 0, row_count);
    tcase_add_loop_test(tests, row_has_a_valid_example_of_its_own_type, 0, row_count);
    tcase_add_loop_test(tests, every_parameter_is_described, 0, row_count);
    tcase_add_loop_test(tests, row_claims_what_are_parameters, 0, row_count);
    tcase_add_loop_test(tests, asyncapi_names_the_row, 0, row_count);
    tcase_add_loop_test(tests, row_has_an_integration_test, 0, row_count);
    tcase_add_test(tests, every_schema_of_a_job_type_has_a_row);
    tcase_add_test(tests, names_are_given_once);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    schema_store_free(schemas);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
