/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/address.h"

#include <arpa/inet.h>
#include <endian.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "core/text.h"

static const uint8_t ipv4_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static Address address_of_ipv4(const void *four) {
        Address a;

        memcpy(a.bytes, ipv4_mapped, sizeof(ipv4_mapped));
        memcpy(a.bytes + sizeof(ipv4_mapped), four, 4);
        return a;
}

static bool has_colon(Slice s) {
        return s.size > 0 && memchr(s.data, ':', s.size);
}

int address_from_text(Slice s, Address *ret) {
        char text[ADDRESS_TEXT_SIZE];
        uint8_t bytes[16];

        if (s.size == 0 || s.size >= sizeof(text) || memchr(s.data, '\0', s.size))
                return ADDRESS_BAD;
        memcpy(text, s.data, s.size);
        text[s.size] = '\0';

        if (has_colon(s)) {
                if (inet_pton(AF_INET6, text, bytes) != 1)
                        return ADDRESS_BAD;
                memcpy(ret->bytes, bytes, sizeof(bytes));
        } else {
                if (inet_pton(AF_INET, text, bytes) != 1)
                        return ADDRESS_BAD;
                *ret = address_of_ipv4(bytes);
        }
        return 0;
}

/* The first of the longest runs of two or more zero groups, which is written "::" (RFC 5952, section 4.2). */
static void find_zero_run(const unsigned groups[8], unsigned *ret_start, unsigned *ret_length) {
        unsigned start = 8, length = 1;

        for (unsigned i = 0; i < 8; i++) {
                unsigned n = 0;

                while (i + n < 8 && groups[i + n] == 0)
                        n++;
                if (n > length) {
                        start = i;
                        length = n;
                }
                i += n;
        }
        *ret_start = start;
        *ret_length = start < 8 ? length : 0;
}

/*
 * Not inet_ntop(): it writes ::/96 dotted, where RFC 5952 has hexadecimal groups, and the text decides the order of
 * index lines, so all hosts must write the same.
 */
/* A byte of an IPv4 address with a dot behind it: a list has two hundred, and each is a load and a store. */
typedef struct Octet {
        char text[4];
        uint8_t size;
} Octet;

#define OCTET(h, t, o)                                                                                                 \
        { { (h) ? '0' + (h) : (t) ? '0' + (t) : '0' + (o),                                                             \
            (h) ? '0' + (t) : (t) ? '0' + (o) : '.', (h) ? '0' + (o) : (t) ? '.' : 0, (h) ? '.' : 0 },                 \
          (h) ? 4 : (t) ? 3 : 2 }
#define OCTETS_6(h, t) OCTET(h, t, 0), OCTET(h, t, 1), OCTET(h, t, 2), OCTET(h, t, 3), OCTET(h, t, 4), OCTET(h, t, 5)
#define OCTETS_10(h, t) OCTETS_6(h, t), OCTET(h, t, 6), OCTET(h, t, 7), OCTET(h, t, 8), OCTET(h, t, 9)
#define OCTETS_50(h, t)                                                                                                \
        OCTETS_10(h, t), OCTETS_10(h, (t) + 1), OCTETS_10(h, (t) + 2), OCTETS_10(h, (t) + 3), OCTETS_10(h, (t) + 4)

static const Octet octets[256] = {
        OCTETS_50(0, 0), OCTETS_50(0, 5), OCTETS_50(1, 0), OCTETS_50(1, 5), OCTETS_50(2, 0), OCTETS_6(2, 5),
};

char *address_put(char *to, const Address *a) {
        unsigned groups[8], zero_start, zero_length;

        if (address_is_ipv4(a)) {
                for (unsigned i = 12; i < 16; i++) {
                        const Octet *octet = &octets[a->bytes[i]];

                        memcpy(to, octet->text, sizeof(octet->text));
                        to += octet->size;
                }
                return to - 1;
        }

        for (unsigned i = 0; i < 8; i++)
                groups[i] = (unsigned) a->bytes[2 * i] << 8 | a->bytes[2 * i + 1];
        find_zero_run(groups, &zero_start, &zero_length);

        for (unsigned i = 0; i < 8; i++) {
                if (i == zero_start) {
                        *to++ = ':';
                        *to++ = ':';
                        i += zero_length - 1;
                        continue;
                }
                if (i > 0 && i != zero_start + zero_length)
                        *to++ = ':';
                to += snprintf(to, 5, "%x", groups[i]);
        }
        return to;
}

