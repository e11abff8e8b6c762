/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls whose requests are sent one behind the other on a connection that stays open. */
#include "call-test.h"
#include "io-test.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "io/call-pool.h"
#include "io/call.h"

#define DIGEST "Digest: sha-256=0000000000000000000000000000000000000000000000000000000000000000\r\n"
#define REPLY(length, header) "P2P-DI/1.0 200 OK\r\nContent-Length: " length "\r\n" header DIGEST "\r\n"
#define REFUSAL "P2P-DI/1.0 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nlater"

typedef struct Asked {
        Call *call;                     /* NULL: over */
        char body[16];
        size_t n_body;
        unsigned n_replies, n_turns, n_ended, status;
        usec_t rtt;
        CallEnd end;
        bool aborts, pauses;            /* what its handlers do */
        struct Asked *drops, *holds;    /* the same, at its turn or else at its end, once */
} Asked;

typedef struct Fixture {
        sd_event *e;
        int listening;
        Endpoint at;
        CallPool *pool;
        CallConf conf;
        TestReader server;              /* the connection accepted first, driven by hand */
        TestReader other;               /* the one accepted last */
        Asked asked[CALL_PIPELINE_MAX + 1];
} Fixture;

static int on_reply(Call *c, const Reply *reply, _unused_ Slice bytes, void *userdata) {
        Asked *a = userdata;

        assert_false(call_is_queued(c));
        a->n_replies++;
        a->status = reply->status;
        a->rtt = call_rtt(c);
        return a->aborts ? -ECANCELED : 0;
}

static int on_body(Call *c, Slice bytes, void *userdata) {
        Asked *a = userdata;

        assert_true(bytes.size > 0 && a->n_body + bytes.size < sizeof(a->body));
        memcpy(a->body + a->n_body, bytes.data, bytes.size);
        a->n_body += bytes.size;
        if (a->pauses)
                call_pause(c);
        return 0;
}

static void meddle(Asked *a) {
        Asked *drops = TAKE_PTR(a->drops), *holds = TAKE_PTR(a->holds);

        if (holds)
                call_pause(holds->call);
        if (drops)
                drops->call = call_free(drops->call);
}

static void on_end(_unused_ Call *c, CallEnd end, _unused_ int error, void *userdata) {
        Asked *a = userdata;

        a->call = NULL;
        a->n_ended++;
        a->end = end;
        meddle(a);
}

static void on_turn(Call *c, void *userdata) {
        Asked *a = userdata;

        assert_false(call_is_queued(c));
        a->n_turns++;
        meddle(a);
}

static int on_ready(_unused_ Call *c, _unused_ void *userdata) {
        return 0;
}

static const CallHandler handler = { .on_reply = on_reply, .on_body = on_body, .on_end = on_end, .on_turn = on_turn };
static const CallHandler asked_before = {
        .on_reply = on_reply,
        .on_body = on_body,
        .on_end = on_end,
        .on_ready = on_ready,
};
static const Request keepalive = { .verb = VERB_KEEPALIVE, .version = MSG_P2PDI_1_0, .cookie = 1 };

static bool accept_as(const Fixture *f, TestReader *r) {
        int fd = accept4(f->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0)
                return false;
        /* Or the second of two segments waits until the first is acknowledged, 40 ms later. */
        assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)), 0);
        test_reader_done(r);
        r->fd = fd;
        return true;
}

static void forget(TestReader *r) {
        r->size = 0;
        r->data[0] = '\0';
}

static void close_server(Fixture *f) {
        assert_int_equal(close(f->server.fd), 0);
        f->server.fd = -1;
}

/* Of RFC 1 and so on, as asked[0] and so on. */
static void ask_as(Fixture *f, unsigned i, const CallHandler *h) {
        const Request request = { .verb = VERB_GET_RFC, .version = MSG_P2PDI_1_0, .rfc = i + 1 };

        f->asked[i] = (Asked){ .aborts = f->asked[i].aborts, .pauses = f->asked[i].pauses };
        assert_int_equal(call_new(f->e, &f->at, &request, &f->conf, h, &f->asked[i], &f->asked[i].call), 0);
}

static void ask(Fixture *f, unsigned i) {
        ask_as(f, i, &handler);
}

static bool is_asked(TestReader *r, unsigned i) {
        char line[64];

        (void) snprintf(line, sizeof(line), "GET RFC %u P2P-DI/1.0\r\n", i + 1);
        return test_reader_has(r, line);
}

