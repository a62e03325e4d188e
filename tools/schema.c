/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* `virtjob schema`: prints an embedded schema as it is. */

#include <stdio.h>
#include <string.h>

#include "catalog.h"
#include "cleanup.h"
#include "commands.h"
#include "schemas.h"

static int schema_find(const char *name, struct schemas_file *ret_file)
{
    static const char *const suffixes[] = { "", ".json", ".yaml" };

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s%s", name, suffixes[i]);
        if (schemas_find(path, ret_file) == 0)
            return 0;
    }
    return -1;
}

/* One line of JSON; a document in YAML stays as it is. */
static int schema_print(const struct schemas_file *file, bool one_line)
{
    AUTO(json) json_t *document = one_line ? json_loadb(file->text, file->length, 0, NULL) : NULL;

    if (document)
        return json_dumpf(document, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) < 0 || putchar('\n') == EOF ? -1
                                                                                                          : 0;
    return fwrite(file->text, 1, file->length, stdout) == file->length ? 0 : -1;
}

static int schema_run(struct cli *cli)
{
    struct schemas_file file;

    if (schema_find(cli->operands[0], &file) < 0)
        return catalog_unknown(cli, cli->operands[0]);
    if (schema_print(&file, cli_json(cli)) < 0)
        return cli_fail(cli, EXIT_FAILED, "cannot write to standard output");
    return EXIT_SUCCEEDED;
}

const struct command command_schema = {
    .name = "schema",
    .summary = "Print the schema of a job type, of jobs or of events",
    .operands = "TYPE|job|event|common|asyncapi",
    .details = "JSON Schema 2020-12, as virtjobd checks jobs with it; 'asyncapi' is the whole\n"
               "contract as an AsyncAPI document in YAML. With --json a schema is on one line.",
    .examples = "  virtjob schema volume.clone\n"
                "  virtjob schema asyncapi >virtjob.yaml\n",
    .operand = OPERAND_SCHEMA,
    .operands_min = 1,
    .operands_max = 1,
    .groups = { options_common },
    .run = schema_run,
};
