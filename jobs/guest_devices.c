/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Disks, interfaces and addresses of a guest, as JSON. */

#include "guest_internal.h"

#include <string.h>

static xmlNodePtr node_child(xmlNodePtr parent, const char *name)
{
    xmlNodePtr node;

    for (node = parent ? parent->children : NULL; node; node = node->next)
        if (node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0)
            return node;
    return NULL;
}

/* Copies an attribute, where there is one. */
static int put_attribute(json_t *object, const char *key, xmlNodePtr node, const char *name)
{
    AUTO(xml_string) xmlChar *value = node ? xmlGetNoNsProp(node, (const xmlChar *)name) : NULL;

    return value ? json_object_set_new(object, key, json_string((const char *)value)) : 0;
}

static int put_flag(json_t *object, const char *key, xmlNodePtr disk)
{
    return json_object_set_new(object, key, json_boolean(node_child(disk, key) != NULL));
}

/* A row: where in the JSON what attribute of which child goes (NULL: of the element itself). */
struct attribute {
    const char *key;
    const char *child;
    const char *name;
};

static int put_attributes(json_t *object, xmlNodePtr node, const struct attribute *rows)
{
    for (; rows->key; rows++)
        if (put_attribute(object, rows->key, rows->child ? node_child(node, rows->child) : node, rows->name) <
            0)
            return -1;
    return 0;
}

json_t *guest_disk_describe(xmlNodePtr disk)
{
    /* The later of two rows for one key wins where both are there: a volume of a running guest has its path, too. */
    static const struct attribute rows[] = {
        { "device", "target", "dev" },
        { "bus", "target", "bus" },
        { "type", NULL, "type" },
        { "kind", NULL, "device" },
        { "path", "source", "dir" },
        { "path", "source", "dev" },
        { "path", "source", "file" },
        { "pool", "source", "pool" },
        { "volume", "source", "volume" },
        { "format", "driver", "type" },
        { "protocol", "source", "protocol" },
        { "path", "source", "name" },
        { 0 },
    };
    AUTO(json) json_t *object = json_pack("{s:s, s:s}", "device", "", "kind", "disk");

    if (!object || put_attributes(object, disk, rows) < 0 || put_flag(object, "readonly", disk) < 0 ||
        put_flag(object, "shareable", disk) < 0)
        return NULL;
    return STEAL(&object);
}

json_t *guest_interface_describe(xmlNodePtr interface)
{
    static const struct attribute rows[] = {
        { "type", NULL, "type" },          { "mac", "mac", "address" },
        { "source", "source", "dev" },     { "source", "source", "bridge" },
        { "source", "source", "network" }, { "target", "target", "dev" },
        { "model", "model", "type" },      { 0 },
    };
    AUTO(json) json_t *object = json_object();

    if (!object || put_attributes(object, interface, rows) < 0)
        return NULL;
    return STEAL(&object);
}

static unsigned int address_source(const char *source)
{
    if (strcmp(source, "agent") == 0)
        return VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT;
    if (strcmp(source, "arp") == 0)
        return VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP;
    return VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE;
}

static int put_address(json_t *addresses, const virDomainInterface *interface,
                       const virDomainIPAddress *address)
{
    json_t *object = json_pack("{s:s, s:s*, s:s, s:i, s:s}", "interface", interface->name, "mac",
                               interface->hwaddr, "address", address->addr, "prefix", (int)address->prefix,
                               "family", address->type == VIR_IP_ADDR_TYPE_IPV6 ? "ipv6" : "ipv4");

    return json_array_append_new(addresses, object);
}

static int put_addresses(json_t *addresses, virDomainInterfacePtr *interfaces, int count)
{
    int i, failed = 0;
    unsigned int j;

    for (i = 0; i < count; i++) {
        for (j = 0; j < interfaces[i]->naddrs; j++)
            failed |= put_address(addresses, interfaces[i], &interfaces[i]->addrs[j]) < 0;
        virDomainInterfaceFree(interfaces[i]);
    }
    free(interfaces);
    return failed ? -1 : 0;
}

int guest_addresses_describe(virDomainPtr dom, const char *source, json_t **ret_addresses, struct error *err)
{
    AUTO(json) json_t *addresses = json_array();
    virDomainInterfacePtr *interfaces = NULL;
    int count = virDomainInterfaceAddresses(dom, &interfaces, address_source(source), 0);

    if (count < 0)
        return error_set_libvirt(err, "asking for the addresses of guest '%s'", virDomainGetName(dom));
    if (put_addresses(addresses, interfaces, count) < 0 || !addresses)
        return error_set_memory(err);
    *ret_addresses = STEAL(&addresses);
    return 0;
}
