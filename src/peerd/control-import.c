/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Import: documents that come with a call, their bytes behind one another in a file in memory that nobody can change any
 * more. So no disk, network or user of the caller can keep the disk worker waiting, or change what was looked at. What
 * comes with one call is brought to disk together.
 */
#include "peerd/control-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/text.h"
#include "io/log.h"
#include "io/loop.h"

/* The interface says so. Each holds a descriptor until all are on disk. */
#define IMPORT_FILES_MAX 64
/* What else waits for the disk worker waits at most this much longer, and one document; and then for a flush. */
#define IMPORT_SLICE_USEC (20 * USEC_PER_MSEC)
#define PIECE_SIZE 65536
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK)

/* As the interface names them. */
typedef enum ImportResult {
        IMPORT_OK,
        IMPORT_PRESENT,
        IMPORT_OTHER,
        IMPORT_DAMAGED,
        IMPORT_MANIFEST,
        IMPORT_MISMATCH,
        IMPORT_NO_INDEX,
        IMPORT_TOO_BIG,
        IMPORT_NO_SPACE,
        IMPORT_FAILED,
        _IMPORT_MAX,
} ImportResult;

static const char *const result_names[_IMPORT_MAX] = {
        [IMPORT_OK] = "ok",             [IMPORT_PRESENT] = "present",   [IMPORT_OTHER] = "other",
        [IMPORT_DAMAGED] = "damaged",   [IMPORT_MANIFEST] = "manifest", [IMPORT_MISMATCH] = "mismatch",
        [IMPORT_NO_INDEX] = "no-index", [IMPORT_TOO_BIG] = "too-big",   [IMPORT_NO_SPACE] = "no-space",
        [IMPORT_FAILED] = "failed",
};

typedef struct ImportFile {
        uint32_t number;                        /* or LIBRARY_EDITOR_INDEX */
        uint64_t at, size;                      /* in the file in memory */
        Digest digest;                          /* as stated */
        LibraryFile *file;                      /* owned; NULL: not begun, or committed */
        ImportResult result;
        int error;                              /* of IMPORT_FAILED: -errno */
} ImportFile;

typedef struct ImportJob {
        ControlJob job;
        Message message;
        Control *control;
        uint64_t request;
        uint32_t uid;                           /* who asked */
        int fd;                                 /* owned: the file in memory */
        usec_t began_at;                        /* boottime */
        bool full;                              /* the library takes no more */
        size_t n, at;
        ImportFile files[IMPORT_FILES_MAX];
} ImportJob;

static void import_free(ImportJob *j) {
        for (size_t i = 0; i < j->n; i++)
                (void) library_store_abort(j->files[i].file);
        if (j->fd >= 0)
                (void) close(j->fd);
        free(j);
}

static void job_free(ControlJob *job) {
        import_free(MESSAGE_OF(job, ImportJob, job));
}

/* ---- in the disk worker ---- */

static Documents *documents_of(const ImportJob *j) {
        return j->control->peerd->documents;
}

static ImportResult result_of(int r) {
        return r == 0                                                  ? IMPORT_OK :
               r == LIBRARY_MISMATCH                                   ? IMPORT_MISMATCH :
               r == -EFBIG                                             ? IMPORT_TOO_BIG :
               r == -EUCLEAN                                           ? IMPORT_DAMAGED :
               r == -ENOSPC || r == -EDQUOT                            ? IMPORT_NO_SPACE :
                                                                         IMPORT_FAILED;
}

static int set_result(ImportJob *j, ImportFile *f, int r) {
        f->result = result_of(r);
        f->error = r;
        /* A smaller one might fit, but whoever imports wants all of them. */
        j->full = j->full || f->result == IMPORT_NO_SPACE;
        return r;
}

/* What is held under that number, or as the library's own index: IMPORT_OK: nothing. */
static ImportResult compare_held(const ImportJob *j, const ImportFile *f) {
        Documents *d = documents_of(j);
        OwnDocument index;
        RfcRecord own;

        if (f->number == LIBRARY_EDITOR_INDEX) {
                if (!documents_get_editor_index(d, &index) || index.origin != LIBRARY_INDEX_STORED)
                        return IMPORT_OK;
                return digest_equal(&index.digest, &f->digest) ? IMPORT_PRESENT : IMPORT_OTHER;
        }
        const bool held = rfc_index_get_own(documents_lock(d), f->number, &own);
        documents_unlock(d);
        return !held ? IMPORT_OK : digest_equal(&own.digest, &f->digest) ? IMPORT_PRESENT : IMPORT_OTHER;
}

