/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Between the parts of the configuration: config.c reads it (config_file.c the file), config_options.c has the table,
 * config_check.c says what a value must be. */

#ifndef VIRTJOB_CONFIG_INTERNAL_H
#define VIRTJOB_CONFIG_INTERNAL_H

#include <stdio.h>

#include "config.h"

enum option_type {
    OPTION_TEXT,   /* char *; empty is unset where there is no default */
    OPTION_FLAG,   /* bool */
    OPTION_NUMBER, /* these four: int, size_t or int64_t */
    OPTION_BYTES,
    OPTION_SECONDS,
    OPTION_MILLISECONDS,
};

struct option_row {
    struct config_option shown;
    enum option_type type;
    size_t offset, size; /* of the member of struct config */
    int64_t min, max;    /* of a number, in its unit */
    /* Of a text: what is wrong with it ("is not …"), NULL where nothing is. Must not show a secret. */
    const char *(*complaint)(const char *text);
};

/* NULL past the last. */
const struct option_row *config_option_row(size_t index);

/* -1 where there is none. */
int config_option_find(const char *section, const char *key);

/* The member that holds a text. */
char **config_option_text(struct config *config, const struct option_row *row);

/* Reads `value` into its member. The error is only what is wrong with it ("0 is below 1"). */
int config_option_assign(struct config *config, const struct option_row *row, const char *value,
                         struct error *err);

/* "true", "no", "on", 0, …; the error is only what is wrong with it. */
int config_parse_flag(const char *value, bool *ret_flag, struct error *err);

/* For the rows of the table. */
const char *config_complaint_uri(const char *text);
const char *config_complaint_prefix(const char *text);
const char *config_complaint_worker(const char *text);
const char *config_complaint_pattern(const char *text);
const char *config_complaint_level(const char *text);
const char *config_complaint_format(const char *text);
const char *config_complaint_delays(const char *text);
const char *config_complaint_folders(const char *text);

/* "5s 30s" into seconds, at most RETRY_DELAYS_MAX; how many, or -1. */
int config_parse_delays(const char *text, int *ret_delays);

/* As above, of a host's name. */
const char *config_complaint_host(const char *text);

/* Whether the options of [broker] fit each other and their files are as they should be. `origins` says, by option,
 * where it was set; NULL: by default. */
int config_check_broker(const struct config_broker *broker, char *const *origins, struct error *err);

/* Whether the host part of each AMQP URI is an IP address. */
bool config_uri_has_address(const char *uri);

/* Reading; each that fails returns -1 (or NULL) and has set the error. */

struct config_loader {
    struct config *config;
    char **origins;  /* by option, where it was set; NULL: nowhere */
    char where[512]; /* what is read: "/etc/virtjob/virtjobd.conf:12", "VIRTJOB_BROKER_URI", "command line" */
    struct error *err;
    bool failed;

    FILE *file; /* NULL when it is no file that is read */
    const char *path;
    unsigned line;
    char section[128];
};

/* With where it is; the first failure counts. */
int config_loader_fail(struct config_loader *loader, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int config_loader_fail_memory(struct config_loader *loader);
int config_loader_fail_section(struct config_loader *loader, const char *section);

/* Sets a key of a section, `[host NAME]` included, from what is being read. */
int config_loader_set(struct config_loader *loader, const char *section, const char *key, const char *value);

/* A host without a URI; its name must be new. */
struct config_host *config_loader_add_host(struct config_loader *loader, const char *name);
struct config_host *config_host_find(const struct config *config, const char *name);

/* Whether there are options in it. */
bool config_section_is_known(const char *section);

int config_file_load(struct config_loader *loader, const char *path);

#endif
