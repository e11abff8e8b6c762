/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/text.h"
#include "ctl/numbers.h"

#define WORDS_MAX 512
#define TIME_WIDTH 6
#define TRANSACTION_SIZE 8

static void print_line(usec_t at, const char *words) {
        char time[SHOW_TEXT_SIZE];

        printf("%*s  ", TIME_WIDTH, show_duration(at, time));
        show_text(stdout, "%s", words);
        putchar('\n');
}

/* "5 (192.0.2.23:65424)" */
static void name_peer(const json_t *step, char *ret, size_t size) {
        const char *peer = member_string(step, "peer");

        if (member_is_set(step, "peerId"))
                (void) snprintf(ret, size, "peer %" PRIu64 " (%s)", member_uint(step, "peerId"), peer ? peer : "-");
        else
                (void) snprintf(ret, size, "%s", peer ? peer : "-");
}

/* ", 3ms" of a step that was waited for. */
static const char *took(const json_t *step, char ret[SHOW_TEXT_SIZE + 2]) {
        char time[SHOW_TEXT_SIZE];

        ret[0] = '\0';
        if (member_uint(step, "tookUSec") > 0)
                (void) snprintf(ret, SHOW_TEXT_SIZE + 2, ", %s", show_duration(member_uint(step, "tookUSec"), time));
        return ret;
}

static void describe_step(const json_t *step, char *ret, size_t size) {
        const char *what = member_string(step, "what"), *result = member_string(step, "result");
        char peer[WORDS_MAX / 2], time[SHOW_TEXT_SIZE + 2], amount[SHOW_TEXT_SIZE];
        uint64_t count = member_uint(step, "count");
        bool ok = result && strcmp(result, "ok") == 0;

        name_peer(step, peer, sizeof(peer));
        if (!what)
                what = "-";
        if (!result)
                result = "no answer yet";
        if (strcmp(what, "store") == 0)
                (void) snprintf(ret, size, "own library: %s", ok ? "held" : "not held");
        else if (strcmp(what, "servers") == 0 && ok)
                (void) snprintf(ret, size, "registration server: %" PRIu64 " peer%s active%s", count, plural(count),
                                took(step, time));
        else if (strcmp(what, "servers") == 0)
                (void) snprintf(ret, size, "registration server: %s%s", result, took(step, time));
        else if (strcmp(what, "holders") == 0)
                (void) snprintf(ret, size, "merged index: %" PRIu64 " peer%s hold%s it", count, plural(count),
                                count == 1 ? "s" : "");
        else if (strcmp(what, "index") == 0)
                (void) snprintf(ret, size, "ask index of %s … %s%s", peer, result, took(step, time));
        else if (strcmp(what, "fetch") == 0 && count > 0)
                (void) snprintf(ret, size, "fetch from %s … %s, %s%s", peer, result, show_size(count, amount),
                                took(step, time));
        else if (strcmp(what, "fetch") == 0)
                (void) snprintf(ret, size, "fetch from %s … %s%s", peer, result, took(step, time));
        else if (strcmp(what, "quarantine") == 0)
                (void) snprintf(ret, size, "%s quarantined for %s: %s", peer,
                                count < USEC_PER_SEC ? show_duration(count, amount) : show_timespan(count, amount),
                                result);
        else
                (void) snprintf(ret, size, "%s: %s", what, result);
}

/* How it ended. What is not known here is told as it came. */
static const char *describe_end(const char *result) {
        static const struct {
                const char *result, *says;
        } ends[] = {
                { "ok", "in store" },
                { "not-held", "no peer that could be asked holds it" },
                { "never-issued", "no peer holds it, and that number was never issued" },
                { "no-peers", "no peer is active" },
                { "integrity", "what came did not match its digest, and was thrown away" },
                { "unreachable", "no holder delivered it" },
                { "no-space", "no space left to store it" },
                { "failed", "it could not be stored here" },
        };

        for (size_t i = 0; i < ELEMENTSOF(ends); i++)
                if (strcmp(result, ends[i].result) == 0)
                        return ends[i].says;
        return result;
}

