/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/grade.h"

static const char *const grade_names[_GRADE_MAX] = {
        [GRADE_DISPUTED] = "disputed",
        [GRADE_SINGLE] = "single",
        [GRADE_AGREED] = "agreed",
        [GRADE_VERIFIED] = "verified",
};

const char *grade_name(Grade g) {
        assert(g < _GRADE_MAX);
        return grade_names[g];
}

int grade_from_name(Slice s, Grade *ret) {
        for (unsigned g = 0; g < _GRADE_MAX; g++)
                if (slice_equal(s, slice_of(grade_names[g]))) {
                        *ret = g;
                        return 0;
                }
        return GRADE_BAD;
}
