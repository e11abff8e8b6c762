/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * ServeThread: one download thread of the RFC server: its loop, its connections, and the answers to RFCQuery and
 * GetRFC, and to HTTP.
 */

#include "core/address.h"
#include "core/base.h"
#include "core/buf.h"
#include "core/metrics.h"
#include "io/conf.h"
#include "io/mailbox.h"
#include "io/pace.h"
#include "peerd/documents.h"

typedef struct ServeThread ServeThread;

/* Counted by all threads. */
typedef struct ServeCounters {
        atomic_uint_fast64_t n_uploads, n_upload_bytes, n_failed, n_active, n_not_held, n_unreadable, n_malformed;
        Histogram durations;            /* of documents sent whole */
} ServeCounters;

/*
 * Connections that are over, until the main loop counts them. That need not be woken for each: it has to know before it
 * takes new ones in, and when somebody asks how many there are.
 */
typedef struct ServeReleased {
        struct ServeClient *_Atomic last;       /* and from there to the one before */
        atomic_uint_fast64_t n;                 /* ever */
} ServeReleased;

typedef struct ServeConf {
        Mailbox *main;
        ServeReleased *released;        /* of all threads */
        Documents *documents;
        ServeCounters *counters;
        const char *host;               /* name of this host, for pages */
        Pace *pace;                     /* of all threads together */
        unsigned n_threads;             /* that divide Server.CacheSize= */
        /* In the main loop, sooner or later: a connection is over; n_refused of its requests were refused. */
        void (*on_released)(const Endpoint *remote, unsigned n_refused, void *userdata);
        void *userdata;
} ServeConf;

int serve_thread_new(const ServeConf *conf, const PeerConf *settings, unsigned number, ServeThread **ret) _must_check_;
/* Ends the loop, joins the thread. */
void serve_thread_halt(ServeThread *t);
/* The same if need be; connections are cut. */
ServeThread *serve_thread_free(ServeThread *t);
/* In the main loop: calls on_released for each connection that is over by now. */
void serve_collect(const ServeConf *conf);
/* Takes fd, unless < 0 (-ENOMEM); the thread hears of it with serve_thread_hand_over(). */
int serve_thread_take(ServeThread *t, int fd, const Endpoint *remote) _must_check_;
/* One message for all that were taken since the last time. */
void serve_thread_hand_over(ServeThread *t);
void serve_thread_reconfigure(ServeThread *t, const PeerConf *settings);
/* Lets replies under way end, then closes. */
void serve_thread_stop(ServeThread *t);
void serve_thread_ping(ServeThread *t, Message *m);

/* The head of a short refusal (503, 429) for a connection that is not taken. */
int serve_write_refusal(Buf *b, unsigned status) _must_check_;
