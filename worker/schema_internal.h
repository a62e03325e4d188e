/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the files of the schema module share: the compiled form of a schema, the store, one running check.
 *
 *   schema.c               the store: memory, adding, linking, finding
 *   schema_load.c          JSON to the compiled form: the walk, identifiers, the table of keywords
 *   schema_keyword.c       how the values of keywords are read; schema_members.c those that are objects
 *   schema_link.c          references
 *   schema_check.c         an instance against the compiled form; schema_check_object.c the keywords of objects
 *   schema_explain.c       which branch of anyOf and oneOf to report
 *   schema_fault.c         the words and the pointer of a fault
 *   schema_value.c         equality, order and hash of JSON values; schema_decimal.c multiples
 *   schema_pattern.c       ECMA-262 regular expressions to PCRE2; schema_match.c matching with limits
 *   schema_format.c        the formats; schema_host.c, schema_idn.c and schema_uri.c the larger ones */

#ifndef VIRTJOB_SCHEMA_INTERNAL_H
#define VIRTJOB_SCHEMA_INTERNAL_H

#define PCRE2_CODE_UNIT_WIDTH 8

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <pcre2.h>

#include "schema.h"

/* One bit for each type; a number that is no integer has SCHEMA_NUMBER alone. */
enum schema_type {
    SCHEMA_NULL = 1 << 0,
    SCHEMA_BOOLEAN = 1 << 1,
    SCHEMA_OBJECT = 1 << 2,
    SCHEMA_ARRAY = 1 << 3,
    SCHEMA_NUMBER = 1 << 4,
    SCHEMA_INTEGER = 1 << 5,
    SCHEMA_STRING = 1 << 6,
};

struct schema_list {
    struct schema **items;
    size_t count;
};

/* A name in an arena; may hold any byte but NUL. */
struct schema_name {
    const char *text;
    size_t length;
};

/* mantissa * 10^exponent; the sign plays no part in being a multiple. */
struct schema_decimal {
    uint64_t mantissa;
    int exponent;
};

/* minimum and its like: NULL for one that is not there. Borrowed from the store's values. */
struct schema_number {
    const json_t *minimum, *maximum, *above, *below;
    const json_t *multiple_of;
    struct schema_decimal multiple;
};

struct schema_pattern {
    const char *source; /* as it was written, for messages */
    pcre2_code *code;
};

struct schema_string {
    size_t min, max; /* code points */
    bool has_pattern;
    struct schema_pattern pattern;
    const struct schema_format *format;
};

struct schema_array {
    struct schema_list prefix;
    struct schema *items; /* those behind the prefix */
    struct schema *contains;
    size_t min_contains, max_contains;
    size_t min, max;
    bool unique;
};

/* A name that `properties` or `required` speaks of. */
struct schema_property {
    struct schema_name name;
    struct schema *schema; /* NULL: only required */
    bool required;
};

struct schema_pattern_property {
    struct schema_pattern pattern;
    struct schema *schema;
};

/* Where the instance has `name`, it needs `required` and must fit `schema`. */
struct schema_dependent {
    struct schema_name name;
    struct schema_name *required;
    size_t required_count;
    struct schema *schema;
};

struct schema_object {
    struct schema_property *properties; /* sorted by name */
    size_t property_count, required_count;
    struct schema_pattern_property *patterns;
    size_t pattern_count;
    struct schema *additional, *names;
    struct schema_dependent *dependents;
    size_t dependent_count;
    size_t min, max;
};

struct schema_logic {
    struct schema_list all, any, one;
    struct schema *negated, *condition, *then, *otherwise;
};

/* A compiled schema: what it does not speak of is NULL or 0. */
struct schema {
    uint16_t types; /* of enum schema_type; 0 for any */
    bool never;     /* the schema `false` */
    uint8_t mark;   /* of the search for endless references */
    struct schema *ref;
    const json_t *values, *constant; /* enum, const */
    struct schema_number *number;
    struct schema_string *string;
    struct schema_array *array;
    struct schema_object *object;
    struct schema_logic *logic;
    struct schema *next; /* all of the store */
};

/* schema.c: the store. Everything in it is allocated in its arena and lives until schema_store_free. */

struct schema_document {
    const char *name;
    struct schema_location *locations;
    struct schema_document *next;
};

/* Every place in a document where a schema is. */
struct schema_location {
    const char *pointer;
    struct schema *schema;
    struct schema_location *next;
};

/* What an $id or the name of a document names: a base for references. */
struct schema_resource {
    const char *uri; /* no fragment */
    struct schema_document *document;
    const char *pointer; /* of its root, in the document */
    struct schema_resource *next;
};

