/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* libxml2 with every door shut: the parser stops at the first fault, at a DOCTYPE before its subset is read, and at
 * each bound; what libxml2 compares pairwise (attributes, namespaces) is counted first. */

#include "xml.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/relaxng.h>
#include <libxml/SAX2.h>
#include <libxml/xmlschemastypes.h>
#include <libxml/xmlsave.h>
#include <libxml/xpathInternals.h>

#include "cleanup.h"

CLEANUP_DEFINE(xml_parser, xmlParserCtxtPtr, xmlFreeParserCtxt)
CLEANUP_DEFINE(xml_buffer, xmlBufferPtr, xmlBufferFree)

/* One parse: what stopped it. */
struct xml_fault {
    bool found;
    int line, column;
    char message[256];
};

void xml_init(void)
{
    LIBXML_TEST_VERSION
    xmlInitParser();
    /* libxml2 makes these at their first use, which in libvirt's validation two threads may have at the same time. */
    xmlSchemaInitTypes();
    xmlRelaxNGInitTypes();
}

/* The first fault is the one to tell; all after it are its consequences. */
static void xml_stop(xmlParserCtxtPtr parser, int line, int column, const char *message)
{
    struct xml_fault *fault = parser->_private;

    if (fault->found)
        return;
    fault->found = true;
    fault->line = line;
    fault->column = column;
    snprintf(fault->message, sizeof(fault->message), "%.*s", (int)strcspn(message, "\n"), message);
    xmlStopParser(parser);
}

static void xml_stop_here(xmlParserCtxtPtr parser, const char *message)
{
    xml_stop(parser, xmlSAX2GetLineNumber(parser), xmlSAX2GetColumnNumber(parser), message);
}

/* A namespace error (a prefix that is not declared) is of level ERROR, and libvirt would refuse it too. */
static void xml_on_error(void *opaque, xmlErrorPtr error)
{
    if (error->level >= XML_ERR_ERROR)
        xml_stop(opaque, error->line, error->int2, error->message ? error->message : "no memory");
}

/* Called once the name of the document type is read, before its subset is. */
static void xml_on_doctype(void *opaque, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    (void)name, (void)external, (void)system;
    xml_stop_here(opaque, "a document type (DOCTYPE) is not allowed");
}

static void xml_on_element(void *opaque, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
                           int namespace_count, const xmlChar **namespaces, int attribute_count,
                           int defaulted, const xmlChar **attributes)
{
    xmlParserCtxtPtr parser = opaque;

    if (parser->nodeNr >= XML_MAX_DEPTH)
        return xml_stop_here(parser, "elements are nested too deep");
    if (parser->nsNr / 2 > XML_MAX_NAMESPACES) /* a pair of prefix and URI for each */
        return xml_stop_here(parser, "too many namespaces");
    xmlSAX2StartElementNs(opaque, name, prefix, uri, namespace_count, namespaces, attribute_count, defaulted,
                          attributes);
}

/* The end of the tag that starts at `tag`, or of the text; counts the equals signs outside of quotes: as many as it has
 * attributes. */
static const char *xml_scan_tag(const char *tag, int *ret_attributes)
{
    char quote = 0;

    *ret_attributes = 0;
    for (; *tag && (quote || *tag != '>'); tag++) {
        if (quote)
            quote = *tag == quote ? 0 : quote;
        else if (*tag == '"' || *tag == '\'')
            quote = *tag;
        else
            *ret_attributes += *tag == '=';
    }
    return tag;
}

/* Past the first `end` in `text`; the end of the text where there is none. Not strstr: under a sanitizer each call of
 * that costs the whole rest of the text. */
static const char *xml_scan_past(const char *text, const char *end)
{
    size_t length = strlen(end);

    for (const char *at = strchr(text, *end); at; at = strchr(at + 1, *end))
        if (strncmp(at, end, length) == 0)
            return at + length;
    return text + strlen(text);
}

