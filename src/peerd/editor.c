/* SPDX-License-Identifier: BSD-2-Clause */
/* Rounds: every now and then a few peers are asked for their rfc-index.txt, and the best that is acceptable is fetched. */
#include "peerd/editor-internal.h"

#include <errno.h>

#include "io/log.h"
#include "io/loop.h"

#define FIRST_ROUND_USEC (20 * USEC_PER_SEC)
/* In a round: other holders, or other texts where the first was of no use. */
#define TRIES_MAX 6

static void begin_round(Editor *ed);

/* ---- when ---- */

static void set_timer(Editor *ed, usec_t span) {
        Now now;

        if (span == USEC_INFINITY) {
                (void) loop_timer_set(ed->timer, USEC_INFINITY);
                return;
        }
        now_of_event(ed->client->event, &now);
        /* 80 % to 120 %, so that many that started together do not ask together. */
        (void) loop_timer_set(ed->timer, usec_add(now.boottime, span - span / 5 + random_range(2 * (span / 5) + 1)));
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Editor *ed = userdata;
        (void) s;
        (void) usec;
        editor_round(ed);
        return 0;
}

/* A peer that has just started, or that finds nobody to ask, need not wait for a whole interval. */
static void set_timer_soon(Editor *ed) {
        usec_t interval = ed->client->settings.background_interval;
        set_timer(ed, interval == USEC_INFINITY ? interval : MIN_OF(interval, FIRST_ROUND_USEC));
}

void editor_reconfigured(Editor *ed) {
        set_timer_soon(ed);
}

static void end_round(Editor *ed) {
        bool again = ed->again;

        ed->again = false;
        if (again)
                begin_round(ed);
        else
                set_timer(ed, ed->client->settings.background_interval);
}

static bool none_can_be_verified(const Editor *ed) {
        return ed->conf.accept == GRADE_VERIFIED && !ed->conf.has_manifest;
}

/* ---- what is fetched ---- */

static bool is_busy(const Editor *ed) {
        return ed->n_asking > 0 || ed->fetch;
}

static void choose(Editor *ed);

static void fetch_next(Editor *ed) {
        Client *c = ed->client;
        Now now;

        now_of_event(c->event, &now);
        while (ed->next_holder < ed->choice.n_holders && ed->n_tries < TRIES_MAX) {
                const Endpoint *holder = &ed->choice.holders[ed->next_holder++];
                /* It may have left since it said so, or be quarantined. */
                if (!holders_may_dial(c->holders, holder, client_servers_away(c), &now)) {
                        editor_index_forget(ed->known, holder);
                        continue;
                }
                ed->n_tries++;
                int k = editor_fetch_start(ed, holder);
                if (k == 0)
                        return;
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not fetch an rfc-index.txt");
        }
        /* None of these: another text is the best by now. */
        choose(ed);
}

/* Is there one to be had? */
static void choose(Editor *ed) {
        Now now;

        now_of_event(ed->client->event, &now);
        if (ed->n_tries >= TRIES_MAX ||
            editor_index_choose(ed->known, &ed->conf, &ed->held, &now, &ed->choice) != EDITOR_TAKE) {
                end_round(ed);
                return;
        }
        ed->next_holder = 0;
        fetch_next(ed);
}

static LogFields fields(const Editor *ed, const Endpoint *peer, const Digest *digest, const char *result) {
        return (LogFields){
                .transaction = ed->transaction,
                .operation = verb_operation(VERB_GET_EDITOR_INDEX),
                .result = result,
                .peer = peer,
                .sha256 = digest,
                .source = "peer",
        };
}

static void tell_refused(const Editor *ed, const Endpoint *peer, const Digest *digest, EditorAnswer why) {
        const LogFields f = fields(ed, peer, digest, "refused");
        char holder[ENDPOINT_TEXT_SIZE];

        endpoint_to_text(peer, holder);
        log_entry(LOG_LEVEL_WARNING, LOG_EVENT_EDITOR_INDEX_REFUSED, &f, "The rfc-index.txt of %s is not taken: it %s.",
                  holder, editor_answer_text(why));
}

static void tell_taken(const Editor *ed, const Endpoint *peer, const EditorFetchResult *r) {
        LogFields f = fields(ed, peer, &ed->choice.digest, "ok");
        char holder[ENDPOINT_TEXT_SIZE], day[RFC_META_DAY_TEXT_SIZE];

        endpoint_to_text(peer, holder);
        rfc_meta_day_to_text(r->created, day);
        f.has_size = true;
        f.size = ed->choice.size;
        log_entry(LOG_LEVEL_INFO, LOG_EVENT_EDITOR_INDEX_TAKEN, &f,
                  "The rfc-index.txt of %s is taken from %s (%s): it lists %zu RFCs.", day[0] ? day : "an unknown day", holder,
                  grade_name(ed->choice.grade), r->n_entries);
}

void editor_fetched(Editor *ed, const Endpoint *holder, const EditorFetchResult *r) {
        const Digest digest = ed->choice.digest;

        switch (r->how) {
        case EDITOR_FETCH_TAKEN:
                tell_taken(ed, holder, r);
                end_round(ed);
                return;
        case EDITOR_FETCH_REFUSED:
                /* It was news when the round began: the administrator has put one there, or took one away. */
                if (r->answer == EDITOR_NO_NEWS || r->answer == EDITOR_BELOW) {
                        end_round(ed);
                        return;
                }
                editor_index_refuse(ed->known, &digest);
                tell_refused(ed, holder, &digest, r->answer);
                choose(ed);
                return;
        case EDITOR_FETCH_CORRECTED:
                editor_index_correct(ed->known, &digest, r->created);
                choose(ed);
                return;
        case EDITOR_FETCH_GONE: {
                const LogFields f = fields(ed, holder, &digest, r->why);
                editor_index_forget(ed->known, holder);
                log_transaction(LOG_EVENT_FETCH_FAILED, &f, "rfc-index.txt was not fetched: %s.", r->why);
                fetch_next(ed);
                return;
        }
        case EDITOR_FETCH_FAILED:
                (void) log_errno(LOG_LEVEL_ERR, r->error, "Could not keep an rfc-index.txt");
                end_round(ed);
                return;
        }
}

