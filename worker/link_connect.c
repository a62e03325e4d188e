/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* From an address to an open channel with publisher confirms. */

#include "link_internal.h"

#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"

/* An identity that is empty fails in the library; the broker takes the certificate's in any case. */
#define EXTERNAL_IDENTITY "certificate"

#define PASSWORD_SIZE     1024

CLEANUP_DEFINE(file, FILE *, fclose)

/* What the library's status means to the operator; others have the library's own words. */
static const struct {
    int status;
    const char *text;
} hints[] = {
    { AMQP_STATUS_SOCKET_ERROR, "refused, unreachable, or reset" },
    { AMQP_STATUS_TIMEOUT, "no answer in time" },
    { AMQP_STATUS_CONNECTION_CLOSED, "the broker closed the connection without a word" },
    { AMQP_STATUS_HEARTBEAT_TIMEOUT, "no heartbeat from the broker" },
    { AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD, "the broker does not offer this SASL mechanism" },
    { AMQP_STATUS_SSL_ERROR, "TLS error: the broker may want another client certificate" },
    { AMQP_STATUS_SSL_PEER_VERIFY_FAILED,
      "the broker's certificate is not signed by broker.ca_file, or not valid now" },
    { AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED, "the broker's certificate is for another host name" },
    { AMQP_STATUS_SSL_CONNECTION_FAILED,
      "the TLS handshake failed: no TLS on that port, or versions differ" },
};

int link_check_status(int status, struct error *err, const char *what)
{
    const char *text = amqp_error_string2(status);

    if (status >= 0)
        return 0;
    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
        if (hints[i].status == status)
            text = hints[i].text;
    return error_set(err, ERROR_BROKER, "%s: %s", what, text);
}

/* connection.close and channel.close begin alike. */
static int link_check_exception(const amqp_method_t *method, struct error *err, const char *what)
{
    unsigned code = 0;
    amqp_bytes_t text = amqp_empty_bytes;

    if (method->id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *end = method->decoded;
        code = end->reply_code, text = end->reply_text;
    } else if (method->id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *end = method->decoded;
        code = end->reply_code, text = end->reply_text;
    }
    return error_set(err, code == AMQP_ACCESS_REFUSED ? ERROR_DENIED : ERROR_BROKER, "%s: %u %.*s", what,
                     code, (int)text.len, text.len ? (const char *)text.bytes : "");
}

int link_check_reply(amqp_rpc_reply_t reply, struct error *err, const char *what, ...)
{
    char doing[400];
    va_list args;

    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
        return 0;
    va_start(args, what);
    vsnprintf(doing, sizeof(doing), what, args);
    va_end(args);
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION)
        return link_check_exception(&reply.reply, err, doing);
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
        return link_check_status(reply.library_error, err, doing);
    return error_set(err, ERROR_BROKER, "%s: no answer", doing);
}

/* Read anew for every connection, so that a changed password needs no restart. */
static int link_read_password(const char *path, char ret_password[PASSWORD_SIZE], struct error *err)
{
    AUTO(file) FILE *file = fopen(path, "re");

    if (!file)
        return error_set(err, ERROR_DENIED, "broker.password_file '%s': %s", path, strerror(errno));
    setvbuf(file, NULL, _IONBF, 0);
    if (!fgets(ret_password, PASSWORD_SIZE, file))
        return error_set(err, ERROR_INVALID, "broker.password_file '%s' is empty", path);
    ret_password[strcspn(ret_password, "\r\n")] = '\0';
    return 0;
}

static int link_prepare_tls(const struct config_broker *broker, amqp_socket_t *tls, struct error *err)
{
    amqp_ssl_socket_set_verify_peer(tls, 1);
    amqp_ssl_socket_set_verify_hostname(tls, broker->verify_host_name);
    if (amqp_ssl_socket_set_ssl_versions(tls, AMQP_TLSv1_2, AMQP_TLSvLATEST) != AMQP_STATUS_OK)
        return error_set(err, ERROR_BROKER, "this TLS library cannot do TLS 1.2");
    if (amqp_ssl_socket_set_cacert(tls, broker->ca_file) != AMQP_STATUS_OK)
        return error_set(err, ERROR_INVALID, "broker.ca_file '%s' cannot be read as PEM certificates",
                         broker->ca_file);
    if (!broker->cert_file)
        return 0;
    /* A key that is encrypted is refused instead of asking the terminal for its password. */
    amqp_ssl_socket_set_key_passwd(tls, "");
    if (amqp_ssl_socket_set_key(tls, broker->cert_file,
                                broker->key_file ? broker->key_file : broker->cert_file) != AMQP_STATUS_OK)
        return error_set(err, ERROR_INVALID,
                         "broker.cert_file '%s' and its key cannot be used: not PEM, not a pair, or "
                         "the key is encrypted",
                         broker->cert_file);
    return 0;
}