/* Past whatever starts with the '<' at `open`; the end of the text where nothing ends it. */
static const char *xml_scan_markup(const char *open, int *ret_attributes)
{
    static const struct {
        const char *start, *end;
    } opaque[] = { { "<!--", "-->" }, { "<![CDATA[", "]]>" }, { "<?", "?>" } };

    *ret_attributes = 0;
    for (size_t i = 0; i < sizeof(opaque) / sizeof(opaque[0]); i++) {
        size_t length = strlen(opaque[i].start);

        if (strncmp(open, opaque[i].start, length) == 0)
            return xml_scan_past(open + length, opaque[i].end);
    }
    return xml_scan_tag(open, ret_attributes);
}

/* libxml2 compares the attributes of an element pairwise before it tells of them. In what it reads before its first
 * fault, this sees the same tags as libxml2 does; returns the first with too many attributes, NULL where none has. */
static const char *xml_scan(const char *text)
{
    for (const char *at = strchr(text, '<'); at; at = strchr(at, '<')) {
        const char *tag = at;
        int attributes;

        at = xml_scan_markup(at, &attributes);
        if (attributes > XML_MAX_ATTRIBUTES)
            return tag;
    }
    return NULL;
}

static int xml_refuse(struct error *err, const char *where, const struct xml_fault *fault)
{
    error_set(err, ERROR_INVALID, "XML, line %d, column %d: %s", fault->line, fault->column, fault->message);
    return where ? error_locate(err, where) : -1;
}

/* Where `at` is in `text`, as an editor counts. */
static struct xml_fault xml_fault_at(const char *text, const char *at, const char *message)
{
    struct xml_fault fault = { .found = true, .line = 1, .column = 1 };

    for (; text < at; text++) {
        fault.line += *text == '\n';
        fault.column = *text == '\n' ? 1 : fault.column + 1;
    }
    snprintf(fault.message, sizeof(fault.message), "%s", message);
    return fault;
}

static int xml_check_size(const char *text, const char *where, struct error *err)
{
    if (strnlen(text, XML_MAX_SIZE + 1) <= XML_MAX_SIZE)
        return 0;
    error_set(err, ERROR_TOO_LARGE, "the XML is larger than %d bytes", XML_MAX_SIZE);
    return where ? error_locate(err, where) : -1;
}

static int xml_check_root(xmlDocPtr doc, const char *root, const char *where, struct error *err)
{
    xmlNodePtr element = xmlDocGetRootElement(doc);
    struct xml_fault fault = { .line = 1, .column = 1 };

    if (element && (!root || (strcmp((const char *)element->name, root) == 0 && !element->ns)))
        return 0;
    fault.line = element ? (int)xmlGetLineNo(element) : 1;
    snprintf(fault.message, sizeof(fault.message), "the root element must be <%s>, is <%.100s>",
             root ? root : "", element ? (const char *)element->name : "");
    return xml_refuse(err, where, &fault);
}

/* The fault is in `fault` where it returns NULL, unless memory ran out. */
static xmlDocPtr xml_read(const char *text, struct xml_fault *fault)
{
    AUTO(xml_parser) xmlParserCtxtPtr parser = xmlNewParserCtxt();
    AUTO(xml_doc) xmlDocPtr doc = NULL;

    if (!parser)
        return NULL;
    parser->_private = fault;
    parser->sax->serror = xml_on_error;
    parser->sax->internalSubset = xml_on_doctype;
    parser->sax->startElementNs = xml_on_element;
    doc = xmlCtxtReadMemory(parser, text, (int)strlen(text), NULL, "UTF-8", XML_PARSE_NONET);
    return fault->found ? NULL : STEAL(&doc);
}

xmlDocPtr xml_parse(const char *text, const char *root, const char *where, struct error *err)
{
    AUTO(xml_doc) xmlDocPtr doc = NULL;
    struct xml_fault fault = { .found = false };
    const char *tag;

    if (xml_check_size(text, where, err) < 0)
        return NULL;
    tag = xml_scan(text);
    if (tag) {
        fault = xml_fault_at(text, tag, "too many attributes");
        return xml_refuse(err, where, &fault), NULL;
    }
    doc = xml_read(text, &fault);
    if (fault.found)
        return xml_refuse(err, where, &fault), NULL;
    if (!doc)
        return error_set_memory(err), NULL;
    return xml_check_root(doc, root, where, err) < 0 ? NULL : STEAL(&doc);
}

