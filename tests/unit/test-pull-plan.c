/* SPDX-License-Identifier: BSD-2-Clause */
/* PullPlan: who is pulled in the background, and when; on a clock of its own, each pull taking a while. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/pull-plan.h"

#define SEC USEC_PER_SEC
#define INTERVAL (600 * SEC)
#define PEERS_MAX 65536
#define TAKES (50 * USEC_PER_MSEC)      /* each pull, and each list */

static Endpoint peer(uint32_t n) {
        return (Endpoint){ .address.bytes = { [10] = 0xff, 0xff, 10, (uint8_t) (n >> 16), (uint8_t) (n >> 8), (uint8_t) n },
                           .port = 1000 };
}

static uint32_t peer_number(const Endpoint *e) {
        return (uint32_t) e->address.bytes[13] << 16 | (uint32_t) e->address.bytes[14] << 8 | e->address.bytes[15];
}

/* What somebody who runs a plan sees. */
typedef struct Run {
        PullPlan *plan;
        Now now;
        Endpoint peers[PEERS_MAX];      /* who is listed */
        size_t n_peers;
        usec_t list_done_at;            /* 0: none is under way */
        struct {
                Endpoint peer;
                usec_t done_at;
        } running[PULL_PLAN_AT_ONCE + 1];
        size_t n_running;
        bool busy;                      /* all say so */
        size_t n_lists, n_pulls;
        usec_t last_at[PEERS_MAX];      /* the last pull of it; 0: none */
        unsigned n_of[PEERS_MAX];       /* pulls of it */
        usec_t shortest, longest;       /* between two of one peer, but the first two */
        usec_t second;                  /* the one that is counted, */
        unsigned n_in_second, most_in_second;
} Run;

static Run *run_new(uint64_t seed, size_t n_peers) {
        Run *r = calloc(1, sizeof(*r));
        assert_non_null(r);
        assert_int_equal(pull_plan_new(seed, &r->plan), 0);
        r->now.boottime = 1000 * SEC;
        r->n_peers = n_peers;
        for (uint32_t n = 0; n < n_peers; n++)
                r->peers[n] = peer(n);
        r->shortest = USEC_INFINITY;
        return r;
}

static void run_free_p(Run **r) {
        pull_plan_free((*r)->plan);
        free(*r);
}
#define _cleanup_run_ _cleanup_(run_free_p)

static void forget_counts(Run *r) {
        r->n_lists = r->n_pulls = 0;
        r->shortest = USEC_INFINITY;
        r->longest = 0;
        r->most_in_second = 0;
}

static void pull(Run *r, const Endpoint *e) {
        uint32_t n = peer_number(e);
        assert_true(n < PEERS_MAX);
        assert_true(r->n_running < PULL_PLAN_AT_ONCE);
        r->running[r->n_running].peer = *e;
        r->running[r->n_running++].done_at = r->now.boottime + TAKES;
        r->n_pulls++;
        if (++r->n_of[n] > 2) {
                r->shortest = MIN_OF(r->shortest, r->now.boottime - r->last_at[n]);
                r->longest = MAX_OF(r->longest, r->now.boottime - r->last_at[n]);
        }
        r->last_at[n] = r->now.boottime;
        if (r->now.boottime / SEC != r->second) {
                r->second = r->now.boottime / SEC;
                r->n_in_second = 0;
        }
        r->n_in_second++;
        r->most_in_second = MAX_OF(r->most_in_second, r->n_in_second);
}

/* What has ended by now is told; gives when the next ends. */
static usec_t end_what_is_done(Run *r) {
        usec_t next = USEC_INFINITY;
        if (r->list_done_at != 0 && r->list_done_at <= r->now.boottime) {
                r->list_done_at = 0;
                assert_int_equal(pull_plan_listed(r->plan, r->peers, r->n_peers, &r->now), 0);
        }
        if (r->list_done_at != 0)
                next = r->list_done_at;
        for (size_t i = 0; i < r->n_running;) {
                if (r->running[i].done_at > r->now.boottime) {
                        next = MIN_OF(next, r->running[i].done_at);
                        i++;
                        continue;
                }
                pull_plan_pulled(r->plan, &r->running[i].peer, r->busy, &r->now);
                r->running[i] = r->running[--r->n_running];
        }
        return next;
}

