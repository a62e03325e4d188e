/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Of a guest: whether libvirt is saving it just now, and how that is ended. */

#include "guest_internal.h"

#include "guest_watch.h"

/* How long work that is aborted may take to end. */
#define LOOK_MS   250
#define LOOKS_MAX 120

int guest_save_is_at_work(virDomainPtr dom, struct error *err)
{
    struct guest_stats stats;
    int active = guest_is_active(dom, err);

    if (active <= 0)
        return active;
    if (guest_stats_read(dom, false, &stats, err) < 0)
        return -1;
    return stats.type != VIR_DOMAIN_JOB_NONE && stats.operation == VIR_DOMAIN_JOB_OPERATION_SAVE;
}

static int save_await_end(struct job *job, virDomainPtr dom, struct error *err)
{
    for (int look = 0; look < LOOKS_MAX; look++) {
        int works = guest_save_is_at_work(dom, err);

        if (works <= 0)
            return works;
        if (job_wait(job, LOOK_MS, err) < 0)
            return -1;
    }
    return error_set(err, ERROR_BUSY, "libvirt still saves guest '%s'", virDomainGetName(dom));
}

int guest_save_abort(struct job *job, virDomainPtr dom, struct error *err)
{
    int works = guest_save_is_at_work(dom, err), rc;
    struct job_abort *abort;

    if (works <= 0)
        return works;
    if (!(abort = job_abort_now(job, dom, err)))
        return -1;
    rc = save_await_end(job, dom, err);
    job_abort_end(abort);
    return rc;
}
