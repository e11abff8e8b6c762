/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/export-dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/text.h"
#include "ctl/ctl.h"
#include "io/libcrypto.h"
#include "io/write-all.h"

#define SUMS "SHA256SUMS"
/* One that is left over from an interrupted export is overwritten by the next. */
#define TEMPORARY ".p2pdi-export"
#define BLOCK_SIZE ((size_t) 128 << 10)

static int fail(const ExportDir *d, const char *name, const char *what, int error) {
        return ctl_fail(error == ENOSPC || error == EDQUOT ? CTL_NO_SPACE : CTL_FAILURE, "%s%s%s cannot be %s: %s.", d->path,
                        name ? "/" : "", name ? name : "", what, strerror(error));
}

/* ---- the directory ---- */

static int look_through(const ExportDir *d, DIR *dir, bool (*is_wanted)(const char *name, const void *userdata),
                        const void *userdata) {
        struct dirent *entry;

        for (errno = 0; (entry = readdir(dir)); errno = 0) {
                const char *name = entry->d_name;

                if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, SUMS) == 0 ||
                    strcmp(name, TEMPORARY) == 0 || is_wanted(name, userdata))
                        continue;
                return ctl_fail(CTL_FAILURE,
                                "%s holds %s, which is not part of this export: choose a directory that is empty, or "
                                "that the same export was begun in.", d->path, name);
        }
        return errno != 0 ? fail(d, NULL, "read", errno) : 0;
}

int export_dir_open(ExportDir *d, const char *path, bool (*is_wanted)(const char *name, const void *userdata),
                    const void *userdata) {
        DIR *dir;
        int fd, r;

        *d = (ExportDir){ .path = path, .fd = -1 };
        if (mkdir(path, 0777) < 0 && errno != EEXIST)
                return fail(d, NULL, "made", errno);
        d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fd = d->fd < 0 ? -1 : openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir) {
                r = errno;
                if (fd >= 0)
                        close(fd);
                return fail(d, NULL, "opened", r);
        }
        r = look_through(d, dir, is_wanted, userdata);
        closedir(dir);
        return r;
}

void export_dir_done(ExportDir *d) {
        if (d->fd >= 0)
                close(d->fd);
        free(d->sums);
}

/* ---- files ---- */

/* Up to `size` bytes and one more, to `to` if that is not -1. 0 and what they gave, -errno. */
static int hash_copy(int from, int to, uint64_t size, Digest *ret, uint64_t *ret_size) {
        _cleanup_free_ char *block = malloc(BLOCK_SIZE);
        EVP_MD_CTX *hash = NULL;
        uint64_t total = 0;
        int r = block ? libcrypto_sha256_new(&hash) : -ENOMEM;

        while (r == 0 && total <= size) {
                ssize_t n = read(from, block, BLOCK_SIZE);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n == 0)
                        break;
                if (n < 0)
                        r = -errno;
                else if (EVP_DigestUpdate(hash, block, (size_t) n) != 1)
                        r = -EIO;
                else if (to >= 0)
                        r = write_all(to, (Slice){ block, (size_t) n });
                total += n > 0 ? (uint64_t) n : 0;
        }
        if (r == 0 && EVP_DigestFinal_ex(hash, ret->bytes, NULL) != 1)
                r = -EIO;
        EVP_MD_CTX_free(hash);
        *ret_size = total;
        return r;
}

static bool is_there(const ExportDir *d, const char *name, uint64_t size, const Digest *digest) {
        int fd = openat(d->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        uint64_t found_size = 0;
        Digest found;
        struct stat st;
        bool good;

        if (fd < 0)
                return false;
        good = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t) st.st_size == size &&
                hash_copy(fd, -1, size, &found, &found_size) == 0 && found_size == size && digest_equal(&found, digest);
        close(fd);
        return good;
}

/* A new file of its own, whatever has that name. */
static int open_temporary(const ExportDir *d) {
        if (unlinkat(d->fd, TEMPORARY, 0) < 0 && errno != ENOENT)
                return -errno;
        int fd = openat(d->fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        return fd < 0 ? -errno : fd;
}

/* Takes fd. */
static int publish(const ExportDir *d, const char *name, int fd, bool flush) {
        int r = flush && fsync(fd) < 0 ? -errno : 0;

        if (close(fd) < 0 && r == 0)
                r = -errno;
        if (r == 0 && renameat(d->fd, TEMPORARY, d->fd, name) < 0)
                r = -errno;
        return r < 0 ? fail(d, name, "written", -r) : 0;
}

static int add_sum(ExportDir *d, const char *name, uint64_t size, const Digest *digest) {
        char text[DIGEST_TEXT_SIZE], line[DIGEST_TEXT_SIZE + 64], *p;
        int n;

        digest_to_text(digest, text);
        n = snprintf(line, sizeof(line), "%s  %s\n", text, name);
        p = realloc(d->sums, d->sums_size + (size_t) n);
        if (!p)
                return -ENOMEM;
        d->sums = p;
        memcpy(p + d->sums_size, line, (size_t) n);
        d->sums_size += (size_t) n;
        d->n_files++;
        d->n_bytes += size;
        return 0;
}

int export_dir_put(ExportDir *d, const char *name, uint64_t size, const Digest *digest, int fd) {
        uint64_t copied = 0;
        Digest found;
        int to, r;

        if (is_there(d, name, size, digest)) {
                d->n_present++;
                return add_sum(d, name, size, digest);
        }
        to = open_temporary(d);
        if (to < 0)
                return fail(d, name, "written", -to);
        r = hash_copy(fd, to, size, &found, &copied);
        if (r < 0 || copied != size || !digest_equal(&found, digest)) {
                close(to);
                (void) unlinkat(d->fd, TEMPORARY, 0);   /* else the next one does */
                return r < 0 ? fail(d, name, "written", -r)
                             : ctl_fail(CTL_INTEGRITY, "%s is not what its digest says, and left out: verify tells more.", name);
        }
        r = publish(d, name, to, false);
        return r != 0 ? r : add_sum(d, name, size, digest);
}

int export_dir_finish(ExportDir *d) {
        int fd, r;

        /* One flush for all of them: until now a file may have a name and no bytes after a crash, and is copied anew. */
        if (syncfs(d->fd) < 0)
                return fail(d, NULL, "written", errno);
        fd = open_temporary(d);

        r = fd < 0 ? fd : write_all(fd, (Slice){ d->sums, d->sums_size });
        if (r < 0) {
                if (fd >= 0)
                        close(fd);
                return fail(d, SUMS, "written", -r);
        }
        r = publish(d, SUMS, fd, true);
        if (r == 0 && fsync(d->fd) < 0)
                r = fail(d, NULL, "written", errno);
        return r;
}
