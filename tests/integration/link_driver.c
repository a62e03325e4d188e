/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One link, driven by lines on standard input, telling what happens as JSON lines on standard output: for link-*.
 *
 * Arguments: KEY=VALUE as in `settings` below. Orders:
 *   publish EXCHANGE KEY ID COUNT FLAGS SIZE   `.` is the empty exchange; ID gets "-<n>" appended; m mandatory, d droppable,
 *     b bound to the connection of the last delivery or what `bind` said, o offered (link_offer), u with a user_id of
 *     somebody else, for which the broker closes the channel
 *   bind EPOCH   0: that of the last delivery
 *   headers ATTEMPT REQUESTER REASON   of what is published from now on; `.` is none
 *   ack|requeue|reject TAG   of the present epoch; 0: all that is in hand
 *   auto   acknowledges every delivery at once from now on
 *   fresh, pause, up MS, stop MS */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>

#include "cleanup.h"
#include "config.h"
#include "link.h"
#include "log.h"
#include "topology.h"

#define TAGS_MOST 65536

static struct config config = {
    .broker = { .prefix = (char *)"virtjob",
                .heartbeat_s = 10,
                .connect_timeout_s = 5,
                .send_timeout_s = 30,
                .blocked_timeout_s = 300,
                .verify_host_name = true },
    .limits = { .retry_delays = (char *)"1s 2s" },
    .results = { .max_length = 1000000, .max_age_s = 604800 },
    .journal = { .max_bytes = 64 << 20, .max_age_s = 86400 },
};
static struct link_settings settings = {
    .broker = &config.broker, .name = "test", .max_body = 1 << 20, .max_pending = 65536
};
static const char *consume_from, *lane, *stream, *offset; /* of the stream: a word, or else … */
static long prefetch = 100, offset_number;
static const char *const types[] = { "guest.info", "guest.list", NULL };
static struct topology *topology;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows, and standard output */
static struct delivery_tag tags[TAGS_MOST];
static size_t tag_count;
static uint64_t last_epoch;
static bool automatic;

/* Of the thread that reads the orders. */
static unsigned long long bound_to;
static long long attempt;
static char requester[128], reason[128];

static void say(json_t *event)
{
    char *text = json_dumps(event, JSON_COMPACT);

    puts(text);
    fflush(stdout);
    free(text);
    json_decref(event);
}

static void say_locked(json_t *event)
{
    SCOPE_LOCK(&lock);
    say(event);
}

static int on_open(struct link *link, void *opaque, struct error *err)
{
    (void)opaque;
    if (lane && topology_open_lane(topology, link, lane, types, (uint16_t)prefetch, err) < 0)
        return -1;
    if (consume_from) {
        static const struct link_argument quorum[] = { { .key = "x-queue-type", .text = "quorum" }, { 0 } };

        if (link_declare_queue(link, consume_from, quorum, err) < 0 ||
            link_consume(link, consume_from, (uint16_t)prefetch, NULL, err) < 0)
            return -1;
    }
    if (stream) {
        const struct link_argument from[] = {
            { .key = "x-stream-offset", .text = offset, .number = offset_number }, { 0 }
        };

        if (link_consume(link, stream, (uint16_t)prefetch, from, err) < 0)
            return -1;
    }
    say_locked(json_pack("{ss}", "event", "open"));
    return 0;
}

static void on_delivery(struct link *link, struct delivery *delivery, void *opaque)
{
    (void)opaque;
    SCOPE_LOCK(&lock);
    last_epoch = delivery->tag.epoch;
    say(json_pack("{ss sI sI sb sb sI ss? ss? ss? ss? ss? ss? ss? ss? sI sI}", "event", "delivery", "epoch",
                  (json_int_t)delivery->tag.epoch, "tag", (json_int_t)delivery->tag.tag, "redelivered",
                  delivery->redelivered, "oversized", delivery->oversized, "length",
                  (json_int_t)delivery->length, "id", delivery->message_id, "key", delivery->routing_key,
                  "traceparent", delivery->traceparent, "tracestate", delivery->tracestate, "reply_to",
                  delivery->reply_to, "user_id", delivery->user_id, "requester", delivery->requester,
                  "reason", delivery->reason, "attempt", (json_int_t)delivery->attempt, "stream_offset",
                  (json_int_t)delivery->stream_offset));
    if (automatic)
        link_settle(link, delivery->tag, LINK_ACK);
    else if (tag_count < TAGS_MOST)
        tags[tag_count++] = delivery->tag;
    delivery_free(delivery);
}

