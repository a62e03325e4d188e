/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Reads CloudEvents, one a line, and says which break schemas/event.json or, for an outcome with a result or for progress, what
 * their job type says of it. The integration tests put every event through it that they have seen. */

#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "schemas.h"

#define BASE "https://virtjob.io/schemas/1/"

/* The schema of that part of the job's type, NULL where it has none. */
static const struct schema *find_part(const struct schema_store *schemas, const json_t *data,
                                      const char *part, char ret_uri[256])
{
    const char *type = json_string_value(json_object_get(json_object_get(data, "job"), "type"));

    snprintf(ret_uri, 256, BASE "%s.json#/$defs/%s", type ? type : "", part);
    return schema_store_find(schemas, ret_uri);
}

static int check_parts(const struct schema_store *schemas, const json_t *event, struct error *err)
{
    const char *kind = json_string_value(json_object_get(event, "type"));
    const json_t *data = json_object_get(event, "data");
    const struct schema *schema;
    char uri[256];

    if (strcmp(kind, "io.virtjob.job.progress") == 0) {
        schema = find_part(schemas, data, "progress", uri);
        return schema ? schema_check(schema, data, "/data", err) : 0;
    }
    if (!json_object_get(data, "result"))
        return 0; /* event.json says whether it must have one */
    schema = find_part(schemas, data, "result", uri);
    if (!schema)
        return error_set(err, ERROR_INVALID, "there is no %s", uri);
    return schema_check(schema, json_object_get(data, "result"), "/data/result", err);
}

static int check_event(const struct schema_store *schemas, const char *line, struct error *err)
{
    AUTO(json) json_t *event = json_loads(line, 0, NULL);

    if (!event)
        return error_set(err, ERROR_INVALID, "not JSON");
    if (schema_check(schema_store_find(schemas, BASE "event.json"), event, "", err) < 0)
        return -1;
    return check_parts(schemas, event, err);
}

int main(void)
{
    struct error err = ERROR_INIT;
    struct schema_store *schemas = schemas_load(&err);
    AUTO(string) char *line = NULL;
    size_t size = 0;
    int wrong = 0;

    if (!schemas)
        return fprintf(stderr, "%s\n", err.message), 2;
    while (getline(&line, &size, stdin) > 0)
        if (check_event(schemas, line, &err) < 0) {
            printf("%s (at '%s'): %s", err.message, err.where, line);
            wrong++;
        }
    schema_store_free(schemas);
    return wrong ? 1 : 0;
}
