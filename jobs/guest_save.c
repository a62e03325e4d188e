/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.save: the guest's memory into a file, and the guest off.
 *
 * The stamp is in the XML that libvirt writes at the front of the file, before the memory. So what lies at the path tells
 * all that the next attempt must know: nothing, a part, or the whole, and of which job. While libvirt saves, the guest stands
 * still; it goes on where the save fails, is aborted, or libvirtd ends. */

#include "guest_save_internal.h"

#include <stdio.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "events_names.h"
#include "kill_point.h"
#include "xml.h"

#define PERIOD_MS 250

/* VIR_DOMAIN_SAVE_PARAM_IMAGE_FORMAT, which came after libvirt 9. */
#define PARAM_IMAGE_FORMAT "image_format"

static void save_done(struct save *save)
{
    if (save->dom)
        virDomainFree(save->dom);
    guest_image_done(&save->image);
}

static inline void cleanup_save(struct save *save)
{
    save_done(save);
}

int save_look(struct save *save, struct error *err)
{
    return guest_image_look(save->job, save->path, false, &save->image, err);
}

bool save_is_over(struct save *save)
{
    return save->image.state == GUEST_IMAGE_WHOLE && guest_image_is_own(save->job, &save->image);
}

/* Looking on. */

static void save_seen(void *opaque, virDomainPtr dom, const struct guest_stats *stats, bool boundary)
{
    struct save *save = opaque;
    uint64_t total = stats->memory_total + stats->disk_total, left = stats->memory_left + stats->disk_left;

    (void)dom;
    (void)boundary;
    if (total >= left)
        progress_update(job_progress(save->job), total - left, total);
}

int save_watch(struct save *save, struct guest_watch **ret_watch, struct error *err)
{
    const struct guest_watch_settings settings = {
        .operation = VIR_DOMAIN_JOB_OPERATION_SAVE, .period_ms = PERIOD_MS, .seen = save_seen, .opaque = save
    };

    progress_phase(job_progress(save->job), "saving", "bytes");
    return guest_watch_begin(save->job, save->dom, &settings, ret_watch, err);
}

/* Saving. */

static int save_check(struct save *save, struct error *err)
{
    const char *guest = job_string(save->job->params, "guest", "");
    int active;

    if (!save->dom)
        return error_set_at(err, ERROR_NOT_FOUND, "/params/guest", "there is no guest '%s'", guest);
    if (save->image.state != GUEST_IMAGE_NONE)
        return error_set_at(err, ERROR_CONFLICT, "/params/path", "there is a file '%s' already", save->path);
    if ((active = guest_is_active(save->dom, err)) < 0)
        return -1;
    return active ? 0
                  : error_set_at(err, ERROR_CONFLICT, "/params/guest",
                                 "guest '%s' is off: there is nothing to save", guest);
}

/* The XML that goes into the image. */
static char *save_xml(struct save *save, struct error *err)
{
    AUTO(string)
    char *text = virDomainGetXMLDesc(save->dom, VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_MIGRATABLE);
    AUTO(xml_doc) xmlDocPtr doc = NULL;

    if (!text)
        return error_set_libvirt(err, "reading the XML of guest '%s'", virDomainGetName(save->dom)), NULL;
    doc = xml_parse(text, "domain", NULL, err);
    return doc ? guest_image_xml(save->job, doc, err) : NULL;
}

unsigned int guest_save_flags(const struct job *job)
{
    const char *state = job_string(job->params, "state", "");
    unsigned int flags = job_flag(job->params, "bypass_cache", false) ? VIR_DOMAIN_SAVE_BYPASS_CACHE : 0;

    if (strcmp(state, "running") == 0)
        flags |= VIR_DOMAIN_SAVE_RUNNING;
    if (strcmp(state, "paused") == 0)
        flags |= VIR_DOMAIN_SAVE_PAUSED;
    return flags;
}

static int save_call_params(struct save *save, const char *xml, const char *format)
{
    virTypedParameterPtr params = NULL;
    int count = 0, size = 0, rc = -1;

    if (virTypedParamsAddString(&params, &count, &size, VIR_DOMAIN_SAVE_PARAM_FILE, save->path) == 0 &&
        virTypedParamsAddString(&params, &count, &size, VIR_DOMAIN_SAVE_PARAM_DXML, xml) == 0 &&
        virTypedParamsAddString(&params, &count, &size, PARAM_IMAGE_FORMAT, format) == 0)
        rc = virDomainSaveParams(save->dom, params, count, guest_save_flags(save->job));
    virTypedParamsFree(params, count);
    return rc;
}

/* A driver that takes no XML (the test driver) writes its own; that can be changed afterwards. Where it cannot, the image
 * has no stamp. */
static int save_call_plain(struct save *save)
{
    unsigned int flags = guest_save_flags(save->job);
    struct stamp stamp = { .state = STAMP_DONE };

    if ((flags ? virDomainSaveFlags(save->dom, save->path, NULL, flags)
               : virDomainSave(save->dom, save->path)) < 0)
        return -1;
    kill_point("after-save-plain");
    snprintf(stamp.job, sizeof(stamp.job), "%s", save->job->id);
    snprintf(stamp.type, sizeof(stamp.type), "%s", save->job->type->name);
    if (guest_image_look(save->job, save->path, true, &save->image, NULL) == 0 && save->image.doc) {
        save->image.stamp = stamp;
        guest_image_put_stamp(save->job, save->path, &save->image, NULL);
    }
    return 0;
}

