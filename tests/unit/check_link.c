/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A link without a broker: addresses, giving up, fates of what was never sent; and the window of unconfirmed messages.
 * What needs a broker is in tests/integration/link-*. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "link_internal.h"
#include "log.h"

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
    snprintf(order + used, sizeof(order) - used, "%s%c ", message->message_id, "crd"[fate]);
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
    const char *shown; /* NULL: refused */
} addresses[] = {
    { "amqp://broker", "amqp://broker:5672/" },
    { "amqp://broker/", "amqp://broker:5672/" },
    { "amqp://u:secret@broker:1234/%2f", "amqp://broker:1234/" },
    { "amqp://u:secret@[::1]/prod", "amqp://[::1]:5672/prod" },
    { "amqps://broker/a%2fb", "amqps://broker:5671/a/b" },
    { "broker", NULL },
    { "http://broker", NULL },
    { "amqp://u:secret@broker:x", NULL },
    { "amqp://broker/a/b", NULL },
    { "amqp://broker?heartbeat=1", NULL },
    { "", NULL },
};

START_TEST(addresses_are_parsed_and_shown_without_secrets)
{
    struct error err = ERROR_INIT;
    struct link_address address;

    broker.uri = (char *)addresses[_i].uri;
    broker.ca_file = (char *)"ca.pem";
    if (!addresses[_i].shown) {
        ck_assert_int_eq(link_address_parse(&address, &broker, &err), -1);
        ck_assert_int_eq(err.code, ERROR_INVALID);
        ck_assert_ptr_null(strstr(err.message, "secret"));
        return;
    }
    ck_assert_int_eq(link_address_parse(&address, &broker, &err), 0);
    ck_assert_str_eq(address.shown, addresses[_i].shown);
    link_address_done(&address);
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
    tcase_add_test(tcase, what_was_never_sent_is_dropped_in_the_end);
    tcase_add_test(tcase, who_waits_for_room_is_let_go_at_the_end);
    tcase_add_test(tcase, a_property_too_long_for_amqp_is_no_message);
    tcase_add_test(tcase, confirms_settle_one_or_all_below);
    tcase_add_test(tcase, a_return_belongs_to_the_next_message_like_it);
    tcase_add_test(tcase, what_was_not_confirmed_waits_again_in_its_order);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
