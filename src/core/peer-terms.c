/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/peer-terms.h"

static bool queue_is_empty(const PeerTermQueue *q) {
        return q->head == SLOT_NONE;
}

void peer_terms_init(PeerTerms *m) {
        *m = (PeerTerms){ 0 };
        for (size_t i = 0; i < ELEMENTSOF(m->queues); i++)
                m->queues[i].head = m->queues[i].tail = SLOT_NONE;
        for (size_t i = 0; i < ELEMENTSOF(m->restored); i++)
                m->restored[i].head = m->restored[i].tail = SLOT_NONE;
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

/* Empties `from` into `into`. */
static void queue_merge(PeerTermQueue *into, PeerTable *t, PeerTermQueue *from) {
        uint32_t a = into->head, b = from->head;

        into->head = into->tail = from->head = from->tail = SLOT_NONE;
        while (a != SLOT_NONE || b != SLOT_NONE) {
                bool take_b = a == SLOT_NONE ||
                              (b != SLOT_NONE && peer_table_at(t, b)->expires_at < peer_table_at(t, a)->expires_at);
                uint32_t *from_list = take_b ? &b : &a, slot = *from_list;

                *from_list = peer_table_at(t, slot)->term_next;
                queue_insert(into, t, into->tail, slot);
        }
}

void peer_terms_restore(PeerTerms *m, PeerTable *t, uint32_t slot) {
        PeerTermQueue carry = { .head = SLOT_NONE, .tail = SLOT_NONE };
        size_t i;

        queue_insert(&carry, t, SLOT_NONE, slot);
        for (i = 0; i < ELEMENTSOF(m->restored) - 1 && !queue_is_empty(&m->restored[i]); i++)
                queue_merge(&carry, t, &m->restored[i]);
        queue_merge(&m->restored[i], t, &carry);
        m->n_restored = MAX_OF(m->n_restored, i + 1);
        m->n++;
}

/* The queue whose head or tail (whichever `end` tells) is this slot: only these few need to be told of a removal. */
static PeerTermQueue *queue_of_end(PeerTerms *m, bool tail, uint32_t slot) {
        for (size_t i = 0; i < m->n_queues; i++)
                if ((tail ? m->queues[i].tail : m->queues[i].head) == slot)
                        return &m->queues[i];
        for (size_t i = 0; i < m->n_restored; i++)
                if ((tail ? m->restored[i].tail : m->restored[i].head) == slot)
                        return &m->restored[i];
        assert(false);
        return NULL;
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
        for (size_t i = 0; i < m->n_restored; i++)
                take_earlier(t, &m->restored[i], &first);
        return first;
}
