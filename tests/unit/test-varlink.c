/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/varlink-client.h"
#include "io/varlink-internal.h"
#include "io/varlink.h"

typedef struct Fixture {
        sd_event *event;
        VarlinkServer *server;
        VarlinkServerConf conf;
        VarlinkCall *held;              /* the call of Hold() that is under way */
        unsigned n_gone, n_hits, n_streamed, n_resumed;
        bool may_change;
        char finished[512];             /* "method=error;" of each call */
        char failed[256];               /* "method=errno;" of what this host failed in */
        char dir[64];
} Fixture;

/* ---- the test interface ---- */

static int run_echo(VarlinkCall *c, json_t *p, void *userdata) {
        ((Fixture *) userdata)->n_hits++;
        assert_int_equal(varlink_call_uid(c), getuid());
        assert_ptr_equal(varlink_call_userdata(c), userdata);
        return varlink_call_reply(c, json_pack("{s:O}", "got", p));
}

static void on_gone(_unused_ VarlinkCall *c, void *data) {
        ((Fixture *) data)->n_gone++;
        ((Fixture *) data)->held = NULL;
}

static int run_hold(VarlinkCall *c, _unused_ json_t *p, void *userdata) {
        Fixture *f = userdata;

        assert_null(f->held);
        f->held = c;
        varlink_call_set_gone(c, on_gone, f);
        return 0;
}

static int run_stream(VarlinkCall *c, _unused_ json_t *p, void *userdata) {
        for (int i = 1; i <= 3; i++)
                assert_int_equal(varlink_call_notify(c, json_pack("{s:i}", "n", i)), 0);
        ((Fixture *) userdata)->n_hits++;
        return varlink_call_reply(c, json_object());
}

static int run_maybe(VarlinkCall *c, _unused_ json_t *p, _unused_ void *userdata) {
        return varlink_call_reply(c, json_pack("{s:b}", "more", varlink_call_wants_more(c)));
}

#define KILOBYTE "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
/* Makes replies regardless of the reader. */
static int run_flood(VarlinkCall *c, _unused_ json_t *p, void *userdata) {
        Fixture *f = userdata;

        varlink_call_set_gone(c, on_gone, f);
        f->held = c;
        for (int i = 0; i < 200000; i++)
                (void) varlink_call_notify(c, json_pack("{s:s}", "text", KILOBYTE));
        return 0;
}

#define LONG_LIST 20000
static void long_list_go_on(VarlinkCall *c, void *data) {
        Fixture *f = data;

        f->n_resumed++;
        while (f->n_streamed < LONG_LIST) {
                if (varlink_call_is_congested(c)) {
                        varlink_call_set_resume(c, long_list_go_on, f);
                        return;
                }
                assert_int_equal(varlink_call_notify(c, json_pack("{s:i, s:s}", "n", f->n_streamed++, "t",
                                                                  KILOBYTE)), 0);
        }
        (void) varlink_call_reply(c, json_object());
}

static int run_long_list(VarlinkCall *c, _unused_ json_t *p, void *userdata) {
        varlink_call_set_resume(c, long_list_go_on, userdata);
        return 0;
}

static int run_open(VarlinkCall *c, json_t *p, _unused_ void *userdata) {
        int pipe_fd[2], r;

        assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
        assert_int_equal(dprintf(pipe_fd[1], "document %lld",
                                 (long long) json_integer_value(json_object_get(p, "number"))), 10);
        close(pipe_fd[1]);
        r = varlink_call_reply_fd(c, json_pack("{s:O}", "number", json_object_get(p, "number")), pipe_fd[0]);
        close(pipe_fd[0]);
        return r;
}

/* Reads the descriptor that came along: its text, or why not. */
static int run_take(VarlinkCall *c, _unused_ json_t *p, _unused_ void *userdata) {
        int fd = varlink_call_take_fd(c);
        char text[16] = "none";

        assert_int_equal(varlink_call_take_fd(c), -1);
        if (fd >= 0) {
                assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
                const ssize_t n = read(fd, text, sizeof(text) - 1);

                text[MAX_OF(n, 0)] = '\0';
                close(fd);
        }
        return varlink_call_reply(c, json_pack("{s:s}", "text", text));
}

static int run_fail(_unused_ VarlinkCall *c, _unused_ json_t *p, _unused_ void *userdata) {
        return -EIO;
}

static int run_huge(VarlinkCall *c, _unused_ json_t *p, _unused_ void *userdata) {
        _cleanup_free_ char *s = malloc(VARLINK_MESSAGE_MAX + 1);

        memset(s, 'x', VARLINK_MESSAGE_MAX);
        s[VARLINK_MESSAGE_MAX] = '\0';
        (void) varlink_call_reply(c, json_pack("{s:s}", "text", s));
        return 0;
}

/* One member of two is left out: there is no memory for it. */
static int run_short(VarlinkCall *c, _unused_ json_t *p, _unused_ void *userdata) {
        json_t *j = json_pack("{s:b}", "here", 1);

        assert_int_not_equal(json_object_set_new(j, "missing", json_stringn_nocheck("", PTRDIFF_MAX - 1)), 0);
        (void) varlink_call_reply(c, j);
        return 0;
}

static const VarlinkParameter echo_parameters[] = {
        { "number", VARLINK_INT },
        { "word", VARLINK_STRING | VARLINK_OPTIONAL },
        { "flag", VARLINK_BOOL | VARLINK_OPTIONAL },
        { "numbers", VARLINK_INT_ARRAY | VARLINK_OPTIONAL },
        { "words", VARLINK_STRING_ARRAY | VARLINK_OPTIONAL },
        { "ratio", VARLINK_FLOAT | VARLINK_OPTIONAL },
        { "thing", VARLINK_OBJECT | VARLINK_OPTIONAL },
        { "things", VARLINK_OBJECT_ARRAY | VARLINK_OPTIONAL },
        {},
};

static const VarlinkMethod test_methods[] = {
        { "org.test.Echo", 0, echo_parameters, run_echo },
        { "org.test.Hold", VARLINK_MAY_MORE, NULL, run_hold },
        { "org.test.Stream", VARLINK_NEEDS_MORE, NULL, run_stream },
        { "org.test.Maybe", VARLINK_MAY_MORE, NULL, run_maybe },
        { "org.test.Plain", 0, NULL, run_maybe },
        { "org.test.Flood", VARLINK_NEEDS_MORE, NULL, run_flood },
        { "org.test.LongList", VARLINK_NEEDS_MORE, NULL, run_long_list },
        { "org.test.Open", 0, echo_parameters, run_open },
        { "org.test.Change", VARLINK_CHANGES, NULL, run_maybe },
        { "org.test.Take", VARLINK_TAKES_FD, NULL, run_take },
        { "org.test.Leave", VARLINK_TAKES_FD, NULL, run_maybe },
        { "org.test.ChangeWith", VARLINK_CHANGES | VARLINK_TAKES_FD, NULL, run_take },
        { "org.test.Fail", 0, NULL, run_fail },
        { "org.test.Huge", 0, NULL, run_huge },
        { "org.test.Short", 0, NULL, run_short },
        {},
};

