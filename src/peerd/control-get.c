/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/control-internal.h"

#include <errno.h>
#include <unistd.h>

#include "core/text.h"
#include "io/conf-values.h"
#include "io/log.h"

/* ---- Get ---- */

static const char *state_name(DownloadState s) {
        return s == DOWNLOAD_DONE ? "done" : s == DOWNLOAD_FETCHING ? "fetching" : "searching";
}

static void describe_untrusted(const DownloadEvent *e, char *ret, size_t size) {
        if (e->accept == GRADE_VERIFIED)
                snprintf(ret, size, "RFC %u is not taken: the manifest does not name it, and Integrity.Accept= is verified.",
                         e->number);
        else if (e->n_agreeing == 0)
                snprintf(ret, size, "RFC %u is not taken: it is known by hearsay only, and the quorum is %u.", e->number,
                         e->quorum);
        else
                snprintf(ret, size, "RFC %u is not taken: it is known only by %zu peer%s, and the quorum is %u.", e->number,
                         e->n_agreeing, plural(e->n_agreeing), e->quorum);
}

/* Why this host failed. */
static void describe_error(const Control *c, const DownloadEvent *e, char *text, size_t size) {
        char limit[32];

        switch (e->error) {
        case -ENOSPC:
                snprintf(text, size, "RFC %u does not fit: there is no space left.", e->number);
                break;
        case -EDQUOT:
                conf_format_size(documents_max_size(c->peerd->documents), limit, sizeof(limit));
                snprintf(text, size, "RFC %u does not fit: Store.MaxSize= is %s, and not enough may be evicted.", e->number,
                         limit);
                break;
        case -EUCLEAN:
                snprintf(text, size, "RFC %u is damaged in the store: p2pdi-ctl verify --repair brings it anew.", e->number);
                break;
        default:
                snprintf(text, size, "RFC %u could not be stored: %s.", e->number, error_text(e->error));
        }
}

static void describe_failure(const Control *c, json_t *j, const DownloadEvent *e) {
        char text[256];

        if (e->never_issued) {
                snprintf(text, sizeof(text), "RFC %u was never issued.", e->number);
                control_set_string(j, "message", slice_of(text));
                return;
        }
        switch (e->result) {
        case LOOKUP_FOUND:
                return;
        case LOOKUP_NOT_HELD:
                if (e->n_unasked > 0)
                        snprintf(text, sizeof(text),
                                 "RFC %u is not held by any peer that could be asked: %zu of %zu could not.", e->number,
                                 e->n_unasked, e->n_asked);
                else
                        snprintf(text, sizeof(text), "RFC %u is not held by any reachable peer.", e->number);
                break;
        case LOOKUP_NO_PEERS:
                snprintf(text, sizeof(text), "No peer is active.");
                break;
        case LOOKUP_INTEGRITY:
                snprintf(text, sizeof(text),
                         "RFC %u did not match the digest that its holder stated, and was thrown away.", e->number);
                break;
        case LOOKUP_UNREACHABLE:
                snprintf(text, sizeof(text), "RFC %u is held only by peers that could not be reached.", e->number);
                break;
        case LOOKUP_DISPUTED:
                snprintf(text, sizeof(text),
                         "RFC %u is disputed: what its holders state is neither agreed nor verified; \"p2pdi-ctl where "
                         "%u\" tells who says what.",
                         e->number, e->number);
                break;
        case LOOKUP_UNTRUSTED:
                describe_untrusted(e, text, sizeof(text));
                break;
        case LOOKUP_FAILED:
                describe_error(c, e, text, sizeof(text));
                break;
        }
        control_set_string(j, "message", slice_of(text));
}

static void set_obsoleted_by(json_t *j, Documents *d, uint32_t number) {
        json_t *list = json_array();
        RfcMetaInfo info;

        (void) documents_lock(d);
        const RfcMeta *meta = documents_meta(d);
        if (meta && rfc_meta_get(meta, number, &info))
                for (size_t i = 0; i < info.n_related[RFC_OBSOLETED_BY]; i++)
                        (void) json_array_append_new(list, json_integer(info.related[RFC_OBSOLETED_BY][i]));
        documents_unlock(d);
        if (json_array_size(list) > 0)
                (void) json_object_set(j, "obsoletedBy", list);
        json_decref(list);
}

