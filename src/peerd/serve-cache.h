/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * ServeCache: documents that a download thread has in memory or whose files it has open, those that were asked for last
 * (Server.CacheSize=, divided among the threads). Belongs to one thread: nobody waits for another one to serve what both
 * have.
 *
 * What is in memory was compared with its digest when it was read, so it is right whatever becomes of the file. Whether
 * it is still the document of that number is asked anew when the library has told of any change, and every 100 ms also
 * of the file itself, since a file that is written in place tells of it only when it is closed.
 */

#include "io/conn.h"
#include "peerd/documents.h"

typedef struct ServeCache ServeCache;

/* Bigger ones are rare, and not kept in memory. */
#define SERVE_CACHE_DOCUMENT_MAX (UINT64_C(1) << 20)
/*
 * Bigger ones are sent by sendfile(), as long as their files can be kept open: what that does for each page costs as
 * much as to copy it from the cache of the CPU, and half of what it costs from memory.
 */
#define SERVE_CACHE_COPIED_MAX (UINT64_C(16) << 10)
/* Files kept open, divided among the threads. */
#define SERVE_CACHE_FILES_MAX 128u
/* For so long at least after it was asked for last: it may have been removed, and its space is not free meanwhile. */
#define SERVE_CACHE_FILE_USEC USEC_PER_SEC

/*
 * A head that was written for a document and may be sent again: see serve-http.c. It ends where a document in memory
 * begins, so that both go out in one piece.
 */
#define SERVE_HEAD_MAX 640
typedef struct ServeHead {
        char *end;                      /* behind SERVE_HEAD_MAX bytes */
        size_t size;                    /* 0: none */
        usec_t second;                  /* realtime, when it was written */
        bool close, keep_alive;
} ServeHead;

/* What is to be served. */
typedef struct ServeDocument {
        const OwnDocument *own;         /* until the cache is called again, or as long as the body */
        ConnBody body;                  /* all of it; owned */
        ServeHead *head;                /* likewise; NULL: it is not in the cache */
} ServeDocument;

/* max: bytes that this one may take, all told; max_files: that it may keep open. */
int serve_cache_new(Documents *d, uint64_t max, unsigned max_files, ServeCache **ret) _must_check_;
/* Nothing of it is being sent any more. */
ServeCache *serve_cache_free(ServeCache *c);
/* What is over a lower one goes now, what is being sent when it is out. */
void serve_cache_set_max(ServeCache *c, uint64_t max);
/*
 * An own document, which counts as read now: from memory, or its file. 0; LIBRARY_NONE: it is not held, or not what it
 * was, and then the library looks at it anew; -errno.
 */
int serve_cache_get(ServeCache *c, uint32_t number, const Now *now, ServeDocument *ret) _must_check_;
/* Closes files that nobody has asked for in a while. true: some are left, so it is to be called again. */
bool serve_cache_close_idle(ServeCache *c, const Now *now);
/* Gives back a body that is not sent. */
void serve_drop_body(ConnBody *body);
/* Leaves a part of it. */
void serve_cut_body(ConnBody *body, uint64_t first, uint64_t size);
