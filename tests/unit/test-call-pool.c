/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls whose connections stay open. */
#include "call-test.h"
#include "io-test.h"

#include <stdio.h>
#include <sys/epoll.h>

#include "io/call-pool.h"
#include "io/call.h"

#define DIGEST "Digest: sha-256=0000000000000000000000000000000000000000000000000000000000000000\r\n"
#define REPLY(length, header) "P2P-DI/1.0 200 OK\r\nContent-Length: " length "\r\n" header DIGEST "\r\n"

typedef struct Fixture {
        sd_event *e;
        int listening;
        Endpoint at;
        CallPool *pool;
        CallConf conf;
        Call *call;                     /* NULL: over */
        TestReader server;              /* the connection accepted last, driven by hand */
        size_t n_body;
        unsigned n_ended;
        CallEnd end;
        bool pauses;                    /* what comes of the body */
} Fixture;

static int on_reply(_unused_ Call *c, _unused_ const Reply *reply, _unused_ Slice bytes, _unused_ void *userdata) {
        return 0;
}

static int on_body(Call *c, Slice bytes, void *userdata) {
        Fixture *f = userdata;

        f->n_body += bytes.size;
        if (f->pauses)
                call_pause(c);
        return 0;
}

static void on_end(_unused_ Call *c, CallEnd end, _unused_ int error, void *userdata) {
        Fixture *f = userdata;

        f->call = NULL;
        f->n_ended++;
        f->end = end;
}

static const CallHandler handler = { .on_reply = on_reply, .on_body = on_body, .on_end = on_end };
static const Request get_rfc = { .verb = VERB_GET_RFC, .version = MSG_P2PDI_1_0, .rfc = 7230 };
static const Request keepalive = { .verb = VERB_KEEPALIVE, .version = MSG_P2PDI_1_0, .cookie = 1 };

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->e = test_event_new();
        f->listening = test_listen(10, &f->at);
        assert_int_equal(call_pool_new(f->e, &f->pool), 0);
        f->conf = test_call_conf(f->pool);
        f->server.fd = -1;
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        f->call = call_free(f->call);
        f->pool = call_pool_free(f->pool);
        test_reader_done(&f->server);
        assert_int_equal(close(f->listening), 0);
        f->e = sd_event_unref(f->e);
        free(f);
        return 0;
}

static void begin(Fixture *f, const Request *request) {
        f->n_body = 0;
        assert_int_equal(call_new(f->e, &f->at, request, &f->conf, &handler, f, &f->call), 0);
}

