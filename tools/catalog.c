/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Walks the tables of jobs/ and the embedded schemas side by side. */

#include "catalog.h"

#include <stdio.h>

#include "jobs.h"
#include "schemas.h"
#include "text.h"

const struct job_type *catalog_type(size_t index)
{
    for (const struct job_type *const *table = job_tables; *table; table++)
        for (const struct job_type *row = *table; row->name; row++)
            if (index-- == 0)
                return row;
    return NULL;
}

const char *catalog_lane(const struct job_type *type)
{
    return type->lane == JOB_LONG ? "long" : "quick";
}

bool catalog_only_looks(const char *name)
{
    const struct job_type *type = job_type_find(job_tables, name);

    return type && type->claims[0].resource == JOB_NOTHING;
}

json_t *catalog_schema(const char *name)
{
    struct schemas_file file;
    char path[128];

    snprintf(path, sizeof(path), "%s.json", name);
    if (schemas_find(path, &file) < 0)
        return NULL;
    return json_loadb(file.text, file.length, 0, NULL);
}

const char *catalog_nearest(const char *name)
{
    const char *nearest = NULL;
    const struct job_type *type;

    for (size_t i = 0; (type = catalog_type(i)); i++)
        if (text_is_near(name, type->name) &&
            (!nearest || text_distance(name, type->name) < text_distance(name, nearest)))
            nearest = type->name;
    return nearest;
}

int catalog_unknown(const struct cli *cli, const char *name)
{
    const char *nearest = catalog_nearest(name);

    if (nearest)
        return cli_fail(cli, EXIT_USAGE, "no job type '%s'; did you mean '%s'?", name, nearest);
    return cli_fail(cli, EXIT_USAGE, "no job type '%s'; 'virtjob types' lists them", name);
}
