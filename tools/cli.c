/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* From the command line to the subcommand, and how it fails. */

#include "cli.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "help.h"
#include "log.h"
#include "terminal.h"
#include "text.h"

#define CONFIG_DEFAULT "/etc/virtjob/virtjobd.conf"

const struct exit_row exit_table[] = {
    { EXIT_SUCCEEDED, "Done; every job that was waited for succeeded, or is cancelled as\n"
                      "ordered." },
    { EXIT_FAILED, "A job ended in another way, or its outcome did not come in the time\n"
                   "given; or no queue took it; or a dead message had to stay, or is not\n"
                   "there; or something of unfinished jobs is left." },
    { EXIT_USAGE, "Wrong usage, or a job file that is not valid: nothing was sent." },
    { EXIT_NO_BROKER, "The broker could not be reached, refused, or did not confirm a message." },
    { EXIT_INTERRUPTED, "Interrupted (Ctrl-C) while waiting: what was sent stands." },
    { 0, NULL },
};

const struct command *cli_find(const struct command *const *commands, const char *name)
{
    for (; *commands; commands++)
        if (strcmp((*commands)->name, name) == 0)
            return *commands;
    return NULL;
}

int cli_fail(const struct cli *cli, enum exit_code code, const char *fmt, ...)
{
    char message[2048], shown[4096];
    va_list args;

    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    fprintf(stderr, "virtjob: %s%s%s\n", cli->command ? cli->command->name : "", cli->command ? ": " : "",
            text_escape(terminal_is_unicode(), message, shown, sizeof(shown)));
    return code;
}

static enum exit_code cli_code_of(const struct error *err)
{
    switch (err->code) {
    case ERROR_INVALID:
    case ERROR_TOO_LARGE:
    case ERROR_UNKNOWN_TYPE:
        return EXIT_USAGE;
    case ERROR_BROKER:
        return EXIT_NO_BROKER;
    default:
        return EXIT_FAILED;
    }
}

int cli_fail_error(const struct cli *cli, const char *what, const struct error *err)
{
    const char *where = err->has_where && *err->where ? err->where : NULL;

    return cli_fail(cli, cli_code_of(err), "%s%s%s%s%s", what ? what : "", what ? ": " : "",
                    where ? where : "", where ? ": " : "", err->message);
}

const char *cli_config_path(const struct cli *cli)
{
    return options_text(&cli->options, "config", access(CONFIG_DEFAULT, R_OK) == 0 ? CONFIG_DEFAULT : NULL);
}

bool cli_json(const struct cli *cli)
{
    return options_given(&cli->options, "json");
}

static int cli_unknown(const struct cli *cli, const char *name)
{
    const struct command *nearest = NULL;

    for (const struct command *const *each = cli->commands; *each; each++) {
        bool closer = !nearest || text_distance(name, (*each)->name) < text_distance(name, nearest->name);
        if (text_is_near(name, (*each)->name) && closer)
            nearest = *each;
    }
    if (nearest)
        return cli_fail(cli, EXIT_USAGE, "no subcommand '%s'; did you mean '%s'?", name, nearest->name);
    return cli_fail(cli, EXIT_USAGE, "no subcommand '%s'; 'virtjob --help' lists them", name);
}

static int cli_check_operands(const struct cli *cli)
{
    const struct command *command = cli->command;
    bool few = cli->operand_count < command->operands_min;
    bool many = command->operands_max >= 0 && cli->operand_count > command->operands_max;

    if (few)
        return cli_fail(cli, EXIT_USAGE, "%s is missing; 'virtjob help %s' shows an example",
                        command->operands, command->name);
    if (many)
        return cli_fail(cli, EXIT_USAGE, "one too many: '%s'; 'virtjob help %s' shows an example",
                        cli->operands[command->operands_max], command->name);
    return 0;
}

/* argv[0] is the subcommand's name. */
static int cli_run(struct cli *cli, int argc, char **argv)
{
    struct error err = ERROR_INIT;
    int first, code;

    if (options_parse(&cli->options, cli->command->groups, argc, argv, &first, &err) < 0)
        return cli_fail(cli, EXIT_USAGE, "%s; 'virtjob help %s' lists the options", err.message,
                        cli->command->name);
    if (options_given(&cli->options, "help")) {
        help_command(stdout, cli->command);
        return EXIT_SUCCEEDED;
    }
    cli->operands = argv + first;
    cli->operand_count = argc - first;
    if ((code = cli_check_operands(cli)) != 0)
        return code;
    log_init(options_given(&cli->options, "verbose") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, false);
    code = cli->command->run(cli);
    if (code == EXIT_SUCCEEDED && fflush(stdout) != 0)
        return cli_fail(cli, EXIT_FAILED, "cannot write to standard output");
    return code;
}

int cli_main(const struct command *const *commands, int argc, char **argv)
{
    struct cli cli = { .commands = commands };
    const char *name = argc > 1 ? argv[1] : NULL;

    setlocale(LC_CTYPE, "");
    if (!name) {
        help_overview(stderr, commands);
        return EXIT_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        help_overview(stdout, commands);
        return EXIT_SUCCEEDED;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        puts("virtjob " VIRTJOB_VERSION);
        return EXIT_SUCCEEDED;
    }
    cli.command = cli_find(commands, name);
    return cli.command ? cli_run(&cli, argc - 1, argv + 1) : cli_unknown(&cli, name);
}
