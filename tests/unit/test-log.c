/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/text.h"
#include "io/journal-send.h"
#include "io/log-internal.h"
#include "io/log-rate.h"
#include "io/log-text.h"
#include "io/log.h"

#define COOKIE "4503599627370495"

/* The clock of these tests. */
static Now virtual_now;

static void read_virtual(Now *ret) {
        *ret = virtual_now;
}

static void pass_time(usec_t t) {
        virtual_now.boottime += t;
}

/* A journal of our own: a datagram socket in a directory. Or a pipe for readable lines. */
typedef struct Sink {
        char *dir, *path;
        int fd, write_fd;
        char entry[16384];              /* the last one that was taken */
} Sink;

static Sink *sink_new(void) {
        const char *tmp = getenv("TMPDIR");
        Sink *s = calloc(1, sizeof(*s));

        assert_non_null(s);
        assert_true(asprintf(&s->dir, "%s/test-log-XXXXXX", tmp ? tmp : "/tmp") > 0);
        assert_non_null(mkdtemp(s->dir));
        assert_true(asprintf(&s->path, "%s/socket", s->dir) > 0);
        s->fd = s->write_fd = -1;
        virtual_now = (Now){ .boottime = 1000 * USEC_PER_SEC };
        return s;
}

static void journal_listen(Sink *s) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(s->fd >= 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", s->path);
        assert_int_equal(bind(s->fd, (struct sockaddr *) &address, sizeof(address)), 0);
}

static int set_up_journal(void **state) {
        Sink *s = sink_new();

        journal_listen(s);
        log_open_target(&(LogTarget){ .identifier = "p2pdi-test", .journal_path = s->path, .fd = STDERR_FILENO,
                        .now = read_virtual });
        log_set_level(LOG_LEVEL_INFO);
        *state = s;
        return 0;
}

static int set_up_lines(void **state) {
        Sink *s = sink_new();
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        s->fd = fds[0];
        s->write_fd = fds[1];
        log_open_target(&(LogTarget){ .identifier = "p2pdi-test", .fd = fds[1], .now = read_virtual });
        log_set_level(LOG_LEVEL_INFO);
        *state = s;
        return 0;
}

static int tear_down(void **state) {
        Sink *s = *state;

        if (s->fd >= 0)
                (void) close(s->fd);
        if (s->write_fd >= 0)
                (void) close(s->write_fd);
        (void) unlink(s->path);
        assert_int_equal(rmdir(s->dir), 0);
        free(s->path);
        free(s->dir);
        free(s);
        return 0;
}

/* The next entry (or what is in the pipe), terminated; NULL: there is none. */
static const char *take(Sink *s) {
        ssize_t n = read(s->fd, s->entry, sizeof(s->entry) - 1);

        if (n < 0)
                return NULL;
        s->entry[n] = '\0';
        assert_int_equal(strlen(s->entry), n);
        return s->entry;
}

static unsigned drain(Sink *s) {
        unsigned n = 0;

        while (take(s))
                n++;
        return n;
}

/* The value of a field of the last entry, in a buffer of its own; "" where it is not there. */
static const char *field(const Sink *s, const char *name) {
        static char value[4096];
        size_t n = strlen(name);

        for (const char *line = s->entry; *line;) {
                size_t size = strcspn(line, "\n");

                assert_true(line[size] == '\n');
                assert_non_null(memchr(line, '=', size));
                if (size > n && memcmp(line, name, n) == 0 && line[n] == '=') {
                        (void) snprintf(value, sizeof(value), "%.*s", (int) (size - n - 1), line + n + 1);
                        return value;
                }
                line += size + 1;
        }
        return "";
}

static Endpoint endpoint(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_from_text(slice_of(text), &e), 0);
        return e;
}