static void on_closed(struct link *link, void *opaque)
{
    (void)link;
    (void)opaque;
    SCOPE_LOCK(&lock);
    tag_count = 0;
    say(json_pack("{ss}", "event", "closed"));
}

static void on_settled(void *opaque, const struct message *message, enum message_fate fate)
{
    static const char *const names[] = { [MESSAGE_CONFIRMED] = "confirmed",
                                         [MESSAGE_RETURNED] = "returned",
                                         [MESSAGE_LOST] = "lost",
                                         [MESSAGE_DROPPED] = "dropped" };

    (void)opaque;
    say_locked(json_pack("{ss ss ss}", "event", "fate", "id", message->message_id, "fate", names[fate]));
}

static uint64_t epoch_to_bind(void)
{
    SCOPE_LOCK(&lock);

    return bound_to ? bound_to : last_epoch;
}

static struct message *new_message(const char *exchange, const char *key, const char *flags, size_t size)
{
    struct message *message =
        message_new(strcmp(exchange, ".") == 0 ? "" : exchange, key, calloc(1, size + 1), size);

    if (!message)
        exit(2);
    message->persistent = true;
    message->mandatory = strchr(flags, 'm') != NULL;
    message->droppable = strchr(flags, 'd') != NULL;
    message->epoch = strchr(flags, 'b') ? epoch_to_bind() : 0;
    message->user_id = strchr(flags, 'u') ? strdup("somebody-else") : NULL;
    message->attempt = attempt;
    message->requester = *requester ? strdup(requester) : NULL;
    message->reason = *reason ? strdup(reason) : NULL;
    message->settled = on_settled;
    return message;
}

static void order_publish(struct link *link, const char *line)
{
    char exchange[128], key[512], id[128], flags[16];
    unsigned long count, size;

    if (sscanf(line, "publish %127s %511s %127s %lu %15s %lu", exchange, key, id, &count, flags, &size) != 6)
        exit(2);
    for (unsigned long i = 0; i < count; i++) {
        struct message *message = new_message(exchange, key, flags, size);

        if (asprintf(&message->message_id, "%s-%lu", id, i) < 0)
            exit(2);
        if (!strchr(flags, 'o')) {
            link_publish(link, message);
        } else if (link_offer(link, message) > 0) {
            say_locked(json_pack("{ss ss}", "event", "no room", "id", message->message_id));
            message_free(message);
        }
    }
    say_locked(json_pack("{ss ss}", "event", "published", "id", id));
}

static void order_headers(const char *line)
{
    if (sscanf(line, "headers %lld %127s %127s", &attempt, requester, reason) != 3)
        exit(2);
    if (strcmp(requester, ".") == 0)
        requester[0] = '\0';
    if (strcmp(reason, ".") == 0)
        reason[0] = '\0';
}

static void order_fresh(struct link *link)
{
    bool up = link_is_up(link), fresh = link_is_fresh(link);

    say_locked(json_pack("{ss sb sb}", "event", "fresh", "up", up, "fresh", fresh));
}

static void order_settle(struct link *link, enum link_settle how, const char *line)
{
    unsigned long long tag = strtoull(strchr(line, ' ') ? strchr(line, ' ') : "0", NULL, 10);
    size_t kept = 0;

    SCOPE_LOCK(&lock);
    for (size_t i = 0; i < tag_count; i++) {
        if (tag == 0 || tags[i].tag == tag)
            link_settle(link, tags[i], how);
        else
            tags[kept++] = tags[i];
    }
    tag_count = kept;
}

static void order_auto(void)
{
    SCOPE_LOCK(&lock);
    automatic = true;
}

static void order_up(struct link *link, const char *line)
{
    struct error err = ERROR_INIT;

    if (link_wait_up(link, atoi(line + 3), &err) == 0)
        say_locked(json_pack("{ss}", "event", "up"));
    else
        say_locked(
            json_pack("{ss ss ss}", "event", "down", "code", error_name(err.code), "error", err.message));
}

