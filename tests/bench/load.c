/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client that makes load: so many connections at once, each of which sends a request, reads the whole answer, and goes
 * on. It speaks no protocol but "a head, Content-Length:, a body", which P2P-DI and HTTP have in common, so that a server
 * and what it is compared with get the same client.
 *
 *   load --connect=ADDRESS:PORT --requests=FILE [--connections=N] [--seconds=S | --count=N] [--keep]
 *        [--rate=R] [--times] [--restarts=FILE]
 *   load --connect=… --requests=FILE --connections=N --hold [--slow=BYTES]
 *
 * FILE is one request after the other: "SOURCE LENGTH [STATUS [SHA256]]\n", then so many bytes; SOURCE is the address that it comes
 * from. STATUS is what the answer must have, without it 200 or 204 will do; SHA256 is that of its body. Without --keep each request
 * has a connection of its own. With it a connection stays with one request of the file, and so with its source, and repeats it; an
 * answer that says that it is the last of its connection is followed by a new one.
 *
 * --rate: so many requests a second and no more; for one connection, which waits for its turn.
 *
 * --restarts: FILE begins with a number of 32 bits, in the host's order, that whoever restarts the server adds one to before and after: it
 * is odd meanwhile. A connection that ends before its answer is whole is counted as cut, not as failed, if a restart went over it.
 *
 * --hold: each connection asks once, and is kept until stdin ends; "ready" is written once all have their answers. With
 * --slow the answers are not read but for so many bytes a second on each connection, and "ready" comes once all have the first of them.
 *
 * The result is one line of JSON on stdout, with --times also how many exchanges took how many microseconds. An answer that is not as
 * it should be, or does not come, counts as failed; the first of them are told on stderr.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_SIZE_MAX 8192
/* Times up to ten seconds are told apart to the microsecond. */
#define USEC_MAX 10000000
/* With so many failures and no success between them, nothing is measured any more. */
#define FAILURES_MAX 1000
#define FAILURES_TOLD 10
#define DIGEST_SIZE 32
#define SLOW_STEPS_PER_SEC 10

typedef struct Request {
        struct sockaddr_in source;
        const char *bytes;
        size_t size;
        unsigned status;                /* that it must have; 0: 200 or 204 */
        bool has_digest;
        unsigned char digest[DIGEST_SIZE];
} Request;

typedef enum Result {
        RESULT_GOOD,
        RESULT_BAD,                     /* another answer than it should be */
        RESULT_LOST,                    /* the connection broke before the answer was whole */
} Result;

typedef struct Client {
        int fd;                         /* -1: none */
        size_t request;                 /* its number in the file */
        size_t n_sent;
        size_t n_head;                  /* bytes of the head so far */
        uint64_t body_left;
        bool in_body;
        bool last;                      /* the answer said so */
        bool writing;                   /* waits until it may send */
        uint64_t begin;                 /* nsec */
        uint32_t n_restarts;            /* when the connection was made */
        EVP_MD_CTX *hash;               /* NULL: was not needed yet */
        char head[HEAD_SIZE_MAX + 1];
} Client;

static struct sockaddr_in arg_connect;
static unsigned arg_connections = 1, arg_seconds = 1;
static uint64_t arg_count = UINT64_MAX;
static bool arg_keep, arg_hold, arg_times;
static unsigned arg_slow, arg_rate;

static const uint32_t *restarts;        /* NULL: there are none */
static Request *requests;
static size_t n_requests, next_request;
static Client *clients;
static int epoll_fd;
static uint64_t n_done, n_failed, n_cut, n_failed_in_a_row, n_bytes, n_lines, n_begun, worst_usec;
static uint32_t times[USEC_MAX + 1];
static char buffer[1 << 18];

static void fail(const char *what) {
        fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
        exit(1);
}

static uint64_t now_nsec(void) {
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}

static bool read_digest(const char *text, unsigned char *ret) {
        for (size_t i = 0; i < DIGEST_SIZE; i++)
                if (sscanf(text + 2 * i, "%2hhx", &ret[i]) != 1)
                        return false;
        return text[(size_t) 2 * DIGEST_SIZE] == '\0';
}

