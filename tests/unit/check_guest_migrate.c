/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What of a migration needs no second host: parameters made into flags, what is refused at once, and where a guest is by what is
 * seen of it. */

#include "job_fixture.h"

#include "guest_migrate_internal.h"

/* Parameters, as JSON in single quotes. */
static json_t *params_of(const char *text)
{
    char *quoted = strdup(text);
    json_t *params;

    for (char *at = quoted; *at; at++)
        if (*at == '\'')
            *at = '"';
    params = json_loads(quoted, 0, NULL);
    ck_assert_msg(params != NULL, "%s", text);
    free(quoted);
    return params;
}

/* Of a guest that is persistent. */
static unsigned int flags_of(const char *text)
{
    AUTO(json) json_t *params = params_of(text);
    struct migration_plan plan;
    struct error err = ERROR_INIT;

    ck_assert_msg(migration_plan_read(params, true, &plan, &err) == 0, "%s: %s", text, err.message);
    return plan.flags;
}

#define USUAL                                                                                                \
    (VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_LIVE | VIR_MIGRATE_PERSIST_DEST | VIR_MIGRATE_UNDEFINE_SOURCE)

START_TEST(a_persistent_guest_moves_live_and_with_its_definition)
{
    ck_assert_uint_eq(flags_of("{}"), USUAL);
    ck_assert_uint_eq(flags_of("{'live': false}"), USUAL & ~VIR_MIGRATE_LIVE);
    ck_assert_uint_eq(flags_of("{'undefine_source': false}"), USUAL & ~VIR_MIGRATE_UNDEFINE_SOURCE);
    ck_assert_uint_eq(flags_of("{'persistent': false}"), VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_LIVE);
}
END_TEST

START_TEST(a_transient_guest_stays_so_unless_asked)
{
    AUTO(json) json_t *params = params_of("{}");
    AUTO(json) json_t *persistent = params_of("{'persistent': true}");
    struct migration_plan plan;

    ck_assert_int_eq(migration_plan_read(params, false, &plan, NULL), 0);
    ck_assert_uint_eq(plan.flags, VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_LIVE);
    ck_assert_int_eq(migration_plan_read(persistent, false, &plan, NULL), 0);
    ck_assert_uint_eq(plan.flags, VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_LIVE | VIR_MIGRATE_PERSIST_DEST);
}
END_TEST

START_TEST(a_guest_that_is_off_moves_as_a_definition)
{
    ck_assert_uint_eq(flags_of("{'offline': true}"), (USUAL & ~VIR_MIGRATE_LIVE) | VIR_MIGRATE_OFFLINE);
}
END_TEST

