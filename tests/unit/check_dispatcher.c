/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Order, lanes, redelivery, acknowledgement, retry, cancel, draining: with job types that wait for the test, on the test
 * driver, a publisher whose messages end here, and a journal that says what the test wants. */

#include <check.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dispatcher.h"
#include "schemas.h"

#define SECONDS_MAX 20

static struct schema_store *schemas;
static struct envelope_rules *rules;
static struct hypervisor *host;
static struct publisher *publisher;
static struct dispatcher *dispatcher;
static sem_t go; /* lets one held job go on */
static atomic_int begun, most_at_once, at_once;
static uint64_t next_tag;

/* What was published and acknowledged; `lock` guards it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char outcomes[1024][64];
static char bodies[1024][2048];
static int outcome_count;
static uint64_t acknowledged[1024];
static int acknowledged_count, requeued_count;
static bool hold_confirms;
static struct message *held[64];
static int held_count;
static uint64_t connection = 1; /* the epoch that stands */
static char notes[64][128];
static int note_count;
static int swept;

/* The journal: what has been asked and not told, and what it says. */
static char asked[64][64];
static int asked_count, told_count;
static int returned_later; /* notes that it has only when it is asked once more */
static bool hold_journal, is_over;
static struct dispatcher_past past;
static const char *past_body, *past_key; /* of the outcome in it; NULL: none */
static pthread_t journal;

static int run_hold(struct job *job, json_t **ret_result, struct error *err)
{
    int now = atomic_fetch_add(&at_once, 1) + 1;

    (void)err;
    atomic_fetch_add(&begun, 1);
    if (now > most_at_once)
        most_at_once = now;
    sem_wait(&go);
    atomic_fetch_sub(&at_once, 1);
    *ret_result = json_pack("{s:s}", "guest", job_string(job->params, "guest", ""));
    return 0;
}

static int undo_note(struct job *job, const json_t *state, struct error *err)
{
    (void)job;
    if (json_is_true(json_object_get(state, "host is away")))
        return error_set(err, ERROR_HOST_UNAVAILABLE, "the host is away");
    if (json_is_true(json_object_get(state, "fails")))
        return error_set(err, ERROR_BUSY, "still in use");
    return 0;
}

/* Waits for the test, then for something that takes its time. */
static int undo_slowly(struct job *job, const json_t *state, struct error *err)
{
    (void)state;
    atomic_fetch_add(&begun, 1);
    sem_wait(&go);
    return job_wait(job, SECONDS_MAX * 1000, err);
}

static int run_undo_slowly(struct job *job, json_t **ret_result, struct error *err)
{
    (void)ret_result;
    if (job_undo(job, "undo", undo_slowly, json_object(), err) < 0)
        return -1;
    return error_set(err, ERROR_INVALID, "it was wrong");
}

/* Fails for a reason that may pass, but in its last attempt. */
static int run_busy(struct job *job, json_t **ret_result, struct error *err)
{
    (void)ret_result;
    if (job_step(job, "try", err) < 0)
        return -1;
    return error_set(err, ERROR_BUSY, "somebody holds it");
}

/* Fails for good, and its host goes away before that can be undone. */
static int run_strand(struct job *job, json_t **ret_result, struct error *err)
{
    (void)ret_result;
    if (job_undo(job, "undo", undo_note, json_pack("{s:b}", "host is away", 1), err) < 0)
        return -1;
    return error_set(err, ERROR_INVALID, "it was wrong");
}

/* Loses its connection after its effect. */
static int run_break(struct job *job, json_t **ret_result, struct error *err)
{
    (void)ret_result;
    if (job_undo(job, "undo", undo_note, json_pack("{s:s}", "name", "a"), err) < 0)
        return -1;
    return error_set(err, ERROR_CONNECTION_LOST, "it broke");
}

/* Waits for the test, then comes to its safe point. */
static int run_stop(struct job *job, json_t **ret_result, struct error *err)
{
    if (job_undo(job, "undo", undo_note, json_pack("{s:s}", "name", "a"), err) < 0)
        return -1;
    atomic_fetch_add(&begun, 1);
    sem_wait(&go);
    if (job_step(job, "stop", err) < 0)
        return -1;
    *ret_result = json_object();
    return 0;
}

/* Waits for the test, then finds its connection broken. */
static int run_hold_break(struct job *job, json_t **ret_result, struct error *err)
{
    (void)job;
    (void)ret_result;
    atomic_fetch_add(&begun, 1);
    sem_wait(&go);
    return error_set(err, ERROR_CONNECTION_LOST, "it broke");
}

static bool sweep_fails;

static int sweep(struct job *job, struct error *err)
{
    (void)job;
    pthread_mutex_lock(&lock);
    swept++;
    pthread_mutex_unlock(&lock);
    return sweep_fails ? error_set(err, ERROR_HOST_UNAVAILABLE, "the host is away") : 0;
}

static int run_look(struct job *job, json_t **ret_result, struct error *err)
{
    (void)job;
    (void)err;
    *ret_result = json_object();
    return 0;
}

static int run_three_steps(struct job *job, json_t **ret_result, struct error *err)
{
    (void)ret_result;
    if (job_step(job, "first", err) < 0 ||
        job_undo(job, "undo first", undo_note, json_pack("{s:s, s:b}", "name", "a", "fails", 1), err) < 0 ||
        job_step(job, "second", err) < 0 ||
        job_undo(job, "undo second", undo_note, json_pack("{s:s}", "name", "b"), err) < 0 ||
        job_step(job, "third", err) < 0)
        return -1;
    return error_set_at(err, ERROR_NO_SPACE, "/params/guest", "the pool is full");
}

