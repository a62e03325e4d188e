/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One action on a migration, on a thread that may be left behind.
 *
 * Each of these calls waits for QEMU's monitor, and may never return. So it is made on a thread of its own, over a connection
 * of its own: whoever waits for it no more leaves it both, and it cleans up when, if ever, its call returns. */

#include "guest_migrate_internal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "monotonic.h"
#include "thread.h"

#define PATIENCE_MS 30000

struct migration_act {
    enum steer_action action;
    uint64_t downtime_ms;
    char uuid[VIR_UUID_STRING_BUFLEN];
    char *uri;
    int64_t begun_ms;
    atomic_int references; /* the caller's, and the thread's */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool over;
    struct error failure;
};

static void act_unref(struct migration_act *act)
{
    if (atomic_fetch_sub(&act->references, 1) > 1)
        return;
    pthread_cond_destroy(&act->changed);
    pthread_mutex_destroy(&act->lock);
    free(act->uri);
    free(act);
}

CLEANUP_DEFINE(act, struct migration_act *, act_unref)

/* The thread. */

static int act_call(const struct migration_act *act, virDomainPtr dom)
{
    switch (act->action) {
    case STEER_RAISE_DOWNTIME:
        return virDomainMigrateSetMaxDowntime(dom, act->downtime_ms, 0);
    case STEER_POST_COPY:
        return virDomainMigrateStartPostCopy(dom, 0);
    case STEER_PAUSE:
        return virDomainSuspend(dom);
    default: /* to begin anew takes an end, too */
        return virDomainAbortJob(dom);
    }
}

/* One that notices when the host falls silent. */
static int act_run(const struct migration_act *act, virConnectPtr conn, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;

    if (!conn)
        return error_set_libvirt(err, "connecting to '%s'", act->uri);
    virConnectSetKeepAlive(conn, 5, 3);
    dom = virDomainLookupByUUIDString(conn, act->uuid);
    if (!dom || act_call(act, dom) < 0)
        return error_set_libvirt(err, "steering with %s", steer_action_name(act->action));
    return 0;
}

/* Closing a connection may hang as well, so it comes when nobody waits any more. */
static void *act_main(void *opaque)
{
    AUTO(act) struct migration_act *act = opaque;
    AUTO(connect) virConnectPtr conn = virConnectOpen(act->uri);
    struct error failure = ERROR_INIT;

    act_run(act, conn, &failure);
    SCOPE_LOCK(&act->lock);
    act->failure = failure;
    act->over = true;
    pthread_cond_signal(&act->changed);
    return NULL;
}

/* The caller's side. */

static struct migration_act *act_new(enum steer_action action, uint64_t downtime_ms)
{
    struct migration_act *act = calloc(1, sizeof(*act));

    if (!act)
        return NULL;
    act->action = action;
    act->downtime_ms = downtime_ms;
    act->begun_ms = monotonic_now_ms();
    atomic_init(&act->references, 1);
    pthread_mutex_init(&act->lock, NULL);
    monotonic_cond_init(&act->changed);
    return act;
}

struct migration_act *migration_act_begin(const char *uri, const char *uuid, enum steer_action action,
                                          uint64_t downtime_ms)
{
    AUTO(act) struct migration_act *act = act_new(action, downtime_ms);

    if (!act || !(act->uri = strdup(uri)))
        return NULL;
    snprintf(act->uuid, sizeof(act->uuid), "%s", uuid);
    atomic_fetch_add(&act->references, 1);
    if (thread_start_detached(act_main, act) != 0) {
        act_unref(act);
        return NULL;
    }
    return STEAL(&act);
}

/* Holding the lock. */
static bool act_wait(struct migration_act *act)
{
    while (!act->over)
        if (monotonic_wait(&act->changed, &act->lock, act->begun_ms + PATIENCE_MS) == ETIMEDOUT)
            return false;
    return true;
}

bool migration_act_is_over(struct migration_act *act, bool wait, struct error *ret_failure)
{
    SCOPE_LOCK(&act->lock);

    if (!act->over && !wait && monotonic_now_ms() < act->begun_ms + PATIENCE_MS)
        return false;
    if (act_wait(act))
        *ret_failure = act->failure;
    else
        error_set(ret_failure, ERROR_TIMEOUT, "%s did not return in %d s", steer_action_name(act->action),
                  PATIENCE_MS / 1000);
    return true;
}

void migration_act_free(struct migration_act *act)
{
    if (act)
        act_unref(act);
}
