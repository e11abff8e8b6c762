/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bsd/string.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "core/lookup.h"
#include "core/text.h"

/*
 * A conversation is a line of words. Peer n is 192.0.2.n:65424, known by a round trip of n hundred microseconds unless
 * told otherwise, so that lower numbers are better.
 *
 *   list:1,2 page:1,2       a complete list, a page, of the server
 *   static:1 last:1         configured, last known
 *   says:1:-,2              peer 1 says that itself and peer 2 hold it; "+": itself another one
 *   fresh:1                 its own documents are confirmed now
 *   rtt:1:500 fail:1        measured, refused
 *   fault:1                 quarantined, what it stated is dropped
 *   text:9                  the digest of what is said from now on
 *   drop:1                  the record of holder 1 is dropped
 *   widen                   not only what is known counts from now on
 *   +100                    a tenth of a second passes
 *   server others ask:1 fetch:1 wait wait:100 done:ok       what lookup_next() must say; wait:100 is for 100 ms
 *   >server:ok >ask:1:gone >fetch:1:fault           what it is told
 *   >up:1 >heard:1                                  connected to be asked, something came of the document
 *   >waits:1                                        for the document others of that peer come first
 */
#define NUMBER 7230

typedef struct World {
        RfcIndex *index;
        Holders *holders;
        Lookup *lookup;
        Now now;
        uint8_t text;
        LookupStep step;
} World;

static Endpoint peer(unsigned n) {
        Endpoint e = { .port = 65424 };
        assert_int_equal(address_from_text(SLICE_LITERAL("192.0.2.0"), &e.address), 0);
        e.address.bytes[14] = (uint8_t) (2 + (n >> 8));
        e.address.bytes[15] = (uint8_t) n;
        return e;
}

static const TrustConf trust = { .quorum = 2 };

static const LookupConf conf_usual = {
        .accept = GRADE_SINGLE,
        .number = NUMBER,
        .fresh_usec = 600 * USEC_PER_SEC,
        .ask_pause_usec = 100 * USEC_PER_MSEC,
        .hedge_usec = USEC_INFINITY,
        .n_asks_max = 3,
        .has_servers = true,
};

static void world_init(World *w, const LookupConf *conf) {
        const uint64_t key[2] = { 3, 4 };
        const HoldersLimits hl = { .quarantine_usec = 5 * USEC_PER_SEC, .quarantine_max_usec = 600 * USEC_PER_SEC };
        const RfcIndexLimits xl = { .ttl_usec = 7200 * USEC_PER_SEC, .max_records = 100000 };

        *w = (World){ .now = { .boottime = 1000 * USEC_PER_SEC, .realtime = 5 }, .text = 1 };
        assert_int_equal(holders_new(&hl, key, &w->holders), 0);
        assert_int_equal(rfc_index_new(&xl, 77, key, &w->index), 0);
        assert_int_equal(lookup_new(conf, &w->lookup), 0);
}

static void world_done(World *w) {
        lookup_free(w->lookup);
        rfc_index_free(w->index);
        holders_free(w->holders);
}

/* ---- the words --------------------------------------------------------------------------------------------------- */

static void measured(World *w, unsigned n) {
        Endpoint e = peer(n);
        HolderInfo info;
        if (holders_get(w->holders, &e, &info) && info.rtt_usec == 0)
                holders_answered(w->holders, &e, 100 * n, &w->now);
}

static bool next_number(Slice *rest, unsigned *ret) {
        Slice s;
        uint32_t n;

        if (!slice_split(rest, ',', &s) || text_to_uint32(s, 100000, &n) != 0)
                return false;
        *ret = n;
        return true;
}

static void word_list(World *w, Slice rest, bool complete) {
        unsigned n;

        holders_list_begin(w->holders, 0);
        while (next_number(&rest, &n)) {
                Endpoint e = peer(n);
                assert_int_equal(holders_list_add(w->holders, 0, &e, n, SLICE_LITERAL("host"), &w->now), 0);
                measured(w, n);
        }
        holders_list_end(w->holders, 0, complete);
}

/* A merge of INDEX_MERGE_ALL, so the whole of what `source` says. */
static void says(World *w, unsigned source, Slice rest) {
        _cleanup_buf_ Buf body = BUF_INIT(1 << 20);
        _cleanup_(index_merge_free_p) IndexMerge *m = NULL;
        Slice s;

        while (slice_split(&rest, ',', &s) && s.size > 0) {
                IndexLine line = { .number = NUMBER, .ttl_sec = 7200, .size = 100, .title = SLICE_LITERAL("A Title") };
                uint32_t n;

                memset(line.digest.bytes, w->text, DIGEST_SIZE);
                if (slice_equal(s, SLICE_LITERAL("-")))
                        line.self = true;
                else if (slice_equal(s, SLICE_LITERAL("+"))) {
                        line.self = true;
                        line.number++;
                } else {
                        assert_int_equal(text_to_uint32(s, 100000, &n), 0);
                        line.holder = peer(n);
                }
                assert_int_equal(proto_write_index_line(&body, &line, false), 0);
        }

        IndexMergeConf conf = { .kind = INDEX_MERGE_ALL, .source = peer(source), .sent_at = w->now.boottime };
        IndexMergeResult result;
        assert_int_equal(index_merge_new(&conf, &m), 0);
        assert_int_equal(index_merge_feed(m, buf_slice(&body)), 0);
        assert_int_equal(index_merge_end(m), 0);
        assert_int_equal(index_merge_step(m, w->index, SIZE_MAX, &w->now, &result), 0);
}

