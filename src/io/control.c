/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/control.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "core/text.h"
#include "io/daemon.h"
#include "io/log.h"

#define SOCKETS_MAX 8
#define LISTENING_MAX 64

int control_listen(VarlinkServer *s, const char *runtime_dir, const char *name) {
        _cleanup_free_ char *path = NULL;
        int fds[SOCKETS_MAX], result = 0, k;

        int n = inherited_take("varlink", fds, ELEMENTSOF(fds));
        if (n < 0)
                return log_errno(LOG_LEVEL_ERR, n, "Could not take the control socket of the service manager");
        for (int i = 0; i < n; i++) {   /* all of them: whoever took them owns them */
                k = sd_is_socket_unix(fds[i], SOCK_STREAM, 1, NULL, 0);
                if (k > 0)
                        k = varlink_server_add_fd(s, fds[i]);
                else {
                        k = k < 0 ? k : -EINVAL;
                        close(fds[i]);
                }
                if (k < 0)
                        result = log_errno(LOG_LEVEL_ERR, k,
                                           "The socket that the service manager passed as \"varlink\" can't be used");
        }
        if (n > 0)
                return result;

        k = daemon_path(runtime_dir, name, &path);
        if (k == 0)
                k = daemon_make_directory(runtime_dir);
        if (k == 0)
                k = varlink_server_bind(s, path);
        if (k < 0)
                return log_errno(LOG_LEVEL_ERR, k, "Could not make the control socket in %s", runtime_dir);
        return 0;
}

static bool method_changes(const VarlinkServerConf *conf, const char *method) {
        for (size_t i = 0; conf->interfaces[i]; i++)
                for (const VarlinkMethod *m = conf->interfaces[i]->methods; m->name; m++)
                        if (strcmp(m->name, method) == 0)
                                return m->flags & VARLINK_CHANGES;
        return false;
}

void control_log_call(const VarlinkServerConf *conf, const char *method, uid_t uid, const char *error) {
        LogFields f = { .operation = method, .result = error ? "refused" : "ok", .has_uid = true, .uid = uid };

        if (!method)
                return;
        if (error && strcmp(error, "org.varlink.service.PermissionDenied") == 0)
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_CONTROL_DENIED, &f, "User %u was denied %s.", uid, method);
        else if (!error && method_changes(conf, method))
                log_entry(LOG_LEVEL_NOTICE, LOG_EVENT_CONTROL_CHANGED, &f, "User %u called %s.", uid, method);
}

void control_log_failure(const char *method, int error, _unused_ void *userdata) {
        if (method)
                (void) log_errno(LOG_LEVEL_WARNING, error, "%s failed", method);
        else
                (void) log_errno(LOG_LEVEL_WARNING, error, "A control connection ended early");
}

void control_set_string(json_t *object, const char *name, Slice value) {
        (void) json_object_set_new(object, name, json_stringn_nocheck(value.data, value.size));
}

void control_set_int(json_t *object, const char *name, uint64_t value) {
        (void) json_object_set_new(object, name, json_integer((json_int_t) value));
}

void control_set_bool(json_t *object, const char *name, bool value) {
        (void) json_object_set_new(object, name, json_boolean(value));
}

void control_set_endpoint(json_t *object, const char *name, const Endpoint *e) {
        char text[ENDPOINT_TEXT_SIZE];
        endpoint_to_text(e, text);
        control_set_string(object, name, slice_of(text));
}

void control_set_digest(json_t *object, const Digest *d) {
        char text[DIGEST_TEXT_SIZE];
        digest_to_text(d, text);
        control_set_string(object, "sha256", slice_of(text));
}

json_t *control_listeners(const Listener *l, bool inherited) {
        Endpoint endpoints[LISTENING_MAX];
        size_t n = MIN_OF(listener_endpoints(l, endpoints, ELEMENTSOF(endpoints)), ELEMENTSOF(endpoints));
        json_t *list = json_array();

        for (size_t i = 0; list && i < n; i++) {
                json_t *e = json_object();
                control_set_endpoint(e, "address", &endpoints[i]);
                control_set_bool(e, "inherited", inherited);
                (void) json_array_append_new(list, e);
        }
        return list;
}

json_t *control_listening(const Listener *l) {
        Endpoint endpoints[LISTENING_MAX];
        size_t n = listener_endpoints(l, endpoints, ELEMENTSOF(endpoints));
        json_t *list = json_array();

        for (size_t i = 0; list && i < MIN_OF(n, ELEMENTSOF(endpoints)); i++) {
                char text[ENDPOINT_TEXT_SIZE];
                endpoint_to_text(&endpoints[i], text);
                (void) json_array_append_new(list, json_string(text));
        }
        return list;
}

json_t *control_strings(StringList l) {
        json_t *list = json_array();

        for (; list && l && *l; l++)
                (void) json_array_append_new(list, json_string(*l));
        return list;
}

json_t *control_metrics(const Buf *text) {
        return json_pack("{s:s%}", "text", text->data, text->size);
}
