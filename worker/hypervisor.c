/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A short list of connections to one host, each at work for one caller or idle. Opening is for a thread of its own,
 * because virConnectOpen on a host that accepts and then says nothing never returns. */

#include "hypervisor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "cleanup.h"
#include "log.h"
#include "monotonic.h"

#define KEEPALIVE_INTERVAL_S 5 /* three unanswered: dead after twenty seconds at the most */
#define KEEPALIVE_COUNT      3
#define RETRY_MIN_MS         200
#define RETRY_MAX_MS         2000
#define ATTEMPT_MS           2000 /* what even an impatient caller grants the open that it has asked for */
#define STUCK_MS             10000
#define STUCK_MAX            16
#define IDLE_MAX             16 /* kept open; one, at least, keeps the state of libvirt's test driver */

struct connection {
    virConnectPtr conn;
    enum hypervisor_use use; /* means nothing while it is idle */
    bool busy;
    struct connection *next;
};

struct hypervisor {
    char *name;
    char *uri;
    char *peer_uri, *migrate_uri; /* NULL: as hypervisor_set_peer says */
    int patience_ms;
    atomic_int assigned; /* jobs */

    pthread_mutex_t mutex;  /* guards all below; held over no call of libvirt that talks to the host */
    pthread_cond_t changed; /* a connection came, has room again or could not be opened; or stopping */
    struct connection *connections;
    int references;       /* the owner's, and one for each opener */
    int openers;          /* threads in virConnectOpen */
    int64_t opener_since; /* when the youngest of them started */
    int retry_ms;         /* 0 after a success */
    int64_t retry_at;     /* no attempt before; 0 where the last one succeeded */
    unsigned failures;
    struct error failure; /* the last one */
    int waiting;
    bool stopping;
};

/* How long one acquire waits. */
struct wait {
    int64_t patience_end;
    int64_t end;       /* not before ATTEMPT_MS */
    unsigned failures; /* at its start */
};

/* Connections. */

/* A list that nobody else sees any more. */
static void connection_close_all(struct connection *connection)
{
    while (connection) {
        struct connection *next = connection->next;

        virConnectClose(connection->conn);
        free(connection);
        connection = next;
    }
}

CLEANUP_DEFINE(connections, struct connection *, connection_close_all)

static struct connection *connection_open(const struct hypervisor *hypervisor, struct error *err)
{
    AUTO(connect) virConnectPtr conn = virConnectOpen(hypervisor->uri); /* never asks for a password */
    struct connection *connection;

    if (!conn) {
        error_set_libvirt(err, "host '%s' cannot be reached", hypervisor->name);
        err->code = ERROR_HOST_UNAVAILABLE;
        return NULL;
    }
    /* Refused where there is no daemon in between, as with the test driver: nothing can break there. */
    virConnectSetKeepAlive(conn, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT);
    connection = calloc(1, sizeof(*connection));
    if (!connection)
        return error_set_memory(err), NULL;
    connection->conn = STEAL(&conn);
    return connection;
}

/* Holding the mutex: takes the connection at `slot` out of the list and puts it on `doomed`. */
static void hypervisor_doom(struct connection **slot, struct connection **doomed)
{
    struct connection *connection = *slot;

    *slot = connection->next;
    connection->next = *doomed;
    *doomed = connection;
}

/* Holding the mutex. */
static struct connection *hypervisor_pick(const struct hypervisor *hypervisor)
{
    struct connection *connection = hypervisor->connections;

    while (connection && (connection->busy || !hypervisor_is_alive(connection->conn)))
        connection = connection->next;
    return connection;
}

/* Holding the mutex: what has died with nobody on it. */
static void hypervisor_prune(struct hypervisor *hypervisor, struct connection **doomed)
{
    for (struct connection **slot = &hypervisor->connections; *slot;) {
        if (!(*slot)->busy && !hypervisor_is_alive((*slot)->conn))
            hypervisor_doom(slot, doomed);
        else
            slot = &(*slot)->next;
    }
}

/* Gives up the mutex. */
static void hypervisor_unref(struct hypervisor *hypervisor)
{
    bool last = --hypervisor->references == 0;

    pthread_mutex_unlock(&hypervisor->mutex);
    if (!last)
        return;
    connection_close_all(hypervisor->connections);
    pthread_cond_destroy(&hypervisor->changed);
    pthread_mutex_destroy(&hypervisor->mutex);
    free(hypervisor->name);
    free(hypervisor->uri);
    free(hypervisor->peer_uri);
    free(hypervisor->migrate_uri);
    free(hypervisor);
}

/* Holding the mutex. */
static void hypervisor_opened(struct hypervisor *hypervisor, struct connection *connection)
{
    connection->next = hypervisor->connections;
    hypervisor->connections = connection;
    hypervisor->retry_ms = 0;
    hypervisor->retry_at = 0;
}

