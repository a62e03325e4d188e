/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Events to messages: of jobs, guests, hosts and the worker itself. */

#include "publisher_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "log.h"

static const char **publisher_strings(struct publisher_settings *settings, size_t index)
{
    const char **const strings[] = { &settings->events_exchange, &settings->jobs_exchange,
                                     &settings->dead_queue,      &settings->journal,
                                     &settings->retry_prefix,    &settings->worker };

    return index < sizeof(strings) / sizeof(strings[0]) ? strings[index] : NULL;
}

static int publisher_copy_strings(struct publisher *publisher)
{
    const char **string;
    int rc = 0;

    for (size_t i = 0; (string = publisher_strings(&publisher->settings, i)); i++) {
        *string = strdup(*string);
        rc |= *string ? 0 : -1;
    }
    return rc;
}

struct publisher *publisher_new(const struct publisher_settings *settings, struct error *err)
{
    struct publisher *publisher = calloc(1, sizeof(*publisher));

    if (!publisher) {
        error_set_memory(err);
        return NULL;
    }
    publisher->settings = *settings;
    publisher->born_ms = (uint64_t)envelope_now_ms();
    if (publisher_copy_strings(publisher) < 0) {
        publisher_free(publisher);
        error_set_memory(err);
        return NULL;
    }
    return publisher;
}

void publisher_free(struct publisher *publisher)
{
    const char **string;

    if (!publisher)
        return;
    for (size_t i = 0; (string = publisher_strings(&publisher->settings, i)); i++)
        free((char *)*string);
    free(publisher);
}

void publisher_send(struct publisher *publisher, const struct publisher_way *way, struct message *message)
{
    const struct publisher_settings *settings = &publisher->settings;
    int rc;

    if (!message)
        return;
    message->epoch = way ? way->epoch : 0;
    rc = way ? settings->answer(settings->transport, way->lane, message)
             : settings->publish(settings->transport, message);
    if (rc < 0)
        log_debug("publisher", "a message was refused by the closing link", NULL);
}

/* Of the states of a job under way, those that only show how far it is. */
static bool is_droppable(const char *state)
{
    static const char *const states[] = { "started", "progress", "cancelling" };

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (strcmp(state, states[i]) == 0)
            return true;
    return false;
}

void publisher_job_event(struct publisher *publisher, const struct publisher_way *way,
                         const struct request *request, const char *state, const char *host, json_t *data)
{
    uint64_t serial = publisher->born_ms * 1000 + atomic_fetch_add(&publisher->serial, 1);
    AUTO(json) json_t *event = envelope_job_event(request, state, serial, host, data);
    struct message *message;
    char key[256];

    envelope_job_key(request, state, key);
    message = event ? envelope_message(publisher->settings.events_exchange, key, event, request) : NULL;
    if (!message)
        return;
    message->droppable = is_droppable(state);
    message->kind = message->droppable ? "progress" : "state";
    message->persistent = !message->droppable;
    publisher_send(publisher, way, message);
}

static struct message *event_message(struct publisher *publisher, const char *kind, const char *subject,
                                     const json_t *event)
{
    struct message *message;
    char key[256];

    envelope_event_key(kind, subject, key);
    message = event ? envelope_message(publisher->settings.events_exchange, key, event, NULL) : NULL;
    if (message)
        message->kind = "lifecycle";
    else
        log_error("publisher", "out of memory: an event is lost", "event", kind, NULL);
    return message;
}

int publisher_watch_event(void *opaque, const struct watch_event *event)
{
    struct publisher *publisher = opaque;
    AUTO(json) json_t *cloud_event = NULL;
    struct message *message;
    char source[128], id[64];

    snprintf(source, sizeof(source), "/virtjob/hosts/%s", event->host);
    snprintf(id, sizeof(id), "%lld/%llu", (long long)event->epoch, (unsigned long long)event->seq);
    cloud_event = envelope_event(event->kind, source, event->subject, id, json_incref(event->data));
    message = event_message(publisher, event->kind, event->subject, cloud_event);
    if (!message || publisher->settings.offer(publisher->settings.transport, message) != 1)
        return 0;
    message_free(message);
    return -1;
}

void publisher_worker_event(struct publisher *publisher, const char *what, json_t *data)
{
    AUTO(json) json_t *event = NULL;
    char source[192], id[96], kind[64];

    snprintf(kind, sizeof(kind), "worker.%s", what);
    snprintf(source, sizeof(source), "/virtjob/workers/%s", publisher->settings.worker);
    snprintf(id, sizeof(id), "%llu/%s", (unsigned long long)publisher->born_ms, what);
    event = envelope_event(kind, source, NULL, id, data);
    publisher_send(publisher, NULL, event_message(publisher, kind, NULL, event));
}
