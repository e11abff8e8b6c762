/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/membership.h"

#define SEC(n) ((usec_t) ((n) * 1e6))
#define NEVER USEC_INFINITY

static Now at(usec_t boottime) {
        return (Now){ .boottime = boottime, .realtime = 0 };
}

/* One exchange of a conversation: what is due at `due`, and how it goes a tenth of a second later. */
typedef struct Exchange {
        usec_t due;
        MembershipDo what;
        unsigned status;                /* 0: no answer */
        uint32_t retry_after_sec;
        uint64_t cookie;                /* in the reply */
        MembershipNews news;
        /* afterwards */
        MembershipState state;
        uint64_t cookie_after;
        usec_t next;
} Exchange;

static MembershipNews tell(Membership *m, MembershipDo what, const Reply *reply, usec_t sent_at, usec_t now_at,
                           uint64_t jitter) {
        Now now = at(now_at);

        if (reply->status == 0)
                return membership_failed(m, what, &now, jitter);
        return membership_answered(m, what, reply, sent_at, &now, jitter);
}

/* jitter 0 everywhere: the least of each range. TTL 60 s, KeepAlive 20 s, so the least pause is 18 s. */
static void converse(Membership *m, const Exchange *e, size_t n) {
        for (size_t i = 0; i < n; i++, e++) {
                Now now = at(e->due);
                usec_t next = 0;
                Reply reply = {
                        .status = e->status,
                        .retry_after_sec = e->retry_after_sec,
                        .cookie = e->cookie,
                        .peer_id = e->cookie ? 7 : 0,
                        .ttl_sec = e->status == 200 ? 60 : 0,
                        .keep_alive_sec = e->status == 200 ? 20 : 0,
                };

                if (e->due > 0) {
                        Now before = at(e->due - 1);
                        assert_int_equal(membership_next(m, &before, &next), MEMBERSHIP_WAIT);
                }
                assert_int_equal(membership_next(m, &now, &next), e->what);
                /* While it is under way there is nothing else to do. */
                assert_int_equal(membership_next(m, &now, &next), MEMBERSHIP_WAIT);
                assert_int_equal(next, NEVER);

                assert_int_equal(tell(m, e->what, &reply, e->due, e->due + SEC(0.1), 0), e->news);
                assert_int_equal(m->state, e->state);
                assert_int_equal(m->cookie, e->cookie_after);
                assert_int_equal(m->reachable, e->status != 0);

                Now after = at(e->due + SEC(0.1));
                if (e->next > after.boottime) {
                        assert_int_equal(membership_next(m, &after, &next), MEMBERSHIP_WAIT);
                        assert_int_equal(next, e->next);
                }
        }
}
#define CONVERSE(m, ...)                                                                                               \
        do {                                                                                                           \
                static const Exchange _exchanges[] = { __VA_ARGS__ };                                                  \
                converse(m, _exchanges, ELEMENTSOF(_exchanges));                                                       \
        } while (false)

#define REGISTER MEMBERSHIP_REGISTER
#define KEEPALIVE MEMBERSHIP_KEEPALIVE
#define LEAVE MEMBERSHIP_LEAVE
#define NO_NEWS MEMBERSHIP_NO_NEWS
#define AWAY MEMBERSHIP_AWAY
#define ACTIVE MEMBERSHIP_ACTIVE
#define LEFT MEMBERSHIP_LEFT

static void test_registers_and_keeps_alive(void **state) {
        Membership m;
        (void) state;

        membership_init(&m, 0, true);
        CONVERSE(&m, { SEC(0), REGISTER, 200, 0, 42, MEMBERSHIP_REGISTERED, ACTIVE, 42, SEC(18.1) },
                 { SEC(18.1), KEEPALIVE, 200, 0, 0, NO_NEWS, ACTIVE, 42, SEC(36.2) },
                 { SEC(36.2), KEEPALIVE, 200, 0, 0, NO_NEWS, ACTIVE, 42, SEC(54.3) });
        assert_int_equal(m.peer_id, 7);
        /* The lease counts from when the request was sent. */
        assert_int_equal(m.renewed_at, SEC(36.2));
        assert_int_equal(m.expires_at, SEC(96.2));
}

