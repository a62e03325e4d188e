/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Both ways end with the same event: the outcome. */

#include "ask.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "event.h"
#include "jobfile.h"
#include "local.h"
#include "schemas.h"

#define ANSWER_MS   30000 /* how long the broker may be silent before it has the job */
#define PROGRESS_MS 1000
#define SILENT_MS   2000 /* then it is said who is waited for */

struct asking {
    struct cli *cli;
    json_t *job;
    struct request request;
    struct view *view;
    struct loop loop;
    json_t *outcome;    /* the event */
    int64_t timeout_ms; /* 0: none */
    int interrupts;
    bool told; /* who is waited for */
};

CLEANUP_DEFINE(schemas, struct schema_store *, schema_store_free)
CLEANUP_DEFINE(rules, struct envelope_rules *, envelope_rules_free)
CLEANUP_DEFINE(local, struct local *, local_free)
CLEANUP_DEFINE(client, struct client *, client_close)

static void asking_done(struct asking *asking)
{
    loop_done(&asking->loop);
    view_free(asking->view);
    request_done(&asking->request);
    json_decref(asking->outcome);
}

/* Gives the job its id, and checks it as any other. */
static int asking_prepare(struct asking *asking, struct error *err)
{
    const struct jobfile_changes changes = {
        .host = options_text(&asking->cli->options, "host", NULL),
        .host_fallback = "local",
        .fresh_id = true,
    };
    const struct view_settings settings = { .only_expected = true };
    AUTO(schemas) struct schema_store *schemas = schemas_load(err);
    AUTO(rules) struct envelope_rules *rules = NULL;

    if (!schemas || !(rules = envelope_rules_new(schemas, NULL, "virtjob", err)) ||
        jobfile_change(asking->job, &changes, err) < 0 ||
        jobfile_check(rules, asking->job, &asking->request, err) < 0)
        return -1;
    loop_block_signals();
    if (!(asking->view = view_new(&settings, err)))
        return -1;
    return loop_init(&asking->loop, asking->view, CLIENT_CAPACITY, 0, err);
}

/* Keeps the outcome. */
static void asking_hear(struct asking *asking, json_t *event)
{
    if (event && event_is_outcome(event_kind(event)) &&
        strcmp(event_text(event, "subject"), asking->request.id) == 0 && !asking->outcome)
        asking->outcome = json_incref(event);
}

static int asking_answer(const struct asking *asking, json_t **ret_result)
{
    const json_t *data = event_at(asking->outcome, "data");
    const char *kind = event_kind(asking->outcome);

    if (strcmp(kind, "job.succeeded") != 0)
        return cli_fail(asking->cli, EXIT_FAILED, "the job %s: %s: %s",
                        *kind ? kind + strlen("job.") : "has no outcome", event_text(data, "error/code"),
                        event_text(data, "error/message"));
    *ret_result = json_incref((json_t *)event_at(data, "result"));
    return *ret_result ? 0 : cli_fail(asking->cli, EXIT_FAILED, "the outcome has no result");
}

/* Here. */

static void asking_interrupt(struct asking *asking, struct local *local)
{
    if (asking->interrupts++ > 0)
        _exit(EXIT_INTERRUPTED); /* the job's thread may hang in libvirt */
    view_note(asking->view, "stopping at the next safe point; Ctrl-C again ends at once");
    local_cancel(local);
}

static void asking_follow_local(struct asking *asking, struct local *local)
{
    bool ended = false;

    while (!ended) {
        struct item *item = NULL;
        enum loop_wake wake = loop_next(&asking->loop, &item);

        if (wake == LOOP_BROKEN || wake == LOOP_TIMED_OUT) {
            local_cancel(local);
            queue_close(asking->loop.queue); /* nobody reads it any more */
            return;
        }
        if (wake == LOOP_INTERRUPTED)
            asking_interrupt(asking, local);
        ended = item && item->kind == ITEM_ENDED;
        asking_hear(asking, item ? item->event : NULL);
        item_free(item);
    }
}

static int asking_run(struct asking *asking, json_t **ret_result)
{
    const struct local_settings settings = {
        .uri = local_uri(asking->cli),
        .host = "local",
        .loop = &asking->loop,
        .progress_interval_ms = PROGRESS_MS,
    };
    struct error err = ERROR_INIT;
    AUTO(local) struct local *local = local_new(&settings, &err);

    loop_set_timeout(&asking->loop, asking->timeout_ms);
    if (!local || local_begin(local, &asking->request, &err) < 0)
        return cli_fail_error(asking->cli, NULL, &err);
    asking_follow_local(asking, local);
    local_end(local);
    return asking_answer(asking, ret_result);
}

