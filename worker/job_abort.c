/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Aborts the libvirt job of a domain, from a thread that may be left behind.
 *
 * virDomainAbortJob may never return: it waits for QEMU's monitor. So it is called on a thread of its own, over a
 * connection of its own, which is nobody else's to give back or close: whoever stops waiting for the thread leaves it
 * what it works on, and it cleans up when, if ever, its call returns. It holds no part of the job or its host.
 *
 * What is aborted is whatever job the domain has, and a stop may come before libvirt has begun ours. So the thread asks
 * again until the handler's call has returned; to abort twice does no harm. */

#include "job_abort.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#include "cleanup.h"
#include "hypervisor.h"
#include "monotonic.h"
#include "thread.h"

#define PATIENCE_MS  30000
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 2000

struct job_abort {
    struct job *job;                 /* for the handler's thread only: the other may outlive it */
    char id[VIR_UUID_STRING_BUFLEN]; /* of the job */
    char uuid[VIR_UUID_STRING_BUFLEN];
    job_cut_function cut; /* NULL: virDomainAbortJob */
    char *uri;
    int patience_ms;
    atomic_int references; /* the handler's, and the thread's */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    bool ended;       /* the handler's call has returned: there is nothing more to abort */
    bool at_work;     /* the thread */
    int64_t tried_ms; /* when it began its present try */
    bool asking;      /* it is in virDomainAbortJob */
    bool sent;        /* libvirt has taken an abort */
};

static void abort_unref(struct job_abort *abort)
{
    if (atomic_fetch_sub(&abort->references, 1) > 1)
        return;
    pthread_cond_destroy(&abort->changed);
    pthread_mutex_destroy(&abort->mutex);
    free(abort->uri);
    free(abort);
}

CLEANUP_DEFINE(abort, struct job_abort *, abort_unref)

/* The thread. */

static void abort_begin_try(struct job_abort *abort)
{
    SCOPE_LOCK(&abort->mutex);

    abort->tried_ms = monotonic_now_ms();
}

static void abort_note(struct job_abort *abort, bool asking, bool taken)
{
    SCOPE_LOCK(&abort->mutex);

    abort->asking = asking;
    abort->sent |= taken;
}

/* A connection for this alone, which notices when the host falls silent. */
static virConnectPtr abort_connect(const struct job_abort *abort)
{
    virConnectPtr conn = virConnectOpen(abort->uri);

    if (conn)
        virConnectSetKeepAlive(conn, 5, 3);
    return conn;
}

/* That there is no job, or that it has come too far (post-copy), is no failure here: the handler's call goes on, or has
 * ended by itself. */
static void abort_try(struct job_abort *abort, virConnectPtr conn)
{
    AUTO(domain) virDomainPtr dom = virDomainLookupByUUIDString(conn, abort->uuid);
    bool taken;

    if (!dom)
        return;
    abort_note(abort, true, false);
    taken = abort->cut ? abort->cut(dom, abort->id) : virDomainAbortJob(dom) == 0;
    abort_note(abort, false, taken);
}

/* False: it is over. */
static bool abort_pause(struct job_abort *abort, int *pause_ms)
{
    int64_t until = monotonic_now_ms() + *pause_ms;
    SCOPE_LOCK(&abort->mutex);

    while (!abort->ended && monotonic_wait(&abort->changed, &abort->mutex, until) != ETIMEDOUT)
        ;
    *pause_ms = *pause_ms * 2 < PAUSE_MAX_MS ? *pause_ms * 2 : PAUSE_MAX_MS;
    return !abort->ended;
}

static void abort_retire(struct job_abort *abort)
{
    SCOPE_LOCK(&abort->mutex);

    abort->at_work = false;
    pthread_cond_signal(&abort->changed);
}

/* Closing a connection may hang as well, so it comes when nobody waits any more. */
static void *abort_main(void *opaque)
{
    AUTO(abort) struct job_abort *abort = opaque;
    AUTO(connect) virConnectPtr conn = NULL;
    int pause_ms = PAUSE_MIN_MS;

    do {
        abort_begin_try(abort);
        if (conn && !hypervisor_is_alive(conn))
            virConnectClose(STEAL(&conn));
        if (!conn)
            conn = abort_connect(abort);
        if (conn)
            abort_try(abort, conn);
    } while (abort_pause(abort, &pause_ms));
    abort_retire(abort);
    return NULL;
}

