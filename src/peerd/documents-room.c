/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Room in the library: Store.MaxSize=, what goes to keep to it, and when documents were last read.
 */
#include <errno.h>

#include "core/evict.h"
#include "io/conf-values.h"
#include "io/log.h"
#include "io/loop.h"
#include "peerd/documents-internal.h"

/* What else waits for the disk worker waits at most this much longer. */
#define TRIM_SLICE_USEC (20 * USEC_PER_MSEC)
/* Documents looked at per hold of the lock: some 200 µs. */
#define ROOM_SLICE 256
/* So many records of one number are looked at for another holder: those that speak for themselves come first. */
#define HOLDERS_SLICE 16
/* What is lost with the power is when documents were read since: they go a little too soon. */
#define SAVE_READS_USEC (5 * USEC_PER_MINUTE)

/* ---- what may go ---- */

/* Does anybody say that he holds this very text? Under the lock. */
static bool is_last_copy(const Documents *d, uint32_t number, const Now *now) {
        RfcRecord own, records[HOLDERS_SLICE];
        size_t n = MIN_OF(rfc_index_find(d->index, number, now, records, HOLDERS_SLICE), (size_t) HOLDERS_SLICE);

        if (!rfc_index_get_own(d->index, number, &own))
                return true;
        for (size_t i = 0; i < n; i++)
                if (records[i].first_hand && digest_equal(&records[i].digest, &own.digest))
                        return false;
        return true;
}

/* Also as one of those that Store.MinReplicas= is about: that goes only if somebody says so. Under the lock. */
static bool is_counted_on(const Documents *d, uint32_t number, const Now *now) {
        return is_last_copy(d, number, now) || documents_keeps_copy(d, number, now);
}

typedef struct Room {
        EvictCandidate *candidates;     /* owned */
        size_t n, allocated;
} Room;

static void room_done(Room *r) {
        free(r->candidates);
}

static int room_add(Room *r, const Stamped *s) {
        if (r->n == r->allocated) {
                const size_t wanted = r->allocated == 0 ? ROOM_SLICE : 2 * r->allocated;
                EvictCandidate *p = reallocarray(r->candidates, wanted, sizeof(*p));

                if (!p)
                        return -ENOMEM;
                r->candidates = p;
                r->allocated = wanted;
        }
        r->candidates[r->n++] = (EvictCandidate){ s->number, s->stamp.size, s->read_at };
        return 0;
}

/* As it stands now; each is asked again when its turn comes. */
static int room_collect(Room *r, Documents *d, const Now *now) {
        uint32_t after = 0;
        bool more = true;
        int k = 0;

        while (more && k == 0) {
                pthread_mutex_lock(&d->lock);
                for (unsigned i = 0; i < ROOM_SLICE && k == 0; i++) {
                        const Stamped *s = documents_next_stamp(d, after);
                        more = s;
                        if (!s)
                                break;
                        after = s->number;
                        if (!s->pinned && !is_counted_on(d, s->number, now))
                                k = room_add(r, s);
                }
                pthread_mutex_unlock(&d->lock);
        }
        return k;
}

/*
 * Asks and takes it out of the index in one: nobody may become the last holder in between. The file follows; it can't
 * be seen any more, and who reads it has it open.
 */
int documents_evict(Documents *d, uint32_t number, bool force) {
        LogFields f = { .operation = "evict", .result = "ok", .rfc = number, .has_size = true, .source = "local" };
        int k = 0;
        Now now;

        now_read(&now);
        pthread_mutex_lock(&d->lock);
        const Stamped *s = documents_find_stamp(d, number);
        if (s && !force && s->pinned)
                k = DOCUMENTS_PINNED;
        else if (s && !force && is_last_copy(d, number, &now))
                k = DOCUMENTS_LAST_COPY;
        else if (s) {
                f.size = s->stamp.size;
                (void) rfc_index_remove_own(d->index, number);  /* library_evict() puts it back if it fails */
        }
        pthread_mutex_unlock(&d->lock);
        if (k != 0)
                return k;
        k = library_evict(d->library, number);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "RFC %u could not be removed from the library", number);
        if (k == LIBRARY_NONE)
                return DOCUMENTS_NONE;
        documents_queue_encode(d);
        log_entry(LOG_LEVEL_INFO, LOG_EVENT_STORE_FULL, &f, "RFC %u evicted, %llu bytes.", number,
                  (unsigned long long) f.size);
        return 0;
}

/* ---- keeping to the limit ---- */

/* How many bytes there would be too many, with so many more. */
static uint64_t excess(Documents *d, uint64_t more) {
        const uint64_t limit = documents_max_size(d);
        uint64_t bytes;
        size_t n;

        documents_count(d, &n, &bytes);
        bytes += library_reserved(d->library) + more;
        return bytes > limit ? bytes - limit : 0;
}

/*
 * In their order, until the time is over. Gives how many went: one may not be allowed to go any more, or the file could
 * not be removed.
 */
static size_t evict_first(Documents *d, const Room *r, size_t n, usec_t until) {
        size_t n_evicted = 0;

        for (size_t i = 0; i < n; i++) {
                n_evicted += documents_evict(d, r->candidates[i].number, false) == 0;
                if (boottime_read() >= until)
                        break;
        }
        return n_evicted;
}

