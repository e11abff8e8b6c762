/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/replicate.h"

#define MIB (UINT64_C(1) << 20)

static const ReplicateConf roomy = { .room = UINT64_MAX, .max_file_size = 64 * MIB, .key = { 1, 2 } };

/* May be taken, unless something is said otherwise. */
static ReplicateCandidate candidate(uint32_t number, uint32_t n_holders) {
        return (ReplicateCandidate){ .number = number, .size = 1000, .n_holders = n_holders, .issued = true };
}

static void add(ReplicatePlan *p, ReplicateCandidate c) {
        assert_int_equal(replicate_plan_add(p, &c), 0);
}

static void test_only_what_no_liar_can_make_up_is_taken(void **state) {
        static const struct {
                ReplicateCandidate c;
                int skip;                       /* -1: taken */
        } cases[] = {
                { { .size = 5, .n_holders = 1, .issued = true }, -1 },
                { { .size = 5, .n_holders = 1, .agreed = true }, -1 },
                { { .size = 5, .n_holders = 1, .agreed = true, .issued = true }, -1 },
                { { .size = 64 * MIB, .n_holders = 1, .issued = true }, -1 },
                { { .size = 0, .n_holders = 1, .issued = true }, -1 },
                { { .size = 5, .n_holders = 1 }, REPLICATE_UNKNOWN },
                { { .size = 5, .n_holders = 60000 }, REPLICATE_UNKNOWN },
                { { .size = 5, .n_holders = 1, .issued = true, .disputed = true }, REPLICATE_DISPUTED },
                { { .size = 5, .n_holders = 1, .disputed = true }, REPLICATE_DISPUTED },
                { { .size = 5, .n_holders = 1, .issued = true, .held = true }, REPLICATE_HELD },
                { { .size = 5, .n_holders = 1, .disputed = true, .held = true }, REPLICATE_HELD },
                { { .size = 64 * MIB + 1, .n_holders = 1, .issued = true }, REPLICATE_TOO_LARGE },
                { { .size = 5, .issued = true }, REPLICATE_NO_HOLDER },
        };
        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                ReplicateItem item;
                ReplicatePlan p;

                replicate_plan_init(&p, &roomy);
                add(&p, cases[i].c);
                replicate_plan_end(&p);
                assert_int_equal(p.planned.n, cases[i].skip < 0);
                for (int s = 0; s < _REPLICATE_SKIP_MAX; s++)
                        assert_int_equal(p.skipped[s].n, s == cases[i].skip);
                assert_int_equal(replicate_plan_next(&p, &item), cases[i].skip < 0);
                assert_false(replicate_plan_next(&p, &item));
                replicate_plan_done(&p);
        }
}

static void test_rarest_come_first(void **state) {
        ReplicatePlan p;
        ReplicateItem item, last = {};
        size_t n = 0;
        (void) state;

        replicate_plan_init(&p, &roomy);
        for (uint32_t number = 1; number <= 500; number++)
                add(&p, candidate(number, 1 + number * 7 % 5));
        replicate_plan_end(&p);
        while (replicate_plan_next(&p, &item)) {
                assert_true(item.n_holders >= last.n_holders);
                assert_int_equal(item.n_holders, 1 + item.number * 7 % 5);
                last = item;
                n++;
        }
        assert_int_equal(n, 500);
        assert_int_equal(p.planned.n, 500);
        assert_int_equal(p.planned.bytes, 500 * 1000);
        replicate_plan_done(&p);
}

/* Peers that miss the same begin at different ends of it; one peer asks in the same order each time. */
static void test_equals_are_ordered_by_each_peer_for_itself(void **state) {
        uint32_t order[3][100];
        size_t same = 0;
        (void) state;

        for (unsigned peer = 0; peer < 3; peer++) {
                const ReplicateConf conf = { .room = UINT64_MAX, .max_file_size = MIB, .key = { 1, peer / 2 } };
                ReplicateItem item;
                ReplicatePlan p;

                replicate_plan_init(&p, &conf);
                for (uint32_t number = 1; number <= 100; number++)
                        add(&p, candidate(number, 2));
                replicate_plan_end(&p);
                for (size_t i = 0; replicate_plan_next(&p, &item); i++)
                        order[peer][i] = item.number;
                replicate_plan_done(&p);
        }
        assert_memory_equal(order[0], order[1], sizeof(order[0]));
        for (size_t i = 0; i < 100; i++)
                same += order[0][i] == order[2][i];
        assert_true(same < 10);
}