/* The handler's side. */

/* A job_stop_function. A job that was given up goes on in libvirt for the worker that takes it over. */
static void abort_on_stop(void *opaque, bool given_up)
{
    struct job_abort *abort = opaque;
    SCOPE_LOCK(&abort->mutex);

    if (given_up)
        return;
    atomic_fetch_add(&abort->references, 1);
    abort->tried_ms = monotonic_now_ms();
    abort->at_work = thread_start_detached(abort_main, abort) == 0;
    if (!abort->at_work)
        abort_unref(abort);
}

static void abort_init_locks(struct job_abort *abort)
{
    pthread_mutex_init(&abort->mutex, NULL);
    monotonic_cond_init(&abort->changed);
}

static struct job_abort *abort_new(struct job *job, virConnectPtr conn, int patience_ms, struct error *err)
{
    AUTO(abort) struct job_abort *abort = calloc(1, sizeof(*abort));

    if (!abort)
        return error_set_memory(err), NULL;
    abort_init_locks(abort);
    atomic_init(&abort->references, 1);
    abort->job = job;
    abort->patience_ms = patience_ms;
    abort->uri = virConnectGetURI(conn);
    if (!abort->uri)
        return error_set_libvirt(err, "preparing to abort"), NULL;
    return STEAL(&abort);
}

static struct job_abort *abort_new_of(struct job *job, virDomainPtr dom, int patience_ms, struct error *err)
{
    AUTO(abort) struct job_abort *abort = abort_new(job, virDomainGetConnect(dom), patience_ms, err);

    if (!abort)
        return NULL;
    if (virDomainGetUUIDString(dom, abort->uuid) < 0)
        return error_set_libvirt(err, "preparing to abort"), NULL;
    return STEAL(&abort);
}

struct job_abort *job_abort_begin_within(struct job *job, virDomainPtr dom, int patience_ms,
                                         struct error *err)
{
    struct job_abort *abort = abort_new_of(job, dom, patience_ms, err);

    if (abort)
        job_on_stop(job, abort_on_stop, abort);
    return abort;
}

struct job_abort *job_abort_begin(struct job *job, virDomainPtr dom, struct error *err)
{
    return job_abort_begin_within(job, dom, PATIENCE_MS, err);
}

struct job_abort *job_abort_now(struct job *job, virDomainPtr dom, struct error *err)
{
    struct job_abort *abort = abort_new_of(job, dom, PATIENCE_MS, err);

    if (abort)
        abort_on_stop(abort, false);
    return abort;
}

struct job_abort *job_abort_begin_cut(struct job *job, const char *uuid, job_cut_function cut,
                                      struct error *err)
{
    struct job_abort *abort = abort_new(job, job->conn, PATIENCE_MS, err);

    if (!abort)
        return NULL;
    snprintf(abort->id, sizeof(abort->id), "%s", job->id);
    snprintf(abort->uuid, sizeof(abort->uuid), "%s", uuid);
    abort->cut = cut;
    job_on_stop(job, abort_on_stop, abort);
    return abort;
}

/* Holding the mutex: until the thread is done, or has been in one try for longer than anybody would wait. */
static void abort_await(struct job_abort *abort)
{
    while (abort->at_work)
        if (monotonic_wait(&abort->changed, &abort->mutex, abort->tried_ms + abort->patience_ms) == ETIMEDOUT)
            return;
}

bool job_abort_end(struct job_abort *abort)
{
    AUTO(abort) struct job_abort *owned = abort;

    if (!abort)
        return false;
    job_on_stop(abort->job, NULL, NULL);

    SCOPE_LOCK(&abort->mutex);
    abort->ended = true;
    pthread_cond_broadcast(&abort->changed);
    abort_await(abort);
    return abort->sent || abort->asking;
}
