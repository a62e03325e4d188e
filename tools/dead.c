/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* `virtjob dead`: looks at the messages of the dead queue, and settles those that are named. The rest lies there again
 * as soon as the connection ends. The broker may hand them out in another order the next time, so none has a number. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "dead_internal.h"

#define CONNECT_MS  30000
#define PATIENCE_MS 10000 /* without a word from the broker */

static const struct option_row options_dead[] = {
    { "all", 'a', NULL, COMPLETE_NOTHING, "requeue, drop: every message there is." },
    { "yes", 'y', NULL, COMPLETE_NOTHING, "drop --all: yes, every one." },
    { "new-id", 0, NULL, COMPLETE_NOTHING, "requeue: as a new job, with another id." },
    { "limit", 'l', "N", COMPLETE_NOTHING, "Look at no more messages; default of list: 100." },
    { 0 },
};

static void dead_done(struct dead *dead)
{
    client_close(dead->client);
    loop_done(&dead->loop);
    view_free(dead->view);
    dead_requeue_done(dead);
    free(dead->found);
}

/* Any thread: `found` is not touched. */
static bool dead_is_meant(const struct dead *dead, const struct letter *letter)
{
    if (dead->all)
        return true;
    for (char *const *word = dead->words; *word; word++)
        if (letter_is(letter, *word))
            return true;
    return false;
}

static bool dead_needs_body(void *opaque, const struct letter *letter)
{
    const struct dead *dead = opaque;

    return dead->verb->needs_body && dead_is_meant(dead, letter);
}

static void dead_mark_found(struct dead *dead, const struct letter *letter)
{
    for (size_t i = 0; dead->words[i]; i++)
        dead->found[i] = dead->found[i] || letter_is(letter, dead->words[i]);
}

/* Beyond the limit: goes back. */
static bool dead_is_full(const struct dead *dead)
{
    return dead->there != SIZE_MAX && (dead->seen == dead->there || dead->seen == dead->limit);
}

static void dead_on_letter(struct dead *dead, struct item *item)
{
    if (dead_is_full(dead))
        return;
    dead->seen++;
    if (!item->letter) {
        view_note(dead->view, "a message was passed over for want of memory");
        dead->code = EXIT_FAILED;
        return;
    }
    if (!dead_is_meant(dead, item->letter))
        return;
    dead_mark_found(dead, item->letter);
    dead->verb->on_letter(dead, &item->letter);
}

/* All that is to be read has come, or the broker hands out no more before some of it is settled. */
static bool dead_is_done(const struct dead *dead)
{
    bool stuck = dead->seen - dead->settled >= dead->reading.most;

    return (dead_is_full(dead) || stuck) && dead->answered == dead->count;
}

static enum exit_code dead_say_rest(struct dead *dead)
{
    if (dead->seen < dead->there)
        view_note(dead->view, "%zu of %zu messages were looked at%s", dead->seen, dead->there,
                  dead->seen == dead->limit ? "; --limit takes more" : "");
    if (dead->there == 0 && !dead->words[0])
        view_note(dead->view, "nothing lies there");
    for (size_t i = 0; dead->words[i]; i++) {
        if (dead->found[i])
            continue;
        view_note(dead->view, "no message '%s' lies there", dead->words[i]);
        dead->code = dead->code ? dead->code : EXIT_FAILED;
    }
    return dead->code;
}

/* Messages that were counted and did not come went to somebody else: that is no failure of ours. */
static enum exit_code dead_stop(struct dead *dead, enum loop_wake wake)
{
    if (wake == LOOP_INTERRUPTED)
        return EXIT_INTERRUPTED;
    if (wake == LOOP_BROKEN)
        return EXIT_FAILED;
    if (dead->there != SIZE_MAX && dead->answered == dead->count)
        return dead_say_rest(dead);
    view_note(dead->view, "no answer from the broker; jobs that it may have twice now: %zu",
              dead->count - dead->answered);
    return EXIT_NO_BROKER;
}

/* -1: it goes on. */
static int dead_on_item(struct dead *dead, struct item *item)
{
    loop_set_timeout(&dead->loop, PATIENCE_MS);
    if (item->kind == ITEM_COUNT)
        dead->there = item->index;
    else if (item->kind == ITEM_LETTER)
        dead_on_letter(dead, item);
    else if (item->kind == ITEM_SETTLED)
        dead_requeue_settled(dead, item);
    if (item->kind != ITEM_DOWN)
        return -1;
    view_note(dead->view, "the connection to the broker was lost; what was not told of lies there still");
    return EXIT_NO_BROKER;
}

static enum exit_code dead_follow(struct dead *dead)
{
    while (!dead_is_done(dead)) {
        struct item *item = NULL;
        enum loop_wake wake = loop_next(&dead->loop, &item);
        if (wake != LOOP_ITEM)
            return dead_stop(dead, wake);
        int code = dead_on_item(dead, item);
        item_free(item);
        if (code >= 0)
            return (enum exit_code)code;
    }
    return dead_say_rest(dead);
}

