/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* host.evacuate: moves the guests of a host to others, several at once.
 *
 * Each guest is a part of the job that does what guest.migrate does, on one of `parallel` threads, which take one guest
 * after the other. Nothing says which guests it has moved but where they are: where the job comes again it moves those that are
 * still here, and follows those that are on their way. */

#include "host_evacuate.h"

#include <stdio.h>
#include <string.h>

#include "guest_migrate_internal.h"
#include "thread.h"

static void evacuation_init(struct evacuation *evacuation, struct job *job)
{
    *evacuation = (struct evacuation){ .job = job };
    evacuation->by_memory = strcmp(job_string(job->params, "by", "memory"), "memory") == 0;
    pthread_mutex_init(&evacuation->lock, NULL);
}

static inline void cleanup_evacuation(struct evacuation *evacuation)
{
    for (size_t i = 0; i < evacuation->guest_count; i++) {
        free(evacuation->guests[i].name);
        json_decref(evacuation->guests[i].transfer);
        json_decref(evacuation->guests[i].rollback);
    }
    free(evacuation->guests);
    pthread_mutex_destroy(&evacuation->lock);
}

/* One guest, to one destination. */

/* Of one that is off only the definition moves. */
static json_t *evacuee_params(const struct evacuee *evacuee)
{
    const struct evacuation *evacuation = evacuee->evacuation;
    json_t *migrate = json_object_get(evacuation->job->params, "migrate");
    json_t *params = migrate && !evacuee->off ? json_copy(migrate) : json_object();

    if (!params || json_object_set_new(params, "guest", json_string(evacuee->uuid)) < 0 ||
        json_object_set_new(params, "destination",
                            json_string(evacuation->hosts[evacuee->destination].name)) < 0 ||
        (evacuee->off && json_object_set_new(params, "offline", json_true()) < 0)) {
        json_decref(params);
        return NULL;
    }
    return params;
}

/* The records of volumes that were copied are cleared at once: later nobody would know which they are. The guest is
 * there, so they are of no more use; what is left of them the janitor finds. */
static int evacuee_migrate(struct job *job, json_t **ret_result, struct error *err)
{
    if (guest_migrate(job, ret_result, err) < 0)
        return -1;
    migration_storage_sweep(job, NULL);
    return 0;
}

/* The parameters that were made for the guest, and not by who asked for the job. */
static bool is_made(const char *where)
{
    static const char *const made[] = { "guest", "destination", "offline", "name", "persistent" };
    const char *key = where + strlen("/params/");

    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
        if (strcmp(key, made[i]) == 0)
            return true;
    return false;
}

/* A pointer into those of the guest becomes one into those of the job. */
static void error_relocate(struct error *err)
{
    char where[sizeof(err->where)];

    if (!err->has_where)
        return;
    if (strncmp(err->where, "/params/", 8) != 0 || is_made(err->where)) {
        err->has_where = false;
        return;
    }
    snprintf(where, sizeof(where), "/params/migrate/%.200s", err->where + 8);
    memcpy(err->where, where, sizeof(where));
}

/* Of the host of the job, that is; one that is a destination is told at its parameter, and in the middle all the same. */
static bool outcome_is_loss(const struct job_part_outcome *outcome)
{
    const struct error *err = &outcome->error;

    return err->code == ERROR_CONNECTION_LOST || (err->code == ERROR_HOST_UNAVAILABLE && !err->has_where);
}

static void evacuee_take_outcome(struct evacuee *evacuee, struct job_part_outcome *outcome)
{
    json_decref(evacuee->rollback);
    evacuee->transfer = json_incref(json_object_get(outcome->result, "transfer"));
    evacuee->rollback = STEAL(&outcome->rollback);
    evacuee->error = outcome->error;
    evacuee->changed = outcome->changed;
    evacuee->adopted |= outcome->adopted;
    evacuee->uncertain = outcome->uncertain;
    evacuee->lost = outcome_is_loss(outcome);
    evacuee->lost_here = evacuee->lost && !outcome->error.has_where;
    error_relocate(&evacuee->error);
}

/* Whether it is the destination that does not take it, and it is here as before. */
static bool outcome_is_refusal(const struct job_part_outcome *outcome)
{
    const struct error *err = &outcome->error;

    if (outcome->uncertain || outcome_is_loss(outcome) || !err->has_where ||
        strcmp(err->where, "/params/guest") == 0)
        return false;
    return strcmp(outcome->step, "check") == 0 || strcmp(err->where, "/params/destination") == 0;
}

