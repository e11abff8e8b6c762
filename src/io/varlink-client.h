/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Varlink, client side, for the tool: one connection, blocking, with one deadline for everything that is done on it.
 */

#include "core/base.h"

#include <jansson.h>

typedef struct VarlinkClient VarlinkClient;

/* Answers */
enum {
        VARLINK_CLIENT_TIMEOUT = 1,
        VARLINK_CLIENT_CLOSED,                  /* the daemon hung up */
        VARLINK_CLIENT_BAD,                     /* what came is no varlink */
};

/*
 * -ENOENT, -ECONNREFUSED: no daemon; -EACCES, -EPERM: not allowed; -ENAMETOOLONG. timeout: of everything together,
 * from now; USEC_INFINITY: none.
 */
int varlink_client_connect(const char *path, usec_t timeout, VarlinkClient **ret) _must_check_;
/*
 * While a reply is waited for, tick() is called each time that nothing came for `interval`: for what is shown
 * meanwhile. It does nothing with c.
 */
void varlink_client_set_tick(VarlinkClient *c, usec_t interval, void (*tick)(void *userdata), void *userdata);
VarlinkClient *varlink_client_free(VarlinkClient *c);
DEFINE_CLEANUP(VarlinkClient *, varlink_client_free)

typedef enum VarlinkClientFlags {               /* one at most */
        VARLINK_CLIENT_MORE = 1 << 0,
        VARLINK_CLIENT_ONEWAY = 1 << 1,         /* there will be no reply, not even an error */
} VarlinkClientFlags;

/*
 * Sends a call. Takes parameters (NULL: none), also on failure. fd >= 0 goes along; it stays the caller's. Read all replies of a call before the next one is
 * sent: both sides would wait for each other to read.
 */
int varlink_client_send(VarlinkClient *c, const char *method, json_t *parameters, int flags, int fd) _must_check_;
/*
 * The next reply: *ret_parameters an object, owned by the caller; *ret_error NULL or the name of an error (valid
 * until the next call); *ret_continues: more replies of this call come. ret_fd: may be NULL; else the descriptor that
 * came along, the caller's, or -1.
 */
int varlink_client_receive(VarlinkClient *c, json_t **ret_parameters, const char **ret_error, bool *ret_continues,
                           int *ret_fd) _must_check_;
