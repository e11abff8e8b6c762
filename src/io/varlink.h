/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Varlink, server side: framing, dispatch, introspection, over jansson. Hand-written, because libsystemd has none
 * before 257. The rules that are easy to miss are kept here for every method: NUL framing over split reads, oneway,
 * at most one of oneway/more/upgrade, close on malformed JSON, ExpectedMore, InvalidParameter for unknown or
 * ill-typed parameters, MethodNotImplemented for upgrade, pipelining, no reply after a hang-up, message <= 1 MiB and
 * of a bounded number of values, <= 16 connections per uid, bounded output for slow readers; whoever sends a file
 * descriptor to a method that takes none, or two with one call, is cut, and they are closed. Belongs to one event loop.
 */

#include "core/base.h"

#include <jansson.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#define VARLINK_MESSAGE_MAX (1u << 20)
#define VARLINK_OUTPUT_MAX (4u << 20)           /* bytes waiting for a reader; over it the connection goes */
#define VARLINK_CONNECTIONS_PER_UID 16
#define VARLINK_DEPTH_MAX 32
/*
 * Values and members in a call; whoever sends more is cut. jansson reads a mebibyte of numbers in 33 ms and one of
 * members in 80 ms, in which the loop does nothing else; so many take 5 ms at most. Get needs 20,000.
 */
#define VARLINK_VALUES_MAX 24576
#define VARLINK_MEMBERS_MAX 1024

typedef struct VarlinkServer VarlinkServer;
/*
 * One method call that is being answered. Ends with the final reply or error, and must not be used after it; a call
 * that nobody waits for any more says so (gone). One call of a connection is under way at a time: the next one is
 * run when the final reply of the last was made.
 */
typedef struct VarlinkCall VarlinkCall;

/*
 * Types of parameters; OPTIONAL ('?') is or-ed in. FLOAT takes whole numbers, too: JSON tells 1 from 1.0 for nobody.
 * OBJECT is all that is one in JSON: object, a struct, a map, a set; the method looks at what is in it, also in those of
 * an OBJECT_ARRAY.
 */
typedef enum VarlinkType {
        VARLINK_BOOL, VARLINK_INT, VARLINK_FLOAT, VARLINK_STRING, VARLINK_OBJECT, VARLINK_INT_ARRAY,
        VARLINK_STRING_ARRAY, VARLINK_OBJECT_ARRAY,
        VARLINK_OPTIONAL = 0x100,
} VarlinkType;

typedef struct VarlinkParameter {
        const char *name;
        int type;                               /* VarlinkType, perhaps | VARLINK_OPTIONAL */
} VarlinkParameter;

typedef enum VarlinkMethodFlags {
        VARLINK_MAY_MORE = 1 << 0,              /* streams when asked with more */
        VARLINK_NEEDS_MORE = 1 << 1,            /* without more: ExpectedMore */
        VARLINK_CHANGES = 1 << 2,               /* a changing verb: only whoever authorize() lets */
        VARLINK_TAKES_FD = 1 << 3,              /* a descriptor may come along */
} VarlinkMethodFlags;

typedef struct VarlinkMethod {
        const char *name;                       /* "org.p2pdi.Peer.Get" */
        int flags;
        const VarlinkParameter *parameters;     /* ends with name NULL; NULL: none */
        /*
         * parameters were checked against the table: what is required is there, what is there has its type, what
         * was null is not there. Borrowed: valid until return. Replies now or later; < 0 without a reply: the error
         * io.systemd.System is replied.
         */
        int (*run)(VarlinkCall *call, json_t *parameters, void *userdata);
} VarlinkMethod;

typedef struct VarlinkInterface {
        const char *name;                       /* "org.p2pdi.Peer" */
        const char *description;                /* the interface definition as text */
        const VarlinkMethod *methods;           /* ends with name NULL */
} VarlinkInterface;