/* With a connection that was kept open. */
static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->e = test_event_new();
        f->listening = test_listen(10, &f->at);
        assert_int_equal(call_pool_new(f->e, &f->pool), 0);
        f->conf = test_call_conf(f->pool);
        f->conf.n_pipelined = CALL_PIPELINE_MAX;
        f->server.fd = f->other.fd = -1;
        ask(f, 0);
        run_until(f->e, accept_as(f, &f->server));
        run_until(f->e, is_asked(&f->server, 0));
        test_send_text(f->server.fd, REPLY("0", ""));
        run_until(f->e, f->asked[0].n_ended == 1);
        assert_int_equal(call_pool_count(f->pool), 1);
        forget(&f->server);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(f->asked); i++)
                f->asked[i].call = call_free(f->asked[i].call);
        f->pool = call_pool_free(f->pool);
        test_reader_done(&f->server);
        test_reader_done(&f->other);
        assert_int_equal(close(f->listening), 0);
        f->e = sd_event_unref(f->e);
        free(f);
        return 0;
}

static void ask_two(Fixture *f) {
        ask(f, 0);
        ask(f, 1);
        run_until(f->e, is_asked(&f->server, 1));
}

static void assert_good(const Asked *a, const char *body) {
        assert_int_equal(a->n_ended, 1);
        assert_int_equal(a->end, CALL_OK);
        assert_int_equal(a->n_replies, 1);
        assert_string_equal(a->body, body);
}

/* It was asked again, elsewhere, and nobody heard of that. */
static void assert_asked_anew(Fixture *f, unsigned i) {
        run_until(f->e, accept_as(f, &f->other));
        run_until(f->e, is_asked(&f->other, i));
        assert_false(call_is_queued(f->asked[i].call));
        assert_int_equal(f->asked[i].n_replies + f->asked[i].n_ended, 0);
        assert_int_equal(f->asked[i].n_turns, 1);
        test_send_text(f->other.fd, REPLY("4", "") "anew");
        run_until(f->e, f->asked[i].n_ended == 1);
        assert_good(&f->asked[i], "anew");
}

static void test_requests_go_out_before_answers_come(void **state) {
        Fixture *f = *state;

        for (unsigned i = 0; i < CALL_PIPELINE_MAX; i++) {
                ask(f, i);
                assert_int_equal(call_is_queued(f->asked[i].call), i > 0);
        }
        run_until(f->e, is_asked(&f->server, CALL_PIPELINE_MAX - 1));
        assert_true(is_asked(&f->server, 0));
        assert_false(accept_as(f, &f->other));
        /* So many, and no more. */
        ask(f, CALL_PIPELINE_MAX);
        assert_false(call_is_queued(f->asked[CALL_PIPELINE_MAX].call));
        run_until(f->e, accept_as(f, &f->other));
        run_until(f->e, is_asked(&f->other, CALL_PIPELINE_MAX));
        /* An answer makes room for one more. */
        test_send_text(f->server.fd, REPLY("3", "") "one");
        run_until(f->e, f->asked[0].n_ended == 1);
        assert_false(call_is_queued(f->asked[1].call));
        ask(f, 0);
        assert_true(call_is_queued(f->asked[0].call));
        forget(&f->server);
        run_until(f->e, is_asked(&f->server, 0));
}

static void test_answers_come_byte_by_byte(void **state) {
        static const char text[] = REPLY("3", "") "one" REPLY("0", "") REPLY("5", "") "three";
        Fixture *f = *state;

        for (unsigned i = 0; i < 3; i++)
                ask(f, i);
        for (size_t i = 0; i < sizeof(text) - 1; i++) {
                test_send(f->server.fd, text + i, 1);
                assert_true(sd_event_run(f->e, PATIENCE_USEC) > 0);
        }
        run_until(f->e, f->asked[2].n_ended == 1);
        assert_good(&f->asked[0], "one");
        assert_good(&f->asked[1], "");
        assert_good(&f->asked[2], "three");
        assert_int_equal(call_pool_count(f->pool), 1);
        assert_false(accept_as(f, &f->other));
}

