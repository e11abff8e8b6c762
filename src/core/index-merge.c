/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IndexMerge: an answer to RFCQuery on its way into the index. It is parsed aside, whole (index-merge-lines.c), and only
 * then goes in, by slices between which the index may change. What counts is when the request was sent: a record stated
 * later than that is not touched, and one of the source stated before, and not again here, is gone.
 */
#include <errno.h>

#include "core/index-merge-internal.h"

/* ---- putting it in ---- */

static bool is_self(const IndexMerge *m, const Endpoint *e) {
        for (size_t i = 0; i < m->conf.n_self; i++)
                if (endpoint_equal(&m->conf.self[i], e))
                        return true;
        return false;
}

/* The source was forgotten meanwhile, and its word of then with it. */
static bool is_forgotten(const IndexMerge *m, const RfcIndex *x, uint32_t source) {
        return m->conf.sent_at < index_peer(x, source)->forgotten_before;
}

/* The answer to a later request tells, or has told, of all that the source has. */
static bool is_stale(const IndexMerge *m, const RfcIndex *x, uint32_t source) {
        const IndexPeer *p = index_peer(x, source);
        return MAX_OF(p->filling_at, p->confirmed_at) > m->conf.sent_at || is_forgotten(m, x, source);
}

/*
 * Every statement goes to the front of its source's list, so what was stated before this answer, and not again, is at
 * the end.
 */
static bool has_old(const IndexMerge *m, const RfcIndex *x, uint32_t source) {
        uint32_t id = index_peer(x, source)->stated[INDEX_FIRST_HAND].last;
        return id != 0 && index_record(x, id)->stated_at < m->conf.sent_at;
}

static bool remove_old(IndexMerge *m, RfcIndex *x, uint32_t source) {
        if (!has_old(m, x, source))
                return false;

        IndexPeer *p = index_peer(x, source);
        bool filling = p->filling;
        index_record_remove(x, p->stated[INDEX_FIRST_HAND].last);
        p->filling = filling;           /* that was no loss */
        m->result.n_removed++;
        return true;
}

/* A source that may not have more can still have others than before; and what was asked for is worth most. */
static bool make_room(IndexMerge *m, RfcIndex *x, uint32_t source, bool own, const IndexStatement *s) {
        const IndexKind kind = own ? INDEX_FIRST_HAND : INDEX_HEARSAY;

        if (index_make_room(x, source, kind, s))
                return true;
        if (m->conf.kind == INDEX_MERGE_SET)
                return index_make_room_of_own(x, source, kind, s);
        /* What a delta does not tell of is as it was. */
        while (own && m->conf.kind != INDEX_MERGE_DELTA && remove_old(m, x, source))
                if (index_has_room(x, s))
                        return true;
        return false;
}

static int add(IndexMerge *m, RfcIndex *x, uint32_t holder, uint32_t source, const IndexStatement *s) {
        bool own = holder == source;
        if (!make_room(m, x, source, own, s)) {
                m->result.n_ignored++;
                m->incomplete |= own;
                return 0;
        }
        int r = index_record_add(x, holder, source, s);
        if (r < 0)
                return r;
        m->result.n_added++;
        return 0;
}

static int restate(IndexMerge *m, RfcIndex *x, uint32_t id, uint32_t source, const IndexStatement *s) {
        const IndexRecord *rec = index_record(x, id);
        bool same = rec->source == source && !index_record_forgotten(x, rec) &&
                    index_doc_equal(index_doc(x, rec->doc), s);
        int r = index_record_restate(x, id, source, s);
        if (r < 0)
                return r;
        if (same)
                m->result.n_confirmed++;
        else
                m->result.n_added++;
        return 0;
}

static int put_own(IndexMerge *m, RfcIndex *x, uint32_t source, const IndexStatement *s) {
        uint32_t id = index_record_find(x, s->number, source);
        if (id == 0)
                return add(m, x, source, source, s);

        const IndexRecord *rec = index_record(x, id);
        if (index_record_kind(rec) == INDEX_FIRST_HAND && rec->stated_at > s->stated_at) {
                m->result.n_ignored++;
                return 0;
        }
        return restate(m, x, id, source, s);
}

