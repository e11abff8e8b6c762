/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a daemon listens: inherited, kept by the service manager, or bound; and whether that is what the INI says. */
#include "io/daemon.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/conf-files.h"
#include "io/log.h"
#include "io/loop.h"

#define SOCKETS_MAX 64

/* ---- listening ---- */

/* Sockets of "auto": those passed back by the service manager, and those that it shall have. */
typedef struct Stored {
        const char *name;               /* NULL: it keeps none */
        int passed[SOCKETS_MAX];        /* owned; -1: taken */
        size_t n_passed;
        int kept[SOCKETS_MAX], fresh[SOCKETS_MAX];      /* the listener's */
        size_t n_kept, n_fresh;
} Stored;

static void stored_done(Stored *s) {
        for (size_t i = 0; i < s->n_passed; i++)
                if (s->passed[i] >= 0)
                        (void) close(s->passed[i]);
        s->n_passed = 0;
}

static int stored_init(Stored *s) {
        int n = s->name ? inherited_take(s->name, s->passed, ELEMENTSOF(s->passed)) : 0;

        if (n < 0)
                return n;
        s->n_passed = (size_t) n;
        return 0;
}

static bool is_at(int fd, const ConfListen *listen) {
        struct sockaddr_storage address;
        socklen_t size = sizeof(address);
        Endpoint e;

        return getsockname(fd, (struct sockaddr *) &address, &size) >= 0 &&
               endpoint_from_sockaddr((struct sockaddr *) &address, &e) == 0 && conf_listen_matches(listen, &e, false);
}

/* true: one of those passed is listened on. */
static bool stored_take(Stored *s, Listener *l, const ConfListen *listen) {
        for (size_t i = 0; i < s->n_passed; i++) {
                int fd = s->passed[i];

                if (fd < 0 || !is_at(fd, listen))
                        continue;
                s->passed[i] = -1;
                if (listener_add_fd(l, fd) < 0)
                        continue;       /* not one that can be listened on: as if there were none */
                s->kept[s->n_kept++] = fd;
                return true;
        }
        return false;
}

/* Only all of a name can be taken away: then the others are given again. */
static void stored_tell(Stored *s) {
        if (s->n_passed > s->n_kept) {
                notify_forget(s->name);
                for (size_t i = 0; i < s->n_kept; i++)
                        notify_store(s->name, s->kept[i]);
        }
        for (size_t i = 0; i < s->n_fresh; i++)
                notify_store(s->name, s->fresh[i]);
}

static int bind_one(Listener *l, const ConfListen *listen, Stored *s) {
        char text[CONF_LISTEN_TEXT_SIZE];
        int r;

        if (listen->is_auto && stored_take(s, l, listen))
                return 0;
        r = listener_bind(l, &listen->endpoint, listen->any_address);
        if (r < 0) {
                conf_listen_to_text(listen, text);
                return log_errno(LOG_LEVEL_ERR, r, "Could not listen on %s%s", listen->any_address ? "port " : "", text);
        }
        if (listen->is_auto && s->name && s->n_fresh < ELEMENTSOF(s->fresh))
                s->fresh[s->n_fresh++] = listener_last_fd(l);
        return 0;
}

static int take_inherited(Listener *l, const char *name, bool *ret_inherited) {
        int fds[SOCKETS_MAX], result = 0, n;

        n = inherited_take(name, fds, ELEMENTSOF(fds));
        if (n < 0)
                return log_errno(LOG_LEVEL_ERR, n, "Could not take the sockets of the service manager");
        for (int i = 0; i < n; i++) {
                int r = listener_add_fd(l, fds[i]);

                if (r < 0)
                        result = log_errno(LOG_LEVEL_ERR, r, "The socket that the service manager passed as \"%s\" can't be used", name);
        }
        *ret_inherited = n > 0;
        return result;
}

int daemon_listen(Listener *l, const ConfCommon *c, const char *name, const char *stored, bool *ret_inherited) {
        _cleanup_(stored_done) Stored s = { .name = stored };
        int r;

        r = take_inherited(l, name, ret_inherited);
        if (r == 0)
                r = stored_init(&s);
        for (size_t i = 0; r == 0 && !*ret_inherited && i < c->n_listen; i++)
                r = bind_one(l, &c->listen[i], &s);
        if (r == 0)
                stored_tell(&s);
        return r;
}

int daemon_describe_listeners(const Listener *l, Buf *b) {
        Endpoint endpoints[SOCKETS_MAX];
        size_t n = MIN_OF(listener_endpoints(l, endpoints, ELEMENTSOF(endpoints)), ELEMENTSOF(endpoints));

        for (size_t i = 0; i < n; i++) {
                char text[ENDPOINT_TEXT_SIZE];
                int r;

                endpoint_to_text(&endpoints[i], text);
                r = buf_printf(b, "%s%s", i > 0 ? ", " : "", text);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* ---- what the INI says ---- */

/* Logged, and kept if there is memory for it. */
static _printf_(4, 5) void add_warning(StringList *warnings, LogLevel level, LogEvent event, const char *format, ...) {
        va_list ap;
        char *text;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0)
                return;
        log_entry(level, event, NULL, "%s", text);
        if (string_list_append(warnings, text) < 0)
                log_warning("There was no memory to keep this.");
}

/* The generator could tell only the kernel's log, which knows no fields. */
static bool generator_refused(const ConfCommon *c, const ConfListener *who, StringList *warnings) {
        char reason[CONF_FAULT_SIZE];

        if (c->listen_is_preset || conf_listen_check(c->listen, c->n_listen, reason) == 0)
                return false;
        add_warning(warnings, LOG_LEVEL_ERR, LOG_EVENT_GENERATOR_REFUSED,
                    "Server.ListenStream=: %s, so %s%s%s.socket stays as shipped.", reason, who->daemon,
                    who->instance ? "@" : "", who->instance ? who->instance : "");
        return true;
}

void daemon_compare_sockets(const Listener *l, const ConfCommon *c, const ConfListener *who, bool from_trees,
                            StringList *warnings) {
        Endpoint at[SOCKETS_MAX];
        size_t n = MIN_OF(listener_endpoints(l, at, ELEMENTSOF(at)), ELEMENTSOF(at));
        int r;

        *warnings = string_list_free(*warnings);
        if (who->inherited && from_trees && generator_refused(c, who, warnings))
                return;
        r = conf_listen_compare(c, at, n, who, warnings);
        if (r < 0)
                (void) log_errno(LOG_LEVEL_WARNING, r, "Could not compare the sockets with the configuration");
        for (StringList s = *warnings; s && *s; s++)
                log_entry(LOG_LEVEL_WARNING, LOG_EVENT_CONF_DRIFT, NULL, "%s", *s);
}

void daemon_warn_no_socket(const ConfListener *who, const char *name, StringList *warnings) {
        char command[CONF_COMMAND_SIZE];

        conf_listener_command(who, command);
        add_warning(warnings, LOG_LEVEL_WARNING, LOG_EVENT_CONF_DRIFT,
                    "The service manager passed no socket named \"%s\", so %s listens by itself; \"%s\" brings it back.",
                    name, who->daemon, command);
}

int daemon_describe_warnings(StringList warnings, Buf *b) {
        return warnings && warnings[0] ? buf_printf(b, " Warning: %s", warnings[0]) : 0;
}
