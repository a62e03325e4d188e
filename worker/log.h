/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Structured log lines on standard error: one line an event, as text for a terminal or as JSON for a collector.
 *
 * Text: `2026-11-20T12:00:00.123Z info  dispatcher: job started job=5f0c… type=volume.clone`. JSON: one object with
 * `time` (RFC 3339, UTC), `level`, `area`, `message` and the fields. Under systemd (JOURNAL_STREAM names standard
 * error) the text form starts with the priority (`<6>`, sd-daemon(3)) and leaves the time to the journal. A line above
 * 4096 bytes is cut: the text ends in `...`, the JSON has `"cut": true`.
 *
 * All functions may be called from any thread; a line is written with one write(2), and errno is kept. Secrets never
 * reach this module. */

#ifndef VIRTJOB_LOG_H
#define VIRTJOB_LOG_H

#include <stdbool.h>

#include "error.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Before any thread starts. The default is text at `info`. */
void log_init(enum log_level level, bool json);

/* "error", "warning", "info", "debug"; -1 for anything else. */
int log_level_parse(const char *name, enum log_level *ret_level);

bool log_enabled(enum log_level level);

/* log_info("link", "connected", "link", name, "broker", address, NULL): after the message come pairs of a key and a
 * value, both strings, then NULL; a pair whose value is NULL is left out. Control characters in values are escaped. */
void log_error(const char *area, const char *message, ...) __attribute__((sentinel));
void log_warning(const char *area, const char *message, ...) __attribute__((sentinel));
void log_info(const char *area, const char *message, ...) __attribute__((sentinel));
void log_debug(const char *area, const char *message, ...) __attribute__((sentinel));

#endif
