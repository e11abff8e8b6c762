/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Client: what this peer asks of others: peer lists (PQuery), indexes (RFCQuery), documents (GetRFC). One thread with
 * its own loop runs all lookups and transfers; the disk worker hashes and writes, and another thread waits for flushes.
 * The main loop posts work in and gets events out.
 */

#include "core/base.h"
#include "core/history.h"
#include "core/holders.h"
#include "core/lookup.h"
#include "io/conf.h"
#include "io/mailbox.h"
#include "peerd/documents.h"
#include "peerd/metrics.h"

#include <bsd/sys/queue.h>
#include <stdatomic.h>

/* Registration servers, told apart by their place in the configuration, which takes no more. */
#define SERVERS_MAX 32
/* Lookups under way at once; the others wait in line. */
#define OPERATIONS_ACTIVE_MAX 32
/* And beside them those whose document has come and waits to be put into the library: a descriptor each. */
#define OPERATIONS_STORING_MAX 512

typedef struct Client Client;

typedef enum DownloadState {
        DOWNLOAD_SEARCHING,
        DOWNLOAD_FETCHING,
        DOWNLOAD_DONE,
} DownloadState;

/* What goes from the client's thread to the main loop, and back when it was read: so the client can free it all. */
typedef struct ClientEvent ClientEvent;
struct ClientEvent {
        Message message;
        LIST_ENTRY(ClientEvent) link;
        Client *client;
};

/* One change of one download, for whoever asked. */
typedef struct DownloadEvent {
        ClientEvent event;                      /* first */
        uint64_t request;                       /* whose: as given to client_get() */
        uint32_t number;
        DownloadState state;
        LookupResult result;                    /* DONE */
        int error;                              /* DONE, LOOKUP_FAILED: negative errno */
        bool never_issued;                      /* DONE, not found: and the editor's index knows no such RFC */
        bool local;                             /* DONE: it was in the library already */
        bool servers_away;
        size_t n_asked, n_unasked;              /* DONE: peers whose index was asked for, those of them who gave none */
        uint64_t transaction;
        uint64_t size, received;
        Digest digest;                          /* FETCHING and DONE with LOOKUP_FOUND */
        char title[PROTO_TITLE_MAX + 1];
        bool has_grade;                         /* DONE: of the document, or of the best that is not good enough */
        Grade grade;
        size_t n_agreeing;                      /* address prefixes whose holders state it */
        Grade accept;                           /* DONE, LOOKUP_UNTRUSTED: what was asked for */
        unsigned quorum;
        bool has_holder;
        Endpoint holder;
        uint32_t peer_id;
        usec_t duration_usec;
} DownloadEvent;

/* Of one that is DONE, as the interface has it: "ok", or why not. */
const char *download_result_name(const DownloadEvent *e);

/* One answer of a refresh. */
typedef struct RefreshEvent {
        ClientEvent event;                      /* first */
        uint64_t request;
        bool last;                              /* no more to come */
        bool unknown;                           /* peer is none that may be dialled */
        bool has_peer;                          /* else it is about the registration servers */
        Endpoint peer;
        const char *result;                     /* "ok", "unchanged", "timeout", "no-peers" … */
        const char *kind;                       /* of an index that came: "full", "delta", "unchanged"; else NULL */
        uint64_t n_added, n_removed;
} RefreshEvent;

typedef struct SyncEvent SyncEvent;             /* peerd/sync.h */

/* What the client wants of the main loop; each is called there. */
typedef struct ClientHandler {
        void (*on_download)(const DownloadEvent *e, void *userdata);
        void (*on_refresh)(const RefreshEvent *e, void *userdata);
        void (*on_sync)(const SyncEvent *e, void *userdata);
        /* A registration server is needed that this peer has no cookie with, or that did not know it: register now. */
        void (*on_register_wanted)(unsigned server, void *userdata);
        /* A registration server that seemed to be away has answered. */
        void (*on_server_heard)(unsigned server, void *userdata);
        void *userdata;
} ClientHandler;

