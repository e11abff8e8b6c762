/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "temp-dir.h"

#include "core/text.h"
#include "io/conf-files.h"
#include "io/conf-ini.h"
#include "io/conf-internal.h"
#include "io/conf-keys.h"

/* Three trees in a directory of their own. */
typedef struct Trees {
        char *top, *dirs[3];
} Trees;

static int set_up(void **state) {
        static const char *const names[] = { "usr", "run", "etc" };
        Trees *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        t->top = temp_dir_make("conf");
        for (size_t i = 0; i < 3; i++) {
                assert_true(asprintf(&t->dirs[i], "%s/%s", t->top, names[i]) > 0);
                assert_int_equal(mkdir(t->dirs[i], 0700), 0);
        }
        *state = t;
        return 0;
}

static int tear_down(void **state) {
        Trees *t = *state;

        temp_dir_remove(t->top);
        for (size_t i = 0; i < 3; i++)
                free(t->dirs[i]);
        free(t);
        return 0;
}

/* Writes tree/name, making the one directory that name may have in it. */
static void put(const Trees *t, size_t tree, const char *name, const char *text) {
        _cleanup_free_ char *path = NULL;
        char *slash;
        FILE *f;

        assert_true(asprintf(&path, "%s/%s", t->dirs[tree], name) > 0);
        slash = strrchr(path, '/');
        *slash = '\0';
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
        *slash = '/';
        f = fopen(path, "we");
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

static int load(const Trees *t, ConfProgram program, const char *instance, void **ret, ConfIssues *issues) {
        ConfRequest request = {
                .program = program, .roots = { { t->dirs[0], t->dirs[1], t->dirs[2] } }, .instance = instance,
        };

        return conf_load_from(&request, ret, issues);
}

static int load_rs_text(const char *text, RsConf **ret, ConfIssues *issues) {
        void *conf;
        int r = conf_load_bytes(CONF_RS, "rs.ini", slice_of(text), &conf, issues);

        if (r == 0)
                *ret = conf;
        return r;
}

static int load_peer_text(const char *text, PeerConf **ret, ConfIssues *issues) {
        void *conf;
        int r = conf_load_bytes(CONF_PEER, "peer.ini", slice_of(text), &conf, issues);

        if (r == 0)
                *ret = conf;
        return r;
}

static void test_defaults_of_the_registration_server(void **state) {
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_(rs_conf_free_p) RsConf *c = NULL;

        (void) state;
        assert_int_equal(load_rs_text("", &c, &issues), 0);
        assert_int_equal(issues.n_issues, 0);
        assert_int_equal(c->common.n_listen, 1);
        assert_true(c->common.listen[0].any_address && !c->common.listen[0].is_auto);
        assert_int_equal(c->common.listen[0].endpoint.port, 65423);
        assert_int_equal(c->common.max_connections, 4096);
        assert_int_equal(c->common.max_connections_per_source, 256);
        assert_true(c->common.request_timeout == 5 * USEC_PER_SEC);
        assert_true(c->common.idle_timeout == 60 * USEC_PER_SEC);
        assert_true(c->connection_lifetime == USEC_PER_HOUR);
        assert_true(c->ttl == 7200 * USEC_PER_SEC);
        assert_true(c->keep_alive == 2400 * USEC_PER_SEC);
        assert_int_equal(c->max_peers, 1000000);
        assert_int_equal(c->max_peers_per_source, 1024);
        assert_int_equal(c->peers_per_reply, 1000);
        assert_true(c->cookie_retention == 30 * USEC_PER_DAY);
        assert_int_equal(c->n_advertise_from + c->common.n_allow + c->common.n_deny, 0);
        assert_int_equal(c->common.rate_per_source, 200);
        assert_int_equal(c->common.burst, 1000);
        assert_string_equal(c->database, "registry.db");
        assert_int_equal(c->common.log_level, LOG_LEVEL_INFO);
        assert_int_equal(c->common.transactions_per_sec, 500);
}

static void test_defaults_of_the_peer(void **state) {
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_(peer_conf_free_p) PeerConf *c = NULL;

        (void) state;
        assert_int_equal(load_peer_text("", &c, &issues), 0);
        assert_int_equal(c->common.n_listen, 1);
        assert_int_equal(c->common.listen[0].endpoint.port, 65424);
        assert_int_equal(c->common.max_connections, 16384);
        assert_int_equal(c->threads, 0);
        assert_true(c->min_transfer_rate == 1024);
        assert_true(c->max_upload_rate == UINT64_MAX);
        assert_true(c->cache_size == UINT64_C(64) << 20);
        assert_int_equal(c->n_servers + c->n_static_peers + c->n_allow_uids + c->n_allow_gids, 0);
        assert_false(c->has_advertise);
        assert_true(c->registration_enabled);
        assert_int_equal(c->remember_max, 256);
        assert_true(c->connect_timeout == 2 * USEC_PER_SEC);
        assert_true(c->hedge_after == 300 * USEC_PER_MSEC);
        assert_true(c->quarantine == 5 * USEC_PER_SEC);
        assert_true(c->index_ttl == 7200 * USEC_PER_SEC);
        assert_true(c->pull_interval == 10 * USEC_PER_MINUTE);
        assert_int_equal(c->max_entries, 1000000);
        assert_null(c->store_path);
        assert_true(c->max_file_size == 64 << 20);
        assert_int_equal(c->quorum, 2);
        assert_int_equal(c->accept, GRADE_SINGLE);
        assert_null(c->manifest);
}

static void test_infinite_time_where_it_means_something(void **state) {
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_(peer_conf_free_p) PeerConf *c = NULL;

        (void) state;
        assert_int_equal(load_peer_text("[Index]\nPullIntervalSec=infinity\n", &c, &issues), 0);
        assert_true(c->pull_interval == USEC_INFINITY);
        assert_true(c->index_ttl == 7200 * USEC_PER_SEC);
}

static void test_every_kind_of_value_arrives(void **state) {
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_(peer_conf_free_p) PeerConf *c = NULL;
        char text[ENDPOINT_TEXT_SIZE];

        (void) state;
        assert_int_equal(load_peer_text("\xef\xbb\xbf# comment\r\n"
                                        "; another, \\\n"
                                        "[Server]\r\n"
                                        "ListenStream = 127.0.0.1:auto\r\n"
                                        "Threads=2\n"
                                        "MinTransferRate=0\n"
                                        "MaxUploadRate=1.5M\n"
                                        "CacheSize=2M\n"
                                        "[Registration]\n"
                                        "Server=rs.example \t [2001:db8::1]:99\n"
                                        "Server=RS.example:65423\n"
                                        "Advertise=192.0.2.7\n"
                                        "Enabled=off\n"
                                        "[Peers]\n"
                                        "Static=192.0.2.1:1 [2001:db8::2]:2 192.0.2.1:1\n"
                                        "[Store]\n"
                                        "Path=/srv/r f;c#\n"
                                        "[Integrity]\n"
                                        "Quorum=64\nAccept=verified\nManifest=/srv/SHA256SUMS\n"
                                        "[Control]\n"
                                        "AllowUsers=root 4242\n"
                                        "AllowGroups=root\n"
                                        "[Access]\n"
                                        "Allow=localhost 192.0.2.0/24\n"
                                        "[Log]\n"
                                        "Level=DEBUG", &c, &issues), 0);
        assert_int_equal(issues.n_issues, 0);
        assert_int_equal(c->common.n_listen, 1);
        assert_true(c->common.listen[0].is_auto && !c->common.listen[0].any_address);
        assert_int_equal(c->threads, 2);
        assert_true(c->min_transfer_rate == 0);
        assert_true(c->max_upload_rate == 3 << 19);
        assert_true(c->cache_size == 2 << 20);
        /* The same server or peer twice is one. */
        assert_int_equal(c->n_servers, 2);
        assert_string_equal(c->servers[0].text, "rs.example");
        assert_int_equal(c->servers[0].port, 65423);
        assert_string_equal(c->servers[1].text, "[2001:db8::1]:99");
        assert_string_equal(c->servers[1].host, "2001:db8::1");
        assert_true(c->has_advertise);
        assert_false(c->registration_enabled);
        assert_int_equal(c->n_static_peers, 2);
        endpoint_to_text(&c->static_peers[1], text);
        assert_string_equal(text, "[2001:db8::2]:2");
        assert_string_equal(c->store_path, "/srv/r f;c#");
        assert_int_equal(c->quorum, 64);
        assert_int_equal(c->accept, GRADE_VERIFIED);
        assert_string_equal(c->manifest, "/srv/SHA256SUMS");
        assert_int_equal(c->n_allow_uids, 2);
        assert_int_equal(c->allow_uids[1], 4242);
        assert_int_equal(c->n_allow_gids, 1);
        assert_int_equal(c->common.n_allow, 3);
        assert_int_equal(c->common.log_level, LOG_LEVEL_DEBUG);
}

static void test_empty_value_gives_the_default_back(void **state) {
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_(rs_conf_free_p) RsConf *c = NULL;
        _cleanup_(peer_conf_free_p) PeerConf *p = NULL;

        (void) state;
        assert_int_equal(load_rs_text("[Server]\nListenStream=1\nListenStream=2\nListenStream=\n"
                                      "ListenStream=3\nListenStream=4\n"
                                      "MaxConnections=7\nMaxConnections=\n"
                                      "[Access]\nAllow=any\nAllow=\n[State]\nDatabase=sqlite:x\nDatabase=\n", &c,
                                      &issues), 0);
        assert_int_equal(c->common.n_listen, 2);
        assert_int_equal(c->common.listen[0].endpoint.port, 3);
        assert_int_equal(c->common.max_connections, 4096);
        assert_int_equal(c->common.n_allow, 0);
        assert_string_equal(c->database, "registry.db");

        assert_int_equal(load_peer_text("[Server]\nListenStream=1\nListenStream=\n[Store]\nPath=/a\nPath=\n"
                                        "[Registration]\nAdvertise=192.0.2.1\nAdvertise=\nServer=a\nServer=\n", &p,
                                        &issues), 0);
        assert_int_equal(p->common.n_listen, 1);
        assert_int_equal(p->common.listen[0].endpoint.port, 65424);
        assert_null(p->store_path);
        assert_false(p->has_advertise);
        assert_int_equal(p->n_servers, 0);
}

static void test_wrong_values_say_what_is_allowed(void **state) {
        static const struct {
                ConfProgram program;
                const char *text;
                unsigned line;
                const char *message;
        } cases[] = {
                { CONF_RS, "[Server]\nMaxConnections=0\n", 2, "Server.MaxConnections=: 0 is not in 1..1000000." },
                { CONF_RS, "[Server]\n\nMaxConnections=-1\n", 3,
                  "Server.MaxConnections=: \"-1\" is not a whole number." },
#ifdef HAVE_INI_MAX_LINE
                { CONF_RS, "[Server]\nMaxConnections=7 ; seven\n", 2,
                  "Server.MaxConnections=: \"7 ; seven\" is not a whole number." },
#endif
                { CONF_RS, "[Server]\nMaxConnections=4294967297\n", 2,
                  "Server.MaxConnections=: 4294967297 is not in 1..1000000." },
                { CONF_RS, "[Server]\nRequestTimeoutSec=2h\n", 2,
                  "Server.RequestTimeoutSec=: 2h is not in 100ms..1h." },
                { CONF_RS, "[Server]\nRequestTimeoutSec=5 parsecs\n", 2,
                  "Server.RequestTimeoutSec=: \"5 parsecs\" is not a time such as 5s, 1min 30s or 30d." },
                { CONF_RS, "[Server]\nListenStream=auto\n", 2,
                  "Server.ListenStream=: \"auto\" is not of the form PORT, ADDRESS:PORT or [IPV6]:PORT with a port "
                  "from 1 to 65535." },
                { CONF_PEER, "[Server]\nListenStream=0\n", 2,
                  "Server.ListenStream=: \"0\" is not of the form PORT, ADDRESS:PORT or [IPV6]:PORT with a port "
                  "from 1 to 65535 or \"auto\"." },
                { CONF_RS, "[Registration]\nKeepAliveSec=3h\nTTLSec=2h\n", 2,
                  "Registration.KeepAliveSec=: 3h is neither 0 nor in 1s..2h, which is TTLSec=." },
                { CONF_RS, "[Registration]\nKeepAliveSec=10ms\n", 2,
                  "Registration.KeepAliveSec=: 10ms is neither 0 nor in 1s..2h, which is TTLSec=." },
                { CONF_RS, "[State]\nDatabase=sqlite:../x\n", 2,
                  "State.Database=: \"sqlite:../x\" is not of the form sqlite:NAME, "
                  "where NAME is a file name without /." },
                { CONF_RS, "[State]\nDatabase=postgres:x\n", 2,
                  "State.Database=: \"postgres:x\" is not of the form sqlite:NAME, "
                  "where NAME is a file name without /." },
                { CONF_RS, "[State]\nDatabase=sqlite:\n", 2,
                  "State.Database=: \"sqlite:\" is not of the form sqlite:NAME, "
                  "where NAME is a file name without /." },
                { CONF_RS, "[Log]\nLevel=\xe2\x80\xaeloud\n", 2,
                  "Log.Level=: \"\\u{202e}loud\" is not a log level: "
                  "emerg, alert, crit, err, warning, notice, info, debug." },
                { CONF_RS, "[Access]\nAllow=10.0.0.0/8 nobody\n", 2,
                  "Access.Allow=: \"nobody\" is not of the form ADDRESS, ADDRESS/BITS, localhost, link-local or any." },
                { CONF_PEER, "[Registration]\nAdvertise=224.0.0.1\n", 2,
                  "Registration.Advertise=: \"224.0.0.1\" is not an address that a peer can be reached at." },
                { CONF_PEER, "[Registration]\nEnabled=maybe\n", 2,
                  "Registration.Enabled=: \"maybe\" is neither yes nor no." },
                { CONF_PEER, "[Registration]\nServer=rs:0\n", 2,
                  "Registration.Server=: \"rs:0\" is not of the form HOST or HOST:PORT with a port "
                  "from 1 to 65535." },
                { CONF_PEER, "[Peers]\nStatic=192.0.2.1\n", 2,
                  "Peers.Static=: \"192.0.2.1\" is not of the form ADDRESS:PORT or [IPV6]:PORT of a peer." },
                { CONF_PEER, "[Store]\nPath=rfc\n", 2, "Store.Path=: \"rfc\" is not an absolute path." },
                { CONF_PEER, "[Index]\nPullIntervalSec=2d\n", 2,
                  "Index.PullIntervalSec=: 2d is not in 100ms..1d or infinity." },
                { CONF_PEER, "[Index]\nPullIntervalSec=Infinity\n", 2,
                  "Index.PullIntervalSec=: \"Infinity\" is neither a time such as 5s, 1min 30s or 30d nor infinity." },
                { CONF_PEER, "[Index]\nTTLSec=infinity\n", 2,
                  "Index.TTLSec=: \"infinity\" is not a time such as 5s, 1min 30s or 30d." },
                { CONF_PEER, "[Store]\nMaxFileSize=2T\n", 2, "Store.MaxFileSize=: 2T is not in 1..1T." },
                { CONF_PEER, "[Store]\nMaxFileSize=many\n", 2,
                  "Store.MaxFileSize=: \"many\" is not a size such as 4096, 64M or 1.5G." },
                { CONF_PEER, "[Integrity]\nQuorum=0\n", 2, "Integrity.Quorum=: 0 is not in 1..64." },
                { CONF_PEER, "[Integrity]\nQuorum=65\n", 2, "Integrity.Quorum=: 65 is not in 1..64." },
                { CONF_PEER, "[Integrity]\nAccept=disputed\n", 2,
                  "Integrity.Accept=: \"disputed\" is not a grade: single, agreed, verified." },
                { CONF_PEER, "[Integrity]\nAccept=Agreed\n", 2,
                  "Integrity.Accept=: \"Agreed\" is not a grade: single, agreed, verified." },
                { CONF_PEER, "[Integrity]\nManifest=SHA256SUMS\n", 2,
                  "Integrity.Manifest=: \"SHA256SUMS\" is not an absolute path." },
                { CONF_PEER, "[Control]\nAllowUsers=root no-such-user-here\n", 2,
                  "Control.AllowUsers=: \"no-such-user-here\" is not a user of this system." },
                { CONF_PEER, "[Control]\nAllowGroups=no-such-group-here\n", 2,
                  "Control.AllowGroups=: \"no-such-group-here\" is not a group of this system." },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
                void *conf = &issues;

                assert_int_equal(conf_load_bytes(cases[i].program, "x.ini", slice_of(cases[i].text), &conf, &issues),
                                 CONF_INVALID);
                assert_ptr_equal(conf, &issues);
                assert_int_equal(issues.n_issues, 1);
                assert_true(issues.issues[0].is_error);
                assert_string_equal(issues.issues[0].file, "x.ini");
                assert_string_equal(issues.issues[0].text, cases[i].message);
                assert_int_equal(issues.issues[0].line, cases[i].line);
        }
}

static void test_bad_lines_are_named(void **state) {
        static const struct {
                Slice text;
                unsigned line;
                const char *message;
        } cases[] = {
                { SLICE_LITERAL("[Server]\n MaxConnections=7\n"), 2,
                  "The line is indented; a value can't go on in a second line." },
                { SLICE_LITERAL("[Server]\nListenStream=1\n\t2\n"), 3,
                  "The line is indented; a value can't go on in a second line." },
                { SLICE_LITERAL("[Server]\nMaxConnections=\\\n"), 2,
                  "The line ends in a backslash; a value can't go on in a second line." },
                { SLICE_LITERAL("[Server\n"), 1, "The line begins with [ but is not of the form [Section]." },
                { SLICE_LITERAL("[Server] ; x\n"), 1, "The line begins with [ but is not of the form [Section]." },
                { SLICE_LITERAL("[]"), 1, "The line begins with [ but is not of the form [Section]." },
                { SLICE_LITERAL("\n\n[Server]\nMaxConnections\n"), 4,
                  "The line is neither [Section] nor Key=value nor a comment." },
                { SLICE_LITERAL("[Server]\nMaxConnections: 7\n"), 2,
                  "The line is neither [Section] nor Key=value nor a comment." },
                { SLICE_LITERAL("[Server]\nMaxConnections:x=7\n"), 2,
                  "The line is neither [Section] nor Key=value nor a comment." },
                { SLICE_LITERAL("[Server]\n=7\n"), 2, "The line is neither [Section] nor Key=value nor a comment." },
                { SLICE_LITERAL("[Server]\nMaxConnections=7\0007\n"), 2, "The line has a NUL byte in it." },
                { SLICE_LITERAL("[Server]\n# \0\n"), 2, "The line has a NUL byte in it." },
                { SLICE_LITERAL("[Server]\n# \xff\n"), 2, "The line is not UTF-8." },
                { SLICE_LITERAL("[Server]\nMaxConnections=\033[2J\n"), 2, "The line has a control character in it." },
                { SLICE_LITERAL("[Server]\nMaxConnections=1\r2\n"), 2, "The line has a control character in it." },
                { SLICE_LITERAL("[0123456789012345678901234567890123456789012345678X]\n"), 1,
                  "The name of the section is too long." },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
                void *conf;

                assert_int_equal(conf_load_bytes(CONF_RS, "x.ini", cases[i].text, &conf, &issues), CONF_INVALID);
                assert_int_equal(issues.n_issues, 1);
                assert_string_equal(issues.issues[0].text, cases[i].message);
                assert_int_equal(issues.issues[0].line, cases[i].line);
        }
}

static void test_all_errors_of_a_file_are_told(void **state) {
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        RsConf *c = NULL;

        (void) state;
        assert_int_equal(load_rs_text("[Server]\nMaxConnections=0\nnothing\nMaxConnectionsPerSource=0\n", &c, &issues),
                         CONF_INVALID);
        assert_null(c);
        assert_int_equal(issues.n_issues, 3);
        assert_int_equal(issues.issues[0].line, 2);
        assert_int_equal(issues.issues[1].line, 3);
        assert_int_equal(issues.issues[2].line, 4);
}

static void test_unknown_names_are_warnings(void **state) {
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_(rs_conf_free_p) RsConf *c = NULL;

        (void) state;
        assert_int_equal(load_rs_text("Early=1\n"
                                      "[Server]\n"
                                      "maxconnections=7\n"
                                      "Threads=2\n"
                                      "[Sever]\n"
                                      "MaxConnections=7\n"
                                      "[X-Anything at all, and long, really long, longer than inih takes]\n"
                                      "Foo=bar\n"
                                      "[Registration]\n"
                                      "MaxPeers=5\n", &c, &issues), 0);
        assert_int_equal(c->common.max_connections, 4096);
        assert_int_equal(c->max_peers, 5);
        assert_int_equal(issues.n_issues, 4);
        assert_string_equal(issues.issues[0].text, "The assignment stands before any [Section], ignored.");
        assert_string_equal(issues.issues[1].text, "Unknown key maxconnections= in section [Server], ignored.");
        assert_int_equal(issues.issues[1].line, 3);
        assert_string_equal(issues.issues[2].text, "Unknown key Threads= in section [Server], ignored.");
        assert_string_equal(issues.issues[3].text, "Unknown section [Sever], ignored.");
        assert_int_equal(issues.issues[3].line, 5);
        for (size_t i = 0; i < issues.n_issues; i++)
                assert_false(issues.issues[i].is_error);
}

static void test_issues_end_at_a_hundred(void **state) {
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_buf_ Buf text = BUF_INIT(1 << 20);
        void *conf;

        (void) state;
        assert_int_equal(buf_append_string(&text, "[Server]\n"), 0);
        for (unsigned i = 0; i < 149; i++)
                assert_int_equal(buf_printf(&text, "Unknown%u=1\n", i), 0);
        /* An error is not lost behind warnings. */
        assert_int_equal(buf_append_string(&text, "MaxConnections=0\n"), 0);
        assert_int_equal(conf_load_bytes(CONF_RS, "x.ini", buf_slice(&text), &conf, &issues), CONF_INVALID);
        assert_int_equal(issues.n_issues, CONF_ISSUES_MAX);
        assert_null(issues.issues[99].file);
        assert_string_equal(issues.issues[99].text, "There are 51 more errors and warnings.");
        assert_true(issues.issues[99].is_error);
        assert_false(issues.issues[98].is_error);
}

#ifdef HAVE_INI_MAX_LINE
static void test_long_lines_are_whole_up_to_64k(void **state) {
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_(peer_conf_free_p) PeerConf *c = NULL;
        _cleanup_buf_ Buf text = BUF_INIT(1 << 20);
        void *conf;

        (void) state;
        /* Longer than inih's own 199 bytes. */
        assert_int_equal(buf_append_string(&text, "[Registration]\nServer="), 0);
        for (unsigned i = 0; i < 30; i++)
                assert_int_equal(buf_printf(&text, "registration-server-%02u.example ", i), 0);
        assert_int_equal(buf_append_string(&text, "\nEnabled=no\n"), 0);
        assert_int_equal(load_peer_text("", &c, &issues), 0);
        c = peer_conf_free(c);
        assert_int_equal(conf_load_bytes(CONF_PEER, "x.ini", buf_slice(&text), &conf, &issues), 0);
        c = conf;
        assert_int_equal(c->n_servers, 30);
        assert_string_equal(c->servers[29].host, "registration-server-29.example");
        assert_false(c->registration_enabled);

        /* 64 KiB exactly, then one byte more. */
        for (size_t more = 0; more < 2; more++) {
                buf_clear(&text);
                assert_int_equal(buf_append_string(&text, "[Store]\nPathX="), 0);
                for (size_t i = strlen("PathX="); i < CONF_INI_LINE_MAX + more; i++)
                        assert_int_equal(buf_append_char(&text, 'a'), 0);
                assert_int_equal(buf_append_string(&text, "\nPath=relative"), 0);
                conf_issues_done(&issues);
                assert_int_equal(conf_load_bytes(CONF_PEER, "x.ini", buf_slice(&text), &conf, &issues), CONF_INVALID);
                assert_int_equal(issues.n_issues, 2);
                assert_int_equal(issues.issues[0].is_error, more == 1);
                assert_int_equal(issues.issues[0].line, 2);
                assert_int_equal(issues.issues[1].line, 3);
                if (more == 1)
                        assert_string_equal(issues.issues[0].text, "The line is too long.");
        }
}

#else
static void test_what_this_inih_would_cut_is_refused(void **state) {
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_buf_ Buf text = BUF_INIT(4096);
        void *conf;

        (void) state;
        assert_int_equal(buf_append_string(&text, "[Store]\nPath=/a ;b\nPath=/"), 0);
        for (unsigned i = 0; i < 200; i++)
                assert_int_equal(buf_append_char(&text, 'a'), 0);
        assert_int_equal(conf_load_bytes(CONF_PEER, "x.ini", buf_slice(&text), &conf, &issues), CONF_INVALID);
        assert_int_equal(issues.n_issues, 2);
        assert_int_equal(issues.issues[0].line, 2);
        assert_int_equal(issues.issues[1].line, 3);
}
#endif

static void test_lists_have_an_end(void **state) {
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_buf_ Buf text = BUF_INIT(1 << 20);
        void *conf;

        (void) state;
        assert_int_equal(buf_append_string(&text, "[Registration]\n"), 0);
        for (unsigned i = 0; i < 33; i++)
                assert_int_equal(buf_printf(&text, "Server=rs%u\n", i), 0);
        assert_int_equal(conf_load_bytes(CONF_PEER, "x.ini", buf_slice(&text), &conf, &issues), CONF_INVALID);
        assert_int_equal(issues.n_issues, 1);
        assert_int_equal(issues.issues[0].line, 34);
        assert_string_equal(issues.issues[0].text, "Registration.Server=: more than 32 entries.");
}

static void test_later_trees_replace_and_drop_ins_add(void **state) {
        const Trees *t = *state;
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_(rs_conf_free_p) RsConf *c = NULL;
        _cleanup_free_ char *masked = NULL;
        void *conf;

        put(t, 0, "rs.ini", "[Server]\nMaxConnections=10\nMaxConnectionsPerSource=11\n");
        put(t, 2, "rs.ini", "[Server]\nMaxConnections=20\nListenStream=1\n");
        put(t, 0, "rs.ini.d/50-a.ini", "[Registration]\nMaxPeers=30\nMaxPeersPerSource=31\n");
        put(t, 1, "rs.ini.d/40-b.ini", "[Server]\nMaxConnections=40\n[Registration]\nMaxPeers=41\n");
        put(t, 2, "rs.ini.d/60-c.ini", "[Server]\nListenStream=2\n");
        /* Of the same name: the later tree's stands, also an empty one. */
        put(t, 0, "rs.ini.d/70-d.ini", "[Registration]\nMaxPeers=50\n");
        put(t, 2, "rs.ini.d/70-d.ini", "");
        put(t, 0, "rs.ini.d/80-e.ini", "[Registration]\nMaxPeers=60\n");
        assert_true(asprintf(&masked, "%s/rs.ini.d/80-e.ini", t->dirs[2]) > 0);
        assert_int_equal(symlink("/dev/null", masked), 0);
        /* Not drop-ins. */
        put(t, 2, "rs.ini.d/90-f.ini.bak", "[Server]\nMaxConnections=0\n");
        put(t, 2, "rs.ini.d/.90-g.ini", "[Server]\nMaxConnections=0\n");

        assert_int_equal(load(t, CONF_RS, NULL, &conf, &issues), 0);
        c = conf;
        assert_int_equal(issues.n_issues, 0);
        assert_int_equal(c->common.max_connections, 40);
        assert_int_equal(c->common.max_connections_per_source, 256);
        assert_int_equal(c->max_peers, 30);
        assert_int_equal(c->max_peers_per_source, 31);
        assert_int_equal(c->common.n_listen, 2);
        assert_int_equal(c->common.listen[1].endpoint.port, 2);
}

static void test_files_are_listed_in_order(void **state) {
        const Trees *t = *state;
        _cleanup_(string_list_free_p) StringList files = NULL;
        ConfRequest request = { .program = CONF_PEER, .roots = { { t->dirs[0], t->dirs[1], t->dirs[2] } } };
        static const char *const expected[] = { "/run/peer.ini", "/usr/peer.ini.d/10.ini", "/etc/peer.ini.d/20.ini",
        "/run/peer.ini.d/30.ini" };

        assert_int_equal(conf_files_from(&request, &files), 0);
        assert_non_null(files);
        assert_null(files[0]);
        files = string_list_free(files);

        put(t, 1, "peer.ini", "");
        put(t, 1, "peer.ini.d/30.ini", "");
        put(t, 2, "peer.ini.d/20.ini", "");
        put(t, 0, "peer.ini.d/20.ini", "");
        put(t, 0, "peer.ini.d/10.ini", "");
        put(t, 2, "peer@other.ini", "");
        assert_int_equal(conf_files_from(&request, &files), 0);
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                assert_non_null(files[i]);
                assert_int_equal(strncmp(files[i], t->top, strlen(t->top)), 0);
                assert_string_equal(files[i] + strlen(t->top), expected[i]);
        }
        assert_null(files[ELEMENTSOF(expected)]);
}

