/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/client-internal.h"

#include <errno.h>

#include "io/log.h"
#include "io/loop.h"

/* Pulls of one refresh under way at once. */
#define REFRESH_AT_ONCE 16

struct Refresh {
        TAILQ_ENTRY(Refresh) link;
        uint64_t request, transaction;          /* of nobody, if it is for a sync */
        Sync *sync;                             /* NULL: for none, or it is gone */
        bool waits_for_query;
        Endpoint *peers;                        /* owned; NULL: all that may be dialled, once the query is done */
        bool *asking;                           /* owned, one per peer: its pull is under way */
        size_t n_peers, n_asked, n_ended;
        RefreshEvent *end;                      /* owned: tells the end, whatever memory there is by then; NULL: of nobody */
};

static void run_refresh_event(Message *m) {
        RefreshEvent *e = MESSAGE_OF(m, RefreshEvent, event.message);
        const Client *c = e->event.client;
        c->conf.handler.on_refresh(e, c->conf.handler.userdata);
        client_event_read(&e->event);
}

static void refresh_tell(Client *c, const Refresh *f, const RefreshEvent *e) {
        if (f->request == 0) {
                if (f->sync && e->has_peer)
                        sync_peer_told(f->sync, strcmp(e->result, "ok") == 0 || strcmp(e->result, "unchanged") == 0);
                return;
        }
        RefreshEvent *copy = malloc(sizeof(*copy));
        if (!copy) {
                log_error("No memory to tell how a refresh goes on.");
                return;
        }
        *copy = *e;
        client_event_post(c, &copy->event, run_refresh_event);
}

void refresh_free(Client *c, Refresh *f) {
        TAILQ_REMOVE(&c->refreshes, f, link);
        free(f->peers);
        free(f->asking);
        free(f->end);
        free(f);
}

/* Starts pulls as far as allowed; ends the refresh when all have ended. May free f. */
static void refresh_advance(Client *c, Refresh *f) {
        Now now;
        now_of_event(c->event, &now);
        while (f->n_asked < f->n_peers && f->n_asked - f->n_ended < REFRESH_AT_ONCE) {
                size_t i = f->n_asked++;
                const Endpoint *peer = &f->peers[i];
                RefreshEvent e = { .request = f->request, .has_peer = true, .peer = *peer, .result = "failed" };
                if (!holders_may_dial(c->holders, peer, client_servers_away(c), &now)) {
                        e.unknown = true;
                        e.result = "unknown";
                } else {
                        int k = pull_index(c, peer, f->transaction);
                        if (k == 0) {
                                f->asking[i] = true;
                                continue;
                        }
                        (void) log_errno(LOG_LEVEL_ERR, k, "Could not ask for an index");
                }
                f->n_ended++;
                refresh_tell(c, f, &e);
        }
        if (f->n_ended < f->n_peers)
                return;
        if (f->end) {
                *f->end = (RefreshEvent){ .request = f->request, .last = true };
                client_event_post(c, &TAKE_PTR(f->end)->event, run_refresh_event);
        }
        Sync *sync = f->sync;
        refresh_free(c, f);
        if (sync)
                sync_refreshed(sync);
}

/* Room for n peers. */
static int refresh_alloc(Refresh *f, size_t n) {
        const size_t room = MAX_OF(n, (size_t) 1);
        f->peers = reallocarray(NULL, room, sizeof(*f->peers));
        f->asking = calloc(room, sizeof(*f->asking));
        return f->peers && f->asking ? 0 : -ENOMEM;
}

/* Nobody was named: everybody who may be dialled. */
static int refresh_all(Client *c, Refresh *f, const Now *now) {
        size_t n = holders_dialable(c->holders, client_servers_away(c), now, NULL, 0);
        int k = refresh_alloc(f, n);
        if (k == 0)
                f->n_peers = holders_dialable(c->holders, client_servers_away(c), now, f->peers, n);
        return k;
}