static const VarlinkInterface test_interface = { "org.test", "interface org.test\nmethod Echo() -> ()\n",
                                                 test_methods };

/* ---- the fixture ---- */

static bool may_change(uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups, void *userdata) {
        gid_t own[256];
        int n = getgroups(ELEMENTSOF(own), own);

        assert_int_equal(uid, getuid());
        assert_int_equal(gid, getgid());
        assert_int_equal(n_groups, n);
        if (n > 0)
                assert_memory_equal(groups, own, (size_t) n * sizeof(gid_t));
        return ((Fixture *) userdata)->may_change;
}

static void finished(const char *method, uid_t uid, const char *error, void *userdata) {
        Fixture *f = userdata;
        size_t used = strlen(f->finished);

        assert_int_equal(uid, getuid());
        (void) snprintf(f->finished + used, sizeof(f->finished) - used, "%s=%s;", method ? method : "?",
                        error ? error : "");
}

static void failed(const char *method, int error, void *userdata) {
        Fixture *f = userdata;
        size_t used = strlen(f->failed);

        (void) snprintf(f->failed + used, sizeof(f->failed) - used, "%s=%s;", method ? method : "?", strerrorname_np(-error));
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        signal(SIGPIPE, SIG_IGN);
        f->conf = (VarlinkServerConf){
                .vendor = "test", .product = "Test", .version = "1", .url = "https://example.org/",
                .interfaces = { &test_interface },
                .authorize = may_change,
                .finished = finished,
                .failed = failed,
                .userdata = f,
        };
        strcpy(f->dir, "/tmp/test-varlink-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(varlink_server_new(f->event, &f->conf, &f->server), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        varlink_server_free(f->server);
        sd_event_unref(f->event);
        assert_int_equal(rmdir(f->dir), 0);
        free(f);
        return 0;
}

/* All that can be done without waiting. */
static void turn(Fixture *f) {
        for (unsigned idle = 0; idle < 2;) {
                int r = sd_event_run(f->event, 0);

                assert_true(r >= 0);
                idle = r > 0 ? 0 : idle + 1;
        }
}

static int dial(Fixture *f) {
        int fd[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd), 0);
        assert_int_equal(varlink_server_add_connection(f->server, fd[1]), 0);
        return fd[0];
}

static size_t n_conns(const Fixture *f) {
        const VarlinkConn *c;
        size_t n = 0;

        TAILQ_FOREACH(c, &f->server->conns, entry)
                n++;
        return n;
}

/* s with '|' for NUL. */
static void put(int fd, const char *s) {
        _cleanup_free_ char *copy = strdup(s);
        size_t size = strlen(s);

        for (size_t i = 0; i < size; i++)
                if (copy[i] == '|')
                        copy[i] = '\0';
        assert_int_equal(send(fd, copy, size, MSG_NOSIGNAL), size);
}

/* What is there, with '|' for NUL and a final '#' where the connection was closed. */
static const char *got(int fd) {
        static char text[65536];
        size_t size = 0;
        ssize_t n;

        while (size < sizeof(text) - 2 && (n = recv(fd, text + size, sizeof(text) - 2 - size, MSG_DONTWAIT)) > 0)
                size += (size_t) n;
        for (size_t i = 0; i < size; i++)
                if (text[i] == '\0')
                        text[i] = '|';
        if (n == 0 || errno == ECONNRESET)
                text[size++] = '#';
        text[size] = '\0';
        return text;
}

/* ---- conversations ---- */

#define ERR(name) "{\"error\":\"org.varlink.service." name "\",\"parameters\":"

