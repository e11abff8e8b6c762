/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/control-internal.h"

#include <errno.h>

#include "io/loop.h"

/* As many holders of a number are asked after whether they are active. */
#define HOLDERS_COUNTED_MAX 4096

/* What is searched: what a reply will show. */
static Slice title_of(const RfcIndex *x, const RfcMeta *meta, uint32_t number, const Now *now) {
        RfcRecord r;
        Slice title;

        if (meta && rfc_meta_title(meta, number, &title))
                return title;
        if (rfc_index_get_own(x, number, &r) || rfc_index_find(x, number, now, &r, 1) > 0)
                return r.title;
        return (Slice){ NULL, 0 };
}

static uint32_t next_number(const ListJob *j, const RfcIndex *x, const Now *now) {
        RfcRecord own;
        if (!j->local)
                return rfc_index_next_number(x, j->number, now);
        return rfc_index_next_own(x, j->number, &own) ? own.number : 0;
}

static bool is_wanted(const ListJob *j, const RfcIndex *x, const RfcMeta *meta, const Now *now) {
        return !(j->current && rfc_meta_standing(meta, j->number) == RFC_OBSOLETE) &&
               search_matches(j->search, title_of(x, meta, j->number, now));
}

/* Under the lock. true: there may be more. */
static bool search_slice(ListJob *j, const RfcIndex *x, const RfcMeta *meta, const TrustConf *trust,
                         const Now *now) {
        Now begin, at;

        now_read(&begin);
        do {
                uint32_t number = next_number(j, x, now);
                if (number == 0)
                        return false;
                j->number = number;
                if (is_wanted(j, x, meta, now))
                        (void) json_array_append_new(j->batch, control_document(x, meta, trust, number, now));
                now_read(&at);
        } while (json_array_size(j->batch) < LIST_BATCH && at.boottime - begin.boottime < LIST_SLICE_USEC);
        return true;
}

/* How many of those that hold it a registration server lists. */
static void set_active(json_t *document, Documents *d, const Holders *h, const Now *now, Endpoint *scratch) {
        uint32_t number = (uint32_t) json_integer_value(json_object_get(document, "number"));
        size_t n_active = 0;

        size_t n = rfc_index_find_holders(documents_lock(d), number, now, scratch, HOLDERS_COUNTED_MAX);
        documents_unlock(d);
        for (size_t i = 0; i < MIN_OF(n, (size_t) HOLDERS_COUNTED_MAX); i++) {
                HolderInfo info;
                n_active += holders_get(h, &scratch[i], &info) && info.listed;
        }
        control_set_int(document, "holdersActive", n_active);
}

static bool fill_search(ListJob *j, Client *c, Holders *h, bool servers_away, const Now *now) {
        _cleanup_free_ Endpoint *scratch = reallocarray(NULL, HOLDERS_COUNTED_MAX, sizeof(*scratch));
        Documents *d = client_documents(c);
        json_t *document;
        size_t i;
        (void) servers_away;

        if (!scratch)
                return false;
        RfcIndex *x = documents_lock(d);
        bool more = search_slice(j, x, documents_meta(d), documents_trust(d), now);
        documents_unlock(d);
        json_array_foreach(j->batch, i, document) {
                control_document_add_path(document, documents_library(d));
                set_active(document, d, h, now, scratch);
        }
        return more;
}

/* false: a word is none, or there are too many of them. */
static bool take_words(Search *s, const json_t *words) {
        search_init(s);
        for (size_t i = 0; i < json_array_size(words); i++)
                if (search_add(s, slice_of(json_string_value(json_array_get(words, i)))) != 0)
                        return false;
        return s->n_words > 0;
}

int control_search(VarlinkCall *call, json_t *parameters, void *userdata) {
        ListJob job = {
                .member = "document",
                .fill = fill_search,
                .search = calloc(1, sizeof(*job.search)),
                .local = json_is_true(json_object_get(parameters, "local")),
                .current = json_is_true(json_object_get(parameters, "current")),
        };
        if (!job.search)
                return -ENOMEM;
        if (!take_words(job.search, json_object_get(parameters, "words"))) {
                free(job.search);
                return varlink_call_invalid(call, "words");
        }
        return control_list_start(userdata, call, &job);
}
