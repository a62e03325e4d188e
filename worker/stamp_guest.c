/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The stamp of a guest: an element of our own namespace in the metadata of its definition,
 *
 *   <virtjob:stamp xmlns:virtjob="https://virtjob.io/xmlns/stamp/1" job="5f0c…" type="guest.define" state="intended"
 *                  time="2026-11-20T12:00:00.123Z"/>
 *
 * and part="yes", replaced="yes" where these hold. In a save image that was restored there is restored="7b1e…"
 * restored-time="…" restored-state="intended" as well, or alone, where the image is not ours. libvirt keeps one element a
 * namespace, and hands it out without its namespace. */

#include "stamp.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <libvirt/virterror.h>

#include "cleanup.h"
#include "envelope.h"
#include "xml.h"

#define ELEMENT "stamp"
#define PREFIX  "virtjob"

static const char *state_name(enum stamp_state state)
{
    return state == STAMP_DONE ? "done" : "intended";
}

/* The definition's <metadata>; a new one next to the other names. */
static xmlNodePtr guest_metadata(xmlDocPtr doc, struct error *err)
{
    xmlNodePtr metadata = xml_find(doc, "/domain/metadata");
    xmlNodePtr before = xml_find(doc, "/domain/uuid");

    if (metadata || !(metadata = xml_child(xmlDocGetRootElement(doc), "metadata", err)))
        return metadata;
    if (before || (before = xml_find(doc, "/domain/name")))
        xmlAddNextSibling(before, metadata);
    return metadata;
}

static void guest_remove_stamps(xmlNodePtr metadata)
{
    for (xmlNodePtr next, node = xmlFirstElementChild(metadata); node; node = next) {
        next = xmlNextElementSibling(node);
        if (node->ns && xmlStrEqual(node->ns->href, BAD_CAST STAMP_NAMESPACE))
            xml_remove(node);
    }
}

void stamp_remove_guest(xmlDocPtr doc)
{
    xmlNodePtr metadata = xml_find(doc, "/domain/metadata");

    if (!metadata)
        return;
    guest_remove_stamps(metadata);
    if (!xmlFirstElementChild(metadata))
        xml_remove(metadata);
}

/* 0: now. */
static int stamp_set_time(xmlNodePtr node, const char *name, int64_t ms, struct error *err)
{
    char time[32];

    envelope_time_text(ms ? ms : envelope_now_ms(), time);
    return xml_set_attribute(node, name, time, err);
}

static int stamp_set_restored(xmlNodePtr node, const struct stamp *stamp, struct error *err)
{
    if (!stamp->restored[0])
        return 0;
    if (xml_set_attribute(node, "restored", stamp->restored, err) < 0 ||
        stamp_set_time(node, "restored-time", stamp->restored_ms, err) < 0)
        return -1;
    return xml_set_attribute(node, "restored-state",
                             state_name(stamp->restored_done ? STAMP_DONE : STAMP_INTENDED), err);
}

static int stamp_set_attributes(xmlNodePtr node, const struct stamp *stamp, struct error *err)
{
    if (stamp_set_restored(node, stamp, err) < 0)
        return -1;
    if (!stamp->job[0])
        return 0;
    if (xml_set_attribute(node, "job", stamp->job, err) < 0 ||
        xml_set_attribute(node, "type", stamp->type, err) < 0 ||
        xml_set_attribute(node, "state", state_name(stamp->state), err) < 0 ||
        stamp_set_time(node, "time", stamp->time_ms, err) < 0)
        return -1;
    if (stamp->part && xml_set_attribute(node, "part", "yes", err) < 0)
        return -1;
    return stamp->replaced ? xml_set_attribute(node, "replaced", "yes", err) : 0;
}

