/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "core/text.h"
#include "io/conf-values.h"

#define BAD UINT64_MAX

typedef struct NumberCase {
        const char *text;
        uint64_t value;                 /* BAD: refused */
} NumberCase;

static void test_times_are_as_systemd_writes_them(void **state) {
        static const NumberCase cases[] = {
                { "5", 5000000 },                       { "5s", 5000000 },              { "0", 0 },
                { "300ms", 300000 },                    { "300msec", 300000 },          { "7us", 7 },
                { "7 usec", 7 },                        { "7\xc2\xb5s", 7 },            { "7\xce\xbcs", 7 },
                { "1min 30s", 90000000 },               { "1min30s", 90000000 },        { "1min 30", 90000000 },
                { "2h", UINT64_C(7200000000) },         { "7200s", UINT64_C(7200000000) },
                { "1.5h", UINT64_C(5400000000) },       { "0.1s", 100000 },             { "1.0000019s", 1000001 },
                { "30d", UINT64_C(2592000000000) },     { "1w", UINT64_C(604800000000) },
                { "1y", UINT64_C(31557600000000) },     { "1M", UINT64_C(2629800000000) },
                { "2 minutes 1 second", 121000000 },    { "1hr", UINT64_C(3600000000) },
                { "", BAD },            { "s", BAD },           { "-1s", BAD },         { "+1s", BAD },
                { "1 parsec", BAD },    { "1.s", BAD },         { ".5s", BAD },         { "1..5s", BAD },
                { "5s ; comment", BAD }, { "1S", BAD },         { "infinity", BAD },    { "0x10", BAD },
                { "1e3", BAD },         { "18446744073709551616", BAD },
                { "18446744073709551615", BAD },        { "18446744073709551615us 1us", BAD },
                { "584942y", BAD },     { "5min,", BAD },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                usec_t value = 42;
                int r = conf_parse_time(slice_of(cases[i].text), &value);

                if (r != (cases[i].value == BAD ? CONF_VALUE_BAD : 0) || value != (r == 0 ? cases[i].value : 42))
                        fail_msg("time \"%s\": %d, %llu", cases[i].text, r, (unsigned long long) value);
        }
}

