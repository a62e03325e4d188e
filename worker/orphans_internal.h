/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the files of orphans share. */

#ifndef VIRTJOB_ORPHANS_INTERNAL_H
#define VIRTJOB_ORPHANS_INTERNAL_H

#include "cleanup.h"
#include "orphans.h"

/* orphans_use.c: which guest has which volume as a disk. */

enum orphan_use {
    USE_NONE,
    USE_SAME_JOB, /* an unfinished guest of the same job; nobody else */
    USE_MAYBE,    /* a guest has a file of that name at another path, which may be the same place */
    USE_OTHERS,
};

/* The disks of all guests, as they are and as they will be at the next start. */
struct uses;
struct uses *uses_read(virConnectPtr conn, struct error *err);
void uses_free(struct uses *uses);

CLEANUP_DEFINE(uses, struct uses *, uses_free)

/* `unfinished` are the guests found so far; the UUID of one of the same job goes to `ret_uuid`. */
enum orphan_use uses_find(const struct uses *uses, const char *path, const struct orphan *volume,
                          const struct orphans *unfinished, char ret_uuid[VIR_UUID_STRING_BUFLEN]);

/* orphans_verdict.c */

/* All that decides. */
struct orphan_facts {
    int64_t min_age_s;
    bool target;  /* the volume is there; true for a guest */
    bool at_work; /* libvirt is at it */
    bool late;    /* the volume was there before the record was written */
    bool empty;   /* a blank record that holds nothing at all */
    enum orphan_use use;
};

/* Sets verdict and why. */
void orphan_judge(struct orphan *orphan, const struct orphan_facts *facts);

/* Lets what has something of the same job that is young or in work share its verdict; then orders all. */
void orphans_settle(struct orphans *orphans);

/* orphans_volume.c: what libvirt only tells who tries to read. */

/* Whether the volume is still being allocated. */
bool orphans_volume_at_work(virStorageVolPtr vol);

/* Whether there is nothing but zeros in it; false where that cannot be known. */
bool orphans_volume_is_empty(virStorageVolPtr vol);

#endif
