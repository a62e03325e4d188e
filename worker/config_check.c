/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a value must be, alone and beside the others. A complaint never shows the broker's URI, which may hold a
 * password. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "cleanup.h"
#include "config_internal.h"
#include "log.h"

#define LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static bool is_name(const char *text, const char *characters, size_t max)
{
    size_t length = strlen(text);

    return length >= 1 && length <= max && strspn(text, characters) == length;
}

static bool is_amqps(const char *uri)
{
    return strncmp(uri + strspn(uri, " \t"), "amqps://", 8) == 0;
}

const char *config_broker_next(const char **at, size_t *ret_length)
{
    const char *start = *at + strspn(*at, " \t");

    *ret_length = strcspn(start, " \t");
    *at = start + *ret_length;
    return *ret_length ? start : NULL;
}

const char *config_complaint_uri(const char *text)
{
    size_t brokers = 0, secure = 0, length;
    const char *uri;

    for (; (uri = config_broker_next(&text, &length)); brokers++) {
        if (!is_amqps(uri) && strncmp(uri, "amqp://", 7) != 0)
            return brokers
                       ? "has a space, and behind it no other amqp:// or amqps://; in a password, write %20"
                       : "does not begin with amqp:// or amqps://";
        secure += is_amqps(uri);
    }
    if (brokers == 0)
        return "is empty";
    return secure == 0 || secure == brokers ? NULL : "has amqp:// and amqps://; all must be the same";
}

const char *config_complaint_prefix(const char *text)
{
    return is_name(text, LETTERS_AND_DIGITS "._-", 100) ? NULL
                                                        : "is not 1 to 100 letters, digits, '.', '_' or '-'";
}

const char *config_complaint_worker(const char *text)
{
    return config_complaint_prefix(text);
}

const char *config_complaint_host(const char *text)
{
    if (strcmp(text, "any") == 0)
        return "a host cannot be called any: that is what a job says that may run on each";
    return is_name(text, LETTERS_AND_DIGITS "_-", 63)
               ? NULL
               : "a host's name is 1 to 63 letters, digits, '_' or '-'";
}

int config_parse_delays(const char *text, int *ret_delays)
{
    int count = 0, used;
    char unit[3];
    long long number;

    for (; sscanf(text, " %8lld%2[smh]%n", &number, unit, &used) == 2; text += used, count++) {
        long long seconds = number * (unit[0] == 'h' ? 3600 : unit[0] == 'm' ? 60 : 1);

        if (count == RETRY_DELAYS_MAX || unit[1] || number < 1 || number > 86400 || seconds > 86400 ||
            (text[used] && text[used] != ' '))
            return -1;
        ret_delays[count] = (int)seconds;
    }
    return text[strspn(text, " ")] || count == 0 ? -1 : count;
}

const char *config_complaint_delays(const char *text)
{
    int delays[RETRY_DELAYS_MAX];

    return config_parse_delays(text, delays) < 0
               ? "is not 1 to 8 durations between 1s and 24h, as '5s 30s 2m'"
               : NULL;
}

/* Absolute, and nothing in it that leads elsewhere. */
static bool is_plain_folder(const char *start, size_t length)
{
    if (length < 2 || start[0] != '/' || start[length - 1] == '/')
        return false;
    for (size_t at = 0, end; at < length; at = end) {
        const char *name = start + at + 1;

        end = at + 1 + strcspn(name, "/ ");
        if (end == at + 1 || (end - at == 2 && name[0] == '.') ||
            (end - at == 3 && name[0] == '.' && name[1] == '.'))
            return false;
    }
    return true;
}

const char *config_complaint_folders(const char *text)
{
    for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
        size_t length = strcspn(text, " ");

        if (!is_plain_folder(text, length))
            return "has what is no absolute path, without '.', '..', '//' and a '/' at its end";
        text += length;
    }
    return NULL;
}

size_t config_retry_delays(const struct config *config, int *ret_delays)
{
    int all[RETRY_DELAYS_MAX], count = config_parse_delays(config->limits.retry_delays, all);
    size_t kept = 0;

    for (int i = 0; i < count; i++) {
        size_t j = 0;

        while (j < kept && ret_delays[j] != all[i])
            j++;
        if (j == kept)
            ret_delays[kept++] = all[i];
    }
    return kept;
}