xmlDocPtr xml_new(const char *root, struct error *err)
{
    AUTO(xml_doc) xmlDocPtr doc = xmlNewDoc(BAD_CAST "1.0");
    xmlNodePtr element = doc ? xmlNewDocNode(doc, NULL, BAD_CAST root, NULL) : NULL;

    if (!element)
        return error_set_memory(err), NULL;
    xmlDocSetRootElement(doc, element);
    return STEAL(&doc);
}

char *xml_text(xmlDocPtr doc, struct error *err)
{
    AUTO(xml_buffer) xmlBufferPtr buffer = xmlBufferCreate();
    xmlSaveCtxtPtr save =
        buffer ? xmlSaveToBuffer(buffer, "UTF-8", XML_SAVE_NO_DECL | XML_SAVE_AS_XML) : NULL;
    long saved = save ? xmlSaveDoc(save, doc) : -1;
    char *text = NULL;

    if (save && xmlSaveClose(save) >= 0 && saved >= 0)
        text = strndup((const char *)xmlBufferContent(buffer), (size_t)xmlBufferLength(buffer));
    if (!text)
        error_set_memory(err);
    return text;
}

/* A walk down a plain path ("/domain/devices/disk", "/domain/@type"), in the order of the document; making a context
 * for XPath costs more than most of what is looked for. */
struct xml_walk {
    int (*each)(xmlNodePtr node, void *opaque);
    void *opaque;
};

static bool xml_is_plain(const char *path)
{
    return path[0] == '/' &&
           path[strspn(path, "/@-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")] == '\0' &&
           !strstr(path, "//");
}

static bool xml_is_named(xmlNodePtr node, const char *name, size_t length)
{
    return node->type == XML_ELEMENT_NODE && !node->ns &&
           strncmp((const char *)node->name, name, length) == 0 && node->name[length] == '\0';
}

static int xml_walk_attribute(const struct xml_walk *walk, xmlNodePtr node, const char *name)
{
    xmlAttrPtr attribute = xmlHasNsProp(node, BAD_CAST name, NULL);

    return attribute ? walk->each((xmlNodePtr)attribute, walk->opaque) : 0;
}

/* `siblings`: those that the first step of `path` may name. */
static int xml_walk_down(const struct xml_walk *walk, xmlNodePtr siblings, const char *path)
{
    const char *name = path + 1, *end = strchrnul(name, '/');
    int rc = 0;

    for (xmlNodePtr next, node = siblings; node && rc == 0; node = next) {
        next = node->next; /* `each` may remove the node */
        if (!xml_is_named(node, name, (size_t)(end - name)))
            continue;
        if (*end == '\0')
            rc = walk->each(node, walk->opaque);
        else if (end[1] == '@')
            rc = xml_walk_attribute(walk, node, end + 2);
        else
            rc = xml_walk_down(walk, node->children, end);
    }
    return rc;
}

static int xml_take_first(xmlNodePtr node, void *opaque)
{
    *(xmlNodePtr *)opaque = node;
    return 1;
}

static void xml_ignore_error(void *opaque, xmlErrorPtr error)
{
    (void)opaque, (void)error;
}

/* NULL: a wrong expression, no memory, or a result that is no set of nodes. */
static xmlXPathObjectPtr xml_evaluate(xmlDocPtr doc, const char *xpath, const char *value)
{
    AUTO(xml_xpath) xmlXPathContextPtr context = xmlXPathNewContext(doc);
    AUTO(xml_object) xmlXPathObjectPtr object = NULL;

    if (!context)
        return NULL;
    context->error = xml_ignore_error;
    if (value && xmlXPathRegisterVariable(context, BAD_CAST "value", xmlXPathNewCString(value)) < 0)
        return NULL;
    object = xmlXPathEval(BAD_CAST xpath, context);
    if (!object || object->type != XPATH_NODESET)
        return NULL;
    return STEAL(&object);
}

xmlNodePtr xml_find_value(xmlDocPtr doc, const char *xpath, const char *value)
{
    AUTO(xml_object) xmlXPathObjectPtr object = xml_evaluate(doc, xpath, value);

    if (!object || xmlXPathNodeSetIsEmpty(object->nodesetval))
        return NULL;
    xmlXPathNodeSetSort(object->nodesetval);
    return object->nodesetval->nodeTab[0];
}

