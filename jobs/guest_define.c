/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* guest.define: from a domain XML that is read and changed here, and judged by libvirt. */

#include "guest_internal.h"

#include <ctype.h>
#include <string.h>

#include "kill_point.h"
#include "xml.h"

/* libvirt makes files of it, whose names have at most 255 bytes: "<name>_VARS.fd", "<name>.xml.new". */
#define NAME_MAX_BYTES 247

void guest_definition_done(struct guest_definition *definition)
{
    if (definition->doc)
        xmlFreeDoc(definition->doc);
    free(definition->name);
    free(definition->uuid);
    *definition = (struct guest_definition){ 0 };
}

/* As common.json#/$defs/guestName, which counts characters. */
static int definition_check_name(const char *name, const char *where, struct error *err)
{
    const unsigned char *at;

    if (!name || !*name)
        return error_set_at(err, ERROR_INVALID, where, "the domain has no name");
    if (strlen(name) > NAME_MAX_BYTES)
        return error_set_at(err, ERROR_INVALID, where,
                            "the name of the domain has %zu bytes, at most %d are possible", strlen(name),
                            NAME_MAX_BYTES);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return error_set_at(err, ERROR_INVALID, where, "the domain cannot be named '%s'", name);
    for (at = (const unsigned char *)name; *at; at++)
        if (*at == '/' || *at < ' ' || *at == 0x7f)
            return error_set_at(err, ERROR_INVALID, where,
                                "the name of the domain has a slash or a control character");
    return 0;
}

/* Sets the text of a child of <domain>. */
static int definition_put(xmlDocPtr doc, const char *element, const char *text, struct error *err)
{
    xmlNodePtr node = xml_child(xmlDocGetRootElement(doc), element, err);

    return node ? xml_set_text(node, text, err) : -1;
}

/* Next to the name: libxml2, and with it libvirt's validation, takes it for an extra element between some others,
 * though the schema allows it anywhere. */
static int definition_put_uuid(xmlDocPtr doc, const char *uuid, struct error *err)
{
    xmlNodePtr name = xml_find(doc, "/domain/name"), node;

    if (definition_put(doc, "uuid", uuid, err) < 0)
        return -1;
    node = xml_find(doc, "/domain/uuid");
    if (name && node)
        xmlAddNextSibling(name, node);
    return 0;
}

static int definition_read_name(struct job *job, struct guest_definition *definition, struct error *err)
{
    const char *wished = job_string(job->params, "name", NULL);

    definition->name_where = wished ? "/params/name" : "/params/xml";
    definition->name = wished ? strdup(wished) : xml_get(definition->doc, "/domain/name");
    if (wished && !definition->name)
        return error_set_memory(err);
    if (definition_check_name(definition->name, definition->name_where, err) < 0)
        return -1;
    if (wished && definition_put(definition->doc, "name", wished, err) < 0)
        return err->code == ERROR_INVALID ? error_locate(err, definition->name_where) : -1;
    return 0;
}

/* The canonical form of what libvirt takes for a UUID: 32 digits with hyphens and blanks anywhere. NULL: it is none. */
static char *uuid_canonical(const char *text)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    size_t length = 0;

    for (; *text && length < VIR_UUID_STRING_BUFLEN - 1; text++) {
        if (*text == '-' || isspace((unsigned char)*text))
            continue;
        if (!isxdigit((unsigned char)*text))
            return NULL;
        uuid[length++] = (char)tolower((unsigned char)*text);
        if (length == 8 || length == 13 || length == 18 || length == 23)
            uuid[length++] = '-';
    }
    uuid[length] = '\0';
    return length == VIR_UUID_STRING_BUFLEN - 1 && !text[strspn(text, "- \t\r\n")] ? strdup(uuid) : NULL;
}

static int definition_read_uuid(struct job *job, bool template, struct guest_definition *definition,
                                struct error *err)
{
    const char *wished = job_string(job->params, "uuid", NULL);
    AUTO(string) char *given = wished || template ? NULL : xml_get(definition->doc, "/domain/uuid");

    definition->uuid_where = wished ? "/params/uuid" : given ? "/params/xml" : "/id";
    definition->uuid = uuid_canonical(wished ? wished : given ? given : job->id);
    if (!definition->uuid)
        return error_set_at(err, ERROR_INVALID, definition->uuid_where, "this is no UUID for a guest");
    return definition_put_uuid(definition->doc, definition->uuid, err);
}