void address_to_text(const Address *a, char ret[ADDRESS_TEXT_SIZE]) {
        *address_put(ret, a) = '\0';
}

int endpoint_from_text(Slice s, Endpoint *ret) {
        Slice address, port;
        const char *end;
        Endpoint e;
        uint32_t number;
        bool ipv6 = s.size > 0 && s.data[0] == '[';

        if (s.size == 0)
                return ADDRESS_BAD;
        end = memchr(s.data, ipv6 ? ']' : ':', s.size);
        if (!end)
                return ADDRESS_BAD;
        address = (Slice){ s.data + ipv6, (size_t) (end - s.data) - ipv6 };
        port = (Slice){ end + 1, s.size - (size_t) (end + 1 - s.data) };

        if (ipv6) {
                if (port.size == 0 || port.data[0] != ':')
                        return ADDRESS_BAD;
                port.data++;
                port.size--;
        }
        if (has_colon(address) != ipv6 || address_from_text(address, &e.address) != 0)
                return ADDRESS_BAD;
        if (text_to_uint32(port, UINT16_MAX, &number) != 0 || number == 0)
                return ADDRESS_BAD;

        e.port = (uint16_t) number;
        *ret = e;
        return 0;
}

void endpoint_to_text(const Endpoint *e, char ret[ENDPOINT_TEXT_SIZE]) {
        bool ipv6 = !address_is_ipv4(&e->address);
        char *to = ret;

        if (ipv6)
                *to++ = '[';
        to = address_put(to, &e->address);
        if (ipv6)
                *to++ = ']';
        *to++ = ':';
        to = text_put_decimal(to, e->port);
        *to = '\0';
}

int endpoint_compare(const Endpoint *a, const Endpoint *b) {
        int c = memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes));

        if (c != 0)
                return c;
        return (a->port > b->port) - (a->port < b->port);
}

uint64_t endpoint_hash(const Endpoint *e, const uint64_t key[2]) {
        uint8_t bytes[18];

        memcpy(bytes, e->address.bytes, 16);
        bytes[16] = (uint8_t) (e->port >> 8);
        bytes[17] = (uint8_t) e->port;
        return bytes_hash(bytes, sizeof(bytes), key);
}

static uint64_t rotate(uint64_t x, unsigned n) {
        return x << n | x >> (64 - n);
}

static void sip_rounds(uint64_t v[4], unsigned n) {
        while (n-- > 0) {
                v[0] += v[1];
                v[2] += v[3];
                v[1] = rotate(v[1], 13) ^ v[0];
                v[3] = rotate(v[3], 16) ^ v[2];
                v[0] = rotate(v[0], 32);
                v[2] += v[1];
                v[0] += v[3];
                v[1] = rotate(v[1], 17) ^ v[2];
                v[3] = rotate(v[3], 21) ^ v[0];
                v[2] = rotate(v[2], 32);
        }
}

/* SipHash-2-4 of Aumasson and Bernstein, "SipHash: a fast short-input PRF". */
uint64_t bytes_hash(const void *data, size_t size, const uint64_t key[2]) {
        const uint8_t *p = data;
        uint64_t v[4] = {
                key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573),
        };

        for (size_t left = size;; left -= 8, p += 8) {
                uint64_t word = 0;

                if (left > 0)
                        memcpy(&word, p, MIN_OF(left, sizeof(word)));
                word = le64toh(word);
                if (left < sizeof(word))
                        word |= (uint64_t) size << 56;
                v[3] ^= word;
                sip_rounds(v, 2);
                v[0] ^= word;
                if (left < 8)
                        break;
        }
        v[2] ^= 0xff;
        sip_rounds(v, 4);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
}

