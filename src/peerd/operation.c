/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/operation-internal.h"

#include <errno.h>

#include "io/log.h"
#include "io/loop.h"

/* How old the list of a query may be that began after all of these downloads had been asked for. */
#define QUERY_SHARED_USEC (10 * USEC_PER_SEC)
/* The next peer is asked for its index beside the first when that has not answered by then. */
#define ASK_PAUSE_USEC (100 * USEC_PER_MSEC)

static int operation_compare(const Operation *a, const Operation *b) {
        return a->number < b->number ? -1 : a->number > b->number;
}

RB_GENERATE_INTERNAL(OperationTree, Operation, node, operation_compare, _unused_ static)

/* Lookups begun in one turn of the loop. */
#define ACTIVATE_AT_ONCE 256
/* Bytes that wait to be written: no more downloads are begun above that, so memory does not grow with a slow disk. */
#define AHEAD_MAX ((size_t) 16 << 20)

static void queue_line(Client *c);

/* Nobody has it, and nobody can. */
static bool is_never_issued(Documents *d, uint32_t number, LookupResult result) {
        if (result != LOOKUP_NOT_HELD && result != LOOKUP_NO_PEERS)
                return false;
        (void) documents_lock(d);
        bool never = rfc_meta_standing(documents_meta(d), number) == RFC_NEVER_ISSUED;
        documents_unlock(d);
        return never;
}

/* ---- the end ---- */

/* What is under way of them is not needed any more. */
static void drop_transfers(Operation *o) {
        for (size_t i = 0; i < ELEMENTSOF(o->transfers); i++) {
                Transfer *t = o->transfers[i];
                if (!t)
                        continue;
                operation_remember(o, HISTORY_FETCH, transfer_holder(t), "not needed", transfer_received(t));
                transfer_drop(t);
        }
}

/* The end of it: told, logged, freed. */
static void finish(Operation *o, const LookupStep *step, bool local) {
        Client *c = o->client;
        Now now;

        now_of_event(c->event, &now);
        operation_set_storing(o, false);
        drop_transfers(o);
        o->told.state = DOWNLOAD_DONE;
        o->told.result = step->result;
        o->told.error = step->error;
        o->told.never_issued = is_never_issued(c->conf.documents, o->number, step->result);
        o->told.servers_away = step->servers_away;
        if (step->result == LOOKUP_DISPUTED || step->result == LOOKUP_UNTRUSTED) {
                o->told.has_grade = true;
                o->told.grade = step->grade;
                o->told.n_agreeing = step->n_agreeing;
                o->told.accept = c->settings.accept;
                (void) documents_lock(c->conf.documents);
                o->told.quorum = documents_trust(c->conf.documents)->quorum;
                documents_unlock(c->conf.documents);
        }
        o->told.n_asked = step->n_asked;
        o->told.n_unasked = step->n_unasked;
        o->told.local = local;
        o->told.duration_usec = usec_sub(now.boottime, o->began_at);
        if (step->result == LOOKUP_FOUND) {
                OwnDocument document;
                if (documents_get(c->conf.documents, o->number, &document)) {
                        o->told.size = o->told.received = document.size;
                        o->told.digest = document.digest;
                        memcpy(o->told.title, document.title, sizeof(o->told.title));
                }
        }
        client_count_download(c, local ? PEERD_SOURCE_LOCAL : PEERD_SOURCE_PEER, step->result,
                              o->told.never_issued);
        operation_log_result(o, step, local);
        history_end(c->history, o->history, download_result_name(&o->told), &now);
        operation_tell(o);
        operation_free(o);
        queue_line(c);
        commits_go_on(c);
}

static bool finish_if_held(Operation *o) {
        OwnDocument document;
        if (!documents_get(o->client->conf.documents, o->number, &document))
                return false;
        operation_remember(o, HISTORY_STORE, NULL, "ok", 0);
        finish(o, &(LookupStep){ .result = LOOKUP_FOUND }, true);
        return true;
}

/* ---- going on ---- */

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        (void) s;
        (void) usec;
        operation_advance(userdata);
        return 0;
}

/*
 * Has a list asked for. Of hundreds of downloads that were asked for at once each would have one made for itself: they
 * share what was learnt since they were asked for, as long as it is not old.
 */
