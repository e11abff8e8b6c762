/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Monitor: what is logged, to whoever listens on the control socket. Events are made in the thread that logs, only
 * while somebody listens, and lie in a bounded queue until the main loop hands them on.
 */

#include <errno.h>
#include <pthread.h>

#include "core/text.h"
#include "io/log-text.h"
#include "peerd/control-internal.h"

/* Events that wait for the main loop: a burst of some milliseconds of serving from all threads. */
#define EVENTS_MAX 4096
/*
 * Handed on in one turn of the loop: some 32 KiB, half of what makes a reader too slow. In between it is written to.
 * And to all readers together: what is written for each of them costs 5 µs, and any number of users may have 16.
 */
#define EVENTS_PER_TURN 64
#define TOLD_PER_TURN 128

typedef struct Event {
        STAILQ_ENTRY(Event) link;
        json_t *json;
} Event;
STAILQ_HEAD(EventQueue, Event);

typedef struct Monitor {
        Control *control;
        unsigned n_readers;             /* the main loop's */
        Message message;                /* in the main loop's mailbox while woken */
        pthread_mutex_t mutex;          /* of what follows */
        struct EventQueue queue;
        size_t n_events;
        uint64_t n_lost;
        bool woken;
} Monitor;

/* ---- in whichever thread logs ---- */

/* Strings of a message may come from anywhere; JSON takes UTF-8 only. */
static void set_text(json_t *j, const char *name, Slice text) {
        _cleanup_buf_ Buf b = BUF_INIT(4 * LOG_MESSAGE_MAX);

        if (text_is_utf8(text))
                control_set_string(j, name, text);
        else if (text_escape(&b, text, 4 * LOG_MESSAGE_MAX) == 0)
                control_set_string(j, name, buf_slice(&b));
}

static void set_fields(json_t *j, const LogFields *f) {
        char transaction[TRANSACTION_TEXT_SIZE];

        if (f->transaction != 0) {
                transaction_to_text(f->transaction, transaction);
                control_set_string(j, "transaction", slice_of(transaction));
        }
        if (f->operation)
                control_set_string(j, "operation", slice_of(f->operation));
        if (f->result)
                control_set_string(j, "result", slice_of(f->result));
        if (f->peer)
                control_set_endpoint(j, "peer", f->peer);
        if (f->peer_id > 0)
                control_set_int(j, "peerId", f->peer_id);
        if (f->rfc > 0)
                control_set_int(j, "number", f->rfc);
        if (f->sha256)
                control_set_digest(j, f->sha256);
        if (f->has_size)
                control_set_int(j, "size", f->size);
        if (f->has_bytes)
                control_set_int(j, "bytes", f->bytes);
        if (f->has_duration)
                control_set_int(j, "durationUSec", f->duration_usec);
        if (f->source)
                control_set_string(j, "source", slice_of(f->source));
        if (f->has_uid)
                control_set_int(j, "uid", f->uid);
}

static json_t *event_json(const LogEntry *e) {
        const char *id = log_event_id(e->event);
        json_t *j = json_object();
        Now now;

        now_read(&now);
        control_set_int(j, "realtimeUSec", now.realtime);
        control_set_int(j, "level", (uint64_t) e->level);
        set_text(j, "message", e->message);
        if (id)
                control_set_string(j, "messageId", slice_of(id));
        if (e->fields)
                set_fields(j, e->fields);
        return j;
}

static void on_log(const LogEntry *e, void *userdata) {
        Monitor *m = userdata;
        Event *event = calloc(1, sizeof(*event));
        bool wake = false;

        if (event)
                event->json = event_json(e);
        pthread_mutex_lock(&m->mutex);
        if (event && event->json && m->n_events < EVENTS_MAX) {
                STAILQ_INSERT_TAIL(&m->queue, event, link);
                m->n_events++;
                event = NULL;
                wake = !m->woken;
                m->woken = true;
        } else
                m->n_lost++;
        pthread_mutex_unlock(&m->mutex);
        if (event) {
                json_decref(event->json);
                free(event);
        }
        if (wake)
                mailbox_post(m->control->peerd->mailbox, &m->message);
}

/* ---- in the main loop ---- */

static void free_events(struct EventQueue *queue) {
        Event *e;

        while ((e = STAILQ_FIRST(queue))) {
                STAILQ_REMOVE_HEAD(queue, link);
                json_decref(e->json);
                free(e);
        }
}

static void tell_reader(ControlRequest *r, json_t *event) {
        json_t *parameters;

        if (varlink_call_is_congested(r->call)) {
                r->n_lost++;
                return;
        }
        parameters = json_pack("{s:O}", "event", event);
        if (parameters && r->n_lost > 0)
                control_set_int(parameters, "lost", r->n_lost);
        r->n_lost = 0;
        (void) varlink_call_notify(r->call, parameters);        /* where that fails it is gone in the next turn */
}