static void test_entry_has_all_its_fields(void **state) {
        Sink *s = *state;
        Endpoint peer = endpoint("192.0.2.7:65424");
        Digest digest = { { 0xab, 0xcd } }, expected = { { 0x12 } };
        LogFields fields = {
                .transaction = UINT64_C(0x0f0c2c0e8d1b4c63), .operation = "get-rfc", .result = "ok", .peer_id = 3,
                .peer = &peer,
                .rfc = 7230, .sha256 = &digest, .sha256_expected = &expected, .has_size = true, .size = 0,
                .has_bytes = true, .bytes = 205900, .has_duration = true, .duration_usec = 312, .has_generation = true,
                .generation = 4711, .epoch = 9, .has_entries = true, .entries_added = 12, .entries_removed = 0,
                .source = "peer", .config_file = "/etc/p2pdi/rs.ini", .config_line = 7, .limit = "MaxConnections",
                .has_uid = true, .uid = 0,
        };
        static const struct {
                const char *name, *value;
        } expected_fields[] = {
                { "MESSAGE", "served RFC 7230" },
                { "PRIORITY", "6" },
                { "SYSLOG_IDENTIFIER", "p2pdi-test" },
                { "MESSAGE_ID", "49fcaa677dc44a8692c0d373b0af1257" },
                { "P2PDI_TRANSACTION", "0f0c2c0e8d1b4c63" },
                { "P2PDI_OPERATION", "get-rfc" },
                { "P2PDI_RESULT", "ok" },
                { "P2PDI_PEER_ID", "3" },
                { "P2PDI_PEER_ADDRESS", "192.0.2.7" },
                { "P2PDI_PEER_PORT", "65424" },
                { "P2PDI_RFC", "7230" },
                { "P2PDI_SHA256", "abcd000000000000000000000000000000000000000000000000000000000000" },
                { "P2PDI_SHA256_EXPECTED", "1200000000000000000000000000000000000000000000000000000000000000" },
                { "P2PDI_SIZE", "0" },
                { "P2PDI_BYTES", "205900" },
                { "P2PDI_DURATION_USEC", "312" },
                { "P2PDI_GENERATION", "4711" },
                { "P2PDI_EPOCH", "9" },
                { "P2PDI_ENTRIES_ADDED", "12" },
                { "P2PDI_ENTRIES_REMOVED", "0" },
                { "P2PDI_SOURCE", "peer" },
                { "P2PDI_CONFIG_FILE", "/etc/p2pdi/rs.ini" },
                { "P2PDI_CONFIG_LINE", "7" },
                { "P2PDI_LIMIT", "MaxConnections" },
                { "P2PDI_CONTROL_UID", "0" },
        };
        size_t n_lines = 0;

        log_transaction(LOG_EVENT_RFC_SERVED, &fields, "served RFC %d", 7230);
        assert_non_null(take(s));
        for (size_t i = 0; i < ELEMENTSOF(expected_fields); i++)
                assert_string_equal(field(s, expected_fields[i].name), expected_fields[i].value);
        for (const char *c = s->entry; *c; c++)
                n_lines += *c == '\n';
        assert_int_equal(n_lines, ELEMENTSOF(expected_fields));
        assert_null(take(s));
}

static void test_what_is_not_set_is_left_out(void **state) {
        Sink *s = *state;
        LogFields fields = { 0 };

        log_entry(LOG_LEVEL_INFO, LOG_EVENT_NONE, &fields, "hello");
        assert_string_equal(take(s), "MESSAGE=hello\nPRIORITY=6\nSYSLOG_IDENTIFIER=p2pdi-test\n");
        log_notice("hello");
        assert_string_equal(take(s), "MESSAGE=hello\nPRIORITY=5\nSYSLOG_IDENTIFIER=p2pdi-test\n");
}

static void test_levels_beyond_the_limit_are_not_sent(void **state) {
        Sink *s = *state;
        Endpoint from = endpoint("192.0.2.7:1");

        log_debug("no");
        log_head(&from, SLICE_LITERAL("GET PQuery P2P-DI/1.0"));
        assert_null(take(s));
        log_set_level(LOG_LEVEL_ERR);
        assert_int_equal(log_get_level(), LOG_LEVEL_ERR);
        log_warning("no");
        log_transaction(LOG_EVENT_NONE, NULL, "no");
        assert_int_equal(log_errno(LOG_LEVEL_WARNING, -ENOENT, "no"), -ENOENT);
        assert_null(take(s));
        log_error("yes");
        assert_non_null(take(s));
        assert_string_equal(field(s, "PRIORITY"), "3");
        /* What was not wanted is not counted either. */
        assert_false(log_summarize(&virtual_now));
}