static bool word_setup(World *w, Slice word, Slice rest) {
        if (slice_equal(word, SLICE_LITERAL("list")) || slice_equal(word, SLICE_LITERAL("page"))) {
                word_list(w, rest, slice_equal(word, SLICE_LITERAL("list")));
                return true;
        }
        if (slice_equal(word, SLICE_LITERAL("widen"))) {
                lookup_widen(w->lookup);
                return true;
        }

        Slice first;
        unsigned n, value = 0;
        if (!slice_split(&rest, ':', &first) || !next_number(&first, &n))
                return false;
        Endpoint e = peer(n);

        if (slice_equal(word, SLICE_LITERAL("static")))
                assert_int_equal(holders_add_static(w->holders, &e), 0);
        else if (slice_equal(word, SLICE_LITERAL("last")))
                assert_int_equal(holders_add_last_known(w->holders, &e), 0);
        else if (slice_equal(word, SLICE_LITERAL("says")))
                says(w, n, rest);
        else if (slice_equal(word, SLICE_LITERAL("fresh")))
                holders_confirmed(w->holders, &e, (Generation){ 1, 1 }, w->now.boottime);
        else if (slice_equal(word, SLICE_LITERAL("rtt"))) {
                assert_true(next_number(&rest, &value));
                holders_answered(w->holders, &e, value, &w->now);
        } else if (slice_equal(word, SLICE_LITERAL("fail")))
                holders_failed(w->holders, &e);
        else if (slice_equal(word, SLICE_LITERAL("fault"))) {
                holders_fault(w->holders, &e, &w->now);
                rfc_index_forget_source(w->index, &e);
        } else if (slice_equal(word, SLICE_LITERAL("text")))
                w->text = (uint8_t) n;
        else if (slice_equal(word, SLICE_LITERAL("drop")))
                rfc_index_forget_record(w->index, NUMBER, &e);
        else
                return false;

        measured(w, n);
        return true;
}

static LookupOutcome outcome_of(Slice s) {
        static const char *const names[] = {
                [LOOKUP_OK] = "ok", [LOOKUP_GONE] = "gone", [LOOKUP_BUSY] = "busy", [LOOKUP_EMPTY] = "empty",
                [LOOKUP_CHANGED] = "changed", [LOOKUP_FAULT] = "fault", [LOOKUP_BROKEN] = "broken",
        };
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (slice_equal(s, slice_of(names[i])))
                        return (LookupOutcome) i;
        fail_msg("no outcome: %.*s", (int) s.size, s.data);
        return LOOKUP_BROKEN;
}

static void word_tell(World *w, Slice word, Slice rest) {
        Slice first;
        unsigned n = 0;

        assert_true(slice_split(&rest, ':', &first));
        if (slice_equal(word, SLICE_LITERAL(">server"))) {
                LookupOutcome outcome = outcome_of(first);
                lookup_server_told(w->lookup, outcome, outcome == LOOKUP_BROKEN ? -EMFILE : 0);
                return;
        }
        assert_true(next_number(&first, &n));
        Endpoint e = peer(n);
        if (slice_equal(word, SLICE_LITERAL(">up"))) {
                lookup_index_connected(w->lookup, &e);
                return;
        }
        if (slice_equal(word, SLICE_LITERAL(">heard"))) {
                lookup_fetch_heard(w->lookup, &e, &w->now);
                return;
        }
        if (slice_equal(word, SLICE_LITERAL(">waits"))) {
                lookup_fetch_waits(w->lookup, &e);
                return;
        }
        LookupOutcome outcome = outcome_of(rest);
        int error = outcome == LOOKUP_BROKEN ? -ENOSPC : 0;
        if (slice_equal(word, SLICE_LITERAL(">ask")))
                lookup_index_told(w->lookup, &e, outcome, error, &w->now);
        else
                lookup_fetch_told(w->lookup, &e, outcome, error, &w->now);
}

/* What lookup_next() says, as a word. */
static void next_word(World *w, char *ret, size_t size) {
        LookupStep *s = &w->step;
        unsigned n;

        assert_int_equal(lookup_next(w->lookup, w->index, w->holders, &trust, &w->now, s), 0);
        n = s->peer.address.bytes[15] + 256u * (s->peer.address.bytes[14] - 2u);
        switch (s->what) {
        case LOOKUP_WAIT:
                if (s->at == USEC_INFINITY)
                        strlcpy(ret, "wait", size);
                else
                        snprintf(ret, size, "wait:%u", (unsigned) ((s->at - w->now.boottime) / USEC_PER_MSEC));
                break;
        case LOOKUP_ASK_SERVER:
                strlcpy(ret, s->others ? "others" : "server", size);
                break;
        case LOOKUP_ASK_INDEX:
                snprintf(ret, size, "ask:%u", n);
                break;
        case LOOKUP_FETCH:
                snprintf(ret, size, "fetch:%u", n);
                assert_true(endpoint_equal(&s->peer, &s->record.holder));
                assert_int_equal(s->record.number, NUMBER);
                break;
        case LOOKUP_DONE:
                snprintf(ret, size, "done:%s", lookup_result_name(s->result));
                break;
        }
}

