/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The rows of the subcommands, each in the file of its name. */

#ifndef VIRTJOB_COMMANDS_H
#define VIRTJOB_COMMANDS_H

#include "cli.h"

extern const struct command command_submit;
extern const struct command command_watch;
extern const struct command command_cancel;
extern const struct command command_dead;
extern const struct command command_orphans;
extern const struct command command_run;
extern const struct command command_types;
extern const struct command command_schema;
extern const struct command command_new;
extern const struct command command_help;
extern const struct command command_completion;

#endif
