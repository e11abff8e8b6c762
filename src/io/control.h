/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What the control interfaces of both daemons share: the socket, and the members that replies are made of.
 */

#include "core/address.h"
#include "core/base.h"
#include "core/buf.h"
#include "io/conf.h"
#include "io/listener.h"
#include "io/varlink.h"

#include <jansson.h>

/*
 * Listens on the sockets that the service manager passed as "varlink", else on `name` in the runtime directory, which
 * is made if need be. 0 or -errno, logged.
 */
int control_listen(VarlinkServer *s, const char *runtime_dir, const char *name) _must_check_;

/* io.systemd.service: Ping, SetLogLevel, GetLogLevel. For VarlinkServerConf.interfaces. */
extern const VarlinkInterface control_service_interface;

/*
 * Logs the end of a call, if it was denied, or went well and changed something (VARLINK_CHANGES). For
 * VarlinkServerConf.finished; conf: where the method is looked for.
 */
void control_log_call(const VarlinkServerConf *conf, const char *method, uid_t uid, const char *error);

/* That this host failed, as a warning. For VarlinkServerConf.failed. */
void control_log_failure(const char *method, int error, void *userdata);

/*
 * Members of an object. Without memory they are left out, and the reply is not sent (varlink.h). Strings must be valid
 * UTF-8, as all that is kept is.
 */
void control_set_string(json_t *object, const char *name, Slice value);
void control_set_int(json_t *object, const char *name, uint64_t value);
void control_set_bool(json_t *object, const char *name, bool value);
/* "192.0.2.1:65424" */
void control_set_endpoint(json_t *object, const char *name, const Endpoint *e);
/* As "sha256". */
void control_set_digest(json_t *object, const Digest *d);

/* An array of strings. NULL: no memory. */
json_t *control_strings(StringList l);
/* The addresses in use, in the same way. */
json_t *control_listening(const Listener *l);
/* The same as the reply of GetListeners: an array of Listener. */
json_t *control_listeners(const Listener *l, bool inherited);

/* What a reply of GetMetrics may hold: far below VARLINK_MESSAGE_MAX, far above what there is. */
#define CONTROL_METRICS_MAX (256u << 10)
/* The reply of GetMetrics. NULL: no memory. */
json_t *control_metrics(const Buf *text);
