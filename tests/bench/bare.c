/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The limit: bare URI PREFIX COUNT takes COUNT jobs from the quick queue and answers each with a persistent, confirmed
 * outcome before it acknowledges, in one loop on one channel, without looking at the job or doing anything. */

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 4096

/* The delivery whose outcome was published with confirm number `n` stands at n % WINDOW. */
static uint64_t waiting[WINDOW];
static uint64_t published, confirmed;

static void acknowledge_to(amqp_connection_state_t connection, uint64_t first, uint64_t last)
{
    for (uint64_t n = first; n <= last; n++)
        bench_check_status(amqp_basic_ack(connection, 1, waiting[n % WINDOW], 0), "acknowledging");
    confirmed += last - first + 1;
}

static void publish_outcome(amqp_connection_state_t connection, amqp_bytes_t events,
                            const struct bench_event *event)
{
    static char outcome[1024];
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
        .content_type = amqp_cstring_bytes("application/cloudevents+json"),
        .delivery_mode = 2,
    };

    if (!outcome[0])
        memset(outcome, 'x', 700); /* as long as the outcome of guest.info */
    waiting[++published % WINDOW] = event->tag;
    bench_check_status(amqp_basic_publish(connection, 1, events,
                                          amqp_cstring_bytes("job.succeeded.guest.info.bench"), 1, 0,
                                          &properties, (amqp_bytes_t){ 700, outcome }),
                       "publishing");
}

int main(int argc, char **argv)
{
    static struct bench_event event;
    amqp_connection_state_t connection;
    amqp_bytes_t events;
    uint64_t count;

    if (argc != 4)
        return fprintf(stderr, "usage: bare URI PREFIX COUNT\n"), 2;
    connection = bench_connect(argv[1]);
    count = strtoull(argv[3], NULL, 10);
    events = bench_name(argv[2], "events");
    amqp_confirm_select(connection, 1);
    bench_check(connection, "confirm.select");
    amqp_basic_qos(connection, 1, 0, 256, 0);
    bench_check(connection, "basic.qos");
    amqp_basic_consume(connection, 1, bench_name(argv[2], "jobs.node1.quick"), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    bench_check(connection, "basic.consume");
    while (confirmed < count) {
        switch (bench_next(connection, &event, 10000)) {
        case 1:
            publish_outcome(connection, events, &event);
            break;
        case 0:
            acknowledge_to(connection, event.multiple ? confirmed + 1 : event.tag, event.tag);
            break;
        default:
            return fprintf(stderr, "bare: nothing comes any more\n"), 1;
        }
    }
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(connection);
    return 0;
}
