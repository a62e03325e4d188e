/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Compiles a schema document: walks its JSON, registers each schema under its pointer and its identifiers, and hands
 * each keyword to the reader in the one table of keywords. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "schema_internal.h"

/* How deep schemas may be nested in a document. */
#define NESTING_MAX 128

static const char dialect[] = "https://json-schema.org/draft/2020-12/schema";

enum group { GROUP_NONE, GROUP_SCHEMA, GROUP_NUMBER, GROUP_STRING, GROUP_ARRAY, GROUP_OBJECT, GROUP_LOGIC };

struct keyword {
    const char *name;
    schema_reader *read;
    enum group group;
    size_t offset; /* of the slot in the group */
};

int schema_load_refuse(const struct schema_place *place, const char *key, struct error *err, const char *fmt,
                       ...)
{
    char where[256], what[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    snprintf(where, sizeof(where), "%s%s%s", place->pointer, key ? "/" : "", key ? key : "");
    return error_set_at(err, ERROR_INVALID, where, "%s: %s%s%s%s, at '%s'", place->document->name,
                        key ? "'" : "", key ? key : "", key ? "' " : "", what, where);
}

/* Identifiers */

static int location_add(const struct schema_place *place, struct schema *schema, struct error *err)
{
    struct schema_location *row = schema_store_alloc(place->store, sizeof(*row));

    if (!row)
        return error_set_memory(err);
    *row = (struct schema_location){ place->pointer, schema, place->document->locations };
    place->document->locations = row;
    return 0;
}

static int resource_add(struct schema_place *place, const char *uri, struct error *err)
{
    const struct schema_resource *known = schema_store_resource(place->store, uri, strlen(uri));
    struct schema_resource *row;

    if (known && known->document == place->document && strcmp(known->pointer, place->pointer) == 0) {
        place->resource = known;
        return 0;
    }
    if (known)
        return schema_load_refuse(place, NULL, err, "'%s' is defined by '%s' already", uri,
                                  known->document->name);
    row = schema_store_alloc(place->store, sizeof(*row));
    if (!row)
        return error_set_memory(err);
    *row = (struct schema_resource){ uri, place->document, place->pointer, place->store->resources };
    place->store->resources = row;
    place->resource = row;
    return 0;
}

/* An $id changes the base of all that is inside. */
static int load_id(struct schema_place *place, const json_t *json, struct error *err)
{
    const json_t *id = json_object_get(json, "$id");
    const char *text = json_string_value(id);
    char *uri;

    if (!id)
        return 0;
    if (!text || !schema_format_uri_reference(text, json_string_length(id)))
        return schema_load_refuse(place, "$id", err, "must be a URI reference");
    uri = schema_uri_resolve(place->store, place->resource->uri, text);
    if (!uri)
        return error_set_memory(err);
    char *fragment = strchr(uri, '#');
    if (fragment && fragment[1])
        return schema_load_refuse(place, "$id", err, "must have no fragment");
    if (fragment)
        *fragment = '\0';
    return resource_add(place, uri, err);
}

static bool anchor_valid(const char *text, size_t length)
{
    if (length == 0 || (!schema_is_letter(text[0]) && text[0] != '_'))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!schema_is_letter(text[i]) && !schema_is_digit(text[i]) && (!text[i] || !strchr("-._", text[i])))
            return false;
    return true;
}

static int read_anchor(const struct schema_site *site, const json_t *value, struct error *err)
{
    const struct schema_place *place = site->place;
    const char *text = json_string_value(value);
    struct schema_anchor *row = schema_store_alloc(place->store, sizeof(*row));
    char *name = text ? schema_store_printf(place->store, "%s", text) : NULL;

    if (!text || !anchor_valid(text, json_string_length(value)))
        return schema_load_refuse(place, site->key, err,
                                  "must be a letter and letters, digits, '-', '_' or '.'");
    if (!row || !name)
        return error_set_memory(err);
    for (const struct schema_anchor *other = place->store->anchors; other; other = other->next)
        if (other->resource == place->resource && strcmp(other->name, text) == 0)
            return schema_load_refuse(place, site->key, err, "has '%s' a second time", text);
    *row = (struct schema_anchor){ place->resource, name, site->schema, place->store->anchors };
    place->store->anchors = row;
    return 0;
}

static int read_ref(const struct schema_site *site, const json_t *value, struct error *err)
{
    const struct schema_place *place = site->place;
    const char *text = json_string_value(value);
    struct schema_pending *row = schema_store_alloc(place->store, sizeof(*row));
    char *pointer = schema_store_printf(place->store, "%s/%s", place->pointer, site->key);

    if (!text || !schema_format_uri_reference(text, json_string_length(value)))
        return schema_load_refuse(place, site->key, err, "must be a URI reference");
    char *uri = schema_uri_resolve(place->store, place->resource->uri, text);
    if (!row || !pointer || !uri)
        return error_set_memory(err);
    *row = (struct schema_pending){ site->schema, uri, place->document, pointer, place->store->pending };
    place->store->pending = row;
    return 0;
}

