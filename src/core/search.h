/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Search: all of some words in a text, such as a title. ASCII case does not count; all other bytes are compared as they
 * are. A word may stand within another ("http" in "DHTTP"), and may have blanks in it ("http semantics").
 *
 * The words are prepared once and bounded, so that 10,000 titles cost a millisecond or two. Lives on the stack or within
 * something else; needs no end.
 */

#include "core/base.h"

/* What one may ask for: more than anybody types, and little enough to be looked for 10,000 times. */
#define SEARCH_WORDS_MAX 16
#define SEARCH_WORD_SIZE_MAX 64

typedef struct Search {
        size_t n_words;
        struct {
                uint8_t size;
                char text[SEARCH_WORD_SIZE_MAX];        /* in lower case */
        } words[SEARCH_WORDS_MAX];
} Search;

/* Answers */
enum {
        SEARCH_BAD_WORD = 1,            /* nothing but blanks, or over SEARCH_WORD_SIZE_MAX */
        SEARCH_TOO_MANY,                /* over SEARCH_WORDS_MAX */
};

void search_init(Search *s);
/* One word more. 0, BAD_WORD, TOO_MANY; then s is as before. */
int search_add(Search *s, Slice word) _must_check_;
/* Are all words in it? Without any word: yes. */
bool search_matches(const Search *s, Slice text) _pure_;
