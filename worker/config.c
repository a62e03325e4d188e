/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Reads the three sources, one after the other, over the defaults; the file by config_file.c. */

#include "config.h"

#include <ctype.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "config_internal.h"

#define HOSTS_MAX 256 /* each has threads and connections of its own */

CLEANUP_DEFINE(config, struct config *, config_free)

void config_free(struct config *config)
{
    const struct option_row *row;

    if (!config)
        return;
    for (size_t i = 0; (row = config_option_row(i)); i++)
        if (row->type == OPTION_TEXT)
            free(*config_option_text(config, row));
    for (size_t i = 0; i < config->host_count; i++) {
        free(config->hosts[i].name);
        free(config->hosts[i].uri);
        free(config->hosts[i].peer_uri);
        free(config->hosts[i].migrate_uri);
    }
    free(config->hosts);
    free(config);
}

int config_loader_fail(struct config_loader *loader, const char *fmt, ...)
{
    char complaint[400];
    va_list args;

    if (loader->failed)
        return -1;
    loader->failed = true;
    va_start(args, fmt);
    vsnprintf(complaint, sizeof(complaint), fmt, args);
    va_end(args);
    return error_set(loader->err, ERROR_INVALID, "%s: %s", loader->where, complaint);
}

int config_loader_fail_memory(struct config_loader *loader)
{
    loader->failed = true;
    return error_set_memory(loader->err);
}

/* Hosts */

struct config_host *config_host_find(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->host_count; i++)
        if (strcmp(config->hosts[i].name, name) == 0)
            return &config->hosts[i];
    return NULL;
}

struct config_host *config_loader_add_host(struct config_loader *loader, const char *name)
{
    struct config *config = loader->config;
    const char *complaint = config_complaint_host(name);
    struct config_host *hosts;
    char *copy;

    if (complaint || config->host_count == HOSTS_MAX) {
        config_loader_fail(loader, "[host %.80s]: %s", name,
                           complaint ? complaint : "there are too many hosts");
        return NULL;
    }
    hosts = realloc(config->hosts, (config->host_count + 1) * sizeof(*hosts));
    if (hosts)
        config->hosts = hosts;
    copy = hosts ? strdup(name) : NULL;
    if (!copy) {
        config_loader_fail_memory(loader);
        return NULL;
    }
    hosts[config->host_count] = (struct config_host){ .name = copy, .serve = true };
    return &hosts[config->host_count++];
}

/* The keys of [host NAME]. */
static const struct {
    const char *key;
    size_t offset; /* of a char * in struct config_host */
} host_texts[] = {
    { "uri", offsetof(struct config_host, uri) },
    { "peer_uri", offsetof(struct config_host, peer_uri) },
    { "migrate_uri", offsetof(struct config_host, migrate_uri) },
};

static char **host_text(struct config_host *host, const char *key)
{
    for (size_t i = 0; i < sizeof(host_texts) / sizeof(host_texts[0]); i++)
        if (strcmp(host_texts[i].key, key) == 0)
            return (char **)((char *)host + host_texts[i].offset);
    return NULL;
}

static int loader_set_host_text(struct config_loader *loader, struct config_host *host, const char *key,
                                const char *value)
{
    char **slot = host_text(host, key);
    char *copy;

    if (loader->file && *slot)
        return config_loader_fail(loader, "[host %s] %s: is set already", host->name, key);
    if (!(copy = strdup(value)))
        return config_loader_fail_memory(loader);
    free(*slot);
    *slot = copy;
    return 0;
}

static int loader_set_host_serve(struct config_loader *loader, struct config_host *host, const char *value)
{
    struct error err = ERROR_INIT;

    if (config_parse_flag(value, &host->serve, &err) < 0)
        return config_loader_fail(loader, "[host %s] serve: %s", host->name, err.message);
    return 0;
}

