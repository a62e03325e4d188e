/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What is found and judged, and what is removed, as far as libvirt's test driver goes: it has guests and their
 * metadata, but no records of volumes. Those are in integration/orphans-*. */

#include "job_fixture.h"

#include <time.h>
#include <unistd.h>

#include "janitor.h"
#include "metrics.h"
#include "orphans_internal.h"
#include "stamp.h"

#define JOB       "11111111-2222-3333-4444-555555555555"
#define OTHER_JOB "66666666-7777-8888-9999-aaaaaaaaaaaa"
#define HOUR      3600

/* The verdicts. */

static const struct verdict_row {
    const char *what;
    struct orphan orphan;
    struct orphan_facts facts;
    enum orphan_verdict verdict;
} verdict_rows[] = {
#define VOLUME(...)                                                                                          \
    {                                                                                                        \
        .kind = ORPHAN_VOLUME, .capacity = 7, .age_s = HOUR, .stamp = { __VA_ARGS__ }                        \
    }
#define YOUNG(...)                                                                                           \
    {                                                                                                        \
        .kind = ORPHAN_VOLUME, .capacity = 7, .age_s = HOUR - 1, .stamp = { __VA_ARGS__ }                    \
    }
#define RECORD(...)                                                                                          \
    {                                                                                                        \
        .kind = ORPHAN_RECORD, .age_s = HOUR, .stamp = { __VA_ARGS__ }                                       \
    }
#define GUEST(...)                                                                                           \
    {                                                                                                        \
        .kind = ORPHAN_GUEST, .age_s = HOUR, .stamp = { __VA_ARGS__ }                                        \
    }
#define THERE(...)                                                                                           \
    {                                                                                                        \
        .min_age_s = HOUR, .target = true, __VA_ARGS__                                                       \
    }
#define GONE(...)                                                                                            \
    {                                                                                                        \
        .min_age_s = HOUR, __VA_ARGS__                                                                       \
    }
    { "begun and left", VOLUME(.state = STAMP_INTENDED, .capacity = 7), THERE(), ORPHAN_ABANDONED },
    { "of no known capacity", VOLUME(.state = STAMP_INTENDED), THERE(), ORPHAN_ABANDONED },
    { "being allocated", VOLUME(.state = STAMP_INTENDED), THERE(.at_work = true), ORPHAN_IN_WORK },
    { "young and being allocated", YOUNG(.state = STAMP_INTENDED), THERE(.at_work = true), ORPHAN_IN_WORK },
    { "young", YOUNG(.state = STAMP_INTENDED), THERE(), ORPHAN_YOUNG },
    { "young and done", YOUNG(.state = STAMP_DONE), THERE(), ORPHAN_YOUNG },
    { "young and not begun", { .kind = ORPHAN_RECORD, .stamp.state = STAMP_INTENDED }, GONE(), ORPHAN_YOUNG },
    { "of an unknown age",
      { .kind = ORPHAN_VOLUME, .age_s = -1, .stamp.state = STAMP_INTENDED },
      THERE(),
      ORPHAN_YOUNG },
    { "rounded up",
      { .kind = ORPHAN_VOLUME,
        .capacity = 1024,
        .age_s = HOUR,
        .stamp = { .state = STAMP_INTENDED, .capacity = 1000 } },
      THERE(),
      ORPHAN_ABANDONED },
    { "begun only just",
      { .kind = ORPHAN_VOLUME, .age_s = HOUR, .stamp = { .state = STAMP_INTENDED, .capacity = 1000 } },
      THERE(),
      ORPHAN_ABANDONED },
    { "another's by now", VOLUME(.state = STAMP_INTENDED, .capacity = 8), THERE(), ORPHAN_UNCLEAR },
    { "there before the record", VOLUME(.state = STAMP_INTENDED), THERE(.late = true), ORPHAN_STALE },
    { "taken into use", VOLUME(.state = STAMP_INTENDED), THERE(.use = USE_OTHERS), ORPHAN_UNCLEAR },
    { "perhaps in use", VOLUME(.state = STAMP_INTENDED), THERE(.use = USE_MAYBE), ORPHAN_UNCLEAR },
    { "of its own unfinished guest", VOLUME(.state = STAMP_INTENDED), THERE(.use = USE_SAME_JOB),
      ORPHAN_ABANDONED },
    { "gone", RECORD(.state = STAMP_INTENDED), GONE(), ORPHAN_STALE },
    { "gone after it was done", RECORD(.state = STAMP_DONE, .part = true), GONE(), ORPHAN_STALE },
    { "done", VOLUME(.state = STAMP_DONE), THERE(), ORPHAN_STALE },
    { "done and resized since", VOLUME(.state = STAMP_DONE, .capacity = 8), THERE(), ORPHAN_STALE },
    { "part of a guest", VOLUME(.state = STAMP_DONE, .part = true), THERE(.use = USE_OTHERS), ORPHAN_STALE },
    { "part of nothing", VOLUME(.state = STAMP_DONE, .part = true), THERE(), ORPHAN_ABANDONED },
    { "part of an unfinished guest", VOLUME(.state = STAMP_DONE, .part = true), THERE(.use = USE_SAME_JOB),
      ORPHAN_ABANDONED },
    { "part of perhaps a guest", VOLUME(.state = STAMP_DONE, .part = true), THERE(.use = USE_MAYBE),
      ORPHAN_UNCLEAR },
    { "part of nothing, resized", VOLUME(.state = STAMP_DONE, .part = true, .capacity = 8), THERE(),
      ORPHAN_UNCLEAR },
    { "a record never written", VOLUME(.state = STAMP_BLANK), THERE(.empty = true), ORPHAN_STALE },
    { "a record never written, alone", RECORD(.state = STAMP_BLANK), GONE(.empty = true), ORPHAN_STALE },
    { "a record not written yet", YOUNG(.state = STAMP_BLANK), THERE(.empty = true), ORPHAN_YOUNG },
    { "a file that is no record", RECORD(.state = STAMP_BLANK), GONE(), ORPHAN_UNCLEAR },
    { "an empty file of an unknown age",
      { .kind = ORPHAN_RECORD, .age_s = -1, .stamp.state = STAMP_BLANK },
      GONE(.empty = true),
      ORPHAN_UNCLEAR },
    { "a guest begun and left", GUEST(.state = STAMP_INTENDED), THERE(), ORPHAN_ABANDONED },
    { "a guest that was there before", GUEST(.state = STAMP_INTENDED, .replaced = true), THERE(),
      ORPHAN_STALE },
    { "a guest at work", GUEST(.state = STAMP_INTENDED), THERE(.at_work = true), ORPHAN_IN_WORK },
};

