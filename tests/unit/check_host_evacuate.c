/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Which destination a guest of host.evacuate goes to. */

#include <check.h>

#include "host_evacuate.h"

#define MIB (UINT64_C(1) << 20)

static struct evacuee guests[4];
static struct evacuation evacuation;
static struct evacuee guest;

/* Three destinations with 100, 300 and 200 MiB free, four guests of 50 MiB that wait, and one of 100 MiB to be placed. */
static void setup(void)
{
    static const uint64_t free_mib[] = { 100, 300, 200 };

    evacuation =
        (struct evacuation){ .guests = guests, .guest_count = 4, .host_count = 3, .by_memory = true };
    for (int i = 0; i < 3; i++)
        evacuation.hosts[i] = (struct evacuation_host){ .known = true, .free = free_mib[i] * MIB };
    for (int i = 0; i < 4; i++)
        guests[i] = (struct evacuee){ .memory = 50 * MIB, .destination = EVACUATION_NOWHERE };
    guest = (struct evacuee){ .memory = 100 * MIB };
}

static void on_its_way(int i, int host, uint64_t done_mib)
{
    guests[i].state = EVACUEE_MOVING;
    guests[i].destination = host;
    guests[i].done = done_mib * MIB;
    guests[i].percent = (double)done_mib * 100 / 50;
}

static void assert_goes_to(int host)
{
    ck_assert_int_eq(evacuation_choose(&evacuation, &guest), host);
}

START_TEST(by_memory_it_goes_where_the_most_is_free)
{
    assert_goes_to(1);
}
END_TEST

START_TEST(among_equals_the_first_has_it)
{
    evacuation.hosts[2].free = evacuation.hosts[1].free;
    assert_goes_to(1);
}
END_TEST

START_TEST(by_order_the_first_with_room_has_it)
{
    evacuation.by_memory = false;
    assert_goes_to(0);
    on_its_way(0, 0, 0);
    assert_goes_to(1);
}
END_TEST

START_TEST(what_is_on_its_way_there_is_taken_off)
{
    on_its_way(0, 1, 0);
    on_its_way(1, 1, 0);
    assert_goes_to(1); /* 200 against 200 */
    on_its_way(2, 1, 0);
    assert_goes_to(2);
}
END_TEST

START_TEST(what_has_come_already_is_taken_off_only_once)
{
    for (int i = 0; i < 3; i++)
        on_its_way(i, 1, 40);
    ck_assert_uint_eq(evacuation_coming(&evacuation, 1), 30 * MIB);
    assert_goes_to(1);
}
END_TEST

START_TEST(what_went_elsewhere_before_has_still_to_come)
{
    for (int i = 0; i < 4; i++) {
        on_its_way(i, 1, 40);
        guests[i].percent = 0;
    }
    assert_goes_to(2);
}
END_TEST

START_TEST(what_is_no_longer_on_its_way_does_not_count)
{
    for (int i = 0; i < 4; i++)
        on_its_way(i, 1, 0);
    guests[0].state = EVACUEE_FAILED;
    guests[1].state = EVACUEE_MOVED;
    ck_assert_uint_eq(evacuation_coming(&evacuation, 1), 100 * MIB);
    ck_assert_uint_eq(evacuation_coming(&evacuation, 0), 0);
}
END_TEST

START_TEST(a_host_that_has_refused_it_is_not_asked_again)
{
    guest.refused = 1 << 1;
    assert_goes_to(2);
    guest.refused |= 1 << 2;
    assert_goes_to(0);
    guest.refused |= 1 << 0;
    assert_goes_to(EVACUATION_NOWHERE);
}
END_TEST

START_TEST(a_host_that_is_away_is_left_out)
{
    evacuation.hosts[1].away = true;
    assert_goes_to(2);
}
END_TEST

START_TEST(where_it_has_no_room_it_does_not_go)
{
    guest.memory = 301 * MIB;
    assert_goes_to(EVACUATION_NOWHERE);
    guest.memory = 300 * MIB;
    assert_goes_to(1);
}
END_TEST

START_TEST(where_nobody_knows_there_is_room_but_the_least)
{
    for (int i = 0; i < 3; i++)
        evacuation.hosts[i].known = i == 2;
    assert_goes_to(2);
    guest.memory = 300 * MIB;
    assert_goes_to(0);
}
END_TEST

START_TEST(a_guest_that_is_off_needs_no_room)
{
    guest.memory = 1000 * MIB;
    guest.off = true;
    assert_goes_to(1);
    on_its_way(0, 1, 0);
    guests[0].off = true;
    ck_assert_uint_eq(evacuation_coming(&evacuation, 1), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("host_evacuate");
    TCase *tests = tcase_create("host_evacuate");
    SRunner *runner = srunner_create(suite);

    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, by_memory_it_goes_where_the_most_is_free);
    tcase_add_test(tests, among_equals_the_first_has_it);
    tcase_add_test(tests, by_order_the_first_with_room_has_it);
    tcase_add_test(tests, what_is_on_its_way_there_is_taken_off);
    tcase_add_test(tests, what_has_come_already_is_taken_off_only_once);
    tcase_add_test(tests, what_went_elsewhere_before_has_still_to_come);
    tcase_add_test(tests, what_is_no_longer_on_its_way_does_not_count);
    tcase_add_test(tests, a_host_that_has_refused_it_is_not_asked_again);
    tcase_add_test(tests, a_host_that_is_away_is_left_out);
    tcase_add_test(tests, where_it_has_no_room_it_does_not_go);
    tcase_add_test(tests, where_nobody_knows_there_is_room_but_the_least);
    tcase_add_test(tests, a_guest_that_is_off_needs_no_room);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
