/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/search.h"

#include "core/text.h"

/* Not tolower(): that asks the locale. */
static char lower(char c) {
        return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

void search_init(Search *s) {
        s->n_words = 0;
}

int search_add(Search *s, Slice word) {
        if (slice_trim(word).size == 0 || word.size > SEARCH_WORD_SIZE_MAX)
                return SEARCH_BAD_WORD;
        if (s->n_words == SEARCH_WORDS_MAX)
                return SEARCH_TOO_MANY;
        for (size_t i = 0; i < word.size; i++)
                s->words[s->n_words].text[i] = lower(word.data[i]);
        s->words[s->n_words++].size = (uint8_t) word.size;
        return 0;
}

static bool is_at(const char *at, const char *word, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (lower(at[i]) != word[i])
                        return false;
        return true;
}

static bool contains(Slice text, const char *word, size_t size) {
        for (size_t i = 0; i + size <= text.size; i++)
                if (is_at(text.data + i, word, size))
                        return true;
        return false;
}

bool search_matches(const Search *s, Slice text) {
        for (size_t i = 0; i < s->n_words; i++)
                if (!contains(text, s->words[i].text, s->words[i].size))
                        return false;
        return true;
}
