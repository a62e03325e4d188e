/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A journal, driven by lines on standard input, telling what it is told as JSON lines on standard output: for journal-*.
 *
 * Arguments: KEY=VALUE as in `settings` below. Orders:
 *   ask ID SECONDS   published so many seconds ago; - where that is not known
 *   stop             with a line at the end of it */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "config.h"
#include "journal.h"
#include "log.h"
#include "metrics.h"

static struct config config = {
    .broker = { .heartbeat_s = 10, .connect_timeout_s = 5, .send_timeout_s = 30, .blocked_timeout_s = 300 },
    .worker = { .name = (char *)"w1" },
    .journal = { .max_bytes = 1 << 30, .max_age_s = 86400, .lookback_s = 3600 },
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards standard output */

static void say(json_t *event)
{
    AUTO(string) char *text = json_dumps(event, JSON_COMPACT);
    SCOPE_LOCK(&lock);

    puts(text);
    fflush(stdout);
    json_decref(event);
}

static json_t *outcome_json(const struct delivery *outcome)
{
    if (!outcome)
        return json_null();
    return json_pack("{ss ss ss? ss? ss? ss? ss? ss? sI ss%}", "exchange", outcome->exchange, "key",
                     outcome->routing_key, "id", outcome->message_id, "content_type", outcome->content_type,
                     "correlation_id", outcome->correlation_id, "reply_to", outcome->reply_to, "traceparent",
                     outcome->traceparent, "tracestate", outcome->tracestate, "timestamp",
                     (json_int_t)outcome->timestamp, "body", outcome->body, outcome->length);
}

static void on_told(void *opaque, const char *job_id, struct journal_entry *entry)
{
    (void)opaque;
    say(json_pack("{ss ss so si si ss}", "event", "told", "job", job_id, "outcome",
                  outcome_json(entry->outcome), "begun", entry->begun, "returned", entry->returned, "placed",
                  entry->placed));
    journal_entry_free(entry);
}

static void order_ask(struct journal *journal, const char *line)
{
    char id[128], ago[32];
    uint64_t since_s = 0;

    if (sscanf(line, "ask %127s %31s", id, ago) != 2)
        exit(2);
    if (strcmp(ago, "-") != 0)
        since_s = (uint64_t)time(NULL) - (uint64_t)atoll(ago);
    say(json_pack("{ss ss sb}", "event", "asked", "job", id, "ok", journal_ask(journal, id, since_s) == 0));
}

static void set(char *argument)
{
    char *value = strchr(argument, '=');

    if (!value)
        exit(2);
    *value++ = '\0';
    if (strcmp(argument, "uri") == 0)
        config.broker.uri = value;
    else if (strcmp(argument, "prefix") == 0)
        config.broker.prefix = value;
    else if (strcmp(argument, "heartbeat") == 0)
        config.broker.heartbeat_s = atoi(value);
    else if (strcmp(argument, "lookback") == 0)
        config.journal.lookback_s = atoi(value);
    else if (strcmp(argument, "max_bytes") == 0)
        config.journal.max_bytes = atoll(value);
    else
        exit(2);
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    struct topology *topology;
    struct journal *journal;
    char *line = NULL, *metrics;
    size_t size = 0;

    log_init(LOG_LEVEL_DEBUG, false);
    for (int i = 1; i < argc; i++)
        set(argv[i]);
    topology = topology_new(&config, &err);
    journal = journal_new(&(struct journal_settings){ .topology = topology, .told = on_told }, &err);
    if (!topology || !journal || journal_start(journal, &err) < 0)
        return 1;
    while (getline(&line, &size, stdin) > 0 && strncmp(line, "stop", 4) != 0)
        order_ask(journal, line);
    journal_stop(journal);
    metrics = metrics_render();
    say(json_pack("{ss sb ss}", "event", "stopped", "asks", journal_ask(journal, "late", 0) == 0, "metrics",
                  metrics));
    journal_free(journal);
    topology_free(topology);
    free(metrics);
    free(line);
    return 0;
}
