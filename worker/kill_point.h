/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Named places between two effects, at which a test may kill the worker. In the daemon nothing happens there: the
 * function is empty. `virtjobd_killable`, which only tests build, has another one linked in its place
 * (tests/tools/kill_point.c): it ends the process as SIGKILL does at the point that VIRTJOB_KILL_POINT names, on its
 * first visit, or on the n-th with "<name>:<n>". The suite that walks all points reads their names from the sources. */

#ifndef VIRTJOB_KILL_POINT_H
#define VIRTJOB_KILL_POINT_H

/* `name` is a literal: "after-intended". Any thread. */
void kill_point(const char *name);

#endif
