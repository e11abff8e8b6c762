/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The metrics of the peer: the one table of what they are. What is counted lies with those who count it (client.h,
 * serve.h, control-internal.h); control-metrics.c brings it together. The manual is compared with the table.
 */

#include "core/metrics.h"
#include "io/listener.h"

#define PEERD_FORMATS(X)                                                                                               \
        X(TEXT, "text")

#define PEERD_ORIGINS(X)                                                                                               \
        X(LOCAL, "local")                                                                                              \
        X(REMOTE, "remote")

#define PEERD_PEER_STATES(X)                                                                                           \
        X(ACTIVE, "active")                                                                                            \
        X(STATIC, "static")                                                                                            \
        X(LAST_KNOWN, "last-known")                                                                                    \
        X(QUARANTINED, "quarantined")

/* What was asked of an index: some numbers; or all, which came, or what changed in it did, or nothing had. */
#define PEERD_PULL_KINDS(X)                                                                                            \
        X(NUMBERS, "numbers")                                                                                          \
        X(FULL, "full")                                                                                                \
        X(DELTA, "delta")                                                                                              \
        X(UNCHANGED, "unchanged")

/* As P2PDI_RESULT; FAILED stands for all that is this host's. */
#define PEERD_PULL_RESULTS(X)                                                                                          \
        X(OK, "ok")                                                                                                    \
        X(NOT_HELD, "not-held")                                                                                        \
        X(BUSY, "busy")                                                                                                \
        X(REFUSED, "refused")                                                                                          \
        X(TIMEOUT, "timeout")                                                                                          \
        X(TOO_SLOW, "too-slow")                                                                                        \
        X(BROKEN, "broken")                                                                                            \
        X(MALFORMED, "malformed")                                                                                      \
        X(QUARANTINED, "quarantined")                                                                                  \
        X(FAILED, "failed")

#define PEERD_SOURCES(X)                                                                                               \
        X(LOCAL, "local")                                                                                              \
        X(PEER, "peer")

/* In the order of LookupResult; then what is not one. */
#define PEERD_DOWNLOAD_RESULTS(X)                                                                                      \
        X(FOUND, "ok")                                                                                                 \
        X(NOT_HELD, "not-held")                                                                                        \
        X(NO_PEERS, "no-peers")                                                                                        \
        X(INTEGRITY, "integrity")                                                                                      \
        X(UNREACHABLE, "unreachable")                                                                                  \
        X(DISPUTED, "disputed")                                                                                        \
        X(UNTRUSTED, "untrusted")                                                                                      \
        X(FAILED, "failed")                                                                                            \
        X(NEVER_ISSUED, "never-issued")

#define PEERD_UPLOAD_RESULTS(X)                                                                                        \
        X(OK, "ok")                                                                                                    \
        X(BROKEN, "broken")                                                                                            \
        X(NOT_HELD, "not-held")                                                                                        \
        X(FAILED, "failed")

/* Those of connections are the last, as they stand in io/listener.h. */
#define PEERD_REFUSALS(X)                                                                                              \
        X(MALFORMED, "malformed")                                                                                      \
        LISTENER_REFUSALS(X)

#define PEERD_DIRECTIONS(X)                                                                                            \
        X(UP, "up")                                                                                                    \
        X(DOWN, "down")

#define PEERD_CONTROL_RESULTS(X)                                                                                       \
        X(OK, "ok")                                                                                                    \
        X(ERROR, "error")                                                                                              \
        X(DENIED, "denied")                                                                                            \
        X(GONE, "gone")

/*
 * X(id, type, name, unit, labels, help). The methods of the control interfaces are known at run time: "*" stands for
 * them.
 */
