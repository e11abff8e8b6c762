/* SPDX-License-Identifier: BSD-2-Clause */
/* How a simulated peer takes what others state, and whether its copies of their indexes are right. */
#include "peer.h"

/* ---- merging ----------------------------------------------------------------------------------------------------- */

/* The answering peer's own records come to what the head said. */
static bool matches(World *w, const IndexMerge *m, const Digest *expected) {
        _cleanup_buf_ Buf covered = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        RfcRecord record;
        Digest digest;

        for (uint32_t after = 0; index_merge_next_own(m, after, &record); after = record.number)
                world_must(w, proto_write_digest_line(&covered, record.number, record.size, &record.digest,
                                                      record.title), "proto_write_digest_line");
        document_digest(buf_slice(&covered), &digest);
        return digest_equal(&digest, expected);
}

static bool feed(World *w, IndexMerge *m, Slice body) {
        while (body.size > 0) {
                size_t some = 1 + world_draw(w, 4096), n = MIN_OF(some, body.size);
                int r = index_merge_feed(m, (Slice){ body.data, n });
                if (r > 0)
                        return false;
                world_must(w, r, "index_merge_feed");
                body = (Slice){ body.data + n, body.size - n };
        }
        int r = index_merge_end(m);
        if (r < 0)
                world_must(w, r, "index_merge_end");
        return r == 0;
}

/* What holders said themselves before somebody else speaks of them. */
typedef struct Words {
        RfcRecord records[32];
        size_t n;
} Words;

static Words listen(const Peer *p, const RfcSet *set, const Now *now) {
        Words words;

        words.n = rfc_index_find(p->index, set->ranges[0].first, now, words.records, ELEMENTSOF(words.records));
        words.n = MIN_OF(words.n, ELEMENTSOF(words.records));
        return words;
}

/* Hearsay overwrites, deletes and prolongs nothing of it. */
static void check_words(const Peer *p, const Words *words, const Endpoint *source, const Now *now) {
        RfcRecord after;

        for (size_t i = 0; i < words->n; i++) {
                const RfcRecord *before = &words->records[i];
                if (!before->first_hand || endpoint_equal(&before->holder, source))
                        continue;
                if (!rfc_index_get(p->index, before->number, &before->holder, now, &after) || !after.first_hand ||
                    after.expires_at != before->expires_at || !digest_equal(&after.digest, &before->digest))
                        world_fail(p->world, "peer %u: hearsay of peer %u changes what a holder says of document %u", p->n,
                                   world_peer_at(p->world, source)->n, before->number);
        }
}

bool peer_merge(Peer *p, const Endpoint *source, IndexMergeKind kind, const RfcSet *set, usec_t sent_at,
                const Digest *digest, Slice body) {
        World *w = p->world;
        const Now now = peer_now(p);
        const Peer *from = world_peer_at(w, source);
        _cleanup_(index_merge_free_p) IndexMerge *m = NULL;
        const IndexMergeConf conf = {
                .kind = kind, .source = *source, .set = set, .self = &p->endpoint, .n_self = 1, .sent_at = sent_at,
        };
        IndexMergeResult result;
        int r;

        world_must(w, index_merge_new(&conf, &m), "index_merge_new");
        if (!feed(w, m, body) || (digest && !matches(w, m, digest))) {
                if (from->lie != LIE_BABBLE && from->lie != LIE_ENDLESS)
                        world_fail(w, "peer %u refuses what peer %u answers", p->n, from->n);
                return false;
        }
        if (from->lie == LIE_BABBLE || from->lie == LIE_ENDLESS)
                world_fail(w, "peer %u takes the rubbish of peer %u", p->n, from->n);
        const Words words = kind == INDEX_MERGE_SET ? listen(p, set, &now) : (Words){ .n = 0 };
        do
                r = index_merge_step(m, p->index, 1 + world_draw(w, 64), &now, &result);
        while (r == RFC_INDEX_MORE);
        world_must(w, r, "index_merge_step");
        check_words(p, &words, source, &now);
        return true;
}

void peer_quarantine(Peer *p, const Endpoint *e) {
        World *w = p->world;
        const Now now = peer_now(p);
        const Peer *liar = world_peer_at(w, e);

        if (liar->lie == LIE_NONE)
                world_fail(w, "peer %u shuts out peer %u, which is honest", p->n, liar->n);
        w->count.quarantines++;
        (void) holders_fault(p->holders, e, &now);
        (void) rfc_index_forget_source(p->index, e);
}

/* ---- the copy ---------------------------------------------------------------------------------------------------- */

/* What it holds at that generation by what the simulation knows, not by what core says; false: another life. */
static bool said_at(const Peer *p, Generation g, uint64_t *ret) {
        if (!p->alive || rfc_index_generation(p->index).epoch != g.epoch)
                return false;
        for (size_t i = p->n_said; i > 0; i--)
                if (p->said[i - 1].number <= g.number) {
                        *ret = p->said[i - 1].sum;
                        return true;
                }
        *ret = 0;
        return true;
}

static uint64_t sum_lines(Slice covered) {
        static const uint64_t key[2] = { 0x7375, 0x6d };        /* as document_sum() */
        uint64_t sum = 0;

        while (covered.size > 0) {
                const char *end = memchr(covered.data, '\n', covered.size);
                size_t n = (size_t) (end - covered.data) + 1;
                sum += bytes_hash(covered.data, n, key);
                covered = (Slice){ covered.data + n, covered.size - n };
        }
        return sum;
}

/* Is the copy of that index what its holder has at that generation? */
bool peer_copy_is_right(Peer *p, const Endpoint *holder, Generation g, const Digest *expected) {
        World *w = p->world;
        _cleanup_buf_ Buf covered = BUF_INIT(PROTO_INDEX_BYTES_MAX);
        const Peer *from = world_peer_at(w, holder);
        uint32_t after = 0;
        uint64_t sum;
        Digest digest;
        int r;

        do
                r = rfc_index_cover_source(p->index, holder, &after, 50, &covered);
        while (r == RFC_INDEX_MORE);
        world_must(w, r, "rfc_index_cover_source");
        document_digest(buf_slice(&covered), &digest);
        w->count.copies_checked++;

        bool same = digest_equal(&digest, expected);
        if (said_at(from, g, &sum) && same != (sum == sum_lines(buf_slice(&covered))))
                world_fail(w, "peer %u: Index-Digest and what peer %u held at %llu disagree", p->n, from->n,
                           (unsigned long long) g.number);
        return same;
}
