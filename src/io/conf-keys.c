/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/conf-keys.h"

#include <errno.h>
#include <stdio.h>

/* Both programs' structures begin with ConfCommon, so that one set of lines describes its members for both. */
_Static_assert(offsetof(RsConf, common) == 0 && offsetof(PeerConf, common) == 0, "ConfCommon comes first");

/* One tenth of a second: below, a busy machine would cut honest peers. */
#define TIMEOUT_MIN (100 * USEC_PER_MSEC)
#define LIST_MAX 1024

#define KEY_MAX_CONNECTIONS(default_value)                                                                             \
        { "Server", "MaxConnections", CONF_KIND_COUNT, offsetof(ConfCommon, max_connections),                          \
          .min = 1, .max = 1000000, .preset = default_value,                                                           \
          .comment = "Connections at the same time, in all. Beyond them new ones are refused." }

#define KEY_MAX_CONNECTIONS_PER_SOURCE                                                                                 \
        { "Server", "MaxConnectionsPerSource", CONF_KIND_COUNT, offsetof(ConfCommon, max_connections_per_source),      \
          .min = 1, .max = 1000000, .preset = "256",                                                                   \
          .comment = "Connections at the same time of one source: an IPv4 address, or an IPv6 /64." }

#define KEY_REQUEST_TIMEOUT                                                                                            \
        { "Server", "RequestTimeoutSec", CONF_KIND_TIME, offsetof(ConfCommon, request_timeout),                        \
          .min = TIMEOUT_MIN, .max = USEC_PER_HOUR, .preset = "5s",                                                    \
          .comment = "Time for a request to arrive as a whole, from its first byte to its last." }

#define KEY_IDLE_TIMEOUT                                                                                               \
        { "Server", "IdleTimeoutSec", CONF_KIND_TIME, offsetof(ConfCommon, idle_timeout),                              \
          .min = TIMEOUT_MIN, .max = USEC_PER_DAY, .preset = "1min",                                                   \
          .comment = "Time after which a connection without any request is closed." }

#define KEYS_ACCESS_LIMITS                                                                                             \
        { "Access", "Allow", CONF_KIND_PREFIXES, offsetof(ConfCommon, allow), offsetof(ConfCommon, n_allow),           \
          .max = LIST_MAX,                                                                                             \
          .comment = "Who may connect: ADDRESS, ADDRESS/BITS, localhost, link-local, any. As with IPAddressAllow=,\n" \
                     "who is allowed here is let in whatever Deny= says. Empty: all but those that Deny= names." },    \
        { "Access", "Deny", CONF_KIND_PREFIXES, offsetof(ConfCommon, deny), offsetof(ConfCommon, n_deny),              \
          .max = LIST_MAX,                                                                                             \
          .comment = "Who may not. Empty: where Allow= is set, all others; else nobody." },                            \
        { "Limits", "RatePerSource", CONF_KIND_COUNT, offsetof(ConfCommon, rate_per_source),                           \
          .min = 0, .max = 1000000, .preset = "200",                                                                   \
          .comment = "New connections and refused requests of one source, per second. 0: no limit." },                 \
        { "Limits", "Burst", CONF_KIND_COUNT, offsetof(ConfCommon, burst),                                             \
          .min = 1, .max = 1000000, .preset = "1000",                                                                  \
          .comment = "How many of them may come at once." }

#define KEYS_LOG                                                                                                       \
        { "Log", "Level", CONF_KIND_LOG_LEVEL, offsetof(ConfCommon, log_level), .preset = "info",                      \
          .comment = "emerg, alert, crit, err, warning, notice, info, debug.\n"                                        \
                     "With debug the head of each received message is logged, its cookie as ***." },                   \
        { "Log", "TransactionsPerSec", CONF_KIND_COUNT, offsetof(ConfCommon, transactions_per_sec),                    \
          .min = 0, .max = 1000000, .preset = "500",                                                                   \
          .comment = "Transactions logged one by one, per second; beyond them a summary each second tells their\n"     \
                     "number. 0: only the summary." }

