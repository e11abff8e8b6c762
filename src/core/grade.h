/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* Grade: how far a document is believed to be what it is called. core/trust gives them and says what they mean. */

#include "core/base.h"

/* Rising. */
typedef enum Grade {
        GRADE_DISPUTED,
        GRADE_SINGLE,
        GRADE_AGREED,
        GRADE_VERIFIED,
        _GRADE_MAX,
} Grade;

/* Most that may be asked for to agree. */
#define GRADE_QUORUM_MAX 64

/* Answers */
enum {
        GRADE_BAD = 1,                  /* no such word; the output is untouched */
};

/* As it is configured and shown: "disputed", "single", "agreed", "verified". */
const char *grade_name(Grade g);
/* Exactly one of these words. */
int grade_from_name(Slice s, Grade *ret) _must_check_;
