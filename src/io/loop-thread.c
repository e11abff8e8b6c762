/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

#include "io/loop.h"
#include "io/mailbox.h"
#include "io/thread.h"

struct LoopThread {
        Mailbox *mailbox;
        sd_event *event;                /* made and run by the thread, unreferenced after it */
        pthread_t thread;
        bool joined;
        Message stop;
        int (*setup)(sd_event *e, void *userdata);
        void *userdata;
        int started;                    /* result of the start, told by `ready` */
        LoopThread **ret;               /* set before that: what the loop runs may post to its own thread at once */
        sem_t ready;
};

static void loop_thread_on_stop(Message *m) {
        LoopThread *t = MESSAGE_OF(m, LoopThread, stop);

        (void) sd_event_exit(t->event, 0); /* fails only where the loop has ended, or in a forked child */
}

static int loop_thread_start(LoopThread *t) {
        int r;

        r = sd_event_new(&t->event);
        if (r < 0)
                return r;
        r = mailbox_attach(t->mailbox, t->event);
        if (r < 0)
                return r;
        return t->setup ? t->setup(t->event, t->userdata) : 0;
}

static void *loop_thread_main(void *userdata) {
        LoopThread *t = userdata;
        int r;

        r = loop_thread_start(t);
        t->started = r;
        if (r >= 0)
                *t->ret = t;
        (void) sem_post(&t->ready);
        /* A loop that ends by itself has lost its epoll: the watchdog finds a thread that doesn't answer. */
        if (r >= 0)
                (void) loop_run(t->event);
        return NULL;
}

static void loop_thread_destroy(LoopThread *t) {
        mailbox_free(t->mailbox);
        sd_event_unref(t->event);
        (void) sem_destroy(&t->ready);
        free(t);
}

int loop_thread_new(const char *name, int (*setup)(sd_event *e, void *userdata), void *userdata, LoopThread **ret) {
        _cleanup_(mailbox_free_p) Mailbox *mailbox = NULL;
        LoopThread *t;
        int r;

        r = mailbox_new(&mailbox);
        if (r < 0)
                return r;
        t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        t->mailbox = TAKE_PTR(mailbox);
        t->stop.run = loop_thread_on_stop;
        t->setup = setup;
        t->userdata = userdata;
        t->ret = ret;
        (void) sem_init(&t->ready, 0, 0); /* 0 is never over the maximum */

        r = thread_start(name, loop_thread_main, t, &t->thread);
        if (r < 0) {
                loop_thread_destroy(t);
                return r;
        }
        while (sem_wait(&t->ready) < 0)
                ; /* interrupted by a signal */
        r = t->started;
        if (r < 0) {
                (void) pthread_join(t->thread, NULL);
                loop_thread_destroy(t);
                return r;
        }
        return 0;
}

void loop_thread_stop(LoopThread *t) {
        if (t->joined)
                return;
        mailbox_post(t->mailbox, &t->stop);
        (void) pthread_join(t->thread, NULL);
        t->joined = true;
}

LoopThread *loop_thread_free(LoopThread *t) {
        if (t) {
                loop_thread_stop(t);
                loop_thread_destroy(t);
        }
        return NULL;
}

Mailbox *loop_thread_mailbox(LoopThread *t) {
        return t->mailbox;
}

void loop_thread_post(LoopThread *t, Message *m) {
        mailbox_post(t->mailbox, m);
}
