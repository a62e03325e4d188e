/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One poll() on the queue and on a signal descriptor. */

#include "loop.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

struct item *item_new(enum item_kind kind)
{
    struct item *item = calloc(1, sizeof(*item));

    if (item)
        item->kind = kind;
    return item;
}

void item_free(void *opaque)
{
    struct item *item = opaque;

    if (item) {
        json_decref(item->event);
        letter_free(item->letter);
    }
    free(item);
}

static void loop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGWINCH);
}

void loop_block_signals(void)
{
    sigset_t set;

    loop_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int64_t loop_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void loop_set_timeout(struct loop *loop, int64_t timeout_ms)
{
    loop->until_ms = timeout_ms ? loop_now_ms() + timeout_ms : 0;
}

int loop_limit_ms(const struct loop *loop, int ms)
{
    int64_t left = loop->until_ms ? loop->until_ms - loop_now_ms() : ms;

    return left >= ms ? ms : left > 1 ? (int)left : 1;
}

int loop_init(struct loop *loop, struct view *view, size_t capacity, int64_t timeout_ms, struct error *err)
{
    sigset_t set;

    *loop = (struct loop){ .view = view, .signals = -1, .output = -1 };
    loop_set_timeout(loop, timeout_ms);
    loop_signals(&set);
    loop->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (loop->signals < 0)
        return error_set(err, ERROR_INTERNAL, "no descriptor for signals");
    loop->queue = queue_new(capacity, err);
    return loop->queue ? 0 : -1;
}

void loop_done(struct loop *loop)
{
    if (loop->signals >= 0)
        close(loop->signals);
    if (loop->queue)
        queue_free(loop->queue, item_free);
}

/* How long poll() may wait: for the next drawing or the end of the time, whichever is first. */
static int loop_patience_ms(const struct loop *loop)
{
    int due = view_due_ms(loop->view);
    int64_t left = loop->until_ms ? loop->until_ms - loop_now_ms() : INT_MAX;

    if (left < 0)
        left = 0;
    if (due >= 0 && due < left)
        return due;
    return loop->until_ms ? (left > INT_MAX ? INT_MAX : (int)left) : -1;
}

/* Whether one of them was an interrupt. */
static bool loop_take_signals(struct loop *loop)
{
    struct signalfd_siginfo info;
    bool interrupted = false;

    while (read(loop->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGWINCH)
            view_resize(loop->view);
        else
            interrupted = true;
    }
    return interrupted;
}

enum loop_wake loop_next(struct loop *loop, struct item **ret_item)
{
    for (;;) {
        if (view_due_ms(loop->view) == 0)
            view_draw(loop->view);
        if (view_is_broken(loop->view))
            return LOOP_BROKEN;
        struct pollfd fds[3] = { { .fd = loop->signals, .events = POLLIN },
                                 { .fd = queue_fd(loop->queue), .events = POLLIN },
                                 { .fd = loop->output } };
        int ready = poll(fds, 3, loop_patience_ms(loop));
        if (ready > 0 &&
            fds[2].revents & POLLERR) /* nobody reads the pipe any more: no need to try a write */
            return LOOP_BROKEN;
        if (ready > 0 && fds[0].revents && loop_take_signals(loop)) {
            view_draw(loop->view); /* over the "^C" */
            return LOOP_INTERRUPTED;
        }
        if (ready > 0 && fds[1].revents && (*ret_item = queue_try_pop(loop->queue)))
            return LOOP_ITEM;
        if (loop->until_ms && loop_now_ms() >= loop->until_ms)
            return LOOP_TIMED_OUT;
    }
}