static const struct Conversation {
        const char *in, *out;
} conversations[] = {
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7}}|",
          "{\"parameters\":{\"got\":{\"number\":7}}}|" },
        /* null is as good as absent, for parameters and where a parameter may be so */
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7,\"word\":null}}|",
          "{\"parameters\":{\"got\":{\"number\":7}}}|" },
        { "{\"method\":\"org.test.Plain\",\"parameters\":null}|", "{\"parameters\":{\"more\":false}}|" },
        { "{\"method\":\"org.test.Plain\",\"oneway\":false,\"more\":false,\"upgrade\":false}|",
          "{\"parameters\":{\"more\":false}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":1,\"word\":\"\\u001b\",\"flag\":true,"
          "\"numbers\":[1,2],\"words\":[]}}|",
          "{\"parameters\":{\"got\":{\"number\":1,\"word\":\"\\u001B\",\"flag\":true,\"numbers\":[1,2],\"words\":"
          "[]}}}|" },
        /* ill-typed, missing, unknown */
        { "{\"method\":\"org.test.Echo\"}|", ERR("InvalidParameter") "{\"parameter\":\"number\"}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":null}}|",
          ERR("InvalidParameter") "{\"parameter\":\"number\"}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":\"7\"}}|",
          ERR("InvalidParameter") "{\"parameter\":\"number\"}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7.5}}|",
          ERR("InvalidParameter") "{\"parameter\":\"number\"}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7,\"x\":1}}|",
          ERR("InvalidParameter") "{\"parameter\":\"x\"}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7,\"flag\":1}}|",
          ERR("InvalidParameter") "{\"parameter\":\"flag\"}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7,\"numbers\":[1,\"2\"]}}|",
          ERR("InvalidParameter") "{\"parameter\":\"numbers\"}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7,\"words\":[null]}}|",
          ERR("InvalidParameter") "{\"parameter\":\"words\"}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7,\"ratio\":0.5,\"thing\":{\"a\":[null]}}}|",
          "{\"parameters\":{\"got\":{\"number\":7,\"ratio\":0.5,\"thing\":{\"a\":[null]}}}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7,\"ratio\":1}}|",
          "{\"parameters\":{\"got\":{\"number\":7,\"ratio\":1}}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7,\"ratio\":\"1\"}}|",
          ERR("InvalidParameter") "{\"parameter\":\"ratio\"}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7,\"thing\":[]}}|",
          ERR("InvalidParameter") "{\"parameter\":\"thing\"}}|" },
        { "{\"method\":\"org.test.Plain\",\"parameters\":{\"a\":1}}|",
          ERR("InvalidParameter") "{\"parameter\":\"a\"}}|" },
        /* whole numbers that are no int: beyond 64 bits with a sign, to both sides; the last that are one */
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"numbers\":[7],\"number\":9223372036854775808}}|",
          ERR("InvalidParameter") "{\"parameter\":\"number\"}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":-9223372036854775809}}|",
          ERR("InvalidParameter") "{\"parameter\":\"number\"}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7,\"numbers\":[1,18446744073709551616]}}|",
          ERR("InvalidParameter") "{\"parameter\":\"numbers\"}}|" },
        { "{\"method\":\"org.test.Plain\",\"parameters\":{\"a\":100000000000000000000000000000000000000}}|",
          ERR("InvalidParameter") "{\"parameter\":\"a\"}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":9223372036854775807,"
          "\"numbers\":[-9223372036854775808]}}|",
          "{\"parameters\":{\"got\":{\"number\":9223372036854775807,\"numbers\":[-9223372036854775808]}}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7,\"ratio\":10000000000000000000000}}|",
          "{\"parameters\":{\"got\":{\"number\":7,\"ratio\":1e22}}}|" },
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7,\"ratio\":0.10000000000000000000,"
          "\"word\":\"\\\"99999999999999999999\"}}|",
          "{\"parameters\":{\"got\":{\"number\":7,\"ratio\":0.10000000000000001,"
          "\"word\":\"\\\"99999999999999999999\"}}}|" },
        /* names */
        { "{\"method\":\"Echo\"}|", ERR("InvalidParameter") "{\"parameter\":\"method\"}}|" },
        { "{\"method\":\"org.none.Echo\"}|", ERR("InterfaceNotFound") "{\"interface\":\"org.none\"}}|" },
        { "{\"method\":\"org.test.None\"}|", ERR("MethodNotFound") "{\"method\":\"org.test.None\"}}|" },
        { "{\"method\":\"org.test.\"}|", ERR("MethodNotFound") "{\"method\":\"org.test.\"}}|" },
        /* more, upgrade, oneway */
        { "{\"method\":\"org.test.Stream\"}|", ERR("ExpectedMore") "{}}|" },
        { "{\"method\":\"org.test.Stream\",\"more\":true}|",
          "{\"parameters\":{\"n\":1},\"continues\":true}|{\"parameters\":{\"n\":2},\"continues\":true}|"
          "{\"parameters\":{\"n\":3},\"continues\":true}|{\"parameters\":{}}|" },
        { "{\"method\":\"org.test.Maybe\",\"more\":true}|", "{\"parameters\":{\"more\":true}}|" },
        { "{\"method\":\"org.test.Plain\",\"more\":true}|", "{\"parameters\":{\"more\":false}}|" },
        { "{\"method\":\"org.test.Plain\",\"upgrade\":true}|",
          ERR("MethodNotImplemented") "{\"method\":\"org.test.Plain\"}}|" },
        { "{\"method\":\"org.test.Plain\",\"oneway\":true}|", "" },
        { "{\"method\":\"org.test.None\",\"oneway\":true}|", "" },
        { "{\"method\":\"org.test.Plain\",\"oneway\":true}|{\"method\":\"org.test.Maybe\"}|",
          "{\"parameters\":{\"more\":false}}|" },
        /* pipelined */
        { "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":1}}|{\"method\":\"org.test.None\"}|"
          "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":2}}|",
          "{\"parameters\":{\"got\":{\"number\":1}}}|" ERR("MethodNotFound") "{\"method\":\"org.test.None\"}}|"
          "{\"parameters\":{\"got\":{\"number\":2}}}|" },
        /* who may */
        { "{\"method\":\"org.test.Change\"}|", ERR("PermissionDenied") "{}}|" },
        { "{\"method\":\"org.test.Fail\"}|",
          "{\"error\":\"io.systemd.System\",\"parameters\":{\"origin\":\"linux\",\"errno\":5,\"errnoName\":"
          "\"EIO\"}}|" },
        /* no varlink: closed, without a word */
        { "|", "#" },
        { "x|", "#" },
        { "[]|", "#" },
        { "7|", "#" },
        { "{}|", "#" },
        { "{\"method\":7}|", "#" },
        { "99999999999999999999|", "#" },
        { "{\"method\":\"org.test.Plain\",\"parameters\":{\"a\":00000000000000000000}}|", "#" },
        { "{\"method\":\"org.test.Plain\",\"parameters\":{\"a\":99999999999999999999-}}|", "#" },
        { "{\"method\":\"org.test.Plain\",\"more\":99999999999999999999}|", "#" },
        { "{\"method\":\"org.test.Plain\"}x|", "#" },
        { "{\"method\":\"org.test.Plain\",\"method\":\"org.test.Plain\"}|", "#" },
        { "{\"method\":\"org.test.Plain\",\"colour\":1}|", "#" },
        { "{\"method\":\"org.test.Plain\",\"parameters\":[]}|", "#" },
        { "{\"method\":\"org.test.Plain\",\"more\":1}|", "#" },
        { "{\"method\":\"org.test.Plain\",\"more\":null}|", "#" },
        { "{\"method\":\"org.test.Plain\",\"oneway\":\"true\"}|", "#" },
        { "{\"method\":\"org.test.Plain\",\"more\":true,\"oneway\":true}|", "#" },
        { "{\"method\":\"org.test.Plain\",\"more\":true,\"upgrade\":true}|", "#" },
        { "{\"method\":\"org.test.Plain\",\"oneway\":true,\"upgrade\":true}|", "#" },
        { "{\"method\":\"org.test.Plain\",\"parameters\":{\"a\":\"\\u0000\"}}|", "#" },
        { "{\"method\":\"org.test.Plain\xff\"}|", "#" },
        { "{\"method\":\"org.test.Plain\"}|{\"method\":|{\"method\":\"org.test.Plain\"}|",
          "{\"parameters\":{\"more\":false}}|#" },
};

static void test_conversations(void **state) {
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(conversations); i++) {
                int fd = dial(f);

                put(fd, conversations[i].in);
                turn(f);
                assert_string_equal(got(fd), conversations[i].out);
                close(fd);
                turn(f);
                assert_int_equal(n_conns(f), 0);
        }
}

static void test_conversations_byte_by_byte(void **state) {
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(conversations); i++) {
                int fd = dial(f);

                for (const char *p = conversations[i].in; *p; p++) {
                        /* Once closed, nothing can be put any more. */
                        if (send(fd, *p == '|' ? "" : p, 1, MSG_NOSIGNAL) < 0)
                                break;
                        turn(f);
                }
                assert_string_equal(got(fd), conversations[i].out);
                close(fd);
                turn(f);
        }
}

