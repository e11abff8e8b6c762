/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/client-internal.h"

#include <errno.h>

#include "io/log.h"
#include "io/loop.h"

/* Received and not yet written: above the first the reading stops, below the second it goes on. */
#define AHEAD_MAX (1u << 20)
#define AHEAD_RESUME (512u << 10)

/* Bytes of the document on their way to the disk worker, which frees them. */
typedef struct Piece {
        Message message;
        Transfer *transfer;
        size_t size;
        char bytes[];
} Piece;

/*
 * One GetRFC. The client's thread reads, the disk worker hashes and writes; a message goes there for each piece, and none
 * comes back but where the reading waits for it. What is marked "disk" is the worker's from `begin` to the return of `end`,
 * the last message.
 */
struct Transfer {
        LIST_ENTRY(Transfer) link;              /* in the client's */
        Operation *operation;                   /* NULL: it was dropped */
        Client *client;
        Endpoint holder;
        RfcRecord expected;                     /* its title is `title` */
        char title[PROTO_TITLE_MAX];
        Call *call;
        usec_t began_at;
        /* the answer */
        unsigned status;
        Digest digest;
        uint64_t size, received;
        bool storing;                           /* the worker was told to begin */
        bool whole;                             /* all is received, and may be put into the library */
        bool closing;                           /* `end` is on its way */
        bool judged;                            /* what it is worth: */
        Grade grade;
        size_t n_agreeing;
        bool held_back;                         /* by the rate of the sync it is for */
        bool restating;                         /* the holder is being asked what it states now */
        enum { ANSWER_NONE, ANSWER_OTHER_DIGEST, ANSWER_OTHER_SIZE, ANSWER_TOO_LARGE, ANSWER_NEW, ANSWER_REFUSED } answer;
        int error_of_head;                      /* this host failed on it */
        /* to and from the disk */
        atomic_size_t ahead;                    /* bytes on their way to the disk */
        atomic_bool wants_room;                 /* `room` is to be posted when there are few */
        bool waits_for_room;
        Message begin, room, end;
        Commit commit;                          /* disk */
        LookupOutcome outcome;                  /* that `end` brings back */
        int error;
        const char *result;                     /* in a word or a few; a literal */
};

/* ---- the end ---- */

static LogFields fields(const Transfer *t, const char *result) {
        Now now;
        now_of_event(t->client->event, &now);
        return (LogFields){
                .transaction = t->operation->transaction,
                .operation = "get-rfc",
                .result = result,
                .peer = &t->holder,
                .rfc = t->expected.number,
                .sha256 = t->status == 200 ? &t->digest : NULL,
                .trust = t->judged ? grade_name(t->grade) : NULL,
                .has_bytes = true,
                .bytes = t->received,
                .has_duration = true,
                .duration_usec = usec_sub(now.boottime, t->began_at),
                .source = "peer",
        };
}

/* Tells the operation; t is gone after it. */
static void end_transfer(Transfer *t, LookupOutcome outcome, int error, const char *result) {
        Operation *o = TAKE_PTR(t->operation);
        if (o)
                operation_transfer_done(o, t, outcome, error, result, t->received);
        transfer_free(t);
}

static void failed(Transfer *t, LookupOutcome outcome, const char *result) {
        LogFields f = fields(t, result);
        char holder[ENDPOINT_TEXT_SIZE];
        endpoint_to_text(&t->holder, holder);
        log_transaction(LOG_EVENT_FETCH_FAILED, &f, "RFC %u was not fetched from %s: %s.", t->expected.number, holder,
                        result);
        end_transfer(t, outcome, 0, result);
}

static void quarantine(Transfer *t, const char *why) {
        usec_t span = judge_fault(t->client, &t->holder, why, fields(t, "quarantined"));
        operation_quarantined(t->operation, &t->holder, why, span);
}

static void mismatch(Transfer *t, const Digest *found, const char *why) {
        atomic_fetch_add(&t->client->counters.n_mismatches, 1);
        LogFields f = fields(t, "mismatch");
        char holder[ENDPOINT_TEXT_SIZE];
        endpoint_to_text(&t->holder, holder);
        f.sha256 = found ? found : &t->digest;
        f.sha256_expected = found ? &t->digest : &t->expected.digest;
        log_entry(LOG_LEVEL_ERR, LOG_EVENT_DIGEST_MISMATCH, &f, "RFC %u from %s was thrown away: %s.",
                  t->expected.number, holder, why);
        quarantine(t, why);
        end_transfer(t, LOOKUP_FAULT, 0, "mismatch");
}

