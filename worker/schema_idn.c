/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The labels of internationalized host names, as "xn--4gbwdl": punycode (RFC 3492) of a label that IDNA 2008 allows
 * (RFC 5891, section 4.2, and the tables of RFC 5892). The rules are written as one regular expression over the decoded
 * label, since PCRE2 brings the properties of Unicode. It does not know which characters normalization changes, nor how
 * letters join: both are named by their blocks. The rule for text of mixed direction (RFC 5893) is not checked. */

#include <pthread.h>
#include <string.h>

#include "schema_internal.h"

/* RFC 3492, section 5 */
#define BASE       36u
#define TMIN       1u
#define TMAX       26u
#define SKEW       38u
#define DAMP       700u
#define FIRST_BIAS 72u
#define FIRST_CODE 128u

/* A label has at most 63 bytes, so that many characters. */
#define CHARACTERS_MAX 63

/* RFC 5892, appendix A.1: what has the combining class Virama. */
#define VIRAMA                                                                                               \
    "[\\x{94d}\\x{9cd}\\x{a4d}\\x{acd}\\x{b4d}\\x{bcd}\\x{c4d}\\x{ccd}\\x{d3b}\\x{d3c}\\x{d4d}\\x{dca}"      \
    "\\x{e3a}\\x{eba}\\x{f84}\\x{1039}\\x{103a}\\x{1714}\\x{1734}\\x{17d2}\\x{1a60}\\x{1b44}\\x{1baa}"       \
    "\\x{1bab}\\x{1bf2}\\x{1bf3}\\x{2d7f}\\x{a806}\\x{a82c}\\x{a8c4}\\x{a953}\\x{a9c0}\\x{aaf6}\\x{abed}"    \
    "\\x{10a3f}\\x{11046}\\x{1107f}\\x{110b9}\\x{11133}\\x{111c0}\\x{11235}\\x{112ea}\\x{1134d}\\x{11442}"   \
    "\\x{114c2}\\x{115bf}\\x{1163f}\\x{116b6}\\x{1172b}\\x{11839}\\x{119e0}\\x{11a34}\\x{11a47}\\x{11a99}]"

/* Letters of the joining scripts, and those that join only to what comes before them. */
#define JOINING "[\\p{sc:Arabic}\\p{sc:Syriac}\\p{sc:Mandaic}\\p{sc:Nko}\\p{sc:Mongolian}\\p{sc:Phags_Pa}]"
#define JOINS_BACK                                                                                           \
    "[\\x{622}-\\x{625}\\x{627}\\x{629}\\x{62f}-\\x{632}\\x{648}\\x{671}-\\x{673}\\x{688}-\\x{699}]"

/* RFC 5892, section 2.6: disallowed by name; then what normalization changes, or is ignorable. */
#define DISALLOWED                                                                                           \
    "[\\x{640}\\x{7fa}\\x{302e}\\x{302f}\\x{3031}-\\x{3035}\\x{303b}"                                        \
    "\\x{1100}-\\x{11ff}\\x{a960}-\\x{a97c}\\x{d7b0}-\\x{d7fb}\\x{2b0}-\\x{2b8}\\x{1d2c}-\\x{1d6a}"          \
    "\\x{340}\\x{341}\\x{343}\\x{344}\\x{aa}\\x{ba}\\x{3131}-\\x{318e}\\x{2071}-\\x{209c}"                   \
    "\\x{f900}-\\x{fa0d}\\x{fa10}\\x{fa12}\\x{fa15}-\\x{fa1e}\\x{fa20}\\x{fa22}\\x{fa25}\\x{fa26}"           \
    "\\x{fa2a}-\\x{fad9}\\x{fb00}-\\x{fb1d}\\x{fb1f}-\\x{fe1f}\\x{fe30}-\\x{fe72}\\x{fe74}-\\x{ffdc}"        \
    "\\x{1d400}-\\x{1d7ff}\\x{1ee00}-\\x{1eebb}\\x{1fbf0}-\\x{1fbf9}\\x{2f800}-\\x{2fa1d}"                   \
    "\\p{Default_Ignorable_Code_Point}]"

#define ARABIC_DIGITS   "[\\x{660}-\\x{669}]"
#define EXTENDED_DIGITS "[\\x{6f0}-\\x{6f9}]"
#define KANA_OR_HAN     "[\\p{sc:Hiragana}\\p{sc:Katakana}\\p{sc:Han}]"

/* First what holds for a whole label, then for each of its characters: the rules of RFC 5892, appendix A, the
 * exceptions that are allowed, and the letters, digits and marks. */
