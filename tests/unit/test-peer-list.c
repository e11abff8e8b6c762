/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer-list-test.h"

#define _cleanup_list_ _cleanup_(peer_list_free_p)

static void test_lease_ends_on_time(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        uint32_t id;
        bool moved;

        (void) state;
        assert_true(peer_list_next_expiry(l) == USEC_INFINITY);
        id = register_new(l, 11, "192.0.2.1:65424", AT(100));
        assert_int_equal(id, 1);
        assert_true(peer_list_next_expiry(l) == 7300 * USEC_PER_SEC);
        assert_string_equal(expired_ids(l, AT(7299)), "");
        assert_string_equal(active_ids(l, false), "1");

        /* Even if nobody ran expire: a lease that has ended is not renewed. */
        assert_int_equal(peer_list_keepalive(l, 11, ADDRESS("192.0.2.1:1"), AT(7300), &id, &moved), PEER_LIST_INACTIVE);
        assert_int_equal(peer_list_touch(l, 11, AT(7300), &id), PEER_LIST_INACTIVE);

        assert_string_equal(expired_ids(l, AT(7300)), "-1");
        assert_string_equal(active_ids(l, false), "");
        assert_false(get(l, 1).active);
        assert_int_equal(peer_list_count(l), 1);
        assert_int_equal(peer_list_count_active(l, true), 0);
        assert_true(get(l, 1).expires_at == 7300 * USEC_PER_SEC + RETENTION);
}

static void test_register_keepalive_and_pquery_renew(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        uint32_t id;
        bool moved, was_active;

        (void) state;
        (void) register_new(l, 11, "192.0.2.1:65424", AT(0));
        assert_int_equal(peer_list_keepalive(l, 11, ADDRESS("192.0.2.1:1"), AT(10), &id, &moved), 0);
        assert_false(moved);
        assert_true(get(l, 1).expires_at == 7210 * USEC_PER_SEC);
        assert_int_equal(peer_list_touch(l, 11, AT(20), &id), 0);
        assert_true(get(l, 1).expires_at == 7220 * USEC_PER_SEC);
        register_again(l, 11, "192.0.2.1:65424", AT(30));
        assert_true(get(l, 1).expires_at == 7230 * USEC_PER_SEC);

        /* Of an inactive peer only Register. */
        assert_int_equal(peer_list_leave(l, 11, AT(40), &id, &was_active), 0);
        assert_true(was_active);
        assert_int_equal(peer_list_leave(l, 11, AT(41), &id, &was_active), 0);
        assert_false(was_active);
        assert_int_equal(peer_list_keepalive(l, 11, ADDRESS("192.0.2.1:1"), AT(42), &id, &moved), PEER_LIST_INACTIVE);
        id = 0;
        assert_int_equal(peer_list_touch(l, 11, AT(42), &id), PEER_LIST_INACTIVE);
        assert_int_equal(id, 1);
        assert_string_equal(active_ids(l, true), "");
        register_again(l, 11, "192.0.2.1:65424", AT(50));
        assert_string_equal(active_ids(l, true), "1");
        assert_int_equal(peer_info_registrations(&(PeerInfo){ 0 }, DAY_0), 0);
        assert_int_equal(get(l, 1).counts[0], 3);

        assert_int_equal(peer_list_leave(l, 12, AT(60), &id, &was_active), PEER_LIST_UNKNOWN);
        assert_int_equal(peer_list_touch(l, 12, AT(60), &id), PEER_LIST_UNKNOWN);
        assert_int_equal(peer_list_keepalive(l, 12, ADDRESS("192.0.2.1:1"), AT(60), &id, &moved), PEER_LIST_UNKNOWN);
        assert_int_equal(try_register(l, 12, 0, &(Endpoint){ .port = 1 }, AT(60), NULL), PEER_LIST_UNKNOWN);
        assert_int_equal(try_register(l, 0, 11, &(Endpoint){ .port = 1 }, AT(60), NULL), PEER_LIST_TAKEN);
}

static void test_leases_end_in_the_order_of_their_ends(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        PeerListLimits limits = { TTL, 1000000, 1000000, RETENTION };
        uint32_t id;

        (void) state;
        (void) register_new(l, 11, "192.0.2.1:1", AT(0));
        (void) register_new(l, 12, "192.0.2.2:1", AT(1));
        (void) register_new(l, 13, "192.0.2.3:1", AT(2));
        assert_int_equal(peer_list_touch(l, 11, AT(3), &id), 0);

        /* A reload with another TTL: counts for renewals from then on, what runs keeps its end. */
        limits.ttl_usec = 60 * USEC_PER_SEC;
        peer_list_set_limits(l, &limits);
        (void) register_new(l, 14, "192.0.2.4:1", AT(10));
        assert_int_equal(peer_list_touch(l, 13, AT(20), &id), 0);
        limits.ttl_usec = 2 * TTL;
        peer_list_set_limits(l, &limits);
        (void) register_new(l, 15, "192.0.2.5:1", AT(30));

        assert_true(peer_list_next_expiry(l) == 70 * USEC_PER_SEC);
        assert_string_equal(expired_ids(l, AT(79)), "-4");
        assert_string_equal(expired_ids(l, AT(80)), "-3");
        assert_string_equal(expired_ids(l, AT(20000)), "-2 -1 -5");
        assert_string_equal(expired_ids(l, AT(20000)), "");
}

/* Each value adds a queue while its terms last; beyond their number they share one, and still end in order. */
static void test_many_reloads_with_ever_other_ttls(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        PeerListLimits limits = { TTL, 1000000, 1000000, RETENTION };
        usec_t last = 0;
        uint32_t id;
        bool forgotten;
        size_t n = 0;

        (void) state;
        for (uint32_t i = 0; i < 100; i++) {
                const Endpoint e = endpoint_number(i);

                limits.ttl_usec = (1 + i * 37 % 100) * USEC_PER_MINUTE;
                peer_list_set_limits(l, &limits);
                assert_int_equal(try_register(l, 0, 100 + i, &e, AT(i), NULL), 0);
        }
        while (peer_list_next_expiry(l) < RETENTION) {
                usec_t next = peer_list_next_expiry(l);

                assert_true(next >= last);
                last = next;
                assert_true(peer_list_expire(l, &(Now){ .boottime = next, .realtime = DAY_0 }, &id, &forgotten));
                assert_false(forgotten);
                n++;
        }
        assert_int_equal(n, 100);
}

