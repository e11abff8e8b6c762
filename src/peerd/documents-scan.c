/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the disk worker finds in the library, on its way into the index: scanning, watching, looking at one again.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "io/log.h"
#include "io/loop.h"
#include "peerd/documents-internal.h"

/* Of one scan slice: what else waits for the disk worker waits at most this much longer. */
#define SCAN_SLICE_USEC (20 * USEC_PER_MSEC)
/* A scan that failed (no memory, no descriptors) goes on after this. */
#define SCAN_RETRY_USEC (5 * USEC_PER_SEC)
/*
 * What a scan or the watch had to pass over is looked at again after the first, doubled each time up to the last. A disk that
 * is broken for good costs a scan that often, and each read of a bad block may take it seconds.
 */
#define SCAN_MISSED_MIN_USEC (5 * USEC_PER_SEC)
#define SCAN_MISSED_MAX_USEC (10 * USEC_PER_MINUTE)
/* A library that is gone is looked for again after this. */
#define SCAN_GONE_USEC (1 * USEC_PER_SEC)
#define WATCH_RETRY_USEC (1 * USEC_PER_SEC)

static int stamped_compare(const Stamped *a, const Stamped *b) {
        return a->number < b->number ? -1 : a->number > b->number;
}

RB_GENERATE_INTERNAL(StampTree, Stamped, node, stamped_compare, _unused_ static)

/* ---- what the library tells, in the disk worker ---- */

Stamped *documents_find_stamp(Documents *d, uint32_t number) {
        Stamped key = { .number = number };
        return RB_FIND(StampTree, &d->stamps, &key);
}

Stamped *documents_next_stamp(Documents *d, uint32_t after) {
        Stamped key = { .number = after + 1 };
        return RB_NFIND(StampTree, &d->stamps, &key);
}

void documents_free_stamps(Documents *d) {
        Stamped *s, *next;
        RB_FOREACH_SAFE(s, StampTree, &d->stamps, next) {
                RB_REMOVE(StampTree, &d->stamps, s);
                free(s);
        }
}

/* Under the lock. */
static int stamp_set(Documents *d, const LibraryEntry *e) {
        Stamped *s = documents_find_stamp(d, e->number);
        if (!s) {
                s = calloc(1, sizeof(*s));
                if (!s)
                        return -ENOMEM;
                s->number = e->number;
                RB_INSERT(StampTree, &d->stamps, s);
        } else
                d->own_bytes -= s->stamp.size;
        s->stamp = e->stamp;
        s->pinned = e->pinned;
        s->read_at = MAX_OF(s->read_at, e->read_at);
        d->own_bytes += e->stamp.size;
        return 0;
}

static int on_present(const LibraryEntry *e, void *userdata) {
        Documents *d = userdata;
        pthread_mutex_lock(&d->lock);
        int k = stamp_set(d, e);
        if (k == 0)
                k = rfc_index_set_own(d->index, e->number, e->stamp.size, &e->digest, slice_of(e->title));
        atomic_fetch_add(&d->n_changes, 1);
        pthread_mutex_unlock(&d->lock);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not put RFC %u into the index", e->number);
        if (k == 0 && atomic_load(&d->scanned)) {
                documents_queue_encode(d);
                documents_queue_trim(d);        /* somebody may have put it there by hand */
        }
        return 0;
}

static void on_gone(uint32_t number, void *userdata) {
        Documents *d = userdata;

        pthread_mutex_lock(&d->lock);
        Stamped *s = documents_find_stamp(d, number);
        if (s) {
                RB_REMOVE(StampTree, &d->stamps, s);
                d->own_bytes -= s->stamp.size;
                free(s);
        }
        int k = rfc_index_remove_own(d->index, number);
        atomic_fetch_add(&d->n_changes, 1);
        pthread_mutex_unlock(&d->lock);
        if (k == 0 && atomic_load(&d->scanned))
                documents_queue_encode(d);
}

/* Nobody has the old one any more when this is over: it is used under the lock. */
static void on_editor_index(const LibraryIndexInfo *info, void *userdata) {
        Documents *d = userdata;
        pthread_mutex_lock(&d->lock);
        d->meta = info ? info->meta : NULL;
        if (info) {
                d->editor_origin = info->origin;
                d->editor_stamp = info->stamp;
                d->editor_digest = info->digest;
        }
        pthread_mutex_unlock(&d->lock);
        if (info)
                log_info("rfc-index.txt is read: it lists %zu RFCs.", rfc_meta_count(info->meta));
        else
                log_info("rfc-index.txt is gone or of no use any more.");
        if (atomic_load(&d->scanned))
                documents_queue_encode(d);      /* the pages tell of it */
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

/* ---- scanning ---- */

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
        (void) loop_timer_set(d->retry_timer, usec_add(boottime_read(), d->retry_after));
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
        if (k == 0 && !d->missed)
                d->n_missed = 0;
        /* As long as it stays gone there is nothing new; and what went with it on_gone() has seen to. */
        if (k != LIBRARY_GONE || !atomic_load(&d->scanned))
                (void) documents_refresh_own(d);        /* logged */
        documents_queue_trim(d);
        if (atomic_exchange(&d->scanned, true))
                return;
        d->scanned_message.run = run_scanned;
        mailbox_post(d->conf.main, &d->scanned_message);
}

