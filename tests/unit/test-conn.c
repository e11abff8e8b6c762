/* SPDX-License-Identifier: BSD-2-Clause */
#include "io-test.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/resource.h>

#include "io/conn.h"
#include "io/mailbox.h"

#define REQUEST "GET RFC 1 P2P-DI/1.0\r\nHost: a\r\n\r\n"

typedef struct Fixture Fixture;
struct Fixture {
        sd_event *e;
        Poller *poller;
        Conn *conn;                     /* NULL: over */
        ConnConf conf;
        TestReader peer;
        /* what on_request does: */
        void (*answer)(Fixture *f, Conn *c, const MsgHead *head);
        ConnAfter after;
        const char *first;              /* is there before the Conn */
        ConnBody body;
        /* what was seen */
        unsigned n_requests, n_bad, n_replied, n_ended, n_released;
        char documents[512];            /* of all requests, each with a space behind */
        unsigned bad_status;
        size_t n_bad_bytes;
        bool ok;
        void *tag;
        uint64_t n_sent;
        ConnEnd why;
        bool in_call;                   /* a call of ours into the Conn is under way: no handler may be called */
};

static void reply_text(Fixture *f, Conn *c, const char *text) {
        conn_reply(c, slice_of(text), NULL, f->after, f);
}

static void answer_with_document(Fixture *f, Conn *c, const MsgHead *head) {
        char text[128];

        (void) snprintf(text, sizeof(text), "<%.*s>", (int) head->document.size, head->document.data);
        reply_text(f, c, text);
}

static void answer_with_body(Fixture *f, Conn *c, const MsgHead *head) {
        (void) head;
        conn_reply(c, SLICE_LITERAL("HEAD\n"), &f->body, f->after, f);
}

static void answer_later(Fixture *f, Conn *c, const MsgHead *head) {
        (void) f;
        (void) c;
        (void) head;
}

static void on_request(Conn *c, const MsgHead *head, Slice bytes, void *userdata) {
        Fixture *f = userdata;

        assert_false(f->in_call);
        assert_int_equal(bytes.size, head->size);
        f->n_requests++;
        (void) strncat(f->documents, head->document.data, head->document.size);
        (void) strcat(f->documents, " ");
        f->answer(f, c, head);
}

static void on_bad_request(Conn *c, unsigned status, Slice bytes, void *userdata) {
        Fixture *f = userdata;
        char text[16];

        assert_false(f->in_call);
        f->n_bad++;
        f->bad_status = status;
        f->n_bad_bytes = bytes.size;
        (void) snprintf(text, sizeof(text), "<%u>", status);
        conn_reply(c, slice_of(text), NULL, CONN_ENDS, f);      /* that is not for it to say */
}

static void on_replied(Conn *c, void *tag, bool ok, uint64_t n_sent, void *userdata) {
        Fixture *f = userdata;

        (void) c;
        assert_false(f->in_call);
        f->n_replied++;
        f->ok = ok;
        f->tag = tag;
        f->n_sent = n_sent;
}

static void on_end(Conn *c, ConnEnd why, void *userdata) {
        Fixture *f = userdata;

        assert_false(f->in_call);
        assert_ptr_equal(c, f->conn);
        f->conn = NULL;
        f->n_ended++;
        f->why = why;
}

static void on_release(void *owner) {
        Fixture *f = owner;

        f->n_released++;
}

static const ConnHandler handler = { on_request, on_bad_request, on_replied, on_end };

static void fixture_init(Fixture *f) {
        *f = (Fixture){
                .e = test_event_new(),
                .conf = {
                        .request_timeout = USEC_PER_MINUTE,
                        .idle_timeout = USEC_PER_MINUTE,
                        .lifetime = USEC_INFINITY,
                },
                .answer = answer_with_document,
                .peer = { .fd = -1 },
                .body = CONN_NO_BODY,
        };
        assert_int_equal(poller_new(f->e, &f->poller), 0);
}

