/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Asks the kernel and the environment; the few control sequences used are those of ECMA-48 that every terminal but
 * `dumb` knows. */

#include "terminal.h"

#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool terminal_is_unicode(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

void terminal_measure(struct terminal *terminal, int fd)
{
    struct winsize size = { 0 };

    if (ioctl(fd, TIOCGWINSZ, &size) < 0)
        size = (struct winsize){ 0 };
    terminal->width = size.ws_col ? size.ws_col : 80;
    terminal->height = size.ws_row ? size.ws_row : 24;
}

void terminal_init(struct terminal *terminal, int fd)
{
    const char *term = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");

    terminal->live = isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
    terminal->color = terminal->live && !(no_color && *no_color);
    terminal->unicode = terminal_is_unicode();
    terminal_measure(terminal, fd);
}

const char *terminal_color(const struct terminal *terminal, const char *sgr, char out[static 16])
{
    if (terminal->color)
        snprintf(out, 16, "\033[%sm", sgr);
    else
        out[0] = '\0';
    return out;
}
