/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Lines of claims, one for each resource that somebody claims, found by a hash.
 *
 * A line is a list in the order of arrival. Granted claims are always its first ones: either one to write or some to
 * read; `waiting` is the first that is not. So each claim is passed over once in its life, whatever the length. */

#include "claims.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

struct claim {
    char *resource;
    bool write;
    struct claims_ticket *ticket;
    struct line *line; /* NULL outside, and for a resource that an earlier claim of the ticket stands for */
    struct claim *prev, *next;
    bool granted;
};

struct line {
    UT_hash_handle hh;
    struct claim *first;
    struct claim *waiting;  /* the first that is not granted */
    struct claim *entering; /* while a ticket gathers its lines: its claim here */
    size_t granted;
    bool written; /* what is granted is to write */
    char resource[];
};

struct claims_ticket {
    void *opaque;
    struct claim *claims;
    size_t count, size;
    size_t missing;                    /* lines in which it still waits */
    struct claims_ticket *prev, *next; /* among the granted that have not been told */
    bool untold;
};

struct claims {
    struct line *lines;
    struct claims_ticket *untold;
    bool telling;
};

struct claims *claims_new(struct error *err)
{
    struct claims *claims = calloc(1, sizeof(*claims));

    if (!claims)
        error_set_memory(err);
    return claims;
}

static void line_free(struct claims *claims, struct line *line)
{
    HASH_DEL(claims->lines, line);
    free(line);
}

void claims_free(struct claims *claims)
{
    struct line *line, *next;

    if (!claims)
        return;
    HASH_ITER (hh, claims->lines, line, next)
        line_free(claims, line);
    free(claims);
}

struct claims_ticket *claims_ticket_new(void *opaque, struct error *err)
{
    struct claims_ticket *ticket = calloc(1, sizeof(*ticket));

    if (!ticket)
        error_set_memory(err);
    else
        ticket->opaque = opaque;
    return ticket;
}

void claims_ticket_free(struct claims_ticket *ticket)
{
    if (!ticket)
        return;
    for (size_t i = 0; i < ticket->count; i++)
        free(ticket->claims[i].resource);
    free(ticket->claims);
    free(ticket);
}

static int ticket_reserve(struct claims_ticket *ticket)
{
    size_t size = ticket->size ? ticket->size * 2 : 4;
    struct claim *claims;

    if (ticket->count < ticket->size)
        return 0;
    claims = realloc(ticket->claims, size * sizeof(*claims));
    if (!claims)
        return -1;
    ticket->claims = claims;
    ticket->size = size;
    return 0;
}

int claims_ticket_add(struct claims_ticket *ticket, const char *resource, bool write, struct error *err)
{
    char *copy = strdup(resource);

    if (!copy || ticket_reserve(ticket) < 0) {
        free(copy);
        return error_set_memory(err);
    }
    ticket->claims[ticket->count++] = (struct claim){ .resource = copy, .write = write, .ticket = ticket };
    return 0;
}

/* Lines */

static struct line *line_find_or_add(struct claims *claims, const char *resource)
{
    size_t length = strlen(resource);
    struct line *line;

    HASH_FIND(hh, claims->lines, resource, length, line);
    if (line)
        return line;
    line = calloc(1, sizeof(*line) + length + 1);
    if (!line)
        return NULL;
    memcpy(line->resource, resource, length);
    HASH_ADD_KEYPTR(hh, claims->lines, line->resource, length, line);
    if (!line->hh.tbl) {
        free(line);
        return NULL;
    }
    return line;
}

/* Grants what may be granted at the head of the line. Tickets that thereby have all go to `untold`. */
static void line_advance(struct claims *claims, struct line *line)
{
    struct claim *claim;

    while ((claim = line->waiting) && (line->granted == 0 || (!line->written && !claim->write))) {
        claim->granted = true;
        line->granted++;
        line->written = claim->write;
        line->waiting = claim->next;
        if (--claim->ticket->missing == 0) {
            claim->ticket->untold = true;
            DL_APPEND(claims->untold, claim->ticket);
        }
    }
}

static void line_remove(struct claims *claims, struct claim *claim)
{
    struct line *line = claim->line;

    if (line->waiting == claim)
        line->waiting = claim->next;
    if (claim->granted)
        line->granted--;
    DL_DELETE(line->first, claim);
    claim->line = NULL;
    claim->granted = false;
    if (!line->first)
        line_free(claims, line);
    else
        line_advance(claims, line);
}

/* Tickets */

/* Finds or makes the lines of all claims; the second claim to a resource merges into the first. */
static int ticket_gather(struct claims *claims, struct claims_ticket *ticket)
{
    for (size_t i = 0; i < ticket->count; i++) {
        struct claim *claim = &ticket->claims[i];
        struct line *line = line_find_or_add(claims, claim->resource);
        if (!line)
            return -1;
        if (line->entering) {
            line->entering->write |= claim->write;
            continue;
        }
        line->entering = claim;
        claim->line = line;
    }
    return 0;
}

static void ticket_scatter(struct claims *claims, struct claims_ticket *ticket)
{
    for (size_t i = 0; i < ticket->count; i++) {
        struct line *line = ticket->claims[i].line;
        if (!line)
            continue;
        ticket->claims[i].line = NULL;
        line->entering = NULL;
        if (!line->first)
            line_free(claims, line);
    }
}

static void ticket_stand(struct claims_ticket *ticket)
{
    for (size_t i = 0; i < ticket->count; i++) {
        struct claim *claim = &ticket->claims[i];
        if (!claim->line)
            continue;
        claim->line->entering = NULL;
        DL_APPEND(claim->line->first, claim);
        if (!claim->line->waiting)
            claim->line->waiting = claim;
        ticket->missing++;
    }
}

static void ticket_forget_untold(struct claims *claims, struct claims_ticket *ticket)
{
    if (ticket->untold)
        DL_DELETE(claims->untold, ticket);
    ticket->untold = false;
}

int claims_enter(struct claims *claims, struct claims_ticket *ticket, struct error *err)
{
    if (ticket_gather(claims, ticket) < 0) {
        ticket_scatter(claims, ticket);
        return error_set_memory(err);
    }
    ticket_stand(ticket);
    for (size_t i = 0; i < ticket->count; i++)
        if (ticket->claims[i].line)
            line_advance(claims, ticket->claims[i].line);
    ticket_forget_untold(claims, ticket);
    return ticket->missing == 0;
}

/* One by one from the list: `granted` may itself enter and leave, whose tickets are told here as well, so that a
 * chain of them is a loop and no recursion. */
static void claims_tell(struct claims *claims, void (*granted)(void *opaque))
{
    claims->telling = true;
    while (claims->untold) {
        struct claims_ticket *next = claims->untold;
        ticket_forget_untold(claims, next);
        granted(next->opaque);
    }
    claims->telling = false;
}

void claims_leave(struct claims *claims, struct claims_ticket *ticket, void (*granted)(void *opaque))
{
    ticket_forget_untold(claims, ticket);
    for (size_t i = 0; i < ticket->count; i++)
        if (ticket->claims[i].line)
            line_remove(claims, &ticket->claims[i]);
    ticket->missing = 0;
    if (!claims->telling)
        claims_tell(claims, granted);
}
