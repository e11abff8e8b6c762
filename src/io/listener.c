/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/listener.h"

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/loop.h"

/* A connection whose client says nothing is left to the kernel until it has sent its half of the handshake once more. */
#define SILENT_SEC 1
/* Accepted in one turn of the loop, so that open connections get theirs. */
#define ACCEPTS_PER_TURN 64
/* Without descriptors: a listening socket stays readable, and asking it again and again would take all time. */
#define PAUSE_USEC (100 * USEC_PER_MSEC)

typedef struct Socket {
        Listener *listener;
        sd_event_source *io;            /* owned, and owns the socket */
        Endpoint endpoint;
        STAILQ_ENTRY(Socket) link;
} Socket;

/* Connections of one source. There is one only while it has some, so there are at most max_connections. */
typedef struct Source {
        Address address;                /* as address_source() gives it */
        uint32_t n_connections;
        RB_ENTRY(Source) link;
} Source;

RB_HEAD(SourceTree, Source);

struct Listener {
        sd_event *event;                /* reference */
        const ListenerConf *conf;
        const ListenerHandler *handler;
        void *userdata;
        STAILQ_HEAD(, Socket) sockets;
        struct SourceTree sources;
        size_t n_connections;
        RateTable *rates;               /* owned */
        sd_event_source *pause_timer;   /* owned */
        int reserve_fd;                 /* given up for a moment where descriptors run out; -1: not had back */
};

static int source_compare(Source *a, Source *b) {
        return memcmp(a->address.bytes, b->address.bytes, sizeof(a->address.bytes));
}

RB_GENERATE_INTERNAL(SourceTree, Source, link, source_compare, __attribute__((unused)) static)

static const struct {
        const char *text;
        bool full;
} refusals[_LISTENER_REFUSAL_MAX] = {
        [LISTENER_ACCESS] = { "Connection refused: not allowed by [Access].", false },
        [LISTENER_CONNECTIONS] = { "Connection refused: over MaxConnections.", true },
        [LISTENER_PER_SOURCE] = { "Connection refused: over MaxConnectionsPerSource.", false },
        [LISTENER_RATE] = { "Connection refused: over RatePerSource.", false },
        [LISTENER_DESCRIPTORS] = { "Connection refused: over LimitNOFILE.", true },
        [LISTENER_MEMORY] = { "Connection refused: no memory to take it.", true },
};

const char *listener_refusal_name(ListenerRefusal r) {
        static const char *const names[_LISTENER_REFUSAL_MAX] = {
#define LISTENER_REFUSAL_NAME(id, name) [LISTENER_##id] = name,
                LISTENER_REFUSALS(LISTENER_REFUSAL_NAME)
#undef LISTENER_REFUSAL_NAME
        };
        return names[r];
}

const char *listener_refusal_text(ListenerRefusal r) {
        return refusals[r].text;
}

bool listener_refusal_is_full(ListenerRefusal r) {
        return refusals[r].full;
}

static bool contains_any(const Prefix *prefixes, size_t n, const Address *address) {
        for (size_t i = 0; i < n; i++)
                if (prefix_contains(&prefixes[i], address))
                        return true;
        return false;
}

bool access_allowed(const AccessList *a, const Address *address) {
        if (contains_any(a->allow, a->n_allow, address))
                return true;
        if (a->n_deny > 0)
                return !contains_any(a->deny, a->n_deny, address);
        return a->n_allow == 0;
}

/* ---- who is here ---- */

static Source *listener_source(Listener *l, const Address *address) {
        Source key = { .address = address_source(address) };

        return RB_FIND(SourceTree, &l->sources, &key);
}

/* false: no memory. */
static bool listener_count_in(Listener *l, const Address *address) {
        Source *s = listener_source(l, address);

        if (!s) {
                s = calloc(1, sizeof(*s));
                if (!s)
                        return false;
                s->address = address_source(address);
                (void) RB_INSERT(SourceTree, &l->sources, s);
        }
        s->n_connections++;
        l->n_connections++;
        return true;
}

