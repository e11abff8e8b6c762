/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Server: the RFC server: answers what other peers ask (RFCQuery, GetRFC). The main loop accepts and hands each
 * connection to one of a few download threads, each of which drives thousands of them from its own loop, so the
 * listener is always free and a slow reader costs no thread.
 */

#include "core/base.h"
#include "core/metrics.h"
#include "io/conf.h"
#include "io/listener.h"
#include "io/mailbox.h"
#include "peerd/documents.h"

typedef struct Server Server;

/* The name under which the service manager keeps the socket that was bound for ListenStream=auto. */
#define SERVER_STORED "rfc-own"

typedef struct ServerConf {
        sd_event *event;                /* main loop */
        Mailbox *main;
        Documents *documents;
} ServerConf;

typedef struct ServerCounters {
        uint64_t n_uploads;             /* documents sent whole */
        uint64_t n_upload_bytes;
        uint64_t n_failed;              /* not whole */
        uint64_t n_active;              /* documents being sent now */
        uint64_t n_not_held;            /* asked for, and not in the library */
        uint64_t n_unreadable;          /* asked for, and this host could not open them */
        uint64_t n_malformed;           /* requests that follow no protocol */
        uint64_t n_refused[_LISTENER_REFUSAL_MAX];      /* connections */
} ServerCounters;

/*
 * Sockets come from the service manager, or are bound as configured; threads are made, so signals must be blocked and
 * descriptors inherited by now. Connections are accepted from the next turn of the loop on. -errno, logged.
 */
int server_new(const ServerConf *conf, const PeerConf *settings, Server **ret) _must_check_;
/* New settings, in each thread at its next turn. */
void server_reconfigure(Server *s, const PeerConf *settings);
/* Accepts no more; calls on_stopped in the main loop when the last connection is over. */
void server_stop(Server *s, void (*on_stopped)(void *userdata), void *userdata);
/* Ends the threads: what is posted to them later is not run. After it the disk worker may be freed, then the server. */
void server_halt(Server *s);
Server *server_free(Server *s);

Listener *server_listener(Server *s);
bool server_inherited(const Server *s);
/* The first port in use. */
uint16_t server_port(const Server *s);
void server_count(Server *s, ServerCounters *ret);
/* Of documents sent whole. */
const Histogram *server_upload_durations(const Server *s);
unsigned server_threads(const Server *s);
/* Runs the message in that download thread: the watchdog's ping. */
void server_ping(Server *s, unsigned thread, Message *m);
