/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/peer-terms.h"

#include <errno.h>

static bool queue_is_empty(const PeerTermQueue *q) {
        return q->head == SLOT_NONE;
}

void peer_terms_init(PeerTerms *m) {
        *m = (PeerTerms){ 0 };
        for (size_t i = 0; i < ELEMENTSOF(m->queues); i++)
                m->queues[i].head = m->queues[i].tail = SLOT_NONE;
        m->restored.head = m->restored.tail = SLOT_NONE;
}

/* Behind `previous`, SLOT_NONE: first. */
static void queue_insert(PeerTermQueue *q, PeerTable *t, uint32_t previous, uint32_t slot) {
        PeerRecord *p = peer_table_at(t, slot);
        uint32_t next = previous == SLOT_NONE ? q->head : peer_table_at(t, previous)->term_next;

        p->term_previous = previous;
        p->term_next = next;
        if (previous == SLOT_NONE)
                q->head = slot;
        else
                peer_table_at(t, previous)->term_next = slot;
        if (next == SLOT_NONE)
                q->tail = slot;
        else
                peer_table_at(t, next)->term_previous = slot;
}

static PeerTermQueue *queue_for(PeerTerms *m, usec_t length_usec) {
        PeerTermQueue *empty = NULL;

        for (size_t i = 0; i < m->n_queues; i++) {
                PeerTermQueue *q = &m->queues[i];

                if (queue_is_empty(q))
                        empty = empty ?: q;
                else if (q->length_usec == length_usec)
                        return q;
        }
        if (!empty && m->n_queues < ELEMENTSOF(m->queues))
                empty = &m->queues[m->n_queues++];
        /* More lengths than queues: shared, and put in order below; right, only not as quick. */
        if (!empty)
                return &m->queues[ELEMENTSOF(m->queues) - 1];
        empty->length_usec = length_usec;
        return empty;
}

void peer_terms_start(PeerTerms *m, PeerTable *t, uint32_t slot, usec_t now, usec_t length_usec) {
        PeerTermQueue *q = queue_for(m, length_usec);
        PeerRecord *p = peer_table_at(t, slot);
        uint32_t previous = q->tail;

        p->expires_at = usec_add(now, length_usec);
        while (previous != SLOT_NONE && peer_table_at(t, previous)->expires_at > p->expires_at)
                previous = peer_table_at(t, previous)->term_previous;
        queue_insert(q, t, previous, slot);
        m->n++;
}

void peer_terms_restore(PeerTerms *m, PeerTable *t, uint32_t slot) {
        queue_insert(&m->restored, t, m->restored.tail, slot);
        m->n++;
}

/* A record of the queue that is sorted: what is compared lies together, where the records are a miss each. */
typedef struct Term {
        usec_t expires_at;
        uint32_t slot;
} Term;

static int term_compare(const void *a, const void *b) {
        const Term *x = a, *y = b;

        if (x->expires_at != y->expires_at)
                return x->expires_at < y->expires_at ? -1 : 1;
        return x->slot < y->slot ? -1 : x->slot > y->slot;
}

int peer_terms_sort_restored(PeerTerms *m, PeerTable *t) {
        enum { AHEAD = 16 };
        _cleanup_free_ Term *terms = NULL;
        size_t n = 0;

        if (queue_is_empty(&m->restored))
                return 0;
        terms = reallocarray(NULL, m->n, sizeof(Term));
        if (!terms)
                return -ENOMEM;
        for (uint32_t slot = m->restored.head; slot != SLOT_NONE; slot = peer_table_at(t, slot)->term_next)
                terms[n++] = (Term){ .expires_at = peer_table_at(t, slot)->expires_at, .slot = slot };
        qsort(terms, n, sizeof(Term), term_compare);

        for (size_t i = 0; i < n; i++) {
                PeerRecord *p = peer_table_at(t, terms[i].slot);

                if (i + AHEAD < n)
                        __builtin_prefetch(&peer_table_at(t, terms[i + AHEAD].slot)->term_next, 1);
                p->term_previous = i > 0 ? terms[i - 1].slot : SLOT_NONE;
                p->term_next = i + 1 < n ? terms[i + 1].slot : SLOT_NONE;
        }
        m->restored.head = terms[0].slot;
        m->restored.tail = terms[n - 1].slot;
        return 0;
}

/* The queue whose head or tail (whichever `end` tells) is this slot: only these few need to be told of a removal. */
static PeerTermQueue *queue_of_end(PeerTerms *m, bool tail, uint32_t slot) {
        for (size_t i = 0; i < m->n_queues; i++)
                if ((tail ? m->queues[i].tail : m->queues[i].head) == slot)
                        return &m->queues[i];
        assert((tail ? m->restored.tail : m->restored.head) == slot);
        return &m->restored;
}

void peer_terms_remove(PeerTerms *m, PeerTable *t, uint32_t slot) {
        PeerRecord *p = peer_table_at(t, slot);
        uint32_t previous = p->term_previous, next = p->term_next;

        /* Both ends are looked for before either is changed: a queue of one is told by its slot alone. */
        PeerTermQueue *first = previous == SLOT_NONE ? queue_of_end(m, false, slot) : NULL;
        PeerTermQueue *last = next == SLOT_NONE ? queue_of_end(m, true, slot) : NULL;

        if (first)
                first->head = next;
        else
                peer_table_at(t, previous)->term_next = next;
        if (last)
                last->tail = previous;
        else
                peer_table_at(t, next)->term_previous = previous;
        p->term_previous = p->term_next = SLOT_NONE;
        m->n--;
}

static void take_earlier(const PeerTable *t, const PeerTermQueue *q, uint32_t *first) {
        if (queue_is_empty(q))
                return;
        if (*first == SLOT_NONE || peer_table_at(t, q->head)->expires_at < peer_table_at(t, *first)->expires_at)
                *first = q->head;
}

uint32_t peer_terms_first(const PeerTerms *m, const PeerTable *t) {
        uint32_t first = SLOT_NONE;

        for (size_t i = 0; i < m->n_queues; i++)
                take_earlier(t, &m->queues[i], &first);
        take_earlier(t, &m->restored, &first);
        return first;
}