static void run_until(Run *r, usec_t end) {
        for (;;) {
                usec_t wake = end_what_is_done(r), at;
                Endpoint e;
                PullPlanDo what;
                while ((what = pull_plan_next(r->plan, &r->now, &e, &at)) != PULL_PLAN_WAIT) {
                        if (what == PULL_PLAN_PULL)
                                pull(r, &e);
                        else {
                                assert_int_equal(r->list_done_at, 0);
                                r->list_done_at = r->now.boottime + TAKES;
                                r->n_lists++;
                        }
                        wake = MIN_OF(wake, r->now.boottime + TAKES);
                }
                assert_true(at > r->now.boottime);
                wake = MIN_OF(wake, at);
                if (wake > end) {
                        r->now.boottime = end;
                        return;
                }
                r->now.boottime = wake;
        }
}

static void run_for(Run *r, usec_t usec) {
        run_until(r, r->now.boottime + usec);
}

static void test_nothing_is_due_without_an_interval(void **state) {
        (void) state;
        _cleanup_run_ Run *r = run_new(1, 10);
        run_for(r, USEC_PER_DAY);
        pull_plan_list_soon(r->plan, &r->now);
        pull_plan_set_interval(r->plan, USEC_INFINITY, &r->now);
        assert_int_equal(pull_plan_listed(r->plan, r->peers, 10, &r->now), 0);
        run_for(r, USEC_PER_DAY);
        assert_int_equal(r->n_lists + r->n_pulls + pull_plan_count(r->plan), 0);
}

static void test_fresh_peer_knows_all_soon(void **state) {
        (void) state;
        for (uint64_t seed = 0; seed < 20; seed++) {
                _cleanup_run_ Run *r = run_new(seed, 100);
                pull_plan_set_interval(r->plan, INTERVAL, &r->now);
                run_for(r, PULL_PLAN_START_USEC + TAKES);
                assert_int_equal(r->n_lists, 1);
                run_for(r, 2 * 100 * PULL_PLAN_SPACING_USEC);
                for (size_t i = 0; i < 100; i++)
                        assert_int_equal(r->n_of[i], 1);
        }
}

static void test_no_two_go_in_step(void **state) {
        (void) state;
        usec_t listed_at[2];
        uint32_t first[2][5];
        for (uint64_t seed = 0; seed < 2; seed++) {
                _cleanup_run_ Run *r = run_new(seed, 100);
                pull_plan_set_interval(r->plan, INTERVAL, &r->now);
                while (r->n_lists == 0)
                        run_for(r, USEC_PER_MSEC);
                listed_at[seed] = r->now.boottime;
                for (size_t i = 0; i < 5; i++) {
                        size_t n = r->n_pulls;
                        while (r->n_pulls == n)
                                run_for(r, USEC_PER_MSEC);
                        for (uint32_t k = 0; k < 100; k++)
                                if (r->last_at[k] + 2 * USEC_PER_MSEC > r->now.boottime && r->n_of[k] == 1)
                                        first[seed][i] = k;
                }
        }
        assert_true(listed_at[0] != listed_at[1]);
        assert_true(memcmp(first[0], first[1], sizeof(first[0])) != 0);
}