bool address_is_ipv4(const Address *a) {
        return memcmp(a->bytes, ipv4_mapped, sizeof(ipv4_mapped)) == 0;
}

bool address_is_loopback(const Address *a) {
        static const Address ipv6_loopback = { { [15] = 1 } };

        return address_is_ipv4(a) ? a->bytes[12] == 127 : address_equal(a, &ipv6_loopback);
}

bool address_is_link_local(const Address *a) {
        if (address_is_ipv4(a))
                return a->bytes[12] == 169 && a->bytes[13] == 254;
        return a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

bool address_is_usable(const Address *a) {
        static const Address unspecified = { { 0 } };

        if (address_is_link_local(a))
                return false;
        if (address_is_ipv4(a)) {
                static const uint8_t broadcast[4] = { 255, 255, 255, 255 };

                return a->bytes[12] != 0 && (a->bytes[12] & 0xf0) != 0xe0 && memcmp(a->bytes + 12, broadcast, 4) != 0;
        }
        return a->bytes[0] != 0xff && !address_equal(a, &unspecified);
}

Address address_source(const Address *a) {
        Address source = *a;

        if (!address_is_ipv4(a))
                memset(source.bytes + 8, 0, 8);
        return source;
}

static void address_mask(Address *a, unsigned bits) {
        for (unsigned i = 0; i < 16; i++) {
                unsigned here = bits > 8 * i ? MIN_OF(bits - 8 * i, 8u) : 0;

                a->bytes[i] &= (uint8_t) (0xff00u >> here);
        }
}

int prefix_from_text(Slice s, Prefix *ret) {
        Slice rest = s, text;
        bool ipv6;
        uint32_t bits;
        Prefix p;

        if (!slice_split(&rest, '/', &text) || address_from_text(text, &p.address) != 0)
                return ADDRESS_BAD;

        ipv6 = has_colon(text);
        bits = ipv6 ? 128 : 32;
        if (rest.data && text_to_uint32(rest, bits, &bits) != 0)
                return ADDRESS_BAD;

        p.bits = (uint8_t) (ipv6 ? bits : 96 + bits);
        address_mask(&p.address, p.bits);
        *ret = p;
        return 0;
}

void prefix_to_text(const Prefix *p, char ret[ADDRESS_TEXT_SIZE + 4]) {
        char text[ADDRESS_TEXT_SIZE];
        bool ipv4 = p->bits >= 96 && address_is_ipv4(&p->address);

        address_to_text(&p->address, text);
        (void) snprintf(ret, ADDRESS_TEXT_SIZE + 4, "%s/%u", text, ipv4 ? p->bits - 96u : p->bits);
}

bool prefix_contains(const Prefix *p, const Address *a) {
        Address masked = *a;

        if (p->bits < 96 && address_is_ipv4(a))
                return false;
        address_mask(&masked, p->bits);
        return address_equal(&masked, &p->address);
}

int endpoint_from_sockaddr(const struct sockaddr *sa, Endpoint *ret) {
        struct sockaddr_in in;
        struct sockaddr_in6 in6;

        switch (sa->sa_family) {
        case AF_INET:
                memcpy(&in, sa, sizeof(in));
                ret->address = address_of_ipv4(&in.sin_addr);
                ret->port = ntohs(in.sin_port);
                return 0;
        case AF_INET6:
                memcpy(&in6, sa, sizeof(in6));
                memcpy(ret->address.bytes, &in6.sin6_addr, sizeof(ret->address.bytes));
                ret->port = ntohs(in6.sin6_port);
                return 0;
        default:
                return ADDRESS_BAD;
        }
}

unsigned endpoint_to_sockaddr(const Endpoint *e, struct sockaddr_storage *ret) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(e->port) };
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(e->port) };

        memset(ret, 0, sizeof(*ret));
        if (address_is_ipv4(&e->address)) {
                memcpy(&in.sin_addr, e->address.bytes + 12, 4);
                memcpy(ret, &in, sizeof(in));
                return sizeof(in);
        }
        memcpy(&in6.sin6_addr, e->address.bytes, 16);
        memcpy(ret, &in6, sizeof(in6));
        return sizeof(in6);
}