static void test_errno_is_told_and_given_back(void **state) {
        Sink *s = *state;

        errno = EAGAIN;
        assert_int_equal(log_errno(LOG_LEVEL_ERR, -ENOENT, "Can't open %s", "x"), -ENOENT);
        assert_int_equal(errno, EAGAIN);
        assert_non_null(take(s));
        assert_string_equal(field(s, "MESSAGE"), "Can't open x: No such file or directory");
        assert_int_equal(log_errno(LOG_LEVEL_ERR, -99999, "Odd"), -99999);
        assert_non_null(take(s));
        assert_string_equal(field(s, "MESSAGE"), "Odd: Unknown error");
}

static void test_nothing_from_outside_reaches_the_journal_raw(void **state) {
        Sink *s = *state;
        LogFields fields = { .operation = "x\nMESSAGE_ID=00000000000000000000000000000000",
        .source = "\033]0;title\a" };

        log_entry(LOG_LEVEL_INFO, LOG_EVENT_NONE, &fields, "title \"%s\"",
                  "a\nPRIORITY=0\n\033[2J\xc2\x9b\xe2\x80\xae\xff\\");
        assert_non_null(take(s));
        assert_string_equal(field(s, "MESSAGE"),
                            "title \"a\\x0aPRIORITY=0\\x0a\\x1b[2J\\u{009b}\\u{202e}\\xff\\\\\"");
        assert_string_equal(field(s, "PRIORITY"), "6");
        assert_string_equal(field(s, "MESSAGE_ID"), "");
        assert_null(strchr(s->entry, '\033'));
        assert_string_equal(field(s, "P2PDI_SOURCE"), "\\x1b]0;title\\x07");
}

static void test_long_values_are_cut(void **state) {
        Sink *s = *state;
        static char text[100000];
        LogFields fields = { .operation = text, .result = text, .source = text, .config_file = text, .limit = text };

        memset(text, '\033', sizeof(text) - 1);
        log_entry(LOG_LEVEL_INFO, LOG_EVENT_NONE, &fields, "%s", text);
        assert_non_null(take(s));
        assert_in_range(strlen(field(s, "MESSAGE")), LOG_MESSAGE_MAX - 6, LOG_MESSAGE_MAX);
        assert_string_equal(field(s, "MESSAGE") + strlen(field(s, "MESSAGE")) - 3, "\xe2\x80\xa6");
        assert_in_range(strlen(field(s, "P2PDI_OPERATION")), LOG_FIELD_MAX - 6, LOG_FIELD_MAX);
        assert_int_equal(log_dropped(), 0);

        memset(text, 'a', LOG_MESSAGE_MAX);
        text[LOG_MESSAGE_MAX] = '\0';
        log_info("%s", text);
        assert_non_null(take(s));
        assert_int_equal(strlen(field(s, "MESSAGE")), LOG_MESSAGE_MAX);
        assert_string_equal(field(s, "MESSAGE"), text);
}

