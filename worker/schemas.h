/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The files of schemas/, embedded in the binary: the single source for checks, help and documents. */

#ifndef VIRTJOB_SCHEMAS_H
#define VIRTJOB_SCHEMAS_H

#include <stddef.h>

#include "error.h"
#include "schema.h"

/* One embedded file: "volume.clone.json", "job.json", "asyncapi.yaml". `text` is followed by a NUL. */
struct schemas_file {
    const char *name;
    const char *text;
    size_t length;
};

/* In the order of their names; -1 past the last. Static. */
int schemas_file(size_t index, struct schemas_file *ret_file);

/* By its name; -1 where there is none. */
int schemas_find(const char *name, struct schemas_file *ret_file);

/* A store of all JSON files, linked. NULL: a schema is wrong, which says where. The caller frees. */
struct schema_store *schemas_load(struct error *err);

#endif
