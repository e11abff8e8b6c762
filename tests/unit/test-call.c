/* SPDX-License-Identifier: BSD-2-Clause */
#include "call-test.h"
#include "io-test.h"

#include <stdio.h>

#include "io/call.h"
#include "io/conn.h"

#define DIGEST "Digest: sha-256=0000000000000000000000000000000000000000000000000000000000000000\r\n"
#define REPLY_HEAD(length) "P2P-DI/1.0 200 OK\r\nContent-Length: " length "\r\n" DIGEST "\r\n"

typedef struct Fixture {
        sd_event *e;
        int listening;
        Endpoint at;
        Call *call;                     /* NULL: over */
        CallConf conf;
        TestReader server;              /* the other side, driven by hand */
        int abort_reply, abort_body;    /* what the handlers answer */
        bool pause_in_reply, pause_in_body;
        bool free_in_reply, free_in_body;
        /* what was seen */
        unsigned n_replies, n_ended, n_ready, status;
        char *body;                     /* owned, NUL-terminated */
        size_t body_size, largest;
        CallEnd end;
        int error;
        bool in_call;                   /* a call of ours into the Call is under way: no handler may be called */
} Fixture;

static int on_reply(Call *c, const Reply *reply, Slice bytes, void *userdata) {
        Fixture *f = userdata;

        assert_false(f->in_call);
        assert_int_equal(f->body_size, 0);
        assert_true(bytes.size > 2 && bytes.data[bytes.size - 1] == '\n');
        f->n_replies++;
        f->status = reply->status;
        if (f->pause_in_reply)
                call_pause(c);
        if (f->free_in_reply)
                f->call = call_free(c);
        return f->abort_reply;
}

static int on_body(Call *c, Slice bytes, void *userdata) {
        Fixture *f = userdata;

        assert_false(f->in_call);
        assert_true(bytes.size > 0);
        f->body = realloc(f->body, f->body_size + bytes.size + 1);
        assert_non_null(f->body);
        memcpy(f->body + f->body_size, bytes.data, bytes.size);
        f->body_size += bytes.size;
        f->body[f->body_size] = '\0';
        f->largest = MAX_OF(f->largest, bytes.size);
        if (f->pause_in_body)
                call_pause(c);
        if (f->free_in_body)
                f->call = call_free(c);
        return f->abort_body;
}

static void on_end(Call *c, CallEnd end, int error, void *userdata) {
        Fixture *f = userdata;

        assert_false(f->in_call);
        assert_ptr_equal(c, f->call);
        f->call = NULL;
        f->n_ended++;
        f->end = end;
        f->error = error;
}

static const CallHandler handler = { .on_reply = on_reply, .on_body = on_body, .on_end = on_end };
static const CallHandler handler_without_body = { .on_reply = on_reply, .on_end = on_end };

static const Request get_rfc = { .verb = VERB_GET_RFC, .version = MSG_P2PDI_1_0, .rfc = 7230, .transaction = 1 };

static void fixture_init(Fixture *f) {
        *f = (Fixture){
                .e = test_event_new(),
                .conf = test_call_conf(NULL),
                .server = { .fd = -1 },
        };
        f->listening = test_listen(10, &f->at);
}

static void fixture_start(Fixture *f, const CallHandler *h) {
        f->in_call = true;
        assert_int_equal(call_new(f->e, &f->at, &get_rfc, &f->conf, h, f, &f->call), 0);
        f->in_call = false;
        assert_true(endpoint_equal(call_remote(f->call), &f->at));
}

