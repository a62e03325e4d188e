/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What view.c (jobs, drawing) and view_event.c (events into rows and text) share. */

#ifndef VIRTJOB_VIEW_INTERNAL_H
#define VIRTJOB_VIEW_INTERNAL_H

#include <stdint.h>
#include <stdio.h>

#include <uthash.h>

#include "bars.h"
#include "screen.h"
#include "view.h"

/* Between two lines about the progress of a job. */
#define SAY_INTERVAL_MS 1000

struct view_job {
    char id[64];
    struct bars_row row;
    int64_t begun_ms;
    int64_t said_ms;
    json_t *guests; /* of a job that moves several: as its last progress told them; NULL: none yet */
    bool expected;
    bool heard; /* an event of it has come */
    bool ended;
    UT_hash_handle hh;
};

struct view {
    struct view_settings settings;
    struct terminal terminal;
    struct screen screen;
    struct bars_layout layout;
    struct view_job *jobs; /* in the order in which they came */
    size_t expected, left, failed;
    FILE *said; /* memory: what waits to be written */
    char *said_text;
    size_t said_size;
    int64_t drawn_ms;
    bool dirty;
    bool broken;
};

/* What progress of this type tells beside the figures of all types goes into `detail`; true where something was done about the
 * job that it tells the first time. */
bool view_take_detail(struct bars_row *row, const json_t *data);

/* A line for each guest of the job that is in another state than before: begun, moved, failed. */
void view_say_guests(struct view *view, struct view_job *job, const json_t *event);

/* "12:00:01 <id> volume.clone ", or what the job's bar begins with: how every line about a job begins. */
void view_begin_line(struct view *view, const char *id, const char *type, const json_t *event);

/* Monotonic. */
int64_t view_now_ms(void);

/* NULL where it is not known. */
struct view_job *view_find(struct view *view, const char *id);

/* NULL without memory. */
struct view_job *view_add(struct view *view, const char *id, const char *type);

/* The job has ended; one that nobody waits for is freed. */
void view_end(struct view *view, struct view_job *job, bool good);

#endif
