/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The stages, made one after the other, and what each is told of its neighbours. */

#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "jobs.h"
#include "schemas.h"

/* A job whose delivery was lost waits so long, once its lane is up again, for it to come back. A broker gives it out again
 * at once. */
#define GRACE_MS 5000

/* A worker whose connection has ended lets its jobs go, and says so as soon as it has another. */
#define CRASH_PATIENCE_MS 15000

static const char *const link_names[LINK_COUNT] = {
    [LINK_QUICK] = "quick", [LINK_LONG] = "long", [LINK_CONTROL] = "control", [LINK_PUBLISH] = "publish"
};

static int worker_wake(struct worker *worker)
{
    uint64_t one = 1;

    return write(worker->wake, &one, sizeof(one)) == sizeof(one) ? 0 : -1;
}

static int worker_link_opened(struct worker *worker, enum which_link which)
{
    worker->opened[which] = true;
    return worker_wake(worker);
}

static int open_lane(struct link *link, struct worker *worker, enum job_lane lane, int prefetch,
                     struct error *err)
{
    if (topology_open_lane(worker->topology, link, link_names[lane], worker->lane_types[lane],
                           (uint16_t)prefetch, err) < 0)
        return -1;
    dispatcher_opened(worker->dispatcher, lane);
    return worker_link_opened(worker, (enum which_link)lane);
}

static int quick_open(struct link *link, void *opaque, struct error *err)
{
    struct worker *worker = opaque;

    return open_lane(link, worker, JOB_QUICK, worker->config->worker.quick_prefetch, err);
}

static int long_open(struct link *link, void *opaque, struct error *err)
{
    struct worker *worker = opaque;

    return open_lane(link, worker, JOB_LONG, worker->config->worker.long_slots, err);
}

static int on_control_open(struct link *link, void *opaque, struct error *err)
{
    struct worker *worker = opaque;

    return control_open(worker->control, link, err) < 0 ? -1 : worker_link_opened(worker, LINK_CONTROL);
}

static int publish_open(struct link *link, void *opaque, struct error *err)
{
    struct worker *worker = opaque;

    return topology_declare_events(worker->topology, link, err) < 0
               ? -1
               : worker_link_opened(worker, LINK_PUBLISH);
}

static void quick_delivery(struct link *link, struct delivery *delivery, void *opaque)
{
    (void)link;
    dispatcher_delivery(((struct worker *)opaque)->dispatcher, JOB_QUICK, delivery);
}

static void long_delivery(struct link *link, struct delivery *delivery, void *opaque)
{
    (void)link;
    dispatcher_delivery(((struct worker *)opaque)->dispatcher, JOB_LONG, delivery);
}

static void on_control_delivery(struct link *link, struct delivery *delivery, void *opaque)
{
    control_delivery(((struct worker *)opaque)->control, link, delivery);
}

static void quick_closed(struct link *link, void *opaque)
{
    (void)link;
    dispatcher_closed(((struct worker *)opaque)->dispatcher, JOB_QUICK);
}

static void long_closed(struct link *link, void *opaque)
{
    (void)link;
    dispatcher_closed(((struct worker *)opaque)->dispatcher, JOB_LONG);
}

static const struct link_events link_events[LINK_COUNT] = {
    [LINK_QUICK] = { quick_open, quick_delivery, quick_closed },
    [LINK_LONG] = { long_open, long_delivery, long_closed },
    [LINK_CONTROL] = { on_control_open, on_control_delivery, NULL },
    [LINK_PUBLISH] = { publish_open, NULL, NULL },
};

/* What the publisher sends by. */

static int on_publish(void *opaque, struct message *message)
{
    return link_publish(((struct worker *)opaque)->links[LINK_PUBLISH], message);
}

static int on_offer(void *opaque, struct message *message)
{
    return link_offer(((struct worker *)opaque)->links[LINK_PUBLISH], message);
}

static int on_answer(void *opaque, int lane, struct message *message)
{
    return link_publish(((struct worker *)opaque)->links[lane], message);
}

/* What the dispatcher asks for. */

static void on_settle(void *opaque, enum job_lane lane, struct delivery_tag tag, bool requeue)
{
    link_settle(((struct worker *)opaque)->links[lane], tag, requeue ? LINK_REQUEUE : LINK_ACK);
}

static bool on_is_fresh(void *opaque, enum job_lane lane)
{
    return link_is_fresh(((struct worker *)opaque)->links[lane]);
}

static int on_ask(void *opaque, const char *job_id, uint64_t since_s)
{
    return journal_ask(((struct worker *)opaque)->journal, job_id, since_s);
}

