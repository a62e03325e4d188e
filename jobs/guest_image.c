/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What libvirt tells of a save image, and the stamp in it. */

#include "guest_image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "guest_internal.h"
#include "kill_point.h"
#include "xml.h"

void guest_image_done(struct guest_image *image)
{
    if (image->doc)
        xmlFreeDoc(image->doc);
    stamp_done(&image->stamp);
    free(image->fault);
    *image = (struct guest_image){ .state = GUEST_IMAGE_NONE };
}

/* The drivers say in several ways that a file is no image; that they could not look is none of them. */
static bool fault_is_of_image(const virError *fault)
{
    if (fault->domain == VIR_FROM_RPC || fault->domain == VIR_FROM_REMOTE)
        return false;
    return fault->code == VIR_ERR_OPERATION_FAILED || fault->code == VIR_ERR_INTERNAL_ERROR ||
           (fault->code == VIR_ERR_SYSTEM_ERROR &&
            (fault->int1 == EISDIR || fault->int1 == 0)); /* too short */
}

static bool fault_is_absence(const virError *fault)
{
    return fault->domain != VIR_FROM_RPC && fault->domain != VIR_FROM_REMOTE &&
           fault->code == VIR_ERR_SYSTEM_ERROR && fault->int1 == ENOENT;
}

static int image_take_fault(struct guest_image *image, const char *path, struct error *err)
{
    const virError *fault = virGetLastError();

    if (fault && fault_is_absence(fault))
        return 0;
    if (!fault || !fault_is_of_image(fault)) {
        error_set_libvirt(err, "looking at the image '%s'", path);
        return err && err->code == ERROR_CONNECTION_LOST ? -1 : error_locate(err, "/params/path");
    }
    image->state = GUEST_IMAGE_OTHER;
    image->fault = strdup(fault->message ? fault->message : "");
    return image->fault ? 0 : error_set_memory(err);
}

int guest_image_look(struct job *job, const char *path, bool secrets, struct guest_image *image,
                     struct error *err)
{
    unsigned int flags = secrets ? VIR_DOMAIN_SAVE_IMAGE_XML_SECURE : 0;
    AUTO(string) char *text = virDomainSaveImageGetXMLDesc(job->conn, path, flags);

    guest_image_done(image);
    if (!text)
        return image_take_fault(image, path, err);
    if (!(image->doc = xml_parse(text, "domain", NULL, err)))
        return error_locate(err, "/params/path");
    image->state = GUEST_IMAGE_WHOLE;
    stamp_get_guest(image->doc, &image->stamp);
    return 0;
}

bool guest_image_is_own(struct job *job, const struct guest_image *image)
{
    return stamp_is_of(&image->stamp, job->id);
}

bool guest_image_is_remnant(struct job *job, const struct guest_image *image)
{
    if (image->state == GUEST_IMAGE_EMPTY)
        return job->again;
    return image->state == GUEST_IMAGE_PARTIAL && guest_image_is_own(job, image);
}

char *guest_image_name(const struct guest_image *image)
{
    return image->doc ? xml_get(image->doc, "/domain/name") : NULL;
}

char *guest_image_uuid(const struct guest_image *image)
{
    return image->doc ? xml_get(image->doc, "/domain/uuid") : NULL;
}

/* A stamp that says nothing any more is taken out. */
static int image_stamp_doc(struct guest_image *image, struct error *err)
{
    if (image->stamp.job[0] || image->stamp.restored[0])
        return stamp_put_guest(image->doc, &image->stamp, err);
    stamp_remove_guest(image->doc);
    return 0;
}

int guest_image_put_stamp(struct job *job, const char *path, struct guest_image *image, struct error *err)
{
    AUTO(string) char *text = NULL;

    if (image_stamp_doc(image, err) < 0 || !(text = xml_text(image->doc, err)))
        return -1;
    kill_point("before-image-stamp");
    if (virDomainSaveImageDefineXML(job->conn, path, text, 0) < 0)
        return error_set_libvirt(err, "writing the stamp into the image '%s'", path);
    kill_point("after-image-stamp");
    return 0;
}

char *guest_image_xml(struct job *job, xmlDocPtr own, struct error *err)
{
    const char *given = job_string(job->params, "xml", NULL);
    AUTO(xml_doc)
    xmlDocPtr doc = given ? xml_parse(given, "domain", "/params/xml", err) : xmlCopyDoc(own, 1);
    struct stamp stamp = { .state = STAMP_DONE };

    if (!doc && !given)
        error_set_memory(err);
    if (!doc || guest_keep_secrets(doc, own, err) < 0)
        return NULL;
    snprintf(stamp.job, sizeof(stamp.job), "%s", job->id);
    snprintf(stamp.type, sizeof(stamp.type), "%s", job->type->name);
    return stamp_put_guest(doc, &stamp, err) < 0 ? NULL : xml_text(doc, err);
}