#define PEERD_METRICS(X)                                                                                               \
        X(STORE_FILES, GAUGE, "p2pdi_peer_store_files", "", "format=" PEERD_FORMATS(METRIC_VALUE),                     \
          "Documents in the library.")                                                                                 \
        X(STORE_BYTES, GAUGE, "p2pdi_peer_store_bytes", "bytes", "", "Bytes of the documents in the library.")         \
        X(STORE_LIMIT, GAUGE, "p2pdi_peer_store_limit_bytes", "bytes", "",                                             \
          "Bytes that the library may have, by Store.MaxSize=; not there if there is no limit.")                       \
        X(INDEX_ENTRIES, GAUGE, "p2pdi_peer_index_entries", "", "origin=" PEERD_ORIGINS(METRIC_VALUE),                 \
          "Records of the index: own documents, and what is known of other holders.")                                  \
        X(INDEX_GENERATION, GAUGE, "p2pdi_peer_index_generation", "", "",                                         \
          "Generation of the own documents: each change makes it one more.")             \
        X(INDEX_DISPUTED, GAUGE, "p2pdi_peer_index_disputed", "", "",                                                  \
          "RFCs of which holders, this peer among them, have different texts, and none is agreed or verified.")                             \
        X(INDEX_PULLS, COUNTER, "p2pdi_peer_index_pulls_total", "",                                                    \
          "kind=" PEERD_PULL_KINDS(METRIC_VALUE) ";result=" PEERD_PULL_RESULTS(METRIC_VALUE),                          \
          "Indexes of other peers asked for, by what was asked and how that ended.")                                   \
        X(INDEX_BYTES, COUNTER, "p2pdi_peer_index_bytes_total", "bytes", "",                                           \
          "Bytes of indexes received from other peers.")                                                               \
        X(PEERS, GAUGE, "p2pdi_peer_peers", "", "state=" PEERD_PEER_STATES(METRIC_VALUE), "Peers that this one knows.") \
        X(DOWNLOADS, COUNTER, "p2pdi_peer_downloads_total", "",                                                        \
          "source=" PEERD_SOURCES(METRIC_VALUE) ";result=" PEERD_DOWNLOAD_RESULTS(METRIC_VALUE),                       \
          "Documents asked for on this host, by where they were looked for and how that ended.")                       \
        X(DOWNLOAD_BYTES, COUNTER, "p2pdi_peer_download_bytes_total", "bytes", "",                                     \
          "Bytes of documents received, kept or not.")                                                                 \
        X(REPLICAS, COUNTER, "p2pdi_peer_replicas_total", "", "",                                                      \
          "Documents that were fetched since too few peers held them.")                                                \
        X(UPLOADS, COUNTER, "p2pdi_peer_uploads_total", "", "result=" PEERD_UPLOAD_RESULTS(METRIC_VALUE),              \
          "Documents that other peers asked for, by how that ended.")                                                  \
        X(UPLOAD_BYTES, COUNTER, "p2pdi_peer_upload_bytes_total", "bytes", "", "Bytes of documents sent.")             \
        X(REFUSED, COUNTER, "p2pdi_peer_refused_total", "", "reason=" PEERD_REFUSALS(METRIC_VALUE),                    \
          "Requests and connections of others refused, by why.")                                                       \
        X(TRANSFERS, GAUGE, "p2pdi_peer_transfers", "", "direction=" PEERD_DIRECTIONS(METRIC_VALUE),                   \
          "Documents being sent and being fetched now.")                                                               \
        X(TRANSFER_DURATION, HISTOGRAM, "p2pdi_peer_transfer_duration_seconds", "seconds",                             \
          "direction=" PEERD_DIRECTIONS(METRIC_VALUE), "From the request for a document to its end, of whole ones.")   \
        X(DIGEST_MISMATCHES, COUNTER, "p2pdi_peer_digest_mismatches_total", "", "",                                    \
          "Documents that were thrown away, because they were not what their holder stated.")                          \
        X(RS_REACHABLE, GAUGE, "p2pdi_peer_rs_reachable", "", "",                                                      \
          "1 if the last request to any registration server was answered, else 0.")                                    \
        X(RS_EXPIRY, GAUGE, "p2pdi_peer_rs_expiry_seconds", "seconds", "",                                             \
          "Time until the last registration of this peer ends, 0 if it has none.")                                     \
        X(AT_RISK, GAUGE, "p2pdi_peer_at_risk_rfcs", "", "",                                                           \
          "RFCs that are known to have exactly one holder, this peer counted.")                                        \
        X(CONFIG_DRIFT, GAUGE, "p2pdi_peer_config_drift", "", "",                                                      \
          "1 if the sockets of this peer are not what its configuration says, else 0.")                                \
        X(CONTROL_REQUESTS, COUNTER, "p2pdi_peer_control_requests_total", "",                                          \
          "method=*|other|;result=" PEERD_CONTROL_RESULTS(METRIC_VALUE), "Calls on the control socket, by how they ended.")  \
        X(LOG_DROPPED, COUNTER, "p2pdi_peer_log_dropped_total", "", "", "Log entries that the journal did not take.")

