/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * HugeMemory: memory in huge pages, where the kernel has some: for tables of many megabytes in which anything may be
 * asked for. In usual pages each step to another record is a walk through page tables that are in no cache either.
 */

#include "core/base.h"

#define HUGE_MEMORY_PAGE ((size_t) 2 << 20)

/* size: a multiple of HUGE_MEMORY_PAGE. Aligned to it, and zeroed. NULL: there is none. */
void *huge_memory_take(size_t size) _must_check_;
/* What was taken, with the same size. */
void huge_memory_give_back(void *memory, size_t size);
