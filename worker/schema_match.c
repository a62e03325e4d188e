/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Compiles patterns and matches them within limits: a pattern that backtracks without end costs an error, never a
 * thread. No JIT: its memory per pattern would be more than all the schemas take. */

#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "schema_internal.h"

/* PCRE2 counts its internal steps, for each place of the text anew. Almost every match ends below the first limit; one
 * more attempt, up to the second, is charged to the budget of the check. */
#define STEPS_QUICK    2000
#define STEPS_PATIENT  200000
#define HEAP_LIMIT_KIB 8192

/* What a match costs of the budget, at the least, and for each 32 bytes of text. */
#define MATCH_COST 8

/* A pattern without ^ is tried at so many places of the text at a time; each may read all the rest of it as one step. */
#define PLACES      256
#define PLACE_BYTES 128 /* read in the time of a step of the budget */

CLEANUP_DEFINE(match_context, pcre2_match_context *, pcre2_match_context_free)

static void release_code(void *code)
{
    pcre2_code_free(code);
}

/* Translates into a buffer of its own; NULL and a reason where that cannot be done. */
static char *translate(const char *source, size_t length, size_t *ret_size, const char **ret_reason)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_size);

    *ret_reason = out ? schema_pattern_translate(source, length, out) : "cannot be compiled: out of memory";
    if (out && fclose(out) != 0 && !*ret_reason)
        *ret_reason = "cannot be compiled: out of memory";
    if (!*ret_reason)
        return text;
    free(text);
    return NULL;
}

int schema_pattern_compile(struct schema_store *store, const char *source, size_t length,
                           struct schema_pattern *ret_pattern, char *ret_reason, size_t reason_size)
{
    const uint32_t options = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_MATCH_UNSET_BACKREF |
                             PCRE2_ALLOW_EMPTY_CLASS | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;
    const char *reason;
    size_t size, offset;
    int code;
    AUTO(string) char *text = translate(source, length, &size, &reason);
    char *kept = schema_store_printf(store, "%.*s", (int)length, source);

    if (!text || !kept) {
        snprintf(ret_reason, reason_size, "%s", text ? "cannot be compiled: out of memory" : reason);
        return -1;
    }
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)text, size, options, &code, &offset, NULL);
    if (!compiled) {
        unsigned char words[120];
        pcre2_get_error_message(code, words, sizeof(words));
        snprintf(ret_reason, reason_size, "is refused by the matcher: %s", (char *)words);
        return -1;
    }
    *ret_pattern = (struct schema_pattern){ .source = kept, .code = compiled };
    if (schema_store_own(store, compiled, release_code) == 0)
        return 0;
    snprintf(ret_reason, reason_size, "cannot be compiled: out of memory");
    return -1;
}

/* Tries the places from `first` to `last`. */
static int match(struct schema_run *run, const pcre2_code *code, const char *text, size_t length,
                 size_t first, size_t last, uint32_t steps)
{
    AUTO(match_context) pcre2_match_context *context = pcre2_match_context_create(NULL);

    if (!context)
        return PCRE2_ERROR_NOMEMORY;
    pcre2_set_match_limit(context, steps);
    pcre2_set_heap_limit(context, HEAP_LIMIT_KIB);
    pcre2_set_offset_limit(context, last);
    return pcre2_match(code, (PCRE2_SPTR)text, length, first, first > 0 ? PCRE2_NO_UTF_CHECK : 0, run->match,
                       context);
}

/* Only one place, with the patience that the budget has. */
static int match_at(struct schema_run *run, const pcre2_code *code, const char *text, size_t length,
                    size_t place)
{
    int found = match(run, code, text, length, place, place, STEPS_QUICK);

    if (found != PCRE2_ERROR_MATCHLIMIT || !schema_run_spend(run, STEPS_PATIENT / 4))
        return found;
    return match(run, code, text, length, place, place, STEPS_PATIENT);
}

/* Where the character at `place` or the next one begins. */
static size_t next_character(const char *text, size_t length, size_t place)
{
    while (place < length && ((unsigned char)text[place] & 0xc0) == 0x80)
        place++;
    return place;
}

static int match_places(struct schema_run *run, const pcre2_code *code, const char *text, size_t length,
                        size_t first, size_t last)
{
    int found = match(run, code, text, length, first, last, STEPS_QUICK);

    if (found != PCRE2_ERROR_MATCHLIMIT)
        return found;
    found = PCRE2_ERROR_NOMATCH;
    for (; first <= last && found == PCRE2_ERROR_NOMATCH; first = next_character(text, length, first + 1))
        found = match_at(run, code, text, length, first);
    return found;
}

/* Anywhere in the text. What was read to no end is charged afterwards: an early match costs next to nothing. */
static int match_anywhere(struct schema_run *run, const pcre2_code *code, const char *text, size_t length)
{
    int found = PCRE2_ERROR_NOMATCH;

    for (size_t first = 0; first <= length; first = next_character(text, length, first + PLACES)) {
        size_t last = length - first < PLACES ? length : first + PLACES - 1;
        found = match_places(run, code, text, length, first, last);
        if (found != PCRE2_ERROR_NOMATCH)
            break;
        if (!schema_run_spend(run, (last - first) * (1 + (length - first) / PLACE_BYTES)))
            break;
    }
    return found;
}

static bool is_anchored(const pcre2_code *code)
{
    uint32_t options = 0;

    (void)pcre2_pattern_info(code, PCRE2_INFO_ALLOPTIONS, &options);
    return options & PCRE2_ANCHORED;
}

bool schema_pattern_match(struct schema_run *run, const struct schema_pattern *pattern, const char *text,
                          size_t length)
{
    int found;

    if (!schema_run_spend(run, MATCH_COST + length / 32))
        return false;
    if (!run->match)
        run->match = pcre2_match_data_create(1, NULL);
    if (!run->match)
        return schema_fault_stop(run, "cannot be checked: out of memory");
    found = is_anchored(pattern->code) ? match_at(run, pattern->code, text, length, 0)
                                       : match_anywhere(run, pattern->code, text, length);
    if (found >= 0)
        return true;
    if (found == PCRE2_ERROR_MATCHLIMIT || found == PCRE2_ERROR_HEAPLIMIT || found == PCRE2_ERROR_NOMEMORY)
        return schema_fault_stop(run, "takes too long to match its pattern");
    return false;
}