void listener_released(Listener *l, const Endpoint *remote) {
        Source *s = listener_source(l, &remote->address);

        assert(s && s->n_connections > 0 && l->n_connections > 0);

        l->n_connections--;
        if (--s->n_connections > 0)
                return;
        (void) RB_REMOVE(SourceTree, &l->sources, s);
        free(s);
}

size_t listener_count(const Listener *l) {
        return l->n_connections;
}

static Now listener_now(const Listener *l) {
        Now now;

        now_of_event(l->event, &now);
        return now;
}

bool listener_charge(Listener *l, const Endpoint *remote) {
        Now now = listener_now(l);

        /* A source that has nothing left can't owe: it starts again from here. */
        return rate_table_take(l->rates, &remote->address, &now);
}

/* true: it may come in, and is counted. */
static bool listener_admit(Listener *l, const Address *address, ListenerRefusal *ret_refusal) {
        const Source *s = listener_source(l, address);
        Now now = listener_now(l);

        if (!access_allowed(&l->conf->access, address))
                *ret_refusal = LISTENER_ACCESS;
        else if (l->n_connections >= l->conf->max_connections)
                *ret_refusal = LISTENER_CONNECTIONS;
        else if (s && s->n_connections >= l->conf->max_per_source)
                *ret_refusal = LISTENER_PER_SOURCE;
        else if (!rate_table_take(l->rates, address, &now))
                *ret_refusal = LISTENER_RATE;
        else if (!listener_count_in(l, address))
                *ret_refusal = LISTENER_MEMORY;
        else
                return true;
        return false;
}

/* ---- accepting ---- */

static void listener_refuse(Listener *l, int fd, const Endpoint *remote, ListenerRefusal why) {
        if (why == LISTENER_ACCESS) {
                (void) close(fd);
                fd = -1;
        }
        l->handler->on_refused(fd, remote, why, l->userdata);
        if (fd >= 0)
                (void) close(fd);
}