static void play(World *w, const char *conversation) {
        Slice rest = slice_of(conversation), token;

        while (slice_split(&rest, ' ', &token)) {
                Slice word, args = token;
                char said[32];

                if (token.data[0] == '+') {
                        uint64_t msec;
                        Slice digits = { token.data + 1, token.size - 1 };
                        assert_int_equal(text_to_uint64(digits, UINT32_MAX, &msec), 0);
                        w->now.boottime += msec * USEC_PER_MSEC;
                        continue;
                }
                assert_true(slice_split(&args, ':', &word));
                if (token.data[0] == '>') {
                        word_tell(w, word, args);
                        continue;
                }
                if (word_setup(w, word, args))
                        continue;

                next_word(w, said, sizeof(said));
                if (!slice_equal(slice_of(said), token))
                        fail_msg("said %s instead of %s", said, token.data);
        }
}

static void play_all(const LookupConf *conf, const char *const *conversations, size_t n) {
        for (size_t i = 0; i < n; i++) {
                World w;
                world_init(&w, conf);
                play(&w, conversations[i]);
                world_done(&w);
        }
}
#define PLAY(conf, ...)                                                                                                \
        do {                                                                                                           \
                static const char *const _all[] = { __VA_ARGS__ };                                                     \
                play_all(conf, _all, ELEMENTSOF(_all));                                                                \
        } while (false)

/* ---- the promises ------------------------------------------------------------------------------------------------ */

static void test_server_comes_first(void **state) {
        (void) state;
        PLAY(&conf_usual,
             "server wait wait list:1 says:1:- >server:ok fetch:1 wait >fetch:1:ok done:ok done:ok",
             "page:1 says:1:- server >server:gone fetch:1 >fetch:1:ok done:ok");
}

static void test_only_known_and_active_are_dialled(void **state) {
        (void) state;
        PLAY(&conf_usual,
             /* a holder that nobody lists is never dialled, whatever others say */
             "server list:1 says:1:2,3,4 >server:ok ask:1 wait >ask:1:empty done:not-held",
             /* last known count only while no server answers; a complete list without them ends that */
             "last:2 says:2:- server list:1 >server:ok ask:1 >ask:1:empty done:not-held",
             "last:2 says:2:- server >server:gone fetch:2 >fetch:2:ok done:ok",
             "static:2 says:2:- server list: >server:empty fetch:2 >fetch:2:ok done:ok",
             /* one comes to be listed while the lookup runs */
             "server list:1 >server:ok ask:1 says:1:2 page:2 >ask:1:ok fetch:2 >fetch:2:ok done:ok");
}

static void test_best_holder_first_then_the_next(void **state) {
        (void) state;
        PLAY(&conf_usual,
             "list:1,2,3 says:1:- says:2:- says:3:- server >server:ok fetch:1 >fetch:1:gone fetch:2 >fetch:2:empty "
             "fetch:3 >fetch:3:ok done:ok",
             "list:1,2,3 fail:1 says:1:- says:2:- says:3:- server >server:ok fetch:2 >fetch:2:gone fetch:3 "
             ">fetch:3:gone fetch:1 >fetch:1:ok done:ok",
             /* the word of the holder itself before that of others */
             "list:1,2,3 says:3:- says:2:1 server >server:ok fetch:3 >fetch:3:gone fetch:1 >fetch:1:ok done:ok",
             /* a holder in quarantine is left out */
             "list:1,2 fault:1 says:1:- says:2:- server >server:ok fetch:2 >fetch:2:ok done:ok");
}

static void test_asks_peer_by_peer_and_fetches_from_whoever_has_it(void **state) {
        (void) state;
        PLAY(&conf_usual,
             "list:1,2,3 server >server:ok ask:1 wait:100 >ask:1:empty ask:2 says:2:- >ask:2:ok fetch:2 >fetch:2:ok "
             "done:ok",
             /* 1 knows that 3 has it: no need to ask 2 or 3 */
             "list:1,2,3 server >server:ok ask:1 says:1:3 >ask:1:ok fetch:3 >fetch:3:ok done:ok",
             /* the false word of 1 costs one fetch, and the search goes on */
             "list:1,2,3 server >server:ok ask:1 says:1:3 >ask:1:ok fetch:3 drop:3 >fetch:3:empty ask:2 says:2:- "
             ">ask:2:ok fetch:2 >fetch:2:ok done:ok",
             "list:1,2 server >server:ok ask:1 >ask:1:empty ask:2 >ask:2:empty done:not-held");
}

static void test_asks_are_staggered(void **state) {
        (void) state;
        PLAY(&conf_usual,
             "list:1,2,3,4,5 server >server:ok ask:1 wait:100 >up:1 +60 wait:40 +40 ask:2 wait:50 >up:2 +50 ask:3 >up:3 "
             "wait +1000 wait "
             ">ask:2:empty ask:4 wait:50 >up:4 wait >ask:1:gone ask:5 >up:5 wait says:3:- >ask:3:ok fetch:3 wait "
             ">fetch:3:ok done:ok",
             /* on failure at once, not after the pause; and when all are asked, nothing to wake for */
             "list:1,2 server >server:ok ask:1 +1 >ask:1:gone ask:2 wait >ask:2:empty done:not-held",
             "list:1,2 server >server:ok ask:1 wait:100 +100 ask:2 wait >ask:2:empty wait >ask:1:empty done:not-held",
             /* an index that comes in while another is awaited is looked at; nobody is asked while a fetch runs */
             "list:1,2,3 server >server:ok ask:1 +100 ask:2 says:2:- >ask:2:ok fetch:2 +500 wait >ask:1:empty wait "
             ">fetch:2:gone ask:3 "
             ">ask:3:empty done:unreachable");
}