static void test_all_at_once_is_answered_in_order(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        for (int i = 0; i < 100; i++)
                put(fd, "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":7}}|");
        turn(f);
        assert_int_equal(f->n_hits, 100);
        assert_int_equal(strlen(got(fd)), 100 * strlen("{\"parameters\":{\"got\":{\"number\":7}}}|"));
        close(fd);
}

static void test_next_call_waits_for_final_reply(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        put(fd, "{\"method\":\"org.test.Hold\",\"more\":true}|"
                "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":1}}|");
        turn(f);
        assert_non_null(f->held);
        assert_int_equal(f->n_hits, 0);
        assert_int_equal(varlink_call_notify(f->held, json_object()), 0);
        turn(f);
        assert_int_equal(f->n_hits, 0);
        assert_string_equal(got(fd), "{\"parameters\":{},\"continues\":true}|");
        assert_int_equal(varlink_call_error(f->held, "org.test.Oops", NULL), 0);
        turn(f);
        assert_int_equal(f->n_hits, 1);
        assert_int_equal(f->n_gone, 0);
        assert_string_equal(got(fd), "{\"error\":\"org.test.Oops\",\"parameters\":{}}|{\"parameters\":{\"got\":{"
                                     "\"number\":1}}}|");
        assert_string_equal(f->finished, "org.test.Hold=org.test.Oops;org.test.Echo=;");
        close(fd);
}

