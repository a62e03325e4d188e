/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Shows events: as JSON lines, as plain lines in a pipe, or as progress bars on a terminal; and keeps count of the jobs
 * that are waited for. One thread only. */

#ifndef VIRTJOB_VIEW_H
#define VIRTJOB_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "error.h"

struct view;

struct view_settings {
    bool json;          /* every event as it is, one a line */
    bool only_expected; /* events of other jobs, and of guests and hosts, are not shown */
    bool results;       /* the result of a job that succeeded is shown too */
    bool
        cancelling; /* cancelled is what the expected jobs are to be; only how they end is told, in one line */
};

/* Writes to standard output. */
struct view *view_new(const struct view_settings *settings, struct error *err);
void view_free(struct view *view);

/* A job that is waited for; shown as waiting until something is heard of it. */
int view_expect(struct view *view, const char *id, const char *type, struct error *err);

/* It will not come: counts as failed. */
void view_give_up(struct view *view, const char *id);

void view_event(struct view *view, const json_t *event);

/* One line for people, on standard error; escaped. */
void view_note(struct view *view, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What is known of an expected job. */
enum view_state { VIEW_UNHEARD, VIEW_GOES_ON, VIEW_STOPS, VIEW_ENDED };
enum view_state view_state(struct view *view, const char *id);

/* Expected jobs without an outcome. */
size_t view_left(const struct view *view);

/* Whether all expected jobs that have ended are as they should be: succeeded, or cancelled. */
bool view_is_good(const struct view *view);

/* Whether bars are drawn: then events may come faster. */
bool view_is_live(const struct view *view);

/* Milliseconds until view_draw is due; -1: nothing to draw before the next event. */
int view_due_ms(const struct view *view);
void view_draw(struct view *view);

/* The terminal has another size. */
void view_resize(struct view *view);

/* Standard output can no longer be written to. */
bool view_is_broken(const struct view *view);

#endif
