/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* What the tests of the peer list share: registering and the like in one line. Included after <cmocka.h>. */

#include <stdio.h>

#include "core/peer-list.h"

#define TTL (7200 * USEC_PER_SEC)
#define RETENTION (30 * USEC_PER_DAY)
#define DAY_0 (20000 * USEC_PER_DAY)            /* realtime at boottime 0 */
#define AT(seconds) (&(Now){ .boottime = (seconds) * USEC_PER_SEC, .realtime = DAY_0 + (seconds) * USEC_PER_SEC })

static const uint64_t test_key[2] = { 0x0123456789abcdef, 0x1032547698badcfe };

static inline PeerList *new_list_of(uint32_t max_peers, uint32_t max_per_source) {
        const PeerListLimits limits = { TTL, max_peers, max_per_source, RETENTION };
        PeerList *l = NULL;

        assert_int_equal(peer_list_new(&limits, test_key, &l), 0);
        return l;
}

static inline PeerList *new_list(void) {
        return new_list_of(1000000, 1000000);
}

static inline Endpoint endpoint(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_from_text(slice_of(text), &e), 0);
        return e;
}

/* Of "address:port". */
#define ADDRESS(text) (&(Endpoint[]){ endpoint(text) }[0].address)

/* 10.x.y.z:1000 */
static inline Endpoint endpoint_number(uint32_t n) {
        Endpoint e = { .address.bytes = { [10] = 0xff, [11] = 0xff, 10, (uint8_t) (n >> 16), (uint8_t) (n >> 8), (uint8_t) n }, .port = 1000 };

        return e;
}

/* The answer; *ret_id may be NULL. cookie 0: a new peer with the cookie `fresh`. */
static inline int try_register(PeerList *l, uint64_t cookie, uint64_t fresh, const Endpoint *e, const Now *now, uint32_t *ret_id) {
        PeerRegistration reg = { .cookie = cookie, .fresh_cookie = fresh, .endpoint = *e, .host = SLICE_LITERAL("host.example") };
        bool is_new, moved;
        uint32_t id = 0;
        int r = peer_list_register(l, &reg, now, &id, &is_new, &moved);

        if (r == 0)
                assert_int_equal(is_new, cookie == 0);
        if (ret_id)
                *ret_id = id;
        return r;
}

static inline uint32_t register_new(PeerList *l, uint64_t fresh, const char *at, const Now *now) {
        const Endpoint e = endpoint(at);
        uint32_t id;

        assert_int_equal(try_register(l, 0, fresh, &e, now, &id), 0);
        return id;
}

static inline void register_again(PeerList *l, uint64_t cookie, const char *at, const Now *now) {
        const Endpoint e = endpoint(at);

        assert_int_equal(try_register(l, cookie, 0, &e, now, NULL), 0);
}

/* Active ids as "1 2 5". */
static inline const char *active_ids(const PeerList *l, bool loopback) {
        static char text[4096];
        size_t size = 0;
        PeerListing p = { 0 };
        PeerInfo info;

        text[0] = 0;
        while (peer_list_next_active(l, p.id, loopback, &p)) {
                assert_true(peer_list_get(l, p.id, &info) && info.active);
                assert_true(endpoint_equal(&info.endpoint, &p.endpoint) && info.expires_at == p.expires_at);
                assert_true(slice_equal(slice_of(info.host), p.host));
                size += (size_t) snprintf(text + size, sizeof(text) - size, "%s%u", size > 0 ? " " : "", p.id);
                assert_true(size < sizeof(text));
        }
        return text;
}

/* What has ended by then, as "-1 -2 x1": a lease, a lease, a record. */
static inline const char *expired_ids(PeerList *l, const Now *now) {
        static char text[4096];
        size_t size = 0;
        uint32_t id;
        bool forgotten;

        text[0] = 0;
        while (peer_list_expire(l, now, &id, &forgotten)) {
                size += (size_t) snprintf(text + size, sizeof(text) - size, "%s%c%u", size > 0 ? " " : "", forgotten ? 'x' : '-', id);
                assert_true(size < sizeof(text));
        }
        return text;
}

static inline PeerInfo get(const PeerList *l, uint32_t id) {
        PeerInfo info;

        assert_true(peer_list_get(l, id, &info));
        assert_int_equal(info.id, id);
        return info;
}

/* All queued changes, in the order given. */
static inline const char *changed_ids(PeerList *l) {
        static char text[4096];
        size_t size = 0;
        uint32_t id;

        text[0] = 0;
        while (peer_list_take_changes(l, &id, 1) == 1) {
                size += (size_t) snprintf(text + size, sizeof(text) - size, "%s%u", size > 0 ? " " : "", id);
                assert_true(size < sizeof(text));
        }
        return text;
}