enum attempt { ATTEMPT_MOVED, ATTEMPT_REFUSED, ATTEMPT_FAILED };

/* Only its own thread reads `destination` without the lock. */
static enum attempt evacuee_attempt(struct evacuee *evacuee)
{
    AUTO(json) json_t *params = evacuee_params(evacuee);
    const struct job_part part = {
        .params = params, .run = evacuee_migrate, .report = evacuee_report, .opaque = evacuee
    };
    struct job_part_outcome outcome = { 0 };
    bool refused;

    if (params)
        job_part_run(evacuee->evacuation->job, &part, &outcome);
    else
        error_set_memory(&outcome.error);
    refused = outcome_is_refusal(&outcome);
    evacuee_take_outcome(evacuee, &outcome);
    job_part_outcome_done(&outcome);
    if (evacuee->error.code == ERROR_NONE)
        return ATTEMPT_MOVED;
    if (evacuee_turns_up(evacuee))
        return ATTEMPT_REFUSED;
    return refused ? ATTEMPT_REFUSED : ATTEMPT_FAILED;
}

/* To all that may take it. */

/* The one where it is on its way to already comes first. */
static bool evacuee_place(struct evacuee *evacuee)
{
    struct evacuation *evacuation = evacuee->evacuation;
    bool is_there = evacuee->there != EVACUATION_NOWHERE && !(evacuee->refused >> evacuee->there & 1);

    if (!is_there)
        evacuation_look_at_hosts(evacuation);
    SCOPE_LOCK(&evacuation->lock);
    int host = is_there ? evacuee->there : evacuation_choose(evacuation, evacuee);
    if (host == EVACUATION_NOWHERE)
        return false;
    evacuee->destination = host;
    evacuee->percent = 0;
    evacuee->state = EVACUEE_MOVING; /* counts from now on for who chooses next */
    return true;
}

static bool evacuation_has_reached_any(struct evacuation *evacuation)
{
    SCOPE_LOCK(&evacuation->lock);

    for (size_t i = 0; i < evacuation->host_count; i++)
        if (!evacuation->hosts[i].away)
            return true;
    return false;
}

/* What the last of those that refused it has said is worth more. */
static void evacuee_fail_homeless(struct evacuee *evacuee)
{
    if (evacuee->refused == 0 && !evacuation_has_reached_any(evacuee->evacuation))
        error_set(&evacuee->error, ERROR_HOST_UNAVAILABLE, "none of the destinations can be reached");
    else if (evacuee->refused == 0)
        error_set(&evacuee->error, ERROR_NO_SPACE,
                  "no destination that can be reached has %llu MiB of memory left for guest '%s'",
                  (unsigned long long)(evacuee->memory >> 20), evacuee->name);
    evacuee_set_state(evacuee, EVACUEE_FAILED);
}

static void evacuee_move(struct evacuee *evacuee)
{
    enum attempt attempt;

    do {
        if (!evacuee_place(evacuee)) {
            evacuee_fail_homeless(evacuee);
            return;
        }
        evacuee_set_state(evacuee, EVACUEE_MOVING);
        attempt = evacuee_attempt(evacuee);
        if (attempt == ATTEMPT_REFUSED)
            evacuee->refused |= UINT64_C(1) << evacuee->destination;
    } while (attempt == ATTEMPT_REFUSED);
    evacuee_set_state(evacuee, attempt == ATTEMPT_MOVED ? EVACUEE_MOVED : EVACUEE_FAILED);
}

/* All guests. */

/* What went on without us may go on still, and only the next attempt can look. */
static void evacuee_note_lost(struct evacuee *evacuee)
{
    struct error *broken = &evacuee->evacuation->broken;
    SCOPE_LOCK(&evacuee->evacuation->lock);

    evacuee->evacuation->host_is_away |= evacuee->lost_here;
    if (!evacuee->lost || broken->code != ERROR_NONE)
        return;
    *broken = evacuee->error;
    broken->code = ERROR_CONNECTION_LOST;
}

/* Where the job is to stop, those that an earlier attempt has on their way are still to be stopped, or to be found arrived. */
static bool evacuee_may_begin(const struct evacuee *evacuee)
{
    return evacuee->there != EVACUATION_NOWHERE || job_safe_point(evacuee->evacuation->job, NULL) == 0;
}

