/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* For descriptors that block: files, and whatever standard output is. */

#include "core/base.h"

/* All of the bytes, however many calls that takes. 0, -errno: some of them may be written. */
int write_all(int fd, Slice bytes) _must_check_;
