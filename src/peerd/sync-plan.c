/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/sync-internal.h"

#include "core/trust.h"
#include "io/loop.h"

/* The lock is given back after this. */
#define SLICE_USEC (USEC_PER_MSEC / 2)
/* Rarity is told up to here. */
#define HOLDERS_COUNTED_MAX 64

/* The next number > after that is meant; 0: none. Under the lock, so it goes from range to range. */
static uint32_t next_number(const Sync *s, const RfcIndex *x, uint32_t after, const Now *now) {
        if (s->ranges.n_ranges == 0)
                return rfc_index_next_number(x, after, now);
        for (size_t i = 0; i < s->ranges.n_ranges; i++) {
                const RfcRange *range = &s->ranges.ranges[i];
                if (range->last <= after)
                        continue;
                uint32_t n = rfc_index_next_number(x, MAX_OF(after, range->first - 1), now);
                if (n == 0 || n <= range->last)
                        return n;
                after = n - 1;
        }
        return 0;
}

/* Holders that state this text themselves: up to HOLDERS_COUNTED_MAX of them. *ret_n_dialled: those that may be asked. */
static size_t find_holders(const Sync *s, const RfcIndex *x, uint32_t number, const Digest *digest, const Now *now,
                           Endpoint ret[HOLDERS_COUNTED_MAX], uint32_t *ret_n_dialled) {
        RfcRecord records[HOLDERS_COUNTED_MAX];
        const Client *c = s->client;
        size_t n_holders = 0;

        size_t n = rfc_index_find(x, number, now, records, ELEMENTSOF(records));
        *ret_n_dialled = 0;
        for (size_t i = 0; i < MIN_OF(n, ELEMENTSOF(records)); i++) {
                if (!records[i].first_hand || !digest_equal(&records[i].digest, digest))
                        continue;
                ret[n_holders++] = records[i].holder;
                *ret_n_dialled += holders_may_dial(c->holders, &records[i].holder, client_servers_away(c), now);
        }
        return n_holders;
}

/* 0, -ENOMEM. */
static int look_at(Sync *s, const RfcIndex *x, const RfcMeta *meta, const TrustConf *trust, uint32_t number,
                   const Now *now) {
        Endpoint holders[HOLDERS_COUNTED_MAX];
        RfcRecord own;
        TrustText text;

        ReplicateCandidate c = { .number = number, .held = rfc_index_get_own(x, number, &own) };
        if (c.held) {
                c.size = own.size;
                return replicate_plan_add(&s->plan, &c);
        }
        if (trust_texts(x, trust, number, now, &text, 1) == 0)
                return 0;       /* it has just expired */
        const RfcStanding standing = rfc_meta_standing(meta, number);
        size_t n = find_holders(s, x, number, &text.digest, now, holders, &c.n_holders);
        c.size = text.size;
        c.issued = standing == RFC_CURRENT || standing == RFC_OBSOLETE;
        c.agreed = text.grade >= GRADE_AGREED;
        c.disputed = text.grade == GRADE_DISPUTED;
        if (s->replicas && (c.disputed || (!c.issued && !c.agreed)))
                return 0;
        int k = s->replicas ? replicas_take(s, number, holders, n) : 1;
        return k <= 0 ? k : replicate_plan_add(&s->plan, &c);
}

int sync_plan_step(Sync *s, const Now *now) {
        Documents *d = s->client->conf.documents;
        Now begin, at;
        int k = 1;

        RfcIndex *x = documents_lock(d);
        now_read(&begin);
        do {
                uint32_t number = next_number(s, x, s->number, now);
                if (number == 0) {
                        k = 0;
                        break;
                }
                s->number = number;
                k = look_at(s, x, documents_meta(d), documents_trust(d), number, now);
                if (k < 0)
                        break;
                k = 1;
                now_read(&at);
        } while (at.boottime - begin.boottime < SLICE_USEC);
        documents_unlock(d);
        return k;
}
