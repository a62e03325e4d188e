/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Tells the service manager how the process is: the protocol of sd_notify(3), datagrams to the socket that the
 * environment variable NOTIFY_SOCKET names, as with Type=notify and WatchdogSec= of systemd.service(5). Where the
 * variable is not set, nothing happens. For the main thread: NotifyAccess=main takes no other process's word, and the
 * environment is read each time. A datagram that cannot be sent within two seconds is given up with a warning in the
 * log: what the manager makes of its absence is the manager's. */

#ifndef VIRTJOB_NOTIFY_H
#define VIRTJOB_NOTIFY_H

#include <stdint.h>

/* READY=1: the start is over. `status` (NULL: none; one line) is what `systemctl status` shows; calling it again changes
 * that alone. */
void notify_ready(const char *status);

/* STOPPING=1: the end has begun; the manager waits TimeoutStopSec= for it. */
void notify_stopping(void);

/* WATCHDOG=1: still alive. Expected at least every WatchdogSec=. */
void notify_watchdog(void);

/* How often to call notify_watchdog, in milliseconds: half of what the manager waits for (sd_watchdog_enabled(3):
 * WATCHDOG_USEC, where WATCHDOG_PID is ours or not set). 0: it does not wait. */
int64_t notify_watchdog_ms(void);

#endif
