/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A link without a broker: addresses, giving up, fates of what was never sent, signs of life; and the window of
 * unconfirmed messages.
 * What needs a broker is in tests/integration/link-*. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "link_internal.h"
#include "log.h"
#include "metrics.h"

static struct config_broker broker;
static int fates[MESSAGE_DROPPED + 1];
static char order[4096]; /* the message ids in the order of their fates, each with a letter for it */

static void setup(void)
{
    broker = (struct config_broker){ .uri = (char *)"amqp://127.0.0.1:1",
                                     .heartbeat_s = 10,
                                     .connect_timeout_s = 2,
                                     .send_timeout_s = 30,
                                     .blocked_timeout_s = 300 };
    memset(fates, 0, sizeof(fates));
    order[0] = '\0';
    log_init(LOG_LEVEL_ERROR, false);
    metrics_reset();
}

static struct link *new_link(bool once, struct error *err)
{
    static const struct link_events none;
    struct link_settings settings = {
        .broker = &broker, .name = "test", .max_body = 1000, .max_pending = 10, .once = once
    };

    return link_new(&settings, &none, NULL, err);
}

static void on_settled(void *opaque, const struct message *message, enum message_fate fate)
{
    size_t used = strlen(order);

    (void)opaque;
    fates[fate]++;
    snprintf(order + used, sizeof(order) - used, "%s%c ", message->message_id, "crld"[fate]);
}

static struct message *new_message(const char *key, int number)
{
    struct message *message = message_new("", key, NULL, 0);

    ck_assert_ptr_nonnull(message);
    ck_assert_int_gt(asprintf(&message->message_id, "%d", number), 0);
    message->mandatory = true;
    message->settled = on_settled;
    return message;
}

static const struct {
    const char *uri;
    const char *shown; /* of each, a blank behind it; NULL: refused */
} addresses[] = {
    { "amqp://broker", "amqp://broker:5672/ " },
    { "amqp://broker/", "amqp://broker:5672/ " },
    { "amqp://u:secret@broker:1234/%2f", "amqp://broker:1234/ " },
    { "amqp://u:secret@[::1]/prod", "amqp://[::1]:5672/prod " },
    { "amqps://broker/a%2fb", "amqps://broker:5671/a/b " },
    { " amqp://a\t amqp://u:secret@b:1/%2f  amqp://c/ ", "amqp://a:5672/ amqp://b:1/ amqp://c:5672/ " },
    { "amqps://u:secret@a/v amqps://b/v", "amqps://a:5671/v amqps://b:5671/v " },
    { "amqps://u:secret@a amqp://u:secret@b", NULL },
    { "amqp://u:secret@a/v amqp://u:secret@b/w", NULL },
    { "amqp://u:secret@a amqp://u:secret@b:x", NULL },
    { "amqp://u:secret@a u:secret@b", NULL },
    { "broker", NULL },
    { "http://broker", NULL },
    { "amqp://u:secret@broker:x", NULL },
    { "amqp://broker/a/b", NULL },
    { "amqp://broker?heartbeat=1", NULL },
    { "", NULL },
    { " ", NULL },
};

START_TEST(addresses_are_parsed_and_shown_without_secrets)
{
    struct error err = ERROR_INIT;
    struct link_address *list;
    char shown[2000] = "";
    size_t count;

    broker.uri = (char *)addresses[_i].uri;
    broker.ca_file = (char *)"ca.pem";
    if (!addresses[_i].shown) {
        ck_assert_int_eq(link_addresses_parse(&broker, &list, &count, &err), -1);
        ck_assert_int_eq(err.code, ERROR_INVALID);
        ck_assert_ptr_null(strstr(err.message, "secret"));
        return;
    }
    ck_assert_int_eq(link_addresses_parse(&broker, &list, &count, &err), 0);
    for (size_t i = 0; i < count; i++)
        sprintf(shown + strlen(shown), "%s ", list[i].shown);
    ck_assert_str_eq(shown, addresses[_i].shown);
    link_addresses_free(list, count);
}
END_TEST