static void test_fresh_peers_are_not_asked_again(void **state) {
        (void) state;
        PLAY(&conf_usual,
             "list:1,2 fresh:1 server >server:ok ask:2 wait >ask:2:empty done:not-held",
             "list:1,2 fresh:1 fresh:2 server >server:ok done:not-held",
             "list:1 fresh:1 +599999 server >server:ok done:not-held",
             "list:1 fresh:1 +600000 server >server:ok ask:1 >ask:1:empty done:not-held",
             /* unless the index has lost some of what it told */
             "list:1 says:1:-,+ fresh:1 drop:1 server >server:ok ask:1 says:1:-,+ >ask:1:ok fetch:1 >fetch:1:ok "
             "done:ok",
             "list:1 says:1:+ fresh:1 server >server:ok done:not-held",
             /* who confirmed lately is there, so it is not that no peer is active */
             "last:1 fresh:1 server >server:gone done:not-held");
}

static void test_who_is_busy_is_asked_once_more(void **state) {
        (void) state;
        PLAY(&conf_usual,
             "list:1 server >server:ok ask:1 >ask:1:busy wait:1000 +999 wait:1 +1 ask:1 wait says:1:- >ask:1:ok "
             "fetch:1 >fetch:1:ok done:ok",
             /* a second time is one too many */
             "list:1 server >server:ok ask:1 >ask:1:busy +1000 ask:1 >ask:1:busy done:not-held",
             /* meanwhile others are asked, and whoever has it is fetched from at once */
             "list:1,2 server >server:ok ask:1 >ask:1:busy ask:2 >ask:2:empty wait:1000 +1000 ask:1 >ask:1:empty "
             "done:not-held",
             "list:1,2 server >server:ok ask:1 >ask:1:busy ask:2 says:2:- >ask:2:ok fetch:2 >fetch:2:ok done:ok",
             /* all at the end of the last one's second; who has left by then isn't waited for any longer */
             "list:1,2 server >server:ok ask:1 >ask:1:busy +500 ask:2 >ask:2:busy wait:1000 +500 wait:500 +500 ask:1 "
             "wait:100 +100 ask:2 wait >ask:1:gone >ask:2:empty done:not-held",
             "list:1,2 server >server:ok ask:1 >ask:1:busy ask:2 >ask:2:empty list:2 wait:1000 +1000 done:not-held",
             /* it came to be known otherwise; then the holder is beyond reach, and no use asking */
             "list:1,2 server >server:ok ask:1 >ask:1:busy ask:2 says:2:1 >ask:2:ok fetch:1 >fetch:1:gone +1000 "
             "done:unreachable");
}

static void test_failed_holder_is_not_tried_again(void **state) {
        (void) state;
        PLAY(&conf_usual,
             /* neither fetched from, though 2 says it has it, nor asked */
             "list:1,2 says:1:- server >server:ok fetch:1 >fetch:1:gone ask:2 says:2:1 >ask:2:ok done:unreachable",
             /* who has it no more may still know who has */
             "list:1,2 says:1:- server >server:ok fetch:1 drop:1 >fetch:1:empty ask:1 says:1:2 >ask:1:ok fetch:2 "
             ">fetch:2:ok done:ok");
}

static void test_changed_is_tried_once_more(void **state) {
        (void) state;
        PLAY(&conf_usual,
             "list:1 says:1:- server >server:ok fetch:1 text:9 says:1:- >fetch:1:changed fetch:1 >fetch:1:ok done:ok",
             "list:1 says:1:- server >server:ok fetch:1 text:9 says:1:- >fetch:1:changed fetch:1 text:8 says:1:- "
             ">fetch:1:changed "
             "ask:1 >ask:1:ok done:unreachable",
             /* dropped instead of renewed */
             "list:1 fresh:1 says:1:- server >server:ok fetch:1 drop:1 >fetch:1:changed done:not-held");
}

static void test_results(void **state) {
        (void) state;
        PLAY(&conf_usual,
             /* INTEGRITY: somebody has it, nothing true came, whatever else went wrong */
             "list:1 says:1:- server >server:ok fetch:1 fault:1 >fetch:1:fault done:integrity",
             "list:1,2 says:1:- says:2:- server >server:ok fetch:1 fault:1 >fetch:1:fault fetch:2 >fetch:2:gone "
             "done:integrity",
             "list:1,2 says:1:- says:2:- server >server:ok fetch:1 fault:1 >fetch:1:fault fetch:2 >fetch:2:ok done:ok",
             /* UNREACHABLE */
             "list:1 says:1:- server >server:ok fetch:1 >fetch:1:gone done:unreachable",
             "list:1,2 fresh:1 fresh:2 says:2:1 fault:1 server >server:ok done:unreachable",
             /* but a holder that may never be dialled counts for nothing */
             "list:1 fresh:1 says:1:7 server >server:ok done:not-held",
             "list:1,2 fault:2 list:1 fresh:1 says:1:2 server >server:ok done:not-held",
             /* NOT_HELD: a server tells of peers, none of them has it or answers */
             "list:1 server >server:ok ask:1 >ask:1:gone done:not-held",
             "list:1 server >server:ok ask:1 fault:1 >ask:1:fault done:not-held",
             /* NO_PEERS */
             "server list: >server:empty done:no-peers",
             "server >server:gone done:no-peers",
             "last:1 server >server:gone ask:1 >ask:1:gone done:no-peers",
             "last:1 says:1:- server >server:gone fetch:1 >fetch:1:gone done:no-peers",
             "static:1 server list: >server:empty ask:1 >ask:1:gone done:no-peers",
             /* but one that answers is a peer */
             "last:1 server >server:gone ask:1 >ask:1:empty done:not-held",
             "last:1,2 server >server:fault ask:1 >ask:1:empty done:not-held",
             "static:1 server list: >server:empty ask:1 >ask:1:empty done:not-held");
}

