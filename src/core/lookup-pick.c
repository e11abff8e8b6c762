/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/lookup-internal.h"

#include <errno.h>

/*
 * Records looked at in one go; those of one number are rarely more, and beyond it the table of holders is walked
 * instead.
 */
#define RECORDS_AT_ONCE 64
/* So many holders that can't be reached, and what is known of others by their last word is doubted, too. */
#define DOUBT_AFTER 2

static int compare_try(const Try *a, const Try *b) {
        return endpoint_compare(&a->peer, &b->peer);
}

RB_GENERATE_INTERNAL(TryTree, Try, node, compare_try, __attribute__((unused)) static)

Try *lookup_find_try(Lookup *l, const Endpoint *peer) {
        Try key = { .peer = *peer };
        return RB_FIND(TryTree, &l->tries, &key);
}

int lookup_find_or_add_try(Lookup *l, const Endpoint *peer, Try **ret) {
        Try *t = lookup_find_try(l, peer);
        if (!t) {
                t = calloc(1, sizeof(Try));
                if (!t)
                        return -ENOMEM;
                t->peer = *peer;
                RB_INSERT(TryTree, &l->tries, t);
                l->n_tries++;
        }
        *ret = t;
        return 0;
}

void lookup_free_tries(Lookup *l) {
        for (Try *t; (t = RB_MIN(TryTree, &l->tries));) {
                RB_REMOVE(TryTree, &l->tries, t);
                free(t);
        }
}

unsigned lookup_n_asking(const Lookup *l) {
        return l->n_dialled + l->n_hanging + l->n_connected;
}

/* Peers can come and go faster than they are tried: without this bound a lookup might never end. */
static bool may_try(const Lookup *l, const Try *t) {
        return t || l->n_tries < HOLDERS_MAX;
}

/* ---- whom to fetch from ------------------------------------------------------------------------------------------ */

/*
 * Texts of the number, with their grades: what is not among them is disputed. To grade them is what costs most, and mostly
 * there is nothing new: whoever could be asked was.
 */
typedef struct Texts {
        const RfcIndex *index;
        const TrustConf *trust;
        bool known;                     /* all and n are set */
        TrustText all[TRUST_TEXTS_MAX];
        size_t n;
} Texts;

static const TrustText *find_text(const Texts *texts, const Digest *digest) {
        for (size_t i = 0; i < texts->n; i++)
                if (digest_equal(&texts->all[i].digest, digest))
                        return &texts->all[i];
        return NULL;
}

static bool is_accepted(const Lookup *l, const TrustText *text) {
        return text->grade > GRADE_DISPUTED && text->grade >= l->conf.accept;
}

static void know_texts(const Lookup *l, Texts *texts, const Now *now, Pick *pick) {
        if (texts->known)
                return;
        texts->n = trust_texts(texts->index, texts->trust, l->conf.number, now, texts->all, ELEMENTSOF(texts->all));
        texts->n = MIN_OF(texts->n, ELEMENTSOF(texts->all));
        texts->known = true;
        pick->acceptable = texts->n > 0 && is_accepted(l, &texts->all[0]);
}

/* May the record's text be taken? If not, the best of those is remembered. */
static bool is_acceptable(const Lookup *l, Texts *texts, const RfcRecord *record, const Now *now, Pick *pick) {
        know_texts(l, texts, now, pick);
        const TrustText *text = find_text(texts, &record->digest);

        if (text && is_accepted(l, text))
                return true;
        if (text && (!pick->refused || text->grade > pick->best.grade))
                pick->best = *text;
        pick->refused = true;
        return false;
}

/* Is the holder at hand a better one than that of the pick? */
static bool is_better(const Lookup *l, const Holders *h, const RfcRecord *record, bool answered, const Pick *pick) {
        if (!pick->found)
                return true;
        if (pick->record.first_hand != record->first_hand)
                return record->first_hand;
        /* Who has just answered is there; of the others that is only hoped. */
        if (pick->answered != answered)
                return answered;
        int order = l->conf.known_only ? holders_compare_load(h, &pick->record.holder, &record->holder) :
                                         holders_compare(h, &pick->record.holder, &record->holder);
        return order > 0;
}

