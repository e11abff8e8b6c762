/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "core/text.h"
#include "generator/drop-in.h"
#include "io/conf-internal.h"
#include "io/conf-sockets.h"

static PeerConf *load(const char *text) {
        ConfIssues issues = {};
        void *conf = NULL;

        assert_int_equal(conf_load_bytes(CONF_PEER, "peer.ini", slice_of(text), &conf, &issues), 0);
        assert_int_equal(issues.n_issues, 0);
        conf_issues_done(&issues);
        return conf;
}

/* Server.ListenStream= with these values, blanks between them. */
static PeerConf *load_listen(const char *values) {
        _cleanup_free_ char *text = NULL;

        assert_true(asprintf(&text, "[Server]\nListenStream=%s\n", values) > 0);
        return load(text);
}

static void test_text_is_as_in_the_file(void **state) {
        static const char *const texts[] = {
                "65424", "auto", "192.0.2.1:7", "0.0.0.0:65535", "[::]:1", "[2001:db8::1]:80", "127.0.0.1:auto",
                "[2001:db8:1111:2222:3333:4444:5555:6666]:auto",
        };
        char text[CONF_LISTEN_TEXT_SIZE];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(peer_conf_free_p) PeerConf *c = load_listen(texts[i]);

                conf_listen_to_text(&c->common.listen[0], text);
                assert_string_equal(text, texts[i]);
        }
}

static void test_addresses_that_no_socket_unit_can_have(void **state) {
        static const struct {
                const char *values, *reason;    /* NULL: it can */
        } cases[] = {
                { "auto", NULL },
                { "127.0.0.1:auto", NULL },
                { "7 8 192.0.2.1:9 [::1]:9", NULL },
                { "0.0.0.0:7 [::]:7", NULL },
                { "7 0.0.0.0:7", NULL },
                { "[::]:7 192.0.2.1:7", NULL },
                { "127.0.0.1:7 127.0.0.2:7", NULL },
                { "auto 7", "a socket unit can't have \"auto\" beside other addresses" },
                { "7 auto", "a socket unit can't have \"auto\" beside other addresses" },
                { "auto 127.0.0.1:auto", "a socket unit can't have \"auto\" beside other addresses" },
                { "7 192.0.2.1:7", "192.0.2.1:7 is a part of 7 already" },
                { "[::1]:7 8 7", "[::1]:7 is a part of 7 already" },
                { "7 [::]:7", "[::]:7 is a part of 7 already" },
                { "192.0.2.1:7 0.0.0.0:7", "192.0.2.1:7 is a part of 0.0.0.0:7 already" },
                { "[::]:7 [::1]:7", "[::1]:7 is a part of [::]:7 already" },
        };
        char reason[CONF_FAULT_SIZE];

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(peer_conf_free_p) PeerConf *c = load_listen(cases[i].values);
                int r = conf_listen_check(c->common.listen, c->common.n_listen, reason);

                assert_int_equal(r, cases[i].reason ? CONF_LISTEN_FAULT : 0);
                if (r != 0)
                        assert_string_equal(reason, cases[i].reason);
        }
}

