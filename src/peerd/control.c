/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/peerd.h"

#include <errno.h>
#include <unistd.h>

#include "core/text.h"
#include "io/interfaces.h"
#include "io/log.h"
#include "peerd/control-internal.h"

/* ---- who may ---- */

static bool uid_listed(const uint32_t *list, size_t n, uint32_t id) {
        for (size_t i = 0; i < n; i++)
                if (list[i] == id)
                        return true;
        return false;
}

static bool authorize(uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups, void *userdata) {
        const PeerConf *c = ((Control *) userdata)->peerd->conf;
        if (uid == 0 || uid == geteuid() || uid_listed(c->allow_uids, c->n_allow_uids, uid) ||
            uid_listed(c->allow_gids, c->n_allow_gids, gid))
                return true;
        for (size_t i = 0; i < n_groups; i++)
                if (uid_listed(c->allow_gids, c->n_allow_gids, groups[i]))
                        return true;
        return false;
}

static void finished(const char *method, uid_t uid, const char *error, void *userdata) {
        control_count(userdata, method, error);
        control_log_call(&((Control *) userdata)->conf, method, uid, error);
}

/* ---- requests that are answered by events ---- */

ControlRequest *control_request_new(Control *c, VarlinkCall *call) {
        ControlRequest *r = calloc(1, sizeof(*r));
        if (!r)
                return NULL;
        r->control = c;
        r->call = call;
        r->id = ++c->last_id;
        RB_INSERT(ControlRequestTree, &c->requests, r);
        varlink_call_set_gone(call, control_request_gone, r);
        return r;
}

ControlRequest *control_request_find(Control *c, uint64_t id) {
        ControlRequest key = { .id = id };
        return RB_FIND(ControlRequestTree, &c->requests, &key);
}

ControlRequest *control_request_free(ControlRequest *r) {
        if (!r)
                return NULL;
        RB_REMOVE(ControlRequestTree, &r->control->requests, r);
        if (r->monitoring)
                control_monitor_left(r->control);
        if (r->held)
                json_decref(r->held);
        free(r);
        return NULL;
}

/* Whoever asked has hung up: what was begun goes on, nobody is told. */
void control_request_gone(VarlinkCall *call, void *data) {
        ControlRequest *r = data;
        (void) call;
        client_forget_request(r->control->peerd->client, r->id);
        if (r->go_on)
                r->go_on(NULL, r->go_on_data);
        control_request_free(r);
}

int control_request_add(ControlRequest *r, json_t *parameters) {
        if (!parameters)        /* the stream lacks a reply: it ends */
                return varlink_call_notify(r->call, NULL);
        json_t *before = r->held;
        r->held = parameters;
        return before ? varlink_call_notify(r->call, before) : 0;
}

static void on_resume(VarlinkCall *call, void *data) {
        ControlRequest *r = data;
        (void) call;
        void (*go_on)(ControlRequest *r, void *data) = TAKE_PTR(r->go_on);
        go_on(r, r->go_on_data);
}

void control_request_go_on(ControlRequest *r, void (*go_on)(ControlRequest *r, void *data), void *data) {
        if (!varlink_call_is_congested(r->call)) {
                go_on(r, data);
                return;
        }
        r->go_on = go_on;
        r->go_on_data = data;
        varlink_call_set_resume(r->call, on_resume, r);
}

VarlinkCall *control_request_take(ControlRequest *r) {
        VarlinkCall *call = r->call;
        varlink_call_set_gone(call, NULL, NULL);
        control_request_free(r);
        return call;
}

void control_request_end(ControlRequest *r) {
        json_t *last = r->held ? TAKE_PTR(r->held) : json_object();
        (void) varlink_call_reply(control_request_take(r), last);
}

/* ---- methods that are answered at once ---- */

static int membership_run(VarlinkCall *call, int (*what)(Registration *r), void *userdata) {
        Control *c = userdata;
        if (what(c->peerd->registration) == REGISTRATION_NO_SERVERS)
                return varlink_call_error(call, "org.p2pdi.Peer.NoServers", NULL);
        return varlink_call_reply(call, json_object());
}

