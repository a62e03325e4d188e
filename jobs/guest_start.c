/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.start: from nothing, or from its managed save image. */

#include "guest_internal.h"

#include "kill_point.h"

bool guest_is_starting(virDomainPtr dom)
{
    int state = 0, reason = 0;

    return virDomainGetState(dom, &state, &reason, 0) == 0 && state == VIR_DOMAIN_PAUSED &&
           reason == VIR_DOMAIN_PAUSED_STARTING_UP;
}

/* While another start is at it, libvirt lets this one wait for that, and refuses it only then. */
int guest_power_on(virDomainPtr dom, unsigned int flags, struct error *err)
{
    int active = guest_is_active(dom, err);

    if (active < 0 || (active > 0 && !guest_is_starting(dom)))
        return active < 0 ? -1 : 0;
    kill_point("before-start");
    if (virDomainCreateWithFlags(dom, flags) == 0) {
        kill_point("after-start");
        return 1;
    }
    error_set_libvirt(err, "starting guest '%s'", virDomainGetName(dom));
    /* Somebody else may have been quicker. */
    if (!err || guest_is_active(dom, NULL) != 1 || guest_is_starting(dom))
        return -1;
    *err = ERROR_INIT;
    return 0;
}

int guest_undo_start(struct job *job, const json_t *identity, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    int own;

    if (guest_from_identity(job->conn, identity, &dom, err) < 0)
        return -1;
    own = dom ? guest_is_own(job, dom, err) : 0;
    if (own <= 0)
        return own;
    return guest_power_off(dom, 0, err) < 0 ? -1 : 0;
}

static unsigned int guest_start_flags(const struct job *job)
{
    unsigned int flags = 0;

    if (job_flag(job->params, "paused", false))
        flags |= VIR_DOMAIN_START_PAUSED;
    if (job_flag(job->params, "bypass_cache", false))
        flags |= VIR_DOMAIN_START_BYPASS_CACHE;
    if (job_flag(job->params, "force_boot", false))
        flags |= VIR_DOMAIN_START_FORCE_BOOT;
    return flags;
}

int guest_start(struct job *job, json_t **ret_result, struct error *err)
{
    unsigned int flags = guest_start_flags(job);
    AUTO(domain) virDomainPtr dom = NULL;
    AUTO(json) json_t *result = NULL;
    bool saved;
    int done;

    if (job_step(job, "start", err) < 0 || guest_lookup(job, &dom, err) < 0)
        return -1;
    if (job_safe_point(job, err) < 0)
        return -1;
    saved = !(flags & VIR_DOMAIN_START_FORCE_BOOT) && virDomainHasManagedSaveImage(dom, 0) == 1;
    done = guest_power_on(dom, flags, err);
    if (done < 0 || guest_describe(dom, &result, err) < 0)
        return -1;
    if (done == 0)
        job_unchanged(job);
    if (json_object_set_new(result, "restored", json_boolean(done == 1 && saved)) < 0)
        return error_set_memory(err);
    *ret_result = STEAL(&result);
    return 0;
}
