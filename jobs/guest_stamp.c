/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The stamp of a guest, as the jobs that define one use it: put in before, looked for when the job comes again. */

#include "guest_internal.h"

#include <stdio.h>

#include "kill_point.h"

int guest_definition_stamp(struct job *job, struct guest_definition *definition, struct error *err)
{
    struct stamp stamp = { .state = STAMP_INTENDED,
                           .part = definition->template,
                           .replaced = definition->replaces };

    snprintf(stamp.job, sizeof(stamp.job), "%s", job->id);
    snprintf(stamp.type, sizeof(stamp.type), "%s", job->type->name);
    return stamp_put_guest(definition->doc, &stamp, err);
}

/* A driver that keeps no stamps has none of this job. */
static int own_read(virDomainPtr dom, struct stamp *ret_stamp, struct error *err)
{
    struct error failure = ERROR_INIT;

    if (stamp_read_guest(dom, ret_stamp, &failure) == 0 || failure.code == ERROR_UNSUPPORTED)
        return 0;
    if (err)
        *err = failure;
    return -1;
}

static int own_find_by(struct job *job, virDomainPtr (*by)(virConnectPtr, const char *), const char *what,
                       struct stamp *ret_stamp, virDomainPtr *ret_dom, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;

    if (guest_find_by(job->conn, by, what, &dom, err) < 0)
        return -1;
    if (dom && own_read(dom, ret_stamp, err) < 0)
        return -1;
    if (dom && stamp_is_of(ret_stamp, job->id))
        *ret_dom = STEAL(&dom);
    return 0;
}

/* By the name too: a guest that was replaced has kept its own UUID. */
int guest_find_own(struct job *job, const struct guest_definition *definition, struct stamp *ret_stamp,
                   virDomainPtr *ret_dom, struct error *err)
{
    virDomainPtr dom = NULL;

    if (own_find_by(job, virDomainLookupByUUIDString, definition->uuid, ret_stamp, &dom, err) < 0)
        return -1;
    if (!dom && own_find_by(job, virDomainLookupByName, definition->name, ret_stamp, &dom, err) < 0)
        return -1;
    *ret_dom = dom;
    return 0;
}

int guest_is_own(struct job *job, virDomainPtr dom, struct error *err)
{
    struct error failure = ERROR_INIT;
    struct stamp stamp;

    if (stamp_read_guest(dom, &stamp, &failure) == 0)
        return stamp_is_of(&stamp, job->id);
    if (failure.code == ERROR_UNSUPPORTED)
        return 1;
    if (err)
        *err = failure;
    return -1;
}

static int own_finish(struct job *job, const struct guest_definition *definition, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    struct stamp stamp;

    if (guest_find_own(job, definition, &stamp, &dom, err) < 0)
        return -1;
    if (dom && stamp_finish_guest(dom, job->id, err) < 0)
        return -1;
    kill_point("after-guest-done");
    return 0;
}

/* An XML that cannot be read has never been defined. */
int guest_sweep(struct job *job, bool template, struct error *err)
{
    AUTO(guest_definition) struct guest_definition definition = { 0 };
    struct error failure = ERROR_INIT;

    if (guest_definition_init(job, template, &definition, &failure) == 0)
        return own_finish(job, &definition, err);
    if (failure.code != ERROR_INTERNAL)
        return 0;
    if (err)
        *err = failure;
    return -1;
}
