/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * What drives a fuzz target without libFuzzer: every file of its corpus (or those named) is fed in, whole. No file at all is a failure: a
 * corpus that got lost must not look like one that passed.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(const char *path) {
        struct stat st;
        FILE *f = fopen(path, "re");
        if (!f || fstat(fileno(f), &st) < 0) {
                perror(path);
                if (f)
                        (void) fclose(f);
                return -1;
        }
        size_t size = (size_t) st.st_size;
        uint8_t *data = malloc(size > 0 ? size : 1);    /* of exactly that size: a sanitizer sees a read behind it */
        if (!data || fread(data, 1, size, f) != size) {
                fprintf(stderr, "%s: can't be read\n", path);
                exit(EXIT_FAILURE);
        }
        (void) fclose(f);
        (void) LLVMFuzzerTestOneInput(data, size);
        free(data);
        return 0;
}

static long feed_directory(const char *path) {
        DIR *d = opendir(path);
        struct dirent *e;
        long n = 0;
        if (!d) {
                perror(path);
                return -1;
        }
        while ((e = readdir(d))) {
                char file[8192];
                if (e->d_name[0] == '.')
                        continue;
                snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
                if (feed(file) < 0)
                        return -1;
                n++;
        }
        closedir(d);
        return n;
}

int main(int argc, char *argv[]) {
        const char *name = strrchr(argv[0], '/'), *srcdir = getenv("P2PDI_SRCDIR");
        char path[4096];
        long n = 0;

        for (int i = 1; i < argc; i++, n++)
                if (feed(argv[i]) < 0)
                        return EXIT_FAILURE;
        if (argc == 1) {
                snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".", (name ? name + 1 : argv[0]) + strlen("fuzz-"));
                n = feed_directory(path);
        }
        if (n <= 0) {
                fprintf(stderr, "no corpus\n");
                return EXIT_FAILURE;
        }
        printf("%ld inputs\n", n);
        return EXIT_SUCCESS;
}
