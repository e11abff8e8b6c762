/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls, the servers that answer them, and a clock that stands still. The first byte says how it ends: the servers close (even), or time
 * passes (odd). In what follows a byte with its highest bit set is an event, four bits for which one and three for a number, and anything else is
 * said by the server that was dialled or chosen last. A connection is a socketpair, and a turn of the loop an event like the others: nobody
 * waits for anything.
 *
 * Whatever the servers say, and in whatever order, each answer is the one to that request: the n-th head of a connection to the n-th request that
 * was sent on it, and its body what follows, to the byte. Each Call ends once, with an end that fits what has happened to it, and none is left
 * over in the end; no handler is called where the header says that none is; the loop comes to rest, and nothing stays open.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/buf.h"
#include "io/call-pool.h"
#include "io/call.h"
#include "io/dial.h"
#include "io/loop.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CALLS_MAX 48            /* in one input */
#define SERVERS_MAX 32
#define ASKED_MAX 8             /* at once */
#define PLANS_MAX 16
#define TIMERS_MAX (CALLS_MAX + 8)
#define TURNS_MAX 10000         /* far more than all of these take: who needs as many turns in a circle */
#define ROUNDS 12               /* in which who has to ask anew has ended at the latest */
#define SAID_MAX ((size_t) 4 << 20)
#define HEARD_MAX ((size_t) 64 * 1024)
#define FIRST_PORT 1024

/* A new one goes to the end: inputs know them by their place. */
typedef enum Event {
        EVENT_CALL,             /* a Call of that kind */
        EVENT_CHOOSE,           /* the server, counted from the one that was dialled last */
        EVENT_SHUT,             /* it says no more */
        EVENT_CLOSE,            /* with what it has not read; the other end sees a reset then */
        EVENT_HEAR,             /* it reads what was sent */
        EVENT_TURNS,            /* as many; 0: until nothing is left to do */
        EVENT_PAUSE,
        EVENT_RESUME,
        EVENT_FREE,
        EVENT_GO,
        EVENT_PLAN,             /* what a handler will do, one for each that is called */
        EVENT_TIME,
        EVENT_POOL,
        EVENT_DIAL,             /* how the next one goes */
        EVENT_FILL,             /* the server says much at once */
} Event;

typedef enum Plan {
        PLAN_NOTHING,
        PLAN_FAIL,
        PLAN_FREE,
        PLAN_PAUSE,
        PLAN_HOLD,              /* where there is nothing to hold: both of PAUSE and FAIL */
        PLAN_FREE_OTHER,
        PLAN_CALL,
        PLAN_CHANGE,            /* another request */
} Plan;

static const size_t fills[] = { 1, 5, 100, 1024, 4096, 65535, 65537, 262144 };
static const usec_t steps[] = { 0, USEC_PER_SEC, 5 * USEC_PER_SEC, 16 * USEC_PER_SEC, 31 * USEC_PER_SEC, USEC_PER_MINUTE, USEC_PER_HOUR, 1 };

static const struct {
        int start, finish;
        bool small;             /* the kernel takes a few requests, and no more until they are heard */
} dials[] = {
        { 0, 0, false },         { DIAL_REFUSED, 0, false }, { DIAL_TIMEOUT, 0, false }, { -EADDRNOTAVAIL, 0, false },
        { 0, DIAL_REFUSED, false }, { 0, DIAL_TIMEOUT, false }, { 0, -ENOBUFS, false },     { 0, 0, true },
};

typedef struct Server {
        int fd;                 /* -1: closed */
        int other;              /* the end of the Calls, which is theirs */
        int finish;             /* of dial_finish() */
        Buf said, heard;
        size_t n_read;          /* of what it has heard; the rest was only looked at */
        size_t next_at;         /* where in what it said the next answer begins */
        unsigned n_answers;
} Server;

typedef struct Asked {
        Call *call;             /* NULL: over, or none yet */
        Verb verb;
        uint64_t transaction;
        const CallHandler *handler;
        bool alone;             /* the server closes, and says nothing more */
        bool was_queued, had_turn, replied, failed;
        uint64_t n_due, n_got;
        Server *server;
        size_t at;              /* of the next byte of the body in what it said */
} Asked;

typedef struct Timer {
        sd_event_source *source;
        usec_t at;              /* USEC_INFINITY: none */
} Timer;

