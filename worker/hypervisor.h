/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The connections to one host, each for one caller at a time. A connection of libvirt's may carry several calls, but
 * while one blocks, the client library now and then (9.0) does not wake up to send the next, which then waits for the
 * next keepalive, seconds later; and of more than five calls at once the daemon lets even keepalives wait. */

#ifndef VIRTJOB_HYPERVISOR_H
#define VIRTJOB_HYPERVISOR_H

#include <stdbool.h>

#include <libvirt/libvirt.h>

#include "error.h"

struct hypervisor;

enum hypervisor_use {
    HYPERVISOR_QUICK,  /* calls that return soon */
    HYPERVISOR_LONG,   /* calls that may take hours */
    HYPERVISOR_QUERY,  /* looking on while a long call runs, and aborting it */
    HYPERVISOR_EVENTS, /* carries callbacks: nobody gets it afterwards */
};

/* libvirt's own event loop on a thread of its own; before the first hypervisor_new, once a process. From then on
 * libvirt prints no errors of its own. Stop comes after the last hypervisor_free: it lets libvirt free what it has
 * put off. */
int hypervisor_loop_start(struct error *err);
void hypervisor_loop_stop(void);

/* Opens nothing yet. `name` and `uri` are copied. `patience_ms`: how long acquire waits for an unreachable host. */
struct hypervisor *hypervisor_new(const char *name, const char *uri, int patience_ms, struct error *err);

/* Closes every connection; nobody holds one any more. NULL is allowed. */
void hypervisor_free(struct hypervisor *hypervisor);

const char *hypervisor_name(const struct hypervisor *hypervisor);

/* How other hosts reach it: `uri`, of its libvirtd (NULL: the one given to hypervisor_new), and `migrate_uri`, where its
 * QEMU takes guests (NULL: libvirt chooses). Both are copied. Before there are threads. */
int hypervisor_set_peer(struct hypervisor *hypervisor, const char *uri, const char *migrate_uri,
                        struct error *err);
const char *hypervisor_peer_uri(const struct hypervisor *hypervisor);
const char *hypervisor_migrate_uri(const struct hypervisor *hypervisor); /* NULL: libvirt chooses */

/* Any thread. A living connection with room, opened where there is none; it belongs to the hypervisor and is given
 * back with release. One opens, on a thread of its own, while all others wait for it, each with its own patience: an
 * open that hangs holds nobody. Retries until the patience has passed or hypervisor_shutdown: ERROR_HOST_UNAVAILABLE,
 * with what libvirt said. Even without patience, one attempt is awaited (two seconds at the most). */
int hypervisor_acquire(struct hypervisor *hypervisor, enum hypervisor_use use, virConnectPtr *ret_conn,
                       struct error *err);

/* The same with a patience of the caller's own. */
int hypervisor_acquire_within(struct hypervisor *hypervisor, enum hypervisor_use use, int patience_ms,
                              virConnectPtr *ret_conn, struct error *err);

/* Any thread. NULL is allowed. A connection that has died, carried callbacks or is one too many is closed with its
 * last user. Clears libvirt's last error of this thread. */
void hypervisor_release(struct hypervisor *hypervisor, virConnectPtr conn);

/* Any thread: acquire waits no more, from now on it fails at once where the host is away. */
void hypervisor_shutdown(struct hypervisor *hypervisor);

/* Any thread: so many jobs more (or, negative, fewer) are meant for this host, waiting ones included; and how many there
 * are, to choose the host with the least to do. */
void hypervisor_assign(struct hypervisor *hypervisor, int jobs);
int hypervisor_load(const struct hypervisor *hypervisor);

/* Tells from a connection whether it still lives, without asking the daemon (virConnectIsAlive). Clears libvirt's last
 * error of this thread. */
bool hypervisor_is_alive(virConnectPtr conn);

/* A random time between half of `ms` and one and a half: so that many who wait for one host do not come together. */
int hypervisor_jitter(int ms);

#endif
