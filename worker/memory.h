/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Keeps the resident memory of the process at what it works with. */

#ifndef VIRTJOB_MEMORY_H
#define VIRTJOB_MEMORY_H

/* Before any thread: a few arenas for all. An arena a thread costs megabytes and gains nothing here, for jobs wait
 * far more than they allocate. */
void memory_bound(void);

/* Once, after start-up: unmaps the pages of program text that only the loader and the start-up of some sixty libraries
 * have touched. What is still needed comes back from the page cache at its next use. */
void memory_trim(void);

#endif
