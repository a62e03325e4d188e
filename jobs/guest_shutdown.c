/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.shutdown: asks the guest to end in order, waits for libvirt's word that it has, and pulls the plug in the end
 * where that was asked for. */

#include "guest_internal.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <libvirt/virterror.h>

#include "kill_point.h"

/* A guest early in its boot does not hear the power button. */
#define RESEND_S 10

/* Shared by the handler and libvirt's callback, which may outlive the handler's wait for a moment. */
struct shutdown_watch {
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool stopped;
    int references;
};

static void watch_unref(void *opaque)
{
    struct shutdown_watch *watch = opaque;
    int left;

    pthread_mutex_lock(&watch->lock);
    left = --watch->references;
    pthread_mutex_unlock(&watch->lock);
    if (left > 0)
        return;
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

CLEANUP_DEFINE(shutdown_watch, struct shutdown_watch *, watch_unref)

static struct shutdown_watch *watch_new(void)
{
    struct shutdown_watch *watch = calloc(1, sizeof(*watch));
    pthread_condattr_t monotonic;

    if (!watch)
        return NULL;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&watch->lock, NULL);
    watch->references = 1;
    return watch;
}

/* On libvirt's event loop. */
static void watch_on_lifecycle(virConnectPtr conn, virDomainPtr dom, int event, int detail, void *opaque)
{
    struct shutdown_watch *watch = opaque;
    SCOPE_LOCK(&watch->lock);

    (void)conn;
    (void)dom;
    (void)detail;
    if (event != VIR_DOMAIN_EVENT_STOPPED)
        return;
    watch->stopped = true;
    pthread_cond_signal(&watch->changed);
}

/* The callback's id, -1 where libvirt has no event loop here: then the state is asked for instead. */
static int watch_register(struct shutdown_watch *watch, virConnectPtr conn, virDomainPtr dom)
{
    int id;

    pthread_mutex_lock(&watch->lock);
    watch->references++;
    pthread_mutex_unlock(&watch->lock);
    id = virConnectDomainEventRegisterAny(conn, dom, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                          VIR_DOMAIN_EVENT_CALLBACK(watch_on_lifecycle), watch, watch_unref);
    if (id < 0)
        watch_unref(watch);
    return id;
}

/* Up to a second, less when the guest stops: then true. */
static bool watch_wait(struct shutdown_watch *watch)
{
    struct timespec end;
    SCOPE_LOCK(&watch->lock);

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec++;
    while (!watch->stopped)
        if (pthread_cond_timedwait(&watch->changed, &watch->lock, &end) == ETIMEDOUT)
            break;
    return watch->stopped;
}

static unsigned int shutdown_flags(const struct job *job)
{
    const char *mode = job_string(job->params, "mode", "auto");

    if (strcmp(mode, "acpi") == 0)
        return VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN;
    if (strcmp(mode, "agent") == 0)
        return VIR_DOMAIN_SHUTDOWN_GUEST_AGENT;
    return VIR_DOMAIN_SHUTDOWN_DEFAULT;
}

/* 1 asked, 0 it is off already, -1. */
static int shutdown_request(struct job *job, virDomainPtr dom, struct error *err)
{
    struct error refused = ERROR_INIT;

    kill_point("before-shutdown");
    if (virDomainShutdownFlags(dom, shutdown_flags(job)) == 0) {
        kill_point("after-shutdown");
        return 1;
    }
    error_set_libvirt(&refused, "asking guest '%s' to shut down", virDomainGetName(dom));
    if (guest_is_active(dom, NULL) == 0)
        return 0;
    if (err)
        *err = refused;
    return -1;
}

/* Another request and a look at the state, both now and then: an event could have been lost with the daemon. The
 * agent is asked once, it answers. 1 off, 0 still on, -1. */