static int loader_set_host(struct config_loader *loader, const char *name, const char *key, const char *value)
{
    struct config_host *host = config_host_find(loader->config, name);
    struct config_host none = { 0 };
    bool serve = strcmp(key, "serve") == 0;

    if (!serve && !host_text(&none, key))
        return config_loader_fail(
            loader, "unknown key '%.80s' in [host %s]; known are uri, peer_uri, migrate_uri, serve", key,
            name);
    if (!*value)
        return config_loader_fail(loader, "[host %s] %s: is empty", name, key);
    if (!host && !(host = config_loader_add_host(loader, name)))
        return -1;
    return serve ? loader_set_host_serve(loader, host, value)
                 : loader_set_host_text(loader, host, key, value);
}

/* Options */

bool config_section_is_known(const char *section)
{
    const struct config_option *option;

    for (size_t i = 0; (option = config_option(i)); i++)
        if (strcmp(option->section, section) == 0)
            return true;
    return false;
}

/* "uri, prefix", or where no section is given "[broker], [worker]". */
static const char *list_known(const char *section, char *list, size_t size)
{
    const struct config_option *option;
    const char *last = "";
    size_t length = 0;

    list[0] = '\0';
    for (size_t i = 0; (option = config_option(i)) && length < size; i++) {
        if (section ? strcmp(option->section, section) != 0 : strcmp(option->section, last) == 0)
            continue;
        length += (size_t)snprintf(list + length, size - length, section ? "%s%s" : "%s[%s]",
                                   length ? ", " : "", section ? option->key : option->section);
        last = option->section;
    }
    return list;
}

int config_loader_fail_section(struct config_loader *loader, const char *section)
{
    char list[256];

    return config_loader_fail(loader, "unknown section [%.80s]; known are %s, [host NAME]", section,
                              list_known(NULL, list, sizeof(list)));
}

static int loader_set_option(struct config_loader *loader, size_t index, const char *value)
{
    const struct option_row *row = config_option_row(index);
    struct error err = ERROR_INIT;
    char *origin;

    if (loader->file && loader->origins[index])
        return config_loader_fail(loader, "[%s] %s: is set already at %s", row->shown.section, row->shown.key,
                                  loader->origins[index]);
    if (config_option_assign(loader->config, row, value, &err) < 0)
        return config_loader_fail(loader, "[%s] %s: %s", row->shown.section, row->shown.key, err.message);
    if (!(origin = strdup(loader->where)))
        return config_loader_fail_memory(loader);
    free(loader->origins[index]);
    loader->origins[index] = origin;
    return 0;
}

int config_loader_set(struct config_loader *loader, const char *section, const char *key, const char *value)
{
    int index = config_option_find(section, key);
    char list[320];

    if (strncmp(section, "host ", 5) == 0)
        return loader_set_host(loader, section + 5, key, value);
    if (index >= 0)
        return loader_set_option(loader, (size_t)index, value);
    if (!*section)
        return config_loader_fail(loader, "'%.80s' stands before the first section", key);
    if (!config_section_is_known(section))
        return config_loader_fail_section(loader, section);
    return config_loader_fail(loader, "unknown key '%.60s' in [%s]; known are %s", key, section,
                              list_known(section, list, sizeof(list)));
}

static int load_defaults(struct config *config, struct error *err)
{
    const struct option_row *row;

    for (size_t i = 0; (row = config_option_row(i)); i++)
        if (row->shown.value_default && config_option_assign(config, row, row->shown.value_default, err) < 0)
            return -1;
    return 0;
}

/* The environment */

static int load_environment_hosts(struct config_loader *loader)
{
    const char *hosts = getenv("VIRTJOB_HOSTS");
    AUTO(string) char *copy = hosts ? strdup(hosts) : NULL;
    char *rest = copy, *host, *equals;

    if (hosts && !copy)
        return config_loader_fail_memory(loader);
    snprintf(loader->where, sizeof(loader->where), "VIRTJOB_HOSTS");
    while (rest && (host = strsep(&rest, " \t\n"))) {
        if (!*host)
            continue;
        if (!(equals = strchr(host, '=')))
            return config_loader_fail(loader, "'%.80s' is not NAME=URI", host);
        *equals = '\0';
        if (loader_set_host(loader, host, "uri", equals + 1) < 0)
            return -1;
    }
    return 0;
}

