/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The parts of the client, all in its thread:
 *
 *   client.c        thread, messages
 *   operation.c, operation-tell.c  one lookup each
 *   query.c         PQuery
 *   pull.c, pull-merge.c  RFCQuery
 *   transfer.c      GetRFC
 *   judge.c         what a document is worth
 *   refresh.c       PQuery and RFCQuery for whoever asked
 *   ask-gate.c      how many of these at once
 *   background.c    the same for nobody in particular
 *   disputes.c      what peers disagree about
 *   editor.c        the editor's index
 *   count.c         metrics
 *   commit.c        documents that are committed together
 *   sync.c          many documents at once
 *   replicas.c      rounds of that for what too few hold
 */

#include "io/call.h"
#include "io/log.h"
#include "peerd/client.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

/* Downloads that may be asked for and not yet ended. */
#define OPERATIONS_MAX 200000
/* Own addresses seen. */
#define SELF_MAX 64

typedef struct Background Background;
typedef struct CommitBatch CommitBatch;
typedef struct Operation Operation;
typedef struct Pull Pull;
typedef struct Query Query;
typedef struct Transfer Transfer;
typedef struct Refresh Refresh;
typedef struct Disputes Disputes;
typedef struct Editor Editor;
typedef struct Sync Sync;

/*
 * A document on its way into the library; part of whatever waits for that. The disk worker's until it is added, and then
 * again, until `done` is posted to the client's thread.
 */
typedef struct Commit {
        STAILQ_ENTRY(Commit) link;
        LibraryFile *file;                      /* owned until it is committed */
        Message *done;
        int result;                             /* the first that was not 0; then as library_store_commit() gives it */
        Digest found;
} Commit;

STAILQ_HEAD(CommitList, Commit);

/*
 * All RFCQueries of this peer go through one gate: so many connections to be made, so many answers to wait for
 * (core/lookup.h). A pass is part of what wants to ask.
 */
typedef enum AskPassState {
        ASK_PASS_NONE,
        ASK_PASS_WAITS_TO_DIAL,
        ASK_PASS_DIALS,
        ASK_PASS_WAITS_TO_ASK,
        ASK_PASS_ASKS,
} AskPassState;

typedef struct AskPass AskPass;
struct AskPass {
        TAILQ_ENTRY(AskPass) link;
        AskPassState state;
        void (*go)(AskPass *p);                 /* it has waited, and may do now what it wanted to */
};

TAILQ_HEAD(AskPassList, AskPass);

typedef struct AskGate {
        struct AskPassList to_dial, to_ask;     /* waiting */
        unsigned n_dials, n_asks;
} AskGate;

TAILQ_HEAD(OperationList, Operation);
RB_HEAD(OperationTree, Operation);
TAILQ_HEAD(PullList, Pull);
TAILQ_HEAD(RefreshList, Refresh);

/* Settings of the client: a copy, since the main loop's may be replaced. */
typedef struct ClientSettings {
        CallConf call;                          /* of queries and pulls of an index */
        CallConf ask;                           /* of questions about some numbers */
        CallConf transfer;                      /* of documents */
        CallConf bulk;                          /* of those of a sync */
        HoldersLimits holders;
        usec_t pull_interval;                   /* who has told all within it is not asked again for a document */
        usec_t background_interval;             /* the same, or USEC_INFINITY: no pulls in the background */
        bool reuse_connections;
        usec_t hedge_after;
        uint64_t max_file_size;
        Grade accept;                           /* Integrity.Accept= */
        uint64_t max_store_size;                /* bytes of the whole library */
        unsigned min_replicas;                  /* 0: off */
        unsigned n_servers;
        unsigned remember_max;
        Endpoint *static_peers;                 /* owned */
        size_t n_static_peers;
} ClientSettings;

typedef struct ServerInfo {
        ServerStanding standing;
        bool has_endpoint;
        Endpoint endpoint;
        uint64_t cookie;
        bool has_self;
        Endpoint self;                          /* as it lists this peer */
} ServerInfo;

/* The last query that has ended. */
typedef struct QueryPast {
        usec_t at;                              /* boottime at which it began; 0: there was none */
        LookupOutcome outcome;
} QueryPast;

