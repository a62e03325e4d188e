/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The broker as the command line needs it: one link that publishes jobs and, where wanted, hears events through a queue
 * of its own. Its thread turns all that happens into items of the loop's queue; all functions are for the main thread. */

#ifndef VIRTJOB_CLIENT_H
#define VIRTJOB_CLIENT_H

#include <stdint.h>

#include "cleanup.h"
#include "cli.h"
#include "config.h"
#include "loop.h"

struct client;

CLEANUP_DEFINE(config, struct config *, config_free)

/* The configuration from --config (or the usual file), the environment, --broker and --prefix; to be freed with
 * config_free. */
struct config *client_config(const struct cli *cli, struct error *err);

/* Jobs that may be under way to the broker at once. */
#define CLIENT_WINDOW 512

/* Events that may lie in the loop's queue, and the room that it must have for all. */
#define CLIENT_PREFETCH 256
#define CLIENT_CAPACITY (CLIENT_WINDOW + CLIENT_PREFETCH + 64)

/* Connects; waits up to `timeout_ms` for that, and not beyond the end of the loop's time. `keys` (NULL-terminated, NULL: none) are the routing keys of the events
 * to hear: bound when this returns. `config`, `loop` and `keys` are lent. ERROR_BROKER where there is no broker for us,
 * with what to do. */
struct client *client_open(const struct config *config, struct loop *loop, const char *const *keys,
                           int timeout_ms, struct error *err);

/* What is to be read of the dead queue. */
struct client_reading {
    size_t most; /* messages, up to CLIENT_LETTERS */
    /* On the link's thread: whether the body is needed. */
    bool (*needs_body)(void *opaque, const struct letter *letter);
    void *opaque;
};

/* What the broker hands out of the dead queue at once, at the most; and the room in the loop's queue for that. */
#define CLIENT_LETTERS         50000
#define CLIENT_LETTER_CAPACITY (CLIENT_WINDOW + CLIENT_LETTERS + 64)

/* Connects as client_open does, and reads the dead queue: an ITEM_COUNT says how many messages lie there, each of these
 * comes as an ITEM_LETTER, up to `most` that are not settled. What is not settled with client_drop when the connection
 * ends lies there again. While somebody else reads, it waits for up to two seconds. `reading` is lent. */
struct client *client_open_dead(const struct config *config, struct loop *loop,
                                const struct client_reading *reading, int timeout_ms, struct error *err);

/* The message is gone from the dead queue. */
void client_drop(struct client *client, const struct letter *letter);

/* Publishes the job of a letter to the jobs exchange again, under another id where `new_id` is not NULL; ITEM_SETTLED
 * with this index tells its fate. ERROR_INVALID for what is no job. */
int client_requeue(struct client *client, size_t index, const struct letter *letter, const char *new_id,
                   struct error *err);

/* Disconnects, letting go what is not confirmed. NULL is allowed. */
void client_close(struct client *client);

/* Sends a job (`text` is taken, id, type and host are copied); ITEM_SETTLED with this index tells its fate.
 * No more than CLIENT_WINDOW at once: it would wait for room. */
int client_submit(struct client *client, size_t index, char *text, const char *id, const char *type,
                  const char *host, struct error *err);

/* Sends an order to cancel the job (copied; `reason` NULL: none), as client_submit. */
int client_cancel(struct client *client, size_t index, const char *id, const char *reason, struct error *err);

/* Shows what the item tells of events and of the connection, and lets the broker send more. */
void client_show(struct client *client, const struct item *item);

/* In `view`: a job that no queue took, an order that nobody takes. */
void client_explain_returned(const struct client *client, const char *id, const char *type, const char *host);
void client_explain_no_control(const struct client *client, const char *id);

#endif
