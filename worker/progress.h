/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* How far a job has come: done and total in, percent, rate and remaining time out. Never runs backwards, and speaks no
 * more often than it was told to. */

#ifndef VIRTJOB_PROGRESS_H
#define VIRTJOB_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "error.h"

struct progress;

/* Takes `report` (a new reference): {phase, done, total, unit, percent, rate, eta_s, stalled, seq}, `rate` in units a
 * second and `eta_s` only where they are known, percent with one decimal. */
typedef void (*progress_sink)(void *opaque, json_t *report);

/* `interval_ms`: at most one report in that time; `quiet_ms`: none before that much time has passed since new. */
struct progress *progress_new(int interval_ms, int quiet_ms, progress_sink sink, void *opaque,
                              struct error *err);
void progress_free(struct progress *progress);

/* A new phase, as "copying", counted in `unit` ("bytes", "steps", "percent"); done and total start over. */
void progress_phase(struct progress *progress, const char *phase, const char *unit);

/* Any thread. `total` 0: not known yet. A smaller `done` than before counts as the old one; `done` above `total` as
 * `total`. Stalled: no growth for 40 s (the design's figure for migration). */
void progress_update(struct progress *progress, uint64_t done, uint64_t total);

/* The last word of a phase that ended well: done = total, reported where anything of the phase was reported. */
void progress_finish(struct progress *progress);

/* While a call blocks, another thread looks on: `sample` is called at once and then every `period_ms` until
 * progress_sampler_stop, which waits for it to return. -1 of `sample` means that there is nothing to see just now. */
struct progress_sampler;
typedef int (*progress_sample)(void *opaque, uint64_t *ret_done, uint64_t *ret_total);
struct progress_sampler *progress_sampler_start(struct progress *progress, int period_ms,
                                                progress_sample sample, void *opaque, struct error *err);
void progress_sampler_stop(struct progress_sampler *sampler);

#endif