/* What the socket unit has, against what the INI says. */
static void test_differences_are_sentences(void **state) {
#define COMMAND "\"systemctl daemon-reload && systemctl restart p2pdi-peerd@b.socket\"."
#define MISSING(what) "Server.ListenStream= says " what ", but p2pdi-peerd does not listen there: it will with " COMMAND
#define SURPLUS(what) "p2pdi-peerd listens on " what ", which Server.ListenStream= does not say: it stops with " COMMAND
        static const struct {
                const char *values;     /* "": none */
                bool inherited;
                const char *at[3], *sentences[3];
        } cases[] = {
                { "7", true, { "[::]:7" }, {} },
                { "7", true, { "0.0.0.0:7" }, {} },
                { "7", true, { "[::]:7", "0.0.0.0:7" }, {} },
                { "[::]:7 8 0.0.0.0:8", true, { "[::]:7", "0.0.0.0:7" }, { MISSING("8"), MISSING("0.0.0.0:8") } },
                { "[::]:7", true, { "0.0.0.0:7" }, { MISSING("[::]:7") } },
                { "0.0.0.0:7", true, { "[::]:7" }, { MISSING("0.0.0.0:7"), SURPLUS("[::]:7") } },
                { "7", true, { "127.0.0.1:7" }, { MISSING("7"), SURPLUS("127.0.0.1:7") } },
                { "127.0.0.1:7", true, { "[::]:7" }, { MISSING("127.0.0.1:7"), SURPLUS("[::]:7") } },
                { "7", true, { "[::]:8" }, { MISSING("7"), SURPLUS("[::]:8") } },
                { "7", true, { "[::]:7", "[::1]:8" }, { SURPLUS("[::1]:8") } },
                { "7", false, { "[::]:8" }, { MISSING("7"), SURPLUS("[::]:8") } },
                { "7", false, {}, { MISSING("7") } },
                { "auto", false, { "[::]:40000" }, {} },
                { "auto", true, { "[::]:65424" }, { MISSING("auto"), SURPLUS("[::]:65424") } },
                { "127.0.0.1:auto", false, { "127.0.0.1:40000" }, {} },
                { "127.0.0.1:auto", false, { "[::]:40000" }, { MISSING("127.0.0.1:auto"), SURPLUS("[::]:40000") } },
                /* Nobody says any: the shipped port, or an administrator's. */
                { "", true, { "[::]:7" }, {} },
                { "", false, { "[::]:7" }, { MISSING("65424"), SURPLUS("[::]:7") } },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const ConfListener who = { .daemon = "p2pdi-peerd", .instance = "b", .inherited = cases[i].inherited };
                _cleanup_(peer_conf_free_p) PeerConf *c = load_listen(cases[i].values);
                _cleanup_(string_list_free_p) StringList l = NULL;
                Endpoint at[3];
                size_t n = 0;

                for (; n < ELEMENTSOF(at) && cases[i].at[n]; n++)
                        assert_int_equal(endpoint_from_text(slice_of(cases[i].at[n]), &at[n]), 0);
                assert_int_equal(conf_listen_compare(&c->common, at, n, &who, &l), 0);
                for (n = 0; n < ELEMENTSOF(cases[i].sentences) && cases[i].sentences[n]; n++) {
                        assert_non_null(l && l[n] ? l[n] : NULL);
                        assert_string_equal(l[n], cases[i].sentences[n]);
                }
                assert_true(!l || !l[n]);
        }
}

/* ---- drop-ins ---- */

#define HEAD "# made by p2pdi-socket-generator from /etc/p2pdi/peer.ini\n[Unit]\nSourcePath=/etc/p2pdi/peer.ini\n"

