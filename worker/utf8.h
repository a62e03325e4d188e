/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* What is a character in UTF-8 (RFC 3629). */

#ifndef VIRTJOB_UTF8_H
#define VIRTJOB_UTF8_H

#include <stddef.h>

/* The bytes of the character at `text`, which ends in NUL: 1 to 4; 0 where there is none (a stray byte, a surrogate, an
 * overlong or cut sequence). */
size_t utf8_length(const char *text);

#endif