/* By a worker. */

/* From when the broker has it. */
static void asking_begin_wait(struct asking *asking)
{
    bool short_wait = asking->timeout_ms && asking->timeout_ms <= SILENT_MS;

    asking->told = short_wait;
    loop_set_timeout(&asking->loop, short_wait ? asking->timeout_ms : SILENT_MS);
}

/* False: it has been waited for all the time that there was. */
static bool asking_goes_on(struct asking *asking, bool sent)
{
    if (!sent || asking->told)
        return false;
    view_note(asking->view, "waiting for host '%s' to do job %s", asking->request.host, asking->request.id);
    asking->told = true;
    loop_set_timeout(&asking->loop, asking->timeout_ms ? asking->timeout_ms - SILENT_MS : 0);
    return true;
}

/* Why the waiting ends before its time. */
static int asking_stop(const struct asking *asking, enum loop_wake wake, bool sent)
{
    if (wake == LOOP_BROKEN)
        return EXIT_FAILED;
    if (wake == LOOP_TIMED_OUT && !sent)
        return cli_fail(asking->cli, EXIT_NO_BROKER, "the broker did not confirm the job");
    view_note(asking->view, "%sjob %s goes on; 'virtjob watch' shows how it ends",
              wake == LOOP_TIMED_OUT ? "no outcome in the time given: " : "", asking->request.id);
    return wake == LOOP_TIMED_OUT ? EXIT_FAILED : EXIT_INTERRUPTED;
}

/* 0 where the broker has it. */
static int asking_settled(struct asking *asking, struct client *client, enum message_fate fate)
{
    const struct request *request = &asking->request;

    if (fate == MESSAGE_CONFIRMED) {
        asking_begin_wait(asking);
        return 0;
    }
    if (fate != MESSAGE_RETURNED)
        return cli_fail(asking->cli, EXIT_NO_BROKER, "the broker did not confirm the job");
    client_explain_returned(client, request->id, request->type, request->host);
    return EXIT_FAILED;
}

static int asking_follow_worker(struct asking *asking, struct client *client)
{
    bool sent = false;
    int code = 0;

    while (code == 0 && !asking->outcome) {
        struct item *item = NULL;
        enum loop_wake wake = loop_next(&asking->loop, &item);

        if (wake == LOOP_TIMED_OUT && asking_goes_on(asking, sent))
            continue;
        if (wake != LOOP_ITEM)
            return asking_stop(asking, wake, sent);
        if (item->kind == ITEM_SETTLED) {
            code = asking_settled(asking, client, item->fate);
            sent = true;
        }
        asking_hear(asking, item->event);
        client_show(client, item);
        item_free(item);
    }
    return code;
}

static int asking_submit(struct asking *asking, json_t **ret_result)
{
    struct error err = ERROR_INIT;
    AUTO(config) struct config *config = client_config(asking->cli, &err);
    AUTO(client) struct client *client = NULL; /* closed before the configuration goes */
    const struct request *request = &asking->request;
    AUTO(string) char *text = jobfile_text(asking->job, &err);
    char key[64];
    const char *keys[] = { key, NULL };
    int code;

    snprintf(key, sizeof(key), "job.*.*.*.%s", request->id);
    if (!config || !text || !(client = client_open(config, &asking->loop, keys, ANSWER_MS, &err)))
        return cli_fail_error(asking->cli, NULL, &err);
    loop_set_timeout(&asking->loop, ANSWER_MS);
    if (client_submit(client, 0, STEAL(&text), request->id, request->type, request->host, &err) < 0)
        return cli_fail_error(asking->cli, NULL, &err);
    code = asking_follow_worker(asking, client);
    return code ? code : asking_answer(asking, ret_result);
}

int ask_job(struct cli *cli, json_t *job, int64_t timeout_ms, json_t **ret_result)
{
    struct asking asking = { .cli = cli, .job = job, .timeout_ms = timeout_ms, .loop.signals = -1 };
    const bool by_worker = options_given(&cli->options, "host");
    struct error err = ERROR_INIT;
    int code;

    if (by_worker && options_given(&cli->options, "connect"))
        return cli_fail(cli, EXIT_USAGE, "--connect looks here and --host lets a worker look: not both");
    if (asking_prepare(&asking, &err) < 0)
        code = cli_fail_error(cli, NULL, &err);
    else
        code = by_worker ? asking_submit(&asking, ret_result) : asking_run(&asking, ret_result);
    asking_done(&asking);
    return code;
}