static int load_environment(struct config_loader *loader)
{
    const struct config_option *option;

    for (size_t i = 0; (option = config_option(i)); i++) {
        char name[128];
        snprintf(name, sizeof(name), "VIRTJOB_%s_%s", option->section, option->key);
        for (char *at = name; *at; at++)
            *at = (char)toupper((unsigned char)*at);
        const char *value = getenv(name);
        snprintf(loader->where, sizeof(loader->where), "%s", name);
        if (value && *value && loader_set_option(loader, i, value) < 0)
            return -1;
    }
    return load_environment_hosts(loader);
}

/* The command line */

static int load_set(struct config_loader *loader, const char *set)
{
    AUTO(string) char *section = strdup(set);
    char *equals = section ? strchr(section, '=') : NULL;
    char *dot;

    if (!section)
        return config_loader_fail_memory(loader);
    if (equals)
        *equals = '\0';
    if (!equals || !(dot = strchr(section, '.')))
        return config_loader_fail(loader, "'%.80s' is not section.key=value", section);
    *dot = '\0';
    return config_loader_set(loader, section, dot + 1, equals + 1);
}

static int load_sets(struct config_loader *loader, char *const *sets, size_t set_count)
{
    snprintf(loader->where, sizeof(loader->where), "command line");
    for (size_t i = 0; i < set_count; i++)
        if (load_set(loader, sets[i]) < 0)
            return -1;
    return 0;
}

/* The whole */

/* What depends on the machine or on other options. */
static int load_rest(struct config_loader *loader)
{
    struct config *config = loader->config;
    int verify = config_option_find("broker", "verify_host_name"),
        name = config_option_find("worker", "name");
    char host_name[256];

    if (!loader->origins[verify] && config_uri_has_address(config->broker.uri))
        config->broker.verify_host_name = false;
    if (!config->worker.name) {
        if (gethostname(host_name, sizeof(host_name)) < 0)
            return error_set(loader->err, ERROR_INTERNAL, "cannot get the host name: %m");
        host_name[sizeof(host_name) - 1] = '\0';
        snprintf(loader->where, sizeof(loader->where), "host name");
        if (loader_set_option(loader, (size_t)name, host_name) < 0)
            return -1;
    }
    return config_check_broker(&config->broker, loader->origins, loader->err);
}

/* Keys of one host may come from several sources, so that one is without a URI shows only in the end. */
static int check_hosts(const struct config *config, struct error *err)
{
    for (size_t i = 0; i < config->host_count; i++)
        if (!config->hosts[i].uri)
            return error_set(err, ERROR_INVALID, "[host %s] has no uri", config->hosts[i].name);
    return 0;
}

static int load(struct config_loader *loader, const char *path, char *const *sets, size_t set_count)
{
    if (load_defaults(loader->config, loader->err) < 0 || (path && config_file_load(loader, path) < 0) ||
        load_environment(loader) < 0 || load_sets(loader, sets, set_count) < 0 ||
        check_hosts(loader->config, loader->err) < 0)
        return -1;
    return load_rest(loader);
}

struct config *config_load(const char *path, char *const *sets, size_t set_count, struct error *err)
{
    AUTO(config) struct config *config = calloc(1, sizeof(*config));
    struct config_loader loader = { .config = config, .err = err };
    size_t count = 0;
    int result;

    while (config_option_row(count))
        count++;
    loader.origins = calloc(count, sizeof(*loader.origins));
    if (!config || !loader.origins) {
        free(loader.origins);
        error_set_memory(err);
        return NULL;
    }
    result = load(&loader, path, sets, set_count);
    for (size_t i = 0; i < count; i++)
        free(loader.origins[i]);
    free(loader.origins);
    return result < 0 ? NULL : STEAL(&config);
}

int config_check_daemon(const struct config *config, struct error *err)
{
    for (size_t i = 0; i < config->host_count; i++)
        if (config->hosts[i].serve)
            return 0;
    if (config->host_count > 0)
        return error_set(err, ERROR_INVALID, "no host is served: each has serve = false");
    return error_set(
        err, ERROR_INVALID,
        "there is no host; add [host NAME] with its uri, or say --host NAME=URI, as node1=qemu:///system");
}
