/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/documents.h"

#include <bsd/sys/tree.h>
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sys/epoll.h>

#include "core/proto.h"
#include "io/log.h"
#include "io/loop.h"

/* Of one scan slice: what else waits for the disk worker waits at most this much longer. */
#define SCAN_SLICE_USEC (20 * USEC_PER_MSEC)
/* Records encoded per hold of the lock: some 50 µs. */
#define ENCODE_SLICE 256
/* A scan that failed (no memory, no descriptors) goes on after this. */
#define SCAN_RETRY_USEC (5 * USEC_PER_SEC)
/* A library that is gone is looked for again after this. */
#define SCAN_GONE_USEC (1 * USEC_PER_SEC)

/* What the file of an own document was when it was hashed. */
typedef struct Stamped {
        RB_ENTRY(Stamped) node;
        uint32_t number;
        LibraryStamp stamp;
} Stamped;

static int stamped_compare(const Stamped *a, const Stamped *b) {
        return a->number < b->number ? -1 : a->number > b->number;
}

RB_HEAD(StampTree, Stamped);
RB_GENERATE_INTERNAL(StampTree, Stamped, node, stamped_compare, _unused_ static)

struct Documents {
        DocumentsConf conf;
        Library *library;               /* the disk worker's */
        pthread_mutex_t lock;           /* of what follows */
        RfcIndex *index;
        struct StampTree stamps;
        OwnIndex *own;
        uint64_t own_bytes;
        const RfcMeta *meta;            /* the library's; NULL: no editor's index */
        LibraryStamp editor_stamp;
        Digest editor_digest;
        /* --- */
        atomic_bool scanned;
        bool encode_queued, scan_queued, scan_again;    /* the disk worker's */
        usec_t retry_after;             /* goes with retry_message */
        sd_event_source *watch, *retry_timer;           /* main loop */
        Message scan_message, scanned_message, encode_message, watch_message, watched_message, retry_message;
};

OwnIndex *own_index_ref(OwnIndex *o) {
        atomic_fetch_add_explicit(&o->n_refs, 1, memory_order_relaxed);
        return o;
}

void own_index_unref(void *p) {
        OwnIndex *o = p;
        if (!o || atomic_fetch_sub_explicit(&o->n_refs, 1, memory_order_acq_rel) != 1)
                return;
        for (unsigned i = 0; i < ELEMENTSOF(o->pages); i++)
                own_page_free(atomic_load_explicit(&o->pages[i], memory_order_relaxed));
        buf_done(&o->body);
        free(o);
}

OwnPage *own_page_free(OwnPage *p) {
        if (!p)
                return NULL;
        buf_done(&p->body);
        free(p);
        return NULL;
}

static OwnIndex *own_index_new(void) {
        OwnIndex *o = calloc(1, sizeof(*o));
        if (o) {
                atomic_init(&o->n_refs, 1);
                o->body = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        }
        return o;
}

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

/* ---- the snapshot, made in the disk worker, which alone changes own records: what it walks over stands still ---- */

static int encode_slice(Documents *d, OwnIndex *o, EVP_MD_CTX *hash, uint32_t *after) {
        _cleanup_buf_ Buf covered = BUF_INIT(PROTO_INDEX_BYTES_MAX);

        pthread_mutex_lock(&d->lock);
        int k = rfc_index_encode_own(d->index, after, ENCODE_SLICE, &o->body, &covered);
        o->generation = rfc_index_generation(d->index);
        pthread_mutex_unlock(&d->lock);
        if (k == RFC_INDEX_TOO_LARGE)
                return -EMSGSIZE;
        if (k >= 0 && !EVP_DigestUpdate(hash, covered.data, covered.size))
                return -ENOMEM;
        return k;
}

static int encode_own(Documents *d, OwnIndex *o) {
        EVP_MD_CTX *hash = EVP_MD_CTX_new();
        uint32_t after = 0;
        int k = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) ? RFC_INDEX_MORE : -ENOMEM;

        while (k == RFC_INDEX_MORE)
                k = encode_slice(d, o, hash, &after);
        if (k == 0 && !EVP_DigestFinal_ex(hash, o->digest.bytes, NULL))
                k = -ENOMEM;
        EVP_MD_CTX_free(hash);
        return k;
}

