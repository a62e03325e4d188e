/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Callbacks run on the link's thread and never wait: the loop's queue has room for whatever the broker may have sent
 * (prefetch) and for the fate of each message. */

#include "client_internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

#define EVENT_SIZE_MAX (64u << 20) /* a snapshot of many guests */
#define CLOSE_MS       2000
#define READER_TRIES   50
#define READER_WAIT_US 40000

CLEANUP_DEFINE(client, struct client *, client_close)

struct config *client_config(const struct cli *cli, struct error *err)
{
    const char *broker = options_text(&cli->options, "broker", NULL);
    const char *prefix = options_text(&cli->options, "prefix", NULL);
    AUTO(string) char *set_broker = NULL;
    AUTO(string) char *set_prefix = NULL;
    char *sets[2];
    size_t count = 0;

    if ((broker && asprintf(&set_broker, "broker.uri=%s", broker) < 0) ||
        (prefix && asprintf(&set_prefix, "broker.prefix=%s", prefix) < 0)) {
        error_set_memory(err);
        return NULL;
    }
    if (broker)
        sets[count++] = set_broker;
    if (prefix)
        sets[count++] = set_prefix;
    return config_load(cli_config_path(cli), sets, count, err);
}

void client_tell(struct client *client, struct item *item)
{
    if (item && queue_offer(client->loop->queue, item, 0) < 0)
        item_free(item);
}

static int client_bind(struct client *client, struct link *link, const char *queue, struct error *err)
{
    for (const char *const *key = client->keys; *key; key++)
        if (link_bind(link, queue, client->topology->events, *key, err) < 0)
            return -1;
    return link_consume(link, queue, CLIENT_PREFETCH, NULL, err);
}

/* What another one has just looked at lies there again only when the broker has done with its connection, which then
 * is no consumer any more; it tells nobody of that. */
static int client_count_dead(const struct client *client, struct link *link, size_t *ret_count,
                             struct error *err)
{
    size_t consumers;

    for (int tries = 0; tries < READER_TRIES; tries++) {
        if (tries > 0)
            usleep(READER_WAIT_US);
        if (link_count_messages(link, client->topology->dead, ret_count, &consumers, err) < 0)
            return -1;
        if (consumers == 0)
            break;
    }
    return 0;
}

/* Once only: over another connection the same messages would come again. */
static int client_read_dead(struct client *client, struct link *link, struct error *err)
{
    const char *queue = client->topology->dead;
    size_t count, most = client->reading->most;
    struct item *item;

    if (client->has_read)
        return 0;
    client->has_read = true;
    if (client_count_dead(client, link, &count, err) < 0)
        return -1;
    if (!(item = item_new(ITEM_COUNT)))
        return error_set_memory(err);
    item->index = count;
    client_tell(client, item);
    return count == 0 ? 0 : link_consume(link, queue, (uint16_t)(count < most ? count : most), NULL, err);
}

static int client_on_open(struct link *link, void *opaque, struct error *err)
{
    struct client *client = opaque;
    char queue[256];

    if (client->reading && client_read_dead(client, link, err) < 0)
        return -1;
    if (client->keys &&
        (link_declare_private_queue(link, queue, err) < 0 || client_bind(client, link, queue, err) < 0))
        return -1;
    client_tell(client, item_new(ITEM_UP));
    return 0;
}

static void client_on_letter(struct client *client, struct delivery *delivery)
{
    struct item *item = item_new(ITEM_LETTER);
    struct letter *letter = letter_new(delivery);

    if (letter && !client->reading->needs_body(client->reading->opaque, letter))
        letter_drop_body(letter);
    if (item)
        item->letter = letter;
    else
        letter_free(letter);
    client_tell(client, item);
}

static void client_on_delivery(struct link *link, struct delivery *delivery, void *opaque)
{
    struct client *client = opaque;

    if (client->reading) {
        client_on_letter(client, delivery);
        return;
    }
    json_t *event = delivery->body ? json_loadb(delivery->body, delivery->length, 0, NULL) : NULL;
    struct item *item = item_new(event ? ITEM_EVENT : ITEM_UNREADABLE);

    (void)link;
    if (item) {
        item->event = event;
        item->tag = delivery->tag;
    }
    client_tell(client, item);
    delivery_free(delivery);
}

static void client_on_closed(struct link *link, void *opaque)
{
    (void)link;
    client_tell(opaque, item_new(ITEM_DOWN));
}

