/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the command line draws: columns that line up at any width, text that cannot steer the terminal. */

#include <check.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "bars.h"
#include "screen.h"
#include "text.h"

static const struct terminal plain = { .live = true, .unicode = false, .width = 100, .height = 24 };

static struct bars_row row_copying(void)
{
    struct bars_row row = {
        .label = "5f0c5a5e", .type = "volume.clone", .phase = "copying", .unit = "bytes"
    };

    row.running = true;
    row.percent = 42.7;
    row.done = 1288490189; /* 1.2 GiB */
    row.total = 3221225472;
    row.rate = 120.0 * 1024 * 1024;
    row.eta_s = 15;
    return row;
}

static struct bars_row row_waiting(void)
{
    struct bars_row row = { .label = "00aa11bb", .type = "guest.info", .phase = "waiting" };

    row.percent = row.rate = -1;
    row.eta_s = -1;
    return row;
}

/* Both rows, laid out for a terminal of that width. */
static void draw(int width, char first[static BARS_LINE_SIZE], char second[static BARS_LINE_SIZE])
{
    const struct bars_row copying = row_copying(), waiting = row_waiting();
    const struct bars_row *rows[] = { &copying, &waiting };
    struct terminal terminal = plain;
    struct bars_layout layout = { 0 };

    terminal.width = width;
    bars_arrange(&layout, rows, 2, &terminal);
    bars_line(&layout, &copying, &terminal, first);
    bars_line(&layout, &waiting, &terminal, second);
}

START_TEST(wide_terminal_shows_every_column)
{
    char one[BARS_LINE_SIZE], two[BARS_LINE_SIZE];

    draw(140, one, two);
    ck_assert_str_eq(one, "5f0c5a5e volume.clone copying #################----------------------- 42% "
                          "1.2 GiB/3.0 GiB 120 MiB/s eta 0:15");
    ck_assert_str_eq(two, "00aa11bb guest.info   waiting");
}
END_TEST

START_TEST(columns_line_up)
{
    char one[BARS_LINE_SIZE], two[BARS_LINE_SIZE];

    for (int width = 60; width < 140; width++) {
        draw(width, one, two);
        ck_assert_ptr_nonnull(strstr(one, "volume.clone"));
        ck_assert_int_eq(strstr(one, "volume.clone") - one, strstr(two, "guest.info") - two);
    }
}
END_TEST

START_TEST(no_line_is_as_wide_as_the_terminal)
{
    char one[BARS_LINE_SIZE], two[BARS_LINE_SIZE];

    for (int width = 2; width < 300; width++) {
        draw(width, one, two);
        ck_assert_int_lt(text_width(one), width > 8 ? width : 9);
        ck_assert_int_lt(text_width(two), width > 8 ? width : 9);
    }
}
END_TEST

START_TEST(narrow_terminal_keeps_label_and_percent)
{
    char one[BARS_LINE_SIZE], two[BARS_LINE_SIZE];

    draw(16, one, two);
    ck_assert_str_eq(one, "5f0c5a5e 42%");
    draw(39, one, two);
    ck_assert_ptr_nonnull(strstr(one, "5f0c5a5e"));
    ck_assert_ptr_nonnull(strstr(one, "42%"));
    ck_assert_ptr_nonnull(strstr(one, "#"));
}
END_TEST

START_TEST(full_only_when_all_is_done)
{
    struct bars_row row = row_copying();
    struct bars_layout layout = { 0 };
    const struct bars_row *rows[] = { &row };
    char line[BARS_LINE_SIZE];

    row.percent = 99.9;
    bars_arrange(&layout, rows, 1, &plain);
    ck_assert_ptr_nonnull(strstr(bars_line(&layout, &row, &plain, line), " 99%"));
    ck_assert_ptr_nonnull(strstr(line, "#-"));
    row.percent = 100;
    bars_arrange(&layout, rows, 1, &plain);
    ck_assert_ptr_nonnull(strstr(bars_line(&layout, &row, &plain, line), "100%"));
    ck_assert_ptr_null(strstr(line, "#-"));
}
END_TEST

