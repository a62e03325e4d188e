/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What libvirt counts while it is at work on a guest, out of its list of named values. */

#include "guest_watch.h"

#include <libvirt/virterror.h>

#include "guest_internal.h"

/* What libvirt means where it does not say how large a page is. */
#define PAGE_SIZE_USUAL 4096

struct named_count {
    const char *name;
    size_t offset;
};

static const struct named_count counts[] = {
    { VIR_DOMAIN_JOB_TIME_ELAPSED, offsetof(struct guest_stats, elapsed_ms) },
    { VIR_DOMAIN_JOB_MEMORY_TOTAL, offsetof(struct guest_stats, memory_total) },
    { VIR_DOMAIN_JOB_MEMORY_PROCESSED, offsetof(struct guest_stats, memory_done) },
    { VIR_DOMAIN_JOB_MEMORY_REMAINING, offsetof(struct guest_stats, memory_left) },
    { VIR_DOMAIN_JOB_MEMORY_BPS, offsetof(struct guest_stats, memory_rate) },
    { VIR_DOMAIN_JOB_DISK_TOTAL, offsetof(struct guest_stats, disk_total) },
    { VIR_DOMAIN_JOB_DISK_PROCESSED, offsetof(struct guest_stats, disk_done) },
    { VIR_DOMAIN_JOB_DISK_REMAINING, offsetof(struct guest_stats, disk_left) },
    { VIR_DOMAIN_JOB_DISK_BPS, offsetof(struct guest_stats, disk_rate) },
    { VIR_DOMAIN_JOB_MEMORY_ITERATION, offsetof(struct guest_stats, iteration) },
    { VIR_DOMAIN_JOB_DOWNTIME, offsetof(struct guest_stats, downtime_ms) },
    { VIR_DOMAIN_JOB_SETUP_TIME, offsetof(struct guest_stats, setup_ms) },
};

static uint64_t param_count(virTypedParameterPtr params, int count, const char *name, uint64_t fallback)
{
    unsigned long long value = fallback;

    virTypedParamsGetULLong(params, count, name, &value);
    return value;
}

/* All but the type. */
static void stats_fill(virTypedParameterPtr params, int count, struct guest_stats *stats)
{
    uint64_t page = param_count(params, count, VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, PAGE_SIZE_USUAL);
    uint64_t pages = param_count(params, count, VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE, 0);

    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
        *(uint64_t *)((char *)stats + counts[i].offset) = param_count(params, count, counts[i].name, 0);
    stats->dirty_rate = pages * page;
    virTypedParamsGetInt(params, count, VIR_DOMAIN_JOB_OPERATION, &stats->operation);
    virTypedParamsGetInt(params, count, VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE, &stats->throttle);
}

void guest_stats_take(virTypedParameterPtr params, int count, struct guest_stats *ret_stats)
{
    struct guest_stats stats = { .type = VIR_DOMAIN_JOB_COMPLETED };
    int success = 1;

    stats_fill(params, count, &stats);
    virTypedParamsGetBoolean(params, count, VIR_DOMAIN_JOB_SUCCESS, &success);
    if (!success)
        stats.type = VIR_DOMAIN_JOB_FAILED;
    virResetLastError(); /* of what was not among them */
    *ret_stats = stats;
}

/* Nothing among the values says so. */
static bool guest_is_in_postcopy(virDomainPtr dom)
{
    int state = 0, reason = 0;

    return virDomainGetState(dom, &state, &reason, 0) == 0 && state == VIR_DOMAIN_PAUSED &&
           (reason == VIR_DOMAIN_PAUSED_POSTCOPY || reason == VIR_DOMAIN_PAUSED_POSTCOPY_FAILED);
}

/* Off, gone, at the receiving end of a migration, or without such statistics at all. */
static bool stats_are_absent(void)
{
    int code = virGetLastErrorCode();

    return guest_is_gone() || code == VIR_ERR_OPERATION_INVALID || code == VIR_ERR_OPERATION_UNSUPPORTED ||
           code == VIR_ERR_NO_SUPPORT;
}

int guest_stats_read(virDomainPtr dom, bool completed, struct guest_stats *ret_stats, struct error *err)
{
    unsigned int flags = completed ? VIR_DOMAIN_JOB_STATS_COMPLETED | VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED : 0;
    struct guest_stats stats = { .type = VIR_DOMAIN_JOB_NONE };
    virTypedParameterPtr params = NULL;
    int count = 0;

    if (virDomainGetJobStats(dom, &stats.type, &params, &count, flags) < 0) {
        if (!stats_are_absent())
            return error_set_libvirt(err, "reading the job statistics of guest '%s'", virDomainGetName(dom));
        stats.type = VIR_DOMAIN_JOB_NONE;
    }
    stats_fill(params, count, &stats);
    virTypedParamsFree(params, count);
    if (!completed && stats.operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT)
        stats.postcopy = guest_is_in_postcopy(dom);
    virResetLastError();
    *ret_stats = stats;
    return 0;
}

/* What is 0 was not told. */
static int describe_count(json_t *transfer, const char *name, uint64_t count)
{
    return count > 0 ? json_object_set_new(transfer, name, json_integer((json_int_t)count)) : 0;
}

json_t *guest_stats_describe(const struct guest_stats *stats)
{
    AUTO(json)
    json_t *transfer = json_pack("{s:I, s:I}", "bytes", (json_int_t)(stats->memory_done + stats->disk_done),
                                 "time_ms", (json_int_t)stats->elapsed_ms);
    bool save = stats->operation == VIR_DOMAIN_JOB_OPERATION_SAVE;

    if (!transfer || describe_count(transfer, "downtime_ms", save ? 0 : stats->downtime_ms) < 0 ||
        describe_count(transfer, "iterations", stats->iteration) < 0 ||
        describe_count(transfer, "memory_bytes", stats->memory_done) < 0 ||
        describe_count(transfer, "disk_bytes", stats->disk_done) < 0)
        return NULL;
    return STEAL(&transfer);
}
