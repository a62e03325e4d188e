/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* `virtjob cancel`: orders to the control exchange, and what becomes of them. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "jobfile.h"
#include "schemas.h"

#define ANSWER_MS 30000
#define KEY_SIZE  64

static const struct option_row options_cancel[] = {
    { "reason", 'r', "TEXT", COMPLETE_NOTHING, "Comes back in the outcome; 200 characters." },
    { "timeout", 't', "TIME", COMPLETE_NOTHING, "Wait no longer, as 30s or 2h; default: 30s." },
    { "no-wait", 'n', NULL, COMPLETE_NOTHING, "Order, and do not wait for what becomes of it." },
    { 0 },
};

struct cancel {
    struct cli *cli;
    char (*ids)[REQUEST_ID_SIZE];
    const char **keys; /* with their texts, one allocation */
    size_t count, sent, settled;
    bool wait;
    int64_t timeout_ms;
    struct view *view;
    struct loop loop;
    struct client *client;
    enum exit_code code;
};

CLEANUP_DEFINE(schemas, struct schema_store *, schema_store_free)

static void cancel_done(struct cancel *cancel)
{
    client_close(cancel->client);
    loop_done(&cancel->loop);
    view_free(cancel->view);
    free(cancel->keys);
    free(cancel->ids);
}

/* What a worker would pass over is not sent. */
static int cancel_check_reason(const struct cancel *cancel, struct error *err)
{
    const char *reason = options_text(&cancel->cli->options, "reason", NULL);
    AUTO(schemas) struct schema_store *schemas = schemas_load(err);
    AUTO(json) json_t *order = NULL;

    if (!schemas)
        return -1;
    if (!(order = json_pack("{ss ss*}", "cancel", cancel->ids[0], "reason", reason)))
        return error_set(err, ERROR_INVALID, "--reason: not UTF-8");
    return schema_check(schema_store_find(schemas, "cancel.json"), order, "", err);
}

static int cancel_take_ids(struct cancel *cancel, struct error *err)
{
    size_t count = (size_t)cancel->cli->operand_count;
    char *text;

    cancel->ids = calloc(count, sizeof(*cancel->ids));
    cancel->keys = calloc(1, (count + 1) * sizeof(*cancel->keys) + count * KEY_SIZE);
    if (!cancel->ids || !cancel->keys)
        return error_set_memory(err);
    text = (char *)(cancel->keys + count + 1);
    for (cancel->count = 0; cancel->count < count; cancel->count++, text += KEY_SIZE) {
        char *id = cancel->ids[cancel->count];
        if (jobfile_parse_id(cancel->cli->operands[cancel->count], id, err) < 0 ||
            view_expect(cancel->view, id, "", err) < 0)
            return -1;
        snprintf(text, KEY_SIZE, "job.*.*.*.%s", id);
        cancel->keys[cancel->count] = text;
    }
    return 0;
}

/* All is checked before the first order is sent. */
static int cancel_prepare(struct cancel *cancel, struct error *err)
{
    const struct view_settings settings = {
        .json = cli_json(cancel->cli),
        .only_expected = true,
        .cancelling = true,
    };

    cancel->timeout_ms = ANSWER_MS;
    if (options_duration(&cancel->cli->options, "timeout", &cancel->timeout_ms, err) < 0)
        return -1;
    cancel->view = view_new(&settings, err);
    if (!cancel->view || cancel_take_ids(cancel, err) < 0)
        return -1;
    return cancel_check_reason(cancel, err);
}

static int cancel_feed(struct cancel *cancel, struct error *err)
{
    const char *reason = options_text(&cancel->cli->options, "reason", NULL);

    while (cancel->sent < cancel->count && cancel->sent - cancel->settled < CLIENT_WINDOW) {
        if (client_cancel(cancel->client, cancel->sent, cancel->ids[cancel->sent], reason, err) < 0)
            return -1;
        cancel->sent++;
    }
    return 0;
}

/* Where nothing is waited for, the fate of every order is a line. */
static void cancel_print_fate(const struct cancel *cancel, const char *id, const char *state)
{
    if (cancel->wait)
        return;
    if (cli_json(cancel->cli))
        printf("{\"id\":\"%s\",\"state\":\"%s\"}\n", id, state);
    else if (strcmp(state, "ordered") == 0)
        puts(id);
}

static void cancel_settled(struct cancel *cancel, const struct item *item)
{
    const char *id = cancel->ids[item->index];

    cancel->settled++;
    if (item->fate == MESSAGE_CONFIRMED) {
        cancel_print_fate(cancel, id, "ordered");
    } else if (item->fate == MESSAGE_RETURNED) {
        client_explain_no_control(cancel->client, id);
        cancel_print_fate(cancel, id, "returned");
        view_give_up(cancel->view, id);
        cancel->code = cancel->code ? cancel->code : EXIT_FAILED;
    } else {
        view_note(cancel->view, "job %s: the broker did not confirm the order: it may or may not have it",
                  id);
        cancel_print_fate(cancel, id, "unconfirmed");
        view_give_up(cancel->view, id);
        cancel->code = EXIT_NO_BROKER;
    }
    if (cancel->settled == cancel->count) /* what went before was the broker's time */
        loop_set_timeout(&cancel->loop, cancel->timeout_ms);
}

