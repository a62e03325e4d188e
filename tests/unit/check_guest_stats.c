/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* libvirt's figures: out of its list of values, and into an outcome. Asked of a guest on the test driver, which has none. */

#include <check.h>

#include "guest_watch.h"
#include "job_fixture.h"

#define MIB 1048576ULL

static virTypedParameterPtr params;
static int count, room;

static void add(const char *name, unsigned long long value)
{
    ck_assert_int_eq(virTypedParamsAddULLong(&params, &count, &room, name, value), 0);
}

static void add_int(const char *name, int value)
{
    ck_assert_int_eq(virTypedParamsAddInt(&params, &count, &room, name, value), 0);
}

static struct guest_stats take(void)
{
    struct guest_stats stats;

    guest_stats_take(params, count, &stats);
    virTypedParamsFree(params, count);
    params = NULL;
    count = room = 0;
    return stats;
}

START_TEST(every_figure_is_taken_by_its_name)
{
    struct guest_stats stats;

    add_int(VIR_DOMAIN_JOB_OPERATION, VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT);
    add(VIR_DOMAIN_JOB_TIME_ELAPSED, 1);
    add(VIR_DOMAIN_JOB_MEMORY_TOTAL, 2);
    add(VIR_DOMAIN_JOB_MEMORY_PROCESSED, 3);
    add(VIR_DOMAIN_JOB_MEMORY_REMAINING, 4);
    add(VIR_DOMAIN_JOB_MEMORY_BPS, 5);
    add(VIR_DOMAIN_JOB_DISK_TOTAL, 6);
    add(VIR_DOMAIN_JOB_DISK_PROCESSED, 7);
    add(VIR_DOMAIN_JOB_DISK_REMAINING, 8);
    add(VIR_DOMAIN_JOB_DISK_BPS, 9);
    add(VIR_DOMAIN_JOB_MEMORY_ITERATION, 10);
    add(VIR_DOMAIN_JOB_DOWNTIME, 11);
    add(VIR_DOMAIN_JOB_SETUP_TIME, 12);
    add_int(VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE, 30);
    stats = take();
    ck_assert_int_eq(stats.operation, VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT);
    ck_assert_uint_eq(stats.elapsed_ms, 1);
    ck_assert_uint_eq(stats.memory_total, 2);
    ck_assert_uint_eq(stats.memory_done, 3);
    ck_assert_uint_eq(stats.memory_left, 4);
    ck_assert_uint_eq(stats.memory_rate, 5);
    ck_assert_uint_eq(stats.disk_total, 6);
    ck_assert_uint_eq(stats.disk_done, 7);
    ck_assert_uint_eq(stats.disk_left, 8);
    ck_assert_uint_eq(stats.disk_rate, 9);
    ck_assert_uint_eq(stats.iteration, 10);
    ck_assert_uint_eq(stats.downtime_ms, 11);
    ck_assert_uint_eq(stats.setup_ms, 12);
    ck_assert_int_eq(stats.throttle, 30);
    ck_assert(!stats.postcopy);
}
END_TEST

START_TEST(what_is_not_told_is_nothing)
{
    struct guest_stats stats = take(), nothing = { .type = VIR_DOMAIN_JOB_COMPLETED };

    ck_assert_mem_eq(&stats, &nothing, sizeof(stats));
}
END_TEST

/* libvirt counts pages. */
START_TEST(dirty_memory_is_in_bytes)
{
    add(VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE, 100);
    add(VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, 65536);
    ck_assert_uint_eq(take().dirty_rate, 6553600);
    add(VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE, 100);
    ck_assert_uint_eq(take().dirty_rate, 409600);
}
END_TEST

START_TEST(an_event_may_tell_of_a_failure)
{
    ck_assert_int_eq(virTypedParamsAddBoolean(&params, &count, &room, VIR_DOMAIN_JOB_SUCCESS, 0), 0);
    ck_assert_int_eq(take().type, VIR_DOMAIN_JOB_FAILED);
    ck_assert_int_eq(virTypedParamsAddBoolean(&params, &count, &room, VIR_DOMAIN_JOB_SUCCESS, 1), 0);
    ck_assert_int_eq(take().type, VIR_DOMAIN_JOB_COMPLETED);
}
END_TEST

/* Packs what is expected, and looks whether it is just that and fits the schema. */
static void expect(const struct guest_stats *stats, json_t *wanted)
{
    const struct schema *schema =
        schema_store_find(fixture_schemas, "https://virtjob.io/schemas/1/common.json#/$defs/transfer");
    AUTO(json) json_t *transfer = guest_stats_describe(stats);
    AUTO(json) json_t *owned = wanted;
    AUTO(string) char *text = json_dumps(transfer, JSON_SORT_KEYS);
    struct error err = ERROR_INIT;

    ck_assert_msg(json_equal(transfer, owned), "%s", text);
    ck_assert_msg(schema_check(schema, transfer, "", &err) == 0, "%s at %s", err.message, err.where);
}

START_TEST(a_migration_is_described_with_its_downtime)
{
    struct guest_stats stats = { .operation = VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT,
                                 .elapsed_ms = 2100,
                                 .memory_done = 96 * MIB,
                                 .disk_done = 32 * MIB,
                                 .iteration = 4,
                                 .downtime_ms = 23 };

    expect(&stats, json_pack("{s:I, s:I, s:i, s:i, s:I, s:I}", "bytes", (json_int_t)(128 * MIB), "time_ms",
                             (json_int_t)2100, "downtime_ms", 23, "iterations", 4, "memory_bytes",
                             (json_int_t)(96 * MIB), "disk_bytes", (json_int_t)(32 * MIB)));
}
END_TEST

/* The guest stands still for all of it. */
START_TEST(a_save_is_described_without_a_downtime)
{
    struct guest_stats stats = { .operation = VIR_DOMAIN_JOB_OPERATION_SAVE,
                                 .elapsed_ms = 900,
                                 .memory_done = 40 * MIB,
                                 .iteration = 1,
                                 .downtime_ms = 890 };

    expect(&stats, json_pack("{s:I, s:I, s:i, s:I}", "bytes", (json_int_t)(40 * MIB), "time_ms",
                             (json_int_t)900, "iterations", 1, "memory_bytes", (json_int_t)(40 * MIB)));
}
END_TEST

START_TEST(a_driver_without_statistics_has_nothing_at_work)
{
    AUTO(domain) virDomainPtr dom = virDomainLookupByName(fixture_conn, "test");
    struct guest_stats stats = { .type = VIR_DOMAIN_JOB_FAILED };
    struct error err = ERROR_INIT;

    ck_assert_int_eq(guest_stats_read(dom, false, &stats, &err), 0);
    ck_assert_int_eq(stats.type, VIR_DOMAIN_JOB_NONE);
    stats.type = VIR_DOMAIN_JOB_FAILED;
    ck_assert_int_eq(guest_stats_read(dom, true, &stats, &err), 0);
    ck_assert_int_eq(stats.type, VIR_DOMAIN_JOB_NONE);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { every_figure_is_taken_by_its_name,
                                   what_is_not_told_is_nothing,
                                   dirty_memory_is_in_bytes,
                                   an_event_may_tell_of_a_failure,
                                   a_migration_is_described_with_its_downtime,
                                   a_save_is_described_without_a_downtime,
                                   a_driver_without_statistics_has_nothing_at_work,
                                   NULL };

    return fixture_main("guest_stats", fixture_setup, tests);
}
