/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Order on resources, first by hand, then against a model that is too simple to be wrong: a claim is granted where no
 * earlier ticket has a claim on the same resource that conflicts. */

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claims.h"

static char told[256]; /* the names of the granted, in order */

static void tell(void *name)
{
    strcat(told, name);
}

/* ticket("a", "w:x", "r:y", NULL) */
static struct claims_ticket *ticket(const char *name, ...) __attribute__((sentinel));
static struct claims_ticket *ticket(const char *name, ...)
{
    struct claims_ticket *made = claims_ticket_new((void *)name, NULL);
    const char *claim;
    va_list args;

    va_start(args, name);
    while ((claim = va_arg(args, const char *)))
        ck_assert_int_eq(claims_ticket_add(made, claim + 2, claim[0] == 'w', NULL), 0);
    va_end(args);
    return made;
}

static struct claims *claims;

static void setup(void)
{
    claims = claims_new(NULL);
}

static void teardown(void)
{
    claims_free(claims);
}

static int enter(struct claims_ticket *one)
{
    return claims_enter(claims, one, NULL);
}

/* What is told when this one leaves. */
static const char *leave(struct claims_ticket *one)
{
    told[0] = '\0';
    claims_leave(claims, one, tell);
    claims_ticket_free(one);
    return told;
}

START_TEST(writers_stand_alone_in_order)
{
    struct claims_ticket *a = ticket("a", "w:x", NULL), *b = ticket("b", "w:x", NULL),
                         *c = ticket("c", "w:x", NULL);

    ck_assert_int_eq(enter(a), 1);
    ck_assert_int_eq(enter(b), 0);
    ck_assert_int_eq(enter(c), 0);
    ck_assert_str_eq(leave(a), "b");
    ck_assert_str_eq(leave(b), "c");
    ck_assert_str_eq(leave(c), "");
}
END_TEST

START_TEST(readers_stand_together_but_not_past_a_writer)
{
    struct claims_ticket *a = ticket("a", "r:x", NULL), *b = ticket("b", "r:x", NULL),
                         *c = ticket("c", "w:x", NULL), *d = ticket("d", "r:x", NULL),
                         *e = ticket("e", "r:x", NULL);

    ck_assert_int_eq(enter(a), 1);
    ck_assert_int_eq(enter(b), 1);
    ck_assert_int_eq(enter(c), 0);
    ck_assert_int_eq(enter(d), 0);
    ck_assert_int_eq(enter(e), 0);
    ck_assert_str_eq(leave(a), "");
    ck_assert_str_eq(leave(b), "c");
    ck_assert_str_eq(leave(c), "de");
    ck_assert_str_eq(leave(e), "");
    ck_assert_str_eq(leave(d), "");
}
END_TEST

START_TEST(who_gives_up_lets_those_behind_pass)
{
    struct claims_ticket *a = ticket("a", "r:x", NULL), *b = ticket("b", "w:x", NULL),
                         *c = ticket("c", "r:x", NULL);

    enter(a);
    enter(b);
    ck_assert_int_eq(enter(c), 0);
    ck_assert_str_eq(leave(b), "c");
    leave(a);
    leave(c);
}
END_TEST

START_TEST(several_lines_are_granted_together)
{
    struct claims_ticket *a = ticket("a", "w:x", NULL), *b = ticket("b", "w:y", NULL),
                         *c = ticket("c", "w:y", "r:x", NULL), *d = ticket("d", "w:x", "w:z", NULL),
                         *e = ticket("e", "r:z", NULL), *f = ticket("f", "w:other", NULL);

    ck_assert_int_eq(enter(a), 1);
    ck_assert_int_eq(enter(b), 1);
    ck_assert_int_eq(enter(c), 0);
    ck_assert_int_eq(enter(d), 0);
    ck_assert_int_eq(enter(e), 0);
    ck_assert_int_eq(enter(f), 1);
    ck_assert_str_eq(leave(a), "");
    ck_assert_str_eq(leave(b), "c");
    ck_assert_str_eq(leave(c), "d");
    ck_assert_str_eq(leave(d), "e");
    leave(e);
    leave(f);
}
END_TEST

START_TEST(same_resource_twice_counts_once_to_write)
{
    struct claims_ticket *a = ticket("a", "r:x", "w:x", "r:x", NULL), *b = ticket("b", "r:x", NULL);

    ck_assert_int_eq(enter(a), 1);
    ck_assert_int_eq(enter(b), 0);
    ck_assert_str_eq(leave(a), "b");
    leave(b);
}
END_TEST

START_TEST(no_claims_are_granted_at_once)
{
    struct claims_ticket *a = ticket("a", NULL);

    ck_assert_int_eq(enter(a), 1);
    leave(a);
    claims_ticket_free(NULL);
}
END_TEST

START_TEST(ticket_may_enter_again_behind_the_others)
{
    struct claims_ticket *a = ticket("a", "w:x", NULL), *b = ticket("b", "w:x", NULL);

    enter(a);
    enter(b);
    claims_leave(claims, a, tell);
    ck_assert_int_eq(enter(a), 0);
    ck_assert_str_eq(leave(b), "a");
    leave(a);
}
END_TEST

