/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* `virtjob orphans`: what a job of type host.orphans finds, as a table; the job does all the rest. */

#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "cleanup.h"
#include "commands.h"
#include "event.h"
#include "terminal.h"
#include "text.h"

#define LIMIT      10000
#define SHOWN_SIZE 2048

static const struct option_row options_orphans[] = {
    { "reap", 'r', NULL, COMPLETE_NOTHING, "Remove them; without it nothing is changed." },
    { "older-than", 'o', "TIME", COMPLETE_NOTHING, "Leave younger ones alone; default: 1h." },
    { "connect", 0, "URI", COMPLETE_NOTHING,
      "Look here, without a broker; default: that of\nthe environment, or qemu:///system." },
    { "host", 'H', "NAME", COMPLETE_NOTHING, "Let the worker of that host look." },
    { "timeout", 't', "TIME", COMPLETE_NOTHING, "Wait no longer; default: for ever." },
    { 0 },
};

/* The columns of one find, before its verdict. */
enum { COLUMN_FOUND, COLUMN_JOB, COLUMN_AGE, COLUMN_SIZE, COLUMNS };

static void orphans_cell(const json_t *find, int column, char *out, size_t size)
{
    const char *kind = event_text(find, "kind");
    char raw[SHOWN_SIZE] = "";

    if (column == COLUMN_FOUND && strcmp(kind, "guest") == 0)
        snprintf(raw, sizeof(raw), "guest %s", event_text(find, "guest"));
    else if (column == COLUMN_FOUND)
        snprintf(raw, sizeof(raw), "%s %s/%s", kind, event_text(find, "pool"), event_text(find, "volume"));
    else if (column == COLUMN_JOB)
        snprintf(raw, sizeof(raw), "%s", event_text(find, "stamp/job"));
    else if (column == COLUMN_AGE && event_at(find, "stamp/age_s"))
        text_age((int64_t)event_number(find, "stamp/age_s", 0), raw, sizeof(raw));
    else if (column == COLUMN_SIZE && event_at(find, "allocation"))
        text_bytes(event_number(find, "allocation", 0), raw, sizeof(raw));
    text_escape(terminal_is_unicode(), raw, out, size);
}

static bool orphans_verdict_is(const json_t *find, const char *verdict)
{
    return strcmp(event_text(find, "verdict"), verdict) == 0;
}

/* What it is, or what became of it. */
static void orphans_verdict(const json_t *find, char *out, size_t size)
{
    const json_t *reaped = event_at(find, "reaped");
    char raw[SHOWN_SIZE];

    if (json_is_true(reaped))
        snprintf(raw, sizeof(raw), "%s", orphans_verdict_is(find, "stale") ? "stamp cleared" : "removed");
    else if (json_is_false(reaped))
        snprintf(raw, sizeof(raw), "NOT REMOVED: %s", event_text(find, "error/message"));
    else
        snprintf(raw, sizeof(raw), "%s: %s%s", event_text(find, "verdict"), event_text(find, "why"),
                 json_is_true(event_at(find, "active")) ? " (it runs)" : "");
    text_escape(terminal_is_unicode(), raw, out, size);
}

static void orphans_table(const json_t *finds)
{
    int widths[COLUMNS] = { 0 };
    char shown[SHOWN_SIZE];
    const json_t *find;
    size_t i;

    json_array_foreach (finds, i, find)
        for (int column = 0; column < COLUMNS; column++) {
            orphans_cell(find, column, shown, sizeof(shown));
            int width = text_width(shown);
            widths[column] = width > widths[column] ? width : widths[column];
        }
    json_array_foreach (finds, i, find) {
        for (int column = 0; column < COLUMNS; column++) {
            orphans_cell(find, column, shown, sizeof(shown));
            printf("%s%*s  ", shown, widths[column] - text_width(shown), "");
        }
        orphans_verdict(find, shown, sizeof(shown));
        puts(shown);
    }
}

static size_t orphans_count(const json_t *finds, const char *verdict)
{
    const json_t *find;
    size_t i, count = 0;

    json_array_foreach (finds, i, find)
        count += orphans_verdict_is(find, verdict);
    return count;
}

