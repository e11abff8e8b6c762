/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/import-list.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/manifest.h"
#include "core/rfc-number.h"
#include "core/text.h"
#include "ctl/ctl.h"
#include "io/manifest-file.h"

#define SUMS "SHA256SUMS"
#define EDITOR_INDEX "rfc-index.txt"
#define LINKS "links"

void import_list_done(ImportList *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->files[i].path);
        free(l->files);
        *l = (ImportList){};
}

/* digest: NULL: none is known. */
static int add(ImportList *l, const char *directory, const char *name, const Digest *digest) {
        ImportFile f = { .has_digest = digest };

        if (!import_file_name(name, &f.number, &f.packed))
                return 0;
        if (l->n == l->allocated) {
                const size_t wanted = MAX_OF(2 * l->allocated, (size_t) 64);
                ImportFile *grown = reallocarray(l->files, wanted, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                l->files = grown;
                l->allocated = wanted;
        }
        if (digest)
                f.digest = *digest;
        if (asprintf(&f.path, "%s%s%s", directory, directory[0] != '\0' ? "/" : "", name) < 0)
                return -ENOMEM;
        l->files[l->n++] = f;
        return 0;
}

static int fail_read(const char *path, int error) {
        return ctl_fail(CTL_FAILURE, "%s cannot be read: %s.", path, strerror(error));
}

/* ---- with SHA256SUMS ---- */

static int read_sums(const char *path, Manifest **ret) {
        int fd, r;

        r = import_file_open(path, &fd);
        if (r != 0)
                return r;
        r = manifest_file_read_fd(fd, ret);
        close(fd);
        if (r > 0)
                return ctl_fail(CTL_FAILURE, "%s is bigger than 64M.", path);
        return r == 0 || r == -ENOMEM ? r : fail_read(path, -r);
}

/* Who made it may want more than is right: it is all right, or none of it is taken. */
static int judge(const char *path, const Manifest *m) {
        ManifestInfo info;

        manifest_get_info(m, &info);
        if (info.n_bad > 0)
                return ctl_fail(CTL_FAILURE, "%s, line %" PRIu64 " is none of sha256sum's: nothing was imported.", path,
                                info.first_bad);
        if (info.n_elsewhere > 0)
                return ctl_fail(CTL_FAILURE, "%s, line %" PRIu64 " names a file in another directory: nothing was imported.",
                                path, info.first_elsewhere);
        if (info.n_torn > 0)
                return ctl_fail(CTL_FAILURE, "%s names a file twice, with different digests: nothing was imported.", path);
        return 0;
}

static int add_named(ImportList *l, const char *directory, const Manifest *m) {
        const Digest *index = manifest_editor_index(m);
        int r = index ? add(l, directory, EDITOR_INDEX, index) : 0;

        for (uint32_t number = 0; r == 0 && (number = manifest_next(m, number)) > 0;) {
                char name[RFC_FILE_NAME_SIZE];

                rfc_number_to_file_name(number, name);
                r = add(l, directory, name, manifest_get(m, number));
        }
        return r;
}

static int add_sums(ImportList *l, const char *directory, const char *path, Manifest **ret) {
        _cleanup_(manifest_free_p) Manifest *m = NULL;
        int r;

        r = read_sums(path, &m);
        if (r == 0)
                r = judge(path, m);
        if (r == 0)
                r = add_named(l, directory, m);
        if (r == 0)
                *ret = TAKE_PTR(m);
        return r;
}

/* ---- what is in a directory ---- */

static bool is_named(const Manifest *m, const char *name) {
        uint32_t number;
        bool packed;

        return !import_file_name(name, &number, &packed) ||
                (!packed && (number > 0 ? manifest_get(m, number) : manifest_editor_index(m)));
}

/* named: only what is not in it is counted; NULL: there is no SHA256SUMS. */
static int look_through(ImportList *l, const char *directory, const Manifest *named, uint64_t *n_passed_over) {
        struct dirent *entry;
        DIR *dir = opendir(directory);
        int r = 0;

        if (!dir)
                return fail_read(directory, errno);
        for (errno = 0; r == 0 && (entry = readdir(dir)); errno = 0) {
                if (!named)
                        r = add(l, directory, entry->d_name, NULL);
                else if (!is_named(named, entry->d_name))
                        ++*n_passed_over;
        }
        if (r == 0 && errno != 0)
                r = fail_read(directory, errno);
        closedir(dir);
        return r;
}

static int add_directory(ImportList *l, const char *directory) {
        _cleanup_(manifest_free_p) Manifest *named = NULL;
        _cleanup_free_ char *sums = NULL, *links = NULL;
        const size_t before = l->n;
        uint64_t n_passed_over = 0;
        struct stat st;
        int r = 0;

        if (asprintf(&sums, "%s/" SUMS, directory) < 0) {
                sums = NULL;
                return -ENOMEM;
        }
        if (asprintf(&links, "%s/" LINKS, directory) < 0) {
                links = NULL;
                return -ENOMEM;
        }
        /* One that is there and can't be read must not be taken for none. */
        if (lstat(sums, &st) == 0 || errno != ENOENT)
                r = add_sums(l, directory, sums, &named);
        if (r == 0)
                r = look_through(l, directory, named, &n_passed_over);
        if (r == 0 && !named && stat(links, &st) == 0 && S_ISDIR(st.st_mode))
                r = look_through(l, links, NULL, &n_passed_over);
        if (r != 0)
                return r;
        if (n_passed_over > 0)
                ctl_note("%s: %" PRIu64 " file%s that " SUMS " does not name passed over.", directory, n_passed_over,
                         plural(n_passed_over));
        if (l->n == before && !named)
                return ctl_fail(CTL_FAILURE, "%s holds no file that is called rfcN.txt or rfcN.txt.gz.", directory);
        return 0;
}

int import_list_add(ImportList *l, const char *path) {
        struct stat st;
        uint32_t number;
        bool packed;

        if (stat(path, &st) < 0)
                return ctl_fail(CTL_FAILURE, "%s cannot be opened: %s.", path, strerror(errno));
        if (S_ISDIR(st.st_mode))
                return add_directory(l, path);
        if (!import_file_name(path, &number, &packed))
                return ctl_fail(CTL_USAGE, "%s is not called as an RFC: import takes rfcN.txt, rfcN.txt.gz, rfc-index.txt, and "
                                "directories of them.", path);
        return add(l, "", path, NULL);
}

/* ---- all of them ---- */

static int compare(const void *a, const void *b) {
        const ImportFile *x = a, *y = b;

        if (x->number != y->number)
                return x->number < y->number ? -1 : 1;
        if (x->has_digest != y->has_digest)
                return x->has_digest ? -1 : 1;
        if (x->packed != y->packed)
                return x->packed ? 1 : -1;
        return strcmp(x->path, y->path);
}

void import_list_settle(ImportList *l) {
        size_t n = 0;

        if (l->n > 0)
                qsort(l->files, l->n, sizeof(*l->files), compare);
        for (size_t i = 0; i < l->n; i++) {
                if (n == 0 || l->files[n - 1].number != l->files[i].number)
                        l->files[n++] = l->files[i];
                else
                        free(l->files[i].path);
        }
        l->n = n;
}

int import_list_check(const ImportList *l, uint64_t max_size) {
        for (size_t i = 0; i < l->n; i++) {
                const ImportFile *f = &l->files[i];
                uint64_t size;
                Digest found;
                int r;

                if (!f->has_digest)
                        continue;
                r = import_file_read(f, max_size, -1, &size, &found);
                if (r != 0)
                        return r;
                if (!digest_equal(&found, &f->digest))
                        return ctl_fail(CTL_INTEGRITY, "%s is not what " SUMS " beside it says: nothing was imported.", f->path);
        }
        return 0;
}