START_TEST(the_facts_decide)
{
    const struct verdict_row *row = &verdict_rows[_i];
    struct orphan orphan = row->orphan;

    orphan_judge(&orphan, &row->facts);
    ck_assert_msg(orphan.verdict == row->verdict, "%s: %s (%s), not %s", row->what,
                  orphan_verdict_name(orphan.verdict), orphan.why, orphan_verdict_name(row->verdict));
    ck_assert_ptr_nonnull(orphan.why);
}
END_TEST

START_TEST(a_copy_that_was_to_grow_has_the_capacity_of_its_source)
{
    AUTO(json) json_t *result = json_pack("{s:i}", "source_capacity", 7000);
    struct orphan copy = { .kind = ORPHAN_VOLUME,
                           .capacity = 7000,
                           .age_s = HOUR,
                           .stamp = { .state = STAMP_INTENDED, .capacity = 9000, .result = result } };
    const struct orphan_facts facts = { .target = true };

    orphan_judge(&copy, &facts);
    ck_assert_int_eq(copy.verdict, ORPHAN_ABANDONED);
    copy.capacity = 9000 * 2;
    orphan_judge(&copy, &facts);
    ck_assert_int_eq(copy.verdict, ORPHAN_UNCLEAR);
}
END_TEST

/* Finds of one job, or two. */

static void find(struct orphan *orphan, enum orphan_kind kind, const char *name, const char *job,
                 enum orphan_verdict verdict)
{
    *orphan = (struct orphan){
        .kind = kind, .name = (char *)name, .verdict = verdict, .stamp.state = STAMP_INTENDED
    };
    snprintf(orphan->stamp.job, sizeof(orphan->stamp.job), "%s", job);
}

