/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.managed-save and guest.managed-save-remove on the test driver, whose guest "test" runs. It has no statistics, so
 * nothing is ever seen at work. */

#include "job_fixture.h"

static virDomainPtr guest(void)
{
    virDomainPtr dom = virDomainLookupByName(fixture_conn, "test");

    ck_assert(dom != NULL);
    return dom;
}

static bool is_active(void)
{
    AUTO(domain) virDomainPtr dom = guest();

    return virDomainIsActive(dom) == 1;
}

static bool has_image(void)
{
    AUTO(domain) virDomainPtr dom = guest();

    return virDomainHasManagedSaveImage(dom, 0) == 1;
}

static const json_t *save(void)
{
    return fixture_succeed("guest.managed-save", "{s:s}", "guest", "test");
}

START_TEST(a_running_guest_is_saved)
{
    const json_t *saved = save();

    ck_assert_str_eq(fixture_string(saved, "state"), "shutoff");
    ck_assert_str_eq(fixture_string(saved, "reason"), "saved");
    ck_assert(fixture_outcome.changed);
    ck_assert(!fixture_outcome.adopted);
    ck_assert(!is_active());
    ck_assert(has_image());
}
END_TEST

START_TEST(a_saved_guest_is_left_as_it_is)
{
    save();
    save();
    ck_assert(!fixture_outcome.changed);
    ck_assert(!fixture_outcome.adopted);
    ck_assert(has_image());
}
END_TEST

START_TEST(a_guest_that_an_earlier_attempt_has_saved_is_taken_over)
{
    save();
    fixture_again = true;
    save();
    ck_assert(fixture_outcome.adopted);
    ck_assert(has_image());
}
END_TEST

START_TEST(an_attempt_that_had_no_effect_is_made_again)
{
    fixture_again = true;
    save();
    ck_assert(fixture_outcome.changed);
    ck_assert(!fixture_outcome.adopted);
    ck_assert(has_image());
}
END_TEST

START_TEST(a_guest_that_is_off_cannot_be_saved)
{
    fixture_succeed("guest.destroy", "{s:s}", "guest", "test");
    fixture_fail(ERROR_CONFLICT, "/params/guest", "guest.managed-save", "{s:s}", "guest", "test");
    fixture_again = true;
    fixture_fail(ERROR_CONFLICT, "/params/guest", "guest.managed-save", "{s:s}", "guest", "test");
    fixture_again = false;
    fixture_fail(ERROR_NOT_FOUND, "/params/guest", "guest.managed-save", "{s:s}", "guest", "absent");
}
END_TEST

START_TEST(a_transient_guest_has_nowhere_to_be_saved)
{
    AUTO(domain) virDomainPtr dom = guest();

    ck_assert_int_eq(virDomainUndefine(dom), 0);
    fixture_fail(ERROR_UNSUPPORTED, "/params/guest", "guest.managed-save", "{s:s}", "guest", "test");
    ck_assert(is_active());
}
END_TEST

START_TEST(a_cancelled_job_saves_nothing)
{
    fixture_cancelled = true;
    fixture_fail(ERROR_CANCELLED, NULL, "guest.managed-save", "{s:s}", "guest", "test");
    fixture_again = true;
    fixture_fail(ERROR_CANCELLED, NULL, "guest.managed-save", "{s:s}", "guest", "test");
    ck_assert(is_active());
    ck_assert(!has_image());
}
END_TEST

/* The order to cancel came while an earlier attempt was at it: that it was too late has to be found out. */
START_TEST(a_cancelled_job_may_have_saved_already)
{
    save();
    fixture_again = fixture_cancelled = true;
    save();
    ck_assert(fixture_outcome.adopted);
    ck_assert(has_image());
}
END_TEST

START_TEST(what_an_attempt_may_have_left_is_undone)
{
    const json_t *undone;

    fixture_again = fixture_cancelled = true;
    undone = fixture_fail(ERROR_CANCELLED, NULL, "guest.managed-save", "{s:s}", "guest", "test")->rollback;
    ck_assert_uint_eq(json_array_size(undone), 1);
    ck_assert_str_eq(fixture_string(json_array_get(undone, 0), "undo"), "remove managed save image");
    ck_assert(json_is_true(json_object_get(json_array_get(undone, 0), "ok")));
    ck_assert(is_active());
}
END_TEST

START_TEST(what_was_saved_is_removed_once)
{
    const json_t *removed;

    save();
    removed = fixture_succeed("guest.managed-save-remove", "{s:s}", "guest", "test");
    ck_assert_str_eq(fixture_string(removed, "state"), "shutoff");
    ck_assert(fixture_outcome.changed);
    ck_assert(!has_image());
    fixture_succeed("guest.managed-save-remove", "{s:s}", "guest", "test");
    ck_assert(!fixture_outcome.changed);
}
END_TEST

START_TEST(what_is_not_there_cannot_be_forgotten)
{
    fixture_fail(ERROR_NOT_FOUND, "/params/guest", "guest.managed-save-remove", "{s:s}", "guest", "absent");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = { a_running_guest_is_saved,
                                   a_saved_guest_is_left_as_it_is,
                                   a_guest_that_an_earlier_attempt_has_saved_is_taken_over,
                                   an_attempt_that_had_no_effect_is_made_again,
                                   a_guest_that_is_off_cannot_be_saved,
                                   a_transient_guest_has_nowhere_to_be_saved,
                                   a_cancelled_job_saves_nothing,
                                   a_cancelled_job_may_have_saved_already,
                                   what_an_attempt_may_have_left_is_undone,
                                   what_was_saved_is_removed_once,
                                   what_is_not_there_cannot_be_forgotten,
                                   NULL };

    return fixture_main("managed_save", fixture_setup, tests);
}
