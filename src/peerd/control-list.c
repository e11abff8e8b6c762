/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/control-internal.h"

#include <errno.h>

#include "core/text.h"
#include "io/log.h"
#include "io/loop.h"

/* ---- List ---- */

static uint32_t next_known(const ListJob *j, const RfcIndex *x, uint32_t after, const Now *now) {
        RfcRecord own;
        return j->all || j->at_risk || j->disputed ? rfc_index_next_number(x, after, now) : rfc_index_next_own(x, after, &own) ? own.number : 0;
}

/*
 * The first number > after that is to be listed; 0: none. Under the lock, so it goes from range to range, not over all
 * that lies between them.
 */
static uint32_t next_number(const ListJob *j, const RfcIndex *x, uint32_t after, const Now *now) {
        if (j->set.n_ranges == 0)
                return next_known(j, x, after, now);
        for (size_t i = 0; i < j->set.n_ranges; i++) {
                const RfcRange *range = &j->set.ranges[i];
                if (range->last <= after)
                        continue;
                uint32_t n = next_known(j, x, MAX_OF(after, range->first - 1), now);
                if (n == 0 || n <= range->last)
                        return n;
                after = n - 1;
        }
        return 0;
}

static bool is_wanted(const ListJob *j, const RfcIndex *x, const TrustConf *trust, const Now *now) {
        size_t n_records = 0;
        TrustNumber n;

        if (!j->at_risk && !j->disputed)
                return true;
        return trust_number(x, trust, j->number, now, &n, &n_records) && (!j->at_risk || n.n_holders == 1) &&
               (!j->disputed || n.text.grade == GRADE_DISPUTED);
}

/* Under the lock. true: there may be more. */
static bool list_slice(ListJob *j, const RfcIndex *x, const RfcMeta *meta, const TrustConf *trust, const Now *now) {
        Now begin, at;

        now_read(&begin);
        do {
                uint32_t number = next_number(j, x, j->number, now);
                if (number == 0)
                        return false;
                j->number = number;
                if (is_wanted(j, x, trust, now))
                        (void) json_array_append_new(j->batch, control_document(x, meta, trust, number, now));
                now_read(&at);
        } while (json_array_size(j->batch) < LIST_BATCH && at.boottime - begin.boottime < LIST_SLICE_USEC);
        return true;
}

static bool fill_documents(ListJob *j, Client *c, Holders *h, bool servers_away, const Now *now) {
        Documents *d = client_documents(c);
        json_t *document;
        size_t i;
        (void) h;
        (void) servers_away;

        RfcIndex *x = documents_lock(d);
        bool more = list_slice(j, x, documents_meta(d), documents_trust(d), now);
        documents_unlock(d);
        json_array_foreach(j->batch, i, document)
                control_document_add_keeping(document, d);
        return more;
}

int control_list(VarlinkCall *call, json_t *parameters, void *userdata) {
        const json_t *ranges = json_object_get(parameters, "ranges");
        ListJob job = {
                .member = "document",
                .fill = fill_documents,
                .all = json_is_true(json_object_get(parameters, "all")),
                .at_risk = json_is_true(json_object_get(parameters, "atRisk")),
                .disputed = json_is_true(json_object_get(parameters, "disputed")),
        };
        for (size_t i = 0; i < json_array_size(ranges); i++) {
                RfcRange range;
                if (rfc_range_from_text(slice_of(json_string_value(json_array_get(ranges, i))), &range) != 0 ||
                    rfc_set_add(&job.set, range) != 0) {
                        rfc_set_done(&job.set);
                        return varlink_call_invalid(call, "ranges");
                }
        }
        return control_list_start(userdata, call, &job);
}

/* ---- ListHolders ---- */

static bool fill_holders(ListJob *j, Client *c, Holders *h, bool servers_away, const Now *now) {
        Documents *d = client_documents(c);
        _cleanup_free_ RfcRecord *records = reallocarray(NULL, HOLDERS_SHOWN_MAX, sizeof(*records));
        _cleanup_free_ ControlTexts *texts = malloc(sizeof(*texts));
        RfcRecord own;

        if (!records || !texts)
                return false;
        RfcIndex *x = documents_lock(d);
        size_t n = MIN_OF(rfc_index_find(x, j->number, now, records, HOLDERS_SHOWN_MAX), (size_t) HOLDERS_SHOWN_MAX);
        bool local = rfc_index_get_own(x, j->number, &own);
        control_texts(texts, x, documents_trust(d), j->number, now);
        documents_unlock(d);            /* the titles may go now, and are not shown */
        if (local)
                (void) json_array_append_new(j->batch, control_holder_self(&own, control_texts_grade(texts, &own.digest)));
        for (size_t i = 0; i < n; i++) {
                Grade grade = control_texts_grade(texts, &records[i].digest);
                (void) json_array_append_new(j->batch, control_holder(&records[i], grade, h, servers_away, now));
        }
        return false;
}

