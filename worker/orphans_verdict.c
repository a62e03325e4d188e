/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a find is, from the facts alone. */

#include "orphans_internal.h"

#include <string.h>

#define ROUNDING 1024 /* bytes */

static void judge(struct orphan *orphan, enum orphan_verdict verdict, const char *why)
{
    orphan->verdict = verdict;
    orphan->why = why;
}

/* Nothing can be read in it, so nobody knows whose it is. */
static void judge_blank(struct orphan *orphan, const struct orphan_facts *facts)
{
    if (orphan->age_s < 0 || !facts->empty)
        judge(orphan, ORPHAN_UNCLEAR, "something that is no record has the name of one");
    else if (orphan->age_s < facts->min_age_s)
        judge(orphan, ORPHAN_YOUNG, "the record is not written yet");
    else
        judge(orphan, ORPHAN_STALE, "the record was never written");
}

/* libvirt may make a little more than it was asked for. */
static bool capacity_fits(uint64_t capacity, uint64_t wanted)
{
    return capacity >= wanted && capacity - wanted < ROUNDING;
}

/* A copy that is to grow has the capacity of its source at first; what was begun only just has none. A capacity of 0 in
 * the record is none told. */
static bool volume_is_as_recorded(const struct orphan *volume)
{
    const struct stamp *stamp = &volume->stamp;
    uint64_t source = (uint64_t)json_integer_value(json_object_get(stamp->result, "source_capacity"));

    return stamp->capacity == 0 || volume->capacity == 0 ||
           capacity_fits(volume->capacity, stamp->capacity) ||
           (source > 0 && capacity_fits(volume->capacity, source));
}

/* It may be deleted, unless it has become somebody else's. */
static void judge_unfinished(struct orphan *orphan, const struct orphan_facts *facts, const char *why)
{
    if (orphan->kind == ORPHAN_VOLUME && !volume_is_as_recorded(orphan))
        judge(orphan, ORPHAN_UNCLEAR, "the volume has another capacity than its record says");
    else if (facts->use == USE_OTHERS)
        judge(orphan, ORPHAN_UNCLEAR, "never finished, but a guest has it as a disk");
    else if (facts->use == USE_MAYBE)
        judge(orphan, ORPHAN_UNCLEAR, "a guest has a disk of the same file name at another path");
    else
        judge(orphan, ORPHAN_ABANDONED, why);
}

/* A volume that libvirt had finished. */
static void judge_done(struct orphan *orphan, const struct orphan_facts *facts)
{
    if (!orphan->stamp.part)
        judge(orphan, ORPHAN_STALE, "the volume was finished");
    else if (facts->use == USE_OTHERS)
        judge(orphan, ORPHAN_STALE, "the volume was finished, and a guest has it");
    else
        judge_unfinished(orphan, facts, "made for a guest that no longer has it, or never had");
}

void orphan_judge(struct orphan *orphan, const struct orphan_facts *facts)
{
    if (orphan->stamp.state == STAMP_BLANK)
        judge_blank(orphan, facts);
    else if (facts->at_work)
        judge(orphan, ORPHAN_IN_WORK, "libvirt is at work on it");
    else if (orphan->age_s < facts->min_age_s)
        judge(orphan, ORPHAN_YOUNG, "its job may be under way");
    else if (!facts->target)
        judge(orphan, ORPHAN_STALE, "the volume is gone, or was never made");
    else if (facts->late)
        judge(orphan, ORPHAN_STALE, "the volume was there before the record");
    else if (orphan->stamp.state == STAMP_DONE)
        judge_done(orphan, facts);
    else if (orphan->stamp.replaced)
        judge(orphan, ORPHAN_STALE, "the guest was there before its job");
    else
        judge_unfinished(orphan, facts, "never finished");
}

static int compare_jobs(const void *a, const void *b)
{
    return strcmp(((const struct orphan *)a)->stamp.job, ((const struct orphan *)b)->stamp.job);
}

static int compare_texts(const char *one, const char *other)
{
    return strcmp(one ? one : "", other ? other : "");
}

static int compare_finds(const void *a, const void *b)
{
    const struct orphan *one = a, *other = b;

    if (one->verdict != other->verdict)
        return (int)one->verdict - (int)other->verdict;
    if (one->kind != other->kind)
        return (int)one->kind - (int)other->kind;
    int pools = compare_texts(one->pool, other->pool);
    return pools ? pools : strcmp(one->name, other->name);
}

/* A job makes one guest: of two with its stamp, one is a copy that somebody has made. */
static void settle_copies(struct orphan *items, size_t count)
{
    size_t guests = 0;

    for (size_t i = 0; i < count; i++)
        guests += items[i].kind == ORPHAN_GUEST;
    for (size_t i = 0; i < count && guests > 1; i++)
        if (items[i].kind == ORPHAN_GUEST)
            judge(&items[i], ORPHAN_UNCLEAR, "another guest has the same stamp");
}

/* What could not be looked at may be young, and of the same job. */
static void settle_unseen(struct orphan *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (items[i].verdict == ORPHAN_ABANDONED && items[i].stamp.part)
            judge(&items[i], ORPHAN_UNCLEAR, "more of its job may be where nobody could look");
}

/* The finds of one job. */
static void settle_job(struct orphan *items, size_t count)
{
    enum orphan_verdict last = ORPHAN_ABANDONED;

    for (size_t i = 0; i < count; i++)
        last = items[i].verdict > last ? items[i].verdict : last;
    settle_copies(items, count);
    for (size_t i = 0; i < count && last >= ORPHAN_YOUNG; i++)
        if (items[i].verdict < ORPHAN_YOUNG)
            judge(&items[i], last,
                  last == ORPHAN_YOUNG ? "something else of its job is young"
                                       : "libvirt is at work on something else of its job");
}

void orphans_settle(struct orphans *orphans)
{
    size_t end;

    if (orphans->count == 0)
        return;
    qsort(orphans->items, orphans->count, sizeof(*orphans->items), compare_jobs);
    for (size_t begin = 0; begin < orphans->count; begin = end) {
        for (end = begin + 1; end < orphans->count; end++)
            if (compare_jobs(&orphans->items[begin], &orphans->items[end]) != 0)
                break;
        if (orphans->items[begin].stamp.job[0])
            settle_job(orphans->items + begin, end - begin);
    }
    if (json_array_size(orphans->unseen) > 0)
        settle_unseen(orphans->items, orphans->count);
    qsort(orphans->items, orphans->count, sizeof(*orphans->items), compare_finds);
}
