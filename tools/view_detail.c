/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What progress tells beside the figures that all types have, in a few words: of a migration the pass over the memory, the
 * downtime, and what was done to bring it to its end; of several guests how many have moved. */

#include "view_internal.h"

#include <stdio.h>
#include <string.h>

#include "event.h"
#include "text.h"

/* Words with commas between them, as far as there is room. */
static void detail_add(char *detail, size_t size, const char *words)
{
    size_t used = strlen(detail);

    if (*words)
        snprintf(detail + used, size - used, "%s%s", used ? ", " : "", words);
}

static void detail_pass(const json_t *data, char *out, size_t size)
{
    double pass = event_number(data, "iteration", 0);

    if (pass >= 1 && pass < 1e9)
        snprintf(out, size, "pass %.0f", pass);
}

/* "downtime 340 ms/1.0 s": as it would be, and what is allowed. */
static void detail_downtime(const json_t *data, char *out, size_t size)
{
    double expected = event_number(data, "downtime_ms", 0),
           most = event_number(data, "allowed_downtime_ms", 0);
    char shown[24], allowed[24];

    if (expected < 1 || expected > 1e12)
        return;
    text_duration((int64_t)expected, shown, sizeof(shown));
    if (most >= 1 && most < 1e12)
        snprintf(out, size, "downtime %s/%s", shown, text_duration((int64_t)most, allowed, sizeof(allowed)));
    else
        snprintf(out, size, "downtime %s", shown);
}

static void detail_throttle(const json_t *data, char *out, size_t size)
{
    double percent = event_number(data, "throttle", 0);

    if (percent >= 1 && percent <= 100)
        snprintf(out, size, "throttled %.0f%%", percent);
}

/* "3/10 moved, 1 failed, 1 stalled". */
static void detail_guests(const json_t *data, char *out, size_t size)
{
    const json_t *guests = event_at(data, "guests"), *guest;
    size_t i, moved = 0, failed = 0, stalled = 0, used;

    json_array_foreach (guests, i, guest) {
        moved += strcmp(event_text(guest, "state"), "moved") == 0;
        failed += strcmp(event_text(guest, "state"), "failed") == 0;
        stalled += json_is_true(event_at(guest, "stalled"));
    }
    if (json_array_size(guests) == 0)
        return;
    used = (size_t)snprintf(out, size, "%zu/%zu moved", moved, json_array_size(guests));
    if (failed)
        used += (size_t)snprintf(out + used, size - used, ", %zu failed", failed);
    if (stalled)
        snprintf(out + used, size - used, ", %zu stalled", stalled);
}

/* The last, so that one more of them changes the end of the line. */
static void detail_action(const json_t *data, char *out, size_t size)
{
    text_escape(false, event_text(data, "action"), out, size);
}

bool view_take_detail(struct bars_row *row, const json_t *data)
{
    void (*const parts[])(const json_t *data, char *out, size_t size) = { detail_guests, detail_pass,
                                                                          detail_downtime, detail_throttle,
                                                                          detail_action };
    char words[48];

    row->detail[0] = '\0';
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        words[0] = '\0';
        parts[i](data, words, sizeof(words));
        detail_add(row->detail, sizeof(row->detail), words);
    }
    bool news = *words && strcmp(words, row->action) != 0;
    snprintf(row->action, sizeof(row->action), "%s", words);
    return news;
}

/* The guest's state as it was told before, "" where it was not. Both lists are in the same order, but for those left out;
 * `at` is where to look on. */
static const char *guests_state_before(const json_t *before, size_t *at, const char *name)
{
    for (size_t i = *at; i < json_array_size(before); i++) {
        const json_t *guest = json_array_get(before, i);
        if (strcmp(event_text(guest, "guest"), name) != 0)
            continue;
        *at = i + 1;
        return event_text(guest, "state");
    }
    return "";
}

static void view_say_guest(struct view *view, const struct view_job *job, const json_t *event,
                           const json_t *guest)
{
    const char *destination = event_text(guest, "destination");
    char shown[256];

    view_begin_line(view, job->id, job->row.type, event);
    fprintf(view->said,
            "%s: ", text_escape(view->terminal.unicode, event_text(guest, "guest"), shown, sizeof(shown)));
    fputs(text_escape(view->terminal.unicode, event_text(guest, "state"), shown, sizeof(shown)), view->said);
    if (*destination)
        fprintf(view->said, " (%s)", text_escape(view->terminal.unicode, destination, shown, sizeof(shown)));
    putc('\n', view->said);
}

/* Who looks on only from now is not told what has been done before. */
static bool guest_is_news(const char *before, const char *state, bool first)
{
    if (first)
        return strcmp(state, "moving") == 0;
    return strcmp(before, state) != 0 && strcmp(state, "waiting") != 0;
}

void view_say_guests(struct view *view, struct view_job *job, const json_t *event)
{
    json_t *guests = json_object_get(event_at(event, "data"), "guests"), *guest;
    size_t i, at = 0;

    if (!json_is_array(guests))
        return;
    json_array_foreach (guests, i, guest) {
        const char *before = guests_state_before(job->guests, &at, event_text(guest, "guest"));
        if (guest_is_news(before, event_text(guest, "state"), !job->guests))
            view_say_guest(view, job, event, guest);
    }
    json_decref(job->guests);
    job->guests = json_incref(guests);
}