int control_list_holders(VarlinkCall *call, json_t *parameters, void *userdata) {
        ListJob job = { .member = "holder", .fill = fill_holders };
        if (control_number(json_object_get(parameters, "number"), &job.number) < 0)
                return varlink_call_invalid(call, "number");
        return control_list_start(userdata, call, &job);
}

/* ---- ListPeers ---- */

static json_t *peer_json(const HolderInfo *p, const RfcIndex *x, const Now *now) {
        json_t *e = json_object();
        control_set_endpoint(e, "address", &p->endpoint);
        if (p->peer_id > 0)
                control_set_int(e, "peerId", p->peer_id);
        if (p->host[0])
                control_set_string(e, "host", slice_of(p->host));
        control_set_string(e, "state", slice_of(control_peer_state_name(control_peer_state(p, now))));
        if (p->generation.epoch > 0) {
                control_set_int(e, "epoch", p->generation.epoch);
                control_set_int(e, "generation", p->generation.number);
        }
        control_set_int(e, "documents", rfc_index_count_source(x, &p->endpoint));
        if (p->rtt_usec > 0)
                control_set_int(e, "rttUSec", p->rtt_usec);
        if (p->seen_at > 0)
                control_set_int(e, "seenUSec", control_realtime(p->seen_at, now));
        if (p->quarantined_until > now->boottime)
                control_set_int(e, "quarantineEndsInSec", (p->quarantined_until - now->boottime) / USEC_PER_SEC);
        return e;
}

static bool fill_peers(ListJob *j, Client *c, Holders *h, bool servers_away, const Now *now) {
        Documents *d = client_documents(c);
        HolderInfo info;
        size_t n = 0;
        (void) servers_away;

        RfcIndex *x = documents_lock(d);
        for (; n < LIST_BATCH && holders_next(h, j->has_endpoint ? &j->endpoint : NULL, &info); n++) {
                j->has_endpoint = true;
                j->endpoint = info.endpoint;
                (void) json_array_append_new(j->batch, peer_json(&info, x, now));
        }
        documents_unlock(d);
        return n == LIST_BATCH;
}

int control_list_peers(VarlinkCall *call, json_t *parameters, void *userdata) {
        ListJob job = { .member = "peer", .fill = fill_peers };
        (void) parameters;
        return control_list_start(userdata, call, &job);
}

/* ---- GetStatus ---- */

typedef struct StatusJob {
        VisitJob visit;
        size_t n_known, n_active;
        uint32_t number;                        /* the survey is there */
        TrustSurvey survey;
} StatusJob;

static json_t *servers_json(const Registration *r, const Now *now) {
        json_t *list = json_array();
        RegistrationInfo info;
        for (unsigned i = 0; registration_get(r, i, &info); i++) {
                json_t *e = json_object();
                control_set_string(e, "server", slice_of(info.server));
                control_set_string(e, "state", slice_of(info.state == MEMBERSHIP_ACTIVE ? "registered" :
                                                info.state == MEMBERSHIP_LEFT   ? "left" :
                                                                                  "away"));
                control_set_bool(e, "reachable", info.reachable);
                if (info.peer_id > 0)
                        control_set_int(e, "peerId", info.peer_id);
                if (info.has_address) {
                        char text[ADDRESS_TEXT_SIZE];
                        address_to_text(&info.address, text);
                        control_set_string(e, "address", slice_of(text));
                }
                if (info.renewed_at > 0)
                        control_set_int(e, "renewedUSec", control_realtime(info.renewed_at, now));
                if (info.state == MEMBERSHIP_ACTIVE)
                        control_set_int(e, "expiresInSec", usec_sub(info.expires_at, now->boottime) / USEC_PER_SEC);
                (void) json_array_append_new(list, e);
        }
        return list;
}

static void set_metadata(json_t *s, Documents *d) {
        char day[RFC_META_DAY_TEXT_SIZE];
        EditorHeld held;

        documents_get_editor_held(d, &held);
        if (!held.has)
                return;
        rfc_meta_day_to_text(held.created, day);
        if (day[0])
                control_set_string(s, "metadataDate", slice_of(day));
        control_set_int(s, "metadataEntries", held.n_entries);
        control_set_string(s, "metadataSource", held.own ? SLICE_LITERAL("local") : SLICE_LITERAL("peer"));
}