static void test_keepalive_401_registers_with_same_cookie(void **state) {
        Membership m;
        (void) state;

        membership_init(&m, 42, true);
        CONVERSE(&m, { SEC(0), REGISTER, 200, 0, 42, MEMBERSHIP_REGISTERED, ACTIVE, 42, SEC(18.1) },
                 { SEC(18.1), KEEPALIVE, 401, 0, 0, NO_NEWS, AWAY, 42, SEC(18.2) },
                 { SEC(18.2), REGISTER, 200, 0, 42, MEMBERSHIP_REGISTERED, ACTIVE, 42, SEC(36.3) });
}

static void test_register_401_drops_cookie(void **state) {
        Membership m;
        (void) state;

        membership_init(&m, 41, true);
        CONVERSE(&m, { SEC(0), REGISTER, 401, 0, 0, NO_NEWS, AWAY, 0, SEC(0.1) },
                 { SEC(0.1), REGISTER, 200, 0, 42, MEMBERSHIP_REGISTERED, ACTIVE, 42, SEC(18.2) },
                 { SEC(18.2), KEEPALIVE, 401, 0, 0, NO_NEWS, AWAY, 42, SEC(18.3) },
                 { SEC(18.3), REGISTER, 401, 0, 0, NO_NEWS, AWAY, 0, SEC(18.4) },
                 /* 401 to a Register without cookie makes no sense: a refusal like others, no endless loop. */
                 { SEC(18.4), REGISTER, 401, 0, 0, MEMBERSHIP_REFUSED, AWAY, 0, SEC(19.0) },
                 { SEC(19.0), REGISTER, 401, 0, 0, NO_NEWS, AWAY, 0, SEC(20.1) });
}

static void test_backs_off_and_tells_once(void **state) {
        Membership m;
        (void) state;

        membership_init(&m, 0, true);
        CONVERSE(&m, { SEC(0), REGISTER, 0, 0, 0, MEMBERSHIP_UNREACHABLE, AWAY, 0, SEC(0.6) },
                 { SEC(0.6), REGISTER, 0, 0, 0, NO_NEWS, AWAY, 0, SEC(1.7) },
                 { SEC(1.7), REGISTER, 0, 0, 0, NO_NEWS, AWAY, 0, SEC(3.8) },
                 { SEC(3.8), REGISTER, 503, 0, 0, MEMBERSHIP_REFUSED, AWAY, 0, SEC(7.9) },
                 { SEC(7.9), REGISTER, 0, 0, 0, NO_NEWS, AWAY, 0, SEC(16) },
                 { SEC(16), REGISTER, 503, 0, 0, NO_NEWS, AWAY, 0, SEC(32.1) },
                 { SEC(32.1), REGISTER, 200, 0, 9, MEMBERSHIP_REGISTERED, ACTIVE, 9, SEC(50.2) },
                 /* a new row */
                 { SEC(50.2), KEEPALIVE, 0, 0, 0, MEMBERSHIP_UNREACHABLE, ACTIVE, 9, SEC(50.8) },
                 { SEC(50.8), KEEPALIVE, 200, 0, 0, MEMBERSHIP_REACHABLE, ACTIVE, 9, SEC(68.9) },
                 { SEC(68.9), KEEPALIVE, 503, 0, 0, MEMBERSHIP_REFUSED, ACTIVE, 9, SEC(69.5) },
                 { SEC(69.5), KEEPALIVE, 200, 0, 0, MEMBERSHIP_REACHABLE, ACTIVE, 9, SEC(87.6) });
}

static void test_back_off_is_bounded_and_drawn(void **state) {
        Membership m;
        (void) state;

        for (unsigned pass = 0; pass < 2; pass++) {
                usec_t now_at = 0, step = SEC(1);

                membership_init(&m, 0, true);
                for (unsigned i = 0; i < 40; i++) {
                        Now now = at(now_at);
                        usec_t next;

                        assert_int_equal(membership_next(&m, &now, &next), REGISTER);
                        membership_failed(&m, REGISTER, &now, pass == 0 ? step / 2 : UINT64_MAX);
                        assert_int_equal(membership_next(&m, &now, &next), MEMBERSHIP_WAIT);
                        if (pass == 0)
                                assert_int_equal(next - now_at, step);
                        assert_in_range(next - now_at, step / 2, step);
                        now_at = next;
                        step = MIN_OF(2 * step, MEMBERSHIP_BACKOFF_MAX_USEC);
                }
        }
}