static const struct job_type test_types[] = {
    { .name = "test.undo",
      .lane = JOB_LONG,
      .run = run_undo_slowly,
      .claims = { { JOB_GUEST, true, "/guest" } } },
    { .name = "test.hold", .lane = JOB_LONG, .run = run_hold, .claims = { { JOB_GUEST, true, "/guest" } } },
    { .name = "test.read", .lane = JOB_LONG, .run = run_hold, .claims = { { JOB_GUEST, false, "/guest" } } },
    { .name = "test.look", .lane = JOB_QUICK, .run = run_look },
    { .name = "test.steps",
      .lane = JOB_QUICK,
      .run = run_three_steps,
      .claims = { { JOB_GUEST, true, "/guest" } } },
    { .name = "test.busy", .lane = JOB_QUICK, .run = run_busy, .claims = { { JOB_GUEST, true, "/guest" } } },
    { .name = "test.break",
      .lane = JOB_QUICK,
      .run = run_break,
      .claims = { { JOB_GUEST, true, "/guest" } } },
    { .name = "test.strand",
      .lane = JOB_QUICK,
      .run = run_strand,
      .claims = { { JOB_GUEST, true, "/guest" } } },
    { .name = "test.stop", .lane = JOB_LONG, .run = run_stop, .claims = { { JOB_GUEST, true, "/guest" } } },
    { .name = "test.fall",
      .lane = JOB_LONG,
      .run = run_hold_break,
      .claims = { { JOB_GUEST, true, "/guest" } } },
    { .name = "test.make",
      .lane = JOB_LONG,
      .run = run_stop,
      .claims = { { JOB_GUEST, true, "/guest" } },
      .sweep = sweep },
    { .name = "test.once",
      .lane = JOB_QUICK,
      .run = run_look,
      .claims = { { JOB_GUEST, true, "/guest" } },
      .once = true },
    { 0 },
};
static const struct job_type *const tables[] = { test_types, NULL };

static void settle_as(struct message *message, enum message_fate fate)
{
    if (message->settled)
        message->settled(message->opaque, message, fate);
    message_free(message);
}

static void settle(struct message *message)
{
    settle_as(message, MESSAGE_CONFIRMED);
}

static bool take_note(const struct message *message)
{
    SCOPE_LOCK(&lock);

    if (strcmp(message->routing_key, "x.journal") != 0)
        return false;
    snprintf(notes[note_count++], sizeof(notes[0]), "%s", message->message_id + REQUEST_ID_SIZE);
    pthread_cond_broadcast(&changed);
    return true;
}

static int publish(void *transport, struct message *message)
{
    bool keep;

    (void)transport;
    if (message->epoch != 0 && message->epoch != connection) {
        settle_as(message, MESSAGE_LOST);
        return 0;
    }
    if (take_note(message)) {
        settle(message);
        return 0;
    }
    if (strncmp(message->routing_key, "job.started", 11) == 0 ||
        strncmp(message->routing_key, "job.progress", 12) == 0) {
        settle(message);
        return 0;
    }
    pthread_mutex_lock(&lock);
    snprintf(outcomes[outcome_count], sizeof(outcomes[0]), "%s", message->routing_key);
    snprintf(bodies[outcome_count], sizeof(bodies[0]), "%.*s", (int)message->length, message->body);
    outcome_count++;
    keep = hold_confirms;
    if (keep)
        held[held_count++] = message;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    if (!keep)
        settle(message);
    return 0;
}

static int answer(void *transport, int lane, struct message *message)
{
    (void)lane;
    return publish(transport, message);
}

static int ask(void *opaque, const char *job_id, uint64_t since_s)
{
    (void)opaque;
    (void)since_s;
    pthread_mutex_lock(&lock);
    snprintf(asked[asked_count++], sizeof(asked[0]), "%s", job_id);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return 0;
}

static struct delivery *past_outcome(void)
{
    struct delivery *outcome = calloc(1, sizeof(*outcome));

    outcome->routing_key = strdup(past_key);
    outcome->body = strdup(past_body);
    outcome->length = strlen(past_body);
    return outcome;
}

