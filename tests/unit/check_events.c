/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a watch tells of libvirt's test driver, and in which order. Every test has guests of its own, in this process. */

#define VIR_ENUM_SENTINELS

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "events.h"
#include "events_internal.h"
#include "events_names.h"
#include "metrics.h"
#include "schemas.h"

#define EVENTS_MAX 256
#define UUID       "11111111-2222-3333-4444-555555555555"
#define XML(name)                                                                                            \
    "<domain type='test'><name>" name "</name><uuid>" UUID "</uuid><memory>1024</memory>"                    \
    "<os><type>hvm</type></os></domain>"

/* What has been told so far: data, with kind and subject put in. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t told;
    json_t *events[EVENTS_MAX];
    size_t count, looked;
    int room;        /* for so many events more; -1: for all */
    json_t *refused; /* the kinds that found no room, one after the other */
} log_ = { .mutex = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER, .room = -1 };

static struct hypervisor *host;
static struct watch *watch;
static virConnectPtr conn; /* to act with */

/* Holding the log's mutex. */
static int log_refuse(const char *kind)
{
    if (!log_.refused)
        log_.refused = json_array();
    json_array_append_new(log_.refused, json_string(kind));
    pthread_cond_signal(&log_.told);
    return -1;
}

/* Holding the log's mutex. */
static int log_take(json_t *event)
{
    if (log_.room > 0)
        log_.room--;
    ck_assert_uint_lt(log_.count, EVENTS_MAX);
    log_.events[log_.count++] = json_incref(event);
    pthread_cond_signal(&log_.told);
    return 0;
}

static int on_event(void *opaque, const struct watch_event *event)
{
    AUTO(json) json_t *copy = json_deep_copy(event->data);
    SCOPE_LOCK(&log_.mutex);

    ck_assert_ptr_eq(opaque, &log_);
    ck_assert_str_eq(event->host, "node1");
    ck_assert_int_eq(json_integer_value(json_object_get(copy, "epoch")), event->epoch);
    ck_assert_int_eq(json_integer_value(json_object_get(copy, "seq")), (json_int_t)event->seq);
    json_object_set_new(copy, "kind", json_string(event->kind));
    if (event->subject)
        json_object_set_new(copy, "subject", json_string(event->subject));
    return log_.room == 0 ? log_refuse(event->kind) : log_take(copy);
}

static void log_clear(void)
{
    for (size_t i = 0; i < log_.count; i++)
        json_decref(log_.events[i]);
    log_.count = log_.looked = 0;
    json_decref(log_.refused);
    log_.refused = NULL;
}

static void log_room(int events)
{
    SCOPE_LOCK(&log_.mutex);

    log_.room = events;
}

/* What was refused, counted from 0; waits until it is. */
static const char *refused(size_t index)
{
    SCOPE_LOCK(&log_.mutex);

    while (json_array_size(log_.refused) <= index)
        pthread_cond_wait(&log_.told, &log_.mutex);
    return json_string_value(json_array_get(log_.refused, index));
}

static void wait_refused(const char *kind)
{
    for (size_t i = 0; strcmp(refused(i), kind) != 0; i++)
        ;
}

/* The next event, in the order of their being told; NULL: none for a while. */
static const json_t *next_within(int ms)
{
    struct timespec end;
    const json_t *event = NULL;

    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += ms % 1000 * 1000000;
    end.tv_sec += ms / 1000 + end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    pthread_mutex_lock(&log_.mutex);
    while (log_.looked == log_.count && pthread_cond_timedwait(&log_.told, &log_.mutex, &end) == 0)
        ;
    if (log_.looked < log_.count)
        event = log_.events[log_.looked++];
    pthread_mutex_unlock(&log_.mutex);
    return event;
}

static const char *text(const json_t *event, const char *key)
{
    const char *value = json_string_value(json_object_get(event, key));

    return value ? value : "";
}

/* The next event has to be this one; `reason` NULL: does not matter. */
static const json_t *expect(const char *kind, const char *reason)
{
    const json_t *event = next_within(20000);

    ck_assert_msg(event != NULL, "no %s came", kind);
    ck_assert_str_eq(text(event, "kind"), kind);
    if (reason)
        ck_assert_str_eq(text(event, "reason"), reason);
    return event;
}

