/* SPDX-License-Identifier: BSD-2-Clause */
/* What RFCQuery answers: the RFC index as a body. */
#include <errno.h>

#include "core/rfc-index-internal.h"

/* ---- own documents ---- */

static int encode_one(const RfcIndex *x, const IndexDoc *d, Buf *body, Buf *covered) {
        const IndexLine line = {
                .number = d->number,
                .ttl_sec = rfc_index_ttl_sec(x),
                .self = true,
                .size = d->size,
                .digest = d->digest,
                .title = { d->title, d->title_size },
        };
        size_t start = body->size;
        int r = proto_write_index_line(body, &line, false);
        if (r == 0)
                r = proto_write_digest_line(covered, d->number, d->size, &d->digest, line.title);
        if (r != 0)
                buf_truncate(body, start);
        return r == BUF_FULL ? RFC_INDEX_TOO_LARGE : r;
}

int rfc_index_encode_own(const RfcIndex *x, uint32_t *after, size_t max_records, Buf *body, Buf *covered) {
        if (x->n_own > PROTO_INDEX_RECORDS_MAX)
                return RFC_INDEX_TOO_LARGE;

        IndexOwn *o = *after < RFC_NUMBER_MAX ? index_own_at_least(x, *after + 1) : NULL;
        for (size_t n = 0; o && n < max_records; n++, o = index_own_next(o)) {
                int r = encode_one(x, index_doc(x, o->doc), body, covered);
                if (r != 0)
                        return r;
                *after = o->number;
        }
        return o ? RFC_INDEX_MORE : 0;
}

/* ---- own documents and hearsay ---- */

/* A record that may go into the answer. */
typedef struct Pick {
        uint32_t number;
        uint32_t ttl_sec;
        uint32_t doc;
        uint32_t size;                  /* of its line */
        uint32_t holder;                /* in Picks.holders */
} Pick;

typedef struct Holder {
        uint32_t rank;                  /* in the order of the texts */
        Endpoint endpoint;
        char text[ENDPOINT_TEXT_SIZE];
} Holder;

typedef struct Picks {
        Pick *picks;                    /* owned; by ascending number */
        size_t n, allocated;
        Holder *holders;                /* owned; [0] is this peer itself */
        size_t n_holders, allocated_holders;
        uint32_t *holder_of;            /* owned; from peer to holder; 0: has none yet */
        size_t n_room, room;            /* records and bytes that the answer can still take */
} Picks;

static void picks_done(Picks *p) {
        free(p->picks);
        free(p->holders);
        free(p->holder_of);
}

/* Room for item n in an array of `size` bytes each. */
static int grow(void **items, size_t n, size_t *allocated, size_t size) {
        if (n < *allocated)
                return 0;
        size_t wanted = MAX_OF(*allocated * 2, (size_t) 256);
        void *grown = reallocarray(*items, wanted, size);
        if (!grown)
                return -ENOMEM;
        *items = grown;
        *allocated = wanted;
        return 0;
}

static int add_holder(Picks *p, const Endpoint *e, uint32_t *ret) {
        int r = grow((void *) &p->holders, p->n_holders, &p->allocated_holders, sizeof(Holder));
        if (r < 0)
                return r;
        Holder *h = &p->holders[p->n_holders];
        *h = (Holder){ .text = "-" };
        if (e) {
                h->endpoint = *e;
                endpoint_to_text(e, h->text);
        }
        *ret = (uint32_t) p->n_holders++;
        return 0;
}

static int add_pick(Picks *p, const RfcIndex *x, uint32_t doc, uint32_t holder, uint32_t ttl_sec) {
        int r = grow((void *) &p->picks, p->n, &p->allocated, sizeof(Pick));
        if (r < 0)
                return r;

        const IndexDoc *d = index_doc(x, doc);
        /* number, ttl and size have at most 10, 10 and 13 digits; five tabs and a line feed */
        size_t size = 10 + 10 + 13 + 6 + 2 * DIGEST_SIZE + strlen(p->holders[holder].text) + d->title_size;
        p->picks[p->n++] = (Pick){ d->number, ttl_sec, doc, (uint32_t) size, holder };
        return 0;
}

static int pick_own(Picks *p, const RfcIndex *x, const IndexOwn *o) {
        if (p->n_room == 0)
                return 0;
        int r = add_pick(p, x, o->doc, 0, rfc_index_ttl_sec(x));
        if (r < 0)
                return r;
        size_t size = p->picks[p->n - 1].size;
        if (size > p->room) {
                p->n--;
                p->n_room = 0;
                return 0;
        }
        p->room -= size;
        p->n_room--;
        return 0;
}

