/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* list, show, requeue, drop: the table is last. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dead_internal.h"
#include "jobfile.h"

/* Takes the object, NULL for want of memory. */
static void dead_print_json(json_t *line)
{
    AUTO(json) json_t *owned = line;

    if (owned && json_dumpf(owned, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) == 0)
        putchar('\n');
}

/* What was done with a message, or why nothing. */
static void dead_print_action(struct dead *dead, const struct letter *letter, const char *action,
                              const char *new_id)
{
    if (cli_json(dead->cli)) {
        json_t *line = letter_json(letter, false);
        json_object_set_new(line, "action", json_string(action));
        if (*new_id)
            json_object_set_new(line, "new_id", json_string(new_id));
        dead_print_json(line);
        return;
    }
    printf("%s %s%s%s%s%s\n", letter->id, action, *letter->job ? ": job " : "", letter->job,
           *new_id ? " as " : "", new_id);
}

/* It stays where it is. */
static void dead_keep(struct dead *dead, const struct letter *letter, const char *action, const char *why)
{
    if (cli_json(dead->cli))
        dead_print_action(dead, letter, action, "");
    view_note(dead->view, "%s: %s", letter->id, why);
    dead->code = dead->code ? dead->code : EXIT_FAILED;
}

static void list_on_letter(struct dead *dead, struct letter **letter)
{
    if (cli_json(dead->cli)) {
        dead_print_json(letter_json(*letter, false));
        return;
    }
    if (dead->seen == 1)
        letter_heads(stdout);
    letter_line(stdout, *letter, &dead->terminal);
}

static void show_on_letter(struct dead *dead, struct letter **letter)
{
    if (cli_json(dead->cli))
        dead_print_json(letter_json(*letter, true));
    else
        letter_show(stdout, *letter, &dead->terminal);
}

static void drop_on_letter(struct dead *dead, struct letter **letter)
{
    client_drop(dead->client, *letter);
    dead->settled++;
    dead_print_action(dead, *letter, "dropped", "");
}

static void requeued_free(struct requeued *job)
{
    struct letter *letter;

    while ((letter = job->letters)) {
        job->letters = letter->next;
        letter_free(letter);
    }
    free(job);
}

CLEANUP_DEFINE(requeued, struct requeued *, requeued_free)

void dead_requeue_done(struct dead *dead)
{
    HASH_CLEAR(hh, dead->requests);
    for (size_t i = 0; i < dead->count; i++)
        requeued_free(dead->jobs[i]);
    free(dead->jobs);
}

static int requeue_send(struct dead *dead, const struct letter *letter, struct requeued *job,
                        struct error *err)
{
    struct requeued **grown = reallocarray(dead->jobs, dead->count + 1, sizeof(struct requeued *));

    if (!grown)
        return error_set_memory(err);
    dead->jobs = grown;
    if (options_given(&dead->cli->options, "new-id"))
        jobfile_make_id(job->new_id);
    return client_requeue(dead->client, dead->count, letter, *job->new_id ? job->new_id : NULL, err);
}

/* What has become of the job has become of this letter. */
static void requeue_tell(struct dead *dead, const struct requeued *job, const struct letter *letter)
{
    if (job->fate == MESSAGE_CONFIRMED) {
        client_drop(dead->client, letter);
        dead->settled++;
        dead_print_action(dead, letter, "requeued", job->new_id);
    } else if (job->fate == MESSAGE_RETURNED) {
        dead_keep(dead, letter, "kept", "no queue takes it");
    } else {
        dead_keep(dead, letter, "unconfirmed", "the broker did not confirm the job: it may have it now");
        dead->code = EXIT_NO_BROKER;
    }
}

/* Takes the letter. */
static void requeue_join(struct dead *dead, struct requeued *job, struct letter *letter)
{
    letter_drop_body(letter);
    letter->next = job->letters->next;
    job->letters->next = letter;
    if (job->is_settled)
        requeue_tell(dead, job, letter);
}

/* What the broker has once more is dropped here when it says so. A job that lies there twice goes back once. */
static void requeue_on_letter(struct dead *dead, struct letter **letter)
{
    AUTO(requeued) struct requeued *job = NULL;
    struct error err = ERROR_INIT;
    struct requeued *known;

    HASH_FIND_STR(dead->requests, (*letter)->request, known);
    if (known) {
        requeue_join(dead, known, STEAL(letter));
        return;
    }
    if (!(job = calloc(1, sizeof(*job)))) {
        dead_keep(dead, *letter, "kept", "out of memory");
        return;
    }
    if (requeue_send(dead, *letter, job, &err) < 0) {
        dead_keep(dead, *letter, "kept", err.message);
        return;
    }
    letter_drop_body(*letter);
    job->letters = STEAL(letter);
    HASH_ADD_KEYPTR(hh, dead->requests, job->letters->request, strlen(job->letters->request), job);
    dead->jobs[dead->count++] = STEAL(&job);
}

void dead_requeue_settled(struct dead *dead, const struct item *item)
{
    struct requeued *job = dead->jobs[item->index];
    const struct letter *first = job->letters;

    dead->answered++;
    job->is_settled = true;
    job->fate = item->fate;
    if (job->fate == MESSAGE_RETURNED)
        client_explain_returned(dead->client, first->job, first->type, first->host);
    for (const struct letter *letter = first; letter; letter = letter->next)
        requeue_tell(dead, job, letter);
}

const struct verb dead_verbs[] = {
    { .name = "list", .limit = 100, .on_letter = list_on_letter },
    { .name = "show", .limit = SIZE_MAX, .takes_ids = true, .needs_body = true, .on_letter = show_on_letter },
    { .name = "requeue",
      .limit = SIZE_MAX,
      .takes_ids = true,
      .takes_all = true,
      .needs_body = true,
      .on_letter = requeue_on_letter },
    { .name = "drop",
      .limit = SIZE_MAX,
      .takes_ids = true,
      .takes_all = true,
      .needs_yes = true,
      .on_letter = drop_on_letter },
    { 0 },
};
