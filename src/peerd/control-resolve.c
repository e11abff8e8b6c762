/* SPDX-License-Identifier: BSD-2-Clause */
/* Resolve: which RFCs a name stands for, and which are in force instead of them, by the editor's index. */
#include "peerd/control-internal.h"

#include <errno.h>
#include <stdio.h>

#include "core/follow.h"

/* Names of one call: as many as a Get takes numbers. */
#define NAMES_MAX 20000
/* RFCs of one alias that are told: real ones have 8 at most. */
#define MEMBERS_MAX 32

typedef struct Name {
        bool is_alias;
        RfcAlias alias;
        uint32_t number;
} Name;

static int name_from_json(const json_t *j, Name *ret) {
        Slice s = slice_of(json_string_value(j));
        ret->is_alias = rfc_alias_from_text(s, &ret->alias) == 0;
        return ret->is_alias ? 0 : rfc_number_from_text(s, &ret->number);
}

static json_t *numbers_json(const uint32_t *numbers, size_t n) {
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++)
                (void) json_array_append_new(list, json_integer(numbers[i]));
        return list;
}

/* One way for each of them; nothing for what is in force. */
static void set_successions(json_t *meaning, const RfcMeta *meta, const uint32_t *numbers, size_t n) {
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++) {
                Follow f;

                follow_current(meta, numbers[i], &f);
                if (f.n == 1 && f.current[0] == numbers[i])
                        continue;
                json_t *j = json_object();
                control_set_int(j, "number", numbers[i]);
                (void) json_object_set_new(j, "current", numbers_json(f.current, f.n));
                control_set_bool(j, "cut", f.cut);
                (void) json_array_append_new(list, j);
        }
        (void) json_object_set_new(meaning, "successions", list);
}

static void set_failure(json_t *meaning, const Name *name, bool has_meta) {
        char text[RFC_ALIAS_TEXT_SIZE + 128], alias[RFC_ALIAS_TEXT_SIZE] = "";

        if (name->is_alias)
                rfc_alias_to_text(name->alias, alias);
        if (has_meta)
                (void) snprintf(text, sizeof(text), "%s names no RFC, by the RFC Editor's index.", alias);
        else if (name->is_alias)
                (void) snprintf(text, sizeof(text), "%s is not known: this peer has no rfc-index.txt yet.", alias);
        else
                (void) snprintf(text, sizeof(text), "What obsoletes RFC %u is not known: this peer has no rfc-index.txt yet.",
                                (unsigned) name->number);
        control_set_string(meaning, "result", has_meta ? SLICE_LITERAL("unknown") : SLICE_LITERAL("no-index"));
        control_set_string(meaning, "message", slice_of(text));
}

/* Under the lock. */
static json_t *resolve(const RfcMeta *meta, const json_t *text, bool follow) {
        json_t *meaning = json_object();
        uint32_t numbers[MEMBERS_MAX];
        char alias[RFC_ALIAS_TEXT_SIZE];
        size_t n = 1;
        Name name;

        if (name_from_json(text, &name) != 0)   /* was looked at before */
                return meaning;
        control_set_string(meaning, "name", slice_of(json_string_value(text)));
        numbers[0] = name.number;
        if (name.is_alias) {
                n = MIN_OF(rfc_meta_alias(meta, name.alias, numbers, MEMBERS_MAX), (size_t) MEMBERS_MAX);
                rfc_alias_to_text(name.alias, alias);
                control_set_string(meaning, "alias", slice_of(alias));
        }
        if (n == 0 || (follow && !meta)) {
                set_failure(meaning, &name, meta != NULL);
                n = 0;
        } else
                control_set_string(meaning, "result", SLICE_LITERAL("ok"));
        (void) json_object_set_new(meaning, "numbers", numbers_json(numbers, n));
        if (follow)
                set_successions(meaning, meta, numbers, n);
        return meaning;
}

static bool fill_meanings(ListJob *j, Client *c, Holders *h, bool servers_away, const Now *now) {
        Documents *d = client_documents(c);
        Now begin, at;
        (void) h;
        (void) servers_away;
        (void) now;

        now_read(&begin);
        (void) documents_lock(d);
        do {
                (void) json_array_append_new(j->batch, resolve(documents_meta(d), json_array_get(j->names, j->after++),
                                                               j->follow));
                now_read(&at);
        } while (j->after < json_array_size(j->names) && json_array_size(j->batch) < LIST_BATCH &&
                 at.boottime - begin.boottime < LIST_SLICE_USEC);
        documents_unlock(d);
        return j->after < json_array_size(j->names);
}

int control_resolve(VarlinkCall *call, json_t *parameters, void *userdata) {
        json_t *names = json_object_get(parameters, "names");
        ListJob job = {
                .member = "meaning",
                .fill = fill_meanings,
                .follow = json_is_true(json_object_get(parameters, "follow")),
        };
        Name name;

        if (json_array_size(names) == 0 || json_array_size(names) > NAMES_MAX)
                return varlink_call_invalid(call, "names");
        for (size_t i = 0; i < json_array_size(names); i++)
                if (name_from_json(json_array_get(names, i), &name) != 0)
                        return varlink_call_invalid(call, "names");
        job.names = json_deep_copy(names);      /* for another thread */
        if (!job.names)
                return -ENOMEM;
        return control_list_start(userdata, call, &job);
}