static bool accepted(Fixture *f) {
        int fd = accept4(f->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
                return false;
        test_reader_done(&f->server);
        f->server.fd = fd;
        return true;
}

/* One exchange on a new connection; the server's words are `reply`. */
static void exchange(Fixture *f, const char *reply) {
        begin(f, &get_rfc);
        run_until(f->e, accepted(f));
        run_until(f->e, test_reader_has(&f->server, "\r\n\r\n"));
        test_send_text(f->server.fd, reply);
}

static void forget_request(Fixture *f) {
        f->server.size = 0;
        f->server.data[0] = '\0';
}

static void test_connection_serves_the_next_call(void **state) {
        Fixture *f = *state;

        exchange(f, REPLY("5", "") "hello");
        assert_null(strstr(f->server.data, "Connection: close"));
        run_until(f->e, f->n_ended == 1);       /* at once: nobody waits for a close */
        assert_int_equal(f->end, CALL_OK);
        assert_int_equal(call_pool_count(f->pool), 1);

        for (unsigned n = 2; n < 5; n++) {
                forget_request(f);
                begin(f, &get_rfc);
                assert_int_equal(call_pool_count(f->pool), 0);
                run_until(f->e, test_reader_has(&f->server, "\r\n\r\n"));
                test_send_text(f->server.fd, n % 2 ? REPLY("0", "") : REPLY("3", "") "abc");
                run_until(f->e, f->n_ended == n);
                assert_int_equal(f->end, CALL_OK);
                assert_int_equal(f->n_body, n % 2 ? 0 : 3);
        }
        assert_false(accepted(f));
        assert_int_equal(call_pool_count(f->pool), 1);
}

/* Also where the last that came had it paused: nothing more comes to wake it. */
static void test_connection_that_was_paused_at_the_end_is_kept(void **state) {
        Fixture *f = *state;

        f->pauses = true;
        exchange(f, REPLY("5", "") "hello");
        run_until(f->e, f->n_body == 5);
        assert_int_equal(sd_event_run(f->e, 0), 0);
        call_resume(f->call);
        assert_true(sd_event_run(f->e, 0) > 0);
        assert_int_equal(f->n_ended, 1);
        assert_int_equal(call_pool_count(f->pool), 1);
}

static void test_two_calls_at_once_have_two_connections(void **state) {
        Fixture *f = *state;
        Call *first;

        begin(f, &get_rfc);
        first = f->call;
        run_until(f->e, accepted(f));
        begin(f, &get_rfc);
        run_until(f->e, accepted(f));
        call_free(first);
}

static void test_server_that_says_it_closes_is_not_kept(void **state) {
        Fixture *f = *state;

        exchange(f, REPLY("5", "Connection: close\r\n") "hello");
        run_until(f->e, f->n_body == 5);
        assert_int_equal(f->n_ended, 0);
        assert_int_equal(close(f->server.fd), 0);
        f->server.fd = -1;
        run_until(f->e, f->n_ended == 1);
        assert_int_equal(f->end, CALL_OK);
        assert_int_equal(call_pool_count(f->pool), 0);
}

static void test_get_on_a_connection_that_breaks_is_asked_once_more(void **state) {
        Fixture *f = *state;

        exchange(f, REPLY("5", "") "hello");
        run_until(f->e, f->n_ended == 1);
        begin(f, &get_rfc);                     /* on the old one */
        assert_int_equal(close(f->server.fd), 0);
        f->server.fd = -1;
        run_until(f->e, accepted(f));
        run_until(f->e, test_reader_has(&f->server, "\r\n\r\n"));
        assert_memory_equal(f->server.data, "GET RFC 7230 P2P-DI/1.0\r\n", 25);
        assert_int_equal(f->n_ended, 1);

        /* Once: the new one is no old one. */
        assert_int_equal(close(f->server.fd), 0);
        f->server.fd = -1;
        run_until(f->e, f->n_ended == 2);
        assert_int_equal(f->end, CALL_REFUSED);
}

static void test_answer_that_breaks_off_is_not_asked_again(void **state) {
        Fixture *f = *state;

        exchange(f, REPLY("5", "") "hello");
        run_until(f->e, f->n_ended == 1);
        forget_request(f);
        begin(f, &get_rfc);
        run_until(f->e, test_reader_has(&f->server, "\r\n\r\n"));
        test_send_text(f->server.fd, REPLY("5", "") "hel");
        run_until(f->e, f->n_body == 3);
        assert_int_equal(close(f->server.fd), 0);
        f->server.fd = -1;
        run_until(f->e, f->n_ended == 2);
        assert_int_equal(f->end, CALL_BROKEN);
        assert_false(accepted(f));
}

static void test_what_is_no_get_gets_a_new_connection(void **state) {
        Fixture *f = *state;

        exchange(f, REPLY("5", "") "hello");
        run_until(f->e, f->n_ended == 1);
        begin(f, &keepalive);
        run_until(f->e, accepted(f));
        assert_int_equal(call_pool_count(f->pool), 1);
}

static void test_bytes_beyond_the_length_are_found(void **state) {
        Fixture *f = *state;

        exchange(f, REPLY("5", "") "hello!");
        run_until(f->e, f->n_ended == 1);
        assert_int_equal(f->end, CALL_BAD);
        assert_int_equal(call_pool_count(f->pool), 0);
}

static void test_idle_connection_that_speaks_or_closes_goes(void **state) {
        Fixture *f = *state;

        for (unsigned n = 1; n <= 2; n++) {
                exchange(f, REPLY("0", ""));
                run_until(f->e, f->n_ended == n);
                assert_int_equal(call_pool_count(f->pool), 1);
                if (n == 1)
                        test_send_text(f->server.fd, "?");
                else {
                        assert_int_equal(close(f->server.fd), 0);
                        f->server.fd = -1;
                }
                run_until(f->e, call_pool_count(f->pool) == 0);
        }
}

static int on_wire(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents, _unused_ void *userdata) {
        fail();
        return 0;
}

static void test_pool_has_an_upper_bound(void **state) {
        Fixture *f = *state;
        int pair[2], others[CALL_POOL_MAX + 5];
        Wire *w;

        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
                assert_int_equal(wire_new(f->e, pair[0], &f->at, EPOLLIN, on_wire, &w), 0);
                call_pool_put(f->pool, w);
                others[i] = pair[1];
        }
        assert_int_equal(call_pool_count(f->pool), CALL_POOL_MAX);
        call_pool_clear(f->pool);
        assert_int_equal(call_pool_count(f->pool), 0);
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                char byte;

                assert_int_equal(recv(others[i], &byte, 1, 0), 0);      /* closed, all of them */
                assert_int_equal(close(others[i]), 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_connection_serves_the_next_call, setup, teardown),
                cmocka_unit_test_setup_teardown(test_connection_that_was_paused_at_the_end_is_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(test_two_calls_at_once_have_two_connections, setup, teardown),
                cmocka_unit_test_setup_teardown(test_server_that_says_it_closes_is_not_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(test_get_on_a_connection_that_breaks_is_asked_once_more, setup, teardown),
                cmocka_unit_test_setup_teardown(test_answer_that_breaks_off_is_not_asked_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_is_no_get_gets_a_new_connection, setup, teardown),
                cmocka_unit_test_setup_teardown(test_bytes_beyond_the_length_are_found, setup, teardown),
                cmocka_unit_test_setup_teardown(test_idle_connection_that_speaks_or_closes_goes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_pool_has_an_upper_bound, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
