/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Threads beside a job's own. Signals are for the main thread, so these are started with all of them blocked. */

#ifndef VIRTJOB_THREAD_H
#define VIRTJOB_THREAD_H

#include <pthread.h>

/* To be joined. 0, or an errno (pthread_create). */
int thread_start(pthread_t *ret_thread, void *(*run)(void *opaque), void *opaque);

/* For what may never return: nobody waits for it, and `opaque` is its own. */
int thread_start_detached(void *(*run)(void *opaque), void *opaque);

#endif
