/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One job of a type of its own, driven by lines on standard input, telling what happens as JSON lines on standard
 * output: for job-abort.
 *
 * Arguments: URI GUEST HOW FILE PATIENCE_MS. HOW, always between job_abort_begin and job_abort_end:
 *   save   saves the guest to the file
 *   late   the same, but not before it is to stop
 *   idle   waits until it is to stop
 * Orders: cancel; give-up; end, which waits for the job and for every thread that it may have left behind. */

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "job_abort.h"
#include "job_run.h"
#include "monotonic.h"

static const char *guest, *file;
static int patience_ms;

static void say(json_t *event)
{
    char *text = json_dumps(event, JSON_COMPACT);

    flockfile(stdout);
    puts(text);
    fflush(stdout);
    funlockfile(stdout);
    free(text);
    json_decref(event);
}

static int say_ended(struct job_abort *abort)
{
    int64_t since = monotonic_now_ms();
    bool sent = job_abort_end(abort);

    say(json_pack("{ss, sb, sI}", "event", "ended", "sent", sent, "took_ms",
                  (json_int_t)(monotonic_now_ms() - since)));
    return 0;
}

static int save(struct job *job, virDomainPtr dom, struct job_abort *abort, struct error *err)
{
    int saved = virDomainSaveFlags(dom, file, NULL, 0);

    if (saved < 0)
        error_set_libvirt(err, "saving guest '%s'", guest);
    say_ended(abort);
    return saved < 0 && job_safe_point(job, err) < 0 ? -1 : saved;
}

static int run(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(domain) virDomainPtr dom = virDomainLookupByName(job->conn, guest);
    const char *how = strchr(job->type->name, '.') + 1;
    struct job_abort *abort;

    if (!dom)
        return error_set_libvirt(err, "looking up guest '%s'", guest);
    abort = job_abort_begin_within(job, dom, patience_ms, err);
    if (!abort)
        return -1;
    *ret_result = json_object();
    say(json_pack("{ss}", "event", "begun"));
    if (strcmp(how, "save") != 0)
        job_wait(job, 3600000, err);
    return strcmp(how, "idle") == 0 ? say_ended(abort) : save(job, dom, abort, err);
}

#define ROW(type)                                                                                            \
    {                                                                                                        \
        .name = type, .lane = JOB_LONG, .run = run, .claims = { { JOB_GUEST, true, "/guest" } }              \
    }

static const struct job_type rows[] = { ROW("test.save"), ROW("test.late"), ROW("test.idle"), { 0 } };
static const struct job_type *const tables[] = { rows, NULL };

static void *execute(void *opaque)
{
    struct outcome outcome;

    job_run_execute(opaque, &outcome);
    say(json_pack("{ss, ss, ss}", "event", "outcome", "state",
                  outcome.state == OUTCOME_GIVEN_UP ? "given up" : outcome_state_name(outcome.state),
                  "message", outcome.error.message));
    outcome_done(&outcome);
    return NULL;
}

static int threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = -2; /* . and .. */

    while (readdir(tasks))
        count++;
    closedir(tasks);
    return count;
}

static void serve(struct job_run *job)
{
    char order[64];

    while (fgets(order, sizeof(order), stdin) && strcmp(order, "end\n") != 0)
        if (strcmp(order, "cancel\n") == 0)
            job_run_cancel(job, "enough");
        else if (strcmp(order, "give-up\n") == 0)
            job_run_hold(job, JOB_GIVEN_UP);
}

int main(int argc, char **argv)
{
    struct request request = { .id = "5f0c5a5e-0c7b-4a86-93f5-0f6f4a7f3f0e", .rollback = true };
    struct hypervisor *host;
    struct job_run *job;
    pthread_t thread;
    char name[64];
    int before;

    if (argc != 6 || hypervisor_loop_start(NULL) < 0 ||
        !(host = hypervisor_new("node1", argv[1], 5000, NULL)))
        return 2;
    guest = argv[2];
    snprintf(name, sizeof(name), "test.%s", argv[3]);
    file = argv[4];
    patience_ms = atoi(argv[5]);
    request.type = name;
    request.params = json_object();
    job = job_run_new(&(struct job_run_settings){ .request = &request,
                                                  .type = job_type_find(tables, name),
                                                  .hypervisor = host,
                                                  .attempt = 1,
                                                  .max_attempts = 1 },
                      NULL);
    before = threads();
    pthread_create(&thread, NULL, execute, job);
    serve(job);
    pthread_join(thread, NULL);
    job_run_free(job); /* while what was left behind may still be at work */
    hypervisor_free(host);
    while (threads() > before)
        usleep(10000);
    hypervisor_loop_stop();
    json_decref(request.params);
    return 0;
}
