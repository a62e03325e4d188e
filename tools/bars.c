/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The table of columns at the end says what each shows and when it gives way. */

#include "bars.h"

#include <stdio.h>
#include <string.h>

#include "text.h"

#define CELL_SIZE   160
#define BAR_MIN     8
#define BAR_NATURAL 12
#define BAR_MAX     40

struct column {
    void (*cell)(const struct bars_row *row, char *out); /* NULL: the bar, which takes what is left */
    int most;                                            /* columns */
    bool right;
    int stays; /* the column with the smallest number gives way first; 0: never */
};

static const struct column columns[BARS_COLUMNS];

static int bars_total(const struct bars_layout *layout)
{
    int total = 0;

    for (int i = 0; i < BARS_COLUMNS; i++)
        total += layout->width[i] ? layout->width[i] + (total ? 1 : 0) : 0;
    return total;
}

static void bars_measure(struct bars_layout *layout, const struct bars_row *row)
{
    char cell[CELL_SIZE];

    for (int i = 0; i < BARS_COLUMNS; i++) {
        int width = BAR_NATURAL;
        if (columns[i].cell) {
            columns[i].cell(row, cell);
            width = text_width(cell);
        }
        width = width > columns[i].most ? columns[i].most : width;
        layout->natural[i] = width > layout->natural[i] ? width : layout->natural[i];
    }
}

/* Drops the column that gives way first; false when none is left to drop. */
static bool bars_drop(struct bars_layout *layout)
{
    int first = -1;

    for (int i = 0; i < BARS_COLUMNS; i++)
        if (columns[i].stays && layout->width[i] && (first < 0 || columns[i].stays < columns[first].stays))
            first = i;
    if (first >= 0)
        layout->width[first] = 0;
    return first >= 0;
}

void bars_arrange(struct bars_layout *layout, const struct bars_row *const *rows, size_t count,
                  const struct terminal *terminal)
{
    int room = terminal->width - 1;

    for (size_t i = 0; i < count; i++)
        bars_measure(layout, rows[i]);
    memcpy(layout->width, layout->natural, sizeof(layout->width));
    if (layout->width[BARS_BAR])
        layout->width[BARS_BAR] = BAR_MIN;
    while (bars_total(layout) > room && bars_drop(layout))
        ;
    int left = room - bars_total(layout);
    if (layout->width[BARS_BAR] && left > 0)
        layout->width[BARS_BAR] += left > BAR_MAX - BAR_MIN ? BAR_MAX - BAR_MIN : left;
    if (left < 0) /* narrower than label and percent */
        layout->width[BARS_LABEL] =
            layout->width[BARS_LABEL] + left > 1 ? layout->width[BARS_LABEL] + left : 1;
}

/* A share of `width` columns in half columns, so that a long copy is seen to move. */
static void bars_bar(const struct bars_row *row, int width, const struct terminal *terminal, char *out)
{
    const char *full = terminal->unicode ? "\u2501" : "#", *half = terminal->unicode ? "\u2578" : "-";
    const char *rest = terminal->unicode ? "\u2500" : "-";
    char color[16], gray[16], end[16];
    int halves = row->percent < 0 ? 0 : (int)(row->percent * width * 2 / 100);

    out += sprintf(out, "%s", terminal_color(terminal, row->stalled || row->late_s ? "33" : "32", color));
    for (int i = 0; i < halves / 2; i++)
        out += sprintf(out, "%s", full);
    if (halves % 2)
        out += sprintf(out, "%s", half);
    out += sprintf(out, "%s", terminal_color(terminal, "90", gray));
    for (int i = (halves + 1) / 2; i < width; i++)
        out += sprintf(out, "%s", rest);
    sprintf(out, "%s", terminal_color(terminal, "0", end));
}

static void bars_cell(const struct bars_row *row, int i, int width, const struct terminal *terminal,
                      char *out, size_t size)
{
    char cell[CELL_SIZE];

    if (!columns[i].cell && row->running) {
        bars_bar(row, width, terminal, out);
        return;
    }
    cell[0] = '\0';
    if (columns[i].cell)
        columns[i].cell(row, cell);
    text_fit(terminal->unicode, cell, width, columns[i].right, out, size);
}