static void setup_host(const char *uri)
{
    struct error err = ERROR_INIT;

    ck_assert_int_eq(hypervisor_loop_start(&err), 0);
    host = hypervisor_new("node1", uri, 1000, &err);
    watch = watch_new(host, on_event, &log_, &err);
    ck_assert(host != NULL && watch != NULL);
}

static void setup(void)
{
    struct error err = ERROR_INIT;

    setup_host("test:///default");
    conn = virConnectOpen("test:///default");
    ck_assert_ptr_nonnull(conn);
    ck_assert_int_eq(watch_start(watch, &err), 0);
}

static void teardown(void)
{
    watch_stop(watch);
    if (conn)
        virConnectClose(conn);
    conn = NULL;
    watch_free(watch);
    hypervisor_free(host);
    hypervisor_loop_stop();
    log_clear();
}

static virDomainPtr define(const char *xml)
{
    virDomainPtr dom = virDomainDefineXML(conn, xml);

    ck_assert_ptr_nonnull(dom);
    return dom;
}

/* Past connected and snapshot; returns the latter. */
static const json_t *connected(void)
{
    expect("host.connected", NULL);
    return expect("host.snapshot", NULL);
}

START_TEST(test_begins_with_a_snapshot)
{
    const json_t *event = expect("host.connected", NULL), *guest;
    json_int_t epoch = json_integer_value(json_object_get(event, "epoch"));

    ck_assert_int_eq(json_integer_value(json_object_get(event, "seq")), 1);
    ck_assert_str_eq(text(event, "driver"), "TEST");
    ck_assert_str_ne(text(event, "libvirt_version"), "");
    ck_assert(epoch / 1000000 > time(NULL) - 60 && epoch / 1000000 <= time(NULL));
    event = expect("host.snapshot", NULL);
    ck_assert_int_eq(json_integer_value(json_object_get(event, "seq")), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(event, "epoch")), epoch);
    ck_assert_ptr_null(json_object_get(event, "subject"));
    guest = json_array_get(json_object_get(event, "guests"), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(event, "guests")), 1);
    ck_assert_str_eq(text(guest, "name"), "test");
    ck_assert_str_eq(text(guest, "state"), "running");
    ck_assert(json_is_true(json_object_get(guest, "persistent")));
    ck_assert_int_eq(json_integer_value(json_object_get(guest, "id")), 1);
    ck_assert_uint_eq(strlen(text(guest, "uuid")), 36);
    ck_assert_double_eq(metrics_get(METRIC_HOST_UP, "node1", NULL), 1);
}
END_TEST

START_TEST(test_tells_a_whole_life)
{
    virDomainPtr dom;
    const json_t *event, *guest;
    json_int_t seq;

    seq = json_integer_value(json_object_get(connected(), "seq"));
    dom = define(XML("life"));
    virDomainCreate(dom);
    virDomainSuspend(dom);
    virDomainResume(dom);
    virDomainDestroy(dom);
    virDomainCreate(dom);
    virDomainShutdown(dom);
    virDomainCreate(dom);
    virDomainManagedSave(dom, 0);
    virDomainCreate(dom);
    virDomainDestroy(dom);
    virDomainUndefine(dom);
    virDomainFree(dom);
    event = expect("guest.defined", "added");
    guest = json_object_get(event, "guest");
    ck_assert_str_eq(text(event, "subject"), UUID);
    ck_assert_str_eq(text(guest, "uuid"), UUID);
    ck_assert_str_eq(text(guest, "name"), "life");
    ck_assert_ptr_null(json_object_get(guest, "id"));
    ck_assert_int_eq(json_integer_value(json_object_get(event, "seq")), seq + 1);
    event = expect("guest.started", "booted");
    ck_assert_int_gt(json_integer_value(json_object_get(json_object_get(event, "guest"), "id")), 1);
    expect("guest.suspended", "paused");
    expect("guest.resumed", "unpaused");
    expect("guest.stopped", "destroyed");
    expect("guest.started", "booted");
    expect("guest.stopped", "shutdown");
    expect("guest.started", "booted");
    expect("guest.stopped", "saved");
    expect("guest.started", NULL); /* the test driver does not say from what */
    expect("guest.stopped", "destroyed");
    event = expect("guest.undefined", "removed");
    ck_assert_int_eq(json_integer_value(json_object_get(event, "seq")), seq + 12);
    ck_assert_double_eq(metrics_get(METRIC_LIFECYCLE_EVENTS, "node1", "started"), 4);
}
END_TEST

