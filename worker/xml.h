/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* XML from strangers, by libxml2, without network, entities, document types or unbounded sizes; and changes to it by
 * XPath, never by text. */

#ifndef VIRTJOB_XML_H
#define VIRTJOB_XML_H

#include <libxml/tree.h>
#include <libxml/xpath.h>

#include "error.h"

/* Once, before threads start. */
void xml_init(void);

/* Parses `text`. Refused with ERROR_INVALID, line and column in the message: what is not well-formed, has a DOCTYPE, is
 * nested deeper than 256, or has another root than `root` (NULL: any). `where` is the JSON pointer of the text. The
 * caller frees. */
xmlDocPtr xml_parse(const char *text, const char *root, const char *where, struct error *err);

/* An empty document with this root element. */
xmlDocPtr xml_new(const char *root, struct error *err);

/* The document as text, without an XML declaration; the caller frees with free(). */
char *xml_text(xmlDocPtr doc, struct error *err);

/* The first node that `xpath` (from the root) finds, NULL where none. No namespaces but none. */
xmlNodePtr xml_find(xmlDocPtr doc, const char *xpath);

/* All nodes that it finds: calls `each` with every one until it returns other than 0, which is then returned. */
int xml_each(xmlDocPtr doc, const char *xpath, int (*each)(xmlNodePtr node, void *opaque), void *opaque);

/* The text of the element or attribute found, a copy; NULL where none. */
char *xml_get(xmlDocPtr doc, const char *xpath);

/* An unsigned number there; -1 where it is absent or not one. */
int xml_get_number(xmlDocPtr doc, const char *xpath, unsigned long long *ret_number);

/* The child element of that name, made where it is missing. */
xmlNodePtr xml_child(xmlNodePtr parent, const char *name, struct error *err);

/* Appends a child element with this text (NULL: none), escaped. */
xmlNodePtr xml_add(xmlNodePtr parent, const char *name, const char *text, struct error *err);

/* Replaces the element's text, escaped; sets an attribute. */
int xml_set_text(xmlNodePtr node, const char *text, struct error *err);
int xml_set_attribute(xmlNodePtr node, const char *name, const char *value, struct error *err);

#endif