static bool fixture_accept(Fixture *f) {
        f->server.fd = accept4(f->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        return f->server.fd >= 0;
}

/* The request is there; the next word is the server's. */
static void fixture_exchange(Fixture *f, const CallHandler *h) {
        fixture_start(f, h);
        run_until(f->e, fixture_accept(f));
        run_until(f->e, test_reader_has(&f->server, "\r\n\r\n"));
}

static void fixture_close_server(Fixture *f) {
        assert_int_equal(close(f->server.fd), 0);
        f->server.fd = -1;
}

static void fixture_done(Fixture *f) {
        f->call = call_free(f->call);
        test_reader_done(&f->server);
        if (f->listening >= 0)
                assert_int_equal(close(f->listening), 0);
        free(f->body);
        f->e = sd_event_unref(f->e);
}

static void test_request_is_written_and_reply_read(void **state) {
        Endpoint local;
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_start(&f, &handler);
        assert_false(call_local(f.call, &local));
        run_until(f.e, fixture_accept(&f));
        run_until(f.e, test_reader_has(&f.server, "\r\n\r\n"));
        assert_memory_equal(f.server.data, "GET RFC 7230 P2P-DI/1.0\r\n", 25);
        assert_non_null(strstr(f.server.data, "\r\nConnection: close\r\n"));
        assert_non_null(strstr(f.server.data, "\r\nTransaction: 0000000000000001\r\n"));
        assert_true(call_local(f.call, &local));
        assert_true(address_is_loopback(&local.address) && local.port > 0);
        assert_true(call_sent_at(f.call) > 0);
        assert_true(call_rtt(f.call) < PATIENCE_USEC);

        test_send_text(f.server.fd, REPLY_HEAD("5") "hello");
        run_until(f.e, f.body_size == 5);
        assert_int_equal(f.n_ended, 0); /* more might come */
        fixture_close_server(&f);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.end, CALL_OK);
        assert_int_equal(f.error, 0);
        assert_int_equal(f.status, 200);
        assert_string_equal(f.body, "hello");
        fixture_done(&f);
}

static void test_reply_is_read_byte_by_byte(void **state) {
        static const char reply[] = REPLY_HEAD("5") "hello";
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_exchange(&f, &handler);
        for (size_t i = 0; i < sizeof(reply) - 1; i++) {
                test_send(f.server.fd, reply + i, 1);
                assert_true(sd_event_run(f.e, PATIENCE_USEC) > 0);
        }
        fixture_close_server(&f);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.end, CALL_OK);
        assert_int_equal(f.n_replies, 1);
        assert_string_equal(f.body, "hello");
        fixture_done(&f);
}

/* What is missing makes the socket readable; that it could be written to is no news. */
static void test_half_a_head_is_waited_for_in_silence(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_exchange(&f, &handler);
        assert_int_equal(sd_event_run(f.e, 0), 0);
        test_send_text(f.server.fd, "P2P-DI/1.0 200");
        assert_true(sd_event_run(f.e, PATIENCE_USEC) > 0);
        assert_int_equal(sd_event_run(f.e, 0), 0);
        fixture_done(&f);
}

static void test_server_that_stays_open_is_no_fault(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_exchange(&f, &handler);
        test_send_text(f.server.fd, REPLY_HEAD("5") "hello");
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.end, CALL_OK);
        fixture_done(&f);
}

static void test_ends_are_told_apart(void **state) {
        static const struct {
                const char *sent;
                CallEnd end;
                bool has_body;          /* the handler takes one */
        } cases[] = {
                { "", CALL_REFUSED, true },
                { "P2P-DI/1.0 200", CALL_BROKEN, true },
                { REPLY_HEAD("5"), CALL_BROKEN, true },
                { REPLY_HEAD("5") "hell", CALL_BROKEN, true },
                { REPLY_HEAD("5") "hello", CALL_OK, true },
                { REPLY_HEAD("5") "hello!", CALL_BAD, true },
                { REPLY_HEAD("0"), CALL_OK, true },
                { REPLY_HEAD("0") "x", CALL_BAD, true },
                { REPLY_HEAD("0"), CALL_OK, false },
                { REPLY_HEAD("5") "hello", CALL_BAD, false },
                { "HTTP/1.1 200 OK\r\n\r\n", CALL_BAD, true },
                { "P2P-DI/1.0 200 OK\r\n\r\n", CALL_BAD, true },
                { "nonsense\n\n", CALL_BAD, true },
                { "P2P-DI/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n", CALL_OK, false },
                { "P2P-DI/1.0 304 Not Modified\r\n\r\n", CALL_OK, false },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Fixture f;

                fixture_init(&f);
                fixture_exchange(&f, cases[i].has_body ? &handler : &handler_without_body);
                if (*cases[i].sent)
                        test_send_text(f.server.fd, cases[i].sent);
                fixture_close_server(&f);
                run_until(f.e, f.n_ended == 1);
                if (f.end != cases[i].end)
                        fail_msg("case %zu ended \"%s\"", i, call_end_name(f.end));
                fixture_done(&f);
        }
}

