/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Log: structured entries for the journal (native protocol) when stderr is the journal, else one readable line on stderr. Never blocks: a
 * full journal socket drops the entry and counts it. Any thread may log.
 *
 * Transactions are logged one by one up to Log.TransactionsPerSec=; beyond that they are counted, and one summary a second tells the counts by
 * operation and result. Warnings and errors have a rate of their own per MESSAGE_ID, with a count of what was suppressed.
 *
 * Values from outside go in as they are: this is the one place that cuts and escapes them.
 */

#include "core/address.h"
#include "core/base.h"
#include "io/conf.h"

#include <stdarg.h>

/* Events: X(name, MESSAGE_ID). One table for code, catalog and manual, see p2pdi-rsd(8) and p2pdi-peerd(8). */
#define LOG_EVENTS(X)                                                                                                   \
        X(RS_REGISTERED, "7da82e649f54447baa6a42c643027c59")                                                          \
        X(RS_RETURNED, "69371e00cb8a40e5984448601d9d2f27")                                                            \
        X(RS_LEFT, "7e3e55e6d2a1469db3721841f27ed8ae")                                                                \
        X(RS_EXPIRED, "f60f9195dc044cd6a12c54b94d34c9ff")                                                             \
        X(RS_LISTED, "3b1ee95b42c441418fef9f5fa3df103b")                                                              \
        X(RS_UNKNOWN_COOKIE, "b63c21d30641459b867348339c4aaf41")                                                      \
        X(RS_MOVED, "9e325cb09f684a46b0489122b8e8fcbc")                                                            \
        X(RS_FULL, "51e18c50beb745a3b115457c461ed8ca")                                                                \
        X(SOURCE_LIMITED, "928bdc478b9c455f96b7c1c9462242b3")                                                         \
        X(MALFORMED, "0ad63a738c904cbdbf80833d165dae71")                                                              \
        X(REGISTERED, "1d9aa36245b1401ebd1999526d73099d")                                                             \
        X(RS_UNREACHABLE, "be063fedef1f486b8808428f32f2d5e7")                                                         \
        X(RS_REACHABLE, "c39475ded6f74bb5a785779d4874db76")                                                           \
        X(INDEX_PULLED, "89825afb80aa43c8966b50d3fc2e8276")                                                           \
        X(INDEX_REFUSED, "af6b031105df45b8a9dce506c7c0b765")                                                          \
        X(RFC_SERVED, "49fcaa677dc44a8692c0d373b0af1257")                                                             \
        X(RFC_FETCHED, "476f91dac0d14336b2d4d3b4eace5326")                                                            \
        X(FETCH_FAILED, "bffdccfd0f3e41728138406fc17b1199")                                                           \
        X(NOT_HELD, "5cd70ee964124261b5e78084d559ee0d")                                                               \
        X(DIGEST_MISMATCH, "de9b8cc84efb4fd5813d24ae3b8e2c3e")                                                        \
        X(DISPUTED, "77cab8557ea94b258d767bd260307b92")                                                               \
        X(DAMAGED, "35f0e68709a2480097350bab92272c8d")                                                                \
        X(QUARANTINED, "7fa2fac5e53643d5b5f967828336ea86")                                                            \
        X(STORE_FULL, "3ee3dad222cd45c994dcaccc427ee07d")                                                             \
        X(EDITOR_INDEX_TAKEN, "2712159ba72c42d382b4af7188f635f7")                                                      \
        X(EDITOR_INDEX_REFUSED, "f805ba6dd6784a4d90c8e546c26ec28d")                                                    \
        X(IMPORTED, "504180adaa3c4cccbcbc832df620c5ad")                                                                \
        X(SYNC, "38a85677e212476bbf5ea5cabb4e4896")                                                                   \
        X(CONF_LOADED, "0a2e133daed04ed6a7da4df5431026e0")                                                            \
        X(CONF_INVALID, "d9ac40223dc84beba8197d58844204d4")                                                           \
        X(CONF_DRIFT, "a5ef0c6d702745e39ffd6919b657fd26")                                                             \
        X(GENERATOR_REFUSED, "99af8bfefd8941fca00b7ba827053330")                                                      \
        X(CONTROL_CHANGED, "a004692ea6294fd8bdfa12564b9f4e32")                                                        \
        X(CONTROL_DENIED, "11d26eaffc7048d2b18d25d4a9d9bb48")                                                         \
        X(SELF_CHECK_FAILED, "9d827f327923473c9bbeac6144496212")

