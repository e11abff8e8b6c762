/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * OwnIndex: the encoded own index, as download threads send it; made in the disk worker, which alone changes own
 * records: what it walks over stands still.
 */
#include <errno.h>

#include "core/proto.h"
#include "io/libcrypto.h"
#include "io/log.h"
#include "io/loop.h"
#include "peerd/documents-internal.h"

/*
 * So many times as long as it took it is not done again: it takes some milliseconds with ten thousand documents, and nothing
 * with ten. A machine that is busy makes it take longer: who asks is not to wait for that.
 */
#define ENCODE_PAUSE 20
#define ENCODE_PAUSE_MAX_USEC (100 * USEC_PER_MSEC)

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
        index_changes_free(o->changes);
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

OwnIndex *own_index_new(void) {
        OwnIndex *o = calloc(1, sizeof(*o));
        if (o) {
                atomic_init(&o->n_refs, 1);
                o->body = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        }
        return o;
}

static int encode_slice(Documents *d, OwnIndex *o, EVP_MD_CTX *hash, uint32_t *after) {
        _cleanup_buf_ Buf covered = BUF_INIT(PROTO_INDEX_BYTES_MAX);

        pthread_mutex_lock(&d->lock);
        int k = rfc_index_encode_own(d->index, after, DOCUMENTS_ENCODE_SLICE, &o->body, &covered);
        o->generation = rfc_index_generation(d->index);
        pthread_mutex_unlock(&d->lock);
        if (k == RFC_INDEX_TOO_LARGE)
                return -EMSGSIZE;
        if (k >= 0 && !EVP_DigestUpdate(hash, covered.data, covered.size))
                return -ENOMEM;
        return k;
}

static int encode_changes(Documents *d, OwnIndex *o) {
        int k = index_changes_new(&o->changes);
        if (k < 0)
                return k;
        do {
                k = index_changes_step(o->changes, documents_lock(d), DOCUMENTS_ENCODE_SLICE);
                documents_unlock(d);
        } while (k == RFC_INDEX_MORE);
        if (k == 0)
                index_changes_end(o->changes, buf_slice(&o->body));
        return k;
}

static int encode_own(Documents *d, OwnIndex *o) {
        EVP_MD_CTX *hash = NULL;
        uint32_t after = 0;
        int k = libcrypto_sha256_new(&hash);

        if (k < 0)
                return k;
        do
                k = encode_slice(d, o, hash, &after);
        while (k == RFC_INDEX_MORE);
        if (k == 0 && !EVP_DigestFinal_ex(hash, o->digest.bytes, NULL))
                k = -ENOMEM;
        EVP_MD_CTX_free(hash);
        return k == 0 ? encode_changes(d, o) : k;
}

int documents_refresh_own(Documents *d) {
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

static void run_encode(Message *m);

static int on_encode_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Documents *d = userdata;
        (void) s;
        (void) usec;
        d->encode_message.run = run_encode;
        worker_post(d->conf.disk, &d->encode_message);
        return 0;
}

static void run_wait(Message *m) {
        Documents *d = MESSAGE_OF(m, Documents, encode_message);
        (void) loop_timer_set(d->encode_timer, d->encode_at);
}

static void run_encode(Message *m) {
        Documents *d = MESSAGE_OF(m, Documents, encode_message);
        const usec_t begin = boottime_read();

        if (begin < d->encode_at) {     /* it stays queued */
                m->run = run_wait;
                mailbox_post(d->conf.main, m);
                return;
        }
        d->encode_queued = false;
        (void) documents_refresh_own(d);        /* logged */
        const usec_t end = boottime_read();
        d->encode_at = usec_add(end, MIN_OF(ENCODE_PAUSE * usec_sub(end, begin), ENCODE_PAUSE_MAX_USEC));
}

int documents_start_encoding(Documents *d) {
        return loop_timer_new(d->conf.event, on_encode_timer, d, "own-index", &d->encode_timer);
}

void documents_queue_encode(Documents *d) {
        if (d->encode_queued)
                return;
        d->encode_queued = true;
        d->encode_message.run = run_encode;
        worker_post(d->conf.disk, &d->encode_message);
}