static int link_open_socket(struct link *link, struct error *err)
{
    const struct config_broker *broker = link->settings.broker;
    const struct amqp_connection_info *info = &link_address(link)->info;
    struct timeval timeout = { .tv_sec = broker->connect_timeout_s };
    amqp_socket_t *socket = info->ssl ? amqp_ssl_socket_new(link->amqp) : amqp_tcp_socket_new(link->amqp);

    if (!socket)
        return error_set_memory(err);
    if (info->ssl && link_prepare_tls(broker, socket, err) < 0)
        return -1;
    return link_check_status(amqp_socket_open_noblock(socket, info->host, info->port, &timeout), err,
                             link_address(link)->shown);
}

/* The library has set TCP_NODELAY and SO_KEEPALIVE. What we add ends a connection whose peer is gone or takes nothing:
 * heartbeats and the watchdog are quicker, as long as the thread gets to them. A broker under an alarm reads nothing
 * either, and is waited for longer than that. */
static void link_tune_socket(const struct link *link)
{
    const struct config_broker *broker = link->settings.broker;
    int patience_s = broker->blocked_timeout_s > broker->send_timeout_s ? broker->blocked_timeout_s
                                                                        : broker->send_timeout_s;
    unsigned user_timeout_ms = (unsigned)patience_s * 1000 + 1000;
    static const struct {
        int option, value;
    } keepalive[] = { { TCP_KEEPIDLE, 30 }, { TCP_KEEPINTVL, 10 }, { TCP_KEEPCNT, 3 } };

    (void)setsockopt(link->socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms));
    for (size_t i = 0; i < sizeof(keepalive) / sizeof(keepalive[0]); i++)
        (void)setsockopt(link->socket, IPPROTO_TCP, keepalive[i].option, &keepalive[i].value, sizeof(int));
}

static amqp_table_entry_t entry_flag(const char *key)
{
    return (amqp_table_entry_t){ .key = amqp_cstring_bytes(key),
                                 .value = { .kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1 } };
}

static amqp_table_entry_t entry_text(const char *key, const char *text)
{
    return (amqp_table_entry_t){ .key = amqp_cstring_bytes(key),
                                 .value = { .kind = AMQP_FIELD_KIND_UTF8,
                                            .value.bytes = amqp_cstring_bytes(text) } };
}

/* Without these capabilities the broker keeps cancels and alarms to itself, and refuses a login by hanging up. */
static amqp_rpc_reply_t link_log_in(struct link *link, const char *password)
{
    const struct config_broker *broker = link->settings.broker;
    const struct amqp_connection_info *info = &link_address(link)->info;
    char host[128] = "", name[256];
    amqp_table_entry_t capabilities[] = { entry_flag("consumer_cancel_notify"),
                                          entry_flag("connection.blocked"), entry_flag("publisher_confirms"),
                                          entry_flag("basic.nack"),
                                          entry_flag("authentication_failure_close") };
    amqp_table_entry_t entries[4];
    amqp_table_t properties = { .num_entries = 4, .entries = entries };

    (void)gethostname(host, sizeof(host) - 1);
    snprintf(name, sizeof(name), "%s/%s@%s:%d", program_invocation_short_name, link->name, host,
             (int)getpid());
    entries[0] = entry_text("product", "virtjob");
    entries[1] = entry_text("version", VIRTJOB_VERSION);
    entries[2] = entry_text("connection_name", name);
    entries[3] =
        (amqp_table_entry_t){ .key = amqp_cstring_bytes("capabilities"),
                              .value = { .kind = AMQP_FIELD_KIND_TABLE,
                                         .value.table = { .num_entries = 5, .entries = capabilities } } };
    if (broker->external)
        return amqp_login_with_properties(link->amqp, info->vhost, LINK_CHANNEL, LINK_FRAME_MAX,
                                          broker->heartbeat_s, &properties, AMQP_SASL_METHOD_EXTERNAL,
                                          EXTERNAL_IDENTITY);
    return amqp_login_with_properties(link->amqp, info->vhost, LINK_CHANNEL, LINK_FRAME_MAX,
                                      broker->heartbeat_s, &properties, AMQP_SASL_METHOD_PLAIN, info->user,
                                      password);
}

