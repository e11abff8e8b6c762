/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/varlink.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/json-memory.h"
#include "io/varlink-internal.h"

/* How long accept() rests when descriptors or memory ran out: the listening socket stays readable meanwhile. */
#define ACCEPT_PAUSE_USEC (100 * USEC_PER_MSEC)

struct VarlinkListener {
        TAILQ_ENTRY(VarlinkListener) entry;
        VarlinkServer *server;
        sd_event_source *source;        /* owns the socket */
        char *path;                     /* owned; what to remove in the end; NULL: inherited */
};

static void listener_free(VarlinkListener *l) {
        if (!l)
                return;
        sd_event_source_disable_unref(l->source);
        if (l->path)
                (void) unlink(l->path); /* gone already: just as well */
        free(l->path);
        free(l);
}

/* ---- server ---- */

void varlink_server_failed(const VarlinkServer *s, const char *method, int error) {
        if (s->conf->failed)
                s->conf->failed(method, error, s->conf->userdata);
}

static size_t server_count_of(const VarlinkServer *s, uid_t uid) {
        const VarlinkConn *c;
        size_t n = 0;

        TAILQ_FOREACH(c, &s->conns, entry)
                if (c->uid == uid)
                        n++;
        return n;
}

int varlink_server_add_connection(VarlinkServer *s, int fd) {
        _cleanup_(varlink_conn_free_p) VarlinkConn *c = NULL;
        int r;

        r = varlink_conn_new(s, fd, &c);
        if (r < 0)
                return r;
        if (server_count_of(s, c->uid) > VARLINK_CONNECTIONS_PER_UID)
                return -EUSERS;
        TAKE_PTR(c);
        return 0;
}

static void server_set_accepting(VarlinkServer *s, bool on) {
        VarlinkListener *l;

        TAILQ_FOREACH(l, &s->listeners, entry)
                (void) sd_event_source_set_enabled(l->source, on ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int server_on_pause_end(_unused_ sd_event_source *source, _unused_ uint64_t at, void *userdata) {
        server_set_accepting(userdata, true);
        return 0;
}

static void server_pause(VarlinkServer *s) {
        /* Never off without somebody to turn it on again. */
        if (sd_event_source_set_time_relative(s->pause, ACCEPT_PAUSE_USEC) < 0 ||
            sd_event_source_set_enabled(s->pause, SD_EVENT_ONESHOT) < 0)
                return;
        server_set_accepting(s, false);
}

static int server_on_accept(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata) {
        VarlinkListener *l = userdata;
        int r, conn_fd;

        conn_fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (conn_fd < 0) {
                if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                        varlink_server_failed(l->server, NULL, -errno);
                        server_pause(l->server);
                }
                return 0;
        }
        r = varlink_server_add_connection(l->server, conn_fd);
        if (r < 0 && r != -EUSERS)
                varlink_server_failed(l->server, NULL, r);
        if (r == -ENOMEM || r == -ENOSPC)
                server_pause(l->server);
        return 0;
}

int varlink_server_new(sd_event *e, const VarlinkServerConf *conf, VarlinkServer **ret) {
        _cleanup_(varlink_server_free_p) VarlinkServer *s = NULL;
        int r;

        json_memory_watch();
        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        TAILQ_INIT(&s->listeners);
        TAILQ_INIT(&s->conns);
        s->event = sd_event_ref(e);
        s->conf = conf;
        /* Made now: when it is needed there is no descriptor for its timerfd. */
        r = sd_event_add_time_relative(e, &s->pause, CLOCK_BOOTTIME, 0, 0, server_on_pause_end, s);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(s->pause, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

void varlink_server_stop(VarlinkServer *s) {
        VarlinkListener *l;

        while ((l = TAILQ_FIRST(&s->listeners))) {
                TAILQ_REMOVE(&s->listeners, l, entry);
                listener_free(l);
        }
}

VarlinkServer *varlink_server_free(VarlinkServer *s) {
        VarlinkConn *c;

        if (!s)
                return NULL;
        varlink_server_stop(s);
        while ((c = TAILQ_FIRST(&s->conns)))
                (void) varlink_conn_free(c);
        sd_event_source_disable_unref(s->pause);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}

/* Takes fd and path. */
static int server_listen_on(VarlinkServer *s, int fd, char *path) {
        VarlinkListener *l;
        int r;

        l = calloc(1, sizeof(*l));
        if (!l) {
                close(fd);
                free(path);
                return -ENOMEM;
        }
        l->server = s;
        l->path = path;
        r = sd_event_add_io(s->event, &l->source, fd, EPOLLIN, server_on_accept, l);
        if (r < 0) {
                close(fd);
                listener_free(l);
                return r;
        }
        (void) sd_event_source_set_io_fd_own(l->source, true);
        TAILQ_INSERT_TAIL(&s->listeners, l, entry);
        return 0;
}

int varlink_server_add_fd(VarlinkServer *s, int fd) {
        int flags;

        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
                int r = -errno;

                close(fd);
                return r;
        }
        return server_listen_on(s, fd, NULL);
}

/* A socket that nobody listens on any more is removed; a living one, or anything else, is -EADDRINUSE. */
static int remove_dead_socket(const struct sockaddr_un *sa) {
        struct stat st;
        int fd, r;

        if (lstat(sa->sun_path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EADDRINUSE;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        r = connect(fd, (const struct sockaddr *) sa, sizeof(*sa)) < 0 ? -errno : 0;
        close(fd);
        if (r == 0 || r == -EAGAIN || r == -EPROTOTYPE)       /* somebody listens, be it busy, or for something else */
                return -EADDRINUSE;
        if (r != -ECONNREFUSED)
                return r;
        return unlink(sa->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

int varlink_server_bind(VarlinkServer *s, const char *path) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        _cleanup_free_ char *copy = NULL;
        int fd, r;

        if (strlen(path) >= sizeof(sa.sun_path))
                return -ENAMETOOLONG;
        memcpy(sa.sun_path, path, strlen(path));
        copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        r = remove_dead_socket(&sa);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        /*
         * bind() makes the file with the socket's own mode less the umask, so that there is no moment in which others
         * may connect; then the group may, whatever the umask.
         */
        if (fchmod(fd, 0660) < 0 || bind(fd, (const struct sockaddr *) &sa, sizeof(sa)) < 0 || chmod(path, 0660) < 0) {
                r = -errno;
                close(fd);
                return r;
        }
        if (listen(fd, SOMAXCONN) < 0) {
                r = -errno;
                (void) unlink(path);
                close(fd);
                return r;
        }
        return server_listen_on(s, fd, TAKE_PTR(copy));
}