/* "SOURCE LENGTH [STATUS [SHA256]]" and the bytes. */
static bool read_request(FILE *f, const char *line, Request *ret) {
        char source[64], digest[2 * DIGEST_SIZE + 1];
        Request q = { .source.sin_family = AF_INET };
        int n = sscanf(line, "%63s %zu %u %64s", source, &q.size, &q.status, digest);
        char *bytes;

        if (n < 2 || inet_pton(AF_INET, source, &q.source.sin_addr) != 1)
                return false;
        q.has_digest = n == 4;
        if (q.has_digest && !read_digest(digest, q.digest))
                return false;
        bytes = malloc(q.size + 1);
        if (!bytes)
                fail("memory");
        if (fread(bytes, 1, q.size, f) != q.size)
                return false;
        q.bytes = bytes;
        *ret = q;
        return true;
}

static void read_requests(const char *path) {
        FILE *f = fopen(path, "re");
        char line[256];

        if (!f)
                fail(path);
        while (fgets(line, sizeof(line), f)) {
                requests = reallocarray(requests, n_requests + 1, sizeof(*requests));
                if (!requests)
                        fail("memory");
                if (!read_request(f, line, &requests[n_requests++])) {
                        errno = EBADMSG;
                        fail(path);
                }
        }
        fclose(f);
        if (n_requests == 0) {
                errno = ENODATA;
                fail(path);
        }
}

static const uint32_t *map_restarts(const char *path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(uint32_t), PROT_READ, MAP_SHARED, fd, 0);
        if (page == MAP_FAILED)
                fail(path);
        (void) close(fd);
        return page;
}

static uint32_t count_restarts(void) {
        return restarts ? __atomic_load_n(restarts, __ATOMIC_ACQUIRE) : 0;
}

static void watch(Client *c, int operation, uint32_t events) {
        /* Who reads slowly looks by the clock, not when there is something. */
        struct epoll_event e = { .events = arg_slow ? events & ~(uint32_t) EPOLLIN : events, .data.ptr = c };
        if (epoll_ctl(epoll_fd, operation, c->fd, &e) < 0)
                fail("epoll_ctl");
        c->writing = events & EPOLLOUT;
}

/* Sends what is left of the request. false: the connection broke. */
static bool go_on_sending(Client *c) {
        const Request *q = &requests[c->request];
        while (c->n_sent < q->size) {
                ssize_t n = send(c->fd, q->bytes + c->n_sent, q->size - c->n_sent, MSG_NOSIGNAL);
                if (n < 0 && (errno == EAGAIN || errno == EINPROGRESS || errno == ENOTCONN)) {
                        if (!c->writing)
                                watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
                        return true;
                }
                if (n < 0)
                        return false;
                c->n_sent += (size_t) n;
        }
        if (c->writing)
                watch(c, EPOLL_CTL_MOD, EPOLLIN);
        return true;
}

static bool begin_exchange(Client *c) {
        n_begun++;
        c->n_sent = c->n_head = 0;
        c->in_body = c->last = false;
        if (requests[c->request].has_digest) {
                if (!c->hash && !(c->hash = EVP_MD_CTX_new()))
                        fail("memory");
                if (EVP_DigestInit_ex(c->hash, EVP_sha256(), NULL) != 1)
                        fail("SHA-256");
        }
        c->begin = now_nsec();
        return go_on_sending(c);
}

static bool open_connection(Client *c) {
        int one = 1, small = 4096;

        if (!arg_keep && !arg_hold)
                c->request = next_request++ % n_requests;
        const Request *q = &requests[c->request];
        c->n_restarts = count_restarts();
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->fd < 0)
                fail("socket");
        /* The port is chosen when it connects: by then it need not be free towards everybody. */
        (void) setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
        (void) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (arg_slow)
                (void) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        if (bind(c->fd, (const struct sockaddr *) &q->source, sizeof(q->source)) < 0)
                fail("bind");
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
        if (connect(c->fd, (const struct sockaddr *) &arg_connect, sizeof(arg_connect)) < 0 && errno != EINPROGRESS)
                return false;
        return begin_exchange(c);
}

/* A restart went over its connection, so it is in the nature of things that it broke. */
static bool was_restarted(const Client *c) {
        return c->n_restarts % 2 == 1 || c->n_restarts != count_restarts();
}

