/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* virtjob: the table of subcommands. A new one is one file with its row, and one line here. */

#include "cli.h"
#include "commands.h"

static const struct command *const commands[] = {
    &command_submit, &command_watch,  &command_cancel, &command_dead, &command_orphans,    &command_run,
    &command_types,  &command_schema, &command_new,    &command_help, &command_completion, NULL,
};

int main(int argc, char **argv)
{
    return cli_main(commands, argc, argv);
}
