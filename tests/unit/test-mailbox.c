/* SPDX-License-Identifier: BSD-2-Clause */
#include "io-test.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/prctl.h>

#include "io/mailbox.h"

typedef struct Note {
        Message message;
        unsigned number;
        Mailbox *answer_to;
        pthread_t posted_by;
} Note;

static unsigned n_run;
static unsigned order[4096];

static void record(Message *m) {
        Note *note = MESSAGE_OF(m, Note, message);

        order[n_run++] = note->number;
        free(note);
}

static Note *note_new(unsigned number, void (*run)(Message *m)) {
        Note *note = calloc(1, sizeof(*note));

        if (!note)
                abort(); /* also called in threads of the tests */
        note->number = number;
        note->message.run = run;
        return note;
}

static int reset(void **state) {
        (void) state;
        n_run = 0;
        memset(order, 0, sizeof(order));
        return 0;
}

static void test_messages_run_in_order(void **state) {
        _cleanup_(mailbox_free_p) Mailbox *b = NULL;
        sd_event *e = test_event_new();

        (void) state;
        assert_int_equal(mailbox_new(&b), 0);
        for (unsigned i = 0; i < 3; i++)
                mailbox_post(b, &note_new(i + 1, record)->message);
        assert_int_equal(mailbox_backlog(b), 3);
        assert_int_equal(mailbox_attach(b, e), 0); /* also what was posted before */
        run_until(e, n_run == 3);
        assert_int_equal(order[0], 1);
        assert_int_equal(order[1], 2);
        assert_int_equal(order[2], 3);
        assert_int_equal(mailbox_backlog(b), 0);

        mailbox_post(b, &note_new(4, record)->message);
        run_until(e, n_run == 4);
        b = mailbox_free(b);
        sd_event_unref(e);
}

static void test_one_turn_runs_at_most_64(void **state) {
        _cleanup_(mailbox_free_p) Mailbox *b = NULL;
        sd_event *e = test_event_new();

        (void) state;
        assert_int_equal(mailbox_new(&b), 0);
        assert_int_equal(mailbox_attach(b, e), 0);
        for (unsigned i = 0; i < 150; i++)
                mailbox_post(b, &note_new(i, record)->message);
        assert_true(sd_event_run(e, PATIENCE_USEC) > 0);
        assert_int_equal(n_run, 64);
        assert_int_equal(mailbox_backlog(b), 86);
        run_until(e, n_run == 150);
        for (unsigned i = 0; i < 150; i++)
                assert_int_equal(order[i], i);
        b = mailbox_free(b);
        sd_event_unref(e);
}

static void post_again(Message *m) {
        Note *note = MESSAGE_OF(m, Note, message);

        order[n_run++] = note->number;
        if (n_run == 3)
                free(note);
        else
                mailbox_post(note->answer_to, m);
}

static void test_message_may_be_posted_again_from_run(void **state) {
        _cleanup_(mailbox_free_p) Mailbox *b = NULL;
        sd_event *e = test_event_new();
        Note *note = note_new(7, post_again);

        (void) state;
        assert_int_equal(mailbox_new(&b), 0);
        assert_int_equal(mailbox_attach(b, e), 0);
        note->answer_to = b;
        mailbox_post(b, &note->message);
        run_until(e, n_run == 3);
        b = mailbox_free(b);
        sd_event_unref(e);
}

/* In the worker, where no assertion of cmocka may fail: looks around, and answers. */
static void look_around(Message *m) {
        Note *note = MESSAGE_OF(m, Note, message);
        char name[16] = "";
        sigset_t blocked;

        (void) prctl(PR_GET_NAME, name);
        (void) pthread_sigmask(SIG_SETMASK, NULL, &blocked);
        if (pthread_equal(note->posted_by, pthread_self()) || strcmp(name, "test-worker") != 0 ||
            !sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGHUP) || !sigismember(&blocked, SIGCHLD))
                note->number = 0;
        m->run = record;
        mailbox_post(note->answer_to, m);
}

