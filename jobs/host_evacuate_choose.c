/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Which destination a guest of host.evacuate goes to. Knows figures only. */

#include "host_evacuate.h"

/* What went to another destination before, in vain, has still to come. */
static uint64_t evacuee_coming(const struct evacuee *evacuee)
{
    return evacuee->memory - (uint64_t)((double)evacuee->memory * evacuee->percent / 100);
}

uint64_t evacuation_coming(const struct evacuation *evacuation, int host)
{
    uint64_t coming = 0;

    for (size_t i = 0; i < evacuation->guest_count; i++) {
        const struct evacuee *evacuee = &evacuation->guests[i];

        if (evacuee->state == EVACUEE_MOVING && evacuee->destination == host && !evacuee->off)
            coming += evacuee_coming(evacuee);
    }
    return coming;
}

/* A guest that is off takes no memory there. */
static bool host_takes(const struct evacuation *evacuation, int host, const struct evacuee *evacuee,
                       uint64_t *ret_left)
{
    const struct evacuation_host *candidate = &evacuation->hosts[host];
    uint64_t needed = evacuation_coming(evacuation, host) + (evacuee->off ? 0 : evacuee->memory);

    if (candidate->away || evacuee->refused >> host & 1)
        return false;
    *ret_left = 0;
    if (candidate->known && needed > candidate->free)
        return evacuee->off;
    if (candidate->known)
        *ret_left = candidate->free - needed;
    return true;
}

int evacuation_choose(const struct evacuation *evacuation, const struct evacuee *evacuee)
{
    int best = EVACUATION_NOWHERE;
    uint64_t most = 0;

    for (int host = 0; host < (int)evacuation->host_count; host++) {
        uint64_t left;

        if (!host_takes(evacuation, host, evacuee, &left))
            continue;
        if (!evacuation->by_memory)
            return host;
        if (best == EVACUATION_NOWHERE || left > most) {
            best = host;
            most = left;
        }
    }
    return best;
}
