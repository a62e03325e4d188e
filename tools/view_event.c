/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Events go into the rows of jobs, and into text that is still to be said. */

#include "view_internal.h"

#include <string.h>

#include "event.h"
#include "outcome.h"
#include "text.h"

void view_begin_line(struct view *view, const char *id, const char *type, const json_t *event)
{
    char clock[16], shown[256], label[9];

    if (view->terminal.live)
        snprintf(label, sizeof(label), "%s", id);
    else
        fprintf(view->said, "%s ", event_clock(event, clock));
    text_escape(view->terminal.unicode, view->terminal.live ? label : id, shown, sizeof(shown));
    fprintf(view->said, "%s %s ", shown, type);
}

/* Both, the text escaped, where there is one. */
static void view_say_more(struct view *view, const char *before, const char *text)
{
    char shown[1024];

    if (*text)
        fprintf(view->said, "%s%s", before, text_escape(view->terminal.unicode, text, shown, sizeof(shown)));
}

/* What the bar does not show is told on a terminal too. */
static bool view_says(const struct view *view, bool in_bar)
{
    return !view->settings.json && !view->settings.cancelling && !(in_bar && view->terminal.live);
}

static void view_take_progress(struct view *view, struct bars_row *row, const json_t *data)
{
    text_escape(view->terminal.unicode, event_text(data, "phase"), row->phase, sizeof(row->phase));
    text_escape(false, event_text(data, "unit"), row->unit, sizeof(row->unit));
    double done = event_number(data, "done", 0), total = event_number(data, "total", 0);
    row->done = done > 0 && done < 1e18 ? (uint64_t)done : 0;
    row->total = total > 0 && total < 1e18 ? (uint64_t)total : 0;
    double percent = event_number(data, "percent", -1);
    row->percent = row->total == 0 || percent < 0 ? -1 : percent > 100 ? 100 : percent;
    row->rate = event_number(data, "rate", -1);
    double eta = event_number(data, "eta_s", -1), late = event_number(data, "late_by_s", 0);
    row->eta_s = eta >= 0 && eta < 1e9 ? (int64_t)eta : -1;
    row->late_s = late >= 1 && late < 1e9 ? (int64_t)late : 0;
    row->stalled = json_is_true(event_at(data, "stalled"));
    row->running = true;
}

static void view_forget_progress(struct bars_row *row)
{
    row->stalled = false;
    row->late_s = 0;
    row->detail[0] = row->action[0] = '\0';
}

/* In a pipe no more than a line a second, but for news; on a terminal the news that the bar may have no room for. */
static void view_show_progress(struct view *view, struct view_job *job, const json_t *event)
{
    char phase[sizeof(job->row.phase)], words[BARS_LINE_SIZE];
    bool was_late = job->row.late_s > 0, was_stalled = job->row.stalled;

    strcpy(phase, job->row.phase);
    view_take_progress(view, &job->row, event_at(event, "data"));
    bool told = view_take_detail(&job->row, event_at(event, "data")) || (job->row.late_s > 0 && !was_late);
    bool news = told || job->row.stalled != was_stalled || strcmp(phase, job->row.phase) != 0;
    if (view_says(view, false))
        view_say_guests(view, job, event);
    if (!view_says(view, !told) || (!news && view_now_ms() - job->said_ms < SAY_INTERVAL_MS))
        return;
    job->said_ms = view_now_ms();
    view_begin_line(view, job->id, job->row.type, event);
    fprintf(view->said, "%s\n", bars_words(&job->row, words));
}

static void view_say_outcome(struct view *view, const struct view_job *job, const json_t *event, bool good)
{
    char clock[16], id[256];

    if (!view->terminal.live) {
        fprintf(view->said, "%s ", event_clock(event, clock));
        text_escape(view->terminal.unicode, job->id, id, sizeof(id));
    }
    outcome_headline(view->said, event, view->terminal.live ? job->row.label : id, good, &view->terminal);
    if (view->settings.cancelling && good)
        outcome_rollback(view->said, event, &view->terminal);
    else
        outcome_details(view->said, event, view->settings.results, &view->terminal);
}

static void view_show_outcome(struct view *view, struct view_job *job, const json_t *event)
{
    const char *wanted = view->settings.cancelling ? "job.cancelled" : "job.succeeded";
    bool good = strcmp(event_kind(event), wanted) == 0;

    if (!view->settings.json)
        view_say_outcome(view, job, event, good);
    view_end(view, job, good);
}

