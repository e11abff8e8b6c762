/* SPDX-License-Identifier: BSD-2-Clause */
/* What RFCQuery answers: the RFC index as a body; and what Index-Digest is about. */
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

/* ---- the copy of what another peer holds ---- */

int rfc_index_cover_source(const RfcIndex *x, const Endpoint *source, uint32_t *after, size_t max_numbers,
                           Buf *covered) {
        uint32_t peer = index_peer_find(x, source);
        if (peer == 0)
                return 0;

        /* By number, since numbers stay what they are between slices, as links between records don't. */
        IndexNumber *n = *after < RFC_NUMBER_MAX ? index_number_at_least(x, *after + 1) : NULL;
        for (size_t i = 0; n && i < max_numbers; i++, n = index_number_next(n)) {
                uint32_t id = index_record_find(x, n->number, peer);
                const IndexRecord *rec = id != 0 ? index_record(x, id) : NULL;
                if (rec && index_record_kind(rec) == INDEX_FIRST_HAND && !index_record_forgotten(x, rec)) {
                        const IndexDoc *d = index_doc(x, rec->doc);
                        int r = proto_write_digest_line(covered, d->number, d->size, &d->digest,
                                                        (Slice){ d->title, d->title_size });
                        if (r != 0)
                                return r == BUF_FULL ? RFC_INDEX_TOO_LARGE : r;
                }
                *after = n->number;
        }
        return n ? RFC_INDEX_MORE : 0;
}

/* ---- own documents and hearsay ---- */

#define AGES 8192                       /* enough for exact seconds of the usual TTL */

/* The records that have so many seconds left. */
typedef struct Age {
        uint32_t n;
        uint32_t size;                  /* of their lines; of a million at most 1.3 GiB */
} Age;

/* A record of the number that is being written. */
typedef struct Pick {
        uint32_t ttl_sec;
        uint32_t doc;
        Endpoint holder;
        char text[ENDPOINT_TEXT_SIZE];  /* of it: they are sorted by that */
} Pick;

/*
 * Goes over the numbers twice: counts first how much there is of each age, which tells what is fresh enough to go in,
 * and then writes that. Between slices it knows numbers and ages only, so nothing that it holds can be gone.
 */
struct IndexEncode {
        const RfcRange *ranges;         /* borrowed */
        size_t n_ranges;
        Now now;
        Buf *b;                         /* borrowed */
        size_t start;                   /* of what is written, in b */

        bool writing;
        size_t range;                   /* the one that it is at, */
        uint32_t next;                  /* and all numbers below have been seen */

        size_t n_room, room;            /* records and bytes that the answer can still take, */
        size_t n_others, others;        /* what of it records of others may take, */
        size_t n_edge, edge;            /* and of that those of the one age that fits in part */
        size_t n_counted, counted;      /* records of others, and their bytes */
        Age *ages;                      /* owned; NULL: none was counted yet */
        unsigned shift;                 /* from seconds left to age */
        size_t age;                     /* this one and fresher go in */

        Pick *picks;                    /* owned */
        size_t n_picks, allocated;
};

int index_encode_new(const RfcIndex *x, const RfcSet *set, const Now *now, Buf *b, IndexEncode **ret) {
        static const RfcRange everything = { 1, RFC_NUMBER_MAX };
        _cleanup_(index_encode_free_p) IndexEncode *e = calloc(1, sizeof(*e));

        if (!e)
                return -ENOMEM;
        e->ranges = set && set->n_ranges > 0 ? set->ranges : &everything;
        e->n_ranges = set && set->n_ranges > 0 ? set->n_ranges : 1;
        e->now = *now;
        e->b = b;
        e->start = b->size;
        e->n_room = e->n_others = PROTO_INDEX_RECORDS_MAX;
        e->room = e->others = MIN_OF(b->max - b->size, (size_t) PROTO_INDEX_BYTES_MAX);
        while (rfc_index_ttl_sec(x) >> e->shift >= AGES)
                e->shift++;
        *ret = TAKE_PTR(e);
        return 0;
}

IndexEncode *index_encode_free(IndexEncode *e) {
        if (!e)
                return NULL;
        free(e->ages);
        free(e->picks);
        free(e);
        return NULL;
}

