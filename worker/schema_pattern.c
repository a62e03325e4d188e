/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Regular expressions: ECMA-262 with the `u` flag (section 22.2) translated to PCRE2. What PCRE2 has beyond is refused,
 * so that a pattern means the same to every other reader of the schema; what both write alike but read differently (., \s,
 * \v, []) is rewritten. */

#include <stdio.h>
#include <string.h>

#include "schema_internal.h"

/* \s is property Z, the ASCII spaces that PCRE2 puts beside it as Xsp, and the byte order mark. */
#define SPACES "\\p{Xsp}\\x{feff}"
#define NOT_SPACES                                                                                           \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}!-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"            \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}"

#define SYNTAX "^$\\.*+?()[]{}|/"

struct translator {
    const char *in;
    size_t length, at;
    FILE *out; /* NULL to look at the syntax only */
    unsigned open;
    unsigned groups, back_reference;
    const char *reason; /* why it is refused */
};

static bool refuse(struct translator *t, const char *reason)
{
    if (!t->reason)
        t->reason = reason;
    return false;
}

/* The character at an offset from here, '\0' behind the end. */
static char look(const struct translator *t, size_t offset)
{
    return t->at + offset < t->length ? t->in[t->at + offset] : '\0';
}

static bool look_is(const struct translator *t, const char *text)
{
    return t->length - t->at >= strlen(text) && memcmp(t->in + t->at, text, strlen(text)) == 0;
}

static void emit(struct translator *t, const char *text)
{
    if (t->out)
        fputs(text, t->out);
}

static void emit_code(struct translator *t, unsigned code)
{
    if (t->out)
        fprintf(t->out, "\\x{%x}", code);
}

/* Passes on `count` bytes. */
static bool copy(struct translator *t, size_t count)
{
    if (t->out)
        fwrite(t->in + t->at, 1, count, t->out);
    t->at += count;
    return true;
}

static bool replace(struct translator *t, size_t count, const char *text)
{
    emit(t, text);
    t->at += count;
    return true;
}

