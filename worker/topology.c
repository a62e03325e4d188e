/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Exchanges, queues and bindings. Queue types and limits are all stated: defaults differ between brokers 3.10 and 4.x,
 * and a default changed under us would make the next declaration fail. */

#include "topology.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cleanup.h"

/* Returns of a job before the broker puts it into the dead queue. Every restart of a worker counts, so the limit is
 * generous: it is there for messages that no worker survives. */
#define JOBS_DELIVERY_LIMIT 100

/* Results and dead letters never leave because somebody looked at them; "no limit" has no spelling that brokers 3.10
 * and 4.x share. */
#define KEEP_DELIVERY_LIMIT 1000000

/* Orders to cancel. A day of them takes that much only where there are some hundred thousand. */
#define CONTROL_MAX_AGE_S 86400
#define CONTROL_MAX_BYTES (INT64_C(64) << 20)

/* A stream loses its oldest segment when a new one is begun, and only then: by default that is every 500 MB, whatever
 * its bounds are. So a stream holds up to a sixteenth more than it is allowed. */
#define STREAM_SEGMENTS    16
#define SEGMENT_BYTES_MOST (INT64_C(64) << 20)

static const char *const outcome_keys[] = { "job.succeeded.#", "job.failed.#", "job.cancelled.#",
                                            "job.expired.#", "job.uncertain.#" };

static char *name_new(const struct config *config, const char *suffix)
{
    char *name = NULL;

    return asprintf(&name, "%s.%s", config->broker.prefix, suffix) < 0 ? NULL : name;
}

struct topology *topology_new(const struct config *config, struct error *err)
{
    struct topology *topology = calloc(1, sizeof(*topology));

    if (topology) {
        topology->config = config;
        topology->jobs = name_new(config, "jobs");
        topology->events = name_new(config, "events");
        topology->results = name_new(config, "results");
        topology->dead = name_new(config, "dead");
        topology->control = name_new(config, "control");
        topology->journal = name_new(config, "journal");
    }
    if (!topology || !topology->jobs || !topology->events || !topology->results || !topology->dead ||
        !topology->control || !topology->journal) {
        error_set_memory(err);
        topology_free(topology);
        return NULL;
    }
    return topology;
}

void topology_free(struct topology *topology)
{
    if (!topology)
        return;
    free(topology->jobs);
    free(topology->events);
    free(topology->results);
    free(topology->dead);
    free(topology->control);
    free(topology->journal);
    free(topology);
}

char *topology_queue_name(const struct topology *topology, const char *host, const char *lane)
{
    char *name = NULL;

    return asprintf(&name, "%s.%s.%s", topology->jobs, host, lane) < 0 ? NULL : name;
}

char *topology_retry_name(const struct topology *topology, int delay_s)
{
    char *name = NULL;

    return asprintf(&name, "%s.retry.%d", topology->config->broker.prefix, delay_s) < 0 ? NULL : name;
}

static int topology_declare_dead(const struct topology *topology, struct link *link, struct error *err)
{
    const struct link_argument arguments[] = {
        { .key = "x-queue-type", .text = "quorum" },
        { .key = "x-delivery-limit", .number = KEEP_DELIVERY_LIMIT },
        { 0 },
    };

    return link_declare_queue(link, topology->dead, arguments, err);
}

static int topology_bind_outcomes(const struct topology *topology, struct link *link, const char *queue,
                                  struct error *err)
{
    for (size_t i = 0; i < sizeof(outcome_keys) / sizeof(outcome_keys[0]); i++)
        if (link_bind(link, queue, topology->events, outcome_keys[i], err) < 0)
            return -1;
    return 0;
}

static int topology_declare_results(const struct topology *topology, struct link *link, struct error *err)
{
    const struct link_argument arguments[] = {
        { .key = "x-queue-type", .text = "quorum" },
        { .key = "x-delivery-limit", .number = KEEP_DELIVERY_LIMIT },
        { .key = "x-max-length", .number = topology->config->results.max_length },
        { .key = "x-message-ttl", .number = topology->config->results.max_age_s * 1000 },
        { .key = "x-overflow", .text = "drop-head" },
        { 0 },
    };

    if (!topology->config->results.enabled)
        return 0;
    if (link_declare_queue(link, topology->results, arguments, err) < 0)
        return -1;
    return topology_bind_outcomes(topology, link, topology->results, err);
}

static int topology_declare_stream(struct link *link, const char *name, int64_t max_age_s, int64_t max_bytes,
                                   struct error *err)
{
    int64_t segment = max_bytes / STREAM_SEGMENTS;
    char max_age[32];
    const struct link_argument arguments[] = {
        { .key = "x-queue-type", .text = "stream" },
        { .key = "x-max-age", .text = max_age },
        { .key = "x-max-length-bytes", .number = max_bytes },
        { .key = "x-stream-max-segment-size-bytes",
          .number = segment < SEGMENT_BYTES_MOST ? segment : SEGMENT_BYTES_MOST },
        { 0 },
    };

    snprintf(max_age, sizeof(max_age), "%" PRId64 "s", max_age_s);
    return link_declare_queue(link, name, arguments, err);
}

int topology_declare_journal(const struct topology *topology, struct link *link, struct error *err)
{
    return topology_declare_stream(link, topology->journal, topology->config->journal.max_age_s,
                                   topology->config->journal.max_bytes, err);
}

