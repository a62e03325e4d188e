/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What libvirt calls on its event loop's thread: one small function for each event, one row for each in the table at
 * the end. A new event is a function and a row. */

#include "events_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "events_names.h"
#include "log.h"
#include "stamp.h"

#define UNUSED __attribute__((unused))

struct callback_row {
    int id; /* VIR_DOMAIN_EVENT_ID_* */
    virConnectDomainEventGenericCallback callback;
    const char *kind; /* NULL: the lifecycle, whose kinds are in events_names.c */
};

/* What a callback gets as its opaque; belongs to libvirt once registered. */
struct subscription {
    struct epoch *epoch;
    const struct callback_row *row;
};

json_t *events_text(const char *text)
{
    AUTO(string) char *clean = NULL;
    json_t *json = text ? json_string(text) : json_null();

    if (json)
        return json;
    clean = strdup(text);
    for (char *at = clean; at && *at; at++)
        *at = (unsigned char)*at < 0x80 ? *at : '?';
    return json_string(clean); /* NULL for NULL */
}

static void tell(void *opaque, virDomainPtr dom, json_t *data)
{
    const struct subscription *subscription = opaque;

    epoch_tell(subscription->epoch, dom, EVENTS_NOT_LIFECYCLE, subscription->row->kind, data);
}

static int on_lifecycle(virConnectPtr conn UNUSED, virDomainPtr dom, int event, int detail, void *opaque)
{
    const struct subscription *subscription = opaque;

    epoch_tell(subscription->epoch, dom, event, events_lifecycle_kind(event),
               json_pack("{s:s}", "reason", events_lifecycle_reason(event, detail)));
    return 0;
}

/* For all that come with nothing more. */
static void on_plain(virConnectPtr conn UNUSED, virDomainPtr dom, void *opaque)
{
    tell(opaque, dom, json_object());
}

static void on_watchdog(virConnectPtr conn UNUSED, virDomainPtr dom, int action, void *opaque)
{
    tell(opaque, dom, json_pack("{s:s}", "action", events_word(EVENTS_WATCHDOG_ACTION, action)));
}

static void on_io_error(virConnectPtr conn UNUSED, virDomainPtr dom, const char *path, const char *alias,
                        int action, const char *reason, void *opaque)
{
    tell(opaque, dom,
         json_pack("{s:o, s:o, s:s, s:o}", "path", events_text(path), "device", events_text(alias), "action",
                   events_word(EVENTS_IO_ERROR_ACTION, action), "reason",
                   events_text(reason && *reason ? reason : "unknown")));
}

static void on_block_job(virConnectPtr conn UNUSED, virDomainPtr dom, const char *disk, int type, int status,
                         void *opaque)
{
    tell(opaque, dom,
         json_pack("{s:o, s:s, s:s}", "disk", events_text(disk), "type",
                   events_word(EVENTS_BLOCK_JOB_TYPE, type), "status",
                   events_word(EVENTS_BLOCK_JOB_STATUS, status)));
}

static void on_disk_change(virConnectPtr conn UNUSED, virDomainPtr dom, const char *old_path,
                           const char *new_path, const char *alias, int reason, void *opaque)
{
    tell(opaque, dom,
         json_pack("{s:o, s:o, s:o, s:s}", "device", events_text(alias), "old_path", events_text(old_path),
                   "new_path", events_text(new_path), "reason", events_word(EVENTS_DISK_REASON, reason)));
}

static void on_tray_change(virConnectPtr conn UNUSED, virDomainPtr dom, const char *alias, int state,
                           void *opaque)
{
    tell(opaque, dom,
         json_pack("{s:o, s:s}", "device", events_text(alias), "state",
                   events_word(EVENTS_TRAY_STATE, state)));
}

static void on_wakeup(virConnectPtr conn UNUSED, virDomainPtr dom, int reason UNUSED, void *opaque)
{
    tell(opaque, dom, json_object());
}

