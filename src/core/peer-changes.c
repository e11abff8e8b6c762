/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/peer-changes.h"

int peer_changes_reserve(PeerChanges *c, size_t n_more) {
        return numbers_reserve(&c->ids, c->n + n_more);
}

void peer_changes_push(PeerChanges *c, uint32_t id) {
        /* No ring: memory that a short queue never reaches is never touched. */
        if (c->first + c->n == c->ids.allocated) {
                assert(c->first > 0);
                memmove(c->ids.items, c->ids.items + c->first, c->n * sizeof(uint32_t));
                c->first = 0;
        }
        c->ids.items[c->first + c->n++] = id;
}

uint32_t peer_changes_pop(PeerChanges *c) {
        uint32_t id;

        assert(c->n > 0);
        id = c->ids.items[c->first++];
        if (--c->n == 0)
                c->first = 0;
        return id;
}

void peer_changes_done(PeerChanges *c) {
        numbers_done(&c->ids);
        *c = (PeerChanges){ 0 };
}
