/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Between the files of host.evacuate: host_evacuate.c is the job and moves the guests, _find.c looks which they are and where they
 * may go, _choose.c chooses, _tell.c says how far it has come and what came of it. */

#ifndef VIRTJOB_HOST_EVACUATE_H
#define VIRTJOB_HOST_EVACUATE_H

#include "host_internal.h"

#define EVACUATION_HOSTS_MAX    64 /* maxItems of `destinations` */
#define EVACUATION_PARALLEL_MAX 16
#define EVACUATION_NOWHERE      (-1)

enum evacuee_state {
    EVACUEE_WAITING,
    EVACUEE_MOVING,
    EVACUEE_MOVED,
    EVACUEE_FAILED,
    EVACUEE_LEFT_OUT, /* it has ended by itself before it was its turn: there is nothing to move */
};

struct evacuation;

/* A guest that is to be moved. */
struct evacuee {
    struct evacuation *evacuation;
    char *name;                        /* as it was named where it is not here */
    char uuid[VIR_UUID_STRING_BUFLEN]; /* "": not here */
    char where[48];                    /* JSON pointer of its name in the parameters; "": it was not named */
    bool wanted_off;                   /* it is to be moved also where it is off */
    bool off;                          /* it is */
    uint64_t memory;                   /* bytes */
    int there; /* the destination that has it, or takes it just now, by an earlier attempt say; or nowhere */
    uint64_t refused;   /* destinations that have, a bit each */
    struct error error; /* of its last attempt; where it is not here and nowhere, so from the beginning */

    /* The evacuation's lock guards what follows. */
    enum evacuee_state state;
    int destination;
    uint64_t done;  /* of `memory`; never falls */
    double percent; /* of this attempt */
    bool stalled;
    json_t *transfer, *rollback; /* NULL: none */
    bool changed, adopted, uncertain;
    bool lost;      /* a host went away: what was begun may go on */
    bool lost_here; /* that is the host of the job, and no destination */
};

/* Where guests may go. */
struct evacuation_host {
    const char *name; /* lent by the parameters or the configuration */
    bool away;        /* cannot be reached */
    bool known;       /* how much memory is free */
    uint64_t free;    /* bytes */
};

struct evacuation {
    struct job *job;
    struct evacuee *guests;
    size_t guest_count;
    struct evacuation_host hosts[EVACUATION_HOSTS_MAX];
    size_t host_count;
    bool by_memory;

    pthread_mutex_t lock; /* guards what follows; a part's progress is locked before it, the job's after it */
    size_t next;          /* the first guest that nobody has taken yet */
    struct error broken; /* the first connection that was, so that the next attempt has to look; ERROR_NONE */
    bool host_is_away;   /* the one of the job: no more guests are begun */
    int64_t told_ms;     /* monotonic: when the detail of the progress was last made */
};

/* host_evacuate_find.c */

/* Fills hosts; ERROR_UNKNOWN_HOST, ERROR_INVALID at /params/destinations/<i>. */
int evacuation_find_hosts(struct evacuation *evacuation, struct error *err);

/* Fills guests. Those that are named and not here are looked for at the destinations; where the job comes again, all are. */
int evacuation_find_guests(struct evacuation *evacuation, struct error *err);

/* Right before it is its turn: whether it is on or off. 1: it is to be moved, 0: it has ended by itself, -1. */
int evacuee_look(struct evacuee *evacuee, struct error *err);

/* After a failure, where the job comes again: looks for it at the other destinations once more, for a migration that an earlier
 * attempt had only just begun may not have shown there. Whether one has it of which that was not known. */
bool evacuee_turns_up(struct evacuee *evacuee);

/* Asks all hosts that are not away how much memory they have; any thread, no lock held. */
void evacuation_look_at_hosts(struct evacuation *evacuation);

/* The active guests that are still here; -1: not known. */
int evacuation_count_left(struct evacuation *evacuation);

/* host_evacuate_choose.c. Asks nobody; with the lock held. */

/* What is still to come to a destination of the guests on their way there, in bytes. */
uint64_t evacuation_coming(const struct evacuation *evacuation, int host);

/* The destination for a guest: reached, not one that has refused it, with room for it beside those on their way there; of
 * these the first, or the one with the most room left. Where nobody knows how much is free there is room, but the least. */
int evacuation_choose(const struct evacuation *evacuation, const struct evacuee *evacuee);

/* host_evacuate_tell.c */

/* A new state, of which the progress tells. With no lock held. */
void evacuee_set_state(struct evacuee *evacuee, enum evacuee_state state);

/* A progress_sink for the part that moves it; `opaque` is the evacuee. */
void evacuee_report(void *opaque, json_t *report);

/* The rest when no guest is under way any more. */

bool evacuation_is_complete(const struct evacuation *evacuation);

/* As host.evacuate.json#/$defs/result. NULL: no memory. */
json_t *evacuation_describe(struct evacuation *evacuation);

/* Names the guests that have failed, as far as there is room. Returns -1. */
int evacuation_fail(struct evacuation *evacuation, struct error *err);

#endif
