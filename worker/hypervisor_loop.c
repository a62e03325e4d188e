/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* libvirt's event loop on its thread, and small things that need no host. */

#include "hypervisor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <libvirt/virterror.h>

#define DRAIN_ROUNDS 16

static struct {
    pthread_t thread;
    int timer; /* wakes the loop; -1: libvirt could not be set up */
    atomic_bool running;
} loop = { .timer = -1 };

/* Every error comes back with the call that failed; nobody wants it on the terminal too. */
static void loop_silence(void *opaque, virErrorPtr error)
{
    (void)opaque, (void)error;
}

static void loop_tick(int timer, void *opaque)
{
    (void)timer, (void)opaque;
}

static void *loop_main(void *opaque)
{
    while (atomic_load(&loop.running))
        virEventRunDefaultImpl();
    /* The timer fires each time: what was put off is done, nothing waits. */
    for (int i = 0; i < DRAIN_ROUNDS; i++)
        virEventRunDefaultImpl();
    return opaque;
}

/* What libvirt's library notes for itself (a host name that does not resolve, say) would break our own lines on standard
 * error; all that concerns a call comes back as its error. Who debugs may set the variable. */
static void loop_register(void)
{
    setenv("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null", 0);
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
        return;
    virSetErrorFunc(NULL, loop_silence);
    loop.timer = virEventAddTimeout(-1, loop_tick, NULL, NULL);
}

int hypervisor_loop_start(struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, loop_register);
    if (loop.timer < 0)
        return error_set_libvirt(err, "starting libvirt's event loop");
    virEventUpdateTimeout(loop.timer, -1);
    atomic_store(&loop.running, true);
    if (pthread_create(&loop.thread, NULL, loop_main, NULL) == 0)
        return 0;
    atomic_store(&loop.running, false);
    return error_set(err, ERROR_INTERNAL, "no thread for libvirt's event loop");
}

void hypervisor_loop_stop(void)
{
    if (!atomic_exchange(&loop.running, false))
        return;
    virEventUpdateTimeout(loop.timer, 0);
    pthread_join(loop.thread, NULL);
}

bool hypervisor_is_alive(virConnectPtr conn)
{
    return virConnectIsAlive(conn) == 1;
}

/* splitmix64 over a counter: even, cheap and without a lock; nothing depends on its being secret. */
int hypervisor_jitter(int ms)
{
    static _Atomic uint64_t counter;
    struct timespec now;
    uint64_t x;

    clock_gettime(CLOCK_MONOTONIC, &now);
    x = atomic_fetch_add(&counter, 0x9e3779b97f4a7c15u) ^ (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 32;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return ms / 2 + (int)((x ^ x >> 31) % ((unsigned)ms + 1));
}