static enum orphan_verdict verdict_of(const struct orphans *orphans, const char *name)
{
    for (size_t i = 0; i < orphans->count; i++)
        if (strcmp(orphans->items[i].name, name) == 0)
            return orphans->items[i].verdict;
    ck_abort_msg("no '%s'", name);
}

START_TEST(a_job_under_way_protects_all_that_it_made)
{
    struct orphan items[4];
    struct orphans orphans = { .items = items, .count = 4 };

    find(&items[0], ORPHAN_VOLUME, "old part", JOB, ORPHAN_ABANDONED);
    find(&items[1], ORPHAN_VOLUME, "copied now", JOB, ORPHAN_IN_WORK);
    find(&items[2], ORPHAN_RECORD, "old record", JOB, ORPHAN_STALE);
    find(&items[3], ORPHAN_VOLUME, "of another", OTHER_JOB, ORPHAN_ABANDONED);
    orphans_settle(&orphans);
    ck_assert_int_eq(verdict_of(&orphans, "old part"), ORPHAN_IN_WORK);
    ck_assert_int_eq(verdict_of(&orphans, "old record"), ORPHAN_IN_WORK);
    ck_assert_int_eq(verdict_of(&orphans, "of another"), ORPHAN_ABANDONED);
    ck_assert_str_eq(orphans.items[0].name, "of another");
}
END_TEST

START_TEST(blank_records_have_nothing_to_do_with_one_another)
{
    struct orphan items[2];
    struct orphans orphans = { .items = items, .count = 2 };

    find(&items[0], ORPHAN_RECORD, "young", "", ORPHAN_YOUNG);
    find(&items[1], ORPHAN_RECORD, "stale", "", ORPHAN_STALE);
    orphans_settle(&orphans);
    ck_assert_int_eq(verdict_of(&orphans, "stale"), ORPHAN_STALE);
}
END_TEST

START_TEST(two_guests_with_one_stamp_are_unclear)
{
    struct orphan items[3];
    struct orphans orphans = { .items = items, .count = 3 };

    find(&items[0], ORPHAN_GUEST, "original", JOB, ORPHAN_ABANDONED);
    find(&items[1], ORPHAN_GUEST, "copy", JOB, ORPHAN_ABANDONED);
    find(&items[2], ORPHAN_GUEST, "of another", OTHER_JOB, ORPHAN_ABANDONED);
    orphans_settle(&orphans);
    ck_assert_int_eq(verdict_of(&orphans, "original"), ORPHAN_UNCLEAR);
    ck_assert_int_eq(verdict_of(&orphans, "copy"), ORPHAN_UNCLEAR);
    ck_assert_int_eq(verdict_of(&orphans, "of another"), ORPHAN_ABANDONED);
}
END_TEST

START_TEST(what_nobody_could_look_at_may_be_of_the_same_job)
{
    AUTO(json) json_t *unseen = json_pack("[{s:s}]", "pool", "broken");
    struct orphan items[2];
    struct orphans orphans = { .items = items, .count = 2, .unseen = unseen };

    find(&items[0], ORPHAN_VOLUME, "part", JOB, ORPHAN_ABANDONED);
    find(&items[1], ORPHAN_VOLUME, "all that there is", OTHER_JOB, ORPHAN_ABANDONED);
    items[0].stamp.part = true;
    orphans_settle(&orphans);
    ck_assert_int_eq(verdict_of(&orphans, "part"), ORPHAN_UNCLEAR);
    ck_assert_int_eq(verdict_of(&orphans, "all that there is"), ORPHAN_ABANDONED);
}
END_TEST

START_TEST(guests_go_before_their_volumes)
{
    struct orphan items[2];
    struct orphans orphans = { .items = items, .count = 2 };

    find(&items[0], ORPHAN_VOLUME, "a", JOB, ORPHAN_ABANDONED);
    find(&items[1], ORPHAN_GUEST, "b", JOB, ORPHAN_ABANDONED);
    orphans_settle(&orphans);
    ck_assert_str_eq(orphans.items[0].name, "b");
}
END_TEST

/* Guests. */

static int64_t hours_ago_ms(int hours)
{
    return envelope_now_ms() - (int64_t)hours * HOUR * 1000;
}

