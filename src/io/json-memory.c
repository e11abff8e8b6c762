/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/json-memory.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define ALIGNMENT 16

static _Atomic unsigned n_failures;
/* Of the text that is being parsed in this thread. */
static _Thread_local char *reserve, *reserve_at, *reserve_end;

static void *json_malloc(size_t size) {
        void *p = malloc(size);

        if (p)
                return p;
        n_failures++;
        if (!reserve)
                return NULL;
        size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        assert(size <= (size_t) (reserve_end - reserve_at));
        p = reserve_at;
        reserve_at += size;
        return p;
}

static void json_release(void *p) {
        if ((char *) p < reserve || (char *) p >= reserve_end)
                free(p);
}

void json_memory_watch(void) {
        json_set_alloc_funcs(json_malloc, json_release);
}

unsigned json_memory_failures(void) {
        return n_failures;
}

/*
 * What jansson takes at most. A string: its token, which doubles as it grows, and two copies. An object is 80 bytes and
 * 128 for its first members, a member 57 and twice 16 as their table grows, an array 40 and 64, an element twice 8, any
 * other value 32.
 */
static size_t reserve_size(Slice text) {
        size_t n_marks = 1;

        for (size_t i = 0; i < text.size; i++)
                n_marks += text.data[i] == '{' || text.data[i] == '[' || text.data[i] == ':' || text.data[i] == ',';
        return 4096 + 8 * text.size + 256 * n_marks;
}

int json_memory_parse(Slice text, json_t **ret) {
        const size_t size = reserve_size(text);
        json_t *json;
        bool lacking;

        reserve = reserve_at = malloc(size);
        if (!reserve)
                return -ENOMEM;
        reserve_end = reserve + size;
        json = json_loadb(text.data, text.size, JSON_REJECT_DUPLICATES, NULL);
        lacking = reserve_at != reserve;
        if (lacking)
                json_decref(json);
        free(reserve);
        reserve = reserve_at = reserve_end = NULL;
        if (lacking)
                return -ENOMEM;
        if (!json)
                return JSON_MEMORY_BAD;
        *ret = json;
        return 0;
}
