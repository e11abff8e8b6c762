/* SPDX-License-Identifier: BSD-2-Clause */
/* Words, one a line, and a title in the last line: found as somebody else finds them. */
#include "core/search.h"
#include "core/text.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In lower case; owned by the caller. */
static char *lower(Slice s) {
        char *copy = malloc(s.size + 1);

        assert(copy);
        for (size_t i = 0; i < s.size; i++)
                copy[i] = (char) (s.data[i] >= 'A' && s.data[i] <= 'Z' ? s.data[i] | 0x20 : s.data[i]);
        return copy;
}

static bool contains(Slice text, Slice word) {
        _cleanup_free_ char *t = lower(text), *w = lower(word);

        return memmem(t, text.size, w, word.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *last = memrchr(data, '\n', size);
        Slice words = { (const char *) data, last ? (size_t) (last - (const char *) data) : 0 };
        const Slice title = last ? (Slice){ last + 1, size - words.size - 1 } : (Slice){ (const char *) data, size };
        bool wanted = true;
        size_t n = 0;
        Search s;
        Slice word;

        search_init(&s);
        while (words.size > 0 && slice_split(&words, '\n', &word)) {
                const int r = search_add(&s, word);

                assert(r != 0 || (word.size > 0 && word.size <= SEARCH_WORD_SIZE_MAX));
                assert(r != SEARCH_TOO_MANY || n == SEARCH_WORDS_MAX);
                n += r == 0;
                wanted = wanted && (r != 0 || contains(title, word));
        }
        assert(n <= SEARCH_WORDS_MAX && search_matches(&s, title) == wanted);
        return 0;
}
