/* SPDX-License-Identifier: BSD-2-Clause */
#include "peerd/server.h"

#include <errno.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "core/proto.h"
#include "io/conn.h"
#include "io/daemon.h"
#include "io/log.h"
#include "io/loop.h"
#include "peerd/serve-cache.h"
#include "peerd/serve.h"

/* A connection costs two descriptors: its socket and the file being sent. */
#define DESCRIPTORS_PER_CONNECTION 2
#define DESCRIPTORS_OTHERS (256 + SERVE_CACHE_FILES_MAX)
#define THREADS_MAX 256
/* Connections were taken in so short a time ago that more are on their way, and how long they are waited for. */
#define BUSY_USEC (1 * USEC_PER_MSEC)
#define GATHER_USEC 100
#define TOGETHER 8

struct Server {
        ServerConf conf;
        ListenerConf listener_conf;
        Listener *listener;
        bool inherited;
        ServeThread **threads;
        unsigned n_threads, next;
        unsigned n_taken;               /* connections, in this turn */
        size_t n_connections;
        Pace *pace;                     /* Server.MaxUploadRate= */
        void (*on_stopped)(void *userdata);
        void *stopped_userdata;
        ServeCounters counters;
        uint64_t n_refused[_LISTENER_REFUSAL_MAX];
        ServeReleased released;
        ServeConf serve;                /* of the threads */
        usec_t turn_at;                 /* boottime, when connections were taken in last */
};

static unsigned count_cpus(void) {
        cpu_set_t set;
        return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned) CPU_COUNT(&set) : 1;
}

static void connection_over(Server *s, const Endpoint *remote) {
        listener_released(s->listener, remote);
        s->n_connections--;
        if (s->n_connections == 0 && s->on_stopped)
                s->on_stopped(s->stopped_userdata);
}

/* In the main loop: a download thread is done with a connection. */
static void on_released(const Endpoint *remote, unsigned n_refused, void *userdata) {
        Server *s = userdata;
        for (unsigned i = 0; i < n_refused; i++)
                (void) listener_charge(s->listener, remote);    /* it is over anyway */
        connection_over(s, remote);
}

/*
 * Where connections come thick and fast, each for a single request, waking up for each of them is most of what it costs.
 * So who was here a moment ago waits for a few of them, like a network card for packets; who connects now and then
 * waits for nothing.
 */
static void before(void *userdata) {
        static const struct timespec pause = { .tv_nsec = GATHER_USEC * 1000 };
        Server *s = userdata;
        Now now;

        now_of_event(s->conf.event, &now);
        if (usec_sub(now.boottime, s->turn_at) < BUSY_USEC)
                (void) nanosleep(&pause, NULL); /* no signal comes but by the loop */
        s->turn_at = now.boottime;
        serve_collect(&s->serve);
}

static void on_connection(int fd, const Endpoint *remote, void *userdata) {
        Server *s = userdata;
        s->n_connections++;
        int k = serve_thread_take(s->threads[s->next], fd, remote);
        if (k < 0) {
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not take a connection");
                close(fd);
                connection_over(s, remote);
                return;
        }
        /* A few to one thread cost one wake-up. */
        if (++s->n_taken % TOGETHER == 0)
                s->next = (s->next + 1) % s->n_threads;
}

static void after(void *userdata) {
        Server *s = userdata;

        if (s->n_taken % TOGETHER > 0)
                s->next = (s->next + 1) % s->n_threads;
        s->n_taken = 0;
        for (unsigned i = 0; i < s->n_threads; i++)
                serve_thread_hand_over(s->threads[i]);
}

static void on_refused(int fd, const Endpoint *remote, ListenerRefusal why, void *userdata) {
        Server *s = userdata;

        s->n_refused[why]++;
        daemon_log_refused(remote, why);
        if (fd < 0)
                return;
        _cleanup_buf_ Buf head = BUF_INIT(MSG_HEAD_MAX);
        if (serve_write_refusal(&head, listener_refusal_is_full(why) ? 503 : 429) == 0)
                conn_send_refusal(fd, buf_slice(&head));
}

static void apply_settings(Server *s, const PeerConf *settings) {
        uint32_t n = daemon_limit_connections(settings->common.max_connections, DESCRIPTORS_PER_CONNECTION,
                                              DESCRIPTORS_OTHERS);
        daemon_listener_conf(&settings->common, n, &s->listener_conf);
        /* So its thread reads the request at once, and answers as a rule before the loop has to know the connection. */
        s->listener_conf.client_speaks_first = true;
}

