/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/rate.h"

#include <bsd/sys/queue.h>
#include <errno.h>

typedef struct Source {
        Address address;                /* as address_source() gives it */
        Bucket bucket;
        LIST_ENTRY(Source) slot_link;   /* in its hash slot */
        TAILQ_ENTRY(Source) use_link;   /* in `by_use` */
} Source;

LIST_HEAD(Slot, Source);
TAILQ_HEAD(UseList, Source);

struct RateTable {
        uint32_t per_sec, burst;
        uint64_t hash_key[2];
        usec_t seen_at;                 /* boottime of the last take */
        size_t max_sources, n_sources;
        Source *sources;                /* owned: max_sources of them, the first n_sources in use */
        struct Slot *slots;             /* owned: max_sources of them */
        struct UseList by_use;          /* the one used last comes first */
};

/* What one token takes to flow in. Beyond a million a second it is nothing: no limit. */
static usec_t token_usec(uint32_t per_sec) {
        return per_sec > 0 ? USEC_PER_SEC / per_sec : 0;
}

bool bucket_take(Bucket *b, uint32_t per_sec, uint32_t burst, const Now *now) {
        usec_t token = token_usec(per_sec), full_at = MAX_OF(b->full_at, now->boottime);

        if (token == 0)
                return true;
        full_at = usec_add(full_at, token);
        if (full_at - now->boottime > burst * token)
                return false;
        b->full_at = full_at;
        return true;
}

static void table_empty(RateTable *t) {
        TAILQ_INIT(&t->by_use);
        for (size_t i = 0; i < t->max_sources; i++)
                LIST_INIT(&t->slots[i]);
        t->n_sources = 0;
}

int rate_table_new(size_t n_sources, uint32_t per_sec, uint32_t burst, const uint64_t hash_key[2], RateTable **ret) {
        _cleanup_(rate_table_free_p) RateTable *t = NULL;

        assert(n_sources > 0);

        t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        t->per_sec = per_sec;
        t->burst = burst;
        memcpy(t->hash_key, hash_key, sizeof(t->hash_key));
        t->max_sources = n_sources;
        t->sources = calloc(n_sources, sizeof(*t->sources));
        t->slots = calloc(n_sources, sizeof(*t->slots));
        if (!t->sources || !t->slots)
                return -ENOMEM;
        table_empty(t);

        *ret = TAKE_PTR(t);
        return 0;
}

RateTable *rate_table_free(RateTable *t) {
        if (t) {
                free(t->sources);
                free(t->slots);
                free(t);
        }
        return NULL;
}

/* The same number of tokens at new limits; what is over the new burst is lost. */
static void bucket_convert(Bucket *b, const RateTable *t, uint32_t per_sec, uint32_t burst) {
        uint64_t missing = usec_sub(b->full_at, t->seen_at), level;

        if (token_usec(t->per_sec) > 0)
                missing = (missing + token_usec(t->per_sec) - 1) / token_usec(t->per_sec);
        level = MIN_OF(usec_sub(t->burst, missing), burst);
        b->full_at = usec_add(t->seen_at, (burst - level) * token_usec(per_sec));
}

void rate_table_set(RateTable *t, uint32_t per_sec, uint32_t burst) {
        /* Without a limit nothing was counted, and nothing will be. */
        if (token_usec(t->per_sec) == 0 || token_usec(per_sec) == 0)
                table_empty(t);
        for (size_t i = 0; i < t->n_sources; i++)
                bucket_convert(&t->sources[i].bucket, t, per_sec, burst);
        t->per_sec = per_sec;
        t->burst = burst;
}

/* The place of a new source: a free one, or that of the source that has not been seen for longest. */
static Source *table_place(RateTable *t) {
        Source *s;

        if (t->n_sources < t->max_sources)
                return &t->sources[t->n_sources++];

        s = TAILQ_LAST(&t->by_use, UseList);
        TAILQ_REMOVE(&t->by_use, s, use_link);
        LIST_REMOVE(s, slot_link);
        return s;
}

bool rate_table_take(RateTable *t, const Address *address, const Now *now) {
        const Address key = address_source(address);
        struct Slot *slot;
        Source *s;

        if (token_usec(t->per_sec) == 0)
                return true;

        t->seen_at = now->boottime;
        slot = &t->slots[bytes_hash(key.bytes, sizeof(key.bytes), t->hash_key) % t->max_sources];
        LIST_FOREACH(s, slot, slot_link)
                if (address_equal(&s->address, &key))
                        break;

        if (s)
                TAILQ_REMOVE(&t->by_use, s, use_link);
        else {
                s = table_place(t);
                *s = (Source){ .address = key };
                LIST_INSERT_HEAD(slot, s, slot_link);
        }
        TAILQ_INSERT_HEAD(&t->by_use, s, use_link);
        return bucket_take(&s->bucket, t->per_sec, t->burst, now);
}

size_t rate_table_count(const RateTable *t) {
        return t->n_sources;
}

/* ---- a flow ---- */

size_t flow_piece(const Flow *f) {
        return (size_t) MIN_OF(MAX_OF(f->per_sec / 20, (uint64_t) FLOW_PIECE_MIN), (uint64_t) FLOW_PIECE_MAX);
}

usec_t flow_take(Flow *f, size_t n, const Now *now) {
        if (f->per_sec == FLOW_UNLIMITED)
                return now->boottime;
        usec_t at = MAX_OF(f->free_at, usec_sub(now->boottime, FLOW_BURST_USEC));
        f->free_at = usec_add(at, n * USEC_PER_SEC / f->per_sec);
        return MAX_OF(at, now->boottime);
}