/* Over TCP, whose resets, half closes and buffers are what it is about. small: buffers of a few KiB. */
static void fixture_connect(Fixture *f, bool small) {
        Endpoint at, remote;
        struct sockaddr_storage address;
        socklen_t size = sizeof(address);
        int listening = test_listen(1, &at), fd, bytes = 4096;

        if (small)
                assert_int_equal(setsockopt(listening, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
        f->peer.fd = test_connect(&at, NULL);
        if (f->first)
                test_send_text(f->peer.fd, f->first);
        if (small)
                assert_int_equal(setsockopt(f->peer.fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
        fd = accept4(listening, (struct sockaddr *) &address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(endpoint_from_sockaddr((struct sockaddr *) &address, &remote), 0);
        f->in_call = true;
        assert_int_equal(conn_new(f->poller, fd, &remote, &f->conf, &handler, f, &f->conn), 0);
        f->in_call = false;
        assert_true(endpoint_equal(conn_remote(f->conn), &remote));
        assert_ptr_equal(conn_event(f->conn), f->e);
        assert_int_equal(close(listening), 0);
        conn_start(f->conn);
}

/* A socket of another kind, without the timers of TCP. */
static void fixture_connect_unix(Fixture *f, const ConnHandler *h) {
        const Endpoint remote = test_endpoint("192.0.2.1:1");
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        f->peer.fd = fds[1];
        assert_int_equal(conn_new(f->poller, fds[0], &remote, &f->conf, h, f, &f->conn), 0);
        conn_start(f->conn);
}

static void fixture_done(Fixture *f) {
        f->conn = conn_free(f->conn);
        test_reader_done(&f->peer);
        f->poller = poller_free(f->poller);
        f->e = sd_event_unref(f->e);
}

static void test_request_is_answered_byte_by_byte(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_connect(&f, false);
        for (size_t i = 0; i < sizeof(REQUEST) - 1; i++) {
                assert_int_equal(f.n_requests, 0);
                test_send(f.peer.fd, &REQUEST[i], 1);
                assert_true(sd_event_run(f.e, PATIENCE_USEC) > 0);
        }
        run_until(f.e, test_reader_has(&f.peer, "<RFC 1>"));
        assert_int_equal(f.n_requests, 1);
        assert_int_equal(f.n_replied, 1);
        assert_true(f.ok);
        assert_ptr_equal(f.tag, &f);
        assert_true(conn_request_at(f.conn) > 0);
        assert_false(f.peer.closed);
        fixture_done(&f);
        assert_int_equal(f.n_ended, 0); /* conn_free() says nothing */
}

/* Its socket was the last one that could be opened. */
static void test_connection_needs_no_further_descriptor(void **state) {
        struct rlimit before, none;
        Fixture f;
        int fds[2];
        const Endpoint remote = test_endpoint("192.0.2.1:1");

        (void) state;
        fixture_init(&f);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        f.peer.fd = fds[1];
        assert_int_equal(conn_new(f.poller, fds[0], &remote, &f.conf, &handler, &f, &f.conn), 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = (struct rlimit){ 0, before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        conn_start(f.conn);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(f.n_ended, 0);
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, test_reader_has(&f.peer, "<RFC 1>"));
        fixture_done(&f);
}

static void test_pipelined_requests_are_answered_in_order(void **state) {
        char requests[64 * 40] = "", expected[64 * 10] = "";
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_connect(&f, false);
        for (unsigned i = 0; i < 60; i++) { /* more than one turn answers */
                (void) snprintf(requests + strlen(requests), 40, "GET RFC %u P2P-DI/1.0\n\n", i);
                (void) snprintf(expected + strlen(expected), 10, "<RFC %u>", i);
        }
        test_send_text(f.peer.fd, requests);
        run_until(f.e, test_reader_has(&f.peer, "<RFC 59>"));
        assert_string_equal(f.peer.data, expected);
        assert_int_equal(f.n_requests, 60);
        assert_non_null(f.conn);
        fixture_done(&f);
}

static void test_next_request_waits_for_the_reply(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.answer = answer_later;
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, "GET A P2P-DI/1.0\n\nGET B P2P-DI/1.0\n\n");
        run_until(f.e, f.n_requests == 1);
        /* while a reply is due: waits in the kernel, and wakes nobody without end */
        test_send_text(f.peer.fd, "GET C P2P-DI/1.0\n\n");
        for (unsigned i = 0; i < 5; i++)
                assert_true(sd_event_run(f.e, 0) >= 0);
        assert_int_equal(sd_event_run(f.e, 0), 0);
        assert_int_equal(f.n_requests, 1);

        for (unsigned n = 1; n <= 3; n++) {
                f.in_call = true;
                reply_text(&f, f.conn, "<later>");
                f.in_call = false;
                run_until(f.e, f.n_replied == n && f.n_requests == MIN_OF(n + 1, 3u));
        }
        assert_string_equal(f.documents, "A B C ");
        run_until(f.e, test_reader_has(&f.peer, "<later><later><later>"));
        fixture_done(&f);
}

static void test_memory_body_is_sent_and_released(void **state) {
        size_t size = 3u << 20;
        char *bytes = malloc(size);
        Fixture f;

        (void) state;
        assert_non_null(bytes);
        for (size_t i = 0; i < size; i++)
                bytes[i] = (char) (i * 7 + (i >> 12));
        fixture_init(&f);
        f.answer = answer_with_body;
        f.body = (ConnBody){ .memory = { bytes, size }, .fd = -1, .release = on_release, .owner = &f };
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, (test_read(&f.peer), f.peer.size >= size + 5));
        run_until(f.e, f.n_replied == 1);
        assert_int_equal(f.peer.size, size + 5);
        assert_memory_equal(f.peer.data, "HEAD\n", 5);
        assert_memory_equal(f.peer.data + 5, bytes, size);
        assert_int_equal(f.n_released, 1);
        assert_int_equal(f.n_sent, size);
        assert_true(f.ok);
        fixture_done(&f);
        assert_int_equal(f.n_released, 1);
        free(bytes);
}

static void test_file_body_has_equal_bytes(void **state) {
        size_t size = (2u << 20) + 77;
        char *bytes;
        int file, fd;
        Fixture f;

        (void) state;
        file = test_file(size, &bytes);
        fixture_init(&f);
        f.answer = answer_with_body;
        fixture_connect(&f, false);

        fd = dup(file);
        f.body = (ConnBody){ .fd = fd, .size = size };
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, (test_read(&f.peer), f.peer.size >= size + 5) && f.n_replied == 1);
        assert_int_equal(f.peer.size, size + 5);
        assert_memory_equal(f.peer.data, "HEAD\n", 5);
        assert_memory_equal(f.peer.data + 5, bytes, size);
        assert_int_equal(f.n_sent, size);
        assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed */

        /* a part */
        f.peer.size = 0;
        f.body = (ConnBody){ .fd = dup(file), .offset = size - 100, .size = 90 };
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, (test_read(&f.peer), f.peer.size >= 95) && f.n_replied == 2);
        assert_int_equal(f.peer.size, 95);
        assert_memory_equal(f.peer.data + 5, bytes + size - 100, 90);

        /* nothing */
        f.peer.size = 0;
        f.body = (ConnBody){ .fd = dup(file) };
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, (test_read(&f.peer), f.peer.size >= 5) && f.n_replied == 3);
        assert_int_equal(f.peer.size, 5);

        fixture_done(&f);
        assert_int_equal(close(file), 0);
        free(bytes);
}

static void test_small_reply_is_one_segment(void **state) {
        struct tcp_info info;
        socklen_t size = sizeof(info);
        char *bytes;
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.answer = answer_with_body;
        f.body = (ConnBody){ .fd = test_file(100, &bytes), .size = 100 };
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, (test_read(&f.peer), f.peer.size >= 105));
        assert_int_equal(getsockopt(f.peer.fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
        assert_int_equal(info.tcpi_data_segs_in, 1);
        fixture_done(&f);
        free(bytes);
}

static void test_file_cut_short_ends_the_connection(void **state) {
        char *bytes;
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.answer = answer_with_body;
        f.body = (ConnBody){ .fd = test_file(1000, &bytes), .size = 2000 };
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_FAILED);
        assert_int_equal(f.n_replied, 1);
        assert_false(f.ok);
        assert_int_equal(f.n_sent, 1000);
        run_until(f.e, test_reader_closed(&f.peer));
        fixture_done(&f);
        free(bytes);
}

static void test_endless_head_is_431(void **state) {
        char letters[65536];
        Fixture f;

        (void) state;
        memset(letters, 'A', sizeof(letters));
        fixture_init(&f);
        fixture_connect(&f, false);
        test_send(f.peer.fd, letters, sizeof(letters));
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.n_bad, 1);
        assert_int_equal(f.bad_status, 431);
        assert_true(f.n_bad_bytes >= MSG_HEAD_MAX && f.n_bad_bytes <= MSG_HEAD_MAX + 1024);
        assert_int_equal(f.why, CONN_DONE);
        assert_int_equal(f.n_replied, 1);
        /* what was not read did not destroy the reply */
        run_until(f.e, test_reader_closed(&f.peer));
        assert_string_equal(f.peer.data, "<431>");
        fixture_done(&f);
}