START_TEST(columns_never_get_narrower)
{
    struct bars_row row = row_copying();
    struct bars_layout layout = { 0 };
    const struct bars_row *rows[] = { &row };

    bars_arrange(&layout, rows, 1, &plain);
    int before = layout.width[BARS_AMOUNT];
    row.done = 1;
    bars_arrange(&layout, rows, 1, &plain);
    ck_assert_int_eq(layout.width[BARS_AMOUNT], before);
}
END_TEST

START_TEST(words_for_a_pipe)
{
    struct bars_row row = row_copying();
    char line[BARS_LINE_SIZE];

    ck_assert_str_eq(bars_words(&row, line), "copying 42% 1.2 GiB/3.0 GiB 120 MiB/s eta 0:15");
    row.stalled = true;
    row.eta_s = -1;
    row.elapsed_ms = 65000;
    ck_assert_str_eq(bars_words(&row, line), "stalled 42% 1.2 GiB/3.0 GiB 120 MiB/s 1:05");
}
END_TEST

START_TEST(lateness_is_told_in_words)
{
    struct bars_row row = row_copying();
    char out[BARS_LINE_SIZE];

    row.late_s = 40;
    ck_assert_str_eq(bars_words(&row, out), "copying 42% 1.2 GiB/3.0 GiB 120 MiB/s eta 0:15; "
                                            "will miss its deadline by 40 s");
}
END_TEST

START_TEST(detail_comes_last_and_gives_way_first)
{
    struct bars_row row = row_copying();
    struct terminal terminal = plain;
    const struct bars_row *rows[] = { &row };
    char out[BARS_LINE_SIZE];

    strcpy(row.detail, "pass 3, downtime 340 ms/300 ms, raise-downtime");
    ck_assert_str_eq(bars_words(&row, out), "copying 42% 1.2 GiB/3.0 GiB 120 MiB/s eta 0:15; "
                                            "pass 3, downtime 340 ms/300 ms, raise-downtime");
    for (terminal.width = 90; terminal.width <= 160; terminal.width += 70) {
        struct bars_layout layout = { 0 };
        bars_arrange(&layout, rows, 1, &terminal);
        bars_line(&layout, &row, &terminal, out);
        ck_assert_ptr_nonnull(strstr(out, "1.2 GiB/3.0 GiB 120 MiB/s eta 0:15"));
        ck_assert_int_eq(strstr(out, "eta 0:15 pass 3, downtime 340 ms/300 ms, raise-downtime") != NULL,
                         terminal.width == 160);
    }
}
END_TEST

START_TEST(stopping_hides_the_phase)
{
    struct bars_row row = row_copying();
    const struct bars_row *rows[] = { &row };
    struct bars_layout layout = { 0 };
    char out[BARS_LINE_SIZE];

    row.stopping = row.stalled = true;
    bars_arrange(&layout, rows, 1, &plain);
    bars_line(&layout, &row, &plain, out);
    ck_assert_ptr_nonnull(strstr(out, "volume.clone stopping #"));
}
END_TEST

START_TEST(colors_and_unicode_take_no_columns)
{
    struct terminal terminal = { .live = true, .color = true, .unicode = true, .width = 80, .height = 24 };
    struct bars_row row = row_copying();
    struct bars_layout layout = { 0 };
    const struct bars_row *rows[] = { &row };
    char line[BARS_LINE_SIZE];

    bars_arrange(&layout, rows, 1, &terminal);
    bars_line(&layout, &row, &terminal, line);
    ck_assert_ptr_nonnull(strstr(line, "\033[32m\u2501"));
    ck_assert_ptr_nonnull(strstr(line, "\033[0m"));
    ck_assert_ptr_null(strchr(line, '#'));
}
END_TEST