static void check_alias(const char *known, const char *other)
{
    char alias[WATCH_ALIAS_SIZE] = "untouched";
    int found = watch_guest_alias(watch, known, alias);

    ck_assert_msg(found == (other ? 0 : -1), "%s: %s", known, alias);
    ck_assert_str_eq(alias, other ? other : "untouched");
}

START_TEST(test_knows_names_and_uuids)
{
    virDomainPtr dom;
    char upper[] = "ABCDEF00-2222-3333-4444-555555555555", lower[] = "abcdef00-2222-3333-4444-555555555555";
    AUTO(string) char *other = NULL;

    other = strdup(text(json_array_get(json_object_get(connected(), "guests"), 0), "uuid"));
    check_alias("test", other);
    check_alias(other, "test");
    check_alias("one", NULL);
    check_alias("", NULL);
    dom = define("<domain type='test'><name>one</name><uuid>abcdef00-2222-3333-4444-555555555555</uuid>"
                 "<memory>1024</memory><os><type>hvm</type></os></domain>");
    expect("guest.defined", "added");
    check_alias("one", lower);
    check_alias(upper, "one");
    ck_assert_int_eq(virDomainRename(dom, "two", 0), 0);
    expect("guest.undefined", "renamed");
    expect("guest.defined", "renamed");
    check_alias("one", NULL);
    check_alias("two", lower);
    check_alias(lower, "two");
    virDomainUndefine(dom);
    virDomainFree(dom);
    expect("guest.undefined", "removed");
    check_alias("two", NULL);
    check_alias(lower, NULL);
}
END_TEST

START_TEST(test_forgets_transient_guests)
{
    virDomainPtr dom;

    connected();
    dom = virDomainCreateXML(conn, XML("brief"), 0);
    expect("guest.started", "booted");
    check_alias("brief", UUID);
    virDomainDestroy(dom);
    virDomainFree(dom);
    expect("guest.stopped", "destroyed");
    check_alias("brief", NULL);
    check_alias(UUID, NULL);
}
END_TEST

START_TEST(test_ends_when_stopped)
{
    virDomainPtr dom;

    connected();
    watch_stop(watch);
    expect("host.disconnected", "stopped");
    ck_assert_double_eq(metrics_get(METRIC_HOST_UP, "node1", NULL), 0);
    dom = define(XML("late"));
    virDomainUndefine(dom);
    virDomainFree(dom);
    ck_assert_ptr_null(next_within(300));
    watch_stop(watch);
}
END_TEST

START_TEST(test_reports_state_honestly)
{
    struct error err = ERROR_INIT;
    AUTO(json) json_t *guests = NULL;
    virDomainPtr dom;
    const json_t *guest;

    connected();
    dom = define(XML("off"));
    virDomainFree(dom);
    dom = virDomainLookupByName(conn, "test");
    virDomainSuspend(dom);
    virDomainFree(dom);
    ck_assert_int_eq(snapshot_take(conn, &guests, &err), 0);
    ck_assert_uint_eq(json_array_size(guests), 2);
    for (size_t i = 0; i < 2; i++) {
        guest = json_array_get(guests, i);
        ck_assert_str_eq(text(guest, "state"),
                         strcmp(text(guest, "name"), "off") == 0 ? "shutoff" : "paused");
        ck_assert((json_object_get(guest, "id") == NULL) == (strcmp(text(guest, "name"), "off") == 0));
    }
}
END_TEST

