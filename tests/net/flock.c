/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many peers in one program, as a registration server sees them: each has a Link, the part of p2pdi-peerd that
 * registers, renews and backs off, and an address of its own in 127.0.0.0/8. They share one database for cookies.
 *
 *   flock ENDPOINT N DATABASE
 *
 * For each line on stdin it writes what has become of them so far, a line of JSON; it ends when stdin does.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "io/log.h"
#include "io/loop.h"
#include "peerd/link.h"

#define PEERS_MAX 60000
#define PORT 65424
/* Exchanges are counted by tenths of a second: for so long. */
#define TENTHS_MAX 36000

typedef struct Peer {
        LinkConf conf;
        Link *link;                     /* owned */
        /* as it was when it changed last */
        usec_t renewed_at;
        unsigned n_failures;
        uint64_t cookie;
        uint32_t id;
        bool lost;                      /* it was given another cookie, or another id */
} Peer;

typedef struct Count {
        uint64_t all, most;             /* most: in any second */
        uint32_t tenths[TENTHS_MAX];
} Count;

static Peer *peers;
static unsigned n_peers;
static usec_t begun_at;
/* Exchanges that ended: with a 200, and any other way. */
static Count answered, in_vain, tried;

static void count(Count *c) {
        size_t now = (size_t) ((boottime_read() - begun_at) / (USEC_PER_SEC / 10));
        uint64_t second = 0;

        if (now >= TENTHS_MAX)
                return;
        c->all++;
        c->tenths[now]++;
        for (size_t i = 0; i < 10 && i <= now; i++)
                second += c->tenths[now - i];
        c->most = MAX_OF(c->most, second);
}

static void on_changed(Link *l, void *userdata) {
        const Membership *m = link_membership(l);
        Peer *p = userdata;

        if (m->renewed_at != p->renewed_at)
                count(&answered);
        else if (m->n_failures > p->n_failures)
                count(&in_vain);
        if (m->renewed_at != p->renewed_at || m->n_failures > p->n_failures)
                count(&tried);
        p->renewed_at = m->renewed_at;
        p->n_failures = m->n_failures;

        if (p->cookie != 0 && (m->cookie != p->cookie || m->peer_id != p->id))
                p->lost = true;
        p->cookie = m->cookie;
        p->id = m->peer_id;
}

static void report(void) {
        unsigned n_known = 0, n_active = 0, n_lost = 0;

        for (unsigned i = 0; i < n_peers; i++) {
                n_known += peers[i].cookie != 0;
                n_active += link_membership(peers[i].link)->state == MEMBERSHIP_ACTIVE;
                n_lost += peers[i].lost;
        }
        printf("{\"known\": %u, \"active\": %u, \"lost\": %u, \"answered\": %" PRIu64 ", \"inVain\": %" PRIu64, n_known, n_active, n_lost,
               answered.all, in_vain.all);
        printf(", \"mostAnswered\": %" PRIu64 ", \"mostTried\": %" PRIu64 ", \"peers\": [", answered.most, tried.most);
        for (unsigned i = 0; i < n_peers; i++)
                printf("%s[%" PRIu64 ", %" PRIu32 "]", i > 0 ? ", " : "", peers[i].cookie, peers[i].id);
        printf("]}\n");
        (void) fflush(stdout);
}

static int on_stdin(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        sd_event *e = userdata;
        char bytes[256];
        ssize_t n;
        (void) s;
        (void) revents;

        n = read(fd, bytes, sizeof(bytes));
        if (n <= 0)
                return sd_event_exit(e, 0);
        for (ssize_t i = 0; i < n; i++)
                if (bytes[i] == '\n')
                        report();
        return 0;
}

static int start(const LinkConf *conf, const ConfServer *server) {
        for (unsigned i = 0; i < n_peers; i++) {
                Peer *p = &peers[i];
                char name[32], address[32];
                ConfServer own = { .text = name, .host = server->host, .port = server->port };
                int k;

                /* Cookies are kept by the name of the server: each has its own for it. */
                (void) snprintf(name, sizeof(name), "server-of-%u", i);
                (void) snprintf(address, sizeof(address), "127.%u.%u.%u", 1 + i / 62500, i / 250 % 250, 1 + i % 250);
                p->conf = *conf;
                p->conf.call.has_source = true;
                if (address_from_text(slice_of(address), &p->conf.call.source) != 0)
                        return -EINVAL;
                p->conf.userdata = p;
                k = link_new(&p->conf, &own, true, &p->link);
                if (k < 0)
                        return k;
        }
        return 0;
}

static int run(ConfServer *server, const char *database) {
        const LoopSignals none = {};
        LinkConf conf = {
                .call = {               /* as registration.c has it */
                        .connect_timeout = 2 * USEC_PER_SEC,
                        .answer_timeout = 10 * USEC_PER_SEC,
                        .idle_timeout = 10 * USEC_PER_SEC,
                        .total_timeout = 30 * USEC_PER_SEC,
                },
                .own_port = PORT,
                .on_changed = on_changed,
        };
        sd_event_source *in = NULL;
        int k;

        k = sd_event_default(&conf.event);
        if (k >= 0)
                k = loop_add_signals(conf.event, &none);
        if (k >= 0)
                k = mailbox_new(&conf.main);
        if (k >= 0)
                k = mailbox_attach(conf.main, conf.event);
        if (k >= 0)
                k = worker_new("disk", &conf.disk);
        if (k >= 0)
                k = worker_new("resolver", &conf.resolver);
        if (k >= 0)
                k = state_open(database, &conf.state);
        if (k >= 0)
                k = sd_event_add_io(conf.event, &in, STDIN_FILENO, EPOLLIN, on_stdin, conf.event);
        if (k < 0)
                return k;
        begun_at = boottime_read();
        k = start(&conf, server);
        if (k >= 0)
                k = sd_event_loop(conf.event);
        return k;       /* what is left ends with the process */
}

int main(int argc, char *argv[]) {
        Endpoint to;
        char host[ADDRESS_TEXT_SIZE];
        ConfServer server = { .host = host };
        int k;

        if (argc != 4 || endpoint_from_text(slice_of(argv[1]), &to) != 0) {
                fprintf(stderr, "usage: flock ENDPOINT N DATABASE\n");
                return 2;
        }
        n_peers = (unsigned) strtoul(argv[2], NULL, 10);
        if (n_peers == 0 || n_peers > PEERS_MAX) {
                fprintf(stderr, "flock: 1 to %d peers\n", PEERS_MAX);
                return 2;
        }
        address_to_text(&to.address, host);
        server.port = to.port;
        peers = calloc(n_peers, sizeof(*peers));
        if (!peers)
                return 1;
        log_open("flock");
        log_set_level(LOG_LEVEL_ERR);
        k = run(&server, argv[3]);
        if (k < 0)
                fprintf(stderr, "flock: %s\n", error_text(k));
        return k < 0;
}
