/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Has libvirt migrate a guest: the call, what goes on without it where the connection breaks, and where the guest is in the
 * end. What the call returned is believed by nobody: it only gives the words for a failure. */

#include "guest_migrate_internal.h"

#include <libvirt/virterror.h>

#include "hypervisor.h"
#include "kill_point.h"

/* How one call, or what was followed in place of it, ended as far as is known on this side. */
struct attempt {
    bool returned_well;
    struct error failure;
    struct migration_steered steered;
};

/* libvirt's words, and whose fault it is. */
static void attempt_failed(struct migration *m, struct error *failure)
{
    error_set_libvirt(failure, "migrating guest '%s' to '%s'", m->name, m->destination);
    if (failure->libvirt_code == VIR_ERR_MIGRATE_UNSAFE) {
        failure->code = ERROR_DENIED;
        error_locate(failure, "/params/unsafe");
    }
    if (failure->libvirt_code == VIR_ERR_CPU_INCOMPATIBLE) {
        failure->code = ERROR_UNSUPPORTED;
        error_locate(failure, "/params/destination");
    }
    if (failure->code == ERROR_CANCELLED) /* by somebody else, for our own is told otherwise */
        failure->code = ERROR_LIBVIRT;
    if (failure->code == ERROR_CONNECTION_LOST && hypervisor_is_alive(m->job->conn)) {
        failure->code = ERROR_HOST_UNAVAILABLE; /* the one between the two hosts */
        error_locate(failure, "/params/destination");
    }
}

static void attempt_call(struct migration *m, virTypedParameterPtr params, int count, struct attempt *attempt)
{
    kill_point("before-migrate");
    attempt->returned_well =
        virDomainMigrateToURI3(m->dom, m->peer_uri, params, (unsigned int)count, m->plan.flags) == 0;
    if (!attempt->returned_well)
        attempt_failed(m, &attempt->failure);
    kill_point("after-migrate");
}

/* Why it was ended counts also where that takes until the next look. */
static void attempt_end_steering(struct migration *m, struct attempt *attempt)
{
    struct migration_steered steered;

    migration_steer_end(m, &steered);
    if (!attempt->steered.stalled && !attempt->steered.anew)
        attempt->steered = steered;
}

static int attempt_begin(struct migration *m, struct attempt *attempt, struct error *err)
{
    virTypedParameterPtr params = NULL;
    int count = 0;

    if (migration_plan_params(m, &params, &count, err) < 0)
        return -1;
    if (job_step(m->job, "migrate", err) < 0 || migration_steer_begin(m, err) < 0) {
        virTypedParamsFree(params, count);
        return -1;
    }
    attempt_call(m, params, count, attempt);
    attempt_end_steering(m, attempt);
    virTypedParamsFree(params, count);
    return 0;
}

/* Until nothing is at work any more, or it cannot be seen. Where the job is to stop it is aborted, but from post-copy there is
 * no way back. */
static int attempt_follow(struct migration *m, struct attempt *attempt, struct error *err)
{
    struct error ended = ERROR_INIT;

    job_step_named(m->job, "migrate");
    if (migration_steer_begin(m, err) < 0) {
        job_uncertain(m->job); /* it goes on, and nobody looks */
        return -1;
    }
    if (migration_steer_wait(m, &ended) < 0)
        migration_pause(m, 500);
    attempt_end_steering(m, attempt);
    return 0;
}

/* The guest is here, and nothing of it there: 0 to begin anew, -1. */
static int attempt_stayed(struct migration *m, const struct attempt *attempt, struct error *err)
{
    job_settled(m->job);
    if (job_safe_point(m->job, err) < 0)
        return -1;
    if (attempt->steered.anew)
        return 0;
    if (attempt->steered.stalled)
        return error_set(err, ERROR_STALLED, "migrating guest '%s' to '%s' did not get on: %s", m->name,
                         m->destination, attempt->steered.why);
    if (attempt->failure.code == ERROR_NONE)
        return migration_tell(m, err);
    *err = attempt->failure;
    return -1;
}

/* 1 moved, 0 not, to begin anew, -1. */
static int attempt_judge(struct migration *m, const struct attempt *attempt, struct error *err)
{
    switch (m->place) {
    case PLACE_THERE:
        return 1;
    case PLACE_DEFINED:
        return attempt->returned_well && !m->plan.undefine ? 1 : attempt_stayed(m, attempt, err);
    case PLACE_HERE:
        return attempt_stayed(m, attempt, err);
    default:
        return migration_tell(m, err);
    }
}

/* What goes on without its call, the connection of which broke, is followed. */
static int attempt_verify(struct migration *m, struct attempt *attempt, struct error *err)
{
    for (;;) {
        if (migration_verify(m, err) < 0)
            return -1;
        if (m->place != PLACE_AT_WORK)
            return 0;
        if (attempt_follow(m, attempt, err) < 0)
            return -1;
    }
}

/* Whether one that was taken over has failed for a reason that nobody has heard. */
static bool attempt_is_unheard(const struct migration *m, const struct attempt *attempt)
{
    return m->taken_over && (m->place == PLACE_HERE || m->place == PLACE_DEFINED) &&
           !attempt->steered.stalled && !attempt->steered.anew;
}

/* As attempt_judge; 0 with m->taken_over: unheard. */
static int migration_attempt(struct migration *m, struct error *err)
{
    struct attempt attempt = { 0 };
    int rc = m->place == PLACE_AT_WORK ? attempt_follow(m, &attempt, err) : attempt_begin(m, &attempt, err);

    if (rc < 0 || attempt_verify(m, &attempt, err) < 0)
        return -1;
    if (attempt_is_unheard(m, &attempt) && job_safe_point(m->job, NULL) == 0)
        return 0;
    m->taken_over = false;
    return attempt_judge(m, &attempt, err);
}

int migration_drive(struct migration *m, struct error *err)
{
    int rc;

    while ((rc = migration_attempt(m, err)) == 0 && !m->taken_over) {
        m->plan.auto_converge = true;
        m->plan.flags |= VIR_MIGRATE_AUTO_CONVERGE;
    }
    m->taken_over = false;
    return rc;
}
