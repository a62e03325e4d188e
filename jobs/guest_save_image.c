/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.save-image-info: what is in a save image, without touching it. */

#include "guest_internal.h"

#include <string.h>

#include "guest_image.h"
#include "xml.h"

static int info_refuse(const char *path, const struct guest_image *image, struct error *err)
{
    if (image->state == GUEST_IMAGE_NONE)
        return error_set_at(err, ERROR_NOT_FOUND, "/params/path", "there is no file '%s'", path);
    return error_set_at(err, ERROR_INVALID, "/params/path", "'%s' is no save image%s%s", path,
                        image->fault ? ": " : "", image->fault ? image->fault : "");
}

/* NULL for what is not known. In a file that libvirt has not read there may be anything. */
static json_t *info_guest(const struct guest_image *image)
{
    AUTO(string) char *name = guest_image_name(image);
    AUTO(string) char *uuid = guest_image_uuid(image);

    return name && uuid && guest_is_uuid(uuid) ? json_pack("{s:s, s:s}", "name", name, "uuid", uuid) : NULL;
}

static json_t *info_time(int64_t ms)
{
    char text[STAMP_TIME_SIZE];

    if (ms == 0)
        return NULL;
    stamp_time_text(ms, text);
    return json_string(text);
}

static json_t *info_stamp(const struct stamp *stamp)
{
    if (!stamp->job[0])
        return NULL;
    return json_pack("{s:s, s:s, s:o*}", "job", stamp->job, "type", stamp->type, "time",
                     info_time(stamp->time_ms));
}

static json_t *info_restored(const struct stamp *stamp)
{
    if (!stamp->restored[0])
        return NULL;
    return json_pack("{s:s, s:o*, s:b}", "job", stamp->restored, "time", info_time(stamp->restored_ms),
                     "done", stamp->restored_done);
}

/* As libvirt tells it, without secrets: not as it was read out of a file. */
static json_t *info_xml(struct job *job, const struct guest_image *image)
{
    bool wanted = image->state == GUEST_IMAGE_WHOLE && job_flag(job->params, "xml", false);
    AUTO(string)
    char *text = wanted ? xml_text(image->doc, NULL) : NULL;

    return text ? json_string(text) : NULL;
}

/* Where no pool shows the file, libvirt's words tell it. */
static bool info_is_partial(const struct guest_image *image)
{
    return image->state == GUEST_IMAGE_PARTIAL ||
           (image->state == GUEST_IMAGE_OTHER && image->fault && strstr(image->fault, "incomplete"));
}

int guest_save_image_info(struct job *job, json_t **ret_result, struct error *err)
{
    const char *path = job_string(job->params, "path", "");
    AUTO(guest_image) struct guest_image image = { .state = GUEST_IMAGE_NONE };

    if (job_step(job, "look", err) < 0 || job_check_save_path(job, path, "/params/path", err) < 0 ||
        guest_image_look(job, path, false, &image, err) < 0 ||
        guest_image_look_closely(job, path, false, &image, err) < 0)
        return -1;
    if (image.state != GUEST_IMAGE_WHOLE && !info_is_partial(&image))
        return info_refuse(path, &image, err);
    *ret_result = json_pack("{s:s, s:b, s:o*, s:s*, s:s*, s:o*, s:o*, s:o*}", "path", path, "whole",
                            image.state == GUEST_IMAGE_WHOLE, "guest", info_guest(&image), "format",
                            image.format, "state", image.guest_state, "stamp", info_stamp(&image.stamp),
                            "restored", info_restored(&image.stamp), "xml", info_xml(job, &image));
    return *ret_result ? 0 : error_set_memory(err);
}