static void consider(Lookup *l, const Holders *h, Texts *texts, const RfcRecord *record, const Now *now, Pick *pick) {
        const Try *t = lookup_find_try(l, &record->holder);
        if (!may_try(l, t) || (t && (t->spent || t->fetching)))
                return;

        if (!holders_may_dial(h, &record->holder, l->servers_away, now)) {
                HolderInfo info;
                if (holders_get(h, &record->holder, &info) && info.quarantined_until > now->boottime)
                        pick->quarantined |= info.listed || info.is_static || (l->servers_away && info.last_known);
                return;
        }

        if (!is_acceptable(l, texts, record, now, pick))
                return;
        bool answered = t && t->answered;
        if (!is_better(l, h, record, answered, pick))
                return;
        pick->found = true;
        pick->record = *record;
        pick->answered = answered;
}

void lookup_pick_holder(Lookup *l, const RfcIndex *x, const Holders *h, const TrustConf *trust, const Now *now,
                        Pick *ret) {
        RfcRecord records[RECORDS_AT_ONCE];
        Pick pick = { 0 };
        Texts texts;

        texts.index = x;
        texts.trust = trust;
        texts.known = false;
        size_t n = rfc_index_find(x, l->conf.number, now, records, ELEMENTSOF(records));
        for (size_t i = 0; i < MIN_OF(n, ELEMENTSOF(records)); i++)
                consider(l, h, &texts, &records[i], now, &pick);

        /* More than were looked at, and no good one among the first: false holders by the thousand must not hide the
         * true one. */
        if (n > ELEMENTSOF(records) && !(pick.found && pick.record.first_hand)) {
                HolderInfo info;
                for (bool more = holders_next(h, NULL, &info); more; more = holders_next(h, &info.endpoint, &info)) {
                        RfcRecord record;
                        if (rfc_index_get(x, l->conf.number, &info.endpoint, now, &record))
                                consider(l, h, &texts, &record, now, &pick);
                }
        }
        *ret = pick;
}

/* ---- whom to ask ------------------------------------------------------------------------------------------------- */

/*
 * Has it told lately all that it has? Not if some of that was evicted here since: then the index can't speak for it.
 * Nor where holders turn out to be gone: all of them may be, but the one who will be found by asking.
 */
static bool is_fresh(const Lookup *l, const RfcIndex *x, const HolderInfo *info, const Now *now) {
        if (l->n_gone >= DOUBT_AFTER && info->seen_at < l->began_at)
                return false;
        return info->confirmed_at != 0 && usec_sub(now->boottime, info->confirmed_at) < l->conf.fresh_usec &&
               (rfc_index_is_whole(x, &info->endpoint) || rfc_index_count_source(x, &info->endpoint) == 0);
}

static bool is_due(const Lookup *l, const Try *t, const Now *now) {
        return t->busy && !t->gone && now->boottime >= l->busy_until;
}

static bool worth_asking(Lookup *l, const RfcIndex *x, const Holders *h, const Endpoint *peer, const Now *now) {
        const Try *t = lookup_find_try(l, peer);
        if (!may_try(l, t) || (t && (t->asked || t->gone || t->fetching) && !is_due(l, t, now)))
                return false;
        if (!holders_may_dial(h, peer, l->servers_away, now))
                return false;

        HolderInfo info;
        if (!holders_get(h, peer, &info))
                return false;
        if (is_fresh(l, x, &info, now)) {
                l->any_answer = true;
                return false;
        }
        return true;
}

static bool next_in_queue(Lookup *l, const RfcIndex *x, const Holders *h, const Now *now, Endpoint *ret) {
        for (; l->queue_at < l->n_queue; l->queue_at++)
                if (worth_asking(l, x, h, &l->queue[l->queue_at], now)) {
                        *ret = l->queue[l->queue_at];
                        return true;
                }
        return false;
}

int lookup_pick_peer(Lookup *l, const RfcIndex *x, const Holders *h, const Now *now, bool *ret_found, Endpoint *ret) {
        if (next_in_queue(l, x, h, now, ret)) {
                *ret_found = true;
                return 0;
        }
        /* Who has come since the queue was filled is seen when it has run dry, once: filling costs a walk over all. */
        if (lookup_n_asking(l) > 0) {
                *ret_found = false;
                return 0;
        }

        size_t n = holders_dialable(h, l->servers_away, now, NULL, 0);
        Endpoint *queue = reallocarray(l->queue, MAX_OF(n, (size_t) 1), sizeof(Endpoint));
        if (!queue)
                return -ENOMEM;
        l->queue = queue;
        l->n_queue = holders_dialable(h, l->servers_away, now, queue, n);
        l->queue_at = 0;
        *ret_found = next_in_queue(l, x, h, now, ret);
        return 0;
}