typedef enum PeerdMetric {
#define PEERD_METRIC_ENUM(id, type, name, unit, labels, help) PEERD_METRIC_##id,
        PEERD_METRICS(PEERD_METRIC_ENUM)
#undef PEERD_METRIC_ENUM
        _PEERD_METRIC_MAX,
} PeerdMetric;

/* One enum for each set of values, in its order. */
typedef enum PeerdOrigin {
#define PEERD_ORIGIN_ENUM(id, name) PEERD_ORIGIN_##id,
        PEERD_ORIGINS(PEERD_ORIGIN_ENUM)
#undef PEERD_ORIGIN_ENUM
        _PEERD_ORIGIN_MAX,
} PeerdOrigin;

typedef enum PeerdPeerState {
#define PEERD_PEER_STATE_ENUM(id, name) PEERD_PEER_##id,
        PEERD_PEER_STATES(PEERD_PEER_STATE_ENUM)
#undef PEERD_PEER_STATE_ENUM
        _PEERD_PEER_STATE_MAX,
} PeerdPeerState;

typedef enum PeerdPullKind {
#define PEERD_PULL_KIND_ENUM(id, name) PEERD_PULL_##id,
        PEERD_PULL_KINDS(PEERD_PULL_KIND_ENUM)
#undef PEERD_PULL_KIND_ENUM
        _PEERD_PULL_KIND_MAX,
} PeerdPullKind;

typedef enum PeerdPullResult {
#define PEERD_PULL_RESULT_ENUM(id, name) PEERD_PULL_RESULT_##id,
        PEERD_PULL_RESULTS(PEERD_PULL_RESULT_ENUM)
#undef PEERD_PULL_RESULT_ENUM
        _PEERD_PULL_RESULT_MAX,
} PeerdPullResult;

typedef enum PeerdSource {
#define PEERD_SOURCE_ENUM(id, name) PEERD_SOURCE_##id,
        PEERD_SOURCES(PEERD_SOURCE_ENUM)
#undef PEERD_SOURCE_ENUM
        _PEERD_SOURCE_MAX,
} PeerdSource;

typedef enum PeerdDownloadResult {
#define PEERD_DOWNLOAD_ENUM(id, name) PEERD_DOWNLOAD_##id,
        PEERD_DOWNLOAD_RESULTS(PEERD_DOWNLOAD_ENUM)
#undef PEERD_DOWNLOAD_ENUM
        _PEERD_DOWNLOAD_RESULT_MAX,
} PeerdDownloadResult;

typedef enum PeerdUploadResult {
#define PEERD_UPLOAD_ENUM(id, name) PEERD_UPLOAD_##id,
        PEERD_UPLOAD_RESULTS(PEERD_UPLOAD_ENUM)
#undef PEERD_UPLOAD_ENUM
        _PEERD_UPLOAD_RESULT_MAX,
} PeerdUploadResult;

typedef enum PeerdRefusal {
#define PEERD_REFUSAL_ENUM(id, name) PEERD_REFUSAL_##id,
        PEERD_REFUSALS(PEERD_REFUSAL_ENUM)
#undef PEERD_REFUSAL_ENUM
        _PEERD_REFUSAL_MAX,
} PeerdRefusal;

typedef enum PeerdDirection {
#define PEERD_DIRECTION_ENUM(id, name) PEERD_DIRECTION_##id,
        PEERD_DIRECTIONS(PEERD_DIRECTION_ENUM)
#undef PEERD_DIRECTION_ENUM
        _PEERD_DIRECTION_MAX,
} PeerdDirection;

typedef enum PeerdControlResult {
#define PEERD_CONTROL_ENUM(id, name) PEERD_CONTROL_##id,
        PEERD_CONTROL_RESULTS(PEERD_CONTROL_ENUM)
#undef PEERD_CONTROL_ENUM
        _PEERD_CONTROL_RESULT_MAX,
} PeerdControlResult;
