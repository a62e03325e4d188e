/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* From a delivery to a task: the job's row, its host, and what it claims. */

#include "dispatcher_task.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <uuid/uuid.h>

#include "monotonic.h"
#include "xml.h"

static int task_find_type(struct task *task, const struct dispatcher_settings *settings, struct error *err)
{
    task->type = job_type_find(settings->types, task->request.type);
    if (task->type)
        return 0;
    return error_set_at(err, ERROR_UNKNOWN_TYPE, "/type", "there is no job type '%s'", task->request.type);
}

/* For "any", the host with the least to do, or that where it was begun: then it has come by that host's own queue. */
static int task_find_host(struct task *task, const struct dispatcher_settings *settings, struct error *err)
{
    const char *wanted = task->request.placed ? task->request.placed : task->request.host;
    bool any = strcmp(wanted, "any") == 0;

    for (size_t i = 0; i < settings->host_count; i++) {
        struct hypervisor *host = settings->hosts[i];
        bool better = any ? !task->host || hypervisor_load(host) < hypervisor_load(task->host)
                          : strcmp(hypervisor_name(host), wanted) == 0;
        if (better) {
            task->host = host;
            task->host_index = i;
        }
    }
    if (task->host) {
        hypervisor_assign(task->host, 1);
        return 0;
    }
    return error_set_at(err, ERROR_UNKNOWN_HOST, "/host", "this worker does not serve the host '%s'", wanted);
}

/* What the claims of one job are made with. */
struct claiming {
    struct task *task;
    const struct dispatcher_settings *settings;
    const struct job_claim *claim;
};

static int claim_add(const struct claiming *claiming, const char *kind, const char *name, struct error *err)
{
    char resource[1024];

    snprintf(resource, sizeof(resource), "%s/%s/%s", hypervisor_name(claiming->task->host), kind, name);
    return claims_ticket_add(claiming->task->ticket, resource, claiming->claim->write, err);
}

/* Jobs may name one guest by its name and by its UUID: both are claimed where both are known. */
static int claim_guest(const struct claiming *claiming, const char *guest, struct error *err)
{
    const struct dispatcher_settings *settings = claiming->settings;
    char name[256], other[256];
    uuid_t uuid;

    snprintf(name, sizeof(name), "%s", guest);
    if (uuid_parse(guest, uuid) == 0)
        uuid_unparse_lower(uuid, name);
    if (claim_add(claiming, "guest", name, err) < 0)
        return -1;
    if (!settings->guest_alias ||
        settings->guest_alias(settings->opaque, hypervisor_name(claiming->task->host), name, other) < 0)
        return 0;
    return claim_add(claiming, "guest", other, err);
}

static int claim_guest_at(const struct claiming *claiming, xmlDocPtr doc, const char *xpath,
                          struct error *err)
{
    AUTO(string) char *guest = xml_get(doc, xpath);

    return guest ? claim_guest(claiming, guest, err) : 0;
}

/* What is wrong with it the handler will say. */
static int claim_domain_xml(const struct claiming *claiming, const char *text, struct error *err)
{
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(text, "domain", NULL, NULL);

    if (!doc)
        return 0;
    if (claim_guest_at(claiming, doc, "/domain/name", err) < 0)
        return -1;
    return claim_guest_at(claiming, doc, "/domain/uuid", err);
}

static int claim_volume(const struct claiming *claiming, const json_t *volume, struct error *err)
{
    char name[768];

    snprintf(name, sizeof(name), "%s/%s", job_string(volume, "pool", ""), job_string(volume, "volume", ""));
    return claim_add(claiming, "volume", name, err);
}

static int claim_value(const struct claiming *claiming, const json_t *value, struct error *err)
{
    switch (claiming->claim->resource) {
    case JOB_GUEST:
        return json_is_string(value) ? claim_guest(claiming, json_string_value(value), err) : 0;
    case JOB_NEW_GUEST:
        return claim_guest(claiming, claiming->task->request.id, err);
    case JOB_DOMAIN_XML:
        return json_is_string(value) ? claim_domain_xml(claiming, json_string_value(value), err) : 0;
    case JOB_VOLUME:
        return json_is_object(value) ? claim_volume(claiming, value, err) : 0;
    case JOB_POOL:
        return json_is_string(value) ? claim_add(claiming, "pool", json_string_value(value), err) : 0;
    case JOB_PATH:
        return json_is_string(value) ? claim_add(claiming, "path", json_string_value(value), err) : 0;
    case JOB_HOST:
        return claim_add(claiming, "host", "", err);
    case JOB_NOTHING:
        break;
    }
    return 0;
}

