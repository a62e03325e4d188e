/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* One job whose result is for the program and not for the eye: run here, or by a worker. Nothing goes to standard
 * output; an interrupt and all that fails is said on standard error. */

#ifndef VIRTJOB_ASK_H
#define VIRTJOB_ASK_H

#include <stdint.h>

#include <jansson.h>

#include "cli.h"

/* Without the option --host, runs it here over a connection to --connect (local_uri), otherwise lets the worker of that
 * host run it; waits up to `timeout_ms` for its outcome (0: for ever). `job` has type and params; id and host are
 * added. 0 with the result of a job that succeeded (a new reference), else an exit code. */
int ask_job(struct cli *cli, json_t *job, int64_t timeout_ms, json_t **ret_result);

#endif