static void test_reading_pauses_during_a_call(void **state) {
        Fixture *f = *state;
        char block[4096] = {};
        int fd = dial(f);
        size_t sent = 0;
        ssize_t n;

        memset(block, ' ', sizeof(block));
        put(fd, "{\"method\":\"org.test.Hold\"}|");
        for (int i = 0; i < 10000; i++) {
                while ((n = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
                        sent += (size_t) n;
                turn(f);
        }
        /* Only the kernel's buffers fill. */
        assert_true(sent < VARLINK_MESSAGE_MAX);
        assert_true(TAILQ_FIRST(&f->server->conns)->input.size <= 64 * 1024);
        close(fd);
        turn(f);
        assert_int_equal(f->n_gone, 1);
        assert_int_equal(n_conns(f), 0);
}

static void test_a_message_is_at_most_a_mebibyte(void **state) {
        Fixture *f = *state;

        for (int over = 0; over <= 1; over++) {
                static const char start[] = "{\"method\":\"org.test.Plain\"";
                size_t size = VARLINK_MESSAGE_MAX + (size_t) over;
                _cleanup_free_ char *m = malloc(size + 1);
                int fd = dial(f);

                memset(m, ' ', size);
                memcpy(m, start, sizeof(start) - 1);
                m[size - 1] = '}';
                m[size] = '\0';
                for (size_t at = 0; at < size + 1;) {
                        ssize_t n = send(fd, m + at, size + 1 - at, MSG_DONTWAIT | MSG_NOSIGNAL);

                        if (n < 0 && errno != EAGAIN)
                                break;
                        at += n > 0 ? (size_t) n : 0;
                        turn(f);
                }
                turn(f);
                assert_string_equal(got(fd), over ? "#" : "{\"parameters\":{\"more\":false}}|");
                close(fd);
                turn(f);
        }
}

static void test_a_reply_over_the_limit_ends_the_connection(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        put(fd, "{\"method\":\"org.test.Huge\"}|");
        turn(f);
        assert_string_equal(got(fd), "#");
        close(fd);
}

static void test_an_incomplete_reply_ends_the_connection(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

#ifdef SANITIZERS
        skip();                         /* its malloc() does not give NULL */
#endif
        put(fd, "{\"method\":\"org.test.Short\"}|");
        turn(f);
        assert_string_equal(got(fd), "#");
        assert_string_equal(f->failed, "?=ENOMEM;");
        close(fd);
        /* The next one has nothing to do with it. */
        fd = dial(f);
        put(fd, "{\"method\":\"org.test.Maybe\"}|");
        turn(f);
        assert_string_equal(got(fd), "{\"parameters\":{\"more\":false}}|");
        close(fd);
}

static void test_a_failure_is_told(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        put(fd, "{\"method\":\"org.test.Fail\"}|x|");
        turn(f);
        assert_string_equal(f->failed, "org.test.Fail=EIO;");  /* and not that the caller speaks something else */
        close(fd);
}

static void test_depth_is_bounded(void **state) {
        Fixture *f = *state;
        char text[512], deep[64] = "", end[64] = "";
        int fd;

        /* The message and its parameters are two levels. */
        for (int i = 0; i < VARLINK_DEPTH_MAX - 2; i++)
                strcat(deep, "["), strcat(end, "]");
        fd = dial(f);
        (void) snprintf(text, sizeof(text), "{\"method\":\"org.test.Plain\",\"parameters\":{\"a\":%s%s}}|", deep, end);
        put(fd, text);
        turn(f);
        assert_string_equal(got(fd), ERR("InvalidParameter") "{\"parameter\":\"a\"}}|");
        (void) snprintf(text, sizeof(text), "{\"method\":\"org.test.Plain\",\"parameters\":{\"a\":[%s%s]}}|", deep,
                        end);
        put(fd, text);
        turn(f);
        assert_string_equal(got(fd), "#");
        close(fd);

        /* Brackets in strings are none. */
        assert_true(varlink_depth_is_bounded(SLICE_LITERAL("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[\"")));
        assert_false(varlink_depth_is_bounded(SLICE_LITERAL("\"\\\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[")));
        assert_true(varlink_depth_is_bounded(SLICE_LITERAL("]]]]\"\\")));
}

/* {"method":"org.test.Plain","parameters":{"a":[1,1,…]}} or {…,"parameters":{"0":1,"1":1,…}} */
static int parse_many(size_t n, bool members) {
        _cleanup_buf_ Buf b = BUF_INIT(VARLINK_MESSAGE_MAX);
        VarlinkMessage m;
        int r;

        assert_int_equal(buf_printf(&b, "{\"method\":\"org.test.Plain\",\"parameters\":{%s", members ? "" : "\"a\":["), 0);
        for (size_t i = 0; i < n; i++) {
                if (members)
                        assert_int_equal(buf_printf(&b, "%s\"%zu\":1", i > 0 ? "," : "", i), 0);
                else
                        assert_int_equal(buf_append_string(&b, i > 0 ? ",1" : "1"), 0);
        }
        assert_int_equal(buf_append_string(&b, members ? "}}" : "]}}"), 0);
        r = varlink_message_parse(buf_slice(&b), &m);
        if (r == 0)
                varlink_message_done(&m);
        return r;
}

static void test_values_are_bounded(void **state) {
        (void) state;
        /* Two objects and an array, the parameters behind a comma, and one comma less than there are numbers. */
        assert_int_equal(parse_many(VARLINK_VALUES_MAX - 3, false), 0);
        assert_int_equal(parse_many(VARLINK_VALUES_MAX - 2, false), VARLINK_MESSAGE_BAD);
        /* Those that hold the others are members, too. */
        assert_int_equal(parse_many(VARLINK_MEMBERS_MAX - 2, true), 0);
        assert_int_equal(parse_many(VARLINK_MEMBERS_MAX - 1, true), VARLINK_MESSAGE_BAD);
}

static void test_long_names_are_not_given_back(void **state) {
        Fixture *f = *state;
        char text[1200], name[1000];
        int fd = dial(f);

        memset(name, 'a', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        (void) snprintf(text, sizeof(text), "{\"method\":\"org.%s.X\"}|", name);
        put(fd, text);
        turn(f);
        assert_string_equal(got(fd), ERR("InterfaceNotFound") "{\"interface\":\"\"}}|");
        close(fd);
}

static void test_introspection(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        put(fd, "{\"method\":\"org.varlink.service.GetInfo\"}|");
        turn(f);
        assert_string_equal(got(fd), "{\"parameters\":{\"vendor\":\"test\",\"product\":\"Test\",\"version\":\"1\","
                                     "\"url\":"
                                     "\"https://example.org/\",\"interfaces\":[\"org.varlink.service\","
                                     "\"org.test\"]}}|");
        put(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":"
                "\"org.test\"}}|");
        turn(f);
        assert_string_equal(got(fd), "{\"parameters\":{\"description\":"
                                     "\"interface org.test\\nmethod Echo() -> ()\\n\"}}|");
        put(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":"
                "\"org.varlink.service\"}}|");
        turn(f);
        assert_non_null(strstr(got(fd), "interface org.varlink.service\\n"));
        put(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":"
                "\"org.none\"}}|");
        turn(f);
        assert_string_equal(got(fd), ERR("InterfaceNotFound") "{\"interface\":\"org.none\"}}|");
        close(fd);
}

static void test_authorized_callers_may_change(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        f->may_change = true;
        put(fd, "{\"method\":\"org.test.Change\"}|");
        turn(f);
        assert_string_equal(got(fd), "{\"parameters\":{\"more\":false}}|");
        f->may_change = false;
        put(fd, "{\"method\":\"org.test.Change\",\"parameters\":{\"x\":1}}|");
        turn(f);
        assert_string_equal(got(fd), ERR("PermissionDenied") "{}}|");
        assert_string_equal(f->finished, "org.test.Change=;org.test.Change=org.varlink.service.PermissionDenied;");
        close(fd);
}

/* ---- hanging up ---- */

static void test_half_closed_client_gets_its_replies(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        put(fd, "{\"method\":\"org.test.Hold\"}|{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":1}}|");
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        turn(f);
        assert_int_equal(f->n_gone, 0);
        assert_non_null(f->held);
        (void) varlink_call_reply(f->held, json_object());
        turn(f);
        assert_string_equal(got(fd), "{\"parameters\":{}}|{\"parameters\":{\"got\":{\"number\":1}}}|#");
        assert_int_equal(n_conns(f), 0);
        close(fd);
}

static void test_half_closed_idle_client_is_let_go(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        put(fd, "{\"method\":\"org.te");
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        turn(f);
        assert_string_equal(got(fd), "#");
        close(fd);
}

static void test_hang_up_in_a_stream_is_told(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        put(fd, "{\"method\":\"org.test.Hold\",\"more\":true}|");
        turn(f);
        for (int i = 0; i < 3; i++)
                assert_int_equal(varlink_call_notify(f->held, json_object()), 0);
        turn(f);
        close(fd);
        turn(f);
        assert_int_equal(f->n_gone, 1);
        assert_null(f->held);
        assert_int_equal(n_conns(f), 0);
        assert_string_equal(f->finished, "org.test.Hold=gone;");
        /* Nothing spins: no source is left that wants to run. */
        assert_int_equal(sd_event_run(f->event, 0), 0);
}

static void test_replies_after_a_hang_up_go_nowhere(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        put(fd, "{\"method\":\"org.test.Hold\",\"more\":true}|");
        turn(f);
        close(fd);
        /* The loop has not heard yet. */
        assert_int_equal(varlink_call_notify(f->held, json_object()), 0);
        assert_int_equal(varlink_call_reply(f->held, json_object()), 0);
        turn(f);
        assert_int_equal(n_conns(f), 0);
        assert_int_equal(f->n_gone, 0);
}

static void test_only_oneway_calls_outlive_a_hang_up(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        put(fd, "{\"method\":\"org.test.Echo\",\"oneway\":true,\"parameters\":{\"number\":1}}|"
                "{\"method\":\"org.test.Echo\",\"parameters\":{\"number\":2}}|"
                "{\"method\":\"org.test.Echo\",\"oneway\":true,\"parameters\":{\"number\":3}}|{\"meth");
        close(fd);
        turn(f);
        assert_int_equal(f->n_hits, 2);
        assert_int_equal(n_conns(f), 0);
}

static void test_server_that_ends_tells_calls_and_sends_replies(void **state) {
        Fixture *f = *state;
        int fd = dial(f), held = dial(f);

        put(fd, "{\"method\":\"org.test.Hold\"}|");
        turn(f);
        (void) varlink_call_reply(TAKE_PTR(f->held), json_object());
        put(held, "{\"method\":\"org.test.Hold\"}|");
        while (!f->held)
                assert_true(sd_event_run(f->event, 0) >= 0);
        f->server = varlink_server_free(f->server);
        assert_int_equal(f->n_gone, 1);
        assert_string_equal(got(fd), "{\"parameters\":{}}|#");
        assert_string_equal(got(held), "#");
        close(fd);
        close(held);
}

/* ---- slow readers ---- */

static void test_flood_towards_a_slow_reader_is_cut(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        put(fd, "{\"method\":\"org.test.Flood\",\"more\":true}|");
        turn(f);
        assert_int_equal(f->n_gone, 1);
        assert_int_equal(n_conns(f), 0);
        close(fd);
}

static void test_long_list_waits_for_its_reader(void **state) {
        Fixture *f = *state;
        size_t size = 0, n_replies = 0, text_size;
        const char *text;
        int fd = dial(f);

        put(fd, "{\"method\":\"org.test.LongList\",\"more\":true}|");
        turn(f);
        assert_true(TAILQ_FIRST(&f->server->conns)->output.size < 2 * VARLINK_OUTPUT_CONGESTED);
        assert_true(f->n_streamed < LONG_LIST);
        while (turn(f), text = got(fd), (text_size = strlen(text)) > 0) {
                assert_int_not_equal(text[text_size - 1], '#');
                size += text_size;
                for (const char *p = text; (p = strchr(p, '|')); p++)
                        n_replies++;
        }
        assert_int_equal(f->n_streamed, LONG_LIST);
        assert_true(f->n_resumed > 5);
        assert_true(size > 64 * LONG_LIST);
        assert_int_equal(n_replies, LONG_LIST + 1);
        close(fd);
}

static void test_pipelining_without_reading_stalls(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        for (int i = 0; i < 100000; i++) {
                static const char call[] = "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
                                           "\"parameters\":{\"interface\":"
                                           "\"org.varlink.service\"}}";

                if (send(fd, call, sizeof(call), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(call))
                        break;
                turn(f);
        }
        assert_int_equal(n_conns(f), 1);
        assert_true(TAILQ_FIRST(&f->server->conns)->output.size < 2 * VARLINK_OUTPUT_CONGESTED);
        close(fd);
}

/* ---- descriptors ---- */

static void send_fd(int fd, const char *s, size_t size, int passed) {
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = { .header = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
                                  .cmsg_len = CMSG_LEN(sizeof(int)) } };
        struct iovec iov = { (void *) (uintptr_t) s, size };
        struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof(control) };

        memcpy(CMSG_DATA(&control.header), &passed, sizeof(int));
        assert_int_equal(sendmsg(fd, &mh, 0), size);
}

static void test_descriptors_from_outside_are_refused(void **state) {
        static const char call[] = "{\"method\":\"org.test.Plain\"}";
        Fixture *f = *state;
        int fd = dial(f), pipe_fd[2];
        char byte;

        assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
        send_fd(fd, call, sizeof(call), pipe_fd[1]);
        close(pipe_fd[1]);
        turn(f);
        assert_string_equal(got(fd), "#");
        assert_int_equal(n_conns(f), 0);
        /* Nobody holds the other end any more. */
        assert_int_equal(read(pipe_fd[0], &byte, 1), 0);
        close(pipe_fd[0]);
        close(fd);
}

/* A pipe with that text in it, whose other end is closed. */
static int pipe_with(const char *text) {
        int fd[2];

        assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
        assert_int_equal(write(fd[1], text, strlen(text)), strlen(text));
        close(fd[1]);
        return fd[0];
}

/* As put(), with a descriptor on the first byte; `size` bytes of it, '|' is NUL. */
static void put_fd(int fd, const char *s, size_t size, int passed) {
        char copy[512];

        assert_true(size < sizeof(copy));
        for (size_t i = 0; i < size; i++)
                copy[i] = s[i] == '|' ? '\0' : s[i];
        send_fd(fd, copy, size, passed);
        close(passed);
}

#define TAKE "{\"method\":\"org.test.Take\"}|"
#define PLAIN "{\"method\":\"org.test.Plain\"}|"

static void test_each_call_gets_its_own_descriptor(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        /* All is there before the first is answered: pipelined, some with and some without. */
        put(fd, PLAIN);
        put_fd(fd, TAKE, strlen(TAKE), pipe_with("one"));
        put_fd(fd, TAKE, strlen(TAKE), pipe_with("two"));
        put(fd, TAKE);
        put_fd(fd, TAKE, strlen(TAKE), pipe_with("three"));
        put(fd, PLAIN);
        turn(f);
        assert_string_equal(got(fd), "{\"parameters\":{\"more\":false}}|{\"parameters\":{\"text\":\"one\"}}|"
                                     "{\"parameters\":{\"text\":\"two\"}}|{\"parameters\":{\"text\":\"none\"}}|"
                                     "{\"parameters\":{\"text\":\"three\"}}|{\"parameters\":{\"more\":false}}|");
        close(fd);
}

static void test_descriptor_of_a_call_in_pieces(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        /* The rest of the first comes with the whole of the second. */
        for (size_t cut = 1; cut < strlen(TAKE); cut++) {
                put_fd(fd, TAKE, cut, pipe_with("one"));
                turn(f);
                put(fd, &TAKE[cut]);
                put_fd(fd, TAKE, cut, pipe_with("two"));
                turn(f);
                assert_string_equal(got(fd), "{\"parameters\":{\"text\":\"one\"}}|");
                put(fd, &TAKE[cut]);
                turn(f);
                assert_string_equal(got(fd), "{\"parameters\":{\"text\":\"two\"}}|");
        }
        assert_int_equal(TAILQ_FIRST(&f->server->conns)->n_input_fds, 0);
        close(fd);
}

/* Who holds the reading end of a pipe shows at the writing end. */
static void assert_closed(int writing_end) {
        errno = 0;
        assert_int_equal(write(writing_end, "x", 1), -1);
        assert_int_equal(errno, EPIPE);
        close(writing_end);
}

static void test_descriptors_that_nobody_takes_are_closed(void **state) {
        static const struct {
                const char *in, *out;
        } cases[] = {
                { "{\"method\":\"org.test.Leave\"}|", "{\"parameters\":{\"more\":false}}|" },
                { "{\"method\":\"org.test.ChangeWith\"}|", ERR("PermissionDenied") "{}}|" },
                { "{\"method\":\"org.test.Take\",\"parameters\":{\"x\":1}}|",
                  ERR("InvalidParameter") "{\"parameter\":\"x\"}}|" },
                { "{\"method\":\"org.test.Plain\"}|", "#" },
                { "{\"method\":\"org.none.Take\"}|", "#" },
                { "{\"method\":\"Take\"}|", "#" },
                { "nonsense|", "#" },
                { "{\"method\":\"org.te", "" },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int fd = dial(f), pipe_fd[2];

                assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
                put_fd(fd, cases[i].in, strlen(cases[i].in), pipe_fd[0]);
                turn(f);
                assert_string_equal(got(fd), cases[i].out);
                close(fd);
                turn(f);
                assert_closed(pipe_fd[1]);
        }
        assert_int_equal(n_conns(f), 0);
}

static void test_descriptors_against_the_rules_are_refused(void **state) {
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(2 * sizeof(int))];
        } control = { .header = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
                                  .cmsg_len = CMSG_LEN(2 * sizeof(int)) } };
        struct iovec iov = { (char[]){ TAKE }, strlen(TAKE) };
        struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(2 * sizeof(int)) };
        int passed[2] = { pipe_with("one"), pipe_with("two") };
        Fixture *f = *state;
        int fd = dial(f);

        ((char *) iov.iov_base)[iov.iov_len - 1] = '\0';
        memcpy(CMSG_DATA(&control.header), passed, sizeof(passed));
        assert_int_equal(sendmsg(fd, &mh, 0), iov.iov_len);
        turn(f);
        assert_string_equal(got(fd), "#");      /* two at once */
        close(fd);
        close(passed[0]);
        close(passed[1]);

        fd = dial(f);
        put(fd, "{\"method\":");
        turn(f);
        put_fd(fd, "\"org.test.Take\"}|", strlen("\"org.test.Take\"}|"), pipe_with("one"));
        turn(f);
        assert_string_equal(got(fd), "#");      /* in the middle */
        close(fd);

        fd = dial(f);
        put_fd(fd, "{\"method\":", strlen("{\"method\":"), pipe_with("one"));
        put_fd(fd, "\"org.test.Take\"}|", strlen("\"org.test.Take\"}|"), pipe_with("two"));
        turn(f);
        assert_string_equal(got(fd), "#");      /* a second of the same */
        close(fd);
        assert_int_equal(n_conns(f), 0);

        /* What was answered before still arrives. */
        fd = dial(f);
        put(fd, TAKE);
        put_fd(fd, PLAIN, strlen(PLAIN), pipe_with("one"));
        turn(f);
        assert_string_equal(got(fd), "{\"parameters\":{\"text\":\"none\"}}|#");
        close(fd);
}

