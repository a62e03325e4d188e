/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The kill points of virtjobd_killable: linked before the library, it takes the place of the empty function there. */

#include "kill_point.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "<name>", or "<name>:<n>" for the n-th visit. */
static struct {
    char *name;
    int visits_left;
} wanted;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void read_wish(void)
{
    const char *wish = getenv("VIRTJOB_KILL_POINT");
    char *colon;

    if (!wish)
        return;
    wanted.name = strdup(wish);
    wanted.visits_left = 1;
    if ((colon = strchr(wanted.name, ':'))) {
        *colon = '\0';
        wanted.visits_left = atoi(colon + 1);
    }
}

/* What was just handed to another thread, as the acknowledgement to that of the link, may get out. */
static void let_others_work(const char *name)
{
    if (strcmp(name, "after-ack") == 0)
        usleep(200000);
}

void kill_point(const char *name)
{
    pthread_once(&once, read_wish);
    if (!wanted.name || strcmp(name, wanted.name) != 0)
        return;
    pthread_mutex_lock(&lock);
    if (--wanted.visits_left > 0) {
        pthread_mutex_unlock(&lock);
        return;
    }
    let_others_work(name);
    kill(getpid(), SIGKILL);
    pause();
}