/* What changed behind a scan that is under way needs another one. */
void documents_scan(Documents *d) {
        if (d->scan_queued) {
                d->scan_again = true;
                return;
        }
        d->scan_queued = true;
        d->scan_message.run = run_scan;
        worker_post(d->conf.disk, &d->scan_message);
}

/* ---- what was missed ---- */

static void run_missed(Message *m) {
        Documents *d = MESSAGE_OF(m, Documents, missed_message);
        d->missed = false;
        documents_scan(d);
}

static int on_missed_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Documents *d = userdata;
        (void) s;
        (void) usec;
        d->missed_message.run = run_missed;
        worker_post(d->conf.disk, &d->missed_message);
        return 0;
}

static void run_wait_missed(Message *m) {
        Documents *d = MESSAGE_OF(m, Documents, missed_message);
        (void) loop_timer_set(d->missed_timer, usec_add(boottime_read(), d->missed_after));
}

static void on_missed(void *userdata) {
        Documents *d = userdata;
        if (d->missed)
                return;
        d->missed = true;
        d->missed_after = usec_doubled(SCAN_MISSED_MIN_USEC, d->n_missed++, SCAN_MISSED_MAX_USEC);
        d->missed_message.run = run_wait_missed;
        mailbox_post(d->conf.main, &d->missed_message);
}

LibraryHandler documents_library_handler(Documents *d) {
        return (LibraryHandler){
                .present = on_present,
                .gone = on_gone,
                .editor_index = on_editor_index,
                .skipped = on_skipped,
                .directory = on_directory,
                .missed = on_missed,
                .userdata = d,
        };
}

/* ---- watching ---- */

/* The loop has let go of the descriptor, and takes it in anew: that needs memory, and is limited for each user. */
static void watch_again(Documents *d) {
        int k = sd_event_source_set_enabled(d->watch, SD_EVENT_ONESHOT);
        if (k >= 0)
                return;
        (void) log_errno(LOG_LEVEL_WARNING, k, "Could not wait for changes of the library, trying again soon");
        (void) loop_timer_set(d->watch_timer, usec_add(boottime_read(), WATCH_RETRY_USEC));
}

static int on_watch_retry(sd_event_source *s, uint64_t usec, void *userdata) {
        (void) s;
        (void) usec;
        watch_again(userdata);
        return 0;
}

static void run_watched(Message *m) {
        watch_again(MESSAGE_OF(m, Documents, watched_message));
}

static void run_watch(Message *m) {
        Documents *d = MESSAGE_OF(m, Documents, watch_message);
        int k = library_watch_process(d->library);
        if (k < 0)
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not follow the changes of the library, it is read anew");
        if (k != 0)
                documents_scan(d);
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

int documents_start(Documents *d) {
        int k = sd_event_add_io(d->conf.event, &d->watch, library_watch_fd(d->library), EPOLLIN, on_watch, d);
        if (k >= 0)
                k = sd_event_source_set_enabled(d->watch, SD_EVENT_ONESHOT);
        if (k >= 0)
                k = loop_timer_new(d->conf.event, on_retry, d, "scan", &d->retry_timer);
        if (k >= 0)
                k = loop_timer_new(d->conf.event, on_missed_timer, d, "missed", &d->missed_timer);
        if (k >= 0)
                k = loop_timer_new(d->conf.event, on_watch_retry, d, "watch", &d->watch_timer);
        if (k >= 0)
                k = documents_start_saving(d);
        if (k >= 0)
                k = documents_start_encoding(d);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not watch the library");
        documents_scan(d);
        return 0;
}

typedef struct Reconfigure {
        Message message;
        Documents *documents;
        uint64_t max_file_size, max_size;
        char *own_index;                /* owned; NULL: none */
} Reconfigure;

static void run_reconfigure(Message *m) {
        Reconfigure *r = MESSAGE_OF(m, Reconfigure, message);
        library_set_max_file_size(r->documents->library, r->max_file_size);
        atomic_store(&r->documents->max_size, r->max_size);
        r->documents->told_full = false;
        documents_queue_trim(r->documents);
        int k = library_set_own_index(r->documents->library, r->own_index);
        if (k < 0)
                (void) log_errno(LOG_LEVEL_WARNING, k, "Could not take another Index.MetadataFile=");
        documents_scan(r->documents);
        documents_queue_encode(r->documents);   /* each line states the TTL */
        free(r->own_index);
        free(r);
}

void documents_reconfigure(Documents *d, const RfcIndexLimits *limits, uint64_t max_file_size, uint64_t max_size,
                           const char *own_index) {
        rfc_index_set_limits(documents_lock(d), limits);
        documents_unlock(d);
        Reconfigure *r = calloc(1, sizeof(*r));
        char *copy = own_index ? strdup(own_index) : NULL;
        if (!r || (own_index && !copy)) {
                free(r);
                free(copy);
                log_warning("No memory to tell the disk worker of the new settings: it goes on with the old ones.");
                return;
        }
        *r = (Reconfigure){
                .message = { .run = run_reconfigure },
                .documents = d,
                .max_file_size = max_file_size,
                .max_size = max_size,
                .own_index = copy,
        };
        worker_post(d->conf.disk, &r->message);
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
