/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* JSON Schema, draft 2020-12 (https://json-schema.org/draft/2020-12): loads schema documents and checks JSON against
 * them, saying where a document is wrong in words for a person.
 *
 * A store is filled by one thread: _new, any number of _add, one _link. From then on it is immutable, and any number of
 * threads may call schema_store_find and schema_check at once. Nothing is ever fetched: a reference leads to a document
 * that was added, or linking fails.
 *
 * Keywords that are had: $schema $id $anchor $ref $defs $comment; type enum const; properties required
 * additionalProperties patternProperties propertyNames minProperties maxProperties dependentRequired dependentSchemas;
 * items prefixItems contains minContains maxContains minItems maxItems uniqueItems; pattern minLength maxLength format;
 * minimum maximum exclusiveMinimum exclusiveMaximum multipleOf; allOf anyOf oneOf not if then else; and as annotations,
 * not asserted: title description default examples deprecated readOnly writeOnly contentMediaType contentEncoding, and
 * any keyword that starts with `x-`, which is free for our own use. Any other keyword is refused: a schema is never
 * half understood. `format` is asserted, and an unknown format is refused as an unknown keyword is.
 *
 * Patterns are ECMA-262 regular expressions as with the `u` flag, less look-behind of unbounded length. Not anchored.
 *
 * Numbers are what jansson has: 64-bit integers and doubles. 1 and 1.0 are the same number, and an integer. */

#ifndef VIRTJOB_SCHEMA_H
#define VIRTJOB_SCHEMA_H

#include <stddef.h>

#include <jansson.h>

#include "error.h"

/* How deep schemas and instance may lead into each other in one check, counted in schemas entered. */
#define SCHEMA_DEPTH_MAX 256

/* What one check may cost, in steps of some tens of nanoseconds. It takes a document of many MiB, a schema that multiplies
 * its own work, or a pattern without ^ that has no match in the first 30 KiB of a text, to get there. */
#define SCHEMA_BUDGET 4000000L

/* The longest pattern, in bytes. */
#define SCHEMA_PATTERN_MAX 8192

struct schema_store;
struct schema;

/* An empty store, to be freed with schema_store_free; NULL without memory. */
struct schema_store *schema_store_new(struct error *err);

/* Frees the store and every schema in it. NULL is ignored. */
void schema_store_free(struct schema_store *store);

/* Parses and compiles one document. It is registered under `name`, and under its $id (resolved against `name`) where it
 * has one. `text` need not be terminated, and is not needed afterwards.
 *
 * Fails with ERROR_INVALID on text that is not JSON, a member given twice, an unknown keyword or format, a value that the
 * keyword does not take, a pattern that is none, and an identifier given twice; err->where is the JSON pointer in the
 * schema, and the message names the document and the keyword. After a failure the store is good for schema_store_free
 * only. */
int schema_store_add(struct schema_store *store, const char *name, const char *text, size_t length,
                     struct error *err);

/* Resolves every $ref; call once, after the last schema_store_add. Fails with ERROR_INVALID, naming it, on a reference
 * that leads nowhere, or that leads back to itself without consuming any of the instance. */
int schema_store_link(struct schema_store *store, struct error *err);

/* The schema at a URI: an $id or the name of a document, with an optional fragment that is an $anchor or a JSON pointer:
 * "volume.clone.json#/$defs/params". NULL where there is none. Borrowed: lives as long as the store. */
const struct schema *schema_store_find(const struct schema_store *store, const char *uri);

/* Checks `instance`, whose strings are valid UTF-8. Returns 0 where it is valid. Otherwise -1 and ERROR_INVALID, with one
 * fault: err->where is its JSON pointer, beginning with `at` ("" for a whole document, "/params" for a part), cut after a
 * whole token where it does not fit. A member that is missing is reported at the object that lacks it, one that is unknown
 * at itself. Of anyOf and oneOf, the branch that seems to be meant is reported.
 *
 * Work is bounded whatever the instance: too deep, too large or too hard to match is ERROR_INVALID as well. Allocates
 * only for patterns, propertyNames and uniqueItems over many items. Never changes the instance. */
int schema_check(const struct schema *schema, const json_t *instance, const char *at, struct error *err);

#endif
