/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * What every thread of ours has: a name, and all signals blocked, so that they reach the main loop. For worker and
 * loop-thread only.
 */

#include "core/base.h"

#include <pthread.h>

/* name: at most 15 characters. 0, -EAGAIN: no more threads. */
int thread_start(const char *name, void *(*run)(void *userdata), void *userdata, pthread_t *ret) _must_check_;