static void test_no_files_mean_defaults(void **state) {
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        ConfRequest request = { .program = CONF_PEER, .roots = { { "/nonexistent/a", "/nonexistent/b",
        "/dev/null" } } };
        void *conf;

        (void) state;
        assert_int_equal(conf_load_from(&request, &conf, &issues), 0);
        assert_int_equal(issues.n_issues, 0);
        (void) peer_conf_free(conf);
}

static void test_instance_needs_its_file(void **state) {
        const Trees *t = *state;
        static const char *const bad[] = { "", "../x", "a/b", ".", "a b", "\xc3\xa9" };
        void *conf;

        put(t, 2, "peer.ini", "[Server]\nThreads=1\n");
        {
                _cleanup_(conf_issues_done) ConfIssues issues = { 0 };

                assert_int_equal(load(t, CONF_PEER, "alpha", &conf, &issues), CONF_INVALID);
                assert_string_equal(issues.issues[0].file, "peer@alpha.ini");
        }
        {
                _cleanup_(conf_issues_done) ConfIssues issues = { 0 };

                put(t, 2, "peer@alpha.ini", "[Server]\nThreads=2\n");
                put(t, 2, "peer@alpha.ini.d/a.ini", "[Peers]\nRememberMax=3\n");
                assert_int_equal(load(t, CONF_PEER, "alpha", &conf, &issues), 0);
                assert_int_equal(((PeerConf *) conf)->threads, 2);
                assert_int_equal(((PeerConf *) conf)->remember_max, 3);
                (void) peer_conf_free(conf);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_(conf_issues_done) ConfIssues issues = { 0 };

                assert_int_equal(load(t, CONF_PEER, bad[i], &conf, &issues), CONF_INVALID);
                assert_int_equal(issues.n_issues, 1);
        }
}