static void test_without_servers_static_peers_are_asked(void **state) {
        LookupConf conf = conf_usual;
        (void) state;

        conf.has_servers = false;
        PLAY(&conf,
             "static:1 last:2 ask:1 >ask:1:gone ask:2 says:2:- >ask:2:ok fetch:2 >fetch:2:ok done:ok",
             "static:1 ask:1 >ask:1:gone done:no-peers",
             "static:1 ask:1 >ask:1:empty done:not-held",
             "done:no-peers");
}

static void test_broken_host_ends_it(void **state) {
        static const struct {
                const char *conversation;
                int error;
        } cases[] = {
                { "server >server:broken done:failed", -EMFILE },
                { "list:1,2 server >server:ok ask:1 >ask:1:broken done:failed", -ENOSPC },
                { "list:1,2 says:1:- says:2:- server >server:ok fetch:1 >fetch:1:broken done:failed", -ENOSPC },
        };
        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                World w;
                world_init(&w, &conf_usual);
                play(&w, cases[i].conversation);
                assert_int_equal(w.step.error, cases[i].error);
                world_done(&w);
        }
}

static void test_says_that_servers_are_away(void **state) {
        World w;
        (void) state;

        world_init(&w, &conf_usual);
        play(&w, "last:1 says:1:- server >server:gone fetch:1");
        assert_true(w.step.servers_away);
        play(&w, ">fetch:1:ok done:ok");
        assert_true(w.step.servers_away);
        world_done(&w);

        world_init(&w, &conf_usual);
        play(&w, "list:1 says:1:- server >server:ok fetch:1");
        assert_false(w.step.servers_away);
        assert_int_equal(w.step.record.digest.bytes[0], 1);
        assert_int_equal(w.step.record.size, 100);
        play(&w, ">fetch:1:ok done:ok");
        assert_false(w.step.servers_away);
        world_done(&w);
}

static void test_what_nobody_asked_for_is_ignored(void **state) {
        (void) state;
        PLAY(&conf_usual,
             ">server:ok server list:1,2 >server:ok >server:gone >ask:1:ok ask:1 >fetch:1:ok >ask:2:gone >ask:1:empty "
             ">ask:1:empty ask:2 says:2:- "
             ">ask:2:ok fetch:2 >fetch:1:ok wait >fetch:2:ok >fetch:2:gone >ask:1:broken done:ok",
             /* done while an index is still awaited */
             "list:1,2 server >server:ok ask:1 +100 ask:2 says:2:- >ask:2:ok fetch:2 >fetch:2:ok done:ok "
             ">ask:1:broken done:ok");
}

static void test_asks_at_once_are_bounded(void **state) {
        static const unsigned wishes[][2] = { { 0, 1 }, { 1, 1 }, { 32, 32 }, { 1000, 32 } };
        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(wishes); i++) {
                LookupConf conf = conf_usual;
                unsigned n = 0;
                World w;

                conf.n_asks_max = wishes[i][0];
                conf.ask_pause_usec = 0;
                world_init(&w, &conf);
                holders_list_begin(w.holders, 0);
                for (unsigned p = 1; p <= 40; p++) {
                        Endpoint e = peer(p);
                        assert_int_equal(holders_list_add(w.holders, 0, &e, p, SLICE_LITERAL(""), &w.now), 0);
                }
                play(&w, "server >server:ok");
                for (;; n++) {
                        assert_int_equal(lookup_next(w.lookup, w.index, w.holders, &trust, &w.now, &w.step), 0);
                        if (w.step.what != LOOKUP_ASK_INDEX)
                                break;
                        lookup_index_connected(w.lookup, &w.step.peer);
                }
                assert_int_equal(w.step.what, LOOKUP_WAIT);
                assert_int_equal(n, wishes[i][1]);
                world_done(&w);
        }
}

/* A thousand liars, and only one holder who may be dialled, known by hearsay like the others. */
static void test_thousands_of_false_holders_hide_nobody(void **state) {
        World w;
        char text[4096] = "";
        (void) state;

        world_init(&w, &conf_usual);
        for (unsigned n = 256; n < 1256; n++) {
                char one[8];
                snprintf(one, sizeof(one), "%s%u", n > 256 ? "," : "", n);
                strlcat(text, one, sizeof(text));
        }
        play(&w, "list:1,2,3 fresh:1 fresh:2 fresh:3 says:1:3");
        /* In an index body holders of one number are in the order of their text; one liar for each spares the
         * sorting. */
        Slice rest = slice_of(text), s;
        unsigned liar = 4;
        while (slice_split(&rest, ',', &s))
                says(&w, liar++, s);
        play(&w, "server >server:ok fetch:3 >fetch:3:ok done:ok");
        world_done(&w);
}