static void test_descriptor_rides_on_the_first_byte_of_its_reply(void **state) {
        Fixture *f = *state;
        int fd = dial(f);

        /* A reply before, two with descriptors, a reply after: all in one go. */
        put(fd, "{\"method\":\"org.test.Plain\"}|{\"method\":\"org.test.Open\",\"parameters\":{\"number\":1}}|"
                "{\"method\":\"org.test.Open\",\"parameters\":{\"number\":2}}|{\"method\":\"org.test.Plain\"}|");
        turn(f);
        for (int i = 0; i < 3; i++) {
                char text[256], control[CMSG_SPACE(sizeof(int))], document[16] = "";
                struct iovec iov = { text, sizeof(text) };
                struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                                     .msg_controllen = sizeof(control) };
                static const char *const expected[] = {
                        "{\"parameters\":{\"more\":false}}",
                        "{\"parameters\":{\"number\":1}}",
                        "{\"parameters\":{\"number\":2}}",
                };
                struct cmsghdr *h;
                int passed;
                ssize_t n;

                /* Each read up to its own size: alignment shows in which read the descriptor comes. */
                iov.iov_len = strlen(expected[i]) + 1;
                n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
                assert_int_equal(n, iov.iov_len);
                assert_string_equal(text, expected[i]);
                h = CMSG_FIRSTHDR(&mh);
                if (i == 0) {
                        assert_null(h);
                        continue;
                }
                assert_non_null(h);
                memcpy(&passed, CMSG_DATA(h), sizeof(int));
                assert_int_equal(read(passed, document, sizeof(document)), 10);
                assert_int_equal(document[9] - '0', i);
                close(passed);
        }
        assert_string_equal(got(fd), "{\"parameters\":{\"more\":false}}|");
        close(fd);
}

