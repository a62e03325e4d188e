/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What is made out of a message of the dead queue, whoever wrote it. */

#include <check.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "letter.h"

#define JOB "5f0c5a5e-0c7b-4a86-93f5-0f6f4a7f3f0e"

CLEANUP_DEFINE(letter, struct letter *, letter_free)
CLEANUP_DEFINE(message, struct message *, message_free)

static const struct terminal plain = { .unicode = false, .width = 100, .height = 24 };

/* Of so many bytes, in which there may be a NUL. */
static struct letter *letter_of(const char *body, size_t length, const char *message_id, const char *reason)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));
    struct letter *letter;

    ck_assert_ptr_nonnull(delivery);
    delivery->exchange = strdup("");
    delivery->routing_key = strdup("virtjob.dead");
    delivery->message_id = message_id ? strdup(message_id) : NULL;
    delivery->reason = reason ? strdup(reason) : NULL;
    delivery->length = length;
    delivery->body = malloc(length + 1);
    memcpy(delivery->body, body, length);
    delivery->body[length] = '\0';
    letter = letter_new(delivery);
    ck_assert_ptr_nonnull(letter);
    return letter;
}

static struct letter *letter_text(const char *body, const char *message_id)
{
    return letter_of(body, strlen(body), message_id, NULL);
}

/* What letter_show writes; the caller frees. */
static char *shown(const struct letter *letter)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    letter_show(out, letter, &plain);
    fclose(out);
    return text;
}

START_TEST(job_has_an_id_a_type_and_a_host)
{
    AUTO(letter) struct letter *letter = letter_text(
        "{\"id\":\"5F0C5A5E-0C7B-4A86-93F5-0F6F4A7F3F0E\",\"type\":\"host.info\",\"host\":\"node1\"}", NULL);

    ck_assert_int_eq(letter->kind, LETTER_JOB);
    ck_assert_str_eq(letter->job, JOB);
    ck_assert_str_eq(letter->type, "host.info");
    ck_assert_str_eq(letter->host, "node1");
    ck_assert(letter_is(letter, JOB));
    ck_assert(letter_is(letter, letter->id));
    ck_assert(!letter_is(letter, ""));
}
END_TEST

START_TEST(id_of_the_message_will_do)
{
    AUTO(letter) struct letter *letter = letter_text("{\"type\":\"host.info\",\"host\":\"node1\"}", JOB);

    ck_assert_int_eq(letter->kind, LETTER_JOB);
    ck_assert_str_eq(letter->job, JOB);
}
END_TEST

START_TEST(what_is_no_job_cannot_be_requeued)
{
    static const char *const bodies[] = { "",
                                          "not json",
                                          "7",
                                          "[]",
                                          "{}",
                                          "{\"type\":7,\"host\":[],\"id\":{}}",
                                          "{\"id\":\"" JOB "\",\"type\":\"\",\"host\":\"node1\"}",
                                          "{\"id\":\"7\",\"type\":\"host.info\",\"host\":\"node1\"}",
                                          "{\"specversion\":\"1.0\"}" };

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        AUTO(letter) struct letter *letter = letter_text(bodies[i], NULL);
        struct error err = ERROR_INIT;
        ck_assert_int_ne(letter->kind, LETTER_JOB);
        ck_assert_ptr_null(letter_message(letter, "jobs", NULL, &err));
        ck_assert_int_eq(err.code, ERROR_INVALID);
    }
}
END_TEST

START_TEST(outcome_names_its_job)
{
    AUTO(letter) struct letter *letter =
        letter_text("{\"specversion\":\"1.0\",\"type\":\"io.virtjob.job.failed\",\"data\":{\"job\":"
                    "{\"id\":\"" JOB "\",\"type\":\"volume.clone\",\"host\":\"node1\"}}}",
                    JOB "/outcome");

    ck_assert_int_eq(letter->kind, LETTER_EVENT);
    ck_assert_str_eq(letter->state, "failed");
    ck_assert_str_eq(letter->job, JOB);
    ck_assert_str_eq(letter->type, "volume.clone");
}
END_TEST

START_TEST(digest_tells_messages_apart)
{
    AUTO(letter) struct letter *one = letter_of("ab", 2, "c", "d");
    AUTO(letter) struct letter *copy = letter_of("ab", 2, "c", "d");
    AUTO(letter) struct letter *other_body = letter_of("aB", 2, "c", "d");
    AUTO(letter) struct letter *other_cut = letter_of("ab", 2, "cd", NULL);

    ck_assert_str_eq(one->id, copy->id);
    ck_assert_str_ne(one->id, other_body->id);
    ck_assert_str_ne(one->id, other_cut->id);
    ck_assert_uint_eq(strlen(one->id), 12);
}
END_TEST

START_TEST(requeued_as_it_was)
{
    static const char body[] = "{ \"type\": \"host.info\", \"host\": \"node1\", \"id\": \"" JOB "\" }";
    AUTO(letter) struct letter *letter = letter_text(body, JOB);
    letter->delivery->correlation_id = strdup("mine");
    letter->delivery->reply_to = strdup("answers");
    letter->delivery->traceparent = strdup("00-1-2-01");
    letter->delivery->user_id = strdup("portal");
    letter->delivery->attempt = 3;
    letter->delivery->timestamp = 1795175990;
    AUTO(message) struct message *message = letter_message(letter, "jobs", NULL, NULL);

    ck_assert_ptr_nonnull(message);
    ck_assert_str_eq(message->exchange, "jobs");
    ck_assert_str_eq(message->routing_key, "host.info@node1");
    ck_assert_str_eq(message->body, body);
    ck_assert_uint_eq(message->length, strlen(body));
    ck_assert_str_eq(message->message_id, JOB);
    ck_assert_str_eq(message->content_type, "application/json");
    ck_assert_str_eq(message->correlation_id, "mine");
    ck_assert_str_eq(message->reply_to, "answers");
    ck_assert_str_eq(message->traceparent, "00-1-2-01");
    ck_assert_ptr_null(message->user_id);
    ck_assert_int_eq(message->attempt, 0);
    ck_assert_uint_eq(message->timestamp, 1795175990);
    ck_assert(message->mandatory && message->persistent);
}
END_TEST

