/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Events go into rows and into text that is still to be said; drawing writes both, at most ten times a second. */

#include "view.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <uthash.h>

#include "bars.h"
#include "cleanup.h"
#include "event.h"
#include "outcome.h"
#include "screen.h"
#include "text.h"

#define DRAW_INTERVAL_MS 100
#define TICK_INTERVAL_MS 1000 /* for the time that has passed */
#define SAY_INTERVAL_MS  1000 /* between two lines about the progress of a job */
#define JOBS_MAX         4096 /* that were not asked for: the oldest is forgotten */

struct view_job {
    char id[64];
    struct bars_row row;
    int64_t begun_ms;
    int64_t said_ms;
    bool expected;
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

static int64_t view_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct view *view_new(const struct view_settings *settings, struct error *err)
{
    struct view *view = calloc(1, sizeof(*view));

    if (!view || !(view->said = open_memstream(&view->said_text, &view->said_size))) {
        free(view);
        error_set_memory(err);
        return NULL;
    }
    view->settings = *settings;
    terminal_init(&view->terminal, STDOUT_FILENO);
    if (settings->json)
        view->terminal.live = view->terminal.color = false;
    view->screen.out = stdout;
    return view;
}

void view_free(struct view *view)
{
    struct view_job *job, *next;

    if (!view)
        return;
    HASH_ITER (hh, view->jobs, job, next) {
        HASH_DEL(view->jobs, job);
        free(job);
    }
    fclose(view->said);
    free(view->said_text);
    free(view);
}

static void view_forget(struct view *view, struct view_job *job)
{
    HASH_DEL(view->jobs, job);
    free(job);
}

static struct view_job *view_find(struct view *view, const char *id)
{
    struct view_job *job;

    HASH_FIND_STR(view->jobs, id, job);
    return job;
}

static struct view_job *view_add(struct view *view, const char *id, const char *type)
{
    struct view_job *job = calloc(1, sizeof(*job));
    char label[9];