/* ---- listening sockets ---- */

static int connect_path(const char *path) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int fd;

        strcpy(sa.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        if (connect(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0) {
                close(fd);
                return -errno;
        }
        return fd;
}

static void test_sixteen_connections_of_one_user(void **state) {
        Fixture *f = *state;
        int fd[VARLINK_CONNECTIONS_PER_UID + 2];
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/socket", f->dir);
        assert_int_equal(varlink_server_bind(f->server, path), 0);
        for (size_t i = 0; i < ELEMENTSOF(fd); i++) {
                fd[i] = connect_path(path);
                assert_true(fd[i] >= 0);
        }
        turn(f);
        for (size_t i = 0; i < ELEMENTSOF(fd); i++)
                assert_string_equal(got(fd[i]), i < VARLINK_CONNECTIONS_PER_UID ? "" : "#");
        assert_int_equal(n_conns(f), VARLINK_CONNECTIONS_PER_UID);
        close(fd[0]);
        turn(f);
        fd[0] = connect_path(path);
        put(fd[0], "{\"method\":\"org.test.Plain\"}|");
        turn(f);
        assert_string_equal(got(fd[0]), "{\"parameters\":{\"more\":false}}|");
        for (size_t i = 0; i < ELEMENTSOF(fd); i++)
                close(fd[i]);
}

static void test_thousand_hang_ups_leave_nothing(void **state) {
        Fixture *f = *state;
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/socket", f->dir);
        assert_int_equal(varlink_server_bind(f->server, path), 0);
        for (int i = 0; i < 1000; i++) {
                int fd = connect_path(path);

                assert_true(fd >= 0);
                if (i % 3 == 0)
                        put(fd, "{\"method\":\"org.test.Hold\"}|");
                if (i % 5 == 0)
                        assert_true(sd_event_run(f->event, 0) >= 0);
                close(fd);
                if (i % 7 == 0)
                        turn(f);
        }
        turn(f);
        assert_int_equal(n_conns(f), 0);
        assert_null(f->held);
        assert_int_equal(sd_event_run(f->event, 0), 0);
}

static void test_bound_socket_is_private_and_removed(void **state) {
        Fixture *f = *state;
        VarlinkServer *other;
        char path[128], too_long[200];
        mode_t before = umask(0002);
        struct stat st;

        (void) snprintf(path, sizeof(path), "%s/socket", f->dir);
        assert_int_equal(varlink_server_bind(f->server, path), 0);
        umask(before);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0660);

        /* A living one is not taken over; it still lives. */
        assert_int_equal(varlink_server_new(f->event, &f->conf, &other), 0);
        assert_int_equal(varlink_server_bind(other, path), -EADDRINUSE);
        varlink_server_free(other);
        assert_int_equal(stat(path, &st), 0);

        varlink_server_stop(f->server);
        assert_int_equal(stat(path, &st), -1);
        assert_int_equal(connect_path(path), -ENOENT);

        memset(too_long, 'x', sizeof(too_long) - 1);
        too_long[sizeof(too_long) - 1] = '\0';
        assert_int_equal(varlink_server_bind(f->server, too_long), -ENAMETOOLONG);
}

static void test_dead_socket_is_replaced_and_a_file_is_not(void **state) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        Fixture *f = *state;
        int fd;

        (void) snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/socket", f->dir);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
        close(fd);
        assert_int_equal(varlink_server_bind(f->server, sa.sun_path), 0);
        varlink_server_stop(f->server);

        fd = open(sa.sun_path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(varlink_server_bind(f->server, sa.sun_path), -EADDRINUSE);
        assert_int_equal(unlink(sa.sun_path), 0);
}

static void test_inherited_socket_is_served_and_stays(void **state) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        Fixture *f = *state;
        int fd;

        (void) snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/socket", f->dir);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
        assert_int_equal(listen(fd, 5), 0);
        assert_int_equal(varlink_server_add_fd(f->server, fd), 0);
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        fd = connect_path(sa.sun_path);
        put(fd, "{\"method\":\"org.test.Plain\"}|");
        turn(f);
        assert_string_equal(got(fd), "{\"parameters\":{\"more\":false}}|");
        close(fd);
        varlink_server_stop(f->server);
        assert_int_equal(unlink(sa.sun_path), 0);
}

