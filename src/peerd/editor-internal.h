/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * How the editor's rfc-index.txt comes from other peers, all in the client's thread: editor.c (rounds, and what is made of
 * the answers), editor-ask.c (what does a peer hold?), editor-fetch.c (have it).
 */

#include "core/editor-index.h"
#include "peerd/client-internal.h"

/* Peers asked in a round: what one of them has spreads by the rounds of the others. */
#define EDITOR_ASKS 4
/* For so long a peer's word is good: as long as that about a document. */
#define EDITOR_STATEMENT_USEC (PROTO_TTL_SEC * USEC_PER_SEC)

typedef struct EditorAsk EditorAsk;
typedef struct EditorFetch EditorFetch;

struct Editor {
        Client *client;
        EditorIndex *known;
        sd_event_source *timer;
        EditorConf conf;                        /* these two: as they are in this round */
        EditorHeld held;
        uint64_t transaction;
        EditorAsk *asks[EDITOR_ASKS];           /* owned; NULL: ended */
        size_t n_asking;
        EditorFetch *fetch;                     /* owned */
        EditorChoice choice;                    /* what is being fetched */
        size_t next_holder;
        unsigned n_tries;                       /* fetches begun in this round */
        bool told_unnamed;                      /* that none can be verified */
        bool again;                             /* a round was asked for while one was under way */
};

/* ---- editor-ask.c ---- */

/* Ends in editor_asked(), never at once. -errno. */
int editor_ask_start(Editor *ed, size_t place, const Endpoint *peer) _must_check_;
EditorAsk *editor_ask_free(EditorAsk *a);

/* ---- editor-fetch.c ---- */

typedef enum EditorFetched {
        EDITOR_FETCH_TAKEN,
        EDITOR_FETCH_REFUSED,                   /* it came whole, and is of no use: answer says why */
        EDITOR_FETCH_CORRECTED,                 /* it came whole, and is of another day than was said */
        EDITOR_FETCH_GONE,                      /* not from this holder */
        EDITOR_FETCH_FAILED,                    /* this host */
} EditorFetched;

typedef struct EditorFetchResult {
        EditorFetched how;
        EditorAnswer answer;
        uint32_t created;
        size_t n_entries;
        int error;
        const char *why;                        /* GONE: a literal */
} EditorFetchResult;

/* Fetches ed->choice from that holder; ends in editor_fetched(), never at once. -errno. */
int editor_fetch_start(Editor *ed, const Endpoint *holder) _must_check_;
/* The disk worker must be gone, or have nothing of it. */
EditorFetch *editor_fetch_free(EditorFetch *f);

/* ---- editor.c ---- */

/* The peer said something (NULL: nothing of use, or that it has none). */
void editor_asked(Editor *ed, size_t place, const EditorStatement *s);
void editor_fetched(Editor *ed, const Endpoint *holder, const EditorFetchResult *r);