/* Lines for a person, as those of cli_fail. */
static void orphans_explain_unseen(const struct cli *cli, const json_t *unseen)
{
    const json_t *entry;
    size_t i;

    json_array_foreach (unseen, i, entry)
        cli_fail(cli, EXIT_FAILED, "not looked at: %s%s%s%s: %s", event_text(entry, "guest"),
                 event_text(entry, "pool"), event_at(entry, "volume") ? "/" : "", event_text(entry, "volume"),
                 event_text(entry, "error/message"));
}

/* What is left, and what to do about it. */
static int orphans_sum_up(const struct cli *cli, const json_t *result)
{
    const json_t *unseen = event_at(result, "unseen"), *finds = event_at(result, "orphans");
    size_t left = (size_t)(event_number(result, "reapable", 0) - event_number(result, "reaped", 0));
    size_t unclear = orphans_count(finds, "unclear");
    bool truncated = json_is_true(event_at(result, "truncated"));

    orphans_explain_unseen(cli, unseen);
    if (left && !options_given(&cli->options, "reap"))
        cli_fail(cli, EXIT_FAILED, "%zu to remove; nothing was changed: the same with --reap removes them",
                 left);
    else if (left)
        cli_fail(cli, EXIT_FAILED, "%zu could not be removed", left);
    if (unclear)
        cli_fail(cli, EXIT_FAILED, "%zu unclear: nobody but you can tell what is to become of them", unclear);
    if (truncated)
        cli_fail(cli, EXIT_FAILED, "there are more than these");
    return left || unclear || truncated || json_array_size(unseen) ? EXIT_FAILED : EXIT_SUCCEEDED;
}

static int orphans_show(const struct cli *cli, const json_t *result)
{
    const bool as_json = cli_json(cli);

    if (!as_json)
        orphans_table(event_at(result, "orphans"));
    else if (json_dumpf(result, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) < 0 || putchar('\n') == EOF)
        return cli_fail(cli, EXIT_FAILED, "cannot write to standard output");
    if (fflush(stdout) != 0)
        return cli_fail(cli, EXIT_FAILED, "cannot write to standard output");
    return orphans_sum_up(cli, result);
}

static int orphans_run(struct cli *cli)
{
    int64_t min_age_ms = 3600 * 1000, timeout_ms = 0;
    AUTO(json) json_t *result = NULL;
    AUTO(json) json_t *job = NULL;
    struct error err = ERROR_INIT;
    int code;

    if (options_duration(&cli->options, "older-than", &min_age_ms, &err) < 0 ||
        options_duration(&cli->options, "timeout", &timeout_ms, &err) < 0)
        return cli_fail_error(cli, NULL, &err);
    job = json_pack("{s:s, s:{s:b, s:I, s:i}}", "type", "host.orphans", "params", "reap",
                    (int)options_given(&cli->options, "reap"), "min_age_s",
                    (json_int_t)(min_age_ms + 999) / 1000, "limit", LIMIT);
    if (!job)
        return error_set_memory(&err), cli_fail_error(cli, NULL, &err);
    code = ask_job(cli, job, timeout_ms, &result);
    return code ? code : orphans_show(cli, result);
}

const struct command command_orphans = {
    .name = "orphans",
    .summary = "Find, and remove, what unfinished jobs left",
    .operands = "",
    .details = "Lists the volumes and guests of a host that carry the stamp of a job: what it\n"
               "is, the job, how long ago, the size, and what has to be made of it. An orphan\n"
               "was begun and nobody will finish it; of a stale one only the stamp is left;\n"
               "young and in-work ones may belong to a job under way, and are no reason to\n"
               "worry; unclear ones only you can judge.\n"
               "\n"
               "Nothing is changed without --reap, which deletes orphans and clears stale\n"
               "stamps. Choose --older-than longer than any job may still come again, as after\n"
               "an outage of the broker. Ends with 1 where something is left. With --json, the\n"
               "result of the job host.orphans is printed as it is.",
    .examples = "  virtjob orphans --connect qemu:///system\n"
                "  virtjob orphans --host node1 --older-than 1d --reap\n",
    .operand = OPERAND_NONE,
    .groups = { options_orphans, options_broker, options_common },
    .run = orphans_run,
};
