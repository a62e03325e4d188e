/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Looks on while a guest migrates, tells how far it has come, and does what guest_steer finds due, one action at a time.
 *
 * All but begin and end is on the watch's thread, which must not hang: the actions have threads of their own. */

#include "guest_migrate_internal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kill_point.h"
#include "monotonic.h"

/* Between two looks. */
#define PERIOD_MS 300

struct migration_steer {
    struct migration *m;
    char *uri; /* of the source */
    struct guest_watch *watch;
    struct job_abort *abort;

    /* The watch's thread's, until that has ended. */
    struct migration_act *act; /* under way */
    enum steer_action acting;  /* NOTHING: what is set is the downtime to begin with */
    uint64_t downtime_ms;      /* that it sets */
    int64_t acted_ms;          /* when it began */
    bool set_out;              /* the downtime to begin with is set, or cannot be */
    bool ending;               /* it has been aborted: nothing more is to be done */
    enum steer_action ended_by;
    char why[256];
    json_t *actions;
};

static void steer_free(struct migration_steer *s)
{
    migration_act_free(s->act);
    json_decref(s->actions);
    free(s->uri);
    free(s);
}

CLEANUP_DEFINE(migration_steer, struct migration_steer *, steer_free)

static int64_t today_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What has been done. */

static void steer_note(struct migration_steer *s, const struct error *failure)
{
    json_t *entry = json_pack("{s:s, s:I, s:b}", "action", steer_action_name(s->acting), "after_ms",
                              (json_int_t)(s->acted_ms - s->m->begun_ms), "ok", failure->code == ERROR_NONE);

    if (s->acting == STEER_RAISE_DOWNTIME)
        json_object_set_new(entry, "downtime_ms", json_integer((json_int_t)s->downtime_ms));
    if (failure->code)
        json_object_set_new(entry, "error", error_to_json(failure));
    json_array_append_new(s->actions, entry); /* without memory it is not told */
}

static void steer_say_why(struct migration_steer *s, const struct steer *steer)
{
    if (steer->stalled)
        snprintf(s->why, sizeof(s->why),
                 "%llu MiB were left, and for %d s there was no time with less to be sent",
                 (unsigned long long)steer->left >> 20, s->m->policy.stall_ms / 1000);
    else
        snprintf(s->why, sizeof(s->why), "%llu MiB were left, which could not be done by the deadline",
                 (unsigned long long)steer->left >> 20);
}

/* Whether the action that is under way, if any, is over. */
static void steer_take_act(struct migration_steer *s, bool wait)
{
    struct error failure = ERROR_INIT;

    if (!s->act || !migration_act_is_over(s->act, wait, &failure))
        return;
    migration_act_free(STEAL(&s->act));
    if (s->acting == STEER_NOTHING)
        return;
    steer_note(s, &failure);
    steer_done(&s->m->steering, s->acting, failure.code == ERROR_NONE, monotonic_now_ms());
    /* An abort that does not return may have been heard. */
    if ((s->acting == STEER_ABORT || s->acting == STEER_AUTO_CONVERGE) &&
        (failure.code == ERROR_NONE || failure.code == ERROR_TIMEOUT)) {
        s->ending = true;
        s->ended_by = s->acting;
    }
}

/* What is to be done. */

static void steer_act(struct migration_steer *s, enum steer_action action, uint64_t downtime_ms)
{
    s->acting = action;
    s->downtime_ms = downtime_ms;
    s->acted_ms = monotonic_now_ms();
    s->act = migration_act_begin(s->uri, s->m->uuid, action ? action : STEER_RAISE_DOWNTIME, downtime_ms);
    if (!s->act && action)
        steer_done(&s->m->steering, action, false, s->acted_ms);
}

/* The guest may be slowed down already: from the start, or by another worker that has begun it anew. */
static bool steer_converges(const struct migration_steer *s, const struct guest_stats *stats)
{
    return s->m->plan.auto_converge || stats->throttle > 0;
}

