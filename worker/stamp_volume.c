/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The record of a volume: another volume beside it, written and read by libvirt's streams. After each upload libvirt
 * reads its whole pool again, which with thousands of volumes takes a good part of a second: so a record is written
 * once, and its becoming done is told by its growing, for which nothing is read. */

#include "stamp_internal.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "cleanup.h"
#include "envelope.h"
#include "kill_point.h"
#include "xml.h"

/* Sparse: on the disk it is one block. A larger one is done, whatever its text says. */
#define RECORD_BYTES 65536
#define DONE_BYTES   (2 * RECORD_BYTES)
/* Of its text, with the zero at its end. */
#define TEXT_BYTES 8192

#define NOT_KEPT   1

/* Who reads a record has it in use for a moment, in which libvirt refuses to change it. */
#define INSISTENCE     100
#define INSIST_WAIT_MS 10

CLEANUP_DEFINE(stream, virStreamPtr, virStreamFree)

bool stamp_is_record(const char *volume)
{
    size_t length = strlen(volume), suffix = strlen(STAMP_SUFFIX);

    return length >= suffix && strcmp(volume + length - suffix, STAMP_SUFFIX) == 0;
}

static char *record_name(const char *volume, struct error *err)
{
    char *name = NULL;

    if (asprintf(&name, "%s%s", volume, STAMP_SUFFIX) >= 0)
        return name;
    error_set_memory(err);
    return NULL;
}

/* NULL where there is none. */
static int record_find(virStoragePoolPtr pool, const char *volume, virStorageVolPtr *ret_record,
                       struct error *err)
{
    AUTO(string) char *name = record_name(volume, err);

    if (!name)
        return -1;
    *ret_record = virStorageVolLookupByName(pool, name);
    if (*ret_record || virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL)
        return 0;
    return error_set_libvirt(err, "looking for the record of volume '%s'", volume);
}

static char *record_xml(const char *volume, struct error *err)
{
    static const char frame[] =
        "<volume><capacity unit='bytes'>65536</capacity><allocation>0</allocation>"
        "<target><format type='raw'/><permissions><mode>0600</mode></permissions></target></volume>";
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(frame, "volume", NULL, err);
    AUTO(string) char *name = record_name(volume, err);

    if (!doc || !name || !xml_add(xmlDocGetRootElement(doc), "name", name, err))
        return NULL;
    return xml_text(doc, err);
}

/* Reading. */

/* As far as it is text: the rest is zeros, or the end of a longer text that was here before. */
static int stream_read(virStreamPtr stream, char *text, size_t size, size_t *ret_length)
{
    size_t length = 0;
    int got = 1;

    while (got > 0 && length < size) {
        got = virStreamRecv(stream, text + length, size - length);
        length += got > 0 ? (size_t)got : 0;
    }
    if (got < 0)
        return -1; /* which has aborted it */
    *ret_length = strnlen(text, length);
    return got == 0 ? virStreamFinish(stream) : virStreamAbort(stream);
}

/* 0 where libvirt does not tell. */
static int64_t volume_time_ns(xmlDocPtr doc, const char *xpath)
{
    AUTO(string) char *text = doc ? xml_get(doc, xpath) : NULL;
    char *rest = NULL;
    int64_t seconds = text ? strtoll(text, &rest, 10) : 0;

    if (seconds <= 0 || seconds > INT64_MAX / 2000000000)
        return 0;
    return seconds * 1000000000 + (*rest == '.' ? strtoll(rest + 1, NULL, 10) % 1000000000 : 0);
}

static xmlDocPtr volume_describe(virStorageVolPtr vol)
{
    AUTO(string) char *text = virStorageVolGetXMLDesc(vol, 0);

    return text ? xml_parse(text, "volume", NULL, NULL) : NULL;
}

#define MTIME "/volume/target/timestamps/mtime"
#define BTIME "/volume/target/timestamps/btime"

bool stamp_is_late(const struct stamp *stamp, virStorageVolPtr vol)
{
    AUTO(xml_doc) xmlDocPtr doc = volume_describe(vol);
    int64_t born_ns = volume_time_ns(doc, BTIME);
    int64_t made_ns = born_ns ? born_ns : volume_time_ns(doc, MTIME);

    return stamp->file_ns > 0 && made_ns > 0 && made_ns < stamp->file_ns;
}

/* Of a blank one nothing else tells whether somebody may be at it. */
static void record_date(virStorageVolPtr record, struct stamp *stamp)
{
    AUTO(xml_doc) xmlDocPtr doc = volume_describe(record);

    stamp->file_ns = volume_time_ns(doc, MTIME);
    if (stamp->state == STAMP_BLANK)
        stamp->time_ms = stamp->file_ns / 1000000;
}