static void stored(Transfer *t) {
        LogFields f = fields(t, "ok");
        char holder[ENDPOINT_TEXT_SIZE];
        endpoint_to_text(&t->holder, holder);
        f.has_size = true;
        f.size = t->size;
        histogram_observe(&t->client->counters.transfer_durations, f.duration_usec);
        log_transaction(LOG_EVENT_RFC_FETCHED, &f, "RFC %u fetched from %s, %llu bytes.", t->expected.number, holder,
                        (unsigned long long) t->size);
        end_transfer(t, LOOKUP_OK, 0, "ok");
}

/* ---- to the disk worker ---- */

static void run_begin(Message *m) {
        Transfer *t = MESSAGE_OF(m, Transfer, begin);
        t->commit.result = documents_store_begin(t->client->conf.documents, t->expected.number, t->size, &t->digest,
                                                 t->expected.title, &t->commit.file);
}

/* Of those who see that there is room, only one sees that it is wanted. */
static bool finds_room(Transfer *t) {
        return atomic_load(&t->ahead) < AHEAD_RESUME && atomic_exchange(&t->wants_room, false);
}

static void run_write(Message *m) {
        Piece *p = MESSAGE_OF(m, Piece, message);
        Transfer *t = p->transfer;
        if (t->commit.result == 0)
                t->commit.result = library_store_write(t->commit.file, (Slice){ p->bytes, p->size });
        atomic_fetch_sub(&t->client->ahead, p->size);
        atomic_fetch_sub(&t->ahead, p->size);
        free(p);
        if (finds_room(t))
                loop_thread_post(t->client->loop, &t->room);
}

static void run_committed(Message *m) {
        Transfer *t = MESSAGE_OF(m, Transfer, end);
        if (!t->operation)
                transfer_free(t);
        else if (t->outcome != LOOKUP_OK)
                end_transfer(t, t->outcome, t->error, t->result);
        else if (t->commit.result == LIBRARY_MISMATCH)
                mismatch(t, &t->commit.found, "the bytes are not what its digest says");
        else if (t->commit.result < 0)
                end_transfer(t, LOOKUP_BROKEN, t->commit.result, "failed");
        else
                stored(t);
}

/* Throws away what there is of it. */
static void run_abort(Message *m) {
        Transfer *t = MESSAGE_OF(m, Transfer, end);
        t->commit.file = library_store_abort(t->commit.file);
        m->run = run_committed;
        loop_thread_post(t->client->loop, m);
}

/* Ends the disk's part; run_committed() ends the transfer. */
static void close_store(Transfer *t, LookupOutcome outcome, int error, const char *result) {
        t->outcome = outcome;
        t->error = error;
        t->result = result;
        t->closing = true;
        if (outcome == LOOKUP_OK) {
                t->end.run = run_committed;
                t->commit.done = &t->end;
                operation_set_storing(t->operation, true);
                commit_add(t->client, &t->commit);
                return;
        }
        t->end.run = run_abort;
        worker_post(documents_disk(t->client->conf.documents), &t->end);
}

static bool judge(Transfer *t) {
        t->judged = true;
        return judge_digest(t->client, t->expected.number, &t->digest, &t->grade, &t->n_agreeing);
}

bool transfer_is_committing(const Transfer *t) {
        return t->closing && t->outcome == LOOKUP_OK;
}

void transfer_commit(Transfer *t) {
        if (!t->whole || t->closing)
                return;
        /* Others may have said something else meanwhile. */
        if (judge(t))
                close_store(t, LOOKUP_OK, 0, "ok");
        else
                close_store(t, LOOKUP_CHANGED, 0, grade_name(t->grade));
}

/* All came. The other one may be just ahead: if that is not what it should be, this one's turn comes. */
static void complete(Transfer *t) {
        const Operation *o = t->operation;
        t->whole = true;
        for (size_t i = 0; i < ELEMENTSOF(o->transfers); i++)
                if (o->transfers[i] && transfer_is_committing(o->transfers[i]))
                        return;
        transfer_commit(t);
}

