/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Buf: growable bytes with a hard cap. The only growing buffer of the project: whatever is read from a
 * socket, and every message that is put together, lives in one. The cap is given at the start, so a
 * length from outside can never make it grow further.
 *
 * On the stack or embedded: BUF_INIT(max) or buf_init(), and buf_done() in the end.
 */

#include "core/base.h"

#include <stdarg.h>

typedef struct Buf {
        char *data;             /* owned; NULL until something is in it */
        size_t size;            /* bytes in use */
        size_t allocated;
        size_t max;             /* never more than this */
} Buf;

/* Answers */
enum {
        BUF_FULL = 1,           /* would go over the cap; nothing was added */
};

#define BUF_INIT(max_size) ((Buf){ .max = (max_size) })

void buf_init(Buf *b, size_t max);
/* Frees the bytes; the Buf is empty afterwards and can be used again. */
void buf_done(Buf *b);
#define _cleanup_buf_ _cleanup_(buf_done)

/* Room for n more bytes behind the data (at data + size). 0, BUF_FULL, -ENOMEM. */
int buf_reserve(Buf *b, size_t n) _must_check_;
/* n bytes were written into the reserved room. */
void buf_commit(Buf *b, size_t n);

/* All of these: 0, BUF_FULL, -ENOMEM; all or nothing. */
int buf_append(Buf *b, const void *data, size_t size) _must_check_;
int buf_append_slice(Buf *b, Slice s) _must_check_;
int buf_append_string(Buf *b, const char *s) _must_check_;
int buf_append_char(Buf *b, char c) _must_check_;
int buf_append_decimal(Buf *b, uint64_t value) _must_check_;
int buf_printf(Buf *b, const char *format, ...) _must_check_ _printf_(2, 3);
int buf_vprintf(Buf *b, const char *format, va_list ap) _must_check_ _printf_(2, 0);

/* Drops the first n bytes (n <= size). */
void buf_consume(Buf *b, size_t n);
/* Drops the bytes, keeps the memory. */
void buf_clear(Buf *b);
/* Cuts to the first n bytes (n <= size): takes back what was added. */
void buf_truncate(Buf *b, size_t n);

static inline Slice buf_slice(const Buf *b) {
        return (Slice){ b->data, b->size };
}
