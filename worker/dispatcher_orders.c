/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A hash that keeps the order of arrival. */

#include "dispatcher_orders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDERS_MAX   65536
#define ORDER_AGE_MS INT64_C(86400000) /* as the control stream keeps them */

static struct order *order_look(struct order *list, const char *job_id)
{
    struct order *order;

    HASH_FIND_STR(list, job_id, order);
    return order;
}

const struct order *orders_find(struct order *list, const char *job_id)
{
    return order_look(list, job_id);
}

static void order_delete(struct order **list, struct order *order)
{
    HASH_DEL(*list, order);
    free(order->reason);
    free(order);
}

static bool order_has_expired(int64_t given_ms)
{
    return envelope_now_ms() - given_ms > ORDER_AGE_MS;
}

void orders_add(struct order **list, const char *job_id, const char *reason, int64_t given_ms)
{
    struct order *order;

    if (order_has_expired(given_ms) || order_look(*list, job_id) || !(order = calloc(1, sizeof(*order))))
        return;
    snprintf(order->job, sizeof(order->job), "%s", job_id);
    order->reason = reason ? strdup(reason) : NULL;
    order->given_ms = given_ms;
    HASH_ADD_STR(*list, job, order);
    if (HASH_COUNT(*list) > ORDERS_MAX)
        order_delete(list, *list);
}

/* The stream tells them in the order in which they were given, so the oldest come first. */
void orders_expire(struct order **list)
{
    while (*list && order_has_expired((*list)->given_ms))
        order_delete(list, *list);
}

void orders_free_all(struct order **list)
{
    while (*list)
        order_delete(list, *list);
}