int server_new(const ServerConf *conf, const PeerConf *settings, Server **ret) {
        static const ListenerHandler handler = {
                .before = before,
                .after = after,
                .on_connection = on_connection,
                .on_refused = on_refused,
        };
        Server *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->conf = *conf;
        apply_settings(s, settings);
        int k = pace_new(settings->max_upload_rate, &s->pace);
        if (k == 0)
                k = listener_new(conf->event, &s->listener_conf, &handler, s, &s->listener);
        if (k < 0)
                (void) log_errno(LOG_LEVEL_ERR, k, "Could not make the listener");
        if (k == 0)
                k = daemon_listen(s->listener, &settings->common, "rfc", SERVER_STORED, &s->inherited);
        if (k < 0) {
                server_free(s);
                return k;
        }
        unsigned n = settings->threads ? settings->threads : count_cpus();
        s->n_threads = MIN_OF(n, (unsigned) THREADS_MAX);
        s->threads = calloc(s->n_threads, sizeof(*s->threads));
        if (!s->threads) {
                server_free(s);
                return -ENOMEM;
        }
        s->serve = (ServeConf){
                .released = &s->released,
                .main = conf->main,
                .documents = conf->documents,
                .counters = &s->counters,
                .host = daemon_hostname(),
                .pace = s->pace,
                .n_threads = s->n_threads,
                .on_released = on_released,
                .userdata = s,
        };
        for (unsigned i = 0; i < s->n_threads; i++) {
                k = serve_thread_new(&s->serve, settings, i, &s->threads[i]);
                if (k < 0) {
                        server_free(s);
                        return log_errno(LOG_LEVEL_ERR, k, "Could not make download thread %u", i);
                }
        }
        *ret = s;
        return 0;
}

void server_reconfigure(Server *s, const PeerConf *settings) {
        apply_settings(s, settings);
        listener_reconfigure(s->listener);
        pace_set(s->pace, settings->max_upload_rate);
        for (unsigned i = 0; i < s->n_threads; i++)
                serve_thread_reconfigure(s->threads[i], settings);
}

void server_stop(Server *s, void (*on_stopped)(void *userdata), void *userdata) {
        listener_stop(s->listener);
        s->on_stopped = on_stopped;
        s->stopped_userdata = userdata;
        for (unsigned i = 0; i < s->n_threads; i++)
                serve_thread_stop(s->threads[i]);
        if (s->n_connections == 0)
                on_stopped(userdata);
}

void server_halt(Server *s) {
        for (unsigned i = 0; i < s->n_threads; i++)
                serve_thread_halt(s->threads[i]);
}

Server *server_free(Server *s) {
        if (!s)
                return NULL;
        for (unsigned i = 0; s->threads && i < s->n_threads; i++)
                serve_thread_free(s->threads[i]);
        free(s->threads);
        listener_free(s->listener);
        pace_free(s->pace);
        free(s);
        return NULL;
}

Listener *server_listener(Server *s) {
        serve_collect(&s->serve);
        return s->listener;
}

bool server_inherited(const Server *s) {
        return s->inherited;
}

uint16_t server_port(const Server *s) {
        Endpoint e;
        return listener_endpoints(s->listener, &e, 1) > 0 ? e.port : 0;
}

void server_count(Server *s, ServerCounters *ret) {
        *ret = (ServerCounters){
                .n_uploads = atomic_load(&s->counters.n_uploads),
                .n_upload_bytes = atomic_load(&s->counters.n_upload_bytes),
                .n_failed = atomic_load(&s->counters.n_failed),
                .n_active = atomic_load(&s->counters.n_active),
                .n_not_held = atomic_load(&s->counters.n_not_held),
                .n_unreadable = atomic_load(&s->counters.n_unreadable),
                .n_malformed = atomic_load(&s->counters.n_malformed),
        };
        memcpy(ret->n_refused, s->n_refused, sizeof(ret->n_refused));
}

const Histogram *server_upload_durations(const Server *s) {
        return &s->counters.durations;
}

unsigned server_threads(const Server *s) {
        return s->n_threads;
}

void server_ping(Server *s, unsigned thread, Message *m) {
        serve_thread_ping(s->threads[thread], m);
}