static void test_lease_runs_on_while_server_is_away(void **state) {
        Membership m;
        Now now;
        usec_t next;
        (void) state;

        membership_init(&m, 0, true);
        CONVERSE(&m, { SEC(0), REGISTER, 200, 0, 42, MEMBERSHIP_REGISTERED, ACTIVE, 42, SEC(18.1) },
                 { SEC(18.1), KEEPALIVE, 0, 0, 0, MEMBERSHIP_UNREACHABLE, ACTIVE, 42, SEC(18.7) },
                 { SEC(18.7), KEEPALIVE, 503, 40, 0, MEMBERSHIP_REFUSED, ACTIVE, 42, SEC(60) });

        /* Retry-After doubled to 80 s reaches past the end of the lease: woken at its end, and no longer active from
         * then on. */
        now = at(SEC(60) - 1);
        assert_int_equal(membership_next(&m, &now, &next), MEMBERSHIP_WAIT);
        assert_int_equal(m.state, ACTIVE);
        now = at(SEC(60));
        assert_int_equal(membership_next(&m, &now, &next), MEMBERSHIP_WAIT);
        assert_int_equal(m.state, AWAY);
        assert_int_equal(next, SEC(98.8));

        /* Register, with the old cookie, not KeepAlive. */
        CONVERSE(&m, { SEC(98.8), REGISTER, 200, 0, 42, MEMBERSHIP_REGISTERED, ACTIVE, 42, SEC(116.9) });
}

static void test_suspended_past_the_lease_registers_at_once(void **state) {
        Membership m;
        Now now = at(SEC(5000));
        usec_t next;
        (void) state;

        membership_init(&m, 0, true);
        CONVERSE(&m, { SEC(0), REGISTER, 200, 0, 42, MEMBERSHIP_REGISTERED, ACTIVE, 42, SEC(18.1) });
        assert_int_equal(membership_next(&m, &now, &next), REGISTER);
        assert_int_equal(m.cookie, 42);
}

static void test_retry_after_is_the_least_and_grows(void **state) {
        Membership m;
        (void) state;

        membership_init(&m, 0, true);
        CONVERSE(&m, { SEC(0), REGISTER, 429, 10, 0, MEMBERSHIP_REFUSED, AWAY, 0, SEC(10.1) },
                 { SEC(10.1), REGISTER, 429, 10, 0, NO_NEWS, AWAY, 0, SEC(30.2) },
                 { SEC(30.2), REGISTER, 503, 10, 0, NO_NEWS, AWAY, 0, SEC(70.3) },
                 { SEC(70.3), REGISTER, 503, 200, 0, NO_NEWS, AWAY, 0, SEC(370.4) },
                 /* more than the ceiling of the doubling counts as told */
                 { SEC(370.4), REGISTER, 503, 900, 0, NO_NEWS, AWAY, 0, SEC(1270.5) },
                 /* but not without end */
                 { SEC(1270.5), REGISTER, 503, UINT32_MAX, 0, NO_NEWS, AWAY, 0, SEC(4870.6) },
                 { SEC(4870.6), REGISTER, 200, 0, 5, MEMBERSHIP_REGISTERED, ACTIVE, 5, SEC(4888.7) });

        membership_init(&m, 0, true);
        for (uint64_t jitter = 0; jitter < 100; jitter++) {
                Now now = at(0);
                usec_t next;
                const Reply reply = { .status = 503, .retry_after_sec = 10 };

                m.n_failures = 0;
                m.next_at = 0;
                assert_int_equal(membership_next(&m, &now, &next), REGISTER);
                membership_answered(&m, REGISTER, &reply, 0, &now, jitter * 0x9e3779b97f4a7c15u);
                assert_in_range(m.next_at, SEC(10), SEC(15));
        }
}

