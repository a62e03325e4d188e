/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Live lines are written over those that were there, and the rest of each line cleared: nothing flickers. */

#include "screen.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "text.h"

/* Columns on the terminal, control sequences (ours: ESC [ … m) not counted. */
static int screen_width(const char *line)
{
    char plain[4096];
    size_t used = 0;

    for (; *line && used + 1 < sizeof(plain); line++) {
        if (*line != '\033')
            plain[used++] = *line;
        else
            while (line[1] && *line != 'm')
                line++;
    }
    plain[used] = '\0';
    return text_width(plain);
}

/* A terminal that became narrower has broken the live lines into more. */
static int screen_rows(const struct screen *screen, int width)
{
    int rows = 0;

    for (size_t i = 0; i < screen->count; i++)
        rows += screen->drawn[i] > width ? (screen->drawn[i] + width - 1) / width : 1;
    return rows;
}

size_t screen_room(const struct terminal *terminal)
{
    size_t room = terminal->height > 2 ? (size_t)terminal->height - 2 : 1;

    return room < SCREEN_LINES_MAX ? room : SCREEN_LINES_MAX;
}

int screen_draw(struct screen *screen, const struct terminal *terminal, const char *said, char *const *lines,
                size_t count)
{
    AUTO(string) char *text = NULL;
    size_t size = 0;
    FILE *frame = open_memstream(&text, &size);
    int rows = screen_rows(screen, terminal->width);

    if (!frame)
        return -1;
    putc('\r', frame); /* the terminal may have echoed a "^C" */
    if (rows)
        fprintf(frame, "\033[%dA", rows);
    if (*said) /* cleared first: after a line as wide as the terminal, ESC [ K would take its last character */
        fprintf(frame, "\033[J%s", said);
    for (size_t i = 0; i < count; i++) {
        fprintf(frame, "%s\033[K\n", lines[i]);
        screen->drawn[i] = screen_width(lines[i]);
    }
    fputs("\033[J", frame);
    screen->count = count;
    if (fclose(frame) != 0)
        return -1;
    return fwrite(text, 1, size, screen->out) == size && fflush(screen->out) == 0 ? 0 : -1;
}
