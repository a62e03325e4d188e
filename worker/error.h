/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What went wrong, for whom, and whether trying again may help.
 *
 * A function that can fail returns 0 or -1 and takes a `struct error *` last. It sets the error once, in the line
 * that returns. The struct is a plain value: no ownership, may be copied, starts as `ERROR_INIT`. */

#ifndef VIRTJOB_ERROR_H
#define VIRTJOB_ERROR_H

#include <stdbool.h>
#include <stdarg.h>

#include <jansson.h>

/* The codes are a part of the contract: `error.code` in a failed outcome is the name from the table in error.c. */
enum error_code {
    ERROR_NONE,
    ERROR_INVALID,          /* the job, a file or an option breaks its schema */
    ERROR_TOO_LARGE,        /* a body above the configured limit */
    ERROR_UNKNOWN_TYPE,     /* no such job type */
    ERROR_UNKNOWN_HOST,     /* this worker does not serve the host */
    ERROR_UNSUPPORTED,      /* the host, pool or format cannot do that */
    ERROR_NOT_FOUND,        /* a guest, volume, pool or file is not there */
    ERROR_CONFLICT,         /* something else already has that name, UUID or state */
    ERROR_NO_SPACE,         /* a pool, file system or quota is full */
    ERROR_BUSY,             /* in use just now: a lock, a volume still being allocated */
    ERROR_TIMEOUT,          /* not finished in the time that was given */
    ERROR_STALLED,          /* a migration did not get on, and was stopped */
    ERROR_DENIED,           /* libvirt, the broker or the file system refused access */
    ERROR_HOST_UNAVAILABLE, /* the host could not be reached: nothing was begun */
    ERROR_CONNECTION_LOST,  /* the connection broke in the middle: what was begun may go on */
    ERROR_BROKER,           /* AMQP: connection, channel or declaration refused */
    ERROR_GUEST_AGENT,      /* the guest's agent is absent or does not answer */
    ERROR_LIBVIRT,          /* any other libvirt error; see `libvirt` beside it */
    ERROR_CANCELLED,        /* stopped on request */
    ERROR_EXPIRED,          /* the deadline passed */
    ERROR_CRASHED,          /* the job killed its worker too often */
    ERROR_INTERRUPTED,      /* its worker ended in the middle; how far it had come, nothing tells */
    ERROR_INTERNAL,         /* a fault of virtjob itself, out of memory included */
    ERROR_LAST
};

struct error {
    enum error_code code;
    char message[512]; /* one sentence for a person, no final full stop */
    char where[256];   /* JSON pointer into the job (RFC 6901), "" for the whole; valid when has_where */
    bool has_where;
    bool lasting;              /* will not pass by itself, whatever its code: no reason to try again */
    int libvirt_code;          /* virErrorNumber, 0 where libvirt had no part */
    int libvirt_domain;        /* virErrorDomain */
    char libvirt_message[512]; /* as libvirt said it */
};

#define ERROR_INIT ((struct error){ .code = ERROR_NONE })

/* Each sets *err (NULL is allowed and ignored) and returns -1, to be used as `return error_set(...)`. */
int error_set(struct error *err, enum error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* With the JSON pointer of the fault, as "/params/target/volume". */
int error_set_at(struct error *err, enum error_code code, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* From libvirt's last error of this thread (virGetLastError): `fmt` says what was being done, as "starting guest
 * 'web-7'". The code follows from libvirt's code, domain and errno; ERROR_LIBVIRT where nothing closer is known. */
#define error_set_libvirt(err, ...) (error_keep_libvirt(), error_set_kept((err), __VA_ARGS__))

/* Almost every call of libvirt's forgets the last error, virDomainGetName too: so it is kept before the arguments of
 * the message are evaluated. */
void error_keep_libvirt(void);
int error_set_kept(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Out of memory. */
int error_set_memory(struct error *err);

/* Adds the pointer of the fault to an error that has none yet; returns -1. */
int error_locate(struct error *err, const char *where);

/* Marks an error that will not pass by itself though others of its code do; returns -1. */
int error_set_lasting(struct error *err);

/* "no-space": the stable name; "internal" for a code out of range. Static. */
const char *error_name(enum error_code code);

/* One sentence that explains the code, for `virtjob --help` and the man page. Static. */
const char *error_text(enum error_code code);

/* Whether the same job may succeed when tried again later. */
bool error_is_transient(const struct error *err);

/* {"code", "message", "where"?, "libvirt"? {"code", "domain", "message"}}: a new reference, NULL without memory. */
json_t *error_to_json(const struct error *err);

#endif