/* Hearsay is one step: what the holder itself said is passed on, what others said of it is not. */
static int pick_records(Picks *p, const RfcIndex *x, const IndexNumber *n, const Now *now) {
        for (uint32_t id = n->first; id != 0; id = index_record(x, id)->number_next) {
                const IndexRecord *rec = index_record(x, id);
                if (index_record_kind(rec) != INDEX_FIRST_HAND)
                        continue;
                usec_t left_sec = usec_sub(index_record_expires_at(x, rec), now->boottime) / USEC_PER_SEC;
                if (left_sec == 0)
                        continue;

                uint32_t *holder = &p->holder_of[rec->holder];
                int r = *holder != 0 ? 0 : add_holder(p, &index_peer(x, rec->holder)->endpoint, holder);
                if (r == 0)
                        r = add_pick(p, x, rec->doc, *holder, (uint32_t) MIN_OF(left_sec, (usec_t) UINT32_MAX));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int pick_range(Picks *p, const RfcIndex *x, RfcRange range, const Now *now) {
        IndexOwn *o = index_own_at_least(x, range.first);
        IndexNumber *n = index_number_at_least(x, range.first);
        for (;;) {
                bool own = o && o->number <= range.last, others = n && n->number <= range.last;
                int r;
                if (own && (!others || o->number <= n->number)) {
                        r = pick_own(p, x, o);
                        o = index_own_next(o);
                } else if (others) {
                        r = pick_records(p, x, n, now);
                        n = index_number_next(n);
                } else
                        return 0;
                if (r < 0)
                        return r;
        }
}

/* ---- over the limits ---- */

#define AGES 8192                       /* enough for exact seconds of the usual TTL */

typedef struct Age {
        size_t n;
        size_t size;
} Age;

/* Keeps the own ones, and of the others the freshest that the answer has room for. */
static int cut(Picks *p) {
        size_t n = 0, size = 0;
        uint32_t ttl_max = 0;
        for (size_t i = 0; i < p->n; i++)
                if (p->picks[i].holder != 0) {
                        n++;
                        size += p->picks[i].size;
                        ttl_max = MAX_OF(ttl_max, p->picks[i].ttl_sec);
                }
        if (n <= p->n_room && size <= p->room)
                return 0;

        _cleanup_free_ Age *ages = calloc(AGES, sizeof(*ages));
        if (!ages)
                return -ENOMEM;
        unsigned shift = 0;
        while (ttl_max >> shift >= AGES)
                shift++;
        for (size_t i = 0; i < p->n; i++)
                if (p->picks[i].holder != 0) {
                        ages[p->picks[i].ttl_sec >> shift].n++;
                        ages[p->picks[i].ttl_sec >> shift].size += p->picks[i].size;
                }

        /* Whole ages from the freshest on; of the first that doesn't fit, what fits. */
        size_t age = AGES;
        while (age > 0 && ages[age - 1].n <= p->n_room && ages[age - 1].size <= p->room) {
                age--;
                p->n_room -= ages[age].n;
                p->room -= ages[age].size;
        }
        size_t n_kept = 0;
        for (size_t i = 0; i < p->n; i++) {
                const Pick *pick = &p->picks[i];
                size_t its_age = pick->ttl_sec >> shift;
                if (pick->holder != 0 && its_age < age) {
                        if (its_age + 1 < age || p->n_room == 0 || pick->size > p->room)
                                continue;
                        p->n_room--;
                        p->room -= pick->size;
                }
                p->picks[n_kept++] = *pick;
        }
        p->n = n_kept;
        return 0;
}

/* ---- order ---- */

static int compare_texts(const void *a, const void *b, void *userdata) {
        const Holder *holders = userdata;
        return strcmp(holders[*(const uint32_t *) a].text, holders[*(const uint32_t *) b].text);
}

static int compare_ranks(const void *a, const void *b, void *userdata) {
        const Holder *holders = userdata;
        uint32_t ra = holders[((const Pick *) a)->holder].rank, rb = holders[((const Pick *) b)->holder].rank;
        return ra < rb ? -1 : ra > rb;
}

/*
 * By number they are sorted already. Among the records of one number the text decides; it is compared once per holder
 * only.
 */
static int sort(Picks *p) {
        _cleanup_free_ uint32_t *order = calloc(p->n_holders, sizeof(*order));
        if (!order)
                return -ENOMEM;
        for (uint32_t i = 0; i < p->n_holders; i++)
                order[i] = i;
        qsort_r(order, p->n_holders, sizeof(*order), compare_texts, p->holders);
        for (uint32_t i = 0; i < p->n_holders; i++)
                p->holders[order[i]].rank = i;

        for (size_t i = 0, end; i < p->n; i = end) {
                for (end = i + 1; end < p->n && p->picks[end].number == p->picks[i].number; end++)
                        ;
                if (end - i > 1)
                        qsort_r(p->picks + i, end - i, sizeof(Pick), compare_ranks, p->holders);
        }
        return 0;
}

static int encode(const RfcIndex *x, const RfcRange *ranges, size_t n_ranges, const Now *now, Buf *b) {
        _cleanup_(picks_done) Picks p = {
                .n_room = PROTO_INDEX_RECORDS_MAX,
                .room = MIN_OF(b->max - b->size, (size_t) PROTO_INDEX_BYTES_MAX),
                .holder_of = calloc(x->peers.n_ids, sizeof(uint32_t)),
        };
        if (!p.holder_of)
                return -ENOMEM;

        uint32_t self;
        int r = add_holder(&p, NULL, &self);
        for (size_t i = 0; r == 0 && i < n_ranges; i++)
                r = pick_range(&p, x, ranges[i], now);
        if (r == 0)
                r = cut(&p);
        if (r == 0)
                r = sort(&p);
        if (r < 0)
                return r;

        size_t start = b->size;
        for (size_t i = 0; i < p.n; i++) {
                const IndexDoc *d = index_doc(x, p.picks[i].doc);
                IndexLine line = {
                        .number = d->number,
                        .ttl_sec = p.picks[i].ttl_sec,
                        .self = p.picks[i].holder == 0,
                        .holder = p.holders[p.picks[i].holder].endpoint,
                        .size = d->size,
                        .digest = d->digest,
                        .title = { d->title, d->title_size },
                };
                r = proto_write_index_line(b, &line, false);
                if (r != 0) {
                        buf_truncate(b, start);
                        return r;
                }
        }
        return 0;
}

int rfc_index_encode_all(const RfcIndex *x, const Now *now, Buf *b) {
        return encode(x, &(RfcRange){ 1, RFC_NUMBER_MAX }, 1, now, b);
}

int rfc_index_encode_set(const RfcIndex *x, const RfcSet *set, const Now *now, Buf *b) {
        return encode(x, set->ranges, set->n_ranges, now, b);
}