static const ConfKey rs_keys[] = {
        { "Server", "ListenStream", CONF_KIND_LISTEN, offsetof(ConfCommon, listen), offsetof(ConfCommon, n_listen),
          .max = 64, .preset = "65423",
          .comment = "Where peers find the registration server: PORT, ADDRESS:PORT, [IPV6]:PORT; may be repeated." },
        KEY_MAX_CONNECTIONS("4096"),
        KEY_MAX_CONNECTIONS_PER_SOURCE,
        KEY_REQUEST_TIMEOUT,
        KEY_IDLE_TIMEOUT,
        { "Server", "ConnectionLifetimeSec", CONF_KIND_TIME, offsetof(RsConf, connection_lifetime),
          .min = TIMEOUT_MIN, .max = 365 * USEC_PER_DAY, .preset = "1h",
          .comment = "Time after which any connection is closed, busy or not." },
        { "Registration", "TTLSec", CONF_KIND_TIME, offsetof(RsConf, ttl),
          .min = USEC_PER_SEC, .max = 30 * USEC_PER_DAY, .preset = "7200s",
          .comment = "The lease: how long a peer stays active after its last word. The peer is told." },
        { "Registration", "KeepAliveSec", CONF_KIND_TIME, offsetof(RsConf, keep_alive),
          .min = 0, .max = 30 * USEC_PER_DAY, .preset = "0",
          .comment = "Time between two KeepAlives of a peer, which adds up to 10 % either way. The peer is told.\n"
                     "At least 1s, at most TTLSec=. 0: a third of TTLSec=." },
        { "Registration", "MaxPeers", CONF_KIND_COUNT, offsetof(RsConf, max_peers),
          .min = 1, .max = 10000000, .preset = "1000000",
          .comment = "Peers in the table, active or not. Beyond them new ones are refused with a hint when to retry." },
        { "Registration", "MaxPeersPerSource", CONF_KIND_COUNT, offsetof(RsConf, max_peers_per_source),
          .min = 1, .max = 10000000, .preset = "1024",
          .comment = "Active peers of one source: an IPv4 address, or an IPv6 /64." },
        { "Registration", "PeersPerReply", CONF_KIND_COUNT, offsetof(RsConf, peers_per_reply),
          .min = 1, .max = 100000, .preset = "1000",
          .comment = "Peers in one answer; a longer list comes in pages." },
        { "Registration", "CookieRetentionSec", CONF_KIND_TIME, offsetof(RsConf, cookie_retention),
          .min = USEC_PER_SEC, .max = 3650 * USEC_PER_DAY, .preset = "30d",
          .comment = "How long an absent peer keeps its cookie, its id and its counts." },
        { "Registration", "AdvertiseFrom", CONF_KIND_PREFIXES, offsetof(RsConf, advertise_from),
          offsetof(RsConf, n_advertise_from), .max = LIST_MAX,
          .comment = "Sources that may have another address than their own listed (Advertise= of peer.ini):\n"
                     "ADDRESS, ADDRESS/BITS, localhost, link-local, any. Empty: nobody." },
        KEYS_ACCESS_LIMITS,
        { "State", "Database", CONF_KIND_DATABASE, offsetof(RsConf, database), .preset = "sqlite:registry.db",
          .comment = "Where registrations are kept: sqlite:NAME, a file in the state directory. Needs a restart." },
        KEYS_LOG,
};