/* Hearsay only shortens: no live first-hand record and no longer life gives way to it. */
static int put_hearsay(IndexMerge *m, RfcIndex *x, uint32_t holder, uint32_t source, const IndexStatement *s,
                       const Now *now) {
        uint32_t id = index_record_find(x, s->number, holder);
        const IndexRecord *rec = id != 0 ? index_record(x, id) : NULL;
        if (rec && index_record_alive(x, rec, now) &&
            (index_record_kind(rec) == INDEX_FIRST_HAND ||
             index_record_expires_at(x, rec) >= usec_add(s->stated_at, s->ttl_sec * USEC_PER_SEC))) {
                m->result.n_ignored++;
                return 0;
        }
        if (rec && index_record_kind(rec) == INDEX_HEARSAY)
                return restate(m, x, id, source, s);
        /* Of one number no more than a few: also where it takes the place of what a holder said once. */
        if (!index_make_room_in_number(x, source, s, now)) {
                m->result.n_ignored++;
                return 0;
        }
        return rec ? restate(m, x, id, source, s) : add(m, x, holder, source, s);
}

/* Of what is not here it changes nothing: the document may have come and gone since the generation of the copy. */
static void put_removal(IndexMerge *m, RfcIndex *x, uint32_t source, uint32_t number) {
        uint32_t id = index_record_find(x, number, source);
        const IndexRecord *rec = id != 0 ? index_record(x, id) : NULL;
        if (!rec || is_stale(m, x, source) || index_record_kind(rec) != INDEX_FIRST_HAND ||
            index_record_forgotten(x, rec) || rec->stated_at > m->conf.sent_at) {
                m->result.n_ignored++;
                return;
        }

        IndexPeer *p = index_peer(x, source);
        bool filling = p->filling, whole = p->whole;
        index_record_remove(x, id);
        p->filling = filling;           /* that was no loss */
        p->whole = whole;
        m->result.n_removed++;
}

static int put_line(IndexMerge *m, RfcIndex *x, uint32_t source, const MergeLine *l, const Now *now) {
        if (l->removed) {
                put_removal(m, x, source, l->number);
                return 0;
        }

        IndexStatement s = {
                .number = l->number,
                .ttl_sec = MIN_OF(l->ttl_sec, rfc_index_ttl_sec(x)),
                .size = l->size,
                .digest = l->digest,
                .title = index_merge_title(m, l),
                .stated_at = m->conf.sent_at,
        };
        bool late = usec_add(s.stated_at, s.ttl_sec * USEC_PER_SEC) <= now->boottime;
        /* Of itself a peer says "-"; under its address it would be hearsay about its own word. */
        bool odd = !l->self && endpoint_equal(&l->holder, &m->conf.source);
        bool stale = l->self ? is_stale(m, x, source) : is_forgotten(m, x, source);
        if (late || odd || stale || is_self(m, &l->holder)) {
                m->result.n_ignored++;
                m->incomplete |= l->self;
                return 0;
        }
        if (l->self)
                return put_own(m, x, source, &s);

        uint32_t holder;
        int r = index_peer_ref(x, &l->holder, &holder);
        if (r < 0)
                return r;
        r = put_hearsay(m, x, holder, source, &s, now);
        index_peer_unref(x, holder);
        return r;
}

