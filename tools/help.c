/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* `virtjob help`: what the tables say, laid out for a person. */

#include "help.h"

#include <string.h>

#include "cleanup.h"
#include "commands.h"

/* What to do about each error; a row that is missing here is found by tests/contract/cli-manual. */
static const char *const hints[ERROR_LAST] = {
    [ERROR_INVALID] =
        "Correct the job: 'virtjob schema TYPE' prints the rules, 'virtjob new TYPE' an example.",
    [ERROR_TOO_LARGE] = "Send less, or raise max_body in virtjobd.conf.",
    [ERROR_UNKNOWN_TYPE] = "'virtjob types' lists what there is; an older worker may know less.",
    [ERROR_UNKNOWN_HOST] = "Use a host name that the worker has in its virtjobd.conf.",
    [ERROR_UNSUPPORTED] = "Choose another method, format, pool or host; the message names what is lacking.",
    [ERROR_NOT_FOUND] = "Check the name, and the host: guest.list and volume.list show what is there.",
    [ERROR_CONFLICT] = "Choose another name, or look at and remove what has it.",
    [ERROR_NO_SPACE] = "Make room in the pool, or choose another one.",
    [ERROR_BUSY] = "Try again later.",
    [ERROR_TIMEOUT] = "Look at the guest; give it more time, or use force where the type has it.",
    [ERROR_STALLED] = "Give the migration more: bandwidth, downtime, or post-copy among its actions.",
    [ERROR_DENIED] = "Check the permissions of the worker on the host and its storage.",
    [ERROR_HOST_UNAVAILABLE] = "Check that libvirtd runs there and the worker reaches it; nothing was begun.",
    [ERROR_CONNECTION_LOST] = "Look at what was made before trying again: the host may have gone on alone.",
    [ERROR_BROKER] = "Check the broker, its address and the login.",
    [ERROR_GUEST_AGENT] = "Start qemu-guest-agent in the guest, or use a method that needs none.",
    [ERROR_LIBVIRT] = "libvirt's own words say why; the log of libvirtd on the host says more.",
    [ERROR_CANCELLED] = "Nothing: it was asked for. With another id, it can be submitted again.",
    [ERROR_EXPIRED] = "Submit it again with a later deadline.",
    [ERROR_INTERRUPTED] = "Look whether it was done; \"retry_uncertain\": true does it again.",
    [ERROR_CRASHED] = "Look at the log of virtjobd; 'virtjob dead' has the job: show, requeue --new-id.",
    [ERROR_INTERNAL] = "Look at the log of virtjobd, and report it.",
};

const char *help_hint(const char *code)
{
    for (int i = ERROR_NONE + 1; i < ERROR_LAST; i++)
        if (strcmp(error_name(i), code) == 0)
            return hints[i];
    return NULL;
}

/* Lines of `text`, the second and further ones at column `indent`. */
static void help_hanging(FILE *out, const char *text, int indent)
{
    for (; *text; text++) {
        putc(*text, out);
        if (*text == '\n')
            fprintf(out, "%*s", indent, "");
    }
    putc('\n', out);
}

static void help_exit(FILE *out)
{
    for (const struct exit_row *row = exit_table; row->text; row++) {
        fprintf(out, "  %3d  ", row->code);
        help_hanging(out, row->text, 7);
    }
}

static int help_print_line(json_t *line)
{
    AUTO(json) json_t *owned = line;

    return !owned || json_dumpf(owned, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) < 0 || putchar('\n') == EOF
               ? -1
               : 0;
}

static int help_exit_json(void)
{
    for (const struct exit_row *row = exit_table; row->text; row++)
        if (help_print_line(json_pack("{si ss}", "code", row->code, "text", row->text)) < 0)
            return EXIT_FAILED;
    return EXIT_SUCCEEDED;
}

static json_t *help_options_json(const struct command *command)
{
    json_t *options = json_array();

    for (int i = 0; command->groups[i]; i++)
        for (const struct option_row *row = command->groups[i]; row->name; row++) {
            char letter[2] = { row->letter, '\0' };
            json_array_append_new(options, json_pack("{ss ss* ss* ss}", "name", row->name, "letter",
                                                     row->letter ? letter : NULL, "value", row->value, "help",
                                                     row->help));
        }
    return options;
}

