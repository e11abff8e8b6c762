/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Registration: keeps this peer registered with its servers, in the background: a Link for each, in the main loop.
 */

#include "core/base.h"
#include "core/membership.h"
#include "io/conf.h"
#include "io/mailbox.h"
#include "io/state.h"
#include "peerd/client.h"

typedef struct Registration Registration;

typedef struct RegistrationConf {
        sd_event *event;
        Mailbox *main;
        Worker *disk;                   /* where `state` lives */
        State *state;
        Client *client;                 /* is told how each server stands */
        uint16_t own_port;
        void (*on_changed)(void *userdata);     /* something to show has changed */
        void *userdata;
} RegistrationConf;

int registration_new(const RegistrationConf *conf, const PeerConf *settings, Registration **ret) _must_check_;
/* The disk worker must be gone. Waits for a name that is being looked up, which may take a minute. */
Registration *registration_free(Registration *r);
DEFINE_CLEANUP(Registration *, registration_free)
/*
 * New settings: servers that are no longer named are left, new ones joined (unless the user left them all), the others
 * go on. -errno: one of them could not be joined.
 */
int registration_reconfigure(Registration *r, const PeerConf *settings) _must_check_;

/* Answers */
enum {
        REGISTRATION_NO_SERVERS = 1,
};
int registration_join(Registration *r);                 /* 0, NO_SERVERS */
int registration_leave(Registration *r);                /* the same; until join, also over reloads */
/* The client needs this server: tries now, whatever the back-off says. */
void registration_hurry(Registration *r, unsigned server);
/* It answered the client: what waits for its coming back need not. */
void registration_server_heard(Registration *r, unsigned server);
/* Leaves everywhere; on_done is called when that is done or after 2 s. */
void registration_stop(Registration *r, void (*on_done)(void *userdata), void *userdata);

/* Is a name being looked up? That can't be cancelled. */
bool registration_is_resolving(const Registration *r);

/* How a server stands; name as configured. false: there is none of that index. */
typedef struct RegistrationInfo {
        const char *server;
        MembershipState state;
        bool reachable;
        uint32_t peer_id;
        bool has_address;
        Address address;
        usec_t renewed_at, expires_at;  /* boottime; 0: never */
} RegistrationInfo;
bool registration_get(const Registration *r, unsigned server, RegistrationInfo *ret);
