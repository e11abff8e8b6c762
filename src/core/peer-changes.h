/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * PeerChanges: ids that wait to be written to disk, first in, first out. Internal to peer-list.
 */

#include "core/base.h"
#include "core/peer-table.h"

typedef struct PeerChanges {
        Numbers ids;
        size_t first, n;
} PeerChanges;

/* Room for that many more: pushing them can't fail. 0, -ENOMEM. */
int peer_changes_reserve(PeerChanges *c, size_t n_more) _must_check_;
void peer_changes_push(PeerChanges *c, uint32_t id);
/* Must not be empty. */
uint32_t peer_changes_pop(PeerChanges *c);
void peer_changes_done(PeerChanges *c);
