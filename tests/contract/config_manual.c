/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* config_manual virtjobd.conf.5 virtjobd.conf.example: every option stands in both under its section, in the order of
 * the table and with its default; neither has one that is not in the table; the example can be loaded. */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#define HOST_KEYS 4 /* of [host NAME], which are in no table of options: uri, peer_uri, migrate_uri, serve */

static int faults;

static void fault(const char *path, const struct config_option *option, const char *what)
{
    fprintf(stderr, "%s: [%s] %s: %s\n", path, option->section, option->key, what);
    faults++;
}

/* Behind a newline, so that every line has one on both sides. */
static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 20);

    if (!file || !text || fread(text + 1, 1, (1 << 20) - 2, file) == 0) {
        perror(path);
        exit(1);
    }
    fclose(file);
    text[0] = '\n';
    return text;
}

/* The text's `\e` is a backslash. */
static void unescape(char *text)
{
    for (char *at = text; (at = strstr(at, "\\e")); at++)
        memmove(at + 1, at + 2, strlen(at + 2) + 1);
}

/* Where the text has `line` as a whole line at or after `from`. */
static char *find_line(char *from, const char *line)
{
    size_t length = strlen(line);

    for (char *at = from; (at = strstr(at, line)); at++)
        if (at[-1] == '\n' && at[length] == '\n')
            return at;
    return NULL;
}

static int count_options(void)
{
    int count = 0;

    while (config_option((size_t)count))
        count++;
    return count;
}

/* How many lines begin so and are followed by a letter. */
static int count_lines(const char *text, const char *start)
{
    int count = 0;

    for (const char *at = text; (at = strstr(at, start)); at++)
        if (at[-1] == '\n' && at[strlen(start)] >= 'a' && at[strlen(start)] <= 'z')
            count++;
    return count;
}

/* Searches on from *at, which moves: so the order counts as well. */
static void expect(const char *path, char **at, const struct config_option *option, const char *line)
{
    char *found = find_line(*at, line);

    if (found)
        *at = found;
    else
        fault(path, option, line);
}

static void check_manual(const char *path)
{
    char *text = read_file(path), *at = text, line[512];
    const struct config_option *option;
    const char *section = "";

    unescape(text);
    for (size_t i = 0; (option = config_option(i)); i++) {
        snprintf(line, sizeof(line), ".Ss [%s]", option->section);
        if (strcmp(section, option->section) != 0)
            expect(path, &at, option, line);
        section = option->section;
        bool apart = option->value_default && strlen(option->value_default) > 60; /* in a line of its own */
        if (option->value_default && !apart)
            snprintf(line, sizeof(line), ".It Cm %s = %s", option->key, option->value_default);
        else
            snprintf(line, sizeof(line), ".It Cm %s", option->key);
        expect(path, &at, option, line);
        snprintf(line, sizeof(line), ".Dl %s", apart ? option->value_default : "");
        if (apart)
            expect(path, &at, option, line);
    }
    if (count_lines(text, ".It Cm ") != count_options() + HOST_KEYS) {
        fprintf(stderr, "%s: has %d keys, the table %d\n", path, count_lines(text, ".It Cm "),
                count_options());
        faults++;
    }
    free(text);
}

static void check_example(const char *path)
{
    char *text = read_file(path), *at = text, line[512];
    const struct config_option *option;
    const char *section = "";

    for (size_t i = 0; (option = config_option(i)); i++) {
        snprintf(line, sizeof(line), "[%s]", option->section);
        if (strcmp(section, option->section) != 0)
            expect(path, &at, option, line);
        section = option->section;
        snprintf(line, sizeof(line), "#%s = %s", option->key,
                 option->value_default ? option->value_default : "");
        if (option->value_default) {
            expect(path, &at, option, line);
            continue;
        }
        snprintf(line, sizeof(line), "\n##%s = ", option->key);
        if (!strstr(at, line))
            fault(path, option, "is not there");
    }
    if (count_lines(text, "#") + count_lines(text, "##") != count_options()) {
        fprintf(stderr, "%s: has %d keys, the table %d\n", path,
                count_lines(text, "#") + count_lines(text, "##"), count_options());
        faults++;
    }
    free(text);
}

static void check_loads(const char *path)
{
    struct error err = ERROR_INIT;
    struct config *config = config_load(path, NULL, 0, &err);

    if (!config || config_check_daemon(config, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        faults++;
    }
    config_free(config);
}

/* Every default lies in its own range: as it is written it can be set. */
static void check_defaults(void)
{
    const struct config_option *option;
    struct error err = ERROR_INIT;
    char set[512], *sets[] = { set };

    for (size_t i = 0; (option = config_option(i)); i++) {
        struct config *config;
        snprintf(set, sizeof(set), "%s.%s=%s", option->section, option->key,
                 option->value_default ? option->value_default : "");
        if (!option->help || strlen(option->help) < 10)
            fault("table", option, "has no help");
        /* Empty, the name would again be the host name. */
        if (strcmp(option->section, "worker") == 0 && !option->value_default)
            continue;
        if (!(config = config_load(NULL, sets, 1, &err)))
            fault("table", option, err.message);
        config_free(config);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "Usage: config_manual MANUAL EXAMPLE\n");
        return 2;
    }
    clearenv();
    check_defaults();
    check_manual(argv[1]);
    check_example(argv[2]);
    check_loads(argv[2]);
    return faults ? 1 : 0;
}
