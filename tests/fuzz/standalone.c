/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) the virtjob authors */

/* A main for a fuzz target where there is no libFuzzer: runs it over the files and folders that are its arguments, as a
 * regression test over a corpus. Linked to one fuzz_<name>.c. */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned count;

static void run_path(const char *path);

static void run_folder(DIR *folder, const char *path)
{
    char name[4096];

    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        run_path(name);
    }
    closedir(folder);
}

static void run_file(FILE *file, const char *path)
{
    char *text = NULL, piece[4096];
    size_t size = 0;
    FILE *whole = open_memstream(&text, &size);

    if (!whole)
        exit(1);
    for (size_t got; (got = fread(piece, 1, sizeof(piece), file)) > 0;)
        fwrite(piece, 1, got, whole);
    fclose(file);
    fclose(whole);

    /* A block of exactly this size, so that a sanitizer sees a byte read too far. */
    uint8_t *data = malloc(size ? size : 1);
    if (!data)
        exit(1);
    memcpy(data, text, size);
    free(text);
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    count++;
}

static void run_path(const char *path)
{
    DIR *folder = opendir(path);
    FILE *file = folder ? NULL : fopen(path, "rb");

    if (folder) {
        run_folder(folder, path);
    } else if (file) {
        run_file(file, path);
    } else {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        run_path(argv[i]);
    printf("%u inputs\n", count);
    return count ? 0 : 1;
}