static int put(IndexMerge *m, RfcIndex *x, uint32_t source, size_t *n_left, const Now *now) {
        for (; m->n_put < m->n_lines; m->n_put++) {
                if (*n_left == 0)
                        return RFC_INDEX_MORE;
                (*n_left)--;
                int r = put_line(m, x, source, &m->lines[m->n_put], now);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- what was not stated again ---- */

static int remove_rest(IndexMerge *m, RfcIndex *x, uint32_t source, size_t *n_left) {
        for (; has_old(m, x, source); (*n_left)--) {
                if (*n_left == 0)
                        return RFC_INDEX_MORE;
                (void) remove_old(m, x, source);        /* there is one */
        }
        return 0;
}

static int remove_range(IndexMerge *m, RfcIndex *x, uint32_t source, RfcRange range, size_t *n_left) {
        IndexNumber *n = index_number_at_least(x, MAX_OF(range.first, m->next_number));
        while (n && n->number <= range.last) {
                if (*n_left == 0)
                        return RFC_INDEX_MORE;
                (*n_left)--;
                m->next_number = n->number + 1;
                uint32_t id = index_record_find(x, n->number, source);
                n = index_number_next(n);
                if (id == 0)
                        continue;
                const IndexRecord *rec = index_record(x, id);
                if (index_record_kind(rec) != INDEX_FIRST_HAND || rec->stated_at >= m->conf.sent_at ||
                    index_record_forgotten(x, rec))
                        continue;
                index_record_remove(x, id);
                m->result.n_removed++;
        }
        return 0;
}

/* By number, since numbers stay what they are between slices, as links between records don't. */
static int remove_asked(IndexMerge *m, RfcIndex *x, uint32_t source, size_t *n_left) {
        const RfcSet *set = m->conf.set;
        for (size_t i = 0; i < set->n_ranges; i++) {
                if (set->ranges[i].last < m->next_number)
                        continue;
                int r = remove_range(m, x, source, set->ranges[i], n_left);
                if (r != 0)
                        return r;
        }
        return 0;
}

static void begin(IndexMerge *m, RfcIndex *x, uint32_t source) {
        if (m->begun)
                return;
        m->begun = true;
        if (m->conf.kind == INDEX_MERGE_SET || m->conf.kind == INDEX_MERGE_DELTA || is_stale(m, x, source))
                return;
        index_peer(x, source)->filling = true;
        index_peer(x, source)->filling_at = m->conf.sent_at;
}

/*
 * All that the source has is in: whatever of it is known first-hand lives anew. A delta makes nothing whole that was not
 * so before.
 */
static void confirm(IndexMerge *m, RfcIndex *x, uint32_t source) {
        IndexPeer *p = index_peer(x, source);
        p->confirmed_at = m->conf.sent_at;
        if (m->conf.kind == INDEX_MERGE_DELTA) {
                size_t n = p->stated[INDEX_FIRST_HAND].n;
                m->result.n_confirmed = n - MIN_OF(n, m->result.n_added);
                p->whole = p->whole && !m->incomplete;
                return;
        }
        p->whole = p->filling && !m->incomplete;
        p->filling = false;
}

static int step(IndexMerge *m, RfcIndex *x, uint32_t source, size_t n_left, const Now *now) {
        bool replaces = m->conf.kind == INDEX_MERGE_ALL || m->conf.kind == INDEX_MERGE_OWN;
        int r = 0;

        begin(m, x, source);
        if (m->phase == MERGE_PUTTING) {
                r = put(m, x, source, &n_left, now);
                if (r != 0)
                        return r;
                m->phase = MERGE_REMOVING;
        }
        if (m->phase == MERGE_REMOVING && !is_stale(m, x, source)) {
                if (replaces)
                        r = remove_rest(m, x, source, &n_left);
                else if (m->conf.kind == INDEX_MERGE_SET)
                        r = remove_asked(m, x, source, &n_left);
                if (r != 0)
                        return r;
                if (m->conf.kind != INDEX_MERGE_SET)
                        confirm(m, x, source);
        }
        m->phase = MERGE_DONE;
        return 0;
}

int index_merge_step(IndexMerge *m, RfcIndex *x, size_t max_records, const Now *now, IndexMergeResult *ret) {
        assert(m->phase >= MERGE_PUTTING);
        assert(max_records > 0);

        /* What has expired must not take the place of something new. */
        if (index_is_full(x))
                (void) rfc_index_expire(x, now, max_records);

        uint32_t source;
        int r = index_peer_ref(x, &m->conf.source, &source);
        if (r < 0)
                return r;
        r = step(m, x, source, max_records, now);
        index_peer_unref(x, source);
        if (r == 0)
                *ret = m->result;
        return r;
}
