/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* How a live migration is brought to its end: figures in, the next action out. */

#include "guest_steer.h"

#include <stdio.h>
#include <string.h>

#include "job.h"

#define MAX_DOWNTIME_MS   1000
#define FIRST_DOWNTIME_MS 300 /* QEMU's own default */
#define STALL_S           40

/* Progress is what leaves less than this of the best so far. */
#define PROGRESS_RATIO 0.96

/* Rates are averages of about that long, and not known before so much of it has been seen. */
#define RATE_WINDOW_MS      10000.0
#define RATE_KNOWN_AFTER_MS 1000.0

/* A deadline that cannot be met for so long is not met: figures jump at the turn of a pass. */
#define LATE_AFTER_MS 2000

static const struct {
    enum steer_action action;
    const char *name;
} action_names[] = {
    { STEER_RAISE_DOWNTIME, "raise-downtime" },
    { STEER_AUTO_CONVERGE, "auto-converge" },
    { STEER_POST_COPY, "post-copy" },
    { STEER_PAUSE, "pause" },
    { STEER_ABORT, "abort" },
};

#define ACTION_NAMES (sizeof(action_names) / sizeof(*action_names))

const char *steer_action_name(enum steer_action action)
{
    for (size_t i = 0; i < ACTION_NAMES; i++)
        if (action_names[i].action == action)
            return action_names[i].name;
    return NULL;
}

/* The policy. */

bool steer_policy_has(const struct steer_policy *policy, enum steer_action action)
{
    for (size_t i = 0; i < policy->action_count; i++)
        if (policy->actions[i] == action)
            return true;
    return false;
}

static enum steer_action action_find(const char *name)
{
    for (size_t i = 0; i < ACTION_NAMES; i++)
        if (strcmp(action_names[i].name, name) == 0)
            return action_names[i].action;
    return STEER_NOTHING;
}

static int policy_add(struct steer_policy *policy, const char *name, const char *where, size_t i,
                      struct error *err)
{
    enum steer_action action = action_find(name);
    char at[256];

    snprintf(at, sizeof(at), "%s/actions/%zu", where, i);
    if (action == STEER_NOTHING)
        return error_set_at(err, ERROR_INVALID, at, "'%s' is no action", name);
    if (steer_policy_has(policy, action))
        return error_set_at(err, ERROR_INVALID, at, "'%s' stands there twice", name);
    policy->actions[policy->action_count++] = action;
    return 0;
}

static int policy_read_actions(const json_t *actions, const char *where, struct steer_policy *policy,
                               struct error *err)
{
    json_t *action;
    size_t i;

    json_array_foreach (actions, i, action)
        if (policy_add(policy, json_string_value(action), where, i, err) < 0)
            return -1;
    return 0;
}

/* Never slows, pauses or aborts a guest unasked. */
int steer_policy_read(const json_t *steering, const char *where, int64_t deadline_ms,
                      struct steer_policy *ret_policy, struct error *err)
{
    struct steer_policy policy = { .deadline_ms = deadline_ms };
    const json_t *actions = json_object_get(steering, "actions");

    policy.max_downtime_ms = (uint64_t)job_integer(steering, "max_downtime_ms", MAX_DOWNTIME_MS);
    policy.downtime_ms =
        policy.max_downtime_ms < FIRST_DOWNTIME_MS ? policy.max_downtime_ms : FIRST_DOWNTIME_MS;
    policy.stall_ms = (int)job_integer(steering, "stall_s", STALL_S) * 1000;
    if (!actions)
        policy.actions[policy.action_count++] = STEER_RAISE_DOWNTIME;
    else if (policy_read_actions(actions, where, &policy, err) < 0)
        return -1;
    *ret_policy = policy;
    return 0;
}

/* Rates. */

/* 1 / (1 + x) fades like exp(-x) where looks are closer than the window, and is well-behaved where they are not. */
static void rate_add(struct steer_rate *rate, double bytes, int64_t passed_ms)
{
    double fade = 1 / (1 + (double)passed_ms / RATE_WINDOW_MS);

    rate->bytes = rate->bytes * fade + bytes;
    rate->ms = rate->ms * fade + (double)passed_ms;
}

static bool rate_is_known(const struct steer_rate *rate)
{
    return rate->ms >= RATE_KNOWN_AFTER_MS;
}

/* Bytes a second. */
static double rate_get(const struct steer_rate *rate)
{
    return rate->bytes * 1000 / rate->ms;
}

/* What has been measured. */