static void test_sizes_count_by_1024(void **state) {
        static const NumberCase cases[] = {
                { "0", 0 },             { "4096", 4096 },       { "4096B", 4096 },      { "1K", 1024 },
                { "64M", 67108864 },    { "1.5G", 1610612736 }, { "2 G", 2147483648 },  { "0.5K", 512 },
                { "1T", UINT64_C(1) << 40 },    { "1P", UINT64_C(1) << 50 },    { "15E", UINT64_C(15) << 60 },
                { "", BAD },            { "M", BAD },           { "1k", BAD },          { "1KB", BAD },
                { "1.5", BAD },         { "-1", BAD },          { "16E", BAD },         { "1M ; x", BAD },
                { "18446744073709551616", BAD },                { "infinity", BAD },    { "1K\0", 1024 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t value = 42;
                int r = conf_parse_size(slice_of(cases[i].text), &value);

                if (r != (cases[i].value == BAD ? CONF_VALUE_BAD : 0) || value != (r == 0 ? cases[i].value : 42))
                        fail_msg("size \"%s\": %d, %llu", cases[i].text, r, (unsigned long long) value);
        }
        /* A NUL within is no end. */
        uint64_t value;
        assert_int_equal(conf_parse_size((Slice){ "1\0", 2 }, &value), CONF_VALUE_BAD);
}

static void test_booleans_have_six_spellings(void **state) {
        static const char *const yes[] = { "yes", "true", "on", "1", "y", "t", "YES", "True" };
        static const char *const no[] = { "no", "false", "off", "0", "n", "f", "NO" };
        static const char *const bad[] = { "", "2", "ye", "yess", "nope", "yes ; x" };
        bool value;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                value = false;
                assert_int_equal(conf_parse_bool(slice_of(yes[i]), &value), 0);
                assert_true(value);
        }
        for (size_t i = 0; i < ELEMENTSOF(no); i++) {
                value = true;
                assert_int_equal(conf_parse_bool(slice_of(no[i]), &value), 0);
                assert_false(value);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(conf_parse_bool(slice_of(bad[i]), &value), CONF_VALUE_BAD);
}

static void test_prefix_words_are_two_prefixes(void **state) {
        static const struct {
                const char *text, *first, *second;      /* first NULL: refused */
        } cases[] = {
                { "localhost", "127.0.0.0/8", "::1/128" },
                { "link-local", "169.254.0.0/16", "fe80::/10" },
                { "any", "0.0.0.0/0", "::/0" },
                { "192.0.2.7", "192.0.2.7/32", NULL },
                { "192.0.2.7/24", "192.0.2.0/24", NULL },
                { "2001:db8::/32", "2001:db8::/32", NULL },
                { "0.0.0.0/0", "0.0.0.0/0", NULL },
                { "Any", NULL, NULL },          { "", NULL, NULL },             { "192.0.2.0/33", NULL, NULL },
                { "192.0.2.0/", NULL, NULL },   { "example.org", NULL, NULL },  { "any ", NULL, NULL },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[ADDRESS_TEXT_SIZE + 4];
                Prefix p[2];
                size_t n = 42;
                int r = conf_parse_prefix(slice_of(cases[i].text), p, &n);

                if (!cases[i].first) {
                        assert_int_equal(r, CONF_VALUE_BAD);
                        assert_int_equal(n, 42);
                        continue;
                }
                assert_int_equal(r, 0);
                assert_int_equal(n, cases[i].second ? 2 : 1);
                prefix_to_text(&p[0], text);
                assert_string_equal(text, cases[i].first);
                if (n == 2) {
                        prefix_to_text(&p[1], text);
                        assert_string_equal(text, cases[i].second);
                }
        }
}

static void test_listen_addresses(void **state) {
        static const struct {
                const char *text;
                bool may_be_auto;
                const char *shown;      /* NULL: refused */
        } cases[] = {
                { "65423", false, "*:65423" },
                { "127.0.0.1:65423", false, "127.0.0.1:65423" },
                { "[::1]:65423", false, "[::1]:65423" },
                { "[::]:1", false, "[::]:1" },
                { "auto", true, "*:auto" },
                { "127.0.0.1:auto", true, "127.0.0.1:auto" },
                { "[2001:db8::1]:auto", true, "[2001:db8::1]:auto" },
                { "auto", false, NULL },                { "127.0.0.1:auto", false, NULL },
                { "0", true, NULL },                    { "127.0.0.1:0", true, NULL },
                { "65536", false, NULL },               { "065423", false, NULL },
                { "", true, NULL },                     { ":80", true, NULL },
                { "::1:80", true, NULL },               { "[127.0.0.1]:80", true, NULL },
                { "[::1]", true, NULL },                { "[::1]80", true, NULL },
                { "[::1:80", true, NULL },              { "127.0.0.1:", true, NULL },
                { "localhost:80", true, NULL },         { "127.0.0.1:80 ; x", true, NULL },
                { "-1", true, NULL },                   { "AUTO", true, NULL },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char address[ADDRESS_TEXT_SIZE + 2] = "*", text[ENDPOINT_TEXT_SIZE + 8];
                ConfListen l;
                int r = conf_parse_listen(slice_of(cases[i].text), cases[i].may_be_auto, &l);

                if (!cases[i].shown) {
                        if (r != CONF_VALUE_BAD)
                                fail_msg("\"%s\" was taken", cases[i].text);
                        continue;
                }
                if (r != 0)
                        fail_msg("\"%s\" was refused", cases[i].text);
                if (!l.any_address) {
                        address_to_text(&l.endpoint.address, text);
                        (void) snprintf(address, sizeof(address), strchr(text, ':') ? "[%s]" : "%s", text);
                }
                if (l.is_auto)
                        (void) snprintf(text, sizeof(text), "%s:auto", address);
                else
                        (void) snprintf(text, sizeof(text), "%s:%u", address, l.endpoint.port);
                assert_string_equal(text, cases[i].shown);
        }
}

static void test_servers_are_names_or_addresses(void **state) {
        static const struct {
                const char *text, *host;        /* host NULL: refused */
                unsigned port;
        } cases[] = {
                { "rs.example", "rs.example", 65423 },
                { "rs.example:99", "rs.example", 99 },
                { "rs_1", "rs_1", 65423 },
                { "localhost", "localhost", 65423 },
                { "192.0.2.1", "192.0.2.1", 65423 },
                { "192.0.2.1:1", "192.0.2.1", 1 },
                { "[2001:db8::1]:99", "2001:db8::1", 99 },
                { "[2001:db8::1]", "2001:db8::1", 65423 },
                { "2001:db8::1", "2001:db8::1", 65423 },
                { "", NULL, 0 },                { ":99", NULL, 0 },             { "rs.example:", NULL, 0 },
                { "rs.example:0", NULL, 0 },    { "rs.example:65536", NULL, 0 }, { "-rs", NULL, 0 },
                { ".rs", NULL, 0 },             { "a b", NULL, 0 },             { "a/b", NULL, 0 },
                { "192.0.2.256", NULL, 0 },     { "65423", NULL, 0 },           { "[rs.example]:99", NULL, 0 },
                { "[::1", NULL, 0 },            { "[::1]99", NULL, 0 },         { "[]", NULL, 0 },
                { "http://rs", NULL, 0 },       { "1:2:3", NULL, 0 },           { "r\xc3\xa9seau", NULL, 0 },
        };
        char long_name[256];
        ConfServer s;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int r = conf_parse_server(slice_of(cases[i].text), 65423, &s);

                if (r != (cases[i].host ? 0 : CONF_VALUE_BAD))
                        fail_msg("\"%s\": %d", cases[i].text, r);
                if (r != 0)
                        continue;
                assert_string_equal(s.text, cases[i].text);
                assert_string_equal(s.host, cases[i].host);
                assert_int_equal(s.port, cases[i].port);
                conf_server_done(&s);
        }

        memset(long_name, 'a', sizeof(long_name));
        assert_int_equal(conf_parse_server((Slice){ long_name, 254 }, 1, &s), CONF_VALUE_BAD);
        assert_int_equal(conf_parse_server((Slice){ long_name, 253 }, 1, &s), 0);
        conf_server_done(&s);
}

