/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The benchmark's other side:
 *   requester URI PREFIX fill COUNT     puts COUNT guest.info jobs into the queue, persistent and confirmed
 *   requester URI PREFIX drain COUNT    takes COUNT outcomes from the results queue; prints how long that took
 *   requester URI PREFIX purge 0        empties both queues
 *   requester URI PREFIX ask COUNT      one job at a time: publish, wait for its outcome; prints p50 and p99
 * Output is one JSON object. */

#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uuid/uuid.h>

static const char *prefix;

static void publish_job(amqp_connection_state_t connection)
{
    char body[512], id[37];
    uuid_t uuid;
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG,
        .content_type = amqp_cstring_bytes("application/json"),
        .delivery_mode = 2,
        .message_id = amqp_cstring_bytes(id),
    };
    int length;

    uuid_generate(uuid);
    uuid_unparse_lower(uuid, id);
    length = snprintf(
        body, sizeof(body),
        "{\"id\":\"%s\",\"type\":\"guest.info\",\"host\":\"node1\",\"params\":{\"guest\":\"test\"}}", id);
    bench_check_status(amqp_basic_publish(connection, 1, bench_name(prefix, "jobs"),
                                          amqp_cstring_bytes("guest.info@node1"), 1, 0, &properties,
                                          (amqp_bytes_t){ (size_t)length, body }),
                       "publishing");
}

static void fill(amqp_connection_state_t connection, uint64_t count)
{
    static struct bench_event event;
    uint64_t published = 0, confirmed = 0;

    amqp_confirm_select(connection, 1);
    bench_check(connection, "confirm.select");
    while (confirmed < count) {
        for (; published < count && published - confirmed < 1000; published++)
            publish_job(connection);
        if (bench_next(connection, &event, 10000) < 0)
            exit(fprintf(stderr, "requester: no confirm\n") > 0);
        confirmed = event.multiple ? event.tag : confirmed + 1;
    }
    printf("{\"filled\": %llu}\n", (unsigned long long)count);
}

static void purge(amqp_connection_state_t connection)
{
    amqp_queue_purge(connection, 1, bench_name(prefix, "jobs.node1.quick"));
    bench_check(connection, "queue.purge");
    amqp_queue_purge(connection, 1, bench_name(prefix, "results"));
    bench_check(connection, "queue.purge");
    printf("{}\n");
}

static void consume_results(amqp_connection_state_t connection, uint16_t prefetch)
{
    amqp_basic_qos(connection, 1, 0, prefetch, 0);
    bench_check(connection, "basic.qos");
    amqp_basic_consume(connection, 1, bench_name(prefix, "results"), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    bench_check(connection, "basic.consume");
}

static void take_outcome(amqp_connection_state_t connection, int multiple)
{
    static struct bench_event event;

    if (bench_next(connection, &event, 60000) != 1)
        exit(fprintf(stderr, "requester: no outcome\n") > 0);
    if (multiple >= 0)
        bench_check_status(amqp_basic_ack(connection, 1, event.tag, multiple), "acknowledging");
}

/* From the first outcome to the last, so that starting the worker does not count. */
static void drain(amqp_connection_state_t connection, uint64_t count)
{
    double begun = 0;

    consume_results(connection, 1000);
    for (uint64_t i = 1; i <= count; i++) {
        take_outcome(connection, i % 100 == 0 || i == count ? 1 : -1);
        if (i == 1)
            begun = bench_now();
    }
    double seconds = bench_now() - begun;
    printf("{\"seconds\": %.3f, \"per_second\": %.1f}\n", seconds, (double)(count - 1) / seconds);
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

static void ask(amqp_connection_state_t connection, uint64_t count)
{
    double *times = calloc(count, sizeof(*times));

    consume_results(connection, 10);
    for (uint64_t i = 0; i < count; i++) {
        double begun = bench_now();
        publish_job(connection);
        take_outcome(connection, 0);
        times[i] = bench_now() - begun;
    }
    qsort(times, count, sizeof(*times), compare);
    printf("{\"p50_ms\": %.3f, \"p99_ms\": %.3f}\n", times[count / 2] * 1e3, times[count * 99 / 100] * 1e3);
    free(times);
}

int main(int argc, char **argv)
{
    amqp_connection_state_t connection;
    uint64_t count;

    if (argc != 5)
        return fprintf(stderr, "usage: requester URI PREFIX fill|drain|purge|ask COUNT\n"), 2;
    prefix = argv[2];
    count = strtoull(argv[4], NULL, 10);
    connection = bench_connect(argv[1]);
    if (strcmp(argv[3], "fill") == 0)
        fill(connection, count);
    else if (strcmp(argv[3], "drain") == 0)
        drain(connection, count);
    else if (strcmp(argv[3], "purge") == 0)
        purge(connection);
    else
        ask(connection, count);
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(connection);
    return 0;
}