/* By years, to and fro: only what people are shown follows. */
static void test_a_wall_clock_that_jumps_ends_no_lease(void **state) {
        static const usec_t days[] = { 20000, 20000 + 3650, 0, 20000 + 36500, 20000 };
        _cleanup_list_ PeerList *l = new_list();
        Now now = { .realtime = DAY_0 };

        (void) state;
        register_new(l, 101, "192.0.2.1:1", &now);
        register_new(l, 102, "192.0.2.2:1", &now);
        assert_int_equal(peer_list_leave(l, 102, &now, &(uint32_t){ 0 }, &(bool){ false }), 0);
        for (size_t i = 0; i < ELEMENTSOF(days); i++) {
                now = (Now){ .boottime = (i + 1) * USEC_PER_SEC, .realtime = days[i] * USEC_PER_DAY };
                assert_string_equal(expired_ids(l, &now), "");
                assert_string_equal(active_ids(l, true), "1");
                assert_true(get(l, 1).expires_at == TTL);
        }
        now.boottime = TTL;
        assert_string_equal(expired_ids(l, &now), "-1");
        now.boottime = RETENTION;
        assert_string_equal(expired_ids(l, &now), "x2");
}

static void test_inactive_are_forgotten_after_the_retention(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        PeerListLimits limits = { TTL, 1000000, 1000000, 100 * USEC_PER_SEC };
        PeerInfo info;
        bool was_active;
        uint32_t id;

        (void) state;
        (void) register_new(l, 11, "192.0.2.1:1", AT(0));
        (void) register_new(l, 12, "192.0.2.2:1", AT(0));
        (void) register_new(l, 13, "192.0.2.3:1", AT(0));
        assert_int_equal(peer_list_leave(l, 11, AT(10), &id, &was_active), 0);
        peer_list_set_limits(l, &limits);
        assert_int_equal(peer_list_leave(l, 12, AT(20), &id, &was_active), 0);

        /* The one that left before the reload keeps its day. */
        assert_string_equal(expired_ids(l, AT(119)), "");
        assert_string_equal(expired_ids(l, AT(120)), "x2");
        assert_false(peer_list_get(l, 2, &info));
        assert_false(peer_list_find(l, 12, &info));
        assert_int_equal(peer_list_touch(l, 12, AT(121), &id), PEER_LIST_UNKNOWN);
        assert_string_equal(expired_ids(l, AT(7300)), "-3");
        assert_string_equal(expired_ids(l, AT(7400)), "x3");
        assert_string_equal(expired_ids(l, AT(10 + 30 * 86400 - 1)), "");
        assert_string_equal(expired_ids(l, AT(10 + 30 * 86400)), "x1");
        assert_int_equal(peer_list_count(l), 0);
        assert_true(peer_list_next_expiry(l) == USEC_INFINITY);
}

static void test_ids_are_never_given_twice(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        PeerListLimits limits = { TTL, 1000000, 1000000, 0 };
        bool was_active;
        uint32_t id;

        (void) state;
        peer_list_set_limits(l, &limits);
        for (uint32_t i = 1; i <= 1000; i++) {
                assert_int_equal(register_new(l, 100 + i, "192.0.2.1:1", AT(i)), i);
                assert_int_equal(peer_list_leave(l, 100 + i, AT(i), &id, &was_active), 0);
                (void) expired_ids(l, AT(i));
                assert_int_equal(peer_list_count(l), 0);
        }
        assert_int_equal(peer_list_last_id(l), 1000);
        peer_list_set_last_id(l, 5000);
        assert_int_equal(register_new(l, 1, "192.0.2.1:1", AT(0)), 5001);
        peer_list_set_last_id(l, 10);
        assert_int_equal(register_new(l, 2, "192.0.2.2:1", AT(0)), 5002);
        peer_list_set_last_id(l, UINT32_MAX);
        assert_int_equal(try_register(l, 0, 3, &(Endpoint){ .port = 9 }, AT(0), NULL), PEER_LIST_FULL);
        register_again(l, 2, "192.0.2.2:1", AT(0));
        assert_false(peer_list_next_active(l, UINT32_MAX, true, &(PeerListing){ 0 }));
}

static void test_an_endpoint_has_one_active_peer(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        uint32_t id;
        bool moved;

        (void) state;
        (void) register_new(l, 11, "192.0.2.1:65424", AT(0));
        (void) register_new(l, 12, "192.0.2.1:65425", AT(0));
        (void) register_new(l, 13, "192.0.2.1:65424", AT(1));   /* state lost, restarted */
        assert_string_equal(active_ids(l, false), "2 3");
        assert_int_equal(peer_list_count(l), 3);
        assert_string_equal(changed_ids(l), "1 2 3");

        /* The ghost comes back elsewhere, with its id. */
        register_again(l, 11, "192.0.2.9:65424", AT(2));
        assert_string_equal(active_ids(l, false), "1 2 3");
        /* A KeepAlive that comes from there has the endpoint of 1 then. */
        assert_int_equal(peer_list_keepalive(l, 13, ADDRESS("192.0.2.9:1"), AT(3), &id, &moved), 0);
        assert_true(moved);
        assert_string_equal(active_ids(l, false), "2 3");
        assert_int_equal(get(l, 3).endpoint.port, 65424);
        assert_true(address_equal(&(PeerInfo[]){ get(l, 3) }[0].endpoint.address, ADDRESS("192.0.2.9:1")));

        /* Registering anew under the same endpoint lays no ghost of oneself. */
        register_again(l, 13, "192.0.2.9:65424", AT(4));
        assert_string_equal(active_ids(l, false), "2 3");
        register_again(l, 13, "192.0.2.9:1234", AT(5));
        assert_int_equal(get(l, 3).endpoint.port, 1234);
        /* ... and its old one is free. */
        (void) register_new(l, 14, "192.0.2.9:65424", AT(6));
        assert_string_equal(active_ids(l, false), "2 3 4");
}