static void test_no_request_is_400_and_nothing_behind_it_runs(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, "GET RFC 1 P2P-DI/1.0\nbad header\n\n" REQUEST REQUEST);
        run_until(f.e, test_reader_closed(&f.peer));
        assert_string_equal(f.peer.data, "<400>");
        assert_int_equal(shutdown(f.peer.fd, SHUT_WR), 0);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.n_requests, 0);
        assert_int_equal(f.why, CONN_DONE);
        fixture_done(&f);
}

static void test_half_a_request_is_408(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.conf.request_timeout = 30 * USEC_PER_MSEC;
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, "GET RFC 1 P2P");
        run_until(f.e, test_reader_closed(&f.peer));
        assert_string_equal(f.peer.data, "<408>");
        assert_int_equal(f.n_bad_bytes, 13);
        assert_int_equal(f.n_ended, 0); /* reads on for a moment */
        assert_int_equal(shutdown(f.peer.fd, SHUT_WR), 0);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_TIMEOUT);
        fixture_done(&f);
}

static void test_request_deadline_is_not_moved_by_reads(void **state) {
        usec_t began_at, next_at = 0;
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.conf.request_timeout = 50 * USEC_PER_MSEC;
        fixture_connect(&f, false);
        began_at = test_boottime();
        while (f.n_bad == 0) { /* a byte every ten milliseconds */
                if (test_boottime() >= next_at) {
                        test_send(f.peer.fd, "x", 1);
                        next_at = test_boottime() + 10 * USEC_PER_MSEC;
                }
                assert_true(sd_event_run(f.e, 5 * USEC_PER_MSEC) >= 0);
                assert_true(test_boottime() < began_at + PATIENCE_USEC);
        }
        assert_int_equal(f.bad_status, 408);
        assert_true(test_boottime() >= began_at + 50 * USEC_PER_MSEC);
        fixture_done(&f);
}

static void test_silent_connection_is_closed_without_a_word(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.conf.idle_timeout = 30 * USEC_PER_MSEC;
        fixture_connect(&f, false);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_IDLE);
        run_until(f.e, test_reader_closed(&f.peer));
        assert_int_equal(f.peer.size, 0);
        assert_int_equal(f.n_bad, 0);
        fixture_done(&f);
}