static void go_on_reading(Transfer *t) {
        if (t->call && !t->held_back && !t->waits_for_room)
                call_resume(t->call);
}

static void run_room(Message *m) {
        Transfer *t = MESSAGE_OF(m, Transfer, room);
        t->waits_for_room = false;
        go_on_reading(t);
}

/* The disk worker may have written all by now: then it will not tell. */
static void wait_for_room(Transfer *t) {
        t->waits_for_room = true;
        t->room.run = run_room;
        atomic_store(&t->wants_room, true);
        if (finds_room(t))
                t->waits_for_room = false;
}

void transfer_release(Transfer *t) {
        if (!t->held_back)
                return;
        t->held_back = false;
        go_on_reading(t);
}

/* ---- from the holder ---- */

/*
 * What others said of the holder counts for finding it only. By its answer it says itself what it holds, and that is
 * looked at anew, since hearsay is no vote and its word is one.
 */
static void take_its_word(Transfer *t, const Call *call) {
        RfcRecord stated = t->expected;

        stated.digest = t->digest;
        stated.size = t->size;
        t->error_of_head = judge_statement(t->client, &t->holder, &stated, call_sent_at(call));
        if (!digest_equal(&t->digest, &t->expected.digest) || t->size != t->expected.size)
                t->answer = ANSWER_NEW;         /* false hearsay: no blame */
}

static int on_reply(Call *call, const Reply *reply, Slice bytes, void *userdata) {
        Transfer *t = userdata;
        Client *c = t->client;
        Now now;

        log_head(call_remote(call), bytes);
        now_of_event(c->event, &now);
        holders_answered(c->holders, &t->holder, call_rtt(call), &now);
        t->status = reply->status;
        if (reply->status != 200 || !reply->has_digest)
                return -ECANCELED;
        t->digest = reply->digest;
        t->size = reply->length;
        if (!t->expected.first_hand)
                take_its_word(t, call);
        else if (!digest_equal(&t->digest, &t->expected.digest))
                t->answer = ANSWER_OTHER_DIGEST;
        else if (t->size != t->expected.size)
                t->answer = ANSWER_OTHER_SIZE;
        if (t->answer == ANSWER_NONE && t->size > c->settings.max_file_size)
                t->answer = ANSWER_TOO_LARGE;
        if (t->answer == ANSWER_NONE && !judge(t))
                t->answer = ANSWER_REFUSED;
        if (t->answer != ANSWER_NONE || t->error_of_head < 0)
                return -ECANCELED;
        t->storing = true;
        /* comes first in the worker's queue, and is never waited for: `end` comes behind it */
        t->begin.run = run_begin;
        worker_post(documents_disk(c->conf.documents), &t->begin);
        operation_progress(t->operation, t, 0);
        return 0;
}

static int on_body(Call *call, Slice bytes, void *userdata) {
        Transfer *t = userdata;
        Piece *p = malloc(sizeof(*p) + bytes.size);
        if (!p)
                return -ENOMEM;
        *p = (Piece){ .message = { .run = run_write }, .transfer = t, .size = bytes.size };
        memcpy(p->bytes, bytes.data, bytes.size);
        const size_t ahead = atomic_fetch_add(&t->ahead, bytes.size) + bytes.size;
        atomic_fetch_add(&t->client->ahead, bytes.size);
        t->received += bytes.size;
        atomic_fetch_add(&t->client->counters.n_download_bytes, bytes.size);
        worker_post(documents_disk(t->client->conf.documents), &p->message);
        if (t->operation->bulk && sync_received(t->client, bytes.size))
                t->held_back = true;
        if (ahead > AHEAD_MAX)
                wait_for_room(t);
        if (t->held_back || t->waits_for_room)
                call_pause(call);
        operation_progress(t->operation, t, t->received);
        return 0;
}

/*
 * Another digest than the record's is no fault yet: the document may have changed. The holder says what it states now.
 */
