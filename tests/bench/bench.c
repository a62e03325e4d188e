/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A plain connection for the benchmark's programs. */

#include "bench.h"

#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void bench_die(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

void bench_check_status(int status, const char *what)
{
    if (status != AMQP_STATUS_OK)
        bench_die(what, amqp_error_string2(status));
}

void bench_check(amqp_connection_state_t connection, const char *what)
{
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);

    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        bench_die(what, amqp_error_string2(reply.library_error));
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION)
        bench_die(what, "the broker refused");
}

amqp_connection_state_t bench_connect(const char *uri)
{
    char *copy = strdup(uri);
    struct amqp_connection_info info;
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    amqp_rpc_reply_t reply;

    amqp_default_connection_info(&info);
    bench_check_status(amqp_parse_url(copy, &info), "the URI");
    bench_check_status(amqp_socket_open(socket, info.host, info.port), "connecting");
    reply = amqp_login(connection, info.vhost[0] ? info.vhost : "/", 0, 131072, 60, AMQP_SASL_METHOD_PLAIN,
                       info.user, info.password);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        bench_die("logging in", "refused");
    amqp_channel_open(connection, 1);
    bench_check(connection, "opening a channel");
    free(copy);
    return connection;
}

amqp_bytes_t bench_name(const char *prefix, const char *name)
{
    static char names[8][300];
    static int next;
    char *slot = names[next++ % 8];

    snprintf(slot, sizeof(names[0]), "%s.%s", prefix, name);
    return amqp_cstring_bytes(slot);
}

double bench_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void bench_read_frame(amqp_connection_state_t connection, amqp_frame_t *frame)
{
    bench_check_status(amqp_simple_wait_frame(connection, frame), "reading");
}

static void bench_read_body(amqp_connection_state_t connection, struct bench_event *event)
{
    amqp_frame_t frame;
    size_t size;

    bench_read_frame(connection, &frame);
    size = frame.payload.properties.body_size;
    event->length = 0;
    while (event->length < size) {
        bench_read_frame(connection, &frame);
        if (event->length + frame.payload.body_fragment.len > sizeof(event->body))
            bench_die("reading", "the body is too large");
        memcpy(event->body + event->length, frame.payload.body_fragment.bytes,
               frame.payload.body_fragment.len);
        event->length += frame.payload.body_fragment.len;
    }
}

int bench_next(amqp_connection_state_t connection, struct bench_event *event, int timeout_ms)
{
    struct timeval timeout = { timeout_ms / 1000, (timeout_ms % 1000) * 1000 };
    amqp_frame_t frame;
    int status;

    amqp_maybe_release_buffers(connection);
    status = amqp_simple_wait_frame_noblock(connection, &frame, &timeout);
    if (status == AMQP_STATUS_TIMEOUT)
        return -1;
    bench_check_status(status, "reading");
    if (frame.frame_type != AMQP_FRAME_METHOD)
        return -1;
    if (frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD) {
        event->tag = ((amqp_basic_deliver_t *)frame.payload.method.decoded)->delivery_tag;
        bench_read_body(connection, event);
        return 1;
    }
    if (frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
        bench_die("reading", "the broker closed the channel or refused a message");
    event->tag = ((amqp_basic_ack_t *)frame.payload.method.decoded)->delivery_tag;
    event->multiple = ((amqp_basic_ack_t *)frame.payload.method.decoded)->multiple;
    return 0;
}