static int claim_walk(const struct claiming *claiming, const json_t *value, const char *pointer,
                      struct error *err);

static int claim_walk_all(const struct claiming *claiming, const json_t *array, const char *rest,
                          struct error *err)
{
    size_t index;
    json_t *element;

    json_array_foreach (array, index, element) {
        if (claim_walk(claiming, element, rest, err) < 0)
            return -1;
    }
    return 0;
}

static int claim_walk(const struct claiming *claiming, const json_t *value, const char *pointer,
                      struct error *err)
{
    const char *end;

    if (!value || *pointer == '\0')
        return value ? claim_value(claiming, value, err) : 0;
    pointer++;
    end = strchrnul(pointer, '/');
    if (end - pointer == 1 && *pointer == '*')
        return claim_walk_all(claiming, value, end, err);
    return claim_walk(claiming, json_object_getn(value, pointer, (size_t)(end - pointer)), end, err);
}

static int task_claim(struct task *task, const struct dispatcher_settings *settings, struct error *err)
{
    task->ticket = claims_ticket_new(task, err);
    if (!task->ticket)
        return -1;
    for (size_t i = 0; i < JOB_CLAIMS_MAX && task->type->claims[i].resource != JOB_NOTHING; i++) {
        struct claiming claiming = { task, settings, &task->type->claims[i] };
        if (claim_walk(&claiming, task->request.params, claiming.claim->pointer, err) < 0)
            return -1;
    }
    return 0;
}

static int task_place(struct task *task, const struct dispatcher_settings *settings, struct error *err)
{
    if (task_find_type(task, settings, err) < 0 || task_find_host(task, settings, err) < 0)
        return -1;
    return task_claim(task, settings, err);
}

struct task *task_new(struct dispatcher *dispatcher, const struct dispatcher_settings *settings,
                      enum job_lane lane, const struct delivery *delivery)
{
    struct task *task = calloc(1, sizeof(*task));

    if (!task || task_add_tag(task, delivery->tag) < 0) {
        free(task);
        return NULL;
    }
    task->dispatcher = dispatcher;
    task->lane = lane;
    task->redelivered = delivery->redelivered;
    task->resent = delivery->attempt > 0;
    task->again = task->redelivered || task->resent;
    task->noted_begun = !task->again;
    task->received_ms = monotonic_now_ms();
    task->past.placed = task->placed;
    if (envelope_parse(settings->rules, delivery, &task->request, &task->refusal) == 0)
        task_place(task, settings, &task->refusal);
    return task;
}

void task_free(struct task *task)
{
    if (!task)
        return;
    if (task->host)
        hypervisor_assign(task->host, -1);
    if (task->ticket)
        claims_ticket_free(task->ticket);
    request_done(&task->request);
    delivery_free(task->past.outcome);
    outcome_done(&task->answer.outcome);
    json_decref(task->answer.event);
    job_run_free(task->run);
    free(task->reason);
    free(task->tags);
    free(task);
}

int task_add_tag(struct task *task, struct delivery_tag tag)
{
    struct delivery_tag *tags = reallocarray(task->tags, task->tag_count + 1, sizeof(*tags));
    size_t kept = 0;

    if (!tags)
        return -1;
    task->tags = tags;
    for (size_t i = 0; i < task->tag_count; i++)
        if (tags[i].epoch == tag.epoch)
            tags[kept++] = tags[i];
    tags[kept++] = tag;
    task->tag_count = kept;
    return 0;
}

bool task_has_epoch(const struct task *task, uint64_t epoch)
{
    for (size_t i = 0; i < task->tag_count; i++)
        if (task->tags[i].epoch == epoch)
            return true;
    return false;
}

const char *task_host(const struct task *task)
{
    if (task->host)
        return hypervisor_name(task->host);
    return task->request.host ? task->request.host : "any";
}

const char *task_type_name(const struct task *task)
{
    return task->type ? task->type->name : "unknown";
}
