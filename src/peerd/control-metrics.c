/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/control-internal.h"

#include <errno.h>

#include "io/log.h"
#include "peerd/metrics.h"

/* Peers looked at in one turn of the client's thread: some 100 µs. */
#define PEERS_SLICE 512
/* More than any metric but that of the control requests has. */
#define SERIES_MAX 64
/* Calls of what is not in the tables: org.varlink.service, and what does not exist. */
#define METHOD_OTHER "other"

static const MetricInfo infos[_PEERD_METRIC_MAX] = {
#define INFO(id, type, name, unit, labels, help) { name, METRIC_##type, unit, labels, help },
        PEERD_METRICS(INFO)
#undef INFO
};

/* ---- counting control requests ---- */

/* The place of that method among those of all interfaces, `other` being behind the last. */
static size_t method_place(const Control *c, const char *method) {
        size_t n = 0;
        for (size_t i = 0; i < ELEMENTSOF(c->conf.interfaces) && c->conf.interfaces[i]; i++)
                for (const VarlinkMethod *m = c->conf.interfaces[i]->methods; m->name; m++, n++)
                        if (method && strcmp(m->name, method) == 0)
                                return n;
        return n;
}

int control_counts_init(Control *c) {
        _cleanup_buf_ Buf b = BUF_INIT(16384);
        int k = buf_append_string(&b, "method=");

        for (size_t i = 0; i < ELEMENTSOF(c->conf.interfaces) && c->conf.interfaces[i]; i++)
                for (const VarlinkMethod *m = c->conf.interfaces[i]->methods; k == 0 && m->name; m++)
                        k = buf_printf(&b, "%s|", m->name);
        if (k == 0)
                k = buf_append(&b, METHOD_OTHER "|;result=" PEERD_CONTROL_RESULTS(METRIC_VALUE),
                               sizeof(METHOD_OTHER "|;result=" PEERD_CONTROL_RESULTS(METRIC_VALUE)));
        c->n_requests = calloc((method_place(c, NULL) + 1) * _PEERD_CONTROL_RESULT_MAX, sizeof(*c->n_requests));
        if (k != 0 || !c->n_requests)
                return -ENOMEM;
        c->request_labels = b.data;
        b = BUF_INIT(0);        /* the control socket has the bytes */
        return 0;
}

void control_counts_done(Control *c) {
        free(c->n_requests);
        free(c->request_labels);
}

void control_count(Control *c, const char *method, const char *error) {
        bool denied = error && strcmp(error, "org.varlink.service.PermissionDenied") == 0;
        PeerdControlResult result = !error                     ? PEERD_CONTROL_OK :
                                    strcmp(error, "gone") == 0 ? PEERD_CONTROL_GONE :
                                    denied                     ? PEERD_CONTROL_DENIED :
                                                                 PEERD_CONTROL_ERROR;
        c->n_requests[method_place(c, method) * _PEERD_CONTROL_RESULT_MAX + result]++;
}

/* ---- peers ---- */

PeerdPeerState control_peer_state(const HolderInfo *p, const Now *now) {
        return p->quarantined_until > now->boottime ? PEERD_PEER_QUARANTINED :
               p->listed                            ? PEERD_PEER_ACTIVE :
               p->is_static                         ? PEERD_PEER_STATIC :
                                                      PEERD_PEER_LAST_KNOWN;
}

const char *control_peer_state_name(PeerdPeerState s) {
        static const char *const names[_PEERD_PEER_STATE_MAX] = {
#define NAME(id, name) [PEERD_PEER_##id] = name,
                PEERD_PEER_STATES(NAME)
#undef NAME
        };
        return names[s];
}

/* ---- GetMetrics: what the client's thread finds by slices, and what lies at hand ---- */

typedef struct MetricsJob {
        VisitJob visit;
        /* index */
        bool surveyed;
        uint32_t number;
        TrustSurvey survey;
        /* peers */
        bool has_endpoint;
        Endpoint endpoint;
        uint64_t n_peers[_PEERD_PEER_STATE_MAX];
} MetricsJob;

static void set_registration(const Registration *r, bool reachable, uint64_t *ret) {
        RegistrationInfo info;
        Now now;

        now_read(&now);
        *ret = 0;
        for (unsigned i = 0; registration_get(r, i, &info); i++)
                if (reachable)
                        *ret |= info.reachable;
                else if (info.state == MEMBERSHIP_ACTIVE)
                        *ret = MAX_OF(*ret, usec_sub(info.expires_at, now.boottime) / USEC_PER_SEC);
}

