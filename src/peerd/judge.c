/* SPDX-License-Identifier: BSD-2-Clause */
/* What a document that comes from a holder is worth, what the holder says by sending it, and what a fault of his costs. */
#include "peerd/client-internal.h"

#include <errno.h>

#include "io/conf-values.h"
#include "io/log.h"
#include "io/loop.h"

bool judge_digest(Client *c, uint32_t number, const Digest *digest, Grade *ret_grade, size_t *ret_agreeing) {
        Documents *d = c->conf.documents;
        TrustText texts[TRUST_TEXTS_MAX];
        Grade grade = GRADE_DISPUTED;           /* of what is not among them */
        size_t n_agreeing = 0;
        Now now;

        now_of_event(c->event, &now);
        const RfcIndex *x = documents_lock(d);
        size_t n = trust_texts(x, documents_trust(d), number, &now, texts, ELEMENTSOF(texts));
        documents_unlock(d);
        for (size_t i = 0; i < MIN_OF(n, ELEMENTSOF(texts)); i++)
                if (digest_equal(&texts[i].digest, digest)) {
                        grade = texts[i].grade;
                        n_agreeing = texts[i].n_prefixes;
                }
        *ret_grade = grade;
        *ret_agreeing = n_agreeing;
        return grade > GRADE_DISPUTED && grade >= c->settings.accept;
}

/* As the answer to an RFCQuery about that number would: by the one way in which statements come into the index. */
int judge_statement(Client *c, const Endpoint *holder, const RfcRecord *stated, usec_t sent_at) {
        const IndexLine line = {
                .number = stated->number,
                .ttl_sec = UINT32_MAX,          /* cut to what is believed of others */
                .self = true,
                .size = stated->size,
                .digest = stated->digest,
                .title = stated->title,
        };
        RfcRange range = { stated->number, stated->number };
        const RfcSet set = { .ranges = &range, .n_ranges = 1 };
        const IndexMergeConf conf = {
                .kind = INDEX_MERGE_SET,
                .source = *holder,
                .set = &set,
                .self = c->self,
                .n_self = c->n_self,
                .sent_at = sent_at,
        };
        const size_t max_records = 16;          /* one goes in, one of that number may go */
        _cleanup_buf_ Buf body = BUF_INIT(PROTO_INDEX_LINE_MAX);
        _cleanup_(index_merge_free_p) IndexMerge *merge = NULL;
        IndexMergeResult result;
        Now now;

        int k = proto_write_index_line(&body, &line, false);
        if (k == 0)
                k = index_merge_new(&conf, &merge);
        if (k == 0)
                k = index_merge_feed(merge, buf_slice(&body));
        if (k == 0)
                k = index_merge_end(merge);
        if (k != 0)
                return k < 0 ? k : -EBADMSG;    /* our own line */
        now_of_event(c->event, &now);
        k = index_merge_step(merge, documents_lock(c->conf.documents), max_records, &now, &result);
        documents_unlock(c->conf.documents);
        assert(k != RFC_INDEX_MORE);
        pull_arm_expiry(c);
        return MIN_OF(k, 0);
}

usec_t judge_fault(Client *c, const Endpoint *peer, const char *why, LogFields f) {
        char text[ENDPOINT_TEXT_SIZE], how_long[64];
        Now now;

        now_of_event(c->event, &now);
        endpoint_to_text(peer, text);
        usec_t span = holders_fault(c->holders, peer, &now);
        pulls_distrust(c, peer);
        conf_format_time(span, how_long, sizeof(how_long));
        f.has_entries = true;
        f.entries_removed = rfc_index_forget_source(documents_lock(c->conf.documents), peer);
        documents_unlock(c->conf.documents);
        pull_arm_expiry(c);                     /* their memory goes by slices */
        f.result = "quarantined";
        f.peer = peer;
        log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_QUARANTINED, &f, "%s is quarantined for %s: %s.", text, how_long, why);
        return span;
}
