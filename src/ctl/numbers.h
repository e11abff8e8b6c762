/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * RFC numbers on the command line: "7230", "rfc7230.txt", "RFC 7230" (also as two words), "7230-7235".
 */

#include "core/base.h"
#include "core/rfc-number.h"

/* What one call may name. There are about 10,000 RFCs. */
#define NUMBERS_MAX 100000

typedef struct Number {
        uint32_t number;
        uint32_t place;                 /* in the order asked */
} Number;

/* Numbers without repetition, in the order asked and by value. The arrays are owned. */
typedef struct Numbers {
        uint32_t *asked;
        Number *sorted;
        size_t n;
} Numbers;

/*
 * The range that starts at argv[*i]; *i is moved behind it. 0 or CTL_USAGE, told.
 */
int numbers_next_range(int argc, char **argv, int *i, RfcRange *ret) _must_check_;
/* All arguments. 0, CTL_USAGE (told), -ENOMEM. */
int numbers_from_arguments(int argc, char **argv, Numbers *ret) _must_check_;
/* Exactly one number. 0, CTL_USAGE (told). */
int numbers_get_one(int argc, char **argv, uint32_t *ret) _must_check_;
void numbers_done(Numbers *n);
/* false: not among them. */
bool numbers_find(const Numbers *n, uint32_t number, size_t *ret_place);
