/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/numbers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "ctl/ctl.h"

/* "RFC" and blank before the longest range that anybody writes. */
#define RANGE_TEXT_MAX 128

static int next_range(int argc, char **argv, int *i, const char *forms, RfcRange *ret) {
        char text[RANGE_TEXT_MAX];
        const char *word = argv[*i];

        /* `get RFC 7230`: the shell made two words of it. */
        if (strcasecmp(word, "rfc") == 0 && *i + 1 < argc) {
                (void) snprintf(text, sizeof(text), "%s %s", word, argv[++*i]);
                word = text;
        }
        ++*i;
        if (rfc_range_from_text(slice_of(word), ret) != 0)
                return ctl_fail(CTL_USAGE, "'%s' is no RFC number: write 1 to %" PRIu32 ", as in %s.", word,
                                RFC_NUMBER_MAX, forms);
        return 0;
}

int numbers_next_range(int argc, char **argv, int *i, RfcRange *ret) {
        return next_range(argc, argv, i, "7230, rfc7230.txt, bcp14, or a range 7230-7235", ret);
}

static int compare_value(const void *a, const void *b) {
        const Number *x = a, *y = b;

        if (x->number != y->number)
                return x->number < y->number ? -1 : 1;
        return x->place < y->place ? -1 : x->place > y->place;
}

static int compare_place(const void *a, const void *b) {
        const Number *x = a, *y = b;

        return x->place < y->place ? -1 : x->place > y->place;
}

static int count_asked(int argc, char **argv, size_t *ret) {
        size_t n = 0;

        for (int i = 0; i < argc;) {
                RfcRange range;
                int r;

                r = numbers_next_range(argc, argv, &i, &range);
                if (r != 0)
                        return r;
                if (range.last - range.first >= NUMBERS_MAX - n)
                        return ctl_fail(CTL_USAGE, "One call may name at most %d RFCs.", NUMBERS_MAX);
                n += range.last - range.first + 1;
        }
        *ret = n;
        return 0;
}

int numbers_from_arguments(int argc, char **argv, Numbers *ret) {
        _cleanup_(numbers_done) Numbers n = {};
        size_t n_asked = 0, k = 0;
        int r;

        r = count_asked(argc, argv, &n_asked);
        if (r != 0)
                return r;
        n.sorted = calloc(n_asked, sizeof(*n.sorted));
        n.asked = calloc(n_asked, sizeof(*n.asked));
        if (!n.sorted || !n.asked)
                return -ENOMEM;
        for (int i = 0; i < argc;) {
                RfcRange range;

                r = numbers_next_range(argc, argv, &i, &range);
                if (r != 0)
                        return r;
                for (uint32_t number = range.first; number <= range.last; number++, k++)
                        n.sorted[k] = (Number){ number, (uint32_t) k };
        }

        /* Of equal ones the first asked stays; then places without gaps. */
        qsort(n.sorted, n_asked, sizeof(*n.sorted), compare_value);
        for (size_t i = 0; i < n_asked; i++)
                if (i == 0 || n.sorted[i].number != n.sorted[n.n - 1].number)
                        n.sorted[n.n++] = n.sorted[i];
        qsort(n.sorted, n.n, sizeof(*n.sorted), compare_place);
        for (size_t i = 0; i < n.n; i++) {
                n.sorted[i].place = (uint32_t) i;
                n.asked[i] = n.sorted[i].number;
        }
        qsort(n.sorted, n.n, sizeof(*n.sorted), compare_value);
        *ret = n;
        n = (Numbers){};
        return 0;
}

int numbers_get_one(int argc, char **argv, uint32_t *ret) {
        RfcRange range;
        int i = 0, r;

        r = next_range(argc, argv, &i, "7230, rfc7230.txt or bcp14", &range);
        if (r != 0)
                return r;
        if (i < argc || range.first != range.last)
                return ctl_fail(CTL_USAGE, "This verb takes one RFC number.");
        *ret = range.first;
        return 0;
}

void numbers_done(Numbers *n) {
        free(n->asked);
        free(n->sorted);
        *n = (Numbers){};
}

bool numbers_find(const Numbers *n, uint32_t number, size_t *ret_place) {
        size_t low = 0, high = n->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (n->sorted[middle].number == number) {
                        *ret_place = n->sorted[middle].place;
                        return true;
                }
                if (n->sorted[middle].number < number)
                        low = middle + 1;
                else
                        high = middle;
        }
        return false;
}