static void run_tell(Message *message) {
        Monitor *m = MESSAGE_OF(message, Monitor, message);
        struct EventQueue queue = STAILQ_HEAD_INITIALIZER(queue);
        const unsigned n_readers = MAX_OF(m->n_readers, 1u);
        const unsigned n_max = MAX_OF(MIN_OF((unsigned) EVENTS_PER_TURN, TOLD_PER_TURN / n_readers), 1u);
        ControlRequest *r, *next;
        bool more;
        uint64_t n_lost;
        Event *e;

        pthread_mutex_lock(&m->mutex);
        for (unsigned n = 0; n < n_max && (e = STAILQ_FIRST(&m->queue)); n++) {
                STAILQ_REMOVE_HEAD(&m->queue, link);
                STAILQ_INSERT_TAIL(&queue, e, link);
                m->n_events--;
        }
        n_lost = m->n_lost;
        m->n_lost = 0;
        more = m->woken = m->n_events > 0;
        pthread_mutex_unlock(&m->mutex);

        RB_FOREACH(r, ControlRequestTree, &m->control->requests)
                r->n_lost += r->monitoring ? n_lost : 0;
        STAILQ_FOREACH(e, &queue, link)
                RB_FOREACH_SAFE(r, ControlRequestTree, &m->control->requests, next)
                        if (r->monitoring)
                                tell_reader(r, e->json);
        free_events(&queue);
        if (more)
                mailbox_post(m->control->peerd->mailbox, &m->message);
}

void control_monitor_left(Control *c) {
        if (--c->monitor->n_readers == 0)
                log_observe(false);
}

/* ---- Monitor: what is under way comes from the client's thread, and then it is ready ---- */

typedef struct MonitorJob {
        VisitJob visit;
        json_t *downloads;
        bool begun;                     /* the request counts as a reader now */
} MonitorJob;

static void job_free(ControlJob *job) {
        MonitorJob *j = MESSAGE_OF(job, MonitorJob, visit.job);

        if (!j->begun)
                control_monitor_left(j->visit.control);
        json_decref(j->downloads);
        free(j);
}

/*
 * From here on it hears of events. What the client's thread has logged after it described its downloads comes after
 * them, by the same mailbox: nothing lies between state and changes.
 */
static bool begin(VisitJob *visit, ControlRequest *r) {
        MonitorJob *j = MESSAGE_OF(visit, MonitorJob, visit);
        bool good = true;
        json_t *download;
        size_t i;

        json_array_foreach(j->downloads, i, download)
                good = good && varlink_call_notify(r->call, json_pack("{s:O}", "download", download)) == 0;
        good = good && varlink_call_notify(r->call, json_pack("{s:b}", "ready", true)) == 0;
        r->monitoring = j->begun = good;
        return false;
}

static bool describe(VisitJob *visit, Client *c, Holders *h, bool servers_away, const Now *now) {
        MonitorJob *j = MESSAGE_OF(visit, MonitorJob, visit);
        const size_t max = OPERATIONS_ACTIVE_MAX + OPERATIONS_STORING_MAX;
        DownloadEvent *downloads = calloc(max, sizeof(*downloads));
        size_t n = downloads ? client_downloads(c, downloads, max) : 0;
        (void) h;
        (void) servers_away;
        (void) now;

        j->downloads = json_array();
        for (size_t i = 0; i < n; i++)
                (void) json_array_append_new(j->downloads, control_download(visit->control, &downloads[i]));
        free(downloads);
        return false;
}

int control_monitor(VarlinkCall *call, json_t *parameters, void *userdata) {
        Control *c = userdata;
        MonitorJob *j = calloc(1, sizeof(*j));
        (void) parameters;

        if (!j)
                return -ENOMEM;
        j->visit.look = describe;
        j->visit.answer = begin;
        c->monitor->n_readers++;
        log_observe(true);
        return control_visit_start(c, call, &j->visit, job_free);
}

/* ---- life ---- */

int control_monitor_new(Control *c) {
        Monitor *m = calloc(1, sizeof(*m));

        if (!m)
                return -ENOMEM;
        m->control = c;
        m->message.run = run_tell;
        STAILQ_INIT(&m->queue);
        pthread_mutex_init(&m->mutex, NULL);
        log_set_observer(on_log, m);
        c->monitor = m;
        return 0;
}

void control_monitor_free(Control *c) {
        Monitor *m = c->monitor;

        if (!m)
                return;
        log_observe(false);
        free_events(&m->queue);
        pthread_mutex_destroy(&m->mutex);
        free(m);
        c->monitor = NULL;
}
