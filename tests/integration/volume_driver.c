/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Runs jobs on a host as a worker would, but told by lines on standard input what the worker's own stages would know;
 * and tells all as JSON lines on standard output: for volume-adopt and volume-stamp.
 *
 * The argument is the host's URI. Orders, an answer for each but the last three, which concern the job under way:
 *   run FLAGS JOB     FLAGS: a it may have been begun before, c it is cancelled already, s sweeps when it has ended,
 *                     - none; an outcome, in the end
 *   sweep JOB         as of a job whose outcome is known
 *   read POOL VOLUME, finish POOL VOLUME, clear POOL VOLUME ID   of a record
 *   make|write POOL VOLUME RECORD, as JSON
 *   cancel, give-up, end */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "cleanup.h"
#include "envelope.h"
#include "hypervisor.h"
#include "job_run.h"
#include "jobs.h"
#include "schemas.h"
#include "stamp.h"
#include "xml.h"

static struct envelope_rules *rules;
static struct hypervisor *hypervisor;
static virConnectPtr conn;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards standard output */

/* The job under way, and its thread. */
static struct request request;
static struct job_run *run;
static pthread_t thread;
static bool sweeps;

static void say(json_t *event)
{
    char *text = json_dumps(event, JSON_COMPACT);
    SCOPE_LOCK(&lock);

    puts(text);
    fflush(stdout);
    free(text);
    json_decref(event);
}

static void say_error(int rc, const struct error *err)
{
    say(rc == 0 ? json_pack("{s:s}", "event", "ok")
                : json_pack("{s:s, s:o}", "event", "error", "error", error_to_json(err)));
}

static void on_report(void *opaque, const char *state, json_t *data)
{
    (void)opaque;
    say(json_pack("{s:s, s:o}", "event", state, "data", data));
}

static const char *state_name(enum outcome_state state)
{
    if (state == OUTCOME_RETRY)
        return "retry";
    return state == OUTCOME_GIVEN_UP ? "given-up" : outcome_state_name(state);
}

static json_t *outcome_json(const struct outcome *outcome)
{
    json_t *json =
        json_pack("{s:s, s:s, s:b, s:b, s:s}", "event", "outcome", "state", state_name(outcome->state),
                  "adopted", outcome->adopted, "changed", outcome->changed, "step", outcome->step);

    json_object_set(json, "result", outcome->result);
    json_object_set(json, "rollback", outcome->rollback);
    if (outcome->error.code != ERROR_NONE) {
        json_object_set_new(json, "error", error_to_json(&outcome->error));
        json_object_set_new(json, "transient", json_boolean(error_is_transient(&outcome->error)));
    }
    return json;
}

static void *on_thread(void *opaque)
{
    struct outcome outcome = { .state = OUTCOME_FAILED };
    struct error err = ERROR_INIT;

    (void)opaque;
    job_run_execute(run, &outcome);
    if (sweeps && job_run_sweep(run, &err) < 0)
        say_error(-1, &err);
    say(outcome_json(&outcome));
    outcome_done(&outcome);
    return NULL;
}

static void end_run(void)
{
    if (!run)
        return;
    pthread_join(thread, NULL);
    job_run_free(run);
    run = NULL;
    request_done(&request);
}

static struct job_run *new_run(const char *job, bool again, struct error *err)
{
    struct job_run_settings settings = { .request = &request,
                                         .hypervisor = hypervisor,
                                         .progress_interval_ms = 50,
                                         .again = again,
                                         .attempt = 1,
                                         .max_attempts = 1,
                                         .report = on_report };

    if (envelope_parse_document(rules, job, strlen(job), &request, err) < 0)
        return NULL;
    settings.type = job_type_find(job_tables, request.type);
    return job_run_new(&settings, err);
}

static void order_run(const char *flags, const char *job)
{
    struct error err = ERROR_INIT;

    end_run();
    sweeps = strchr(flags, 's') != NULL;
    run = new_run(job, strchr(flags, 'a') != NULL, &err);
    if (run && strchr(flags, 'c'))
        job_run_cancel(run, NULL);
    if (run)
        pthread_create(&thread, NULL, on_thread, NULL);
    else
        say_error(-1, &err);
}

static void order_sweep(const char *job)
{
    struct error err = ERROR_INIT;
    struct job_run *ended;

    end_run();
    ended = new_run(job, true, &err);
    say_error(ended ? job_run_sweep(ended, &err) : -1, &err);
    job_run_free(ended);
    request_done(&request);
}

static json_t *stamp_json(const struct stamp *stamp)
{
    static const char *const states[] = { "none", "blank", "intended", "done" };
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:b}", "event", "stamp", "state",
                             states[stamp->state], "job", stamp->job, "type", stamp->type, "part",
                             stamp->part, "age_ms", (json_int_t)stamp_age_ms(stamp), "capacity",
                             (json_int_t)stamp->capacity, "dated", stamp->time_ms > 0);

    json_object_set(json, "result", stamp->result);
    return json;
}