/* Holding the mutex. */
static void hypervisor_failed(struct hypervisor *hypervisor, const struct error *err)
{
    int twice = hypervisor->retry_ms * 2;

    hypervisor->retry_ms = twice < RETRY_MIN_MS ? RETRY_MIN_MS : twice > RETRY_MAX_MS ? RETRY_MAX_MS : twice;
    hypervisor->retry_at = monotonic_now_ms() + hypervisor_jitter(hypervisor->retry_ms);
    hypervisor->failures++;
    hypervisor->failure = *err;
}

static void *hypervisor_open_main(void *opaque)
{
    struct hypervisor *hypervisor = opaque;
    struct error err = ERROR_INIT;
    struct connection *connection = connection_open(hypervisor, &err);

    log_debug("hypervisor", connection ? "connection opened" : "connection refused", "host", hypervisor->name,
              "uri", hypervisor->uri, "reason", connection ? NULL : err.message, NULL);
    pthread_mutex_lock(&hypervisor->mutex);
    hypervisor->openers--;
    if (connection)
        hypervisor_opened(hypervisor, connection);
    else
        hypervisor_failed(hypervisor, &err);
    pthread_cond_broadcast(&hypervisor->changed);
    hypervisor_unref(hypervisor);
    return NULL;
}

/* Holding the mutex: when the next open may start. Beside one that hangs another is tried, later each time: the host
 * may have come back behind a peer that will never answer. */
static int64_t hypervisor_open_at(const struct hypervisor *hypervisor)
{
    if (hypervisor->openers == 0)
        return hypervisor->retry_at;
    if (hypervisor->openers >= STUCK_MAX)
        return INT64_MAX;
    return hypervisor->opener_since + (int64_t)STUCK_MS * hypervisor->openers * hypervisor->openers;
}

/* Holding the mutex. */
static void hypervisor_open(struct hypervisor *hypervisor)
{
    struct error err = ERROR_INIT;
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, hypervisor_open_main, hypervisor) == 0) {
        hypervisor->references++;
        hypervisor->openers++;
        hypervisor->opener_since = monotonic_now_ms();
    } else {
        error_set(&err, ERROR_INTERNAL, "no thread to connect to host '%s'", hypervisor->name);
        hypervisor_failed(hypervisor, &err);
    }
    pthread_attr_destroy(&attributes);
}

/* Waiting for room. */

static void hypervisor_wait(struct hypervisor *hypervisor, int64_t until)
{
    hypervisor->waiting++;
    monotonic_wait(&hypervisor->changed, &hypervisor->mutex, until);
    hypervisor->waiting--;
}

/* Holding the mutex: -1 where there is nothing more to wait for. */
static int hypervisor_may_wait(const struct hypervisor *hypervisor, const struct wait *wait,
                               struct error *err)
{
    int64_t now = monotonic_now_ms();
    bool away = hypervisor->failures != wait->failures || hypervisor->retry_at > now;

    if (away && (hypervisor->stopping || now >= wait->patience_end)) {
        *err = hypervisor->failure;
        return -1;
    }
    if (now >= wait->end)
        return error_set(err, ERROR_HOST_UNAVAILABLE, "host '%s' does not answer", hypervisor->name);
    return 0;
}

/* Holding the mutex: NULL where there is nothing more to wait for. */
static struct connection *hypervisor_await(struct hypervisor *hypervisor, const struct wait *wait,
                                           struct connection **doomed, struct error *err)
{
    for (;;) {
        struct connection *connection = hypervisor_pick(hypervisor);
        int64_t open_at, until = wait->end;

        if (connection)
            return connection;
        if (hypervisor_may_wait(hypervisor, wait, err) < 0)
            return NULL;
        hypervisor_prune(hypervisor, doomed);
        if (hypervisor_open_at(hypervisor) <= monotonic_now_ms())
            hypervisor_open(hypervisor);
        open_at = hypervisor_open_at(hypervisor);
        hypervisor_wait(hypervisor, open_at < until ? open_at : until);
    }
}

int hypervisor_acquire_within(struct hypervisor *hypervisor, enum hypervisor_use use, int patience_ms,
                              virConnectPtr *ret_conn, struct error *err)
{
    AUTO(connections) struct connection *doomed = NULL; /* closed after the mutex is given up */
    SCOPE_LOCK(&hypervisor->mutex);
    struct error failure = ERROR_INIT;
    struct connection *connection = hypervisor_pick(hypervisor);

    if (!connection) {
        int64_t now = monotonic_now_ms();
        struct wait wait = { .patience_end = now + patience_ms,
                             .end = now + (patience_ms > ATTEMPT_MS ? patience_ms : ATTEMPT_MS),
                             .failures = hypervisor->failures };

        connection = hypervisor_await(hypervisor, &wait, &doomed, &failure);
    }
    if (!connection) {
        if (err)
            *err = failure;
        return -1;
    }
    connection->use = use;
    connection->busy = true;
    *ret_conn = connection->conn;
    return 0;
}

