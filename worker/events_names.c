/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The tables of words for libvirt's enumerations. */

#include "events_names.h"

#include <stddef.h>

#include <libvirt/libvirt.h>

#define WORDS_MAX 16

static const char unknown[] = "unknown";

struct row {
    const char *name;
    const char *words[WORDS_MAX];
};

static const struct row states[] = {
    [VIR_DOMAIN_NOSTATE] = { "unknown", { "unknown" } },
    [VIR_DOMAIN_RUNNING] = { "running",
                             { "unknown", "booted", "migrated", "restored", "from-snapshot", "unpaused",
                               "migration-canceled", "save-canceled", "wakeup", "crashed", "postcopy",
                               "postcopy-failed" } },
    [VIR_DOMAIN_BLOCKED] = { "blocked", { "unknown" } },
    [VIR_DOMAIN_PAUSED] = { "paused",
                            { "unknown", "user", "migration", "save", "dump", "io-error", "watchdog",
                              "from-snapshot", "shutting-down", "snapshot", "crashed", "starting-up",
                              "postcopy", "postcopy-failed", "api-error" } },
    [VIR_DOMAIN_SHUTDOWN] = { "shutdown", { "unknown", "user" } },
    [VIR_DOMAIN_SHUTOFF] = { "shutoff",
                             { "unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed",
                               "from-snapshot", "daemon" } },
    [VIR_DOMAIN_CRASHED] = { "crashed", { "unknown", "panicked" } },
    [VIR_DOMAIN_PMSUSPENDED] = { "pmsuspended", { "unknown" } },
};

static const struct row lifecycle[] = {
    [VIR_DOMAIN_EVENT_DEFINED] = { "guest.defined", { "added", "updated", "renamed", "from-snapshot" } },
    [VIR_DOMAIN_EVENT_UNDEFINED] = { "guest.undefined", { "removed", "renamed" } },
    [VIR_DOMAIN_EVENT_STARTED] = { "guest.started",
                                   { "booted", "migrated", "restored", "from-snapshot", "wakeup" } },
    [VIR_DOMAIN_EVENT_SUSPENDED] = { "guest.suspended",
                                     { "paused", "migrated", "io-error", "watchdog", "restored",
                                       "from-snapshot", "api-error", "postcopy", "postcopy-failed" } },
    [VIR_DOMAIN_EVENT_RESUMED] = { "guest.resumed",
                                   { "unpaused", "migrated", "from-snapshot", "postcopy",
                                     "postcopy-failed" } },
    [VIR_DOMAIN_EVENT_STOPPED] = { "guest.stopped",
                                   { "shutdown", "destroyed", "crashed", "migrated", "saved", "failed",
                                     "from-snapshot" } },
    [VIR_DOMAIN_EVENT_SHUTDOWN] = { "guest.shutdown", { "finished", "guest", "host" } },
    [VIR_DOMAIN_EVENT_PMSUSPENDED] = { "guest.pmsuspended", { "memory", "disk" } },
    [VIR_DOMAIN_EVENT_CRASHED] = { "guest.crashed", { "panicked", "crashloaded" } },
};

static const struct row lists[EVENTS_WORDS_LAST] = {
    [EVENTS_WATCHDOG_ACTION] = { NULL,
                                 { "none", "pause", "reset", "poweroff", "shutdown", "debug",
                                   "inject-nmi" } },
    [EVENTS_IO_ERROR_ACTION] = { NULL, { "none", "pause", "report" } },
    [EVENTS_BLOCK_JOB_TYPE] = { NULL, { "unknown", "pull", "copy", "commit", "active-commit", "backup" } },
    [EVENTS_BLOCK_JOB_STATUS] = { NULL, { "completed", "failed", "canceled", "ready" } },
    [EVENTS_DISK_REASON] = { NULL, { "changed-on-start", "dropped-on-start" } },
    [EVENTS_TRAY_STATE] = { NULL, { "open", "closed" } },
    [EVENTS_AGENT_REASON] = { NULL, { "unknown", "guest-started", "channel" } },
    [EVENTS_METADATA_TYPE] = { NULL, { "description", "title", "element" } },
    [EVENTS_JOB_OPERATION] = { NULL,
                               { "unknown", "start", "save", "restore", "migration-in", "migration-out",
                                 "snapshot", "snapshot-revert", "dump", "backup", "snapshot-delete" } },
    [EVENTS_MEMORY_RECIPIENT] = { NULL, { "hypervisor", "guest" } },
    [EVENTS_MEMORY_ACTION] = { NULL, { "ignore", "inject", "fatal", "reset" } },
    [EVENTS_CLOSE_REASON] = { NULL, { "error", "eof", "keepalive", "client" } },
};

static const char *word_in(const struct row *row, int number)
{
    if (number < 0 || number >= WORDS_MAX || !row->words[number])
        return unknown;
    return row->words[number];
}

static const struct row *row_in(const struct row *rows, size_t count, int number)
{
    static const struct row none = { unknown, { NULL } };

    return number >= 0 && (size_t)number < count ? &rows[number] : &none;
}

static const struct row *state_row(int state)
{
    return row_in(states, sizeof(states) / sizeof(states[0]), state);
}

static const struct row *lifecycle_row(int event)
{
    return row_in(lifecycle, sizeof(lifecycle) / sizeof(lifecycle[0]), event);
}

const char *events_state_name(int state)
{
    return state_row(state)->name;
}

const char *events_reason_name(int state, int reason)
{
    return word_in(state_row(state), reason);
}

const char *events_lifecycle_kind(int event)
{
    const char *kind = lifecycle_row(event)->name;

    return kind == unknown ? "guest.unknown" : kind;
}

const char *events_lifecycle_reason(int event, int detail)
{
    return word_in(lifecycle_row(event), detail);
}

const char *events_word(enum events_words words, int number)
{
    return word_in(&lists[words], number);
}