static void test_no_cookie_ever(void **state) {
        Sink *s = *state;
        Endpoint from = endpoint("[2001:db8::1]:65424");
        static const struct {
                const char *head, *shown;
        } cases[] = {
                { "POST Register P2P-DI/1.0\r\nPort: 1\r\nCookie: " COOKIE "\r\nHost: a\r\n\r\n",
                  "POST Register P2P-DI/1.0 | Port: 1 | Cookie: *** | Host: a" },
                { "POST Leave P2P-DI/1.0\ncOOKIE:" COOKIE, "POST Leave P2P-DI/1.0 | cOOKIE: ***" },
                { "POST KeepAlive P2P-DI/1.0\r\nCookie :" COOKIE "\r\n", "POST KeepAlive P2P-DI/1.0 | Cookie: ***" },
                { "X\r\nCookie:\r\n " COOKIE "\r\n\t" COOKIE "\r\nHost: a\r\n", "X | Cookie: *** | Host: a" },
                { "X\r\nX-Cookie: " COOKIE "\r\n", "X | X-Cookie: ***" },
                { "GET / HTTP/1.1\r\nProxy-authorization: Basic " COOKIE "\r\nAuthorization: x\r\n",
                  "GET / HTTP/1.1 | Proxy-authorization: *** | Authorization: ***" },
                { "X\r\nHost: a\rCookie: " COOKIE "\r\n", "X | Host: a\\x0dCookie: ***" },
                { "POST Register?cookie=" COOKIE " P2P-DI/1.0\r\n", "POST Register?cookie: ***" },
                { "P2P-DI/1.0 200 OK\r\nCookie: " COOKIE, "P2P-DI/1.0 200 OK | Cookie: ***" },
                { " Cookie: " COOKIE, " Cookie: ***" },
                { "Cookie: " COOKIE "\r\n\r\n", "Cookie: ***" },
                { "Cookie:", "Cookie: ***" },
                { "\r\n\r\n", "" },
                { "", "" },
        };

        log_set_level(LOG_LEVEL_DEBUG);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char expected[512];

                log_head(&from, slice_of(cases[i].head));
                assert_non_null(take(s));
                (void) snprintf(expected, sizeof(expected), "received from [2001:db8::1]:65424: %s", cases[i].shown);
                assert_string_equal(field(s, "MESSAGE"), expected);
                assert_string_equal(field(s, "PRIORITY"), "7");
        }
        /* Half a head: cut anywhere, at most the cookie's name is seen. */
        for (size_t n = 0; n <= strlen(cases[0].head); n++) {
                log_head(&from, (Slice){ cases[0].head, n });
                assert_non_null(take(s));
                assert_null(strstr(s->entry, "45"));
        }
}

static void test_a_head_of_any_size_is_one_entry(void **state) {
        Sink *s = *state;
        Endpoint from = endpoint("192.0.2.7:1");
        static char head[65536];

        log_set_level(LOG_LEVEL_DEBUG);
        memset(head, '\n', sizeof(head));
        for (size_t i = 0; i < sizeof(head); i += 2)
                head[i] = 'a';
        log_head(&from, (Slice){ head, sizeof(head) });
        assert_non_null(take(s));
        assert_in_range(strlen(field(s, "MESSAGE")), LOG_MESSAGE_MAX - 8, LOG_MESSAGE_MAX);
        memset(head, '\0', sizeof(head));
        log_head(&from, (Slice){ head, sizeof(head) });
        assert_non_null(take(s));
        assert_null(take(s));
        assert_int_equal(log_dropped(), 0);
}

static void test_transactions_beyond_the_rate_are_counted(void **state) {
        Sink *s = *state;
        LogFields got = { .operation = "get-rfc", .result = "ok" }, listed = { .operation = "list-peers",
        .result = "refused" };
        unsigned n = 0;

        log_set_transaction_rate(5);
        for (unsigned i = 0; i < 20; i++) {
                log_transaction(LOG_EVENT_RFC_SERVED, &got, "served");
                n += drain(s);
        }
        log_transaction(LOG_EVENT_RS_LISTED, &listed, "listed");
        log_transaction(LOG_EVENT_NONE, NULL, "something");
        assert_int_equal(n, 5);
        assert_null(take(s));

        assert_true(log_summarize(&virtual_now));
        assert_non_null(take(s));
        assert_string_equal(field(s, "MESSAGE"),
                            "17 more transactions, only counted: get-rfc ok 15, list-peers refused 1, unnamed 1");
        assert_string_equal(field(s, "PRIORITY"), "6");
        assert_null(take(s));
        assert_false(log_summarize(&virtual_now));

        pass_time(USEC_PER_SEC);
        for (unsigned i = 0; i < 20; i++)
                log_transaction(LOG_EVENT_RFC_SERVED, &got, "served");
        assert_int_equal(drain(s), 5);

        /* 0: only the summary. */
        log_set_transaction_rate(0);
        pass_time(USEC_PER_HOUR);
        log_transaction(LOG_EVENT_RFC_SERVED, &got, "served");
        assert_null(take(s));
        assert_true(log_summarize(&virtual_now));
        assert_non_null(take(s));
        assert_string_equal(field(s, "MESSAGE"), "16 more transactions, only counted: get-rfc ok 16");
}