char *bars_line(const struct bars_layout *layout, const struct bars_row *row, const struct terminal *terminal,
                char out[static BARS_LINE_SIZE])
{
    char cell[BARS_LINE_SIZE / BARS_COLUMNS];
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < BARS_COLUMNS; i++) {
        if (!layout->width[i])
            continue;
        bars_cell(row, i, layout->width[i], terminal, cell, sizeof(cell));
        used += (size_t)snprintf(out + used, BARS_LINE_SIZE - used, "%s%s", used ? " " : "", cell);
    }
    while (used && out[used - 1] == ' ')
        out[--used] = '\0';
    return out;
}

char *bars_words(const struct bars_row *row, char out[static BARS_LINE_SIZE])
{
    char cell[CELL_SIZE];
    size_t used = 0;

    out[0] = '\0';
    for (int i = BARS_PHASE; i <= BARS_TIME; i++) {
        if (!columns[i].cell)
            continue;
        columns[i].cell(row, cell);
        if (*cell)
            used += (size_t)snprintf(out + used, BARS_LINE_SIZE - used, "%s%s", used ? " " : "", cell);
    }
    if (*row->detail)
        used += (size_t)snprintf(out + used, BARS_LINE_SIZE - used, "%s%s", used ? "; " : "", row->detail);
    if (row->late_s)
        snprintf(out + used, BARS_LINE_SIZE - used, "; will miss its deadline by %s",
                 text_age(row->late_s, cell, sizeof(cell)));
    return out;
}

static void cell_label(const struct bars_row *row, char *out)
{
    snprintf(out, CELL_SIZE, "%s", row->label);
}

static void cell_type(const struct bars_row *row, char *out)
{
    snprintf(out, CELL_SIZE, "%s", row->type);
}

static void cell_phase(const struct bars_row *row, char *out)
{
    snprintf(out, CELL_SIZE, "%s", row->stopping ? "stopping" : row->stalled ? "stalled" : row->phase);
}

static void cell_percent(const struct bars_row *row, char *out)
{
    out[0] = '\0';
    if (row->percent >= 0) /* 100 % only when all is done */
        snprintf(out, CELL_SIZE, "%d%%", (int)row->percent);
}

/* "1.2 GiB/3.0 GiB", "2/3"; a percentage says no more than its own column. */
static void cell_amount(const struct bars_row *row, char *out)
{
    char done[16], total[16];

    out[0] = '\0';
    if (row->total == 0 || strcmp(row->unit, "percent") == 0)
        return;
    if (strcmp(row->unit, "bytes") == 0)
        snprintf(out, CELL_SIZE, "%s/%s", text_bytes((double)row->done, done, sizeof(done)),
                 text_bytes((double)row->total, total, sizeof(total)));
    else
        snprintf(out, CELL_SIZE, "%llu/%llu", (unsigned long long)row->done, (unsigned long long)row->total);
}

static void cell_rate(const struct bars_row *row, char *out)
{
    char rate[16];

    out[0] = '\0';
    if (row->rate >= 0 && strcmp(row->unit, "bytes") == 0)
        snprintf(out, CELL_SIZE, "%s/s", text_bytes(row->rate, rate, sizeof(rate)));
}

/* What remains, or else what has passed. */
static void cell_time(const struct bars_row *row, char *out)
{
    char time[24];

    out[0] = '\0';
    if (row->eta_s >= 0)
        snprintf(out, CELL_SIZE, "eta %s", text_clock(row->eta_s, time, sizeof(time)));
    else if (row->running)
        text_clock(row->elapsed_ms / 1000, out, CELL_SIZE);
}

static void cell_detail(const struct bars_row *row, char *out)
{
    snprintf(out, CELL_SIZE, "%s", row->detail);
}

static const struct column columns[BARS_COLUMNS] = {
    [BARS_LABEL] = { cell_label, 16, false, 0 },   [BARS_TYPE] = { cell_type, 24, false, 6 },
    [BARS_PHASE] = { cell_phase, 18, false, 4 },   [BARS_BAR] = { NULL, BAR_NATURAL, false, 7 },
    [BARS_PERCENT] = { cell_percent, 4, true, 0 }, [BARS_AMOUNT] = { cell_amount, 19, true, 2 },
    [BARS_RATE] = { cell_rate, 12, true, 3 },      [BARS_TIME] = { cell_time, 14, true, 5 },
    [BARS_DETAIL] = { cell_detail, 72, false, 1 },
};
