/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* JSON values compared as JSON Schema wants it: numbers by their value, however written; objects without order. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "schema_internal.h"

/* Up to here every pair is compared; above, the items are sorted by a hash. */
#define PAIRS_MAX 16

/* What a 64-bit integer never reaches. */
#define INT64_EDGE 9223372036854775808.0

bool schema_value_integral(const json_t *value)
{
    if (json_is_integer(value))
        return true;
    return json_is_real(value) && floor(json_real_value(value)) == json_real_value(value);
}

static int compare_int_double(json_int_t a, double b)
{
    if (b >= INT64_EDGE)
        return -1;
    if (b < -INT64_EDGE)
        return 1;
    json_int_t whole = (json_int_t)b;
    if (a != whole)
        return a < whole ? -1 : 1;
    double rest = b - (double)whole;
    return (rest < 0) - (rest > 0);
}

int schema_value_compare(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b)) {
        json_int_t x = json_integer_value(a), y = json_integer_value(b);
        return (x > y) - (x < y);
    }
    if (json_is_integer(a))
        return compare_int_double(json_integer_value(a), json_real_value(b));
    if (json_is_integer(b))
        return -compare_int_double(json_integer_value(b), json_real_value(a));
    double x = json_real_value(a), y = json_real_value(b);
    return (x > y) - (x < y);
}

static bool equal_arrays(struct schema_run *run, const json_t *a, const json_t *b)
{
    size_t size = json_array_size(a);

    if (size != json_array_size(b))
        return false;
    for (size_t i = 0; i < size; i++)
        if (!schema_value_equal(run, json_array_get(a, i), json_array_get(b, i)))
            return false;
    return true;
}

static bool equal_objects(struct schema_run *run, const json_t *a, const json_t *b)
{
    if (json_object_size(a) != json_object_size(b))
        return false;
    for (void *at = json_object_iter((json_t *)a); at; at = json_object_iter_next((json_t *)a, at)) {
        const json_t *other = json_object_getn(b, json_object_iter_key(at), json_object_iter_key_len(at));
        if (!other || !schema_value_equal(run, json_object_iter_value(at), other))
            return false;
    }
    return true;
}

/* Goes no deeper than the shallower of the two, and so not below the limit of the JSON parser. */
bool schema_value_equal(struct schema_run *run, const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return schema_value_compare(a, b) == 0;
    if (json_typeof(a) != json_typeof(b) || !schema_run_spend(run, 1))
        return false;
    switch (json_typeof(a)) {
    case JSON_STRING:
        return json_string_length(a) == json_string_length(b) &&
               memcmp(json_string_value(a), json_string_value(b), json_string_length(a)) == 0;
    case JSON_ARRAY:
        return equal_arrays(run, a, b);
    case JSON_OBJECT:
        return equal_objects(run, a, b);
    default:
        return true;
    }
}

/* A hash that equal values share */

static uint64_t mix(uint64_t hash)
{
    hash = (hash ^ (hash >> 31)) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 29);
}

static uint64_t hash_bytes(const char *text, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325u ^ length;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return mix(hash);
}

static uint64_t hash_double(double value)
{
    uint64_t bits;

    if (floor(value) == value && value >= -INT64_EDGE && value < INT64_EDGE)
        return mix((uint64_t)(int64_t)value);
    memcpy(&bits, &value, sizeof(bits));
    return mix(bits ^ 1);
}

static uint64_t hash_value(struct schema_run *run, const json_t *value);

static uint64_t hash_array(struct schema_run *run, const json_t *array)
{
    uint64_t hash = 7;

    for (size_t i = 0; i < json_array_size(array); i++)
        hash = mix(hash + hash_value(run, json_array_get(array, i)));
    return hash;
}

static uint64_t hash_object(struct schema_run *run, const json_t *object)
{
    uint64_t hash = 11;

    for (void *at = json_object_iter((json_t *)object); at; at = json_object_iter_next((json_t *)object, at))
        hash += mix(hash_bytes(json_object_iter_key(at), json_object_iter_key_len(at)) +
                    3 * hash_value(run, json_object_iter_value(at)));
    return mix(hash);
}

static uint64_t hash_value(struct schema_run *run, const json_t *value)
{
    if (!schema_run_spend(run, 1 + json_string_length(value) / 64))
        return 0;
    switch (json_typeof(value)) {
    case JSON_INTEGER:
        return mix((uint64_t)json_integer_value(value));
    case JSON_REAL:
        return hash_double(json_real_value(value));
    case JSON_STRING:
        return hash_bytes(json_string_value(value), json_string_length(value));
    case JSON_ARRAY:
        return hash_array(run, value);
    case JSON_OBJECT:
        return hash_object(run, value);
    default:
        return (uint64_t)json_typeof(value);
    }
}

/* Unique items */

struct hashed {
    uint64_t hash;
    size_t index;
};

static int compare_hashed(const void *a, const void *b)
{
    const struct hashed *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static bool unique_pairs(struct schema_run *run, const json_t *array, size_t *ret_first, size_t *ret_second)
{
    size_t size = json_array_size(array);

    for (size_t i = 1; i < size; i++)
        for (size_t j = 0; j < i; j++)
            if (schema_value_equal(run, json_array_get(array, i), json_array_get(array, j))) {
                *ret_first = j;
                *ret_second = i;
                return false;
            }
    return true;
}

/* Compares the items of each stretch with one hash. */
static bool unique_sorted(struct schema_run *run, const json_t *array, const struct hashed *rows,
                          size_t *ret_first, size_t *ret_second)
{
    size_t size = json_array_size(array);

    for (size_t i = 1; i < size; i++)
        for (size_t j = i; j > 0 && rows[j - 1].hash == rows[i].hash && !run->stopped; j--)
            if (schema_value_equal(run, json_array_get(array, rows[i].index),
                                   json_array_get(array, rows[j - 1].index))) {
                *ret_first = rows[j - 1].index;
                *ret_second = rows[i].index;
                return false;
            }
    return true;
}

bool schema_value_unique(struct schema_run *run, const json_t *array, size_t *ret_first, size_t *ret_second)
{
    size_t size = json_array_size(array);

    if (size <= PAIRS_MAX)
        return unique_pairs(run, array, ret_first, ret_second);
    AUTO(memory) void *owner = malloc(size * sizeof(struct hashed));
    struct hashed *rows = owner;
    if (!rows) {
        schema_fault_stop(run, "cannot be checked: out of memory");
        return true;
    }
    for (size_t i = 0; i < size; i++)
        rows[i] = (struct hashed){ hash_value(run, json_array_get(array, i)), i };
    qsort(rows, size, sizeof(*rows), compare_hashed);
    return unique_sorted(run, array, rows, ret_first, ret_second);
}
