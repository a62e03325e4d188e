/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The configuration: one table of options, read from a file (INI, by libinih), then the environment, then the command
 * line; the result is one struct that nobody changes any more. virtjobd.conf(5) is the manual.
 *
 * Environment: VIRTJOB_<SECTION>_<KEY>, as VIRTJOB_BROKER_URI, and VIRTJOB_HOSTS="node1=URI node2=URI"; an empty
 * variable counts as unset. Command line: `--set section.key=value`, and the short forms `--broker URI`, `--host
 * NAME=URI`. A host is a section `[host NAME]`. An unknown section or key, a key given twice, or a value out of range
 * is an error that names its source: file and line, variable or option. Sizes take K, M, G (powers of 1024), durations
 * ms, s (the default), m, h, d. */

#ifndef VIRTJOB_CONFIG_H
#define VIRTJOB_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct config_broker {
    char *
        uri; /* amqp://user:password@host:5672/vhost or amqps://; percent-encoded; or several of one cluster with
                * blanks between them, see config_broker_next; never logged whole */
    char *password_file;   /* overrides the password of the URI: its first line; NULL: none */
    char *ca_file;         /* PEM; required for amqps */
    char *cert_file;       /* PEM, client certificate; NULL: none */
    char *key_file;        /* PEM; not readable by others */
    bool external;         /* SASL EXTERNAL: the certificate is the login */
    bool verify_host_name; /* against the broker's certificate; true, but where all hosts are addresses */
    char *prefix;          /* of every exchange and queue; "virtjob" */
    int heartbeat_s;       /* 10; 0 is refused */
    int connect_timeout_s; /* 10 */
    int send_timeout_s;    /* 30: the watchdog's patience with one send */
    int blocked_timeout_s; /* 300: patience with connection.blocked before reconnecting */
};

struct config_host {
    char *name;        /* as in routing keys: [A-Za-z0-9_-], not "any" */
    char *uri;         /* libvirt connection URI, for us */
    char *peer_uri;    /* the same for the libvirtd of another host, which migrates to it; NULL: uri */
    char *migrate_uri; /* where its QEMU takes guests, as tcp://10.0.0.2; NULL: libvirt chooses */
    bool serve;        /* takes its jobs; false: it is known as a destination alone. True */
};

struct config {
    struct config_broker broker;
    struct {
        char *name;             /* in outcomes and worker events; default: the host name */
        int quick_slots;        /* threads of the quick lane for each host; 8 */
        int quick_prefetch;     /* deliveries in hand in the quick lane, for each queue; 256 */
        int long_slots;         /* threads of the long lane for each host, and its prefetch; 4 */
        bool any;               /* also takes jobs for "any" host; true */
        int drain_timeout_s;    /* how long SIGTERM waits for long jobs before they are handed over; 0 */
        int host_patience_s;    /* how long a job waits for an unreachable host before it fails; 30 */
        int janitor_interval_s; /* how often each host is looked over for stale stamps; 600, 0: never */
        int stamp_age_s;        /* older stamps of ended jobs are stale; 86400 */
    } worker;
    struct {
        size_t max_body;          /* of a job, bytes; 1M */
        int max_pending;          /* outgoing messages not yet confirmed, kept in memory; 65536 */
        int progress_interval_ms; /* at most one progress event of a job in that time; 1000 */
        int max_attempts;         /* of a job that fails for a reason that may pass; 3 */
        char *retry_delays; /* "5s 30s 2m 10m": before the second attempt, the third, …; then the last */
        int max_crashes;    /* so often may a job end its worker before it is given up; 5 */
    } limits;
    struct {
        bool enabled;       /* the shared results queue; true */
        int64_t max_length; /* messages; 1000000 */
        int64_t max_age_s;  /* 7d */
    } results;
    struct {
        int64_t max_bytes;  /* of the stream on the broker; 1G */
        int64_t max_age_s;  /* 86400 */
        int64_t lookback_s; /* how far back it is read at least, for a job that comes again; 3600 */
    } journal;
    char *
        save_folders; /* "/a /b": absolute paths with blanks between them, where jobs may put and find save images; NULL: none */
    char *reply_to;       /* regular expression (PCRE2, anchored at both ends) that a reply_to must match */
    char *log_level;      /* "info" */
    char *log_format;     /* "text" or "json" */
    char *metrics_listen; /* NULL: no HTTP */
    struct config_host *hosts;
    size_t host_count;
};

/* Reads `path` (NULL: none; "-" is not special), then the environment, then `sets`: `set_count` strings
 * "section.key=value", a host's key being `host NAME.uri=…`. Checks the whole, but for what only the daemon needs.
 * The caller frees with config_free. To be called before there are threads. */
struct config *config_load(const char *path, char *const *sets, size_t set_count, struct error *err);

/* What the daemon needs besides: at least one host. */
int config_check_daemon(const struct config *config, struct error *err);

/* The brokers of `uri`, one after the other: where the next one begins, or NULL; `at` moves on behind it. */
const char *config_broker_next(const char **at, size_t *ret_length);

/* The delay before that attempt (2 is the first retry), in seconds. */
int config_retry_delay(const struct config *config, int attempt);

/* The delays themselves, each once, at most RETRY_DELAYS_MAX; returns how many. */
#define RETRY_DELAYS_MAX 8
size_t config_retry_delays(const struct config *config, int *ret_delays);

/* NULL is allowed. */
void config_free(struct config *config);

/* One row of the table of options, in the order of the manual; NULL past the last. For help and the check against the
 * manual page. */
struct config_option {
    const char *section;
    const char *key;
    const char *value_default; /* as it would be written; NULL: unset */
    const char *help;          /* one line */
};
const struct config_option *config_option(size_t index);

#endif