static int join_run(VarlinkCall *call, json_t *parameters, void *userdata) {
        (void) parameters;
        return membership_run(call, registration_join, userdata);
}

static int leave_run(VarlinkCall *call, json_t *parameters, void *userdata) {
        (void) parameters;
        return membership_run(call, registration_leave, userdata);
}

static int get_listeners_run(VarlinkCall *call, json_t *parameters, void *userdata) {
        Server *s = ((Control *) userdata)->peerd->server;
        (void) parameters;
        return varlink_call_reply(call, json_pack("{s:o}", "listeners",
                                                  control_listeners(server_listener(s), server_inherited(s))));
}

/* ---- tables ---- */

static const VarlinkParameter get_parameters[] = {
        { "numbers", VARLINK_INT_ARRAY }, { "transaction", VARLINK_STRING | VARLINK_OPTIONAL }, {} };
static const VarlinkParameter number_parameters[] = { { "number", VARLINK_INT }, {} };
static const VarlinkParameter numbers_parameters[] = { { "numbers", VARLINK_INT_ARRAY | VARLINK_OPTIONAL }, {} };
static const VarlinkParameter keep_parameters[] = { { "numbers", VARLINK_INT_ARRAY }, {} };
static const VarlinkParameter evict_parameters[] = {
        { "numbers", VARLINK_INT_ARRAY }, { "force", VARLINK_BOOL | VARLINK_OPTIONAL }, {} };
static const VarlinkParameter import_parameters[] = { { "files", VARLINK_OBJECT_ARRAY }, {} };
static const VarlinkParameter list_parameters[] = {
        { "ranges", VARLINK_STRING_ARRAY | VARLINK_OPTIONAL }, { "all", VARLINK_BOOL | VARLINK_OPTIONAL },
        { "atRisk", VARLINK_BOOL | VARLINK_OPTIONAL }, { "disputed", VARLINK_BOOL | VARLINK_OPTIONAL }, {} };
static const VarlinkParameter explain_parameters[] = {
        { "transaction", VARLINK_STRING | VARLINK_OPTIONAL }, { "number", VARLINK_INT | VARLINK_OPTIONAL }, {} };
static const VarlinkParameter search_parameters[] = { { "words", VARLINK_STRING_ARRAY },
                                                      { "local", VARLINK_BOOL | VARLINK_OPTIONAL },
                                                      { "current", VARLINK_BOOL | VARLINK_OPTIONAL },
                                                      {} };
static const VarlinkParameter resolve_parameters[] = {
        { "names", VARLINK_STRING_ARRAY }, { "follow", VARLINK_BOOL | VARLINK_OPTIONAL }, {} };
static const VarlinkParameter refresh_parameters[] = { { "peers", VARLINK_STRING_ARRAY | VARLINK_OPTIONAL }, {} };
static const VarlinkParameter sync_parameters[] = { { "ranges", VARLINK_STRING_ARRAY | VARLINK_OPTIONAL },
                                                    { "dryRun", VARLINK_BOOL | VARLINK_OPTIONAL },
                                                    { "maxRate", VARLINK_INT | VARLINK_OPTIONAL },
                                                    {} };

