/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What has become of a job before it came to us: read from the journal, a stream on the broker that holds every outcome
 * (bound to the events exchange) and short notes of the workers. Asked only for jobs that come a second time.
 *
 * A question opens a connection of its own, reads the stream up to a marker that it has published there itself, answers
 * all that was asked before it began, and closes it. Everything is told by the message_id, so nothing is parsed: "<job id>/outcome", "<job id>/begun/<worker>" (a job that had come before begins), "<job
 * id>/returned/<worker>" (a worker that lives has let it go), "<job id>/placed/<host>" (a job for any host runs there, or
 * a retry has left something there). */

#ifndef VIRTJOB_JOURNAL_H
#define VIRTJOB_JOURNAL_H

#include <stdint.h>

#include "error.h"
#include "message.h"
#include "topology.h"

#define JOURNAL_HOST_SIZE 64

struct journal;

/* What it says of one job. */
struct journal_entry {
    /* As it was published: routing key, properties, body. The first. NULL: none. It is oversized where no broker in its
     * default settings would have taken it (128 MiB): then it is known to be there, and no more. */
    struct delivery *outcome;
    int begun;                      /* notes of that kind */
    uint64_t begun_s;               /* when the first of them was made, seconds since 1970; 0: not known */
    int returned;                   /* notes of that kind */
    char placed[JOURNAL_HOST_SIZE]; /* the host of the last such note; "": none */
};

struct journal_settings {
    const struct topology *topology; /* outlives the journal */
    /* On the journal's thread, once for each journal_ask: takes `entry` (journal_entry_free; never NULL). Must not
     * block. */
    void (*told)(void *opaque, const char *job_id, struct journal_entry *entry);
    void *opaque;
};

struct journal *journal_new(const struct journal_settings *settings, struct error *err);
int journal_start(struct journal *journal, struct error *err);

/* Any thread, does not block: the answer covers at least what was in the stream when this was called, from `since_s` on:
 * when the job was published (seconds since 1970, as delivery->timestamp), for nothing can have become of it before, but
 * at least journal.lookback; 0, where that is not known: all that the stream has. While the broker is away it waits for
 * it. The same id asked twice is told twice. -1: no memory, or stopped; nothing will be told. */
int journal_ask(struct journal *journal, const char *job_id, uint64_t since_s);

/* No more calls of `told` after it returns; what is open is not told. NULL is allowed. */
void journal_stop(struct journal *journal);
void journal_free(struct journal *journal);

void journal_entry_free(struct journal_entry *entry);

/* The message_id of a note, "<job id>/begun/<word>", into `ret_text` (256 bytes). */
void journal_note_id(const char *job_id, const char *what, const char *word, char *ret_text);

#endif
