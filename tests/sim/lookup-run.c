/* SPDX-License-Identifier: BSD-2-Clause */
/* Lookups of a simulated peer: does what core/lookup says and tells it how it went. */
#include "ballot.h"
#include "replicas.h"

static const TrustConf trust = { .quorum = SIM_QUORUM };

static void run_drive(Peer *p, Run *run);

static Run *find_run(Peer *p, uint64_t id) {
        for (Run *run = p->runs; run; run = run->next)
                if (run->id == id)
                        return run;
        return NULL;
}

static void run_remove(Peer *p, Run *run) {
        Run **link = &p->runs;

        while (*link != run)
                link = &(*link)->next;
        *link = run->next;
        lookup_free(run->lookup);
        free(run);
}

void run_free_all(Peer *p) {
        while (p->runs)
                run_remove(p, p->runs);
}

void run_server_told(Peer *p, uint64_t id, LookupOutcome outcome) {
        Run *run = find_run(p, id);
        if (!run)
                return;

        lookup_server_told(run->lookup, outcome, 0);
        run_drive(p, run);
}

/* ---- asking for an index ----------------------------------------------------------------------------------------- */

/* Merges what was asked about one number; gives how that went. */
static LookupOutcome take_index(Call *c, const Reply *reply, Slice body) {
        Peer *p = c->from;
        World *w = p->world;
        const Now now = peer_now(p);
        _cleanup_rfc_set_ RfcSet set = { 0 };

        if (!reply) {
                holders_failed(p->holders, &c->to);
                return LOOKUP_GONE;
        }
        holders_answered(p->holders, &c->to, now.boottime - c->sent_at, &now);
        if (reply->status == 503)
                return LOOKUP_BUSY;
        if (reply->status != 200 || !holders_may_dial(p->holders, &c->to, true, &now))
                return LOOKUP_GONE;             /* caught lying meanwhile, or gone */

        world_must(w, rfc_set_add(&set, (RfcRange){ c->number, c->number }), "rfc_set_add");
        if (!peer_merge(p, &c->to, INDEX_MERGE_SET, &set, c->sent_at, NULL, body))
                return LOOKUP_GONE;
        p->touched_at[world_peer_at(w, &c->to)->n] = now.boottime;
        return body.size > 0 ? LOOKUP_OK : LOOKUP_EMPTY;
}

static void on_index(Call *c, const Reply *reply, Slice body) {
        Peer *p = c->from;
        const Now now = peer_now(p);
        LookupOutcome outcome = take_index(c, reply, body);
        Run *run = find_run(p, c->run);

        if (!run)
                return;
        lookup_index_told(run->lookup, &c->to, outcome, 0, &now);
        run_drive(p, run);
}

static void on_index_connected(Call *c) {
        Run *run = find_run(c->from, c->run);
        if (run)
                lookup_index_connected(run->lookup, &c->to);
}

static Call *ask(Peer *p, Run *run, const Endpoint *to, CallDone done) {
        RfcRange range = { run->number, run->number };
        Request q = {
                .verb = VERB_RFC_INDEX,
                .host = SLICE_LITERAL("host.example"),
                .rfcs = { &range, 1 },
                .transaction = run->id,
        };
        Call *c = call_new(p, VERB_RFC_INDEX, done);

        run->n_asks++;
        c->to = *to;
        c->run = run->id;
        c->number = run->number;
        call_send(c, &q);
        return c;
}

/* ---- fetching ---------------------------------------------------------------------------------------------------- */

static void fetched(Call *c, LookupOutcome outcome) {
        Peer *p = c->from;
        const Now now = peer_now(p);
        Run *run = find_run(p, c->run);

        if (!run)
                return;
        lookup_fetch_told(run->lookup, &c->to, outcome, 0, &now);
        run_drive(p, run);
}

/* The holder was asked what it states now. */
static void on_restated(Call *c, const Reply *reply, Slice body) {
        Peer *p = c->from;
        const Now now = peer_now(p);
        LookupOutcome outcome = take_index(c, reply, body);
        RfcRecord record;

        if (outcome == LOOKUP_GONE || outcome == LOOKUP_BUSY)
                fetched(c, LOOKUP_GONE);
        else if (rfc_index_get(p->index, c->number, &c->to, &now, &record) && record.first_hand &&
                 !digest_equal(&record.digest, &c->record.digest)) {
                peer_quarantine(p, &c->to);
                fetched(c, LOOKUP_FAULT);
        } else
                fetched(c, LOOKUP_CHANGED);
}