/* The next one that waits, with the lock held; NULL: none, or no more are begun. */
static struct evacuee *evacuation_next(struct evacuation *evacuation)
{
    while (!evacuation->host_is_away && evacuation->next < evacuation->guest_count) {
        struct evacuee *evacuee = &evacuation->guests[evacuation->next++];

        if (evacuee->state == EVACUEE_WAITING)
            return evacuee;
    }
    return NULL;
}

static struct evacuee *evacuation_take(struct evacuation *evacuation)
{
    SCOPE_LOCK(&evacuation->lock);

    return evacuation_next(evacuation);
}

static void evacuee_begin(struct evacuee *evacuee)
{
    int wanted;

    if (!evacuee_may_begin(evacuee))
        return;
    wanted = evacuee_look(evacuee, &evacuee->error);
    evacuee->lost = evacuee->lost_here = wanted < 0;
    if (wanted > 0)
        evacuee_move(evacuee);
    else
        evacuee_set_state(evacuee, wanted < 0 ? EVACUEE_FAILED : EVACUEE_LEFT_OUT);
    evacuee_note_lost(evacuee);
}

static void *evacuation_main(void *opaque)
{
    struct evacuee *evacuee;

    while ((evacuee = evacuation_take(opaque)))
        evacuee_begin(evacuee);
    return NULL;
}

/* A thread that cannot be had is done without: the job's own is one of them. */
static void evacuation_move_all(struct evacuation *evacuation)
{
    int wanted = (int)job_integer(evacuation->job->params, "parallel", 2) - 1, count = 0;
    pthread_t threads[EVACUATION_PARALLEL_MAX];

    while (count < wanted && thread_start(&threads[count], evacuation_main, evacuation) == 0)
        count++;
    evacuation_main(evacuation);
    while (count > 0)
        pthread_join(threads[--count], NULL);
}

/* The job. */

static void evacuation_say(struct evacuation *evacuation)
{
    bool changed = false;

    for (size_t i = 0; i < evacuation->guest_count; i++) {
        const struct evacuee *evacuee = &evacuation->guests[i];

        changed |= evacuee->state == EVACUEE_MOVED && evacuee->changed;
        if (evacuee->adopted)
            job_adopted(evacuation->job);
        if (evacuee->uncertain)
            job_uncertain(evacuation->job);
    }
    if (!changed)
        job_unchanged(evacuation->job);
}

static int evacuation_end(struct evacuation *evacuation, struct error *err)
{
    if (evacuation->broken.code != ERROR_NONE) {
        *err = evacuation->broken;
        return -1;
    }
    job_settled(evacuation->job);
    evacuation_say(evacuation);
    if (evacuation_is_complete(evacuation)) {
        progress_finish(job_progress(evacuation->job));
        return 0;
    }
    return job_safe_point(evacuation->job, err) < 0 ? -1 : evacuation_fail(evacuation, err);
}

/* What no guest could be moved with. */
static int evacuation_check(struct evacuation *evacuation, struct error *err)
{
    const json_t *migrate = json_object_get(evacuation->job->params, "migrate");
    struct migration_plan plan;
    struct steer_policy policy;

    if (migration_plan_read(migrate, true, &plan, err) < 0) {
        error_relocate(err);
        return -1;
    }
    return steer_policy_read(json_object_get(migrate, "steering"), "/params/migrate/steering",
                             job_deadline_ms(evacuation->job), &policy, err);
}

/* What an earlier attempt has begun is looked for also where the job is to stop. */
static int evacuation_find(struct evacuation *evacuation, struct error *err)
{
    job_step_named(evacuation->job, "look");
    if (!evacuation->job->again && job_safe_point(evacuation->job, err) < 0)
        return -1;
    if (evacuation_check(evacuation, err) < 0 || evacuation_find_hosts(evacuation, err) < 0)
        return -1;
    return evacuation_find_guests(evacuation, err);
}

int host_evacuate(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(evacuation) struct evacuation evacuation;
    int rc;

    evacuation_init(&evacuation, job);
    if (evacuation_find(&evacuation, err) < 0)
        return -1;
    job_step_named(job, "move");
    progress_phase(job_progress(job), "moving", "bytes");
    evacuation_move_all(&evacuation);
    rc = evacuation_end(&evacuation, err);
    *ret_result = evacuation_describe(&evacuation);
    return *ret_result || rc < 0 ? rc : error_set_memory(err);
}
