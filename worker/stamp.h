/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Stamps: the record that a job leaves in libvirt of what it creates, so that whoever gets the job next can tell its
 * own beginnings from somebody else's things.
 *
 * A volume's record is a small volume beside it, `<name>.virtjob`, whose content is JSON. It is made before the volume
 * (`intended`), changed when libvirt has returned (`done`), and cleared when the job's outcome is safe. Making it is
 * what excludes others: of two jobs, only one can make the record of a name. A guest's record is an element in its
 * metadata, a part of the very XML that defines it; it stays, and says where the guest came from. */

#ifndef VIRTJOB_STAMP_H
#define VIRTJOB_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <libvirt/libvirt.h>
#include <libxml/tree.h>

#include "error.h"

#define STAMP_ID_SIZE   37
#define STAMP_TYPE_SIZE 65

#define STAMP_SUFFIX    ".virtjob"
#define STAMP_NAMESPACE "https://virtjob.io/xmlns/stamp/1"

enum stamp_state {
    STAMP_NONE, /* there is no record */
    STAMP_BLANK, /* a record of which nothing can be read: its writer died before it wrote, or it is not ours */
    STAMP_INTENDED, /* may have been begun; may be whole, a part, or not there at all */
    STAMP_DONE,     /* libvirt has said that it is whole */
};

/* A record. A plain value, but for `result`: stamp_done frees it. */
struct stamp {
    enum stamp_state state;
    char job[STAMP_ID_SIZE];    /* whose it is; "" where blank */
    char type[STAMP_TYPE_SIZE]; /* of the job */
    bool part;                  /* of a job that makes more than this volume */
    bool replaced;   /* guests: there was another definition before: to undefine the guest undoes nothing */
    int64_t time_ms; /* since 1970: when it was first written; of a blank one when its file was, 0 unknown */
    uint64_t capacity; /* volumes: of what is to be made; 0: not told */
    /* Save images, blank ones too: the job that was the first to restore it; "" where none was. */
    char restored[STAMP_ID_SIZE];
    int64_t restored_ms; /* since 1970: when it began to */
    bool restored_done;  /* that it has, was seen */
    int64_t file_ns;     /* volumes, intended: when its file was written, by that file system's clock */
    json_t *result;      /* volumes: what the handler wants to know again; NULL: nothing */
};

void stamp_done(struct stamp *stamp);

static inline void cleanup_stamp(struct stamp *stamp)
{
    stamp_done(stamp);
}

/* Whether it is the stamp of this job (never where blank or none). */
bool stamp_is_of(const struct stamp *stamp, const char *job);

/* How old it is by our clock, in milliseconds: never negative, INT64_MAX where nothing tells. */
int64_t stamp_age_ms(const struct stamp *stamp);

/* Milliseconds since 1970 as stamps have them, "2026-11-20T12:00:00.123Z". */
#define STAMP_TIME_SIZE 32
void stamp_time_text(int64_t ms, char ret_text[STAMP_TIME_SIZE]);

/* Volumes. `pool` is active, `volume` the name of what is stamped. Any thread; each is a few short calls of libvirt. A
 * pool whose driver cannot write into its volumes (libvirt's test driver) has no stamps: read finds none, and the others
 * succeed without leaving anything; stamp_intend_volume tells. Pools whose volumes are no files have none either; there
 * it must not be called. */

/* Whether the name is that of a record: never shown, never to be made by name. */
bool stamp_is_record(const char *volume);

/* Fills `ret_stamp` (stamp_done), with STAMP_NONE where there is none. -1 where nothing is known. */
int stamp_read_volume(virStoragePoolPtr pool, const char *volume, struct stamp *ret_stamp, struct error *err);

/* Whether the volume was there before its record was written, so that the record says nothing of it: a worker that had
 * been stopped for long wrote it too late, or the volume is somebody else's. `stamp` is an intended one, as it was
 * read. Where nothing tells, false. */
bool stamp_is_late(const struct stamp *stamp, virStorageVolPtr vol);

/* Makes the record, as intended, with the time of now where `stamp` has none. ERROR_BUSY where there is one already, be
 * it whose it may. *ret_kept (may be NULL) is false where the pool has none. */
int stamp_intend_volume(virStoragePoolPtr pool, const char *volume, const struct stamp *stamp, bool *ret_kept,
                        struct error *err);

/* Writes over the record, which the caller has found to be its job's, or free to be taken over. ERROR_BUSY where it has
 * just gone. */
int stamp_write_volume(virStoragePoolPtr pool, const char *volume, const struct stamp *stamp,
                       struct error *err);

/* Makes the record done. One that has gone is success: nobody needs it. */
int stamp_finish_volume(virStoragePoolPtr pool, const char *volume, struct error *err);

/* Deletes the record where it is this job's (NULL: whosever). One that is not there, or another's, is success. */
int stamp_clear_volume(virStoragePoolPtr pool, const char *volume, const char *job, struct error *err);

/* Guests. */

/* Puts the stamp, with the time of now where it has none, into a domain XML, in place of any that is there: a copied XML
 * has its original's. */
int stamp_put_guest(xmlDocPtr doc, const struct stamp *stamp, struct error *err);

/* The stamp in a domain XML; STAMP_NONE where it has none. */
void stamp_get_guest(xmlDocPtr doc, struct stamp *ret_stamp);

/* Takes it out, and metadata that holds nothing else: to compare what two definitions say besides. */
void stamp_remove_guest(xmlDocPtr doc);

/* The stamp in the persistent definition, or in the live one of a transient guest; STAMP_NONE where there is none, or no
 * such guest any more. ERROR_UNSUPPORTED where the driver keeps no metadata. */
int stamp_read_guest(virDomainPtr dom, struct stamp *ret_stamp, struct error *err);

/* The same in the guest that runs alone, which may have another one: that of the image that it was restored from. */
int stamp_read_guest_live(virDomainPtr dom, struct stamp *ret_stamp, struct error *err);

/* Marks the stamp done where it is this job's and intended, in the definition and in the guest that runs. One that is gone,
 * another's stamp, or a driver without any, is success. */
int stamp_finish_guest(virDomainPtr dom, const char *job, struct error *err);

#endif
