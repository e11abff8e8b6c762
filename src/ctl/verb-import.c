/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * import: files are read here, with the rights of whoever calls, and their bytes handed to the daemon some at a time: in a
 * sealed file in memory, which can neither keep it waiting nor change under its hands.
 */

#include "ctl/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/text.h"
#include "ctl/import-list.h"
#include "ctl/tally.h"
#include "io/loop.h"

/* As many as one call may have: they are brought to disk together. */
#define BATCH_FILES 64
/* A batch is sent when it has so many bytes: it lies in memory until then. */
#define BATCH_BYTES (16u << 20)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

typedef struct Import {
        uint64_t max_size;              /* of a document */
        ImportList list;
        size_t at;                      /* of the list: what was looked at */
        json_t *documents;              /* owned: the answer */
        usec_t began_at;                /* boottime */
        uint64_t n_new, n_present, n_refused, bytes;
        bool full;                      /* told */
        /* what is to be sent */
        int fd;                         /* owned; -1: nothing yet */
        const ImportFile *files[BATCH_FILES];
        json_t *described;              /* owned: as ImportFile of the interface */
        uint64_t sizes[BATCH_FILES];
        size_t n;
        uint64_t size;
} Import;

static void batch_done(Import *i) {
        if (i->fd >= 0)
                close(i->fd);
        i->fd = -1;
        json_decref(i->described);
        i->described = NULL;
        i->n = 0;
        i->size = 0;
}

static void import_done(Import *i) {
        batch_done(i);
        import_list_done(&i->list);
        json_decref(i->documents);
}

/* ---- what became of them ---- */

static int keep(Import *i, const ImportFile *f, const char *result) {
        json_t *e = json_pack("{s:s, s:s}", "file", f->path, "result", result);

        if (f->number > 0 && json_object_set_new(e, "number", json_integer((json_int_t) f->number)) < 0) {
                json_decref(e);
                return -ENOMEM;
        }
        return json_array_append_new(i->documents, e) < 0 ? -ENOMEM : 0;
}

static int tell_other(Import *i, const ImportFile *f) {
        if (f->number > 0) {
                i->n_refused++;
                return ctl_fail(CTL_INTEGRITY, "%s is refused: the store has other bytes of RFC %u, which stay.", f->path,
                                f->number);
        }
        ctl_note("Note: the store has an rfc-index.txt, which stays: %s is not taken.", f->path);
        return 0;
}

/* Whoever is short of room needs to be told once. */
static int tell_full(Import *i, const ImportFile *f) {
        if (i->full)
                return CTL_NO_SPACE;
        i->full = true;
        return ctl_fail(CTL_NO_SPACE, "%s does not fit: the disk or what Store.MaxSize= allows is full, and the import ends "
                        "here.", f->path);
}

static int tell(Import *i, const ImportFile *f, uint64_t size, const char *result, const char *message) {
        if (strcmp(result, "ok") == 0) {
                i->n_new++;
                i->bytes += size;
                return 0;
        }
        if (strcmp(result, "present") == 0) {
                i->n_present++;
                return 0;
        }
        if (strcmp(result, "other") == 0)
                return tell_other(i, f);
        i->n_refused++;
        if (strcmp(result, "no-space") == 0)
                return tell_full(i, f);
        if (strcmp(result, "damaged") == 0)
                return ctl_fail(CTL_INTEGRITY, "%s is refused: the store has a damaged file of RFC %u, which verify --repair "
                                "brings anew.", f->path, f->number);
        if (strcmp(result, "manifest") == 0)
                return ctl_fail(CTL_INTEGRITY, "%s is refused: Integrity.Manifest= says that it is something else.", f->path);
        if (strcmp(result, "mismatch") == 0)
                return ctl_fail(CTL_INTEGRITY, "%s is refused: it is not what its digest says.", f->path);
        if (strcmp(result, "no-index") == 0)
                return ctl_fail(CTL_FAILURE, "%s lists no RFC: it is no rfc-index.txt.", f->path);
        if (strcmp(result, "too-big") == 0)
                return ctl_fail(CTL_FAILURE, "%s is bigger than Store.MaxFileSize=.", f->path);
        return ctl_fail(CTL_FAILURE, "%s could not be stored: %s.", f->path, message ? message : "no reason is given");
}

static int on_reply(json_t *parameters, _unused_ int fd, void *userdata) {
        const json_t *imported = json_object_get(parameters, "imported");
        Import *i = userdata;
        int code = 0;

        for (size_t k = 0; k < i->n; k++) {
                const json_t *one = json_array_get(imported, k);
                const char *result = member_string(one, "result");
                int r;

                if (!result)
                        result = "failed";
                r = keep(i, i->files[k], result);
                if (r < 0)
                        return r;
                r = tell(i, i->files[k], i->sizes[k], result, member_string(one, "message"));
                code = MAX_OF(code, r);
        }
        return code;
}

/* ---- batches ---- */

