/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/* What the kernel knows of this process. */

#include "core/base.h"

/* Bytes of it that are in memory now. -errno: there is no /proc. */
int process_resident_size(uint64_t *ret) _must_check_;
