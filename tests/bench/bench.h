/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the benchmark's programs share: a plain librabbitmq connection that ends the program on any failure. */

#ifndef VIRTJOB_BENCH_H
#define VIRTJOB_BENCH_H

#include <amqp.h>
#include <stdint.h>

/* Logs in and opens channel 1. */
amqp_connection_state_t bench_connect(const char *uri);

/* Ends the program with `what` and the library's reason when the last synchronous call failed. */
void bench_check(amqp_connection_state_t connection, const char *what);
void bench_check_status(int status, const char *what);

/* "prefix.name", static until the next eight calls. */
amqp_bytes_t bench_name(const char *prefix, const char *name);

double bench_now(void); /* seconds, monotonic */

/* Reads frames until a whole delivery or a confirm is there. 1: a delivery, filled in; 0: a confirm up to `tag`
 * (all of them when `multiple`); the body is valid until bench_release. -1: nothing within timeout_ms. */
struct bench_event {
    uint64_t tag;
    int multiple;
    char body[65536];
    size_t length;
};
int bench_next(amqp_connection_state_t connection, struct bench_event *event, int timeout_ms);

#endif
