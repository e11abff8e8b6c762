/* SPDX-License-Identifier: BSD-2-Clause */
/* What documents_trust() tells: the quorum, and the administrator's manifest as it was read last. */
#include <errno.h>

#include "core/text.h"
#include "io/log.h"
#include "io/manifest-file.h"
#include "peerd/documents-internal.h"

const TrustConf *documents_trust(const Documents *d) {
        return &d->trust;
}

static void log_manifest(const char *path, const Manifest *m) {
        ManifestInfo info;

        manifest_get_info(m, &info);
        log_info("The manifest %s is read: it names %zu RFC%s.", path, info.n_named, plural(info.n_named));
        if (info.n_bad > 0) {
                const LogFields f = { .config_file = path, .config_line = (unsigned) info.first_bad };
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_NONE, &f,
                          "%s:%llu: not 64 hex digits, a blank, a blank or *, and a name: %zu such line%s passed over.",
                          path, (unsigned long long) info.first_bad, info.n_bad, info.n_bad == 1 ? " is" : "s are");
        }
        if (info.n_torn > 0) {
                const LogFields f = { .config_file = path };
                char name[RFC_FILE_NAME_SIZE] = "rfc-index.txt";
                if (info.first_torn > 0)
                        rfc_number_to_file_name(info.first_torn, name);
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_NONE, &f,
                          "%s gives %zu document%s different digests, first %s: it says nothing of %s.", path, info.n_torn,
                          plural(info.n_torn), name, info.n_torn == 1 ? "it" : "them");
        }
}

/* Takes m; NULL: none is in force any more. Nobody has the old one when this is over: it is used under the lock. */
static void replace(Documents *d, Manifest *m) {
        pthread_mutex_lock(&d->lock);
        Manifest *old = d->manifest;
        d->trust.manifest = d->manifest = m;
        pthread_mutex_unlock(&d->lock);
        (void) manifest_free(old);
}

/* What is left of the old one if the new one can't be had: path is where it was to come from. */
static void log_unread(const char *path, int k, bool kept) {
        const char *so = kept ? "what was read before stays in force" : "no document counts as verified";

        if (k == -ENOENT)
                log_warning("The manifest %s does not exist: %s.", path, so);
        else if (k == MANIFEST_FILE_TOO_LARGE)
                log_warning("The manifest %s is not used, it has more than %u MiB: %s.", path, MANIFEST_BYTES_MAX >> 20, so);
        else if (k == MANIFEST_FILE_NOT_REGULAR)
                log_warning("The manifest %s is not used, it is not a regular file: %s.", path, so);
        else
                log_warning("The manifest %s can not be read (%s): %s.", path, strerror(-k), so);
}

/* Takes path. */
static void load(Documents *d, char *path) {
        bool same = path && d->manifest_path && strcmp(path, d->manifest_path) == 0;
        Manifest *fresh = NULL;

        free(d->manifest_path);
        d->manifest_path = path;
        if (!path) {
                replace(d, NULL);
                return;
        }
        int k = manifest_file_read(path, &fresh);
        if (k == 0) {
                replace(d, fresh);
                log_manifest(path, fresh);
                return;
        }
        /* Taken away is taken back; what can't be read just now may have changed or not. */
        bool kept = k != -ENOENT && same && d->manifest;
        log_unread(path, k, kept);
        if (!kept)
                replace(d, NULL);
}

static char *copy(const char *path) {
        char *s = path ? strdup(path) : NULL;
        if (path && !s)
                log_warning("No memory for the name of the manifest: no document counts as verified.");
        return s;
}

void documents_init_trust(Documents *d, unsigned quorum, const char *manifest) {
        d->trust.quorum = quorum;
        if (manifest)
                load(d, copy(manifest));
}

typedef struct Reload {
        Message message;
        Documents *documents;
        char *path;
} Reload;

static void run_reload(Message *m) {
        Reload *r = MESSAGE_OF(m, Reload, message);
        load(r->documents, TAKE_PTR(r->path));
        free(r);
}

void documents_reload_trust(Documents *d, unsigned quorum, const char *manifest) {
        documents_lock(d);
        d->trust.quorum = quorum;
        documents_unlock(d);
        Reload *r = calloc(1, sizeof(*r));
        if (!r) {
                log_warning("No memory to read the manifest anew: the old one stays in force.");
                return;
        }
        *r = (Reload){ .message = { .run = run_reload }, .documents = d, .path = copy(manifest) };
        worker_post(d->conf.disk, &r->message);
}

void documents_done_trust(Documents *d) {
        d->trust.manifest = NULL;
        d->manifest = manifest_free(d->manifest);
        free(d->manifest_path);
}
