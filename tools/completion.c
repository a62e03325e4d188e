/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* `virtjob completion`: a script for a shell, made from the tables of subcommands, options and job types. */

#include <stdio.h>
#include <string.h>

#include "catalog.h"
#include "commands.h"
#include "schemas.h"

/* Calls `each` for every option of the subcommand. */
static void options_each(const struct command *command, void (*each)(const struct option_row *row))
{
    for (int i = 0; command->groups[i]; i++)
        for (const struct option_row *row = command->groups[i]; row->name; row++)
            each(row);
}

static void put_types(void)
{
    const struct job_type *type;

    for (size_t i = 0; (type = catalog_type(i)); i++)
        printf(" %s", type->name);
}

/* Every embedded document by its name without the ending. */
static void put_schemas(void)
{
    struct schemas_file file;

    for (size_t i = 0; schemas_file(i, &file) == 0; i++)
        printf(" %.*s", (int)(strrchr(file.name, '.') - file.name), file.name);
}

static void put_commands(const struct cli *cli)
{
    for (const struct command *const *each = cli->commands; *each; each++)
        printf(" %s", (*each)->name);
}

/* Of "list|show [ID...]" list and show. */
static void put_words(const char *operands)
{
    putchar(' ');
    for (; *operands && *operands != ' '; operands++)
        putchar(*operands == '|' ? ' ' : *operands);
}

/* The words that an operand can be; files are the shell's own. */
static void put_operands(const struct cli *cli, const struct command *command)
{
    switch (command->operand) {
    case OPERAND_TYPE:
        put_types();
        break;
    case OPERAND_SCHEMA:
        put_schemas();
        break;
    case OPERAND_TOPIC:
        put_commands(cli);
        fputs(" errors exit", stdout);
        break;
    case OPERAND_WORDS:
        put_words(command->operands);
        break;
    case OPERAND_NONE:
    case OPERAND_FILE:
    case OPERAND_JOB:
        break;
    }
}

static void bash_option(const struct option_row *row)
{
    printf(" --%s", row->name);
    if (row->letter)
        printf(" -%c", row->letter);
}

static void bash_value(const struct option_row *row)
{
    if (!row->value)
        return;
    printf("            --%s", row->name);
    if (row->letter)
        printf("|-%c", row->letter);
    printf(") %s; return ;;\n",
           row->complete == COMPLETE_FILE ? "COMPREPLY=($(compgen -f -- \"$word\"))" : "COMPREPLY=()");
}

static void bash_command(const struct cli *cli, const struct command *command)
{
    printf("    %s)\n        case ${COMP_WORDS[COMP_CWORD-1]} in\n", command->name);
    options_each(command, bash_value);
    fputs("        esac\n        words='", stdout);
    options_each(command, bash_option);
    put_operands(cli, command);
    printf("'\n        files=%d ;;\n", command->operand == OPERAND_FILE);
}

static void completion_bash(const struct cli *cli)
{
    fputs("# bash completion for virtjob\n_virtjob()\n{\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} words files=0\n"
          "    case $((COMP_CWORD > 1)):${COMP_WORDS[1]} in\n"
          "    0:*) words='--help --version",
          stdout);
    put_commands(cli);
    fputs("'; COMPREPLY=($(compgen -W \"$words\" -- \"$word\")); return ;;\n    esac\n"
          "    case ${COMP_WORDS[1]} in\n",
          stdout);
    for (const struct command *const *each = cli->commands; *each; each++)
        bash_command(cli, *each);
    fputs("    esac\n"
          "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
          "    if ((files)) && [[ $word != -* ]]; then COMPREPLY+=($(compgen -f -- \"$word\")); fi\n"
          "}\ncomplete -o filenames -F _virtjob virtjob\n",
          stdout);
}

/* Text in single quotes for zsh and fish, line breaks as blanks; brackets and colons mean something to _arguments. */
static void put_quoted(const char *text, const char *special)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr(special, *text))
            printf("\\%c", *text);
        else
            putchar(*text == '\n' ? ' ' : *text);
    }
}