/* Does the administrator say that it is something else? */
static bool contradicts_manifest(const ImportJob *j, const ImportFile *f) {
        Documents *d = documents_of(j);

        (void) documents_lock(d);
        const Manifest *m = documents_trust(d)->manifest;
        const Digest *named = !m ? NULL :
                              f->number == LIBRARY_EDITOR_INDEX ? manifest_editor_index(m) : manifest_get(m, f->number);
        const bool contradicts = named && !digest_equal(named, &f->digest);
        documents_unlock(d);
        return contradicts;
}

/* Hands the bytes on. 0, what feed gives, -errno. */
static int read_bytes(const ImportJob *j, const ImportFile *f, int (*feed)(Slice bytes, void *userdata), void *userdata) {
        char piece[PIECE_SIZE];
        int r = 0;

        for (uint64_t done = 0; r == 0 && done < f->size;) {
                ssize_t n = pread(j->fd, piece, MIN_OF(f->size - done, sizeof(piece)), (off_t) (f->at + done));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;   /* it can't have shrunk */
                r = feed((Slice){ piece, (size_t) n }, userdata);
                done += (uint64_t) n;
        }
        return r;
}

static int feed_file(Slice bytes, void *userdata) {
        return library_store_write(userdata, bytes);
}

static int feed_meta(Slice bytes, void *userdata) {
        return rfc_meta_feed(userdata, bytes);
}

/* 0, RFC_META_NONE, -errno. */
static int check_index(const ImportJob *j, const ImportFile *f) {
        _cleanup_(rfc_meta_free_p) RfcMeta *meta = NULL;
        int r;

        if (f->size > RFC_META_BYTES_MAX)
                return -EFBIG;
        r = rfc_meta_new(&meta);
        if (r == 0)
                r = read_bytes(j, f, feed_meta, meta);
        return r == 0 ? rfc_meta_end(meta) : r;
}

/* Into a file without a name. */
static void store_one(ImportJob *j, ImportFile *f) {
        Documents *d = documents_of(j);
        int r = 0;

        f->result = compare_held(j, f);
        if (f->result == IMPORT_OK && contradicts_manifest(j, f))
                f->result = IMPORT_MANIFEST;
        if (f->result == IMPORT_OK && j->full)
                f->result = IMPORT_NO_SPACE;
        if (f->result != IMPORT_OK)
                return;
        if (f->number == LIBRARY_EDITOR_INDEX) {
                r = check_index(j, f);
                if (r == 0)
                        r = library_store_begin(documents_library(d), f->number, f->size, &f->digest, (Slice){}, &f->file);
        } else
                r = documents_store_begin(d, f->number, f->size, &f->digest, (Slice){}, &f->file);
        if (r > 0)
                f->result = IMPORT_NO_INDEX;
        else if (set_result(j, f, r) == 0 && set_result(j, f, read_bytes(j, f, feed_file, f->file)) != 0)
                f->file = library_store_abort(f->file);
}

/* What got the name meanwhile stays: it may be the same, or something else. */
static void take_commit(ImportJob *j, ImportFile *f, int r) {
        if (r == 0 && f->number != LIBRARY_EDITOR_INDEX) {
                f->result = compare_held(j, f) == IMPORT_PRESENT ? IMPORT_OK : IMPORT_OTHER;
                return;
        }
        (void) set_result(j, f, r);
        if (r == -EEXIST)
                f->result = IMPORT_OTHER;
        else if (r == 0)
                documents_scan(documents_of(j));        /* titles */
}

static void commit(ImportJob *j) {
        LibraryCommit commits[IMPORT_FILES_MAX] = {};
        ImportFile *files[IMPORT_FILES_MAX];
        size_t n = 0;

        for (size_t i = 0; i < j->n; i++)
                if (j->files[i].file) {
                        files[n] = &j->files[i];
                        commits[n++].file = TAKE_PTR(j->files[i].file);
                }
        if (n > 0)
                library_store_commit_all(documents_library(documents_of(j)), commits, n);
        for (size_t i = 0; i < n; i++)
                take_commit(j, files[i], commits[i].result);
}

static void run_told(Message *m);

static void run_import(Message *m) {
        ImportJob *j = MESSAGE_OF(m, ImportJob, message);
        Now begin, at;

        now_read(&begin);
        do {
                store_one(j, &j->files[j->at++]);
                now_read(&at);
        } while (j->at < j->n && at.boottime - begin.boottime < IMPORT_SLICE_USEC);
        if (j->at < j->n) {
                worker_post(j->control->peerd->disk, m);
                return;
        }
        commit(j);
        m->run = run_told;
        mailbox_post(j->control->peerd->mailbox, m);
}