/* The order that matters when things happen while the snapshot is taken, made by hand. */
START_TEST(test_holds_events_until_the_snapshot_is_out)
{
    struct epoch *epoch = calloc(1, sizeof(*epoch));
    struct error err = ERROR_INIT;
    virDomainPtr dom;
    json_int_t first, second;

    conn = virConnectOpen("test:///default");
    dom = virDomainLookupByName(conn, "test");
    atomic_init(&epoch->references, 2);
    atomic_fetch_add(&watch->references, 1);
    epoch->watch = watch;

    epoch_tell(epoch, dom, EVENTS_NOT_LIFECYCLE, "guest.reboot",
               json_object()); /* before: not of this epoch */
    epoch_begin(epoch);
    epoch_tell(epoch, dom, VIR_DOMAIN_EVENT_STOPPED, "guest.stopped", json_object());
    epoch_tell(epoch, dom, VIR_DOMAIN_EVENT_UNDEFINED, "guest.undefined", json_object());
    ck_assert_ptr_null(next_within(50));
    epoch_open(epoch, json_object(),
               json_pack("[{s:s,s:s,s:s,s:b}]", "name", "test", "uuid",
                         "6695eb01-f6a4-8304-79aa-97f2502e193f", "state", "shutoff", "persistent", 1),
               &err);
    first = json_integer_value(json_object_get(expect("host.connected", NULL), "epoch"));
    expect("host.snapshot", NULL);
    ck_assert_int_eq(json_integer_value(json_object_get(expect("guest.stopped", NULL), "seq")), 3);
    expect("guest.undefined", NULL);
    check_alias("test", NULL); /* the events changed what the snapshot said, not the other way round */
    epoch_tell(epoch, dom, EVENTS_NOT_LIFECYCLE, "guest.reboot", json_object());
    epoch_tell(epoch, dom, EVENTS_NOT_LIFECYCLE, "guest.reboot", NULL); /* no memory for it */
    epoch_tell(epoch, dom, EVENTS_NOT_LIFECYCLE, "guest.reboot", json_object());
    ck_assert_int_eq(json_integer_value(json_object_get(expect("guest.reboot", NULL), "seq")), 5);
    ck_assert_int_eq(json_integer_value(json_object_get(expect("guest.reboot", NULL), "seq")), 7);
    epoch_lose(epoch, "eof");
    epoch_lose(epoch, "client");
    ck_assert_str_eq(epoch->lost, "eof");
    epoch_end(epoch, epoch->lost);
    expect("host.disconnected", "eof");
    epoch_tell(epoch, dom, EVENTS_NOT_LIFECYCLE, "guest.reboot", json_object()); /* in flight: too late */

    epoch_begin(epoch);
    epoch_tell(epoch, dom, EVENTS_NOT_LIFECYCLE, "guest.reboot", json_object());
    epoch_end(epoch, NULL); /* never open: nobody hears of it */
    epoch_begin(epoch);
    epoch_open(epoch, json_object(), json_array(), &err);
    second = json_integer_value(json_object_get(expect("host.connected", NULL), "epoch"));
    ck_assert_int_gt(second, first);
    expect("host.snapshot", NULL);
    ck_assert_ptr_null(next_within(50));
    epoch_end(epoch, "eof");
    virDomainFree(dom);
    epoch_unref(epoch);
    watch_free(watch); /* the epoch holds it, as a callback in flight would */
    epoch_unref(epoch);
    watch = NULL;
}
END_TEST

static json_int_t number(const json_t *event, const char *key)
{
    return json_integer_value(json_object_get(event, key));
}

/* What happens while there is no room, and is told by nobody. */
static void happen(void)
{
    virDomainPtr dom = define(XML("unheard"));

    virDomainUndefine(dom);
    virDomainFree(dom);
}

/* The end of the epoch that begins with `first`, and the beginning of the next; returns its first event. */
static const json_t *overflown(const json_t *first, json_int_t seq)
{
    const json_t *event = expect("host.disconnected", "overflow");

    ck_assert_int_eq(number(event, "epoch"), number(first, "epoch"));
    ck_assert_int_eq(number(event, "seq"), seq);
    event = expect("host.connected", NULL);
    ck_assert_int_gt(number(event, "epoch"), number(first, "epoch"));
    ck_assert_int_eq(number(event, "seq"), 1);
    return event;
}

