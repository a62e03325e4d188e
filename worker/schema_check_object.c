/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The keywords of objects. Each member of the instance is looked up once, in the table of what properties and required
 * speak of. */

#include <string.h>

#include "cleanup.h"
#include "schema_internal.h"

#define PLURAL(count) ((count) == 1 ? "" : "s")

struct member {
    const char *key;
    size_t length;
    const json_t *value;
};

/* A schema for the name itself. The one place where a value has to be made. */
static bool check_name(struct schema_run *run, const struct schema *names, const struct member *member)
{
    AUTO(json) json_t *name = json_stringn(member->key, member->length);

    if (!name)
        return schema_fault_stop(run, "cannot be checked: out of memory");
    return schema_check_run(run, names, name);
}

static bool check_patterns(struct schema_run *run, const struct schema_object *object,
                           const struct member *member, bool *known)
{
    for (size_t i = 0; i < object->pattern_count; i++) {
        const struct schema_pattern_property *row = &object->patterns[i];
        if (!schema_pattern_match(run, &row->pattern, member->key, member->length))
            continue;
        *known = true;
        if (!schema_check_run(run, row->schema, member->value))
            return false;
    }
    return !run->stopped;
}

static bool check_member(struct schema_run *run, const struct schema_object *object,
                         const struct member *member, size_t *required)
{
    const struct schema_property *row = schema_object_property(object, member->key, member->length);
    bool known = row && row->schema;

    if (row && row->required)
        ++*required;
    if (object->names && !check_name(run, object->names, member))
        return false;
    if (known && !schema_check_run(run, row->schema, member->value))
        return false;
    if (object->pattern_count && !check_patterns(run, object, member, &known))
        return false;
    if (known || !object->additional)
        return true;
    if (object->additional->never)
        return schema_fault_unknown(run, object);
    return schema_check_run(run, object->additional, member->value);
}

static bool check_members(struct schema_run *run, const struct schema_object *object, const json_t *instance,
                          size_t *required)
{
    const struct schema_step *up = run->step;
    struct schema_step step = { .up = up, .level = up ? up->level + 1 : 1 };
    bool fits = true;

    run->step = &step;
    for (void *at = json_object_iter((json_t *)instance); at && fits;
         at = json_object_iter_next((json_t *)instance, at)) {
        struct member member = { json_object_iter_key(at), json_object_iter_key_len(at),
                                 json_object_iter_value(at) };
        step.key = member.key;
        step.number = member.length;
        fits = check_member(run, object, &member, required);
    }
    run->step = up;
    return fits;
}

static bool find_missing(struct schema_run *run, const struct schema_object *object, const json_t *instance)
{
    for (size_t i = 0; i < object->property_count; i++) {
        const struct schema_property *row = &object->properties[i];
        if (row->required && !json_object_getn(instance, row->name.text, row->name.length))
            return schema_fault_missing(run, &row->name);
    }
    return true;
}

static bool check_dependent(struct schema_run *run, const struct schema_dependent *row,
                            const json_t *instance)
{
    if (!json_object_getn(instance, row->name.text, row->name.length))
        return true;
    for (size_t i = 0; i < row->required_count; i++)
        if (!json_object_getn(instance, row->required[i].text, row->required[i].length))
            return schema_fault_missing(run, &row->required[i]);
    return !row->schema || schema_check_run(run, row->schema, instance);
}

bool schema_check_object(struct schema_run *run, const struct schema_object *object, const json_t *instance)
{
    size_t size = json_object_size(instance), required = 0;

    if (size < object->min)
        return schema_fault(run, "must have at least %zu member%s, has %zu", object->min, PLURAL(object->min),
                            size);
    if (size > object->max)
        return schema_fault(run, "must have at most %zu member%s, has %zu", object->max, PLURAL(object->max),
                            size);
    if (!check_members(run, object, instance, &required))
        return false;
    if (required < object->required_count && !find_missing(run, object, instance))
        return false;
    for (size_t i = 0; i < object->dependent_count; i++)
        if (!check_dependent(run, &object->dependents[i], instance))
            return false;
    return true;
}
