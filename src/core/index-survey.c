/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/rfc-index-internal.h"
#include "core/rfc-index.h"

/* What is known of one number. */
typedef struct Found {
        size_t n_holders;
        const Digest *stated;           /* the first of those that count, or NULL */
        bool disputed;
} Found;

static void find_digest(Found *f, const Digest *digest) {
        if (!f->stated)
                f->stated = digest;
        else if (!digest_equal(f->stated, digest))
                f->disputed = true;
}

/* Gives how many records it looked at. */
static size_t find_others(const RfcIndex *x, const IndexNumber *n, const Now *now, Found *f) {
        size_t n_records = 0;

        for (uint32_t id = n->first; id != 0; id = index_record(x, id)->number_next) {
                const IndexRecord *rec = index_record(x, id);
                n_records++;
                if (!index_record_alive(x, rec, now))
                        continue;
                f->n_holders++;
                if (index_record_kind(rec) == INDEX_FIRST_HAND)
                        find_digest(f, &index_doc(x, rec->doc)->digest);
        }
        return n_records;
}

bool rfc_index_survey(const RfcIndex *x, uint32_t *after, size_t max_records, const Now *now, IndexSurvey *s) {
        if (*after >= RFC_NUMBER_MAX)
                return false;

        IndexOwn *o = index_own_at_least(x, *after + 1);
        IndexNumber *n = index_number_at_least(x, *after + 1);
        for (size_t n_records = 0; (o || n) && n_records < max_records;) {
                const uint32_t number = !n || (o && o->number < n->number) ? o->number : n->number;
                Found f = {};
                if (o && o->number == number) {
                        f.n_holders++;
                        find_digest(&f, &index_doc(x, o->doc)->digest);
                        n_records++;
                        o = index_own_next(o);
                }
                if (n && n->number == number) {
                        n_records += find_others(x, n, now, &f);
                        n = index_number_next(n);
                }
                s->n_at_risk += f.n_holders == 1;
                s->n_disputed += f.disputed;
                *after = number;
        }
        return o || n;
}
