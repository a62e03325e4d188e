/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Keeps the jobs and what is still to be said; drawing writes both, at most ten times a second. */

#include "view_internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "text.h"

#define DRAW_INTERVAL_MS 100
#define TICK_INTERVAL_MS 1000 /* for the time that has passed */
#define JOBS_MAX         4096 /* that were not asked for: the oldest is forgotten */

int64_t view_now_ms(void)
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

static void view_forget(struct view *view, struct view_job *job)
{
    HASH_DEL(view->jobs, job);
    json_decref(job->guests);
    free(job);
}

void view_free(struct view *view)
{
    struct view_job *job, *next;

    if (!view)
        return;
    HASH_ITER (hh, view->jobs, job, next)
        view_forget(view, job);
    fclose(view->said);
    free(view->said_text);
    free(view);
}

struct view_job *view_find(struct view *view, const char *id)
{
    struct view_job *job;

    HASH_FIND_STR(view->jobs, id, job);
    return job;
}

struct view_job *view_add(struct view *view, const char *id, const char *type)
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
    strcpy(job->row.phase, view->settings.cancelling ? "ordered" : "waiting");
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

void view_end(struct view *view, struct view_job *job, bool good)
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

enum view_state view_state(struct view *view, const char *id)
{
    const struct view_job *job = view_find(view, id);

    if (!job || job->ended)
        return VIEW_ENDED;
    return job->row.stopping ? VIEW_STOPS : job->heard ? VIEW_GOES_ON : VIEW_UNHEARD;
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