static struct {
        CallConf pooled, alone;
        CallPool *pool;
        Asked asked[ASKED_MAX];
        unsigned n_calls;
        Server servers[SERVERS_MAX], *chosen;
        unsigned n_servers;
        Timer timers[TIMERS_MAX];
        unsigned n_timers;
        Plan plans[PLANS_MAX];
        unsigned n_plans;
        unsigned dial;          /* of dials */
        usec_t now;
        bool time_passed, dial_timed_out;
        unsigned in_call;       /* a function of ours, from within which no handler is called */
} t;

static sd_event *loop;

static void ask(unsigned kind);

/* ---- the clock, of io/loop ---- */

usec_t boottime_read(void) {
        return t.now;
}

void now_of_event(_unused_ sd_event *e, Now *ret) {
        *ret = (Now){ .boottime = t.now, .realtime = t.now };
}

static Timer *timer_find(const sd_event_source *s) {
        for (unsigned i = 0; i < t.n_timers; i++)
                if (t.timers[i].source == s)
                        return &t.timers[i];
        return NULL;
}

/* Its own time is always past: it is on when it is due. */
static void timer_look(Timer *timer) {
        assert(sd_event_source_set_enabled(timer->source, timer->at <= t.now ? SD_EVENT_ONESHOT : SD_EVENT_OFF) >= 0);
        if (timer->at <= t.now)
                timer->at = USEC_INFINITY;
}

int loop_timer_new(sd_event *e, sd_event_time_handler_t callback, void *userdata, _unused_ const char *description, sd_event_source **ret) {
        assert(t.n_timers < ELEMENTSOF(t.timers));
        assert(sd_event_add_time(e, ret, CLOCK_MONOTONIC, 0, 1, callback, userdata) >= 0);
        t.timers[t.n_timers] = (Timer){ *ret, USEC_INFINITY };
        timer_look(&t.timers[t.n_timers++]);
        return 0;
}

int loop_timer_set(sd_event_source *s, usec_t at) {
        Timer *timer = timer_find(s);

        assert(timer);
        timer->at = at;
        timer_look(timer);
        return 0;
}

sd_event_source *event_source_free(sd_event_source *s) {
        Timer *timer = s ? timer_find(s) : NULL;

        if (timer)
                *timer = t.timers[--t.n_timers];
        return sd_event_source_disable_unref(s);
}

/* 0: to the next timer. */
static void pass_time(usec_t step) {
        usec_t next = USEC_INFINITY;

        for (unsigned i = 0; i < t.n_timers; i++)
                next = MIN_OF(next, t.timers[i].at);
        if (step == 0 && next == USEC_INFINITY)
                return;
        t.now = step == 0 ? next : t.now + step;
        t.time_passed = true;
        for (unsigned i = 0; i < t.n_timers; i++)
                if (t.timers[i].at <= t.now)
                        timer_look(&t.timers[i]);
}

/* ---- the network, of io/dial ---- */

int dial_start(_unused_ const Endpoint *to, _unused_ const Address *source, int *ret_fd) {
        const unsigned dial = t.dial;
        const int small = 1;
        int fds[2];

        t.dial = 0;
        if (dials[dial].start != 0 || t.n_servers == ELEMENTSOF(t.servers)) {
                t.dial_timed_out = t.dial_timed_out || dials[dial].start == DIAL_TIMEOUT;
                return dials[dial].start != 0 ? dials[dial].start : DIAL_REFUSED;
        }
        t.dial_timed_out = t.dial_timed_out || dials[dial].finish == DIAL_TIMEOUT;
        assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
        if (dials[dial].small)
                assert(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
        t.chosen = &t.servers[t.n_servers++];
        *t.chosen = (Server){
                .fd = fds[1],
                .other = fds[0],
                .finish = dials[dial].finish,
                .said = BUF_INIT(SAID_MAX),
                .heard = BUF_INIT(HEARD_MAX),
        };
        *ret_fd = fds[0];
        return 0;
}

static Server *server_of(int other) {
        for (unsigned i = t.n_servers; i-- > 0;)
                if (t.servers[i].other == other)
                        return &t.servers[i];
        return NULL;
}

int dial_finish(int fd) {
        return server_of(fd)->finish;
}

/* What tells which connection a Call is on: the port is the server's number. */
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size);
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size) {
        const struct sockaddr_in local = {
                .sin_family = AF_INET,
                .sin_port = htons((uint16_t) (FIRST_PORT + (server_of(fd) - t.servers))),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };

        assert(*size >= sizeof(local));
        memcpy(address, &local, sizeof(local));
        *size = sizeof(local);
        return 0;
}

