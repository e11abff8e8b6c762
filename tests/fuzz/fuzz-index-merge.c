/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An answer to RFCQuery on its way into an index that has something in it: all or nothing, within the limits, and
 * what is then relayed is an answer that can be merged. The first byte: kind, size of the pieces, size of the slices.
 */
#include "core/rfc-index.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORDS_MAX 40
#define SENT_AT (1000 * USEC_PER_SEC)

static const Endpoint PEERS[] = {
        { .address.bytes = { [10] = 0xff, 0xff, 192, 0, 2, 1 }, .port = 1000 },
        { .address.bytes = { [10] = 0xff, 0xff, 192, 0, 2, 2 }, .port = 1000 },
        { .address.bytes = { [10] = 0xff, 0xff, 192, 0, 2, 9 }, .port = 1000 },         /* self */
};
static const Now NOW = { .boottime = SENT_AT + USEC_PER_SEC };

static bool read_body(IndexMerge *m, Slice body, size_t piece) {
        int r = 0;
        for (size_t i = 0; r == 0 && i < body.size; i += piece)
                r = index_merge_feed(m, (Slice){ body.data + i, MIN_OF(piece, body.size - i) });
        assert(r == 0 || r == RFC_INDEX_BAD || r == RFC_INDEX_TOO_LARGE);
        if (r == 0)
                r = index_merge_end(m);
        return r == 0;
}

static void put(IndexMerge *m, RfcIndex *x, size_t slice) {
        IndexMergeResult result;
        int r;
        do {
                r = index_merge_step(m, x, slice, &NOW, &result);
                assert(rfc_index_count(x) <= RECORDS_MAX);
        } while (r == RFC_INDEX_MORE);
        assert(r == 0);
}

static IndexMerge *make_merge(IndexMergeKind kind, size_t source, const RfcSet *set, usec_t sent_at) {
        IndexMerge *m;
        IndexMergeConf conf = {
                .kind = kind,
                .source = PEERS[source],
                .set = kind == INDEX_MERGE_SET ? set : NULL,
                .self = &PEERS[2],
                .n_self = 1,
                .sent_at = sent_at,
        };
        assert(index_merge_new(&conf, &m) == 0);
        return m;
}

/* What x has goes to another index, whole. */
static void relay(const RfcIndex *x) {
        static const RfcIndexLimits limits = { .ttl_usec = 7200 * USEC_PER_SEC, .max_records = RECORDS_MAX };
        static const uint64_t key[2] = { 3, 4 };
        _cleanup_(rfc_index_free_p) RfcIndex *other = NULL;
        _cleanup_(index_merge_free_p) IndexMerge *m = make_merge(INDEX_MERGE_ALL, 1, NULL, SENT_AT);
        _cleanup_buf_ Buf body = BUF_INIT(PROTO_INDEX_BYTES_MAX);

        assert(rfc_index_new(&limits, 1, key, &other) == 0);
        assert(rfc_index_encode_all(x, &NOW, &body) == 0);
        assert(read_body(m, buf_slice(&body), SIZE_MAX / 2));
        put(m, other, 1000);
        assert(rfc_index_count(other) <= rfc_index_count(x) + rfc_index_count_own(x));
}

static void walk(const RfcIndex *x) {
        size_t n = 0, n_live = 0;
        for (uint32_t number = 0; (number = rfc_index_next_number(x, number, &NOW)) != 0; n++) {
                RfcRecord rec;
                size_t found = rfc_index_find(x, number, &NOW, &rec, 1);
                n_live += found;
                assert(found == 0 || (rec.number == number && rec.expires_at > NOW.boottime));
                assert(found == 0 || rec.expires_at <= NOW.boottime + 7200 * USEC_PER_SEC);
                assert(!rfc_index_get(x, number, &PEERS[2], &NOW, &rec));
        }
        assert(n <= RECORDS_MAX + rfc_index_count_own(x));
        assert(n_live <= rfc_index_count(x));
}

/* All of that source is out of use before it is out of memory. */
static void forget(RfcIndex *x, const Endpoint *source, size_t slice) {
        _cleanup_buf_ Buf covered = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        size_t n = rfc_index_count(x), n_gone = rfc_index_forget_source(x, source);
        uint32_t after = 0;

        assert(n_gone <= n && rfc_index_count(x) == n - n_gone);
        assert(rfc_index_cover_source(x, source, &after, SIZE_MAX, &covered) == 0 && covered.size == 0);
        walk(x);
        relay(x);
        assert(n_gone == 0 || rfc_index_next_expiry(x) == 0);
        while (rfc_index_expire(x, &NOW, slice))
                walk(x);
        assert(rfc_index_count(x) == n - n_gone && rfc_index_next_expiry(x) > NOW.boottime);
        walk(x);
        relay(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const RfcIndexLimits limits = { .ttl_usec = 7200 * USEC_PER_SEC, .max_records = RECORDS_MAX };
        static const uint64_t key[2] = { 1, 2 };
        static const char known[] =
                "5\t7200\t-\t1\t1111111111111111111111111111111111111111111111111111111111111111\tFive\n"
                "6\t7200\t192.0.2.2:1000\t1\t1111111111111111111111111111111111111111111111111111111111111111\tSix\n"
                "7\t7200\t-\t1\t1111111111111111111111111111111111111111111111111111111111111111\tSeven\n";
        static RfcRange range = { 1, 100 };
        static const RfcSet set = { .ranges = &range, .n_ranges = 1 };
        static const size_t pieces[] = { SIZE_MAX / 2, 1, 7, 100 }, slices[] = { SIZE_MAX, 1, 3, 50 };

        if (size == 0)
                return 0;
        uint8_t how = data[0];
        Slice body = { (const char *) data + 1, size - 1 };
        _cleanup_(rfc_index_free_p) RfcIndex *x = NULL;
        assert(rfc_index_new(&limits, 1, key, &x) == 0);
        Digest digest = { { 1 } };
        assert(rfc_index_set_own(x, 5, 1, &digest, SLICE_LITERAL("Own")) == 0);
        _cleanup_(index_merge_free_p) IndexMerge *before = make_merge(INDEX_MERGE_ALL, 0, NULL, SENT_AT - 1);
        assert(read_body(before, SLICE_LITERAL(known), SIZE_MAX / 2));
        put(before, x, SIZE_MAX);
        assert(rfc_index_count(x) == 3);

        IndexMergeKind kind = how >= 128 ? INDEX_MERGE_DELTA : (IndexMergeKind) (how % 3);
        _cleanup_(index_merge_free_p) IndexMerge *m = make_merge(kind, how / 3 % 2, &set, SENT_AT);
        if (!read_body(m, body, pieces[how / 6 % 4])) {
                assert(rfc_index_count(x) == 3);
                return 0;
        }
        put(m, x, slices[how / 24 % 4]);
        walk(x);
        relay(x);
        forget(x, &PEERS[how / 3 % 2], slices[how / 24 % 4]);
        return 0;
}
