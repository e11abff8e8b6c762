/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/sync-internal.h"

#include <errno.h>

#include "io/log.h"
#include "io/loop.h"

/* A copy more is no hurry: others want the line, too. */
#define REPLICAS_RATE (UINT64_C(1) << 20)
#define REPLICAS_AT_ONCE 4
/* What is lacking beyond that has to wait: some half a megabyte. */
#define LACKING_MAX 65536

/* Fewer hold it than should, and this peer does not. */
typedef struct Lacking {
        uint32_t number;
        uint32_t n_rounds;                      /* that have found it so, but for this one */
} Lacking;

int replicas_prepare(Sync *s, const Now *now) {
        return client_dialable(s->client, now, &s->peers, &s->n_peers);
}

/* How others know this peer: as the registration servers list it; where none does, whatever it knows to be itself. */
static size_t own_endpoints(const Client *c, Endpoint ret[SELF_MAX]) {
        size_t n = 0;
        for (unsigned i = 0; i < c->settings.n_servers && n < SELF_MAX; i++)
                if (c->servers[i].has_self)
                        ret[n++] = c->servers[i].self;
        if (n > 0)
                return n;
        memcpy(ret, c->self, c->n_self * sizeof(*ret));
        return c->n_self;
}

/* In how many rounds before this it was lacking already; they were as ascending as this one is. */
static uint32_t rounds_before(Sync *s, uint32_t number) {
        const Client *c = s->client;
        while (s->lacking_at < c->n_lacking && c->lacking[s->lacking_at].number < number)
                s->lacking_at++;
        return s->lacking_at < c->n_lacking && c->lacking[s->lacking_at].number == number ?
                       c->lacking[s->lacking_at].n_rounds + 1 :
                       0;
}

int replicas_take(Sync *s, uint32_t number, const Endpoint *holders, size_t n) {
        const Client *c = s->client;
        const unsigned wanted = c->settings.min_replicas;
        Endpoint self[SELF_MAX];

        if (n == 0 || n >= wanted || s->n_lacking >= LACKING_MAX)
                return 0;
        if (s->n_lacking == s->n_lacking_allocated) {
                size_t m = MAX_OF(2 * s->n_lacking_allocated, (size_t) 64);
                Lacking *lacking = reallocarray(s->lacking, m, sizeof(*lacking));
                if (!lacking)
                        return -ENOMEM;
                s->lacking = lacking;
                s->n_lacking_allocated = m;
        }
        uint32_t before = rounds_before(s, number);
        s->lacking[s->n_lacking++] = (Lacking){ .number = number, .n_rounds = before };
        size_t n_self = own_endpoints(c, self);
        return replicate_takes(number, wanted, before, self, n_self, s->peers, s->n_peers, holders, n);
}

void replicas_planned(Sync *s) {
        Client *c = s->client;
        free(c->lacking);
        c->lacking = TAKE_PTR(s->lacking);
        c->n_lacking = s->n_lacking;
}

/* ---- the rounds ---- */

/* Whoever was started together does not go on together: anything from four fifths to six fifths of the interval. */
static void arm(Client *c) {
        Now now;
        now_of_event(c->event, &now);
        const usec_t interval = c->settings.pull_interval;
        const bool wanted = c->settings.min_replicas > 0;
        if (!wanted) {
                free(c->lacking);
                c->lacking = NULL;
                c->n_lacking = 0;
        }
        usec_t pause = interval / 5 * 4 + random_range(MAX_OF(interval / 5 * 2, (usec_t) 1));
        (void) loop_timer_set(c->replicas_timer, wanted ? usec_add(now.boottime, pause) : USEC_INFINITY);
}

int replicas_on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Client *c = userdata;
        (void) source;
        (void) usec;

        arm(c);
        replicas_self_changed(c);
        /* Who brings everything brings that, too; and a library that is still read is not one that lacks something. */
        if (c->sync || !documents_scanned(c->conf.documents))
                return 0;
        Sync *s = calloc(1, sizeof(*s));
        if (!s) {
                log_error("No memory to look for what too few peers hold.");
                return 0;
        }
        s->replicas = true;
        s->max_rate = REPLICAS_RATE;
        s->n_active_max = REPLICAS_AT_ONCE;
        s->progress.transaction = random_u64() | 1;
        sync_begin(c, s);
        return 0;
}

void replicas_self_changed(Client *c) {
        Endpoint self[SELF_MAX];
        const size_t n = own_endpoints(c, self);
        documents_set_copies(c->conf.documents, c->settings.min_replicas, self, n);
}

void replicas_arm(Client *c) {
        if (!c->replicas_timer)
                return;
        arm(c);
        replicas_self_changed(c);
}