/* Of its text, at most: to write all of them out, only to know how long they are, would take longest of all. */
static size_t holder_size(const RfcIndex *x, const IndexRecord *rec) {
        return address_is_ipv4(&index_peer(x, rec->holder)->endpoint.address) ? strlen("255.255.255.255:65535") :
                                                                                ENDPOINT_TEXT_SIZE - 1;
}

/* At most; number, ttl and size have up to 10, 10 and 13 digits; five tabs and a line feed. */
static size_t line_size(const IndexDoc *d, size_t holder) {
        return 10 + 10 + 13 + 6 + 2 * DIGEST_SIZE + holder + d->title_size;
}

/* Takes n and size from what is left, if they are. */
static bool take(size_t *n_left, size_t *left, size_t n, size_t size) {
        if (n > *n_left || size > *left)
                return false;
        *n_left -= n;
        *left -= size;
        return true;
}

/* Hearsay is one step: what the holder itself said is passed on, what others said of it is not. 0: not to be told. */
static uint32_t seconds_left(const IndexEncode *e, const RfcIndex *x, const IndexRecord *rec) {
        if (index_record_kind(rec) != INDEX_FIRST_HAND)
                return 0;
        usec_t left = usec_sub(index_record_expires_at(x, rec), e->now.boottime) / USEC_PER_SEC;
        return (uint32_t) MIN_OF(left, (usec_t) UINT32_MAX);
}

static size_t age_of(const IndexEncode *e, uint32_t ttl_sec) {
        return MIN_OF((size_t) (ttl_sec >> e->shift), (size_t) AGES - 1);
}

/* ---- counting ---- */

/* What own ones take is no room for others; if they don't fit themselves, there is none. */
static void count_own(IndexEncode *e, const IndexDoc *d) {
        if (!take(&e->n_others, &e->others, 1, line_size(d, 1)))
                e->n_others = e->others = 0;
}

/* 0, -ENOMEM. Most that is asked is about one number, and of that few know anything: it is to cost next to nothing. */
static int count_record(IndexEncode *e, const RfcIndex *x, const IndexRecord *rec) {
        uint32_t ttl_sec = seconds_left(e, x, rec);
        if (ttl_sec == 0)
                return 0;
        if (!e->ages) {
                e->ages = calloc(AGES, sizeof(*e->ages));
                if (!e->ages)
                        return -ENOMEM;
        }
        const size_t size = line_size(index_doc(x, rec->doc), holder_size(x, rec));
        Age *age = &e->ages[age_of(e, ttl_sec)];
        age->n++;
        age->size += (uint32_t) size;
        e->n_counted++;
        e->counted += size;
        return 0;
}

/* All of it if it fits; else whole ages from the freshest on, and of the first that doesn't fit what fits. */
static void begin_writing(IndexEncode *e) {
        e->writing = true;
        e->range = 0;
        e->next = 0;
        e->n_edge = e->n_others;
        e->edge = e->others;
        e->age = 0;
        if (take(&e->n_edge, &e->edge, e->n_counted, e->counted))
                return;
        e->age = AGES;
        while (e->age > 0 && take(&e->n_edge, &e->edge, e->ages[e->age - 1].n, e->ages[e->age - 1].size))
                e->age--;
}

/* ---- writing ---- */

static int write_line(IndexEncode *e, const IndexDoc *d, const Pick *p, uint32_t ttl_sec) {
        IndexLine line = {
                .number = d->number,
                .ttl_sec = ttl_sec,
                .self = !p,
                .size = d->size,
                .digest = d->digest,
                .title = { d->title, d->title_size },
        };
        if (p)
                line.holder = p->holder;
        /* It may have become more since it was counted. */
        if (!take(&e->n_room, &e->room, 1, line_size(d, p ? strlen(p->text) : 1)))
                return 0;
        int r = proto_write_index_line(e->b, &line, false);
        assert(r <= 0);
        return r;
}