static void cancel_explain_left(const struct cancel *cancel, const char *id)
{
    switch (view_state(cancel->view, id)) {
    case VIEW_UNHEARD:
        view_note(cancel->view,
                  "job %s: ordered; nothing was heard of it: the order holds for 24 hours, for a job that is "
                  "still queued too",
                  id);
        break;
    case VIEW_GOES_ON:
    case VIEW_STOPS:
        view_note(cancel->view, "job %s: %s; 'virtjob watch %s' shows how it ends", id,
                  view_state(cancel->view, id) == VIEW_STOPS ? "is stopping" : "ordered, and it goes on yet",
                  id);
        break;
    case VIEW_ENDED:
        break;
    }
}

/* The orders stand: that a job takes its time is no failure. */
static enum exit_code cancel_stop(const struct cancel *cancel, enum loop_wake wake)
{
    if (wake == LOOP_BROKEN)
        return EXIT_FAILED;
    if (cancel->settled < cancel->count) {
        view_note(cancel->view,
                  "%zu of %zu orders are not confirmed by the broker: it may or may not have them",
                  cancel->count - cancel->settled, cancel->count);
        return wake == LOOP_INTERRUPTED ? EXIT_INTERRUPTED : EXIT_NO_BROKER;
    }
    for (size_t i = 0; i < cancel->count; i++)
        cancel_explain_left(cancel, cancel->ids[i]);
    if (wake == LOOP_INTERRUPTED)
        return EXIT_INTERRUPTED;
    return cancel->code || view_is_good(cancel->view) ? cancel->code : EXIT_FAILED;
}

static enum exit_code cancel_follow(struct cancel *cancel, struct error *err)
{
    while (cancel->settled < cancel->count || (cancel->wait && view_left(cancel->view))) {
        struct item *item = NULL;
        if (cancel_feed(cancel, err) < 0)
            return (enum exit_code)cli_fail_error(cancel->cli, NULL, err);
        enum loop_wake wake = loop_next(&cancel->loop, &item);
        if (wake != LOOP_ITEM)
            return cancel_stop(cancel, wake);
        client_show(cancel->client, item);
        if (item->kind == ITEM_SETTLED)
            cancel_settled(cancel, item);
        item_free(item);
    }
    if (cancel->wait)
        view_draw(cancel->view);
    if (fflush(stdout) != 0)
        return (enum exit_code)cli_fail(cancel->cli, EXIT_FAILED, "cannot write to standard output");
    return cancel->code || view_is_good(cancel->view) ? cancel->code : EXIT_FAILED;
}

static int cancel_order(struct cancel *cancel, struct error *err)
{
    AUTO(config) struct config *config = client_config(cancel->cli, err);

    if (!config || cancel_prepare(cancel, err) < 0)
        return cli_fail_error(cancel->cli, NULL, err);
    loop_block_signals();
    if (loop_init(&cancel->loop, cancel->view, CLIENT_CAPACITY, cancel->timeout_ms, err) < 0 ||
        !(cancel->client =
              client_open(config, &cancel->loop, cancel->wait ? cancel->keys : NULL, ANSWER_MS, err)))
        return cli_fail_error(cancel->cli, NULL, err);
    int code = cancel_follow(cancel, err);
    client_close(STEAL(&cancel->client)); /* before the configuration goes */
    return code;
}

static int cancel_run(struct cli *cli)
{
    struct cancel cancel = { .cli = cli,
                             .wait = !options_given(&cli->options, "no-wait"),
                             .loop.signals = -1 };
    struct error err = ERROR_INIT;
    int code = cancel_order(&cancel, &err);

    cancel_done(&cancel);
    return code;
}

const struct command command_cancel = {
    .name = "cancel",
    .summary = "Stop jobs, and undo what they have done",
    .operands = "JOB...",
    .details = "Orders each JOB, by its id, to end as cancelled: one that is queued or waits for\n"
               "a retry is not begun; one that runs stops at its next safe point and is undone.\n"
               "What libvirt cannot interrupt, as a copy, is let end and then removed. An order\n"
               "holds for 24 hours.\n"
               "\n"
               "Then it says what has become of each; that nothing was heard of one is no\n"
               "failure. Ctrl-C ends the waiting, not the order.",
    .examples = "  virtjob cancel 5f0c5a5e-0c7b-4a86-93f5-0f6f4a7f3f0e --reason 'wrong pool'\n"
                "  virtjob cancel --no-wait $(cat ids)\n",
    .operand = OPERAND_JOB,
    .operands_min = 1,
    .operands_max = -1,
    .groups = { options_cancel, options_broker, options_common },
    .run = cancel_run,
};
