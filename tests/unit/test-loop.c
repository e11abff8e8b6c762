/* SPDX-License-Identifier: BSD-2-Clause */
#include "io-test.h"

#include <stdio.h>
#include <sys/un.h>

#include "io/deadline.h"

static unsigned n_stops, n_reloads, n_fired;
static uint64_t pinged;

static void on_stop(void *userdata) {
        *(unsigned *) userdata += 1;
        n_stops++;
}

static void on_reload(void *userdata) {
        *(unsigned *) userdata += 1;
        n_reloads++;
}

static void test_signals_stop_and_reload(void **state) {
        sd_event *e = test_event_new();
        unsigned n = 0;

        (void) state;
        n_stops = n_reloads = 0;
        {
                LoopSignals signals = { on_stop, on_reload, &n };

                assert_int_equal(loop_add_signals(e, &signals), 0);
                memset(&signals, 0, sizeof(signals)); /* it was copied */
        }
        assert_int_equal(raise(SIGTERM), 0);
        run_until(e, n_stops == 1);
        assert_int_equal(raise(SIGHUP), 0);
        run_until(e, n_reloads == 1);
        assert_int_equal(raise(SIGINT), 0);
        run_until(e, n_stops == 2);
        assert_int_equal(raise(SIGPIPE), 0); /* harmless */
        assert_int_equal(n, 3);
        sd_event_unref(e);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        (void) s;
        (void) usec;
        (void) userdata;
        n_fired++;
        return 0;
}

static void test_timer_fires_once_when_set(void **state) {
        _cleanup_(event_source_free_p) sd_event_source *timer = NULL;
        sd_event *e = test_event_new();
        usec_t at;

        (void) state;
        n_fired = 0;
        assert_int_equal(loop_timer_new(e, on_timer, NULL, "test", &timer), 0);
        assert_int_equal(sd_event_run(e, 0), 0); /* not set: silent */
        at = test_boottime() + 20 * USEC_PER_MSEC;
        assert_true(loop_timer_set(timer, at) >= 0);
        run_until(e, n_fired == 1);
        assert_true(test_boottime() >= at);
        assert_true(sd_event_run(e, 0) >= 0);
        assert_int_equal(n_fired, 1);

        assert_true(loop_timer_set(timer, 0) >= 0);
        run_until(e, n_fired == 2);
        assert_true(loop_timer_set(timer, test_boottime()) >= 0);
        assert_true(loop_timer_set(timer, USEC_INFINITY) >= 0);
        assert_int_equal(sd_event_run(e, 0), 0);
        timer = event_source_free(timer);
        sd_event_unref(e);
}

typedef struct Timed {
        Deadline deadline;
        unsigned n_fired, n_due;
} Timed;

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata) {
        Timed *t = userdata;

        (void) s;
        (void) usec;
        t->n_fired++;
        if (deadline_due(&t->deadline, test_boottime()))
                t->n_due++;
        return 0;
}

static void test_deadline_moves_without_losing_itself(void **state) {
        sd_event *e = test_event_new();
        usec_t now = test_boottime();
        Timed t = {};

        (void) state;
        assert_int_equal(deadline_init(&t.deadline, e, on_deadline, &t), 0);
        deadline_set(&t.deadline, now + 10 * USEC_PER_MSEC);
        deadline_set(&t.deadline, now + 60 * USEC_PER_MSEC); /* later: the timer is left alone */
        run_until(e, t.n_fired == 1);
        assert_int_equal(t.n_due, 0);
        run_until(e, t.n_due == 1);
        assert_true(test_boottime() >= now + 60 * USEC_PER_MSEC);
        assert_int_equal(t.n_fired, 2);

        deadline_set(&t.deadline, now + USEC_PER_HOUR);
        deadline_set(&t.deadline, 0); /* earlier: it is armed anew */
        run_until(e, t.n_due == 2);
        deadline_set(&t.deadline, test_boottime());
        deadline_set(&t.deadline, USEC_INFINITY);
        run_until(e, t.n_fired == 4);
        assert_int_equal(t.n_due, 2);
        deadline_done(&t.deadline);
        sd_event_unref(e);
}

static void test_rate_needs_at_least_a_byte(void **state) {
        (void) state;
        assert_true(rate_is_too_slow(0, 30 * USEC_PER_SEC, 0));
        assert_false(rate_is_too_slow(1, 30 * USEC_PER_SEC, 0));
        assert_true(rate_is_too_slow(30 * 1000 - 1, 30 * USEC_PER_SEC, 1000));
        assert_false(rate_is_too_slow(30 * 1000, 30 * USEC_PER_SEC, 1000));
        assert_false(rate_is_too_slow(UINT64_C(1) << 40, 30 * USEC_PER_SEC, 1u << 30));
}