static int refresh_own_index(Documents *d) {
        OwnIndex *fresh = own_index_new();
        int k = fresh ? encode_own(d, fresh) : -ENOMEM;
        if (k < 0) {
                own_index_unref(fresh);
                return log_errno(LOG_LEVEL_ERR, k, "Could not encode the own index, the old one goes on");
        }
        pthread_mutex_lock(&d->lock);
        OwnIndex *old = d->own;
        d->own = fresh;
        pthread_mutex_unlock(&d->lock);
        own_index_unref(old);
        return 0;
}

static void run_encode(Message *m) {
        Documents *d = MESSAGE_OF(m, Documents, encode_message);
        d->encode_queued = false;
        (void) refresh_own_index(d);    /* logged */
}

/* Behind whatever else is queued: many changes make one snapshot. */
static void queue_encode(Documents *d) {
        if (d->encode_queued)
                return;
        d->encode_queued = true;
        d->encode_message.run = run_encode;
        worker_post(d->conf.disk, &d->encode_message);
}

/* ---- what the library tells, in the disk worker ---- */

/* Under the lock. */
static int stamp_set(Documents *d, const LibraryEntry *e) {
        Stamped key = { .number = e->number };
        Stamped *s = RB_FIND(StampTree, &d->stamps, &key);
        if (!s) {
                s = calloc(1, sizeof(*s));
                if (!s)
                        return -ENOMEM;
                s->number = e->number;
                RB_INSERT(StampTree, &d->stamps, s);
        } else
                d->own_bytes -= s->stamp.size;
        s->stamp = e->stamp;
        d->own_bytes += e->stamp.size;
        return 0;
}

static void on_present(const LibraryEntry *e, void *userdata) {
        Documents *d = userdata;
        pthread_mutex_lock(&d->lock);
        int k = stamp_set(d, e);
        if (k == 0)
                k = rfc_index_set_own(d->index, e->number, e->stamp.size, &e->digest, slice_of(e->title));
        pthread_mutex_unlock(&d->lock);
        if (k < 0)
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not put RFC %u into the index", e->number);
        if (k == 0 && atomic_load(&d->scanned))
                queue_encode(d);
}

static void on_gone(uint32_t number, void *userdata) {
        Documents *d = userdata;
        Stamped key = { .number = number };

        pthread_mutex_lock(&d->lock);
        Stamped *s = RB_FIND(StampTree, &d->stamps, &key);
        if (s) {
                RB_REMOVE(StampTree, &d->stamps, s);
                d->own_bytes -= s->stamp.size;
                free(s);
        }
        int k = rfc_index_remove_own(d->index, number);
        pthread_mutex_unlock(&d->lock);
        if (k == 0 && atomic_load(&d->scanned))
                queue_encode(d);
}

/* Nobody has the old one any more when this is over: it is used under the lock. */
static void on_editor_index(const LibraryStamp *stamp, const Digest *digest, const RfcMeta *meta, void *userdata) {
        Documents *d = userdata;
        pthread_mutex_lock(&d->lock);
        d->meta = meta;
        if (meta) {
                d->editor_stamp = *stamp;
                d->editor_digest = *digest;
        }
        pthread_mutex_unlock(&d->lock);
        if (meta)
                log_info("rfc-index.txt is read: it lists %zu RFCs.", rfc_meta_count(meta));
        else
                log_info("rfc-index.txt is gone or of no use any more.");
        if (atomic_load(&d->scanned))
                queue_encode(d);        /* the pages tell of it */
}

static void on_skipped(const char *name, const char *why, int error, void *userdata) {
        (void) userdata;
        if (error < 0)
                (void) log_errno(LOG_LEVEL_WARNING, error, "%s is left out of the library: it %s", name, why);
        else
                log_warning("%s is left out of the library: it %s.", name, why);
}

