/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What is asked, and what the stream says of it. Only what is asked for is kept. */

#include "journal_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So far may the clocks of those who publish jobs differ from ours. */
#define CLOCKS_DIFFER_S 300

void journal_entry_free(struct journal_entry *entry)
{
    if (!entry)
        return;
    delivery_free(entry->outcome);
    free(entry);
}

void journal_note_id(const char *job_id, const char *what, const char *word, char *ret_text)
{
    snprintf(ret_text, 256, "%s/%s/%s", job_id, what, word);
}

struct journal_question *journal_question_new(const char *job_id, uint64_t since_s)
{
    size_t size = strlen(job_id) + 1;
    struct journal_question *question = calloc(1, sizeof(*question) + size);

    if (!question)
        return NULL;
    memcpy(question->job_id, job_id, size);
    question->since_s = since_s;
    question->entry = calloc(1, sizeof(*question->entry));
    if (question->entry)
        return question;
    free(question);
    return NULL;
}

void journal_question_free(struct journal_question *question)
{
    if (!question)
        return;
    journal_entry_free(question->entry);
    free(question);
}

void journal_round_join(struct journal_round *round, struct journal_question **waiting)
{
    while (*waiting) {
        struct journal_question *question = *waiting, *same;

        HASH_FIND_STR(round->questions, question->job_id, same);
        if (same) {
            waiting = &question->next;
            continue;
        }
        *waiting = question->next;
        question->next = NULL;
        HASH_ADD_STR(round->questions, job_id, question);
    }
}

void journal_round_restart(struct journal_round *round)
{
    for (struct journal_question *question = round->questions; question; question = question->hh.next) {
        delivery_free(question->entry->outcome);
        *question->entry = (struct journal_entry){ 0 };
    }
}

/* How far back for one question; UINT64_MAX: all. A time that has not come yet is none. */
static uint64_t question_reach_s(const struct journal_question *question, uint64_t lookback_s, uint64_t now_s)
{
    uint64_t age_s;

    if (question->since_s == 0 || question->since_s > now_s + CLOCKS_DIFFER_S)
        return UINT64_MAX;
    age_s = question->since_s > now_s ? 0 : now_s - question->since_s;
    return age_s + CLOCKS_DIFFER_S > lookback_s ? age_s + CLOCKS_DIFFER_S : lookback_s;
}

/* The broker counts an interval back by its own clock. */
void journal_round_offset(const struct journal_round *round, const struct config *config, uint64_t now_s,
                          char *ret_offset)
{
    uint64_t reach_s = 0;

    for (const struct journal_question *question = round->questions; question; question = question->hh.next) {
        uint64_t own_s = question_reach_s(question, (uint64_t)config->journal.lookback_s, now_s);

        reach_s = own_s > reach_s ? own_s : reach_s;
    }
    if (reach_s < (uint64_t)config->journal.max_age_s)
        snprintf(ret_offset, 32, "%" PRIu64 "s", reach_s);
    else
        snprintf(ret_offset, 32, "first");
}

static struct journal_question *round_find(const struct journal_round *round, const char *job_id,
                                           size_t length)
{
    struct journal_question *question;

    HASH_FIND(hh, round->questions, job_id, length, question);
    return question;
}

/* What a message id says behind "<job id>/". False: `delivery` is not kept. */
static bool entry_take(struct journal_entry *entry, const char *what, struct delivery *delivery)
{
    if (strcmp(what, "outcome") == 0 && !entry->outcome) {
        entry->outcome = delivery;
        return true;
    }
    if (strncmp(what, "begun/", 6) == 0) {
        entry->begun_s = entry->begun_s ? entry->begun_s : delivery->timestamp;
        entry->begun++;
    } else if (strncmp(what, "returned/", 9) == 0)
        entry->returned++;
    else if (strncmp(what, "placed/", 7) == 0 && strlen(what + 7) < sizeof(entry->placed))
        strcpy(entry->placed, what + 7);
    return false;
}

void journal_round_take(struct journal_round *round, struct delivery *delivery)
{
    const char *id = delivery->message_id, *slash = id ? strchr(id, '/') : NULL;
    struct journal_question *question = slash ? round_find(round, id, (size_t)(slash - id)) : NULL;

    if (!question || !entry_take(question->entry, slash + 1, delivery))
        delivery_free(delivery);
}

void journal_round_tell(struct journal_round *round,
                        void (*told)(void *opaque, const char *job_id, struct journal_entry *entry),
                        void *opaque)
{
    struct journal_question *question, *next;

    HASH_ITER (hh, round->questions, question, next) {
        HASH_DEL(round->questions, question);
        if (told) {
            told(opaque, question->job_id, question->entry);
            question->entry = NULL;
        }
        journal_question_free(question);
    }
}