static void test_random_range_stays_in_it(void **state) {
        bool seen[6] = {};

        (void) state;
        for (unsigned i = 0; i < 1000; i++) {
                uint64_t value = random_range(5);

                assert_true(value >= 1 && value <= 5);
                seen[value] = true;
        }
        for (unsigned i = 1; i <= 5; i++)
                assert_true(seen[i]);
        assert_int_equal(random_range(1), 1);
        assert_true(random_range(UINT64_MAX) >= 1);
        assert_true(random_u64() != random_u64());
}

/* A service manager: the socket that NOTIFY_SOCKET names. */
static int manager_new(void) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        socklen_t size = sizeof(sa_family_t);
        char name[128];
        int fd;

        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, size), 0); /* an abstract name of the kernel's choice */
        size = sizeof(address);
        assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &size), 0);
        (void) snprintf(name, sizeof(name), "@%.*s", (int) (size - sizeof(sa_family_t) - 1), address.sun_path + 1);
        assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
        return fd;
}

static void manager_free(int fd) {
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        assert_int_equal(close(fd), 0);
}

static void assert_told(int fd, const char *text) {
        char message[1024];
        ssize_t n;

        n = recv(fd, message, sizeof(message) - 1, MSG_DONTWAIT);
        assert_true(n > 0);
        message[n] = '\0';
        assert_memory_equal(message, text, strlen(text));
}

static void assert_told_nothing(int fd) {
        char message[1024];

        assert_int_equal(recv(fd, message, sizeof(message), MSG_DONTWAIT), -1);
}

static void test_manager_is_told(void **state) {
        int manager = manager_new();

        (void) state;
        notify_ready();
        assert_told(manager, "READY=1");
        notify_status("%d peers", 3);
        assert_told(manager, "STATUS=3 peers");
        notify_reloading();
        assert_told(manager, "RELOADING=1\nMONOTONIC_USEC=");
        notify_stopping();
        assert_told(manager, "STOPPING=1");
        notify_error(-ENOENT);
        assert_told(manager, "ERRNO=2");
        manager_free(manager);
        notify_ready(); /* without one: nothing */
}

static void on_ping(uint64_t number, void *userdata) {
        *(unsigned *) userdata += 1;
        pinged = number;
}

static void test_watchdog_is_fed_by_answers_alone(void **state) {
        _cleanup_(watchdog_free_p) Watchdog *w = NULL;
        int manager = manager_new();
        sd_event *e = test_event_new();
        unsigned n_pings = 0;
        usec_t end_at;

        (void) state;
        assert_int_equal(setenv("WATCHDOG_USEC", "40000", 1), 0);
        assert_int_equal(watchdog_new(e, on_ping, &n_pings, &w), 0);
        assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
        run_until(e, n_pings == 1);
        assert_told_nothing(manager);
        end_at = test_boottime() + 50 * USEC_PER_MSEC;
        run_until(e, test_boottime() > end_at);
        assert_int_equal(n_pings, 1); /* no second one before that is answered */
        watchdog_answered(w, pinged + 1); /* not what was asked */
        assert_told_nothing(manager);
        watchdog_answered(w, pinged);
        assert_told(manager, "WATCHDOG=1");
        watchdog_answered(w, pinged);
        assert_told_nothing(manager);
        run_until(e, n_pings == 2);
        w = watchdog_free(w);
        manager_free(manager);
        sd_event_unref(e);
}

static void test_without_a_watchdog_nothing_is_asked(void **state) {
        _cleanup_(watchdog_free_p) Watchdog *w = NULL;
        sd_event *e = test_event_new();
        unsigned n_pings = 0;

        (void) state;
        assert_int_equal(watchdog_new(e, on_ping, &n_pings, &w), 0);
        assert_int_equal(sd_event_run(e, 0), 0);
        assert_int_equal(n_pings, 0);
        w = watchdog_free(w);
        sd_event_unref(e);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_signals_stop_and_reload),
                cmocka_unit_test(test_timer_fires_once_when_set),
                cmocka_unit_test(test_deadline_moves_without_losing_itself),
                cmocka_unit_test(test_rate_needs_at_least_a_byte),
                cmocka_unit_test(test_random_range_stays_in_it),
                cmocka_unit_test(test_manager_is_told),
                cmocka_unit_test(test_watchdog_is_fed_by_answers_alone),
                cmocka_unit_test(test_without_a_watchdog_nothing_is_asked),
        };

        /* What the surroundings of the test say is not for it. */
        (void) unsetenv("NOTIFY_SOCKET");
        (void) unsetenv("WATCHDOG_USEC");
        (void) unsetenv("WATCHDOG_PID");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