/* Whatever the reason, the broker is not there for us. The most common one has a better word than the broker's. */
static int client_explain(const struct client *client, struct error *err)
{
    char said[sizeof(err->message)];

    memcpy(said, err->message, sizeof(said));
    if (strstr(said, "NOT_FOUND") && strstr(said, client->topology->events))
        return error_set(
            err, ERROR_BROKER,
            "there is no exchange '%s' on this broker: no virtjobd has run there with this prefix",
            client->topology->events);
    if (strstr(said, "NOT_FOUND") && strstr(said, client->topology->dead))
        return error_set(err, ERROR_BROKER,
                         "there is no queue '%s' on this broker: no virtjobd has run there with this prefix",
                         client->topology->dead);
    return error_set(err, ERROR_BROKER, "%s; --broker, or VIRTJOB_BROKER_URI, names another one", said);
}

/* The link's thread must not take signals; this one lets an interrupt end the program while it waits for the broker. */
static int client_connect(struct client *client, int timeout_ms, struct error *err)
{
    sigset_t interrupts;
    int rc;

    if (link_start(client->link, err) < 0)
        return -1;
    sigemptyset(&interrupts);
    sigaddset(&interrupts, SIGINT);
    sigaddset(&interrupts, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &interrupts, NULL);
    rc = link_wait_up(client->link, timeout_ms, err);
    pthread_sigmask(SIG_BLOCK, &interrupts, NULL);
    return rc < 0 ? client_explain(client, err) : 0;
}

/* One of `keys` and `reading`, or none. */
static struct client *client_start(const struct config *config, struct loop *loop, const char *const *keys,
                                   const struct client_reading *reading, int timeout_ms, struct error *err)
{
    static const struct link_events events = {
        .open = client_on_open,
        .delivery = client_on_delivery,
        .closed = client_on_closed,
    };
    AUTO(client) struct client *client = calloc(1, sizeof(*client));

    if (!client)
        return error_set_memory(err), NULL;
    const struct link_settings settings = {
        .broker = &client->broker,
        .name = "client",
        .max_body = EVENT_SIZE_MAX,
        .max_pending = 1024,
        .once = true,
    };
    timeout_ms = loop_limit_ms(loop, timeout_ms);
    client->loop = loop;
    client->keys = keys;
    client->reading = reading;
    client->broker = config->broker;
    if (client->broker.connect_timeout_s >
        (timeout_ms + 999) / 1000) /* the link's thread cannot be left in it */
        client->broker.connect_timeout_s = (timeout_ms + 999) / 1000;
    if (!(client->topology = topology_new(config, err)) ||
        !(client->link = link_new(&settings, &events, client, err)) ||
        client_connect(client, timeout_ms, err) < 0)
        return NULL;
    return STEAL(&client);
}

struct client *client_open(const struct config *config, struct loop *loop, const char *const *keys,
                           int timeout_ms, struct error *err)
{
    return client_start(config, loop, keys, NULL, timeout_ms, err);
}

struct client *client_open_dead(const struct config *config, struct loop *loop,
                                const struct client_reading *reading, int timeout_ms, struct error *err)
{
    return client_start(config, loop, NULL, reading, timeout_ms, err);
}

void client_close(struct client *client)
{
    if (!client)
        return;
    if (client->link) {
        link_stop(client->link, CLOSE_MS);
        link_free(client->link);
    }
    topology_free(client->topology);
    free(client);
}

/* The queue was the connection's own: what came in between went past it. */
static void client_show_up(struct client *client)
{
    if (client->down && client->keys)
        view_note(client->loop->view, "connected again; what happened in between was not seen");
    client->down = false;
}

void client_show(struct client *client, const struct item *item)
{
    struct view *view = client->loop->view;

    switch (item->kind) {
    case ITEM_EVENT:
        view_event(view, item->event);
        link_settle(client->link, item->tag, LINK_ACK);
        break;
    case ITEM_UNREADABLE:
        view_note(view, "an event that is not JSON, or too large, was passed over");
        link_settle(client->link, item->tag, LINK_ACK);
        break;
    case ITEM_DOWN:
        if (!client->down)
            view_note(view, "the connection to the broker was lost; connecting again");
        client->down = true;
        break;
    case ITEM_UP:
        client_show_up(client);
        break;
    case ITEM_SETTLED:
    case ITEM_ENDED:
    case ITEM_COUNT:
    case ITEM_LETTER:
        break;
    }
}