int hypervisor_acquire(struct hypervisor *hypervisor, enum hypervisor_use use, virConnectPtr *ret_conn,
                       struct error *err)
{
    return hypervisor_acquire_within(hypervisor, use, hypervisor->patience_ms, ret_conn, err);
}

/* Holding the mutex: whether the connection at hand, which nobody uses any more, is better closed. */
static bool hypervisor_is_surplus(const struct hypervisor *hypervisor, const struct connection *idle)
{
    int count = 0;

    for (const struct connection *other = hypervisor->connections; other; other = other->next)
        count += !other->busy;
    return count > IDLE_MAX || idle->use == HYPERVISOR_EVENTS || !hypervisor_is_alive(idle->conn);
}

void hypervisor_release(struct hypervisor *hypervisor, virConnectPtr conn)
{
    AUTO(connections) struct connection *doomed = NULL; /* closed after the mutex is given up */
    SCOPE_LOCK(&hypervisor->mutex);
    struct connection **slot = &hypervisor->connections;

    while (*slot && (*slot)->conn != conn)
        slot = &(*slot)->next;
    if (!conn || !*slot)
        return;
    (*slot)->busy = false;
    if (hypervisor_is_surplus(hypervisor, *slot))
        hypervisor_doom(slot, &doomed);
    if (hypervisor->waiting > 0)
        pthread_cond_broadcast(&hypervisor->changed);
}

/* The host. */

static void hypervisor_init_locks(struct hypervisor *hypervisor)
{
    mutex_init_brief(&hypervisor->mutex);
    monotonic_cond_init(&hypervisor->changed);
}

struct hypervisor *hypervisor_new(const char *name, const char *uri, int patience_ms, struct error *err)
{
    struct hypervisor *hypervisor = calloc(1, sizeof(*hypervisor));

    if (!hypervisor)
        return error_set_memory(err), NULL;
    hypervisor_init_locks(hypervisor);
    hypervisor->references = 1;
    hypervisor->patience_ms = patience_ms;
    hypervisor->name = strdup(name);
    hypervisor->uri = strdup(uri);
    if (hypervisor->name && hypervisor->uri)
        return hypervisor;
    hypervisor_free(hypervisor);
    return error_set_memory(err), NULL;
}

/* An open under way is awaited for a moment; one that hangs keeps what it needs and closes what it gets. */
void hypervisor_free(struct hypervisor *hypervisor)
{
    struct connection *connections;
    int64_t end = monotonic_now_ms() + ATTEMPT_MS;

    if (!hypervisor)
        return;
    pthread_mutex_lock(&hypervisor->mutex);
    while (hypervisor->openers > 0 && monotonic_now_ms() < end)
        hypervisor_wait(hypervisor, end);
    connections = STEAL(&hypervisor->connections);
    pthread_mutex_unlock(&hypervisor->mutex);
    connection_close_all(connections);
    pthread_mutex_lock(&hypervisor->mutex);
    hypervisor_unref(hypervisor);
}

int hypervisor_set_peer(struct hypervisor *hypervisor, const char *uri, const char *migrate_uri,
                        struct error *err)
{
    hypervisor->peer_uri = uri ? strdup(uri) : NULL;
    hypervisor->migrate_uri = migrate_uri ? strdup(migrate_uri) : NULL;
    if ((uri && !hypervisor->peer_uri) || (migrate_uri && !hypervisor->migrate_uri))
        return error_set_memory(err);
    return 0;
}

const char *hypervisor_peer_uri(const struct hypervisor *hypervisor)
{
    return hypervisor->peer_uri ? hypervisor->peer_uri : hypervisor->uri;
}

const char *hypervisor_migrate_uri(const struct hypervisor *hypervisor)
{
    return hypervisor->migrate_uri;
}

const char *hypervisor_name(const struct hypervisor *hypervisor)
{
    return hypervisor->name;
}

void hypervisor_shutdown(struct hypervisor *hypervisor)
{
    SCOPE_LOCK(&hypervisor->mutex);

    hypervisor->stopping = true;
    pthread_cond_broadcast(&hypervisor->changed);
}

void hypervisor_assign(struct hypervisor *hypervisor, int jobs)
{
    atomic_fetch_add(&hypervisor->assigned, jobs);
}

int hypervisor_load(const struct hypervisor *hypervisor)
{
    return atomic_load(&hypervisor->assigned);
}