START_TEST(tls_needs_a_ca)
{
    struct error err = ERROR_INIT;

    broker.uri = (char *)"amqps://broker";
    ck_assert_ptr_null(new_link(false, &err));
    ck_assert_ptr_nonnull(strstr(err.message, "broker.ca_file"));
}
END_TEST

START_TEST(once_gives_up_after_the_first_failure)
{
    struct error err = ERROR_INIT;
    struct link *link = new_link(true, &err);

    ck_assert_int_eq(link_publish(link, new_message("k", 1)), 0);
    ck_assert_int_eq(link_start(link, &err), 0);
    ck_assert_int_eq(link_wait_up(link, 10000, &err), -1);
    ck_assert_int_eq(err.code, ERROR_BROKER);
    ck_assert(!link_is_up(link));
    link_stop(link, 0);
    ck_assert_int_eq(fates[MESSAGE_DROPPED], 1);
    ck_assert_int_eq(link_publish(link, new_message("k", 2)), -1);
    ck_assert_int_eq(fates[MESSAGE_DROPPED], 2);
    link_free(link);
}
END_TEST

START_TEST(once_tries_every_broker)
{
    struct error err = ERROR_INIT;
    struct link *link;

    broker.uri = (char *)"amqp://127.0.0.1:1 amqp://127.0.0.2:1 amqp://127.0.0.3:1";
    link = new_link(true, &err);
    ck_assert_int_eq(link_start(link, &err), 0);
    ck_assert_int_eq(link_wait_up(link, 10000, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.message, "127.0.0.3"));
    link_stop(link, 0);
    link_free(link);
}
END_TEST

START_TEST(what_was_never_sent_is_dropped_in_the_end)
{
    struct link *link = new_link(false, NULL);
    struct message *progress = new_message("k", 3);

    ck_assert_int_eq(link_publish(link, new_message("k", 1)), 0);
    ck_assert_int_eq(link_publish(link, new_message("k", 2)), 0);
    progress->droppable = true;
    ck_assert_int_eq(link_publish(link, progress), 0);
    ck_assert_str_eq(order, "3d ");
    link_free(link);
    ck_assert_str_eq(order, "3d 1d 2d ");
}
END_TEST

static void *publish_eleven(void *opaque)
{
    for (int i = 0; i < 11; i++)
        link_publish(opaque, new_message("k", i));
    return NULL;
}

START_TEST(who_waits_for_room_is_let_go_at_the_end)
{
    struct link *link = new_link(false, NULL);
    pthread_t thread;

    ck_assert_int_eq(link_start(link, NULL), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, publish_eleven, link), 0);
    /* Broker or not, nothing is confirmed: the eleventh can only be waiting, or not be there yet. */
    link_stop(link, 300);
    pthread_join(thread, NULL);
    ck_assert_int_eq(fates[MESSAGE_DROPPED], 11);
    link_free(link);
}
END_TEST

static struct message *new_bound(uint64_t epoch, int number)
{
    struct message *message = new_message("k", number);

    message->epoch = epoch;
    return message;
}

static struct message *new_progress(uint64_t epoch, int number)
{
    struct message *message = new_bound(epoch, number);

    message->droppable = true;
    return message;
}

START_TEST(an_offer_is_refused_where_there_is_no_room)
{
    struct link *link = new_link(false, NULL);
    struct message *over = new_message("k", 11);

    for (int i = 1; i <= 10; i++)
        ck_assert_int_eq(link_offer(link, new_message("k", i)), 0);
    ck_assert_int_eq(link_offer(link, over), 1);
    ck_assert_str_eq(order, "");
    message_free(over);
    ck_assert_int_eq(link_offer(link, new_progress(0, 12)), 0);
    ck_assert_str_eq(order, "12d ");
    link_free(link);
}
END_TEST

