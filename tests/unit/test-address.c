/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "core/address.h"

static Address address(const char *text) {
        Address a;

        assert_int_equal(address_from_text(slice_of(text), &a), 0);
        return a;
}

static Endpoint endpoint(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_from_text(slice_of(text), &e), 0);
        return e;
}

static void test_addresses_are_written_as_rfc_5952_says(void **state) {
        static const struct {
                const char *text, *canonical;
        } table[] = {
                { "0.0.0.0", "0.0.0.0" },
                { "192.0.2.1", "192.0.2.1" },
                { "255.255.255.255", "255.255.255.255" },
                { "::ffff:192.0.2.1", "192.0.2.1" },
                { "::ffff:c000:201", "192.0.2.1" },
                { "::", "::" },
                { "::1", "::1" },
                { "1::", "1::" },
                { "2001:DB8::A", "2001:db8::a" },
                { "2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1" },
                { "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" },
                { "2001:0:0:1:0:0:0:1", "2001:0:0:1::1" },
                { "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
                { "0:0:1:0:0:0:0:0", "0:0:1::" },
                { "0:1:0:1:0:1:0:1", "0:1:0:1:0:1:0:1" },
                { "::1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7" },
                { "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
                { "::192.0.2.1", "::c000:201" },
                { "64:ff9b::192.0.2.1", "64:ff9b::c000:201" },
                { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Address a = address(table[i].text), again;
                char text[ADDRESS_TEXT_SIZE];

                address_to_text(&a, text);
                assert_string_equal(text, table[i].canonical);
                again = address(text);
                assert_true(address_equal(&a, &again));
        }
}

static void test_bad_addresses_are_refused(void **state) {
        static const char *const bad[] = {
                "", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4/8",
                        "0x1.2.3.4",
                "localhost", ":", ":::", "1::2::3", "12345::", "g::", "[::1]", "fe80::1%eth0", "1:2:3:4:5:6:7", "::1 ",
                "1:2:3:4:5:6:7:8:9", "::ffff:1.2.3.4.5", "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111",
        };
        Address a = { { 1 } };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(address_from_text(slice_of(bad[i]), &a), ADDRESS_BAD);
        assert_int_equal(address_from_text((Slice){ "1.2.3.4\0", 8 }, &a), ADDRESS_BAD);
        assert_int_equal(address_from_text((Slice){ NULL, 0 }, &a), ADDRESS_BAD);
        assert_int_equal(a.bytes[0], 1);
}

static void test_endpoints_round_trip(void **state) {
        static const struct {
                const char *text, *canonical;
                uint16_t port;
        } table[] = {
                { "192.0.2.1:65424", "192.0.2.1:65424", 65424 },
                { "192.0.2.1:1", "192.0.2.1:1", 1 },
                { "[2001:DB8::1]:65535", "[2001:db8::1]:65535", 65535 },
                { "[::ffff:192.0.2.1]:80", "192.0.2.1:80", 80 },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Endpoint e = endpoint(table[i].text);
                char text[ENDPOINT_TEXT_SIZE];

                assert_int_equal(e.port, table[i].port);
                endpoint_to_text(&e, text);
                assert_string_equal(text, table[i].canonical);
        }
}

static void test_bad_endpoints_are_refused(void **state) {
        static const char *const bad[] = {
                "", ":", "-", "192.0.2.1", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:080",
                        "192.0.2.1:+1",
                "192.0.2.1: 1", "192.0.2.1:1 ", "192.0.2.1:1:1", ":80", "2001:db8::1:80", "2001:db8::1", "[]:80", "[",
                "[2001:db8::1]", "[2001:db8::1]80", "[2001:db8::1]:", "[2001:db8::1:80", "[192.0.2.1]:80", "[::1]]:80",
                "[fe80::1%1]:80", "host:80",
        };
        Endpoint e = { .port = 7 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(endpoint_from_text(slice_of(bad[i]), &e), ADDRESS_BAD);
        assert_int_equal(e.port, 7);
}

static void test_endpoints_are_ordered(void **state) {
        static const char *const ascending[] = { "[::1]:9", "1.2.3.4:9", "1.2.3.4:80", "1.2.3.4:65535", "9.0.0.0:1",
                                                 "[2001:db8::]:1" };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(ascending); i++)
                for (size_t k = 0; k < ELEMENTSOF(ascending); k++) {
                        Endpoint a = endpoint(ascending[i]), b = endpoint(ascending[k]);
                        int c = endpoint_compare(&a, &b);

                        assert_int_equal((c > 0) - (c < 0), (i > k) - (i < k));
                        assert_int_equal(endpoint_equal(&a, &b), i == k);
                }
}

/* The vectors published with the reference implementation: key and input are 00 01 02 … */
static void test_hash_is_siphash_2_4(void **state) {
        static const struct {
                size_t size;
                uint64_t hash;
        } table[] = {
                { 0, UINT64_C(0x726fdb47dd0e0e31) },  { 1, UINT64_C(0x74f839c593dc67fd) },
                { 7, UINT64_C(0xab0200f58b01d137) },  { 8, UINT64_C(0x93f5f5799a932462) },
                { 15, UINT64_C(0xa129ca6149be45e5) }, { 16, UINT64_C(0x3f2acc7f57c29bdb) },
                { 63, UINT64_C(0x958a324ceb064572) },
        };
        const uint64_t key[2] = { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) };
        uint8_t input[64];

        (void) state;
        for (unsigned i = 0; i < sizeof(input); i++)
                input[i] = (uint8_t) i;
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                assert_true(bytes_hash(input, table[i].size, key) == table[i].hash);
}

static void test_endpoint_hash_counts_address_port_and_key(void **state) {
        const uint64_t key[2] = { 1, 2 }, other_key[2] = { 1, 3 };
        Endpoint a = endpoint("192.0.2.1:80"), b = endpoint("192.0.2.1:81"), c = endpoint("192.0.2.2:80");
        Endpoint same = endpoint("[::ffff:192.0.2.1]:80");

        (void) state;
        assert_true(endpoint_hash(&a, key) == endpoint_hash(&same, key));
        assert_true(endpoint_hash(&a, key) != endpoint_hash(&b, key));
        assert_true(endpoint_hash(&a, key) != endpoint_hash(&c, key));
        assert_true(endpoint_hash(&a, key) != endpoint_hash(&a, other_key));
}

static void test_kinds_of_addresses(void **state) {
        static const struct {
                const char *text;
                bool ipv4, loopback, link_local, usable;
        } table[] = {
                { "192.0.2.1", true, false, false, true },
                { "127.0.0.1", true, true, false, true },
                { "127.255.255.254", true, true, false, true },
                { "128.0.0.1", true, false, false, true },
                { "169.254.0.1", true, false, true, false },
                { "169.253.0.1", true, false, false, true },
                { "0.0.0.0", true, false, false, false },
                { "0.1.2.3", true, false, false, false },
                { "223.255.255.255", true, false, false, true },
                { "224.0.0.1", true, false, false, false },
                { "239.255.255.255", true, false, false, false },
                { "255.255.255.255", true, false, false, false },
                { "::", false, false, false, false },
                { "::1", false, true, false, true },
                { "::2", false, false, false, true },
                { "2001:db8::1", false, false, false, true },
                { "fe80::1", false, false, true, false },
                { "febf::1", false, false, true, false },
                { "fec0::1", false, false, false, true },
                { "fd00::1", false, false, false, true },
                { "ff02::1", false, false, false, false },
                { "::ffff:127.0.0.1", true, true, false, true },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Address a = address(table[i].text);

                assert_int_equal(address_is_ipv4(&a), table[i].ipv4);
                assert_int_equal(address_is_loopback(&a), table[i].loopback);
                assert_int_equal(address_is_link_local(&a), table[i].link_local);
                assert_int_equal(address_is_usable(&a), table[i].usable);
        }
}

static void test_a_source_is_an_ipv4_address_or_an_ipv6_64(void **state) {
        Address a = address("192.0.2.1"), b = address("2001:db8:1:2:3:4:5:6"), expected = address("2001:db8:1:2::"), s;

        (void) state;
        s = address_source(&a);
        assert_true(address_equal(&s, &a));
        s = address_source(&b);
        assert_true(address_equal(&s, &expected));
}

static void test_prefixes_hold_what_they_say(void **state) {
        static const struct {
                const char *prefix, *canonical, *inside, *outside;
        } table[] = {
                { "192.0.2.0/24", "192.0.2.0/24", "192.0.2.255", "192.0.3.0" },
                { "192.0.2.77/24", "192.0.2.0/24", "192.0.2.1", "192.0.1.255" },
                { "192.0.2.77", "192.0.2.77/32", "192.0.2.77", "192.0.2.78" },
                { "10.0.0.0/9", "10.0.0.0/9", "10.127.255.255", "10.128.0.0" },
                { "0.0.0.0/0", "0.0.0.0/0", "255.1.2.3", "2001:db8::1" },
                { "::/0", "::/0", "2001:db8::1", "192.0.2.1" },
                { "::ffff:0:0/96", "0.0.0.0/0", "192.0.2.1", "::1" },
                { "2001:db8::/32", "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::" },
                { "2001:db8::5/127", "2001:db8::4/127", "2001:db8::5", "2001:db8::6" },
                { "::1", "::1/128", "::1", "::2" },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Address inside = address(table[i].inside), outside = address(table[i].outside);
                char text[ADDRESS_TEXT_SIZE + 4];
                Prefix p;

                assert_int_equal(prefix_from_text(slice_of(table[i].prefix), &p), 0);
                prefix_to_text(&p, text);
                assert_string_equal(text, table[i].canonical);
                assert_true(prefix_contains(&p, &inside));
                assert_false(prefix_contains(&p, &outside));
        }
}

static void test_bad_prefixes_are_refused(void **state) {
        static const char *const bad[] = { "", "/", "/8", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/08",
                                           "1.2.3.4/8/8", "1.2.3.4/255.0.0.0", "::/129", "::1/ 8", "localhost", "any" };
        Prefix p = { .bits = 9 };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(prefix_from_text(slice_of(bad[i]), &p), ADDRESS_BAD);
        assert_int_equal(p.bits, 9);
}

static void test_socket_addresses_round_trip(void **state) {
        static const struct {
                const char *text;
                unsigned family, size;
        } table[] = {
                { "192.0.2.1:65424", AF_INET, sizeof(struct sockaddr_in) },
                { "[2001:db8::1]:65424", AF_INET6, sizeof(struct sockaddr_in6) },
                { "[::ffff:192.0.2.1]:65424", AF_INET, sizeof(struct sockaddr_in) },
        };
        struct sockaddr_storage sa;
        Endpoint e;

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Endpoint from = endpoint(table[i].text), to;

                assert_int_equal(endpoint_to_sockaddr(&from, &sa), table[i].size);
                assert_int_equal(sa.ss_family, table[i].family);
                assert_int_equal(endpoint_from_sockaddr((const struct sockaddr *) &sa, &to), 0);
                assert_true(endpoint_equal(&from, &to));
        }

        /* What a dual-stack socket says of an IPv4 client */
        sa = (struct sockaddr_storage){ 0 };
        *(struct sockaddr_in6 *) &sa = (struct sockaddr_in6){
                .sin6_family = AF_INET6,
                .sin6_port = htons(80),
                .sin6_addr = { { { [10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 1 } } },
        };
        assert_int_equal(endpoint_from_sockaddr((const struct sockaddr *) &sa, &e), 0);
        assert_true(endpoint_equal(&e, &(Endpoint){ address("192.0.2.1"), 80 }));

        sa.ss_family = AF_UNIX;
        assert_int_equal(endpoint_from_sockaddr((const struct sockaddr *) &sa, &e), ADDRESS_BAD);
}

static void test_each_octet_is_written(void **state) {
        (void) state;
        for (unsigned value = 0; value < 256; value++)
                for (unsigned at = 0; at < 4; at++) {
                        unsigned octets[4] = { 1, 22, 133, 4 };
                        char expected[ADDRESS_TEXT_SIZE], text[ADDRESS_TEXT_SIZE];
                        Address a = { .bytes = { [10] = 0xff, [11] = 0xff } };

                        octets[at] = value;
                        for (unsigned i = 0; i < 4; i++)
                                a.bytes[12 + i] = (uint8_t) octets[i];
                        (void) snprintf(expected, sizeof(expected), "%u.%u.%u.%u", octets[0], octets[1], octets[2], octets[3]);
                        address_to_text(&a, text);
                        assert_string_equal(text, expected);
                }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_addresses_are_written_as_rfc_5952_says),
                cmocka_unit_test(test_bad_addresses_are_refused),
                cmocka_unit_test(test_endpoints_round_trip),
                cmocka_unit_test(test_bad_endpoints_are_refused),
                cmocka_unit_test(test_endpoints_are_ordered),
                cmocka_unit_test(test_hash_is_siphash_2_4),
                cmocka_unit_test(test_endpoint_hash_counts_address_port_and_key),
                cmocka_unit_test(test_kinds_of_addresses),
                cmocka_unit_test(test_a_source_is_an_ipv4_address_or_an_ipv6_64),
                cmocka_unit_test(test_prefixes_hold_what_they_say),
                cmocka_unit_test(test_bad_prefixes_are_refused),
                cmocka_unit_test(test_socket_addresses_round_trip),
                cmocka_unit_test(test_each_octet_is_written),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
