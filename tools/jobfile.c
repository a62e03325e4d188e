/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A file is parsed as a sequence of JSON texts, so that one job, an array and JSON Lines are the same case. */

#include "jobfile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <uuid/uuid.h>

#include "cleanup.h"
#include "options.h"

static void jobfile_close(FILE *file)
{
    if (file != stdin)
        fclose(file);
}

CLEANUP_DEFINE(jobfile, FILE *, jobfile_close)

static int jobfile_open(const char *path, FILE **ret_file, struct error *err)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

    if (!file)
        return error_set(err, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_DENIED, "%s: %s", path,
                         strerror(errno));
    if (file == stdin && isatty(STDIN_FILENO))
        fputs("virtjob: reading a job from the terminal; Ctrl-D ends it\n", stderr);
    *ret_file = file;
    return 0;
}

static int jobfile_load(const char *path, char **ret_text, size_t *ret_length, struct error *err)
{
    AUTO(jobfile) FILE *file = NULL;
    AUTO(string) char *text = NULL;
    size_t length = 0, room = 0, got = 0;

    if (jobfile_open(path, &file, err) < 0)
        return -1;
    do {
        length += got;
        if (length >= JOBFILE_BYTES_MAX)
            return error_set(err, ERROR_INVALID, "%s: larger than %ld MiB", path, JOBFILE_BYTES_MAX >> 20);
        if (room - length < 65536) {
            room = room ? room * 2 : 131072;
            char *more = realloc(text, room);
            if (!more)
                return error_set_memory(err);
            text = more;
        }
    } while ((got = fread(text + length, 1, room - length, file)) > 0);
    if (ferror(file))
        return error_set(err, ERROR_DENIED, "%s: %s", path, strerror(errno));
    *ret_text = STEAL(&text);
    *ret_length = length;
    return 0;
}

/* jansson counts from where it began: `text` up to there has lines of its own. */
static int jobfile_fault(const char *path, const char *text, size_t begin, const json_error_t *fault,
                         struct error *err)
{
    int line = fault->line;

    for (size_t i = 0; i < begin; i++)
        line += text[i] == '\n';
    return error_set(err, ERROR_INVALID, "%s:%d:%d: not JSON: %s", path, line, fault->column, fault->text);
}

static int jobfile_add(json_t *jobs, json_t *value, const char *path, struct error *err)
{
    json_t *job;
    size_t i;

    if (json_is_object(value))
        return json_array_append(jobs, value) < 0 ? error_set_memory(err) : 0;
    if (!json_is_array(value))
        return error_set(err, ERROR_INVALID, "%s: neither a job nor an array of jobs", path);
    json_array_foreach (value, i, job)
        if (!json_is_object(job))
            return error_set(err, ERROR_INVALID, "%s: element %zu of the array is no job", path, i);
    return json_array_extend(jobs, value) < 0 ? error_set_memory(err) : 0;
}

static size_t jobfile_skip(const char *text, size_t length, size_t at)
{
    while (at < length && strchr(" \t\r\n", text[at]) && text[at])
        at++;
    return at;
}

int jobfile_read(const char *path, json_t **ret_jobs, struct error *err)
{
    AUTO(string) char *text = NULL;
    AUTO(json) json_t *jobs = json_array();
    size_t length = 0;

    if (jobfile_load(path, &text, &length, err) < 0)
        return -1;
    if (!jobs)
        return error_set_memory(err);
    for (size_t at = jobfile_skip(text, length, 0); at < length;) {
        json_error_t fault;
        AUTO(json) json_t *value =
            json_loadb(text + at, length - at, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &fault);
        if (!value)
            return jobfile_fault(path, text, at, &fault, err);
        if (jobfile_add(jobs, value, path, err) < 0)
            return -1;
        at = jobfile_skip(text, length, at + (size_t)fault.position);
    }
    if (json_array_size(jobs) == 0)
        return error_set(err, ERROR_INVALID, "%s: no job in it; 'virtjob new TYPE' prints one", path);
    *ret_jobs = STEAL(&jobs);
    return 0;
}