/* A guest with a stamp of that age, and what is `inside` of its devices. */
static void have_guest(const char *name, const char *job, enum stamp_state state, int hours, bool replaced,
                       const char *inside)
{
    struct stamp stamp = { .state = state, .type = "guest.define", .replaced = replaced };
    AUTO(string) char *text = NULL;
    AUTO(string) char *xml = NULL;
    AUTO(xml_doc) xmlDocPtr doc = NULL;

    snprintf(stamp.job, sizeof(stamp.job), "%s", job);
    stamp.time_ms = hours_ago_ms(hours);
    ck_assert(
        asprintf(&text,
                 "<domain type='test'><name>%s</name><memory unit='MiB'>8</memory><os><type>hvm</type></os>"
                 "<devices>%s</devices></domain>",
                 name, inside) > 0);
    ck_assert((doc = xml_parse(text, "domain", NULL, NULL)) != NULL);
    ck_assert_int_eq(stamp_put_guest(doc, &stamp, NULL), 0);
    ck_assert((xml = xml_text(doc, NULL)) != NULL);
    AUTO(domain) virDomainPtr dom = virDomainDefineXML(fixture_conn, xml);
    ck_assert_msg(dom != NULL, "%s", virGetLastErrorMessage());
}

static virDomainPtr guest_named(const char *name)
{
    return virDomainLookupByName(fixture_conn, name);
}

static bool guest_exists(const char *name)
{
    AUTO(domain) virDomainPtr dom = guest_named(name);

    return dom != NULL;
}

static enum stamp_state guest_state(const char *name)
{
    AUTO(domain) virDomainPtr dom = guest_named(name);
    AUTO(stamp) struct stamp stamp = { 0 };

    ck_assert(dom != NULL);
    ck_assert_int_eq(stamp_read_guest(dom, &stamp, NULL), 0);
    return stamp.state;
}

static void start_guest(const char *name)
{
    AUTO(domain) virDomainPtr dom = guest_named(name);

    ck_assert_int_eq(virDomainCreate(dom), 0);
}

/* The find of that guest in the last result; NULL where there is none. */
static const json_t *found(const char *guest)
{
    const json_t *entry;
    size_t i;

    json_array_foreach (json_object_get(fixture_outcome.result, "orphans"), i, entry) {
        const char *name = json_string_value(json_object_get(entry, "guest"));
        if (name && strcmp(name, guest) == 0)
            return entry;
    }
    return NULL;
}

static const char *verdict_on(const char *guest)
{
    return fixture_string(found(guest), "verdict");
}

START_TEST(a_guest_that_nobody_finished_is_an_orphan)
{
    have_guest("left", JOB, STAMP_INTENDED, 2, false, "");
    have_guest("young", OTHER_JOB, STAMP_INTENDED, 0, false, "");
    have_guest("whole", FIXTURE_JOB_ID, STAMP_DONE, 2, false, "");
    fixture_succeed("host.orphans", "{}");
    ck_assert_str_eq(verdict_on("left"), "orphan");
    ck_assert_str_eq(verdict_on("young"), "young");
    ck_assert_ptr_null(found("whole"));
    ck_assert_ptr_null(found("test"));
    const json_t *stamp = json_object_get(found("left"), "stamp");
    ck_assert_str_eq(fixture_string(stamp, "job"), JOB);
    ck_assert_int_eq(json_integer_value(json_object_get(stamp, "age_s")) / HOUR, 2);
    ck_assert(!fixture_outcome.changed);
}
END_TEST

START_TEST(a_clock_ahead_of_ours_makes_nothing_older)
{
    have_guest("from tomorrow", JOB, STAMP_INTENDED, -24, false, "");
    fixture_succeed("host.orphans", "{}");
    ck_assert_str_eq(verdict_on("from tomorrow"), "young");
    ck_assert_int_eq(
        json_integer_value(json_object_get(json_object_get(found("from tomorrow"), "stamp"), "age_s")), 0);
}
END_TEST

START_TEST(looking_changes_nothing)
{
    have_guest("left", JOB, STAMP_INTENDED, 2, false, "");
    fixture_succeed("host.orphans", "{}");
    ck_assert(guest_exists("left"));
    ck_assert_ptr_null(json_object_get(found("left"), "reaped"));
    ck_assert_int_eq(json_integer_value(json_object_get(fixture_outcome.result, "reapable")), 1);
}
END_TEST

