/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* UTF-8 is decoded by hand, so that a broken byte is shown, not the end of the text. */

#include "text.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>

/* One character from `in`: its bytes are returned, 0 where they are no UTF-8 (overlong forms and surrogates too). */
static size_t text_decode(const char *in, uint32_t *ret_code)
{
    const unsigned char *byte = (const unsigned char *)in;
    size_t length = byte[0] < 0x80 ? 1 : byte[0] >= 0xf0 ? 4 : byte[0] >= 0xe0 ? 3 : 2;
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    uint32_t code = length == 1 ? byte[0] : byte[0] & (0xffu >> (length + 1));

    if ((byte[0] & 0xc0) == 0x80 || byte[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (byte[i] & 0x3f);
    }
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 0;
    *ret_code = code;
    return length;
}

/* Printable and visible: not a control, not a mark of direction, not of zero width (which hides in names). */
static bool text_is_visible(bool unicode, uint32_t code)
{
    if (code < 0x80)
        return code >= 0x20 && code != 0x7f;
    return unicode && code >= 0xa0 && wcwidth((wchar_t)code) > 0;
}

/* What stands for the character at `in`; returns the bytes consumed. */
static size_t text_escape_one(bool unicode, bool lines, const char *in, char *out, size_t size)
{
    uint32_t code;
    size_t length = text_decode(in, &code);

    if (length == 0) {
        snprintf(out, size, "\\x%02x", (unsigned char)in[0]);
        return 1;
    }
    if (text_is_visible(unicode, code) || (lines && code == '\n'))
        snprintf(out, size, "%.*s", (int)length, in);
    else
        snprintf(out, size, code < 0x80 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%06x", code);
    return length;
}

static char *text_escape_into(bool unicode, bool lines, const char *in, char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    while (in && *in) {
        char piece[16];
        in += text_escape_one(unicode, lines, in, piece, sizeof(piece));
        size_t length = strlen(piece);
        if (used + length >= size)
            break;
        memcpy(out + used, piece, length + 1);
        used += length;
    }
    return out;
}

char *text_escape(bool unicode, const char *in, char *out, size_t size)
{
    return text_escape_into(unicode, false, in, out, size);
}

char *text_escape_lines(bool unicode, const char *in, char *out, size_t size)
{
    return text_escape_into(unicode, true, in, out, size);
}

/* The character at `text` and how many columns it takes; one for what the locale does not know. */
static size_t text_step(const char *text, int *ret_columns)
{
    uint32_t code;
    size_t length = text_decode(text, &code);
    int columns = length ? wcwidth((wchar_t)code) : 1;

    *ret_columns = columns < 0 ? 1 : columns;
    return length ? length : 1;
}

int text_width(const char *text)
{
    int width = 0, columns;

    while (*text) {
        text += text_step(text, &columns);
        width += columns;
    }
    return width;
}

/* The bytes of `text` that fit into `width` columns. */
static size_t text_prefix(const char *text, int width, int *ret_width)
{
    size_t length = 0;
    int columns, used = 0;

    while (text[length]) {
        size_t step = text_step(text + length, &columns);
        if (used + columns > width)
            break;
        used += columns;
        length += step;
    }
    *ret_width = used;
    return length;
}

char *text_fit(bool unicode, const char *text, int width, bool right, char *out, size_t size)
{
    const char *mark = unicode ? "\u2026" : ".";
    int used = text_width(text);

    if (width <= 0) {
        out[0] = '\0';
    } else if (used <= width) {
        snprintf(out, size, "%*s%s%*s", right ? width - used : 0, "", text, right ? 0 : width - used, "");
    } else {
        size_t length = text_prefix(text, width - 1, &used);
        snprintf(out, size, "%.*s%s%*s", (int)length, text, mark, width - 1 - used, "");
    }
    return out;
}

char *text_bytes(double bytes, char *out, size_t size)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    size_t unit = 0;

    while (bytes >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        bytes /= 1024;
        unit++;
    }
    snprintf(out, size, unit && bytes < 9.95 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return out;
}

char *text_clock(int64_t s, char *out, size_t size)
{
    long long whole = s < 0 ? 0 : s;

    if (whole < 3600)
        snprintf(out, size, "%lld:%02lld", whole / 60, whole % 60);
    else
        snprintf(out, size, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    return out;
}

char *text_duration(int64_t ms, char *out, size_t size)
{
    char clock[24];

    if (ms < 1000)
        snprintf(out, size, "%d ms", ms < 0 ? 0 : (int)ms);
    else if (ms < 9950)
        snprintf(out, size, "%.1f s", (double)ms / 1000);
    else if (ms < 60000)
        snprintf(out, size, "%lld s", (long long)ms / 1000);
    else
        snprintf(out, size, "%s %s", text_clock(ms / 1000, clock, sizeof(clock)), ms < 3600000 ? "min" : "h");
    return out;
}

char *text_age(int64_t s, char *out, size_t size)
{
    static const struct {
        const char *unit;
        int64_t s;
    } units[] = { { "d", 86400 }, { "h", 3600 }, { "min", 60 }, { "s", 1 } };
    size_t i = 0;

    while (i < 3 && s < 2 * units[i].s)
        i++;
    snprintf(out, size, "%lld %s", (long long)(s < 0 ? 0 : s / units[i].s), units[i].unit);
    return out;
}

#define DISTANCE_MAX 64

static size_t least_of(size_t one, size_t other)
{
    return one < other ? one : other;
}

size_t text_distance(const char *one, const char *other)
{
    size_t rows[3][DISTANCE_MAX + 1]; /* of the matrix: two before, before, now */
    size_t width = strlen(other), height = strlen(one);

    if (width > DISTANCE_MAX || height > DISTANCE_MAX)
        return SIZE_MAX;
    for (size_t x = 0; x <= width; x++)
        rows[0][x] = x;
    for (size_t y = 1; y <= height; y++) {
        size_t *now = rows[y % 3];
        const size_t *before = rows[(y + 2) % 3], *earlier = rows[(y + 1) % 3];
        now[0] = y;
        for (size_t x = 1; x <= width; x++) {
            now[x] =
                least_of(least_of(before[x], now[x - 1]) + 1, before[x - 1] + (one[y - 1] != other[x - 1]));
            if (x > 1 && y > 1 && one[y - 1] == other[x - 2] && one[y - 2] == other[x - 1])
                now[x] = least_of(now[x], earlier[x - 2] + 1);
        }
    }
    return rows[height % 3][width];
}

bool text_is_near(const char *wanted, const char *word)
{
    size_t length = strlen(wanted);

    return text_distance(wanted, word) <= (length < 4   ? 1
                                           : length < 8 ? 2
                                                        : 3) ||
           (length >= 3 && strncmp(wanted, word, length) == 0);
}
