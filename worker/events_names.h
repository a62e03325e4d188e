/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* libvirt's numbers in words. All functions may be called from any thread and return static strings; a number that this
 * version does not know is "unknown". */

#ifndef VIRTJOB_EVENTS_NAMES_H
#define VIRTJOB_EVENTS_NAMES_H

/* virDomainState, and the reason that virDomainGetState gives with it: "shutoff", "destroyed". VIR_DOMAIN_NOSTATE is
 * "unknown" too. */
const char *events_state_name(int state);
const char *events_reason_name(int state, int reason);

/* virDomainEventType: "guest.started", and the detail that comes with it: "booted". */
const char *events_lifecycle_kind(int event);
const char *events_lifecycle_reason(int event, int detail);

enum events_words {
    EVENTS_WATCHDOG_ACTION,  /* virDomainEventWatchdogAction */
    EVENTS_IO_ERROR_ACTION,  /* virDomainEventIOErrorAction */
    EVENTS_BLOCK_JOB_TYPE,   /* virDomainBlockJobType */
    EVENTS_BLOCK_JOB_STATUS, /* virConnectDomainEventBlockJobStatus */
    EVENTS_DISK_REASON,      /* virConnectDomainEventDiskChangeReason */
    EVENTS_TRAY_STATE,       /* virDomainEventTrayChangeReason */
    EVENTS_AGENT_REASON,     /* virConnectDomainEventAgentLifecycleReason */
    EVENTS_METADATA_TYPE,    /* virDomainMetadataType */
    EVENTS_JOB_OPERATION,    /* virDomainJobOperation */
    EVENTS_MEMORY_RECIPIENT, /* virDomainMemoryFailureRecipientType */
    EVENTS_MEMORY_ACTION,    /* virDomainMemoryFailureActionType */
    EVENTS_CLOSE_REASON,     /* virConnectCloseReason */
    EVENTS_WORDS_LAST
};

const char *events_word(enum events_words words, int number);

#endif