static void set_store(Documents *d, uint64_t *ret_n, uint64_t *ret_bytes) {
        size_t n;
        documents_count(d, &n, ret_bytes);
        *ret_n = n;
}

static void set_index(Documents *d, PeerdMetric m, uint64_t *ret) {
        const RfcIndex *x = documents_lock(d);
        if (m == PEERD_METRIC_INDEX_ENTRIES) {
                ret[PEERD_ORIGIN_LOCAL] = rfc_index_count_own(x);
                ret[PEERD_ORIGIN_REMOTE] = rfc_index_count(x);
        } else
                *ret = rfc_index_generation(x).number;
        documents_unlock(d);
}

static void set_pulls(const ClientCounters *n, uint64_t *ret) {
        for (unsigned kind = 0; kind < _PEERD_PULL_KIND_MAX; kind++)
                for (unsigned result = 0; result < _PEERD_PULL_RESULT_MAX; result++)
                        *ret++ = kind == PEERD_PULL_UNCHANGED && result != PEERD_PULL_RESULT_OK ?
                                         METRIC_NO_VALUE :      /* only an answer can say so */
                                         atomic_load(&n->pulls[kind][result]);
}

static void set_downloads(const ClientCounters *n, uint64_t *ret) {
        for (unsigned source = 0; source < _PEERD_SOURCE_MAX; source++)
                for (unsigned result = 0; result < _PEERD_DOWNLOAD_RESULT_MAX; result++)
                        *ret++ = source == PEERD_SOURCE_LOCAL && result != PEERD_DOWNLOAD_FOUND ?
                                         METRIC_NO_VALUE :      /* what is not here is looked for at peers */
                                         atomic_load(&n->downloads[source][result]);
}

static void set_uploads(Server *s, PeerdMetric m, uint64_t *ret) {
        ServerCounters n;
        server_count(s, &n);
        if (m == PEERD_METRIC_UPLOAD_BYTES)
                *ret = n.n_upload_bytes;
        else if (m == PEERD_METRIC_TRANSFERS)
                ret[PEERD_DIRECTION_UP] = n.n_active;
        else {
                ret[PEERD_UPLOAD_OK] = n.n_uploads;
                ret[PEERD_UPLOAD_BROKEN] = n.n_failed;
                ret[PEERD_UPLOAD_NOT_HELD] = n.n_not_held;
                ret[PEERD_UPLOAD_FAILED] = n.n_unreadable;
        }
}

static void set_refused(Server *s, uint64_t *ret) {
        static_assert(PEERD_REFUSAL_ACCESS + _LISTENER_REFUSAL_MAX == _PEERD_REFUSAL_MAX, "they are the last");
        ServerCounters n;
        server_count(s, &n);
        ret[PEERD_REFUSAL_MALFORMED] = n.n_malformed;
        memcpy(ret + PEERD_REFUSAL_ACCESS, n.n_refused, sizeof(n.n_refused));
}

static void values_of(const MetricsJob *j, PeerdMetric m, uint64_t *ret) {
        const Peerd *p = j->visit.control->peerd;
        const ClientCounters *n = client_counters(p->client);
        uint64_t unused;

        switch (m) {
        case PEERD_METRIC_STORE_FILES:
                set_store(p->documents, ret, &unused);
                break;
        case PEERD_METRIC_STORE_BYTES:
                set_store(p->documents, &unused, ret);
                break;
        case PEERD_METRIC_STORE_LIMIT:
                *ret = documents_max_size(p->documents);        /* no limit is METRIC_NO_VALUE */
                break;
        case PEERD_METRIC_INDEX_ENTRIES:
        case PEERD_METRIC_INDEX_GENERATION:
                set_index(p->documents, m, ret);
                break;
        case PEERD_METRIC_INDEX_DISPUTED:
                *ret = j->survey.n_disputed;
                break;
        case PEERD_METRIC_INDEX_PULLS:
                set_pulls(n, ret);
                break;
        case PEERD_METRIC_INDEX_BYTES:
                *ret = atomic_load(&n->n_index_bytes);
                break;
        case PEERD_METRIC_PEERS:
                memcpy(ret, j->n_peers, sizeof(j->n_peers));
                break;
        case PEERD_METRIC_DOWNLOADS:
                set_downloads(n, ret);
                break;
        case PEERD_METRIC_DOWNLOAD_BYTES:
                *ret = atomic_load(&n->n_download_bytes);
                break;
        case PEERD_METRIC_UPLOADS:
        case PEERD_METRIC_UPLOAD_BYTES:
                set_uploads(p->server, m, ret);
                break;
        case PEERD_METRIC_REFUSED:
                set_refused(p->server, ret);
                break;
        case PEERD_METRIC_TRANSFERS:
                set_uploads(p->server, m, ret);
                ret[PEERD_DIRECTION_DOWN] = atomic_load(&n->n_transfers);
                break;
        case PEERD_METRIC_DIGEST_MISMATCHES:
                *ret = atomic_load(&n->n_mismatches);
                break;
        case PEERD_METRIC_REPLICAS:
                *ret = atomic_load(&n->n_replicas);
                break;
        case PEERD_METRIC_RS_REACHABLE:
        case PEERD_METRIC_RS_EXPIRY:
                set_registration(p->registration, m == PEERD_METRIC_RS_REACHABLE, ret);
                break;
        case PEERD_METRIC_AT_RISK:
                *ret = j->survey.n_at_risk;
                break;
        case PEERD_METRIC_CONFIG_DRIFT:
                *ret = p->warnings && p->warnings[0];
                break;
        case PEERD_METRIC_LOG_DROPPED:
                *ret = log_dropped();
                break;
        case PEERD_METRIC_CONTROL_REQUESTS:
        case PEERD_METRIC_TRANSFER_DURATION:
        case _PEERD_METRIC_MAX:
                break;
        }
}

