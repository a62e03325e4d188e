/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Deliveries and messages own what they hold; the sanitizers and valgrind watch over the frees. */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

START_TEST(message_copies_names_and_takes_the_body)
{
    char exchange[] = "virtjob.events", key[] = "job.succeeded";
    char *body = strdup("{}");
    struct message *message = message_new(exchange, key, body, 2);

    memset(exchange, 'x', strlen(exchange));
    memset(key, 'x', strlen(key));
    ck_assert_ptr_nonnull(message);
    ck_assert_str_eq(message->exchange, "virtjob.events");
    ck_assert_str_eq(message->routing_key, "job.succeeded");
    ck_assert_ptr_eq(message->body, body);
    ck_assert_uint_eq(message->length, 2);
    ck_assert(!message->persistent && !message->mandatory && !message->droppable);
    ck_assert(message->epoch == 0 && message->attempt == 0);
    ck_assert_ptr_null(message->settled);
    message->content_type = strdup("application/json");
    message->reason = strdup("not JSON");
    message->requester = strdup("portal");
    message_free(message);
}
END_TEST

START_TEST(message_may_be_empty)
{
    struct message *message = message_new("", "queue", NULL, 0);

    ck_assert_ptr_nonnull(message);
    ck_assert_ptr_null(message->body);
    message_free(message);
    message_free(NULL);
}
END_TEST

START_TEST(delivery_frees_every_string)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));
    char **strings[] = { &delivery->exchange,   &delivery->routing_key,    &delivery->content_type,
                         &delivery->message_id, &delivery->correlation_id, &delivery->reply_to,
                         &delivery->user_id,    &delivery->traceparent,    &delivery->tracestate,
                         &delivery->requester,  &delivery->reason,         &delivery->body };

    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        *strings[i] = strdup("text");
    delivery_free(delivery);
    delivery_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("message");
    TCase *tcase = tcase_create("all");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, message_copies_names_and_takes_the_body);
    tcase_add_test(tcase, message_may_be_empty);
    tcase_add_test(tcase, delivery_frees_every_string);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
