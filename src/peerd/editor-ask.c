/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What rfc-index.txt does a peer hold? One that has ours says so with its last byte. Of another one the head tells digest
 * and size, and its first lines the day that it was made; then the connection is closed.
 */
#include "peerd/editor-internal.h"

#include <errno.h>

#include "io/log.h"
#include "io/loop.h"

/* The line with the day is the tenth or so. */
#define PREAMBLE_MAX 8192

struct EditorAsk {
        Editor *editor;
        size_t place;
        Endpoint peer;
        Call *call;
        RfcMeta *preamble;              /* owned; of one that is not known yet */
        size_t n_read;
        bool said;
        int error;                      /* of this host, while it listened: nothing was heard then */
        EditorStatement statement;
};

EditorAsk *editor_ask_free(EditorAsk *a) {
        if (!a)
                return NULL;
        call_free(a->call);
        (void) rfc_meta_free(a->preamble);
        free(a);
        return NULL;
}

/* It holds what is held here. */
static int say_same(EditorAsk *a) {
        const EditorHeld *held = &a->editor->held;

        a->said = true;
        a->statement.digest = held->digest;
        a->statement.size = held->size;
        a->statement.created = held->created;
        return 0;
}

static int on_reply(Call *call, const Reply *reply, Slice bytes, void *userdata) {
        EditorAsk *a = userdata;
        Client *c = a->editor->client;
        const EditorHeld *held = &a->editor->held;
        Now now;

        log_head(call_remote(call), bytes);
        now_of_event(c->event, &now);
        holders_answered(c->holders, &a->peer, call_rtt(call), &now);
        if ((reply->status != 200 && reply->status != 206) || !reply->has_digest)
                return -ECANCELED;
        a->statement.peer = a->peer;
        a->statement.until = usec_add(now.boottime, EDITOR_STATEMENT_USEC);
        if (held->has && digest_equal(&reply->digest, &held->digest)) {
                (void) say_same(a);
                return reply->status == 206 ? 0 : -ECANCELED;
        }
        if (reply->status != 200)
                return -ECANCELED;
        a->statement.digest = reply->digest;
        a->statement.size = reply->length;
        a->said = reply->length > RFC_META_BYTES_MAX ||
                  editor_index_said(a->editor->known, &a->peer, &reply->digest, &a->statement.created);
        if (!a->said)
                a->error = rfc_meta_new(&a->preamble);
        return a->said || a->error < 0 ? -ECANCELED : 0;
}

static int on_body(Call *call, Slice bytes, void *userdata) {
        EditorAsk *a = userdata;
        (void) call;

        if (!a->preamble)
                return 0;               /* the last byte of what is held here */
        size_t n = MIN_OF(bytes.size, PREAMBLE_MAX - a->n_read);
        a->n_read += n;
        a->error = rfc_meta_feed(a->preamble, (Slice){ bytes.data, n });
        return a->error < 0 || rfc_meta_created(a->preamble) != 0 || a->n_read == PREAMBLE_MAX ? -ECANCELED : 0;
}

static void on_end(Call *call, CallEnd end, int error, void *userdata) {
        EditorAsk *a = userdata;
        Client *c = a->editor->client;
        Endpoint own;

        if (call_local(call, &own))
                client_add_self(c, &own.address);
        a->call = NULL;
        if (end == CALL_REFUSED || end == CALL_TIMEOUT)
                holders_failed(c->holders, &a->peer);
        if (end == CALL_FAILED)
                a->error = error;
        if (a->error < 0)
                (void) log_errno(LOG_LEVEL_ERR, a->error, "Could not ask for an rfc-index.txt");
        else if (a->preamble && (end == CALL_OK || end == CALL_ABORTED)) {
                a->statement.created = rfc_meta_created(a->preamble);
                a->said = true;
        }
        editor_asked(a->editor, a->place, a->said ? &a->statement : NULL);
}

static const CallHandler handler = { .on_reply = on_reply, .on_body = on_body, .on_end = on_end };

int editor_ask_start(Editor *ed, size_t place, const Endpoint *peer) {
        Client *c = ed->client;
        EditorAsk *a = calloc(1, sizeof(*a));
        Request request;

        if (!a)
                return -ENOMEM;
        a->editor = ed;
        a->place = place;
        a->peer = *peer;
        client_fill_request(&request, VERB_GET_EDITOR_INDEX, ed->transaction);
        if (ed->held.has && ed->held.size > 0) {
                request.has_range = request.has_if_digest = true;
                request.range_first = ed->held.size - 1;
                request.if_digest = ed->held.digest;
        }
        int k = call_new(c->event, peer, &request, &c->settings.call, &handler, a, &a->call);
        if (k < 0) {
                free(a);
                return k;
        }
        ed->asks[place] = a;
        ed->n_asking++;
        return 0;
}