/* Each answer tells of a new holder, each fetch fails, and the server lists them all. */
static void test_ends_against_an_index_that_grows(void **state) {
        unsigned n_asks = 0, n_fetches = 0, next = 100;
        World w;
        (void) state;

        world_init(&w, &conf_usual);
        play(&w, "list:1,2,3 server >server:ok");
        for (;;) {
                assert_int_equal(lookup_next(w.lookup, w.index, w.holders, &trust, &w.now, &w.step), 0);
                if (w.step.what == LOOKUP_DONE)
                        break;
                if (w.step.what == LOOKUP_WAIT) {
                        assert_true(w.step.at < USEC_INFINITY);
                        w.now.boottime = w.step.at;
                        continue;
                }

                Endpoint e = w.step.peer;
                if (next < 1100) {
                        Endpoint fresh = peer(next++);
                        assert_int_equal(holders_list_add(w.holders, 0, &fresh, next, SLICE_LITERAL(""), &w.now), 0);
                        says(&w, next - 1, SLICE_LITERAL("-"));
                }
                if (w.step.what == LOOKUP_FETCH) {
                        n_fetches++;
                        lookup_fetch_told(w.lookup, &e, LOOKUP_CHANGED, 0, &w.now);
                } else {
                        n_asks++;
                        lookup_index_told(w.lookup, &e, LOOKUP_EMPTY, 0, &w.now);
                }
        }
        assert_int_equal(w.step.result, LOOKUP_UNREACHABLE);
        assert_int_equal(n_fetches, 2 * 1000);
        assert_int_equal(n_asks, 1003);
        world_done(&w);
}

static void test_second_holder_beside_a_quiet_one(void **state) {
        LookupConf conf = conf_usual;
        (void) state;

        conf.hedge_usec = 300 * USEC_PER_MSEC;
        PLAY(&conf,
             /* the first whole one wins; what is told of the other then is ignored */
             "list:1,2,3 says:1:- says:2:- says:3:- fresh:3 server >server:ok fetch:1 wait:300 +299 wait:1 +1 fetch:2 wait:300 "
             "+300 wait >fetch:2:ok done:ok >fetch:1:fault done:ok",
             "list:1,2 says:1:- says:2:- fresh:1 fresh:2 server >server:ok fetch:1 +300 fetch:2 >heard:2 >fetch:1:ok "
             "done:ok",
             /* whatever comes of it buys it as much time again */
             "list:1,2 says:1:- says:2:- server >server:ok fetch:1 +200 >heard:1 wait:300 +300 fetch:2 wait:300",
             /* its turn is still to come: that is no quiet */
             "list:1,2 says:1:- says:2:- server >server:ok fetch:1 >waits:1 wait +900 wait >heard:1 wait:300 +300 fetch:2",
             "list:1,2 says:1:- says:2:- fresh:1 fresh:2 server >server:ok fetch:1 >waits:1 wait >fetch:1:gone fetch:2",
             /* at most two; one that failed makes place for the next */
             "list:1,2,3,4 says:1:- says:2:- says:3:- fresh:1 fresh:2 fresh:3 fresh:4 server >server:ok fetch:1 +300 "
             "fetch:2 +300 wait >fetch:1:gone fetch:3 wait:300 >fetch:3:gone wait >fetch:2:gone done:unreachable",
             /* nobody else is known to have it: others are asked meanwhile, and it may still come */
             "list:1,2 says:1:- server >server:ok fetch:1 +300 ask:2 wait >ask:2:empty wait >fetch:1:ok done:ok",
             "list:1,2 says:1:- server >server:ok fetch:1 +300 ask:2 says:2:- >ask:2:ok fetch:2 >fetch:2:ok done:ok");

        conf.hedge_usec = 0;
        PLAY(&conf, "list:1,2,3 says:1:- says:2:- says:3:- server >server:ok fetch:1 fetch:2 ask:3");
}

/* The word of hundreds that are gone by now does not hide the one who is there. */
static void test_holders_that_are_gone_are_no_reason_to_trust_the_rest(void **state) {
        LookupConf conf = conf_usual;
        (void) state;

        conf.hedge_usec = 300 * USEC_PER_MSEC;
        PLAY(&conf,
             "list:1,2,3,4,5 says:1:- says:2:- says:3:- says:4:- says:5:- fresh:1 fresh:2 fresh:3 fresh:4 fresh:5 +1000 "
             "server >server:ok fetch:1 >fetch:1:gone fetch:2 >fetch:2:gone fetch:3 +300 fetch:4 +300 ask:5 >up:5 "
             "says:5:- >ask:5:ok wait >fetch:3:gone fetch:5 >fetch:5:ok done:ok");
}

