/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One datagram a message, to a socket of the file system or of the abstract namespace of Linux. */

#include "notify.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"

#define SEND_TIMEOUT_S 2 /* a manager that takes nothing for the moment must not hold us */

/* The length of the address, 0 where the name is none. '@' stands for the NUL of an abstract name, which is all of the
 * address that follows. */
static socklen_t notify_address(const char *name, struct sockaddr_un *address)
{
    size_t length = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || length < 2 || length >= sizeof(address->sun_path))
        return 0;
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(address->sun_path, name, length);
    if (name[0] == '@')
        address->sun_path[0] = 0;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] == '/'));
}

static int notify_send_to(const char *name, const char *text)
{
    const struct timeval patience = { .tv_sec = SEND_TIMEOUT_S };
    struct sockaddr_un address;
    socklen_t length = notify_address(name, &address);
    AUTO(fd) int fd = -1;

    if (length == 0)
        return errno = EAFNOSUPPORT, -1;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
        return -1;
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address, length) < 0)
        return -1;
    return 0;
}

static void notify_send(const char *text)
{
    const char *name = getenv("NOTIFY_SOCKET");

    if (name && *name && notify_send_to(name, text) < 0)
        log_warning("notify", "the service manager cannot be told", "what", text, "socket", name, "error",
                    strerror(errno), NULL);
}

void notify_ready(const char *status)
{
    char text[256];

    /* A line of its own would be a message of its own. */
    snprintf(text, sizeof(text), "READY=1%s%.*s", status ? "\nSTATUS=" : "",
             status ? (int)strcspn(status, "\n") : 0, status ? status : "");
    notify_send(text);
}

void notify_stopping(void)
{
    notify_send("STOPPING=1");
}

void notify_watchdog(void)
{
    notify_send("WATCHDOG=1");
}

/* A decimal number above 0; 0 where the text is none. */
static int64_t positive(const char *text)
{
    char *end = NULL;
    long long number;

    if (!text || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    number = strtoll(text, &end, 10);
    return errno == 0 && *end == 0 ? number : 0;
}

int64_t notify_watchdog_ms(void)
{
    const char *pid = getenv("WATCHDOG_PID");
    int64_t ms = positive(getenv("WATCHDOG_USEC")) / 2000;

    if (pid && positive(pid) != getpid())
        return 0;
    return ms;
}
