/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What dead.c (reads the queue) and dead_verbs.c (does something with a message) share. */

#ifndef VIRTJOB_DEAD_INTERNAL_H
#define VIRTJOB_DEAD_INTERNAL_H

#include <uthash.h>

#include "client.h"
#include "letter.h"
#include "terminal.h"

struct dead;

struct verb {
    const char *name;
    bool takes_ids, takes_all;
    bool needs_body;
    size_t limit;                                                 /* where no other is given */
    bool needs_yes;                                               /* for all */
    void (*on_letter)(struct dead *dead, struct letter **letter); /* may steal it */
};

extern const struct verb dead_verbs[]; /* ends with a NULL name */

/* A job on its way back, once for all the messages that ask for it. */
struct requeued {
    struct letter *letters;       /* a list; the first is the one that is sent */
    char new_id[REQUEST_ID_SIZE]; /* "": it keeps its own */
    bool is_settled;
    enum message_fate fate; /* where it is settled */
    UT_hash_handle hh;      /* by `request` of the letters */
};

struct dead {
    struct cli *cli;
    const struct verb *verb;
    char *const *words; /* ids; ends with NULL */
    bool *found;        /* one for each */
    bool all;
    struct terminal terminal;
    struct client_reading reading;
    size_t limit;
    size_t there;   /* in the queue when the reading began; SIZE_MAX: not known yet */
    size_t seen;    /* of them */
    size_t settled; /* of those seen; the others keep their place in what the broker hands out at once */
    struct requeued **jobs; /* in the order in which they were sent */
    struct requeued *requests;
    size_t count, answered; /* of jobs */
    struct view *view;
    struct loop loop;
    struct client *client;
    enum exit_code code;
};

/* The fate of a job that was to be requeued. */
void dead_requeue_settled(struct dead *dead, const struct item *item);

/* Frees all jobs. */
void dead_requeue_done(struct dead *dead);

#endif
