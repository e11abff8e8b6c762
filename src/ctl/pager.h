/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * A pager behind standard output, as systemd's tools have it: $SYSTEMD_PAGER, else $PAGER, else less, else more.
 * $SYSTEMD_PAGER or $PAGER that is empty or "cat": none. less gets $SYSTEMD_LESS (FRSXMK) and $SYSTEMD_LESSCHARSET.
 *
 * Whoever runs this for somebody else (sudo, set-uid) gets less alone and in its secure mode, that starts no editor and
 * no shell; $SYSTEMD_PAGERSECURE decides it if it says yes or no.
 */

#include "core/base.h"

/*
 * From now on what is written to standard output goes to the pager, if standard output is a terminal that is worth it;
 * else, and the second time, nothing happens. That there is no pager to be had is no failure. -errno.
 *
 * SIGINT is ignored from here on, since the pager gets it, too, and decides; SIGPIPE as well: a pager that is left ends
 * the output, not the tool.
 */
int pager_open(void) _must_check_;
/* Was it opened? Then a standard output that is gone (EPIPE) is no failure. */
bool pager_is_open(void);
/* Everything was written: waits until the reader has read it. Does nothing without one. */
void pager_close(void);
