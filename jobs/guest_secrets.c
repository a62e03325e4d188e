/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What libvirt leaves out of a guest's XML unless it is asked for it: the passwords of its displays. */

#include "guest_internal.h"

#include "xml.h"

/* Of what a password is told with: until when it is good, and what becomes of those who are connected. */
static const char *const members[] = { "passwd", "passwdValidTo", "connected" };

struct search {
    xmlNodePtr like;
    int skip; /* that come before */
    xmlNodePtr found;
};

static int search_display(xmlNodePtr display, void *opaque)
{
    struct search *search = opaque;
    AUTO(xml_string) xmlChar *type = xmlGetNoNsProp(display, BAD_CAST "type");
    AUTO(xml_string) xmlChar *wanted = xmlGetNoNsProp(search->like, BAD_CAST "type");

    if (!type || !wanted || !xmlStrEqual(type, wanted) || search->skip-- > 0)
        return 0;
    search->found = display;
    return 1;
}

/* How many of the same type come before it. */
static int display_rank(xmlNodePtr display)
{
    struct search search = { .like = display };
    int rank = 0;

    for (xmlNodePtr node = display->prev; node; node = node->prev)
        if (node->type == XML_ELEMENT_NODE && xmlStrEqual(node->name, display->name) &&
            search_display(node, &search) == 1)
            rank++;
    return rank;
}

struct keeping {
    xmlDocPtr own;
    struct error *err;
};

static int display_keep(xmlNodePtr display, void *opaque)
{
    struct keeping *keeping = opaque;
    struct search search = { .like = display, .skip = display_rank(display) };

    if (xmlHasProp(display, BAD_CAST "passwd"))
        return 0;
    xml_each(keeping->own, "/domain/devices/graphics", search_display, &search);
    if (!search.found || !xmlHasProp(search.found, BAD_CAST "passwd"))
        return 0;
    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
        AUTO(xml_string) xmlChar *value = xmlGetNoNsProp(search.found, BAD_CAST members[i]);

        if (value && !xmlHasProp(display, BAD_CAST members[i]) &&
            xml_set_attribute(display, members[i], (const char *)value, keeping->err) < 0)
            return -1;
    }
    return 0;
}

int guest_keep_secrets(xmlDocPtr doc, xmlDocPtr own, struct error *err)
{
    struct keeping keeping = { .own = own, .err = err };

    return xml_each(doc, "/domain/devices/graphics", display_keep, &keeping);
}
