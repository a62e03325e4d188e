/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A control link, told to end by the end of its input, telling what it is told as JSON lines on standard output: for
 * control-*. Arguments: KEY=VALUE as in `set` below. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config.h"
#include "control.h"
#include "log.h"
#include "schemas.h"

static struct config config = {
    .broker = { .heartbeat_s = 10, .connect_timeout_s = 5, .send_timeout_s = 30, .blocked_timeout_s = 300 },
};
static struct control_settings settings = { .worker = "w1" };

/* On the link's thread alone. */
static void say(json_t *event)
{
    AUTO(string) char *text = json_dumps(event, JSON_COMPACT);

    puts(text);
    fflush(stdout);
    json_decref(event);
}

static void on_cancel(void *opaque, const struct control_order *order)
{
    (void)opaque;
    say(json_pack("{ss ss ss? ss? sI}", "event", "cancel", "job", order->job, "reason", order->reason,
                  "requester", order->requester, "given_ms", (json_int_t)order->given_ms));
}

static void on_caught_up(void *opaque)
{
    (void)opaque;
    say(json_pack("{ss}", "event", "caught_up"));
}

static int on_open(struct link *link, void *opaque, struct error *err)
{
    if (control_open(opaque, link, err) < 0)
        return -1;
    say(json_pack("{ss}", "event", "open"));
    return 0;
}

static void on_delivery(struct link *link, struct delivery *delivery, void *opaque)
{
    control_delivery(opaque, link, delivery);
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
    else if (strcmp(argument, "worker") == 0)
        settings.worker = value;
    else
        exit(2);
}

int main(int argc, char **argv)
{
    const struct link_events events = { .open = on_open, .delivery = on_delivery };
    const struct link_settings link_settings = {
        .broker = &config.broker, .name = "control", .max_body = 1 << 20, .max_pending = 65536
    };
    struct error err = ERROR_INIT;
    struct topology *topology;
    struct schema_store *schemas;
    struct control *control;
    struct link *link;

    log_init(LOG_LEVEL_DEBUG, false);
    for (int i = 1; i < argc; i++)
        set(argv[i]);
    settings.topology = topology = topology_new(&config, &err);
    settings.schemas = schemas = schemas_load(&err);
    settings.cancel = on_cancel;
    settings.caught_up = on_caught_up;
    if (!topology || !schemas || !(control = control_new(&settings, &err)))
        return 1;
    link = link_new(&link_settings, &events, control, &err);
    if (!link || link_start(link, &err) < 0)
        return 1;
    while (getchar() != EOF)
        ;
    link_stop(link, 2000);
    link_free(link);
    control_free(control);
    schema_store_free(schemas);
    topology_free(topology);
    return 0;
}
