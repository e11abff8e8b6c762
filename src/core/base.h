/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What every file may count on: time, slices, cleanup, numbers from a seed.
 *
 * Results, everywhere in this tree:
 *   < 0  this host failed: a negative errno, forwarded unchanged, logged once, in the program
 *   = 0  done
 *   > 0  a named answer from the enum of that header: handled on the spot, never forwarded
 */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_ __attribute__((unused))
#define _pure_ __attribute__((pure))

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
/* An argument may be evaluated twice. */
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

/* The value of an owning variable, which owns nothing afterwards. */
#define TAKE_PTR(p)                                                                                                    \
        ({                                                                                                             \
                typeof(p) *_pp = &(p);                                                                                 \
                typeof(p) _taken = *_pp;                                                                               \
                *_pp = NULL;                                                                                           \
                _taken;                                                                                                \
        })

/* Defines name_p(), for _cleanup_(), from a function that frees `type` and takes NULL. */
#define DEFINE_CLEANUP(type, function)                                                                                 \
        static inline void function##_p(type *p) {                                                                     \
                if (*p)                                                                                                \
                        (void) function(*p);                                                                           \
        }

static inline void free_p(void *p) {
        free(*(void **) p);
}
#define _cleanup_free_ _cleanup_(free_p)

/* Microseconds: a length of time, or a point on the clock that the name of the variable tells. */
typedef uint64_t usec_t;
#define USEC_INFINITY UINT64_MAX
#define USEC_PER_MSEC ((usec_t) 1000)
#define USEC_PER_SEC ((usec_t) 1000000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY (24 * USEC_PER_HOUR)

/* a + b, and USEC_INFINITY instead of an overflow. */
static inline usec_t usec_add(usec_t a, usec_t b) {
        return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}

/* base, doubled n times, up to max; a base beyond it stays as it is. */
static inline usec_t usec_doubled(usec_t base, unsigned n, usec_t max) {
        while (n-- > 0 && base > 0 && base < max)
                base = base > max / 2 ? max : 2 * base;
        return base;
}

/* a - b, and 0 where b is later. */
static inline usec_t usec_sub(usec_t a, usec_t b) {
        return a > b ? a - b : 0;
}

/*
 * One reading of the clocks, made by whoever was woken and handed down.
 *   boottime: CLOCK_BOOTTIME, never jumps, runs on in suspend: what leases and TTLs are counted in
 *   realtime: CLOCK_REALTIME, may jump: the 30 day counters and what people read
 */
typedef struct Now {
        usec_t boottime;
        usec_t realtime;
} Now;

/* Bytes that somebody else owns; not terminated. data may be NULL where size is 0. */
typedef struct Slice {
        const char *data;
        size_t size;
} Slice;

#define SLICE_LITERAL(s) ((Slice){ (s), sizeof(s) - 1 })

static inline Slice slice_of(const char *string) {
        return (Slice){ string, string ? strlen(string) : 0 };
}

static inline bool slice_equal(Slice a, Slice b) {
        return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* A SHA-256 value: of a document as stored, or of an index (protocol, "Index-Digest"). */
#define DIGEST_SIZE 32
typedef struct Digest {
        uint8_t bytes[DIGEST_SIZE];
} Digest;

static inline bool digest_equal(const Digest *a, const Digest *b) {
        return memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0;
}

/*
 * The next of the numbers that a seed gives (SplitMix64): they spread well whatever the seed, and anybody who knows it
 * knows them. Nothing that must not be guessed may come of it.
 */
static inline uint64_t seeded_next(uint64_t *state) {
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}
