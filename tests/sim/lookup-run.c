/* SPDX-License-Identifier: BSD-2-Clause */
/* Lookups of a simulated peer: does what core/lookup says and tells it how it went. */
#include "peer.h"

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

static void on_index(Call *c, const Reply *reply, Slice body) {
        Peer *p = c->from;
        World *w = p->world;
        Run *run = find_run(p, c->run);
        LookupOutcome outcome = LOOKUP_GONE;

        if (reply && reply->status == 200) {
                _cleanup_rfc_set_ RfcSet set = { 0 };

                world_must(w, rfc_set_add(&set, (RfcRange){ c->number, c->number }), "rfc_set_add");
                holders_answered(p->holders, &c->to, w->now.boottime - c->sent_at, &w->now);
                (void) peer_merge(p, &c->to, INDEX_MERGE_SET, &set, c->sent_at, body);
                outcome = body.size > 0 ? LOOKUP_OK : LOOKUP_EMPTY;
        } else
                holders_failed(p->holders, &c->to);

        if (run) {
                lookup_index_told(run->lookup, &c->to, outcome, 0, &w->now);
                run_drive(p, run);
        }
}

static LookupOutcome judge_document(Call *c, const Reply *reply, Slice body) {
        Peer *p = c->from;
        World *w = p->world;
        Digest digest;

        if (!reply) {
                holders_failed(p->holders, &c->to);
                return LOOKUP_GONE;
        }
        holders_answered(p->holders, &c->to, w->now.boottime - c->sent_at, &w->now);
        if (reply->status != 200) {
                rfc_index_forget_record(p->index, c->number, &c->to);
                return LOOKUP_EMPTY;
        }

        document_digest(body, &digest);
        if (!digest_equal(&digest, &reply->digest)) {
                w->count.quarantines++;
                (void) holders_fault(p->holders, &c->to, &w->now);
                (void) rfc_index_forget_source(p->index, &c->to);
                return LOOKUP_FAULT;
        }
        if (!digest_equal(&digest, &c->record.digest)) {
                rfc_index_forget_record(p->index, c->number, &c->to);
                return LOOKUP_CHANGED;
        }
        return LOOKUP_OK;
}

static void on_document(Call *c, const Reply *reply, Slice body) {
        Peer *p = c->from;
        Run *run = find_run(p, c->run);
        LookupOutcome outcome = judge_document(c, reply, body);

        if (outcome == LOOKUP_OK) {
                _cleanup_buf_ Buf text = BUF_INIT(4096);
                document_text(c->number, &text);
                if (!slice_equal(buf_slice(&text), body))
                        world_fail(p->world, "peer %u took false bytes for document %u", p->n, c->number);
                peer_add_document(p, c->number);
        }
        if (run) {
                lookup_fetch_told(run->lookup, &c->to, outcome, 0, &p->world->now);
                run_drive(p, run);
        }
}

static void ask_index(Peer *p, Run *run, const Endpoint *to) {
        RfcRange range = { run->number, run->number };
        Request q = {
                .verb = VERB_RFC_INDEX,
                .host = SLICE_LITERAL("host.example"),
                .rfcs = { &range, 1 },
                .transaction = run->id,
        };
        Call *c = call_new(p, VERB_RFC_INDEX, on_index);

        run->n_asks++;
        c->to = *to;
        c->run = run->id;
        c->number = run->number;
        call_send(c, &q);
}

static void fetch(Peer *p, Run *run, const LookupStep *step) {
        Request q = {
                .verb = VERB_GET_RFC,
                .host = SLICE_LITERAL("host.example"),
                .rfc = run->number,
                .transaction = run->id,
        };
        Call *c = call_new(p, VERB_GET_RFC, on_document);

        run->n_fetches++;
        c->to = step->peer;
        c->run = run->id;
        c->number = run->number;
        c->record = step->record;
        call_send(c, &q);
}

static void on_wake(World *w, void *arg, uint64_t id) {
        Peer *p = arg;
        Run *run = find_run(p, id);

        (void) w;
        if (run)
                run_drive(p, run);
}

static void run_end(Peer *p, Run *run, const LookupStep *step) {
        World *w = p->world;

        w->count.lookups++;
        w->count.found += step->result == LOOKUP_FOUND;
        p->result[run->number] = (int) step->result;
        world_say(w, "peer %u: document %u: %s, %u asks, %u fetches", p->n, run->number,
                  lookup_result_name(step->result), run->n_asks, run->n_fetches);
        run_remove(p, run);
}

static void run_drive(Peer *p, Run *run) {
        World *w = p->world;
        LookupStep step;

        for (;;) {
                world_must(w, lookup_next(run->lookup, p->index, p->holders, &w->now, &step), "lookup_next");
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
                        ask_index(p, run, &step.peer);
                        break;
                case LOOKUP_FETCH:
                        fetch(p, run, &step);
                        break;
                case LOOKUP_DONE:
                        run_end(p, run, &step);
                        return;
                }
                if (run->n_asks > w->conf.n_peers || run->n_fetches > 2 * w->conf.n_peers)
                        world_fail(w, "peer %u: lookup of document %u goes on and on", p->n, run->number);
        }
}

void peer_look_up(Peer *p, uint32_t number) {
        World *w = p->world;
        const LookupConf conf = {
                .number = number,
                .fresh_usec = w->conf.pull_usec,
                .ask_pause_usec = 300 * USEC_PER_MSEC,
                .hedge_usec = 300 * USEC_PER_MSEC,
                .n_asks_max = LOOKUP_ASKS_AT_ONCE,
                .has_servers = true,
        };
        if (!p->alive || p->has[number])
                return;

        Run *run = calloc(1, sizeof(Run));
        if (!run)
                abort();

        run->id = ++w->last_run;
        run->number = number;
        run->next = p->runs;
        world_must(w, lookup_new(&conf, &run->lookup), "lookup_new");
        p->runs = run;
        p->result[number] = -1;
        run_drive(p, run);
}
