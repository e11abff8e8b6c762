/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * The metrics of the registration server: the one table of what they are, and what is counted for them. All in its
 * main loop, so plain numbers do. The manual is compared with the table.
 */

#include "core/base.h"
#include "core/buf.h"
#include "core/metrics.h"
#include "io/listener.h"

#define RSD_PEER_STATES(X)                                                                                             \
        X(ACTIVE, "active")                                                                                            \
        X(EXPIRED, "expired")

/* How a Register ended. */
#define RSD_REGISTRATIONS(X)                                                                                           \
        X(NEW, "new")                                                                                                  \
        X(RETURNED, "returned")                                                                                        \
        X(REFUSED, "refused")                                                                                          \
        X(FAILED, "failed")

#define RSD_KEEPALIVES(X)                                                                                              \
        X(OK, "ok")                                                                                                    \
        X(REFUSED, "refused")                                                                                          \
        X(FAILED, "failed")

/* Limits have the name that P2PDI_LIMIT has in the journal. Those of connections are the last, as they stand in io/listener.h. */
#define RSD_REFUSALS(X)                                                                                                \
        X(UNKNOWN_COOKIE, "unknown-cookie")                                                                            \
        X(INACTIVE, "inactive")                                                                                        \
        X(LINK_LOCAL, "link-local-source")                                                                             \
        X(UNUSABLE, "unusable-address")                                                                                \
        X(MALFORMED, "malformed")                                                                                      \
        X(MAX_PEERS, "MaxPeers")                                                                                       \
        X(MAX_PEERS_PER_SOURCE, "MaxPeersPerSource")                                                                   \
        LISTENER_REFUSALS(X)

/* X(id, type, name, unit, labels, help) */
#define RSD_METRICS(X)                                                                                                 \
        X(PEERS, GAUGE, "p2pdi_rs_peers", "", "state=" RSD_PEER_STATES(METRIC_VALUE),                                  \
          "Peers that are registered, and those that are not but keep their id.")                                      \
        X(REGISTRATIONS, COUNTER, "p2pdi_rs_registrations_total", "", "result=" RSD_REGISTRATIONS(METRIC_VALUE),       \
          "Register requests, by how they ended.")                                                                     \
        X(KEEPALIVES, COUNTER, "p2pdi_rs_keepalives_total", "", "result=" RSD_KEEPALIVES(METRIC_VALUE),                \
          "KeepAlive requests, by how they ended.")                                                                    \
        X(LEAVES, COUNTER, "p2pdi_rs_leaves_total", "", "", "Active peers that left.")                                 \
        X(EXPIRED, COUNTER, "p2pdi_rs_expired_total", "", "", "Active peers whose lease ended.")                       \
        X(LIST_REQUESTS, COUNTER, "p2pdi_rs_list_requests_total", "", "", "Lists of active peers sent.")               \
        X(REFUSED, COUNTER, "p2pdi_rs_refused_total", "", "reason=" RSD_REFUSALS(METRIC_VALUE),                        \
          "Requests and connections refused, by why.")                                                                 \
        X(REQUEST_DURATION, HISTOGRAM, "p2pdi_rs_request_duration_seconds", "seconds", "",                             \
          "From a whole request to its answer, on disk if need be.")                                                   \
        X(CONNECTIONS, GAUGE, "p2pdi_rs_connections", "", "", "Open connections.")                                     \
        X(MEMORY, GAUGE, "p2pdi_rs_memory_bytes", "bytes", "", "Resident memory of the process.")

typedef enum RsdMetric {
#define RSD_METRIC_ENUM(id, type, name, unit, labels, help) RSD_METRIC_##id,
        RSD_METRICS(RSD_METRIC_ENUM)
#undef RSD_METRIC_ENUM
        _RSD_METRIC_MAX,
} RsdMetric;

typedef enum RsdPeerState {
#define RSD_PEER_STATE_ENUM(id, name) RSD_PEER_##id,
        RSD_PEER_STATES(RSD_PEER_STATE_ENUM)
#undef RSD_PEER_STATE_ENUM
        _RSD_PEER_STATE_MAX,
} RsdPeerState;

typedef enum RsdRegistration {
#define RSD_REGISTRATION_ENUM(id, name) RSD_REGISTRATION_##id,
        RSD_REGISTRATIONS(RSD_REGISTRATION_ENUM)
#undef RSD_REGISTRATION_ENUM
        _RSD_REGISTRATION_MAX,
} RsdRegistration;

typedef enum RsdKeepalive {
#define RSD_KEEPALIVE_ENUM(id, name) RSD_KEEPALIVE_##id,
        RSD_KEEPALIVES(RSD_KEEPALIVE_ENUM)
#undef RSD_KEEPALIVE_ENUM
        _RSD_KEEPALIVE_MAX,
} RsdKeepalive;

typedef enum RsdRefusal {
#define RSD_REFUSAL_ENUM(id, name) RSD_REFUSAL_##id,
        RSD_REFUSALS(RSD_REFUSAL_ENUM)
#undef RSD_REFUSAL_ENUM
        _RSD_REFUSAL_MAX,
} RsdRefusal;

/* Since the start. */
typedef struct RsdCounters {
        uint64_t registrations[_RSD_REGISTRATION_MAX];
        uint64_t keepalives[_RSD_KEEPALIVE_MAX];
        uint64_t leaves, expired, list_requests;
        uint64_t refused[_RSD_REFUSAL_MAX];
        Histogram request_duration;
} RsdCounters;