static int on_retry_delay(void *opaque, int attempt)
{
    return config_retry_delay(((struct worker *)opaque)->config, attempt);
}

static int on_guest_alias(void *opaque, const char *host, const char *name_or_uuid, char *ret_other)
{
    struct worker *worker = opaque;

    for (size_t i = 0; i < worker->host_count; i++)
        if (strcmp(hypervisor_name(worker->hosts[i]), host) == 0)
            return watch_guest_alias(worker->watches[i], name_or_uuid, ret_other);
    return -1;
}

/* What the dispatcher is told. */

static void on_told(void *opaque, const char *job_id, struct journal_entry *entry)
{
    struct dispatcher_past past = { .outcome = STEAL(&entry->outcome),
                                    .begun = entry->begun,
                                    .begun_s = entry->begun_s,
                                    .returned = entry->returned,
                                    .placed = entry->placed };

    dispatcher_told(((struct worker *)opaque)->dispatcher, job_id, &past);
    journal_entry_free(entry);
}

static void on_cancel(void *opaque, const struct control_order *order)
{
    dispatcher_cancel(((struct worker *)opaque)->dispatcher, order->job, order->reason, order->given_ms);
}

static void on_caught_up(void *opaque)
{
    struct worker *worker = opaque;

    worker->caught_up = true;
    worker_wake(worker);
}

/* The names of the lane's job types, from the rows. */
static const char **lane_types_new(enum job_lane lane)
{
    const char **names = NULL;
    size_t count = 0;

    for (const struct job_type *const *table = job_tables; *table; table++)
        for (const struct job_type *type = *table; type->name; type++)
            count++;
    names = calloc(count + 1, sizeof(*names));
    count = 0;
    for (const struct job_type *const *table = job_tables; names && *table; table++)
        for (const struct job_type *type = *table; type->name; type++)
            if (type->lane == lane)
                names[count++] = type->name;
    return names;
}

static int worker_make_contract(struct worker *worker, struct error *err)
{
    const struct config *config = worker->config;

    if (!(worker->schemas = schemas_load(err)))
        return -1;
    worker->rules = envelope_rules_new(worker->schemas, config->reply_to, config->broker.prefix, err);
    if (!worker->rules || !(worker->topology = topology_new(config, err)))
        return -1;
    for (int lane = 0; lane < DISPATCHER_LANES; lane++)
        if (!(worker->lane_types[lane] = lane_types_new(lane)))
            return error_set_memory(err);
    return 0;
}

static int worker_make_links(struct worker *worker, struct error *err)
{
    const struct config *config = worker->config;

    worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->wake < 0)
        return error_set(err, ERROR_INTERNAL, "eventfd: %s", strerror(errno));
    for (int i = 0; i < LINK_COUNT; i++) {
        const struct link_settings settings = {
            .broker = &config->broker,
            .name = link_names[i],
            .max_body = config->limits.max_body,
            .max_pending = (size_t)config->limits.max_pending,
        };
        if (!(worker->links[i] = link_new(&settings, &link_events[i], worker, err)))
            return -1;
    }
    return 0;
}

static int worker_make_memory(struct worker *worker, struct error *err)
{
    const struct control_settings control_settings = {
        .topology = worker->topology,
        .schemas = worker->schemas,
        .worker = worker->config->worker.name,
        .cancel = on_cancel,
        .caught_up = on_caught_up,
        .opaque = worker,
    };
    const struct journal_settings journal_settings = {
        .topology = worker->topology,
        .told = on_told,
        .opaque = worker,
    };

    if (!(worker->control = control_new(&control_settings, err)))
        return -1;
    worker->journal = journal_new(&journal_settings, err);
    return worker->journal ? 0 : -1;
}

static int worker_make_publisher(struct worker *worker, struct error *err)
{
    const struct topology *topology = worker->topology;
    char retry_prefix[256];
    const struct publisher_settings settings = {
        .events_exchange = topology->events,
        .jobs_exchange = topology->jobs,
        .dead_queue = topology->dead,
        .journal = topology->journal,
        .retry_prefix = retry_prefix,
        .worker = worker->config->worker.name,
        .publish = on_publish,
        .offer = on_offer,
        .answer = on_answer,
        .transport = worker,
    };

    snprintf(retry_prefix, sizeof(retry_prefix), "%s.retry", worker->config->broker.prefix);
    worker->publisher = publisher_new(&settings, err);
    return worker->publisher ? 0 : -1;
}