static void test_full_table_forgets_who_would_be_forgotten_first(void **state) {
        _cleanup_list_ PeerList *l = new_list_of(3, 100);
        PeerInfo info;
        bool was_active;
        uint32_t id;

        (void) state;
        (void) register_new(l, 11, "192.0.2.1:1", AT(0));
        (void) register_new(l, 12, "192.0.2.2:1", AT(0));
        (void) register_new(l, 13, "192.0.2.3:1", AT(0));
        assert_int_equal(try_register(l, 0, 14, &(Endpoint){ .port = 1 }, AT(1), NULL), PEER_LIST_FULL);
        assert_int_equal(peer_list_last_id(l), 3);
        /* Its own ghost is no reason to refuse. */
        assert_int_equal(register_new(l, 15, "192.0.2.2:1", AT(2)), 4);
        assert_string_equal(active_ids(l, false), "1 3 4");
        assert_false(peer_list_get(l, 2, &info));

        assert_int_equal(peer_list_leave(l, 13, AT(3), &id, &was_active), 0);
        assert_int_equal(peer_list_leave(l, 11, AT(4), &id, &was_active), 0);
        assert_int_equal(register_new(l, 16, "192.0.2.6:1", AT(5)), 5);
        assert_false(peer_list_get(l, 3, &info));
        assert_true(peer_list_get(l, 1, &info));
        assert_int_equal(peer_list_count(l), 3);
        /* Who is known already needs no room. */
        register_again(l, 11, "192.0.2.1:1", AT(6));
        assert_int_equal(try_register(l, 0, 17, &(Endpoint){ .port = 1 }, AT(7), NULL), PEER_LIST_FULL);

        /* The queue knew of all that. */
        (void) changed_ids(l);
        assert_false(peer_list_has_changes(l));

        /* A lower limit throws nobody out, but inactive ones make room until it is kept. */
        assert_int_equal(peer_list_leave(l, 11, AT(8), &id, &was_active), 0);
        assert_int_equal(peer_list_leave(l, 15, AT(8), &id, &was_active), 0);
        peer_list_set_limits(l, &(PeerListLimits){ TTL, 2, 100, RETENTION });
        assert_int_equal(peer_list_count(l), 3);
        assert_int_equal(register_new(l, 18, "192.0.2.8:1", AT(9)), 6);
        assert_int_equal(peer_list_count(l), 2);
        assert_string_equal(active_ids(l, false), "5 6");
}

static void test_one_source_cannot_fill_the_table(void **state) {
        _cleanup_list_ PeerList *l = new_list_of(100, 2);
        Endpoint third = endpoint("192.0.2.1:3"), v6 = endpoint("[2001:db8::3]:1");
        uint32_t id;
        bool was_active, moved;

        (void) state;
        (void) register_new(l, 11, "192.0.2.1:1", AT(0));
        (void) register_new(l, 12, "192.0.2.1:2", AT(0));
        assert_int_equal(try_register(l, 0, 13, &third, AT(0), NULL), PEER_LIST_SOURCE_FULL);
        register_again(l, 12, "192.0.2.1:3", AT(1));                    /* has a place */
        (void) register_new(l, 14, "192.0.2.1:3", AT(1));               /* takes the ghost's */
        assert_string_equal(active_ids(l, false), "1 3");
        (void) register_new(l, 15, "192.0.2.2:9", AT(2));
        assert_int_equal(peer_list_keepalive(l, 15, &third.address, AT(3), &id, &moved), PEER_LIST_SOURCE_FULL);
        assert_true(get(l, 4).expires_at == 7202 * USEC_PER_SEC);
        assert_int_equal(peer_list_leave(l, 11, AT(4), &id, &was_active), 0);
        assert_int_equal(peer_list_keepalive(l, 15, &third.address, AT(5), &id, &moved), 0);
        assert_int_equal(try_register(l, 11, 0, &third, AT(6), NULL), 0);       /* lays 3, which sits there */
        assert_int_equal(try_register(l, 12, 0, &(Endpoint){ third.address, 77 }, AT(6), NULL), PEER_LIST_SOURCE_FULL);

        /* A /64 is one source. */
        (void) register_new(l, 21, "[2001:db8::1]:1", AT(7));
        (void) register_new(l, 22, "[2001:db8::2]:1", AT(7));
        assert_int_equal(try_register(l, 0, 23, &v6, AT(7), NULL), PEER_LIST_SOURCE_FULL);
        (void) register_new(l, 24, "[2001:db8:0:1::1]:1", AT(7));
        /* What time ends gives its place back. */
        (void) expired_ids(l, AT(7207));
        assert_int_equal(try_register(l, 0, 23, &v6, AT(7207), NULL), 0);
}

/* peer_list_sample(), as ids. */
static size_t sample_ids(const PeerList *l, uint32_t except, bool loopback, size_t n, uint64_t seed, uint32_t *ret) {
        size_t n_drawn = peer_list_sample(l, except, loopback, n, seed, ret);

        for (size_t i = 0; i < n_drawn; i++) {
                PeerListing p;

                peer_list_look_ahead(l, ret[i]);
                peer_list_look(l, ret[i], &p);
                ret[i] = p.id;
        }
        return n_drawn;
}

