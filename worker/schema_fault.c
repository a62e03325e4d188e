/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The words of a fault, for a person, and its JSON pointer, for a program. Nothing is written while a schema is only
 * tried: then a fault leaves just how deep it was. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "schema_internal.h"

/* How much of a value or a name is shown. */
#define SHOWN_MAX 64

/* A text that is built piece by piece in a buffer of a fixed size; what does not fit is dropped. */
struct text {
    char *buffer;
    size_t size, used;
};

static void text_add(struct text *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void text_add(struct text *text, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int length = vsnprintf(text->buffer + text->used, text->size - text->used, fmt, args);
    va_end(args);
    if (length > 0)
        text->used += (size_t)length < text->size - text->used ? (size_t)length : text->size - text->used - 1;
}

/* The longest beginning of at most `most` bytes that cuts no character. */
static size_t clip(const char *text, size_t length, size_t most)
{
    if (length <= most)
        return length;
    while (most > 0 && ((unsigned char)text[most] & 0xc0) == 0x80)
        most--;
    return most;
}

static void text_add_clipped(struct text *text, const char *piece, size_t length)
{
    size_t shown = clip(piece, length, SHOWN_MAX);

    text_add(text, "%.*s%s", (int)shown, piece, shown < length ? "..." : "");
}

/* A scalar as JSON, anything else by its kind. */
static void text_add_value(struct text *text, const json_t *value)
{
    char dump[6 * SHOWN_MAX];
    json_t *shown = NULL;

    if (json_is_object(value) || json_is_array(value)) {
        text_add(text, json_is_object(value) ? "an object" : "an array");
        return;
    }
    if (json_is_string(value) && json_string_length(value) > SHOWN_MAX)
        shown = json_stringn(json_string_value(value),
                             clip(json_string_value(value), json_string_length(value), SHOWN_MAX));
    size_t size =
        json_dumpb(shown ? shown : value, dump, sizeof(dump), JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    json_decref(shown);
    text_add(text, "%.*s%s", (int)(size < sizeof(dump) ? size : sizeof(dump)), dump, shown ? "..." : "");
}

/* The pointer */

static size_t token_size(const struct schema_step *step)
{
    size_t size = step->number + 1;

    if (!step->key)
        return (size_t)snprintf(NULL, 0, "/%zu", step->number);
    for (size_t i = 0; i < step->number; i++)
        size += step->key[i] == '~' || step->key[i] == '/';
    return size;
}

static void token_write(const struct schema_step *step, char *to)
{
    *to++ = '/';
    if (!step->key) {
        to[sprintf(to, "%zu", step->number)] = '\0';
        return;
    }
    for (size_t i = 0; i < step->number; i++) {
        char c = step->key[i];
        if (c == '~' || c == '/')
            *to++ = '~';
        *to++ = c == '~' ? '0' : c == '/' ? '1' : c;
    }
    *to = '\0';
}

/* Writes the steps from the root on, as many as fit; the room that is left, or 0 once one did not fit. */
static size_t pointer_write(const struct schema_step *step, char **to, size_t room)
{
    if (!step)
        return room;
    room = pointer_write(step->up, to, room);
    size_t size = token_size(step);
    if (size >= room)
        return 0;
    token_write(step, *to);
    *to += size;
    return room - size;
}

static void locate(struct schema_run *run)
{
    struct error *err = run->err;
    char *to =
        err->where + snprintf(err->where, sizeof(err->where), "%.*s", (int)sizeof(err->where) - 1, run->at);

    err->has_where = true;
    pointer_write(run->step, &to, (size_t)(err->where + sizeof(err->where) - to));
}

/* The subject */

void schema_fault_subject(const struct schema_run *run, char *ret_text)
{
    struct text text = { ret_text, SCHEMA_SUBJECT_SIZE, 0 };
    const struct schema_step *named = run->step;
    const char *slash = strrchr(run->at, '/');
    char items[40] = "";

    for (; named && !named->key; named = named->up) {
        char rest[sizeof(items)];
        memcpy(rest, items, sizeof(rest));
        snprintf(items, sizeof(items), "[%zu]%.*s", named->number, (int)sizeof(rest) - 24, rest);
    }
    if (!named && !slash && !items[0]) {
        text_add(&text, "the document");
        return;
    }
    text_add(&text, "'");
    if (named)
        text_add_clipped(&text, named->key, named->number);
    else if (slash)
        text_add_clipped(&text, slash + 1, strlen(slash + 1));
    text_add(&text, "%s'", items);
}

/* Faults */

/* Begins a fault at the current step; false where nobody listens. */
static bool begin(struct schema_run *run, struct text *ret_text)
{
    run->fault_level = run->step ? run->step->level : 0;
    if (!run->err || run->stopped)
        return false;
    error_set(run->err, ERROR_INVALID, "%s", "");
    locate(run);
    *ret_text = (struct text){ run->err->message, sizeof(run->err->message), 0 };
    return true;
}

static void add_subject(struct schema_run *run, struct text *text)
{
    char subject[SCHEMA_SUBJECT_SIZE];

    schema_fault_subject(run, subject);
    text_add(text, "%s", subject);
}

static void text_add_args(struct text *text, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

static void text_add_args(struct text *text, const char *fmt, va_list args)
{
    char piece[256];

    vsnprintf(piece, sizeof(piece), fmt, args);
    text_add(text, "%s", piece);
}

bool schema_fault(struct schema_run *run, const char *fmt, ...)
{
    struct text text;
    va_list args;

    if (!begin(run, &text))
        return false;
    add_subject(run, &text);
    text_add(&text, " ");
    va_start(args, fmt);
    text_add_args(&text, fmt, args);
    va_end(args);
    return false;
}

bool schema_fault_value(struct schema_run *run, const json_t *instance, const char *fmt, ...)
{
    struct text text;
    va_list args;

    if (!begin(run, &text))
        return false;
    add_subject(run, &text);
    text_add(&text, " must ");
    va_start(args, fmt);
    text_add_args(&text, fmt, args);
    va_end(args);
    text_add(&text, ", is ");
    text_add_value(&text, instance);
    return false;
}

bool schema_fault_bound(struct schema_run *run, const json_t *instance, const char *words,
                        const json_t *bound)
{
    struct text text;

    if (!begin(run, &text))
        return false;
    add_subject(run, &text);
    text_add(&text, " must be %s%s", words, *words ? " " : "");
    text_add_value(&text, bound);
    text_add(&text, ", is ");
    text_add_value(&text, instance);
    return false;
}

bool schema_fault_const(struct schema_run *run, const json_t *constant, const json_t *instance)
{
    return schema_fault_bound(run, instance, "", constant);
}

bool schema_fault_types(struct schema_run *run, unsigned types, const json_t *instance)
{
    static const struct {
        unsigned type;
        const char *words;
    } names[] = {
        { SCHEMA_STRING, "a string" },  { SCHEMA_INTEGER, "an integer" },
        { SCHEMA_NUMBER, "a number" },  { SCHEMA_BOOLEAN, "true or false" },
        { SCHEMA_OBJECT, "an object" }, { SCHEMA_ARRAY, "an array" },
        { SCHEMA_NULL, "null" },
    };
    struct text text;
    const char *between = "";

    if (!begin(run, &text))
        return false;
    add_subject(run, &text);
    text_add(&text, " must be ");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (types & names[i].type) {
            text_add(&text, "%s%s", between, names[i].words);
            between = " or ";
        }
    text_add(&text, ", is ");
    text_add_value(&text, instance);
    return false;
}

bool schema_fault_enum(struct schema_run *run, const json_t *values, const json_t *instance)
{
    struct text text;
    size_t count = json_array_size(values);

    if (!begin(run, &text))
        return false;
    add_subject(run, &text);
    text_add(&text, count > 1 ? " must be one of " : count ? " must be " : " is not allowed here");
    for (size_t i = 0; i < count; i++) {
        if (text.used > sizeof(run->err->message) - 2 * SHOWN_MAX - 40) {
            text_add(&text, ", ...");
            break;
        }
        text_add(&text, "%s", i ? ", " : "");
        text_add_value(&text, json_array_get(values, i));
    }
    text_add(&text, "; is ");
    text_add_value(&text, instance);
    return false;
}

/* What the members of an object are called: a job has parameters. */
static const char *member_word(const struct schema_run *run)
{
    return strncmp(run->at, "/params", 7) == 0 ? "parameter" : "member";
}

bool schema_fault_missing(struct schema_run *run, const struct schema_name *name)
{
    struct text text;

    if (!begin(run, &text))
        return false;
    text_add(&text, "%s '", member_word(run));
    text_add_clipped(&text, name->text, name->length);
    text_add(&text, "' is missing in ");
    add_subject(run, &text);
    return false;
}

/* run->step is at the member that is not known. */
bool schema_fault_unknown(struct schema_run *run, const struct schema_object *object)
{
    const char *between = "; known are ";
    struct text text;

    if (!begin(run, &text))
        return false;
    text_add(&text, "unknown %s ", member_word(run));
    add_subject(run, &text);
    for (size_t i = 0; i < object->property_count; i++) {
        const struct schema_property *row = &object->properties[i];
        if (!row->schema)
            continue;
        text_add(&text, "%s'", between);
        text_add_clipped(&text, row->name.text, row->name.length);
        text_add(&text, "'");
        between = ", ";
    }
    return false;
}

/* Heard even where a schema is only tried, since the whole check ends here. */
bool schema_fault_stop(struct schema_run *run, const char *reason)
{
    struct error *err = run->err;

    if (run->stopped)
        return false;
    run->err = run->listener;
    schema_fault(run, "%s", reason);
    run->err = err;
    run->stopped = true;
    return false;
}
