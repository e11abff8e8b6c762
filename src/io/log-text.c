/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/log-text.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/text.h"

static const char *const ids[_LOG_EVENT_MAX] = {
#define LOG_EVENT_ROW(word, message_id) [LOG_EVENT_##word] = message_id,
        LOG_EVENTS(LOG_EVENT_ROW)
#undef LOG_EVENT_ROW
};

static const char *const kinds[_LOG_EVENT_MAX] = {
        [LOG_EVENT_NONE] = "messages of other kinds",
        [LOG_EVENT_RS_REGISTERED] = "new registrations",
        [LOG_EVENT_RS_RETURNED] = "registrations of peers that came back",
        [LOG_EVENT_RS_LEFT] = "peers that left",
        [LOG_EVENT_RS_EXPIRED] = "leases that ended",
        [LOG_EVENT_RS_LISTED] = "queries for the active peers",
        [LOG_EVENT_RS_UNKNOWN_COOKIE] = "unknown cookies",
        [LOG_EVENT_RS_MOVED] = "cookies from another address",
        [LOG_EVENT_RS_FULL] = "registrations over a limit",
        [LOG_EVENT_SOURCE_LIMITED] = "refused connections",
        [LOG_EVENT_MALFORMED] = "refused requests",
        [LOG_EVENT_REGISTERED] = "registrations at a server",
        [LOG_EVENT_RS_UNREACHABLE] = "registration servers that can't be reached",
        [LOG_EVENT_RS_REACHABLE] = "registration servers that can be reached again",
        [LOG_EVENT_INDEX_PULLED] = "index pulls",
        [LOG_EVENT_INDEX_REFUSED] = "refused indexes",
        [LOG_EVENT_RFC_SERVED] = "documents served",
        [LOG_EVENT_RFC_FETCHED] = "documents fetched",
        [LOG_EVENT_FETCH_FAILED] = "failed fetches",
        [LOG_EVENT_NOT_HELD] = "documents that were not found",
        [LOG_EVENT_DIGEST_MISMATCH] = "digests that do not match",
        [LOG_EVENT_DISPUTED] = "disputed RFCs",
        [LOG_EVENT_DAMAGED] = "damaged documents",
        [LOG_EVENT_STORE_FULL] = "evictions",
        [LOG_EVENT_QUARANTINED] = "quarantined peers",
        [LOG_EVENT_EDITOR_INDEX_TAKEN] = "editor's indexes",
        [LOG_EVENT_EDITOR_INDEX_REFUSED] = "refused editor's indexes",
        [LOG_EVENT_IMPORTED] = "imports",
        [LOG_EVENT_SYNC] = "ends of syncs",
        [LOG_EVENT_CONF_LOADED] = "configurations loaded",
        [LOG_EVENT_CONF_INVALID] = "issues of the configuration",
        [LOG_EVENT_CONTROL_CHANGED] = "calls of users",
        [LOG_EVENT_CONTROL_DENIED] = "denied calls of users",
        [LOG_EVENT_CONF_DRIFT] = "differences between sockets and configuration",
        [LOG_EVENT_GENERATOR_REFUSED] = "configurations that the generator could not use",
        [LOG_EVENT_SELF_CHECK_FAILED] = "failed self-checks",
};

const char *log_event_id(LogEvent event) {
        assert((size_t) event < ELEMENTSOF(ids));
        return ids[event];
}

const char *log_event_kind(LogEvent event) {
        assert((size_t) event < ELEMENTSOF(kinds));
        return kinds[event];
}

/* The steps below stand one after the other: the first that fails is kept in r, and those behind it do nothing. */
typedef struct Writer {
        Buf *b;
        int r;
} Writer;

static void put_string(Writer *w, const char *name, const char *value) {
        if (!value || w->r != 0)
                return;
        w->r = buf_append_string(w->b, name);
        if (w->r == 0)
                w->r = text_escape(w->b, slice_of(value), LOG_FIELD_MAX);
        if (w->r == 0)
                w->r = buf_append_char(w->b, '\n');
}

static void put_number(Writer *w, const char *name, uint64_t value) {
        if (w->r == 0)
                w->r = buf_printf(w->b, "%s%" PRIu64 "\n", name, value);
}

static void put_digest(Writer *w, const char *name, const Digest *d) {
        char text[DIGEST_TEXT_SIZE];

        if (!d)
                return;
        digest_to_text(d, text);
        put_string(w, name, text);
}