static void test_warnings_have_a_rate_for_each_event(void **state) {
        Sink *s = *state;
        unsigned n = 0;

        for (unsigned i = 0; i < 10000; i++) {
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_MALFORMED, NULL, "malformed");
                n += drain(s);
        }
        assert_int_equal(n, LOG_RATE_BURST);
        /* Others are not hindered. */
        log_entry(LOG_LEVEL_WARNING, LOG_EVENT_RS_FULL, NULL, "full");
        assert_int_equal(drain(s), 1);
        log_entry(LOG_LEVEL_CRIT, LOG_EVENT_MALFORMED, NULL, "never held back");
        assert_int_equal(drain(s), 1);

        /* No token yet: the summary waits too. */
        assert_true(log_summarize(&virtual_now));
        assert_null(take(s));

        pass_time(USEC_PER_SEC);
        log_entry(LOG_LEVEL_WARNING, LOG_EVENT_MALFORMED, NULL, "malformed");
        assert_non_null(take(s));
        assert_string_equal(field(s, "MESSAGE"), "malformed (9990 more like this were suppressed)");
        assert_false(log_summarize(&virtual_now));
}

static void test_what_was_suppressed_is_told_when_all_is_quiet(void **state) {
        Sink *s = *state;

        for (unsigned i = 0; i < 13; i++)
                log_entry(LOG_LEVEL_ERR, LOG_EVENT_DIGEST_MISMATCH, NULL, "mismatch");
        /* The socket's queue is short: what matters is what was suppressed. */
        (void) drain(s);
        pass_time(USEC_PER_SEC);
        assert_true(log_summarize(&virtual_now));
        assert_non_null(take(s));
        assert_string_equal(field(s, "MESSAGE"), "3 more like this were suppressed: digests that do not match");
        assert_string_equal(field(s, "MESSAGE_ID"), "de9b8cc84efb4fd5813d24ae3b8e2c3e");
        assert_string_equal(field(s, "PRIORITY"), "3");
        assert_false(log_summarize(&virtual_now));
        assert_null(take(s));
}

static void test_one_that_was_suppressed_is_told_as_one(void **state) {
        Sink *s = *state;

        for (unsigned i = 0; i < LOG_RATE_BURST + 1; i++)
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_MALFORMED, NULL, "malformed");
        (void) drain(s);
        pass_time(USEC_PER_SEC);
        assert_true(log_summarize(&virtual_now));
        assert_non_null(take(s));
        assert_string_equal(field(s, "MESSAGE"), "1 more like this was suppressed: refused requests");
}

static void test_flood_costs_one_line_a_second(void **state) {
        Sink *s = *state;
        unsigned n = 0;

        for (unsigned i = 0; i < 100 * 1000; i++) {
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_MALFORMED, NULL, "malformed");
                if (i % 1000 == 999)
                        (void) log_summarize(&virtual_now);
                pass_time(USEC_PER_MSEC);
                n += drain(s);
        }
        assert_in_range(n, 100, LOG_RATE_BURST + 100);
}

static void test_kinds_of_transactions_have_an_end(void **state) {
        LogRate r = { .transactions_per_sec = 0 };
        LogRateCounts counts;
        char word[64];

        (void) state;
        assert_false(log_rate_take_counts(&r, &counts));
        for (unsigned i = 0; i < LOG_RATE_KINDS_MAX + 10; i++) {
                (void) snprintf(word, sizeof(word), "%u-operation-with-a-name-that-is-cut", i);
                assert_false(log_rate_take_transaction(&r, word, "ok", &virtual_now));
                assert_false(log_rate_take_transaction(&r, word, "ok", &virtual_now));
        }
        assert_true(log_rate_take_counts(&r, &counts));
        assert_int_equal(counts.n_kinds, LOG_RATE_KINDS_MAX);
        assert_true(counts.kinds[0].n == 2);
        assert_true(counts.n_other == 20);
        assert_true(counts.n_all == 2 * (LOG_RATE_KINDS_MAX + 10));
        assert_false(log_rate_is_pending(&r));
}

