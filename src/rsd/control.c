/* SPDX-License-Identifier: BSD-2-Clause */
#include "rsd/rsd.h"

#include <errno.h>
#include <unistd.h>

#include "core/text.h"
#include "io/control.h"
#include "io/interfaces.h"
#include "io/log.h"

static json_t *registration_json(const PeerInfo *info, const Now *now) {
        char address[ENDPOINT_TEXT_SIZE];
        endpoint_to_text(&info->endpoint, address);
        json_t *j = json_pack("{s:i, s:s, s:s, s:b, s:I, s:I}",
                              "peerId", (int) info->id,
                              "host", info->host,
                              "address", address,
                              "active", info->active,
                              "registeredUSec", (json_int_t) info->registered_at,
                              "registrations30Days", (json_int_t) peer_info_registrations(info, now->realtime));
        if (j && info->active) {
                usec_t left = usec_sub(info->expires_at, now->boottime);
                (void) json_object_set_new(j, "expiresInSec", json_integer((json_int_t) (left / USEC_PER_SEC)));
        }
        return j;
}

/* A list under way: goes on when the reader has taken what was sent. */
typedef struct ListJob {
        Rsd *rsd;
        VarlinkCall *call;
        bool all;
        uint32_t after;
        json_t *held;                   /* the reply before is held back, so that the last one carries an entry, too */
} ListJob;

static void list_job_free(ListJob *j) {
        if (j->held)
                json_decref(j->held);
        free(j);
}

static void list_gone(VarlinkCall *call, void *data) {
        (void) call;
        list_job_free(data);
}

static void list_end(ListJob *j, json_t *last) {
        VarlinkCall *call = j->call;
        varlink_call_set_gone(call, NULL, NULL);
        list_job_free(j);
        (void) varlink_call_reply(call, last);
}

static void list_go_on(VarlinkCall *call, void *data) {
        ListJob *j = data;
        PeerInfo info;
        Now now;

        now_of_event(j->rsd->event, &now);
        while (peer_list_next(j->rsd->list, j->after, &info)) {
                j->after = info.id;
                if (!info.active && !j->all)
                        continue;
                json_t *before = j->held;
                j->held = json_pack("{s:o}", "registration", registration_json(&info, &now));
                if (before && varlink_call_notify(call, before) < 0)
                        return;         /* gone, and the job with it */
                if (varlink_call_is_congested(call)) {
                        varlink_call_set_resume(call, list_go_on, j);
                        return;
                }
        }
        list_end(j, j->held ? TAKE_PTR(j->held) : json_object());
}

static int list_run(VarlinkCall *call, json_t *parameters, void *userdata) {
        ListJob *j = calloc(1, sizeof(*j));
        if (!j)
                return -ENOMEM;
        *j = (ListJob){ .rsd = userdata, .call = call, .all = json_is_true(json_object_get(parameters, "all")) };
        varlink_call_set_gone(call, list_gone, j);
        list_go_on(call, j);
        return 0;
}

static int get_status_run(VarlinkCall *call, json_t *parameters, void *userdata) {
        Rsd *r = userdata;
        (void) parameters;
        return varlink_call_reply(call, json_pack("{s:s, s:s, s:o, s:b, s:I, s:I, s:I, s:I, s:I, s:o}",
                                                  "version", PACKAGE_VERSION,
                                                  "hostname", daemon_hostname(),
                                                  "listening", control_listening(r->listener),
                                                  "inherited", r->inherited,
                                                  "active", (json_int_t) peer_list_count_active(r->list, true),
                                                  "known", (json_int_t) peer_list_count(r->list),
                                                  "connections", (json_int_t) listener_count(r->listener),
                                                  "ttlSec", (json_int_t) (r->conf->ttl / USEC_PER_SEC),
                                                  "startedUSec", (json_int_t) r->started_at,
                                                  "warnings", control_strings(r->warnings)));
}

static int get_metrics_run(VarlinkCall *call, json_t *parameters, void *userdata) {
        (void) parameters;
        _cleanup_buf_ Buf b = BUF_INIT(CONTROL_METRICS_MAX);
        int k = rsd_write_metrics(userdata, &b);
        if (k != 0)
                return k < 0 ? k : -ENOBUFS;
        return varlink_call_reply(call, control_metrics(&b));
}

static int get_listeners_run(VarlinkCall *call, json_t *parameters, void *userdata) {
        const Rsd *r = userdata;
        (void) parameters;
        return varlink_call_reply(call, json_pack("{s:o}", "listeners", control_listeners(r->listener, r->inherited)));
}

static void finished(const char *method, uid_t uid, const char *error, void *userdata) {
        control_log_call(&((Rsd *) userdata)->varlink_conf, method, uid, error);
}

static const VarlinkParameter list_parameters[] = { { "all", VARLINK_BOOL | VARLINK_OPTIONAL }, {} };

static const VarlinkMethod methods[] = {
        { "org.p2pdi.Registration.List", VARLINK_NEEDS_MORE, list_parameters, list_run },
        { "org.p2pdi.Registration.GetStatus", 0, NULL, get_status_run },
        { "org.p2pdi.Registration.GetMetrics", 0, NULL, get_metrics_run },
        { "org.p2pdi.Registration.GetListeners", 0, NULL, get_listeners_run },
        {}
};

static const VarlinkInterface interface = { "org.p2pdi.Registration", interface_registration, methods };

int control_start(Rsd *r) {
        r->varlink_conf = (VarlinkServerConf){
                .vendor = "P2P-DI",
                .product = "P2P-DI Registration Server",
                .version = PACKAGE_VERSION,
                .url = "man:p2pdi-rsd(8)",
                .interfaces = { &interface, &control_service_interface },
                .finished = finished,
                .failed = control_log_failure,
                .userdata = r,
        };
        int k = varlink_server_new(r->event, &r->varlink_conf, &r->varlink);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not make the control server");
        return control_listen(r->varlink, r->options.runtime_dir, CONTROL_SOCKET_REGISTRATION);
}

void rsd_update_status(Rsd *r) {
        _cleanup_buf_ Buf b = BUF_INIT(4096);
        size_t n = peer_list_count_active(r->list, true);

        if (n == r->n_told)
                return;
        r->n_told = n;
        if (daemon_describe_listeners(r->listener, &b) != 0 ||
            buf_printf(&b, ", %zu peer%s active.", n, plural(n)) != 0 ||
            daemon_describe_warnings(r->warnings, &b) != 0 || buf_append_char(&b, 0) != 0)
                return;         /* only a line for people */
        notify_status("Listening on %s", b.data);
}