static void zsh_option(const struct option_row *row)
{
    if (row->letter)
        printf("                '(-%c --%s)'{-%c,--%s}'[", row->letter, row->name, row->letter, row->name);
    else
        printf("                '--%s[", row->name);
    put_quoted(row->help, "[]:\\");
    if (row->value)
        printf("]:%s:%s' \\\n", row->value, row->complete == COMPLETE_FILE ? "_files" : "");
    else
        fputs("]' \\\n", stdout);
}

static void zsh_command(const struct cli *cli, const struct command *command)
{
    printf("    %s)\n        _arguments \\\n", command->name);
    options_each(command, zsh_option);
    if (command->operand == OPERAND_FILE) {
        fputs("                '*:file:_files'", stdout);
    } else {
        fputs("                '*:operand:(", stdout);
        put_operands(cli, command);
        fputs(")'", stdout);
    }
    fputs(" ;;\n", stdout);
}

static void completion_zsh(const struct cli *cli)
{
    fputs("#compdef virtjob\n"
          "if ((CURRENT == 2)); then\n    local -a subcommands=(\n",
          stdout);
    for (const struct command *const *each = cli->commands; *each; each++) {
        printf("        '%s:", (*each)->name);
        put_quoted((*each)->summary, ":\\");
        fputs("'\n", stdout);
    }
    fputs("    )\n    _describe subcommand subcommands\n    return\nfi\n"
          "shift words\n((CURRENT--))\ncase $words[1] in\n",
          stdout);
    for (const struct command *const *each = cli->commands; *each; each++)
        zsh_command(cli, *each);
    fputs("esac\n", stdout);
}

static void fish_condition(const struct command *command)
{
    printf("complete -c virtjob -n '__fish_seen_subcommand_from %s'", command->name);
}

static void fish_command(const struct cli *cli, const struct command *command)
{
    printf("complete -c virtjob -f -n __fish_use_subcommand -a %s -d '", command->name);
    put_quoted(command->summary, "\\");
    fputs("'\n", stdout);
    for (int i = 0; command->groups[i]; i++)
        for (const struct option_row *row = command->groups[i]; row->name; row++) {
            fish_condition(command);
            printf(" -l %s", row->name);
            if (row->letter)
                printf(" -s %c", row->letter);
            fputs(!row->value ? "" : row->complete == COMPLETE_FILE ? " -r -F" : " -x", stdout);
            fputs(" -d '", stdout);
            put_quoted(row->help, "\\");
            fputs("'\n", stdout);
        }
    fish_condition(command);
    if (command->operand == OPERAND_FILE) {
        fputs(" -F\n", stdout);
        return;
    }
    fputs(" -f -a '", stdout);
    put_operands(cli, command);
    fputs("'\n", stdout);
}

static void completion_fish(const struct cli *cli)
{
    fputs("# fish completion for virtjob\n", stdout);
    for (const struct command *const *each = cli->commands; *each; each++)
        fish_command(cli, *each);
}

static int completion_run(struct cli *cli)
{
    static const struct {
        const char *name;
        void (*print)(const struct cli *cli);
    } shells[] = { { "bash", completion_bash }, { "zsh", completion_zsh }, { "fish", completion_fish } };

    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        if (strcmp(shells[i].name, cli->operands[0]) != 0)
            continue;
        shells[i].print(cli);
        return EXIT_SUCCEEDED;
    }
    return cli_fail(cli, EXIT_USAGE, "no completion for '%s'; there is bash, zsh and fish", cli->operands[0]);
}

const struct command command_completion = {
    .name = "completion",
    .summary = "Print a completion script for a shell",
    .operands = "bash|zsh|fish",
    .details = "Subcommands, options, job types and files, as this version has them.",
    .examples = "  source <(virtjob completion bash)\n"
                "  virtjob completion fish >~/.config/fish/completions/virtjob.fish\n",
    .operand = OPERAND_WORDS,
    .operands_min = 1,
    .operands_max = 1,
    .groups = { options_common },
    .run = completion_run,
};