/* A connection and who it is from; -errno. */
static int accept_from(int listening_fd, Endpoint *ret_remote) {
        struct sockaddr_storage address;
        socklen_t size = sizeof(address);
        int fd;

        fd = accept4(listening_fd, (struct sockaddr *) &address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (endpoint_from_sockaddr((struct sockaddr *) &address, ret_remote) != 0)
                *ret_remote = (Endpoint){};
        return fd;
}

static void listener_get_reserve(Listener *l) {
        if (l->reserve_fd < 0)
                l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void listener_give_reserve(Listener *l) {
        if (l->reserve_fd >= 0)
                (void) close(l->reserve_fd);
        l->reserve_fd = -1;
}

static void listener_enable(Listener *l, int enabled) {
        Socket *s;

        STAILQ_FOREACH(s, &l->sockets, link)
                /* where it fails, accepting is tried again after the next pause */
                (void) sd_event_source_set_enabled(s->io, enabled);
}

/* No descriptor is left: tells some of those who wait, and leaves accepting for a moment. */
static void listener_on_no_descriptors(Listener *l, Socket *s) {
        usec_t now = listener_now(l).boottime;

        for (size_t i = 0; i < ACCEPTS_PER_TURN && l->reserve_fd >= 0 && !STAILQ_EMPTY(&l->sockets); i++) {
                Endpoint remote;
                int fd;

                listener_give_reserve(l);
                fd = accept_from(sd_event_source_get_io_fd(s->io), &remote);
                if (fd >= 0) {
                        bool allowed = access_allowed(&l->conf->access, &remote.address);

                        listener_refuse(l, fd, &remote, allowed ? LISTENER_DESCRIPTORS : LISTENER_ACCESS);
                }
                listener_get_reserve(l);
                if (fd < 0)
                        break;
        }
        listener_enable(l, SD_EVENT_OFF);
        (void) loop_timer_set(l->pause_timer, usec_add(now, PAUSE_USEC));
}

static int listener_on_pause_end(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        Listener *l = userdata;

        listener_get_reserve(l);
        listener_enable(l, SD_EVENT_ON);
        return 0;
}

static int listener_on_io(_unused_ sd_event_source *source, int listening_fd, _unused_ uint32_t revents,
                          void *userdata) {
        Socket *s = userdata;
        Listener *l = s->listener;

        if (l->handler->before)
                l->handler->before(l->userdata);
        /* A handler may have called listener_stop(): then s is gone. */
        for (size_t i = 0; i < ACCEPTS_PER_TURN && !STAILQ_EMPTY(&l->sockets); i++) {
                ListenerRefusal refusal;
                Endpoint remote;
                int fd;

                fd = accept_from(listening_fd, &remote);
                if (fd == -EAGAIN)
                        break;
                if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) {
                        listener_on_no_descriptors(l, s);
                        break;
                }
                if (fd < 0)
                        continue; /* an error of that one connection: it is gone already */
                if (listener_admit(l, &remote.address, &refusal))
                        l->handler->on_connection(fd, &remote, l->userdata);
                else
                        listener_refuse(l, fd, &remote, refusal);
        }
        if (l->handler->after)
                l->handler->after(l->userdata);
        return 0;
}

/* ---- sockets ---- */

static void socket_free(Socket *s) {
        event_source_free(s->io);
        free(s);
}

/* Takes fd also when it fails. */
static int listener_watch(Listener *l, int fd) {
        struct sockaddr_storage address;
        socklen_t size = sizeof(address);
        Endpoint endpoint;
        Socket *s;
        int r, yes = 1, silent_sec = SILENT_SEC;

        if (getsockname(fd, (struct sockaddr *) &address, &size) < 0 ||
            endpoint_from_sockaddr((struct sockaddr *) &address, &endpoint) != 0) {
                (void) close(fd);
                return -EINVAL;
        }
        s = malloc(sizeof(*s));
        if (!s) {
                (void) close(fd);
                return -ENOMEM;
        }
        /* The sockets of its connections have it from here; a socket activated by hand need not have it. */
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        if (l->conf->client_speaks_first)
                (void) setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &silent_sec, sizeof(silent_sec));
        *s = (Socket){ .listener = l, .endpoint = endpoint };
        r = sd_event_add_io(l->event, &s->io, fd, EPOLLIN, listener_on_io, s);
        if (r >= 0)
                r = sd_event_source_set_io_fd_own(s->io, true);
        if (r < 0) {
                (void) close(fd);
                socket_free(s);
                return r;
        }
        STAILQ_INSERT_TAIL(&l->sockets, s, link);
        return 0;
}

static bool is_listening_stream(int fd) {
        socklen_t size = sizeof(int);
        int accepts = 0, type = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) < 0)
                return false;
        size = sizeof(int);
        return accepts && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

int listener_add_fd(Listener *l, int fd) {
        int flags;

        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || !is_listening_stream(fd) || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
            fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
                (void) close(fd);
                return -EINVAL;
        }
        return listener_watch(l, fd);
}

static int set_options(int fd, sa_family_t family, bool any_address) {
        int no = 0, yes = 1;

        /* A restart must not wait for connections of its predecessor to be forgotten. */
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0)
                return -errno;
        if (any_address) {
                if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no)) < 0)
                        return -errno;
                return 0;
        }
        /* The address may come later: networks are not up when services start. */
        if (family == AF_INET)
                return setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &yes, sizeof(yes)) < 0 ? -errno : 0;
        return setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &yes, sizeof(yes)) < 0 ? -errno : 0;
}