static void test_worker_answers_from_its_own_thread(void **state) {
        _cleanup_(mailbox_free_p) Mailbox *b = NULL;
        _cleanup_(worker_free_p) Worker *w = NULL;
        sd_event *e = test_event_new();
        sigset_t before, after;

        (void) state;
        assert_int_equal(mailbox_new(&b), 0);
        assert_int_equal(mailbox_attach(b, e), 0);
        assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
        assert_int_equal(worker_new("test-worker", &w), 0);
        assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
        assert_int_equal(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
        for (unsigned i = 0; i < 1000; i++) {
                Note *note = note_new(i + 1, look_around);

                note->answer_to = b;
                note->posted_by = pthread_self();
                worker_post(w, &note->message);
        }
        run_until(e, n_run == 1000);
        for (unsigned i = 0; i < 1000; i++)
                assert_int_equal(order[i], i + 1);
        w = worker_free(w);
        b = mailbox_free(b);
        sd_event_unref(e);
}

static void test_worker_ends_after_what_is_queued(void **state) {
        Worker *w = NULL;

        (void) state;
        assert_int_equal(worker_new("test-worker", &w), 0);
        for (unsigned i = 0; i < 500; i++)
                worker_post(w, &note_new(i, record)->message);
        w = worker_free(w);
        assert_null(w);
        assert_int_equal(n_run, 500);
}

typedef struct Poster {
        pthread_t thread;
        Mailbox *mailbox;
} Poster;

static void *post_many(void *userdata) {
        Poster *p = userdata;

        for (unsigned i = 0; i < 1000; i++)
                mailbox_post(p->mailbox, &note_new(i, record)->message);
        return NULL;
}

static void test_no_message_is_lost_among_posters(void **state) {
        _cleanup_(mailbox_free_p) Mailbox *b = NULL;
        sd_event *e = test_event_new();
        Poster posters[4];

        (void) state;
        assert_int_equal(mailbox_new(&b), 0);
        assert_int_equal(mailbox_attach(b, e), 0);
        for (size_t i = 0; i < ELEMENTSOF(posters); i++) {
                posters[i].mailbox = b;
                assert_int_equal(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
        }
        run_until(e, n_run == 4000);
        for (size_t i = 0; i < ELEMENTSOF(posters); i++)
                assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
        b = mailbox_free(b);
        sd_event_unref(e);
}

static int set_up(sd_event *e, void *userdata) {
        *(bool *) userdata = e != NULL;
        return 0;
}

static int fail_to_set_up(sd_event *e, void *userdata) {
        (void) e;
        (void) userdata;
        return -EXDEV;
}

static void test_loop_thread_runs_setup_then_messages(void **state) {
        LoopThread *t = NULL;
        bool was_set_up = false;

        (void) state;
        assert_int_equal(loop_thread_new("test-loop", set_up, &was_set_up, &t), 0);
        assert_true(was_set_up);
        for (unsigned i = 0; i < 100; i++)
                loop_thread_post(t, &note_new(i, record)->message);
        t = loop_thread_free(t);
        assert_null(t);
        assert_int_equal(n_run, 100);
}

static void test_loop_thread_forwards_what_setup_says(void **state) {
        LoopThread *t = NULL;

        (void) state;
        assert_int_equal(loop_thread_new("test-loop", fail_to_set_up, NULL, &t), -EXDEV);
        assert_null(t);
}

/* As in a program: whoever owns the thread is also what its loop is about. */
typedef struct Owner {
        LoopThread *thread;
        sem_t called;
        bool knows;                     /* the thread, at its first turn */
} Owner;

static int on_first_turn(sd_event_source *s, void *userdata) {
        Owner *o = userdata;

        (void) s;
        o->knows = o->thread;
        (void) sem_post(&o->called);
        return 0;
}

static int defer_first_turn(sd_event *e, void *userdata) {
        return sd_event_add_defer(e, NULL, on_first_turn, userdata);
}

/* Which of them is first is chance: so it is tried often. */
static void test_loop_thread_is_known_in_its_first_turn(void **state) {
        (void) state;
        for (unsigned i = 0; i < 100; i++) {
                Owner o = { .thread = NULL };

                assert_int_equal(sem_init(&o.called, 0, 0), 0);
                assert_int_equal(loop_thread_new("test-loop", defer_first_turn, &o, &o.thread), 0);
                while (sem_wait(&o.called) < 0)
                        ;
                assert_true(o.knows);
                o.thread = loop_thread_free(o.thread);
                (void) sem_destroy(&o.called);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_messages_run_in_order, reset),
                cmocka_unit_test_setup(test_one_turn_runs_at_most_64, reset),
                cmocka_unit_test_setup(test_message_may_be_posted_again_from_run, reset),
                cmocka_unit_test_setup(test_worker_answers_from_its_own_thread, reset),
                cmocka_unit_test_setup(test_worker_ends_after_what_is_queued, reset),
                cmocka_unit_test_setup(test_no_message_is_lost_among_posters, reset),
                cmocka_unit_test_setup(test_loop_thread_runs_setup_then_messages, reset),
                cmocka_unit_test_setup(test_loop_thread_forwards_what_setup_says, reset),
                cmocka_unit_test_setup(test_loop_thread_is_known_in_its_first_turn, reset),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
