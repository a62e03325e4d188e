/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* `virtjob run`: the same jobs, the same events, no broker. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "commands.h"
#include "jobfile.h"
#include "jobs.h"
#include "local.h"
#include "schemas.h"

#define QUEUE_CAPACITY   1024
#define LIVE_INTERVAL_MS 200
#define LINE_INTERVAL_MS 1000

static const struct option_row options_run[] = {
    { "connect", 'c', "URI", COMPLETE_NOTHING,
      "libvirt's connection URI; default: that of the\nenvironment, or qemu:///system." },
    { "config", 0, "FILE", COMPLETE_FILE,
      "Read [host NAME] and [save] of this file; default:\n/etc/virtjob/virtjobd.conf where it is "
      "readable." },
    { "peer", 'p', "NAME=URI", COMPLETE_NOTHING,
      "One more host, to which guests may be migrated;\nmay be given several times." },
    { "host", 'H', "NAME", COMPLETE_NOTHING, "The host for every job, in place of its own." },
    { "id", 'i', "UUID", COMPLETE_NOTHING, "The id, where the file holds one job." },
    { "deadline", 'd', "TIME", COMPLETE_NOTHING, "As of submit." },
    { 0 },
};

struct running {
    struct cli *cli;
    struct config *config;
    struct schema_store *schemas;
    struct envelope_rules *rules;
    struct view *view;
    struct loop loop;
    struct local *local;
    int interrupts;
};

/* The first one asks the job to stop and undo what it has done; the second leaves all as it is. */
static void running_interrupt(struct running *running)
{
    if (running->interrupts++ > 0) {
        view_note(running->view, "ended at once; nothing is undone");
        _exit(EXIT_INTERRUPTED); /* the job's thread may hang in libvirt */
    }
    view_note(running->view, "stopping at the next safe point, then undoing; Ctrl-C again ends at once");
    local_cancel(running->local);
}

/* Until the job has ended. Output that is gone stops the job as an interrupt does. */
static void running_follow(struct running *running)
{
    bool ended = false;

    while (!ended) {
        struct item *item = NULL;
        enum loop_wake wake = loop_next(&running->loop, &item);
        if (wake == LOOP_BROKEN) {
            local_cancel(running->local);
            queue_close(running->loop.queue); /* nobody reads it any more */
            return;
        }
        if (wake == LOOP_INTERRUPTED)
            running_interrupt(running);
        if (item && item->event)
            view_event(running->view, item->event);
        ended = item && item->kind == ITEM_ENDED;
        item_free(item);
    }
    view_draw(running->view);
}

static int running_execute(struct running *running, const struct request *request, struct error *err)
{
    if (view_expect(running->view, request->id, request->type, err) < 0 ||
        local_begin(running->local, request, err) < 0)
        return -1;
    running_follow(running);
    local_end(running->local);
    return 0;
}

static int running_one(struct running *running, const json_t *job, struct error *err)
{
    struct request request = { 0 };
    int rc = jobfile_check(running->rules, job, &request, err);

    if (rc == 0)
        rc = running_execute(running, &request, err);
    request_done(&request);
    return rc;
}

/* One after the other, over the same connections; none after one that did not succeed. */
static int running_all(struct running *running, json_t *jobs)
{
    struct error err = ERROR_INIT;
    size_t i, count = json_array_size(jobs);
    json_t *job;

    json_array_foreach (jobs, i, job) {
        if (running_one(running, job, &err) < 0)
            return cli_fail_error(running->cli, running->cli->operands[0], &err);
        if (view_is_broken(running->view))
            return EXIT_FAILED;
        if (!view_is_good(running->view) && i + 1 < count)
            view_note(running->view, "jobs after it that were not begun: %zu", count - i - 1);
        if (!view_is_good(running->view))
            return EXIT_FAILED;
    }
    return EXIT_SUCCEEDED;
}

/* All are checked before the first is begun. */
static int running_check(struct running *running, json_t *jobs, const struct jobfile_changes *changes)
{
    struct error err = ERROR_INIT;
    json_t *job;
    size_t i;

    json_array_foreach (jobs, i, job) {
        struct request request = { 0 };
        int rc = jobfile_change(job, changes, &err);
        if (rc == 0)
            rc = jobfile_check(running->rules, job, &request, &err);
        if (rc == 0 && !job_type_find(job_tables, request.type))
            rc = error_set_at(&err, ERROR_UNKNOWN_TYPE, "/type", "no job type '%s'", request.type);
        request_done(&request);
        if (rc < 0)
            return cli_fail_error(running->cli, running->cli->operands[0], &err);
    }
    if (jobfile_check_ids(jobs, &err) < 0)
        return cli_fail_error(running->cli, running->cli->operands[0], &err);
    return 0;
}

