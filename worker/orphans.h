/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What jobs have left on a host: the records of volumes (stamp.h) in its active pools, and the guests whose stamp is
 * not done; and what each of them is: the trace of a job that is still under way, a record that nobody needs any more,
 * or something that a job has begun and nobody will finish.
 *
 * Whether a job is still under way nobody but the broker knows. So age decides, and one more rule: of a job that has
 * anything young or in work, nothing is taken for abandoned, however old. A guest or volume that does not carry our
 * stamp is never touched, nor is one that does where it may have become somebody else's: ORPHAN_UNCLEAR. */

#ifndef VIRTJOB_ORPHANS_H
#define VIRTJOB_ORPHANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <libvirt/libvirt.h>

#include "error.h"
#include "stamp.h"

enum orphan_kind {
    ORPHAN_GUEST,
    ORPHAN_VOLUME, /* with its record */
    ORPHAN_RECORD, /* of a volume that is not there */
};

/* In the order in which a list has them. */
enum orphan_verdict {
    ORPHAN_ABANDONED, /* "orphan": begun by a job of ours and not finished */
    ORPHAN_UNCLEAR,   /* "unclear": a person should look; reaped by nobody */
    ORPHAN_STALE,     /* "stale": only the record or the mark is left over */
    ORPHAN_YOUNG,     /* "young": its job may be under way */
    ORPHAN_IN_WORK,   /* "in-work": libvirt is at it, or at something else of its job */
};

struct orphan {
    enum orphan_kind kind;
    enum orphan_verdict verdict;
    const char *why; /* one clause; static */
    char *pool;      /* NULL: a guest */
    char *name;      /* of the volume or guest */
    /* Of the guest; of a volume, of the unfinished guest of its job that has it, or "". */
    char uuid[VIR_UUID_STRING_BUFLEN];
    bool active; /* the guest */
    struct stamp stamp;
    int64_t age_s;     /* of the stamp, by our clock: never negative; -1: not known */
    uint64_t capacity; /* of the volume */
    uint64_t allocation;
};

struct orphans_settings {
    int64_t min_age_s;                                  /* what is younger is left alone */
    int (*safe_point)(void *opaque, struct error *err); /* before each look; -1 ends it. NULL: none */
    void *opaque;
};

/* Abandoned ones first, guests before the volumes that they may have. */
struct orphans {
    struct orphan *items;
    size_t count;
    json_t *unseen; /* [{"pool"?, "volume"?, "guest"?, "error"}]: what could not be looked at */
};

/* Looks over the host and changes nothing. Fails where the connection broke, or nothing can be listed. `ret_orphans`:
 * orphans_done. */
int orphans_find(virConnectPtr conn, const struct orphans_settings *settings, struct orphans *ret_orphans,
                 struct error *err);
void orphans_done(struct orphans *orphans);

static inline void cleanup_orphans(struct orphans *orphans)
{
    orphans_done(orphans);
}

/* Whether orphan_reap does anything: abandoned or stale. */
bool orphan_is_reapable(const struct orphan *orphan);

/* Turns off and undefines an abandoned guest; deletes an abandoned volume, then its record; clears a stale record, or
 * marks the stamp of a guest as done. Looks again first: ERROR_BUSY where somebody has taken it up since. What has gone
 * meanwhile is success, so it may be repeated. */
int orphan_reap(virConnectPtr conn, const struct orphan *orphan, struct error *err);

/* "volume", "stale", "intended": as in schemas/host.orphans.json. Static. */
const char *orphan_kind_name(enum orphan_kind kind);
const char *orphan_verdict_name(enum orphan_verdict verdict);
const char *orphan_state_name(enum stamp_state state);

#endif
