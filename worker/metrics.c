/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The table of metrics, their series in a hash under one mutex, and the text that shows them.
 *
 * A series is a metric with its label values. They come into being when first touched; those without labels are shown
 * from the start. The HTTP side is metrics_http.c. */

#include "metrics.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "cleanup.h"

CLEANUP_DEFINE(file, FILE *, fclose)

#define LABEL_SIZE 128 /* longer values are cut */
#define SERIES_MAX 4096

enum kind { COUNTER, GAUGE, HISTOGRAM };

/* Upper bounds in seconds, of jobs that take milliseconds as of those that take hours; "+Inf" is implied. */
static const double job_buckets[] = { 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200 };
#define BUCKET_COUNT (sizeof(job_buckets) / sizeof(job_buckets[0]))

static const struct row {
    const char *name;
    enum kind kind;
    const char *labels[2];
    const char *help;
} table[METRIC_LAST] = {
    [METRIC_JOBS_STARTED] = { "virtjob_jobs_started_total", COUNTER, { "type" }, "Jobs begun." },
    [METRIC_JOBS_ENDED] = { "virtjob_jobs_ended_total",
                            COUNTER,
                            { "type", "state" },
                            "Jobs that have an outcome." },
    [METRIC_JOBS_RUNNING] = { "virtjob_jobs_running", GAUGE, { "lane" }, "Jobs that run just now." },
    [METRIC_JOBS_WAITING] = { "virtjob_jobs_waiting",
                              GAUGE,
                              { "lane" },
                              "Jobs held back by another on the same resource or by a full pool." },
    [METRIC_JOB_SECONDS] = { "virtjob_job_seconds", HISTOGRAM, { "type" }, "Time from start to outcome." },
    [METRIC_DELIVERIES] = { "virtjob_deliveries_total",
                            COUNTER,
                            { "lane" },
                            "Deliveries taken from the broker." },
    [METRIC_JOBS_ADOPTED] = { "virtjob_jobs_adopted_total",
                              COUNTER,
                              { "type" },
                              "Jobs that took over what an earlier attempt had begun." },
    [METRIC_RETRIES] = { "virtjob_jobs_retried_total",
                         COUNTER,
                         { "type" },
                         "Attempts that failed for a reason that may pass." },
    [METRIC_JOBS_GIVEN_UP] = { "virtjob_jobs_given_up_total",
                               COUNTER,
                               { "lane" },
                               "Jobs in hand that were left to another worker." },
    [METRIC_REDELIVERIES] = { "virtjob_redeliveries_total",
                              COUNTER,
                              { "lane" },
                              "Deliveries of a job that ran here already or had just ended." },
    [METRIC_PUBLISHED] = { "virtjob_published_total", COUNTER, { "kind" }, "Messages given to the broker." },
    [METRIC_CONFIRMED] = { "virtjob_confirmed_total",
                           COUNTER,
                           { NULL },
                           "Messages that the broker confirmed." },
    [METRIC_RETURNED] = { "virtjob_returned_total", COUNTER, { NULL }, "Messages that no queue wanted." },
    [METRIC_DROPPED] = { "virtjob_dropped_total", COUNTER, { "kind" }, "Messages let go under pressure." },
    [METRIC_PENDING] = { "virtjob_pending", GAUGE, { NULL }, "Messages not yet confirmed." },
    [METRIC_LINK_UP] = { "virtjob_link_up", GAUGE, { "link" }, "Whether the link to the broker is up." },
    [METRIC_RECONNECTS] = { "virtjob_reconnects_total",
                            COUNTER,
                            { "link" },
                            "Connections to the broker made anew." },
    [METRIC_HOST_UP] = { "virtjob_host_up", GAUGE, { "host" }, "Whether the host is connected." },
    [METRIC_LIFECYCLE_EVENTS] = { "virtjob_lifecycle_events_total",
                                  COUNTER,
                                  { "host", "event" },
                                  "Events of guests and hosts." },
    [METRIC_ORPHANS] = { "virtjob_orphans",
                         GAUGE,
                         { "host" },
                         "Guests and volumes that jobs began and never finished." },
};

