/* SPDX-License-Identifier: BSD-2-Clause */
/* What feeds the watchdog: every thread answers, and one row is read. */
#include "io/log.h"
#include "peerd/peerd.h"

typedef struct PingRound PingRound;

typedef struct Ping {
        Message message;
        PingRound *round;
} Ping;

struct PingRound {
        Peerd *peerd;
        uint64_t number;
        unsigned n_pings, n_waiting;
        int result;                     /* of the disk worker's */
        Ping pings[];                   /* client, disk worker, client's flusher, download threads */
};

static void run_answered(Message *m) {
        PingRound *r = MESSAGE_OF(m, Ping, message)->round;
        if (--r->n_waiting > 0)
                return;
        if (r->result < 0)
                log_entry(LOG_LEVEL_CRIT, LOG_EVENT_SELF_CHECK_FAILED, NULL,
                          "Self-check failed, the state can't be read: %s.",
                          strerror(-r->result));
        else
                watchdog_answered(r->peerd->watchdog, r->number);
        free(r);
}

static void answer_ping(Message *m) {
        m->run = run_answered;
        mailbox_post(MESSAGE_OF(m, Ping, message)->round->peerd->mailbox, m);
}

static void run_disk_ping(Message *m) {
        PingRound *r = MESSAGE_OF(m, Ping, message)->round;
        r->result = state_check(r->peerd->state);
        answer_ping(m);
}

void peerd_self_check(uint64_t number, void *userdata) {
        Peerd *p = userdata;
        unsigned n = server_threads(p->server) + 3;
        PingRound *r = calloc(1, sizeof(*r) + n * sizeof(Ping));
        if (!r)
                return;                 /* an answer that does not come is an answer, too */
        r->peerd = p;
        r->number = number;
        r->n_waiting = n;
        for (unsigned i = 0; i < n; i++)
                r->pings[i] = (Ping){ .message = { .run = answer_ping }, .round = r };
        r->pings[1].message.run = run_disk_ping;
        client_ping(p->client, &r->pings[0].message);
        worker_post(p->disk, &r->pings[1].message);
        client_ping_flusher(p->client, &r->pings[2].message);
        for (unsigned i = 3; i < n; i++)
                server_ping(p->server, i - 3, &r->pings[i].message);
}
