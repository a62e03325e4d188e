/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What a terminal, a journal and a collector get, also of hostile values and of lines that are too long. */

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "log.h"

static FILE *captured;
static char text[1 << 20];

static void capture(void)
{
    captured = tmpfile();
    dup2(fileno(captured), STDERR_FILENO);
    unsetenv("JOURNAL_STREAM");
}

/* All that was written so far. */
static const char *written(void)
{
    rewind(captured);
    text[fread(text, 1, sizeof(text) - 1, captured)] = '\0';
    return text;
}

/* The line behind the time: "2026-11-20T12:00:00.123Z ". */
static const char *written_after_time(void)
{
    const char *line = written();
    int year, milliseconds, length = 0;

    ck_assert_int_eq(sscanf(line, "%4d-%*2d-%*2dT%*2d:%*2d:%*2d.%3dZ%n", &year, &milliseconds, &length), 2);
    ck_assert_int_eq(length, 24);
    ck_assert_int_ge(year, 2020);
    return line + 25;
}

START_TEST(text_line_has_time_level_area_message_and_fields)
{
    log_init(LOG_LEVEL_INFO, false);
    log_info("dispatcher", "job started", "job", "5f0c", "host", NULL, "type", "volume.clone", NULL);
    ck_assert_str_eq(written_after_time(), "info  dispatcher: job started job=5f0c type=volume.clone\n");
}
END_TEST

START_TEST(levels_below_the_threshold_are_silent)
{
    log_init(LOG_LEVEL_WARNING, false);
    log_info("a", "no", NULL);
    log_debug("a", "no", NULL);
    ck_assert_str_eq(written(), "");
    log_error("a", "yes", NULL);
    log_warning("a", "yes", NULL);
    ck_assert_ptr_nonnull(strstr(written(), "error a: yes\n"));
    ck_assert_ptr_nonnull(strstr(written(), "warning a: yes\n"));
    ck_assert(log_enabled(LOG_LEVEL_ERROR) && !log_enabled(LOG_LEVEL_INFO));
}
END_TEST

START_TEST(level_names_are_read)
{
    enum log_level level = LOG_LEVEL_INFO;

    ck_assert_int_eq(log_level_parse("debug", &level), 0);
    ck_assert_int_eq(level, LOG_LEVEL_DEBUG);
    ck_assert_int_eq(log_level_parse("loud", &level), -1);
    ck_assert_int_eq(level, LOG_LEVEL_DEBUG);
}
END_TEST

START_TEST(text_values_cannot_forge_a_line_or_field)
{
    log_init(LOG_LEVEL_INFO, false);
    log_info("a", "m\n2", "k", "a b", "q", "say \"x\\\"", "n", "one\ntwo", "e", "", "c", "\x1b[2J\x7f", "u",
             "gr\xc3\xbc\xc3\x9f", "bad", "\xff\xc2", "c1", "\xc2\x9b", "eq", "x=y", NULL);
    ck_assert_str_eq(written_after_time(),
                     "info  a: m\\n2 k=\"a b\" q=\"say \\\"x\\\\\\\"\" n=one\\ntwo e=\"\" c=\\x1b[2J\\x7f "
                     "u=gr\xc3\xbc\xc3\x9f bad=\\xff\\xc2 c1=\\x9b eq=\"x=y\"\n");
}
END_TEST

START_TEST(json_line_is_one_object)
{
    json_t *line;

    log_init(LOG_LEVEL_INFO, true);
    log_warning("link", "lost \"it\"", "why", "a\\b\n\x01 \xff \xc2\x9b gr\xc3\xbc\xc3\x9f", "none", NULL,
                NULL);
    line = json_loads(written(), 0, NULL);
    ck_assert_ptr_nonnull(line);
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
    ck_assert_uint_eq(json_object_size(line), 5);
    ck_assert_uint_eq(json_string_length(json_object_get(line, "time")), 24);
    ck_assert_str_eq(json_string_value(json_object_get(line, "level")), "warning");
    ck_assert_str_eq(json_string_value(json_object_get(line, "area")), "link");
    ck_assert_str_eq(json_string_value(json_object_get(line, "message")), "lost \"it\"");
    ck_assert_str_eq(json_string_value(json_object_get(line, "why")),
                     "a\\b\n\x01 \xef\xbf\xbd \xc2\x9b gr\xc3\xbc\xc3\x9f");
    json_decref(line);
}
END_TEST

