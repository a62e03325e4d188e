/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Runs the official test suite of JSON Schema: schema_suite DIRECTORY..., where a directory is one draft's (with its
 * folder `optional`), and the name of draft 7's ends in "draft7". A directory that is not there is skipped with a word.
 *
 * Every case counts: it passes, fails, or is skipped for a reason that is printed. A group may be skipped only when its
 * schema was refused for a keyword or format of the lists below, or refers to a metaschema, or is in the table of
 * exceptions; refused for anything else, all its cases fail. The last line is "N passed, N failed, N skipped". */

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "schema.h"

static unsigned passed, failed, skipped;

/* What is left out on purpose. */
static const char *const refused_keywords[] = {
    "unevaluatedItems", "unevaluatedProperties", "$dynamicRef",  "$dynamicAnchor",
    "$vocabulary",      "contentSchema",         "dependencies", /* before 2019-09; now dependentRequired and dependentSchemas */
    "definitions",                                               /* now $defs */
    "additionalItems",
};

static const char *const refused_formats[] = {
    "idn-email", "idn-hostname", "iri", "iri-reference", "relative-json-pointer", "uri-template", "unknown",
};

struct exception {
    const char *draft, *file, *group; /* group NULL: the whole file */
    const char *reason;
};

static const struct exception exceptions[] = {
    { "draft2020-12", "format.json", NULL, "wants formats to be annotations; here they are asserted" },
    { "draft2020-12", "optional/format-assertion.json", NULL, "is about metaschemas with $vocabulary" },
    { "draft2020-12", "optional/cross-draft.json", NULL, "is about schemas of other drafts" },
    { "draft2020-12", "optional/refOfUnknownKeyword.json", NULL, "refers to places that hold no schema" },
    { "draft2020-12", "optional/unknownKeyword.json", NULL, "has unknown keywords, which are refused" },
    { "draft2020-12", "dynamicRef.json", "$ref to $dynamicRef finds detached $dynamicAnchor",
      "is about $dynamicAnchor" },
    { "draft2020-12", "vocabulary.json", NULL, "is about metaschemas with $vocabulary" },
    { "draft7", "optional/content.json", NULL,
      "wants contentMediaType asserted, which is an annotation now" },
    { "draft7", "additionalItems.json", NULL, "additionalItems is items now, beside prefixItems" },
    { "draft7", "refRemote.json", "fragment within remote ref", "refers to places that hold no schema" },
    { "draft7", "refRemote.json", "ref within remote ref", "refers to places that hold no schema" },
    { "draft7", "refRemote.json", "root ref in remote ref", "definitions is $defs now" },
    { "draft7", "items.json", "an array of schemas for items", "items with an array is prefixItems now" },
    { "draft7", "items.json", "items with boolean schemas", "items with an array is prefixItems now" },
    { "draft7", "ref.json", "relative pointer ref to array", "items with an array is prefixItems now" },
    { "draft7", "ref.json", "escaped pointer ref", "refers to places that hold no schema" },
};

