/* SPDX-License-Identifier: BSD-2-Clause */
#include "io-test.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "io/listener.h"

#define ACCEPTED_MAX 128

typedef struct Fixture {
        sd_event *e;
        Listener *listener;
        ListenerConf conf;
        Endpoint at;
        bool stop;                      /* from within on_connection */
        /* what was seen */
        int fds[ACCEPTED_MAX];          /* owned */
        Endpoint remotes[ACCEPTED_MAX];
        unsigned n_accepted, n_refused;
        unsigned refused[_LISTENER_REFUSAL_MAX];
        unsigned n_before, n_after;
        bool releases_first;            /* in before() */
} Fixture;

static void on_connection(int fd, const Endpoint *remote, void *userdata) {
        Fixture *f = userdata;

        assert_true(f->n_accepted < ACCEPTED_MAX);
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        f->fds[f->n_accepted] = fd;
        f->remotes[f->n_accepted++] = *remote;
        if (f->stop)
                listener_stop(f->listener);
}

static void on_refused(int fd, const Endpoint *remote, ListenerRefusal why, void *userdata) {
        Fixture *f = userdata;

        (void) remote;
        f->n_refused++;
        f->refused[why]++;
        assert_int_equal(fd < 0, why == LISTENER_ACCESS);
        if (fd >= 0)
                test_send_text(fd, listener_refusal_name(why));
}

static void fixture_release(Fixture *f, unsigned i) {
        assert_int_equal(close(f->fds[i]), 0);
        f->fds[i] = -1;
        listener_released(f->listener, &f->remotes[i]);
}

static void before(void *userdata) {
        Fixture *f = userdata;

        f->n_before++;
        if (f->releases_first)
                fixture_release(f, 0);
        f->releases_first = false;
}

static void after(void *userdata) {
        Fixture *f = userdata;

        assert_int_equal(++f->n_after, f->n_before);
}

static const ListenerHandler handler = {
        .on_connection = on_connection,
        .on_refused = on_refused,
        .before = before,
        .after = after,
};

static void fixture_init(Fixture *f) {
        int fd;

        *f = (Fixture){
                .e = test_event_new(),
                .conf = { .max_connections = 100, .max_per_source = 100 },
        };
        assert_int_equal(listener_new(f->e, &f->conf, &handler, f, &f->listener), 0);
        fd = test_listen(100, &f->at);
        assert_int_equal(listener_add_fd(f->listener, fd), 0);
}

static void fixture_done(Fixture *f) {
        f->listener = listener_free(f->listener);
        for (unsigned i = 0; i < f->n_accepted; i++)
                if (f->fds[i] >= 0)
                        assert_int_equal(close(f->fds[i]), 0);
        f->e = sd_event_unref(f->e);
}

/* A connection that is refused: what it was told before it was closed. */
static void assert_refused(Fixture *f, const char *from, const char *told) {
        TestReader t = { .fd = test_connect(&f->at, from) };

        run_until(f->e, test_reader_closed(&t));
        assert_int_equal(t.size, strlen(told));
        assert_memory_equal(t.data ? t.data : "", told, strlen(told));
        test_reader_done(&t);
}