static void test_loopback_is_listed_apart(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        uint32_t ids[8];
        uint32_t id;
        bool moved;

        (void) state;
        (void) register_new(l, 11, "127.0.0.1:1", AT(0));
        (void) register_new(l, 12, "192.0.2.1:1", AT(0));
        (void) register_new(l, 13, "[::1]:1", AT(0));
        (void) register_new(l, 14, "192.0.2.2:1", AT(0));
        assert_string_equal(active_ids(l, true), "1 2 3 4");
        assert_string_equal(active_ids(l, false), "2 4");
        assert_int_equal(peer_list_count_active(l, true), 4);
        assert_int_equal(peer_list_count_active(l, false), 2);
        assert_int_equal(sample_ids(l, 0, false, 8, 1, ids), 2);
        assert_int_equal(ids[0], 2);
        assert_int_equal(ids[1], 4);
        assert_int_equal(sample_ids(l, 2, true, 8, 1, ids), 3);
        assert_int_equal(ids[0], 1);
        assert_int_equal(ids[1], 3);
        assert_int_equal(ids[2], 4);
        assert_int_equal(sample_ids(l, 1, false, 8, 1, ids), 2);

        assert_int_equal(peer_list_keepalive(l, 11, ADDRESS("192.0.2.3:1"), AT(1), &id, &moved), 0);
        assert_string_equal(active_ids(l, false), "1 2 4");
        assert_string_equal(active_ids(l, true), "1 2 3 4");
}

/* Many inactive and loopback peers between: a list goes over them without looking at each. */
static void test_pages_are_whole_over_gaps(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        PeerListing info = { 0 };
        PeerInfo whole;
        uint32_t n = 0, after = 0, id;
        bool was_active;

        (void) state;
        for (uint32_t i = 1; i <= 100000; i++) {
                Endpoint e = endpoint_number(i);

                if (i % 1000 == 7)
                        e.address.bytes[12] = 127;
                assert_int_equal(try_register(l, 0, i, &e, AT(0), &id), 0);
                assert_int_equal(id, i);
        }
        for (uint32_t i = 1; i <= 100000; i++)
                if (i % 500 != 250 && i % 1000 != 7)
                        assert_int_equal(peer_list_leave(l, i, AT(1), &id, &was_active), 0);
        assert_int_equal(peer_list_count_active(l, false), 200);
        assert_int_equal(peer_list_count_active(l, true), 300);
        while (peer_list_next_active(l, after, false, &info)) {
                assert_int_equal(info.id, n * 500 + 250);
                n++;
                after = info.id;
        }
        assert_int_equal(n, 200);
        /* The asker's cursor need not be an id that there is. */
        assert_true(peer_list_next_active(l, 251, false, &info));
        assert_int_equal(info.id, 750);

        /* All inactive ones go; the order is closed up, and stays right. */
        while (peer_list_expire(l, AT(1 + 30 * 86400), &id, &was_active))
                if (was_active)
                        assert_false(peer_list_get(l, id, &whole));
        assert_int_equal(peer_list_count(l), 300);
        for (n = 0, after = 0; peer_list_next(l, after, &whole); n++) {
                assert_true(whole.id > after);
                after = whole.id;
        }
        assert_int_equal(n, 300);
        assert_int_equal(register_new(l, 200000, "192.0.2.1:1", AT(1 + 30 * 86400)), 100001);
        assert_string_equal(active_ids(l, false), "100001");
}

static void test_sample_is_uniform(void **state) {
        static const struct {
                uint32_t peers, loopback_peers, n;
        } table[] = { { 10, 0, 3 }, { 10, 0, 9 }, { 7, 13, 5 }, { 100, 30, 2 }, { 1000, 10, 100 }, { 3, 0, 1 } };

        (void) state;
        for (size_t t = 0; t < ELEMENTSOF(table); t++) {
                _cleanup_list_ PeerList *l = new_list();
                const uint32_t total = table[t].peers + table[t].loopback_peers, except = total / 2;
                uint32_t counts[2048] = { 0 }, ids[2048];
                const unsigned rounds = 20000;
                double expected = (double) rounds * table[t].n / (total - 1), chi = 0;

                for (uint32_t i = 1; i <= total; i++) {
                        Endpoint e = endpoint_number(i);

                        /* Spread among the others, so that both runs are merged. */
                        if (table[t].loopback_peers > 0 && i * table[t].loopback_peers / total != (i - 1) * table[t].loopback_peers / total)
                                e.address.bytes[12] = 127;
                        assert_int_equal(try_register(l, 0, i, &e, AT(0), NULL), 0);
                }
                assert_int_equal(peer_list_count_active(l, false), table[t].peers);
                for (unsigned i = 0; i < rounds; i++) {
                        assert_int_equal(sample_ids(l, except, true, table[t].n, i * UINT64_C(0x1234567), ids), table[t].n);
                        for (uint32_t k = 0; k < table[t].n; k++) {
                                assert_true(k == 0 || ids[k - 1] < ids[k]);
                                assert_true(ids[k] >= 1 && ids[k] <= total && ids[k] != except);
                                counts[ids[k]]++;
                        }
                }
                for (uint32_t i = 1; i <= total; i++)
                        if (i != except)
                                chi += (counts[i] - expected) * (counts[i] - expected) / expected;
                /* At most total - 2 degrees of freedom, with a variance of twice that: five deviations and some. */
                chi -= total - 2 + 10;
                assert_true(chi < 0 || chi * chi < 25 * 2.0 * total);
        }
}

/* Each way to draw: positions with few gaps and with many, short samples and long ones, more than half of all. */
static void test_sample_of_many(void **state) {
        static const struct {
                uint32_t keep;          /* one of so many is active */
                size_t n;
        } table[] = { { 1, 60 }, { 2, 60 }, { 2, 300 }, { 7, 60 }, { 7, 300 }, { 7, 2000 } };
        enum { PEERS = 20000, PARTS = 20, ROUNDS = 300 };

        (void) state;
        for (size_t t = 0; t < ELEMENTSOF(table); t++) {
                _cleanup_list_ PeerList *l = new_list();
                uint32_t *ids = reallocarray(NULL, table[t].n, sizeof(uint32_t)), except = 7 * 2 * 100, id;
                double expected = (double) ROUNDS * (double) table[t].n / PARTS, counts[PARTS] = { 0 };
                bool was_active;

                assert_non_null(ids);
                for (uint32_t i = 1; i <= PEERS; i++) {
                        Endpoint e = endpoint_number(i);

                        assert_int_equal(try_register(l, 0, i, &e, AT(0), NULL), 0);
                        if (i % table[t].keep != 0)
                                assert_int_equal(peer_list_leave(l, i, AT(0), &id, &was_active), 0);
                }
                for (unsigned i = 0; i < ROUNDS; i++) {
                        assert_int_equal(sample_ids(l, except, i % 2 != 0, table[t].n, i, ids), table[t].n);
                        for (size_t k = 0; k < table[t].n; k++) {
                                assert_true(k == 0 || ids[k - 1] < ids[k]);
                                assert_true(ids[k] <= PEERS && ids[k] % table[t].keep == 0 && ids[k] != except);
                                counts[(ids[k] - 1) / (PEERS / PARTS)]++;
                        }
                }
                for (size_t i = 0; i < PARTS; i++)      /* five deviations, were the draws independent */
                        assert_true((counts[i] - expected) * (counts[i] - expected) < 25 * expected);
                free(ids);
        }
}