typedef struct ClientConf {
        Mailbox *main;
        Documents *documents;
        ClientHandler handler;
        const Endpoint *last_known;             /* from disk, best first; copied */
        size_t n_last_known;
        uint16_t own_port;
        /* In the disk worker: keep these on disk as the last-known peers. userdata is the handler's. */
        void (*remember)(const Endpoint *peers, size_t n, void *userdata);
} ClientConf;

typedef struct ClientCounters {
        atomic_uint_fast64_t n_active;                  /* lookups under way */
        atomic_uint_fast64_t n_transfers;               /* documents being fetched now */
        /* Since the start. */
        atomic_uint_fast64_t downloads[_PEERD_SOURCE_MAX][_PEERD_DOWNLOAD_RESULT_MAX];
        atomic_uint_fast64_t pulls[_PEERD_PULL_KIND_MAX][_PEERD_PULL_RESULT_MAX];
        atomic_uint_fast64_t n_replicas;                /* fetched for Store.MinReplicas= */
        atomic_uint_fast64_t n_download_bytes, n_index_bytes, n_mismatches;
        Histogram transfer_durations;                   /* of whole documents */
} ClientCounters;

int client_new(const ClientConf *conf, const PeerConf *settings, Client **ret) _must_check_;
/*
 * Ends the thread: what is posted to it later is not run. After it the disk worker may be freed, which still answers
 * the client; then the client: downloads under way are dropped, nothing of them becomes visible.
 */
void client_stop(Client *c);
Client *client_free(Client *c);
/* New settings. What a registration server is no more is told with client_forget_server(). */
void client_reconfigure(Client *c, const PeerConf *settings);

/* What the main loop knows of a registration server. */
typedef enum ServerStanding {
        SERVER_PENDING,                         /* a first Register is under way: a query waits for its end */
        SERVER_READY,                           /* endpoint and cookie are good */
        SERVER_AWAY,                            /* does not answer; endpoint and cookie may be set all the same */
} ServerStanding;
void client_set_server(Client *c, unsigned server, ServerStanding standing, const Endpoint *endpoint, uint64_t cookie,
                       const Endpoint *self);
/* There is none of that index any more, or it is another one: its list, address and cookie are dropped. */
void client_forget_server(Client *c, unsigned server);

/*
 * Have these numbers: an event at each change, tagged with `request`; each number ends with DOWNLOAD_DONE. 0 or
 * -ENOMEM.
 */
int client_get(Client *c, uint64_t request, uint64_t transaction, const uint32_t *numbers, size_t n) _must_check_;
/* Nobody listens to this request any more; its downloads go on, its sync ends. */
void client_forget_request(Client *c, uint64_t request);
/* Ask the registration servers and pull the indexes of all active peers, or of these. 0 or -ENOMEM. */
int client_refresh(Client *c, uint64_t request, uint64_t transaction, const Endpoint *peers, size_t n) _must_check_;

/*
 * Runs `run` in the client's thread with the table of known peers, which must not be touched elsewhere.
 */
typedef struct ClientVisit ClientVisit;
struct ClientVisit {
        Message message;
        void (*run)(ClientVisit *v, Client *c, Holders *h, bool servers_away, const Now *now);
        Client *client;
};
void client_visit(Client *c, ClientVisit *v);
void client_ping(Client *c, Message *answer);
/* The same in its thread that waits for the disk. */
void client_ping_flusher(Client *c, Message *answer);
const ClientCounters *client_counters(const Client *c);
Documents *client_documents(const Client *c);
/* What was last told of up to n downloads whose turn has come; gives how many. In the client's thread only. */
size_t client_downloads(const Client *c, DownloadEvent *ret, size_t n);
/* What was decided for the last RFCs. In the client's thread only: see client_visit(). */
const History *client_history(const Client *c);
