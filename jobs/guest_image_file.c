/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What is in the file of a save image, read through libvirt's storage driver: how far a save came, by whom. */

#include "guest_image.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "kill_point.h"
#include "volume.h"
#include "xml.h"

/* As libvirt's QEMU driver writes it: 16 bytes of magic, then numbers of 4 bytes in the host's order, then the XML, ended by a
 * zero byte. The magic of a whole image is written last. */
#define MAGIC_SIZE    16
#define MAGIC_WHOLE   "LibvirtQemudSave"
#define MAGIC_PARTIAL "LibvirtQemudPart"
#define AT_VERSION    16
#define AT_LENGTH     20 /* of the XML, and of what comes with it */
#define AT_RUNNING    24
#define AT_FORMAT     28
#define HEADER_SIZE   92
#define VERSION_MAX   16
#define FRONT_SIZE    (1024 * 1024) /* a longer XML is not read */

/* libvirt has one pool of a folder at a time. Of other jobs they last a moment, or as long as it takes to find that their worker
 * has died. */
#define POOL_PREFIX   "virtjob-"
#define POOL_TRIES    50
#define POOL_PAUSE_MS 100

static const char *const formats[] = { "raw", "gzip", "bzip2", "xz", "lzop", "zstd", "sparse" };

/* An image as a file in a pool. */
struct image_file {
    virStoragePoolPtr pool; /* NULL: the folder has none */
    virStorageVolPtr vol;   /* NULL: the pool does not show it */
    bool ours;              /* the pool goes with the look */
};

static void image_file_done(struct image_file *file)
{
    if (file->vol)
        virStorageVolFree(file->vol);
    if (file->pool && file->ours)
        virStoragePoolDestroy(file->pool);
    if (file->pool)
        virStoragePoolFree(file->pool);
}

static inline void cleanup_image_file(struct image_file *file)
{
    image_file_done(file);
}

#define POOL_NAME_SIZE 64

static void pool_name(struct job *job, char ret_name[POOL_NAME_SIZE])
{
    snprintf(ret_name, POOL_NAME_SIZE, POOL_PREFIX "%s", job->id);
}

static char *pool_xml(const char *name, const char *folder, struct error *err)
{
    AUTO(xml_doc) xmlDocPtr doc = xml_new("pool", err);
    xmlNodePtr target;

    if (!doc || xml_set_attribute(xmlDocGetRootElement(doc), "type", "dir", err) < 0 ||
        !xml_add(xmlDocGetRootElement(doc), "name", name, err) ||
        !(target = xml_add(xmlDocGetRootElement(doc), "target", NULL, err)) ||
        !xml_add(target, "path", folder, err))
        return NULL;
    return xml_text(doc, err);
}

/* Transient: it goes when it is destroyed, and its files stay. */
static int pool_make(struct job *job, const char *folder, struct image_file *file, struct error *err)
{
    char name[POOL_NAME_SIZE];
    AUTO(string) char *text = NULL;

    pool_name(job, name);
    if (!(text = pool_xml(name, folder, err)))
        return -1;
    kill_point("before-image-pool");
    if (!(file->pool = virStoragePoolCreateXML(job->conn, text, 0))) {
        error_set_libvirt(err, "looking into the folder '%s'", folder);
        return error_locate(err, "/params/path");
    }
    kill_point("after-image-pool");
    file->ours = true;
    return 0;
}

/* `wait`: rather than to use a pool that another job has made for the moment, and may take away in the middle. */
static int file_find_pool(struct job *job, const char *folder, bool make, bool wait, struct image_file *file,
                          struct error *err)
{
    char name[POOL_NAME_SIZE];

    pool_name(job, name);
    file->pool = virStoragePoolLookupByTargetPath(job->conn, folder);
    if (!file->pool) {
        if (virGetLastErrorCode() != VIR_ERR_NO_STORAGE_POOL && virGetLastErrorCode() != VIR_ERR_NO_SUPPORT)
            return error_set_libvirt(err, "looking for a pool of the folder '%s'", folder);
        return make ? pool_make(job, folder, file, err) : 0;
    }
    file->ours = strcmp(virStoragePoolGetName(file->pool), name) == 0;
    if (make && wait && !file->ours &&
        strncmp(virStoragePoolGetName(file->pool), POOL_PREFIX, strlen(POOL_PREFIX)) == 0)
        return error_set(err, ERROR_BUSY, "another job looks into the folder '%s'", folder);
    return 0;
}

/* libvirt knows of a file in a pool only since it last looked. */
static int file_find_volume(struct image_file *file, const char *name, struct error *err)
{
    if ((file->vol = virStorageVolLookupByName(file->pool, name)))
        return 0;
    if (virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL && virStoragePoolRefresh(file->pool, 0) == 0 &&
        (file->vol = virStorageVolLookupByName(file->pool, name)))
        return 0;
    if (virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL)
        return 0;
    return error_set_libvirt(err, "looking for the file '%s' in pool '%s'", name,
                             virStoragePoolGetName(file->pool));
}

static int file_find_once(struct job *job, const char *path, bool make, bool wait, struct image_file *file,
                          struct error *err)
{
    const char *slash = strrchr(path, '/');
    AUTO(string) char *folder = slash ? strndup(path, (size_t)(slash - path)) : NULL;