START_TEST(an_offer_to_a_link_that_has_ended_is_dropped)
{
    struct link *link = new_link(true, NULL);

    ck_assert_int_eq(link_start(link, NULL), 0);
    link_stop(link, 0);
    ck_assert_int_eq(link_offer(link, new_message("k", 1)), -1);
    ck_assert_str_eq(order, "1d ");
    link_free(link);
}
END_TEST

/* Would wait for ever. */
START_TEST(what_is_bound_to_no_connection_needs_no_room)
{
    struct link *link = new_link(false, NULL);

    for (int i = 1; i <= 10; i++)
        ck_assert_int_eq(link_publish(link, new_message("k", i)), 0);
    ck_assert_int_eq(link_publish(link, new_bound(3, 11)), 0);
    ck_assert_int_eq(link_offer(link, new_bound(3, 12)), 0);
    ck_assert_int_eq(link_empty_inbox(link, NULL), 0);
    ck_assert_str_eq(order, "11l 12l ");
    link_free(link);
}
END_TEST

START_TEST(what_is_bound_to_another_connection_is_lost_at_once)
{
    struct link *link = new_link(false, NULL);

    link->epoch = 4;
    link->was_up = true;
    link_publish(link, new_bound(3, 1));
    link_publish(link, new_bound(4, 2));
    link_publish(link, new_bound(5, 3));
    link->takes_droppable = true;
    link_publish(link, new_progress(3, 4));
    ck_assert_int_eq(link_empty_inbox(link, NULL), 0);
    ck_assert_str_eq(order, "1l 3l 4d ");
    link_publish_account(link);
    ck_assert_uint_eq(link->pending, 1);
    ck_assert(metrics_get(METRIC_PENDING, NULL, NULL) == 1);
    ck_assert(metrics_get(METRIC_DROPPED, "other", NULL) == 1);
    link->epoch = 0;
    link_free(link);
    ck_assert(metrics_get(METRIC_PENDING, NULL, NULL) == 0);
}
END_TEST

START_TEST(a_link_without_a_broker_is_not_fresh)
{
    struct link *link = new_link(false, NULL);

    ck_assert(!link_is_fresh(link));
    link->fresh_until_ms = link_now_ms() + 60000;
    ck_assert(link_is_fresh(link));
    link->fresh_until_ms = link_now_ms() - 1;
    ck_assert(!link_is_fresh(link));
    link_free(link);
}
END_TEST

START_TEST(a_property_too_long_for_amqp_is_no_message)
{
    struct link *link = new_link(false, NULL);
    char key[300];

    memset(key, 'k', sizeof(key));
    key[256] = '\0';
    ck_assert_int_eq(link_publish(link, new_message(key, 1)), 0);
    ck_assert_int_eq(link_publish(link, new_message("k", 2)), 0);
    ck_assert_int_eq(link_empty_inbox(link, NULL), 0);
    ck_assert_str_eq(order, "1d ");
    link_free(link);
}
END_TEST

/* A window with messages 1 to `count`, as if they had been published. */
static struct link *new_window(int count)
{
    struct link *link = new_link(false, NULL);

    for (int i = 1; i <= count; i++)
        link->window[link->window_next++ % LINK_WINDOW] =
            (struct link_slot){ .message = new_message("k", i) };
    return link;
}

static void come_back(struct link *link, const char *id)
{
    struct delivery content = { .routing_key = (char *)"k", .message_id = (char *)id };

    link_returned(link, &content);
}

START_TEST(confirms_settle_one_or_all_below)
{
    struct link *link = new_window(6);

    link_confirm(link, 2, false, true);
    ck_assert_uint_eq(link->window_first, 1);
    link_confirm(link, 4, true, true);
    ck_assert_uint_eq(link->window_first, 5);
    link_confirm(link, 4, true, true);
    link_confirm(link, 99, true, true);
    ck_assert_str_eq(order, "2c 1c 3c 4c ");
    link_confirm(link, 0, true, true);
    ck_assert_str_eq(order, "2c 1c 3c 4c 5c 6c ");
    ck_assert(!link_has_unconfirmed(link));
    link_free(link);
}
END_TEST