static void test_who_hangs_is_not_counted(void **state) {
        (void) state;
        PLAY(&conf_usual,
             /* three at once: a fourth when the first has hung for 50 ms, and none while three are connected */
             "list:1,2,3,4,5,6,7 server >server:ok ask:1 +100 ask:2 +50 ask:3 +25 ask:4 wait:12 +13 ask:5 wait:12 +12 "
             "ask:6 >up:1 >up:2 >up:6 wait +5000 wait >ask:1:empty ask:7 wait:50",
             /* a late connection counts from then on, an end without one frees its place */
             "list:1,2,3,4,5 server >server:ok ask:1 +100 ask:2 +100 ask:3 +100 ask:4 +100 >up:1 >up:2 >up:3 wait "
             ">ask:4:gone wait >ask:1:empty ask:5 >ask:2:empty >ask:3:empty >ask:5:empty done:not-held");
}

/* A thousand that drop every packet: all are dialled within seconds, and no more than so many hang at once. */
static void test_a_thousand_that_drop_packets(void **state) {
        struct {
                Endpoint peer;
                usec_t until;
        } hanging[LOOKUP_DIALS_AT_ONCE];
        size_t n = 0, first = 0, n_max = 0, n_all = 0;
        LookupConf conf = conf_usual;
        usec_t began;
        World w;
        (void) state;

        conf.n_asks_max = LOOKUP_ASKS_AT_ONCE;
        world_init(&w, &conf);
        began = w.now.boottime;
        holders_list_begin(w.holders, 0);
        for (unsigned p = 1; p <= 1000; p++) {
                Endpoint e = peer(p);
                assert_int_equal(holders_list_add(w.holders, 0, &e, p, SLICE_LITERAL(""), &w.now), 0);
        }
        holders_list_end(w.holders, 0, true);
        play(&w, "server >server:ok");
        for (;;) {
                assert_int_equal(lookup_next(w.lookup, w.index, w.holders, &trust, &w.now, &w.step), 0);
                if (w.step.what == LOOKUP_DONE)
                        break;
                if (w.step.what == LOOKUP_ASK_INDEX) {
                        assert_true(n < ELEMENTSOF(hanging));
                        hanging[(first + n) % ELEMENTSOF(hanging)].peer = w.step.peer;
                        hanging[(first + n) % ELEMENTSOF(hanging)].until = w.now.boottime + 2 * USEC_PER_SEC;
                        n++;
                        n_max = MAX_OF(n_max, n);
                        n_all++;
                        continue;
                }
                assert_int_equal(w.step.what, LOOKUP_WAIT);
                assert_true(w.step.at > w.now.boottime && n > 0);
                w.now.boottime = MIN_OF(w.step.at, hanging[first].until);
                if (w.now.boottime < hanging[first].until)
                        continue;
                lookup_index_told(w.lookup, &hanging[first].peer, LOOKUP_GONE, 0, &w.now);
                first = (first + 1) % ELEMENTSOF(hanging);
                n--;
        }
        assert_int_equal(w.step.result, LOOKUP_NOT_HELD);
        assert_int_equal(n_all, 1000);
        assert_int_equal(n_max, LOOKUP_DIALS_AT_ONCE);
        assert_int_equal(w.step.n_asked, 1000);
        assert_int_equal(w.step.n_unasked, 1000);
        /* two rounds of 2 s, and some for the pace */
        assert_in_range(w.now.boottime - began, 4 * USEC_PER_SEC, 6 * USEC_PER_SEC);
        world_done(&w);
}

static void test_other_servers_before_giving_up(void **state) {
        LookupConf conf = conf_usual;
        (void) state;

        conf.more_servers = true;
        PLAY(&conf,
             "server list:1 >server:ok ask:1 >ask:1:empty others wait wait page:2 >server:ok ask:2 says:2:- >ask:2:ok "
             "fetch:2 >fetch:2:ok done:ok",
             "server >server:empty others >server:empty done:no-peers",
             "server >server:empty others page:1 >server:ok ask:1 >ask:1:gone done:not-held",
             "server list:1 >server:ok ask:1 >ask:1:empty others >server:gone done:not-held",
             "server >server:empty others >server:broken done:failed",
             /* none of them answered at first: not again */
             "last:1 server >server:gone ask:1 >ask:1:empty done:not-held",
             "list:1 says:1:- server >server:ok fetch:1 >fetch:1:ok done:ok");
}

static void test_only_what_is_known_is_taken(void **state) {
        LookupConf conf = conf_usual;
        World w;
        (void) state;

        conf.known_only = true;
        PLAY(&conf,
             "list:1,2 says:1:- fetch:1 wait >fetch:1:gone done:unreachable", "list:1,2 says:1:7 done:not-held",
             "last:1 says:1:- done:not-held", "done:not-held",
             "list:1,2 says:1:- fault:1 done:not-held", "list:1,2 says:2:1 fault:1 done:unreachable");
        conf.servers_away = true;
        PLAY(&conf, "last:1 says:1:- fetch:1 >fetch:1:ok done:ok");

        /* somebody wants it more than that meanwhile */
        conf.servers_away = false;
        PLAY(&conf, "list:1,2 says:1:- fetch:1 widen >fetch:1:gone server >server:ok ask:2 says:2:- >ask:2:ok fetch:2 "
                    ">fetch:2:ok done:ok",
             "list:1 says:1:- fetch:1 widen >fetch:1:ok done:ok");

        /* whoever has the least to do, the better one for the rest */
        world_init(&w, &conf);
        play(&w, "list:1,2,3 says:1:- says:2:- says:3:-");
        Endpoint busy = peer(1);
        holders_begin_transfer(w.holders, &busy);
        play(&w, "fetch:2 >fetch:2:gone fetch:3 >fetch:3:gone fetch:1 >fetch:1:ok done:ok");
        world_done(&w);
}

