/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Runs jobs of any type, from text to outcome, on libvirt's test driver. Every outcome is checked against the schema of
 * its type, so no test has to. Each test has a host of its own, for check runs it in a process of its own. */

#ifndef VIRTJOB_JOB_FIXTURE_H
#define VIRTJOB_JOB_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "envelope.h"
#include "hypervisor.h"
#include "job_run.h"
#include "jobs.h"
#include "schemas.h"
#include "xml.h"

#define FIXTURE_JOB_ID "5f0c5a5e-0c7b-4a86-93f5-0f6f4a7f3f0e"

static struct schema_store *fixture_schemas;
static struct envelope_rules *fixture_rules;
static struct hypervisor *fixture_hypervisor;
static virConnectPtr fixture_conn; /* the test's own view on the host */

/* Of the jobs that follow: the id; whether an earlier attempt may have begun; whether they are cancelled before they run;
 * whether their stamps are cleared afterwards, as when the outcome is safe. */
static const char *fixture_id = FIXTURE_JOB_ID;
static bool fixture_again;
static bool fixture_cancelled;
static bool fixture_sweeps;

/* What they may reach beside their host. */
static struct job_reach fixture_reach;

/* What the outcome of the last job was. */
static struct outcome fixture_outcome;

static inline void fixture_setup(void)
{
    struct error err = ERROR_INIT;

    xml_init();
    ck_assert_msg((fixture_schemas = schemas_load(&err)) != NULL, "%s", err.message);
    ck_assert((fixture_rules = envelope_rules_new(fixture_schemas, NULL, "virtjob", &err)) != NULL);
    ck_assert_msg(hypervisor_loop_start(&err) == 0, "%s", err.message);
    ck_assert((fixture_hypervisor = hypervisor_new("node1", "test:///default", 1000, &err)) != NULL);
    ck_assert((fixture_conn = virConnectOpen("test:///default")) != NULL);
}

static inline void fixture_teardown(void)
{
    outcome_done(&fixture_outcome);
    virConnectClose(fixture_conn);
    hypervisor_free(fixture_hypervisor);
    hypervisor_loop_stop();
    envelope_rules_free(fixture_rules);
    schema_store_free(fixture_schemas);
}

static inline void fixture_check_result(const char *type)
{
    struct error err = ERROR_INIT;
    char uri[128];

    snprintf(uri, sizeof(uri), "%s.json#/$defs/result", type);
    ck_assert_msg(schema_check(schema_store_find(fixture_schemas, uri), fixture_outcome.result, "", &err) ==
                      0,
                  "the result of %s: %s at %s", type, err.message, err.where);
}

/* The job in `params` (stolen), as it would run in the daemon: an invalid one ends as failed, too. */
static inline const struct outcome *fixture_run(const char *type, json_t *params, bool rollback)
{
    json_t *document = json_pack("{s:s, s:s, s:s, s:o, s:s}", "id", fixture_id, "type", type, "host", "node1",
                                 "params", params, "on_failure", rollback ? "rollback" : "keep");
    char *text = json_dumps(document, 0);
    struct request request = { 0 };
    struct job_run_settings settings = { .request = &request,
                                         .type = job_type_find(job_tables, type),
                                         .hypervisor = fixture_hypervisor,
                                         .reach = &fixture_reach,
                                         .progress_interval_ms = 100,
                                         .quiet_ms = 1000,
                                         .again = fixture_again,
                                         .attempt = 1,
                                         .max_attempts = 1 };
    struct job_run *run;

    ck_assert(text != NULL);
    ck_assert(settings.type != NULL);
    outcome_done(&fixture_outcome);
    fixture_outcome = (struct outcome){ .state = OUTCOME_FAILED };
    if (envelope_parse_document(fixture_rules, text, strlen(text), &request, &fixture_outcome.error) == 0) {
        ck_assert((run = job_run_new(&settings, NULL)) != NULL);
        if (fixture_cancelled)
            job_run_cancel(run, NULL);
        job_run_execute(run, &fixture_outcome);
        if (fixture_sweeps)
            ck_assert_int_eq(job_run_sweep(run, NULL), 0);
        job_run_free(run);
    }
    if (fixture_outcome.state == OUTCOME_SUCCEEDED)
        fixture_check_result(type);
    request_done(&request);
    json_decref(document);
    free(text);
    return &fixture_outcome;
}

/* json_pack of `fmt` as parameters; must succeed. Lends the result. */
#define fixture_succeed(type, ...) fixture_succeed_with(type, json_pack(__VA_ARGS__))

static inline json_t *fixture_succeed_with(const char *type, json_t *params)
{
    const struct outcome *outcome = fixture_run(type, params, true);

    ck_assert_msg(outcome->state == OUTCOME_SUCCEEDED, "%s: %s at %s", type, outcome->error.message,
                  outcome->error.where);
    return outcome->result;
}

/* The same; must fail with this code, at this JSON pointer (NULL: anywhere). */
#define fixture_fail(code, where, type, ...) fixture_fail_with(code, where, type, json_pack(__VA_ARGS__))

static inline const struct outcome *fixture_fail_with(enum error_code code, const char *where,
                                                      const char *type, json_t *params)
{
    const struct outcome *outcome = fixture_run(type, params, true);

    ck_assert_msg(outcome->state != OUTCOME_SUCCEEDED, "%s succeeded", type);
    ck_assert_msg(outcome->error.code == code, "%s: %s, not %s: %s", type, error_name(outcome->error.code),
                  error_name(code), outcome->error.message);
    if (where)
        ck_assert_str_eq(outcome->error.where, where);
    return outcome;
}

/* The string at `key` of a result. */
static inline const char *fixture_string(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    ck_assert_msg(text != NULL, "no '%s'", key);
    return text;
}

/* Runs the suite with one case that has all tests of a NULL-terminated list; `setup` is fixture_setup or calls it. */
static inline int fixture_main(const char *name, void (*setup)(void), const TTest *const *tests)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, setup, fixture_teardown);
    tcase_set_timeout(tcase, 30);
    for (; *tests; tests++)
        tcase_add_test(tcase, *tests);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

#endif
