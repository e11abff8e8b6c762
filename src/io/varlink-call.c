/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/varlink-internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "io/json-memory.h"

/* Longer names of methods and parameters are not given back in an error: ours are shorter. */
#define NAME_ECHO_MAX 255

bool varlink_call_wants_more(const VarlinkCall *c) {
        return c->more;
}

uid_t varlink_call_uid(const VarlinkCall *c) {
        return c->conn->uid;
}

int varlink_call_take_fd(VarlinkCall *c) {
        int fd = c->fd;

        c->fd = -1;
        return fd;
}

void *varlink_call_userdata(const VarlinkCall *c) {
        return c->conn->server->conf->userdata;
}

void varlink_call_set_gone(VarlinkCall *c, void (*gone)(VarlinkCall *c, void *data), void *data) {
        c->gone = gone;
        c->gone_data = data;
}

bool varlink_call_is_congested(const VarlinkCall *c) {
        return varlink_conn_is_congested(c->conn);
}

void varlink_call_set_resume(VarlinkCall *c, void (*resume)(VarlinkCall *c, void *data), void *data) {
        c->resume = resume;
        c->resume_data = data;
        varlink_conn_wake(c->conn);
}

static void call_end(VarlinkCall *c, const char *error) {
        const VarlinkServerConf *conf = c->conn->server->conf;

        if (conf->finished)
                conf->finished(c->method ? c->method->name : NULL, c->conn->uid, error, conf->userdata);
        c->conn->call = NULL;
        varlink_conn_wake(c->conn);
        if (c->fd >= 0)
                close(c->fd);
        free(c);
}

void varlink_call_abandon(VarlinkCall *c) {
        if (c->gone)
                c->gone(c, c->gone_data);
        call_end(c, "gone");
}

/* {"parameters": …, further}: takes parameters, NULL where they could not be made. */
static int call_send(VarlinkCall *c, json_t *parameters, const char *error, bool continues, int fd) {
        json_t *message;

        if (c->oneway) {
                json_decref(parameters);
                return 0;
        }
        message = json_object();
        if (error)
                (void) json_object_set_new(message, "error", json_string(error));
        (void) json_object_set_new(message, "parameters", parameters);  /* taken, whatever comes of it */
        if (continues)
                (void) json_object_set_new(message, "continues", json_true());
        /* What there was no memory for is not in it; it may have been needed, here or where the parameters were made. */
        if (!json_object_get(message, "parameters") || c->n_json_failures != json_memory_failures()) {
                json_decref(message);
                message = NULL;
        }
        /* Without a message to send there would be a reply too few: that ends the connection as well. */
        return varlink_conn_queue(c->conn, message, fd);
}

int varlink_call_notify(VarlinkCall *c, json_t *parameters) {
        int r;

        assert(c->more);
        r = call_send(c, parameters, NULL, true, -1);
        varlink_conn_wake(c->conn);
        return r;
}

int varlink_call_reply_fd(VarlinkCall *c, json_t *parameters, int fd) {
        int r;

        r = call_send(c, parameters, NULL, false, fd);
        call_end(c, NULL);
        return r;
}

int varlink_call_reply(VarlinkCall *c, json_t *parameters) {
        return varlink_call_reply_fd(c, parameters, -1);
}

int varlink_call_error(VarlinkCall *c, const char *error, json_t *parameters) {
        int r;

        r = call_send(c, parameters ? parameters : json_object(), error, false, -1);
        call_end(c, error);
        return r;
}

static int call_error_named(VarlinkCall *c, const char *error, const char *key, const char *name) {
        if (strlen(name) > NAME_ECHO_MAX)
                name = "";
        return varlink_call_error(c, error, json_pack("{s:s}", key, name));
}

int varlink_call_errno(VarlinkCall *c, int error) {
        const char *name = strerrorname_np(-error);

        return varlink_call_error(c, "io.systemd.System",
                                  json_pack("{s:s, s:i, s:s}", "origin", "linux", "errno", -error, "errnoName", name ? name : ""));
}

int varlink_call_invalid(VarlinkCall *c, const char *parameter) {
        return call_error_named(c, "org.varlink.service.InvalidParameter", "parameter", parameter);
}

