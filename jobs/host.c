/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The area of hosts. Here host.info: what a host is, has and carries; the others are in host_orphans.c and
 * host_evacuate.c. */

#include "host_internal.h"

#include <string.h>

#include <libvirt/virterror.h>

#include "xml.h"

#define KIB 1024

/* 9000000 is told as "9.0.0". */
static json_t *host_version(unsigned long version)
{
    return json_sprintf("%lu.%lu.%lu", version / 1000000, version / 1000 % 1000, version % 1000);
}

/* Sets `key` where libvirt gave a string, which is freed. A driver that cannot tell leaves the key out. */
static int host_put_string(json_t *info, const char *key, char *text)
{
    int set = text ? json_object_set_new(info, key, json_string(text)) : 0;

    free(text);
    return set;
}

static int host_add_names(virConnectPtr conn, json_t *info, struct error *err)
{
    unsigned long library = 0, hypervisor = 0;
    const char *driver = virConnectGetType(conn);

    if (virConnectGetLibVersion(conn, &library) < 0 || !driver)
        return error_set_libvirt(err, "asking the host for its versions");
    if (host_put_string(info, "hostname", virConnectGetHostname(conn)) < 0 ||
        host_put_string(info, "uri", virConnectGetURI(conn)) < 0 ||
        json_object_set_new(info, "hypervisor", json_string(driver)) < 0 ||
        json_object_set_new(info, "libvirt_version", host_version(library)) < 0)
        return error_set_memory(err);
    if (virConnectGetVersion(conn, &hypervisor) == 0 &&
        json_object_set_new(info, "hypervisor_version", host_version(hypervisor)) < 0)
        return error_set_memory(err);
    return 0;
}

static int host_add_node(virConnectPtr conn, json_t *info, struct error *err)
{
    virNodeInfo node;
    unsigned long long free_bytes;
    json_t *object;

    if (virNodeGetInfo(conn, &node) < 0)
        return error_set_libvirt(err, "asking the host for its figures");
    object =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "model", node.model, "memory",
                  (json_int_t)node.memory * KIB, "cpus", (json_int_t)node.cpus, "mhz", (json_int_t)node.mhz,
                  "numa_nodes", (json_int_t)node.nodes, "sockets", (json_int_t)node.sockets, "cores",
                  (json_int_t)node.cores, "threads", (json_int_t)node.threads);
    if (!object || json_object_set_new(info, "node", object) < 0)
        return error_set_memory(err);
    free_bytes = virNodeGetFreeMemory(conn); /* 0: cannot tell */
    if (free_bytes > 0 &&
        json_object_set_new(object, "memory_free", json_integer((json_int_t)free_bytes)) < 0)
        return error_set_memory(err);
    return 0;
}

static int host_add_guests(virConnectPtr conn, json_t *info, struct error *err)
{
    int active = virConnectNumOfDomains(conn), inactive = virConnectNumOfDefinedDomains(conn);
    json_t *object;

    if (active < 0 || inactive < 0)
        return error_set_libvirt(err, "counting the guests");
    object = json_pack("{s:i, s:i}", "active", active, "inactive", inactive);
    return json_object_set_new(info, "guests", object) < 0 ? error_set_memory(err) : 0;
}

