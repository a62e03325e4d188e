/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The command line of virtjobd. */

#ifndef VIRTJOB_ARGUMENTS_H
#define VIRTJOB_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#define ARGUMENTS_SETS_MAX 128

struct arguments {
    const char *config_path;        /* NULL: there is no file */
    char *sets[ARGUMENTS_SETS_MAX]; /* "section.key=value", for config_load */
    size_t set_count;
    bool check; /* only read the configuration */
};

/* Ends the process for --help and --version (0) and for wrong usage (2, with a word on standard error). */
void arguments_parse(struct arguments *arguments, int argc, char **argv);
void arguments_done(struct arguments *arguments);

#endif