static void test_plan_stays_within_the_room(void **state) {
        const ReplicateConf conf = { .room = 2500, .max_file_size = 64 * MIB, .key = { 1, 2 } };
        ReplicateCandidate big = candidate(7, 1);
        ReplicateItem item;
        ReplicatePlan p;
        uint64_t sum = 0;
        (void) state;

        replicate_plan_init(&p, &conf);
        big.size = 2501;
        add(&p, big);
        for (uint32_t number = 10; number < 20; number++)
                add(&p, candidate(number, 2));
        replicate_plan_end(&p);
        while (replicate_plan_next(&p, &item))
                sum += item.size;
        /* What is too big itself keeps nobody out. */
        assert_int_equal(sum, 2000);
        assert_int_equal(p.planned.n, 2);
        assert_int_equal(p.planned.bytes, 2000);
        assert_int_equal(p.skipped[REPLICATE_NO_ROOM].n, 9);
        assert_int_equal(p.skipped[REPLICATE_NO_ROOM].bytes, 2501 + 8 * 1000);
        replicate_plan_done(&p);
}

static void test_sizes_that_lie_do_not_wrap(void **state) {
        const ReplicateConf conf = { .room = 100, .max_file_size = UINT64_MAX, .key = { 1, 2 } };
        ReplicateItem item;
        ReplicatePlan p;
        (void) state;

        replicate_plan_init(&p, &conf);
        for (uint32_t number = 1; number < 4; number++) {
                ReplicateCandidate c = candidate(number, 1);

                c.size = UINT64_MAX - 1;
                add(&p, c);
        }
        replicate_plan_end(&p);
        assert_false(replicate_plan_next(&p, &item));
        assert_int_equal(p.skipped[REPLICATE_NO_ROOM].n, 3);
        assert_true(p.skipped[REPLICATE_NO_ROOM].bytes == UINT64_MAX);
        replicate_plan_done(&p);
}

static void test_an_empty_plan_ends(void **state) {
        ReplicateItem item;
        ReplicatePlan p;
        (void) state;

        replicate_plan_init(&p, &roomy);
        replicate_plan_end(&p);
        assert_false(replicate_plan_next(&p, &item));
        assert_int_equal(p.planned.n, 0);
        replicate_plan_done(&p);
}

/* ---- who keeps which copy ---- */

#define PEERS 20
#define NUMBERS 9000
#define REPLICAS 3

static Endpoint peer(unsigned n) {
        Endpoint e = { .port = 65424 };

        assert_int_equal(address_from_text(SLICE_LITERAL("192.0.2.0"), &e.address), 0);
        e.address.bytes[15] = (uint8_t) n;
        return e;
}

/* Who keeps it, of those of `peers` that are not `without` (PEERS: all): a bit each. */
static uint32_t keepers(uint32_t number, const Endpoint *peers, unsigned without) {
        Endpoint others[PEERS];
        uint32_t bits = 0;

        for (unsigned i = 0; i < PEERS; i++) {
                size_t n = 0;

                if (i == without)
                        continue;
                for (unsigned k = 0; k < PEERS; k++)
                        if (k != i && k != without)
                                others[n++] = peers[k];
                bits |= (uint32_t) replicate_keeps(number, REPLICAS, &peers[i], 1, others, n) << i;
        }
        return bits;
}

static unsigned count_bits(uint32_t bits) {
        return (unsigned) __builtin_popcount(bits);
}

/* The expected share is 1350; its standard deviation some 34. */
static void test_copies_are_as_many_as_wanted_and_spread_evenly(void **state) {
        unsigned share[PEERS] = {};
        Endpoint peers[PEERS];
        (void) state;

        for (unsigned i = 0; i < PEERS; i++)
                peers[i] = peer(i + 1);
        for (uint32_t number = 1; number <= NUMBERS; number++) {
                uint32_t bits = keepers(number, peers, PEERS);

                assert_int_equal(count_bits(bits), REPLICAS);
                for (unsigned i = 0; i < PEERS; i++)
                        share[i] += bits >> i & 1;
        }
        for (unsigned i = 0; i < PEERS; i++)
                assert_in_range(share[i], NUMBERS * REPLICAS / PEERS * 85 / 100, NUMBERS * REPLICAS / PEERS * 115 / 100);
}

