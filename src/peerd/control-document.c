/* SPDX-License-Identifier: BSD-2-Clause */
/* What documents and their holders look like in replies: the types Document and Holder. */
#include "peerd/control-internal.h"

static void set_record(json_t *j, const RfcRecord *r) {
        control_set_int(j, "number", r->number);
        control_set_int(j, "size", r->size);
        control_set_digest(j, &r->digest);
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

json_t *control_document(const RfcIndex *x, const RfcMeta *meta, uint32_t number, const Now *now) {
        RfcRecord own, other;
        bool local = rfc_index_get_own(x, number, &own);
        size_t n_holders = rfc_index_find(x, number, now, &other, 1);
        const RfcRecord *r = local ? &own : &other;
        Slice title;

        if (!local && n_holders == 0)
                return NULL;
        /* Others may call it what they like. */
        if (!meta || !rfc_meta_title(meta, number, &title))
                title = r->title;
        json_t *j = json_object();
        set_record(j, r);
        control_set_string(j, "title", title);
        control_set_bool(j, "local", local);
        control_set_int(j, "holders", n_holders);
        control_set_status(j, meta, number);
        return j;
}

void control_document_add_path(json_t *document, const Library *l) {
        _cleanup_free_ char *path = NULL;
        uint32_t number = (uint32_t) json_integer_value(json_object_get(document, "number"));

        if (json_is_true(json_object_get(document, "local")) && library_path(l, number, &path) == 0)
                control_set_string(document, "path", slice_of(path));
}

/* ---- Holder ---- */

json_t *control_holder_self(const RfcRecord *own) {
        json_t *j = json_object();
        set_record(j, own);
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

json_t *control_holder(const RfcRecord *r, const Holders *h, bool servers_away, const Now *now) {
        HolderInfo info;
        json_t *j = json_object();
        set_record(j, r);
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
