/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* `virtjob types`: what there is. */

#include <stdio.h>
#include <string.h>

#include "catalog.h"
#include "cleanup.h"
#include "commands.h"

static int types_print(const struct job_type *type, int width, bool as_json)
{
    AUTO(json) json_t *schema = catalog_schema(type->name);
    const char *title = json_string_value(json_object_get(schema, "title"));
    const char *description = json_string_value(json_object_get(schema, "description"));

    if (!as_json)
        return printf("%-*s  %-5s  %s\n", width, type->name, catalog_lane(type), title ? title : "") < 0 ? -1
                                                                                                         : 0;
    AUTO(json) json_t *line = json_pack("{ss ss ss* ss*}", "type", type->name, "lane", catalog_lane(type),
                                        "title", title, "description", description);
    return !line || json_dumpf(line, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) < 0 || putchar('\n') == EOF
               ? -1
               : 0;
}

/* "volume" takes "volume.clone" and "volume", not "volumes.list". */
static bool types_wanted(const char *area, const char *name)
{
    size_t length = area ? strlen(area) : 0;

    return !area || (strncmp(area, name, length) == 0 && (name[length] == '.' || name[length] == '\0'));
}

static int types_run(struct cli *cli)
{
    const char *area = cli->operand_count ? cli->operands[0] : NULL;
    const struct job_type *type;
    int width = 0, shown = 0;

    for (size_t i = 0; (type = catalog_type(i)); i++)
        if (types_wanted(area, type->name) && (int)strlen(type->name) > width)
            width = (int)strlen(type->name);
    for (size_t i = 0; (type = catalog_type(i)); i++) {
        if (!types_wanted(area, type->name))
            continue;
        if (types_print(type, width, cli_json(cli)) < 0)
            return cli_fail(cli, EXIT_FAILED, "cannot write to standard output");
        shown++;
    }
    return shown ? EXIT_SUCCEEDED : catalog_unknown(cli, area);
}

const struct command command_types = {
    .name = "types",
    .summary = "List the job types",
    .operands = "[AREA]",
    .details = "One line for each type: its name, its lane (quick or long) and what it does.\n"
               "With AREA, as 'volume', only those. With --json also the description.",
    .examples = "  virtjob types\n"
                "  virtjob types guest --json\n",
    .operand = OPERAND_TYPE,
    .operands_max = 1,
    .groups = { options_common },
    .run = types_run,
};
