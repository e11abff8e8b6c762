/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "core/buf.h"
#include "io/journal-send.h"
#include "io/log-internal.h"
#include "io/log-rate.h"
#include "io/log-text.h"
#include "io/loop.h"

#define DEFAULT_TRANSACTIONS_PER_SEC 500

/* Set before there are threads; only read then. */
static LogTarget target = { .identifier = "p2pdi", .fd = STDERR_FILENO, .now = now_read };
static JournalSender journal = { .fd = -1 };

static _Atomic int level_max = LOG_LEVEL_INFO;
static _Atomic uint64_t n_dropped;

/* Set before `observing`, and not changed after it. */
static void (*observer)(const struct LogEntry *e, void *userdata);
static void *observer_userdata;
static atomic_bool observing;

static pthread_mutex_t rate_mutex = PTHREAD_MUTEX_INITIALIZER;
static LogRate rate = { .transactions_per_sec = DEFAULT_TRANSACTIONS_PER_SEC };        /* under rate_mutex */

static void unlock(pthread_mutex_t **m) {
        (void) pthread_mutex_unlock(*m);
}

/* Held until the end of the block. */
#define HOLD_RATE                                                                                                      \
        _cleanup_(unlock) _unused_ pthread_mutex_t *held = (pthread_mutex_lock(&rate_mutex), &rate_mutex)

void log_open_target(const LogTarget *t) {
        HOLD_RATE;

        journal_sender_done(&journal);
        target = *t;
        rate = (LogRate){ .transactions_per_sec = DEFAULT_TRANSACTIONS_PER_SEC };
        atomic_store(&n_dropped, 0);
        if (t->journal_path && journal_sender_init(&journal, t->journal_path) < 0)
                target.journal_path = NULL;
}

void log_open(const char *identifier) {
        log_open_target(&(LogTarget){
                .identifier = identifier,
                .journal_path = journal_owns_fd(STDERR_FILENO) ? JOURNAL_SOCKET_PATH : NULL,
                .fd = STDERR_FILENO,
                .now = now_read,
        });
}

void log_set_level(LogLevel max) {
        atomic_store(&level_max, (int) max);
}

LogLevel log_get_level(void) {
        return (LogLevel) atomic_load(&level_max);
}

void log_set_transaction_rate(uint32_t per_sec) {
        HOLD_RATE;

        rate.transactions_per_sec = per_sec;
}

void log_set_observer(void (*f)(const struct LogEntry *e, void *userdata), void *userdata) {
        observer = f;
        observer_userdata = userdata;
}

void log_observe(bool on) {
        assert(!on || observer);
        atomic_store(&observing, on);
}

uint64_t log_dropped(void) {
        return atomic_load(&n_dropped);
}

/*
 * A reader of our stderr that stopped reading must not stop us: a pipe that is writable takes LOG_LINE_MAX bytes at
 * once.
 */
static bool write_line(Slice line) {
        struct pollfd p = { .fd = target.fd, .events = POLLOUT };
        ssize_t n;

        if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
                return false;
        do
                n = write(target.fd, line.data, line.size);
        while (n < 0 && errno == EINTR);
        return n == (ssize_t) line.size;
}

/* errno is kept: who logs may still want it. On the stack, since that there is no memory is to be told as well. */
static void emit(const LogEntry *e) {
        char room[LOG_ENTRY_MAX + 1];
        Buf b = { .data = room, .allocated = LOG_ENTRY_MAX, .max = target.journal_path ? LOG_ENTRY_MAX : LOG_LINE_MAX };
        int saved = errno;
        bool sent;

        if (target.journal_path)
                sent = log_text_journal(&b, e) == 0 && journal_sender_send(&journal, buf_slice(&b));
        else
                sent = log_text_line(&b, e) == 0 && write_line(buf_slice(&b));
        if (!sent)
                atomic_fetch_add(&n_dropped, 1);
        errno = saved;
}

/* A message as formatted; what is longer than LOG_MESSAGE_MAX is cut by text_escape(), which puts an ellipsis there. */
typedef struct Message {
        char text[LOG_MESSAGE_MAX + 128];
} Message;

static void _printf_(2, 0) message_format(Message *m, const char *format, va_list ap) {
        if (vsnprintf(m->text, sizeof(m->text), format, ap) < 0)
                m->text[0] = '\0';
}

static _Thread_local Message last_error;

const char *log_last_error(void) {
        return last_error.text;
}

static void emit_message(LogLevel level, LogEvent event, const LogFields *fields, const char *message) {
        emit(&(LogEntry){
                .identifier = target.identifier,
                .level = level,
                .event = event,
                .fields = fields,
                .message = slice_of(message),
        });
}

static void _printf_(4, 0)
show_observer(LogLevel level, LogEvent event, const LogFields *fields, const char *format, va_list ap) {
        va_list copy;
        Message m;

        if (!atomic_load_explicit(&observing, memory_order_acquire))
                return;
        va_copy(copy, ap);
        message_format(&m, format, copy);
        va_end(copy);
        observer(&(LogEntry){ target.identifier, level, event, fields, slice_of(m.text) }, observer_userdata);
}

static bool is_wanted(LogLevel level) {
        return (int) level <= atomic_load_explicit(&level_max, memory_order_relaxed);
}

static bool take_event(LogLevel level, LogEvent event, uint64_t *ret_suppressed) {
        Now now;

        /* The common case costs neither clock nor lock. */
        if (level >= LOG_LEVEL_INFO) {
                *ret_suppressed = 0;
                return true;
        }
        target.now(&now);
        HOLD_RATE;
        return log_rate_take_event(&rate, level, event, &now, ret_suppressed);
}