    if (!folder)
        return error_set_memory(err);
    if (file_find_pool(job, folder, make, wait, file, err) < 0)
        return -1;
    return file->pool ? file_find_volume(file, slash + 1, err) : 0;
}

/* After libvirtd has died many jobs come again at once, to images in one folder. */
static int file_find(struct job *job, const char *path, bool make, struct image_file *file, struct error *err)
{
    for (int tries = 1;; tries++) {
        struct error failure = ERROR_INIT;

        if (file_find_once(job, path, make, tries < POOL_TRIES, file, &failure) == 0)
            return 0;
        image_file_done(file);
        *file = (struct image_file){ 0 };
        if (tries >= POOL_TRIES || !make || failure.code == ERROR_CONNECTION_LOST) {
            *err = failure;
            return -1;
        }
        if (job_wait(job, POOL_PAUSE_MS, err) < 0)
            return -1;
    }
}

static uint32_t front_number(const unsigned char *front, size_t at)
{
    uint32_t number;

    memcpy(&number, front + at, sizeof(number));
    return number;
}

static void image_take_header(const unsigned char *front, struct guest_image *image)
{
    uint32_t format = front_number(front, AT_FORMAT);

    image->format = format < sizeof(formats) / sizeof(*formats) ? formats[format] : NULL;
    image->guest_state = front_number(front, AT_RUNNING) ? "running" : "paused";
}

/* Of a partial one. What cannot be read is not known. */
static int image_take_xml(const unsigned char *front, size_t length, struct guest_image *image,
                          struct error *err)
{
    size_t size = front_number(front, AT_LENGTH);
    struct error ignored = ERROR_INIT;
    AUTO(string) char *text = NULL;

    if (size > length - HEADER_SIZE)
        size = length - HEADER_SIZE;
    if (!(text = strndup((const char *)front + HEADER_SIZE, size)))
        return error_set_memory(err);
    if ((image->doc = xml_parse(text, "domain", NULL, &ignored)))
        stamp_get_guest(image->doc, &image->stamp);
    return 0;
}

/* What a host of the other byte order has written is not looked into. */
static int image_take_front(const unsigned char *front, size_t length, struct guest_image *image,
                            struct error *err)
{
    bool partial = length >= HEADER_SIZE && memcmp(front, MAGIC_PARTIAL, MAGIC_SIZE) == 0;

    if (length == 0 && image->state == GUEST_IMAGE_OTHER)
        image->state = GUEST_IMAGE_EMPTY;
    if (!partial && (length < HEADER_SIZE || memcmp(front, MAGIC_WHOLE, MAGIC_SIZE) != 0))
        return 0;
    if (front_number(front, AT_VERSION) > VERSION_MAX)
        return 0;
    image_take_header(front, image);
    if (!partial || image->state != GUEST_IMAGE_OTHER)
        return 0;
    image->state = GUEST_IMAGE_PARTIAL;
    return image_take_xml(front, length, image, err);
}

/* A folder, and what else is no file, cannot be read, and is nothing that a save has begun. */
static int image_read(const struct image_file *file, struct guest_image *image, struct error *err)
{
    AUTO(memory) void *front = malloc(FRONT_SIZE);
    virStorageVolInfo info;
    size_t length = 0;

    if (!front)
        return error_set_memory(err);
    if (virStorageVolGetInfo(file->vol, &info) < 0)
        return error_set_libvirt(err, "looking at the file '%s'", virStorageVolGetName(file->vol));
    if (info.type != VIR_STORAGE_VOL_FILE)
        return 0;
    if (volume_read_front(file->vol, front, FRONT_SIZE, &length, err) < 0)
        return -1;
    if (length == 0 && info.capacity > 0) /* the pool's driver cannot read it */
        return 0;
    return image_take_front(front, length, image, err);
}

int guest_image_look_closely(struct job *job, const char *path, bool pool, struct guest_image *image,
                             struct error *err)
{
    AUTO(image_file) struct image_file file = { 0 };

    if (image->state == GUEST_IMAGE_NONE)
        return 0;
    if (file_find(job, path, pool, &file, err) < 0)
        return -1;
    return file.vol ? image_read(&file, image, err) : 0;
}

int guest_image_remove(struct job *job, const char *path, struct error *err)
{
    AUTO(image_file) struct image_file file = { 0 };

    if (file_find(job, path, true, &file, err) < 0)
        return -1;
    kill_point("before-image-remove");
    if (file.vol && virStorageVolDelete(file.vol, 0) < 0)
        return error_set_libvirt(err, "removing the partial image '%s'", path);
    kill_point("after-image-remove");
    return 0;
}

int guest_image_sweep(struct job *job, struct error *err)
{
    AUTO(pool) virStoragePoolPtr pool = NULL;
    char name[POOL_NAME_SIZE];

    pool_name(job, name);
    pool = virStoragePoolLookupByName(job->conn, name);
    if (!pool &&
        (virGetLastErrorCode() == VIR_ERR_NO_STORAGE_POOL || virGetLastErrorCode() == VIR_ERR_NO_SUPPORT))
        return 0;
    if (!pool || virStoragePoolDestroy(pool) < 0)
        return error_set_libvirt(err, "removing the pool '%s'", name);
    return 0;
}