static void test_given_file_replaces_the_trees(void **state) {
        const Trees *t = *state;
        _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
        _cleanup_(rs_conf_free_p) RsConf *c = NULL;
        _cleanup_free_ char *path = NULL, *missing = NULL;
        PeerConf *peer;

        put(t, 2, "mine.ini", "[Server]\nMaxConnections=5\nMaxConnections=x\n");
        assert_true(asprintf(&path, "%s/mine.ini", t->dirs[2]) > 0);
        assert_int_equal(conf_load_rs(path, &c, &issues), CONF_INVALID);
        assert_string_equal(issues.issues[0].file, path);
        conf_issues_done(&issues);

        put(t, 2, "mine.ini", "[Server]\nMaxConnections=5");
        assert_int_equal(conf_load_rs(path, &c, &issues), 0);
        assert_int_equal(c->common.max_connections, 5);

        assert_true(asprintf(&missing, "%s/missing.ini", t->dirs[2]) > 0);
        assert_int_equal(conf_load_peer(missing, NULL, &peer, &issues), CONF_INVALID);
        assert_string_equal(issues.issues[0].file, missing);
        assert_int_equal(issues.issues[0].line, 0);
        assert_string_equal(issues.issues[0].text, "The file can't be read: No such file or directory.");
}

static void test_what_is_no_file_is_an_error(void **state) {
        const Trees *t = *state;
        static const struct {
                const char *path, *message;
        } cases[] = {
                { "/dev/zero", "The file is larger than 1048576 bytes." },
                { "/", "The file can't be read: Is a directory." },
                { "/nonexistent", "The file can't be read: No such file or directory." },
        };
        _cleanup_free_ char *fifo = NULL, *link = NULL;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
                RsConf *c;

                assert_int_equal(conf_load_rs(cases[i].path, &c, &issues), CONF_INVALID);
                assert_int_equal(issues.n_issues, 1);
                assert_string_equal(issues.issues[0].text, cases[i].message);
        }
        {
                /* Nobody writes: it must not hang. */
                _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
                _cleanup_(rs_conf_free_p) RsConf *c = NULL;

                assert_true(asprintf(&fifo, "%s/fifo", t->top) > 0);
                assert_int_equal(mkfifo(fifo, 0600), 0);
                assert_int_equal(conf_load_rs(fifo, &c, &issues), 0);
        }
        {
                _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
                void *conf;

                assert_true(asprintf(&link, "%s/rs.ini", t->dirs[2]) > 0);
                assert_int_equal(symlink("nowhere", link), 0);
                assert_int_equal(load(t, CONF_RS, NULL, &conf, &issues), CONF_INVALID);
                assert_string_equal(issues.issues[0].file, link);
        }
}