struct Client {
        ClientConf conf;
        LoopThread *loop;
        sd_event *event;
        ClientSettings settings;
        Holders *holders;
        History *history;
        ServerInfo servers[SERVERS_MAX];
        bool servers_away;                      /* at the last query none answered */
        Endpoint self[SELF_MAX];
        size_t n_self;
        struct OperationList operations, line;  /* with a lookup; waiting for their turn */
        struct OperationTree by_number;         /* both */
        size_t n_operations, n_active;
        size_t n_storing;                       /* of the active ones */
        atomic_size_t ahead;                    /* bytes of documents, received and not yet written */
        Message line_message;                   /* to let the next of the line begin */
        bool line_queued;
        struct PullList pulls;
        AskGate gate;
        LIST_HEAD(, Transfer) transfers;        /* those that nobody waits for any more, too */
        Query *query;                           /* under way, or NULL */
        QueryPast queried[2];                   /* the first server that answers; those behind it */
        unsigned answered_server;
        Endpoint *remembered;                   /* owned, ascending: the last known peers as they are on disk */
        size_t n_remembered;
        struct RefreshList refreshes;
        Background *background;
        Sync *sync;                             /* under way, or NULL; owned */
        sd_event_source *replicas_timer;        /* until the next round of Store.MinReplicas= */
        struct Lacking *lacking;                /* owned; what the last round found, by number */
        size_t n_lacking;
        LIST_HEAD(, ClientEvent) events;        /* on their way to the main loop and back */
        size_t n_events;
        sd_event_source *expiry_timer;
        Disputes *disputes;
        Editor *editor;
        CallPool *pool;                         /* connections to peers and servers that stay open */
        struct CommitList commits;              /* what is gathered */
        size_t n_commits;
        sd_event_source *commit_timer;          /* until no more are waited for */
        CommitBatch *batch;                     /* owned; what is being committed */
        bool commits_posted;                    /* it is some worker's */
        Worker *flusher;                        /* waits for the disk */
        bool commits_due;                       /* what is gathered has waited long enough */
        ClientCounters counters;
};

/* "An address of this peer's own": merging ignores records about it. */
void client_add_self(Client *c, const Address *address);
/* The last query was not answered, or there is nobody to ask: the last known peers count. */
bool client_servers_away(const Client *c);
/* Who may be dialled now; *ret is to be freed. -ENOMEM. */
int client_dialable(const Client *c, const Now *now, Endpoint **ret, size_t *ret_n) _must_check_;
/* The request's common parts: Host:, OS:, transaction, Connection: close. */
void client_fill_request(Request *r, Verb verb, uint64_t transaction);

/*
 * Takes an allocated DownloadEvent or RefreshEvent; `read` gets its message in the main loop, and ends with
 * client_event_read().
 */
void client_event_post(Client *c, ClientEvent *e, void (*read)(Message *m));
void client_event_read(ClientEvent *e);

/* Asks the main loop to register with that server now. */
void client_want_registration(Client *c, unsigned server);
/* It has answered: tells the main loop, where that took it to be away. */
void client_server_heard(Client *c, unsigned server);

/* ---- ask-gate.c ---- */

void ask_gate_init(AskGate *g);
/* May it make a connection now? Else go() will be called. */
bool ask_gate_dial(AskGate *g, AskPass *p);
/* It is connected: may it ask now? Else go() will be called. */
bool ask_gate_ask(AskGate *g, AskPass *p);
/* It wants nothing any more, whatever it had or waited for. go() of others is called from within. */
void ask_gate_leave(AskGate *g, AskPass *p);

/* ---- judge.c ---- */

/*
 * The grade of that digest, and how many address prefixes have holders that state it. true: it is good enough for
 * Integrity.Accept=.
 */
bool judge_digest(Client *c, uint32_t number, const Digest *digest, Grade *ret_grade, size_t *ret_agreeing);
/*
 * Whoever sends a document says by that that he holds it: number, size, digest and title of `stated` are first-hand
 * from now on. sent_at: when he was asked. -errno.
 */
int judge_statement(Client *c, const Endpoint *holder, const RfcRecord *stated, usec_t sent_at) _must_check_;

/*
 * What it did is a fault (protocol, section 4): it and what it stated are put aside, and that is logged, with what f
 * tells. Gives for how long.
 */
usec_t judge_fault(Client *c, const Endpoint *peer, const char *why, LogFields f);

/* ---- count.c ---- */

/* never_issued: and it is not held. */
void client_count_download(Client *c, PeerdSource source, LookupResult how, bool never_issued);
/* result: as in the journal; what is not known there counts as this host's failure. */
void client_count_pull(Client *c, PeerdPullKind kind, const char *result);

/* ---- operation.c ---- */

/* Of one that goes on: left out where there is no memory for it, or the main loop does not keep up. */
void download_event_post(Client *c, const DownloadEvent *e);

/* Someone who wants to hear of an operation. In the end it becomes what tells that: there may be no memory by then. */
typedef struct Watcher {
        DownloadEvent end;                      /* first; until then only request and number */
        TAILQ_ENTRY(Watcher) link;
} Watcher;
TAILQ_HEAD(WatcherList, Watcher);

/* Sends it with all of e but its request; w is taken. */
void watcher_end(Client *c, Watcher *w, const DownloadEvent *e);