static int pick_record(IndexEncode *e, const RfcIndex *x, const IndexRecord *rec) {
        uint32_t ttl_sec = seconds_left(e, x, rec);
        size_t age = age_of(e, ttl_sec), size = line_size(index_doc(x, rec->doc), holder_size(x, rec));
        if (ttl_sec == 0 || age + 1 < e->age)
                return 0;
        if (age < e->age && !take(&e->n_edge, &e->edge, 1, size))
                return 0;
        if (!take(&e->n_others, &e->others, 1, size))
                return 0;

        if (e->n_picks == e->allocated) {
                size_t wanted = MAX_OF(e->allocated * 2, (size_t) 64);
                Pick *grown = reallocarray(e->picks, wanted, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                e->picks = grown;
                e->allocated = wanted;
        }
        Pick *p = &e->picks[e->n_picks++];
        *p = (Pick){ .ttl_sec = ttl_sec, .doc = rec->doc, .holder = index_peer(x, rec->holder)->endpoint };
        endpoint_to_text(&p->holder, p->text);
        return 0;
}

static int compare_picks(const void *a, const void *b) {
        return strcmp(((const Pick *) a)->text, ((const Pick *) b)->text);
}

static int write_picks(IndexEncode *e, const RfcIndex *x) {
        if (e->n_picks > 1)
                qsort(e->picks, e->n_picks, sizeof(Pick), compare_picks);
        for (size_t i = 0; i < e->n_picks; i++) {
                int r = write_line(e, index_doc(x, e->picks[i].doc), &e->picks[i], e->picks[i].ttl_sec);
                if (r < 0)
                        return r;
        }
        e->n_picks = 0;
        return 0;
}

/* ---- both ---- */

/* All of one number: own first, since "-" comes before any address. *n_left counts records. */
static int see_number(IndexEncode *e, const RfcIndex *x, const IndexOwn *o, const IndexNumber *n, size_t *n_left) {
        size_t n_seen = 1;
        int r = 0;

        if (o && e->writing)
                r = write_line(e, index_doc(x, o->doc), NULL, rfc_index_ttl_sec(x));
        else if (o)
                count_own(e, index_doc(x, o->doc));
        for (uint32_t id = n ? n->first : 0; r == 0 && id != 0; id = index_record(x, id)->number_next, n_seen++) {
                if (e->writing)
                        r = pick_record(e, x, index_record(x, id));
                else
                        r = count_record(e, x, index_record(x, id));
        }
        if (r == 0 && e->writing)
                r = write_picks(e, x);
        *n_left -= MIN_OF(*n_left, n_seen);
        return r;
}

static int see_range(IndexEncode *e, const RfcIndex *x, RfcRange range, size_t *n_left) {
        uint32_t from = MAX_OF(range.first, e->next);
        IndexOwn *o = index_own_at_least(x, from);
        IndexNumber *n = index_number_at_least(x, from);

        for (;;) {
                bool own = o && o->number <= range.last && (!n || o->number <= n->number);
                bool others = n && n->number <= range.last && (!o || n->number <= o->number);
                if (!own && !others)
                        return 0;
                if (*n_left == 0)
                        return RFC_INDEX_MORE;
                e->next = (own ? o->number : n->number) + 1;
                int r = see_number(e, x, own ? o : NULL, others ? n : NULL, n_left);
                if (r < 0)
                        return r;
                if (own)
                        o = index_own_next(o);
                if (others)
                        n = index_number_next(n);
        }
}

static int see_all(IndexEncode *e, const RfcIndex *x, size_t *n_left) {
        for (; e->range < e->n_ranges; e->range++) {
                int r = see_range(e, x, e->ranges[e->range], n_left);
                if (r != 0)
                        return r;
        }
        return 0;
}

int index_encode_step(IndexEncode *e, const RfcIndex *x, size_t max_records) {
        assert(max_records > 0);

        int r = 0;
        if (!e->writing) {
                r = see_all(e, x, &max_records);
                if (r == 0)
                        begin_writing(e);
        }
        if (r == 0)
                r = see_all(e, x, &max_records);
        if (r < 0)
                buf_truncate(e->b, e->start);
        return r;
}

static int encode(const RfcIndex *x, const RfcSet *set, const Now *now, Buf *b) {
        _cleanup_(index_encode_free_p) IndexEncode *e = NULL;
        int r = index_encode_new(x, set, now, b, &e);
        return r < 0 ? r : index_encode_step(e, x, SIZE_MAX);
}

int rfc_index_encode_all(const RfcIndex *x, const Now *now, Buf *b) {
        return encode(x, NULL, now, b);
}

int rfc_index_encode_set(const RfcIndex *x, const RfcSet *set, const Now *now, Buf *b) {
        return set->n_ranges == 0 ? 0 : encode(x, set, now, b);
}
