/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/editor-index.h"

#include <errno.h>

/* It is as many days ahead of this host's clock as a clock or a time zone may be wrong by. */
#define AHEAD_DAYS_MAX 1
/* Entries that one may lack which the held one has: one in so many. */
#define LOSS_SHARE 20

struct EditorIndex {
        EditorStatement statements[EDITOR_STATEMENTS_MAX];      /* the oldest first */
        size_t n;
        Digest refused[EDITOR_REFUSED_MAX];     /* a ring */
        size_t n_refused, next_refused;
};

const char *editor_answer_text(EditorAnswer a) {
        static const char *const texts[_EDITOR_ANSWER_MAX] = {
                [EDITOR_TAKE] = "is taken",
                [EDITOR_NONE] = "is held by nobody",
                [EDITOR_EMPTY] = "names no RFC",
                [EDITOR_TOO_BIG] = "is bigger than 64 MiB",
                [EDITOR_UNDATED] = "does not say when it was made",
                [EDITOR_FUTURE] = "was made more than a day from now",
                [EDITOR_LOSES] = "lacks more than 5 % of the entries that are known",
                [EDITOR_NO_NEWS] = "is not newer than the one that is known",
                [EDITOR_BELOW] = "is disputed, or stated by too few",
        };
        return texts[a];
}

int editor_index_new(EditorIndex **ret) {
        EditorIndex *e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;
        *ret = e;
        return 0;
}

EditorIndex *editor_index_free(EditorIndex *e) {
        free(e);
        return NULL;
}

/* ---- what is said ---- */

static void remove_at(EditorIndex *e, size_t i) {
        memmove(e->statements + i, e->statements + i + 1, (e->n - i - 1) * sizeof(e->statements[0]));
        e->n--;
}

/* e->n: it has said nothing. */
static size_t find_peer(const EditorIndex *e, const Endpoint *peer) {
        size_t i = 0;
        while (i < e->n && !endpoint_equal(&e->statements[i].peer, peer))
                i++;
        return i;
}

void editor_index_forget(EditorIndex *e, const Endpoint *peer) {
        size_t i = find_peer(e, peer);
        if (i < e->n)
                remove_at(e, i);
}

static bool same_text(const EditorStatement *a, const EditorStatement *b) {
        return digest_equal(&a->digest, &b->digest) && a->created == b->created && a->size == b->size;
}

bool editor_index_state(EditorIndex *e, const EditorStatement *s) {
        size_t i = find_peer(e, &s->peer);
        bool news = i == e->n || !same_text(&e->statements[i], s);

        if (i < e->n)
                remove_at(e, i);
        if (e->n == EDITOR_STATEMENTS_MAX)
                remove_at(e, 0);
        e->statements[e->n++] = *s;
        return news;
}

bool editor_index_said(const EditorIndex *e, const Endpoint *peer, const Digest *digest, uint32_t *ret_created) {
        size_t i = find_peer(e, peer);
        if (i == e->n || !digest_equal(&e->statements[i].digest, digest))
                return false;
        *ret_created = e->statements[i].created;
        return true;
}

void editor_index_correct(EditorIndex *e, const Digest *digest, uint32_t created) {
        for (size_t i = 0; i < e->n; i++)
                if (digest_equal(&e->statements[i].digest, digest))
                        e->statements[i].created = created;
}

static bool is_refused(const EditorIndex *e, const Digest *digest) {
        for (size_t i = 0; i < e->n_refused; i++)
                if (digest_equal(&e->refused[i], digest))
                        return true;
        return false;
}

void editor_index_refuse(EditorIndex *e, const Digest *digest) {
        if (is_refused(e, digest))
                return;
        e->refused[e->next_refused] = *digest;
        e->next_refused = (e->next_refused + 1) % EDITOR_REFUSED_MAX;
        e->n_refused = MIN_OF(e->n_refused + 1, (size_t) EDITOR_REFUSED_MAX);
}

/* ---- grades ---- */

static bool is_live(const EditorStatement *s, const Now *now) {
        return s->until > now->boottime;
}

/* From how many address prefixes is that text of that day stated? */
static size_t count_prefixes(const EditorIndex *e, const Digest *digest, uint32_t created, const Now *now) {
        Address seen[EDITOR_STATEMENTS_MAX];
        size_t n = 0;

        for (size_t i = 0; i < e->n; i++) {
                const EditorStatement *s = &e->statements[i];
                const Address source = address_source(&s->peer.address);
                size_t k = 0;

                if (!is_live(s, now) || s->created != created || !digest_equal(&s->digest, digest))
                        continue;
                while (k < n && !address_equal(&seen[k], &source))
                        k++;
                if (k == n)
                        seen[n++] = source;
        }
        return n;
}