static void assert_accepted(Fixture *f, const char *from) {
        unsigned before = f->n_accepted;
        int fd = test_connect(&f->at, from), no_delay = 0;
        socklen_t size = sizeof(no_delay);

        run_until(f->e, f->n_accepted == before + 1);
        assert_int_equal(getsockopt(f->fds[before], IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
        assert_true(no_delay);
        assert_int_equal(close(fd), 0);
}

static void test_connection_is_handed_over_and_counted(void **state) {
        char text[ADDRESS_TEXT_SIZE];
        Fixture f;

        (void) state;
        fixture_init(&f);
        assert_accepted(&f, "127.0.0.5");
        address_to_text(&f.remotes[0].address, text);
        assert_string_equal(text, "127.0.0.5");
        assert_int_equal(listener_count(f.listener), 1);
        fixture_release(&f, 0);
        assert_int_equal(listener_count(f.listener), 0);
        fixture_done(&f);
}

/* Until then it is for the kernel, which gives it up after a second. */
static void test_client_that_is_to_speak_comes_in_with_what_it_says(void **state) {
        char byte = 0;
        Fixture f;
        int fd;

        (void) state;
        fixture_init(&f);
        listener_stop(f.listener);
        f.conf.client_speaks_first = true;
        assert_int_equal(listener_add_fd(f.listener, test_listen(100, &f.at)), 0);
        fd = test_connect(&f.at, "127.0.0.5");
        assert_true(sd_event_run(f.e, 0) >= 0);
        assert_int_equal(f.n_accepted, 0);
        test_send_text(fd, "x");
        run_until(f.e, f.n_accepted == 1);
        assert_int_equal(recv(f.fds[0], &byte, 1, MSG_DONTWAIT), 1);
        assert_int_equal(byte, 'x');
        assert_int_equal(close(fd), 0);
        fixture_done(&f);
}

/* Who is over is told of in the last moment. */
static void test_connection_that_is_over_makes_room(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.conf.max_connections = 1;
        assert_accepted(&f, "127.0.0.1");
        f.releases_first = true;
        assert_accepted(&f, "127.0.0.2");
        assert_refused(&f, "127.0.0.3", "MaxConnections");
        fixture_done(&f);
}

static void test_connections_in_all_are_limited(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.conf.max_connections = 2;
        assert_accepted(&f, "127.0.0.1");
        assert_accepted(&f, "127.0.0.2");
        assert_refused(&f, "127.0.0.3", "MaxConnections");
        fixture_release(&f, 0);
        assert_accepted(&f, "127.0.0.3");
        assert_int_equal(f.refused[LISTENER_CONNECTIONS], 1);
        assert_true(f.n_before > 0);
        assert_int_equal(f.n_before, f.n_after);
        fixture_done(&f);
}

static void test_connections_of_a_source_are_limited(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.conf.max_per_source = 2;
        assert_accepted(&f, "127.0.0.1");
        assert_accepted(&f, "127.0.0.1");
        assert_refused(&f, "127.0.0.1", "MaxConnectionsPerSource");
        assert_accepted(&f, "127.0.0.2");
        fixture_release(&f, 1);
        assert_accepted(&f, "127.0.0.1");
        assert_int_equal(listener_count(f.listener), 3);
        fixture_done(&f);
}

static void test_rate_of_a_source_is_limited(void **state) {
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.conf.rate_per_source = 1;
        f.conf.burst = 3;
        listener_reconfigure(f.listener);
        for (unsigned i = 0; i < 3; i++)
                assert_accepted(&f, "127.0.0.1");
        assert_refused(&f, "127.0.0.1", "RatePerSource");
        assert_accepted(&f, "127.0.0.2");

        /* refused requests count as well */
        listener_charge(f.listener, &f.remotes[3]);
        listener_charge(f.listener, &f.remotes[3]);
        assert_refused(&f, "127.0.0.2", "RatePerSource");

        f.conf.rate_per_source = 0;
        listener_reconfigure(f.listener);
        assert_accepted(&f, "127.0.0.1");
        fixture_done(&f);
}

static Prefix prefix(const char *text) {
        Prefix p;

        assert_int_equal(prefix_from_text(slice_of(text), &p), 0);
        return p;
}

static void test_access_follows_allow_then_deny(void **state) {
        const Prefix one = prefix("192.0.2.1"), net = prefix("192.0.2.0/24"), six = prefix("2001:db8::/32");
        const struct {
                const Prefix *allow, *deny;
                const char *address;
                bool allowed;
        } cases[] = {
                { NULL, NULL, "192.0.2.1", true },
                { NULL, &net, "192.0.2.1", false },
                { NULL, &net, "198.51.100.1", true },
                { &one, &net, "192.0.2.1", true },
                { &one, &net, "192.0.2.2", false },
                { &one, &net, "198.51.100.1", true },
                { &one, NULL, "192.0.2.1", true },
                { &one, NULL, "192.0.2.2", false },
                { &six, NULL, "2001:db8::1", true },
                { &six, NULL, "192.0.2.1", false },
                { NULL, &six, "2001:db8:1::", false },
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const AccessList list = {
                        cases[i].allow, cases[i].deny, cases[i].allow ? 1 : 0, cases[i].deny ? 1 : 0,
                };
                Address a;

                assert_int_equal(address_from_text(slice_of(cases[i].address), &a), 0);
                assert_int_equal(access_allowed(&list, &a), cases[i].allowed);
        }
}

static void test_denied_source_is_closed_without_a_word(void **state) {
        const Prefix denied = prefix("127.0.0.2");
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.conf.access = (AccessList){ .deny = &denied, .n_deny = 1 };
        assert_refused(&f, "127.0.0.2", "");
        assert_accepted(&f, "127.0.0.1");
        assert_int_equal(f.refused[LISTENER_ACCESS], 1);
        assert_int_equal(listener_count(f.listener), 1);
        fixture_done(&f);
}

static void test_without_descriptors_a_reserve_answers(void **state) {
        int fds[256], n_fds = 0, client;
        struct rlimit before, small;
        usec_t told_at;
        TestReader t;
        Fixture f;

        (void) state;
        fixture_init(&f);
        t = (TestReader){ .fd = test_connect(&f.at, NULL) };
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        small = before;
        small.rlim_cur = 64;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
        while ((fds[n_fds] = dup(t.fd)) >= 0)
                n_fds++;
        assert_int_equal(errno, EMFILE);

        run_until(f.e, f.n_refused == 1);
        told_at = test_boottime();
        assert_int_equal(f.refused[LISTENER_DESCRIPTORS], 1);
        run_until(f.e, test_reader_has(&t, "LimitNOFILE"));
        while (n_fds > 0)
                assert_int_equal(close(fds[--n_fds]), 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

        /* after a pause it goes on */
        client = test_connect(&f.at, NULL);
        run_until(f.e, f.n_accepted == 1);
        assert_true(test_boottime() >= told_at + 50 * USEC_PER_MSEC);
        assert_int_equal(close(client), 0);
        assert_int_equal(f.n_refused, 1);
        test_reader_done(&t);
        fixture_done(&f);
}

static void test_one_turn_accepts_at_most_64(void **state) {
        int clients[80];
        Fixture f;

        (void) state;
        fixture_init(&f);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                clients[i] = test_connect(&f.at, NULL);
        assert_true(sd_event_run(f.e, PATIENCE_USEC) > 0);
        assert_int_equal(f.n_accepted, 64);
        run_until(f.e, f.n_accepted == 80);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                assert_int_equal(close(clients[i]), 0);
        fixture_done(&f);
}

static void test_stop_closes_the_sockets(void **state) {
        int clients[2];
        Endpoint e;
        Fixture f;

        (void) state;
        fixture_init(&f);
        f.stop = true;
        clients[0] = test_connect(&f.at, NULL);
        clients[1] = test_connect(&f.at, NULL);
        run_until(f.e, f.n_accepted == 1);
        assert_int_equal(listener_endpoints(f.listener, &e, 1), 0);
        assert_true(sd_event_run(f.e, 0) >= 0);
        assert_int_equal(f.n_accepted, 1);
        fixture_release(&f, 0); /* what is open stays so until then */
        assert_int_equal(close(clients[0]), 0);
        assert_int_equal(close(clients[1]), 0);
        fixture_done(&f);
}

static void test_bind_takes_both_families_at_a_free_port(void **state) {
        Endpoint e[2], loopback = { .port = 0 };
        Fixture f;

        (void) state;
        fixture_init(&f);
        listener_stop(f.listener);
        assert_int_equal(listener_bind(f.listener, &(Endpoint){}, true), 0);
        assert_int_equal(listener_endpoints(f.listener, e, 2), 1);
        assert_true(e[0].port > 0);
        f.at = test_endpoint("127.0.0.1:1");
        f.at.port = e[0].port;
        assert_accepted(&f, NULL);
        assert_true(address_is_ipv4(&f.remotes[0].address));

        assert_int_equal(address_from_text(slice_of("127.0.0.7"), &loopback.address), 0);
        assert_int_equal(listener_bind(f.listener, &loopback, false), 0);
        assert_int_equal(listener_endpoints(f.listener, NULL, 0), 2);
        assert_int_equal(listener_endpoints(f.listener, e, 2), 2);
        assert_true(address_equal(&e[1].address, &loopback.address));
        f.at = e[1];
        assert_accepted(&f, NULL);

        /* taken */
        assert_int_equal(listener_bind(f.listener, &e[1], false), -EADDRINUSE);
        /* not yet an address of this host, but it may become one */
        f.at = (Endpoint){};
        assert_int_equal(address_from_text(slice_of("192.0.2.77"), &f.at.address), 0);
        assert_int_equal(listener_bind(f.listener, &f.at, false), 0);
        fixture_done(&f);
}

static void test_other_descriptors_are_no_listeners(void **state) {
        int pair[2], fd;
        Fixture f;

        (void) state;
        fixture_init(&f);
        assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
        assert_int_equal(listener_add_fd(f.listener, pair[0]), -EINVAL);
        assert_int_equal(fcntl(pair[0], F_GETFD), -1); /* taken nevertheless */
        assert_int_equal(close(pair[1]), 0);

        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* not listening */
        assert_int_equal(listener_add_fd(f.listener, fd), -EINVAL);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, &(struct sockaddr){ .sa_family = AF_UNIX }, sizeof(sa_family_t)), 0);
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(listener_add_fd(f.listener, fd), -EINVAL);
        fixture_done(&f);
}

/* In a child, whose descriptors 3.. are ours to arrange. Gives the number of the check that failed. */
static int take_inherited(void) {
        char pid[16];
        int fds[4], a, b;

        for (int fd = 3; fd < 7; fd++)
                if (dup2(STDIN_FILENO, fd) != fd)
                        return 1;
        (void) snprintf(pid, sizeof(pid), "%d", (int) getpid());
        if (setenv("LISTEN_PID", pid, 1) < 0 || setenv("LISTEN_FDS", "4", 1) < 0 ||
            setenv("LISTEN_FDNAMES", "rfc:varlink:rfc:other", 1) < 0)
                return 2;
        a = inherited_take("rfc", fds, 4);
        if (a != 2 || fds[0] != 3 || fds[1] != 5)
                return 3;
        b = inherited_take("rs", fds, 4);
        if (b != 0 || inherited_take("rfc", fds, 4) != 0)
                return 4;
        if (inherited_take("varlink", fds, 4) != 1 || fds[0] != 4)
                return 5;
        inherited_close_rest();
        if (fcntl(6, F_GETFD) >= 0 || fcntl(3, F_GETFD) < 0 || fcntl(4, F_GETFD) < 0)
                return 6;
        if (getenv("LISTEN_FDS") || inherited_take("other", fds, 4) != 0)
                return 7;
        return 0;
}

static void test_inherited_descriptors_are_taken_by_name(void **state) {
        pid_t child;
        int status;

        (void) state;
        child = fork();
        assert_true(child >= 0);
        if (child == 0)
                _exit(take_inherited());
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_connection_is_handed_over_and_counted),
                cmocka_unit_test(test_client_that_is_to_speak_comes_in_with_what_it_says),
                cmocka_unit_test(test_connection_that_is_over_makes_room),
                cmocka_unit_test(test_connections_in_all_are_limited),
                cmocka_unit_test(test_connections_of_a_source_are_limited),
                cmocka_unit_test(test_rate_of_a_source_is_limited),
                cmocka_unit_test(test_access_follows_allow_then_deny),
                cmocka_unit_test(test_denied_source_is_closed_without_a_word),
                cmocka_unit_test(test_without_descriptors_a_reserve_answers),
                cmocka_unit_test(test_one_turn_accepts_at_most_64),
                cmocka_unit_test(test_stop_closes_the_sockets),
                cmocka_unit_test(test_bind_takes_both_families_at_a_free_port),
                cmocka_unit_test(test_other_descriptors_are_no_listeners),
                cmocka_unit_test(test_inherited_descriptors_are_taken_by_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