struct series {
    UT_hash_handle hh;
    struct series *next; /* of the same metric */
    double value;        /* of a histogram the sum */
    uint64_t count;      /* of a histogram, as the buckets, which count each value once */
    uint64_t buckets[BUCKET_COUNT];
    const char *labels[2]; /* in key */
    char key[];            /* the metric as a byte, then each label value with its NUL */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static struct series *all_series;
static struct series *series_first[METRIC_LAST], *series_last[METRIC_LAST];
static unsigned series_count;

struct key {
    size_t size;
    char bytes[1 + 2 * LABEL_SIZE];
};

static void key_add(struct key *key, const char *value)
{
    size_t length = strnlen(value, LABEL_SIZE - 1);

    memcpy(key->bytes + key->size, value, length);
    key->bytes[key->size + length] = '\0';
    key->size += length + 1;
}

static void key_make(struct key *key, enum metric metric, const char *label1, const char *label2)
{
    const struct row *row = &table[metric];

    key->bytes[0] = (char)metric;
    key->size = 1;
    if (row->labels[0])
        key_add(key, label1 ? label1 : "");
    if (row->labels[1])
        key_add(key, label2 ? label2 : "");
}

/* With the mutex held, as all below that take a series. */
static struct series *series_add(enum metric metric, const struct key *key)
{
    struct series *series = calloc(1, sizeof(*series) + key->size);

    if (!series)
        return NULL;
    memcpy(series->key, key->bytes, key->size);
    series->labels[0] = series->key + 1;
    series->labels[1] = table[metric].labels[1] ? series->labels[0] + strlen(series->labels[0]) + 1 : NULL;
    HASH_ADD_KEYPTR(hh, all_series, series->key, key->size, series);
    if (!series->hh.tbl) {
        free(series);
        return NULL;
    }
    if (series_last[metric])
        series_last[metric]->next = series;
    else
        series_first[metric] = series;
    series_last[metric] = series;
    series_count++;
    return series;
}

/* The series, made where it is missing; beyond the bound the metric's "other" (of which there is one a metric, so the
 * bound holds but for these). NULL without memory. */
static struct series *series_get(enum metric metric, const char *label1, const char *label2)
{
    struct series *series;
    struct key key;

    key_make(&key, metric, label1, label2);
    HASH_FIND(hh, all_series, key.bytes, key.size, series);
    if (series || series_count < SERIES_MAX)
        return series ? series : series_add(metric, &key);
    key_make(&key, metric, "other", "other");
    HASH_FIND(hh, all_series, key.bytes, key.size, series);
    return series ? series : series_add(metric, &key);
}

static void series_observe(struct series *series, double value)
{
    size_t bucket = 0;

    while (bucket < BUCKET_COUNT && value > job_buckets[bucket])
        bucket++;
    if (bucket < BUCKET_COUNT)
        series->buckets[bucket]++;
    series->count++;
    series->value += value;
}

void metrics_add(enum metric metric, double by, const char *label1, const char *label2)
{
    SCOPE_LOCK(&mutex);
    struct series *series = series_get(metric, label1, label2);

    if (!series)
        return;
    if (table[metric].kind == HISTOGRAM)
        series_observe(series, by);
    else
        series->value += by;
}

void metrics_set(enum metric metric, double value, const char *label1, const char *label2)
{
    SCOPE_LOCK(&mutex);
    struct series *series = series_get(metric, label1, label2);

    if (series)
        series->value = value;
}

double metrics_get(enum metric metric, const char *label1, const char *label2)
{
    SCOPE_LOCK(&mutex);
    struct series *series;
    struct key key;

    key_make(&key, metric, label1, label2);
    HASH_FIND(hh, all_series, key.bytes, key.size, series);
    return series ? series->value : 0;
}

void metrics_reset(void)
{
    SCOPE_LOCK(&mutex);
    struct series *series, *next;

    HASH_ITER (hh, all_series, series, next) {
        HASH_DEL(all_series, series);
        free(series);
    }
    memset(series_first, 0, sizeof(series_first));
    memset(series_last, 0, sizeof(series_last));
    series_count = 0;
}

/* The text format */

/* Exactly what was counted, and no more digits than that takes. */
static void write_number(FILE *out, double value)
{
    char text[32];

    snprintf(text, sizeof(text), "%.15g", value);
    if (strtod(text, NULL) != value)
        snprintf(text, sizeof(text), "%.17g", value);
    fprintf(out, " %s\n", text);
}

static void write_label(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n')
            fputs("\\n", out);
        else if (*value == '"' || *value == '\\')
            fprintf(out, "\\%c", *value);
        else
            fputc(*value, out);
    }
    fputc('"', out);
}