void refresh_query_done(Client *c, LookupOutcome outcome) {
        Refresh *f, *next;
        Now now;
        now_of_event(c->event, &now);
        TAILQ_FOREACH_SAFE(f, &c->refreshes, link, next) {
                if (!f->waits_for_query)
                        continue;
                f->waits_for_query = false;
                refresh_tell(c, f, &(RefreshEvent){ .request = f->request,
                                                 .result = outcome == LOOKUP_OK    ? "ok" :
                                                           outcome == LOOKUP_EMPTY ? "no-peers" :
                                                                                     "unreachable" });
                if (!f->peers)
                        editor_round(c->editor);
                int k = f->peers ? 0 : refresh_all(c, f, &now);
                if (k < 0)
                        (void) log_errno(LOG_LEVEL_ERR, k, "Could not refresh the index");
                refresh_advance(c, f);
        }
}

/* Was that peer being asked? A pull that another refresh had made is none of this one's. One may be named twice. */
static bool refresh_end_peer(Refresh *f, const Endpoint *peer) {
        bool found = false;
        for (size_t i = 0; i < f->n_asked; i++)
                if (f->asking[i] && endpoint_equal(&f->peers[i], peer)) {
                        f->asking[i] = false;
                        f->n_ended++;
                        found = true;
                }
        return found;
}

void refresh_pull_done(Client *c, const Endpoint *peer, const char *result, const char *kind,
                       const IndexMergeResult *merged) {
        Refresh *f, *next;
        TAILQ_FOREACH_SAFE(f, &c->refreshes, link, next) {
                if (!refresh_end_peer(f, peer))
                        continue;
                const RefreshEvent e = {
                        .request = f->request,
                        .has_peer = true,
                        .peer = *peer,
                        .result = result,
                        .kind = kind,
                        .n_added = merged ? merged->n_added : 0,
                        .n_removed = merged ? merged->n_removed : 0,
                };
                refresh_tell(c, f, &e);
                refresh_advance(c, f);
        }
}

static void begin(Client *c, Refresh *f) {
        TAILQ_INSERT_TAIL(&c->refreshes, f, link);
        f->waits_for_query = true;
        if (c->settings.n_servers == 0)
                refresh_query_done(c, LOOKUP_EMPTY);
        else {
                int k = query_start(c, f->transaction, false);
                if (k == 0)
                        return;
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not ask who there is");
                refresh_query_done(c, LOOKUP_GONE);
        }
}

int refresh_for_sync(Client *c, Sync *s, uint64_t transaction) {
        Refresh *f = calloc(1, sizeof(*f));
        if (!f)
                return -ENOMEM;
        f->sync = s;
        f->transaction = transaction;
        begin(c, f);
        return 0;
}

void refresh_forget_sync(Client *c, const Sync *s) {
        Refresh *f;
        TAILQ_FOREACH(f, &c->refreshes, link)
                if (f->sync == s)
                        f->sync = NULL;
}

typedef struct RefreshJob {
        Message message;
        Client *client;
        Refresh *refresh;
} RefreshJob;

static void run_refresh(Message *m) {
        RefreshJob *j = MESSAGE_OF(m, RefreshJob, message);
        Client *c = j->client;
        Refresh *f = j->refresh;
        free(j);
        begin(c, f);
}

int client_refresh(Client *c, uint64_t request, uint64_t transaction, const Endpoint *peers, size_t n) {
        _cleanup_free_ RefreshJob *j = calloc(1, sizeof(*j));
        _cleanup_free_ Refresh *f = calloc(1, sizeof(*f));
        _cleanup_free_ RefreshEvent *end = calloc(1, sizeof(*end));
        if (!j || !f || !end)
                return -ENOMEM;
        f->request = request;
        f->transaction = transaction;
        if (n > 0) {
                if (refresh_alloc(f, n) < 0) {
                        free(f->peers);
                        free(f->asking);
                        return -ENOMEM;
                }
                memcpy(f->peers, peers, n * sizeof(Endpoint));
                f->n_peers = n;
        }
        f->end = TAKE_PTR(end);
        *j = (RefreshJob){ .message = { .run = run_refresh }, .client = c, .refresh = TAKE_PTR(f) };
        loop_thread_post(c->loop, &TAKE_PTR(j)->message);
        return 0;
}