/* The editor never had a text of it: nobody can hold one. */
static void set_no_text(json_t *j, Documents *d, uint32_t number) {
        RfcMetaInfo info;

        (void) documents_lock(d);
        const RfcMeta *meta = documents_meta(d);
        bool none = meta && rfc_meta_get(meta, number, &info) && info.issued && !info.has_text;
        documents_unlock(d);
        if (none)
                control_set_bool(j, "noText", true);
}

json_t *control_download(Control *c, const DownloadEvent *e) {
        char transaction[TRANSACTION_TEXT_SIZE], holder[ENDPOINT_TEXT_SIZE];
        _cleanup_free_ char *path = NULL;
        json_t *j = json_object();

        if (!j)
                return NULL;
        control_set_int(j, "number", e->number);
        control_set_string(j, "state", slice_of(state_name(e->state)));
        transaction_to_text(e->transaction, transaction);
        control_set_string(j, "transaction", slice_of(transaction));
        if (e->has_holder) {
                endpoint_to_text(&e->holder, holder);
                control_set_string(j, "holder", slice_of(holder));
                if (e->peer_id > 0)
                        control_set_int(j, "peerId", e->peer_id);
        }
        if (e->state == DOWNLOAD_FETCHING || (e->state == DOWNLOAD_DONE && e->result == LOOKUP_FOUND)) {
                control_set_int(j, "size", e->size);
                control_set_int(j, "received", e->received);
                control_set_digest(j, &e->digest);
                control_set_string(j, "title", slice_of(e->title));
        }
        if (e->has_grade) {
                control_set_string(j, "trust", slice_of(grade_name(e->grade)));
                control_set_int(j, "agreeing", e->n_agreeing);
        }
        if (e->state != DOWNLOAD_DONE)
                return j;
        control_set_string(j, "result", slice_of(download_result_name(e)));
        control_set_int(j, "durationUSec", e->duration_usec);
        if (e->servers_away)
                control_set_bool(j, "serversAway", true);
        if (e->result == LOOKUP_FOUND) {
                control_set_string(j, "source", slice_of(e->local ? "local" : "peer"));
                if (library_path(documents_library(c->peerd->documents), e->number, &path) == 0)
                        control_set_string(j, "path", slice_of(path));
                set_obsoleted_by(j, c->peerd->documents, e->number);
        }
        if (e->result == LOOKUP_NOT_HELD && !e->never_issued)
                set_no_text(j, c->peerd->documents, e->number);
        describe_failure(c, j, e);
        return j;
}

/* Without more there is one number, and its failure is an error of its own. */
static void reply_single(ControlRequest *r, const DownloadEvent *e, json_t *download) {
        static const char *const errors[] = {
                [LOOKUP_NOT_HELD] = "org.p2pdi.Peer.NotHeld",
                [LOOKUP_NO_PEERS] = "org.p2pdi.Peer.NoPeers",
                [LOOKUP_INTEGRITY] = "org.p2pdi.Peer.Integrity",
                [LOOKUP_UNREACHABLE] = "org.p2pdi.Peer.Unreachable",
                [LOOKUP_DISPUTED] = "org.p2pdi.Peer.Integrity",
                [LOOKUP_UNTRUSTED] = "org.p2pdi.Peer.Integrity",
                [LOOKUP_FAILED] = "org.p2pdi.Peer.Failed",
        };
        VarlinkCall *call = control_request_take(r);

        if (e->result == LOOKUP_FOUND) {
                (void) varlink_call_reply(call, json_pack("{s:o}", "download", download));
                return;
        }
        json_t *parameters = json_pack("{s:I}", "number", (json_int_t) e->number);
        bool no_space = e->result == LOOKUP_FAILED && (e->error == -ENOSPC || e->error == -EDQUOT);
        if (e->result >= LOOKUP_DISPUTED)
                (void) json_object_set(parameters, "message", json_object_get(download, "message"));
        json_decref(download);
        (void) varlink_call_error(call, e->never_issued ? "org.p2pdi.Peer.NeverIssued" :
                                        no_space        ? "org.p2pdi.Peer.NoSpace" :
                                                       errors[e->result],
                                  parameters);
}

