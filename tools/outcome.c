/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Everything shown is escaped: names and messages come from guests, hosts and other people's jobs. */

#include "outcome.h"

#include <stdlib.h>
#include <string.h>

#include "catalog.h"
#include "cleanup.h"
#include "event.h"
#include "help.h"
#include "text.h"

#define RESULT_LINES_MAX 60
#define SHOWN_SIZE       4096

static const char *outcome_safe(const char *text, const struct terminal *terminal, char *out)
{
    return text_escape(terminal->unicode, text, out, SHOWN_SIZE);
}

static void outcome_note(FILE *out, bool *begun, const char *note)
{
    fprintf(out, "%s%s", *begun ? "; " : " (", note);
    *begun = true;
}

/* In brackets: what a reader should know of a success. */
static void outcome_notes(FILE *out, const json_t *data, const struct terminal *terminal)
{
    char method[SHOWN_SIZE], why[SHOWN_SIZE], note[2 * SHOWN_SIZE + 2];
    bool begun = false;

    if (event_at(data, "choice")) {
        snprintf(note, sizeof(note), "%s: %s",
                 outcome_safe(event_text(data, "choice/method"), terminal, method),
                 outcome_safe(event_text(data, "choice/why"), terminal, why));
        outcome_note(out, &begun, note);
    }
    if (json_is_false(event_at(data, "changed")) && !catalog_only_looks(event_text(data, "job/type")))
        outcome_note(out, &begun, "it was so already");
    if (json_is_true(event_at(data, "adopted")))
        outcome_note(out, &begun, "adopted from another worker");
    if (begun)
        putc(')', out);
}

/* What an outcome other than a success says of itself; "cancelled: cancelled" would say it twice. */
static void outcome_code(FILE *out, const json_t *data, const char *state, const struct terminal *terminal)
{
    const char *code = event_text(data, "error/code");
    char shown[SHOWN_SIZE];

    if (*code && strcmp(code, state) != 0)
        fprintf(out, ": %s", outcome_safe(code, terminal, shown));
}

void outcome_headline(FILE *out, const json_t *event, const char *label, bool good,
                      const struct terminal *terminal)
{
    const json_t *data = event_at(event, "data");
    const char *state = event_kind(event) + strlen("job.");
    bool succeeded = strcmp(state, "succeeded") == 0;
    char color[16], end[16], duration[24], shown[SHOWN_SIZE];
    const char *mark = !terminal->unicode ? "" : good ? "\u2713 " : "\u2717 ";

    fprintf(out, "%s%s%s ", terminal_color(terminal, good ? "32" : "31", color), mark, label);
    fprintf(out, "%s ", outcome_safe(event_text(data, "job/type"), terminal, shown));
    fprintf(out, "%s%s", outcome_safe(state, terminal, shown), terminal_color(terminal, "0", end));
    if (event_at(data, "run_ms"))
        fprintf(out, " %s %s", succeeded ? "in" : "after",
                text_duration((int64_t)event_number(data, "run_ms", 0), duration, sizeof(duration)));
    if (succeeded)
        outcome_notes(out, data, terminal);
    else
        outcome_code(out, data, state, terminal);
    putc('\n', out);
}

static void outcome_field(FILE *out, const char *name, const char *text, const struct terminal *terminal)
{
    char shown[SHOWN_SIZE];

    if (*text)
        fprintf(out, "    %-10s %s\n", name, outcome_safe(text, terminal, shown));
}

static void outcome_undo(FILE *out, const json_t *undo, const struct terminal *terminal)
{
    AUTO(string) char *target = json_dumps(event_at(undo, "target"), JSON_COMPACT | JSON_ENCODE_ANY);
    char what[SHOWN_SIZE], where[SHOWN_SIZE], why[SHOWN_SIZE];
    bool ok = json_is_true(event_at(undo, "ok"));

    outcome_safe(event_text(undo, "undo"), terminal, what);
    outcome_safe(target, terminal, where);
    outcome_safe(event_text(undo, "error/message"), terminal, why);
    fprintf(out, "    %-10s %s %s%s%s\n", ok ? "undone" : "NOT UNDONE", what, where, ok ? "" : ": ",
            ok ? "" : why);
}

void outcome_rollback(FILE *out, const json_t *event, const struct terminal *terminal)
{
    const json_t *undo;
    size_t i;

    json_array_foreach (event_at(event, "data/rollback"), i, undo)
        outcome_undo(out, undo, terminal);
}

static void outcome_error(FILE *out, const json_t *event, const struct terminal *terminal)
{
    const json_t *data = event_at(event, "data"), *error = event_at(data, "error");
    const char *hint = help_hint(event_text(error, "code"));

    outcome_field(out, "error", event_text(error, "message"), terminal);
    outcome_field(out, "where", event_text(error, "where"), terminal);
    outcome_field(out, "step", event_text(error, "step"), terminal);
    if (!strstr(event_text(error, "message"), event_text(error, "libvirt/message")))
        outcome_field(out, "libvirt", event_text(error, "libvirt/message"), terminal);
    outcome_rollback(out, event, terminal);
    if (terminal->live) /* else the line above has it whole */
        outcome_field(out, "job", event_text(data, "job/id"), terminal);
    if (hint)
        outcome_field(out, "hint", hint, terminal);
}

static void outcome_result(FILE *out, const json_t *result, const struct terminal *terminal)
{
    AUTO(string) char *text = json_dumps(result, JSON_INDENT(2));
    size_t lines = 1;

    for (const char *c = text; c && *c; c++)
        lines += *c == '\n';
    if (!text || json_object_size(result) == 0)
        return;
    if (lines > RESULT_LINES_MAX) {
        fprintf(out, "    the result has %zu lines; --json prints it\n", lines);
        return;
    }
    size_t size = strlen(text) * 8 + 1; /* the longest escape of a byte */
    AUTO(string) char *shown = malloc(size);
    if (!shown)
        return;
    text_escape_lines(terminal->unicode, text, shown, size);
    for (char *rest = shown, *line; (line = strsep(&rest, "\n"));)
        fprintf(out, "    %s\n", line);
}

void outcome_details(FILE *out, const json_t *event, bool result, const struct terminal *terminal)
{
    const json_t *data = event_at(event, "data");

    if (event_at(data, "error"))
        outcome_error(out, event, terminal);
    else if (result)
        outcome_result(out, event_at(data, "result"), terminal);
}
