/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One message of the dead queue, as far as it can be made out. A stranger may have written all of it. */

#ifndef VIRTJOB_LETTER_H
#define VIRTJOB_LETTER_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "envelope.h"
#include "message.h"
#include "terminal.h"

enum letter_kind {
    LETTER_JOB,   /* has id, type and host: can be published again */
    LETTER_EVENT, /* a CloudEvent, as an outcome that nobody wanted */
    LETTER_OTHER
};

#define LETTER_NAME_SIZE 101

struct letter {
    char id[13]; /* a digest of the message: stays the same from one look to the next; copies have the same */
    enum letter_kind kind;
    char job[REQUEST_ID_SIZE];   /* lower case; "" where it is not known, as with what follows */
    char type[LETTER_NAME_SIZE]; /* of the job */
    char host[LETTER_NAME_SIZE];
    char state[16];      /* of an outcome */
    char request[17];    /* a digest of what is asked for: jobs with the same here are one */
    bool is_answered;    /* a job that has had its outcome */
    struct letter *next; /* the caller's list */
    struct delivery *delivery;
};

/* Takes the delivery. NULL: no memory, and it is freed. */
struct letter *letter_new(struct delivery *delivery);
void letter_free(struct letter *letter);

/* The rest is enough for a list. */
void letter_drop_body(struct letter *letter);

/* The body as JSON, a new reference; NULL where it is none. */
json_t *letter_body(const struct letter *letter);

/* Whether `word` is its id, or the id of its job. */
bool letter_is(const struct letter *letter, const char *word);

/* Column heads, and one line: id, age, size, job, type@host, why. Escaped. */
void letter_heads(FILE *out);
void letter_line(FILE *out, const struct letter *letter, const struct terminal *terminal);

/* Everything: properties, one a line, and the body, laid out where it is JSON; escaped, and cut where it is long. */
void letter_show(FILE *out, const struct letter *letter, const struct terminal *terminal);

/* The same as an object, with the body or without: a new reference, NULL without memory. */
json_t *letter_json(const struct letter *letter, bool body);

/* The job as it is to be published to `exchange`, under another id where `new_id` is not NULL. Fails with ERROR_INVALID
 * for what is no job, or has lost its body, or needs another id: there is one outcome for an id. */
struct message *letter_message(const struct letter *letter, const char *exchange, const char *new_id,
                               struct error *err);

#endif