static int order_read(virStoragePoolPtr pool, const char *volume, struct error *err)
{
    AUTO(stamp) struct stamp stamp = { .state = STAMP_NONE };

    if (stamp_read_volume(pool, volume, &stamp, err) < 0)
        return -1;
    say(stamp_json(&stamp));
    return 0;
}

static void stamp_of(const char *text, struct stamp *ret_stamp)
{
    AUTO(json) json_t *json = json_loads(text, 0, NULL);

    *ret_stamp = (struct stamp){
        .state = strcmp(job_string(json, "state", ""), "done") == 0 ? STAMP_DONE : STAMP_INTENDED,
        .part = job_flag(json, "part", false),
        .capacity = (uint64_t)job_integer(json, "capacity", 0),
        .result = json_incref(json_object_get(json, "result")),
    };
    snprintf(ret_stamp->job, sizeof(ret_stamp->job), "%s", job_string(json, "job", ""));
    snprintf(ret_stamp->type, sizeof(ret_stamp->type), "%s", job_string(json, "type", ""));
}

static int order_write(virStoragePoolPtr pool, const char *verb, const char *volume, const char *text,
                       struct error *err)
{
    AUTO(stamp) struct stamp stamp;
    bool kept = true;
    int rc;

    stamp_of(text, &stamp);
    rc = strcmp(verb, "make") == 0 ? stamp_intend_volume(pool, volume, &stamp, &kept, err)
                                   : stamp_write_volume(pool, volume, &stamp, err);
    if (rc == 0)
        say(json_pack("{s:s, s:b}", "event", "ok", "kept", kept));
    return rc;
}

static int order_finish(virStoragePoolPtr pool, const char *volume, struct error *err)
{
    if (stamp_finish_volume(pool, volume, err) < 0)
        return -1;
    say_error(0, err);
    return 0;
}

static int order_clear(virStoragePoolPtr pool, const char *volume, const char *id, struct error *err)
{
    if (stamp_clear_volume(pool, volume, *id ? id : NULL, err) < 0)
        return -1;
    say_error(0, err);
    return 0;
}

/* "POOL VOLUME [REST]" */
static void order_record(const char *verb, char *words)
{
    char *rest = words;
    const char *pool_name = strsep(&rest, " "), *volume = strsep(&rest, " ");
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(conn, pool_name);
    struct error err = ERROR_INIT;
    int rc;

    if (!pool)
        rc = error_set_libvirt(&err, "looking up pool '%s'", pool_name);
    else if (strcmp(verb, "read") == 0)
        rc = order_read(pool, volume, &err);
    else if (strcmp(verb, "finish") == 0)
        rc = order_finish(pool, volume, &err);
    else if (strcmp(verb, "clear") == 0)
        rc = order_clear(pool, volume, rest ? rest : "", &err);
    else
        rc = order_write(pool, verb, volume, rest ? rest : "", &err);
    if (rc < 0)
        say_error(rc, &err);
}

static bool order(char *line)
{
    char *rest = line;
    const char *verb = strsep(&rest, " ");

    if (strcmp(verb, "end") == 0)
        return false;
    if (strcmp(verb, "cancel") == 0 && run)
        job_run_cancel(run, NULL);
    else if (strcmp(verb, "give-up") == 0 && run)
        job_run_hold(run, JOB_GIVEN_UP);
    else if (strcmp(verb, "run") == 0 && rest) {
        const char *flags = strsep(&rest, " ");
        order_run(flags, rest);
    } else if (strcmp(verb, "sweep") == 0 && rest)
        order_sweep(rest);
    else if (rest)
        order_record(verb, rest);
    return true;
}

static void be_quiet(void *opaque, virErrorPtr said)
{
    (void)opaque;
    (void)said;
}

int main(int argc, char **argv)
{
    AUTO(string) char *line = NULL;
    struct error err = ERROR_INIT;
    struct schema_store *schemas;
    size_t size = 0;

    xml_init();
    virSetErrorFunc(NULL, be_quiet);
    if (argc != 2 || !(schemas = schemas_load(&err)) ||
        !(rules = envelope_rules_new(schemas, NULL, "virtjob", &err)) || hypervisor_loop_start(&err) < 0 ||
        !(hypervisor = hypervisor_new("node1", argv[1], 10000, &err)) || !(conn = virConnectOpen(argv[1]))) {
        fprintf(stderr, "volume_driver: %s\n", err.message);
        return 1;
    }
    while (getline(&line, &size, stdin) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (!order(line))
            break;
    }
    end_run();
    virConnectClose(conn);
    hypervisor_free(hypervisor);
    hypervisor_loop_stop();
    envelope_rules_free(rules);
    schema_store_free(schemas);
    return 0;
}
