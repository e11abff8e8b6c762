/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * EditorIndex: which of the rfc-index.txt that other peers hold to take. What each peer says that it holds is kept for a
 * while: digest, size, and the day of its preamble. A text is graded as documents are (core/trust), among those that
 * were made on the same day: the editor makes one a day, so two of a day can't both be right, and an older one is no
 * other word but an older one.
 *
 * Nothing here comes from the editor himself, so what is taken must do no harm: never one from the future, which no
 * later one could replace, nor one that lacks many entries of the one that is held.
 */

#include "core/address.h"
#include "core/rfc-meta.h"
#include "core/trust.h"

typedef struct EditorIndex EditorIndex;

/* Peers whose word is kept: the oldest word goes first. A few are asked at a time. */
#define EDITOR_STATEMENTS_MAX 256
/* Texts that were found of no use, by digest: the same. */
#define EDITOR_REFUSED_MAX 64
/* Holders of a choice. */
#define EDITOR_HOLDERS_MAX 4

/* What a peer says that it holds. */
typedef struct EditorStatement {
        Endpoint peer;
        Digest digest;
        uint64_t size;
        uint32_t created;               /* day, as rfc_meta_created(); 0: its preamble names none */
        usec_t until;                   /* boottime: it counts until then */
} EditorStatement;

/* What this peer has. */
typedef struct EditorHeld {
        bool own;                       /* the administrator's: nothing else is ever taken */
        bool has;                       /* else the rest counts for nothing */
        Digest digest;
        uint64_t size;
        uint32_t created;
        size_t n_entries;               /* issued RFCs */
} EditorHeld;

typedef struct EditorConf {
        unsigned quorum;                /* Integrity.Quorum= */
        Grade accept;                   /* Integrity.Accept=; below single counts as single */
        bool has_manifest;              /* the manifest names an rfc-index.txt */
        Digest manifest;                /* this one */
} EditorConf;

/* Answers */
typedef enum EditorAnswer {
        EDITOR_TAKE = 0,
        EDITOR_NONE,                    /* nobody holds one that is wanted */
        EDITOR_EMPTY,                   /* names no RFC */
        EDITOR_TOO_BIG,                 /* over RFC_META_BYTES_MAX */
        EDITOR_UNDATED,                 /* does not say when it was made */
        EDITOR_FUTURE,                  /* made more than a day from now */
        EDITOR_LOSES,                   /* lacks more than 5 % of the entries that the held one has */
        EDITOR_NO_NEWS,                 /* not newer than the held one */
        EDITOR_BELOW,                   /* its grade is below what is accepted, or it is disputed */
        _EDITOR_ANSWER_MAX,
} EditorAnswer;

/* What is wrong with it, behind "it": "was made more than a day from now". */
const char *editor_answer_text(EditorAnswer a);

/* -ENOMEM */
int editor_index_new(EditorIndex **ret) _must_check_;
EditorIndex *editor_index_free(EditorIndex *e);
DEFINE_CLEANUP(EditorIndex *, editor_index_free)

/* Takes the place of what that peer said before. false: it is the same. */
bool editor_index_state(EditorIndex *e, const EditorStatement *s);
/* It holds none any more, or was caught lying. */
void editor_index_forget(EditorIndex *e, const Endpoint *peer);
/*
 * The day that this peer has said of that text; false: it has not spoken of it. What others say of its day does not
 * count: nobody can make another one's text look old, or of the future.
 */
bool editor_index_said(const EditorIndex *e, const Endpoint *peer, const Digest *digest, uint32_t *ret_created);
/* All of that text was seen, and it is of that day, whatever they said. */
void editor_index_correct(EditorIndex *e, const Digest *digest, uint32_t created);
/* All of that text was seen, and it is not to be chosen again. */
void editor_index_refuse(EditorIndex *e, const Digest *digest);

/* The grade of a text of that day. n_prefixes: from how many address prefixes it is stated; may be NULL. */
Grade editor_index_grade(const EditorIndex *e, const EditorConf *conf, const Digest *digest, uint32_t created,
                         const Now *now, size_t *ret_n_prefixes);
/*
 * Is it fit, by itself and beside the held one? n_entries: 0: not counted yet. What the manifest names need not be newer, nor
 * is its age or size of interest: the administrator has looked at it.
 */
EditorAnswer editor_index_judge(const EditorConf *conf, const EditorHeld *held, const Digest *digest, uint64_t size,
                                uint32_t created, size_t n_entries, Grade grade, const Now *now);

typedef struct EditorChoice {
        Digest digest;
        uint64_t size;
        uint32_t created;
        Grade grade;
        Endpoint holders[EDITOR_HOLDERS_MAX];
        size_t n_holders;
} EditorChoice;

/* The newest that is fit and accepted; of one day the one with the better grade. TAKE or NONE. */
EditorAnswer editor_index_choose(const EditorIndex *e, const EditorConf *conf, const EditorHeld *held, const Now *now,
                                 EditorChoice *ret);
