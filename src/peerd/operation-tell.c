/* SPDX-License-Identifier: BSD-2-Clause */
/* What is told of a download: to whoever asked for it, to `why`, to the journal. */
#include "peerd/operation-internal.h"

#include <errno.h>

#include "io/log.h"
#include "io/loop.h"

/* Progress of one download is told at most this often. */
#define PROGRESS_USEC (100 * USEC_PER_MSEC)

/* ---- telling ---- */

const char *download_result_name(const DownloadEvent *e) {
        if (e->never_issued)
                return "never-issued";
        if (e->result == LOOKUP_FAILED && (e->error == -ENOSPC || e->error == -EDQUOT))
                return "no-space";
        return lookup_result_name(e->result);
}

void operation_tell(Operation *o) {
        Watcher *w, *next;
        TAILQ_FOREACH_SAFE(w, &o->watchers, link, next) {
                if (o->told.state == DOWNLOAD_DONE) {
                        TAILQ_REMOVE(&o->watchers, w, link);
                        watcher_end(o->client, w, &o->told);
                        continue;
                }
                o->told.request = w->end.request;
                download_event_post(o->client, &o->told);
        }
        if (o->bulk)
                sync_told(o->client, &o->told);
}

/* The other ones of the same document: only the one that is ahead is worth telling of. */
static bool is_ahead(const Operation *o, const Transfer *t) {
        for (size_t i = 0; i < ELEMENTSOF(o->transfers); i++)
                if (o->transfers[i] && o->transfers[i] != t && transfer_received(o->transfers[i]) > transfer_received(t))
                        return false;
        return true;
}

void operation_progress(Operation *o, const Transfer *t, uint64_t received) {
        Now now;
        now_of_event(o->client->event, &now);
        lookup_fetch_heard(o->lookup, transfer_holder(t), &now);
        if (!is_ahead(o, t))
                return;
        bool first = o->told.state != DOWNLOAD_FETCHING;
        if (!first && received < o->told.size && usec_sub(now.boottime, o->told_at) < PROGRESS_USEC)
                return;
        o->told_at = now.boottime;
        o->told.state = DOWNLOAD_FETCHING;
        o->told.received = received;
        transfer_describe(t, &o->told);
        operation_tell(o);
}

/* ---- remembering: what `why` tells ---- */

static uint32_t peer_id_of(const Client *c, const Endpoint *peer) {
        HolderInfo info;
        return peer && holders_get(c->holders, peer, &info) ? info.peer_id : 0;
}

void operation_remember_asking(Operation *o, HistoryWhat what, const Endpoint *peer) {
        Client *c = o->client;
        Now now;
        now_of_event(c->event, &now);
        history_ask(c->history, o->history, what, peer, peer_id_of(c, peer), &now);
}

void operation_remember(Operation *o, HistoryWhat what, const Endpoint *peer, const char *result, uint64_t count) {
        Client *c = o->client;
        Now now;
        now_of_event(c->event, &now);
        history_tell(c->history, o->history, what, peer, peer_id_of(c, peer), result, count, &now);
}

void operation_remember_holders(Operation *o, size_t n) {
        if (o->n_holders_told == n + 1)
                return;
        o->n_holders_told = n + 1;
        operation_remember(o, HISTORY_HOLDERS, NULL, n > 0 ? "ok" : "not-held", n);
}

void operation_remember_servers(Operation *o, LookupOutcome outcome) {
        operation_remember(o, HISTORY_SERVERS, NULL,
                           outcome == LOOKUP_OK ? "ok" : outcome == LOOKUP_EMPTY ? "no-peers" : "unreachable",
                           holders_count_listed(o->client->holders));
}

void operation_quarantined(Operation *o, const Endpoint *peer, const char *why, usec_t span) {
        operation_remember(o, HISTORY_QUARANTINE, peer, why, span);
}

void operation_log_result(const Operation *o, const LookupStep *step, bool local) {
        const LogFields f = {
                .transaction = o->transaction,
                .operation = "get-rfc",
                .result = download_result_name(&o->told),
                .rfc = o->number,
                .trust = o->told.has_grade ? grade_name(o->told.grade) : NULL,
                .source = local ? "local" : "peer",
                .has_duration = true,
                .duration_usec = o->told.duration_usec,
        };
        switch (step->result) {
        case LOOKUP_FOUND:
                if (local)
                        log_transaction(LOG_EVENT_NONE, &f, "RFC %u is in the library.", o->number);
                break;
        case LOOKUP_NOT_HELD:
                if (o->told.never_issued)
                        log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_NOT_HELD, &f, "RFC %u was never issued.", o->number);
                else if (step->n_unasked == 0)
                        log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_NOT_HELD, &f, "No peer that can be reached holds RFC %u.",
                                  o->number);
                else
                        log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_NOT_HELD, &f,
                                  "No peer that could be asked holds RFC %u: %zu of %zu could not.", o->number,
                                  step->n_unasked, step->n_asked);
                break;
        case LOOKUP_NO_PEERS:
                log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_NOT_HELD, &f, "RFC %u can't be looked for: no peer is active.",
                          o->number);
                break;
        case LOOKUP_INTEGRITY:
        case LOOKUP_UNREACHABLE:
                log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_NONE, &f,
                          "RFC %u could not be fetched from any of its holders: %s.", o->number,
                          lookup_result_name(step->result));
                break;
        case LOOKUP_DISPUTED:
                log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_NONE, &f,
                          "RFC %u is disputed: what its holders state is neither agreed nor verified.", o->number);
                break;
        case LOOKUP_UNTRUSTED:
                log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_NONE, &f,
                          "RFC %u is not taken: it is %s, and Integrity.Accept= is %s.", o->number,
                          grade_name(step->grade), grade_name(o->told.accept));
                break;
        case LOOKUP_FAILED:
                if (step->error == -EDQUOT)     /* nothing failed: documents_store_begin() told of Store.MaxSize= */
                        log_transaction(LOG_EVENT_NONE, &f, "RFC %u is not taken: there is no room for it.", o->number);
                else
                        log_entry(LOG_LEVEL_ERR, LOG_EVENT_NONE, &f, "RFC %u could not be fetched, this host failed: %s.",
                                  o->number, error_text(step->error));
                break;
        }
}