typedef enum LogEvent {
        LOG_EVENT_NONE,                 /* no MESSAGE_ID */
#define LOG_EVENT_ENUM(name, id) LOG_EVENT_##name,
        LOG_EVENTS(LOG_EVENT_ENUM)
#undef LOG_EVENT_ENUM
        _LOG_EVENT_MAX,
} LogEvent;

/* Fields of our own: P2PDI_… is added. What is zero or NULL is left out. */
typedef struct LogFields {
        uint64_t transaction;
        const char *operation;          /* "register", "get-rfc" … */
        const char *result;             /* "ok", "refused", "timeout", "mismatch" … */
        uint32_t peer_id;
        const Endpoint *peer;           /* P2PDI_PEER_ADDRESS and P2PDI_PEER_PORT */
        uint32_t rfc;
        const Digest *sha256, *sha256_expected;
        const char *trust;              /* "verified", "agreed", "single", "disputed" */
        bool has_size;
        uint64_t size;
        bool has_bytes;
        uint64_t bytes;
        bool has_duration;
        usec_t duration_usec;
        bool has_generation;
        uint64_t generation, epoch;
        bool has_entries;
        uint64_t entries_added, entries_removed;
        const char *source;             /* "local", "peer" */
        const char *config_file;
        unsigned config_line;
        const char *limit;
        bool has_uid;
        uint32_t uid;
} LogFields;

/* identifier: "p2pdi-rsd". Looks whether stderr is the journal ($JOURNAL_STREAM compared with fstat). */
void log_open(const char *identifier);
void log_set_level(LogLevel max);
LogLevel log_get_level(void);
void log_set_transaction_rate(uint32_t per_sec);

/*
 * One entry. The message is a sentence in plain words; what is formatted in is escaped afterwards as a whole and cut to 2 KiB. fields may be NULL.
 */
void log_entry(LogLevel level, LogEvent event, const LogFields *fields, const char *format, ...) _printf_(4, 5);
/* The same without event or fields. */
#define log_error(...) log_entry(LOG_LEVEL_ERR, LOG_EVENT_NONE, NULL, __VA_ARGS__)
#define log_warning(...) log_entry(LOG_LEVEL_WARNING, LOG_EVENT_NONE, NULL, __VA_ARGS__)
#define log_notice(...) log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_NONE, NULL, __VA_ARGS__)
#define log_info(...) log_entry(LOG_LEVEL_INFO, LOG_EVENT_NONE, NULL, __VA_ARGS__)
#define log_debug(...) log_entry(LOG_LEVEL_DEBUG, LOG_EVENT_NONE, NULL, __VA_ARGS__)
/* What a negative errno means, as strerror() would say it, but from any thread. Never NULL. */
const char *error_text(int error);
/* "sentence: " and error_text(); gives error. */
int log_errno(LogLevel level, int error, const char *format, ...) _printf_(3, 4);
/* The last error that this thread has logged, for STATUS= of a daemon that ends because of it; empty: none. What was got over is a warning. */
const char *log_last_error(void);

/* One transaction, at info: subject to the rate, else counted. */
void log_transaction(LogEvent event, const LogFields *fields, const char *format, ...) _printf_(3, 4);
/* At debug, a head as received: "received from 192.0.2.1:65424: POST Register P2P-DI/1.0 | Cookie: *** | …". Costs one comparison otherwise. */
void log_head(const Endpoint *from, Slice bytes);

/*
 * Watching: while log_observe() is on, the observer hears of every transaction, whatever level and rate, and of every
 * other entry of notice and above before its rate, as log-text.h has them. It runs in the thread that logs, and must
 * not log. There is one for good, set before it is first switched on.
 */
struct LogEntry;
void log_set_observer(void (*f)(const struct LogEntry *e, void *userdata), void *userdata);
void log_observe(bool on);

/* Once a second, from the main loop while it returns true: writes the summaries that are due. */
bool log_summarize(const Now *now);
/* Entries that the journal did not take. */
uint64_t log_dropped(void);

const char *log_level_name(LogLevel l);                         /* "info" */
int log_level_from_text(const char *s, LogLevel *ret) _must_check_;     /* also "0".."7", "error", "warn"; 0 or 1 */
