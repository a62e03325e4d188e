/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Checks an instance against a compiled schema. The way of a valid document is the short one: no memory is taken, and no
 * word is written. A schema that may fail without harm, as a branch of anyOf, is tried with run->err NULL. */

#include <math.h>
#include <string.h>

#include "schema_internal.h"

#define PLURAL(count) ((count) == 1 ? "" : "s")

unsigned schema_check_types(const json_t *instance)
{
    switch (json_typeof(instance)) {
    case JSON_OBJECT:
        return SCHEMA_OBJECT;
    case JSON_ARRAY:
        return SCHEMA_ARRAY;
    case JSON_STRING:
        return SCHEMA_STRING;
    case JSON_INTEGER:
        return SCHEMA_NUMBER | SCHEMA_INTEGER;
    case JSON_REAL:
        return schema_value_integral(instance) ? SCHEMA_NUMBER | SCHEMA_INTEGER : SCHEMA_NUMBER;
    case JSON_NULL:
        return SCHEMA_NULL;
    default:
        return SCHEMA_BOOLEAN;
    }
}

bool schema_check_try(struct schema_run *run, const struct schema *schema, const json_t *instance)
{
    struct error *err = run->err;

    run->err = NULL;
    bool fits = schema_check_run(run, schema, instance);
    run->err = err;
    return fits;
}

/* Numbers */

static bool check_number(struct schema_run *run, const struct schema_number *number, const json_t *instance)
{
    if (number->minimum && schema_value_compare(instance, number->minimum) < 0)
        return schema_fault_bound(run, instance, "at least", number->minimum);
    if (number->maximum && schema_value_compare(instance, number->maximum) > 0)
        return schema_fault_bound(run, instance, "at most", number->maximum);
    if (number->above && schema_value_compare(instance, number->above) <= 0)
        return schema_fault_bound(run, instance, "more than", number->above);
    if (number->below && schema_value_compare(instance, number->below) >= 0)
        return schema_fault_bound(run, instance, "less than", number->below);
    if (!number->multiple_of)
        return true;
    struct schema_decimal value = schema_decimal_of(instance);
    if (schema_decimal_divides(&number->multiple, &value))
        return true;
    return schema_fault_bound(run, instance, "a multiple of", number->multiple_of);
}

/* Strings */

