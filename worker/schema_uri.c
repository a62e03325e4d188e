/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* URIs (RFC 3986): the syntax for the formats, and resolving a reference against a base. */

#include <string.h>

#include "schema_internal.h"

/* A part of a URI without its delimiter; text is NULL where the part is not there. */
struct part {
    const char *text;
    size_t length;
};

struct uri {
    struct part scheme, authority, path, query, fragment;
};

/* The scheme of `text`, up to its colon; none where a colon belongs to something else. */
static struct part split_scheme(const char *text, size_t length)
{
    size_t i = 0;

    while (i < length &&
           (schema_is_letter(text[i]) ||
            (i > 0 && (schema_is_digit(text[i]) || text[i] == '+' || text[i] == '-' || text[i] == '.'))))
        i++;
    return i > 0 && i < length && text[i] == ':' ? (struct part){ text, i } : (struct part){ NULL, 0 };
}

/* What comes before the first of `stops`; moves *text behind it. */
static struct part split_until(const char **text, const char *end, const char *stops)
{
    struct part part = { *text, 0 };

    while (*text < end && (**text == '\0' || !strchr(stops, **text)))
        (*text)++;
    part.length = (size_t)(*text - part.text);
    return part;
}

static struct uri split(const char *text, size_t length)
{
    const char *end = text + length;
    struct uri uri = { .scheme = split_scheme(text, length) };

    if (uri.scheme.text)
        text += uri.scheme.length + 1;
    if (end - text >= 2 && text[0] == '/' && text[1] == '/') {
        text += 2;
        uri.authority = split_until(&text, end, "/?#");
    }
    uri.path = split_until(&text, end, "?#");
    if (text < end && *text == '?') {
        text++;
        uri.query = split_until(&text, end, "#");
    }
    if (text < end)
        uri.fragment = (struct part){ text + 1, (size_t)(end - text - 1) };
    return uri;
}

/* Syntax */

/* Whether each byte is unreserved, a sub-delimiter, percent-encoded or one of `extra`. */
static bool part_valid(const struct part *part, const char *extra)
{
    for (size_t i = 0; i < part->length; i++) {
        char c = part->text[i];
        if (c == '%') {
            if (part->length - i < 3 || schema_hex(part->text[i + 1]) < 0 ||
                schema_hex(part->text[i + 2]) < 0)
                return false;
            i += 2;
        } else if (!schema_is_letter(c) && !schema_is_digit(c) &&
                   (c == '\0' || (!strchr("-._~!$&'()*+,;=", c) && !strchr(extra, c)))) {
            return false;
        }
    }
    return true;
}

/* The inside of [...]: an IPv6 address, or "v" hexadecimal digits "." anything. */
static bool literal_valid(const struct part *part)
{
    if (part->length == 0 || (part->text[0] != 'v' && part->text[0] != 'V'))
        return schema_format_ipv6(part->text, part->length);
    size_t i = 1;
    while (i < part->length && schema_hex(part->text[i]) >= 0)
        i++;
    struct part rest = { part->text + i + 1, part->length - i - 1 };
    return i > 1 && i + 1 < part->length && part->text[i] == '.' && part_valid(&rest, ":") &&
           !memchr(rest.text, '%', rest.length);
}

static bool host_valid(struct part host)
{
    if (host.length < 2 || host.text[0] != '[')
        return part_valid(&host, "");
    struct part inside = { host.text + 1, host.length - 2 };
    return host.text[host.length - 1] == ']' && literal_valid(&inside);
}

static bool authority_valid(struct part authority)
{
    const char *at = memchr(authority.text, '@', authority.length);

    if (at) {
        struct part user = { authority.text, (size_t)(at - authority.text) };
        if (!part_valid(&user, ":"))
            return false;
        authority = (struct part){ at + 1, authority.length - user.length - 1 };
    }
    size_t digits = 0;
    while (digits < authority.length && schema_is_digit(authority.text[authority.length - 1 - digits]))
        digits++;
    if (digits < authority.length && authority.text[authority.length - 1 - digits] == ':')
        authority.length -= digits + 1;
    return host_valid(authority);
}

