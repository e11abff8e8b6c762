/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <unistd.h>

#include "core/proto.h"
#include "io/library-private.h"

static const char damaged_why[] = "is damaged: \"p2pdi-ctl verify --repair\" brings it anew";

/* ---- the table ---- */

static int document_compare(const LibraryDocument *a, const LibraryDocument *b) {
        return (a->number > b->number) - (a->number < b->number);
}

RB_GENERATE_INTERNAL(LibraryDocuments, LibraryDocument, node, document_compare, __attribute__((unused)) static)

LibraryDocument *library_find(Library *l, uint32_t number) {
        LibraryDocument key = { .number = number };

        return RB_FIND(LibraryDocuments, &l->documents, &key);
}

LibraryDocument *library_find_after(Library *l, uint32_t after) {
        LibraryDocument key = { .number = after + 1 };

        return RB_NFIND(LibraryDocuments, &l->documents, &key);
}

LibraryDocument *library_first(Library *l) {
        return RB_MIN(LibraryDocuments, &l->documents);
}

LibraryDocument *library_next(LibraryDocument *d) {
        return RB_NEXT(LibraryDocuments, , d);
}

int library_obtain(Library *l, uint32_t number, LibraryDocument **ret) {
        LibraryDocument *d = library_find(l, number);

        if (!d) {
                d = calloc(1, sizeof(*d));
                if (!d)
                        return -ENOMEM;
                d->number = number;
                (void) RB_INSERT(LibraryDocuments, &l->documents, d);   /* was just looked for */
        }
        *ret = d;
        return 0;
}

void library_forget(Library *l, LibraryDocument *d) {
        (void) RB_REMOVE(LibraryDocuments, &l->documents, d);
        if (d->unfinished)
                l->n_unfinished--;
        free(d->text_title);
        free(d->json_title);
        free(d->title);
        free(d);
}

/* ---- the catalogue and the handler ---- */

void library_complain(Library *l, LibraryComplaint *c, const char *name, const LibraryComplaint *now, int error) {
        if (c->why && strcmp(c->why, now->why) == 0 && library_stamp_equal(&c->stamp, &now->stamp))
                return;
        *c = *now;
        l->handler.skipped(name, now->why, error, l->handler.userdata);
}

int library_missed(Library *l, int r) {
        if (r < 0 && l->handler.missed)
                l->handler.missed(l->handler.userdata);
        return r;
}

void library_missed_unfit(Library *l, int error) {
        if (error != -EFBIG && error != -EACCES && error != -EPERM)
                (void) library_missed(l, error);
}

/* The catalogue saves work, it holds nothing that could not be had again: the library goes on without. */
static void catalogue_result(Library *l, int r) {
        if (r == 0 || l->catalogue_failed)
                return;
        l->catalogue_failed = true;
        l->handler.skipped(l->catalogue_path, "cannot be written", r, l->handler.userdata);
}

void library_flush(Library *l) {
        int r = catalogue_commit(l->catalogue);

        catalogue_result(l, r);
}

static void document_keep(Library *l, const LibraryDocument *d) {
        const CatalogueRow row = {
                .number = d->number,
                .stamp = d->stamp,
                .digest = d->digest,
                .text_title = d->text_title,
                .json = d->json,
                .json_title = d->json_title,
        };

        catalogue_result(l, catalogue_put(l->catalogue, &row));
}

void library_keep_care(Library *l, const LibraryDocument *d) {
        const CatalogueCare care = {
                .number = d->number,
                .pinned = d->pinned,
                .read_at = d->read_at,
                .damaged = d->damaged,
                .stamp = d->damaged_stamp,
                .expected = d->expected,
        };

        catalogue_result(l, catalogue_put_care(l->catalogue, &care));
}

/* What is there can't be announced, or nothing is. */
static void document_withdraw(Library *l, LibraryDocument *d) {
        if (d->hashed)
                catalogue_result(l, catalogue_remove(l->catalogue, d->number));
        d->hashed = false;
        if (!d->announced)
                return;
        d->announced = false;
        l->handler.gone(d->number, l->handler.userdata);
}

void library_mark_damaged(Library *l, LibraryDocument *d, const LibraryStamp *stamp, const Digest *expected) {
        const Digest wanted = *expected;        /* may be the document's own */

        document_withdraw(l, d);
        d->damaged = true;
        d->repairing = false;
        d->damaged_stamp = *stamp;
        d->expected = wanted;
        d->complaint = (LibraryComplaint){ *stamp, damaged_why };       /* whoever found it tells more */
        library_keep_care(l, d);
}

