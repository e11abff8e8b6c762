/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/get.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/buf.h"
#include "core/text.h"
#include "io/loop.h"

/* Numbers in one Get: far below what a message may hold, and a daemon that refuses refuses early. */
#define GET_BATCH 4096
/* A caller that hangs up does not stop a download. */
#define FAREWELL "Interrupted; p2pdi-peerd goes on fetching.\n"

void get_done(Get *g) {
        bar_end(&g->bar);
        for (size_t i = 0; g->downloads && i < g->numbers.n; i++)
                json_decref(g->downloads[i]);
        free(g->downloads);
        free(g->good);
        json_decref(g->answer);
        numbers_done(&g->numbers);
}

int get_init(Get *g, int argc, char **argv) {
        int r;

        r = numbers_from_arguments(argc, argv, &g->numbers);
        if (r != 0)
                return r;
        g->downloads = calloc(g->numbers.n, sizeof(*g->downloads));
        g->good = calloc(g->numbers.n, sizeof(*g->good));
        return g->downloads && g->good ? 0 : -ENOMEM;
}

/* " (agreed by 3 peers)"; "" where the daemon does not tell. */
static const char *show_trust(const json_t *d, char ret[SHOW_TEXT_SIZE]) {
        const char *trust = member_string(d, "trust");
        uint64_t n = member_uint(d, "agreeing");

        ret[0] = '\0';
        if (trust && strcmp(trust, "agreed") == 0)
                (void) snprintf(ret, SHOW_TEXT_SIZE, " (agreed by %" PRIu64 " peer%s)", n, plural(n));
        else if (trust)
                (void) snprintf(ret, SHOW_TEXT_SIZE, " (%.16s)", trust);
        return ret;
}

static void tell_fetched(uint32_t number, const json_t *d) {
        char size[SHOW_TEXT_SIZE], duration[SHOW_TEXT_SIZE], digest[SHOW_TEXT_SIZE], id[SHOW_TEXT_SIZE] = "",
                trust[SHOW_TEXT_SIZE];
        const char *source = member_string(d, "source"), *holder = member_string(d, "holder");

        if (source && strcmp(source, "local") == 0) {
                ctl_note("RFC %u: in store", number);
                return;
        }
        if (!holder)
                holder = "-";
        if (member_is_set(d, "peerId"))
                (void) snprintf(id, sizeof(id), "peer %" PRIu64, member_uint(d, "peerId"));
        ctl_note("RFC %u: fetched from %s%s%s%s, %s in %s, sha256 %s%s", number, id, id[0] ? " (" : "", holder,
                 id[0] ? ")" : "", show_size(member_uint(d, "size"), size),
                 show_duration(member_uint(d, "durationUSec"), duration),
                 show_digest(member_string(d, "sha256"), digest), show_trust(d, trust));
}

/* "Note: RFC 7 is obsolete, see RFC 9, RFC 11." */
static void tell_obsolete(uint32_t number, const json_t *d) {
        const json_t *others = json_object_get(d, "obsoletedBy");
        _cleanup_buf_ Buf b = BUF_INIT(1024);
        bool fits = true;

        for (size_t i = 0; fits && i < json_array_size(others); i++)
                fits = buf_printf(&b, "%s RFC %" JSON_INTEGER_FORMAT, i > 0 ? "," : "",
                                  json_integer_value(json_array_get(others, i))) == 0;
        if (b.size > 0)
                ctl_note("Note: RFC %u is obsolete, see%.*s%s.", number, (int) b.size, b.data, fits ? "" : ", …");
}

/* "insteadOf": those that were asked for. */
static void set_instead(const Get *g, uint32_t number, json_t *d) {
        char key[16];
        json_t *old;

        (void) snprintf(key, sizeof(key), "%" PRIu32, number);
        old = json_object_get(g->instead, key);
        if (old)
                (void) json_object_set(d, "insteadOf", old);
}

/* One that is done. Exit code, or < 0. */
static int get_tell(Get *g, size_t place, json_t *d) {
        const char *result = member_string(d, "result"), *path = member_string(d, "path");
        uint32_t number = g->numbers.asked[place];

        set_instead(g, number, d);
        if (g->answer && json_array_append(g->answer, d) < 0)
                return -ENOMEM;
        if (member_bool(d, "serversAway") && !g->told_servers) {
                g->told_servers = true;
                ctl_note("Note: no registration server answered, so only last-known peers could be asked.");
        }
        if (member_bool(d, "noText"))
                return ctl_fail(CTL_NOT_HELD, "RFC %u is not held by any reachable peer: the RFC Editor has no text of it, "
                                "only other formats.", number);
        if (!result || strcmp(result, "ok") != 0)
                return ctl_fail_document(result, number, member_string(d, "message"), g->numbers.n > 1);
        /* It goes out byte for byte, to programs, but a terminal may see it, too. */
        if (path && !text_is_fit(slice_of(path)))
                return ctl_fail(CTL_FAILURE, "RFC %u: the path of its file is nothing to be shown: %s", number, path);
        g->good[place] = true;
        if (g->quiet)
                return 0;
        tell_fetched(number, d);
        tell_obsolete(number, d);
        if (!g->answer && path) {
                puts(path);
                /* Beside the lines on stderr it shall stand where it belongs. */
                fflush(stdout);
        }
        return 0;
}