static void on_directory(const char *path, int error, void *userdata) {
        (void) userdata;
        if (error < 0)
                (void) log_errno(LOG_LEVEL_ERR, error, "The library %s is gone", path);
        else
                log_notice("The library %s is there again, or another directory in its place: reading it.", path);
}

/* ---- scanning and watching ---- */

static void run_scanned(Message *m) {
        Documents *d = MESSAGE_OF(m, Documents, scanned_message);
        d->conf.on_scanned(d->conf.userdata);
}

static int on_retry(sd_event_source *s, uint64_t usec, void *userdata) {
        Documents *d = userdata;
        (void) s;
        (void) usec;
        worker_post(d->conf.disk, &d->scan_message);
        return 0;
}

static void run_retry(Message *m) {
        Documents *d = MESSAGE_OF(m, Documents, retry_message);
        Now now;
        now_read(&now);
        (void) loop_timer_set(d->retry_timer, usec_add(now.boottime, d->retry_after));
}

/* The scan stays queued: it goes on when the time has come. */
static void retry_scan(Documents *d, usec_t after) {
        d->retry_after = after;
        d->retry_message.run = run_retry;
        mailbox_post(d->conf.main, &d->retry_message);
}

static void run_scan(Message *m) {
        Documents *d = MESSAGE_OF(m, Documents, scan_message);
        int k = library_scan(d->library, SCAN_SLICE_USEC);
        if (k == LIBRARY_MORE || (k == 0 && d->scan_again)) {
                if (k == 0)
                        d->scan_again = false;
                worker_post(d->conf.disk, m);
                return;
        }
        if (k < 0) {    /* meanwhile what was found is served */
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not scan the library, trying again soon");
                retry_scan(d, SCAN_RETRY_USEC);
        } else if (k == LIBRARY_GONE)
                retry_scan(d, SCAN_GONE_USEC);
        else
                d->scan_queued = false;
        /* As long as it stays gone there is nothing new; and what went with it on_gone() has seen to. */
        if (k != LIBRARY_GONE || !atomic_load(&d->scanned))
                (void) refresh_own_index(d);    /* logged */
        if (atomic_exchange(&d->scanned, true))
                return;
        d->scanned_message.run = run_scanned;
        mailbox_post(d->conf.main, &d->scanned_message);
}

/* What changed behind a scan that is under way needs another one. */
static void queue_scan(Documents *d) {
        if (d->scan_queued) {
                d->scan_again = true;
                return;
        }
        d->scan_queued = true;
        d->scan_message.run = run_scan;
        worker_post(d->conf.disk, &d->scan_message);
}

static void run_watched(Message *m) {
        Documents *d = MESSAGE_OF(m, Documents, watched_message);
        (void) sd_event_source_set_enabled(d->watch, SD_EVENT_ONESHOT);         /* a valid source: can't fail */
}

static void run_watch(Message *m) {
        Documents *d = MESSAGE_OF(m, Documents, watch_message);
        int k = library_watch_process(d->library);
        if (k < 0)
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not follow the changes of the library, it is read anew");
        if (k != 0)
                queue_scan(d);
        d->watched_message.run = run_watched;
        mailbox_post(d->conf.main, &d->watched_message);
}

static int on_watch(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        Documents *d = userdata;
        (void) s;
        (void) fd;
        (void) events;
        d->watch_message.run = run_watch;
        worker_post(d->conf.disk, &d->watch_message);
        return 0;
}

int documents_new(const DocumentsConf *conf, Documents **ret) {
        const uint64_t key[2] = { random_u64(), random_u64() };
        Documents *d = calloc(1, sizeof(*d));

        if (!d)
                return -ENOMEM;
        d->conf = *conf;
        pthread_mutex_init(&d->lock, NULL);
        RB_INIT(&d->stamps);
        const LibraryHandler handler = {
                .present = on_present,
                .gone = on_gone,
                .editor_index = on_editor_index,
                .skipped = on_skipped,
                .directory = on_directory,
                .userdata = d,
        };
        int k = rfc_index_new(&conf->limits, random_range(INT64_MAX), key, &d->index);
        if (k == 0) {
                d->own = own_index_new();
                k = d->own ? refresh_own_index(d) : -ENOMEM;
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
                return log_errno(LOG_LEVEL_ERR, k, "Could not open the library %s", conf->library.path);
        }
        *ret = d;
        return 0;
}