    if (!job)
        return NULL;
    if (!view->settings.only_expected && HASH_COUNT(view->jobs) >= JOBS_MAX)
        view_forget(view, view->jobs);
    snprintf(job->id, sizeof(job->id), "%s", id);
    snprintf(label, sizeof(label), "%s", id);
    text_escape(view->terminal.unicode, label, job->row.label, sizeof(job->row.label));
    text_escape(view->terminal.unicode, type, job->row.type, sizeof(job->row.type));
    strcpy(job->row.phase, "waiting");
    job->row.percent = job->row.rate = -1;
    job->row.eta_s = -1;
    job->begun_ms = view_now_ms();
    job->said_ms = -SAY_INTERVAL_MS;
    HASH_ADD_STR(view->jobs, id, job);
    view->dirty = true;
    return job;
}

int view_expect(struct view *view, const char *id, const char *type, struct error *err)
{
    struct view_job *job = view_find(view, id);

    if (job)
        return error_set(err, ERROR_INVALID, "job %s is there twice", id);
    if (!(job = view_add(view, id, type)))
        return error_set_memory(err);
    job->expected = true;
    view->expected++;
    view->left++;
    return 0;
}

static void view_end(struct view *view, struct view_job *job, bool good)
{
    view->dirty = true;
    if (!job->expected) {
        view_forget(view, job);
        return;
    }
    if (job->ended)
        return;
    job->ended = true;
    view->left--;
    view->failed += !good;
}

void view_give_up(struct view *view, const char *id)
{
    struct view_job *job = view_find(view, id);

    if (job)
        view_end(view, job, false);
}

static void view_progress(struct view *view, struct view_job *job, const json_t *data)
{
    struct bars_row *row = &job->row;

    text_escape(view->terminal.unicode, event_text(data, "phase"), row->phase, sizeof(row->phase));
    text_escape(false, event_text(data, "unit"), row->unit, sizeof(row->unit));
    double done = event_number(data, "done", 0), total = event_number(data, "total", 0);
    row->done = done > 0 && done < 1e18 ? (uint64_t)done : 0;
    row->total = total > 0 && total < 1e18 ? (uint64_t)total : 0;
    double percent = event_number(data, "percent", -1);
    row->percent = row->total == 0 || percent < 0 ? -1 : percent > 100 ? 100 : percent;
    row->rate = event_number(data, "rate", -1);
    double eta = event_number(data, "eta_s", -1);
    row->eta_s = eta >= 0 && eta < 1e9 ? (int64_t)eta : -1;
    row->stalled = json_is_true(event_at(data, "stalled"));
    row->running = true;
}

/* "12:00:01 <id> volume.clone ": how every line about a job begins in a pipe. */
static void view_begin_line(struct view *view, const struct view_job *job, const json_t *event)
{
    char clock[16], id[256];

    fprintf(view->said, "%s %s %s ", event_clock(event, clock),
            text_escape(view->terminal.unicode, job->id, id, sizeof(id)), job->row.type);
}

static void view_say_progress(struct view *view, struct view_job *job, const json_t *event, bool new_phase)
{
    char words[BARS_LINE_SIZE];

    if (view->terminal.live || (!new_phase && view_now_ms() - job->said_ms < SAY_INTERVAL_MS))
        return;
    job->said_ms = view_now_ms();
    view_begin_line(view, job, event);
    fprintf(view->said, "%s\n", bars_words(&job->row, words));
}

static void view_say_outcome(struct view *view, const struct view_job *job, const json_t *event)
{
    char clock[16], id[256];

    if (!view->terminal.live) {
        fprintf(view->said, "%s ", event_clock(event, clock));
        text_escape(view->terminal.unicode, job->id, id, sizeof(id));
    }
    outcome_headline(view->said, event, view->terminal.live ? job->row.label : id, &view->terminal);
    outcome_details(view->said, event, view->settings.results, &view->terminal);
}

/* "started", "retrying" and whatever a later version has. */
static void view_job_state(struct view *view, struct view_job *job, const json_t *event)
{
    const char *state = event_kind(event) + strlen("job.");

    job->row.running = true;
    job->row.percent = -1;
    job->begun_ms = view_now_ms();
    text_escape(view->terminal.unicode, state, job->row.phase, sizeof(job->row.phase));
    if (view->terminal.live)
        return;
    view_begin_line(view, job, event);
    fprintf(view->said, "%s\n", job->row.phase);
}

static void view_job_event(struct view *view, struct view_job *job, const json_t *event)
{
    const char *kind = event_kind(event);
    char phase[sizeof(job->row.phase)];

    view->dirty = true;
    if (!*job->row.type)
        text_escape(view->terminal.unicode, event_text(event, "data/job/type"), job->row.type,
                    sizeof(job->row.type));
    if (event_is_outcome(kind)) {
        if (!view->settings.json)
            view_say_outcome(view, job, event);
        view_end(view, job, strcmp(kind, "job.succeeded") == 0);
    } else if (strcmp(kind, "job.progress") == 0) {
        strcpy(phase, job->row.phase);
        view_progress(view, job, event_at(event, "data"));
        if (!view->settings.json)
            view_say_progress(view, job, event, strcmp(phase, job->row.phase) != 0);
    } else if (!view->settings.json) {
        view_job_state(view, job, event);
    }
}

static void view_say_other(struct view *view, const json_t *event)
{
    char clock[16];

    fprintf(view->said, "%s ", event_clock(event, clock));
    event_describe(view->said, event, &view->terminal);
    putc('\n', view->said);
    view->dirty = true;
}

/* The job that the event is about: NULL where nobody cares, or it has ended already. */
static struct view_job *view_job_of(struct view *view, const json_t *event)
{
    const char *id = event_text(event, "data/job/id");
    struct view_job *job = view_find(view, id);

