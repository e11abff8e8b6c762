/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Link: this peer's standing with one registration server, driven from the main loop: what Membership says is due is
 * done here: the name is looked up, the request sent, the cookie kept on disk before a Register counts as done.
 */

#include "core/base.h"
#include "core/membership.h"
#include "io/call.h"
#include "io/conf.h"
#include "io/mailbox.h"
#include "io/state.h"

typedef struct Link Link;

/* What all links share. */
typedef struct LinkConf {
        sd_event *event;
        Mailbox *main;
        Worker *disk;                   /* where `state` lives */
        State *state;
        Worker *resolver;               /* looks up names, which may block for long */
        CallConf call;                  /* may change in place, like what follows */
        uint16_t own_port;
        bool has_advertise;
        Address advertise;
        /* Its membership is another one than before, or may be. Must not free the link. */
        void (*on_changed)(Link *l, void *userdata);
        void *userdata;
} LinkConf;

/* conf is borrowed. Wants to be registered as soon as the cookie was read from disk if `join`. -errno. */
int link_new(const LinkConf *conf, const ConfServer *server, bool join, Link **ret) _must_check_;
/* Not from within on_changed(). It must be idle, or the two workers gone. */
Link *link_free(Link *l);
DEFINE_CLEANUP(Link *, link_free)

void link_join(Link *l);
void link_leave(Link *l);
/* Registers anew now, whatever the back-off says; nothing for one that has left. */
void link_register_now(Link *l);

/* The server was heard by somebody else: what waits for its coming back need not. */
void link_server_heard(Link *l);

/* Nothing is under way, and no Leave is due. */
bool link_is_idle(const Link *l);
/* The last Leave was not answered; it is tried again later. */
bool link_could_not_leave(const Link *l);
/* Its name is being looked up. */
bool link_is_resolving(const Link *l);
/* As configured; lives as long as the link. */
const char *link_server(const Link *l);
const Membership *link_membership(const Link *l);
/* Where it answered last; NULL: never. */
const Endpoint *link_endpoint(const Link *l);