/* It answered a PQuery: the network has healed. */
static void test_server_that_is_heard_ends_the_back_off(void **state) {
        Membership m;
        usec_t next;
        Now now;
        (void) state;

        membership_init(&m, 42, true);
        CONVERSE(&m, { SEC(0), REGISTER, 0, 0, 0, MEMBERSHIP_UNREACHABLE, AWAY, 42, SEC(0.6) },
                 { SEC(0.6), REGISTER, 0, 0, 0, NO_NEWS, AWAY, 42, SEC(1.7) },
                 { SEC(1.7), REGISTER, 0, 0, 0, NO_NEWS, AWAY, 42, SEC(3.8) });
        now = at(SEC(2));
        membership_heard(&m, &now);
        CONVERSE(&m, { SEC(2), REGISTER, 0, 0, 0, NO_NEWS, AWAY, 42, SEC(6.1) });
        now = at(SEC(3));
        membership_heard(&m, &now);
        CONVERSE(&m, { SEC(3), REGISTER, 200, 0, 0, MEMBERSHIP_REGISTERED, ACTIVE, 42, SEC(21.1) });

        /* Nothing is due earlier than it would be where nothing was amiss, and a refusal is no silence. */
        now = at(SEC(4));
        membership_heard(&m, &now);
        CONVERSE(&m, { SEC(21.1), KEEPALIVE, 503, 10, 0, MEMBERSHIP_REFUSED, ACTIVE, 42, SEC(31.2) });
        now = at(SEC(22));
        membership_heard(&m, &now);
        CONVERSE(&m, { SEC(31.2), KEEPALIVE, 200, 0, 0, MEMBERSHIP_REACHABLE, ACTIVE, 42, SEC(49.3) });

        /* Who has left stays away. */
        membership_init(&m, 42, false);
        membership_heard(&m, &now);
        assert_int_equal(membership_next(&m, &now, &next), MEMBERSHIP_WAIT);
        assert_true(next == NEVER);
}

/* What is under way goes its way. If it was sent before the network healed, nobody will answer it. */
static void test_server_that_is_heard_meanwhile_is_tried_again(void **state) {
        static const struct {
                unsigned status;
                uint32_t retry_after_sec;
                MembershipNews news;
                usec_t next;                    /* jitter 0, a failure before this one */
        } cases[] = {
                { 0, 0, NO_NEWS, SEC(5) },
                { 503, 10, MEMBERSHIP_REFUSED, SEC(25) },       /* not before it said */
                { 503, 0, MEMBERSHIP_REFUSED, SEC(6) },
                { 200, 0, MEMBERSHIP_REGISTERED, SEC(23) },
        };
        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Membership m;
                usec_t next;
                Now now = at(SEC(2));
                const Reply reply = {
                        .status = cases[i].status,
                        .retry_after_sec = cases[i].retry_after_sec,
                        .ttl_sec = 60,
                        .keep_alive_sec = 20,
                };

                membership_init(&m, 42, true);
                CONVERSE(&m, { SEC(0), REGISTER, 0, 0, 0, MEMBERSHIP_UNREACHABLE, AWAY, 42, SEC(0.6) });
                assert_int_equal(membership_next(&m, &now, &next), REGISTER);
                membership_heard(&m, &now);
                assert_int_equal(membership_next(&m, &now, &next), MEMBERSHIP_WAIT);
                assert_int_equal(tell(&m, REGISTER, &reply, SEC(2), SEC(5), 0), cases[i].news);
                assert_int_equal(m.next_at, cases[i].next);

                /* Once: from then on it backs off as ever. */
                now = at(cases[i].next);
                MembershipDo what = membership_next(&m, &now, &next);
                assert_int_not_equal(what, MEMBERSHIP_WAIT);
                (void) membership_failed(&m, what, &now, 0);
                assert_true(m.next_at > now.boottime);
        }
}

/* So does a Leave: it is no use to wait until the lease has ended by itself. */
static void test_leave_is_tried_again_where_the_server_is_heard(void **state) {
        Membership m;
        Now now = at(SEC(59));
        usec_t next;
        (void) state;

        membership_init(&m, 0, true);
        CONVERSE(&m, { SEC(0), REGISTER, 200, 0, 42, MEMBERSHIP_REGISTERED, ACTIVE, 42, SEC(18.1) });
        membership_leave(&m, &now);
        assert_int_equal(membership_next(&m, &now, &next), LEAVE);
        membership_heard(&m, &now);
        now = at(SEC(59.8));
        assert_int_equal(membership_failed(&m, LEAVE, &now, 0), MEMBERSHIP_UNREACHABLE);
        assert_int_equal(membership_next(&m, &now, &next), LEAVE);
}

static void test_keepalive_is_drawn_from_a_fifth(void **state) {
        usec_t least = NEVER, most = 0;
        (void) state;

        for (uint64_t jitter = 0; jitter < 1000; jitter++) {
                Membership m;
                Now now = at(SEC(1));
                usec_t next;
                const Reply reply = { .status = 200, .cookie = 1, .ttl_sec = 7200, .keep_alive_sec = 2400 };

                membership_init(&m, 0, true);
                assert_int_equal(membership_next(&m, &now, &next), REGISTER);
                membership_answered(&m, REGISTER, &reply, SEC(1), &now, jitter * 0x9e3779b97f4a7c15u);
                assert_int_equal(membership_next(&m, &now, &next), MEMBERSHIP_WAIT);
                least = MIN_OF(least, next);
                most = MAX_OF(most, next);
        }
        assert_in_range(least, SEC(2161), SEC(2170));
        assert_in_range(most, SEC(2632), SEC(2641));
}

