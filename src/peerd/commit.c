/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/client-internal.h"

#include <errno.h>

#include "io/library.h"
#include "io/loop.h"

/* One flush for so many at most. While they are flushed as many others may come: so nobody waits for the disk but the disk. */
#define COMMITS_AT_ONCE (OPERATIONS_STORING_MAX / 2)
/* The first of them waits so long for others that are on the way: some flushes of a disk, and less than one notices. */
#define GATHER_USEC (50 * USEC_PER_MSEC)

struct CommitBatch {
        Message message;
        Client *client;
        unsigned step;                          /* of steps[] */
        struct CommitList members;
        LibraryCommit commits[COMMITS_AT_ONCE];
        Commit *of[COMMITS_AT_ONCE];            /* the members that they are of */
        size_t n;
};

/* ---- in the disk worker, and in the one that waits for the disk, so that the first can go on writing ---- */

/* What went wrong before is thrown away. It is seen here, as what was written comes before this. */
static void prepare(CommitBatch *b) {
        Commit *j;

        STAILQ_FOREACH(j, &b->members, link)
                if (j->result == 0) {
                        b->commits[b->n] = (LibraryCommit){ .file = TAKE_PTR(j->file) };
                        b->of[b->n++] = j;
                } else
                        j->file = library_store_abort(j->file);
        library_store_prepare(b->commits, b->n);
}

static void flush(CommitBatch *b) {
        library_store_flush(documents_library(b->client->conf.documents), b->commits, b->n);
}

static void publish(CommitBatch *b) {
        library_store_publish(documents_library(b->client->conf.documents), b->commits, b->n);
}

static void finish(CommitBatch *b) {
        library_store_finish(documents_library(b->client->conf.documents), b->commits, b->n);
}

static const struct {
        void (*run)(CommitBatch *b);
        bool flushes;
} steps[] = {
        { prepare, false },
        { flush, true },
        { publish, false },
        { flush, true },
        { finish, false },
};

static void run_next(Message *m);

static void run_step(Message *m) {
        CommitBatch *b = MESSAGE_OF(m, CommitBatch, message);

        steps[b->step++].run(b);
        m->run = run_next;
        loop_thread_post(b->client->loop, m);
}

/* ---- in the client's thread, where each step ends: so none is begun any more once that has stopped ---- */

static void answer(CommitBatch *b) {
        Client *c = b->client;
        Commit *j;

        for (size_t i = 0; i < b->n; i++) {
                b->of[i]->result = b->commits[i].result;
                b->of[i]->found = b->commits[i].found;
        }
        b->n = 0;
        while ((j = STAILQ_FIRST(&b->members))) {
                STAILQ_REMOVE_HEAD(&b->members, link);
                loop_thread_post(c->loop, j->done);     /* j may be gone after it */
        }
        c->commits_posted = false;
        commits_go_on(c);
}

static void run_next(Message *m) {
        CommitBatch *b = MESSAGE_OF(m, CommitBatch, message);
        Client *c = b->client;

        if (b->step == ELEMENTSOF(steps)) {
                answer(b);
                return;
        }
        m->run = run_step;
        worker_post(steps[b->step].flushes ? c->flusher : documents_disk(c->conf.documents), m);
}

static void post(Client *c) {
        CommitBatch *b = c->batch;
        Commit *j;

        b->step = 0;
        for (size_t n = 0; n < COMMITS_AT_ONCE && (j = STAILQ_FIRST(&c->commits)); n++) {
                STAILQ_REMOVE_HEAD(&c->commits, link);
                STAILQ_INSERT_TAIL(&b->members, j, link);
                c->n_commits--;
        }
        c->commits_due = c->n_commits > 0;
        c->commits_posted = true;
        (void) loop_timer_set(c->commit_timer, USEC_INFINITY);
        run_next(&b->message);
}

/* Is there anything on the way that could join in? */
static bool none_to_come(const Client *c) {
        return c->n_active == c->n_storing && TAILQ_EMPTY(&c->line);
}

void commits_go_on(Client *c) {
        if (c->n_commits > 0 && !c->commits_posted &&
            (c->commits_due || c->n_commits >= COMMITS_AT_ONCE || none_to_come(c)))
                post(c);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Client *c = userdata;
        (void) s;
        (void) usec;
        c->commits_due = c->n_commits > 0;
        commits_go_on(c);
        return 0;
}

void commit_add(Client *c, Commit *j) {
        Now now;

        STAILQ_INSERT_TAIL(&c->commits, j, link);
        if (c->n_commits++ == 0) {
                now_of_event(c->event, &now);
                (void) loop_timer_set(c->commit_timer, usec_add(now.boottime, GATHER_USEC));
        }
        commits_go_on(c);
}

int commits_new(Client *c, sd_event *e) {
        int k = loop_timer_new(e, on_timer, c, "commits", &c->commit_timer);

        if (k < 0)
                return k;
        c->batch = calloc(1, sizeof(*c->batch));
        if (!c->batch)
                return -ENOMEM;
        c->batch->client = c;
        STAILQ_INIT(&c->batch->members);
        return worker_new("flush", &c->flusher);
}

void commits_stop(Client *c) {
        c->flusher = worker_free(c->flusher);
}

void commits_free(Client *c) {
        commits_stop(c);
        for (size_t i = 0; c->batch && i < c->batch->n; i++)
                library_commit_done(&c->batch->commits[i]);
        free(TAKE_PTR(c->batch));
        c->commit_timer = event_source_free(c->commit_timer);
}
