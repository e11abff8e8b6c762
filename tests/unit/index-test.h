/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* What the tests of the RFC index, and of trust in it, share: an index, and what is merged into it. Included after <cmocka.h>. */

#include "core/manifest.h"
#include "core/rfc-index.h"
#include "core/text.h"

#define SEC USEC_PER_SEC
#define TTL 7200
#define EPOCH 77

static inline Now at(uint64_t sec) {
        return (Now){ .boottime = sec * SEC };
}

static inline RfcIndex *make_index(size_t max_records) {
        static const uint64_t key[2] = { 1, 2 };
        const RfcIndexLimits limits = { .ttl_usec = TTL * SEC, .max_records = max_records };
        RfcIndex *x;

        assert_int_equal(rfc_index_new(&limits, EPOCH, key, &x), 0);
        return x;
}

static inline Endpoint peer(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_from_text(slice_of(text), &e), 0);
        return e;
}

static inline Digest digest(uint8_t byte) {
        Digest d;

        memset(&d, byte, sizeof(d));
        return d;
}

/* A whole body, at once. */
static inline IndexMergeResult merge_body(RfcIndex *x, const IndexMergeConf *conf, Slice body, const Now *now) {
        _cleanup_(index_merge_free_p) IndexMerge *m = NULL;
        IndexMergeResult result;

        assert_int_equal(index_merge_new(conf, &m), 0);
        assert_int_equal(index_merge_feed(m, body), 0);
        assert_int_equal(index_merge_end(m), 0);
        assert_int_equal(index_merge_step(m, x, SIZE_MAX, now, &result), 0);
        return result;
}

/* It names that one RFC; the digest is made of that byte. */
static inline Manifest *make_manifest(uint32_t number, uint8_t byte) {
        _cleanup_buf_ Buf b = BUF_INIT(200);
        char text[DIGEST_TEXT_SIZE];
        Digest d = digest(byte);
        Manifest *m;

        digest_to_text(&d, text);
        assert_int_equal(buf_printf(&b, "%s  rfc%u.txt\n", text, number), 0);
        assert_int_equal(manifest_new(&m), 0);
        assert_int_equal(manifest_feed(m, buf_slice(&b)), 0);
        assert_int_equal(manifest_end(m), 0);
        return m;
}