static void ask_server(Operation *o, bool others, const Now *now) {
        Client *c = o->client;
        const QueryPast *past = &c->queried[others];
        if (past->at >= o->asked_at && usec_sub(now->boottime, past->at) < QUERY_SHARED_USEC) {
                lookup_server_told(o->lookup, past->outcome, 0);
                operation_remember_servers(o, past->outcome);
                return;
        }
        operation_remember_asking(o, HISTORY_SERVERS, NULL);
        o->others = others;
        int k = query_start(c, o->transaction, others);
        if (k < 0)
                lookup_server_told(o->lookup, LOOKUP_BROKEN, k);
        else
                o->waits_for_query = true;
}

void operation_advance(Operation *o) {
        Client *c = o->client;
        LookupStep step;
        char title[PROTO_TITLE_MAX];
        Now now;

        for (;;) {
                now_of_event(c->event, &now);
                RfcIndex *x = documents_lock(c->conf.documents);
                int k = lookup_next(o->lookup, x, c->holders, documents_trust(c->conf.documents), &now, &step);
                if (k == 0 && step.what == LOOKUP_FETCH) {      /* the title is the index's: take it along */
                        size_t n = MIN_OF(step.record.title.size, sizeof(title));
                        memcpy(title, step.record.title.data, n);
                        step.record.title = (Slice){ title, n };
                }
                size_t n_holders = rfc_index_find(x, o->number, &now, NULL, 0);
                documents_unlock(c->conf.documents);
                if (k < 0) {
                        finish(o, &(LookupStep){ .result = LOOKUP_FAILED, .error = k }, false);
                        return;
                }
                switch (step.what) {
                case LOOKUP_WAIT:
                        (void) loop_timer_set(o->timer, step.at);
                        return;
                case LOOKUP_ASK_SERVER:
                        ask_server(o, step.others, &now);
                        break;
                case LOOKUP_ASK_INDEX:
                        operation_remember_holders(o, n_holders);
                        operation_remember_asking(o, HISTORY_INDEX, &step.peer);
                        k = pull_number(c, &step.peer, o->number, o->transaction);
                        if (k < 0)
                                lookup_index_told(o->lookup, &step.peer, LOOKUP_BROKEN, k, &now);
                        break;
                case LOOKUP_FETCH:
                        operation_remember_holders(o, n_holders);
                        operation_remember_asking(o, HISTORY_FETCH, &step.peer);
                        k = transfer_start(o, &step.peer, &step.record);
                        if (k < 0)
                                lookup_fetch_told(o->lookup, &step.peer, LOOKUP_BROKEN, k, &now);
                        break;
                case LOOKUP_DONE:
                        if (step.result != LOOKUP_FOUND)
                                operation_remember_holders(o, n_holders);
                        finish(o, &step, false);
                        return;
                }
        }
}

void operations_query_done(Client *c, bool others, LookupOutcome outcome) {
        Operation *o, *next;
        TAILQ_FOREACH_SAFE(o, &c->operations, link, next) {
                if (!o->waits_for_query || o->others != others)
                        continue;
                o->waits_for_query = false;
                operation_remember_servers(o, outcome);
                lookup_server_told(o->lookup, outcome, 0);
                operation_advance(o);
        }
}

static Transfer *find_restating(const Operation *o, const Endpoint *peer) {
        for (size_t i = 0; i < ELEMENTSOF(o->transfers); i++)
                if (o->transfers[i] && transfer_waits_for(o->transfers[i], peer))
                        return o->transfers[i];
        return NULL;
}

void operations_pull_done(Client *c, const Endpoint *peer, const RfcSet *set, LookupOutcome outcome,
                          const char *result) {
        Operation *o, *next;
        Now now;
        now_of_event(c->event, &now);
        TAILQ_FOREACH_SAFE(o, &c->operations, link, next) {
                if (!o->lookup || !rfc_set_contains(set, o->number))
                        continue;
                /* One answer may be what both have asked for. */
                lookup_index_told(o->lookup, peer, outcome, 0, &now);
                operation_remember(o, HISTORY_INDEX, peer, result, 0);
                Transfer *t = find_restating(o, peer);
                if (t)
                        transfer_restated(t, outcome);
                else
                        operation_advance(o);
        }
}

void operations_pull_connected(Client *c, const Endpoint *peer, const RfcSet *set) {
        Operation *o;
        TAILQ_FOREACH(o, &c->operations, link)
                if (o->lookup && rfc_set_contains(set, o->number))
                        lookup_index_connected(o->lookup, peer);
}

