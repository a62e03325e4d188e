/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a job may reach beside its own host: other hosts, and folders for its files. */

#include "job_internal.h"

#include <string.h>

static struct hypervisor *peer_find(struct job *job, const char *name)
{
    const struct job_reach *reach = job_run_of(job)->settings.reach;

    for (size_t i = 0; reach && i < reach->host_count; i++)
        if (strcmp(hypervisor_name(reach->hosts[i]), name) == 0)
            return reach->hosts[i];
    return NULL;
}

static struct hypervisor *peer_get(struct job *job, const char *name, struct error *err)
{
    struct hypervisor *peer = peer_find(job, name);

    if (!peer)
        error_set(err, ERROR_UNKNOWN_HOST, "the worker's configuration has no host '%s'", name);
    return peer;
}

const char *job_peer_name(struct job *job, size_t index)
{
    const struct job_reach *reach = job_run_of(job)->settings.reach;

    for (size_t i = 0; reach && i < reach->host_count; i++)
        if (strcmp(hypervisor_name(reach->hosts[i]), job->host) != 0 && index-- == 0)
            return hypervisor_name(reach->hosts[i]);
    return NULL;
}

int job_peer_uri(struct job *job, const char *host, const char **ret_uri, const char **ret_migrate_uri,
                 struct error *err)
{
    const struct hypervisor *peer = peer_get(job, host, err);

    if (!peer)
        return -1;
    *ret_uri = hypervisor_peer_uri(peer);
    *ret_migrate_uri = hypervisor_migrate_uri(peer);
    return 0;
}

int job_peer_begin(struct job *job, const char *host, virConnectPtr *ret_conn, struct error *err)
{
    struct hypervisor *peer = peer_get(job, host, err);

    return peer ? hypervisor_acquire(peer, HYPERVISOR_QUERY, ret_conn, err) : -1;
}

void job_peer_end(struct job *job, const char *host, virConnectPtr conn)
{
    struct hypervisor *peer = conn ? peer_find(job, host) : NULL;

    if (peer)
        hypervisor_release(peer, conn);
}

/* A symbolic link in the folder itself is the operator's own, and on another host nobody could look. */
static bool path_is_plain(const char *path)
{
    if (*path != '/')
        return false;
    for (const char *name = path + 1;; name += strcspn(name, "/") + 1) {
        size_t length = strcspn(name, "/");

        if (length == 0 || (length == 1 && name[0] == '.') || (length == 2 && memcmp(name, "..", 2) == 0))
            return false;
        if (name[length] == '\0')
            return true;
    }
}

static bool path_is_in(const char *path, const char *folders)
{
    for (folders += strspn(folders, " "); *folders; folders += strspn(folders, " ")) {
        size_t length = strcspn(folders, " ");

        if (strncmp(path, folders, length) == 0 && path[length] == '/')
            return true;
        folders += length;
    }
    return false;
}

int job_check_save_path(struct job *job, const char *path, const char *where, struct error *err)
{
    const struct job_reach *reach = job_run_of(job)->settings.reach;
    const char *folders = reach && reach->save_folders ? reach->save_folders : "";

    if (!path_is_plain(path))
        return error_set_at(err, ERROR_INVALID, where,
                            "'%s' is no absolute path, or has '.', '..' or '//' in it", path);
    if (!path_is_in(path, folders))
        return error_set_at(err, ERROR_DENIED, where,
                            "'%s' is in none of the folders that the worker allows for save images (%s)",
                            path, *folders ? folders : "none");
    return 0;
}

int64_t job_deadline_ms(struct job *job)
{
    return job_run_of(job)->settings.request->deadline_ms;
}
