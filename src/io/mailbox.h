/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Mailbox: the one way in which threads speak with each other: a queue of Messages that any thread may post to and
 * one reads.
 *
 * Two kinds of reader: an event loop (mailbox_attach()), or a Worker: a thread that does nothing but run messages one
 * after the other, and so may block: disk, database, name service.
 *
 * A Message is embedded in whatever is sent. Posting hands that over; `run` gets it in the reader's thread and owns
 * it from then on: it frees it, or posts it on with another `run` (the answer).
 */

#include "core/base.h"

#include <bsd/sys/queue.h>
#include <systemd/sd-event.h>

typedef struct Message Message;
struct Message {
        STAILQ_ENTRY(Message) link;
        void (*run)(Message *m);
};

typedef struct Mailbox Mailbox;

int mailbox_new(Mailbox **ret) _must_check_;            /* -errno */
/*
 * The reader must be gone. Messages still queued are dropped without running: a program that ends frees nothing else
 * either.
 */
Mailbox *mailbox_free(Mailbox *b);
DEFINE_CLEANUP(Mailbox *, mailbox_free)

/* Any thread. Never fails, never blocks; wakes the reader only if it could be asleep. */
void mailbox_post(Mailbox *b, Message *m);

/* Runs messages from this event loop from now on, at most 64 a turn, so that sockets and timers get theirs. */
int mailbox_attach(Mailbox *b, sd_event *e) _must_check_;
size_t mailbox_backlog(Mailbox *b);

/* The thing a Message is embedded in. */
#define MESSAGE_OF(m, type, member) ((type *) (void *) ((char *) (m) - offsetof(type, member)))

/* ---- Worker ---- */

typedef struct Worker Worker;

/* name: at most 15 characters, for ps and gdb. All signals are blocked in the thread. */
int worker_new(const char *name, Worker **ret) _must_check_;
/* Runs what is queued to the end, joins the thread. */
Worker *worker_free(Worker *w);
DEFINE_CLEANUP(Worker *, worker_free)
void worker_post(Worker *w, Message *m);

/* ---- LoopThread: a thread with an event loop and a mailbox ---- */

typedef struct LoopThread LoopThread;

/*
 * Setup runs in the new thread before the loop (may be NULL); a negative answer of it is that of this call. *ret is set
 * before the loop runs, not only when this returns.
 */
int loop_thread_new(const char *name, int (*setup)(sd_event *e, void *userdata), void *userdata,
                    LoopThread **ret) _must_check_;
/*
 * Ends the loop, joins. What is posted afterwards is not run: so threads that post to each other can all be stopped before the
 * first is freed. Twice does no harm.
 */
void loop_thread_stop(LoopThread *t);
/* Stops it if need be. */
LoopThread *loop_thread_free(LoopThread *t);
DEFINE_CLEANUP(LoopThread *, loop_thread_free)
void loop_thread_post(LoopThread *t, Message *m);
/* Its mailbox, for whoever is to answer; owned by the thread. */
Mailbox *loop_thread_mailbox(LoopThread *t);