static void test_bytes_beyond_the_length_are_found_later_too(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_exchange(&f, &handler);
        test_send_text(f.server.fd, REPLY_HEAD("5") "hello");
        run_until(f.e, f.body_size == 5);
        test_send_text(f.server.fd, "!");
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.end, CALL_BAD);
        assert_int_equal(f.body_size, 5);
        fixture_done(&f);
}

static void test_endless_head_is_refused(void **state) {
        char letters[MSG_HEAD_MAX + 1000];
        Fixture f;

        (void) state;
        memset(letters, 'A', sizeof(letters));
        fixture_init(&f);
        fixture_exchange(&f, &handler);
        test_send(f.server.fd, letters, sizeof(letters));
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.end, CALL_BAD);
        assert_int_equal(f.n_replies, 0);
        fixture_done(&f);
}

static void test_nobody_listens_is_refused(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        assert_int_equal(close(f.listening), 0);
        f.listening = -1;
        fixture_start(&f, &handler);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.end, CALL_REFUSED);
        assert_int_equal(f.n_replies, 0);
        fixture_done(&f);
}

static void test_reset_before_an_answer_is_refused(void **state) {
        const struct linger linger = { .l_onoff = 1, .l_linger = 0 };
        Fixture f;

        (void) state;
        fixture_init(&f);
        fixture_exchange(&f, &handler);
        assert_int_equal(setsockopt(f.server.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
        fixture_close_server(&f);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.end, CALL_REFUSED);
        fixture_done(&f);
}

static void test_connecting_ends_in_time(void **state) {
        int filler;
        Fixture f;

        (void) state;
        fixture_init(&f);
        /* A backlog that is full: further connections are not answered. */
        assert_int_equal(listen(f.listening, 0), 0);
        filler = test_connect(&f.at, NULL);
        f.conf.connect_timeout = 30 * USEC_PER_MSEC;
        fixture_start(&f, &handler);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.end, CALL_TIMEOUT);
        assert_int_equal(close(filler), 0);
        fixture_done(&f);
}

