/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Which name is which UUID, as far as snapshot and events have told. A transient guest is forgotten when it stops, one
 * that is undefined while it runs too; else the table would grow with every guest that ever was. */

#include "events_internal.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

struct guests {
    pthread_mutex_t mutex; /* guards both */
    json_t *by_uuid;       /* UUID -> {name, persistent, active} */
    json_t *by_name;       /* name -> UUID */
};

struct guests *guests_new(void)
{
    struct guests *guests = calloc(1, sizeof(*guests));

    if (!guests)
        return NULL;
    pthread_mutex_init(&guests->mutex, NULL);
    guests->by_uuid = json_object();
    guests->by_name = json_object();
    if (guests->by_uuid && guests->by_name)
        return guests;
    guests_free(guests);
    return NULL;
}

void guests_free(struct guests *guests)
{
    if (!guests)
        return;
    json_decref(guests->by_uuid);
    json_decref(guests->by_name);
    pthread_mutex_destroy(&guests->mutex);
    free(guests);
}

static const char *guests_name(const struct guests *guests, const char *uuid)
{
    return json_string_value(json_object_get(json_object_get(guests->by_uuid, uuid), "name"));
}

static void guests_remove(struct guests *guests, const char *uuid)
{
    const char *name = guests_name(guests, uuid);
    const char *holder = name ? json_string_value(json_object_get(guests->by_name, name)) : NULL;

    if (holder && strcmp(holder, uuid) == 0) /* else another guest has that name by now */
        json_object_del(guests->by_name, name);
    json_object_del(guests->by_uuid, uuid);
}

/* Without memory the guest is simply not known. */
static json_t *guests_put(struct guests *guests, const char *name, const char *uuid)
{
    const char *known = guests_name(guests, uuid);
    json_t *guest;

    if (known && strcmp(known, name) == 0)
        return json_object_get(guests->by_uuid, uuid);
    guests_remove(guests, uuid);
    guest = json_pack("{s:s, s:b, s:b}", "name", name, "persistent", 0, "active", 0);
    if (json_object_set_new(guests->by_uuid, uuid, guest) < 0)
        return NULL;
    json_object_set_new(guests->by_name, name, json_string(uuid));
    return guest;
}

static void guests_set(json_t *guest, const char *flag, bool value)
{
    json_object_set_new(guest, flag, json_boolean(value));
}

static void guests_put_seen(struct guests *guests, const json_t *seen)
{
    const char *name = json_string_value(json_object_get(seen, "name"));
    const char *uuid = json_string_value(json_object_get(seen, "uuid"));
    json_t *guest = name && uuid ? guests_put(guests, name, uuid) : NULL;

    if (!guest)
        return;
    guests_set(guest, "persistent", !json_is_false(json_object_get(seen, "persistent")));
    guests_set(guest, "active", json_object_get(seen, "id") != NULL);
}

void guests_replace(struct guests *guests, const json_t *snapshot)
{
    SCOPE_LOCK(&guests->mutex);
    const json_t *seen;
    size_t i;

    json_object_clear(guests->by_uuid);
    json_object_clear(guests->by_name);
    json_array_foreach (snapshot, i, seen)
        guests_put_seen(guests, seen);
}

/* How an event changes what is known of the guest; the others only say that it is active. */
static void guests_apply(json_t *guest, int event)
{
    if (event == VIR_DOMAIN_EVENT_DEFINED)
        guests_set(guest, "persistent", true);
    else if (event == VIR_DOMAIN_EVENT_UNDEFINED)
        guests_set(guest, "persistent", false);
    else
        guests_set(guest, "active", event != VIR_DOMAIN_EVENT_STOPPED);
}

void guests_note(struct guests *guests, int event, const char *name, const char *uuid)
{
    SCOPE_LOCK(&guests->mutex);
    json_t *guest = guests_put(guests, name, uuid);

    if (!guest)
        return;
    guests_apply(guest, event);
    if (json_is_false(json_object_get(guest, "persistent")) &&
        json_is_false(json_object_get(guest, "active")))
        guests_remove(guests, uuid);
}

int guests_alias(struct guests *guests, const char *name_or_uuid, char *ret_other)
{
    SCOPE_LOCK(&guests->mutex);
    char uuid[VIR_UUID_STRING_BUFLEN];
    const char *other;
    size_t i;

    for (i = 0; name_or_uuid[i] && i < sizeof(uuid) - 1; i++)
        uuid[i] = (char)tolower((unsigned char)name_or_uuid[i]);
    uuid[i] = 0;
    other = name_or_uuid[i] ? NULL : guests_name(guests, uuid);
    if (!other)
        other = json_string_value(json_object_get(guests->by_name, name_or_uuid));
    if (!other || strlen(other) >= WATCH_ALIAS_SIZE)
        return -1;
    strcpy(ret_other, other);
    return 0;
}