static void warn_full(Documents *d, const char *limit) {
        const LogFields f = { .operation = "evict", .result = "full", .limit = "Store.MaxSize" };
        uint64_t bytes;
        size_t n;

        if (d->told_full)
                return;
        d->told_full = true;
        documents_count(d, &n, &bytes);
        log_entry(LOG_LEVEL_WARNING, LOG_EVENT_STORE_FULL, &f,
                  "The library has %llu bytes, more than Store.MaxSize=%s, and nothing more of it may be evicted: "
                  "what is left is pinned, or no other holder of it is known.",
                  (unsigned long long) bytes, limit);
}

static void run_trim(Message *m) {
        Documents *d = MESSAGE_OF(m, Documents, trim_message);
        _cleanup_(room_done) Room room = {};
        char limit[32];
        uint64_t need = excess(d, 0);
        size_t n = 0;
        Now now;

        d->trim_queued = false;
        if (need == 0) {
                d->told_full = false;
                return;
        }
        now_read(&now);
        int k = room_collect(&room, d, &now);
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_WARNING, k, "The library is over its limit, and could not be looked through");
                return;
        }
        k = evict_plan(room.candidates, room.n, need, &n);
        if (k == EVICT_NOT_ENOUGH)
                n = room.n;
        if (evict_first(d, &room, n, usec_add(now.boottime, TRIM_SLICE_USEC)) == 0) {
                conf_format_size(documents_max_size(d), limit, sizeof(limit));
                warn_full(d, limit);
        } else
                documents_queue_trim(d);
}

void documents_queue_trim(Documents *d) {
        if (d->trim_queued)
                return;
        d->trim_queued = true;
        d->trim_message.run = run_trim;
        worker_post(d->conf.disk, &d->trim_message);
}

/* 0, -EDQUOT, -ENOMEM. */
static int make_room(Documents *d, uint64_t size) {
        _cleanup_(room_done) Room room = {};
        uint64_t need = excess(d, size);
        size_t n;
        Now now;

        if (need == 0)
                return 0;
        if (size > documents_max_size(d))
                return -EDQUOT;
        now_read(&now);
        int k = room_collect(&room, d, &now);
        if (k < 0)
                return k;
        if (evict_plan(room.candidates, room.n, need, &n) == EVICT_NOT_ENOUGH)
                return -EDQUOT;
        (void) evict_first(d, &room, n, USEC_INFINITY);        /* what counts is the room */
        return excess(d, size) > 0 ? -EDQUOT : 0;
}

int documents_store_begin(Documents *d, uint32_t number, uint64_t size, const Digest *digest, Slice title,
                          LibraryFile **ret) {
        LogFields f = { .operation = "store", .result = "no-space", .rfc = number, .has_size = true, .size = size,
                        .limit = "Store.MaxSize" };
        char limit[32];
        int k = make_room(d, size);

        if (k == -EDQUOT) {
                conf_format_size(documents_max_size(d), limit, sizeof(limit));
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_STORE_FULL, &f,
                          "RFC %u, %llu bytes, does not fit into the library: Store.MaxSize=%s, and not enough of it may be "
                          "evicted.", number, (unsigned long long) size, limit);
        }
        if (k < 0)
                return k;
        k = library_store_begin(d->library, number, size, digest, title, ret);
        return k == -EDQUOT ? -ENOSPC : k;
}

/* ---- when they were read ---- */

void documents_save_reads(Documents *d) {
        uint32_t after = 0;
        bool more = true;

        while (more) {
                struct { uint32_t number; usec_t read_at; } reads[ROOM_SLICE];
                size_t n = 0;

                pthread_mutex_lock(&d->lock);
                for (unsigned i = 0; i < ROOM_SLICE; i++) {
                        Stamped *s = documents_next_stamp(d, after);
                        more = s;
                        if (!s)
                                break;
                        after = s->number;
                        if (!s->unsaved)
                                continue;
                        s->unsaved = false;
                        reads[n].number = s->number;
                        reads[n++].read_at = s->read_at;
                }
                pthread_mutex_unlock(&d->lock);
                for (size_t i = 0; i < n; i++)
                        library_set_read(d->library, reads[i].number, reads[i].read_at);
        }
        library_flush(d->library);
}

static void run_save_reads(Message *m) {
        Documents *d = MESSAGE_OF(m, Documents, reads_message);

        atomic_store(&d->reads_queued, false);
        documents_save_reads(d);
}

static int on_save_reads(sd_event_source *s, uint64_t usec, void *userdata) {
        Documents *d = userdata;
        (void) usec;

        (void) loop_timer_set(s, usec_add(boottime_read(), SAVE_READS_USEC));
        if (atomic_exchange(&d->reads_queued, true))
                return 0;               /* the disk is that slow */
        d->reads_message.run = run_save_reads;
        worker_post(d->conf.disk, &d->reads_message);
        return 0;
}

int documents_start_saving(Documents *d) {
        int k = loop_timer_new(d->conf.event, on_save_reads, d, "reads", &d->reads_timer);

        if (k < 0)
                return k;
        return loop_timer_set(d->reads_timer, usec_add(boottime_read(), SAVE_READS_USEC));
}