/* What cannot be read since it has gone, is just being made, or cannot be read at all by this driver. */
static int record_read_not(virStorageVolPtr record, struct stamp *stamp, struct error *err)
{
    switch (virGetLastErrorCode()) {
    case VIR_ERR_NO_STORAGE_VOL:
    case VIR_ERR_NO_SUPPORT:
        stamp_done(stamp);
        return 0;
    case VIR_ERR_OPERATION_INVALID:
        *stamp = (struct stamp){ .state = STAMP_BLANK, .time_ms = envelope_now_ms() };
        return 0;
    default:
        return error_set_libvirt(err, "reading record '%s'", virStorageVolGetName(record));
    }
}

/* Its date before its size: it grows when it is done, and has the date of that then. */
static int record_read_state(virStorageVolPtr record, struct stamp *stamp, struct error *err)
{
    virStorageVolInfo info;

    record_date(record, stamp);
    if (stamp->state == STAMP_INTENDED && virStorageVolGetInfo(record, &info) < 0)
        return record_read_not(record, stamp, err);
    if (stamp->state == STAMP_INTENDED && info.capacity > RECORD_BYTES)
        stamp->state = STAMP_DONE;
    return 0;
}

/* All but whether it has grown. */
static int record_read_text(virStorageVolPtr record, struct stamp *ret_stamp, struct error *err)
{
    AUTO(stream) virStreamPtr stream = virStreamNew(virStorageVolGetConnect(record), 0);
    char text[TEXT_BYTES];
    size_t length = 0;

    if (!stream || virStorageVolDownload(record, stream, 0, sizeof(text), 0) < 0 ||
        stream_read(stream, text, sizeof(text), &length) < 0)
        return record_read_not(record, ret_stamp, err);
    stamp_from_text(text, length, ret_stamp);
    return 0;
}

static int record_read(virStorageVolPtr record, struct stamp *ret_stamp, struct error *err)
{
    if (record_read_text(record, ret_stamp, err) == 0 && record_read_state(record, ret_stamp, err) == 0)
        return 0;
    stamp_done(ret_stamp);
    return -1;
}

int stamp_read_volume(virStoragePoolPtr pool, const char *volume, struct stamp *ret_stamp, struct error *err)
{
    AUTO(volume) virStorageVolPtr record = NULL;

    *ret_stamp = (struct stamp){ .state = STAMP_NONE };
    if (record_find(pool, volume, &record, err) < 0)
        return -1;
    return record ? record_read(record, ret_stamp, err) : 0;
}

/* Writing. */

/* Whether a call that has just failed should be tried again. Libvirt has no event for it. */
static bool record_insist(int *tries)
{
    if (virGetLastErrorCode() != VIR_ERR_OPERATION_INVALID || (*tries)++ == INSISTENCE)
        return false;
    poll(NULL, 0, INSIST_WAIT_MS);
    return true;
}

static int record_resize(virStorageVolPtr record, uint64_t capacity, unsigned flags)
{
    int tries = 0, rc;

    do
        rc = virStorageVolResize(record, capacity, flags);
    while (rc < 0 && record_insist(&tries));
    return rc;
}

static int record_delete(virStorageVolPtr record)
{
    int tries = 0, rc;

    do
        rc = virStorageVolDelete(record, 0);
    while (rc < 0 && record_insist(&tries));
    return rc;
}

static int stream_write(virStreamPtr stream, const char *text, size_t length)
{
    while (length > 0) {
        int sent = virStreamSend(stream, text, length);

        if (sent < 0)
            return -1;
        text += sent;
        length -= (size_t)sent;
    }
    return virStreamFinish(stream);
}

/* Somebody has taken it for an old one and made another, or it was cleared: to be tried again. */
static int record_fail(virStorageVolPtr record, struct error *err)
{
    if (virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL)
        return error_set(err, ERROR_BUSY, "record '%s' has just gone", virStorageVolGetName(record));
    return error_set_libvirt(err, "writing record '%s'", virStorageVolGetName(record));
}

/* Its error is libvirt's last one, so nothing is freed here but what was in vain. */
static int record_open(virStorageVolPtr record, size_t length, virStreamPtr *ret_stream)
{
    int tries = 0, rc;

    do {
        cleanup_stream(ret_stream);
        *ret_stream = virStreamNew(virStorageVolGetConnect(record), 0);
        rc = *ret_stream ? virStorageVolUpload(record, *ret_stream, 0, length, 0) : -1;
    } while (rc < 0 && record_insist(&tries));
    return rc;
}

