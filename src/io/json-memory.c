/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/json-memory.h"

#include <stdatomic.h>
#include <stdlib.h>

static _Atomic unsigned n_failures;

static void *json_malloc(size_t size) {
        void *p = malloc(size);

        if (!p)
                n_failures++;
        return p;
}

void json_memory_watch(void) {
        json_set_alloc_funcs(json_malloc, free);
}

unsigned json_memory_failures(void) {
        return n_failures;
}

/* Some that jansson lacks memory for it leaves without a word; what is wrong in a text it always tells. */
bool json_memory_is_lacking(const json_error_t *error) {
        return error->text[0] == '\0' || json_error_code(error) == json_error_out_of_memory;
}
