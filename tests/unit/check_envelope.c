/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a message must look like, what is kept of a bad one, and what events look like. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "envelope.h"
#include "schemas.h"

#define ID    "5f0c5a5e-0c7b-4a86-93f5-0f6f4a7f3f0e"
#define OTHER "00000000-0000-4000-8000-000000000001"

static struct schema_store *schemas;
static struct envelope_rules *rules;
static struct request request;
static struct error err;

static void setup(void)
{
    err = ERROR_INIT;
    schemas = schemas_load(&err);
    ck_assert_msg(schemas != NULL, "%s", err.message);
    rules = envelope_rules_new(schemas, "[a-z.]{1,20}", "virtjob", &err);
    ck_assert_msg(rules != NULL, "%s", err.message);
}

static void teardown(void)
{
    request_done(&request);
    envelope_rules_free(rules);
    schema_store_free(schemas);
}

static int parse(struct delivery delivery, const char *body)
{
    delivery.body = (char *)body;
    delivery.length = body ? strlen(body) : delivery.length;
    return envelope_parse(rules, &delivery, &request, &err);
}

static const char good[] = "{\"id\": \"" ID "\", \"type\": \"guest.info\", \"host\": \"node1\", "
                           "\"params\": {\"guest\": \"web-7\"}, \"labels\": {\"tenant\": \"blue\"}}";

static void assert_refused(enum error_code code, const char *where)
{
    ck_assert_str_eq(error_name(err.code), error_name(code));
    ck_assert(err.has_where);
    ck_assert_str_eq(err.where, where);
}

START_TEST(a_good_job_is_taken_whole)
{
    struct delivery delivery = { .routing_key = "guest.info@node1",
                                 .message_id = ID,
                                 .reply_to = "answers",
                                 .correlation_id = "c1",
                                 .traceparent = "00-aa-bb-01" };

    ck_assert_msg(parse(delivery, good) == 0, "%s", err.message);
    ck_assert_str_eq(request.id, ID);
    ck_assert_str_eq(request.type, "guest.info");
    ck_assert_str_eq(request.host, "node1");
    ck_assert_str_eq(request.reply_to, "answers");
    ck_assert_str_eq(request.correlation_id, "c1");
    ck_assert_str_eq(json_string_value(json_object_get(request.params, "guest")), "web-7");
    ck_assert(request.rollback);
}
END_TEST

START_TEST(the_id_is_kept_in_lower_case)
{
    struct delivery delivery = { .message_id = "5F0C5A5E-0C7B-4A86-93F5-0F6F4A7F3F0E" };

    ck_assert_int_eq(parse(delivery, good), 0);
    ck_assert_str_eq(request.id, ID);
}
END_TEST

START_TEST(what_is_not_json_is_answered_under_its_message_id)
{
    struct delivery delivery = { .routing_key = "guest.info@node1", .message_id = ID };

    ck_assert_int_eq(parse(delivery, "{\"id\": "), -1);
    assert_refused(ERROR_INVALID, "");
    ck_assert_ptr_nonnull(strstr(err.message, "line 1"));
    ck_assert_str_eq(request.id, ID);
    ck_assert_str_eq(request.type, "guest.info");
    ck_assert_str_eq(request.host, "node1");
}
END_TEST

START_TEST(deep_nesting_is_refused_as_not_json)
{
    struct delivery delivery = { .message_id = ID };
    AUTO(string) char *body = malloc(200001);

    memset(body, '[', 100000);
    memset(body + 100000, ']', 100000);
    body[200000] = '\0';
    ck_assert_int_eq(parse(delivery, body), -1);
    assert_refused(ERROR_INVALID, "");
}
END_TEST

START_TEST(an_oversized_body_is_named_as_such)
{
    struct delivery delivery = { .message_id = ID, .oversized = true, .length = 20 << 20 };

    ck_assert_int_eq(parse(delivery, NULL), -1);
    assert_refused(ERROR_TOO_LARGE, "");
    ck_assert_ptr_nonnull(strstr(err.message, "20971520"));
}
END_TEST

START_TEST(a_member_given_twice_is_refused)
{
    struct delivery delivery = { .message_id = ID };

    ck_assert_int_eq(parse(delivery, "{\"id\": \"" ID "\", \"id\": \"" OTHER "\"}"), -1);
    assert_refused(ERROR_INVALID, "");
}
END_TEST

START_TEST(an_unknown_type_is_told_at_its_place)
{
    struct delivery delivery = { .message_id = ID };

    ck_assert_int_eq(
        parse(delivery, "{\"id\": \"" ID "\", \"type\": \"guest.fly\", \"host\": \"node1\", \"params\": {}}"),
        -1);
    assert_refused(ERROR_UNKNOWN_TYPE, "/type");
}
END_TEST