static void test_sample_depends_on_the_seed_alone(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        uint32_t a[50], b[50];

        (void) state;
        assert_int_equal(sample_ids(l, 0, true, 50, 1, a), 0);
        for (uint32_t i = 1; i <= 1000; i++) {
                const Endpoint e = endpoint_number(i);

                assert_int_equal(try_register(l, 0, i, &e, AT(0), NULL), 0);
        }
        assert_int_equal(sample_ids(l, 0, true, 50, 42, a), 50);
        assert_int_equal(sample_ids(l, 0, true, 50, 42, b), 50);
        assert_memory_equal(a, b, sizeof(a));
        assert_int_equal(sample_ids(l, 0, true, 50, 43, b), 50);
        assert_memory_not_equal(a, b, sizeof(a));
}

static Now on_day(int day) {
        return (Now){ .boottime = USEC_PER_SEC, .realtime = (usec_t) day * USEC_PER_DAY + 5 * USEC_PER_HOUR };
}

static void test_registrations_of_30_days_are_exact_to_the_day(void **state) {
        static const struct {
                int day;                /* of the registration */
                int asked;              /* day on which is asked */
                uint32_t expected;
        } table[] = {
                { 20000, 20000, 1 },
                { 20000, 20000, 2 },
                { 20001, 20001, 3 },
                { 20029, 20029, 4 },    /* day 20000 is the 30th */
                { 20029, 20030, 3 },    /* and has gone */
                { 20030, 20030, 4 },
                { 20028, 20030, 5 },    /* the clock went back two days: its own day */
                { 20028, 20028, 3 },    /* what is in the future of then does not count: 20001, 20028 twice */
                { 20001, 20030, 7 },
                { 20001, 20031, 5 },    /* counted on the last day but one, gone with it */
                { 20059, 20059, 2 },    /* of the earlier ones the one of day 20030 is left */
        };
        _cleanup_list_ PeerList *l = new_list();
        uint32_t id = 0;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                const Now now = on_day(table[i].day);
                const Endpoint e = endpoint("192.0.2.1:1");
                PeerInfo info;

                assert_int_equal(try_register(l, i == 0 ? 0 : 7, 7, &e, &now, i == 0 ? &id : NULL), 0);
                info = get(l, id);
                assert_true(info.registered_at == now.realtime);
                if (peer_info_registrations(&info, on_day(table[i].asked).realtime) != table[i].expected)
                        fail_msg("row %zu: %u", i, peer_info_registrations(&info, on_day(table[i].asked).realtime));
        }
}

static void test_a_clock_that_ran_wild_does_not_shut_out_true_days(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        const Endpoint e = endpoint("192.0.2.1:1");
        Now now = on_day(40000);
        PeerInfo info;

        (void) state;
        assert_int_equal(try_register(l, 0, 7, &e, &now, NULL), 0);
        now = on_day(20000);
        assert_int_equal(try_register(l, 7, 0, &e, &now, NULL), 0);
        info = get(l, 1);
        assert_int_equal(peer_info_registrations(&info, now.realtime), 1);
        assert_int_equal(info.first_day, 20000);
        /* A clock that was not set yet. */
        now = on_day(0);
        assert_int_equal(try_register(l, 7, 0, &e, &now, NULL), 0);
        info = get(l, 1);
        assert_int_equal(peer_info_registrations(&info, now.realtime), 1);
        /* The counter stops, it does not turn over. */
        for (unsigned i = 0; i < 70000; i++)
                assert_int_equal(try_register(l, 7, 0, &e, &now, NULL), 0);
        info = get(l, 1);
        assert_int_equal(info.counts[0], UINT16_MAX);
}

static void test_changes_are_queued_once_urgent_ones_first(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        PeerListLimits limits = { TTL, 1000000, 1000000, 10 * USEC_PER_SEC };
        PeerInfo info;
        bool was_active;
        uint32_t id;

        (void) state;
        peer_list_set_limits(l, &limits);
        assert_false(peer_list_has_changes(l));
        for (uint32_t i = 1; i <= 5; i++) {
                const Endpoint e = endpoint_number(i);

                assert_int_equal(try_register(l, 0, 100 + i, &e, AT(0), NULL), 0);
                assert_int_equal(try_register(l, 100 + i, 0, &e, AT(0), NULL), 0);
        }
        assert_true(peer_list_has_urgent_changes(l));
        assert_string_equal(changed_ids(l), "1 2 3 4 5");
        assert_false(peer_list_has_changes(l));

        assert_int_equal(peer_list_touch(l, 103, AT(1), &id), 0);
        assert_int_equal(peer_list_touch(l, 102, AT(1), &id), 0);
        assert_int_equal(peer_list_touch(l, 103, AT(2), &id), 0);
        assert_true(peer_list_has_changes(l));
        assert_false(peer_list_has_urgent_changes(l));
        assert_int_equal(peer_list_leave(l, 101, AT(3), &id, &was_active), 0);
        assert_true(peer_list_has_urgent_changes(l));
        assert_string_equal(changed_ids(l), "1 3 2");

        /* A PQuery of an inactive one and a second Leave change nothing. */
        assert_int_equal(peer_list_leave(l, 101, AT(4), &id, &was_active), 0);
        assert_int_equal(peer_list_touch(l, 101, AT(4), &id), PEER_LIST_INACTIVE);
        assert_false(peer_list_has_changes(l));

        /* What is forgotten comes too, and is gone. */
        assert_string_equal(expired_ids(l, AT(13)), "x1");
        assert_string_equal(changed_ids(l), "1");
        assert_false(peer_list_get(l, 1, &info));
        assert_string_equal(expired_ids(l, AT(7300)), "-4 -5 -2 -3");
        assert_string_equal(expired_ids(l, AT(7310)), "x4 x5 x2 x3");
        assert_false(peer_list_has_urgent_changes(l));
        assert_string_equal(changed_ids(l), "4 5 2 3");
}