static void put_peer(Writer *w, const Endpoint *peer) {
        char text[ADDRESS_TEXT_SIZE];

        if (!peer)
                return;
        address_to_text(&peer->address, text);
        put_string(w, "P2PDI_PEER_ADDRESS=", text);
        if (peer->port > 0)
                put_number(w, "P2PDI_PEER_PORT=", peer->port);
}

static void put_fields(Writer *w, const LogFields *f) {
        if (f->transaction != 0 && w->r == 0)
                w->r = buf_printf(w->b, "P2PDI_TRANSACTION=%016" PRIx64 "\n", f->transaction);
        put_string(w, "P2PDI_OPERATION=", f->operation);
        put_string(w, "P2PDI_RESULT=", f->result);
        if (f->peer_id != 0)
                put_number(w, "P2PDI_PEER_ID=", f->peer_id);
        put_peer(w, f->peer);
        if (f->rfc != 0)
                put_number(w, "P2PDI_RFC=", f->rfc);
        put_digest(w, "P2PDI_SHA256=", f->sha256);
        put_digest(w, "P2PDI_SHA256_EXPECTED=", f->sha256_expected);
        put_string(w, "P2PDI_TRUST=", f->trust);
        if (f->has_size)
                put_number(w, "P2PDI_SIZE=", f->size);
        if (f->has_bytes)
                put_number(w, "P2PDI_BYTES=", f->bytes);
        if (f->has_duration)
                put_number(w, "P2PDI_DURATION_USEC=", f->duration_usec);
        if (f->has_generation) {
                put_number(w, "P2PDI_GENERATION=", f->generation);
                put_number(w, "P2PDI_EPOCH=", f->epoch);
        }
        if (f->has_entries) {
                put_number(w, "P2PDI_ENTRIES_ADDED=", f->entries_added);
                put_number(w, "P2PDI_ENTRIES_REMOVED=", f->entries_removed);
        }
        put_string(w, "P2PDI_SOURCE=", f->source);
        put_string(w, "P2PDI_CONFIG_FILE=", f->config_file);
        if (f->config_line != 0)
                put_number(w, "P2PDI_CONFIG_LINE=", f->config_line);
        put_string(w, "P2PDI_LIMIT=", f->limit);
        if (f->has_uid)
                put_number(w, "P2PDI_CONTROL_UID=", f->uid);
}

int log_text_journal(Buf *b, const LogEntry *e) {
        Writer w = { .b = b };

        w.r = buf_append_string(b, "MESSAGE=");
        if (w.r == 0)
                w.r = text_escape(b, e->message, LOG_MESSAGE_MAX);
        if (w.r == 0)
                w.r = buf_append_char(b, '\n');
        put_number(&w, "PRIORITY=", e->level);
        put_string(&w, "SYSLOG_IDENTIFIER=", e->identifier);
        put_string(&w, "MESSAGE_ID=", log_event_id(e->event));
        if (e->fields)
                put_fields(&w, e->fields);
        return w.r;
}

/* Does the message have this in it, as a word and in any case: "Peer 3", but not of "Peer 31"? */
static bool mentions(Slice message, const char *word) {
        size_t n = strlen(word);

        for (size_t i = 0; n > 0 && i + n <= message.size; i++) {
                bool ends = i + n == message.size || message.data[i + n] < '0' || message.data[i + n] > '9';

                if (ends && slice_equal_nocase((Slice){ message.data + i, n }, (Slice){ word, n }))
                        return true;
        }
        return false;
}

/* What goes into the brackets behind the message, with a comma where something is there already. */
typedef struct Aside {
        Writer w;
        Slice message;
        bool is_open;
} Aside;

static void aside(Aside *a, const char *text) {
        if (a->w.r != 0)
                return;
        a->w.r = buf_append_string(a->w.b, a->is_open ? ", " : " (");
        if (a->w.r == 0)
                a->w.r = text_escape(a->w.b, slice_of(text), LOG_FIELD_MAX);
        a->is_open = true;
}

static void aside_unless_said(Aside *a, const char *text) {
        if (!mentions(a->message, text))
                aside(a, text);
}

static void format_duration(usec_t t, char ret[32]) {
        if (t < USEC_PER_MSEC)
                (void) snprintf(ret, 32, "%" PRIu64 "us", t);
        else if (t < USEC_PER_SEC)
                (void) snprintf(ret, 32, "%" PRIu64 "ms", t / USEC_PER_MSEC);
        else
                (void) snprintf(ret, 32, "%" PRIu64 ".%" PRIu64 "s", t / USEC_PER_SEC,
                                t % USEC_PER_SEC / (USEC_PER_SEC / 10));
}

