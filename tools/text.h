/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Text for a person at a terminal: nothing from the network may steer the terminal, and columns must line up.
 *
 * `unicode` says that the locale is UTF-8 (setlocale LC_CTYPE has been called); otherwise all that comes out is ASCII.
 * Results are always terminated, cut where they do not fit, never inside a character. */

#ifndef VIRTJOB_TEXT_H
#define VIRTJOB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies `in` with every control character, line break, byte that is not UTF-8, and invisible or direction-changing
 * character as \x1b, \u202e. Returns `out`. NULL is "". */
char *text_escape(bool unicode, const char *in, char *out, size_t size);

/* The same for text of several lines: line feeds stay. */
char *text_escape_lines(bool unicode, const char *in, char *out, size_t size);

/* How many columns the (escaped) text takes. */
int text_width(const char *text);

/* `text` in exactly `width` columns: filled up with blanks, or cut with an ellipsis. Returns `out`. */
char *text_fit(bool unicode, const char *text, int width, bool right, char *out, size_t size);

/* "0 B", "17 KiB", "1.5 GiB". Returns `out`, at least 16 bytes. */
char *text_bytes(double bytes, char *out, size_t size);

/* "340 ms", "2.1 s", "12 s", "1:05 min", "2:03:04 h". Returns `out`, at least 24 bytes. */
char *text_duration(int64_t ms, char *out, size_t size);

/* A time to look at while it runs: "0:03", "1:05", "2:03:04". Returns `out`, at least 24 bytes. */
char *text_clock(int64_t s, char *out, size_t size);

/* How long ago, in one unit and never less than two of a larger one: "40 s", "90 s", "5 min", "3 d". Returns `out`, at
 * least 32 bytes. */
char *text_age(int64_t s, char *out, size_t size);

/* How many characters to change, add, drop or swap (neighbours) to get from one word to the other; SIZE_MAX for words
 * above 64 bytes. For "did you mean". */
size_t text_distance(const char *one, const char *other);

/* Whether `word` is so close to `wanted` that it may be meant. */
bool text_is_near(const char *wanted, const char *word);

#endif