/* Whatever comes together: text is cut in two at each place. */
static void test_answers_come_in_two_segments(void **state) {
        static const char text[] = REPLY("3", "") "one" REPLY("3", "") "two" REPLY("5", "") "three";
        Fixture *f = *state;

        for (size_t at = 1; at < sizeof(text); at++) {
                for (unsigned i = 0; i < 3; i++)
                        ask(f, i);
                test_send(f->server.fd, text, at);
                assert_true(sd_event_run(f->e, PATIENCE_USEC) > 0);
                if (at < sizeof(text) - 1)
                        test_send(f->server.fd, text + at, sizeof(text) - 1 - at);
                run_until(f->e, f->asked[2].n_ended == 1);
                assert_good(&f->asked[0], "one");
                assert_good(&f->asked[1], "two");
                assert_good(&f->asked[2], "three");
                assert_int_equal(f->asked[0].n_turns, 0);
                assert_int_equal(f->asked[1].n_turns, 1);
                assert_true(f->asked[0].rtt < USEC_INFINITY);
                assert_true(f->asked[1].rtt == USEC_INFINITY);
                assert_int_equal(call_pool_count(f->pool), 1);
        }
        assert_false(accept_as(f, &f->other));
}

static void test_only_gets_on_a_connection_that_was_kept_open(void **state) {
        Fixture *f = *state;
        Asked other = {};

        ask(f, 0);
        assert_int_equal(call_new(f->e, &f->at, &keepalive, &f->conf, &handler, &other, &other.call), 0);
        assert_false(call_is_queued(other.call));
        run_until(f->e, accept_as(f, &f->other));
        call_free(other.call);
        /* Whose owner is to be asked before it goes out. */
        ask_as(f, 1, &asked_before);
        assert_false(call_is_queued(f->asked[1].call));
        run_until(f->e, accept_as(f, &f->other));
        f->asked[1].call = call_free(f->asked[1].call);
        /* On a new one nobody knows yet whether it stays. */
        f->asked[0].call = call_free(f->asked[0].call);
        for (unsigned i = 0; i < 2; i++) {
                ask(f, i);
                assert_false(call_is_queued(f->asked[i].call));
                run_until(f->e, accept_as(f, &f->other));
                run_until(f->e, is_asked(&f->other, i));
        }
}

static void test_who_does_not_want_it_waits_for_nobody(void **state) {
        Fixture *f = *state;

        f->conf.n_pipelined = 1;
        ask(f, 0);
        ask(f, 1);
        assert_false(call_is_queued(f->asked[1].call));
        run_until(f->e, accept_as(f, &f->other));
}

static void test_server_closes_behind_the_first_answer(void **state) {
        Fixture *f = *state;

        ask_two(f);
        test_send_text(f->server.fd, REPLY("3", "") "one");
        run_until(f->e, f->asked[0].n_ended == 1);
        close_server(f);
        assert_asked_anew(f, 1);
        assert_good(&f->asked[0], "one");
}

static void test_server_says_that_it_closes(void **state) {
        Fixture *f = *state;

        ask_two(f);
        test_send_text(f->server.fd, REPLY("3", "Connection: close\r\n") "o");
        assert_asked_anew(f, 1);        /* before the end of the first answer */
        test_send_text(f->server.fd, "ne");
        run_until(f->e, f->asked[0].n_ended == 1);
        assert_good(&f->asked[0], "one");
        run_until(f->e, test_reader_closed(&f->server));
}

static void test_server_closes_before_any_answer(void **state) {
        Fixture *f = *state;

        ask_two(f);
        close_server(f);
        run_until(f->e, accept_as(f, &f->server));
        run_until(f->e, accept_as(f, &f->other));
        run_until(f->e, is_asked(&f->server, 0) || is_asked(&f->server, 1));
        run_until(f->e, is_asked(&f->other, 0) || is_asked(&f->other, 1));
        assert_int_equal(f->asked[0].n_ended + f->asked[1].n_ended, 0);
}

static void test_answer_that_breaks_off_is_the_fault_of_one(void **state) {
        Fixture *f = *state;

        ask_two(f);
        test_send_text(f->server.fd, REPLY("3", "") "on");
        run_until(f->e, f->asked[0].n_body == 2);
        close_server(f);
        run_until(f->e, f->asked[0].n_ended == 1);
        assert_int_equal(f->asked[0].end, CALL_BROKEN);
        assert_asked_anew(f, 1);
}