static void test_each_is_pulled_once_an_interval_and_they_come_apart(void **state) {
        (void) state;
        static const size_t n_peers[] = { 1, 2, 10, 1000, 10000 };
        for (size_t i = 0; i < ELEMENTSOF(n_peers); i++) {
                _cleanup_run_ Run *r = run_new(i, n_peers[i]);
                const usec_t space = MIN_OF(PULL_PLAN_SPACING_USEC, INTERVAL / (2 * n_peers[i]));
                pull_plan_set_interval(r->plan, INTERVAL, &r->now);
                run_for(r, 3 * INTERVAL);
                forget_counts(r);
                run_for(r, 10 * INTERVAL);
                /* Some wait for their turn where many want to go at once. */
                assert_true(r->shortest >= INTERVAL - INTERVAL / 5);
                assert_true(r->longest <= INTERVAL + INTERVAL / 5 + INTERVAL / 20);
                assert_in_range(r->n_lists, 8, 13);
                assert_in_range(r->n_pulls, 8 * n_peers[i], 13 * n_peers[i]);
                assert_true(r->most_in_second <= SEC / space + 1);
                if (n_peers[i] == 1000)         /* 1.7 a second on average, and nowhere near the 10 a second that may be */
                        assert_true(r->most_in_second <= 8);
        }
}

static void test_who_slept_does_not_make_a_lump(void **state) {
        (void) state;
        _cleanup_run_ Run *r = run_new(7, 1000);
        pull_plan_set_interval(r->plan, INTERVAL, &r->now);
        run_for(r, 3 * INTERVAL);
        r->now.boottime += 8 * USEC_PER_HOUR;
        forget_counts(r);
        run_for(r, INTERVAL);
        assert_true(r->n_pulls >= 1000);
        assert_in_range(r->most_in_second, 5, SEC / PULL_PLAN_SPACING_USEC + 1);
}

static void test_65536_are_pulled_in_time(void **state) {
        (void) state;
        _cleanup_run_ Run *r = run_new(3, PEERS_MAX);
        pull_plan_set_interval(r->plan, INTERVAL, &r->now);
        run_for(r, INTERVAL + INTERVAL / 2);
        for (size_t i = 0; i < PEERS_MAX; i++)
                assert_true(r->n_of[i] >= 1);
        assert_true(r->most_in_second <= 2 * PEERS_MAX / 600 + 2);
}

static void test_who_is_gone_is_not_pulled(void **state) {
        (void) state;
        _cleanup_run_ Run *r = run_new(5, 100);
        pull_plan_set_interval(r->plan, INTERVAL, &r->now);
        run_for(r, 2 * INTERVAL);
        r->n_peers = 40;
        assert_int_equal(pull_plan_listed(r->plan, r->peers, r->n_peers, &r->now), 0);
        memset(r->n_of, 0, sizeof(r->n_of));
        run_for(r, 2 * INTERVAL);
        for (size_t i = 0; i < 100; i++)
                assert_int_equal(r->n_of[i] > 0, i < 40);
        assert_int_equal(pull_plan_count(r->plan), 40);
}

static void test_who_goes_while_it_is_pulled_counts_until_then(void **state) {
        (void) state;
        _cleanup_run_ Run *r = run_new(5, PULL_PLAN_AT_ONCE + 10);
        Endpoint e, running[PULL_PLAN_AT_ONCE];
        usec_t at;

        pull_plan_set_interval(r->plan, SEC, &r->now);
        r->now.boottime += SEC;
        assert_int_equal(pull_plan_next(r->plan, &r->now, &e, &at), PULL_PLAN_LIST);
        assert_int_equal(pull_plan_listed(r->plan, r->peers, r->n_peers, &r->now), 0);
        for (size_t i = 0; i < PULL_PLAN_AT_ONCE; r->now.boottime += SEC / 5)
                if (pull_plan_next(r->plan, &r->now, &e, &at) == PULL_PLAN_PULL)
                        running[i++] = e;
        r->now.boottime += SEC;
        assert_true(pull_plan_listed(r->plan, NULL, 0, &r->now) == 0);
        assert_int_equal(pull_plan_count(r->plan), PULL_PLAN_AT_ONCE);
        assert_int_equal(pull_plan_listed(r->plan, r->peers, r->n_peers, &r->now), 0);
        assert_int_equal(pull_plan_count(r->plan), PULL_PLAN_AT_ONCE + 10);
        assert_int_equal(pull_plan_next(r->plan, &r->now, &e, &at), PULL_PLAN_WAIT);
        assert_true(pull_plan_listed(r->plan, NULL, 0, &r->now) == 0);
        for (size_t i = 0; i < PULL_PLAN_AT_ONCE; i++)
                pull_plan_pulled(r->plan, &running[i], false, &r->now);
        assert_int_equal(pull_plan_count(r->plan), 0);
}