START_TEST(text_cannot_steer_the_terminal)
{
    char out[256];

    ck_assert_str_eq(text_escape(true, "a\033[2Jb\r\n\a\x7f", out, sizeof(out)),
                     "a\\x1b[2Jb\\x0d\\x0a\\x07\\x7f");
    ck_assert_str_eq(text_escape(true,
                                 "\xc2\x9b"
                                 "31m",
                                 out, sizeof(out)),
                     "\\u009b31m");
    ck_assert_str_eq(text_escape(true, "x\u202egnp\u200b", out, sizeof(out)), "x\\u202egnp\\u200b");
    ck_assert_str_eq(text_escape(true, "\xff\xc3(\xe2\x82", out, sizeof(out)), "\\xff\\xc3(\\xe2\\x82");
    ck_assert_str_eq(text_escape(true, "\xc0\xaf\xed\xa0\x80", out, sizeof(out)),
                     "\\xc0\\xaf\\xed\\xa0\\x80");
    ck_assert_str_eq(text_escape(true, "gr\u00fc\u00df \u4e2d", out, sizeof(out)), "gr\u00fc\u00df \u4e2d");
    ck_assert_str_eq(text_escape(false, "gr\u00fc", out, sizeof(out)), "gr\\u00fc");
    ck_assert_str_eq(text_escape_lines(true, "a\nb\tc", out, sizeof(out)), "a\nb\\x09c");
    ck_assert_str_eq(text_escape(true, NULL, out, sizeof(out)), "");
}
END_TEST

START_TEST(escape_is_cut_between_characters)
{
    char out[6];

    ck_assert_str_eq(text_escape(true, "abc\033", out, sizeof(out)), "abc");
    ck_assert_str_eq(text_escape(true, "abcd\u00fc", out, sizeof(out)), "abcd");
}
END_TEST

START_TEST(fit_counts_columns)
{
    char out[64];

    ck_assert_str_eq(text_fit(true, "ab", 4, false, out, sizeof(out)), "ab  ");
    ck_assert_str_eq(text_fit(true, "ab", 4, true, out, sizeof(out)), "  ab");
    ck_assert_str_eq(text_fit(true, "abcdef", 4, false, out, sizeof(out)), "abc\u2026");
    ck_assert_str_eq(text_fit(false, "abcdef", 4, false, out, sizeof(out)), "abc.");
    ck_assert_str_eq(text_fit(true, "\u4e2d\u6587\u5b57", 4, false, out, sizeof(out)), "\u4e2d\u2026 ");
    ck_assert_str_eq(text_fit(true, "ab", 0, false, out, sizeof(out)), "");
    ck_assert_int_eq(text_width("\u4e2d\u6587x"), 5);
}
END_TEST

START_TEST(amounts_and_times)
{
    char out[32];

    ck_assert_str_eq(text_bytes(0, out, sizeof(out)), "0 B");
    ck_assert_str_eq(text_bytes(1023, out, sizeof(out)), "1.0 KiB");
    ck_assert_str_eq(text_bytes(1.5 * (1 << 30), out, sizeof(out)), "1.5 GiB");
    ck_assert_str_eq(text_bytes(17 * 1024, out, sizeof(out)), "17 KiB");
    ck_assert_str_eq(text_bytes(1e30, out, sizeof(out)) + strlen(out) - 3, "EiB");
    ck_assert_str_eq(text_duration(340, out, sizeof(out)), "340 ms");
    ck_assert_str_eq(text_duration(12345, out, sizeof(out)), "12 s");
    ck_assert_str_eq(text_duration(65000, out, sizeof(out)), "1:05 min");
    ck_assert_str_eq(text_duration(-1, out, sizeof(out)), "0 ms");
    ck_assert_str_eq(text_clock(7384, out, sizeof(out)), "2:03:04");
    ck_assert_str_eq(text_age(-1, out, sizeof(out)), "0 s");
    ck_assert_str_eq(text_age(119, out, sizeof(out)), "119 s");
    ck_assert_str_eq(text_age(120, out, sizeof(out)), "2 min");
    ck_assert_str_eq(text_age(7199, out, sizeof(out)), "119 min");
    ck_assert_str_eq(text_age(3 * 86400 + 5, out, sizeof(out)), "3 d");
}
END_TEST