/* With the zero at its end, behind which a longer text may go on. NOT_KEPT: the driver cannot write. */
static int record_upload(virStorageVolPtr record, const struct stamp *stamp, struct error *err)
{
    AUTO(string) char *text = stamp_to_text(stamp, err);
    AUTO(stream) virStreamPtr stream = NULL;
    size_t size = text ? strlen(text) + 1 : 0;

    if (!text)
        return -1;
    if (size > TEXT_BYTES)
        return error_set(err, ERROR_INTERNAL, "the record of a volume has %zu bytes", size);
    if (record_open(record, size, &stream) == 0 && stream_write(stream, text, size) == 0)
        return 0;
    return virGetLastErrorCode() == VIR_ERR_NO_SUPPORT ? NOT_KEPT : record_fail(record, err);
}

/* A file of that name may be there without libvirt's knowing, made by another host on a shared file system. */
static int record_refuse(virStoragePoolPtr pool, const char *volume, struct error *err)
{
    AUTO(volume) virStorageVolPtr record = NULL;

    if (record_find(pool, volume, &record, err) < 0)
        return -1;
    if (!record)
        virStoragePoolRefresh(pool, 0);
    return error_set(err, ERROR_BUSY, "there is a record of volume '%s' already", volume);
}

static int record_create(virStoragePoolPtr pool, const char *volume, virStorageVolPtr *ret_record,
                         struct error *err)
{
    AUTO(string) char *xml = record_xml(volume, err);
    struct error failure = ERROR_INIT;

    if (!xml)
        return -1;
    *ret_record = virStorageVolCreateXML(pool, xml, 0);
    if (*ret_record)
        return 0;
    error_set_libvirt(&failure, "making the record of volume '%s'", volume);
    if (failure.code == ERROR_CONFLICT)
        return record_refuse(pool, volume, err);
    if (err)
        *err = failure;
    return -1;
}

int stamp_intend_volume(virStoragePoolPtr pool, const char *volume, const struct stamp *stamp, bool *ret_kept,
                        struct error *err)
{
    AUTO(volume) virStorageVolPtr record = NULL;
    struct error failure = ERROR_INIT;

    if (record_create(pool, volume, &record, err) < 0)
        return -1;
    kill_point("after-record");
    int rc = record_upload(record, stamp, &failure);
    if (rc != 0 && failure.code != ERROR_BUSY)
        record_delete(record);
    if (rc < 0) {
        if (err)
            *err = failure;
        return -1;
    }
    if (ret_kept)
        *ret_kept = rc != NOT_KEPT;
    return 0;
}

/* A record that has grown would be done. */
static int record_shrink(virStorageVolPtr record, struct error *err)
{
    virStorageVolInfo info;

    if (virStorageVolGetInfo(record, &info) == 0 &&
        (info.capacity <= RECORD_BYTES ||
         record_resize(record, RECORD_BYTES, VIR_STORAGE_VOL_RESIZE_SHRINK) == 0))
        return 0;
    return record_fail(record, err);
}

int stamp_write_volume(virStoragePoolPtr pool, const char *volume, const struct stamp *stamp,
                       struct error *err)
{
    AUTO(volume) virStorageVolPtr record = NULL;

    if (record_find(pool, volume, &record, err) < 0)
        return -1;
    if (!record)
        return error_set(err, ERROR_BUSY, "the record of volume '%s' has just gone", volume);
    if (stamp->state != STAMP_DONE && record_shrink(record, err) < 0)
        return -1;
    return record_upload(record, stamp, err) < 0 ? -1 : 0;
}

int stamp_finish_volume(virStoragePoolPtr pool, const char *volume, struct error *err)
{
    AUTO(volume) virStorageVolPtr record = NULL;

    if (record_find(pool, volume, &record, err) < 0)
        return -1;
    if (!record || record_resize(record, DONE_BYTES, 0) == 0 ||
        virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL)
        return 0;
    return record_fail(record, err);
}

int stamp_clear_volume(virStoragePoolPtr pool, const char *volume, const char *job, struct error *err)
{
    AUTO(volume) virStorageVolPtr record = NULL;
    AUTO(stamp) struct stamp stamp = { .state = STAMP_NONE };

    if (record_find(pool, volume, &record, err) < 0)
        return -1;
    if (!record)
        return 0;
    if (job && record_read_text(record, &stamp, err) < 0)
        return -1;
    if (job && !stamp_is_of(&stamp, job))
        return 0;
    if (record_delete(record) == 0 || virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL)
        return 0;
    return error_set_libvirt(err, "clearing the record of volume '%s'", volume);
}