static const char *host_pool_state(int state)
{
    static const char *const names[] = { [VIR_STORAGE_POOL_INACTIVE] = "inactive",
                                         [VIR_STORAGE_POOL_BUILDING] = "building",
                                         [VIR_STORAGE_POOL_RUNNING] = "running",
                                         [VIR_STORAGE_POOL_DEGRADED] = "degraded",
                                         [VIR_STORAGE_POOL_INACCESSIBLE] = "inaccessible" };

    return state >= 0 && (size_t)state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

static int host_add_pool(json_t *pools, virStoragePoolPtr pool)
{
    virStoragePoolInfo pool_info;

    if (virStoragePoolGetInfo(pool, &pool_info) < 0)
        return 0; /* it has gone meanwhile */
    return json_array_append_new(
        pools,
        json_pack("{s:s, s:s, s:I, s:I, s:I}", "name", virStoragePoolGetName(pool), "state",
                  host_pool_state(pool_info.state), "capacity", (json_int_t)pool_info.capacity, "allocation",
                  (json_int_t)pool_info.allocation, "available", (json_int_t)pool_info.available));
}

/* A driver without storage has no pools. */
static int host_add_pools(virConnectPtr conn, json_t *info, struct error *err)
{
    AUTO(json) json_t *pools = json_array();
    virStoragePoolPtr *list = NULL;
    int i, failed = 0, count = virConnectListAllStoragePools(conn, &list, 0);

    if (count < 0 && virGetLastErrorCode() != VIR_ERR_NO_SUPPORT)
        return error_set_libvirt(err, "listing the pools");
    for (i = 0; i < count; i++) {
        failed |= host_add_pool(pools, list[i]) < 0;
        virStoragePoolFree(list[i]);
    }
    free(list);
    if (failed || json_object_set(info, "pools", pools) < 0)
        return error_set_memory(err);
    return 0;
}

/* Adds the value of the attribute `name` to an array, once. */
static int host_add_once(json_t *array, const char *value)
{
    const json_t *item;
    size_t i;

    json_array_foreach (array, i, item)
        if (value && strcmp(json_string_value(item), value) == 0)
            return 0;
    return value ? json_array_append_new(array, json_string(value)) : 0;
}

/* One <guest> of the capabilities: a row {arch, type, domains} of the guests that can be defined here. */
static int host_add_capability(xmlNodePtr guest, void *opaque)
{
    AUTO(xml_doc) xmlDocPtr doc = xmlNewDoc((const xmlChar *)"1.0");
    AUTO(string) char *type = NULL;
    AUTO(string) char *arch = NULL;
    json_t *row, *domains = json_array();
    xmlNodePtr node;

    xmlDocSetRootElement(doc, xmlDocCopyNode(guest, doc, 1));
    type = xml_get(doc, "/guest/os_type");
    arch = xml_get(doc, "/guest/arch/@name");
    node = xml_find(doc, "/guest/arch/domain");
    for (; node; node = node->next) {
        AUTO(xml_string) xmlChar *domain = NULL;

        if (node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, "domain") == 0)
            domain = xmlGetNoNsProp(node, (const xmlChar *)"type");
        if (host_add_once(domains, (const char *)domain) < 0)
            break;
    }
    row = json_pack("{s:s*, s:s*, s:o}", "arch", arch, "type", type, "domains", domains);
    return json_array_append_new(opaque, row);
}

static int host_add_capabilities(virConnectPtr conn, json_t *info, struct error *err)
{
    AUTO(string) char *text = virConnectGetCapabilities(conn);
    AUTO(json) json_t *rows = json_array();
    AUTO(string) char *arch = NULL;
    AUTO(xml_doc) xmlDocPtr doc = NULL;

    if (!text)
        return error_set_libvirt(err, "asking the host for its capabilities");
    if (!(doc = xml_parse(text, "capabilities", NULL, err)))
        return -1;
    arch = xml_get(doc, "/capabilities/host/cpu/arch");
    if (xml_each(doc, "/capabilities/guest", host_add_capability, rows) != 0 ||
        json_object_set(info, "guest_types", rows) < 0 ||
        (arch && json_object_set_new(info, "arch", json_string(arch)) < 0))
        return error_set_memory(err);
    return 0;
}

int host_memory_available(virConnectPtr conn, unsigned long long *ret_kib)
{
    AUTO(memory) void *stats = NULL;
    int count = 0;

    if (virNodeGetMemoryStats(conn, VIR_NODE_MEMORY_STATS_ALL_CELLS, NULL, &count, 0) < 0 ||
        !(stats = calloc((size_t)count + 1, sizeof(virNodeMemoryStats))) ||
        virNodeGetMemoryStats(conn, VIR_NODE_MEMORY_STATS_ALL_CELLS, stats, &count, 0) < 0)
        return -1;
    *ret_kib = 0;
    for (const virNodeMemoryStats *row = stats; row < (virNodeMemoryStatsPtr)stats + count; row++)
        if (strcmp(row->field, VIR_NODE_MEMORY_STATS_TOTAL) != 0)
            *ret_kib += row->value;
    return 0;
}

static int host_info(struct job *job, json_t **ret_result, struct error *err)
{
    AUTO(json) json_t *info = json_object();

    if (host_add_names(job->conn, info, err) < 0 || host_add_node(job->conn, info, err) < 0 ||
        host_add_guests(job->conn, info, err) < 0 || host_add_pools(job->conn, info, err) < 0 ||
        host_add_capabilities(job->conn, info, err) < 0)
        return -1;
    *ret_result = STEAL(&info);
    return 0;
}

const struct job_type host_types[] = {
    { .name = "host.info", .lane = JOB_QUICK, .run = host_info },
    { .name = "host.evacuate",
      .lane = JOB_LONG,
      .run = host_evacuate,
      .takes_over = true,
      .claims = { { JOB_HOST, true, "" }, { JOB_GUEST, true, "/guests/*" } } },
    { .name = "host.orphans", .lane = JOB_QUICK, .run = host_orphans },
    { 0 },
};
