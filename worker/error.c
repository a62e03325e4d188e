/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The one table of error codes, and the one place that reads libvirt's last error. */

#include "error.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "utf8.h"

struct error_row {
    const char *name;
    bool transient;
    const char *text;
};

static const struct error_row table[ERROR_LAST] = {
    [ERROR_NONE] = { "none", false, "No error." },
    [ERROR_INVALID] = { "invalid", false, "The job breaks its schema; `where` points at the fault." },
    [ERROR_TOO_LARGE] = { "too-large", false, "The message is larger than the worker accepts." },
    [ERROR_UNKNOWN_TYPE] = { "unknown-type", false, "There is no such job type." },
    [ERROR_UNKNOWN_HOST] = { "unknown-host", false, "The worker does not serve this host." },
    [ERROR_UNSUPPORTED] = { "unsupported", false, "The host, pool or format cannot do this." },
    [ERROR_NOT_FOUND] = { "not-found", false, "A guest, volume, pool or file is not there." },
    [ERROR_CONFLICT] = { "conflict", false, "Something else has this name, UUID or state already." },
    [ERROR_NO_SPACE] = { "no-space", false, "A pool or file system is full." },
    [ERROR_BUSY] = { "busy", true, "The guest or volume is in use just now." },
    [ERROR_TIMEOUT] = { "timeout", false, "It did not happen in the time given." },
    [ERROR_STALLED] = { "stalled", false, "The migration did not get on, and was stopped." },
    [ERROR_DENIED] = { "denied", false, "Access was refused." },
    [ERROR_HOST_UNAVAILABLE] = { "host-unavailable", true, "The host could not be reached." },
    [ERROR_CONNECTION_LOST] = { "connection-lost", true,
                                "The connection to the host broke while the job ran." },
    [ERROR_BROKER] = { "broker", true, "The broker refused or dropped the connection." },
    [ERROR_GUEST_AGENT] = { "guest-agent", true, "The agent in the guest is absent or does not answer." },
    [ERROR_LIBVIRT] = { "libvirt", false, "libvirt refused; `libvirt` has its words." },
    [ERROR_CANCELLED] = { "cancelled", false, "The job was stopped on request." },
    [ERROR_EXPIRED] = { "expired", false, "The deadline of the job has passed." },
    [ERROR_CRASHED] = { "crashed", false, "The job ended its worker too often." },
    [ERROR_INTERRUPTED] = { "interrupted", false,
                            "Its worker ended in the middle, and nothing tells what was done." },
    [ERROR_INTERNAL] = { "internal", false, "A fault of virtjob itself." },
};

static const struct error_row *error_row(enum error_code code)
{
    return &table[(unsigned)code < ERROR_LAST ? code : ERROR_INTERNAL];
}

const char *error_name(enum error_code code)
{
    return error_row(code)->name;
}

const char *error_text(enum error_code code)
{
    return error_row(code)->text;
}

bool error_is_transient(const struct error *err)
{
    return error_row(err->code)->transient && !err->lasting;
}

/* A character that the end of a buffer has cut, or bytes of a file name that never were UTF-8: JSON carries neither,
 * and without this an outcome would be lost for its message. */
static void error_make_utf8(char *text)
{
    char *out = text;

    for (size_t length; *text; text += length ? length : 1) {
        length = utf8_length(text);
        memmove(out, length ? text : "?", length ? length : 1);
        out += length ? length : 1;
    }
    *out = '\0';
}

/* On one line, whatever qemu-img or a validator has written on many. */
static void error_make_line(char *text)
{
    size_t length = strlen(text);

    while (length > 0 && isspace((unsigned char)text[length - 1]))
        text[--length] = '\0';
    for (; *text; text++)
        if (iscntrl((unsigned char)*text))
            *text = ' ';
}

static void __attribute__((format(printf, 3, 0)))
error_fill(struct error *err, enum error_code code, const char *fmt, va_list args)
{
    *err = ERROR_INIT;
    err->code = code;
    vsnprintf(err->message, sizeof(err->message), fmt, args);
    error_make_utf8(err->message);
    error_make_line(err->message);
}

int error_set(struct error *err, enum error_code code, const char *fmt, ...)
{
    va_list args;

    if (!err)
        return -1;
    va_start(args, fmt);
    error_fill(err, code, fmt, args);
    va_end(args);
    return -1;
}

int error_set_at(struct error *err, enum error_code code, const char *where, const char *fmt, ...)
{
    va_list args;

    if (!err)
        return -1;
    va_start(args, fmt);
    error_fill(err, code, fmt, args);
    va_end(args);
    return error_locate(err, where);
}

int error_set_memory(struct error *err)
{
    return error_set(err, ERROR_INTERNAL, "out of memory");
}

/* A cut must not leave half of an escape, "~0" or "~1", at the end. */
static void error_end_pointer(char *where)
{
    size_t length = strlen(where);

    if (length > 0 && where[length - 1] == '~')
        where[length - 1] = '\0';
}

int error_locate(struct error *err, const char *where)
{
    if (err && !err->has_where) {
        err->has_where = true;
        snprintf(err->where, sizeof(err->where), "%s", where);
        error_make_utf8(err->where);
        error_end_pointer(err->where);
    }
    return -1;
}

