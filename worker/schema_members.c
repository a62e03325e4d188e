/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Reads the keywords that hold schemas or names by name. `properties` and `required` end in one sorted table, so that
 * a check asks once about each member of the instance. */

#include <stdlib.h>
#include <string.h>

#include "schema_internal.h"

static int refuse(const struct schema_site *site, const char *wanted, struct error *err)
{
    return schema_load_refuse(site->place, site->key, err, "must be %s", wanted);
}

static int keep_name(const struct schema_site *site, const char *text, struct schema_name *ret_name,
                     struct error *err)
{
    const char *copy = schema_store_printf(site->place->store, "%s", text);

    if (!copy)
        return error_set_memory(err);
    *ret_name = (struct schema_name){ copy, strlen(copy) };
    return 0;
}

/* An array of different strings. */
static bool names_valid(const json_t *names)
{
    size_t size = json_array_size(names);

    if (!json_is_array(names))
        return false;
    for (size_t i = 0; i < size; i++) {
        const json_t *name = json_array_get(names, i);
        if (!json_is_string(name) || strlen(json_string_value(name)) != json_string_length(name))
            return false;
        for (size_t j = 0; j < i; j++)
            if (json_equal(name, json_array_get(names, j)))
                return false;
    }
    return true;
}

static int compare_names(const struct schema_name *a, const char *text, size_t length)
{
    int order = memcmp(a->text, text, a->length < length ? a->length : length);

    return order ? order : (a->length > length) - (a->length < length);
}

static int compare_properties(const void *a, const void *b)
{
    const struct schema_property *x = a, *y = b;

    return compare_names(&x->name, y->name.text, y->name.length);
}

void schema_object_finish(struct schema_object *object)
{
    if (object->property_count)
        qsort(object->properties, object->property_count, sizeof(*object->properties), compare_properties);
}

const struct schema_property *schema_object_property(const struct schema_object *object, const char *name,
                                                     size_t length)
{
    size_t low = 0, high = object->property_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare_names(&object->properties[middle].name, name, length);
        if (order == 0)
            return &object->properties[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* The row of `name`, new or not, while the table has no order yet. */
static struct schema_property *property_row(const struct schema_site *site, const char *name,
                                            struct error *err)
{
    struct schema_object *object = site->schema->object;
    size_t most = json_object_size(json_object_get(site->json, "properties")) +
                  json_array_size(json_object_get(site->json, "required"));

    if (!object->properties)
        object->properties = schema_store_alloc(site->place->store, most * sizeof(*object->properties));
    if (!object->properties) {
        error_set_memory(err);
        return NULL;
    }
    for (size_t i = 0; i < object->property_count; i++)
        if (strcmp(object->properties[i].name.text, name) == 0)
            return &object->properties[i];
    struct schema_property *row = &object->properties[object->property_count];
    if (keep_name(site, name, &row->name, err) < 0)
        return NULL;
    object->property_count++;
    return row;
}

int schema_read_properties(const struct schema_site *site, const json_t *value, struct error *err)
{
    const char *name;
    json_t *child;

    if (!json_is_object(value))
        return refuse(site, "an object of schemas", err);
    json_object_foreach ((json_t *)value, name, child) {
        struct schema_property *row = property_row(site, name, err);
        if (!row)
            return -1;
        row->schema = schema_load_child(site->place, site->key, name, child, err);
        if (!row->schema)
            return -1;
    }
    return 0;
}

int schema_read_required(const struct schema_site *site, const json_t *value, struct error *err)
{
    size_t i;
    json_t *name;

    if (!names_valid(value))
        return refuse(site, "an array of different strings", err);
    json_array_foreach (value, i, name) {
        struct schema_property *row = property_row(site, json_string_value(name), err);
        if (!row)
            return -1;
        row->required = true;
        site->schema->object->required_count++;
    }
    return 0;
}

int schema_read_patterns(const struct schema_site *site, const json_t *value, struct error *err)
{
    struct schema_object *object = site->schema->object;
    char reason[160];
    const char *source;
    json_t *child;

    if (!json_is_object(value))
        return refuse(site, "an object of schemas", err);
    object->patterns =
        schema_store_alloc(site->place->store, (json_object_size(value) + 1) * sizeof(*object->patterns));
    if (!object->patterns)
        return error_set_memory(err);
    json_object_foreach ((json_t *)value, source, child) {
        struct schema_pattern_property *row = &object->patterns[object->pattern_count];
        if (schema_pattern_compile(site->place->store, source, strlen(source), &row->pattern, reason,
                                   sizeof(reason)) < 0)
            return schema_load_refuse(site->place, site->key, err, "has '%s', which %s", source, reason);
        row->schema = schema_load_child(site->place, site->key, source, child, err);
        if (!row->schema)
            return -1;
        object->pattern_count++;
    }
    return 0;
}

/* dependentRequired and dependentSchemas add their rows to one list; a name may be in both. */
static struct schema_dependent *dependent_row(const struct schema_site *site, const char *name,
                                              struct error *err)
{
    struct schema_object *object = site->schema->object;
    size_t most = json_object_size(json_object_get(site->json, "dependentRequired")) +
                  json_object_size(json_object_get(site->json, "dependentSchemas"));

    if (!object->dependents)
        object->dependents = schema_store_alloc(site->place->store, most * sizeof(*object->dependents));
    if (!object->dependents) {
        error_set_memory(err);
        return NULL;
    }
    struct schema_dependent *row = &object->dependents[object->dependent_count];
    if (keep_name(site, name, &row->name, err) < 0)
        return NULL;
    object->dependent_count++;
    return row;
}

int schema_read_needs(const struct schema_site *site, const json_t *value, struct error *err)
{
    const char *name;
    json_t *needs;

    if (!json_is_object(value))
        return refuse(site, "an object of arrays of strings", err);
    json_object_foreach ((json_t *)value, name, needs) {
        if (!names_valid(needs))
            return refuse(site, "an object of arrays of different strings", err);
        struct schema_dependent *row = dependent_row(site, name, err);
        size_t count = json_array_size(needs);
        if (!row)
            return -1;
        row->required = schema_store_alloc(site->place->store, (count + 1) * sizeof(*row->required));
        if (!row->required)
            return error_set_memory(err);
        for (; row->required_count < count; row->required_count++)
            if (keep_name(site, json_string_value(json_array_get(needs, row->required_count)),
                          &row->required[row->required_count], err) < 0)
                return -1;
    }
    return 0;
}

int schema_read_dependents(const struct schema_site *site, const json_t *value, struct error *err)
{
    const char *name;
    json_t *child;

    if (!json_is_object(value))
        return refuse(site, "an object of schemas", err);
    json_object_foreach ((json_t *)value, name, child) {
        struct schema_dependent *row = dependent_row(site, name, err);
        if (!row)
            return -1;
        row->schema = schema_load_child(site->place, site->key, name, child, err);
        if (!row->schema)
            return -1;
    }
    return 0;
}

int schema_read_defs(const struct schema_site *site, const json_t *value, struct error *err)
{
    const char *name;
    json_t *child;

    if (!json_is_object(value))
        return refuse(site, "an object of schemas", err);
    json_object_foreach ((json_t *)value, name, child)
        if (!schema_load_child(site->place, site->key, name, child, err))
            return -1;
    return 0;
}