static void test_idle_time_counts_anew_after_a_reply(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_connect(&f, false);
        f.conf.idle_timeout = 30 * USEC_PER_MSEC; /* changed in place */
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.n_replied, 1);
        assert_int_equal(f.why, CONN_IDLE);
        fixture_done(&f);
}

static void test_lifetime_ends_an_idle_connection(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.conf.lifetime = 30 * USEC_PER_MSEC;
        fixture_connect(&f, false);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_LIFETIME);
        fixture_done(&f);
}

static void test_lifetime_waits_for_the_reply(void **state) {
        usec_t end_at;
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.conf.lifetime = 30 * USEC_PER_MSEC;
        f.answer = answer_later;
        fixture_connect(&f, false);
        end_at = test_boottime() + 60 * USEC_PER_MSEC;
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, test_boottime() > end_at);
        assert_int_equal(f.n_requests, 1);
        assert_int_equal(f.n_ended, 0);
        reply_text(&f, f.conn, "<at last>");
        run_until(f.e, test_reader_closed(&f.peer));
        assert_string_equal(f.peer.data, "<at last>");
        assert_int_equal(shutdown(f.peer.fd, SHUT_WR), 0);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_LIFETIME);
        fixture_done(&f);
}

static void test_slow_reader_is_cut(void **state) {
        size_t size = 8u << 20;
        char *bytes;
        int file;
        Fixture f;

        (void) state;
        file = test_file(size, &bytes);
        fixture_init(&f);
        f.conf.rate_window = 50 * USEC_PER_MSEC;
        f.conf.min_rate = 1u << 30;
        f.answer = answer_with_body;
        f.body = (ConnBody){ .fd = file, .size = size };
        fixture_connect(&f, true);
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, f.n_ended == 1 || (recv(f.peer.fd, bytes, 100, MSG_DONTWAIT), false));
        assert_int_equal(f.why, CONN_TOO_SLOW);
        assert_int_equal(f.n_replied, 1);
        assert_false(f.ok);
        assert_true(f.n_sent < size);
        fixture_done(&f);
        free(bytes);
}

static void test_reader_that_takes_nothing_is_cut_without_a_rate(void **state) {
        size_t size = 8u << 20;
        char *bytes;
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.conf.rate_window = 50 * USEC_PER_MSEC;
        f.answer = answer_with_body;
        f.body = (ConnBody){ .fd = test_file(size, &bytes), .size = size };
        fixture_connect(&f, true);
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_TOO_SLOW);
        fixture_done(&f);
        free(bytes);
}

/* Takes a little each third of a window for some of them, then all. false: this machine was away for too long to tell. */
static bool takes_a_little(usec_t window) {
        size_t size = 8u << 20;
        usec_t end_at, next_at = 0, longest_turn = 0;
        bool stalled;
        char *bytes;
        Fixture f;

        fixture_init(&f);
        f.conf.rate_window = window;
        f.answer = answer_with_body;
        f.body = (ConnBody){ .fd = test_file(size, &bytes), .size = size };
        fixture_connect_unix(&f, &handler);
        test_send_text(f.peer.fd, REQUEST);
        end_at = test_boottime() + 3 * window;
        while (f.n_ended == 0 && f.peer.size < size + 5) {
                usec_t at = test_boottime();

                if (at >= next_at || at >= end_at) {
                        test_read(&f.peer);
                        next_at = at + window / 3;
                }
                assert_true(sd_event_run(f.e, window / 15) >= 0);
                longest_turn = MAX_OF(longest_turn, test_boottime() - at);
        }
        stalled = f.n_ended > 0 && longest_turn > window / 5;
        if (!stalled) {
                assert_int_equal(f.n_ended, 0);
                assert_memory_equal(f.peer.data + 5, bytes, size);
        }
        fixture_done(&f);
        free(bytes);
        return !stalled;
}

static void test_reader_that_takes_a_little_stays_without_a_rate(void **state) {
        usec_t window = 150 * USEC_PER_MSEC;

        (void) state;
        while (!takes_a_little(window))
                window *= 2;
}

/* ---- at a pace ---- */

/* One piece is out, and the next is due in minutes. */
static void start_at_a_pace(Fixture *f, size_t size, char **ret_bytes) {
        fixture_init(f);
        assert_int_equal(pace_new(1, &f->conf.pace), 0);
        f->answer = answer_with_body;
        f->body = (ConnBody){ .fd = test_file(size, ret_bytes), .size = size };
        fixture_connect(f, false);
        test_send_text(f->peer.fd, REQUEST);
        run_until(f->e, (test_read(&f->peer), f->peer.size >= FLOW_PIECE_MIN));
}