START_TEST(near_words)
{
    ck_assert_uint_eq(text_distance("submit", "submit"), 0);
    ck_assert_uint_eq(text_distance("", "abc"), 3);
    ck_assert_uint_eq(text_distance("sumbit", "submit"), 1);
    ck_assert(text_is_near("subnit", "submit"));
    ck_assert(text_is_near("vol", "volume.clone"));
    ck_assert(!text_is_near("run", "watch"));
}
END_TEST

/* What the screen writes for one drawing. */
static char *screen_writes(struct screen *screen, const struct terminal *terminal, const char *said,
                           char *const *lines, size_t count)
{
    char *text = NULL;
    size_t size = 0;

    screen->out = open_memstream(&text, &size);
    ck_assert_int_eq(screen_draw(screen, terminal, said, lines, count), 0);
    fclose(screen->out);
    return text;
}

START_TEST(live_lines_are_written_over)
{
    struct screen screen = { 0 };
    char *lines[] = { (char *)"one", (char *)"\033[32mtwo\033[0m" };
    char *text = screen_writes(&screen, &plain, "", lines, 2);

    ck_assert_str_eq(text, "\rone\033[K\n\033[32mtwo\033[0m\033[K\n\033[J");
    free(text);
    text = screen_writes(&screen, &plain, "said\n", lines, 1);
    ck_assert_str_eq(text, "\r\033[2A\033[Jsaid\none\033[K\n\033[J");
    free(text);
}
END_TEST

START_TEST(lines_broken_by_a_narrower_terminal_count)
{
    struct terminal terminal = plain;
    struct screen screen = { 0 };
    char *lines[] = { (char *)"0123456789abcdef", (char *)"\033[32mxy\033[0m" };

    free(screen_writes(&screen, &terminal, "", lines, 2));
    terminal.width = 10;
    char *text = screen_writes(&screen, &terminal, "", lines, 0);
    ck_assert_str_eq(text, "\r\033[3A\033[J");
    free(text);
}
END_TEST

static Suite *bars_suite(void)
{
    Suite *suite = suite_create("bars");
    TCase *layout = tcase_create("layout"), *text = tcase_create("text"), *screen = tcase_create("screen");

    tcase_add_test(layout, wide_terminal_shows_every_column);
    tcase_add_test(layout, columns_line_up);
    tcase_add_test(layout, no_line_is_as_wide_as_the_terminal);
    tcase_add_test(layout, narrow_terminal_keeps_label_and_percent);
    tcase_add_test(layout, full_only_when_all_is_done);
    tcase_add_test(layout, columns_never_get_narrower);
    tcase_add_test(layout, words_for_a_pipe);
    tcase_add_test(layout, lateness_is_told_in_words);
    tcase_add_test(layout, detail_comes_last_and_gives_way_first);
    tcase_add_test(layout, stopping_hides_the_phase);
    tcase_add_test(layout, colors_and_unicode_take_no_columns);
    tcase_add_test(text, text_cannot_steer_the_terminal);
    tcase_add_test(text, escape_is_cut_between_characters);
    tcase_add_test(text, fit_counts_columns);
    tcase_add_test(text, amounts_and_times);
    tcase_add_test(text, near_words);
    tcase_add_test(screen, live_lines_are_written_over);
    tcase_add_test(screen, lines_broken_by_a_narrower_terminal_count);
    suite_add_tcase(suite, layout);
    suite_add_tcase(suite, text);
    suite_add_tcase(suite, screen);
    return suite;
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    SRunner *runner = srunner_create(bars_suite());
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
