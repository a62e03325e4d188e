/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What virtjobd does with a job between its delivery and its outcome, for one job at a time. */

#include "local.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "hypervisor.h"
#include "job_run.h"
#include "jobs.h"
#include "xml.h"

#define WORKER_NAME "virtjob"

struct local {
    struct local_settings settings;
    struct hypervisor *hypervisor;
    struct hypervisor **hosts; /* of the configuration */
    struct job_reach reach;
    const struct request *request; /* of the job that runs */
    struct job_run *run;
    pthread_t thread;
    atomic_uint_fast64_t serial;
};

CLEANUP_DEFINE(local, struct local *, local_free)

const char *local_uri(const struct cli *cli)
{
    const char *fallback = getenv("LIBVIRT_DEFAULT_URI");

    return options_text(&cli->options, "connect", fallback ? fallback : "qemu:///system");
}

/* On the job's threads. Waits where the terminal is slow. */
static void local_tell(struct local *local, enum item_kind kind, json_t *event)
{
    struct item *item = item_new(kind);

    if (item)
        item->event = event;
    if (!item || queue_push(local->settings.loop->queue, item) < 0) {
        free(item);
        json_decref(event);
    }
}

static void local_report(void *opaque, const char *state, json_t *data)
{
    struct local *local = opaque;
    uint64_t serial = atomic_fetch_add(&local->serial, 1) + 1;
    json_t *event = envelope_job_event(local->request, state, serial, local->request->host, data);

    if (event)
        local_tell(local, ITEM_EVENT, event);
}

static void *local_thread(void *opaque)
{
    struct local *local = opaque;
    struct outcome outcome;

    job_run_execute(local->run, &outcome);
    json_t *event = envelope_outcome(local->request, &outcome, local->request->host, WORKER_NAME);
    outcome_done(&outcome); /* before the other thread has the event, which shares values with it */
    local_tell(local, ITEM_ENDED, event);
    return NULL;
}

static int local_add_host(struct local *local, const struct config_host *host, struct error *err)
{
    struct hypervisor *made = hypervisor_new(host->name, host->uri, 0, err);

    if (!made)
        return -1;
    local->hosts[local->reach.host_count++] = made;
    return hypervisor_set_peer(made, host->peer_uri, host->migrate_uri, err);
}

static int local_configure(struct local *local, const struct config *config, struct error *err)
{
    if (!(local->hosts = calloc(config->host_count + 1, sizeof(struct hypervisor *))))
        return error_set_memory(err);
    local->reach.hosts = local->hosts;
    local->reach.save_folders = config->save_folders;
    for (size_t i = 0; i < config->host_count; i++)
        if (local_add_host(local, &config->hosts[i], err) < 0)
            return -1;
    return 0;
}

/* Where the jobs of a host run. */
static struct hypervisor *local_host(const struct local *local, const char *name)
{
    for (size_t i = 0; i < local->reach.host_count && !local->settings.only; i++)
        if (strcmp(hypervisor_name(local->hosts[i]), name) == 0)
            return local->hosts[i];
    return local->hypervisor;
}

struct local *local_new(const struct local_settings *settings, struct error *err)
{
    AUTO(local) struct local *local = calloc(1, sizeof(*local));

    if (!local)
        return error_set_memory(err), NULL;
    local->settings = *settings;
    xml_init();
    if (hypervisor_loop_start(err) < 0)
        return NULL;
    local->hypervisor = hypervisor_new(settings->host, settings->uri, 0, err);
    if (!local->hypervisor || (settings->config && local_configure(local, settings->config, err) < 0))
        return NULL;
    return STEAL(&local);
}

void local_free(struct local *local)
{
    if (!local)
        return;
    hypervisor_free(local->hypervisor);
    for (size_t i = 0; i < local->reach.host_count; i++)
        hypervisor_free(local->hosts[i]);
    hypervisor_loop_stop();
    free(local->hosts);
    free(local);
}

int local_begin(struct local *local, const struct request *request, struct error *err)
{
    const struct job_run_settings settings = {
        .request = request,
        .type = job_type_find(job_tables, request->type),
        .hypervisor = local_host(local, request->host),
        .reach = &local->reach,
        .progress_interval_ms = local->settings.progress_interval_ms,
        .report = local_report,
        .opaque = local,
    };

    local->request = request;
    if (!(local->run = job_run_new(&settings, err)))
        return -1;
    if (pthread_create(&local->thread, NULL, local_thread, local) == 0)
        return 0;
    job_run_free(STEAL(&local->run));
    return error_set_memory(err);
}

void local_cancel(struct local *local)
{
    job_run_cancel(local->run, NULL);
}

void local_end(struct local *local)
{
    pthread_join(local->thread, NULL);
    job_run_sweep(local->run, NULL); /* what that leaves, the janitor finds */
    job_run_free(STEAL(&local->run));
}
