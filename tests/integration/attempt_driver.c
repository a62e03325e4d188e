/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One attempt at a job, in a process that may end in the middle of it as a killed worker does: for tests of what the
 * next attempt makes of that.
 *
 * Arguments: URI, the job as JSON, and any of
 *   again      an earlier attempt may have begun
 *   cancelled  it was cancelled before the attempt
 *   sweep      the outcome is safe: clears the stamps, runs nothing
 *   kill=N     ends at the N-th kill point that it comes to, with status 99
 *   saves=DIR  save images may be there
 *
 * Writes {"state", "adopted", "changed", "result"?, "error"?, "step", "rollback"?, "points"}, where points are the kill
 * points that it came by. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hypervisor.h"
#include "job_run.h"
#include "jobs.h"
#include "kill_point.h"
#include "schemas.h"
#include "xml.h"

#define STATUS_KILLED 99

static json_t *points;
static long kill_at;
static struct job_reach reach;

/* In place of the one that does nothing. */
void kill_point(const char *name)
{
    json_array_append_new(points, json_string(name));
    if (kill_at > 0 && json_array_size(points) == (size_t)kill_at)
        _exit(STATUS_KILLED);
}

static int fail(const char *what, const struct error *err)
{
    fprintf(stderr, "%s: %s\n", what, err->message);
    return 1;
}

static int say(const struct outcome *outcome)
{
    json_t *error = outcome->error.code == ERROR_NONE ? NULL : error_to_json(&outcome->error);
    json_t *said =
        json_pack("{s:s, s:b, s:b, s:O*, s:o*, s:s, s:O*, s:O}", "state", outcome_state_name(outcome->state),
                  "adopted", outcome->adopted, "changed", outcome->changed, "result", outcome->result,
                  "error", error, "step", outcome->step, "rollback", outcome->rollback, "points", points);
    int rc = json_dumpf(said, stdout, JSON_COMPACT);

    json_decref(said);
    return rc < 0;
}

static bool has(char **words, const char *word)
{
    for (; *words; words++)
        if (strcmp(*words, word) == 0)
            return true;
    return false;
}

static void take_values(char **words)
{
    for (; *words; words++) {
        if (strncmp(*words, "kill=", 5) == 0)
            kill_at = strtol(*words + 5, NULL, 10);
        if (strncmp(*words, "saves=", 6) == 0)
            reach.save_folders = *words + 6;
    }
}

static int run(struct hypervisor *hypervisor, const struct request *request, char **words)
{
    struct job_run_settings settings = { .request = request,
                                         .type = job_type_find(job_tables, request->type),
                                         .hypervisor = hypervisor,
                                         .reach = &reach,
                                         .progress_interval_ms = 100,
                                         .quiet_ms = 1000,
                                         .again = has(words, "again"),
                                         .attempt = 1,
                                         .max_attempts = 1 };
    struct error err = ERROR_INIT;
    struct outcome outcome = { .state = OUTCOME_SUCCEEDED };
    struct job_run *job = job_run_new(&settings, &err);
    int rc = 0;

    if (!job)
        return fail("job", &err);
    if (has(words, "cancelled"))
        job_run_cancel(job, NULL);
    if (!has(words, "sweep"))
        job_run_execute(job, &outcome);
    else if (job_run_sweep(job, &err) < 0)
        rc = fail("sweep", &err);
    job_run_free(job);
    rc = rc || say(&outcome);
    outcome_done(&outcome);
    return rc;
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    struct schema_store *schemas;
    struct envelope_rules *rules;
    struct hypervisor *hypervisor;
    struct request request;
    int rc;

    if (argc < 3)
        return 2;
    take_values(argv + 3);
    xml_init();
    if (!(points = json_array()) || !(schemas = schemas_load(&err)) ||
        !(rules = envelope_rules_new(schemas, NULL, "virtjob", &err)) || hypervisor_loop_start(&err) < 0 ||
        !(hypervisor = hypervisor_new("node1", argv[1], 20000, &err)))
        return fail("begin", &err);
    if (envelope_parse_document(rules, argv[2], strlen(argv[2]), &request, &err) < 0)
        return fail("job", &err);
    rc = run(hypervisor, &request, argv + 3);
    request_done(&request);
    hypervisor_free(hypervisor);
    hypervisor_loop_stop();
    envelope_rules_free(rules);
    schema_store_free(schemas);
    json_decref(points);
    return rc;
}