static int running_read(struct running *running, json_t **ret_jobs)
{
    const struct options *options = &running->cli->options;
    const struct jobfile_changes changes = {
        .id = options_text(options, "id", NULL),
        .host = options_text(options, "host", NULL),
        .host_fallback = "local",
        .deadline = options_text(options, "deadline", NULL),
    };
    struct error err = ERROR_INIT;

    if (jobfile_read(running->cli->operands[0], ret_jobs, &err) < 0)
        return cli_fail(running->cli, EXIT_USAGE, "%s", err.message);
    if (changes.id && json_array_size(*ret_jobs) > 1)
        return cli_fail(running->cli, EXIT_USAGE, "--id is for one job, and there are %zu",
                        json_array_size(*ret_jobs));
    if (!(running->schemas = schemas_load(&err)) ||
        !(running->rules = envelope_rules_new(running->schemas, NULL, "virtjob", &err)))
        return cli_fail_error(running->cli, NULL, &err);
    return running_check(running, *ret_jobs, &changes);
}

/* --peer is a host of the configuration like any other. */
static int running_configure(struct running *running)
{
    const struct options *options = &running->cli->options;
    char *sets[OPTIONS_GIVEN_MAX];
    size_t count = 0;
    struct error err = ERROR_INIT;
    const char *peer;
    int rc = 0;

    for (int at = 0; rc == 0 && (peer = options_next(options, "peer", &at));) {
        int length = (int)strcspn(peer, "=");
        if (!peer[length])
            rc = error_set(&err, ERROR_INVALID, "--peer: '%s' is not NAME=URI", peer);
        else if (asprintf(&sets[count], "host %.*s.uri%s", length, peer, peer + length) < 0)
            rc = error_set_memory(&err);
        else
            count++;
    }
    if (rc == 0)
        running->config = config_load(cli_config_path(running->cli), sets, count, &err);
    while (count > 0)
        free(sets[--count]);
    return running->config ? 0 : cli_fail_error(running->cli, NULL, &err);
}

static int running_start(struct running *running, json_t *jobs)
{
    const struct view_settings settings = {
        .json = cli_json(running->cli) || !isatty(STDOUT_FILENO),
        .only_expected = true,
        .results = json_array_size(jobs) == 1,
    };
    struct local_settings local = {
        .uri = local_uri(running->cli),
        .only = options_given(&running->cli->options, "connect"),
        .host = json_string_value(json_object_get(json_array_get(jobs, 0), "host")),
        .config = running->config,
        .loop = &running->loop,
    };
    struct error err = ERROR_INIT;

    loop_block_signals();
    if (!(running->view = view_new(&settings, &err)) ||
        loop_init(&running->loop, running->view, QUEUE_CAPACITY, 0, &err) < 0)
        return cli_fail_error(running->cli, NULL, &err);
    local.progress_interval_ms = view_is_live(running->view) ? LIVE_INTERVAL_MS : LINE_INTERVAL_MS;
    if (!(running->local = local_new(&local, &err)))
        return cli_fail_error(running->cli, NULL, &err);
    return running_all(running, jobs);
}

static int run_run(struct cli *cli)
{
    struct running running = { .cli = cli, .loop.signals = -1 };
    AUTO(json) json_t *jobs = NULL;
    int code = running_read(&running, &jobs);

    if (code == 0)
        code = running_configure(&running);
    if (code == 0)
        code = running_start(&running, jobs);
    local_free(running.local);
    loop_done(&running.loop);
    view_free(running.view);
    envelope_rules_free(running.rules);
    schema_store_free(running.schemas);
    config_free(running.config);
    return code;
}

const struct command command_run = {
    .name = "run",
    .summary = "Run jobs here, without any broker",
    .operands = "FILE|-",
    .details = "The same jobs as of submit, one after the other, over a connection of its own\n"
               "to libvirt, with the same events. The first that does not succeed is the last.\n"
               "A job of a host that the configuration knows runs there; any other, and with\n"
               "--connect all, over the one connection. Without a host it gets the host 'local'.\n"
               "\n"
               "In a pipe, or with --json, the events are lines of JSON. Ctrl-C stops the job\n"
               "at the next safe point and undoes what it has done; a second one ends at once.",
    .examples = "  virtjob run clone.json --connect qemu:///system\n"
                "  virtjob new host.info | virtjob run - --connect test:///default\n"
                "  virtjob run migrate.json --peer node2=qemu+tls://node2/system\n",
    .operand = OPERAND_FILE,
    .operands_min = 1,
    .operands_max = 1,
    .groups = { options_run, options_common },
    .run = run_run,
};