/* Every length around the limit, in every form. */
START_TEST(long_lines_are_cut_and_stay_whole)
{
    static char value[PIPE_BUF + 200];
    json_t *line;

    for (size_t length = PIPE_BUF - 250; length < sizeof(value); length++) {
        memset(value, length % 3 ? 'x' : '\n', length);
        value[length] = '\0';
        if (ftruncate(fileno(captured), 0) < 0 || lseek(STDERR_FILENO, 0, SEEK_SET) < 0)
            ck_abort();
        log_init(LOG_LEVEL_INFO, _i);
        log_info("a", "m", "before", "some thing", "k", value, "after", "other thing", NULL);
        size_t size = strlen(written());
        ck_assert_uint_le(size, PIPE_BUF);
        ck_assert_ptr_eq(strchr(text, '\n'), text + size - 1);
        if (!_i)
            continue;
        line = json_loads(text, 0, NULL);
        ck_assert_ptr_nonnull(line);
        ck_assert_int_eq(json_is_true(json_object_get(line, "cut")), !json_object_get(line, "after"));
        json_decref(line);
    }
    ck_assert_ptr_nonnull(strstr(text, _i ? "\"cut\":true}\n" : "...\n"));
}
END_TEST

START_TEST(journal_gets_the_priority_and_no_time)
{
    struct stat status;
    char stream[64];

    fstat(STDERR_FILENO, &status);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_init(LOG_LEVEL_INFO, false);
    log_error("a", "m", "k", "v", NULL);
    ck_assert_str_eq(written(), "<3>a: m k=v\n");
}
END_TEST

START_TEST(journal_of_another_stream_is_not_ours)
{
    setenv("JOURNAL_STREAM", "1:1", 1);
    log_init(LOG_LEVEL_INFO, false);
    log_error("a", "m", NULL);
    ck_assert_str_eq(written_after_time(), "error a: m\n");
}
END_TEST

START_TEST(errno_survives)
{
    close(STDERR_FILENO);
    errno = ENOSPC;
    log_error("a", "m", NULL);
    ck_assert_int_eq(errno, ENOSPC);
}
END_TEST

static void *log_much(void *unused)
{
    for (int i = 0; i < 500; i++)
        log_info("thread", "line", "k", "0123456789", NULL);
    return unused;
}

START_TEST(threads_do_not_mix_their_lines)
{
    pthread_t threads[4];
    int lines = 0;

    fcntl(STDERR_FILENO, F_SETFL, O_APPEND);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, log_much, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    written();
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        *end = '\0';
        ck_assert_str_eq(line + 25, "info  thread: line k=0123456789");
    }
    ck_assert_int_eq(lines, 2000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tcase = tcase_create("all");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, capture, NULL);
    tcase_add_test(tcase, text_line_has_time_level_area_message_and_fields);
    tcase_add_test(tcase, levels_below_the_threshold_are_silent);
    tcase_add_test(tcase, level_names_are_read);
    tcase_add_test(tcase, text_values_cannot_forge_a_line_or_field);
    tcase_add_test(tcase, json_line_is_one_object);
    tcase_add_loop_test(tcase, long_lines_are_cut_and_stay_whole, 0, 2);
    tcase_add_test(tcase, journal_gets_the_priority_and_no_time);
    tcase_add_test(tcase, journal_of_another_stream_is_not_ours);
    tcase_add_test(tcase, errno_survives);
    tcase_add_test(tcase, threads_do_not_mix_their_lines);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
