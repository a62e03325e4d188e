/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* list, show, requeue, drop: the table is last. */

#include <stdio.h>
#include <stdlib.h>

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

/* What the broker has once more is dropped here when it says so. */
static void requeue_on_letter(struct dead *dead, struct letter **letter)
{
    struct requeued *grown = reallocarray(dead->jobs, dead->count + 1, sizeof(*dead->jobs)), *job;
    struct error err = ERROR_INIT;

    if (!grown) {
        dead_keep(dead, *letter, "kept", "out of memory");
        return;
    }
    dead->jobs = grown;
    job = &grown[dead->count];
    *job = (struct requeued){ 0 };
    if (options_given(&dead->cli->options, "new-id"))
        jobfile_make_id(job->new_id);
    if (client_requeue(dead->client, dead->count, *letter, *job->new_id ? job->new_id : NULL, &err) < 0) {
        dead_keep(dead, *letter, "kept", err.message);
        return;
    }
    letter_drop_body(*letter);
    job->letter = STEAL(letter);
    dead->count++;
}

void dead_requeue_settled(struct dead *dead, const struct item *item)
{
    const struct requeued *job = &dead->jobs[item->index];
    const struct letter *letter = job->letter;

    dead->answered++;
    if (item->fate == MESSAGE_CONFIRMED) {
        client_drop(dead->client, letter);
        dead->settled++;
        dead_print_action(dead, letter, "requeued", job->new_id);
    } else if (item->fate == MESSAGE_RETURNED) {
        client_explain_returned(dead->client, letter->job, letter->type, letter->host);
        dead_keep(dead, letter, "kept", "no queue takes it");
    } else {
        dead_keep(dead, letter, "unconfirmed", "the broker did not confirm the job: it may have it now");
        dead->code = EXIT_NO_BROKER;
    }
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