static void test_timeouts_of_each_step(void **state) {
        static const struct {
                const char *sent;
                CallEnd end;
                usec_t answer, idle, total, window;
                uint64_t min_rate;
        } cases[] = {
                { "", CALL_TIMEOUT, 30000, USEC_PER_MINUTE, USEC_INFINITY, 0, 0 },
                { "P2P-DI/1.0 200 OK\r\nConte", CALL_TIMEOUT, 30000, USEC_PER_MINUTE, USEC_INFINITY, 0, 0 },
                { REPLY_HEAD("5") "hel", CALL_TIMEOUT, USEC_PER_MINUTE, 30000, USEC_INFINITY, 0, 0 },
                { "", CALL_TIMEOUT, USEC_PER_MINUTE, USEC_PER_MINUTE, 30000, 0, 0 },
                { REPLY_HEAD("5") "hel", CALL_TIMEOUT, USEC_PER_MINUTE, USEC_PER_MINUTE, 30000, 0, 0 },
                { REPLY_HEAD("5") "hel", CALL_TOO_SLOW, USEC_PER_MINUTE, USEC_PER_MINUTE, USEC_INFINITY, 30000, 1000 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Fixture f;

                fixture_init(&f);
                f.conf.answer_timeout = cases[i].answer;
                f.conf.idle_timeout = cases[i].idle;
                f.conf.total_timeout = cases[i].total;
                f.conf.rate_window = cases[i].window;
                f.conf.min_rate = cases[i].min_rate;
                fixture_start(&f, &handler);
                run_until(f.e, fixture_accept(&f) || f.n_ended == 1);
                if (*cases[i].sent)
                        test_send_text(f.server.fd, cases[i].sent);
                run_until(f.e, f.n_ended == 1);
                if (f.end != cases[i].end)
                        fail_msg("case %zu ended \"%s\"", i, call_end_name(f.end));
                fixture_done(&f);
        }
}

static void test_handlers_may_abort(void **state) {
        (void) state;
        for (unsigned i = 0; i < 2; i++) {
                Fixture f;

                fixture_init(&f);
                f.abort_reply = i == 0 ? -ECANCELED : 0;
                f.abort_body = i == 1 ? -ECANCELED : 0;
                fixture_exchange(&f, &handler);
                test_send_text(f.server.fd, REPLY_HEAD("5") "hello");
                run_until(f.e, f.n_ended == 1);
                assert_int_equal(f.end, CALL_ABORTED);
                assert_int_equal(f.body_size, i == 0 ? 0 : 5);
                fixture_done(&f);
        }
}

static void test_handlers_may_free_the_call(void **state) {
        (void) state;
        for (unsigned i = 0; i < 2; i++) {
                Fixture f;

                fixture_init(&f);
                f.free_in_reply = i == 0;
                f.free_in_body = i == 1;
                fixture_exchange(&f, &handler);
                test_send_text(f.server.fd, REPLY_HEAD("5") "hello");
                run_until(f.e, test_reader_closed(&f.server));
                assert_null(f.call);
                assert_int_equal(f.n_ended, 0);
                fixture_done(&f);
        }
}

static void test_paused_body_waits_and_deadlines_stand_still(void **state) {
        usec_t end_at;
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.pause_in_reply = f.pause_in_body = true;
        fixture_exchange(&f, &handler);
        f.conf.idle_timeout = 40 * USEC_PER_MSEC;
        test_send_text(f.server.fd, REPLY_HEAD("10") "hello");
        run_until(f.e, f.n_replies == 1);
        end_at = test_boottime() + 100 * USEC_PER_MSEC;
        run_until(f.e, test_boottime() > end_at);
        assert_int_equal(f.body_size, 0);
        assert_int_equal(f.n_ended, 0);

        /* what came with the head */
        f.in_call = true;
        call_resume(f.call);
        f.in_call = false;
        run_until(f.e, f.body_size == 5);
        test_send_text(f.server.fd, "world");
        fixture_close_server(&f);
        end_at = test_boottime() + 100 * USEC_PER_MSEC;
        run_until(f.e, test_boottime() > end_at);
        assert_int_equal(f.body_size, 5);
        assert_int_equal(f.n_ended, 0);

        call_resume(f.call);
        run_until(f.e, f.body_size == 10);
        assert_int_equal(f.n_ended, 0); /* paused in its last bytes: not even the end is told */
        call_resume(f.call);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.end, CALL_OK);
        assert_string_equal(f.body, "helloworld");
        fixture_done(&f);
}

static void test_time_in_a_pause_does_not_count(void **state) {
        usec_t end_at;
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.conf.idle_timeout = f.conf.total_timeout = 500 * USEC_PER_MSEC;
        f.pause_in_body = true;
        fixture_exchange(&f, &handler);
        test_send_text(f.server.fd, REPLY_HEAD("10") "hello");
        run_until(f.e, f.body_size == 5);
        end_at = test_boottime() + 600 * USEC_PER_MSEC;
        run_until(f.e, test_boottime() > end_at);
        call_resume(f.call);
        for (unsigned i = 0; i < 5; i++)
                assert_true(sd_event_run(f.e, 0) >= 0);
        assert_int_equal(f.n_ended, 0);
        run_until(f.e, f.n_ended == 1); /* but it goes on afterwards */
        assert_int_equal(f.end, CALL_TIMEOUT);
        fixture_done(&f);
}