/* The journal's thread: tells what is asked, one after the other. */
static void *tell(void *opaque)
{
    (void)opaque;
    pthread_mutex_lock(&lock);
    while (!is_over) {
        if (told_count == asked_count || hold_journal) {
            pthread_cond_wait(&changed, &lock);
            continue;
        }
        struct dispatcher_past now = past;
        now.returned += told_count > 0 ? returned_later : 0;
        const char *id = asked[told_count++];
        now.outcome = past_key ? past_outcome() : NULL;
        pthread_mutex_unlock(&lock);
        dispatcher_told(dispatcher, id, &now);
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static int retry_delay(void *opaque, int attempt)
{
    (void)opaque;
    return attempt * 10;
}

static void settle_delivery(void *opaque, enum job_lane lane, struct delivery_tag tag, bool requeue)
{
    (void)opaque;
    (void)lane;
    if (tag.epoch != connection)
        return;
    pthread_mutex_lock(&lock);
    if (requeue)
        requeued_count++;
    else
        acknowledged[acknowledged_count++] = tag.tag;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static int guest_alias(void *opaque, const char *on, const char *name_or_uuid, char *ret_other)
{
    (void)opaque;
    (void)on;
    if (strcmp(name_or_uuid, "11111111-1111-4111-8111-111111111111") != 0)
        return -1;
    strcpy(ret_other, "named");
    return 0;
}

static void wait_count(const int *count, int wanted)
{
    struct timespec end;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += SECONDS_MAX;
    pthread_mutex_lock(&lock);
    while (*count < wanted)
        ck_assert_msg(pthread_cond_timedwait(&changed, &lock, &end) == 0, "only %d of %d came", *count,
                      wanted);
    pthread_mutex_unlock(&lock);
}

static void wait_acknowledged_or_given_back(void)
{
    struct timespec end;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += SECONDS_MAX;
    pthread_mutex_lock(&lock);
    while (acknowledged_count == 0 && requeued_count == 0)
        ck_assert_msg(pthread_cond_timedwait(&changed, &lock, &end) == 0, "neither came");
    pthread_mutex_unlock(&lock);
}

static void wait_begun(int wanted)
{
    struct timespec pause = { .tv_nsec = 1000000 };

    for (int i = 0; begun < wanted && i < SECONDS_MAX * 1000; i++)
        nanosleep(&pause, NULL);
    ck_assert_int_ge(begun, wanted);
}

static void add_schema(const char *type)
{
    struct error err = ERROR_INIT;
    char text[512], name[64];

    snprintf(name, sizeof(name), "%s.json", type);
    snprintf(
        text, sizeof(text),
        "{\"$id\": \"https://virtjob.io/schemas/1/%s\", \"$defs\": {\"params\": {\"type\": \"object\"}}}",
        name);
    ck_assert_msg(schema_store_add(schemas, name, text, strlen(text), &err) == 0, "%s", err.message);
}

static void setup(void)
{
    struct error err = ERROR_INIT;
    struct schemas_file file, common;
    const struct publisher_settings publisher_settings = { .events_exchange = "x.events",
                                                           .jobs_exchange = "x.jobs",
                                                           .dead_queue = "x.dead",
                                                           .journal = "x.journal",
                                                           .retry_prefix = "x.retry",
                                                           .worker = "w1",
                                                           .publish = publish,
                                                           .offer = publish,
                                                           .answer = answer };

    schemas = schema_store_new(&err);
    ck_assert_int_eq(schemas_find("job.json", &file), 0);
    ck_assert_int_eq(schemas_find("common.json", &common), 0);
    ck_assert_int_eq(schema_store_add(schemas, file.name, file.text, file.length, &err), 0);
    ck_assert_int_eq(schema_store_add(schemas, common.name, common.text, common.length, &err), 0);
    for (const struct job_type *type = test_types; type->name; type++)
        add_schema(type->name);
    ck_assert_int_eq(schema_store_link(schemas, &err), 0);
    rules = envelope_rules_new(schemas, NULL, "x", &err);
    ck_assert_int_eq(hypervisor_loop_start(&err), 0);
    host = hypervisor_new("node1", "test:///default", 1000, &err);
    publisher = publisher_new(&publisher_settings, &err);
    const struct dispatcher_settings settings = {
        .types = tables,
        .rules = rules,
        .hosts = &host,
        .host_count = 1,
        .publisher = publisher,
        .worker = "w1",
        .threads = { 2, 4 },
        .progress_interval_ms = 1000,
        .max_attempts = 3,
        .max_crashes = 3,
        .note_interval_ms = 1000000,
        .retry_delay = retry_delay,
        .settle = settle_delivery,
        .ask = ask,
        .guest_alias = guest_alias,
    };
    sem_init(&go, 0, 0);
    dispatcher = dispatcher_new(&settings, &err);
    ck_assert_msg(dispatcher != NULL, "%s", err.message);
    ck_assert_int_eq(pthread_create(&journal, NULL, tell, NULL), 0);
    dispatcher_opened(dispatcher, JOB_QUICK);
    dispatcher_opened(dispatcher, JOB_LONG);
}

static void teardown(void)
{
    for (int i = 0; i < 64; i++)
        sem_post(&go);
    ck_assert_int_eq(dispatcher_drain(dispatcher, SECONDS_MAX * 1000), 0);
    pthread_mutex_lock(&lock);
    is_over = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(journal, NULL);
    dispatcher_free(dispatcher);
    publisher_free(publisher);
    hypervisor_free(host);
    hypervisor_loop_stop();
    envelope_rules_free(rules);
    schema_store_free(schemas);
}

/* A job `number` of the type on the guest, as it comes over the connection `epoch`; returns its delivery tag. */
static uint64_t deliver_over(uint64_t epoch, bool redelivered, int number, const char *type,
                             const char *guest)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));
    const struct job_type *row = job_type_find(tables, type);
    char body[512];

    snprintf(body, sizeof(body),
             "{\"id\": \"00000000-0000-4000-8000-%012d\", \"type\": \"%s\", \"host\": \"node1\", "
             "\"params\": {\"guest\": \"%s\"}}",
             number, type, guest);
    delivery->tag = (struct delivery_tag){ epoch, ++next_tag };
    delivery->redelivered = redelivered;
    delivery->body = strdup(body);
    delivery->length = strlen(body);
    dispatcher_delivery(dispatcher, row ? row->lane : JOB_QUICK, delivery);
    return next_tag;
}

/* The connection ends and the next one stands, over which nothing has come yet. */
static void reconnect(enum job_lane lane)
{
    connection++;
    dispatcher_closed(dispatcher, lane);
    dispatcher_opened(dispatcher, lane);
}

static uint64_t deliver(int number, const char *type, const char *guest)
{
    return deliver_over(connection, false, number, type, guest);
}

static void let_go(int count)
{
    while (count-- > 0)
        sem_post(&go);
}

START_TEST(a_job_is_acknowledged_only_when_its_outcome_is_confirmed)
{
    hold_confirms = true;
    deliver(1, "test.look", "a");
    wait_count(&outcome_count, 1);
    ck_assert_int_eq(acknowledged_count, 0);
    settle(held[0]);
    wait_count(&acknowledged_count, 1);
    ck_assert_uint_eq(acknowledged[0], 1);
}
END_TEST

START_TEST(jobs_on_one_guest_run_one_after_the_other_in_order)
{
    for (int i = 1; i <= 6; i++)
        deliver(i, "test.hold", "same");
    let_go(6);
    wait_count(&acknowledged_count, 6);
    ck_assert_int_eq(most_at_once, 1);
    for (int i = 0; i < 6; i++) {
        char wanted[64];
        snprintf(wanted, sizeof(wanted), "job.succeeded.test.hold.00000000-0000-4000-8000-%012d", i + 1);
        ck_assert_str_eq(outcomes[i], wanted);
    }
}
END_TEST

START_TEST(jobs_on_several_guests_run_at_the_same_time)
{
    deliver(1, "test.hold", "a");
    deliver(2, "test.hold", "b");
    deliver(3, "test.hold", "c");
    wait_begun(3);
    let_go(3);
    wait_count(&acknowledged_count, 3);
}
END_TEST

START_TEST(jobs_that_only_read_share_their_resource)
{
    deliver(1, "test.read", "base");
    deliver(2, "test.read", "base");
    deliver(3, "test.hold", "base");
    wait_begun(2);
    ck_assert_int_eq(begun, 2);
    let_go(3);
    wait_count(&acknowledged_count, 3);
}
END_TEST