static void _printf_(4, 0)
log_entry_va(LogLevel level, LogEvent event, const LogFields *fields, const char *format, va_list ap) {
        uint64_t n_suppressed;
        Message m;
        size_t n;

        if (level <= LOG_LEVEL_NOTICE)
                show_observer(level, event, fields, format, ap);
        if (!is_wanted(level) || !take_event(level, event, &n_suppressed))
                return;
        message_format(&m, format, ap);
        /* A long message makes room for the count. */
        n = MIN_OF(strlen(m.text), LOG_MESSAGE_MAX - 80);
        if (level <= LOG_LEVEL_ERR)
                last_error = m;
        if (n_suppressed > 0)
                (void) snprintf(m.text + n, sizeof(m.text) - n, " (%llu more like this %s suppressed)",
                                (unsigned long long) n_suppressed, n_suppressed == 1 ? "was" : "were");
        emit_message(level, event, fields, m.text);
}

void log_entry(LogLevel level, LogEvent event, const LogFields *fields, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        log_entry_va(level, event, fields, format, ap);
        va_end(ap);
}

const char *error_text(int error) {
        const char *text = strerrordesc_np(abs(error)); /* has no state, unlike strerror() */

        return text ? text : "Unknown error";
}

int log_errno(LogLevel level, int error, const char *format, ...) {
        char what[512];
        va_list ap;

        if (!is_wanted(level) && !atomic_load_explicit(&observing, memory_order_acquire))
                return error;
        va_start(ap, format);
        if (vsnprintf(what, sizeof(what), format, ap) < 0)
                what[0] = '\0';
        va_end(ap);
        log_entry(level, LOG_EVENT_NONE, NULL, "%s: %s", what, error_text(error));
        return error;
}

void log_transaction(LogEvent event, const LogFields *fields, const char *format, ...) {
        const char *operation = fields ? fields->operation : NULL, *result = fields ? fields->result : NULL;
        bool allowed;
        va_list ap;
        Message m;
        Now now;

        va_start(ap, format);
        show_observer(LOG_LEVEL_INFO, event, fields, format, ap);
        va_end(ap);
        if (!is_wanted(LOG_LEVEL_INFO))
                return;
        target.now(&now);
        {
                HOLD_RATE;

                allowed = log_rate_take_transaction(&rate, operation, result, &now);
        }
        if (!allowed)
                return;
        va_start(ap, format);
        message_format(&m, format, ap);
        va_end(ap);
        emit_message(LOG_LEVEL_INFO, event, fields, m.text);
}

void log_head(const Endpoint *from, Slice bytes) {
        _cleanup_buf_ Buf b = BUF_INIT(2 * LOG_MESSAGE_MAX);
        char text[ENDPOINT_TEXT_SIZE];

        if (!is_wanted(LOG_LEVEL_DEBUG))
                return;
        endpoint_to_text(from, text);
        /* What is longer does not fit into a message anyway. */
        bytes.size = MIN_OF(bytes.size, LOG_MESSAGE_MAX);
        if (buf_printf(&b, "received from %s: ", text) != 0 || log_text_head(&b, bytes) < 0) {
                atomic_fetch_add(&n_dropped, 1);
                return;
        }
        emit(&(LogEntry){
                .identifier = target.identifier,
                .level = LOG_LEVEL_DEBUG,
                .event = LOG_EVENT_NONE,
                .message = buf_slice(&b),
        });
}

static void summarize_transactions(const LogRateCounts *c) {
        _cleanup_buf_ Buf b = BUF_INIT(2 * LOG_MESSAGE_MAX);
        int r;

        r = buf_printf(&b, "%llu more transactions, only counted:", (unsigned long long) c->n_all);
        for (size_t i = 0; r == 0 && i < c->n_kinds; i++)
                r = buf_printf(&b, "%s %s%s%s %llu", i > 0 ? "," : "",
                               c->kinds[i].operation[0] ? c->kinds[i].operation : "unnamed",
                               c->kinds[i].result[0] ? " " : "", c->kinds[i].result,
                               (unsigned long long) c->kinds[i].n);
        if (r == 0 && c->n_other > 0)
                r = buf_printf(&b, ", other %llu", (unsigned long long) c->n_other);
        if (r < 0) {
                atomic_fetch_add(&n_dropped, 1);
                return;
        }
        emit(&(LogEntry){
                .identifier = target.identifier,
                .level = LOG_LEVEL_INFO,
                .event = LOG_EVENT_NONE,
                .message = buf_slice(&b),
        });
}

static void summarize_event(LogEvent event, LogLevel level, uint64_t n) {
        char text[128];

        (void) snprintf(text, sizeof(text), "%llu more like this %s suppressed: %s", (unsigned long long) n,
                        n == 1 ? "was" : "were", log_event_kind(event));
        emit_message(level, event, NULL, text);
}

bool log_summarize(const Now *now) {
        LogRateCounts counts;
        bool has_counts;

        {
                HOLD_RATE;

                if (!log_rate_is_pending(&rate))
                        return false;
                has_counts = log_rate_take_counts(&rate, &counts);
        }
        if (has_counts)
                summarize_transactions(&counts);

        for (LogEvent event = LOG_EVENT_NONE; event < _LOG_EVENT_MAX; event++) {
                LogLevel level;
                uint64_t n;
                bool due;

                {
                        HOLD_RATE;

                        due = log_rate_take_suppressed(&rate, event, now, &level, &n);
                }
                if (due)
                        summarize_event(event, level, n);
        }
        return true;
}
