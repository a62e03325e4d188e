/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The store of schemas. All that is compiled lies in one arena, so that freeing is one walk over blocks, and the tree
 * of a schema lies close together when it is checked. The parsed JSON of a document is let go once it is compiled. */

#include "schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "schema_internal.h"

#define BLOCK_SIZE 16384

struct schema_block {
    struct schema_block *next;
    size_t size, used;
    max_align_t data[];
};

struct schema_release {
    struct schema_release *next;
    void *object;
    void (*release)(void *object);
};

static struct schema_block *block_new(struct schema_store *store, size_t size)
{
    size_t wanted = size > BLOCK_SIZE ? size : BLOCK_SIZE;
    struct schema_block *block = calloc(1, sizeof(*block) + wanted);

    if (!block)
        return NULL;
    block->size = wanted;
    block->next = store->blocks;
    store->blocks = block;
    return block;
}

void *schema_store_alloc(struct schema_store *store, size_t size)
{
    size_t rounded = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    struct schema_block *block = store->blocks;

    if (!block || block->size - block->used < rounded)
        block = block_new(store, rounded);
    if (!block)
        return NULL;
    block->used += rounded;
    return (char *)block->data + block->used - rounded;
}

char *schema_store_printf(struct schema_store *store, const char *fmt, ...)
{
    AUTO(string) char *text = NULL;
    va_list args;

    va_start(args, fmt);
    int length = vasprintf(&text, fmt, args);
    va_end(args);
    if (length < 0) {
        text = NULL;
        return NULL;
    }
    char *copy = schema_store_alloc(store, (size_t)length + 1);
    return copy ? memcpy(copy, text, (size_t)length + 1) : NULL;
}

int schema_store_own(struct schema_store *store, void *object, void (*release)(void *object))
{
    struct schema_release *row = schema_store_alloc(store, sizeof(*row));

    if (!row) {
        release(object);
        return -1;
    }
    *row = (struct schema_release){ .next = store->releases, .object = object, .release = release };
    store->releases = row;
    return 0;
}

struct schema_store *schema_store_new(struct error *err)
{
    struct schema_store *store = calloc(1, sizeof(*store));

    if (store) {
        store->anything = schema_store_alloc(store, sizeof(*store->anything));
        store->nothing = schema_store_alloc(store, sizeof(*store->nothing));
    }
    if (!store || !store->anything || !store->nothing) {
        schema_store_free(store);
        error_set_memory(err);
        return NULL;
    }
    store->nothing->never = true;
    return store;
}

void schema_store_free(struct schema_store *store)
{
    if (!store)
        return;
    for (struct schema_release *row = store->releases; row; row = row->next)
        row->release(row->object);
    while (store->blocks) {
        struct schema_block *block = store->blocks;
        store->blocks = block->next;
        free(block);
    }
    free(store);
}

int schema_store_add(struct schema_store *store, const char *name, const char *text, size_t length,
                     struct error *err)
{
    json_error_t at;
    AUTO(json) json_t *json = NULL;

    if (store->linked)
        return error_set(err, ERROR_INTERNAL, "%s: the store of schemas is closed", name);
    json = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &at);
    if (!json)
        return error_set(err, ERROR_INVALID, "%s: line %d, column %d: %s", name, at.line, at.column, at.text);
    return schema_load(store, name, json, err);
}

int schema_store_link(struct schema_store *store, struct error *err)
{
    if (schema_link(store, err) < 0)
        return -1;
    store->linked = true;
    return 0;
}

const struct schema *schema_store_find(const struct schema_store *store, const char *uri)
{
    return schema_link_find(store, uri);
}