static void test_reset_while_paused_does_not_spin(void **state) {
        const struct linger linger = { .l_onoff = 1, .l_linger = 0 };
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.pause_in_body = true;
        fixture_exchange(&f, &handler);
        test_send_text(f.server.fd, REPLY_HEAD("10") "hello");
        run_until(f.e, f.body_size == 5);
        assert_int_equal(setsockopt(f.server.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
        fixture_close_server(&f);
        for (unsigned i = 0; i < 5; i++)
                assert_true(sd_event_run(f.e, 0) >= 0);
        assert_int_equal(sd_event_run(f.e, 0), 0);
        assert_int_equal(f.n_ended, 0);
        call_resume(f.call);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.end, CALL_BROKEN);
        fixture_done(&f);
}

static void test_own_end_is_bound_to_the_source(void **state) {
        char text[ADDRESS_TEXT_SIZE];
        Endpoint local;
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.conf.has_source = true;
        assert_int_equal(address_from_text(slice_of("127.0.0.9"), &f.conf.source), 0);
        fixture_exchange(&f, &handler);
        assert_true(call_local(f.call, &local));
        address_to_text(&local.address, text);
        assert_string_equal(text, "127.0.0.9");
        f.call = call_free(f.call);

        /* not an address of this host: its own fault */
        assert_int_equal(address_from_text(slice_of("192.0.2.77"), &f.conf.source), 0);
        assert_int_equal(call_new(f.e, &f.at, &get_rfc, &f.conf, &handler, &f, &f.call), -EADDRNOTAVAIL);

        /* of the other family: of no use here */
        assert_int_equal(address_from_text(slice_of("2001:db8::1"), &f.conf.source), 0);
        fixture_start(&f, &handler);
        fixture_done(&f);
}

/* The other end as a Conn. */
typedef struct Served {
        Conn *conn;
        ConnConf conf;
        int file;
        uint64_t size;
        unsigned n_ended;
        ConnEnd why;
} Served;

static void served_on_request(Conn *c, const MsgHead *head, Slice bytes, void *userdata) {
        _cleanup_buf_ Buf text = BUF_INIT(MSG_HEAD_MAX);
        const Reply reply = { .status = 200, .has_length = true, .has_digest = true };
        _cleanup_request_ Request request = {};
        Served *s = userdata;
        Reply with_length = reply;
        ConnBody body = { .fd = s->file, .size = s->size };

        (void) bytes;
        assert_int_equal(proto_parse_request(head, PROTO_PEER, &request), 0);
        assert_int_equal(request.rfc, 7230);
        with_length.length = s->size;
        assert_int_equal(proto_write_reply(&text, request.verb, &with_length, "test/0", 0), 0);
        conn_reply(c, buf_slice(&text), &body, request.close ? CONN_ENDS : CONN_STAYS, NULL);
}

static void served_on_bad_request(Conn *c, unsigned status, Slice bytes, void *userdata) {
        (void) c;
        (void) bytes;
        (void) userdata;
        fail_msg("bad request: %u", status);
}

static void served_on_replied(Conn *c, void *tag, bool ok, uint64_t n_sent, void *userdata) {
        Served *s = userdata;

        (void) c;
        assert_null(tag);
        assert_true(ok);
        assert_int_equal(n_sent, s->size);
}

static void served_on_end(Conn *c, ConnEnd why, void *userdata) {
        Served *s = userdata;

        (void) c;
        s->conn = NULL;
        s->n_ended++;
        s->why = why;
}

static void test_call_and_conn_exchange_a_file_in_one_loop(void **state) {
        static const ConnHandler serving = {
                served_on_request, served_on_bad_request, served_on_replied, served_on_end,
        };
        Served s = { .conf = { USEC_PER_MINUTE, USEC_PER_MINUTE, USEC_INFINITY, 0, 0, NULL }, .size = (5u << 20) + 1 };
        Poller *poller;
        char *bytes;
        Fixture f;

        (void) state;
        s.file = test_file(s.size, &bytes);
        fixture_init(&f);
        fixture_start(&f, &handler);
        run_until(f.e, fixture_accept(&f));
        assert_int_equal(poller_new(f.e, &poller), 0);
        assert_int_equal(conn_new(poller, f.server.fd, &f.at, &s.conf, &serving, &s, &s.conn), 0);
        conn_start(s.conn);
        f.server.fd = -1;
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.end, CALL_OK);
        assert_int_equal(f.body_size, s.size);
        assert_memory_equal(f.body, bytes, s.size);
        assert_true(f.largest <= 65536);
        run_until(f.e, s.n_ended == 1);
        assert_int_equal(s.why, CONN_DONE);
        poller_free(poller);
        fixture_done(&f);
        free(bytes);
}