void control_on_download(const DownloadEvent *e, void *userdata) {
        Peerd *p = userdata;
        Control *c = p->control;
        ControlRequest *r = c ? control_request_find(c, e->request) : NULL;
        if (!r)
                return;
        bool more = varlink_call_wants_more(r->call);
        /*
         * Who reads slowly gets the ends only, so that thousands of downloads do not run over the bound of what may
         * wait.
         */
        if (e->state != DOWNLOAD_DONE && (!more || varlink_call_is_congested(r->call)))
                return;
        json_t *download = control_download(c, e);
        if (!more) {
                reply_single(r, e, download);
                return;
        }
        json_t *parameters = json_pack("{s:o}", "download", download);
        if (e->state == DOWNLOAD_DONE && --r->n_waiting == 0) {
                (void) control_request_add(r, parameters);      /* the first that is held back: nothing to send yet */
                control_request_end(r);
        } else
                /* At once: progress that comes one change late is none. Who asked may be gone, and r with it. */
                (void) varlink_call_notify(r->call, parameters);
}

int control_number(const json_t *j, uint32_t *ret) {
        json_int_t n = json_integer_value(j);
        if (n < 1 || n > (json_int_t) RFC_NUMBER_MAX)
                return -ERANGE;
        *ret = (uint32_t) n;
        return 0;
}

int control_get(VarlinkCall *call, json_t *parameters, void *userdata) {
        Control *c = userdata;
        const json_t *numbers = json_object_get(parameters, "numbers");
        const char *text = json_string_value(json_object_get(parameters, "transaction"));
        size_t n = json_array_size(numbers);
        uint64_t transaction = random_u64() | 1;        /* never 0 */
        _cleanup_free_ uint32_t *list = NULL;

        if (n == 0 || n > CONTROL_NUMBERS_MAX || (n > 1 && !varlink_call_wants_more(call)))
                return varlink_call_invalid(call, "numbers");
        if (text && transaction_from_text(slice_of(text), &transaction) != 0)
                return varlink_call_invalid(call, "transaction");
        list = reallocarray(NULL, n, sizeof(*list));
        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (control_number(json_array_get(numbers, i), &list[i]) < 0)
                        return varlink_call_invalid(call, "numbers");
        ControlRequest *r = control_request_new(c, call);
        if (!r)
                return -ENOMEM;
        r->n_waiting = n;
        int k = client_get(c->peerd->client, r->id, transaction, list, n);
        if (k < 0)
                (void) control_request_take(r);
        return k;
}

/* ---- Open: the disk worker opens ---- */

typedef struct OpenJob {
        ControlJob job;
        Message message;
        Control *control;
        uint64_t request;
        uint32_t number;                        /* 0: the editor's index */
        OwnDocument document;
        int result, fd;                         /* fd: owned, -1: none */
} OpenJob;

static void open_job_free(ControlJob *job) {
        OpenJob *j = MESSAGE_OF(job, OpenJob, job);
        if (j->fd >= 0)
                close(j->fd);
        free(j);
}

/* As it was when it was opened, by then others may have changed. */
static json_t *document_json(Control *c, uint32_t number, const OwnDocument *d) {
        Documents *documents = c->peerd->documents;
        json_t *j = json_object();
        Now now;
        if (!j)
                return NULL;
        control_set_int(j, "number", number);
        control_set_string(j, "title", slice_of(d->title));
        control_set_int(j, "size", d->size);
        control_set_digest(j, &d->digest);
        control_set_bool(j, "local", true);
        control_document_add_path(j, documents_library(documents));
        now_read(&now);
        control_set_int(j, "holders", rfc_index_find(documents_lock(documents), number, &now, NULL, 0));
        control_set_status(j, documents_meta(documents), number);
        documents_unlock(documents);
        return j;
}

/* That there is none is no error: who wants it all is content with what there is. */
static void reply_editor_index(VarlinkCall *call, OpenJob *j) {
        json_t *parameters = json_object();

        if (j->result != 0) {
                if (j->result < 0)
                        (void) log_errno(LOG_LEVEL_ERR, j->result, "Could not open rfc-index.txt");
                (void) varlink_call_reply(call, parameters);
                return;
        }
        control_set_int(parameters, "size", j->document.size);
        control_set_digest(parameters, &j->document.digest);
        (void) varlink_call_reply_fd(call, parameters, j->fd);
}