/* What is short is read to its end: those behind it are answered. */
static void test_refusal_is_skipped(void **state) {
        static const char text[] = REFUSAL REPLY("3", "") "two";
        Fixture *f = *state;

        f->asked[0].aborts = true;
        for (size_t at = 1; at < sizeof(text); at++) {
                ask(f, 0);
                ask(f, 1);
                test_send(f->server.fd, text, at);
                assert_true(sd_event_run(f->e, PATIENCE_USEC) > 0);
                if (at < sizeof(text) - 1)
                        test_send(f->server.fd, text + at, sizeof(text) - 1 - at);
                run_until(f->e, f->asked[1].n_ended == 1);
                assert_int_equal(f->asked[0].end, CALL_ABORTED);
                assert_int_equal(f->asked[0].status, 503);
                assert_int_equal(f->asked[0].n_body, 0);
                assert_good(&f->asked[1], "two");
                assert_int_equal(call_pool_count(f->pool), 1);
        }
        assert_false(accept_as(f, &f->other));
}

static void test_what_is_long_is_not_skipped(void **state) {
        Fixture *f = *state;

        f->asked[0].aborts = true;
        ask_two(f);
        test_send_text(f->server.fd, REPLY("1000000", "") "much");
        run_until(f->e, f->asked[0].n_ended == 1);
        assert_int_equal(f->asked[0].end, CALL_ABORTED);
        assert_asked_anew(f, 1);
        run_until(f->e, test_reader_closed(&f->server));
}

static void test_first_is_dropped(void **state) {
        Fixture *f = *state;

        ask_two(f);
        f->asked[0].call = call_free(f->asked[0].call);
        assert_asked_anew(f, 1);
        run_until(f->e, test_reader_closed(&f->server));
        assert_int_equal(f->asked[0].n_ended, 0);
}

/* The one before it ends well, whatever comes behind its answer. */
static void test_second_is_dropped(void **state) {
        Fixture *f = *state;

        for (unsigned i = 0; i < 3; i++)
                ask(f, i);
        run_until(f->e, is_asked(&f->server, 2));
        f->asked[1].call = call_free(f->asked[1].call);
        assert_asked_anew(f, 2);
        test_send_text(f->server.fd, REPLY("3", "") "one" REPLY("3", "") "two" REPLY("5", "") "three");
        run_until(f->e, f->asked[0].n_ended == 1);
        assert_good(&f->asked[0], "one");
        assert_int_equal(f->asked[1].n_replies + f->asked[1].n_ended, 0);
        run_until(f->e, test_reader_closed(&f->server));
        assert_int_equal(call_pool_count(f->pool), 1);  /* the other */
}

static void test_deadline_counts_from_its_turn(void **state) {
        Fixture *f = *state;

        ask(f, 0);
        f->conf.answer_timeout = 1;
        ask(f, 1);
        test_send_text(f->server.fd, REPLY("3", "") "o");
        run_until(f->e, f->asked[0].n_body == 1);
        assert_int_equal(f->asked[1].n_ended, 0);
        test_send_text(f->server.fd, "ne");
        run_until(f->e, f->asked[1].n_ended == 1);
        assert_good(&f->asked[0], "one");
        assert_int_equal(f->asked[1].end, CALL_TIMEOUT);
        assert_int_equal(f->asked[1].n_turns, 1);
}

static void test_who_has_no_patience_has_others_ask_anew(void **state) {
        Fixture *f = *state;

        f->conf.answer_timeout = USEC_PER_MSEC;
        ask(f, 0);
        f->conf.answer_timeout = USEC_PER_MINUTE;
        ask(f, 1);
        run_until(f->e, f->asked[0].n_ended == 1);
        assert_int_equal(f->asked[0].end, CALL_TIMEOUT);
        assert_asked_anew(f, 1);
}

static void test_pause_of_the_first_holds_the_second(void **state) {
        Fixture *f = *state;

        f->asked[0].pauses = true;
        ask_two(f);
        test_send_text(f->server.fd, REPLY("3", "") "one" REPLY("3", "") "two");
        run_until(f->e, f->asked[0].n_body == 3);
        assert_int_equal(sd_event_run(f->e, 0), 0);
        assert_int_equal(f->asked[0].n_ended + f->asked[1].n_replies, 0);
        call_resume(f->asked[0].call);
        run_until(f->e, f->asked[1].n_ended == 1);
        assert_good(&f->asked[0], "one");
        assert_good(&f->asked[1], "two");
}

static void test_too_much_is_no_answer(void **state) {
        Fixture *f = *state;

        ask_two(f);
        test_send_text(f->server.fd, REPLY("3", "") "one!\r\n\r\n");
        run_until(f->e, f->asked[1].n_ended == 1);
        assert_good(&f->asked[0], "one");
        assert_int_equal(f->asked[1].end, CALL_BAD);
        assert_int_equal(call_pool_count(f->pool), 0);
}