static int worker_make_host(struct worker *worker, const struct config_host *host, struct error *err)
{
    struct hypervisor **slot = &worker->hosts[worker->reach.host_count];

    *slot = hypervisor_new(host->name, host->uri, worker->config->worker.host_patience_s * 1000, err);
    if (!*slot)
        return -1;
    worker->reach.host_count++;
    return hypervisor_set_peer(*slot, host->peer_uri, host->migrate_uri, err);
}

static int worker_make_watch(struct worker *worker, struct error *err)
{
    size_t i = worker->host_count++;

    worker->watches[i] = watch_new(worker->hosts[i], publisher_watch_event, worker->publisher, err);
    return worker->watches[i] ? 0 : -1;
}

static int worker_make_hosts(struct worker *worker, struct error *err)
{
    const struct config *config = worker->config;
    size_t count = config->host_count;

    worker->hosts = calloc(count, sizeof(struct hypervisor *));
    worker->watches = calloc(count, sizeof(struct watch *));
    if (!worker->hosts || !worker->watches)
        return error_set_memory(err);
    worker->reach = (struct job_reach){ .hosts = worker->hosts, .save_folders = config->save_folders };
    for (size_t i = 0; i < count; i++)
        if (config->hosts[i].serve &&
            (worker_make_host(worker, &config->hosts[i], err) < 0 || worker_make_watch(worker, err) < 0))
            return -1;
    for (size_t i = 0; i < count; i++)
        if (!config->hosts[i].serve && worker_make_host(worker, &config->hosts[i], err) < 0)
            return -1;
    return 0;
}

static int worker_make_janitor(struct worker *worker, struct error *err)
{
    const struct janitor_settings settings = {
        .hosts = worker->hosts,
        .host_count = worker->host_count,
        .interval_s = worker->config->worker.janitor_interval_s,
        .age_s = worker->config->worker.stamp_age_s,
    };

    worker->janitor = janitor_new(&settings, err);
    return worker->janitor ? 0 : -1;
}

/* Every delivery in hand of the long lane has a thread: the prefetch of a host's queue is the number of its slots, and so
 * is that of the queue for any host, whose jobs may all fall to one. */
static int worker_make_dispatcher(struct worker *worker, struct error *err)
{
    const struct config *config = worker->config;
    const int long_threads = config->worker.long_slots * (config->worker.any ? 2 : 1);
    const struct dispatcher_settings settings = {
        .types = job_tables,
        .rules = worker->rules,
        .hosts = worker->hosts,
        .host_count = worker->host_count,
        .reach = &worker->reach,
        .publisher = worker->publisher,
        .worker = config->worker.name,
        .threads = { [JOB_QUICK] = config->worker.quick_slots, [JOB_LONG] = long_threads },
        .progress_interval_ms = config->limits.progress_interval_ms,
        .max_attempts = config->limits.max_attempts,
        .max_crashes = config->limits.max_crashes,
        .crash_patience_ms = CRASH_PATIENCE_MS,
        .note_interval_ms =
            (int)(config->journal.lookback_s * 1000 / 3 > INT32_MAX ? INT32_MAX
                                                                    : config->journal.lookback_s * 1000 / 3),
        .grace_ms = GRACE_MS,
        .retry_delay = on_retry_delay,
        .settle = on_settle,
        .is_fresh = on_is_fresh,
        .ask = on_ask,
        .guest_alias = on_guest_alias,
        .opaque = worker,
    };

    worker->dispatcher = dispatcher_new(&settings, err);
    return worker->dispatcher ? 0 : -1;
}

int worker_make(struct worker *worker, struct error *err)
{
    if (worker_make_contract(worker, err) < 0 || worker_make_links(worker, err) < 0 ||
        worker_make_memory(worker, err) < 0 || worker_make_publisher(worker, err) < 0 ||
        worker_make_hosts(worker, err) < 0 || worker_make_janitor(worker, err) < 0)
        return -1;
    return worker_make_dispatcher(worker, err);
}

void worker_free(struct worker *worker)
{
    dispatcher_free(worker->dispatcher);
    journal_free(worker->journal);
    janitor_free(worker->janitor);
    for (size_t i = 0; i < worker->host_count; i++)
        watch_free(worker->watches[i]);
    for (size_t i = 0; i < worker->reach.host_count; i++)
        hypervisor_free(worker->hosts[i]);
    free(worker->watches);
    free(worker->hosts);
    for (int i = 0; i < LINK_COUNT; i++)
        link_free(worker->links[i]);
    control_free(worker->control);
    publisher_free(worker->publisher);
    topology_free(worker->topology);
    envelope_rules_free(worker->rules);
    schema_store_free(worker->schemas);
    for (int lane = 0; lane < DISPATCHER_LANES; lane++)
        free(worker->lane_types[lane]);
    config_free(worker->config);
    close(worker->wake);
}