typedef struct VarlinkServerConf {
        const char *vendor, *product, *version, *url;           /* GetInfo */
        const VarlinkInterface *interfaces[4];                  /* ends with NULL; org.varlink.service is added */
        /*
         * May this caller run a changing method? Groups are the real ones (SO_PEERGROUPS). NULL: root and this
         * process's own user may.
         */
        bool (*authorize)(uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups, void *userdata);
        /*
         * After each call's end: for log and metrics. method NULL: an unknown one; error NULL: well; "gone": hung
         * up before the final reply.
         */
        void (*finished)(const char *method, uid_t uid, const char *error, void *userdata);
        /*
         * This host failed, with that negative errno: for the log. method: of the call that is answered with
         * io.systemd.System; NULL: a connection ends, or does not come about, and its caller is told no more than that.
         */
        void (*failed)(const char *method, int error, void *userdata);
        void *userdata;
} VarlinkServerConf;

/*
 * conf is borrowed as long as the server lives. jansson, which leaves out of an object what it has no memory for, gets
 * allocation functions that count that: a call during which it happened, in whatever thread, is not replied to, and its
 * connection ends. So who makes replies need not look at each member.
 */
int varlink_server_new(sd_event *e, const VarlinkServerConf *conf, VarlinkServer **ret) _must_check_;
/* Calls under way are told that they are gone. Not from within run(), gone() or resume(). */
VarlinkServer *varlink_server_free(VarlinkServer *s);
DEFINE_CLEANUP(VarlinkServer *, varlink_server_free)
/* A listening AF_UNIX socket, inherited; takes fd, also on failure. */
int varlink_server_add_fd(VarlinkServer *s, int fd) _must_check_;
/*
 * Binds path (mode 0660), replacing a dead socket; removed again at stop or free. -EADDRINUSE:
 * somebody listens there, or it is no socket; -ENAMETOOLONG.
 */
int varlink_server_bind(VarlinkServer *s, const char *path) _must_check_;
/* Stops accepting and closes the listening sockets; connections go on. */
void varlink_server_stop(VarlinkServer *s);

/* Called with more, and the method has one of the MORE flags. */
bool varlink_call_wants_more(const VarlinkCall *c);
uid_t varlink_call_uid(const VarlinkCall *c);
/*
 * The descriptor that came along, close-on-exec, the caller's from now on; -1: none, or it was taken. It may be anything,
 * and its file be written to by others meanwhile. Closed at the end of the call if nobody takes it.
 */
int varlink_call_take_fd(VarlinkCall *c);
/* conf's userdata. */
void *varlink_call_userdata(const VarlinkCall *c);
/*
 * `gone` is called from the loop when the asker hung up, or had to be cut, before the final reply; the call is dead
 * after it and must not be used; no reply or error may be made in it.
 */
void varlink_call_set_gone(VarlinkCall *c, void (*gone)(VarlinkCall *c, void *data), void *data);
/*
 * Replies are queued and sent from the loop. All of them take parameters, also on failure, and NULL parameters are
 * taken for a failed json_pack(). What can't be queued (-ENOMEM; -ENOBUFS: over VARLINK_OUTPUT_MAX; -EMSGSIZE) ends
 * the connection: a stream is told so by `gone`, after a final reply the call is over in any case. So the result
 * may be dropped.
 */
/* In between, only of a call that wants more. */
int varlink_call_notify(VarlinkCall *c, json_t *parameters);
/*
 * Long lists: once this is true (64 KiB wait for the reader) stop making replies and set `resume`, which is called
 * once, from the loop, when there is room again (in the next turn, if there is already). Whoever makes replies
 * regardless is cut at VARLINK_OUTPUT_MAX.
 */
bool varlink_call_is_congested(const VarlinkCall *c) _pure_;
void varlink_call_set_resume(VarlinkCall *c, void (*resume)(VarlinkCall *c, void *data), void *data);
/* The end. fd >= 0 is passed along (dup'ed; the caller keeps its own). */
int varlink_call_reply(VarlinkCall *c, json_t *parameters);
int varlink_call_reply_fd(VarlinkCall *c, json_t *parameters, int fd);
/* error: "org.p2pdi.Peer.NotHeld"; parameters NULL: none. */
int varlink_call_error(VarlinkCall *c, const char *error, json_t *parameters);
/* The error io.systemd.System, for what failed in this host: error is a negative errno. */
int varlink_call_errno(VarlinkCall *c, int error);
/* The error org.varlink.service.InvalidParameter, for values that the table can't check. */
int varlink_call_invalid(VarlinkCall *c, const char *parameter);