static void test_reply_waits_for_its_turn_and_wakes_nobody(void **state) {
        size_t size = 3u << 20;
        char *bytes;
        Fixture f;

        (void) state;
        start_at_a_pace(&f, size, &bytes);
        for (unsigned i = 0; i < 5; i++)
                assert_true(sd_event_run(f.e, 0) >= 0);
        assert_int_equal(sd_event_run(f.e, 0), 0);
        test_read(&f.peer);
        assert_in_range(f.peer.size, FLOW_PIECE_MIN, FLOW_PIECE_MIN + 5);

        /* Without a limit all of it goes out. */
        pace_set(f.conf.pace, FLOW_UNLIMITED);
        f.in_call = true;
        conn_pace_changed(f.conn);
        f.in_call = false;
        run_until(f.e, (test_read(&f.peer), f.peer.size >= size + 5) && f.n_replied == 1);
        assert_int_equal(f.peer.size, size + 5);
        assert_memory_equal(f.peer.data + 5, bytes, size);
        assert_true(f.ok);
        pace_free(f.conf.pace);
        fixture_done(&f);
        free(bytes);
}

static void test_reply_without_a_body_waits_for_nothing(void **state) {
        char *bytes;
        Fixture f;
        Now now;
        usec_t at;

        (void) state;
        fixture_init(&f);
        assert_int_equal(pace_new(1, &f.conf.pace), 0);
        now_read(&now);
        assert_int_equal(pace_take(f.conf.pace, 1000, &now, &at), FLOW_PIECE_MIN);
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, REQUEST REQUEST);
        run_until(f.e, test_reader_has(&f.peer, "<RFC 1><RFC 1>"));
        /* With one it does. */
        f.answer = answer_with_body;
        f.body = (ConnBody){ .fd = test_file(10, &bytes), .size = 10 };
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, f.n_requests == 3);
        assert_true(sd_event_run(f.e, 0) >= 0);
        test_read(&f.peer);
        assert_int_equal(f.peer.size, strlen("<RFC 1><RFC 1>"));
        pace_free(f.conf.pace);
        fixture_done(&f);
        free(bytes);
}

static void test_peer_that_goes_while_its_reply_waits_is_noticed(void **state) {
        const struct linger reset = { .l_onoff = 1 };
        char *bytes;
        Fixture f;

        (void) state;
        start_at_a_pace(&f, 100000, &bytes);
        assert_int_equal(setsockopt(f.peer.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
        assert_int_equal(close(f.peer.fd), 0);
        f.peer.fd = -1;
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_BROKEN);
        assert_false(f.ok);
        assert_int_equal(f.n_sent, FLOW_PIECE_MIN);
        pace_free(f.conf.pace);
        fixture_done(&f);
        free(bytes);
}

/* It has to wait for longer than the reader may be slow: but that is the others', who have their turn before. */
static void test_own_pace_is_no_slowness_of_the_reader(void **state) {
        size_t size = 3 * FLOW_PIECE_MAX;
        char *bytes;
        Fixture f;
        usec_t at = 0, free_at;

        (void) state;
        fixture_init(&f);
        assert_int_equal(pace_new(20 << 20, &f.conf.pace), 0);
        f.conf.rate_window = 400 * USEC_PER_MSEC;
        f.conf.min_rate = 1 << 20;
        f.answer = answer_with_body;
        f.body = (ConnBody){ .fd = test_file(size, &bytes), .size = size };
        fixture_connect_unix(&f, &handler);
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, f.n_requests == 1);
        /* What its socket takes is out, and its time counts. */
        assert_true(sd_event_run(f.e, 0) >= 0);
        free_at = test_boottime() + 3 * f.conf.rate_window / 2;
        while (at < free_at)
                (void) pace_take(f.conf.pace, SIZE_MAX, &(Now){ .boottime = test_boottime() }, &at);
        run_until(f.e, (test_read(&f.peer), f.peer.size >= FLOW_PIECE_MAX));
        /* The next turn has come, the socket is full again: of the reader's time there is most of it left. */
        run_until(f.e, test_boottime() >= at + 50 * USEC_PER_MSEC);
        assert_int_equal(f.n_ended, 0);
        run_until(f.e, (test_read(&f.peer), f.peer.size >= size + 5) && f.n_replied == 1);
        assert_true(f.ok);
        assert_int_equal(f.n_ended, 0);
        pace_free(f.conf.pace);
        fixture_done(&f);
        free(bytes);
}

static void test_slow_reader_is_cut_at_a_pace_too(void **state) {
        size_t size = 8u << 20;
        char *bytes;
        Fixture f;

        (void) state;
        fixture_init(&f);
        assert_int_equal(pace_new(100u << 20, &f.conf.pace), 0);
        f.conf.rate_window = 50 * USEC_PER_MSEC;
        f.answer = answer_with_body;
        f.body = (ConnBody){ .fd = test_file(size, &bytes), .size = size };
        fixture_connect(&f, true);
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_TOO_SLOW);
        pace_free(f.conf.pace);
        fixture_done(&f);
        free(bytes);
}

static void test_half_closed_peer_gets_its_reply(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.answer = answer_later;
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, REQUEST);
        assert_int_equal(shutdown(f.peer.fd, SHUT_WR), 0);
        run_until(f.e, f.n_requests == 1);
        for (unsigned i = 0; i < 5; i++)
                assert_true(sd_event_run(f.e, 0) >= 0);
        assert_int_equal(f.n_ended, 0);
        reply_text(&f, f.conn, "<reply>");
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_CLOSED_BY_PEER);
        run_until(f.e, test_reader_closed(&f.peer));
        assert_string_equal(f.peer.data, "<reply>");
        fixture_done(&f);
}

