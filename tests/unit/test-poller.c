/* SPDX-License-Identifier: BSD-2-Clause */
#include "io-test.h"

#include <sys/epoll.h>

#include "io/poller.h"

#define N_WAITING 80                    /* more than come in one turn */

typedef struct Waiting {
        Watch watch;
        int peer;
        unsigned n_events;
        uint32_t revents;
        Poller *poller;
        struct Waiting *removes;        /* in its callback */
} Waiting;

static void on_events(Watch *w, uint32_t revents) {
        Waiting *x = WATCH_OF(w, Waiting, watch);
        char byte;

        x->n_events++;
        x->revents = revents;
        (void) recv(w->fd, &byte, 1, MSG_DONTWAIT);
        if (x->removes)
                poller_remove(x->poller, &x->removes->watch);
}

static void waiting_init(Waiting *x, Poller *p, uint32_t events) {
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        *x = (Waiting){ .watch = { on_events, fds[0] }, .peer = fds[1], .poller = p };
        assert_int_equal(poller_add(p, &x->watch, events), 0);
}

static void waiting_done(Waiting *x) {
        poller_remove(x->poller, &x->watch);
        assert_int_equal(close(x->watch.fd), 0);
        assert_int_equal(close(x->peer), 0);
}

static void test_all_that_are_ready_are_served(void **state) {
        Waiting waiting[N_WAITING];
        sd_event *e = test_event_new();
        Poller *p;

        (void) state;
        assert_int_equal(poller_new(e, &p), 0);
        assert_ptr_equal(poller_event(p), e);
        for (size_t i = 0; i < N_WAITING; i++) {
                waiting_init(&waiting[i], p, EPOLLIN);
                test_send(waiting[i].peer, "x", 1);
        }
        for (unsigned n = 0; n < 3; n++)
                assert_true(sd_event_run(e, PATIENCE_USEC) > 0);
        assert_int_equal(sd_event_run(e, 0), 0);
        for (size_t i = 0; i < N_WAITING; i++) {
                assert_int_equal(waiting[i].n_events, 1);
                assert_int_equal(waiting[i].revents, EPOLLIN);
                waiting_done(&waiting[i]);
        }
        poller_free(p);
        sd_event_unref(e);
}

static void test_what_is_waited_for_can_change(void **state) {
        sd_event *e = test_event_new();
        Waiting x;
        Poller *p;

        (void) state;
        assert_int_equal(poller_new(e, &p), 0);
        waiting_init(&x, p, 0);
        test_send(x.peer, "x", 1);
        assert_int_equal(sd_event_run(e, 0), 0);
        poller_change(p, &x.watch, EPOLLOUT);
        assert_true(sd_event_run(e, PATIENCE_USEC) > 0);
        assert_int_equal(x.revents, EPOLLOUT);
        poller_change(p, &x.watch, 0);
        assert_int_equal(sd_event_run(e, 0), 0);
        assert_int_equal(shutdown(x.peer, SHUT_RDWR), 0);
        assert_true(sd_event_run(e, PATIENCE_USEC) > 0);
        assert_true(x.revents & EPOLLHUP);
        waiting_done(&x);
        poller_free(p);
        sd_event_unref(e);
}

/* One that ends may end others, whose events lie in the same batch: their memory is gone then. */
static void test_who_was_removed_hears_nothing(void **state) {
        sd_event *e = test_event_new();
        Waiting a, b;
        Poller *p;

        (void) state;
        assert_int_equal(poller_new(e, &p), 0);
        waiting_init(&a, p, EPOLLIN);
        waiting_init(&b, p, EPOLLIN);
        a.removes = &b;
        b.removes = &a;
        test_send(a.peer, "x", 1);
        test_send(b.peer, "x", 1);
        assert_true(sd_event_run(e, PATIENCE_USEC) > 0);
        assert_int_equal(a.n_events + b.n_events, 1);
        waiting_done(&a);
        waiting_done(&b);
        poller_free(p);
        sd_event_unref(e);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_that_are_ready_are_served),
                cmocka_unit_test(test_what_is_waited_for_can_change),
                cmocka_unit_test(test_who_was_removed_hears_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
