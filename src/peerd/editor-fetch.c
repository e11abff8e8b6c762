/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An rfc-index.txt on its way from a peer to the state directory. As with documents the client's thread reads and the disk
 * worker hashes and writes; it also reads what it says, piece by piece, so that it is known at the end, and is judged
 * before it counts.
 */
#include "peerd/editor-internal.h"

#include <errno.h>

#include "io/log.h"
#include "io/loop.h"

/* Received and not yet written: above the first the reading stops, below the second it goes on. */
#define AHEAD_MAX (1u << 20)
#define AHEAD_RESUME (512u << 10)

typedef struct Piece Piece;
struct Piece {
        Message message;
        LIST_ENTRY(Piece) link;
        EditorFetch *fetch;
        size_t size;
        char bytes[];
};

/* What is marked "disk" is the worker's from `begin` to the return of the message in `step`. */
struct EditorFetch {
        Editor *editor;
        Endpoint holder;
        Call *call;
        bool storing;                   /* the worker was told to begin */
        bool fault;                     /* the answer is not what the peer said itself */
        bool no_memory;                 /* for what came */
        uint64_t received;
        LIST_HEAD(, Piece) pieces;
        size_t ahead;                   /* bytes in them */
        Message begin, step;
        LibraryIndexFile *file;         /* disk */
        int stored;                     /* disk: first result that was not 0 */
        Digest found;                   /* disk: what the bytes hashed to */
        EditorFetchResult result;
};

static Documents *documents_of(const EditorFetch *f) {
        return f->editor->client->conf.documents;
}

EditorFetch *editor_fetch_free(EditorFetch *f) {
        Piece *p;

        if (!f)
                return NULL;
        call_free(f->call);
        while ((p = LIST_FIRST(&f->pieces))) {
                LIST_REMOVE(p, link);
                free(p);
        }
        (void) library_index_abort(f->file);
        free(f);
        return NULL;
}

/* ---- the end ---- */

static void end_fetch(EditorFetch *f) {
        Editor *ed = f->editor;
        const EditorFetchResult result = f->result;
        const Endpoint holder = f->holder;

        ed->fetch = editor_fetch_free(f);
        editor_fetched(ed, &holder, &result);
}

/* found: the digest that was not the one expected; NULL: that is not the fault. */
static void quarantine(EditorFetch *f, const char *why, const Digest *found) {
        const Editor *ed = f->editor;

        (void) judge_fault(ed->client, &f->holder, why, (LogFields){
                .transaction = ed->transaction,
                .operation = verb_operation(VERB_GET_EDITOR_INDEX),
                .sha256 = found,
                .sha256_expected = found ? &ed->choice.digest : NULL,
        });
        f->result = (EditorFetchResult){ .how = EDITOR_FETCH_GONE, .why = why };
}

/* ---- the disk worker, and back ---- */

static void run_begin(Message *m) {
        EditorFetch *f = MESSAGE_OF(m, EditorFetch, begin);
        const EditorChoice *choice = &f->editor->choice;
        f->stored = library_index_begin(documents_library(documents_of(f)), choice->size, &choice->digest, &f->file);
}

static void run_written(Message *m) {
        Piece *p = MESSAGE_OF(m, Piece, message);
        EditorFetch *f = p->fetch;
        f->ahead -= p->size;
        LIST_REMOVE(p, link);
        free(p);
        if (f->call && f->ahead < AHEAD_RESUME)
                call_resume(f->call);
}

static void run_write(Message *m) {
        Piece *p = MESSAGE_OF(m, Piece, message);
        EditorFetch *f = p->fetch;
        if (f->stored == 0)
                f->stored = library_index_write(f->file, (Slice){ p->bytes, p->size });
        m->run = run_written;
        loop_thread_post(f->editor->client->loop, m);
}

static void run_ended(Message *m) {
        end_fetch(MESSAGE_OF(m, EditorFetch, step));
}

static void run_committed(Message *m) {
        EditorFetch *f = MESSAGE_OF(m, EditorFetch, step);
        if (f->stored < 0)
                f->result = (EditorFetchResult){ .how = EDITOR_FETCH_FAILED, .error = f->stored };
        end_fetch(f);
}

static void run_commit(Message *m) {
        EditorFetch *f = MESSAGE_OF(m, EditorFetch, step);
        f->stored = library_index_commit(TAKE_PTR(f->file));
        if (f->stored == LIBRARY_MORE)
                documents_scan(documents_of(f));        /* its titles */
        m->run = run_committed;
        loop_thread_post(f->editor->client->loop, m);
}

static void run_abort(Message *m) {
        EditorFetch *f = MESSAGE_OF(m, EditorFetch, step);
        f->file = library_index_abort(f->file);
        m->run = run_ended;
        loop_thread_post(f->editor->client->loop, m);
}

static void post_step(EditorFetch *f, void (*run)(Message *m)) {
        f->step.run = run;
        worker_post(documents_disk(documents_of(f)), &f->step);
}

