/* SPDX-License-Identifier: BSD-2-Clause */
#include "rsd/rsd.h"

#include <errno.h>

#include "core/buf.h"
#include "io/log.h"

/*
 * Changes of one transaction. A million peers' KeepAlives are half as many in 5 s; where there are more, the next
 * transaction follows at once. Copying them keeps the main loop busy, and among a million each is in no cache.
 */
#define BATCH_MAX 4096

/* One transaction: copies, so that the list goes on changing meanwhile. */
typedef struct Batch {
        Message message;
        Rsd *rsd;
        RegistryDbBatch db;
        PeerInfo *records;              /* owned; host points into names */
        uint32_t *deleted;              /* owned */
        Buf names;
        int result;
        bool complete;                  /* no registration is left that it does not hold */
        bool full;                      /* there may be more */
} Batch;

static Batch *batch_free(Batch *b) {
        if (!b)
                return NULL;
        free(b->records);
        free(b->deleted);
        buf_done(&b->names);
        free(b);
        return NULL;
}
DEFINE_CLEANUP(Batch *, batch_free)

static int batch_add(Batch *b, const PeerInfo *info) {
        size_t at = b->names.size;
        int k = buf_append(&b->names, info->host, strlen(info->host) + 1);
        if (k != 0)
                return -ENOMEM;
        PeerInfo *copy = &b->records[b->db.n_records++];
        *copy = *info;
        copy->host = (const char *) (uintptr_t) at;     /* an offset until the buffer stands still */
        return 0;
}

static int batch_new(Rsd *r, Batch **ret) {
        _cleanup_(batch_free_p) Batch *b = calloc(1, sizeof(*b));
        _cleanup_free_ uint32_t *ids = reallocarray(NULL, BATCH_MAX, sizeof(*ids));
        PeerInfo info;

        if (!b || !ids)
                return -ENOMEM;
        b->rsd = r;
        b->names = BUF_INIT(SIZE_MAX / 2);
        size_t n = peer_list_take_changes(r->list, ids, BATCH_MAX);
        b->full = n == BATCH_MAX;
        b->complete = !peer_list_has_urgent_changes(r->list);
        b->records = reallocarray(NULL, MAX_OF(n, (size_t) 1), sizeof(*b->records));
        b->deleted = reallocarray(NULL, MAX_OF(n, (size_t) 1), sizeof(*b->deleted));
        int k = b->records && b->deleted ? 0 : -ENOMEM;
        for (size_t i = 0; k == 0 && i < n; i++) {
                if (peer_list_get(r->list, ids[i], &info))
                        k = batch_add(b, &info);
                else
                        b->deleted[b->db.n_deleted++] = ids[i];
        }
        if (k < 0) {
                for (size_t i = 0; i < n; i++)
                        peer_list_put_back_change(r->list, ids[i]);
                return k;
        }
        for (size_t i = 0; i < b->db.n_records; i++)
                b->records[i].host = b->names.data + (uintptr_t) b->records[i].host;
        b->db.records = b->records;
        b->db.deleted_ids = b->deleted;
        b->db.last_id = peer_list_last_id(r->list);
        b->db.boot_id = r->boot_id;
        now_read(&b->db.now);
        *ret = TAKE_PTR(b);
        return 0;
}

/* ---- in the commit thread ---- */

static void run_committed(Message *m);

static void run_write(Message *m) {
        Batch *b = MESSAGE_OF(m, Batch, message);
        b->result = registry_db_write(b->rsd->db, &b->db);
        m->run = run_committed;
        mailbox_post(b->rsd->mailbox, m);
}

/* ---- in the main loop ---- */

static void release_all(Rsd *r, int error) {
        Client *c;
        while ((c = TAILQ_FIRST(&r->committing))) {
                TAILQ_REMOVE(&r->committing, c, wait_link);
                serve_release(c, error);
        }
}

/* Failures are told once; what was in the batch is tried again with the next, within RSD_FLUSH_USEC. */
static void tell_result(Rsd *r, int result) {
        if (result < 0 && result != r->commit_error)
                (void) log_errno(LOG_LEVEL_ERR, result, "Could not write registrations to disk");
        else if (result == 0 && r->commit_error < 0)
                log_notice("Registrations can be written to disk again.");
        r->commit_error = result;
}

/* The commit thread is done with it. */
static void take_back(Rsd *r, const Batch *b) {
        r->under_way = NULL;
        tell_result(r, b->result);
        if (b->result < 0)
                for (size_t i = 0; i < b->db.n_records; i++)
                        peer_list_put_back_change(r->list, b->records[i].id);
}