START_TEST(parameters_are_checked_by_the_schema_of_their_type)
{
    struct delivery delivery = { .message_id = ID };

    ck_assert_int_eq(parse(delivery,
                           "{\"id\": \"" ID
                           "\", \"type\": \"guest.info\", \"host\": \"node1\", \"params\": {\"guest\": 7}}"),
                     -1);
    assert_refused(ERROR_INVALID, "/params/guest");
}
END_TEST

START_TEST(document_and_properties_must_not_contradict_each_other)
{
    struct delivery other_id = { .message_id = OTHER };
    struct delivery other_host = { .message_id = ID, .routing_key = "guest.info@node2" };
    struct delivery other_type = { .message_id = ID, .routing_key = "guest.inf@node1" };
    struct delivery no_uuid = { .message_id = "seven" };

    ck_assert_int_eq(parse(other_id, good), -1);
    assert_refused(ERROR_INVALID, "/id");
    request_done(&request);
    ck_assert_int_eq(parse(other_host, good), -1);
    assert_refused(ERROR_INVALID, "/host");
    request_done(&request);
    ck_assert_int_eq(parse(other_type, good), -1);
    assert_refused(ERROR_INVALID, "/type");
    request_done(&request);
    ck_assert_int_eq(parse(no_uuid, good), -1);
    assert_refused(ERROR_INVALID, "/id");
}
END_TEST

START_TEST(a_reply_to_outside_the_pattern_is_refused_and_forgotten)
{
    struct delivery pattern = { .message_id = ID, .reply_to = "Elsewhere" };
    struct delivery ours = { .message_id = ID, .reply_to = "virtjob.dead" };

    ck_assert_int_eq(parse(pattern, good), -1);
    assert_refused(ERROR_DENIED, "");
    ck_assert_ptr_null(request.reply_to);
    request_done(&request);
    ck_assert_int_eq(parse(ours, good), -1);
    assert_refused(ERROR_DENIED, "");
    ck_assert_ptr_null(request.reply_to);
}
END_TEST

static int64_t deadline_of(const char *text)
{
    AUTO(string) char *body = NULL;

    request_done(&request);
    ck_assert_int_gt(asprintf(&body,
                              "{\"id\": \"" ID "\", \"type\": \"guest.info\", \"host\": \"node1\", "
                              "\"params\": {\"guest\": \"a\"}, \"deadline\": \"%s\"}",
                              text),
                     0);
    ck_assert_msg(envelope_parse_document(rules, body, strlen(body), &request, &err) == 0, "%s", err.message);
    return request.deadline_ms;
}

START_TEST(a_deadline_is_read_in_any_zone)
{
    ck_assert_int_eq(deadline_of("1970-01-01T00:00:01Z"), 1000);
    ck_assert_int_eq(deadline_of("1970-01-01T00:00:01.250Z"), 1250);
    ck_assert_int_eq(deadline_of("1970-01-01T02:00:02+02:00"), 2000);
    ck_assert_int_eq(deadline_of("1970-01-01T02:00:00+02:00"), 1); /* 0 would be none */
    ck_assert_int_eq(deadline_of("0000-01-01T00:00:00Z"), 1);
    ck_assert_int_eq(deadline_of("1969-12-31T22:30:01-01:30"), 1000);
}
END_TEST

START_TEST(every_event_fits_its_schema)
{
    struct delivery delivery = { .routing_key = "guest.info@node1",
                                 .message_id = ID,
                                 .traceparent = "00-aa-bb-01" };
    const struct schema *schema = schema_store_find(schemas, "https://virtjob.io/schemas/1/event.json");
    struct outcome ok = {
        .state = OUTCOME_SUCCEEDED, .result = json_object(), .changed = true, .attempts = 1
    };
    struct outcome bad = { .state = OUTCOME_FAILED, .step = "clone", .attempts = 1 };
    struct outcome partly = { .state = OUTCOME_CANCELLED, .result = json_object() };

    ck_assert_int_eq(parse(delivery, good), 0);
    error_set_at(&bad.error, ERROR_NOT_FOUND, "/params/guest", "there is no guest 'web-7'");
    json_t *events[] = {
        envelope_outcome(&request, &ok, "node1", "w1"),
        envelope_outcome(&request, &bad, "node1", "w1"),
        envelope_outcome(&request, &partly, "node1", "w1"),
        envelope_job_event(&request, "started", 1, "node1", json_object()),
        envelope_event("host.connected", "/virtjob/hosts/node1", NULL, "1/1",
                       json_pack("{s:i, s:i, s:s}", "epoch", 1, "seq", 1, "driver", "QEMU")),
    };
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        ck_assert_msg(schema_check(schema, events[i], "", &err) == 0, "event %zu: %s at %s", i, err.message,
                      err.where);
        json_decref(events[i]);
    }
    outcome_done(&ok);
    outcome_done(&bad);
    outcome_done(&partly);
}
END_TEST