static void test_full_journal_drops_and_counts(void **state) {
        Sink *s = *state;
        uint64_t dropped;
        unsigned n;

        /* Nobody reads: it must neither wait nor fail. */
        for (unsigned i = 0; i < 5000; i++)
                log_info("entry");
        dropped = log_dropped();
        assert_in_range(dropped, 1, 4999);
        n = drain(s);
        assert_int_equal(n + dropped, 5000);
        log_info("again");
        assert_int_equal(drain(s), 1);
        assert_true(log_dropped() == dropped);
}

static void test_journal_may_go_and_come_back(void **state) {
        Sink *s = *state;

        assert_int_equal(close(s->fd), 0);
        log_info("refused");
        assert_true(log_dropped() == 1);
        assert_int_equal(unlink(s->path), 0);
        log_info("not there");
        assert_true(log_dropped() == 2);
        journal_listen(s);
        log_info("back");
        assert_int_equal(drain(s), 1);
        assert_true(log_dropped() == 2);
}

#define N_THREADS 4
#define N_EACH 500

static void *log_much(void *userdata) {
        LogFields fields = { .operation = userdata, .result = "ok" };

        for (unsigned i = 0; i < N_EACH; i++)
                log_transaction(LOG_EVENT_NONE, &fields, "x");
        return NULL;
}

static void test_threads_lose_no_count(void **state) {
        Sink *s = *state;
        pthread_t threads[N_THREADS];
        unsigned long long n = 0;

        log_set_transaction_rate(0);
        for (size_t i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, log_much, (void *) "sync"), 0);
        for (size_t i = 0; i < N_THREADS; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(log_summarize(&virtual_now));
        assert_non_null(take(s));
        assert_int_equal(sscanf(field(s, "MESSAGE"), "%llu more", &n), 1);
        assert_int_equal(n, N_THREADS * N_EACH);
}

static void test_line_reads_well(void **state) {
        Sink *s = *state;
        Endpoint v4 = endpoint("127.0.0.1:40001"), v6 = endpoint("[2001:db8::1]:65424");
        LogFields fields = {
                .transaction = UINT64_C(0x6f0c2c0e8d1b4c63), .operation = "register", .result = "ok", .peer_id = 3,
                .peer = &v4,
                .has_duration = true, .duration_usec = 312,
        };

        log_transaction(LOG_EVENT_RS_REGISTERED, &fields, "peer 3 registered at 127.0.0.1:40001");
        assert_string_equal(take(s),
                            "p2pdi-test: peer 3 registered at 127.0.0.1:40001 "
                            "(register ok, 312us) [6f0c2c0e8d1b4c63]\n");

        /* A sentence goes on, whatever its case. */
        log_transaction(LOG_EVENT_RS_REGISTERED, &fields, "Peer 3 registered at 127.0.0.1:40001.");
        assert_string_equal(take(s), "p2pdi-test: Peer 3 registered at 127.0.0.1:40001 "
                                     "(register ok, 312us) [6f0c2c0e8d1b4c63]\n");

        /* What the message does not say is added: 31 is not 3. */
        log_transaction(LOG_EVENT_RS_REGISTERED, &fields, "peer 31 told of 127.0.0.1:400011");
        assert_string_equal(take(s), "p2pdi-test: peer 31 told of 127.0.0.1:400011 "
                                     "(register ok, peer 3, 127.0.0.1:40001, 312us) [6f0c2c0e8d1b4c63]\n");

        fields = (LogFields){
                .operation = "get-rfc", .result = "mismatch", .peer = &v6, .rfc = 7230, .has_bytes = true,
                .bytes = 205900,
                .has_duration = true, .duration_usec = 2345678,
        };
        log_entry(LOG_LEVEL_ERR, LOG_EVENT_DIGEST_MISMATCH, &fields, "wrong bytes thrown away");
        assert_string_equal(take(s), "p2pdi-test: wrong bytes thrown away "
                                     "(get-rfc mismatch, [2001:db8::1]:65424, RFC 7230, 205900 bytes, 2.3s)\n");

        fields = (LogFields){ .config_file = "/etc/p2pdi/rs.ini", .config_line = 7, .limit = "MaxConnections" };
        log_entry(LOG_LEVEL_WARNING, LOG_EVENT_CONF_INVALID, &fields, "odd");
        assert_string_equal(take(s), "p2pdi-test: odd (MaxConnections, /etc/p2pdi/rs.ini:7)\n");

        log_notice("ready");
        assert_string_equal(take(s), "p2pdi-test: ready\n");
        log_notice("a\033[2J\nb");
        assert_string_equal(take(s), "p2pdi-test: a\\x1b[2J\\x0ab\n");
}