static void test_a_file_of_one_mebibyte_is_read(void **state) {
        const Trees *t = *state;
        _cleanup_buf_ Buf text = BUF_INIT(CONF_INI_FILE_MAX + 2);
        void *conf;

        assert_int_equal(buf_append_string(&text, "[Server]\nMaxConnections=5\n"), 0);
        while (text.size < CONF_INI_FILE_MAX)
                assert_int_equal(buf_append_char(&text, text.size % 100 == 0 ? '\n' : '#'), 0);
        for (size_t more = 0; more < 2; more++) {
                _cleanup_(conf_issues_done) ConfIssues issues = { 0 };

                assert_int_equal(buf_append_char(&text, '\0'), 0);
                put(t, 2, "rs.ini", text.data);
                text.data[text.size - 1] = '#';
                assert_int_equal(load(t, CONF_RS, NULL, &conf, &issues), more == 0 ? 0 : CONF_INVALID);
                if (more == 0)
                        (void) rs_conf_free(conf);
        }
}

static void test_drop_ins_end_at_a_hundred(void **state) {
        const Trees *t = *state;
        char name[64];
        void *conf;

        for (unsigned i = 0; i <= CONF_DROP_INS_MAX; i++) {
                _cleanup_(conf_issues_done) ConfIssues issues = { 0 };

                (void) snprintf(name, sizeof(name), "rs.ini.d/%u.ini", i);
                put(t, i % 3, name, "[Server]\nMaxConnections=5\n");
                if (i < CONF_DROP_INS_MAX - 1)
                        continue;
                assert_int_equal(load(t, CONF_RS, NULL, &conf, &issues), i < CONF_DROP_INS_MAX ? 0 : CONF_INVALID);
                if (i < CONF_DROP_INS_MAX)
                        (void) rs_conf_free(conf);
                else
                        assert_string_equal(issues.issues[0].text, "There are more than 100 drop-ins.");
        }
}

