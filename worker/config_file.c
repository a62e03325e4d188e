/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The file: libinih splits its lines. What that would do silently is done by the reader here: it refuses lines that
 * are too long, counts them, and keeps the whole name of the section. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <ini.h>

#include "cleanup.h"
#include "config_internal.h"

#define LINE_SIZE 4096

CLEANUP_DEFINE(file, FILE *, fclose)

static int loader_begin_section(struct config_loader *loader, const char *name, size_t length)
{
    if (length >= sizeof(loader->section))
        return config_loader_fail(loader, "the name of the section is too long");
    memcpy(loader->section, name, length);
    loader->section[length] = '\0';
    if (strncmp(loader->section, "host ", 5) != 0)
        return config_section_is_known(loader->section) ? 0
                                                        : config_loader_fail_section(loader, loader->section);
    if (config_host_find(loader->config, loader->section + 5))
        return config_loader_fail(loader, "there is a [%s] already", loader->section);
    return config_loader_add_host(loader, loader->section + 5) ? 0 : -1;
}

/* Looks for the beginning of a section. */
static int loader_look_at(struct config_loader *loader, const char *line)
{
    const char *end;

    if (loader->line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
        line += 3;
    line += strspn(line, " \t");
    if (*line != '[')
        return 0;
    if (!(end = strchr(line, ']')))
        return config_loader_fail(loader, "the name of the section has no end");
    if (end[1 + strspn(end + 1, " \t\r\n")])
        return config_loader_fail(loader,
                                  "there is something behind the section; a comment is a line of its own");
    return loader_begin_section(loader, line + 1, (size_t)(end - line - 1));
}

/* As fgets, for ini_parse_stream; NULL also ends a file that is wrong. */
static char *loader_read_line(char *buffer, int size, void *opaque)
{
    struct config_loader *loader = opaque;
    size_t length = 0;
    int byte;

    loader->line++;
    snprintf(loader->where, sizeof(loader->where), "%.400s:%u", loader->path, loader->line);
    while ((byte = getc(loader->file)) != EOF && byte != '\n') {
        if (length == (size_t)size - 2)
            config_loader_fail(loader, "the line is longer than %zu bytes", length);
        if (byte == '\0')
            config_loader_fail(loader, "the line has a NUL byte");
        if (loader->failed)
            return NULL;
        buffer[length++] = (char)byte;
    }
    if (ferror(loader->file))
        config_loader_fail(loader, "cannot read on: %s", strerror(errno));
    if (loader->failed || (byte == EOF && length == 0))
        return NULL;
    strcpy(buffer + length, "\n");
    return loader_look_at(loader, buffer) < 0 ? NULL : buffer;
}

static int loader_take_key(void *opaque, const char *cut_section, const char *key, const char *value)
{
    struct config_loader *loader = opaque;

    (void)cut_section;
    return !loader->failed && config_loader_set(loader, loader->section, key, value) == 0;
}

static int loader_check_hosts(struct config_loader *loader)
{
    snprintf(loader->where, sizeof(loader->where), "%.400s", loader->path);
    for (size_t i = 0; i < loader->config->host_count; i++)
        if (!loader->config->hosts[i].uri)
            return config_loader_fail(loader, "[host %s] has no uri", loader->config->hosts[i].name);
    return 0;
}

int config_file_load(struct config_loader *loader, const char *path)
{
    AUTO(file) FILE *file = fopen(path, "re");
    int line;

    snprintf(loader->where, sizeof(loader->where), "%.400s", path);
    if (!file)
        return config_loader_fail(loader, "cannot be read: %s", strerror(errno));
    loader->file = file;
    loader->path = path;
    ini_use_stack = false;
    ini_max_line = ini_initial_alloc = LINE_SIZE;
    ini_allow_multiline = false;
    ini_allow_inline_comments = false;
    line = ini_parse_stream(loader_read_line, loader, loader_take_key, loader);
    if (line < 0 && !loader->failed)
        config_loader_fail_memory(loader);
    snprintf(loader->where, sizeof(loader->where), "%.400s:%d", path, line);
    if (line > 0)
        config_loader_fail(loader, "is neither `[section]`, `key = value` nor a comment");
    if (!loader->failed)
        loader_check_hosts(loader);
    loader->file = NULL;
    return loader->failed ? -1 : 0;
}