static void run_committed(Message *m) {
        _cleanup_(batch_free_p) Batch *b = MESSAGE_OF(m, Batch, message);
        Rsd *r = b->rsd;

        take_back(r, b);
        if (b->complete || b->result < 0)
                release_all(r, b->result);
        if ((b->full && b->result == 0) || !TAILQ_EMPTY(&r->waiting) || !TAILQ_EMPTY(&r->committing))
                commit_flush(r);
}

void commit_flush(Rsd *r) {
        Client *c;
        Batch *b;

        if (r->under_way || !peer_list_has_changes(r->list))
                return;
        while ((c = TAILQ_FIRST(&r->waiting))) {
                TAILQ_REMOVE(&r->waiting, c, wait_link);
                c->state = CLIENT_COMMITTING;
                TAILQ_INSERT_TAIL(&r->committing, c, wait_link);
        }
        int k = batch_new(r, &b);
        if (k < 0) {
                tell_result(r, k);
                release_all(r, k);
                return;
        }
        r->under_way = b;
        b->message.run = run_write;
        worker_post(r->commit, &b->message);
}

void commit_wait(Rsd *r, Client *c) {
        c->state = CLIENT_WAITING;
        TAILQ_INSERT_TAIL(&r->waiting, c, wait_link);
        commit_flush(r);
}

/* ---- the watchdog's question ---- */

typedef struct Ping {
        Message message;
        Rsd *rsd;
        uint64_t number;
        int result;
} Ping;

static void run_pinged(Message *m) {
        Ping *p = MESSAGE_OF(m, Ping, message);
        if (p->result < 0)
                log_entry(LOG_LEVEL_CRIT, LOG_EVENT_SELF_CHECK_FAILED, NULL,
                          "Self-check failed, the database can't be read: %s.",
                          strerror(-p->result));
        else
                watchdog_answered(p->rsd->watchdog, p->number);
        free(p);
}

static void run_ping(Message *m) {
        Ping *p = MESSAGE_OF(m, Ping, message);
        p->result = registry_db_check(p->rsd->db);
        m->run = run_pinged;
        mailbox_post(p->rsd->mailbox, m);
}

void commit_ping(uint64_t number, void *userdata) {
        Rsd *r = userdata;
        Ping *p = calloc(1, sizeof(*p));
        if (!p)
                return;         /* an answer that does not come is an answer, too */
        *p = (Ping){ .message = { .run = run_ping }, .rsd = r, .number = number };
        worker_post(r->commit, &p->message);
}

/* ---- start and end ---- */

static int restore(const PeerInfo *info, void *userdata) {
        Rsd *r = userdata;
        return peer_list_restore(r->list, info);
}

/* All records into the list. 0, -errno. */
static int load_list(Rsd *r, const Now *now, RegistryDbLoaded *ret) {
        size_t n;
        int k = registry_db_count(r->db, &n);
        if (k == 0)
                k = peer_list_restore_begin(r->list, n);
        if (k == 0)
                k = registry_db_load(r->db, &r->boot_id, now, restore, r, ret);
        return k == 0 ? peer_list_restore_end(r->list) : k;
}

int commit_load(Rsd *r, const char *path) {
        RegistryDbLoaded loaded;
        Now now;

        r->boot_id = boot_id_get();
        int k = registry_db_open(path, &r->db);
        if (k == REGISTRY_DB_DAMAGED)
                log_warning("%s was damaged: it was moved aside, and all peers have to register anew.", path);
        if (k == -EBUSY)
                log_error("%s is in use by another process.", path);
        else if (k < 0)
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not open %s", path);
        if (k < 0)
                return k;
        now_read(&now);
        k = load_list(r, &now, &loaded);
        if (k != 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not read %s", path);
        if (loaded.last_id > 0)
                peer_list_set_last_id(r->list, loaded.last_id);
        if (loaded.n_skipped > 0)
                log_warning("%zu records in %s make no sense and were left out.", loaded.n_skipped, path);
        log_info("%zu peers known from %s%s.", loaded.n_loaded, path,
                 loaded.same_boot || loaded.n_loaded == 0 ? "" : ", leases go on after a reboot");
        return 0;
}

int commit_start(Rsd *r) {
        return worker_new("commit", &r->commit);
}

void commit_finish(Rsd *r) {
        Batch *b;
        if (r->commit) {
                r->commit = worker_free(r->commit);     /* what was queued is written */
                if ((b = r->under_way)) {
                        take_back(r, b);        /* nobody runs its message any more */
                        batch_free(b);
                }
                while (peer_list_has_changes(r->list) && batch_new(r, &b) == 0) {
                        int k = registry_db_write(r->db, &b->db);
                        batch_free(b);
                        if (k < 0) {
                                (void) log_errno(LOG_LEVEL_ERR, k, "Could not write registrations to disk");
                                break;
                        }
                }
        }
        registry_db_close(r->db);
        r->db = NULL;
}