static void test_drop_in_of_the_socket(void **state) {
        static const struct {
                const char *ini, *expected;     /* behind HEAD */
        } cases[] = {
                { "", "" },
                { "[Store]\nPath=/srv/rfc\n", "" },
                { "[Server]\nListenStream=65430\n[Access]\nAllow=192.0.2.0/24\n",
                  "[Socket]\nListenStream=\nListenStream=65430\nIPAddressDeny=any\nIPAddressAllow=192.0.2.0/24\n" },
                { "[Server]\nListenStream=192.0.2.1:7 [2001:db8::1]:8\n",
                  "[Socket]\nListenStream=\nListenStream=192.0.2.1:7\nListenStream=[2001:db8::1]:8\n" },
                { "[Access]\nDeny=link-local\n",
                  "[Socket]\nIPAddressDeny=169.254.0.0/16\nIPAddressDeny=fe80::/10\n" },
                { "[Access]\nDeny=any\nAllow=localhost\n",
                  "[Socket]\nIPAddressDeny=0.0.0.0/0\nIPAddressDeny=::/0\nIPAddressAllow=127.0.0.0/8\n"
                  "IPAddressAllow=::1/128\n" },
                /* IPv4 and IPv6 apart: then every port has to be. */
                { "[Server]\nListenStream=0.0.0.0:7 [::]:7\n",
                  "[Socket]\nListenStream=\nListenStream=0.0.0.0:7\nListenStream=[::]:7\nBindIPv6Only=ipv6-only\n" },
                { "[Server]\nListenStream=[::]:7 192.0.2.1:7 8 192.0.2.2:9\n",
                  "[Socket]\nListenStream=\nListenStream=[::]:7\nListenStream=192.0.2.1:7\nListenStream=[::]:8\n"
                  "ListenStream=0.0.0.0:8\nListenStream=192.0.2.2:9\nBindIPv6Only=ipv6-only\n" },
                { "[Server]\nListenStream=auto\n[Access]\nAllow=localhost\n",
                  "# ListenStream=auto: the daemon binds a port itself\n"
                  "ConditionPathExists=!/etc/p2pdi/peer.ini.d/100%%.ini\n" },
                { "[Server]\nListenStream=7\nListenStream=\n", "" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(peer_conf_free_p) PeerConf *c = load(cases[i].ini);
                _cleanup_buf_ Buf b = BUF_INIT(DROP_IN_MAX);
                const DropIn d = {
                        .source = "/etc/p2pdi/peer.ini",
                        .common = &c->common,
                        .listen_file = c->common.listen_is_preset ? NULL : "/etc/p2pdi/peer.ini.d/100%.ini",
                };

                assert_int_equal(drop_in_socket(&d, &b), 0);
                assert_int_equal(buf_append_char(&b, '\0'), 0);
                assert_memory_equal(b.data, HEAD, strlen(HEAD));
                assert_string_equal(b.data + strlen(HEAD), cases[i].expected);
        }
}

static void test_drop_in_of_an_ini_that_can_not_be_used(void **state) {
        const DropIn d = { .source = "/etc/p2pdi/peer.ini", .store_path = "/srv/rfc" };
        _cleanup_buf_ Buf b = BUF_INIT(DROP_IN_MAX);

        (void) state;
        assert_int_equal(drop_in_service(&d, &b), 0);
        assert_int_equal(b.size, 0);
        assert_int_equal(drop_in_socket(&d, &b), 0);
        assert_int_equal(buf_append_char(&b, '\0'), 0);
        assert_string_equal(b.data, HEAD);
}

static void test_drop_in_of_the_service(void **state) {
        static const struct {
                const char *path, *expected;    /* NULL: none */
        } cases[] = {
                { NULL, NULL },
                { "/var/lib/p2pdi", NULL },
                { "/var/lib/p2pdi/other", NULL },
                { "/var/lib/p2pdi2", "\"-/var/lib/p2pdi2\"" },
                { "/var/lib/p2pdi/../x", "\"-/var/lib/p2pdi/../x\"" },
                { "/srv/rfc", "\"-/srv/rfc\"" },
                { "/srv/100% of \"it\"", "'-/srv/100%% of \"it\"'" },
                { "/srv/all that's", "\"-/srv/all that's\"" },
                /* Words of a unit that can't be written: the daemon says that it may not write there. */
                { "/srv/\"'", NULL },
                { "/srv/\n[Service]", NULL },
                { "/srv/\\", NULL },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(peer_conf_free_p) PeerConf *c = load("");
                const DropIn d = {
                        .source = "/etc/p2pdi/peer.ini", .common = &c->common, .store_path = cases[i].path,
                        .state_dir = "/var/lib/p2pdi",
                };
                _cleanup_free_ char *expected = NULL;
                _cleanup_buf_ Buf b = BUF_INIT(DROP_IN_MAX);

                assert_true(asprintf(&expected, HEAD "[Service]\nReadWritePaths=%s\n",
                                     cases[i].expected ? cases[i].expected : "") > 0);
                assert_int_equal(drop_in_service(&d, &b), 0);
                assert_int_equal(b.size > 0, cases[i].expected != NULL);
                if (b.size > 0) {
                        assert_int_equal(buf_append_char(&b, '\0'), 0);
                        assert_string_equal(b.data, expected);
                }
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_is_as_in_the_file),
                cmocka_unit_test(test_addresses_that_no_socket_unit_can_have),
                cmocka_unit_test(test_differences_are_sentences),
                cmocka_unit_test(test_drop_in_of_the_socket),
                cmocka_unit_test(test_drop_in_of_an_ini_that_can_not_be_used),
                cmocka_unit_test(test_drop_in_of_the_service),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
