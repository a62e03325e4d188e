/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Between the parts of the journal: journal.c asks the broker, journal_round.c keeps what it says. */

#ifndef VIRTJOB_JOURNAL_INTERNAL_H
#define VIRTJOB_JOURNAL_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "journal.h"

/* One question. */
struct journal_question {
    struct journal_entry *entry; /* never NULL: nothing is allocated once the stream is read */
    uint64_t since_s;
    struct journal_question *next; /* of those that wait */
    UT_hash_handle hh;
    char job_id[];
};

/* NULL: no memory. NULL is allowed for _free. */
struct journal_question *journal_question_new(const char *job_id, uint64_t since_s);
void journal_question_free(struct journal_question *question);

/* What is asked in one reading of the stream, by job id; one thread at a time. Begins as zeros. */
struct journal_round {
    struct journal_question *questions;
};

/* Takes over the waiting questions, in their order; one for an id that is in the round already is left for the next, as
 * there is one outcome to give away. */
void journal_round_join(struct journal_round *round, struct journal_question **waiting);

/* Forgets what has been found, for the stream is read again. */
void journal_round_restart(struct journal_round *round);

/* Where to begin reading, as an x-stream-offset, into `ret_offset` (32 bytes). */
void journal_round_offset(const struct journal_round *round, const struct config *config, uint64_t now_s,
                          char *ret_offset);

/* Takes the delivery. */
void journal_round_take(struct journal_round *round, struct delivery *delivery);

/* Tells all, and is empty afterwards. `told` NULL: nobody. */
void journal_round_tell(struct journal_round *round,
                        void (*told)(void *opaque, const char *job_id, struct journal_entry *entry),
                        void *opaque);

#endif