static void on_device(virConnectPtr conn UNUSED, virDomainPtr dom, const char *alias, void *opaque)
{
    tell(opaque, dom, json_pack("{s:o}", "device", events_text(alias)));
}

static void on_agent(virConnectPtr conn UNUSED, virDomainPtr dom, int state, int reason, void *opaque)
{
    tell(opaque, dom,
         json_pack("{s:b, s:s}", "connected",
                   state == VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED, "reason",
                   events_word(EVENTS_AGENT_REASON, reason)));
}

static void on_migration_iteration(virConnectPtr conn UNUSED, virDomainPtr dom, int iteration, void *opaque)
{
    tell(opaque, dom, json_pack("{s:i}", "iteration", iteration));
}

/* As JSON, as far as JSON can say it. */
static json_t *parameter_value(const virTypedParameter *parameter)
{
    switch (parameter->type) {
    case VIR_TYPED_PARAM_INT:
        return json_integer(parameter->value.i);
    case VIR_TYPED_PARAM_UINT:
        return json_integer(parameter->value.ui);
    case VIR_TYPED_PARAM_LLONG:
        return json_integer(parameter->value.l);
    case VIR_TYPED_PARAM_ULLONG:
        return json_integer(parameter->value.ul > INT64_MAX ? INT64_MAX : (json_int_t)parameter->value.ul);
    case VIR_TYPED_PARAM_DOUBLE:
        return isfinite(parameter->value.d) ? json_real(parameter->value.d) : json_null();
    case VIR_TYPED_PARAM_BOOLEAN:
        return json_boolean(parameter->value.b);
    case VIR_TYPED_PARAM_STRING:
        return events_text(parameter->value.s);
    default:
        return json_null();
    }
}

/* The statistics under libvirt's own names; what they are of, and how it went, beside them. */
static void on_job_completed(virConnectPtr conn UNUSED, virDomainPtr dom, virTypedParameterPtr params,
                             int count, void *opaque)
{
    int operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN, success;
    json_t *stats = json_object(), *data;

    for (int i = 0; i < count; i++)
        if (strcmp(params[i].field, VIR_DOMAIN_JOB_OPERATION) != 0)
            json_object_set_new(stats, params[i].field, parameter_value(&params[i]));
    virTypedParamsGetInt(params, count, VIR_DOMAIN_JOB_OPERATION, &operation);
    data = json_pack("{s:s, s:o}", "operation", events_word(EVENTS_JOB_OPERATION, operation), "stats", stats);
    if (data && virTypedParamsGetBoolean(params, count, VIR_DOMAIN_JOB_SUCCESS, &success) == 1)
        json_object_set_new(data, "success", json_boolean(success));
    tell(opaque, dom, data);
}

static void on_metadata_change(virConnectPtr conn UNUSED, virDomainPtr dom, int type, const char *uri,
                               void *opaque)
{
    json_t *data;

    if (uri && strcmp(uri, STAMP_NAMESPACE) == 0)
        return; /* our own, at the end of a job: what it says, the outcome has said */
    data = json_pack("{s:s}", "type", events_word(EVENTS_METADATA_TYPE, type));
    if (data && uri)
        json_object_set_new(data, "namespace", events_text(uri));
    tell(opaque, dom, data);
}

static void on_block_threshold(virConnectPtr conn UNUSED, virDomainPtr dom, const char *disk,
                               const char *path, unsigned long long threshold, unsigned long long excess,
                               void *opaque)
{
    tell(opaque, dom,
         json_pack("{s:o, s:o, s:I, s:I}", "disk", events_text(disk), "path", events_text(path), "threshold",
                   (json_int_t)threshold, "excess", (json_int_t)excess));
}

static void on_memory_failure(virConnectPtr conn UNUSED, virDomainPtr dom, int recipient, int action,
                              unsigned int flags, void *opaque)
{
    tell(opaque, dom,
         json_pack("{s:s, s:s, s:b, s:b}", "recipient", events_word(EVENTS_MEMORY_RECIPIENT, recipient),
                   "action", events_word(EVENTS_MEMORY_ACTION, action), "action_required",
                   (flags & VIR_DOMAIN_MEMORY_FAILURE_ACTION_REQUIRED) != 0, "recursive",
                   (flags & VIR_DOMAIN_MEMORY_FAILURE_RECURSIVE) != 0));
}