/* One line a subcommand. */
static int help_commands_json(const struct command *const *commands, const struct command *only)
{
    for (; *commands; commands++) {
        const struct command *each = *commands;
        if (only && each != only)
            continue;
        if (help_print_line(json_pack("{ss ss ss ss ss so}", "name", each->name, "summary", each->summary,
                                      "operands", each->operands, "details", each->details, "examples",
                                      each->examples, "options", help_options_json(each))) < 0)
            return EXIT_FAILED;
    }
    return EXIT_SUCCEEDED;
}

void help_overview(FILE *out, const struct command *const *commands)
{
    fputs("Usage: virtjob SUBCOMMAND [OPTION...] [OPERAND...]\n"
          "\n"
          "Submits jobs to virtjobd, watches them, and runs one without any broker.\n"
          "\n",
          out);
    for (; *commands; commands++)
        fprintf(out, "  %-12s%s\n", (*commands)->name, (*commands)->summary);
    fputs("\n"
          "  virtjob help SUBCOMMAND   its options and examples\n"
          "  virtjob help errors       the codes of failed jobs, and what to do\n"
          "  virtjob help exit         the exit codes\n"
          "  virtjob --version\n"
          "\n"
          "Exit codes:\n",
          out);
    help_exit(out);
}

static void help_option(FILE *out, const struct option_row *row)
{
    char letter[8] = "", left[64];

    if (row->letter)
        snprintf(letter, sizeof(letter), "-%c, ", row->letter);
    snprintf(left, sizeof(left), "%4s--%s%s%s", letter, row->name, row->value ? " " : "",
             row->value ? row->value : "");
    fprintf(out, "  %-26s", left);
    help_hanging(out, row->help, 28);
}

static const char *help_group(const struct option_row *group)
{
    return group == options_broker ? "Broker" : group == options_common ? "Common options" : "Options";
}

void help_command(FILE *out, const struct command *command)
{
    fprintf(out, "Usage: virtjob %s [OPTION...]%s%s\n\n%s.\n\n%s\n", command->name,
            *command->operands ? " " : "", command->operands, command->summary, command->details);
    for (int i = 0; command->groups[i]; i++) {
        fprintf(out, "\n%s:\n", help_group(command->groups[i]));
        for (const struct option_row *row = command->groups[i]; row->name; row++)
            help_option(out, row);
    }
    fputs("\nExit codes:\n", out);
    help_exit(out);
    fprintf(out, "\nExamples:\n%s", command->examples);
}

static int help_errors(const struct cli *cli)
{
    for (int i = ERROR_NONE + 1; i < ERROR_LAST; i++) {
        struct error err = { .code = i };
        if (!cli_json(cli)) {
            printf("%s%s\n    %s\n    %s\n", error_name(i), error_is_transient(&err) ? " (may pass)" : "",
                   error_text(i), hints[i]);
            continue;
        }
        if (help_print_line(json_pack("{ss ss ss sb}", "code", error_name(i), "text", error_text(i), "hint",
                                      hints[i], "transient", error_is_transient(&err))) < 0)
            return EXIT_FAILED;
    }
    return EXIT_SUCCEEDED;
}

static int help_run(struct cli *cli)
{
    const char *topic = cli->operand_count ? cli->operands[0] : NULL;
    const struct command *command = topic ? cli_find(cli->commands, topic) : NULL;

    if (topic && strcmp(topic, "errors") == 0)
        return help_errors(cli);
    if (cli_json(cli) && topic && strcmp(topic, "exit") == 0)
        return help_exit_json();
    if (cli_json(cli) && (!topic || command))
        return help_commands_json(cli->commands, command);
    if (!topic)
        help_overview(stdout, cli->commands);
    else if (strcmp(topic, "exit") == 0)
        help_exit(stdout);
    else if (command)
        help_command(stdout, command);
    else
        return cli_fail(cli, EXIT_USAGE, "no help on '%s'; 'virtjob help' lists the subcommands", topic);
    return EXIT_SUCCEEDED;
}

const struct command command_help = {
    .name = "help",
    .summary = "Explain a subcommand, the error codes or the exit codes",
    .operands = "[SUBCOMMAND|errors|exit]",
    .details = "The error codes are those of `error.code` in the outcome of a failed job.",
    .examples = "  virtjob help submit\n"
                "  virtjob help errors\n",
    .operand = OPERAND_TOPIC,
    .operands_max = 1,
    .groups = { options_common },
    .run = help_run,
};