/* ---- what is asked ---- */

/* No peer is to blame, and there may be many who hold one: told once, until that changes. */
static void tell_unnamed(Editor *ed, const EditorStatement *s) {
        const LogFields f = fields(ed, &s->peer, &s->digest, "refused");
        char holder[ENDPOINT_TEXT_SIZE];

        if (ed->told_unnamed)
                return;
        ed->told_unnamed = true;
        endpoint_to_text(&s->peer, holder);
        log_entry(LOG_LEVEL_WARNING, LOG_EVENT_EDITOR_INDEX_REFUSED, &f,
                  "The rfc-index.txt of %s is not taken, nor is another: no manifest names one, and Integrity.Accept= is verified.",
                  holder);
}

/* What is wrong with it is told once, when a peer begins to say so. */
static void look_at(Editor *ed, const EditorStatement *s, bool is_new) {
        Now now;

        now_of_event(ed->client->event, &now);
        Grade grade = editor_index_grade(ed->known, &ed->conf, &s->digest, s->created, &now, NULL);
        EditorAnswer a = editor_index_judge(&ed->conf, &ed->held, &s->digest, s->size, s->created, 0, grade, &now);
        if (is_new && (a == EDITOR_TOO_BIG || a == EDITOR_UNDATED || a == EDITOR_FUTURE))
                tell_refused(ed, &s->peer, &s->digest, a);
        else if (a == EDITOR_BELOW && none_can_be_verified(ed))
                tell_unnamed(ed, s);
}

void editor_asked(Editor *ed, size_t place, const EditorStatement *s) {
        if (s)
                look_at(ed, s, editor_index_state(ed->known, s));
        ed->asks[place] = editor_ask_free(ed->asks[place]);
        if (--ed->n_asking == 0)
                choose(ed);
}

static bool is_self(const Client *c, const Endpoint *e) {
        for (size_t i = 0; i < c->n_self; i++)
                if (endpoint_equal(&c->self[i], e))
                        return true;
        return false;
}

/* Any of them: whoever is asked has asked others himself. */
static void ask_some(Editor *ed, Endpoint *peers, size_t n) {
        for (size_t place = 0; place < EDITOR_ASKS && n > 0;) {
                size_t i = (size_t) random_range(n) - 1;
                const Endpoint peer = peers[i];
                peers[i] = peers[--n];
                if (is_self(ed->client, &peer))
                        continue;
                int k = editor_ask_start(ed, place, &peer);
                if (k < 0)
                        (void) log_errno(LOG_LEVEL_ERR, k, "Could not ask for an rfc-index.txt");
                place++;
        }
}

/* How far others are believed: as for documents. */
static void read_conf(Editor *ed) {
        Client *c = ed->client;

        (void) documents_lock(c->conf.documents);
        const TrustConf *trust = documents_trust(c->conf.documents);
        const Digest *named = trust->manifest ? manifest_editor_index(trust->manifest) : NULL;
        ed->conf = (EditorConf){ .quorum = trust->quorum, .accept = c->settings.accept, .has_manifest = named };
        if (named)
                ed->conf.manifest = *named;
        documents_unlock(c->conf.documents);
        ed->told_unnamed = ed->told_unnamed && none_can_be_verified(ed);
}

static void begin_round(Editor *ed) {
        Client *c = ed->client;
        _cleanup_free_ Endpoint *peers = NULL;
        Now now;

        now_of_event(c->event, &now);
        ed->transaction = random_u64() | 1;     /* never 0 */
        ed->n_tries = 0;
        read_conf(ed);
        documents_get_editor_held(c->conf.documents, &ed->held);
        /* Until the library is read it is not known what is held. */
        if (!ed->held.own && documents_scanned(c->conf.documents)) {
                size_t n;
                int k = client_dialable(c, &now, &peers, &n);
                if (k < 0)
                        (void) log_errno(LOG_LEVEL_ERR, k, "Could not ask for an rfc-index.txt");
                else
                        ask_some(ed, peers, n);
        }
        if (ed->n_asking == 0)
                set_timer_soon(ed);
}

void editor_round(Editor *ed) {
        if (is_busy(ed))
                ed->again = true;
        else
                begin_round(ed);
}

/* ---- life ---- */

int editor_new(Client *c, sd_event *e, Editor **ret) {
        Editor *ed = calloc(1, sizeof(*ed));
        int k = ed ? editor_index_new(&ed->known) : -ENOMEM;

        if (k == 0)
                k = loop_timer_new(e, on_timer, ed, "editor-index", &ed->timer);
        if (k < 0) {
                editor_free(ed);
                return k;
        }
        ed->client = c;
        *ret = ed;
        return 0;
}

Editor *editor_free(Editor *ed) {
        if (!ed)
                return NULL;
        for (size_t i = 0; i < EDITOR_ASKS; i++)
                editor_ask_free(ed->asks[i]);
        editor_fetch_free(ed->fetch);
        event_source_free(ed->timer);
        editor_index_free(ed->known);
        free(ed);
        return NULL;
}