static void test_ends_are_told_apart(void **state) {
        static const struct {
                const char *sent;
                ConnEnd why;
        } cases[] = {
                { "", CONN_CLOSED_BY_PEER },
                { "GET RFC", CONN_BROKEN },
                { REQUEST, CONN_CLOSED_BY_PEER },
                { REQUEST "GET", CONN_BROKEN },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Fixture f;

                fixture_init(&f);
                fixture_connect(&f, false);
                if (*cases[i].sent)
                        test_send_text(f.peer.fd, cases[i].sent);
                assert_int_equal(shutdown(f.peer.fd, SHUT_WR), 0);
                run_until(f.e, f.n_ended == 1);
                assert_int_equal(f.why, cases[i].why);
                assert_int_equal(f.n_bad, 0);
                fixture_done(&f);
        }
}

static void reset_peer(Fixture *f) {
        const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

        assert_int_equal(setsockopt(f->peer.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
        assert_int_equal(close(f->peer.fd), 0);
        f->peer.fd = -1;
}

static void test_reset_while_a_reply_is_due_ends_it(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.answer = answer_later;
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, f.n_requests == 1);
        reset_peer(&f);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_BROKEN);
        assert_int_equal(f.n_replied, 0);
        fixture_done(&f);
}

static void test_reset_while_sending_settles_the_reply(void **state) {
        size_t size = 8u << 20;
        char *bytes;
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.answer = answer_with_body;
        f.body = (ConnBody){ .fd = test_file(size, &bytes), .size = size };
        fixture_connect(&f, true);
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, (test_read(&f.peer), f.peer.size > 0));
        reset_peer(&f);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_BROKEN);
        assert_int_equal(f.n_replied, 1);
        assert_false(f.ok);
        fixture_done(&f);
        free(bytes);
}

static void test_close_shuts_down_after_the_reply(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.after = CONN_SHUTS_DOWN;
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, REQUEST REQUEST);
        run_until(f.e, test_reader_closed(&f.peer));
        assert_string_equal(f.peer.data, "<RFC 1>");
        assert_false(f.peer.reset);
        assert_int_equal(f.n_requests, 1);
        assert_int_equal(close(f.peer.fd), 0);
        f.peer.fd = -1;
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_DONE);
        fixture_done(&f);
}

/* The last word of a client needs no waiting for more; and one that goes on all the same loses no reply. */
static void test_last_word_ends_the_connection(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.after = CONN_ENDS;
        f.first = REQUEST;
        fixture_connect(&f, false);
        assert_int_equal(f.n_ended, 1);
        assert_int_equal(f.why, CONN_DONE);
        assert_true(f.ok);
        run_until(f.e, test_reader_closed(&f.peer));
        assert_false(f.peer.reset);
        assert_string_equal(f.peer.data, "<RFC 1>");
        fixture_done(&f);

        fixture_init(&f);
        f.after = CONN_ENDS;
        f.first = REQUEST REQUEST;
        fixture_connect(&f, false);
        assert_int_equal(f.n_ended, 0);
        run_until(f.e, test_reader_closed(&f.peer));
        assert_false(f.peer.reset);
        assert_string_equal(f.peer.data, "<RFC 1>");
        fixture_done(&f);
}

/* More than one read of 1 KiB takes: what follows lies in the kernel, and closing would reset the connection. */
static void test_last_word_with_bytes_behind_it(void **state) {
        char text[4096] = "GET RFC 1 P2P-DI/1.0\nX: ";
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.after = CONN_ENDS;
        memset(text + strlen(text), 'x', 1022 - strlen(text));
        (void) strcat(text, "\n\n");
        assert_int_equal(strlen(text), 1024);
        memset(text + strlen(text), 'y', 2000);
        f.first = text;
        fixture_connect(&f, false);
        assert_int_equal(f.n_requests, 1);
        assert_int_equal(f.n_ended, 0);
        run_until(f.e, test_reader_closed(&f.peer));
        assert_false(f.peer.reset);
        assert_string_equal(f.peer.data, "<RFC 1>");
        fixture_done(&f);
}

static void test_request_that_is_there_is_answered_at_once(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.first = "GET A P2P-DI/1.0\n\nGET B P2P-DI/1.0\n\nGET C P2P-DI/1.0\n\n";
        fixture_connect(&f, false);
        assert_string_equal(f.documents, "A "); /* others come before the second one */
        assert_int_equal(f.n_replied, 1);
        run_until(f.e, test_reader_has(&f.peer, "<A><B><C>"));
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, test_reader_has(&f.peer, "<RFC 1>"));
        assert_int_equal(f.n_ended, 0);
        fixture_done(&f);
}

static void test_start_may_find_it_over(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.first = "nonsense\n\n";
        fixture_connect(&f, false);
        assert_int_equal(f.n_bad, 1);
        run_until(f.e, test_reader_closed(&f.peer));
        assert_string_equal(f.peer.data, "<400>");
        assert_int_equal(f.n_ended, 0); /* refused: it is read empty for a moment, whatever the owner says */
        fixture_done(&f);
}

