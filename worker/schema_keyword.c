/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* How the value of each keyword is read: its kind is checked, and what it says goes into its slot. */

#include <stdio.h>
#include <string.h>

#include "schema_internal.h"

static int refuse(const struct schema_site *site, const char *wanted, struct error *err)
{
    return schema_load_refuse(site->place, site->key, err, "must be %s", wanted);
}

/* Annotations: nothing is kept. */

int schema_read_text(const struct schema_site *site, const json_t *value, struct error *err)
{
    return json_is_string(value) ? 0 : refuse(site, "a string", err);
}

int schema_read_flag(const struct schema_site *site, const json_t *value, struct error *err)
{
    return json_is_boolean(value) ? 0 : refuse(site, "true or false", err);
}

int schema_read_array(const struct schema_site *site, const json_t *value, struct error *err)
{
    return json_is_array(value) ? 0 : refuse(site, "an array", err);
}

int schema_read_anything(const struct schema_site *site, const json_t *value, struct error *err)
{
    (void)site, (void)value, (void)err;
    return 0;
}

/* Simple values */

int schema_read_count(const struct schema_site *site, const json_t *value, struct error *err)
{
    size_t *slot = site->slot;

    if (!schema_value_integral(value) || json_number_value(value) < 0)
        return refuse(site, "an integer of at least 0", err);
    if (json_is_integer(value))
        *slot = (size_t)json_integer_value(value);
    else
        *slot = json_real_value(value) < (double)SIZE_MAX ? (size_t)json_real_value(value) : SIZE_MAX;
    return 0;
}

int schema_read_switch(const struct schema_site *site, const json_t *value, struct error *err)
{
    *(bool *)site->slot = json_is_true(value);
    return schema_read_flag(site, value, err);
}

static void release_json(void *json)
{
    json_decref(json);
}

/* The value outlives the document that it came from. */
static int keep(const struct schema_site *site, const json_t *value, const json_t **slot, struct error *err)
{
    if (schema_store_own(site->place->store, json_incref((json_t *)value), release_json) < 0)
        return error_set_memory(err);
    *slot = value;
    return 0;
}

int schema_read_number(const struct schema_site *site, const json_t *value, struct error *err)
{
    return json_is_number(value) ? keep(site, value, site->slot, err) : refuse(site, "a number", err);
}

int schema_read_multiple(const struct schema_site *site, const json_t *value, struct error *err)
{
    if (!json_is_number(value) || json_number_value(value) <= 0)
        return refuse(site, "a number above 0", err);
    site->schema->number->multiple = schema_decimal_of(value);
    return keep(site, value, site->slot, err);
}

static const struct {
    const char *name;
    unsigned types;
} type_table[] = {
    { "array", SCHEMA_ARRAY },   { "boolean", SCHEMA_BOOLEAN }, { "integer", SCHEMA_INTEGER },
    { "null", SCHEMA_NULL },     { "number", SCHEMA_NUMBER },   { "object", SCHEMA_OBJECT },
    { "string", SCHEMA_STRING },
};

static unsigned type_find(const json_t *name)
{
    for (size_t i = 0; json_is_string(name) && i < sizeof(type_table) / sizeof(type_table[0]); i++)
        if (strcmp(type_table[i].name, json_string_value(name)) == 0)
            return type_table[i].types;
    return 0;
}

int schema_read_type(const struct schema_site *site, const json_t *value, struct error *err)
{
    const char *wanted = "the name of a type, or an array of different ones";
    unsigned types = type_find(value);
    size_t i;
    json_t *name;

    json_array_foreach ((json_t *)value, i, name) {
        unsigned one = type_find(name);
        if (!one || (types & one))
            return refuse(site, wanted, err);
        types |= one;
    }
    site->schema->types = (uint16_t)types;
    return types ? 0 : refuse(site, wanted, err);
}

int schema_read_enum(const struct schema_site *site, const json_t *value, struct error *err)
{
    if (!json_is_array(value))
        return refuse(site, "an array", err);
    return keep(site, value, &site->schema->values, err);
}

int schema_read_const(const struct schema_site *site, const json_t *value, struct error *err)
{
    return keep(site, value, &site->schema->constant, err);
}

int schema_read_pattern(const struct schema_site *site, const json_t *value, struct error *err)
{
    char reason[160];

    if (!json_is_string(value))
        return refuse(site, "a string", err);
    if (schema_pattern_compile(site->place->store, json_string_value(value), json_string_length(value),
                               site->slot, reason, sizeof(reason)) < 0)
        return schema_load_refuse(site->place, site->key, err, "%s", reason);
    site->schema->string->has_pattern = true;
    return 0;
}

int schema_read_format(const struct schema_site *site, const json_t *value, struct error *err)
{
    const char *name = json_string_value(value);

    if (!name)
        return refuse(site, "a string", err);
    site->schema->string->format = schema_format_find(name);
    if (!site->schema->string->format)
        return schema_load_refuse(site->place, site->key, err,
                                  "has '%s', which is no format that is known here", name);
    return 0;
}

/* Schemas */

int schema_read_schema(const struct schema_site *site, const json_t *value, struct error *err)
{
    struct schema **slot = site->slot;

    *slot = schema_load_child(site->place, site->key, NULL, value, err);
    return *slot ? 0 : -1;
}

int schema_read_list(const struct schema_site *site, const json_t *value, struct error *err)
{
    struct schema_list *slot = site->slot;
    char index[24];
    size_t i;
    json_t *item;

    if (!json_is_array(value) || json_array_size(value) == 0)
        return refuse(site, "an array of at least one schema", err);
    slot->items = schema_store_alloc(site->place->store, json_array_size(value) * sizeof(*slot->items));
    if (!slot->items)
        return error_set_memory(err);
    json_array_foreach (value, i, item) {
        snprintf(index, sizeof(index), "%zu", i);
        slot->items[i] = schema_load_child(site->place, site->key, index, item, err);
        if (!slot->items[i])
            return -1;
    }
    slot->count = json_array_size(value);
    return 0;
}