int error_set_lasting(struct error *err)
{
    if (err)
        err->lasting = true;
    return -1;
}

/* virReportSystemError leaves errno in int1; any other reporter may leave anything there. */
static enum error_code error_code_of_errno(int value)
{
    switch (value) {
    case ENOSPC:
    case EDQUOT:
        return ERROR_NO_SPACE;
    case EACCES:
    case EPERM:
        return ERROR_DENIED;
    case ENOENT:
        return ERROR_NOT_FOUND;
    case EEXIST:
        return ERROR_CONFLICT;
    case EOPNOTSUPP:
        return ERROR_UNSUPPORTED;
    default:
        return ERROR_LIBVIRT;
    }
}

/* libvirt's last error of this thread, as it was when error_keep_libvirt looked. */
struct kept_error {
    int code;
    int domain;
    int int1;
    char message[512];
};

static _Thread_local struct kept_error kept;

/* The RPC layer reports a broken transport under several codes; its domain and these words tell it from the rest. */
static bool error_is_lost_connection(const struct kept_error *from)
{
    static const char *const words[] = { "client socket is closed",
                                         "connection closed due to keepalive timeout",
                                         "received hangup event on socket",
                                         "received error event on socket" };

    if (from->domain != VIR_FROM_RPC && from->domain != VIR_FROM_REMOTE)
        return false;
    if (from->code == VIR_ERR_SYSTEM_ERROR || from->code == VIR_ERR_RPC)
        return true;
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strstr(from->message, words[i]))
            return true;
    return false;
}

static enum error_code error_code_of_libvirt(const struct kept_error *from)
{
    if (error_is_lost_connection(from))
        return ERROR_CONNECTION_LOST;
    switch (from->code) {
    case VIR_ERR_NO_DOMAIN:
    case VIR_ERR_NO_STORAGE_POOL:
    case VIR_ERR_NO_STORAGE_VOL:
    case VIR_ERR_NO_NETWORK:
        return ERROR_NOT_FOUND;
    case VIR_ERR_DOM_EXIST:
    case VIR_ERR_STORAGE_VOL_EXIST:
    case VIR_ERR_OPERATION_INVALID:
        return ERROR_CONFLICT;
    case VIR_ERR_OPERATION_TIMEOUT:
    case VIR_ERR_RESOURCE_BUSY:
        return ERROR_BUSY;
    case VIR_ERR_AGENT_UNRESPONSIVE:
    case VIR_ERR_AGENT_UNSYNCED:
        return ERROR_GUEST_AGENT;
    case VIR_ERR_NO_SUPPORT:
    case VIR_ERR_CONFIG_UNSUPPORTED:
    case VIR_ERR_OPERATION_UNSUPPORTED:
    case VIR_ERR_ARGUMENT_UNSUPPORTED:
        return ERROR_UNSUPPORTED;
    case VIR_ERR_XML_ERROR:
    case VIR_ERR_XML_DETAIL:
    case VIR_ERR_XML_INVALID_SCHEMA:
    case VIR_ERR_INVALID_ARG:
        return ERROR_INVALID;
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_AUTH_UNAVAILABLE:
    case VIR_ERR_ACCESS_DENIED:
    case VIR_ERR_OPERATION_DENIED:
        return ERROR_DENIED;
    case VIR_ERR_OPERATION_ABORTED:
        return ERROR_CANCELLED;
    case VIR_ERR_NO_CONNECT:
    case VIR_ERR_INVALID_CONN:
        return ERROR_HOST_UNAVAILABLE;
    case VIR_ERR_NO_MEMORY:
        return ERROR_INTERNAL;
    case VIR_ERR_SYSTEM_ERROR:
        return error_code_of_errno(from->int1);
    default:
        return ERROR_LIBVIRT;
    }
}

void error_keep_libvirt(void)
{
    const virError *last = virGetLastError();

    kept = (struct kept_error){ .domain = VIR_FROM_NONE };
    snprintf(kept.message, sizeof(kept.message), "%s",
             last && last->message ? last->message : "no reason given");
    error_make_utf8(kept.message);
    error_make_line(kept.message);
    if (!last)
        return;
    kept.code = last->code;
    kept.domain = last->domain;
    kept.int1 = last->int1;
}

int error_set_kept(struct error *err, const char *fmt, ...)
{
    char doing[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(doing, sizeof(doing), fmt, args);
    va_end(args);
    error_set(err, error_code_of_libvirt(&kept), "%s: %s", doing, kept.message);
    if (err && kept.code) {
        err->libvirt_code = kept.code;
        err->libvirt_domain = kept.domain;
        snprintf(err->libvirt_message, sizeof(err->libvirt_message), "%s", kept.message);
    }
    return -1;
}

json_t *error_to_json(const struct error *err)
{
    json_t *json = json_pack("{s:s, s:s}", "code", error_name(err->code), "message", err->message);

    if (json && err->has_where)
        json_object_set_new(json, "where", json_string(err->where));
    if (json && err->libvirt_code)
        json_object_set_new(json, "libvirt",
                            json_pack("{s:i, s:i, s:s}", "code", err->libvirt_code, "domain",
                                      err->libvirt_domain, "message", err->libvirt_message));
    return json;
}
