/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a subcommand of `virtjob` is: one file with its function, its options and its row, and one line in the table of
 * main.c. Help, shell completion and the check against the manual page all derive from the rows. */

#ifndef VIRTJOB_CLI_H
#define VIRTJOB_CLI_H

#include <stdbool.h>

#include "error.h"
#include "options.h"

/* How `virtjob` ends; cli.c has the table with the words for help. */
enum exit_code {
    EXIT_SUCCEEDED = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NO_BROKER = 3,
    EXIT_INTERRUPTED = 130, /* as a shell has it for SIGINT */
};

struct exit_row {
    enum exit_code code;
    const char *text;
};
extern const struct exit_row exit_table[]; /* ends with a NULL text */

/* What the operands of a subcommand are, for completion. */
enum operand {
    OPERAND_NONE,
    OPERAND_FILE,
    OPERAND_TYPE,
    OPERAND_SCHEMA,
    OPERAND_JOB,
    OPERAND_TOPIC,
    OPERAND_WORDS /* the first of them one of those named in `operands`: "bash|zsh|fish" */
};

#define OPTION_GROUPS_MAX 4 /* the last is always NULL */

struct cli;

/* All strings are static and of plain ASCII; texts may have several lines, none wider than 79 columns. */
struct command {
    const char *name;
    const char *summary;  /* one line, imperative, no full stop */
    const char *operands; /* as in the usage line: "FILE|-"; "" for none */
    const char *details;  /* what a user must know */
    const char *examples; /* whole command lines, each with two blanks before it */
    enum operand operand;
    int operands_min, operands_max;                           /* -1: any number */
    const struct option_row *const groups[OPTION_GROUPS_MAX]; /* tables of options, up to the first NULL */
    int (*run)(struct cli *cli); /* returns an exit_code; standard output is flushed and checked after it */
};

/* One call of virtjob, as its subcommand sees it. */
struct cli {
    const struct command *const *commands; /* the table of main.c, ends with NULL */
    const struct command *command;
    struct options options;
    char *const *operands; /* ends with NULL */
    int operand_count;
};

/* Parses the command line and runs the subcommand; returns the exit code. */
int cli_main(const struct command *const *commands, int argc, char **argv);

/* NULL where there is none. */
const struct command *cli_find(const struct command *const *commands, const char *name);

/* Says "virtjob: <subcommand>: …" on standard error, in one line, control characters escaped; returns `code`. */
int cli_fail(const struct cli *cli, enum exit_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for an error, `what` (NULL: none) before it: its code chooses the exit code, and what to do is said. */
int cli_fail_error(const struct cli *cli, const char *what, const struct error *err);

/* The file of --config, or the default one where it is readable; NULL: none. */
const char *cli_config_path(const struct cli *cli);

/* Whether --json was given. */
bool cli_json(const struct cli *cli);

#endif