static void aside_peer(Aside *a, const LogFields *f) {
        char text[ENDPOINT_TEXT_SIZE], id[32];

        if (f->peer_id != 0) {
                (void) snprintf(id, sizeof(id), "peer %" PRIu32, f->peer_id);
                aside_unless_said(a, id);
        }
        if (!f->peer)
                return;
        if (f->peer->port > 0)
                endpoint_to_text(f->peer, text);
        else
                address_to_text(&f->peer->address, text);
        aside_unless_said(a, text);
}

static void aside_fields(Aside *a, const LogFields *f) {
        char text[LOG_FIELD_MAX];

        if (f->operation || f->result) {
                (void) snprintf(text, sizeof(text), "%s%s%s", f->operation ? f->operation : "",
                                f->operation && f->result ? " " : "", f->result ? f->result : "");
                aside(a, text);
        }
        aside_peer(a, f);
        if (f->rfc != 0) {
                (void) snprintf(text, sizeof(text), "RFC %" PRIu32, f->rfc);
                aside_unless_said(a, text);
        }
        if (f->has_bytes) {
                (void) snprintf(text, sizeof(text), "%" PRIu64 " bytes", f->bytes);
                aside_unless_said(a, text);
        }
        if (f->limit)
                aside_unless_said(a, f->limit);
        if (f->config_file) {
                if (f->config_line != 0)
                        (void) snprintf(text, sizeof(text), "%s:%u", f->config_file, f->config_line);
                else
                        (void) snprintf(text, sizeof(text), "%s", f->config_file);
                aside_unless_said(a, text);
        }
        if (f->has_duration) {
                format_duration(f->duration_usec, text);
                aside(a, text);
        }
}

int log_text_line(Buf *b, const LogEntry *e) {
        Aside a = { .w.b = b, .message = e->message };
        size_t end;

        a.w.r = buf_printf(b, "%s: ", e->identifier);
        if (a.w.r == 0)
                a.w.r = text_escape(b, e->message, LOG_MESSAGE_MAX);
        end = b->size;
        if (e->fields)
                aside_fields(&a, e->fields);
        /* Where the sentence goes on, its full stop goes, and the bracket has room for sure. */
        if (a.w.r == 0 && a.is_open && b->data[end - 1] == '.') {
                memmove(b->data + end - 1, b->data + end, b->size - end);
                b->data[b->size - 1] = ')';
        } else if (a.w.r == 0 && a.is_open)
                a.w.r = buf_append_char(b, ')');
        if (a.w.r == 0 && e->fields && e->fields->transaction != 0)
                a.w.r = buf_printf(b, " [%016" PRIx64 "]", e->fields->transaction);
        if (a.w.r == 0)
                a.w.r = buf_append_char(b, '\n');
        return a.w.r;
}

/* A cookie of ours, or whatever a browser or curl was made to send: also Set-Cookie and Proxy-Authorization. */
static bool find_secret(Slice line, size_t *ret_end) {
        static const char *const words[] = { "cookie", "authorization" };

        for (size_t i = 0; i < line.size; i++)
                for (size_t k = 0; k < ELEMENTSOF(words); k++) {
                        const Slice word = slice_of(words[k]);

                        if (word.size <= line.size - i &&
                            slice_equal_nocase((Slice){ line.data + i, word.size }, word)) {
                                *ret_end = i + word.size;
                                return true;
                        }
                }
        return false;
}

int log_text_head(Buf *b, Slice bytes) {
        Slice line;
        bool hidden = false, first = true;
        int r;

        while (bytes.size > 0 && slice_split(&bytes, '\n', &line)) {
                size_t end;

                if (line.size > 0 && line.data[line.size - 1] == '\r')
                        line.size--;
                if (line.size == 0)
                        continue;
                /* A line that begins with a blank continues the one before. */
                if (hidden && (line.data[0] == ' ' || line.data[0] == '\t'))
                        continue;

                r = first ? 0 : buf_append_string(b, " | ");
                first = false;
                hidden = find_secret(line, &end);
                if (r == 0)
                        r = buf_append(b, line.data, hidden ? end : line.size);
                if (r == 0 && hidden)
                        r = buf_append_string(b, ": ***");
                if (r != 0)
                        return r;
        }
        return 0;
}
