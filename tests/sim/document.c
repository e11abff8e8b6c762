/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>

#include "world.h"

void document_text(uint32_t number, unsigned lie, Buf *b) {
        char text[512];
        int n = snprintf(text, sizeof(text), "Document %u\n%.*s", number, (int) (number % 7 * 16),
                         "A line of it...\nA line of it...\nA line of it...\n"
                         "A line of it...\nA line of it...\nA line of it...\n");
        if (lie != 0)
                n += snprintf(text + n, sizeof(text) - (size_t) n, "As told by liar %u.\n", lie);
        if (buf_append(b, text, (size_t) n) != 0)
                abort();
}

void document_digest(Slice text, Digest *ret) {
        for (uint64_t i = 0; i < DIGEST_SIZE / 8; i++) {
                const uint64_t key[2] = { i, 0 };
                uint64_t hash = bytes_hash(text.data, text.size, key);
                memcpy(ret->bytes + 8 * i, &hash, 8);
        }
}

void document_describe(uint32_t number, unsigned lie, uint64_t *ret_size, Digest *ret) {
        _cleanup_buf_ Buf text = BUF_INIT(4096);

        document_text(number, lie, &text);
        document_digest(buf_slice(&text), ret);
        *ret_size = text.size;
}

uint64_t document_sum(uint32_t number, uint64_t size, const Digest *digest) {
        static const uint64_t key[2] = { 0x7375, 0x6d };
        char line[160];
        int n = snprintf(line, sizeof(line), "%u\t%llu\t", number, (unsigned long long) size);

        for (size_t i = 0; i < DIGEST_SIZE; i++)
                n += snprintf(line + n, sizeof(line) - (size_t) n, "%02x", digest->bytes[i]);
        n += snprintf(line + n, sizeof(line) - (size_t) n, "\t" DOCUMENT_TITLE "\n");
        return bytes_hash(line, (size_t) n, key);
}
