/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/suggest.h"

#define NEAR_MAX 2

/* Optimal string alignment: Levenshtein's distance, with swapped neighbours as one step. Both words are short. */
static unsigned distance(const char *a, size_t n_a, const char *b, size_t n_b) {
        unsigned row[3][SUGGEST_WORD_MAX + 1];
        unsigned *before = row[0], *above = row[1], *here = row[2];

        for (size_t k = 0; k <= n_b; k++)
                above[k] = (unsigned) k;
        for (size_t i = 1; i <= n_a; i++) {
                unsigned *free_row;

                here[0] = (unsigned) i;
                for (size_t k = 1; k <= n_b; k++) {
                        unsigned d = above[k - 1] + (a[i - 1] != b[k - 1]);

                        d = MIN_OF(d, above[k] + 1);
                        d = MIN_OF(d, here[k - 1] + 1);
                        if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                                d = MIN_OF(d, before[k - 2] + 1);
                        here[k] = d;
                }
                free_row = before;
                before = above;
                above = here;
                here = free_row;
        }
        return above[n_b];
}

void suggest_begin(Suggest *s, const char *word) {
        *s = (Suggest){ .word = word, .distance = (strlen(word) > 3 ? NEAR_MAX : 1) + 1 };
}

void suggest_consider(Suggest *s, const char *name) {
        size_t n_word = strlen(s->word), n_name = strlen(name);
        unsigned d;

        if (n_word == 0 || n_word > SUGGEST_WORD_MAX || n_name > SUGGEST_WORD_MAX)
                return;
        if (n_word >= 2 && strncmp(s->word, name, n_word) == 0)
                d = 0;
        else
                d = distance(s->word, n_word, name, n_name);
        if (d < s->distance) {
                s->distance = d;
                s->best = name;
        }
}
