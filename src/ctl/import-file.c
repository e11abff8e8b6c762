/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/import-file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/rfc-meta.h"
#include "core/rfc-number.h"
#include "ctl/ctl.h"
#include "ctl/unpack.h"
#include "io/conf-values.h"
#include "io/libcrypto.h"
#include "io/write-all.h"

#define BLOCK_SIZE ((size_t) 128 << 10)
#define DESCRIPTOR_PATH_SIZE (sizeof("/proc/self/fd/") + 10)

/* Answers beside those of Unpack */
enum {
        TOO_BIG = _UNPACK_ANSWERS_END,
        WRITE_FAILED,                   /* errno says how */
};

static const char *last_name(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

bool import_file_name(const char *path, uint32_t *ret_number, bool *ret_packed) {
        static const Slice suffix = SLICE_LITERAL(".gz");
        Slice name = slice_of(last_name(path));
        const bool packed = name.size > suffix.size &&
                            memcmp(name.data + name.size - suffix.size, suffix.data, suffix.size) == 0;
        uint32_t number = 0;

        if (packed)
                name.size -= suffix.size;
        if (!slice_equal(name, SLICE_LITERAL("rfc-index.txt")) && rfc_number_from_file_name(name, &number) != 0)
                return false;
        *ret_number = number;
        *ret_packed = packed;
        return true;
}

/* ---- opening ---- */

static int fail_open(const char *path, int error) {
        return ctl_fail(CTL_FAILURE, "%s cannot be opened: %s.", path, strerror(error));
}

/* Through a descriptor that only names the file: so what is looked at is what is opened. 0, an exit code (told). */
static int open_named(const char *path, int named, int *ret_fd) {
        char self[DESCRIPTOR_PATH_SIZE], target[PATH_MAX];
        struct stat st;
        ssize_t n;

        (void) snprintf(self, sizeof(self), "/proc/self/fd/%d", named);
        if (fstat(named, &st) < 0)
                return fail_open(path, errno);
        if (!S_ISREG(st.st_mode))
                return ctl_fail(CTL_FAILURE, "%s is not a regular file.", path);
        n = readlink(self, target, sizeof(target) - 1);
        if (n < 0)
                return fail_open(path, errno);
        target[n] = '\0';
        if (strcmp(last_name(target), last_name(path)) != 0)
                return ctl_fail(CTL_FAILURE, "%s is a link to %s: one is followed only to a file of the same name.", path,
                                target);
        *ret_fd = open(self, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        return *ret_fd < 0 ? fail_open(path, errno) : 0;
}

int import_file_open(const char *path, int *ret_fd) {
        int named, r;

        named = open(path, O_PATH | O_CLOEXEC);
        if (named < 0)
                return fail_open(path, errno);
        r = open_named(path, named, ret_fd);
        close(named);
        return r;
}

/* ---- reading ---- */

typedef struct Reading {
        int to;
        uint64_t size, max;
        EVP_MD_CTX *hash;               /* owned */
        char *block;                    /* owned */
        Unpack unpack;
} Reading;

static void reading_done(Reading *r) {
        EVP_MD_CTX_free(r->hash);
        free(r->block);
        unpack_done(&r->unpack);
}

static int reading_init(Reading *r) {
        int k = libcrypto_sha256_new(&r->hash);

        if (k < 0)
                return k;
        r->block = malloc(BLOCK_SIZE);
        if (!r->block)
                return -ENOMEM;
        return unpack_init(&r->unpack);
}

/* 0, TOO_BIG, WRITE_FAILED, -EIO. */
static int take(Slice bytes, void *userdata) {
        Reading *r = userdata;

        if (bytes.size > r->max - r->size)
                return TOO_BIG;
        r->size += bytes.size;
        if (EVP_DigestUpdate(r->hash, bytes.data, bytes.size) != 1)
                return -EIO;
        return r->to >= 0 && write_all(r->to, bytes) < 0 ? WRITE_FAILED : 0;
}

/* 0, an answer of Unpack or of our own, -errno. */
static int read_all(Reading *r, int fd, bool packed) {
        int k = 0;

        while (k == 0) {
                ssize_t n = read(fd, r->block, BLOCK_SIZE);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return packed ? unpack_end(&r->unpack) : 0;
                const Slice bytes = { r->block, (size_t) n };
                k = packed ? unpack_feed(&r->unpack, bytes, take, r) : take(bytes, r);
        }
        return k;
}

static int tell(const ImportFile *f, const Reading *r, int k) {
        char max[32];

        switch (k) {
        case 0:
                return r->size > 0 ? 0 : ctl_fail(CTL_FAILURE, "%s is empty.", f->path);
        case UNPACK_BAD:
                return ctl_fail(CTL_FAILURE, "%s is damaged, or not packed by gzip.", f->path);
        case UNPACK_TORN:
                return ctl_fail(CTL_FAILURE, "%s is torn: its end is missing.", f->path);
        case TOO_BIG:
                conf_format_size(r->max, max, sizeof(max));
                return ctl_fail(CTL_FAILURE, "%s%s is bigger than %s%s.", f->path, f->packed ? ", unpacked," : "",
                                f->number > 0 ? "Store.MaxFileSize=" : "", max);
        case WRITE_FAILED:
                return ctl_fail(CTL_FAILURE, "%s does not fit into memory: %s.", f->path, strerror(errno));
        case -ENOMEM:
                return k;
        default:
                return ctl_fail(CTL_FAILURE, "%s cannot be read: %s.", f->path, strerror(-k));
        }
}

int import_file_read(const ImportFile *f, uint64_t max_size, int to, uint64_t *ret_size, Digest *ret_digest) {
        _cleanup_(reading_done) Reading reading = { .to = to };
        int fd = -1, r;

        reading.max = f->number > 0 ? max_size : RFC_META_BYTES_MAX;
        r = reading_init(&reading);
        if (r < 0)
                return r;
        r = import_file_open(f->path, &fd);
        if (r != 0)
                return r;
        r = tell(f, &reading, read_all(&reading, fd, f->packed));
        close(fd);
        if (r != 0)
                return r;
        if (EVP_DigestFinal_ex(reading.hash, ret_digest->bytes, NULL) != 1)
                return -EIO;
        *ret_size = reading.size;
        return 0;
}