static void steer_act_on(struct migration_steer *s, enum steer_action due, const struct guest_stats *stats)
{
    struct steer *steer = &s->m->steering;

    if (!job_is_ours(s->m->job))
        return;
    if (!s->set_out) {
        s->set_out = true;
        steer_act(s, STEER_NOTHING, steer->downtime_ms);
        return;
    }
    if (due == STEER_NOTHING)
        return;
    if (due == STEER_AUTO_CONVERGE && steer_converges(s, stats)) {
        steer_done(steer, due, false, monotonic_now_ms());
        return;
    }
    if (due == STEER_ABORT)
        steer_say_why(s, steer);
    kill_point("before-steer");
    steer_act(s, due, steer_raised_downtime(steer));
}

static void steer_tell(struct migration_steer *s, const struct guest_stats *stats)
{
    struct progress *progress = job_progress(s->m->job);
    const struct steer *steer = &s->m->steering;

    if (steer->total == 0)
        return;
    progress_set_stalled(progress, steer->stalled);
    progress_set_detail(progress, steer_describe(steer, stats));
    progress_update(progress, steer_bytes_done(steer), steer->total);
}

static void steer_on_look(void *opaque, virDomainPtr dom, const struct guest_stats *stats, bool boundary)
{
    struct migration_steer *s = opaque;
    enum steer_action due;

    (void)dom;
    steer_take_act(s, false);
    if (s->ending)
        return;
    due = steer_see(&s->m->steering, stats, boundary, monotonic_now_ms(), today_ms());
    steer_tell(s, stats);
    if (!s->act)
        steer_act_on(s, due, stats);
}

/* The handler's side. */

/* What is allowed just now, where somebody else has set it. */
static void steer_adopt_downtime(struct migration *m)
{
    unsigned long long ms;

    if (virDomainMigrateGetMaxDowntime(m->dom, &ms, 0) == 0)
        m->steering.downtime_ms = ms;
}

/* The one that is followed after a broken connection goes on as it was. */
static void steer_set_out(struct migration_steer *s)
{
    struct migration *m = s->m;
    bool first = m->steering.policy == NULL, followed = m->place == PLACE_AT_WORK;

    if (first || !followed)
        progress_phase(job_progress(m->job), first ? "migrating" : "converging", "bytes");
    if (!first)
        return;
    steer_init(&m->steering, &m->policy);
    m->begun_ms = monotonic_now_ms();
    s->set_out = m->taken_over;
    if (m->taken_over)
        steer_adopt_downtime(m);
}

static int steer_watch(struct migration_steer *s, struct error *err)
{
    const struct guest_watch_settings settings = { .operation = VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT,
                                                   .period_ms = PERIOD_MS,
                                                   .seen = steer_on_look,
                                                   .opaque = s };

    s->abort = job_abort_begin(s->m->job, s->m->dom, err);
    if (!s->abort)
        return -1;
    if (guest_watch_begin(s->m->job, s->m->dom, &settings, &s->watch, err) == 0)
        return 0;
    job_abort_end(s->abort);
    return -1;
}

int migration_steer_begin(struct migration *m, struct error *err)
{
    AUTO(migration_steer) struct migration_steer *s = calloc(1, sizeof(*s));

    if (!s || !(s->actions = json_array()))
        return error_set_memory(err);
    s->m = m;
    s->uri = virConnectGetURI(virDomainGetConnect(m->dom));
    if (!s->uri)
        return error_set_libvirt(err, "preparing to steer the migration of '%s'", m->name);
    steer_set_out(s);
    if (steer_watch(s, err) < 0)
        return -1;
    m->steer = STEAL(&s);
    return 0;
}

int migration_steer_wait(struct migration *m, struct error *err)
{
    return guest_watch_wait(m->steer->watch, err);
}

void migration_steer_end(struct migration *m, struct migration_steered *ret_steered)
{
    AUTO(migration_steer) struct migration_steer *s = STEAL(&m->steer);

    *ret_steered = (struct migration_steered){ .stats = { .type = VIR_DOMAIN_JOB_NONE } };
    if (!s)
        return;
    job_abort_end(s->abort);
    guest_watch_end(s->watch, &ret_steered->stats);
    steer_take_act(s, true);
    ret_steered->stalled = s->ended_by == STEER_ABORT;
    ret_steered->anew = s->ended_by == STEER_AUTO_CONVERGE;
    snprintf(ret_steered->why, sizeof(ret_steered->why), "%s", s->why);
    json_array_extend(m->actions, s->actions);
}