static void set_index(json_t *s, const StatusJob *j, Documents *d) {
        uint64_t bytes;
        size_t n;
        Now now;
        now_read(&now);
        documents_count(d, &n, &bytes);
        control_set_int(s, "storeDocuments", n);
        control_set_int(s, "storeBytes", bytes);
        if (documents_max_size(d) < UINT64_MAX)
                control_set_int(s, "storeLimitBytes", documents_max_size(d));
        control_set_int(s, "storeMaxFileBytes", j->visit.control->peerd->conf->max_file_size);
        RfcIndex *x = documents_lock(d);
        Generation g = rfc_index_generation(x);
        control_set_int(s, "indexRecords", rfc_index_count(x));
        control_set_int(s, "indexDocuments", rfc_index_count_numbers(x));
        control_set_int(s, "indexDisputed", j->survey.n_disputed);
        if (documents_trust(d)->manifest) {
                ManifestInfo info;
                manifest_get_info(documents_trust(d)->manifest, &info);
                control_set_int(s, "manifestDocuments", info.n_named);
        }
        documents_unlock(d);
        control_set_int(s, "epoch", g.epoch);
        control_set_int(s, "generation", g.number);
        set_metadata(s, d);
}

/* Documents that came from peers. */
static uint64_t count_fetched(const ClientCounters *c) {
        return atomic_load(&c->downloads[PEERD_SOURCE_PEER][PEERD_DOWNLOAD_FOUND]);
}

/* There was something to fetch, and it went wrong: that nobody has a document, or that it is disputed, is an answer. */
static uint64_t count_failed(const ClientCounters *c) {
        static const PeerdDownloadResult failures[] = {
                PEERD_DOWNLOAD_INTEGRITY,
                PEERD_DOWNLOAD_UNREACHABLE,
                PEERD_DOWNLOAD_FAILED,
        };
        uint64_t n = 0;
        for (size_t i = 0; i < ELEMENTSOF(failures); i++)
                n += atomic_load(&c->downloads[PEERD_SOURCE_PEER][failures[i]]);
        return n;
}

static json_t *status_json(const StatusJob *j) {
        Peerd *p = j->visit.control->peerd;
        const ClientCounters *downloads = client_counters(p->client);
        ServerCounters uploads;
        json_t *s = json_object();
        Now now;

        now_read(&now);
        server_count(p->server, &uploads);
        control_set_string(s, "version", slice_of(PACKAGE_VERSION));
        control_set_string(s, "hostname", slice_of(daemon_hostname()));
        (void) json_object_set_new(s, "listening", control_listening(server_listener(p->server)));
        control_set_bool(s, "inherited", server_inherited(p->server));
        (void) json_object_set_new(s, "servers", servers_json(p->registration, &now));
        control_set_bool(s, "scanning", !documents_scanned(p->documents));
        control_set_string(s, "storePath", slice_of(p->store_path));
        set_index(s, j, p->documents);
        control_set_int(s, "peersKnown", j->n_known);
        control_set_int(s, "peersActive", j->n_active);
        control_set_int(s, "uploadsActive", uploads.n_active);
        control_set_int(s, "downloadsActive", atomic_load(&downloads->n_active));
        control_set_int(s, "uploadsTotal", uploads.n_uploads);
        control_set_int(s, "downloadsTotal", count_fetched(downloads));
        control_set_int(s, "downloadsFailed", count_failed(downloads));
        control_set_int(s, "startedUSec", p->started_at);
        (void) json_object_set_new(s, "warnings", control_strings(p->warnings));
        return s;
}

static bool status_answer(VisitJob *visit, ControlRequest *r) {
        const StatusJob *j = MESSAGE_OF(visit, StatusJob, visit);
        (void) varlink_call_reply(control_request_take(r), status_json(j));
        return false;
}

static bool status_look(VisitJob *visit, Client *c, Holders *h, bool servers_away, const Now *now) {
        StatusJob *j = MESSAGE_OF(visit, StatusJob, visit);
        Documents *d = client_documents(c);
        (void) servers_away;
        j->n_known = holders_count(h);
        j->n_active = holders_count_listed(h);
        const RfcIndex *x = documents_lock(d);
        bool more = trust_survey(x, documents_trust(d), &j->number, SURVEY_SLICE, now, &j->survey);
        documents_unlock(d);
        return more;
}

static void status_free(ControlJob *job) {
        free(MESSAGE_OF(job, StatusJob, visit.job));
}

int control_get_status(VarlinkCall *call, json_t *parameters, void *userdata) {
        StatusJob *j = calloc(1, sizeof(*j));
        (void) parameters;
        if (!j)
                return -ENOMEM;
        j->visit.look = status_look;
        j->visit.answer = status_answer;
        return control_visit_start(userdata, call, &j->visit, status_free);
}