static PeerInfo info_of(uint32_t id, bool active, const char *at, usec_t expires_sec) {
        return (PeerInfo){ .id = id, .cookie = 1000 + id, .active = active, .endpoint = endpoint(at), .expires_at = expires_sec * USEC_PER_SEC,
                           .registered_at = DAY_0, .first_day = 20000, .counts = { 3, 0, 1 }, .host = "a.example" };
}

static void test_restored_records_go_on(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        PeerInfo infos[] = {
                info_of(2, true, "192.0.2.2:1", 500),
                info_of(3, false, "192.0.2.3:1", 300),
                info_of(5, true, "192.0.2.5:1", 100),
                info_of(9, true, "127.0.0.1:1", 400),
        }, bad;

        (void) state;
        infos[2].advertised = true;
        assert_int_equal(peer_list_restore_begin(l, ELEMENTSOF(infos)), 0);
        for (size_t i = 0; i < ELEMENTSOF(infos); i++)
                assert_int_equal(peer_list_restore(l, &infos[i]), 0);
        bad = info_of(9, true, "192.0.2.7:1", 1);
        assert_int_equal(peer_list_restore(l, &bad), PEER_LIST_TAKEN);
        bad.id = 4;
        assert_int_equal(peer_list_restore(l, &bad), PEER_LIST_TAKEN);
        bad.id = 10;
        bad.cookie = 1002;
        assert_int_equal(peer_list_restore(l, &bad), PEER_LIST_TAKEN);
        assert_int_equal(peer_list_restore_end(l), 0);
        assert_false(peer_list_has_changes(l));
        assert_int_equal(peer_list_last_id(l), 9);

        assert_string_equal(active_ids(l, true), "2 5 9");
        assert_int_equal(get(l, 2).counts[2], 1);
        assert_int_equal(peer_info_registrations(&infos[0], DAY_0), 4);
        assert_true(get(l, 5).advertised);
        assert_true(peer_list_next_expiry(l) == 100 * USEC_PER_SEC);
        assert_string_equal(expired_ids(l, AT(350)), "-5 x3");
        register_again(l, 1005, "192.0.2.5:1", AT(360));
        assert_int_equal(get(l, 5).counts[0], 4);
        assert_string_equal(expired_ids(l, AT(600)), "-9 -2");
        assert_int_equal(register_new(l, 77, "192.0.2.77:1", AT(600)), 10);
}

/* As after a crash between the end of a lease and its writing, with the endpoint registered by another in the meantime. */
static void test_of_two_restored_at_one_endpoint_the_later_lease_counts(void **state) {
        for (unsigned first_is_later = 0; first_is_later < 2; first_is_later++) {
                _cleanup_list_ PeerList *l = new_list();
                PeerInfo a = info_of(1, true, "192.0.2.2:1", first_is_later ? 900 : 500), b = info_of(2, true, "192.0.2.2:1", 700);

                (void) state;
                assert_int_equal(peer_list_restore_begin(l, 0), 0);
                assert_int_equal(peer_list_restore(l, &a), 0);
                assert_int_equal(peer_list_restore(l, &b), 0);
                assert_int_equal(peer_list_restore_end(l), 0);
                assert_string_equal(active_ids(l, true), first_is_later ? "1" : "2");
                assert_int_equal(peer_list_count(l), 2);
                assert_string_equal(changed_ids(l), first_is_later ? "2" : "1");
                /* The other keeps its cookie. */
                register_again(l, first_is_later ? 1002 : 1001, "192.0.2.3:1", AT(100));
                assert_string_equal(active_ids(l, true), "1 2");
        }
}

static void test_restored_leases_end_in_order_whatever_the_order_of_ids(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        usec_t last = 0;
        uint32_t id;
        bool forgotten;
        size_t n = 0;

        (void) state;
        /* Fewer are expected than come: the hint binds nobody. */
        assert_int_equal(peer_list_restore_begin(l, 70000), 0);
        for (uint32_t i = 1; i <= 100000; i++) {
                PeerInfo info = { .id = i, .cookie = i, .active = i % 3 != 0, .endpoint = endpoint_number(i), .host = "",
                                  .expires_at = 1000000 + (usec_t) i * 48271 % 99991 };

                assert_int_equal(peer_list_restore(l, &info), 0);
        }
        assert_int_equal(peer_list_restore_end(l), 0);
        for (uint32_t i = 5; i <= 100000; i += 5)
                if (i % 3 != 0)
                        assert_int_equal(peer_list_touch(l, i, AT(0), &id), 0);
        for (; peer_list_next_expiry(l) < 2000000; n++) {
                const usec_t next = peer_list_next_expiry(l);

                assert_true(next >= last);
                last = next;
                assert_true(peer_list_expire(l, &(Now){ .boottime = next, .realtime = DAY_0 }, &id, &forgotten));
        }
        assert_int_equal(n, 100000 - 20000 + 20000 / 3);
}

/* A provider that counts, and may have no more. */
static size_t n_taken, n_given_back;
static bool nothing_left;

static void *take_counted(size_t size) {
        assert_int_equal(size % PEER_LIST_MEMORY_UNIT, 0);
        if (nothing_left)
                return NULL;
        n_taken += size;
        return aligned_alloc(64, size);
}

static void give_back_counted(void *memory, size_t size) {
        n_given_back += size;
        free(memory);
}

