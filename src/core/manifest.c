/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/manifest.h"

#include <errno.h>

#include "core/buf.h"
#include "core/rfc-number.h"
#include "core/text.h"

/* The editor's index, among the numbers: no RFC has it. */
#define EDITOR_INDEX 0

#define HEX_SIZE (DIGEST_TEXT_SIZE - 1)

typedef struct Named {
        uint32_t number;
        Digest digest;
} Named;

struct Manifest {
        uint64_t n_bytes, n_lines;
        TextLine line;
        bool ended;
        Named *items;                   /* owned; from manifest_end() on ascending, each number once */
        size_t n, allocated;
        ManifestInfo info;
};

int manifest_new(Manifest **ret) {
        Manifest *m = calloc(1, sizeof(*m));
        if (!m)
                return -ENOMEM;
        m->line = TEXT_LINE_INIT(MANIFEST_LINE_MAX);
        *ret = m;
        return 0;
}

Manifest *manifest_free(Manifest *m) {
        if (!m)
                return NULL;
        text_line_done(&m->line);
        free(m->items);
        free(m);
        return NULL;
}

static int add_named(Manifest *m, uint32_t number, const Digest *digest) {
        if (m->n == m->allocated) {
                size_t wanted = MAX_OF(m->allocated * 2, (size_t) 1024);
                Named *grown = reallocarray(m->items, wanted, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                m->items = grown;
                m->allocated = wanted;
        }
        m->items[m->n++] = (Named){ .number = number, .digest = *digest };
        return 0;
}

/* "./rfc1.txt" is still here. */
static bool is_elsewhere(Slice path, Slice last) {
        return path.size > last.size && !(path.size == last.size + 2 && path.data[0] == '.');
}

static Slice last_component(Slice name) {
        const char *slash = memrchr(name.data, '/', name.size);
        if (!slash)
                return name;
        return (Slice){ slash + 1, (size_t) (name.data + name.size - slash - 1) };
}

/*
 * sha256sum puts a '\' before a line whose name has one or a line feed in it, escaped: the digest is as good, and the
 * name, if it is one of ours, has neither behind its last '/'.
 */
static int read_line(Manifest *m, Slice line) {
        Digest digest;
        uint32_t number;

        if (line.size > 0 && line.data[line.size - 1] == '\r')
                line.size--;
        if (slice_trim(line).size == 0 || line.data[0] == '#') {
                m->info.n_other++;
                return 0;
        }
        if (line.data[0] == '\\')
                line = (Slice){ line.data + 1, line.size - 1 };
        if (line.size < HEX_SIZE + 3 || digest_from_text((Slice){ line.data, HEX_SIZE }, &digest) != 0 ||
            line.data[HEX_SIZE] != ' ' || !(line.data[HEX_SIZE + 1] == ' ' || line.data[HEX_SIZE + 1] == '*')) {
                if (m->info.n_bad++ == 0)
                        m->info.first_bad = m->n_lines;
                return 0;
        }
        const Slice path = { line.data + HEX_SIZE + 2, line.size - HEX_SIZE - 2 }, name = last_component(path);
        if (is_elsewhere(path, name) && m->info.n_elsewhere++ == 0)
                m->info.first_elsewhere = m->n_lines;
        if (slice_equal(name, SLICE_LITERAL("rfc-index.txt")))
                number = EDITOR_INDEX;
        else if (rfc_number_from_file_name(name, &number) != 0) {
                m->info.n_other++;
                return 0;
        }
        return add_named(m, number, &digest);
}

static int end_line(Manifest *m) {
        int r = 0;

        m->n_lines++;
        if (!m->line.too_long)
                r = read_line(m, buf_slice(&m->line.text));
        else if (m->info.n_bad++ == 0)
                m->info.first_bad = m->n_lines;
        text_line_clear(&m->line);
        return r;
}

int manifest_feed(Manifest *m, Slice bytes) {
        assert(!m->ended);

        if (bytes.size > MANIFEST_BYTES_MAX - m->n_bytes)
                return MANIFEST_TOO_LARGE;
        m->n_bytes += bytes.size;
        for (int r; (r = text_line_take(&m->line, &bytes)) != TEXT_MORE;) {
                if (r == 0)
                        r = end_line(m);
                if (r != 0)
                        return r;
        }
        return 0;
}

static int compare_named(const void *a, const void *b) {
        const Named *x = a, *y = b;
        if (x->number != y->number)
                return x->number < y->number ? -1 : 1;
        return memcmp(&x->digest, &y->digest, sizeof(x->digest));
}

/* Each number once, and those with two digests not at all. */
static void settle(Manifest *m) {
        size_t n = 0;

        for (size_t i = 0, next; i < m->n; i = next) {
                bool torn = false;
                for (next = i + 1; next < m->n && m->items[next].number == m->items[i].number; next++)
                        torn = torn || !digest_equal(&m->items[next].digest, &m->items[i].digest);
                if (torn) {
                        m->info.n_torn++;
                        if (m->info.first_torn == 0)
                                m->info.first_torn = m->items[i].number;
                        continue;
                }
                m->info.n_named += m->items[i].number != EDITOR_INDEX;
                m->items[n++] = m->items[i];
        }
        m->n = n;
}

int manifest_end(Manifest *m) {
        assert(!m->ended);

        if (m->line.text.size > 0 || m->line.too_long) {
                int r = end_line(m);
                if (r != 0)
                        return r;
        }
        m->ended = true;
        text_line_done(&m->line);
        if (m->n > 0)
                qsort(m->items, m->n, sizeof(*m->items), compare_named);
        settle(m);
        if (m->n > 0 && m->n < m->allocated) {
                Named *shrunk = reallocarray(m->items, m->n, sizeof(*shrunk));
                if (shrunk)
                        m->items = shrunk;
                m->allocated = shrunk ? m->n : m->allocated;
        }
        return 0;
}

/* How many items have a lower number. */
static size_t items_below(const Manifest *m, uint32_t number) {
        size_t low = 0, high = m->n;

        assert(m->ended);
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (m->items[middle].number < number)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static const Digest *find(const Manifest *m, uint32_t number) {
        size_t at = items_below(m, number);
        return at < m->n && m->items[at].number == number ? &m->items[at].digest : NULL;
}

const Digest *manifest_get(const Manifest *m, uint32_t number) {
        return number == EDITOR_INDEX ? NULL : find(m, number);
}

const Digest *manifest_editor_index(const Manifest *m) {
        return find(m, EDITOR_INDEX);
}

uint32_t manifest_next(const Manifest *m, uint32_t after) {
        if (after >= RFC_NUMBER_MAX)
                return 0;
        size_t at = items_below(m, after + 1);
        return at < m->n ? m->items[at].number : 0;
}

void manifest_get_info(const Manifest *m, ManifestInfo *ret) {
        assert(m->ended);
        *ret = m->info;
}