/* Why an exchange failed; what came of its answer. */
static void tell(const Client *c, const char *why) {
        if (n_failed >= FAILURES_TOLD)
                return;
        fprintf(stderr, "load: %s after %" PRIu64 " usec: \"%.*s\" was answered \"%.*s\"\n", why, (now_nsec() - c->begin) / 1000,
                (int) strcspn(requests[c->request].bytes, "\r\n"), requests[c->request].bytes, (int) strcspn(c->head, "\r\n"), c->head);
}

static void close_connection(Client *c) {
        (void) close(c->fd);
        c->fd = -1;
}

/* The turn of the next exchange, when each has its own. */
static void wait_for_turn(void) {
        static uint64_t first;
        uint64_t turn, now = now_nsec();

        if (first == 0)
                first = now;
        turn = first + n_begun * 1000000000 / arg_rate;
        if (turn > now)
                (void) usleep((useconds_t) ((turn - now) / 1000));
}

/* The next exchange, on a new connection or on this one, for as long as there is one to make. */
static void go_on(Client *c, Result result) {
        for (;;) {
                if (result == RESULT_LOST && was_restarted(c))
                        n_cut++;
                else if (result != RESULT_GOOD) {
                        n_failed++;
                        if (++n_failed_in_a_row >= FAILURES_MAX) {
                                fprintf(stderr, "load: %d failed one after the other\n", FAILURES_MAX);
                                exit(1);
                        }
                }
                if (c->fd >= 0 && (result != RESULT_GOOD || !arg_keep || c->last))
                        close_connection(c);
                if (n_begun >= arg_count)
                        return;
                if (arg_rate)
                        wait_for_turn();
                if (c->fd >= 0 ? begin_exchange(c) : open_connection(c))
                        return;
                result = RESULT_LOST;
        }
}

/* What the head says. false: it is none that we take. */
static bool read_head(Client *c, const char *end) {
        const char *status = memchr(c->head, ' ', (size_t) (end - c->head)), *length, *close;
        const unsigned wanted = requests[c->request].status, is = status ? (unsigned) strtoul(status, NULL, 10) : 0;

        if (wanted > 0 ? is != wanted : is != 200 && is != 204)
                return false;
        close = strcasestr(c->head, "\r\nConnection: close\r\n");
        c->last = close && close < end;
        length = strcasestr(c->head, "\r\nContent-Length:");
        c->body_left = length && length < end ? strtoull(length + 17, NULL, 10) : 0;
        return true;
}

/* The body is whole: is it the one that it should be? */
static bool is_right(const Client *c) {
        const Request *q = &requests[c->request];
        unsigned char digest[EVP_MAX_MD_SIZE];
        return !q->has_digest || (EVP_DigestFinal_ex(c->hash, digest, NULL) == 1 && memcmp(digest, q->digest, DIGEST_SIZE) == 0);
}

static int bad(const Client *c, const char *why) {
        tell(c, why);
        return -1;
}

/* n: what recv() gave that is no bytes. */
static Result lost(const Client *c, ssize_t n) {
        const char *why = n == 0 ? "closed" : strerror(errno);
        if (!was_restarted(c))
                tell(c, why);
        return RESULT_LOST;
}

/* Bytes that have come. 1: the answer is whole, 0: more is needed, -1: it is bad. */
static int take(Client *c, const char *bytes, size_t size) {
        n_bytes += size;
        if (!c->in_body) {
                size_t had = c->n_head, n = size < HEAD_SIZE_MAX - had ? size : HEAD_SIZE_MAX - had;
                memcpy(c->head + had, bytes, n);
                c->n_head += n;
                c->head[c->n_head] = '\0';
                char *end = strstr(c->head, "\r\n\r\n");
                if (!end)
                        return c->n_head < HEAD_SIZE_MAX ? 0 : bad(c, "its head is too long");
                if (!read_head(c, end))
                        return bad(c, "its status is another one");
                c->in_body = true;
                size_t of_head = (size_t) (end + 4 - c->head) - had;
                bytes += of_head;
                size -= of_head;
        }
        if (size > c->body_left)
                return bad(c, "it is too long");
        if (requests[c->request].has_digest && EVP_DigestUpdate(c->hash, bytes, size) != 1)
                fail("SHA-256");
        for (const char *p = bytes, *stop = bytes + size; (p = memchr(p, '\n', (size_t) (stop - p))); p++)
                n_lines++;
        c->body_left -= size;
        if (c->body_left > 0)
                return 0;
        return is_right(c) ? 1 : bad(c, "its body is another one");
}