/* It came whole, or this host failed: what is it worth? Another one may be held by now than when the round began. */
static void judge(EditorFetch *f) {
        Editor *ed = f->editor;
        const EditorChoice *choice = &ed->choice;
        const RfcMeta *meta = library_index_meta(f->file);
        EditorFetchResult *r = &f->result;
        Now now;

        now_of_event(ed->client->event, &now);
        documents_get_editor_held(documents_of(f), &ed->held);
        r->created = rfc_meta_created(meta);
        r->n_entries = rfc_meta_count(meta);
        if (r->created != choice->created) {
                r->how = EDITOR_FETCH_CORRECTED;
                return;
        }
        r->answer = ed->held.own ? EDITOR_NO_NEWS
                                 : editor_index_judge(&ed->conf, &ed->held, &choice->digest, choice->size, r->created,
                                                      r->n_entries, choice->grade, &now);
        r->how = r->answer == EDITOR_TAKE ? EDITOR_FETCH_TAKEN : EDITOR_FETCH_REFUSED;
}

static void run_finished(Message *m) {
        EditorFetch *f = MESSAGE_OF(m, EditorFetch, step);

        if (f->stored < 0)
                f->result = (EditorFetchResult){ .how = EDITOR_FETCH_FAILED, .error = f->stored };
        else if (f->stored == LIBRARY_MISMATCH) {
                atomic_fetch_add(&f->editor->client->counters.n_mismatches, 1);
                quarantine(f, "its rfc-index.txt is not what its digest says", &f->found);
        } else if (f->stored == LIBRARY_NONE)
                f->result = (EditorFetchResult){ .how = EDITOR_FETCH_REFUSED, .answer = EDITOR_EMPTY };
        else
                judge(f);
        post_step(f, f->result.how == EDITOR_FETCH_TAKEN ? run_commit : run_abort);
}

static void run_finish(Message *m) {
        EditorFetch *f = MESSAGE_OF(m, EditorFetch, step);
        if (f->stored == 0)
                f->stored = library_index_finish(f->file, &f->found);
        m->run = run_finished;
        loop_thread_post(f->editor->client->loop, m);
}

/* ---- from the holder ---- */

static int on_reply(Call *call, const Reply *reply, Slice bytes, void *userdata) {
        EditorFetch *f = userdata;
        const EditorChoice *choice = &f->editor->choice;

        log_head(call_remote(call), bytes);
        if (reply->status != 200 || !reply->has_digest || !digest_equal(&reply->digest, &choice->digest))
                return -ECANCELED;      /* it may have another one by now: that is no fault */
        f->fault = reply->length != choice->size;
        if (f->fault)
                return -ECANCELED;
        f->storing = true;
        f->begin.run = run_begin;
        worker_post(documents_disk(documents_of(f)), &f->begin);
        return 0;
}

static int on_body(Call *call, Slice bytes, void *userdata) {
        EditorFetch *f = userdata;
        Piece *p = malloc(sizeof(*p) + bytes.size);
        f->no_memory = !p;
        if (!p)
                return -ENOMEM;
        *p = (Piece){ .message = { .run = run_write }, .fetch = f, .size = bytes.size };
        memcpy(p->bytes, bytes.data, bytes.size);
        LIST_INSERT_HEAD(&f->pieces, p, link);
        f->ahead += bytes.size;
        f->received += bytes.size;
        atomic_fetch_add(&f->editor->client->counters.n_index_bytes, bytes.size);
        worker_post(documents_disk(documents_of(f)), &p->message);
        if (f->ahead > AHEAD_MAX)
                call_pause(call);
        return 0;
}

static void on_end(Call *call, CallEnd end, int error, void *userdata) {
        EditorFetch *f = userdata;
        Client *c = f->editor->client;
        (void) call;

        f->call = NULL;
        if (end == CALL_OK && f->storing) {
                post_step(f, run_finish);
                return;
        }
        f->result = (EditorFetchResult){ .how = EDITOR_FETCH_GONE, .why = end == CALL_ABORTED ? "changed" : call_end_name(end) };
        if (end == CALL_FAILED || f->no_memory)
                f->result = (EditorFetchResult){ .how = EDITOR_FETCH_FAILED, .error = f->no_memory ? -ENOMEM : error };
        else if (f->fault)
                quarantine(f, "its rfc-index.txt has another length than it said", NULL);
        else if (f->storing && (end == CALL_BROKEN || end == CALL_BAD))
                quarantine(f, end == CALL_BROKEN ? "its rfc-index.txt came short" : "more came than was announced", NULL);
        else if (end == CALL_REFUSED || end == CALL_TIMEOUT || end == CALL_TOO_SLOW)
                holders_failed(c->holders, &f->holder);
        if (f->storing)
                post_step(f, run_abort);
        else
                end_fetch(f);
}

static const CallHandler handler = { .on_reply = on_reply, .on_body = on_body, .on_end = on_end };

int editor_fetch_start(Editor *ed, const Endpoint *holder) {
        Client *c = ed->client;
        EditorFetch *f = calloc(1, sizeof(*f));
        Request request;

        if (!f)
                return -ENOMEM;
        f->editor = ed;
        f->holder = *holder;
        LIST_INIT(&f->pieces);
        client_fill_request(&request, VERB_GET_EDITOR_INDEX, ed->transaction);
        int k = call_new(c->event, holder, &request, &c->settings.call, &handler, f, &f->call);
        if (k < 0) {
                free(f);
                return k;
        }
        ed->fetch = f;
        return 0;
}