/* ---- the client ---- */

/* The server's side of a client's conversation, done by hand. */
static int client_pair(Fixture *f, usec_t timeout, VarlinkClient **ret) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int listener, fd;

        (void) snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/socket", f->dir);
        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(listener, (struct sockaddr *) &sa, sizeof(sa)), 0);
        assert_int_equal(listen(listener, 5), 0);
        assert_int_equal(varlink_client_connect(sa.sun_path, timeout, ret), 0);
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        assert_true(fd >= 0);
        close(listener);
        assert_int_equal(unlink(sa.sun_path), 0);
        return fd;
}

static void test_client_calls_and_reads_streams(void **state) {
        _cleanup_(varlink_client_free_p) VarlinkClient *c = NULL;
        Fixture *f = *state;
        int fd = client_pair(f, USEC_PER_MINUTE, &c), pipe_fd[2], passed = -1;
        const char *error = "x";
        json_t *p = NULL;
        bool continues;

        assert_int_equal(varlink_client_send(c, "org.test.X", json_pack("{s:i}", "a", 1), VARLINK_CLIENT_MORE, -1), 0);
        assert_int_equal(varlink_client_send(c, "org.test.Y", NULL, 0, -1), 0);
        assert_string_equal(got(fd), "{\"method\":\"org.test.X\",\"parameters\":{\"a\":1},\"more\":true}|{"
                                     "\"method\":\"org.test.Y\"}|");

        assert_int_equal(varlink_client_send(c, "org.test.Z", NULL, VARLINK_CLIENT_ONEWAY, -1), 0);
        assert_string_equal(got(fd), "{\"method\":\"org.test.Z\",\"oneway\":true}|");

        put(fd, "{\"parameters\":{\"b\":2},\"continues\":true}|{\"error\":\"org.test.No\"}|");
        assert_int_equal(varlink_client_receive(c, &p, &error, &continues, NULL), 0);
        assert_int_equal(json_integer_value(json_object_get(p, "b")), 2);
        assert_null(error);
        assert_true(continues);
        json_decref(p);
        assert_int_equal(varlink_client_receive(c, &p, &error, &continues, NULL), 0);
        assert_string_equal(error, "org.test.No");
        assert_int_equal(json_object_size(p), 0);
        assert_false(continues);
        json_decref(p);

        assert_int_equal(pipe2(pipe_fd, O_CLOEXEC), 0);
        send_fd(fd, "{}", 3, pipe_fd[0]);
        close(pipe_fd[0]);
        assert_int_equal(varlink_client_receive(c, &p, &error, &continues, &passed), 0);
        assert_true(passed >= 0);
        assert_true(fcntl(passed, F_GETFD) & FD_CLOEXEC);
        json_decref(p);
        close(passed);
        close(pipe_fd[1]);

        put(fd, "{\"par");
        close(fd);
        assert_int_equal(varlink_client_receive(c, &p, &error, &continues, NULL), VARLINK_CLIENT_CLOSED);
}

static void test_client_refuses_what_is_no_varlink(void **state) {
        static const char *const bad[] = { "|", "[]|", "{\"parameters\":7}|", "{\"error\":7}|",
                                           "{\"continues\":1}|", "{|" };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_(varlink_client_free_p) VarlinkClient *c = NULL;
                int fd = client_pair(f, USEC_PER_MINUTE, &c);
                const char *error;
                json_t *p;
                bool continues;

                put(fd, bad[i]);
                assert_int_equal(varlink_client_receive(c, &p, &error, &continues, NULL), VARLINK_CLIENT_BAD);
                close(fd);
        }
}

static void test_client_gives_up_in_time(void **state) {
        _cleanup_(varlink_client_free_p) VarlinkClient *c = NULL;
        Fixture *f = *state;
        int fd = client_pair(f, 1000, &c);
        const char *error;
        json_t *p;
        bool continues;

        assert_int_equal(varlink_client_receive(c, &p, &error, &continues, NULL), VARLINK_CLIENT_TIMEOUT);
        close(fd);
}

static void test_client_says_that_nobody_is_there(void **state) {
        VarlinkClient *c = NULL;
        Fixture *f = *state;
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/none", f->dir);
        assert_int_equal(varlink_client_connect(path, USEC_PER_MINUTE, &c), -ENOENT);
        assert_null(c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_conversations),
                TEST(test_conversations_byte_by_byte),
                TEST(test_all_at_once_is_answered_in_order),
                TEST(test_next_call_waits_for_final_reply),
                TEST(test_reading_pauses_during_a_call),
                TEST(test_a_message_is_at_most_a_mebibyte),
                TEST(test_a_reply_over_the_limit_ends_the_connection),
                TEST(test_an_incomplete_reply_ends_the_connection),
                TEST(test_a_failure_is_told),
                TEST(test_depth_is_bounded),
                TEST(test_values_are_bounded),
                TEST(test_long_names_are_not_given_back),
                TEST(test_introspection),
                TEST(test_authorized_callers_may_change),
                TEST(test_half_closed_client_gets_its_replies),
                TEST(test_half_closed_idle_client_is_let_go),
                TEST(test_hang_up_in_a_stream_is_told),
                TEST(test_replies_after_a_hang_up_go_nowhere),
                TEST(test_only_oneway_calls_outlive_a_hang_up),
                TEST(test_server_that_ends_tells_calls_and_sends_replies),
                TEST(test_flood_towards_a_slow_reader_is_cut),
                TEST(test_long_list_waits_for_its_reader),
                TEST(test_pipelining_without_reading_stalls),
                TEST(test_descriptors_from_outside_are_refused),
                TEST(test_each_call_gets_its_own_descriptor),
                TEST(test_descriptor_of_a_call_in_pieces),
                TEST(test_descriptors_that_nobody_takes_are_closed),
                TEST(test_descriptors_against_the_rules_are_refused),
                TEST(test_descriptor_rides_on_the_first_byte_of_its_reply),
                TEST(test_sixteen_connections_of_one_user),
                TEST(test_thousand_hang_ups_leave_nothing),
                TEST(test_bound_socket_is_private_and_removed),
                TEST(test_dead_socket_is_replaced_and_a_file_is_not),
                TEST(test_inherited_socket_is_served_and_stays),
                TEST(test_client_calls_and_reads_streams),
                TEST(test_client_refuses_what_is_no_varlink),
                TEST(test_client_gives_up_in_time),
                TEST(test_client_says_that_nobody_is_there),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