static void on_tick(void *userdata) {
        bar_tick(userdata);
}

/* All that can be told now; with `rest` those too that wait for one that is not done. */
static int get_tell_ready(Get *g, bool rest) {
        int code = 0;

        for (; g->n_told < g->numbers.n; g->n_told++) {
                json_t *d = TAKE_PTR(g->downloads[g->n_told]);
                int r;

                if (!d && !rest)
                        break;
                if (!d)
                        continue;
                bar_hide();
                r = get_tell(g, g->n_told, d);
                json_decref(d);
                if (r < 0)
                        return r;
                code = MAX_OF(code, r);
        }
        return code;
}

static void show_progress(Get *g, size_t place, const char *state, const json_t *d) {
        const char *source = member_string(d, "source");
        bool done = strcmp(state, "done") == 0, local = source && strcmp(source, "local") == 0;
        bool fetching = strcmp(state, "fetching") == 0;
        uint64_t size = local ? 0 : member_uint(d, "size");

        bar_update(&g->bar, place, done ? PROGRESS_DONE : fetching ? PROGRESS_FETCHING : PROGRESS_SEARCHING, size,
                   done ? size : member_uint(d, "received"), member_string(d, "holder"));
}

static int get_on_reply(json_t *parameters, _unused_ int fd, void *userdata) {
        json_t *d = json_object_get(parameters, "download");
        const char *state = member_string(d, "state");
        uint64_t number = member_uint(d, "number");
        Get *g = userdata;
        size_t place;

        if (!state || number > RFC_NUMBER_MAX || !numbers_find(&g->numbers, (uint32_t) number, &place) ||
            place < g->n_told)
                return 0;
        show_progress(g, place, state, d);
        if (strcmp(state, "done") != 0)
                return 0;
        json_decref(g->downloads[place]);
        g->downloads[place] = json_incref(d);
        return get_tell_ready(g, false);
}

static int get_send(Ctl *ctl, Get *g, size_t first, const char *transaction) {
        size_t end = MIN_OF(first + GET_BATCH, g->numbers.n);
        json_t *numbers = json_array(), *parameters;
        bool good = numbers != NULL;

        for (size_t i = first; good && i < end; i++)
                good = json_array_append_new(numbers, json_integer((json_int_t) g->numbers.asked[i])) == 0;
        if (!good) {
                json_decref(numbers);
                return -ENOMEM;
        }
        parameters = json_pack("{s:o, s:s}", "numbers", numbers, "transaction", transaction);
        if (!parameters)
                return -ENOMEM;
        return ctl_call_more(ctl, "org.p2pdi.Peer.Get", parameters, get_on_reply, g);
}

static int get_batches(Ctl *ctl, Get *g) {
        char transaction[17];
        size_t first = 0;
        int code = 0, r;

        (void) snprintf(transaction, sizeof(transaction), "%016" PRIx64, random_u64() | 1);  /* never 0 */
        for (; first < g->numbers.n; first += GET_BATCH) {
                size_t end = MIN_OF(first + GET_BATCH, g->numbers.n);

                r = get_send(ctl, g, first, transaction);
                if (r < 0)
                        return r;
                code = MAX_OF(code, r);
                /* Cut short (the time passed, nobody answers): that was told, and no further batch will do better. */
                if (g->n_told < end && r > 0)
                        break;
                for (size_t i = MAX_OF(first, g->n_told); i < end; i++)
                        if (!g->downloads[i]) {
                                r = ctl_fail(CTL_FAILURE, "RFC %u: the daemon did not say how it ended.",
                                             g->numbers.asked[i]);
                                code = MAX_OF(code, r);
                        }
        }
        r = get_tell_ready(g, true);
        return r < 0 ? r : MAX_OF(code, r);
}

int get_run(Ctl *ctl, Get *g) {
        bool wanted = !ctl->quiet && ctl->json == SHOW_JSON_OFF;
        int r;

        r = ctl_connect(ctl);
        if (r != 0)
                return r;
        r = bar_begin(&g->bar, wanted, ctl->quiet ? NULL : FAREWELL, g->numbers.asked, g->numbers.n);
        if (r < 0)
                return r;
        varlink_client_set_tick(ctl->client, BAR_INTERVAL, on_tick, &g->bar);
        r = get_batches(ctl, g);
        varlink_client_set_tick(ctl->client, 0, NULL, NULL);
        bar_end(&g->bar);
        return r;
}
