/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the suites about schemas share: one schema, one instance, and what comes of it. */

#ifndef VIRTJOB_SCHEMA_FIXTURE_H
#define VIRTJOB_SCHEMA_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "schema.h"

CLEANUP_DEFINE(store, struct schema_store *, schema_store_free)

static inline __attribute__((unused)) struct schema_store *store_of(const char *text, struct error *err)
{
    struct schema_store *store = schema_store_new(err);

    if (store && (schema_store_add(store, "test.json", text, strlen(text), err) < 0 ||
                  schema_store_link(store, err) < 0)) {
        schema_store_free(store);
        return NULL;
    }
    return store;
}

static inline __attribute__((unused)) json_t *json_of(const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    ck_assert_msg(json, "%s", text);
    return json;
}

/* Against a store of its own. */
static inline __attribute__((unused)) int check(const char *schema, const json_t *instance, const char *at,
                                                struct error *err)
{
    AUTO(store) struct schema_store *store = store_of(schema, err);

    ck_assert_msg(store, "%s", err->message);
    return schema_check(schema_store_find(store, "test.json"), instance, at, err);
}

static inline __attribute__((unused)) void assert_valid(const char *schema, const char *instance)
{
    AUTO(json) json_t *json = json_of(instance);
    struct error err = ERROR_INIT;

    ck_assert_msg(check(schema, json, "", &err) == 0, "%s: %s", instance, err.message);
}

static inline __attribute__((unused)) void assert_fault_at(const char *schema, const char *instance,
                                                           const char *at, const char *where,
                                                           const char *message)
{
    AUTO(json) json_t *json = json_of(instance);
    struct error err = ERROR_INIT;

    ck_assert_msg(check(schema, json, at, &err) < 0, "%s is valid", instance);
    ck_assert_int_eq(err.code, ERROR_INVALID);
    ck_assert(err.has_where);
    ck_assert_str_eq(err.message, message);
    ck_assert_str_eq(err.where, where);
}

static inline __attribute__((unused)) void assert_fault(const char *schema, const char *instance,
                                                        const char *where, const char *message)
{
    assert_fault_at(schema, instance, "", where, message);
}

static inline __attribute__((unused)) void assert_refused(const char *schema, const char *where,
                                                          const char *message)
{
    struct error err = ERROR_INIT;
    AUTO(store) struct schema_store *store = store_of(schema, &err);

    ck_assert_msg(!store, "%s is taken", schema);
    ck_assert_int_eq(err.code, ERROR_INVALID);
    ck_assert_str_eq(err.message, message);
    ck_assert_str_eq(err.where, where);
}

#endif
