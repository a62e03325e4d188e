/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What is an order and what is not, markers, and orders that come again. The stream itself is in
 * tests/integration/control-*. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control_internal.h"
#include "schemas.h"

#define JOB "5f0c5a5e-0c7b-4a86-93f5-0f6f4a7f3f0e"

static struct config config = { .broker = { .prefix = (char *)"virtjob",
                                            .uri = (char *)"amqp://127.0.0.1" } };
static struct topology *topology;
static struct schema_store *schemas;
static struct link *link; /* never started */
static struct control *control;

/* What has been told. */
static int order_count, caught_up_count;
static struct control_order last;
static char last_reason[256], last_requester[64];

static void on_cancel(void *opaque, const struct control_order *order)
{
    ck_assert_ptr_eq(opaque, &config);
    order_count++;
    last = *order;
    snprintf(last_reason, sizeof(last_reason), "%s", order->reason ? order->reason : "-");
    snprintf(last_requester, sizeof(last_requester), "%s", order->requester ? order->requester : "-");
}

static void on_caught_up(void *opaque)
{
    ck_assert_ptr_eq(opaque, &config);
    caught_up_count++;
}

static void setup(void)
{
    const struct link_settings link_settings = { .broker = &config.broker,
                                                 .name = "control",
                                                 .max_pending = 16 };
    struct control_settings settings = {
        .worker = "w1", .cancel = on_cancel, .caught_up = on_caught_up, .opaque = &config
    };

    order_count = caught_up_count = 0;
    settings.topology = topology = topology_new(&config, NULL);
    settings.schemas = schemas = schemas_load(NULL);
    link = link_new(&link_settings, &(struct link_events){ 0 }, NULL, NULL);
    control = control_new(&settings, NULL);
    ck_assert(topology && schemas && link && control);
}

static void teardown(void)
{
    control_free(control);
    control_free(NULL);
    link_free(link);
    schema_store_free(schemas);
    topology_free(topology);
}

static struct delivery *delivery_new(int64_t offset, const char *body)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    delivery->tag = (struct delivery_tag){ .epoch = 1, .tag = 1 };
    delivery->stream_offset = offset;
    delivery->body = strdup(body);
    delivery->length = strlen(body);
    return delivery;
}

static void deliver(int64_t offset, const char *body)
{
    control_delivery(control, link, delivery_new(offset, body));
}

static void deliver_marker(const char *message_id)
{
    struct delivery *delivery = delivery_new(0, "");

    delivery->message_id = strdup(message_id);
    control_delivery(control, link, delivery);
}

START_TEST(an_order_is_told_whole)
{
    struct delivery *delivery = delivery_new(
        0, "{\"cancel\": \"5F0C5A5E-0C7B-4A86-93F5-0F6F4A7F3F0E\", \"reason\": \"not \\u00e4ny more\"}");

    delivery->user_id = strdup("portal");
    delivery->timestamp = 1700000000;
    control_delivery(control, link, delivery);
    ck_assert_int_eq(order_count, 1);
    ck_assert_str_eq(last.job, JOB);
    ck_assert_str_eq(last_reason, "not \xc3\xa4ny more");
    ck_assert_str_eq(last_requester, "portal");
    ck_assert_int_eq(last.given_ms, INT64_C(1700000000000));
}
END_TEST

START_TEST(an_order_says_no_more_than_it_must)
{
    int64_t before_ms = envelope_now_ms();
    struct delivery *delivery = delivery_new(0, "{\"cancel\": \"" JOB "\"}");

    delivery->timestamp = UINT64_MAX; /* of a clock that is wrong */
    control_delivery(control, link, delivery);
    ck_assert_int_eq(order_count, 1);
    ck_assert_str_eq(last_reason, "-");
    ck_assert_str_eq(last_requester, "-");
    ck_assert(last.given_ms >= before_ms && last.given_ms <= envelope_now_ms());
}
END_TEST

START_TEST(the_example_of_the_schema_is_an_order)
{
    struct schemas_file file;
    json_t *schema, *example;
    size_t index;
    char *text;

    ck_assert_int_eq(schemas_find("cancel.json", &file), 0);
    schema = json_loadb(file.text, file.length, 0, NULL);
    json_array_foreach (json_object_get(schema, "examples"), index, example) {
        text = json_dumps(example, 0);
        deliver((int64_t)index, text);
        free(text);
    }
    ck_assert(order_count > 0 && order_count == (int)index);
    json_decref(schema);
}
END_TEST

