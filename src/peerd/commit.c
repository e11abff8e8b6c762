/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/client-internal.h"

#include "io/library.h"
#include "io/loop.h"

/* One flush for so many at most; each holds a descriptor. As many as can be under way. */
#define COMMITS_AT_ONCE OPERATIONS_ACTIVE_MAX

/* Takes up to COMMITS_AT_ONCE of the queue. */
static size_t take(Client *c, Commit *taken[COMMITS_AT_ONCE], LibraryCommit commits[COMMITS_AT_ONCE]) {
        size_t n = 0;
        Commit *j;

        while (n < COMMITS_AT_ONCE && (j = STAILQ_FIRST(&c->commits))) {
                STAILQ_REMOVE_HEAD(&c->commits, link);
                commits[n] = (LibraryCommit){ .file = TAKE_PTR(j->file) };
                taken[n++] = j;
        }
        return n;
}

/* Answers each: it is the client's thread's again. */
static void run_commits(Message *m) {
        Client *c = MESSAGE_OF(m, Client, commit_message);
        LibraryCommit commits[COMMITS_AT_ONCE];
        Commit *taken[COMMITS_AT_ONCE];

        const size_t n = take(c, taken, commits);
        c->commits_queued = !STAILQ_EMPTY(&c->commits);
        if (c->commits_queued)
                worker_post(documents_disk(c->conf.documents), m);
        library_store_commit_all(documents_library(c->conf.documents), commits, n);
        for (size_t i = 0; i < n; i++) {
                taken[i]->result = commits[i].result;
                taken[i]->found = commits[i].found;
                loop_thread_post(c->loop, taken[i]->done);
        }
}

/*
 * The message goes behind whatever the disk worker has to do by now: the commits that are among that join in. A lone
 * one finds nothing there, and waits for nobody.
 */
void commit_add(Client *c, Commit *j) {
        STAILQ_INSERT_TAIL(&c->commits, j, link);
        if (c->commits_queued)
                return;
        c->commits_queued = true;
        c->commit_message.run = run_commits;
        worker_post(documents_disk(c->conf.documents), &c->commit_message);
}
