/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* Arenas, and the text of libraries. */

#include "memory.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

void memory_bound(void)
{
    mallopt(M_ARENA_MAX, 4);
}

struct mapping {
    unsigned long begin, end, inode;
    char rights[5];
};

/* Only what nobody can have written to: text, and the headers and symbols that lie right before it. Elsewhere "r--" may
 * be a relocated segment that was protected afterwards, whose pages exist nowhere else. */
static void mapping_release(const struct mapping *mapping)
{
    if (mapping->inode != 0)
        madvise((void *)mapping->begin, mapping->end - mapping->begin, MADV_DONTNEED);
}

void memory_trim(void)
{
    struct mapping mapping, before = { 0 };
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4400];

    while (maps && fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx %4s %*x %*s %lu", &mapping.begin, &mapping.end, mapping.rights,
                   &mapping.inode) != 4)
            continue;
        if (strcmp(mapping.rights, "r-xp") == 0) {
            mapping_release(&mapping);
            if (strcmp(before.rights, "r--p") == 0 && before.inode == mapping.inode &&
                before.end == mapping.begin)
                mapping_release(&before);
        }
        before = mapping;
    }
    if (maps)
        fclose(maps);
    malloc_trim(0);
}
