/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/client-internal.h"

#include "io/library.h"
#include "io/loop.h"

/* One flush for so many at most. While they are flushed as many others may come: so nobody waits for the disk but the disk. */
#define COMMITS_AT_ONCE (OPERATIONS_STORING_MAX / 2)
/* The first of them waits so long for others that are on the way: some flushes of a disk, and less than one notices. */
#define GATHER_USEC (50 * USEC_PER_MSEC)

/* ---- in the disk worker ---- */

/* What went wrong before is thrown away. */
static void commit_all(Client *c, struct CommitList *list) {
        LibraryCommit commits[COMMITS_AT_ONCE];
        Commit *taken[COMMITS_AT_ONCE], *j;
        size_t n = 0;

        STAILQ_FOREACH(j, list, link)
                if (j->result == 0) {
                        commits[n] = (LibraryCommit){ .file = TAKE_PTR(j->file) };
                        taken[n++] = j;
                } else
                        j->file = library_store_abort(j->file);
        library_store_commit_all(documents_library(c->conf.documents), commits, n);
        for (size_t i = 0; i < n; i++) {
                taken[i]->result = commits[i].result;
                taken[i]->found = commits[i].found;
        }
}

static void run_committed(Message *m);

/* Answers each, and all of them behind: then the list is the client's thread's again. */
static void run_commits(Message *m) {
        Client *c = MESSAGE_OF(m, Client, commit_message);
        Commit *j;

        commit_all(c, &c->committing);
        while ((j = STAILQ_FIRST(&c->committing))) {
                STAILQ_REMOVE_HEAD(&c->committing, link);
                loop_thread_post(c->loop, j->done);     /* j may be gone after it */
        }
        m->run = run_committed;
        loop_thread_post(c->loop, m);
}

/* ---- in the client's thread ---- */

static void post(Client *c) {
        Commit *j;

        for (size_t n = 0; n < COMMITS_AT_ONCE && (j = STAILQ_FIRST(&c->commits)); n++) {
                STAILQ_REMOVE_HEAD(&c->commits, link);
                STAILQ_INSERT_TAIL(&c->committing, j, link);
                c->n_commits--;
        }
        c->commits_due = c->n_commits > 0;
        c->commits_posted = true;
        c->commit_message.run = run_commits;
        (void) loop_timer_set(c->commit_timer, USEC_INFINITY);
        worker_post(documents_disk(c->conf.documents), &c->commit_message);
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

static void run_committed(Message *m) {
        Client *c = MESSAGE_OF(m, Client, commit_message);
        c->commits_posted = false;
        commits_go_on(c);
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
        return loop_timer_new(e, on_timer, c, "commits", &c->commit_timer);
}