int topology_declare_events(const struct topology *topology, struct link *link, struct error *err)
{
    if (link_declare_exchange(link, topology->events, "topic", err) < 0 ||
        topology_declare_dead(topology, link, err) < 0 || topology_declare_results(topology, link, err) < 0 ||
        topology_declare_journal(topology, link, err) < 0)
        return -1;
    return topology_bind_outcomes(topology, link, topology->journal, err);
}

int topology_declare_control(const struct topology *topology, struct link *link, struct error *err)
{
    if (link_declare_exchange(link, topology->control, "direct", err) < 0 ||
        topology_declare_stream(link, topology->control, CONTROL_MAX_AGE_S, CONTROL_MAX_BYTES, err) < 0)
        return -1;
    return link_bind(link, topology->control, topology->control, "cancel", err);
}

/* Without a routing key of its own for what it dead-letters, the message keeps the one that it came with. */
static int topology_declare_delay(const struct topology *topology, struct link *link, int delay_s,
                                  struct error *err)
{
    AUTO(string) char *name = topology_retry_name(topology, delay_s);
    const struct link_argument arguments[] = {
        { .key = "x-queue-type", .text = "quorum" },
        { .key = "x-delivery-limit", .number = KEEP_DELIVERY_LIMIT },
        { .key = "x-message-ttl", .number = (int64_t)delay_s * 1000 },
        { .key = "x-dead-letter-exchange", .text = topology->jobs },
        { .key = "x-dead-letter-strategy", .text = "at-least-once" },
        { .key = "x-overflow", .text = "reject-publish" },
        { 0 },
    };

    if (!name)
        return error_set_memory(err);
    if (link_declare_exchange(link, name, "fanout", err) < 0 ||
        link_declare_queue(link, name, arguments, err) < 0)
        return -1;
    return link_bind(link, name, name, "", err);
}

int topology_declare_retry(const struct topology *topology, struct link *link, struct error *err)
{
    int delays[RETRY_DELAYS_MAX];
    size_t count = config_retry_delays(topology->config, delays);

    for (size_t i = 0; i < count; i++)
        if (topology_declare_delay(topology, link, delays[i], err) < 0)
            return -1;
    return 0;
}

void topology_marker_id(const char *worker, char *ret_id)
{
    uint64_t random[2] = { 0 };

    (void)!getrandom(random, sizeof(random), 0);
    snprintf(ret_id, 256, TOPOLOGY_MARKER "%.100s/%016" PRIx64 "%016" PRIx64, worker, random[0], random[1]);
}

int topology_mark(struct link *link, const char *stream, const char *marker_id, struct error *err)
{
    struct message *message = message_new("", stream, NULL, 0);

    if (!message || !(message->message_id = strdup(marker_id))) {
        message_free(message);
        return error_set_memory(err);
    }
    message->kind = "marker";
    message->persistent = true;
    return link_publish(link, message) == 0 ? 0 : error_set(err, ERROR_INTERNAL, "the link has ended");
}

/* At-least-once dead-lettering needs reject-publish, which without a length limit rejects nothing; with one (set by a
 * policy of the operator's) the requester's confirm says no. Single active consumer: a second worker stands by. */
static int topology_declare_jobs_queue(const struct topology *topology, struct link *link, const char *queue,
                                       bool single, struct error *err)
{
    const struct link_argument arguments[] = {
        { .key = "x-queue-type", .text = "quorum" },
        { .key = "x-delivery-limit", .number = JOBS_DELIVERY_LIMIT },
        { .key = "x-dead-letter-exchange", .text = "" },
        { .key = "x-dead-letter-routing-key", .text = topology->dead },
        { .key = "x-dead-letter-strategy", .text = "at-least-once" },
        { .key = "x-overflow", .text = "reject-publish" },
        { .key = single ? "x-single-active-consumer" : NULL, .flag = true },
        { 0 },
    };

    return link_declare_queue(link, queue, arguments, err);
}

static int topology_open_queue(const struct topology *topology, struct link *link, const char *host,
                               const char *lane, const char *const *types, uint16_t prefetch, bool single,
                               struct error *err)
{
    AUTO(string) char *queue = topology_queue_name(topology, host, lane);

    if (!queue)
        return error_set_memory(err);
    if (topology_declare_jobs_queue(topology, link, queue, single, err) < 0)
        return -1;
    for (; *types; types++) {
        char key[256];

        if (snprintf(key, sizeof(key), "%s@%s", *types, host) >= (int)sizeof(key))
            return error_set(err, ERROR_INVALID, "the name of host '%s' is too long for a routing key", host);
        if (link_bind(link, queue, topology->jobs, key, err) < 0)
            return -1;
    }
    return link_consume(link, queue, prefetch, NULL, err);
}

int topology_open_lane(const struct topology *topology, struct link *link, const char *lane,
                       const char *const *types, uint16_t prefetch, struct error *err)
{
    const struct config *config = topology->config;

    /* Each once, and before what points at it: the jobs' queues at the dead queue, the retry queues at the jobs. */
    if (topology_declare_events(topology, link, err) < 0 ||
        link_declare_exchange(link, topology->jobs, "direct", err) < 0 ||
        topology_declare_retry(topology, link, err) < 0)
        return -1;
    for (size_t i = 0; i < config->host_count; i++)
        if (config->hosts[i].serve &&
            topology_open_queue(topology, link, config->hosts[i].name, lane, types, prefetch, true, err) < 0)
            return -1;
    if (!config->worker.any)
        return 0;
    return topology_open_queue(topology, link, "any", lane, types, prefetch, false, err);
}