/* Reads `count` hexadecimal digits at an offset; -1 where they are not there. */
static int hex_at(const struct translator *t, size_t offset, size_t count)
{
    int code = 0;

    for (size_t i = 0; i < count; i++) {
        int digit = schema_hex(look(t, offset + i));
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

/* \u{1F600} */
static bool escape_braced(struct translator *t)
{
    unsigned code = 0;
    size_t i = 3;

    for (; schema_hex(look(t, i)) >= 0 && code <= 0x10ffff; i++)
        code = code * 16 + (unsigned)schema_hex(look(t, i));
    if (i == 3 || look(t, i) != '}' || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return refuse(t, "has a \\u{...} that is no character");
    emit_code(t, code);
    t->at += i + 1;
    return true;
}

/* \uD83D\uDE00 and \u0041 */
static bool escape_unicode(struct translator *t)
{
    int code = hex_at(t, 2, 4), low;

    if (look(t, 2) == '{')
        return escape_braced(t);
    if (code < 0)
        return refuse(t, "has a \\u without four hexadecimal digits");
    t->at += 6;
    if (code >= 0xd800 && code <= 0xdbff && look_is(t, "\\u") && (low = hex_at(t, 2, 4)) >= 0xdc00 &&
        low <= 0xdfff) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        t->at += 6;
    } else if (code >= 0xd800 && code <= 0xdfff) {
        return refuse(t, "has a \\u that is half a character");
    }
    emit_code(t, (unsigned)code);
    return true;
}

/* The long names of general categories that PCRE2 knows by their short ones. */
static const char *const categories[][2] = { { "Any", "Any" },
                                             { "Cased_Letter", "L&" },
                                             { "Close_Punctuation", "Pe" },
                                             { "Connector_Punctuation", "Pc" },
                                             { "Control", "Cc" },
                                             { "Currency_Symbol", "Sc" },
                                             { "Dash_Punctuation", "Pd" },
                                             { "Decimal_Number", "Nd" },
                                             { "Enclosing_Mark", "Me" },
                                             { "Final_Punctuation", "Pf" },
                                             { "Format", "Cf" },
                                             { "Initial_Punctuation", "Pi" },
                                             { "LC", "L&" },
                                             { "Letter", "L" },
                                             { "Letter_Number", "Nl" },
                                             { "Line_Separator", "Zl" },
                                             { "Lowercase_Letter", "Ll" },
                                             { "Mark", "M" },
                                             { "Combining_Mark", "M" },
                                             { "Math_Symbol", "Sm" },
                                             { "Modifier_Letter", "Lm" },
                                             { "Modifier_Symbol", "Sk" },
                                             { "Nonspacing_Mark", "Mn" },
                                             { "Number", "N" },
                                             { "Open_Punctuation", "Ps" },
                                             { "Other", "C" },
                                             { "Other_Letter", "Lo" },
                                             { "Other_Number", "No" },
                                             { "Other_Punctuation", "Po" },
                                             { "Other_Symbol", "So" },
                                             { "Paragraph_Separator", "Zp" },
                                             { "Private_Use", "Co" },
                                             { "Punctuation", "P" },
                                             { "Separator", "Z" },
                                             { "Space_Separator", "Zs" },
                                             { "Spacing_Mark", "Mc" },
                                             { "Surrogate", "Cs" },
                                             { "Symbol", "S" },
                                             { "Titlecase_Letter", "Lt" },
                                             { "Unassigned", "Cn" },
                                             { "Uppercase_Letter", "Lu" },
                                             { "cntrl", "Cc" },
                                             { "digit", "Nd" },
                                             { "punct", "P" } };

/* The name that PCRE2 has for a property; *length is that of the name that is given, and then of the one returned. */
static const char *property_name(const char *name, size_t *length)
{
    const char *value = memchr(name, '=', *length);

    if (value && (strncmp(name, "gc=", 3) == 0 || strncmp(name, "General_Category=", 17) == 0)) {
        *length -= (size_t)(value + 1 - name);
        name = value + 1;
    }
    for (size_t i = 0; i < sizeof(categories) / sizeof(categories[0]); i++)
        if (strlen(categories[i][0]) == *length && memcmp(categories[i][0], name, *length) == 0) {
            *length = strlen(categories[i][1]);
            return categories[i][1];
        }
    return name;
}

/* \p{Letter}, \p{gc=Lu}, \p{Script=Greek} */
static bool escape_property(struct translator *t)
{
    size_t length = 0;

    if (look(t, 2) != '{')
        return refuse(t, "has a \\p without a name in braces");
    for (char c; c = look(t, 3 + length), schema_is_letter(c) || schema_is_digit(c) || c == '_' || c == '=';)
        length++;
    if (length == 0 || look(t, 3 + length) != '}')
        return refuse(t, "has a \\p with a name that is none");
    char kind = look(t, 1);
    const char *name = t->in + t->at + 3;
    t->at += length + 4;
    name = property_name(name, &length);
    if (t->out)
        fprintf(t->out, "\\%c{%.*s}", kind, (int)length, name);
    return true;
}

/* What means the same inside a class and outside. */
static bool escape_character(struct translator *t)
{
    char c = look(t, 1);

    if (c && strchr("dDwWtnrf", c))
        return copy(t, 2);
    switch (c) {
    case 'v':
        return replace(t, 2, "\\x{b}");
    case 'p':
    case 'P':
        return escape_property(t);
    case 'u':
        return escape_unicode(t);
    case 'x':
        return hex_at(t, 2, 2) >= 0 ? copy(t, 4) : refuse(t, "has a \\x without two hexadecimal digits");
    case 'c':
        return schema_is_letter(look(t, 2)) ? copy(t, 3) : refuse(t, "has a \\c without a letter");
    case '0':
        return schema_is_digit(look(t, 2)) ? refuse(t, "has an octal escape") : replace(t, 2, "\\x{0}");
    default:
        if (c && strchr(SYNTAX, c))
            return copy(t, 2);
        return refuse(t, "has an escape that ECMA-262 does not know");
    }
}

static bool escape_reference(struct translator *t)
{
    unsigned number = 0;

    t->at++;
    while (schema_is_digit(look(t, 0)) && number < 10000)
        number = number * 10 + (unsigned)(t->in[t->at++] - '0');
    if (number > t->back_reference)
        t->back_reference = number;
    if (t->out)
        fprintf(t->out, "\\g{%u}", number);
    return true;
}

static bool group_name(struct translator *t, size_t offset)
{
    size_t i = offset;

    while (schema_is_letter(look(t, i)) || look(t, i) == '_' || (i > offset && schema_is_digit(look(t, i))))
        i++;
    return i > offset && look(t, i) == '>' ? copy(t, i + 1)
                                           : refuse(t, "has a group with a name that is none");
}

/* Sets whether a quantifier may follow. */
static bool escape(struct translator *t, bool *quantifiable)
{
    char c = look(t, 1);

    *quantifiable = c != 'b' && c != 'B';
    if (c == 'b' || c == 'B')
        return copy(t, 2);
    if (c == 's')
        return replace(t, 2, "[" SPACES "]");
    if (c == 'S')
        return replace(t, 2, "[^" SPACES "]");
    if (c == 'k')
        return look(t, 2) == '<' ? group_name(t, 3) : refuse(t, "has a \\k without a name");
    if (c >= '1' && c <= '9')
        return escape_reference(t);
    return escape_character(t);
}

static bool class_escape(struct translator *t)
{
    switch (look(t, 1)) {
    case 's':
        return replace(t, 2, SPACES);
    case 'S':
        return replace(t, 2, NOT_SPACES);
    case 'b':
        return replace(t, 2, "\\x{8}");
    case '-':
        return copy(t, 2);
    default:
        return escape_character(t);
    }
}

static bool class(struct translator *t)
{
    copy(t, look(t, 1) == '^' ? 2 : 1);
    while (t->at < t->length && look(t, 0) != ']') {
        if (look(t, 0) == '\\') {
            if (!class_escape(t))
                return false;
        } else if (look(t, 0) == '[') {
            replace(t, 1, "\\[");
        } else {
            copy(t, 1);
        }
    }
    return t->at < t->length ? copy(t, 1) : refuse(t, "has a [ without its ]");
}

static bool group(struct translator *t)
{
    static const char *const kinds[] = { "(?:", "(?=", "(?!", "(?<=", "(?<!" };

    t->open++;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (look_is(t, kinds[i]))
            return copy(t, strlen(kinds[i]));
    t->groups++;
    if (look_is(t, "(?<"))
        return group_name(t, 3);
    return look(t, 1) == '?' ? refuse(t, "has a (? that ECMA-262 does not know") : copy(t, 1);
}

/* Behind a quantifier, a ? makes it lazy. */
static bool quantified(struct translator *t, size_t count)
{
    return copy(t, look(t, count) == '?' ? count + 1 : count);
}

/* {2}, {2,} and {2,3} */
static bool braces(struct translator *t)
{
    unsigned long bounds[2] = { 0, 0 };
    size_t i = 1, digits[2] = { 0, 0 };

    for (; schema_is_digit(look(t, i)); i++, digits[0]++)
        bounds[0] = bounds[0] < 100000 ? bounds[0] * 10 + (unsigned)(look(t, i) - '0') : bounds[0];
    bool comma = look(t, i) == ',';
    for (i += comma; comma && schema_is_digit(look(t, i)); i++, digits[1]++)
        bounds[1] = bounds[1] < 100000 ? bounds[1] * 10 + (unsigned)(look(t, i) - '0') : bounds[1];
    if (digits[0] == 0 || look(t, i) != '}')
        return refuse(t, "has a { that begins no quantifier; write \\{");
    if (digits[1] && bounds[1] < bounds[0])
        return refuse(t, "has a quantifier with its bounds the wrong way round");
    return quantified(t, i + 1);
}

static bool quantifier(struct translator *t, bool *quantifiable)
{
    if (!*quantifiable)
        return refuse(t, "has a quantifier with nothing to repeat");
    *quantifiable = false;
    return look(t, 0) == '{' ? braces(t) : quantified(t, 1);
}

static bool item(struct translator *t, bool *quantifiable)
{
    char c = look(t, 0);

    if (c == '\\')
        return escape(t, quantifiable);
    if (c && strchr("*+?{", c))
        return quantifier(t, quantifiable);
    if (c == ']' || c == '}')
        return refuse(t, "has a ] or } that ends nothing; write \\] or \\}");
    *quantifiable = c == '\0' || !strchr("(|^$", c);
    switch (c) {
    case '(':
        return group(t);
    case ')':
        return t->open-- > 0 ? copy(t, 1) : refuse(t, "has a ) without its (");
    case '[':
        return class(t);
    case '.':
        return replace(t, 1, "[^\\n\\r\\x{2028}\\x{2029}]");
    default:
        return copy(t, 1);
    }
}

static bool translate(struct translator *t)
{
    bool quantifiable = false;

    if (t->length > SCHEMA_PATTERN_MAX)
        return refuse(t, "is too long");
    while (t->at < t->length)
        if (!item(t, &quantifiable))
            return false;
    if (t->open)
        return refuse(t, "has a ( without its )");
    return t->back_reference <= t->groups || refuse(t, "refers to a group that is not there");
}

const char *schema_pattern_translate(const char *source, size_t length, FILE *out)
{
    struct translator t = { .in = source, .length = length, .out = out };

    return translate(&t) ? NULL : t.reason;
}