static int hold_ready(Call *c, void *userdata) {
        Fixture *f = userdata;

        assert_ptr_equal(c, f->call);
        assert_false(f->in_call);
        f->n_ready++;
        return CALL_HOLD;
}

/* It waits for its turn, for longer than an answer may take, and asks for something else then. */
static void test_request_waits_until_it_is_told(void **state) {
        static const CallHandler holding = {
                .on_reply = on_reply,
                .on_body = on_body,
                .on_end = on_end,
                .on_ready = hold_ready,
        };
        Request other = get_rfc;
        usec_t until;
        Endpoint local;
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.conf.answer_timeout = 20 * USEC_PER_MSEC;
        fixture_start(&f, &holding);
        run_until(f.e, fixture_accept(&f));
        run_until(f.e, f.n_ready == 1);
        until = test_boottime() + 3 * f.conf.answer_timeout;
        run_until(f.e, test_boottime() >= until);
        assert_false(test_reader_has(&f.server, "G"));
        assert_int_equal(f.n_ended, 0);
        assert_true(call_local(f.call, &local));

        f.conf.answer_timeout = USEC_PER_MINUTE;
        f.in_call = true;
        other.rfc = 9110;
        assert_int_equal(call_set_request(f.call, &other), 0);
        call_go(f.call);
        call_go(f.call);
        f.in_call = false;
        run_until(f.e, test_reader_has(&f.server, "\r\n\r\n"));
        assert_memory_equal(f.server.data, "GET RFC 9110 P2P-DI/1.0\r\n", 25);
        test_send_text(f.server.fd, REPLY_HEAD("2") "ok");
        fixture_close_server(&f);
        run_until(f.e, f.n_ended == 1);
        assert_int_equal(f.end, CALL_OK);
        assert_int_equal(f.n_ready, 1);
        fixture_done(&f);

        /* One that waits can be freed. */
        fixture_init(&f);
        fixture_start(&f, &holding);
        run_until(f.e, f.n_ready == 1);
        fixture_done(&f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_request_is_written_and_reply_read),
                cmocka_unit_test(test_reply_is_read_byte_by_byte),
                cmocka_unit_test(test_half_a_head_is_waited_for_in_silence),
                cmocka_unit_test(test_server_that_stays_open_is_no_fault),
                cmocka_unit_test(test_ends_are_told_apart),
                cmocka_unit_test(test_bytes_beyond_the_length_are_found_later_too),
                cmocka_unit_test(test_endless_head_is_refused),
                cmocka_unit_test(test_nobody_listens_is_refused),
                cmocka_unit_test(test_reset_before_an_answer_is_refused),
                cmocka_unit_test(test_connecting_ends_in_time),
                cmocka_unit_test(test_timeouts_of_each_step),
                cmocka_unit_test(test_handlers_may_abort),
                cmocka_unit_test(test_handlers_may_free_the_call),
                cmocka_unit_test(test_paused_body_waits_and_deadlines_stand_still),
                cmocka_unit_test(test_time_in_a_pause_does_not_count),
                cmocka_unit_test(test_reset_while_paused_does_not_spin),
                cmocka_unit_test(test_own_end_is_bound_to_the_source),
                cmocka_unit_test(test_request_waits_until_it_is_told),
                cmocka_unit_test(test_call_and_conn_exchange_a_file_in_one_loop),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
