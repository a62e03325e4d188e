/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* How a job ended, in words for a person. */

#ifndef VIRTJOB_OUTCOME_H
#define VIRTJOB_OUTCOME_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "terminal.h"

/* One line: "✓ <label> volume.clone succeeded in 2.1 s (linked: …)". `label` is escaped already; `good`: as it should be. */
void outcome_headline(FILE *out, const json_t *event, const char *label, bool good,
                      const struct terminal *terminal);

/* Each undo in a line, set in by four blanks. */
void outcome_rollback(FILE *out, const json_t *event, const struct terminal *terminal);

/* What else there is, in lines set in by four blanks: error, where, step, libvirt's words, each undo, what to do; of a
 * success the result, with `result`. */
void outcome_details(FILE *out, const json_t *event, bool result, const struct terminal *terminal);

#endif
