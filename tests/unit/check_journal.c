/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a reading keeps, how far back it goes, and what becomes of questions without a broker. The stream itself is in
 * tests/integration/journal-*. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal_internal.h"

#define JOB   "5f0c5a5e-0c7b-4a86-93f5-0f6f4a7f3f0e"
#define OTHER "7d3c1f0a-1b0e-4f0e-9f59-3a2f6a3f6b11"
#define NOW   1800000000u

static struct config config = { .broker = { .prefix = (char *)"virtjob" },
                                .worker = { .name = (char *)"w1" },
                                .journal = { .lookback_s = 3600, .max_age_s = 86400 } };

/* What has been told, in its order. */
static struct told {
    char job[64];
    struct journal_entry *entry;
} told[8];
static int told_count;

static void on_told(void *opaque, const char *job_id, struct journal_entry *entry)
{
    (void)opaque;
    snprintf(told[told_count].job, sizeof(told[0].job), "%s", job_id);
    told[told_count++].entry = entry;
}

static void teardown(void)
{
    while (told_count > 0)
        journal_entry_free(told[--told_count].entry);
}

static void ask(struct journal_round *round, const char *job_id, uint64_t since_s)
{
    struct journal_question *question = journal_question_new(job_id, since_s);

    journal_round_join(round, &question);
    ck_assert_ptr_null(question);
}

static void take(struct journal_round *round, const char *message_id, const char *body)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));

    delivery->message_id = message_id ? strdup(message_id) : NULL;
    delivery->body = strdup(body);
    delivery->length = strlen(body);
    journal_round_take(round, delivery);
}

START_TEST(notes_are_written_as_they_are_read)
{
    struct journal_round round = { 0 };
    char id[256];

    ask(&round, JOB, NOW);
    journal_note_id(JOB, "begun", "w1", id);
    ck_assert_str_eq(id, JOB "/begun/w1");
    take(&round, id, "");
    take(&round, id, "");
    journal_note_id(JOB, "returned", "w1", id);
    take(&round, id, "");
    journal_note_id(JOB, "placed", "node1", id);
    take(&round, id, "");
    journal_note_id(JOB, "placed", "node2", id);
    take(&round, id, "");
    journal_round_tell(&round, on_told, NULL);
    ck_assert_int_eq(told_count, 1);
    ck_assert_str_eq(told[0].job, JOB);
    ck_assert_int_eq(told[0].entry->begun, 2);
    ck_assert_int_eq(told[0].entry->returned, 1);
    ck_assert_str_eq(told[0].entry->placed, "node2");
    ck_assert_ptr_null(told[0].entry->outcome);
}
END_TEST

START_TEST(the_first_outcome_is_kept)
{
    struct journal_round round = { 0 };

    ask(&round, JOB, NOW);
    take(&round, JOB "/outcome", "first");
    take(&round, JOB "/outcome", "second");
    journal_round_tell(&round, on_told, NULL);
    ck_assert_str_eq(told[0].entry->outcome->body, "first");
    ck_assert_str_eq(told[0].entry->outcome->message_id, JOB "/outcome");
}
END_TEST

START_TEST(what_is_not_asked_for_is_not_kept)
{
    char long_host[128];
    struct journal_round round = { 0 };

    snprintf(long_host, sizeof(long_host), JOB "/placed/%064d", 0);
    ask(&round, JOB, NOW);
    take(&round, OTHER "/outcome", "");
    take(&round, OTHER "/begun/w1", "");
    take(&round, NULL, "");
    take(&round, "", "");
    take(&round, "/outcome", "");
    take(&round, JOB, "");
    take(&round, JOB "/", "");
    take(&round, JOB "0/outcome", "");
    take(&round, JOB "/outcomes", "");
    take(&round, JOB "/Outcome", "");
    take(&round, JOB "/begun", "");
    take(&round, JOB "/progress/17", "");
    take(&round, long_host, "");
    take(&round, "marker/w1/0", "");
    journal_round_tell(&round, on_told, NULL);
    ck_assert_int_eq(told_count, 1);
    ck_assert_ptr_null(told[0].entry->outcome);
    ck_assert_int_eq(told[0].entry->begun + told[0].entry->returned, 0);
    ck_assert_str_eq(told[0].entry->placed, "");
}
END_TEST

START_TEST(a_second_reading_counts_anew)
{
    struct journal_round round = { 0 };

    ask(&round, JOB, NOW);
    for (int i = 0; i < 3; i++) {
        journal_round_restart(&round);
        take(&round, JOB "/begun/w1", "");
        take(&round, JOB "/placed/node1", "");
        take(&round, JOB "/outcome", i == 2 ? "third" : "earlier");
    }
    journal_round_tell(&round, on_told, NULL);
    ck_assert_int_eq(told[0].entry->begun, 1);
    ck_assert_str_eq(told[0].entry->outcome->body, "third");
}
END_TEST

