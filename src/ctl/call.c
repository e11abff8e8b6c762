/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/ctl.h"

#include <errno.h>
#include <unistd.h>

#include "core/text.h"
#include "io/conf-values.h"
#include "io/json-memory.h"

const char *member_string(const json_t *o, const char *name) {
        return json_string_value(json_object_get(o, name));
}

uint64_t member_uint(const json_t *o, const char *name) {
        json_int_t value = json_integer_value(json_object_get(o, name));

        return value > 0 ? (uint64_t) value : 0;
}

bool member_bool(const json_t *o, const char *name) {
        return json_is_true(json_object_get(o, name));
}

bool member_is_set(const json_t *o, const char *name) {
        const json_t *value = json_object_get(o, name);

        return value && !json_is_null(value);
}

/* ---- errors ---- */

static const struct Result {
        const char *result;             /* in a Download */
        const char *error;              /* of a call that wanted one document */
        int code;
        const char *says;               /* about the document; NULL: not about the document */
} results[] = {
        { "not-held", "org.p2pdi.Peer.NotHeld", CTL_NOT_HELD, "is not held by any reachable peer." },
        { "never-issued", "org.p2pdi.Peer.NeverIssued", CTL_NEVER_ISSUED, "was never issued." },
        { "no-peers", "org.p2pdi.Peer.NoPeers", CTL_NO_PEERS, NULL },
        { "integrity", "org.p2pdi.Peer.Integrity", CTL_INTEGRITY,
          "did not match the digest that its holder stated, and was thrown away." },
        { "disputed", "org.p2pdi.Peer.Integrity", CTL_INTEGRITY, "is disputed: its holders state different texts." },
        { "untrusted", "org.p2pdi.Peer.Integrity", CTL_INTEGRITY,
          "is not taken: what is known of it is below Integrity.Accept=." },
        { "unreachable", "org.p2pdi.Peer.Unreachable", CTL_NOT_HELD,
          "is held only by peers that could not be reached." },
        { "no-space", "org.p2pdi.Peer.NoSpace", CTL_NO_SPACE, "does not fit: there is no space left." },
        { "not-known", "org.p2pdi.Peer.NotKnown", CTL_NOT_HELD, "is not known here." },
        { "failed", "org.p2pdi.Peer.Failed", CTL_FAILURE, "could not be fetched." },
};

static int fail_with(const struct Result *result, uint32_t number, const char *message, bool several) {
        if (!result->says)
                return several ? ctl_fail(result->code, "RFC %u: No peer is active.", number)
                               : ctl_fail(result->code, "No peer is active.");
        /* Only the daemon knows whom it asked and what failed: it says a sentence about the document, or the bare
         * reason. */
        if ((result->code == CTL_NOT_HELD || result->code == CTL_INTEGRITY) && message && slice_starts_with(slice_of(message), "RFC "))
                return ctl_fail(result->code, "%s", message);
        if ((result->code == CTL_FAILURE || result->code == CTL_NO_SPACE) && message)
                return slice_starts_with(slice_of(message), "RFC ")
                               ? ctl_fail(result->code, "%s", message)
                               : ctl_fail(result->code, "RFC %u could not be fetched: %s", number, message);
        return ctl_fail(result->code, "RFC %u %s", number, result->says);
}

int ctl_fail_document(const char *result, uint32_t number, const char *message, bool several) {
        for (size_t i = 0; i < ELEMENTSOF(results); i++)
                if (result && strcmp(result, results[i].result) == 0)
                        return fail_with(&results[i], number, message, several);
        return ctl_fail(CTL_FAILURE, "RFC %u: the daemon gives no result that is known here (%s).", number,
                        result ? result : "none");
}

int ctl_fail_documents(const char *result, const char *numbers) {
        int code = CTL_FAILURE;

        for (size_t i = 0; i < ELEMENTSOF(results); i++)
                if (result && strcmp(result, results[i].result) == 0)
                        code = results[i].code;
        return ctl_fail(code, "%s could not be had: %s.", numbers, result ? result : "no result");
}

static int fail_with_error(const Ctl *ctl, const char *method, const char *error, const json_t *p) {
        const char *s;

        for (size_t i = 0; i < ELEMENTSOF(results); i++)
                if (strcmp(error, results[i].error) == 0)
                        return fail_with(&results[i], (uint32_t) member_uint(p, "number"), member_string(p, "message"),
                                         false);
        if (strcmp(error, "org.varlink.service.PermissionDenied") == 0)
                return ctl_fail(CTL_DENIED, "Not allowed: use sudo%s.",
                                ctl->rs ? "" : ", or be named by Control.AllowUsers= or AllowGroups=");
        if (strcmp(error, "org.p2pdi.Peer.NoServers") == 0)
                return ctl_fail(CTL_FAILURE, "No registration server is configured.");
        if (strcmp(error, "org.p2pdi.Peer.SyncRunning") == 0)
                return ctl_fail(CTL_FAILURE, "A sync is under way already: p2pdi-ctl monitor shows what it fetches.");
        if (strcmp(error, "org.p2pdi.Peer.SyncFailed") == 0 && (s = member_string(p, "message")))
                return ctl_fail(CTL_FAILURE, "The sync failed: %s.", s);
        if (strcmp(error, "org.p2pdi.Peer.UnknownPeer") == 0 && (s = member_string(p, "peer")))
                return ctl_fail(CTL_FAILURE, "%s is not among the peers that may be asked.", s);
        if (strcmp(error, "org.varlink.service.InvalidParameter") == 0 && (s = member_string(p, "parameter")))
                return ctl_fail(CTL_FAILURE, "The daemon refuses %s: parameter %s is invalid.", method, s);
        if (strcmp(error, "org.varlink.service.InterfaceNotFound") == 0 ||
            strcmp(error, "org.varlink.service.MethodNotFound") == 0)
                return ctl_fail(CTL_FAILURE, "Whoever answers on %s does not know %s.", ctl->path, method);
        return ctl_fail(CTL_FAILURE, "The daemon answers %s with %s.", method, error);
}

