/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The table of options, last in this file, and how a text becomes a value. */

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config_internal.h"

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit no_units[] = { { "", 1 }, { NULL, 0 } };
static const struct unit byte_units[] = {
    { "", 1 }, { "K", 1024 }, { "M", 1024 * 1024 }, { "G", 1024 * 1024 * 1024 }, { NULL, 0 }
};
static const struct unit second_units[] = { { "", 1 },     { "s", 1 },     { "m", 60 },
                                            { "h", 3600 }, { "d", 86400 }, { NULL, 0 } };
static const struct unit millisecond_units[] = { { "", 1000 },   { "ms", 1 },      { "s", 1000 },
                                                 { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
                                                 { NULL, 0 } };

static const struct {
    const struct unit *units;
    const char *wanted;
    const char *shown; /* the unit of min and max */
} kinds[] = {
    [OPTION_NUMBER] = { no_units, "a number", "" },
    [OPTION_BYTES] = { byte_units, "a size, as 512K or 4M", "" },
    [OPTION_SECONDS] = { second_units, "a duration in s, m, h or d, as 30s", "s" },
    [OPTION_MILLISECONDS] = { millisecond_units, "a duration in ms, s, m, h or d, as 500ms", "ms" },
};

char **config_option_text(struct config *config, const struct option_row *row)
{
    return (char **)((char *)config + row->offset);
}

static int assign_text(struct config *config, const struct option_row *row, const char *value,
                       struct error *err)
{
    char **slot = config_option_text(config, row);
    const char *complaint = NULL;
    char *copy = NULL;

    if (*value || row->shown.value_default) {
        for (const char *at = value; *at; at++)
            if ((unsigned char)*at < 0x20 || *at == 0x7f)
                return error_set(err, ERROR_INVALID, "has a control character");
        if (row->complaint && (complaint = row->complaint(value)))
            return error_set(err, ERROR_INVALID, "%s", complaint);
        if (!(copy = strdup(value)))
            return error_set_memory(err);
    }
    free(*slot);
    *slot = copy;
    return 0;
}

int config_parse_flag(const char *value, bool *ret_flag, struct error *err)
{
    static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "0", "1" };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(value, words[i]) == 0) {
            *ret_flag = i % 2;
            return 0;
        }
    }
    return error_set(err, ERROR_INVALID, "'%.100s' is neither true nor false", value);
}

/* 0, or -1 where it is no number of that kind; one too large for the type becomes the largest. */
static int parse_number(const char *value, const struct unit *unit, int64_t *ret_number)
{
    const char *digits = value + (*value == '-');
    int64_t number;
    char *end;

    if (*digits < '0' || *digits > '9')
        return -1;
    number = strtoll(value, &end, 10);
    while (unit->name && strcmp(unit->name, end) != 0)
        unit++;
    if (!unit->name)
        return -1;
    if (__builtin_mul_overflow(number, unit->factor, &number))
        number = *value == '-' ? INT64_MIN : INT64_MAX;
    *ret_number = number;
    return 0;
}

static int assign_number(struct config *config, const struct option_row *row, const char *value,
                         struct error *err)
{
    void *slot = (char *)config + row->offset;
    int64_t number;

    if (parse_number(value, kinds[row->type].units, &number) < 0)
        return error_set(err, ERROR_INVALID, "'%.100s' is not %s", value, kinds[row->type].wanted);
    if (number < row->min)
        return error_set(err, ERROR_INVALID, "%.100s is below %" PRId64 "%s", value, row->min,
                         kinds[row->type].shown);
    if (number > row->max)
        return error_set(err, ERROR_INVALID, "%.100s is above %" PRId64 "%s", value, row->max,
                         kinds[row->type].shown);
    if (row->size == sizeof(int))
        *(int *)slot = (int)number;
    else
        *(int64_t *)slot = number; /* size_t is as wide, and min is never negative */
    return 0;
}

int config_option_assign(struct config *config, const struct option_row *row, const char *value,
                         struct error *err)
{
    switch (row->type) {
    case OPTION_TEXT:
        return assign_text(config, row, value, err);
    case OPTION_FLAG:
        return config_parse_flag(value, (bool *)((char *)config + row->offset), err);
    default:
        return assign_number(config, row, value, err);
    }
}

