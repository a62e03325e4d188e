/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A line is built on the stack and never longer than PIPE_BUF: written whole or not at all, never mixed with another
 * thread's or process's, and also without memory. What does not fit is cut, and the line says so. */

#include "log.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "utf8.h"

#define LINE_SIZE PIPE_BUF
#define RESERVE   16 /* for what closes a line that was cut */

/* `syslog` is the priority of sd-daemon(3). */
static const struct {
    const char *name;
    int syslog;
} levels[] = {
    [LOG_LEVEL_ERROR] = { "error", 3 },
    [LOG_LEVEL_WARNING] = { "warning", 4 },
    [LOG_LEVEL_INFO] = { "info", 6 },
    [LOG_LEVEL_DEBUG] = { "debug", 7 },
};

/* Written by log_init alone, before there are threads. */
static enum log_level log_threshold = LOG_LEVEL_INFO;
static bool log_json, log_to_journal;

struct line {
    char text[LINE_SIZE];
    size_t length;
    bool cut;
};

/* The journal names the stream it listens on; standard error may have been redirected since. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void log_init(enum log_level level, bool json)
{
    log_threshold = level;
    log_json = json;
    log_to_journal = stderr_is_journal();
}

int log_level_parse(const char *name, enum log_level *ret_level)
{
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(name, levels[i].name) == 0) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

bool log_enabled(enum log_level level)
{
    return level <= log_threshold;
}

/* All or nothing: half an escape must not be left behind. */
static void line_add(struct line *line, const char *text, size_t length)
{
    if (line->cut || line->length + length > sizeof(line->text) - RESERVE) {
        line->cut = true;
        return;
    }
    memcpy(line->text + line->length, text, length);
    line->length += length;
}

static void line_puts(struct line *line, const char *text)
{
    line_add(line, text, strlen(text));
}

/* What must be there even when the line was cut; RESERVE is enough for it. */
static void line_close(struct line *line, const char *text)
{
    size_t length = strlen(text);

    memcpy(line->text + line->length, text, length);
    line->length += length;
}

/* C0, DEL, and C1, which a terminal obeys too. */
static bool is_control(const unsigned char *text)
{
    return text[0] < 0x20 || text[0] == 0x7f || (text[0] == 0xc2 && text[1] < 0xa0);
}

static void line_add_escape(struct line *line, const unsigned char *text, size_t length)
{
    const char *found = strchr("\nn\tt\rr", text[0]);
    unsigned code = length == 2 ? text[1] : text[0];
    char escape[8];

    if (found && length == 1)
        line_add(line, (char[]){ '\\', found[1] }, 2);
    else if (log_json && length == 0)
        line_puts(line, "\xef\xbf\xbd"); /* U+FFFD: JSON has no way to show a stray byte */
    else
        line_add(line, escape,
                 (size_t)snprintf(escape, sizeof(escape), log_json ? "\\u%04x" : "\\x%02x", code));
}

/* With what a terminal, a reader of lines or of JSON could take for something else made visible. */
static void line_add_escaped(struct line *line, const char *value, bool quoted)
{
    for (const unsigned char *at = (const unsigned char *)value; *at;) {
        size_t length = utf8_length((const char *)at);
        if (length == 0 || is_control(at))
            line_add_escape(line, at, length);
        else if (quoted && (*at == '"' || *at == '\\'))
            line_add(line, (char[]){ '\\', (char)*at }, 2);
        else
            line_add(line, (const char *)at, length);
        at += length ? length : 1;
    }
}

static void line_add_quoted(struct line *line, const char *value)
{
    line_puts(line, "\"");
    line_add_escaped(line, value, true);
    line_close(line, "\"");
}

static void line_add_time(struct line *line)
{
    struct timespec now;
    struct tm tm;
    char text[64];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    line_add(line, text,
             (size_t)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", tm.tm_year + 1900,
                              tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                              now.tv_nsec / 1000000));
}

/* A pair is there as a whole or not at all, but for its value, which may be cut. */
static void line_add_json_pair(struct line *line, const char *key, const char *value)
{
    size_t start = line->length;

    line_puts(line, line->length > 1 ? ",\"" : "\"");
    line_add_escaped(line, key, true);
    line_puts(line, "\":");
    if (line->cut || line->length > sizeof(line->text) - 2 * RESERVE) {
        line->length = start;
        line->cut = true;
        return;
    }
    line_add_quoted(line, value);
}

static void line_build_json(struct line *line, enum log_level level, const char *area, const char *message,
                            va_list args)
{
    const char *key;

    line_puts(line, "{\"time\":\"");
    line_add_time(line);
    line_puts(line, "\"");
    line_add_json_pair(line, "level", levels[level].name);
    line_add_json_pair(line, "area", area);
    line_add_json_pair(line, "message", message);
    while (!line->cut && (key = va_arg(args, const char *))) {
        const char *value = va_arg(args, const char *);
        if (value)
            line_add_json_pair(line, key, value);
    }
    line_close(line, line->cut ? ",\"cut\":true}\n" : "}\n");
}

static void line_add_text_pair(struct line *line, const char *key, const char *value)
{
    line_puts(line, " ");
    line_add_escaped(line, key, false);
    line_puts(line, "=");
    if (*value && !strpbrk(value, " \"\\="))
        line_add_escaped(line, value, false);
    else if (!line->cut)
        line_add_quoted(line, value);
}

static void line_build_text(struct line *line, enum log_level level, const char *area, const char *message,
                            va_list args)
{
    char text[32];
    const char *key;

    if (log_to_journal) {
        line_add(line, text, (size_t)snprintf(text, sizeof(text), "<%d>", levels[level].syslog));
    } else {
        line_add_time(line);
        line_add(line, text, (size_t)snprintf(text, sizeof(text), " %-5s ", levels[level].name));
    }
    line_puts(line, area);
    line_puts(line, ": ");
    line_add_escaped(line, message, false);
    while (!line->cut && (key = va_arg(args, const char *))) {
        const char *value = va_arg(args, const char *);
        if (value)
            line_add_text_pair(line, key, value);
    }
    line_close(line, line->cut ? "...\n" : "\n");
}

static void log_line(enum log_level level, const char *area, const char *message, va_list args)
{
    int saved_errno = errno;
    struct line line;
    ssize_t done;

    line.length = 0;
    line.cut = false;
    if (log_json)
        line_build_json(&line, level, area, message, args);
    else
        line_build_text(&line, level, area, message, args);
    do
        done = write(STDERR_FILENO, line.text, line.length);
    while (done < 0 && errno == EINTR);
    errno = saved_errno;
}

#define LOG_FUNCTION(name, level)                                                                            \
    void name(const char *area, const char *message, ...)                                                    \
    {                                                                                                        \
        va_list args;                                                                                        \
                                                                                                             \
        if (!log_enabled(level))                                                                             \
            return;                                                                                          \
        va_start(args, message);                                                                             \
        log_line(level, area, message, args);                                                                \
        va_end(args);                                                                                        \
    }

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warning, LOG_LEVEL_WARNING)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