static const VarlinkMethod methods[] = {
        { "org.p2pdi.Peer.Get", VARLINK_MAY_MORE, get_parameters, control_get },
        { "org.p2pdi.Peer.Open", 0, number_parameters, control_open },
        { "org.p2pdi.Peer.OpenEditorIndex", 0, NULL, control_open_editor_index },
        { "org.p2pdi.Peer.List", VARLINK_NEEDS_MORE, list_parameters, control_list },
        { "org.p2pdi.Peer.Search", VARLINK_NEEDS_MORE, search_parameters, control_search },
        { "org.p2pdi.Peer.Resolve", VARLINK_NEEDS_MORE, resolve_parameters, control_resolve },
        { "org.p2pdi.Peer.Describe", 0, number_parameters, control_describe },
        { "org.p2pdi.Peer.ListHolders", VARLINK_NEEDS_MORE, number_parameters, control_list_holders },
        { "org.p2pdi.Peer.ListPeers", VARLINK_NEEDS_MORE, NULL, control_list_peers },
        { "org.p2pdi.Peer.Explain", VARLINK_NEEDS_MORE, explain_parameters, control_explain },
        { "org.p2pdi.Peer.Monitor", VARLINK_NEEDS_MORE, NULL, control_monitor },
        { "org.p2pdi.Peer.GetStatus", 0, NULL, control_get_status },
        { "org.p2pdi.Peer.GetMetrics", 0, NULL, control_get_metrics },
        { "org.p2pdi.Peer.GetListeners", 0, NULL, get_listeners_run },
        { "org.p2pdi.Peer.Refresh", VARLINK_NEEDS_MORE, refresh_parameters, control_refresh },
        { "org.p2pdi.Peer.Verify", VARLINK_NEEDS_MORE, numbers_parameters, control_verify },
        { "org.p2pdi.Peer.Repair", VARLINK_NEEDS_MORE | VARLINK_CHANGES, numbers_parameters, control_repair },
        { "org.p2pdi.Peer.Pin", VARLINK_NEEDS_MORE | VARLINK_CHANGES, keep_parameters, control_pin },
        { "org.p2pdi.Peer.Unpin", VARLINK_NEEDS_MORE | VARLINK_CHANGES, keep_parameters, control_unpin },
        { "org.p2pdi.Peer.Evict", VARLINK_NEEDS_MORE | VARLINK_CHANGES, evict_parameters, control_evict },
        { "org.p2pdi.Peer.Import", VARLINK_CHANGES | VARLINK_TAKES_FD, import_parameters, control_import },
        { "org.p2pdi.Peer.Sync", VARLINK_NEEDS_MORE | VARLINK_CHANGES, sync_parameters, control_sync },
        { "org.p2pdi.Peer.Join", VARLINK_CHANGES, NULL, join_run },
        { "org.p2pdi.Peer.Leave", VARLINK_CHANGES, NULL, leave_run },
        {}
};

static const VarlinkInterface interface = { "org.p2pdi.Peer", interface_peer, methods };

const ClientHandler control_client_handler = { .on_download = control_on_download,
                                               .on_refresh = control_on_refresh,
                                               .on_sync = control_on_sync };

int control_new(Peerd *p, Control **ret) {
        Control *c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->peerd = p;
        RB_INIT(&c->requests);
        LIST_INIT(&c->jobs);
        c->conf = (VarlinkServerConf){
                .vendor = "P2P-DI",
                .product = "P2P-DI Peer",
                .version = PACKAGE_VERSION,
                .url = "man:p2pdi-peerd(8)",
                .interfaces = { &interface, &control_service_interface },
                .authorize = authorize,
                .finished = finished,
                .failed = control_log_failure,
                .userdata = c,
        };
        int k = control_monitor_new(c);
        if (k == 0)
                k = control_counts_init(c);
        if (k == 0)
                k = varlink_server_new(p->event, &c->conf, &c->server);
        if (k < 0)
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not make the control server");
        else
                k = control_listen(c->server, p->options.runtime_dir, CONTROL_SOCKET_PEER);
        if (k < 0) {
                control_free(c);
                return k;
        }
        *ret = c;
        return 0;
}

Control *control_free(Control *c) {
        ControlRequest *r, *next;
        ControlJob *job;
        if (!c)
                return NULL;
        RB_FOREACH_SAFE(r, ControlRequestTree, &c->requests, next) {
                varlink_call_set_gone(r->call, NULL, NULL);
                control_request_free(r);
        }
        while ((job = LIST_FIRST(&c->jobs)))
                control_job_end(job);
        varlink_server_free(c->server);
        control_monitor_free(c);
        control_counts_done(c);
        free(c);
        return NULL;
}
