/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Errors as values: what they say, and that they can always be told in JSON. */

#include "error.h"

#include <check.h>
#include <string.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "cleanup.h"

static void ignore_error(void *opaque, virErrorPtr error)
{
    (void)opaque, (void)error;
}

START_TEST(every_code_has_a_name_and_a_text)
{
    for (int code = 0; code < ERROR_LAST; code++) {
        ck_assert(*error_name(code) != '\0');
        ck_assert(*error_text(code) != '\0');
        for (int other = 0; other < code; other++)
            ck_assert_str_ne(error_name(code), error_name(other));
    }
    ck_assert_str_eq(error_name(ERROR_LAST), "internal");
}
END_TEST

START_TEST(the_first_place_of_a_fault_stays)
{
    struct error err = ERROR_INIT;

    ck_assert_int_eq(error_set_at(&err, ERROR_INVALID, "/params/a", "%s", "no"), -1);
    error_locate(&err, "/params");
    ck_assert_str_eq(err.where, "/params/a");
    ck_assert_int_eq(error_set(NULL, ERROR_INVALID, "no"), -1);
}
END_TEST

/* Each length of a name puts the end of the buffer elsewhere in a character. */
START_TEST(a_message_is_cut_between_characters)
{
    char name[1024] = "", *end = name;

    for (int i = 0; i < 255; i++)
        end = stpcpy(end, "\xe6\xbc\xa2");
    for (int shift = 0; shift < 4; shift++) {
        struct error err = ERROR_INIT;

        error_set_at(&err, ERROR_NOT_FOUND, name, "%.*s%s", shift, "xxx", name);
        AUTO(json) json_t *json = error_to_json(&err);
        ck_assert_msg(json != NULL, "cut after %d", shift);
    }
}
END_TEST

START_TEST(what_is_no_utf8_is_replaced)
{
    static const char *const bad[] = {
        "\xff",        "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe6\xbc", "\xe0\x80\xaf\xbf",
        "\xf0\x9f\x98"
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct error err = ERROR_INIT;

        error_set(&err, ERROR_INTERNAL, "a%sb", bad[i]);
        AUTO(json) json_t *json = error_to_json(&err);
        ck_assert(json != NULL);
        ck_assert_int_eq(err.message[0], 'a');
        ck_assert_int_eq(err.message[1], '?');
        ck_assert_int_eq(err.message[strlen(err.message) - 1], 'b');
    }
}
END_TEST

START_TEST(good_utf8_stays)
{
    struct error err = ERROR_INIT;

    error_set(&err, ERROR_INTERNAL, "%s",
              "a \xc3\xa4 \xe6\xbc\xa2 \xf0\x9f\x98\x80 \xed\x9f\xbf \xf4\x8f\xbf\xbf");
    ck_assert_str_eq(err.message, "a \xc3\xa4 \xe6\xbc\xa2 \xf0\x9f\x98\x80 \xed\x9f\xbf \xf4\x8f\xbf\xbf");
}
END_TEST

START_TEST(a_message_is_one_line)
{
    struct error err = ERROR_INIT;

    error_set(&err, ERROR_INTERNAL, "%s", "first\nsecond\n\n ");
    ck_assert_str_eq(err.message, "first second");
}
END_TEST

START_TEST(what_lasts_is_not_tried_again)
{
    struct error err = ERROR_INIT;

    error_set(&err, ERROR_BUSY, "a lock");
    ck_assert(error_is_transient(&err));
    ck_assert_int_eq(error_set_lasting(&err), -1);
    ck_assert(!error_is_transient(&err));
    error_set(&err, ERROR_BUSY, "another");
    ck_assert(error_is_transient(&err));
}
END_TEST

/* Asking for a name forgets libvirt's last error: the message must not. */
START_TEST(the_words_of_libvirt_outlive_the_arguments)
{
    virConnectPtr conn = virConnectOpen("test:///default");
    virDomainPtr dom = virDomainLookupByName(conn, "test");
    struct error err = ERROR_INIT;

    ck_assert(virDomainLookupByName(conn, "absent") == NULL);
    error_set_libvirt(&err, "beside '%s'", virDomainGetName(dom));
    ck_assert_int_eq(err.code, ERROR_NOT_FOUND);
    ck_assert_int_eq(err.libvirt_code, VIR_ERR_NO_DOMAIN);
    ck_assert(strstr(err.message, "beside 'test': Domain not found") == err.message);
    virDomainFree(dom);
    virConnectClose(conn);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("error");
    TCase *tcase = tcase_create("error");
    SRunner *runner = srunner_create(suite);
    int failed;

    virSetErrorFunc(NULL, ignore_error);
    tcase_add_test(tcase, every_code_has_a_name_and_a_text);
    tcase_add_test(tcase, the_first_place_of_a_fault_stays);
    tcase_add_test(tcase, a_message_is_cut_between_characters);
    tcase_add_test(tcase, what_is_no_utf8_is_replaced);
    tcase_add_test(tcase, good_utf8_stays);
    tcase_add_test(tcase, a_message_is_one_line);
    tcase_add_test(tcase, what_lasts_is_not_tried_again);
    tcase_add_test(tcase, the_words_of_libvirt_outlive_the_arguments);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
