/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/serve-cache.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <errno.h>
#include <unistd.h>

/* For so long the file of a document is not looked at again. */
#define FRESH_USEC (100 * USEC_PER_MSEC)
/*
 * When it is full, one of so many that are not in it takes the place of others: what is asked for often comes in soon,
 * and whoever fetches the whole library neither pushes out everything nor has each document read twice.
 */
#define ONE_OF 16

typedef struct CachedDocument {
        ServeCache *cache;
        uint32_t number;
        RB_ENTRY(CachedDocument) node;          /* while it is not gone */
        TAILQ_ENTRY(CachedDocument) link;       /* likewise */
        usec_t fresh_until;                     /* boottime */
        uint64_t change;                        /* of the library, when that was found */
        unsigned n_sending;
        bool gone;                              /* freed when nobody sends it any more */
        int fd;                                 /* its file, owned; -1: it is in memory */
        ServeHead head;
        OwnDocument own;
        char bytes[];                           /* SERVE_HEAD_MAX of the head, and the document in memory */
} CachedDocument;

RB_HEAD(CachedTree, CachedDocument);
TAILQ_HEAD(CachedList, CachedDocument);

struct ServeCache {
        Documents *documents;
        uint64_t max, size;                     /* size: also of what is gone and being sent */
        struct CachedTree tree;
        struct CachedList list;                 /* asked for last: first */
        unsigned max_files, n_files;            /* that are open, also of what is gone and being sent */
        unsigned n_turned_away;
        OwnDocument scratch;                    /* of what is not in memory */
};

static int cached_compare(const CachedDocument *a, const CachedDocument *b) {
        return a->number < b->number ? -1 : a->number > b->number;
}

RB_GENERATE_INTERNAL(CachedTree, CachedDocument, node, cached_compare, _unused_ static)

/* ---- life ---- */

int serve_cache_new(Documents *d, uint64_t max, unsigned max_files, ServeCache **ret) {
        ServeCache *c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->documents = d;
        c->max = max;
        c->max_files = max_files;
        RB_INIT(&c->tree);
        TAILQ_INIT(&c->list);
        *ret = c;
        return 0;
}

/* Of a document with so many bytes in memory. */
static uint64_t cost_of(uint64_t n) {
        return sizeof(CachedDocument) + SERVE_HEAD_MAX + n;
}

static void cached_free(CachedDocument *e) {
        e->cache->size -= cost_of(e->fd >= 0 ? 0 : e->own.size);
        if (e->fd >= 0) {
                (void) close(e->fd);            /* read only: nothing can be lost */
                e->cache->n_files--;
        }
        free(e);
}

static void cached_drop(CachedDocument *e) {
        RB_REMOVE(CachedTree, &e->cache->tree, e);
        TAILQ_REMOVE(&e->cache->list, e, link);
        e->gone = true;
        if (e->n_sending == 0)
                cached_free(e);
}

ServeCache *serve_cache_free(ServeCache *c) {
        CachedDocument *e;

        if (!c)
                return NULL;
        while ((e = TAILQ_FIRST(&c->list)))
                cached_drop(e);
        assert(c->size == 0);
        free(c);
        return NULL;
}

/* Makes room for n bytes: what was asked for the longest time ago goes. false: too much of it is being sent. */
static bool make_room(ServeCache *c, uint64_t n) {
        CachedDocument *e, *previous;

        for (e = TAILQ_LAST(&c->list, CachedList); e && c->size + n > c->max; e = previous) {
                previous = TAILQ_PREV(e, CachedList, link);
                if (e->n_sending == 0)
                        cached_drop(e);
        }
        return c->size + n <= c->max;
}

void serve_cache_set_max(ServeCache *c, uint64_t max) {
        CachedDocument *e;

        c->max = max;
        while (c->size > max && (e = TAILQ_LAST(&c->list, CachedList)))
                cached_drop(e);
}

/* ---- asking ---- */

static void release(void *owner) {
        CachedDocument *e = owner;

        if (--e->n_sending == 0 && e->gone)
                cached_free(e);
}

static void give(CachedDocument *e, ServeDocument *ret) {
        e->n_sending++;
        *ret = (ServeDocument){
                .own = &e->own,
                .body = { .fd = e->fd, .release = release, .owner = e },
                .head = &e->head,
        };
        if (e->fd >= 0)
                ret->body.size = e->own.size;
        else
                ret->body.memory = (Slice){ e->head.end, e->own.size };
}

/* Is it still what the library holds under that number? It counts as read. 0, LIBRARY_NONE, -errno. */
static int check(ServeCache *c, CachedDocument *e, const Now *now) {
        /* Before the question, so that what changes behind it is asked for the next time. */
        const uint64_t change = documents_n_changes(c->documents);

        if (!documents_get(c->documents, e->number, &c->scratch) ||
            memcmp(&c->scratch.stamp, &e->own.stamp, sizeof(e->own.stamp)) != 0 ||
            !digest_equal(&c->scratch.digest, &e->own.digest) || strcmp(c->scratch.title, e->own.title) != 0)
                return LIBRARY_NONE;
        int k = library_look_at(documents_library(c->documents), e->number, &e->own.stamp);
        if (k == 0) {
                e->change = change;
                e->fresh_until = usec_add(now->boottime, FRESH_USEC);
        }
        return k;
}

