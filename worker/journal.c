/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The thread of the journal: while there is something to ask it opens a link, lets it read, and closes it again. */

#include "journal.h"
#include "journal_internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "link.h"
#include "log.h"
#include "monotonic.h"

/* Deliveries under way: enough that the broker never waits for us, and some MiB of outcomes at most. */
#define PREFETCH 4096

/* What no broker takes in its default settings. */
#define OUTCOME_BYTES_MOST ((size_t)128 << 20)

/* So often the link is looked after; and no link at all is for want of memory. */
#define WATCH_MS 1000

/* Past that, over a connection that stands, a reading that does not get on begins again, and one that does gets another
 * marker: in a cluster that is losing nodes, either may be lost with nobody told. */
#define PATIENCE_WATCHES 30

#define MARKER_SIZE      256

struct journal {
    struct journal_settings settings;
    pthread_t thread;
    bool started;
    atomic_size_t seen; /* messages, in this reading */

    /* Guards what follows, up to the next paragraph. Taken last. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct journal_question *waiting;
    bool stopping;
    bool complete;            /* the round: what was found may be told */
    char marker[MARKER_SIZE]; /* written by the link's thread alone, which may so read it without the lock */

    /* Of the link's thread while there is a link, else of the journal's. */
    struct journal_round round;
    /* The marker has come: what was found stays as it is, also where the link connects once more. */
    bool ended;
};

struct journal *journal_new(const struct journal_settings *settings, struct error *err)
{
    struct journal *journal = calloc(1, sizeof(*journal));

    if (!journal) {
        error_set_memory(err);
        return NULL;
    }
    journal->settings = *settings;
    pthread_mutex_init(&journal->lock, NULL);
    monotonic_cond_init(&journal->changed);
    return journal;
}

void journal_free(struct journal *journal)
{
    struct journal_question *question;

    if (!journal)
        return;
    journal_stop(journal);
    journal_round_tell(&journal->round, NULL, NULL);
    while ((question = journal->waiting)) {
        journal->waiting = question->next;
        journal_question_free(question);
    }
    pthread_cond_destroy(&journal->changed);
    pthread_mutex_destroy(&journal->lock);
    free(journal);
}

int journal_ask(struct journal *journal, const char *job_id, uint64_t since_s)
{
    struct journal_question *question = journal_question_new(job_id, since_s), **last;
    SCOPE_LOCK(&journal->lock);

    if (!question || journal->stopping) {
        journal_question_free(question);
        return -1;
    }
    for (last = &journal->waiting; *last; last = &(*last)->next)
        ;
    *last = question;
    pthread_cond_signal(&journal->changed);
    return 0;
}

/* The link's thread */

/* Whatever has been asked up to here lies before the marker. */
static int journal_open(struct link *link, void *opaque, struct error *err)
{
    struct journal *journal = opaque;
    const struct topology *topology = journal->settings.topology;
    char offset[32];
    const struct link_argument from[] = { { .key = "x-stream-offset", .text = offset }, { 0 } };

    if (journal->ended)
        return error_set(err, ERROR_CANCELLED, "the journal has been read");
    pthread_mutex_lock(&journal->lock);
    journal_round_join(&journal->round, &journal->waiting);
    topology_marker_id(topology->config->worker.name, journal->marker);
    pthread_mutex_unlock(&journal->lock);
    journal_round_restart(&journal->round);
    journal->seen = 0;
    journal_round_offset(&journal->round, topology->config, (uint64_t)time(NULL), offset);
    if (topology_declare_journal(topology, link, err) < 0 ||
        link_consume(link, topology->journal, PREFETCH, from, err) < 0)
        return -1;
    return topology_mark(link, topology->journal, journal->marker, err);
}

static void journal_end_round(struct journal *journal)
{
    SCOPE_LOCK(&journal->lock);

    journal->ended = journal->complete = true;
    pthread_cond_signal(&journal->changed);
}

static void journal_delivery(struct link *link, struct delivery *delivery, void *opaque)
{
    struct journal *journal = opaque;
    bool is_marker = delivery->message_id && strcmp(delivery->message_id, journal->marker) == 0;

    if (journal->ended) {
        delivery_free(delivery);
        return;
    }
    link_settle(link, delivery->tag, LINK_ACK);
    journal->seen++;
    journal_round_take(&journal->round, delivery);
    if (is_marker)
        journal_end_round(journal);
}

/* The journal's thread */

