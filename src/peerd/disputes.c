/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tells the log of each number that becomes disputed, once while that lasts.
 *
 * Which numbers a merge touched is not known to whoever merged, and a record may also be disputed by what expires, or by
 * a manifest. So after changes, and now and then, all numbers are looked at, by slices; what was disputed at the last
 * look is not told again. All in the client's thread.
 */
#include <errno.h>

#include "core/text.h"
#include "io/log.h"
#include "io/loop.h"
#include "peerd/client-internal.h"

/* So long after a change, since seldom one comes alone. */
#define STIR_USEC (200 * USEC_PER_MSEC)
/* Without any. */
#define IDLE_USEC (10 * USEC_PER_MINUTE)
/* A look that took so long is followed by so many times that without one: a million records cost 0.15 s. */
#define PAUSE_FACTOR 50
/* Records looked at per hold of the lock: some 100 µs; and new disputes, each of which costs as much as its number has. */
#define SLICE_RECORDS 512
#define SLICE_DISPUTES 8

/* One that is to be told. */
typedef struct Dispute {
        uint32_t number;
        TrustNumber all;
        TrustText best;
        bool by_manifest;
        Digest verified;
} Dispute;

struct Disputes {
        Client *client;
        sd_event_source *timer;
        Message message;
        bool running, again;
        uint32_t number;                        /* looked at up to here */
        RfcSet known, found;                    /* disputed at the last look, and at this one */
        usec_t due_at;                          /* of the timer */
        usec_t not_before;
        usec_t worked;                          /* in this look */
};

static void arm(Disputes *d, usec_t at) {
        d->due_at = MAX_OF(at, d->not_before);
        (void) loop_timer_set(d->timer, d->due_at);
}

void disputes_stir(Disputes *d) {
        Now now;

        now_of_event(d->client->event, &now);
        if (d->running)
                d->again = true;
        else if (d->due_at > usec_add(now.boottime, STIR_USEC))
                arm(d, usec_add(now.boottime, STIR_USEC));
}

/* ---- one slice ---- */

/* Under the lock. Gives how many were put into ret; *ret_end: that was the last number. */
static size_t look(Disputes *d, const RfcIndex *x, const TrustConf *conf, const Now *now, Dispute ret[SLICE_DISPUTES],
                   bool *ret_end) {
        size_t n_records = 0, n = 0;

        while (n_records < SLICE_RECORDS && n < SLICE_DISPUTES) {
                Dispute *one = &ret[n];
                uint32_t number = rfc_index_next_number(x, d->number, now);

                *ret_end = number == 0;
                if (number == 0)
                        break;
                d->number = number;
                if (!trust_number(x, conf, number, now, &one->all, &n_records) ||
                    one->all.text.grade != GRADE_DISPUTED)
                        continue;
                bool told = rfc_set_contains(&d->known, number);
                /* One that has no room there would be told at each look. */
                if (rfc_set_add(&d->found, (RfcRange){ number, number }) != 0 || told)
                        continue;
                const Digest *verified = conf->manifest ? manifest_get(conf->manifest, number) : NULL;
                one->number = number;
                one->by_manifest = verified;
                if (verified)
                        one->verified = *verified;
                (void) trust_texts(x, conf, number, now, &one->best, 1);
                n++;
        }
        return n;
}

static void tell(const Dispute *d) {
        const char *what = d->all.text.own ? "the copy in the library" : "what other peers hold";
        LogFields f = { .rfc = d->number, .sha256 = &d->all.text.digest };

        if (d->by_manifest) {
                f.sha256_expected = &d->verified;
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_DISPUTED, &f, "RFC %u is disputed: %s is not what the manifest names.",
                          d->number, what);
        } else if (d->best.grade > GRADE_DISPUTED) {
                f.sha256_expected = &d->best.digest;
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_DISPUTED, &f,
                          "RFC %u is disputed: %s is not what %zu other peer%s state%s.", d->number, what,
                          d->best.n_holders, plural(d->best.n_holders), d->best.n_holders == 1 ? "s" : "");
        } else
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_DISPUTED, &f,
                          "RFC %u is disputed: %zu texts are known, and peers agree on none.", d->number, d->all.n_texts);
}

static void finish(Disputes *d, const Now *now) {
        rfc_set_done(&d->known);
        d->known = d->found;
        d->found = (RfcSet){};
        d->running = false;
        d->not_before = usec_add(now->boottime, PAUSE_FACTOR * d->worked);
        arm(d, usec_add(now->boottime, d->again ? STIR_USEC : IDLE_USEC));
        d->again = false;
}

static void run_slice(Message *m) {
        Disputes *d = MESSAGE_OF(m, Disputes, message);
        Documents *documents = d->client->conf.documents;
        Dispute disputes[SLICE_DISPUTES];
        bool end = false;
        Now begin, now;

        now_read(&begin);
        const RfcIndex *x = documents_lock(documents);
        size_t n = look(d, x, documents_trust(documents), &begin, disputes, &end);
        documents_unlock(documents);
        for (size_t i = 0; i < n; i++)
                tell(&disputes[i]);
        now_read(&now);
        d->worked += usec_sub(now.boottime, begin.boottime);
        if (end)
                finish(d, &now);
        else
                loop_thread_post(d->client->loop, m);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Disputes *d = userdata;
        (void) s;
        (void) usec;

        d->running = true;
        d->due_at = USEC_INFINITY;
        d->number = 0;
        d->worked = 0;
        loop_thread_post(d->client->loop, &d->message);
        return 0;
}

int disputes_new(Client *c, sd_event *e, Disputes **ret) {
        Now now;
        Disputes *d = calloc(1, sizeof(*d));

        if (!d)
                return -ENOMEM;
        d->client = c;
        d->message.run = run_slice;
        int k = loop_timer_new(e, on_timer, d, "disputes", &d->timer);
        if (k < 0) {
                free(d);
                return k;
        }
        now_read(&now);
        arm(d, usec_add(now.boottime, IDLE_USEC));
        *ret = d;
        return 0;
}

Disputes *disputes_free(Disputes *d) {
        if (!d)
                return NULL;
        event_source_free(d->timer);
        rfc_set_done(&d->known);
        rfc_set_done(&d->found);
        free(d);
        return NULL;
}
