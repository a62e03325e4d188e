/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Standard output as a terminal: lines that scroll up, and below them lines that are drawn again and again. */

#ifndef VIRTJOB_SCREEN_H
#define VIRTJOB_SCREEN_H

#include <stddef.h>
#include <stdio.h>

#include "terminal.h"

#define SCREEN_LINES_MAX 512

/* The cursor rests at the beginning of the line below the live lines. */
struct screen {
    FILE *out;
    int drawn[SCREEN_LINES_MAX]; /* how wide each live line is that stands there now */
    size_t count;
};

/* How many live lines fit. */
size_t screen_room(const struct terminal *terminal);

/* One write: `said` (whole lines; may be empty) scrolls up in the place of the live lines, and `lines` follow. -1: the
 * output is gone. */
int screen_draw(struct screen *screen, const struct terminal *terminal, const char *said, char *const *lines,
                size_t count);

#endif
