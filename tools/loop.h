/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The main loop of what watches: items from other threads, signals, the terminal's size, time. */

#ifndef VIRTJOB_LOOP_H
#define VIRTJOB_LOOP_H

#include <stdint.h>

#include <jansson.h>

#include "error.h"
#include "letter.h"
#include "message.h"
#include "queue.h"
#include "view.h"

/* What another thread tells the main one. */
enum item_kind {
    ITEM_EVENT,      /* `event`; `tag` where it came from a broker */
    ITEM_UNREADABLE, /* a delivery that is no JSON; `tag` */
    ITEM_SETTLED,    /* the message number `index` has met its `fate` */
    ITEM_DOWN,       /* the connection to the broker has ended */
    ITEM_UP,         /* there is one (again) */
    ITEM_ENDED,      /* what ran has ended */
    ITEM_COUNT,      /* `index` letters will come */
    ITEM_LETTER,     /* `letter`, from the dead queue; NULL: there was no memory for it */
};

struct item {
    enum item_kind kind;
    json_t *event;
    struct letter *letter;
    struct delivery_tag tag;
    size_t index;
    enum message_fate fate;
};

/* NULL without memory; the caller frees with item_free, which may take NULL. */
struct item *item_new(enum item_kind kind);
void item_free(void *item);

struct loop {
    struct queue *queue; /* of struct item */
    struct view *view;
    int signals;
    int output;       /* a descriptor whose loss ends the loop even before a write; -1: none */
    int64_t until_ms; /* monotonic; 0: for ever */
};

enum loop_wake { LOOP_ITEM, LOOP_INTERRUPTED, LOOP_TIMED_OUT, LOOP_BROKEN };

/* From here on SIGINT, SIGTERM, SIGHUP and SIGWINCH come through the loop, in every thread started later too; SIGPIPE
 * is ignored. Before any thread is started. */
void loop_block_signals(void);

/* Lends `view`. `timeout_ms` 0: none. `capacity` of the queue. loop_done in any case. */
int loop_init(struct loop *loop, struct view *view, size_t capacity, int64_t timeout_ms, struct error *err);
void loop_done(struct loop *loop);

/* From now on. 0: none. */
void loop_set_timeout(struct loop *loop, int64_t timeout_ms);

/* What of `ms` lies before the end of the time; 1 at least. */
int loop_limit_ms(const struct loop *loop, int ms);

/* Waits, drawing the view meanwhile, for an item (the caller frees it), an interrupt, the end of the time, or the loss
 * of standard output. */
enum loop_wake loop_next(struct loop *loop, struct item **ret_item);

#endif
