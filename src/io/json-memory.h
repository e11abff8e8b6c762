/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Want of memory for JSON: jansson leaves out of a value what it has none for. So who makes values need not look at each
 * member, but asks here before they are used.
 */

#include "core/base.h"

#include <jansson.h>

/* jansson gets allocation functions that count what there is no memory for. Before anything is made. */
void json_memory_watch(void);
/* How often that was, in any thread. */
unsigned json_memory_failures(void);
/* Was it that, when a text could not be parsed? */
bool json_memory_is_lacking(const json_error_t *error);