#define ROW(id, kind, callback)                                                                              \
    {                                                                                                        \
        VIR_DOMAIN_EVENT_ID_##id, VIR_DOMAIN_EVENT_CALLBACK((void (*)(void))(callback)), kind                \
    }

/* The lifecycle first: without it a watch is none. */
static const struct callback_row rows[] = {
    ROW(LIFECYCLE, NULL, on_lifecycle),
    ROW(REBOOT, "guest.reboot", on_plain),
    ROW(WATCHDOG, "guest.watchdog", on_watchdog),
    ROW(IO_ERROR_REASON, "guest.io-error", on_io_error),
    ROW(CONTROL_ERROR, "guest.control-error", on_plain),
    ROW(BLOCK_JOB_2, "guest.block-job", on_block_job),
    ROW(DISK_CHANGE, "guest.disk-change", on_disk_change),
    ROW(TRAY_CHANGE, "guest.tray-change", on_tray_change),
    ROW(PMWAKEUP, "guest.pmwakeup", on_wakeup),
    ROW(DEVICE_ADDED, "guest.device-added", on_device),
    ROW(DEVICE_REMOVED, "guest.device-removed", on_device),
    ROW(DEVICE_REMOVAL_FAILED, "guest.device-removal-failed", on_device),
    ROW(AGENT_LIFECYCLE, "guest.agent", on_agent),
    ROW(MIGRATION_ITERATION, "guest.migration-iteration", on_migration_iteration),
    ROW(JOB_COMPLETED, "guest.job-completed", on_job_completed),
    ROW(METADATA_CHANGE, "guest.metadata-change", on_metadata_change),
    ROW(BLOCK_THRESHOLD, "guest.block-threshold", on_block_threshold),
    ROW(MEMORY_FAILURE, "guest.memory-failure", on_memory_failure),
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROW_COUNT <= EVENTS_CALLBACKS_MAX, "an epoch has room for every callback");

const char *callbacks_kind(size_t index)
{
    return index + 1 < ROW_COUNT ? rows[index + 1].kind : NULL;
}

static void subscription_free(void *opaque)
{
    struct subscription *subscription = opaque;

    epoch_unref(subscription->epoch);
    free(subscription);
}

/* libvirt's id of the callback, -1 where it has none. */
static int callbacks_add(struct epoch *epoch, virConnectPtr conn, const struct callback_row *row)
{
    struct subscription *subscription = calloc(1, sizeof(*subscription));
    int id;

    if (!subscription)
        return -1;
    atomic_fetch_add(&epoch->references, 1);
    subscription->epoch = epoch;
    subscription->row = row;
    id =
        virConnectDomainEventRegisterAny(conn, NULL, row->id, row->callback, subscription, subscription_free);
    if (id < 0)
        subscription_free(subscription); /* libvirt lets go only of what it took */
    return id;
}

int callbacks_register(struct epoch *epoch, virConnectPtr conn, struct error *err)
{
    for (size_t i = 0; i < EVENTS_CALLBACKS_MAX; i++)
        epoch->callbacks[i] = -1;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        epoch->callbacks[i] = callbacks_add(epoch, conn, &rows[i]);
        if (epoch->callbacks[i] < 0 && !rows[i].kind)
            return error_set_libvirt(err, "registering for lifecycle events");
        if (epoch->callbacks[i] < 0)
            log_debug("events", "the driver has no such event", "event", rows[i].kind, "driver",
                      virConnectGetType(conn), NULL);
    }
    return 0;
}

void callbacks_deregister(struct epoch *epoch, virConnectPtr conn)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (epoch->callbacks[i] >= 0)
            virConnectDomainEventDeregisterAny(conn, epoch->callbacks[i]);
}