static int write_metric(const MetricsJob *j, PeerdMetric m, Buf *b) {
        const Control *c = j->visit.control;
        uint64_t values[SERIES_MAX];

        if (m == PEERD_METRIC_CONTROL_REQUESTS) {
                MetricInfo info = infos[m];
                info.labels = c->request_labels;
                return metrics_write(b, &info, c->n_requests);
        }
        if (m == PEERD_METRIC_TRANSFER_DURATION) {
                const Histogram *const durations[_PEERD_DIRECTION_MAX] = {
                        [PEERD_DIRECTION_UP] = server_upload_durations(c->peerd->server),
                        [PEERD_DIRECTION_DOWN] = &client_counters(c->peerd->client)->transfer_durations,
                };
                return metrics_write_histogram(b, &infos[m], durations);
        }
        assert(metric_n_series(&infos[m]) <= ELEMENTSOF(values));
        values_of(j, m, values);
        return metrics_write(b, &infos[m], values);
}

static void reply(const MetricsJob *j, VarlinkCall *call) {
        _cleanup_buf_ Buf b = BUF_INIT(CONTROL_METRICS_MAX);
        int k = 0;

        for (PeerdMetric m = 0; k == 0 && m < _PEERD_METRIC_MAX; m++)
                k = write_metric(j, m, &b);
        if (k == 0)
                k = metrics_write_end(&b);
        /* NULL is the lack of a reply, which ends the connection. */
        (void) varlink_call_reply(call, k == 0 ? control_metrics(&b) : NULL);
}

static bool metrics_answer(VisitJob *visit, ControlRequest *r) {
        reply(MESSAGE_OF(visit, MetricsJob, visit), control_request_take(r));
        return false;
}

static bool survey_slice(MetricsJob *j, Documents *d, const Now *now) {
        const RfcIndex *x = documents_lock(d);
        bool more = trust_survey(x, documents_trust(d), &j->number, SURVEY_SLICE, now, &j->survey);
        documents_unlock(d);
        return more;
}

static bool peers_slice(MetricsJob *j, const Holders *h, const Now *now) {
        HolderInfo info;
        size_t n = 0;
        for (; n < PEERS_SLICE && holders_next(h, j->has_endpoint ? &j->endpoint : NULL, &info); n++) {
                j->has_endpoint = true;
                j->endpoint = info.endpoint;
                j->n_peers[control_peer_state(&info, now)]++;
        }
        return n == PEERS_SLICE;
}

static bool metrics_look(VisitJob *visit, Client *c, Holders *h, bool servers_away, const Now *now) {
        MetricsJob *j = MESSAGE_OF(visit, MetricsJob, visit);
        (void) servers_away;

        if (j->surveyed)
                return peers_slice(j, h, now);
        j->surveyed = !survey_slice(j, client_documents(c), now);
        return true;
}

static void metrics_job_free(ControlJob *job) {
        free(MESSAGE_OF(job, MetricsJob, visit.job));
}

int control_get_metrics(VarlinkCall *call, json_t *parameters, void *userdata) {
        MetricsJob *j = calloc(1, sizeof(*j));
        (void) parameters;
        if (!j)
                return -ENOMEM;
        j->visit.look = metrics_look;
        j->visit.answer = metrics_answer;
        return control_visit_start(userdata, call, &j->visit, metrics_job_free);
}
