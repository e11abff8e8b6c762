/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What the files of io/varlink share, and what their tests need. Nobody else includes it.
 *
 *   varlink.c           the server: listening sockets, who may connect
 *   varlink-conn.c      VarlinkConn: bytes in, bytes out, one call at a time
 *   varlink-fd.c        the descriptors that come with calls
 *   varlink-call.c      VarlinkCall: from a message to a method, and its replies
 *   varlink-service.c   org.varlink.service
 *   varlink-message.c   bytes to a checked message: no sockets, what the fuzzer feeds
 */

#include "core/base.h"
#include "core/buf.h"
#include "io/varlink.h"

#include <sys/socket.h>

#include <bsd/sys/queue.h>

/* Replies that wait for their reader beyond this hold up the next call and congest a stream. */
#define VARLINK_OUTPUT_CONGESTED (64u << 10)
/* Calls answered in one turn of the loop: a pipeline of a thousand must not keep the others waiting. */
#define VARLINK_CALLS_PER_TURN 16

/* ---- message ---- */

/* Answers */
enum {
        VARLINK_MESSAGE_BAD = 1,        /* no call: the connection is closed */
};

typedef struct VarlinkMessage {
        char *method;                   /* owned */
        json_t *parameters;             /* owned; an object, empty where the message had none */
        bool oneway, more, upgrade;     /* at most one */
        int fd;                         /* owned; came along; -1: none */
} VarlinkMessage;

/* Arrays and objects in each other at most VARLINK_DEPTH_MAX deep? Looks at brackets and strings only. */
bool varlink_depth_is_bounded(Slice s) _pure_;
/* One message, without its NUL, and without a descriptor. 0, VARLINK_MESSAGE_BAD, -ENOMEM. */
int varlink_message_parse(Slice s, VarlinkMessage *ret) _must_check_;
void varlink_message_done(VarlinkMessage *m);
/*
 * The name of the first parameter that is unknown, missing or of another type, borrowed from one of the two; NULL:
 * all is well, and members that are null have been removed.
 */
const char *varlink_parameters_check(const VarlinkParameter *table, json_t *parameters);

/* ---- call ---- */

typedef struct VarlinkConn VarlinkConn;

struct VarlinkCall {
        VarlinkConn *conn;
        const VarlinkMethod *method;    /* NULL: there is none of that name */
        bool oneway, more;
        unsigned n_json_failures;       /* before it */
        int fd;                         /* owned; -1: none came along, or it was taken */
        void (*gone)(VarlinkCall *c, void *data);
        void *gone_data;
        void (*resume)(VarlinkCall *c, void *data);     /* NULL: nobody waits */
        void *resume_data;
};

/*
 * Answers the message, or starts to: conn->call is set while no final reply was made. Empties *m. 0; -EPROTO: the method
 * takes no descriptor; -ENOMEM.
 */
int varlink_call_dispatch(VarlinkConn *conn, VarlinkMessage *m) _must_check_;
/* The asker hung up: tells `gone` and frees the call. */
void varlink_call_abandon(VarlinkCall *c);

extern const VarlinkInterface varlink_service_interface;

/* ---- connection ---- */

/* See varlink-fd.c. */
#define VARLINK_INPUT_FDS 2
typedef struct VarlinkInputFd {
        int fd;                         /* owned */
        size_t at;                      /* where its message starts in the input */
} VarlinkInputFd;

struct VarlinkConn {
        VarlinkServer *server;
        TAILQ_ENTRY(VarlinkConn) entry;
        sd_event_source *io;            /* owns the socket */
        sd_event_source *wake;          /* a turn that a reply from outside our own turns asked for */
        Buf input;
        size_t input_at;                /* where the next message starts */
        size_t scanned;                 /* up to here there is no NUL behind input_at */
        VarlinkInputFd input_fds[VARLINK_INPUT_FDS];    /* by ascending place */
        size_t n_input_fds;
        Buf output;
        int output_fd;                  /* owned; -1: none. Goes with the byte at output_fd_at */
        size_t output_fd_at;
        VarlinkCall *call;              /* owned; NULL: none under way */
        uid_t uid;
        gid_t gid;
        gid_t *groups;                  /* owned */
        size_t n_groups;
        bool eof;                       /* the peer sends no more; it may still read */
        bool broken;                    /* to be closed, nothing is sent any more */
        bool in_turn;
};

/* Takes fd, also on failure. */
int varlink_conn_new(VarlinkServer *s, int fd, VarlinkConn **ret) _must_check_;
VarlinkConn *varlink_conn_free(VarlinkConn *c);
DEFINE_CLEANUP(VarlinkConn *, varlink_conn_free)
/*
 * Queues a message; fd >= 0 goes with its first byte (dup'ed). What can't be queued breaks the connection. Takes
 * message.
 */
int varlink_conn_queue(VarlinkConn *c, json_t *message, int fd);
bool varlink_conn_is_congested(const VarlinkConn *c) _pure_;
/* Something changed outside of the connection's own turns: have one soon. */
void varlink_conn_wake(VarlinkConn *c);

/* Room for one descriptor in the control data of a read: the kernel drops others, and says so. */
#define VARLINK_INPUT_CONTROL_SIZE CMSG_LEN(sizeof(int))
/* Takes what came with the bytes behind `before`, which are in the input. false: it was sent against the rules. */
bool varlink_conn_keep_fd(VarlinkConn *c, struct msghdr *mh, size_t before) _must_check_;
/* The input lost its first n bytes. */
void varlink_conn_move_fds(VarlinkConn *c, size_t n);
/* That of the message that starts there, the caller's now; -1: none. */
int varlink_conn_take_fd(VarlinkConn *c, size_t at);
void varlink_conn_close_fds(VarlinkConn *c);

/* ---- server ---- */

/* Tells conf->failed. */
void varlink_server_failed(const VarlinkServer *s, const char *method, int error);

typedef struct VarlinkListener VarlinkListener;

struct VarlinkServer {
        sd_event *event;
        const VarlinkServerConf *conf;
        TAILQ_HEAD(, VarlinkListener) listeners;
        TAILQ_HEAD(, VarlinkConn) conns;
        sd_event_source *pause;         /* ends a pause of accept(), made when descriptors ran out */
};

/* A connected AF_UNIX socket: what accept() would give. Takes fd, also on failure. -EUSERS: too many of that user. */
int varlink_server_add_connection(VarlinkServer *s, int fd) _must_check_;
