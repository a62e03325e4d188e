/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Scope cleanup: `AUTO(domain) virDomainPtr dom = NULL;` frees dom wherever the scope ends, so that a function has
 * one way out and no label. `return STEAL(&dom);` hands the ownership to the caller instead. */

#ifndef VIRTJOB_CLEANUP_H
#define VIRTJOB_CLEANUP_H

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>
#include <libvirt/libvirt.h>
#include <libxml/tree.h>
#include <libxml/xpath.h>

#define AUTO(name) __attribute__((cleanup(cleanup_##name)))

/* Declares what AUTO(name) does to a variable of this type: nothing for NULL, else `release`. */
#define CLEANUP_DEFINE(name, type, release)                                                                  \
    static inline __attribute__((unused)) void cleanup_##name(type *slot)                                    \
    {                                                                                                        \
        if (*slot)                                                                                           \
            release(*slot);                                                                                  \
    }

#define STEAL(slot)                                                                                          \
    __extension__({                                                                                          \
        __auto_type stolen_slot_ = (slot);                                                                   \
        __auto_type stolen_ = *stolen_slot_;                                                                 \
        *stolen_slot_ = NULL;                                                                                \
        stolen_;                                                                                             \
    })

CLEANUP_DEFINE(string, char *, free)
CLEANUP_DEFINE(memory, void *, free)
CLEANUP_DEFINE(json, json_t *, json_decref)
CLEANUP_DEFINE(connect, virConnectPtr, virConnectClose)
CLEANUP_DEFINE(domain, virDomainPtr, virDomainFree)
CLEANUP_DEFINE(pool, virStoragePoolPtr, virStoragePoolFree)
CLEANUP_DEFINE(volume, virStorageVolPtr, virStorageVolFree)
CLEANUP_DEFINE(network, virNetworkPtr, virNetworkFree)
CLEANUP_DEFINE(xml_doc, xmlDocPtr, xmlFreeDoc)
CLEANUP_DEFINE(xml_xpath, xmlXPathContextPtr, xmlXPathFreeContext)
CLEANUP_DEFINE(xml_object, xmlXPathObjectPtr, xmlXPathFreeObject)

static inline void cleanup_xml_string(xmlChar **slot)
{
    if (*slot)
        xmlFree(*slot);
}

static inline void cleanup_fd(int *slot)
{
    if (*slot >= 0)
        close(*slot);
}

static inline void cleanup_unlock(pthread_mutex_t **slot)
{
    if (*slot)
        pthread_mutex_unlock(*slot);
}

/* A mutex that is never held for longer than a switch of threads takes: who meets it locked waits awake for a moment. */
static inline __attribute__((unused)) void mutex_init_brief(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

/* Holds `mutex` to the end of the scope. */
#define SCOPE_LOCK(mutex)                                                                                    \
    AUTO(unlock) __attribute__((unused)) pthread_mutex_t *scope_lock_ = (mutex);                             \
    pthread_mutex_lock(scope_lock_)

#endif