static void test_full_pipe_drops_and_counts(void **state) {
        Sink *s = *state;

        for (unsigned i = 0; i < 20000 && log_dropped() == 0; i++)
                log_info("somebody does not read this");
        assert_true(log_dropped() > 0);
        assert_true(drain(s) > 0);
        log_info("again");
        assert_string_equal(take(s), "p2pdi-test: again\n");
}

static void test_levels_have_names(void **state) {
        LogLevel level;

        (void) state;
        for (LogLevel l = LOG_LEVEL_EMERG; l <= LOG_LEVEL_DEBUG; l++) {
                char digit[2] = { (char) ('0' + l), '\0' };

                assert_int_equal(log_level_from_text(log_level_name(l), &level), 0);
                assert_int_equal(level, l);
                assert_int_equal(log_level_from_text(digit, &level), 0);
                assert_int_equal(level, l);
        }
        assert_int_equal(log_level_from_text("error", &level), 0);
        assert_int_equal(level, LOG_LEVEL_ERR);
        assert_int_equal(log_level_from_text("Warn", &level), 0);
        assert_int_equal(level, LOG_LEVEL_WARNING);
        assert_int_equal(log_level_from_text("8", &level), 1);
        assert_int_equal(log_level_from_text("", &level), 1);
        assert_int_equal(log_level_from_text("loud", &level), 1);
        assert_int_equal(level, LOG_LEVEL_WARNING);
}

static void test_every_event_has_an_id_of_its_own(void **state) {
        (void) state;
        assert_null(log_event_id(LOG_EVENT_NONE));
        for (LogEvent e = LOG_EVENT_NONE + 1; e < _LOG_EVENT_MAX; e++) {
                uint8_t bytes[16];

                assert_int_equal(text_from_hex(slice_of(log_event_id(e)), bytes, sizeof(bytes)), 0);
                for (LogEvent other = LOG_EVENT_NONE + 1; other < e; other++)
                        assert_string_not_equal(log_event_id(e), log_event_id(other));
        }
}

/* Who reads a log knows nothing of the names in the code. */
static void test_every_event_is_called_something_in_words(void **state) {
        (void) state;
        for (LogEvent e = LOG_EVENT_NONE; e < _LOG_EVENT_MAX; e++) {
                const char *kind = log_event_kind(e);

                assert_non_null(kind);
                assert_in_range(strlen(kind), 1, 60);
                assert_null(strchr(kind, '_'));
                assert_true(strpbrk(kind, "abcdefghijklmnopqrstuvwxyz"));
        }
}

typedef struct Seen {
        unsigned n;
        LogLevel level;
        LogEvent event;
        uint64_t transaction;
        char message[64];
} Seen;

static void see(const LogEntry *e, void *userdata) {
        Seen *seen = userdata;

        seen->n++;
        seen->level = e->level;
        seen->event = e->event;
        seen->transaction = e->fields ? e->fields->transaction : 0;
        (void) snprintf(seen->message, sizeof(seen->message), "%.*s", (int) e->message.size, e->message.data);
}