START_TEST(a_return_belongs_to_the_next_message_like_it)
{
    struct link *link = new_window(5);

    come_back(link, "2");
    come_back(link, "4");
    come_back(link, "3"); /* out of order: nobody's */
    link_confirm(link, 5, true, true);
    ck_assert_str_eq(order, "1c 2r 3c 4r 5c ");
    link_free(link);
}
END_TEST

START_TEST(what_was_not_confirmed_waits_again_in_its_order)
{
    struct link *link = new_window(5);
    char ids[32] = "";

    link_confirm(link, 2, false, true);
    link_confirm(link, 4, false, false);
    link->window[3].message->droppable = true;
    link_publish_reset(link);
    for (const struct message *message = link->waiting.first; message; message = message->next)
        strcat(ids, message->message_id);
    ck_assert_str_eq(ids, "154");
    ck_assert_str_eq(order, "2c 3d ");
    link_free(link);
}
END_TEST

/* In the window 1 and 2, refused 3, waiting 4 to 6; bound are 2, 3, 5. */
START_TEST(what_is_bound_is_lost_with_its_connection)
{
    struct link *link = new_window(3);
    char ids[32] = "";

    link->epoch = 7;
    link->was_up = true;
    link->window[2].message->epoch = link->window[3].message->epoch = 7;
    link_confirm(link, 3, false, false);
    ck_assert_str_eq(order, "");
    link_take(link, new_message("k", 4));
    link_take(link, new_bound(7, 5));
    link_take(link, new_message("k", 6));
    link->epoch = 0;
    link_publish_reset(link);
    for (const struct message *message = link->waiting.first; message; message = message->next)
        strcat(ids, message->message_id);
    ck_assert_str_eq(ids, "146");
    ck_assert_str_eq(order, "2l 3l 5l ");
    link_free(link);
    ck_assert_str_eq(order, "2l 3l 5l 1d 4d 6d ");
}
END_TEST

START_TEST(an_alarm_loses_nothing_that_is_bound)
{
    struct link *link = new_link(false, NULL);

    link->epoch = 7;
    link->was_up = true;
    link_take(link, new_bound(7, 1));
    link_take(link, new_progress(7, 2));
    link_block(link, amqp_cstring_bytes("memory"));
    ck_assert_str_eq(order, "2d ");
    link->epoch = 0;
    link_free(link);
    ck_assert_str_eq(order, "2d 1l ");
}
END_TEST

/* As the thread does it, but for the frames. */
static void pretend_to_publish(struct link *link)
{
    while (link_can_publish(link)) {
        struct message *message = message_list_pop(&link->waiting);

        link->window[link->window_next++ % LINK_WINDOW] = (struct link_slot){ .message = message };
        link->alone = link_is_suspect(link, message);
    }
}

static uint64_t under_way(const struct link *link)
{
    return link->window_next - link->window_first;
}

START_TEST(one_that_closes_the_channel_is_found_out)
{
    struct link *link = new_window(3);

    link_publish_refused(link);
    link_publish_reset(link);
    pretend_to_publish(link);
    ck_assert_uint_eq(under_way(link), 1);
    link_confirm(link, 1, false, true);
    pretend_to_publish(link);
    ck_assert_uint_eq(under_way(link), 1);
    link_publish_refused(link);
    link_publish_reset(link);
    ck_assert_str_eq(order, "1c 2r ");
    link_take(link, new_message("k", 4));
    pretend_to_publish(link);
    ck_assert_uint_eq(under_way(link), 1);
    link_confirm(link, 1, false, true);
    link_take(link, new_message("k", 5));
    pretend_to_publish(link);
    ck_assert_uint_eq(under_way(link), 2);
    ck_assert_str_eq(order, "1c 2r 3c ");
    link_free(link);
}
END_TEST