static void view_show_retrying(struct view *view, struct view_job *job, const json_t *event)
{
    const json_t *data = event_at(event, "data");
    double attempt = event_number(data, "attempt", 0), most = event_number(data, "max_attempts", 0);
    double delay = event_number(data, "delay_s", 0);

    job->row.running = false;
    view_forget_progress(&job->row);
    strcpy(job->row.phase, "retrying");
    if (!view_says(view, false))
        return;
    view_begin_line(view, job->id, job->row.type, event);
    fputs("retrying", view->said);
    if (attempt > 0)
        fprintf(view->said, ": attempt %.15g of %.15g failed", attempt, most);
    view_say_more(view, ": ", event_text(data, "error/code"));
    view_say_more(view, ": ", event_text(data, "error/message"));
    if (delay > 0)
        fprintf(view->said, "; again in %.15g s", delay);
    putc('\n', view->said);
}

static void view_show_cancelling(struct view *view, struct view_job *job, const json_t *event)
{
    bool expired = strcmp(event_text(event, "data/cause"), "expired") == 0;

    job->row.stopping = job->row.running = true;
    if (view->settings.json || view->terminal.live)
        return;
    view_begin_line(view, job->id, job->row.type, event);
    fputs(expired ? "is stopping: its deadline has passed" : "is stopping", view->said);
    view_say_more(view, ": ", event_text(event, "data/reason"));
    putc('\n', view->said);
}

/* Of a job that ended some time ago; `job` NULL: nobody waits for it. To who waits for an outcome, this is none. */
static void view_show_too_late(struct view *view, struct view_job *job, const json_t *event)
{
    const char *state = event_text(event, "data/state");
    bool cancelled = strcmp(state, "cancelled") == 0;
    char type[256];

    if (!view->settings.json) {
        text_escape(view->terminal.unicode, event_text(event, "data/job/type"), type, sizeof(type));
        view_begin_line(view, event_text(event, "data/job/id"), type, event);
        fputs(cancelled ? "was cancelled already" : "the order to cancel comes too late: it had ",
              view->said);
        view_say_more(view, "", cancelled ? "" : *state ? state : "ended");
        putc('\n', view->said);
    }
    if (job && view->settings.cancelling)
        view_end(view, job, cancelled);
}

/* "started", and whatever a later version has. */
static void view_show_state(struct view *view, struct view_job *job, const json_t *event)
{
    const char *state = event_kind(event) + strlen("job.");

    job->row.running = true;
    job->row.stopping = false;
    view_forget_progress(&job->row);
    job->row.percent = -1;
    job->begun_ms = view_now_ms();
    text_escape(view->terminal.unicode, state, job->row.phase, sizeof(job->row.phase));
    if (!view_says(view, true))
        return;
    view_begin_line(view, job->id, job->row.type, event);
    fprintf(view->said, "%s\n", job->row.phase);
}

static void view_job_event(struct view *view, struct view_job *job, const json_t *event)
{
    static const struct {
        const char *kind;
        void (*show)(struct view *view, struct view_job *job, const json_t *event);
    } rows[] = { { "job.progress", view_show_progress },
                 { "job.retrying", view_show_retrying },
                 { "job.cancelling", view_show_cancelling },
                 { "job.not-cancelled", view_show_too_late } };
    const char *kind = event_kind(event);
    size_t i = 0, count = sizeof(rows) / sizeof(rows[0]);

    view->dirty = job->heard = true;
    if (!*job->row.type)
        text_escape(view->terminal.unicode, event_text(event, "data/job/type"), job->row.type,
                    sizeof(job->row.type));
    while (i < count && strcmp(rows[i].kind, kind) != 0)
        i++;
    if (event_is_outcome(kind))
        view_show_outcome(view, job, event);
    else if (i < count)
        rows[i].show(view, job, event);
    else
        view_show_state(view, job, event);
}

static void view_say_other(struct view *view, const json_t *event)
{
    char clock[16];

    fprintf(view->said, "%s ", event_clock(event, clock));
    event_describe(view->said, event, &view->terminal);
    putc('\n', view->said);
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
    const char *kind = event_kind(event);
    bool of_job = strncmp(kind, "job.", 4) == 0;
    bool too_late = strcmp(kind, "job.not-cancelled") == 0; /* the job has ended, and is none to be shown */
    struct view_job *job = too_late ? view_find(view, event_text(event, "data/job/id"))
                           : of_job ? view_job_of(view, event)
                                    : NULL;

    if (job ? job->ended : view->settings.only_expected || (of_job && !too_late))
        return;
    if (view->settings.json) {
        json_dumpf(event, view->said, JSON_COMPACT | JSON_ENSURE_ASCII);
        putc('\n', view->said);
    }
    if (job)
        view_job_event(view, job, event);
    else if (too_late)
        view_show_too_late(view, NULL, event);
    else if (!view->settings.json)
        view_say_other(view, event);
    view->dirty = true;
    if (!view->terminal.live)
        view_draw(view);
}