struct schema_anchor {
    const struct schema_resource *resource;
    const char *name;
    struct schema *schema;
    struct schema_anchor *next;
};

/* A $ref to be resolved by schema_store_link. */
struct schema_pending {
    struct schema *schema;
    const char *uri; /* resolved; fragment and all */
    const struct schema_document *document;
    const char *pointer;
    struct schema_pending *next;
};

struct schema_store {
    struct schema_block *blocks;
    struct schema_document *documents;
    struct schema_resource *resources;
    struct schema_anchor *anchors;
    struct schema_pending *pending;
    struct schema_release *releases; /* what lies outside of the arena */
    struct schema *schemas;
    struct schema *anything, *nothing; /* `true` and `false` */
    bool linked;
};

/* Zeroed memory of the store; NULL without memory. */
void *schema_store_alloc(struct schema_store *store, size_t size);
char *schema_store_printf(struct schema_store *store, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The store calls release(object) at its end, or now where it has no memory: then -1. */
int schema_store_own(struct schema_store *store, void *object, void (*release)(void *object));

const struct schema_resource *schema_store_resource(const struct schema_store *store, const char *uri,
                                                    size_t length);

/* Where the loader is: passed down the walk. */
struct schema_place {
    struct schema_store *store;
    struct schema_document *document;
    const struct schema_resource *resource; /* the base of references */
    const char *pointer;
    unsigned depth;
};

/* schema_load.c: compiles the document in `json` and registers all that it names. */
int schema_load(struct schema_store *store, const char *name, const json_t *json, struct error *err);

/* Compiles the schema in the keyword `key` of the one at `place`; with `token`, in that member or item of the keyword. */
struct schema *schema_load_child(const struct schema_place *place, const char *key, const char *token,
                                 const json_t *json, struct error *err);

/* Refuses the keyword `key` of the schema at `place`; NULL for the schema itself. Returns -1. */
int schema_load_refuse(const struct schema_place *place, const char *key, struct error *err, const char *fmt,
                       ...) __attribute__((format(printf, 4, 5)));

/* schema_keyword.c: how the values of keywords are compiled. A reader takes the value of one keyword into `slot`, the
 * field that the table of keywords names for it. */
struct schema_site {
    const struct schema_place *place;
    const json_t *json; /* the schema that has the keyword */
    struct schema *schema;
    const char *key;
    void *slot;
};

typedef int schema_reader(const struct schema_site *site, const json_t *value, struct error *err);

schema_reader schema_read_text, schema_read_flag, schema_read_array, schema_read_anything; /* annotations */
schema_reader schema_read_count, schema_read_switch, schema_read_number, schema_read_multiple,
    schema_read_schema, schema_read_list, schema_read_type, schema_read_enum, schema_read_const,
    schema_read_pattern, schema_read_format;

/* schema_members.c: the keywords whose value is an object of things, and required. */
schema_reader schema_read_properties, schema_read_required, schema_read_patterns, schema_read_needs,
    schema_read_dependents, schema_read_defs;

/* The row for `name`, NULL where properties and required do not speak of it. */
const struct schema_property *schema_object_property(const struct schema_object *object, const char *name,
                                                     size_t length);

/* Brings the rows into the order that schema_object_property needs, after the last keyword. */
void schema_object_finish(struct schema_object *object);

/* schema_link.c: resolves what is pending, refuses endless references. */
int schema_link(struct schema_store *store, struct error *err);
struct schema *schema_link_find(const struct schema_store *store, const char *uri);

/* One running check. */

/* A step from the root of the instance to where the check is; lives on the stack. */
struct schema_step {
    const struct schema_step *up;
    const char *key; /* NULL for an item of an array */
    size_t number;   /* the length of the key, or the index */
    unsigned level;  /* 1 for the first step */
};

struct schema_run {
    const char *at;
    struct error *err;      /* NULL while a schema is only tried */
    struct error *listener; /* what err is otherwise */
    const struct schema_step *step;
    long budget;
    unsigned depth;
    unsigned fault_level;    /* how deep the last fault was */
    bool stopped;            /* out of budget, depth or memory: the answer is no, whatever `not` says */
    pcre2_match_data *match; /* made when first needed */
};

/* schema_check.c: whether the instance fits; where not, the fault is in run->err, if there is one. */
bool schema_check_run(struct schema_run *run, const struct schema *schema, const json_t *instance);

/* The same without a word. */
bool schema_check_try(struct schema_run *run, const struct schema *schema, const json_t *instance);

/* The bits of enum schema_type that the instance has. */
unsigned schema_check_types(const json_t *instance);

/* schema_check_object.c */
bool schema_check_object(struct schema_run *run, const struct schema_object *object, const json_t *instance);

/* schema_explain.c: reports why none of the branches fits; returns false. */
bool schema_explain(struct schema_run *run, const struct schema_list *branches, const json_t *instance);

/* schema_fault.c: each records a fault at the current step and returns false. */
bool schema_fault(struct schema_run *run, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "'capacity' must <fmt>, is -5" */
bool schema_fault_value(struct schema_run *run, const json_t *instance, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool schema_fault_types(struct schema_run *run, unsigned types, const json_t *instance);
/* "'capacity' must be at least 1, is -5" */
bool schema_fault_bound(struct schema_run *run, const json_t *instance, const char *words,
                        const json_t *bound);
bool schema_fault_const(struct schema_run *run, const json_t *constant, const json_t *instance);
bool schema_fault_enum(struct schema_run *run, const json_t *values, const json_t *instance);
bool schema_fault_missing(struct schema_run *run, const struct schema_name *name);
bool schema_fault_unknown(struct schema_run *run, const struct schema_object *object);

/* Ends the whole check. */
bool schema_fault_stop(struct schema_run *run, const char *reason);

/* A name for the current step, in quotes: 'disks[2]', or "the document". */
#define SCHEMA_SUBJECT_SIZE 128
void schema_fault_subject(const struct schema_run *run, char *ret_text);

/* Takes `steps` from the budget; false, and stopped, where it is used up. */
static inline bool schema_run_spend(struct schema_run *run, size_t steps)
{
    run->budget -= (long)(steps > SCHEMA_BUDGET ? SCHEMA_BUDGET : steps);
    return run->budget >= 0 || schema_fault_stop(run, "takes too long to check");
}

/* schema_value.c */

/* <0, 0 or >0 as the number a is less than, equal to or greater than b; exact for every mixture of kinds. */
int schema_value_compare(const json_t *a, const json_t *b);

/* Equality as JSON Schema has it: 1 is 1.0, members have no order. False when the run has stopped. */
bool schema_value_equal(struct schema_run *run, const json_t *a, const json_t *b);

/* Whether no two items are equal; if not, the indices of two that are. */
bool schema_value_unique(struct schema_run *run, const json_t *array, size_t *ret_first, size_t *ret_second);

/* Whether a number is an integer, though it may be written 1.0. */
bool schema_value_integral(const json_t *value);

struct schema_decimal schema_decimal_of(const json_t *number);
bool schema_decimal_divides(const struct schema_decimal *divisor, const struct schema_decimal *number);

/* schema_pattern.c: writes the pattern as PCRE2 has it to `out`, which may be NULL. Returns NULL, or what is wrong with it,
 * static, as "has a ( without its )". */
const char *schema_pattern_translate(const char *source, size_t length, FILE *out);

/* schema_match.c: compiles a pattern; the store owns it. On failure the reason goes to ret_reason. */
int schema_pattern_compile(struct schema_store *store, const char *source, size_t length,
                           struct schema_pattern *ret_pattern, char *ret_reason, size_t reason_size);

/* Whether the text has a match; false, too, when the run has stopped. */
bool schema_pattern_match(struct schema_run *run, const struct schema_pattern *pattern, const char *text,
                          size_t length);

/* schema_format.c: the formats. `text` may hold NUL. */
struct schema_format {
    const char *name;
    bool (*valid)(const char *text, size_t length);
    const char *wanted; /* "a UUID" */
};

const struct schema_format *schema_format_find(const char *name);

/* schema_host.c, schema_idn.c, schema_uri.c, schema_format.c: what is more than one format's. */
bool schema_format_ipv4(const char *text, size_t length);
bool schema_format_ipv6(const char *text, size_t length);
bool schema_format_hostname(const char *text, size_t length);
bool schema_format_email(const char *text, size_t length);
bool schema_format_uri(const char *text, size_t length);
bool schema_format_uri_reference(const char *text, size_t length);

/* Whether the label after "xn--" is the punycode of one that IDNA 2008 allows. */
bool schema_idn_valid(const char *punycode, size_t length);

/* `reference` resolved against `base` (RFC 3986, section 5.2), in the store's arena; NULL without memory. */
char *schema_uri_resolve(struct schema_store *store, const char *base, const char *reference);

static inline bool schema_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool schema_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The value of a hexadecimal digit, -1 for what is none. */
static inline int schema_hex(char c)
{
    if (schema_is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

#endif
