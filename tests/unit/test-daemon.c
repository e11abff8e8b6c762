/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

#include "io/daemon.h"

typedef struct Names {
        char *host, *os;
} Names;

static pthread_barrier_t all_here;

/* No assertion of cmocka may fail here: it is not the thread of the test. */
static void *read_names(void *userdata) {
        Names *names = userdata;

        (void) pthread_barrier_wait(&all_here);
        names->host = strdup(daemon_hostname());
        names->os = strdup(daemon_os());
        return NULL;
}

/* First in its program, so that nobody has asked before. A build with --enable-sanitizers=thread finds a race whoever wins it. */
static void test_names_are_whole_for_all_threads_that_ask_first(void **state) {
        pthread_t threads[4];
        Names names[ELEMENTSOF(threads)] = {};

        (void) state;
        assert_int_equal(pthread_barrier_init(&all_here, NULL, ELEMENTSOF(threads)), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, read_names, &names[i]), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++) {
                assert_string_equal(names[i].host, daemon_hostname());
                assert_string_equal(names[i].os, daemon_os());
                free(names[i].host);
                free(names[i].os);
        }
        assert_int_equal(strncmp(daemon_os(), "Linux ", 6), 0);
        pthread_barrier_destroy(&all_here);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names_are_whole_for_all_threads_that_ask_first),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
