/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* virtjobd: starts the stages in order, serves until a signal, hands over what runs. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "arguments.h"
#include "cleanup.h"
#include "log.h"
#include "memory.h"
#include "metrics.h"
#include "monotonic.h"
#include "notify.h"
#include "worker.h"
#include "xml.h"

/* A worker that was told to end has ended after STOP_PATIENCE_S, whatever hangs: what is not finished by then comes again.
 * First the quick jobs may end, then what they said may get through. */
#define STOP_PATIENCE_S  2
#define HAND_OVER_MS     1000
#define PUBLISH_DRAIN_MS 300
#define LANE_DRAIN_MS    100

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

static json_t *worker_about(const struct worker *worker)
{
    json_t *hosts = json_array();

    for (size_t i = 0; i < worker->host_count; i++)
        json_array_append_new(hosts, json_string(hypervisor_name(worker->hosts[i])));
    return json_pack("{s:s, s:s, s:o, s:i, s:i}", "worker", worker->config->worker.name, "version",
                     VIRTJOB_VERSION, "hosts", hosts, "quick_slots", worker->config->worker.quick_slots,
                     "long_slots", worker->config->worker.long_slots);
}

/* Events first: nothing happens that nobody would hear of. The lanes come last, worker_take_jobs. */
static int worker_start(struct worker *worker, struct error *err)
{
    if (link_start(worker->links[LINK_PUBLISH], err) < 0 || journal_start(worker->journal, err) < 0)
        return -1;
    publisher_worker_event(worker->publisher, "online", worker_about(worker));
    for (size_t i = 0; i < worker->host_count; i++)
        if (watch_start(worker->watches[i], err) < 0)
            return -1;
    if (janitor_start(worker->janitor, err) < 0)
        return -1;
    return link_start(worker->links[LINK_CONTROL], err);
}

/* Once all orders to cancel are known: one may be for the first job that comes. */
static int worker_take_jobs(struct worker *worker, struct error *err)
{
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
    for (int i = 0; i < LINK_COUNT; i++)
        if (!worker->opened[i])
            return false;
    return true;
}

/* At its start, with threads that may run already and nothing to give back. */
static _Noreturn void fail(const char *what, const struct error *err)
{
    log_error("main", what, "error", err->message, NULL);
    _exit(1);
}

/* What the links and the running jobs want about once a second. */
static void worker_tick(struct worker *worker)
{
    for (int i = 0; i < LINK_COUNT; i++)
        link_watch(worker->links[i]);
    dispatcher_tick(worker->dispatcher);
    notify_watchdog();
}

static void signal_take(int signal_fd)
{
    struct signalfd_siginfo taken;

    if (read(signal_fd, &taken, sizeof(taken)) == sizeof(taken))
        log_info("main", "stopping", "signal", taken.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM", NULL);
}

/* The steps up to being ready, each when its time has come. */
struct start {
    bool takes_jobs;
    bool is_ready;
};

static void worker_go_on(struct worker *worker, struct start *start)
{
    struct error err = ERROR_INIT;

    if (!start->takes_jobs && worker->caught_up) {
        start->takes_jobs = true;
        if (worker_take_jobs(worker, &err) < 0)
            fail("cannot start", &err);
    }
    if (start->is_ready || !worker_has_opened(worker))
        return;
    start->is_ready = true;
    memory_trim();
    log_info("main", "ready", "worker", worker->config->worker.name, NULL);
    notify_ready("takes jobs");
}

/* How long poll() may wait: for the tick, or less where the service manager wants to hear more often. */
static int tick_ms(void)
{
    int64_t watchdog_ms = notify_watchdog_ms();

    return watchdog_ms > 0 && watchdog_ms < 1000 ? (int)watchdog_ms : 1000;
}

/* Until a signal says so. */
static void worker_serve(struct worker *worker, int signal_fd)
{
    struct pollfd fds[] = { { .fd = signal_fd, .events = POLLIN }, { .fd = worker->wake, .events = POLLIN } };
    struct start start = { 0 };
    int64_t tick_due_ms = 0;
    uint64_t count;

    while (poll(fds, 2, tick_ms()) < 0 || !(fds[0].revents & POLLIN)) {
        if ((fds[1].revents & POLLIN) && read(worker->wake, &count, sizeof(count)) == sizeof(count))
            worker_go_on(worker, &start);
        if (monotonic_now_ms() < tick_due_ms)
            continue;
        tick_due_ms = monotonic_now_ms() + tick_ms() / 2;
        worker_tick(worker);
    }
    signal_take(signal_fd);
}

/* As long as the configuration lets long jobs end here, or until a second signal. */
static void worker_drain(struct worker *worker, int signal_fd)
{
    struct pollfd again = { .fd = signal_fd, .events = POLLIN };
    int64_t until_ms = monotonic_now_ms() + (int64_t)worker->config->worker.drain_timeout_s * 1000;

    while (monotonic_now_ms() < until_ms && poll(&again, 1, 0) == 0) {
        if (dispatcher_drain(worker->dispatcher, 200) == 0)
            return;
        worker_tick(worker);
    }
}

static void stop_at_once(int signal_number)
{
    (void)signal_number;
    _exit(0);
}

static void worker_stop_links(struct worker *worker)
{
    link_stop(worker->links[LINK_QUICK], LANE_DRAIN_MS);
    link_stop(worker->links[LINK_LONG], LANE_DRAIN_MS);
    publisher_worker_event(worker->publisher, "offline", worker_about(worker));
    link_stop(worker->links[LINK_PUBLISH], PUBLISH_DRAIN_MS);
    link_stop(worker->links[LINK_CONTROL], 0);
}

/* Without a broker nobody hears the last events, and whoever waits for room to tell one would wait for ever. */
static void worker_stop_telling(struct worker *worker)
{
    if (!link_is_up(worker->links[LINK_PUBLISH]))
        link_stop(worker->links[LINK_PUBLISH], 0);
}

/* Takes nothing more, lets what is quick end, gives the rest back to the broker. False: something still runs. */
static bool worker_stop(struct worker *worker, int signal_fd)
{
    bool is_quiet;

    notify_stopping();
    link_pause(worker->links[LINK_QUICK]);
    link_pause(worker->links[LINK_LONG]);
    worker_drain(worker, signal_fd);
    signal(SIGALRM, stop_at_once);
    alarm(STOP_PATIENCE_S);
    is_quiet = dispatcher_hand_over(worker->dispatcher, HAND_OVER_MS) == 0;
    if (!is_quiet)
        log_info("main", "long jobs are handed over: libvirt goes on with them", NULL);
    journal_stop(worker->journal);
    worker_stop_telling(worker);
    for (size_t i = 0; i < worker->host_count; i++)
        hypervisor_shutdown(worker->hosts[i]);
    if (!is_quiet) {
        worker_stop_links(worker);
        return false;
    }
    is_quiet = janitor_stop(worker->janitor, HAND_OVER_MS) == 0;
    for (size_t i = 0; i < worker->host_count; i++)
        watch_stop(worker->watches[i]);
    worker_stop_links(worker);
    return is_quiet;
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