static void show_operation(const json_t *o) {
        const char *transaction = member_string(o, "transaction"), *result = member_string(o, "result");
        const json_t *steps = json_object_get(o, "steps");
        uint64_t duration = member_uint(o, "durationUSec"), n_lost = member_uint(o, "stepsLost");
        char words[WORDS_MAX], time[SHOW_TEXT_SIZE];
        size_t n = json_array_size(steps);

        show_text(stdout, "Transaction %s (get RFC %" PRIu64 "), %s", transaction ? transaction : "-",
                  member_uint(o, "number"), result ? show_duration(duration, time) : "under way");
        putchar('\n');
        for (size_t i = 0; i < n; i++) {
                if (n_lost > 0 && i == n / 2)
                        printf("%*s  … %" PRIu64 " more …\n", TIME_WIDTH, "", n_lost);
                describe_step(json_array_get(steps, i), words, sizeof(words));
                print_line(member_uint(json_array_get(steps, i), "afterUSec"), words);
        }
        if (result)
                print_line(duration, describe_end(result));
}

static int show_operations(const Ctl *ctl, const json_t *operations) {
        int r;

        r = ctl_open_pager(ctl);
        if (r < 0)
                return r;
        for (size_t i = 0; i < json_array_size(operations); i++) {
                if (i > 0)
                        putchar('\n');
                show_operation(json_array_get(operations, i));
        }
        return 0;
}

/* What the argument names: a transaction, as the wire writes it, or else *ret_number. 0 or CTL_USAGE, told. */
static int parse_subject(int argc, char **argv, char ret_transaction[2 * TRANSACTION_SIZE + 1], uint32_t *ret_number) {
        uint8_t bytes[TRANSACTION_SIZE];
        RfcRange range;
        int i = 0, r;

        if (argc == 1 && text_from_hex(slice_of(argv[0]), bytes, sizeof(bytes)) == 0) {
                text_to_hex(bytes, sizeof(bytes), ret_transaction);
                return 0;
        }
        if (argc == 1 && rfc_range_from_text(slice_of(argv[0]), &range) != 0)
                return ctl_fail(CTL_USAGE, "'%s' is neither an RFC number nor a transaction (16 hexadecimal digits).",
                                argv[0]);
        r = numbers_next_range(argc, argv, &i, &range);
        if (r != 0)
                return r;
        if (i < argc || range.first != range.last)
                return ctl_fail(CTL_USAGE, "This verb takes one RFC number, or one transaction.");
        ret_transaction[0] = '\0';
        *ret_number = range.first;
        return 0;
}

static int fail_unknown(const char *transaction, uint32_t number) {
        if (transaction[0])
                return ctl_fail(CTL_FAILURE, "Nothing is remembered of transaction %s.", transaction);
        return ctl_fail(CTL_FAILURE, "Nothing is remembered of RFC %" PRIu32 ": nobody has asked for it lately.", number);
}

int verb_why(Ctl *ctl, int argc, char **argv) {
        json_t *parameters, *operations;
        char transaction[2 * TRANSACTION_SIZE + 1];
        uint32_t number = 0;
        int r;

        r = parse_subject(argc, argv, transaction, &number);
        if (r != 0)
                return r;
        parameters = transaction[0] ? json_pack("{s:s}", "transaction", transaction)
                                    : json_pack("{s:I}", "number", (json_int_t) number);
        if (!parameters)
                return -ENOMEM;
        r = ctl_call_list(ctl, "org.p2pdi.Peer.Explain", parameters, "operation", &operations);
        if (r != 0)
                return r;
        if (json_array_size(operations) == 0)
                r = fail_unknown(transaction, number);
        else if (ctl->json != SHOW_JSON_OFF)
                r = ctl_show_json(ctl, operations);
        else
                r = show_operations(ctl, operations);
        json_decref(operations);
        return r;
}