static int listen_at(const struct sockaddr_storage *address, unsigned size, bool any_address, int *ret_fd) {
        int fd, r;

        fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        r = set_options(fd, address->ss_family, any_address);
        if (r == 0 && (bind(fd, (const struct sockaddr *) address, size) < 0 || listen(fd, SOMAXCONN) < 0))
                r = -errno;
        if (r < 0) {
                (void) close(fd);
                return r;
        }
        *ret_fd = fd;
        return 0;
}

static int listen_anywhere(uint16_t port, int *ret_fd) {
        const struct sockaddr_in6 both = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
        const struct sockaddr_in ipv4 = { .sin_family = AF_INET, .sin_port = htons(port) };
        struct sockaddr_storage address = {};
        int r;

        memcpy(&address, &both, sizeof(both));
        r = listen_at(&address, sizeof(both), true, ret_fd);
        if (r != -EAFNOSUPPORT && r != -EADDRNOTAVAIL)
                return r;
        address = (struct sockaddr_storage){};
        memcpy(&address, &ipv4, sizeof(ipv4));
        return listen_at(&address, sizeof(ipv4), true, ret_fd);
}

int listener_bind(Listener *l, const Endpoint *e, bool any_address) {
        struct sockaddr_storage address;
        unsigned size;
        int fd = -1, r;

        if (any_address)
                r = listen_anywhere(e->port, &fd);
        else {
                size = endpoint_to_sockaddr(e, &address);
                r = listen_at(&address, size, false, &fd);
        }
        return r < 0 ? r : listener_watch(l, fd);
}

size_t listener_endpoints(const Listener *l, Endpoint *ret, size_t n) {
        size_t i = 0;
        Socket *s;

        STAILQ_FOREACH(s, &l->sockets, link) {
                if (i < n)
                        ret[i] = s->endpoint;
                i++;
        }
        return i;
}

int listener_last_fd(const Listener *l) {
        const Socket *s = STAILQ_LAST(&l->sockets, Socket, link);

        return s ? sd_event_source_get_io_fd(s->io) : -1;
}

void listener_stop(Listener *l) {
        Socket *s;

        while ((s = STAILQ_FIRST(&l->sockets))) {
                STAILQ_REMOVE_HEAD(&l->sockets, link);
                socket_free(s);
        }
        (void) loop_timer_set(l->pause_timer, USEC_INFINITY);
}

/* ---- the whole ---- */

int listener_new(sd_event *e, const ListenerConf *conf, const ListenerHandler *handler, void *userdata,
                 Listener **ret) {
        const uint64_t hash_key[2] = { random_u64(), random_u64() };
        _cleanup_(listener_free_p) Listener *l = NULL;
        int r;

        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->event = sd_event_ref(e);
        l->conf = conf;
        l->handler = handler;
        l->userdata = userdata;
        l->reserve_fd = -1;
        STAILQ_INIT(&l->sockets);
        RB_INIT(&l->sources);

        r = rate_table_new(RATE_TABLE_SIZE, conf->rate_per_source, conf->burst, hash_key, &l->rates);
        if (r < 0)
                return r;
        r = loop_timer_new(e, listener_on_pause_end, l, "accept-pause", &l->pause_timer);
        if (r < 0)
                return r;
        listener_get_reserve(l);
        if (l->reserve_fd < 0)
                return -errno;

        *ret = TAKE_PTR(l);
        return 0;
}

Listener *listener_free(Listener *l) {
        Source *s;

        if (!l)
                return NULL;
        if (l->pause_timer)
                listener_stop(l);
        event_source_free(l->pause_timer);
        while ((s = RB_ROOT(&l->sources))) {
                (void) RB_REMOVE(SourceTree, &l->sources, s);
                free(s);
        }
        rate_table_free(l->rates);
        listener_give_reserve(l);
        sd_event_unref(l->event);
        free(l);
        return NULL;
}

void listener_reconfigure(Listener *l) {
        rate_table_set(l->rates, l->conf->rate_per_source, l->conf->burst);
}