/* ---- the servers ---- */

/* Without MSG_PEEK it makes room for more. */
static void server_hear(Server *s, int flags) {
        static char bytes[HEARD_MAX];
        ssize_t n;

        if (!s || s->fd < 0)
                return;
        n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT | flags);
        assert(n >= 0 || errno == EAGAIN || errno == ECONNRESET);
        buf_truncate(&s->heard, s->n_read);
        assert(buf_append(&s->heard, bytes, (size_t) MAX_OF(n, (ssize_t) 0)) == 0);
        if (!(flags & MSG_PEEK))
                s->n_read = s->heard.size;
}

static void server_say(Server *s, Slice bytes) {
        ssize_t n;

        if (!s || s->fd < 0 || bytes.size == 0)
                return;
        n = send(s->fd, bytes.data, MIN_OF(bytes.size, SAID_MAX - s->said.size), MSG_DONTWAIT | MSG_NOSIGNAL);
        assert(n >= 0 || errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
        if (n > 0)
                assert(buf_append(&s->said, bytes.data, (size_t) n) == 0);
}

static void server_fill(Server *s, size_t n) {
        static const char much[262144];

        assert(n <= sizeof(much));
        server_say(s, (Slice){ much, n });
}

static void server_shut(Server *s) {
        if (s && s->fd >= 0)
                assert(shutdown(s->fd, SHUT_WR) == 0 || errno == ENOTCONN);
}

static void server_close(Server *s) {
        if (!s || s->fd < 0)
                return;
        server_hear(s, MSG_PEEK);
        assert(close(s->fd) == 0);
        s->fd = -1;
}

/* Which of the requests it has heard that is, and how many it has heard in all; each is whole, but the last. false: it has not heard it. */
static bool server_heard(Server *s, uint64_t transaction, unsigned *ret_place, unsigned *ret_n) {
        unsigned n;
        Slice rest;
        MsgHead head;
        uint64_t heard;
        bool closes, found = false;
        int r;

        server_hear(s, MSG_PEEK);
        rest = buf_slice(&s->heard);
        for (n = 0; (r = msg_parse_request(rest, &head)) == 0; n++) {
                proto_peek(&head, &heard, &closes);
                if (heard == transaction) {
                        *ret_place = n;
                        found = true;
                }
                rest = (Slice){ rest.data + head.size, rest.size - head.size };
        }
        assert(r == MSG_PARTIAL);
        *ret_n = n;
        return found;
}

/* What it has said from there on. */
static Slice server_said(const Server *s, size_t at) {
        return at < s->said.size ? (Slice){ s->said.data + at, s->said.size - at } : (Slice){ "", 0 };
}

static bool server_has_said(const Server *s, size_t at, Slice bytes) {
        const Slice said = server_said(s, at);

        return bytes.size <= said.size && memcmp(said.data, bytes.data, bytes.size) == 0;
}

/* ---- who asks ---- */

static void drop(Asked *a) {
        t.in_call++;
        a->call = call_free(a->call);
        t.in_call--;
}

static void stop(Asked *a) {
        t.in_call++;
        call_pause(a->call);
        t.in_call--;
}

/* A handler was called. */
static Plan meddle(Asked *a, Call *c) {
        Plan plan = PLAN_NOTHING;

        assert(t.in_call == 0);
        assert(a->call == c);
        if (t.n_plans > 0) {
                plan = t.plans[0];
                t.n_plans--;
                memmove(t.plans, t.plans + 1, t.n_plans * sizeof(t.plans[0]));
        }
        if (plan == PLAN_FREE)
                drop(a);
        else if (plan == PLAN_PAUSE)
                stop(a);
        else if (plan == PLAN_CALL)
                ask(0);
        for (Asked *other = t.asked; plan == PLAN_FREE_OTHER && other < t.asked + ELEMENTSOF(t.asked); other++)
                if (other != a && other->call) {
                        drop(other);
                        break;
                }
        return plan;
}

static Request request_of(const Asked *a) {
        return (Request){
                .verb = a->verb,
                .version = MSG_P2PDI_1_0,
                .transaction = a->transaction,
                .rfc = a->verb == VERB_GET_RFC ? 7 : 0,
                .port = 65424,
                .cookie = 1,
        };
}

static uint64_t next_transaction(void) {
        static uint64_t last;

        return ++last;
}

/* Of on_reply and on_body. */
static int answer(Asked *a, Call *c) {
        const Plan plan = meddle(a, c);

        if (plan == PLAN_HOLD)
                stop(a);
        a->failed = plan == PLAN_FAIL || plan == PLAN_HOLD;
        return a->failed ? -ECANCELED : 0;
}

static int on_reply(Call *c, const Reply *reply, Slice bytes, void *userdata) {
        Asked *a = userdata;
        Endpoint local;
        unsigned place, n;

        assert(!a->replied && !call_is_queued(c) && call_local(c, &local) && call_sent_at(c) > 0);
        assert(a->was_queued || call_rtt(c) != USEC_INFINITY);
        a->replied = true;
        a->n_due = reply->has_length ? reply->length : 0;
        a->server = &t.servers[local.port - FIRST_PORT];
        assert(server_has_said(a->server, a->server->next_at, bytes));
        /* One that closed may have said why it does not want to hear. */
        if (server_heard(a->server, a->transaction, &place, &n))
                assert(place == a->server->n_answers);
        else
                assert(a->server->fd < 0);
        a->at = a->server->next_at + bytes.size;
        a->server->next_at = a->at + (size_t) MIN_OF(a->n_due, SAID_MAX);
        a->server->n_answers++;
        return answer(a, c);
}

static int on_body(Call *c, Slice bytes, void *userdata) {
        Asked *a = userdata;

        assert(a->replied && bytes.size > 0 && bytes.size <= a->n_due - a->n_got);
        assert(server_has_said(a->server, a->at, bytes));
        a->at += bytes.size;
        a->n_got += bytes.size;
        return answer(a, c);
}

/* It is told that the server does not follow the protocol: does it not? */
static bool is_bad(Asked *a, const Call *c) {
        unsigned place, n;
        Endpoint local;
        MsgHead head;
        Reply reply;
        Server *s;
        int r;

        assert(call_local(c, &local));
        s = &t.servers[local.port - FIRST_PORT];
        if (!a->replied) {
                r = msg_parse_response(server_said(s, s->next_at), &head);
                return r == 0 ? proto_parse_reply(&head, a->verb, &reply) == PROTO_BAD : r != MSG_PARTIAL;
        }
        /* Where others have asked, too, what is beyond its length is theirs. */
        (void) server_heard(s, a->transaction, &place, &n);
        return (a->n_due > 0 && !a->handler->on_body) || (n <= s->n_answers && s->said.size - a->at > a->n_due - a->n_got);
}

static void on_end(Call *c, CallEnd end, int error, void *userdata) {
        Asked *a = userdata;

        assert(call_end_name(end));
        assert(end == CALL_FAILED ? error == -ECANCELED || error == -EADDRNOTAVAIL || error == -ENOBUFS : error == 0);
        assert(end != CALL_OK || (a->replied && a->n_got == a->n_due));
        assert(end != CALL_OK || !a->alone || t.time_passed || a->at == a->server->said.size);
        assert(end != CALL_BAD || is_bad(a, c));
        assert(end != CALL_REFUSED || !a->replied);
        assert((end == CALL_ABORTED) == (a->failed && a->replied));
        assert(end != CALL_TIMEOUT || t.time_passed || t.dial_timed_out);
        assert(end != CALL_TOO_SLOW || (t.time_passed && a->replied && a->n_got < a->n_due));
        (void) call_rtt(c);
        (void) meddle(a, c);
        a->call = NULL;
}

static int on_ready(Call *c, void *userdata) {
        Asked *a = userdata;
        Plan plan;

        assert(!a->replied && !call_is_queued(c));
        plan = meddle(a, c);
        if (plan == PLAN_FAIL) {
                a->failed = true;
                return -ECANCELED;
        }
        if (plan == PLAN_CHANGE) {
                a->transaction = next_transaction();
                const Request request = request_of(a);

                assert(call_set_request(c, &request) == 0);
        }
        return plan == PLAN_HOLD ? CALL_HOLD : 0;
}

static void on_turn(Call *c, void *userdata) {
        Asked *a = userdata;

        assert(a->was_queued && !a->had_turn && !a->replied && !call_is_queued(c));
        a->had_turn = true;
        (void) meddle(a, c);
}

static const CallHandler reader = { .on_reply = on_reply, .on_body = on_body, .on_end = on_end, .on_turn = on_turn };
static const CallHandler bodiless = { .on_reply = on_reply, .on_end = on_end };
static const CallHandler waiter = { .on_reply = on_reply, .on_body = on_body, .on_end = on_end, .on_ready = on_ready };

static const struct {
        Verb verb;
        const CallConf *conf;
        const CallHandler *handler;
        uint16_t port;
} kinds[] = {
        { VERB_GET_RFC, &t.pooled, &reader, 1 },   { VERB_GET_RFC, &t.alone, &reader, 1 },
        { VERB_GET_RFC, &t.pooled, &bodiless, 1 }, { VERB_RFC_INDEX, &t.pooled, &waiter, 1 },
        { VERB_KEEPALIVE, &t.pooled, &bodiless, 1 }, { VERB_PQUERY, &t.pooled, &reader, 2 },
        { VERB_REGISTER, &t.alone, &waiter, 2 },   { VERB_GET_EDITOR_INDEX, &t.pooled, &waiter, 2 },
};

static void ask(unsigned kind) {
        const Endpoint to = { .address = { { [10] = 0xff, 0xff, 127, 0, 0, 1 } }, .port = kinds[kind].port };
        Asked *a = t.asked;

        while (a < t.asked + ELEMENTSOF(t.asked) && a->call)
                a++;
        if (a == t.asked + ELEMENTSOF(t.asked) || t.n_calls == CALLS_MAX)
                return;
        t.n_calls++;
        *a = (Asked){
                .verb = kinds[kind].verb,
                .transaction = next_transaction(),
                .handler = kinds[kind].handler,
                .alone = !kinds[kind].conf->pool,
        };
        const Request request = request_of(a);

        t.in_call++;
        int r = call_new(loop, &to, &request, kinds[kind].conf, kinds[kind].handler, a, &a->call);
        t.in_call--;
        assert(r == 0 || r == -EADDRNOTAVAIL);
        assert((r == 0) == (a->call != NULL));
        a->was_queued = a->call && call_is_queued(a->call);
        assert(!a->call || call_remote(a->call)->port == to.port);
}

/* ---- what happens ---- */

static void run_turns(unsigned n) {
        for (unsigned i = 0; i < n && sd_event_run(loop, 0) > 0; i++)
                ;
}

static void run_to_rest(void) {
        for (unsigned n = 0; sd_event_run(loop, 0) > 0; n++)
                assert(n < TURNS_MAX);
}

static void make_pool(void) {
        assert(call_pool_new(loop, &t.pool) == 0);
        t.pooled.pool = t.pool;
}

static void change_pool(unsigned number) {
        switch (number) {
        case 0:
                call_pool_clear(t.pool);
                return;
        case 1:
                t.pooled.pool = NULL;
                return;
        case 2:
                t.pooled.pool = t.pool;
                return;
        case 3:
                t.pooled.pool = NULL;
                t.pool = call_pool_free(t.pool);
                make_pool();
                return;
        default:
                t.pooled.n_pipelined = number - 3;
        }
}

static void meet(Event event, unsigned number) {
        Asked *a = &t.asked[number];

        switch (event) {
        case EVENT_CALL:
                ask(number);
                break;
        case EVENT_CHOOSE:
                if (number < t.n_servers)
                        t.chosen = &t.servers[t.n_servers - 1 - number];
                break;
        case EVENT_SHUT:
                server_shut(t.chosen);
                break;
        case EVENT_CLOSE:
                server_close(t.chosen);
                break;
        case EVENT_HEAR:
                server_hear(t.chosen, 0);
                break;
        case EVENT_TURNS:
                if (number > 0)
                        run_turns(number);
                else
                        run_to_rest();
                break;
        case EVENT_PAUSE:
                if (a->call)
                        stop(a);
                break;
        case EVENT_RESUME:
        case EVENT_GO:
                t.in_call++;
                if (a->call && event == EVENT_GO)
                        call_go(a->call);
                else if (a->call)
                        call_resume(a->call);
                t.in_call--;
                break;
        case EVENT_FREE:
                drop(a);
                break;
        case EVENT_PLAN:
                if (t.n_plans < ELEMENTSOF(t.plans))
                        t.plans[t.n_plans++] = number;
                break;
        case EVENT_TIME:
                pass_time(steps[number]);
                break;
        case EVENT_POOL:
                change_pool(number);
                break;
        case EVENT_DIAL:
                t.dial = number;
                break;
        case EVENT_FILL:
                server_fill(t.chosen, fills[number]);
                break;
        }
}

static void play(Slice rest) {
        while (rest.size > 0) {
                const uint8_t byte = (uint8_t) rest.data[0];
                size_t n = 1;

                if (byte & 0x80)
                        meet(byte >> 3 & 0xf, byte & 7);
                else {
                        while (n < rest.size && !((uint8_t) rest.data[n] & 0x80))
                                n++;
                        server_say(t.chosen, (Slice){ rest.data, n });
                }
                rest = (Slice){ rest.data + n, rest.size - n };
        }
}

/* ---- the beginning and the end ---- */

static void begin(void) {
        const CallConf conf = {
                .connect_timeout = 5 * USEC_PER_SEC,
                .answer_timeout = 10 * USEC_PER_SEC,
                .idle_timeout = USEC_PER_MINUTE,
                .min_rate = 100,
                .total_timeout = USEC_PER_HOUR,
                .n_pipelined = CALL_PIPELINE_MAX,
        };

        if (!loop) {
                assert(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
                assert(sd_event_new(&loop) >= 0);
        }
        memset(&t, 0, sizeof(t));
        t.now = USEC_PER_DAY;
        t.pooled = t.alone = conf;
        t.alone.min_rate = 0;
        make_pool();
}

static bool any_is_left(void) {
        for (unsigned i = 0; i < ELEMENTSOF(t.asked); i++)
                if (t.asked[i].call)
                        return true;
        return false;
}

/* Nobody is held, all was heard, and the loop is at rest: so it has asked, and what a server has said is read. */
static void check_rest(const Asked *a) {
        unsigned place, n;
        Endpoint local;
        MsgHead head;
        Server *s;

        if (!a->call || !call_local(a->call, &local))
                return;
        s = &t.servers[local.port - FIRST_PORT];
        if (a->replied)
                assert(a->n_got == a->n_due || a->at == s->said.size);
        else if (server_heard(s, a->transaction, &place, &n))
                assert(place > s->n_answers || msg_parse_response(server_said(s, s->next_at), &head) == MSG_PARTIAL);
        else    /* what the kernel did not take of it behind others waits for its turn */
                assert(s->fd < 0 || call_is_queued(a->call));
}

static void finish_calls(bool by_time) {
        t.n_plans = 0;
        for (unsigned round = 0; round < ROUNDS && any_is_left(); round++) {
                for (unsigned i = 0; i < ELEMENTSOF(t.asked); i++) {
                        meet(EVENT_GO, i);
                        meet(EVENT_RESUME, i);
                }
                for (unsigned i = 0; i < t.n_servers; i++)
                        server_hear(&t.servers[i], 0);
                run_to_rest();
                for (unsigned i = 0; i < ELEMENTSOF(t.asked); i++)
                        check_rest(&t.asked[i]);
                if (by_time)
                        pass_time(2 * USEC_PER_HOUR);
                for (unsigned i = 0; i < t.n_servers && !by_time; i++)
                        server_close(&t.servers[i]);
                run_to_rest();
        }
        assert(!any_is_left());
}

static void finish_all(void) {
        t.pool = call_pool_free(t.pool);
        assert(t.n_timers == 0);
        for (unsigned i = 0; i < t.n_servers; i++) {
                server_close(&t.servers[i]);
                buf_done(&t.servers[i].said);
                buf_done(&t.servers[i].heard);
        }
        for (unsigned i = 0; i < t.n_servers; i++)
                assert(fcntl(t.servers[i].other, F_GETFD) < 0 && errno == EBADF);
        run_to_rest();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size == 0)
                return 0;
        begin();
        play((Slice){ (const char *) data + 1, size - 1 });
        finish_calls(data[0] & 1);
        finish_all();
        return 0;
}
