/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Help, made from the tables of subcommands, options, exit codes and error codes. */

#ifndef VIRTJOB_HELP_H
#define VIRTJOB_HELP_H

#include <stdio.h>

#include "cli.h"

/* All subcommands, one line each. */
void help_overview(FILE *out, const struct command *const *commands);

/* Usage, details, options, exit codes and examples of one. */
void help_command(FILE *out, const struct command *command);

/* What to do about an error with this code; static. NULL for a code that is none of ours. */
const char *help_hint(const char *code);

#endif