static const ConfKey peer_keys[] = {
        { "Server", "ListenStream", CONF_KIND_LISTEN_OR_AUTO, offsetof(ConfCommon, listen),
          offsetof(ConfCommon, n_listen), .max = 64, .preset = "65424",
          .comment = "Where other peers find the RFC server: PORT, ADDRESS:PORT, [IPV6]:PORT; may be repeated.\n"
                     "An address is also the source of the peer's own connections. PORT may be auto: any free one." },
        KEY_MAX_CONNECTIONS("16384"),
        KEY_MAX_CONNECTIONS_PER_SOURCE,
        { "Server", "Threads", CONF_KIND_COUNT, offsetof(PeerConf, threads), .min = 0, .max = 256, .preset = "0",
          .comment = "Download threads. 0: one for each CPU. Needs a restart." },
        KEY_REQUEST_TIMEOUT,
        { "Server", "MinTransferRate", CONF_KIND_SIZE, offsetof(PeerConf, min_transfer_rate),
          .min = 0, .max = UINT64_C(1) << 30, .preset = "1K",
          .comment = "Bytes per second. A transfer that is slower for 30s is cut. 0: never." },
        { "Server", "MaxUploadRate", CONF_KIND_SIZE_OR_INFINITY, offsetof(PeerConf, max_upload_rate),
          .min = 1024, .max = UINT64_C(1) << 40, .preset = "infinity",
          .comment = "Bytes per second that all answers together are sent with, documents and indexes alike." },
        { "Server", "CacheSize", CONF_KIND_SIZE, offsetof(PeerConf, cache_size),
          .min = 0, .max = UINT64_C(1) << 40, .preset = "64M",
          .comment = "Memory for documents that are asked for often, of all download threads together. 0: none." },
        KEY_IDLE_TIMEOUT,
        { "Registration", "Server", CONF_KIND_SERVERS, offsetof(PeerConf, servers), offsetof(PeerConf, n_servers),
          .max = 32,
          .comment = "Registration servers: HOST or HOST:PORT (port 65423 where none is given); may be repeated." },
        { "Registration", "Advertise", CONF_KIND_ADVERTISE, offsetof(PeerConf, advertise),
          offsetof(PeerConf, has_advertise),
          .comment = "Address to be listed under, where the registration server's AdvertiseFrom= allows it.\n"
                     "Empty: the address that the server sees." },
        { "Registration", "Enabled", CONF_KIND_BOOL, offsetof(PeerConf, registration_enabled), .preset = "yes",
          .comment = "no: ask no registration server; only the peers of Static= are known." },
        { "Peers", "Static", CONF_KIND_ENDPOINTS, offsetof(PeerConf, static_peers), offsetof(PeerConf, n_static_peers),
          .max = LIST_MAX,
          .comment = "Peers that are known without a registration server: ADDRESS:PORT or [IPV6]:PORT; repeatable." },
        { "Peers", "RememberMax", CONF_KIND_COUNT, offsetof(PeerConf, remember_max),
          .min = 0, .max = 65536, .preset = "256",
          .comment = "Last known peers kept on disk, for when no registration server answers. 0: none." },
        { "Peers", "ConnectTimeoutSec", CONF_KIND_TIME, offsetof(PeerConf, connect_timeout),
          .min = TIMEOUT_MIN, .max = 5 * USEC_PER_MINUTE, .preset = "2s",
          .comment = "Time for a connection to another peer to be made." },
        { "Peers", "ReuseConnections", CONF_KIND_BOOL, offsetof(PeerConf, reuse_connections), .preset = "yes",
          .comment = "A connection to another peer, or to a registration server that is asked for its list, stays open\n"
                     "for the next exchange. no: a new connection for each." },
        { "Peers", "HedgeAfterSec", CONF_KIND_TIME_OR_INFINITY, offsetof(PeerConf, hedge_after),
          .min = 0, .max = USEC_PER_MINUTE, .preset = "300ms",
          .comment = "A second holder of a document is tried beside one of which nothing has come for so long.\n"
                     "infinity: never." },
        { "Peers", "QuarantineSec", CONF_KIND_TIME, offsetof(PeerConf, quarantine),
          .min = TIMEOUT_MIN, .max = 10 * USEC_PER_MINUTE, .preset = "5s",
          .comment = "How long a peer that failed is not asked; doubled at each further failure, up to 10min." },
        { "Index", "TTLSec", CONF_KIND_TIME, offsetof(PeerConf, index_ttl),
          .min = USEC_PER_SEC, .max = 30 * USEC_PER_DAY, .preset = "7200s",
          .comment = "How long this peer's statements about its own documents hold; also the longest that is\n"
                     "believed of other peers' statements." },
        { "Index", "PullIntervalSec", CONF_KIND_TIME_OR_INFINITY, offsetof(PeerConf, pull_interval),
          .min = TIMEOUT_MIN, .max = USEC_PER_DAY, .preset = "10min",
          .comment = "How often the list of peers is asked for, and the index of each peer pulled; up to a fifth sooner\n"
                     "or later. A peer that was is not asked again when a document is looked for. infinity: only when\n"
                     "p2pdi-ctl refresh says so." },
        { "Index", "MaxEntries", CONF_KIND_COUNT, offsetof(PeerConf, max_entries),
          .min = 1, .max = 10000000, .preset = "1000000",
          .comment = "Records in the merged index, own ones included." },
        { "Index", "MetadataFile", CONF_KIND_PATH, offsetof(PeerConf, metadata_file),
          .comment = "The RFC Editor's rfc-index.txt. Empty: rfc-index.txt in the library if it is there, otherwise\n"
                     "the newest that other peers hold." },
        { "Store", "Path", CONF_KIND_PATH, offsetof(PeerConf, store_path),
          .comment = "The library: a directory of rfcN.txt, made if it is not there. Empty: rfc in the state\n"
                     "directory. Needs a restart." },
        { "Store", "MaxSize", CONF_KIND_SIZE_OR_INFINITY, offsetof(PeerConf, max_size),
          .min = 0, .max = UINT64_C(1) << 60, .preset = "2G",
          .comment = "Bytes of all documents together. To make room those read the longest time ago are removed, but\n"
                     "none that is pinned, and none of which no other holder is known. infinity: no limit." },
        { "Store", "MaxFileSize", CONF_KIND_SIZE, offsetof(PeerConf, max_file_size),
          .min = 1, .max = UINT64_C(1) << 40, .preset = "64M",
          .comment = "Bytes of the largest document that is taken or fetched." },
        { "Store", "MinReplicas", CONF_KIND_COUNT, offsetof(PeerConf, min_replicas),
          .min = 0, .max = 64, .preset = "0",
          .comment = "How many peers of the group are to hold each document: what fewer hold is fetched by those whose\n"
                     "turn it is. 0: documents are fetched when somebody asks for them only." },
        { "Integrity", "Quorum", CONF_KIND_COUNT, offsetof(PeerConf, quorum),
          .min = 1, .max = GRADE_QUORUM_MAX, .preset = "2",
          .comment = "How many sources (IPv4 addresses, IPv6 /64) must state the same digest of a document for it to\n"
                     "count as agreed." },
        { "Integrity", "Accept", CONF_KIND_GRADE, offsetof(PeerConf, accept), .preset = "single",
          .comment = "The lowest grade of a document that is fetched: single, agreed, verified." },
        { "Integrity", "Manifest", CONF_KIND_PATH, offsetof(PeerConf, manifest),
          .comment = "A SHA256SUMS file that says what the documents are: what it names is verified, and beats what\n"
                     "peers say. Read at start and reload. Empty: none." },
        KEYS_ACCESS_LIMITS,
        { "Control", "AllowUsers", CONF_KIND_USERS, offsetof(PeerConf, allow_uids), offsetof(PeerConf, n_allow_uids),
          .max = LIST_MAX,
          .comment = "Users, beside root, who may use the verbs of p2pdi-ctl that change something: names or\n"
                     "numbers." },
        { "Control", "AllowGroups", CONF_KIND_GROUPS, offsetof(PeerConf, allow_gids), offsetof(PeerConf, n_allow_gids),
          .max = LIST_MAX,
          .comment = "The same for groups." },
        KEYS_LOG,
};