void steer_init(struct steer *steer, const struct steer_policy *policy)
{
    *steer = (struct steer){ .policy = policy,
                             .downtime_ms = policy->downtime_ms,
                             .seen_ms = -1,
                             .exact_ms = -1,
                             .acted_ms = -1,
                             .late_since_ms = -1 };
}

/* The work has begun anew: what was measured of the one before tells nothing. */
static void steer_forget(struct steer *steer)
{
    struct steer blank;

    steer_init(&blank, steer->policy);
    blank.downtime_ms = steer->downtime_ms;
    blank.better_ms = steer->better_ms;
    blank.acted_ms = steer->acted_ms;
    blank.last = steer->last;
    blank.due = steer->due;
    blank.next = steer->next;
    *steer = blank;
}

static uint64_t stats_done(const struct guest_stats *stats)
{
    return stats->memory_done + stats->disk_done;
}

/* Samples within a later pass are a saw-tooth. In post-copy nothing is sent twice. */
static bool stats_are_exact(const struct guest_stats *stats, bool boundary)
{
    return boundary || stats->iteration < 2 || stats->postcopy;
}

static void steer_measure_rate(struct steer *steer, const struct guest_stats *stats, int64_t now_ms)
{
    uint64_t sent = stats_done(stats);

    if (steer->seen_ms < 0 || sent != steer->sent)
        steer->moved_ms = now_ms;
    if (steer->seen_ms >= 0)
        rate_add(&steer->sending, (double)(sent - steer->sent), now_ms - steer->seen_ms);
    if (rate_is_known(&steer->sending))
        steer->rate = rate_get(&steer->sending);
    steer->sent = sent;
    steer->seen_ms = now_ms;
}

/* What is left is counted from here: the first look, more to be moved than was known, or the turn from the first pass, at
 * the end of which almost nothing was left of it, to what the guest has written meanwhile. */
static void steer_set_mark(struct steer *steer, uint64_t left, int64_t now_ms)
{
    steer->best = steer->left = left;
    steer->falling = (struct steer_rate){ 0 };
    steer->better_ms = steer->exact_ms = now_ms;
    steer->judged = false;
}

static void steer_measure_left(struct steer *steer, uint64_t left, int64_t now_ms)
{
    rate_add(&steer->falling, (double)steer->left - (double)left, now_ms - steer->exact_ms);
    steer->left = left;
    steer->exact_ms = now_ms;
    steer->judged = true;
    if ((double)left >= PROGRESS_RATIO * (double)steer->best)
        return;
    steer->best = left;
    steer->better_ms = now_ms;
    steer->judged = false;
}

static void steer_measure(struct steer *steer, const struct guest_stats *stats, bool boundary, int64_t now_ms)
{
    uint64_t left = stats->memory_left + stats->disk_left, total = stats->memory_total + stats->disk_total;
    bool turn = steer->iteration < 2 && stats->iteration >= 2;

    if (!stats_are_exact(stats, boundary))
        return;
    if (total > steer->total || turn || (stats->postcopy && !steer->postcopy))
        steer_set_mark(steer, left, now_ms);
    else
        steer_measure_left(steer, left, now_ms);
    steer->iteration = stats->iteration;
    steer->postcopy = stats->postcopy;
    steer->total = total > steer->total ? total : steer->total;
    if (left < steer->total && steer->total - left > steer->done)
        steer->done = steer->total - left;
}

/* What it means. */

/* In the middle of a pass nobody knows whether the next will be shorter: where passes take longer than the stall time, the end
 * of one is waited for, as long as anything moves at all. */
static bool steer_is_stalled(const struct steer *steer, int64_t now_ms)
{
    int64_t stall_ms = steer->policy->stall_ms;

    return now_ms - steer->better_ms >= stall_ms && (steer->judged || now_ms - steer->moved_ms >= stall_ms);
}

/* 0: not known. */
static uint64_t steer_expect_downtime(const struct steer *steer, const struct guest_stats *stats)
{
    return steer->rate >= 1 ? (uint64_t)((double)steer->left * 1000 / steer->rate) : stats->downtime_ms;
}

/* When it will be over, in milliseconds from `now_ms`; below 0: not known. It is over when no more is left than can be sent in
 * the downtime. Before a second pass has shown by how much passes get shorter, the guest is taken to write nothing. */
