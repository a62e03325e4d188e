/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* `virtjob watch`: what happens, as it happens. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "commands.h"
#include "jobfile.h"

#define CONNECT_MS 30000
#define KEY_SIZE   64

static const struct option_row options_watch[] = {
    { "jobs", 'J', NULL, COMPLETE_NOTHING, "Only jobs." },
    { "guests", 'G', NULL, COMPLETE_NOTHING, "Only guests, hosts and workers." },
    { "timeout", 't', "TIME", COMPLETE_NOTHING, "Watch no longer, as 30s or 2h." },
    { 0 },
};

struct watching {
    struct cli *cli;
    struct view *view;
    struct loop loop;
    struct client *client;
    const char **keys;
};

static void watching_done(struct watching *watching)
{
    client_close(watching->client);
    loop_done(&watching->loop);
    view_free(watching->view);
    free(watching->keys);
}

/* What to hear where no job is named. */
static void watching_keys_of_all(const struct watching *watching)
{
    const struct options *options = &watching->cli->options;
    bool guests = options_given(options, "guests"), jobs = options_given(options, "jobs");
    const char **key = watching->keys;

    if (jobs || !guests)
        *key++ = "job.#";
    if (guests || !jobs) {
        *key++ = "guest.#";
        *key++ = "host.#";
        *key++ = "worker.#";
    }
}

/* Ids are written in lower case in routing keys. */
static int watching_keys_of_jobs(struct watching *watching, char *text, struct error *err)
{
    for (int i = 0; i < watching->cli->operand_count; i++, text += KEY_SIZE) {
        char id[REQUEST_ID_SIZE];
        if (jobfile_parse_id(watching->cli->operands[i], id, err) < 0 ||
            view_expect(watching->view, id, "", err) < 0)
            return -1;
        snprintf(text, KEY_SIZE, "job.*.*.*.%s", id);
        watching->keys[i] = text;
    }
    return 0;
}

static int watching_prepare(struct watching *watching, int64_t *ret_timeout_ms, struct error *err)
{
    struct cli *cli = watching->cli;
    size_t count = (size_t)cli->operand_count, room = count > 4 ? count : 4;
    const struct view_settings settings = {
        .json = cli_json(cli),
        .only_expected = count > 0,
        .results = count == 1,
    };

    if (options_duration(&cli->options, "timeout", ret_timeout_ms, err) < 0)
        return -1;
    watching->view = view_new(&settings, err);
    watching->keys = calloc(1, (room + 1) * sizeof(*watching->keys) + count * KEY_SIZE);
    if (!watching->view || !watching->keys)
        return error_set_memory(err);
    if (count > 0)
        return watching_keys_of_jobs(watching, (char *)(watching->keys + room + 1), err);
    watching_keys_of_all(watching);
    return 0;
}

static enum exit_code watching_stop(const struct watching *watching, enum loop_wake wake)
{
    size_t left = view_left(watching->view);

    if (wake == LOOP_BROKEN)
        return EXIT_FAILED;
    if (left && wake == LOOP_TIMED_OUT)
        view_note(watching->view, "no outcome of %zu jobs in the time given; what runs goes on", left);
    if (wake == LOOP_INTERRUPTED)
        return left ? EXIT_INTERRUPTED : EXIT_SUCCEEDED; /* watching all has no other end */
    return left ? EXIT_FAILED : EXIT_SUCCEEDED;
}

static enum exit_code watching_follow(struct watching *watching)
{
    bool all = watching->cli->operand_count == 0;

    while (all || view_left(watching->view)) {
        struct item *item = NULL;
        enum loop_wake wake = loop_next(&watching->loop, &item);
        if (wake != LOOP_ITEM)
            return watching_stop(watching, wake);
        client_show(watching->client, item);
        item_free(item);
    }
    view_draw(watching->view);
    return view_is_good(watching->view) ? EXIT_SUCCEEDED : EXIT_FAILED;
}

static int watching_run(struct watching *watching, struct error *err)
{
    AUTO(config) struct config *config = client_config(watching->cli, err);
    int64_t timeout_ms = 0;

    if (!config || watching_prepare(watching, &timeout_ms, err) < 0)
        return cli_fail_error(watching->cli, NULL, err);
    loop_block_signals();
    if (loop_init(&watching->loop, watching->view, CLIENT_CAPACITY, timeout_ms, err) < 0 ||
        !(watching->client = client_open(config, &watching->loop, watching->keys, CONNECT_MS, err)))
        return cli_fail_error(watching->cli, NULL, err);
    if (!cli_json(watching->cli))
        view_note(watching->view, "%s",
                  watching->cli->operand_count
                      ? "watching; a job that has ended already is not heard of again"
                      : "watching; Ctrl-C ends it");
    watching->loop.output = STDOUT_FILENO;
    int code = watching_follow(watching);
    client_close(STEAL(&watching->client)); /* before the configuration goes */
    return code;
}

static int watch_run(struct cli *cli)
{
    struct watching watching = { .cli = cli, .loop.signals = -1 };
    struct error err = ERROR_INIT;
    int code = watching_run(&watching, &err);

    watching_done(&watching);
    return code;
}

const struct command command_watch = {
    .name = "watch",
    .summary = "Show jobs and guests, live",
    .operands = "[JOB...]",
    .details = "Without JOB, everything that happens on the broker's hosts, until Ctrl-C. With\n"
               "the ids of jobs, only these, until each has its outcome: then the exit code\n"
               "tells. Only what happens from now on is shown.",
    .examples = "  virtjob watch\n"
                "  virtjob watch --guests --json | jq .subject\n"
                "  virtjob watch 5f0c5a5e-0c7b-4a86-93f5-0f6f4a7f3f0e\n",
    .operand = OPERAND_JOB,
    .operands_max = -1,
    .groups = { options_watch, options_broker, options_common },
    .run = watch_run,
};
