/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Fuzzes schema: the first line of the input is a schema, the rest an instance. Beside crashes it finds an answer that
 * depends on who asks, and a fault without words. */

#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

CLEANUP_DEFINE(store, struct schema_store *, schema_store_free)

static void check(const struct schema *schema, const json_t *instance)
{
    struct error err = ERROR_INIT;

    if (!schema)
        abort();
    if (schema_check(schema, instance, "/params", &err) == 0)
        return;
    if (err.code != ERROR_INVALID || !err.has_where || !err.message[0] ||
        strncmp(err.where, "/params", 7) != 0)
        abort();
    if (schema_check(schema, instance, "", NULL) == 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *line = memchr(data, '\n', size);
    size_t length = line ? (size_t)(line - text) : size;
    AUTO(store) struct schema_store *store = schema_store_new(NULL);
    AUTO(json) json_t *instance = NULL;

    if (!store || schema_store_add(store, "fuzz.json", text, length, NULL) < 0 ||
        schema_store_link(store, NULL) < 0)
        return 0;
    if (line)
        instance = json_loadb(line + 1, size - length - 1, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (instance)
        check(schema_store_find(store, "fuzz.json"), instance);
    return 0;
}
