/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Pace: how fast connections may send, all of them together, in whatever thread they are: a Flow (core/rate) behind a
 * mutex. Nobody waits for it; who must wait for his turn sets a timer.
 */

#include "core/base.h"
#include "core/rate.h"

typedef struct Pace Pace;

/* per_sec: bytes; FLOW_UNLIMITED: as fast as can be. -ENOMEM. */
int pace_new(uint64_t per_sec, Pace **ret) _must_check_;
Pace *pace_free(Pace *p);
DEFINE_CLEANUP(Pace *, pace_free)
/* Another rate from now on. Turns that were given out are void: who waits for his asks anew. */
void pace_set(Pace *p, uint64_t per_sec);
/* A turn to send up to n bytes: gives how many, at least 1 of n > 0, and from when on (boottime). */
uint64_t pace_take(Pace *p, uint64_t n, const Now *now, usec_t *ret_at);