/* Bytes that do not continue a character. */
static size_t count_characters(const char *text, size_t length)
{
    size_t count = 0;

    for (size_t i = 0; i < length; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

static bool check_length(struct schema_run *run, const struct schema_string *string, const char *text,
                         size_t length)
{
    /* Four bytes are the longest character: mostly the answer is plain without counting. */
    if (length <= string->max && length / 4 >= string->min)
        return true;
    size_t count = count_characters(text, length);
    if (count < string->min && count == 0)
        return schema_fault(run, "must not be empty");
    if (count < string->min)
        return schema_fault(run, "must have at least %zu character%s, has %zu", string->min,
                            PLURAL(string->min), count);
    if (count > string->max)
        return schema_fault(run, "must have at most %zu character%s, has %zu", string->max,
                            PLURAL(string->max), count);
    return true;
}

static bool check_string(struct schema_run *run, const struct schema_string *string, const json_t *instance)
{
    const char *text = json_string_value(instance);
    size_t length = json_string_length(instance);

    if (!check_length(run, string, text, length))
        return false;
    if (string->format && !(schema_run_spend(run, length / 16) && string->format->valid(text, length)))
        return schema_fault_value(run, instance, "be %s", string->format->wanted);
    if (string->has_pattern && !schema_pattern_match(run, &string->pattern, text, length))
        return schema_fault_value(run, instance, "match the pattern %s", string->pattern.source);
    return true;
}

/* Arrays */

static bool check_item(struct schema_run *run, const struct schema *schema, const json_t *array, size_t index)
{
    const struct schema_step *up = run->step;
    struct schema_step step = { .up = up, .number = index, .level = up ? up->level + 1 : 1 };

    run->step = &step;
    bool fits = schema_check_run(run, schema, json_array_get(array, index));
    run->step = up;
    return fits;
}

static bool check_items(struct schema_run *run, const struct schema_array *array, const json_t *instance)
{
    size_t size = json_array_size(instance);

    for (size_t i = 0; i < size && i < array->prefix.count; i++)
        if (!check_item(run, array->prefix.items[i], instance, i))
            return false;
    for (size_t i = array->prefix.count; array->items && i < size; i++)
        if (!check_item(run, array->items, instance, i))
            return false;
    return true;
}

static bool check_contains(struct schema_run *run, const struct schema_array *array, const json_t *instance)
{
    size_t size = json_array_size(instance), found = 0;

    for (size_t i = 0; i < size && found <= array->max_contains; i++)
        found += schema_check_try(run, array->contains, json_array_get(instance, i));
    if (found < array->min_contains)
        return schema_fault(run, "must have at least %zu item%s of the form that is wanted here, has %zu",
                            array->min_contains, PLURAL(array->min_contains), found);
    if (found > array->max_contains)
        return schema_fault(run, "must have at most %zu item%s of the form that is limited here",
                            array->max_contains, PLURAL(array->max_contains));
    return true;
}

static bool check_unique(struct schema_run *run, const json_t *instance)
{
    size_t first, second;

    if (schema_value_unique(run, instance, &first, &second))
        return true;
    return schema_fault(run, "must not have an item twice: those at %zu and %zu are equal", first, second);
}

static bool check_array(struct schema_run *run, const struct schema_array *array, const json_t *instance)
{
    size_t size = json_array_size(instance);

    if (size < array->min)
        return schema_fault(run, "must have at least %zu item%s, has %zu", array->min, PLURAL(array->min),
                            size);
    if (size > array->max)
        return schema_fault(run, "must have at most %zu item%s, has %zu", array->max, PLURAL(array->max),
                            size);
    return check_items(run, array, instance) && (!array->contains || check_contains(run, array, instance)) &&
           (!array->unique || check_unique(run, instance));
}

/* Logic */

static bool check_any(struct schema_run *run, const struct schema_list *any, const json_t *instance)
{
    for (size_t i = 0; i < any->count; i++)
        if (schema_check_try(run, any->items[i], instance))
            return true;
    return schema_explain(run, any, instance);
}

static bool check_one(struct schema_run *run, const struct schema_list *one, const json_t *instance)
{
    size_t first = one->count;

    for (size_t i = 0; i < one->count; i++) {
        if (!schema_check_try(run, one->items[i], instance))
            continue;
        if (first < one->count)
            return schema_fault(run, "must have one form only, but fits forms %zu and %zu of %zu", first + 1,
                                i + 1, one->count);
        first = i;
    }
    return first < one->count || schema_explain(run, one, instance);
}

static bool check_logic(struct schema_run *run, const struct schema_logic *logic, const json_t *instance)
{
    for (size_t i = 0; i < logic->all.count; i++)
        if (!schema_check_run(run, logic->all.items[i], instance))
            return false;
    if (logic->any.count && !check_any(run, &logic->any, instance))
        return false;
    if (logic->one.count && !check_one(run, &logic->one, instance))
        return false;
    if (logic->negated && schema_check_try(run, logic->negated, instance))
        return schema_fault(run, "has a form that is not allowed here");
    if (!logic->condition)
        return true;
    const struct schema *next =
        schema_check_try(run, logic->condition, instance) ? logic->then : logic->otherwise;
    return !next || schema_check_run(run, next, instance);
}

/* All */

static bool check_values(struct schema_run *run, const struct schema *schema, const json_t *instance)
{
    if (schema->constant && !schema_value_equal(run, schema->constant, instance))
        return schema_fault_const(run, schema->constant, instance);
    if (!schema->values)
        return true;
    for (size_t i = 0; i < json_array_size(schema->values); i++)
        if (schema_value_equal(run, json_array_get(schema->values, i), instance))
            return true;
    return schema_fault_enum(run, schema->values, instance);
}

static bool check_kind(struct schema_run *run, const struct schema *schema, const json_t *instance)
{
    switch (json_typeof(instance)) {
    case JSON_OBJECT:
        return !schema->object || schema_check_object(run, schema->object, instance);
    case JSON_ARRAY:
        return !schema->array || check_array(run, schema->array, instance);
    case JSON_STRING:
        return !schema->string || check_string(run, schema->string, instance);
    case JSON_INTEGER:
    case JSON_REAL:
        return !schema->number || check_number(run, schema->number, instance);
    default:
        return true;
    }
}

static bool check_schema(struct schema_run *run, const struct schema *schema, const json_t *instance)
{
    if (schema->never)
        return schema_fault(run, "is not allowed here");
    if (schema->types && !(schema->types & schema_check_types(instance)))
        return schema_fault_types(run, schema->types, instance);
    if ((schema->constant || schema->values) && !check_values(run, schema, instance))
        return false;
    if (schema->ref && !schema_check_run(run, schema->ref, instance))
        return false;
    return check_kind(run, schema, instance) && (!schema->logic || check_logic(run, schema->logic, instance));
}

bool schema_check_run(struct schema_run *run, const struct schema *schema, const json_t *instance)
{
    if (run->stopped || !schema_run_spend(run, 1))
        return false;
    if (run->depth >= SCHEMA_DEPTH_MAX)
        return schema_fault_stop(run, "is nested too deep to be checked");
    run->depth++;
    bool fits = check_schema(run, schema, instance);
    run->depth--;
    return fits && !run->stopped;
}

int schema_check(const struct schema *schema, const json_t *instance, const char *at, struct error *err)
{
    struct error fault = ERROR_INIT;
    struct schema_run run = { .at = at, .err = &fault, .listener = &fault, .budget = SCHEMA_BUDGET };
    bool fits = schema_check_run(&run, schema, instance);

    pcre2_match_data_free(run.match);
    if (fits)
        return 0;
    if (err)
        *err = fault;
    return -1;
}