/* Its answer is read, so it has no connection any more: it ends without a word. */
static void test_turn_drops_the_one_before(void **state) {
        Fixture *f = *state;

        for (unsigned aborts = 0; aborts < 2; aborts++) {
                f->asked[0].aborts = aborts;
                ask_two(f);
                f->asked[1].drops = &f->asked[0];
                test_send_text(f->server.fd, REPLY("3", "") "one" REPLY("3", "") "two");
                run_until(f->e, f->asked[1].n_ended == 1);
                assert_int_equal(f->asked[0].n_replies, 1);
                assert_int_equal(f->asked[0].n_ended, 0);
                assert_good(&f->asked[1], "two");
                assert_int_equal(call_pool_count(f->pool), 1);
                forget(&f->server);
        }
        assert_false(accept_as(f, &f->other));
}

static void test_turn_pauses_the_one_before(void **state) {
        Fixture *f = *state;

        ask_two(f);
        f->asked[1].holds = &f->asked[0];
        test_send_text(f->server.fd, REPLY("3", "") "one" REPLY("3", "") "two");
        run_until(f->e, f->asked[1].n_ended == 1);
        assert_good(&f->asked[0], "one");
        assert_good(&f->asked[1], "two");
}

static void test_turn_drops_itself(void **state) {
        Fixture *f = *state;

        ask(f, 0);
        ask(f, 1);
        ask(f, 2);
        f->asked[1].drops = &f->asked[1];
        run_until(f->e, is_asked(&f->server, 2));
        test_send_text(f->server.fd, REPLY("3", "") "one" REPLY("3", "") "two" REPLY("5", "") "three");
        assert_asked_anew(f, 2);
        assert_good(&f->asked[0], "one");
        assert_int_equal(f->asked[1].n_replies + f->asked[1].n_ended, 0);
        run_until(f->e, test_reader_closed(&f->server));
}

/* The only one that was left: its connection goes while that is being read. */
static void test_end_drops_the_next(void **state) {
        Fixture *f = *state;

        ask_two(f);
        f->asked[0].drops = &f->asked[1];
        test_send_text(f->server.fd, REPLY("3", "") "one" REPLY("3", "") "two");
        run_until(f->e, f->asked[0].n_ended == 1);
        assert_good(&f->asked[0], "one");
        assert_int_equal(f->asked[1].n_turns, 1);
        assert_int_equal(f->asked[1].n_replies + f->asked[1].n_ended, 0);
        run_until(f->e, test_reader_closed(&f->server));
        assert_int_equal(call_pool_count(f->pool), 0);
}

static void test_pool_goes_meanwhile(void **state) {
        Fixture *f = *state;

        ask_two(f);
        call_pool_clear(f->pool);
        ask(f, 2);
        assert_false(call_is_queued(f->asked[2].call));
        f->conf.pool = NULL;
        f->pool = call_pool_free(f->pool);
        test_send_text(f->server.fd, REPLY("3", "") "one" REPLY("3", "") "two");
        run_until(f->e, f->asked[1].n_body == 3);
        assert_good(&f->asked[0], "one");
        close_server(f);                /* it is not kept: that is waited for */
        run_until(f->e, f->asked[1].n_ended == 1);
        assert_good(&f->asked[1], "two");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_requests_go_out_before_answers_come),
                TEST(test_answers_come_byte_by_byte),
                TEST(test_answers_come_in_two_segments),
                TEST(test_only_gets_on_a_connection_that_was_kept_open),
                TEST(test_who_does_not_want_it_waits_for_nobody),
                TEST(test_server_closes_behind_the_first_answer),
                TEST(test_server_says_that_it_closes),
                TEST(test_server_closes_before_any_answer),
                TEST(test_answer_that_breaks_off_is_the_fault_of_one),
                TEST(test_refusal_is_skipped),
                TEST(test_what_is_long_is_not_skipped),
                TEST(test_first_is_dropped),
                TEST(test_second_is_dropped),
                TEST(test_deadline_counts_from_its_turn),
                TEST(test_who_has_no_patience_has_others_ask_anew),
                TEST(test_pause_of_the_first_holds_the_second),
                TEST(test_too_much_is_no_answer),
                TEST(test_turn_drops_the_one_before),
                TEST(test_turn_pauses_the_one_before),
                TEST(test_turn_drops_itself),
                TEST(test_end_drops_the_next),
                TEST(test_pool_goes_meanwhile),
        };
#undef TEST

        return cmocka_run_group_tests(tests, NULL, NULL);
}
