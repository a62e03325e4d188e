/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The brokers of broker.uri. No complaint shows one of them: it may hold a password. */

#include "link_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void link_address_done(struct link_address *address)
{
    if (address->text)
        explicit_bzero(address->text, strlen(address->text));
    free(address->text);
}

void link_addresses_free(struct link_address *addresses, size_t count)
{
    for (size_t i = 0; i < count; i++)
        link_address_done(&addresses[i]);
    free(addresses);
}

static void link_address_show(struct link_address *address)
{
    const struct amqp_connection_info *info = &address->info;

    snprintf(address->shown, sizeof(address->shown),
             strchr(info->host, ':') ? "%s://[%s]:%d%s%s" : "%s://%s:%d%s%s", info->ssl ? "amqps" : "amqp",
             info->host, info->port, info->vhost[0] == '/' ? "" : "/", info->vhost);
}

static int link_address_parse(struct link_address *address, const char *uri, size_t length, struct error *err)
{
    if (!(address->text = strndup(uri, length)))
        return error_set_memory(err);
    if (amqp_parse_url(address->text, &address->info) != AMQP_STATUS_OK)
        return error_set(err, ERROR_INVALID,
                         "broker.uri is not amqp[s]://[user[:password]@]host[:port][/vhost], "
                         "percent-encoded, or several of "
                         "these with blanks between them");
    if (!*address->info.vhost)
        address->info.vhost = (char *)"/";
    link_address_show(address);
    return 0;
}

/* What must be true of them all, and the same for each: a password must not go out in the clear because the broker for
 * which TLS is wanted is away. */
static int link_address_check(const struct link_address *address, const struct link_address *first,
                              const struct config_broker *broker, struct error *err)
{
    if (address->info.ssl && !broker->ca_file)
        return error_set(err, ERROR_INVALID,
                         "broker.uri is amqps: broker.ca_file is needed to know the broker by");
    if (address->info.ssl != first->info.ssl)
        return error_set(err, ERROR_INVALID, "broker.uri has amqp and amqps: all must be the same");
    if (strcmp(address->info.vhost, first->info.vhost) != 0)
        return error_set(err, ERROR_INVALID, "broker.uri has more than one virtual host");
    return 0;
}

int link_addresses_parse(const struct config_broker *broker, struct link_address **ret_addresses,
                         size_t *ret_count, struct error *err)
{
    const char *rest = broker->uri, *uri;
    struct link_address *addresses;
    size_t count = 0, length;
    int rc = 0;

    while (config_broker_next(&rest, &length))
        count++;
    if (!(addresses = calloc(count + 1, sizeof(*addresses))))
        return error_set_memory(err);
    rest = broker->uri;
    for (size_t i = 0; rc == 0 && (uri = config_broker_next(&rest, &length)); i++)
        if ((rc = link_address_parse(&addresses[i], uri, length, err)) == 0)
            rc = link_address_check(&addresses[i], addresses, broker, err);
    if (rc == 0 && count == 0)
        rc = error_set(err, ERROR_INVALID, "broker.uri is empty");
    if (rc < 0) {
        link_addresses_free(addresses, count);
        return -1;
    }
    *ret_addresses = addresses;
    *ret_count = count;
    return 0;
}
