/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What the tests of io share: an event loop that runs until something is true, sockets on loopback, a peer that is
 * driven by hand.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/address.h"
#include "core/base.h"
#include "io/loop.h"

/* Only a test that fails waits for so long. */
#define PATIENCE_USEC (60 * USEC_PER_SEC)

/* Runs the loop until `condition` holds. Not within PATIENCE_USEC: the test fails. */
#define run_until(e, condition)                                                                                        \
        do {                                                                                                           \
                usec_t _give_up_at = test_boottime() + PATIENCE_USEC;                                                  \
                while (!(condition)) {                                                                                 \
                        assert_true(test_boottime() < _give_up_at);                                                    \
                        assert_true(sd_event_run(e, 50 * USEC_PER_MSEC) >= 0);                                         \
                }                                                                                                      \
        } while (false)

static inline usec_t test_boottime(void) {
        Now now;

        now_read(&now);
        return now.boottime;
}

static inline sd_event *test_event_new(void) {
        sd_event *e = NULL;

        assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
        assert_true(sd_event_new(&e) >= 0);
        return e;
}

static inline Endpoint test_endpoint(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_from_text(slice_of(text), &e), 0);
        return e;
}

/* A socket that listens on a free port of 127.0.0.1. */
static inline int test_listen(int backlog, Endpoint *ret) {
        Endpoint e = { .port = 0 };
        struct sockaddr_storage address;
        socklen_t size;
        int fd;

        assert_int_equal(address_from_text(slice_of("127.0.0.1"), &e.address), 0);
        size = endpoint_to_sockaddr(&e, &address);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, size), 0);
        assert_int_equal(listen(fd, backlog), 0);
        size = sizeof(address);
        assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &size), 0);
        assert_int_equal(endpoint_from_sockaddr((struct sockaddr *) &address, ret), 0);
        return fd;
}

/*
 * A connection to there, made while it returns (a backlog takes it); from NULL: any address. Non-blocking afterwards.
 */
static inline int test_connect(const Endpoint *to, const char *from) {
        struct sockaddr_storage address;
        unsigned size;
        int fd;

        size = endpoint_to_sockaddr(to, &address);
        fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        if (from) {
                Endpoint source = {};
                struct sockaddr_storage own;
                unsigned own_size;

                assert_int_equal(address_from_text(slice_of(from), &source.address), 0);
                own_size = endpoint_to_sockaddr(&source, &own);
                assert_int_equal(bind(fd, (struct sockaddr *) &own, own_size), 0);
        }
        assert_int_equal(connect(fd, (struct sockaddr *) &address, size), 0);
        assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        return fd;
}

/* Sends all of it; the socket's buffer must take it. */
static inline void test_send(int fd, const void *data, size_t size) {
        assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), size);
}

static inline void test_send_text(int fd, const char *text) {
        test_send(fd, text, strlen(text));
}

/* What the hand-driven side has received. */
typedef struct TestReader {
        int fd;
        char *data;             /* owned, NUL-terminated */
        size_t size, allocated;
        bool closed;            /* by the other side */
        bool reset;
} TestReader;

/* Takes what is there. */
static inline void test_read(TestReader *t) {
        char bytes[16384];
        ssize_t n;

        while ((n = recv(t->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
                if (t->size + (size_t) n + 1 > t->allocated) {
                        /* Twice as much: who takes megabytes is not to copy them each time, as a sanitizer's realloc() does. */
                        t->allocated = 2 * (t->size + (size_t) n + 1);
                        t->data = realloc(t->data, t->allocated);
                        assert_non_null(t->data);
                }
                memcpy(t->data + t->size, bytes, (size_t) n);
                t->size += (size_t) n;
                t->data[t->size] = '\0';
        }
        if (n == 0)
                t->closed = true;
        else if (errno != EAGAIN)
                t->closed = t->reset = true;
}

static inline bool test_reader_has(TestReader *t, const char *text) {
        test_read(t);
        return t->data && memmem(t->data, t->size, text, strlen(text));
}

static inline bool test_reader_closed(TestReader *t) {
        test_read(t);
        return t->closed;
}

static inline void test_reader_done(TestReader *t) {
        free(t->data);
        if (t->fd >= 0)
                assert_int_equal(close(t->fd), 0);
        *t = (TestReader){ .fd = -1 };
}

/* An unlinked file of `size` bytes that repeat no pattern of a block's length. */
static inline int test_file(size_t size, char **ret_bytes) {
        char name[] = "/tmp/p2pdi-test-XXXXXX";
        char *bytes = malloc(size);
        int fd;

        assert_non_null(bytes);
        for (size_t i = 0; i < size; i++)
                bytes[i] = (char) ((i * 2654435761u) >> 13);
        fd = mkostemp(name, O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(unlink(name), 0);
        assert_int_equal(write(fd, bytes, size), size);
        *ret_bytes = bytes;
        return fd;
}
