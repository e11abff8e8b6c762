/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/control-internal.h"

#include <errno.h>

/*
 * All is told in one message, which may have VARLINK_MESSAGE_MAX bytes. Whatever peers and the index say, it does not come
 * near: a holder takes 900 bytes at most, a text 220.
 */
#define DESCRIBED_HOLDERS_MAX 500
#define DESCRIBED_TITLES_SIZE (64u << 10)       /* of all related ones; real are some 10 kB at most */

typedef struct DescribeJob {
        VisitJob visit;
        uint32_t number;
        bool known;                             /* by anybody */
        json_t *rfc;                            /* owned; NULL: no memory */
} DescribeJob;

static void describe_job_free(ControlJob *job) {
        DescribeJob *j = MESSAGE_OF(job, DescribeJob, visit.job);
        if (j->rfc)
                json_decref(j->rfc);
        free(j);
}

/* ---- what the editor's index tells ---- */

static const char *const relation_names[_RFC_RELATION_MAX] = {
        [RFC_OBSOLETES] = "obsoletes",
        [RFC_OBSOLETED_BY] = "obsoletedBy",
        [RFC_UPDATES] = "updates",
        [RFC_UPDATED_BY] = "updatedBy",
};

/* left: bytes that titles may still take. */
static json_t *related_json(const RfcMeta *meta, const uint32_t *numbers, size_t n, size_t *left) {
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++) {
                json_t *j = json_object();
                Slice title;

                control_set_int(j, "number", numbers[i]);
                if (rfc_meta_title(meta, numbers[i], &title) && title.size <= *left) {
                        *left -= title.size;
                        control_set_string(j, "title", title);
                }
                (void) json_array_append_new(list, j);
        }
        return list;
}

static void set_text(json_t *j, const char *name, Slice text) {
        if (text.size > 0)
                control_set_string(j, name, text);
}

/* Under the lock. false: the index, if there is any, has no such number. */
static bool set_meta(json_t *j, const RfcMeta *meta, uint32_t number) {
        RfcMetaInfo info = { .issued = false };
        bool found = meta && rfc_meta_get(meta, number, &info);
        size_t left = DESCRIBED_TITLES_SIZE;

        if (found)
                control_set_bool(j, "issued", info.issued);
        if (found && info.issued)
                control_set_bool(j, "hasText", info.has_text);
        set_text(j, "title", info.title);
        set_text(j, "authors", info.authors);
        set_text(j, "date", info.date);
        set_text(j, "publicationStatus", info.status);
        control_set_status(j, meta, number);
        for (size_t i = 0; i < _RFC_RELATION_MAX; i++)
                (void) json_object_set_new(j, relation_names[i],
                                           related_json(meta, info.related[i], info.n_related[i], &left));
        return found;
}

/* ---- texts: what the holders say that it is ---- */

static json_t *texts_json(const ControlTexts *t) {
        json_t *list = json_array();

        for (size_t i = 0; i < t->n; i++) {
                const TrustText *text = &t->texts[i];
                json_t *j = json_object();

                control_set_digest(j, &text->digest);
                control_set_int(j, "size", text->size);
                control_set_trust(j, text->grade);
                control_set_bool(j, "local", text->own);
                control_set_int(j, "holders", text->n_holders);
                control_set_int(j, "prefixes", text->n_prefixes);
                control_set_int(j, "hearsay", text->n_hearsay);
                (void) json_array_append_new(list, j);
        }
        return list;
}

/* ---- Describe ---- */

/* In the client's thread. */
static void describe(DescribeJob *j, Documents *d, const Holders *h, bool servers_away, const Now *now,
                     RfcRecord records[HOLDERS_SHOWN_MAX + 1], ControlTexts *texts) {
        json_t *rfc = json_object(), *holders = json_array();
        const uint32_t number = j->number;

        control_set_int(rfc, "number", number);
        RfcIndex *x = documents_lock(d);
        bool local = rfc_index_get_own(x, number, &records[0]);
        size_t n = local + MIN_OF(rfc_index_find(x, number, now, records + local, HOLDERS_SHOWN_MAX),
                                  (size_t) HOLDERS_SHOWN_MAX);
        j->known = set_meta(rfc, documents_meta(d), number);
        json_t *document = control_document(x, documents_meta(d), documents_trust(d), number, now);
        control_texts(texts, x, documents_trust(d), number, now);
        documents_unlock(d);            /* the records' titles may go now, and are not shown */

        j->known |= n > 0;
        if (document) {
                control_document_add_keeping(document, d);
                if (!json_object_get(rfc, "title"))
                        (void) json_object_set(rfc, "title", json_object_get(document, "title"));
                (void) json_object_set_new(rfc, "document", document);
        }
        for (size_t i = 0; i < MIN_OF(n, (size_t) DESCRIBED_HOLDERS_MAX); i++) {
                const RfcRecord *r = &records[i];
                Grade grade = control_texts_grade(texts, &r->digest);
                (void) json_array_append_new(holders, r->own ? control_holder_self(r, grade)
                                                             : control_holder(r, grade, h, servers_away, now));
        }
        (void) json_object_set_new(rfc, "texts", texts_json(texts));
        (void) json_object_set_new(rfc, "holders", holders);
        j->rfc = rfc;
}

static void reply_described(VarlinkCall *call, DescribeJob *j) {
        const json_int_t number = (json_int_t) j->number;
        if (!j->rfc)
                (void) varlink_call_error(call, "org.p2pdi.Peer.Failed",
                                          json_pack("{s:I, s:s}", "number", number, "message", "out of memory"));
        else if (!j->known)
                (void) varlink_call_error(call, "org.p2pdi.Peer.NotKnown", json_pack("{s:I}", "number", number));
        else
                (void) varlink_call_reply(call, json_pack("{s:O}", "rfc", j->rfc));
}

static bool describe_answer(VisitJob *visit, ControlRequest *r) {
        reply_described(control_request_take(r), MESSAGE_OF(visit, DescribeJob, visit));
        return false;
}

static bool describe_look(VisitJob *visit, Client *c, Holders *h, bool servers_away, const Now *now) {
        _cleanup_free_ RfcRecord *records = reallocarray(NULL, HOLDERS_SHOWN_MAX + 1, sizeof(*records));
        _cleanup_free_ ControlTexts *texts = malloc(sizeof(*texts));

        if (records && texts)
                describe(MESSAGE_OF(visit, DescribeJob, visit), client_documents(c), h, servers_away, now, records, texts);
        return false;
}

int control_describe(VarlinkCall *call, json_t *parameters, void *userdata) {
        uint32_t number;

        if (control_number(json_object_get(parameters, "number"), &number) < 0)
                return varlink_call_invalid(call, "number");
        DescribeJob *j = calloc(1, sizeof(*j));
        if (!j)
                return -ENOMEM;
        j->visit.look = describe_look;
        j->visit.answer = describe_answer;
        j->number = number;
        return control_visit_start(userdata, call, &j->visit, describe_job_free);
}