static int dead_take_limit(struct dead *dead, struct error *err)
{
    const char *text = options_text(&dead->cli->options, "limit", NULL);
    char *end = NULL;

    dead->limit = dead->verb->limit;
    if (text) {
        errno = 0;
        unsigned long long limit = strtoull(text, &end, 10);
        if (errno || *end || *text < '0' || *text > '9' || limit == 0)
            return error_set(err, ERROR_INVALID, "--limit: '%s' is no number above 0", text);
        dead->limit = limit;
    }
    dead->reading = (struct client_reading){
        .most = dead->limit < CLIENT_LETTERS ? dead->limit : CLIENT_LETTERS,
        .needs_body = dead_needs_body,
        .opaque = dead,
    };
    return 0;
}

static int dead_check(struct dead *dead, struct error *err)
{
    const char *name = dead->verb->name;
    bool all = options_given(&dead->cli->options, "all"), ids = dead->words[0] != NULL;

    dead->all = all || !dead->verb->takes_ids;
    if (ids && !dead->verb->takes_ids)
        return error_set(err, ERROR_INVALID, "'%s' takes no ID", name);
    if (all && !dead->verb->takes_all)
        return error_set(err, ERROR_INVALID, "--all is not for '%s'", name);
    if (all && ids)
        return error_set(err, ERROR_INVALID, "either --all or an ID, as 'virtjob dead list' shows it");
    if (!all && !ids && dead->verb->takes_ids)
        return error_set(err, ERROR_INVALID, "'%s' needs an ID, as 'virtjob dead list' shows it", name);
    if (all && dead->verb->needs_yes && !options_given(&dead->cli->options, "yes"))
        return error_set(err, ERROR_INVALID, "--all needs --yes: what is dropped is gone");
    return dead_take_limit(dead, err);
}

static int dead_prepare(struct dead *dead, struct error *err)
{
    const struct view_settings settings = { .json = true }; /* nothing but notes */

    terminal_init(&dead->terminal, STDOUT_FILENO);
    dead->words = dead->cli->operands + 1;
    dead->found = calloc((size_t)dead->cli->operand_count, sizeof(*dead->found));
    if (!dead->found)
        return error_set_memory(err);
    for (dead->verb = dead_verbs; dead->verb->name; dead->verb++)
        if (strcmp(dead->verb->name, dead->cli->operands[0]) == 0)
            break;
    if (!dead->verb->name)
        return error_set(err, ERROR_INVALID, "there is no '%s', but %s", dead->cli->operands[0],
                         dead->cli->command->operands);
    if (dead_check(dead, err) < 0 || !(dead->view = view_new(&settings, err)))
        return -1;
    return 0;
}

static int dead_read(struct dead *dead, struct error *err)
{
    AUTO(config) struct config *config = client_config(dead->cli, err);

    if (!config || dead_prepare(dead, err) < 0)
        return cli_fail_error(dead->cli, NULL, err);
    loop_block_signals();
    if (loop_init(&dead->loop, dead->view, CLIENT_LETTER_CAPACITY, 0, err) < 0 ||
        !(dead->client = client_open_dead(config, &dead->loop, &dead->reading, CONNECT_MS, err)))
        return cli_fail_error(dead->cli, NULL, err);
    int code = dead_follow(dead);
    client_close(STEAL(&dead->client)); /* before the configuration goes */
    return code;
}

static int dead_run(struct cli *cli)
{
    struct dead dead = { .cli = cli, .there = SIZE_MAX, .loop.signals = -1 };
    struct error err = ERROR_INIT;
    int code = dead_read(&dead, &err);

    dead_done(&dead);
    return code;
}

const struct command command_dead = {
    .name = "dead",
    .summary = "Look at what could not be answered, requeue or drop it",
    .operands = "list|show|requeue|drop [ID...]",
    .details = "What lies in the dead queue: jobs that ended their worker too often or cannot\n"
               "be answered, and outcomes that no queue wanted. 'list' has a line for each, with\n"
               "its ID. An ID names a message, and all its copies; the id of a job names all\n"
               "messages about it. 'show' prints a message with its body. 'requeue' publishes a\n"
               "job again, and takes it away here once the broker has it. 'drop' takes a message\n"
               "away for good. A job that has crashed its worker has had its outcome, and needs\n"
               "--new-id: there is one outcome for an id.",
    .examples = "  virtjob dead list\n"
                "  virtjob dead show 1f9a3c5e7b20\n"
                "  virtjob dead requeue --all\n"
                "  virtjob dead drop 1f9a3c5e7b20 5f0c5a5e-0c7b-4a86-93f5-0f6f4a7f3f0e\n",
    .operand = OPERAND_WORDS,
    .operands_min = 1,
    .operands_max = -1,
    .groups = { options_dead, options_broker, options_common },
    .run = dead_run,
};
