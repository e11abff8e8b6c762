/* SPDX-License-Identifier: BSD-2-Clause */
/* Explain: what is remembered of operations and the decisions in them. */

#include "peerd/control-internal.h"

static json_t *step_json(const HistoryStep *s, const Now *began_at) {
        json_t *e = json_object();
        control_set_int(e, "afterUSec", usec_sub(s->at, began_at->boottime));
        if (s->ended_at != USEC_INFINITY)
                control_set_int(e, "tookUSec", usec_sub(s->ended_at, s->at));
        control_set_string(e, "what", slice_of(history_what_name(s->what)));
        if (s->has_peer)
                control_set_endpoint(e, "peer", &s->peer);
        if (s->peer_id > 0)
                control_set_int(e, "peerId", s->peer_id);
        if (s->result)
                control_set_string(e, "result", slice_of(s->result));
        if (s->count > 0)
                control_set_int(e, "count", s->count);
        return e;
}

static json_t *operation_json(const HistoryInfo *o) {
        char transaction[TRANSACTION_TEXT_SIZE];
        json_t *e = json_object(), *steps = json_array();

        transaction_to_text(o->transaction, transaction);
        control_set_string(e, "transaction", slice_of(transaction));
        control_set_int(e, "number", o->number);
        control_set_int(e, "startedUSec", o->began_at.realtime);
        if (o->result) {
                control_set_int(e, "durationUSec", usec_sub(o->ended_at, o->began_at.boottime));
                control_set_string(e, "result", slice_of(o->result));
        }
        for (size_t i = 0; i < o->n_steps; i++)
                (void) json_array_append_new(steps, step_json(&o->steps[i], &o->began_at));
        (void) json_object_set_new(e, "steps", steps);
        control_set_int(e, "stepsLost", o->n_lost);
        return e;
}

static bool fill_of_transaction(ListJob *j, Client *c, Holders *h, bool servers_away, const Now *now) {
        HistoryInfo o;
        size_t n = 0;
        (void) h;
        (void) servers_away;
        (void) now;

        for (; n < LIST_BATCH && history_find_transaction(client_history(c), j->transaction, j->after, &o); n++) {
                j->after = o.id;
                (void) json_array_append_new(j->batch, operation_json(&o));
        }
        return n == LIST_BATCH;
}

static bool fill_of_number(ListJob *j, Client *c, Holders *h, bool servers_away, const Now *now) {
        HistoryInfo o;
        (void) h;
        (void) servers_away;
        (void) now;

        if (history_find_number(client_history(c), j->number, &o))
                (void) json_array_append_new(j->batch, operation_json(&o));
        return false;
}

int control_explain(VarlinkCall *call, json_t *parameters, void *userdata) {
        const json_t *number = json_object_get(parameters, "number");
        const char *transaction = json_string_value(json_object_get(parameters, "transaction"));
        ListJob job = { .member = "operation" };

        if (transaction) {
                if (number)
                        return varlink_call_invalid(call, "number");
                if (transaction_from_text(slice_of(transaction), &job.transaction) != 0)
                        return varlink_call_invalid(call, "transaction");
                job.fill = fill_of_transaction;
        } else {
                if (control_number(number, &job.number) < 0)
                        return varlink_call_invalid(call, "number");
                job.fill = fill_of_number;
        }
        return control_list_start(userdata, call, &job);
}
