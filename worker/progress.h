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

/* Takes `report` (a new reference): {phase, done, total, unit, percent, rate, eta_s, late_by_s, stalled, seq}, `rate` in
 * units a second (smoothed over some ten seconds), `eta_s` and `late_by_s` only where they are known, percent with one
 * decimal, 100 only from progress_finish. Called in the order of seq, by whichever thread reported, under the progress' lock: it must
 * not block nor call back. */
typedef void (*progress_sink)(void *opaque, json_t *report);

/* `interval_ms`: at most one report in that time, progress_finish and bad news aside; `quiet_ms`: none before that much time has
 * passed since new. */
struct progress *progress_new(int interval_ms, int quiet_ms, progress_sink sink, void *opaque,
                              struct error *err);
void progress_free(struct progress *progress);

/* A new phase, as "copying", counted in `unit` ("bytes", "steps", "percent"); done and total start over. Both strings
 * are copied, up to 63 bytes. Reports nothing by itself. */
void progress_phase(struct progress *progress, const char *phase, const char *unit);

/* Any thread. `total` 0: not known yet, or as before. A smaller `done` than before counts as the old one; `done` above
 * `total` as `total`. A total that grows does not lower the percentage. Stalled: no growth for 40 s (the design's
 * figure for migration). */
void progress_update(struct progress *progress, uint64_t done, uint64_t total);

/* From here on, up to the next phase, each report has these members too (`detail`, an object; stolen; NULL: none): what the
 * type's schema calls its progress. None may have the name of one above. Replaces what was set before; reports nothing by
 * itself. */
void progress_set_detail(struct progress *progress, json_t *detail);

/* Up to the next phase the caller knows better than growth whether it is stalled. That it has become so is news, and told at
 * the next update whatever the interval. */
void progress_set_stalled(struct progress *progress, bool stalled);

/* When all is to be done, in milliseconds since 1970; 0: whenever. Before the first update. At the rate seen, and as it
 * has been for two seconds, or for three updates in the course of one, the phase ends later: then each report says by how
 * much in `late_by_s` (at least 1), until it can be met again, and the first is sent at once, whatever the interval. */
void progress_set_deadline(struct progress *progress, int64_t deadline_ms);

/* The last word of a phase that ended well: done = total, reported where anything of the phase was reported, whenever
 * the last report was. */
void progress_finish(struct progress *progress);

/* While a call blocks, another thread looks on: `sample` is called at once and then every `period_ms` until
 * progress_sampler_stop, which waits for it to return. -1 of `sample` means that there is nothing to see just now. */
struct progress_sampler;
typedef int (*progress_sample)(void *opaque, uint64_t *ret_done, uint64_t *ret_total);
struct progress_sampler *progress_sampler_start(struct progress *progress, int period_ms,
                                                progress_sample sample, void *opaque, struct error *err);
/* NULL is allowed. */
void progress_sampler_stop(struct progress_sampler *sampler);

/* For tests: the time in milliseconds comes from `now`, which may be called by any thread, instead of CLOCK_MONOTONIC.
 * To be set before the first phase. */
void progress_set_clock(struct progress *progress, int64_t (*now)(void *opaque), void *opaque);

/* For tests: the same for that of the deadline, in place of CLOCK_REALTIME. */
void progress_set_calendar(struct progress *progress, int64_t (*now)(void *opaque), void *opaque);

#endif
