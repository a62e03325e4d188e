/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* XML from strangers, by libxml2, without network, entities, document types or unbounded sizes; and changes to it by
 * XPath, never by text.
 *
 * Any thread; a document belongs to one thread at a time. An XPath expression is a constant of ours: what comes from a
 * stranger goes into `$value` of xml_find_value, never into the expression. Prefixes of namespaces cannot be used in
 * it; `*[local-name() = 'stamp']` can. Nothing is ever printed. */

#ifndef VIRTJOB_XML_H
#define VIRTJOB_XML_H

#include <libxml/tree.h>
#include <libxml/xpath.h>

#include "error.h"

/* Bounds of a document: bytes; elements around one another; attributes of one element; namespaces declared at a place. */
#define XML_MAX_SIZE       (4 * 1024 * 1024)
#define XML_MAX_DEPTH      256
#define XML_MAX_ATTRIBUTES 256
#define XML_MAX_NAMESPACES 64

/* Once, before threads start. */
void xml_init(void);

/* Parses `text`, as UTF-8 whatever it declares. Refused with ERROR_INVALID, line and column in the message: what is not
 * well-formed, has a DOCTYPE, breaks a bound, or has another root than `root` (NULL: any) in no namespace.
 * ERROR_TOO_LARGE above XML_MAX_SIZE. `where` is the JSON pointer of the text (NULL: it is not from a job). The caller
 * frees. */
xmlDocPtr xml_parse(const char *text, const char *root, const char *where, struct error *err);

/* An empty document with this root element. */
xmlDocPtr xml_new(const char *root, struct error *err);

/* The document as text, UTF-8, without an XML declaration; the caller frees with free(). */
char *xml_text(xmlDocPtr doc, struct error *err);

/* The first node in document order that `xpath` finds, NULL where none (or no memory). */
xmlNodePtr xml_find(xmlDocPtr doc, const char *xpath);

/* The same, where `xpath` compares with $value: "/domain/devices/disk[target/@dev = $value]". */
xmlNodePtr xml_find_value(xmlDocPtr doc, const char *xpath, const char *value);

/* All nodes that it finds, in document order: calls `each` with every one until it returns other than 0, which is then
 * returned. `each` may change or unlink its own node, but free none. */
int xml_each(xmlDocPtr doc, const char *xpath, int (*each)(xmlNodePtr node, void *opaque), void *opaque);

/* The text of the element or attribute found, a copy to free(); NULL where none. */
char *xml_get(xmlDocPtr doc, const char *xpath);

/* An unsigned decimal number there, blanks around it allowed; -1 where it is absent or not one. */
int xml_get_number(xmlDocPtr doc, const char *xpath, unsigned long long *ret_number);

/* The child element of that name, made where it is missing; NULL: no memory. */
xmlNodePtr xml_child(xmlNodePtr parent, const char *name, struct error *err);

/* Appends a child element with this text (NULL: none), escaped. */
xmlNodePtr xml_add(xmlNodePtr parent, const char *name, const char *text, struct error *err);

/* Replaces all that is inside the element by this text, escaped; sets an attribute. Text that XML cannot hold (control
 * characters, not UTF-8) is ERROR_INVALID. */
int xml_set_text(xmlNodePtr node, const char *text, struct error *err);
int xml_set_attribute(xmlNodePtr node, const char *name, const char *value, struct error *err);

/* Takes the node out of its document and frees it; NULL is allowed. */
void xml_remove(xmlNodePtr node);

#endif
