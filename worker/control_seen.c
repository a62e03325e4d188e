/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What has been told, so that a reading of the same stream from its beginning does not tell it again. */

#include "control_internal.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a. That a stranger could make two orders with the same hash gains nothing: they would have to have the same offset. */
static uint64_t content_hash(const struct delivery *delivery)
{
    uint64_t hash = 0xcbf29ce484222325;

    for (size_t i = 0; delivery->body && i < delivery->length; i++)
        hash = (hash ^ (unsigned char)delivery->body[i]) * 0x100000001b3;
    return hash;
}

/* The first message whose offset is not below; `count` where there is none. */
static size_t seen_find(const struct control_seen *seen, int64_t offset)
{
    size_t low = 0, high = seen->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (seen->messages[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool seen_make_room(struct control_seen *seen)
{
    size_t capacity = seen->capacity ? seen->capacity * 2 : 64;
    struct control_seen_message *larger;

    if (seen->count < seen->capacity)
        return true;
    if (seen->capacity >= CONTROL_SEEN_MOST) {
        seen->count /= 2;
        memmove(seen->messages, seen->messages + seen->count, seen->count * sizeof(*seen->messages));
        return true;
    }
    larger = reallocarray(seen->messages, capacity, sizeof(*larger));
    if (!larger)
        return false;
    seen->messages = larger;
    seen->capacity = capacity;
    return true;
}

bool control_seen_add(struct control_seen *seen, const struct delivery *delivery)
{
    struct control_seen_message message = { delivery->stream_offset, content_hash(delivery) };
    size_t at = seen_find(seen, message.offset);

    if (message.offset < 0)
        return true;
    if (at < seen->count) {
        const struct control_seen_message *known = &seen->messages[at];

        if (known->offset == message.offset && known->hash == message.hash)
            return false;
        /* So old that it is forgotten; or of another stream, for in between there was nothing in this one. */
        if (at == 0 && known->offset > message.offset)
            return true;
        seen->count = 0;
    }
    if (seen_make_room(seen))
        seen->messages[seen->count++] = message;
    return true;
}

void control_seen_done(struct control_seen *seen)
{
    free(seen->messages);
    *seen = (struct control_seen){ 0 };
}
