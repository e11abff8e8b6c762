/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * "Did you mean …?": which of some names is the nearest to a word that is none of them.
 */

#include "core/base.h"

/* Longer words are mistyped in no way that is worth guessing at. */
#define SUGGEST_WORD_MAX 24

typedef struct Suggest {
        const char *word;               /* borrowed */
        const char *best;               /* borrowed; NULL: none is near */
        unsigned distance;              /* of best; without one, one more than is near */
} Suggest;

void suggest_begin(Suggest *s, const char *word);
/*
 * A name is near if the word begins it (two letters at least), or if at most two letters have to be put in, left out,
 * replaced or swapped with their neighbour, one in words of up to three letters. Of equally near ones the first stays.
 */
void suggest_consider(Suggest *s, const char *name);
