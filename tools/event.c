/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Members are reached by path, so that a missing one on the way is no case of its own. */

#include "event.h"

#include <string.h>
#include <time.h>

#include "text.h"

const json_t *event_at(const json_t *object, const char *path)
{
    while (object && *path) {
        const char *slash = strchrnul(path, '/');
        char key[64];
        snprintf(key, sizeof(key), "%.*s", (int)(slash - path), path);
        object = json_object_get(object, key);
        path = *slash ? slash + 1 : slash;
    }
    return object;
}

const char *event_text(const json_t *object, const char *path)
{
    const char *text = json_string_value(event_at(object, path));

    return text ? text : "";
}

double event_number(const json_t *object, const char *path, double fallback)
{
    const json_t *value = event_at(object, path);

    return json_is_number(value) ? json_number_value(value) : fallback;
}

const char *event_kind(const json_t *event)
{
    static const char prefix[] = "io.virtjob.";
    const char *type = event_text(event, "type");

    return strncmp(type, prefix, sizeof(prefix) - 1) == 0 ? type + sizeof(prefix) - 1 : "";
}

bool event_is_outcome(const char *kind)
{
    static const char *const outcomes[] = { "job.succeeded", "job.failed", "job.cancelled", "job.expired",
                                            "job.uncertain" };

    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
        if (strcmp(outcomes[i], kind) == 0)
            return true;
    return false;
}

const char *event_host(const json_t *event)
{
    static const char prefix[] = "/virtjob/hosts/";
    const char *source = event_text(event, "source");

    return strncmp(source, prefix, sizeof(prefix) - 1) == 0 ? source + sizeof(prefix) - 1 : "";
}

const char *event_clock(const json_t *event, char out[static 16])
{
    struct tm tm = { 0 };
    time_t when = time(NULL);

    if (strptime(event_text(event, "time"), "%Y-%m-%dT%H:%M:%S", &tm)) /* always in UTC */
        when = timegm(&tm);
    localtime_r(&when, &tm);
    strftime(out, 16, "%H:%M:%S", &tm);
    return out;
}

static void event_put(FILE *out, const char *before, const char *text, const struct terminal *terminal)
{
    char shown[512];

    if (*text)
        fprintf(out, "%s%s", before, text_escape(terminal->unicode, text, shown, sizeof(shown)));
}

/* What else the event tells, as key=value; objects and arrays are left to --json. */
static void event_details(FILE *out, const json_t *data, const struct terminal *terminal)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)data, key, value) {
        if (strcmp(key, "epoch") == 0 || strcmp(key, "seq") == 0)
            continue;
        if (json_is_string(value)) {
            event_put(out, " ", key, terminal);
            event_put(out, "=", json_string_value(value), terminal);
        } else if (json_is_number(value) || json_is_boolean(value)) {
            event_put(out, " ", key, terminal);
            if (json_is_boolean(value))
                fprintf(out, "=%s", json_is_true(value) ? "true" : "false");
            else
                fprintf(out, "=%.15g", json_number_value(value));
        }
    }
}

/* A snapshot in short: how many guests, and how many of them run. */
static void event_count(FILE *out, const json_t *guests)
{
    size_t running = 0, i;
    json_t *guest;

    if (!json_is_array(guests))
        return;
    json_array_foreach ((json_t *)guests, i, guest)
        running += strcmp(event_text(guest, "state"), "running") == 0;
    fprintf(out, " guests=%zu running=%zu", json_array_size(guests), running);
}

void event_describe(FILE *out, const json_t *event, const struct terminal *terminal)
{
    const json_t *data = event_at(event, "data");
    const char *source = event_text(event, "source");
    const char *name = strrchr(source, '/');

    event_put(out, "", name ? name + 1 : source, terminal);
    event_put(out, " ", event_text(data, "guest/name"), terminal);
    event_put(out, " ", event_kind(event), terminal);
    event_details(out, data, terminal);
    event_count(out, event_at(data, "guests"));
}