START_TEST(test_ends_the_epoch_where_there_is_no_room)
{
    const json_t *first = connected();

    log_room(0);
    happen();
    ck_assert_str_eq(refused(0), "guest.defined");
    ck_assert_str_eq(refused(1), "host.disconnected"); /* again and again */
    ck_assert_str_eq(refused(2), "host.disconnected");
    happen();
    ck_assert_str_eq(refused(3), "host.disconnected");
    ck_assert_double_eq(metrics_get(METRIC_LIFECYCLE_EVENTS, "node1", "defined"), 0);
    log_room(-1);
    overflown(first, 3);
    expect("host.snapshot", NULL);
    ck_assert_double_eq(metrics_get(METRIC_HOST_UP, "node1", NULL), 1);
    happen();
    ck_assert_int_eq(number(expect("guest.defined", "added"), "seq"), 3);
    expect("guest.undefined", "removed");
}
END_TEST

START_TEST(test_asks_for_room_with_the_first_event)
{
    const json_t *first = connected();

    log_room(0);
    happen();
    refused(1);
    log_room(1);
    wait_refused("host.connected");
    ck_assert_double_eq(metrics_get(METRIC_HOST_UP, "node1", NULL), 0);
    log_room(-1);
    overflown(first, 3);
    expect("host.snapshot", NULL);
}
END_TEST

START_TEST(test_begins_again_where_the_snapshot_has_no_room)
{
    const json_t *first = connected();

    log_room(0);
    happen();
    refused(1);
    log_room(2);
    first = overflown(first, 3);
    wait_refused("host.snapshot");
    log_room(-1);
    overflown(first, 2);
    ck_assert_int_eq(number(expect("host.snapshot", NULL), "seq"), 2);
}
END_TEST

START_TEST(test_ends_without_room)
{
    connected();
    log_room(0);
    happen();
    refused(1);
    watch_stop(watch);
    log_room(-1);
    ck_assert_ptr_null(next_within(300));
}
END_TEST

START_TEST(test_tells_its_end_late_rather_than_not_at_all)
{
    const json_t *first = connected();

    log_room(0);
    happen();
    refused(1);
    log_room(1);
    watch_stop(watch);
    ck_assert_int_eq(number(expect("host.disconnected", "overflow"), "epoch"), number(first, "epoch"));
    ck_assert_ptr_null(next_within(100));
}
END_TEST

/* More than is held back while a snapshot is taken. */
START_TEST(test_tells_nothing_of_an_epoch_in_which_something_is_missing)
{
    struct epoch epoch = { .watch = watch };
    struct error err = ERROR_INIT;
    virDomainPtr dom;

    conn = virConnectOpen("test:///default");
    dom = virDomainLookupByName(conn, "test");
    epoch_begin(&epoch);
    for (int i = 0; i <= EVENTS_HELD_MAX; i++)
        epoch_tell(&epoch, dom, EVENTS_NOT_LIFECYCLE, "guest.reboot", json_object());
    ck_assert_str_eq(epoch.lost, "overflow");
    ck_assert_int_eq(epoch_open(&epoch, json_object(), json_array(), &err), 0);
    epoch_tell(&epoch, dom, EVENTS_NOT_LIFECYCLE, "guest.reboot", json_object());
    epoch_end(&epoch, epoch.lost);
    expect("host.connected", NULL);
    expect("host.snapshot", NULL);
    ck_assert_int_eq(number(expect("host.disconnected", "overflow"), "seq"), 3);
    virDomainFree(dom);
}
END_TEST

static void setup_idle(void)
{
    setup_host("test:///default");
}

static void teardown_idle(void)
{
    if (conn)
        virConnectClose(conn);
    conn = NULL;
    if (watch)
        watch_stop(watch);
    watch_free(watch);
    hypervisor_free(host);
    hypervisor_loop_stop();
    log_clear();
}

static void setup_away(void)
{
    setup_host("qemu+unix:///system?socket=/nonexistent/libvirt-sock");
}

START_TEST(test_waits_for_a_host_that_is_away)
{
    struct error err = ERROR_INIT;
    time_t start = time(NULL);

    ck_assert_int_eq(watch_start(watch, &err), 0);
    ck_assert_ptr_null(next_within(1000));
    check_alias("test", NULL);
    ck_assert_double_eq(metrics_get(METRIC_HOST_UP, "node1", NULL), 0);
    watch_stop(watch);
    ck_assert_int_lt(time(NULL) - start, 5);
    ck_assert_ptr_null(next_within(100));
}
END_TEST