static void test_tells_how_many_could_not_be_asked(void **state) {
        World w;
        (void) state;

        world_init(&w, &conf_usual);
        play(&w, "list:1,2,3,4 fresh:4 server >server:ok ask:1 >ask:1:gone ask:2 >ask:2:busy ask:3 >ask:3:empty +1000 "
                 "ask:2 >ask:2:busy done:not-held");
        assert_int_equal(w.step.n_asked, 3);
        assert_int_equal(w.step.n_unasked, 2);
        world_done(&w);
}

static void test_what_is_disputed_is_never_taken(void **state) {
        (void) state;
        PLAY(&conf_usual,
             "list:1,2 fresh:1 fresh:2 says:1:- text:9 says:2:- server >server:ok done:disputed",
             /* a third decides it, and is found by asking; the one who says otherwise is not turned to */
             "list:1,2,3 fresh:1 fresh:2 says:2:- text:9 says:1:- text:1 server >server:ok ask:3 says:3:- >ask:3:ok "
             "fetch:3 >fetch:3:gone fetch:2 >fetch:2:gone done:unreachable",
             /* hearsay makes no dispute, and no text where a holder speaks */
             "list:1,2,3 fresh:1 fresh:2 fresh:3 says:1:- text:9 says:2:3 server >server:ok fetch:1 >fetch:1:ok done:ok",
             "list:1,2,3 fresh:1 fresh:2 fresh:3 says:1:- text:9 says:2:3 server >server:ok fetch:1 >fetch:1:gone "
             "done:unreachable",
             /* who was caught has no say */
             "list:1,2 fresh:1 fresh:2 says:1:- text:9 says:2:- fault:2 server >server:ok fetch:1 >fetch:1:ok done:ok");
}

static void test_peers_are_asked_until_they_agree(void **state) {
        LookupConf conf = conf_usual;
        World w;
        (void) state;

        conf.accept = GRADE_AGREED;
        PLAY(&conf,
             "list:1,2,3 says:2:- fresh:2 server >server:ok ask:1 >ask:1:empty ask:3 says:3:- >ask:3:ok fetch:3 "
             ">fetch:3:ok done:ok",
             "list:1,2,3 fresh:1 fresh:2 fresh:3 says:1:- says:2:- text:9 says:3:- server >server:ok fetch:1 "
             ">fetch:1:ok done:ok",
             "list:1,2 fresh:2 says:1:2 server >server:ok ask:1 >ask:1:ok done:untrusted");
        world_init(&w, &conf);
        play(&w, "list:1,2 says:1:- fresh:1 server >server:ok ask:2 >ask:2:empty done:untrusted");
        assert_int_equal(w.step.grade, GRADE_SINGLE);
        assert_int_equal(w.step.n_agreeing, 1);
        world_done(&w);

        /* No manifest: nothing is verified. */
        conf.accept = GRADE_VERIFIED;
        world_init(&w, &conf);
        play(&w, "list:1,2 says:1:- says:2:- fresh:1 fresh:2 server >server:ok done:untrusted");
        assert_int_equal(w.step.grade, GRADE_AGREED);
        assert_int_equal(w.step.n_agreeing, 2);
        world_done(&w);
}

static void test_result_names(void **state) {
        (void) state;
        assert_string_equal(lookup_result_name(LOOKUP_FOUND), "ok");
        assert_string_equal(lookup_result_name(LOOKUP_FAILED), "failed");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_server_comes_first),
                cmocka_unit_test(test_only_known_and_active_are_dialled),
                cmocka_unit_test(test_best_holder_first_then_the_next),
                cmocka_unit_test(test_asks_peer_by_peer_and_fetches_from_whoever_has_it),
                cmocka_unit_test(test_asks_are_staggered),
                cmocka_unit_test(test_fresh_peers_are_not_asked_again),
                cmocka_unit_test(test_who_is_busy_is_asked_once_more),
                cmocka_unit_test(test_failed_holder_is_not_tried_again),
                cmocka_unit_test(test_changed_is_tried_once_more),
                cmocka_unit_test(test_results),
                cmocka_unit_test(test_without_servers_static_peers_are_asked),
                cmocka_unit_test(test_broken_host_ends_it),
                cmocka_unit_test(test_says_that_servers_are_away),
                cmocka_unit_test(test_what_nobody_asked_for_is_ignored),
                cmocka_unit_test(test_asks_at_once_are_bounded),
                cmocka_unit_test(test_thousands_of_false_holders_hide_nobody),
                cmocka_unit_test(test_ends_against_an_index_that_grows),
                cmocka_unit_test(test_second_holder_beside_a_quiet_one),
                cmocka_unit_test(test_holders_that_are_gone_are_no_reason_to_trust_the_rest),
                cmocka_unit_test(test_who_hangs_is_not_counted),
                cmocka_unit_test(test_a_thousand_that_drop_packets),
                cmocka_unit_test(test_other_servers_before_giving_up),
                cmocka_unit_test(test_only_what_is_known_is_taken),
                cmocka_unit_test(test_tells_how_many_could_not_be_asked),
                cmocka_unit_test(test_what_is_disputed_is_never_taken),
                cmocka_unit_test(test_peers_are_asked_until_they_agree),
                cmocka_unit_test(test_result_names),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
