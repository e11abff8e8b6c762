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
        atomic_uint_fast64_t n_uploads, n_upload_bytes, n_failed, n_refused, n_active, n_not_held, n_unreadable;
        Histogram durations;            /* of documents sent whole */
} ServeCounters;

typedef struct ServeConf {
        Mailbox *main;
        Documents *documents;
        ServeCounters *counters;
        const char *host;               /* name of this host, for pages */
        Pace *pace;                     /* of all threads together */
        unsigned n_threads;             /* that divide Server.CacheSize= */
        /* In the main loop: a connection is over; n_refused of its requests were refused. */
        void (*on_released)(const Endpoint *remote, unsigned n_refused, void *userdata);
        void *userdata;
} ServeConf;

int serve_thread_new(const ServeConf *conf, const PeerConf *settings, unsigned number, ServeThread **ret) _must_check_;
/* Ends the loop, joins the thread. */
void serve_thread_halt(ServeThread *t);
/* The same if need be; connections are cut. */
ServeThread *serve_thread_free(ServeThread *t);
/* Takes fd, unless < 0 (-ENOMEM). */
int serve_thread_take(ServeThread *t, int fd, const Endpoint *remote) _must_check_;
void serve_thread_reconfigure(ServeThread *t, const PeerConf *settings);
/* Lets replies under way end, then closes. */
void serve_thread_stop(ServeThread *t);
void serve_thread_ping(ServeThread *t, Message *m);

/* The head of a short refusal (503, 429) for a connection that is not taken. */
int serve_write_refusal(Buf *b, unsigned status) _must_check_;