START_TEST(what_a_job_that_failed_has_done_is_told)
{
    struct outcome partly = { .state = OUTCOME_FAILED, .result = json_pack("{s:i}", "left", 2) };
    struct delivery delivery = { .message_id = ID };
    AUTO(json) json_t *event = NULL;
    int left = 0;

    ck_assert_int_eq(parse(delivery, good), 0);
    error_set(&partly.error, ERROR_CONFLICT, "two are left");
    event = envelope_outcome(&request, &partly, "node1", "w1");
    ck_assert_int_eq(json_unpack(event, "{s:{s:{s:i}}}", "data", "result", "left", &left), 0);
    ck_assert_int_eq(left, 2);
    ck_assert(json_is_object(json_object_get(json_object_get(event, "data"), "error")));
    outcome_done(&partly);
}
END_TEST

START_TEST(an_outcome_has_one_id_whatever_it_is_and_echoes_the_labels)
{
    struct outcome outcome = { .state = OUTCOME_CANCELLED };
    const char *tenant = NULL, *id = NULL, *type = NULL;
    struct delivery delivery = { .message_id = ID };
    AUTO(json) json_t *event = NULL;

    ck_assert_int_eq(parse(delivery, good), 0);
    event = envelope_outcome(&request, &outcome, "node1", "w1");
    ck_assert_int_eq(json_unpack(event, "{s:s, s:s, s:{s:{s:{s:s}}}}", "id", &id, "type", &type, "data",
                                 "job", "labels", "tenant", &tenant),
                     0);
    ck_assert_str_eq(id, ID "/outcome");
    ck_assert_str_eq(type, "io.virtjob.job.cancelled");
    ck_assert_str_eq(tenant, "blue");
}
END_TEST

START_TEST(a_type_that_could_not_be_one_does_not_shape_the_routing_key)
{
    char key[256];
    struct delivery delivery = { .routing_key = "a.b.#.c@node1", .message_id = ID };

    ck_assert_int_eq(parse(delivery, "[]"), -1);
    envelope_job_key(&request, "failed", key);
    ck_assert_str_eq(key, "job.failed.unknown.unknown." ID);
}
END_TEST

START_TEST(a_message_carries_the_event_and_the_trace)
{
    struct delivery delivery = { .message_id = ID, .correlation_id = "c1", .tracestate = "s=1" };
    AUTO(json) json_t *event = NULL;
    struct message *message;

    ck_assert_int_eq(parse(delivery, good), 0);
    event = envelope_job_event(&request, "started", 7, "node1", json_object());
    message = envelope_message("virtjob.events", "job.started", event, &request);
    ck_assert_str_eq(message->content_type, "application/cloudevents+json");
    ck_assert_str_eq(message->message_id, ID "/started/7");
    ck_assert_str_eq(message->correlation_id, "c1");
    ck_assert_str_eq(message->tracestate, "s=1");
    ck_assert(message->persistent);
    message_free(message);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("envelope");
    TCase *tests = tcase_create("envelope");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_good_job_is_taken_whole);
    tcase_add_test(tests, the_id_is_kept_in_lower_case);
    tcase_add_test(tests, what_is_not_json_is_answered_under_its_message_id);
    tcase_add_test(tests, deep_nesting_is_refused_as_not_json);
    tcase_add_test(tests, an_oversized_body_is_named_as_such);
    tcase_add_test(tests, a_member_given_twice_is_refused);
    tcase_add_test(tests, an_unknown_type_is_told_at_its_place);
    tcase_add_test(tests, parameters_are_checked_by_the_schema_of_their_type);
    tcase_add_test(tests, document_and_properties_must_not_contradict_each_other);
    tcase_add_test(tests, a_reply_to_outside_the_pattern_is_refused_and_forgotten);
    tcase_add_test(tests, a_deadline_is_read_in_any_zone);
    tcase_add_test(tests, every_event_fits_its_schema);
    tcase_add_test(tests, what_a_job_that_failed_has_done_is_told);
    tcase_add_test(tests, an_outcome_has_one_id_whatever_it_is_and_echoes_the_labels);
    tcase_add_test(tests, a_type_that_could_not_be_one_does_not_shape_the_routing_key);
    tcase_add_test(tests, a_message_carries_the_event_and_the_trace);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