struct Operation {
        TAILQ_ENTRY(Operation) link;
        RB_ENTRY(Operation) node;
        Client *client;
        uint32_t number;
        uint64_t transaction;
        usec_t asked_at, began_at;              /* boottime: it was asked for, its turn came */
        bool active;                            /* its turn has come */
        bool waits_for_query;
        bool others;                            /* of the servers behind the first */
        bool bulk;                              /* c->sync has asked for it, perhaps others too */
        bool storing;                           /* the document came, and is being put into the library */
        Lookup *lookup;
        Transfer *transfers[LOOKUP_FETCHES_AT_ONCE];
        sd_event_source *timer;
        struct WatcherList watchers;
        Message recheck_done;
        DownloadEvent told;                     /* the last that was told; template of the next */
        usec_t told_at;                         /* boottime of the last progress */
        uint64_t history;                       /* what is remembered of it; 0: nothing yet */
        size_t n_holders_told;                  /* in history, plus one; 0: not yet */
};

/* For w, which is taken unless that fails. 0, -errno. */
int operation_add(Client *c, uint64_t transaction, Watcher *w) _must_check_;
/* For c->sync: ends in sync_told(). 0, -errno. */
int operation_add_bulk(Client *c, uint64_t transaction, uint32_t number) _must_check_;
/* May one more begin? Not while the disk has too much to do. Asked again when one has ended. */
bool operations_have_room(const Client *c);
/* What c->sync has held back of its downloads goes on. */
void operations_release(Client *c);
/* There is no sync any more: its downloads are like others. */
void operations_forget_sync(Client *c);
void operation_free(Operation *o);
/* Goes on as far as it can. May free o. */
void operation_advance(Operation *o);
/* All that wait for the peer list, of the first server that answers or of the others. */
void operations_query_done(Client *c, bool others, LookupOutcome outcome);
/* The index of a peer was asked for these numbers on behalf of operations. result: how it went, a literal. */
void operations_pull_done(Client *c, const Endpoint *peer, const RfcSet *set, LookupOutcome outcome,
                          const char *result);
/* The connection to that peer stands, of which these numbers are asked. */
void operations_pull_connected(Client *c, const Endpoint *peer, const RfcSet *set);
/* Told at the start of a transfer, then every 100 ms, and when all is received. */
void operation_progress(Operation *o, const Transfer *t, uint64_t received);
/* t, which is freed right after it, got so far. result: how it went, a literal; received: bytes of the document. */
void operation_transfer_done(Operation *o, Transfer *t, LookupOutcome outcome, int error, const char *result,
                             uint64_t received);
/* The document of one of its transfers came, and is being put into the library: another operation may have its turn. */
void operation_set_storing(Operation *o, bool storing);
/* A holder was caught in a fault, and is left alone for so long. */
void operation_quarantined(Operation *o, const Endpoint *peer, const char *why, usec_t span);
void operations_forget_request(Client *c, uint64_t request);

/* ---- query.c ---- */

/*
 * Asks the first registration server that answers for a list, or (others) all those behind it; joins a query under way.
 * Ends, later, in operations_query_done() and, but for others, refresh_query_done() and background_query_done(), if this
 * gave 0. -ENOMEM.
 */
int query_start(Client *c, uint64_t transaction, bool others) _must_check_;
/* It stands otherwise now: a query that waits for that goes on. */
void query_server_changed(Client *c, unsigned server);
/* It is another one now: a query under way asks anew. */
void query_server_forgotten(Client *c, unsigned server);
void query_free(Query *q);

/* ---- pull.c ---- */

/* Ask peer for this number; several asks of one turn go out together. 0 or -ENOMEM. */
int pull_number(Client *c, const Endpoint *peer, uint32_t number, uint64_t transaction) _must_check_;
/* Pull the index of that peer; ends, later, in refresh_pull_done() and background_pull_done(). */
int pull_index(Client *c, const Endpoint *peer, uint64_t transaction) _must_check_;
/* The same without hearsay. */
int pull_own_index(Client *c, const Endpoint *peer, uint64_t transaction) _must_check_;
void pull_free(Pull *p);
/* That peer was caught lying: what is on the way from it is not merged. */
void pulls_distrust(Client *c, const Endpoint *peer);

/* ---- pull-merge.c ---- */

/* Expires records; sets the timer anew. */
void pull_arm_expiry(Client *c);
int pull_on_expiry(sd_event_source *s, uint64_t usec, void *userdata);

/* ---- disputes.c ---- */

/* In the setup of the thread, for its loop. -errno. */
int disputes_new(Client *c, sd_event *e, Disputes **ret) _must_check_;
/* What is known, or what it is judged by, has changed. */
void disputes_stir(Disputes *d);
/* The thread is gone. */
Disputes *disputes_free(Disputes *d);

