/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * PeerTerms: records in the order in which their time (expires_at) comes. Internal to peer-list, which has two: the
 * leases of active peers, and the wait of inactive ones until they are forgotten.
 *
 * Terms of one length that start one after the other also end one after the other: so a queue per length, and a new
 * term goes to its end, O(1). Records from disk come in the order of their ids: they have a queue of their own, which is
 * sorted once they are all there. The next to end is at the head of one of a few queues. Nothing is allocated but for
 * that sort.
 */

#include "core/base.h"
#include "core/peer-table.h"

/* Different lengths at one time: only each reload with another value adds one, until its last term has ended. */
#define PEER_TERMS_LENGTHS 16

typedef struct PeerTermQueue {
        usec_t length_usec;
        uint32_t head, tail;            /* SLOT_NONE: empty */
} PeerTermQueue;

typedef struct PeerTerms {
        PeerTermQueue queues[PEER_TERMS_LENGTHS];
        PeerTermQueue restored;
        size_t n_queues;                /* the queues behind these have never been in use */
        size_t n;
} PeerTerms;

void peer_terms_init(PeerTerms *m);
/* Starts a term: expires_at = now + length. The record must be in no queue. */
void peer_terms_start(PeerTerms *m, PeerTable *t, uint32_t slot, usec_t now, usec_t length_usec);
/* Takes up a term that runs: expires_at is set. When all are there, and before anybody asks for the first: sort. */
void peer_terms_restore(PeerTerms *m, PeerTable *t, uint32_t slot);
int peer_terms_sort_restored(PeerTerms *m, PeerTable *t) _must_check_;          /* -ENOMEM */
void peer_terms_remove(PeerTerms *m, PeerTable *t, uint32_t slot);
/* The one whose time comes first; SLOT_NONE: there is none. */
uint32_t peer_terms_first(const PeerTerms *m, const PeerTable *t);