xmlNodePtr xml_find(xmlDocPtr doc, const char *xpath)
{
    xmlNodePtr found = NULL;

    if (xml_is_plain(xpath)) {
        xml_walk_down(&(struct xml_walk){ xml_take_first, &found }, doc->children, xpath);
        return found;
    }
    return xml_find_value(doc, xpath, NULL);
}

int xml_each(xmlDocPtr doc, const char *xpath, int (*each)(xmlNodePtr node, void *opaque), void *opaque)
{
    AUTO(xml_object) xmlXPathObjectPtr object = NULL;
    int rc = 0;

    if (xml_is_plain(xpath))
        return xml_walk_down(&(struct xml_walk){ each, opaque }, doc->children, xpath);
    object = xml_evaluate(doc, xpath, NULL);
    if (!object || xmlXPathNodeSetIsEmpty(object->nodesetval))
        return 0;
    xmlXPathNodeSetSort(object->nodesetval);
    for (int i = 0; i < object->nodesetval->nodeNr && rc == 0; i++)
        rc = each(object->nodesetval->nodeTab[i], opaque);
    return rc;
}

char *xml_get(xmlDocPtr doc, const char *xpath)
{
    xmlNodePtr node = xml_find(doc, xpath);
    AUTO(xml_string) xmlChar *content = node ? xmlNodeGetContent(node) : NULL;

    return content ? strdup((const char *)content) : NULL;
}

static const char *xml_skip_blanks(const char *text)
{
    return text + strspn(text, " \t\r\n");
}

int xml_get_number(xmlDocPtr doc, const char *xpath, unsigned long long *ret_number)
{
    AUTO(string) char *text = xml_get(doc, xpath);
    const char *start = text ? xml_skip_blanks(text) : "";
    unsigned long long number;
    char *end;

    if (!isdigit((unsigned char)*start))
        return -1;
    errno = 0;
    number = strtoull(start, &end, 10);
    if (errno != 0 || *xml_skip_blanks(end))
        return -1;
    *ret_number = number;
    return 0;
}

xmlNodePtr xml_child(xmlNodePtr parent, const char *name, struct error *err)
{
    for (xmlNodePtr child = xmlFirstElementChild(parent); child; child = xmlNextElementSibling(child))
        if (strcmp((const char *)child->name, name) == 0 && !child->ns)
            return child;
    return xml_add(parent, name, NULL, err);
}

/* The Char production of XML 1.0, section 2.2: no reference can stand for the others either. */
static int xml_check_text(const char *text, struct error *err)
{
    const unsigned char *at = (const unsigned char *)text;
    int length;

    if (!xmlCheckUTF8(at))
        return error_set(err, ERROR_INVALID, "text for XML is not UTF-8");
    for (; *at; at += length) {
        int character;

        length = 4;
        character = xmlGetUTF8Char(at, &length);
        if (character < 0 || !IS_CHAR((unsigned)character))
            return error_set(err, ERROR_INVALID, "text for XML has a character that XML cannot hold");
    }
    return 0;
}

xmlNodePtr xml_add(xmlNodePtr parent, const char *name, const char *text, struct error *err)
{
    xmlNodePtr child;

    if (text && xml_check_text(text, err) < 0)
        return NULL;
    child = xmlNewTextChild(parent, NULL, BAD_CAST name, BAD_CAST text);
    if (!child)
        error_set_memory(err);
    return child;
}

int xml_set_text(xmlNodePtr node, const char *text, struct error *err)
{
    xmlNodePtr content;

    if (xml_check_text(text, err) < 0)
        return -1;
    content =
        xmlNewDocText(node->doc, BAD_CAST text); /* as it is: xmlNodeSetContent would take it for markup */
    if (!content)
        return error_set_memory(err);
    xmlNodeSetContent(node, NULL);
    xmlAddChild(node, content);
    return 0;
}

int xml_set_attribute(xmlNodePtr node, const char *name, const char *value, struct error *err)
{
    if (xml_check_text(value, err) < 0)
        return -1;
    if (!xmlSetProp(node, BAD_CAST name, BAD_CAST value))
        return error_set_memory(err);
    return 0;
}

void xml_remove(xmlNodePtr node)
{
    if (!node)
        return;
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}
