/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Address, Endpoint and Prefix: network addresses as bytes. An IPv4 address is kept in its IPv4-mapped form
 * (::ffff:a.b.c.d), so that there is one kind of address, compared with memcmp(), and an IPv4-mapped IPv6 address is
 * the IPv4 address. Written per RFC 5952, IPv4 dotted. Scope ids are not kept: a link-local address is of no
 * use to another host.
 */

#include "core/base.h"

typedef struct Address {
        uint8_t bytes[16];
} Address;

/* Where a peer can be reached; the port in host byte order. */
typedef struct Endpoint {
        Address address;
        uint16_t port;
} Endpoint;

/* A range of addresses: those whose first `bits` (0..128, counted in the mapped form for IPv4: 96 + n) are equal. */
typedef struct Prefix {
        Address address;
        uint8_t bits;
} Prefix;

/* Answers */
enum {
        ADDRESS_BAD = 1,        /* not an address; the output is untouched */
};

#define ADDRESS_TEXT_SIZE 46                            /* INET6_ADDRSTRLEN */
#define ENDPOINT_TEXT_SIZE (ADDRESS_TEXT_SIZE + 8)      /* brackets, colon, five digits */

/* A plain address: "192.0.2.1", "2001:db8::1"; no brackets, no scope. */
int address_from_text(Slice s, Address *ret) _must_check_;
void address_to_text(const Address *a, char ret[ADDRESS_TEXT_SIZE]);
/* The same without the NUL, as text_put_decimal() does; needs the same room. */
char *address_put(char *to, const Address *a) _must_check_;

/* "a.b.c.d:port" or "[v6]:port", port 1..65535, decimal without leading zeros. The form of a holder on the wire. */
int endpoint_from_text(Slice s, Endpoint *ret) _must_check_;
void endpoint_to_text(const Endpoint *e, char ret[ENDPOINT_TEXT_SIZE]);

static inline bool address_equal(const Address *a, const Address *b) {
        return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static inline bool endpoint_equal(const Endpoint *a, const Endpoint *b) {
        return address_equal(&a->address, &b->address) && a->port == b->port;
}

/* < 0, 0, > 0: by address bytes, then by port. */
int endpoint_compare(const Endpoint *a, const Endpoint *b);
/* Keyed hash (SipHash-2-4), so that nobody outside can choose colliding endpoints. */
uint64_t endpoint_hash(const Endpoint *e, const uint64_t key[2]);
/* The same for any bytes. */
uint64_t bytes_hash(const void *data, size_t size, const uint64_t key[2]);

bool address_is_ipv4(const Address *a);
bool address_is_loopback(const Address *a);     /* 127.0.0.0/8, ::1 */
bool address_is_link_local(const Address *a);   /* 169.254.0.0/16, fe80::/10 */
/* Can one host have it and another connect to it? Not: unspecified, 0/8, multicast, broadcast, link-local. */
bool address_is_usable(const Address *a);

/*
 * The source that limits and quorums count: an IPv4 address whole (/32), an IPv6 address by its /64 (the rest is
 * zeroed), since one host has a whole /64 at its disposal.
 */
Address address_source(const Address *a);

/*
 * "ADDR", "ADDR/BITS"; bits behind the prefix are zeroed. "localhost" is not here: it is two prefixes, see access
 * lists in io/conf. Written with BITS always.
 */
int prefix_from_text(Slice s, Prefix *ret) _must_check_;
void prefix_to_text(const Prefix *p, char ret[ADDRESS_TEXT_SIZE + 4]);
/*
 * As in systemd's IPAddressAllow= an IPv6 prefix, however short, holds no IPv4 address: "::/0" is all of IPv6,
 * "0.0.0.0/0" all of IPv4.
 */
bool prefix_contains(const Prefix *p, const Address *a);

struct sockaddr;
/* AF_INET or AF_INET6, else ADDRESS_BAD. */
int endpoint_from_sockaddr(const struct sockaddr *sa, Endpoint *ret) _must_check_;
struct sockaddr_storage;
/* IPv4 as AF_INET, so that a host without IPv6 can use it. Gives the length for connect() and bind(). */
unsigned endpoint_to_sockaddr(const Endpoint *e, struct sockaddr_storage *ret);
