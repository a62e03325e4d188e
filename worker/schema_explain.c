/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* None of the branches of anyOf or oneOf fits: which one did the writer mean? One whose type the instance has and whose
 * constants it repeats, as {"method": "linked", ...}; of several such, the one whose fault lies deepest. That one's fault
 * is reported. Where none is meant, it is the type, or the constant that tells the branches apart. */

#include <string.h>

#include "schema_internal.h"

/* What the branch says itself, or what it refers to. */
static const struct schema *target(const struct schema *branch)
{
    for (int i = 0; i < SCHEMA_DEPTH_MAX && branch->ref && !branch->object; i++)
        branch = branch->ref;
    return branch;
}

/* The types that a branch takes, 0 where it does not say. */
static unsigned branch_types(const struct schema *branch)
{
    unsigned types = branch->types ? branch->types : target(branch)->types;

    return branch->constant && !types ? schema_check_types(branch->constant) : types;
}

static bool type_fits(const struct schema *branch, const json_t *instance)
{
    unsigned types = branch_types(branch);

    return !branch->never && (!types || (types & schema_check_types(instance)));
}

/* Whether a member of the instance contradicts a const or enum of the branch. */
static bool contradicts(struct schema_run *run, const struct schema_property *row, const json_t *instance)
{
    const json_t *value = json_object_getn(instance, row->name.text, row->name.length);
    struct schema constants;

    if (!value || !row->schema || (!row->schema->constant && !row->schema->values))
        return false;
    constants = (struct schema){ .constant = row->schema->constant, .values = row->schema->values };
    return !schema_check_try(run, &constants, value);
}

static bool is_meant(struct schema_run *run, const struct schema *branch, const json_t *instance)
{
    const struct schema_object *object = target(branch)->object;

    if (!type_fits(branch, instance))
        return false;
    for (size_t i = 0; object && json_is_object(instance) && i < object->property_count; i++)
        if (contradicts(run, &object->properties[i], instance))
            return false;
    return true;
}

/* The branch that is meant and fails deepest; NULL where none is meant. */
static const struct schema *find_meant(struct schema_run *run, const struct schema_list *branches,
                                       const json_t *instance)
{
    const struct schema *best = NULL;
    unsigned level = 0;

    for (size_t i = 0; i < branches->count && !run->stopped; i++) {
        if (!is_meant(run, branches->items[i], instance))
            continue;
        schema_check_try(run, branches->items[i], instance);
        if (!best || run->fault_level > level) {
            best = branches->items[i];
            level = run->fault_level;
        }
    }
    return best;
}

/* The schema that a branch has for the member `name`, if that is a const. */
static const struct schema *branch_constant(const struct schema *branch, const struct schema_name *name)
{
    const struct schema_object *object = target(branch)->object;
    const struct schema_property *row =
        object ? schema_object_property(object, name->text, name->length) : NULL;

    return row && row->schema && row->schema->constant ? row->schema : NULL;
}

/* A member that is a const in every branch whose type fits, and that the instance has. */
static const struct schema_name *find_discriminator(const struct schema_list *branches,
                                                    const json_t *instance)
{
    const struct schema_object *object = target(branches->items[0])->object;

    for (size_t i = 0; object && i < object->property_count; i++) {
        const struct schema_name *name = &object->properties[i].name;
        size_t having = 0;
        for (size_t j = 0; j < branches->count; j++)
            having += branch_constant(branches->items[j], name) != NULL;
        if (having == branches->count && json_object_getn(instance, name->text, name->length))
            return name;
    }
    return NULL;
}

/* "'method' must be one of ..." at the member. */
static bool fault_discriminator(struct schema_run *run, const struct schema_list *branches,
                                const struct schema_name *name, const json_t *instance)
{
    const struct schema_step *up = run->step;
    struct schema_step step = { up, name->text, name->length, up ? up->level + 1 : 1 };
    json_t *values = json_array();

    for (size_t i = 0; i < branches->count; i++)
        json_array_append(values, (json_t *)branch_constant(branches->items[i], name)->constant);
    run->step = &step;
    schema_fault_enum(run, values, json_object_getn(instance, name->text, name->length));
    run->step = up;
    json_decref(values);
    return false;
}

bool schema_explain(struct schema_run *run, const struct schema_list *branches, const json_t *instance)
{
    const struct schema *meant;
    const struct schema_name *name;
    unsigned types = 0;
    bool any_type_fits = false;

    if (!run->err || run->stopped)
        return schema_fault(run, "fits none of the forms");
    meant = find_meant(run, branches, instance);
    if (meant)
        return schema_check_run(run, meant, instance);
    for (size_t i = 0; i < branches->count; i++) {
        types |= branch_types(branches->items[i]);
        any_type_fits |= type_fits(branches->items[i], instance);
    }
    if (!any_type_fits && types)
        return schema_fault_types(run, types, instance);
    name = find_discriminator(branches, instance);
    if (name)
        return fault_discriminator(run, branches, name, instance);
    return schema_fault(run, "fits none of the %zu forms that are allowed here", branches->count);
}