/* Everything but the member is named once, here; the manual page says it at more length. */

#define MEMBER(member)                 offsetof(struct config, member), sizeof(((struct config *)0)->member)
#define NUMBER(type, member, min, max) type, MEMBER(member), min, max, NULL
#define FLAG(member)                   OPTION_FLAG, MEMBER(member), 0, 0, NULL
#define TEXT(member, complaint)        OPTION_TEXT, MEMBER(member), 0, 0, complaint

/* Any ordinary name, the names that RabbitMQ makes for private queues, and its direct reply-to; not the rest of what
 * begins with "amq.". */
#define REPLY_TO                                                                                             \
    "(?!amq\\.)[A-Za-z0-9_][A-Za-z0-9._:/@+=-]{0,199}|amq\\.gen-[A-Za-z0-9_-]{1,100}|"                       \
    "amq\\.rabbitmq\\.reply-to\\.[A-Za-z0-9._=+/-]{1,230}"

static const struct option_row table[] = {
    { { "broker", "uri", "amqp://guest:guest@127.0.0.1:5672/",
        "The broker, as amqps://user:password@host:5671/vhost, or several" },
      TEXT(broker.uri, config_complaint_uri) },
    { { "broker", "password_file", NULL, "A file whose first line is the password" },
      TEXT(broker.password_file, NULL) },
    { { "broker", "ca_file", NULL,
        "Certificates (PEM) that the broker's is checked against; amqps needs it" },
      TEXT(broker.ca_file, NULL) },
    { { "broker", "cert_file", NULL, "The worker's own certificate (PEM)" }, TEXT(broker.cert_file, NULL) },
    { { "broker", "key_file", NULL, "The key of the worker's certificate (PEM)" },
      TEXT(broker.key_file, NULL) },
    { { "broker", "external", "false", "Log in by the certificate (SASL EXTERNAL) instead of a password" },
      FLAG(broker.external) },
    { { "broker", "verify_host_name", "true", "Check the broker's name against its certificate" },
      FLAG(broker.verify_host_name) },
    { { "broker", "prefix", "virtjob", "What the names of all exchanges and queues begin with" },
      TEXT(broker.prefix, config_complaint_prefix) },
    { { "broker", "heartbeat", "10s", "How often each side shows the other that it is alive" },
      NUMBER(OPTION_SECONDS, broker.heartbeat_s, 1, 3600) },
    { { "broker", "connect_timeout", "10s", "How long a connection may take to come up" },
      NUMBER(OPTION_SECONDS, broker.connect_timeout_s, 1, 300) },
    { { "broker", "send_timeout", "30s", "How long one send may hang before the connection is given up" },
      NUMBER(OPTION_SECONDS, broker.send_timeout_s, 1, 600) },
    { { "broker", "blocked_timeout", "5m", "How long the broker may block publishing before a reconnect" },
      NUMBER(OPTION_SECONDS, broker.blocked_timeout_s, 1, 86400) },

    { { "worker", "name", NULL, "The worker's name in outcomes and events; the host name where unset" },
      TEXT(worker.name, config_complaint_worker) },
    { { "worker", "quick_slots", "8", "Quick jobs at a time, for each host" },
      NUMBER(OPTION_NUMBER, worker.quick_slots, 1, 1024) },
    { { "worker", "quick_prefetch", "256", "Quick jobs in hand, for each queue" },
      NUMBER(OPTION_NUMBER, worker.quick_prefetch, 1, 65535) },
    { { "worker", "long_slots", "4", "Long jobs at a time, for each host" },
      NUMBER(OPTION_NUMBER, worker.long_slots, 1, 1024) },
    { { "worker", "any", "true", "Also take jobs for any host" }, FLAG(worker.any) },
    { { "worker", "drain_timeout", "0s", "How long SIGTERM waits for long jobs before they are handed over" },
      NUMBER(OPTION_SECONDS, worker.drain_timeout_s, 0, 86400) },
    { { "worker", "host_patience", "30s", "How long a job waits for a host that cannot be reached" },
      NUMBER(OPTION_SECONDS, worker.host_patience_s, 0, 3600) },
    { { "worker", "janitor_interval", "10m",
        "How often each host is looked over for stale stamps; 0: never" },
      NUMBER(OPTION_SECONDS, worker.janitor_interval_s, 0, 86400) },
    { { "worker", "stamp_age", "1d", "How old the stamp of an ended job must be to count as stale" },
      NUMBER(OPTION_SECONDS, worker.stamp_age_s, 1, 365 * 86400) },

    { { "limits", "max_body", "1M", "The largest job, in bytes" },
      NUMBER(OPTION_BYTES, limits.max_body, 1024, 64 * 1024 * 1024) },
    { { "limits", "max_pending", "65536", "Messages kept in memory until the broker has confirmed them" },
      NUMBER(OPTION_NUMBER, limits.max_pending, 16, 16 * 1024 * 1024) },
    { { "limits", "progress_interval", "1s", "At most one progress event of a job in this time" },
      NUMBER(OPTION_MILLISECONDS, limits.progress_interval_ms, 10, 3600 * 1000) },
    { { "limits", "max_attempts", "3", "Attempts of a job that fails for a reason that may pass" },
      NUMBER(OPTION_NUMBER, limits.max_attempts, 1, 100) },
    { { "limits", "retry_delays", "5s 30s 2m 10m", "Before the second attempt, the third, and so on" },
      TEXT(limits.retry_delays, config_complaint_delays) },
    { { "limits", "max_crashes", "5", "How often a job may end its worker before it is given up" },
      NUMBER(OPTION_NUMBER, limits.max_crashes, 1, 100) },
    { { "limits", "reply_to", REPLY_TO, "What a job's reply_to must match, a regular expression" },
      TEXT(reply_to, config_complaint_pattern) },

    { { "results", "enabled", "true", "Keep outcomes in a shared queue for those without one of their own" },
      FLAG(results.enabled) },
    { { "results", "max_length", "1000000", "Outcomes in that queue; beyond, the oldest go" },
      NUMBER(OPTION_NUMBER, results.max_length, 1, 1000000000) },
    { { "results", "max_age", "7d", "How long an outcome stays there" },
      NUMBER(OPTION_SECONDS, results.max_age_s, 1,
             49 * 86400) }, /* the broker counts milliseconds in 32 bits */

    { { "journal", "max_bytes", "1G", "The size of the stream that remembers outcomes for other workers" },
      NUMBER(OPTION_BYTES, journal.max_bytes, 1024 * 1024, INT64_C(1) << 50) },
    { { "journal", "max_age", "1d", "How long an outcome is remembered there" },
      NUMBER(OPTION_SECONDS, journal.max_age_s, 60, 365 * 86400) },
    { { "journal", "lookback", "1h", "How far back it is read at least, for a job that comes a second time" },
      NUMBER(OPTION_SECONDS, journal.lookback_s, 1, 365 * 86400) },

    { { "save", "folders", "/var/lib/libvirt/qemu/save",
        "Where guest.save and guest.restore may have images, folders of the hosts" },
      TEXT(save_folders, config_complaint_folders) },

    { { "log", "level", "info", "error, warning, info or debug" }, TEXT(log_level, config_complaint_level) },
    { { "log", "format", "text", "text or json" }, TEXT(log_format, config_complaint_format) },

    { { "metrics", "listen", NULL, "Serve /metrics and /healthz there, as 127.0.0.1:9177" },
      TEXT(metrics_listen, NULL) },
};

const struct option_row *config_option_row(size_t index)
{
    return index < sizeof(table) / sizeof(table[0]) ? &table[index] : NULL;
}

const struct config_option *config_option(size_t index)
{
    const struct option_row *row = config_option_row(index);

    return row ? &row->shown : NULL;
}

int config_option_find(const char *section, const char *key)
{
    const struct option_row *row;

    for (size_t i = 0; (row = config_option_row(i)); i++)
        if (strcmp(row->shown.section, section) == 0 && strcmp(row->shown.key, key) == 0)
            return (int)i;
    return -1;
}