START_TEST(reaping_removes_orphans_and_nothing_else)
{
    have_guest("left", JOB, STAMP_INTENDED, 2, false, "");
    have_guest("young", OTHER_JOB, STAMP_INTENDED, 0, false, "");
    have_guest("whole", FIXTURE_JOB_ID, STAMP_DONE, 2, false, "");
    start_guest("left");
    fixture_succeed("host.orphans", "{s:b}", "reap", 1);
    ck_assert(fixture_outcome.changed);
    ck_assert(!guest_exists("left"));
    ck_assert(guest_exists("young") && guest_exists("whole") && guest_exists("test"));
    ck_assert(json_is_true(json_object_get(found("left"), "reaped")));
    fixture_succeed("host.orphans", "{s:b}", "reap", 1);
    ck_assert(!fixture_outcome.changed);
}
END_TEST

START_TEST(a_guest_that_was_there_before_is_only_finished)
{
    have_guest("replaced", JOB, STAMP_INTENDED, 2, true, "");
    fixture_succeed("host.orphans", "{s:b}", "reap", 1);
    ck_assert_str_eq(verdict_on("replaced"), "stale");
    ck_assert(guest_exists("replaced"));
    ck_assert_int_eq(guest_state("replaced"), STAMP_DONE);
}
END_TEST

START_TEST(more_than_the_limit_is_neither_told_nor_reaped)
{
    have_guest("left", JOB, STAMP_INTENDED, 2, false, "");
    have_guest("left too", OTHER_JOB, STAMP_INTENDED, 2, false, "");
    fixture_succeed("host.orphans", "{s:b, s:i}", "reap", 1, "limit", 1);
    ck_assert(json_is_true(json_object_get(fixture_outcome.result, "truncated")));
    ck_assert_int_eq(json_integer_value(json_object_get(fixture_outcome.result, "reapable")), 2);
    ck_assert(!guest_exists("left") && guest_exists("left too"));
}
END_TEST

START_TEST(what_was_taken_up_meanwhile_is_not_reaped)
{
    const struct orphans_settings settings = { .min_age_s = HOUR };
    AUTO(orphans) struct orphans orphans = { 0 };
    struct error err = ERROR_INIT;

    have_guest("left", JOB, STAMP_INTENDED, 2, false, "");
    ck_assert_int_eq(orphans_find(fixture_conn, &settings, &orphans, &err), 0);
    AUTO(domain) virDomainPtr dom = guest_named("left");
    ck_assert_int_eq(stamp_finish_guest(dom, JOB, &err), 0);
    ck_assert_int_eq(orphan_reap(fixture_conn, &orphans.items[0], &err), -1);
    ck_assert_int_eq(err.code, ERROR_BUSY);
    ck_assert(guest_exists("left"));
}
END_TEST

START_TEST(what_has_gone_meanwhile_is_reaped)
{
    const struct orphans_settings settings = { .min_age_s = HOUR };
    AUTO(orphans) struct orphans orphans = { 0 };

    have_guest("left", JOB, STAMP_INTENDED, 2, false, "");
    ck_assert_int_eq(orphans_find(fixture_conn, &settings, &orphans, NULL), 0);
    AUTO(domain) virDomainPtr dom = guest_named("left");
    ck_assert_int_eq(virDomainUndefine(dom), 0);
    ck_assert_int_eq(orphan_reap(fixture_conn, &orphans.items[0], NULL), 0);
}
END_TEST

static int stop_at_once(void *opaque, struct error *err)
{
    return error_set(err, ERROR_CANCELLED, "%s", (const char *)opaque);
}

START_TEST(a_look_can_be_ended)
{
    const struct orphans_settings settings = { .safe_point = stop_at_once, .opaque = "enough" };
    AUTO(orphans) struct orphans orphans = { 0 };
    struct error err = ERROR_INIT;

    ck_assert_int_eq(orphans_find(fixture_conn, &settings, &orphans, &err), -1);
    ck_assert_str_eq(err.message, "enough");
}
END_TEST

/* Disks. */

