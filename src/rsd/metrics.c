/* SPDX-License-Identifier: BSD-2-Clause */
#include "rsd/metrics.h"

#include "io/process.h"
#include "rsd/rsd.h"

static const MetricInfo infos[_RSD_METRIC_MAX] = {
#define INFO(id, type, name, unit, labels, help) { name, METRIC_##type, unit, labels, help },
        RSD_METRICS(INFO)
#undef INFO
};

/* ---- counting ---- */

static void count_refused(Rsd *r, RegistrarRefusal why) {
        static const RsdRefusal refusals[_REGISTRAR_REFUSAL_MAX] = {
                [REGISTRAR_UNKNOWN_COOKIE] = RSD_REFUSAL_UNKNOWN_COOKIE,
                [REGISTRAR_INACTIVE] = RSD_REFUSAL_INACTIVE,
                [REGISTRAR_TABLE_FULL] = RSD_REFUSAL_MAX_PEERS,
                [REGISTRAR_SOURCE_FULL] = RSD_REFUSAL_MAX_PEERS_PER_SOURCE,
                [REGISTRAR_LINK_LOCAL] = RSD_REFUSAL_LINK_LOCAL,
                [REGISTRAR_UNUSABLE] = RSD_REFUSAL_UNUSABLE,
        };
        assert(why != REGISTRAR_NOT_REFUSED);
        r->counters.refused[refusals[why]]++;
}

void rsd_count_refused_connection(Rsd *r, ListenerRefusal why) {
        static_assert(RSD_REFUSAL_ACCESS + _LISTENER_REFUSAL_MAX == _RSD_REFUSAL_MAX, "they are the last");
        r->counters.refused[RSD_REFUSAL_ACCESS + why]++;
}

void rsd_count_request(Rsd *r, Verb verb, const RegistrarOutcome *o, int error) {
        RsdCounters *n = &r->counters;
        bool failed = error < 0, refused = !failed && o->refused != REGISTRAR_NOT_REFUSED;

        if (refused)
                count_refused(r, o->refused);
        switch (verb) {
        case VERB_REGISTER:
                n->registrations[failed    ? RSD_REGISTRATION_FAILED :
                                 refused   ? RSD_REGISTRATION_REFUSED :
                                 o->is_new ? RSD_REGISTRATION_NEW :
                                             RSD_REGISTRATION_RETURNED]++;
                break;
        case VERB_KEEPALIVE:
                n->keepalives[failed  ? RSD_KEEPALIVE_FAILED :
                              refused ? RSD_KEEPALIVE_REFUSED :
                                        RSD_KEEPALIVE_OK]++;
                break;
        case VERB_LEAVE:
                n->leaves += !failed && !refused && o->was_active;
                break;
        default:
                n->list_requests += !failed && !refused;
        }
}

/* ---- writing ---- */

static void values_of(const Rsd *r, RsdMetric m, uint64_t *ret) {
        const RsdCounters *n = &r->counters;
        size_t n_active = peer_list_count_active(r->list, true);

        switch (m) {
        case RSD_METRIC_PEERS:
                ret[RSD_PEER_ACTIVE] = n_active;
                ret[RSD_PEER_EXPIRED] = peer_list_count(r->list) - n_active;
                break;
        case RSD_METRIC_REGISTRATIONS:
                memcpy(ret, n->registrations, sizeof(n->registrations));
                break;
        case RSD_METRIC_KEEPALIVES:
                memcpy(ret, n->keepalives, sizeof(n->keepalives));
                break;
        case RSD_METRIC_LEAVES:
                *ret = n->leaves;
                break;
        case RSD_METRIC_EXPIRED:
                *ret = n->expired;
                break;
        case RSD_METRIC_LIST_REQUESTS:
                *ret = n->list_requests;
                break;
        case RSD_METRIC_REFUSED:
                memcpy(ret, n->refused, sizeof(n->refused));
                break;
        case RSD_METRIC_CONNECTIONS:
                *ret = listener_count(r->listener);
                break;
        case RSD_METRIC_MEMORY:
                if (process_resident_size(ret) < 0)
                        *ret = METRIC_NO_VALUE;         /* no /proc: the others are as good as ever */
                break;
        case RSD_METRIC_REQUEST_DURATION:
        case _RSD_METRIC_MAX:
                break;
        }
}

int rsd_write_metrics(const Rsd *r, Buf *b) {
        uint64_t values[_RSD_REFUSAL_MAX];      /* no other has as many */
        int k = 0;

        for (RsdMetric m = 0; k == 0 && m < _RSD_METRIC_MAX; m++)
                if (m == RSD_METRIC_REQUEST_DURATION)
                        k = metrics_write_histogram(b, &infos[m], (const Histogram *[]){ &r->counters.request_duration });
                else {
                        assert(metric_n_series(&infos[m]) <= ELEMENTSOF(values));
                        values_of(r, m, values);
                        k = metrics_write(b, &infos[m], values);
                }
        return k == 0 ? metrics_write_end(b) : k;
}