int guest_definition_init(struct job *job, bool template, struct guest_definition *definition,
                          struct error *err)
{
    *definition = (struct guest_definition){ .template = template };
    definition->doc = xml_parse(job_string(job->params, "xml", ""), "domain", "/params/xml", err);
    if (!definition->doc)
        return -1;
    if (definition_read_name(job, definition, err) < 0 ||
        definition_read_uuid(job, template, definition, err) < 0)
        return -1;
    return 0;
}

/* The guest of that name is to be replaced, and nobody has asked for another UUID. */
static int definition_borrow_uuid(struct guest_definition *definition, virDomainPtr dom, struct error *err)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "", *copy;

    virDomainGetUUIDString(dom, uuid);
    if (!(copy = strdup(uuid)))
        return error_set_memory(err);
    free(definition->uuid);
    definition->uuid = copy;
    return definition_put_uuid(definition->doc, copy, err);
}

int guest_definition_compare(struct job *job, struct guest_definition *definition, bool replace,
                             virDomainPtr *ret_dom, struct error *err)
{
    AUTO(domain) virDomainPtr named = NULL;
    AUTO(domain) virDomainPtr numbered = NULL;

    if (guest_find_by(job->conn, virDomainLookupByName, definition->name, &named, err) < 0)
        return -1;
    if (named && replace && strcmp(definition->uuid_where, "/id") == 0 &&
        definition_borrow_uuid(definition, named, err) < 0)
        return -1;
    if (guest_find_by(job->conn, virDomainLookupByUUIDString, definition->uuid, &numbered, err) < 0)
        return -1;
    if (numbered && strcmp(virDomainGetName(numbered), definition->name) != 0)
        return error_set_at(err, ERROR_CONFLICT, definition->uuid_where, "guest '%s' has the UUID %s already",
                            virDomainGetName(numbered), definition->uuid);
    if (named && !(replace && numbered))
        return error_set_at(err, ERROR_CONFLICT, definition->name_where, "there is a guest '%s' already%s",
                            definition->name, replace ? ", of another UUID" : "");
    *ret_dom = STEAL(&numbered);
    return 0;
}

/* Another one may have taken the name since it was compared, which libvirt tells in no certain terms. */
static int definition_explain(struct job *job, struct guest_definition *definition, struct error *err)
{
    AUTO(domain) virDomainPtr other = NULL;
    struct error conflict = ERROR_INIT;

    if (guest_definition_compare(job, definition, true, &other, &conflict) < 0 &&
        conflict.code == ERROR_CONFLICT)
        *err = conflict;
    if (err->code == ERROR_INVALID || err->code == ERROR_UNSUPPORTED || err->code == ERROR_LIBVIRT)
        error_locate(err, "/params/xml");
    return -1;
}

int guest_definition_apply(struct job *job, struct guest_definition *definition, virDomainPtr *ret_dom,
                           struct error *err)
{
    unsigned int flags = job_flag(job->params, "validate", true) ? VIR_DOMAIN_DEFINE_VALIDATE : 0;
    AUTO(string) char *text = NULL;
    virDomainPtr dom;

    if (guest_definition_stamp(job, definition, err) < 0 || !(text = xml_text(definition->doc, err)) ||
        job_safe_point(job, err) < 0)
        return -1;
    kill_point("before-define");
    if (!(dom = virDomainDefineXMLFlags(job->conn, text, flags))) {
        error_set_libvirt(err, "defining guest '%s'", definition->name);
        return definition_explain(job, definition, err);
    }
    kill_point("after-define");
    *ret_dom = dom;
    return 0;
}

int guest_definition_create(struct job *job, struct guest_definition *definition, virDomainPtr *ret_dom,
                            struct error *err)
{
    json_t *identity = json_pack("{s:s, s:s}", "name", definition->name, "uuid", definition->uuid);
    AUTO(domain) virDomainPtr dom = NULL;
    int rc = guest_definition_apply(job, definition, &dom, err);

    /* When the connection breaks, the guest may be there. */
    if (rc < 0 && err->code != ERROR_CONNECTION_LOST) {
        json_decref(identity);
        return -1;
    }
    if (guest_definition_undo(job, definition, identity, rc < 0 ? NULL : err) < 0 || rc < 0)
        return -1;
    *ret_dom = STEAL(&dom);
    return 0;
}

