/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/loop.h"
#include "io/thread.h"

#define MESSAGES_PER_TURN 64

STAILQ_HEAD(MessageList, Message);

struct Mailbox {
        pthread_mutex_t mutex;          /* around what follows, held for a few instructions */
        struct MessageList queue;
        size_t n_queued;
        bool woken;                     /* the eventfd is, or is about to be, readable */
        int event_fd;
        sd_event_source *source;        /* owned; NULL: not attached */
};

int mailbox_new(Mailbox **ret) {
        _cleanup_free_ Mailbox *b = NULL;

        b = calloc(1, sizeof(*b));
        if (!b)
                return -ENOMEM;
        STAILQ_INIT(&b->queue);
        b->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (b->event_fd < 0)
                return -errno;
        (void) pthread_mutex_init(&b->mutex, NULL); /* always 0 with default attributes */

        *ret = TAKE_PTR(b);
        return 0;
}

Mailbox *mailbox_free(Mailbox *b) {
        if (b) {
                event_source_free(b->source);
                (void) close(b->event_fd);
                (void) pthread_mutex_destroy(&b->mutex);
                free(b);
        }
        return NULL;
}

void mailbox_post(Mailbox *b, Message *m) {
        bool wake;

        assert(m->run);

        (void) pthread_mutex_lock(&b->mutex);
        STAILQ_INSERT_TAIL(&b->queue, m, link);
        b->n_queued++;
        wake = !b->woken;
        b->woken = true;
        (void) pthread_mutex_unlock(&b->mutex);

        /*
         * Outside of the lock, which the reader will want as soon as it wakes. Fails only at 2^64 - 1, where it is
         * readable anyway.
         */
        if (wake)
                (void) eventfd_write(b->event_fd, 1);
}

/* Moves up to n messages into *ret. Whatever stays keeps the eventfd readable. */
static void mailbox_take(Mailbox *b, size_t n, struct MessageList *ret) {
        eventfd_t value;

        (void) pthread_mutex_lock(&b->mutex);
        if (b->n_queued <= n) {
                STAILQ_CONCAT(ret, &b->queue);
                b->n_queued = 0;
                b->woken = false;
                (void) eventfd_read(b->event_fd, &value); /* not readable: the poster has not come to writing yet */
        } else
                for (; n > 0; n--) {
                        Message *m = STAILQ_FIRST(&b->queue);

                        STAILQ_REMOVE_HEAD(&b->queue, link);
                        STAILQ_INSERT_TAIL(ret, m, link);
                        b->n_queued--;
                }
        (void) pthread_mutex_unlock(&b->mutex);
}

static void run_messages(struct MessageList *list) {
        Message *m;

        while ((m = STAILQ_FIRST(list))) {
                STAILQ_REMOVE_HEAD(list, link);
                m->run(m); /* owns it: m may be gone, or in another queue */
        }
}

static int mailbox_on_event(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents, void *userdata) {
        struct MessageList taken = STAILQ_HEAD_INITIALIZER(taken);

        mailbox_take(userdata, MESSAGES_PER_TURN, &taken);
        run_messages(&taken);
        return 0;
}

int mailbox_attach(Mailbox *b, sd_event *e) {
        int r;

        assert(!b->source);

        r = sd_event_add_io(e, &b->source, b->event_fd, EPOLLIN, mailbox_on_event, b);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(b->source, "mailbox"); /* for debugging only */
        return 0;
}

size_t mailbox_backlog(Mailbox *b) {
        size_t n;

        (void) pthread_mutex_lock(&b->mutex);
        n = b->n_queued;
        (void) pthread_mutex_unlock(&b->mutex);
        return n;
}

struct Worker {
        Mailbox *mailbox;
        pthread_t thread;
        Message stop;                   /* posted last */
        bool stopped;                   /* the thread's own */
};

static void worker_on_stop(Message *m) {
        Worker *w = MESSAGE_OF(m, Worker, stop);

        w->stopped = true;
}

static void *worker_main(void *userdata) {
        Worker *w = userdata;

        while (!w->stopped) {
                struct MessageList taken = STAILQ_HEAD_INITIALIZER(taken);
                struct pollfd pollfd = { .fd = w->mailbox->event_fd, .events = POLLIN };

                (void) poll(&pollfd, 1, -1); /* waking too early does no harm */
                mailbox_take(w->mailbox, MESSAGES_PER_TURN, &taken);
                run_messages(&taken);
        }
        return NULL;
}

int worker_new(const char *name, Worker **ret) {
        _cleanup_(mailbox_free_p) Mailbox *mailbox = NULL;
        _cleanup_free_ Worker *w = NULL;
        int r;

        w = calloc(1, sizeof(*w));
        if (!w)
                return -ENOMEM;
        w->stop.run = worker_on_stop;
        r = mailbox_new(&mailbox);
        if (r < 0)
                return r;
        w->mailbox = mailbox;
        r = thread_start(name, worker_main, w, &w->thread);
        if (r < 0)
                return r;

        mailbox = NULL;
        *ret = TAKE_PTR(w);
        return 0;
}

Worker *worker_free(Worker *w) {
        if (w) {
                mailbox_post(w->mailbox, &w->stop);
                (void) pthread_join(w->thread, NULL);
                mailbox_free(w->mailbox);
                free(w);
        }
        return NULL;
}

void worker_post(Worker *w, Message *m) {
        mailbox_post(w->mailbox, m);
}
