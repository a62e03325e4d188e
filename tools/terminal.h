/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What standard output is: a terminal that can be redrawn, or a pipe. */

#ifndef VIRTJOB_TERMINAL_H
#define VIRTJOB_TERMINAL_H

#include <stdbool.h>

struct terminal {
    bool live;         /* lines can be drawn again: a terminal that knows how to move its cursor */
    bool color;        /* and NO_COLOR is not set (no-color.org) */
    bool unicode;      /* the locale is UTF-8 */
    int width, height; /* columns and lines; 80 and 24 where unknown */
};

/* Looks at descriptor `fd`, TERM, NO_COLOR and the locale. */
void terminal_init(struct terminal *terminal, int fd);

/* Asks for the size again (SIGWINCH). */
void terminal_measure(struct terminal *terminal, int fd);

/* Whether the locale is UTF-8. */
bool terminal_is_unicode(void);

/* "\033[32m" for "32" where there are colors, else "". `sgr` is "0" to end. Returns `out`, at least 16 bytes. */
const char *terminal_color(const struct terminal *terminal, const char *sgr, char out[static 16]);

#endif