/* What the suite expects to find on its server, in the words of this program. */
static const struct {
    const char *uri, *text;
} remotes[] = {
#define HOST   "http://localhost:1234/"
#define HERE   HOST "draft2020-12/"
#define STRING "\"$defs\": {\"bar\": {\"type\": \"string\"}}, \"$ref\": \"#/$defs/bar\""
    { HOST "integer.json", "{\"type\": \"integer\"}" },
    { HOST "folder/folderInteger.json", "{\"type\": \"integer\"}" },
    { HERE "integer.json", "{\"type\": \"integer\"}" },
    { HERE "baseUriChange/folderInteger.json", "{\"type\": \"integer\"}" },
    { HERE "baseUriChangeFolder/folderInteger.json", "{\"type\": \"integer\"}" },
    { HERE "baseUriChangeFolderInSubschema/folderInteger.json", "{\"type\": \"integer\"}" },
    { HERE "subSchemas.json", "{\"$defs\": {\"integer\": {\"type\": \"integer\"}, \"refToInteger\": "
                              "{\"$ref\": \"#/$defs/integer\"}}}" },
    { HERE "locationIndependentIdentifier.json", "{\"$defs\": {\"refToInteger\": {\"$ref\": \"#foo\"}, "
                                                 "\"A\": {\"$anchor\": \"foo\", \"type\": \"integer\"}}}" },
    { HERE "name-defs.json", "{\"$defs\": {\"orNull\": {\"anyOf\": [{\"type\": \"null\"}, {\"$ref\": "
                             "\"#\"}]}}, \"type\": \"string\"}" },
    { HERE "ref-and-defs.json",
      "{\"$id\": \"" HERE "ref-and-defs.json\", \"$defs\": {\"inner\": {\"properties\": "
      "{\"bar\": {\"type\": \"string\"}}}}, \"$ref\": \"#/$defs/inner\"}" },
    { HERE "nested/string.json", "{\"type\": \"string\"}" },
    { HERE "nested/foo-ref-string.json", "{\"properties\": {\"foo\": {\"$ref\": \"string.json\"}}}" },
    { HERE "different-id-ref-string.json", "{\"$id\": \"" HOST "real-id-ref-string.json\", " STRING "}" },
    { HERE "urn-ref-string.json",
      "{\"$id\": \"urn:uuid:feebdaed-ffff-0000-ffff-0000deadbeef\", " STRING "}" },
    { HERE "nested-absolute-ref-to-string.json",
      "{\"$defs\": {\"bar\": {\"$id\": \"" HOST
      "the-nested-id.json\", \"type\": \"string\"}}, \"$ref\": \"" HOST "the-nested-id.json\"}" },
    { HERE "detached-ref.json",
      "{\"$defs\": {\"foo\": {\"$ref\": \"#detached\"}, \"detached\": {\"$anchor\": \"detached\", \"type\": "
      "\"integer\"}}}" },
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct place {
    const char *draft;
    char file[256]; /* below the folder of the draft */
};

CLEANUP_DEFINE(store, struct schema_store *, schema_store_free)
CLEANUP_DEFINE(file, FILE *, fclose)

static void skip(const struct place *place, const char *group, size_t cases, const char *reason)
{
    printf("skipped: %s/%s: %s: %s (%zu)\n", place->draft, place->file, group, reason, cases);
    skipped += (unsigned)cases;
}

static void fail(const struct place *place, const char *group, const char *test, const char *reason)
{
    printf("FAILED: %s/%s: %s: %s: %s\n", place->draft, place->file, group, test, reason);
    failed++;
}

static const char *exception_find(const struct place *place, const char *group)
{
    for (size_t i = 0; i < COUNT(exceptions); i++) {
        const struct exception *row = &exceptions[i];
        bool here = strcmp(row->draft, place->draft) == 0 && strcmp(row->file, place->file) == 0;
        if (here && (!row->group || strcmp(row->group, group) == 0))
            return row->reason;
    }
    return NULL;
}

/* Whether a message of the loader is about something that was left out. */
static bool refusal_is_known(const struct error *err)
{
    char wanted[128];

    for (size_t i = 0; i < COUNT(refused_keywords); i++) {
        snprintf(wanted, sizeof(wanted), "'%s' is no keyword that is known here", refused_keywords[i]);
        if (strstr(err->message, wanted))
            return true;
    }
    for (size_t i = 0; i < COUNT(refused_formats); i++) {
        snprintf(wanted, sizeof(wanted), "'%s', which is no format that is known here", refused_formats[i]);
        if (strstr(err->message, wanted))
            return true;
    }
    return strstr(err->message, "json-schema.org/draft") && strstr(err->message, "leads nowhere");
}

static int load(struct schema_store *store, const json_t *schema, struct error *err)
{
    AUTO(string) char *text = json_dumps(schema, JSON_ENCODE_ANY);

    for (size_t i = 0; i < COUNT(remotes); i++)
        if (schema_store_add(store, remotes[i].uri, remotes[i].text, strlen(remotes[i].text), err) < 0)
            return -1;
    if (schema_store_add(store, "case.json", text, strlen(text), err) < 0)
        return -1;
    return schema_store_link(store, err);
}

static void run_case(const struct place *place, const char *group, const struct schema *schema,
                     const json_t *test)
{
    const char *name = json_string_value(json_object_get(test, "description"));
    const json_t *valid = json_object_get(test, "valid"), *data = json_object_get(test, "data");
    struct error err = ERROR_INIT;

    if (!data || !json_is_boolean(valid)) {
        fail(place, group, name, "is no test case");
        return;
    }
    bool found = schema_check(schema, data, "", &err) == 0;
    if (found != json_is_true(valid))
        fail(place, group, name, found ? "is valid, should not be" : err.message);
    else if (!found && (!err.has_where || !err.message[0]))
        fail(place, group, name, "has no message or pointer");
    else
        passed++;
}

static void run_group(const struct place *place, const json_t *group)
{
    const char *name = json_string_value(json_object_get(group, "description"));
    const json_t *tests = json_object_get(group, "tests");
    const char *reason = exception_find(place, name);
    AUTO(store) struct schema_store *store = NULL;
    struct error err = ERROR_INIT;
    size_t i;
    json_t *test;

    if (reason) {
        skip(place, name, json_array_size(tests), reason);
        return;
    }
    store = schema_store_new(&err);
    if (!store || load(store, json_object_get(group, "schema"), &err) < 0) {
        if (refusal_is_known(&err))
            skip(place, name, json_array_size(tests), err.message);
        else
            json_array_foreach (tests, i, test)
                fail(place, name, json_string_value(json_object_get(test, "description")), err.message);
        return;
    }
    json_array_foreach (tests, i, test)
        run_case(place, name, schema_store_find(store, "case.json"), test);
}

static void run_file(const struct place *place, const char *path)
{
    json_error_t at;
    AUTO(json) json_t *groups = json_load_file(path, JSON_ALLOW_NUL, &at);
    size_t i;
    json_t *group;

    if (!groups && json_error_code(&at) == json_error_numeric_overflow) {
        skip(place, "all", 1, "has integers of more than 64 bits, which the JSON library does not read");
        return;
    }
    if (!json_is_array(groups)) {
        fail(place, "all", "all", at.text);
        return;
    }
    json_array_foreach (groups, i, group)
        run_group(place, group);
}

static int is_json(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0;
}

static void run_folder(const char *directory, const char *draft, const char *folder)
{
    char path[4096];
    struct dirent **entries;
    int count;

    snprintf(path, sizeof(path), "%s/%s", directory, folder);
    count = scandir(path, &entries, is_json, alphasort);
    for (int i = 0; i < count; i++) {
        struct place place = { .draft = draft };
        snprintf(place.file, sizeof(place.file), "%s%.200s", folder, entries[i]->d_name);
        snprintf(path, sizeof(path), "%.3000s/%s", directory, place.file);
        run_file(&place, path);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static void run_draft(const char *directory)
{
    static const char *const folders[] = { "", "optional/", "optional/format/" };
    size_t length = strlen(directory);
    const char *draft =
        length >= 6 && strcmp(directory + length - 6, "draft7") == 0 ? "draft7" : "draft2020-12";
    unsigned before = passed;
    struct stat info;

    if (stat(directory, &info) < 0) {
        printf("skipped: %s is not here\n", directory);
        return;
    }
    for (size_t i = 0; i < COUNT(folders); i++)
        run_folder(directory, draft, folders[i]);
    if (passed == before)
        fail(&(struct place){ .draft = draft }, directory, "all", "has no test that passes");
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        run_draft(argv[i]);
    printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
    return failed || argc < 2 ? 1 : 0;
}
