/* SPDX-License-Identifier: BSD-2-Clause */
/* What changed in the own documents since some generation: the body of a 226. */
#include <errno.h>

#include "core/rfc-index-internal.h"

#define GONE UINT32_MAX                 /* farther than a body is long */

typedef struct IndexChange {
        uint64_t changed;               /* the generation that it came, changed or went with */
        uint32_t number;
        uint32_t line_at;               /* in the body; GONE: there is no such document any more */
} IndexChange;

struct IndexChanges {
        Generation generation;
        uint64_t since;                 /* the oldest generation whose changes are known */
        IndexChange *changes;           /* owned; ascending numbers, of documents and of what has gone alike */
        size_t n_changes, allocated;
        uint32_t next;                  /* all numbers below have been seen */
        bool begun;
};

int index_changes_new(IndexChanges **ret) {
        IndexChanges *c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        *ret = c;
        return 0;
}

IndexChanges *index_changes_free(IndexChanges *c) {
        if (!c)
                return NULL;
        free(c->changes);
        free(c);
        return NULL;
}

static int add_change(IndexChanges *c, const IndexOwn *o) {
        if (c->n_changes == c->allocated) {
                size_t wanted = MAX_OF(c->allocated * 2, (size_t) 64);
                IndexChange *grown = reallocarray(c->changes, wanted, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                c->changes = grown;
                c->allocated = wanted;
        }
        c->changes[c->n_changes++] = (IndexChange){
                .changed = o->changed,
                .number = o->number,
                .line_at = o->doc == 0 ? GONE : 0,
        };
        return 0;
}

int index_changes_step(IndexChanges *c, const RfcIndex *x, size_t max_records) {
        assert(max_records > 0);
        assert(!c->begun || c->generation.number == x->generation.number);

        c->begun = true;
        c->generation = x->generation;
        c->since = x->changes_since;
        IndexOwn *o = index_own_at_least(x, c->next), *gone = index_gone_at_least(x, c->next);
        for (; o || gone; max_records--) {
                if (max_records == 0)
                        return RFC_INDEX_MORE;
                bool there = o && (!gone || o->number < gone->number);
                IndexOwn **from = there ? &o : &gone;
                int r = add_change(c, *from);
                if (r < 0)
                        return r;
                c->next = (*from)->number + 1;
                *from = index_own_next(*from);
        }
        return 0;
}

/* Of the line that starts there, with its line feed. */
static size_t line_size(Slice body, size_t at) {
        const char *end = memchr(body.data + at, '\n', body.size - at);
        assert(end);
        return (size_t) (end - body.data) + 1 - at;
}

void index_changes_end(IndexChanges *c, Slice body) {
        size_t at = 0;

        assert(body.size < GONE);
        for (size_t i = 0; i < c->n_changes; i++) {
                if (c->changes[i].line_at == GONE)
                        continue;
                assert(at < body.size);
                c->changes[i].line_at = (uint32_t) at;
                at += line_size(body, at);
        }
        assert(at == body.size);
}

static int encode_change(const IndexChange *change, Slice body, Buf *b) {
        if (change->line_at == GONE)
                return proto_write_index_line(b, &(IndexLine){ .number = change->number, .self = true, .removed = true },
                                              true);

        /* A record of a delta is that of the body behind a '+'. */
        int r = buf_append(b, "+", 1);
        if (r == 0)
                r = buf_append(b, body.data + change->line_at, line_size(body, change->line_at));
        return r;
}

/* Goes over all of them: 50 µs for as many as an answer may have, and no order by generation to be kept. */
static int encode(const IndexChanges *c, Slice body, uint64_t since, Buf *b) {
        const size_t start = b->size;
        size_t n = 0;

        for (size_t i = 0; i < c->n_changes; i++) {
                if (c->changes[i].changed <= since)
                        continue;
                if (++n > PROTO_INDEX_RECORDS_MAX)
                        return RFC_INDEX_TOO_LARGE;
                int r = encode_change(&c->changes[i], body, b);
                if (r != 0)
                        return r < 0 ? r : RFC_INDEX_TOO_LARGE;
                if (b->size - start > body.size)
                        return RFC_INDEX_TOO_LARGE;
        }
        return 0;
}

int index_changes_encode(const IndexChanges *c, Slice body, Generation since, Buf *b) {
        if (since.epoch != c->generation.epoch || since.number > c->generation.number || since.number < c->since)
                return RFC_INDEX_UNKNOWN;
        if (since.number == c->generation.number)
                return RFC_INDEX_UNCHANGED;

        const size_t start = b->size;
        int r = encode(c, body, since.number, b);
        if (r != 0)
                buf_truncate(b, start);
        return r;
}
