/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* `virtjob submit`: jobs from a file to the broker, and with --watch what becomes of them. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog.h"
#include "cleanup.h"
#include "client.h"
#include "commands.h"
#include "jobfile.h"
#include "schemas.h"
#include "text.h"

#define ANSWER_MS 30000 /* how long the broker may be silent while jobs are under way to it */

static const struct option_row options_submit[] = {
    { "watch", 'w', NULL, COMPLETE_NOTHING, "Show progress, and end with the outcome." },
    { "host", 'H', "NAME", COMPLETE_NOTHING, "The host for every job of the file." },
    { "id", 'i', "UUID", COMPLETE_NOTHING, "The id, where the file holds one job." },
    { "deadline", 'd', "TIME", COMPLETE_NOTHING, "Not to begin later: RFC 3339, or from now as 90m." },
    { "timeout", 't', "TIME", COMPLETE_NOTHING, "Wait no longer, as 30s or 2h; the job goes on." },
    { "no-check", 0, NULL, COMPLETE_NOTHING, "Leave all checks to the worker." },
    { 0 },
};

/* One job on its way. */
struct submission {
    char *id, *type, *host;
    char *text; /* NULL once it was sent */
};

struct submit {
    struct cli *cli;
    struct submission *jobs;
    size_t count, sent, settled;
    bool watch;
    int64_t timeout_ms; /* 0: none given */
    struct view *view;
    struct loop loop;
    struct client *client;
    enum exit_code code;
};

CLEANUP_DEFINE(schemas, struct schema_store *, schema_store_free)
CLEANUP_DEFINE(rules, struct envelope_rules *, envelope_rules_free)

static void submit_done(struct submit *submit)
{
    client_close(submit->client);
    loop_done(&submit->loop);
    view_free(submit->view);
    for (size_t i = 0; i < submit->count; i++) {
        free(submit->jobs[i].id);
        free(submit->jobs[i].type);
        free(submit->jobs[i].host);
        free(submit->jobs[i].text);
    }
    free(submit->jobs);
}

/* Says which job of the file, where there are several. */
static int submit_refuse(const struct submit *submit, size_t index, const struct error *err)
{
    char what[512];

    snprintf(what, sizeof(what), submit->count > 1 ? "%s: job %zu of %zu" : "%s", submit->cli->operands[0],
             index + 1, submit->count);
    return cli_fail_error(submit->cli, what, err);
}

/* An older or newer worker than this program may have other types: that is for --no-check. */
static int submit_check(const struct submit *submit, const struct envelope_rules *rules, size_t index,
                        const json_t *job)
{
    struct request request;
    struct error err = ERROR_INIT;
    int rc = rules ? jobfile_check(rules, job, &request, &err) : 0;
    const char *nearest = rc < 0 && err.code == ERROR_UNKNOWN_TYPE ? catalog_nearest(request.type) : NULL;

    if (nearest)
        snprintf(err.message + strlen(err.message), sizeof(err.message) - strlen(err.message),
                 "; did you mean '%s'?", nearest);
    if (rules)
        request_done(&request);
    return rc < 0 ? submit_refuse(submit, index, &err) : 0;
}

/* What the routing key is made of must be there, checked or not. */
static int submit_take(struct submission *submission, const json_t *job, struct error *err)
{
    static const char *const keys[] = { "id", "type", "host" };
    char **const values[] = { &submission->id, &submission->type, &submission->host };

    for (int i = 0; i < 3; i++) {
        const char *text = json_string_value(json_object_get(job, keys[i]));
        if (!text || !*text || strlen(text) > 100)
            return error_set(err, ERROR_INVALID, "the job needs a '%s', of at most 100 bytes", keys[i]);
        if (!(*values[i] = strdup(text)))
            return error_set_memory(err);
    }
    submission->text = jobfile_text(job, err);
    return submission->text ? 0 : -1;
}

static int submit_prepare(struct submit *submit, json_t *jobs, const struct envelope_rules *rules,
                          const struct jobfile_changes *changes)
{
    struct error err = ERROR_INIT;
    json_t *job;
    size_t i;
    int code;

    json_array_foreach (jobs, i, job) {
        if (jobfile_change(job, changes, &err) < 0)
            return submit_refuse(submit, i, &err);
        if ((code = submit_check(submit, rules, i, job)) != 0)
            return code;
        if (submit_take(&submit->jobs[i], job, &err) < 0)
            return submit_refuse(submit, i, &err);
    }
    if (jobfile_check_ids(jobs, &err) < 0)
        return cli_fail_error(submit->cli, submit->cli->operands[0], &err);
    return 0;
}