static void test_observer_hears_whatever_level_and_rate(void **state) {
        const LogFields fields = { .transaction = 7 };
        Sink *s = *state;
        Seen seen = {};

        log_set_observer(see, &seen);
        log_transaction(LOG_EVENT_RFC_SERVED, &fields, "not heard");
        assert_int_equal(drain(s), 1);
        log_observe(true);
        log_set_level(LOG_LEVEL_CRIT);
        log_set_transaction_rate(0);
        for (unsigned n = 1; n <= 100; n++) {
                log_transaction(LOG_EVENT_RFC_SERVED, &fields, "number %u", n);
                assert_int_equal(seen.n, n);
        }
        assert_string_equal(seen.message, "number 100");
        assert_int_equal(seen.level, LOG_LEVEL_INFO);
        assert_int_equal(seen.event, LOG_EVENT_RFC_SERVED);
        assert_int_equal(seen.transaction, 7);
        for (unsigned n = 101; n <= 200; n++)
                log_notice("number %u", n);
        assert_int_equal(seen.n, 200);
        assert_int_equal(seen.level, LOG_LEVEL_NOTICE);
        (void) log_errno(LOG_LEVEL_WARNING, -EIO, "number %u", 201);
        assert_int_equal(seen.n, 201);
        log_info("not a transaction");
        log_debug("neither");
        assert_int_equal(seen.n, 201);
        assert_int_equal(drain(s), 0);
        log_observe(false);
        log_notice("not heard");
        assert_int_equal(seen.n, 201);
        log_set_level(LOG_LEVEL_INFO);
}

static void test_journal_stream_is_recognised(void **state) {
        const char *found = getenv("JOURNAL_STREAM");
        _cleanup_free_ char *before = found ? strdup(found) : NULL;
        Sink *s = *state;
        char text[64];
        struct stat st;

        assert_int_equal(fstat(s->fd, &st), 0);
        (void) snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long) st.st_dev,
                        (unsigned long long) st.st_ino);
        assert_int_equal(setenv("JOURNAL_STREAM", text, 1), 0);
        assert_true(journal_owns_fd(s->fd));
        assert_false(journal_owns_fd(-1));
        assert_int_equal(setenv("JOURNAL_STREAM", "1:2x", 1), 0);
        assert_false(journal_owns_fd(s->fd));
        assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
        assert_false(journal_owns_fd(s->fd));
        if (before)
                assert_int_equal(setenv("JOURNAL_STREAM", before, 1), 0);
}

#define WITH_JOURNAL(test) cmocka_unit_test_setup_teardown(test, set_up_journal, tear_down)
#define WITH_LINES(test) cmocka_unit_test_setup_teardown(test, set_up_lines, tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                WITH_JOURNAL(test_entry_has_all_its_fields),
                WITH_JOURNAL(test_what_is_not_set_is_left_out),
                WITH_JOURNAL(test_levels_beyond_the_limit_are_not_sent),
                WITH_JOURNAL(test_errno_is_told_and_given_back),
                WITH_JOURNAL(test_nothing_from_outside_reaches_the_journal_raw),
                WITH_JOURNAL(test_long_values_are_cut),
                WITH_JOURNAL(test_no_cookie_ever),
                WITH_JOURNAL(test_a_head_of_any_size_is_one_entry),
                WITH_JOURNAL(test_transactions_beyond_the_rate_are_counted),
                WITH_JOURNAL(test_warnings_have_a_rate_for_each_event),
                WITH_JOURNAL(test_what_was_suppressed_is_told_when_all_is_quiet),
                WITH_JOURNAL(test_one_that_was_suppressed_is_told_as_one),
                WITH_JOURNAL(test_flood_costs_one_line_a_second),
                cmocka_unit_test(test_kinds_of_transactions_have_an_end),
                WITH_JOURNAL(test_full_journal_drops_and_counts),
                WITH_JOURNAL(test_journal_may_go_and_come_back),
                WITH_JOURNAL(test_threads_lose_no_count),
                WITH_JOURNAL(test_observer_hears_whatever_level_and_rate),
                WITH_LINES(test_line_reads_well),
                WITH_LINES(test_full_pipe_drops_and_counts),
                cmocka_unit_test(test_levels_have_names),
                cmocka_unit_test(test_every_event_has_an_id_of_its_own),
                cmocka_unit_test(test_every_event_is_called_something_in_words),
                WITH_LINES(test_journal_stream_is_recognised),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