static struct link *journal_link(struct journal *journal, struct error *err)
{
    static const struct link_events events = { .open = journal_open, .delivery = journal_delivery };
    const struct link_settings settings = {
        .broker = &journal->settings.topology->config->broker,
        .name = "journal",
        .max_body = OUTCOME_BYTES_MOST,
        .max_pending = 1024,
        .passing = true,
    };
    struct link *link = link_new(&settings, &events, journal, err);

    if (!link || link_start(link, err) == 0)
        return link;
    link_free(link);
    return NULL;
}

/* False where nothing has happened for a while. */
static bool journal_wait(struct journal *journal)
{
    int64_t until_ms = monotonic_now_ms() + WATCH_MS;
    SCOPE_LOCK(&journal->lock);

    while (!journal->complete && !journal->stopping)
        if (monotonic_wait(&journal->changed, &journal->lock, until_ms) != 0)
            return false;
    return true;
}

static void journal_report(const struct journal *journal, int64_t begun_ms)
{
    char jobs[32], seen[32], took[32];

    snprintf(jobs, sizeof(jobs), "%u", HASH_COUNT(journal->round.questions));
    snprintf(seen, sizeof(seen), "%zu", (size_t)journal->seen);
    snprintf(took, sizeof(took), "%lld", (long long)(monotonic_now_ms() - begun_ms));
    log_info("journal", "looked up jobs that came again", "jobs", jobs, "messages", seen, "ms", took, NULL);
}

static void journal_mark_again(struct journal *journal, struct link *link)
{
    char marker[MARKER_SIZE];
    struct error err = ERROR_INIT;

    pthread_mutex_lock(&journal->lock);
    memcpy(marker, journal->marker, sizeof(marker));
    pthread_mutex_unlock(&journal->lock);
    if (topology_mark(link, journal->settings.topology->journal, marker, &err) < 0)
        log_warning("journal", "cannot be marked again", "error", err.message, NULL);
}

/* Until the marker has come, the journal is stopped, or nothing gets on. */
static void journal_attend(struct journal *journal, struct link *link)
{
    size_t seen = 0;

    for (int watches = 0; !journal_wait(journal);) {
        link_watch(link);
        watches = link_is_up(link) ? watches + 1 : 0;
        if (watches < PATIENCE_WATCHES)
            continue;
        if (journal->seen == seen) {
            log_warning("journal", "the reading does not get on: beginning again", NULL);
            return;
        }
        seen = journal->seen;
        journal_mark_again(journal, link);
        watches = 0;
    }
}

/* -1: there is no link to be had. */
static int journal_read(struct journal *journal, struct error *err)
{
    int64_t begun_ms = monotonic_now_ms();
    struct link *link;

    journal->ended = journal->complete = false;
    if (!(link = journal_link(journal, err)))
        return -1;
    journal_attend(journal, link);
    link_stop(link, 0);
    link_free(link);
    if (!journal->complete)
        return 0;
    journal_report(journal, begun_ms);
    journal_round_tell(&journal->round, journal->settings.told, journal->settings.opaque);
    return 0;
}

/* False: the end. */
static bool journal_wait_for_questions(struct journal *journal)
{
    SCOPE_LOCK(&journal->lock);

    while (!journal->waiting && !journal->round.questions && !journal->stopping)
        pthread_cond_wait(&journal->changed, &journal->lock);
    return !journal->stopping;
}

static void journal_pause(struct journal *journal)
{
    int64_t until_ms = monotonic_now_ms() + WATCH_MS;
    SCOPE_LOCK(&journal->lock);

    while (!journal->stopping && monotonic_wait(&journal->changed, &journal->lock, until_ms) == 0)
        ;
}

static void *journal_run(void *opaque)
{
    struct journal *journal = opaque;

    while (journal_wait_for_questions(journal)) {
        struct error err = ERROR_INIT;

        if (journal_read(journal, &err) == 0)
            continue;
        log_error("journal", "cannot be read: trying again", "error", err.message, NULL);
        journal_pause(journal);
    }
    return NULL;
}

int journal_start(struct journal *journal, struct error *err)
{
    int rc = pthread_create(&journal->thread, NULL, journal_run, journal);

    if (rc != 0)
        return error_set(err, ERROR_INTERNAL, "cannot start the thread of the journal: %s", strerror(rc));
    journal->started = true;
    return 0;
}

void journal_stop(struct journal *journal)
{
    if (!journal)
        return;
    pthread_mutex_lock(&journal->lock);
    journal->stopping = true;
    pthread_cond_signal(&journal->changed);
    pthread_mutex_unlock(&journal->lock);
    if (journal->started)
        pthread_join(journal->thread, NULL);
    journal->started = false;
}