START_TEST(a_guest_is_one_resource_by_name_and_by_uuid)
{
    deliver(1, "test.hold", "named");
    wait_begun(1);
    deliver(2, "test.hold", "11111111-1111-4111-8111-111111111111");
    let_go(2);
    wait_count(&acknowledged_count, 2);
    ck_assert_int_eq(most_at_once, 1);
}
END_TEST

START_TEST(a_quick_job_does_not_wait_for_the_long_lane)
{
    for (int i = 1; i <= 100; i++)
        deliver(i, "test.hold", i % 2 ? "a" : "b");
    deliver(101, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_uint_eq(acknowledged[0], 101);
    let_go(100);
    wait_count(&acknowledged_count, 101);
}
END_TEST

START_TEST(a_redelivery_meets_the_running_job_and_its_new_tag_is_acknowledged)
{
    uint64_t again;

    deliver(1, "test.hold", "a");
    wait_begun(1);
    reconnect(JOB_LONG);
    again = deliver_over(2, true, 1, "test.hold", "a");
    let_go(2);
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(begun, 1);
    ck_assert_int_eq(outcome_count, 1);
    ck_assert_uint_eq(acknowledged[0], again);
}
END_TEST

START_TEST(a_redelivery_of_an_ended_job_is_acknowledged_without_a_second_outcome)
{
    deliver(1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    reconnect(JOB_QUICK);
    deliver_over(2, true, 1, "test.look", "a");
    wait_count(&acknowledged_count, 2);
    ck_assert_int_eq(outcome_count, 1);
}
END_TEST

START_TEST(the_same_job_published_twice_runs_once_and_both_are_acknowledged)
{
    deliver(1, "test.hold", "a");
    deliver(1, "test.hold", "a");
    let_go(2);
    wait_count(&acknowledged_count, 2);
    ck_assert_int_eq(begun, 1);
    ck_assert_int_eq(outcome_count, 1);
}
END_TEST

START_TEST(another_job_with_the_id_of_one_in_hand_goes_to_the_dead)
{
    const char *const others[][2] = { { "test.look", "a" }, { "test.hold", "b" }, { "test.nothing", "a" } };

    deliver(1, "test.hold", "a");
    wait_begun(1);
    for (int i = 0; i < 3; i++) {
        uint64_t tag = deliver(1, others[i][0], others[i][1]);
        wait_count(&acknowledged_count, i + 1);
        ck_assert_uint_eq(acknowledged[i], tag);
        ck_assert_str_eq(outcomes[i], "x.dead");
    }
    let_go(1);
    wait_count(&acknowledged_count, 4);
    ck_assert_uint_eq(acknowledged[3], 1);
    ck_assert_int_eq(begun, 1);
}
END_TEST

START_TEST(a_redelivery_of_a_refused_job_is_not_answered_twice)
{
    deliver_over(1, false, 1, "test.nothing", "a");
    wait_count(&acknowledged_count, 1);
    reconnect(JOB_QUICK);
    deliver_over(2, true, 1, "test.nothing", "a");
    wait_count(&acknowledged_count, 2);
    ck_assert_int_eq(outcome_count, 1);
}
END_TEST

static void deliver_rubbish(uint64_t epoch, bool redelivered)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    delivery->tag = (struct delivery_tag){ epoch, ++next_tag };
    delivery->redelivered = redelivered;
    delivery->message_id = strdup("00000000-0000-4000-8000-000000000001");
    delivery->body = strdup("rubbish");
    delivery->length = 7;
    dispatcher_delivery(dispatcher, JOB_QUICK, delivery);
}

START_TEST(a_redelivery_of_what_cannot_be_read_meets_it_in_hand)
{
    hold_confirms = true;
    deliver_rubbish(1, false);
    wait_count(&outcome_count, 1);
    reconnect(JOB_QUICK);
    settle_as(held[0], MESSAGE_LOST);
    hold_confirms = false;
    deliver_rubbish(2, true);
    wait_count(&acknowledged_count, 1);
    ck_assert_str_eq(bodies[0], bodies[1]);
}
END_TEST

START_TEST(a_new_job_with_the_id_of_an_ended_one_survives_its_connection)
{
    deliver(1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    deliver(2, "test.hold", "a");
    wait_begun(1);
    deliver(1, "test.hold", "a"); /* the same id again: it waits, and its connection breaks */
    reconnect(JOB_LONG);
    let_go(1);
    deliver_over(2, true, 2, "test.hold", "a");
    wait_count(&acknowledged_count, 2);
    deliver_over(2, true, 1, "test.hold", "a");
    let_go(1);
    wait_count(&outcome_count, 3);
}
END_TEST

START_TEST(what_waits_is_forgotten_when_its_connection_ends)
{
    deliver(1, "test.hold", "a");
    wait_begun(1);
    deliver(2, "test.hold", "a");
    reconnect(JOB_LONG);
    let_go(2);
    deliver_over(2, true, 1, "test.hold", "a");
    wait_count(&outcome_count, 1);
    deliver_over(2, false, 3, "test.hold", "a");
    wait_count(&outcome_count, 2);
    ck_assert_int_eq(begun, 2);
}
END_TEST

START_TEST(a_failure_undoes_its_steps_last_first_and_tells_how_it_went)
{
    const char *first, *second, *code, *where, *step;
    json_t *event;
    int first_ok, second_ok;

    deliver(1, "test.steps", "a");
    wait_count(&acknowledged_count, 1);
    event = json_loads(bodies[0], 0, NULL);
    ck_assert_int_eq(json_unpack(event, "{s:{s:{s:s, s:s, s:s}, s:[{s:s, s:b}, {s:s, s:b}]}}", "data",
                                 "error", "code", &code, "where", &where, "step", &step, "rollback", "undo",
                                 &first, "ok", &first_ok, "undo", &second, "ok", &second_ok),
                     0);
    ck_assert_str_eq(code, "no-space");
    ck_assert_str_eq(where, "/params/guest");
    ck_assert_str_eq(step, "third");
    ck_assert_str_eq(first, "undo second");
    ck_assert(first_ok);
    ck_assert_str_eq(second, "undo first");
    ck_assert(!second_ok);
    json_decref(event);
}
END_TEST

START_TEST(a_bad_job_is_answered_and_one_without_identity_goes_to_the_dead)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    deliver(1, "test.nothing", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_ptr_nonnull(strstr(bodies[0], "\"unknown-type\""));
    delivery->tag = (struct delivery_tag){ 1, ++next_tag };
    delivery->body = strdup("rubbish");
    delivery->length = 7;
    dispatcher_delivery(dispatcher, JOB_QUICK, delivery);
    wait_count(&acknowledged_count, 2);
    ck_assert_str_eq(outcomes[1], "x.dead");
    ck_assert_str_eq(bodies[1], "rubbish");
}
END_TEST

START_TEST(an_integer_too_large_is_the_largest)
{
    AUTO(json) json_t *params = json_pack("{s:f, s:f, s:f}", "whole", 2.0, "most", 1e300, "least", -1e300);

    ck_assert_int_eq(job_integer(params, "whole", 0), 2);
    ck_assert_int_eq(job_integer(params, "most", 0), INT64_MAX);
    ck_assert_int_eq(job_integer(params, "least", 0), INT64_MIN);
    ck_assert_int_eq(job_integer(params, "absent", 7), 7);
}
END_TEST

START_TEST(draining_begins_nothing_more_and_waits_for_what_runs)
{
    deliver(1, "test.hold", "a");
    wait_begun(1);
    deliver(2, "test.hold", "a");
    ck_assert_int_eq(dispatcher_drain(dispatcher, 10), -1);
    deliver(3, "test.hold", "b");
    ck_assert_int_eq(requeued_count, 2); /* while the first still runs */
    let_go(3);
    ck_assert_int_eq(dispatcher_drain(dispatcher, SECONDS_MAX * 1000), 0);
    ck_assert_int_eq(begun, 1);
    ck_assert_int_eq(acknowledged_count, 1);
}
END_TEST

/* The string at `path` of the event number `index`. */
static void assert_event(int index, const char *key, const char *member, const char *value)
{
    AUTO(json) json_t *event = json_loads(bodies[index], 0, NULL);
    const json_t *data = json_object_get(event, "data");

    ck_assert_msg(strncmp(outcomes[index], key, strlen(key)) == 0, "%s: %s", outcomes[index], bodies[index]);
    if (strcmp(member, "code") == 0)
        data = json_object_get(data, "error");
    ck_assert_str_eq(job_string(data, member, ""), value);
}

START_TEST(what_was_answered_elsewhere_is_repeated_byte_for_byte_and_not_run)
{
    past_key = "job.succeeded.test.make.00000000-0000-4000-8000-000000000001";
    past_body = "{\"data\": {}}";
    deliver_over(1, true, 1, "test.make", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_str_eq(outcomes[0], past_key);
    ck_assert_str_eq(bodies[0], past_body);
    ck_assert_int_eq(begun, 0);
    ck_assert_int_eq(swept, 1);
}
END_TEST

START_TEST(a_job_that_comes_again_is_not_run_before_the_journal_has_spoken)
{
    hold_journal = true;
    deliver_over(1, true, 1, "test.make", "a");
    wait_count(&asked_count, 1);
    ck_assert_int_eq(begun, 0);
    pthread_mutex_lock(&lock);
    hold_journal = false;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    wait_begun(1);
    ck_assert_str_eq(notes[0], "begun/w1");
    let_go(1);
    wait_count(&acknowledged_count, 1);
}
END_TEST

START_TEST(a_worker_that_has_let_go_and_says_so_late_is_no_crash)
{
    past.begun = 3;
    past.returned = 1;
    returned_later = 1;
    deliver_over(1, true, 1, "test.make", "a");
    wait_begun(1);
    ck_assert_int_eq(told_count, 2);
    let_go(1);
    wait_count(&acknowledged_count, 1);
}
END_TEST

START_TEST(a_job_that_has_ended_its_worker_too_often_fails_and_lies_in_the_dead)
{
    past.begun = 3;
    past.returned = 1;
    deliver_over(1, true, 1, "test.make", "a");
    wait_count(&acknowledged_count, 1);
    assert_event(0, "job.failed.test.make", "code", "crashed");
    ck_assert_str_eq(outcomes[1], "x.dead");
    ck_assert_int_eq(begun, 0);
}
END_TEST

START_TEST(a_job_that_only_looks_is_noted_too_when_it_begins_again)
{
    deliver_over(1, true, 1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(note_count, 1);
    ck_assert_str_eq(notes[0], "begun/w1");
}
END_TEST

START_TEST(what_must_not_be_done_twice_and_may_have_been_done_is_uncertain)
{
    deliver_over(1, true, 1, "test.once", "a");
    wait_count(&acknowledged_count, 1);
    assert_event(0, "job.uncertain.test.once", "code", "interrupted");
}
END_TEST

START_TEST(a_transient_failure_comes_again_after_a_delay)
{
    deliver(1, "test.busy", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_msg(strncmp(outcomes[0], "job.retrying.", 13) == 0, "%s", outcomes[0]);
    ck_assert_str_eq(outcomes[1], "test.busy@node1");
    ck_assert_int_eq(outcome_count, 2);
    ck_assert_int_eq(note_count, 0);
}
END_TEST

START_TEST(after_a_broken_connection_nothing_is_undone_for_the_next_attempt_takes_it_over)
{
    deliver(1, "test.break", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_msg(strncmp(outcomes[0], "job.retrying.", 13) == 0, "%s", outcomes[0]);
    ck_assert_ptr_null(strstr(bodies[0], "rollback"));
    ck_assert_str_eq(notes[0], "placed/node1");
}
END_TEST

START_TEST(what_could_not_be_undone_for_the_host_went_away_is_undone_by_the_next_attempt)
{
    deliver(1, "test.strand", "a");
    wait_count(&acknowledged_count, 1);
    assert_event(0, "job.retrying.test.strand", "code", "connection-lost");
    ck_assert_str_eq(outcomes[1], "test.strand@node1");
    ck_assert_str_eq(notes[0], "placed/node1");
}
END_TEST

START_TEST(the_last_attempt_fails)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    delivery->tag = (struct delivery_tag){ 1, ++next_tag };
    delivery->attempt = 3;
    delivery->body = strdup("{\"id\": \"00000000-0000-4000-8000-000000000001\", \"type\": \"test.busy\", "
                            "\"host\": \"node1\", \"params\": {\"guest\": \"a\"}}");
    delivery->length = strlen(delivery->body);
    dispatcher_delivery(dispatcher, JOB_QUICK, delivery);
    wait_count(&acknowledged_count, 1);
    assert_event(0, "job.failed.test.busy", "code", "busy");
}
END_TEST

START_TEST(an_answer_that_was_lost_is_given_again_when_its_delivery_comes_back)
{
    hold_confirms = true;
    deliver(1, "test.look", "a");
    wait_count(&outcome_count, 1);
    reconnect(JOB_QUICK);
    settle_as(held[0], MESSAGE_LOST);
    hold_confirms = false;
    deliver_over(2, true, 1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(outcome_count, 2);
    ck_assert_str_eq(bodies[0], bodies[1]);
}
END_TEST

START_TEST(a_lost_answer_gives_way_to_the_one_that_another_worker_gave)
{
    hold_confirms = true;
    deliver(1, "test.look", "a");
    wait_count(&outcome_count, 1);
    reconnect(JOB_QUICK);
    settle_as(held[0], MESSAGE_LOST);
    hold_confirms = false;
    past_key = "job.failed.test.look.00000000-0000-4000-8000-000000000001";
    past_body = "{\"data\": {\"of\": \"another\"}}";
    deliver_over(2, true, 1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_str_eq(bodies[1], past_body);
}
END_TEST

START_TEST(after_an_answer_was_lost_on_a_connection_that_stands_the_job_is_given_back)
{
    uint64_t again;

    hold_confirms = true;
    deliver(1, "test.look", "a");
    wait_count(&outcome_count, 1);
    hold_confirms = false;
    settle_as(held[0], MESSAGE_LOST);
    wait_count(&requeued_count, 1);
    again = deliver_over(1, true, 1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_uint_eq(acknowledged[0], again); /* until then it was not for us to answer */
    ck_assert_int_eq(outcome_count, 2);
    ck_assert_str_eq(bodies[0], bodies[1]);
}
END_TEST

START_TEST(a_delivery_that_came_back_before_the_answer_was_known_as_lost_is_kept)
{
    hold_confirms = true;
    deliver(1, "test.look", "a");
    wait_count(&outcome_count, 1);
    reconnect(JOB_QUICK);
    hold_confirms = false;
    deliver_over(2, true, 1, "test.look", "a");
    settle_as(held[0], MESSAGE_LOST);
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(requeued_count, 0);
    ck_assert_int_eq(outcome_count, 2);
}
END_TEST

START_TEST(a_job_whose_delivery_does_not_come_back_is_left_alone)
{
    deliver(1, "test.stop", "a");
    wait_begun(1);
    reconnect(JOB_LONG);
    let_go(1);
    dispatcher_tick(dispatcher); /* no grace is set */
    ck_assert_int_eq(dispatcher_drain(dispatcher, SECONDS_MAX * 1000), 0);
    ck_assert_int_eq(outcome_count, 0);
}
END_TEST

START_TEST(a_job_that_was_given_up_and_comes_back_does_not_wait_for_the_call_it_was_in)
{
    deliver(1, "test.hold", "a");
    wait_begun(1);
    reconnect(JOB_LONG);
    dispatcher_tick(dispatcher);
    deliver_over(connection, true, 1, "test.hold", "a");
    wait_begun(2);
    let_go(2);
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(dispatcher_drain(dispatcher, SECONDS_MAX * 1000), 0);
    ck_assert_int_eq(outcome_count, 1);
}
END_TEST

START_TEST(a_running_job_is_cancelled_at_its_safe_point_and_undone)
{
    deliver(1, "test.stop", "a");
    wait_begun(1);
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000001", "no more", envelope_now_ms());
    let_go(1);
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(outcome_count, 2);
    assert_event(0, "job.cancelling.test.stop", "reason", "no more");
    assert_event(1, "job.cancelled.test.stop", "code", "cancelled");
    ck_assert_ptr_nonnull(strstr(bodies[1], "rollback"));
}
END_TEST

START_TEST(a_job_is_cancelled_before_it_comes)
{
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000001", NULL, envelope_now_ms());
    deliver(1, "test.stop", "a");
    wait_count(&acknowledged_count, 1);
    assert_event(0, "job.cancelled.test.stop", "code", "cancelled");
    ck_assert_int_eq(begun, 0);
}
END_TEST

START_TEST(a_waiting_job_is_cancelled_without_its_turn)
{
    deliver(1, "test.hold", "a");
    wait_begun(1);
    deliver(2, "test.hold", "a");
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000002", NULL, envelope_now_ms());
    wait_count(&acknowledged_count, 1);
    assert_event(0, "job.cancelled.test.hold", "code", "cancelled");
    let_go(1);
    wait_count(&acknowledged_count, 2);
}
END_TEST

/* A job runs, its delivery goes away and comes back. */
static void deliver_away_and_back(const char *type)
{
    deliver(1, type, "a");
    wait_begun(1);
    reconnect(JOB_LONG);
    deliver_over(2, true, 1, type, "a");
}

static void release_journal(void)
{
    SCOPE_LOCK(&lock);

    hold_journal = false;
    pthread_cond_broadcast(&changed);
}

START_TEST(what_another_worker_has_ended_meanwhile_is_neither_gone_on_with_nor_undone)
{
    past_key = "job.succeeded.test.make.00000000-0000-4000-8000-000000000001";
    past_body = "{\"data\": {}}";
    deliver_away_and_back("test.make");
    wait_count(&requeued_count, 1);
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000001", NULL, envelope_now_ms());
    let_go(1);
    deliver_over(2, true, 1, "test.make", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_str_eq(bodies[0], past_body);
    ck_assert_int_eq(outcome_count, 1);
    ck_assert_int_eq(begun, 1);
}
END_TEST

START_TEST(what_another_worker_has_begun_meanwhile_is_begun_again)
{
    past.begun = 1;
    deliver_away_and_back("test.make");
    wait_count(&requeued_count, 1);
    deliver_over(2, true, 1, "test.make", "a");
    wait_begun(2); /* beside the old thread, which still waits */
    let_go(2);
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(outcome_count, 1);
}
END_TEST

START_TEST(a_job_that_came_back_goes_on_when_the_journal_knows_of_nobody_else)
{
    hold_journal = true;
    deliver_away_and_back("test.make");
    let_go(1);
    wait_count(&asked_count, 1);
    ck_assert_int_eq(outcome_count, 0);
    release_journal();
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(begun, 1);
    ck_assert_int_eq(requeued_count, 0);
    ck_assert_str_eq(notes[0],
                     "returned/w1"); /* when it was lost: whoever had got it must not count that as a crash */
    ck_assert_str_eq(notes[1], "begun/w1");
    ck_assert_int_eq(note_count, 2);
}
END_TEST

START_TEST(what_the_journal_was_asked_before_the_job_came_back_does_not_count)
{
    struct dispatcher_past nothing = { 0 };

    hold_journal = true;
    deliver_over(1, true, 1, "test.make", "a");
    wait_count(&asked_count, 1);
    reconnect(JOB_LONG);
    deliver_over(2, true, 1, "test.make", "a");
    wait_count(&asked_count, 2);
    past_key = "job.succeeded.test.make.00000000-0000-4000-8000-000000000001";
    past_body = "{\"data\": {}}";
    dispatcher_told(dispatcher, asked[told_count++], &nothing);
    release_journal();
    wait_acknowledged_or_given_back();
    if (acknowledged_count == 0) /* its thread had let go of it already */
        deliver_over(2, true, 1, "test.make", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_str_eq(bodies[0], past_body);
    ck_assert_int_eq(begun, 0);
}
END_TEST

START_TEST(an_order_that_comes_too_late_is_answered)
{
    deliver(1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000001", NULL, envelope_now_ms());
    wait_count(&outcome_count, 2);
    assert_event(1, "job.not-cancelled.test.look", "state", "succeeded");
}
END_TEST

START_TEST(an_order_of_yesterday_holds_no_more)
{
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000001", NULL,
                      envelope_now_ms() - INT64_C(25) * 3600 * 1000);
    deliver(1, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    assert_event(0, "job.succeeded.test.look", "state", "succeeded");
}
END_TEST

START_TEST(an_order_that_holds_no_more_stops_nothing_that_runs_or_waits)
{
    const int64_t yesterday_ms = envelope_now_ms() - INT64_C(25) * 3600 * 1000;

    deliver(1, "test.hold", "a");
    wait_begun(1);
    deliver(2, "test.stop", "a");
    deliver(3, "test.stop", "b");
    wait_begun(2);
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000002", NULL, yesterday_ms);
    dispatcher_cancel(dispatcher, "00000000-0000-4000-8000-000000000003", NULL, yesterday_ms);
    deliver(4, "test.look", "a");
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(begun, 2); /* the second still waits for the first */
    let_go(3);
    wait_count(&acknowledged_count, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_msg(strncmp(outcomes[i], "job.succeeded.", 14) == 0, "%s", outcomes[i]);
}
END_TEST

START_TEST(stamps_are_cleared_after_the_confirm_and_before_the_acknowledgement)
{
    hold_confirms = true;
    deliver(1, "test.make", "a");
    let_go(1);
    wait_count(&outcome_count, 1);
    ck_assert_int_eq(swept, 0);
    settle(held[0]);
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(swept, 1);
}
END_TEST

START_TEST(a_job_whose_stamps_cannot_be_cleared_comes_again_for_them)
{
    sweep_fails = true;
    deliver(1, "test.make", "a");
    let_go(1);
    wait_count(&acknowledged_count, 1);
    ck_assert_int_eq(outcome_count, 2);
    assert_event(0, "job.succeeded.test.make", "state", "succeeded");
    ck_assert_str_eq(outcomes[1], "test.make@node1");
    ck_assert_int_eq(swept, 1);
}
END_TEST

START_TEST(a_hand_over_lets_a_long_job_stop_without_a_word)
{
    deliver(1, "test.stop", "a");
    wait_begun(1);
    ck_assert_int_eq(dispatcher_hand_over(dispatcher, 10), -1);
    let_go(1);
    ck_assert_int_eq(dispatcher_hand_over(dispatcher, SECONDS_MAX * 1000), 0);
    ck_assert_int_eq(outcome_count, 0);
    ck_assert_int_eq(acknowledged_count, 0);
    ck_assert_int_eq(note_count, 1);
    ck_assert_str_eq(notes[0], "returned/w1"); /* or its redelivery would count as a crash */
}
END_TEST

START_TEST(a_hand_over_in_the_middle_of_an_undo_leaves_it_to_the_next_worker)
{
    deliver(1, "test.undo", "a");
    wait_begun(1);
    ck_assert_int_eq(dispatcher_hand_over(dispatcher, 10), -1);
    let_go(1);
    ck_assert_int_eq(dispatcher_hand_over(dispatcher, SECONDS_MAX * 1000), 0);
    ck_assert_int_eq(outcome_count, 0);
    ck_assert_int_eq(acknowledged_count, 0);
}
END_TEST

START_TEST(a_retry_that_is_redelivered_counts_what_was_noted_alone)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    past.begun = 2;
    delivery->tag = (struct delivery_tag){ 1, ++next_tag };
    delivery->attempt = 2;
    delivery->redelivered = true;
    delivery->body = strdup("{\"id\": \"00000000-0000-4000-8000-000000000001\", \"type\": \"test.steps\", "
                            "\"host\": \"node1\", \"params\": {\"guest\": \"a\"}}");
    delivery->length = strlen(delivery->body);
    dispatcher_delivery(dispatcher, JOB_QUICK, delivery);
    wait_count(&acknowledged_count, 1);
    ck_assert_str_eq(notes[0], "begun/w1");
}
END_TEST

START_TEST(a_job_whose_host_goes_away_in_a_hand_over_is_left_to_the_next_worker)
{
    deliver(1, "test.fall", "a");
    wait_begun(1);
    ck_assert_int_eq(dispatcher_hand_over(dispatcher, 10), -1);
    let_go(1);
    ck_assert_int_eq(dispatcher_hand_over(dispatcher, SECONDS_MAX * 1000), 0);
    ck_assert_int_eq(outcome_count, 0);
    ck_assert_int_eq(acknowledged_count, 0);
}
END_TEST

static void add_tests_of_coming_again(TCase *tests)
{
    tcase_add_test(tests, what_was_answered_elsewhere_is_repeated_byte_for_byte_and_not_run);
    tcase_add_test(tests, a_job_that_comes_again_is_not_run_before_the_journal_has_spoken);
    tcase_add_test(tests, a_worker_that_has_let_go_and_says_so_late_is_no_crash);
    tcase_add_test(tests, a_job_that_has_ended_its_worker_too_often_fails_and_lies_in_the_dead);
    tcase_add_test(tests, a_job_that_only_looks_is_noted_too_when_it_begins_again);
    tcase_add_test(tests, what_must_not_be_done_twice_and_may_have_been_done_is_uncertain);
    tcase_add_test(tests, a_transient_failure_comes_again_after_a_delay);
    tcase_add_test(tests, after_a_broken_connection_nothing_is_undone_for_the_next_attempt_takes_it_over);
    tcase_add_test(tests, what_could_not_be_undone_for_the_host_went_away_is_undone_by_the_next_attempt);
    tcase_add_test(tests, the_last_attempt_fails);
    tcase_add_test(tests, an_answer_that_was_lost_is_given_again_when_its_delivery_comes_back);
    tcase_add_test(tests, a_lost_answer_gives_way_to_the_one_that_another_worker_gave);
    tcase_add_test(tests, after_an_answer_was_lost_on_a_connection_that_stands_the_job_is_given_back);
    tcase_add_test(tests, a_delivery_that_came_back_before_the_answer_was_known_as_lost_is_kept);
    tcase_add_test(tests, a_job_whose_delivery_does_not_come_back_is_left_alone);
    tcase_add_test(tests, a_job_that_was_given_up_and_comes_back_does_not_wait_for_the_call_it_was_in);
    tcase_add_test(tests, a_running_job_is_cancelled_at_its_safe_point_and_undone);
    tcase_add_test(tests, a_job_is_cancelled_before_it_comes);
    tcase_add_test(tests, a_waiting_job_is_cancelled_without_its_turn);
    tcase_add_test(tests, what_another_worker_has_ended_meanwhile_is_neither_gone_on_with_nor_undone);
    tcase_add_test(tests, what_another_worker_has_begun_meanwhile_is_begun_again);
    tcase_add_test(tests, a_job_that_came_back_goes_on_when_the_journal_knows_of_nobody_else);
    tcase_add_test(tests, what_the_journal_was_asked_before_the_job_came_back_does_not_count);
    tcase_add_test(tests, an_order_that_comes_too_late_is_answered);
    tcase_add_test(tests, an_order_of_yesterday_holds_no_more);
    tcase_add_test(tests, an_order_that_holds_no_more_stops_nothing_that_runs_or_waits);
    tcase_add_test(tests, stamps_are_cleared_after_the_confirm_and_before_the_acknowledgement);
    tcase_add_test(tests, a_job_whose_stamps_cannot_be_cleared_comes_again_for_them);
    tcase_add_test(tests, a_hand_over_lets_a_long_job_stop_without_a_word);
    tcase_add_test(tests, a_hand_over_in_the_middle_of_an_undo_leaves_it_to_the_next_worker);
    tcase_add_test(tests, a_retry_that_is_redelivered_counts_what_was_noted_alone);
    tcase_add_test(tests, a_job_whose_host_goes_away_in_a_hand_over_is_left_to_the_next_worker);
}

int main(void)
{
    Suite *suite = suite_create("dispatcher");
    TCase *tests = tcase_create("dispatcher");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tests, 30);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_job_is_acknowledged_only_when_its_outcome_is_confirmed);
    tcase_add_test(tests, jobs_on_one_guest_run_one_after_the_other_in_order);
    tcase_add_test(tests, jobs_on_several_guests_run_at_the_same_time);
    tcase_add_test(tests, jobs_that_only_read_share_their_resource);
    tcase_add_test(tests, a_guest_is_one_resource_by_name_and_by_uuid);
    tcase_add_test(tests, a_quick_job_does_not_wait_for_the_long_lane);
    tcase_add_test(tests, a_redelivery_meets_the_running_job_and_its_new_tag_is_acknowledged);
    tcase_add_test(tests, a_redelivery_of_an_ended_job_is_acknowledged_without_a_second_outcome);
    tcase_add_test(tests, the_same_job_published_twice_runs_once_and_both_are_acknowledged);
    tcase_add_test(tests, another_job_with_the_id_of_one_in_hand_goes_to_the_dead);
    tcase_add_test(tests, a_redelivery_of_a_refused_job_is_not_answered_twice);
    tcase_add_test(tests, a_redelivery_of_what_cannot_be_read_meets_it_in_hand);
    tcase_add_test(tests, a_new_job_with_the_id_of_an_ended_one_survives_its_connection);
    tcase_add_test(tests, what_waits_is_forgotten_when_its_connection_ends);
    tcase_add_test(tests, a_failure_undoes_its_steps_last_first_and_tells_how_it_went);
    tcase_add_test(tests, a_bad_job_is_answered_and_one_without_identity_goes_to_the_dead);
    tcase_add_test(tests, an_integer_too_large_is_the_largest);
    tcase_add_test(tests, draining_begins_nothing_more_and_waits_for_what_runs);
    add_tests_of_coming_again(tests);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