/* Of what c->scratch tells of: so many bytes of it are to be in memory, all or, with its file open, none. */
static uint64_t size_in_memory(const ServeCache *c) {
        return c->scratch.size > SERVE_CACHE_COPIED_MAX && c->n_files < c->max_files ? 0 : c->scratch.size;
}

/* It is read into memory, or opened. 0, LIBRARY_NONE, -errno. */
static int load(ServeCache *c, uint32_t number, uint64_t change, const Now *now, CachedDocument **ret) {
        const uint64_t n = size_in_memory(c);
        CachedDocument *e = malloc(cost_of(n));
        if (!e)
                return -ENOMEM;
        *e = (CachedDocument){
                .cache = c,
                .number = number,
                .fresh_until = usec_add(now->boottime, FRESH_USEC),
                .change = change,
                .fd = -1,
                .head.end = e->bytes + SERVE_HEAD_MAX,
                .own = c->scratch,
        };
        const Library *l = documents_library(c->documents);
        int k = n < e->own.size ? library_open(l, number, &e->own.stamp, &e->fd) :
                                  library_load(l, number, &e->own.stamp, &e->own.digest, e->head.end);
        if (k != 0) {
                free(e);
                return k;
        }
        c->size += cost_of(n);
        c->n_files += e->fd >= 0;
        RB_INSERT(CachedTree, &c->tree, e);
        TAILQ_INSERT_HEAD(&c->list, e, link);
        *ret = e;
        return 0;
}

static bool is_taken_in(ServeCache *c) {
        const uint64_t n = size_in_memory(c), cost = cost_of(n);

        if (n > SERVE_CACHE_DOCUMENT_MAX || cost > c->max)
                return false;
        return c->size + cost <= c->max || (++c->n_turned_away % ONE_OF == 0 && make_room(c, cost));
}

/* Of what c->scratch tells of, in memory or as an open file. 0, LIBRARY_NONE, -errno. */
static int take(ServeCache *c, uint32_t number, uint64_t change, const Now *now, ServeDocument *ret) {
        if (is_taken_in(c)) {
                CachedDocument *e;
                int k = load(c, number, change, now, &e);
                if (k == 0)
                        give(e, ret);
                if (k != -ENOMEM)
                        return k;
        }
        *ret = (ServeDocument){ .own = &c->scratch, .body = { .size = c->scratch.size } };
        return library_open(documents_library(c->documents), number, &c->scratch.stamp, &ret->body.fd);
}

int serve_cache_get(ServeCache *c, uint32_t number, const Now *now, ServeDocument *ret) {
        const CachedDocument key = { .number = number };
        const uint64_t change = documents_n_changes(c->documents);
        CachedDocument *e = RB_FIND(CachedTree, &c->tree, (CachedDocument *) &key);

        if (e && (e->change != change || now->boottime >= e->fresh_until) && check(c, e, now) != 0) {
                cached_drop(e);         /* what is wrong with it comes out below */
                e = NULL;
        }
        if (e) {
                if (e != TAILQ_FIRST(&c->list)) {
                        TAILQ_REMOVE(&c->list, e, link);
                        TAILQ_INSERT_HEAD(&c->list, e, link);
                }
                give(e, ret);
                return 0;
        }

        /* What comes new the watch tells of, once it is whole: whoever asks for it has no say in that. */
        if (!documents_get(c->documents, number, &c->scratch))
                return LIBRARY_NONE;
        int k = take(c, number, change, now, ret);
        if (k == LIBRARY_NONE)  /* changed or gone since it was hashed, and the watch has not told yet */
                documents_recheck(c->documents, number, NULL, NULL);
        return k;
}

bool serve_cache_close_idle(ServeCache *c, const Now *now) {
        CachedDocument *e, *next;

        for (e = TAILQ_FIRST(&c->list); e && c->n_files > 0; e = next) {
                next = TAILQ_NEXT(e, link);
                /* Whoever asks for it makes it fresh again. */
                if (e->fd >= 0 && e->n_sending == 0 && now->boottime >= usec_add(e->fresh_until, SERVE_CACHE_FILE_USEC))
                        cached_drop(e);
        }
        return c->n_files > 0;
}

/* ---- bodies ---- */

void serve_drop_body(ConnBody *body) {
        if (body->release)
                body->release(body->owner);
        else if (body->fd >= 0)
                (void) close(body->fd); /* read only: nothing can be lost */
        *body = CONN_NO_BODY;
}

void serve_cut_body(ConnBody *body, uint64_t first, uint64_t size) {
        if (body->fd >= 0) {
                body->offset = first;
                body->size = size;
        } else
                body->memory = (Slice){ body->memory.data + first, (size_t) size };
}