static int jobfile_set(json_t *job, const char *key, const char *value, struct error *err)
{
    json_t *text = json_string(value);

    if (!text)
        return error_set(err, ERROR_INVALID, "%s: not UTF-8", key);
    return json_object_set_new(job, key, text) < 0 ? error_set_memory(err) : 0;
}

void jobfile_make_id(char ret_id[static REQUEST_ID_SIZE])
{
    uuid_t uuid;

    uuid_generate_random(uuid);
    uuid_unparse_lower(uuid, ret_id);
}

int jobfile_parse_id(const char *text, char ret_id[static REQUEST_ID_SIZE], struct error *err)
{
    uuid_t uuid;

    if (uuid_parse(text, uuid) < 0)
        return error_set(err, ERROR_INVALID, "'%s' is no job id: a UUID, as 'virtjob submit' prints it",
                         text);
    uuid_unparse_lower(uuid, ret_id);
    return 0;
}

/* The id comes first in the text, where a person looks for it. */
static int jobfile_new_id(json_t *job, struct error *err)
{
    char id[REQUEST_ID_SIZE];

    jobfile_make_id(id);
    if (json_object_get(job, "id"))
        return jobfile_set(job, "id", id, err);
    AUTO(json) json_t *rest = json_copy(job);
    if (!rest || json_object_clear(job) < 0 || jobfile_set(job, "id", id, err) < 0 ||
        json_object_update(job, rest) < 0)
        return error_set_memory(err);
    return 0;
}

/* As the worker writes it in routing keys and events. What is no UUID is left to the check. */
static int jobfile_lower_id(json_t *job, struct error *err)
{
    const char *given = json_string_value(json_object_get(job, "id"));
    char id[REQUEST_ID_SIZE];

    if (!given || jobfile_parse_id(given, id, NULL) < 0)
        return 0;
    return jobfile_set(job, "id", id, err);
}

static int jobfile_set_deadline(json_t *job, const char *deadline, struct error *err)
{
    char text[32];
    int64_t ms;

    if (options_parse_duration(deadline, &ms) < 0)
        return jobfile_set(job, "deadline", deadline, err);
    envelope_time_text(envelope_now_ms() + ms, text);
    return jobfile_set(job, "deadline", text, err);
}

int jobfile_change(json_t *job, const struct jobfile_changes *changes, struct error *err)
{
    const char *host = changes->host;

    if (!host && !json_object_get(job, "host"))
        host = changes->host_fallback;
    if (changes->id && jobfile_set(job, "id", changes->id, err) < 0)
        return -1;
    if (!changes->id && (changes->fresh_id || !json_object_get(job, "id")) && jobfile_new_id(job, err) < 0)
        return -1;
    if (jobfile_lower_id(job, err) < 0)
        return -1;
    if (host && jobfile_set(job, "host", host, err) < 0)
        return -1;
    return changes->deadline ? jobfile_set_deadline(job, changes->deadline, err) : 0;
}

int jobfile_check_ids(const json_t *jobs, struct error *err)
{
    AUTO(json) json_t *seen = json_object();
    json_t *job;
    size_t i;

    json_array_foreach (jobs, i, job) {
        const char *id = json_string_value(json_object_get(job, "id"));
        if (json_object_get(seen, id))
            return error_set(err, ERROR_INVALID, "two jobs have the id %s", id);
        if (id && json_object_set_new(seen, id, json_true()) < 0)
            return error_set_memory(err);
    }
    return 0;
}

char *jobfile_text(const json_t *job, struct error *err)
{
    char *text = json_dumps(job, JSON_COMPACT);

    if (!text)
        error_set_memory(err);
    return text;
}

int jobfile_check(const struct envelope_rules *rules, const json_t *job, struct request *request,
                  struct error *err)
{
    AUTO(string) char *text = jobfile_text(job, err);

    if (!text) {
        *request = (struct request){ 0 };
        return -1;
    }
    return envelope_parse_document(rules, text, strlen(text), request, err);
}
