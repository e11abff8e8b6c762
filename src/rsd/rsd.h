/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The registration server's parts, in its one main loop: rsd.c (main, wiring, timers), serve.c (answers peers),
 * commit.c (brings changes to disk by the commit thread), control.c (Varlink), metrics.c (counts).
 */

#include "core/peer-list.h"
#include "core/registrar.h"
#include "io/conf.h"
#include "io/conn.h"
#include "io/daemon.h"
#include "io/listener.h"
#include "io/loop.h"
#include "io/mailbox.h"
#include "io/registry-db.h"
#include "io/varlink.h"
#include "rsd/metrics.h"

#include <bsd/sys/queue.h>

typedef struct Rsd Rsd;

/* One connection of a peer. A Register whose reply waits for the disk keeps it here. */
typedef struct Client {
        Rsd *rsd;
        Conn *conn;                     /* owned until its on_end */
        TAILQ_ENTRY(Client) link;       /* in Rsd.clients */
        TAILQ_ENTRY(Client) wait_link;  /* in Rsd.waiting or Rsd.committing */
        bool over_rate;                 /* what was refused last was one too many: the connection ends with its answer */
        enum { CLIENT_IDLE, CLIENT_WAITING, CLIENT_COMMITTING } state;
        /* What waits for the disk. */
        Verb verb;
        Reply reply;
        RegistrarOutcome outcome;
} Client;
TAILQ_HEAD(ClientList, Client);

struct Rsd {
        sd_event *event;
        DaemonOptions options;
        RsConf *conf;
        RegistrarConf registrar;
        ConnConf conn_conf;
        ListenerConf listener_conf;
        PeerList *list;
        Poller *poller;                 /* of the connections */
        Listener *listener;
        bool inherited;
        StringList warnings;            /* what is wrong with the sockets */
        Mailbox *mailbox;               /* what the commit thread answers */
        VarlinkServerConf varlink_conf;
        VarlinkServer *varlink;
        Watchdog *watchdog;
        sd_event_source *expiry_timer, *flush_timer, *summary_timer, *stop_timer;
        struct ClientList clients;
        RsdCounters counters;
        usec_t started_at;              /* realtime */
        bool stopping;
        size_t n_told;                  /* active peers in the last STATUS=; SIZE_MAX: to be told anew */

        /* commit.c */
        Worker *commit;
        RegistryDb *db;                 /* the commit thread's once that runs */
        BootId boot_id;
        struct ClientList waiting;      /* their changes are not yet with the commit thread */
        struct ClientList committing;   /* their changes are with it now */
        struct Batch *under_way;        /* with the commit thread now, or NULL */
        int commit_error;               /* of the last commit; told once */
};

/* Renewals are on disk within this. */
#define RSD_FLUSH_USEC (5 * USEC_PER_SEC)

/* ---- serve.c ---- */

extern const ListenerHandler serve_listener_handler;
/* Sends the replies that waited for the disk: as they are, or as 500 when `error` < 0. */
void serve_release(Client *c, int error);
/* Ends leases and forgets records whose time has come; sets the timer anew. */
void serve_expire(Rsd *r, const Now *now);
/* Sets the timer of the next expiry. */
int serve_arm_expiry(Rsd *r);
/* The connection is over: frees the client. */
void client_free(Client *c);

/* ---- commit.c ---- */

/* Opens the database and fills the list from it. Before any thread is made. */
int commit_load(Rsd *r, const char *path) _must_check_;
int commit_start(Rsd *r) _must_check_;
/* The reply of c waits until the changes made so far are on disk. */
void commit_wait(Rsd *r, Client *c);
/* Hands the changes to the commit thread, if there are any and it is not busy. */
void commit_flush(Rsd *r);
/* Has the commit thread read one row; answers the watchdog then. */
void commit_ping(uint64_t number, void *userdata);
/* Writes what is left, ends the thread. */
void commit_finish(Rsd *r);

/* ---- metrics.c ---- */

/* A request that was read has ended: refused as `o` says, failed on this host (error < 0, o is not looked at), or done. */
void rsd_count_request(Rsd *r, Verb verb, const RegistrarOutcome *o, int error);
void rsd_count_refused_connection(Rsd *r, ListenerRefusal why);
/* All metrics as text. 0, BUF_FULL, -ENOMEM. */
int rsd_write_metrics(const Rsd *r, Buf *b) _must_check_;

/* ---- control.c ---- */

int control_start(Rsd *r) _must_check_;
/* STATUS= in plain words, if there is something new to tell. */
void rsd_update_status(Rsd *r);