int documents_start(Documents *d) {
        int k = sd_event_add_io(d->conf.event, &d->watch, library_watch_fd(d->library), EPOLLIN, on_watch, d);
        if (k >= 0)
                k = sd_event_source_set_enabled(d->watch, SD_EVENT_ONESHOT);
        if (k >= 0)
                k = loop_timer_new(d->conf.event, on_retry, d, "scan", &d->retry_timer);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not watch the library");
        queue_scan(d);
        return 0;
}

Documents *documents_free(Documents *d) {
        Stamped *s, *next;
        if (!d)
                return NULL;
        event_source_free(d->watch);
        event_source_free(d->retry_timer);
        d->meta = NULL;
        library_free(d->library);
        RB_FOREACH_SAFE(s, StampTree, &d->stamps, next) {
                RB_REMOVE(StampTree, &d->stamps, s);
                free(s);
        }
        rfc_index_free(d->index);
        own_index_unref(d->own);
        pthread_mutex_destroy(&d->lock);
        free(d);
        return NULL;
}

typedef struct Reconfigure {
        Message message;
        Documents *documents;
        uint64_t max_file_size;
} Reconfigure;

static void run_reconfigure(Message *m) {
        Reconfigure *r = MESSAGE_OF(m, Reconfigure, message);
        library_set_max_file_size(r->documents->library, r->max_file_size);
        queue_scan(r->documents);
        queue_encode(r->documents);     /* each line states the TTL */
        free(r);
}

void documents_reconfigure(Documents *d, const RfcIndexLimits *limits, uint64_t max_file_size) {
        rfc_index_set_limits(documents_lock(d), limits);
        documents_unlock(d);
        Reconfigure *r = calloc(1, sizeof(*r));
        if (!r) {
                log_warning("No memory to tell the disk worker of the new settings: it goes on with the old ones.");
                return;
        }
        *r = (Reconfigure){ .message = { .run = run_reconfigure }, .documents = d, .max_file_size = max_file_size };
        worker_post(d->conf.disk, &r->message);
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
                k = index_encode_step(e, documents_lock(d), ENCODE_SLICE);
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

bool documents_get(Documents *d, uint32_t number, OwnDocument *ret) {
        Stamped key = { .number = number };
        RfcRecord record;

        pthread_mutex_lock(&d->lock);
        Stamped *s = RB_FIND(StampTree, &d->stamps, &key);
        bool found = s && rfc_index_get_own(d->index, number, &record);
        if (found) {
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
        *ret = (OwnDocument){ .size = d->editor_stamp.size, .digest = d->editor_digest, .stamp = d->editor_stamp };
        pthread_mutex_unlock(&d->lock);
        return found;
}

Library *documents_library(Documents *d) {
        return d->library;
}

Worker *documents_disk(Documents *d) {
        return d->conf.disk;
}

typedef struct Recheck {
        Message message;
        Documents *documents;
        uint32_t number;
        Mailbox *to;
        Message *done;
} Recheck;

static void run_recheck(Message *m) {
        Recheck *r = MESSAGE_OF(m, Recheck, message);
        int k = library_recheck(r->documents->library, r->number);
        if (k < 0)
                (void) log_errno(LOG_LEVEL_WARNING, k, "Could not look at RFC %u", r->number);
        if (r->done)
                mailbox_post(r->to, r->done);
        free(r);
}

void documents_recheck(Documents *d, uint32_t number, Mailbox *to, Message *done) {
        Recheck *r = calloc(1, sizeof(*r));
        if (!r) {
                if (done)
                        mailbox_post(to, done);
                return;
        }
        *r = (Recheck){ .message = { .run = run_recheck }, .documents = d, .number = number, .to = to, .done = done };
        worker_post(d->conf.disk, &r->message);
}