/* name{label="value",le="0.1"}; `le` NULL: none. */
static void write_name(FILE *out, const struct row *row, const char *suffix, const struct series *series,
                       const char *le)
{
    const char *separator = "{";

    fprintf(out, "%s%s", row->name, suffix);
    for (int i = 0; i < 2 && row->labels[i]; i++, separator = ",") {
        fputs(separator, out);
        write_label(out, row->labels[i], series->labels[i]);
    }
    if (le)
        fprintf(out, "%sle=\"%s\"", separator, le);
    if (le || row->labels[0])
        fputc('}', out);
}

static void write_histogram(FILE *out, const struct row *row, const struct series *series)
{
    uint64_t count = 0;
    char le[32];

    for (size_t i = 0; i < BUCKET_COUNT; i++) {
        count += series->buckets[i];
        snprintf(le, sizeof(le), "%g", job_buckets[i]);
        write_name(out, row, "_bucket", series, le);
        write_number(out, (double)count);
    }
    write_name(out, row, "_bucket", series, "+Inf");
    write_number(out, (double)series->count);
    write_name(out, row, "_sum", series, NULL);
    write_number(out, series->value);
    write_name(out, row, "_count", series, NULL);
    write_number(out, (double)series->count);
}

static void write_metric(FILE *out, enum metric metric)
{
    static const char *const kinds[] = {
        [COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"
    };
    const struct row *row = &table[metric];

    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name, kinds[row->kind]);
    if (!row->labels[0] && !series_first[metric])
        fprintf(out, "%s 0\n", row->name);
    for (const struct series *series = series_first[metric]; series; series = series->next) {
        if (row->kind == HISTOGRAM) {
            write_histogram(out, row, series);
            continue;
        }
        write_name(out, row, "", series, NULL);
        write_number(out, series->value);
    }
}

static void write_all_metrics(FILE *out)
{
    SCOPE_LOCK(&mutex);

    for (int metric = 0; metric < METRIC_LAST; metric++)
        write_metric(out, (enum metric)metric);
}

/* The process: proc(5). */

static int read_file(const char *path, char *buffer, size_t size)
{
    AUTO(file) FILE *file = fopen(path, "re");
    size_t length = file ? fread(buffer, 1, size - 1, file) : 0;

    buffer[length] = '\0';
    return length > 0 ? 0 : -1;
}

static long resident_bytes(void)
{
    char text[256];
    long pages;

    if (read_file("/proc/self/statm", text, sizeof(text)) < 0 || sscanf(text, "%*d %ld", &pages) != 1)
        return 0;
    return pages * sysconf(_SC_PAGESIZE);
}

/* Field 22 of stat is the start in ticks since boot; fields are counted behind the name, which may hold anything. */
static double start_time_s(void)
{
    struct timespec now, up;
    unsigned long long ticks;
    const char *behind_name;
    char text[1024];

    if (read_file("/proc/self/stat", text, sizeof(text)) < 0 || !(behind_name = strrchr(text, ')')) ||
        sscanf(behind_name + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ticks) != 1)
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    return (double)(now.tv_sec - up.tv_sec) + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

/* Boot time by two clocks is not steady to the second: it must not look like a restart. */
static pthread_once_t start_time_once = PTHREAD_ONCE_INIT;
static double start_time;

static void start_time_find(void)
{
    start_time = start_time_s();
}

static void write_process(FILE *out)
{
    pthread_once(&start_time_once, start_time_find);
    fprintf(out,
            "# HELP process_resident_memory_bytes Resident memory.\n"
            "# TYPE process_resident_memory_bytes gauge\n"
            "process_resident_memory_bytes %ld\n"
            "# HELP process_start_time_seconds Start of the process, since 1970.\n"
            "# TYPE process_start_time_seconds gauge\n"
            "process_start_time_seconds %.2f\n"
            "# HELP virtjob_build_info What runs here; always 1.\n"
            "# TYPE virtjob_build_info gauge\n"
            "virtjob_build_info{version=\"%s\"} 1\n",
            resident_bytes(), start_time, VIRTJOB_VERSION);
}

char *metrics_render(void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    write_all_metrics(out);
    write_process(out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