static void ask_again(Transfer *t) {
        Client *c = t->client;
        rfc_index_forget_record(documents_lock(c->conf.documents), t->expected.number, &t->holder);
        documents_unlock(c->conf.documents);
        t->restating = true;
        if (pull_number(c, &t->holder, t->expected.number, t->operation->transaction) < 0)
                failed(t, LOOKUP_GONE, "failed");
}

void transfer_restated(Transfer *t, LookupOutcome outcome) {
        Client *c = t->client;
        RfcRecord record;
        Now now;

        if (outcome == LOOKUP_GONE || outcome == LOOKUP_BUSY) {
                failed(t, LOOKUP_GONE, "gone");
                return;
        }
        now_of_event(c->event, &now);
        bool states = rfc_index_get(documents_lock(c->conf.documents), t->expected.number, &t->holder, &now, &record) &&
                      record.first_hand;
        bool same = states && digest_equal(&record.digest, &t->digest);
        documents_unlock(c->conf.documents);
        if (states && !same)
                mismatch(t, NULL, "it sends another document than it states");
        else
                failed(t, LOOKUP_CHANGED, states ? "changed" : "no longer stated");
}

bool transfer_waits_for(const Transfer *t, const Endpoint *peer) {
        return t->restating && endpoint_equal(&t->holder, peer);
}

/* The answer was no document, or not the one meant. */
static void refused(Transfer *t, CallEnd end) {
        Client *c = t->client;

        if (t->error_of_head < 0)
                end_transfer(t, LOOKUP_BROKEN, t->error_of_head, "failed");
        else if (t->answer == ANSWER_NEW)
                failed(t, LOOKUP_CHANGED, "changed");
        else if (t->answer == ANSWER_REFUSED)
                failed(t, LOOKUP_CHANGED, grade_name(t->grade));
        else if (t->answer == ANSWER_OTHER_DIGEST)
                ask_again(t);
        else if (t->answer == ANSWER_OTHER_SIZE)
                mismatch(t, NULL, "it has another length than its index states");
        else if (t->answer == ANSWER_TOO_LARGE)
                failed(t, LOOKUP_EMPTY, "bigger than Store.MaxFileSize=");
        else if (t->status == 404) {
                rfc_index_forget_record(documents_lock(c->conf.documents), t->expected.number, &t->holder);
                documents_unlock(c->conf.documents);
                failed(t, LOOKUP_EMPTY, "not-held");
        } else
                failed(t, LOOKUP_GONE, t->status == 0 ? call_end_name(end) : t->status < 400 ? "malformed" : "refused");
}

static void on_end(Call *call, CallEnd end, int error, void *userdata) {
        Transfer *t = userdata;
        Client *c = t->client;
        Endpoint own;

        if (call_local(call, &own))
                client_add_self(c, &own.address);
        t->call = NULL;
        if (!t->storing) {
                if (end == CALL_REFUSED || end == CALL_TIMEOUT)
                        holders_failed(c->holders, &t->holder);
                if (end == CALL_FAILED)
                        (void) log_errno(LOG_LEVEL_ERR, error, "Could not fetch RFC %u", t->expected.number);
                refused(t, end);
                return;
        }
        if (end == CALL_OK) {
                complete(t);
                return;
        }
        LogFields f = fields(t, call_end_name(end));
        char holder[ENDPOINT_TEXT_SIZE];
        endpoint_to_text(&t->holder, holder);
        log_transaction(LOG_EVENT_FETCH_FAILED, &f, "RFC %u from %s ended after %llu of %llu bytes: %s.",
                        t->expected.number, holder,
                        (unsigned long long) t->received, (unsigned long long) t->size, call_end_name(end));
        if (end == CALL_BROKEN || end == CALL_BAD)
                quarantine(t, end == CALL_BROKEN ? "the document came short" : "more came than was announced");
        else if (end == CALL_TIMEOUT || end == CALL_TOO_SLOW)
                holders_failed(c->holders, &t->holder);
        if (end == CALL_FAILED || end == CALL_ABORTED)
                close_store(t, LOOKUP_BROKEN, error < 0 ? error : -ENOMEM, "failed");
        else
                close_store(t, end == CALL_BAD ? LOOKUP_FAULT : LOOKUP_GONE, 0, call_end_name(end));
}

/* ---- beginning ---- */