static void count_time(const Client *c) {
        uint64_t usec = (now_nsec() - c->begin) / 1000;
        times[usec < USEC_MAX ? usec : USEC_MAX]++;
        if (usec > worst_usec)
                worst_usec = usec;
        n_done++;
        n_failed_in_a_row = 0;
}

static void on_readable(Client *c) {
        Result result;
        ssize_t n;

        if (arg_slow)
                return;
        n = recv(c->fd, buffer, sizeof(buffer), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0)
                result = lost(c, n);
        else {
                int r = take(c, buffer, (size_t) n);
                if (r == 0)
                        return;
                result = r > 0 ? RESULT_GOOD : RESULT_BAD;
        }
        if (result == RESULT_GOOD)
                count_time(c);
        if (!arg_hold) {
                go_on(c, result);
                return;
        }
        if (result != RESULT_GOOD) {    /* also: what was held has been cut */
                n_failed++;
                close_connection(c);
        }
}

static double percentile(double part) {
        uint64_t all = 0, seen = 0;
        for (size_t i = 0; i <= USEC_MAX; i++)
                all += times[i];
        for (size_t i = 0; i <= USEC_MAX; i++) {
                seen += times[i];
                if (seen > 0 && (double) seen >= part * (double) all)
                        return (double) i;
        }
        return 0;
}

static void report(double seconds) {
        const char *separator = "";

        printf("{\"requests\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"cut\": %" PRIu64 ", \"seconds\": %.6f, \"bytes\": %" PRIu64
               ", \"body_lines\": %" PRIu64 ", \"p50_usec\": %.0f, \"p99_usec\": %.0f, \"max_usec\": %" PRIu64,
               n_done, n_failed, n_cut, seconds, n_bytes, n_lines, percentile(0.5), percentile(0.99), worst_usec);
        if (arg_times) {
                printf(", \"times\": [");
                for (size_t i = 0; i <= USEC_MAX; i++)
                        if (times[i] > 0) {
                                printf("%s[%" PRIu64 ", %" PRIu32 "]", separator, i < USEC_MAX ? i : worst_usec, times[i]);
                                separator = ", ";
                        }
                printf("]");
        }
        printf("}\n");
        fflush(stdout);
}

static void wait_for_events(int timeout_ms) {
        struct epoll_event events[256];
        int n = epoll_wait(epoll_fd, events, 256, timeout_ms);
        for (int i = 0; i < n; i++) {
                Client *c = events[i].data.ptr;
                if (c->fd < 0)
                        continue;
                if ((events[i].events & EPOLLOUT) && !go_on_sending(c)) {
                        go_on(c, RESULT_LOST);
                        continue;
                }
                if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                        on_readable(c);
        }
}

static void run_load(void) {
        uint64_t begin = now_nsec(), end = begin + (uint64_t) arg_seconds * 1000000000;

        for (unsigned i = 0; i < arg_connections && n_begun < arg_count; i++)
                if (!open_connection(&clients[i]))
                        go_on(&clients[i], RESULT_LOST);
        while (n_done + n_failed + n_cut < arg_count && (arg_count != UINT64_MAX || now_nsec() < end))
                wait_for_events(100);
        report((double) (now_nsec() - begin) / 1e9);
}

