/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* `virtjob new`: a job to fill in, from the example of its schema. */

#include <stdio.h>

#include "catalog.h"
#include "cleanup.h"
#include "commands.h"
#include "jobfile.h"

static const struct option_row options_new[] = {
    { "host", 'H', "NAME", COMPLETE_NOTHING, "The host that is to do it." },
    { "id", 'i', "UUID", COMPLETE_NOTHING, "The id of the job; default: a new one." },
    { 0 },
};

static int new_run(struct cli *cli)
{
    AUTO(json) json_t *schema = catalog_schema(cli->operands[0]);
    AUTO(json) json_t *job = json_deep_copy(json_array_get(json_object_get(schema, "examples"), 0));
    const struct jobfile_changes changes = {
        .id = options_text(&cli->options, "id", NULL),
        .host = options_text(&cli->options, "host", NULL),
        .fresh_id = true,
    };
    struct error err = ERROR_INIT;

    if (!json_object_get(job, "type") || !json_object_get(job, "params"))
        return catalog_unknown(cli, cli->operands[0]);
    if (jobfile_change(job, &changes, &err) < 0)
        return cli_fail_error(cli, NULL, &err);
    size_t layout = cli_json(cli) ? JSON_COMPACT | JSON_ENSURE_ASCII : JSON_INDENT(2);
    json_dumpf(job, stdout, layout);
    putchar('\n');
    return EXIT_SUCCEEDED; /* cli.c looks whether it could be written */
}

const struct command command_new = {
    .name = "new",
    .summary = "Print a job to fill in",
    .operands = "TYPE",
    .details = "The example of the type's schema with a new id, to be edited and submitted.",
    .examples = "  virtjob new volume.clone --host node1 >clone.json\n"
                "  virtjob new guest.info | virtjob submit - --watch\n",
    .operand = OPERAND_TYPE,
    .operands_min = 1,
    .operands_max = 1,
    .groups = { options_new, options_common },
    .run = new_run,
};