void operation_set_storing(Operation *o, bool storing) {
        Client *c = o->client;

        if (o->storing == storing)
                return;
        o->storing = storing;
        c->n_storing += storing ? 1 : (size_t) -1;
        if (o->bulk)
                sync_storing(c, storing);
        if (storing)
                queue_line(c);
}

bool operations_have_room(const Client *c) {
        return c->n_storing < OPERATIONS_STORING_MAX && atomic_load(&c->ahead) < AHEAD_MAX;
}

void operation_transfer_done(Operation *o, Transfer *t, LookupOutcome outcome, int error, const char *result,
                             uint64_t received) {
        const Endpoint holder = *transfer_holder(t);
        Transfer *other = NULL;
        Now now;
        now_of_event(o->client->event, &now);
        operation_set_storing(o, false);
        for (size_t i = 0; i < ELEMENTSOF(o->transfers); i++) {
                if (o->transfers[i] == t)
                        o->transfers[i] = NULL; /* it frees itself */
                else if (o->transfers[i])
                        other = o->transfers[i];
        }
        if (outcome == LOOKUP_OK)
                transfer_describe(t, &o->told);
        else if (other)
                transfer_commit(other);
        else {
                o->told.state = DOWNLOAD_SEARCHING;
                o->told.has_holder = false;
                o->told.has_grade = false;
                o->told.received = 0;
        }
        operation_remember(o, HISTORY_FETCH, &holder, result, received);
        lookup_fetch_told(o->lookup, &holder, outcome, error, &now);
        operation_advance(o);
}

/* ---- beginning ---- */

/* By the editor's index, and nobody says otherwise: no reason to ask all peers for it. */
static bool is_known_to_be_none(const Operation *o) {
        Documents *d = o->client->conf.documents;
        Now now;
        now_of_event(o->client->event, &now);
        size_t n_holders = rfc_index_find(documents_lock(d), o->number, &now, NULL, 0);
        documents_unlock(d);
        return n_holders == 0 && is_never_issued(d, o->number, LOOKUP_NOT_HELD);
}

static void run_rechecked(Message *m) {
        Operation *o = MESSAGE_OF(m, Operation, recheck_done);
        Client *c = o->client;
        const LookupConf conf = {
                .number = o->number,
                .fresh_usec = c->settings.pull_interval,
                .ask_pause_usec = ASK_PAUSE_USEC,
                .accept = c->settings.accept,
                /* What comes slowly since it is read slowly is no reason to try another one. */
                .hedge_usec = o->bulk && sync_is_limited(c) ? USEC_INFINITY : c->settings.hedge_after,
                .n_asks_max = LOOKUP_ASKS_AT_ONCE,
                .has_servers = c->settings.n_servers > 0,
                .more_servers = c->settings.n_servers > 1,
                /* A sync has asked all for what they hold just before, and gets what they said then. */
                .known_only = o->bulk && TAILQ_EMPTY(&o->watchers),
                .servers_away = client_servers_away(c),
        };
        if (finish_if_held(o))
                return;
        operation_remember(o, HISTORY_STORE, NULL, "not-held", 0);
        if (is_known_to_be_none(o)) {
                finish(o, &(LookupStep){ .result = LOOKUP_NOT_HELD }, false);
                return;
        }
        int k = lookup_new(&conf, &o->lookup);
        if (k < 0)
                finish(o, &(LookupStep){ .result = LOOKUP_FAILED, .error = k }, false);
        else
                operation_advance(o);
}

static void activate(Operation *o) {
        Client *c = o->client;
        Now now;
        now_of_event(c->event, &now);
        TAILQ_REMOVE(&c->line, o, link);
        TAILQ_INSERT_TAIL(&c->operations, o, link);
        o->active = true;
        c->n_active++;
        atomic_store(&c->counters.n_active, c->n_active);
        o->began_at = now.boottime;
        o->history = history_begin(c->history, o->transaction, o->number, &now);
        if (finish_if_held(o))
                return;
        o->recheck_done.run = run_rechecked;
        /* A sync has seen what is in the library; what has come there in this moment, storing finds. */
        if (o->bulk && documents_scanned(c->conf.documents)) {
                run_rechecked(&o->recheck_done);
                return;
        }
        /* It may lie in the library without being known yet: the first scan runs, or it came in this moment. */
        documents_recheck(c->conf.documents, o->number, loop_thread_mailbox(c->loop), &o->recheck_done);
}

static bool has_turn(const Client *c) {
        return c->n_active - c->n_storing < OPERATIONS_ACTIVE_MAX && operations_have_room(c);
}