/* Each copy of a peer that leaves goes to one other, and nothing else moves. */
static void test_a_peer_that_leaves_moves_only_its_share(void **state) {
        Endpoint peers[PEERS];
        (void) state;

        for (unsigned i = 0; i < PEERS; i++)
                peers[i] = peer(i + 1);
        for (uint32_t number = 1; number <= 1000; number++) {
                uint32_t before = keepers(number, peers, PEERS), after = keepers(number, peers, 4);

                if (before >> 4 & 1) {
                        assert_int_equal(before & ~(UINT32_C(1) << 4) & ~after, 0);
                        assert_int_equal(count_bits(after), REPLICAS);
                } else
                        assert_int_equal(before, after);
        }
}

/* It would move every copy there is. */
static void test_weights_are_the_same_for_ever(void **state) {
        const Endpoint one = peer(1);
        (void) state;

        assert_true(replicate_weight(7230, &one) == UINT64_C(0xeb04ca8dae9d8cb1));
}

static void test_own_endpoints_compete_together_and_not_with_each_other(void **state) {
        Endpoint all[PEERS];
        (void) state;

        for (unsigned i = 0; i < PEERS; i++)
                all[i] = peer(i + 1);
        for (uint32_t number = 1; number < 200; number++) {
                size_t one = replicate_rank(number, &all[0], 1, all, PEERS, NULL, 0);
                size_t two = replicate_rank(number, &all[1], 1, all, PEERS, NULL, 0);
                size_t both = replicate_rank(number, all, 2, all, PEERS, NULL, 0);

                assert_int_equal(both, MIN_OF(one, two));
        }
        /* With nobody to compare there is one only. */
        assert_int_equal(replicate_rank(7, all, 2, NULL, 0, NULL, 0), 0);
        assert_true(replicate_keeps(7, 1, all, 1, NULL, 0));
        assert_false(replicate_keeps(7, 0, all, 1, NULL, 0));
}

/* How many of all feel meant, with the first n_holders having it. */
static unsigned count_takers(uint32_t number, unsigned n_rounds, const Endpoint *peers, unsigned n_holders) {
        unsigned n = 0;

        for (unsigned i = n_holders; i < PEERS; i++)
                n += replicate_takes(number, REPLICAS, n_rounds, &peers[i], 1, peers, PEERS, peers, n_holders);
        return n;
}

static void test_as_many_take_as_copies_are_missing(void **state) {
        Endpoint peers[PEERS];
        (void) state;

        for (unsigned i = 0; i < PEERS; i++)
                peers[i] = peer(i + 1);
        for (uint32_t number = 1; number < 200; number++) {
                assert_int_equal(count_takers(number, 1, peers, 1), 2);
                assert_int_equal(count_takers(number, 1, peers, 2), 1);
                assert_int_equal(count_takers(number, 1, peers, 3), 0);
                assert_int_equal(count_takers(number, 1000, peers, 3), 0);
                /* Once is no reason; and as long as nothing comes of it one more feels meant each time. */
                assert_int_equal(count_takers(number, 0, peers, 1), 0);
                assert_int_equal(count_takers(number, 2, peers, 1), 3);
                assert_int_equal(count_takers(number, 5, peers, 2), 5);
                assert_int_equal(count_takers(number, 1000, peers, 2), PEERS - 2);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_only_what_no_liar_can_make_up_is_taken),
                cmocka_unit_test(test_rarest_come_first),
                cmocka_unit_test(test_equals_are_ordered_by_each_peer_for_itself),
                cmocka_unit_test(test_plan_stays_within_the_room),
                cmocka_unit_test(test_sizes_that_lie_do_not_wrap),
                cmocka_unit_test(test_an_empty_plan_ends),
                cmocka_unit_test(test_copies_are_as_many_as_wanted_and_spread_evenly),
                cmocka_unit_test(test_a_peer_that_leaves_moves_only_its_share),
                cmocka_unit_test(test_weights_are_the_same_for_ever),
                cmocka_unit_test(test_own_endpoints_compete_together_and_not_with_each_other),
                cmocka_unit_test(test_as_many_take_as_copies_are_missing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
