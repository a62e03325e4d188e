/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.destroy: power off, as by pulling the plug. */

#include "guest_internal.h"

#include "kill_point.h"

int guest_power_off(virDomainPtr dom, unsigned int flags, struct error *err)
{
    int active = guest_is_active(dom, err);

    if (active <= 0)
        return active;
    kill_point("before-destroy");
    if (virDomainDestroyFlags(dom, flags) == 0) {
        kill_point("after-destroy");
        return 1;
    }
    error_set_libvirt(err, "destroying guest '%s'", virDomainGetName(dom));
    /* It may have ended by itself in between, and with it, where it was transient, the guest as such. */
    if (!err || guest_is_active(dom, NULL) != 0)
        return -1;
    *err = ERROR_INIT;
    return 0;
}

int guest_destroy(struct job *job, json_t **ret_result, struct error *err)
{
    unsigned int flags = job_flag(job->params, "graceful", false) ? VIR_DOMAIN_DESTROY_GRACEFUL : 0;
    AUTO(domain) virDomainPtr dom = NULL;
    int done;

    if (job_step(job, "destroy", err) < 0 || guest_lookup_off(job, &dom, ret_result, err) < 0)
        return -1;
    if (!dom)
        return 0;
    if (job_safe_point(job, err) < 0)
        return -1;
    done = guest_power_off(dom, flags, err);
    if (done < 0)
        return -1;
    if (done == 0)
        job_unchanged(job);
    return guest_describe(dom, ret_result, err);
}
