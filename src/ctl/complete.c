/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/complete.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "core/address.h"
#include "core/rfc-number.h"
#include "core/text.h"
#include "ctl/options.h"
#include "io/log.h"

#define DESCRIPTION_MAX 256
/* Digits of the longest RFC number. */
#define DIGITS_MAX 10

/* The words before the one that is typed. */
typedef struct Line {
        const Verb *verb;               /* NULL: none yet */
        const char *last;               /* argument of the verb; NULL: none yet */
        int n_arguments;
        const Option *wanting;          /* whose value comes next; NULL: none */
        bool no_options;                /* behind "--" */
} Line;

/* ---- one candidate ---- */

static void put(const char *before, const char *word, const char *behind, const char *description) {
        _cleanup_buf_ Buf b = BUF_INIT(DESCRIPTION_MAX);

        if (text_escape(&b, slice_of(description), DESCRIPTION_MAX) == 0)
                printf("%s%s%s\t%.*s\n", before, word, behind, (int) b.size, b.data ? b.data : "");
}

/* The same, if it begins with what is typed. */
static void offer(const char *typed, const char *before, const char *word, const char *description) {
        if (strncmp(word, typed, strlen(typed)) == 0)
                put(before, word, "", description);
}

/* ---- what the daemon knows ---- */

typedef struct Offer {
        const char *typed;              /* of the candidate, without `before` */
        const char *before;
} Offer;

/* What does not answer has no candidates. */
static void ask(Ctl *ctl, const char *method, json_t *parameters, CtlReply on_reply, Offer *o) {
        int r = ctl_call_more(ctl, method, parameters, on_reply, o);

        (void) r;
}

static int on_document(json_t *parameters, _unused_ int fd, void *userdata) {
        const json_t *document = json_object_get(parameters, "document");
        uint64_t number = member_uint(document, "number");
        const char *title = member_string(document, "title");
        const Offer *o = userdata;
        char text[16];

        if (number == 0 || number > RFC_NUMBER_MAX)
                return 0;
        (void) snprintf(text, sizeof(text), "%" PRIu64, number);
        offer(o->typed, o->before, text, title ? title : "");
        return 0;
}

/* The numbers that begin with these digits, so that the daemon sends no others: "72", "720-729", "7200-7299", … */
static json_t *ranges_of_prefix(const char *digits) {
        json_t *ranges = json_array();
        uint64_t first = strtoull(digits, NULL, 10), width = 1;

        for (size_t n = strlen(digits); ranges && n <= DIGITS_MAX; n++) {
                uint64_t last = MIN_OF(first + width - 1, (uint64_t) RFC_NUMBER_MAX);

                if (first > RFC_NUMBER_MAX)
                        break;
                (void) json_array_append_new(ranges, json_sprintf("%" PRIu64 "-%" PRIu64, first, last));
                first *= 10;
                width *= 10;
        }
        return ranges;
}

/* typed: "", "72", "rfc72", "7230-72". all: not only what is in the store. */
static void complete_number(Ctl *ctl, const char *typed, bool all) {
        const char *digits = typed + strlen(typed);
        _cleanup_free_ char *before = NULL;
        json_t *ranges = NULL, *parameters;
        size_t n;

        while (digits > typed && digits[-1] >= '0' && digits[-1] <= '9')
                digits--;
        n = strlen(digits);
        /* What stands before the digits is a spelling, or the start of a range. */
        if (n > DIGITS_MAX || digits[0] == '0' ||
            (digits > typed && digits[-1] != '-' && strncasecmp(typed, "rfc", (size_t) (digits - typed)) != 0))
                return;
        before = strndup(typed, (size_t) (digits - typed));
        if (n > 0)
                ranges = ranges_of_prefix(digits);
        parameters = json_pack("{s:b, s:o*}", "all", all, "ranges", ranges);
        if (before && parameters)
                ask(ctl, "org.p2pdi.Peer.List", parameters, on_document, &(Offer){ digits, before });
        else
                json_decref(parameters);
}

static int on_peer(json_t *parameters, _unused_ int fd, void *userdata) {
        const json_t *peer = json_object_get(parameters, "peer");
        const char *address = member_string(peer, "address"), *state = member_string(peer, "state");
        const Offer *o = userdata;
        char text[ENDPOINT_TEXT_SIZE];
        Endpoint endpoint;

        if (!address || endpoint_from_text(slice_of(address), &endpoint) != 0)
                return 0;
        endpoint_to_text(&endpoint, text);
        offer(o->typed, o->before, text, state ? state : "");
        return 0;
}

/* ---- values ---- */

static void complete_words_of(const char *typed, const char *before, const char *const *words) {
        for (; words[0]; words += 2)
                offer(typed, before, words[0], words[1]);
}

static void complete_level(const char *typed, const char *before) {
        static const char *const descriptions[] = {
                "The system is unusable", "Somebody has to act at once", "A part is broken", "Something failed",
                "Something may fail",     "Worth a look",                "What happens",     "What happens, in detail",
        };

        for (size_t i = 0; i < ELEMENTSOF(descriptions); i++)
                offer(typed, before, log_level_name((LogLevel) i), descriptions[i]);
}

