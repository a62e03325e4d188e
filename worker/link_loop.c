/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The thread of a link: connects, serves the connection until it breaks, waits, and starts over. */

#include "link_internal.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "log.h"
#include "metrics.h"

#define BACK_OFF_FIRST_MS 200
#define BACK_OFF_MOST_MS  30000

/* A connection that lived that long was a good one: the next attempt comes soon again. */
#define STABLE_MS 5000

/* The same complaint is repeated at most that often. */
#define REPORT_AGAIN_MS 60000

static void link_enter(struct link *link, enum link_state state, const struct error *failure)
{
    pthread_mutex_lock(&link->lock);
    link->state = state;
    link->takes_droppable = state == LINK_UP && !link->blocked;
    if (failure)
        link->failure = *failure;
    pthread_cond_broadcast(&link->changed);
    pthread_mutex_unlock(&link->lock);
    if (!link->settings.passing)
        metrics_set(METRIC_LINK_UP, state == LINK_UP, link->name, NULL);
}

/* Takes out all in one go; the arrays of commands take turns. */
static struct message_list link_harvest(struct link *link, struct link_command **ret_commands,
                                        size_t *ret_count, bool *ret_pause)
{
    struct message_list messages;
    struct link_command *commands;
    size_t capacity;

    SCOPE_LOCK(&link->lock);
    messages = link->inbox;
    link->inbox = (struct message_list){ 0 };
    commands = link->commands;
    capacity = link->command_capacity;
    *ret_count = link->command_count;
    link->commands = link->spare;
    link->command_capacity = link->spare_capacity;
    link->command_count = 0;
    *ret_commands = link->spare = commands;
    link->spare_capacity = capacity;
    link->woken = false;
    *ret_pause = link->pause_wanted;
    return messages;
}

int link_empty_inbox(struct link *link, struct error *err)
{
    struct link_command *commands;
    struct message *message;
    size_t count;
    bool pause;
    struct message_list messages = link_harvest(link, &commands, &count, &pause);

    while ((message = message_list_pop(&messages)))
        link_take(link, message);
    for (size_t i = 0; i < count; i++)
        link_outstanding_mark(link, &commands[i]);
    if (!pause || link->paused)
        return 0;
    link->paused = true;
    return link->was_up ? link_cancel_consumers(link, err) : 0;
}

