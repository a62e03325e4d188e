/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* pthread_create, with the signals blocked meanwhile, for a thread has the mask of its creator. */

#include "thread.h"

#include <signal.h>

static int start(pthread_t *ret_thread, int detach_state, void *(*run)(void *opaque), void *opaque)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int failure;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, detach_state);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failure = pthread_create(ret_thread, &attributes, run, opaque);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failure;
}

int thread_start(pthread_t *ret_thread, void *(*run)(void *opaque), void *opaque)
{
    return start(ret_thread, PTHREAD_CREATE_JOINABLE, run, opaque);
}

int thread_start_detached(void *(*run)(void *opaque), void *opaque)
{
    pthread_t thread;

    return start(&thread, PTHREAD_CREATE_DETACHED, run, opaque);
}
