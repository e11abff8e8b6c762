/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which records of the RFC index are due: a wheel of one-second slots. A record whose life was prolonged stays where
 * it is, and is put into its new slot when the old one comes up. So a confirmation costs nothing, and each record is
 * touched once in a TTL.
 */
#include "core/rfc-index-internal.h"

static void slot_mark(RfcIndex *x, uint32_t slot, bool used) {
        uint64_t bit = UINT64_C(1) << slot % 64;
        if (used)
                x->wheel_used[slot / 64] |= bit;
        else
                x->wheel_used[slot / 64] &= ~bit;
}

/* The second at which to look at it: rounded up, ahead of the wheel, and within one turn. */
static uint32_t due_sec(const RfcIndex *x, const IndexRecord *rec) {
        usec_t expires_at = index_record_expires_at(x, rec);
        uint64_t sec = expires_at / USEC_PER_SEC + (expires_at % USEC_PER_SEC != 0);
        sec = MAX_OF(sec, (uint64_t) x->wheel_sec + 1);
        return (uint32_t) MIN_OF(sec, (uint64_t) x->wheel_sec + INDEX_WHEEL_SLOTS - 1);
}

static void due_link(RfcIndex *x, uint32_t id, uint32_t sec) {
        IndexRecord *rec = index_record(x, id);
        uint32_t slot = sec % INDEX_WHEEL_SLOTS;

        rec->due_sec = sec;
        rec->due_prev = 0;
        rec->due_next = x->wheel[slot];
        if (rec->due_next != 0)
                index_record(x, rec->due_next)->due_prev = id;
        x->wheel[slot] = id;
        slot_mark(x, slot, true);
}

void index_due_remove(RfcIndex *x, uint32_t id) {
        IndexRecord *rec = index_record(x, id);
        if (rec->due_next != 0)
                index_record(x, rec->due_next)->due_prev = rec->due_prev;
        if (rec->due_prev != 0) {
                index_record(x, rec->due_prev)->due_next = rec->due_next;
                return;
        }
        uint32_t slot = rec->due_sec % INDEX_WHEEL_SLOTS;
        x->wheel[slot] = rec->due_next;
        if (rec->due_next == 0)
                slot_mark(x, slot, false);
}

void index_due_add(RfcIndex *x, uint32_t id) {
        IndexRecord *rec = index_record(x, id);
        /* The first record since it was empty: the wheel stood still, and knows no clock. */
        if (x->records.n_items == 1)
                x->wheel_sec = (uint32_t) MIN_OF(rec->stated_at / USEC_PER_SEC, (usec_t) UINT32_MAX / 2);
        due_link(x, id, due_sec(x, rec));
}

void index_due_sooner(RfcIndex *x, uint32_t id) {
        uint32_t sec = due_sec(x, index_record(x, id));
        if (sec >= index_record(x, id)->due_sec)
                return;
        index_due_remove(x, id);
        due_link(x, id, sec);
}

/* The first second after wheel_sec whose slot has something in it; there is one. */
static uint32_t next_sec(const RfcIndex *x) {
        assert(x->records.n_items > 0);
        for (uint32_t ahead = 1;;) {
                uint32_t slot = (x->wheel_sec + ahead) % INDEX_WHEEL_SLOTS;
                uint64_t bits = x->wheel_used[slot / 64] >> slot % 64;
                if (bits != 0)
                        return x->wheel_sec + ahead + (uint32_t) __builtin_ctzll(bits);
                ahead += 64 - slot % 64;
                assert(ahead <= INDEX_WHEEL_SLOTS + 64);
        }
}

usec_t rfc_index_next_expiry(const RfcIndex *x) {
        if (x->records.n_items == 0)
                return USEC_INFINITY;
        if (x->forgotten.n > 0 || index_is_over(x))
                return 0;
        return next_sec(x) * USEC_PER_SEC;
}

bool rfc_index_expire(RfcIndex *x, const Now *now, size_t max_records) {
        uint64_t now_sec = now->boottime / USEC_PER_SEC;

        while (x->forgotten.n > 0) {
                if (max_records-- == 0)
                        return true;
                index_record_remove(x, x->forgotten.last);
        }

        while (x->records.n_items > 0 && next_sec(x) <= now_sec) {
                uint32_t sec = next_sec(x), id;
                /* One second short: what is put back now must not land in the slot that is being emptied. */
                x->wheel_sec = sec - 1;
                while ((id = x->wheel[sec % INDEX_WHEEL_SLOTS]) != 0) {
                        if (max_records-- == 0)
                                return true;
                        if (!index_record_alive(x, index_record(x, id), now)) {
                                index_record_remove(x, id);
                                continue;
                        }
                        index_due_remove(x, id);
                        due_link(x, id, due_sec(x, index_record(x, id)));
                }
                x->wheel_sec = sec;
        }
        x->wheel_sec = (uint32_t) MAX_OF(now_sec, (uint64_t) x->wheel_sec);

        /* The limit may have been lowered. */
        while (index_is_over(x)) {
                if (max_records-- == 0)
                        return true;
                index_evict(x);
        }
        return false;
}