static void remove_blanks(xmlNodePtr parent)
{
    for (xmlNodePtr next, node = parent->children; node; node = next) {
        next = node->next;
        if (xmlIsBlankNode(node))
            xml_remove(node);
        else if (node->type == XML_ELEMENT_NODE)
            remove_blanks(node);
    }
}

/* The definition as it is now, but for what is new with every job; NULL where it cannot be read. */
static char *definition_now(virDomainPtr dom)
{
    AUTO(string)
    char *text = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
    AUTO(xml_doc) xmlDocPtr doc = text ? xml_parse(text, "domain", NULL, NULL) : NULL;

    if (!doc)
        return NULL;
    stamp_remove_guest(doc);
    remove_blanks(xmlDocGetRootElement(doc));
    return xml_text(doc, NULL);
}

/* One atomic call of libvirt's, after which nothing may fail any more: there is nothing to be undone. */
static int define_replace(struct job *job, struct guest_definition *definition, virDomainPtr old,
                          json_t **ret_result, struct error *err)
{
    bool persistent = virDomainIsPersistent(old) == 1;
    AUTO(string) char *before = definition_now(old);
    AUTO(string) char *after = NULL;
    AUTO(domain) virDomainPtr dom = NULL;
    AUTO(json) json_t *result = NULL;

    definition->replaces = true;
    if (guest_describe(old, &result, err) < 0)
        return -1;
    if (json_object_set_new(result, "persistent", json_true()) < 0)
        return error_set_memory(err);
    if (guest_definition_apply(job, definition, &dom, err) < 0)
        return -1;
    after = definition_now(dom);
    if (persistent && before && after && strcmp(before, after) == 0)
        job_unchanged(job);
    *ret_result = STEAL(&result);
    return 0;
}

/* Where the guest that an earlier attempt defined is there. What took the place of another cannot be undone; nor may
 * what is done be, for the outcome is known. Whether it changed anything is not known any more. */
static int define_take_over(struct job *job, struct guest_definition *definition, virDomainPtr *ret_dom,
                            struct error *err)
{
    struct stamp stamp;

    if (guest_find_own(job, definition, &stamp, ret_dom, err) < 0)
        return -1;
    if (!*ret_dom)
        return 0;
    job_adopted(job);
    if (stamp.replaced || stamp.state == STAMP_DONE)
        return 0;
    if (guest_definition_undo(job, definition, guest_identity(*ret_dom), err) < 0)
        return -1;
    return job_safe_point(job, err);
}

/* Finds what is to be replaced. A job that was published twice does not know that it comes again: what it would take
 * for another's may be its own. */
static int define_compare(struct job *job, struct guest_definition *definition, virDomainPtr *ret_old,
                          virDomainPtr *ret_own, struct error *err)
{
    bool replace = job_flag(job->params, "replace", false);
    struct error failure = ERROR_INIT;

    if (guest_definition_compare(job, definition, replace, ret_old, err) == 0)
        return 0;
    if (job->again || err->code != ERROR_CONFLICT)
        return -1;
    if (define_take_over(job, definition, ret_own, &failure) < 0)
        *err = failure;
    else if (*ret_own)
        *err = ERROR_INIT;
    return err->code == ERROR_NONE ? 0 : -1;
}

int guest_define(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(guest_definition) struct guest_definition definition = { 0 };
    AUTO(domain) virDomainPtr old = NULL;
    AUTO(domain) virDomainPtr dom = NULL;

    job_step_named(job, "define");
    if (guest_definition_init(job, false, &definition, err) < 0 ||
        (job->again && define_take_over(job, &definition, &dom, err) < 0))
        return -1;
    if (!dom && (job_safe_point(job, err) < 0 || define_compare(job, &definition, &old, &dom, err) < 0))
        return -1;
    if (old)
        return define_replace(job, &definition, old, ret_result, err);
    if (!dom && guest_definition_create(job, &definition, &dom, err) < 0)
        return -1;
    return guest_describe(dom, ret_result, err);
}

int guest_define_sweep(struct job *job, struct error *err)
{
    return guest_sweep(job, false, err);
}