/* Another file is there, or none. */
static void document_undamaged(Library *l, LibraryDocument *d) {
        if (!d->damaged)
                return;
        d->damaged = d->repairing = false;
        library_keep_care(l, d);
}

/* ---- titles ---- */

/* rfcN.json, as it is now. What it was before goes when it is gone; *ret_changed when the catalogue must know. */
static int refresh_json(Library *l, LibraryDocument *d, bool *ret_changed) {
        const LibraryStamp before = d->json;
        int r;

        r = library_read_json(l, d->number, &d->json, &d->json_title);
        if (r < 0)
                return r;
        if (r > 0) {
                free(d->json_title);
                d->json_title = NULL;
                d->json = (LibraryStamp){ 0 };
        }
        *ret_changed = !library_stamp_equal(&before, &d->json);
        return 0;
}

/* The best title there is, NUL-terminated. */
static int document_title(Library *l, LibraryDocument *d, Buf *b, bool *ret_json_changed) {
        Slice title;
        int r;

        if (l->meta && rfc_meta_title(l->meta, d->number, &title)) {
                r = rfc_title_clean(title, b);
                if (r < 0)
                        return r;
                if (r == 0)
                        return buf_append_char(b, '\0');
        }
        r = refresh_json(l, d, ret_json_changed);
        if (r < 0)
                return r;
        if (d->json_title)
                r = buf_append_string(b, d->json_title);
        else if (d->text_title)
                r = buf_append_string(b, d->text_title);
        else
                r = buf_printf(b, "RFC %u", (unsigned) d->number);
        return r == 0 ? buf_append_char(b, '\0') : r;
}

int library_present(Library *l, const LibraryDocument *d) {
        const LibraryEntry e = {
                .number = d->number,
                .stamp = d->stamp,
                .digest = d->digest,
                .title = d->title,
                .pinned = d->pinned,
                .read_at = d->read_at > 0 ? d->read_at : (usec_t) MAX_OF(d->stamp.mtime_nsec, INT64_C(0)) / 1000,
        };

        return l->handler.present(&e, l->handler.userdata);
}

static int document_announce(Library *l, LibraryDocument *d) {
        _cleanup_buf_ Buf title = BUF_INIT(PROTO_TITLE_MAX + sizeof("RFC 2147483647"));
        bool json_changed = false, retitled;
        int r;

        r = document_title(l, d, &title, &json_changed);
        if (r != 0) {
                assert(r < 0);          /* every source keeps to PROTO_TITLE_MAX */
                return r;
        }
        if (d->changed || json_changed)
                document_keep(l, d);
        retitled = !d->title || strcmp(d->title, title.data) != 0;
        if (retitled) {
                /* The buffer has room for 512 bytes; ten thousand of them are 4 MB more than what is in them. */
                char *kept = strdup(title.data);
                if (!kept)
                        return -ENOMEM;
                free(d->title);
                d->title = kept;
        }
        if (d->announced && !d->changed && !retitled)
                return 0;
        d->changed = false;
        /* Where it can't be told it is not: the next look at it tries again. */
        r = library_present(l, d);
        d->announced = r == 0;
        return r;
}

/* ---- looking at documents ---- */

/* As library_read(). The document is untouched unless 0. */
static int document_hash(Library *l, LibraryDocument *d, LibraryReading *reading) {
        char *title = NULL;
        Digest digest;
        int r = 0;

        if (!library_ahead_take(l, d->number, &reading->stamp, &digest, &title))
                r = library_hash(l, reading, &digest, &title);
        if (r != 0)
                return r;
        free(d->text_title);
        d->text_title = title;
        d->digest = digest;
        d->stamp = reading->stamp;
        d->hashed = d->changed = true;
        return 0;
}

/*
 * The same file as was hashed? Then it is still a question whether it can be read: a change of mode leaves the stamp.
 * The real user is the effective one in a daemon, and the name was seen to be a regular file.
 */
static int document_recognize(Library *l, LibraryDocument *d, LibraryReading *reading) {
        if (faccessat(l->dir_fd, reading->name, R_OK, 0) < 0) {
                if (errno == ENOENT)
                        return LIBRARY_READ_GONE;
                reading->complaint = (LibraryComplaint){ reading->stamp, "cannot be read" };
                reading->error = -errno;
                return LIBRARY_READ_UNFIT;
        }
        if (d->announced && d->stamp.device != reading->stamp.device)
                d->changed = true;
        d->stamp = reading->stamp;
        return 0;
}