#define FILE_DISK(path, dev) "<disk type='file'><source file='" path "'/><target dev='" dev "'/></disk>"

static enum orphan_use use_of(const char *path, const char *pool, const char *name, const char *job)
{
    const struct orphans_settings settings = { .min_age_s = HOUR };
    AUTO(orphans) struct orphans guests = { 0 };
    AUTO(uses) struct uses *uses = uses_read(fixture_conn, NULL);
    struct orphan volume = { .kind = ORPHAN_VOLUME, .pool = (char *)pool, .name = (char *)name };
    char uuid[VIR_UUID_STRING_BUFLEN];

    ck_assert(uses != NULL);
    snprintf(volume.stamp.job, sizeof(volume.stamp.job), "%s", job);
    ck_assert_int_eq(orphans_find(fixture_conn, &settings, &guests, NULL), 0);
    return uses_find(uses, path, &volume, &guests, uuid);
}

START_TEST(a_disk_is_found_however_its_path_is_spelt)
{
    have_guest("user", JOB, STAMP_DONE, 2, false, FILE_DISK("/pool//a/./b/../x.img", "vda"));
    ck_assert_int_eq(use_of("/pool/a/x.img", "p", "x.img", OTHER_JOB), USE_OTHERS);
    ck_assert_int_eq(use_of("/pool/a/y.img", "p", "y.img", OTHER_JOB), USE_NONE);
}
END_TEST

START_TEST(a_disk_is_found_by_pool_and_volume)
{
    have_guest("user", JOB, STAMP_DONE, 2, false,
               "<disk type='volume'><source pool='p' volume='x.img'/><target dev='vda'/></disk>");
    ck_assert_int_eq(use_of("/pool/x.img", "p", "x.img", OTHER_JOB), USE_OTHERS);
    ck_assert_int_eq(use_of("/pool/x.img", "q", "x.img", OTHER_JOB), USE_NONE);
}
END_TEST

START_TEST(a_backing_file_is_in_use)
{
    have_guest("user", JOB, STAMP_DONE, 2, false,
               "<disk type='file'><driver name='qemu' type='qcow2'/><source file='/pool/top.img'/>"
               "<backingStore type='file'><format type='raw'/><source file='/pool/base.img'/></backingStore>"
               "<target dev='vda'/></disk>");
    ck_assert_int_eq(use_of("/pool/base.img", "p", "base.img", OTHER_JOB), USE_OTHERS);
}
END_TEST

START_TEST(a_file_of_that_name_elsewhere_may_be_the_same)
{
    have_guest("user", JOB, STAMP_DONE, 2, false, FILE_DISK("/link/x.img", "vda"));
    ck_assert_int_eq(use_of("/pool/x.img", "p", "x.img", OTHER_JOB), USE_MAYBE);
}
END_TEST

START_TEST(the_unfinished_guest_of_a_job_does_not_save_its_volumes)
{
    have_guest("left", JOB, STAMP_INTENDED, 2, false, FILE_DISK("/pool/x.img", "vda"));
    ck_assert_int_eq(use_of("/pool/x.img", "p", "x.img", JOB), USE_SAME_JOB);
    ck_assert_int_eq(use_of("/pool/x.img", "p", "x.img", OTHER_JOB), USE_OTHERS);
    have_guest("other user", FIXTURE_JOB_ID, STAMP_DONE, 2, false, FILE_DISK("/pool/x.img", "vda"));
    ck_assert_int_eq(use_of("/pool/x.img", "p", "x.img", JOB), USE_OTHERS);
}
END_TEST

/* The janitor. */

static struct janitor *janitor_on_fixture(int interval_s)
{
    const struct janitor_settings settings = {
        .hosts = &fixture_hypervisor, .host_count = 1, .interval_s = interval_s, .age_s = HOUR
    };
    struct janitor *janitor = janitor_new(&settings, NULL);

    ck_assert(janitor != NULL);
    ck_assert_int_eq(janitor_start(janitor, NULL), 0);
    return janitor;
}

static void janitor_end(struct janitor *janitor)
{
    ck_assert_int_eq(janitor_stop(janitor, 10000), 0);
    janitor_free(janitor);
}