/* Already taken by load_id, before any reference is read. */
static int read_id(const struct schema_site *site, const json_t *value, struct error *err)
{
    (void)site, (void)value, (void)err;
    return 0;
}

static int read_dialect(const struct schema_site *site, const json_t *value, struct error *err)
{
    const char *text = json_string_value(value);
    size_t length = sizeof(dialect) - 1;

    if (!text || strncmp(text, dialect, length) != 0 || (text[length] && strcmp(text + length, "#") != 0))
        return schema_load_refuse(site->place, site->key, err, "must be '%s'", dialect);
    return 0;
}

/* The table, sorted by name. */

#define ROW_SCHEMA(name, read)                                                                               \
    {                                                                                                        \
        name, read, GROUP_SCHEMA, 0                                                                          \
    }
#define ROW_NUMBER(name, read, field)                                                                        \
    {                                                                                                        \
        name, read, GROUP_NUMBER, offsetof(struct schema_number, field)                                      \
    }
#define ROW_STRING(name, read, field)                                                                        \
    {                                                                                                        \
        name, read, GROUP_STRING, offsetof(struct schema_string, field)                                      \
    }
#define ROW_ARRAY(name, read, field)                                                                         \
    {                                                                                                        \
        name, read, GROUP_ARRAY, offsetof(struct schema_array, field)                                        \
    }
#define ROW_OBJECT(name, read, field)                                                                        \
    {                                                                                                        \
        name, read, GROUP_OBJECT, offsetof(struct schema_object, field)                                      \
    }
#define ROW_LOGIC(name, read, field)                                                                         \
    {                                                                                                        \
        name, read, GROUP_LOGIC, offsetof(struct schema_logic, field)                                        \
    }
#define ROW_NOTE(name, read)                                                                                 \
    {                                                                                                        \
        name, read, GROUP_NONE, 0                                                                            \
    }

static const struct keyword table[] = {
    ROW_SCHEMA("$anchor", read_anchor),
    ROW_NOTE("$comment", schema_read_text),
    ROW_NOTE("$defs", schema_read_defs),
    ROW_NOTE("$id", read_id),
    ROW_SCHEMA("$ref", read_ref),
    ROW_NOTE("$schema", read_dialect),
    ROW_OBJECT("additionalProperties", schema_read_schema, additional),
    ROW_LOGIC("allOf", schema_read_list, all),
    ROW_LOGIC("anyOf", schema_read_list, any),
    ROW_SCHEMA("const", schema_read_const),
    ROW_ARRAY("contains", schema_read_schema, contains),
    ROW_NOTE("contentEncoding", schema_read_text),
    ROW_NOTE("contentMediaType", schema_read_text),
    ROW_NOTE("default", schema_read_anything),
    ROW_OBJECT("dependentRequired", schema_read_needs, dependents),
    ROW_OBJECT("dependentSchemas", schema_read_dependents, dependents),
    ROW_NOTE("deprecated", schema_read_flag),
    ROW_NOTE("description", schema_read_text),
    ROW_LOGIC("else", schema_read_schema, otherwise),
    ROW_SCHEMA("enum", schema_read_enum),
    ROW_NOTE("examples", schema_read_array),
    ROW_NUMBER("exclusiveMaximum", schema_read_number, below),
    ROW_NUMBER("exclusiveMinimum", schema_read_number, above),
    ROW_STRING("format", schema_read_format, format),
    ROW_LOGIC("if", schema_read_schema, condition),
    ROW_ARRAY("items", schema_read_schema, items),
    ROW_ARRAY("maxContains", schema_read_count, max_contains),
    ROW_ARRAY("maxItems", schema_read_count, max),
    ROW_STRING("maxLength", schema_read_count, max),
    ROW_OBJECT("maxProperties", schema_read_count, max),
    ROW_NUMBER("maximum", schema_read_number, maximum),
    ROW_ARRAY("minContains", schema_read_count, min_contains),
    ROW_ARRAY("minItems", schema_read_count, min),
    ROW_STRING("minLength", schema_read_count, min),
    ROW_OBJECT("minProperties", schema_read_count, min),
    ROW_NUMBER("minimum", schema_read_number, minimum),
    ROW_NUMBER("multipleOf", schema_read_multiple, multiple_of),
    ROW_LOGIC("not", schema_read_schema, negated),
    ROW_LOGIC("oneOf", schema_read_list, one),
    ROW_STRING("pattern", schema_read_pattern, pattern),
    ROW_OBJECT("patternProperties", schema_read_patterns, patterns),
    ROW_ARRAY("prefixItems", schema_read_list, prefix),
    ROW_OBJECT("properties", schema_read_properties, properties),
    ROW_OBJECT("propertyNames", schema_read_schema, names),
    ROW_NOTE("readOnly", schema_read_flag),
    ROW_OBJECT("required", schema_read_required, properties),
    ROW_LOGIC("then", schema_read_schema, then),
    ROW_NOTE("title", schema_read_text),
    ROW_SCHEMA("type", schema_read_type),
    ROW_ARRAY("uniqueItems", schema_read_switch, unique),
    ROW_NOTE("writeOnly", schema_read_flag),
};