static void test_servers_word_is_held_to_sense(void **state) {
        static const struct {
                uint32_t ttl, keep_alive;
                usec_t expect_lease, expect_pause;
        } cases[] = {
                { 7200, 2400, SEC(7200), SEC(2400) },
                { 0, 0, SEC(7200), SEC(2400) },                 /* what is left out has the protocol's default */
                { 90, 0, SEC(90), SEC(30) },
                { 100, 99, SEC(100), SEC(50) },                 /* a lost KeepAlive must not end the lease */
                { 1, 1, SEC(1), SEC(1) },                       /* but not a storm either */
                { UINT32_MAX, UINT32_MAX, SEC(UINT32_MAX), SEC(86400) },
        };
        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Membership m;
                Now now = at(SEC(3));
                usec_t next;
                const Reply reply = {
                        .status = 200, .cookie = 1, .ttl_sec = cases[i].ttl, .keep_alive_sec = cases[i].keep_alive,
                };

                membership_init(&m, 0, true);
                assert_int_equal(membership_next(&m, &now, &next), REGISTER);
                membership_answered(&m, REGISTER, &reply, SEC(2), &now, 0);
                assert_int_equal(m.expires_at - SEC(2), cases[i].expect_lease);
                assert_int_equal(m.keep_alive_usec, cases[i].expect_pause);
        }
}

static void test_registered_without_cookie_is_a_refusal(void **state) {
        Membership m;
        (void) state;

        membership_init(&m, 0, true);
        CONVERSE(&m, { SEC(0), REGISTER, 200, 0, 0, MEMBERSHIP_REFUSED, AWAY, 0, SEC(0.6) });
}

static void test_address_of_the_reply_is_kept(void **state) {
        Membership m;
        Now now = at(0);
        usec_t next;
        Reply reply = { .status = 200, .cookie = 1, .ttl_sec = 60, .has_address = true };
        (void) state;

        assert_int_equal(address_from_text(SLICE_LITERAL("192.0.2.9"), &reply.address), 0);
        membership_init(&m, 0, true);
        assert_int_equal(membership_next(&m, &now, &next), REGISTER);
        membership_answered(&m, REGISTER, &reply, 0, &now, 0);
        assert_true(m.has_address);
        assert_true(address_equal(&m.address, &reply.address));
}

static void test_leaves_and_stays_away(void **state) {
        Membership m;
        Now now = at(SEC(5));
        usec_t next;
        (void) state;

        membership_init(&m, 0, true);
        CONVERSE(&m, { SEC(0), REGISTER, 200, 0, 42, MEMBERSHIP_REGISTERED, ACTIVE, 42, SEC(18.1) });
        membership_leave(&m, &now);
        assert_int_equal(m.state, LEFT);
        CONVERSE(&m, { SEC(5), LEAVE, 200, 0, 0, MEMBERSHIP_HAS_LEFT, LEFT, 42, 0 });
        now = at(SEC(1e6));
        assert_int_equal(membership_next(&m, &now, &next), MEMBERSHIP_WAIT);
        assert_int_equal(next, NEVER);
        membership_register_now(&m, &now);
        assert_int_equal(membership_next(&m, &now, &next), MEMBERSHIP_WAIT);

        /* Until it joins: with the same cookie, so id and counts stay. */
        membership_join(&m, &now);
        assert_int_equal(membership_next(&m, &now, &next), REGISTER);
        assert_int_equal(m.cookie, 42);
}

static void test_starts_away_if_it_was_told_to(void **state) {
        Membership m;
        Now now = at(SEC(5));
        usec_t next;
        (void) state;

        membership_init(&m, 42, false);
        assert_int_equal(membership_next(&m, &now, &next), MEMBERSHIP_WAIT);
        assert_int_equal(next, NEVER);
}

