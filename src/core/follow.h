/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Following what has obsoleted an RFC, by the editor's index, to those that nothing has obsoleted. That index came from
 * others, so it may have loops, and entries that thousands have obsoleted: the way is bounded, and it is told when it
 * was cut.
 */

#include "core/base.h"
#include "core/rfc-meta.h"

/* RFCs looked at for one, itself included: the real index needs 32 at most. */
#define FOLLOW_NODES_MAX 64

typedef struct Follow {
        /* Those in force now, ascending, each once: the number itself where nothing has obsoleted it. */
        uint32_t current[FOLLOW_NODES_MAX];
        size_t n;                       /* 0: they obsolete each other in a loop, or it was cut */
        bool cut;                       /* there were more than FOLLOW_NODES_MAX on the way */
} Follow;

/* m NULL, or a number that the index does not know: the number itself. */
void follow_current(const RfcMeta *m, uint32_t number, Follow *ret);
