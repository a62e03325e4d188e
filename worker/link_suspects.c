/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Messages for one of which the broker has closed the channel: they go alone until each has shown that it was not the one.
 *
 * They are remembered by what they are called, not by where they lie: one that was bound to the connection is lost with it,
 * and comes again as another message of the same name. */

#include "link_internal.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

/* Places, each for one name: of two that fall on the same one, the later is remembered. */
#define SUSPECTS_SIZE (LINK_WINDOW * 2)

/* So long after the last time. What has not come again until then goes with the others. */
#define FORGIVEN_MS (10 * 60 * 1000)

/* FNV-1a, the end of each text included; never 0, which is a free place. */
static uint64_t message_print(const struct message *message)
{
    const char *const texts[] = { message->exchange, message->routing_key, message->message_id };
    uint64_t print = 0xcbf29ce484222325;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *at = texts[i] ? texts[i] : "";

        do
            print = (print ^ (unsigned char)*at) * 0x100000001b3;
        while (*at++);
    }
    return print ? print : 1;
}

void link_suspect(struct link *link, const struct message *message)
{
    uint64_t print = message_print(message);

    if (!link->suspects && !(link->suspects = calloc(SUSPECTS_SIZE, sizeof(*link->suspects)))) {
        log_error("link", "out of memory: a message for which the broker closes the channel may do so again",
                  "link", link->name, NULL);
        return;
    }
    link->suspects[print % SUSPECTS_SIZE] = print;
    link->forgive_at_ms = link_now_ms() + FORGIVEN_MS;
}

bool link_is_suspect(const struct link *link, const struct message *message)
{
    uint64_t print;

    if (!link->suspects)
        return false;
    print = message_print(message);
    return link->suspects[print % SUSPECTS_SIZE] == print;
}

void link_acquit(struct link *link, const struct message *message)
{
    if (link_is_suspect(link, message))
        link->suspects[message_print(message) % SUSPECTS_SIZE] = 0;
}

void link_forgive(struct link *link)
{
    if (!link->suspects || link_now_ms() < link->forgive_at_ms)
        return;
    free(link->suspects);
    link->suspects = NULL;
}