START_TEST(test_names_every_number_of_libvirt)
{
    static const int last_reasons[] = { VIR_DOMAIN_NOSTATE_LAST,  VIR_DOMAIN_RUNNING_LAST,
                                        VIR_DOMAIN_BLOCKED_LAST,  VIR_DOMAIN_PAUSED_LAST,
                                        VIR_DOMAIN_SHUTDOWN_LAST, VIR_DOMAIN_SHUTOFF_LAST,
                                        VIR_DOMAIN_CRASHED_LAST,  VIR_DOMAIN_PMSUSPENDED_LAST };
    static const int last_details[] = { VIR_DOMAIN_EVENT_DEFINED_LAST,  VIR_DOMAIN_EVENT_UNDEFINED_LAST,
                                        VIR_DOMAIN_EVENT_STARTED_LAST,  VIR_DOMAIN_EVENT_SUSPENDED_LAST,
                                        VIR_DOMAIN_EVENT_RESUMED_LAST,  VIR_DOMAIN_EVENT_STOPPED_LAST,
                                        VIR_DOMAIN_EVENT_SHUTDOWN_LAST, VIR_DOMAIN_EVENT_PMSUSPENDED_LAST,
                                        VIR_DOMAIN_EVENT_CRASHED_LAST };
    static const struct {
        enum events_words words;
        int first, last;
    } lists[] = {
        { EVENTS_WATCHDOG_ACTION, 0, VIR_DOMAIN_EVENT_WATCHDOG_LAST },
        { EVENTS_IO_ERROR_ACTION, 0, VIR_DOMAIN_EVENT_IO_ERROR_LAST },
        { EVENTS_BLOCK_JOB_TYPE, 1, VIR_DOMAIN_BLOCK_JOB_TYPE_LAST },
        { EVENTS_BLOCK_JOB_STATUS, 0, VIR_DOMAIN_BLOCK_JOB_LAST },
        { EVENTS_DISK_REASON, 0, VIR_DOMAIN_EVENT_DISK_CHANGE_LAST },
        { EVENTS_TRAY_STATE, 0, VIR_DOMAIN_EVENT_TRAY_CHANGE_LAST },
        { EVENTS_AGENT_REASON, 1, VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_LAST },
        { EVENTS_METADATA_TYPE, 0, VIR_DOMAIN_METADATA_LAST },
        { EVENTS_JOB_OPERATION, 1, VIR_DOMAIN_JOB_OPERATION_LAST },
        { EVENTS_MEMORY_RECIPIENT, 0, VIR_DOMAIN_EVENT_MEMORY_FAILURE_RECIPIENT_LAST },
        { EVENTS_MEMORY_ACTION, 0, VIR_DOMAIN_EVENT_MEMORY_FAILURE_ACTION_LAST },
        { EVENTS_CLOSE_REASON, 0, VIR_CONNECT_CLOSE_REASON_LAST },
    };

    for (int state = 0; state < VIR_DOMAIN_LAST; state++) {
        ck_assert(state == VIR_DOMAIN_NOSTATE || strcmp(events_state_name(state), "unknown") != 0);
        for (int reason = 1; reason < last_reasons[state]; reason++)
            ck_assert_msg(strcmp(events_reason_name(state, reason), "unknown") != 0, "%d %d", state, reason);
    }
    for (int event = 0; event < VIR_DOMAIN_EVENT_LAST; event++) {
        ck_assert_str_ne(events_lifecycle_kind(event), "guest.unknown");
        for (int detail = 0; detail < last_details[event]; detail++)
            ck_assert_msg(strcmp(events_lifecycle_reason(event, detail), "unknown") != 0, "%d %d", event,
                          detail);
        ck_assert_str_eq(events_lifecycle_reason(event, last_details[event]), "unknown");
    }
    ck_assert_uint_eq(sizeof(lists) / sizeof(lists[0]), EVENTS_WORDS_LAST);
    for (size_t i = 0; i < EVENTS_WORDS_LAST; i++) {
        for (int number = lists[i].first; number < lists[i].last; number++)
            ck_assert_msg(strcmp(events_word(lists[i].words, number), "unknown") != 0, "%zu %d", i, number);
        ck_assert_str_eq(events_word(lists[i].words, lists[i].last), "unknown");
    }
}
END_TEST