/* The file is read as a whole, so "byte by byte" is: every beginning of a file is taken or refused without harm. */
static void test_every_beginning_of_a_file_is_judged(void **state) {
        static const char text[] = "\xef\xbb\xbf[Server]\r\nListenStream=[::1]:80 81\n# \xc3\xa9\n"
                                   "[Registration]\nTTLSec=1.5h 3min\n"
                                   "KeepAliveSec=1min\nAdvertiseFrom=link-local 10.0.0.0/8\n"
                                   "[State]\nDatabase=sqlite:a.db\n";

        (void) state;
        for (size_t n = 0; n < sizeof(text); n++) {
                _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
                _cleanup_free_ char *copy = malloc(n + 1);
                void *conf = NULL;
                int r;

                assert_non_null(copy);
                memcpy(copy, text, n);
                r = conf_load_bytes(CONF_RS, "x.ini", (Slice){ copy, n }, &conf, &issues);
                assert_true(r == 0 || r == CONF_INVALID);
                assert_true((r == CONF_INVALID) == !conf);
                (void) rs_conf_free(conf);
        }
}

static void test_every_key_has_its_words_and_a_default_that_is_taken(void **state) {
        (void) state;
        for (ConfProgram program = CONF_RS; program <= CONF_PEER; program++) {
                size_t n;
                const ConfKey *keys = conf_keys(program, &n);

                for (size_t i = 0; i < n; i++) {
                        assert_true(strlen(keys[i].comment) > 0);
                        assert_ptr_equal(conf_key_find(program, keys[i].section, keys[i].name), &keys[i]);
                        /* Sections stand together, or the template would open one twice. */
                        for (size_t k = 0; k + 1 < i; k++)
                                if (strcmp(keys[k].section, keys[i].section) == 0)
                                        assert_string_equal(keys[i - 1].section, keys[i].section);
                        if (keys[i].preset) {
                                _cleanup_(conf_issues_done) ConfIssues issues = { 0 };
                                char text[256];
                                void *conf;

                                (void) snprintf(text, sizeof(text), "[%s]\n%s=%s\n", keys[i].section, keys[i].name,
                                                keys[i].preset);
                                assert_int_equal(conf_load_bytes(program, "x.ini", slice_of(text), &conf, &issues), 0);
                                assert_int_equal(issues.n_issues, 0);
                                if (program == CONF_RS)
                                        (void) rs_conf_free(conf);
                                else
                                        (void) peer_conf_free(conf);
                        }
                }
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults_of_the_registration_server),
                cmocka_unit_test(test_defaults_of_the_peer),
                cmocka_unit_test(test_infinite_time_where_it_means_something),
                cmocka_unit_test(test_every_kind_of_value_arrives),
                cmocka_unit_test(test_empty_value_gives_the_default_back),
                cmocka_unit_test(test_wrong_values_say_what_is_allowed),
                cmocka_unit_test(test_bad_lines_are_named),
                cmocka_unit_test(test_all_errors_of_a_file_are_told),
                cmocka_unit_test(test_unknown_names_are_warnings),
                cmocka_unit_test(test_issues_end_at_a_hundred),
#ifdef HAVE_INI_MAX_LINE
                cmocka_unit_test(test_long_lines_are_whole_up_to_64k),
#else
                cmocka_unit_test(test_what_this_inih_would_cut_is_refused),
#endif
                cmocka_unit_test(test_lists_have_an_end),
                cmocka_unit_test_setup_teardown(test_later_trees_replace_and_drop_ins_add, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_files_are_listed_in_order, set_up, tear_down),
                cmocka_unit_test(test_no_files_mean_defaults),
                cmocka_unit_test_setup_teardown(test_instance_needs_its_file, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_given_file_replaces_the_trees, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_what_is_no_file_is_an_error, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_file_of_one_mebibyte_is_read, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_drop_ins_end_at_a_hundred, set_up, tear_down),
                cmocka_unit_test(test_every_beginning_of_a_file_is_judged),
                cmocka_unit_test(test_every_key_has_its_words_and_a_default_that_is_taken),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
