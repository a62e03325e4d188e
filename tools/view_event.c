/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Events go into the rows of jobs, and into text that is still to be said. */

#include "view_internal.h"

#include <string.h>

#include "event.h"
#include "outcome.h"
#include "text.h"

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
