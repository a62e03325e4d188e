/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* virtjobd: wires the stages in the order in which a job passes them, and waits for a signal. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "arguments.h"
#include "cleanup.h"
#include "config.h"
#include "dispatcher.h"
#include "envelope.h"
#include "events.h"
#include "hypervisor.h"
#include "jobs.h"
#include "link.h"
#include "log.h"
#include "memory.h"
#include "metrics.h"
#include "publisher.h"
#include "schemas.h"
#include "topology.h"
#include "xml.h"

/* How long the links may take, at the end, to get confirms and acknowledgements through. */
#define PUBLISH_DRAIN_MS 5000
#define LANE_DRAIN_MS    2000

/* Past that after the drain, the end of the process ends what hangs; with the default drain_timeout, before systemd
 * does (TimeoutStopSec of virtjobd.service). */
#define STOP_PATIENCE_S 14

enum which_link { LINK_QUICK = JOB_QUICK, LINK_LONG = JOB_LONG, LINK_CONTROL, LINK_PUBLISH, LINK_COUNT };

static const char *const link_names[LINK_COUNT] = {
    [LINK_QUICK] = "quick", [LINK_LONG] = "long", [LINK_CONTROL] = "control", [LINK_PUBLISH] = "publish"
};

struct worker {
    struct config *config;
    struct schema_store *schemas;
    struct envelope_rules *rules;
    struct topology *topology;
    struct publisher *publisher;
    struct hypervisor **hosts;
    struct watch **watches;
    size_t host_count;
    struct dispatcher *dispatcher;
    const char **lane_types[DISPATCHER_LANES];
    struct link *links[LINK_COUNT];
    atomic_bool opened[LINK_COUNT];
    int wake; /* an eventfd: a link has opened */
};

/* Before any thread: all of them inherit the mask, so only the signalfd sees these signals. */
static int signals_open(struct error *err)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    fd = signalfd(-1, &set, SFD_CLOEXEC);
    return fd >= 0 ? fd : error_set(err, ERROR_INTERNAL, "signalfd: %s", strerror(errno));
}

static int worker_link_opened(struct worker *worker, enum which_link which)
{
    uint64_t one = 1;

    worker->opened[which] = true;
    return write(worker->wake, &one, sizeof(one)) == sizeof(one) ? 0 : -1;
}

