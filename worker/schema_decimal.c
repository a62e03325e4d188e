/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Multiples in decimal, as people write them: 0.0075 is a multiple of 0.0001, though no double is exactly either. A
 * double stands for the shortest decimal that reads back as it. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "schema_internal.h"

__extension__ typedef unsigned __int128 wide;

/* "d.ddde+xx", whatever the locale's point. */
static struct schema_decimal decimal_parse(const char *text)
{
    struct schema_decimal decimal = { 0, 0 };
    int digits = 0;

    for (; *text && *text != 'e'; text++)
        if (schema_is_digit(*text)) {
            decimal.mantissa = decimal.mantissa * 10 + (unsigned)(*text - '0');
            digits++;
        }
    decimal.exponent = (*text ? (int)strtol(text + 1, NULL, 10) : 0) - (digits - 1);
    return decimal;
}

struct schema_decimal schema_decimal_of(const json_t *number)
{
    struct schema_decimal decimal = { 0, 0 };

    if (json_is_integer(number)) {
        json_int_t value = json_integer_value(number);
        decimal.mantissa = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    } else {
        char text[40];
        double value = fabs(json_real_value(number));
        for (int digits = 14; digits <= 16; digits++) {
            snprintf(text, sizeof(text), "%.*e", digits, value);
            if (strtod(text, NULL) == value)
                break;
        }
        decimal = decimal_parse(text);
    }
    while (decimal.mantissa && decimal.mantissa % 10 == 0) {
        decimal.mantissa /= 10;
        decimal.exponent++;
    }
    return decimal;
}

/* mantissa * 10^exponent modulo m. */
static uint64_t modulo(uint64_t mantissa, int exponent, uint64_t m)
{
    wide rest = mantissa % m, base = 10 % m;

    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1)
            rest = rest * base % m;
        base = base * base % m;
    }
    return (uint64_t)rest;
}

bool schema_decimal_divides(const struct schema_decimal *divisor, const struct schema_decimal *number)
{
    int shift = number->exponent - divisor->exponent;

    /* With no factor 10 left in the mantissa, a divisor with the larger exponent cannot go into the number. */
    return number->mantissa == 0 || (shift >= 0 && modulo(number->mantissa, shift, divisor->mantissa) == 0);
}
