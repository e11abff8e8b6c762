/* SPDX-License-Identifier: BSD-2-Clause */
/* What documents and their holders look like in replies: the types Document and Holder. */
#include "peerd/control-internal.h"

static void set_record(json_t *j, const RfcRecord *r) {
        control_set_int(j, "number", r->number);
        control_set_int(j, "size", r->size);
        control_set_digest(j, &r->digest);
}

void control_set_trust(json_t *j, Grade grade) {
        control_set_string(j, "trust", slice_of(grade_name(grade)));
}

/* ---- Document ---- */

void control_set_status(json_t *j, const RfcMeta *meta, uint32_t number) {
        switch (rfc_meta_standing(meta, number)) {
        case RFC_CURRENT:
                control_set_string(j, "status", SLICE_LITERAL("current"));
                break;
        case RFC_OBSOLETE:
                control_set_string(j, "status", SLICE_LITERAL("obsolete"));
                break;
        case RFC_NEVER_ISSUED:          /* whatever it is that somebody has under that number */
        case RFC_UNKNOWN:
                break;
        }
}

json_t *control_document(const RfcIndex *x, const RfcMeta *meta, const TrustConf *trust, uint32_t number,
                         const Now *now) {
        RfcRecord own, other;
        bool local = rfc_index_get_own(x, number, &own);
        size_t n_holders = rfc_index_find(x, number, now, &other, 1);
        const RfcRecord *r = local ? &own : &other;
        size_t n_records = 0;
        TrustNumber all;
        Slice title;

        if ((!local && n_holders == 0) || !trust_number(x, trust, number, now, &all, &n_records))
                return NULL;
        /* Others may call it what they like. */
        if (!meta || !rfc_meta_title(meta, number, &title))
                title = r->title;
        json_t *j = json_object();
        control_set_int(j, "number", number);
        control_set_int(j, "size", all.text.size);
        control_set_digest(j, &all.text.digest);
        control_set_trust(j, all.text.grade);
        control_set_string(j, "title", title);
        control_set_bool(j, "local", local);
        control_set_int(j, "holders", n_holders);
        control_set_status(j, meta, number);
        return j;
}

void control_document_add_path(json_t *document, const Library *l) {
        _cleanup_free_ char *path = NULL;
        uint32_t number = (uint32_t) json_integer_value(json_object_get(document, "number"));

        if (number > 0 && json_is_true(json_object_get(document, "local")) && library_path(l, number, &path) == 0)
                control_set_string(document, "path", slice_of(path));
}

void control_document_add_keeping(json_t *document, Documents *d) {
        uint32_t number = (uint32_t) json_integer_value(json_object_get(document, "number"));
        usec_t read_at;
        bool pinned;

        if (number == 0)        /* there was no memory for it: this will not be sent */
                return;
        control_document_add_path(document, documents_library(d));
        if (!json_is_true(json_object_get(document, "local")) || !documents_get_keeping(d, number, &pinned, &read_at))
                return;
        control_set_bool(document, "pinned", pinned);
        control_set_int(document, "readUSec", read_at);
}

/* ---- Holder ---- */

json_t *control_holder_self(const RfcRecord *own, Grade grade) {
        json_t *j = json_object();
        set_record(j, own);
        control_set_trust(j, grade);
        control_set_string(j, "holder", SLICE_LITERAL("-"));
        control_set_string(j, "state", SLICE_LITERAL("own"));
        control_set_bool(j, "firstHand", true);
        return j;
}

static const char *holder_state(const Holders *h, const Endpoint *e, bool servers_away, const Now *now) {
        HolderInfo info;
        if (holders_may_dial(h, e, servers_away, now))
                return "active";
        return holders_get(h, e, &info) && info.quarantined_until > now->boottime ? "quarantined" : "unlisted";
}

json_t *control_holder(const RfcRecord *r, Grade grade, const Holders *h, bool servers_away, const Now *now) {
        HolderInfo info;
        json_t *j = json_object();
        set_record(j, r);
        control_set_trust(j, grade);
        control_set_endpoint(j, "holder", &r->holder);
        control_set_string(j, "state", slice_of(holder_state(h, &r->holder, servers_away, now)));
        control_set_bool(j, "firstHand", r->first_hand);
        if (!r->first_hand)
                control_set_endpoint(j, "statedBy", &r->source);
        control_set_int(j, "expiresInSec", usec_sub(r->expires_at, now->boottime) / USEC_PER_SEC);
        if (holders_get(h, &r->holder, &info)) {
                if (info.peer_id > 0)
                        control_set_int(j, "peerId", info.peer_id);
                if (info.host[0])
                        control_set_string(j, "host", slice_of(info.host));
                if (info.rtt_usec > 0)
                        control_set_int(j, "rttUSec", info.rtt_usec);
        }
        return j;
}

/* ---- the texts of one number ---- */

void control_texts(ControlTexts *t, const RfcIndex *x, const TrustConf *trust, uint32_t number, const Now *now) {
        t->n = MIN_OF(trust_texts(x, trust, number, now, t->texts, CONTROL_TEXTS_MAX), (size_t) CONTROL_TEXTS_MAX);
}

Grade control_texts_grade(const ControlTexts *t, const Digest *digest) {
        for (size_t i = 0; i < t->n; i++)
                if (digest_equal(&t->texts[i].digest, digest))
                        return t->texts[i].grade;
        /* There are more, and they are no better than the last of these. */
        return t->n > 0 ? t->texts[t->n - 1].grade : GRADE_SINGLE;
}