static int submit_load_rules(const struct submit *submit, struct schema_store **ret_schemas,
                             struct envelope_rules **ret_rules, struct error *err)
{
    if (options_given(&submit->cli->options, "no-check"))
        return 0;
    if (!(*ret_schemas = schemas_load(err)))
        return -1;
    *ret_rules = envelope_rules_new(*ret_schemas, NULL, "virtjob", err);
    return *ret_rules ? 0 : -1;
}

/* Reads, changes and checks all jobs before the first is sent. */
static int submit_read(struct submit *submit)
{
    const struct options *options = &submit->cli->options;
    const struct jobfile_changes changes = {
        .id = options_text(options, "id", NULL),
        .host = options_text(options, "host", NULL),
        .deadline = options_text(options, "deadline", NULL),
    };
    AUTO(schemas) struct schema_store *schemas = NULL;
    AUTO(rules) struct envelope_rules *rules = NULL;
    AUTO(json) json_t *jobs = NULL;
    struct error err = ERROR_INIT;

    if (options_duration(options, "timeout", &submit->timeout_ms, &err) < 0 ||
        submit_load_rules(submit, &schemas, &rules, &err) < 0)
        return cli_fail_error(submit->cli, NULL, &err);
    if (jobfile_read(submit->cli->operands[0], &jobs, &err) < 0)
        return cli_fail(submit->cli, EXIT_USAGE, "%s", err.message);
    submit->jobs = calloc(json_array_size(jobs), sizeof(*submit->jobs));
    if (!submit->jobs)
        return error_set_memory(&err), cli_fail_error(submit->cli, NULL, &err);
    submit->count = json_array_size(jobs);
    if (changes.id && submit->count > 1)
        return cli_fail(submit->cli, EXIT_USAGE, "--id is for one job, and there are %zu", submit->count);
    return submit_prepare(submit, jobs, rules, &changes);
}

/* One routing key a job; the strings and the list are one allocation. */
static const char **submit_keys(const struct submit *submit)
{
    enum { SIZE = 128 };
    const char **keys = calloc(1, (submit->count + 1) * sizeof(*keys) + submit->count * SIZE);
    char *text = keys ? (char *)(keys + submit->count + 1) : NULL;

    for (size_t i = 0; keys && i < submit->count; i++, text += SIZE) {
        snprintf(text, SIZE, "job.*.*.*.%s", submit->jobs[i].id);
        keys[i] = text;
    }
    return keys;
}

static int submit_open_view(struct submit *submit, struct error *err)
{
    const struct view_settings settings = {
        .json = cli_json(submit->cli),
        .only_expected = true,
        .results = submit->count == 1,
    };

    if (!(submit->view = view_new(&settings, err)) ||
        loop_init(&submit->loop, submit->view, CLIENT_CAPACITY,
                  submit->timeout_ms ? submit->timeout_ms : ANSWER_MS, err) < 0)
        return -1;
    for (size_t i = 0; submit->watch && i < submit->count; i++)
        if (view_expect(submit->view, submit->jobs[i].id, submit->jobs[i].type, err) < 0)
            return -1;
    return 0;
}

/* Sends what may be under way at once. */
static int submit_feed(struct submit *submit, struct error *err)
{
    while (submit->sent < submit->count && submit->sent - submit->settled < CLIENT_WINDOW) {
        struct submission *job = &submit->jobs[submit->sent];
        if (client_submit(submit->client, submit->sent, STEAL(&job->text), job->id, job->type, job->host,
                          err) < 0)
            return -1;
        submit->sent++;
    }
    return 0;
}

