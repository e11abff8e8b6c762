/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/resolve.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/text.h"
#include "ctl/numbers.h"

/* Names in one call: far below what a message may hold. */
#define NAMES_BATCH 4096
/* "BCP" and blank before the longest number that anybody writes. */
#define NAME_TEXT_MAX 128
/* Of "RFC 9110, RFC 9111, …". */
#define LIST_TEXT_MAX 1024

/* What is resolved, in the order of the arguments. */
typedef struct Resolving {
        Resolved *to;
        size_t allocated;
        json_t *names;                  /* owned; that are to be asked for, as far as nothing that needs no asking follows */
        bool follow;
} Resolving;

void resolved_done(Resolved *r) {
        for (int i = 0; i < r->argc; i++)
                free(r->argv[i]);
        free(r->argv);
        json_decref(r->instead);
        *r = (Resolved){};
}

/* One argument more: a number or a range. */
static int add(Resolving *s, RfcRange range) {
        Resolved *to = s->to;
        char *text;
        int r;

        if ((size_t) to->argc == s->allocated) {
                size_t wanted = MAX_OF(2 * s->allocated, (size_t) 64);
                char **grown = reallocarray(to->argv, wanted, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                to->argv = grown;
                s->allocated = wanted;
        }
        r = range.first == range.last ? asprintf(&text, "%" PRIu32, range.first)
                                      : asprintf(&text, "%" PRIu32 "-%" PRIu32, range.first, range.last);
        if (r < 0)
                return -ENOMEM;
        to->argv[to->argc++] = text;
        return 0;
}

/* ---- what the daemon says ---- */

/* "RFC 9110, RFC 9111": what does not fit is left out. */
static const char *list_text(const json_t *numbers, char ret[LIST_TEXT_MAX]) {
        size_t used = 0;

        ret[0] = '\0';
        for (size_t i = 0; i < json_array_size(numbers) && used + 32 < LIST_TEXT_MAX; i++)
                used += (size_t) snprintf(ret + used, LIST_TEXT_MAX - used, "%sRFC %" JSON_INTEGER_FORMAT, i > 0 ? ", " : "",
                                          json_integer_value(json_array_get(numbers, i)));
        return ret;
}

static int add_number(Resolving *s, const json_t *number) {
        json_int_t n = json_integer_value(number);

        if (n < 1 || n > (json_int_t) RFC_NUMBER_MAX)
                return ctl_fail(CTL_FAILURE, "The daemon names a number that is none of an RFC.");
        return add(s, (RfcRange){ (uint32_t) n, (uint32_t) n });
}

/* Who asks with --json= learns which of the documents is there instead of which. */
static int remember(Resolved *to, const json_t *number, uint64_t old) {
        char key[32];
        json_t *list;

        (void) snprintf(key, sizeof(key), "%" JSON_INTEGER_FORMAT, json_integer_value(number));
        if (!to->instead)
                to->instead = json_object();
        list = json_object_get(to->instead, key);
        if (!list) {
                list = json_array();
                if (json_object_set_new(to->instead, key, list) < 0)
                        return -ENOMEM;
        }
        return json_array_append_new(list, json_integer((json_int_t) old)) < 0 ? -ENOMEM : 0;
}

static int add_succession(Resolving *s, const json_t *succession) {
        const json_t *current = json_object_get(succession, "current"), *number;
        uint64_t old = member_uint(succession, "number");
        char text[LIST_TEXT_MAX];
        size_t i;

        if (member_bool(succession, "cut"))
                ctl_note("Note: more than 64 RFCs lie between RFC %" PRIu64 " and what is in force: not all were looked at.",
                         old);
        if (json_array_size(current) == 0) {
                int code = ctl_fail(CTL_FAILURE, "RFC %" PRIu64 " is obsolete, and nothing that is in force instead was found.",
                                    old);
                s->to->code = MAX_OF(s->to->code, code);
                return 0;
        }
        ctl_note("RFC %" PRIu64 " → %s", old, list_text(current, text));
        json_array_foreach(current, i, number) {
                int r = add_number(s, number);
                if (r == 0)
                        r = remember(s->to, number, old);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* NULL: it is in force. */
static const json_t *succession_of(const json_t *meaning, const json_t *number) {
        const json_t *list = json_object_get(meaning, "successions"), *one;
        size_t i;

        json_array_foreach(list, i, one)
                if (member_uint(one, "number") == (uint64_t) json_integer_value(number))
                        return one;
        return NULL;
}

static int on_meaning(json_t *parameters, _unused_ int fd, void *userdata) {
        const json_t *meaning = json_object_get(parameters, "meaning");
        const json_t *numbers = json_object_get(meaning, "numbers"), *number;
        const char *result = member_string(meaning, "result"), *alias = member_string(meaning, "alias");
        const char *message = member_string(meaning, "message");
        char text[LIST_TEXT_MAX];
        Resolving *s = userdata;
        size_t i;

        if (!json_is_object(meaning))
                return 0;
        if (!result || strcmp(result, "ok") != 0) {
                int code = ctl_fail(result && strcmp(result, "unknown") == 0 ? CTL_NEVER_ISSUED : CTL_FAILURE, "%s",
                                    message ? message : "The daemon does not say what a name stands for.");
                s->to->code = MAX_OF(s->to->code, code);
                return 0;
        }
        if (alias)
                ctl_note("%s: %s", alias, list_text(numbers, text));
        json_array_foreach(numbers, i, number) {
                const json_t *succession = succession_of(meaning, number);
                int r = succession ? add_succession(s, succession) : add_number(s, number);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* Asks for the names that are gathered. */
static int ask(Ctl *ctl, Resolving *s) {
        json_t *parameters;

        if (json_array_size(s->names) == 0)
                return 0;
        parameters = json_pack("{s:o, s:b}", "names", TAKE_PTR(s->names), "follow", s->follow);
        return parameters ? ctl_call_more(ctl, "org.p2pdi.Peer.Resolve", parameters, on_meaning, s) : -ENOMEM;
}

/* ---- arguments ---- */

/* An alias at argv[*i], which then is behind it: also as two words. */
static bool next_alias(int argc, char **argv, int *i, char ret[RFC_ALIAS_TEXT_SIZE]) {
        char text[NAME_TEXT_MAX];
        const char *word = argv[*i];
        int n = 1;
        RfcAlias a;

        if (rfc_number_is_word(slice_of(word)) && *i + 1 < argc) {
                (void) snprintf(text, sizeof(text), "%s %s", word, argv[*i + 1]);
                word = text;
                n = 2;
        }
        if (rfc_alias_from_text(slice_of(word), &a) != 0)
                return false;
        rfc_alias_to_text(a, ret);
        *i += n;
        return true;
}

static int add_name(Ctl *ctl, Resolving *s, const char *name) {
        if (!s->names)
                s->names = json_array();
        if (!s->names || json_array_append_new(s->names, json_string(name)) < 0)
                return -ENOMEM;
        return json_array_size(s->names) < NAMES_BATCH ? 0 : ask(ctl, s);
}

static int add_range(Ctl *ctl, Resolving *s, RfcRange range) {
        if (!s->follow) {
                int r = ask(ctl, s);
                return r != 0 ? r : add(s, range);
        }
        for (uint32_t n = range.first; n <= range.last; n++) {
                char text[16];
                int r;

                (void) snprintf(text, sizeof(text), "%" PRIu32, n);
                r = add_name(ctl, s, text);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* Before anybody is asked: what is no name at all, and more than one call may have. */
static int check(int argc, char **argv, bool follow, Resolved *ret) {
        size_t n = 0;

        for (int i = 0; i < argc;) {
                char alias[RFC_ALIAS_TEXT_SIZE];
                RfcRange range;
                int r;

                if (next_alias(argc, argv, &i, alias)) {
                        ret->aliases = true;
                        n++;
                        continue;
                }
                r = numbers_next_range(argc, argv, &i, &range);
                if (r != 0)
                        return r;
                if (follow && range.last - range.first >= NUMBERS_MAX - MIN_OF(n, (size_t) NUMBERS_MAX))
                        return ctl_fail(CTL_USAGE, "One call may name at most %d RFCs.", NUMBERS_MAX);
                n += range.last - range.first + 1;
        }
        return 0;
}

int resolve_arguments(Ctl *ctl, int argc, char **argv, bool follow, Resolved *ret) {
        Resolving s = { .to = ret, .follow = follow };
        int r;

        r = check(argc, argv, follow, ret);
        for (int i = 0; r == 0 && i < argc;) {
                char alias[RFC_ALIAS_TEXT_SIZE];
                RfcRange range;

                if (next_alias(argc, argv, &i, alias))
                        r = add_name(ctl, &s, alias);
                else {
                        r = numbers_next_range(argc, argv, &i, &range);
                        if (r == 0)
                                r = add_range(ctl, &s, range);
                }
        }
        if (r == 0)
                r = ask(ctl, &s);
        json_decref(s.names);
        if (r != 0 || argc == 0 || ret->argc > 0)
                return r;
        return ret->code != 0 ? ret->code : ctl_fail(CTL_FAILURE, "The daemon does not say what a name stands for.");
}

int resolve_one(Ctl *ctl, int argc, char **argv, Resolved *ret) {
        char alias[RFC_ALIAS_TEXT_SIZE];
        uint32_t number;
        int i = 0, r;

        if (!next_alias(argc, argv, &i, alias)) {
                r = numbers_get_one(argc, argv, &number);
                return r != 0 ? r : resolve_arguments(ctl, argc, argv, false, ret);
        }
        if (i < argc)
                return ctl_fail(CTL_USAGE, "This verb takes one RFC number, or one name like bcp14.");
        return resolve_arguments(ctl, argc, argv, false, ret);
}
