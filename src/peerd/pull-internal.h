/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * A pull: one peer asked for its index (RFCQuery). pull.c asks and ends it; pull-merge.c takes what came into the index
 * and checks the copy here against what the peer says of it.
 */

#include "peerd/client-internal.h"

#include <openssl/evp.h>

typedef enum PullKind {
        PULL_NUMBERS,                           /* RFC: of some numbers */
        PULL_INDEX,                             /* its own records if they have changed, or all that it has */
} PullKind;

struct Pull {
        TAILQ_ENTRY(Pull) link;
        Client *client;
        Endpoint peer;
        PullKind kind;
        uint64_t transaction;
        RfcSet set;                             /* PULL_NUMBERS */
        /* PULL_INDEX; {0, 0}: nothing of it is known, so hearsay is welcome, too, unless own_only */
        Generation asked;
        bool own_only;                          /* 0.0 rather than no generation */
        AskPass pass;
        bool sent;                              /* the request: nobody can join any more */
        Message message;                        /* to begin, and to go on merging or checking */
        Call *call;
        IndexMerge *merge;
        IndexMergeResult merged;                /* PULL_INDEX, once it is in */
        EVP_MD_CTX *check;                      /* hashes the copy here, after a 304 or 226 */
        uint32_t checked;                       /* up to this number */
        Reply reply;                            /* without its slices */
        usec_t sent_at, began_at;
        uint64_t n_bytes;
        const char *refused;                    /* why the body was refused */
};

/* ---- pull.c ---- */

/* merged: what came of it, or NULL. result: how it went, a literal. Frees p. */
void pull_end(Pull *p, LookupOutcome outcome, const char *result, const IndexMergeResult *merged);
/* For all of its own records, once: what is asked about no generation is answered by all of it, or not at all. */
void pull_ask_again(Pull *p);

/* ---- pull-merge.c ---- */

/* The body is complete: it goes into the index, and the pull ends. */
void pull_merge(Pull *p);
/* Nothing has changed, or what has is in: the copy here must be what the answer says, or all of it is asked for. */
void pull_check(Pull *p);
