/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "io/library-private.h"

/* ---- life ---- */

int library_open_directory(const char *path, bool make, int *ret) {
        bool made = false;
        int fd;

        if (make) {
                made = mkdir(path, 0755) == 0;
                /* On a read-only file system it is EROFS also where the directory is there. */
                if (!made && errno != EEXIST && errno != EROFS)
                        return -errno;
        }
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        /* The umask of a daemon takes away what others need to read the documents. */
        if (made && fchmod(fd, 0755) < 0) {
                int r = -errno;

                (void) close(fd);
                return r;
        }
        *ret = fd;
        return 0;
}

static int load_row(const CatalogueRow *row, void *userdata) {
        Library *l = userdata;
        LibraryDocument *d;
        int r;

        r = library_obtain(l, row->number, &d);
        if (r < 0)
                return r;
        d->hashed = true;
        d->stamp = row->stamp;
        d->digest = row->digest;
        d->json = row->json;
        if (row->text_title) {
                d->text_title = strdup(row->text_title);
                if (!d->text_title)
                        return -ENOMEM;
        }
        if (row->json_title) {
                d->json_title = strdup(row->json_title);
                if (!d->json_title)
                        return -ENOMEM;
        }
        return 0;
}

static int load_care(const CatalogueCare *care, void *userdata) {
        Library *l = userdata;
        LibraryDocument *d;
        int r;

        r = library_obtain(l, care->number, &d);
        if (r < 0)
                return r;
        d->pinned = care->pinned;
        d->read_at = care->read_at;
        d->damaged = care->damaged;
        d->damaged_stamp = care->stamp;
        d->expected = care->expected;
        return 0;
}

int library_new(const LibraryConf *conf, const LibraryHandler *handler, Library **ret) {
        _cleanup_(library_free_p) Library *l = NULL;
        int answer, r;

        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->dir_fd = l->inotify_fd = l->watch = l->parent_watch = -1;
        RB_INIT(&l->documents);
        l->handler = *handler;
        l->max_file_size = conf->max_file_size;
        pthread_mutex_init(&l->index_lock, NULL);
        l->path = strdup(conf->path);
        l->catalogue_path = strdup(conf->catalogue);
        l->own_index = conf->own_index ? strdup(conf->own_index) : NULL;
        l->fetched_index = conf->fetched_index ? strdup(conf->fetched_index) : NULL;
        if (!l->path || !l->catalogue_path || (conf->own_index && !l->own_index) ||
            (conf->fetched_index && !l->fetched_index))
                return -ENOMEM;

        r = library_open_directory(l->path, /* make= */ true, &l->dir_fd);
        if (r == 0)
                r = library_watch_start(l);
        if (r < 0)
                return r;
        answer = catalogue_open(l->catalogue_path, &l->catalogue);
        if (answer < 0)
                return answer;
        r = catalogue_load(l->catalogue, load_row, l);
        if (r == 0)
                r = catalogue_load_care(l->catalogue, load_care, l);
        if (r != 0)
                return r;
        *ret = TAKE_PTR(l);
        return answer == CATALOGUE_DAMAGED ? LIBRARY_DAMAGED : 0;
}

void library_set_max_file_size(Library *l, uint64_t size) {
        l->max_file_size = size;
}

Library *library_free(Library *l) {
        LibraryDocument *d;

        if (!l)
                return NULL;
        assert(l->n_files == 0);
        if (l->catalogue)
                library_flush(l);
        (void) catalogue_free(l->catalogue);
        while ((d = library_first(l)))
                library_forget(l, d);
        (void) rfc_meta_free(l->meta);
        if (l->inotify_fd >= 0)
                (void) close(l->inotify_fd);
        if (l->dir_fd >= 0)
                (void) close(l->dir_fd);
        free(l->scan);
        library_ahead_reset(l);
        free(l->own_index);
        free(l->fetched_index);
        pthread_mutex_destroy(&l->index_lock);
        free(l->catalogue_path);
        free(l->path);
        free(l);
        return NULL;
}

/* ---- for readers ---- */

/* What an error of opening or looking says. */
static int reader_error(int error) {
        switch (error) {
        case ENOENT:
        case ENOTDIR:           /* the library is gone */
        case ELOOP:             /* a link is in its place */
        case ENXIO:             /* a socket */
        case EACCES:
        case EPERM:
                return LIBRARY_NONE;
        default:
                return -error;
        }
}

static bool is_stamped(const struct stat *st, const LibraryStamp *stamp) {
        const LibraryStamp found = library_stamp(st);

        return S_ISREG(st->st_mode) && found.device == stamp->device && library_stamp_equal(&found, stamp);
}

int library_open_stamped(const Library *l, const char *name, const LibraryStamp *stamp, int *ret_fd) {
        struct stat st;
        int fd, r = 0;

        fd = openat(l->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return reader_error(errno);
        if (fstat(fd, &st) < 0)
                r = -errno;
        else if (!is_stamped(&st, stamp))
                r = LIBRARY_NONE;
        if (r != 0) {
                (void) close(fd);
                return r;
        }
        *ret_fd = fd;
        return 0;
}

int library_open(const Library *l, uint32_t number, const LibraryStamp *stamp, int *ret_fd) {
        char name[RFC_FILE_NAME_SIZE];

        rfc_number_to_file_name(number, name);
        return library_open_stamped(l, name, stamp, ret_fd);
}

int library_look_at(const Library *l, uint32_t number, const LibraryStamp *stamp) {
        char name[RFC_FILE_NAME_SIZE];
        struct stat st;

        rfc_number_to_file_name(number, name);
        if (fstatat(l->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return reader_error(errno);
        return is_stamped(&st, stamp) ? 0 : LIBRARY_NONE;
}

int library_load(const Library *l, uint32_t number, const LibraryStamp *stamp, const Digest *digest, char *ret) {
        Digest found;
        size_t n = 0;
        int fd = -1, r;

        r = library_open(l, number, stamp, &fd);
        if (r != 0)
                return r;
        while (r == 0 && n < stamp->size) {
                ssize_t k = read(fd, ret + n, stamp->size - n);

                if (k > 0)
                        n += (size_t) k;
                else if (k == 0)
                        r = LIBRARY_NONE;       /* cut short meanwhile */
                else if (errno != EINTR)
                        r = -errno;
        }
        (void) close(fd);
        if (r != 0)
                return r;
        if (EVP_Digest(ret, n, found.bytes, NULL, EVP_sha256(), NULL) != 1)
                return -EIO;
        return digest_equal(&found, digest) ? 0 : LIBRARY_NONE;
}

int library_recheck(Library *l, uint32_t number) {
        const LibraryDocument *d = library_find(l, number);
        int r = d && d->unfinished ? 0 : library_missed(l, library_check(l, number));

        library_flush(l);
        return r;
}

int library_path(const Library *l, uint32_t number, char **ret) {
        char name[RFC_FILE_NAME_SIZE], *path;

        rfc_number_to_file_name(number, name);
        if (asprintf(&path, "%s/%s", l->path, name) < 0)
                return -ENOMEM;
        *ret = path;
        return 0;
}