START_TEST(test_knows_no_number_beyond)
{
    static const int beyond[] = { -1, 1000, INT32_MIN, INT32_MAX };

    ck_assert_str_eq(events_state_name(beyond[_i]), "unknown");
    ck_assert_str_eq(events_reason_name(beyond[_i], 1), "unknown");
    ck_assert_str_eq(events_reason_name(VIR_DOMAIN_RUNNING, beyond[_i]), "unknown");
    ck_assert_str_eq(events_lifecycle_kind(beyond[_i]), "guest.unknown");
    ck_assert_str_eq(events_lifecycle_reason(beyond[_i], beyond[_i]), "unknown");
    ck_assert_str_eq(events_word(EVENTS_TRAY_STATE, beyond[_i]), "unknown");
}
END_TEST

START_TEST(test_lists_its_kinds)
{
    AUTO(json) json_t *seen = json_object();
    size_t count = 0;

    for (const char *kind; (kind = watch_kind(count)); count++) {
        ck_assert_msg(strspn(kind, "abcdefghijklmnopqrstuvwxyz-.") == strlen(kind), "%s", kind);
        ck_assert_msg(strncmp(kind, "guest.", 6) == 0 || strncmp(kind, "host.", 5) == 0, "%s", kind);
        ck_assert_msg(!json_object_get(seen, kind), "%s twice", kind);
        json_object_set_new(seen, kind, json_true());
    }
    ck_assert_uint_ge(count, 25);
    ck_assert(json_object_get(seen, "guest.stopped") && json_object_get(seen, "guest.job-completed"));
}
END_TEST

/* The schema names each kind of a guest's event, and no other but the one for what is new. */
START_TEST(test_schema_names_its_kinds)
{
    struct schemas_file file;
    AUTO(json) json_t *schema = NULL;
    const json_t *kinds, *kind;
    size_t i, guests = 0;

    ck_assert_int_eq(schemas_find("event.json", &file), 0);
    schema = json_loadb(file.text, file.length, 0, NULL);
    kinds = json_object_get(json_object_get(json_object_get(schema, "$defs"), "guestEvent"), "enum");
    for (size_t n = 0; watch_kind(n); n++) {
        bool named = strncmp(watch_kind(n), "guest.", 6) != 0;

        guests += !named;
        json_array_foreach (kinds, i, kind)
            named |= strcmp(json_string_value(kind) + strlen("io.virtjob."), watch_kind(n)) == 0;
        ck_assert_msg(named, "event.json lacks %s", watch_kind(n));
    }
    ck_assert_uint_eq(json_array_size(kinds), guests + 1);
}
END_TEST

START_TEST(test_tells_paths_that_are_not_utf8)
{
    AUTO(json) json_t *clean = events_text("/images/caf\xe9.img");
    AUTO(json) json_t *utf8 = events_text("/images/caf\xc3\xa9.img");
    AUTO(json) json_t *none = events_text(NULL);

    ck_assert_str_eq(json_string_value(clean), "/images/caf?.img");
    ck_assert_str_eq(json_string_value(utf8), "/images/caf\xc3\xa9.img");
    ck_assert(json_is_null(none));
}
END_TEST

static void check_known(struct guests *guests, const char *known, const char *other)
{
    char alias[WATCH_ALIAS_SIZE] = "";

    ck_assert_int_eq(guests_alias(guests, known, alias), other ? 0 : -1);
    ck_assert_str_eq(alias, other ? other : "");
}