static void test_peer_that_never_closes_is_not_waited_for(void **state) {
        usec_t began_at;
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.after = CONN_SHUTS_DOWN;
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, REQUEST);
        began_at = test_boottime();
        run_until(f.e, f.n_ended == 1);
        assert_true(test_boottime() < began_at + 3 * USEC_PER_SEC);
        assert_int_equal(f.why, CONN_DONE);
        fixture_done(&f);
}

static void test_stop_ends_an_idle_connection(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, f.n_replied == 1);
        f.in_call = true;
        conn_stop(f.conn);
        conn_stop(f.conn);
        f.in_call = false;
        assert_true(sd_event_run(f.e, 0) > 0);
        assert_int_equal(f.n_ended, 1);
        assert_int_equal(f.why, CONN_STOPPED);
        fixture_done(&f);
}

static void test_stop_ends_a_silent_connection(void **state) {
        usec_t began_at = test_boottime();
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_connect(&f, false);
        conn_stop(f.conn);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_STOPPED);
        assert_true(test_boottime() >= began_at + 400 * USEC_PER_MSEC);
        fixture_done(&f);
}

/* Which was accepted a moment before its request came: whoever connected could not know. */
static void test_stop_answers_the_first_request(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_connect(&f, false);
        conn_stop(f.conn);
        test_send_text(f.peer.fd, REQUEST REQUEST);
        run_until(f.e, f.n_replied == 1);
        assert_int_equal(shutdown(f.peer.fd, SHUT_WR), 0);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_STOPPED);
        assert_int_equal(f.n_requests, 1);
        fixture_done(&f);
}

static void test_stop_answers_what_has_come(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, "GET A P2P-DI/1.0\n\n");
        run_until(f.e, test_reader_has(&f.peer, "<A>"));
        test_send_text(f.peer.fd, "GET B P2P-DI/1.0\n\n");
        conn_stop(f.conn);
        assert_int_equal(shutdown(f.peer.fd, SHUT_WR), 0);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_STOPPED);
        run_until(f.e, test_reader_closed(&f.peer));
        assert_string_equal(f.peer.data, "<A><B>");
        fixture_done(&f);
}

static void test_stop_does_not_wait_for_the_rest_of_a_request(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, "GET ");
        for (unsigned i = 0; i < 5; i++)
                assert_true(sd_event_run(f.e, 0) >= 0);
        conn_stop(f.conn);
        run_until(f.e, f.n_bad == 1);
        assert_int_equal(shutdown(f.peer.fd, SHUT_WR), 0);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_TIMEOUT);
        fixture_done(&f);
}

static void test_stop_waits_for_the_reply(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.answer = answer_later;
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, REQUEST REQUEST);
        run_until(f.e, f.n_requests == 1);
        conn_stop(f.conn);
        for (unsigned i = 0; i < 5; i++)
                assert_true(sd_event_run(f.e, 0) >= 0);
        assert_int_equal(f.n_ended, 0);
        reply_text(&f, f.conn, "<reply>");
        run_until(f.e, test_reader_closed(&f.peer));
        assert_string_equal(f.peer.data, "<reply>");
        assert_int_equal(shutdown(f.peer.fd, SHUT_WR), 0);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_STOPPED);
        assert_int_equal(f.n_requests, 1);
        fixture_done(&f);
}

static void answer_with_nothing(Fixture *f, Conn *c, const MsgHead *head) {
        (void) head;
        conn_reply(c, (Slice){}, NULL, false, f);
}

static void test_owner_without_an_answer_ends_the_connection(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.answer = answer_with_nothing;
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.why, CONN_FAILED);
        assert_int_equal(f.n_replied, 1);
        assert_false(f.ok);
        fixture_done(&f);
}

static void answer_by_freeing(Fixture *f, Conn *c, const MsgHead *head) {
        (void) head;
        f->conn = conn_free(c);
}

static void answer_and_free(Fixture *f, Conn *c, const MsgHead *head) {
        answer_with_body(f, c, head);
        f->conn = conn_free(c);
}

static void test_handlers_may_free_the_connection(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.answer = answer_by_freeing;
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, REQUEST REQUEST);
        run_until(f.e, test_reader_closed(&f.peer));
        assert_int_equal(f.n_requests, 1);
        assert_int_equal(f.n_replied, 0);
        fixture_done(&f);

        fixture_init(&f);
        f.answer = answer_and_free;
        f.body = (ConnBody){ .memory = SLICE_LITERAL("memory"), .fd = -1, .release = on_release, .owner = &f };
        fixture_connect(&f, false);
        test_send_text(f.peer.fd, REQUEST REQUEST);
        run_until(f.e, test_reader_closed(&f.peer));
        assert_int_equal(f.n_replied, 1);
        assert_false(f.ok);
        assert_int_equal(f.n_released, 1);
        assert_int_equal(f.n_ended, 0);
        fixture_done(&f);
}

static void free_on_replied(Conn *c, void *tag, bool ok, uint64_t n_sent, void *userdata) {
        Fixture *f = userdata;

        on_replied(c, tag, ok, n_sent, userdata);
        f->conn = conn_free(c);
}

