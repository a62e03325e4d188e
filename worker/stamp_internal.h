/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What the parts of the stamps share. */

#ifndef VIRTJOB_STAMP_INTERNAL_H
#define VIRTJOB_STAMP_INTERNAL_H

#include <stddef.h>

#include "stamp.h"

/* The stamp as JSON text, on one line; free(). */
char *stamp_to_text(const struct stamp *stamp, struct error *err);

/* The same, back, from text that anybody may have written: STAMP_BLANK where it is no stamp. `ret_stamp`: stamp_done. */
void stamp_from_text(const char *text, size_t length, struct stamp *ret_stamp);

#endif
