/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Jobs that run here, without any broker: one after the other, each on a thread of its own, over connections of our own
 * to libvirt. All functions are for the main thread. */

#ifndef VIRTJOB_LOCAL_H
#define VIRTJOB_LOCAL_H

#include "cli.h"
#include "config.h"
#include "envelope.h"
#include "loop.h"

struct local;

struct local_settings {
    const char *uri;  /* of libvirt, for jobs of hosts that the configuration does not know */
    bool only;        /* and for all others too */
    const char *host; /* what jobs there are told; events have that of their job */
    /* Its hosts are where jobs of theirs run, and where others may migrate to; and the folders for save images. NULL: none. */
    const struct config *config;
    struct loop *loop;
    int progress_interval_ms;
};

/* What --connect says, or the environment (LIBVIRT_DEFAULT_URI), or qemu:///system. Lent. */
const char *local_uri(const struct cli *cli);

/* Starts libvirt's event loop, which local_free ends: one at a time. All of `settings` is lent. NULL is allowed. */
struct local *local_new(const struct local_settings *settings, struct error *err);
void local_free(struct local *local);

/* Begins a job (lent until local_end) that jobfile_check has found to be good. All that it tells comes to the loop's
 * queue as ITEM_EVENT, its outcome at last as ITEM_ENDED. */
int local_begin(struct local *local, const struct request *request, struct error *err);

/* Asks it to stop at its next safe point, and to undo what it has done. */
void local_cancel(struct local *local);

/* Waits for its end. Where nobody reads the queue any more, it is to be closed before. */
void local_end(struct local *local);

#endif