int stamp_put_guest(xmlDocPtr doc, const struct stamp *stamp, struct error *err)
{
    xmlNodePtr metadata = guest_metadata(doc, err), node;
    xmlNsPtr space;

    if (!metadata)
        return -1;
    guest_remove_stamps(metadata);
    if (!(node = xml_add(metadata, ELEMENT, NULL, err)))
        return -1;
    if (!(space = xmlNewNs(node, BAD_CAST STAMP_NAMESPACE, BAD_CAST PREFIX)))
        return error_set_memory(err);
    xmlSetNs(node, space);
    return stamp_set_attributes(node, stamp, err);
}

/* -1 where there is none, or it does not fit. */
static int stamp_copy(xmlNodePtr node, const char *name, char *ret_text, size_t size)
{
    AUTO(xml_string) xmlChar *text = xmlGetNoNsProp(node, BAD_CAST name);

    if (!text || !*text || (size_t)xmlStrlen(text) >= size)
        return -1;
    strcpy(ret_text, (const char *)text);
    return 0;
}

/* As envelope_time_text wrote it; 0 where it did not. */
static int64_t stamp_time(xmlNodePtr node, const char *name)
{
    AUTO(xml_string) xmlChar *text = xmlGetNoNsProp(node, BAD_CAST name);
    struct tm tm = { 0 };
    const char *rest = text ? strptime((const char *)text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    int ms;

    if (!rest || sscanf(rest, ".%3dZ", &ms) != 1)
        return 0;
    return (int64_t)timegm(&tm) * 1000 + ms;
}

static bool stamp_says(xmlNodePtr node, const char *name, const char *word)
{
    AUTO(xml_string) xmlChar *text = xmlGetNoNsProp(node, BAD_CAST name);

    return text && xmlStrEqual(text, BAD_CAST word);
}

static void stamp_take_restored(xmlNodePtr node, struct stamp *stamp)
{
    if (stamp_copy(node, "restored", stamp->restored, sizeof(stamp->restored)) < 0)
        return;
    stamp->restored_ms = stamp_time(node, "restored-time");
    stamp->restored_done = stamp_says(node, "restored-state", "done");
}

/* What is not as we write it is STAMP_BLANK. */
static void stamp_take(xmlNodePtr node, struct stamp *ret_stamp)
{
    struct stamp stamp = { .state = STAMP_BLANK };
    bool done = stamp_says(node, "state", "done");

    stamp_take_restored(node, &stamp);
    *ret_stamp = stamp;
    if ((!done && !stamp_says(node, "state", "intended")) ||
        stamp_copy(node, "job", stamp.job, sizeof(stamp.job)) < 0 ||
        stamp_copy(node, "type", stamp.type, sizeof(stamp.type)) < 0)
        return;
    stamp.state = done ? STAMP_DONE : STAMP_INTENDED;
    stamp.time_ms = stamp_time(node, "time");
    stamp.part = stamp_says(node, "part", "yes");
    stamp.replaced = stamp_says(node, "replaced", "yes");
    *ret_stamp = stamp;
}

static void stamp_parse(const char *text, struct stamp *ret_stamp)
{
    struct error ignored = ERROR_INIT;
    AUTO(xml_doc) xmlDocPtr doc = xml_parse(text, ELEMENT, NULL, &ignored);

    *ret_stamp = (struct stamp){ .state = STAMP_BLANK };
    if (doc)
        stamp_take(xmlDocGetRootElement(doc), ret_stamp);
}

void stamp_get_guest(xmlDocPtr doc, struct stamp *ret_stamp)
{
    xmlNodePtr metadata = xml_find(doc, "/domain/metadata");

    *ret_stamp = (struct stamp){ .state = STAMP_NONE };
    for (xmlNodePtr node = metadata ? xmlFirstElementChild(metadata) : NULL; node;
         node = xmlNextElementSibling(node))
        if (node->ns && xmlStrEqual(node->ns->href, BAD_CAST STAMP_NAMESPACE)) {
            stamp_take(node, ret_stamp);
            return;
        }
}

/* A guest has two sides, each with metadata of its own: VIR_DOMAIN_AFFECT_CONFIG, its definition, and
 * VIR_DOMAIN_AFFECT_LIVE, what runs. 1 there is this one, 0 not, -1. */
static int guest_has(virDomainPtr dom, unsigned int side, struct error *err)
{
    int has = side == VIR_DOMAIN_AFFECT_LIVE ? virDomainIsActive(dom) : virDomainIsPersistent(dom);

    if (has < 0 && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
        return 0;
    return has < 0 ? error_set_libvirt(err, "looking at guest '%s'", virDomainGetName(dom)) : has;
}

static int guest_read(virDomainPtr dom, unsigned int side, struct stamp *ret_stamp, struct error *err)
{
    AUTO(string)
    char *text = virDomainGetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT, STAMP_NAMESPACE, side);

    *ret_stamp = (struct stamp){ .state = STAMP_NONE };
    if (text) {
        stamp_parse(text, ret_stamp);
        return 0;
    }
    if (virGetLastErrorCode() == VIR_ERR_NO_DOMAIN_METADATA || virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
        return 0;
    return error_set_libvirt(err, "reading the stamp of guest '%s'", virDomainGetName(dom));
}

int stamp_read_guest(virDomainPtr dom, struct stamp *ret_stamp, struct error *err)
{
    int defined = guest_has(dom, VIR_DOMAIN_AFFECT_CONFIG, err);
    int there = defined ? defined : guest_has(dom, VIR_DOMAIN_AFFECT_LIVE, err);

    *ret_stamp = (struct stamp){ .state = STAMP_NONE };
    if (there <= 0)
        return there;
    return guest_read(dom, defined ? VIR_DOMAIN_AFFECT_CONFIG : VIR_DOMAIN_AFFECT_LIVE, ret_stamp, err);
}

int stamp_read_guest_live(virDomainPtr dom, struct stamp *ret_stamp, struct error *err)
{
    int there = guest_has(dom, VIR_DOMAIN_AFFECT_LIVE, err);

    *ret_stamp = (struct stamp){ .state = STAMP_NONE };
    return there > 0 ? guest_read(dom, VIR_DOMAIN_AFFECT_LIVE, ret_stamp, err) : there;
}

static int guest_write(virDomainPtr dom, unsigned int side, const struct stamp *stamp, struct error *err)
{
    AUTO(xml_doc) xmlDocPtr doc = xml_new(ELEMENT, err);
    AUTO(string) char *text = NULL;

    if (!doc || stamp_set_attributes(xmlDocGetRootElement(doc), stamp, err) < 0 ||
        !(text = xml_text(doc, err)))
        return -1;
    if (virDomainSetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT, text, PREFIX, STAMP_NAMESPACE, side) < 0)
        return error_set_libvirt(err, "writing the stamp of guest '%s'", virDomainGetName(dom));
    return 0;
}

static int guest_finish(virDomainPtr dom, unsigned int side, const char *job, struct error *err)
{
    struct stamp stamp;

    if (guest_read(dom, side, &stamp, err) < 0)
        return -1;
    if (!stamp_is_of(&stamp, job) || stamp.state == STAMP_DONE)
        return 0;
    stamp.state = STAMP_DONE;
    return guest_write(dom, side, &stamp, err);
}

/* A side that has gone while it was looked at, or a driver that keeps no stamps, has nothing to be finished. */
static int side_finish(virDomainPtr dom, unsigned int side, const char *job, struct error *err)
{
    struct error failure = ERROR_INIT;
    int there = guest_has(dom, side, err);

    if (there <= 0)
        return there;
    if (guest_finish(dom, side, job, &failure) == 0 || failure.code == ERROR_UNSUPPORTED)
        return 0;
    there = guest_has(dom, side, NULL);
    if (there != 0 && err)
        *err = failure;
    return there == 0 ? 0 : -1;
}

/* The definition goes last: who reads there that it is done finds nothing left to do. */
int stamp_finish_guest(virDomainPtr dom, const char *job, struct error *err)
{
    return side_finish(dom, VIR_DOMAIN_AFFECT_LIVE, job, err) < 0 ||
                   side_finish(dom, VIR_DOMAIN_AFFECT_CONFIG, job, err) < 0
               ? -1
               : 0;
}