START_TEST(each_parameter_has_its_flag)
{
    static const struct {
        const char *params;
        unsigned int flag;
    } rows[] = {
        { "{'paused': true}", VIR_MIGRATE_PAUSED },
        { "{'copy_storage': 'all'}", VIR_MIGRATE_NON_SHARED_DISK },
        { "{'copy_storage': 'inc'}", VIR_MIGRATE_NON_SHARED_INC },
        { "{'copy_storage': 'none'}", 0 },
        { "{'tunnelled': true}", VIR_MIGRATE_TUNNELLED },
        { "{'compressed': true}", VIR_MIGRATE_COMPRESSED },
        { "{'auto_converge': true}", VIR_MIGRATE_AUTO_CONVERGE },
        { "{'post_copy': true}", VIR_MIGRATE_POSTCOPY },
        { "{'steering': {'actions': ['pause', 'post-copy']}}", VIR_MIGRATE_POSTCOPY },
        { "{'steering': {'actions': ['auto-converge']}}", 0 }, /* when it is due */
        { "{'unsafe': true}", VIR_MIGRATE_UNSAFE },
        { "{'abort_on_error': true}", VIR_MIGRATE_ABORT_ON_ERROR },
        { "{'tls': true}", VIR_MIGRATE_TLS },
        { "{'parallel': 4}", VIR_MIGRATE_PARALLEL },
        { "{'parallel': 4, 'zero_copy': true}", VIR_MIGRATE_PARALLEL | VIR_MIGRATE_ZEROCOPY },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        ck_assert_msg(flags_of(rows[i].params) == (USUAL | rows[i].flag), "%s", rows[i].params);
}
END_TEST

static void assert_refused(const char *text, const char *where)
{
    AUTO(json) json_t *params = params_of(text);
    struct migration_plan plan;
    struct error err = ERROR_INIT;

    ck_assert_msg(migration_plan_read(params, true, &plan, &err) == -1, "%s is not refused", text);
    ck_assert_msg(err.code == ERROR_INVALID && strcmp(err.where, where) == 0, "%s: %s at %s", text,
                  err.message, err.where);
}

START_TEST(what_does_not_go_together_is_refused_where_it_is_asked_for)
{
    assert_refused("{'live': true, 'offline': true}", "/params/live");
    assert_refused("{'offline': true, 'persistent': false}", "/params/offline");
    assert_refused("{'offline': true, 'copy_storage': 'all'}", "/params/copy_storage");
    assert_refused("{'offline': true, 'tunnelled': true}", "/params/tunnelled");
    assert_refused("{'offline': true, 'steering': {'stall_s': 5}}", "/params/steering");
    assert_refused("{'offline': true, 'xml': '<domain/>'}", "/params/xml");
    assert_refused("{'post_copy': true, 'live': false}", "/params/post_copy");
    assert_refused("{'post_copy': true, 'paused': true}", "/params/post_copy");
    assert_refused("{'post_copy': true, 'tunnelled': true}", "/params/post_copy");
    assert_refused("{'steering': {'actions': ['abort', 'post-copy']}, 'paused': true}",
                   "/params/steering/actions/1");
    assert_refused("{'copy_storage': 'inc', 'tunnelled': true}", "/params/copy_storage");
    assert_refused("{'parallel': 2, 'tunnelled': true}", "/params/parallel");
    assert_refused("{'tls': true, 'tunnelled': true}", "/params/tls");
    assert_refused("{'disks': ['vda']}", "/params/disks");
    assert_refused("{'disks': ['vda'], 'copy_storage': 'none'}", "/params/disks");
    assert_refused("{'compressed': true, 'parallel': 2}", "/params/compressed");
    assert_refused("{'zero_copy': true}", "/params/zero_copy");
    assert_refused("{'zero_copy': true, 'parallel': 2, 'tls': true}", "/params/zero_copy");
    assert_refused("{'persistent_xml': '<domain/>', 'persistent': false}", "/params/persistent_xml");
    assert_refused("{'xml': '<domain>'}", "/params/xml");
    assert_refused("{'persistent_xml': '<network/>'}", "/params/persistent_xml");
}
END_TEST

START_TEST(what_is_given_as_it_is_by_default_is_not_refused)
{
    flags_of(
        "{'offline': true, 'live': false, 'persistent': true, 'copy_storage': 'none', 'tunnelled': false}");
    flags_of("{'tunnelled': true, 'post_copy': false, 'tls': false, 'zero_copy': false}");
}
END_TEST

/* The value of the index-th of that name, NULL where there are fewer. */
static const char *string_param(virTypedParameterPtr params, int count, const char *name, int index)
{
    for (int i = 0; i < count; i++)
        if (strcmp(params[i].field, name) == 0 && index-- == 0)
            return params[i].value.s;
    return NULL;
}

START_TEST(values_become_typed_parameters)
{
    AUTO(json) json_t *given = params_of("{'name': 'web-8', 'xml': '<domain/>', 'persistent_xml': "
                                         "'<domain/>', 'parallel': 3, 'copy_storage': 'all',"
                                         " 'disks': ['vda', 'vdc'], 'steering': {'bandwidth_mibs': 100}}");
    struct job job = { .params = given };
    struct migration m = { .job = &job, .migrate_uri = "tcp://10.0.0.2" };
    virTypedParameterPtr params = NULL;
    unsigned long long limit = 0;
    int count = 0, connections = 0;

    ck_assert_int_eq(migration_plan_read(given, true, &m.plan, NULL), 0);
    ck_assert_int_eq(migration_plan_params(&m, &params, &count, NULL), 0);
    ck_assert_str_eq(string_param(params, count, VIR_MIGRATE_PARAM_URI, 0), "tcp://10.0.0.2");
    ck_assert_str_eq(string_param(params, count, VIR_MIGRATE_PARAM_DEST_NAME, 0), "web-8");
    ck_assert_str_eq(string_param(params, count, VIR_MIGRATE_PARAM_DEST_XML, 0), "<domain/>");
    ck_assert_str_eq(string_param(params, count, VIR_MIGRATE_PARAM_PERSIST_XML, 0), "<domain/>");
    ck_assert_int_eq(virTypedParamsGetULLong(params, count, VIR_MIGRATE_PARAM_BANDWIDTH, &limit), 1);
    ck_assert_uint_eq(limit, 100);
    ck_assert_int_eq(
        virTypedParamsGetInt(params, count, VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS, &connections), 1);
    ck_assert_int_eq(connections, 3);
    ck_assert_str_eq(string_param(params, count, VIR_MIGRATE_PARAM_MIGRATE_DISKS, 0), "vda");
    ck_assert_str_eq(string_param(params, count, VIR_MIGRATE_PARAM_MIGRATE_DISKS, 1), "vdc");
    ck_assert_ptr_null(string_param(params, count, VIR_MIGRATE_PARAM_MIGRATE_DISKS, 2));
    virTypedParamsFree(params, count);
}
END_TEST

/* Of two displays, one of which has been given another. */
START_TEST(passwords_that_an_xml_leaves_out_go_along)
{
    AUTO(domain)
    virDomainPtr dom = virDomainDefineXML(
        fixture_conn, "<domain type='test'><name>web-7</name><memory>8192</memory><os><type>hvm</type></os>"
                      "<devices><graphics type='vnc' passwd='one' connected='keep'/>"
                      "<graphics type='spice' passwd='two'/></devices></domain>");
    AUTO(json)
    json_t *given = json_pack("{s:s, s:s}", "xml",
                              "<domain><devices><graphics type='spice'/><graphics type='vnc'/>"
                              "<graphics type='vnc'/></devices></domain>",
                              "persistent_xml",
                              "<domain><devices><graphics type='vnc' passwd='new'/></devices></domain>");
    struct job job = { .params = given };
    struct migration m = { .job = &job, .dom = dom };
    virTypedParameterPtr params = NULL;
    int count = 0;

    ck_assert(dom != NULL && given != NULL);
    ck_assert_int_eq(migration_plan_read(given, true, &m.plan, NULL), 0);
    ck_assert_int_eq(migration_plan_params(&m, &params, &count, NULL), 0);
    ck_assert_str_eq(string_param(params, count, VIR_MIGRATE_PARAM_DEST_XML, 0),
                     "<domain><devices><graphics type=\"spice\" passwd=\"two\"/>"
                     "<graphics type=\"vnc\" passwd=\"one\" connected=\"keep\"/>"
                     "<graphics type=\"vnc\"/></devices></domain>\n");
    ck_assert(strstr(string_param(params, count, VIR_MIGRATE_PARAM_PERSIST_XML, 0), "passwd=\"new\"") !=
              NULL);
    virTypedParamsFree(params, count);
}
END_TEST

START_TEST(a_tunnel_needs_no_address)
{
    AUTO(json) json_t *given = params_of("{'tunnelled': true}");
    struct job job = { .params = given };
    struct migration m = { .job = &job, .migrate_uri = "tcp://10.0.0.2" };
    virTypedParameterPtr params = NULL;
    int count = 0;

    ck_assert_int_eq(migration_plan_read(given, true, &m.plan, NULL), 0);
    ck_assert_int_eq(migration_plan_params(&m, &params, &count, NULL), 0);
    ck_assert_int_eq(count, 0);
}
END_TEST

/* Where it is. */

static enum migration_place place_of(enum migration_sight here, enum migration_sight there)
{
    const struct migration_sides sides = { .here = { .sight = here }, .there = { .sight = there } };

    return migration_judge(&sides, false, true);
}

START_TEST(a_live_migration_is_judged_by_both_sides)
{
    /* Rows: here; columns: there; both in the order of enum migration_sight. */
    static const enum migration_place table[6][6] = {
        { PLACE_UNKNOWN, PLACE_UNKNOWN, PLACE_UNKNOWN, PLACE_UNKNOWN, PLACE_UNKNOWN, PLACE_UNKNOWN },
        { PLACE_UNKNOWN, PLACE_NOWHERE, PLACE_NOWHERE, PLACE_THERE, PLACE_BETWEEN, PLACE_BROKEN },
        { PLACE_UNKNOWN, PLACE_NOWHERE, PLACE_NOWHERE, PLACE_HALF, PLACE_BETWEEN, PLACE_BROKEN },
        { PLACE_UNKNOWN, PLACE_HERE, PLACE_HERE, PLACE_BOTH, PLACE_REMNANT, PLACE_BROKEN },
        { PLACE_UNKNOWN, PLACE_BETWEEN, PLACE_BETWEEN, PLACE_BETWEEN, PLACE_BETWEEN, PLACE_BROKEN },
        { PLACE_UNKNOWN, PLACE_BROKEN, PLACE_BROKEN, PLACE_BROKEN, PLACE_BROKEN, PLACE_BROKEN },
    };

    for (int here = SIGHT_UNKNOWN; here <= SIGHT_BROKEN; here++)
        for (int there = SIGHT_UNKNOWN; there <= SIGHT_BROKEN; there++)
            ck_assert_msg(place_of(here, there) == table[here][there], "%d at %d, %d", place_of(here, there),
                          here, there);
}
END_TEST

START_TEST(a_definition_here_may_stay_where_that_was_asked_for)
{
    const struct migration_sides sides = { .here = { .sight = SIGHT_OFF }, .there = { .sight = SIGHT_ON } };

    ck_assert_int_eq(migration_judge(&sides, false, false), PLACE_THERE);
    ck_assert_int_eq(migration_judge(&sides, false, true), PLACE_HALF);
}
END_TEST

START_TEST(what_is_at_work_has_no_end_yet)
{
    struct migration_sides sides = { .here = { .sight = SIGHT_BETWEEN },
                                     .there = { .sight = SIGHT_ON },
                                     .at_work = true };

    ck_assert_int_eq(migration_judge(&sides, false, true), PLACE_AT_WORK);
    sides.there.sight = SIGHT_UNKNOWN;
    ck_assert_int_eq(migration_judge(&sides, false, true), PLACE_AT_WORK);
    sides.here.sight = SIGHT_UNKNOWN;
    ck_assert_int_eq(migration_judge(&sides, false, true), PLACE_UNKNOWN);
}
END_TEST

static enum migration_place offline_place(enum migration_sight here, enum migration_sight there)
{
    const struct migration_sides sides = { .here = { .sight = here }, .there = { .sight = there } };

    return migration_judge(&sides, true, true);
}

START_TEST(an_offline_migration_is_judged_by_definitions)
{
    ck_assert_int_eq(offline_place(SIGHT_OFF, SIGHT_ABSENT), PLACE_HERE);
    ck_assert_int_eq(offline_place(SIGHT_OFF, SIGHT_OFF), PLACE_DEFINED);
    ck_assert_int_eq(offline_place(SIGHT_ABSENT, SIGHT_OFF), PLACE_THERE);
    ck_assert_int_eq(offline_place(SIGHT_ABSENT, SIGHT_ON), PLACE_THERE);
    ck_assert_int_eq(offline_place(SIGHT_ABSENT, SIGHT_ABSENT), PLACE_NOWHERE);
    ck_assert_int_eq(offline_place(SIGHT_OFF, SIGHT_ON), PLACE_HALF);
    ck_assert_int_eq(offline_place(SIGHT_ON, SIGHT_OFF), PLACE_HERE);
}
END_TEST

/* The job, as far as one host goes. */

START_TEST(its_own_host_is_no_destination)
{
    fixture_fail(ERROR_INVALID, "/params/destination", "guest.migrate", "{s:s, s:s}", "guest", "test",
                 "destination", "node1");
}
END_TEST

START_TEST(a_destination_is_a_host_of_the_configuration)
{
    fixture_fail(ERROR_UNKNOWN_HOST, "/params/destination", "guest.migrate", "{s:s, s:s}", "guest", "test",
                 "destination", "node9");
    fixture_fail(ERROR_INVALID, "/params/destination", "guest.migrate", "{s:s, s:s}", "guest", "test",
                 "destination", "qemu+tcp://node2/system");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_persistent_guest_moves_live_and_with_its_definition,
        a_transient_guest_stays_so_unless_asked,
        a_guest_that_is_off_moves_as_a_definition,
        each_parameter_has_its_flag,
        what_does_not_go_together_is_refused_where_it_is_asked_for,
        what_is_given_as_it_is_by_default_is_not_refused,
        values_become_typed_parameters,
        passwords_that_an_xml_leaves_out_go_along,
        a_tunnel_needs_no_address,
        a_live_migration_is_judged_by_both_sides,
        a_definition_here_may_stay_where_that_was_asked_for,
        what_is_at_work_has_no_end_yet,
        an_offline_migration_is_judged_by_definitions,
        its_own_host_is_no_destination,
        a_destination_is_a_host_of_the_configuration,
        NULL,
    };

    return fixture_main("guest_migrate", fixture_setup, tests);
}