START_TEST(requeued_under_another_id)
{
    static const char other[] = "00000000-0000-4000-8000-000000000001";
    AUTO(letter) struct letter *letter =
        letter_text("{\"id\":\"" JOB "\",\"type\":\"host.info\",\"host\":\"node1\"}", JOB);
    AUTO(message) struct message *message = letter_message(letter, "jobs", other, NULL);

    ck_assert_ptr_nonnull(message);
    ck_assert_str_eq(message->message_id, other);
    ck_assert_ptr_nonnull(strstr(message->body, other));
    ck_assert_ptr_null(strstr(message->body, JOB));
    ck_assert_uint_eq(message->length, strlen(message->body));
}
END_TEST

START_TEST(answered_job_needs_another_id)
{
    static const char body[] = "{\"id\":\"" JOB "\",\"type\":\"host.info\",\"host\":\"node1\"}";
    AUTO(letter) struct letter *letter = letter_of(body, strlen(body), JOB, "crashed: three times");
    AUTO(letter) struct letter *other = letter_of(body, strlen(body), JOB, "crashed into a wall");
    struct error err = ERROR_INIT;

    ck_assert_ptr_null(letter_message(letter, "jobs", NULL, &err));
    ck_assert_ptr_nonnull(strstr(err.message, "--new-id"));
    AUTO(message) struct message *again = letter_message(letter, "jobs", JOB, NULL);
    AUTO(message) struct message *unanswered = letter_message(other, "jobs", NULL, NULL);
    ck_assert_ptr_nonnull(again);
    ck_assert_ptr_nonnull(unanswered);
}
END_TEST

START_TEST(one_request_is_known_in_several_messages)
{
    static const char body[] = "{\"type\":\"host.info\",\"host\":\"node1\"}";
    static const char more[] = "{\"type\":\"host.info\",\"host\":\"node1\",\"params\":{}}";
    AUTO(letter) struct letter *one = letter_of(body, strlen(body), JOB, "crashed: once");
    AUTO(letter) struct letter *two = letter_of(body, strlen(body), JOB, "crashed: twice");
    AUTO(letter) struct letter *other = letter_of(more, strlen(more), JOB, "crashed: once");
    AUTO(letter) struct letter *id = letter_text(body, "00000000-0000-4000-8000-000000000001");

    ck_assert_str_eq(one->request, two->request);
    ck_assert_str_ne(one->id, two->id);
    ck_assert_str_ne(one->request, other->request);
    ck_assert_str_ne(one->request, id->request);
}
END_TEST

START_TEST(any_bytes_are_shown_and_steer_nothing)
{
    static const char bytes[] = "a\0b\033[2J\xff";
    AUTO(letter) struct letter *letter = letter_of(bytes, sizeof(bytes) - 1, "\033[2J", "\033]0;x\a");
    AUTO(string) char *text = shown(letter);

    ck_assert_ptr_nonnull(strstr(text, "a\\x00b\\x1b[2J\\xff\n"));
    for (const char *c = text; *c; c++)
        ck_assert(*c == '\n' || (*c >= ' ' && *c < 0x7f));
    AUTO(json) json_t *object = letter_json(letter, true);
    ck_assert_str_eq(json_string_value(json_object_get(object, "hex")), "6100621b5b324aff");
}
END_TEST

START_TEST(long_bodies_are_cut)
{
    size_t length = 1 << 20;
    AUTO(memory) void *bytes = malloc(length);
    memset(bytes, 'x', length);
    AUTO(letter) struct letter *letter = letter_of(bytes, length, NULL, NULL);
    AUTO(string) char *text = shown(letter);

    ck_assert_uint_lt(strlen(text), 100000);
    ck_assert_ptr_nonnull(strstr(text, "bytes more"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("letter");
    TCase *reading = tcase_create("reading"), *requeuing = tcase_create("requeuing");
    SRunner *runner = srunner_create(suite);

    setlocale(LC_CTYPE, "C");
    tcase_add_test(reading, job_has_an_id_a_type_and_a_host);
    tcase_add_test(reading, id_of_the_message_will_do);
    tcase_add_test(reading, outcome_names_its_job);
    tcase_add_test(reading, digest_tells_messages_apart);
    tcase_add_test(reading, any_bytes_are_shown_and_steer_nothing);
    tcase_add_test(reading, long_bodies_are_cut);
    tcase_add_test(requeuing, what_is_no_job_cannot_be_requeued);
    tcase_add_test(requeuing, requeued_as_it_was);
    tcase_add_test(requeuing, requeued_under_another_id);
    tcase_add_test(requeuing, answered_job_needs_another_id);
    tcase_add_test(requeuing, one_request_is_known_in_several_messages);
    suite_add_tcase(suite, reading);
    suite_add_tcase(suite, requeuing);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