/* ---- in the main loop ---- */

static json_t *file_json(const ImportFile *f) {
        json_t *e = json_object();

        if (f->number != LIBRARY_EDITOR_INDEX)
                control_set_int(e, "number", f->number);
        control_set_string(e, "result", slice_of(result_names[f->result]));
        if (f->result == IMPORT_FAILED)
                control_set_string(e, "message", slice_of(error_text(f->error)));
        return e;
}

static void log_import(const ImportJob *j) {
        size_t n_new = 0, n_present = 0;
        LogFields f = { .operation = "import", .has_bytes = true, .has_duration = true, .has_uid = true, .uid = j->uid };
        Now now;

        for (size_t i = 0; i < j->n; i++) {
                n_new += j->files[i].result == IMPORT_OK;
                n_present += j->files[i].result == IMPORT_PRESENT;
                f.bytes += j->files[i].result == IMPORT_OK ? j->files[i].size : 0;
        }
        now_read(&now);
        f.duration_usec = usec_sub(now.boottime, j->began_at);
        f.result = n_new + n_present == j->n ? "ok" : "refused";
        log_entry(LOG_LEVEL_INFO, LOG_EVENT_IMPORTED, &f,
                  "User %u imported files, %zu new ones of %llu bytes, %zu that were there already, %zu refused.", j->uid, n_new,
                  (unsigned long long) f.bytes, n_present, j->n - n_new - n_present);
}

/* Whoever asked may have hung up: what had come is in the library all the same. */
static void run_told(Message *m) {
        ImportJob *j = MESSAGE_OF(m, ImportJob, message);
        ControlRequest *r = control_request_find(j->control, j->request);
        json_t *list = json_array();

        log_import(j);
        for (size_t i = 0; i < j->n; i++)
                (void) json_array_append_new(list, file_json(&j->files[i]));
        if (r)
                (void) varlink_call_reply(control_request_take(r), json_pack("{s:o}", "imported", list));
        else
                json_decref(list);
        control_job_end(&j->job);
}

static bool read_file(const json_t *j, ImportFile *ret) {
        json_t *number = NULL;
        json_int_t size;
        const char *sha256;

        if (json_unpack((json_t *) (uintptr_t) j, "{s?o, s:I, s:s!}", "number", &number, "size", &size, "sha256",
                        &sha256) < 0 || size < 1 || digest_from_text(slice_of(sha256), &ret->digest) != 0)
                return false;
        ret->size = (uint64_t) size;
        ret->number = LIBRARY_EDITOR_INDEX;
        return !number || json_is_null(number) || control_number(number, &ret->number) == 0;
}

/* What is in the file in memory has to be what the list says, to the byte. */
static bool read_files(ImportJob *j, const json_t *files) {
        const size_t n = json_array_size(files);
        uint64_t at = 0;
        struct stat st;

        if (n == 0 || n > IMPORT_FILES_MAX || j->fd < 0 || fstat(j->fd, &st) < 0)
                return false;
        const int seals = fcntl(j->fd, F_GET_SEALS);    /* fails for anything else */
        if (seals < 0 || (seals & SEALS) != SEALS)
                return false;
        for (; j->n < n; j->n++) {
                ImportFile *f = &j->files[j->n];

                if (!read_file(json_array_get(files, j->n), f) || f->size > (uint64_t) st.st_size - at)
                        return false;
                f->at = at;
                at += f->size;
        }
        return at == (uint64_t) st.st_size;
}

int control_import(VarlinkCall *call, json_t *parameters, void *userdata) {
        ImportJob *j = calloc(1, sizeof(*j));
        Control *c = userdata;
        ControlRequest *r;
        Now now;

        if (!j)
                return -ENOMEM;
        now_read(&now);
        j->control = c;
        j->uid = varlink_call_uid(call);
        j->began_at = now.boottime;
        j->fd = varlink_call_take_fd(call);
        const bool good = read_files(j, json_object_get(parameters, "files"));
        r = good ? control_request_new(c, call) : NULL;
        if (!r) {
                import_free(j);
                return good ? -ENOMEM : varlink_call_invalid(call, "files");
        }
        j->request = r->id;
        control_job_begin(c, &j->job, job_free);
        j->message.run = run_import;
        worker_post(c->peerd->disk, &j->message);
        return 0;
}
