/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* host.orphans: what jobs have left on the host; and with `reap`, away with what nobody will finish.
 *
 * It claims nothing, for what it removes nobody has in hand; and it may be repeated, for what is gone is not found
 * again. */

#include "host_internal.h"

#include "orphans.h"

#define MIN_AGE_DEFAULT_S 3600
#define LIMIT_DEFAULT     1000

static int reaping_safe_point(void *opaque, struct error *err)
{
    return job_safe_point(opaque, err);
}

static json_t *orphan_stamp_json(const struct orphan *orphan)
{
    const struct stamp *stamp = &orphan->stamp;
    json_t *json =
        json_pack("{s:s, s:b}", "state", orphan_state_name(stamp->state), "part", (int)stamp->part);

    if (stamp->job[0])
        json_object_set_new(json, "job", json_string(stamp->job));
    if (stamp->type[0])
        json_object_set_new(json, "type", json_string(stamp->type));
    if (orphan->age_s >= 0)
        json_object_set_new(json, "age_s", json_integer(orphan->age_s));
    return json;
}

static json_t *orphan_json(const struct orphan *orphan)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:o}", "kind", orphan_kind_name(orphan->kind), "verdict",
                             orphan_verdict_name(orphan->verdict), "why", orphan->why, "stamp",
                             orphan_stamp_json(orphan));

    if (orphan->kind == ORPHAN_GUEST)
        json_object_update_new(json, json_pack("{s:s, s:s, s:b}", "guest", orphan->name, "uuid", orphan->uuid,
                                               "active", (int)orphan->active));
    else
        json_object_update_new(json, json_pack("{s:s, s:s}", "pool", orphan->pool, "volume", orphan->name));
    if (orphan->kind == ORPHAN_VOLUME)
        json_object_set_new(json, "allocation", json_integer((json_int_t)orphan->allocation));
    return json;
}

/* One that could not be removed does not stop the rest, unless no other could be either. 1 removed, 0 not, -1. */
static int reap_one(struct job *job, const struct orphan *orphan, json_t *json, struct error *err)
{
    struct error failure = ERROR_INIT;

    if (job_safe_point(job, err) < 0)
        return -1;
    if (orphan_reap(job->conn, orphan, &failure) == 0) {
        job_changed(job);
        return json_object_set_new(json, "reaped", json_true()) < 0 ? error_set_memory(err) : 1;
    }
    if (failure.code == ERROR_CONNECTION_LOST) {
        *err = failure;
        return -1;
    }
    json_object_set_new(json, "reaped", json_false());
    return json_object_set_new(json, "error", error_to_json(&failure)) < 0 ? error_set_memory(err) : 0;
}

static int reap_all(struct job *job, const struct orphans *orphans, json_t *list, size_t *ret_reaped,
                    struct error *err)
{
    size_t count = json_array_size(list);
    int rc;

    if (!job_flag(job->params, "reap", false))
        return 0;
    if (job_step(job, "reap", err) < 0)
        return -1;
    progress_phase(job_progress(job), "reap", "finds");
    for (size_t i = 0; i < count; i++) {
        progress_update(job_progress(job), i, count);
        if (!orphan_is_reapable(&orphans->items[i]))
            continue;
        if ((rc = reap_one(job, &orphans->items[i], json_array_get(list, i), err)) < 0)
            return -1;
        *ret_reaped += (size_t)rc;
    }
    progress_finish(job_progress(job));
    return 0;
}

static int list_all(struct job *job, const struct orphans *orphans, json_t *list, struct error *err)
{
    size_t limit = (size_t)job_integer(job->params, "limit", LIMIT_DEFAULT);

    for (size_t i = 0; i < orphans->count && i < limit; i++)
        if (json_array_append_new(list, orphan_json(&orphans->items[i])) < 0)
            return error_set_memory(err);
    return 0;
}

static size_t count_reapable(const struct orphans *orphans)
{
    size_t count = 0;

    for (size_t i = 0; i < orphans->count; i++)
        count += orphan_is_reapable(&orphans->items[i]);
    return count;
}

int host_orphans(struct job *job, json_t **ret_result, struct error *err)
{
    const struct orphans_settings settings = {
        .min_age_s = job_integer(job->params, "min_age_s", MIN_AGE_DEFAULT_S),
        .safe_point = reaping_safe_point,
        .opaque = job,
    };
    AUTO(orphans) struct orphans orphans = { 0 };
    AUTO(json) json_t *list = json_array();
    size_t reaped = 0;

    if (!list)
        return error_set_memory(err);
    if (job_step(job, "look", err) < 0 || orphans_find(job->conn, &settings, &orphans, err) < 0 ||
        list_all(job, &orphans, list, err) < 0 || reap_all(job, &orphans, list, &reaped, err) < 0)
        return -1;
    *ret_result = json_pack("{s:O, s:O, s:I, s:I, s:b}", "orphans", list, "unseen", orphans.unseen,
                            "reapable", (json_int_t)count_reapable(&orphans), "reaped", (json_int_t)reaped,
                            "truncated", (int)(json_array_size(list) < orphans.count));
    return *ret_result ? 0 : error_set_memory(err);
}