static int compare_keyword(const void *name, const void *row)
{
    return strcmp(name, ((const struct keyword *)row)->name);
}

/* The group of a schema, made when its first keyword is met; maxima start without a limit. */
static void *group_get(struct schema_store *store, struct schema *schema, enum group group)
{
    switch (group) {
    case GROUP_NUMBER:
        if (!schema->number)
            schema->number = schema_store_alloc(store, sizeof(*schema->number));
        return schema->number;
    case GROUP_STRING:
        if (!schema->string && (schema->string = schema_store_alloc(store, sizeof(*schema->string))))
            schema->string->max = SIZE_MAX;
        return schema->string;
    case GROUP_ARRAY:
        if (!schema->array && (schema->array = schema_store_alloc(store, sizeof(*schema->array)))) {
            schema->array->max = schema->array->max_contains = SIZE_MAX;
            schema->array->min_contains = 1;
        }
        return schema->array;
    case GROUP_OBJECT:
        if (!schema->object && (schema->object = schema_store_alloc(store, sizeof(*schema->object))))
            schema->object->max = SIZE_MAX;
        return schema->object;
    case GROUP_LOGIC:
        if (!schema->logic)
            schema->logic = schema_store_alloc(store, sizeof(*schema->logic));
        return schema->logic;
    default:
        return schema;
    }
}

static int load_keyword(const struct schema_place *place, struct schema *schema, const json_t *json,
                        const char *key, const json_t *value, struct error *err)
{
    const struct keyword *row =
        bsearch(key, table, sizeof(table) / sizeof(table[0]), sizeof(table[0]), compare_keyword);
    struct schema_site site = { .place = place, .json = json, .schema = schema, .key = key };

    if (!row && strncmp(key, "x-", 2) == 0)
        return 0;
    if (!row)
        return schema_load_refuse(place, key, err, "is no keyword that is known here");
    char *group = group_get(place->store, schema, row->group);
    if (!group)
        return error_set_memory(err);
    site.slot = group + row->offset;
    return row->read(&site, value, err);
}

static int load_keywords(struct schema_place *place, struct schema *schema, const json_t *json,
                         struct error *err)
{
    const char *key;
    json_t *value;

    if (load_id(place, json, err) < 0)
        return -1;
    json_object_foreach ((json_t *)json, key, value)
        if (load_keyword(place, schema, json, key, value, err) < 0)
            return -1;
    if (schema->object)
        schema_object_finish(schema->object);
    if (schema->logic && !schema->logic->condition)
        schema->logic->then = schema->logic->otherwise = NULL;
    return 0;
}

static struct schema *load_schema(struct schema_place *place, const json_t *json, struct error *err)
{
    struct schema_store *store = place->store;
    struct schema *schema = json_is_false(json) ? store->nothing : store->anything;

    if (place->depth > NESTING_MAX) {
        schema_load_refuse(place, NULL, err, "schemas are nested too deep");
        return NULL;
    }
    if (json_is_boolean(json))
        return location_add(place, schema, err) < 0 ? NULL : schema;
    if (!json_is_object(json)) {
        schema_load_refuse(place, NULL, err, "a schema must be an object, true or false");
        return NULL;
    }
    schema = schema_store_alloc(store, sizeof(*schema));
    if (!schema) {
        error_set_memory(err);
        return NULL;
    }
    if (location_add(place, schema, err) < 0 || load_keywords(place, schema, json, err) < 0)
        return NULL;
    return schema;
}

/* "/key" or "/key/token", where the token is escaped (RFC 6901, section 3). */
static char *child_pointer(const struct schema_place *place, const char *key, const char *token)
{
    size_t base = strlen(place->pointer) + strlen(key) + 2;
    char *pointer = schema_store_alloc(place->store, base + (token ? 2 * strlen(token) + 2 : 0));

    if (!pointer)
        return NULL;
    char *to = pointer + sprintf(pointer, "%s/%s", place->pointer, key);
    if (token)
        *to++ = '/';
    for (; token && *token; token++) {
        if (*token == '~' || *token == '/')
            *to++ = '~';
        *to++ = *token == '~' ? '0' : *token == '/' ? '1' : *token;
    }
    *to = '\0';
    return pointer;
}

struct schema *schema_load_child(const struct schema_place *place, const char *key, const char *token,
                                 const json_t *json, struct error *err)
{
    struct schema_place child = *place;

    child.pointer = child_pointer(place, key, token);
    child.depth++;
    if (!child.pointer) {
        error_set_memory(err);
        return NULL;
    }
    return load_schema(&child, json, err);
}

int schema_load(struct schema_store *store, const char *name, const json_t *json, struct error *err)
{
    struct schema_document *document = schema_store_alloc(store, sizeof(*document));
    char *copy = schema_store_printf(store, "%s", name);
    struct schema_place place = { .store = store, .document = document, .pointer = "" };

    if (!document || !copy)
        return error_set_memory(err);
    document->name = copy;
    document->next = store->documents;
    store->documents = document;
    if (resource_add(&place, copy, err) < 0)
        return -1;
    return load_schema(&place, json, err) ? 0 : -1;
}