static void test_leave_is_repeated_until_the_lease_is_over(void **state) {
        Membership m;
        Now now = at(SEC(57.3));
        usec_t next;
        (void) state;

        membership_init(&m, 0, true);
        CONVERSE(&m, { SEC(0), REGISTER, 200, 0, 42, MEMBERSHIP_REGISTERED, ACTIVE, 42, SEC(18.1) });
        membership_leave(&m, &now);
        CONVERSE(&m, { SEC(57.3), LEAVE, 0, 0, 0, MEMBERSHIP_UNREACHABLE, LEFT, 42, SEC(57.9) },
                 { SEC(57.9), LEAVE, 503, 0, 0, MEMBERSHIP_REFUSED, LEFT, 42, SEC(59) },
                 { SEC(59), LEAVE, 0, 0, 0, MEMBERSHIP_HAS_LEFT, LEFT, 42, 0 });
        now = at(SEC(70));
        assert_int_equal(membership_next(&m, &now, &next), MEMBERSHIP_WAIT);
        assert_int_equal(next, NEVER);
}

static void test_leave_of_unknown_cookie_has_left(void **state) {
        Membership m;
        Now now = at(SEC(5));
        (void) state;

        /* After a restart: the cookie is known, whether the lease runs is not. */
        membership_init(&m, 42, true);
        membership_leave(&m, &now);
        CONVERSE(&m, { SEC(5), LEAVE, 401, 0, 0, MEMBERSHIP_HAS_LEFT, LEFT, 0, 0 });
}

/*
 * Whether its lease runs is not known, so it may for as long as the protocol's own: then there is nothing left to
 * repeat.
 */
static void test_leave_with_a_cookie_from_disk_is_repeated(void **state) {
        Membership m;
        Now now = at(SEC(5));
        usec_t next;
        unsigned n = 0;
        (void) state;

        membership_init(&m, 42, true);
        membership_leave(&m, &now);
        while (membership_next(&m, &now, &next) == LEAVE) {
                n++;
                if (membership_failed(&m, LEAVE, &now, 0) == MEMBERSHIP_HAS_LEFT)
                        break;
                assert_int_equal(membership_next(&m, &now, &next), MEMBERSHIP_WAIT);
                now = at(next);
        }
        assert_in_range(now.boottime, SEC(6900), SEC(7205));
        assert_in_range(n, 40, 70);
}

static void test_nothing_to_leave(void **state) {
        Membership m;
        Now now = at(SEC(5));
        usec_t next;
        (void) state;

        membership_init(&m, 0, true);
        membership_leave(&m, &now);
        assert_false(m.leaving);
        assert_int_equal(membership_next(&m, &now, &next), MEMBERSHIP_WAIT);
        assert_int_equal(next, NEVER);
}

/* The command comes while a request is under way. */
static void test_leave_waits_for_what_is_under_way(void **state) {
        static const struct {
                bool active;
                unsigned status;
                uint64_t cookie;
                MembershipNews news;
                MembershipDo then;
        } cases[] = {
                { false, 200, 42, NO_NEWS, LEAVE },                     /* registered after all */
                { false, 503, 0, MEMBERSHIP_HAS_LEFT, MEMBERSHIP_WAIT }, /* never was */
                { false, 0, 0, MEMBERSHIP_HAS_LEFT, MEMBERSHIP_WAIT },  /* may be, but no cookie to leave with */
                { true, 200, 0, NO_NEWS, LEAVE },
                { true, 401, 0, MEMBERSHIP_HAS_LEFT, MEMBERSHIP_WAIT },  /* its lease was over */
                { true, 503, 0, MEMBERSHIP_REFUSED, LEAVE },
                { true, 0, 0, MEMBERSHIP_UNREACHABLE, LEAVE },
        };
        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Membership m;
                usec_t next;
                Now now = at(SEC(30));
                MembershipDo what = cases[i].active ? KEEPALIVE : REGISTER;
                const Reply reply = {
                        .status = cases[i].status, .cookie = cases[i].cookie, .ttl_sec = 60, .keep_alive_sec = 20,
                };

                membership_init(&m, 0, true);
                if (cases[i].active)
                        CONVERSE(&m, { SEC(0), REGISTER, 200, 0, 42, MEMBERSHIP_REGISTERED, ACTIVE, 42, SEC(18.1) });
                assert_int_equal(membership_next(&m, &now, &next), what);
                membership_leave(&m, &now);
                assert_int_equal(membership_next(&m, &now, &next), MEMBERSHIP_WAIT);
                now = at(SEC(31));
                assert_int_equal(tell(&m, what, &reply, SEC(30), SEC(31), 0), cases[i].news);
                assert_int_equal(m.state, LEFT);
                assert_int_equal(membership_next(&m, &now, &next), cases[i].then);
        }
}