/* The test's own time limit ends a wait that is in vain. */
static void await_orphans(double count)
{
    while (metrics_get(METRIC_ORPHANS, "node1", NULL) != count)
        usleep(10000);
}

START_TEST(the_janitor_counts_orphans_and_leaves_them)
{
    have_guest("left", JOB, STAMP_INTENDED, 2, false, "");
    struct janitor *janitor = janitor_on_fixture(1);

    await_orphans(1);
    ck_assert(guest_exists("left"));
    AUTO(domain) virDomainPtr dom = guest_named("left");
    ck_assert_int_eq(virDomainUndefine(dom), 0);
    await_orphans(0);
    janitor_end(janitor);
}
END_TEST

START_TEST(the_janitor_clears_what_is_stale)
{
    have_guest("replaced", JOB, STAMP_INTENDED, 2, true, "");
    have_guest("replaced lately", FIXTURE_JOB_ID, STAMP_INTENDED, 0, true, "");
    struct janitor *janitor = janitor_on_fixture(1);

    while (guest_state("replaced") != STAMP_DONE)
        usleep(10000);
    ck_assert_int_eq(guest_state("replaced lately"), STAMP_INTENDED);
    janitor_end(janitor);
}
END_TEST

START_TEST(the_first_look_of_the_janitor_only_counts)
{
    have_guest("replaced", JOB, STAMP_INTENDED, 2, true, "");
    have_guest("left", OTHER_JOB, STAMP_INTENDED, 2, false, "");
    struct janitor *janitor = janitor_on_fixture(24 * HOUR);

    await_orphans(1);
    janitor_end(janitor);
    ck_assert_int_eq(guest_state("replaced"), STAMP_INTENDED);
}
END_TEST

START_TEST(a_janitor_without_an_interval_never_looks)
{
    const struct janitor_settings settings = { .hosts = &fixture_hypervisor, .host_count = 1 };
    struct janitor *janitor = janitor_new(&settings, NULL);

    ck_assert_int_eq(janitor_start(janitor, NULL), 0);
    ck_assert_int_eq(janitor_stop(janitor, 0), 0);
    janitor_free(janitor);
}
END_TEST

static Suite *verdict_suite(void)
{
    Suite *suite = suite_create("verdicts");
    TCase *tests = tcase_create("verdicts");

    tcase_add_loop_test(tests, the_facts_decide, 0, sizeof(verdict_rows) / sizeof(verdict_rows[0]));
    tcase_add_test(tests, a_copy_that_was_to_grow_has_the_capacity_of_its_source);
    tcase_add_test(tests, a_job_under_way_protects_all_that_it_made);
    tcase_add_test(tests, blank_records_have_nothing_to_do_with_one_another);
    tcase_add_test(tests, two_guests_with_one_stamp_are_unclear);
    tcase_add_test(tests, what_nobody_could_look_at_may_be_of_the_same_job);
    tcase_add_test(tests, guests_go_before_their_volumes);
    suite_add_tcase(suite, tests);
    return suite;
}

int main(void)
{
    const TTest *const on_a_host[] = { a_guest_that_nobody_finished_is_an_orphan,
                                       a_clock_ahead_of_ours_makes_nothing_older,
                                       looking_changes_nothing,
                                       reaping_removes_orphans_and_nothing_else,
                                       a_guest_that_was_there_before_is_only_finished,
                                       more_than_the_limit_is_neither_told_nor_reaped,
                                       what_was_taken_up_meanwhile_is_not_reaped,
                                       what_has_gone_meanwhile_is_reaped,
                                       a_look_can_be_ended,
                                       a_disk_is_found_however_its_path_is_spelt,
                                       a_disk_is_found_by_pool_and_volume,
                                       a_backing_file_is_in_use,
                                       a_file_of_that_name_elsewhere_may_be_the_same,
                                       the_unfinished_guest_of_a_job_does_not_save_its_volumes,
                                       the_janitor_counts_orphans_and_leaves_them,
                                       the_janitor_clears_what_is_stale,
                                       the_first_look_of_the_janitor_only_counts,
                                       a_janitor_without_an_interval_never_looks,
                                       NULL };
    SRunner *runner = srunner_create(verdict_suite());

    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return fixture_main("orphans", fixture_setup, on_a_host) || failed;
}