static int open_lane(struct link *link, struct worker *worker, enum job_lane lane, int prefetch,
                     struct error *err)
{
    if (topology_open_lane(worker->topology, link, link_names[lane], worker->lane_types[lane],
                           (uint16_t)prefetch, err) < 0)
        return -1;
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

static int control_open(struct link *link, void *opaque, struct error *err)
{
    struct worker *worker = opaque;

    return topology_declare_events(worker->topology, link, err) < 0
               ? -1
               : worker_link_opened(worker, LINK_CONTROL);
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
    [LINK_CONTROL] = { control_open, NULL, NULL },
    [LINK_PUBLISH] = { publish_open, NULL, NULL },
};

static int worker_publish(void *opaque, struct message *message)
{
    struct worker *worker = opaque;

    return link_publish(worker->links[LINK_PUBLISH], message);
}

static void worker_acknowledge(void *opaque, enum job_lane lane, struct delivery_tag tag)
{
    struct worker *worker = opaque;

    link_settle(worker->links[lane], tag, LINK_ACK);
}

static int worker_guest_alias(void *opaque, const char *host, const char *name_or_uuid, char *ret_other)
{
    struct worker *worker = opaque;

    for (size_t i = 0; i < worker->host_count; i++)
        if (strcmp(hypervisor_name(worker->hosts[i]), host) == 0)
            return watch_guest_alias(worker->watches[i], name_or_uuid, ret_other);
    return -1;
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

static int worker_make_publisher(struct worker *worker, struct error *err)
{
    const struct publisher_settings settings = {
        .events_exchange = worker->topology->events,
        .dead_queue = worker->topology->dead,
        .worker = worker->config->worker.name,
        .publish = worker_publish,
        .transport = worker,
    };

    worker->publisher = publisher_new(&settings, err);
    return worker->publisher ? 0 : -1;
}

static int worker_make_hosts(struct worker *worker, struct error *err)
{
    const struct config *config = worker->config;
    size_t count = config->host_count;

    worker->hosts = calloc(count, sizeof(struct hypervisor *));
    worker->watches = calloc(count, sizeof(struct watch *));
    if (!worker->hosts || !worker->watches)
        return error_set_memory(err);
    for (size_t i = 0; i < count; i++) {
        worker->hosts[i] = hypervisor_new(config->hosts[i].name, config->hosts[i].uri,
                                          config->worker.host_patience_s * 1000, err);
        if (!worker->hosts[i])
            return -1;
        worker->host_count++;
        worker->watches[i] = watch_new(worker->hosts[i], publisher_watch_event, worker->publisher, err);
        if (!worker->watches[i])
            return -1;
    }
    return 0;
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
        .publisher = worker->publisher,
        .threads = { [JOB_QUICK] = config->worker.quick_slots, [JOB_LONG] = long_threads },
        .progress_interval_ms = config->limits.progress_interval_ms,
        .acknowledge = worker_acknowledge,
        .guest_alias = worker_guest_alias,
        .opaque = worker,
    };

    worker->dispatcher = dispatcher_new(&settings, err);
    return worker->dispatcher ? 0 : -1;
}

static int worker_make(struct worker *worker, struct error *err)
{
    if (worker_make_contract(worker, err) < 0 || worker_make_links(worker, err) < 0 ||
        worker_make_publisher(worker, err) < 0 || worker_make_hosts(worker, err) < 0)
        return -1;
    return worker_make_dispatcher(worker, err);
}

static json_t *worker_about(const struct worker *worker)
{
    json_t *hosts = json_array();

    for (size_t i = 0; i < worker->host_count; i++)
        json_array_append_new(hosts, json_string(hypervisor_name(worker->hosts[i])));
    return json_pack("{s:s, s:s, s:o, s:i, s:i}", "worker", worker->config->worker.name, "version",
                     VIRTJOB_VERSION, "hosts", hosts, "quick_slots", worker->config->worker.quick_slots,
                     "long_slots", worker->config->worker.long_slots);
}

/* Events first, then what takes jobs: nothing happens that nobody would hear of. */
static int worker_start(struct worker *worker, struct error *err)
{
    if (link_start(worker->links[LINK_PUBLISH], err) < 0 || link_start(worker->links[LINK_CONTROL], err) < 0)
        return -1;
    publisher_worker_event(worker->publisher, "online", worker_about(worker));
    for (size_t i = 0; i < worker->host_count; i++)
        if (watch_start(worker->watches[i], err) < 0)
            return -1;
    if (link_start(worker->links[LINK_QUICK], err) < 0)
        return -1;
    return link_start(worker->links[LINK_LONG], err);
}

static int worker_is_healthy(void *opaque)
{
    const struct worker *worker = opaque;

    for (int i = 0; i < LINK_COUNT; i++)
        if (!link_is_up(worker->links[i]))
            return 0;
    return 1;
}

static bool worker_has_opened(struct worker *worker)
{
    uint64_t count;

    if (read(worker->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
        return false;
    for (int i = 0; i < LINK_COUNT; i++)
        if (!worker->opened[i])
            return false;
    return true;
}

/* What the links and the running jobs want about once a second. */
static void worker_tick(struct worker *worker)
{
    for (int i = 0; i < LINK_COUNT; i++)
        link_watch(worker->links[i]);
    dispatcher_tick(worker->dispatcher);
}

static void signal_take(int signal_fd)
{
    struct signalfd_siginfo taken;

    if (read(signal_fd, &taken, sizeof(taken)) == sizeof(taken))
        log_info("main", "stopping", "signal", taken.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM", NULL);
}

/* Until a signal says so. */
static void worker_serve(struct worker *worker, int signal_fd)
{
    struct pollfd fds[] = { { .fd = signal_fd, .events = POLLIN }, { .fd = worker->wake, .events = POLLIN } };
    bool ready = false;

    while (poll(fds, 2, 1000) < 0 || !(fds[0].revents & POLLIN)) {
        if (!ready && worker_has_opened(worker)) {
            ready = true;
            memory_trim();
            log_info("main", "ready", "worker", worker->config->worker.name, NULL);
        } else if (ready && (fds[1].revents & POLLIN)) {
            worker_has_opened(worker);
        }
        worker_tick(worker);
    }
    signal_take(signal_fd);
}

static void stop_at_once(int signal_number)
{
    (void)signal_number;
    _exit(0);
}

/* Without a broker nobody hears the last events, and whoever waits for room to tell one would wait for ever. */
static void worker_stop_telling(struct worker *worker)
{
    signal(SIGALRM, stop_at_once);
    alarm(STOP_PATIENCE_S);
    if (!link_is_up(worker->links[LINK_PUBLISH]))
        link_stop(worker->links[LINK_PUBLISH], PUBLISH_DRAIN_MS);
}

/* Waits for what runs, as long as it may or until a second signal. False: something still runs. */
static bool worker_drain(struct worker *worker, int signal_fd)
{
    struct pollfd again = { .fd = signal_fd, .events = POLLIN };
    int left_ms = worker->config->worker.drain_timeout_s * 1000;

    while (dispatcher_drain(worker->dispatcher, left_ms < 1000 ? left_ms : 1000) < 0) {
        left_ms -= 1000;
        if (left_ms <= 0 || poll(&again, 1, 0) > 0)
            return false;
        worker_tick(worker);
    }
    return true;
}

/* Takes nothing more, lets what runs end, gives the rest back to the broker. False: something still runs. */
static bool worker_stop(struct worker *worker, int signal_fd)
{
    bool drained;

    link_pause(worker->links[LINK_QUICK]);
    link_pause(worker->links[LINK_LONG]);
    drained = worker_drain(worker, signal_fd);
    if (!drained)
        log_warning("main", "jobs still run: they stay with the broker and come again", NULL);
    worker_stop_telling(worker);
    for (size_t i = 0; i < worker->host_count; i++) {
        hypervisor_shutdown(worker->hosts[i]);
        watch_stop(worker->watches[i]);
    }
    publisher_worker_event(worker->publisher, "offline", worker_about(worker));
    link_stop(worker->links[LINK_PUBLISH], PUBLISH_DRAIN_MS);
    link_stop(worker->links[LINK_QUICK], LANE_DRAIN_MS);
    link_stop(worker->links[LINK_LONG], LANE_DRAIN_MS);
    link_stop(worker->links[LINK_CONTROL], 0);
    return drained;
}

static void worker_free(struct worker *worker)
{
    dispatcher_free(worker->dispatcher);
    for (size_t i = 0; i < worker->host_count; i++) {
        watch_free(worker->watches[i]);
        hypervisor_free(worker->hosts[i]);
    }
    free(worker->watches);
    free(worker->hosts);
    for (int i = 0; i < LINK_COUNT; i++)
        link_free(worker->links[i]);
    publisher_free(worker->publisher);
    topology_free(worker->topology);
    envelope_rules_free(worker->rules);
    schema_store_free(worker->schemas);
    for (int lane = 0; lane < DISPATCHER_LANES; lane++)
        free(worker->lane_types[lane]);
    config_free(worker->config);
    close(worker->wake);
}

/* At its start, with threads that may run already and nothing to give back. */
static _Noreturn void fail(const char *what, const struct error *err)
{
    log_error("main", what, "error", err->message, NULL);
    _exit(1);
}

static struct config *load_config(const struct arguments *arguments, struct error *err)
{
    struct config *config = config_load(arguments->config_path, arguments->sets, arguments->set_count, err);
    enum log_level level = LOG_LEVEL_INFO;

    if (!config || config_check_daemon(config, err) < 0) {
        config_free(config);
        return NULL;
    }
    log_level_parse(config->log_level, &level);
    log_init(level, strcmp(config->log_format, "json") == 0);
    return config;
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    struct worker worker = { 0 };
    struct error err = ERROR_INIT;
    int signal_fd;

    memory_bound();
    arguments_parse(&arguments, argc, argv);
    worker.config = load_config(&arguments, &err);
    arguments_done(&arguments);
    if (!worker.config) {
        fprintf(stderr, "virtjobd: %s\n", err.message);
        return 2;
    }
    if (arguments.check) {
        config_free(worker.config);
        return 0;
    }
    xml_init();
    if ((signal_fd = signals_open(&err)) < 0 || hypervisor_loop_start(&err) < 0 ||
        worker_make(&worker, &err) < 0)
        fail("cannot start", &err);
    if (worker.config->metrics_listen &&
        metrics_serve(worker.config->metrics_listen, worker_is_healthy, &worker, &err) < 0)
        fail("cannot serve metrics", &err);
    if (worker_start(&worker, &err) < 0)
        fail("cannot start", &err);
    worker_serve(&worker, signal_fd);
    metrics_stop();
    if (!worker_stop(&worker, signal_fd))
        _exit(0); /* a thread is in the middle of a call that cannot be called back */
    worker_free(&worker);
    hypervisor_loop_stop();
    close(signal_fd);
    log_info("main", "stopped", NULL);
    return 0;
}