static void test_join_while_leaving(void **state) {
        static const unsigned statuses[] = { 200, 401, 0 };
        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(statuses); i++) {
                Membership m;
                usec_t next;
                Now now = at(SEC(5));
                const Reply reply = { .status = statuses[i] };

                membership_init(&m, 0, true);
                CONVERSE(&m, { SEC(0), REGISTER, 200, 0, 42, MEMBERSHIP_REGISTERED, ACTIVE, 42, SEC(18.1) });
                membership_leave(&m, &now);
                assert_int_equal(membership_next(&m, &now, &next), LEAVE);
                membership_join(&m, &now);
                tell(&m, LEAVE, &reply, SEC(5), SEC(6), 0);
                assert_int_equal(m.state, AWAY);
                now = at(SEC(8));
                assert_int_equal(membership_next(&m, &now, &next), REGISTER);
        }
}

static void test_new_port_is_told_at_once(void **state) {
        Membership m;
        Now now = at(SEC(5));
        usec_t next;
        (void) state;

        membership_init(&m, 0, true);
        CONVERSE(&m, { SEC(0), REGISTER, 200, 0, 42, MEMBERSHIP_REGISTERED, ACTIVE, 42, SEC(18.1) });
        membership_register_now(&m, &now);
        CONVERSE(&m, { SEC(5), REGISTER, 0, 0, 0, MEMBERSHIP_UNREACHABLE, ACTIVE, 42, SEC(5.6) },
                 /* a KeepAlive would not tell the port */
                 { SEC(5.6), REGISTER, 200, 0, 42, MEMBERSHIP_REACHABLE, ACTIVE, 42, SEC(23.7) },
                 { SEC(23.7), KEEPALIVE, 200, 0, 0, NO_NEWS, ACTIVE, 42, SEC(41.8) });

        /* The port changes once more while the Register that tells the last one is under way. */
        now = at(SEC(41.8));
        membership_register_now(&m, &now);
        assert_int_equal(membership_next(&m, &now, &next), REGISTER);
        membership_register_now(&m, &now);
        const Reply reply = { .status = 200, .ttl_sec = 60, .keep_alive_sec = 20 };
        now = at(SEC(42));
        assert_int_equal(membership_answered(&m, REGISTER, &reply, SEC(41.8), &now, 0), NO_NEWS);
        assert_int_equal(membership_next(&m, &now, &next), REGISTER);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_registers_and_keeps_alive),
                cmocka_unit_test(test_keepalive_401_registers_with_same_cookie),
                cmocka_unit_test(test_register_401_drops_cookie),
                cmocka_unit_test(test_backs_off_and_tells_once),
                cmocka_unit_test(test_back_off_is_bounded_and_drawn),
                cmocka_unit_test(test_lease_runs_on_while_server_is_away),
                cmocka_unit_test(test_suspended_past_the_lease_registers_at_once),
                cmocka_unit_test(test_retry_after_is_the_least_and_grows),
                cmocka_unit_test(test_server_that_is_heard_ends_the_back_off),
                cmocka_unit_test(test_server_that_is_heard_meanwhile_is_tried_again),
                cmocka_unit_test(test_leave_is_tried_again_where_the_server_is_heard),
                cmocka_unit_test(test_keepalive_is_drawn_from_a_fifth),
                cmocka_unit_test(test_servers_word_is_held_to_sense),
                cmocka_unit_test(test_registered_without_cookie_is_a_refusal),
                cmocka_unit_test(test_address_of_the_reply_is_kept),
                cmocka_unit_test(test_leaves_and_stays_away),
                cmocka_unit_test(test_starts_away_if_it_was_told_to),
                cmocka_unit_test(test_leave_is_repeated_until_the_lease_is_over),
                cmocka_unit_test(test_leave_of_unknown_cookie_has_left),
                cmocka_unit_test(test_leave_with_a_cookie_from_disk_is_repeated),
                cmocka_unit_test(test_nothing_to_leave),
                cmocka_unit_test(test_leave_waits_for_what_is_under_way),
                cmocka_unit_test(test_join_while_leaving),
                cmocka_unit_test(test_new_port_is_told_at_once),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
