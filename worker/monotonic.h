/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Time that only goes on (CLOCK_MONOTONIC), in milliseconds, and waiting by it: a clock that is set must neither end nor
 * prolong a wait. Any thread. */

#ifndef VIRTJOB_MONOTONIC_H
#define VIRTJOB_MONOTONIC_H

#include <pthread.h>
#include <stdint.h>

int64_t monotonic_now_ms(void);

/* A condition for monotonic_wait; pthread_cond_destroy ends it. */
void monotonic_cond_init(pthread_cond_t *condition);

/* As pthread_cond_timedwait: 0, or ETIMEDOUT once `until_ms` has come. */
int monotonic_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t until_ms);

#endif