const ConfKey *conf_keys(ConfProgram program, size_t *ret_n) {
        *ret_n = program == CONF_RS ? ELEMENTSOF(rs_keys) : ELEMENTSOF(peer_keys);
        return program == CONF_RS ? rs_keys : peer_keys;
}

const ConfKey *conf_key_find(ConfProgram program, const char *section, const char *name) {
        size_t n;
        const ConfKey *keys = conf_keys(program, &n);

        for (size_t i = 0; i < n; i++)
                if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0)
                        return &keys[i];
        return NULL;
}

bool conf_section_is_known(ConfProgram program, Slice section) {
        size_t n;
        const ConfKey *keys = conf_keys(program, &n);

        for (size_t i = 0; i < n; i++)
                if (slice_equal(section, slice_of(keys[i].section)))
                        return true;
        return false;
}

/* As systemd's own files look: sections in place, every key commented out at its default. */
int conf_print_template(ConfProgram program) {
        const char *name = program == CONF_RS ? "rs.ini" : "peer.ini";
        const char *section = "";
        size_t n;
        const ConfKey *keys = conf_keys(program, &n);

        (void) printf("# SPDX-License-Identifier: BSD-2-Clause\n"
                      "#\n"
                      "# Settings of %s, see %s(5). Each key stands here at its default: remove the # to change it,\n"
                      "# or put what you change into a file of your own in %s.d/.\n",
                      program == CONF_RS ? "p2pdi-rsd" : "p2pdi-peerd", name, name);

        for (size_t i = 0; i < n; i++) {
                if (strcmp(section, keys[i].section) != 0) {
                        section = keys[i].section;
                        (void) printf("\n[%s]\n", section);
                } else
                        (void) putchar('\n');
                for (const char *line = keys[i].comment; line;) {
                        size_t size = strcspn(line, "\n");

                        (void) printf("# %.*s\n", (int) size, line);
                        line = line[size] ? line + size + 1 : NULL;
                }
                (void) printf("#%s=%s\n", keys[i].name, keys[i].preset ? keys[i].preset : "");
        }
        return fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0;
}
