/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Between the parts of control: control.c reads the stream, control_order.c a message, control_seen.c remembers what has
 * been told. */

#ifndef VIRTJOB_CONTROL_INTERNAL_H
#define VIRTJOB_CONTROL_INTERNAL_H

#include "control.h"

/* What a message orders; `order` lends from the delivery and from `ret_document`, which the caller frees. */
int control_order_parse(const struct schema *schema, const struct delivery *delivery,
                        struct control_order *order, json_t **ret_document, struct error *err);

/* The messages of the stream, by offset ascending, with a hash of their content. Begins as zeros. */
#define CONTROL_SEEN_MOST 65536
struct control_seen {
    struct control_seen_message {
        int64_t offset;
        uint64_t hash;
    } * messages;
    size_t count, capacity;
};

/* Whether the message is seen for the first time; remembers it. The last CONTROL_SEEN_MOST / 2 at least are known. A
 * stream that was deleted and declared again counts its offsets anew, which its content tells. */
bool control_seen_add(struct control_seen *seen, const struct delivery *delivery);
void control_seen_done(struct control_seen *seen);

/* The message_id of its marker. */
const char *control_marker(const struct control *control);

#endif
