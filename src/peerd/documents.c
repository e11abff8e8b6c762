/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/documents.h"

#include <errno.h>
#include <time.h>

#include "io/log.h"
#include "io/loop.h"
#include "peerd/documents-internal.h"

RfcIndex *documents_lock(Documents *d) {
        pthread_mutex_lock(&d->lock);
        return d->index;
}

void documents_unlock(Documents *d) {
        pthread_mutex_unlock(&d->lock);
}

const RfcMeta *documents_meta(const Documents *d) {
        return d->meta;
}

int documents_new(const DocumentsConf *conf, Documents **ret) {
        const uint64_t key[2] = { random_u64(), random_u64() };
        Documents *d = calloc(1, sizeof(*d));

        if (!d)
                return -ENOMEM;
        d->conf = *conf;
        pthread_mutex_init(&d->lock, NULL);
        RB_INIT(&d->stamps);
        atomic_init(&d->max_size, conf->max_size);
        const LibraryHandler handler = documents_library_handler(d);
        int k = rfc_index_new(&conf->limits, random_range(INT64_MAX), key, &d->index);
        if (k == 0) {
                d->own = own_index_new();
                k = d->own ? documents_refresh_own(d) : -ENOMEM;
        }
        if (k == 0) {
                k = library_new(&conf->library, &handler, &d->library);
                if (k == LIBRARY_DAMAGED) {
                        log_warning("%s was damaged: it was moved aside, and all documents are hashed anew.",
                                    conf->library.catalogue);
                        k = 0;
                }
        }
        if (k < 0) {
                documents_free(d);
                return log_errno(LOG_LEVEL_ERR, k, "Could not open the library %s with its catalogue %s", conf->library.path,
                                 conf->library.catalogue);
        }
        *ret = d;
        return 0;
}

Documents *documents_free(Documents *d) {
        if (!d)
                return NULL;
        event_source_free(d->watch);
        event_source_free(d->watch_timer);
        event_source_free(d->retry_timer);
        event_source_free(d->missed_timer);
        event_source_free(d->reads_timer);
        event_source_free(d->encode_timer);
        if (d->library)
                documents_save_reads(d);
        d->meta = NULL;
        documents_done_trust(d);
        free(d->self);
        library_free(d->library);
        documents_free_stamps(d);
        rfc_index_free(d->index);
        own_index_unref(d->own);
        pthread_mutex_destroy(&d->lock);
        free(d);
        return NULL;
}

OwnIndex *documents_own_index(Documents *d) {
        pthread_mutex_lock(&d->lock);
        OwnIndex *o = own_index_ref(d->own);
        pthread_mutex_unlock(&d->lock);
        return o;
}

int documents_encode(Documents *d, const RfcSet *set, const Now *now, Buf *b) {
        _cleanup_(index_encode_free_p) IndexEncode *e = NULL;
        int k = index_encode_new(documents_lock(d), set, now, b, &e);
        documents_unlock(d);
        if (k < 0)
                return k;
        do {
                k = index_encode_step(e, documents_lock(d), DOCUMENTS_ENCODE_SLICE);
                documents_unlock(d);
        } while (k == RFC_INDEX_MORE);
        return k;
}

bool documents_scanned(const Documents *d) {
        return atomic_load(&d->scanned);
}

void documents_count(Documents *d, size_t *ret_n, uint64_t *ret_bytes) {
        pthread_mutex_lock(&d->lock);
        *ret_n = rfc_index_count_own(d->index);
        *ret_bytes = d->own_bytes;
        pthread_mutex_unlock(&d->lock);
}

uint64_t documents_n_changes(const Documents *d) {
        return atomic_load_explicit(&d->n_changes, memory_order_acquire);
}

uint64_t documents_max_size(const Documents *d) {
        return atomic_load(&d->max_size);
}

/* Under the lock, at each request: so it is the clock that needs no system call, which is exact enough for years. */
static void mark_read(Stamped *s) {
        struct timespec t;

        (void) clock_gettime(CLOCK_REALTIME_COARSE, &t);        /* can't fail for this clock */
        s->read_at = (usec_t) t.tv_sec * USEC_PER_SEC + (usec_t) t.tv_nsec / 1000;
        s->unsaved = true;
}

bool documents_get_keeping(Documents *d, uint32_t number, bool *ret_pinned, usec_t *ret_read_at) {
        pthread_mutex_lock(&d->lock);
        const Stamped *s = documents_find_stamp(d, number);
        if (s) {
                *ret_pinned = s->pinned;
                *ret_read_at = s->read_at;
        }
        pthread_mutex_unlock(&d->lock);
        return s;
}

bool documents_get(Documents *d, uint32_t number, OwnDocument *ret) {
        RfcRecord record;

        pthread_mutex_lock(&d->lock);
        Stamped *s = documents_find_stamp(d, number);
        bool found = s && rfc_index_get_own(d->index, number, &record);
        if (found) {
                mark_read(s);
                ret->size = record.size;
                ret->digest = record.digest;
                ret->stamp = s->stamp;
                memcpy(ret->title, record.title.data, record.title.size);
                ret->title[record.title.size] = 0;
        }
        pthread_mutex_unlock(&d->lock);
        return found;
}

bool documents_get_editor_index(Documents *d, OwnDocument *ret) {
        pthread_mutex_lock(&d->lock);
        bool found = d->meta;
        *ret = (OwnDocument){
                .size = d->editor_stamp.size,
                .digest = d->editor_digest,
                .stamp = d->editor_stamp,
                .origin = d->editor_origin,
        };
        pthread_mutex_unlock(&d->lock);
        return found;
}

void documents_get_editor_held(Documents *d, EditorHeld *ret) {
        EditorHeld held = { .has = false };

        pthread_mutex_lock(&d->lock);
        if (d->meta)
                held = (EditorHeld){
                        .own = d->editor_origin != LIBRARY_INDEX_FETCHED,
                        .has = true,
                        .digest = d->editor_digest,
                        .size = d->editor_stamp.size,
                        .created = rfc_meta_created(d->meta),
                        .n_entries = rfc_meta_count(d->meta),
                };
        pthread_mutex_unlock(&d->lock);
        *ret = held;
}

Library *documents_library(Documents *d) {
        return d->library;
}

Worker *documents_disk(Documents *d) {
        return d->conf.disk;
}