static void test_many_lie_in_the_memory_of_the_caller(void **state) {
        const PeerListMemory memory = { take_counted, give_back_counted };
        PeerList *l = new_list();
        PeerInfo info = { .active = true, .host = "", .expires_at = DAY_0 };
        int r = 0;

        (void) state;
        peer_list_set_memory(l, &memory);
        nothing_left = true;
        assert_int_equal(peer_list_restore_begin(l, 0), 0);
        while (r == 0 && info.id < 100000) {
                info.cookie = ++info.id;
                info.endpoint = endpoint_number(info.id);
                r = peer_list_restore(l, &info);
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(info.id, 32769);
        assert_int_equal(peer_list_count(l), 32768);
        assert_int_equal(n_taken, 0);

        nothing_left = false;
        assert_int_equal(peer_list_restore(l, &info), 0);
        assert_int_equal(peer_list_restore_end(l), 0);
        assert_true(n_taken > 0);
        assert_int_equal(get(l, 32769).cookie, 32769);
        assert_int_equal(get(l, 32768).cookie, 32768);
        peer_list_free(l);
        assert_int_equal(n_given_back, n_taken);
}

static void test_names_are_kept_whatever_their_size(void **state) {
        _cleanup_list_ PeerList *l = new_list();
        char name[301];
        bool is_new, moved;
        uint32_t id;

        (void) state;
        memset(name, 'n', sizeof(name));
        for (size_t size = 0; size <= 300; size++) {
                PeerRegistration reg = { .cookie = size == 0 ? 0 : 7, .fresh_cookie = 7, .endpoint = endpoint_number(1), .host = { name, size } };

                assert_int_equal(peer_list_register(l, &reg, AT(0), &id, &is_new, &moved), 0);
                assert_int_equal(strlen(get(l, 1).host), MIN_OF(size, (size_t) PEER_HOST_MAX));
                reg.host.size = 300 - size;
                reg.cookie = 7;
                assert_int_equal(peer_list_register(l, &reg, AT(0), &id, &is_new, &moved), 0);
                assert_int_equal(strlen(get(l, 1).host), MIN_OF(300 - size, (size_t) PEER_HOST_MAX));
        }
}

/* ---- Against a model that is too simple to be wrong ---- */

#define MODEL_MAX 4000

typedef struct ModelPeer {
        uint64_t cookie;                /* 0: forgotten */
        bool active;
        Endpoint endpoint;
        usec_t expires_at;
} ModelPeer;

typedef struct Model {
        ModelPeer peers[MODEL_MAX];     /* [id] */
        uint32_t last_id;
} Model;

static void model_deactivate(Model *m, uint32_t id, usec_t now, usec_t retention) {
        m->peers[id].active = false;
        m->peers[id].expires_at = now + retention;
}

static void model_activate(Model *m, uint32_t id, const Endpoint *e, usec_t now, usec_t ttl, usec_t retention) {
        for (uint32_t i = 1; i <= m->last_id; i++)
                if (i != id && m->peers[i].active && endpoint_equal(&m->peers[i].endpoint, e))
                        model_deactivate(m, i, now, retention);
        m->peers[id].active = true;
        m->peers[id].endpoint = *e;
        m->peers[id].expires_at = now + ttl;
}

/* One whose time comes first (there may be several); 0: none. */
static uint32_t model_first(const Model *m, bool active) {
        uint32_t first = 0;

        for (uint32_t i = 1; i <= m->last_id; i++)
                if (m->peers[i].cookie != 0 && m->peers[i].active == active &&
                    (first == 0 || m->peers[i].expires_at < m->peers[first].expires_at))
                        first = i;
        return first;
}

/* A full table made room: the one that is gone was inactive, and none had less time. */
static void model_make_room(const PeerList *l, Model *m, uint32_t max_peers) {
        uint32_t n = 0, n_gone = 0, first = model_first(m, false);
        usec_t end = m->peers[first].expires_at;
        PeerInfo info;

        for (uint32_t i = 1; i <= m->last_id; i++) {
                n += m->peers[i].cookie != 0;
                if (m->peers[i].cookie == 0 || peer_list_get(l, i, &info))
                        continue;
                assert_false(m->peers[i].active);
                assert_true(m->peers[i].expires_at == end);
                m->peers[i].cookie = 0;
                n_gone++;
        }
        assert_int_equal(n_gone, n > max_peers);
}

static void compare_with_model(const PeerList *l, const Model *m) {
        PeerInfo all = { 0 };
        PeerListing active = { 0 }, global = { 0 };
        size_t n = 0, n_active = 0, n_global = 0;

        for (uint32_t i = 1; i <= m->last_id; i++) {
                const ModelPeer *p = &m->peers[i];

                if (p->cookie == 0) {
                        assert_false(peer_list_get(l, i, &(PeerInfo){ 0 }));
                        continue;
                }
                n++;
                assert_true(peer_list_next(l, all.id, &all));
                assert_int_equal(all.id, i);
                assert_true(all.cookie == p->cookie && all.active == p->active && all.expires_at == p->expires_at);
                assert_true(endpoint_equal(&all.endpoint, &p->endpoint));
                if (!p->active)
                        continue;
                n_active++;
                assert_true(peer_list_next_active(l, active.id, true, &active));
                assert_int_equal(active.id, i);
                if (address_is_loopback(&p->endpoint.address))
                        continue;
                n_global++;
                assert_true(peer_list_next_active(l, global.id, false, &global));
                assert_int_equal(global.id, i);
        }
        assert_false(peer_list_next(l, all.id, &all));
        assert_false(peer_list_next_active(l, active.id, true, &active));
        assert_false(peer_list_next_active(l, global.id, false, &global));
        assert_int_equal(peer_list_count(l), n);
        assert_int_equal(peer_list_count_active(l, true), n_active);
        assert_int_equal(peer_list_count_active(l, false), n_global);
}

static void model_expire(PeerList *l, Model *m, const Now *now, usec_t retention) {
        uint32_t id, expected;
        bool forgotten;

        while (peer_list_expire(l, now, &id, &forgotten)) {
                expected = model_first(m, !forgotten);
                assert_int_equal(m->peers[id].expires_at, m->peers[expected].expires_at);
                assert_true(m->peers[id].expires_at <= now->boottime);
                if (forgotten)
                        m->peers[id].cookie = 0;
                else
                        model_deactivate(m, id, now->boottime, retention);
        }
        for (unsigned active = 0; active < 2; active++) {
                expected = model_first(m, active);
                assert_true(expected == 0 || m->peers[expected].expires_at > now->boottime);
        }
}

static void test_long_run_agrees_with_a_simple_model(void **state) {
        static const usec_t ttls[] = { 100, 300, 300, 77 };
        _cleanup_list_ PeerList *l = new_list_of(400, 1000);
        _cleanup_free_ Model *m = calloc(1, sizeof(*m));
        uint64_t x = 88172645463325252;
        Now now = { .boottime = 1000, .realtime = DAY_0 };
        PeerListLimits limits = { 100, 400, 1000, 500 };

        (void) state;
        assert_non_null(m);
        for (unsigned i = 0; i < 20000; i++) {
                uint32_t id = 0, known, got;
                Endpoint e;
                bool flag;
                int r;

                x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                if (i % 500 == 0) {
                        limits.ttl_usec = ttls[i / 500 % ELEMENTSOF(ttls)];
                        limits.retention_usec = 400 + i % 3000;
                        peer_list_set_limits(l, &limits);
                }
                now.boottime += x % 3 == 0;
                model_expire(l, m, &now, limits.retention_usec);
                known = m->last_id > 0 ? (uint32_t) (1 + (x >> 8) % m->last_id) : 0;
                if (known > 0 && m->last_id > 600)
                        known = m->last_id - (uint32_t) (x >> 8) % 600;
                e = endpoint_number((uint32_t) (x >> 20) % 300);
                if ((x >> 30) % 4 == 0)
                        e.address.bytes[12] = 127;

                switch ((x >> 40) % 8) {
                case 0:
                        r = try_register(l, 0, i + 1, &e, &now, &id);
                        if (r == 0 && m->last_id < MODEL_MAX - 1) {
                                assert_int_equal(id, ++m->last_id);
                                m->peers[id].cookie = i + 1;
                                model_activate(m, id, &e, now.boottime, limits.ttl_usec, limits.retention_usec);
                                model_make_room(l, m, limits.max_peers);
                        }
                        break;
                case 1:
                        if (known > 0 && m->peers[known].cookie != 0) {
                                assert_int_equal(try_register(l, m->peers[known].cookie, 0, &e, &now, &id), 0);
                                assert_int_equal(id, known);
                                model_activate(m, id, &e, now.boottime, limits.ttl_usec, limits.retention_usec);
                        }
                        break;
                case 2:
                        if (known > 0 && m->peers[known].cookie != 0) {
                                r = peer_list_leave(l, m->peers[known].cookie, &now, &got, &flag);
                                assert_int_equal(r, 0);
                                assert_int_equal(flag, m->peers[known].active);
                                if (flag)
                                        model_deactivate(m, known, now.boottime, limits.retention_usec);
                        }
                        break;
                case 3:
                        if (known > 0 && m->peers[known].cookie != 0) {
                                r = peer_list_keepalive(l, m->peers[known].cookie, &e.address, &now, &got, &flag);
                                assert_int_equal(r, m->peers[known].active ? 0 : PEER_LIST_INACTIVE);
                                e.port = m->peers[known].endpoint.port;
                                if (r == 0)
                                        model_activate(m, known, &e, now.boottime, limits.ttl_usec, limits.retention_usec);
                        }
                        break;
                default:
                        if (known > 0 && m->peers[known].cookie != 0) {
                                r = peer_list_touch(l, m->peers[known].cookie, &now, &got);
                                assert_int_equal(r, m->peers[known].active ? 0 : PEER_LIST_INACTIVE);
                                e = m->peers[known].endpoint;
                                if (r == 0)
                                        model_activate(m, known, &e, now.boottime, limits.ttl_usec, limits.retention_usec);
                        }
                }
                if (i % 50 == 0)
                        compare_with_model(l, m);
        }
        assert_true(m->last_id > 2000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lease_ends_on_time),
                cmocka_unit_test(test_register_keepalive_and_pquery_renew),
                cmocka_unit_test(test_leases_end_in_the_order_of_their_ends),
                cmocka_unit_test(test_many_reloads_with_ever_other_ttls),
                cmocka_unit_test(test_a_wall_clock_that_jumps_ends_no_lease),
                cmocka_unit_test(test_inactive_are_forgotten_after_the_retention),
                cmocka_unit_test(test_ids_are_never_given_twice),
                cmocka_unit_test(test_an_endpoint_has_one_active_peer),
                cmocka_unit_test(test_full_table_forgets_who_would_be_forgotten_first),
                cmocka_unit_test(test_one_source_cannot_fill_the_table),
                cmocka_unit_test(test_loopback_is_listed_apart),
                cmocka_unit_test(test_pages_are_whole_over_gaps),
                cmocka_unit_test(test_sample_is_uniform),
                cmocka_unit_test(test_sample_of_many),
                cmocka_unit_test(test_sample_depends_on_the_seed_alone),
                cmocka_unit_test(test_registrations_of_30_days_are_exact_to_the_day),
                cmocka_unit_test(test_a_clock_that_ran_wild_does_not_shut_out_true_days),
                cmocka_unit_test(test_changes_are_queued_once_urgent_ones_first),
                cmocka_unit_test(test_restored_records_go_on),
                cmocka_unit_test(test_of_two_restored_at_one_endpoint_the_later_lease_counts),
                cmocka_unit_test(test_restored_leases_end_in_order_whatever_the_order_of_ids),
                cmocka_unit_test(test_many_lie_in_the_memory_of_the_caller),
                cmocka_unit_test(test_names_are_kept_whatever_their_size),
                cmocka_unit_test(test_long_run_agrees_with_a_simple_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
