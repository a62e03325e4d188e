/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The file that a guest is saved into, as far as our jobs go: what it is, whose it is, whether it was restored.
 *
 * libvirt tells the XML in it where it is whole, and no more than "no such image" where it is not. What else is in a file
 * is read by way of a storage pool of its folder, never by opening it: the host may be another machine. */

#ifndef VIRTJOB_GUEST_IMAGE_H
#define VIRTJOB_GUEST_IMAGE_H

#include <libxml/tree.h>

#include "job.h"
#include "stamp.h"

enum guest_image_state {
    GUEST_IMAGE_NONE,    /* no file is there */
    GUEST_IMAGE_WHOLE,   /* the guest can be restored from it */
    GUEST_IMAGE_PARTIAL, /* a save has begun it, and not ended */
    GUEST_IMAGE_EMPTY,   /* a file of no bytes, as it is in the first moments of a save */
    GUEST_IMAGE_OTHER,   /* anything else; before a close look, the last two as well */
};

struct guest_image {
    enum guest_image_state state;
    xmlDocPtr
        doc; /* the guest's XML: of a whole one, and of a partial one as far as it can be read; NULL: not known */
    struct stamp stamp;      /* in there; STAMP_NONE where it has none, or is not known */
    char *fault;             /* libvirt's words on a file that is no whole image; NULL: none */
    const char *format;      /* static; NULL: not known */
    const char *guest_state; /* in which the guest will be: "running", "paused"; static, NULL: not known */
};

void guest_image_done(struct guest_image *image);

static inline void cleanup_guest_image(struct guest_image *image)
{
    guest_image_done(image);
}

/* Asks libvirt. `secrets`: with those in the XML, so that it can be given back. Replaces what `image` held. */
int guest_image_look(struct job *job, const char *path, bool secrets, struct guest_image *image,
                     struct error *err);

/* Whether the stamp is this job's. */
bool guest_image_is_own(struct job *job, const struct guest_image *image);

/* Whether a save of this job has begun the file, and not ended: its part may be removed. Of a job that comes again, so is
 * a file of no bytes, which is no loss in any case. */
bool guest_image_is_remnant(struct job *job, const struct guest_image *image);

/* Copies of the guest's name and UUID, to free(); NULL where they are not known. */
char *guest_image_name(const struct guest_image *image);
char *guest_image_uuid(const struct guest_image *image);

/* Writes image->stamp into the image, and `doc`. ERROR_LIBVIRT where there is no room for it. */
int guest_image_put_stamp(struct job *job, const char *path, struct guest_image *image, struct error *err);

/* What is to be in the image, or to run: params.xml, or else `own`, with the job's stamp. It says done from the start: whether it
 * is, the file or the guest tells, and a guest that is restored from it is not to be taken for one whose making was broken
 * off. The secrets of `own` stay (guest_keep_secrets). NULL: error. */
char *guest_image_xml(struct job *job, xmlDocPtr own, struct error *err);

/* guest_image_file.c */

/* Looks into the file: tells PARTIAL and EMPTY from OTHER, format, and state. Where the folder has no pool, one is made for
 * the moment (`pool`), or nothing more is known than before. */
int guest_image_look_closely(struct job *job, const char *path, bool pool, struct guest_image *image,
                             struct error *err);

/* Deletes the file. One that has gone is success. */
int guest_image_remove(struct job *job, const char *path, struct error *err);

/* The pool that an attempt of this job may have left behind. */
int guest_image_sweep(struct job *job, struct error *err);

#endif