/* before: what stands before the value in the same word, "--json=" or nothing. */
static void complete_value(Ctl *ctl, Completes what, const char *typed, const char *before) {
        static const char *const daemons[] = {
                "rs", "The registration server", "peer", "The peer", NULL,
        };
        static const char *const json[] = {
                "pretty", "For people", "short", "On one line", "off", "None", NULL,
        };

        switch (what) {
        case COMPLETES_NOTHING:
                break;
        case COMPLETES_RFC:
        case COMPLETES_STORED:
                complete_number(ctl, typed, what == COMPLETES_RFC);
                break;
        case COMPLETES_PEER:
                ask(ctl, "org.p2pdi.Peer.ListPeers", NULL, on_peer, &(Offer){ typed, before });
                break;
        case COMPLETES_LEVEL:
                complete_level(typed, before);
                break;
        case COMPLETES_DAEMON:
                complete_words_of(typed, before, daemons);
                break;
        case COMPLETES_FILE:
                puts(":FILE");
                break;
        case COMPLETES_JSON:
                complete_words_of(typed, before, json);
                break;
        }
}

/* ---- options ---- */

static const Option *option_of(const char *word) {
        size_t size = strcspn(word, "=");

        for (size_t i = 0; i < n_options; i++) {
                const Option *o = &options[i];

                if (!option_exists(o))
                        continue;
                if (o->letter && word[1] == o->letter && word[2] == '\0')
                        return o;
                if (o->name[0] && size == strlen(o->name) + 2 && word[1] == '-' &&
                    strncmp(word + 2, o->name, size - 2) == 0)
                        return o;
        }
        return NULL;
}

static void complete_option(Ctl *ctl, const Line *line, const char *typed) {
        const char *value = strchr(typed, '=');
        const Option *given = value ? option_of(typed) : NULL;

        if (value) {
                _cleanup_free_ char *before = strndup(typed, (size_t) (value + 1 - typed));

                if (before && given && given->argument)
                        complete_value(ctl, given->completes, value + 1, before);
                return;
        }
        for (size_t i = 0; i < n_options; i++) {
                const Option *o = &options[i];
                char letter[] = { '-', o->letter, '\0' }, name[64];

                if (!option_exists(o) || (line->verb && (o->bit & ~line->verb->options)))
                        continue;
                (void) snprintf(name, sizeof(name), "--%s", o->name);
                if (o->name[0] && strncmp(name, typed, strlen(typed)) == 0)
                        put("", name, o->argument ? "=" : "", o->help);
                else if (!o->name[0])
                        offer(typed, "", letter, o->help);
        }
}

/* ---- the line ---- */

static void read_option(Ctl *ctl, Line *line, const char *word) {
        const Option *o = option_of(word);
        const char *value = strchr(word, '=');

        if (!o)
                return;
        if (!o->argument && !o->set)
                *(bool *) ((char *) ctl + o->flag) = true;
        else if (o->argument && value)
                (void) o->set(ctl, value + 1);
        else if (o->argument)
                line->wanting = o;
}

static void read_word(Ctl *ctl, Line *line, const char *word) {
        if (line->wanting) {
                (void) line->wanting->set(ctl, word);
                line->wanting = NULL;
        } else if (!line->no_options && strcmp(word, "--") == 0)
                line->no_options = true;
        else if (!line->no_options && word[0] == '-' && word[1] != '\0')
                read_option(ctl, line, word);
        else if (!line->verb && (line->verb = verb_by_name(word)))
                return;
        else {
                if (!line->verb && verb_is_number(word))
                        line->verb = verb_by_name("get");
                line->last = word;
                line->n_arguments++;
        }
}

/* Can the verb take one more? Of numbers the second word of a pair is only one behind "RFC". */
static bool takes_another(const Line *line) {
        const Verb *v = line->verb;

        if (v->max_arguments >= 0 && line->n_arguments >= v->max_arguments)
                return false;
        return v->completes != COMPLETES_RFC || v->max_arguments < 0 || line->n_arguments == 0 ||
                strcasecmp(line->last, "rfc") == 0;
}

static void complete_argument(Ctl *ctl, const Line *line, const char *typed) {
        if (line->verb) {
                if (takes_another(line))
                        complete_value(ctl, line->verb->completes, typed, "");
                return;
        }
        /* Behind what is no verb nothing is right. */
        if (line->n_arguments > 0)
                return;
        for (size_t i = 0; i < n_verbs; i++)
                offer(typed, "", verbs[i].name, verbs[i].help);
        if (verb_is_number(typed))
                complete_number(ctl, typed, true);
}

int complete_words(Ctl *ctl, int n, char **words) {
        Line line = {};
        const char *typed = n > 0 ? words[n - 1] : "";

        ctl_set_silent(true);
        for (int i = 0; i + 1 < n; i++)
                read_word(ctl, &line, words[i]);
        ctl->timeout = COMPLETE_TIMEOUT;
        if (ctl_choose_daemon(ctl, ctl->rs || (line.verb && !(line.verb->flags & VERB_PEER))) != 0)
                return 0;
        if (line.wanting)
                complete_value(ctl, line.wanting->completes, typed, "");
        else if (!line.no_options && typed[0] == '-')
                complete_option(ctl, &line, typed);
        else
                complete_argument(ctl, &line, typed);
        return 0;
}