/* An answer of the client, or its errno. */
static int fail_with_answer(const Ctl *ctl, int r) {
        char timeout[64];

        switch (r) {
        case VARLINK_CLIENT_TIMEOUT:
                conf_format_time(ctl->timeout, timeout, sizeof(timeout));
                return ctl_fail(CTL_TIMEOUT, "No answer within %s.", timeout);
        case VARLINK_CLIENT_CLOSED:
                return ctl_fail(CTL_FAILURE, "%s closed the connection.", ctl->daemon);
        case VARLINK_CLIENT_BAD:
                return ctl_fail(CTL_FAILURE, "What answers on %s does not speak Varlink.", ctl->path);
        case -ENOENT:
        case -ENOTDIR:
        case -ECONNREFUSED:
                return ctl_fail(CTL_NO_DAEMON, "Nobody answers on %s: is %s running?", ctl->path, ctl->daemon);
        case -EACCES:
        case -EPERM:
                return ctl_fail(CTL_DENIED, "Access to %s denied: join group p2pdi or use sudo.", ctl->path);
        case -ENAMETOOLONG:
                return ctl_fail(CTL_USAGE, "%s is too long for the path of a socket.", ctl->path);
        default:
                return r;
        }
}

/* ---- calls ---- */

static int call_receive(Ctl *ctl, const char *method, CtlReply on_reply, void *userdata) {
        bool continues = true;
        int code = 0;

        while (continues) {
                json_t *parameters;
                const char *error;
                int r, fd;

                r = varlink_client_receive(ctl->client, &parameters, &error, &continues, &fd);
                if (r != 0) {
                        r = fail_with_answer(ctl, r);
                        return r < 0 ? r : MAX_OF(code, r);
                }
                if (error)
                        r = fail_with_error(ctl, method, error, parameters);
                else
                        r = on_reply ? on_reply(parameters, fd, userdata) : 0;
                json_decref(parameters);
                if (fd >= 0)
                        close(fd);
                if (r < 0)
                        return r;
                code = MAX_OF(code, r);
                if (error)
                        break;
        }
        return code;
}

int ctl_connect(Ctl *ctl) {
        int r = 0;

        if (!ctl->client)
                r = varlink_client_connect(ctl->path, ctl->timeout, &ctl->client);
        return r != 0 ? fail_with_answer(ctl, r) : 0;
}

static int call(Ctl *ctl, const char *method, json_t *parameters, int flags, int fd, CtlReply on_reply, void *userdata) {
        int r;

        /* With a parameter left out something else would be done: all of them instead of two. */
        r = json_memory_failures() > 0 ? -ENOMEM : ctl_connect(ctl);
        if (r != 0) {
                json_decref(parameters);
                return r;
        }
        r = varlink_client_send(ctl->client, method, parameters, flags, fd);
        if (r != 0)
                return fail_with_answer(ctl, r);
        return call_receive(ctl, method, on_reply, userdata);
}

int ctl_call(Ctl *ctl, const char *method, json_t *parameters, CtlReply on_reply, void *userdata) {
        return call(ctl, method, parameters, 0, -1, on_reply, userdata);
}

int ctl_call_fd(Ctl *ctl, const char *method, json_t *parameters, int fd, CtlReply on_reply, void *userdata) {
        return call(ctl, method, parameters, 0, fd, on_reply, userdata);
}

int ctl_call_more(Ctl *ctl, const char *method, json_t *parameters, CtlReply on_reply, void *userdata) {
        return call(ctl, method, parameters, VARLINK_CLIENT_MORE, -1, on_reply, userdata);
}

struct List {
        const char *name;
        json_t *array;
};

static int list_add(json_t *parameters, _unused_ int fd, void *userdata) {
        struct List *list = userdata;
        json_t *value = json_object_get(parameters, list->name);

        /* A list that has nothing to tell ends with a reply without its member. */
        if (!json_is_object(value))
                return 0;
        return json_array_append(list->array, value) < 0 ? -ENOMEM : 0;
}

int ctl_call_list(Ctl *ctl, const char *method, json_t *parameters, const char *name, json_t **ret) {
        struct List list = { .name = name, .array = json_array() };
        int r;

        if (!list.array) {
                json_decref(parameters);
                return -ENOMEM;
        }
        r = ctl_call_more(ctl, method, parameters, list_add, &list);
        if (r != 0) {
                json_decref(list.array);
                return r;
        }
        *ret = list.array;
        return 0;
}