static void run_line(Message *m) {
        Client *c = MESSAGE_OF(m, Client, line_message);
        c->line_queued = false;
        for (unsigned n = 0; has_turn(c) && !TAILQ_EMPTY(&c->line); n++) {
                if (n == ACTIVATE_AT_ONCE) {
                        queue_line(c);
                        return;
                }
                activate(TAILQ_FIRST(&c->line));
        }
}

/* Later, by a message: thousands that are in the library already must not end within each other. */
static void queue_line(Client *c) {
        if (c->line_queued)
                return;
        c->line_queued = true;
        c->line_message.run = run_line;
        loop_thread_post(c->loop, &c->line_message);
}

static Operation *find(Client *c, uint32_t number) {
        Operation key = { .number = number };
        return RB_FIND(OperationTree, &c->by_number, &key);
}

/* One more in the line; who asked is not in it yet. */
static int add(Client *c, uint64_t transaction, uint32_t number, Operation **ret) {
        Now now;

        if (c->n_operations >= OPERATIONS_MAX)
                return -ENOBUFS;
        Operation *o = calloc(1, sizeof(*o));
        if (!o)
                return -ENOMEM;
        now_of_event(c->event, &now);
        o->client = c;
        o->asked_at = now.boottime;
        o->number = number;
        o->transaction = transaction;
        o->told = (DownloadEvent){ .number = number, .transaction = transaction, .state = DOWNLOAD_SEARCHING };
        TAILQ_INIT(&o->watchers);
        RB_INSERT(OperationTree, &c->by_number, o);
        TAILQ_INSERT_TAIL(&c->line, o, link);
        c->n_operations++;
        int k = loop_timer_new(c->event, on_timer, o, "lookup", &o->timer);
        if (k < 0) {
                operation_free(o);
                return k;
        }
        queue_line(c);
        *ret = o;
        return 0;
}

int operation_add(Client *c, uint64_t transaction, Watcher *w) {
        Operation *o = find(c, w->end.number);
        if (!o) {       /* two requests for one RFC share one download */
                int k = add(c, transaction, w->end.number, &o);
                if (k < 0)
                        return k;
        } else if (o->lookup)
                lookup_widen(o->lookup);        /* what is enough for a sync is not for who wants this one */
        TAILQ_INSERT_TAIL(&o->watchers, w, link);
        o->told.request = w->end.request;
        download_event_post(c, &o->told);
        return 0;
}

int operation_add_bulk(Client *c, uint64_t transaction, uint32_t number) {
        Operation *o = find(c, number);
        int k = o ? 0 : add(c, transaction, number, &o);
        if (k < 0)
                return k;
        o->bulk = true;
        if (o->storing)
                sync_storing(c, true);
        return 0;
}

void operations_release(Client *c) {
        Operation *o;
        TAILQ_FOREACH(o, &c->operations, link)
                for (size_t i = 0; o->bulk && i < ELEMENTSOF(o->transfers); i++)
                        if (o->transfers[i])
                                transfer_release(o->transfers[i]);
}

void operations_forget_sync(Client *c) {
        Operation *o;
        operations_release(c);
        RB_FOREACH(o, OperationTree, &c->by_number)
                o->bulk = false;
}

void operation_free(Operation *o) {
        Client *c = o->client;
        Watcher *w;

        TAILQ_REMOVE(o->active ? &c->operations : &c->line, o, link);
        RB_REMOVE(OperationTree, &c->by_number, o);
        c->n_operations--;
        operation_set_storing(o, false);
        if (o->active) {
                c->n_active--;
                atomic_store(&c->counters.n_active, c->n_active);
        }
        while ((w = TAILQ_FIRST(&o->watchers))) {
                TAILQ_REMOVE(&o->watchers, w, link);
                free(w);
        }
        for (size_t i = 0; i < ELEMENTSOF(o->transfers); i++)
                transfer_drop(o->transfers[i]);
        event_source_free(o->timer);
        lookup_free(o->lookup);
        free(o);
}

void operations_forget_request(Client *c, uint64_t request) {
        Operation *o;
        Watcher *w, *next;
        RB_FOREACH(o, OperationTree, &c->by_number)
                TAILQ_FOREACH_SAFE(w, &o->watchers, link, next)
                        if (w->end.request == request) {
                                TAILQ_REMOVE(&o->watchers, w, link);
                                free(w);
                        }
}
