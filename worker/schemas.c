/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The table of embedded files is made by the build (cmake/schemas.cmake). */

#include "schemas.h"

#include <string.h>

#define FILE_ROW(name, symbol) extern const char symbol[], symbol##_end[];
#include "embedded.inc"
#undef FILE_ROW

static const struct {
    const char *name;
    const char *text, *end;
} embedded[] = {
#define FILE_ROW(name, symbol) { name, symbol, symbol##_end },
#include "embedded.inc"
#undef FILE_ROW
};

#define EMBEDDED_COUNT (sizeof(embedded) / sizeof(embedded[0]))

int schemas_file(size_t index, struct schemas_file *ret_file)
{
    if (index >= EMBEDDED_COUNT)
        return -1;
    ret_file->name = embedded[index].name;
    ret_file->text = embedded[index].text;
    ret_file->length = (size_t)(embedded[index].end - embedded[index].text) - 1;
    return 0;
}

int schemas_find(const char *name, struct schemas_file *ret_file)
{
    for (size_t i = 0; i < EMBEDDED_COUNT; i++)
        if (strcmp(embedded[i].name, name) == 0)
            return schemas_file(i, ret_file);
    return -1;
}

static int schemas_add_all(struct schema_store *store, struct error *err)
{
    struct schemas_file file;

    for (size_t i = 0; schemas_file(i, &file) == 0; i++) {
        const char *suffix = strrchr(file.name, '.');
        if (!suffix || strcmp(suffix, ".json") != 0)
            continue;
        if (schema_store_add(store, file.name, file.text, file.length, err) < 0)
            return -1;
    }
    return schema_store_link(store, err);
}

struct schema_store *schemas_load(struct error *err)
{
    struct schema_store *store = schema_store_new(err);

    if (store && schemas_add_all(store, err) < 0) {
        schema_store_free(store);
        return NULL;
    }
    return store;
}