static void reply_opened(VarlinkCall *call, OpenJob *j) {
        const json_int_t number = (json_int_t) j->number;
        if (j->number == 0) {
                reply_editor_index(call, j);
                return;
        }
        if (j->result == 0) {
                json_t *document = document_json(j->control, j->number, &j->document);
                (void) varlink_call_reply_fd(call, json_pack("{s:o}", "document", document), j->fd);
        } else if (j->result == LIBRARY_NONE)
                (void) varlink_call_error(call, "org.p2pdi.Peer.NotHeld", json_pack("{s:I}", "number", number));
        else
                (void) varlink_call_error(call, "org.p2pdi.Peer.Failed",
                                          json_pack("{s:I, s:s}", "number", number, "message", error_text(j->result)));
}

static void run_opened(Message *m) {
        OpenJob *j = MESSAGE_OF(m, OpenJob, message);
        ControlRequest *r = control_request_find(j->control, j->request);

        if (r)
                reply_opened(control_request_take(r), j);
        control_job_end(&j->job);
}

static void run_open(Message *m) {
        OpenJob *j = MESSAGE_OF(m, OpenJob, message);
        Peerd *p = j->control->peerd;
        j->result = LIBRARY_NONE;
        if (j->number == 0) {
                if (documents_get_editor_index(p->documents, &j->document))
                        j->result = library_open_editor_index(documents_library(p->documents), j->document.origin,
                                                              &j->document.stamp, &j->fd);
        } else if (documents_get(p->documents, j->number, &j->document))
                j->result = library_open(documents_library(p->documents), j->number, &j->document.stamp, &j->fd);
        m->run = run_opened;
        mailbox_post(p->mailbox, m);
}

static int open_start(Control *c, VarlinkCall *call, uint32_t number) {
        OpenJob *j = calloc(1, sizeof(*j));
        ControlRequest *r = j ? control_request_new(c, call) : NULL;
        if (!r) {
                free(j);
                return -ENOMEM;
        }
        *j = (OpenJob){ .message = { .run = run_open }, .control = c, .request = r->id, .number = number, .fd = -1 };
        control_job_begin(c, &j->job, open_job_free);
        worker_post(c->peerd->disk, &j->message);
        return 0;
}

int control_open(VarlinkCall *call, json_t *parameters, void *userdata) {
        uint32_t number;

        if (control_number(json_object_get(parameters, "number"), &number) < 0)
                return varlink_call_invalid(call, "number");
        return open_start(userdata, call, number);
}

int control_open_editor_index(VarlinkCall *call, json_t *parameters, void *userdata) {
        (void) parameters;
        return open_start(userdata, call, 0);
}

/* ---- Refresh ---- */

void control_on_refresh(const RefreshEvent *e, void *userdata) {
        Peerd *p = userdata;
        ControlRequest *r = p->control ? control_request_find(p->control, e->request) : NULL;
        if (!r)
                return;
        if (e->last) {
                control_request_end(r);
                return;
        }
        if (e->unknown) {
                char text[ENDPOINT_TEXT_SIZE];
                endpoint_to_text(&e->peer, text);
                (void) varlink_call_error(control_request_take(r), "org.p2pdi.Peer.UnknownPeer",
                                          json_pack("{s:s}", "peer", text));
                return;
        }
        json_t *j = json_pack("{s:s}", "result", e->result);
        if (e->has_peer) {
                char text[ENDPOINT_TEXT_SIZE];
                endpoint_to_text(&e->peer, text);
                control_set_string(j, "peer", slice_of(text));
                if (e->kind)
                        control_set_string(j, "kind", slice_of(e->kind));
                control_set_int(j, "added", e->n_added);
                control_set_int(j, "removed", e->n_removed);
        }
        (void) control_request_add(r, j);       /* whoever asked may be gone: then there is nobody to tell */
}

int control_refresh(VarlinkCall *call, json_t *parameters, void *userdata) {
        Control *c = userdata;
        const json_t *peers = json_object_get(parameters, "peers");
        size_t n = json_array_size(peers);
        _cleanup_free_ Endpoint *list = reallocarray(NULL, MAX_OF(n, (size_t) 1), sizeof(*list));

        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (endpoint_from_text(slice_of(json_string_value(json_array_get(peers, i))), &list[i]) != 0)
                        return varlink_call_invalid(call, "peers");
        ControlRequest *r = control_request_new(c, call);
        if (!r)
                return -ENOMEM;
        int k = client_refresh(c->peerd->client, r->id, random_u64() | 1, list, n);
        if (k < 0)
                (void) control_request_take(r);
        return k;
}
