/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* How a live migration is brought to its end: measures how far it has come, sees that it does not get on, and says what is to
 * be done about it. Knows figures only and calls nobody; whoever uses it is one thread at a time.
 *
 * What is left counts memory and disks. Samples of it within a pass over the memory are a saw-tooth, so from the second pass on
 * only what is left at the end of a pass counts. Stalled is a migration of which, for the time that the policy gives, never
 * less than 96 % was left of the least so far. Where a pass takes longer than that, its end is waited for, unless nothing moves
 * at all. */

#ifndef VIRTJOB_GUEST_STEER_H
#define VIRTJOB_GUEST_STEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "error.h"
#include "guest_watch.h"

enum steer_action {
    STEER_NOTHING,
    STEER_RAISE_DOWNTIME, /* twice the downtime, up to the policy's; again and again until there */
    STEER_AUTO_CONVERGE,  /* begin anew, with the guest's CPUs slowed down as much as it takes */
    STEER_POST_COPY,      /* the guest goes on at the destination, and gets its memory as it needs it */
    STEER_PAUSE,          /* the guest stands still until it is over */
    STEER_ABORT,
};
#define STEER_ACTIONS_MAX 5

/* "raise-downtime", …; NULL for STEER_NOTHING. Static. */
const char *steer_action_name(enum steer_action action);

struct steer_policy {
    uint64_t downtime_ms;     /* to begin with */
    uint64_t max_downtime_ms; /* at the most */
    int stall_ms;
    enum steer_action
        actions[STEER_ACTIONS_MAX]; /* one after the other, each with stall_ms to show its effect */
    size_t action_count;
    int64_t deadline_ms; /* since 1970; 0: none. Where it cannot be met the next action is due at once */
};

/* From `steering` of a job's parameters (guest.migrate.json), NULL: all defaults. ERROR_INVALID at a pointer below `where`
 * for what the schema cannot see: an action that stands there twice. */
int steer_policy_read(const json_t *steering, const char *where, int64_t deadline_ms,
                      struct steer_policy *ret_policy, struct error *err);

/* Bytes, and in how long; both fade. */
struct steer_rate {
    double bytes, ms;
};

struct steer {
    const struct steer_policy *policy;
    uint64_t total, left,
        best; /* bytes; `left` as of the last time that it was exact, `best` what the next 4 % count from */
    uint64_t sent, done;           /* as libvirt counts, what is sent again too; for progress */
    double rate;                   /* bytes a second that are sent, smoothed */
    uint64_t downtime_ms;          /* that is allowed just now */
    uint64_t expected_downtime_ms; /* if it had to be now; 0: not known */
    int64_t better_ms;             /* monotonic: when `best` last fell by 4 %, or the last action was taken */
    int64_t seen_ms, exact_ms;     /* the last look; the last of which `left` is. -1: none */
    int64_t moved_ms;              /* when `sent` was last seen to grow */
    int64_t acted_ms;              /* -1: not yet */
    int64_t late_since_ms;         /* -1: it is not */
    size_t next;                   /* of the policy's actions */
    enum steer_action due, last;   /* asked for and not done yet; the last that was done */
    bool judged;                   /* an exact look since better_ms */
    bool stalled;
    bool late; /* the deadline cannot be met */
    bool postcopy;
    uint64_t iteration;
    struct steer_rate sending, falling; /* of what is sent, of what is left */
};

bool steer_policy_has(const struct steer_policy *policy, enum steer_action action);

void steer_init(struct steer *steer, const struct steer_policy *policy);

/* Takes a look at the work, at the monotonic time `now_ms` and the real time `today_ms`; what should be done now. The caller
 * that has done it (or could not) says so with steer_done; until then the answer stays the same. Nothing is due in post-copy. */
enum steer_action steer_see(struct steer *steer, const struct guest_stats *stats, bool boundary,
                            int64_t now_ms, int64_t today_ms);
/* `worked` false: it cannot be done here, so the next one is due at once. */
void steer_done(struct steer *steer, enum steer_action action, bool worked, int64_t now_ms);

/* The downtime that STEER_RAISE_DOWNTIME is to set. */
uint64_t steer_raised_downtime(const struct steer *steer);

/* For progress_update, of steer->total: never runs backwards, but starts over with work that is begun anew. */
uint64_t steer_bytes_done(const struct steer *steer);

/* For progress_set_detail, {iteration, left, bandwidth?, dirty_rate?, downtime_ms?, allowed_downtime_ms, throttle?, action?, late?}, as
 * guest.migrate.json#/$defs/progress. NULL: no memory. */
json_t *steer_describe(const struct steer *steer, const struct guest_stats *stats);

#endif
