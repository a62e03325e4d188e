/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Order, bounds, the descriptor, closing; and many threads at once, for which the thread sanitizer watches. */

#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "queue.h"

static void *item(uintptr_t number)
{
    return (void *)number;
}

static bool readable(struct queue *queue)
{
    struct pollfd pollfd = { .fd = queue_fd(queue), .events = POLLIN };

    return poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLIN);
}

START_TEST(first_in_first_out_while_the_ring_grows_and_wraps)
{
    struct queue *queue = queue_new(1000, NULL);
    uintptr_t in = 1, out = 1;

    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 17; i++)
            ck_assert_int_eq(queue_push(queue, item(in++)), 0);
        for (int i = 0; i < 10; i++)
            ck_assert_ptr_eq(queue_pop(queue), item(out++));
    }
    ck_assert_uint_eq(queue_length(queue), in - out);
    while (out < in)
        ck_assert_ptr_eq(queue_try_pop(queue), item(out++));
    ck_assert_ptr_null(queue_try_pop(queue));
    queue_free(queue, NULL);
}
END_TEST

START_TEST(offer_respects_the_bound_and_what_is_kept_free)
{
    struct queue *queue = queue_new(10, NULL);

    for (uintptr_t i = 1; i <= 7; i++)
        ck_assert_int_eq(queue_offer(queue, item(i), 3), 0);
    ck_assert_int_eq(queue_offer(queue, item(8), 3), -1);
    for (uintptr_t i = 8; i <= 10; i++)
        ck_assert_int_eq(queue_offer(queue, item(i), 0), 0);
    ck_assert_int_eq(queue_offer(queue, item(11), 0), -1);
    ck_assert_int_eq(queue_offer(queue, item(11), 100), -1);
    ck_assert_uint_eq(queue_length(queue), 10);
    queue_free(queue, NULL);
}
END_TEST

START_TEST(descriptor_is_readable_while_there_is_something)
{
    struct queue *queue = queue_new(10, NULL);

    ck_assert(!readable(queue));
    queue_push(queue, item(1));
    ck_assert(readable(queue));
    queue_push(queue, item(2));
    queue_pop(queue);
    ck_assert(readable(queue));
    queue_pop(queue);
    ck_assert(!readable(queue));
    queue_push(queue, item(3));
    ck_assert(readable(queue));
    queue_close(queue);
    queue_pop(queue);
    ck_assert(readable(queue));
    queue_free(queue, NULL);

    queue = queue_new(10, NULL);
    queue_close(queue);
    queue_close(queue);
    ck_assert(readable(queue));
    queue_free(queue, NULL);
}
END_TEST

START_TEST(closed_takes_nothing_and_gives_what_it_has)
{
    struct queue *queue = queue_new(10, NULL);

    queue_push(queue, item(1));
    queue_close(queue);
    ck_assert_int_eq(queue_push(queue, item(2)), -1);
    ck_assert_int_eq(queue_offer(queue, item(2), 0), -1);
    ck_assert_ptr_eq(queue_pop(queue), item(1));
    ck_assert_ptr_null(queue_pop(queue));
    queue_free(queue, NULL);
}
END_TEST

static int released;

static void release(void *pointer)
{
    released += (int)(uintptr_t)pointer;
}

START_TEST(free_gives_the_rest_to_release)
{
    struct queue *queue = queue_new(10, NULL);

    for (uintptr_t i = 1; i <= 4; i++)
        queue_push(queue, item(i));
    queue_pop(queue);
    queue_free(queue, release);
    ck_assert_int_eq(released, 2 + 3 + 4);
    queue_free(NULL, release);
}
END_TEST

static void *pop_one(void *opaque)
{
    return queue_pop(opaque);
}

static void *push_one(void *opaque)
{
    return item((uintptr_t)(queue_push(opaque, item(9)) == 0));
}

START_TEST(close_wakes_those_who_wait)
{
    struct queue *empty = queue_new(1, NULL), *full = queue_new(1, NULL);
    pthread_t threads[4];
    void *result;

    queue_push(full, item(1));
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, i < 2 ? pop_one : push_one, i < 2 ? empty : full);
    usleep(20000);
    queue_close(empty);
    queue_close(full);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &result);
        ck_assert_ptr_null(result);
    }
    queue_free(empty, NULL);
    queue_free(full, NULL);
}
END_TEST

#define EACH 20000

static atomic_ullong sum;

static void *produce(void *queue)
{
    for (uintptr_t i = 1; i <= EACH; i++)
        while (i % 7 ? queue_push(queue, item(i)) < 0 : queue_offer(queue, item(i), 2) < 0)
            sched_yield();
    return NULL;
}

static void *consume(void *queue)
{
    void *got;

    while ((got = queue_pop(queue)))
        sum += (uintptr_t)got;
    return NULL;
}

/* As the links do: poll, then drain. */
static void *consume_by_descriptor(void *queue)
{
    struct pollfd pollfd = { .fd = queue_fd(queue), .events = POLLIN };
    uintptr_t last = 0;

    while (last != EACH + 1) {
        void *got;
        ck_assert_int_eq(poll(&pollfd, 1, 20000), 1);
        while ((got = queue_try_pop(queue))) {
            last = (uintptr_t)got;
            sum += last <= EACH ? last : 0;
        }
    }
    return NULL;
}

START_TEST(many_threads_lose_and_double_nothing)
{
    struct queue *queue = queue_new(33, NULL);
    pthread_t producers[4], consumers[4];

    for (int i = 0; i < 4; i++) {
        pthread_create(&producers[i], NULL, produce, queue);
        pthread_create(&consumers[i], NULL, consume, queue);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(producers[i], NULL);
    queue_close(queue);
    for (int i = 0; i < 4; i++)
        pthread_join(consumers[i], NULL);
    ck_assert_uint_eq(sum, 4ull * EACH * (EACH + 1) / 2);
    ck_assert_uint_eq(queue_length(queue), 0);
    queue_free(queue, NULL);
}
END_TEST

START_TEST(a_poller_never_misses_an_item)
{
    struct queue *queue = queue_new(EACH * 2 + 1, NULL);
    pthread_t producers[2], consumer;

    pthread_create(&consumer, NULL, consume_by_descriptor, queue);
    for (int i = 0; i < 2; i++)
        pthread_create(&producers[i], NULL, produce, queue);
    for (int i = 0; i < 2; i++)
        pthread_join(producers[i], NULL);
    queue_push(queue, item(EACH + 1));
    pthread_join(consumer, NULL);
    ck_assert_uint_eq(sum, 2ull * EACH * (EACH + 1) / 2);
    ck_assert(!readable(queue));
    queue_free(queue, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("queue");
    TCase *tcase = tcase_create("all");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, first_in_first_out_while_the_ring_grows_and_wraps);
    tcase_add_test(tcase, offer_respects_the_bound_and_what_is_kept_free);
    tcase_add_test(tcase, descriptor_is_readable_while_there_is_something);
    tcase_add_test(tcase, closed_takes_nothing_and_gives_what_it_has);
    tcase_add_test(tcase, free_gives_the_rest_to_release);
    tcase_add_test(tcase, close_wakes_those_who_wait);
    tcase_add_test(tcase, many_threads_lose_and_double_nothing);
    tcase_add_test(tcase, a_poller_never_misses_an_item);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
