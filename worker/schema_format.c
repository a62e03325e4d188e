/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The table of formats, and those that a few lines are enough for: times, identifiers, pointers. */

#include <string.h>

#include "schema_internal.h"

/* Reads exactly two digits into *ret_value and steps over them. */
static bool two_digits(const char **text, const char *end, int *ret_value)
{
    if (end - *text < 2 || !schema_is_digit((*text)[0]) || !schema_is_digit((*text)[1]))
        return false;
    *ret_value = ((*text)[0] - '0') * 10 + (*text)[1] - '0';
    *text += 2;
    return true;
}

static bool skip(const char **text, const char *end, char wanted)
{
    if (*text == end || **text != wanted)
        return false;
    ++*text;
    return true;
}

static int days_of_month(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

/* RFC 3339, section 5.6: full-date. */
static bool read_date(const char **text, const char *end)
{
    int century, year, month, day;

    if (!two_digits(text, end, &century) || !two_digits(text, end, &year) || !skip(text, end, '-') ||
        !two_digits(text, end, &month) || !skip(text, end, '-') || !two_digits(text, end, &day))
        return false;
    return month >= 1 && month <= 12 && day >= 1 && day <= days_of_month(century * 100 + year, month);
}

/* "Z" or "+01:30": minutes east of UTC. */
static bool read_offset(const char **text, const char *end, int *ret_minutes)
{
    int hours, minutes;
    bool west;

    *ret_minutes = 0;
    if (skip(text, end, 'Z') || skip(text, end, 'z'))
        return true;
    west = skip(text, end, '-');
    if ((!west && !skip(text, end, '+')) || !two_digits(text, end, &hours) || !skip(text, end, ':') ||
        !two_digits(text, end, &minutes))
        return false;
    *ret_minutes = (west ? -1 : 1) * (hours * 60 + minutes);
    return hours <= 23 && minutes <= 59;
}

/* full-time. A leap second is at the end of a day of UTC. */
static bool read_time(const char **text, const char *end)
{
    int hour, minute, second, offset;

    if (!two_digits(text, end, &hour) || !skip(text, end, ':') || !two_digits(text, end, &minute) ||
        !skip(text, end, ':') || !two_digits(text, end, &second))
        return false;
    if (skip(text, end, '.')) {
        const char *fraction = *text;
        while (*text < end && schema_is_digit(**text))
            ++*text;
        if (*text == fraction)
            return false;
    }
    if (!read_offset(text, end, &offset) || hour > 23 || minute > 59 || second > 60)
        return false;
    return second < 60 || (hour * 60 + minute - offset + 2 * 1440) % 1440 == 1439;
}

static bool format_date(const char *text, size_t length)
{
    const char *end = text + length;

    return read_date(&text, end) && text == end;
}

static bool format_time(const char *text, size_t length)
{
    const char *end = text + length;

    return read_time(&text, end) && text == end;
}

static bool format_date_time(const char *text, size_t length)
{
    const char *end = text + length;

    return read_date(&text, end) && (skip(&text, end, 'T') || skip(&text, end, 't')) &&
           read_time(&text, end) && text == end;
}

/* Components with the units of `units`, in their order and without a gap: "2D", "1H30M". How many there are, or -1. */
static int read_components(const char **text, const char *end, const char *units)
{
    int count = 0;

    while (*text < end && schema_is_digit(**text)) {
        while (*text < end && schema_is_digit(**text))
            ++*text;
        const char *unit = *text < end && **text ? strchr(units, **text) : NULL;
        if (!unit || (count > 0 && unit != units))
            return -1;
        units = unit + 1;
        ++*text;
        count++;
    }
    return count;
}

/* RFC 3339, appendix A: a unit may be left out at either end, not between. */
static bool format_duration(const char *text, size_t length)
{
    const char *end = text + length, *weeks;
    int date, time = 0;

    if (!skip(&text, end, 'P'))
        return false;
    weeks = text;
    if (read_components(&weeks, end, "W") == 1 && weeks == end)
        return true;
    date = read_components(&text, end, "YMD");
    if (skip(&text, end, 'T')) {
        time = read_components(&text, end, "HMS");
        if (time == 0)
            return false;
    }
    return text == end && date >= 0 && time >= 0 && date + time > 0;
}

/* RFC 4122: 8-4-4-4-12 hexadecimal digits, whatever version and variant. */
static bool format_uuid(const char *text, size_t length)
{
    if (length != 36)
        return false;
    for (size_t i = 0; i < length; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : schema_hex(text[i]) < 0)
            return false;
    }
    return true;
}

/* RFC 6901 */
static bool format_json_pointer(const char *text, size_t length)
{
    if (length > 0 && text[0] != '/')
        return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] == '~' && (i + 1 == length || (text[i + 1] != '0' && text[i + 1] != '1')))
            return false;
    return true;
}

static bool format_regex(const char *text, size_t length)
{
    return !schema_pattern_translate(text, length, NULL);
}

static const struct schema_format table[] = {
    { "date", format_date, "a date, as 2026-11-20" },
    { "date-time", format_date_time, "a date and time, as 2026-11-20T18:00:00Z" },
    { "duration", format_duration, "a duration, as PT1H30M" },
    { "email", schema_format_email, "an e-mail address" },
    { "hostname", schema_format_hostname, "a host name" },
    { "ipv4", schema_format_ipv4, "an IPv4 address" },
    { "ipv6", schema_format_ipv6, "an IPv6 address" },
    { "json-pointer", format_json_pointer, "a JSON pointer" },
    { "regex", format_regex, "a regular expression" },
    { "time", format_time, "a time, as 18:00:00Z" },
    { "uri", schema_format_uri, "a URI" },
    { "uri-reference", schema_format_uri_reference, "a URI or a relative reference" },
    { "uuid", format_uuid, "a UUID" },
};

const struct schema_format *schema_format_find(const char *name)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}
