/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/buf.h"

#include <errno.h>
#include <stdio.h>

/* A first allocation that holds most heads. */
#define BUF_ALLOCATE_MIN ((size_t) 512)

void buf_init(Buf *b, size_t max) {
        *b = BUF_INIT(max);
}

void buf_done(Buf *b) {
        free(b->data);
        *b = BUF_INIT(b->max);
}

int buf_reserve(Buf *b, size_t n) {
        size_t wanted;
        char *data;

        if (n > b->max - b->size)
                return BUF_FULL;
        if (n <= b->allocated - b->size)
                return 0;

        wanted = MAX_OF(b->size + n, BUF_ALLOCATE_MIN);
        if (b->allocated <= SIZE_MAX / 2)
                wanted = MAX_OF(wanted, 2 * b->allocated);
        wanted = MIN_OF(wanted, b->max);
        if (wanted == SIZE_MAX)
                return -ENOMEM;

        /* One byte beyond: vsnprintf() puts a NUL behind what it writes, also where the cap is met exactly. */
        data = realloc(b->data, wanted + 1);
        if (!data)
                return -ENOMEM;
        b->data = data;
        b->allocated = wanted;
        return 0;
}

void buf_commit(Buf *b, size_t n) {
        assert(n <= b->allocated - b->size);
        b->size += n;
}

int buf_append(Buf *b, const void *data, size_t size) {
        int r;

        r = buf_reserve(b, size);
        if (r != 0)
                return r;
        if (size > 0)
                memcpy(b->data + b->size, data, size);
        b->size += size;
        return 0;
}

int buf_append_slice(Buf *b, Slice s) {
        return buf_append(b, s.data, s.size);
}

int buf_append_string(Buf *b, const char *s) {
        return buf_append(b, s, strlen(s));
}

int buf_append_char(Buf *b, char c) {
        return buf_append(b, &c, 1);
}

int buf_append_decimal(Buf *b, uint64_t value) {
        char digits[20];                /* 2^64 - 1 has twenty */
        size_t i = sizeof(digits);

        do {
                digits[--i] = (char) ('0' + value % 10);
                value /= 10;
        } while (value > 0);
        return buf_append(b, digits + i, sizeof(digits) - i);
}

int buf_printf(Buf *b, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = buf_vprintf(b, format, ap);
        va_end(ap);
        return r;
}

int buf_vprintf(Buf *b, const char *format, va_list ap) {
        size_t room = b->allocated - b->size;
        va_list again;
        int n, r;

        /* Most of what is printed fits into the room that is there: the second pass is the exception. */
        va_copy(again, ap);
        n = b->data ? vsnprintf(b->data + b->size, room + 1, format, again) : vsnprintf(NULL, 0, format, again);
        va_end(again);
        if (n < 0)
                return -errno;

        if ((size_t) n > room) {
                r = buf_reserve(b, (size_t) n);
                if (r != 0)
                        return r;
                n = vsnprintf(b->data + b->size, (size_t) n + 1, format, ap);
                if (n < 0)
                        return -errno;
        }
        b->size += (size_t) n;
        return 0;
}

void buf_consume(Buf *b, size_t n) {
        assert(n <= b->size);

        b->size -= n;
        if (n > 0 && b->size > 0)
                memmove(b->data, b->data + n, b->size);
}

void buf_clear(Buf *b) {
        b->size = 0;
}

void buf_truncate(Buf *b, size_t n) {
        assert(n <= b->size);
        b->size = n;
}