/* The second of three closes the channel; all are bound, and come again by another connection with others among them. */
START_TEST(one_that_is_bound_and_closes_the_channel_is_found_out_when_it_comes_again)
{
    struct link *link = new_window(3);

    link->epoch = 1;
    for (int i = 1; i <= 3; i++)
        link->window[i].message->epoch = 1;
    link_publish_refused(link);
    link->epoch = 0;
    link_publish_reset(link);
    ck_assert_str_eq(order, "1l 2l 3l ");
    order[0] = '\0';
    link->epoch = 2;
    link_take(link, new_message("k", 8));
    link_take(link, new_message("k", 9));
    link_take(link, new_bound(2, 2));
    link_take(link, new_bound(2, 1));
    pretend_to_publish(link);
    ck_assert_uint_eq(under_way(link), 2);
    link_confirm(link, 2, true, true);
    pretend_to_publish(link);
    ck_assert_uint_eq(under_way(link), 1);
    link_publish_refused(link);
    link->epoch = 0;
    link_publish_reset(link);
    ck_assert_str_eq(order, "8c 9c 2r 1l ");
    link_free(link);
}
END_TEST

START_TEST(one_that_is_bound_and_was_alone_is_found_out_at_once)
{
    struct link *link = new_window(2);

    link->epoch = 1;
    link->window[2].message->epoch = 1;
    link_confirm(link, 1, false, true);
    link_publish_refused(link);
    ck_assert_str_eq(order, "1c 2r ");
    link_free(link);
}
END_TEST

START_TEST(suspicion_ends_with_time)
{
    struct link *link = new_window(2);

    link_publish_refused(link);
    link_publish_reset(link);
    link->forgive_at_ms = link_now_ms();
    ck_assert_int_eq(link_publish_check(link, NULL), 0);
    pretend_to_publish(link);
    ck_assert_uint_eq(under_way(link), 2);
    link_free(link);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("link");
    TCase *tcase = tcase_create("link");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_set_timeout(tcase, 20);
    tcase_add_loop_test(tcase, addresses_are_parsed_and_shown_without_secrets, 0,
                        (int)(sizeof(addresses) / sizeof(addresses[0])));
    tcase_add_test(tcase, tls_needs_a_ca);
    tcase_add_test(tcase, once_gives_up_after_the_first_failure);
    tcase_add_test(tcase, once_tries_every_broker);
    tcase_add_test(tcase, what_was_never_sent_is_dropped_in_the_end);
    tcase_add_test(tcase, an_offer_is_refused_where_there_is_no_room);
    tcase_add_test(tcase, an_offer_to_a_link_that_has_ended_is_dropped);
    tcase_add_test(tcase, what_is_bound_to_no_connection_needs_no_room);
    tcase_add_test(tcase, what_is_bound_to_another_connection_is_lost_at_once);
    tcase_add_test(tcase, a_link_without_a_broker_is_not_fresh);
    tcase_add_test(tcase, who_waits_for_room_is_let_go_at_the_end);
    tcase_add_test(tcase, a_property_too_long_for_amqp_is_no_message);
    tcase_add_test(tcase, confirms_settle_one_or_all_below);
    tcase_add_test(tcase, a_return_belongs_to_the_next_message_like_it);
    tcase_add_test(tcase, what_was_not_confirmed_waits_again_in_its_order);
    tcase_add_test(tcase, what_is_bound_is_lost_with_its_connection);
    tcase_add_test(tcase, an_alarm_loses_nothing_that_is_bound);
    tcase_add_test(tcase, one_that_closes_the_channel_is_found_out);
    tcase_add_test(tcase, one_that_is_bound_and_closes_the_channel_is_found_out_when_it_comes_again);
    tcase_add_test(tcase, one_that_is_bound_and_was_alone_is_found_out_at_once);
    tcase_add_test(tcase, suspicion_ends_with_time);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