/* A false text is taken from who states it himself only, and never is one of ours. */
static void take_document(Call *c, Slice body) {
        Peer *p = c->from;
        World *w = p->world;
        const Peer *from = world_peer_at(w, &c->to);
        _cleanup_buf_ Buf text = BUF_INIT(4096);

        document_text(c->number, 0, &text);
        if (slice_equal(buf_slice(&text), body))
                peer_add_document(p, c->number);
        else if (from->lie == LIE_DIGEST || from->lie == LIE_CHORUS)
                w->count.fooled++;
        else
                world_fail(w, "peer %u took false bytes for document %u", p->n, c->number);
}

static void forget_record(Call *c) {
        rfc_index_forget_record(c->from->index, c->number, &c->to);
        c->from->touched_at[world_peer_at(c->world, &c->to)->n] = c->world->now.boottime;
}

static void on_document(Call *c, const Reply *reply, Slice body) {
        Peer *p = c->from;
        const Now now = peer_now(p);
        Run *run = find_run(p, c->run);
        Digest digest;

        if (!run)
                return;         /* another was faster */
        if (!reply) {
                holders_failed(p->holders, &c->to);
                fetched(c, LOOKUP_GONE);
                return;
        }
        holders_answered(p->holders, &c->to, now.boottime - c->sent_at, &now);
        if (reply->status != 200) {
                forget_record(c);
                fetched(c, LOOKUP_EMPTY);
                return;
        }

        document_digest(body, &digest);
        if (!digest_equal(&digest, &reply->digest)) {
                peer_quarantine(p, &c->to);
                fetched(c, LOOKUP_FAULT);
        } else if (!digest_equal(&digest, &c->record.digest)) {
                forget_record(c);
                ask(p, run, &c->to, on_restated)->record.digest = digest;
        } else {
                take_document(c, body);
                fetched(c, LOOKUP_OK);
        }
}

static void on_document_heard(Call *c) {
        Peer *p = c->from;
        const Now now = peer_now(p);
        Run *run = find_run(p, c->run);

        if (run)
                lookup_fetch_heard(run->lookup, &c->to, &now);
}

static void fetch(Peer *p, Run *run, const LookupStep *step) {
        Request q = {
                .verb = VERB_GET_RFC,
                .host = SLICE_LITERAL("host.example"),
                .rfc = run->number,
                .transaction = run->id,
        };
        Call *c = call_new(p, VERB_GET_RFC, on_document);

        ballot_check_fetch(p, &step->record);
        run->n_fetches++;
        c->to = step->peer;
        c->run = run->id;
        c->number = run->number;
        c->record = step->record;
        c->heard = on_document_heard;
        call_send(c, &q);
}

/* ---- the course of a lookup -------------------------------------------------------------------------------------- */

static void on_wake(World *w, void *arg, uint64_t id) {
        Peer *p = arg;
        Run *run = find_run(p, id);

        (void) w;
        if (run)
                run_drive(p, run);
}

/*
 * A lookup asks each peer twice at most and fetches from it twice at most, with a restatement after each, and no call
 * takes longer than SIM_CALL_TIMEOUT.
 */
static usec_t longest(const World *w) {
        return 6 * w->conf.n_peers * SIM_CALL_TIMEOUT;
}

static void on_deadline(World *w, void *arg, uint64_t id) {
        Peer *p = arg;
        const Run *run = find_run(p, id);

        if (run)
                world_fail(w, "peer %u: the lookup of document %u does not end", p->n, run->number);
}

static void count_copy(World *w, uint32_t number) {
        uint64_t size;
        Digest digest;

        document_describe(number, 0, &size, &digest);
        w->count.copies++;
        w->count.copies_needless += world_count_copies(w, number) > REPLICAS_WANTED;
        w->count.copy_bytes += size;
}