/* ---- transfer.c ---- */

/*
 * Fetches o's document from that holder, as one of o's transfers. Ends in operation_transfer_done(), never at once. 0
 * or -ENOMEM.
 */
int transfer_start(Operation *o, const Endpoint *holder, const RfcRecord *expected) _must_check_;
/* The disk worker must be gone, or have nothing of it. NULL is fine. */
void transfer_free(Transfer *t);
/* Nobody waits for it any more: nothing of it is kept. */
void transfer_drop(Transfer *t);
/* Is its document being put into the library? Of the transfers of one operation only one is at a time. */
bool transfer_is_committing(const Transfer *t);
/* If it is whole and waits for that: now. */
void transfer_commit(Transfer *t);
/* Valid as long as t. */
const Endpoint *transfer_holder(const Transfer *t);
uint64_t transfer_received(const Transfer *t);
/* Its holder was asked for a fresh statement, and this is how that went. */
void transfer_restated(Transfer *t, LookupOutcome outcome);
bool transfer_waits_for(const Transfer *t, const Endpoint *peer);
/* It was held back (sync_received()), and goes on. */
void transfer_release(Transfer *t);
/* Fills in size, digest, holder. */
void transfer_describe(const Transfer *t, DownloadEvent *e);

/* ---- commit.c ---- */

/* In the setup of the thread, for its loop. -errno: commits_free() is due all the same. */
int commits_new(Client *c, sd_event *e) _must_check_;
/* The client's thread has ended: no flush is under way after it. */
void commits_stop(Client *c);
/* The disk worker is gone, too: what did not come to its end goes. */
void commits_free(Client *c);
/*
 * What the disk worker has of j->file before this call is all of it. It is committed together with others that come in a
 * moment, with one flush for all, if its result is 0; result and found are set, j->file is gone, and j->done is posted. At
 * the end of the program it may not come to that.
 */
void commit_add(Client *c, Commit *j);
/* Something is not waited for any more: what was gathered may go. */
void commits_go_on(Client *c);

/* ---- refresh.c ---- */

void refresh_free(Client *c, Refresh *f);
/* Refreshes from all on behalf of a sync: tells sync_peer_told() of each, and ends in sync_refreshed(). 0, -ENOMEM. */
int refresh_for_sync(Client *c, Sync *s, uint64_t transaction) _must_check_;
void refresh_forget_sync(Client *c, const Sync *s);
void refresh_query_done(Client *c, LookupOutcome outcome);
/* merged, kind: of an index that came, as RefreshEvent has it; else NULL. */
void refresh_pull_done(Client *c, const Endpoint *peer, const char *result, const char *kind,
                       const IndexMergeResult *merged);

/* ---- background.c ---- */

/* Does nothing before background_reconfigured(). -errno. */
int background_new(Client *c, sd_event *e, Background **ret) _must_check_;
Background *background_free(Background *b);
/* The settings are others now. */
void background_reconfigured(Background *b);
/* A registration server answered this peer. */
void background_server_ready(Background *b);
/* A query has ended, whoever had asked. */
void background_query_done(Background *b);
/* That peer's index was pulled, or not, whoever had asked. busy: it said so. */
void background_pull_done(Background *b, const Endpoint *peer, bool busy);

/* ---- editor.c ---- */

/* Nothing is asked before editor_reconfigured(). -errno. */
int editor_new(Client *c, sd_event *e, Editor **ret) _must_check_;
Editor *editor_free(Editor *ed);
/* The settings are others, or there for the first time: when the next round begins. */
void editor_reconfigured(Editor *ed);
/* A round now, or behind the one under way. */
void editor_round(Editor *ed);

/* ---- sync.c ---- */

void sync_free(Sync *s);
/* Of an operation that c->sync has asked for. */
void sync_told(Client *c, const DownloadEvent *e);
/* Bytes of a document of c->sync have come. true: no more are to be read of any of them until operations_release(). */
bool sync_received(Client *c, size_t n);
/* One of its operations has its document, or has it no more: it counts no longer, or again, as one under way. */
void sync_storing(Client *c, bool storing);
/* Is there a sync, and may it read only so much a second? */
bool sync_is_limited(const Client *c);
/* The index of one peer was asked for; good: it came, or is known. */
void sync_peer_told(Sync *s, bool good);
void sync_refreshed(Sync *s);
void sync_forget_request(Client *c, uint64_t request);

/* ---- replicas.c ---- */

/* A sd_event_time_handler_t: the next round. */
int replicas_on_timer(sd_event_source *source, uint64_t usec, void *userdata);
/* By the settings there are now. */
void replicas_arm(Client *c);
/* A registration server lists this peer under another address, or none. */
void replicas_self_changed(Client *c);
