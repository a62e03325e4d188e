/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* How far host.evacuate has come, as a whole and guest by guest, and what came of it. */

#include "host_evacuate.h"

#include <stdio.h>
#include <string.h>

#include "monotonic.h"

#define DETAIL_INTERVAL_MS 100 /* of many guests it is long, and is told less often than it changes */

/* Progress. With the lock held. */

static const char *const state_names[] = {
    [EVACUEE_WAITING] = "waiting",
    [EVACUEE_MOVING] = "moving",
    [EVACUEE_MOVED] = "moved",
    [EVACUEE_FAILED] = "failed",
};

static const char *evacuee_destination(const struct evacuee *evacuee)
{
    return evacuee->destination == EVACUATION_NOWHERE ? NULL
                                                      : evacuee->evacuation->hosts[evacuee->destination].name;
}

static json_t *evacuee_tell(const struct evacuee *evacuee)
{
    json_t *told = json_pack("{s:s, s:s, s:s*}", "guest", evacuee->name, "state", state_names[evacuee->state],
                             "destination", evacuee_destination(evacuee));

    if (!told || evacuee->state != EVACUEE_MOVING)
        return told;
    json_object_set_new(told, "percent", json_real(evacuee->percent));
    if (evacuee->stalled)
        json_object_set_new(told, "stalled", json_true());
    return told;
}

static json_t *evacuation_detail(const struct evacuation *evacuation)
{
    json_t *guests = json_array();

    for (size_t i = 0; i < evacuation->guest_count; i++)
        if (evacuation->guests[i].state != EVACUEE_LEFT_OUT)
            json_array_append_new(guests, evacuee_tell(&evacuation->guests[i]));
    return json_pack("{s:o}", "guests", guests);
}

/* What has ended by itself is done. */
static void evacuation_tell(struct evacuation *evacuation, bool news)
{
    struct progress *progress = job_progress(evacuation->job);
    int64_t now = monotonic_now_ms();
    uint64_t done = 0, total = 0;

    for (size_t i = 0; i < evacuation->guest_count; i++) {
        const struct evacuee *evacuee = &evacuation->guests[i];
        bool counts = evacuee->state != EVACUEE_LEFT_OUT || evacuee->done > 0;

        done += counts ? evacuee->done : 0;
        total += counts ? evacuee->memory : 0;
    }
    if (news || now - evacuation->told_ms >= DETAIL_INTERVAL_MS) {
        evacuation->told_ms = now;
        progress_set_detail(progress, evacuation_detail(evacuation));
    }
    progress_update(progress, done, total);
}

void evacuee_set_state(struct evacuee *evacuee, enum evacuee_state state)
{
    SCOPE_LOCK(&evacuee->evacuation->lock);

    evacuee->state = state;
    evacuee->percent = 0;
    evacuee->stalled = false;
    if (state == EVACUEE_MOVED)
        evacuee->done = evacuee->memory;
    evacuation_tell(evacuee->evacuation, true);
}

void evacuee_report(void *opaque, json_t *report)
{
    AUTO(json) json_t *owned = report;
    struct evacuee *evacuee = opaque;
    double percent = json_number_value(json_object_get(report, "percent"));
    SCOPE_LOCK(&evacuee->evacuation->lock);
    uint64_t done = (uint64_t)((double)evacuee->memory * percent / 100);

    evacuee->percent = percent;
    evacuee->stalled = json_is_true(json_object_get(report, "stalled"));
    if (done > evacuee->done)
        evacuee->done = done < evacuee->memory ? done : evacuee->memory;
    evacuation_tell(evacuee->evacuation, false);
}

/* What came of it. */

bool evacuation_is_complete(const struct evacuation *evacuation)
{
    for (size_t i = 0; i < evacuation->guest_count; i++)
        if (evacuation->guests[i].state != EVACUEE_MOVED && evacuation->guests[i].state != EVACUEE_LEFT_OUT)
            return false;
    return true;
}

static json_t *evacuee_identity(const struct evacuee *evacuee)
{
    return json_pack("{s:s, s:s*}", "name", evacuee->name, "uuid", *evacuee->uuid ? evacuee->uuid : NULL);
}

static json_t *evacuee_describe_moved(const struct evacuee *evacuee)
{
    return json_pack("{s:o, s:s, s:b, s:O*}", "guest", evacuee_identity(evacuee), "destination",
                     evacuee_destination(evacuee), "changed", evacuee->changed, "transfer",
                     evacuee->transfer);
}

static json_t *evacuee_describe_failed(const struct evacuee *evacuee)
{
    return json_pack("{s:o, s:s*, s:o, s:O*}", "guest", evacuee_identity(evacuee), "destination",
                     evacuee_destination(evacuee), "error", error_to_json(&evacuee->error), "rollback",
                     evacuee->rollback);
}

json_t *evacuation_describe(struct evacuation *evacuation)
{
    json_t *moved = json_array(), *failed = json_array(), *waiting = json_array();
    int left = evacuation_count_left(evacuation);
    json_t *result = json_pack("{s:o, s:o, s:o}", "moved", moved, "failed", failed, "waiting", waiting);

    for (size_t i = 0; result && i < evacuation->guest_count; i++) {
        const struct evacuee *evacuee = &evacuation->guests[i];

        if (evacuee->state == EVACUEE_MOVED)
            json_array_append_new(moved, evacuee_describe_moved(evacuee));
        else if (evacuee->state == EVACUEE_FAILED)
            json_array_append_new(failed, evacuee_describe_failed(evacuee));
        else if (evacuee->state == EVACUEE_WAITING)
            json_array_append_new(waiting, evacuee_identity(evacuee));
    }
    if (result && left >= 0)
        json_object_set_new(result, "left", json_integer(left));
    return result;
}

/* Cut where there are too many. */
static void name_failed(const struct evacuation *evacuation, char *text, size_t size)
{
    for (size_t i = 0, length = 0; i < evacuation->guest_count; i++) {
        const struct evacuee *evacuee = &evacuation->guests[i];
        char entry[300];

        if (evacuee->state != EVACUEE_FAILED)
            continue;
        snprintf(entry, sizeof(entry), "%s'%s' (%s)", length ? ", " : "", evacuee->name,
                 error_name(evacuee->error.code));
        if (length + strlen(entry) + sizeof(", …") > size) {
            snprintf(text + length, size - length, ", …");
            return;
        }
        length += (size_t)snprintf(text + length, size - length, "%s", entry);
    }
}

/* It would help nobody to try again by itself: what has moved so far would not be in that attempt's outcome. */
int evacuation_fail(struct evacuation *evacuation, struct error *err)
{
    enum error_code code = ERROR_NONE;
    size_t failed = 0, all = 0;
    char names[400] = "";

    for (size_t i = 0; i < evacuation->guest_count; i++) {
        const struct evacuee *evacuee = &evacuation->guests[i];

        all += evacuee->state != EVACUEE_LEFT_OUT;
        failed += evacuee->state == EVACUEE_FAILED;
        if (evacuee->state == EVACUEE_FAILED && code == ERROR_NONE)
            code = evacuee->error.code;
    }
    name_failed(evacuation, names, sizeof(names));
    error_set(err, code, "%zu of %zu guests could not be moved: %s", failed, all, names);
    return error_set_lasting(err);
}
