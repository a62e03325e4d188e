/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The formats of hosts and addresses. inet_pton reads terminated strings only; these take bytes and a length. */

#include <string.h>
#include <strings.h>

#include "schema_internal.h"

/* RFC 1035, section 2.3.4 */
#define LABEL_MAX    63
#define HOSTNAME_MAX 253

/* A number of 0 to 255 without a leading zero. */
static bool octet_valid(const char *text, size_t length)
{
    int value = 0;

    if (length == 0 || length > 3 || (length > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!schema_is_digit(text[i]))
            return false;
        value = value * 10 + text[i] - '0';
    }
    return value <= 255;
}

/* RFC 2673, section 3.2: four octets. */
bool schema_format_ipv4(const char *text, size_t length)
{
    for (int octet = 0; octet < 4; octet++) {
        const char *dot = octet < 3 ? memchr(text, '.', length) : NULL;
        size_t size = dot ? (size_t)(dot - text) : length;
        if ((octet < 3 && !dot) || !octet_valid(text, size))
            return false;
        if (dot) {
            text += size + 1;
            length -= size + 1;
        }
    }
    return true;
}

/* How many 16-bit groups the text has between single colons, -1 where it is not made of them; the last may be an IPv4
 * address where that is allowed. */
static int count_groups(const char *text, size_t length, bool ipv4_allowed)
{
    int count = 0;

    if (length == 0)
        return 0;
    for (;;) {
        const char *colon = memchr(text, ':', length);
        size_t size = colon ? (size_t)(colon - text) : length;
        if (!colon && ipv4_allowed && schema_format_ipv4(text, size))
            return count + 2;
        if (size == 0 || size > 4)
            return -1;
        for (size_t i = 0; i < size; i++)
            if (schema_hex(text[i]) < 0)
                return -1;
        count++;
        if (!colon)
            return count;
        text += size + 1;
        length -= size + 1;
    }
}

/* RFC 4291, section 2.2: "::" stands for at least one group of zeros, once. */
bool schema_format_ipv6(const char *text, size_t length)
{
    const char *gap = memmem(text, length, "::", 2);
    int before, after;

    if (length > sizeof("1111:1111:1111:1111:1111:1111:255.255.255.255") - 1)
        return false;
    if (!gap)
        return count_groups(text, length, true) == 8;
    before = count_groups(text, (size_t)(gap - text), false);
    after = count_groups(gap + 2, length - (size_t)(gap + 2 - text), true);
    return before >= 0 && after >= 0 && before + after <= 7;
}

/* RFC 1123, section 2.1: letters, digits and inner hyphens; "xn--" announces a label of IDNA. */
static bool label_valid(const char *text, size_t length)
{
    if (length == 0 || length > LABEL_MAX || text[0] == '-' || text[length - 1] == '-')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!schema_is_letter(text[i]) && !schema_is_digit(text[i]) && text[i] != '-')
            return false;
    return length < 4 || strncasecmp(text, "xn--", 4) != 0 || schema_idn_valid(text + 4, length - 4);
}

bool schema_format_hostname(const char *text, size_t length)
{
    if (length > HOSTNAME_MAX)
        return false;
    for (;;) {
        const char *dot = memchr(text, '.', length);
        size_t size = dot ? (size_t)(dot - text) : length;
        if (!label_valid(text, size))
            return false;
        if (!dot)
            return true;
        text += size + 1;
        length -= size + 1;
    }
}

/* RFC 5321, section 4.1.2 */

static bool is_atom(char c)
{
    return schema_is_letter(c) || schema_is_digit(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool dot_string_valid(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!is_atom(text[i]) && (text[i] != '.' || i == 0 || i == length - 1 || text[i + 1] == '.'))
            return false;
    return length > 0;
}

/* The length of the quoted string that the text begins with, 0 where there is none. */
static size_t quoted_length(const char *text, size_t length)
{
    if (length == 0 || text[0] != '"')
        return 0;
    for (size_t i = 1; i < length; i++) {
        if (text[i] == '"')
            return i + 1;
        if (text[i] == '\\')
            i++;
        if (i == length || text[i] < ' ' || text[i] > '~')
            return 0;
    }
    return 0;
}

static bool mail_host_valid(const char *text, size_t length)
{
    if (length < 2 || text[0] != '[' || text[length - 1] != ']')
        return schema_format_hostname(text, length);
    text++;
    length -= 2;
    if (length > 5 && strncasecmp(text, "IPv6:", 5) == 0)
        return schema_format_ipv6(text + 5, length - 5);
    return schema_format_ipv4(text, length);
}

bool schema_format_email(const char *text, size_t length)
{
    size_t local = quoted_length(text, length);

    if (!local) {
        const char *at = memchr(text, '@', length);
        local = at ? (size_t)(at - text) : 0;
        if (!dot_string_valid(text, local))
            return false;
    }
    return local <= 64 && local + 1 < length && text[local] == '@' &&
           mail_host_valid(text + local + 1, length - local - 1);
}
