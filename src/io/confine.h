/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Confine: what a daemon gives up for good before it hears the first word from outside, so that whoever makes it run his
 * own code can't do that either. The kernel refuses it with EPERM, to the process and to each thread that it starts.
 *
 * It is for what no line of a unit can say. SystemCallFilter= takes execve() from nobody, as the manager needs it to
 * start the daemon, and NoExecPaths= leaves files in memory. A socket that systemd has passed belongs to the network of
 * the host, whatever PrivateNetwork= and IPAddressDeny= say: taken out of listening by shutdown(), it can be connected
 * to anywhere.
 */

#include "core/base.h"

typedef enum Confinement {
        CONFINE_PROGRAMS,               /* no other program is run */
        CONFINE_PROGRAMS_AND_CALLS,     /* nor is a connection opened, by connect() or MSG_FASTOPEN */
} Confinement;

enum {
        /* No filters in this kernel, or it is not known here how it numbers calls on this machine: nothing was given up. */
        CONFINE_NOT_HERE = 1,
};

/*
 * To be called while there is but one thread: others keep what they have. It also sets no_new_privs, as a unit does with
 * NoNewPrivileges=. 0, CONFINE_NOT_HERE, or a negative errno.
 */
int confine(Confinement what) _must_check_;