static void test_who_is_busy_is_asked_again_soon(void **state) {
        (void) state;
        _cleanup_run_ Run *r = run_new(5, 1);
        pull_plan_set_interval(r->plan, INTERVAL, &r->now);
        r->busy = true;
        run_for(r, 61 * SEC);
        assert_in_range(r->n_of[0], 9, 15);
        r->busy = false;
        run_for(r, 10 * SEC);
        forget_counts(r);
        run_for(r, INTERVAL / 10);
        assert_int_equal(r->n_pulls, 0);
}

static void test_a_pull_for_somebody_else_counts(void **state) {
        (void) state;
        _cleanup_run_ Run *r = run_new(5, 1);
        Endpoint e = peer(0), stranger = peer(9);
        pull_plan_set_interval(r->plan, INTERVAL, &r->now);
        run_for(r, 2 * INTERVAL);
        forget_counts(r);
        for (int i = 0; i < 20; i++) {
                pull_plan_pulled(r->plan, &e, false, &r->now);
                pull_plan_pulled(r->plan, &stranger, false, &r->now);
                run_for(r, INTERVAL / 2);
        }
        assert_int_equal(r->n_pulls, 0);
        assert_int_equal(pull_plan_count(r->plan), 1);
}

static void test_new_interval_holds_at_once(void **state) {
        (void) state;
        _cleanup_run_ Run *r = run_new(5, 20);
        pull_plan_set_interval(r->plan, USEC_PER_DAY, &r->now);
        run_for(r, USEC_PER_HOUR);
        forget_counts(r);
        memset(r->n_of, 0, sizeof(r->n_of));
        pull_plan_set_interval(r->plan, 10 * SEC, &r->now);
        run_for(r, 13 * SEC);
        for (size_t i = 0; i < 20; i++)
                assert_true(r->n_of[i] >= 1);
        assert_true(r->n_lists >= 1);

        /* Off, and on again. */
        pull_plan_set_interval(r->plan, USEC_INFINITY, &r->now);
        forget_counts(r);
        run_for(r, USEC_PER_HOUR);
        assert_int_equal(r->n_lists + r->n_pulls, 0);
        pull_plan_set_interval(r->plan, 10 * SEC, &r->now);
        run_for(r, 15 * SEC);
        assert_true(r->n_lists >= 1 && r->n_pulls >= 20);
}

static void test_list_can_be_wanted_sooner(void **state) {
        (void) state;
        _cleanup_run_ Run *r = run_new(5, 0);
        pull_plan_set_interval(r->plan, INTERVAL, &r->now);
        run_for(r, INTERVAL / 10);
        forget_counts(r);
        pull_plan_list_soon(r->plan, &r->now);
        run_for(r, PULL_PLAN_START_USEC);
        assert_int_equal(r->n_lists, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_is_due_without_an_interval),
                cmocka_unit_test(test_fresh_peer_knows_all_soon),
                cmocka_unit_test(test_no_two_go_in_step),
                cmocka_unit_test(test_each_is_pulled_once_an_interval_and_they_come_apart),
                cmocka_unit_test(test_who_slept_does_not_make_a_lump),
                cmocka_unit_test(test_65536_are_pulled_in_time),
                cmocka_unit_test(test_who_is_gone_is_not_pulled),
                cmocka_unit_test(test_who_goes_while_it_is_pulled_counts_until_then),
                cmocka_unit_test(test_who_is_busy_is_asked_again_soon),
                cmocka_unit_test(test_a_pull_for_somebody_else_counts),
                cmocka_unit_test(test_new_interval_holds_at_once),
                cmocka_unit_test(test_list_can_be_wanted_sooner),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
