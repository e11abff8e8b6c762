/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The peer's parts as its main loop sees them: peerd.c (main, wiring, timers), documents (library and index), server
 * (answers other peers), client (asks them), registration (stays registered), control.c (Varlink).
 */

#include "io/conf.h"
#include "io/daemon.h"
#include "io/loop.h"
#include "io/mailbox.h"
#include "io/state.h"
#include "io/varlink.h"
#include "peerd/client.h"
#include "peerd/documents.h"
#include "peerd/registration.h"
#include "peerd/server.h"

typedef struct Control Control;

typedef struct Peerd {
        sd_event *event;
        DaemonOptions options;
        PeerConf *conf;
        char *store_path;               /* owned: Store.Path=, or rfc in the state directory */
        Mailbox *mailbox;               /* of the main loop */
        Worker *disk;
        State *state;                   /* the disk worker's */
        Documents *documents;
        Server *server;
        StringList warnings;            /* what is wrong with its sockets */
        Client *client;
        Registration *registration;
        Control *control;
        Watchdog *watchdog;
        sd_event_source *summary_timer, *stop_timer;
        usec_t started_at;              /* realtime */
        bool stopping;
        bool socket_missing;            /* the service manager passed some, but none to answer other peers on */
        char status[512];               /* STATUS= as told last */
} Peerd;

/* STATUS= in plain words, if it is another than before. Once a second, so that thousands of downloads cost nothing. */
void peerd_update_status(Peerd *p);

/* ---- self-check.c ---- */

/* The watchdog asks: it is told when every thread has answered and a row could be read. userdata is the Peerd. */
void peerd_self_check(uint64_t number, void *userdata);

/* ---- control.c ---- */

int control_new(Peerd *p, Control **ret) _must_check_;
Control *control_free(Control *c);
extern const ClientHandler control_client_handler;      /* on_download and on_refresh; userdata is the Peerd */
