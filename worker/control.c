/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Reads the control stream: a day back, up to the marker, and on. After a reconnect it is read from there again, not from
 * the offset that came last: the broker may have lost the stream and count from 0 again, and then nothing would come. */

#include "control.h"
#include "control_internal.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "log.h"

/* An order is good for a day; the stream may hold older ones, for it loses whole segments only. */
#define LOOKBACK    "86400s"

#define PREFETCH    1000

#define MARKER_SIZE 256

struct control {
    struct control_settings settings;
    const struct schema *schema;
    char marker[MARKER_SIZE];
    bool caught_up;
    struct control_seen seen;
};

struct control *control_new(const struct control_settings *settings, struct error *err)
{
    const struct schema *schema =
        schema_store_find(settings->schemas, "https://virtjob.io/schemas/1/cancel.json");
    struct control *control;

    if (!schema) {
        error_set(err, ERROR_INTERNAL, "cancel.json is not among the schemas");
        return NULL;
    }
    if (!(control = calloc(1, sizeof(*control)))) {
        error_set_memory(err);
        return NULL;
    }
    control->settings = *settings;
    control->schema = schema;
    topology_marker_id(settings->worker, control->marker);
    return control;
}

void control_free(struct control *control)
{
    if (!control)
        return;
    control_seen_done(&control->seen);
    free(control);
}

const char *control_marker(const struct control *control)
{
    return control->marker;
}

int control_open(struct control *control, struct link *link, struct error *err)
{
    static const struct link_argument from[] = { { .key = "x-stream-offset", .text = LOOKBACK }, { 0 } };
    const struct topology *topology = control->settings.topology;

    if (topology_declare_control(topology, link, err) < 0 ||
        link_consume(link, topology->control, PREFETCH, from, err) < 0)
        return -1;
    return control->caught_up ? 0 : topology_mark(link, topology->control, control->marker, err);
}

static void control_obey(struct control *control, const struct delivery *delivery)
{
    AUTO(json) json_t *document = NULL;
    struct error err = ERROR_INIT;
    struct control_order order;

    if (!control_seen_add(&control->seen, delivery))
        return;
    if (control_order_parse(control->schema, delivery, &order, &document, &err) == 0) {
        control->settings.cancel(control->settings.opaque, &order);
        return;
    }
    log_warning("control", "a message that is no order is passed over", "error", err.message, "where",
                err.has_where ? err.where : NULL, "message_id", delivery->message_id, "requester",
                delivery->user_id, NULL);
}

static bool is_marker(const struct delivery *delivery)
{
    return delivery->length == 0 && delivery->message_id &&
           strncmp(delivery->message_id, TOPOLOGY_MARKER, strlen(TOPOLOGY_MARKER)) == 0;
}

/* A marker that the link had to send again comes twice. */
static void control_meet_marker(struct control *control, const struct delivery *delivery)
{
    if (control->caught_up || strcmp(delivery->message_id, control->marker) != 0)
        return;
    control->caught_up = true;
    control->settings.caught_up(control->settings.opaque);
}

void control_delivery(struct control *control, struct link *link, struct delivery *delivery)
{
    link_settle(link, delivery->tag, LINK_ACK);
    if (is_marker(delivery))
        control_meet_marker(control, delivery);
    else
        control_obey(control, delivery);
    delivery_free(delivery);
}
