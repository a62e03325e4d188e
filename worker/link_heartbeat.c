/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Whether the broker still counts on us, and we on it.
 *
 * A broker gives a silent client up after two heartbeat intervals, counted from the last byte, and gives its deliveries to
 * somebody else. So we are never silent for more than a quarter of one; and who has heard nothing for one and a half of them
 * must no longer be sure that he is still counted on. What counts is when the kernel got the bytes, not when we read them:
 * a process that was stopped finds heartbeats that are long past. */

#include "link_internal.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define TCP_STATE_ESTABLISHED 1 /* of tcpi_state; all others: an end has been seen */

/* The library reads that much at a time into a buffer of its own. */
#define LIBRARY_BUFFER (128 * 1024)

static void link_heard(struct link *link, int64_t at_ms)
{
    int64_t until_ms = at_ms + (int64_t)link->tick_ms * LINK_TICKS_FRESH;

    if (until_ms > atomic_load_explicit(&link->fresh_until_ms, memory_order_relaxed))
        atomic_store_explicit(&link->fresh_until_ms, until_ms, memory_order_relaxed);
}

/* Bytes count once all that had arrived with them has been read: there may be an end among them. */
void link_hear(struct link *link)
{
    struct tcp_info info = { 0 };
    socklen_t size = sizeof(info);
    int64_t now = link_now_ms();
    int unread = 0;

    if (now < link->next_hear_ms)
        return;
    link->next_hear_ms = now + link->tick_ms / 4;
    if (getsockopt(link->socket, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ||
        ioctl(link->socket, FIONREAD, &unread) < 0 || info.tcpi_state != TCP_STATE_ESTABLISHED)
        return;
    if (link_has_buffered(link))
        unread += LIBRARY_BUFFER;
    if ((int64_t)info.tcpi_bytes_received - unread >= link->arrived) {
        link_heard(link, link->arrived_ms);
        link->arrived = (int64_t)info.tcpi_bytes_received;
        link->arrived_ms = now - (int64_t)info.tcpi_last_data_recv;
    }
    if (unread == 0)
        link_heard(link, link->arrived_ms);
}

void link_hear_first(struct link *link, int64_t at_ms)
{
    link->arrived = 0;
    link->arrived_ms = at_ms;
    link->next_hear_ms = 0;
    link_heard(link, at_ms);
    link_hear(link);
}

/* The library would wait for room in a socket that has none. */
int link_beat(struct link *link, struct error *err)
{
    const amqp_frame_t heartbeat = { .frame_type = AMQP_FRAME_HEARTBEAT };
    struct pollfd writable = { .fd = link->socket, .events = POLLOUT };

    if (poll(&writable, 1, 0) == 0)
        return 0;
    return link_check_status(amqp_send_frame(link->amqp, &heartbeat), err, "sending a heartbeat");
}
