/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A dispatcher with job types that wait for the test, on the test driver, a publisher whose messages end here, and a journal
 * that says what the test wants. */

#ifndef VIRTJOB_DISPATCHER_FIXTURE_H
#define VIRTJOB_DISPATCHER_FIXTURE_H

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

static inline int run_hold(struct job *job, json_t **ret_result, struct error *err)
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

static inline int undo_note(struct job *job, const json_t *state, struct error *err)
{
    (void)job;
    if (json_is_true(json_object_get(state, "host is away")))
        return error_set(err, ERROR_HOST_UNAVAILABLE, "the host is away");
    if (json_is_true(json_object_get(state, "fails")))
        return error_set(err, ERROR_BUSY, "still in use");
    return 0;
}

/* Waits for the test, then for something that takes its time. */
static inline int undo_slowly(struct job *job, const json_t *state, struct error *err)
{
    (void)state;
    atomic_fetch_add(&begun, 1);
    sem_wait(&go);
    return job_wait(job, SECONDS_MAX * 1000, err);
}

static inline int run_undo_slowly(struct job *job, json_t **ret_result, struct error *err)
{
    (void)ret_result;
    if (job_undo(job, "undo", undo_slowly, json_object(), err) < 0)
        return -1;
    return error_set(err, ERROR_INVALID, "it was wrong");
}

/* Fails for a reason that may pass, but in its last attempt. */
static inline int run_busy(struct job *job, json_t **ret_result, struct error *err)
{
    (void)ret_result;
    if (job_step(job, "try", err) < 0)
        return -1;
    return error_set(err, ERROR_BUSY, "somebody holds it");
}

/* Fails for good, and its host goes away before that can be undone. */
static inline int run_strand(struct job *job, json_t **ret_result, struct error *err)
{
    (void)ret_result;
    if (job_undo(job, "undo", undo_note, json_pack("{s:b}", "host is away", 1), err) < 0)
        return -1;
    return error_set(err, ERROR_INVALID, "it was wrong");
}

/* Loses its connection after its effect. */
static inline int run_break(struct job *job, json_t **ret_result, struct error *err)
{
    (void)ret_result;
    if (job_undo(job, "undo", undo_note, json_pack("{s:s}", "name", "a"), err) < 0)
        return -1;
    return error_set(err, ERROR_CONNECTION_LOST, "it broke");
}

/* Waits for the test, then comes to its safe point. */
static inline int run_stop(struct job *job, json_t **ret_result, struct error *err)
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
static inline int run_hold_break(struct job *job, json_t **ret_result, struct error *err)
{
    (void)job;
    (void)ret_result;
    atomic_fetch_add(&begun, 1);
    sem_wait(&go);
    return error_set(err, ERROR_CONNECTION_LOST, "it broke");
}

static bool sweep_fails;

static inline int sweep(struct job *job, struct error *err)
{
    (void)job;
    pthread_mutex_lock(&lock);
    swept++;
    pthread_mutex_unlock(&lock);
    return sweep_fails ? error_set(err, ERROR_HOST_UNAVAILABLE, "the host is away") : 0;
}

static inline int run_look(struct job *job, json_t **ret_result, struct error *err)
{
    (void)job;
    (void)err;
    *ret_result = json_object();
    return 0;
}

static inline int run_three_steps(struct job *job, json_t **ret_result, struct error *err)
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

static inline void settle_as(struct message *message, enum message_fate fate)
{
    if (message->settled)
        message->settled(message->opaque, message, fate);
    message_free(message);
}

static inline void settle(struct message *message)
{
    settle_as(message, MESSAGE_CONFIRMED);
}

static inline bool take_note(const struct message *message)
{
    SCOPE_LOCK(&lock);

    if (strcmp(message->routing_key, "x.journal") != 0)
        return false;
    snprintf(notes[note_count++], sizeof(notes[0]), "%s", message->message_id + REQUEST_ID_SIZE);
    pthread_cond_broadcast(&changed);
    return true;
}

static inline int publish(void *transport, struct message *message)
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

static inline int answer(void *transport, int lane, struct message *message)
{
    (void)lane;
    return publish(transport, message);
}

static inline int ask(void *opaque, const char *job_id, uint64_t since_s)
{
    (void)opaque;
    (void)since_s;
    pthread_mutex_lock(&lock);
    snprintf(asked[asked_count++], sizeof(asked[0]), "%s", job_id);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return 0;
}

static inline struct delivery *past_outcome(void)
{
    struct delivery *outcome = calloc(1, sizeof(*outcome));

    outcome->routing_key = strdup(past_key);
    outcome->body = strdup(past_body);
    outcome->length = strlen(past_body);
    return outcome;
}

/* The journal's thread: tells what is asked, one after the other. */
static inline void *tell(void *opaque)
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

static inline int retry_delay(void *opaque, int attempt)
{
    (void)opaque;
    return attempt * 10;
}

static inline void settle_delivery(void *opaque, enum job_lane lane, struct delivery_tag tag, bool requeue)
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

static inline int guest_alias(void *opaque, const char *on, const char *name_or_uuid, char *ret_other)
{
    (void)opaque;
    (void)on;
    if (strcmp(name_or_uuid, "11111111-1111-4111-8111-111111111111") != 0)
        return -1;
    strcpy(ret_other, "named");
    return 0;
}

static inline void wait_count(const int *count, int wanted)
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

static inline void wait_acknowledged_or_given_back(void)
{
    struct timespec end;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += SECONDS_MAX;
    pthread_mutex_lock(&lock);
    while (acknowledged_count == 0 && requeued_count == 0)
        ck_assert_msg(pthread_cond_timedwait(&changed, &lock, &end) == 0, "neither came");
    pthread_mutex_unlock(&lock);
}

static inline void wait_begun(int wanted)
{
    struct timespec pause = { .tv_nsec = 1000000 };

    for (int i = 0; begun < wanted && i < SECONDS_MAX * 1000; i++)
        nanosleep(&pause, NULL);
    ck_assert_int_ge(begun, wanted);
}

static inline void add_schema(const char *type)
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

static inline void setup(void)
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

static inline void teardown(void)
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
static inline uint64_t deliver_over(uint64_t epoch, bool redelivered, int number, const char *type,
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
static inline void reconnect(enum job_lane lane)
{
    connection++;
    dispatcher_closed(dispatcher, lane);
    dispatcher_opened(dispatcher, lane);
}

static inline uint64_t deliver(int number, const char *type, const char *guest)
{
    return deliver_over(connection, false, number, type, guest);
}

static inline void let_go(int count)
{
    while (count-- > 0)
        sem_post(&go);
}

static inline int run_suite(TCase *tests, const char *name)
{
    Suite *suite = suite_create(name);
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tests, 30);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