static void test_on_replied_may_free_the_connection(void **state) {
        static const ConnHandler freeing = { on_request, on_bad_request, free_on_replied, on_end };
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_connect_unix(&f, &freeing);
        test_send_text(f.peer.fd, REQUEST REQUEST);
        run_until(f.e, test_reader_closed(&f.peer));
        assert_int_equal(f.n_replied, 1);
        assert_true(f.ok);
        assert_int_equal(f.n_ended, 0);
        fixture_done(&f);
}

typedef struct Errand {
        Message message;
        Fixture *fixture;
        Mailbox *back;
} Errand;

static void errand_answer(Message *m) {
        Errand *errand = MESSAGE_OF(m, Errand, message);

        reply_text(errand->fixture, errand->fixture->conn, "<from the worker>");
}

static void errand_go(Message *m) {
        Errand *errand = MESSAGE_OF(m, Errand, message);

        m->run = errand_answer;
        mailbox_post(errand->back, m);
}

static void test_reply_comes_by_a_message_from_a_worker(void **state) {
        _cleanup_(mailbox_free_p) Mailbox *mailbox = NULL;
        _cleanup_(worker_free_p) Worker *worker = NULL;
        Errand errand = { .message.run = errand_go };
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.answer = answer_later;
        fixture_connect(&f, false);
        assert_int_equal(mailbox_new(&mailbox), 0);
        assert_int_equal(mailbox_attach(mailbox, f.e), 0);
        assert_int_equal(worker_new("test-worker", &worker), 0);
        errand.fixture = &f;
        errand.back = mailbox;
        test_send_text(f.peer.fd, REQUEST);
        run_until(f.e, f.n_requests == 1);
        worker_post(worker, &errand.message);
        run_until(f.e, test_reader_has(&f.peer, "<from the worker>"));
        run_until(f.e, f.n_replied == 1);
        worker = worker_free(worker);
        mailbox = mailbox_free(mailbox);
        fixture_done(&f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_request_is_answered_byte_by_byte),
                cmocka_unit_test(test_connection_needs_no_further_descriptor),
                cmocka_unit_test(test_pipelined_requests_are_answered_in_order),
                cmocka_unit_test(test_next_request_waits_for_the_reply),
                cmocka_unit_test(test_memory_body_is_sent_and_released),
                cmocka_unit_test(test_file_body_has_equal_bytes),
                cmocka_unit_test(test_small_reply_is_one_segment),
                cmocka_unit_test(test_file_cut_short_ends_the_connection),
                cmocka_unit_test(test_endless_head_is_431),
                cmocka_unit_test(test_no_request_is_400_and_nothing_behind_it_runs),
                cmocka_unit_test(test_half_a_request_is_408),
                cmocka_unit_test(test_request_deadline_is_not_moved_by_reads),
                cmocka_unit_test(test_silent_connection_is_closed_without_a_word),
                cmocka_unit_test(test_idle_time_counts_anew_after_a_reply),
                cmocka_unit_test(test_lifetime_ends_an_idle_connection),
                cmocka_unit_test(test_lifetime_waits_for_the_reply),
                cmocka_unit_test(test_slow_reader_is_cut),
                cmocka_unit_test(test_reader_that_takes_nothing_is_cut_without_a_rate),
                cmocka_unit_test(test_reader_that_takes_a_little_stays_without_a_rate),
                cmocka_unit_test(test_reply_waits_for_its_turn_and_wakes_nobody),
                cmocka_unit_test(test_reply_without_a_body_waits_for_nothing),
                cmocka_unit_test(test_peer_that_goes_while_its_reply_waits_is_noticed),
                cmocka_unit_test(test_own_pace_is_no_slowness_of_the_reader),
                cmocka_unit_test(test_slow_reader_is_cut_at_a_pace_too),
                cmocka_unit_test(test_half_closed_peer_gets_its_reply),
                cmocka_unit_test(test_ends_are_told_apart),
                cmocka_unit_test(test_reset_while_a_reply_is_due_ends_it),
                cmocka_unit_test(test_reset_while_sending_settles_the_reply),
                cmocka_unit_test(test_close_shuts_down_after_the_reply),
                cmocka_unit_test(test_last_word_ends_the_connection),
                cmocka_unit_test(test_last_word_with_bytes_behind_it),
                cmocka_unit_test(test_request_that_is_there_is_answered_at_once),
                cmocka_unit_test(test_start_may_find_it_over),
                cmocka_unit_test(test_peer_that_never_closes_is_not_waited_for),
                cmocka_unit_test(test_stop_ends_an_idle_connection),
                cmocka_unit_test(test_stop_ends_a_silent_connection),
                cmocka_unit_test(test_stop_answers_the_first_request),
                cmocka_unit_test(test_stop_answers_what_has_come),
                cmocka_unit_test(test_stop_does_not_wait_for_the_rest_of_a_request),
                cmocka_unit_test(test_stop_waits_for_the_reply),
                cmocka_unit_test(test_owner_without_an_answer_ends_the_connection),
                cmocka_unit_test(test_handlers_may_free_the_connection),
                cmocka_unit_test(test_on_replied_may_free_the_connection),
                cmocka_unit_test(test_reply_comes_by_a_message_from_a_worker),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
