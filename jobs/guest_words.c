/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* libvirt's numbers for the states of a guest and their reasons, in words. */

#include "guest_internal.h"

#define REASONS_MAX 14

/* A number that libvirt adds one day has no word here, and is told as unknown. */
static const struct {
    const char *state;
    const char *reasons[REASONS_MAX];
} words[] = {
    [VIR_DOMAIN_NOSTATE] = { "unknown", { "unknown" } },
    [VIR_DOMAIN_RUNNING] = { "running",
                             { "unknown", "booted", "migrated", "restored", "from-snapshot", "unpaused",
                               "migration-canceled", "save-canceled", "wakeup", "crashed", "postcopy",
                               "postcopy-failed" } },
    [VIR_DOMAIN_BLOCKED] = { "blocked", { "unknown" } },
    [VIR_DOMAIN_PAUSED] = { "paused",
                            { "unknown", "user", "migration", "save", "dump", "io-error", "watchdog",
                              "from-snapshot", "shutting-down", "snapshot", "crashed", "starting-up",
                              "postcopy", "postcopy-failed" } },
    [VIR_DOMAIN_SHUTDOWN] = { "shutdown", { "unknown", "user" } },
    [VIR_DOMAIN_SHUTOFF] = { "shutoff",
                             { "unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed",
                               "from-snapshot", "daemon" } },
    [VIR_DOMAIN_CRASHED] = { "crashed", { "unknown", "panicked" } },
    [VIR_DOMAIN_PMSUSPENDED] = { "pmsuspended", { "unknown" } },
};

static bool guest_state_is_known(int state)
{
    return state >= 0 && (size_t)state < sizeof(words) / sizeof(words[0]);
}

const char *guest_state_name(int state)
{
    return words[guest_state_is_known(state) ? state : VIR_DOMAIN_NOSTATE].state;
}

const char *guest_reason_name(int state, int reason)
{
    const char *name = NULL;

    if (guest_state_is_known(state) && reason >= 0 && reason < REASONS_MAX)
        name = words[state].reasons[reason];
    return name ? name : "unknown";
}