/* With --json and nothing to watch, the fate of every job is a line. */
static void submit_print_fate(const struct submit *submit, const struct submission *job, const char *state)
{
    if (submit->watch || !cli_json(submit->cli))
        return;
    AUTO(json) json_t *line =
        json_pack("{ss ss ss ss}", "id", job->id, "type", job->type, "host", job->host, "state", state);
    json_dumpf(line, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
    putchar('\n');
}

static void submit_confirmed(const struct submit *submit, const struct submission *job)
{
    char id[512];

    text_escape(false, job->id, id, sizeof(id));
    if (submit->watch) {
        if (submit->count == 1 && !view_is_live(submit->view))
            view_note(submit->view, "job %s is submitted", job->id);
        return;
    }
    if (!cli_json(submit->cli))
        puts(id);
    submit_print_fate(submit, job, "submitted");
}

static void submit_settled(struct submit *submit, const struct item *item)
{
    const struct submission *job = &submit->jobs[item->index];

    submit->settled++;
    if (item->fate == MESSAGE_CONFIRMED) {
        submit_confirmed(submit, job);
    } else if (item->fate == MESSAGE_RETURNED) {
        client_explain_returned(submit->client, job->id, job->type, job->host);
        submit_print_fate(submit, job, "returned");
        view_give_up(submit->view, job->id);
        submit->code = submit->code ? submit->code : EXIT_FAILED;
    } else {
        view_note(submit->view, "job %s: the broker did not confirm it: it may or may not have it", job->id);
        submit_print_fate(submit, job, "unconfirmed");
        view_give_up(submit->view, job->id);
        submit->code = EXIT_NO_BROKER;
    }
    if (!submit
             ->timeout_ms) /* the broker has spoken; from the last job on, the workers have all the time they need */
        loop_set_timeout(&submit->loop, submit->settled < submit->count ? ANSWER_MS : 0);
}

/* Why the watching ends before its time. */
static enum exit_code submit_stop(const struct submit *submit, enum loop_wake wake)
{
    bool sent = submit->settled == submit->count;

    if (wake == LOOP_BROKEN)
        return EXIT_FAILED;
    if (!sent)
        view_note(submit->view,
                  "%zu of %zu jobs are not confirmed by the broker: it may or may not have them",
                  submit->count - submit->settled, submit->count);
    else if (submit->count == 1)
        view_note(submit->view, "%sthe job goes on; 'virtjob watch %s' watches it again",
                  wake == LOOP_TIMED_OUT ? "no outcome in the time given: " : "", submit->jobs[0].id);
    else
        view_note(submit->view, "jobs that go on: %zu; 'virtjob watch' shows them again",
                  view_left(submit->view));
    return wake == LOOP_INTERRUPTED ? EXIT_INTERRUPTED : sent ? EXIT_FAILED : EXIT_NO_BROKER;
}

static enum exit_code submit_follow(struct submit *submit)
{
    struct error err = ERROR_INIT;

    while (submit->settled < submit->count || (submit->watch && view_left(submit->view))) {
        struct item *item = NULL;
        if (submit_feed(submit, &err) < 0)
            return (enum exit_code)cli_fail_error(submit->cli, NULL, &err);
        enum loop_wake wake = loop_next(&submit->loop, &item);
        if (wake != LOOP_ITEM)
            return submit_stop(submit, wake);
        client_show(submit->client, item);
        if (item->kind == ITEM_SETTLED)
            submit_settled(submit, item);
        item_free(item);
    }
    view_draw(submit->view);
    if (fflush(stdout) != 0)
        return (enum exit_code)cli_fail(submit->cli, EXIT_FAILED, "cannot write to standard output");
    return submit->code || view_is_good(submit->view) ? submit->code : EXIT_FAILED;
}

static int submit_connect_and_follow(struct submit *submit)
{
    AUTO(memory) void *keys = submit->watch ? submit_keys(submit) : NULL;
    struct error err = ERROR_INIT;
    AUTO(config) struct config *config = client_config(submit->cli, &err);

    if (!config)
        return cli_fail_error(submit->cli, NULL, &err);
    loop_block_signals();
    if (submit_open_view(submit, &err) < 0 ||
        !(submit->client = client_open(config, &submit->loop, keys, ANSWER_MS, &err)))
        return cli_fail_error(submit->cli, NULL, &err);
    if (!submit->timeout_ms)
        loop_set_timeout(&submit->loop, ANSWER_MS); /* connecting took of the first */
    int code = submit_follow(submit);
    client_close(STEAL(&submit->client)); /* before the configuration goes */
    return code;
}

static int submit_run(struct cli *cli)
{
    struct submit submit = { .cli = cli, .watch = options_given(&cli->options, "watch"), .loop.signals = -1 };
    int code = submit_read(&submit);

    if (code == 0)
        code = submit_connect_and_follow(&submit);
    submit_done(&submit);
    return code;
}

const struct command command_submit = {
    .name = "submit",
    .summary = "Send jobs to the workers",
    .operands = "FILE|-",
    .details = "FILE (- is standard input) holds one job, an array of jobs, or several one\n"
               "after another (JSON Lines). A job without an id gets one. All are checked\n"
               "before the first is sent; each id is printed when the broker has the job\n"
               "safely.\n"
               "\n"
               "With --watch, progress follows, then each outcome. Ctrl-C ends the watching,\n"
               "not the job.",
    .examples = "  virtjob submit clone.json --watch\n"
                "  virtjob new guest.info --host node1 | virtjob submit - -w --json\n"
                "  virtjob submit jobs.jsonl --host node2 --deadline 2h\n",
    .operand = OPERAND_FILE,
    .operands_min = 1,
    .operands_max = 1,
    .groups = { options_submit, options_broker, options_common },
    .run = submit_run,
};
