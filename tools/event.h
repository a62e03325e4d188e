/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Reads CloudEvents of virtjob. They come from the network: every member may be missing or of another type, and every
 * text may hold anything. */

#ifndef VIRTJOB_EVENT_H
#define VIRTJOB_EVENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "terminal.h"

/* The text at `path` ("data/job/id") of an object; "" where there is none. Lent. */
const char *event_text(const json_t *object, const char *path);

/* The value there; NULL where there is none. */
const json_t *event_at(const json_t *object, const char *path);

/* The number there, or `fallback`. */
double event_number(const json_t *object, const char *path, double fallback);

/* "job.succeeded" of "io.virtjob.job.succeeded"; "" for what is not ours. */
const char *event_kind(const json_t *event);

/* Whether that is an outcome: one of the final states of a job. */
bool event_is_outcome(const char *kind);

/* The host in the event's source; "" where there is none. */
const char *event_host(const json_t *event);

/* One line about the event for a person, without time and line end, escaped: "node1 web-7 started (booted)". Knows
 * guest.*, host.* and worker.*. */
void event_describe(FILE *out, const json_t *event, const struct terminal *terminal);

/* "12:00:01" of the event's time, in the local zone; of now where it has none. Returns `out`. */
const char *event_clock(const json_t *event, char out[static 16]);

#endif
