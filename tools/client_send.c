/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Jobs and orders on their way to the broker, and what became of them. */

#include "client_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One message on its way. */
struct sending {
    struct client *client;
    size_t index;
};

static void client_on_settled(void *opaque, const struct message *message, enum message_fate fate)
{
    struct sending *sending = opaque;
    struct item *item = item_new(ITEM_SETTLED);

    (void)message;
    if (item) {
        item->index = sending->index;
        item->fate = fate;
    }
    client_tell(sending->client, item);
    free(sending);
}

/* Takes the message, which may be NULL for want of memory. */
static int client_send(struct client *client, size_t index, struct message *message, struct error *err)
{
    struct sending *sending = calloc(1, sizeof(*sending));

    if (!message || !sending) {
        message_free(message);
        free(sending);
        return error_set_memory(err);
    }
    *sending = (struct sending){ client, index };
    message->settled = client_on_settled;
    message->opaque = sending;
    if (link_publish(client->link, message) < 0)
        return error_set(err, ERROR_BROKER, "the connection to the broker has ended");
    return 0;
}

/* Takes the text. */
static struct message *client_message(const char *exchange, const char *key, char *text)
{
    struct message *message = message_new(exchange, key, text, strlen(text));

    if (!message)
        return NULL;
    message->content_type = strdup("application/json");
    message->timestamp = (uint64_t)time(NULL);
    message->persistent = true;
    message->mandatory = true;
    return message;
}

int client_submit(struct client *client, size_t index, char *text, const char *id, const char *type,
                  const char *host, struct error *err)
{
    char key[256];
    struct message *message;

    snprintf(key, sizeof(key), "%s@%s", type, host);
    message = client_message(client->topology->jobs, key, text);
    if (message)
        message->message_id = strdup(id);
    return client_send(client, index, message, err);
}

int client_cancel(struct client *client, size_t index, const char *id, const char *reason, struct error *err)
{
    AUTO(json) json_t *order = json_pack("{ss ss*}", "cancel", id, "reason", reason);
    char *text = order ? json_dumps(order, JSON_COMPACT) : NULL;

    return client_send(client, index, text ? client_message(client->topology->control, "cancel", text) : NULL,
                       err);
}

/* Over the letter's own connection only: when that is lost, somebody else may have the letter, and requeue it too. */
int client_requeue(struct client *client, size_t index, const struct letter *letter, const char *new_id,
                   struct error *err)
{
    struct message *message = letter_message(letter, client->topology->jobs, new_id, err);

    if (!message)
        return -1;
    message->epoch = letter->delivery->tag.epoch;
    return client_send(client, index, message, err);
}

void client_drop(struct client *client, const struct letter *letter)
{
    link_settle(client->link, letter->delivery->tag, LINK_ACK);
}

void client_explain_returned(const struct client *client, const char *id, const char *type, const char *host)
{
    view_note(client->loop->view,
              "job %s: no queue takes '%s@%s': no virtjobd on this broker serves the host '%s' under the "
              "exchange '%s', or it is too old for this type; nothing was done",
              id, type, host, host, client->topology->jobs);
}

void client_explain_no_control(const struct client *client, const char *id)
{
    view_note(client->loop->view,
              "job %s: nobody takes orders at the exchange '%s': no virtjobd that can cancel has run on this "
              "broker with this prefix, or this user may not write there; nothing was ordered",
              id, client->topology->control);
}