/* Without a scheme, a colon in the first segment would be taken for the end of one. */
static bool path_valid(const struct uri *uri)
{
    const char *colon = memchr(uri->path.text, ':', uri->path.length);
    const char *slash = memchr(uri->path.text, '/', uri->path.length);

    if (!uri->scheme.text && !uri->authority.text && colon && (!slash || colon < slash))
        return false;
    return part_valid(&uri->path, ":@/");
}

bool schema_format_uri_reference(const char *text, size_t length)
{
    struct uri uri = split(text, length);

    return (!uri.authority.text || authority_valid(uri.authority)) && path_valid(&uri) &&
           part_valid(&uri.query, ":@/?") && part_valid(&uri.fragment, ":@/?");
}

bool schema_format_uri(const char *text, size_t length)
{
    return split_scheme(text, length).text && schema_format_uri_reference(text, length);
}

/* Resolving */

static char *append(char *to, const struct part *part)
{
    return part->length ? (char *)mempcpy(to, part->text, part->length) : to;
}

/* Section 5.2.4, in place; `path` is terminated. */
static void remove_dots(char *path)
{
    char *in = path, *out = path;

    while (*in) {
        if (strncmp(in, "../", 3) == 0) {
            in += 3;
        } else if (strncmp(in, "./", 2) == 0) {
            in += 2;
        } else if (strncmp(in, "/./", 3) == 0) {
            in += 2;
        } else if (strcmp(in, "/.") == 0) {
            *out++ = '/';
            break;
        } else if (strncmp(in, "/../", 4) == 0 || strcmp(in, "/..") == 0) {
            in += in[3] ? 3 : 2;
            *in = '/';
            while (out > path && *--out != '/')
                ;
        } else if (strcmp(in, ".") == 0 || strcmp(in, "..") == 0) {
            break;
        } else {
            do
                *out++ = *in++;
            while (*in && *in != '/');
        }
    }
    *out = '\0';
}

/* Section 5.2.3: the reference's path behind the last slash of the base's. */
static void write_path(char *to, const struct uri *base, const struct uri *reference)
{
    size_t keep = 0;

    if (reference->path.text[0] != '/' || reference->path.length == 0) {
        keep = base->path.length;
        while (keep > 0 && base->path.text[keep - 1] != '/')
            keep--;
        memcpy(to, base->path.text, keep);
        if (base->authority.text && base->path.length == 0)
            to[keep++] = '/';
    }
    *append(to + keep, &reference->path) = '\0';
    remove_dots(to);
}

/* Section 5.3; `path` is done. */
static char *recompose(char *to, const struct uri *uri)
{
    if (uri->scheme.text) {
        to = append(to, &uri->scheme);
        *to++ = ':';
    }
    if (uri->authority.text) {
        *to++ = '/';
        *to++ = '/';
        to = append(to, &uri->authority);
    }
    to = append(to, &uri->path);
    if (uri->query.text) {
        *to++ = '?';
        to = append(to, &uri->query);
    }
    if (uri->fragment.text) {
        *to++ = '#';
        to = append(to, &uri->fragment);
    }
    *to = '\0';
    return to;
}

char *schema_uri_resolve(struct schema_store *store, const char *base_text, const char *text)
{
    size_t room = strlen(base_text) + strlen(text) + 8;
    struct uri base = split(base_text, strlen(base_text)), target = split(text, strlen(text));
    char *path = schema_store_alloc(store, room), *whole = schema_store_alloc(store, room);

    if (!path || !whole)
        return NULL;
    if (!target.scheme.text) {
        bool same_document = !target.authority.text && target.path.length == 0;
        if (same_document) {
            target.path = base.path;
            if (!target.query.text)
                target.query = base.query;
        } else if (!target.authority.text) {
            write_path(path, &base, &target);
            target.path = (struct part){ path, strlen(path) };
        }
        if (!target.authority.text)
            target.authority = base.authority;
        target.scheme = base.scheme;
    }
    recompose(whole, &target);
    return whole;
}