int config_retry_delay(const struct config *config, int attempt)
{
    int delays[RETRY_DELAYS_MAX], count = config_parse_delays(config->limits.retry_delays, delays);
    int index = attempt < 2 ? 0 : attempt - 2;

    return delays[index < count ? index : count - 1];
}

const char *config_complaint_pattern(const char *text)
{
    static char complaint[160]; /* before there are threads */
    PCRE2_UCHAR why[100];
    PCRE2_SIZE offset;
    int code;
    pcre2_code *pattern = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
                                        PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF, &code, &offset, NULL);

    if (pattern) {
        pcre2_code_free(pattern);
        return NULL;
    }
    pcre2_get_error_message(code, why, sizeof(why));
    snprintf(complaint, sizeof(complaint), "the pattern is wrong at character %zu: %s", offset,
             (const char *)why);
    return complaint;
}

const char *config_complaint_level(const char *text)
{
    enum log_level level;

    return log_level_parse(text, &level) == 0 ? NULL : "is none of error, warning, info, debug";
}

const char *config_complaint_format(const char *text)
{
    return strcmp(text, "text") == 0 || strcmp(text, "json") == 0 ? NULL : "is neither text nor json";
}

static bool has_address(const char *from, size_t count)
{
    AUTO(string) char *uri = strndup(from, count);
    const char *start = uri ? strstr(uri, "://") : NULL, *at;
    char host[INET6_ADDRSTRLEN];
    struct in_addr address;
    size_t length;

    if (!start)
        return false;
    start += 3;
    at = memrchr(start, '@', strcspn(start, "/"));
    start = at ? at + 1 : start;
    if (*start == '[')
        return true;
    length = strcspn(start, ":/");
    if (length >= sizeof(host))
        return false;
    memcpy(host, start, length);
    host[length] = '\0';
    return inet_pton(AF_INET, host, &address) == 1;
}

bool config_uri_has_address(const char *uri)
{
    const char *one;
    size_t length;

    while ((one = config_broker_next(&uri, &length)))
        if (!has_address(one, length))
            return false;
    return true;
}

/* [broker] as a whole */

static int refuse(char *const *origins, const char *key, struct error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static int refuse(char *const *origins, const char *key, struct error *err, const char *fmt, ...)
{
    int index = config_option_find("broker", key);
    const char *origin = index >= 0 ? origins[index] : NULL;
    char complaint[300];
    va_list args;

    va_start(args, fmt);
    vsnprintf(complaint, sizeof(complaint), fmt, args);
    va_end(args);
    return error_set(err, ERROR_INVALID, "%s: [broker] %s: %s", origin ? origin : "default", key, complaint);
}

/* A secret must not be readable by every user of the machine; a group may share it. */
static int check_file(const char *path, const char *key, bool secret, char *const *origins, struct error *err)
{
    AUTO(fd) int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    struct stat status;

    if (!path)
        return 0;
    if (fd < 0 || fstat(fd, &status) < 0)
        return refuse(origins, key, err, "%s cannot be read: %s", path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return refuse(origins, key, err, "%s is a folder", path);
    if (secret && (status.st_mode & S_IRWXO))
        return refuse(origins, key, err, "%s is open to every user of this machine; chmod o= it", path);
    return 0;
}

static int check_files(const struct config_broker *broker, char *const *origins, struct error *err)
{
    if (check_file(broker->password_file, "password_file", true, origins, err) < 0 ||
        check_file(broker->ca_file, "ca_file", false, origins, err) < 0 ||
        check_file(broker->cert_file, "cert_file", false, origins, err) < 0)
        return -1;
    return check_file(broker->key_file, "key_file", true, origins, err);
}

int config_check_broker(const struct config_broker *broker, char *const *origins, struct error *err)
{
    if (is_amqps(broker->uri) && !broker->ca_file)
        return refuse(origins, "uri", err, "amqps needs ca_file, to know the broker by");
    if (broker->cert_file && !broker->key_file)
        return refuse(origins, "cert_file", err, "needs key_file beside it");
    if (broker->key_file && !broker->cert_file)
        return refuse(origins, "key_file", err, "needs cert_file beside it");
    if (broker->external && (!broker->cert_file || !is_amqps(broker->uri)))
        return refuse(origins, "external", err,
                      "needs cert_file and an amqps URI: the certificate is the login");
    return check_files(broker, origins, err);
}