START_TEST(test_table_follows_the_events)
{
    struct guests *guests = guests_new();
    char name[300];

    guests_note(guests, VIR_DOMAIN_EVENT_DEFINED, "a", "u1");
    guests_note(guests, VIR_DOMAIN_EVENT_STARTED, "a", "u1");
    guests_note(guests, VIR_DOMAIN_EVENT_UNDEFINED, "a", "u1");
    check_known(guests, "a", "u1"); /* runs on as a transient guest */
    guests_note(guests, VIR_DOMAIN_EVENT_STOPPED, "a", "u1");
    check_known(guests, "a", NULL);
    check_known(guests, "u1", NULL);

    guests_note(guests, VIR_DOMAIN_EVENT_DEFINED, "b", "u2");
    guests_note(guests, VIR_DOMAIN_EVENT_STARTED, "b", "u3"); /* the undefinition of the first has not come */
    check_known(guests, "b", "u3");
    guests_note(guests, VIR_DOMAIN_EVENT_UNDEFINED, "b", "u2");
    check_known(guests, "b", "u3");

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    guests_note(guests, VIR_DOMAIN_EVENT_DEFINED, name, "u4");
    check_known(guests, "u4", NULL); /* does not fit into what the caller has */
    check_known(guests, name, "u4");
    guests_note(guests, VIR_DOMAIN_EVENT_DEFINED, "u4", "u5"); /* a guest with another's UUID for a name */
    check_known(guests, "u5", "u4");
    guests_replace(guests, NULL);
    check_known(guests, "u5", NULL);
    guests_free(guests);
}
END_TEST

static void *churn(void *opaque)
{
    char xml[512];

    for (int i = 0; i < 8; i++) {
        virDomainPtr dom;

        snprintf(xml, sizeof(xml),
                 "<domain type='test'><name>churn-%d-%d</name><memory>1024</memory>"
                 "<os><type>hvm</type></os></domain>",
                 (int)(intptr_t)opaque, i);
        dom = virDomainCreateXML(conn, xml, 0);
        ck_assert_ptr_nonnull(dom);
        virDomainDestroy(dom);
        virDomainFree(dom);
        watch_guest_alias(watch, "test", (char[WATCH_ALIAS_SIZE]){ 0 });
    }
    return NULL;
}

START_TEST(test_leaves_no_gap_under_load)
{
    pthread_t threads[4];
    json_int_t seq = json_integer_value(json_object_get(connected(), "seq"));

    for (intptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, churn, (void *)i);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(json_integer_value(json_object_get(next_within(20000), "seq")), ++seq);
    ck_assert_ptr_null(next_within(100));
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("events");
    TCase *told = tcase_create("told"), *order = tcase_create("order"), *away = tcase_create("away");
    TCase *words = tcase_create("words");

    tcase_set_timeout(told, 60);
    tcase_add_checked_fixture(told, setup, teardown);
    tcase_add_test(told, test_begins_with_a_snapshot);
    tcase_add_test(told, test_tells_a_whole_life);
    tcase_add_test(told, test_knows_names_and_uuids);
    tcase_add_test(told, test_forgets_transient_guests);
    tcase_add_test(told, test_ends_when_stopped);
    tcase_add_test(told, test_reports_state_honestly);
    tcase_add_test(told, test_leaves_no_gap_under_load);
    tcase_add_test(told, test_ends_the_epoch_where_there_is_no_room);
    tcase_add_test(told, test_asks_for_room_with_the_first_event);
    tcase_add_test(told, test_begins_again_where_the_snapshot_has_no_room);
    tcase_add_test(told, test_ends_without_room);
    tcase_add_test(told, test_tells_its_end_late_rather_than_not_at_all);
    suite_add_tcase(all, told);
    tcase_add_checked_fixture(order, setup_idle, teardown_idle);
    tcase_add_test(order, test_holds_events_until_the_snapshot_is_out);
    tcase_add_test(order, test_tells_nothing_of_an_epoch_in_which_something_is_missing);
    suite_add_tcase(all, order);
    tcase_set_timeout(away, 30);
    tcase_add_checked_fixture(away, setup_away, teardown_idle);
    tcase_add_test(away, test_waits_for_a_host_that_is_away);
    suite_add_tcase(all, away);
    tcase_add_test(words, test_names_every_number_of_libvirt);
    tcase_add_loop_test(words, test_knows_no_number_beyond, 0, 4);
    tcase_add_test(words, test_lists_its_kinds);
    tcase_add_test(words, test_schema_names_its_kinds);
    tcase_add_test(words, test_tells_paths_that_are_not_utf8);
    tcase_add_test(words, test_table_follows_the_events);
    suite_add_tcase(all, words);
    return all;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