static void document_finished(Library *l, LibraryDocument *d) {
        if (d->unfinished)
                l->n_unfinished--;
        d->unfinished = false;
}

/* Gives what library_read() gives. */
static int document_check(Library *l, LibraryDocument *d, LibraryReading *reading) {
        int r;

        r = library_look(l, reading);
        if (r == 0 && d->damaged && library_stamp_equal(&d->damaged_stamp, &reading->stamp)) {
                reading->complaint = (LibraryComplaint){ reading->stamp, damaged_why };
                return LIBRARY_READ_UNFIT;
        }
        if (r == 0 || r == LIBRARY_READ_GONE)
                document_undamaged(l, d);
        if (r == 0 && d->hashed && library_stamp_equal(&d->stamp, &reading->stamp))
                r = document_recognize(l, d, reading);
        else if (r == 0)
                r = document_hash(l, d, reading);
        if (r != 0)
                return r;
        d->complaint = (LibraryComplaint){ 0 };
        return document_announce(l, d);
}

int library_check(Library *l, uint32_t number) {
        char name[RFC_FILE_NAME_SIZE];
        LibraryReading reading = { .name = name, .max_size = l->max_file_size };
        LibraryDocument *d;
        int r;

        rfc_number_to_file_name(number, name);
        r = library_obtain(l, number, &d);
        if (r < 0)
                return r;
        if (d->publishing)
                return 0;
        document_finished(l, d);
        r = document_check(l, d, &reading);
        if (r <= 0)
                return r;

        document_withdraw(l, d);
        if (r == LIBRARY_READ_UNFIT) {
                if (reading.error == -EFBIG)
                        reading.complaint.why = "is bigger than Store.MaxFileSize=";
                library_complain(l, &d->complaint, name, &reading.complaint, reading.error);
                library_missed_unfit(l, reading.error);
        } else if (r == LIBRARY_READ_GONE && !d->pinned) {      /* who wants to keep it wants it when it is back */
                if (d->read_at > 0) {
                        d->read_at = 0;
                        library_keep_care(l, d);
                }
                library_forget(l, d);
        }
        return 0;
}

void library_withdraw_all(Library *l) {
        for (LibraryDocument *d = library_first(l); d; d = library_next(d)) {
                document_finished(l, d);
                if (!d->announced)
                        continue;
                d->announced = false;
                l->handler.gone(d->number, l->handler.userdata);
        }
}

/*
 * A hard link is whole, and nothing else will be heard of it. A file with one name only is being written as a rule,
 * and IN_CLOSE_WRITE tells when it is whole; also where it was linked by O_TMPFILE, but then under another name.
 */
int library_check_created(Library *l, uint32_t number) {
        char name[RFC_FILE_NAME_SIZE];
        LibraryReading reading = { .name = name, .max_size = l->max_file_size };
        LibraryDocument *d;
        int r;

        rfc_number_to_file_name(number, name);
        r = library_look(l, &reading);
        d = library_find(l, number);
        if (d && d->publishing)
                return 0;
        /* What we have stored ourselves, thousands at a time; or somebody has moved away and back. */
        if (r == 0 && d && d->announced && library_stamp_equal(&d->stamp, &reading.stamp)) {
                document_finished(l, d);
                return 0;
        }
        if (r != 0 || reading.n_links > 1 ||
            (d && d->hashed && library_stamp_equal(&d->stamp, &reading.stamp)))
                return library_check(l, number);

        r = library_obtain(l, number, &d);
        if (r < 0)
                return r;
        if (!d->unfinished)
                l->n_unfinished++;
        d->unfinished = true;
        return 0;
}

int library_check_title(Library *l, uint32_t number) {
        LibraryDocument *d = library_find(l, number);

        return d && d->announced ? document_announce(l, d) : 0;
}

int library_adopt(Library *l, uint32_t number, const LibraryStamp *stamp, const Digest *digest, char *text_title) {
        LibraryDocument *d;
        int r;

        r = library_obtain(l, number, &d);
        if (r < 0) {
                free(text_title);
                return r;
        }
        document_finished(l, d);
        document_undamaged(l, d);
        d->complaint = (LibraryComplaint){ 0 };
        free(d->text_title);
        d->text_title = text_title;
        d->stamp = *stamp;
        d->digest = *digest;
        d->hashed = d->changed = true;
        return document_announce(l, d);
}
