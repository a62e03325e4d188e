/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Finds the schema that a URI means, and ties each $ref to its own. */

#include <string.h>

#include "cleanup.h"
#include "schema_internal.h"

enum { MARK_NEW, MARK_OPEN, MARK_DONE };

const struct schema_resource *schema_store_resource(const struct schema_store *store, const char *uri,
                                                    size_t length)
{
    for (const struct schema_resource *row = store->resources; row; row = row->next)
        if (strncmp(row->uri, uri, length) == 0 && row->uri[length] == '\0')
            return row;
    return NULL;
}

/* Decodes %XX in place of `text`; what is no such escape stays. */
static void decode_percent(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        int high = *from == '%' ? schema_hex(from[1]) : -1;
        int low = high >= 0 ? schema_hex(from[2]) : -1;
        if (low >= 0) {
            *to++ = (char)(high * 16 + low);
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

static struct schema *find_pointer(const struct schema_resource *resource, const char *pointer)
{
    size_t base = strlen(resource->pointer);

    for (const struct schema_location *row = resource->document->locations; row; row = row->next)
        if (strncmp(row->pointer, resource->pointer, base) == 0 && strcmp(row->pointer + base, pointer) == 0)
            return row->schema;
    return NULL;
}

static struct schema *find_anchor(const struct schema_store *store, const struct schema_resource *resource,
                                  const char *name)
{
    for (const struct schema_anchor *row = store->anchors; row; row = row->next)
        if (row->resource->document == resource->document &&
            strcmp(row->resource->pointer, resource->pointer) == 0 && strcmp(row->name, name) == 0)
            return row->schema;
    return NULL;
}

struct schema *schema_link_find(const struct schema_store *store, const char *uri)
{
    size_t length = strcspn(uri, "#");
    const struct schema_resource *resource = schema_store_resource(store, uri, length);
    AUTO(string) char *fragment = strdup(uri[length] ? uri + length + 1 : "");

    if (!resource || !fragment)
        return NULL;
    decode_percent(fragment);
    if (fragment[0] == '\0' || fragment[0] == '/')
        return find_pointer(resource, fragment);
    return find_anchor(store, resource, fragment);
}

/* The search for endless references goes along the keywords that look at the same instance again. */

static bool ends(struct schema *schema);

static bool list_ends(const struct schema_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (!ends(list->items[i]))
            return false;
    return true;
}

static bool logic_ends(const struct schema_logic *logic)
{
    return list_ends(&logic->all) && list_ends(&logic->any) && list_ends(&logic->one) &&
           ends(logic->negated) && ends(logic->condition) && ends(logic->then) && ends(logic->otherwise);
}

static bool dependents_end(const struct schema_object *object)
{
    for (size_t i = 0; i < object->dependent_count; i++)
        if (!ends(object->dependents[i].schema))
            return false;
    return true;
}

static bool ends(struct schema *schema)
{
    if (!schema || schema->mark == MARK_DONE)
        return true;
    if (schema->mark == MARK_OPEN)
        return false;
    schema->mark = MARK_OPEN;
    if (!ends(schema->ref) || (schema->logic && !logic_ends(schema->logic)) ||
        (schema->object && !dependents_end(schema->object)))
        return false;
    schema->mark = MARK_DONE;
    return true;
}

static int refuse(const struct schema_pending *row, const char *what, struct error *err)
{
    return error_set_at(err, ERROR_INVALID, row->pointer, "%s: $ref '%s' %s, at '%s'", row->document->name,
                        row->uri, what, row->pointer);
}

int schema_link(struct schema_store *store, struct error *err)
{
    for (struct schema_pending *row = store->pending; row; row = row->next) {
        row->schema->ref = schema_link_find(store, row->uri);
        if (!row->schema->ref)
            return refuse(row, "leads nowhere", err);
    }
    for (struct schema_pending *row = store->pending; row; row = row->next)
        if (!ends(row->schema))
            return refuse(row, "is endless", err);
    return 0;
}