static void test_users_and_groups_are_names_or_numbers(void **state) {
        uint32_t id = 42;

        (void) state;
        assert_int_equal(conf_parse_user(slice_of("root"), &id), 0);
        assert_int_equal(id, 0);
        id = 42;
        assert_int_equal(conf_parse_group(slice_of("root"), &id), 0);
        assert_int_equal(id, 0);
        assert_int_equal(conf_parse_user(slice_of("4294967294"), &id), 0);
        assert_int_equal(id, 4294967294u);
        assert_int_equal(conf_parse_group(slice_of("7"), &id), 0);
        assert_int_equal(id, 7);

        assert_int_equal(conf_parse_user(slice_of("no such user"), &id), CONF_VALUE_BAD);
        assert_int_equal(conf_parse_group(slice_of("no such group"), &id), CONF_VALUE_BAD);
        /* (uid_t) -1 */
        assert_int_equal(conf_parse_user(slice_of("4294967295"), &id), CONF_VALUE_BAD);
        assert_int_equal(conf_parse_user((Slice){ "root\0x", 6 }, &id), CONF_VALUE_BAD);
        assert_int_equal(conf_parse_user(slice_of(""), &id), CONF_VALUE_BAD);
        assert_int_equal(id, 7);
}

static void test_format_is_what_parse_takes(void **state) {
        static const struct {
                usec_t value;
                const char *text;
        } times[] = {
                { 0, "0" },             { 1, "1us" },                   { 100000, "100ms" },
                { 90000000, "1min 30s" }, { UINT64_C(5400000000), "1h 30min" },
                { UINT64_C(2592000000000), "30d" },     { UINT64_C(86400000001), "1d 1us" },
        };
        static const struct {
                uint64_t value;
                const char *text;
        } sizes[] = {
                { 0, "0" }, { 1000, "1000" }, { 1536, "1536" }, { 1024, "1K" }, { 67108864, "64M" },
                { UINT64_C(1) << 60, "1E" }, { UINT64_C(15) << 60, "15E" },
        };
        char text[80];
        uint64_t value;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(times); i++) {
                conf_format_time(times[i].value, text, sizeof(text));
                assert_string_equal(text, times[i].text);
                assert_int_equal(conf_parse_time(slice_of(text), &value), 0);
                assert_true(value == times[i].value);
        }
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                conf_format_size(sizes[i].value, text, sizeof(text));
                assert_string_equal(text, sizes[i].text);
                assert_int_equal(conf_parse_size(slice_of(text), &value), 0);
                assert_true(value == sizes[i].value);
        }
        conf_format_time(UINT64_MAX, text, 8);
        assert_int_equal(strlen(text), 7);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_times_are_as_systemd_writes_them),
                cmocka_unit_test(test_sizes_count_by_1024),
                cmocka_unit_test(test_booleans_have_six_spellings),
                cmocka_unit_test(test_prefix_words_are_two_prefixes),
                cmocka_unit_test(test_listen_addresses),
                cmocka_unit_test(test_servers_are_names_or_addresses),
                cmocka_unit_test(test_users_and_groups_are_names_or_numbers),
                cmocka_unit_test(test_format_is_what_parse_takes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