static int shutdown_look(struct job *job, virDomainPtr dom, bool again, struct error *err)
{
    int active = guest_is_active(dom, err);

    if (active <= 0)
        return active < 0 ? -1 : 1;
    if (again && shutdown_flags(job) != VIR_DOMAIN_SHUTDOWN_GUEST_AGENT)
        shutdown_request(job, dom, NULL);
    return 0;
}

static int64_t seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* 1 off, 0 still on when the time is up, -1. */
static int shutdown_wait(struct job *job, virDomainPtr dom, struct shutdown_watch *watch, bool events,
                         struct error *err)
{
    int64_t timeout = job_integer(job->params, "timeout_s", 120), begun = seconds_now() - job_age_s(job);
    int64_t passed = 0, resend = job_age_s(job) + RESEND_S;

    progress_phase(job_progress(job), "waiting", "seconds");
    while (!watch_wait(watch)) {
        if (job_safe_point(job, err) < 0)
            return -1;
        passed = seconds_now() - begun;
        progress_update(job_progress(job), (uint64_t)passed, (uint64_t)timeout);
        if (!events || passed >= resend || passed >= timeout || virConnectIsAlive(job->conn) != 1) {
            int off = shutdown_look(job, dom, passed >= resend && passed < timeout, err);

            if (off != 0)
                return off;
            resend = passed >= resend ? passed + RESEND_S : resend;
        }
        if (passed >= timeout)
            return 0;
    }
    return 1;
}

/* As shutdown_wait. */
static int shutdown_watched(struct job *job, virDomainPtr dom, struct error *err)
{
    AUTO(shutdown_watch) struct shutdown_watch *watch = watch_new();
    int id, off;

    if (!watch)
        return error_set_memory(err);
    id = watch_register(watch, job->conn, dom);
    off = job_safe_point(job, err) < 0 ? -1 : shutdown_request(job, dom, err);
    if (off == 1)
        off = shutdown_wait(job, dom, watch, id >= 0, err);
    else if (off == 0)
        off = 1;
    if (id >= 0)
        virConnectDomainEventDeregisterAny(job->conn, id);
    return off;
}

/* Whether the guest could not even be asked, for want of an agent or of ACPI. */
static bool shutdown_is_deaf(const struct error *err)
{
    return err->code == ERROR_GUEST_AGENT || err->code == ERROR_UNSUPPORTED;
}

/* As shutdown_wait; *ret_forced: it was destroyed in the end. */
static int shutdown_run(struct job *job, virDomainPtr dom, bool *ret_forced, struct error *err)
{
    bool force = job_flag(job->params, "destroy", false);
    int off = shutdown_watched(job, dom, err);

    if (off == 1)
        return 0;
    if (off < 0 && !(force && shutdown_is_deaf(err)))
        return -1;
    if (!force)
        return error_set_at(err, ERROR_TIMEOUT, "/params/timeout_s", "guest '%s' is still on after %lld s",
                            virDomainGetName(dom), (long long)job_integer(job->params, "timeout_s", 120));
    *err = ERROR_INIT;
    if (job_step(job, "destroy", err) < 0)
        return -1;
    off = guest_power_off(dom, 0, err);
    *ret_forced = off == 1;
    return off < 0 ? -1 : 0;
}

int guest_shutdown(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(domain) virDomainPtr dom = NULL;
    AUTO(json) json_t *result = NULL;
    bool forced = false;
    int active;

    if (job_step(job, "shutdown", err) < 0 || guest_lookup_off(job, &dom, &result, err) < 0)
        return -1;
    active = dom ? guest_is_active(dom, err) : 0;
    if (active == 0)
        job_unchanged(job);
    if (active < 0 || (active == 1 && shutdown_run(job, dom, &forced, err) < 0))
        return -1;
    if (dom && guest_describe(dom, &result, err) < 0)
        return -1;
    if (json_object_set_new(result, "forced", json_boolean(forced)) < 0)
        return error_set_memory(err);
    *ret_result = STEAL(&result);
    return 0;
}
