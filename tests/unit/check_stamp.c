/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Stamps as values and as text, and libvirt's test driver, which keeps none; what is kept is in integration/volume-stamp. */

#include <check.h>
#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "cleanup.h"
#include "stamp_internal.h"
#include "xml.h"

#define JOB  "5f0c5a5e-0c7b-4a86-93f5-0f6f4a7f3f0e"
#define POOL "default-pool"

static struct stamp example(enum stamp_state state)
{
    struct stamp stamp = {
        .state = state, .part = true, .time_ms = 1234567890123, .capacity = UINT64_C(1) << 60
    };

    snprintf(stamp.job, sizeof(stamp.job), "%s", JOB);
    snprintf(stamp.type, sizeof(stamp.type), "%s", "guest.provision");
    stamp.result = json_pack("{s:s}", "method", "full");
    return stamp;
}

START_TEST(test_comes_back_from_its_text)
{
    AUTO(stamp) struct stamp stamp = example(_i ? STAMP_DONE : STAMP_INTENDED);
    AUTO(stamp) struct stamp back = { .state = STAMP_NONE };
    AUTO(string) char *text = stamp_to_text(&stamp, NULL);

    stamp_from_text(text, strlen(text), &back);
    ck_assert_int_eq(back.state, stamp.state);
    ck_assert_str_eq(back.job, stamp.job);
    ck_assert_str_eq(back.type, stamp.type);
    ck_assert(back.part);
    ck_assert_int_eq(back.time_ms, stamp.time_ms);
    ck_assert_uint_eq(back.capacity, stamp.capacity);
    ck_assert(json_equal(back.result, stamp.result));
}
END_TEST

START_TEST(test_is_dated_when_it_is_written)
{
    AUTO(stamp) struct stamp stamp = example(STAMP_INTENDED);
    AUTO(stamp) struct stamp back = { .state = STAMP_NONE };

    ck_assert_int_gt(stamp_age_ms(&stamp), 1000);
    stamp.time_ms = 0;
    ck_assert_int_eq(stamp_age_ms(&stamp), INT64_MAX);
    AUTO(string) char *text = stamp_to_text(&stamp, NULL);
    stamp_from_text(text, strlen(text), &back);
    ck_assert_int_lt(stamp_age_ms(&back), 60000);
    back.time_ms = INT64_MAX; /* by a clock that is ahead */
    ck_assert_int_eq(stamp_age_ms(&back), 0);
    back.time_ms = INT64_MIN;
    ck_assert_int_eq(stamp_age_ms(&back), INT64_MAX);
}
END_TEST

static const char *const no_stamps[] = {
    "",
    "{",
    "null",
    "{}",
    "{\"job\":\"" JOB "\",\"type\":\"t\"}",
    "{\"job\":\"" JOB "\",\"type\":\"t\",\"state\":\"none\"}",
    "{\"job\":\"" JOB "\",\"type\":\"\",\"state\":\"done\"}",
    "{\"job\":1,\"type\":\"t\",\"state\":\"done\"}",
    "{\"job\":\"" JOB "0\",\"type\":\"t\",\"state\":\"done\"}",
    "{\"job\":\"" JOB "\",\"type\":\"t\",\"state\":\"done\"} x",
};

START_TEST(test_is_blank_where_it_is_none)
{
    AUTO(stamp) struct stamp stamp = { .state = STAMP_NONE };

    stamp_from_text(no_stamps[_i], strlen(no_stamps[_i]), &stamp);
    ck_assert_int_eq(stamp.state, STAMP_BLANK);
    ck_assert_str_eq(stamp.job, "");
    ck_assert(!stamp_is_of(&stamp, ""));
}
END_TEST

START_TEST(test_is_of_one_job)
{
    AUTO(stamp) struct stamp stamp = example(STAMP_DONE);

    ck_assert(stamp_is_of(&stamp, JOB));
    ck_assert(!stamp_is_of(&stamp, "5f0c5a5e-0c7b-4a86-93f5-0f6f4a7f3f0f"));
    stamp_done(&stamp);
    ck_assert(!stamp_is_of(&stamp, ""));
}
END_TEST

START_TEST(test_knows_the_names_of_records)
{
    ck_assert(stamp_is_record("a.virtjob"));
    ck_assert(stamp_is_record(".virtjob"));
    ck_assert(!stamp_is_record("virtjob"));
    ck_assert(!stamp_is_record("a.virtjob.qcow2"));
    ck_assert(!stamp_is_record(""));
}
END_TEST

static void be_quiet(void *opaque, virErrorPtr said)
{
    (void)opaque;
    (void)said;
}

START_TEST(test_a_driver_that_cannot_write_keeps_none)
{
    AUTO(connect) virConnectPtr conn = virConnectOpen("test:///default");
    AUTO(pool) virStoragePoolPtr pool = virStoragePoolLookupByName(conn, POOL);
    AUTO(stamp) struct stamp stamp = example(STAMP_INTENDED);
    AUTO(stamp) struct stamp back = { .state = STAMP_NONE };
    struct error err = ERROR_INIT;
    bool kept = true;

    virSetErrorFunc(NULL, be_quiet);
    ck_assert_msg(stamp_intend_volume(pool, "a", &stamp, &kept, &err) == 0, "%s", err.message);
    ck_assert(!kept);
    ck_assert_int_eq(virStoragePoolNumOfVolumes(pool), 0);
    ck_assert_int_eq(stamp_read_volume(pool, "a", &back, &err), 0);
    ck_assert_int_eq(back.state, STAMP_NONE);
    ck_assert_int_eq(stamp_finish_volume(pool, "a", &err), 0);
    ck_assert_int_eq(stamp_clear_volume(pool, "a", JOB, &err), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stamp");
    TCase *tcase = tcase_create("stamp");
    SRunner *runner = srunner_create(suite);
    int failed;

    xml_init();
    tcase_add_loop_test(tcase, test_comes_back_from_its_text, 0, 2);
    tcase_add_test(tcase, test_is_dated_when_it_is_written);
    tcase_add_loop_test(tcase, test_is_blank_where_it_is_none, 0, sizeof(no_stamps) / sizeof(*no_stamps));
    tcase_add_test(tcase, test_is_of_one_job);
    tcase_add_test(tcase, test_knows_the_names_of_records);
    tcase_add_test(tcase, test_a_driver_that_cannot_write_keeps_none);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
