/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a handler calls: parameters, steps and how to undo them, what is to be told in the outcome. */

#include "job_internal.h"

#include <stdio.h>
#include <string.h>

#include "monotonic.h"

const struct job_type *job_type_find(const struct job_type *const *tables, const char *name)
{
    for (; *tables; tables++)
        for (const struct job_type *type = *tables; type->name; type++)
            if (strcmp(type->name, name) == 0)
                return type;
    return NULL;
}

const char *job_string(const json_t *object, const char *key, const char *fallback)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : fallback;
}

static json_int_t integer_of_real(double real)
{
    if (real >= 0x1p63)
        return INT64_MAX;
    return real < -0x1p63 ? INT64_MIN : (json_int_t)real;
}

json_int_t job_integer(const json_t *object, const char *key, json_int_t fallback)
{
    const json_t *value = json_object_get(object, key);

    if (json_is_real(value)) /* 1.0 is an integer to JSON Schema, and so is 1e300 */
        return integer_of_real(json_real_value(value));
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

bool job_flag(const json_t *object, const char *key, bool fallback)
{
    const json_t *value = json_object_get(object, key);

    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

int job_step(struct job *job, const char *step, struct error *err)
{
    struct job_run *run = job_run_of(job);

    if (job_safe_point(job, err) < 0)
        return -1;
    snprintf(run->step, sizeof(run->step), "%s", step);
    return 0;
}

void job_step_named(struct job *job, const char *step)
{
    struct job_run *run = job_run_of(job);

    snprintf(run->step, sizeof(run->step), "%s", step);
}

static bool undo_is_known(const struct job_run *run, job_undo_function function, const json_t *state)
{
    for (const struct undo *undo = run->undos; undo; undo = undo->below)
        if (undo->function == function && json_equal(undo->state, state))
            return true;
    return false;
}

int job_undo(struct job *job, const char *what, job_undo_function function, json_t *state, struct error *err)
{
    struct job_run *run = job_run_of(job);
    bool known = state && undo_is_known(run, function, state);
    struct undo *undo = state && !known ? calloc(1, sizeof(*undo)) : NULL;

    if (known) {
        json_decref(state);
        return 0;
    }
    if (!undo) {
        json_decref(state);
        return error_set_memory(err);
    }
    snprintf(undo->step, sizeof(undo->step), "%s", run->step);
    undo->what = what;
    undo->function = function;
    undo->state = state;
    undo->below = run->undos;
    run->undos = undo;
    return 0;
}

void job_adopted(struct job *job)
{
    job_run_of(job)->adopted = true;
}

void job_settled(struct job *job)
{
    job_run_of(job)->left = RUN_SETTLED;
}

void job_uncertain(struct job *job)
{
    job_run_of(job)->left = RUN_UNCERTAIN;
}

void job_unchanged(struct job *job)
{
    job_run_of(job)->unchanged = true;
}

void job_changed(struct job *job)
{
    job_run_of(job)->has_changed = true;
}

void job_choice(struct job *job, const char *method, const char *why)
{
    struct job_run *run = job_run_of(job);

    json_decref(run->choice);
    run->choice = json_pack("{s:s, s:s}", "method", method, "why", why);
}

int64_t job_age_s(struct job *job)
{
    const struct job_run *run = job_run_of(job)->root;
    int64_t age_s = (monotonic_now_ms() - run->begun_ms) / 1000;
    int64_t whole_s =
        run->settings.begun_s > 0 ? envelope_now_ms() / 1000 - (int64_t)run->settings.begun_s : 0;

    return whole_s > age_s ? whole_s : age_s;
}

struct progress *job_progress(struct job *job)
{
    return job_run_of(job)->progress;
}

int job_query_begin(struct job *job, virConnectPtr *ret_conn, struct error *err)
{
    return hypervisor_acquire(job_run_of(job)->settings.hypervisor, HYPERVISOR_QUERY, ret_conn, err);
}

int job_query_try(struct job *job, virConnectPtr *ret_conn, struct error *err)
{
    return hypervisor_acquire_within(job_run_of(job)->settings.hypervisor, HYPERVISOR_QUERY, 0, ret_conn,
                                     err);
}

void job_query_end(struct job *job, virConnectPtr conn)
{
    hypervisor_release(job_run_of(job)->settings.hypervisor, conn);
}
