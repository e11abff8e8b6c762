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

/* Answers */
enum {
        JSON_MEMORY_BAD = 1,            /* parse: it is no JSON, or has a member twice */
};

/*
 * A text as a value, *ret owned by the caller. 0, JSON_MEMORY_BAD, -ENOMEM. jansson's own parser goes on where it could not
 * keep a byte, and then reads and writes beyond its memory; so there is enough for it in any case, and what it made is
 * thrown away if that was needed. json_memory_watch() was called.
 */
int json_memory_parse(Slice text, json_t **ret) _must_check_;
