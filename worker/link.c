/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The side of a link that other threads see: they leave messages and commands in its inbox and wake it. */

#include "link.h"
#include "link_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "metrics.h"

/* This is the thread of some link. It never waits for room: it has heartbeats to serve, and what it publishes is bounded
 * by what it was given. */
static _Thread_local bool on_link_thread;

void message_list_append(struct message_list *list, struct message *message)
{
    message->next = NULL;
    message->prev = list->last;
    if (list->last)
        list->last->next = message;
    else
        list->first = message;
    list->last = message;
}

void message_list_prepend(struct message_list *list, struct message *message)
{
    message->prev = NULL;
    message->next = list->first;
    if (list->first)
        list->first->prev = message;
    else
        list->last = message;
    list->first = message;
}

struct message *message_list_pop(struct message_list *list)
{
    struct message *message = list->first;

    if (!message)
        return NULL;
    list->first = message->next;
    if (list->first)
        list->first->prev = NULL;
    else
        list->last = NULL;
    message->next = NULL;
    return message;
}

static void link_init_locks(struct link *link)
{
    pthread_condattr_t attributes;

    mutex_init_brief(&link->lock);
    pthread_mutex_init(&link->socket_lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&link->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct link *link_new(const struct link_settings *settings, const struct link_events *events, void *opaque,
                      struct error *err)
{
    struct link *link = calloc(1, sizeof(*link));

    if (!link) {
        error_set_memory(err);
        return NULL;
    }
    link->settings = *settings;
    link->events = *events;
    link->opaque = opaque;
    link->watch_fd = link->socket = -1;
    link->window_first = link->window_next = link->return_next = 1;
    link_init_locks(link);
    link->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    link->name = strdup(settings->name);
    link->window = calloc(LINK_WINDOW, sizeof(*link->window));
    if (link->wake_fd < 0 || !link->name || !link->window) {
        error_set_memory(err);
        link_free(link);
        return NULL;
    }
    if (link_addresses_parse(settings->broker, &link->addresses, &link->address_count, err) < 0) {
        link_free(link);
        return NULL;
    }
    return link;
}

void link_free(struct link *link)
{
    if (!link)
        return;
    if (link->started)
        link_stop(link, 0);
    link_empty_inbox(link, NULL); /* of a link that was never started */
    link_publish_drop_all(link);
    link_publish_account(link);
    link_addresses_free(link->addresses, link->address_count);
    if (link->wake_fd >= 0)
        close(link->wake_fd);
    pthread_cond_destroy(&link->changed);
    pthread_mutex_destroy(&link->socket_lock);
    pthread_mutex_destroy(&link->lock);
    free(link->commands);
    free(link->spare);
    free(link->deliveries);
    free(link->suspects);
    free(link->window);
    free(link->name);
    free(link);
}

static void *link_thread(void *opaque)
{
    on_link_thread = true;
    return link_run(opaque);
}

int link_start(struct link *link, struct error *err)
{
    pthread_attr_t attributes;
    int rc;

    if (!link->settings.passing)
        metrics_set(METRIC_LINK_UP, 0, link->name, NULL);
    pthread_attr_init(&attributes);
    rc = pthread_attr_setstacksize(&attributes, LINK_STACK_SIZE);
    if (rc == 0)
        rc = pthread_create(&link->thread, &attributes, link_thread, link);
    pthread_attr_destroy(&attributes);
    if (rc != 0)
        return error_set(err, ERROR_INTERNAL, "cannot start the thread of link '%s': %s", link->name,
                         strerror(rc));
    link->started = true;
    return 0;
}

/* With the lock held: the thread is to be woken up once, however much lies in the inbox. */
static bool link_needs_waking(struct link *link)
{
    bool needed = !link->woken;

    link->woken = true;
    return needed;
}

void link_wake(struct link *link)
{
    uint64_t one = 1;

    /* Fails only when the counter is full, and then the descriptor is readable anyway. */
    if (write(link->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        log_error("link", "cannot wake the thread", "link", link->name, "error", strerror(errno), NULL);
}

void link_stop(struct link *link, int drain_ms)
{
    if (!link->started)
        return;
    pthread_mutex_lock(&link->lock);
    link->stop_wanted = true;
    link->stop_by_ms = link_now_ms() + drain_ms;
    pthread_mutex_unlock(&link->lock);
    link_wake(link);
    pthread_join(link->thread, NULL);
    link->started = false;
}

static void message_drop(struct message *message)
{
    metrics_add(METRIC_DROPPED, 1, message->kind ? message->kind : "other", NULL);
    if (message->settled)
        message->settled(message->opaque, message, MESSAGE_DROPPED);
    message_free(message);
}

/* What is for a connection that has ended needs no room: the thread settles it as soon as it sees it. */
static bool link_has_room(const struct link *link, const struct message *message)
{
    if (message->droppable)
        return link->takes_droppable && link->pending < link->settings.max_pending / 2;
    return link->pending < link->settings.max_pending || link_is_stray(link, message);
}

enum patience { PATIENT, IMPATIENT, OVERBEARING /* takes room that is not there */ };

enum admission { ADMITTED, NO_ROOM, ENDED };

/* Puts the message into the inbox, where it is admitted. */
static enum admission link_admit(struct link *link, struct message *message, enum patience patience,
                                 bool *ret_wake)
{
    SCOPE_LOCK(&link->lock);

    while (patience == PATIENT && !message->droppable && link->state != LINK_ENDED &&
           !link_has_room(link, message))
        pthread_cond_wait(&link->changed, &link->lock);
    if (link->state == LINK_ENDED)
        return ENDED;
    if ((patience == IMPATIENT || message->droppable) && !link_has_room(link, message))
        return NO_ROOM;
    message_list_append(&link->inbox, message);
    link->pending++;
    *ret_wake = link_needs_waking(link);
    return ADMITTED;
}

static int link_give(struct link *link, struct message *message, enum patience patience)
{
    bool wake = false;
    enum admission admission = link_admit(link, message, patience, &wake);

    if (wake)
        link_wake(link);
    if (admission == NO_ROOM && !message->droppable)
        return 1;
    if (admission != ADMITTED)
        message_drop(message);
    return admission == ENDED ? -1 : 0;
}

int link_publish(struct link *link, struct message *message)
{
    return link_give(link, message, on_link_thread ? OVERBEARING : PATIENT);
}

int link_offer(struct link *link, struct message *message)
{
    return link_give(link, message, IMPATIENT);
}

static int link_add_command(struct link *link, struct link_command command)
{
    if (link->command_count == link->command_capacity) {
        size_t capacity = link->command_capacity ? link->command_capacity * 2 : 64;
        struct link_command *larger = reallocarray(link->commands, capacity, sizeof(*larger));

        if (!larger)
            return -1;
        link->commands = larger;
        link->command_capacity = capacity;
    }
    link->commands[link->command_count++] = command;
    return 0;
}

void link_settle(struct link *link, struct delivery_tag tag, enum link_settle how)
{
    bool wake;

    pthread_mutex_lock(&link->lock);
    if (tag.epoch != atomic_load(&link->epoch)) {
        pthread_mutex_unlock(&link->lock);
        return;
    }
    if (link_add_command(link, (struct link_command){ .tag = tag, .how = how }) < 0)
        log_error("link", "out of memory: a delivery stays unsettled until the next connection", "link",
                  link->name, NULL);
    wake = link_needs_waking(link);
    pthread_mutex_unlock(&link->lock);
    if (wake)
        link_wake(link);
}

void link_pause(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    link->pause_wanted = true;
    pthread_mutex_unlock(&link->lock);
    link_wake(link);
}

bool link_is_up(struct link *link)
{
    SCOPE_LOCK(&link->lock);

    return link->state == LINK_UP;
}

bool link_is_fresh(struct link *link)
{
    return link_now_ms() < atomic_load_explicit(&link->fresh_until_ms, memory_order_relaxed);
}

void link_watch(struct link *link)
{
    int_fast64_t since = atomic_load(&link->busy_since_ms);

    if (since == 0 || link_now_ms() - since < (int64_t)link->settings.broker->send_timeout_s * 1000)
        return;
    SCOPE_LOCK(&link->socket_lock);
    if (link->watch_fd < 0)
        return;
    log_warning("link", "the connection hangs: shutting it down", "link", link->name, NULL);
    shutdown(link->watch_fd, SHUT_RDWR);
    /* Once is enough, and the thread may need a moment; unless it has got on just now. */
    atomic_compare_exchange_strong(&link->busy_since_ms, &since, link_now_ms());
}

int link_wait_up(struct link *link, int timeout_ms, struct error *err)
{
    int64_t until = link_now_ms() + timeout_ms;
    struct timespec deadline = { .tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000 };
    int rc = 0;

    SCOPE_LOCK(&link->lock);
    while (link->state == LINK_DOWN && rc == 0)
        rc = pthread_cond_timedwait(&link->changed, &link->lock, &deadline);
    if (link->state == LINK_UP)
        return 0;
    if (link->failure.code == ERROR_NONE)
        return error_set(err, ERROR_TIMEOUT, "no connection to %s after %d ms", link_address(link)->shown,
                         timeout_ms);
    if (err)
        *err = link->failure;
    return -1;
}