Grade editor_index_grade(const EditorIndex *e, const EditorConf *conf, const Digest *digest, uint32_t created,
                         const Now *now, size_t *ret_n_prefixes) {
        size_t n = count_prefixes(e, digest, created, now), n_most = 0;

        for (size_t i = 0; i < e->n; i++) {
                const EditorStatement *s = &e->statements[i];

                if (is_live(s, now) && s->created == created && !digest_equal(&s->digest, digest))
                        n_most = MAX_OF(n_most, count_prefixes(e, &s->digest, created, now));
        }
        if (ret_n_prefixes)
                *ret_n_prefixes = n;
        if (conf->has_manifest)
                return digest_equal(&conf->manifest, digest) ? GRADE_VERIFIED : GRADE_DISPUTED;
        if (n >= conf->quorum && n > n_most)
                return GRADE_AGREED;
        return n_most > 0 ? GRADE_DISPUTED : GRADE_SINGLE;
}

/* ---- the choice ---- */

/*
 * What is held gives way to a newer one; to one of its own day that a quorum states, and so not it; and what the manifest
 * does not name to what it names.
 */
static bool is_news(const EditorHeld *held, const Digest *digest, uint32_t created, Grade grade) {
        if (!held->has)
                return true;
        if (digest_equal(&held->digest, digest))
                return false;
        return created > held->created || grade == GRADE_VERIFIED || (created == held->created && grade >= GRADE_AGREED);
}

EditorAnswer editor_index_judge(const EditorConf *conf, const EditorHeld *held, const Digest *digest, uint64_t size,
                                uint32_t created, size_t n_entries, Grade grade, const Now *now) {
        const uint64_t today = now->realtime / USEC_PER_DAY;
        const bool verified = grade == GRADE_VERIFIED;

        if (size > RFC_META_BYTES_MAX)
                return EDITOR_TOO_BIG;
        if (created == 0 && !verified)
                return EDITOR_UNDATED;
        if (created > today + AHEAD_DAYS_MAX && !verified)
                return EDITOR_FUTURE;
        if (!is_news(held, digest, created, grade))
                return EDITOR_NO_NEWS;
        if (grade < MAX_OF(conf->accept, GRADE_SINGLE))
                return EDITOR_BELOW;
        if (n_entries > 0 && held->has && !verified && n_entries < held->n_entries - held->n_entries / LOSS_SHARE)
                return EDITOR_LOSES;
        return EDITOR_TAKE;
}

static bool is_better(const EditorStatement *s, Grade grade, const EditorChoice *than) {
        if ((grade == GRADE_VERIFIED) != (than->grade == GRADE_VERIFIED))
                return grade == GRADE_VERIFIED;
        if (s->created != than->created)
                return s->created > than->created;
        return grade > than->grade;
}

static void add_holders(const EditorIndex *e, const EditorStatement *text, const Now *now, EditorChoice *c) {
        /* The newest word first. */
        for (size_t i = e->n; i-- > 0 && c->n_holders < EDITOR_HOLDERS_MAX;)
                if (is_live(&e->statements[i], now) && same_text(&e->statements[i], text))
                        c->holders[c->n_holders++] = e->statements[i].peer;
}

EditorAnswer editor_index_choose(const EditorIndex *e, const EditorConf *conf, const EditorHeld *held, const Now *now,
                                 EditorChoice *ret) {
        const EditorStatement *best = NULL;
        EditorChoice choice = { .n_holders = 0 };

        if (held->own)
                return EDITOR_NONE;
        for (size_t i = 0; i < e->n; i++) {
                const EditorStatement *s = &e->statements[i];

                if (!is_live(s, now) || is_refused(e, &s->digest) || (best && same_text(s, best)))
                        continue;
                Grade grade = editor_index_grade(e, conf, &s->digest, s->created, now, NULL);
                if (editor_index_judge(conf, held, &s->digest, s->size, s->created, 0, grade, now) != EDITOR_TAKE ||
                    (best && !is_better(s, grade, &choice)))
                        continue;
                best = s;
                choice = (EditorChoice){ .digest = s->digest, .size = s->size, .created = s->created, .grade = grade };
        }
        if (!best)
                return EDITOR_NONE;
        add_holders(e, best, now, &choice);
        *ret = choice;
        return EDITOR_TAKE;
}
