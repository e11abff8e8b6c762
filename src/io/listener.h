/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Listener: listening sockets, inherited or bound, and who may come in: access lists, connections in all and per
 * source, rate per source. Each accepted connection is handed over once as a descriptor; who got it says
 * listener_released() when it is closed.
 *
 * Over a limit the connection is accepted and closed at once (with a reply where the owner gives one), never left in
 * the backlog; without descriptors a reserve is given up for a moment to accept and close, and accepting pauses for
 * 100 ms rather than spin.
 */

#include "core/address.h"
#include "core/base.h"
#include "core/rate.h"

#include <systemd/sd-event.h>

typedef struct Listener Listener;

typedef struct AccessList {
        /*
         * borrowed; systemd's rule: an allow match wins, then deny, else allowed. An allow list without deny list
         * denies the rest.
         */
        const Prefix *allow, *deny;
        size_t n_allow, n_deny;
} AccessList;
bool access_allowed(const AccessList *a, const Address *address);

typedef struct ListenerConf {
        uint32_t max_connections;
        uint32_t max_per_source;
        uint32_t rate_per_source;       /* new connections a second; 0: no limit */
        uint32_t burst;
        AccessList access;
        /*
         * A connection comes in with what its client says first; who says nothing waits for a second before that. Of
         * sockets that are added later.
         */
        bool client_speaks_first;
} ListenerConf;

/*
 * X(id, name): why a connection was refused, by the name that it has as P2PDI_LIMIT in the journal and in metrics: it is the
 * setting, where there is one. LISTENER_ACCESS: closed without a word.
 */
#define LISTENER_REFUSALS(X)                                                                                           \
        X(ACCESS, "Access")                                                                                            \
        X(CONNECTIONS, "MaxConnections")                                                                               \
        X(PER_SOURCE, "MaxConnectionsPerSource")                                                                       \
        X(RATE, "RatePerSource")                                                                                       \
        X(DESCRIPTORS, "LimitNOFILE")                                                                                  \
        X(MEMORY, "memory")

typedef enum ListenerRefusal {
#define LISTENER_REFUSAL_ENUM(id, name) LISTENER_##id,
        LISTENER_REFUSALS(LISTENER_REFUSAL_ENUM)
#undef LISTENER_REFUSAL_ENUM
        _LISTENER_REFUSAL_MAX,
} ListenerRefusal;
const char *listener_refusal_name(ListenerRefusal r);
/* For the log: "Connection refused: over MaxConnections." */
const char *listener_refusal_text(ListenerRefusal r);
/* Is it this host that takes no more now, whoever comes? (503, else 429) */
bool listener_refusal_is_full(ListenerRefusal r);

typedef struct ListenerHandler {
        /* Takes fd, which has TCP_NODELAY. listener_released() is called once for it, also where it was of no use. */
        void (*on_connection)(int fd, const Endpoint *remote, void *userdata);
        /* fd is closed after the call; it may send a short reply without blocking (LISTENER_ACCESS: -1). */
        void (*on_refused)(int fd, const Endpoint *remote, ListenerRefusal why, void *userdata);
        /* Connections are about to be taken in: the last moment to say which ones are over. May be NULL. */
        void (*before)(void *userdata);
        /* For now all are taken in that there were. May be NULL. */
        void (*after)(void *userdata);
} ListenerHandler;

/* conf is borrowed and may change in place; after a change call listener_reconfigure(). */
int listener_new(sd_event *e, const ListenerConf *conf, const ListenerHandler *handler, void *userdata,
                 Listener **ret) _must_check_;
/* Not from within its handlers. */
Listener *listener_free(Listener *l);
DEFINE_CLEANUP(Listener *, listener_free)
void listener_reconfigure(Listener *l);

/* An inherited listening stream socket of AF_INET or AF_INET6; takes fd anyway. -EINVAL: something else. */
int listener_add_fd(Listener *l, int fd) _must_check_;
/*
 * Binds [::]:port (both families), or 0.0.0.0 where there is no IPv6; or a concrete address (IP_FREEBIND). port 0: a
 * free one.
 */
int listener_bind(Listener *l, const Endpoint *e, bool any_address) _must_check_;
/* The addresses in use: how many there are; the first n of them in ret. */
size_t listener_endpoints(const Listener *l, Endpoint *ret, size_t n);
/* The socket that was added or bound last; borrowed, to be given to the service manager. -1: there is none. */
int listener_last_fd(const Listener *l);
/* The connection from this source is over. */
void listener_released(Listener *l, const Endpoint *remote);
/*
 * A refused request counts against its source's rate (protocol: never requests that are answered well on an open
 * connection). false: it is over that, and should not go on.
 */
bool listener_charge(Listener *l, const Endpoint *remote);
size_t listener_count(const Listener *l);
/* Stops accepting: closes the sockets. */
void listener_stop(Listener *l);

/*
 * Descriptors passed by the service manager whose name is `name` (LISTEN_FDS, LISTEN_FDNAMES); up to n. Gives how
 * many, each once; -errno. The caller owns them then. All must be asked for before threads are made; the rest is
 * closed with inherited_close_rest(), which also takes the variables out of the environment.
 */
int inherited_take(const char *name, int *ret_fds, size_t n) _must_check_;
/* How many were passed under that name, taken or not; NULL: in all. 0 also where that can't be told. */
unsigned inherited_count(const char *name);
void inherited_close_rest(void);