/* False: the end. */
static bool obey(struct link *link, const char *line)
{
    if (strncmp(line, "publish ", 8) == 0)
        order_publish(link, line);
    else if (strncmp(line, "bind ", 5) == 0)
        bound_to = strtoull(line + 5, NULL, 10);
    else if (strncmp(line, "headers ", 8) == 0)
        order_headers(line);
    else if (strncmp(line, "fresh", 5) == 0)
        order_fresh(link);
    else if (strncmp(line, "ack", 3) == 0)
        order_settle(link, LINK_ACK, line);
    else if (strncmp(line, "requeue", 7) == 0)
        order_settle(link, LINK_REQUEUE, line);
    else if (strncmp(line, "reject", 6) == 0)
        order_settle(link, LINK_REJECT, line);
    else if (strncmp(line, "auto", 4) == 0)
        order_auto();
    else if (strncmp(line, "pause", 5) == 0)
        link_pause(link);
    else if (strncmp(line, "up ", 3) == 0)
        order_up(link, line);
    else if (strncmp(line, "stop ", 5) == 0) {
        link_stop(link, atoi(line + 5));
        return false;
    }
    return true;
}

static void *watch(void *opaque)
{
    for (;;) {
        struct timespec pause = { .tv_nsec = 200 * 1000000 };

        nanosleep(&pause, NULL);
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        link_watch(opaque);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    }
    return NULL;
}

static void set(char *argument)
{
    char *value = strchr(argument, '=');
    const struct {
        const char *key;
        char **text;
        int *number;
    } keys[] = {
        { "uri", &config.broker.uri, NULL },
        { "ca_file", &config.broker.ca_file, NULL },
        { "cert_file", &config.broker.cert_file, NULL },
        { "key_file", &config.broker.key_file, NULL },
        { "password_file", &config.broker.password_file, NULL },
        { "prefix", &config.broker.prefix, NULL },
        { "heartbeat", NULL, &config.broker.heartbeat_s },
        { "connect_timeout", NULL, &config.broker.connect_timeout_s },
        { "send_timeout", NULL, &config.broker.send_timeout_s },
        { "blocked_timeout", NULL, &config.broker.blocked_timeout_s },
        { "consume", (char **)&consume_from, NULL },
        { "lane", (char **)&lane, NULL },
        { "stream", (char **)&stream, NULL },
        { "offset", (char **)&offset, NULL },
    };

    if (!value)
        exit(2);
    *value++ = '\0';
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(argument, keys[i].key) != 0)
            continue;
        if (keys[i].text)
            *keys[i].text = value;
        else
            *keys[i].number = atoi(value);
        return;
    }
    if (strcmp(argument, "max_pending") == 0)
        settings.max_pending = strtoul(value, NULL, 10);
    else if (strcmp(argument, "max_body") == 0)
        settings.max_body = strtoul(value, NULL, 10);
    else if (strcmp(argument, "prefetch") == 0)
        prefetch = atol(value);
    else if (strcmp(argument, "offset_number") == 0)
        offset_number = atol(value);
    else if (strcmp(argument, "external") == 0)
        config.broker.external = *value == '1';
    else if (strcmp(argument, "verify") == 0)
        config.broker.verify_host_name = *value == '1';
    else if (strcmp(argument, "results") == 0)
        config.results.enabled = *value == '1';
    else if (strcmp(argument, "any") == 0)
        config.worker.any = *value == '1';
    else if (strcmp(argument, "once") == 0)
        settings.once = *value == '1';
    else
        exit(2);
}

int main(int argc, char **argv)
{
    static struct config_host host = { .name = (char *)"node1",
                                       .uri = (char *)"test:///default",
                                       .serve = true };
    static const struct link_events events = { .open = on_open,
                                               .delivery = on_delivery,
                                               .closed = on_closed };
    struct error err = ERROR_INIT;
    struct link *link;
    pthread_t watchdog;
    char *line = NULL;
    size_t size = 0;

    log_init(LOG_LEVEL_DEBUG, false);
    config.hosts = &host;
    config.host_count = 1;
    for (int i = 1; i < argc; i++)
        set(argv[i]);
    topology = topology_new(&config, &err);
    link = link_new(&settings, &events, NULL, &err);
    if (!topology || !link || link_start(link, &err) < 0) {
        say(json_pack("{ss ss}", "event", "error", "error", err.message));
        link_free(link);
        topology_free(topology);
        return 1;
    }
    pthread_create(&watchdog, NULL, watch, link);
    while (getline(&line, &size, stdin) > 0 && obey(link, line))
        ;
    pthread_cancel(watchdog);
    pthread_join(watchdog, NULL);
    link_free(link);
    topology_free(topology);
    free(line);
    return 0;
}