static const char rules[] =
    "\\A(?!..--)(?![-\\p{M}])(?=.*[^\\x{0}-\\x{7f}])"
    "(?!.*" ARABIC_DIGITS ".*" EXTENDED_DIGITS ")(?!.*" EXTENDED_DIGITS ".*" ARABIC_DIGITS ")"
    "(?:(?!.*\\x{30fb})|(?=.*" KANA_OR_HAN "))"
    "(?:(?<=l)\\x{b7}(?=l)"
    "|\\x{375}(?=\\p{sc:Greek})"
    "|(?<=\\p{sc:Hebrew})[\\x{5f3}\\x{5f4}]"
    "|(?<=" VIRAMA ")[\\x{200c}\\x{200d}]"
    "|(?<!" JOINS_BACK ")(?<=" JOINING ")\\x{200c}(?=\\p{Mn}*" JOINING ")"
    "|[\\x{30fb}\\x{df}\\x{3c2}\\x{6fd}\\x{6fe}\\x{f0b}\\x{3007}]"
    "|(?!" DISALLOWED ")[-\\p{Ll}\\p{Lo}\\p{Lm}\\p{Nd}\\p{Mn}\\p{Mc}]"
    ")+\\z";

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pcre2_code *code; /* written once, then only read; lives as long as the process */

static void compile(void)
{
    int reason;
    size_t offset;

    code = pcre2_compile((PCRE2_SPTR)rules, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &reason, &offset, NULL);
}

static unsigned adapt(unsigned delta, unsigned count, bool first)
{
    unsigned k = 0;

    delta = first ? delta / DAMP : delta / 2;
    delta += delta / count;
    for (; delta > (BASE - TMIN) * TMAX / 2; k += BASE)
        delta /= BASE - TMIN;
    return k + (BASE - TMIN + 1) * delta / (delta + SKEW);
}

static int digit_value(char c)
{
    if (schema_is_letter(c))
        return (c | 0x20) - 'a';
    return schema_is_digit(c) ? c - '0' + 26 : -1;
}

/* One variable-length integer at *at; false where it ends early or grows beyond all characters. */
static bool read_delta(const char *text, size_t length, size_t *at, unsigned bias, unsigned *ret_delta)
{
    uint64_t delta = 0, weight = 1;

    for (unsigned k = BASE;; k += BASE) {
        int digit = *at < length ? digit_value(text[(*at)++]) : -1;
        unsigned threshold = k <= bias ? TMIN : k >= bias + TMAX ? TMAX : k - bias;
        if (digit < 0)
            return false;
        delta += (unsigned)digit * weight;
        weight *= BASE - threshold;
        if (delta > UINT32_MAX / 2 || weight > UINT32_MAX)
            return false;
        if ((unsigned)digit < threshold)
            break;
    }
    *ret_delta = (unsigned)delta;
    return true;
}

/* RFC 3492, section 6.2. How many characters there are, 0 for what is no punycode. */
static unsigned decode(const char *text, size_t length, uint32_t *ret_label)
{
    const char *dash = memrchr(text, '-', length);
    unsigned count = 0, next = FIRST_CODE, bias = FIRST_BIAS, position = 0, delta;
    size_t at = dash ? (size_t)(dash - text) + 1 : 0;
    bool first = true;

    for (size_t i = 0; i + 1 < at; i++)
        ret_label[count++] = (uint32_t)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
    while (at < length) {
        if (!read_delta(text, length, &at, bias, &delta) || count == CHARACTERS_MAX)
            return 0;
        position += delta;
        count++;
        bias = adapt(delta, count, first);
        first = false;
        next += position / count;
        position %= count;
        if (next > 0x10ffff)
            return 0;
        memmove(ret_label + position + 1, ret_label + position, (count - 1 - position) * sizeof(*ret_label));
        ret_label[position++] = next;
    }
    return count;
}

static size_t encode_utf8(uint32_t c, char *to)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = { 0, 0xc0, 0xe0, 0xf0 };
    to[0] = (char)(lead[more] | c >> 6 * more);
    for (size_t i = 1; i <= more; i++)
        to[i] = (char)(0x80 | (c >> 6 * (more - i) & 0x3f));
    return more + 1;
}

bool schema_idn_valid(const char *punycode, size_t length)
{
    uint32_t label[CHARACTERS_MAX + 1];
    char text[4 * CHARACTERS_MAX];
    unsigned count = length <= CHARACTERS_MAX ? decode(punycode, length, label) : 0;
    size_t size = 0;
    pcre2_match_data *data;

    pthread_once(&once, compile);
    data = pcre2_match_data_create(1, NULL);
    for (unsigned i = 0; i < count; i++)
        size += encode_utf8(label[i], text + size);
    bool valid = count && code && data && pcre2_match(code, (PCRE2_SPTR)text, size, 0, 0, data, NULL) >= 0;
    pcre2_match_data_free(data);
    return valid;
}