/* Whether the thread is to end now: told to, and either nothing is under way or the time is over. */
static bool link_is_over(struct link *link)
{
    SCOPE_LOCK(&link->lock);

    if (!link->stop_wanted)
        return false;
    return link_now_ms() >= link->stop_by_ms ||
           (link->pending == 0 && link->command_count == 0 && link->marked == 0);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* How long poll() may wait. */
static int link_patience_ms(struct link *link)
{
    int64_t until = earlier(link->next_tick_ms, link_publish_timer(link));

    if (link_has_buffered(link))
        return 0;
    if (!link->stalled && (link->marked > 0 || link_can_publish(link)))
        return 0;
    pthread_mutex_lock(&link->lock);
    if (link->stop_wanted)
        until = earlier(until, link->stop_by_ms);
    pthread_mutex_unlock(&link->lock);
    until -= link_now_ms();
    return until < 0 ? 0 : until > INT_MAX ? INT_MAX : (int)until;
}

static void link_clear_wake(struct link *link)
{
    eventfd_t value;

    (void)eventfd_read(link->wake_fd, &value);
}

/* Several small frames in a packet instead of one packet each; uncorking sends what is left. */
static void link_cork(const struct link *link, int on)
{
    (void)setsockopt(link->socket, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

/* Acknowledgements first: they free slots of the broker's prefetch. A socket that takes nothing just now is left alone,
 * for the library's send would wait, and what the broker has to say in the meantime (connection.blocked) with it. */
static int link_write(struct link *link, struct error *err)
{
    struct pollfd writable = { .fd = link->socket, .events = POLLOUT };
    int rc;

    /* What waited for room may be gone (a block drops it): then poll() must not wait for room either, or it never waits. */
    link->stalled = false;
    if (link->marked == 0 && !link_can_publish(link))
        return 0;
    link->stalled = poll(&writable, 1, 0) == 0;
    if (link->stalled)
        return 0;
    link_cork(link, 1);
    rc = link_settle_flush(link, err);
    if (rc == 0)
        rc = link_publish_some(link, err);
    link_cork(link, 0);
    return rc;
}

/* One wait and all that it brought. -1: the connection is over. */
static int link_turn(struct link *link, struct error *err)
{
    struct pollfd fds[2] = {
        { .fd = link->socket, .events = (short)(POLLIN | (link->stalled ? POLLOUT : 0)) },
        { .fd = link->wake_fd, .events = POLLIN },
    };
    int patience_ms = link_patience_ms(link);
    bool due;

    atomic_store_explicit(&link->busy_since_ms, 0, memory_order_relaxed);
    if (poll(fds, 2, patience_ms) < 0 && errno != EINTR)
        return error_set(err, ERROR_INTERNAL, "poll: %s", strerror(errno));
    link_touch(link);
    if (fds[1].revents)
        link_clear_wake(link);
    if (link_empty_inbox(link, err) < 0)
        return -1;
    due = link_now_ms() >= link->next_tick_ms;
    if ((fds[0].revents & ~POLLOUT) || link_has_buffered(link) || due) {
        if (link_read(link, err) < 0)
            return -1;
        link_hear(link);
    }
    if (due) {
        link->next_tick_ms = link_now_ms() + link->tick_ms;
        if (link_beat(link, err) < 0)
            return -1;
    }
    if (link_publish_check(link, err) < 0)
        return -1;
    return link_write(link, err);
}

/* Until the connection breaks (-1) or the link is to end (0). */
static int link_serve(struct link *link, struct error *err)
{
    int rc = 0;

    link_enter(link, LINK_UP, &ERROR_INIT);
    link->up_since_ms = link_now_ms();
    link->was_up = link->ever_up = true;
    link_hear_first(link, link->answered_ms);
    for (size_t i = 0; i < link->address_count; i++)
        link->addresses[i].reported[0] = '\0';
    log_info("link", "connected", "link", link->name, "broker", link_address(link)->shown, NULL);
    while (rc == 0 && !link_is_over(link)) {
        rc = link_turn(link, err);
        link_publish_account(link);
    }
    return rc;
}

/* The connection and all that was valid on it only. */
static void link_leave(struct link *link, bool politely)
{
    atomic_store(&link->fresh_until_ms, 0);
    atomic_store(&link->epoch, 0);
    link_enter(link, LINK_DOWN, NULL);
    link_disconnect(link, politely);
    link_frames_reset(link);
    link_outstanding_reset(link);
    link_publish_reset(link);
    link_publish_account(link);
    if (link->was_up && link->events.closed)
        link->events.closed(link, link->opaque);
    link->lost = link->was_up;
    link->was_up = false;
}

/* One connection from beginning to end. -1: it could not be made, or broke. */
static int link_live(struct link *link, struct error *err)
{
    int rc;

    link->lost = false;
    if (link_connect(link, err) < 0)
        return -1;
    atomic_store(&link->epoch, ++link->last_epoch);
    rc = link->events.open ? link->events.open(link, link->opaque, err) : 0;
    if (rc == 0)
        rc = link_serve(link, err);
    if (link->was_up && link_now_ms() - link->up_since_ms >= STABLE_MS)
        link->attempts = 0;
    link_leave(link, rc == 0);
    return rc;
}

/* 0.2 s, doubled whenever all brokers have failed up to 30 s, and spread by half of that, so that many workers do not come
 * at once. */
static int link_delay_ms(struct link *link)
{
    size_t rounds = link->attempts / link->address_count;
    int delay = BACK_OFF_MOST_MS;
    uint32_t random = 0;

    if (rounds < 8)
        delay = BACK_OFF_FIRST_MS << rounds;
    if (delay > BACK_OFF_MOST_MS)
        delay = BACK_OFF_MOST_MS;
    link->attempts++;
    (void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
    return delay / 2 + (int)(random % ((uint32_t)delay / 2 + 1));
}

/* One line when the state changes; while it stays the same, one a minute. */
static void link_report(struct link *link, int delay_ms, const struct error *failure)
{
    struct link_address *address = link_address(link);
    int64_t now = link_now_ms();
    char delay[32];

    if (!link->lost && strcmp(address->reported, failure->message) == 0 &&
        now - address->reported_ms < REPORT_AGAIN_MS)
        return;
    snprintf(delay, sizeof(delay), "%d", delay_ms);
    log_warning("link", link->lost ? "connection lost" : "no connection", "link", link->name, "broker",
                address->shown, "error", failure->message, "retry_ms", delay, NULL);
    memcpy(address->reported, failure->message, sizeof(address->reported));
    address->reported_ms = now;
}

static void link_next_address(struct link *link)
{
    SCOPE_LOCK(&link->lock);

    link->address_now = (link->address_now + 1) % link->address_count;
}

/* Sleeps, but takes what comes into the inbox, and wakes up to end. */
static void link_back_off(struct link *link, int delay_ms)
{
    int64_t until = link_now_ms() + delay_ms, left;
    struct pollfd wake = { .fd = link->wake_fd, .events = POLLIN };

    atomic_store(&link->busy_since_ms, 0);
    while (!link_is_over(link) && (left = until - link_now_ms()) > 0) {
        pthread_mutex_lock(&link->lock);
        if (link->stop_wanted)
            left = earlier(left, link->stop_by_ms - link_now_ms());
        pthread_mutex_unlock(&link->lock);
        if (poll(&wake, 1, left < 0 ? 0 : (int)left) > 0)
            link_clear_wake(link);
        link_empty_inbox(link, NULL);
        link_publish_account(link);
    }
}

/* Nothing is taken from now on; what is left has met its fate. Callbacks may still publish until the last is settled. */
static void link_end(struct link *link)
{
    bool empty = false;

    while (!empty) {
        link_empty_inbox(link, NULL);
        link_publish_drop_all(link);
        link_publish_account(link);
        pthread_mutex_lock(&link->lock);
        empty = !link->inbox.first;
        if (empty)
            link->state = LINK_ENDED;
        pthread_cond_broadcast(&link->changed);
        pthread_mutex_unlock(&link->lock);
    }
}

void *link_run(void *opaque)
{
    struct link *link = opaque;

    while (!link_is_over(link)) {
        struct error failure = ERROR_INIT;
        int delay_ms;

        if (link_live(link, &failure) == 0 || link_is_over(link))
            break;
        link_enter(link, LINK_DOWN, &failure);
        if (link->settings.once && !link->ever_up && link->attempts + 1 >= link->address_count)
            break;
        delay_ms = link_delay_ms(link);
        link_report(link, delay_ms, &failure);
        link_next_address(link);
        metrics_add(METRIC_RECONNECTS, 1, link->name, NULL);
        link_back_off(link, delay_ms);
    }
    link_end(link);
    return NULL;
}
