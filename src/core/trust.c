/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/trust.h"

typedef enum Voice {
        VOICE_FIRST_HAND,
        VOICE_HEARSAY,
        VOICE_OWN,
} Voice;

/* Somebody has a text. */
typedef struct Statement {
        Digest digest;
        Voice voice;
        Address prefix;                 /* of the holder; zero but for VOICE_FIRST_HAND */
        uint64_t size;
} Statement;

/* All that is said of one number: the statements about one text behind one another, and the same prefixes within. */
typedef struct Poll {
        const Digest *verified;         /* by the manifest; NULL: it says nothing */
        unsigned quorum;
        size_t n_stated;                /* texts that a holder states himself */
        size_t most;                    /* prefixes of the text that has most */
        bool tied;                      /* more than one has */
        size_t n_records;               /* that were looked at */
        size_t n;
        Statement statements[TRUST_RECORDS_MAX + 1];
} Poll;

/*
 * Sorted, not hashed: no table of texts that many false ones could fill, and no hash that they could be chosen to
 * collide in.
 */
static int compare_statements(const void *a, const void *b) {
        const Statement *x = a, *y = b;
        int c = memcmp(&x->digest, &y->digest, sizeof(x->digest));
        if (c != 0)
                return c;
        if (x->voice != y->voice)
                return x->voice < y->voice ? -1 : 1;
        return memcmp(&x->prefix, &y->prefix, sizeof(x->prefix));
}

static void poll_collect(Poll *p, const RfcIndex *x, uint32_t number, const Now *now) {
        uint32_t cursor = 0;
        RfcRecord rec;

        p->n = p->n_records = 0;
        while (p->n_records < TRUST_RECORDS_MAX && rfc_index_next_record(x, number, &cursor, &rec)) {
                p->n_records++;
                if (now->boottime >= rec.expires_at)
                        continue;
                p->statements[p->n++] = (Statement){
                        .digest = rec.digest,
                        .voice = rec.first_hand ? VOICE_FIRST_HAND : VOICE_HEARSAY,
                        .prefix = rec.first_hand ? address_source(&rec.holder.address) : (Address){},
                        .size = rec.size,
                };
        }
        if (rfc_index_get_own(x, number, &rec))
                p->statements[p->n++] = (Statement){ .digest = rec.digest, .voice = VOICE_OWN, .size = rec.size };
        if (p->n > 1)
                qsort(p->statements, p->n, sizeof(*p->statements), compare_statements);
}

/*
 * The text whose statements begin at *at, which moves on to the next one; without its grade. Who states the right digest
 * may lie about the size: what more than half of them state, if that is so, is left over when different ones have
 * cancelled each other out.
 */
static TrustText poll_next(const Poll *p, size_t *at) {
        const Statement *first = &p->statements[*at];
        TrustText t = { .digest = first->digest, .size = first->size };
        size_t votes = 0;

        for (const Statement *s = first; *at < p->n && digest_equal(&s->digest, &t.digest); s = &p->statements[++*at]) {
                if (s->voice == VOICE_OWN)
                        t.own = true;
                else if (s->voice == VOICE_HEARSAY)
                        t.n_hearsay++;
                else {
                        t.n_holders++;
                        t.n_prefixes += s == first || !address_equal(&s->prefix, &s[-1].prefix);
                }
                if (votes == 0)
                        t.size = s->size;
                votes += s->size == t.size ? 1 : -1;
        }
        return t;
}

static void poll_open(Poll *p, const RfcIndex *x, const TrustConf *conf, uint32_t number, const Now *now) {
        assert(conf->quorum >= 1);

        p->verified = conf->manifest ? manifest_get(conf->manifest, number) : NULL;
        p->quorum = conf->quorum;
        p->n_stated = p->most = 0;
        p->tied = false;
        poll_collect(p, x, number, now);
        for (size_t at = 0; at < p->n;) {
                TrustText t = poll_next(p, &at);
                if (t.n_prefixes == 0)
                        continue;
                p->n_stated++;
                p->tied = t.n_prefixes == p->most || (p->tied && t.n_prefixes < p->most);
                p->most = MAX_OF(p->most, t.n_prefixes);
        }
}

static Grade poll_grade(const Poll *p, const TrustText *t) {
        if (p->verified)
                return digest_equal(p->verified, &t->digest) ? GRADE_VERIFIED : GRADE_DISPUTED;
        if (t->n_prefixes >= p->quorum && t->n_prefixes == p->most && !p->tied)
                return GRADE_AGREED;
        /* The only one that a holder states, or none is. */
        return p->n_stated == (t->n_prefixes > 0 ? 1 : 0) ? GRADE_SINGLE : GRADE_DISPUTED;
}

static bool is_better(const TrustText *a, const TrustText *b) {
        if (a->grade != b->grade)
                return a->grade > b->grade;
        if (a->n_prefixes != b->n_prefixes)
                return a->n_prefixes > b->n_prefixes;
        if (a->own != b->own)
                return a->own;
        if (a->n_holders != b->n_holders)
                return a->n_holders > b->n_holders;
        return memcmp(&a->digest, &b->digest, sizeof(a->digest)) < 0;
}

/* Among the best n of the n_all before it. */
static void put_text(TrustText *ret, size_t n, size_t n_all, const TrustText *t) {
        size_t at = MIN_OF(n, n_all);

        if (n == 0 || (at == n && !is_better(t, &ret[n - 1])))
                return;
        at = MIN_OF(at, n - 1);
        for (; at > 0 && is_better(t, &ret[at - 1]); at--)
                ret[at] = ret[at - 1];
        ret[at] = *t;
}

size_t trust_texts(const RfcIndex *x, const TrustConf *conf, uint32_t number, const Now *now, TrustText *ret, size_t n) {
        size_t n_all = 0;
        Poll p;

        poll_open(&p, x, conf, number, now);
        for (size_t at = 0; at < p.n; n_all++) {
                TrustText t = poll_next(&p, &at);
                t.grade = poll_grade(&p, &t);
                put_text(ret, n, n_all, &t);
        }
        return n_all;
}

bool trust_number(const RfcIndex *x, const TrustConf *conf, uint32_t number, const Now *now, TrustNumber *ret,
                  size_t *n_records) {
        TrustText best = {};
        Poll p;

        poll_open(&p, x, conf, number, now);
        *n_records += MAX_OF(p.n_records, (size_t) 1);
        if (p.n == 0)
                return false;
        *ret = (TrustNumber){ .n_holders = p.n };
        for (size_t at = 0; at < p.n; ret->n_texts++) {
                TrustText t = poll_next(&p, &at);
                t.grade = poll_grade(&p, &t);
                if (t.own || (!best.own && (ret->n_texts == 0 || is_better(&t, &best))))
                        best = t;
        }
        ret->text = best;
        return true;
}

bool trust_survey(const RfcIndex *x, const TrustConf *conf, uint32_t *after, size_t max_records, const Now *now,
                  TrustSurvey *s) {
        size_t n_records = 0;

        while (n_records < max_records) {
                TrustNumber n;
                uint32_t number = rfc_index_next_number(x, *after, now);
                if (number == 0)
                        return false;
                *after = number;
                if (!trust_number(x, conf, number, now, &n, &n_records))
                        continue;
                s->n_at_risk += n.n_holders == 1;
                s->n_disputed += n.text.grade == GRADE_DISPUTED;
        }
        return true;
}