static int save_call(struct save *save, const char *xml)
{
    const char *format = job_string(save->job->params, "format", NULL);
    int rc = format ? save_call_params(save, xml, format)
                    : virDomainSaveFlags(save->dom, save->path, xml, guest_save_flags(save->job));

    if (rc < 0 && !format && virGetLastErrorCode() == VIR_ERR_ARGUMENT_UNSUPPORTED &&
        !job_string(save->job->params, "xml", NULL))
        return save_call_plain(save);
    return rc;
}

static int save_explain(struct save *save, struct error *err)
{
    const json_t *params = save->job->params;

    if (err->code == ERROR_UNSUPPORTED && json_object_get(params, "format"))
        return error_locate(err, "/params/format");
    if ((err->code == ERROR_UNSUPPORTED || err->code == ERROR_INVALID) && json_object_get(params, "xml"))
        return error_locate(err, "/params/xml");
    if (err->code == ERROR_NOT_FOUND || err->code == ERROR_NO_SPACE)
        return error_locate(err, "/params/path");
    if (err->code == ERROR_CANCELLED) /* by somebody else */
        err->code = ERROR_LIBVIRT;
    return -1;
}

/* The call has failed. An earlier attempt's may have been on its way to libvirt, and have come first. */
static int save_judge(struct save *save, struct error *err)
{
    struct error stop = ERROR_INIT;

    if (err->code == ERROR_CONNECTION_LOST) /* libvirt may go on with it */
        return -1;
    if (save_look(save, NULL) == 0 && save_is_over(save)) {
        *err = ERROR_INIT;
        return 0;
    }
    if (job_safe_point(save->job, &stop) == 0)
        return save_explain(save, err);
    *err = stop;
    return -1;
}

static int save_run_watched(struct save *save, const char *xml, struct error *err)
{
    struct job_abort *abort;
    int rc;

    if (job_safe_point(save->job, err) < 0 || !(abort = job_abort_begin(save->job, save->dom, err)))
        return -1;
    kill_point("before-save");
    rc = save_call(save, xml);
    if (rc < 0)
        error_set_libvirt(err, "saving guest '%s'", virDomainGetName(save->dom));
    kill_point("after-save");
    job_abort_end(abort);
    return rc;
}

static int save_run(struct save *save, struct error *err)
{
    AUTO(string) char *xml = save_xml(save, err);
    struct guest_watch *watch;
    int rc;

    if (!xml || save_undo(save, err) < 0 || save_watch(save, &watch, err) < 0)
        return -1;
    rc = save_run_watched(save, xml, err);
    guest_watch_end(watch, rc < 0 ? NULL : &save->stats);
    if (rc < 0 && save_judge(save, err) < 0)
        return -1;
    progress_finish(job_progress(save->job));
    return 0;
}

/* A transient guest is no more, and only the image knows its name. */
static int save_describe(struct save *save, json_t **ret_guest, struct error *err)
{
    AUTO(string) char *name = guest_image_name(&save->image);
    AUTO(string) char *uuid = guest_image_uuid(&save->image);

    if (save->dom)
        return guest_describe(save->dom, ret_guest, err);
    *ret_guest =
        json_pack("{s:s, s:s, s:s, s:s, s:b}", "name", name ? name : "", "uuid", uuid ? uuid : "", "state",
                  events_state_name(VIR_DOMAIN_SHUTOFF), "reason",
                  events_reason_name(VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_UNKNOWN), "persistent", false);
    return *ret_guest ? 0 : error_set_memory(err);
}

static int save_result(struct save *save, json_t **ret_result, struct error *err)
{
    AUTO(json) json_t *result = NULL;

    if (save_describe(save, &result, err) < 0)
        return -1;
    if (json_object_set_new(result, "path", json_string(save->path)) < 0)
        return error_set_memory(err);
    if (save->stats.type != VIR_DOMAIN_JOB_NONE &&
        json_object_set_new(result, "transfer", guest_stats_describe(&save->stats)) < 0)
        return error_set_memory(err);
    *ret_result = STEAL(&result);
    return 0;
}

int guest_save(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(save)
    struct save save = { .job = job,
                         .path = job_string(job->params, "path", ""),
                         .stats = { .type = VIR_DOMAIN_JOB_NONE } };
    int over;

    job_step_named(job, "save");
    if (job_check_save_path(job, save.path, "/params/path", err) < 0 ||
        guest_find(job->conn, job_string(job->params, "guest", ""), &save.dom, err) < 0 ||
        save_look(&save, err) < 0 || (over = save_take_over(&save, err)) < 0)
        return -1;
    if (!over && (job_safe_point(job, err) < 0 || save_check(&save, err) < 0 || save_run(&save, err) < 0))
        return -1;
    return save_result(&save, ret_result, err);
}

int guest_save_sweep(struct job *job, struct error *err)
{
    return guest_image_sweep(job, err);
}
