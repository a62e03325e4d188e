/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The table of well-formed sequences, RFC 3629, section 4. */

#include "utf8.h"

struct row {
    unsigned char first, last; /* of the leading byte */
    unsigned char low, high;   /* of the one after it */
    size_t length;
};

static const struct row rows[] = {
    { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
    { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
    { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

static const struct row *row_of(unsigned char leading)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (leading >= rows[i].first && leading <= rows[i].last)
            return &rows[i];
    return NULL;
}

size_t utf8_length(const char *text)
{
    const unsigned char *bytes = (const unsigned char *)text;
    const struct row *row = row_of(bytes[0]);

    if (bytes[0] < 0x80)
        return 1;
    if (!row || bytes[1] < row->low || bytes[1] > row->high)
        return 0;
    for (size_t i = 2; i < row->length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    return row->length;
}