START_TEST(the_same_id_waits_for_the_next_round)
{
    struct journal_round round = { 0 };
    struct journal_question *waiting = journal_question_new(JOB, NOW);

    waiting->next = journal_question_new(JOB, NOW);
    waiting->next->next = journal_question_new(OTHER, NOW);
    journal_round_join(&round, &waiting);
    ck_assert_str_eq(waiting->job_id, JOB);
    ck_assert_ptr_null(waiting->next);
    journal_round_tell(&round, on_told, NULL);
    ck_assert_int_eq(told_count, 2);
    ck_assert_str_eq(told[0].job, JOB);
    ck_assert_str_eq(told[1].job, OTHER);
    journal_round_join(&round, &waiting);
    ck_assert_ptr_null(waiting);
    journal_round_tell(&round, on_told, NULL);
    ck_assert_str_eq(told[2].job, JOB);
}
END_TEST

START_TEST(what_is_told_to_nobody_is_freed)
{
    struct journal_round round = { 0 };

    ask(&round, JOB, NOW);
    take(&round, JOB "/outcome", "x");
    journal_round_tell(&round, NULL, NULL);
    ck_assert_ptr_null(round.questions);
    journal_entry_free(NULL);
}
END_TEST

/* When jobs were published, and from where the stream is read. */
static const struct {
    uint64_t since_s[3];
    const char *offset;
} reaches[] = {
    { { NOW }, "3600s" },
    { { NOW - 3300 }, "3600s" },
    { { NOW - 3301 }, "3601s" },
    { { NOW + 299 }, "3600s" },
    { { NOW - 7200, NOW - 86000, NOW }, "86300s" },
    { { NOW - 86400 }, "first" },
    { { 1 }, "first" },
    { { NOW + 301 /* a wrong clock */ }, "first" },
    { { UINT64_MAX }, "first" },
};

START_TEST(the_stream_is_read_from_before_the_oldest_job)
{
    struct journal_round round = { 0 };
    char offset[32];

    for (int i = 0; i < 3 && reaches[_i].since_s[i]; i++) {
        char id[2] = { (char)('a' + i), '\0' };

        ask(&round, id, reaches[_i].since_s[i]);
    }
    journal_round_offset(&round, &config, NOW, offset);
    ck_assert_str_eq(offset, reaches[_i].offset);
    journal_round_tell(&round, NULL, NULL);
}
END_TEST

START_TEST(all_of_it_is_read_for_a_job_of_unknown_age)
{
    struct journal_round round = { 0 };
    char offset[32];

    ask(&round, JOB, NOW);
    ask(&round, OTHER, 0);
    journal_round_offset(&round, &config, NOW, offset);
    ck_assert_str_eq(offset, "first");
    journal_round_tell(&round, NULL, NULL);
}
END_TEST

START_TEST(questions_without_an_answer_end_with_the_journal)
{
    struct topology *topology = topology_new(&config, NULL);
    const struct journal_settings settings = { .topology = topology, .told = on_told };
    struct journal *journal = journal_new(&settings, NULL);

    ck_assert_int_eq(journal_ask(journal, JOB, 0), 0);
    ck_assert_int_eq(journal_ask(journal, JOB, NOW), 0);
    journal_stop(journal);
    ck_assert_int_eq(journal_ask(journal, JOB, 0), -1);
    journal_free(journal);
    journal_stop(NULL);
    journal_free(NULL);
    ck_assert_int_eq(told_count, 0);
    topology_free(topology);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal");
    TCase *tcase = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(tcase, NULL, teardown);
    tcase_add_test(tcase, notes_are_written_as_they_are_read);
    tcase_add_test(tcase, the_first_outcome_is_kept);
    tcase_add_test(tcase, what_is_not_asked_for_is_not_kept);
    tcase_add_test(tcase, a_second_reading_counts_anew);
    tcase_add_test(tcase, the_same_id_waits_for_the_next_round);
    tcase_add_test(tcase, what_is_told_to_nobody_is_freed);
    tcase_add_loop_test(tcase, the_stream_is_read_from_before_the_oldest_job, 0,
                        sizeof(reaches) / sizeof(reaches[0]));
    tcase_add_test(tcase, all_of_it_is_read_for_a_job_of_unknown_age);
    tcase_add_test(tcase, questions_without_an_answer_end_with_the_journal);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
