/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Turns tables of rows into getopt_long's own, and its silence into words. */

#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option_row options_common[] = {
    { "json", 'j', NULL, COMPLETE_NOTHING, "Machine output: JSON lines on standard output." },
    { "verbose", 'v', NULL, COMPLETE_NOTHING, "Log on standard error what virtjob does." },
    { "help", 'h', NULL, COMPLETE_NOTHING, "Show this help." },
    { 0 },
};

const struct option_row options_broker[] = {
    { "broker", 'b', "URI", COMPLETE_NOTHING, "The broker, as amqps://user@broker.example/vhost." },
    { "config", 'c', "FILE", COMPLETE_FILE,
      "Read [broker] of this file; default:\n/etc/virtjob/virtjobd.conf where it is readable." },
    { "prefix", 0, "NAME", COMPLETE_NOTHING, "The prefix of exchanges and queues." },
    { 0 },
};

/* getopt_long's tables; long option i has the value OPTION_BASE + i. */
#define OPTION_BASE 256

struct getopt_tables {
    struct option longs[OPTIONS_MAX + 1];
    char shorts[2 * OPTIONS_MAX + 3];
};

static void options_add(struct options *options, struct getopt_tables *tables, const struct option_row *row)
{
    int i = options->count;
    size_t used = strlen(tables->shorts);

    if (i == OPTIONS_MAX)
        abort();
    options->rows[i] = row;
    tables->longs[i] =
        (struct option){ row->name, row->value ? required_argument : no_argument, NULL, OPTION_BASE + i };
    if (row->letter)
        snprintf(tables->shorts + used, sizeof(tables->shorts) - used, "%c%s", row->letter,
                 row->value ? ":" : "");
    options->count++;
}

static void options_collect(struct options *options, struct getopt_tables *tables,
                            const struct option_row *const *groups)
{
    memset(options, 0, sizeof(*options));
    memset(tables, 0, sizeof(*tables));
    strcpy(tables->shorts, ":");
    for (; *groups; groups++)
        for (const struct option_row *row = *groups; row->name; row++)
            options_add(options, tables, row);
}

static int options_index(const struct options *options, const char *name, int letter)
{
    for (int i = 0; i < options->count; i++)
        if (name ? strcmp(options->rows[i]->name, name) == 0 : options->rows[i]->letter == letter)
            return i;
    return -1;
}

/* getopt_long tells little: a letter in optopt, or the word that it stopped at. */
static int options_refuse(const struct options *options, int what, char *const *argv, struct error *err)
{
    const char *word = argv[optind - 1];

    if (what == ':')
        return error_set(err, ERROR_INVALID, "option '%s' needs a value", word);
    if (optopt >= OPTION_BASE)
        return error_set(err, ERROR_INVALID, "option '--%s' takes no value",
                         options->rows[optopt - OPTION_BASE]->name);
    if (optopt)
        return error_set(err, ERROR_INVALID, "no such option: -%c", optopt);
    return error_set(err, ERROR_INVALID, "no such option: %s", word);
}

int options_parse(struct options *options, const struct option_row *const *groups, int argc, char **argv,
                  int *ret_first, struct error *err)
{
    struct getopt_tables tables;
    int found;

    options_collect(options, &tables, groups);
    opterr = 0;
    optind = 0; /* glibc: starts afresh */
    while ((found = getopt_long(argc, argv, tables.shorts, tables.longs, NULL)) != -1) {
        if (found == '?' || found == ':')
            return options_refuse(options, found, argv, err);
        int i = found >= OPTION_BASE ? found - OPTION_BASE : options_index(options, NULL, found);
        options->values[i] = optarg ? optarg : "";
        if (options->given_count == OPTIONS_GIVEN_MAX)
            return error_set(err, ERROR_INVALID, "more than %d options", OPTIONS_GIVEN_MAX);
        options->given[options->given_count].row = i;
        options->given[options->given_count++].value = options->values[i];
    }
    *ret_first = optind;
    return 0;
}

bool options_given(const struct options *options, const char *name)
{
    return options_text(options, name, NULL) != NULL;
}

const char *options_text(const struct options *options, const char *name, const char *fallback)
{
    int i = options_index(options, name, 0);

    if (i < 0)
        abort(); /* a name that is in no table of the subcommand */
    return options->values[i] ? options->values[i] : fallback;
}

const char *options_next(const struct options *options, const char *name, int *at)
{
    int row = options_index(options, name, 0);

    while (*at < options->given_count) {
        int i = (*at)++;
        if (options->given[i].row == row)
            return options->given[i].value;
    }
    return NULL;
}

static int options_unit_ms(const char *unit, int64_t *ret_ms)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = { { "ms", 1 },    { "s", 1000 },    { "", 1000 },
                  { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(units[i].name, unit) != 0)
            continue;
        *ret_ms = units[i].ms;
        return 0;
    }
    return -1;
}

int options_parse_duration(const char *text, int64_t *ret_ms)
{
    char *end;
    int64_t unit;

    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *text < '0' || *text > '9' || number > 36500LL * 86400000LL)
        return -1;
    if (options_unit_ms(end, &unit) < 0 || number > INT64_MAX / 2 / unit)
        return -1;
    *ret_ms = number * unit;
    return 0;
}

int options_duration(const struct options *options, const char *name, int64_t *ret_ms, struct error *err)
{
    const char *text = options_text(options, name, NULL);

    if (text && options_parse_duration(text, ret_ms) < 0)
        return error_set(err, ERROR_INVALID, "--%s: '%s' is no duration; write 1500ms, 30s, 90m, 2h or 1d",
                         name, text);
    if (text && *ret_ms == 0)
        return error_set(err, ERROR_INVALID, "--%s: it must be more than 0", name);
    return 0;
}