static int batch_send(Ctl *ctl, Import *i) {
        json_t *parameters;
        int r;

        if (i->n == 0)
                return 0;
        if (fcntl(i->fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return -errno;
        parameters = json_pack("{s:O}", "files", i->described);
        r = parameters ? ctl_call_fd(ctl, "org.p2pdi.Peer.Import", parameters, i->fd, on_reply, i) : -ENOMEM;
        batch_done(i);
        return r;
}

static int batch_begin(Import *i) {
        if (i->fd >= 0)
                return 0;
        i->described = json_array();
        if (!i->described)
                return -ENOMEM;
        i->fd = memfd_create("p2pdi-import", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
        if (i->fd < 0 && errno == EINVAL)       /* before Linux 6.3 */
                i->fd = memfd_create("p2pdi-import", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        return i->fd < 0 ? -errno : 0;
}

/* Takes back what a file that failed has left. */
static int batch_cut(const Import *i) {
        return ftruncate(i->fd, (off_t) i->size) < 0 || lseek(i->fd, (off_t) i->size, SEEK_SET) < 0 ? -errno : 0;
}

static int batch_describe(Import *i, const ImportFile *f, uint64_t size, const Digest *digest) {
        char text[DIGEST_TEXT_SIZE];
        json_t *e;

        digest_to_text(digest, text);
        e = json_pack("{s:I, s:s}", "size", (json_int_t) size, "sha256", text);
        if (f->number > 0 && json_object_set_new(e, "number", json_integer((json_int_t) f->number)) < 0) {
                json_decref(e);
                return -ENOMEM;
        }
        if (json_array_append_new(i->described, e) < 0)
                return -ENOMEM;
        i->files[i->n] = f;
        i->sizes[i->n++] = size;
        i->size += size;
        return 0;
}

static int batch_add(Import *i, const ImportFile *f) {
        uint64_t size = 0;
        Digest digest;
        int code, r;

        r = batch_begin(i);
        if (r < 0)
                return r;
        code = import_file_read(f, i->max_size, i->fd, &size, &digest);
        /* All of them were looked at before. */
        if (code == 0 && f->has_digest && !digest_equal(&digest, &f->digest))
                code = ctl_fail(CTL_INTEGRITY, "%s was changed meanwhile, and is left out.", f->path);
        if (code == 0)
                return batch_describe(i, f, size, &digest);
        if (code < 0)
                return code;
        i->n_refused++;
        r = batch_cut(i);
        if (r == 0)
                r = keep(i, f, "unread");
        return r < 0 ? r : code;
}

static void show_progress(const Import *i) {
        Now now;

        now_read(&now);
        tally_show(&(Tally){
                .what = "Imported",
                .n = i->at,
                .n_total = i->list.n,
                .bytes = i->bytes,
                .elapsed = usec_sub(now.boottime, i->began_at),
        });
}

static int import_all(Ctl *ctl, Import *i) {
        int code = 0, r;

        while (i->at < i->list.n) {
                r = batch_add(i, &i->list.files[i->at++]);
                if (r < 0)
                        return r;
                code = MAX_OF(code, r);
                if (i->n < BATCH_FILES && i->size < BATCH_BYTES && i->at < i->list.n)
                        continue;
                const uint64_t told = json_array_size(i->documents) + i->n;
                r = batch_send(ctl, i);
                if (r < 0)
                        return r;
                code = MAX_OF(code, r);
                /* No better will come of the next: there was no answer, or there is no room. */
                if (json_array_size(i->documents) < told || i->full)
                        break;
                show_progress(i);
        }
        return code;
}

/* ---- the verb ---- */

static int on_status(json_t *parameters, _unused_ int fd, void *userdata) {
        ((Import *) userdata)->max_size = member_uint(parameters, "storeMaxFileBytes");
        return 0;
}

static int tell_end(const Ctl *ctl, const Import *i) {
        _cleanup_(json_decrefp) json_t *answer = NULL;
        char size[SHOW_TEXT_SIZE];

        if (ctl->json == SHOW_JSON_OFF) {
                ctl_note("%" PRIu64 " file%s imported, %s, and %" PRIu64 " were there already.", i->n_new, plural(i->n_new),
                         show_size(i->bytes, size), i->n_present);
                return 0;
        }
        answer = json_pack("{s:I, s:I, s:I, s:I, s:O}", "imported", (json_int_t) i->n_new, "bytes", (json_int_t) i->bytes,
                           "present", (json_int_t) i->n_present, "refused", (json_int_t) i->n_refused, "files", i->documents);
        return answer ? ctl_show_json(ctl, answer) : -ENOMEM;
}

/* All that is to be known before the first is taken. */
static int prepare(Ctl *ctl, Import *i, int argc, char **argv) {
        int code = 0, r;

        for (int k = 0; k < argc; k++) {
                if (argv[k][0] == '\0')
                        return ctl_fail(CTL_USAGE, "The name of a file or directory is empty.");
                if (!text_is_utf8(slice_of(argv[k])) && ctl->json != SHOW_JSON_OFF)
                        return ctl_fail(CTL_USAGE, "'%s' is no UTF-8, as JSON is.", argv[k]);
                r = import_list_add(&i->list, argv[k]);
                if (r < 0)
                        return r;
                code = MAX_OF(code, r);
        }
        if (code != 0)
                return code;
        r = ctl_call(ctl, "org.p2pdi.Peer.GetStatus", NULL, on_status, i);
        if (r != 0)
                return r;
        import_list_settle(&i->list);
        return import_list_check(&i->list, i->max_size);
}

int verb_import(Ctl *ctl, int argc, char **argv) {
        _cleanup_(import_done) Import i = { .fd = -1 };
        int code, r;
        Now now;

        i.documents = json_array();
        if (!i.documents)
                return -ENOMEM;
        r = prepare(ctl, &i, argc, argv);
        if (r != 0)
                return r;
        now_read(&now);
        i.began_at = now.boottime;
        tally_begin(!ctl->quiet && ctl->json == SHOW_JSON_OFF);
        code = import_all(ctl, &i);
        tally_hide();
        if (code < 0)
                return code;
        /* Denied, or without an answer: that was told, and nothing else is to be. */
        if (json_array_size(i.documents) == 0 && code != 0)
                return code;
        r = tell_end(ctl, &i);
        return r < 0 ? r : code;
}
