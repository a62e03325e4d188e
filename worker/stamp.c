/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A stamp as a value, and as JSON. */

#include "stamp_internal.h"

#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "envelope.h"

void stamp_done(struct stamp *stamp)
{
    json_decref(stamp->result);
    *stamp = (struct stamp){ .state = STAMP_NONE };
}

bool stamp_is_of(const struct stamp *stamp, const char *job)
{
    return (stamp->state == STAMP_INTENDED || stamp->state == STAMP_DONE) && strcmp(stamp->job, job) == 0;
}

int64_t stamp_age_ms(const struct stamp *stamp)
{
    int64_t now_ms = envelope_now_ms();

    if (stamp->time_ms <= 0)
        return INT64_MAX;
    return now_ms > stamp->time_ms ? now_ms - stamp->time_ms : 0;
}

char *stamp_to_text(const struct stamp *stamp, struct error *err)
{
    int64_t time_ms = stamp->time_ms ? stamp->time_ms : envelope_now_ms();
    AUTO(json) json_t *json =
        json_pack("{s:s, s:s, s:s, s:b, s:I, s:I, s:O*}", "job", stamp->job, "type", stamp->type, "state",
                  stamp->state == STAMP_DONE ? "done" : "intended", "part", stamp->part, "time_ms",
                  (json_int_t)time_ms, "capacity", (json_int_t)stamp->capacity, "result", stamp->result);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    if (!text)
        error_set_memory(err);
    return text;
}

static bool text_fits(const json_t *value, size_t size)
{
    size_t length = json_string_length(value);

    return length > 0 && length < size && strlen(json_string_value(value)) == length;
}

static bool stamp_read_members(const json_t *json, struct stamp *stamp)
{
    const json_t *job = json_object_get(json, "job"), *type = json_object_get(json, "type");
    const char *state = json_string_value(json_object_get(json, "state"));

    if (!text_fits(job, sizeof(stamp->job)) || !text_fits(type, sizeof(stamp->type)) || !state)
        return false;
    if (strcmp(state, "intended") != 0 && strcmp(state, "done") != 0)
        return false;
    stamp->state = state[0] == 'd' ? STAMP_DONE : STAMP_INTENDED;
    snprintf(stamp->job, sizeof(stamp->job), "%s", json_string_value(job));
    snprintf(stamp->type, sizeof(stamp->type), "%s", json_string_value(type));
    stamp->part = json_is_true(json_object_get(json, "part"));
    stamp->time_ms = json_integer_value(json_object_get(json, "time_ms"));
    stamp->capacity = (uint64_t)json_integer_value(json_object_get(json, "capacity"));
    stamp->result = json_incref(json_object_get(json, "result"));
    return true;
}

void stamp_from_text(const char *text, size_t length, struct stamp *ret_stamp)
{
    AUTO(json) json_t *json = json_loadb(text, length, 0, NULL);

    *ret_stamp = (struct stamp){ .state = STAMP_BLANK };
    stamp_read_members(json, ret_stamp);
}

void stamp_time_text(int64_t ms, char ret_text[STAMP_TIME_SIZE])
{
    envelope_time_text(ms, ret_text);
}
