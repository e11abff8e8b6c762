/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/control-internal.h"

#include <errno.h>

#include "core/text.h"
#include "io/log.h"
#include "peerd/sync.h"

static const char *state_name(SyncState s) {
        static const char *const names[] = {
                [SYNC_REFRESHING] = "refreshing",
                [SYNC_PLANNING] = "planning",
                [SYNC_FETCHING] = "fetching",
                [SYNC_DONE] = "done",
        };
        return names[s];
}

/* What a liar says to be as long need not fit into JSON's integers. */
static json_t *bounded(uint64_t n) {
        return json_integer((json_int_t) MIN_OF(n, (uint64_t) INT64_MAX));
}

static json_t *failures_json(const SyncProgress *p) {
        json_t *list = json_array();
        for (size_t i = 0; i < p->n_results; i++) {
                const SyncFailure *f = &p->failed[i];
                json_t *numbers = json_array();
                for (size_t k = 0; k < MIN_OF(f->n, (uint64_t) SYNC_NUMBERS_SHOWN); k++)
                        (void) json_array_append_new(numbers, json_integer(f->numbers[k]));
                (void) json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "result", f->result, "documents",
                                                             bounded(f->n), "numbers", numbers));
        }
        return list;
}

static json_t *skips_json(const SyncProgress *p) {
        json_t *list = json_array();
        for (int i = 0; i < _REPLICATE_SKIP_MAX; i++)
                if (p->skipped[i].n > 0)
                        (void) json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "reason",
                                                                     replicate_skip_name((ReplicateSkip) i), "documents",
                                                                     bounded(p->skipped[i].n), "bytes",
                                                                     bounded(p->skipped[i].bytes)));
        return list;
}

static json_t *progress_json(const SyncProgress *p) {
        char transaction[TRANSACTION_TEXT_SIZE];
        json_t *j = json_object();

        if (!j)
                return NULL;
        transaction_to_text(p->transaction, transaction);
        control_set_string(j, "transaction", slice_of(transaction));
        control_set_string(j, "state", slice_of(state_name(p->state)));
        control_set_int(j, "peers", p->n_peers);
        control_set_int(j, "peersFailed", p->n_peers_failed);
        if (p->servers_away)
                control_set_bool(j, "serversAway", true);
        control_set_int(j, "documents", p->planned.n);
        control_set_int(j, "bytes", p->planned.bytes);
        control_set_int(j, "documentsFetched", p->fetched.n);
        control_set_int(j, "bytesFetched", p->fetched.bytes);
        control_set_int(j, "documentsElsewhere", p->n_elsewhere);
        control_set_int(j, "documentsFailed", p->n_failed);
        if (p->bytes_per_sec > 0)
                control_set_int(j, "bytesPerSec", p->bytes_per_sec);
        if (p->left_usec != USEC_INFINITY)
                control_set_int(j, "leftUSec", p->left_usec);
        control_set_int(j, "durationUSec", p->duration_usec);
        (void) json_object_set_new(j, "failed", failures_json(p));
        (void) json_object_set_new(j, "skipped", skips_json(p));
        return j;
}

void control_on_sync(const SyncEvent *e, void *userdata) {
        Peerd *p = userdata;
        ControlRequest *r = p->control ? control_request_find(p->control, e->request) : NULL;

        if (!r)
                return;
        if (e->busy) {
                (void) varlink_call_error(control_request_take(r), "org.p2pdi.Peer.SyncRunning", NULL);
                return;
        }
        if (e->error < 0) {
                (void) varlink_call_error(control_request_take(r), "org.p2pdi.Peer.SyncFailed",
                                          json_pack("{s:s}", "message", error_text(e->error)));
                return;
        }
        const bool last = e->progress.state == SYNC_DONE;
        if (!last && varlink_call_is_congested(r->call))
                return;
        json_t *parameters = json_pack("{s:o}", "sync", progress_json(&e->progress));
        if (last)
                (void) varlink_call_reply(control_request_take(r), parameters);
        else
                (void) varlink_call_notify(r->call, parameters);        /* who asked may be gone, and r with it */
}

int control_sync(VarlinkCall *call, json_t *parameters, void *userdata) {
        Control *c = userdata;
        const json_t *ranges = json_object_get(parameters, "ranges"), *rate = json_object_get(parameters, "maxRate");
        const json_int_t max_rate = json_integer_value(rate);
        _cleanup_rfc_set_ RfcSet set = {};

        if (rate && !json_is_null(rate) && max_rate < SYNC_RATE_MIN)
                return varlink_call_invalid(call, "maxRate");
        for (size_t i = 0; i < json_array_size(ranges); i++) {
                RfcRange range;
                if (rfc_range_from_text(slice_of(json_string_value(json_array_get(ranges, i))), &range) != 0 ||
                    rfc_set_add(&set, range) != 0)
                        return varlink_call_invalid(call, "ranges");
        }
        ControlRequest *r = control_request_new(c, call);
        if (!r)
                return -ENOMEM;
        int k = client_sync(c->peerd->client, r->id, random_u64() | 1, &set,
                            json_is_true(json_object_get(parameters, "dryRun")), (uint64_t) max_rate);
        if (k < 0)
                (void) control_request_take(r);
        return k;
}
