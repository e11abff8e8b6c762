/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the RFC index costs, by itself: bytes per record, merging, finding, searching, expiring, encoding. One line of JSON on stdout.
 *
 *   bench-index [--numbers=N] [--holders=N]
 *
 * So many RFCs, each with so many holders: the answers of that many peers, each to If-Generation: 0.0, with titles in the lengths of
 * real ones. Each peer's lease ends a minute after the one's before, so that one of them can be seen to expire.
 */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/rfc-index.h"
#include "core/search.h"

#define TTL_SEC 7200
#define MINUTE (60 * USEC_PER_SEC)
#define SLICE 1000
#define FINDS 100000
#define FOUND_MAX 32    /* as many as one lookup asks at once */

static unsigned arg_numbers = 10000, arg_holders = 100;
static uint64_t draws = 88172645463325252;

static uint64_t draw(void) {
        draws ^= draws << 13;
        draws ^= draws >> 7;
        draws ^= draws << 17;
        return draws;
}

static double seconds(void) {
        struct timespec ts;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
        return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static void check(bool good, const char *what) {
        if (!good) {
                fprintf(stderr, "bench-index: %s\n", what);
                exit(1);
        }
}

static Endpoint holder(unsigned n) {
        char text[ENDPOINT_TEXT_SIZE];
        Endpoint e;
        snprintf(text, sizeof(text), "10.%u.%u.%u:65424", n >> 16 & 255, n >> 8 & 255, n & 255);
        check(endpoint_from_text(slice_of(text), &e) == 0, "an endpoint");
        return e;
}

/* 10 to 110 bytes, 60 in the middle. */
static char *append_title(char *p) {
        static const char *const words[] = { "Protocol", "Extension", "for", "the", "Internet", "Transport", "Security", "of", "Data" };
        const char *end = p + 1 + draw() % 50 + draw() % 50;
        while (p < end)
                p = stpcpy(stpcpy(p, words[draw() % ELEMENTSOF(words)]), " ");
        return p;
}

/* The answer that all of them give: the same documents everywhere. */
static char *make_body(size_t *ret_size) {
        char *body = calloc(arg_numbers, 256);
        check(body, "memory");
        char *p = body;
        for (unsigned i = 1; i <= arg_numbers; i++) {
                p += sprintf(p, "%u\t%u\t-\t%" PRIu64 "\t", i, TTL_SEC, 1000 + draw() % 100000);
                for (unsigned j = 0; j < 4; j++)
                        p += sprintf(p, "%016" PRIx64, draw());
                *p++ = '\t';
                p = append_title(p);
                p += sprintf(p, "%u\n", i);
        }
        *ret_size = (size_t) (p - body);
        return body;
}

static void merge(RfcIndex *x, unsigned n, Slice body, usec_t sent_at) {
        _cleanup_(index_merge_free_p) IndexMerge *m = NULL;
        const IndexMergeConf conf = { .kind = INDEX_MERGE_OWN, .source = holder(n), .sent_at = sent_at };
        const Now now = { .boottime = sent_at };
        IndexMergeResult result;
        int r;

        check(index_merge_new(&conf, &m) == 0, "a merge");
        /* As it comes from a socket. */
        for (size_t at = 0; at < body.size; at += 65536)
                check(index_merge_feed(m, (Slice) { body.data + at, body.size - at < 65536 ? body.size - at : 65536 }) == 0, "a body");
        check(index_merge_end(m) == 0, "the end of a body");
        do
                r = index_merge_step(m, x, SLICE, &now, &result);
        while (r == RFC_INDEX_MORE);
        check(r == 0 && result.n_added + result.n_confirmed == arg_numbers, "a merge that takes all");
}

/* nsec a find: the records of a number, in order, as a lookup asks for them. */
static double time_find(const RfcIndex *x, const Now *now) {
        RfcRecord found[FOUND_MAX];
        double begin = seconds();
        for (unsigned i = 0; i < FINDS; i++)
                check(rfc_index_find(x, 1 + (uint32_t) (draw() % arg_numbers), now, found, FOUND_MAX) == arg_holders, "a find");
        return (seconds() - begin) / FINDS * 1e9;
}

/* nsec to get one record by number and holder. */
static double time_get(const RfcIndex *x, const Now *now) {
        RfcRecord found;
        double begin = seconds();
        for (unsigned i = 0; i < FINDS / 1000; i++) {
                Endpoint e = holder((unsigned) (draw() % arg_holders) + 1);
                for (unsigned j = 0; j < 1000; j++)
                        check(rfc_index_get(x, 1 + (uint32_t) (draw() % arg_numbers), &e, now, &found), "a get");
        }
        return (seconds() - begin) / FINDS * 1e9;
}

/* nsec a number in a search: each once, its title held against two words. */
static double time_search(const RfcIndex *x, const Now *now) {
        Search s;
        RfcRecord r;
        unsigned n = 0, n_found = 0, rounds = 10;
        double begin = seconds();

        search_init(&s);
        check(search_add(&s, slice_of("transport")) == 0 && search_add(&s, slice_of("security")) == 0, "words");
        for (unsigned i = 0; i < rounds; i++)
                for (uint32_t number = 0; (number = rfc_index_next_number(x, number, now)) != 0; n++) {
                        uint32_t cursor = 0;
                        n_found += rfc_index_next_record(x, number, &cursor, &r) && search_matches(&s, r.title);
                }
        check(n == rounds * arg_numbers && n_found > 0 && n_found < n, "a search");
        return (seconds() - begin) / n * 1e9;
}

/* nsec a record: those of the peer whose lease ends first, while all others stay. *ret_longest: sec of one slice. */
static double time_expire(RfcIndex *x, usec_t at, double *ret_longest) {
        const Now now = { .boottime = at };
        size_t before = rfc_index_count(x);
        double begin = seconds(), last = begin;
        bool more;

        *ret_longest = 0;
        do {
                double t;
                more = rfc_index_expire(x, &now, SLICE);
                t = seconds();
                *ret_longest = t - last > *ret_longest ? t - last : *ret_longest;
                last = t;
        } while (more);
        check(before - rfc_index_count(x) == arg_numbers, "what expires is what one peer stated");
        return (last - begin) / arg_numbers * 1e9;
}

/* sec to encode as many own documents. */
static double time_encode(void) {
        static const uint64_t key[2] = { 3, 4 };
        const RfcIndexLimits limits = { .ttl_usec = TTL_SEC * USEC_PER_SEC, .max_records = 1000000 };
        _cleanup_(rfc_index_free_p) RfcIndex *x = NULL;
        Digest digest = { 0 };
        double begin, took = 0;
        unsigned rounds = 10;

        check(rfc_index_new(&limits, 1, key, &x) == 0, "an index");
        for (unsigned i = 1; i <= arg_numbers; i++) {
                memcpy(&digest, &(uint64_t) { draw() }, sizeof(uint64_t));
                check(rfc_index_set_own(x, i, 1000 + i, &digest, slice_of("A Title of an Ordinary Length, as They Often Have Them")) == 0, "an own one");
        }
        for (unsigned i = 0; i < rounds; i++) {
                _cleanup_(buf_done) Buf body = BUF_INIT((size_t) 16 << 20), covered = BUF_INIT((size_t) 16 << 20);
                uint32_t after = 0;
                int r;
                begin = seconds();
                do
                        r = rfc_index_encode_own(x, &after, SLICE, &body, &covered);
                while (r == RFC_INDEX_MORE);
                took += seconds() - begin;
                check(r == 0, "an encoded index");
        }
        return took / rounds;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "numbers", required_argument, NULL, 'n' },
                { "holders", required_argument, NULL, 'h' },
                { NULL, 0, NULL, 0 },
        };
        static const uint64_t key[2] = { 1, 2 };
        int option;

        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (option) {
                case 'n': arg_numbers = (unsigned) strtoul(optarg, NULL, 10); break;
                case 'h': arg_holders = (unsigned) strtoul(optarg, NULL, 10); break;
                default: return 2;
                }

        size_t n = (size_t) arg_numbers * arg_holders, size;
        const RfcIndexLimits limits = { .ttl_usec = TTL_SEC * USEC_PER_SEC, .max_records = n };
        char *body = make_body(&size);
        double begin, added, again, longest;
        _cleanup_(rfc_index_free_p) RfcIndex *x = NULL;

        check(arg_numbers > 0 && arg_holders > 0, "there must be some of each");
        check(rfc_index_new(&limits, 77, key, &x) == 0, "an index");
        size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
        begin = seconds();
        for (unsigned i = 1; i <= arg_holders; i++)
                merge(x, i, (Slice) { body, size }, MINUTE * i);
        added = seconds() - begin;
        check(rfc_index_count(x) == n, "all records");
        double allocated = (double) (mallinfo2().uordblks + mallinfo2().hblkhd - before) / (double) n;
        double stated = (double) rfc_index_size(x) / (double) n;

        /* The same again, as after a restart of those peers. */
        begin = seconds();
        for (unsigned i = 1; i <= arg_holders; i++)
                merge(x, i, (Slice) { body, size }, MINUTE * i);
        again = seconds() - begin;

        const Now now = { .boottime = MINUTE * arg_holders };
        double find = time_find(x, &now), get = time_get(x, &now), search = time_search(x, &now);
        /* The first one's end, and whatever a coarse clock may add; the second one's is a minute later. */
        double expire = time_expire(x, MINUTE + (TTL_SEC + 30) * USEC_PER_SEC, &longest);
        printf("{\"records\": %zu, \"bytes\": %.2f, \"stated_bytes\": %.2f, \"merge\": %.0f, \"merge_again\": %.0f, \"find\": %.1f, \"get\": %.1f, "
               "\"search\": %.1f, \"expire\": %.1f, \"expire_longest\": %.6f, \"encode\": %.6f}\n",
               n, allocated, stated, (double) n / added, (double) n / again, find, get, search,
               expire, longest, time_encode());
        free(body);
        return 0;
}
