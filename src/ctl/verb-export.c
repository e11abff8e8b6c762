/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <errno.h>
#include <inttypes.h>

#include "core/rfc-number.h"
#include "core/text.h"
#include "ctl/export-dir.h"
#include "ctl/tally.h"
#include "io/loop.h"

#define EDITOR_INDEX "rfc-index.txt"

typedef struct Export {
        ExportDir dir;
        const json_t *documents;        /* borrowed: by ascending number */
        uint64_t total;                 /* their bytes */
        usec_t began_at;                /* boottime */
        const json_t *document;         /* borrowed: under way; NULL: the editor's index */
} Export;

static void export_done(Export *e) {
        export_dir_done(&e->dir);
}

/* Each name once, so by halves over the list, whose order the interface promises. */
static bool is_wanted(const char *name, const void *userdata) {
        const Export *e = userdata;
        size_t first = 0, end = json_array_size(e->documents);
        uint32_t number;

        if (strcmp(name, EDITOR_INDEX) == 0)
                return true;
        if (rfc_number_from_file_name(slice_of(name), &number) != 0)
                return false;
        while (first < end) {
                size_t middle = first + (end - first) / 2;
                uint64_t found = member_uint(json_array_get(e->documents, middle), "number");

                if (number == found)
                        return true;
                if (number < found)
                        end = middle;
                else
                        first = middle + 1;
        }
        return false;
}

static void show_progress(const Export *e) {
        Now now;

        now_read(&now);
        tally_show(&(Tally){
                .what = "Exported",
                .n = e->dir.n_files,
                .n_total = json_array_size(e->documents),
                .bytes = e->dir.n_bytes,
                .bytes_total = e->total,
                .elapsed = usec_sub(now.boottime, e->began_at),
        });
}

static int on_open(json_t *parameters, int fd, void *userdata) {
        Export *e = userdata;
        const json_t *about = e->document ? json_object_get(parameters, "document") : parameters;
        const char *digest_text = member_string(about, "sha256");
        char name[RFC_FILE_NAME_SIZE] = EDITOR_INDEX;
        Digest digest;

        if (!e->document && fd < 0)     /* there is none */
                return 0;
        if (e->document)
                rfc_number_to_file_name((uint32_t) member_uint(e->document, "number"), name);
        if (fd < 0 || !digest_text || digest_from_text(slice_of(digest_text), &digest) != 0)
                return ctl_fail(CTL_FAILURE, "%s: no file descriptor came with the reply.", name);
        return export_dir_put(&e->dir, name, member_uint(about, "size"), &digest, fd);
}

static int export_documents(Ctl *ctl, Export *e) {
        const json_t *d;
        int code = 0, r;
        size_t i;

        json_array_foreach(e->documents, i, d) {
                e->document = d;
                r = ctl_call(ctl, "org.p2pdi.Peer.Open",
                             json_pack("{s:I}", "number", (json_int_t) member_uint(d, "number")), on_open, e);
                if (r < 0)
                        return r;
                code = MAX_OF(code, r);
                /* No better will come of the next. */
                if (r == CTL_NO_SPACE || r == CTL_TIMEOUT || r == CTL_NO_DAEMON)
                        return code;
                if (i % 16 == 0)
                        show_progress(e);
        }
        e->document = NULL;
        r = ctl_call(ctl, "org.p2pdi.Peer.OpenEditorIndex", NULL, on_open, e);
        if (r == 0)
                r = export_dir_finish(&e->dir);
        return r < 0 ? r : MAX_OF(code, r);
}

static int tell_end(const Ctl *ctl, const Export *e) {
        _cleanup_(json_decrefp) json_t *answer = NULL;
        char size[SHOW_TEXT_SIZE];

        if (ctl->json == SHOW_JSON_OFF) {
                ctl_note("%" PRIu64 " file%s exported, %s, of which %" PRIu64 " were there already.", e->dir.n_files,
                         plural(e->dir.n_files), show_size(e->dir.n_bytes, size), e->dir.n_present);
                return 0;
        }
        answer = json_pack("{s:s, s:I, s:I, s:I}", "directory", e->dir.path, "files", (json_int_t) e->dir.n_files, "bytes",
                           (json_int_t) e->dir.n_bytes, "present", (json_int_t) e->dir.n_present);
        return answer ? ctl_show_json(ctl, answer) : -ENOMEM;
}

int verb_export(Ctl *ctl, int argc, char **argv) {
        _cleanup_(json_decrefp) json_t *documents = NULL;
        _cleanup_(export_done) Export e = { .dir.fd = -1 };
        int code, r;
        size_t i;
        Now now;

        if (!ctl->to)
                return ctl_fail(CTL_USAGE, "Name the directory to export to: export --to=DIR.");
        if (!text_is_utf8(slice_of(ctl->to)) && ctl->json != SHOW_JSON_OFF)
                return ctl_fail(CTL_USAGE, "'%s' is no UTF-8, as JSON is.", ctl->to);
        r = ctl_list_documents(ctl, argc, argv, &code, &documents);
        if (r != 0)
                return r;
        if (argc > 0 && json_array_size(documents) == 0)
                return ctl_fail(CTL_NOT_HELD, "None of these RFCs is in the store: nothing was exported.");
        now_read(&now);
        e.began_at = now.boottime;
        e.documents = documents;
        for (i = 0; i < json_array_size(documents); i++) {
                const json_t *d = json_array_get(documents, i);
                const uint64_t number = member_uint(d, "number");

                /* A file is going to be named after it. */
                if (number < 1 || number > RFC_NUMBER_MAX)
                        return ctl_fail(CTL_FAILURE, "%s lists a document that has no number of an RFC.", ctl->daemon);
                e.total += member_uint(d, "size");
        }
        tally_begin(!ctl->quiet && ctl->json == SHOW_JSON_OFF);
        r = export_dir_open(&e.dir, ctl->to, is_wanted, &e);
        if (r != 0)
                return r;
        r = export_documents(ctl, &e);
        tally_hide();
        if (r < 0)
                return r;
        code = MAX_OF(code, r);
        r = tell_end(ctl, &e);
        return r < 0 ? r : code;
}
