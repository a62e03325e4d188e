/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One line a job, in columns that line up: label, type, phase, bar, percent, amount, rate, time, detail.
 *
 * Pure layout, without input or output. What does not fit is left out, the least needed column first. */

#ifndef VIRTJOB_BARS_H
#define VIRTJOB_BARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "terminal.h"

/* A job as it is shown. Texts are escaped already (text_escape). */
struct bars_row {
    char label[24]; /* the beginning of its id */
    char type[48];
    char phase[40]; /* "waiting" or "ordered" before anything is known */
    bool running;
    bool stalled;
    bool stopping;  /* shown in place of the phase */
    double percent; /* 0 to 100; negative: not known */
    uint64_t done, total;
    char unit[16];  /* "bytes", "steps", "percent" */
    double rate;    /* units a second; negative: not known */
    int64_t eta_s;  /* negative: not known */
    int64_t late_s; /* it will end so long after its deadline; 0: it will not */
    int64_t elapsed_ms;
    char action[48]; /* the last of what was done about it, which is in `detail` too */
    char detail[96]; /* what only jobs of its type tell: "pass 3, downtime 340 ms"; "": nothing */
};

enum bars_column {
    BARS_LABEL,
    BARS_TYPE,
    BARS_PHASE,
    BARS_BAR,
    BARS_PERCENT,
    BARS_AMOUNT,
    BARS_RATE,
    BARS_TIME,
    BARS_DETAIL,
    BARS_COLUMNS
};

/* The width of each column, 0 where it is left out. Starts as { 0 }. */
struct bars_layout {
    int width[BARS_COLUMNS];
    int natural
        [BARS_COLUMNS]; /* as wide as it ever had to be: columns do not jump when a number gets shorter */
};

/* Fits the columns of all rows into the terminal, less one column that is kept free of wrapping. */
void bars_arrange(struct bars_layout *layout, const struct bars_row *const *rows, size_t count,
                  const struct terminal *terminal);

/* At least this many bytes for a line: four a column, and colors. */
#define BARS_LINE_SIZE 4096

/* One line without its end. Returns `out`. */
char *bars_line(const struct bars_layout *layout, const struct bars_row *row, const struct terminal *terminal,
                char out[static BARS_LINE_SIZE]);

/* The same in words for a pipe, from the phase on: "copying 42% 1.2 GiB/3.0 GiB 120 MiB/s eta 0:15", then the detail, and
 * that it will be late. Returns `out`. */
char *bars_words(const struct bars_row *row, char out[static BARS_LINE_SIZE]);

#endif