static bool stdin_ended(int timeout_ms) {
        struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
        char byte;
        return poll(&p, 1, timeout_ms) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

/* Of slow ones: each has asked, and the first of its answer has come. */
static bool all_have_begun(void) {
        for (unsigned i = 0; i < arg_connections; i++) {
                const Client *c = &clients[i];
                char byte;
                if (c->fd >= 0 && (c->n_sent < requests[c->request].size || (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN)))
                        return false;
        }
        return true;
}

/* A tenth of the slow ones at a time, so that they do not all come at once. */
static void read_slowly(unsigned step) {
        for (unsigned i = step % SLOW_STEPS_PER_SEC; i < arg_connections; i += SLOW_STEPS_PER_SEC) {
                ssize_t n;
                if (clients[i].fd < 0)
                        continue;
                n = recv(clients[i].fd, buffer, arg_slow, MSG_DONTWAIT);
                if (n > 0)
                        n_bytes += (uint64_t) n;
                else if (n == 0 || errno != EAGAIN) {
                        n_failed++;
                        close_connection(&clients[i]);
                }
        }
}

static void run_hold(void) {
        uint64_t begin = now_nsec();

        /* A hundred at a time: a listener's backlog is finite. */
        for (unsigned i = 0; i < arg_connections; i++) {
                if (!open_connection(&clients[i])) {
                        n_failed++;
                        close_connection(&clients[i]);
                }
                while (!arg_slow && i % 100 == 99 && n_done + n_failed + 100 < i)
                        wait_for_events(10);
                if (arg_slow && i % 100 == 99)
                        wait_for_events(1);
        }
        while (arg_slow ? !all_have_begun() : n_done + n_failed < arg_connections)
                wait_for_events(10);
        printf("ready\n");
        fflush(stdout);
        for (unsigned step = 0; !stdin_ended(arg_slow ? 1000 / SLOW_STEPS_PER_SEC : 100); step++) {
                if (arg_slow)
                        read_slowly(step);
                else
                        wait_for_events(0);
        }
        report((double) (now_nsec() - begin) / 1e9);
}

static void parse_connect(const char *text) {
        char address[64];
        unsigned port;
        if (sscanf(text, "%63[0-9.]:%u", address, &port) != 2 || port > 65535 || inet_pton(AF_INET, address, &arg_connect.sin_addr) != 1) {
                fprintf(stderr, "load: --connect= takes ADDRESS:PORT of IPv4\n");
                exit(2);
        }
        arg_connect.sin_family = AF_INET;
        arg_connect.sin_port = htons((uint16_t) port);
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "connect", required_argument, NULL, 'c' },     { "requests", required_argument, NULL, 'r' },
                { "connections", required_argument, NULL, 'n' }, { "seconds", required_argument, NULL, 's' },
                { "count", required_argument, NULL, 'N' },       { "keep", no_argument, NULL, 'k' },
                { "hold", no_argument, NULL, 'h' },              { "slow", required_argument, NULL, 'S' },
                { "rate", required_argument, NULL, 'R' },        { "times", no_argument, NULL, 't' },
                { "restarts", required_argument, NULL, 'a' },
                { NULL, 0, NULL, 0 },
        };
        struct rlimit limit;
        int option;

        while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (option) {
                case 'c': parse_connect(optarg); break;
                case 'r': read_requests(optarg); break;
                case 'n': arg_connections = (unsigned) strtoul(optarg, NULL, 10); break;
                case 's': arg_seconds = (unsigned) strtoul(optarg, NULL, 10); break;
                case 'N': arg_count = strtoull(optarg, NULL, 10); break;
                case 'k': arg_keep = true; break;
                case 'h': arg_hold = true; break;
                case 'R': arg_rate = (unsigned) strtoul(optarg, NULL, 10); break;
                case 't': arg_times = true; break;
                case 'a': restarts = map_restarts(optarg); break;
                case 'S': arg_slow = (unsigned) strtoul(optarg, NULL, 10); break;
                default: return 2;
                }
        if (arg_connect.sin_port == 0 || n_requests == 0 || arg_connections == 0 || (arg_slow && !arg_hold)) {
                fprintf(stderr, "usage: load --connect=ADDRESS:PORT --requests=FILE [--connections=N] [--seconds=S | --count=N] [--keep] [--rate=R]\n"
                                "       [--times] [--restarts=FILE]\n"
                                "       load --connect=ADDRESS:PORT --requests=FILE --connections=N --hold [--slow=BYTES]\n");
                return 2;
        }
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &limit);
        }
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        clients = calloc(arg_connections, sizeof(*clients));
        if (epoll_fd < 0 || !clients)
                fail("start");
        for (unsigned i = 0; i < arg_connections; i++)
                clients[i] = (Client) { .fd = -1, .request = i % n_requests };
        if (arg_hold)
                run_hold();
        else
                run_load();
        return 0;
}