static const char *const no_orders[] = {
    "",
    "cancel",
    "null",
    "[]",
    "{}",
    "\"" JOB "\"",
    "{\"cancel\": 1}",
    "{\"cancel\": \"\"}",
    "{\"cancel\": \"web-7\"}",
    "{\"cancel\": \"" JOB "\", \"reason\": 1}",
    "{\"cancel\": \"" JOB "\", \"reason\": \"\"}",
    "{\"cancel\": \"" JOB "\", \"force\": true}",
    "{\"cancel\": \"" JOB "\", \"cancel\": \"" JOB "\"}",
    "{\"cancel\": \"" JOB "\"} and more",
    "{\"cancel\": \"" JOB "\", \"reason\": \"\xff\"}",
};

START_TEST(what_is_no_order_is_passed_over)
{
    deliver(_i, no_orders[_i]);
    ck_assert_int_eq(order_count, 0);
    deliver(_i + 1, "{\"cancel\": \"" JOB "\"}");
    ck_assert_int_eq(order_count, 1);
}
END_TEST

START_TEST(a_body_is_bounded)
{
    char body[4200] = "{\"cancel\": \"" JOB "\"}";
    struct delivery *delivery = delivery_new(0, "");

    memset(body + strlen(body), ' ', 4096 - strlen(body));
    deliver(1, body);
    ck_assert_int_eq(order_count, 1);
    strcat(body, " ");
    deliver(2, body);
    free(delivery->body);
    delivery->body = NULL;
    delivery->length = 1 << 30;
    delivery->oversized = true;
    control_delivery(control, link, delivery);
    ck_assert_int_eq(order_count, 1);
}
END_TEST

START_TEST(its_own_marker_ends_the_catching_up_once)
{
    deliver_marker("marker/w1/0");
    deliver_marker("marker/w2/0");
    ck_assert_int_eq(caught_up_count, 0);
    ck_assert_int_eq(strncmp(control_marker(control), "marker/w1/", 10), 0);
    deliver_marker(control_marker(control));
    ck_assert_int_eq(caught_up_count, 1);
    deliver_marker(control_marker(control));
    ck_assert_int_eq(caught_up_count, 1);
    ck_assert_int_eq(order_count, 0);
}
END_TEST

static void deliver_orders(int from, int to)
{
    for (int i = from; i < to; i++) {
        char body[80];

        snprintf(body, sizeof(body), "{\"cancel\": \"5f0c5a5e-0c7b-4a86-93f5-%012d\"}", i);
        deliver(i * 2, body);
    }
}

START_TEST(what_is_read_again_is_not_told_again)
{
    deliver_orders(0, 10);
    deliver_orders(3, 12);
    ck_assert_int_eq(order_count, 12);
    deliver_orders(0, 13);
    ck_assert_int_eq(order_count, 13);
}
END_TEST

START_TEST(a_stream_that_counts_from_the_beginning_again_is_told)
{
    deliver_orders(0, 10);
    for (int i = 0; i < 12; i++)
        deliver(i, "{\"cancel\": \"" JOB "\"}");
    ck_assert_int_eq(order_count, 22);
    for (int i = 0; i < 12; i++)
        deliver(i, "{\"cancel\": \"" JOB "\"}");
    ck_assert_int_eq(order_count, 22);
}
END_TEST

START_TEST(orders_without_an_offset_are_always_told)
{
    deliver(-1, "{\"cancel\": \"" JOB "\"}");
    deliver(-1, "{\"cancel\": \"" JOB "\"}");
    ck_assert_int_eq(order_count, 2);
}
END_TEST

START_TEST(the_memory_of_them_is_bounded)
{
    const int count = CONTROL_SEEN_MOST + 1000;

    deliver_orders(0, count);
    ck_assert_int_eq(order_count, count);
    deliver_orders(count - CONTROL_SEEN_MOST / 2, count);
    ck_assert_int_eq(order_count, count);
    deliver_orders(0, 10); /* forgotten, and the others are not for that */
    ck_assert_int_eq(order_count, count + 10);
    deliver_orders(count - 10, count);
    ck_assert_int_eq(order_count, count + 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control");
    TCase *tcase = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, an_order_is_told_whole);
    tcase_add_test(tcase, an_order_says_no_more_than_it_must);
    tcase_add_test(tcase, the_example_of_the_schema_is_an_order);
    tcase_add_loop_test(tcase, what_is_no_order_is_passed_over, 0, sizeof(no_orders) / sizeof(no_orders[0]));
    tcase_add_test(tcase, a_body_is_bounded);
    tcase_add_test(tcase, its_own_marker_ends_the_catching_up_once);
    tcase_add_test(tcase, what_is_read_again_is_not_told_again);
    tcase_add_test(tcase, a_stream_that_counts_from_the_beginning_again_is_told);
    tcase_add_test(tcase, orders_without_an_offset_are_always_told);
    tcase_add_test(tcase, the_memory_of_them_is_bounded);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
