/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* The HTTP side of the metrics: two pages, by libmicrohttpd on one thread of its own. */

#include "metrics.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <microhttpd.h>

#include "cleanup.h"
#include "log.h"

#define CONNECTIONS_MAX 32
#define PATIENCE_S      10
#define REQUEST_SIZE    16384 /* for the headers of one request */

/* Set while there is a server; metrics_serve and metrics_stop are for the main thread. */
static struct MHD_Daemon *server;
static int (*server_healthy)(void *opaque);
static void *server_opaque;

/* Addresses */

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

static int parse_port(const char *text, in_port_t *ret_port)
{
    char *end;
    long port = strtol(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end || port > 65535)
        return -1;
    *ret_port = htons((in_port_t)port);
    return 0;
}

/* "[::1]" or "127.0.0.1"; "" is all of IPv6, and of IPv4 where the system has both. */
static int parse_host(const char *text, in_port_t port, union address *ret_address)
{
    size_t length = strlen(text);
    char inside[INET6_ADDRSTRLEN] = "::";
    union address address = { 0 };

    if (length >= 2 && length < sizeof(inside) && text[0] == '[' && text[length - 1] == ']')
        snprintf(inside, sizeof(inside), "%.*s", (int)length - 2, text + 1);
    else if (length > 0) {
        address.ipv4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = port };
        *ret_address = address;
        return inet_pton(AF_INET, text, &ret_address->ipv4.sin_addr) == 1 ? 0 : -1;
    }
    address.ipv6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = port };
    *ret_address = address;
    return inet_pton(AF_INET6, inside, &ret_address->ipv6.sin6_addr) == 1 ? 0 : -1;
}

static int parse_address(const char *text, union address *ret_address, struct error *err)
{
    const char *colon = strrchr(text, ':');
    AUTO(string) char *host = colon ? strndup(text, (size_t)(colon - text)) : NULL;
    in_port_t port;

    if (!host || parse_port(colon + 1, &port) < 0 || parse_host(host, port, ret_address) < 0)
        return error_set(err, ERROR_INVALID, "'%s' is not an address to listen on, as 127.0.0.1:9177", text);
    return 0;
}

/* Pages */

static enum MHD_Result respond(struct MHD_Connection *connection, unsigned status, const char *type,
                               char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result result;

    if (!response) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result respond_line(struct MHD_Connection *connection, unsigned status, const char *line)
{
    char *text = strdup(line);

    return text ? respond(connection, status, "text/plain; charset=utf-8", text) : MHD_NO;
}

static enum MHD_Result respond_metrics(struct MHD_Connection *connection)
{
    char *text = metrics_render();

    return text ? respond(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text) : MHD_NO;
}

static enum MHD_Result respond_health(struct MHD_Connection *connection)
{
    if (!server_healthy || server_healthy(server_opaque))
        return respond_line(connection, MHD_HTTP_OK, "ok\n");
    return respond_line(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "not healthy\n");
}

/* An answer to the first call, which has but the headers: whoever sends a body is cut off. */
static enum MHD_Result answer(void *unused, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    static char seen;

    (void)unused, (void)version, (void)upload, (void)upload_size;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return respond_line(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    if (!*state) {
        /* With a second call the connection can be kept for the next request. */
        *state = &seen;
        return MHD_YES;
    }
    if (strcmp(path, "/metrics") == 0)
        return respond_metrics(connection);
    if (strcmp(path, "/healthz") == 0)
        return respond_health(connection);
    return respond_line(connection, MHD_HTTP_NOT_FOUND, "there are /metrics and /healthz\n");
}

static void log_server(void *unused, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
static void log_server(void *unused, const char *fmt, va_list args)
{
    char text[256];

    (void)unused;
    vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\n")] = '\0';
    log_debug("metrics", text, NULL);
}

static struct MHD_Daemon *start(const union address *address, unsigned flags)
{
    return MHD_start_daemon(flags | MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL, answer,
                            NULL, MHD_OPTION_EXTERNAL_LOGGER, log_server, NULL, MHD_OPTION_SOCK_ADDR,
                            &address->any, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)PATIENCE_S,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_SIZE, MHD_OPTION_END);
}

/* A host without IPv6 still has all of IPv4. */
static struct MHD_Daemon *start_everywhere(const union address *address)
{
    struct MHD_Daemon *daemon = start(address, MHD_USE_DUAL_STACK);
    union address ipv4 = { .ipv4 = { .sin_family = AF_INET, .sin_port = address->ipv6.sin6_port } };

    return daemon ? daemon : start(&ipv4, 0);
}

int metrics_serve(const char *address, int (*healthy)(void *opaque), void *opaque, struct error *err)
{
    union address parsed;

    if (server)
        return error_set(err, ERROR_INTERNAL, "metrics are served already");
    if (parse_address(address, &parsed, err) < 0)
        return -1;
    server_healthy = healthy;
    server_opaque = opaque;
    if (address[0] == ':')
        server = start_everywhere(&parsed);
    else
        server = start(&parsed, parsed.any.sa_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    if (!server)
        return error_set(err, ERROR_INTERNAL, "cannot serve metrics on %s: %m", address);
    return 0;
}

int metrics_port(void)
{
    const union MHD_DaemonInfo *info = server ? MHD_get_daemon_info(server, MHD_DAEMON_INFO_BIND_PORT) : NULL;

    return info ? info->port : -1;
}

void metrics_stop(void)
{
    if (server)
        MHD_stop_daemon(server);
    server = NULL;
}