    if (!job && *id && !view->settings.only_expected)
        job = view_add(view, id, event_text(event, "data/job/type"));
    return job && !job->ended ? job : NULL;
}

void view_event(struct view *view, const json_t *event)
{
    bool of_job = strncmp(event_kind(event), "job.", 4) == 0;
    struct view_job *job = of_job ? view_job_of(view, event) : NULL;

    if (!job && (of_job || view->settings.only_expected))
        return;
    if (view->settings.json) {
        json_dumpf(event, view->said, JSON_COMPACT | JSON_ENSURE_ASCII);
        putc('\n', view->said);
    }
    if (job)
        view_job_event(view, job, event);
    else if (!view->settings.json)
        view_say_other(view, event);
    if (!view->terminal.live)
        view_draw(view);
}

/* What has been said since the last time; the caller frees. */
static char *view_take_said(struct view *view)
{
    char *text;

    if (fclose(view->said) != 0)
        view->broken = true;
    text = STEAL(&view->said_text);
    view->said = open_memstream(&view->said_text, &view->said_size);
    if (!view->said)
        abort(); /* no memory for an empty buffer */
    return text;
}

/* Jobs to show: those that run, then those that wait, as many as there is room for. */
static size_t view_pick(struct view *view, const struct bars_row **rows, size_t room, size_t *ret_hidden)
{
    struct view_job *job, *next;
    size_t count = 0, all = 0;

    for (int running = 1; running >= 0; running--) {
        HASH_ITER (hh, view->jobs, job, next) {
            if (job->ended || job->row.running != running)
                continue;
            job->row.elapsed_ms = view_now_ms() - job->begun_ms;
            if (all++ < room)
                rows[count++] = &job->row;
        }
    }
    *ret_hidden = all - count;
    return count;
}

/* "18 of 100 done, 2 not well; and 37 more"; NULL where there is nothing to say. The caller frees. */
static char *view_summary(const struct view *view, size_t hidden)
{
    char done[64] = "", failed[40] = "", more[40] = "", all[160], *line = malloc(sizeof(all));

    if (view->expected > 1 && view->left)
        snprintf(done, sizeof(done), "%zu of %zu done", view->expected - view->left, view->expected);
    if (*done && view->failed)
        snprintf(failed, sizeof(failed), ", %zu not well", view->failed);
    if (hidden)
        snprintf(more, sizeof(more), "%sand %zu more", *done ? "; " : "", hidden);
    snprintf(all, sizeof(all), "%s%s%s", done, failed, more);
    if (line && *all)
        return text_fit(view->terminal.unicode, all, view->terminal.width - 1, false, line, sizeof(all));
    free(line);
    return NULL;
}

static void view_draw_bars(struct view *view, const char *said)
{
    const struct bars_row *rows[SCREEN_LINES_MAX];
    char *lines[SCREEN_LINES_MAX + 1];
    size_t hidden, count = view_pick(view, rows, screen_room(&view->terminal) - 1, &hidden), used = 0;

    bars_arrange(&view->layout, rows, count, &view->terminal);
    for (size_t i = 0; i < count; i++) {
        char line[BARS_LINE_SIZE];
        lines[used] = strdup(bars_line(&view->layout, rows[i], &view->terminal, line));
        used += lines[used] != NULL;
    }
    if ((lines[used] = view_summary(view, hidden)))
        used++;
    if (screen_draw(&view->screen, &view->terminal, said, lines, used) < 0)
        view->broken = true;
    while (used)
        free(lines[--used]);
}

void view_draw(struct view *view)
{
    AUTO(string) char *said = view_take_said(view);

    view->dirty = false;
    view->drawn_ms = view_now_ms();
    if (view->terminal.live)
        view_draw_bars(view, said);
    else if (*said && (fputs(said, stdout) == EOF || fflush(stdout) != 0))
        view->broken = true;
}

void view_note(struct view *view, const char *fmt, ...)
{
    char message[1024], shown[2048];
    va_list args;

    va_start(args, fmt);
    vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    if (view->terminal.live) { /* out of the way, then back below the note */
        screen_draw(&view->screen, &view->terminal, "", NULL, 0);
        view->dirty = true;
    }
    fprintf(stderr, "virtjob: %s\n", text_escape(view->terminal.unicode, message, shown, sizeof(shown)));
}

int view_due_ms(const struct view *view)
{
    int64_t since = view_now_ms() - view->drawn_ms;
    int64_t interval = view->dirty ? DRAW_INTERVAL_MS : TICK_INTERVAL_MS;

    if (!view->terminal.live || (!view->dirty && view->screen.count == 0))
        return -1;
    return since >= interval ? 0 : (int)(interval - since);
}

void view_resize(struct view *view)
{
    terminal_measure(&view->terminal, STDOUT_FILENO);
    memset(&view->layout, 0, sizeof(view->layout));
    view->dirty = true;
}

size_t view_left(const struct view *view)
{
    return view->left;
}

bool view_is_good(const struct view *view)
{
    return view->failed == 0;
}

bool view_is_live(const struct view *view)
{
    return view->terminal.live;
}

bool view_is_broken(const struct view *view)
{
    return view->broken;
}
