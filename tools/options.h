/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Command line options: tables of rows, parsed by getopt_long. */

#ifndef VIRTJOB_OPTIONS_H
#define VIRTJOB_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

enum option_complete { COMPLETE_NOTHING, COMPLETE_FILE };

struct option_row {
    const char *name;  /* without the dashes; NULL ends a table */
    char letter;       /* short form, 0: none */
    const char *value; /* what it takes, as shown in help; NULL: a flag */
    enum option_complete complete;
    const char *help; /* one sentence, at most 48 columns a line */
};

#define OPTIONS_MAX       32
#define OPTIONS_GIVEN_MAX 64

/* What was given. Filled by options_parse; lends from argv. */
struct options {
    const struct option_row *rows[OPTIONS_MAX];
    const char *values[OPTIONS_MAX]; /* "" for a flag that was given; NULL: not given */
    int count;
    struct {
        int row;
        const char *value;
    } given[OPTIONS_GIVEN_MAX]; /* all that were given, in their order: an option may come again */
    int given_count;
};

/* Options of every subcommand (--json, --help, …), and of those that talk to a broker. */
extern const struct option_row options_common[];
extern const struct option_row options_broker[];

/* Parses argv[1..]; options and operands may be mixed, `--` ends the options. Operands are moved to the end:
 * `ret_first` is the index of the first. Fails with ERROR_INVALID. */
int options_parse(struct options *options, const struct option_row *const *groups, int argc, char **argv,
                  int *ret_first, struct error *err);

bool options_given(const struct options *options, const char *name);

/* The value, or `fallback` where it was not given. */
const char *options_text(const struct options *options, const char *name, const char *fallback);

/* One value after the other of an option that may be given several times: NULL past the last. `at` starts as 0. */
const char *options_next(const struct options *options, const char *name, int *at);

/* A duration as "1500ms", "30s", "90m", "2h", "1d", in milliseconds; a number alone is seconds; more than 0. Leaves
 * `*ret_ms` alone where the option was not given. */
int options_duration(const struct options *options, const char *name, int64_t *ret_ms, struct error *err);

/* The same for any text. */
int options_parse_duration(const char *text, int64_t *ret_ms);

#endif