/* A chain in which each lets go as soon as it has got. */

static void pass_on(void *opaque)
{
    struct claims_ticket **slot = opaque;

    claims_leave(claims, *slot, pass_on);
    claims_ticket_free(*slot);
    *slot = NULL;
}

#define MANY 200000

START_TEST(long_chain_is_neither_deep_nor_slow)
{
    struct claims_ticket **all = calloc(MANY, sizeof(struct claims_ticket *));

    for (int i = 0; i < MANY; i++) {
        all[i] = claims_ticket_new(&all[i], NULL);
        claims_ticket_add(all[i], "x", i % 3 == 0, NULL);
        ck_assert_int_eq(enter(all[i]), i == 0);
    }
    pass_on(&all[0]);
    for (int i = 0; i < MANY; i++)
        ck_assert_ptr_null(all[i]);
    free(all);
}
END_TEST

static int granted_count;

static void count(void *unused)
{
    (void)unused;
    granted_count++;
}

START_TEST(crowd_of_readers_is_not_quadratic)
{
    struct claims_ticket **all = calloc(MANY, sizeof(struct claims_ticket *)),
                         *writer = ticket("w", "w:x", NULL);

    enter(writer);
    for (int i = 0; i < MANY; i++) {
        all[i] = ticket("r", "r:x", NULL);
        ck_assert_int_eq(enter(all[i]), 0);
    }
    claims_leave(claims, writer, count);
    ck_assert_int_eq(granted_count, MANY);
    ck_assert_int_eq(enter(writer), 0);
    for (int i = MANY - 1; i >= 0; i--) {
        claims_leave(claims, all[(i * 7919ll) % MANY], count);
        ck_assert_int_eq(granted_count, MANY + (i == 0));
    }
    for (int i = 0; i < MANY; i++)
        claims_ticket_free(all[i]);
    free(all);
    claims_leave(claims, writer, count);
    claims_ticket_free(writer);
}
END_TEST

/* The model */

#define TICKETS   30
#define RESOURCES 6

struct model {
    struct claims_ticket *ticket;
    int wants[RESOURCES]; /* 0 nothing, 1 to read, 2 to write */
    unsigned arrival;     /* 0: not there */
    bool granted;         /* as claims has told */
};

static struct model models[TICKETS];

static bool should_be_granted(const struct model *model)
{
    for (int i = 0; i < TICKETS; i++)
        for (int r = 0; r < RESOURCES; r++)
            if (models[i].arrival && models[i].arrival < model->arrival && model->wants[r] &&
                models[i].wants[r] && model->wants[r] + models[i].wants[r] > 2)
                return false;
    return true;
}

static void model_granted(void *opaque)
{
    struct model *model = opaque;

    ck_assert(model->arrival && !model->granted);
    model->granted = true;
}

static void model_enter(struct model *model, unsigned arrival)
{
    char resource[16];

    model->arrival = arrival;
    model->ticket = claims_ticket_new(model, NULL);
    for (int r = 0; r < RESOURCES; r++) {
        model->wants[r] = 0;
        for (int times = rand() % 6; times >= 4; times--) {
            int wants = 1 + rand() % 2;
            snprintf(resource, sizeof(resource), "resource/%d", r);
            claims_ticket_add(model->ticket, resource, wants == 2, NULL);
            model->wants[r] = model->wants[r] > wants ? model->wants[r] : wants;
        }
    }
    model->granted = claims_enter(claims, model->ticket, NULL);
}

static void model_leave(struct model *model)
{
    model->arrival = 0;
    claims_leave(claims, model->ticket, model_granted);
    claims_ticket_free(model->ticket);
    model->granted = false;
}

START_TEST(random_walks_agree_with_the_model)
{
    srand((unsigned)_i + 1);
    for (unsigned step = 1; step <= 3000; step++) {
        struct model *model = &models[rand() % TICKETS];
        if (model->arrival)
            model_leave(model);
        else
            model_enter(model, step);
        for (int i = 0; i < TICKETS; i++)
            if (models[i].arrival)
                ck_assert_int_eq(models[i].granted, should_be_granted(&models[i]));
    }
    for (int i = 0; i < TICKETS; i++)
        if (models[i].arrival)
            model_leave(&models[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("claims");
    TCase *tcase = tcase_create("all");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, writers_stand_alone_in_order);
    tcase_add_test(tcase, readers_stand_together_but_not_past_a_writer);
    tcase_add_test(tcase, who_gives_up_lets_those_behind_pass);
    tcase_add_test(tcase, several_lines_are_granted_together);
    tcase_add_test(tcase, same_resource_twice_counts_once_to_write);
    tcase_add_test(tcase, no_claims_are_granted_at_once);
    tcase_add_test(tcase, ticket_may_enter_again_behind_the_others);
    tcase_add_test(tcase, long_chain_is_neither_deep_nor_slow);
    tcase_add_test(tcase, crowd_of_readers_is_not_quadratic);
    tcase_add_loop_test(tcase, random_walks_agree_with_the_model, 0, 8);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