static int link_authenticate(struct link *link, struct error *err)
{
    const struct config_broker *broker = link->settings.broker;
    struct timeval handshake = { .tv_sec = broker->connect_timeout_s };
    char password[PASSWORD_SIZE] = "";
    amqp_rpc_reply_t reply;

    if (broker->password_file && link_read_password(broker->password_file, password, err) < 0)
        return -1;
    amqp_set_handshake_timeout(link->amqp, &handshake);
    reply = link_log_in(link, broker->password_file ? password : link_address(link)->info.password);
    explicit_bzero(password, sizeof(password));
    return link_check_reply(reply, err, "%s: login as %s", link_address(link)->shown,
                            broker->external ? "the client certificate" : link_address(link)->info.user);
}

static int link_open_channel(struct link *link, struct error *err)
{
    struct timeval patience = { .tv_sec = link->settings.broker->send_timeout_s };

    amqp_set_rpc_timeout(link->amqp, &patience);
    amqp_channel_open(link->amqp, LINK_CHANNEL);
    if (link_check_reply(amqp_get_rpc_reply(link->amqp), err, "opening a channel") < 0)
        return -1;
    amqp_confirm_select(link->amqp, LINK_CHANNEL);
    return link_check_reply(amqp_get_rpc_reply(link->amqp), err, "switching publisher confirms on");
}

/* Our own descriptor of the socket: the library closes its one whenever it likes, and its number may be another file's
 * the next moment. */
static int link_take_socket(struct link *link, struct error *err)
{
    int fd = fcntl(amqp_get_sockfd(link->amqp), F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return error_set(err, ERROR_INTERNAL, "duplicating a socket: %s", strerror(errno));
    SCOPE_LOCK(&link->socket_lock);
    link->socket = link->watch_fd = fd;
    return 0;
}

static void link_give_socket_up(struct link *link)
{
    SCOPE_LOCK(&link->socket_lock);

    if (link->socket >= 0)
        close(link->socket);
    link->socket = link->watch_fd = -1;
}

static int link_establish(struct link *link, struct error *err)
{
    link_touch(link);
    if (link_open_socket(link, err) < 0)
        return -1;
    link->tls = link_address(link)->info.ssl;
    link_touch(link);
    if (link_take_socket(link, err) < 0)
        return -1;
    link_tune_socket(link);
    if (link_authenticate(link, err) < 0 || link_open_channel(link, err) < 0)
        return -1;
    link->tick_ms = amqp_get_heartbeat(link->amqp) > 0 ? amqp_get_heartbeat(link->amqp) * 250 : 5000;
    link->answered_ms = link_now_ms();
    link->next_tick_ms = link->answered_ms + link->tick_ms;
    return 0;
}

int link_connect(struct link *link, struct error *err)
{
    link->amqp = amqp_new_connection();
    if (!link->amqp)
        return error_set_memory(err);
    if (link_establish(link, err) == 0)
        return 0;
    link_disconnect(link, false);
    return -1;
}

void link_disconnect(struct link *link, bool politely)
{
    struct timeval short_patience = { .tv_sec = 2 };

    if (politely) {
        amqp_set_rpc_timeout(link->amqp, &short_patience);
        link_touch(link);
        if (link_settle_for_good(link) == 0)
            amqp_connection_close(link->amqp, AMQP_REPLY_SUCCESS);
    }
    amqp_destroy_connection(link->amqp);
    link->amqp = NULL;
    link->stalled = false;
    link->consumers = 0;
    link_give_socket_up(link);
    atomic_store(&link->busy_since_ms, 0);
}