static void run_end(Peer *p, Run *run, const LookupStep *step) {
        World *w = p->world;
        LookupCount *k = &w->count.lookup;
        usec_t took = w->now.boottime - run->began_at;
        bool found = step->result == LOOKUP_FOUND;
        /* False hearsay may name one who has it not, and does not say so. */
        bool none = step->result == LOOKUP_NOT_HELD || step->result == LOOKUP_NO_PEERS ||
                    (w->conf.liars && step->result == LOOKUP_UNREACHABLE);

        if (step->result == LOOKUP_DISPUTED)
                ballot_check_disputed(p, run->number);
        if ((run->must_find && !found) || (run->must_miss && !none))
                world_fail(w, "peer %u, document %u: %s, but the lookup says %s", p->n, run->number,
                           run->must_find ? "an honest peer holds it" : "nobody holds it",
                           lookup_result_name(step->result));
        if (run->is_copy && found)
                count_copy(w, run->number);
        k->n++;
        k->n_by_result[step->result]++;
        k->usec += took;
        k->longest_usec = MAX_OF(k->longest_usec, took);
        world_say(w, "peer %u: document %u: %s, %u asks, %u fetches", p->n, run->number,
                  lookup_result_name(step->result), run->n_asks, run->n_fetches);
        run_remove(p, run);
}

static void run_drive(Peer *p, Run *run) {
        World *w = p->world;
        const Now now = peer_now(p);
        LookupStep step;

        for (;;) {
                world_must(w, lookup_next(run->lookup, p->index, p->holders, &trust, &now, &step), "lookup_next");
                switch (step.what) {
                case LOOKUP_WAIT:
                        if (step.at != USEC_INFINITY && step.at != run->wakes_at) {
                                run->wakes_at = step.at;
                                world_at(w, step.at, on_wake, p, run->id);
                        }
                        return;
                case LOOKUP_ASK_SERVER:
                        /* Without a cookie this answers at once, from within: nothing may be done with `run` after
                         * it. */
                        peer_query_list(p, run->id);
                        return;
                case LOOKUP_ASK_INDEX:
                        ask(p, run, &step.peer, on_index)->heard = on_index_connected;
                        break;
                case LOOKUP_FETCH:
                        fetch(p, run, &step);
                        break;
                case LOOKUP_DONE:
                        run_end(p, run, &step);
                        return;
                }
                if (run->n_asks > 4 * w->conf.n_peers || run->n_fetches > 2 * w->conf.n_peers)
                        world_fail(w, "peer %u: lookup of document %u goes on and on", p->n, run->number);
        }
}

void peer_look_up(Peer *p, uint32_t number, RunWant want) {
        World *w = p->world;
        const LookupConf conf = {
                .number = number,
                .fresh_usec = w->conf.pull_usec,
                .ask_pause_usec = 200 * USEC_PER_MSEC,
                .accept = GRADE_SINGLE,
                .hedge_usec = 300 * USEC_PER_MSEC,
                .n_asks_max = LOOKUP_ASKS_AT_ONCE,
                .has_servers = true,
                .known_only = want == RUN_COPY,
                .servers_away = want == RUN_COPY && p->servers_away,
        };
        if (!p->alive || peer_has(p, number))
                return;

        Run *run = calloc(1, sizeof(Run));
        if (!run)
                abort();

        run->id = ++w->last_run;
        run->number = number;
        run->must_find = want == RUN_MUST_FIND;
        run->must_miss = want == RUN_MUST_MISS;
        run->is_copy = want == RUN_COPY;
        run->began_at = w->now.boottime;
        run->next = p->runs;
        world_must(w, lookup_new(&conf, &run->lookup), "lookup_new");
        p->runs = run;
        world_at(w, world_in(w, longest(w)), on_deadline, p, run->id);
        run_drive(p, run);
}

static unsigned count_runs(const World *w) {
        unsigned n = 0;

        for (unsigned i = 0; i < w->conf.n_peers; i++)
                for (const Run *run = w->peers[i]->runs; run; run = run->next)
                        n++;
        return n;
}

void run_drain(World *w) {
        while (count_runs(w) > 0)
                world_run(w, world_in(w, SIM_CALL_TIMEOUT));
}