static double steer_eta_ms(const struct steer *steer, int64_t now_ms)
{
    double left = (double)steer->left - steer->rate * (double)steer->downtime_ms / 1000;
    double fall = rate_is_known(&steer->falling) ? rate_get(&steer->falling) : steer->rate, eta_ms;

    if (!rate_is_known(&steer->sending))
        return -1;
    eta_ms = left / (fall > 1 ? fall : 1) * 1000 - (double)(now_ms - steer->exact_ms);
    return eta_ms > 0 ? eta_ms : 0;
}

static void steer_judge_deadline(struct steer *steer, int64_t now_ms, int64_t today_ms)
{
    double eta_ms = steer->policy->deadline_ms ? steer_eta_ms(steer, now_ms) : -1;
    bool late = eta_ms >= 0 && (double)today_ms + eta_ms > (double)steer->policy->deadline_ms;

    if (!late)
        steer->late_since_ms = -1;
    else if (steer->late_since_ms < 0)
        steer->late_since_ms = now_ms;
    steer->late = late && now_ms - steer->late_since_ms >= LATE_AFTER_MS;
}

/* What to do. */

static enum steer_action steer_next(struct steer *steer)
{
    const struct steer_policy *policy = steer->policy;

    if (steer->next < policy->action_count && policy->actions[steer->next] == STEER_RAISE_DOWNTIME &&
        steer->downtime_ms >= policy->max_downtime_ms)
        steer->next++;
    return steer->next < policy->action_count ? policy->actions[steer->next] : STEER_NOTHING;
}

/* Whether the last one has had its time. */
static bool steer_may_act(const struct steer *steer, int64_t now_ms)
{
    return steer->acted_ms < 0 || now_ms - steer->acted_ms >= steer->policy->stall_ms;
}

static enum steer_action steer_decide(struct steer *steer, int64_t now_ms)
{
    if (steer->postcopy)
        return STEER_NOTHING;
    if (steer->due == STEER_NOTHING && (steer->stalled || steer->late) && steer_may_act(steer, now_ms))
        steer->due = steer_next(steer);
    return steer->due;
}

enum steer_action steer_see(struct steer *steer, const struct guest_stats *stats, bool boundary,
                            int64_t now_ms, int64_t today_ms)
{
    if (stats->memory_total + stats->disk_total == 0)
        return steer->due; /* there is nothing to be measured yet */
    if (stats_done(stats) < steer->sent || stats->iteration < steer->iteration)
        steer_forget(steer);
    steer_measure_rate(steer, stats, now_ms);
    steer_measure(steer, stats, boundary, now_ms);
    steer->expected_downtime_ms = steer_expect_downtime(steer, stats);
    steer->stalled = steer_is_stalled(steer, now_ms);
    steer_judge_deadline(steer, now_ms, today_ms);
    return steer_decide(steer, now_ms);
}

uint64_t steer_raised_downtime(const struct steer *steer)
{
    uint64_t raised = steer->downtime_ms * 2, max = steer->policy->max_downtime_ms;

    return raised < max ? raised : max;
}

void steer_done(struct steer *steer, enum steer_action action, bool worked, int64_t now_ms)
{
    steer->due = STEER_NOTHING;
    if (worked && action == STEER_RAISE_DOWNTIME)
        steer->downtime_ms = steer_raised_downtime(steer);
    else
        steer->next++;
    if (!worked) {
        steer->due = steer_next(steer);
        return;
    }
    steer->last = action;
    steer->acted_ms = steer->better_ms = now_ms;
    steer->judged = steer->stalled = false;
    if (action == STEER_AUTO_CONVERGE)
        steer_forget(steer);
}

/* What is told. */

uint64_t steer_bytes_done(const struct steer *steer)
{
    return steer->done;
}

/* NULL for 0, which json_pack leaves out. */
static json_t *json_some(uint64_t value)
{
    return value > 0 ? json_integer((json_int_t)value) : NULL;
}

json_t *steer_describe(const struct steer *steer, const struct guest_stats *stats)
{
    return json_pack("{s:I, s:I, s:o*, s:o*, s:o*, s:I, s:o*, s:s*, s:o*}", "iteration",
                     (json_int_t)stats->iteration, "left", (json_int_t)steer->left, "bandwidth",
                     json_some((uint64_t)steer->rate), "dirty_rate", json_some(stats->dirty_rate),
                     "downtime_ms", json_some(steer->expected_downtime_ms), "allowed_downtime_ms",
                     (json_int_t)steer->downtime_ms, "throttle",
                     json_some(stats->throttle > 0 ? (uint64_t)stats->throttle : 0), "action",
                     steer_action_name(steer->last), "late", steer->late ? json_true() : NULL);
}