static const VarlinkInterface *interface_find(const VarlinkServerConf *conf, const char *name, size_t size) {
        if (slice_equal(slice_of(varlink_service_interface.name), (Slice){ name, size }))
                return &varlink_service_interface;
        for (size_t i = 0; conf->interfaces[i]; i++)
                if (slice_equal(slice_of(conf->interfaces[i]->name), (Slice){ name, size }))
                        return conf->interfaces[i];
        return NULL;
}

static const VarlinkMethod *method_find(const VarlinkInterface *interface, const char *name) {
        for (const VarlinkMethod *m = interface->methods; m->name; m++)
                if (strcmp(m->name, name) == 0)
                        return m;
        return NULL;
}

static bool call_is_allowed(const VarlinkCall *c) {
        const VarlinkConn *conn = c->conn;
        const VarlinkServerConf *conf = conn->server->conf;

        if (!(c->method->flags & VARLINK_CHANGES))
                return true;
        if (!conf->authorize)
                return conn->uid == 0 || conn->uid == geteuid();
        return conf->authorize(conn->uid, conn->gid, conn->groups, conn->n_groups, conf->userdata);
}

/* What the rules refuse before a method sees it. true: replied. */
static bool call_refuse(VarlinkCall *c, const VarlinkMessage *m) {
        const VarlinkInterface *interface;
        const char *dot, *bad;

        dot = strrchr(m->method, '.');
        if (!dot) {
                (void) varlink_call_invalid(c, "method");
                return true;
        }
        interface = interface_find(c->conn->server->conf, m->method, (size_t) (dot - m->method));
        if (!interface) {
                _cleanup_free_ char *name = strndup(m->method, (size_t) (dot - m->method));

                (void) call_error_named(c, "org.varlink.service.InterfaceNotFound", "interface", name ? name : "");
                return true;
        }
        c->method = method_find(interface, m->method);
        if (!c->method) {
                (void) call_error_named(c, "org.varlink.service.MethodNotFound", "method", m->method);
                return true;
        }
        /* No method of ours turns the connection into something else. */
        if (m->upgrade) {
                (void) call_error_named(c, "org.varlink.service.MethodNotImplemented", "method", m->method);
                return true;
        }
        if ((c->method->flags & VARLINK_NEEDS_MORE) && !m->more) {
                (void) varlink_call_error(c, "org.varlink.service.ExpectedMore", NULL);
                return true;
        }
        if (!call_is_allowed(c)) {
                (void) varlink_call_error(c, "org.varlink.service.PermissionDenied", NULL);
                return true;
        }
        bad = varlink_parameters_check(c->method->parameters, m->parameters);
        if (bad) {
                (void) varlink_call_invalid(c, bad);
                return true;
        }
        c->more = m->more && (c->method->flags & (VARLINK_MAY_MORE | VARLINK_NEEDS_MORE));
        return false;
}

static bool method_takes_fd(const VarlinkServerConf *conf, const char *name) {
        const char *dot = strrchr(name, '.');
        const VarlinkInterface *interface = dot ? interface_find(conf, name, (size_t) (dot - name)) : NULL;
        const VarlinkMethod *method = interface ? method_find(interface, name) : NULL;

        return method && method->flags & VARLINK_TAKES_FD;
}

int varlink_call_dispatch(VarlinkConn *conn, VarlinkMessage *m) {
        _cleanup_(varlink_message_done) VarlinkMessage message = *m;
        VarlinkCall *c;
        int r;

        *m = (VarlinkMessage){ .fd = -1 };
        assert(!conn->call);
        if (message.fd >= 0 && !method_takes_fd(conn->server->conf, message.method))
                return -EPROTO;
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->conn = conn;
        c->n_json_failures = json_memory_failures();
        c->oneway = message.oneway;
        c->fd = message.fd;
        message.fd = -1;
        conn->call = c;
        if (call_refuse(c, &message))
                return 0;
        r = c->method->run(c, message.parameters, conn->server->conf->userdata);
        /* A method that failed after its reply has nothing to add to it. */
        if (r >= 0 || conn->call != c)
                return 0;
        varlink_server_failed(conn->server, c->method->name, r);
        (void) varlink_call_errno(c, r);
        return 0;
}