/* What was asked for behind others: from now on it is the holder that is waited for. */
static void on_turn(Call *call, void *userdata) {
        Transfer *t = userdata;
        Now now;
        (void) call;

        now_of_event(t->client->event, &now);
        t->began_at = now.boottime;
        lookup_fetch_heard(t->operation->lookup, &t->holder, &now);
        operation_advance(t->operation);        /* when that is too long */
}

static const CallHandler handler = {
        .on_reply = on_reply,
        .on_body = on_body,
        .on_end = on_end,
        .on_turn = on_turn,
};

/* Where the operation has room for it. */
static Transfer **find_place(Operation *o) {
        for (size_t i = 0; i < ELEMENTSOF(o->transfers); i++)
                if (!o->transfers[i])
                        return &o->transfers[i];
        return NULL;
}

/*
 * Documents of a sync are asked for one behind the other. Not so one that another holder is too slow for, and what is read
 * slowly on purpose would keep those behind it waiting.
 */
static const CallConf *conf_of(const Operation *o) {
        const Client *c = o->client;
        if (!o->bulk || sync_is_limited(c))
                return &c->settings.transfer;
        for (size_t i = 0; i < ELEMENTSOF(o->transfers); i++)
                if (o->transfers[i])
                        return &c->settings.transfer;
        return &c->settings.bulk;
}

int transfer_start(Operation *o, const Endpoint *holder, const RfcRecord *expected) {
        Transfer **place = find_place(o);
        Client *c = o->client;
        Request request;
        Now now;

        assert(place);                          /* the lookup begins no more than there is room for */
        Transfer *t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        now_of_event(c->event, &now);
        t->operation = o;
        t->client = c;
        t->holder = *holder;
        t->began_at = now.boottime;
        t->expected = *expected;
        memcpy(t->title, expected->title.data, expected->title.size);
        t->expected.title.data = t->title;
        client_fill_request(&request, VERB_GET_RFC, o->transaction);
        request.rfc = expected->number;
        int k = call_new(c->event, holder, &request, conf_of(o), &handler, t, &t->call);
        if (k < 0) {
                free(t);
                return k;
        }
        if (call_is_queued(t->call))
                lookup_fetch_waits(o->lookup, holder);
        *place = t;
        LIST_INSERT_HEAD(&c->transfers, t, link);
        atomic_fetch_add(&c->counters.n_transfers, 1);
        holders_begin_transfer(c->holders, holder);
        return 0;
}

static void leave_operation(Transfer *t) {
        Operation *o = TAKE_PTR(t->operation);
        for (size_t i = 0; o && i < ELEMENTSOF(o->transfers); i++)
                if (o->transfers[i] == t)
                        o->transfers[i] = NULL;
}

void transfer_free(Transfer *t) {
        if (!t)
                return;
        leave_operation(t);
        call_free(t->call);
        library_store_abort(t->commit.file);
        atomic_fetch_sub(&t->client->counters.n_transfers, 1);
        holders_end_transfer(t->client->holders, &t->holder);
        LIST_REMOVE(t, link);
        free(t);
}

void transfer_drop(Transfer *t) {
        if (!t)
                return;
        /* Another was faster, though it was asked later: that is no fault, and reason enough to ask it first now. */
        if (t->status == 0 && !t->restating && !(t->call && call_is_queued(t->call)))
                holders_failed(t->client->holders, &t->holder);
        leave_operation(t);
        t->call = call_free(t->call);
        if (!t->storing)
                transfer_free(t);
        else if (!t->closing)
                close_store(t, LOOKUP_GONE, 0, "not needed");
}

const Endpoint *transfer_holder(const Transfer *t) {
        return &t->holder;
}

uint64_t transfer_received(const Transfer *t) {
        return t->received;
}

void transfer_describe(const Transfer *t, DownloadEvent *e) {
        HolderInfo info;
        e->size = t->size;
        e->digest = t->digest;
        e->has_grade = t->judged;
        e->grade = t->grade;
        e->n_agreeing = t->n_agreeing;
        e->has_holder = true;
        e->holder = t->holder;
        e->peer_id = holders_get(t->client->holders, &t->holder, &info) ? info.peer_id : 0;
        memcpy(e->title, t->expected.title.data, t->expected.title.size);
        e->title[t->expected.title.size] = 0;
}
